"""Features that move from one policy to another: what is copied, what stays fresh, and how the copy is spared at first."""

import copy

import pytest
import torch as th
from imitation_worlds import Features, Side, learner
from stable_baselines3 import PPO

from empo_sb3 import RecurrentPPO
from empo_sb3.imitation import UnfreezeFeatures, transfer_features


def parameters(policy):
    return {name: p.detach().clone() for name, p in policy.named_parameters()}


def moved(before, after):
    return {name for name, p in after.items() if not th.equal(p, before[name])}


def pair(name="RecurrentPPO", **keywords):
    return learner("PPO", Side(), Features), learner(name, Side(), Features, **keywords)


def test_the_features_are_copied_and_all_else_stays_fresh(capsys):
    source, target = pair()
    before = parameters(target.policy)
    with th.no_grad():
        for parameter in source.policy.parameters():
            parameter.add_(0.5)
    done = transfer_features(source, target, name="BC")
    after = parameters(target.policy)
    assert moved(before, after) == {"features_extractor.layers.1.weight", "features_extractor.layers.1.bias"}
    assert all(th.equal(after[name], p) for name, p in source.policy.named_parameters() if name.startswith("features_ex"))
    counts = {part.name: (part.n_parameters, part.origin) for part in done.parts}
    assert counts["features"] == (3 * 8 + 8, "BC")
    assert counts["GRU"] == (sum(p.numel() for n, p in after.items() if n.startswith("rnn_")), "fresh")
    assert sum(n for n, _ in counts.values()) == sum(p.numel() for p in after.values())
    printed = capsys.readouterr().out
    assert printed.startswith("features 32 from BC; policy, value, GRU fresh\n") and "  GRU" in printed


def test_features_come_from_models_policies_extractors_and_files(tmp_path):
    source, target = pair()
    source.save(tmp_path / "source.zip")
    wanted = source.policy.features_extractor.layers[1].weight
    for origin in (source, source.policy, source.policy.features_extractor, tmp_path / "source.zip"):
        with th.no_grad():
            target.policy.features_extractor.layers[1].weight.zero_()
        transfer_features(origin, target, verbose=0)
        assert th.equal(target.policy.features_extractor.layers[1].weight, wanted)


def test_actor_and_critic_with_extractors_of_their_own_both_get_the_features():
    source, _ = pair()
    target = learner("PPO", Side(), Features, policy_kwargs={"share_features_extractor": False})
    done = transfer_features(source, target, verbose=0)
    for extractor in (target.policy.pi_features_extractor, target.policy.vf_features_extractor):
        assert th.equal(extractor.layers[1].weight, source.policy.features_extractor.layers[1].weight)
    assert done.parts[0].n_parameters == 64


def test_the_features_that_act_are_copied_where_the_source_has_several():
    source, target = pair()
    acting = copy.deepcopy(source.policy.features_extractor)
    with th.no_grad():
        acting.layers[1].weight.add_(1.0)
    source.policy.pi_features_extractor = acting
    transfer_features(source, target, verbose=0)
    assert th.equal(target.policy.features_extractor.layers[1].weight, acting.layers[1].weight)


@pytest.mark.parametrize("name", ["SAC", "DQN"])
def test_off_policy_learners_take_features_too(name):
    env = Side("vector", "box" if name == "SAC" else "discrete")
    source, target = learner("PPO", env, Features), learner(name, env, Features)
    transfer_features(source, target, verbose=0)
    extractor = target.actor.features_extractor if name == "SAC" else target.q_net.features_extractor
    assert th.equal(extractor.layers[1].weight, source.policy.features_extractor.layers[1].weight)


def test_features_that_do_not_fit_are_refused_by_name_and_nothing_is_copied():
    source = learner("PPO", Side(), Features)
    target = learner("PPO", Side(), Features, policy_kwargs={"features_extractor_kwargs": {"features_dim": 4}})
    before = parameters(target.policy)
    with pytest.raises(ValueError, match=r"features_extractor.layers.1.weight the source has one of shape \(8, 3\)"):
        transfer_features(source, target)
    assert not moved(before, parameters(target.policy))


def test_without_features_there_is_nothing_to_transfer():
    flat = learner("PPO", Side())
    with pytest.raises(ValueError, match="it may only flatten"):
        transfer_features(flat, learner("PPO", Side(), Features))
    with pytest.raises(ValueError, match="no feature extractor to copy into"):
        transfer_features(learner("PPO", Side(), Features), flat)


@pytest.mark.parametrize("algorithm", [PPO, RecurrentPPO])
def test_features_rest_and_then_follow_at_their_own_rate(algorithm):
    model = learner(algorithm.__name__, Side(), Features, policy_kwargs={"optimizer_class": th.optim.SGD}, max_grad_norm=1e9)
    before = parameters(model.policy)
    model.learn(64, UnfreezeFeatures(steps=65, factor=0.5))
    resting = moved(before, parameters(model.policy))
    assert "action_net.weight" in resting and not any(name.startswith("features") for name in resting)
    model.learn(64, UnfreezeFeatures(steps=65, factor=0.5), reset_num_timesteps=False)
    assert "features_extractor.layers.1.weight" in moved(before, parameters(model.policy))


@pytest.mark.parametrize("steps", [1, 2])
def test_features_that_rest_for_a_step_or_two_learn_from_the_first_update_on(steps):
    def learned(steps):
        model = learner("PPO", Side(), Features, policy_kwargs={"optimizer_class": th.optim.SGD})
        return parameters(model.learn(64, UnfreezeFeatures(steps)).policy)

    after, at_once = learned(steps), learned(0)
    assert all(th.equal(after[name], p) for name, p in at_once.items())


def test_the_rate_after_thawing_is_the_factor_times_the_rate():
    def step(factor):
        model = learner("PPO", Side(), Features, policy_kwargs={"optimizer_class": th.optim.SGD}, n_epochs=1, batch_size=32)
        before = parameters(model.policy)
        model.learn(32, UnfreezeFeatures(steps=0, factor=factor))
        return parameters(model.policy)["features_extractor.layers.1.bias"] - before["features_extractor.layers.1.bias"]

    assert th.allclose(step(0.25), 0.25 * step(1.0), atol=1e-8) and step(1.0).abs().max() > 1e-6


def test_a_policy_without_features_cannot_thaw_them():
    with pytest.raises(ValueError, match="features_extractor"):
        learner("PPO", Side()).learn(32, UnfreezeFeatures(10))
    with pytest.raises(ValueError, match=r"^UnfreezeFeatures: steps must be an integer >= 0, not -1$"):
        UnfreezeFeatures(-1)


def test_features_learn_from_the_very_step_on_at_which_their_rest_ends():
    factor = UnfreezeFeatures(3, factor=0.5).factors
    late = next(iter(factor.values()))
    assert [late(step) for step in (0, 2, 3, 4)] == [0.0, 0.0, 0.5, 0.5]
