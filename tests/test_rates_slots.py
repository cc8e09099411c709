"""Do rate callbacks leave each other, SB3 and the optimizers alone, and can they be taken back?"""

import copy
import pickle

import numpy as np
import pytest
import torch
from rates_matrix import RATE, build, learn
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EveryNTimesteps

from empo_sb3.learning_rates.kl_lr import KLAdaptiveLR
from empo_sb3.learning_rates.per_layer import PerLayerLR, TwoTimescale
from empo_sb3.learning_rates.rate_callback import RateCallback
from empo_sb3.learning_rates.schedule_callback import LearningRateSchedule
from empo_sb3.learning_rates.slots import ScaledSchedule, scale_slot, slots_of
from empo_sb3.learning_rates.uncertainty_lr import EnsembleAdaptiveLR, MCDropoutAdaptiveLR, RNDAdaptiveLR
from empo_sb3.optim import TRAC, AdamRel, Mechanic
from empo_sb3.schedules import Constant, InverseDecay, Linear, WarmupRampDecay


class Steps(BaseCallback):
    """The rate of each parameter at each step of the policy's optimizer, by name."""

    def _on_training_start(self):
        self.rates = []
        names = {id(p): name for name, p in self.model.policy.named_parameters()}

        def look(optimizer, *_):
            self.rates.append({names[id(p)]: g["lr"] for g in optimizer.param_groups for p in g["params"]})

        self.handle = self.model.policy.optimizer.register_step_pre_hook(look)

    def _on_step(self):
        return True

    def _on_training_end(self):
        self.handle.remove()


class Halving(RateCallback):
    """Half the rate at every step."""

    default_slot = "halving"

    def start(self):
        self.slots.scales[self.slot] = 1.0
        self.hooks.deciders[self.slot] = lambda: scale_slot(self.model, self.slot, 0.5)


def rates_of(algorithm, callbacks, **keywords):
    """The model and its rates, step by step."""
    steps = Steps()
    model = learn(build(algorithm, **keywords), algorithm, [*callbacks, steps])
    return model, steps.rates


# ---------------------------------------------------------------- slots


def test_two_callbacks_multiply_each_other():
    _, alone = rates_of("PPO", [])
    _, both = rates_of("PPO", [LearningRateSchedule(Constant(0.5), mode="factor"), RNDAdaptiveLR(min=0.1, max=0.1)])
    assert len(alone) == len(both) == 8
    assert all(b[name] == pytest.approx(0.05 * a[name], rel=1e-12) for a, b in zip(alone, both, strict=True) for name in a)


def test_a_callback_multiplies_the_schedule_that_the_user_gave():
    _, rates = rates_of("A2C", [LearningRateSchedule(Constant(0.5), mode="factor")], learning_rate=lambda p: p * 1e-2)
    assert [min(r.values()) for r in rates] == pytest.approx([0.5e-2 * p for p in (0.75, 0.5, 0.25, 0.0)])


def test_two_callbacks_cannot_write_one_slot_but_may_have_two():
    with pytest.raises(ValueError, match=r"two callbacks want the slot 'rnd' .* slot="):
        learn(build("PPO"), "PPO", [RNDAdaptiveLR(), RNDAdaptiveLR()])
    with pytest.raises(ValueError, match="slot 'base'"):
        learn(build("PPO"), "PPO", [LearningRateSchedule(Constant(1e-3)), LearningRateSchedule(Constant(1e-4))])
    factors = [LearningRateSchedule(Constant(0.5), mode="factor", slot=slot) for slot in ("one", "two")]
    model = learn(build("PPO"), "PPO", factors)
    assert set(model.learning_rate.scales) == {"one", "two"}


def test_what_changes_within_a_train_counts_from_the_next_step_on():
    model, rates = rates_of("PPO", [Halving()])
    assert [min(r.values()) for r in rates] == [RATE * 0.5 ** (i + 1) for i in range(8)]
    assert model.policy.optimizer.param_groups[0]["lr"] == RATE * 0.5**4  # as SB3 wrote it before the second train()
    assert model.logger.name_to_value["train/learning_rate_effective"] == rates[-1]["action_net.bias"]


def test_the_rate_never_becomes_negative_beyond_the_end():
    model = build("PPO", learning_rate=lambda p: p * 1e-3)
    slots = slots_of(model)
    assert slots(-0.3) == model.lr_schedule(-0.3) == 0.0 and slots(1.5) == 1e-3


def test_wrapping_changes_no_value_and_happens_once():
    model = build("PPO")
    slots = slots_of(model)
    assert slots_of(model) is slots is model.lr_schedule.value_schedule and model.lr_schedule(0.3) == RATE


def test_a_copied_model_has_slots_of_its_own():
    model = learn(build("PPO"), "PPO", RNDAdaptiveLR())
    other = copy.deepcopy(slots_of(model))
    other.scales["other"] = 0.25
    assert other(1.0) == 0.25 * RATE and model.lr_schedule(1.0) == RATE
    assert isinstance(pickle.loads(pickle.dumps(slots_of(model))), ScaledSchedule)


def test_removing_the_last_callback_gives_the_first_learning_rate_back():
    schedule, rnd = LearningRateSchedule(Linear(1e-2, 0.0, 1)), RNDAdaptiveLR()
    model = learn(build("PPO"), "PPO", [schedule, rnd])
    schedule.remove(model)
    assert isinstance(model.learning_rate, ScaledSchedule)
    rnd.remove(model)
    rnd.remove(model)  # and once more does no harm
    assert model.learning_rate == RATE and model.lr_schedule(0.2) == RATE


class Removing(BaseCallback):
    """Removes a callback in the middle of the run."""

    def __init__(self, callback):
        super().__init__()
        self.callback = callback

    def _on_step(self):
        if self.num_timesteps == 20:
            self.callback.remove(self.model)
        return True


@pytest.mark.parametrize(
    ("algorithm", "make"),
    [
        ("PPO", lambda: KLAdaptiveLR(target=1e3)),
        ("A2C", lambda: KLAdaptiveLR(target=1e3)),
        ("PPO", lambda: RNDAdaptiveLR(min=0.5, max=0.5)),
        ("PPO", lambda: TwoTimescale(actor=0.5, critic=0.5)),
        ("PPO", lambda: LearningRateSchedule(Constant(0.5), mode="factor")),
        ("PPO", lambda: LearningRateSchedule(Constant(0.5 * RATE))),
    ],
)
def test_a_callback_that_is_removed_while_training_acts_no_more(algorithm, make):
    callback = make()
    model, rates = rates_of(algorithm, [callback, Removing(callback)])
    assert {rate for r in rates[:4] for rate in r.values()} != {RATE} == set(rates[-1].values())
    assert model.learning_rate == RATE and traces(model) == (0, 0, False)


def test_of_two_callbacks_the_one_that_stays_acts_on():
    callback = RNDAdaptiveLR(min=0.5, max=0.5)
    model, rates = rates_of("PPO", [callback, LearningRateSchedule(Constant(0.1), mode="factor"), Removing(callback)])
    assert [min(rates[i].values()) for i in (0, -1)] == pytest.approx([0.05 * RATE, 0.1 * RATE])
    assert set(model.learning_rate.scales) == {"schedule"} and traces(model) == (0, 0, False)


# ---------------------------------------------------------------- hooks


def traces(model):
    optimizer = model.policy.optimizer
    hooks = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    return *map(len, hooks), type(model.rollout_buffer) is not RolloutBuffer


def test_after_the_run_no_hook_is_left():
    model = build("PPO")
    before = traces(model)
    learn(model, "PPO", [LearningRateSchedule(Constant(RATE)), RNDAdaptiveLR(), TwoTimescale(0.5, 1.0)], chunks=2)
    assert traces(model) == before == (0, 0, False) and model.learning_rate.hooks is None


def test_groups_are_split_only_while_a_step_runs():
    model, rates = rates_of("PPO", [TwoTimescale(actor=0.1, critic=2.0)])
    assert {name: rate for name, rate in rates[0].items() if rate == 2.0 * RATE}.keys() == {
        name for name in rates[0] if "value_net" in name
    }
    assert rates[0]["action_net.bias"] == 0.1 * RATE
    assert len(model.policy.optimizer.param_groups) == 1 and model.policy.optimizer.param_groups[0]["lr"] == RATE


def test_two_splits_compose():
    callbacks = [TwoTimescale(actor=0.1, critic=2.0), PerLayerLR({"*.bias": 0.5, "value_net.*": 10.0})]
    _, rates = rates_of("PPO", callbacks)
    assert rates[0]["value_net.weight"] == pytest.approx(20.0 * RATE)
    assert rates[0]["value_net.bias"] == pytest.approx(1.0 * RATE)  # the first pattern counts
    assert rates[0]["action_net.bias"] == pytest.approx(0.05 * RATE)


class Broken(torch.optim.Adam):
    """Adam whose third step fails."""

    def step(self, closure=None):
        self.n = vars(self).get("n", 0) + 1
        if self.n == 3:
            raise RuntimeError("out of order")
        return super().step(closure)


def test_after_a_run_that_broke_off_the_next_one_starts_clean():
    model = build("PPO", policy_kwargs={"net_arch": [8], "optimizer_class": Broken})
    with pytest.raises(RuntimeError, match="out of order"):
        learn(model, "PPO", [TwoTimescale(0.1, 1.0), Halving()])
    learn(model, "PPO", RNDAdaptiveLR(min=0.5, max=0.5))
    assert len(model.policy.optimizer.param_groups) == 1 and traces(model) == (0, 0, False)
    assert set(model.learning_rate.scales) == {"halving"}


class Inheriting(torch.optim.Adam):
    """A subclass with a step of its own, around which torch calls every hook a second time."""

    def step(self, closure=None):
        return super().step(closure)


def test_a_step_that_calls_an_inherited_step_is_one_step():
    _, rates = rates_of("PPO", [Halving()], policy_kwargs={"net_arch": [8], "optimizer_class": Inheriting})
    assert [min(r.values()) for r in rates[::2]] == [RATE * 0.5 ** (i + 1) for i in range(8)] and rates[::2] == rates[1::2]


def test_after_a_run_that_broke_off_a_callback_can_be_removed():
    callback, model = Halving(), build("PPO", policy_kwargs={"net_arch": [8], "optimizer_class": Broken})
    with pytest.raises(RuntimeError, match="out of order"):
        learn(model, "PPO", callback)
    callback.remove(model)
    assert model.learning_rate == RATE and traces(model) == (0, 0, False)


def test_after_a_run_that_broke_off_one_without_callbacks_is_left_alone():
    model = build("PPO", policy_kwargs={"net_arch": [8], "optimizer_class": Broken})
    with pytest.raises(RuntimeError, match="out of order"):
        learn(model, "PPO", Halving())
    scale = model.learning_rate.scales["halving"]
    learn(model, "PPO")
    assert model.learning_rate.scales["halving"] == scale


class Counting(torch.optim.SGD):
    """Plain descent that counts its steps in its groups, as some optimizers do."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["n"] = group.get("n", 0) + 1


def test_what_an_optimizer_keeps_in_its_groups_is_kept():
    model = build("PPO", policy_kwargs={"net_arch": [8], "optimizer_class": Counting})
    learn(model, "PPO", TwoTimescale(actor=0.1, critic=1.0))
    assert [group["n"] for group in model.policy.optimizer.param_groups] == [8]


@pytest.mark.parametrize("optimizer", [AdamRel, Mechanic])
def test_splitting_is_right_with_optimizers_that_keep_more_than_a_rate(optimizer, tmp_path):
    kwargs = {"net_arch": [8], "optimizer_class": optimizer}
    plain = learn(build("PPO", policy_kwargs=dict(kwargs)), "PPO")
    split = learn(build("PPO", policy_kwargs=dict(kwargs)), "PPO", PerLayerLR({"value_net.*": 1.0 + 1e-15}))
    for a, b in zip(plain.policy.parameters(), split.policy.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    split.save(tmp_path / "model")
    learn(PPO.load(tmp_path / "model", env=split.get_env(), device="cpu"), "PPO", TwoTimescale(0.1, 1.0))


def test_buffers_and_models_can_be_saved_in_the_middle_of_a_run(tmp_path):
    model = build("DQN")
    learn(model, "DQN", [RNDAdaptiveLR(), CheckpointCallback(20, tmp_path, save_replay_buffer=True)])
    middle = DQN.load(tmp_path / "rl_model_20_steps", env=model.get_env(), device="cpu")
    middle.load_replay_buffer(tmp_path / "rl_model_replay_buffer_20_steps")
    assert type(middle.replay_buffer) is ReplayBuffer and vars(middle.replay_buffer).keys() == vars(model.replay_buffer).keys()
    learn(middle, "DQN", RNDAdaptiveLR())


def test_a_callback_inside_another_says_where_it_belongs():
    with pytest.raises(ValueError, match="inside EveryNTimesteps would miss rollouts"):
        learn(build("PPO"), "PPO", EveryNTimesteps(4, RNDAdaptiveLR()))


class Effective(BaseCallback):
    """What is logged as effective beside what the optimizer says, at the end of each update."""

    def _on_rollout_start(self):
        if self.num_timesteps:
            logged = {name: rate for name, rate in self.logger.name_to_value.items() if "effective" in name}
            self.found.append((logged, self.model.policy.optimizer.effective_lr))

    def _on_training_start(self):
        self.found = []

    _on_training_end = _on_rollout_start

    def _on_step(self):
        return True


@pytest.mark.parametrize("optimizer", [Mechanic, TRAC])
def test_with_a_tuner_the_effective_rate_is_the_rate_times_its_scale(optimizer):
    watch, label = Effective(), "train/learning_rate_effective"
    model = build("PPO", learning_rate=1.0, policy_kwargs={"net_arch": [8], "optimizer_class": optimizer})
    model.policy.optimizer.split(model.policy.named_parameters())
    learn(model, "PPO", [TwoTimescale(actor=0.5, critic=2.0), watch])
    for logged, effective in watch.found:
        assert logged[f"{label}_actor"] == pytest.approx(0.5 * effective["actor"])
        assert logged[f"{label}_critic"] == pytest.approx(2.0 * effective["critic"])
        assert 0.0 < logged[label] == max(logged[f"{label}_actor"], logged[f"{label}_critic"]) < 1e-3


# ---------------------------------------------------------------- schedules


def test_a_configuration_file_can_name_the_schedule():
    keywords = {"schedule": "warmup_ramp_decay", "base": 1.0e-4}
    callback = LearningRateSchedule(**keywords)
    assert callback.schedule == WarmupRampDecay(1e-4)
    assert LearningRateSchedule("piecewise", points=[[0, 1.0], [5, 2.0]]).schedule(5) == 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "exponential"}, "no schedule 'exponential'; there are constant, linear"),
        ({"schedule": "constant", "rate": 1.0}, "^LearningRateSchedule: constant has no 'rate'; it takes value$"),
        ({"schedule": "warmup_ramp_decay"}, "^LearningRateSchedule: warmup_ramp_decay needs base$"),
        (
            {"schedule": "linear", "init_valu": 1.0},
            "linear has no 'init_valu'; did you mean 'init_value'",
        ),
        ({"schedule": "linear", "init_value": 1.0}, "^LearningRateSchedule: linear needs end_value, transition_steps$"),
        ({"schedule": Constant(1.0), "total": -5}, "total must be a number in \\(0, inf\\), or None, not -5"),
        ({"schedule": Constant(1.0), "total": "many"}, "total must be a number in \\(0, inf\\), or None, not 'many'"),
        ({"schedule": Constant(1.0), "value": 1.0}, "value would go to a named schedule"),
        ({"schedule": Constant(1.0), "mode": "both"}, "mode must be 'rate' or 'factor'"),
    ],
)
def test_a_schedule_that_cannot_be_made_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LearningRateSchedule(**arguments)


@pytest.mark.parametrize("mode", ["rate", "factor"])
@pytest.mark.parametrize("schedule", [WarmupRampDecay(1e-2), WarmupRampDecay(1e-2, 8, 40), InverseDecay(1e-2, 16)], ids=repr)
def test_a_scheduled_rate_is_the_same_in_one_run_and_in_chunks(schedule, mode):
    def run(*chunks):
        model, found = build("A2C", learning_rate=1.0), []
        for i, chunk in enumerate(chunks):
            steps = Steps()
            callback = LearningRateSchedule(schedule, total=64, mode=mode)
            model.learn(chunk, [callback, steps], reset_num_timesteps=i == 0)
            found += [min(r.values()) for r in steps.rates]
        return found

    exact = schedule.over(64) if schedule.reach > 1 else schedule
    wanted = [exact(t if schedule.reach > 1 else t / 64) for t in range(8, 72, 8)]
    assert run(64) == run(24, 40) == pytest.approx(wanted, rel=1e-12)


# ---------------------------------------------------------------- layers


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PerLayerLR({"encoder.*": 0.1}), "no parameter of PPO's policy is 'encoder.*'.*mlp_extractor"),
        (lambda: PerLayerLR({"*": 0.1, "action_net.*": 2.0}), "'action_net.*' that no earlier pattern matches"),
        (lambda: PerLayerLR({"*": -0.1}), r"must be a number in \[0, inf\), not -0.1"),
        (lambda: PerLayerLR({"*": lambda progress: progress}), "unless a schedule, must be a number in .*, not <function"),
        (lambda: PerLayerLR({}), "names no parameters"),
        (lambda: PerLayerLR([("*", 0.1)]), "must map patterns of names to factors"),
        (lambda: TwoTimescale(actor="slow"), "the factor of 'actor', unless a schedule, must be a number in .*, not 'slow'"),
        (lambda: KLAdaptiveLR(target="small"), "KLAdaptiveLR: target must be a number, not 'small'"),
        (lambda: KLAdaptiveLR(relative=0.5), "relative must be two numbers, not 0.5"),
    ],
)
def test_a_pattern_or_factor_without_use_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        learn(build("PPO"), "PPO", make())


def test_time_scales_may_drift_apart_as_schedules():
    actor, critic = InverseDecay(1.0, 8, power=1.0), InverseDecay(1.0, 8, power=0.6)
    _, rates = rates_of("A2C", [TwoTimescale(actor=actor, critic=critic)])
    ratios = [r["action_net.weight"] / r["value_net.weight"] for r in rates]
    assert ratios == pytest.approx([(8 / t) ** 0.4 for t in (8, 16, 24, 32)])


# ---------------------------------------------------------------- uncertainty


@pytest.mark.parametrize("make", [RNDAdaptiveLR, lambda: EnsembleAdaptiveLR(2), lambda: MCDropoutAdaptiveLR(every=1)])
def test_after_loading_a_source_goes_on_as_if_never_interrupted(make, tmp_path):
    def scales(model, callback):
        steps = Steps()
        learn(model, "PPO", [callback, steps])
        return [min(r.values()) for r in steps.rates], callback.weighing.typical

    name = "dropout" if isinstance(make(), MCDropoutAdaptiveLR) else ""
    model = learn(build("PPO", name), "PPO", make())
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", env=build("PPO", name).get_env(), device="cpu")
    model.set_env(build("PPO", name).get_env())
    model.set_random_seed(3)
    uninterrupted = scales(model, make())
    loaded.set_random_seed(3)
    resumed = scales(loaded, make())
    assert uninterrupted == resumed and len(set(resumed[0])) > 1


class Noting:
    """A source that notes what it is asked."""

    def __init__(self):
        self.asked = []

    def update(self, states):
        pass

    def __call__(self, states):
        self.asked.append(states)
        return np.ones(len(states))


@pytest.mark.parametrize("algorithm", ["RecurrentPPO", "contrib.RecurrentPPO"])
def test_a_source_is_asked_of_every_so_many_th_batch_and_of_no_padding(algorithm):
    source, model = Noting(), build(algorithm, n_steps=64, batch_size=24, n_epochs=2)
    model.learn(64, RNDAdaptiveLR(every=2, source=source))
    seen = model.rollout_buffer.observations.reshape(-1, 4)
    assert len(source.asked) == 3 and {len(states) for states in source.asked} <= {24, 16}
    assert all((seen == row.numpy()).all(axis=1).any() for states in source.asked for row in states)


def test_new_states_raise_the_rate_and_known_ones_do_not():
    callback = RNDAdaptiveLR(decay=0.9)
    model = learn(build("PPO"), "PPO", callback, chunks=5)
    callback.init_callback(model)
    callback._on_training_start()
    seen = model.rollout_buffer.observations.reshape(-1, 4)
    known = callback.weighing(seen).mean()
    assert callback.weighing(seen + 5.0).mean() > 3.0 * known


@pytest.mark.parametrize("arguments", [{"every": 0}, {"min": 2.0, "max": 1.0}, {"decay": 1.0}, {"ensemble_size": 1}])
def test_a_source_callback_refuses_numbers_out_of_range(arguments):
    with pytest.raises(ValueError, match=r"\w+: "):
        EnsembleAdaptiveLR(**arguments)


def test_dropout_without_dropout_is_refused():
    with pytest.raises(ValueError, match="has no dropout"):
        learn(build("PPO"), "PPO", MCDropoutAdaptiveLR())
