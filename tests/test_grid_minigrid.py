"""One agent alone does exactly what it does in Minigrid, wherever the objects are the same."""

import numpy as np
import pytest
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.core.world_object import Ball, Box, Door, Goal, Key, Lava, Wall
from minigrid.minigrid_env import MiniGridEnv

from empo_gym.grid import load_world

# The robot is locked up in the last row; the human is the agent that is compared.
MAPS = {
    "doors and keys": "We We We We We We We\nWe .. Kr .. Lr .. We\n"
    "We .. Ay Cb .. Kb We\nWe Ob .. Ky .. Ly We\nWe We We We We We We",
    "balls and boxes": "We We We We We We We\nWe Bg XrKb .. Xp .. We\n"
    "We Ay .. XgBe .. Kr We\nWe .. Gr .. Ob .. We\nWe We We We We We We",
    "lava": "We We We We We We\nWe Ay .. La .. We\nWe .. Kr .. Cr We\nWe We We We We We",
}
COLOURS = {"r": "red", "g": "green", "b": "blue", "p": "purple", "y": "yellow", "e": "grey"}
ACTIONS = {"left": 0, "right": 1, "forward": 2, "pickup": 3, "drop": 4, "toggle": 5, "done": 6}


def minigrid_object(code):
    if code == "We":
        return Wall()
    if code == "La":
        return Lava()
    color = COLOURS[code[1]]
    if code[0] == "X":
        return Box(color, minigrid_object(code[2:]) if code[2:] else None)
    if code[0] in "LCO":
        return Door(color, is_open=code[0] == "O", is_locked=code[0] == "L")
    return {"K": Key, "B": Ball}[code[0]](color) if code[0] in "KB" else Goal()


class Twin(MiniGridEnv):
    """A Minigrid world with the same map."""

    def __init__(self, text):
        self.codes = [line.split() for line in text.splitlines()]
        mission = MissionSpace(mission_func=lambda: "")
        super().__init__(mission_space=mission, width=len(self.codes[0]), height=len(self.codes), max_steps=10**6)

    def _gen_grid(self, width, height):
        self.grid = Grid(width, height)
        for y, row in enumerate(self.codes):
            for x, code in enumerate(row):
                if code == "Ay":
                    self.agent_pos, self.agent_dir = (x, y), 0
                elif code != "..":
                    self.grid.set(x, y, minigrid_object(code))
        self.mission = ""

    def lying(self):
        cells = {(x, y): self.grid.get(x, y) for x in range(self.width) for y in range(self.height)}
        return {
            cell: thing for cell, thing in cells.items() if thing is not None and thing.type in ("key", "ball", "box", "door")
        }


def assert_same(twin, now):
    agent = now["agents"][0]
    assert (agent["x"], agent["y"]) == tuple(twin.agent_pos) and "eswn".index(agent["dir"]) == twin.agent_dir
    hands = agent["carrying"]
    assert (hands is None) == (twin.carrying is None)
    assert hands is None or (hands["type"], hands["color"]) == (twin.carrying.type, twin.carrying.color)
    lying = {(thing["x"], thing["y"]): thing for thing in now["objects"] if "x" in thing}
    assert lying.keys() == twin.lying().keys()
    for cell, thing in twin.lying().items():
        assert lying[cell]["type"] == thing.type
        if thing.type == "door":
            assert (lying[cell]["open"], lying[cell]["locked"]) == (thing.is_open, thing.is_locked)
        else:
            assert lying[cell]["color"] == thing.color


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("seed", range(4))
def test_a_lone_agent_behaves_as_in_minigrid(name, seed):
    text = MAPS[name]
    width = len(text.splitlines()[0].split())
    world = load_world(
        {"map": text + "\n" + " ".join(["Ae", *["We"] * (width - 1)]), "actions": "full", "possible_goals": ["1,1"]}
    )
    twin, state = Twin(text), world.initial_state()
    twin.reset()
    rng = np.random.default_rng(seed)
    names = list(ACTIONS)
    for _ in range(400):
        action = names[rng.choice(7, p=[0.15, 0.15, 0.3, 0.13, 0.13, 0.13, 0.01])]
        _, _, terminated, _, _ = twin.step(ACTIONS[action])
        human = world.agents[1].actions.index(action)
        ((_, state),) = world.transition_probabilities(state, [0, human])
        assert_same(twin, world.describe(state))
        if terminated and isinstance(twin.grid.get(*twin.agent_pos), Lava):
            assert not world.describe(state)["agents"][0]["alive"]
            break
