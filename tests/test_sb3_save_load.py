"""Is a saved model the same model, and is a damaged file refused in one sentence?"""

import numpy as np
import pytest
import torch as th
from sb3_worlds import SHARP, SHORT, crowd_env, errors, exact, gate_env

from empo_sb3 import EMPO
from empo_sb3.empo.networks.policies import MlpPolicy, TablePolicy

POLICIES = {"TablePolicy": TablePolicy, "MlpPolicy": MlpPolicy}


def observations(env, n=30):
    """What a random robot sees, and the pair numbers behind it."""
    seen = []
    obs, _ = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(n):
        seen.append(obs)
        obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            obs, _ = env.reset()
    return np.array(seen)


@pytest.fixture(params=POLICIES)
def trained(request):
    return EMPO(request.param, gate_env(), seed=3, **SHARP, **SHORT).learn(800)


def test_a_loaded_model_predicts_the_same_bits(trained, tmp_path):
    trained.save(tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model.zip"]
    loaded = EMPO.load(tmp_path / "model")
    obs = observations(gate_env())
    pi_r = [m.policy.robot_policy(m.policy.encode(th.as_tensor(obs))) for m in (trained, loaded)]
    assert th.equal(*pi_r)
    assert pi_r[0].std() > 0.01, "a uniform policy would prove nothing"
    assert np.array_equal(trained.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0])


def test_a_loaded_model_gives_the_same_solution_and_learns_on(trained, tmp_path):
    trained.save(tmp_path / "model.zip")
    loaded = EMPO.load(tmp_path / "model.zip", env=gate_env())
    before = trained.solution()
    gaps = before.compare(loaded.solution())
    assert all(numbers["largest"] == 0.0 for numbers in gaps.values())
    assert (loaded.theory, loaded.config, loaded._n_updates) == (trained.theory, trained.config, 800)
    loaded.learn(800, reset_num_timesteps=False)
    right = exact(loaded)
    assert loaded._n_updates == 1600 == loaded.config.total_steps
    assert errors(loaded.solution(), right)["v_h_e"] < errors(before, right)["v_h_e"]


def test_the_optimizer_is_saved_too(tmp_path):
    model = EMPO("MlpPolicy", gate_env(), seed=0, **SHORT).learn(400)
    model.save(tmp_path / "model")
    state, loaded = (m.policy.optimizer.state_dict() for m in (model, EMPO.load(tmp_path / "model")))
    assert [g["name"] for g in loaded["param_groups"]] == ["v_h_e", "x_h", "q_r"]
    assert all(th.equal(state["state"][i]["exp_avg"], loaded["state"][i]["exp_avg"]) for i in state["state"])


def test_the_replay_buffer_is_saved_on_request(tmp_path):
    model = EMPO("TablePolicy", gate_env(), seed=0, **SHORT).learn(100)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "replay")
    loaded = EMPO.load(tmp_path / "model", env=gate_env())
    assert loaded.replay_buffer.n_stored() == 0
    loaded.load_replay_buffer(tmp_path / "replay")
    assert loaded.replay_buffer.n_stored() == 100
    assert np.array_equal(loaded.replay_buffer.pairs, model.replay_buffer.pairs)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_saved_alone(name, tmp_path):
    model = EMPO(name, gate_env(), seed=0, **SHARP, **SHORT).learn(800)
    model.policy.save(tmp_path / "policy.pt")
    alone = POLICIES[name].load(tmp_path / "policy.pt")
    obs = observations(gate_env())
    assert np.array_equal(model.predict(obs, deterministic=True)[0], alone.predict(obs, deterministic=True)[0])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_zip_that_is_cut_off_is_refused_in_one_sentence(share, tmp_path):
    path = tmp_path / "model.zip"
    EMPO("TablePolicy", gate_env()).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"model\.zip is not a complete EMPO model.*save it again$"):
        EMPO.load(path)


def test_damaged_bytes_in_the_middle_are_refused_too(tmp_path):
    path = tmp_path / "model.zip"
    EMPO("TablePolicy", gate_env()).save(path)
    damaged = bytearray(path.read_bytes())
    damaged[200:2000] = bytes(1800)
    path.write_bytes(bytes(damaged))
    with pytest.raises(ValueError, match="is not a complete EMPO model"):
        EMPO.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        EMPO.load(tmp_path / "nowhere.zip")


def test_a_model_refuses_another_world(tmp_path):
    path = tmp_path / "model.zip"
    EMPO("TablePolicy", gate_env()).save(path)
    with pytest.raises(ValueError, match=r"spaces do not match|was made for a world"):
        EMPO.load(path, env=crowd_env())
