"""Do other programs read the packed model and the solution as they are?"""

import sys

import gymnasium as gym
import numpy as np
import pytest

from empo_gym import ChainWorld, RobotEnv, TabularModel, Theory, solve_humans, solve_robot
from empo_gym.envs.vector_env import VectorRobotEnv
from empo_gym.solution.planner_policy import PlannerPolicy

THEORY = Theory(beta_r=3.0)
CHAIN = ChainWorld(length=4, horizon=3, slip=0.25, gates=(2,), starts=(0, 3))


@pytest.fixture(scope="module")
def model():
    return TabularModel.pack(CHAIN)


@pytest.fixture(scope="module")
def solution(model):
    return solve_robot(model, solve_humans(model, THEORY), THEORY)


def rows_of(model):
    return {(s, a): {after: p for p, after in row} for s in range(model.n_states) for a, row in enumerate(model.successors(s))}


# ------------------------------------------------------------------------------------------------------------- matrices
def test_the_scipy_matrix_has_the_rows_of_the_model(model):
    matrix = model.to_scipy()
    assert matrix.shape == (model.n_states * model.n_joint, model.n_states) and matrix.nnz == len(model.probs)
    for (s, a), row in rows_of(model).items():
        found = matrix[[s * model.n_joint + a]].toarray()[0]
        assert {int(after): found[after] for after in np.flatnonzero(found)} == row
    sums = matrix.sum(axis=1)
    assert np.allclose(sums[sums > 0.0], 1.0)


def test_the_toy_text_table_has_the_rows_of_the_model(model):
    P = model.to_P()
    for (s, a), row in rows_of(model).items():
        if row:
            assert {after: p for p, after, _, _ in P[s][a]} == row
            assert all(reward == 0.0 for _, _, reward, _ in P[s][a])
        else:
            assert P[s][a] == [(1.0, s, 0.0, True)]


def test_a_table_of_too_many_rows_is_refused(model, monkeypatch):
    monkeypatch.setattr("empo_gym.model.exports._MAX_ROWS", 10)
    with pytest.raises(ValueError, match="more than 10; take to_scipy"):
        model.to_P()


# ------------------------------------------------------------------------------------------------------- model checkers
def read_prism(path):
    """Read PRISM's explicit files back: rows, labels by state, rewards by state."""
    header, *lines = path.with_suffix(".tra").read_text().splitlines()
    n_states, n_choices, n_transitions = map(int, header.split())
    rows = {}
    for line in lines:
        s, a, after, p = line.split()
        rows.setdefault((int(s), int(a)), {})[int(after)] = float(p)
    assert len(rows) == n_choices and len(lines) == n_transitions == sum(map(len, rows.values()))
    header, *lines = path.with_suffix(".lab").read_text().splitlines()
    names = {int(k): name.strip('"') for k, name in (part.split("=") for part in header.split())}
    labels = {int(s): {names[int(k)] for k in held.split()} for s, held in (line.split(":") for line in lines)}
    header, *lines = path.with_suffix(".srew").read_text().splitlines()
    rewards = {int(s): float(reward) for s, reward in map(str.split, lines)}
    assert tuple(map(int, header.split())) == (n_states, len(rewards))
    return n_states, rows, labels, rewards


def test_prisms_files_read_back_as_the_model(tmp_path, model, solution):
    written = model.to_prism(tmp_path / "chain", rewards=solution.u_r[0])
    assert sorted(path.name for path in written) == sorted(p.name for p in tmp_path.iterdir())
    n_states, rows, labels, rewards = read_prism(tmp_path / "chain.tra")
    assert n_states == model.n_states
    for (s, a), row in rows_of(model).items():
        if row:
            assert rows[s, a] == row
        else:
            assert rows[s, 0] == {s: 1.0} and "deadlock" in labels[s]
    assert {s for s, held in labels.items() if "init" in held} == {0}
    for h, achieved in enumerate(model.achieved):
        for g in range(achieved.shape[1]):
            assert {s for s, held in labels.items() if f"goal_{h}_{g}" in held} == set(np.flatnonzero(achieved[:, g]))
    assert rewards == {s: u_r for s, u_r in enumerate(solution.u_r[0].tolist()) if u_r}


def test_storm_is_given_costs_since_it_reads_no_negative_rewards(tmp_path, model, solution):
    with pytest.raises(ValueError, match="Storm reads no negative rewards: give the costs, rewards=-rewards"):
        model.to_prism(tmp_path / "chain", rewards=solution.u_r[0], dialect="storm")
    assert list(tmp_path.iterdir()) == []
    *_, srew = model.to_prism(tmp_path / "chain", rewards=-solution.u_r[0], dialect="storm")
    costs = {int(s): float(cost) for s, cost in map(str.split, srew.read_text().splitlines())}
    assert costs == dict(enumerate((-solution.u_r[0]).tolist())) and min(costs.values()) >= 0.0


def test_without_rewards_there_is_no_file_of_them(tmp_path, model):
    assert [path.suffix for path in model.to_prism(tmp_path / "chain")] == [".tra", ".lab"]


def test_a_wrong_export_is_refused_in_a_sentence(tmp_path, model):
    with pytest.raises(ValueError, match="dialect must be 'prism' or 'storm', not 'spin'"):
        model.to_prism(tmp_path / "chain", dialect="spin")
    with pytest.raises(ValueError, match="one number per state"):
        model.to_prism(tmp_path / "chain", rewards=np.zeros(3))


def test_storm_finds_the_chance_of_reaching_a_goal_in_time_that_a_sharp_human_with_a_helpful_robot_has(tmp_path):
    stormpy = pytest.importorskip("stormpy", minversion="2")
    model = TabularModel.pack(CHAIN, horizon=None)
    theory = Theory(beta_r=3.0, gamma_h=0.95, gamma_r=0.95)
    costs = -solve_robot(model, solve_humans(model, theory), theory).u_r[0]
    tra, lab, srew = model.to_prism(tmp_path / "chain", rewards=costs, dialect="storm")
    storm = stormpy.build_model_from_explicit(str(tra), str(lab), state_rewards=str(srew))
    np.testing.assert_allclose(next(iter(storm.reward_models.values())).state_rewards, costs, rtol=1e-12)
    assert (storm.nr_states, storm.nr_transitions) == (model.n_states, len(model.probs))
    together = TabularModel.pack(ChainWorld(length=4, horizon=3, slip=0.25, gates=(2,), starts=(0,)))
    prior = solve_humans(together, Theory(beta_h=float("inf"), gamma_h=1.0), belief="best_case")
    for g in range(1, 4):
        formula = stormpy.parse_properties(f'Pmax=? [F<=3 "goal_0_{g}"]')[0]
        chance = stormpy.model_checking(storm, formula).get_value_vector()[0]
        assert prior.v_h_m[0][0, 0, g] == pytest.approx(chance, abs=1e-6) and 0.0 < chance < 1.0


# --------------------------------------------------------------------------------------------------------------- tables
def test_a_frame_has_a_row_per_pair_in_which_somebody_acts_and_a_column_per_number(model, solution):
    pytest.importorskip("pandas")
    frame = solution.to_frame()
    assert len(frame) == model.reachable_pairs()[:-1].sum()
    row = frame[(frame.t == 1) & (frame.state == (1, 3, 0))].iloc[0]
    s = model.index((1, 3, 0))
    assert row.s == s and row.v_r == solution.v_r[1, s] and row["x_h.walker 1"] == solution.x_h[1, s, 1]
    assert row["pi_r.toggle"] == solution.pi_r[1, s, 1] and row["v_h_e.walker 0.3,0"] == solution.v_h_e[0][1, s, 3]
    assert list(solution.to_frame(["u_r", "x_h"]).columns) == ["t", "s", "state", "u_r", "x_h.walker 0", "x_h.walker 1"]
    with pytest.raises(ValueError, match="no quantity 'power'"):
        solution.to_frame(["power"])


def test_a_frame_without_pandas_says_what_to_install(solution, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        solution.to_frame()


@pytest.mark.parametrize("keep", ["policy", "values"])
def test_a_frame_has_all_that_was_kept_and_nan_for_the_rest(model, solution, keep):
    pandas = pytest.importorskip("pandas")
    whole = solution.to_frame()
    found = solve_robot(model, solve_humans(model, THEORY, keep=keep), THEORY, keep=keep).to_frame()
    lost = [name for name in whole.columns[3:] if not name.startswith("pi_r")] if keep == "policy" else []
    whole.loc[whole.t > 0, lost] = np.nan
    assert whole["pi_r.toggle"].notna().all()
    pandas.testing.assert_frame_equal(found, whole, check_exact=True)
    first = solve_robot(model, solve_humans(model, THEORY), THEORY, keep="policy").to_frame("v_r")
    assert list(first.columns) == ["t", "s", "state", "v_r"] and first.t.max() == 0


def test_a_stationary_frame_has_a_row_per_state():
    pytest.importorskip("pandas")
    model = TabularModel.pack(CHAIN, horizon=None)
    theory = Theory(gamma_h=0.9, gamma_r=0.9)
    frame = solve_robot(model, solve_humans(model, theory), theory, starts=1).to_frame()
    assert len(frame) == model.n_states and (frame.t == 0).all()


# --------------------------------------------------------------------------------------------------------------- acting
def test_the_policy_acts_where_the_environment_stands(solution):
    env = RobotEnv(CHAIN, theory=THEORY)
    policy = PlannerPolicy(solution, env, seed=0)
    obs, _ = env.reset(seed=0)
    for _ in range(3):
        action, state = policy.predict(obs, deterministic=True)
        assert action == solution.policy(env.state, env.t).argmax() and state is None
        obs, *_ = env.step(action)
    env.reset(seed=0)
    drawn = np.bincount([policy.predict(obs)[0] for _ in range(2000)], minlength=2) / 2000
    assert drawn == pytest.approx(solution.policy(CHAIN.initial_state()), abs=0.05)


def test_several_robots_get_one_action_each():
    world = ChainWorld(length=4, horizon=3, gates=(1, 2), starts=(0,))
    model = TabularModel.pack(world)
    solution = solve_robot(model, solve_humans(model, THEORY), THEORY)
    env = RobotEnv(world, theory=THEORY, action_space="multi")
    obs, _ = env.reset(seed=0)
    action, _ = PlannerPolicy(solution, env).predict(obs, deterministic=True)
    assert env.action_space.contains(action)
    assert np.ravel_multi_index(tuple(action), (2, 2)) == solution.policy(world.initial_state()).argmax()


def test_an_environment_of_other_robots_is_refused(solution):
    other = RobotEnv(ChainWorld(length=4, horizon=3, gates=(1, 2), starts=(0,)))
    with pytest.raises(ValueError, match="among 2 actions, the environment 4"):
        PlannerPolicy(solution, other)


@pytest.mark.parametrize("n_envs", [0, 3])
def test_stable_baselines_evaluates_it_like_a_model_of_its_own(solution, n_envs):
    evaluation = pytest.importorskip("stable_baselines3.common.evaluation")
    from stable_baselines3.common.vec_env import DummyVecEnv

    def make():
        return gym.wrappers.TimeLimit(RobotEnv(CHAIN, theory=THEORY), 100)

    env = DummyVecEnv([make] * n_envs) if n_envs else make()
    rewards, lengths = evaluation.evaluate_policy(
        PlannerPolicy(solution, env, seed=1), env, n_eval_episodes=6, return_episode_rewards=True, warn=False
    )
    assert lengths == [3] * 6 and all(0.0 <= reward <= 6.0 for reward in rewards)


@pytest.mark.parametrize("actions", ["joint", "multi"])
@pytest.mark.parametrize("kind", ["sync", "native"])
def test_it_acts_in_vectors_of_gymnasium(solution, kind, actions):
    settings = {"world": CHAIN, "theory": THEORY, "action_space": actions}
    env = VectorRobotEnv(3, **settings) if kind == "native" else gym.vector.SyncVectorEnv([lambda: RobotEnv(**settings)] * 3)
    policy = PlannerPolicy(solution, env, seed=0)
    obs, _ = env.reset(seed=0)
    for _ in range(9):
        joint, _ = policy.predict(obs)
        assert env.action_space.contains(joint)
        places = zip(env.get_attr("state"), env.get_attr("t"), strict=True)
        expected = [int(solution.policy(state, t).argmax()) for state, t in places if t < 3]
        if len(expected) == 3:
            assert policy.predict(obs, deterministic=True)[0].ravel().tolist() == expected
        obs, *_ = env.step(joint)


def test_a_policy_that_looks_at_another_environment_is_told_so(solution):
    evaluation = pytest.importorskip("stable_baselines3.common.evaluation")
    from stable_baselines3.common.vec_env import DummyVecEnv

    one, three = RobotEnv(CHAIN, theory=THEORY), DummyVecEnv([lambda: RobotEnv(CHAIN, theory=THEORY)] * 3)
    with pytest.raises(ValueError, match="looks at 1 environments but was asked for 3 actions; make it with"):
        evaluation.evaluate_policy(PlannerPolicy(solution, one), three, n_eval_episodes=3, warn=False)
    with pytest.raises(ValueError, match="looks at 3 environments but was asked for 1 actions"):
        PlannerPolicy(solution, three).predict(three.reset()[:1])


@pytest.mark.slow
def test_episodes_are_recorded_as_videos(tmp_path):
    pytest.importorskip("moviepy")
    from empo_gym import load_world

    world = load_world({"map": "We We We We\nWe Ay Ae We\nWe .. .. We\nWe We We We", "max_steps": 3})
    model = TabularModel.pack(world)
    solution = solve_robot(model, solve_humans(model, THEORY), THEORY)
    env = gym.wrappers.RecordVideo(RobotEnv(world, theory=THEORY, render_mode="rgb_array"), str(tmp_path))
    policy, over = PlannerPolicy(solution, env), False
    obs, _ = env.reset(seed=0)
    while not over:
        obs, _, terminated, truncated, _ = env.step(policy.predict(obs)[0])
        over = terminated or truncated
    env.close()
    assert list(tmp_path.glob("*.mp4"))


def test_rewards_that_are_no_numbers_are_not_exported(tmp_path, model):
    with pytest.raises(ValueError, match="rewards must be finite"):
        model.to_prism(tmp_path / "m", rewards=np.full(model.n_states, np.nan))
    assert list(tmp_path.iterdir()) == []
