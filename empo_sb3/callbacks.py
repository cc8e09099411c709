"""Observers of a training run, and the callbacks of :mod:`empo_sb3.learning_rates` for any SB3 algorithm.

The losses of a bootstrapped learner say little: they shrink whenever the targets stand still. Where the world can be planned,
:class:`ExactGap` shows the truth instead, the distance to the exact solution while it trains.
"""

from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from empo_gym.planning.finite_horizon import solve_robot
from empo_gym.solution.solution import EmpoSolution
from empo_sb3.common.ranges import COUNT, check, instance, optional
from empo_sb3.empo import EMPO
from empo_sb3.empo.evaluation import EmpoEvalCallback
from empo_sb3.empo.progress import StageProgressBar
from empo_sb3.empo.timeline import QUANTITIES
from empo_sb3.learning_rates.kl_bounded_scale import KLBoundedScale
from empo_sb3.learning_rates.kl_lr import KLAdaptiveLR
from empo_sb3.learning_rates.kl_monitor import KLMonitor
from empo_sb3.learning_rates.per_layer import PerLayerLR, TwoTimescale
from empo_sb3.learning_rates.schedule_callback import LearningRateSchedule
from empo_sb3.learning_rates.uncertainty_lr import EnsembleAdaptiveLR, MCDropoutAdaptiveLR, RNDAdaptiveLR
from empo_sb3.learning_rates.warmup_stages import WarmupMonitor, WarmupStages

__all__ = [
    "Checkpoints",
    "EmpoEvalCallback",
    "EnsembleAdaptiveLR",
    "ExactGap",
    "KLAdaptiveLR",
    "KLBoundedScale",
    "KLMonitor",
    "LearningRateSchedule",
    "MCDropoutAdaptiveLR",
    "PerLayerLR",
    "RNDAdaptiveLR",
    "StageProgressBar",
    "TwoTimescale",
    "WarmupMonitor",
    "WarmupStages",
    "gap_numbers",
]

WATCHED = (*QUANTITIES, "pi_r")


class Checkpoints(BaseCallback):
    """
    Keep a checkpoint of the whole run, for :meth:`EMPO.resume`; the last one is of the end of training.

    :param folder: where to
    :param every: training steps between two
    """

    def __init__(self, folder: str | Path, every: int = 10_000) -> None:
        super().__init__()
        check("Checkpoints", locals(), {"folder": instance("a path", str, Path), "every": COUNT})
        self.folder, self.every = folder, every
        self._last = 0

    def _on_training_start(self) -> None:
        self._last = self.model._n_updates

    def _on_rollout_start(self) -> None:
        if self.model._n_updates >= self._last + self.every:
            self._write()

    def _on_training_end(self) -> None:
        self._write()

    def _on_step(self) -> bool:
        return True

    def _write(self) -> None:
        self.model.save_checkpoint(self.folder)  # type: ignore[attr-defined]
        self._last = self.model._n_updates


class ExactGap(BaseCallback):
    """
    Log how far the learned solution is from the exact one, over all reachable (t, state).

    ``gap/{q}`` is the mean absolute difference of each quantity; ``gap/v_h_e_rmse``, ``gap/pi_r_total_variation`` (a mean) and
    ``gap/v_r_relative_at_start`` are the three numbers by which learners are judged. While beta_r rises, the learned policy is
    that of the present beta_r.

    :param every: training steps between two looks
    :param exact: the exact solution; by default it is solved when the training starts
    :param verbose: 1 prints the three numbers at each look
    """

    def __init__(self, every: int = 1000, exact: EmpoSolution | None = None, verbose: int = 0) -> None:
        super().__init__(verbose)
        check("ExactGap", locals(), {"every": COUNT, "exact": optional(instance("a solution", EmpoSolution))})
        self.every, self.exact = every, exact
        self.history: list[dict[str, float]] = []
        """One row per look: ``step`` and the logged numbers."""

    def _on_training_start(self) -> None:
        if not isinstance(self.model, EMPO):
            raise ValueError(f"ExactGap watches EMPO, not {type(self.model).__name__}: others learn no solution")
        if self.exact is None and self.model.grown is not None:
            raise ValueError("ExactGap cannot solve a world that is not packed; give it the solution as exact=")
        if self.exact is None:
            targets = self.model.targets
            self.exact = solve_robot(targets.model, targets.prior, targets.theory)
        self._look()

    def _on_step(self) -> bool:
        if self.model._n_updates >= self.history[-1]["step"] + self.every:
            self._look()
        return True

    def _on_training_end(self) -> None:
        if self.model._n_updates > self.history[-1]["step"]:
            self._look()

    def _look(self) -> None:
        row: dict[str, float] = {"step": self.model._n_updates}
        row |= gap_numbers(self.exact.compare(self.model.solution()))  # type: ignore[union-attr,attr-defined]
        for name, number in row.items():
            if name != "step":
                self.logger.record(f"gap/{name}", number)
        if self.verbose:
            judged = "v_h_e_rmse", "pi_r_total_variation", "v_r_relative_at_start"
            print(f"[ExactGap] step {row['step']}: " + ", ".join(f"{name} {row[name]:.4g}" for name in judged))
        self.history.append(row)


def gap_numbers(differences: dict[str, dict[str, Any]]) -> dict[str, float]:
    """
    What is logged of ``exact.compare(learned)``.

    :param differences: by quantity, by measure
    :return: the mean of each watched quantity under its name, further measures under ``{quantity}_{measure}``
    """
    numbers = {}
    for q in WATCHED:
        for measure, number in differences[q].items():
            if measure == "mean":
                numbers[q] = float(number)
            elif measure != "largest":
                numbers[f"{q}_{measure}"] = float(number)
    return numbers
