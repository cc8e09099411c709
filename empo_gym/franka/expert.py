"""Teachers that know where everything is: scripted experts, and demonstrations by them for a policy that only sees.

An expert is a function of the present state alone, so that it can label any state, also one it would not have come to. That is
what makes noisy demonstrations useful: noise is added to the action that is **executed**, which leads to states beside the
expert's path, while the **label** stays what the expert wants there, which shows the way back (Laskey et al. 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from empo_gym.franka.env import MAX_DELTA, FR3VisualEnv, whole_number
from empo_gym.franka.tasks import FR3VisualPush, FR3VisualReach
from empo_gym.util.files import write_whole

Expert = Callable[[], np.ndarray]

HOVER = 0.07  # height in metres at which the finger passes over the puck
PUSHING = 0.025  # and at which it pushes
LOW = 0.05  # below this the finger can touch the puck
STAND_OFF = 0.03  # metres between the puck's rim and the finger's middle when it comes down
LANE = 0.02  # metres to the side of the push line up to which pushing on makes sense
PUSH_STEP = 0.03  # metres per step: slow enough for the puck to stay with the finger


def expert_for(env) -> Expert:
    """The scripted expert of an environment (wrappers allowed): a callable without arguments that returns an action (3,).

    :raises ValueError: if there is none for this environment
    """
    task = env.unwrapped
    if isinstance(task, FR3VisualReach):
        return lambda: reach_action(task)
    if isinstance(task, FR3VisualPush):
        return lambda: push_action(task)
    raise ValueError(f"there is no scripted expert for {task!r}; there are experts for FR3VisualReach and FR3VisualPush")


def _towards(task: FR3VisualEnv, place: np.ndarray, reach: float = MAX_DELTA) -> np.ndarray:
    """The action (3,) float32 that brings the finger straight to a place (3,), at most ``reach`` metres at a time."""
    way = place - task.tip
    length = max(float(np.linalg.norm(way)), 1e-9)
    return (way * min(1.0, reach / length) / MAX_DELTA).astype(np.float32)


def reach_action(task: FR3VisualReach) -> np.ndarray:
    """Straight to the target."""
    return _towards(task, task.target)


def push_action(task: FR3VisualPush) -> np.ndarray:
    """Rise, pass over the puck, come down behind it, push along the line to the marker; start again when off that line."""
    tip, puck = task.tip, task.puck
    way = task.target - puck
    ahead = way / max(np.linalg.norm(way), 1e-9)
    side = np.array([-ahead[1], ahead[0]])
    along, across = (tip[:2] - puck) @ ahead, (tip[:2] - puck) @ side
    low, distance = tip[2] < LOW, np.linalg.norm(tip[:2] - puck)
    if low and along < 0 and abs(across) < LANE:
        forward = PUSH_STEP * (1 - abs(across) / LANE)  # first in line, then ahead: a push beside the middle turns the way
        aim = tip[:2] + forward * ahead - across * side
        return _towards(task, np.array([*aim, PUSHING]))
    behind = puck - (task.RADIUS + STAND_OFF) * ahead
    if np.linalg.norm(tip[:2] - behind) < 0.7 * LANE:
        return _towards(task, np.array([*behind, PUSHING]))
    if tip[2] < HOVER - 0.02 and distance < task.RADIUS + 2 * STAND_OFF:
        return _towards(task, np.array([*tip[:2], HOVER]))
    return _towards(task, np.array([*behind, HOVER]))


@dataclass(frozen=True)
class Demonstrations:
    """Steps of all demonstrated episodes, one after the other; n steps.

    ``images`` uint8 (n, 3, size, size) and ``proprio`` float32 (n, 10) are what was seen before acting, ``actions`` float32
    (n, 3) the expert's labels, ``executed`` the noisy actions that were carried out; ``rewards`` (n,), ``starts`` (n,) bool
    marks first steps of episodes, ``terminated`` (n,) bool steps that ended one with success.
    """

    images: np.ndarray
    proprio: np.ndarray
    actions: np.ndarray
    executed: np.ndarray
    rewards: np.ndarray
    starts: np.ndarray
    terminated: np.ndarray

    @property
    def observations(self) -> dict[str, np.ndarray]:
        """The observations as the environment's ``Dict`` space has them."""
        return {"image": self.images, "proprio": self.proprio}

    @property
    def n_episodes(self) -> int:
        """How many episodes there are."""
        return int(self.starts.sum())

    @property
    def success_rate(self) -> float:
        """Share of episodes that ended with success."""
        return float(self.terminated.sum() / max(self.n_episodes, 1))

    def save(self, path: str | Path) -> None:
        """Write a compressed ``.npz`` file, whole or not at all."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}

        def write(unfinished: Path) -> None:
            with unfinished.open("wb") as file:
                np.savez_compressed(file, **arrays)

        write_whole(path, write)

    @classmethod
    def load(cls, path: str | Path) -> Demonstrations:
        """Read what ``save`` wrote.

        :raises ValueError: if the file holds no demonstrations
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(**{field.name: file[field.name] for field in fields(cls)})
        except (KeyError, ValueError, OSError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} holds no demonstrations of a scripted expert: {error}") from error


def demonstrate(env, n_episodes: int, noise: float = 0.0, seed: int = 0, expert: Expert | None = None) -> Demonstrations:
    """Let an expert act for some episodes and keep what was seen and what it wanted.

    :param env: an FR3 environment, wrappers allowed as long as observations stay ``image`` and ``proprio``
    :param n_episodes: how many; episode i is the one of seed ``seed + i``
    :param noise: standard deviation of the Gaussian noise on executed actions, in action units (1 is ``MAX_DELTA`` metres)
    :param seed: of the noise and of the episodes
    :param expert: another expert than the environment's own
    :raises ValueError: for a negative number, or one that is not finite
    """
    n_episodes = whole_number("n_episodes", n_episodes)
    if n_episodes < 1 or not 0 <= noise < np.inf:
        raise ValueError(f"demonstrations need n_episodes >= 1 and noise >= 0, not {n_episodes} and {noise}")
    expert = expert or expert_for(env)
    rng = np.random.default_rng(seed)
    rows: dict[str, list] = {field.name: [] for field in fields(Demonstrations)}
    for episode in range(n_episodes):
        observation, _ = env.reset(seed=seed + episode)
        first, over = True, False
        while not over:
            label = np.asarray(expert(), np.float32)
            executed = np.clip(label + noise * rng.standard_normal(label.shape), -1, 1).astype(np.float32)
            following, reward, done, late, _ = env.step(executed)
            row = (observation["image"], observation["proprio"], label, executed, np.float32(reward), first, done)
            for column, value in zip(rows.values(), row, strict=True):
                column.append(value)
            observation, first, over = following, False, done or late
    return Demonstrations(**{name: np.stack(column) for name, column in rows.items()})
