"""Callbacks that observe EMPO while it trains, and keep what it needs to go on.

The losses of a bootstrapped learner say little: they shrink whenever the targets stand still. Where the world can be planned,
:class:`ExactGap` shows the truth instead, the distance to the exact solution while it trains.
"""

from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from empo_gym.planning.finite_horizon import solve_robot
from empo_gym.solution.solution import EmpoSolution
from empo_sb3.common.ranges import COUNT, check, instance, optional
from empo_sb3.empo.empo import EMPO
from empo_sb3.empo.quantities import QUANTITIES
from empo_sb3.empo.timeline import Stage

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
        if self.exact is None and self.model.on_demand_model is not None:
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


class WarmupMonitor(BaseCallback):
    """
    Keep a record of EMPO's stages: one row for each, with the steps and, at its end, the losses.

    :param verbose: 1 prints a row when its stage ends
    """

    def __init__(self, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.history: list[dict[str, Any]] = []
        """Rows with ``stage``, ``name``, ``start``, ``end``, ``beta_r`` (at the end) and ``losses``."""

    def _on_training_start(self) -> None:
        if not isinstance(self.model, EMPO):
            raise ValueError(
                f"WarmupMonitor watches EMPO, not {type(self.model).__name__}; WarmupStages makes stages for others"
            )
        self._losses: dict[str, float] = {}
        self._stage: Stage | None = None

    def _on_rollout_start(self) -> None:
        model = self.model
        stage = model.config.get_stage(max(model._n_updates - 1, 0))  # type: ignore[attr-defined]
        if stage != self._stage:
            self._close()
            self._stage, self._losses = stage, {}
            self.history.append({"stage": stage.number, "name": stage.name, "start": model._n_updates and stage.start})
        recorded = {q: self.logger.name_to_value.get(f"train/{q}_loss") for q in model.config.networks}  # type: ignore[attr-defined]
        self._losses |= {q: float(loss) for q, loss in recorded.items() if loss is not None}

    def _on_training_end(self) -> None:
        self._on_rollout_start()
        self._close()

    def _on_step(self) -> bool:
        return True

    def _close(self) -> None:
        if not self.history or "end" in self.history[-1]:
            return
        model, row = self.model, self.history[-1]
        stage_end = self._stage.end if self._stage is not None else None
        end = model._n_updates if stage_end is None else min(stage_end, model._n_updates)
        beta_r = model.config.get_effective_beta_r(end)  # type: ignore[attr-defined]
        row |= {"end": end, "beta_r": beta_r, "losses": dict(self._losses)}
        if self.verbose:
            losses = ", ".join(f"{q} {loss:.3g}" for q, loss in row["losses"].items())
            print(f"[WarmupMonitor] {row['name']}: steps {row['start']} to {end}, beta_r {beta_r:.4g}, losses {losses}")
