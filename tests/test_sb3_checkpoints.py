"""Is a resumed run the run that was never interrupted?"""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch as th
from sb3_worlds import SHARP, SHORT, crowd_env, gate_env
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from empo_sb3 import EMPO
from empo_sb3.callbacks import Checkpoints

N_STEPS = 680


class SaveAt(BaseCallback):
    """Asks for a checkpoint in the middle of a step."""

    def __init__(self, folder, step):
        super().__init__()
        self.folder, self.step = folder, step

    def _on_step(self):
        if self.num_timesteps == self.step:
            self.model.save_checkpoint(self.folder)
        return True


class Follow(BaseCallback):
    """Remembers where the environments went and what they were paid."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def _on_step(self):
        paid = [info.get("episode", {}).get("r") for info in self.locals["infos"]]
        self.rows.append((self.num_timesteps, self.model._pairs.tolist(), paid))
        return True


def make(policy, envs, **keywords):
    return EMPO(policy, envs, seed=4, lr_constant_fraction=0.3, use_sqrt_lr_decay=True, **SHARP, **SHORT, **keywords)


def assert_same(a, b):
    for (name, x), y in zip(a.policy.state_dict().items(), b.policy.state_dict().values(), strict=True):
        assert th.equal(x, y), name
    for x, y in zip(
        itertools.chain(*(s.values() for s in a.policy.optimizer.state_dict()["state"].values())),
        itertools.chain(*(s.values() for s in b.policy.optimizer.state_dict()["state"].values())),
        strict=True,
    ):
        assert th.equal(x, y)
    assert np.array_equal(a.replay_buffer.pairs, b.replay_buffer.pairs)
    assert np.array_equal(a.visits.counts, b.visits.counts)
    assert all(np.array_equal(a.values[q], b.values[q]) for q in a.values)
    assert (a._n_updates, a.num_timesteps, a._episode_num) == (b._n_updates, b.num_timesteps, b._episode_num)


@pytest.mark.parametrize(("policy", "step"), [("TablePolicy", 123), ("MlpPolicy", 480)])
def test_a_resumed_run_is_bit_equal_to_an_uninterrupted_one(policy, step, tmp_path):
    whole, rest = Follow(), Follow()
    straight = make(policy, crowd_env()).learn(N_STEPS, [SaveAt(tmp_path, step), whole])
    np.random.seed(99)
    resumed = EMPO.resume(tmp_path, crowd_env())
    assert resumed.num_timesteps == step
    resumed.learn(N_STEPS, rest)
    assert rest.rows == whole.rows[step:]
    assert_same(straight, resumed)


def test_a_callback_writes_checkpoints_as_often_as_told(tmp_path):
    written = []

    class Watch(BaseCallback):
        def _on_step(self):
            path = tmp_path / "deep" / "checkpoint.zip"
            stamp = path.stat().st_mtime_ns if path.exists() else None
            if stamp not in written:
                written.append(stamp)
            return True

    make("TablePolicy", gate_env()).learn(250, [Checkpoints(tmp_path / "deep", every=100), Watch()])
    assert len(written) == 3, "none, at 100, at 200"
    assert EMPO.resume(tmp_path / "deep", gate_env())._n_updates == 250, "and one at the end"
    with pytest.raises(ValueError, match="every"):
        Checkpoints(tmp_path, every=0)


def test_the_rest_of_a_run_may_be_counted_as_sb3_does(tmp_path):
    straight = make("TablePolicy", gate_env()).learn(N_STEPS, SaveAt(tmp_path, 300))
    resumed = EMPO.resume(tmp_path, gate_env()).learn(N_STEPS - 300, reset_num_timesteps=False)
    assert_same(straight, resumed)


def test_several_environments_and_rarer_training_resume_too(tmp_path):
    def envs():
        return DummyVecEnv([gate_env] * 3)

    pace = {"train_freq": 4, "gradient_steps": 5}
    straight = make("TablePolicy", envs(), **pace).learn(960, SaveAt(tmp_path, 330))
    resumed = EMPO.resume(tmp_path, envs())
    assert resumed.num_timesteps == 336, "the rollout of 4 x 3 steps is finished first"
    assert_same(straight, resumed.learn(960))
    with pytest.raises(ValueError, match="of 3 environments, not 1"):
        EMPO.resume(tmp_path, gate_env())


def test_a_checkpoint_between_two_calls_of_learn(tmp_path):
    model = make("TablePolicy", gate_env()).learn(200)
    model.save_checkpoint(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.zip"]
    model.learn(100, reset_num_timesteps=False)
    assert_same(model, EMPO.resume(tmp_path, gate_env()).learn(100, reset_num_timesteps=False))


def test_a_resumed_run_that_was_finished_has_nothing_left_to_do(tmp_path):
    make("TablePolicy", gate_env()).learn(200).save_checkpoint(tmp_path)
    assert EMPO.resume(tmp_path, gate_env()).learn(200)._n_updates == 200


def test_a_damaged_or_missing_checkpoint_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError):
        EMPO.resume(tmp_path, gate_env())
    make("TablePolicy", gate_env()).save_checkpoint(tmp_path)
    path = tmp_path / "checkpoint.zip"
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ValueError, match=r"checkpoint\.zip is not a complete checkpoint"):
        EMPO.resume(tmp_path, gate_env())


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from test_sb3_checkpoints import SaveAt, gate_env, make
from stable_baselines3.common.callbacks import BaseCallback

class Die(BaseCallback):
    def _on_step(self):
        if self.num_timesteps == 400:
            self.model.policy.optimizer = None
            os.kill(os.getpid(), signal.SIGKILL)
        return True

make("TablePolicy", gate_env()).learn(680, [SaveAt(sys.argv[1], 150), SaveAt(sys.argv[1], 350), Die()])
"""


def test_a_run_that_is_killed_resumes_from_its_last_checkpoint(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    resumed = EMPO.resume(tmp_path, gate_env())
    assert resumed.num_timesteps == 350
    assert_same(make("TablePolicy", gate_env()).learn(N_STEPS), resumed.learn(N_STEPS))
