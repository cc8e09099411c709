"""Recurrent policies alone: saving and loading, prediction with state, train and eval mode, errors."""

import numpy as np
import pytest
import sb3_contrib
import torch as th
from gymnasium import spaces
from recurrent_envs import DICT, IMAGE, TWO, VECTOR, Cue, Noise
from stable_baselines3.common.env_util import make_vec_env

from empo_sb3 import recurrent
from empo_sb3.recurrent import RecurrentPPO

SMALL = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "seed": 0, "device": "cpu"}
CELLS = ("Gru", "Lstm", "Attention")
UNUSUAL = {
    "rnn_hidden_size": 12,
    "n_rnn_layers": 2,
    "net_arch": {"pi": [7], "vf": [5]},
    "share_features_extractor": False,
    "critic_rnn": "separate",
}


def model_of(name="MlpGruPolicy", observations=VECTOR, actions=TWO, **policy_kwargs):
    env = make_vec_env(Noise, 2, seed=0, env_kwargs={"observation_space": observations, "action_space": actions})
    return RecurrentPPO(name, env, policy_kwargs={"rnn_hidden_size": 8} | policy_kwargs, **SMALL)


def parameters_equal(a, b):
    theirs = b.state_dict()
    assert a.state_dict().keys() == theirs.keys()
    return all(th.equal(value, theirs[key]) for key, value in a.state_dict().items())


def follow(predictor, observations):
    """Deterministic actions and the last state along a sequence of observations."""
    state, actions = None, []
    for t, observation in enumerate(observations):
        action, state = predictor.predict(observation, state, episode_start=np.array([t == 0]), deterministic=True)
        actions.append(action)
    return np.array(actions), state


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kwargs", [{}, UNUSUAL, {"critic_rnn": "shared"}, {"critic_rnn": "none"}])
def test_a_policy_that_was_saved_alone_is_the_same_when_loaded(cell, kwargs, tmp_path):
    rnn_kwargs = {"rnn_kwargs": {"context": 3, "n_heads": 2}} if cell == "Attention" else {}
    policy = model_of(f"Mlp{cell}Policy", **kwargs, **rnn_kwargs).learn(32).policy
    policy.save(tmp_path / "policy.pkl")
    loaded = type(policy).load(tmp_path / "policy.pkl")
    assert parameters_equal(policy, loaded)
    for name in ("critic_rnn", "share_features_extractor", "rnn_kwargs"):
        assert vars(loaded)[name] == vars(policy)[name]
    observations = np.random.default_rng(0).uniform(-1, 1, (6, 1, 4)).astype(np.float32)
    (a, state_a), (b, state_b) = follow(policy, observations), follow(loaded, observations)
    assert np.array_equal(a, b)
    for x, y in zip(state_a, state_b, strict=True):
        assert np.array_equal(x, y)


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_keeps_all_parameters_and_its_optimizer_in_a_zip(cell, tmp_path):
    model = model_of(f"Mlp{cell}Policy", **UNUSUAL).learn(32)
    model.save(tmp_path / "model")
    loaded = RecurrentPPO.load(tmp_path / "model", device="cpu")
    assert parameters_equal(model.policy, loaded.policy)
    saved, restored = model.policy.optimizer.state_dict(), loaded.policy.optimizer.state_dict()
    assert saved["state"] and saved["state"].keys() == restored["state"].keys()
    for key, moments in saved["state"].items():
        assert th.equal(moments["exp_avg"], restored["state"][key]["exp_avg"])


def test_a_loaded_model_goes_on_in_another_number_of_environments(tmp_path):
    model_of().learn(32).save(tmp_path / "model")
    env = make_vec_env(Noise, 3, seed=0, env_kwargs={"observation_space": VECTOR, "action_space": TWO})
    loaded = RecurrentPPO.load(tmp_path / "model", env=env, device="cpu")
    loaded.learn(48, reset_num_timesteps=False)
    assert loaded.num_timesteps == 32 + 48 and loaded.policy.initial_states(3).pi[0].shape == (1, 3, 8)


def test_what_sb3_contrib_saved_can_be_loaded_and_acts_alike(tmp_path):
    env = make_vec_env(Noise, 2, seed=0, env_kwargs={"observation_space": VECTOR, "action_space": TWO})
    theirs = sb3_contrib.RecurrentPPO("MlpLstmPolicy", env, policy_kwargs={"lstm_hidden_size": 8}, **SMALL).learn(32)
    theirs.save(tmp_path / "theirs")
    ours = RecurrentPPO.load(tmp_path / "theirs", env=env, device="cpu")
    observations = np.random.default_rng(0).uniform(-1, 1, (8, 1, 4)).astype(np.float32)
    (a, state_a), (b, state_b) = follow(theirs, observations), follow(ours, observations)
    assert np.array_equal(a, b)
    for x, y in zip(state_a, state_b, strict=True):
        assert np.allclose(x, y, atol=1e-6)
    ours.learn(32)
    ours.save(tmp_path / "ours")
    assert parameters_equal(ours.policy, RecurrentPPO.load(tmp_path / "ours", device="cpu").policy)


@pytest.mark.parametrize(("cell", "arrays"), [("Gru", 1), ("Lstm", 2), ("Attention", 2)])
def test_predict_returns_an_action_and_a_state_to_pass_on(cell, arrays):
    model = model_of(f"Mlp{cell}Policy", n_rnn_layers=2)
    action, state = model.predict(VECTOR.sample())
    assert action.shape == () and len(state) == arrays and all(s.shape[:2] == (2, 1) for s in state)
    action, state = model.predict(np.stack([VECTOR.sample()] * 3), deterministic=True)
    assert action.shape == (3,) and all(s.shape[:2] == (2, 3) for s in state)


@pytest.mark.parametrize("cell", CELLS)
def test_predict_forgets_where_an_episode_starts_and_only_there(cell):
    model = model_of(f"Mlp{cell}Policy")
    first, second = np.random.default_rng(0).uniform(-1, 1, (2, 2, 4)).astype(np.float32)
    _, state = model.predict(first)
    _, going_on = model.predict(second, state)
    _, half = model.predict(second, state, episode_start=np.array([False, True]))
    _, fresh = model.predict(second)
    for went_on, mixed, new in zip(going_on, half, fresh, strict=True):
        assert np.array_equal(mixed[:, 0], went_on[:, 0]) and np.array_equal(mixed[:, 1], new[:, 1])
    assert not np.array_equal(going_on[0], fresh[0])


def test_predict_says_when_a_state_belongs_elsewhere():
    lstm, gru = model_of("MlpLstmPolicy"), model_of("MlpGruPolicy")
    _, state = lstm.predict(VECTOR.sample())
    with pytest.raises(ValueError, match="state of shapes"):
        gru.predict(VECTOR.sample(), state)
    with pytest.raises(ValueError, match="state of shapes"):
        lstm.predict(np.zeros((3, 4), np.float32), state)
    with pytest.raises(ValueError, match="unpack"):
        gru.predict((VECTOR.sample(), {}))
    with pytest.raises(ValueError, match=r"episode_start of shape \(3,\) for 2 environments"):
        gru.predict(np.zeros((2, 4), np.float32), episode_start=np.ones(3, bool))


def test_continuous_actions_stay_within_their_bounds():
    box = spaces.Box(-0.1, 0.1, (2,), np.float32)
    model = model_of(actions=box)
    for _ in range(20):
        assert box.contains(model.predict(VECTOR.sample())[0])


def test_dropout_is_off_when_predicting_and_on_when_training():
    model = model_of(n_rnn_layers=2, rnn_kwargs={"dropout": 0.5})
    observation = np.ones((1, 4), np.float32)
    _, first = model.predict(observation)
    _, second = model.predict(observation)
    assert np.array_equal(first[0], second[0]) and not model.policy.training
    model.learn(32)
    assert model.policy.training

    policy = model.policy
    obs, starts = th.ones(1, 4), th.zeros(1)
    drawn = {policy.predict_values(obs, policy.initial_states(1), starts).item() for _ in range(8)}
    assert len(drawn) > 1


@pytest.mark.parametrize("name", ["MlpGruPolicy", "MlpLstmPolicy", "MlpAttentionPolicy"])
def test_values_are_the_same_by_both_ways_to_them(name):
    for critic in ("separate", "shared", "none"):
        policy = model_of(name, critic_rnn=critic).policy
        obs, starts, states = th.randn(3, 4), th.tensor([1.0, 0.0, 0.0]), policy.initial_states(3)
        _, _, _, states = policy(th.randn(3, 4), states, th.ones(3))
        _, values, _, _ = policy(obs, states, starts)
        assert th.allclose(policy.predict_values(obs, states, starts), values, atol=1e-6)


def test_the_value_loss_does_not_reach_a_shared_memory():
    policy = model_of(critic_rnn="shared").policy
    values, log_prob, _ = policy.evaluate_actions(th.randn(4, 4), th.zeros(4), policy.initial_states(4), th.zeros(4))
    values.sum().backward(retain_graph=True)
    assert policy.rnn_actor.weight_hh_l0.grad is None
    log_prob.sum().backward()
    assert policy.rnn_actor.weight_hh_l0.grad is not None


@pytest.mark.parametrize(
    ("name", "observations", "kwargs", "message"),
    [
        ("MlpGruPolicy", VECTOR, {"rnn_hiden_size": 8}, "did you mean 'rnn_hidden_size'"),
        ("MlpGruPolicy", VECTOR, {"rnn_hidden_size": 0}, "rnn_hidden_size must be"),
        ("MlpGruPolicy", VECTOR, {"n_rnn_layers": 1.5}, "n_rnn_layers must be"),
        ("MlpGruPolicy", VECTOR, {"critic_rnn": "both"}, "separate, shared, none"),
        ("MlpGruPolicy", VECTOR, {"critic_rnn": "shared", "share_features_extractor": False}, "share_features_extractor"),
        ("MlpLstmPolicy", VECTOR, {"rnn_kwargs": {"bidirectional": True}}, "bidirectional"),
        ("MlpLstmPolicy", VECTOR, {"rnn_kwargs": {"proj_size": 4}}, "proj_size"),
        ("MlpGruPolicy", VECTOR, {"rnn_kwargs": {"forget": 1}}, "refuses rnn_kwargs"),
        ("MlpGruPolicy", VECTOR, {"lstm_hidden_size": 4, "rnn_hidden_size": 4}, "another name"),
        ("MlpLstmPolicy", VECTOR, {"shared_lstm": True, "enable_critic_lstm": True}, "critic_rnn"),
        ("MlpGruPolicy", DICT, {}, "MultiInput"),
        ("MultiInputGruPolicy", VECTOR, {}, "reads Dict observations.*begins with Mlp"),
        ("CnnGruPolicy", VECTOR, {}, "reads images.*begins with Mlp"),
        ("MlpAttentionPolicy", VECTOR, {"rnn_kwargs": {"n_heads": 3}}, "n_heads"),
    ],
)
def test_a_wrong_keyword_is_an_error_that_shows_the_mend(name, observations, kwargs, message):
    env = make_vec_env(Noise, 1, env_kwargs={"observation_space": observations, "action_space": TWO})
    with pytest.raises(ValueError, match=message):
        RecurrentPPO(name, env, policy_kwargs=kwargs, **SMALL)


def test_a_policy_without_memory_is_refused():
    from stable_baselines3.common.policies import ActorCriticPolicy

    with pytest.raises(ValueError, match="MlpGruPolicy"):
        RecurrentPPO(ActorCriticPolicy, make_vec_env(Cue, 1), **SMALL)
    with pytest.raises(ValueError, match="unknown policy 'MlpGrooPolicy'; did you mean 'MlpGruPolicy'"):
        RecurrentPPO("MlpGrooPolicy", make_vec_env(Cue, 1), **SMALL)


@pytest.mark.parametrize("change", [{"n_steps": 0}, {"n_epochs": 0}, {"batch_size": 0}, {"batch_size": -3}, {"n_steps": 2.5}])
def test_numbers_of_no_rollout_or_no_update_are_refused_by_name(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} must be an integer from 1"):
        RecurrentPPO("MlpGruPolicy", make_vec_env(Cue, 1), **(SMALL | change))


def test_spaces_whose_sizes_are_numpys_make_a_cell():
    assert model_of(observations=spaces.MultiDiscrete([3, 4])).learn(32).num_timesteps == 32


def test_sb3_contribs_keywords_mean_the_same():
    ours = model_of("MlpLstmPolicy", rnn_hidden_size=8, n_rnn_layers=2, critic_rnn="none").policy
    env = make_vec_env(Cue, 1)
    kwargs = {"lstm_hidden_size": 8, "n_lstm_layers": 2, "enable_critic_lstm": False}
    theirs = RecurrentPPO("MlpLstmPolicy", env, policy_kwargs=kwargs, **SMALL).policy
    assert (theirs.rnn_hidden_size, theirs.n_rnn_layers, theirs.critic_rnn) == (8, 2, "none")
    assert ours.rnn_critic is None and theirs.rnn_critic is None


def test_ones_own_sequence_model_takes_one_attribute():
    class Average(recurrent.Cell):
        """A running mean of projected features."""

        def __init__(self, input_size, hidden_size, num_layers=1, rate=0.5):
            super().__init__()
            self.input_size, self.hidden_size, self.num_layers, self.rate = input_size, hidden_size, num_layers, rate
            self.project = th.nn.Linear(input_size, hidden_size)

        @property
        def state_sizes(self):
            return (self.hidden_size,)

        def forward(self, sequence, states):
            mean, means = states[0][0], []
            for x in self.project(sequence):
                mean = (1 - self.rate) * mean + self.rate * x
                means.append(mean)
            return th.stack(means), (mean.unsqueeze(0),)

    class AveragePolicy(recurrent.RecurrentPolicy):
        cell_class = Average

    model = model_of(AveragePolicy, rnn_kwargs={"rate": 0.3}).learn(32)
    assert model.policy.rnn_actor.rate == 0.3 and model.predict(VECTOR.sample())[1][0].shape == (1, 1, 8)


def test_images_and_dicts_reach_the_right_extractors():
    assert type(model_of("CnnGruPolicy", IMAGE).policy.features_extractor).__name__ == "NatureCNN"
    assert type(model_of("MultiInputGruPolicy", DICT).policy.features_extractor).__name__ == "CombinedExtractor"


def test_planes_are_read_as_categories():
    import gymnasium as gym

    from empo_sb3.recurrent import PlaneFeatures

    env = gym.make("EMPO-MemorySwitch-v0")
    observation, _ = env.reset(seed=0)
    features = PlaneFeatures(env.observation_space, 7)
    assert sum(p.numel() for p in features.parameters()) < 7 * 1000, "a unit for each category that there can be"
    assert features(th.as_tensor(observation)[None]).shape == (1, 7)
    code = features.layers[0](th.as_tensor(observation)[None])
    assert set(code[:, :-1].unique().tolist()) == {0.0, 1.0} and (code[:, :-1].sum(1) == observation.shape[2] - 1).all()
    with pytest.raises(ValueError, match="height x width x channel"):
        PlaneFeatures(gym.spaces.Box(0, 1, (3,)))
