"""Random and mutated world files: each is a world that keeps the contract, or is refused in one sentence, soon and cheaply.

How many there are follows Hypothesis' profile, see ``make fuzz``.
"""

import copy
import time
import warnings

import numpy as np
import pytest
import yaml
from fuzz import bounded_memory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from empo_gym import RobotEnv, load_world
from empo_gym.grid.map.parser import KEYS
from empo_gym.grid.map.tiles import all_codes
from empo_gym.worlds.files import world_files

SECONDS = 5.0
FILES = {name: path.read_text() for name, path in world_files().items() if path.parent.name != "large"}
CHECKED = settings(deadline=None, suppress_health_check=list(HealthCheck))

numbers = st.one_of(
    st.integers(-3, 12), st.sampled_from([10**30, 10**400, -(2**63), 0.5, -1.5, 1e308, float("nan"), float("inf")])
)
words = st.one_of(
    st.text(max_size=8), st.sampled_from([*KEYS, "tiles", "random", "allow", "1,1", "1,1,2,2", "y", "red", "e", "still"])
)
scalars = st.one_of(st.none(), st.booleans(), numbers, words)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(words, st.integers(0, 3)), inner, max_size=3)
    ),
    max_leaves=8,
)
codes = st.sampled_from([*all_codes(), "..", "..", "We", "Ay", "Ae", "XrKb", "Zz", "A"])
maps = st.lists(st.lists(codes, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=5).map("\n".join)


def try_world(source):
    """Load and step a world; let nothing through but one sentence, no long wait and no more than 1 GB."""
    begin = time.process_time()
    with bounded_memory():
        load_and_step(source)
    assert time.process_time() - begin < SECONDS


def load_and_step(source):
    """Load and step a world; let nothing through but one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            world = load_world(source)
        assert source is None or world.describe(world.initial_state())
        if world.n_joint <= 1 << 12:
            world.transition_probabilities(world.initial_state(), [0] * len(world.agents))
            env = RobotEnv(world=world, human_policy="uniform")
            env.reset(seed=0)
            env.step(env.action_space.sample())
            env.close()
    except ValueError as error:
        message = str(error)
        assert message and "\n" not in message and len(message) < 3000, message


@CHECKED
@given(st.dictionaries(st.one_of(st.sampled_from(KEYS), words), values, max_size=6), maps)
def test_a_random_mapping_is_a_world_or_one_sentence(mapping, drawn):
    try_world(mapping | {"map": drawn})


@CHECKED
@given(values)
def test_whatever_is_no_mapping_of_a_world_is_one_sentence(value):
    with pytest.raises(ValueError):
        load_world(value if isinstance(value, dict) else {"possible_goals": value})


def mutated(mapping, data):
    """Delete, repeat or replace something, however deep within."""
    mapping = copy.deepcopy(mapping)
    for _ in range(data.draw(st.integers(1, 3))):
        part = mapping
        while True:
            keys = list(part) if isinstance(part, dict) else list(range(len(part)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(part[key], dict | list) and data.draw(st.booleans()):
                part = part[key]
                continue
            change = data.draw(st.sampled_from(["delete", "replace", "rename", "characters"]))
            if change == "delete":
                del part[key]
            elif change == "characters" and isinstance(part[key], str) and part[key]:
                at = data.draw(st.integers(0, len(part[key]) - 1))
                part[key] = part[key][:at] + data.draw(st.one_of(codes, st.characters(codec="utf-8"))) + part[key][at + 1 :]
            elif change == "rename" and isinstance(part, dict):
                part[data.draw(words)] = part[key]
            else:
                part[key] = data.draw(values)
            break
    return mapping


@CHECKED
@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_shipped_file_with_something_changed_is_a_world_or_one_sentence(name, data):
    try_world(mutated(yaml.safe_load(FILES[name]), data))


@CHECKED
@given(st.sampled_from(sorted(FILES)), st.integers(0, 2**32 - 1))
def test_a_shipped_file_with_lines_and_letters_mixed_up_is_a_world_or_one_sentence(tmp_path_factory, name, seed):
    rng, text = np.random.default_rng(seed), FILES[name]
    for _ in range(rng.integers(1, 4)):
        at, length = int(rng.integers(len(text))), int(rng.integers(1, 30))
        piece = text[at : at + length]
        where = int(rng.integers(len(text)))
        signs = "".join(rng.choice(list("&*!?|>%@`[]{},:#-\"'\\\t 0aA<~\n"), size=2))
        text = (
            text[:where] + piece + text[where:],
            text[:at] + text[at + length :],
            text[:at] + signs + text[at:],
            "&a " + text + f"\nmetadata: {{tags: [{'*a, ' * 3}]}}\n",
        )[rng.integers(4)]
    path = tmp_path_factory.getbasetemp() / "mutated.yaml"
    path.write_text(text)
    try_world(path)
