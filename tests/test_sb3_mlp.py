"""Do perceptrons stay in range by construction, and come nearer to the exact solution while they train?"""

import numpy as np
import pytest
import torch as th
from sb3_worlds import crowd_env, errors, exact, gate_env, uniform

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.grid import load_world
from empo_sb3 import EMPO
from empo_sb3.callbacks import ExactGap
from empo_sb3.empo.networks.base_policy import _clip
from empo_sb3.empo.networks.transforms import Identity, LogCost, LogShare, PowerMean, UnitInterval
from empo_sb3.empo.quantities import QUANTITIES

PACE = {"beta_r_rampup_steps": 200} | {f"warmup_{q}_steps": 200 for q in QUANTITIES}
SMALL = {"net_arch": [64, 64]}
BRISK = {**dict.fromkeys(PACE, 60), "beta_r_rampup_steps": 200} | {f"{q}_target_update_interval": 25 for q in QUANTITIES}
ALL = {"u_r_use_network": True, "v_r_use_network": True}


def test_a_perceptron_reaches_the_exact_solution_where_a_uniform_robot_is_far_off():
    gap = ExactGap(every=600)
    settings = {"seed": 0, "batch_size": 128, "policy_kwargs": SMALL, "beta_r": 100.0, **BRISK}
    model = EMPO("MlpPolicy", crowd_env(), **settings).learn(1200, gap)
    assert len(model.targets.live) <= 300
    right = exact(model)
    far, near = errors(uniform(model), right), errors(model.solution(), right)
    assert far["v_r"] > 0.15 and far["pi_r"] > 0.1
    assert all(near[q] < min(0.05, 0.25 * far[q]) for q in near), (near, far)
    judged = ("v_h_e_rmse", "pi_r_total_variation", "v_r_relative_at_start")
    first, *_, last = gap.history
    assert all(last[number] < 0.5 * first[number] for number in judged), gap.history


def test_values_are_in_range_whatever_the_weights():
    model = EMPO("MlpPolicy", crowd_env(), seed=0, **ALL)
    for net in model.policy.nets.values():
        th.nn.init.normal_(net.head.weight, std=30.0)
    live = model.targets.live
    values = {q: model.policy.evaluate(q, live) for q in QUANTITIES}
    for q in ("v_h_e", "x_h"):
        assert values[q].min() >= 0.0 and values[q].max() <= 1.0
    for q in ("u_r", "q_r", "v_r"):
        assert values[q].max() < 0.0
    assert all(np.isfinite(v).all() for v in values.values())
    assert np.isfinite(model.solution().pi_r[0, 0]).all()


@pytest.mark.parametrize("transform", [Identity(), LogCost(), LogCost(contrast=10.0), PowerMean(1.1)], ids=repr)
def test_a_transform_is_a_pair(transform):
    values = -th.logspace(-3, 6, 40, dtype=th.float64).reshape(10, 4)
    th.testing.assert_close(transform.invert(transform.apply(values)), values)


def test_the_logarithm_of_a_share_is_in_range_by_construction():
    shares = th.logspace(-5, 0, 20, dtype=th.float64)
    share = LogShare()
    th.testing.assert_close(share.invert(share.apply(shares)), shares)
    assert share.invert(share.bound(th.linspace(-1e3, 1e3, 50))).max() <= 1.0


def test_errors_of_q_r_count_where_the_policy_turns_on_them():
    def loss(wanted, found, beta_r):
        policy = EMPO("MlpPolicy", gate_env(), beta_r=beta_r, policy_kwargs={"net_arch": [8]}).policy
        return float(policy._losses("q_r", th.tensor([found]).log(), th.tensor([wanted]).log()).sum())

    near, far = [1.0, 1.0, 9.0], [1.0, 1.2, 9.0]
    assert loss(near, near, 50.0) == pytest.approx(0.0, abs=1e-6)
    assert loss(near, far, 50.0) > 10 * loss(near, far, 0.0) > 0
    # whether the worst action is nine or eleven times as bad is the same to the policy
    assert loss(near, [1.0, 1.0, 11.0], 50.0) == pytest.approx(loss(near, [1.0, 1.0, 11.0], 0.0), rel=1e-3)


@pytest.mark.parametrize(
    "transform", [UnitInterval(), LogShare(), LogCost(), LogCost(contrast=10.0), PowerMean(2.0)], ids=repr
)
def test_bound_maps_any_number_to_a_finite_value(transform):
    raw = th.tensor([-1e4, -30.0, 0.0, 30.0, 1e4])
    values = transform.invert(transform.bound(raw))
    assert th.isfinite(values).all()
    assert (values <= 1.0).all()


def test_contrast_enlarges_differences_between_actions_and_nothing_else():
    values = -th.tensor([[2.0, 2.2], [20.0, 22.0]], dtype=th.float64)
    plain, keen = LogCost().apply(values), LogCost(contrast=10.0).apply(values)
    th.testing.assert_close(keen.mean(dim=1), plain.mean(dim=1))
    th.testing.assert_close(keen.diff(dim=1), 10.0 * plain.diff(dim=1))


def test_other_coordinates_are_chosen_by_value():
    kwargs = {"transforms": {"q_r": PowerMean(1.1)}, "net_arch": [16]}
    model = EMPO("MlpPolicy", gate_env(), seed=0, policy_kwargs=kwargs, **PACE).learn(700)
    assert model.policy.nets["q_r"].transform == PowerMean(1.1)
    assert model.solution().q_r[0, 0].max() < 0.0


def test_a_perceptron_reads_planes_too():
    world = load_world({"map": "We We We We We\nWe Ay .. Ae We\nWe We We We We", "max_steps": 3, "actions": "compass"})
    env = RobotEnv(world, observation="planes")
    model = EMPO("MlpPolicy", env, seed=0, policy_kwargs={"net_arch": [16]}).learn(60)
    action, _ = model.predict(env.reset()[0], deterministic=True)
    assert env.action_space.contains(int(action))


def test_errors_are_added_over_outputs_and_averaged_over_the_batch():
    policy = EMPO("MlpPolicy", gate_env(), seed=0, max_grad_norm=None).policy
    net, pairs = policy.net("v_h_e"), np.array([0, 7, 12, 7])
    targets = np.linspace(0.1, 0.9, 4 * policy.sizes.n_outputs("v_h_e")).reshape(4, -1)
    policy.update(pairs, {"v_h_e": targets}, {}, {"v_h_e": 0.0})
    wanted = net.transform.apply(th.as_tensor(targets, dtype=th.float32))
    loss = ((net(policy.inputs_of(pairs)) - wanted) ** 2).sum(dim=1).mean()
    parameters = list(net.parameters())
    for parameter, gradient in zip(parameters, th.autograd.grad(loss, parameters), strict=True):
        th.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize(("limit", "factor"), [(26.0, 1.0), (13.0, 1.0), (6.5, 0.5)])
def test_gradients_dense_and_sparse_have_one_norm_that_is_bounded(limit, factor):
    dense, table = th.nn.Parameter(th.zeros(2)), th.nn.Embedding(3, 1, sparse=True)
    dense.grad = th.tensor([3.0, 4.0])
    table(th.tensor([1, 1])).sum().mul(6.0).backward()
    _clip([dense, table.weight], limit)
    th.testing.assert_close(dense.grad, factor * th.tensor([3.0, 4.0]))
    th.testing.assert_close(table.weight.grad.to_dense().flatten(), factor * th.tensor([0.0, 12.0, 0.0]))


@pytest.mark.parametrize(("beta_r", "sharpness"), [(7.0, 7.0), (100.0, 50.0)])
def test_errors_of_q_r_weigh_by_beta_r_up_to_a_bound(beta_r, sharpness):
    assert EMPO("MlpPolicy", gate_env(), beta_r=beta_r).policy.sharpness == sharpness
