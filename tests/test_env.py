"""The robot fleet's environment: dynamics of the model, humans of the prior, conventions of Gymnasium, errors with a mend."""

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.stats import chisquare
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

import empo_gym.envs.robot_env as env_module
from empo_gym import ChainWorld, RobotEnv, TabularModel, Theory, load_world, solve_humans, solve_robot
from empo_gym.envs.simulator import GenerativeSimulator
from empo_gym.registration import env_ids

DEADLY = {"map": "We We We We\nWe Ay La We\nWe Ae La We\nWe We We We", "max_steps": 5, "actions": "compass"}


def episode(env, seed, n_steps=10):
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    trace = [(observation.tolist(), info)]
    for _ in range(n_steps):
        observation, reward, terminated, truncated, info = env.step(int(rng.integers(env.action_space.n)))
        trace.append((observation.tolist(), reward, terminated, truncated, info))
        if terminated or truncated:
            break
    return trace


@pytest.fixture(scope="module")
def default_solution():
    model = RobotEnv("default").model
    theory = RobotEnv("default").theory
    return solve_robot(model, solve_humans(model, theory), theory)


# ------------------------------------------------------------------------------------------------------------- conventions
def check_both(identifier, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(gym.make(identifier, render_mode="rgb_array", **keywords).unwrapped)
        check_env_of_sb3(gym.make(identifier, **keywords).unwrapped)


@pytest.mark.parametrize("keywords", [{}, {"observation": "planes"}, {"action_space": "multi", "observe_goals": True}])
@pytest.mark.parametrize("identifier", ["EMPO-Grid-v0", "EMPO-Convoy-v0"])
def test_both_checkers_accept_the_environment(identifier, keywords):
    check_both(identifier, **keywords)


@pytest.mark.slow
@pytest.mark.parametrize("observation", ["features", "planes"])
@pytest.mark.parametrize("identifier", list(env_ids()))
def test_both_checkers_accept_every_id(identifier, observation):
    check_both(identifier, observation=observation)


def test_any_world_model_will_do_not_only_grids():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(RobotEnv(ChainWorld(length=4, horizon=3, slip=0.2)), skip_render_check=True)


def test_the_same_seed_gives_the_same_episode_and_another_seed_another_one():
    env = RobotEnv("unsteady_bridge", goal_resample_prob=0.2)
    assert episode(env, 3) == episode(RobotEnv("unsteady_bridge", goal_resample_prob=0.2), 3) == episode(env, 3)
    assert episode(env, 3) != episode(env, 4)


def test_an_environment_goes_on_from_a_saved_state_or_a_copy_as_if_nothing_had_happened():
    env, other = RobotEnv("unsteady_bridge"), RobotEnv("unsteady_bridge")
    env.reset(seed=4)
    env.step(2)
    other.set_state(env.get_state())
    copied = pickle.loads(pickle.dumps(env))
    for action in (2, 2, 3, 0):
        steps = [e.step(action) for e in (env, other, copied)]
        assert steps[0][0].tolist() == steps[1][0].tolist() == steps[2][0].tolist()
        assert steps[0][1:] == steps[1][1:] == steps[2][1:]
    other.set_state(RobotEnv("unsteady_bridge").get_state())
    with pytest.raises(gym.error.ResetNeeded):
        other.step(0)


def test_environments_of_one_world_and_theory_share_its_model_and_its_prior():
    one, other = RobotEnv("chain"), RobotEnv("chain", theory={"beta_r": 3.0, "beta_h": 10.0})
    assert one.model is other.model and one.prior is RobotEnv("chain").prior
    assert other.prior is not one.prior


def test_observations_are_those_of_the_world_with_the_time_and_without_the_goals():
    env = RobotEnv("default")
    observation, _ = env.reset(seed=0)
    for _ in range(3):
        expected = env.world.observe([env.state], t=env.t)[0]
        assert observation.tolist() == expected.tolist()
        observation, *_ = env.step(2)
    again, _ = env.reset(seed=0, options={"goals": {0: 1}})
    assert again.tolist() == env.reset(seed=1, options={"goals": {0: 2}})[0].tolist()


def test_observe_goals_appends_which_goal_each_human_has():
    env, plain = RobotEnv("two_humans", observe_goals=True), RobotEnv("two_humans")
    sizes = [len(goals) for goals in env.world.goal_sets]
    observation, info = env.reset(seed=5)
    width = plain.observation_space.shape[0]
    assert observation.shape == (width + sum(sizes),) and observation.shape == env.observation_space.shape
    codes = np.split(observation[width:], np.cumsum(sizes)[:-1])
    assert tuple(int(code.argmax()) for code in codes) == info["goals"] and observation[width:].sum() == 2


def test_goal_planes_mark_the_cells_of_the_goal():
    env = RobotEnv("default", observation="planes", observe_goals=True)
    observation, info = env.reset(seed=2)
    goal = env.world.goal_sets[0].goals[info["goals"][0]]
    assert np.argwhere(observation[:, :, -1]).tolist() == [[goal.y, goal.x]]


def test_multi_actions_are_the_joint_actions_written_one_per_robot():
    joint, multi = RobotEnv("convoy"), RobotEnv("convoy", action_space="multi")
    assert joint.action_space.n == 25 and multi.action_space.nvec.tolist() == [5, 5]
    for action in range(25):
        joint.reset(seed=action)
        multi.reset(seed=action)
        joint.step(action)
        multi.step(np.array(divmod(action, 5)))
        assert joint.state == multi.state
    assert joint.action_masks().shape == (25,) and multi.action_masks().shape == (10,)


# ---------------------------------------------------------------------------------------------------------------- dynamics
def expected_frequencies(env, state, t, goal, robots):
    """Probabilities of the next state under the exact prior, from the world's own transitions."""
    s, world = env.model.index(state), env.world
    total = {}
    for action, p_action in enumerate(env.prior.pi_h[0][t, s, goal]):
        for p, successor in world.transition_probabilities(state, (*robots, action)):
            total[successor] = total.get(successor, 0.0) + p * p_action
    return total


def assert_frequencies(counts, expected):
    assert set(counts) <= {state for state, p in expected.items() if p > 0}
    kept = [state for state, p in expected.items() if p * sum(counts.values()) >= 5]
    observed = np.array([counts.get(state, 0) for state in kept], dtype=float)
    wanted = np.array([expected[state] for state in kept])
    wanted *= observed.sum() / wanted.sum()
    assert len(kept) > 1 and chisquare(observed, wanted).pvalue > 1e-4


def test_steps_follow_the_humans_prior_and_the_worlds_transitions():
    env = RobotEnv("unsteady_bridge")
    env.reset(seed=0)
    crossing = next(s for s in range(env.model.n_states) if env.world.positions([env.model.state(s)], 0)[0].tolist() == [4, 2])
    state, t, goal = env.model.state(crossing), int(env.model.depth[crossing]), 10
    counts = {}
    for _ in range(3000):
        env.reset(options={"state": state, "t": t, "goals": {0: goal}})
        env.step(0)
        counts[env.state] = counts.get(env.state, 0) + 1
    assert_frequencies(counts, expected_frequencies(env, state, t, goal, (0,)))


def test_a_world_that_is_not_packed_steps_by_the_same_distribution(monkeypatch):
    open_env = RobotEnv("unsteady_bridge", human_policy="uniform")
    with monkeypatch.context() as patch:
        patch.setattr(env_module, "MAX_STATES", 10)
        open_env.reset(seed=0)
    assert isinstance(open_env._simulator, GenerativeSimulator) and open_env.state_id == -1
    world, state = open_env.world, open_env.world.initial_state()
    expected = {}
    for action in range(5):
        for p, successor in world.transition_probabilities(state, (2, action)):
            expected[successor] = expected.get(successor, 0.0) + p / 5
    counts = {}
    for _ in range(2000):
        open_env.reset()
        info = open_env.step(2)[4]
        assert "state_id" not in info
        counts[open_env.state] = counts.get(open_env.state, 0) + 1
    assert_frequencies(counts, expected)


def test_boltzmann_humans_are_the_default_and_their_name_is_told():
    assert RobotEnv("chain").human_policy_name == "boltzmann"
    assert RobotEnv("chain", human_policy="uniform").human_policy_name == "uniform"
    assert RobotEnv("chain", human_policy=lambda *_: 0).human_policy_name == "custom"


def test_a_given_prior_decides_how_the_humans_act():
    model = TabularModel.pack(load_world("chain"))
    sure = solve_humans(model, Theory(beta_h=float("inf")))
    env = RobotEnv(model.world, human_policy=sure)
    walked = set()
    for seed in range(30):
        env.reset(seed=seed, options={"goals": {0: 1}})
        walked.add(env.step(0)[4]["human_actions"])
    assert walked == {(3,)} and env.model is model


def test_a_function_may_decide_how_the_humans_act_by_action_or_by_probabilities():
    calls = []

    def policy(state, t, human, goal, rng):
        calls.append((state, t, human, goal))
        return 3 if t == 0 else np.array([0.0, 0.0, 1.0, 0.0])

    env = RobotEnv("chain", human_policy=policy)
    env.reset(seed=0, options={"goals": {0: 4}})
    first = env.state
    assert [env.step(0)[4]["human_actions"] for _ in range(2)] == [(3,), (2,)]
    assert calls[0] == (first, 0, 0, 4) and calls[1][1] == 1


@pytest.mark.parametrize("answer", [7, -1, 0.5, [0.5, 0.5], [0.9, 0.9, 0.1, 0.1]])
def test_a_function_that_returns_nonsense_is_told_what_to_return(answer):
    env = RobotEnv("chain", human_policy=lambda *_: answer)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"return an action from 0 to 3 or 4 probabilities"):
        env.step(0)


# ------------------------------------------------------------------------------------------------------- goals and rewards
def test_the_reward_counts_the_humans_who_attain_their_goal_in_the_step():
    env = RobotEnv("two_humans")
    for seed in range(40):
        env.reset(seed=seed)
        goals = env.goals
        _, reward, *_, info = env.step(0)
        there = [
            bool(env.world.goal_sets[h].goals[goals[h]].holds(env.world, [env.state], h)[0]) for h in range(env.world.n_humans)
        ]
        assert info["attained"] == tuple(map(int, there)) and reward == sum(there)


def test_a_goal_is_kept_until_attained_and_then_drawn_anew():
    env, kept, changed = RobotEnv("empty"), 0, 0
    for seed in range(60):
        env.reset(seed=seed)
        for _ in range(4):
            before = env.goals
            info = env.step(0)[4]
            if info["attained"] == (0,):
                assert env.goals == before
                kept += 1
            changed += env.goals != before
    assert kept > 20 and changed > 20


def test_goals_change_by_themselves_with_goal_resample_prob():
    env = RobotEnv("default", goal_resample_prob=1.0)
    env.reset(seed=0)
    goals = [env.step(0)[4]["goals"] for _ in range(9)]
    assert len(set(goals)) > 3


def test_goals_are_drawn_with_their_weights():
    goals = [{"cell": "1,1", "weight": 3}, {"cell": "2,1", "weight": 1}]
    env = RobotEnv({"map": "We We We We We\nWe Ay .. Ae We\nWe We We We We", "max_steps": 3, "possible_goals": goals})
    env.reset(seed=0)
    share = np.mean([env.reset()[1]["goals"] == (0,) for _ in range(2000)])
    assert abs(share - 0.75) < 0.05


def test_success_means_that_every_human_attained_a_goal_in_the_episode():
    env = RobotEnv("two_humans")
    seen = set()
    for seed in range(60):
        env.reset(seed=seed)
        attained = np.zeros(2, dtype=bool)
        for _ in range(env.world.horizon):
            info = env.step(0)[4]
            attained |= np.array(info["attained"], dtype=bool)
            assert info["is_success"] == bool(attained.all())
        seen.add(info["is_success"])
    assert seen == {True, False}


def test_the_power_reward_is_u_r_of_the_new_state(default_solution):
    env = RobotEnv("default", reward="power", solution=default_solution)
    env.reset(seed=1)
    for t in range(1, 11):
        reward = env.step(2)[1]
        assert reward == (default_solution.u_r[t, env.state_id] if t < 10 else 0.0)


def test_without_reward_nothing_is_paid():
    env = RobotEnv("empty", reward="none")
    env.reset(seed=0)
    assert [env.step(0)[1] for _ in range(6)] == [0.0] * 6


# ------------------------------------------------------------------------------------------------------ beginnings and ends
def test_an_episode_is_truncated_at_the_horizon_and_not_before():
    env = RobotEnv("empty")
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(6)]
    assert ends == [(False, False)] * 5 + [(False, True)]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_an_episode_terminates_when_nobody_can_act_any_more():
    env = RobotEnv(DEADLY, human_policy=lambda *_: 2)
    env.reset(seed=0)
    assert env.step(2)[2:4] == (True, False)
    env.reset(seed=0)
    assert env.step(0)[2:4] == (False, False)


def test_reset_begins_where_the_options_say_be_it_a_state_or_its_description():
    env = RobotEnv("default")
    env.reset(seed=0)
    env.step(2)
    state = env.state
    for given in (state, list(state), env.world.describe(state)):
        _, info = env.reset(options={"state": given, "t": 4, "goals": {0: 7}})
        assert env.state == state and (info["t"], info["goals"]) == (4, (7,))


def test_a_start_that_the_model_does_not_reach_so_early_plays_on_a_model_of_its_own():
    env = RobotEnv("chain")
    env.reset(seed=0)
    far = env.model.state(env.model.n_states - 1)
    assert env.model.depth[-1] > 0
    _, info = env.reset(options={"state": far, "t": 0})
    assert env.state == far and info["state_id"] == env.model.n_states - 1
    trace = [env.step(3)[4] for _ in range(env.world.horizon)]
    assert trace[-1]["t"] == env.world.horizon
    env.reset(seed=0)
    assert env.state_id == 0


def test_exploring_starts_are_drawn_in_their_share_and_with_their_weights():
    env = RobotEnv("default")
    env.reset(seed=0)
    env.set_starts(np.array([5, 6]), np.array([4, 9]), share=0.5, weights=np.array([1.0, 3.0]))
    starts = [(info["state_id"], info["t"]) for info in (env.reset()[1] for _ in range(2000))]
    assert set(starts) == {(0, 0), (5, 4), (6, 9)}
    assert abs(starts.count((0, 0)) / 2000 - 0.5) < 0.05 and abs(starts.count((6, 9)) / 2000 - 0.375) < 0.05
    assert env.reset(options={"t": 2})[1]["t"] == 2


@pytest.mark.parametrize(
    "states, times, share", [([0], [10], 0.5), ([1000], [0], 0.5), ([0], [0], 2.0), ([], [], 0.5), ([9999], [3], 1)]
)
def test_exploring_starts_that_cannot_occur_are_refused(states, times, share):
    with pytest.raises(ValueError, match="set_starts"):
        RobotEnv("default").set_starts(np.array(states), np.array(times), share)


def test_info_is_small_and_made_of_numbers_alone():
    env = RobotEnv("two_humans")
    env.reset(seed=0)
    info = env.step(0)[4]
    assert set(info) == {"state_id", "t", "goals", "human_actions", "attained", "is_success"}
    assert info["state_id"] == env.model.index(env.state) and len(info["goals"]) == 2
    assert all(isinstance(value, int | bool | tuple) for value in info.values())


# ------------------------------------------------------------------------------------------------------------------ errors
@pytest.mark.parametrize(
    "keywords, sentence",
    [
        ({"observation": "smell"}, "observation must be one of 'features', 'planes', 'rgb', 'partial', not 'smell'"),
        ({"reward": "fame"}, "reward must be one of"),
        ({"reward": "power"}, "needs solution="),
        ({"action_space": "both"}, "action_space must be one of"),
        ({"render_mode": "hologram"}, "render_mode must be one of"),
        ({"human_policy": "greedy"}, "human_policy must be one of"),
        ({"goal_resample_prob": 1.5}, "goal_resample_prob must be a probability"),
        ({"theory": {"gamma_h": -1.0}}, "gamma_h"),
        ({"theory": {"betar": 1.0}}, "beta_r"),
        ({"world": "no_such_world_at_all"}, "no_such_world_at_all"),
        ({"world": 3}, "name, a path, a mapping or an object"),
        ({"human_policy": 3}, "human_policy must be one of"),
        ({"theory": 3}, "theory must be a Theory or a mapping"),
        ({"goal_resample_prob": "often"}, "must be a probability"),
        ({"reward": "power", "solution": 5}, "solution must be an EmpoSolution, not 5"),
        ({"observe_goals": 5}, "observe_goals must be true or false, not 5"),
    ],
)
def test_a_wrong_argument_is_a_value_error_that_says_what_may_stand_there(keywords, sentence):
    with pytest.raises(ValueError, match=sentence):
        RobotEnv(**keywords)


@pytest.mark.parametrize("action", [5, -1, 1.0, [0, 0], None, "east"])
def test_a_wrong_action_is_an_error(action):
    env = RobotEnv("default")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="must be in"):
        env.step(action)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"t": 10}, "no step at t = 10"),
        ({"goals": {0: 99}}, "goal of human 0 must be an integer from 0 to 11, not 99"),
        ({"goals": {3: 0}}, "number of a human must be an integer from 0 to 0, not 3"),
        ({"goals": {0: 1.5}}, "goal of human 0 must be an integer"),
        ({"t": 2.5}, "t must be an integer"),
        ({"state": (1, 2)}, "3 integers"),
        ({"state": (99, 0, 0)}, "3 integers"),
        ({"state": "start"}, "A state is"),
        ({"when": 1}, "options must be one of"),
        ({"state": {"agents": []}}, "agents"),
        (5, "options must be a mapping"),
        ({"goals": 5}, "goals'] must be {human: number of its goal}, not 5"),
    ],
)
def test_a_wrong_reset_option_is_an_error(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        RobotEnv("default").reset(options=options)


def test_in_a_world_too_large_to_plan_for_the_humans_walk_shortest_paths_unless_asked_to_plan(monkeypatch):
    monkeypatch.setattr(env_module, "MAX_STATES", 10)
    env = RobotEnv("default")
    assert env.human_policy_name == "heuristic"
    assert "state_id" not in env.reset(seed=0)[1] and env.step(0)[4]["human_actions"]
    assert RobotEnv("default", human_policy="boltzmann").reset(seed=0)[1]["state_id"] == 0


def test_a_world_without_a_map_has_a_text_but_no_picture():
    for mode in ("ansi", "rgb_array"):
        env = RobotEnv(ChainWorld(), render_mode=mode)
        env.reset(seed=0, options={"goals": [3]})
        if mode == "ansi":
            assert env.render().splitlines() == ["state (0, 1)", "human 0 wants 3,0"]
        else:
            with pytest.raises(ValueError, match="have a picture"):
                env.render()


def test_stepping_before_the_first_reset_is_an_error():
    with pytest.raises(gym.error.ResetNeeded):
        RobotEnv("chain").step(0)


def test_a_state_looks_different_at_another_time_though_it_was_seen_before():
    env = RobotEnv("default")
    first, _ = env.reset(seed=0)
    later, _ = env.reset(options={"t": 3})
    assert later.tolist() == env.world.observe([env.state], t=3)[0].tolist() != first.tolist()
    assert env.reset()[0].tolist() == first.tolist()


def test_a_window_is_opened_by_gymnasium_around_an_environment():
    with pytest.raises(ValueError, match=r"gym\.make"):
        RobotEnv("default", render_mode="human")
    env = gym.make("EMPO-Grid-v0", render_mode="human")
    assert env.render_mode == "human" and env.unwrapped.render_mode == "rgb_array"
    env.close()


def test_what_humans_are_told_waits_for_a_step_that_is_taken():
    env = RobotEnv("two_humans", human_policy=lambda *_: 0)
    env.reset(seed=0)
    env.tell_humans({1: 3})
    with pytest.raises(ValueError, match="must be in"):
        env.step(99)
    assert env.step(0)[4]["human_actions"] == (0, 3) and env.step(0)[4]["human_actions"] == (0, 0)
    for wrong in ({2: 0}, {0: 1.5}, {0: 9}, 5):
        with pytest.raises(ValueError, match=r"human|action"):
            env.tell_humans(wrong)


def test_a_refused_reset_changes_nothing():
    env = RobotEnv("default")
    env.reset(seed=0)
    env.step(0)
    before = env.get_state()
    for wrong in ({"t": 2, "goals": {0: 99}}, {"state": (99,) * 3}, {"t": -1}):
        with pytest.raises(ValueError):
            env.reset(options=wrong)
        assert env.get_state() == before
