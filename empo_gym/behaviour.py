"""How the humans inside an environment choose: each way is one small class with ``act``, and one name where it needs no
argument.

A human holds a goal and acts on its own random numbers; whoever chooses sees the state, the time, the human's number and its
goal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from empo_gym.solution import HumanPrior
    from empo_gym.world import WorldModel

HumanPolicy = Callable[[Any, int, int, int, np.random.Generator], Any]


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


def draw(probabilities: np.ndarray, rng: np.random.Generator) -> int:
    """Return an index drawn with the given probabilities (which may sum to 1 only nearly)."""
    cumulated = probabilities.cumsum()
    return min(int(cumulated.searchsorted(rng.random() * cumulated[-1], side="right")), len(cumulated) - 1)


class BoltzmannHumans:
    """Humans who follow a :class:`HumanPrior` (equation 2).

    :param prior: over the states of the environment's packed model
    """

    def __init__(self, prior: HumanPrior) -> None:
        self._pi_h = prior.pi_h
        self._layers = [policy.shape[0] for policy in prior.pi_h]

    def act(self, s: int, state: Callable[[], Any], t: int, human: int, goal: int, rng: np.random.Generator) -> int:
        """Draw from ``pi_h[human][t, s, goal]``; a stationary prior has one layer for every time."""
        layer = min(t, self._layers[human] - 1)
        return draw(self._pi_h[human][layer, s, goal], rng)


class UniformHumans:
    """Humans who pick any action with equal probability.

    :param world: whose agents say how many actions there are
    """

    def __init__(self, world: WorldModel) -> None:
        self._n_actions = [agent.n_actions for agent in world.agents if agent.role == "human"]

    def act(self, s: int, state: Callable[[], Any], t: int, human: int, goal: int, rng: np.random.Generator) -> int:
        """Draw uniformly."""
        return int(rng.integers(self._n_actions[human]))


class CallableHumans:
    """Humans who follow somebody's function ``(state, t, human, goal, rng) -> action or probabilities``.

    :param function: the function
    :param world: whose agents say which actions exist
    """

    def __init__(self, function: HumanPolicy, world: WorldModel) -> None:
        self._function = function
        self._n_actions = [agent.n_actions for agent in world.agents if agent.role == "human"]

    def act(self, s: int, state: Callable[[], Any], t: int, human: int, goal: int, rng: np.random.Generator) -> int:
        """Ask the function.

        :raises ValueError: if it returns neither an action number nor one probability per action
        """
        answer, n = np.asarray(self._function(state(), t, human, goal, rng)), self._n_actions[human]
        if answer.shape == () and np.issubdtype(answer.dtype, np.integer) and 0 <= answer < n:
            return int(answer)
        if answer.shape == (n,) and (answer >= 0).all() and abs(float(answer.sum()) - 1.0) < 1e-6:
            return draw(answer, rng)
        raise ValueError(
            f"The human policy returned {answer.tolist()} for human {human}; "
            f"return an action from 0 to {n - 1} or {n} probabilities that sum to 1."
        )
