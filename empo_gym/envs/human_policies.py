"""How the humans inside an environment choose: each way is one small class with ``act`` for one environment and ``act_all``
for many at once, and one name where it needs no argument.

A human holds a goal and acts on its own random numbers; whoever chooses sees the state, the time, the human's number and its
goal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from empo_gym.util.wording import shown
from empo_gym.util.arguments import integer
from empo_gym.util.sampling import draw, draw_many
from empo_gym.worlds.world import as_states

if TYPE_CHECKING:
    from empo_gym.solution.solution import HumanPrior
    from empo_gym.worlds.world import WorldModel

HumanPolicy = Callable[[Any, int, int, int, np.random.Generator], Any]
Numbers = NDArray[np.int64]


class Humans(Protocol):
    """Chooses an action for one human."""

    def act(self, s: int, state: Callable[[], Any], t: int, human: int, goal: int, rng: np.random.Generator) -> int:
        """Return the number of the chosen action.

        :param s: number of the state in the packed model, -1 if there is none
        :param state: returns the state itself, which costs more than its number
        :param t: steps since the start of the world's horizon
        :param human: number of the human
        :param goal: number of the goal the human holds
        :param rng: the environment's random numbers
        """

    def act_all(
        self, s: Numbers, states: Callable[[], Any], t: Numbers, human: int, goals: Numbers, rng: np.random.Generator
    ) -> Numbers:
        """Return the chosen action of the same human in n environments: as :meth:`act`, with (n,) arrays and n states."""

    def policies(self, states: Any, t: Numbers, human: int) -> NDArray[np.float64]:
        """Return (n, n_goals, n_actions) with which probability a human does what for each goal, in n states at n times."""


@njit(cache=True)
def _draw_from_prior(pi_h, t, s, goals, u):
    """Draw an action per environment from (layers, n_states, n_goals, n_actions) policies."""
    n_layers, n_actions = pi_h.shape[0], pi_h.shape[3]
    chosen = np.empty(s.size, dtype=np.int64)
    for i in range(s.size):
        layer, rest, a = min(t[i], n_layers - 1), u[i], 0
        while a < n_actions - 1:
            rest -= pi_h[layer, s[i], goals[i], a]
            if rest < 0.0:
                break
            a += 1
        # What rounding left over must not fall to an action that is never chosen.
        while pi_h[layer, s[i], goals[i], a] <= 0.0 and a > 0:
            a -= 1
        chosen[i] = a
    return chosen


class BoltzmannHumans:
    """Humans who follow a :class:`HumanPrior` (equation 2).

    :param prior: over the states of the environment's packed model
    :raises ValueError: if its policies are no distributions
    """

    def __init__(self, prior: HumanPrior) -> None:
        prior.check()
        self._model = prior.model
        self._pi_h = prior.pi_h
        self._layers = [policy.shape[0] for policy in prior.pi_h]

    def act(self, s: int, state: Callable[[], Any], t: int, human: int, goal: int, rng: np.random.Generator) -> int:
        """Draw from ``pi_h[human][t, s, goal]``; a stationary prior has one layer for every time."""
        layer = min(t, self._layers[human] - 1)
        return draw(self._pi_h[human][layer, s, goal], rng)

    def act_all(
        self, s: Numbers, states: Callable[[], Any], t: Numbers, human: int, goals: Numbers, rng: np.random.Generator
    ) -> Numbers:
        """Draw from each environment's row of ``pi_h``."""
        return _draw_from_prior(self._pi_h[human], t, s, goals, rng.random(len(s)))

    def policies(self, states: Any, t: Numbers, human: int) -> NDArray[np.float64]:
        """Return what the prior says.

        :raises ValueError: for a state that it does not know
        """
        numbers = self._model.index_all(states)
        if (numbers < 0).any():
            raise ValueError("The humans' prior lacks a state that was met; is it of this world?")
        return np.asarray(self._pi_h[human][np.minimum(t, self._layers[human] - 1), numbers], dtype=np.float64)


class UniformHumans:
    """Humans who pick any action with equal probability.

    :param world: whose agents say how many actions there are
    """

    def __init__(self, world: WorldModel) -> None:
        self._n_actions = [agent.n_actions for agent in world.agents if agent.role == "human"]
        self._world = world

    def act(self, s: int, state: Callable[[], Any], t: int, human: int, goal: int, rng: np.random.Generator) -> int:
        """Draw uniformly (in a quarter of the time that ``rng.integers`` takes for one number)."""
        return int(rng.random() * self._n_actions[human])

    def act_all(
        self, s: Numbers, states: Callable[[], Any], t: Numbers, human: int, goals: Numbers, rng: np.random.Generator
    ) -> Numbers:
        """Draw uniformly in every environment."""
        return rng.integers(self._n_actions[human], size=len(s))

    def policies(self, states: Any, t: Numbers, human: int) -> NDArray[np.float64]:
        """Return equal probabilities."""
        n_actions = self._n_actions[human]
        return np.full((len(t), len(self._world.goal_sets[human]), n_actions), 1.0 / n_actions)


class CallableHumans:
    """Humans who follow somebody's function ``(state, t, human, goal, rng) -> action or probabilities``.

    :param function: the function; where it has a method ``policies`` as :class:`Humans`, that answers for many states at once
    :param world: whose agents say which actions exist
    """

    def __init__(self, function: HumanPolicy, world: WorldModel) -> None:
        self.function = function
        self._world = world
        self._n_actions = [agent.n_actions for agent in world.agents if agent.role == "human"]

    def act(self, s: int, state: Callable[[], Any], t: int, human: int, goal: int, rng: np.random.Generator) -> int:
        """Ask the function.

        :raises ValueError: if it returns neither an action number nor one probability per action
        """
        answer, n = np.asarray(self.function(state(), t, human, goal, rng)), self._n_actions[human]
        if answer.shape == () and np.issubdtype(answer.dtype, np.integer) and 0 <= answer < n:
            return int(answer)
        if answer.shape == (n,) and (answer >= 0).all() and abs(float(answer.sum()) - 1.0) < 1e-6:
            return draw(answer, rng)
        raise ValueError(
            f"The human policy returned {answer.tolist()} for human {human}; "
            f"return an action from 0 to {n - 1} or {n} probabilities that sum to 1."
        )

    def act_all(
        self, s: Numbers, states: Callable[[], Any], t: Numbers, human: int, goals: Numbers, rng: np.random.Generator
    ) -> Numbers:
        """Ask the function once per environment.

        :raises ValueError: as :meth:`act`
        """
        every = zip(as_states(states()), t.tolist(), goals.tolist(), strict=True)
        return np.array([self.act(-1, partial(_same, state), time, human, goal, rng) for state, time, goal in every])

    def policies(self, states: Any, t: Numbers, human: int) -> NDArray[np.float64]:
        """Ask the function once per state and goal, or once for all if it has an answer to that.

        :raises ValueError: if it returns actions, of which nobody knows the probability
        """
        many = getattr(self.function, "policies", None)
        if many is not None:
            return many(states, t, human)  # rows that cannot be reached may be 0
        goals, rng = range(len(self._world.goal_sets[human])), np.random.default_rng(0)
        every = list(zip(as_states(states), t.tolist(), strict=True))
        answers = [[np.asarray(self.function(state, time, human, goal, rng)) for goal in goals] for state, time in every]
        if any(answer.shape != (self._n_actions[human],) for row in answers for answer in row):
            raise ValueError(
                f"A human policy to learn beside must return {self._n_actions[human]} probabilities "
                f"for human {human}, no action."
            )
        return self._distributions(np.array(answers, dtype=np.float64), human)

    def _distributions(self, answers: NDArray[np.float64], human: int) -> NDArray[np.float64]:
        if not ((answers >= 0.0).all() and np.allclose(answers.sum(axis=-1), 1.0, rtol=0.0, atol=1e-5)):
            raise ValueError(
                f"A human policy to learn beside must return {self._n_actions[human]} probabilities that sum to 1 "
                f"for human {human}."
            )
        return answers


def told_actions(told: Mapping[int, int], shape: Sequence[int]) -> dict[int, int]:
    """Return what some humans are told to do as {human: action}.

    :param shape: number of actions of each human
    :raises ValueError: for a human or an action that does not exist
    """
    if not isinstance(told, Mapping):
        raise ValueError(f"The humans are told {{human: number of its action}}, not {shown(told)}.")
    checked = {}
    for human, action in told.items():
        human = integer("The number of a human who is told what to do", human, 0, len(shape) - 1)
        checked[human] = integer(f"The action that human {human} is told", action, 0, shape[human] - 1)
    return checked


def _same(state: Any) -> Any:
    return state
