"""``python -m empo_sb3.zoo SCRIPT ...``: rl-zoo3's own scripts, with our algorithms and environments registered.

rl-zoo3 has no plug-in point: its scripts read the choices of ``--algo`` from the dictionary ``ALGOS`` when they parse their
arguments. So the dictionary is filled first and the script is run after. Everything else, arguments included, is rl-zoo3's,
but for two defaults: the hyper-parameters of our algorithms are ours, and ``enjoy`` looks where ``train`` wrote.
"""

from __future__ import annotations

import runpy
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

SCRIPTS = {
    "train": "rl_zoo3.train",
    "enjoy": "rl_zoo3.enjoy",
    "record_video": "rl_zoo3.record_video",
    "record_training": "rl_zoo3.record_training",
    "benchmark": "rl_zoo3.benchmark",
    "plot_train": "rl_zoo3.plots.plot_train",
    "plot_from_file": "rl_zoo3.plots.plot_from_file",
    "all_plots": "rl_zoo3.plots.all_plots",
}
USAGE = f"usage: python -m empo_sb3.zoo {{{','.join(SCRIPTS)}}} ...   (then rl-zoo3's own arguments; --help lists them)"
LOGS = "logs"


def algorithms() -> dict[str, type]:
    """Our algorithms by the name that ``--algo`` takes."""
    from empo_sb3 import EMPO

    return {"empo": EMPO}


def register() -> None:
    """Put our environments into Gymnasium's registry and our algorithms into rl-zoo3's dictionary."""
    import rl_zoo3

    from empo_gym.registration import register_envs

    register_envs()
    rl_zoo3.ALGOS.update(algorithms())


def config_directory() -> Path:
    """Where ``<algo>.yml`` lie: ``empo_zoo_configs`` beside an installed package, ``zoo_configs`` in a checkout."""
    beside = Path(__file__).resolve().parent.parent
    installed = beside / "empo_zoo_configs"
    return installed if installed.is_dir() else beside / "zoo_configs"


def with_defaults(script: str, arguments: Sequence[str]) -> list[str]:
    """The arguments, completed by our defaults where the script takes them and the user gave none.

    :param script: a key of :data:`SCRIPTS`
    :param arguments: what the user wrote after it
    """
    completed = list(arguments)
    if script == "train" and not _given(completed, "-conf", "--conf-file"):
        config = config_directory() / f"{_value(completed, '--algo')}.yml"
        completed += ["--conf-file", str(config)] if config.is_file() else []
    if script in ("enjoy", "record_video", "record_training") and not _given(completed, "-f", "--folder"):
        completed += ["-f", LOGS]
    return completed


def _given(arguments: Sequence[str], *options: str) -> bool:
    return any(word == option or word.startswith(option + "=") for word in arguments for option in options)


def _value(arguments: Sequence[str], option: str) -> str | None:
    for i, word in enumerate(arguments):
        if word == option and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith(option + "="):
            return word.partition("=")[2]
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of rl-zoo3's scripts.

    :param argv: the words after ``python -m empo_sb3.zoo``; ``None`` for those of the process
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if words else 2
    script, *arguments = words
    if script not in SCRIPTS:
        print(f"python -m empo_sb3.zoo: there is no script {script!r}\n{USAGE}", file=sys.stderr)
        return 2
    register()
    sys.argv = [script, *with_defaults(script, arguments)]
    # `rl_zoo3` has imported its scripts already, and runpy remarks on that.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")
    runpy.run_module(SCRIPTS[script], run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
