"""``python -m empo_sb3.zoo``: rl-zoo3's scripts with our algorithms, what a zoo file may say, and reading it safely."""

from empo_sb3.zoo.command import (
    LOGS,
    NO_ROBOT,
    SCRIPTS,
    algorithms,
    allowed_modules,
    check,
    config_directory,
    environments,
    main,
    register,
    with_defaults,
)

__all__ = [
    "LOGS",
    "NO_ROBOT",
    "SCRIPTS",
    "algorithms",
    "allowed_modules",
    "check",
    "config_directory",
    "environments",
    "main",
    "register",
    "with_defaults",
]
