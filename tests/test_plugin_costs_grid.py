"""How many files of the project a new tile and a new kind of observation touch."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from empo_gym import load_world
from empo_gym.grid.map.tiles import KINDS as TILES
from empo_gym.grid.observations import kinds

ROOT = Path(__file__).parent.parent
# Mud lets an agent in with the chance 1/4: file -> what stands there today, and what takes its place.
MUD = {
    "map/tiles.py": [
        ("EMPTY, TILE, UNSTEADY, LAVA, DOOR,", "EMPTY, TILE, UNSTEADY, MUD, LAVA, DOOR,"),
        ("CONTROL = range(11)", "CONTROL = range(12)"),
        ('    "goal": Kind(', '    "mud": Kind(21, ",,", MUD, "Mu"),\n    "goal": Kind('),
    ],
    "rendering/tiles.py": [
        (
            '    "floor_switch": lambda',
            '    "mud": lambda canvas, tile, now: canvas.paint(canvas.y > 0.5, (90, 60, 30)),\n    "floor_switch": lambda',
        )
    ],
    "dynamics/movement.py": [
        ("    if terrain == T.DOOR:", "    if terrain == T.MUD:\n        return 0.25\n    if terrain == T.DOOR:")
    ],
}
PLAY = """
from empo_gym import load_world
from empo_gym.grid.rendering.render import render, render_text
world = load_world({"map": "Ay Mu ..\\nAe We ..", "orientations": ["e", "n"], "max_steps": 5})
state = world.initial_state()
forward, still = world.spec.actions.index("forward"), world.spec.actions.index("still")
print(sorted((p, world.describe(s)["agents"][0]["x"]) for p, s in world.transition_probabilities(state, (still, forward))))
print(world.observe([state], kind="planes")[0, 0, 1, 0], render_text(world, state).splitlines()[0].split()[1])
plain = load_world({"map": "Ay .. ..\\nAe We ..", "orientations": ["e", "n"], "max_steps": 5})
print((render(world, state) != render(plain, plain.initial_state())).any(), world.state(world.describe(state)) == state)
"""


def test_a_new_tile_is_one_row_one_picture_and_one_rule(tmp_path):
    for folder in ("empo_gym", "envs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    grid = tmp_path / "empo_gym" / "grid"
    for name, edits in MUD.items():
        text = (grid / name).read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        (grid / name).write_text(text, encoding="utf-8")
    # Not compiled, since a copy of the kernels would be compiled from scratch.
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run(
        [sys.executable, "-c", PLAY], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["[(0.25, 1), (0.75, 0)]", "21.0 ,,", "True True"]
    assert len(MUD) == 3


@pytest.mark.parametrize("name", [name for name, kind in TILES.items() if kind.code and kind.number > 10])
def test_the_code_of_a_plain_tile_stands_in_the_table_alone(name):
    folder, code = ROOT / "empo_gym" / "grid", TILES[name].code
    written = re.compile(rf'"{re.escape(code)}"')
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if written.search(path.read_text("utf-8"))}
    assert found - {"map/generator.py"} == {"map/tiles.py"}


def test_a_new_kind_of_observation_is_a_module_and_a_row(tmp_path, monkeypatch):
    (tmp_path / "counted_agents.py").write_text(
        "import numpy as np\nfrom gymnasium import spaces\n"
        "def space(world):\n    return spaces.Box(0, len(world.agents), (1,), np.float32)\n"
        "def seen(world, states, t):\n    return world.alive(states).sum(axis=1, keepdims=True).astype(np.float32)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(kinds.KINDS, "counted_agents", kinds.GridObservation("counted_agents", "seen", "space"))
    world = load_world("key_choice")
    seen = world.observe([world.initial_state()] * 2, kind="counted_agents")
    assert isinstance(world.observation_space_of("counted_agents"), spaces.Box)
    assert np.array_equal(seen, [[len(world.agents)]] * 2)


def test_tiles_have_numbers_and_codes_of_their_own():
    for values in ([kind.number for kind in TILES.values()], [kind.code for kind in TILES.values() if kind.code]):
        assert len(set(values)) == len(values)
