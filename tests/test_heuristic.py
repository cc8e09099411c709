"""Humans who walk shortest paths: through doors, with keys, behind what they push, around others, as far as they can."""

import numpy as np
import pytest

from empo_gym import ChainWorld, RobotEnv, Theory, load_world
from empo_gym.envs.human_policies import draw_many
from empo_gym.envs.shortest_path_humans import DETOUR, PathHumans, Planner
from empo_gym.grid.paths.single_agent import SingleAgentView

LOCKED = """
We We We We We We We We
We .. .. We .. .. .. We
We .. Ay Lr .. .. .. We
We .. .. We .. .. Ae We
We .. Kr We .. .. .. We
We We We We We We We We
"""
SURE = Theory(beta_h=float("inf"))


def steps_to(world, goal=0, human=0, theory=SURE, limit=60, robots=0, seed=0):
    """The actions with which a human reaches its goal while the robots do one thing."""
    humans, rng, state, taken = PathHumans(world, theory), np.random.default_rng(seed), world.initial_state(), []
    while not world.goal_sets[human].goals[goal].holds(world, [state], human)[0] and len(taken) < limit:
        action = humans.act(-1, lambda state=state: state, 0, human, goal, rng)
        taken.append(world.agents[world.n_robots + human].actions[action])
        others = [0] * world.n_humans
        others[human] = action
        outcomes = world.transition_probabilities(state, (*[robots] * world.n_robots, *others))
        state = outcomes[rng.choice(len(outcomes), p=[p for p, _ in outcomes])][1]
    return taken


def grid(text, *goals, **keywords):
    return load_world({"map": text, "max_steps": 60, "possible_goals": list(goals)} | keywords)


# -------------------------------------------------------------------------------------------------------------- what it knows
def test_it_fetches_the_key_and_opens_the_locked_door():
    taken = steps_to(grid(LOCKED, "5,1"))
    assert taken.count("pickup") == 1 and taken.count("toggle") == 1 and len(taken) < 20


def test_it_pushes_what_is_in_its_way():
    world = grid("We We We We We We\nWe Ay Bl .. .. We\nWe We We We Ae We", "3,1", actions="compass")
    assert steps_to(world) == ["east", "east"]


def test_it_walks_around_what_it_may_not_push():
    world = grid("We We We We We We\nWe Ay Ro .. .. We\nWe .. .. .. Ae We", "3,1", actions="compass")
    taken = steps_to(world)
    assert len(taken) == 4 and taken[0] == "south"


def test_it_takes_the_detour_around_lava():
    world = grid("We We We We We\nWe Ay La .. We\nWe .. .. .. We\nWe Ae We We We", "3,1", actions="compass")
    assert len(steps_to(world)) == 4


def test_its_paths_are_as_short_as_there_are():
    world = grid("We We We We We We\nWe Ay .. .. .. We\nWe .. We We .. We\nWe .. .. .. .. We\nWe We We We Ae We", "4,3")
    # Facing east: three cells, a turn, two cells.
    assert len(steps_to(world)) == 6


def test_it_walks_around_a_robot_that_stands_in_its_way_and_waits_where_it_cannot():
    wide = grid("We We We We We We\nWe Ay Ae .. .. We\nWe .. .. .. .. We\nWe We We We We We", "3,1", actions="compass")
    assert len(steps_to(wide)) == 4
    narrow = grid("We We We We We We\nWe Ay Ae .. .. We\nWe We We We We We", "3,1", actions="compass")
    assert len(steps_to(narrow, limit=12)) == 12
    assert set(steps_to(narrow, limit=12)) <= {"still", "east", "north", "south"}
    # The robot goes on eastwards, and the human after it.
    assert len(steps_to(narrow, robots=2, limit=12)) <= 4


def test_who_cannot_reach_the_goal_alone_goes_as_near_as_it_can():
    world = grid(LOCKED.replace("Kr", ".."), "5,2")
    taken = steps_to(world, limit=10)
    humans, state = PathHumans(world, SURE), world.initial_state()
    assert len(taken) == 10
    # It already stands before the door.
    assert world.positions([state], 0)[0].tolist() == [2, 2] and humans.policy(state, 0, 0)[3] > 0


def test_someone_dead_or_without_any_way_rests():
    world = grid("We We We We We\nWe Ay We .. We\nWe We We Ae We", "3,1", actions="compass")
    policy = PathHumans(world, SURE).policy(world.initial_state(), 0, 0)
    assert policy.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_being_there_is_kept_up():
    world = grid("We We We We\nWe Ay .. We\nWe Ae We We", "1,1", actions="compass")
    policy = PathHumans(world, SURE).policy(world.initial_state(), 0, 0)
    assert policy[2] == 0.0 and policy[0] > 0


# ------------------------------------------------------------------------------------------------------ how sharply it chooses
def test_a_longer_way_is_less_likely_by_the_softmax_of_its_length():
    room = "We We We We We\nWe Ay .. .. We\nWe .. .. .. We\nWe .. .. Ae We"
    world = grid(room, "3,1", actions="compass")
    policy = PathHumans(world, Theory(beta_h=0.7)).policy(world.initial_state(), 0, 0)
    # still, north (a wall), west (a wall) lose one step, south loses two, east none
    assert np.log(policy / policy[2]) == pytest.approx([-0.7, -0.7, 0.0, -1.4, -0.7])


def test_habit_is_mixed_in_with_its_weight():
    world = grid("We We We We We\nWe Ay .. .. We\nWe .. .. Ae We", "3,1", actions="compass")
    policy = PathHumans(world, Theory(beta_h=float("inf"), nu_h=0.25)).policy(world.initial_state(), 0, 0)
    assert policy == pytest.approx([0.05, 0.05, 0.80, 0.05, 0.05])


def test_chance_counts_by_what_it_leads_to():
    room = "We We We We We\nWe Ay Un .. We\nWe La La Ae We"
    world = grid(room, "3,1", actions="compass", stumble_probability=0.5)
    assert PathHumans(world, SURE).policy(world.initial_state(), 0, 0)[2] == 1.0


# ----------------------------------------------------------------------------------------------------------- search and memory
def states_of(env, n, seed=0):
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    states = [env.state]
    while len(states) < n:
        env.step(int(rng.integers(env.action_space.n)))
        states.append(env.state)
        if env.t == env.world.horizon:
            env.reset()
    return states


ROOMS = """
We We We We We We We
We Ay .. We .. .. We
We .. .. Cr .. .. We
We .. .. We We Or We
We .. .. .. Ae .. We
We We We We We We We
"""


def test_what_is_remembered_does_not_change_the_answer():
    world = grid(LOCKED, "5,1", "1,1")
    states = states_of(RobotEnv(world, human_policy="uniform"), 25)
    together = PathHumans(world, Theory(beta_h=2.0))
    for state in states:
        for goal in (0, 1):
            apart = PathHumans(world, Theory(beta_h=2.0)).policy(state, 0, goal)
            assert together.policy(state, 0, goal) == pytest.approx(apart), (world.describe(state), goal)


@pytest.mark.parametrize("keywords", [{"actions": "object"}, {"actions": "compass"}, {"actions": "small"}])
def test_walking_on_a_large_map_is_what_exact_paths_say_where_there_are_no_things_to_move(monkeypatch, keywords):
    world = grid(ROOMS, "5,1", "1,4", "5,4", **keywords)
    states = states_of(RobotEnv(world, human_policy="uniform"), 60)
    exact = PathHumans(world, Theory(beta_h=0.7))
    small = {(state, goal): exact.policy(state, 0, goal) for state in states for goal in range(3)}
    monkeypatch.setattr("empo_gym.envs.shortest_path_humans.SMALL", 0)
    walking, compared = PathHumans(world, Theory(beta_h=0.7)), 0
    for (state, goal), expected in small.items():
        robot, human = world.agent_positions([state])[0]
        if abs(robot - human).sum() > 2:  # near others, the two look ahead differently far
            assert walking.policy(state, 0, goal) == pytest.approx(expected), (world.describe(state), goal)
            compared += 1
    assert compared > 40


@pytest.mark.parametrize(
    "text, goal", [(LOCKED, "5,1"), (ROOMS, "5,1"), ("We We We We We We\nWe Ay Bl .. .. We\nWe We We We Ae We", "3,1")]
)
def test_on_a_large_map_ways_are_as_short_as_on_a_small_one(monkeypatch, text, goal):
    world = grid(text, goal)
    exact = len(steps_to(world))
    monkeypatch.setattr("empo_gym.envs.shortest_path_humans.SMALL", 0)
    assert len(steps_to(world)) == exact < 60


def test_on_a_large_map_it_walks_around_a_robot_and_waits_where_it_cannot_pass(monkeypatch):
    monkeypatch.setattr("empo_gym.envs.shortest_path_humans.SMALL", 0)
    wide = grid("We We We We We We\nWe Ay Ae .. .. We\nWe .. .. .. .. We\nWe We We We We We", "3,1", actions="compass")
    assert len(steps_to(wide)) == 4
    narrow = grid("We We We We We We\nWe Ay Ae .. .. We\nWe We We We We We", "3,1", actions="compass")
    assert len(steps_to(narrow, limit=12)) == 12 and len(steps_to(narrow, robots=2, limit=12)) <= 4


def test_asking_for_many_states_at_once_is_asking_for_each():
    world = grid(LOCKED, "5,1", "1,1")
    states = np.array(states_of(RobotEnv(world, human_policy="uniform"), 30), dtype=np.int32)
    goals = np.arange(30) % 2
    planner = Planner(world, 0, Theory())
    many = planner.policies(states, goals)
    one_by_one = [PathHumans(world, Theory()).policy(tuple(s.tolist()), 0, int(g)) for s, g in zip(states, goals, strict=True)]
    assert many == pytest.approx(np.array(one_by_one))


def test_alone_keeps_what_concerns_the_human_and_drops_the_others():
    world = grid(LOCKED, "5,1")
    alone = SingleAgentView(world, 0)
    states = np.array(states_of(RobotEnv(world, human_policy="uniform"), 40), dtype=np.int32)
    own = alone.project(states)
    assert (alone.lift(own, states[0])[:, world.n_robots * 2 :] == states[:, world.n_robots * 2 :]).all()
    assert (alone.project(alone.lift(own, states[0])) == own).all()


def test_the_environment_uses_it_on_request_and_humans_get_where_they_want():
    attained = {}
    for policy in ("heuristic", "uniform"):
        env = RobotEnv("key_door", human_policy=policy, theory={"beta_h": float("inf")})
        assert env.human_policy_name == policy
        env.reset(seed=0)
        attained[policy] = 0
        for _ in range(150):
            *_, truncated, info = env.step(0)
            attained[policy] += info["attained"][0]
            if truncated:
                env.reset()
    assert attained["heuristic"] > 2 * attained["uniform"]


def test_only_on_a_map_are_there_paths():
    with pytest.raises(ValueError, match="Only on a map"):
        RobotEnv(ChainWorld(), human_policy="heuristic").reset(seed=0)


def test_draws_of_many_rows_follow_their_probabilities():
    rows = np.array([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0]])
    assert draw_many(rows, np.array([0.2, 0.999])).tolist() == [1, 0]
    assert draw_many(rows, np.array([0.3, 0.0])).tolist() == [2, 0]


# ------------------------------------------------------------------------------------------------------- when it only walks
@pytest.mark.parametrize("name", ["park", "warehouse"])
def test_who_can_only_walk_walks_as_a_search_of_all_states_would_have_it(name):
    world, rng, n = load_world(name), np.random.default_rng(1), 8
    states = np.array([world.initial_state()] * n, dtype=np.int32)
    humans = range(world.n_humans)
    planners = [Planner(world, h, Theory(beta_h=2.0)) for h in humans]
    compared = 0
    for _ in range(4):
        for _ in range(12):
            drawn = [rng.integers(agent.n_actions, size=n) for agent in world.agents]
            states = world.draw_successors(states, np.stack(drawn, axis=1).astype(np.int32), rng.random(n))
        for h in humans:
            goals = rng.integers(len(world.goal_sets[h]), size=n)
            quick, own = planners[h].policies(states, goals), planners[h]._alone.project(states)
            for i in np.flatnonzero(~planners[h]._blocked(states).any(axis=1)):
                searched = planners[h]._policy(own[i], states[i], int(goals[i]), np.zeros(1, dtype=np.int64))
                assert np.abs(quick[i] - searched).max() < 1e-12
                compared += 1
    assert compared > 20


def test_who_can_only_walk_searches_no_states(monkeypatch):
    for name in ("park", "warehouse", "labyrinth"):
        world = load_world(name)
        humans = PathHumans(world, SURE)
        monkeypatch.setattr(Planner, "_explored", lambda *_: pytest.fail("searched"))
        states = np.array([world.initial_state()] * 4)
        for human in range(world.n_humans):
            goals = np.arange(4) % len(world.goal_sets[human])
            chosen = humans.act_all(np.zeros(4), lambda states=states: states, None, human, goals, np.random.default_rng(0))
            assert ((chosen >= 0) & (chosen < 5)).all()


def test_nobody_goes_nearer_to_a_goal_by_dying():
    world = grid("We We We We We\nWe Ay La .. We\nWe .. We Ae We", "3,1", actions="compass")
    assert set(steps_to(world, limit=5)) <= {"still", "north", "west"}


def test_a_bush_that_hardly_lets_anybody_in_is_walked_around():
    text = "We We We We We\nWe Ay Bu .. We\nWe .. .. .. We\nWe We We Ae We"
    assert steps_to(grid(text, "3,2", actions="compass", enter_bush_success_prob=0.1), seed=1)[0] == "south"


# ----------------------------------------------------------------------------------------------------- how far it searches
def test_every_path_is_known_that_is_at_most_a_detour_and_a_step_longer():
    room = "\n".join(["We " * 14, *["We " + ".. " * 12 + "We"] * 12, "We " * 14]).replace("We .. ..", "We Ay Ae", 1)
    world = grid(room, "4,1", actions="compass")
    planner, whole = Planner(world, 0, SURE), np.array([world.initial_state()], dtype=np.int32)
    region = planner._explored(planner._alone.project(whole)[0], whole, 0, 0)
    through = region.steps + planner._lower_bound(0, region.index.states)
    assert through.min() == 3 and through[region.is_open].min() > 3 + DETOUR + 1


def test_there_is_no_way_around_somebody_who_stands_on_the_goal():
    world = grid("We We We We We\nWe Ay .. .. We\nWe .. .. Ae We", "2,1", actions="compass")
    planner, whole = Planner(world, 0, SURE), np.array([world.initial_state()], dtype=np.int32)
    region = planner._explored(planner._alone.project(whole)[0], whole, 0, 1000)
    distance = planner._choice(region, 0, whole)[1]
    nobody = np.zeros(len(distance), dtype=np.bool_)
    assert distance[0] == 1 and region.around_others(0, distance, nobody, 5).tolist() == [1.0, 1.0, 0.0, 2.0, 1.0]
    assert region.around_others(0, distance, distance == 0, 5) is None
