"""The subcommands of ``empo`` that learn: train, compare and demo. The command line finds them by their import path."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from empo_cli.arguments import theory_overrides
from empo_cli.pictures import can_draw, episode_frames, save_animation, write_pictures
from empo_cli.report import comparison_table, model_line, world_line
from empo_cli.solving import print_solution, solve_exactly
from empo_gym import __version__
from empo_gym.envs.robot_env import RobotEnv
from empo_gym.planning.finite_horizon import solve_robot
from empo_gym.solution.solution import EmpoSolution
from empo_gym.util import yaml_files
from empo_gym.util.files import write_whole
from empo_sb3 import EMPO, HumanDQN
from empo_sb3.zoo import models as zoo_models

MODEL, CONFIG, ARGUMENTS = "model.zip", "config.yml", "args.yml"
SCOPE = "values at the start, differences over all reachable (t, s)"


def train(arguments: argparse.Namespace) -> None:
    """``empo train``: learn, and write the model with all that made it.

    :raises KeyboardInterrupt: after writing, if Ctrl-C ended the training early
    """
    env = RobotEnv(world=arguments.world, theory=theory_overrides(arguments), allow_imports=arguments.allow_imports)
    folder = arguments.output or Path("runs") / env.world.name
    folder.mkdir(parents=True, exist_ok=True)
    size = model_line(env.model) if env.is_packed else "too many states to list: they are learned in as they are met"
    print(f"{env.world.name}: {world_line(env.world)}\n  {size}", flush=True)
    if arguments.algo == "empo":
        arguments.policy = arguments.policy or ("TablePolicy" if env.is_packed else "MlpPolicy")
        model = learn(env, arguments)
    else:
        model = learn_from_zoo(env, arguments)
    save_run(folder, model, arguments)
    print(f"wrote {folder / MODEL}, {CONFIG}, {ARGUMENTS}{_next(model, folder, arguments.world)}")
    if model.num_timesteps < arguments.steps:
        raise KeyboardInterrupt


def _next(model: BaseAlgorithm, folder: Path, world: str) -> str:
    """What can be done with a run."""
    if isinstance(model, EMPO):
        return f"; next: empo compare {folder} {world}"
    return "" if isinstance(model, HumanDQN) else f"; next: empo play {world} --robots {folder}"


def learn(env: RobotEnv, arguments: argparse.Namespace) -> EMPO:
    """Learn by EMPO on one thread for ``arguments.steps`` training steps; Ctrl-C ends it early with what there is.

    :param env: the environment, whose theory the learner takes
    :param arguments: ``policy``, ``steps``, ``seed``, ``tensorboard``, ``no_progress``
    """
    # On tensors this small, threads cost more in waiting for each other than they do.
    torch.set_num_threads(1)
    log = None if arguments.tensorboard is None else str(arguments.tensorboard)
    arguments.policy = arguments.policy or ("TablePolicy" if env.is_packed else "MlpPolicy")
    model = EMPO(arguments.policy, env, seed=arguments.seed, tensorboard_log=log)
    _learn(model, arguments)
    return model


def learn_from_zoo(env: RobotEnv, arguments: argparse.Namespace) -> BaseAlgorithm:
    """Learn by any algorithm as its zoo file says, but for the number of steps and perhaps the policy.

    :param env: whose world and theory the learner's environments have
    :param arguments: as for :func:`learn`, and ``algo``
    """
    torch.set_num_threads(1)
    log = None if arguments.tensorboard is None else str(arguments.tensorboard)
    allow = arguments.allow_imports
    entry = zoo_models.hyperparameters(arguments.algo, env.world.name, allow)
    arguments.policy = entry["policy"] = arguments.policy or entry["policy"]
    options = {"seed": arguments.seed, "tensorboard_log": log}
    make = partial(RobotEnv, world=arguments.world, theory=theory_overrides(arguments))
    model, callbacks = zoo_models.build(arguments.algo, make, entry, allow, **options)
    _learn(model, arguments, callbacks)
    return model


def _learn(model: BaseAlgorithm, arguments: argparse.Namespace, callbacks: Sequence[BaseCallback] = ()) -> None:
    start = time.perf_counter()
    try:
        model.learn(arguments.steps, callback=list(callbacks) or None, progress_bar=not arguments.no_progress)
    except KeyboardInterrupt:
        print(f"\nstopped by Ctrl-C; keeping what {model.num_timesteps:,} steps have taught")
    print(f"  {model.num_timesteps:,} training steps in {time.perf_counter() - start:.1f} s", flush=True)


def save_run(folder: Path, model: BaseAlgorithm, arguments: argparse.Namespace) -> None:
    """Write model, configuration and arguments of a run.

    :param folder: an existing folder
    """
    write_whole(folder / MODEL, model.save)
    if isinstance(model, EMPO | HumanDQN):
        config = {"theory": asdict(model.theory), "training": asdict(model.config)}
    else:
        world = model.get_env().get_attr("world")[0]  # type: ignore[union-attr]
        entry = zoo_models.hyperparameters(arguments.algo, world.name, arguments.allow_imports)
        config = {"theory": theory_overrides(arguments), "training": {**entry, "policy": arguments.policy}}
    write_yaml(folder / CONFIG, config)
    words = {
        name: plain(value)
        for name, value in vars(arguments).items()
        if value is not None and name not in ("target", "command")
    }
    write_yaml(folder / ARGUMENTS, {**words, "steps_done": model.num_timesteps, "empo_version": __version__})


def plain(value: Any) -> Any:
    """A value as YAML writes it."""
    return str(value) if isinstance(value, Path) else value


def write_yaml(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write a mapping, whole or not at all."""
    text = yaml.safe_dump(dict(mapping), sort_keys=False)
    write_whole(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def read_yaml(path: Path, *names: str) -> list[Any]:
    """Read some entries of a mapping that :func:`write_yaml` wrote.

    :raises ValueError: if the file is missing, is not such a mapping, or lacks an entry
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing; give a folder that `empo train` wrote.")
    try:
        mapping = yaml_files.read_yaml(path)
    except yaml_files.YamlError:
        mapping = None
    if not isinstance(mapping, dict) or not mapping.keys() >= set(names):
        raise ValueError(f"{path} is not a mapping with {', '.join(names)}; is the file cut off?")
    return [mapping[name] for name in names]


def compare(arguments: argparse.Namespace) -> None:
    """``empo compare``: what a run learned beside the exact solution of the same world and theory."""
    folder = arguments.run.parent if arguments.run.suffix == ".zip" else arguments.run
    require_empo(folder, "compared with the exact solution")
    trained_on, policy, n_steps = read_yaml(folder / ARGUMENTS, "world", "policy", "steps_done")
    (theory,) = read_yaml(folder / CONFIG, "theory")
    allow = arguments.allow_imports
    env = RobotEnv(world=arguments.world or trained_on, theory=theory, allow_imports=allow)
    if arguments.world and RobotEnv(world=trained_on, allow_imports=allow).world.name != env.world.name:
        raise ValueError(f"{folder} was trained on {trained_on}, not on {arguments.world}.")
    model = EMPO.load(arguments.run if arguments.run.suffix == ".zip" else folder / MODEL, env=env)
    print(f"{env.world.name}, {policy} after {n_steps:,} training steps: {SCOPE}")
    print(comparison_table(exact_solution(env), model.solution()))


def require_empo(folder: Path, what: str) -> None:
    """Require the run of a learner of power.

    :param what: is to be done with it
    :raises ValueError: for a run of another algorithm, saying what can be done with that
    """
    name = algorithm_name(folder)
    if ":" in name or not issubclass(zoo_models.algorithm_of(name), EMPO):
        instead = (
            "use HumanDQN.load and its prior()" if name == "human_dqn" else f"watch it by `empo play WORLD --robots {folder}`"
        )
        raise ValueError(f"{folder} is a run of {name}, which learns no power to be {what}; {instead}.")


def algorithm_name(folder: Path) -> str:
    """The algorithm of a run; runs of before there were several do not say it."""
    path = folder / ARGUMENTS
    if not path.is_file():
        return "empo"
    mapping = yaml_files.read_yaml(path)
    return str(mapping.get("algo", "empo")) if isinstance(mapping, dict) else "empo"


def exact_solution(env: RobotEnv) -> EmpoSolution:
    """The planner's answer to what a learner is learning in an environment."""
    return solve_robot(env.model, env.prior, env.theory)


def demo(arguments: argparse.Namespace) -> None:
    """``empo demo``: one world solved, learned, compared and drawn."""
    folder = arguments.output
    env = RobotEnv(world=arguments.world, allow_imports=arguments.allow_imports)
    print(f"1. Solve {env.world.name!r} exactly: {world_line(env.world)}")
    exact = solve_exactly(env.world, env.theory)
    print_solution(exact)
    print(f"\n2. Learn the same with a table, for {arguments.steps:,} training steps")
    arguments.policy, arguments.tensorboard = "TablePolicy", None
    model = learn(env, arguments)
    print(f"\n3. Compare: {SCOPE}")
    print(comparison_table(exact, model.solution()))
    print("\n4. Look")
    if can_draw():
        written = write_pictures(exact, folder)
        save_animation(folder / "episode.gif", episode_frames(exact, seed=arguments.seed))
        print(", ".join(str(path) for path in [*written, folder / "episode.gif"]))
