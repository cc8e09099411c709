"""The exact planner: backward induction over a packed model, one layer of time after another.

Phase 1, :func:`solve_humans`, computes the humans' bounded-rational policies (1)-(3), each human on its own; phase 2,
:func:`solve_robot`, computes the robots' policy and the humans' power under it (4)-(9), all coupled. Backward in time the
coupling is harmless: layer t needs nothing but layer t + 1. Without a horizon, both look for a fixed point instead
(:mod:`empo_gym.planning.stationary`).

Values need T + 1 layers: in layer T (the horizon) ``v_h_m = v_h_e = 0`` and ``v_r = terminal_v_r``. Where a goal already
holds, phase 1 gives it the value 0 and lets the human keep still; phase 2 applies (6) unchanged, with that policy.

**What is kept.** ``keep="all"`` keeps every layer. ``"policy"`` keeps the policies, and of the values only those at t = 0.
``"values"`` keeps the values, and policies are computed again when somebody reads them. Entries of states that cannot be
visited so early (depth beyond t) stay 0, which no ``v_r``, ``q_r``, ``u_r``, ``x_h`` or policy can be: they are most of the
entries of a large world, and memory that is never touched costs nothing.

**Worked example**: the one of :mod:`empo_gym.equations`, where every number is derived by hand. A human outside wants to be
inside within two steps; going succeeds with probability 1/2, and surely if the robot holds the door.

>>> from empo_gym import Agent, GoalSet, ReachCell, TabularModel, World
>>> class Door(World):
...     agents = (Agent("robot", "robot", ("still", "hold")), Agent("human", "human", ("still", "go")))
...     horizon, goal_sets = 2, (GoalSet([ReachCell(1, 0)]),)
...     def initial_state(self):
...         return (0,)  # out; (1,) is in
...     def transition_probabilities(self, state, actions):
...         robot_holds, human_goes = actions
...         if state == (1,) or not human_goes:
...             return [(1.0, state)]
...         return [(1.0, (1,))] if robot_holds else [(0.5, (0,)), (0.5, (1,))]
...     def observe(self, states, t=None, kind="features"):
...         return np.array(states, dtype=np.float32)
...     def positions(self, states, human):
...         return np.array([(state[0], 0) for state in states])
>>> model = TabularModel.pack(Door())
>>> theory = Theory(gamma_h=1.0, gamma_r=1.0, beta_h=math.inf, beta_r=1.0, zeta=2.0, xi=1.0, eta=1.0)
>>> solution = solve_robot(model, solve_humans(model, theory), theory)
>>> for t in (1, 0):  # backward in time, without minus signs; state 0 is out; in the last step there is nothing to choose
...     numbers = solution.q_r[t, 0], solution.pi_r[t, 0], solution.v_h_e[0][t, 0], solution.u_r[t, 0], solution.v_r[t, 0]
...     print(t, *(np.abs(number).round(4) for number in numbers))
1 [0. 0.] [0.5 0.5] [0.75] 1.7778 1.7778
0 [1.3889 1.    ] [0.4186 0.5814] [0.9477] 1.1135 2.2763
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.bellman.backups import HumanPhase, RobotPhase, for_pieces, refuse_overflow, zero_power_message
from empo_gym.bellman.beliefs import Belief, Habit, Mu
from empo_gym.bellman.checks import check_choices, mode_of
from empo_gym.bellman.finite_human import Layers, deferred_humans, horizon_of, solve_human
from empo_gym.bellman.lazy_policies import LazyArray, LazyHumanPolicy, LazyRobotPolicy
from empo_gym.bellman.records import HumanLayer
from empo_gym.model.tabular import TabularModel
from empo_gym.planning import stationary
from empo_gym.planning.fixed_point import Method
from empo_gym.solution.solution import EmpoSolution, HumanPrior
from empo_gym.theory import Theory
from empo_gym.util.memory import require_memory

Floats = NDArray[Any]
Report = Callable[[int, float], None]
_ADVICE = {
    "finite": 'ask for less with keep="policy", keep="values" or dtype="float32"',
    "stationary": 'ask for dtype="float32" or shrink the world',
}


def solve_humans(
    model: TabularModel,
    theory: Theory,
    *,
    belief: Belief = "worst_case",
    mu: Mu | None = None,
    habit: Habit | None = None,
    mode: str | None = None,
    keep: str = "all",
    dtype: Any = np.float64,
    threads: int = 1,
    tol: float = 1e-10,
    max_sweeps: int = 20_000,
    progress: Report | None = None,
) -> HumanPrior:
    """Solve (1)-(3) for every human.

    :param model: a packed world
    :param theory: ``gamma_h``, ``beta_h`` and ``nu_h`` count here
    :param belief: what a human expects of the robots: ``"worst_case"``, ``"best_case"``, ``"uniform"``, or probabilities of
        the joint robot actions that broadcast to (horizon, n_states, n_robot_joint)
    :param mu: what a human expects of the others, uniform by default: one array per human that broadcasts to (horizon,
        n_states, n_a_h) (humans independent, as in ``prior.pibar``); or one array for the joint action of all humans
        (horizon, n_states, n_joint_human); or a function (human, t) -> (1 or n_states, n_other), other humans in C order
    :param habit: per human ``pi_h^0``, broadcasting to (horizon, n_states, n_goals, n_a_h); uniform by default
    :param mode: ``"finite"`` (default where the world has a horizon) or ``"stationary"``
    :param keep: ``"all"``, ``"policy"`` (``v_h_m`` at t = 0 only) or ``"values"`` (``pi_h`` is computed again when
        read); the stationary mode has one layer and keeps it
    :param dtype: float64, or float32 for half the memory and about seven digits
    :param threads: how many to use; the result is the same, bit for bit
    :param tol: stationary mode: largest change of a value in a last sweep
    :param max_sweeps: stationary mode: give up then
    :param progress: called with (t, 0.0) after each layer, in stationary mode with (sweep, residual)
    :raises ValueError: if the mode does not fit the world, or a distribution does not fit
    :raises NotEnoughMemory: before anything is computed
    :raises NotConverged: in stationary mode, with the residual and what to try
    """
    check_choices(model, theory, keep, dtype, threads)
    if mode_of(model, mode) == "stationary":
        numbers = model.n_states * sum(4 * n * (a + 2) for _, n, a in model.policy_shapes)
        _require(numbers * np.dtype(dtype).itemsize, "The stationary mode of phase 1", "stationary")
        how = Method(threads=threads, tol=tol, max_sweeps=max_sweeps, progress=progress)
        return stationary.humans(model, theory, belief, mu, habit, np.dtype(dtype), how)
    _require(_bytes_of_humans(model, model.n_states, _n_entries(model), keep, dtype), "Phase 1")
    phases = [HumanPhase(model, theory, h, belief, mu, habit, horizon_of(model)) for h in range(model.n_humans)]
    solved = [solve_human(phase, keep, np.dtype(dtype), threads, progress) for phase in phases]
    return HumanPrior(model, theory, tuple(pi_h for pi_h, _ in solved), tuple(v_h_m for _, v_h_m in solved))


def solve_robot(
    model: TabularModel,
    prior: HumanPrior,
    theory: Theory,
    *,
    mode: str | None = None,
    keep: str = "all",
    dtype: Any = np.float64,
    threads: int = 1,
    tol: float = 1e-10,
    max_sweeps: int = 20_000,
    starts: int = 3,
    progress: Report | None = None,
) -> EmpoSolution:
    """Solve (4)-(9) for humans who act by a prior.

    :param model: a packed world
    :param prior: the humans' policies on the same model
    :param theory: the norms, and the humans' ``gamma_h``
    :param mode: ``"finite"`` (default where the world has a horizon) or ``"stationary"``
    :param keep: ``"all"``, ``"policy"`` (``pi_r``, and all else at t = 0 only) or ``"values"`` (all but ``pi_r``, which is
        computed again when read); the stationary mode has one layer and keeps it
    :param dtype: of ``v_h_e``; what the robot values is always float64, since it may exceed what float32 can hold
    :param threads: how many to use; the result is the same, bit for bit
    :param tol: stationary mode: largest change of a value in a last sweep, relative to the value where that exceeds 1
    :param max_sweeps: stationary mode: give up then
    :param starts: stationary mode: from how many beginnings to look for fixed points (see ``solution.convergence``)
    :param progress: called with (t, 0.0) after each layer, in stationary mode with (sweep, residual)
    :raises ValueError: if the mode does not fit the world, the prior belongs to another model or mode, or (with
        ``x_h_min = 0``) a human has no goal within reach in a state that can be visited
    :raises NotEnoughMemory: before anything is computed
    :raises NotConverged: in stationary mode, with the residual and what to try
    """
    check_choices(model, theory, keep, dtype, threads)
    if not isinstance(prior, HumanPrior):
        raise ValueError(f"solve_robot needs the humans' policies, prior = solve_humans(model, theory), not {prior!r:.40}.")
    mode = mode_of(model, mode)
    _check_prior(model, prior, mode)
    if mode == "stationary":
        values = sum(5 * n for _, n, _ in model.policy_shapes) * np.dtype(dtype).itemsize
        others = 8 * (model.n_states * (6 * model.n_robot_joint + 12) + len(model.probs))
        _require(model.n_states * values + others, "The stationary mode of phase 2", mode)
        how = Method(threads=threads, tol=tol, max_sweeps=max_sweeps, starts=starts, progress=progress)
        return stationary.robot(model, prior, theory, np.dtype(dtype), how)
    _require(_bytes_of_robot(model, model.n_states, _n_entries(model), keep, dtype), "Phase 2")
    return _RobotSweep(model, prior, theory, keep, np.dtype(dtype), threads).run(progress)


def solve(
    model: TabularModel,
    theory: Theory,
    *,
    belief: Belief = "worst_case",
    mu: Mu | None = None,
    habit: Habit | None = None,
    keep: str = "policy",
    dtype: Any = np.float64,
    threads: int = 1,
    progress: Report | None = None,
) -> EmpoSolution:
    """Solve both phases in one pass over the layers of a finite world, when the robots' policy is what matters.

    The humans' policies are used as soon as they are known and not kept, which saves most of the memory and some time. Of
    ``solution.prior``, ``v_h_m`` has the layer t = 0, and ``pi_h`` is solved again should somebody read it.

    :param model: a packed world with a horizon
    :param keep: of the robots' phase, as in :func:`solve_robot`; all else as there and in :func:`solve_humans`
    :raises ValueError: as there
    :raises NotEnoughMemory: before anything is computed
    """
    check_choices(model, theory, keep, dtype, threads)
    mode_of(model, "finite")
    humans = _bytes_of_humans(model, model.n_states, 0, keep, dtype)  # of no layer but the one at hand
    robots = _bytes_of_robot(model, model.n_states, _n_entries(model), keep, dtype)
    _require(humans + robots, "Solving both phases at once")
    phases = [HumanPhase(model, theory, h, belief, mu, habit, horizon_of(model)) for h in range(model.n_humans)]
    return _JointSweep(model, phases, theory, keep, np.dtype(dtype), threads).run(progress)


def _check_prior(model: TabularModel, prior: HumanPrior, mode: str) -> None:
    """Refuse a prior whose policies are not those of this model's humans: compiled loops look nothing up twice.

    :raises ValueError: naming what does not fit
    """
    theirs = prior.model
    if not all(isinstance(pi_h, np.ndarray | LazyArray) for pi_h in prior.pi_h):
        raise ValueError("The prior's pi_h must hold one array per human; HumanPrior.of(model, theory, policy) checks them.")
    same = [tuple(pi_h.shape[1:]) for pi_h in prior.pi_h] == model.policy_shapes
    if same and theirs is not model:
        pairs = [(getattr(model, name), getattr(theirs, name)) for name in ("indptr", "indices", "probs")]
        pairs += zip(model.achieved, theirs.achieved, strict=False)
        same = (model.n_humans, model.action_shape) == (theirs.n_humans, theirs.action_shape)
        same = same and all(np.array_equal(mine, other) for mine, other in pairs)
    if prior.mode != mode or any(len(pi_h) != (1 if mode == "stationary" else horizon_of(model)) for pi_h in prior.pi_h):
        raise ValueError(f"The prior belongs to another mode or horizon: solve_humans too must be asked for {mode!r}.")
    if not same:
        raise ValueError(
            "The prior belongs to another model, with other states, transitions, actions or goals: "
            "solve_humans must be given the same model as solve_robot."
        )
    prior.check()


def _n_entries(model: TabularModel) -> int:
    """Return how many pairs (t, state) there are; no new state comes after the last depth, however long the horizon is."""
    horizon, last = horizon_of(model), len(model.layer_ends)
    return sum(model.n_within(t) for t in range(min(horizon, last))) + max(0, horizon - last) * model.n_states


def _bytes_of_humans(world: Any, n: int, entries: int, keep: str, dtype: Any) -> int:
    """Return what phase 1 will hold of a world (or model) of ``n`` states and ``entries`` pairs (t, state)."""
    policies, values = keep != "values", keep != "policy"
    actions = [agent.n_actions for agent in world.agents if agent.role == "human"]
    sizes = zip(world.goal_sets, actions, strict=True)
    return sum(len(g) * (entries * (policies * n_a_h + values) + 3 * n) for g, n_a_h in sizes) * np.dtype(dtype).itemsize


def _bytes_of_robot(world: Any, n: int, entries: int, keep: str, dtype: Any) -> int:
    """Return what phase 2 will hold: the humans' values of that kind, float64 for the robots', a mark per (t, state)."""
    n_a_r = math.prod(agent.n_actions for agent in world.agents if agent.role == "robot")
    policies, values = keep != "values", keep != "policy"
    humans = sum(map(len, world.goal_sets)) * (values * entries + 3 * n)
    others = n_a_r + len(world.goal_sets) + 2
    robots = entries * (policies * n_a_r + values * others) + n * (others + 2)
    return humans * np.dtype(dtype).itemsize + robots * 8 + n * ((world.horizon or 0) + 1)


def require_room(world: Any, n_states: int, depth: int, keep: str = "all", dtype: Any = np.float64) -> None:
    """Refuse a world while it is packed, as soon as the solution of the states known so far will not fit into memory.

    :param world: of which the states up to a depth are known, so that its solution needs no less than theirs
    :param n_states: how many
    :param depth: number of steps
    :param keep: as in :func:`solve_humans`, like ``dtype``
    :raises NotEnoughMemory: in a sentence that says what to do
    """
    entries = n_states * (1 if world.horizon is None else max(1, world.horizon - depth))
    size = (world, 0, entries, keep, dtype)  # of what is kept alone
    what = f"A solution of this world, of which {n_states:,} states are known at depth {depth} and more will come,"
    require_memory(
        _bytes_of_humans(*size) + _bytes_of_robot(*size),
        what,
        'keep less (keep="policy" or "values", dtype="float32"), shorten the horizon (max_steps), or learn it: EMPO with '
        "MlpPolicy (`empo train`) needs no list of the states",
    )


def _require(n_bytes: int, what: str, mode: str = "finite") -> None:
    require_memory(n_bytes, what, _ADVICE[mode])


class _RobotSweep:
    """Phase 2: the arrays of the solution and the loop that fills them from the last layer to the first."""

    def __init__(self, model: TabularModel, prior: HumanPrior, theory: Theory, keep: str, dtype: Any, threads: int) -> None:
        horizon, n_states, n_a_r = horizon_of(model), model.n_states, model.n_robot_joint
        self.model, self.prior, self.theory, self.threads = model, prior, theory, threads
        self.phase = RobotPhase(model, theory)
        values = keep != "policy"
        self.q_r = Layers((horizon, n_states, n_a_r), values)
        self.pi_r = Layers((horizon, n_states, n_a_r), keep != "values")
        self.x_h = Layers((horizon, n_states, model.n_humans), values)
        self.u_r, self.v_r = Layers((horizon, n_states), values), Layers((horizon + 1, n_states), values)
        self.v_h_e = [Layers((horizon + 1, *a.shape), values, dtype) for a in model.achieved]
        self.n_floored, self.values_kept = 0, values

    def run(self, progress: Report | None) -> EmpoSolution:
        """Fill all layers, the last one first."""
        v_r = np.full(self.model.n_states, self.theory.terminal_v_r)
        if self.values_kept:
            self.v_r.array[-1] = v_r
        zeros = [np.zeros(layers.array.shape[1:], dtype=layers.array.dtype) for layers in self.v_h_e]
        continuations, spare = self.phase.continuation_values(zeros), zeros
        for t in reversed(range(horizon_of(self.model))):
            v_r = self._fill(t, v_r, continuations, spare)
            continuations, spare = spare, continuations
            if progress is not None:
                progress(t, 0.0)
        pi_r: Any = self.pi_r.array
        if not self.pi_r.kept:
            n_within = [self.model.n_within(t) for t in range(horizon_of(self.model))]
            pi_r = LazyRobotPolicy(self.theory.beta_r, n_within, self.q_r.array)
        v_h_e = tuple(layers.array for layers in self.v_h_e)
        arrays = (self.q_r.array, pi_r, v_h_e, self.x_h.array, self.u_r.array, self.v_r.array)
        return EmpoSolution(self.model, self.theory, *arrays, n_floored=self.n_floored, prior=self.prior)

    def _fill(self, t: int, v_r_next: Floats, continuations: list[Floats], continuations_now: list[Floats]) -> Floats:
        """Fill one layer; return its ``v_r``, to be read until the next layer is filled."""
        n = self.model.n_within(t)
        layers = (self.q_r, self.pi_r, self.x_h, self.u_r, self.v_r)
        q_r, pi_r, x_h, u_r, v_r = (quantity.at(t) for quantity in layers)
        v_h_e = [quantity.at(t) for quantity in self.v_h_e]
        self._begin(t)

        def sweep(low: int, high: int) -> None:
            here = slice(low, high)
            pi_h = self._humans(t, low, high)  # (2), from phase 1
            pibar = self.phase.marginals(pi_h)
            # (4) Q_r from the next layer's V_r, (5) pi_r from Q_r
            self.phase.decide(low, high, pibar, v_r_next, q_r[here], pi_r[here])
            # (6) V_h^e under pi_r and all pi_h, (7) X_h from V_h^e
            self.phase.empower(low, high, (pibar, pi_h, pi_r[here]), continuations, v_h_e, x_h, continuations_now)

        for_pieces(n, self.phase.width, self.threads, sweep)
        self._count_floored(t, x_h[:n])
        # (8) U_r from X_h, (9) V_r from U_r, pi_r and Q_r
        self.phase.reward(x_h[:n], q_r[:n], pi_r[:n], u_r[:n], v_r[:n])
        refuse_overflow(self.model, self.theory, v_r[:n], lambda: self.model.reachable(t)[:n], f" at t = {t}")
        return v_r

    def _begin(self, t: int) -> None:
        """Compute what all threads will read of policies that are not kept."""
        for policy in self.prior.pi_h:
            if isinstance(policy, LazyHumanPolicy):
                policy.prepare(t)

    def _humans(self, t: int, low: int, high: int) -> list[Floats]:
        """Return the humans' policies in the states low .. high - 1."""
        return [np.ascontiguousarray(policy[t, low:high]) for policy in self.prior.pi_h]

    def _count_floored(self, t: int, x_h: Floats) -> None:
        """Count floored entries; without a floor, refuse a visitable state in which a human can reach nothing."""
        floored = x_h <= self.theory.x_h_min
        if not floored.any():
            return
        visitable = floored & self.model.reachable(t)[: len(x_h), None]
        if self.theory.x_h_min > 0.0:
            self.n_floored += int(np.count_nonzero(visitable))
            return
        if visitable.any():
            s, h = (int(i) for i in np.argwhere(visitable)[0])
            raise ValueError(zero_power_message(self.model, s, h, f" at t = {t}"))
        x_h[floored] = np.nan  # never visited at this time, so nobody reads it


class _JointSweep(_RobotSweep):
    """Both phases in one loop: the humans' policies of a piece are used while it is in the cache."""

    def __init__(
        self, model: TabularModel, phases: list[HumanPhase], theory: Theory, keep: str, dtype: Any, threads: int
    ) -> None:
        self.phases, self.dtype = phases, dtype
        self.v_h_m = [np.zeros((1, *phase.achieved.shape), dtype=dtype) for phase in phases]
        self.now = [phase.continuation_values(v[0]) for phase, v in zip(phases, self.v_h_m, strict=True)]
        self.next = [np.zeros_like(continuation) for continuation in self.now]
        pi_h: Any = tuple(deferred_humans(phase, dtype, threads) for phase in phases)
        super().__init__(model, HumanPrior(model, theory, pi_h, tuple(self.v_h_m)), theory, keep, dtype, threads)

    def _begin(self, t: int) -> None:
        self.now, self.next = self.next, self.now
        for phase in self.phases:
            phase.expects(t)

    def _humans(self, t: int, low: int, high: int) -> list[Floats]:
        policies = []
        for phase, v_h_m, now, following in zip(self.phases, self.v_h_m, self.now, self.next, strict=True):
            policies.append(np.empty((high - low, phase.n_goals, phase.n_a_h), dtype=self.dtype))
            values = v_h_m[0, low:high] if t == 0 else np.empty_like(v_h_m[0, low:high])
            phase.sweep(t, low, high, following, HumanLayer(policies[-1], values, now[low:high]))
        return policies
