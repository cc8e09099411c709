"""The equations once more, as plainly as they can be written: loops over dictionaries, nothing shared with the planner.

It asks the world itself for every transition, walks the reachable states of each time on its own, and computes with Python's
floats. It is the tests' second opinion and the benchmarks' side-by-side partner.
"""

import itertools
import math
from dataclasses import dataclass, field


@dataclass
class Naive:
    """What the loops found, keyed by (t, state), then human, goal or action."""

    states: list
    v_h_m: dict = field(default_factory=dict)  # (t, s, h, g)
    pi_h: dict = field(default_factory=dict)  # (t, s, h, g) -> list over actions
    q_r: dict = field(default_factory=dict)  # (t, s) -> list over joint robot actions
    pi_r: dict = field(default_factory=dict)
    v_h_e: dict = field(default_factory=dict)  # (t, s, h, g)
    x_h: dict = field(default_factory=dict)  # (t, s, h)
    u_r: dict = field(default_factory=dict)  # (t, s)
    v_r: dict = field(default_factory=dict)  # (t, s)


class Problem:
    """A world and a theory, with the world's answers remembered."""

    def __init__(self, world, theory, belief="worst_case", mu=None, habit=None):
        self.world, self.theory, self.belief, self.mu, self.habit = world, theory, belief, mu, habit
        self.robots = [agent for agent in world.agents if agent.role == "robot"]
        self.humans = [agent for agent in world.agents if agent.role == "human"]
        self.robot_joint = list(itertools.product(*[range(len(agent.actions)) for agent in self.robots]))
        self.human_joint = list(itertools.product(*[range(len(agent.actions)) for agent in self.humans]))
        self.weights = [[float(w) for w in goals.weights] for goals in world.goal_sets]
        self._next, self._holds = {}, {}

    def next(self, s, a_r, a_h):
        key = (s, a_r, a_h)
        if key not in self._next:
            self._next[key] = self.world.transition_probabilities(s, a_r + a_h)
        return self._next[key]

    def holds(self, h, g, s):
        key = (h, g, s)
        if key not in self._holds:
            self._holds[key] = bool(self.world.goal_sets[h].goals[g].holds(self.world, [s], h)[0])
        return self._holds[key]

    def goals(self, h):
        return range(len(self.weights[h]))

    def layers(self):
        """The states that can be visited at each time."""
        layers = [[self.world.initial_state()]]
        for _ in range(self.world.horizon):
            found = {}
            for s in layers[-1]:
                for a_r in self.robot_joint:
                    for a_h in self.human_joint:
                        for _, successor in self.next(s, a_r, a_h):
                            found[successor] = True
            layers.append(list(found))
        return layers


def softmax(beta, q):
    best = max(q)
    if math.isinf(beta):
        chosen = [1.0 if value >= best - 1e-12 * max(1.0, abs(best)) else 0.0 for value in q]
    else:
        chosen = [math.exp(beta * (value - best)) for value in q]
    return [c / math.fsum(chosen) for c in chosen]


def power_law(beta, q):
    if math.isinf(beta):
        return softmax(beta, q)
    logs = [-beta * math.log(-value) for value in q]
    weights = [math.exp(log - max(logs)) for log in logs]
    return [w / math.fsum(weights) for w in weights]


def expected(problem, h, g, s, a_r, a_h, value):
    """The expectation over s' of: 1 on entering the goal, else the discounted value."""
    total = 0.0
    for p, successor in problem.next(s, a_r, a_h):
        total += p * (1.0 if problem.holds(h, g, successor) else problem.theory.gamma_h * value[successor])
    return total


def belief_of(problem, values):
    if isinstance(problem.belief, str):
        named = {"worst_case": min, "best_case": max, "uniform": lambda v: math.fsum(v) / len(v)}
        return named[problem.belief](values)
    return math.fsum(float(p) * value for p, value in zip(problem.belief, values, strict=True))


def human_q(problem, h, g, s, value):
    """Equation (1), a list over the human's own actions."""
    q = [0.0] * len(problem.humans[h].actions)
    for a_h in problem.human_joint:
        others = [a for j, a in enumerate(a_h) if j != h]
        sizes = [len(agent.actions) for j, agent in enumerate(problem.humans) if j != h]
        if problem.mu is None:
            weight = 1.0 / math.prod(sizes)
        else:
            marginals = [problem.mu[j] for j in range(len(problem.humans)) if j != h]
            weight = math.prod(float(marginal[a]) for marginal, a in zip(marginals, others, strict=True))
        q[a_h[h]] += weight * belief_of(problem, [expected(problem, h, g, s, a_r, a_h, value) for a_r in problem.robot_joint])
    return q


def rest(agent):
    if "still" in agent.actions:
        return [1.0 if name == "still" else 0.0 for name in agent.actions]
    return [1.0 / len(agent.actions)] * len(agent.actions)


def solve(world, theory, belief="worst_case", mu=None, habit=None):
    """Both phases by backward induction over the states of each time."""
    problem = Problem(world, theory, belief, mu, habit)
    result = Naive(problem.layers())
    solve_humans(problem, result)
    solve_robots(problem, result)
    return result


def solve_humans(problem, result):
    layers = result.states
    horizon = len(layers) - 1
    for h in range(len(problem.humans)):
        for g in problem.goals(h):
            for s in layers[horizon]:
                result.v_h_m[horizon, s, h, g] = 0.0
            for t in reversed(range(horizon)):
                value = {s: result.v_h_m[t + 1, s, h, g] for s in layers[t + 1]}
                for s in layers[t]:
                    solve_human(problem, result, t, s, h, g, value)


def solve_robots(problem, result):
    layers = result.states
    horizon = len(layers) - 1
    for s in layers[horizon]:
        result.v_r[horizon, s] = problem.theory.terminal_v_r
        for h in range(len(problem.humans)):
            for g in problem.goals(h):
                result.v_h_e[horizon, s, h, g] = 0.0
    for t in reversed(range(horizon)):
        for s in layers[t]:
            solve_robot(problem, result, t, s)


def solve_human(problem, result, t, s, h, g, value):
    """Equations (1)-(3) for one human, goal and state."""
    theory = problem.theory
    if problem.holds(h, g, s):
        result.v_h_m[t, s, h, g] = 0.0
        result.pi_h[t, s, h, g] = rest(problem.humans[h])
        return
    q = human_q(problem, h, g, s, value)
    usual = [1.0 / len(q)] * len(q) if problem.habit is None else [float(p) for p in problem.habit[h][g]]
    pi = [theory.nu_h * u + (1.0 - theory.nu_h) * p for u, p in zip(usual, softmax(theory.beta_h, q), strict=True)]
    result.pi_h[t, s, h, g] = pi
    result.v_h_m[t, s, h, g] = math.fsum(p * value for p, value in zip(pi, q, strict=True))


def marginal(problem, result, t, s, h):
    total = math.fsum(problem.weights[h])
    return [
        math.fsum(problem.weights[h][g] / total * result.pi_h[t, s, h, g][a] for g in problem.goals(h))
        for a in range(len(problem.humans[h].actions))
    ]


def solve_robot(problem, result, t, s):
    """Equations (4)-(9) for one state."""
    theory, humans = problem.theory, range(len(problem.humans))
    pibar = [marginal(problem, result, t, s, h) for h in humans]
    q = []
    for a_r in problem.robot_joint:
        total = 0.0
        for a_h in problem.human_joint:
            together = math.prod(pibar[h][a_h[h]] for h in humans)
            total += together * math.fsum(p * result.v_r[t + 1, successor] for p, successor in problem.next(s, a_r, a_h))
        q.append(theory.gamma_r * total)
    pi = power_law(theory.beta_r, q)
    power = []
    for h in humans:
        x = 0.0
        for g in problem.goals(h):
            value = {successor: result.v_h_e[t + 1, successor, h, g] for successor in successors_of(problem, s)}
            total = 0.0
            for p_r, a_r in zip(pi, problem.robot_joint, strict=True):
                for a_h in problem.human_joint:
                    together = result.pi_h[t, s, h, g][a_h[h]] * math.prod(pibar[j][a_h[j]] for j in humans if j != h)
                    total += p_r * together * expected(problem, h, g, s, a_r, a_h, value)
            result.v_h_e[t, s, h, g] = total
            x += problem.weights[h][g] * total**theory.zeta
        result.x_h[t, s, h] = max(x, theory.x_h_min)
        power.append(result.x_h[t, s, h])
    u = -((math.fsum(x**-theory.xi for x in power) / len(power)) ** theory.eta)
    result.q_r[t, s], result.pi_r[t, s], result.u_r[t, s] = q, pi, u
    result.v_r[t, s] = u + math.fsum(p * value for p, value in zip(pi, q, strict=True))


def successors_of(problem, s):
    return {
        successor for a_r in problem.robot_joint for a_h in problem.human_joint for _, successor in problem.next(s, a_r, a_h)
    }
