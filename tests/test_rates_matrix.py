"""Every algorithm of SB3 and sb3-contrib under every rate callback: does it run, move by exactly the factor, and survive?"""

import copy
from pathlib import Path

import pytest
import torch
from rates_matrix import (
    ALGORITHMS,
    CALLBACKS,
    CORE,
    SUPPORTED,
    UNSUPPORTED,
    build,
    equal,
    learn,
    stored,
    supported,
    train_once,
)

from empo_sb3.learning_rates.slots import slots_of
from empo_sb3.learning_rates.step_hooks import optimizers_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "learning_rates.md"


def pairs(chosen):
    """All pairs; those of less used algorithms only where time allows."""
    return pytest.mark.parametrize(
        ("algorithm", "callback"),
        [pytest.param(*pair, marks=() if pair[0] in CORE else pytest.mark.slow, id="-".join(pair)) for pair in chosen],
    )


def test_most_pairs_are_supported():
    assert len(SUPPORTED) > 80
    assert not supported("DQN", "kl") and not supported("TD3", "kl") and not supported("TRPO", "kl")


def test_the_page_names_exactly_the_pairs_that_are_supported():
    columns = {
        "LearningRateSchedule": "schedule",
        "KLAdaptiveLR": "kl",
        "RNDAdaptiveLR": "rnd",
        "EnsembleAdaptiveLR": "ensemble",
    }
    columns |= {"MCDropoutAdaptiveLR": "dropout", "TwoTimescale": "timescale", "PerLayerLR": "layers"}
    lines = PAGE.read_text(encoding="utf-8").split("\n| supported |")[1].split("\n\n")[0].splitlines()
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    head, said = cells[0], {}
    for names, *answers in cells[2:]:
        for name in names.split(", "):
            said |= {(name, columns[of]): a.split()[0].strip(":,") for of, a in zip(head, answers, strict=True)}
    wanted = {(name, of): "yes" if supported(name, of) else "no" for name in ALGORITHMS for of in columns.values()}
    assert said == wanted


@pairs(UNSUPPORTED)
def test_an_unsupported_pair_says_so_in_one_sentence_when_the_callback_starts(algorithm, callback):
    model = build(algorithm)
    with pytest.raises(ValueError, match=rf"^\w+: [^.]*{algorithm.split('.')[-1]}[^.]*$") as error:
        learn(model, algorithm, CALLBACKS[callback](1.0))
    assert "\n" not in str(error.value) and model.num_timesteps == 0


@pairs(SUPPORTED)
def test_at_factor_one_the_run_is_bit_for_bit_the_same(algorithm, callback):
    plain = learn(build(algorithm, callback), algorithm, chunks=2)
    watched = learn(build(algorithm, callback), algorithm, CALLBACKS[callback](1.0), chunks=2)
    assert equal(plain.get_parameters(), watched.get_parameters())
    assert plain.learning_rate == pytest.approx(watched.lr_schedule(0.5))


@pairs(SUPPORTED)
def test_it_runs_logs_saves_loads_and_goes_on(algorithm, callback, tmp_path):
    model = learn(build(algorithm, callback), algorithm, CALLBACKS[callback](0.5))
    assert "train/learning_rate_effective" in model.logger.name_to_value
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", env=model.get_env(), device="cpu")
    assert loaded.learning_rate.scales == model.learning_rate.scales
    assert [loaded.lr_schedule(share) for share in (1.0, 0.5, 0.0)] == [model.lr_schedule(share) for share in (1.0, 0.5, 0.0)]
    again = CALLBACKS[callback](0.5)
    learn(loaded, algorithm, again)
    again.remove(loaded)
    assert loaded.learning_rate == pytest.approx(1e-3)
    learn(loaded, algorithm)


def moves(model, callback, buffers):
    """
    How far every step of one ``train()`` moves every parameter, each step from zero (so that rounding is relative to the
    move) and taken back (so that all steps of two runs see the same).
    """
    found = []

    def before(optimizer, *_):
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.at = {p: p.detach().clone() for p in parameters}
        for p in parameters:
            p.data.zero_()

    def after(optimizer, *_):
        found.append({names.get(id(p), "other"): p.detach().clone() for p in optimizer.at})
        for p, value in optimizer.at.items():
            p.data.copy_(value)

    names = {id(p): name for name, p in model.policy.named_parameters()}
    for name, buffer in buffers.items():
        setattr(model, name, copy.deepcopy(buffer))
    if callback is not None:
        callback.init_callback(model)
        callback.on_training_start({}, {})
        callback.on_rollout_end()
    for optimizer in optimizers_of(model).values():
        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(after)
    train_once(model)
    return found


@pairs(SUPPORTED)
def test_one_step_from_a_copied_state_changes_by_exactly_the_factor(algorithm, callback, tmp_path):
    model = learn(build(algorithm, callback), algorithm)
    buffers = stored(model)
    model.save(tmp_path / "model")
    plain, scaled = (type(model).load(tmp_path / "model", env=model.get_env(), device="cpu") for _ in range(2))
    for each in (plain, scaled):
        each._logger, each.start_time, each._total_timesteps = model.logger, 1, model._total_timesteps
    if callback == "kl":  # from no divergence, the rule keeps the rate that it found
        slots_of(scaled).scales["kl"] = 0.5
    alone = moves(plain, None, buffers)
    together = moves(scaled, CALLBACKS[callback](0.5), buffers)
    assert len(alone) == len(together) > 0
    compared = 0
    for a, b in zip(alone, together, strict=True):
        for name in a:
            factor = 1.0 if name == "other" and callback in ("timescale", "layers") else 0.5
            torch.testing.assert_close(b[name], factor * a[name], rtol=1e-6, atol=0.0)
            compared += int(a[name].abs().max() > 0)
    assert compared > 0
