"""What rl-zoo3 evaluates, imports and unpickles, read safely instead.

rl-zoo3 calls ``eval`` on strings of zoo files and of the command line, imports whatever classes they name, runs ``.py`` files
of hyper-parameters, and reads the ``config.yml`` and ``args.yml`` of a run by YAML's unsafe loader. While :func:`guarded`
holds, these places accept literals, ``dict(...)`` and classes of the right kind from the allowed packages; anything else is
refused before anything is called. Model zips and ``vecnormalize.pkl`` stay what they are: pickles, to be read only if trusted.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium
import torch as th
import yaml
from stable_baselines3.common.buffers import BaseBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnvWrapper

from empo_gym.util.imports import Allow, ImportRefused, Kind, as_allow, import_name
from empo_gym.util.yaml_files import _Loader as PlainLoader
from empo_sb3.common import named

OWN = ("rl_zoo3", "minigrid")
"""Packages that rl-zoo3's own files name, beside those that every file may name."""
SHORT = {"nn": "torch.nn", "th": "torch", "sb3": "stable_baselines3", "gym": "gymnasium"}
"""Names by which rl-zoo3's files call modules."""
LONGEST = 20_000
ALLOW_VARIABLE = "EMPO_ALLOW_IMPORTS"
"""Names allowed modules, with commas between them, where rl-zoo3's own command is used: it has no option for them."""


def _subclass_of(*bases: type) -> Any:
    return lambda found: isinstance(found, type) and issubclass(found, bases)


CALLBACK = Kind("a callback of Stable-Baselines3", _subclass_of(BaseCallback))
POLICY = Kind("a policy of Stable-Baselines3", _subclass_of(BasePolicy))
WRAPPER = Kind("a wrapper of Gymnasium", _subclass_of(gymnasium.Wrapper))
VEC_WRAPPER = Kind("a VecEnvWrapper of Stable-Baselines3", _subclass_of(VecEnvWrapper))
PART = Kind(
    "a torch module, an optimizer or a buffer of Stable-Baselines3",
    _subclass_of(th.nn.Module, th.optim.Optimizer, BaseBuffer, RolloutBuffer),
)
KINDS = {"callback": CALLBACK, "env_wrapper": WRAPPER, "vec_env_wrapper": VEC_WRAPPER, "policy": POLICY}


_state = {"held": False}  # whether `guarded` is at work, which `guard` then leaves alone


class ZooRefused(ValueError):
    """Something that a zoo file, a run folder or the command line must not ask for; one sentence."""


def _allowed(allow: Allow) -> Allow:
    """What is allowed beside rl-zoo3's own files."""
    return True if allow is True else (*OWN, *as_allow(allow or ()))  # type: ignore[misc]


def read_value(text: str, place: str, allow: Allow = ()) -> Any:
    """
    The value of an expression that rl-zoo3 would evaluate.

    :param text: literals, ``dict(...)`` and names of torch modules, optimizers and buffers, nested as one likes
    :param place: how errors call it
    :param allow: modules that may be named besides the allowed packages
    :raises ZooRefused: for anything else
    """
    try:
        if len(text) > LONGEST:
            raise ValueError(f"longer than {LONGEST:,} characters")
        return _value(ast.parse(text.strip(), mode="eval").body, _allowed(allow))
    except ImportRefused as error:
        raise ZooRefused(f"{place}: {error}") from error
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        shown = text if len(text) <= 80 else text[:80] + "..."
        reason = " ".join(str(getattr(error, "msg", "") or error or type(error).__name__).split())
        raise ZooRefused(
            f"{place}: {shown!r} is not evaluated ({reason}); write literals, dict(...) and classes such as nn.ReLU"
        ) from error


def _value(node: ast.expr, allow: Allow) -> Any:
    if isinstance(node, ast.Call):
        if not (isinstance(node.func, ast.Name) and node.func.id == "dict") or node.args:
            raise ValueError("a call")
        if any(word.arg is None for word in node.keywords):
            raise ValueError("** in dict(...)")
        return {str(word.arg): _value(word.value, allow) for word in node.keywords}
    if isinstance(node, ast.Name | ast.Attribute):
        return _class(ast.unparse(node), allow)
    if isinstance(node, ast.List | ast.Tuple):
        items = [_value(item, allow) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError("** in a dictionary")
        return {ast.literal_eval(key): _value(value, allow) for key, value in zip(node.keys, node.values, strict=True) if key}
    return ast.literal_eval(node)


def _class(name: str, allow: Allow) -> type:
    """A class by its name, in full or as rl-zoo3's own files write it."""
    first, dot, rest = name.partition(".")
    if not dot:
        found = vars(_manager()).get(name)
        if not isinstance(found, type):
            raise ImportRefused(f"there is no class {name!r}; write its full path, such as torch.nn.{name}")
        name = f"{found.__module__}.{found.__qualname__}"
    return import_name(f"{SHORT.get(first, first)}.{rest}" if dot else name, allow, PART)


def named_class(path: str, key: str, allow: Allow = ()) -> type:
    """
    The class that an entry of a zoo file names.

    :param path: ``package.module.Class``
    :param key: of the entry: ``callback``, ``env_wrapper``, ``vec_env_wrapper`` or ``policy``
    :param allow: as for :func:`read_value`
    :raises ImportRefused: if it is not allowed, missing or of another kind
    """
    return import_name(path, _allowed(allow), KINDS[key])


class RunLoader(PlainLoader):
    """YAML as rl-zoo3 writes it beside a trained agent: plain values, ordered dictionaries, tuples, and names of classes."""

    allow: Collection[str] = ()


def _ordered(loader: RunLoader, node: yaml.Node) -> OrderedDict[Any, Any]:
    pairs = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else []
    return OrderedDict(pairs[0] if pairs else [])


def _tuple(loader: RunLoader, node: yaml.Node) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True)) if isinstance(node, yaml.SequenceNode) else ()


def _named(loader: RunLoader, name: str, node: yaml.Node) -> type:
    try:
        return import_name(name, (*OWN, *loader.allow), PART)
    except ImportRefused as error:
        raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


RunLoader.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _ordered)
RunLoader.add_constructor("tag:yaml.org,2002:python/tuple", _tuple)
RunLoader.add_multi_constructor("tag:yaml.org,2002:python/name:", _named)


def _manager() -> Any:
    # Importing rl_zoo3.exp_manager before its environments would import `custom_envs` while it is half there.
    importlib.import_module("rl_zoo3.import_envs")
    return importlib.import_module("rl_zoo3.exp_manager")


class _Imports:
    """Stands for ``importlib`` within rl-zoo3: what a module holds is looked up through the door."""

    def __init__(self, allow: Collection[str]) -> None:
        self.allow = allow

    def import_module(self, module: str) -> Any:
        return _Module(module, self.allow)


class _Module:
    """A module whose classes are wrappers, or which the reader named."""

    def __init__(self, name: str, allow: Collection[str]) -> None:
        self._name, self._allow = name, allow

    def __getattr__(self, name: str) -> Any:
        wrapper = Kind("a wrapper of Gymnasium or Stable-Baselines3", _subclass_of(gymnasium.Wrapper, VecEnvWrapper))
        try:
            return import_name(f"{self._name}:{name}", (*OWN, *self._allow), wrapper)
        except ImportRefused as error:
            raise ZooRefused(str(error)) from error


def _refuse_code(config: str, allow: Collection[str]) -> None:
    """:raises ZooRefused: for hyper-parameters that are a Python module or file which the reader did not allow"""
    if config.endswith((".yml", ".yaml")):
        return
    module = Path(config).stem if config.endswith(".py") else config
    if not any(module == name or module.startswith(f"{name}.") for name in allow):
        raise ZooRefused(f"--conf-file {config} is Python code; if you trust it, add --allow-imports={module}, else take YAML")


def _patches(allow: Collection[str]) -> Iterator[Any]:
    """Replacements of everything in rl-zoo3 that would run what a file or an argument says."""
    from rl_zoo3 import utils

    manager = _manager()

    def read(text: str) -> Any:
        return read_value(text, "rl-zoo3", allow)

    def store(action: Any, _: Any, namespace: Any, values: list[str], option: str | None = None) -> None:
        found = {}
        for word in values:
            key, _, value = word.partition(":")
            found[key] = read_value(value, f"{option} {key}", allow)
        setattr(namespace, action.dest, found)

    def by_name(key: str) -> Any:
        def find(name: str) -> type:
            try:
                return named_class(name, key, allow)
            except ImportRefused as error:
                raise ZooRefused(f"{key}: {error}") from error

        return find

    yield mock.patch.object(utils, "eval", read, create=True)
    yield mock.patch.object(manager, "eval", read, create=True)
    yield mock.patch.object(named, "allowed", (*OWN, *allow))
    yield mock.patch.object(utils, "importlib", _Imports(allow))
    yield mock.patch.object(utils, "get_class_by_name", by_name("callback"))
    yield mock.patch.object(utils.StoreDict, "__call__", store)
    yield mock.patch.object(yaml, "UnsafeLoader", type("RunLoader", (RunLoader,), {"allow": allow}))
    if not hasattr(manager, "ExperimentManager"):
        return  # `record_video` imports it before its environments, and reads no hyper-parameters
    original = inspect.unwrap(manager.ExperimentManager.read_hyperparameters)

    @functools.wraps(original)
    def read_hyperparameters(self: Any) -> Any:
        _refuse_code(self.config, allow)
        return original(self)

    yield mock.patch.object(manager, "get_class_by_name", by_name("policy"))
    yield mock.patch.object(manager.ExperimentManager, "read_hyperparameters", read_hyperparameters)


def _own_command(allow: Collection[str]) -> Any:
    """``subprocess.call``, in which the scripts that some of rl-zoo3's scripts start are run by our command."""
    original = subprocess.call

    def call(words: Any, *arguments: Any, **options: Any) -> int:
        if isinstance(words, list) and words[:1] == ["python"]:
            script, rest = (words[2], words[3:]) if words[1] == "-m" else (Path(words[1]).stem, words[2:])
            words = [sys.executable, "-m", "empo_sb3.zoo", script.removeprefix("rl_zoo3."), *rest]
            options["env"] = {**os.environ, ALLOW_VARIABLE: ",".join(allow)}
        return original(words, *arguments, **options)

    return call


@contextmanager
def guarded(allow: Collection[str] = ()) -> Iterator[None]:
    """
    Let rl-zoo3 read files and arguments safely, in this process, until the block ends.

    :param allow: modules that may be named besides the allowed packages
    :raises ZooRefused: from within rl-zoo3, for what is not allowed
    """
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(_state, held=True))
        stack.enter_context(mock.patch.object(subprocess, "call", _own_command(allow)))
        for patch in _patches(allow):
            stack.enter_context(patch)
        try:
            yield
        except yaml.YAMLError as error:
            raise ZooRefused(f"a file of the run holds more than plain values: {' '.join(str(error).split())}") from error


def guard(allow: Collection[str] = ()) -> None:
    """The same until the process ends, for scripts that rl-zoo3 runs itself."""
    if not _state["held"]:
        for patch in _patches(allow):
            patch.start()
