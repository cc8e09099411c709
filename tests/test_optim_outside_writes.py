"""Does a tuner, which plays ``x = x_ref + S Delta``, keep what others write into the weights, whoever they are?"""

import copy

import numpy as np
import pytest
import torch
from imitation_worlds import Features, Side, learner
from stable_baselines3 import PPO
from test_diffusion_dppo import model_of
from test_diffusion_policies import shown
from test_optim_wrapper import train

from empo_sb3.diffusion import fit_chunks
from empo_sb3.imitation import clone, prefit_critic, record, transfer_features
from empo_sb3.optim import TRAC, Mechanic

BOTH = pytest.mark.parametrize("optimizer_class", [Mechanic, TRAC])


def options_of(optimizer_class):
    """Without the decay term, whose slope depends on the weights themselves."""
    return {"s_decay": 0.0} if optimizer_class is Mechanic else {}


def fresh(optimizer_class):
    kwargs = {"optimizer_class": optimizer_class, "optimizer_kwargs": options_of(optimizer_class)}
    return learner("PPO", Side(), Features, gamma=0.9, learning_rate=1.0, policy_kwargs=kwargs)


def tuned(optimizer_class):
    """PPO on a small task after some steps of its tuner."""
    return fresh(optimizer_class).learn(256)


def weights(policy):
    return [p.detach().clone() for p in policy.parameters()]


def step(policy):
    """One step of the policy's optimizer on fixed gradients."""
    generator = torch.Generator().manual_seed(3)
    for parameter in policy.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    policy.optimizer.step()


def assert_the_next_step_starts_from_what_was_written(model, other, write):
    """The step after the write moves the weights as it moves those of a twin into which nobody wrote."""
    policy, twin = model.policy, other.policy
    other.set_parameters(copy.deepcopy(model.get_parameters()))
    before = weights(policy)
    write()
    written = weights(policy)
    assert any(not torch.equal(a, b) for a, b in zip(before, written, strict=True))
    step(policy)
    step(twin)
    for start, end, old, alone in zip(written, policy.parameters(), before, twin.parameters(), strict=True):
        torch.testing.assert_close(end - start, alone - old, rtol=1e-3, atol=2e-6)


def demonstrations():
    return record(lambda observation: int(observation[0] > 0), Side(), 6, seed=0)


@torch.no_grad()
def clamp(model):
    for parameter in model.policy.parameters():
        parameter.clamp_(-0.05, 0.05)


def assign_data(model):
    for parameter in model.policy.parameters():
        parameter.data = parameter.data + 0.1


def write_into_data(model):
    for parameter in model.policy.parameters():
        parameter.data.mul_(0.9)


def load_weights(model):
    model.policy.load_state_dict(learner("PPO", Side(), Features).policy.state_dict())


def set_parameters(model):
    model.set_parameters({"policy": learner("PPO", Side(), Features).policy.state_dict()}, exact_match=False)


WRITERS = {
    "clone": lambda model: clone(model, demonstrations(), epochs=2, batch_size=8),
    "prefit_critic": lambda model: prefit_critic(model, demonstrations(), rounds=1, epochs=2, batch_size=8),
    "transfer_features": lambda model: transfer_features(learner("PPO", Side(), Features), model, verbose=0),
    "load_state_dict": load_weights,
    "set_parameters": set_parameters,
    "clamp": clamp,
    "assignment to .data": assign_data,
    "write into .data": write_into_data,
}


@BOTH
@pytest.mark.parametrize("writer", WRITERS)
def test_the_step_after_an_outside_write_starts_from_what_was_written(optimizer_class, writer):
    model = tuned(optimizer_class)
    write = WRITERS[writer]
    assert_the_next_step_starts_from_what_was_written(model, fresh(optimizer_class), lambda: write(model))


def diffusion(optimizer_class):
    kwargs = {"optimizer_class": optimizer_class, "optimizer_kwargs": options_of(optimizer_class)}
    return model_of(learning_rate=1.0, n_critic_only=0, n_epochs=1, policy_kwargs=kwargs)


@BOTH
@pytest.mark.parametrize("writer", ["fit_chunks", "critic warm-up"])
def test_a_diffusion_policy_keeps_what_was_fitted_between_two_steps(optimizer_class, writer):
    model = diffusion(optimizer_class).learn(256)

    def warm_up():
        model.policy.n_critic_fits.zero_()
        model.n_critic_only = 1
        model.train()

    def fit():
        fit_chunks(model.policy, shown(lambda x, rng: x), n_updates=5)

    write = fit if writer == "fit_chunks" else warm_up
    assert_the_next_step_starts_from_what_was_written(model, diffusion(optimizer_class), write)


def regression():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    x = torch.randn(64, 6)
    y = torch.sin(x @ torch.randn(6, 2))
    return net, lambda: torch.nn.functional.mse_loss(net(x), y)


@BOTH
def test_a_projection_after_every_step_does_not_stop_the_tuner(optimizer_class):
    """Weights that shrink a little after every step; with Delta set to zero each time, nothing would ever be learned."""
    net, loss_of = regression()
    optimizer, start = optimizer_class(net.parameters()), loss_of().item()
    for _ in range(400):
        train(optimizer, loss_of, 1)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(1.0 - 1e-4)
    assert loss_of().item() < 0.2 * start


@BOTH
@pytest.mark.parametrize(
    "event", ["write", "write, save, load", "write, shrink", "write without gradient", "write, bad gradient"]
)
def test_after_a_write_x_is_the_reference_plus_scaled_moves(optimizer_class, event):
    net, loss_of = regression()
    optimizer = optimizer_class(net.parameters())
    train(optimizer, loss_of, 60)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.25)
    if "shrink" in event:
        optimizer.shrink(0.5)
    if "save" in event:
        other, loss_of = regression()
        other.load_state_dict(net.state_dict())
        again = optimizer_class(other.parameters())
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        net, optimizer = other, again
    if "gradient" in event:
        bad = "bad" in event
        before = weights(net)
        for i, parameter in enumerate(net.parameters()):
            parameter.grad = (
                torch.full_like(parameter, np.nan) if bad and i == 0 else torch.zeros_like(parameter) if bad else None
            )
        optimizer.step()
        assert all(torch.equal(a, b) for a, b in zip(before, weights(net), strict=True))
    before = weights(net)
    train(optimizer, loss_of, 1)
    assert max((a - b).abs().max().item() for a, b in zip(before, weights(net), strict=True)) < 0.15
    s = optimizer.scales["all"]
    for parameter in net.parameters():
        state = optimizer.state[parameter]
        torch.testing.assert_close(parameter.detach(), state["x_ref"] + s * state["delta"], rtol=1e-6, atol=1e-6)


@BOTH
def test_a_write_of_the_same_numbers_changes_no_bit(optimizer_class):
    runs = []
    for write in (lambda p: None, lambda p: p.data.copy_(p.detach().clone()), lambda p: p.add_(0.0)):
        net, loss_of = regression()
        optimizer = optimizer_class(net.parameters())
        for _ in range(30):
            train(optimizer, loss_of, 1)
            with torch.no_grad():
                for parameter in net.parameters():
                    write(parameter)
        runs.append([*weights(net), *(state["x_ref"] for state in optimizer.state.values())])
    assert all(torch.equal(a, b) for other in runs[1:] for a, b in zip(runs[0], other, strict=True))


def test_the_saved_state_has_no_more_tensors_than_before():
    net, loss_of = regression()
    optimizer = Mechanic(net.parameters())
    train(optimizer, loss_of, 5)
    assert set(optimizer.state_dict()["state"][0]) == {"tuner", "x_ref", "delta", "scale"}


def test_weights_that_are_set_between_loading_and_the_first_step_are_kept(tmp_path):
    model = tuned(Mechanic)
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", env=Side(), device="cpu")
    assert_the_next_step_starts_from_what_was_written(loaded, fresh(Mechanic), lambda: load_weights(loaded))
