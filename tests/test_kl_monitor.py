"""KLMonitor: the divergence it measures, what it takes for a collapse, and what it does about one."""

import copy
import itertools
import warnings

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import torch as th
from gymnasium import spaces
from recurrent_envs import DICT, TWO, VECTOR, Masked, Noise
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env

from empo_sb3.learning_rates.kl_monitor import SLOT, KLMonitor, Update, collapse, measure
from empo_sb3.recurrent import RecurrentPPO

SMALL = {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "seed": 0, "device": "cpu"}
pytestmark = pytest.mark.filterwarnings("ignore:KLMonitor")
TINY = 1e-12  # every update is larger


def noise(observations=VECTOR, actions=TWO):
    return make_vec_env(Noise, 2, seed=0, env_kwargs={"observation_space": observations, "action_space": actions})


class Same(gym.Env):
    """Always the same observation: the policy is one distribution, and its divergences are sums over the actions."""

    observation_space, action_space = spaces.Box(1.0, 1.0, (1,)), spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        return np.ones(1, np.float32), float(action == 1), False, False, {}


class Obedient(RecurrentPPO):
    """Obeys action masks."""

    def learn(self, *args, **kwargs):
        return super().learn(*args, use_masking=True, **kwargs)


ALGORITHMS = {
    "ppo": lambda: PPO("MlpPolicy", noise(), **SMALL),
    "ppo, boxes": lambda: PPO("MultiInputPolicy", noise(DICT, spaces.Box(-1.0, 1.0, (2,))), **SMALL),
    "a2c": lambda: A2C("MlpPolicy", noise(), n_steps=32, seed=0, device="cpu"),
    "maskable": lambda: sb3_contrib.MaskablePPO("MlpPolicy", make_vec_env(Masked, 2, seed=0), **SMALL),
    "contrib": lambda: sb3_contrib.RecurrentPPO("MlpLstmPolicy", noise(), policy_kwargs={"lstm_hidden_size": 8}, **SMALL),
    "contrib, dict": lambda: sb3_contrib.RecurrentPPO(
        "MultiInputLstmPolicy", noise(DICT), policy_kwargs={"lstm_hidden_size": 8}, **SMALL
    ),
    "ours": lambda: RecurrentPPO("MlpGruPolicy", noise(), policy_kwargs={"rnn_hidden_size": 8}, **SMALL),
    "ours, masked": lambda: Obedient("MlpGruPolicy", make_vec_env(Masked, 2, seed=0), **SMALL),
    "ours, dict": lambda: RecurrentPPO("MultiInputGruPolicy", noise(DICT), policy_kwargs={"rnn_hidden_size": 8}, **SMALL),
}


@pytest.fixture(params=ALGORITHMS, ids=lambda name: name.replace(", ", "-"))
def algorithm(request):
    return ALGORITHMS[request.param]


def test_a_run_is_the_same_with_and_without_a_monitor(algorithm):
    plain = algorithm().learn(192)
    monitor = KLMonitor()
    watched = algorithm().learn(192, callback=monitor)
    for a, b in zip(plain.policy.parameters(), watched.policy.parameters(), strict=True):
        assert th.equal(a, b)
    assert [update.step for update in monitor.history] == [64, 128, 192]
    assert all(np.isfinite(update.kl) and update.kl > 0 for update in monitor.history)


class AtRolloutEnd(BaseCallback):
    def _on_step(self):
        return True

    def _on_rollout_end(self):
        self.measured = measure(self.model, copy.copy(self.model.rollout_buffer))


def test_a_policy_that_was_not_changed_has_not_diverged(algorithm):
    callback, model = AtRolloutEnd(), algorithm()
    model.train = lambda: None
    model.learn(64, callback=callback)
    assert abs(callback.measured[0]) < 1e-7


def test_the_estimate_is_the_divergence_summed_over_the_actions():
    model = PPO(
        "MlpPolicy", make_vec_env(Same, 4, seed=0), learning_rate=3e-3, n_steps=1024, batch_size=512, seed=0, device="cpu"
    )
    monitor = KLMonitor(threshold=100.0)

    def probabilities():
        return model.policy.get_distribution(th.ones(1, 1)).distribution.probs[0].detach().double()

    before = probabilities()
    model.learn(4096, callback=monitor)
    after = probabilities()
    exact = (before * (before / after).log()).sum().item()
    assert exact > 0.01 and monitor.history[-1].kl == pytest.approx(exact, rel=0.05)
    assert monitor.history[-1].entropy == pytest.approx(-(after * after.log()).sum().item(), rel=1e-4)


def history(kls, entropies=None, returns=None):
    entropies, returns = entropies or [1.0] * len(kls), returns or [10.0] * len(kls)
    return [Update(i, *row) for i, row in enumerate(zip(kls, entropies, returns, strict=True))]


@pytest.mark.parametrize(
    ("updates", "reason"),
    [
        (history([0.1, 0.1, 0.1]), ""),
        (history([0.1, 0.1], [1.0, 2.0]), ""),
        (history([0.1, 0.01, 0.1, 0.1], [1.0, 1.0, 1.0, 2.0]), ""),
        (history([0.01, 0.1, 0.1, 0.1], [1.0, 0.9, 1.0, 1.1]), "entropy rose"),
        (history([0.1, 0.1, 0.1], [1.0, 0.9, 1.1]), "entropy rose"),
        (history([0.01, 0.1, 0.1, 0.1], returns=[10.0, 9.0, 8.0, 8.1]), ""),
        (history([0.01, 0.1, 0.1, 0.1], returns=[10.0, 9.0, 8.0, 7.9]), "return fell"),
        (history([0.01, 0.1, 0.1, 0.1], returns=[-10.0, -11.0, -12.0, -12.1]), "return fell"),
        (history([0.01, 0.1, 0.1, 0.1], returns=[float("nan")] * 4), ""),
    ],
)
def test_a_collapse_is_large_updates_in_a_row_and_a_sign_that_they_do_harm(updates, reason):
    found = collapse(updates, threshold=0.02, patience=3, return_drop=0.2)
    assert found.startswith(("the " if reason == "return fell" else "") + reason) and bool(found) == bool(reason)


def test_large_updates_in_a_row_are_one_warning():
    model = PPO("MlpPolicy", noise(), **SMALL)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.learn(320, callback=KLMonitor(threshold=TINY, patience=100))
    texts = [str(w.message) for w in caught if "KLMonitor" in str(w.message)]
    assert len(texts) == 1 and "KL" in texts[0] and "step 64" in texts[0]


def collapsing(**kwargs):
    """A policy that prefers one action, and an entropy bonus that lets it forget that: each update raises the entropy."""
    model = PPO("MlpPolicy", noise(), ent_coef=10.0, learning_rate=1e-2, **SMALL)
    with th.no_grad():
        model.policy.action_net.bias[0] = 3.0
    monitor = KLMonitor(threshold=TINY, **kwargs)
    return model, monitor


def test_on_a_collapse_it_can_stop_the_run():
    model, monitor = collapsing(patience=2, on_collapse="stop")
    with pytest.warns(UserWarning, match="collapse: KL above .* in 2 updates while entropy rose.*the run was stopped"):
        model.learn(10_000, callback=monitor)
    assert model.num_timesteps < 200 and monitor.n_collapses == 1


class Rates(BaseCallback):
    def __init__(self):
        super().__init__()
        self.rates = []

    def _on_step(self):
        return True

    def _on_rollout_start(self):
        self.rates.append(self.model.policy.optimizer.param_groups[0]["lr"])


def test_on_a_collapse_it_can_shrink_the_learning_rate(tmp_path):
    model, monitor = collapsing(patience=1, on_collapse="shrink", shrink_factor=0.1)
    rates = Rates()
    with pytest.warns(UserWarning, match="the learning rate is now 0.1 of its schedule"):
        model.learn(256, callback=[rates, monitor])
    falls = [after / before for before, after in itertools.pairwise(rates.rates)]
    assert monitor.n_collapses >= 1 and any(fall == pytest.approx(0.1) for fall in falls)
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", device="cpu")
    assert model.learning_rate.scales[SLOT] < 1 and loaded.lr_schedule(1.0) == model.lr_schedule(1.0) < 1e-2


def test_on_a_collapse_it_can_restore_the_last_good_parameters():
    model, monitor = collapsing(patience=2, on_collapse=("restore", "stop"))
    good = copy.deepcopy(model.policy.state_dict())
    with pytest.warns(UserWarning, match=r"restored, the run was stopped"):
        model.learn(10_000, callback=monitor)
    assert monitor.n_collapses == 1
    for key, value in model.policy.state_dict().items():
        assert th.equal(value, good[key])
    model.learn(64)  # and it can go on from there


def test_an_update_within_the_threshold_is_what_is_restored_later():
    model, monitor = collapsing(patience=2, on_collapse=("restore", "stop"))
    model.learning_rate = 1e-9
    model._setup_lr_schedule()
    monitor.threshold = 1e-6

    class Speed(BaseCallback):
        kept = None

        def _on_step(self):
            return True

        def _on_rollout_start(self):
            if self.num_timesteps == 128:
                self.kept = copy.deepcopy(self.model.policy.state_dict())
                self.model.learning_rate = 1e-2
                self.model._setup_lr_schedule()

    speed = Speed()
    with pytest.warns(UserWarning, match="restored"):
        model.learn(10_000, callback=[monitor, speed])
    for key, value in model.policy.state_dict().items():
        assert th.equal(value, speed.kept[key])


def test_it_refuses_what_has_no_rollouts_and_what_makes_no_sense():
    with pytest.raises(ValueError, match="DQN collects no rollouts"):
        DQN("MlpPolicy", Noise(VECTOR, TWO)).learn(10, callback=KLMonitor())
    with pytest.raises(ValueError, match="warn, stop, shrink, restore"):
        KLMonitor(on_collapse="despair")
    with pytest.raises(ValueError, match="threshold"):
        KLMonitor(threshold=0.0)
    with pytest.raises(ValueError, match="threshold"):
        KLMonitor(threshold="2e-2")
    with pytest.raises(ValueError, match="inside EveryNTimesteps would miss rollouts"):
        PPO("MlpPolicy", noise(), **SMALL).learn(64, callback=EveryNTimesteps(4, KLMonitor()))


def test_the_numbers_are_logged(tmp_path):
    from stable_baselines3.common.logger import configure

    model = PPO("MlpPolicy", noise(), **SMALL)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(192, callback=KLMonitor(threshold=100.0))
    header, *rows = (tmp_path / "progress.csv").read_text().splitlines()
    assert {"KL/rollout", "KL/entropy", "KL/collapses"} <= set(header.split(",")) and len(rows) == 3
