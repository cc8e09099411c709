"""How EMPO trains: everything that changes only its speed or its error, never the answer.

The numbers that define the answer live in :class:`empo_gym.theory.Theory`. Both are given as flat keywords to ``EMPO``;
:func:`split_keywords` sorts them. All steps are training steps (gradient updates).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any

from empo_gym.theory import Theory
from empo_gym.util.wording import suggestion
from empo_sb3.common import ranges
from empo_sb3.common.ranges import Count, Flag, Kind, NotNegative, Positive, Share, Steps
from empo_sb3.empo.quantities import QUANTITIES
from empo_sb3.empo.timeline import FULL_STAGE, RAMP_STAGE, Stage, make_timeline, stage_at
from empo_sb3.schedules import Constant, InverseDecay, Linear, Piecewise, Schedule, SigmoidRamp
from empo_sb3.uncertainty.lr_rules import Rule, proportional

COOLED = 0.01
RND_BONUS = 3.0
SOURCES = ("rnd", "ensemble", "dropout", "visits")
OPTIONAL_NETWORKS = ("x_h", "u_r", "v_r")
"""Quantities that may do without a network, because they follow from the others by one equation."""
DECAYS = ("use_sqrt_lr_decay", "constant_lr_then_1_over_t", "lr_constant_fraction")
"""What a cooldown takes the place of."""
_POWER = Annotated[float, ranges.real("[0, inf]")]


def _is_frequencies(value: Any) -> bool:
    return isinstance(value, Mapping) and all(q in QUANTITIES and ranges.COUNT.holds(n) for q, n in value.items())


_Frequencies = Annotated[
    Mapping[str, int], Kind(f"a mapping of some of {', '.join(QUANTITIES)} to integers >= 1", _is_frequencies)
]


@dataclass(frozen=True)
class WorldTraining:
    """
    What the training of all learners of worlds has in common; steps are training steps.

    :param lr_cooldown_fraction: share of the run in which, at its end, the rates fall in a straight line to a hundredth
    :param exploring_starts: share of the episodes that begin in a reachable (t, state) with few visits
    :param exploring_pairs: share of each batch that is drawn from all reachable pairs instead of from replay, as if an episode
        began there and ended at once
    :param goal_resample_prob: probability that a human of the environments changes its goal in a step; None leaves theirs
    :param max_grad_norm: largest norm of a network's gradient; None for no limit
    :param weight_decay: share of each weight that decays in a step, in units of the rate (decoupled from the gradient)
    :param dropout: probability with which a hidden unit is silent in training, in [0, 1)
    :param total_steps: training steps of the whole run; ``learn`` fills in those until its own end
    :param target_samples: draws that each target is the mean of; None for full expectations, or for one draw where the world
        is not packed and a state has more than 4,096 joint actions
    :raises ValueError: for a value outside its range
    """

    lr_cooldown_fraction: Share = 0.0
    exploring_starts: Share = 0.8
    exploring_pairs: Share = 0.5
    goal_resample_prob: Annotated[float | None, ranges.optional(ranges.SHARE)] = None
    max_grad_norm: Annotated[float | None, ranges.optional(ranges.BOUND)] = None
    weight_decay: NotNegative = 0.0
    dropout: Annotated[float, ranges.real("[0, 1)")] = 0.0
    total_steps: Steps = 0
    target_samples: Annotated[int | None, ranges.optional(ranges.COUNT)] = None

    def __post_init__(self) -> None:
        ranges.check_fields(self)


@dataclass(frozen=True)
class TrainingConfig(WorldTraining):
    """
    The training of the coupled networks; further fields in :class:`WorldTraining`.

    :param lr_v_h_e: learning rate of V_h^e; likewise ``lr_x_h``, ``lr_u_r``, ``lr_q_r``, ``lr_v_r``
    :param warmup_v_h_e_steps: steps for which V_h^e trains alone; likewise the stages in which ``x_h``, ``u_r``, ``q_r`` and
        ``v_r`` join. The stage of a quantity without a network has no steps
    :param beta_r_rampup_steps: steps in which beta_r rises from 0 to its value
    :param beta_r: the value it rises to (``EMPO`` takes the theory's)
    :param x_h_use_network: whether X_h has a network; likewise ``u_r_use_network``, ``v_r_use_network``. Without one it is
        computed from its equation
    :param v_h_e_target_update_interval: steps after which the targets see the new V_h^e; likewise for the others
    :param use_sqrt_lr_decay: whether the rates decay in the end, by ``1/sqrt(t)``; otherwise they stay constant
    :param constant_lr_then_1_over_t: whether that decay is ``1/t`` instead
    :param lr_constant_fraction: share of the run before which no rate decays
    :param lr_cooldown_fraction: share of the run in which, at its end, the rates fall in a straight line to a hundredth. Above
        0 it takes the place of the decays above: networks gain more from a last calm phase. ``EMPO`` with networks has 0.5
        unless one of the decays above is given
    :param total_steps: training steps of the whole run, which these shares refer to. ``EMPO.learn`` fills in those until its
        own end; give them where a run is learned in several calls of ``learn``, else each of them cools down
    :param epsilon_r_start: probability of a uniformly random robot action at the start
    :param epsilon_r_end: the same after ``epsilon_r_decay_steps``
    :param epsilon_r_decay_steps: steps of the linear change between the two
    :param epsilon_h_start: the same for each of the humans, whose policies need no exploration to be known; likewise
        ``epsilon_h_end``, ``epsilon_h_decay_steps``
    :param exploration_bonus: how much log-probability the robot action gains whose successors are the least visited; None for
        0, or for 3 with ``use_rnd``. Humans who explore (``epsilon_h_start``) prefer such actions by as much
    :param use_rnd: whether the error of random network distillation says how little known they are, instead of the visits
    :param training_steps_per_env_step: training steps for each environment step (an integer, or one over one); sets SB3's
        ``train_freq`` and ``gradient_steps``, which hold where it is None
    :param update_frequencies: by quantity, how often it is updated in relation to the others (1 where not named): the one with
        the highest number trains in every step. ``{"v_h_e": 5, "x_h": 5}`` makes five updates of them for one of Q_r
    :param use_lookup_tables: whether networks are tables; the same as ``TablePolicy``
    :param use_model_based_targets: whether targets are full expectations; otherwise actions and successors are drawn from the
        model, one for each target
    :param use_target_cache: whether full expectations are kept until the next refresh of what they read, instead of computed
        for each batch. The answer is the same
    :param replay_at_ramp: what happens to the pairs in replay at both ends of the ramp: ``"clear"`` drops them all, ``"age"``
        lets each new pair displace the oldest
    :param gamma_h_start: discount of V_h^e at the start of a curriculum that ends at the theory's after
        ``gamma_h_rampup_steps``; None for no curriculum. Likewise ``gamma_r_start``, ``gamma_r_rampup_steps`` for Q_r
    :param lookup_use_adaptive_lr: whether the n-th target since a stage began moves an entry of a table by 1/n of its error,
        so that the entry is the mean of them; for targets with noise (``use_model_based_targets=False``)
    :param lookup_adaptive_lr_min: the smallest such rate
    :param use_uncertainty_weighted_lr: whether pairs whose states are little known weigh more in the losses of networks
    :param uncertainty_source: what says how little: ``"rnd"``, ``"ensemble"``, ``"dropout"`` (of the networks themselves,
        which must have some) or ``"visits"``
    :param uncertainty_lr_scale_min: the smallest weight, before all are divided by their mean; likewise
        ``uncertainty_lr_scale_max``
    :param ensemble_size: members of the ensemble
    :param rnd_use_adaptive_lr: the same as ``use_uncertainty_weighted_lr`` by ``"rnd"``, with bounds of its own
    :param rnd_adaptive_lr_scale: the weight of a pair of typical error, before the bounds; likewise ``rnd_adaptive_lr_min``,
        ``rnd_adaptive_lr_max``
    :param prioritized: whether little known pairs come into a batch more often, by the same source
    :raises ValueError: for a number outside its range
    """

    lr_v_h_e: NotNegative = 1e-4
    lr_x_h: NotNegative = 1e-4
    lr_u_r: NotNegative = 1e-4
    lr_q_r: NotNegative = 1e-4
    lr_v_r: NotNegative = 1e-4
    warmup_v_h_e_steps: Steps = 1000
    warmup_x_h_steps: Steps = 1000
    warmup_u_r_steps: Steps = 1000
    warmup_q_r_steps: Steps = 1000
    warmup_v_r_steps: Steps = 1000
    beta_r_rampup_steps: Steps = 2000
    beta_r: _POWER = 10.0
    x_h_use_network: Flag = True
    u_r_use_network: Flag = False
    v_r_use_network: Flag = False
    v_h_e_target_update_interval: Count = 100
    x_h_target_update_interval: Count = 100
    u_r_target_update_interval: Count = 100
    q_r_target_update_interval: Count = 100
    v_r_target_update_interval: Count = 100
    use_sqrt_lr_decay: Flag = True
    constant_lr_then_1_over_t: Flag = False
    lr_constant_fraction: Share = 0.0
    epsilon_r_start: Share = 1.0
    epsilon_r_end: Share = 0.1
    epsilon_r_decay_steps: Steps = 5000
    epsilon_h_start: Share = 0.0
    epsilon_h_end: Share = 0.0
    epsilon_h_decay_steps: Steps = 5000
    exploration_bonus: Annotated[float | None, ranges.optional(ranges.NOT_NEGATIVE)] = None
    use_rnd: Flag = False
    training_steps_per_env_step: Annotated[float | None, ranges.optional(ranges.real("[1e-6, 1e6]"))] = None
    update_frequencies: _Frequencies = field(default_factory=dict)
    use_lookup_tables: Flag = False
    use_model_based_targets: Flag = True
    use_target_cache: Flag = True
    replay_at_ramp: Annotated[str, ranges.one_of("clear", "age")] = "clear"
    gamma_h_start: Annotated[float | None, ranges.optional(ranges.SHARE)] = None
    gamma_h_rampup_steps: Steps = 3000
    gamma_r_start: Annotated[float | None, ranges.optional(ranges.SHARE)] = None
    gamma_r_rampup_steps: Steps = 3000
    lookup_use_adaptive_lr: Flag = False
    lookup_adaptive_lr_min: Share = 1e-6
    use_uncertainty_weighted_lr: Flag = False
    uncertainty_source: Annotated[str, ranges.either(ranges.one_of(*SOURCES), ranges.CLASS_PATH)] = "rnd"
    uncertainty_lr_scale_min: Positive = 0.1
    uncertainty_lr_scale_max: Positive = 2.0
    ensemble_size: Annotated[int, ranges.integer(2)] = 5
    rnd_use_adaptive_lr: Flag = False
    rnd_adaptive_lr_scale: Positive = 1.0
    rnd_adaptive_lr_min: Positive = 0.1
    rnd_adaptive_lr_max: Positive = 10.0
    prioritized: Flag = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rnd_use_adaptive_lr and self.use_uncertainty_weighted_lr:
            raise ValueError("rnd_use_adaptive_lr and use_uncertainty_weighted_lr both weigh the losses; choose one of them")
        _ = self.emphasis_rule  # says what is wrong with its bounds
        for q in OPTIONAL_NETWORKS:
            if not getattr(self, f"{q}_use_network"):
                object.__setattr__(self, f"warmup_{q}_steps", 0)

    @classmethod
    def with_defaults(cls, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> "TrainingConfig":
        """
        What is given, and a policy class's defaults for the rest; a decay that is given displaces a cooldown by default.

        :raises ValueError: where both a cooldown and a decay are given
        """
        decays = [name for name in DECAYS if given.get(name)]
        if decays and given.get("lr_cooldown_fraction"):
            raise ValueError(f"lr_cooldown_fraction takes the place of {decays[0]}; give one of the two")
        if any(name in given for name in DECAYS):
            defaults = {name: value for name, value in defaults.items() if name != "lr_cooldown_fraction"}
        return cls(**{**defaults, **given})

    # ---------------------------------------------------------------- the stages

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """The quantities that have a network, in their order."""
        return tuple(q for q in QUANTITIES if q not in OPTIONAL_NETWORKS or getattr(self, f"{q}_use_network"))

    @cached_property
    def timeline(self) -> tuple[Stage, ...]:
        """The seven stages."""
        durations = {q: getattr(self, f"warmup_{q}_steps") for q in QUANTITIES}
        return make_timeline(durations, self.beta_r_rampup_steps, self.networks)

    def get_stage(self, step: int) -> Stage:
        """The stage that a training step falls into."""
        return stage_at(self.timeline, step)

    def get_warmup_stage(self, step: int) -> int:
        """The number of that stage: 0 to 4 warm-up, 5 ramp of beta_r, 6 full training."""
        return self.get_stage(step).number

    def get_warmup_stage_name(self, step: int) -> str:
        """The name of that stage."""
        return self.get_stage(step).name

    def get_active_networks(self, step: int) -> set[str]:
        """The quantities whose networks train at a step."""
        return set(self.get_stage(step).networks)

    def get_stage_transition_steps(self) -> list[tuple[int, str]]:
        """(first step, name) of every stage that some step enters later than step 0."""
        return [(s.start, s.name) for s in self.timeline if s.start > 0 and s.start != s.end]

    def is_in_warmup(self, step: int) -> bool:
        """Whether networks are still to join (the robot is uniform)."""
        return self.get_stage(step).number < RAMP_STAGE

    def is_in_rampup(self, step: int) -> bool:
        """Whether beta_r is rising."""
        return self.get_stage(step).number == RAMP_STAGE

    def is_fully_trained(self, step: int) -> bool:
        """Whether warm-up and ramp lie behind."""
        return self.get_stage(step).number == FULL_STAGE

    # ---------------------------------------------------------------- what changes over time

    @cached_property
    def beta_r_schedule(self) -> Schedule:
        """beta_r over training steps."""
        return SigmoidRamp(0.0, self.beta_r, self.beta_r_rampup_steps, self.timeline[RAMP_STAGE].start)

    @cached_property
    def epsilon_r_schedule(self) -> Schedule:
        """The probability of a random robot action over training steps."""
        return Linear(self.epsilon_r_start, self.epsilon_r_end, self.epsilon_r_decay_steps)

    @cached_property
    def epsilon_h_schedule(self) -> Schedule:
        """The probability of a random human action over training steps."""
        return Linear(self.epsilon_h_start, self.epsilon_h_end, self.epsilon_h_decay_steps)

    def get_effective_discounts(self, step: int, theory: Theory) -> dict[str, float]:
        """
        The discounts that targets use at a step.

        :param theory: whose discounts a curriculum ends at
        :return: ``gamma_h`` and ``gamma_r``
        """
        discounts = {}
        for name in ("gamma_h", "gamma_r"):
            start, end = getattr(self, f"{name}_start"), getattr(theory, name)
            ramp = Linear(end if start is None else start, end, getattr(self, f"{name}_rampup_steps"))
            discounts[name] = ramp(step)
        return discounts

    @property
    def n_target_samples(self) -> int | None:
        """Draws for each target that were asked for; None for full expectations where they can be taken."""
        return 1 if self.target_samples is None and not self.use_model_based_targets else self.target_samples

    @property
    def weighs_losses(self) -> bool:
        """Whether uncertainty weighs the losses."""
        return self.rnd_use_adaptive_lr or self.use_uncertainty_weighted_lr

    @property
    def emphasis_source(self) -> str:
        """The source of the uncertainty that weighs losses or chooses from replay."""
        return "rnd" if self.rnd_use_adaptive_lr else self.uncertainty_source

    @property
    def emphasis_rule(self) -> Rule | None:
        """From that uncertainty to factors; None where nobody asks."""
        if self.rnd_use_adaptive_lr:
            return proportional(self.rnd_adaptive_lr_scale, self.rnd_adaptive_lr_min, self.rnd_adaptive_lr_max)
        if self.use_uncertainty_weighted_lr or self.prioritized:
            return proportional(1.0, self.uncertainty_lr_scale_min, self.uncertainty_lr_scale_max)
        return None

    @property
    def curiosity_bonus(self) -> float:
        """How much probability the most novel robot action gains, in nats."""
        return (RND_BONUS if self.use_rnd else 0.0) if self.exploration_bonus is None else self.exploration_bonus

    def due_networks(self, step: int) -> tuple[str, ...]:
        """The networks of the present stage that are updated at a step, by their frequencies."""
        active = self.get_stage(step).networks
        if not self.update_frequencies:
            return active
        frequency = {q: self.update_frequencies.get(q, 1) for q in active}
        most = max(frequency.values())
        return tuple(q for q in active if (step + 1) * frequency[q] // most > step * frequency[q] // most)

    def environment_pace(self, n_envs: int) -> dict[str, int]:
        """
        SB3's ``train_freq`` and ``gradient_steps`` that ``training_steps_per_env_step`` stands for.

        :param n_envs: environments that step together
        :raises ValueError: if it is neither an integer nor one over an integer
        """
        pace = self.training_steps_per_env_step
        if pace is None:
            return {}
        rare = 1 if pace >= 1 else round(1 / pace)
        if abs(pace * rare - round(pace * rare)) > 1e-9:
            raise ValueError(f"training_steps_per_env_step must be an integer or one over one, not {pace}")
        return {"train_freq": rare, "gradient_steps": round(pace * rare) * n_envs}

    def get_effective_beta_r(self, step: int) -> float:
        """beta_r at a step: 0 in the warm-up, rising in the ramp, then its full value."""
        return self.beta_r_schedule(step)

    def learning_rate_schedule(self, name: str) -> Schedule:
        """
        The learning rate of one quantity over training steps.

        :param name: one of ``QUANTITIES``
        """
        if name not in QUANTITIES:
            raise ValueError(f"there is no learning rate of {name!r}; the quantities are {', '.join(QUANTITIES)}")
        rate = getattr(self, f"lr_{name}")
        if self.lr_cooldown_fraction and self.total_steps:
            begin = max(self.timeline[FULL_STAGE].start, (1 - self.lr_cooldown_fraction) * self.total_steps)
            return Piecewise(((begin, rate), (max(begin, self.total_steps), COOLED * rate)))
        if not (self.use_sqrt_lr_decay or self.constant_lr_then_1_over_t):
            return Constant(rate)
        begin = max(self.timeline[FULL_STAGE].start, self.lr_constant_fraction * self.total_steps)
        return InverseDecay(rate, begin, power=1.0 if self.constant_lr_then_1_over_t else 0.5)

    @cached_property
    def learning_rate_schedules(self) -> dict[str, Schedule]:
        """The learning rates of all quantities that have a network."""
        return {q: self.learning_rate_schedule(q) for q in self.networks}

    def get_learning_rate(self, name: str, step: int, update_count: int = 0) -> float:
        """
        The learning rate of one quantity at a step.

        :param name: one of ``QUANTITIES``
        :param step: training step
        :param update_count: updates of an entry of a table so far, this one included; read with ``lookup_use_adaptive_lr``
        """
        if self.lookup_use_adaptive_lr:
            return max(self.lookup_adaptive_lr_min, 1.0 / max(update_count, 1))
        return self.learning_rate_schedule(name)(step)

    def target_update_interval(self, name: str) -> int:
        """Steps between two refreshes of what the targets see of one quantity."""
        return getattr(self, f"{name}_target_update_interval")


THEORY_NAMES = tuple(f.name for f in fields(Theory))
TRAINING_NAMES = tuple(f.name for f in fields(TrainingConfig))


def unknown_keyword(owner: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a keyword that nobody knows, with the nearest known one."""
    hint = suggestion(name, sorted(known), f"help({owner}) has the names", cutoff=0.5)
    return ValueError(f"{owner} does not know the keyword {name!r}; {hint}")


def split_keywords(keywords: Mapping[str, Any], others: Iterable[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Sort flat keywords into those of the theory and those of the training; None means "not given".

    :param keywords: names of ``Theory`` and of ``TrainingConfig``, mixed
    :param others: further arguments that somebody may have meant
    :return: overrides of the theory, overrides of the training configuration
    :raises ValueError: for an unknown name, naming the nearest known one
    """
    theory, training = {}, {}
    for name, value in keywords.items():
        if name not in THEORY_NAMES and name not in TRAINING_NAMES:
            raise unknown_keyword("EMPO", name, {*THEORY_NAMES, *TRAINING_NAMES, *others})
        if value is None:
            continue
        if name in THEORY_NAMES:
            theory[name] = value
        else:
            training[name] = value
    return theory, training
