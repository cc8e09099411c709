"""What Optuna tries for our algorithms in rl-zoo3: ranges around the defaults, small enough for a few cores.

A sampler suggests numbers and hands them to its converter; the converter alone turns the numbers of a finished trial into
hyper-parameters (``--trial-id``). Schedules of the zoo file stay: a sampled learning rate is what they multiply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Params = dict[str, Any]
Sampler = Callable[[Any, int, int, dict[str, Any]], Params]

NET_ARCH = {"small": [64], "medium": [64, 64], "large": [256, 256]}
ACTORS = {name: {"pi": units, "vf": units} for name, units in NET_ARCH.items()}
POWERS = ("n_steps", "batch_size")
REST = ("one_minus_gamma", "net_arch", "rnn_hidden_size", "critic_rnn")


def convert_recurrent(params: Params) -> Params:
    """Hyper-parameters of RecurrentPPO from what was sampled."""
    found = {name: value for name, value in params.items() if name not in REST and not name.endswith("_pow")}
    found |= {name: 2 ** params[f"{name}_pow"] for name in POWERS}
    found["gamma"] = 1.0 - params["one_minus_gamma"]
    found["policy_kwargs"] = {
        "net_arch": ACTORS[params["net_arch"]],
        "rnn_hidden_size": params["rnn_hidden_size"],
        "critic_rnn": params["critic_rnn"],
    }
    return found


def sample_recurrent(trial: Any, n_actions: int, n_envs: int, additional: dict[str, Any]) -> Params:
    """For ``ppo_gru`` and ``ppo_lstm``."""
    return convert_recurrent(
        {
            "n_steps_pow": trial.suggest_int("n_steps_pow", 5, 8),
            "batch_size_pow": trial.suggest_int("batch_size_pow", 6, 9),
            "n_epochs": trial.suggest_categorical("n_epochs", [3, 5, 10]),
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
            "ent_coef": trial.suggest_float("ent_coef", 1e-4, 0.05, log=True),
            "one_minus_gamma": trial.suggest_float("one_minus_gamma", 0.003, 0.1, log=True),
            "gae_lambda": trial.suggest_float("gae_lambda", 0.8, 0.99),
            "max_grad_norm": trial.suggest_categorical("max_grad_norm", [0.5, 1.0, 2.0]),
            "net_arch": trial.suggest_categorical("net_arch", list(NET_ARCH)),
            "rnn_hidden_size": trial.suggest_categorical("rnn_hidden_size", [32, 64, 128]),
            "critic_rnn": trial.suggest_categorical("critic_rnn", ["separate", "shared"]),
        }
    )


def convert_empo(params: Params) -> Params:
    """Hyper-parameters of EMPO from what was sampled; the theory is never among them, it is the question."""
    found = {"learning_rate": params["learning_rate"], "batch_size": 2 ** params["batch_size_pow"]}
    found["beta_r_rampup_steps"] = params["beta_r_rampup_steps"]
    if "net_arch" in params:
        found["policy_kwargs"] = {"net_arch": NET_ARCH[params["net_arch"]]}
    return found


def _suggest_empo(trial: Any) -> Params:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.1, 10.0, log=True),
        "batch_size_pow": trial.suggest_int("batch_size_pow", 5, 8),
        "beta_r_rampup_steps": trial.suggest_categorical("beta_r_rampup_steps", [500, 1000, 2000, 4000]),
    }


def sample_empo(trial: Any, n_actions: int, n_envs: int, additional: dict[str, Any]) -> Params:
    """For ``empo``: its factor on all rates, batch, length of the ramp of beta_r, networks."""
    return convert_empo(_suggest_empo(trial) | {"net_arch": trial.suggest_categorical("net_arch", list(NET_ARCH))})


def sample_empo_table(trial: Any, n_actions: int, n_envs: int, additional: dict[str, Any]) -> Params:
    """For ``empo_table``: as :func:`sample_empo` without networks."""
    return convert_empo(_suggest_empo(trial))


SAMPLERS: dict[str, Sampler] = {
    "empo": sample_empo,
    "empo_table": sample_empo_table,
    "ppo_gru": sample_recurrent,
    "ppo_lstm": sample_recurrent,
}
CONVERTERS: dict[str, Callable[[Params], Params]] = {
    "empo": convert_empo,
    "empo_table": convert_empo,
    "ppo_gru": convert_recurrent,
    "ppo_lstm": convert_recurrent,
}
