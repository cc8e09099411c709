"""Are the keys and values of a zoo file right? rl-zoo3 takes an unknown environment for ``default`` and tells of others late.

Types are read off the constructors' signatures, ranges are those that the constructors check themselves, and nothing is called
that is not a callback of Stable-Baselines3 from an allowed package (:mod:`empo_sb3.zoo.door`).
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from empo_gym import load_world
from empo_gym.envs import RobotEnv
from empo_gym.envs.observations import OBSERVATIONS
from empo_gym.theory import Theory
from empo_gym.util.arguments import check_choice
from empo_gym.util.imports import ImportRefused
from empo_gym.util.wording import shown, suggestion
from empo_gym.util.yaml_files import read_yaml
from empo_sb3.common.ranges import (
    ANYTHING,
    COUNT,
    LARGEST,
    MAPPING,
    NOT_NEGATIVE,
    NUMBER,
    SHARE,
    Kind,
    either,
    instance,
    integer,
    optional,
    real,
    yaml_number,
)
from empo_sb3.common.sb3_arguments import OFF_POLICY_KINDS, ON_POLICY_KINDS
from empo_sb3.zoo.door import named_class, read_value

SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf", "delta_std")
"""What rl-zoo3 makes schedules of, from a number or from text such as ``lin_1.0e-3``."""
OBJECTS = ("callback", "env_wrapper", "vec_env_wrapper")
"""Whose values are classes by their path, perhaps with keywords, or lists of them."""
EVALUATED = ("normalize", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs", "monitor_kwargs")
"""Whose text rl-zoo3 evaluates."""
ZOO_TYPES: dict[str, Any] = {
    "n_timesteps": float,
    "n_envs": int,
    "policy": str,
    "normalize": bool | dict,
    "frame_stack": int,
    "monitor_kwargs": dict,
    "env_kwargs": dict,
    "policy_kwargs": dict,
    "replay_buffer_class": type,
    "replay_buffer_kwargs": dict,
    "train_freq": int | tuple | list,
    "noise_type": str,
    "noise_std": float,
    **dict.fromkeys(OBJECTS, Any),
}
"""What rl-zoo3 itself reads, or changes before the algorithm sees it."""
ZOO_RANGES = {
    "n_timesteps": real("[1, inf)"),
    "n_envs": COUNT,
    "frame_stack": COUNT,
    "noise_std": NOT_NEGATIVE,
    "noise_type": optional(
        Kind("text with 'normal' or 'ornstein-uhlenbeck'", lambda v: "normal" in v or "ornstein-uhlenbeck" in v)
    ),
}
OFF_POLICY_RANGES = {
    **OFF_POLICY_KINDS,
    **dict.fromkeys(("gamma", "tau", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps"), SHARE),
    **dict.fromkeys(("target_update_interval", "policy_delay"), COUNT),
    "ent_coef": either(NOT_NEGATIVE, instance("text such as auto or auto_0.1", str)),
}
NOT_FOR_FILES = ("self", "env", "_init_setup_model", "keywords", "args", "kwargs")
BUILT_IN = ("observation_space", "action_space", "lr_schedule", "sizes", "networks", "self", "args", "kwargs")
"""Arguments of policies that the algorithm gives."""
ENTRIES = ("default", "atari")


def hyperparameters_of(algorithm: type) -> dict[str, Any]:
    """The keywords that an algorithm takes from a zoo file, with their types."""
    found = _types_of(algorithm) | _open_keywords(algorithm)
    return {name: kind for name, kind in found.items() if name not in NOT_FOR_FILES}


def _types_of(maker: Any) -> dict[str, Any]:
    """The annotations of the arguments, of base classes too where the rest goes to them; Any where they say nothing."""
    found: dict[str, Any] = {}
    for init in [vars(c)["__init__"] for c in maker.__mro__ if "__init__" in vars(c)] if isinstance(maker, type) else [maker]:
        if not inspect.isroutine(init) or init is object.__init__:
            break
        try:
            hints = typing.get_type_hints(init)
        except (NameError, TypeError, AttributeError):
            hints = {}
        takes = inspect.signature(init).parameters
        for name, one in takes.items():
            if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
                found.setdefault(name, hints.get(name, Any))
        if not any(one.kind is one.VAR_KEYWORD for one in takes.values()):
            break
    return found


def _open_keywords(algorithm: type) -> dict[str, Any]:
    """Keywords that no signature names: numbers of the theory and of the training."""
    from empo_sb3 import EMPO, HumanDQN
    from empo_sb3.empo.human_dqn import OFF_POLICY

    if not issubclass(algorithm, EMPO | HumanDQN):
        return {}
    known = typing.get_type_hints(Theory) | typing.get_type_hints(algorithm.config_class)
    more = OFF_POLICY if issubclass(algorithm, HumanDQN) else ()
    return {field.name: known[field.name] for kind in (Theory, algorithm.config_class) for field in fields(kind)} | {
        name: Any for name in more
    }


def check_file(path: str | Path, algorithm: type, environments: Collection[str], allow: Collection[str] = ()) -> None:
    """
    Check the entries of a zoo file.

    :param algorithm: that it is for
    :param environments: all registered ids
    :param allow: modules whose classes it may name, besides the allowed packages
    :raises ValueError: naming the file, the entry, the key, and the nearest key that exists
    """
    entries = read_yaml(Path(path))
    if not isinstance(entries, Mapping):
        raise ValueError(f"{path}: a zoo file maps environment ids to hyper-parameters")
    known = hyperparameters_of(algorithm)
    for name, entry in entries.items():
        if name not in ENTRIES and name not in environments:
            raise ValueError(f"{path}: there is no environment {shown(name)}{_nearest(name, environments)}")
        place = f"{path}, {name}"
        check_entry(place, entry, algorithm, known, allow)
        if isinstance(entry.get("env_kwargs"), Mapping) and name in gymnasium.registry:
            _check_env_keywords(place, name, entry["env_kwargs"])


def check_entry(
    place: str, entry: Any, algorithm: type, known: Mapping[str, Any] | None = None, allow: Collection[str] = ()
) -> None:
    """
    Check one entry, all but its environment.

    :param place: how errors call it
    :param known: as :func:`hyperparameters_of` says
    :raises ValueError: naming the key
    """
    if not isinstance(entry, Mapping):
        raise ValueError(f"{place}: an entry maps names to values, not {shown(entry)}")
    known = hyperparameters_of(algorithm) if known is None else known
    for key, value in entry.items():
        _check_value(place, key, value, known, allow)
        _range_of(key, value, algorithm).check(f"{place}: {key}", value)
    _check_ranges(place, algorithm, entry)
    _check_policy(place, algorithm, entry, allow)


def _check_value(place: str, key: Any, value: Any, known: Mapping[str, Any], allow: Collection[str]) -> None:
    if key not in known and key not in ZOO_TYPES:
        raise ValueError(f"{place}: unknown key {shown(key)}{_nearest(key, {*known, *ZOO_TYPES})}")
    if key in EVALUATED and isinstance(value, str):
        value = read_value(value, f"{place}: {key}", allow)
    _check_numbers(place, key, value)
    if key in OBJECTS and value is not None:
        for item in value if isinstance(value, list) else [value]:
            _check_object(f"{place}: {key}", key, item, allow)
    elif key in SCHEDULES and isinstance(value, str):
        _check_schedule(place, key, value)
    else:
        kind_of(ZOO_TYPES.get(key, known.get(key, Any))).check(f"{place}: {key}", value)


def _range_of(key: str, value: Any, algorithm: type) -> Kind:
    """What the value of a key may be; anything where a constructor says it, and for text that is evaluated."""
    kinds = {OnPolicyAlgorithm: ON_POLICY_KINDS, OffPolicyAlgorithm: OFF_POLICY_RANGES}
    own = next((known for base, known in kinds.items() if issubclass(algorithm, base)), {})
    is_evaluated = key in EVALUATED or (key in SCHEDULES and isinstance(value, str))
    return ANYTHING if is_evaluated else (ZOO_RANGES | {**own}).get(key, ANYTHING)


def _check_schedule(place: str, key: str, value: str) -> None:
    kind, _, start = value.partition("_")
    try:
        is_positive = 0.0 < float(start) < math.inf
    except ValueError:
        is_positive = False
    if kind != "lin" or not is_positive:
        raise ValueError(
            f"{place}: {key} must be a number, or text such as lin_1.0e-3 with a positive one, not {shown(value)}"
        )


OF_TYPES = {
    float: NUMBER,
    int: Kind("an integer", integer(-LARGEST).holds),
    str: instance("text", str),
    bool: instance("true or false", bool),
    dict: MAPPING,
    list: instance("a list", list),
    tuple: instance("a list", list, tuple),
    type(None): instance("null", type(None)),
}


def kind_of(hint: Any) -> Kind:
    """What a value of YAML may be for an annotated argument; anything for annotations that say nothing about YAML."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [kind_of(part) for part in typing.get_args(hint)]
        return Kind(" or ".join(dict.fromkeys(kind.words for kind in kinds)), either(*kinds).holds)
    return OF_TYPES.get(typing.get_origin(hint) or hint, ANYTHING)


def _check_ranges(place: str, algorithm: Any, entry: Mapping[str, Any]) -> None:
    """The numbers of theory and training, by the constructors that the algorithm hands them to."""
    from empo_sb3 import EMPO, HumanDQN

    if not issubclass(algorithm, EMPO | HumanDQN):
        return
    for kind in (Theory, algorithm.config_class):
        given = {field.name: entry[field.name] for field in fields(kind) if field.name in entry}
        try:
            kind(**given)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{place}: {error}") from error


def _check_policy(place: str, algorithm: Any, entry: Mapping[str, Any], allow: Collection[str]) -> None:
    """Is there such a policy, and does it take these keywords?"""
    name, aliases = entry.get("policy"), algorithm.policy_aliases
    if name is None:
        return
    if "." not in name and name not in aliases:
        raise ValueError(f"{place}: there is no policy {shown(name)} of {algorithm.__name__}{_nearest(name, aliases)}")
    try:
        policy = aliases[name] if name in aliases else named_class(name, "policy", allow)
    except ImportRefused as error:
        raise ValueError(f"{place}: policy: {error}") from error
    given = entry.get("policy_kwargs") or {}
    given = read_value(given, f"{place}: policy_kwargs", allow) if isinstance(given, str) else given
    takes = {word: kind for word, kind in (_types_of(policy) | _policy_keywords(policy)).items() if word not in BUILT_IN}
    for word, value in given.items():
        if word not in takes:
            raise ValueError(f"{place}: policy_kwargs: {name} has no {shown(word)}{_nearest(word, takes)}")
        kind_of(takes[word]).check(f"{place}: policy_kwargs: {word}", value)


def _policy_keywords(policy: type) -> dict[str, Any]:
    """Keywords that no signature names."""
    from empo_sb3.recurrent.policies import CONTRIB_NAMES, OWN_KEYWORDS, RecurrentPolicy

    return dict.fromkeys((*OWN_KEYWORDS, *CONTRIB_NAMES), Any) if issubclass(policy, RecurrentPolicy) else {}


def _check_env_keywords(place: str, name: str, given: Mapping[Any, Any]) -> None:
    maker = gymnasium.registry[name].entry_point
    try:
        maker = gymnasium.envs.registration.load_env_creator(maker) if isinstance(maker, str) else maker
        takes = inspect.signature(maker).parameters if callable(maker) else {}
    except (ImportError, AttributeError, TypeError, ValueError):
        return  # `gymnasium.make` says what is missing
    if not takes or any(one.kind is one.VAR_KEYWORD for one in takes.values()):
        return
    for word in given:
        if word not in {*takes, "render_mode", "max_episode_steps"}:
            raise ValueError(f"{place}: env_kwargs: {name} has no keyword {shown(word)}{_nearest(word, takes)}")
    if maker is RobotEnv:
        _check_world(f"{place}: env_kwargs", given)


def _check_world(place: str, given: Mapping[Any, Any]) -> None:
    """Is there such a world, and such an observation?"""
    try:
        if "world" in given:
            load_world(given["world"])
        check_choice("observation", given.get("observation", "features"), OBSERVATIONS)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _check_object(place: str, key: str, item: Any, allow: Collection[str]) -> None:
    """A class that rl-zoo3 will import and call: is it of the right kind, and does it take these keywords?"""
    if isinstance(item, Mapping) and len(item) != 1:
        raise ValueError(
            f"{place}: a class and its keywords are one key and its mapping, not {shown(dict(item))}; look at the indents"
        )
    path, keywords = next(iter(item.items())) if isinstance(item, Mapping) else (item, {})
    if not isinstance(keywords, Mapping | None) or not all(isinstance(word, str) for word in keywords or {}):
        raise ValueError(
            f"{place}: {shown(path)} takes keywords by name, such as {{{path}: {{name: 1}}}}, not {shown(keywords)}"
        )
    if not isinstance(path, str):
        raise ValueError(f"{place}: a class is named by its path, such as package.module.Class, not by {shown(path)}")
    try:
        maker = named_class(path, key, allow)
    except ImportRefused as error:
        raise ValueError(f"{place}: {error}") from error
    takes = inspect.signature(maker).parameters
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    # What takes any keyword is asked for the necessary ones that are not given.
    free = [name for name, one in takes.items() if name not in (keywords or {}) and (not is_open or one.default is one.empty)]
    for word in keywords or {}:
        near = _nearest(word, free)
        if word not in takes and (near or not is_open):
            raise ValueError(f"{place}: {path} has no keyword {shown(word)}{near}")
    if key == "callback":  # wrappers need an environment
        try:
            maker(**(keywords or {}))
        except (TypeError, ValueError, AttributeError, AssertionError) as error:
            raise ValueError(f"{place}: {path}: {error}") from error


def _check_numbers(place: str, name: Any, value: Any) -> None:
    """No number that YAML reads as text, however deep within."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_numbers(place, f"{name}: {key}", inner)
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(place, name, inner)
    elif (number := yaml_number(value)) is not None:
        raise ValueError(f"{place}: YAML reads {name}: {value} as text; write {number}")


def _nearest(word: Any, known: Collection[str]) -> str:
    near = suggestion(word, sorted(known), cutoff=0.5)
    return near and f"; {near}"
