"""World files that somebody else wrote: they run no code that was not allowed, and whatever is wrong is one sentence."""

import pickle
import sys

import gymnasium as gym
import pytest

from empo_cli import main as cli
from empo_gym import RobotEnv, Theory, load_world, parallel_env
from empo_gym.envs.cache import shared_world
from empo_gym.grid import WorldError
from empo_gym.worlds.goals import GoalSet, ReachCell

MAP = "We We We We\nWe Ay Ae We\nWe .. .. We\nWe We We We"
GOAL = """
from pathlib import Path

class Anywhere:
    name = "anywhere"

    def __init__(self, touch=None):
        if touch:
            Path(touch).touch()

    def holds(self, world, states, human):
        return states[:, 0] >= 0

class Other:
    pass
"""


def yaml_of(goal):
    rows = "".join(f"  {row}\n" for row in MAP.splitlines())
    return f"map: |\n{rows}max_steps: 3\npossible_goals: [{goal}]\n"


@pytest.fixture
def beside(tmp_path, request):
    """A function that writes a world file with a goal of a module beside it; returns the file and the module's name."""
    module = f"goals_of_{abs(hash(request.node.name))}"
    (tmp_path / f"{module}.py").write_text(GOAL)

    def write(goal):
        path = tmp_path / "world.yaml"
        path.write_text(yaml_of(goal.replace("MODULE", module)))
        return path, module

    yield write
    sys.modules.pop(module, None)


@pytest.mark.parametrize(
    "goal",
    [
        '{class: "subprocess:Popen", args: "touch TOUCHED", shell: true}',
        '{not: {class: "subprocess:Popen", args: "touch TOUCHED", shell: true}}',
        '{class: "pathlib:Path.touch", self: "TOUCHED"}',
        '{class: "empo_cli.main:os.system", command: "touch TOUCHED"}',
        '{class: "empo_cli.play:Path", touch: "TOUCHED"}',
        '{class: "torch.utils.cpp_extension:os.popen", cmd: "touch TOUCHED"}',
        '{class: "torch:load", f: "TOUCHED"}',
        '{class: "empo_gym.envs.robot_env:RobotEnv", world: "default"}',
        '{class: "MODULE:Anywhere", touch: "TOUCHED"}',
    ],
)
def test_a_world_file_runs_no_code_of_others(beside, tmp_path, goal, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, module = beside(goal)
    for load in (load_world, lambda source: gym.make("EMPO-Grid-v0", world=source)):
        with pytest.raises(WorldError, match="possible_goals, entry 0"):
            load(path)
    assert not (tmp_path / "TOUCHED").exists() and module not in sys.modules


def test_a_goal_class_beside_its_file_is_found_where_it_is_allowed(beside):
    path, module = beside('{class: "MODULE:Anywhere"}')
    before = list(sys.path)
    for allow in (True, [module], module):
        assert load_world(path, allow_imports=allow).goal_sets[0].names == ("anywhere",)
    for make in (RobotEnv, parallel_env, lambda **given: gym.make("EMPO-Grid-v0", **given)):
        assert make(world=path, allow_imports=True).unwrapped.world.goal_sets[0].names == ("anywhere",)
    envs = gym.make_vec("EMPO-Grid-v0", 2, "vector_entry_point", world=path, allow_imports=[module])
    assert envs.unwrapped.world.goal_sets[0].names == ("anywhere",)
    assert pickle.loads(pickle.dumps(load_world(path, allow_imports=True))).goal_sets[0].names == ("anywhere",)
    assert sys.path == before
    # What was allowed once is not allowed to who does not allow it.
    for refused in (lambda: RobotEnv(world=path), lambda: load_world(path), lambda: RobotEnv(world=path, allow_imports=["x"])):
        with pytest.raises(WorldError, match="allow"):
            refused()


def test_a_class_that_is_no_goal_is_not_made(beside):
    path, _ = beside('{class: "MODULE:Other"}')
    with pytest.raises(WorldError, match="is not a goal class"):
        load_world(path, allow_imports=True)


def test_a_mapping_written_in_python_may_name_classes_of_its_own(beside, tmp_path, monkeypatch):
    _, module = beside("1")
    monkeypatch.syspath_prepend(tmp_path)
    mapping = {"map": MAP, "possible_goals": [f"{module}:Anywhere"]}
    assert load_world(mapping).goal_sets[0].names == ("anywhere",)
    assert RobotEnv(world=mapping).world.goal_sets[0].names == ("anywhere",)
    with pytest.raises(WorldError, match="allow_imports"):
        load_world(mapping, allow_imports=False)
    with pytest.raises(ValueError, match="allow_imports must be"):
        load_world(mapping, allow_imports=3)


@pytest.mark.parametrize("verb", ["check FILE", "show FILE", "solve FILE -o OUT", "sweep FILE -o OUT.csv --processes 1"])
def test_the_command_line_allows_imports_by_an_option(beside, tmp_path, capsys, verb):
    path, module = beside('{class: "MODULE:Anywhere"}')
    words = [word.replace("FILE", str(path)).replace("OUT", str(tmp_path / "out")) for word in verb.split()]
    assert cli.main(words) == 1 and f"or --allow-imports={module}." in capsys.readouterr().err
    assert cli.main([words[0], f"--allow-imports={module}", *words[1:]]) == 0
    # SingleAgentView, the option takes no file for its value.
    assert cli.main([words[0], "--allow-imports", *words[1:]]) == 0


def test_names_of_modules_that_cannot_be_are_bad_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["check", "--allow-imports=a b", "default"])
    assert stopped.value.code == 2 and "names of modules" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------- size and shape
TENFOLD = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    "text",
    [
        TENFOLD + "max_steps: *a9\n",
        TENFOLD.replace("a0: &a0", "metadata:\n  tags: &a0", 1).replace("\na", "\n  a") + "\n",
        "metadata: {tags: &a [*a]}\n" + yaml_of('"1,1"'),
        yaml_of("&g {any: [*g]}"),
        yaml_of("{any: " * 2000 + '"1,1"' + "}" * 2000),
        yaml_of("{class: 'subprocess:Popen', <<: &m {args: [*m]}}"),
    ],
    ids=lambda _: "text",
)
def test_bombs_of_aliases_and_deep_nesting_are_one_sentence(tmp_path, text):
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    for load in (load_world, lambda source: RobotEnv(world=source)):
        with pytest.raises(WorldError, match=r"bomb.yaml, line \d+: "):
            load(path)


def test_mappings_that_contain_themselves_or_too_much_are_one_sentence():
    itself, bomb = {"map": MAP}, ["x"]
    itself["metadata"] = {"tags": itself}
    for _ in range(30):
        bomb = [bomb, bomb]
    for mapping in (itself, {"map": MAP, "metadata": {"tags": bomb}}, {"map": "We " * (1 << 20)}, {"map": MAP, ("a", "b"): 1}):
        for load in (load_world, shared_world):
            with pytest.raises(WorldError):
                load(mapping)


HUGE = 10**5000


@pytest.mark.parametrize(
    "keys",
    [
        {"theory": {"beta_r": 10**400}},
        {"theory": {"beta_r": HUGE}},
        {"theory": {HUGE: 1}},
        {"max_steps": HUGE},
        {"max_steps": 1 << 31},
        {"stumble_probability": HUGE},
        {"stumble_probability": float("nan")},
        {"seed": HUGE, "orientations": "e", "agent_view_size": HUGE},
        {"agent_view_size": HUGE | 1},
        {"orientations": HUGE},
        {"orientations": [HUGE, "e"]},
        {"actions": HUGE},
        {"humans": HUGE},
        {"humans": "9" * 5000},
        {"possible_goals": {"9" * 5000: "1,1"}},
        {"possible_goals": {HUGE: "1,1"}},
        {"possible_goals": {0: "1,1", "0": "1,2"}},
        {"possible_goals": HUGE},
        {"possible_goals": [HUGE, HUGE]},
        {"possible_goals": [{"cell": [HUGE, 1]}]},
        {"possible_goals": [{"cell": [1, 1], "weight": 10**400}]},
        {"possible_goals": [{"cell": [1, 1], "weight": HUGE}]},
        {
            "possible_goals": [{"cell": [1, 1], "weight": 1e308}, {"cell": [2, 1], "weight": 1e308}],
            "normalize_goal_weights": False,
        },
        {"possible_goals": [{"type": HUGE}]},
        {"possible_goals": [{"type": "holds", "object": HUGE}]},
        {"possible_goals": [{"type": "agent_at", "agent": HUGE, "cell": [1, 1]}]},
        {"possible_goals": ["x:" + "y" * 5000]},
        {HUGE: 1},
        {"x" * 5000: 1},
        {"metadata": {HUGE: 1}},
        {"metadata": {"x" * 5000: 1}},
        {"observation": {HUGE: 1}},
        {"map": [[HUGE]]},
        {"map": MAP.replace("..", "Xr" * 2000)},
        {"map": MAP.replace("..", "Z" * 5000)},
        {"can_push_rocks": "y" * 100 + "z"},
    ],
    ids=lambda _: "keys",
)
def test_numbers_and_names_of_any_size_are_one_sentence(keys):
    with pytest.raises(WorldError) as caught:
        load_world({"map": MAP, "max_steps": 3} | keys)
    message = str(caught.value)
    assert len(message) < 600 and "\n" not in message and "integer string conversion" not in message


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 5000 + ".yaml", "a/" * 3000, "nul\0.yaml", "."], ids=lambda _: "name")
def test_names_of_files_that_cannot_be_are_one_sentence(name, capsys):
    for load in (load_world, shared_world):
        with pytest.raises(WorldError, match="There is no world"):
            load(name)
    assert cli.main(["check", name]) == 1
    assert len(capsys.readouterr().err) < 3000


@pytest.mark.parametrize("value", [10**400, HUGE, float("nan"), True, "1", None, [1]], ids=lambda _: "value")
def test_numbers_of_the_theory_are_numbers(value):
    with pytest.raises(ValueError, match="beta_r must be a number in"):
        Theory(beta_r=value)


def test_weights_whose_sum_is_no_number_count_as_shares_or_are_refused():
    goals = [ReachCell(0, 0), ReachCell(1, 0)]
    assert GoalSet(goals, [1e308, 1e308]).weights.tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="finite sum"):
        GoalSet(goals, [1e308, 1e308], normalize=False)
