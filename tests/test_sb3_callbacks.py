"""What does a run say about itself?"""

import itertools

import numpy as np
import pytest
from sb3_worlds import SHARP, SHORT, exact, gate_env
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from empo_sb3 import EMPO
from empo_sb3.callbacks import ExactGap
from empo_sb3.empo.timeline import networks_mask


class Tape(Logger):
    """A logger that remembers every dump."""

    def __init__(self):
        super().__init__(folder=None, output_formats=[])
        self.rows = []

    def dump(self, step=0):
        self.rows.append(dict(self.name_to_value))
        super().dump(step)


def run(n_steps, callback=None, **keywords):
    model = EMPO("TablePolicy", gate_env(), seed=0, **{**SHARP, **SHORT, **keywords})
    tape = Tape()
    model.set_logger(tape)
    model.learn(n_steps, callback, log_interval=1)
    return model, tape.rows


def test_the_gap_is_logged_and_closes():
    gap = ExactGap(every=500)
    _, rows = run(1600, gap)
    steps = [row["step"] for row in gap.history]
    assert steps[0] == 0 and steps[-1] == 1600
    assert all(500 <= b - a < 520 for a, b in itertools.pairwise(steps[:-1]))
    names = {name for row in rows for name in row if name.startswith("gap/")}
    assert names >= {f"gap/{q}" for q in ("v_h_e", "x_h", "u_r", "q_r", "v_r", "pi_r")}
    assert names >= {"gap/v_h_e_rmse", "gap/pi_r_total_variation", "gap/v_r_relative_at_start"}
    first, last = gap.history[0], gap.history[-1]
    assert all(last[name] < 1e-6 < first[name] for name in first if name != "step")


def test_a_given_exact_solution_is_used():
    right = exact(EMPO("TablePolicy", gate_env(), **SHARP))
    gap = ExactGap(every=50, exact=right)
    run(60, gap)
    assert gap.exact is right


def test_the_gap_is_printed_on_request(capsys):
    run(20, ExactGap(every=1000, verbose=1))
    assert "[ExactGap] step 0: v_h_e_rmse" in capsys.readouterr().out


def test_the_gap_watches_only_empo():
    with pytest.raises(ValueError, match="watches EMPO, not PPO"):
        PPO("MlpPolicy", gate_env(), n_steps=8, batch_size=8).learn(8, ExactGap())


def test_the_warmup_is_logged_under_its_keys():
    model, rows = run(900)
    config = model.config
    for row in rows:
        step = row["train/n_updates"]
        stage = config.get_stage(step)
        assert row["Warmup/stage"] == stage.number
        assert row["Warmup/effective_beta_r"] == config.get_effective_beta_r(step)
        assert row["Warmup/is_warmup"] == float(config.is_in_warmup(step))
        assert row["Warmup/active_networks_mask"] == networks_mask(stage.networks)
        assert row["LearningRate/q_r"] == config.get_learning_rate("q_r", step)
        trained = config.get_active_networks(step - 1)
        assert {q for q in ("v_h_e", "x_h", "q_r") if f"train/{q}_loss" in row} >= trained
    assert {row["Warmup/stage"] for row in rows} == {0, 1, 3, 5, 6}
    transitions = [row["Warmup/stage_transition"] for row in rows]
    assert set(transitions) == {0.0, 1.0}
    assert sum(transitions) == 4


def test_stage_transitions_are_printed(capsys):
    run(900, verbose=1)
    out = capsys.readouterr().out
    assert "[Warmup] Starting in stage 0: V_h^e only (active networks: v_h_e)" in out
    assert "[Warmup] Stage transition at step 150, " in out
    assert "V_h^e only -> V_h^e + X_h" in out
    assert "beta_r ramp -> full training" in out
    assert out.count("Cleared replay buffer") == 2


def test_replay_is_cleared_at_both_ends_of_the_ramp():
    sizes = {}

    class Watch(BaseCallback):
        def _on_step(self):
            sizes[self.model._n_updates] = self.model.replay_buffer.n_stored()
            return True

    run(900, Watch())
    grows = [step for step in sorted(sizes) if step and sizes[step] <= sizes[step - 1]]
    assert grows == [451, 651], "training starts the ramp at 450 and ends it at 650"


def test_tensorboard_files_are_written(tmp_path):
    pytest.importorskip("tensorboard")
    EMPO("TablePolicy", gate_env(), tensorboard_log=str(tmp_path), **SHORT).learn(40)
    assert list(tmp_path.glob("EMPO_1/events*"))


@pytest.mark.parametrize("epsilon", [0.0, 0.4, 1.0])
def test_the_robot_acts_at_random_with_probability_epsilon(epsilon):
    rates = {"epsilon_r_start": epsilon, "epsilon_r_end": epsilon}
    model = EMPO("TablePolicy", gate_env(), seed=0, beta_r=np.inf, **rates, **SHORT).learn(900)
    pi_r = model.solution().pi_r.reshape(-1, 2)
    certain = int(np.flatnonzero(pi_r[:, 0] == 1.0)[0])
    model._pairs = np.full(3000, certain)
    actions, _ = model._sample_action(learning_starts=0, n_envs=3000)
    assert abs(np.mean(actions == 1) - epsilon / 2) < 0.03
