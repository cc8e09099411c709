"""Does every parameter of the training do what its name says, and nothing else?"""

import itertools

import numpy as np
import pytest
import torch as th
from sb3_worlds import SHARP, SHORT, crowd_env, errors, exact, gate_env
from stable_baselines3.common.callbacks import BaseCallback
from test_sb3_callbacks import run

from empo_gym.theory import Theory
from empo_sb3 import EMPO, TrainingConfig
from empo_sb3.callbacks import ExactGap
from empo_sb3.empo.buffers import PairReplayBuffer
from empo_sb3.empo.networks.policies import TablePolicy
from empo_sb3.empo.quantities import QUANTITIES


class Watch(BaseCallback):
    """Notes something at every step."""

    def __init__(self, what):
        super().__init__()
        self.what, self.seen = what, []

    def _on_step(self):
        self.seen.append(self.what(self))
        return True


def test_lookup_tables_may_be_asked_for_by_a_keyword():
    model = EMPO("MlpPolicy", gate_env(), use_lookup_tables=True)
    assert type(model.policy) is TablePolicy and model.config.use_lookup_tables
    assert EMPO("TablePolicy", gate_env()).config.use_lookup_tables
    assert not EMPO("MlpPolicy", gate_env()).config.use_lookup_tables


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_each_quantity_has_its_own_rate_and_interval(quantity):
    plain, other = TrainingConfig(), TrainingConfig(**{f"lr_{quantity}": 0.5, f"{quantity}_target_update_interval": 7})
    for q in QUANTITIES:
        own = q == quantity
        assert other.get_learning_rate(q, 0) == (0.5 if own else plain.get_learning_rate(q, 0))
        assert other.target_update_interval(q) == (7 if own else 100)


def test_rates_reach_the_networks_and_targets_see_them_at_their_intervals(monkeypatch):
    numbers = {q: 2 + i for i, q in enumerate(QUANTITIES)}
    keywords = {f"lr_{q}": 0.1 * n for q, n in numbers.items()} | {
        f"{q}_target_update_interval": n for q, n in numbers.items()
    }
    keywords |= {f"warmup_{q}_steps": 0 for q in QUANTITIES} | {f"{q}_use_network": True for q in ("x_h", "u_r", "v_r")}
    model = EMPO("TablePolicy", gate_env(), seed=0, **keywords)
    seen = {q: [] for q in QUANTITIES}
    refresh = model._refresh_targets
    monkeypatch.setattr(
        model, "_refresh_targets", lambda due: [seen[q].append(model._n_updates) for q in due] and refresh(due)
    )
    model.learn(61)
    assert seen == {q: list(range(0, 61, n)) for q, n in numbers.items()}
    rates = {group["name"]: group["lr"] for group in model.policy.optimizer.param_groups}
    assert rates == pytest.approx({q: 0.1 * n for q, n in numbers.items()})


def test_exploration_falls_in_a_straight_line():
    config = TrainingConfig(
        epsilon_r_start=0.8, epsilon_r_end=0.2, epsilon_r_decay_steps=60, epsilon_h_start=0.4, epsilon_h_decay_steps=10
    )
    assert [config.epsilon_r_schedule(step) for step in (0, 30, 60, 900)] == pytest.approx([0.8, 0.5, 0.2, 0.2])
    assert [config.epsilon_h_schedule(step) for step in (0, 5, 10, 900)] == pytest.approx([0.4, 0.2, 0.0, 0.0])


def test_update_frequencies_are_in_relation_to_the_highest():
    config = TrainingConfig(
        update_frequencies={"v_h_e": 5, "x_h": 5}, **{f"warmup_{q}_steps": 0 for q in ("v_h_e", "x_h", "q_r")}
    )
    due = [config.due_networks(step) for step in range(100)]
    assert all({"v_h_e", "x_h"} <= set(row) for row in due)
    assert [step for step, row in enumerate(due) if "q_r" in row] == list(range(4, 100, 5))
    assert TrainingConfig().due_networks(2500) == ("v_h_e", "x_h", "q_r")


def test_a_rarer_q_r_stands_still_between_its_updates():
    often = {f"{q}_target_update_interval": 25 for q in QUANTITIES}
    model = EMPO("TablePolicy", gate_env(), seed=0, update_frequencies={"v_h_e": 4, "x_h": 4}, **SHARP, **SHORT, **often)
    weight = model.policy.nets["q_r"].encoder.weight
    watch = Watch(lambda _: weight.detach().sum().item())
    model.learn(600, watch)
    later = watch.seen[320:]
    changes = [i for i, (a, b) in enumerate(itertools.pairwise(later)) if a != b]
    assert len(changes) > 20 and all((b - a) % 4 == 0 for a, b in itertools.pairwise(changes))


@pytest.mark.parametrize(
    ("pace", "n_envs", "expected"),
    [(None, 1, {}), (3, 1, (1, 3)), (0.25, 1, (4, 1)), (2, 8, (1, 16)), (0.5, 2, (2, 2))],
)
def test_training_steps_per_environment_step(pace, n_envs, expected):
    got = TrainingConfig(training_steps_per_env_step=pace).environment_pace(n_envs)
    assert tuple(got.values()) == tuple(expected)


def test_the_pace_sets_how_often_is_trained():
    assert EMPO("TablePolicy", gate_env(), training_steps_per_env_step=2).learn(50)._n_updates == 100
    assert EMPO("TablePolicy", gate_env(), training_steps_per_env_step=0.2).learn(50)._n_updates == 10
    with pytest.raises(ValueError, match=r"training_steps_per_env_step .* not 0\.3"):
        EMPO("TablePolicy", gate_env(), training_steps_per_env_step=0.3)


def test_goals_change_as_often_as_asked():
    changes = {}
    for probability in (0.0, 1.0):
        env = gate_env(goal_resample_prob=0.3)
        watch = Watch(lambda w: (w.locals["infos"][0]["goals"], w.locals["infos"][0]["attained"], w.locals["dones"][0]))
        EMPO("TablePolicy", env, seed=0, goal_resample_prob=probability).learn(200, watch)
        pairs = zip(watch.seen, watch.seen[1:], strict=False)
        changes[probability] = sum(a[0] != b[0] for a, b in pairs if not a[2] and not any(b[1]))
    assert changes[0.0] == 0 < 50 < changes[1.0]


@pytest.mark.parametrize("epsilon", [0.0, 0.6])
def test_humans_explore_with_probability_epsilon(epsilon):
    watch = Watch(lambda w: w.locals["infos"][0]["human_actions"][0])
    rates = {"epsilon_h_start": epsilon, "epsilon_h_end": epsilon}
    with pytest.warns(UserWarning, match="the policy custom"):
        model = EMPO("TablePolicy", gate_env(human_policy=lambda *_: 0), seed=0, **rates)
    model.learn(600, watch)
    counts = np.bincount(watch.seen, minlength=3) / 600
    assert abs(counts - [1 - 2 * epsilon / 3, epsilon / 3, epsilon / 3]).max() < 0.07


def test_sampled_targets_are_right_on_average():
    model = EMPO("TablePolicy", crowd_env(), use_model_based_targets=False)
    targets, values = model.targets, model.targets.initial_values()
    rng = np.random.default_rng(0)
    values["v_h_e"], values["v_r"] = rng.random(values["v_h_e"].shape), -1 - rng.random(values["v_r"].shape)
    values["pi_r"] = rng.dirichlet(np.ones(values["pi_r"].shape[1]), len(values["pi_r"]))
    outlook, networks = targets.outlook(values), ("v_h_e", "q_r")
    pair = targets.live[len(targets.live) // 2 : len(targets.live) // 2 + 1]
    n = 40_000
    np.random.seed(0)
    samples = targets.of_batch(np.repeat(pair, n), networks, values, outlook)
    for q, expected in targets.compared(pair, networks, values, outlook)[0].items():
        spread = samples[q].std(axis=0) / np.sqrt(n)
        assert (abs(samples[q].mean(axis=0) - expected[0]) < 5 * spread + 1e-12).all(), q
        assert samples[q].std(axis=0).max() > 0.05, "no noise, no samples"


@pytest.mark.slow
def test_learning_from_samples_comes_near_and_says_how_much_noise_it_saw():
    pace = {**SHORT, "use_model_based_targets": False, **{f"lr_{q}": 0.05 for q in ("v_h_e", "x_h", "q_r")}}
    model, rows = run(1800, **pace)
    near = errors(model.solution(), exact(model))
    assert near["v_h_e"] < 0.15 and near["v_r"] < 0.3
    noise = [row["train/v_h_e_irreducible_variance"] for row in rows if "train/v_h_e_irreducible_variance" in row]
    assert np.mean(noise) > 1e-3
    _, rows = run(400)
    assert {row.get("train/v_h_e_irreducible_variance", 0.0) for row in rows} == {0.0}


def test_predictions_targets_and_gradients_are_logged():
    _, rows = run(800)
    names = {name for row in rows for name in row}
    for q in ("v_h_e", "x_h", "q_r"):
        assert {f"train/{q}_prediction", f"train/{q}_target", f"train/{q}_grad_norm"} <= names
    assert "train/visited_states" in names


def test_discounts_rise_in_a_curriculum_and_the_answer_is_the_theory_s():
    theory = Theory(gamma_h=0.9, gamma_r=0.8)
    config = TrainingConfig(gamma_h_start=0.5, gamma_h_rampup_steps=100)
    assert config.get_effective_discounts(0, theory) == {"gamma_h": 0.5, "gamma_r": 0.8}
    assert config.get_effective_discounts(50, theory)["gamma_h"] == pytest.approx(0.7)
    assert config.get_effective_discounts(100, theory) == {"gamma_h": 0.9, "gamma_r": 0.8}
    curricula = {"gamma_h_start": 0.2, "gamma_r_start": 0.3, "gamma_h_rampup_steps": 400, "gamma_r_rampup_steps": 500}
    gap = ExactGap(every=300)
    model = EMPO("TablePolicy", gate_env(), seed=1, **curricula, **SHARP, **SHORT).learn(1600, gap)
    assert gap.history[1]["v_h_e_rmse"] > 0.05 and gap.history[-1]["v_h_e_rmse"] < 1e-6
    assert model.solution().theory == model.theory


@pytest.mark.parametrize("policy", ["TablePolicy", "MlpPolicy"])
def test_gradients_are_clipped(policy):
    model = EMPO(policy, gate_env(), seed=0, max_grad_norm=1e-4, **SHORT)
    model.learn(20)
    for group in model.policy.optimizer.param_groups:
        grads = [p.grad.coalesce().values() if p.grad.is_sparse else p.grad for p in group["params"] if p.grad is not None]
        if grads:
            assert 0.0 < th.stack([g.norm() for g in grads]).norm() <= 1.001e-4


def test_weights_decay_where_asked_and_never_in_tables():
    sizes = {}
    for decay in (0.0, 10.0):
        model = EMPO("MlpPolicy", gate_env(), seed=0, weight_decay=decay, **SHORT).learn(300)
        sizes[decay] = model.policy.nets["v_h_e"].head.weight.norm().item()
    assert sizes[10.0] < 0.7 * sizes[0.0]
    for keyword in ("weight_decay", "dropout"):
        with pytest.raises(ValueError, match="TablePolicy: dropout and weight_decay"):
            EMPO("TablePolicy", gate_env(), **{keyword: 0.1})


def test_dropout_is_at_work_in_training_only():
    model = EMPO("MlpPolicy", gate_env(), seed=0, dropout=0.5)
    policy, pairs = model.policy, model.targets.live[:5]
    policy.set_training_mode(True)
    noisy = [policy.net("v_h_e")(policy.inputs_of(pairs)) for _ in range(2)]
    assert not th.equal(*noisy)
    assert np.array_equal(policy.evaluate("v_h_e", pairs), policy.evaluate("v_h_e", pairs)) and policy.training


def test_replay_may_age_instead_of_being_cleared():
    kept = Watch(lambda w: w.model.replay_buffer.n_stored())
    EMPO("TablePolicy", gate_env(), seed=0, replay_at_ramp="age", **SHARP, **SHORT).learn(900, kept)
    assert kept.seen[440] == 440 and set(kept.seen[451:]) == {451}, "450 pairs and the present one"


def test_a_ring_draws_only_its_recent_rows():
    env = gate_env()
    ring = PairReplayBuffer(10, env.observation_space, env.action_space)
    for i in range(4):
        ring.add_pairs(np.array([i]))
    ring.shrink_to_present()
    for i in range(4, 17):
        ring.add_pairs(np.array([i]))
    assert set(ring.sample_pairs(500).tolist()) == {13, 14, 15, 16}
    ring.reset()
    ring.add_pairs(np.array([77]))
    assert set(ring.sample_pairs(9).tolist()) == {77}


def test_rates_fall_to_a_hundredth_in_a_cooldown():
    config = TrainingConfig(lr_q_r=1e-3, lr_cooldown_fraction=0.4, total_steps=20_000)
    assert config.get_learning_rate("q_r", 12_000) == 1e-3
    assert config.get_learning_rate("q_r", 16_000) == pytest.approx(0.505e-3)
    assert config.get_learning_rate("q_r", 20_000) == config.get_learning_rate("q_r", 30_000) == pytest.approx(1e-5)


@pytest.mark.parametrize(
    "keywords",
    [
        {"update_frequencies": {"q": 2}},
        {"update_frequencies": {"q_r": 0}},
        {"replay_at_ramp": "burn"},
        {"dropout": 1.0},
        {"max_grad_norm": 0.0},
        {"goal_resample_prob": 1.5},
        {"epsilon_h_end": -0.1},
        {"gamma_h_start": 2.0},
    ],
)
def test_a_value_outside_its_range_is_named(keywords):
    (name,) = keywords
    with pytest.raises(ValueError, match=name):
        TrainingConfig(**keywords)


QUICK = {"beta_r_rampup_steps": 30} | {f"warmup_{q}_steps": 40 for q in ("v_h_e", "x_h", "u_r", "q_r", "v_r")}
"""The ramp lies between the steps 100 and 200."""


@pytest.mark.parametrize(("policy", "world_model"), [("TablePolicy", "packed"), ("MlpPolicy", "growing")])
def test_visited_states_are_states_and_are_not_forgotten_at_the_ramp(policy, world_model):
    logged = Watch(lambda w: w.logger.name_to_value.get("train/visited_states", 0))
    model = EMPO(policy, gate_env(), seed=0, world_model=world_model, batch_size=8, **QUICK)
    model.learn(202, logged, log_interval=10**6)
    known = set(logged.seen) - {0}
    assert max(known) == len(set(model.visits.pairs % model.sizes.n_states)) < len(model.visits.pairs)
    assert model.visits.counts.sum() < 202 and logged.seen[-1] == max(known)


def test_replay_that_ages_keeps_the_visits_and_says_so(capsys):
    model = EMPO("TablePolicy", gate_env(), seed=0, replay_at_ramp="age", verbose=1, **QUICK).learn(202)
    assert model.visits.counts.sum() == 202
    printed = capsys.readouterr().out
    assert printed.count("Replay keeps its ") == 2 and "Cleared" not in printed
