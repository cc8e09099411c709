"""What a long or a large run needs: all states seen, sleeping units told, compiled networks, any device."""

import numpy as np
import pytest
import torch as th
from sb3_worlds import SHORT, gate_env
from stable_baselines3.common.logger import KVWriter, Logger

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.model.pair_index import CAPACITY
from empo_gym.worlds.chain import ChainWorld
from empo_sb3 import EMPO
from empo_sb3.empo.networks.base_policy import dormant_units


def large_env():
    """A walker on eight cells and five gates: 256 states."""
    return RobotEnv(ChainWorld(length=8, horizon=10, starts=(0,), gates=(1, 2, 3, 5, 6), gates_open=False))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_all_states_of_a_world_with_256_are_visited(seed):
    rarely = {"train_freq": 4, "batch_size": 4, "warmup_v_h_e_steps": 10_000}
    model = EMPO("TablePolicy", large_env(), seed=seed, exploring_starts=1.0, **rarely).learn(5000)
    visits = model.visits.counts.reshape(model.sizes.horizon, -1).sum(axis=0)
    assert len(visits) == 256 and (visits > 0).all()


@pytest.mark.slow
def test_nearly_all_of_them_are_visited_where_they_are_not_known_beforehand():
    keywords = {"world_model": "growing", "policy_kwargs": {"net_arch": (16,)}, "batch_size": 8}
    model = EMPO("MlpPolicy", large_env(), seed=0, warmup_v_h_e_steps=100_000, **keywords).learn(12_000)
    assert len(np.unique(model.visits.pairs % CAPACITY)) > 0.9 * 256


def test_units_that_sleep_are_counted():
    net = th.nn.Sequential(th.nn.Linear(3, 4), th.nn.ReLU(), th.nn.Linear(4, 1))
    with th.no_grad():
        net[0].weight[:], net[0].bias[:] = 0.0, th.tensor([1.0, 2.0, -1.0, -5.0])
    assert dormant_units(net, th.ones(6, 3)) == 0.5
    assert dormant_units(th.nn.Linear(3, 1), th.ones(6, 3)) is None


class Rows(KVWriter):
    def __init__(self):
        self.rows = []

    def write(self, key_values, key_excluded, step=0):
        self.rows.append(dict(key_values))

    def close(self):
        pass


@pytest.mark.parametrize("policy", ["TablePolicy", "MlpPolicy"])
def test_what_was_predicted_wanted_and_how_steep_it_is_are_logged(policy):
    writer, model = Rows(), EMPO(policy, gate_env(), seed=0, **SHORT)
    model.set_logger(Logger(None, [writer]))
    model.learn(700, log_interval=1)
    logged = {name for row in writer.rows for name in row}
    kinds = {"loss", "prediction", "target", "grad_norm", "irreducible_variance"} | (
        {"dormant_units"} if policy == "MlpPolicy" else set()
    )
    assert logged >= {f"train/{q}_{kind}" for q in ("v_h_e", "x_h", "q_r") for kind in kinds} | {"train/visited_states"}
    assert (policy == "MlpPolicy") == any("dormant" in name for name in logged)
    shares = [row[name] for row in writer.rows for name in row if "dormant" in name]
    assert all(0.0 <= share <= 1.0 for share in shares)


@pytest.mark.parametrize("kind", ["packed", "growing"])
def test_networks_may_be_compiled(kind):
    """By the backend that needs no compiler; whether it is faster is another question."""
    weights = []
    for options in (None, {"backend": "eager"}):
        policy = {"net_arch": (8,), "compile_options": options}
        model = EMPO("MlpPolicy", gate_env(), seed=0, world_model=kind, policy_kwargs=policy, **SHORT).learn(30)
        weights.append(th.cat([p.detach().flatten() for p in model.policy.parameters()]))
    th.testing.assert_close(*weights)


def test_the_device_is_a_choice():
    assert EMPO("MlpPolicy", gate_env(), device="cpu").policy.device.type == "cpu"
    if not th.cuda.is_available():
        assert EMPO("MlpPolicy", gate_env(), device="auto").policy.device.type == "cpu"


@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["packed", "growing"])
def test_a_gpu_learns_too(kind):
    model = EMPO("MlpPolicy", gate_env(), seed=0, world_model=kind, device="cuda", **SHORT).learn(700)
    assert model.policy.device.type == "cuda" and np.isfinite(model.solution().v_r).all()
