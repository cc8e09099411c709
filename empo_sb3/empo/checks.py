"""What a learner of worlds refuses, each in one sentence: what it would otherwise take without a word and learn wrongly from.

Networks are trained on what the world itself shows, in one world and for one theory. An environment that shows something
else, or environments that differ, would be learned in all the same, and only the result would be wrong.
"""

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, ClassVar, Protocol

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from empo_gym.theory import Theory
from empo_sb3.common.ranges import NOT_NEGATIVE
from empo_sb3.empo.networks.base_policy import EmpoPolicy

SMALL_FACTOR = 0.05


class Learner(Protocol):
    """What is checked of a :class:`~empo_sb3.empo.world_learner.WorldLearner`."""

    theory: Theory
    config: Any
    config_class: ClassVar[Any]
    policy_class: Any
    policy_aliases: ClassVar[Any]


def require_one_world(name: str, env: VecEnv) -> None:
    """
    Require that all environments are copies of one.

    :param name: of the algorithm
    :raises ValueError: if their worlds or theories differ
    :raises AttributeError: if they have none
    """
    for what in ("theory", "world"):
        first, *others = env.get_attr(what)
        for i, other in enumerate(others, start=1):
            if other is not first and _signature(other) != _signature(first):
                raise ValueError(
                    f"{name} learns in one {what}, but environment {i} has another than environment 0; make all alike"
                )


def require_places(name: str, infos: list[dict[str, Any]]) -> None:
    """
    Require that environments say in which state and at which time they are.

    :param infos: one per environment
    :raises ValueError: if they do not
    """
    if not all({"t", "state_id"} <= info.keys() for info in infos):
        raise ValueError(f"{name} reads t and state_id in the environment's infos; let wrappers and info_keys= keep both")


def _signature(thing: Any) -> Any:
    """What equal worlds have in common though they were made one by one; a theory is its own."""
    if isinstance(thing, Theory):
        return thing
    goals = [len(of_human) for of_human in thing.goal_sets]
    return type(thing).__name__, thing.horizon, tuple(thing.agents), goals, repr(thing.initial_state())


def require_own_view(name: str, shown: Any, world_shows: Any) -> None:
    """
    Require that an environment shows what the world does.

    :param shown: (n_envs, ...) the environments' observations, or a mapping of them
    :param world_shows: what ``world.observe`` gives for the same states and times
    :raises ValueError: if a wrapper changed them
    """
    parts = (
        [(shown[key], world_shows[key]) for key in world_shows] if isinstance(world_shows, dict) else [(shown, world_shows)]
    )
    if not all(np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in parts):
        raise ValueError(
            f"{name} reads the world itself, but the environment shows other observations of it;"
            " remove the wrapper that changes them (VecNormalize, TransformObservation, ...)"
        )


def check_policy_class(learner: Learner) -> None:
    """
    Require a policy and a configuration of the learner's own kind, which a file of another algorithm has not.

    :raises ValueError: if the learner has others
    """
    name, policy = type(learner).__name__, learner.policy_class
    if not issubclass(policy, EmpoPolicy):
        known = ", ".join(learner.policy_aliases)
        raise ValueError(
            f"{name} works with {known} or a subclass of EmpoPolicy, not with {policy.__name__}, which is another algorithm's"
        )
    if not isinstance(learner.config, learner.config_class | None):
        raise ValueError(
            f"{name} cannot carry on what was trained by {type(learner.config).__name__};"
            " load it by the algorithm that saved it"
        )


def number_names(config_class: type) -> set[str]:
    """Keywords of a constructor that are numbers of the theory or of the training."""
    return {f.name for f in fields(Theory)} | {f.name for f in fields(config_class)}


def check_saved_hyperparameters(learner: Learner, asked: Mapping[str, Any]) -> None:
    """
    Require that a saved model is not asked for other numbers than its own.

    :param asked: numbers of theory and training that were given to ``load``
    :raises ValueError: if one differs: theory and networks belong together
    """
    name = type(learner).__name__
    for number, value in asked.items():
        kept = getattr(learner.theory if hasattr(learner.theory, number) else learner.config, number)
        if kept != value:
            raise ValueError(
                f"{name}.load keeps the {number}={kept!r} that the model was trained with, so it cannot become {value!r};"
                f" learning_rate= scales all rates, for anything else make a new {name}"
            )


@contextmanager
def space_mismatch_errors(name: str) -> Iterator[None]:
    """
    Say what it means that an environment's spaces are not a model's.

    :param name: of the algorithm
    :raises ValueError: in place of SB3's
    """
    try:
        yield
    except ValueError as e:
        if "spaces do not match" not in str(e):
            raise
        raise ValueError(
            f"this {name} was made for another world, or another view of it ({e});"
            f" give the environment it was made for, or make a new {name} for this one"
        ) from e


def observation_kind(world: Any, space: spaces.Space) -> Any:
    """
    Which of the world's observation kinds an environment shows; for a ``Dict`` of several, by key.

    :raises ValueError: if the space holds more than the world's state and the time
    """
    if isinstance(space, spaces.Dict):
        return {key: observation_kind(world, part) for key, part in space.items()}
    kind = {1: "features", 3: "planes"}.get(len(space.shape or ()), "features")
    seen = np.shape(world.observe([world.initial_state()], t=0, kind=kind))[1:]
    if seen != space.shape:
        raise ValueError(
            f"EMPO reads the world's {kind} of shape {seen}, but the environment shows {space.shape};"
            ' make it with observation="features" or "planes", without observe_goals and without wrappers of observations'
        )
    return kind


def arguments_of(kind: type) -> list[str]:
    """The named arguments of a class."""
    return [n for n, p in inspect.signature(kind).parameters.items() if p.kind != p.VAR_KEYWORD and not n.startswith("_")]


def warn_of_small_factor(learning_rate: Any) -> None:
    """
    Warn of a ``learning_rate`` that looks like a rate: the learners of this package multiply their own rates by it.

    :param learning_rate: a number, or a schedule of the share of the run that remains
    :raises ValueError: if it is or becomes negative or infinite or no number
    """
    values = [learning_rate(k / 10) for k in range(11)] if callable(learning_rate) else [learning_rate]
    for value in values:
        NOT_NEGATIVE.check("learning_rate", value)
    if 0.0 < max(values) < SMALL_FACTOR:
        warnings.warn(
            f"learning_rate is a factor on the rates lr_..., so {max(values):g} all but stops learning; leave it at 1 and give"
            " rates by their names, as in lr_q_r=1e-3",
            stacklevel=3,
        )
