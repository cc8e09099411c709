"""The native vector: the same episodes in law as single environments, exactly the same where nothing is left to chance."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from scipy.stats import chi2_contingency

import empo_gym.envs.robot_env as env_module
from empo_gym import ChainWorld, RobotEnv, load_world, solve_robot
from empo_gym.envs.vector_env import VectorRobotEnv
from empo_gym.envs.vector_simulator import GenerativeVectorSimulator, TabularVectorSimulator
from empo_gym.registration import VECTOR_ENTRY_POINT, env_ids

DEADLY = {"map": "We We We We\nWe Ay La We\nWe Ae La We\nWe We We We", "max_steps": 5, "actions": "compass"}
KINDS = ["features", "planes", "rgb", "partial"]


def east(state, t, human, goal, rng):
    return 1 + (t % 2)


def make(num_envs, **keywords):
    return gym.make_vec("EMPO-Grid-v0", num_envs=num_envs, vectorization_mode="vector_entry_point", **keywords)


def random_actions(envs, n_steps, seed=0):
    return np.random.default_rng(seed).integers(envs.single_action_space.n, size=(n_steps, envs.num_envs))


# ------------------------------------------------------------------------------------------------------------- conventions
def test_every_id_has_the_native_vector_and_it_is_what_make_vec_makes():
    assert all(gym.spec(identifier).vector_entry_point == VECTOR_ENTRY_POINT for identifier in env_ids())
    envs = gym.make_vec("EMPO-Chain-v0", num_envs=3)
    assert isinstance(envs, VectorRobotEnv) and envs.world.name == "chain" and envs.num_envs == 3
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


@pytest.mark.parametrize("observation", KINDS)
@pytest.mark.parametrize("observe_goals", [False, True])
def test_what_it_returns_has_the_announced_shapes_types_and_bounds(observation, observe_goals):
    envs = make(5, observation=observation, observe_goals=observe_goals)
    seen, info = envs.reset(seed=1)
    assert seen in envs.observation_space and info["goals"].shape == (5, 1)
    for actions in random_actions(envs, 12):
        seen, rewards, terminated, truncated, info = envs.step(actions)
        assert seen in envs.observation_space and seen.dtype == envs.single_observation_space.dtype
        assert rewards.dtype == np.float64 and terminated.dtype == truncated.dtype == np.bool_
        assert all(len(value) == 5 for key, value in info.items() if key not in ("final_info",))


@pytest.mark.parametrize("observation", KINDS)
@pytest.mark.parametrize("observe_goals", [False, True])
def test_it_sees_what_a_single_environment_sees(observation, observe_goals):
    keywords = {"world": "key_door", "observation": observation, "observe_goals": observe_goals}
    envs, one = make(4, **keywords), RobotEnv(**keywords)
    envs.reset(seed=3)
    for actions in random_actions(envs, 5):
        seen = envs.step(actions)[0]
    for i, (state, t, goals) in enumerate(zip(envs.get_attr("state"), envs.t.tolist(), envs.goals.tolist(), strict=True)):
        assert one.reset(options={"state": state, "t": t, "goals": goals})[0].tolist() == seen[i].tolist()


def test_nothing_that_it_returns_changes_later():
    envs = make(6, goal_resample_prob=0.3)
    results = [envs.reset(seed=0)]
    copies = [[np.copy(results[0][0]), {key: np.copy(value) for key, value in results[0][1].items()}]]
    for actions in random_actions(envs, 11):
        results.append(envs.step(actions))
        infos = {key: np.copy(value) for key, value in results[-1][-1].items() if key != "final_info"}
        copies.append([np.copy(results[-1][0]), infos])
    for result, (seen, infos) in zip(results, copies, strict=True):
        assert np.array_equal(result[0], seen)
        for key, value in infos.items():
            assert all(np.array_equal(a, b) for a, b in zip(result[-1][key], value, strict=True)), key


def test_the_same_seed_gives_the_same_episodes_and_another_seed_other_ones():
    def trace(seed):
        envs = make(8, world="unsteady_bridge", goal_resample_prob=0.2)
        envs.reset(seed=seed)
        return [envs.step(actions)[0].tolist() for actions in random_actions(envs, 15)]

    assert trace(1) == trace(1) != trace(2)
    envs = make(2)
    assert envs.reset(seed=[4, 5])[1]["goals"].tolist() == envs.reset(seed=[4, 5])[1]["goals"].tolist()


# ------------------------------------------------------------------------------------------------------------- same episodes
@pytest.mark.parametrize("world", ["default", "two_humans", "key_door", "lava"])
def test_where_nothing_is_left_to_chance_a_trajectory_is_that_of_a_single_environment(world):
    envs, one = make(3, world=world, human_policy=east), RobotEnv(world, human_policy=east)
    n = envs.world.horizon
    # Orders of turns are chance as well: only steps without it are compared, by forcing the single one to follow.
    envs.reset(seed=0)
    _, info = one.reset(seed=1, options={"goals": envs.goals[1].tolist()})
    certain = 0
    for actions in random_actions(envs, n - 1, seed=2):
        before, goals = envs.get_attr("state")[1], envs.goals[1].tolist()
        one.reset(options={"state": before, "t": int(envs.t[1]), "goals": goals})
        sure = len(one.transition_probabilities(before, (int(actions[1]), *[east(None, one.t, 0, 0, None)] * len(goals)))) == 1
        seen, rewards, terminated, truncated, info = envs.step(actions)
        alone = one.step(int(actions[1]))
        if sure:
            certain += 1
            assert seen[1].tolist() == alone[0].tolist() and (rewards[1], terminated[1], truncated[1]) == alone[1:4]
            assert info["state_id"][1] == alone[4]["state_id"]
            assert tuple(info["human_actions"][1].tolist()) == alone[4]["human_actions"]
            assert tuple(info["attained"][1].tolist()) == alone[4]["attained"]
        if terminated[1] or truncated[1]:
            break
    assert certain > 0


@pytest.mark.parametrize("keywords", [{}, {"human_policy": "uniform"}, {"theory": {"nu_h": 0.3, "beta_h": 30.0}}])
def test_states_and_goals_after_some_steps_have_the_same_distribution_as_in_single_environments(keywords):
    keywords = {"world": "unsteady_bridge", "goal_resample_prob": 0.1, **keywords}
    envs, one = make(3000, **keywords), RobotEnv(**keywords)
    counts: dict[tuple, np.ndarray] = {}
    envs.reset(seed=1)
    for action in (2, 1, 2):
        envs.step(np.full(3000, action))
    for s, goal in zip(envs.simulator.s.tolist(), envs.goals[:, 0].tolist(), strict=True):
        counts.setdefault((s, goal % 3), np.zeros(2))[0] += 1
    one.reset(seed=2)
    for _ in range(3000):
        one.reset()
        for action in (2, 1, 2):
            one.step(action)
        counts.setdefault((one.state_id, one.goals[0] % 3), np.zeros(2))[1] += 1
    table = np.array([row for row in counts.values() if row.sum() >= 20])
    assert len(table) > 5 and table.sum() > 4000
    assert chi2_contingency(table).pvalue > 1e-4


def test_a_world_that_is_not_packed_steps_by_the_same_distribution(monkeypatch):
    packed = make(4000, world="unsteady_bridge", human_policy="uniform")
    packed.reset(seed=1)
    opened = make(4000, world="unsteady_bridge", human_policy="uniform")
    with monkeypatch.context() as patch:
        patch.setattr(env_module, "MAX_STATES", 10)
        opened.reset(seed=2)
    assert isinstance(packed.simulator, TabularVectorSimulator) and isinstance(opened.simulator, GenerativeVectorSimulator)
    for action in (2, 2, 1):
        packed.step(np.full(4000, action))
        opened.step(np.full(4000, action))
    counts: dict[tuple, np.ndarray] = {}
    for column, envs in enumerate((packed, opened)):
        for state in envs.get_attr("state"):
            counts.setdefault(state, np.zeros(2))[column] += 1
    table = np.array([row for row in counts.values() if row.sum() >= 20])
    assert len(table) > 5 and chi2_contingency(table).pvalue > 1e-4


def test_rewards_goals_and_successes_follow_the_rules_of_a_single_environment():
    envs = make(500, world="two_humans")
    envs.reset(seed=0)
    succeeded = np.zeros((500, 2), dtype=bool)
    for actions in random_actions(envs, envs.world.horizon):
        wanted = envs.goals.copy()
        _, rewards, _, truncated, info = envs.step(actions)
        step = info["final_info"] if truncated.any() else info
        attained = step["attained"]
        assert rewards.tolist() == attained.sum(axis=1).tolist()
        assert (step["goals"] == wanted)[~attained].all()
        succeeded |= attained
        assert step["is_success"].tolist() == succeeded.all(axis=1).tolist()
    assert truncated.all() and 0 < succeeded.all(axis=1).mean() < 1


def test_attained_means_that_the_goal_holds_in_the_new_state():
    envs = make(200, world="two_humans")
    envs.reset(seed=0)
    wanted = envs.goals.copy()
    info = envs.step(random_actions(envs, 1)[0])[4]
    for human in range(2):
        goals = envs.world.goal_sets[human].goals
        for i in range(200):
            there = goals[wanted[i, human]].holds(envs.world, envs.states[i : i + 1], human)[0]
            assert bool(there) == bool(info["attained"][i, human])


def test_the_power_reward_is_that_of_a_single_environment():
    one = RobotEnv("default")
    solution = solve_robot(one.model, one.prior, one.theory)
    envs = make(20, reward="power", solution=solution)
    envs.reset(seed=0)
    for t, actions in enumerate(random_actions(envs, 10)):
        _, rewards, _, _, info = envs.step(actions)
        expected = np.zeros(20) if t == 9 else solution.u_r[t + 1, info["state_id"]]
        assert rewards.tolist() == expected.tolist()
    silent = make(3, reward="none")
    silent.reset(seed=0)
    assert silent.step(np.zeros(3, dtype=int))[1].tolist() == [0.0, 0.0, 0.0]


# --------------------------------------------------------------------------------------------------------- beginnings and ends
def test_an_ended_episode_begins_anew_in_the_same_step_and_its_end_is_told():
    envs = make(7, world="empty")
    first, _ = envs.reset(seed=0)
    for actions in random_actions(envs, 5):
        info = envs.step(actions)[4]
        assert "final_obs" not in info and info["_attained"].all()
    seen, _, terminated, truncated, info = envs.step(np.zeros(7, dtype=int))
    assert truncated.all() and not terminated.any()
    assert seen.tolist() == first.tolist() and info["t"].tolist() == [0] * 7
    assert info["_final_obs"].all() and all(view.shape == first[0].shape for view in info["final_obs"])
    assert info["final_info"]["t"].tolist() == [6] * 7 and not info["_attained"].any()
    last = envs.world.observe([envs.model.state(int(s)) for s in info["final_info"]["state_id"]], t=6)
    assert np.array(list(info["final_obs"])).tolist() == last.tolist()


def test_episodes_that_end_apart_begin_anew_apart():
    envs = make(50, world=DEADLY, human_policy=lambda *_: 2)
    envs.reset(seed=0)
    actions = np.arange(50) % 2 * 2
    _, _, terminated, truncated, info = envs.step(actions)
    assert terminated.tolist() == (actions == 2).tolist() and not truncated.any()
    assert info["_final_obs"].tolist() == terminated.tolist() and info["_attained"].tolist() == (~terminated).tolist()
    assert [view is None for view in info["final_obs"]] == (~terminated).tolist()
    assert envs.t.tolist() == np.where(terminated, 0, 1).tolist()


def test_max_episode_steps_truncates_a_vector_too():
    envs = make(3, max_episode_steps=2)
    envs.reset(seed=0)
    assert not envs.step(np.zeros(3, dtype=int))[3].any()
    assert envs.step(np.zeros(3, dtype=int))[3].all()


def test_a_mask_resets_only_some_environments():
    envs = make(4)
    envs.reset(seed=0)
    envs.step(np.full(4, 2))
    before = envs.simulator.s.copy()
    envs.reset(options={"reset_mask": np.array([True, False, False, True])})
    assert envs.t.tolist() == [0, 1, 1, 0] and envs.simulator.s[1:3].tolist() == before[1:3].tolist()


def test_episodes_begin_where_the_options_say_and_exploring_starts_are_drawn_in_their_share():
    envs = make(2000)
    one = RobotEnv("default")
    one.reset(seed=0)
    one.step(2)
    _, info = envs.reset(seed=0, options={"state": one.state, "t": 4, "goals": {0: 3}})
    assert set(info["t"].tolist()) == {4} and set(info["goals"].ravel().tolist()) == {3}
    assert set(envs.get_attr("state")) == {one.state}
    envs.call("set_starts", np.array([5, 6]), np.array([4, 9]), share=0.5, weights=np.array([1.0, 3.0]))
    _, info = envs.reset()
    starts = list(zip(info["state_id"].tolist(), info["t"].tolist(), strict=True))
    assert set(starts) == {(0, 0), (5, 4), (6, 9)}
    assert abs(starts.count((0, 0)) / 2000 - 0.5) < 0.05 and abs(starts.count((6, 9)) / 2000 - 0.375) < 0.05


def test_several_robots_act_by_joint_number_or_one_by_one():
    joint, multi = make(25, world="convoy"), make(25, world="convoy", action_space="multi")
    joint.reset(seed=0)
    multi.reset(seed=0)
    joint.step(np.arange(25))
    multi.step(np.stack(np.divmod(np.arange(25), 5), axis=1))
    assert joint.simulator.s.tolist() == multi.simulator.s.tolist()


def test_any_world_model_will_do_not_only_grids():
    envs = make(6, world=ChainWorld(length=4, horizon=3, slip=0.2))
    envs.reset(seed=0)
    for actions in random_actions(envs, 7):
        seen, *_ = envs.step(actions)
    assert seen in envs.observation_space
    opened = GenerativeVectorSimulator(ChainWorld(length=4, horizon=3, slip=0.2), None, 5)
    opened.advance(np.zeros((5, 2), dtype=int), np.random.default_rng(0))
    assert len(opened.states()) == 5 and opened.attained(np.zeros((5, 1), dtype=int)).shape == (5, 1)


def test_pictures_of_all_environments_are_rendered():
    envs = make(2, render_mode="rgb_array")
    assert envs.render() is None
    envs.reset(seed=0)
    frames = envs.render()
    assert len(frames) == 2 and frames[0].dtype == np.uint8 and frames[0].ndim == 3


def test_seeds_and_options_that_cannot_be_are_refused():
    envs = make(3)
    for wrong in ([1, 2], [1, 2, 3, 4]):
        with pytest.raises(ValueError, match="one for each of 3 environments"):
            envs.reset(seed=wrong)
    with pytest.raises(ValueError, match="options must be a mapping"):
        envs.reset(options=5)
    seen = [envs.reset(seed=[1, 2, 3])[1]["goals"].tolist() for _ in range(2)]
    assert seen[0] == seen[1]


def test_attributes_are_those_of_single_environments():
    envs = make(3)
    envs.reset(seed=0)
    assert envs.get_attr("model")[2] is envs.get_attr("model")[0] and envs.get_attr("t") == (0, 0, 0)
    assert envs.get_attr("state_id") == (0, 0, 0) and envs.call("action_masks")[1][0]
    envs.set_attr("goal_resample_prob", 0.5)
    assert envs.one.goal_resample_prob == 0.5
    with pytest.raises(ValueError, match="options to reset"):
        envs.set_attr("t", 3)
    with pytest.raises(AttributeError):
        envs.get_attr("no_such_thing")


# ------------------------------------------------------------------------------------------------------------------ errors
@pytest.mark.parametrize("actions", [[0, 5], [-1, 0], [0.0, 1.0], [0], [[0], [1]], None])
def test_wrong_actions_are_an_error(actions):
    envs = make(2)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="must be in"):
        envs.step(actions)


def test_other_mistakes_are_errors_that_say_what_to_do():
    with pytest.raises(ValueError, match="num_envs must be an integer from 1"):
        VectorRobotEnv(0)
    with pytest.raises(ValueError, match="observation must be one of"):
        make(2, observation="smell")
    envs = make(2)
    with pytest.raises(gym.error.ResetNeeded):
        envs.step([0, 0])
    with pytest.raises(ValueError, match="reset_mask"):
        envs.reset(options={"reset_mask": [True]})
    with pytest.raises(ValueError, match="options must be one of"):
        envs.reset(options={"when": 1})
    late = load_world("default")
    far = envs.model.state(envs.model.n_states - 1)
    with pytest.raises(ValueError, match="use a single environment"):
        make(2, world=late).reset(options={"state": far, "t": 0})


# ------------------------------------------------------------------------------------------- goals and steps of later episodes
@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_goals_that_were_not_attained_are_drawn_anew_with_the_given_probability(p):
    envs = make(8000, world="two_humans", goal_resample_prob=p)
    shares = envs.world.goal_sets[0].pibar_weights
    envs.reset(seed=0)
    wanted = envs.goals.copy()
    _, _, _, _, info = envs.step(np.zeros(8000, dtype=int))
    kept = (info["goals"] == wanted)[~info["attained"]].mean()
    again = (shares / shares.sum()) @ (shares / shares.sum())
    assert kept == pytest.approx(1.0 - p + p * again, abs=0.03)


def test_steps_are_counted_from_the_beginning_of_each_episode():
    envs = make(2, world=DEADLY, human_policy=lambda *_: 2, max_episode_steps=3)
    envs.reset(seed=0)
    dies, waits = np.array([2, 0]), np.array([0, 0])
    ends = [envs.step(actions)[2:4] for actions in (dies, waits, waits, waits, waits)]
    assert [terminated.tolist() for terminated, _ in ends] == [[True, False]] + [[False, False]] * 4
    assert [truncated.tolist() for _, truncated in ends] == [
        [False] * 2,
        [False] * 2,
        [False, True],
        [True, False],
        [False] * 2,
    ]


@pytest.mark.parametrize("limit", [0, -1, 2.5, "2", True])
def test_a_vector_refuses_a_limit_of_steps_that_is_none(limit):
    for identifier in ("EMPO-Grid-v0", "EMPO-Random-v0"):
        with pytest.raises(ValueError, match="max_episode_steps must be an integer from 1 to 2147483647, or None"):
            gym.make_vec(identifier, num_envs=2, max_episode_steps=limit)


def test_seeds_that_are_none_leave_the_random_numbers_as_they_are_and_others_must_be_whole_numbers():
    envs = make(2)
    envs.reset(seed=3)
    before = envs.np_random.bit_generator.state["state"]["inc"]
    envs.reset(seed=[None, None])
    assert envs.np_random.bit_generator.state["state"]["inc"] == before
    envs.reset(seed=[None, 1])  # Gymnasium's vectors take seeds for some
    for wrong in ([None, -1], [None], [-1, 2], [1.0, 2.0], ["a", "b"]):
        with pytest.raises(ValueError, match="one for each of 2 environments"):
            envs.reset(seed=wrong)
    assert envs.reset(seed=np.array([1, 2]))[1]["goals"].tolist() == envs.reset(seed=[1, 2])[1]["goals"].tolist()


def test_an_attribute_may_be_set_as_one_equal_value_for_each_environment():
    envs = make(3)
    envs.reset(seed=0)
    envs.set_attr("goal_resample_prob", [0.5, 0.5, 0.5])
    envs.step(np.zeros(3, dtype=int))
    assert envs.get_attr("goal_resample_prob") == (0.5,) * 3
    for wrong in ([0.1, 0.5, 0.5], [0.5, 0.5], 2.0, "often"):
        with pytest.raises(ValueError, match="goal_resample_prob"):
            envs.set_attr("goal_resample_prob", wrong)
    envs.step(np.zeros(3, dtype=int))


def test_successes_are_those_of_the_present_episode():
    envs = make(300, world="two_humans")
    envs.reset(seed=0)
    won = [envs.step(np.zeros(300, dtype=int))[4] for _ in range(envs.world.horizon)][-1]["final_info"]["is_success"]
    info = envs.step(np.zeros(300, dtype=int))[4]
    assert won.any() and (info["is_success"] == info["attained"].all(axis=1)).all()
