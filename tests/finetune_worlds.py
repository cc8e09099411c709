"""A world like FR3VisualReach in a few lines of numpy: go to the bright dot, which only the picture shows."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from empo_sb3.finetune import SIZES, Size

TINY = Size(
    image_size=36,
    n_demonstrations=6,
    clone_epochs=4,
    diffusion_updates=20,
    n_envs=2,
    n_steps=16,
    total_steps=64,
    n_evaluations=2,
    evaluation_episodes=4,
    test_episodes=4,
    critic_episodes=3,
    film_episodes=1,
)
SIZES["tiny"] = TINY


class Dots(gym.Env):
    """``image`` has the target's dot, ``proprio`` one's own place in [-1, 1]^2; actions move by up to 0.2."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, image_size: int = 36, shift: str | None = None, render_mode: str | None = None) -> None:
        self.size, self.shift, self.render_mode = image_size, shift, render_mode
        picture = spaces.Box(0, 255, (3, image_size, image_size), np.uint8)
        self.observation_space = spaces.Dict({"image": picture, "proprio": spaces.Box(-1.0, 1.0, (2,), np.float32)})
        self.action_space = spaces.Box(-2.0, 2.0, (2,), np.float32)
        self.place, self.target, self.steps = np.zeros(2), np.zeros(2), 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.place, self.target, self.steps = np.zeros(2), self.np_random.uniform(-0.8, 0.8, 2), 0
        return self._see(), {}

    def step(self, action):
        self.place = np.clip(self.place + 0.1 * np.asarray(action), -1.0, 1.0)
        self.steps += 1
        distance = float(np.linalg.norm(self.place - self.target))
        done = distance < 0.15
        return self._see(), -distance + 5.0 * done, done, self.steps >= 12 and not done, {"is_success": done}

    def _see(self):
        picture = np.zeros((3, self.size, self.size), np.uint8)
        row, column = ((self.target + 1) / 2 * (self.size - 7)).astype(int)
        picture[:, row : row + 7, column : column + 7] = 255 if self.shift is None else 60
        return {"image": picture, "proprio": self.place.astype(np.float32)}

    def render(self):
        picture = self._see()["image"]
        row, column = ((self.place + 1) / 2 * (self.size - 1)).astype(int)
        picture[0, row : row + 4, column : column + 4] = 255
        picture[1, -4:, : 3 * self.steps] = 255  # a clock
        return picture.transpose(1, 2, 0)


def expert(env: gym.Env):
    """Straight to the target."""
    task: Any = env.unwrapped
    return lambda: np.clip(10 * (task.target - task.place), -2.0, 2.0).astype(np.float32)


class Silent(Dots):
    """Never says whether it succeeded."""

    def step(self, action):
        return (*super().step(action)[:4], {})


class ChannelsLast(Dots):
    """Shows pictures as most cameras do."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        picture = spaces.Box(0, 255, (self.size, self.size, 3), np.uint8)
        self.observation_space = spaces.Dict({"image": picture})


DOTS = "Dots-v0"
OPTIONS = {"env": DOTS, "size": "tiny", "expert": "finetune_worlds:expert"}
if DOTS not in gym.registry:
    gym.register(DOTS, "finetune_worlds:Dots")
    gym.register("my/Silent-v0", "finetune_worlds:Silent")
    gym.register("ChannelsLast-v0", "finetune_worlds:ChannelsLast")
