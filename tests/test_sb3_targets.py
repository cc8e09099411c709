"""Are the targets the right-hand sides of the planner's equations?"""

import numpy as np
import pytest
from sb3_worlds import crowd_env, exact, gate_env
from stable_baselines3.common.utils import set_random_seed

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.worlds.chain import ChainWorld
from empo_gym.worlds.goals import GoalSet, ReachCell, ReachRect
from empo_sb3 import EMPO
from empo_sb3.empo.quantities import QUANTITIES, multiplicity
from empo_sb3.empo.targets.pairs import worth_by_human
from empo_sb3.empo.targets.tabular import TargetCache

ALL = {"x_h_use_network": True, "u_r_use_network": True, "v_r_use_network": True}


def unequal_env() -> RobotEnv:
    """Two humans with different numbers of goals and unequal weights, a robot less than gates would suggest."""
    goal_sets = (
        GoalSet([ReachCell(2, 0), ReachRect(2, 0, 3, 0), ReachCell(0, 0)], [5.0, 1.0, 2.0]),
        GoalSet([ReachCell(1, 0)]),
    )
    world = ChainWorld(length=4, horizon=5, starts=(0, 2), gates=(1,), gates_open=False, slip=0.3, goal_sets=goal_sets)
    return RobotEnv(world, theory={"nu_h": 0.1, "gamma_h": 0.8, "gamma_r": 0.9, "zeta": 1.5, "xi": 2.0})


def three_humans_env() -> RobotEnv:
    """Three humans in different places with different goals, and an end that costs something."""
    goal_sets = tuple(GoalSet([ReachCell(x, 0)]) for x in (1, 0, 2))
    world = ChainWorld(length=3, horizon=2, starts=(0, 1, 2), gates=(1,), gates_open=False, slip=0.3, goal_sets=goal_sets)
    return RobotEnv(world, theory={"terminal_v_r": -0.5, "gamma_r": 0.8, "nu_h": 0.2})


ENVS = {"one of each": gate_env, "two of each": crowd_env, "unequal": unequal_env}


@pytest.fixture(params=ENVS.values(), ids=ENVS.keys())
def learner(request):
    return EMPO("TablePolicy", request.param(), **ALL)


def exact_values(learner):
    solution, targets = exact(learner), learner.targets
    values = targets.initial_values()
    n = targets.live
    flat = {q: getattr(solution, q) for q in ("x_h", "u_r", "q_r", "v_r", "pi_r")}
    flat["v_h_e"] = np.concatenate(solution.v_h_e, axis=-1)
    for q, array in flat.items():
        values[q][n] = array.reshape(-1, *array.shape[2:])[n]
    return values


def test_the_exact_solution_is_a_fixed_point(learner):
    values, targets = exact_values(learner), learner.targets
    answers = targets.of_batch(targets.live, QUANTITIES, values, targets.outlook(values))
    assert set(answers) == set(QUANTITIES)
    for q, answer in answers.items():
        wanted = values[q][targets.live].reshape(answer.shape)
        np.testing.assert_allclose(answer, wanted, rtol=1e-9, atol=1e-9, err_msg=q)


def test_three_humans_expect_of_each_other_what_each_of_them_does():
    learner = EMPO("TablePolicy", three_humans_env(), **ALL)
    values, targets = exact_values(learner), learner.targets
    answers = targets.of_batch(targets.live, QUANTITIES, values, targets.outlook(values))
    for q, answer in answers.items():
        wanted = values[q][targets.live].reshape(answer.shape)
        np.testing.assert_allclose(answer, wanted, rtol=1e-9, atol=1e-9, err_msg=q)


def test_a_goal_is_attained_as_often_as_everybody_acts_by_chance():
    targets = EMPO("TablePolicy", three_humans_env(), **ALL).targets
    pairs, rng = targets.live, np.random.default_rng(0)
    shape = (len(pairs), targets.model.n_robot_joint, *targets.model.human_action_shape, 3)
    expected, pi_r = rng.random(shape), rng.dirichlet(np.ones(shape[1]), size=len(pairs))
    pi_h, pibar = targets.pi_h(pairs), targets.pibar(pairs)
    found = targets.goal_ability(expected, pi_h, pibar, pi_r)
    for human in range(3):
        acting = [pi_h[h][:, 0] if h == human else p for h, p in enumerate(pibar)]
        wanted = np.einsum("brxyz,br,bx,by,bz->b", expected[..., human], pi_r, *acting)
        np.testing.assert_allclose(found[:, human], wanted, rtol=1e-9)


def test_one_step_before_the_horizon_every_action_is_worth_the_discounted_end():
    learner = EMPO("TablePolicy", three_humans_env(), **ALL)
    targets, values = learner.targets, learner.targets.initial_values()
    targets.complete(values, ("v_h_e",), 10.0)
    n_states, horizon = targets.model.n_states, 2
    assert (values["q_r"].reshape(horizon + 1, n_states, -1)[horizon - 1] == 0.8 * -0.5).all()
    assert targets.last_step(np.arange(horizon * n_states)).tolist() == [False] * n_states + [True] * n_states


def test_what_each_human_expects_is_a_mean_over_what_all_others_do():
    rng = np.random.default_rng(0)
    expected, pi_r = rng.random((4, 2, 2, 3, 4)), rng.dirichlet(np.ones(2), size=4)
    pibar = [rng.dirichlet(np.ones(n), size=4) for n in (2, 3, 4)]
    found = worth_by_human(expected, pibar, pi_r)
    for human, mine in enumerate("xyz"):
        others = [(p, letter) for p, letter in zip(pibar, "xyz", strict=True) if letter != mine]
        words = ",".join(f"b{letter}" for _, letter in others)
        wanted = np.einsum(f"brxyz,br,{words}->b{mine}", expected, pi_r, *(p for p, _ in others))
        np.testing.assert_allclose(found[human], wanted, rtol=1e-12)


def test_drawn_successors_are_one_step_later_and_successors_of_the_action():
    targets = EMPO("TablePolicy", gate_env(), use_model_based_targets=False).targets
    model, set_of_pairs = targets.model, targets.live
    n_robot, n_human = model.action_shape
    robots, humans = (np.random.default_rng(0).integers(n, size=(len(set_of_pairs), 3)) for n in (n_robot, n_human))
    u = np.random.default_rng(1).random(robots.shape)
    found = targets._drawn_ahead(set_of_pairs, np.stack([robots, humans], axis=2), u)
    t, s = np.divmod(set_of_pairs, model.n_states)
    assert (found // model.n_states == t[:, None] + 1).all()
    for i, j in np.ndindex(found.shape):
        row = s[i] * model.n_joint + robots[i, j] * n_human + humans[i, j]
        assert found[i, j] % model.n_states in model.indices[model.indptr[row] : model.indptr[row + 1]]


def test_drawn_targets_of_the_robot_discount_what_follows():
    targets = EMPO("TablePolicy", gate_env(theory={"gamma_r": 0.5}), use_model_based_targets=False).targets
    values = targets.initial_values()
    outlook = np.full_like(targets.outlook(values), -3.0)
    assert (targets.of_batch(targets.live, ("q_r",), values, outlook)["q_r"] == -1.5).all()


def test_a_wrong_value_of_a_successor_is_noticed(learner):
    values, targets = exact_values(learner), learner.targets
    first = targets.live[:1]
    later = targets.model.n_states + targets.model.indices[0]
    for q in ("v_h_e", "v_r"):
        values[q][later] *= 1.5
    answers = targets.of_batch(first, ("v_h_e", "q_r"), values, targets.outlook(values))
    assert np.abs(answers["v_h_e"] - values["v_h_e"][first]).max() > 1e-3
    assert np.abs(answers["q_r"] - values["q_r"][first]).max() > 1e-3


def test_missing_quantities_follow_from_the_others(learner):
    values, targets = exact_values(learner), learner.targets
    known = targets.initial_values()
    for q in ("v_h_e", "q_r"):
        known[q][targets.live] = values[q][targets.live]
    targets.complete(known, ("v_h_e", "q_r"), learner.theory.beta_r)
    for q in ("x_h", "u_r", "v_r", "pi_r"):
        np.testing.assert_allclose(known[q][targets.live], values[q][targets.live], rtol=1e-9, atol=1e-9, err_msg=q)


def test_a_target_does_not_depend_on_its_batch(learner):
    values, targets = exact_values(learner), learner.targets
    outlook = targets.outlook(values)
    set_random_seed(0)
    pairs = np.random.choice(targets.live, size=40)
    together = targets.of_batch(pairs, QUANTITIES, values, outlook)
    for i in (0, 7, 39):
        alone = targets.of_batch(pairs[i : i + 1], QUANTITIES, values, outlook)
        for q in QUANTITIES:
            np.testing.assert_allclose(together[q][i], alone[q][0], rtol=1e-12)


def test_attainment_on_the_last_step_counts():
    learner = EMPO("TablePolicy", gate_env())
    targets = learner.targets
    values = targets.initial_values()
    values["pi_r"][:] = 1.0 / targets.model.n_robot_joint
    last = targets.live[targets.last_step(targets.live)]
    answers = targets.of_batch(last, ("v_h_e",), values, targets.outlook(values))
    assert answers["v_h_e"].max() > 0.5, "a goal next door is entered on the last step"


def test_one_step_before_the_horizon_all_q_r_are_equal():
    learner = EMPO("TablePolicy", gate_env())
    targets = learner.targets
    values = targets.initial_values()
    last = targets.live[targets.last_step(targets.live)]
    q_r = targets.of_batch(last, ("q_r",), values, targets.outlook(values))["q_r"]
    np.testing.assert_allclose(q_r, learner.theory.gamma_r * learner.theory.terminal_v_r, rtol=1e-12)


def test_the_floor_of_x_h_holds_for_what_a_network_says():
    learner = EMPO("TablePolicy", gate_env(theory={"x_h_min": 0.2}))
    values = learner.targets.initial_values()
    values["x_h"][:] = 1e-9
    learner.targets.complete(values, ("v_h_e", "x_h", "q_r"), 0.0)
    assert values["x_h"].min() == 0.2
    assert np.isfinite(values["u_r"][learner.targets.live]).all()


def test_multiplicity_counts_how_often_a_pair_occurs():
    assert multiplicity(np.array([3, 7, 3, 3, 9])).tolist() == [3, 1, 3, 3, 1]


def test_targets_are_computed_once_between_two_refreshes(learner, monkeypatch):
    values, targets = exact_values(learner), learner.targets
    outlook, cache, asked = targets.outlook(values), TargetCache(targets), []
    of_batch = targets.of_batch
    monkeypatch.setattr(targets, "of_batch", lambda pairs, *rest: asked.append(pairs) or of_batch(pairs, *rest))
    for batch in (targets.live[[0, 3, 3, 1]], targets.live[[3, 1]], targets.live[[2, 0]]):
        answers, wanted = cache(batch, QUANTITIES, values, outlook), of_batch(batch, QUANTITIES, values, outlook)
        for q in QUANTITIES:
            np.testing.assert_allclose(answers[q], wanted[q], rtol=1e-12, err_msg=q)
    assert [len(pairs) for pairs in asked] == [3, 1]
    TargetCache(targets, n_draws=10**6)(targets.live[:2], QUANTITIES, values, outlook)
    assert sorted(np.concatenate(asked[2:])) == sorted(targets.live), "all at once"
    values["v_r"] -= 1.0
    outlook = targets.outlook(values)
    cache.forget()
    answers = cache(targets.live[:2], QUANTITIES, values, outlook)
    np.testing.assert_allclose(answers["q_r"], of_batch(targets.live[:2], ("q_r",), values, outlook)["q_r"], rtol=1e-12)


@pytest.mark.parametrize("policy", ["TablePolicy", "MlpPolicy"])
def test_the_cache_changes_nothing_that_is_learned(policy):
    pace = {"beta_r_rampup_steps": 30, "gamma_r_start": 0.5, "gamma_r_rampup_steps": 80} | {
        f"warmup_{q}_steps": 30 for q in QUANTITIES
    }
    pace |= {f"{q}_target_update_interval": 20 for q in QUANTITIES}
    with_it, without = (
        EMPO(policy, gate_env(), seed=0, use_target_cache=use, **pace).learn(200).solution() for use in (True, False)
    )
    assert all(gap["largest"] < 1e-4 for gap in with_it.compare(without).values())
