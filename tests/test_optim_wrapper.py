"""Does the wrapper keep its promises when training is not a plain loop: freezes, bad gradients, outside writes?"""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from empo_sb3.optim import TRAC, Mechanic, actor_critic
from empo_sb3.optim.bases import BASES
from empo_sb3.optim.tuners import MechanicTuner, scale

BOTH = pytest.mark.parametrize("optimizer_class", [Mechanic, TRAC])


def regression(dtype=torch.float32):
    """A network without a zero weight, and its loss on fixed data."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2)).to(dtype)
    x = torch.randn(64, 6, dtype=dtype)
    y = torch.sin(x @ torch.randn(6, 2, dtype=dtype))
    return net, lambda: torch.nn.functional.mse_loss(net(x), y)


def train(optimizer, loss_of, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()
    return loss_of().item()


def weights(net):
    return [p.detach().clone() for p in net.parameters()]


def equal(a, b):
    """Bitwise equality of nested dictionaries and sequences of tensors."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@BOTH
@pytest.mark.parametrize("rate", [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0])
def test_no_base_rate_leaves_the_loss_at_its_start_in_float32(optimizer_class, rate):
    net, loss_of = regression()
    start = loss_of().item()
    optimizer = optimizer_class(net.parameters(), lr=rate)
    assert train(optimizer, loss_of, 300) < 0.8 * start
    assert 1e-4 < optimizer.effective_lr["all"] < 1.0


def test_a_constant_rate_as_small_would_leave_it_there():
    net, loss_of = regression()
    start = loss_of().item()
    assert train(torch.optim.Adam(net.parameters(), lr=1e-5), loss_of, 300) > 0.97 * start


@BOTH
@pytest.mark.parametrize("base", [*BASES, "torch.optim:Adadelta", torch.optim.ASGD])
def test_every_base_optimizer_learns_and_continues_from_its_saved_state(optimizer_class, base):
    net, loss_of = regression()
    optimizer, start = optimizer_class(net.parameters(), base=base), loss_of().item()
    assert train(optimizer, loss_of, 60) < start
    file = io.BytesIO()
    torch.save([net.state_dict(), optimizer.state_dict()], file)
    train(optimizer, loss_of, 5)
    again, loss_again = regression()
    resumed = optimizer_class(again.parameters(), base=base)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    train(resumed, loss_again, 5)
    assert equal(weights(net), weights(again)) and equal(optimizer.state_dict(), resumed.state_dict())


@BOTH
def test_the_state_is_keyed_by_index_and_holds_reference_and_delta(optimizer_class):
    net, loss_of = regression()
    optimizer = optimizer_class(net.parameters())
    start = weights(net)
    train(optimizer, loss_of, 20)
    state, tuner = optimizer.state_dict()["state"], optimizer.state_dict()["tuners"][0]
    assert sorted(state) == [0, 1, 2, 3] and sorted(optimizer.state_dict()["base"]) == [0, 1, 2, 3]
    for i, p in enumerate(net.parameters()):
        assert torch.equal(state[i]["x_ref"], start[i])
        torch.testing.assert_close(p.detach(), state[i]["x_ref"] + optimizer.scales["all"] * state[i]["delta"])
    assert {"s", "v"} < tuner.keys()


@BOTH
@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_go_on_like_the_original_and_share_nothing_with_it(optimizer_class, copy_of):
    net, loss_of = regression()
    optimizer = optimizer_class(net.parameters(), tuner_of="group")
    train(optimizer, loss_of, 10)
    twin_net, twin = copy_of((net, optimizer))
    for original, copied in zip(net.parameters(), twin_net.parameters(), strict=True):
        copied.grad = original.grad.clone()
    before = copy.deepcopy(twin.state_dict())
    optimizer.step()
    assert equal(twin.state_dict(), before)
    twin.step()
    assert equal(weights(net), weights(twin_net)) and equal(optimizer.state_dict(), twin.state_dict())


def test_loading_leaves_the_loaded_dictionary_alone():
    net, loss_of = regression()
    optimizer = Mechanic(net.parameters())
    train(optimizer, loss_of, 10)
    saved = copy.deepcopy(optimizer.state_dict())
    kept = copy.deepcopy(saved)
    optimizer.load_state_dict(saved)
    train(optimizer, loss_of, 10)
    assert equal(saved, kept)


@pytest.mark.parametrize("other", [torch.optim.Adam, TRAC])
def test_the_state_of_another_optimizer_is_refused(other):
    net, loss_of = regression()
    foreign = other(net.parameters())
    train(foreign, loss_of, 2)
    with pytest.raises(ValueError, match="not saved from Mechanic"):
        Mechanic(net.parameters()).load_state_dict(foreign.state_dict())


@BOTH
def test_the_state_of_another_number_of_bettors_is_refused(optimizer_class):
    net, loss_of = regression()
    one = optimizer_class(net.parameters(), beta=(0.9,))
    train(one, loss_of, 2)
    with pytest.raises(ValueError, match="1 bettors, not of 6; give the same beta"):
        optimizer_class(net.parameters()).load_state_dict(one.state_dict())


class ByHand:
    """The wrapper's promise for two numbers and SGD, in position form: x moves by (S' - S) Delta + S' u when it moves."""

    def __init__(self, x, lr):
        self.x, self.delta, self.lr = np.array(x), np.zeros(2), lr
        self.tuner = MechanicTuner()
        self.state = self.tuner.start()

    def step(self, g, moving):
        if not moving.any():
            return
        u, s, xs = -self.lr * g, scale(self.state), (self.x - self.lr * g)[moving]
        h = self.delta[moving] @ g[moving]
        h += 0.01 * s * np.linalg.norm(g[moving]) * (self.delta[moving] @ xs) / (np.linalg.norm(xs) + 1e-8)
        self.state = self.tuner.update(self.state, h)
        grown = scale(self.state)
        change = (grown - s) * self.delta + grown * u
        self.x[moving] += change[moving]
        self.delta[moving] += u[moving]

    def shrink(self, factor):
        self.state = self.tuner.shrink(self.state, factor)

    def rebase(self):
        self.delta[:] = 0.0


EVENTS = st.lists(
    st.sampled_from(["step", "step", "step", "no grad", "rate 0", "rate -1", "nan", "shrink", "rebase"]), max_size=60
)


@given(EVENTS)
@settings(max_examples=40, deadline=None)
def test_whatever_happens_between_steps_a_weight_moves_only_as_its_gradient_and_the_scale_say(events):
    params = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (3.0, -2.0)]
    optimizer = Mechanic([{"params": [p]} for p in params], lr=0.1, base="sgd", base_kwargs={"foreach": False})
    hand, skipped = ByHand([3.0, -2.0], 0.1), 0
    for event in ["step"] * 12 + events + ["step"] * 3:
        g = np.array([1.0, 5.0]) * (hand.x - 1.0)
        for p, slope in zip(params, g, strict=True):
            p.grad = torch.tensor(slope)
        moving = np.array([True, event in ("step", "shrink", "rebase")])
        optimizer.param_groups[1]["lr"] = {"rate 0": 0.0, "rate -1": -1.0}.get(event, 0.1)
        if event == "no grad":
            params[1].grad = None
        if event == "nan":
            params[1].grad.fill_(np.nan)
            moving[:], skipped = False, skipped + 1
        if event in ("shrink", "rebase"):
            getattr(optimizer, event)(*([0.5] if event == "shrink" else []))
            getattr(hand, event)(*([0.5] if event == "shrink" else []))
        optimizer.step()
        hand.step(g, moving)
        np.testing.assert_allclose([p.item() for p in params], hand.x, rtol=1e-9, atol=1e-9)
    assert optimizer.n_skipped == skipped


@BOTH
def test_a_rate_of_zero_freezes_weights_scales_and_the_base_optimizer(optimizer_class):
    net, loss_of = regression()
    optimizer = optimizer_class(net.parameters(), base="adamw")
    train(optimizer, loss_of, 10)
    before, state = weights(net), copy.deepcopy(optimizer.state_dict())
    optimizer.param_groups[0]["lr"] = 0.0
    train(optimizer, loss_of, 5)
    assert equal(weights(net), before)
    optimizer.param_groups[0]["lr"] = 1.0
    assert equal(optimizer.state_dict(), state)


def test_without_any_gradient_a_step_does_nothing():
    net, _ = regression()
    optimizer, before = Mechanic(net.parameters()), weights(net)
    optimizer.step()
    assert equal(weights(net), before) and optimizer.scales == {"all": 0.0} and optimizer.n_skipped == 0


@BOTH
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("steps_before", [0, 10])
def test_a_gradient_that_is_not_finite_is_skipped_and_counted(optimizer_class, bad, steps_before):
    net, loss_of = regression()
    optimizer = optimizer_class(net.parameters())
    train(optimizer, loss_of, steps_before)
    before, state = weights(net), copy.deepcopy(optimizer.state_dict())
    loss_of().backward()
    net[0].weight.grad[0, 0] = bad
    optimizer.step()
    assert equal(weights(net), before) and optimizer.n_skipped == 1
    assert equal({**optimizer.state_dict(), "n_skipped": 0, "state": 0}, {**state, "state": 0})
    assert train(optimizer, loss_of, 60) < loss_of().item() + 1 and all(torch.isfinite(w).all() for w in weights(net))


def test_a_move_that_is_not_finite_is_taken_back():
    net, loss_of = regression()
    optimizer, before = Mechanic(net.parameters(), base="sgd", lr=1e38), weights(net)
    loss_of().mul(1e4).backward()
    optimizer.step()
    assert equal(weights(net), before) and optimizer.n_skipped == 1 and optimizer.scales["all"] == 0.0


def test_a_closure_is_called_once_with_gradients_on_and_its_loss_returned():
    net, loss_of = regression()
    optimizer, calls = Mechanic(net.parameters()), []

    def closure():
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        return loss

    start = loss_of().item()
    losses = [optimizer.step(closure).item() for _ in range(60)]
    assert calls == [True] * 60 and losses[0] == start and losses[-1] < start


def test_an_error_inside_a_step_leaves_autograd_switched_on():
    net, _ = regression()

    def closure():
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        Mechanic(net.parameters()).step(closure)
    assert torch.is_grad_enabled()


def test_step_hooks_run_once_even_where_a_plain_optimizer_was_built_before():
    net, loss_of = regression()
    torch.optim.Adam(net.parameters())
    optimizer, seen = Mechanic(net.parameters()), []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    train(optimizer, loss_of, 2)
    assert seen == ["before", "after"] * 2


def test_a_hook_that_scales_the_rate_of_a_group_scales_its_moves():
    moved = []
    for factor in (1.0, 10.0):
        net, loss_of = regression(torch.float64)
        optimizer, before = Mechanic(net.parameters(), s_decay=0.0), weights(net)
        optimizer.register_step_pre_hook(lambda o, *_, factor=factor: o.param_groups[0].update(lr=factor))
        train(optimizer, loss_of, 1)
        moved.append(torch.cat([(b - a).flatten() for a, b in zip(before, weights(net), strict=True)]))
    torch.testing.assert_close(moved[1], 10.0 * moved[0], rtol=1e-6, atol=0.0)


@pytest.mark.parametrize(("tuner_of", "labels"), [("all", ["all"]), ("group", ["group0", "group1"])])
def test_parameters_may_be_added_after_the_first_step(tuner_of, labels):
    net, loss_of = regression()
    optimizer = Mechanic(net[0].parameters(), tuner_of=tuner_of)
    train(optimizer, loss_of, 10)
    before = weights(net)
    optimizer.add_param_group({"params": net[2].parameters(), "lr": 0.1})
    assert equal(weights(net), before) and list(optimizer.scales) == labels
    loss = loss_of().item()
    assert train(optimizer, loss_of, 40) < loss and not torch.equal(net[2].weight, before[2])
    assert len(optimizer.base.param_groups) == 2


def test_outside_writes_hold_and_after_a_restart_the_tuner_begins_with_small_steps():
    distances = []
    for mend in (lambda o: None, lambda o: o.rebase(), lambda o: o.restart()):
        net, loss_of = regression()
        optimizer = Mechanic(net.parameters())
        train(optimizer, loss_of, 100)
        with torch.no_grad():
            for p in net.parameters():
                p.add_(1.0)
        written = weights(net)
        mend(optimizer)
        train(optimizer, loss_of, 1)
        distances.append(max((a - b).abs().max().item() for a, b in zip(written, weights(net), strict=True)))
    assert distances[0] < 0.3 and distances[1] < 0.2 and distances[2] < 1e-4


def test_rebase_keeps_the_scale_and_restart_forgets_it():
    net, loss_of = regression()
    optimizer = Mechanic(net.parameters())
    train(optimizer, loss_of, 50)
    scales = optimizer.scales
    optimizer.rebase()
    assert optimizer.scales == scales and scales["all"] > 1e-3
    optimizer.restart()
    assert optimizer.scales == {"all": 0.0}


@BOTH
def test_tuners_per_group_act_like_separate_optimizers(optimizer_class):
    net, loss_of = regression()
    together = optimizer_class([{"params": net[0].parameters()}, {"params": net[2].parameters()}], tuner_of="group")
    train(together, loss_of, 30)
    other, other_loss = regression()
    apart = [optimizer_class(other[i].parameters()) for i in (0, 2)]
    for _ in range(30):
        other.zero_grad()
        other_loss().backward()
        [optimizer.step() for optimizer in apart]
    assert equal(weights(net), weights(other))
    assert list(together.scales.values()) == [optimizer.scales["all"] for optimizer in apart]


def test_a_split_by_names_is_the_same_before_and_after_construction_and_is_loaded_again():
    def by_layer(name):
        return name.split(".")[0]

    nets = [regression() for _ in range(3)]
    named = Mechanic(nets[0][0].named_parameters(), tuner_of=by_layer)
    split = Mechanic(nets[1][0].parameters())
    split.split(nets[1][0].named_parameters(), by_layer)
    for optimizer, (_, loss_of) in zip((named, split), nets, strict=False):
        train(optimizer, loss_of, 20)
    assert equal(weights(nets[0][0]), weights(nets[1][0])) and list(split.scales) == ["0", "2"]
    loaded = Mechanic(nets[2][0].parameters())
    loaded.load_state_dict(copy.deepcopy(split.state_dict()))
    assert loaded.scales == split.scales and len(set(loaded.scales.values())) == 2


def test_a_late_split_goes_on_from_the_common_scale():
    net, loss_of = regression()
    optimizer = Mechanic(net.parameters())
    train(optimizer, loss_of, 50)
    common = optimizer.scales["all"]
    optimizer.split(net.named_parameters(), lambda name: name.split(".")[0])
    assert optimizer.scales == {"0": common, "2": common}
    loss = loss_of().item()
    assert train(optimizer, loss_of, 50) < loss and optimizer.scales["0"] != optimizer.scales["2"]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("mlp_extractor.policy_net.0.weight", "actor"),
        ("action_net.bias", "actor"),
        ("log_std", "actor"),
        ("features_extractor.cnn.0.weight", "actor"),
        ("mlp_extractor.value_net.0.weight", "critic"),
        ("value_net.bias", "critic"),
        ("vf_features_extractor.cnn.0.weight", "critic"),
        ("lstm_critic.weight_ih_l0", "critic"),
        ("gru_critic.weight_ih_l0", "critic"),
        ("critic.weight", "critic"),
    ],
)
def test_actor_and_critic_are_told_apart_by_sb3s_names(name, label):
    assert actor_critic(name) == label


def test_the_rates_unit_only_renames_the_rate():
    runs = []
    for rate, unit in ((1.0, 1.0), (3e-4, 3e-4)):
        net, loss_of = regression()
        optimizer = Mechanic(net.parameters(), lr=rate, lr_unit=unit)
        train(optimizer, loss_of, 30)
        assert optimizer.param_groups[0]["lr"] == rate
        runs.append((weights(net), optimizer.effective_lr))
    assert equal(*runs)


def test_a_torch_scheduler_drives_the_base_rate():
    net, loss_of = regression()
    optimizer = Mechanic(net.parameters())
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=20)
    for _ in range(20):
        train(optimizer, loss_of, 1)
        scheduler.step()
    before = weights(net)
    train(optimizer, loss_of, 3)
    assert equal(weights(net), before) and optimizer.effective_lr == {"all": 0.0}


def test_shrinking_leaves_the_weights_and_makes_the_next_moves_smaller():
    moves = []
    for factor in (1.0, 0.1):
        net, loss_of = regression()
        optimizer = Mechanic(net.parameters(), max_growth=1.05)
        train(optimizer, loss_of, 300)
        optimizer.shrink(factor)
        before = weights(net)
        train(optimizer, loss_of, 1)
        moves.append(sum((a - b).square().sum() for a, b in zip(before, weights(net), strict=True)).sqrt().item())
    assert 0.0 < moves[1] < 0.3 * moves[0]


def test_weights_in_another_memory_order_are_tuned_too():
    torch.manual_seed(0)
    runs = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        net = torch.nn.Conv2d(3, 4, 3).double().to(memory_format=memory_format)
        images = torch.randn(8, 3, 6, 6, dtype=torch.float64)
        optimizer = Mechanic(net.parameters())
        train(optimizer, lambda net=net, images=images: (net(images) - 1.0).square().mean(), 20)
        runs.append([w.contiguous() for w in weights(net)])
    for a, b in zip(*runs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_clipped_gradients_are_what_the_tuner_sees():
    states = []
    for clip in (1e9, 1.0):
        net, loss_of = regression()
        optimizer = Mechanic(net.parameters(), clip_h=False)
        for _ in range(5):
            optimizer.zero_grad()
            loss_of().mul(100.0).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()
        states.append(optimizer.tuners[0]["m"].max())
    assert states[1] < 0.1 * states[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"s_int": 1.0}, "did you mean 's_init'"),
        ({"weight_decay": 0.1}, "base_kwargs"),
        ({"base": "adan"}, "did you mean 'adam'"),
        ({"base": "torch.optim:Nothing"}, "has no .Nothing."),
        ({"base": torch.optim.LBFGS}, "cannot be tuned"),
        ({"lr_unit": 0.0}, "lr_unit must be positive"),
        ({"tuner_of": "network"}, "'all', 'group' or a function"),
        ({"tuner_of": actor_critic}, "named_parameters"),
        ({"s_decay": -1.0}, "s_decay must not be negative"),
        ({"s_init": "small"}, "s_init must be positive, but it is small"),
        ({"beta": 0.9}, "beta must hold numbers"),
        ({"beta": ["high"]}, "beta must hold numbers"),
        ({"base_kwargs": {"epsilon": 1e-5}}, "^base_kwargs do not fit Adam: it has no 'epsilon'; did you mean 'eps'"),
        ({"base_kwargs": {"lr": 1e-5}}, "^base_kwargs do not fit Adam: lr is not among them; give it to Mechanic itself$"),
    ],
)
def test_wrong_options_are_answered_with_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Mechanic(regression()[0].parameters(), **options)


@pytest.mark.parametrize("call", [lambda o: o.shrink(0.0), lambda o: o.shrink(0.5, "critic"), lambda o: o.split([])])
def test_wrong_calls_are_answered_with_one_sentence(call):
    with pytest.raises(ValueError, match=r"\.$"):
        call(Mechanic(regression()[0].parameters()))


def test_sparse_gradients_are_refused():
    table = torch.nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="sparse=False"):
        Mechanic(table.parameters()).step()
