"""Do all callbacks refuse wrong keywords alike, in one sentence that says what to write?"""

import inspect

import gymnasium as gym
import pytest
import torch
from rates_matrix import build
from stable_baselines3.common.callbacks import BaseCallback
from test_diffusion_dppo import model_of

from empo_sb3 import RecurrentPPO, callbacks
from empo_sb3.callbacks import (
    Checkpoints,
    EmpoEvalCallback,
    EnsembleAdaptiveLR,
    ExactGap,
    KLAdaptiveLR,
    KLBoundedScale,
    KLMonitor,
    LearningRateSchedule,
    MCDropoutAdaptiveLR,
    PerLayerLR,
    RNDAdaptiveLR,
    TwoTimescale,
    WarmupStages,
)
from empo_sb3.imitation import UnfreezeFeatures

NUMBERS = {
    Checkpoints: lambda value: Checkpoints("folder", every=value),
    EmpoEvalCallback: lambda value: EmpoEvalCallback(gym.make("CartPole-v1"), every=value),
    EnsembleAdaptiveLR: lambda value: EnsembleAdaptiveLR(ensemble_size=value),
    ExactGap: lambda value: ExactGap(every=value),
    KLAdaptiveLR: lambda value: KLAdaptiveLR(target=value),
    KLBoundedScale: lambda value: KLBoundedScale(bound=value),
    KLMonitor: lambda value: KLMonitor(threshold=value),
    LearningRateSchedule: lambda value: LearningRateSchedule("constant", value=value),
    MCDropoutAdaptiveLR: lambda value: MCDropoutAdaptiveLR(n_samples=value),
    PerLayerLR: lambda value: PerLayerLR({"*": value}),
    RNDAdaptiveLR: lambda value: RNDAdaptiveLR(scale=value),
    TwoTimescale: lambda value: TwoTimescale(actor=value),
    WarmupStages: lambda value: WarmupStages([(value, ["*"])]),
    UnfreezeFeatures: lambda value: UnfreezeFeatures(100, factor=value),
}
MORE = {
    "relative": lambda value: KLAdaptiveLR(relative=(value, 2.0)),
    "max_lr": lambda value: KLAdaptiveLR(max_lr=value),
    "every": lambda value: RNDAdaptiveLR(every=value),
    "decay": lambda value: RNDAdaptiveLR(decay=value),
    "total": lambda value: LearningRateSchedule("constant", value=1.0, total=value),
    "total by parameter": lambda value: TwoTimescale(total=value),
    "patience": lambda value: KLMonitor(patience=value),
    "steps": lambda value: UnfreezeFeatures(value),
}


def test_every_callback_that_takes_numbers_is_tried():
    without = {"StageProgressBar", "WarmupMonitor", "gap_numbers"}
    assert {cls.__name__ for cls in NUMBERS} == {*callbacks.__all__, "UnfreezeFeatures"} - without


@pytest.mark.parametrize("value", ["5e-2", "many", float("nan"), True], ids=repr)
@pytest.mark.parametrize("make", [*NUMBERS.values(), *MORE.values()], ids=[*(cls.__name__ for cls in NUMBERS), *MORE])
def test_what_is_no_number_is_refused_by_its_name(make, value):
    with pytest.raises(ValueError, match=r"^\w+: [\w .,'\[\]*]+ must be an? (number|integer)[^;]*, not ") as error:
        make(value)
    assert ("write 0.05" in str(error.value)) == (value == "5e-2")


@pytest.mark.parametrize("value", [0, -3, 2.5])
def test_what_is_no_count_is_refused_by_its_name(value):
    for make in (NUMBERS[Checkpoints], NUMBERS[ExactGap], NUMBERS[WarmupStages], MORE["every"], MORE["patience"]):
        with pytest.raises(ValueError, match=rf"^\w+: [\w ]+ must be an integer >= 1, not {value}$"):
            make(value)


@pytest.mark.parametrize("make", [MORE["total"], MORE["total by parameter"]])
def test_a_run_of_no_length_is_refused(make):
    for value in (0, -100, float("inf")):
        with pytest.raises(ValueError, match=r"total must be a number in \(0, inf\)"):
            make(value)


def test_the_monitor_says_at_the_start_that_it_cannot_watch_a_diffusion_policy():
    model = model_of()
    with pytest.raises(ValueError, match=r"^KLMonitor: DPPO's DiffusionPolicy does not tell how probable an action was"):
        model.learn(256, KLMonitor())
    assert model.num_timesteps == 0


def test_the_help_of_recurrent_ppo_tells_of_every_parameter():
    named = set(inspect.signature(RecurrentPPO).parameters)
    assert named == {line.split()[1].rstrip(":") for line in RecurrentPPO.__doc__.splitlines() if ":param " in line}


def test_after_a_run_with_frozen_parameters_broke_off_a_step_of_the_users_own_moves_all():
    class Interrupt(BaseCallback):
        def _on_step(self):
            raise KeyboardInterrupt

    model = build("PPO")
    with pytest.raises(KeyboardInterrupt):
        model.learn(32, [WarmupStages([(1000, ["value_net*"])]), Interrupt()])
    before = [p.detach().clone() for p in model.policy.parameters()]
    for parameter in model.policy.parameters():
        parameter.grad = torch.ones_like(parameter)
    model.policy.optimizer.step()
    assert not any(torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
