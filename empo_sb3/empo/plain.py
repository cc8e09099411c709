"""A run as JSON and arrays, which can be read without unpickling.

What JSON cannot say is a mapping with one key ``"$"`` that names its kind: tuples, dictionaries with other keys, arrays,
tensors, random generators, spaces, and records (dataclasses and named tuples). Classes are looked up in the packages of the
project and of its libraries, or among classes that the reader itself hands over; no function of a file's choice is called.
"""

import importlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule

from empo_gym.util import old_paths
from empo_gym.util.imports import PACKAGES

KEY = "$"
PLAIN = (type(None), bool, int, float, str)
SCHEDULES = (ConstantSchedule, FloatSchedule, LinearSchedule)
"""Schedules of Stable-Baselines3; those of this project are dataclasses."""
CLASSES = (th.nn.Module, th.optim.Optimizer, BasePolicy, BaseBuffer)
"""What a class that is a value itself must be a subclass of."""
OWN_PACKAGES = ("empo_gym", "empo_sb3", "stable_baselines3")
"""Whose records are read; of other packages only classes that are networks, optimizers, policies or buffers."""
SPACES: dict[str, tuple[type, Callable[[Any], dict[str, Any]]]] = {
    "Box": (spaces.Box, lambda s: {"low": s.low, "high": s.high, "dtype": str(s.dtype)}),
    "Discrete": (spaces.Discrete, lambda s: {"n": int(s.n), "start": int(s.start)}),
    "MultiDiscrete": (spaces.MultiDiscrete, lambda s: {"nvec": s.nvec, "start": s.start, "dtype": str(s.dtype)}),
    "MultiBinary": (spaces.MultiBinary, lambda s: {"n": s.n if isinstance(s.n, int) else list(s.n)}),
    "Dict": (spaces.Dict, lambda s: {"spaces": dict(s.spaces)}),
    "Tuple": (spaces.Tuple, lambda s: {"spaces": list(s.spaces)}),
}


class NotPlain(TypeError):
    """A value that has no form in JSON and arrays."""


class Writer:
    """
    Values as JSON; arrays beside it.

    :param arrays: all arrays so far, by their numbers
    """

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []

    def __call__(self, value: Any) -> Any:
        """
        A value's JSON.

        :raises NotPlain: if it has none
        """
        if type(value) in PLAIN:
            return value
        for kind, form in FORMS:
            if isinstance(value, kind):
                return form(self, value)
        return self._record(value)

    def mapping(self, value: dict) -> Any:
        """Text as keys stays an object."""
        if all(type(key) is str and key != KEY for key in value):
            return {key: self(part) for key, part in value.items()}
        return {KEY: "dict", "of": [[self(key), self(part)] for key, part in value.items()]}

    def array(self, value: np.ndarray, kind: str = "array") -> Any:
        """An array by its number."""
        if value.dtype.hasobject:
            raise NotPlain("an array of objects")
        self.arrays.append(value)
        return {KEY: kind, "of": len(self.arrays) - 1}

    def tensor(self, value: th.Tensor) -> Any:
        """A tensor, on the CPU."""
        return self.array(value.detach().cpu().numpy(), "tensor")

    def space(self, value: spaces.Space) -> Any:
        """A space by the arguments of its constructor."""
        name = type(value).__name__
        if name not in SPACES or type(value) is not SPACES[name][0]:
            raise NotPlain(f"a space of the kind {name}")
        return {KEY: "space", "class": name, "of": self(SPACES[name][1](value))}

    def _record(self, value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            parts = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        elif isinstance(value, SCHEDULES):
            parts = vars(value)
        else:
            raise NotPlain(f"{type(value).__module__}.{type(value).__qualname__}")
        return {KEY: "record", "class": path_of(type(value)), "of": {name: self(part) for name, part in parts.items()}}


def _tuple(write: Writer, value: tuple) -> Any:
    items = [write(part) for part in value]
    return {KEY: "tuple", "of": items} if type(value) is tuple else {KEY: "named", "class": path_of(type(value)), "of": items}


def _class(_: Writer, value: type) -> Any:
    if not is_part(value):
        raise NotPlain(f"the class {value.__qualname__}")
    return {KEY: "class", "class": path_of(value)}


FORMS: tuple[tuple[Any, Callable[[Writer, Any], Any]], ...] = (
    (dict, Writer.mapping),
    (tuple, _tuple),
    (list, lambda write, value: [write(part) for part in value]),
    (deque, lambda write, value: {KEY: "deque", "of": [write(part) for part in value], "maxlen": value.maxlen}),
    (set | frozenset, lambda write, value: {KEY: type(value).__name__, "of": [write(part) for part in value]}),
    (np.ndarray, Writer.array),
    (np.generic, lambda write, value: write.array(np.asarray(value), "number")),
    (th.Tensor, Writer.tensor),
    (np.random.Generator, lambda write, value: {KEY: "generator", "of": write(value.bit_generator.state)}),
    (Enum, lambda write, value: {KEY: "enum", "class": path_of(type(value)), "of": value.name}),
    (spaces.Space, Writer.space),
    (type, _class),
)
"""How values are written, by their kind; the first that fits."""


def path_of(kind: type) -> str:
    """A class by its module and name."""
    return f"{kind.__module__}:{kind.__qualname__}"


def is_part(kind: type) -> bool:
    """Whether a class may be a value itself."""
    return issubclass(kind, CLASSES)


class Reader:
    """
    The inverse of :class:`Writer`.

    :param arrays: from a number to the array
    :param known: further classes that records may be of
    """

    def __init__(self, arrays: Callable[[int], np.ndarray], known: Iterable[type] = ()) -> None:
        self.arrays = arrays
        self.known = {path_of(kind): kind for kind in known}

    def __call__(self, tree: Any) -> Any:
        """
        The value that some JSON stands for.

        :raises ValueError: for JSON that no writer has written, and for classes that are not allowed
        """
        if isinstance(tree, list):
            return [self(part) for part in tree]
        if not isinstance(tree, dict):
            return tree
        if KEY not in tree:
            return {key: self(part) for key, part in tree.items()}
        try:
            return READERS[tree[KEY]](self, tree)
        except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise ValueError(f"a part of the kind {str(tree[KEY])[:50]!r} cannot be read ({error})") from error

    def _pairs(self, tree: dict) -> dict:
        return {self(key): self(part) for key, part in tree["of"]}

    def _named(self, tree: dict) -> Any:
        kind = self.class_of(tree["class"], lambda kind: issubclass(kind, tuple) and hasattr(kind, "_fields"))
        return kind(*(self(part) for part in tree["of"]))

    def _space(self, tree: dict) -> spaces.Space:
        words = self(tree["of"])
        if "dtype" in words:
            words["dtype"] = np.dtype(words["dtype"]).type
        return SPACES[tree["class"]][0](**words)

    def _record(self, tree: dict) -> Any:
        kind: Any = self.class_of(tree["class"], lambda kind: is_dataclass(kind) or issubclass(kind, SCHEDULES))
        parts = self(tree["of"])
        if not issubclass(kind, SCHEDULES):
            return kind(**parts)
        value = kind.__new__(kind)
        vars(value).update(parts)
        return value

    def _generator(self, tree: dict) -> np.random.Generator:
        state = self(tree["of"])
        kinds: dict[str, Any] = {"PCG64": np.random.PCG64, "PCG64DXSM": np.random.PCG64DXSM, "MT19937": np.random.MT19937}
        bits = kinds[state["bit_generator"]]()
        bits.state = state
        return np.random.Generator(bits)

    def class_of(self, path: str, fits: Callable[[type], bool]) -> Any:
        """
        A class by its path.

        :raises ValueError: if it is of a package that is not allowed, or of another kind
        """
        module, _, names = path.partition(":")
        module = old_paths.present(module)
        path = f"{module}:{names}"
        found = self.known.get(path)
        if found is None:
            if module.partition(".")[0] not in (PACKAGES if fits is is_part else OWN_PACKAGES):
                raise ValueError(f"{path[:100]!r} is no class that a checkpoint may name")
            found = importlib.import_module(module)
            for name in names.split("."):
                found = vars(found)[name]
        if not isinstance(found, type) or not fits(found) or path_of(found) != path:
            raise ValueError(f"{path[:100]!r} is no class that a checkpoint holds")
        return found


READERS: dict[str, Callable[[Reader, dict], Any]] = {
    "dict": Reader._pairs,
    "tuple": lambda read, tree: tuple(read(tree["of"])),
    "named": Reader._named,
    "deque": lambda read, tree: deque(read(tree["of"]), maxlen=tree["maxlen"]),
    "set": lambda read, tree: set(read(tree["of"])),
    "frozenset": lambda read, tree: frozenset(read(tree["of"])),
    "array": lambda read, tree: read.arrays(tree["of"]),
    "number": lambda read, tree: read.arrays(tree["of"])[()],
    "tensor": lambda read, tree: th.from_numpy(read.arrays(tree["of"])),
    "generator": Reader._generator,
    "enum": lambda read, tree: read.class_of(tree["class"], lambda kind: issubclass(kind, Enum))[tree["of"]],
    "space": Reader._space,
    "record": Reader._record,
    "class": lambda read, tree: read.class_of(tree["class"], is_part),
}


def classes_in(value: Any) -> set[type]:
    """The classes of the records in a value, such as a state of a world, however deep within."""
    if is_dataclass(value) and not isinstance(value, type):
        parts: Iterable[Any] = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, tuple | list | set | frozenset):
        parts = value
    elif isinstance(value, dict):
        parts = [*value, *value.values()]
    else:
        return {type(value)} if isinstance(value, Enum) else set()
    own = {type(value)} if is_dataclass(value) or hasattr(value, "_fields") else set()
    return own.union(*map(classes_in, parts))
