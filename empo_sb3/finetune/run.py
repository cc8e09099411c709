"""One run from demonstrations to a fine-tuned policy: clone, warm the critic up, improve, guard what was there before.

    from empo_sb3.finetune import Settings, run
    run(Settings(policy="gaussian", optimizer="mechanic", shift="camera", size="ci"), "runs/finetune")

A run is cut into iterations between evaluations; after each of them the folder holds all that is needed to go on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import set_random_seed

from empo_sb3.finetune.evaluation import Evaluation, evaluate
from empo_sb3.finetune.models import build, iteration_steps, load, plain_steps, total_steps, training_env
from empo_sb3.finetune.optimizers import after_restoring, callbacks, rates
from empo_sb3.finetune.pretrain import SEEDS_PER_RUN, plain_env, pretrain, warm_up_critic, wrapped
from empo_sb3.finetune.progress import Progress, Row
from empo_sb3.finetune.settings import Settings

Say = Callable[[str], None]
EVALUATION_STARTS, TEST_STARTS = 40_000, 60_000  # beside the demonstrations' 0 and the critic's 20 000


def run(settings: Settings, root: str | Path, say: Say = print) -> Progress:
    """
    Start a run, or go on with it.

    :param root: folder of the cache and of the runs' folders
    :param say: takes a line about how it goes
    :return: the finished run; its folder is ``root / settings.name``
    :raises ValueError: if the folder holds another run, or environment or expert do not fit
    """
    folder = Path(root) / settings.name
    progress = Progress.of(settings, folder)
    if progress.is_finished:
        return progress
    env = training_env(settings)
    try:
        _work(settings, progress, Path(root), env, say)
    finally:
        env.close()
    return progress


def _work(settings: Settings, progress: Progress, root: Path, env, say: Say) -> None:
    folder, clock = root / settings.name, _Clock(progress)
    if settings.size == "gpu" and not th.cuda.is_available():
        say("there is no CUDA device, so the size 'gpu' runs on the processor, which takes many hours")
    set_random_seed(settings.seed)
    if progress.model:
        model = load(settings, folder / progress.model, env)
        set_random_seed(settings.seed + 1000 * len(progress.rows))
        say(f"going on after {progress.rows[-1]['steps']} of {settings.total_steps} steps")
    else:
        model = build(settings, env)
        pretrain(settings, model, root / "cache", say)
        if settings.policy == "gaussian":
            warm_up_critic(settings, model, say)
        _first(settings, progress, model, say)
        clock.tick()
        progress.save(folder, model)
    for target in targets(settings):
        if progress.rows[-1]["steps"] < plain_steps(settings, target):
            _improve(settings, progress, model, target, folder, say)
            clock.tick()
            progress.save(folder, model)
    progress.tests["after"] = row_of(_test(settings, model))
    clock.tick()
    progress.save(folder)


def _first(settings: Settings, progress: Progress, model: BaseAlgorithm, say: Say) -> None:
    """What the clone can do, in the plain scene and in that of the fine-tuning."""
    progress.tests["before"] = row_of(_test(settings, model))
    progress.tests["plain"] = progress.tests["before"]
    if settings.shift != "none":
        progress.tests["plain"] = row_of(_test(replace(settings, shift="none"), model))
    found = _evaluate(settings, model)
    say(f"pre-trained: {found}")
    progress.rows.append({"steps": 0, **row_of(found), **rates(model), "restored": False})


def _improve(settings: Settings, progress: Progress, model: BaseAlgorithm, target: int, folder: Path, say: Say) -> None:
    """Train up to a number of steps, evaluate, and restore what was there before if it has become worse than the clone."""
    _learn(settings, model, target)
    found, floor = _evaluate(settings, model), progress.rows[0]["success"] - settings.guard
    steps = plain_steps(settings, target)
    say(f"{steps} of {settings.total_steps} steps: {found}")
    is_finite = _is_finite(model)
    restored = found.success < floor or not (math.isinf(settings.guard) or is_finite)
    if restored:
        model.set_parameters(str(folder / progress.model))
        model.num_timesteps = target
        done = after_restoring(settings, model)
        why = f"success {found.success:.2f} is below {floor:.2f}" if is_finite else "the weights are no numbers any more"
        say(f"guard: {why}, so the policy of {progress.kept_steps} steps is restored; {done}")
    noted = {name: model.logger.name_to_value.get(f"train/{name}") for name in ("approx_kl", "value_loss", "clip_fraction")}
    noted = {name: None if value is None else float(value) for name, value in noted.items()}
    progress.rows.append({"steps": steps, **row_of(found), **rates(model), **noted, "restored": bool(restored)})


def _learn(settings: Settings, model: BaseAlgorithm, target: int) -> None:
    """Up to a number of steps, or until the weights are no numbers any more."""
    try:
        model.learn(target - model.num_timesteps, callback=callbacks(settings), reset_num_timesteps=False)
    except ValueError:
        if _is_finite(model):
            raise


def _is_finite(model: BaseAlgorithm) -> bool:
    return all(bool(th.isfinite(p).all()) for p in model.policy.parameters())


def targets(settings: Settings) -> list[int]:
    """The model's step counts at which it is evaluated: whole iterations, the last one at the end."""
    each = iteration_steps(settings)
    n = total_steps(settings) // each
    ends = np.linspace(0, n, min(n, settings.amounts.n_evaluations) + 1)[1:]
    return [round(float(end)) * each for end in ends]


def _evaluate(settings: Settings, model: BaseAlgorithm) -> Evaluation:
    return _measured(settings, model, EVALUATION_STARTS, settings.amounts.evaluation_episodes)


def _test(settings: Settings, model: BaseAlgorithm) -> Evaluation:
    return _measured(settings, model, TEST_STARTS, settings.amounts.test_episodes)


def _measured(settings: Settings, model: BaseAlgorithm, first: int, n: int) -> Evaluation:
    """A policy whose weights are no numbers fails without trying."""
    if not _is_finite(model):
        return Evaluation((False,) * n, (math.nan,) * n)
    return evaluate(model, scene(settings), starts(settings, first, n))


def scene(settings: Settings) -> Callable[[], gym.Env]:
    """The environment of the fine-tuning as the policy sees it."""
    return lambda: wrapped(settings, plain_env(settings, **settings.env_options))


def starts(settings: Settings, first: int, n: int) -> range:
    """Seeds of episodes that no other purpose or run of another seed uses."""
    return range(SEEDS_PER_RUN * settings.seed + first, SEEDS_PER_RUN * settings.seed + first + n)


def row_of(found: Evaluation) -> Row:
    """An evaluation for a file."""
    return {"success": found.success, "return": found.mean_return, "episodes": len(found.successes)}


class _Clock:
    """Adds the processor's time since the last tick to the run's."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.last = progress, time.process_time()

    def tick(self) -> None:
        now = time.process_time()
        self.progress.seconds += now - self.last
        self.last = now
