"""Which humans EMPO reckons with in a packed world: the environment's own where they follow its theory, else exact ones."""

import warnings

from stable_baselines3.common.vec_env import VecEnv

from empo_gym.envs.cache import solved
from empo_gym.envs.human_policies import CallableHumans
from empo_gym.model.tabular import TabularModel
from empo_gym.solution.solution import HumanPrior
from empo_gym.theory import Theory
from empo_sb3.empo.targets.human import LearnedHumans

HUMAN_NAMES = ("gamma_h", "beta_h", "nu_h")


def differing(theory: Theory, other: Theory) -> list[str]:
    """Numbers of the humans in which two theories differ."""
    return [name for name in HUMAN_NAMES if getattr(theory, name) != getattr(other, name)]


def acting_theory(env: VecEnv) -> Theory:
    """The theory by which the environment's humans act: that of a given or learned prior, else the environment's."""
    names = set(env.get_attr("human_policy_name"))
    if names == {"boltzmann"}:
        return env.get_attr("prior")[0].theory
    learned = learned_humans(env) if names == {"custom"} else None
    return env.get_attr("theory")[0] if learned is None else learned.theory


def learned_humans(env: VecEnv) -> LearnedHumans | None:
    """The humans of a network of ``HumanDQN``; None where the environment's are others."""
    humans = env.get_attr("humans")[0]
    function = humans.function if isinstance(humans, CallableHumans) else None
    return function if isinstance(function, LearnedHumans) else None


def expected_humans(env: VecEnv, model: TabularModel, theory: Theory) -> HumanPrior:
    """
    The humans' policies as EMPO expects them; warns where the environment's humans act otherwise.

    :param env: whose humans act exactly, or as somebody learned, or in some other way
    :param model: its packed world
    :param theory: EMPO's
    """
    names, others = set(env.get_attr("human_policy_name")), differing(theory, acting_theory(env))
    if not others and names == {"boltzmann"}:
        return env.get_attr("prior")[0]
    learned = learned_humans(env) if names == {"custom"} else None
    if not others and learned is not None:
        return learned.as_prior(model)
    what = f"a different {', '.join(others)}" if others else f"the policy {', '.join(sorted(names))}"
    warnings.warn(
        f"the environment's humans act with {what} than EMPO's theory expects of them; EMPO expects those of its own theory",
        stacklevel=2,
    )
    return solved(model, theory)
