"""Does a learner that knows only the states it met learn what one learns that knows them all?"""

import numpy as np
import pytest
import torch as th
from sb3_worlds import SHARP, SHORT, crowd_env, errors, exact, gate_env, uniform
from test_sb3_checkpoints import SaveAt

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.model.pair_index import CAPACITY
from empo_gym.planning.finite_horizon import solve_robot
from empo_gym.worlds.chain import ChainWorld
from empo_sb3 import EMPO, HumanDQN
from empo_sb3.callbacks import EmpoEvalCallback, ExactGap, WarmupMonitor
from empo_sb3.empo.targets.growing import GrowingTargets, VisitCounter
from empo_sb3.empo.targets.human import GrowingHumanTargets
from empo_sb3.wrappers.multi_view import MultiView

GROWING = {"world_model": "growing"}
ALL = ("v_h_e", "x_h", "u_r", "q_r", "v_r")


def both(env, **keywords):
    """The same untrained networks, packed and growing, as their targets see them; and the packed pairs."""
    models = []
    for kind in ("packed", "growing"):
        model = EMPO("MlpPolicy", env(), seed=2, world_model=kind, u_r_use_network=True, v_r_use_network=True, **keywords)
        model.policy.beta_r.fill_(7.0)
        model._refresh_targets(ALL)
        models.append(model)
    packed, growing = models
    for q in ALL:
        growing.policy.net(q).load_state_dict(packed.policy.net(q).state_dict())
    growing._refresh_targets(ALL)
    pairs = packed.live
    return packed, growing, pairs, growing.targets.pairs_of(packed.targets.model, pairs)


def three_env(**keywords):
    """Three humans who differ in what they can reach."""
    world = ChainWorld(length=4, horizon=3, starts=(0, 1, 3), gates=(2,), gates_open=False, slip=0.3)
    return RobotEnv(world, **keywords)


@pytest.mark.parametrize("env", [gate_env, crowd_env, three_env])
def test_targets_are_those_of_the_packed_world(env):
    packed, growing, pairs, same = both(env)
    wanted = packed.targets.of_batch(pairs, ALL, packed.values, packed.outlook)
    found = growing.targets.of_batch(same, ALL)
    for q in ALL:
        np.testing.assert_allclose(found[q], wanted[q], rtol=2e-5, err_msg=q)
    assert np.array_equal(growing.targets.last_step(same), packed.targets.last_step(pairs))


def test_targets_are_kept_until_the_next_refresh():
    _, growing, _, pairs = both(gate_env)
    first = growing.targets.of_batch(pairs[:3], ("q_r",))["q_r"]
    growing.targets.model = None  # nobody may be asked again
    assert np.array_equal(growing.targets.of_batch(pairs[[2, 0, 2]], ("q_r",))["q_r"], first[[2, 0, 2]])
    growing._refresh_targets(["q_r"])
    assert not len(growing.targets.kept.pairs)


@pytest.mark.parametrize("networks", [("v_h_e",), ("v_h_e", "x_h"), ("q_r",)])
def test_targets_of_some_quantities_are_those_of_all(networks):
    _, growing, _, pairs = both(gate_env)
    wanted, found = growing.targets.of_batch(pairs, ALL), growing.targets.of_batch(pairs, networks)
    assert found.keys() == set(networks)
    assert all(np.array_equal(found[q], wanted[q]) for q in networks)


def test_targets_of_phase_1_are_those_of_the_packed_world():
    packed, growing = (HumanDQN("MlpPolicy", crowd_env(), seed=3, world_model=kind) for kind in ("packed", "growing"))
    pairs = packed.live
    same = growing.targets.pairs_of(packed.targets.model, pairs)
    wanted = packed.targets.of_batch(pairs, packed.outlook)
    np.testing.assert_allclose(growing.targets.of_batch(same, growing.outlook), wanted, rtol=2e-5)


def test_a_world_that_is_packed_is_learned_packed_and_a_large_one_as_it_is_met():
    assert EMPO("MlpPolicy", gate_env()).on_demand_model is None
    large = EMPO("MlpPolicy", RobotEnv("labyrinth"), seed=0, **SHORT)
    assert isinstance(large.targets, GrowingTargets)
    large.learn(30)
    assert 30 < large.on_demand_model.n_states < 100_000
    assert 20 < len(large.visits.pairs) <= 31 and np.count_nonzero(large.visits.counts) == len(large.visits.pairs)
    assert large.predict(large.env.reset())[0].shape == (1,)
    with pytest.raises(ValueError, match="too many states for a solution"):
        large.solution()


@pytest.mark.slow
def test_a_growing_learner_learns_the_exact_solution():
    model = EMPO("MlpPolicy", gate_env(), seed=0, policy_kwargs={"net_arch": (64, 64)}, **GROWING, **SHARP, **SHORT).learn(
        2500
    )
    right, careless = exact(EMPO("TablePolicy", gate_env(), **SHARP)), uniform(EMPO("TablePolicy", gate_env(), **SHARP))
    found, bad = errors(model.solution(), right), errors(careless, right)
    assert all(found[name] < 0.5 * bad[name] for name in bad), (found, bad)


def test_humans_learned_without_packing_act_in_environments_and_teach_empo():
    learner = HumanDQN("MlpPolicy", gate_env(human_policy="uniform"), seed=0, **GROWING).learn(600)
    assert isinstance(learner.targets, GrowingHumanTargets)
    humans = learner.prior()
    env = gate_env(human_policy=humans)
    assert env.human_policy_name == "custom"
    states, t = [learner.on_demand_model.state(k) for k in (0, 3)], np.array([0, 1])
    asked = env.humans.policies(states, t, 0)
    np.testing.assert_allclose(asked.sum(axis=2), 1.0)
    np.testing.assert_allclose(humans(states[1], 1, 0, 4, None), asked[1, 4], rtol=1e-5)
    assert np.ptp(asked[0, 4]) > 0.01
    assert EMPO("MlpPolicy", env, seed=0, **GROWING, **SHORT).learn(60)._n_updates == 60


@pytest.mark.parametrize(
    "human_policy",
    ["heuristic", "uniform", lambda s, t, h, g, rng: np.full(5, 0.2)],
    ids=["heuristic", "uniform", "callable"],
)
def test_every_kind_of_humans_can_be_learned_beside(human_policy):
    env = RobotEnv("rock_corridor", human_policy=human_policy)
    model = EMPO("MlpPolicy", env, seed=0, **GROWING, **SHORT).learn(40)
    assert np.isfinite(model.policy.evaluate("q_r", model.visits.pairs)).all()


def test_planes_and_several_views_grow_too():
    for policy, env in (
        ("CnnPolicy", RobotEnv("rock_corridor", observation="planes")),
        ("MultiInputPolicy", MultiView(RobotEnv("rock_corridor"))),
    ):
        assert EMPO(policy, env, seed=0, **GROWING, **SHORT).learn(12)._n_updates == 12


@pytest.mark.parametrize("humans", ["boltzmann", "uniform"])
def test_episodes_begin_earlier_than_anybody_came_there_as_far_as_humans_know_how_to_act(humans):
    np.random.seed(0)
    packed = EMPO("MlpPolicy", gate_env()).targets
    growing = EMPO("MlpPolicy", gate_env(human_policy=humans), **GROWING).targets
    t, s = np.divmod(packed.live, packed.model.n_states)
    before, same = np.divmod(growing.resample_times(growing.pairs_of(packed.model, packed.live)), CAPACITY)
    assert np.array_equal(same, growing.pairs_of(packed.model, s))
    assert (before <= t).all() and (before < t).any()
    too_early = before < packed.model.depth[s]
    assert too_early.any() == (humans == "uniform")


@pytest.mark.parametrize(
    "keywords",
    [{"exploration_bonus": 2.0}, *(pytest.param(k, marks=pytest.mark.slow) for k in ({}, {"use_rnd": True}))],
    ids=str,
)
def test_a_resumed_run_is_bit_equal(keywords, tmp_path):
    def make():
        return EMPO("MlpPolicy", gate_env(), seed=1, policy_kwargs={"net_arch": (16,)}, **GROWING, **SHORT, **keywords)

    straight = make().learn(540, SaveAt(tmp_path, 523))  # while beta_r rises
    assert (straight.curiosity is not None) == bool(keywords)
    resumed = EMPO.resume(tmp_path, gate_env()).learn(540)
    for a, b in zip(straight.policy.state_dict().values(), resumed.policy.state_dict().values(), strict=True):
        assert th.equal(a, b)
    assert straight.on_demand_model.states == resumed.on_demand_model.states
    assert np.array_equal(straight.visits.counts, resumed.visits.counts)


def test_phase_1_resumes_bit_by_bit(tmp_path):
    straight = HumanDQN("MlpPolicy", gate_env(human_policy="uniform"), seed=1, **GROWING).learn(200, SaveAt(tmp_path, 90))
    resumed = HumanDQN.resume(tmp_path, gate_env(human_policy="uniform")).learn(200)
    for a, b in zip(straight.policy.state_dict().values(), resumed.policy.state_dict().values(), strict=True):
        assert th.equal(a, b)


def test_callbacks_know_worlds_that_are_not_packed():
    model = EMPO("MlpPolicy", RobotEnv("labyrinth"), seed=0, **SHORT)
    watch = EmpoEvalCallback(RobotEnv("labyrinth"), every=10, n_episodes=1)
    model.learn(12, [watch, WarmupMonitor()])
    assert len(watch.history) == 2 and np.isnan(watch.history[0]["power"])
    with pytest.raises(ValueError, match="give it the solution"):
        model.learn(2, ExactGap())


def test_what_cannot_be_is_one_sentence():
    with pytest.raises(ValueError, match="TablePolicy needs all states"):
        EMPO("TablePolicy", gate_env(), **GROWING)
    with pytest.raises(ValueError, match="world_model must be one of auto, packed, growing, not 'big'"):
        EMPO("MlpPolicy", gate_env(), world_model="big")
    with pytest.raises(ValueError, match="give beta_h to the environment"):
        EMPO("MlpPolicy", gate_env(), beta_h=3.0, **GROWING)


def test_visits_are_counted_as_they_happen():
    visits = VisitCounter()
    visits.update(np.array([7, CAPACITY, 7]))
    assert visits.pairs.tolist() == [7, CAPACITY] and visits.counts.tolist() == [2, 1]
    assert visits(np.array([CAPACITY, 5, 7])).tolist() == [0.5, 1.0, 1 / 3]
    visits.reset()
    assert visits.pairs.tolist() == [7, CAPACITY] and visits(np.array([7])).tolist() == [1.0]


def test_the_humans_of_a_learned_prior_are_planned_for():
    """A packed prior that was learned, and the robots' exact answer to it."""
    learner = HumanDQN("MlpPolicy", gate_env(human_policy="uniform"), seed=0).learn(50)
    prior = learner.prior()
    assert solve_robot(prior.model, prior, prior.theory).v_r[0, 0] < 0


def test_exploring_starts_begin_at_any_time_up_to_that_of_the_visit():
    _, growing, _, pairs = both(gate_env)
    late = pairs[pairs // CAPACITY == 2][:1]
    np.random.seed(0)
    times = growing.targets.resample_times(np.repeat(late, 200)) // CAPACITY
    assert times.max() == 2, "the time of the visit itself is among them"


def test_successors_that_are_all_equally_novel_make_every_action_worth_just_that():
    _, growing, _, pairs = both(crowd_env)
    outlook = growing.targets.robot_outlook(pairs[:5], lambda numbers: np.full(len(numbers), 3.0))
    np.testing.assert_allclose(outlook, 3.0)
