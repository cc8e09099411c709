"""What a network sees of a state: a flat vector of features, or planes in the shape of the map.

Features are one-hot codes of everything that can vary: columns and rows of agents and objects (only those that occur among the
places), directions, and one number per two-valued component. Planes begin with Minigrid's object, colour and state numbers of
each cell, followed by planes for the agents. Where there is a horizon T, t/T is the last feature, or the last plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from empo_gym.grid.describe import registers
from empo_gym.grid.layout import AGENT, BUSH, CONTROL, DISABLE, DOOR, KILL, LAVA, LOC, MAGIC, N_AGENTS, N_CELLS, PAUSE, STATE
from empo_gym.grid.layout import TERRAIN, TILE, UNSTEADY, Layout
from empo_gym.grid.tiles import COLOURS, WorldError, nearest

if TYPE_CHECKING:
    from empo_gym.grid.world import GridWorld

KINDS = ("features", "planes")
# Minigrid's numbers of objects and colours; ours continue behind them.
_OBJECT_NUMBERS = {"empty": 1, "wall": 2, "door": 4, "key": 5, "ball": 6, "box": 7, "goal": 8, "lava": 9}
_OWN = ("block", "rock", "floor_switch", "unsteady_ground", "bush", "magic_wall", "kill_button", "pause_switch")
_OBJECT_NUMBERS |= {name: 11 + k for k, name in enumerate((*_OWN, "disabling_switch", "control_button"))}
_COLOUR_NUMBERS = {"red": 0, "green": 1, "blue": 2, "purple": 3, "yellow": 4, "grey": 5}
_HIGH = 255.0
