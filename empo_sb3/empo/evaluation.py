"""Choosing the best model by what the robot is for: that humans attain their goals, and the power that is left to them.

SB3's ``EvalCallback`` follows the environment's reward, which for EMPO is only a proxy.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from empo_gym.solution.solution import EmpoSolution
from empo_sb3.common.ranges import COUNT, FLAG, check, instance, optional

KINDS = {
    "every": COUNT,
    "n_episodes": COUNT,
    "best_model_save_path": optional(instance("a path", str, os.PathLike)),
    "solution": optional(instance("a solution", EmpoSolution)),
    "deterministic": FLAG,
}


class EmpoEvalCallback(BaseCallback):
    """
    Now and then let the robot act beside humans, and keep the best model of any SB3 algorithm on an ``EMPO-*`` environment.

    The score is the share of humans who attain a goal within an episode; where a solution is given (or EMPO has learned one),
    equal scores are decided by the mean power ``U_r`` of the visited states.

    :param eval_env: the environment to act in
    :param every: environment steps between two evaluations
    :param n_episodes: episodes in each
    :param best_model_save_path: folder for ``best_model.zip``, None for none
    :param solution: whose ``U_r`` is logged; by default what an EMPO model has learned itself
    :param deterministic: whether the most probable action is taken instead of drawing
    :param verbose: 1 prints each evaluation
    :raises ValueError: for another environment, in which no human attains anything
    """

    def __init__(
        self,
        eval_env: GymEnv,
        every: int = 5000,
        n_episodes: int = 50,
        best_model_save_path: str | os.PathLike | None = None,
        solution: EmpoSolution | None = None,
        deterministic: bool = False,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        check("EmpoEvalCallback", locals(), KINDS)
        self.eval_env: VecEnv = eval_env if isinstance(eval_env, VecEnv) else DummyVecEnv([lambda: eval_env])
        if not self.eval_env.has_attr("theory"):
            raise ValueError("EmpoEvalCallback counts the goals that humans attain; give an EMPO-* environment for eval_env")
        self.every, self.n_episodes, self.deterministic = every, n_episodes, deterministic
        self.folder = None if best_model_save_path is None else Path(best_model_save_path)
        self.solution = solution
        self.best = (-np.inf, -np.inf)
        """Attainment and power of the best model so far."""
        self.history: list[dict[str, float]] = []
        """One row per evaluation: ``step``, ``attainment``, ``power`` (NaN where there is no solution)."""

    def _on_training_start(self) -> None:
        self._last = self.num_timesteps

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._last + self.every:
            self._last = self.num_timesteps
            self._evaluate()
        return True

    def _on_training_end(self) -> None:
        if not self.history or self.history[-1]["step"] < self.num_timesteps:
            self._evaluate()

    def _evaluate(self) -> None:
        # In a world that is not packed nobody knows U_r everywhere
        known = getattr(self.model, "on_demand_model", None) is None
        learned = getattr(self.model, "solution", None) if known else None
        solution = self.solution or (learned() if learned is not None else None)
        attainment, power = play(self.model, self.eval_env, self.n_episodes, solution, self.deterministic)
        row = {"step": self.num_timesteps, "attainment": attainment, "power": power}
        self.history.append(row)
        self.logger.record("eval/attainment", attainment)
        self.logger.record("eval/power", power)
        score = (attainment, power if np.isfinite(power) else -np.inf)
        if self.verbose:
            print(f"[EmpoEval] step {row['step']}: attainment {attainment:.3f}, power {power:.4g}")
        if score > self.best:
            self.best = score
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.model.save(self.folder / "best_model.zip")


def play(
    model: Any, env: VecEnv, n_episodes: int, solution: EmpoSolution | None = None, deterministic: bool = False
) -> tuple[float, float]:
    """
    Let a model act.

    :param model: with SB3's ``predict``
    :param env: of ``EMPO-*`` environments
    :param n_episodes: how many to finish; each environment plays an equal share of them, decided beforehand, since counting
        whichever end first would prefer short ones
    :param solution: whose U_r is the power
    :return: share of the humans who attained a goal in an episode; mean U_r of the visited states (NaN without a solution)
    :raises ValueError: if the environments' infos do not hold what is counted
    """
    shares: list[float] = []
    powers: list[float] = []
    attained: list[Any] = [None] * env.num_envs
    left = [(n_episodes + i) // env.num_envs for i in range(env.num_envs)]
    obs, memory, starts = env.reset(), None, np.ones(env.num_envs, dtype=bool)
    while any(left):
        actions, memory = model.predict(obs, state=memory, episode_start=starts, deterministic=deterministic)
        obs, _, starts, infos = env.step(actions)
        for i, info in enumerate(infos):
            if not left[i]:
                continue
            _require(info, ["attained"] if solution is None else ["attained", "t", "state_id"])
            now = np.array(info["attained"], dtype=bool)
            before = attained[i]
            attained[i] = now if before is None else before | now
            if solution is not None and info["t"] < len(solution.u_r):
                powers.append(float(solution.u_r[info["t"], info["state_id"]]))
            if starts[i]:
                shares.append(float(np.mean(attained[i])))
                attained[i] = None
                left[i] -= 1
    return float(np.mean(shares)), float(np.mean(powers)) if powers else float("nan")


def _require(info: Mapping[str, Any], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in info]
    if missing:
        raise ValueError(
            f"The evaluation reads {' and '.join(missing)} in the environment's infos; let wrappers and info_keys= keep them."
        )
