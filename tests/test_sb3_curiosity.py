"""Do curious robots see more, and learn the same?"""

import numpy as np
import pytest
from sb3_worlds import SHARP, SHORT, crowd_env, errors, exact, gate_env
from test_sb3_checkpoints import SaveAt, assert_same

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.model.pair_index import CAPACITY
from empo_gym.worlds.chain import ChainWorld
from empo_sb3 import EMPO, TrainingConfig

OWN_STEPS = {"exploring_starts": 0.0, "epsilon_r_start": 0.0, "epsilon_r_end": 0.0}


def long_env():
    """Five gates, of which a uniform robot seldom has all open."""
    return RobotEnv(ChainWorld(length=7, horizon=7, starts=(3,), gates=(0, 1, 2, 4, 5, 6), gates_open=False))


def n_visited(seed=0, **keywords):
    model = EMPO("TablePolicy", long_env(), seed=seed, warmup_v_h_e_steps=10_000, **OWN_STEPS, **keywords).learn(1200)
    return np.count_nonzero(model.visits.counts)


def test_a_bonus_on_rare_successors_widens_what_is_seen():
    plain, curious = n_visited(), n_visited(exploration_bonus=5.0)
    assert curious > 1.05 * plain, (plain, curious)


def test_random_network_distillation_is_a_source_of_novelty():
    model = EMPO("TablePolicy", long_env(), seed=0, use_rnd=True, **OWN_STEPS)
    first = model.curiosity.novelty[model.live]
    assert (first > 0).all() and model.config.curiosity_bonus == 3.0
    model.learn(800)
    known, unknown = model.visits.counts[model.live] > 20, model.visits.counts[model.live] == 0
    last = model.curiosity.novelty[model.live]
    assert last[known].mean() < 0.8 * last[unknown].mean()


def test_the_tilt_prefers_actions_that_lead_to_the_unknown():
    model = EMPO("TablePolicy", gate_env(), seed=0, exploration_bonus=2.0)
    targets, curiosity, pair = model.targets, model.curiosity, model.live[:1]
    packed = targets.model
    curiosity.novelty[:] = 0.0
    successors = [{s for row in packed.successors(0)[a * 3 : a * 3 + 3] for _, s in row} for a in range(2)]
    curiosity.novelty[packed.n_states + np.array(sorted(successors[1] - successors[0]))] = 1.0
    tilted = curiosity.reweight(np.array([[0.5, 0.5]]), targets, pair)
    assert tilted[0, 1] == pytest.approx(1 / (1 + np.exp(-2.0)))
    np.testing.assert_allclose(curiosity.reweight(np.array([[1.0, 0.0]]), targets, pair), [[1.0, 0.0]])


@pytest.mark.parametrize(
    "keywords", [{"use_rnd": True}, pytest.param({"exploration_bonus": 4.0}, marks=pytest.mark.slow)], ids=str
)
def test_curious_learners_learn_the_same_and_resume_bit_by_bit(keywords, tmp_path):
    model = EMPO("TablePolicy", gate_env(), seed=1, **keywords, **SHARP, **SHORT).learn(1000, SaveAt(tmp_path, 720))
    assert errors(model.solution(), exact(model))["v_h_e"] < 1e-5
    assert_same(model, EMPO.resume(tmp_path, gate_env()).learn(1000))


@pytest.mark.parametrize("kind", ["packed", "growing"])
def test_what_a_human_sees_ahead_is_the_sum_over_what_everybody_else_does(kind):
    policy = "TablePolicy" if kind == "packed" else "MlpPolicy"
    model = EMPO(policy, crowd_env(), seed=0, world_model=kind, exploration_bonus=2.0)
    packed, prior = model.env.get_attr("model")[0], model.env.get_attr("prior")[0]
    rng = np.random.default_rng(0)
    worth, s = rng.random(packed.n_states), 0
    pi_r = rng.dirichlet(np.ones(packed.n_robot_joint))
    if kind == "packed":
        pair, novelty = np.array([s]), np.tile(worth, packed.horizon + 1).__getitem__
    else:
        pair = model.targets.pairs_of(packed, np.array([s]))
        ours = model.targets.pairs_of(packed, np.arange(packed.n_states)) % CAPACITY

        def novelty(pairs):
            return np.array([worth[np.flatnonzero(ours == number)[0]] for number in pairs % CAPACITY])

    found = model.targets.human_outlook(pair, novelty, pi_r[None])
    shape, rows = packed.action_shape[packed.n_robots :], packed.successors(s)
    for h, n_actions in enumerate(shape):
        sums = np.zeros(n_actions)
        for joint, row in enumerate(rows):
            robots, *humans = np.unravel_index(joint, (packed.n_robot_joint, *shape))
            chance = pi_r[robots] * np.prod([prior.pibar[k][0, s, a] for k, a in enumerate(humans) if k != h])
            sums[humans[h]] += chance * sum(p * worth[after] for p, after in row)
        np.testing.assert_allclose(found[h][0], sums)


@pytest.mark.parametrize("source", [{"exploration_bonus": 4.0}, {"use_rnd": True, "exploration_bonus": 4.0}], ids=str)
@pytest.mark.parametrize("kind", ["packed", "growing"])
def test_humans_who_explore_prefer_what_is_little_known_and_are_told_so(kind, source, monkeypatch):
    policy = "TablePolicy" if kind == "packed" else "MlpPolicy"
    always = {"epsilon_h_start": 1.0, "epsilon_h_end": 1.0}
    model = EMPO(policy, gate_env(), seed=0, world_model=kind, **source, **always, **OWN_STEPS).learn(60)
    told = []
    monkeypatch.setattr(model.env.envs[0].unwrapped, "tell_humans", told.append)
    pi_r = model._pi_r_of(model._pairs)
    (policy_h,) = model._human_exploration(pi_r)
    assert policy_h.sum() == pytest.approx(1.0) and policy_h.max() > 1.02 * policy_h.min()
    ahead = model.targets.human_outlook(model._pairs, model.curiosity._novel, pi_r)[0]
    assert np.all(np.diff(policy_h[0, np.argsort(ahead[0])]) >= 0), "the more novel, the more probable"
    for _ in range(300):
        model._sample_action(0, n_envs=1)
    shares = np.bincount([t[0] for t in told], minlength=policy_h.shape[1]) / 300
    np.testing.assert_allclose(shares, policy_h[0], atol=0.1)


def test_without_a_bonus_nobody_is_curious():
    assert TrainingConfig().curiosity_bonus == 0.0 and EMPO("TablePolicy", gate_env()).curiosity is None
    with pytest.raises(ValueError, match="exploration_bonus"):
        TrainingConfig(exploration_bonus=-1.0)
