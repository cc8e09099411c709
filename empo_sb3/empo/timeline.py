"""The warm-up as rows of a table: which networks train when.

The five quantities depend on each other in a circle, because the robot's policy depends on Q_r and everything else on
the robot's policy. With beta_r = 0 the policy is uniform and the circle is cut, so the networks join one by one in the
order of ``QUANTITIES`` (stages 0 to 4), then beta_r rises (stage 5), then all train on (stage 6). A stage of no steps
stays in the table, so that a stage's number always means the same, but no step falls into it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from empo_sb3.empo.quantities import QUANTITIES, TABLE

RAMP_STAGE, FULL_STAGE = 5, 6


@dataclass(frozen=True)
class Stage:
    """One row: training steps ``start <= step < end`` (``end`` None: for ever) train ``networks``."""

    number: int
    name: str
    start: int
    end: int | None
    networks: tuple[str, ...]

    def holds(self, step: int) -> bool:
        """Whether a training step falls into this stage."""
        return self.start <= step and (self.end is None or step < self.end)


def make_timeline(warmup_steps: Mapping[str, int], rampup_steps: int, networks: tuple[str, ...]) -> tuple[Stage, ...]:
    """
    The seven stages.

    :param warmup_steps: duration of each quantity's warm-up stage, by quantity; 0 where the stage is skipped
    :param rampup_steps: duration of the rise of beta_r
    :param networks: the quantities that have a network at all, in the order of ``QUANTITIES``
    """
    stages: list[Stage] = []
    start = 0
    # beta_r = 0: (5) is uniform, so (6) depends on nothing else; (7) follows from (6), (8) from (7), (4) and (9) from (8)
    for number, q in enumerate(QUANTITIES):
        active = tuple(n for n in QUANTITIES[: number + 1] if n in networks)
        name = " + ".join(TABLE[n].symbol for n in active) + (" only" if len(active) == 1 else "")
        stages.append(Stage(number, name, start, start + warmup_steps[q], active))
        start += warmup_steps[q]
    # beta_r rises and (5) sharpens, slowly enough for all targets to follow
    stages.append(Stage(RAMP_STAGE, "beta_r ramp", start, start + rampup_steps, networks))
    # (4)-(9) with the theory's beta_r
    stages.append(Stage(FULL_STAGE, "full training", start + rampup_steps, None, networks))
    return tuple(stages)


def stage_at(timeline: tuple[Stage, ...], step: int) -> Stage:
    """The stage that a training step falls into; ``ValueError`` for a negative step."""
    for stage in timeline:
        if stage.holds(step):
            return stage
    raise ValueError(f"training steps count from 0, but a stage was asked for at step {step}")


def networks_mask(networks: tuple[str, ...]) -> int:
    """Bit i is set where the i-th of ``QUANTITIES`` trains."""
    return sum(1 << i for i, q in enumerate(QUANTITIES) if q in networks)
