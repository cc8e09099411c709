"""The arguments of the subcommands of ``empo``, and how their theory options become numbers of :class:`Theory`."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from empo_gym.theory import Theory
from empo_gym.util.imports import Allow, as_allow

_MEANINGS = {
    "gamma_h": "discount factor of the humans",
    "gamma_r": "discount factor of the robot",
    "beta_h": "how sharply humans choose (inf: always the best)",
    "beta_r": "how sharply the robot chooses (0: uniform)",
    "zeta": "preference for certain over uncertain goals",
    "xi": "aversion to inequality between humans",
    "eta": "aversion to inequality over time",
    "nu_h": "weight of habit in the humans' choice",
    "terminal_v_r": "value of a terminal state; write --terminal-v-r=-1e-9",
    "x_h_min": "floor of a human's power (0: none)",
}


class Reported(ValueError):
    """A failure whose sentences have been printed already."""


class BadUsage(ValueError):
    """Something wrong with the arguments that only shows once they are looked at together."""


def add_world(parser: argparse.ArgumentParser) -> None:
    """One positional world."""
    parser.add_argument("world", metavar="WORLD", help="name of a world (see `empo worlds`) or path of a YAML file")
    add_imports(parser)


def add_imports(parser: argparse.ArgumentParser) -> None:
    """The option ``--allow-imports``, whose value, if any, follows after ``=``: see :func:`with_imports`."""
    parser.add_argument(
        "--allow-imports",
        metavar="=MODULE,...",
        type=_modules,
        default=False,
        help="let world files name goal classes of these modules, which runs their code; without =MODULE,... of any module",
    )


@contextmanager
def warnings_told(where: str) -> Iterator[None]:
    """Print warnings meant for users as errors are printed, each time, without the line of code that gave them."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if category is UserWarning:
                print(f"{where}: warning: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        if not sys.warnoptions:
            warnings.simplefilter("always", UserWarning)
        yield


def with_imports(words: Sequence[str]) -> list[str]:
    """Return the words of a command line, ``--allow-imports`` alone with an empty value, so that it takes no file for one."""
    return ["--allow-imports=" if word == "--allow-imports" else word for word in words]


def _modules(text: str) -> Allow:
    try:
        return as_allow([name.strip() for name in text.split(",")] if text else True)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not names of modules with commas between them") from None


def add_theory(parser: argparse.ArgumentParser) -> None:
    """One option per number of :class:`Theory`; what is not given comes from the world's file."""
    group = parser.add_argument_group("theory (replaces what the world's file says)")
    for field in fields(Theory):
        option = "--" + field.name.replace("_", "-")
        group.add_argument(
            option, dest=field.name, type=float, metavar="X", help=f"{_MEANINGS[field.name]} ({field.default:g})"
        )


def add_output(parser: argparse.ArgumentParser, default: str | None, what: str) -> None:
    """The option ``-o``."""
    parser.add_argument("-o", "--output", metavar="PATH", default=default, type=Path, help=what)


def add_belief(parser: argparse.ArgumentParser) -> None:
    """The option ``--belief``."""
    parser.add_argument(
        "--belief",
        choices=("worst_case", "best_case", "uniform"),
        help="what humans expect of the robot (what the world's file says, else worst_case)",
    )


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing."""
    del parser


def show_arguments(parser: argparse.ArgumentParser) -> None:
    """``empo show``."""
    add_world(parser)
    add_output(parser, None, "also write the picture to this PNG file")


def _positive(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value >= 1.0 or not value.is_integer():
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer >= 1")
    return int(value)


def _natural(text: str) -> int:
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer >= 0")
    return int(text)


def solve_arguments(parser: argparse.ArgumentParser) -> None:
    """``empo solve``."""
    add_world(parser)
    add_output(parser, None, "folder for solution.npz and the pictures (solutions/WORLD)")
    add_belief(parser)
    parser.add_argument(
        "--keep",
        choices=("policy", "values", "all"),
        default="all",
        help="what to keep of all times: less needs less memory; pictures of values need values (all)",
    )
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="precision of the humans' values")
    parser.add_argument("--threads", type=_positive, default=1, help="how many threads; the result is the same (1)")
    add_theory(parser)


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """``empo sweep``."""
    add_world(parser)
    parser.add_argument(
        "--grid", metavar="NAME=X,X,...", nargs="+", default=[], help="values of parameters; every combination is solved"
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        nargs="+",
        type=_natural,
        help="also simulate episodes with each of these seeds: a row for each",
    )
    parser.add_argument("--episodes", type=_positive, default=200, help="how many episodes per seed (200)")
    parser.add_argument("--processes", type=_positive, help="how many processes (as many as there are cores)")
    add_output(parser, "sweep.csv", "CSV file to write, or to complete (sweep.csv)")
    add_belief(parser)
    add_theory(parser)


def _algorithm(name: str) -> str:
    """A registered algorithm, or the path of a class, which is imported only when it is allowed."""
    if ":" not in name and name != "empo":
        from empo_sb3.zoo.models import algorithm_of

        try:
            algorithm_of(name)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return name


def train_arguments(parser: argparse.ArgumentParser) -> None:
    """``empo train``."""
    add_world(parser)
    parser.add_argument(
        "--algo",
        default="empo",
        type=_algorithm,
        help="the learner (empo): any registered one, or your own by package.module:Class with --allow-imports; others"
        " than empo take the hyper-parameters of their zoo files",
    )
    parser.add_argument(
        "--policy",
        help="the learner's policy (of empo TablePolicy, or MlpPolicy where the world has too many states to list; else as the"
        " zoo file says)",
    )
    parser.add_argument(
        "-n", "--steps", type=_positive, default=20_000, help="training steps, of ppo... environment steps (20000)"
    )
    parser.add_argument("--seed", type=_natural, metavar="N", default=0, help="seed of everything random (0)")
    add_output(parser, None, "folder for model.zip, config.yml and args.yml (runs/WORLD)")
    parser.add_argument("--tensorboard", metavar="DIR", type=Path, help="write TensorBoard logs to this folder")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")
    add_theory(parser)


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """``empo compare``."""
    parser.add_argument("run", metavar="RUN", type=Path, help="folder that `empo train` wrote, or its model.zip")
    parser.add_argument("world", metavar="WORLD", nargs="?", help="name or YAML file of the world (default: the run's own)")
    add_imports(parser)


def play_arguments(parser: argparse.ArgumentParser) -> None:
    """``empo play``."""
    add_world(parser)
    parser.add_argument("--human", metavar="N", type=_natural, default=0, help="number of the human that you are (0)")
    parser.add_argument("--seed", type=_natural, metavar="N", help="seed of everything random (another one each time)")
    parser.add_argument(
        "--robots", metavar="PATH", type=Path, help="what the robots follow: a solution.npz, or a run of `empo train` (exact)"
    )
    parser.add_argument("--terminal", action="store_true", help="play in the terminal, not in a window")


def check_arguments(parser: argparse.ArgumentParser) -> None:
    """``empo check``."""
    parser.add_argument("files", metavar="FILE.yaml", nargs="+", help="world files (names of shipped worlds work too)")
    add_imports(parser)


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    """``empo demo``."""
    add_output(parser, "demo", "folder to write (demo)")
    parser.add_argument("--world", default="default", help="world to show (default)")
    add_imports(parser)
    parser.add_argument("-n", "--steps", type=_positive, default=20_000, help="training steps (20000)")
    parser.add_argument("--seed", type=_natural, metavar="N", default=0, help="seed of everything random (0)")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


def theory_overrides(arguments: argparse.Namespace) -> dict[str, float]:
    """The numbers of :class:`Theory` that were given as options.

    :raises BadUsage: if one lies outside its range
    """
    given = {f.name: getattr(arguments, f.name) for f in fields(Theory) if getattr(arguments, f.name, None) is not None}
    try:
        Theory.from_mapping(given)
    except ValueError as error:
        raise BadUsage(str(error)) from None
    return given
