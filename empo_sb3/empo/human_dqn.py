"""Phase 1 learned: how humans who pursue a goal act, where solving it exactly would take too much memory or time.

One network gives Q_h^m of (1) for every human, goal and own action in a (t, state) pair. Its targets come from the model, with
the robots' worst case as the theory has it, so what is learned is what the planner solves, and the distance from it is the
measure of success. As every pair teaches all goals of all humans at once, by full expectations over successors, hindsight
relabeling (which gives a sampled transition a goal that it reached) has nothing to add.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.vec_env import VecEnv

from empo_gym.solution.solution import HumanPrior
from empo_gym.theory import Theory
from empo_gym.worlds.world import belief_of
from empo_sb3.common.ranges import Count, NotNegative, check
from empo_sb3.common.sb3_arguments import OFF_POLICY_KINDS
from empo_sb3.empo.buffers import PairReplayBuffer
from empo_sb3.empo.checks import arguments_of, check_policy_class, warn_of_small_factor
from empo_sb3.empo.config import COOLED, WorldTraining, unknown_keyword
from empo_sb3.empo.networks.base_policy import EmpoPolicy
from empo_sb3.empo.networks.policies import CnnPolicy, MlpPolicy, MultiInputPolicy, TablePolicy
from empo_sb3.empo.targets.human import GrowingHumanTargets, HumanTargets, LearnedHumans, Q
from empo_sb3.empo.targets.sampled_growing import SampledHumanTargets, is_sampled
from empo_sb3.empo.world_learner import STARTS_INTERVAL, WorldLearner
from empo_sb3.schedules import Constant, Piecewise
from empo_sb3.schedules import Schedule as StepSchedule

WATCH_INTERVAL = 100
BELIEFS = ("worst_case", "best_case", "uniform")
OFF_POLICY = {
    *("learning_starts", "train_freq", "gradient_steps", "stats_window_size", "tensorboard_log", "verbose", "seed", "device"),
}
"""SB3's arguments that are passed on as they are."""


@dataclass(frozen=True)
class HumanTraining(WorldTraining):
    """
    How phase 1 is learned; further fields in :class:`~empo_sb3.empo.config.WorldTraining`.

    :param lr_q_h_m: learning rate
    :param q_h_m_target_update_interval: training steps after which targets see the new network
    """

    lr_q_h_m: NotNegative = 1e-3
    q_h_m_target_update_interval: Count = 100

    @classmethod
    def for_policy(cls, policy_class: type[EmpoPolicy], given: Mapping[str, Any]) -> "HumanTraining":
        """What a policy class trains well with, as far as nothing else is given; as for V_h^e, which is of the same kind."""
        known = policy_class.training_defaults
        names = {"lr_v_h_e": "lr_q_h_m", "v_h_e_target_update_interval": "q_h_m_target_update_interval"}
        names["lr_cooldown_fraction"] = "lr_cooldown_fraction"
        return cls(**{**{ours: known[theirs] for theirs, ours in names.items() if theirs in known}, **given})

    @cached_property
    def rate(self) -> StepSchedule:
        """The learning rate over training steps."""
        if not self.lr_cooldown_fraction or not self.total_steps:
            return Constant(self.lr_q_h_m)
        begin = (1 - self.lr_cooldown_fraction) * self.total_steps
        return Piecewise(((begin, self.lr_q_h_m), (self.total_steps, COOLED * self.lr_q_h_m)))


class HumanDQN(WorldLearner):
    """
    Learn how humans act (phase 1), beside robots that act at random.

    :param policy: ``"TablePolicy"``, ``"MlpPolicy"``, ``"CnnPolicy"``, ``"MultiInputPolicy"`` or a subclass of ``EmpoPolicy``
    :param env: an ``EMPO-*`` environment; how its humans act matters only for where they lead. ``human_policy="heuristic"`` or
        ``"uniform"`` keep it from solving what is to be learned
    :param belief: what humans expect of the robots: ``"worst_case"``, ``"best_case"`` or ``"uniform"``; by default what the
        world's file states
    :param world_model: ``"packed"``, ``"growing"`` or ``"auto"``, as for :class:`EMPO`
    :param learning_rate: factor on ``lr_q_h_m``, or a schedule of SB3's progress
    :param keywords: SB3's own arguments of an off-policy algorithm; numbers of ``Theory`` (they override the environment's)
        and of ``HumanTraining``; None means "not given"
    :raises ValueError: for unknown keywords, values outside their ranges, and environments that are not EMPO's
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "TablePolicy": TablePolicy,
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
    }
    config_class = HumanTraining
    run_parts: ClassVar[tuple[str, ...]] = (*WorldLearner.run_parts, "outlook")
    not_saved: ClassVar[tuple[str, ...]] = (*WorldLearner.not_saved, "targets", "outlook")
    policy_class: type[EmpoPolicy]
    theory: Theory
    targets: HumanTargets | GrowingHumanTargets

    def __init__(
        self,
        policy: str | type[EmpoPolicy],
        env: GymEnv | str | None,
        belief: str | None = None,
        world_model: str = "auto",
        learning_rate: float | Schedule = 1.0,
        buffer_size: int = 100_000,
        batch_size: int = 64,
        policy_kwargs: dict[str, Any] | None = None,
        _init_setup_model: bool = True,
        **keywords: Any,
    ) -> None:
        keywords = {name: value for name, value in keywords.items() if value is not None}
        theory, training = {f.name for f in fields(Theory)}, {f.name for f in fields(HumanTraining)}
        self.theory_overrides = {name: value for name, value in keywords.items() if name in theory}
        self.training_overrides = {name: value for name, value in keywords.items() if name in training}
        rest = {name: value for name, value in keywords.items() if name not in theory | training}
        unknown = rest.keys() - OFF_POLICY
        if unknown:
            raise unknown_keyword("HumanDQN", min(unknown), {*theory, *training, *OFF_POLICY, *arguments_of(HumanDQN)})
        if isinstance(belief, str) and belief not in BELIEFS:
            raise ValueError(f"belief must be one of {', '.join(BELIEFS)}, not {belief!r}")
        check("HumanDQN", {**locals(), **rest}, OFF_POLICY_KINDS)
        warn_of_small_factor(learning_rate)
        super().__init__(
            policy,
            env,  # type: ignore[arg-type]
            learning_rate,
            buffer_size,
            batch_size=batch_size,
            policy_kwargs=policy_kwargs,
            **{"learning_starts": 0, "train_freq": 1, "gradient_steps": 1, **rest},
            replay_buffer_class=PairReplayBuffer,
            sde_support=False,
            support_multi_env=True,
            supported_action_spaces=(spaces.Discrete, spaces.MultiDiscrete),
        )
        self.belief, self.world_model = belief, world_model
        self.theory = self.config = self.sizes = None  # type: ignore[assignment]
        self._begin()
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        check_policy_class(self)
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        if self.env is not None:
            self._adopt_world(self.env)
        if self.sizes is None:
            raise ValueError("HumanDQN needs an environment: its network is as large as the world's states and goals ask for")
        if self.replay_buffer is None:
            space = self.observation_space
            self.replay_buffer = PairReplayBuffer(self.buffer_size, space, self.action_space, self.device, self.n_envs)
        numbers = {name: getattr(self.config, name) for name in ("dropout", "max_grad_norm", "weight_decay")}
        made = {"sizes": self.sizes, "networks": (Q,), **numbers, **self.policy_kwargs}
        self.policy = self.policy_class(self.observation_space, self.action_space, self.lr_schedule, **made).to(self.device)
        self._convert_train_freq()
        if self.env is not None:
            self._attach_world()

    def _adopt_world(self, env: VecEnv) -> None:
        model, env_theory = self._take_model(env)
        if self.theory is None:
            self.theory = replace(env_theory, **self.theory_overrides)
        self.config = self.config or HumanTraining.for_policy(self.policy_class, self.training_overrides)
        self.belief = belief_of(model.world) if self.belief is None else self.belief
        self.targets = self._make_targets(env, model, self.belief)
        self.live = self.targets.live

    def _make_targets(self, env: VecEnv, model: Any, belief: str) -> HumanTargets | GrowingHumanTargets:
        n_samples = self.config.target_samples
        if self.on_demand_model is None:
            if n_samples is not None:
                raise ValueError(
                    "target_samples is for worlds that are not packed; leave it out, or give world_model='growing' as well"
                )
            return HumanTargets(model, self.theory, belief)
        about = (model, env.get_attr("humans")[0], self.theory, belief)
        return SampledHumanTargets(*about, n_samples) if is_sampled(model, n_samples) else GrowingHumanTargets(*about)

    def _attach_world(self) -> None:
        self._show_world(self.targets.model)
        self.outlook: Any = {}
        self._refresh_after_load()

    def _refresh_after_load(self) -> None:
        if isinstance(self.targets, GrowingHumanTargets):
            self.targets.renew(self.outlook, self.policy, [Q])
        elif self.env is not None:
            self.outlook = self.targets.outlook(self.policy.evaluate(Q, self.live))

    def _sample_action(self, learning_starts: int, action_noise: Any = None, n_envs: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Robots act at random: humans expect the worst of them whatever they do."""
        self._mid_step = True
        actions = self.policy.as_env_actions(np.random.randint(0, self.sizes.n_robot_joint, size=n_envs))
        return actions, actions

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """
        Move the network towards its targets.

        :param gradient_steps: training steps
        :param batch_size: pairs per step
        """
        self.policy.set_training_mode(True)
        factor = self.lr_schedule(self._current_progress_remaining)
        losses: dict[str, float] = {}
        for _ in range(gradient_steps):
            # The target copy sees the network again where the interval is over
            if self._n_updates % self.config.q_h_m_target_update_interval == 0:
                self._refresh_after_load()
            # Full expectations over successors and other humans, the worst over robots
            pairs = self._draw_pairs(batch_size)
            targets = {Q: self.targets.of_batch(pairs, self.outlook)}
            losses = self.policy.update(pairs, targets, {}, {Q: factor * self.config.rate(self._n_updates)})
            self._n_updates += 1
            if self._n_updates % WATCH_INTERVAL == 0:
                self._watch(pairs, targets[Q])
        if self._n_updates % STARTS_INTERVAL < gradient_steps:
            self._move_starts()
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("LearningRate/q_h_m", factor * self.config.rate(self._n_updates))
        for name, loss in losses.items():
            self.logger.record(f"train/{name}_loss", loss)

    def _watch(self, pairs: np.ndarray, targets: np.ndarray) -> None:
        """Log how much of the loss of drawn targets no network could avoid."""
        if isinstance(self.targets, SampledHumanTargets):
            compared, share = self.targets.compared(pairs)
            noise = self.policy.coordinates(Q, targets) - self.policy.coordinates(Q, compared)
            self.logger.record(f"train/{Q}_irreducible_variance", share * float(np.mean(noise**2)))

    def restore_run(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`run_state` gave."""
        super().restore_run(state)
        if isinstance(self.targets, GrowingHumanTargets):
            self.targets.read(self.outlook, self.policy)

    def prior(self) -> HumanPrior | LearnedHumans:
        """
        What was learned, in the planner's own type; where the world is not packed, as a function that asks the network.

        ``solve_robot`` takes the former, ``RobotEnv(human_policy=...)`` takes both, and EMPO takes them from there.

        :raises ValueError: without an environment
        """
        if self.env is None:
            raise ValueError("the prior lives on the world's states; load the model with env=env")
        if isinstance(self.targets, GrowingHumanTargets):
            return LearnedHumans(self.policy, self.on_demand_model, self.theory, self._observation_kind)
        return self.targets.as_prior(self.policy.evaluate(Q, self.live))

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Not available: what is learned are the humans' policies, see :meth:`prior`."""
        raise NotImplementedError("HumanDQN learns what humans do, not what the robots should; use prior()")
