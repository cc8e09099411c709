"""Do the callbacks of stages and evaluation see, freeze and choose what they should?"""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch as th
from sb3_worlds import SHARP, SHORT, exact, gate_env
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from empo_sb3 import EMPO
from empo_sb3.callbacks import EmpoEvalCallback, WarmupMonitor, WarmupStages
from empo_sb3.empo.evaluation import play


def test_the_monitor_has_one_row_for_each_stage(capsys):
    monitor = WarmupMonitor(verbose=1)
    model = EMPO("TablePolicy", gate_env(), seed=0, **SHARP, **SHORT).learn(900, monitor)
    rows = monitor.history
    assert [row["stage"] for row in rows] == [0, 1, 3, 5, 6]
    assert [(row["start"], row["end"]) for row in rows] == [(0, 150), (150, 300), (300, 450), (450, 650), (650, 900)]
    assert rows[2]["beta_r"] == 0.0 and rows[-1]["beta_r"] == model.theory.beta_r
    assert set(rows[0]["losses"]) == {"v_h_e"} and set(rows[-1]["losses"]) == {"v_h_e", "x_h", "q_r"}
    assert capsys.readouterr().out.count("[WarmupMonitor]") == 5
    with pytest.raises(ValueError, match="watches EMPO, not PPO"):
        PPO("MlpPolicy", gate_env(), n_steps=8, batch_size=8).learn(8, WarmupMonitor())


def test_the_progress_bar_names_the_stage(capsys):
    pytest.importorskip("rich")
    EMPO("TablePolicy", gate_env(), seed=0, **SHARP, **SHORT).learn(700, progress_bar=True)
    shown = capsys.readouterr()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.out + shown.err)
    assert "full training" in text


class Parameters(BaseCallback):
    """Copies of all parameters at the start of each rollout."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def _on_step(self):
        return True

    def _on_rollout_start(self):
        self.seen.append((self.num_timesteps, {n: p.detach().clone() for n, p in self.model.policy.named_parameters()}))

    _on_training_end = _on_rollout_start


def moved(before, after):
    return {name for name in before if not th.equal(before[name], after[name])}


@pytest.mark.parametrize(
    ("algorithm", "keywords", "pattern"),
    [
        (PPO, {"n_steps": 32, "batch_size": 16, "n_epochs": 2}, "value_net*"),
        (A2C, {"n_steps": 16}, "value_net*"),
        (DQN, {"learning_starts": 0, "train_freq": 16, "target_update_interval": 10**6}, "q_net.q_net.2*"),
        (SAC, {"learning_starts": 0, "train_freq": 16, "tau": 0.0}, "critic.*"),
    ],
    ids=lambda a: getattr(a, "__name__", None),
)
def test_only_the_named_parameters_train_in_a_stage_and_all_afterwards(algorithm, keywords, pattern):
    env = "Pendulum-v1" if algorithm is SAC else gate_env()
    model, watch = algorithm("MlpPolicy", env, seed=0, **keywords), Parameters()
    stages = WarmupStages([(64, [pattern])])
    model.learn(160, [stages, watch])
    # the training after a rollout happens when its steps are counted, so the one that ends at step 64 is free
    early = next(p for n, p in watch.seen if n == 48 or (n == 32 and algorithm is PPO))
    first, last = watch.seen[0][1], watch.seen[-1][1]
    trained = {name for name in first if re.match(pattern.replace(".", r"\.").replace("*", ".*"), name)}
    assert moved(first, early) and moved(first, early) <= trained
    assert moved(early, last) > trained - {n for n in trained if "target" in n}
    assert stages.stage == 1


def test_stages_leave_no_hooks_and_name_wrong_patterns():
    model = PPO("MlpPolicy", gate_env(), seed=0, n_steps=16, batch_size=8, n_epochs=1)
    model.learn(16, WarmupStages([(100, ["value_net*"])]))
    assert not model.policy.optimizer._optimizer_step_pre_hooks
    with pytest.raises(ValueError, match=r"no parameter is 'critic\.\*'; their names begin with .*mlp_extractor"):
        model.learn(16, WarmupStages([(100, ["critic.*"])]))
    with pytest.raises(ValueError, match=">= 1"):
        WarmupStages([(0, ["*"])])


def test_the_best_model_is_kept_by_attainment_then_power(tmp_path):
    chosen = EmpoEvalCallback(gate_env(), every=300, n_episodes=40, best_model_save_path=tmp_path, deterministic=True)
    model = EMPO("TablePolicy", gate_env(), seed=0, **SHARP, **SHORT).learn(1200, chosen)
    rows = chosen.history
    assert [row["step"] for row in rows] == [300, 600, 900, 1200]
    assert chosen.best == max((row["attainment"], row["power"]) for row in rows)
    assert rows[-1]["attainment"] > 0.5 and rows[-1]["power"] <= -1.0
    best = EMPO.load(tmp_path / "best_model.zip", env=gate_env())
    assert 0 < best._n_updates <= model._n_updates


def test_a_caring_robot_scores_higher_than_a_uniform_one():
    env = gate_env()
    caring = EMPO("TablePolicy", env, seed=0, **SHARP, **SHORT).learn(1500)
    careless = EMPO("TablePolicy", gate_env(), seed=0, beta_r=0.0)
    envs, right = DummyVecEnv([gate_env] * 3), exact(caring)
    envs.seed(3)
    attained = [play(model, envs, 200, right) for model in (caring, careless)]
    assert attained[0][0] > attained[1][0] + 0.05 and attained[0][1] > attained[1][1]


def test_any_algorithm_on_an_empo_environment_is_evaluated(tmp_path):
    chosen = EmpoEvalCallback(gate_env(), every=32, n_episodes=5, best_model_save_path=tmp_path)
    PPO("MlpPolicy", gate_env(), n_steps=32, batch_size=16, n_epochs=1, seed=0).learn(64, chosen)
    assert len(chosen.history) == 2 and np.isnan(chosen.history[0]["power"])
    assert (tmp_path / "best_model.zip").exists()
    with pytest.raises(ValueError, match="every"):
        EmpoEvalCallback(gate_env(), every=0)


def test_the_example_compares_ppo_paid_by_power_with_empo(capsys):
    path = Path(__file__).parent.parent / "examples" / "ppo_on_power.py"
    runpy.run_path(str(path))["main"](n_steps=500, n_episodes=20)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["random", "PPO", "EMPO"]
    assert all(0.0 <= float(row[-2]) <= 1.0 and float(row[-1]) <= -1.0 for row in rows)
