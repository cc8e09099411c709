"""What one run of fine-tuning is: a value that says all it depends on, and the three sizes it comes in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

from empo_gym.util.wording import suggestion
from empo_sb3.common.ranges import COUNT, POSITIVE, check_fields, instance, integer, optional, real
from empo_sb3.diffusion.horizons import Horizons

HORIZONS = Horizons()
FRANKA_EXPERT = "empo_gym.franka.expert:expert_for"
MAX_SEED = 4_000_000_000
"""What numpy's generators take, less what going on after a stop adds."""


@dataclass(frozen=True)
class Size:
    """
    How much of everything; steps are those of the plain environment.

    :param image_size: pixels
    :param n_demonstrations: episodes
    :param clone_epochs: of the Gaussian policy
    :param diffusion_updates: of the denoiser
    :param n_envs: beside each other
    :param n_steps: of each environment between two updates
    :param total_steps: of fine-tuning
    :param n_evaluations: during fine-tuning
    :param evaluation_episodes: of each of them
    :param test_episodes: before and after, on other starts than the evaluations'
    :param critic_episodes: of the clone itself, for the critic's warm-up
    :param film_episodes: in each video
    """

    image_size: int
    n_demonstrations: int
    clone_epochs: int
    diffusion_updates: int
    n_envs: int
    n_steps: int
    total_steps: int
    n_evaluations: int
    evaluation_episodes: int
    test_episodes: int
    critic_episodes: int
    film_episodes: int


SIZES = {
    "ci": Size(48, 12, 40, 150, 2, 64, 512, 2, 8, 12, 4, 1),
    "default": Size(48, 30, 60, 1500, 4, 256, 40_960, 8, 100, 300, 30, 3),
    "gpu": Size(84, 200, 200, 20_000, 50, 100, 2_000_000, 20, 100, 200, 100, 3),
}
POLICIES = ("gaussian", "diffusion")
OPTIMIZERS = {"mechanic": 1.0, "trac": 1e-2, "adam": 1e-4, "kl": 1e-4}
"""Names with the learning rate that is taken where none is given."""
TUNED = ("mechanic", "trac")
"""Those of them that scale the rate by a tuner."""
TUNERS = ("shared", "separate")
SCHEDULES = ("constant", "linear")
SCHEDULE_OF = {"mechanic": "linear", "trac": "constant", "adam": "constant", "kl": "constant"}
"""Names of optimizers with what becomes of the rate over the run where nothing is said."""


TEXT = instance("a word", str)
Text = Annotated[str, TEXT]


@dataclass(frozen=True)
class Settings:
    """
    One run.

    :param env: id of an environment with ``image_size=`` and ``shift=``, a Dict of pictures (channels first) and vectors as
        observations, arrays as actions, and ``info["is_success"]`` at the end of an episode; ``"module:id"`` imports what
        registers it
    :param policy: one of ``POLICIES``
    :param optimizer: one of ``OPTIMIZERS``
    :param lr: learning rate; None for the optimizer's own
    :param schedule: of the rate: ``"constant"``, or ``"linear"`` to fall to zero at the end; None for the optimizer's own:
        Mechanic's falls, since its scale overshoots late in a run at a constant one; all others are constant
    :param tuners: of Mechanic and TRAC: one of ``TUNERS``, one for all weights, or one for the actor with its encoder and one
        for the critic with its own, with which the actor stays timid: policy gradients are mostly noise, on which a tuner
        wins little
    :param shift: name of what differs from the scene of the demonstrations; ``"none"`` for nothing
    :param size: one of ``SIZES``
    :param seed: of everything, up to ``MAX_SEED``
    :param guard: how far success may fall below the pre-trained policy's at an evaluation before the policy of the last
        evaluation at which it had not is restored; ``math.inf`` for never
    :param steps: of fine-tuning instead of the size's
    :param denoiser: of the diffusion policy
    :param horizons: of the diffusion policy
    :param expert: import path of a function from an environment to a callable that returns the expert's action
    :raises ValueError: for an unknown name, a number out of range, or what the policy or the optimizer has no use for
    """

    env: Text = "FR3VisualReach-v0"
    policy: Text = "gaussian"
    optimizer: Text = "mechanic"
    lr: Annotated[float | None, optional(POSITIVE)] = None
    schedule: Annotated[str | None, optional(TEXT)] = None
    tuners: Text = "shared"
    shift: Text = "none"
    size: Text = "default"
    seed: Annotated[int, integer(0, MAX_SEED)] = 0
    guard: Annotated[float, real("[0, inf]")] = 0.0
    steps: Annotated[int | None, optional(COUNT)] = None
    denoiser: Text = "mlp"
    horizons: Annotated[Horizons, instance("Horizons", Horizons)] = HORIZONS
    expert: Text = FRANKA_EXPERT

    def __post_init__(self) -> None:
        check_fields(self)
        one_of("policy", self.policy, POLICIES)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("tuners", self.tuners, TUNERS)
        one_of("schedule", self.rate_schedule, SCHEDULES)
        one_of("size", self.size, SIZES)
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.optimizer == "kl" and self.rate_schedule != "constant":
            raise ValueError("optimizer 'kl' finds its rate from the KL divergence; leave schedule out, or say 'constant'")
        if self.policy == "diffusion" and self.optimizer == "kl":
            raise ValueError("optimizer 'kl' needs a policy with one distribution per step, such as 'gaussian'")
        if self.tuners != "shared" and self.optimizer not in TUNED:
            raise ValueError(f"optimizer {self.optimizer!r} has no tuners to separate; leave tuners out, or take 'mechanic'")
        if self.policy == "gaussian" and (self.denoiser, self.horizons) != ("mlp", HORIZONS):
            raise ValueError("denoiser and horizons are the diffusion policy's; leave them out, or say policy 'diffusion'")

    @property
    def amounts(self) -> Size:
        """The numbers of the size."""
        return SIZES[self.size]

    @property
    def learning_rate(self) -> float:
        """The rate that is used."""
        return OPTIMIZERS[self.optimizer] if self.lr is None else self.lr

    @property
    def rate_schedule(self) -> str:
        """What becomes of the rate over the run."""
        return self.schedule or SCHEDULE_OF[self.optimizer]

    @property
    def total_steps(self) -> int:
        """Steps of fine-tuning."""
        return self.steps or self.amounts.total_steps

    @property
    def env_options(self) -> dict[str, Any]:
        """What the environment is made with for fine-tuning; demonstrations come from the plain scene."""
        return {"image_size": self.amounts.image_size, "shift": None if self.shift == "none" else self.shift}

    @property
    def name(self) -> str:
        """Of the run's folder; two runs that differ have different ones."""
        guard = "unguarded" if math.isinf(self.guard) else f"guard{self.guard:g}"
        words = [self.env, self.policy, self.optimizer, f"lr{self.learning_rate:g}", self.shift, self.size, f"seed{self.seed}"]
        words += [guard] + ([f"{self.steps}steps"] if self.steps else [])
        words += [self.rate_schedule] if self.rate_schedule != SCHEDULE_OF[self.optimizer] else []
        words += [self.tuners] if self.tuners != "shared" else []
        if self.policy == "diffusion":
            words.append(self.denoiser.replace(":", "."))
            words.append(str(self.horizons))
        words += [self.expert.replace(":", ".")] if self.expert != FRANKA_EXPERT else []
        return file_name("-".join(words))

    def as_json(self) -> str:
        """All fields, for the run's folder."""
        return json.dumps(asdict(self), indent=1)

    def is_of(self, text: str) -> bool:
        """Whether :meth:`as_json` gave this text for the same run; a rate said aloud is that of an optimizer left alone."""
        kept = json.loads(text)
        if not isinstance(kept, dict) or set(kept) != set(FIELDS) or kept["optimizer"] != self.optimizer:
            return False
        kept["lr"] = kept["lr"] or OPTIMIZERS[self.optimizer]
        kept["schedule"] = kept["schedule"] or SCHEDULE_OF[self.optimizer]
        return kept == {**json.loads(self.as_json()), "lr": self.learning_rate, "schedule": self.rate_schedule}


def one_of(field: str, value: str, known: Iterable[str]) -> None:
    """:raises ValueError: with the nearest known name."""
    if value not in known:
        near = suggestion(value, known)
        raise ValueError(f"{field} must be one of {', '.join(known)}, not {value!r}" + (near and f"; {near}"))


def file_name(words: str) -> str:
    """The same with a dot for whatever a file's name must not hold."""
    return re.sub(r"[^\w.+-]", ".", words)


def of_demonstrations(settings: Settings) -> dict[str, Any]:
    """What recorded demonstrations depend on."""
    amounts = settings.amounts
    return {
        "env": settings.env,
        "expert": settings.expert,
        "pixels": amounts.image_size,
        "episodes": amounts.n_demonstrations,
        "seed": settings.seed,
    }


def of_clone(settings: Settings) -> dict[str, Any]:
    """What a pre-trained policy depends on."""
    amounts, parts = settings.amounts, {**of_demonstrations(settings), "policy": settings.policy}
    if settings.policy == "gaussian":
        return {**parts, "epochs": amounts.clone_epochs}
    return {
        **parts,
        "updates": amounts.diffusion_updates,
        "denoiser": settings.denoiser,
        "horizons": str(settings.horizons),
    }


FIELDS = tuple(field.name for field in fields(Settings))
