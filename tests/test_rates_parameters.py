"""Do the learning rates of EMPO's own parameters do what their names say?"""

import numpy as np
import pytest
import torch as th
from sb3_worlds import SHORT, errors, exact, gate_env

from empo_sb3 import EMPO
from empo_sb3.empo.config import TrainingConfig
from empo_sb3.uncertainty import CountedTable

SMALL = {"policy_kwargs": {"net_arch": [8]}, "batch_size": 16, "device": "cpu", **SHORT}


def means_of(**keywords):
    """A learner whose tables take means, with four training steps for one in the environment."""
    return EMPO("TablePolicy", gate_env(), seed=0, gradient_steps=4, lookup_use_adaptive_lr=True, **keywords, **SHORT)


class Means:
    """The mean of the targets that each entry of each table got since the last restart, kept beside the tables."""

    def __init__(self, model):
        self.policy, self.update, self.restart = model.policy, model.policy.update, model.policy.restart_means
        self.apart, self.n_updates, self.restarts = 0.0, 0, 0
        self.begin()
        model.policy.update, model.policy.restart_means = self.watch, self.begin_again

    def begin(self):
        self.sums = {q: np.zeros(self.policy.net(q).encoder.weight.shape) for q in self.policy.networks}
        self.counts = {q: np.zeros(len(s), dtype=np.int64) for q, s in self.sums.items()}

    def begin_again(self):
        self.restarts += 1
        self.restart()
        self.begin()

    def watch(self, pairs, targets, masks, rates, *rest):
        before = {q: self.policy.evaluate(q, pairs) for q in targets}
        losses = self.update(pairs, targets, masks, rates, *rest)
        for q, wanted in targets.items():
            mask = masks.get(q, np.zeros(len(pairs), dtype=bool))[:, None]
            wanted = np.where(mask, before[q].mean(axis=1, keepdims=True), wanted)
            np.add.at(self.sums[q], pairs, wanted)
            np.add.at(self.counts[q], pairs, 1)
            seen = np.unique(pairs)
            gaps = self.policy.evaluate(q, seen) - self.sums[q][seen] / self.counts[q][seen, None]
            self.apart = max(self.apart, float(np.abs(gaps).max()))
            counted = self.policy.table(q).update_counts[seen].numpy()
            assert (counted == self.counts[q][seen, None]).all()
        self.n_updates += 1
        return losses


@pytest.mark.parametrize("model_based", [True, False], ids=["expectations", "samples"])
def test_every_entry_is_the_mean_of_its_targets_since_its_stage_began(model_based):
    model = means_of(use_model_based_targets=model_based)
    means = Means(model)
    model.learn(175)
    assert means.n_updates == 700 and means.restarts >= 4 and means.apart <= 1e-12


def test_the_means_go_on_through_save_and_load(tmp_path):
    model = means_of().learn(175)
    model.save(tmp_path / "model")
    loaded = EMPO.load(tmp_path / "model", env=gate_env())
    table = loaded.policy.table("q_r")
    assert isinstance(table, CountedTable) and th.equal(table.update_counts, model.policy.table("q_r").update_counts)
    assert table.get_update_count(int(loaded.live[0])) > 0
    means = Means(loaded)
    for q, sums in means.sums.items():
        counted = loaded.policy.table(q).update_counts.numpy()
        means.counts[q], sums[:] = counted[:, 0].copy(), loaded.policy.net(q).encoder.weight.detach().numpy() * counted
    loaded.learn(25, reset_num_timesteps=False)
    assert means.n_updates == 100 and means.apart <= 1e-12


def test_means_of_noisy_targets_come_nearer_than_the_latest_of_them():
    def gap(**keywords):
        noisy = {"use_model_based_targets": False, "gradient_steps": 4}
        model = EMPO("TablePolicy", gate_env(), seed=0, **noisy, **keywords, **SHORT).learn(400)
        return errors(model.solution(), exact(model))

    latest, mean = gap(), gap(lookup_use_adaptive_lr=True)
    assert mean["v_h_e"] < 0.5 * latest["v_h_e"], (mean, latest)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"policy_kwargs": {"optimizer_class": th.optim.Adam}}, "needs plain SGD with rate 1, not Adam: only then"),
        ({"policy_kwargs": {"optimizer_kwargs": {"momentum": 0.9}}}, "needs plain SGD with momentum=0.0"),
        ({"max_grad_norm": 1.0}, "needs max_grad_norm=None: only then"),
    ],
)
def test_with_another_optimizer_it_refuses_and_says_why(keywords, sentence):
    with pytest.raises(ValueError, match=sentence):
        EMPO("TablePolicy", gate_env(), lookup_use_adaptive_lr=True, **keywords)


def test_with_another_rate_it_refuses_and_says_which():
    with pytest.raises(ValueError, match=r"needs lr_v_h_e and all factors on it to be 1, not 0.5: only then"):
        EMPO("TablePolicy", gate_env(), lookup_use_adaptive_lr=True, lr_v_h_e=0.5).learn(5)


def test_the_configuration_knows_the_rate_of_the_nth_update():
    config = TrainingConfig(lookup_use_adaptive_lr=True, lookup_adaptive_lr_min=0.01)
    assert [config.get_learning_rate("q_r", 5000, n) for n in (1, 4, 1000)] == [1.0, 0.25, 0.01]


def test_networks_refuse_the_rule_of_tables_and_tables_that_of_networks():
    with pytest.raises(ValueError, match="is for TablePolicy"):
        EMPO("MlpPolicy", gate_env(), lookup_use_adaptive_lr=True, **SMALL)
    with pytest.raises(ValueError, match="are for networks"):
        EMPO("TablePolicy", gate_env(), use_uncertainty_weighted_lr=True)
    with pytest.raises(ValueError, match="counts updates only with"):
        EMPO("TablePolicy", gate_env()).policy.table("q_r")


# ---------------------------------------------------------------- uncertainty


def weights_of(**keywords):
    """The weights of every update of a short run."""
    model, seen = EMPO("MlpPolicy", gate_env(), seed=0, **keywords, **SMALL), []
    update = model.policy.update

    def watch(pairs, targets, masks, rates, emphasis):
        seen.append((pairs, emphasis))
        return update(pairs, targets, masks, rates, emphasis)

    model.policy.update = watch
    model.learn(60)
    return model, seen


SOURCES = {
    "rnd": {"use_uncertainty_weighted_lr": True},
    "rnd by its own name": {"rnd_use_adaptive_lr": True},
    "ensemble": {"use_uncertainty_weighted_lr": True, "uncertainty_source": "ensemble", "ensemble_size": 3},
    "dropout": {"use_uncertainty_weighted_lr": True, "uncertainty_source": "dropout", "dropout": 0.1},
    "visits": {"use_uncertainty_weighted_lr": True, "uncertainty_source": "visits"},
}


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_little_known_weighs_more_and_a_batch_as_much_as_ever(name):
    _, seen = weights_of(**SOURCES[name])
    assert all(weights.mean() == pytest.approx(1.0) for _, weights in seen)
    assert any(weights.max() > 1.1 * weights.min() for _, weights in seen)


def test_rare_pairs_weigh_more_than_frequent_ones():
    model, seen = weights_of(**SOURCES["visits"])
    pairs, weights = seen[-1]
    counts = model.priorities.weighing.source.counts[pairs]
    assert weights[counts.argmin()] > weights[counts.argmax()]


def test_weights_multiply_the_losses_and_ones_change_nothing():
    def moved(emphasis):
        model = EMPO("MlpPolicy", gate_env(), seed=0, **{**SMALL, "policy_kwargs": {"optimizer_class": th.optim.SGD}})
        pairs = model.live[:4]
        start = [p.detach().clone() for p in model.policy.net("v_h_e").parameters()]
        targets = {"v_h_e": np.full((4, model.sizes.n_outputs("v_h_e")), 0.25)}
        model.policy.update(pairs, targets, {}, {"v_h_e": 0.1}, emphasis)
        return [(p.detach() - s).double() for p, s in zip(model.policy.net("v_h_e").parameters(), start, strict=True)]

    plain, ones = moved(None), moved(np.ones(4))
    first, rest = moved(np.array([4.0, 0, 0, 0])), moved(np.array([0, 4 / 3, 4 / 3, 4 / 3]))
    for a, b, c, d in zip(plain, ones, first, rest, strict=True):
        assert th.equal(a, b) and th.allclose(0.25 * c + 0.75 * d, a, atol=1e-7) and not th.allclose(c, a, atol=1e-7)


@pytest.mark.parametrize("policy", ["MlpPolicy", "TablePolicy"])
def test_what_is_little_known_comes_into_a_batch_more_often(policy):
    kwargs = SMALL if policy == "MlpPolicy" else SHORT
    model = EMPO(policy, gate_env(), seed=0, prioritized=True, uncertainty_source="visits", exploring_pairs=0.0, **kwargs)
    model.learn(100)
    rare, frequent = model.live[0], model.live[1]
    model.priorities.weighing.source.counts[[rare, frequent]] = [0, 99]
    model.replay_buffer.reset()
    for pair in (rare, frequent):
        model.replay_buffer.add_pairs(np.array([pair]))
    drawn = np.concatenate([model._draw_pairs(64) for _ in range(20)])
    assert (drawn == rare).sum() > 2 * (drawn == frequent).sum() > 0


def test_a_run_is_the_same_where_all_weights_are_one():
    bounds = {"uncertainty_lr_scale_min": 1.0, "uncertainty_lr_scale_max": 1.0}
    alone = EMPO("MlpPolicy", gate_env(), seed=0, **SMALL).learn(60)
    beside, _ = weights_of(**SOURCES["rnd"], **bounds)
    for a, b in zip(alone.policy.parameters(), beside.policy.parameters(), strict=True):
        assert th.equal(a, b)


@pytest.mark.parametrize("name", ["rnd", "dropout"])
def test_a_resumed_run_goes_on_with_the_uncertainty_it_had(name, tmp_path):
    keywords = {**SOURCES[name], **SMALL}
    whole = EMPO("MlpPolicy", gate_env(), seed=0, **keywords).learn(80)
    part = EMPO("MlpPolicy", gate_env(), seed=0, **keywords)
    part.learn(40)
    part.save_checkpoint(tmp_path)
    resumed = EMPO.resume(tmp_path, gate_env()).learn(80)
    for a, b in zip(whole.policy.parameters(), resumed.policy.parameters(), strict=True):
        assert th.equal(a, b)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"uncertainty_source": "luck"}, "uncertainty_source must be one of rnd, ensemble, dropout, visits"),
        ({"ensemble_size": 1}, "ensemble_size must be an integer >= 2"),
        ({"rnd_use_adaptive_lr": True, "use_uncertainty_weighted_lr": True}, "both weigh the losses; choose one"),
        ({"rnd_use_adaptive_lr": True, "rnd_adaptive_lr_min": 20.0}, "need scale > 0 and 0 < min <= max"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(keywords, sentence):
    with pytest.raises(ValueError, match=sentence):
        TrainingConfig(**keywords)


def test_dropout_as_source_needs_dropout():
    with pytest.raises(ValueError, match="has no dropout"):
        EMPO("MlpPolicy", gate_env(), use_uncertainty_weighted_lr=True, uncertainty_source="dropout", **SMALL)
