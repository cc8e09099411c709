"""Fine-tune a cloned robot policy online, with no learning rate to choose.

    python -m empo_sb3.finetune --env FR3VisualReach-v0 --policy gaussian --optimizer mechanic --shift camera --size ci

The same command goes on where an earlier one was stopped. The folder of the run gets ``curve.csv``, ``curve.png``,
``before.gif``, ``after.gif``, ``progress.json`` and the model.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path

import torch as th

from empo_sb3.finetune.models import build, load, training_env
from empo_sb3.finetune.pretrain import pretrain
from empo_sb3.finetune.progress import Progress
from empo_sb3.finetune.report import draw_curve, film, write_curve
from empo_sb3.finetune.run import run
from empo_sb3.finetune.settings import FRANKA_EXPERT, OPTIMIZERS, POLICIES, SCHEDULE_OF, SCHEDULES, SIZES, TUNERS, Settings


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 when the run is finished, 1 after a mistake in the arguments, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    folder = Path(options.output)
    try:
        settings = Settings(**{name: value for name, value in vars(options).items() if name not in ("output", "films")})
        th.set_num_threads(1 if settings.size != "gpu" else th.get_num_threads())
        progress = run(settings, folder, _say)
        _report(settings, progress, folder, options.films)
    except KeyboardInterrupt:
        print(f"\nstopped; the same command {_what_is_left(settings, folder)}")
        return 130
    except OSError as error:
        print(f"finetune: {error} (the output folder is {folder})", file=sys.stderr)
        return 1
    except (ValueError, ImportError) as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 1
    return 0


def _what_is_left(settings: Settings, root: Path) -> str:
    progress = Progress.of(settings, root / settings.name)
    if progress.is_finished:
        return "draws what is missing"
    if progress.rows:
        return "goes on from the last evaluation"
    return "begins again, with the demonstrations and the clone that are in the cache"


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m empo_sb3.finetune", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--env", default="FR3VisualReach-v0", help="environment id")
    parser.add_argument("--policy", default="gaussian", choices=POLICIES)
    parser.add_argument("--optimizer", default="mechanic", choices=list(OPTIMIZERS))
    parser.add_argument("--lr", type=float, help=f"learning rate (default: the optimizer's own, {_told(OPTIMIZERS)})")
    parser.add_argument("--schedule", choices=SCHEDULES, help=f"of the rate (default: the optimizer's, {_told(SCHEDULE_OF)})")
    parser.add_argument(
        "--tuners", default="shared", choices=TUNERS, help="of mechanic, trac: one, or one each for actor, critic"
    )
    parser.add_argument("--shift", default="none", help="what differs from the scene of the demonstrations, such as camera")
    parser.add_argument("--size", default="default", choices=list(SIZES), help="ci: half a minute, default: three, gpu: hours")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guard", type=_guard, default=0.0, help="fall of success before a restoration, or off (default: 0)")
    parser.add_argument("--steps", type=int, help="steps of fine-tuning instead of the size's")
    parser.add_argument("--denoiser", default="mlp", help="mlp, cnn, transformer or package.module:Class")
    parser.add_argument("--expert", default=FRANKA_EXPERT, help="package.module:function from environment to expert")
    parser.add_argument("--films", type=_choice, default=True, help="on or off (default: on)")
    parser.add_argument("-o", "--output", default="runs/finetune", help="folder of cache and runs (default: runs/finetune)")
    return parser


def _told(defaults: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in defaults.items())


def _guard(word: str) -> float:
    try:
        return math.inf if word == "off" else float(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"a number or off, not {word!r}") from error


def _choice(word: str) -> bool:
    if word not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"on or off, not {word!r}")
    return word == "on"


def _report(settings: Settings, progress: Progress, root: Path, films: bool) -> None:
    folder = root / settings.name
    write_curve(progress, folder)
    _try("curve.png", lambda: draw_curve(progress, _title(settings), folder / "curve.png"))
    if films:
        _try("films", lambda: _films(settings, progress, root))
    tests = progress.tests
    print(f"success over {tests['after']['episodes']} test episodes: {tests['before']['success']:.2f} pre-trained", end="")
    print("" if settings.shift == "none" else f" ({tests['plain']['success']:.2f} without the shift)", end="")
    of = f", with the policy of {progress.kept_steps}, which the guard restored" if progress.rows[-1]["restored"] else ""
    print(f", {tests['after']['success']:.2f} after {progress.rows[-1]['steps']} steps{of}; {progress.seconds:.0f} CPU s")
    print(f"in {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _title(settings: Settings) -> str:
    shift = "" if settings.shift == "none" else f", {settings.shift} shifted"
    return f"{settings.env}{shift}: {settings.policy}, {settings.optimizer} {settings.learning_rate:g}, seed {settings.seed}"


def _films(settings: Settings, progress: Progress, root: Path) -> None:
    folder, env = root / settings.name, training_env(settings)
    try:
        if not (folder / "before.gif").exists():
            model = build(settings, env)
            pretrain(settings, model, root / "cache", _say)
            film(settings, model, folder / "before.gif")
        if not (folder / "after.gif").exists():
            film(settings, load(settings, folder / progress.model, env), folder / "after.gif")
    finally:
        env.close()


def _try(what: str, make) -> None:
    try:
        make()
    except ImportError as error:
        print(f"{what} left out: {error}; pip install 'empo[plots]', and the same command draws it")
    except ValueError as error:
        print(f"{what} left out: {error}")


if __name__ == "__main__":
    sys.exit(main())
