"""Settings of Mechanic for SB3 that need no search, as keywords: ``PPO("MlpPolicy", env, **from_scratch())``."""

from numbers import Real
from typing import Any

from empo_sb3.optim.bases import Base
from empo_sb3.optim.parts import actor_critic
from empo_sb3.optim.wrapper import Mechanic
from empo_sb3.schedules import Linear

# SB3 gives Adam this epsilon by itself, but only where the optimizer's class is Adam.
SB3_ADAM = {"eps": 1e-5}


def _keywords(learning_rate: Any, policy_kwargs: dict[str, Any], **options: Any) -> dict[str, Any]:
    options = {"base": "adam", **options}
    if options["base"] == "adam":
        options.setdefault("base_kwargs", dict(SB3_ADAM))
    chosen = {"optimizer_class": Mechanic, "optimizer_kwargs": options}
    return {"learning_rate": learning_rate, "policy_kwargs": {**chosen, **policy_kwargs}}


def from_scratch(
    init_value: float = 0.01, base: Base = "adam", first_rate: float = 1e-3, **policy_kwargs: Any
) -> dict[str, Any]:
    """
    Keywords for thousands of updates from random weights: the base rate falls to zero over the run.

    A moving objective makes an online tuner overshoot; the decay takes that back, and makes the first rate matter little.
    While rewards are rare, gradients are noise, on which a tuner wins nothing and comes to rest: so that it goes on moving,
    its bettors begin with the wealth that ``first_rate`` stands for, and never hold much less. With PPO, pass
    :class:`~empo_sb3.learning_rates.kl_bounded_scale.KLBoundedScale` to ``learn`` as well.

    :param init_value: base rate at the start
    :param first_rate: rate times ``s_init``. What is played in the end, rate times scale, falls to about a third of this where
        nothing is to be won, and rises to any size where something is
    :param base: base optimizer
    :param policy_kwargs: more of SB3's ``policy_kwargs``, such as ``net_arch``
    """
    for name, value in (("init_value", init_value), ("first_rate", first_rate)):
        if not isinstance(value, Real) or not value > 0.0:
            raise ValueError(f"from_scratch: {name} must be a positive number, not {value!r}")
    rate = Linear(init_value, 0.0, transition_steps=1.0).as_learning_rate()
    # with the tuner's own eps, 1e-8, the first scale would be a hundred times s_init
    return _keywords(rate, policy_kwargs, base=base, s_init=first_rate / init_value, eps=1e-6)


def fine_tune(base: Base = "adam", **policy_kwargs: Any) -> dict[str, Any]:
    """
    Keywords for some hundred updates of a trained policy: a constant base rate of 1, since decay would cost motion.

    :param base: base optimizer
    :param policy_kwargs: more of SB3's ``policy_kwargs``
    """
    return _keywords(1.0, policy_kwargs, base=base)


def beside_entropy(entropy_lr: float = 3e-4, base: Base = "adam", **policy_kwargs: Any) -> dict[str, Any]:
    """
    Keywords for SAC: its entropy coefficient's plain Adam gets the rate that SB3 writes, the networks a base rate of 1.

    :param entropy_lr: rate of the entropy coefficient
    :param base: base optimizer
    :param policy_kwargs: more of SB3's ``policy_kwargs``
    """
    return _keywords(entropy_lr, policy_kwargs, base=base, lr_unit=entropy_lr)


class TunerPerNetwork:
    """
    Mix into an actor-critic policy to give actor and critic a tuner each.

    SB3 hands one optimizer the nameless parameters of both; ``class MyPolicy(TunerPerNetwork, ActorCriticPolicy)`` names them.
    DQN, SAC and TD3 have an optimizer per network and need nothing.
    """

    optimizer: Any
    named_parameters: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.optimizer.split(self.named_parameters(), actor_critic)
