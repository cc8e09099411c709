"""What somebody adds from outside, in one module of their own: a source of uncertainty, a learning-rate rule, an algorithm.

A file of the project would be touched only to give the thing a short name: none for a source and a rule, the registry and the
zoo file for an algorithm. So a shipped one costs 1, 1 and 3 files with its own module.
"""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import yaml
from sb3_worlds import SHORT
from stable_baselines3 import PPO
from test_cli import SMALL, run

from empo_cli import main as cli
from empo_sb3 import EMPO, zoo
from empo_sb3.callbacks import LearningRateSchedule
from empo_sb3.zoo import models

ROOT = Path(zoo.__file__).resolve().parent.parent.parent
MODULE = '''
from dataclasses import dataclass

import numpy as np
import torch as th
from stable_baselines3 import PPO
from torch import nn

from empo_sb3.common.encoders import mlp_encoder
from empo_sb3.empo.networks.policies import MlpPolicy
from empo_sb3.schedules import Schedule


class Novelty:
    """As uncertain as what it is shown is far from what it has seen on average."""

    def __init__(self, seed):
        self.memory = {"n": 0, "sum": 0.0}

    def __call__(self, states):
        mean = self.memory["sum"] / max(self.memory["n"], 1)
        return np.abs(np.asarray(states, dtype=np.float64).reshape(len(states), -1).mean(axis=1) - mean) + 1e-3

    def update(self, states):
        self.memory["n"] += len(states)
        self.memory["sum"] += float(np.asarray(states).reshape(len(states), -1).mean(axis=1).sum())


@dataclass(frozen=True)
class Halving(Schedule):
    """Half the rate at half of the run."""

    init_value: float

    def __call__(self, step):
        return self.init_value / (1 + step)


class Patient(PPO):
    """PPO by another name."""


class Wide(nn.Module):
    """A network of one's own."""


class Deep(MlpPolicy):
    """Learns with a network of its own."""

    def make_encoder(self):
        encoder, width = super().make_encoder()
        return nn.Sequential(encoder, nn.Linear(width, width), nn.Tanh()), width
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Somebody's module, which Python finds."""
    name = "somebodys_plugins"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_an_uncertainty_source_of_ones_own_weighs_the_losses_of_empo_and_is_saved_with_a_checkpoint(module, tmp_path):
    env = gym.make("EMPO-Grid-v0", world=SMALL)
    options = {**SHORT, "use_uncertainty_weighted_lr": True, "uncertainty_source": f"{module}:Novelty"}
    model = EMPO("MlpPolicy", env, seed=0, **options).learn(64)
    seen = model.priorities.weighing.source.memory
    assert type(model.priorities.weighing.source).__name__ == "Novelty" and seen["n"] > 0
    model.save_checkpoint(tmp_path / "checkpoint")
    assert EMPO.resume(tmp_path / "checkpoint", env).priorities.weighing.source.memory == seen


def test_a_learning_rate_rule_of_ones_own_is_named_by_its_path_and_checked(module):
    rule = f"{module}:Halving"
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, device="cpu")
    model.learn(32, callback=LearningRateSchedule(rule, init_value=1e-3, total=64))
    assert model.lr_schedule(0.0) == pytest.approx(1e-3 / 1.5)
    with pytest.raises(ValueError, match=r"has no 'base'; it takes init_value"):
        LearningRateSchedule(rule, base=1.0)
    with pytest.raises(ValueError, match="is not a schedule"):
        LearningRateSchedule(f"{module}:Patient")
    entry = {"callback": {"empo_sb3.callbacks.LearningRateSchedule": {"schedule": rule, "init_value": 1.0}}}
    zoo.file_check.check_entry("mine.yml", entry, PPO)


def test_an_algorithm_of_ones_own_is_trained_saved_and_played_by_the_command_line_if_its_module_is_allowed(
    module, capsys, tmp_path
):
    from empo_cli.trained_robots import trained_robots
    from empo_gym.envs.robot_env import RobotEnv

    words = ["train", SMALL, "--algo", f"{module}:Patient", "-n", "64", "--no-progress", "-o", str(tmp_path / "run")]
    status, _, err = run(capsys, *words)
    assert status == cli.FAILED and f"--allow-imports={module}" in err and module not in sys.modules
    status, _, err = run(capsys, *words, f"--allow-imports={module}")
    assert status == cli.DONE, err
    assert yaml.safe_load((tmp_path / "run" / "args.yml").read_text())["algo"] == f"{module}:Patient"
    env = RobotEnv(world=SMALL)
    with pytest.raises(ValueError, match="allow"):
        trained_robots(tmp_path / "run", env, np.random.default_rng(0))
    act, _ = trained_robots(tmp_path / "run", env, np.random.default_rng(0), allow=[module])
    assert env.action_space.contains(act(env, env.reset(seed=0)[0]))
    status, _, err = run(capsys, "compare", str(tmp_path / "run"))
    assert status == cli.FAILED and "learns no power" in err


@pytest.mark.parametrize("name", sorted({"a2c", "dqn", "ppo", "empo", "empo_table", "human_dqn", "ppo_gru", "ppo_lstm"}))
def test_a_registered_algorithm_has_hyper_parameters(name):
    assert name in models.registered() and models.hyperparameters(name, "default")["policy"]


def test_an_algorithm_that_is_shipped_touches_its_module_the_registry_and_its_zoo_file():
    hits = {
        path.relative_to(ROOT).as_posix()
        for path in [*ROOT.glob("empo_*/**/*.py"), *ROOT.glob("zoo_configs/*")]
        if "ppo_lstm" in path.stem or '"ppo_lstm": RecurrentPPO' in path.read_text(encoding="utf-8")
    }
    assert hits == {"empo_sb3/zoo/command.py", "zoo_configs/ppo_lstm.yml"}


def test_a_network_of_ones_own_is_named_by_a_zoo_file(module):
    from empo_gym.envs.robot_env import RobotEnv

    entry = {"policy": f"{module}.Deep", "learning_rate": 1.0, "policy_kwargs": "dict(net_arch=[8])"}
    with pytest.raises(ValueError, match="allow"):
        models.build("empo", lambda: RobotEnv(world=SMALL), entry)
    model, _ = models.build("empo", lambda: RobotEnv(world=SMALL), entry, [module], seed=0)
    encoder = model.policy.net("q_r").encoder
    assert type(model.policy).__name__ == "Deep" and type(encoder[-1]).__name__ == "Tanh"
    entry = {"policy": "MlpPolicy", "policy_kwargs": "dict(activation_fn=nn.ELU, net_arch=[8])"}
    ppo, _ = models.build("ppo", lambda: RobotEnv(world=SMALL), entry, seed=0)
    assert "ELU" in repr(ppo.policy)
