"""The ``empo`` command: what each subcommand takes, and the place where its work is done.

A subcommand is a row of :data:`COMMANDS`. Its work is named by an import path and loaded only when it is called: that keeps
``empo --help`` quick, and it lets the command line offer what the learners can do although ``empo_gym`` never imports them.

Exit status: 0 done, 1 failed (one sentence on stderr), 2 bad usage, 130 stopped by Ctrl-C (what was learned until then stays).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path

from empo_gym import __version__
from empo_gym.theory import Theory

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

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


class BadUsage(ValueError):
    """Something wrong with the arguments that only shows once they are looked at together."""


@dataclass(frozen=True)
class Command:
    """One subcommand: its words, the path ``"module:function"`` of its work, its help, examples and arguments."""

    name: str
    target: str
    help: str
    examples: tuple[str, ...]
    arguments: Callable[[argparse.ArgumentParser], None]


def add_world(parser: argparse.ArgumentParser) -> None:
    """One positional world."""
    parser.add_argument("world", metavar="WORLD", help="name of a world (see `empo worlds`) or path of a YAML file")


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


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    add_world(parser)
    add_output(parser, None, "also write the picture to this PNG file")


def _solve_arguments(parser: argparse.ArgumentParser) -> None:
    add_world(parser)
    add_output(parser, None, "folder for solution.npz and the pictures (solutions/WORLD)")
    parser.add_argument(
        "--belief",
        choices=("worst_case", "best_case", "uniform"),
        default="worst_case",
        help="what humans expect of the robot",
    )
    add_theory(parser)


def _positive(text: str) -> int:
    value = int(float(text))
    if value < 1 or value != float(text):
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    add_world(parser)
    parser.add_argument("--algo", default="empo", choices=("empo",), help="the learner (empo)")
    parser.add_argument(
        "--policy", default="TablePolicy", choices=("TablePolicy", "MlpPolicy"), help="a table or a network (TablePolicy)"
    )
    parser.add_argument("-n", "--steps", type=_positive, default=20_000, help="training steps (20000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (0)")
    add_output(parser, None, "folder for model.zip, config.yml and args.yml (runs/WORLD)")
    parser.add_argument("--tensorboard", metavar="DIR", type=Path, help="write TensorBoard logs to this folder")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")
    add_theory(parser)


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="folder that `empo train` wrote, or its model.zip")
    parser.add_argument("world", metavar="WORLD", nargs="?", help="name or YAML file of the world (default: the run's own)")


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE.yaml", nargs="+", help="world files (names of shipped worlds work too)")


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser, "demo", "folder to write (demo)")
    parser.add_argument("--world", default="default", help="world to show (default)")
    parser.add_argument("-n", "--steps", type=_positive, default=20_000, help="training steps (20000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (0)")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


COMMANDS = (
    Command("worlds", "empo_gym.cli_commands:worlds", "list the shipped worlds", ("empo worlds",), _no_arguments),
    Command(
        "show",
        "empo_gym.cli_commands:show",
        "print a world's map, agents and goals; draw it",
        ("empo show key_and_door", "empo show my_world.yaml -o my_world.png"),
        _show_arguments,
    ),
    Command(
        "solve",
        "empo_gym.cli_commands:solve",
        "solve a world exactly; write the solution and its pictures",
        ("empo solve default", "empo solve rock_corridor --beta-r 50 --zeta 1 -o corridor"),
        _solve_arguments,
    ),
    Command(
        "train",
        "empo_sb3.commands:train",
        "learn a world's robot policy",
        ("empo train default -n 20000", "empo train default --policy MlpPolicy -n 50000 --seed 1 -o runs/mlp"),
        _train_arguments,
    ),
    Command(
        "compare",
        "empo_sb3.commands:compare",
        "put what a run learned beside the exact solution",
        ("empo compare runs/default default",),
        _compare_arguments,
    ),
    Command(
        "check",
        "empo_gym.cli_commands:check",
        "check that a world file keeps the contract of a world",
        ("empo check my_world.yaml",),
        _check_arguments,
    ),
    Command(
        "demo",
        "empo_sb3.commands:demo",
        "solve, learn, compare and draw one world",
        ("empo demo -o demo",),
        _demo_arguments,
    ),
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, one subparser per row of :data:`COMMANDS`."""
    parser = argparse.ArgumentParser(
        prog="empo",
        description="Robots that softly maximise the long-term power of the humans around them.",
        epilog="Exit status: 0 done, 1 failed, 2 bad usage, 130 stopped by Ctrl-C.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"empo {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            epilog="examples:\n" + "\n".join(f"  {line}" for line in command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.arguments(sub)
        sub.set_defaults(target=command.target)
    return parser


def load_target(path: str) -> Callable[[argparse.Namespace], None]:
    """The function that an import path ``"module:function"`` names."""
    module, _, function = path.partition(":")
    return getattr(import_module(module), function)


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


def one_sentence(error: BaseException) -> str:
    """The message of an error on one line; an ``OSError`` names its file first."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit status.

    :param argv: the words after ``empo``; ``None`` for those of the process
    """
    arguments = build_parser().parse_args(argv)
    try:
        load_target(arguments.target)(arguments)
        sys.stdout.flush()
        return DONE
    except BrokenPipeError:
        # The reader (`head`, say) has seen enough; a flush at exit would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print("empo: stopped", file=sys.stderr)
        return INTERRUPTED
    except BadUsage as error:
        print(f"empo {arguments.command}: {one_sentence(error)}", file=sys.stderr)
        return BAD_USAGE
    except (ValueError, OSError) as error:
        print(f"empo {arguments.command}: {one_sentence(error)}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
