"""Do our tuners do what the published ones do? Against recorded trajectories, scipy, and a second writing of the rules."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special

from empo_sb3.optim import TRAC, Mechanic
from empo_sb3.optim.tuners import BETA, MechanicTuner, TRACTuner, erfi, scale

GOLDEN = json.loads((Path(__file__).parent / "golden" / "mechanic.json").read_text())
RUNS = sorted(GOLDEN["mechanic"])
BASES = {"sgd_lr1": ("sgd", {}), "adam_lr1": ("adam", {}), "adamw_lr1_wd0.01": ("adamw", {"weight_decay": 0.01})}
STEPS = {"quadratic": 40, "rosenbrock": 40, "logistic": 180}


def problem(name, dtype):
    """The parameters at the start, and the loss before step t as a function of t."""
    data = {
        key: torch.tensor(value, dtype=dtype) for key, value in GOLDEN["problems"][name].items() if isinstance(value, list)
    }
    if name == "logistic":
        w, b = (data[key].clone().requires_grad_() for key in ("w0", "b0"))

        def loss(t):
            rows = slice(16 * (t % 4), 16 * (t % 4) + 16)
            return torch.nn.functional.binary_cross_entropy_with_logits(data["X"][rows] @ w + b, data["y"][rows])

        return [w, b], loss
    x = data["x0"].clone().requires_grad_()
    if name == "quadratic":
        return [x], lambda t: 0.5 * (data["a"] * (x - data["c"]) ** 2).sum()
    curvature = GOLDEN["problems"][name]["b"]
    return [x], lambda t: (curvature * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def trajectory(run, dtype, optimizer_class=Mechanic, **options):
    """Per step: loss before it, scales and parameters after it."""
    name, base, variant = run.split("/")
    params, loss_at = problem(name, dtype)
    base_name, base_kwargs = BASES[base]
    optimizer = optimizer_class(params, lr=1.0, base=base_name, base_kwargs=base_kwargs, **options)
    for t in range(STEPS[name]):
        if variant == "linear_lr_decay":
            optimizer.param_groups[0]["lr"] = 1.0 - t / 200
        optimizer.zero_grad()
        loss = loss_at(t)
        loss.backward()
        optimizer.step()
        after = [p.detach().double().flatten().numpy().copy() for p in params]
        yield loss.item(), optimizer.tuners[0]["s"].copy(), after


def assert_like(recorded, run, rtol, dtype, **options):
    for t, (loss, s, params) in enumerate(trajectory(run, dtype, **options)):
        np.testing.assert_allclose(loss, recorded["loss"][t], rtol=rtol, atol=rtol)
        np.testing.assert_allclose(s.sum(), recorded["s_sum"][t], rtol=rtol)
        if (after := str(t + 1)) in recorded["params"]:
            np.testing.assert_allclose(s, recorded["s_vec"][after], rtol=rtol, atol=0)
            golden = recorded["params"][after]
            golden = golden if isinstance(golden[0], list) else [golden]
            for ours, theirs in zip(params, golden, strict=True):
                assert (np.abs(ours - theirs) <= rtol * (1 + np.abs(theirs))).all()


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
@pytest.mark.parametrize("run", RUNS)
def test_mechanic_follows_the_published_trajectory(run, dtype, rtol):
    decay = 0.0 if run.endswith("s_decay0") else 0.01
    assert_like(GOLDEN["mechanic"][run], run, rtol, dtype, clip_h=False, s_decay=decay)


def test_mechanic_would_not_follow_it_with_another_decay():
    run = "logistic/adam_lr1/store_delta"
    with pytest.raises(AssertionError):
        assert_like(GOLDEN["mechanic"][run], run, 1e-9, torch.float64, clip_h=False, s_decay=0.011)


def mechanic_by_hand(slopes, clip_h):
    """Mechanic's rule for plain numbers; the recorded runs lose too little to need the clamp of r."""
    n = len(BETA)
    s, v, r, m = [0.0] * n, [0.0] * n, [0.0] * n, [1e-6] * n
    for h in slopes:
        for i, beta in enumerate(BETA):
            felt = min(m[i], max(-m[i], h)) if clip_h else h
            r[i] = max(0.0, beta * r[i] - s[i] * felt)
            m[i] = max(beta * m[i], abs(h))
            v[i] = beta * beta * v[i] + h * h
            s[i] = (1e-8 * m[i] / n + r[i]) / (math.sqrt(v[i]) + 1e-8)
        yield list(s)


@pytest.mark.parametrize("clip_h", [True, False])
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30))
@example([-1.0] * 20 + [50.0] * 5)
def test_mechanic_bets_as_its_rule_says(clip_h, slopes):
    tuner = MechanicTuner(clip_h=clip_h)
    state = tuner.start()
    for h, bets in zip(slopes, mechanic_by_hand(slopes, clip_h), strict=True):
        state = tuner.update(state, h)
        np.testing.assert_allclose(state["s"], bets, rtol=1e-9, atol=1e-300)


@given(st.floats(1e-8, 9.0))
def test_erfi_agrees_with_scipy(x):
    assert abs(float(erfi(x)) / special.erfi(x) - 1) < 1e-12
    assert float(erfi(-x)) == -float(erfi(x))


def test_erfi_is_zero_at_zero_capped_at_nine_and_keeps_shapes():
    assert float(erfi(0.0)) == 0.0
    assert (
        erfi(np.array([[9.0, 12.0], [1e300, -np.inf]])).tolist() == (float(erfi(9.0)) * np.array([[1, 1], [1, -1]])).tolist()
    )


def trac_by_hand(slopes):
    """TRAC's rule for plain numbers, with scipy's erfi."""
    v, sigma = [0.0] * len(BETA), [1e-8] * len(BETA)
    for h in slopes:
        bets = []
        for i, beta in enumerate(BETA):
            v[i] = beta * beta * v[i] + h * h
            sigma[i] = beta * sigma[i] - h
            trend = min(9.0, max(-9.0, sigma[i] / (math.sqrt(2 * v[i]) + 1e-8)))
            bets.append(1e-8 * special.erfi(trend) / special.erfi(1 / math.sqrt(2)))
        yield bets


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30))
def test_trac_bets_as_its_rule_says(slopes):
    state, tuner = TRACTuner().start(), TRACTuner()
    for h, bets in zip(slopes, trac_by_hand(slopes), strict=True):
        state = tuner.update(state, h)
        np.testing.assert_allclose(state["s"], bets, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("name", ["quadratic", "logistic"])
def test_trac_descends_and_plays_the_sum_of_its_bets(name):
    losses = [loss for loss, _, _ in trajectory(f"{name}/adam_lr1/store_delta", torch.float64, TRAC)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("spike", [-1e6, 1e6])
def test_with_clipping_a_spike_wins_or_loses_no_more_than_the_largest_slope_before_it(spike):
    tuner, plain = MechanicTuner(), MechanicTuner(clip_h=False)
    state = tuner.start()
    for _ in range(30):
        state = tuner.update(state, -1.0)
    spiked, usual = tuner.update(state, spike), tuner.update(state, math.copysign(1.0, spike))
    assert (spiked["r"] == usual["r"]).all() and (spiked["s"] < usual["s"]).all()
    assert (plain.update(state, spike)["r"] != spiked["r"]).all()


@pytest.mark.parametrize("tuner", [MechanicTuner(max_growth=1.5), TRACTuner(max_growth=1.5)])
def test_the_scale_never_grows_faster_than_its_bound(tuner):
    rng, state = np.random.default_rng(0), tuner.start()
    for h in -(10.0 ** rng.uniform(-2, 2, 300)):
        before, state = scale(state), tuner.update(state, h)
        assert scale(state) <= 1.5 * max(before, 1e-6) * (1 + 1e-12)
    assert scale(state) > 1e-3


@pytest.mark.parametrize("options", [{"beta": ()}, {"beta": (0.9, 1.0)}, {"s_init": 0.0}, {"eps": 0.0}, {"max_growth": 1.0}])
@pytest.mark.parametrize("tuner", [MechanicTuner, TRACTuner])
def test_numbers_that_make_no_tuner_are_refused_by_name(tuner, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        tuner(**options)
