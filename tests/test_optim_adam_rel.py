"""Is AdamRel Adam, but for a step count that starts anew?"""

import copy
import pickle

import pytest
import torch

from empo_sb3.optim import AdamRel


def run(optimizer_class, gradients, between=lambda optimizer, t: None, **options):
    x = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = optimizer_class([x], lr=0.1, **options)
    path = []
    for t, g in enumerate(gradients):
        between(optimizer, t)
        x.grad = torch.full_like(x, g)
        optimizer.step()
        path.append(x.detach().clone())
    return torch.stack(path), optimizer


GRADIENTS = [1.0] * 12 + [100.0] * 6


def test_never_reset_it_is_adam():
    assert torch.equal(run(AdamRel, GRADIENTS)[0], run(torch.optim.Adam, GRADIENTS)[0])


def test_a_period_resets_like_calls_at_the_same_steps():
    def between(optimizer, t):
        if t and t % 6 == 0:
            optimizer.reset_time()

    called, by_period = run(AdamRel, GRADIENTS, between)[0], run(AdamRel, GRADIENTS, period=6)[0]
    assert torch.equal(called, by_period) and not torch.equal(called, run(AdamRel, GRADIENTS)[0])


def test_where_gradients_jump_after_a_long_time_a_reset_keeps_the_step_at_about_the_rate():
    gradients = [1.0] * 1500 + [100.0]
    plain, relative = (run(c, gradients, **o)[0] for c, o in ((torch.optim.Adam, {}), (AdamRel, {"period": 1500})))
    lengths = [(path[-1] - path[-2]).abs().max().item() for path in (plain, relative)]
    assert lengths[0] > 0.25 and 0.09 < lengths[1] < 0.12


def test_the_moments_are_kept_over_a_reset():
    _, optimizer = run(AdamRel, GRADIENTS)
    (state,) = optimizer.state.values()
    moments = [state[key].clone() for key in ("exp_avg", "exp_avg_sq")]
    optimizer.reset_time()
    assert state["step"] == 0 and all(
        torch.equal(state[k], m) for k, m in zip(("exp_avg", "exp_avg_sq"), moments, strict=True)
    )


def test_copies_and_loaded_states_know_their_time():
    _, optimizer = run(AdamRel, GRADIENTS[:8], period=6)
    copies = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    loaded = run(AdamRel, [1.0], period=6)[1]
    loaded.load_state_dict(optimizer.state_dict())
    assert [state["step"].item() for o in [*copies, loaded] for state in o.state.values()] == [2.0] * 3
    assert all(o.param_groups[0]["period"] == 6 for o in [*copies, loaded])


def test_hooks_run_once():
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    seen = []
    run(AdamRel, [1.0], lambda optimizer, t: optimizer.register_step_post_hook(lambda *_: seen.append(t)))
    assert seen == [0]


@pytest.mark.parametrize("period", [-1, "rollout"])
def test_a_period_that_is_none_is_refused(period):
    with pytest.raises(ValueError, match="period"):
        run(AdamRel, [1.0], period=period)
