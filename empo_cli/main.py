"""The ``empo`` command: its subcommands, and the place where the work of each is done.

A subcommand is a row of :data:`COMMANDS`. Its work is named by an import path and loaded only when it is called: that keeps
``empo --help`` quick, and it lets the command line offer what the learners can do although ``empo_gym`` never imports them.

Exit status: 0 done, 1 failed (one sentence on stderr), 2 bad usage, 130 stopped by Ctrl-C (what was learned until then stays).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from empo_cli import arguments as cli_arguments
from empo_cli.arguments import BadUsage, Reported, warnings_told, with_imports
from empo_gym import __version__

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """One subcommand: its words, the path ``"module:function"`` of its work, its help, examples and arguments."""

    name: str
    target: str
    help: str
    examples: tuple[str, ...]
    arguments: Callable[[argparse.ArgumentParser], None]


COMMANDS = (
    Command("worlds", "empo_cli.worlds:worlds", "list the shipped worlds", ("empo worlds",), cli_arguments.no_arguments),
    Command(
        "show",
        "empo_cli.worlds_and_solve:show",
        "print a world's map, agents and goals; draw it",
        ("empo show key_door", "empo show my_world.yaml -o my_world.png"),
        cli_arguments.show_arguments,
    ),
    Command(
        "solve",
        "empo_cli.worlds_and_solve:solve",
        "solve a world exactly; write the solution and its pictures",
        ("empo solve default", "empo solve rock_corridor --beta-r 50 --zeta 1 -o corridor"),
        cli_arguments.solve_arguments,
    ),
    Command(
        "sweep",
        "empo_cli.sweep:sweep",
        "solve a world for many parameters of the theory; write a table",
        (
            "empo sweep default --grid beta_r=1,5,20 zeta=1,2,4 -o sweep.csv",
            "empo sweep key_choice --grid xi=0.5,1,2 --seeds 0 1 2 --beta-r 20",
        ),
        cli_arguments.sweep_arguments,
    ),
    Command(
        "train",
        "empo_cli.learn:train",
        "learn a world's robot policy",
        ("empo train default -n 20000", "empo train default --policy MlpPolicy -n 50000 --seed 1 -o runs/mlp"),
        cli_arguments.train_arguments,
    ),
    Command(
        "compare",
        "empo_cli.learn:compare",
        "put what a run learned beside the exact solution",
        ("empo compare runs/default default",),
        cli_arguments.compare_arguments,
    ),
    Command(
        "play",
        "empo_cli.worlds_and_solve:play",
        "be one of the humans beside the robots",
        ("empo play default", "empo play key_door --robots runs/key_door --terminal"),
        cli_arguments.play_arguments,
    ),
    Command(
        "check",
        "empo_cli.worlds_and_solve:check",
        "check that a world file keeps the contract of a world",
        ("empo check my_world.yaml",),
        cli_arguments.check_arguments,
    ),
    Command(
        "demo",
        "empo_cli.learn:demo",
        "solve, learn, compare and draw one world",
        ("empo demo -o demo",),
        cli_arguments.demo_arguments,
    ),
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, one subparser per row of :data:`COMMANDS`."""
    parser = argparse.ArgumentParser(
        prog="empo",
        description="Robots that softly maximize the long-term power of the humans around them.",
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


def one_sentence(error: BaseException) -> str:
    """The message of an error on one line; an ``OSError`` names its file first."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit status.

    :param argv: the words after ``empo``; ``None`` for those of the process
    """
    arguments = build_parser().parse_args(with_imports(sys.argv[1:] if argv is None else argv))
    try:
        with warnings_told(f"empo {arguments.command}"):
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
    except Reported:
        return FAILED
    except BadUsage as error:
        print(f"empo {arguments.command}: {one_sentence(error)}", file=sys.stderr)
        return BAD_USAGE
    except (ValueError, OSError) as error:
        print(f"empo {arguments.command}: {one_sentence(error)}", file=sys.stderr)
        return FAILED
