"""EMPO as an off-policy algorithm of Stable-Baselines3.

The humans' policies are exact (phase 1 is solved when the algorithm meets its environment). What is learned is phase 2: goal
abilities V_h^e, powers X_h, the robot's Q_r and, where they have networks, U_r and V_r. Each training step draws (t, state)
pairs from replay, computes their targets from the model (:mod:`empo_sb3.empo.targets.tabular`) and moves every network that
the present stage trains (:mod:`empo_sb3.empo.timeline`). As the targets are those of the exact planner's equations, the
distance of
:meth:`EMPO.solution` from the planner's is the measure of success.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.vec_env import VecEnv

from empo_gym.solution.solution import EmpoSolution
from empo_gym.theory import Theory
from empo_sb3.common.ranges import check
from empo_sb3.common.sb3_arguments import OFF_POLICY_KINDS
from empo_sb3.empo.buffers import PairReplayBuffer
from empo_sb3.empo.checks import arguments_of, check_policy_class, warn_of_small_factor
from empo_sb3.empo.config import TrainingConfig, split_keywords
from empo_sb3.empo.curiosity import Curiosity
from empo_sb3.empo.human_prior import acting_theory, differing, expected_humans, learned_humans
from empo_sb3.empo.networks.base_policy import EmpoPolicy
from empo_sb3.empo.networks.policies import CnnPolicy, MlpPolicy, MultiInputPolicy, TablePolicy
from empo_sb3.empo.networks.quantity_network import WorldSizes
from empo_sb3.empo.prioritization import POOL, SamplePriorities, make_priorities
from empo_sb3.empo.report import StageProgressBar, report_stage, report_training
from empo_sb3.empo.targets.growing import GrowingTargets, VisitCounter
from empo_sb3.empo.targets.sampled import SampledTargets, draw
from empo_sb3.empo.targets.sampled_growing import SampledGrowingTargets, is_sampled
from empo_sb3.empo.targets.tabular import ModelTargets, TargetCache, Values
from empo_sb3.empo.timeline import FULL_STAGE, RAMP_STAGE, Stage
from empo_sb3.empo.world_learner import STARTS_INTERVAL, WorldLearner
from empo_sb3.uncertainty import RND, VisitCounts
from empo_sb3.uncertainty.states import as_tensor

SelfEMPO = TypeVar("SelfEMPO", bound="EMPO")

WATCH_INTERVAL = 100
CURIOUS_BATCH = 256
SHARPEST = 50.0
"""A higher beta_r weighs the errors of Q_r no more than this: else the level of Q_r, which is V_r's, would hardly count."""
POLICY_NUMBERS = ("dropout", "max_grad_norm", "weight_decay", "lookup_use_adaptive_lr", "lookup_adaptive_lr_min")


class EMPO(WorldLearner):
    """
    Learn the robot policy that softly maximizes the humans' long-term power.

    :param policy: ``"TablePolicy"``, ``"MlpPolicy"``, ``"CnnPolicy"``, ``"MultiInputPolicy"`` or a subclass of ``EmpoPolicy``
    :param env: an ``EMPO-*`` environment (or its id), or a ``VecEnv`` of copies of one
    :param learning_rate: common factor on the rates ``lr_{q}`` of all quantities, or a schedule of SB3's progress; not a rate
        itself, so numbers below 0.05 are warned of
    :param buffer_size: number of (t, state) pairs kept for replay
    :param learning_starts: environment steps before training starts
    :param batch_size: pairs per training step
    :param train_freq: environment steps between training, as in SB3
    :param gradient_steps: training steps each time; -1 for as many as environment steps
    :param replay_buffer_class: ``PairReplayBuffer`` or a subclass
    :param replay_buffer_kwargs: its further arguments
    :param policy_kwargs: further arguments of the policy
    :param stats_window_size: episodes that the rollout statistics average over
    :param tensorboard_log: folder of the TensorBoard log
    :param verbose: 0 silent, 1 stage transitions and SB3's messages
    :param seed: seed of all random numbers
    :param device: where the networks live
    :param world_model: ``"packed"`` (all states are known, targets read tables of them), ``"growing"`` (states are numbered as
        they are met, and networks are asked about successors), or ``"auto"``: growing where the environment does not pack its
        world, which it does up to 50,000 states
    :param keywords: numbers of ``Theory`` (they override the environment's) and of ``TrainingConfig``
    :raises ValueError: for unknown keywords, values outside their ranges, and environments that are not EMPO's
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "TablePolicy": TablePolicy,
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
    }
    config_class = TrainingConfig
    run_parts: ClassVar[tuple[str, ...]] = (*WorldLearner.run_parts, "values", "curiosity", "emphasis_memory")
    not_saved: ClassVar[tuple[str, ...]] = (
        *WorldLearner.not_saved,
        "targets",
        "values",
        "outlook",
        "cache",
        "curiosity",
        "priorities",
        "_seen",
    )
    policy: EmpoPolicy
    policy_class: type[EmpoPolicy]
    replay_buffer: PairReplayBuffer
    theory: Theory
    """The numbers that define the answer: the environment's, as the keywords leave them."""
    config: TrainingConfig
    """The numbers that define the training: the policy class's defaults, as the keywords leave them."""
    sizes: WorldSizes
    priorities: SamplePriorities | None
    """What makes little known pairs count for more, if anything."""
    curiosity: Curiosity | None
    """What tilts the robots towards the unknown, if anything."""
    targets: Any
    """The world, phase 1 and the equations (``ModelTargets`` or ``GrowingTargets``); only with an environment."""

    def __init__(
        self,
        policy: str | type[EmpoPolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule = 1.0,
        buffer_size: int = 100_000,
        learning_starts: int = 0,
        batch_size: int = 64,
        train_freq: int | tuple[int, str] = 1,
        gradient_steps: int = 1,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        world_model: str = "auto",
        _init_setup_model: bool = True,
        **keywords: Any,
    ) -> None:
        check("EMPO", locals(), OFF_POLICY_KINDS)
        self.theory_overrides, self.training_overrides = split_keywords(keywords, arguments_of(EMPO))
        warn_of_small_factor(learning_rate)
        super().__init__(
            TablePolicy if self.training_overrides.get("use_lookup_tables") else policy,
            env,  # type: ignore[arg-type]
            learning_rate,
            buffer_size,
            learning_starts,
            batch_size,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            replay_buffer_class=replay_buffer_class or PairReplayBuffer,
            replay_buffer_kwargs=replay_buffer_kwargs,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            seed=seed,
            sde_support=False,
            support_multi_env=True,
            supported_action_spaces=(spaces.Discrete, spaces.MultiDiscrete),
        )
        # Known when an environment is seen, or from a file
        self.theory = self.config = self.sizes = None  # type: ignore[assignment]
        self.stage: Stage | None = None
        self.world_model = world_model
        self._begin()
        if _init_setup_model:
            self._setup_model()

    # ---------------------------------------------------------------- setting up

    def _setup_model(self) -> None:
        check_policy_class(self)
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        if self.env is not None:
            self._adopt_world(self.env)
        if self.sizes is None or self.theory is None:
            raise ValueError("EMPO needs an environment: its networks are as large as the world's states and goals ask for")
        for name, value in self.config.environment_pace(self.n_envs).items():
            setattr(self, name, value)
        if self.replay_buffer is None:
            self.replay_buffer = self.replay_buffer_class(
                self.buffer_size,
                self.observation_space,
                self.action_space,
                self.device,
                self.n_envs,
                **self.replay_buffer_kwargs,
            )
        self.policy = self.policy_class(
            self.observation_space,
            self.action_space,
            self.lr_schedule,
            sizes=self.sizes,
            networks=self.config.networks,
            **{**{name: getattr(self.config, name) for name in POLICY_NUMBERS}, **self._sharpness, **self.policy_kwargs},
        ).to(self.device)
        self._convert_train_freq()
        if self.env is not None:
            self._attach_world()

    @property
    def _sharpness(self) -> dict[str, float]:
        return {"sharpness": min(self.theory.beta_r, SHARPEST)}

    def _adopt_world(self, env: VecEnv) -> None:
        """Take world and theory from the environment, and solve phase 1 for the theory as the keywords leave it."""
        model, env_theory = self._take_model(env)
        if self.theory is None:
            self.theory = replace(env_theory, **self.theory_overrides)
        if self.on_demand_model is not None:
            self._adopt_growing(env, model)
            return
        self._configure()
        about = (model, expected_humans(env, model, self.theory), self.theory)
        n_samples = self.config.n_target_samples
        self.targets = ModelTargets(*about) if n_samples is None else SampledTargets(*about, n_samples)
        self.live = self.targets.live

    def _configure(self) -> None:
        given = {**self.training_overrides, "beta_r": self.theory.beta_r}
        self.config = self.config or TrainingConfig.with_defaults(self.policy_class.training_defaults, given)

    def _adopt_growing(self, env: VecEnv, model: Any) -> None:
        """Take the humans as they act in the environment: nobody can plan for them in all states of its world."""
        if others := differing(self.theory, acting_theory(env)):
            raise ValueError(
                f"where the world is not packed, give {', '.join(others)} to the environment, theory=dict(...),"
                " and to HumanDQN if the humans were learned"
            )
        self._configure()
        humans, n_samples = env.get_attr("humans")[0], self.config.n_target_samples
        if is_sampled(model, n_samples):
            self.targets = SampledGrowingTargets(model, humans, self.theory, n_samples)
        else:
            self.targets = GrowingTargets(model, humans, self.theory)
        self.live = self.targets.live

    def _attach_world(self) -> None:
        """Show the policy all pairs and take the first target copies."""
        seen = self._show_world(self.targets.model)
        self.values = self.targets.initial_values()
        self.cache = TargetCache(self.targets, self._draws_between_refreshes) if self._caches else None
        self.curiosity = None
        if self.config.curiosity_bonus:
            rnd = RND(lr=1e-3, seed=self.seed or 0) if self.config.use_rnd else None
            self.curiosity = Curiosity(self.config.curiosity_bonus, rnd)
            self._seen = None if seen is None else as_tensor(seen).flatten(1).numpy()
            self._judge_novelty()
        visits = VisitCounts(self.sizes.n_pairs) if self.on_demand_model is None else VisitCounter()
        self.priorities = make_priorities(self.config, self.policy, visits, self.seed or 0)
        self._refresh_targets(self.config.networks)

    # ---------------------------------------------------------------- collecting

    def _init_callback(self, callback: MaybeCallback, progress_bar: bool = False) -> BaseCallback:
        """As in SB3, with a progress bar that names the stage."""
        if progress_bar:
            given = callback if isinstance(callback, list) else [] if callback is None else [callback]
            callback = [*(c if isinstance(c, BaseCallback) else ConvertCallback(c) for c in given), StageProgressBar()]
        return super()._init_callback(callback)

    def _sample_action(self, learning_starts: int, action_noise: Any = None, n_envs: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """pi_r as last refreshed, with a probability of epsilon_r a uniformly random action instead."""
        self._mid_step = True
        epsilon = 1.0 if self.num_timesteps < learning_starts else self.config.epsilon_r_schedule(self._n_updates)
        pi_r = self._pi_r_of(self._pairs)
        joint = draw(pi_r if self.curiosity is None else self.curiosity.reweight(pi_r, self.targets, self._pairs))
        epsilon_h = self.config.epsilon_h_schedule(self._n_updates)
        if epsilon_h > 0.0:
            self._explore_humans(epsilon_h, self._human_exploration(pi_r))
        explore = np.random.random(n_envs) < epsilon
        joint = np.where(explore, np.random.randint(0, self.sizes.n_robot_joint, size=n_envs), joint)
        actions = self.policy.as_env_actions(joint)
        return actions, actions

    def _human_exploration(self, pi_r: np.ndarray) -> list[np.ndarray]:
        """How humans act who explore, per human (n_envs, n_a_h): uniformly, or curiously."""
        if self.curiosity is None:
            return [np.full((len(pi_r), n), 1.0 / n) for n in self.sizes.human_shape]
        return self.curiosity.human_actions(pi_r, self.targets, self._pairs)

    def _pi_r_of(self, pairs: np.ndarray) -> np.ndarray:
        """What the robots do while pairs are collected, (n, n_a_r): as of the last refresh, where that is known."""
        if self.on_demand_model is None:
            return self.values["pi_r"][pairs]
        with th.no_grad():
            return self.policy.robot_policy(self.policy.inputs_of(pairs)).cpu().numpy()

    # ---------------------------------------------------------------- training

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """
        Move the networks of the present stage towards their targets.

        :param gradient_steps: training steps
        :param batch_size: pairs per step
        """
        self.policy.set_training_mode(True)
        factor = self.lr_schedule(self._current_progress_remaining)
        losses: dict[str, float] = {}
        for _ in range(gradient_steps):
            # Warm-up: which networks train now, and how sharp the robot's policy (5) is
            stage = self._enter_stage()
            # Target copies see their networks again where the interval is over; (5) and quantities without a network follow
            self._refresh_targets([q for q in stage.networks if self._n_updates % self.config.target_update_interval(q) == 0])
            due = self.config.due_networks(self._n_updates)
            # Where to learn
            pairs = self._draw_pairs(batch_size)
            # Right-hand sides of (4) and (6)-(9): full expectations over successors, humans and robots, unless samples are
            # asked for (Heitzig & Potham, arXiv:2508.00159v2, Table 1)
            targets = self._targets_of(pairs, due)
            # One step before the horizon all Q_r (4) are known to be equal, and only that is learned
            masks = {"q_r": self.targets.last_step(pairs)}
            rates = {q: factor * self.config.learning_rate_schedules[q](self._n_updates) for q in due}
            # One step towards the targets, in coordinates: of networks log(-Q_r), since (5) reads nothing but ratios
            losses |= self.policy.update(pairs, targets, masks, rates, self._weigh(pairs))
            self._n_updates += 1
            if self._n_updates % WATCH_INTERVAL == 0:
                self._watch(pairs, targets)
        if self._n_updates % STARTS_INTERVAL < gradient_steps:
            self._look_around()
        report_training(self, losses, factor)

    def _targets_of(self, pairs: np.ndarray, quantities: tuple[str, ...]) -> Values:
        """What these networks should say in these pairs."""
        if self.cache is None:
            return self.targets.of_batch(pairs, quantities, self.values, self.outlook)
        return self.cache(pairs, quantities, self.values, self.outlook)

    @property
    def _caches(self) -> bool:
        return self.config.use_target_cache and type(self.targets) is ModelTargets

    @property
    def _draws_between_refreshes(self) -> int:
        return self.batch_size * min(self.config.target_update_interval(q) for q in self.config.networks)

    def _forget_targets(self) -> None:
        if self.cache is not None:
            self.cache.forget()

    def _weigh(self, pairs: np.ndarray) -> np.ndarray | None:
        """What the pairs of a batch count, if not all the same; the source of the uncertainty learns the batch."""
        if self.priorities is None:
            return None
        weights = self.priorities.weights(pairs)
        return weights if self.config.weighs_losses else None

    def _draw_pairs(self, batch_size: int) -> np.ndarray:
        """A batch, of little known pairs rather than of well known ones if that is wanted."""
        if self.priorities is None or not self.config.prioritized:
            return super()._draw_pairs(batch_size)
        return self.priorities.choose(super()._draw_pairs(POOL * batch_size), batch_size)

    def _look_around(self) -> None:
        """See anew which pairs are little known."""
        self._move_starts()
        if self.curiosity is not None:
            drawn = self.replay_buffer.sample_pairs(CURIOUS_BATCH)
            self.curiosity.learn(self._look_at(drawn))
            self._judge_novelty()

    def _look_at(self, pairs: np.ndarray) -> np.ndarray:
        """What is seen of pairs, (n, n_numbers)."""
        if self._seen is not None:
            return self._seen[np.searchsorted(self.live, pairs)]
        return self.policy.inputs_of(pairs).flatten(1).cpu().numpy()

    def _judge_novelty(self) -> None:
        """Judge all pairs of a packed world now, those of a larger one when they are asked for."""
        if self.curiosity is None:
            return
        rnd = self.curiosity.rnd
        judge = self.visits if rnd is None else lambda pairs: rnd(self._look_at(pairs))
        if self.on_demand_model is None:
            self.curiosity.refresh(judge, self.live, self.sizes.n_pairs + self.sizes.n_states)
        else:
            self.curiosity.refresh(judge)

    def _watch(self, pairs: np.ndarray, targets: Values) -> None:
        """Log what the last update saw, and how much of its losses no network could avoid."""
        for name, number in self.policy.look(pairs, targets).items():
            self.logger.record(f"train/{name}", number)
        compared, share = self.targets.compared(pairs, tuple(targets), self.values, self.outlook)
        for q in targets:
            noise = self.policy.coordinates(q, targets[q]) - self.policy.coordinates(q, compared[q])
            self.logger.record(f"train/{q}_irreducible_variance", share * float(np.mean(noise**2)))
        visited = np.unique(self.sizes.pair_index.split(self.visits.pairs)[1])
        self.logger.record("train/visited_states", len(visited))

    def _enter_stage(self) -> Stage:
        """The stage of the present training step; at a transition, what goes with it."""
        step = self._n_updates
        stage = self.config.get_stage(step)
        self.policy.beta_r.fill_(self.config.get_effective_beta_r(step))
        discounts = self.config.get_effective_discounts(step, self.theory)
        if any(getattr(self.targets.theory, name) != value for name, value in discounts.items()):
            self.targets.theory = replace(self.theory, **discounts)
            self._forget_targets()
        if stage == self.stage:
            return stage
        cleared = 0
        self.policy.restart_means()
        # Replay must not mix the uniform, the rising and the full beta_r
        if self.stage is not None and stage.number in (RAMP_STAGE, FULL_STAGE):
            cleared = self._renew_replay()
        report_stage(self, stage, cleared)
        self.stage = stage
        return stage

    def _renew_replay(self) -> int:
        """Drop what the former policy saw, at once or little by little; returns the number of pairs dropped at once."""
        if self.config.replay_at_ramp == "age":
            self.replay_buffer.shrink_to_present()
            return 0
        stored = self.replay_buffer.n_stored()
        self.visits.reset()
        self.replay_buffer.reset()
        self.replay_buffer.add_pairs(self._pairs)
        return stored

    def _refresh_targets(self, quantities: Iterable[str]) -> None:
        """Let targets see the present networks of some quantities, until the next refresh."""
        quantities = list(quantities)
        if not quantities:
            return
        networks, beta_r = self.config.networks, float(self.policy.beta_r)
        self.outlook = self.targets.refresh(self.values, self.policy, quantities, networks, beta_r)
        self._forget_targets()

    # ---------------------------------------------------------------- what was learned

    def solution(self) -> EmpoSolution:
        """
        What was learned, in the planner's own type.

        The policy is that of the present beta_r. Quantities without a network follow from the others by their equations.

        :raises ValueError: without an environment, and where its world has too many states to be packed
        """
        if self.env is None:
            raise ValueError("the solution lives on the world's states; load the model with env=env")
        targets, pairs = self.targets, self.targets.live
        if self.on_demand_model is not None:
            if not self.env.get_attr("is_packed")[0]:
                raise ValueError("this world has too many states for a solution in all of them; ask predict where you are")
            model, learned = self.env.get_attr("model")[0], learned_humans(self.env)
            prior = self.env.get_attr("prior")[0] if learned is None else learned.as_prior(model)
            targets = ModelTargets(model, prior, self.theory)
            pairs = self.targets.pairs_of(model, targets.live)
        values = targets.initial_values()
        for q in self.config.networks:
            values[q][targets.live] = self.policy.evaluate(q, pairs).reshape(values[q][targets.live].shape)
        targets.complete(values, self.config.networks, self.config.get_effective_beta_r(self._n_updates))
        return replace(targets.as_solution(values), theory=self.theory)

    # ---------------------------------------------------------------- saving

    def _refresh_after_load(self) -> None:
        if self.env is not None:
            self._refresh_targets(self.config.networks)

    @property
    def emphasis_memory(self) -> Any:
        """What the source of the uncertainty has learned; None without one."""
        return None if self.priorities is None else self.priorities.memory

    @emphasis_memory.setter
    def emphasis_memory(self, memory: Any) -> None:
        if self.priorities is not None:
            self.priorities.memory = memory

    def restore_run(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`run_state` gave."""
        super().restore_run(state)
        if self.on_demand_model is None:
            self.outlook = self.targets.outlook(self.values)
            self._forget_targets()
            return
        self.targets.read(self.values, self.policy)
        self._judge_novelty()
