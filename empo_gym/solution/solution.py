"""What planning gives, and what learning approximates: arrays over (time, state) of a packed model.

The planner and every learner return the same :class:`EmpoSolution`, so that comparing them is one call. Values have one
layer more than policies (the terminal one). Entries of states that cannot be visited so early are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empo_gym.bellman import kernels
from empo_gym.model.tabular import TabularModel
from empo_gym.solution import frames, given_policies, storage
from empo_gym.solution.convergence import Convergence
from empo_gym.theory import Theory
from empo_gym.util.arguments import integer
from empo_gym.util.sampling import draw

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HumanPrior:
    """Phase 1: how humans act, as the robot expects it. :meth:`of` makes one of policies that you wrote.

    :param model: the packed world
    :param theory: the theory it was solved for
    :param pi_h: per human (horizon, n_states, n_goals, n_a_h) policies (2)
    :param v_h_m: per human (horizon + 1, n_states, n_goals) values (3)
    """

    model: TabularModel
    theory: Theory
    pi_h: tuple[Floats, ...]
    v_h_m: tuple[Floats, ...]
    mode: str = "finite"
    convergence: tuple[Convergence, ...] = ()

    @classmethod
    def of(cls, model: TabularModel, theory: Theory, policy: given_policies.Policy) -> HumanPrior:
        """Return the prior of humans who act by given policies, whether or not these follow from a theory.

        ``v_h_m`` is (3) under these policies, for humans who expect the worst of the robots.

        :param model: the packed world
        :param theory: ``gamma_h`` counts here
        :param policy: one array per human of shape (horizon or 1, n_states, n_goals, n_a_h); a single layer holds at all
            times. Or a function ``policy(state, human, goal, t) -> (n_a_h,) probabilities``. States that cannot be reached by
            time t are neither asked for nor checked.
        :raises ValueError: if a policy does not fit, or is no distribution in a (t, state) that can be reached
        """
        pi_h, v_h_m, mode = given_policies.evaluated(model, theory, policy)
        return cls(model, theory, pi_h, v_h_m, mode=mode)

    def check(self) -> None:
        """Refuse policies that are no distributions in a (t, state) that can be reached. Repeated calls cost nothing.

        :raises ValueError: naming human, time, state and goal
        """
        _ = self._is_checked

    @cached_property
    def _is_checked(self) -> bool:
        given_policies.check_policies(self.model, self.pi_h, self.mode)
        return True

    def layer(self, t: int) -> int:
        """Return where the policies of time ``t`` stand on the time axis: always 0 in a stationary prior."""
        return 0 if self.mode == "stationary" else t

    @cached_property
    def pibar(self) -> tuple[Floats, ...]:
        """Per human (horizon, n_states, n_a_h): the mean of ``pi_h`` over goals, which others expect."""
        marginals = []
        for pi_h, goals in zip(self.pi_h, self.model.goal_sets, strict=True):
            pibar = np.empty((*pi_h.shape[:2], pi_h.shape[3]))
            for t in range(len(pi_h)):
                kernels.marginal_policy(pi_h[t], goals.pibar_weights, 0, pibar[t])
            marginals.append(pibar)
        return tuple(marginals)


@dataclass(frozen=True, eq=False)
class EmpoSolution:
    """Phase 2: what the robot does and how much power it leaves to the humans.

    :param model: the packed world
    :param theory: the theory it answers
    :param q_r: (horizon, n_states, n_robot_joint), equation (4)
    :param pi_r: (horizon, n_states, n_robot_joint), equation (5)
    :param v_h_e: per human (horizon + 1, n_states, n_goals), equation (6)
    :param x_h: (horizon, n_states, n_humans), equation (7)
    :param u_r: (horizon, n_states), equation (8)
    :param v_r: (horizon + 1, n_states), equation (9)
    :param n_floored: number of visitable (t, state, human) whose ``x_h`` is the floor ``x_h_min``
    :param prior: the humans' policies it rests on
    """

    model: TabularModel
    theory: Theory
    q_r: Floats
    pi_r: Floats
    v_h_e: tuple[Floats, ...]
    x_h: Floats
    u_r: Floats
    v_r: Floats
    n_floored: int
    prior: HumanPrior
    mode: str = "finite"
    convergence: Convergence | None = None

    def layer(self, t: int) -> int:
        """Return where the policy of time ``t`` stands on the time axis: always 0 in a stationary solution."""
        return 0 if self.mode == "stationary" else t

    def policy(self, state: Any, t: int = 0) -> Floats:
        """Return the probabilities of the joint robot actions: (n_robot_joint,).

        :param state: a state as the world writes it
        :param t: steps since the start
        :raises ValueError: if the state cannot be visited at that time
        """
        layer, number = self.layer(integer("t", t)), self.model.index(state)
        if not 0 <= layer < len(self.pi_r):
            raise ValueError(f"There is no decision at t = {t}; times run from 0 to {len(self.pi_r) - 1}.")
        if self.mode == "finite" and self.model.depth[number] > t:
            raise ValueError(f"State {state} cannot be visited at t = {t}, so it has no policy there.")
        return np.array(self.pi_r[layer, number])

    def sample(self, state: Any, t: int, rng: np.random.Generator) -> int:
        """Draw a joint robot action.

        :param rng: the only source of randomness
        :raises ValueError: as :meth:`policy`
        """
        return draw(self.policy(state, t), rng)

    def compare(self, other: EmpoSolution) -> dict[str, dict[str, float]]:
        """Return how far another solution of the same world is from this one, over all (t, state) in which somebody acts
        and which both have kept.

        :param other: for example what a learner found
        :return: per quantity (``q_r``, ``pi_r``, ``v_h_e``, ``x_h``, ``u_r``, ``v_r``, ``pi_h``, ``v_h_m``) the ``largest``
            and ``mean`` absolute difference; besides ``total_variation`` (mean) of ``pi_r``, ``rmse`` of ``v_h_e``, and
            ``relative_at_start`` of ``v_r``: the difference in the initial state, in units of this solution's value
        :raises ValueError: if the other solution is of another world
        """
        where = self._numbers_in(other)
        if self.mode != other.mode:
            raise ValueError(f"A {self.mode} and a {other.mode} solution have no layers in common.")
        if self.mode == "stationary":
            acting = np.ones((1, self.model.n_states), dtype=np.bool_)
        else:
            acting = self.model.reachable_pairs()[:-1]
        return {name: _distance(name, mine, theirs, acting, where) for name, mine, theirs in _paired(self, other)}

    def _numbers_in(self, other: EmpoSolution) -> NDArray[np.int32]:
        """Return the other model's number of each state."""
        same = (self.model.horizon, self.model.action_shape) == (other.model.horizon, other.model.action_shape)
        if same and [len(goals) for goals in self.model.goal_sets] == [len(goals) for goals in other.model.goal_sets]:
            there, back = other.model.index_all(self.model.states), self.model.index_all(other.model.states)
            if (there >= 0).all():
                return there
            if (back >= 0).all() and len(back) == len(there):
                return np.argsort(back).astype(np.int32)  # this model knows its states by their printed form only
        raise ValueError("The two solutions are of different worlds: their states, actions, goals or horizons differ.")

    def to_frame(self, quantities: Sequence[str] | str | None = None) -> Any:
        """Return a ``pandas.DataFrame`` with a row per (t, state): see :func:`empo_gym.solution.frames.to_frame`.

        :raises ImportError: without pandas, naming what to install
        """
        return frames.to_frame(self, frames.QUANTITIES if quantities is None else quantities)

    def save(self, path: str | Path) -> None:
        """Write everything but the world's program to one file, atomically.

        :param path: the file's name, conventionally ending in ``.npz``
        """
        storage.save_solution(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> EmpoSolution:
        """Read a saved solution; its model has no world but all states, transitions and goals' names.

        :raises ValueError: if the file is missing, cut off, or something else
        """
        return storage.load_solution(Path(path), EmpoSolution, HumanPrior)


def _paired(left: EmpoSolution, right: EmpoSolution) -> list[tuple[str, tuple[Floats, ...], tuple[Floats, ...]]]:
    """Return (quantity, left's arrays, right's arrays): one array, or one per human."""
    pairs = [(name, (getattr(left, name),), (getattr(right, name),)) for name in ("q_r", "pi_r", "x_h", "u_r", "v_r")]
    per_human = [("v_h_e", left.v_h_e, right.v_h_e)]
    per_human += [(name, getattr(left.prior, name), getattr(right.prior, name)) for name in ("pi_h", "v_h_m")]
    return pairs + per_human


def _distance(
    name: str,
    mine: tuple[Floats, ...],
    theirs: tuple[Floats, ...],
    acting: NDArray[np.bool_],
    where: NDArray[np.int32],
) -> dict[str, float]:
    """Return the distances of one quantity over the (t, state) pairs marked in ``acting`` (horizon, n_states)."""
    n = min(len(acting), len(mine[0]), len(theirs[0]))  # layers that both have kept
    gaps = [(b[:n][:, where] - a[:n])[acting[:n]] for a, b in zip(mine, theirs, strict=True)]
    everything = np.abs(np.concatenate([gap.ravel() for gap in gaps]))
    distance = {"largest": float(everything.max()), "mean": float(everything.mean())}
    if name == "pi_r":
        distance["total_variation"] = float(0.5 * np.abs(gaps[0]).sum(axis=-1).mean())
    elif name == "v_h_e":
        distance["rmse"] = float(np.sqrt((everything**2).mean()))
    elif name == "v_r":
        exact, found = mine[0][0, 0], theirs[0][0, where[0]]
        distance["relative_at_start"] = float(abs((found - exact) / exact))
    return distance
