"""Do networks read what they are given, in every shape it comes in?"""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_worlds import SHORT, crowd_env, errors, exact, gate_env

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.grid import load_world
from empo_sb3 import EMPO
from empo_sb3.common.encoders import PlaneCode, TimeCode
from empo_sb3.empo.networks.quantity_network import WorldSizes
from empo_sb3.empo.networks.transforms import PowerMean
from empo_sb3.wrappers.multi_view import MultiView

MAP = {"map": "We We We We We\nWe Ay .. Ae We\nWe .. We .. We\nWe We We We We", "max_steps": 4, "actions": "compass"}
SMALL = {"net_arch": [32]}
QUICK = {"beta_r_rampup_steps": 60} | {f"warmup_{q}_steps": 60 for q in ("v_h_e", "x_h", "q_r")}


def door_env(observation="planes"):
    return RobotEnv(load_world(MAP), observation=observation)


@pytest.mark.parametrize(
    ("policy", "make_env"),
    [
        ("CnnPolicy", door_env),
        pytest.param("MultiInputPolicy", lambda: MultiView(door_env("features")), marks=pytest.mark.slow),
    ],
    ids=["planes", "planes and features"],
)
def test_planes_are_learned_from_saved_and_acted_on(policy, make_env, tmp_path):
    model = EMPO(policy, make_env(), seed=0, policy_kwargs={**SMALL, "channels": [8]}, **QUICK)
    far = errors(model.solution(), exact(model))
    near = errors(model.learn(300).solution(), exact(model))
    assert near["v_h_e"] < 0.5 * far["v_h_e"], (near, far)
    model.save(tmp_path / "m")
    loaded, obs = EMPO.load(tmp_path / "m", env=make_env()), make_env().reset()[0]
    assert model.predict(obs, deterministic=True)[0] == loaded.predict(obs, deterministic=True)[0]
    assert model.solution().compare(loaded.solution())["q_r"]["largest"] == 0.0


def test_the_wrong_kind_of_observation_is_an_error():
    with pytest.raises(ValueError, match='observation="planes"'):
        EMPO("CnnPolicy", gate_env())
    with pytest.raises(ValueError, match="Dict"):
        EMPO("MultiInputPolicy", gate_env())
    with pytest.raises(ValueError, match="MultiView: kinds are some of"):
        MultiView(gate_env(), ("smells",))


def test_time_is_shown_as_one_unit_for_each_step():
    seen = TimeCode(4)(th.tensor([[9.0, 0.0], [8.0, 0.75], [7.0, 0.25]]))
    assert seen.tolist() == [[9, 0, 1, 0, 0, 0], [8, 0.75, 0, 0, 0, 1], [7, 0.25, 0, 1, 0, 0]]
    env = gate_env()
    for t in range(env.world.horizon):
        obs, _ = env.reset(options={"t": t, "state": env.world.initial_state()})
        coded = TimeCode(env.world.horizon)(th.as_tensor(obs)[None])
        assert coded[0, len(obs) :].argmax() == t, "the time is the last feature"


def test_planes_of_category_numbers_become_planes_of_categories():
    space = spaces.Box(0, np.broadcast_to(np.array([2.0, 1.0, 1.0], dtype=np.float32), (2, 2, 3)), dtype=np.float32)
    code = PlaneCode(space)
    planes = th.tensor(space.sample()).round()[None]
    coded = code(planes)
    assert coded.shape == (1, 3 + 2 + 1, 2, 2) and code.n_channels == 6
    assert th.equal(coded[0, :3].argmax(dim=0), planes[0, ..., 0].long())
    assert th.equal(coded[0, 5], planes[0, ..., 2])
    assert (coded[0, :5].sum(dim=0) == 2).all()


@pytest.mark.parametrize(
    "kwargs",
    [{"share_encoder": True}, {"goals_as_inputs": True}, pytest.param({"time_code": False}, marks=pytest.mark.slow)],
    ids=str,
)
def test_variants_of_the_perceptron_learn_too(kwargs, tmp_path):
    model = EMPO("MlpPolicy", crowd_env(), seed=0, policy_kwargs={**SMALL, **kwargs}, beta_r=30.0, **QUICK)
    far = errors(model.solution(), exact(model))
    near = errors(model.learn(500).solution(), exact(model))
    assert near["v_h_e"] < 0.7 * far["v_h_e"] and near["v_r"] < 0.5 * far["v_r"], (near, far)
    model.policy.save(tmp_path / "p.pt")
    alone = type(model.policy).load(tmp_path / "p.pt")
    obs = crowd_env().reset()[0]
    assert model.predict(obs, deterministic=True)[0] == alone.predict(obs, deterministic=True)[0]


def test_a_shared_encoder_is_one_and_trains_with_whatever_trains():
    model = EMPO("MlpPolicy", gate_env(), seed=0, policy_kwargs={**SMALL, "share_encoder": True}, **SHORT)
    policy = model.policy
    assert policy.shares_encoder
    assert len({id(net.encoder) for net in policy.nets.values()}) == 1
    assert [g["name"] for g in policy.optimizer.param_groups] == ["encoder", "v_h_e", "x_h", "q_r"]
    ids = [id(p) for g in policy.optimizer.param_groups for p in g["params"]]
    assert len(ids) == len(set(ids)) == len(list(policy.nets.parameters()))
    before = {k: v.clone() for k, v in policy.nets.state_dict().items()}
    model.learn(100)
    moved = {k for k, v in policy.nets.state_dict().items() if not th.equal(v, before[k])}
    assert any(k.startswith("v_h_e.encoder") for k in moved) and any(k.startswith("v_h_e.head") for k in moved)
    assert not any(k.startswith(("q_r.head", "x_h.head")) for k in moved)


def test_goals_as_inputs_tell_all_goals_of_all_humans_apart():
    sizes = WorldSizes.of(crowd_env().model)
    assert len(sizes.goal_features) == sum(sizes.n_goals) == len(set(sizes.goal_features))


def test_in_z_space_targets_lie_in_the_unit_interval_and_are_checked():
    env = crowd_env(theory={"gamma_r": 0.9, "eta": 1.2})
    theory = env.theory
    transform = PowerMean.of_robot_q(theory)
    assert transform == PowerMean(theory.eta * theory.xi, 0.9)
    solution = exact(EMPO("TablePolicy", env))
    q_r = th.as_tensor(solution.q_r[:-1][solution.model.reachable_pairs()[:-2]])
    z = transform.apply(q_r)
    assert 0.0 < z.min() < 0.6 and z.max() <= 1.0 + 1e-12
    kwargs = {"policy_kwargs": {**SMALL, "transforms": {"q_r": transform}}}
    model = EMPO("MlpPolicy", crowd_env(theory=theory), seed=0, **kwargs, **QUICK).learn(500)
    assert errors(model.solution(), exact(model))["v_r"] < 0.2
    wrong = {"policy_kwargs": {**SMALL, "transforms": {"q_r": PowerMean(1.2, 50.0)}}}
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
        EMPO("MlpPolicy", crowd_env(), seed=0, **wrong, **QUICK).learn(400)
