"""Goals on doors, hands, objects and other agents: they hold exactly where descriptions say so, and can be planned for."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from empo_gym import TabularModel, Theory, solve_humans
from empo_gym.grid import WorldError, load_world
from empo_gym.grid.goals.goals import AgentAt, All, AnyOf, FixtureIs, Holds, Not, ObjectAt, cells_of
from empo_gym.worlds.goals import ReachCell, ReachRect

WORKSHOP = (
    "We We We We We We We\nWe Ay Kr .. Lr .. We\nWe Ro Ae Bu .. Ay We\nWe .. Bl XrKb dK Pa We\nWe Sw La Ma Ki Bg We\n"
    "We We We We We We We"
)
HERE = "test_grid_goals"


def workshop(*goals, **keys):
    keys = {"possible_goals": [*goals], "can_push_rocks": "ye", "orientations": ["s", "e", "e"]} | keys
    return load_world({"map": WORKSHOP, "actions": "object", "rocks_can_kill": True, **keys})


def visited(world, n_walks, n_steps, seed=0):
    """The distinct states of random walks whose agents are eager to walk and to handle things."""
    rng = np.random.default_rng(seed)
    states = np.repeat(np.array([world.initial_state()], dtype=np.int32), n_walks, axis=0)
    seen = [states]
    for _ in range(n_steps):
        actions = rng.choice(7, p=np.array([1, 2, 2, 6, 3, 1, 3]) / 18, size=(n_walks, len(world.agents))).astype(np.int32)
        states = world.draw_successors(states, actions, rng.random(n_walks))
        seen.append(states)
    return np.unique(np.concatenate(seen), axis=0)


def thing(description, kind, x, y):
    return next(o for o in description["objects"] if (o["type"], o.get("x"), o.get("y")) == (kind, x, y))


def held(description, agent):
    carried = description["agents"][agent]["carrying"] or {}
    return carried.get("type"), carried.get("color")


def in_rect(thing, x1, y1, x2, y2):
    return x1 <= thing.get("x", -1) <= x2 and y1 <= thing.get("y", -1) <= y2


def is_pressed(description):
    return any((o.get("x"), o.get("y")) == (1, 4) for o in description["agents"] + description["objects"])


def rocks_in(description, *rect):
    return any(o["type"] == "rock" and in_rect(o, *rect) for o in description["objects"])


# The goal as a file writes it, its name, and the same said of a description; agents 0, 1, 2 are human 0, robot 0, human 1.
PREDICATES = [
    ({"type": "door_open", "at": [4, 1]}, "door 4,1 open", lambda d: thing(d, "door", 4, 1)["open"]),
    ({"type": "door_closed", "at": "4,1"}, "door 4,1 closed", lambda d: not thing(d, "door", 4, 1)["open"]),
    ({"type": "door_locked", "at": [4, 1]}, "door 4,1 locked", lambda d: thing(d, "door", 4, 1)["locked"]),
    ({"type": "bush_trampled", "at": [3, 2]}, "bush 3,2 trampled", lambda d: thing(d, "bush", 3, 2)["trampled"]),
    ({"type": "magic_wall_active", "at": [3, 4]}, "magic wall 3,4 active", lambda d: thing(d, "magic_wall", 3, 4)["active"]),
    ({"type": "switch_on", "at": [5, 3]}, "switch 5,3 on", lambda d: thing(d, "pause_switch", 5, 3)["on"]),
    ({"type": "switch_on", "at": [1, 4]}, "switch 1,4 on", is_pressed),
    ({"type": "enabled", "object": "kill_button"}, "kill button enabled", lambda d: thing(d, "kill_button", 4, 4)["enabled"]),
    ({"type": "holds", "object": "key"}, "holds key", lambda d: held(d, 0)[0] == "key"),
    ({"type": "holds", "object": "key", "color": "b"}, "holds blue key", lambda d: held(d, 0) == ("key", "blue")),
    ({"type": "holds", "object": "key", "agent": 1}, "robot 0 holds key", lambda d: held(d, 1)[0] == "key"),
    (
        {"type": "agent_at", "agent": "robot 0", "cell": [2, 1]},
        "robot 0 at 2,1",
        lambda d: in_rect(d["agents"][1], 2, 1, 2, 1),
    ),
    ({"type": "agent_at", "agent": 2, "rect": "3,1,5,2"}, "human 1 at 3,1,5,2", lambda d: in_rect(d["agents"][2], 3, 1, 5, 2)),
    ({"type": "agent_at", "cell": "2,1"}, "2,1", lambda d: in_rect(d["agents"][0], 2, 1, 2, 1)),
    ({"type": "object_at", "object": "rock", "at": [1, 3]}, "rock at 1,3", lambda d: rocks_in(d, 1, 3, 1, 3)),
    ({"type": "object_at", "object": "rock", "rect": [1, 2, 1, 4]}, "rock at 1,2,1,4", lambda d: rocks_in(d, 1, 2, 1, 4)),
    ({"type": "alive"}, "alive", lambda d: d["agents"][0]["alive"]),
    ({"type": "alive", "agent": "robot 0"}, "robot 0 alive", lambda d: d["agents"][1]["alive"]),
    ({"not": {"type": "alive", "agent": 2}}, "not human 1 alive", lambda d: not d["agents"][2]["alive"]),
    (
        {"all": [{"type": "door_open", "at": [4, 1]}, {"not": "1,1"}]},
        "door 4,1 open and not 1,1",
        lambda d: thing(d, "door", 4, 1)["open"] and not in_rect(d["agents"][0], 1, 1, 1, 1),
    ),
    (
        {"any": [{"type": "holds", "object": "key"}, {"all": [[1, 1], {"type": "alive"}]}]},
        "holds key or (1,1 and alive)",
        lambda d: held(d, 0)[0] == "key" or (in_rect(d["agents"][0], 1, 1, 1, 1) and d["agents"][0]["alive"]),
    ),
]


@pytest.fixture(scope="module")
def walked():
    world = workshop("1,1")
    states = visited(world, n_walks=200, n_steps=60)
    return states, [world.describe(state) for state in states]


@pytest.mark.parametrize(("written", "name", "said"), PREDICATES, ids=[name for _, name, _ in PREDICATES])
def test_a_goal_holds_exactly_where_the_description_says_so(walked, written, name, said):
    states, descriptions = walked
    world = workshop(written)
    assert world.goal_sets[0].names == (name,)
    expected = [said(description) for description in descriptions]
    assert world.goal_sets[0].achieved(world, states, 0)[:, 0].tolist() == expected
    if name != "magic wall 3,4 active":  # nobody may enter that one
        assert 0 < sum(expected) < len(expected), "the walk does not show the difference"


def test_objects_that_nothing_moves_are_where_they_are():
    world = load_world(
        {"map": "Ay Kr Ae", "possible_goals": [{"type": "object_at", "object": "key", "at": x} for x in ("1,0", "2,0")]}
    )
    assert world.spec.actions[-1] == "toggle"
    still = load_world({**world.mapping, "actions": "small"})
    assert still.goal_sets[0].achieved(still, [still.initial_state()], 0).tolist() == [[True, False]]


def test_each_human_may_have_predicates_of_its_own_with_weights():
    goals = {0: {"type": "alive", "weight": 3}, "human 1": ["1,1", {"any": ["1,1", "1,3"], "weight": 3}]}
    world = workshop(possible_goals=goals)
    assert [goals.names for goals in world.goal_sets] == [("alive",), ("1,1", "1,1 or 1,3")]
    assert world.goal_sets[1].weights.tolist() == [0.25, 0.75]
    state = [world.initial_state()]
    assert [goals.achieved(world, state, h).tolist() for h, goals in enumerate(world.goal_sets)] == [
        [[True]],
        [[False, False]],
    ]


@dataclass(frozen=True)
class EverybodyWithin:
    """A goal of somebody else's: all agents are in the first columns."""

    columns: int = 3

    @property
    def name(self):
        return f"all within {self.columns} columns"

    def holds(self, world, states, human):
        return (world.agent_positions(states)[..., 0] < self.columns).all(axis=1)


class NoGoal:
    """A class that has nothing of a goal."""


def test_a_class_is_named_by_its_import_path_with_its_keyword_arguments():
    world = workshop(f"{HERE}:EverybodyWithin", {"class": f"{HERE}:EverybodyWithin", "columns": 6, "weight": 2})
    assert world.goal_sets[0].names == ("all within 3 columns", "all within 6 columns")
    assert world.goal_sets[0].achieved(world, [world.initial_state()], 0).tolist() == [[False, True]]
    assert world.goal_sets[0].weights.tolist() == pytest.approx([1 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"type": "door_opened", "at": [4, 1]}, ["'door_opened'", "'door_open'"]),
        ({"type": "door_open", "at": [1, 1]}, ["no door is at 1,1", "4,1"]),
        ({"type": "door_open"}, ["where", "at: [x, y]"]),
        ({"type": "door_open", "at": [9, 1]}, ["outside the map"]),
        ({"type": "door_open", "at": [4, 1], "color": "red"}, ["'color'", "type, at"]),
        ({"type": "enabled", "object": "control_button"}, ["'control_button'", "kill_button"]),
        ({"type": "holds", "object": "rock"}, ["key, ball, box", "'rock'"]),
        ({"type": "holds", "object": "key", "color": "green"}, ["no green key", "red key"]),
        ({"type": "holds", "object": "key", "color": "pink"}, ["'pink'", "purple"]),
        ({"type": "agent_at", "agent": "robot 1", "cell": [1, 1]}, ["'robot 1'", "robot 0", "0 to 2"]),
        ({"type": "agent_at", "agent": 3, "cell": [1, 1]}, ["agent 3", "0 to 2"]),
        ({"type": "agent_at", "agent": 1}, ["exactly one of cell and rect"]),
        ({"type": "object_at", "object": "rock", "cell": "0,0"}, ["wall"]),
        ({"type": "alive", "agent": [1]}, ["no agent [1]"]),
        ({"all": []}, ["'all'", "list"]),
        ({"all": ["1,1", {"not": {"type": "alive", "agnet": 1}}]}, ["all, entry 1, not", "'agnet'"]),
        ({"any": ["1,1"], "all": ["1,1"]}, ["unknown key"]),
        ({"class": f"{HERE}:EverybodyWithin", "rows": 2}, ["rows"]),
        ({"class": 7}, ["package.module:Class"]),
        (f"{HERE}:Nobody", ["no 'test_grid_goals:Nobody'"]),
        (f"{HERE}:NoGoal", ["is not a goal class", "holds(world, states, human)"]),
        (f"{HERE}:workshop", ["is not a goal class"]),
        ("no such:thing", ["package.module:Class"]),
        ("missing_package.goals:Goal", ["installed"]),
        ({"type": "alive", "weight": float("nan")}, ["weight", "positive"]),
    ],
)
def test_a_goal_that_cannot_be_meant_is_one_sentence_with_its_place(written, words):
    with pytest.raises(WorldError) as error:
        workshop("1,1", written)
    message = str(error.value)
    assert "possible_goals, entry 1" in message and all(word in message for word in words), message
    assert "\n" not in message and len(message) < 400


def test_goals_without_end_are_an_error():
    endless, deep = {"all": ["1,1"]}, "1,1"
    endless["all"].append(endless)
    with pytest.raises(WorldError, match="contains itself"):
        workshop(endless)
    for _ in range(30):
        deep = {"not": deep}
    with pytest.raises(WorldError, match="nested more than 20 deep"):
        workshop(deep)


def test_nobody_can_want_to_hold_something_where_nothing_is_picked_up():
    with pytest.raises(WorldError, match="actions: object"):
        workshop({"type": "holds", "object": "key"}, actions="small")


def test_goals_are_values():
    written = {"any": [{"type": "door_open", "at": [4, 1]}, {"not": {"type": "holds", "object": "key"}}]}
    goal = workshop(written).goal_sets[0].goals[0]
    assert goal == AnyOf((FixtureIs("door_open", 4, 1), Not(Holds("key")))) and hash(goal) == hash(
        pickle.loads(pickle.dumps(goal))
    )


def test_pictures_can_ask_which_cells_a_goal_is_about():
    world = workshop("1,1")
    door, rock = FixtureIs("door_open", 4, 1), ObjectAt("rock", ReachRect(1, 2, 1, 3))
    assert cells_of(ReachCell(1, 3), world) == [(1, 3)] and cells_of(AgentAt("robot 0", ReachCell(1, 3)), world) == [(1, 3)]
    assert cells_of(All((door, Not(rock))), world) == [(4, 1), (1, 2), (1, 3)]
    assert cells_of(Holds("key"), world) == [] and cells_of(EverybodyWithin(), world) == []


def test_a_human_who_wants_a_door_open_plans_to_open_it():
    # The robot is walled off. In the last step only one action attains the goal, so that Q is 1 for it and 0 for the others.
    goals = [{"type": "door_open", "at": [1, 0]}, {"all": [{"type": "door_open", "at": [1, 0]}, "1,0"]}]
    world = load_world({"map": "Ay Cr We Ae", "max_steps": 2, "possible_goals": goals})
    theory = Theory(beta_h=3.0, gamma_h=0.5, nu_h=0.0)
    model = TabularModel.pack(world)
    prior = solve_humans(model, theory)
    actions = world.agents[1].actions
    opened = model.index(world.transition_probabilities(world.initial_state(), [0, actions.index("toggle")])[0][1])
    for goal, state, t, wanted in ((0, 0, 1, "toggle"), (1, opened, 1, "forward")):
        q = np.array([float(action == wanted) for action in actions])
        assert prior.pi_h[0][t, state, goal] == pytest.approx(np.exp(3 * q) / np.exp(3 * q).sum())
    # Opening and then stepping in takes both steps: the first goal's door can still be opened later.
    assert prior.pi_h[0][0, 0, 1].argmax() == actions.index("toggle")
    assert model.achieved[0][[0, opened]].tolist() == [[False, False], [True, False]]


# -------------------------------------------------------------------------------------------------- classes of the user's
class AnswersFive:
    """Its answer is no truth value."""

    name = "five"

    def holds(self, world, states, human):
        return 5


class LooksUpWrongly:
    """Raises what it should not."""

    name = "lost"

    def holds(self, world, states, human):
        return {}["nothing"]


class CannotBeMade:
    """Raises at its very beginning."""

    def __init__(self):
        raise RuntimeError("no way")

    def holds(self, world, states, human):
        return states[:, 0] == 0


@pytest.mark.parametrize(
    "goal, sentence",
    [
        (f"{HERE}:AnswersFive", r"AnswersFive answers .*5.* must return one truth value per state"),
        ({"not": f"{HERE}:AnswersFive"}, "AnswersFive answers"),
        (f"{HERE}:LooksUpWrongly", r"LooksUpWrongly fails in the initial state \(KeyError\('nothing'\)\); mend its 'holds'"),
        (f"{HERE}:CannotBeMade", r"does not take .*no way"),
        ("no_such_module_anywhere:Goal", "the folder of its module on PYTHONPATH"),
    ],
)
def test_a_class_that_fails_is_told_when_the_world_is_loaded(goal, sentence):
    with pytest.raises(WorldError, match=sentence):
        workshop(goal)
