"""An off-policy algorithm of Stable-Baselines3 that knows the world its environments are made of.

The model can begin anywhere and says what follows from where, so a transition is no more than the number of its (t, state)
pair, and a share of the episodes begins where the learner has seldom been (exploring starts). What a subclass learns in those
pairs is its own affair.
"""

import io
import math
import os
import pathlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv

from empo_gym.model.fingerprint import fingerprint
from empo_gym.model.growing import GrowingModel
from empo_gym.theory import Theory
from empo_gym.util.files import write_whole
from empo_sb3.common.ranges import one_of
from empo_sb3.common.saved_models import MODEL_MEMBERS, reading, require_complete
from empo_sb3.common.sb3_arguments import check_timesteps
from empo_sb3.empo.buffers import PairReplayBuffer
from empo_sb3.empo.checkpoint import (
    read_checkpoint,
    remembered,
    require_as_many,
    restore_env,
    restore_random,
    write_checkpoint,
)
from empo_sb3.empo.checks import (
    check_saved_hyperparameters,
    number_names,
    observation_kind,
    require_one_world,
    require_own_view,
    require_places,
    space_mismatch_errors,
)
from empo_sb3.empo.networks.base_policy import EmpoPolicy
from empo_sb3.empo.networks.quantity_network import WorldSizes
from empo_sb3.empo.targets.growing import ObservationLookup, VisitCounter
from empo_sb3.empo.targets.sampled import draw
from empo_sb3.uncertainty import VisitCounts

Self = TypeVar("Self", bound="WorldLearner")
STARTS_INTERVAL = 50
STARTS_POWER = 4
N_STARTS = 256
"""How many of the known pairs are told to the environments of a growing world at a time."""
KEPT_SHARE = 0.75
"""Share of a growing learner's batch whose targets are known since the last refresh."""
WORLD_MODELS = ("auto", "packed", "growing")


class WorldLearner(OffPolicyAlgorithm):
    """
    Collecting, saving and resuming; a subclass sets up its networks and trains them.

    It provides ``_setup_model``, ``_adopt_world``, ``_attach_world``, ``_sample_action``, ``train`` and ``live``.
    """

    policy: EmpoPolicy
    policy_class: type[EmpoPolicy]
    config_class: ClassVar[type]
    """What :attr:`config` is an instance of."""
    replay_buffer: PairReplayBuffer
    sizes: WorldSizes
    world_fingerprint: str | None
    """Of the model's content; None for older files, which may be given any world of the same sizes."""
    visits: VisitCounts | VisitCounter
    theory: Theory
    config: Any
    training_overrides: dict[str, Any]
    """The numbers of the training that the user gave."""
    targets: Any
    live: np.ndarray
    """(n_live,) numbers of the known pairs in which somebody acts: all, or those visited in a world that is not packed."""
    world_model: str = "auto"
    """``"packed"``, ``"growing"``, or ``"auto"``: growing where the environment does not pack its world."""
    run_parts: ClassVar[tuple[str, ...]] = (
        *("met_states", "target_state", "replay_buffer", "visits", "live", "_start_pairs", "_start_weights"),
    )
    """What a run is beside the saved model and the environments."""
    not_saved: ClassVar[tuple[str, ...]] = (
        "live",
        "visits",
        "on_demand_model",
        "_pairs",
        "_start_pairs",
        "_start_weights",
        "_mid_step",
        "_resumed",
        "_checkpoint_due",
    )

    def _begin(self) -> None:
        self.world_fingerprint: str | None = None
        self.on_demand_model: GrowingModel | None = None
        self._start_pairs = np.zeros(0, dtype=np.int64)
        self._start_weights: np.ndarray | None = None
        self._mid_step = False
        self._resumed: dict[str, Any] | None = None
        self._checkpoint_due: str | os.PathLike | None = None

    def _adopt_world(self, env: VecEnv) -> None:
        """Take the world from the environment."""
        raise NotImplementedError

    def _attach_world(self) -> None:
        """Show the world to the networks."""
        raise NotImplementedError

    def _take_model(self, env: VecEnv) -> tuple[Any, Any]:
        """
        The environment's model, packed or growing, whose sizes are the networks', and its theory.

        :raises ValueError: for an environment without, and for another world than the networks were made for
        """
        name = type(self).__name__
        try:
            require_one_world(name, env)
            theory = env.get_attr("theory")[0]
            model = env.get_attr("model")[0] if self._packs(env) else self._growing_model(env)
        except AttributeError as e:
            raise ValueError(f"{name} needs an environment over a world model (EMPO-Grid-v0 or another RobotEnv)") from e
        sizes = WorldSizes.of(model)
        if self.sizes is not None and sizes != self.sizes:
            raise ValueError(
                f"this {name} was made for a world with {self.sizes}; the environment's has {sizes};"
                f" give the environment it was made for, or make a new {name} for this one"
            )
        found = fingerprint(model)
        if self.world_fingerprint not in (None, found):
            raise ValueError(
                f"this {name} was made for a world of the same sizes but with other dynamics or goals;"
                f" give the environment it was made for, or make a new {name} for this one"
            )
        self.sizes, self.world_fingerprint = sizes, found
        self._observation_kind = observation_kind(model.world, self.observation_space)
        return model, theory

    def _packs(self, env: VecEnv) -> bool:
        one_of(*WORLD_MODELS).check("world_model", self.world_model)
        return self.world_model == "packed" or (self.world_model == "auto" and all(env.get_attr("is_packed")))

    def _growing_model(self, env: VecEnv) -> GrowingModel:
        """The states met so far of the environment's world, which go on growing where it is given again."""
        if not self.policy_class.reads_observations:
            raise ValueError(
                f"{self.policy_class.__name__} needs all states of the world; where they are too many, take MlpPolicy"
            )
        world = env.get_attr("world")[0]
        if self.on_demand_model is None or self.on_demand_model.world != world:
            self.on_demand_model = GrowingModel(world)
        return self.on_demand_model

    @property
    def met_states(self) -> Any:
        """The states of a growing world met so far, in the order of their numbers; None where the world is packed."""
        return None if self.on_demand_model is None else self.on_demand_model.states

    @met_states.setter
    def met_states(self, states: Any) -> None:
        if self.on_demand_model is not None:
            self.on_demand_model.add(states)

    @property
    def target_state(self) -> Any:
        """What targets of a growing world are like until the next refresh; None where the world is packed."""
        return None if self.on_demand_model is None else (self.targets.kept, self.targets.beta_r)

    @target_state.setter
    def target_state(self, state: Any) -> None:
        if self.on_demand_model is not None:
            self.targets.kept.memory, self.targets.beta_r = state

    def _show_world(self, model: Any) -> Any:
        """Show the policy all live pairs, none of them visited yet; returns what is seen of them."""
        kinds, known = self._observation_kind, self.on_demand_model
        if known is not None:
            several = isinstance(kinds, dict)
            lookups: Any = {key: ObservationLookup(known, kind) for key, kind in kinds.items()} if several else None
            self.policy.attach_source(lookups or ObservationLookup(known, kinds))
            self.visits = VisitCounter()
            return None
        seen = self._world_shows(model, self.live)
        self.policy.attach(seen, self.live)
        self.visits = VisitCounts(self.sizes.n_pairs)
        return seen

    def _world_shows(self, model: Any, pairs: np.ndarray) -> Any:
        """What the world itself shows of pairs, (n, ...), as the environments should; of several kinds, by key."""
        t, s = model.pair_index.split(pairs)
        states, kinds = model.states_of(s), self._observation_kind
        if isinstance(kinds, dict):
            return {key: model.world.observe(states, t=t, kind=kind) for key, kind in kinds.items()}
        return model.world.observe(states, t=t, kind=kinds)

    def _refresh_after_load(self) -> None:
        """Bring up to date what follows from the networks."""

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Give another environment of the same world, as in SB3."""
        with space_mismatch_errors(type(self).__name__):
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
            raise ValueError(
                f"{type(self).__name__} cannot learn without an environment; give one by set_env() or load(..., env=env)"
            )
        random_numbers, self._resumed = self._resumed, None
        if random_numbers and reset_num_timesteps:
            # the same call of learn that was interrupted, so its steps are counted from where it began
            total_timesteps, reset_num_timesteps = max(total_timesteps - self.num_timesteps, 0), False
        if reset_num_timesteps or self._start_weights is None:
            self._reweight_initial_states()
        self._set_starts(self.config.exploring_starts)
        self._set_humans()
        begins = reset_num_timesteps or self._last_obs is None
        result = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        given = self.training_overrides.get("total_steps") or 0
        self.config = replace(self.config, total_steps=max(given, self._n_updates + self._coming_updates()))
        self._pairs = self._present_pairs()
        if begins and self.on_demand_model is None:
            require_places(type(self).__name__, self._envs.unwrapped.reset_infos)
        if begins:
            require_own_view(type(self).__name__, self._last_obs, self._world_shows(self.targets.model, self._pairs))
        if random_numbers:
            restore_random(random_numbers)
        return result

    def _coming_updates(self) -> int:
        """Training steps that this call of learn implies; where it trains after episodes, those expected."""
        assert isinstance(self.train_freq, TrainFreq)
        by_step = self.train_freq.unit == TrainFrequencyUnit.STEP
        per_rollout = self.train_freq.frequency * (self.n_envs if by_step else self._episode_length())
        n_rollouts = math.ceil((self._total_timesteps - self.num_timesteps) / per_rollout)
        n_idle = math.floor(max(self.learning_starts - self.num_timesteps, 0) / per_rollout)
        steps_each = per_rollout if self.gradient_steps < 0 else self.gradient_steps
        return round(max(n_rollouts - n_idle, 0) * steps_each)

    def _episode_length(self) -> float:
        """How long episodes are on average, some of which start late."""
        horizon, share = self.sizes.horizon, self.config.exploring_starts
        late = np.average(self.sizes.pair_index.split(self._start_pairs)[0], weights=self._start_weights)
        return horizon - share * float(late)

    def _pair_numbers(self, times: Iterable[int], states: Iterable[int]) -> np.ndarray:
        return self.sizes.pair_index.number(np.fromiter(times, np.int64), np.fromiter(states, np.int64))

    def _present_pairs(self) -> np.ndarray:
        """Where the environments are."""
        envs, on_demand_model = self._envs, self.on_demand_model
        numbers = envs.get_attr("state_id") if on_demand_model is None else on_demand_model.add(envs.get_attr("state"))
        return self._pair_numbers(envs.get_attr("t"), numbers)

    def _reweight_initial_states(self) -> None:
        """Let exploring starts be more probable in pairs with fewer visits."""
        if isinstance(self.visits, VisitCounter) and len(self.visits.pairs):
            self.live = np.union1d(self.targets.live, self.visits.pairs)
        weights = self.visits(self.live) ** STARTS_POWER
        self._start_pairs, self._start_weights = self.live, weights
        if self.on_demand_model is not None:
            chosen = np.random.choice(len(self.live), size=min(N_STARTS, len(self.live)), p=weights / weights.sum())
            # Every other start lies one step beside what was visited, where nobody may have been yet; and who begins earlier
            # than anybody came there gets further, to where else only skill leads
            starts, self._start_weights = self.live[chosen], np.ones(len(chosen))
            starts[::2] = self.targets.sample_successors(starts[::2])
            self._start_pairs = self.targets.resample_times(starts)

    def _draw_pairs(self, batch_size: int) -> np.ndarray:
        """A batch from replay, and for a share of it from everywhere."""
        if self.on_demand_model is not None and len(self.targets.kept.pairs) >= batch_size:
            # A target costs as much as many updates, so most are used several times before the next refresh
            known = self.targets.kept.pairs
            again = known[np.random.randint(len(known), size=round(KEPT_SHARE * batch_size))]
            return np.concatenate([self._draw_new(batch_size - len(again)), again])
        return self._draw_new(batch_size)

    def _draw_new(self, batch_size: int) -> np.ndarray:
        n_anywhere = round(self.config.exploring_pairs * batch_size)
        anywhere = self.live[np.random.randint(len(self.live), size=n_anywhere)]
        if self.on_demand_model is not None:
            # Known pairs are those visited; what is one step beside them must be known as well
            beside = n_anywhere // 2
            anywhere[:beside] = self.targets.sample_successors(anywhere[:beside])
        return np.concatenate([self.replay_buffer.sample_pairs(batch_size - n_anywhere), anywhere])

    def _set_humans(self) -> None:
        """Let the environments' humans change goals as often as the configuration says, if it does."""
        if self.config.goal_resample_prob is not None:
            self._envs.env_method("set_wrapper_attr", "goal_resample_prob", self.config.goal_resample_prob)

    def _explore_humans(self, epsilon: float, policies: list[np.ndarray]) -> None:
        """
        Let humans explore in the next step, each with a probability of ``epsilon``.

        :param policies: per human (n_envs, n_a_h) how they then act
        """
        actions = [draw(policy) for policy in policies]
        for i in range(self.n_envs):
            told = {h: int(of[i]) for h, of in enumerate(actions) if np.random.random() < epsilon}
            if told:
                self._envs.env_method("tell_humans", told, indices=i)

    def _set_starts(self, share: float) -> None:
        """Let a share of the episodes begin in any reachable pair."""
        t, s = self.sizes.pair_index.split(self._start_pairs)
        states = s if self.on_demand_model is None else self.on_demand_model.states_of(s)
        self._envs.env_method("set_starts", states, t, share, self._start_weights)

    def _move_starts(self) -> None:
        """Look again where visits are rare."""
        self._reweight_initial_states()
        self._set_starts(self.config.exploring_starts)

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> RolloutReturn:
        """Act and store, as in SB3; a checkpoint that was asked for in the middle of the step before is written now."""
        self._write_due_checkpoint()
        return super().collect_rollouts(*args, **kwargs)

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
        if self.on_demand_model is not None:
            self._pairs = self._present_pairs()
            return
        begun = self._envs.unwrapped.reset_infos
        now = [begun[i] if done else infos[i] for i, done in enumerate(dones)]
        self._pairs = self._pair_numbers([info["t"] for info in now], [info["state_id"] for info in now])

    # ---------------------------------------------------------------- learning

    def learn(
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """
        Train, as in SB3; afterwards the environment's episodes begin where its world says again.

        The first call after :meth:`resume` carries on with the interrupted call, so the same line of a script starts a run and
        resumes it: ``total_timesteps`` counts the steps before the checkpoint too.

        :raises ValueError: for a number of steps that is negative or not whole
        """
        name = tb_log_name or type(self).__name__
        check_timesteps(type(self).__name__, total_timesteps)
        try:
            super().learn(total_timesteps, callback, log_interval, name, reset_num_timesteps, progress_bar)
            self._write_due_checkpoint()
        finally:
            self._mid_step = False
            if self.env is not None:
                self._set_starts(0.0)
        return self

    # ---------------------------------------------------------------- saving

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), *self.not_saved]

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
        target, save = pathlib.Path(path), super().save
        target = target if target.suffix else target.with_suffix(".zip")
        write_whole(target, lambda unfinished: save(unfinished, exclude, include))

    @classmethod
    def load(cls: type[Self], path: Any, env: GymEnv | None = None, *args: Any, **kwargs: Any) -> Self:
        """
        Load as in SB3. With ``env`` the model can learn on and give its solution, without it can only act.

        A saved model is partly a pickle, as all of SB3's: loading one can run code, so load none that you do not trust.

        :raises FileNotFoundError: if there is no such file
        :raises ValueError: if the file is cut off, belongs to another world or algorithm, or if a keyword asks for another
            number of the theory or the training than the saved one
        """
        asked = {name: kwargs.pop(name) for name in number_names(cls.config_class) & kwargs.keys()}
        with reading(getattr(path, "name", path), f"{cls.__name__} model"), space_mismatch_errors(cls.__name__):
            require_complete(path, MODEL_MEMBERS)
            model = super().load(path, env, *args, **kwargs)
        check_saved_hyperparameters(model, asked)
        model._refresh_after_load()
        return model

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
    def resume(cls: type[Self], folder: str | os.PathLike, env: GymEnv, allow_pickle: bool = False, **kwargs: Any) -> Self:
        """
        Carry on with a run from its last checkpoint; on the CPU it takes the very steps it would have taken.

        A checkpoint is JSON and arrays, so reading one runs no code. Where the run has something that JSON cannot say, such as
        a function as its learning rate, that part is a pickle, as a whole checkpoint of an older version is.

        :param folder: where :meth:`save_checkpoint` wrote
        :param env: as many environments, made in the same way
        :param allow_pickle: whether to read such pickles, which can run code: only if you trust the file
        :param kwargs: further arguments of :meth:`load`
        :raises FileNotFoundError: if there is no checkpoint
        :raises ValueError: if it is damaged, of other environments, or holds a pickle
        """
        learned, attributes, run = read_checkpoint(folder, env, allow_pickle)
        model = cls.load(learned, env, force_reset=False, custom_objects=attributes, **kwargs)
        with reading(learned.name, "checkpoint"):
            require_as_many(model.env, run["env"])
            model.restore_run(run)
            restore_env(model.env, run["env"])
        # set when training goes on, as whatever happens until then may draw random numbers too
        model._resumed = run["random"]
        return model

    def run_state(self) -> dict[str, Any]:
        """What a run is beside the saved model and the environments, as plain values."""
        return {name: remembered(getattr(self, name)) for name in self.run_parts}

    def restore_run(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`run_state` gave."""
        for name in self.run_parts:
            part = getattr(self, name)
            if hasattr(part, "memory"):
                part.memory = state[name]
            else:
                setattr(self, name, state[name])
