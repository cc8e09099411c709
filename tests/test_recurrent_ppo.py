"""RecurrentPPO: the same parameters as sb3-contrib, all spaces, masks, determinism, memory."""

import copy

import numpy as np
import pytest
import sb3_contrib
import torch as th
from gymnasium import spaces
from recurrent_envs import DICT, IMAGE, TWO, VECTOR, Cue, Masked, Noise
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

from empo_sb3 import recurrent
from empo_sb3.recurrent import RecurrentPPO
from empo_sb3.recurrent.masks import mask_logits

SMALL = {"n_steps": 32, "batch_size": 24, "n_epochs": 2, "seed": 0, "device": "cpu"}
CELLS = ("Gru", "Lstm", "Attention")


def noise(observation_space=VECTOR, action_space=TWO, n_envs=2):
    """Random observations; every episode is cut off by a time limit."""
    kwargs = {"observation_space": observation_space, "action_space": action_space, "length": 7}
    return make_vec_env(Noise, n_envs, seed=0, env_kwargs=kwargs)


def same(a, b, tolerance):
    pairs = list(zip(a.parameters(), b.parameters(), strict=True))
    assert pairs and all(p.shape == q.shape for p, q in pairs)
    return max(float((p.detach() - q.detach()).abs().max()) for p, q in pairs) <= tolerance


CRITICS = [
    ({"critic_rnn": "separate"}, {}),
    ({"critic_rnn": "shared"}, {"shared_lstm": True, "enable_critic_lstm": False}),
    ({"critic_rnn": "none"}, {"enable_critic_lstm": False}),
    ({"critic_rnn": "separate", "n_rnn_layers": 2, "share_features_extractor": False}, {"n_lstm_layers": 2}),
]


@pytest.mark.parametrize(("ours", "contrib"), CRITICS, ids=["separate", "shared", "none", "two-layers"])
def test_the_lstm_arrives_at_the_parameters_of_sb3_contrib(ours, contrib):
    contrib = {"lstm_hidden_size": 16} | contrib | {k: v for k, v in ours.items() if k == "share_features_extractor"}
    theirs = sb3_contrib.RecurrentPPO("MlpLstmPolicy", noise(), policy_kwargs=contrib, **SMALL)
    start = copy.deepcopy(theirs.policy)
    theirs.learn(256)
    # All draw from the global generators, which the construction seeds: so one after the other.
    mine = RecurrentPPO("MlpLstmPolicy", noise(), policy_kwargs={"rnn_hidden_size": 16} | ours, **SMALL)
    assert same(start, mine.policy, 0.0)
    mine.learn(256)
    assert same(theirs.policy, mine.policy, 1e-6) and not same(start, mine.policy, 1e-4)


@pytest.mark.parametrize(
    ("name", "observations", "actions", "further"),
    [
        ("MlpLstmPolicy", VECTOR, spaces.Box(-1.0, 1.0, (2,)), {"clip_range_vf": 0.2, "ent_coef": 0.01}),
        ("MultiInputLstmPolicy", DICT, spaces.MultiDiscrete([2, 3]), {"target_kl": 1e-4}),
        ("CnnLstmPolicy", IMAGE, TWO, {"normalize_advantage": False}),
    ],
)
def test_so_it_does_for_other_spaces_and_options(name, observations, actions, further):
    arguments = SMALL | further
    theirs = sb3_contrib.RecurrentPPO(name, noise(observations, actions), policy_kwargs={"lstm_hidden_size": 8}, **arguments)
    theirs.learn(128)
    mine = RecurrentPPO(name, noise(observations, actions), policy_kwargs={"rnn_hidden_size": 8}, **arguments)
    mine.learn(128)
    assert same(theirs.policy, mine.policy, 1e-6) and mine._n_updates == theirs._n_updates


def test_the_gru_is_trained_as_if_torchs_own_gru_were_in_its_place(monkeypatch):
    def learned():
        return RecurrentPPO("MlpGruPolicy", noise(), policy_kwargs={"rnn_hidden_size": 16}, **SMALL).learn(256).policy

    mine = learned()
    monkeypatch.setattr(recurrent.cells.GRU, "forward", torch_forward)
    assert same(mine, learned(), 1e-6)


def torch_forward(self, sequence, states):
    outputs, h = th.nn.GRU.forward(self, sequence, states[0])
    return outputs, (h,)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("prefix", "observations", "actions"),
    [
        ("Mlp", VECTOR, spaces.MultiBinary(3)),
        ("Mlp", spaces.Discrete(5), spaces.MultiDiscrete([2, 3])),
        ("MultiInput", DICT, spaces.Box(-1.0, 1.0, (2,))),
        ("Cnn", IMAGE, TWO),
    ],
)
def test_every_cell_learns_in_every_kind_of_space(cell, prefix, observations, actions):
    env = noise(observations, actions)
    model = RecurrentPPO(f"{prefix}{cell}Policy", env, policy_kwargs={"rnn_hidden_size": 8}, **SMALL)
    before = copy.deepcopy(model.policy)
    model.learn(64)
    assert not same(before, model.policy, 1e-5)
    assert all(th.isfinite(parameter).all() for parameter in model.policy.parameters())
    action, _ = model.predict(env.reset(), deterministic=True)
    assert env.action_space.contains(action[0])
    evaluate_policy(model, env, n_eval_episodes=2, warn=False)


@pytest.mark.parametrize("cell", CELLS)
def test_a_seed_determines_the_run(cell):
    def run(seed):
        arguments = SMALL | {"seed": seed}
        return RecurrentPPO(f"Mlp{cell}Policy", noise(), policy_kwargs={"rnn_hidden_size": 8}, **arguments).learn(128).policy

    first = run(3)
    assert same(first, run(3), 0.0) and not same(first, run(4), 1e-3)


def test_state_dependent_exploration_works_with_memory():
    env = noise(VECTOR, spaces.Box(-1.0, 1.0, (2,)))
    kwargs = {"rnn_hidden_size": 8, "squash_output": True}
    model = RecurrentPPO("MlpGruPolicy", env, use_sde=True, sde_sample_freq=4, policy_kwargs=kwargs, **SMALL).learn(64)
    assert env.action_space.contains(model.predict(env.reset())[0][0])


def test_a_last_minibatch_of_one_row_does_no_harm():
    model = RecurrentPPO("MlpGruPolicy", noise(), policy_kwargs={"rnn_hidden_size": 8}, **(SMALL | {"batch_size": 63}))
    model.learn(64)
    assert all(th.isfinite(parameter).all() for parameter in model.policy.parameters())


@pytest.mark.parametrize(
    ("cell", "critic", "arrays"),
    [("Gru", "separate", (1, 1)), ("Gru", "shared", (1, 0)), ("Lstm", "separate", (2, 2)), ("Lstm", "none", (2, 0))],
)
def test_a_rollout_stores_the_states_that_exist_and_no_others(cell, critic, arrays):
    model = RecurrentPPO(f"Mlp{cell}Policy", noise(), policy_kwargs={"rnn_hidden_size": 8, "critic_rnn": critic}, **SMALL)
    model.learn(64)
    assert (len(model.rollout_buffer.states_pi), len(model.rollout_buffer.states_vf)) == arrays


class States(BaseCallback):
    """The states that the policy had, by the callback's own bookkeeping."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def _on_step(self):
        self.seen.append(copy.deepcopy(self.model._last_lstm_states))
        return True


def test_minibatches_begin_with_the_states_of_their_first_rows():
    states = States()
    model = RecurrentPPO("MlpGruPolicy", noise(), policy_kwargs={"rnn_hidden_size": 8}, **SMALL)
    model.train = lambda: None
    model.learn(64, callback=states)
    buffer = model.rollout_buffer
    wanted = {}
    for t, at in enumerate(states.seen):
        for env in range(2):
            wanted[buffer.observations[t, env].tobytes()] = at.pi[0][:, env]
    rows = 0
    for samples in buffer.get(20):
        rows += len(samples.advantages)
        for lane, first in enumerate(samples.layout.firsts.tolist()):
            key = samples.observations[first].numpy().tobytes()
            assert th.equal(samples.states.pi[0][:, lane], wanted[key])
    assert rows == 64


@pytest.mark.parametrize("delay", [3, 2])
def test_nothing_follows_an_episode_that_ends_with_the_rollout(delay):
    # Cue ends after delay + 1 steps: with the rollout's twelfth step for both, at every fourth or third
    model = RecurrentPPO("MlpGruPolicy", make_vec_env(lambda: Cue(delay), 2), gamma=1.0, **(SMALL | {"n_steps": 12}))
    model.train = lambda: None
    buffer = model.learn(24).rollout_buffer
    np.testing.assert_allclose(buffer.returns[-1], buffer.rewards[-1], atol=1e-6)


def test_a_callback_can_stop_the_run():
    class Stop(BaseCallback):
        def _on_step(self):
            return self.num_timesteps < 40

    assert RecurrentPPO("MlpGruPolicy", noise(), **SMALL).learn(1000, callback=Stop()).num_timesteps == 40


def test_evaluation_callbacks_choose_a_best_model(tmp_path):
    evaluation = EvalCallback(noise(n_envs=1), n_eval_episodes=2, eval_freq=20, best_model_save_path=str(tmp_path), verbose=0)
    RecurrentPPO("MlpGruPolicy", noise(), policy_kwargs={"rnn_hidden_size": 8}, **SMALL).learn(64, callback=evaluation)
    assert RecurrentPPO.load(tmp_path / "best_model").predict(VECTOR.sample())[0] in TWO


@pytest.mark.parametrize("cell", CELLS)
def test_it_remembers_a_cue_until_it_is_needed(cell):
    env = make_vec_env(Cue, 8, seed=0)
    model = RecurrentPPO(
        f"Mlp{cell}Policy",
        env,
        learning_rate=3e-3,
        n_steps=32,
        batch_size=256,
        n_epochs=8,
        seed=0,
        device="cpu",
        policy_kwargs={"rnn_hidden_size": 16, "net_arch": [], "critic_rnn": "shared"},
    )
    model.learn(10_240)
    assert evaluate_policy(model, env, n_eval_episodes=40, deterministic=True, warn=False)[0] == 1.0


def test_forbidden_actions_are_never_taken_and_the_allowed_are_learned():
    env = make_vec_env(Masked, 4, seed=0)
    model = RecurrentPPO("MlpGruPolicy", env, policy_kwargs={"rnn_hidden_size": 8}, **SMALL)
    model.learn(256, use_masking=True)  # the world ends if a forbidden action is taken
    assert model.rollout_buffer.action_masks.shape[-1] == 3
    evaluate_policy(recurrent.Masked(model, env), env, n_eval_episodes=8, deterministic=False, warn=False)
    state = None
    obs = env.reset()
    for _ in range(20):
        action, state = model.predict(obs, state, action_masks=get_action_masks(env))
        obs, *_ = env.step(action)


def test_the_policy_is_trained_on_the_probabilities_it_acted_with():
    model = RecurrentPPO("MlpGruPolicy", make_vec_env(Masked, 4, seed=0), policy_kwargs={"rnn_hidden_size": 8}, **SMALL)
    model.train = lambda: None
    model.learn(128, use_masking=True)
    for samples in model.rollout_buffer.get(50):
        losses = model._losses(samples)
        assert abs(losses.approx_kl.item()) < 1e-7


def test_masks_are_obeyed_on_demand_only_for_evaluations_know_none():
    with pytest.raises(AssertionError, match="forbidden"):
        RecurrentPPO("MlpGruPolicy", make_vec_env(Masked, 4, seed=0), **SMALL).learn(128)
    with pytest.raises(ValueError, match="action_masks"):
        RecurrentPPO("MlpGruPolicy", make_vec_env(Cue, 2, seed=0), **SMALL).learn(64, use_masking=True)


@pytest.mark.parametrize(
    ("space", "mask", "possible"),
    [
        (spaces.Discrete(3), [1, 0, 1], [(0,), (2,)]),
        (spaces.MultiDiscrete([2, 3]), [0, 1, 1, 1, 0], [(1, 0), (1, 1)]),
        (spaces.MultiBinary(2), [1, 0, 1, 1], [(0, 0), (0, 1)]),
    ],
)
def test_masked_probabilities_are_those_of_the_allowed_actions_alone(space, mask, possible):
    model = RecurrentPPO("MlpGruPolicy", noise(action_space=space), policy_kwargs={"rnn_hidden_size": 8}, **SMALL)
    policy, obs = model.policy, th.randn(1, 4)
    free, _ = policy.get_distribution(obs, policy.initial_states(1).pi, th.zeros(1))
    shape = (-1, *space.shape) if space.shape else (-1,)
    actions = [th.tensor(action, dtype=th.float32).view(shape) for action in possible]
    odds = np.array([free.log_prob(action).exp().item() for action in actions])
    masked, _ = policy.get_distribution(obs, policy.initial_states(1).pi, th.zeros(1), np.array([mask]))
    probabilities = np.array([masked.log_prob(action).exp().item() for action in actions])
    assert np.allclose(probabilities, odds / odds.sum(), atol=1e-6)
    assert np.isclose(masked.entropy().item(), -(probabilities * np.log(probabilities)).sum(), atol=1e-5)


@pytest.mark.parametrize(
    ("space", "mask", "message"),
    [
        (spaces.Discrete(3), [[0, 0, 0]], "forbids every action"),
        (spaces.MultiDiscrete([2, 2]), [[1, 1, 0, 0]], "forbids every action"),
        (spaces.Discrete(3), [[1, 1]], "do not fit"),
        (spaces.Box(-1, 1, (3,)), [[1, 1, 1]], "Discrete"),
    ],
)
def test_a_mask_that_makes_no_sense_is_an_error_that_says_so(space, mask, message):
    with pytest.raises(ValueError, match=message):
        mask_logits(th.zeros(1, 4 if isinstance(space, spaces.MultiDiscrete) else 3), np.array(mask), space)


@pytest.mark.slow
def test_the_gru_balances_a_pole_whose_speed_it_cannot_see():
    import gymnasium as gym

    class Positions(gym.ObservationWrapper):
        def __init__(self, env):
            super().__init__(env)
            self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

        def observation(self, observation):
            return observation[[0, 2]]

    env = make_vec_env("CartPole-v1", 8, seed=0, wrapper_class=Positions)
    model = RecurrentPPO(
        "MlpGruPolicy",
        env,
        learning_rate=7e-4,
        n_steps=128,
        batch_size=256,
        n_epochs=10,
        gae_lambda=0.98,
        seed=0,
        device="cpu",
        policy_kwargs={"rnn_hidden_size": 64, "critic_rnn": "none", "net_arch": {"pi": [64], "vf": [64]}},
    )
    model.learn(40_000)
    assert evaluate_policy(model, env, n_eval_episodes=20, warn=False)[0] > 150  # without memory about 50


def test_dummy_vec_env_of_unwrapped_environments_is_enough():
    model = RecurrentPPO("MlpGruPolicy", DummyVecEnv([Cue]), policy_kwargs={"rnn_hidden_size": 8}, **SMALL).learn(32)
    assert model.num_timesteps == 32
