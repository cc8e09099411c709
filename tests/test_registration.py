"""Which ids exist, that importing them is cheap, and the ways of naming a world."""

import subprocess
import sys

import gymnasium as gym
import pytest

import empo_gym
from empo_gym.registration import DEFAULT_ID, DEFAULT_WORLD, env_id, env_ids
from empo_gym.util.recent import Recent
from empo_gym.worlds import files
from empo_gym.worlds.files import world_files


def test_importing_the_package_registers_ids_without_reading_worlds_or_loading_the_heavy_libraries():
    code = (
        "import sys, gymnasium, empo_gym; "
        "assert 'EMPO-Grid-v0' in gymnasium.registry; "
        "print([m for m in ('numba', 'minigrid', 'yaml', 'torch', 'matplotlib', 'empo_gym.envs') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    "name, identifier",
    [("key_choice", "EMPO-KeyChoice-v0"), ("chain", "EMPO-Chain-v0"), ("two_2x2_rooms", "EMPO-Two2x2Rooms-v0")],
)
def test_the_id_of_a_world_is_its_name_in_camel_case(name, identifier):
    assert env_id(name) == identifier


def test_every_world_file_has_an_id_of_its_own_and_the_default_world_the_short_one_too():
    ids = env_ids()
    assert ids[DEFAULT_ID] == DEFAULT_WORLD and DEFAULT_WORLD in world_files()
    assert sorted(ids.values()) == sorted([*world_files(), DEFAULT_WORLD])
    assert all(gym.spec(identifier).kwargs["world"] == name for identifier, name in ids.items())


def test_specs_are_plain_data_so_that_other_processes_can_make_the_environment():
    spec = gym.spec(DEFAULT_ID)
    assert spec.entry_point == "empo_gym.envs.robot_env:RobotEnv"
    assert gym.envs.registration.EnvSpec.from_json(spec.to_json()).kwargs == spec.kwargs


def test_two_files_of_one_name_are_an_error_that_names_both(tmp_path, monkeypatch):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin.yaml").write_text("map: ''")
    monkeypatch.setattr(files, "worlds_directory", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"twin.*a.twin\.yaml.*b.twin\.yaml"):
        world_files()


def test_a_world_may_be_given_by_name_by_path_as_a_mapping_or_as_an_object():
    named = gym.make("empo_gym:EMPO-Grid-v0", world="chain").unwrapped.world
    for source in (world_files()["chain"], str(world_files()["chain"]), named.mapping, named):
        assert gym.make(DEFAULT_ID, world=source).unwrapped.world == named
    assert gym.make("EMPO-Chain-v0").unwrapped.world == named


def test_a_wrong_name_is_an_error_that_suggests_the_nearest():
    with pytest.raises(ValueError, match="key_door"):
        gym.make(DEFAULT_ID, world="key_dor")


def test_public_names_are_those_of_their_modules_and_unknown_ones_are_attribute_errors():
    assert set(empo_gym.__all__) <= set(dir(empo_gym))
    for name in empo_gym.__all__:
        assert getattr(empo_gym, name).__module__.startswith("empo_gym.")
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = empo_gym.no_such_name


def test_a_file_that_was_edited_is_read_anew(tmp_path):
    path = tmp_path / "corridor.yaml"
    for length in (2, 3):
        cells = ".. " * length
        path.write_text(f"map: |\n  We Ay {cells}Ae We\nmax_steps: 2\n")
        assert gym.make(DEFAULT_ID, world=path).unwrapped.world.width == length + 4
        assert gym.make(DEFAULT_ID, world=str(path)).unwrapped.world is gym.make(DEFAULT_ID, world=path).unwrapped.world


def test_a_cache_forgets_what_was_used_longest_ago():
    made = []
    recent = Recent(2, size_of=lambda _: 1)
    for key in ("a", "b", "a", "c", "a", "b"):
        assert recent.get(key, lambda key=key: made.append(key) or key.upper()) == key.upper()
    assert made == ["a", "b", "c", "b"]
