"""Random worlds given by transition tables: as an ordinary Python object, and as a batched world of integer vectors."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from empo_gym.worlds.goals import GoalSet
from empo_gym.worlds.world import Agent, Successors, World


@dataclass(frozen=True)
class AmongStates:
    """A goal that holds in some numbered states."""

    numbers: frozenset

    @property
    def name(self):
        return "states " + " ".join(map(str, sorted(self.numbers)))

    def holds(self, world, states, human):
        return np.array([world.number(state) in self.numbers for state in states], dtype=bool)


class TableWorld(World):
    """States are pairs (number // 3, number % 3); ``table[number, joint action]`` lists (probability, number)."""

    def __init__(self, agents, horizon, table, goal_sets):
        self.agents, self.horizon, self.table, self.goal_sets = tuple(agents), horizon, table, tuple(goal_sets)

    @staticmethod
    def number(state):
        return int(state[0]) * 3 + int(state[1])

    @staticmethod
    def pair(number):
        return (number // 3, number % 3)

    def initial_state(self):
        return self.pair(0)

    def transition_probabilities(self, state, actions):
        row = self.table[self.number(state)][self.joint_index(actions)]
        return [(p, self.pair(number)) for p, number in row]

    def observe(self, states, t=None, kind="features"):
        return np.asarray(states, dtype=np.float32).reshape(-1, 2)

    def positions(self, states, human):
        return np.asarray(states, dtype=np.int64).reshape(-1, 2)


class BatchedTableWorld(TableWorld):
    """The same world, answering for many states at once."""

    @property
    def radices(self):
        return np.array([(len(self.table) + 2) // 3, 3])

    def successors(self, states):
        ends, successors, probs = [0], [], []
        for state in states:
            for row in self.table[self.number(state)]:
                successors += [self.pair(number) for _, number in row]
                probs += [p for p, _ in row]
                ends.append(len(probs))
        return Successors(np.array(ends), np.array(successors).reshape(-1, 2), np.array(probs))


def random_table(rng, n_states, n_joint):
    table = []
    for _ in range(n_states):
        rows = []
        for _ in range(n_joint):
            successors = np.sort(rng.choice(n_states, size=min(n_states, int(rng.integers(1, 4))), replace=False))
            probs = rng.dirichlet(np.ones(len(successors)))
            rows.append([(float(p), int(s)) for p, s in zip(probs, successors, strict=True)])
        table.append(rows)
    return table


def random_world(seed, robots, humans, n_states=6, horizon=3, n_goals=(2, 3, 4), kind=TableWorld):
    """A world with the given numbers of actions of each robot and each human; ``seed`` chooses the rest."""
    rng = np.random.default_rng(seed)
    names = ("still", "one", "two", "three")
    agents = [Agent(f"robot {i}", "robot", names[:n]) for i, n in enumerate(robots)]
    agents += [Agent(f"human {i}", "human", names[(i % 2) : (i % 2) + n]) for i, n in enumerate(humans)]
    goal_sets = []
    for h in range(len(humans)):
        goals = [
            AmongStates(frozenset(rng.choice(n_states, size=int(rng.integers(1, 3)), replace=False).tolist()))
            for _ in range(n_goals[h])
        ]
        goal_sets.append(GoalSet(goals, rng.uniform(0.2, 3.0, len(goals)), normalize=bool(rng.integers(2))))
    n_joint = int(np.prod([agent.n_actions for agent in agents]))
    return kind(agents, horizon, random_table(rng, n_states, n_joint), goal_sets)


@st.composite
def worlds(draw, kind=TableWorld):
    """Small random worlds: one or two robots, one or two humans, unequal goal weights, any numbers of actions."""
    return random_world(
        seed=draw(st.integers(0, 2**32 - 1)),
        robots=draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)),
        humans=draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)),
        n_states=draw(st.integers(2, 7)),
        horizon=draw(st.integers(1, 4)),
        n_goals=draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        kind=kind,
    )
