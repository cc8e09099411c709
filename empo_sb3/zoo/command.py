"""``python -m empo_sb3.zoo SCRIPT ...``: rl-zoo3's own scripts, with our algorithms and environments registered.

rl-zoo3 has no plug-in point: its scripts read the choices of ``--algo`` from the dictionary ``ALGOS`` when they parse their
arguments. So the dictionary is filled first and the script is run after. Everything else, arguments included, is rl-zoo3's,
but for two defaults: the hyper-parameters of our algorithms and environments are ours, and ``enjoy`` looks where ``train``
wrote; for a check of the zoo file, in which a misspelt key is an error that names it; and for ``plot -o PICTURE.png``, which
writes the figure that rl-zoo3 would only show.
"""

from __future__ import annotations

import os
import runpy
import sys
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from empo_gym.util.files import write_whole
from empo_gym.util.yaml_files import YamlError
from empo_sb3.zoo.door import ALLOW_VARIABLE, ZooRefused, guarded
from empo_sb3.zoo.file_check import check_file

SCRIPTS = {
    "train": "rl_zoo3.train",
    "enjoy": "rl_zoo3.enjoy",
    "record_video": "rl_zoo3.record_video",
    "record_training": "rl_zoo3.record_training",
    "benchmark": "rl_zoo3.benchmark",
    "plot": "rl_zoo3.plots.plot_train",
    "plot_train": "rl_zoo3.plots.plot_train",
    "plot_from_file": "rl_zoo3.plots.plot_from_file",
    "all_plots": "rl_zoo3.plots.all_plots",
}
ALLOW = "--allow-imports"
NEEDS_ZOO = "python -m empo_sb3.zoo needs rl-zoo3: pip install rl-zoo3"
USAGE = (
    f"usage: python -m empo_sb3.zoo {{{','.join(SCRIPTS)}}} [{ALLOW} MODULE,...] ...\n"
    "(then rl-zoo3's own arguments; --help lists them)"
)
LOGS = "logs"
SHORTEST = 4
"""Fewer characters of a long option could mean another one."""
PICTURE = "-o", "--output"
OUR_ENVS = "EMPO-"
NO_ROBOT = "human_dqn learns what humans do, not what robots should: there is nobody to watch; its prior() is the result"


def algorithms() -> dict[str, type]:
    """Our algorithms by the name that ``--algo`` takes."""
    from empo_sb3 import EMPO, HumanDQN, RecurrentPPO

    return {"empo": EMPO, "empo_table": EMPO, "human_dqn": HumanDQN, "ppo_gru": RecurrentPPO, "ppo_lstm": RecurrentPPO}


def register() -> None:
    """Make our environments known to Gymnasium, and our algorithms and what Optuna may try for them to rl-zoo3."""
    import rl_zoo3
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER

    from empo_gym.registration import register_envs
    from empo_sb3.zoo.search import CONVERTERS, SAMPLERS

    register_envs()
    rl_zoo3.ALGOS.update(algorithms())
    HYPERPARAMS_SAMPLER.update(SAMPLERS)
    HYPERPARAMS_CONVERTER.update(CONVERTERS)


def environments() -> set[str]:
    """All ids that a zoo file may name; those without velocities are registered by rl-zoo3 after this."""
    import gymnasium
    from rl_zoo3.wrappers import MaskVelocityWrapper

    return set(gymnasium.registry) | {name.replace("-v", "NoVel-v") for name in MaskVelocityWrapper.velocity_indices}


def allowed_modules(words: str | None = None) -> tuple[str, ...]:
    """
    The modules outside the allowed packages that zoo files may name classes of.

    :param words: names with commas between them; None for those of the environment variable ``EMPO_ALLOW_IMPORTS``
    """
    words = os.environ.get(ALLOW_VARIABLE, "") if words is None else words
    return tuple(name.strip() for name in words.split(",") if name.strip())


def check(arguments: Sequence[str], allow: Collection[str] = ()) -> None:
    """
    Check the zoo file that some arguments name, and that the algorithm can do what they want.

    :param arguments: of one of rl-zoo3's scripts; only ``.yml`` files are checked
    :param allow: modules whose classes the file may name, besides the allowed packages
    :raises ValueError: with one sentence that says what is wrong
    """
    import rl_zoo3

    name, path = _value(arguments, "--algo"), _value(arguments, "--conf-file", "-conf")
    if name == "human_dqn" and _given(arguments, "-optimize", "--optimize-hyperparameters"):
        raise ValueError("human_dqn learns what humans do, for which no environment pays: there is no return to optimize")
    if name in rl_zoo3.ALGOS and path is not None and path.endswith((".yml", ".yaml")):
        check_file(path, rl_zoo3.ALGOS[name], environments(), allow)


def config_directory() -> Path:
    """Where ``<algo>.yml`` lie: ``empo_zoo_configs`` beside an installed package, ``zoo_configs`` in a checkout."""
    beside = Path(__file__).resolve().parent.parent.parent
    installed = beside / "empo_zoo_configs"
    return installed if installed.is_dir() else beside / "zoo_configs"


def with_defaults(script: str, arguments: Sequence[str]) -> list[str]:
    """The arguments, completed by our defaults where the script takes them and the user gave none.

    :param script: a key of :data:`SCRIPTS`
    :param arguments: what the user wrote after it
    """
    completed = list(arguments)
    if script == "train" and not _given(completed, "-conf", "--conf-file"):
        name, env = _value(completed, "--algo"), _value(completed, "--env") or ""
        config = config_directory() / f"{name}.yml"
        if config.is_file() and (name in algorithms() or env.startswith(OUR_ENVS)):
            completed += ["--conf-file", str(config)]
    if script in ("enjoy", "record_video", "record_training") and not _given(completed, "-f", "--folder"):
        completed += ["-f", LOGS]
    return completed


def _given(arguments: Sequence[str], *options: str) -> bool:
    return any(_means(word.partition("=")[0], options) for word in arguments)


def _means(word: str, options: Sequence[str]) -> bool:
    """Whether a word is one of these options, or the beginning of a long one, which argparse takes too."""
    return word in options or (len(word) > SHORTEST and word.startswith("--") and any(o.startswith(word) for o in options))


def _value(arguments: Sequence[str], *options: str) -> str | None:
    for i, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if _means(name, options) and (equals or i + 1 < len(arguments)):
            return value if equals else arguments[i + 1]
    return None


def picture_of(script: str, arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """
    The file that ``plot`` is to write, if any, and the arguments that are rl-zoo3's.

    :raises ValueError: if no name follows the option
    """
    rest = list(arguments)
    if SCRIPTS[script] != SCRIPTS["plot"] or not _given(rest, *PICTURE):
        return None, rest
    name, rest = _option(rest, *PICTURE)
    if not name:
        raise ValueError(f"{PICTURE[0]} needs the name of a picture, such as curves.png")
    return Path(name), rest


def _option(arguments: Sequence[str], *names: str) -> tuple[str | None, list[str]]:
    """The value of an option that is ours, None without, and the other arguments."""
    value, rest = _value(arguments, *names), list(arguments)
    if value is not None:
        at = next(i for i, word in enumerate(rest) if _means(word.partition("=")[0], names))
        del rest[at : at + (1 if "=" in rest[at] else 2)]
    return value, rest


def _write_instead_of_show(path: Path) -> None:
    """Every ``plt.show()`` from now on writes the figure to a file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def write(*_: Any, **__: Any) -> None:
        figure, kind = pyplot.gcf(), path.suffix[1:] or "png"
        write_whole(path, lambda unfinished: figure.savefig(unfinished, dpi=120, format=kind))
        print(f"wrote {path}")

    pyplot.show = write  # type: ignore[assignment]


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
    try:
        register()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rl_zoo3":
            raise
        print(NEEDS_ZOO, file=sys.stderr)
        return 1
    try:
        return _run(script, arguments)
    except (ZooRefused, YamlError) as error:
        print(f"python -m empo_sb3.zoo {script}: {error}", file=sys.stderr)
        return 1


def _run(script: str, arguments: list[str]) -> int:
    try:
        allow, arguments = _option(arguments, ALLOW)
        allowed = allowed_modules(allow)
        arguments = with_defaults(script, arguments)
        check(arguments, allowed)
        picture, arguments = picture_of(script, arguments)
        if script != "train" and _value(arguments, "--algo") == "human_dqn" and not script.startswith(("plot", "all")):
            raise ValueError(NO_ROBOT)
    except ValueError as error:
        print(f"python -m empo_sb3.zoo {script}: {error}", file=sys.stderr)
        return 1
    if picture is not None:
        _write_instead_of_show(picture)
    sys.argv = [script, *arguments]
    # `rl_zoo3` has imported its scripts already, and runpy remarks on that.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")
    with guarded(allowed):
        runpy.run_module(SCRIPTS[script], run_name="__main__", alter_sys=True)
    return 0
