"""EMPO as an off-policy algorithm of Stable-Baselines3.

The humans' policies are exact (phase 1 is solved when the algorithm meets its environment). What is learned is phase 2: goal
abilities V_h^e, powers X_h, the robot's Q_r and, where they have networks, U_r and V_r. Each training step draws (t, state)
pairs from replay, computes their targets from the model (:mod:`empo_sb3.targets`) and moves every network that the present
stage trains (:mod:`empo_sb3.timeline`). As the targets are those of the exact planner's equations, the distance of
:meth:`EMPO.solution` from the planner's is the measure of success.
"""

import io
import os
import pathlib
import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, RolloutReturn, Schedule, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv

from empo_gym.cache import solved
from empo_gym.solution import EmpoSolution
from empo_gym.theory import Theory
from empo_sb3.buffers import PairReplayBuffer
from empo_sb3.config import TrainingConfig, split_keywords
from empo_sb3.empo.checkpoint import read_checkpoint, restore_env, restore_random, write_checkpoint
from empo_sb3.empo.report import report_stage, report_training
from empo_sb3.empo.storage import reading, replacing
from empo_sb3.networks import WorldSizes
from empo_sb3.policies import EmpoPolicy, MlpPolicy, TablePolicy
from empo_sb3.targets import ModelTargets
from empo_sb3.timeline import FULL_STAGE, RAMP_STAGE, Stage
from empo_sb3.uncertainty import VisitCounts

SelfEMPO = TypeVar("SelfEMPO", bound="EMPO")

STARTS_INTERVAL = 50
STARTS_POWER = 4
HUMAN_NAMES = ("gamma_h", "beta_h", "nu_h")
RUN_STATE = ("replay_buffer", "visits", "values", "_start_weights")
NOT_SAVED = ("targets", "values", "outlook", "visits", "_pairs", "_start_weights", "_mid_step", "_resumed", "_checkpoint_due")


class EMPO(OffPolicyAlgorithm):
    """
    Learn the robot policy that softly maximises the humans' long-term power.

    :param policy: ``"TablePolicy"``, ``"MlpPolicy"`` or a subclass of ``EmpoPolicy``
    :param env: an ``EMPO-*`` environment (or its id), or a ``VecEnv`` of copies of one
    :param learning_rate: common factor on the rates ``lr_{q}`` of all quantities, or a schedule of SB3's progress
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
    :param keywords: numbers of ``Theory`` (they override the environment's) and of ``TrainingConfig``
    :raises ValueError: for unknown keywords, and for environments that are not EMPO's
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"TablePolicy": TablePolicy, "MlpPolicy": MlpPolicy}
    policy: EmpoPolicy
    policy_class: type[EmpoPolicy]
    replay_buffer: PairReplayBuffer
    theory: Theory
    """The numbers that define the answer: the environment's, as the keywords leave them."""
    config: TrainingConfig
    """The numbers that define the training: the policy class's defaults, as the keywords leave them."""
    sizes: WorldSizes
    targets: ModelTargets
    """The world, phase 1 and the equations; only with an environment."""

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
        _init_setup_model: bool = True,
        **keywords: Any,
    ) -> None:
        self.theory_overrides, self.training_overrides = split_keywords(keywords)
        super().__init__(
            policy,
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
        self._start_weights: np.ndarray | None = None
        self._mid_step = False
        self._resumed: dict[str, Any] | None = None
        self._checkpoint_due: str | os.PathLike | None = None
        if _init_setup_model:
            self._setup_model()

    # ---------------------------------------------------------------- setting up

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        if self.env is not None:
            self._adopt_world(self.env)
        if self.sizes is None or self.theory is None:
            raise ValueError("EMPO needs an environment: its networks are as large as the world's states and goals ask for")
        training = {**self.policy_class.training_defaults, **self.training_overrides, "beta_r": self.theory.beta_r}
        self.config = self.config or TrainingConfig(**training)
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
            **self.policy_kwargs,
        ).to(self.device)
        self._convert_train_freq()
        if self.env is not None:
            self._attach_world()

    def _adopt_world(self, env: VecEnv) -> None:
        """Take world and theory from the environment, and solve phase 1 for the theory as the keywords leave it."""
        try:
            model, env_theory = env.get_attr("model")[0], env.get_attr("theory")[0]
        except AttributeError as e:
            raise ValueError("EMPO needs an environment over a world model (EMPO-Grid-v0 or another RobotEnv)") from e
        sizes = WorldSizes.of(model)
        if self.sizes is not None and sizes != self.sizes:
            raise ValueError(f"this EMPO was made for a world with {self.sizes}; the environment's has {sizes}")
        self.sizes = sizes
        if self.theory is None:
            self.theory = replace(env_theory, **self.theory_overrides)
        differing = [n for n in HUMAN_NAMES if getattr(self.theory, n) != getattr(env_theory, n)]
        names = set(env.get_attr("human_policy_name"))
        if differing or names != {"boltzmann"}:
            what = f"a different {', '.join(differing)}" if differing else f"the policy {', '.join(sorted(names))}"
            warnings.warn(f"the environment's humans act with {what} than EMPO's theory expects of them", stacklevel=2)
        self.targets = ModelTargets(model, solved(model, self.theory), self.theory)
        self._observation_kind = observation_kind(model.world, self.observation_space)

    def _attach_world(self) -> None:
        """Show the policy all pairs and take the first target copies."""
        model, live = self.targets.model, self.targets.live
        t, s = np.divmod(live, model.n_states)
        states = model.states[s] if isinstance(model.states, np.ndarray) else [model.states[i] for i in s]
        self.policy.attach(model.world.observe(states, t=t, kind=self._observation_kind), live)
        self.visits = VisitCounts(self.sizes.n_pairs)
        self.values = self.targets.initial_values()
        self._refresh_targets(self.config.networks)

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Give another environment of the same world, as in SB3."""
        super().set_env(env, force_reset)
        self._adopt_world(self._envs)
        self._attach_world()

    @property
    def _envs(self) -> VecEnv:
        assert self.env is not None
        return self.env

    # ---------------------------------------------------------------- collecting

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "EMPO",
        progress_bar: bool = False,
    ) -> tuple[int, Any]:
        if self.env is None:
            raise ValueError("EMPO cannot learn without an environment; give one by set_env() or load(..., env=env)")
        random_numbers, self._resumed = self._resumed, None
        if random_numbers and reset_num_timesteps:
            # the same call of learn that was interrupted, so its steps are counted from where it began
            total_timesteps, reset_num_timesteps = max(total_timesteps - self.num_timesteps, 0), False
        if reset_num_timesteps or self._start_weights is None:
            self._prefer_rare_starts()
        self._set_starts(self.config.exploring_starts)
        result = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        self.config = replace(self.config, total_steps=self._n_updates + self._coming_updates())
        self._pairs = self._pair_numbers(self._envs.get_attr("t"), self._envs.get_attr("state_id"))
        if random_numbers:
            restore_random(random_numbers)
        return result

    def _coming_updates(self) -> int:
        """Training steps that this call of learn implies."""
        n_steps = self._total_timesteps - self.num_timesteps
        if self.gradient_steps < 0:
            return n_steps
        assert isinstance(self.train_freq, TrainFreq)
        by_step = self.train_freq.unit == TrainFrequencyUnit.STEP
        per_rollout = self.train_freq.frequency * (self.n_envs if by_step else self.sizes.horizon)
        return -(-n_steps // per_rollout) * self.gradient_steps

    def _pair_numbers(self, times: Iterable[int], states: Iterable[int]) -> np.ndarray:
        return np.array([t * self.sizes.n_states + s for t, s in zip(times, states, strict=True)], dtype=np.int64)

    def _prefer_rare_starts(self) -> None:
        """Let exploring starts be more probable in pairs with fewer visits."""
        self._start_weights = self.visits(self.targets.live) ** STARTS_POWER

    def _set_starts(self, share: float) -> None:
        """Let a share of the episodes begin in any reachable pair."""
        t, s = np.divmod(self.targets.live, self.sizes.n_states)
        self._envs.env_method("set_starts", s, t, share, self._start_weights)

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> RolloutReturn:
        """Act and store, as in SB3; a checkpoint that was asked for in the middle of the step before is written now."""
        self._write_due_checkpoint()
        return super().collect_rollouts(*args, **kwargs)

    def _sample_action(self, learning_starts: int, action_noise: Any = None, n_envs: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """pi_r on the present networks, with a probability of epsilon_r a uniformly random action instead."""
        self._mid_step = True
        epsilon = 1.0 if self.num_timesteps < learning_starts else self.config.epsilon_r_schedule(self._n_updates)
        with th.no_grad():
            joint = self.policy.act(self.policy.inputs_of(self._pairs)).cpu().numpy()
        explore = np.random.random(n_envs) < epsilon
        joint = np.where(explore, np.random.randint(0, self.sizes.n_robot_joint, size=n_envs), joint)
        actions = self.policy.as_env_actions(joint)
        return actions, actions

    def _store_transition(
        self,
        replay_buffer: Any,
        buffer_action: np.ndarray,
        new_obs: Any,
        reward: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """Store where the environments were; targets are computed from the model, so nothing else is needed."""
        replay_buffer.add_pairs(self._pairs)
        self.visits.update(self._pairs)
        self._last_obs = self._last_original_obs = new_obs
        begun = self._envs.unwrapped.reset_infos
        now = [begun[i] if done else infos[i] for i, done in enumerate(dones)]
        self._pairs = self._pair_numbers([info["t"] for info in now], [info["state_id"] for info in now])

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
            # Which networks train now, and how sharp the robot's policy is
            stage = self._enter_stage()
            # Target copies see their networks again where the interval is over
            self._refresh_targets([q for q in stage.networks if self._n_updates % self.config.target_update_interval(q) == 0])
            # Where to learn
            pairs = self.replay_buffer.sample_pairs(batch_size)
            # Full expectations over successors, humans and robots
            targets = self.targets.of_batch(pairs, stage.networks, self.values, self.outlook)
            # One step before the horizon all Q_r are known to be equal
            masks = {"q_r": self.targets.last_step(pairs)}
            rates = {q: factor * self.config.learning_rate_schedules[q](self._n_updates) for q in stage.networks}
            losses = self.policy.update(pairs, targets, masks, rates)
            self._n_updates += 1
        if self._n_updates % STARTS_INTERVAL < gradient_steps:
            self._prefer_rare_starts()
            self._set_starts(self.config.exploring_starts)
        report_training(self, losses, factor)

    def _enter_stage(self) -> Stage:
        """The stage of the present training step; at a transition, what goes with it."""
        step = self._n_updates
        stage = self.config.get_stage(step)
        self.policy.beta_r.fill_(self.config.get_effective_beta_r(step))
        if stage == self.stage:
            return stage
        cleared = 0
        # Replay must not mix the uniform, the rising and the full beta_r
        if self.stage is not None and stage.number in (RAMP_STAGE, FULL_STAGE):
            cleared = self.replay_buffer.n_stored()
            self.replay_buffer.reset()
            self.replay_buffer.add_pairs(self._pairs)
            self.visits.reset()
        report_stage(self, stage, cleared)
        self.stage = stage
        return stage

    def _refresh_targets(self, quantities: Iterable[str]) -> None:
        """Evaluate networks on all pairs, once, as the copies that targets read until the next refresh."""
        quantities = list(quantities)
        if not quantities:
            return
        live = self.targets.live
        for q in quantities:
            self.values[q][live] = self.policy.evaluate(q, live).reshape(self.values[q][live].shape)
        self.targets.complete(self.values, self.config.networks, float(self.policy.beta_r))
        self.outlook = self.targets.outlook(self.values)

    def learn(
        self: SelfEMPO,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "EMPO",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfEMPO:
        """
        Train, as in SB3; afterwards the environment's episodes begin where its world says again.

        The first call after :meth:`resume` carries on with the interrupted call, so the same line of a script starts a run and
        resumes it: ``total_timesteps`` counts the steps before the checkpoint too.
        """
        try:
            super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)
            self._write_due_checkpoint()
        finally:
            self._mid_step = False
            if self.env is not None:
                self._set_starts(0.0)
        return self

    # ---------------------------------------------------------------- what was learned

    def solution(self) -> EmpoSolution:
        """
        What was learned, in the planner's own type.

        The policy is that of the present beta_r. Quantities without a network follow from the others by their equations.

        :raises ValueError: without an environment
        """
        if self.env is None:
            raise ValueError("the solution lives on the world's states; load the model with env=env")
        values = self.targets.initial_values()
        live = self.targets.live
        for q in self.config.networks:
            values[q][live] = self.policy.evaluate(q, live).reshape(values[q][live].shape)
        self.targets.complete(values, self.config.networks, self.config.get_effective_beta_r(self._n_updates))
        return self.targets.as_solution(values)

    # ---------------------------------------------------------------- saving

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), *NOT_SAVED]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []

    def save(
        self,
        path: str | pathlib.Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """Save as in SB3; a file is complete or not there at all."""
        if not isinstance(path, str | os.PathLike):
            super().save(path, exclude, include)
            return
        with replacing(path) as file:
            super().save(file, exclude, include)

    @classmethod
    def load(cls: type[SelfEMPO], path: Any, env: GymEnv | None = None, *args: Any, **kwargs: Any) -> SelfEMPO:
        """
        Load as in SB3. With ``env`` the model can learn on and give its solution, without it can only act.

        :raises FileNotFoundError: if there is no such file
        :raises ValueError: if the file is cut off, or belongs to another world
        """
        with reading(path, "EMPO model"):
            model = super().load(path, env, *args, **kwargs)
        model._refresh_after_load()
        return model

    def _refresh_after_load(self) -> None:
        if self.env is not None:
            self._refresh_targets(self.config.networks)

    def save_checkpoint(self, folder: str | os.PathLike) -> None:
        """
        Write the whole run, environments and random numbers included, into one file of a folder, in place of the one before.

        In the middle of an environment step, where callbacks are asked, this waits until the step's training is done.

        :param folder: made if need be
        """
        self._checkpoint_due = folder
        if not self._mid_step:
            self._write_due_checkpoint()

    def _write_due_checkpoint(self) -> None:
        folder, self._checkpoint_due = self._checkpoint_due, None
        self._mid_step = False
        if folder is not None:
            write_checkpoint(folder, self)

    @classmethod
    def resume(cls: type[SelfEMPO], folder: str | os.PathLike, env: GymEnv, **kwargs: Any) -> SelfEMPO:
        """
        Carry on with a run from its last checkpoint; on the CPU it takes the very steps it would have taken.

        :param folder: where :meth:`save_checkpoint` wrote
        :param env: as many environments, made in the same way
        :param kwargs: further arguments of :meth:`load`
        :raises FileNotFoundError: if there is no checkpoint
        :raises ValueError: if it is damaged, or of other environments
        """
        learned, run = read_checkpoint(folder)
        model = cls.load(learned, env, force_reset=False, **kwargs)
        model.restore_run(run)
        restore_env(model.env, run["env"])
        # set when training goes on, as whatever happens until then may draw random numbers too
        model._resumed = run["random"]
        return model

    def run_state(self) -> dict[str, Any]:
        """What a run is beside the saved model and the environments."""
        return {name: getattr(self, name) for name in RUN_STATE}

    def restore_run(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`run_state` gave."""
        for name in RUN_STATE:
            setattr(self, name, state[name])
        self.outlook = self.targets.outlook(self.values)


def observation_kind(world: Any, space: spaces.Space) -> str:
    """
    Which of the world's observation kinds an environment shows.

    :raises ValueError: if the space holds more than the world's state and the time
    """
    kind = {1: "features", 3: "planes"}.get(len(space.shape or ()), "features")
    seen = np.shape(world.observe([world.initial_state()], t=0, kind=kind))[1:]
    if seen != space.shape:
        raise ValueError(f"EMPO reads the world's {kind} of shape {seen}, but the environment shows {space.shape}")
    return kind
