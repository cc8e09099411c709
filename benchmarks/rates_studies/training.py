"""PPO on small tasks: what a way of choosing the learning rate comes to.

Every run notes the return of each finished episode, the KL divergence of each update (after it, on its whole rollout),
SB3's ``approx_kl`` (the mean over the last epoch), and the rates of the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from empo_sb3.callbacks import KLAdaptiveLR
from empo_sb3.learning_rates.kl_bounded_scale import KLBoundedScale
from empo_sb3.learning_rates.kl_monitor import KLMonitor
from empo_sb3.optim import ScaledOptimizer
from empo_sb3.optim.presets import from_scratch

N_BINS = 40


@dataclass(frozen=True)
class Task:
    """
    An environment and PPO's settings for it; no learning rate.

    :param make: from a seed to a vectorized environment
    :param steps: environment steps of a run
    :param settings: of PPO
    """

    make: Callable[[int], VecEnv]
    steps: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """
    A way of choosing the learning rate.

    :param keywords: of PPO
    :param callbacks: made anew for each run
    """

    keywords: Callable[[], dict[str, Any]]
    callbacks: Callable[[], list[BaseCallback]] = list


def cartpole(seed: int) -> VecEnv:
    return make_vec_env("CartPole-v1", 4, seed=seed)


def wide_cartpole(seed: int) -> VecEnv:
    return make_vec_env("CartPole-v1", 8, seed=seed)


def acrobot(seed: int) -> VecEnv:
    return make_vec_env("Acrobot-v1", 8, seed=seed)


def doorkey(seed: int) -> VecEnv:
    import minigrid  # registers the environment
    from minigrid.wrappers import ImgObsWrapper

    assert minigrid
    return make_vec_env("MiniGrid-DoorKey-5x5-v0", 8, seed=seed, wrapper_class=lambda env: OneHot(ImgObsWrapper(env)))


def power(seed: int) -> VecEnv:
    """One of our worlds, whose reward is the humans' power under the exact solution."""
    from empo_gym.envs.cache import solved
    from empo_gym.envs.robot_env import RobotEnv
    from empo_gym.planning.finite_horizon import solve_robot

    one = RobotEnv(world=POWER_WORLD)
    solution = solve_robot(one.model, solved(one.model, one.theory), one.theory)
    return make_vec_env(lambda: RobotEnv(world=POWER_WORLD, reward="power", solution=solution), 8, seed=seed)


POWER_WORLD = "thicket"


class OneHot(gym.ObservationWrapper):
    """Minigrid's three numbers per cell as units of their own: kinds, colors and states have no order."""

    sizes = (11, 6, 3)

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        shape = env.observation_space.shape or ()
        self.observation_space = gym.spaces.Box(0.0, 1.0, (shape[0] * shape[1] * sum(self.sizes),), np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        parts = [np.eye(n, dtype=np.float32)[observation[..., i]] for i, n in enumerate(self.sizes)]
        return np.concatenate(parts, axis=-1).ravel()


SMALL = {"n_steps": 256, "batch_size": 64, "n_epochs": 10}
TASKS = {
    "cartpole": Task(cartpole, 25_000, SMALL),
    "acrobot": Task(acrobot, 60_000, {"n_steps": 128, "batch_size": 128, "n_epochs": 4, "gae_lambda": 0.94}),
    "doorkey": Task(doorkey, 100_000, {"n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.01}),
    "power": Task(power, 40_000, {"n_steps": 128, "batch_size": 128, "n_epochs": 4}),
}


def adam(rate: float) -> Arm:
    """Adam at a constant rate."""
    return Arm(lambda: {"learning_rate": rate})


def preset(base: float) -> Arm:
    """Mechanic as we advise: the preset ``from_scratch`` and a bound on the KL divergence, with their defaults."""
    return Arm(lambda: from_scratch(base), lambda: [KLBoundedScale()])


def decayed(base: float, **options: Any) -> Arm:
    """Mechanic with its own defaults, whose base rate falls to zero over the run."""
    return Arm(lambda: with_options(from_scratch(base), {"s_init": 1e-8, **options}))


def constant(base: float, **options: Any) -> Arm:
    """Mechanic with its own defaults at a constant base rate."""
    return Arm(lambda: {**decayed(base, **options).keywords(), "learning_rate": base})


def bounded(arm: Arm, bound: float) -> Arm:
    """The same with a bound on the KL divergence."""
    return Arm(arm.keywords, lambda: [*arm.callbacks(), KLBoundedScale(bound)])


def kl_adaptive(base: float, **options: Any) -> Arm:
    """Adam, its rate led by the KL divergence."""
    return Arm(lambda: {"learning_rate": base}, lambda: [KLAdaptiveLR(**options)])


def with_options(keywords: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """PPO's keywords with further options of the optimizer."""
    policy = keywords["policy_kwargs"]
    return {**keywords, "policy_kwargs": {**policy, "optimizer_kwargs": {**policy["optimizer_kwargs"], **options}}}


class Notes(BaseCallback):
    """What a run is judged by."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes: list[tuple[int, float]] = []
        self.approx_kls: list[float] = []
        self.rates: list[float] = []

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.episodes.append((self.num_timesteps, float(info["episode"]["r"])))
        return True

    def _on_rollout_start(self) -> None:
        seen = self.model.logger.name_to_value
        if "train/approx_kl" in seen:
            self.approx_kls.append(float(seen["train/approx_kl"]))
        optimizer = self.model.policy.optimizer  # type: ignore[union-attr]
        if isinstance(optimizer, ScaledOptimizer):
            self.rates.append(max(optimizer.effective_lr.values()))
        else:
            self.rates.append(float(seen.get("train/learning_rate_effective", seen.get("train/learning_rate", 0.0))))


def train(task: Task, arm: Arm, seed: int, steps: int) -> dict[str, Any]:
    """
    One run.

    :return: ``last_fifth`` (mean return of the episodes that ended there), ``curve`` (mean return in each of 40 equal parts),
        ``kls`` and ``approx_kls`` by update, ``rates`` before each update, and with :class:`KLAdaptiveLR` the mean of its KL
        after the first fifth as ``kl_after_fifth``
    """
    keywords, callbacks = arm.keywords(), arm.callbacks()
    model = PPO("MlpPolicy", task.make(seed), seed=seed, device="cpu", **{**task.settings, **keywords})
    start = [parameter.detach().clone() for parameter in model.policy.parameters()]
    notes, monitor = Notes(), KLMonitor(threshold=1e9)
    model.learn(steps, [*callbacks, monitor, notes])
    if all(th.equal(a, b) for a, b in zip(start, model.policy.parameters(), strict=True)):
        raise SystemExit("no parameter moved")
    assert model.env is not None
    model.env.close()
    found: dict[str, Any] = {
        "last_fifth": mean([r for t, r in notes.episodes if t > 0.8 * model.num_timesteps]),
        "curve": curve(notes.episodes, model.num_timesteps),
        "kls": short(update.kl for update in monitor.history),
        "approx_kls": short(notes.approx_kls),
        "rates": short(notes.rates[1:]),
    }
    for callback in callbacks:
        if isinstance(callback, KLAdaptiveLR):
            kls = [kl for kl, _ in callback.history]
            found["kl_after_fifth"] = mean(kls[len(kls) // 5 :])
    return found


def curve(episodes: list[tuple[int, float]], steps: int) -> list[float]:
    """Mean return of the episodes that ended in each part of the run; NaN becomes None, which JSON knows."""
    places = np.array([min(int(N_BINS * (t - 1) / steps), N_BINS - 1) for t, _ in episodes], dtype=int)
    returns = np.array([r for _, r in episodes])
    return [round(float(returns[places == i].mean()), 2) if (places == i).any() else None for i in range(N_BINS)]  # type: ignore[misc]


def short(numbers: Any) -> list[float]:
    """Four digits of each."""
    return [float(f"{number:.4g}") for number in numbers]


def mean(numbers: list[float]) -> float:
    """The mean, NaN of nothing."""
    return float(np.mean(numbers)) if numbers else float("nan")
