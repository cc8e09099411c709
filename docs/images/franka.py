"""Draws ``franka.png``: what people see above, what the policy sees below; Reach plain and shifted in three ways; Push."""

from pathlib import Path

import gymnasium as gym
import numpy as np
from PIL import Image

import empo_gym  # noqa: F401  registers the ids

SIDE = 240
SCENES = [("Reach", "none"), ("Reach", "camera"), ("Reach", "lighting"), ("Reach", "colour"), ("Push", "none")]


def square(picture: np.ndarray, how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), how))


columns = []
for task, shift in SCENES:
    env = gym.make(f"FR3Visual{task}-v0", shift=shift, render_mode="rgb_array")
    observation, _ = env.reset(seed=2)
    seen = square(observation["image"].transpose(1, 2, 0), Image.Resampling.NEAREST)
    columns.append(np.vstack([square(env.render(), Image.Resampling.LANCZOS), seen]))
    env.close()
Image.fromarray(np.hstack(columns)).save(Path(__file__).with_suffix(".png"), optimize=True)
