"""Are targets that are drawn right on average, and can a learner do without listing all joint actions?"""

import numpy as np
import pytest
import torch as th
from sb3_worlds import SHORT, crowd_env, errors, exact, gate_env, uniform
from test_sb3_checkpoints import SaveAt

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.model.growing import PASSING, GrowingModel
from empo_gym.model.pair_index import CAPACITY
from empo_gym.worlds.chain import ChainWorld
from empo_sb3 import EMPO, HumanDQN
from empo_sb3.callbacks import ExactGap
from empo_sb3.empo.targets.human import LearnedHumans
from empo_sb3.empo.targets.sampled import draw_balanced
from empo_sb3.empo.targets.sampled_growing import MAX_LISTED, SampledGrowingTargets, SampledHumanTargets

GROWING = {"world_model": "growing"}
ALL = ("v_h_e", "x_h", "u_r", "q_r", "v_r")
N_DRAWS = 400


def three_env(**keywords):
    """Three humans and a robot, who slip and meet."""
    world = ChainWorld(length=4, horizon=4, starts=(0, 1, 3), gates=(2,), gates_open=False, slip=0.3)
    return RobotEnv(world, **keywords)


def listed_and_drawn(env, n_samples=2):
    """Two untrained learners with the same networks: one lists all joint actions, the other draws some."""
    models = []
    for keywords in ({}, {"target_samples": n_samples}):
        model = EMPO("MlpPolicy", env(), seed=2, u_r_use_network=True, v_r_use_network=True, **GROWING, **keywords)
        model.policy.beta_r.fill_(7.0)
        models.append(model)
    listed, drawn = models
    drawn.policy.load_state_dict(listed.policy.state_dict())
    for model in models:
        model._refresh_targets(ALL)
    return listed, drawn


def some_pairs(model, n=3):
    """Numbers of pairs met on a random walk; the last one is one step before the horizon."""
    pairs = [0]
    for _ in range(model.sizes.horizon - 1):
        pairs.append(int(model.targets.sample_successors(np.array(pairs[-1:]))[0]))
    return np.array(pairs)[-n:]


def as_known_to(other, model, pairs):
    t, s = np.divmod(pairs, CAPACITY)
    return t * CAPACITY + other.on_demand_model.add(model.on_demand_model.states_of(s))


def assert_right_on_average(draws, wanted, name):
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - wanted) <= 4 * error + 1e-6).all(), name


@pytest.mark.parametrize("env", [crowd_env, three_env])
def test_drawn_targets_are_right_on_average_and_their_variance_is_the_one_that_is_logged(env):
    np.random.seed(0)
    listed, drawn = listed_and_drawn(env)
    pairs = some_pairs(listed)
    same = as_known_to(drawn, listed, pairs)
    wanted = listed.targets.of_batch(pairs, ALL)
    many = drawn.targets._compute(np.repeat(same, N_DRAWS), ALL)
    others, share = drawn.targets.compared(np.repeat(same, N_DRAWS), ALL)
    noisy = set()
    for q in ALL:
        draws = many[q].reshape(len(pairs), N_DRAWS, -1)
        logged = share * ((many[q] - others[q]) ** 2).reshape(draws.shape).mean(axis=1)
        for of_pair, mean, told in zip(draws, wanted[q], logged, strict=True):
            assert_right_on_average(of_pair, mean, q)
            np.testing.assert_allclose(told.mean(), of_pair.var(axis=0, ddof=1).mean(), rtol=0.2, atol=1e-8, err_msg=q)
        noisy |= {q} if logged.max() > 1e-6 else set()
    assert noisy == {"v_h_e", "q_r"}


@pytest.mark.parametrize("env", [crowd_env, three_env])
@pytest.mark.parametrize("belief", ["worst_case", "uniform"])
def test_drawn_targets_of_phase_1_are_right_on_average(env, belief):
    np.random.seed(1)
    listed = HumanDQN("MlpPolicy", env(), belief=belief, seed=3, **GROWING)
    drawn = HumanDQN("MlpPolicy", env(), belief=belief, seed=3, target_samples=1, **GROWING)
    assert isinstance(drawn.targets, SampledHumanTargets)
    pairs = some_pairs(listed)
    many = drawn.targets._compute(np.repeat(as_known_to(drawn, listed, pairs), N_DRAWS))
    for draws, wanted in zip(
        many.reshape(len(pairs), N_DRAWS, -1), listed.targets.of_batch(pairs, listed.outlook), strict=True
    ):
        assert_right_on_average(draws, wanted, belief)
    assert many.reshape(len(pairs), N_DRAWS, -1).std(axis=1).max() > 1e-3


@pytest.mark.parametrize("shape", [(5, 5), (2, 3, 4)])
def test_balanced_draws_take_every_action_of_every_human_equally_often_and_are_uniform(shape):
    np.random.seed(0)
    drawn = draw_balanced(shape, 4000, 2)
    for h, n in enumerate(shape):
        counts = np.stack([(drawn[..., h] == a).sum(axis=1) for a in range(n)])
        assert (counts == drawn.shape[1] // n).all()
    joint = np.ravel_multi_index(tuple(drawn[:, 0].T), shape)
    shares = np.bincount(joint, minlength=np.prod(shape)) / len(joint)
    assert np.abs(shares * np.prod(shape) - 1.0).max() < 0.4


COMPASS = {"actions": "compass"}


def rooms(n_humans):
    """Humans in rooms of two cells, and a robot in one of its own."""
    row = " ".join(["We Ay .."] * n_humans)
    wall = " ".join(["We"] * (3 * n_humans + 1))
    robot = " ".join(["We", "Ae", *[".."] * (3 * n_humans - 2), "We"])
    goals = {h: [f"{3 * h + 1},1", f"{3 * h + 2},1"] for h in range(n_humans)}
    return {"map": "\n".join([wall, f"{row} We", wall, robot, wall]), "max_steps": 6, "possible_goals": goals, **COMPASS}


def rows_asked(learner):
    """How many (state, joint action) rows the targets of a batch of unknown pairs ask for, by pair."""
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        for verb in ("draw_successors", "successors_of"):
            original = getattr(GrowingModel, verb)

            def counted(model, numbers, *given, original=original):
                asked.append(len(numbers))
                return original(model, numbers, *given)

            patch.setattr(GrowingModel, verb, counted)
        patch.setattr(GrowingModel, "rows", lambda *_: pytest.fail("all joint actions were listed"))
        pairs = np.array([0, CAPACITY])
        learner.targets._compute(pairs, *([("v_h_e", "q_r")] if isinstance(learner, EMPO) else []))
    return sum(asked) / len(pairs)


def test_the_rows_that_targets_ask_for_grow_linearly_with_the_humans(monkeypatch):
    monkeypatch.setattr("empo_gym.envs.robot_env.MAX_STATES", 10)  # no world of these is packed
    counts = {EMPO: [], HumanDQN: []}
    n_humans = [1, 3, 5, 15]
    for kind, of_kind in counts.items():
        for n in n_humans:
            env = RobotEnv(rooms(n), human_policy="uniform")
            of_kind.append(rows_asked(kind("MlpPolicy", env, seed=0, target_samples=2, **GROWING)))
    assert counts[EMPO] == [2 * (5 + 5 * n) for n in n_humans]
    assert counts[HumanDQN] == [2 * 5 * 5] * len(n_humans)


def test_draws_are_looked_at_in_passing():
    model = EMPO("MlpPolicy", RobotEnv("warren", human_policy="uniform"), seed=0)
    before = model.on_demand_model.n_states
    model.targets.of_batch(np.array([0]), ("v_h_e", "q_r"))
    assert model.on_demand_model.n_states == before
    after = model.on_demand_model.draw_successors(np.array([0]), np.ones((1, 17), dtype=np.int64), np.zeros(1))
    numbers = model.on_demand_model.look_up(np.array([model.on_demand_model.state(0), *after]))
    assert numbers[0] == 0 and numbers[1] >= PASSING
    assert model.on_demand_model.states_of(numbers)[0].tolist() == list(model.on_demand_model.state(0))
    np.testing.assert_array_equal(model.on_demand_model.achieved(numbers)[0], model.on_demand_model.achieved(numbers[:1])[0])


def test_joint_actions_are_drawn_where_they_are_too_many_or_on_request():
    assert isinstance(EMPO("MlpPolicy", RobotEnv("warren", human_policy="uniform")).targets, SampledGrowingTargets)
    assert isinstance(EMPO("MlpPolicy", gate_env(), use_model_based_targets=False, **GROWING).targets, SampledGrowingTargets)
    assert EMPO("TablePolicy", gate_env(), target_samples=3).targets.n_samples == 3
    assert type(EMPO("MlpPolicy", gate_env(), **GROWING).targets) is not SampledGrowingTargets
    assert RobotEnv("warehouse").world.n_joint < MAX_LISTED
    with pytest.raises(ValueError, match="target_samples is for worlds that are not packed"):
        HumanDQN("MlpPolicy", gate_env(), target_samples=2)
    with pytest.raises(ValueError, match="target_samples must be"):
        HumanDQN("MlpPolicy", gate_env(), target_samples=0, **GROWING)
    with pytest.raises(ValueError, match="target_samples must be"):
        EMPO("MlpPolicy", gate_env(), target_samples=0)


@pytest.mark.parametrize("keywords", [{}, {"exploration_bonus": 2.0, "epsilon_h_start": 0.5}], ids=str)
def test_a_run_from_draws_is_resumed_bit_by_bit(keywords, tmp_path):
    def make():
        small = {"policy_kwargs": {"net_arch": (16,)}, "target_samples": 1}
        return EMPO("MlpPolicy", crowd_env(), seed=1, **small, **GROWING, **SHORT, **keywords)

    straight = make().learn(160, SaveAt(tmp_path, 143))
    resumed = EMPO.resume(tmp_path, crowd_env()).learn(160)
    for a, b in zip(straight.policy.state_dict().values(), resumed.policy.state_dict().values(), strict=True):
        assert th.equal(a, b)


def test_seventeen_agents_are_learned_and_say_how_noisy_their_targets_are():
    short = {f"warmup_{q}_steps": 2 for q in ("v_h_e", "x_h", "q_r")}
    small = {"policy_kwargs": {"net_arch": (16,)}, "batch_size": 8, "target_samples": 1}
    model = EMPO("MlpPolicy", RobotEnv("warren"), seed=0, beta_r_rampup_steps=2, **short, **small)
    logged = model.learn(100).logger.name_to_value
    assert logged["train/q_r_irreducible_variance"] > 0.0 and logged["train/v_h_e_irreducible_variance"] > 0.0
    assert model.predict(model.env.reset())[0].shape == (1,)
    with pytest.raises(ValueError, match="give it the solution"):
        model.learn(2, ExactGap())


def test_phase_1_of_seventeen_agents_is_learned_and_acted_upon():
    small = {"policy_kwargs": {"net_arch": (16,)}, "batch_size": 4, "target_samples": 1}
    learner = HumanDQN("MlpPolicy", RobotEnv("warren"), seed=0, **small).learn(100)
    assert learner.logger.name_to_value["train/q_h_m_irreducible_variance"] > 0.0
    humans = learner.prior()
    assert isinstance(humans, LearnedHumans)
    env = RobotEnv("warren", human_policy=humans)
    env.reset(seed=0)
    assert np.isfinite(env.step(3)[0]).all()


@pytest.mark.slow
def test_values_are_learned_from_draws():
    sharp = {"beta_r": 20.0}
    small = {"policy_kwargs": {"net_arch": (64, 64)}, "target_samples": 1}
    found = EMPO("MlpPolicy", gate_env(), seed=0, **small, **GROWING, **sharp, **SHORT).learn(2500).solution()
    right = exact(EMPO("TablePolicy", gate_env(), **sharp))
    near, bad = errors(found, right), errors(uniform(EMPO("TablePolicy", gate_env(), **sharp)), right)
    assert near["v_r"] < 0.3 * bad["v_r"] and near["v_h_e"] < bad["v_h_e"], (near, bad)


def test_the_variance_of_a_draw_is_half_the_squared_distance_of_two():
    _, drawn = listed_and_drawn(three_env)
    assert drawn.targets.compared(some_pairs(drawn), ("q_r",))[1] == 0.5
