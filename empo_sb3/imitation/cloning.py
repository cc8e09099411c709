"""Behavior cloning of any policy of Stable-Baselines3, and a critic that knows what the clone is worth.

What trains is what the loss reaches: the actor with its features for :func:`clone`, and for :func:`prefit_critic` what only
the critic uses, so that the actor stays bit for bit what it was. A share of the episodes is held back; the parameters that
did best on it are kept.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from tqdm import tqdm

from empo_sb3.common import ranges
from empo_sb3.imitation.batches import Batch, batch_of, order_of, with_last
from empo_sb3.imitation.dataset import Observations, Steps, named, take
from empo_sb3.imitation.losses import Kind, actor_loss, value_function
from empo_sb3.imitation.record import normalizer

Evaluate = Callable[[np.ndarray], th.Tensor]
"""From rows of the demonstrations to their mean loss."""


@dataclass
class Fit:
    """
    How a fit went.

    :param train_losses: mean loss of each epoch
    :param validation_losses: after each epoch, on the episodes held back
    :param best_epoch: the one whose parameters were kept, from 1; 0 for those before the fit
    :param names: parameters that were trained
    :param ended: ``"epochs"``, ``"patience"`` or ``"interrupted"``
    """

    train_losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    best_epoch: int = 0
    names: tuple[str, ...] = ()
    ended: str = "epochs"

    @property
    def best_loss(self) -> float:
        """The smallest loss on the episodes held back."""
        return min(self.validation_losses, default=math.nan)

    def __str__(self) -> str:
        done = f"{len(self.train_losses)} epochs ({self.ended})"
        return f"{done}, best {self.best_loss:.4g} after epoch {self.best_epoch}, {len(self.names)} parameter tensors"


@dataclass(frozen=True)
class Recipe:
    """
    How long and how fast to fit.

    :param epochs: passes through the demonstrations, at most
    :param batch_size: rows; a policy with memory takes whole episodes of about as many rows together
    :param learning_rate: of Adam
    :param validation_share: of the episodes, at least one; 0 holds none back and keeps the last parameters
    :param patience: epochs without a better validation loss after which to stop; ``None`` for never
    :param max_grad_norm: bound of the gradient's norm
    :param seed: of the split and the order
    :param progress_bar: shows one
    :raises ValueError: for a number out of range
    """

    epochs: Annotated[int, ranges.REPEATS] = 100
    batch_size: ranges.Count = 256
    learning_rate: ranges.Positive = 1e-3
    validation_share: Annotated[float, ranges.real("[0, 1)")] = 0.1
    patience: Annotated[int | None, ranges.optional(ranges.COUNT)] = 10
    max_grad_norm: Annotated[float, ranges.BOUND] = 1.0
    seed: Annotated[int, ranges.SEED] = 0
    progress_bar: ranges.Flag = False

    def __post_init__(self) -> None:
        ranges.check_fields(self, "a fit")
        if self.patience is not None and self.validation_share == 0:
            raise ValueError("a fit: patience needs a validation_share above 0; None switches it off")


def clone(learner: Any, demonstrations: Steps, *, loss: Kind = "nll", **recipe: Any) -> Fit:
    """
    Train the actor and its features to do what was demonstrated. Ctrl-C ends it and keeps the best parameters so far.

    :param learner: a model of Stable-Baselines3, or its policy
    :param demonstrations: as :func:`~empo_sb3.imitation.record` makes them
    :param loss: ``"nll"``, or ``"mse"`` of the most likely action
    :param recipe: fields of :class:`Recipe`
    :raises ValueError: for a policy that cannot be cloned, or demonstrations that do not fit it
    """
    policy = policy_of(learner)
    measure = actor_loss(policy, loss)
    observations = normalizer(learner)(demonstrations.observations)
    _check(policy, observations, demonstrations.actions, "clone")

    def evaluate(rows: np.ndarray) -> th.Tensor:
        return measure(batch_of(policy, observations, demonstrations.starts, rows), demonstrations.actions[rows])

    episodes = _Episodes.split(policy, demonstrations.starts, Recipe(**recipe))
    fit = _fit(policy, _reached(policy, evaluate, episodes.some()), evaluate, episodes)
    _follow(policy)
    return fit


def prefit_critic(model: BaseAlgorithm, demonstrations: Steps, *, rounds: int = 4, **recipe: Any) -> Fit:
    """
    Train the critic on discounted returns while the actor stays as it is; features that both use stay too.

    Record the episodes with the policy whose value is wanted: ``record(model, env, 20, deterministic=False)``. Where ``last``
    is known, episodes that were cut off go on with the critic's own value of it, as in Stable-Baselines3; so the fit is done
    in rounds, each with the values that the one before it found.

    :param model: PPO, A2C or RecurrentPPO, whose ``gamma`` counts
    :param demonstrations: with the rewards that the model is to earn
    :param rounds: how often; one is enough where all episodes terminate
    :param recipe: fields of :class:`Recipe`, for each round
    :return: how the last round went
    :raises ValueError: for a model without state values, or whose critic has no parameters of its own
    """
    ranges.REPEATS.check("prefit_critic: rounds", rounds)
    policy = policy_of(model)
    values, actor = value_function(policy), actor_loss(policy, "nll")
    seen = normalizer(model)(demonstrations.observations)
    _check(policy, seen, demonstrations.actions, "prefit_critic")
    starts = demonstrations.starts
    last = vars(demonstrations).get("last")
    last = last if last is None else normalizer(model)(last)
    rewards, gamma = rewards_of(model, demonstrations), model.gamma  # type: ignore[attr-defined]
    if (wrong := _first(~np.isfinite(rewards))) is not None:
        raise ValueError(f"prefit_critic: the reward of step {wrong} is not finite")
    targets = np.zeros(len(starts), dtype=np.float32)

    def evaluate(rows: np.ndarray) -> th.Tensor:
        wanted = th.as_tensor(targets[rows], device=policy.device)
        return ((values(batch_of(policy, seen, starts, rows)) - wanted) ** 2).mean()

    episodes = _Episodes.split(policy, starts, Recipe(**recipe))
    some = episodes.some()

    def act(rows: np.ndarray) -> th.Tensor:
        return actor(batch_of(policy, seen, starts, rows), demonstrations.actions[rows])

    acting = set(_reached(policy, act, some))
    own = [name for name in _reached(policy, evaluate, some) if name not in acting]
    if not own:
        raise ValueError("prefit_critic: actor and critic share all their parameters, so none can be trained alone")
    fit = Fit()
    for _ in range(rounds):
        tails = np.zeros(int(starts.sum())) if last is None else _tails(policy, seen, starts, last, values)
        targets[:] = discounted(rewards, starts, demonstrations.terminated, tails, gamma)
        fit = _fit(policy, own, evaluate, episodes)
        if fit.ended == "interrupted":
            break
    return fit


def rewards_of(model: BaseAlgorithm, steps: Steps) -> np.ndarray:
    """Rewards as the model is paid: divided where its environment is wrapped in ``VecNormalize``."""
    normalize = model.get_vec_normalize_env()
    return steps.rewards if normalize is None else normalize.normalize_reward(steps.rewards)


def discounted(rewards: np.ndarray, starts: np.ndarray, terminated: np.ndarray, tails: np.ndarray, gamma: float) -> np.ndarray:
    """
    (n,) discounted sums of what follows each step in its episode.

    :param tails: (n_episodes,) values of what comes after episodes that did not terminate
    """
    returns = np.zeros(len(rewards))
    following, episode = 0.0, len(tails)
    is_end = np.append(starts[1:], True)
    for k in reversed(range(len(rewards))):
        if is_end[k]:
            episode -= 1
            following = 0.0 if terminated[k] else float(tails[episode])
        following = rewards[k] + gamma * following
        returns[k] = following
    return returns


def _tails(
    policy: Any, observations: Observations, starts: np.ndarray, last: Observations, values: Callable[[Batch], th.Tensor]
) -> np.ndarray:
    """(n_episodes,) present values of the last observations."""
    observations, starts = with_last(observations, starts, last)
    found = np.zeros(len(starts))
    with th.no_grad():
        for rows in order_of(policy, starts, 1024)(np.arange(int(starts.sum())), np.random.default_rng(0)):
            found[rows] = values(batch_of(policy, observations, starts, rows)).cpu().numpy()
    return found[np.append(starts[1:], True)]


def policy_of(learner: Any) -> Any:
    """The policy of a model; a policy as it is."""
    return learner.policy if isinstance(learner, BaseAlgorithm) else learner


def _check(policy: Any, observations: Observations, actions: np.ndarray, owner: str) -> None:
    try:
        policy.obs_to_tensor(take(observations, slice(0, 1)))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{owner}: the demonstrated observations are not of {policy.observation_space}: {error}") from error
    one = np.asarray(actions[0])
    if one.shape != policy.action_space.shape:
        raise ValueError(f"{owner}: demonstrated actions have shape {one.shape}, those of {policy.action_space} another")
    _check_rows(policy.action_space, observations, np.asarray(actions), owner)


def _check_rows(space: spaces.Space, observations: Observations, actions: np.ndarray, owner: str) -> None:
    """One wrong step would make the whole policy no number, or be an error of torch that names no step."""
    for name, array in named("observations", observations).items():
        wrong = _first(~np.isfinite(array)) if array.dtype.kind == "f" else None
        if wrong is not None:
            raise ValueError(f"{owner}: {name} of step {wrong} are not finite")
    finite = np.isfinite(actions)
    outside = {
        spaces.Discrete: lambda: (actions < space.start) | (actions >= space.start + space.n),  # type: ignore[attr-defined]
        spaces.MultiDiscrete: lambda: (actions < 0) | (actions >= space.nvec),  # type: ignore[attr-defined]
        spaces.MultiBinary: lambda: (actions != 0) & (actions != 1),
    }.get(type(space), lambda: np.zeros(actions.shape, dtype=bool))()  # a Box clips
    wrong = _first(~finite | outside)
    if wrong is not None:
        raise ValueError(f"{owner}: action {actions[wrong]} of step {wrong} is not in {space}")


def _first(flags: np.ndarray) -> int | None:
    """The first row with a true entry, if any."""
    rows = np.flatnonzero(flags.reshape(len(flags), -1).any(axis=1))
    return int(rows[0]) if len(rows) else None


@dataclass(frozen=True)
class _Episodes:
    """Which episodes to learn from and which to hold back, and in which order."""

    recipe: Recipe
    order: Callable[[np.ndarray, np.random.Generator], Iterator[np.ndarray]]
    train: np.ndarray
    held_back: np.ndarray

    @classmethod
    def split(cls, policy: Any, starts: np.ndarray, recipe: Recipe) -> _Episodes:
        n = int(starts.sum())
        n_held_back = max(1, round(recipe.validation_share * n)) if recipe.validation_share else 0
        if n_held_back >= n:
            raise ValueError(f"{n} episode(s) are too few to hold some back; record more, or say validation_share=0")
        shuffled = np.random.default_rng(recipe.seed).permutation(n)
        order = order_of(policy, starts, recipe.batch_size)
        return cls(recipe, order, shuffled[n_held_back:], shuffled[:n_held_back])

    def some(self) -> np.ndarray:
        """The rows of one minibatch."""
        return next(self.order(self.train, np.random.default_rng(0)))


def _reached(policy: Any, evaluate: Evaluate, rows: np.ndarray) -> list[str]:
    """Names of the parameters that a loss depends on."""
    named = {name: p for name, p in policy.named_parameters() if p.requires_grad}
    try:
        loss = evaluate(rows)
    except ValueError as error:
        if "\n" not in str(error):
            raise
        raise ValueError("the policy's weights give no distribution of actions before the fit; load it anew") from error
    gradients = th.autograd.grad(loss, list(named.values()), allow_unused=True)
    return [name for name, gradient in zip(named, gradients, strict=True) if gradient is not None]


def _fit(policy: Any, names: list[str], evaluate: Evaluate, episodes: _Episodes) -> Fit:
    """Train some parameters, and keep their best values."""
    recipe, rng = episodes.recipe, np.random.default_rng(episodes.recipe.seed)
    parameters = [p for name, p in policy.named_parameters() if name in set(names)]
    optimizer = th.optim.Adam(parameters, lr=recipe.learning_rate)
    fit, best = Fit(names=tuple(names)), [p.detach().clone() for p in parameters]
    bar = tqdm(range(1, recipe.epochs + 1), disable=not recipe.progress_bar, unit="epoch")
    try:
        for epoch in bar:
            policy.set_training_mode(True)
            losses = [_step(optimizer, parameters, evaluate(rows), recipe) for rows in episodes.order(episodes.train, rng)]
            fit.train_losses.append(_finite(float(np.mean(losses))))
            policy.set_training_mode(False)
            fit.validation_losses.append(_mean(evaluate, episodes) if len(episodes.held_back) else fit.train_losses[-1])
            if not len(episodes.held_back) or fit.validation_losses[-1] == min(fit.validation_losses):
                fit.best_epoch, best = epoch, [p.detach().clone() for p in parameters]
            bar.set_postfix(train=f"{fit.train_losses[-1]:.4g}", validation=f"{fit.validation_losses[-1]:.4g}")
            if recipe.patience is not None and epoch - fit.best_epoch >= recipe.patience:
                fit.ended = "patience"
                break
    except KeyboardInterrupt:
        fit.ended = "interrupted"
        print(f"stopped in epoch {len(fit.train_losses) + 1}: the parameters after epoch {fit.best_epoch} are kept")
    except ValueError as error:
        # torch's distributions refuse what is no number, or a scale of 0, in several lines
        if "\n" not in str(error) and all(bool(p.isfinite().all()) for p in parameters):
            raise
        raise ValueError(
            f"a fit with learning_rate={recipe.learning_rate:g} diverged in epoch {len(fit.train_losses) + 1};"
            f" the parameters after epoch {fit.best_epoch} are kept; take a smaller rate"
        ) from error
    finally:
        bar.close()
        policy.set_training_mode(False)
        with th.no_grad():
            for parameter, value in zip(parameters, best, strict=True):
                parameter.copy_(value)
    return fit


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise ValueError(f"a loss is {loss}")
    return loss


def _step(optimizer: th.optim.Optimizer, parameters: list[Any], loss: th.Tensor, recipe: Recipe) -> float:
    optimizer.zero_grad()
    gradients = th.autograd.grad(loss, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    th.nn.utils.clip_grad_norm_(parameters, recipe.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def _mean(evaluate: Evaluate, episodes: _Episodes) -> float:
    total, n = 0.0, 0
    with th.no_grad():
        for rows in episodes.order(episodes.held_back, np.random.default_rng(0)):
            total, n = total + evaluate(rows).item() * len(rows), n + len(rows)
    return total / n


def _follow(policy: Any) -> None:
    """Target networks of the actor become what the actor is."""
    for target, network in (("actor_target", "actor"), ("q_net_target", "q_net")):
        modules = dict(policy.named_children())
        if target in modules:
            modules[target].load_state_dict(copy.deepcopy(modules[network].state_dict()))
