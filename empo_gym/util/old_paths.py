"""Modules by the paths that they had in version 0.1, where each lay flat in its package.

Files name classes by module: saved models of Stable-Baselines3 (pickles), checkpoints, zoo files, worlds, and the programs of
users. So an old path still imports the module of today, the same object, with a DeprecationWarning. What is now a package
(``empo_gym.model``) hands out the names of the module that it was.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dis import opmap
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import CodeType, ModuleType

_moved: dict[str, str] = {}


def present(module: str) -> str:
    """Return the path by which a module is found today, given any that it had.

    :param module: such as ``"empo_gym.goals"``
    """
    return _moved.get(module, module)


def add(package: str, table: Mapping[str, str]) -> None:
    """Let the old paths of a package's modules be imported.

    :param package: its name
    :param table: old path -> path of today, both within the package
    """
    _moved.update({f"{package}.{old}": f"{package}.{new}" for old, new in table.items()})


class _OldPaths(MetaPathFinder, Loader):
    """Puts the module of today under the old name, too."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = _moved.get(fullname, "")
        if not new or new.startswith(f"{fullname}."):  # a package of today
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module of today: threads that wait for the old name find it whole."""
        module = import_module(_moved[spec.name])
        spec.loader_state = module.__spec__  # which the import system replaces
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Tell whoever wrote an import statement; pickles and other names in files are no mistake of their reader."""
        old = module.__spec__
        assert old is not None
        module.__spec__ = old.loader_state
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
            frame = frame.f_back
        if frame.f_code.co_code[frame.f_lasti] == opmap["IMPORT_NAME"]:
            # Frames of the import system do not count for stacklevel
            warnings.warn(f"{old.name} is now {_moved[old.name]}", DeprecationWarning, stacklevel=2)

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code of today's module, for ``python -m``."""
        spec = find_spec(_moved[fullname])
        return spec.loader.get_code(spec.name) if spec is not None else None  # type: ignore[union-attr]


sys.meta_path.insert(0, _OldPaths())

_NAME_KEPT = {
    "bellman": "kernels",
    "envs": "cache many_worlds random_env sub_env toytext",
    "grid.map": "generator",
    "model": "exports fingerprint growing state_index",
    "planning": "stationary sweep",
    "solution": "convergence frames solution storage storage_checks",
    "util": "arguments compile_cache files imports memory recent threads wording yaml_files",
    "worlds": "chain checks goals world",
}
"""Folder of today within ``empo_gym`` -> modules that moved into it under their old names."""

EMPO_GYM = {
    **{name: f"{folder}.{name}" for folder, names in _NAME_KEPT.items() for name in names.split()},
    "archive": "solution.npz",
    "attaining": "worlds.attainment",
    "behaviour": "envs.human_policies",
    "env": "envs.robot_env",
    "expectations": "bellman.beliefs",
    "grid.alone": "grid.paths.single_agent",
    "grid.art": "grid.rendering.tiles",
    "grid.art_agents": "grid.rendering.agents",
    "grid.conventions": "grid.map.conventions",
    "grid.crowd": "grid.dynamics.large_groups",
    "grid.describe": "grid.state.describe",
    "grid.dynamics": "grid.dynamics.dynamics",
    "grid.files": "grid.map.files",
    "grid.goal_cells": "grid.goals.default_goals",
    "grid.goal_reader": "grid.goals.goal_parser",
    "grid.goal_syntax": "grid.goals.goal_sets",
    "grid.goals": "grid.goals.goals",
    "grid.groups": "grid.dynamics.conflict_groups",
    "grid.handling": "grid.dynamics.interaction",
    "grid.layout": "grid.dynamics.layout",
    "grid.moving": "grid.dynamics.movement",
    "grid.observe": "grid.observations.symbolic",
    "grid.orders": "grid.dynamics.joint_outcomes",
    "grid.parser": "grid.map.parser",
    "grid.partial": "grid.observations.partial",
    "grid.reading": "grid.state.decode",
    "grid.registers": "grid.dynamics.kernel",
    "grid.render": "grid.rendering.render",
    "grid.rows": "grid.dynamics.distributions",
    "grid.rules": "grid.dynamics.turn",
    "grid.sampling": "grid.dynamics.sampling",
    "grid.scratch": "grid.dynamics.workspace",
    "grid.tiles": "grid.map.tiles",
    "grid.undescribe": "grid.state.parse_description",
    "grid.walking": "grid.paths.walking",
    "heuristic": "envs.shortest_path_humans",
    "masks": "envs.action_masks",
    "model": "model.tabular",
    "parallel": "envs.parallel_env",
    "phases": "bellman.backups",
    "planning": "planning.finite_horizon",
    "plots": "plots.maps",
    "plots_planner": "plots.planner",
    "policy": "solution.planner_policy",
    "priors": "solution.given_policies",
    "recomputed": "bellman.lazy_policies",
    "search": "planning.fixed_point",
    "stage": "envs.simulator",
    "stages": "envs.vector_simulator",
    "vector": "envs.vector_env",
    "views": "envs.observations",
}
"""Old path -> path of today, within ``empo_gym``."""

add("empo_gym", EMPO_GYM)
