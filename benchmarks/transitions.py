"""How fast are the rules of the grid? One transition, many transitions at once, and a crowd's step, beside plain Python.

Run ``python benchmarks/transitions.py [--quick] [--repeat N]``. Times are CPU seconds, medians over repetitions after one
warm-up, which loads the compiled kernels. The partner is ``tests/naive_grid.py``, the same rules on dictionaries: every
distribution that is timed is first compared with its own; the crowd must move, and on average as it does there.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from naive_grid import NaiveGrid, copied, key_of  # noqa: E402

from empo_gym import RobotEnv, load_world  # noqa: E402
from empo_gym.envs.vector_env import VectorRobotEnv  # noqa: E402

EAGERNESS = {"still": 1, "left": 2, "right": 2, "forward": 6, "pickup": 2, "drop": 1, "toggle": 3}


def room(width: int, height: int, things: dict[tuple[int, int], str], **keys: Any) -> dict[str, Any]:
    """A floor with walls around it and some things on it."""
    rows = [[things.get((x, y), "..") for x in range(width)] for y in range(height)]
    wall = " ".join(["We"] * (width + 2))
    lines = [wall, *(f"We {' '.join(row)} We" for row in rows), wall]
    return {"map": "\n".join(lines), "possible_goals": ["1,1"], **keys}


def three_agents() -> dict[str, Any]:
    """Two humans and a robot, a rock, a key and its door."""
    things = {(0, 0): "Ay", (6, 0): "Ay", (3, 3): "Ae", (3, 1): "Ro", (1, 2): "Kr", (5, 2): "Lr", (4, 2): "Un"}
    return room(7, 4, things, actions="object")


def crowd() -> dict[str, Any]:
    """Seventeen agents on a map of 28 x 16 with rocks, blocks, keys, doors, unsteady ground and lava."""
    rng = np.random.default_rng(0)
    cells = [(int(k) % 26, int(k) // 26) for k in rng.permutation(26 * 14)]
    codes = ["Ay"] * 9 + ["Ae"] * 8 + ["Ro"] * 12 + ["Bl"] * 8 + ["Kr", "Lr", "Kb", "Lb"] * 2 + ["Un"] * 20 + ["La"] * 4
    return room(26, 14, dict(zip(cells, codes, strict=False)), actions="object")


def timed(task: Callable[[], Any], repeat: int) -> float:
    """Median CPU seconds after a warm-up."""
    seconds = []
    for k in range(repeat + 1):
        start = time.process_time()
        task()
        if k:
            seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def eager_actions(world: Any, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, n_agents) int32 random actions, mostly steps forward."""
    names = world.agents[0].actions
    weights = np.array([EAGERNESS[name] for name in names], dtype=float)
    return rng.choice(len(names), p=weights / weights.sum(), size=(n, len(world.agents))).astype(np.int32)


def walked(world: Any, n: int, steps: int) -> np.ndarray:
    """(n, n_components) states of n random walks after some steps."""
    rng = np.random.default_rng(1)
    states = np.repeat(np.array([world.initial_state()], dtype=np.int32), n, axis=0)
    for _ in range(steps):
        states = world.draw_successors(states, eager_actions(world, n, rng), rng.random(n))
    return states


def plain_state(naive: NaiveGrid, world: Any, state: Any) -> dict[str, Any]:
    """The state of the dictionaries that has the same description, for worlds without buttons and boxes."""
    description, plain = world.describe(state), copied(naive.start)
    for agent, told in zip(plain["agents"], description["agents"], strict=True):
        agent.update({"x": told["x"], "y": told["y"], "dir": told["dir"], "alive": told["alive"]})
    free = [o for o in description["objects"] if o["type"] not in ("door", "bush", "magic_wall")]
    for k, thing in enumerate(plain["objects"]):
        told = next(o for o in free if (o["type"], o.get("color")) == (thing["type"], thing["color"]))
        free.remove(told)
        thing.pop("at", None)
        if "carried_by" in told:
            thing["carried_by"] = told["carried_by"]
            plain["agents"][told["carried_by"]]["hands"] = k
        else:
            thing["at"] = (told["x"], told["y"])
    for told in description["objects"]:
        if told["type"] == "door":
            door = "open" if told["open"] else "locked" if told["locked"] else "closed"
            plain["fixtures"][told["x"], told["y"]]["state"] = door
    assert naive.key(plain) == key_of(description)
    return plain


def plain_step(naive: NaiveGrid, state: dict[str, Any], actions: list[int], rng: np.random.Generator) -> dict[str, Any]:
    """One step in plain Python: the agents act in a random order, each of their chances is drawn at their turn."""
    now, chosen = copied(state), dict(zip(naive.joint_order, actions, strict=True))
    for i in rng.permutation(len(actions)).tolist():
        if now["agents"][i]["alive"]:
            outcomes = naive.turn(now, state, i, naive.actions[chosen[i]])
            now = outcomes[0][1] if len(outcomes) == 1 else draw(outcomes, rng)
    return now


def draw(outcomes: list[tuple[float, dict[str, Any]]], rng: np.random.Generator) -> dict[str, Any]:
    return outcomes[rng.choice(len(outcomes), p=[p for p, _ in outcomes])][1]


def one_transition(n: int, repeat: int) -> float:
    """Ratio of the times for the distribution of one joint action in one state."""
    mapping = three_agents()
    world, naive = load_world(mapping), NaiveGrid(mapping)
    states = [tuple(row) for row in walked(world, n, 40).tolist()]
    actions = eager_actions(world, n, np.random.default_rng(2)).tolist()
    plain = [plain_state(naive, world, state) for state in states]
    for state, old, joint in zip(states, plain, actions, strict=True):
        found = {key_of(world.describe(s)): p for p, s in world.transition_probabilities(state, joint)}
        expected = {key: p for key, (p, _) in naive.transitions(old, joint).items()}
        assert found.keys() == expected.keys() and all(abs(found[k] - expected[k]) < 1e-12 for k in found)
    loops = 20

    def ours() -> None:
        for _ in range(loops):
            for state, joint in zip(states, actions, strict=True):
                world.transition_probabilities(state, joint)

    def theirs() -> None:
        for old, joint in zip(plain, actions, strict=True):
            naive.transitions(old, joint)

    fast, slow = timed(ours, repeat) / (loops * n), timed(theirs, repeat) / n
    print(f"one (state, joint action), 3 agents      {fast * 1e6:10.1f} us{slow * 1e6:12.1f} us{slow / fast:10.0f} x")
    return slow / fast


def many_transitions(repeat: int) -> tuple[float, float]:
    """Joint transitions per CPU-second, and how much dearer they become from few states to many at once."""
    world = load_world(three_agents())
    states = walked(world, 4096, 40)
    seconds = {}
    for n in (16, 256, 4096):
        loops = 4096 // n
        rows = world.successors(states[:n])
        assert np.allclose(np.add.reduceat(rows.probs, rows.indptr[:-1]), 1.0)
        seconds[n] = timed(lambda n=n, loops=loops: [world.successors(states[:n]) for _ in range(loops)], repeat)
    for n, spent in seconds.items():
        rate = 4096 * world.n_joint / spent
        print(f"joint transitions, {n:5,} states at once     {rate / 1e6:9.1f} million per second")
    return 4096 * world.n_joint / seconds[4096], seconds[4096] / min(seconds.values())


def crowd_steps(n: int, repeat: int) -> tuple[float, float]:
    """Ratios of the times for a step of the crowd: one state at a time, and many at once."""
    mapping = crowd()
    world, naive = load_world(mapping), NaiveGrid(mapping)
    rng = np.random.default_rng(3)
    actions = eager_actions(world, n, rng)
    check_crowd(world, naive, actions[:10])
    start = np.array([world.initial_state()], dtype=np.int32)

    def one_by_one() -> None:
        state = start
        for joint in actions:
            state = world.draw_successors(state, joint[None], rng.random(1))
        assert (state != start).any()

    def at_once() -> None:
        states = np.repeat(start, 1024, axis=0)
        for joint in actions[:8]:
            states = world.draw_successors(states, np.repeat(joint[None], 1024, axis=0), rng.random(1024))
        assert (states != start).any(axis=1).all()

    def plainly() -> None:
        state = naive.start
        for joint in actions.tolist():
            state = plain_step(naive, state, joint, rng)
        assert naive.key(state) != naive.key(naive.start)

    one, many, slow = timed(one_by_one, repeat) / n, timed(at_once, repeat) / (8 * 1024), timed(plainly, repeat) / n
    print(f"step of 17 agents, one state             {one * 1e6:10.1f} us{slow * 1e6:12.1f} us{slow / one:10.0f} x")
    print(f"step of 17 agents, 1,024 states at once  {many * 1e6:10.1f} us{slow * 1e6:12.1f} us{slow / many:10.0f} x")
    return slow / one, slow / many


class PlainCrowd:
    """The crowd as an environment in plain Python: random people, goals that are cells, a vector of features.

    :param naive: the rules
    :param world: whose goals the people have
    """

    def __init__(self, naive: NaiveGrid, world: Any) -> None:
        self.naive, self.rng, self.n_actions = naive, np.random.default_rng(0), len(naive.actions)
        self.goals = [[(goal.x, goal.y) for goal in goals.goals] for goals in world.goal_sets]
        self.width, self.height = world.width, world.height
        self.state = naive.start
        self.wanted = [0] * len(naive.humans)

    def features(self) -> np.ndarray:
        """One-hot columns, rows and headings of agents, places or carriers of objects, states of doors."""
        state = self.state
        n_agents, ones, first = len(state["agents"]), [], 0
        for agent in state["agents"]:
            ones += [first + agent["x"], first + self.width + agent["y"]]
            first += self.width + self.height
            ones += [first + "eswn".index(agent["dir"]), *[first + 4] * agent["alive"]]
            first += 5
        for thing in state["objects"]:
            if "at" in thing:
                ones += [first + thing["at"][0], first + self.width + thing["at"][1]]
            elif "carried_by" in thing:
                ones.append(first + self.width + self.height + thing["carried_by"])
            first += self.width + self.height + n_agents
        for fixture in state["fixtures"].values():
            ones.append(first + ("open", "closed", "locked").index(fixture["state"]))
            first += 3
        seen = np.zeros(first, dtype=np.float32)
        seen[ones] = 1.0
        return seen

    def step(self, robots: list[int]) -> tuple[np.ndarray, float]:
        """Let robots and people act; return what is seen and how many people attained their goals."""
        naive = self.naive
        people = self.rng.integers(self.n_actions, size=len(naive.humans)).tolist()
        self.state = plain_step(naive, self.state, robots + people, self.rng)
        reward = 0.0
        for k, i in enumerate(naive.humans):
            agent = self.state["agents"][i]
            if (agent["x"], agent["y"]) == self.goals[k][self.wanted[k]]:
                reward += 1.0
                self.wanted[k] = int(self.rng.integers(len(self.goals[k])))
        return self.features(), reward


def crowd_environments(n: int, repeat: int, num_envs: int = 1024) -> tuple[float, float]:
    """Ratios of the times for a step of an environment with that crowd: one environment, and a vector of them."""
    mapping = crowd()
    world, naive = load_world(mapping), NaiveGrid(mapping)
    one, plain = RobotEnv(world=world, human_policy="uniform"), PlainCrowd(naive, world)
    many = VectorRobotEnv(num_envs, world=world, human_policy="uniform")
    rng, n_robots, n_actions = np.random.default_rng(5), world.n_robots, len(naive.actions)
    robots = rng.integers(n_actions, size=(n, n_robots))
    joint = robots @ n_actions ** np.arange(n_robots)[::-1]
    every = rng.integers(world.n_robot_joint, size=(8, num_envs))
    start, _ = many.reset(seed=0)
    assert (many.step(every[0])[0] != start).any(axis=1).mean() > 0.99

    def ours() -> None:
        start, _ = one.reset(seed=0)
        for action in joint.tolist():
            seen, *_ = one.step(action)
        assert (seen != start).any()

    def at_once() -> None:
        for actions in every:
            seen, *_ = many.step(actions)
        assert len(np.unique(seen[:8], axis=0)) == 8

    def plainly() -> None:
        plain.state, start = naive.start, plain.features()
        for actions in robots.tolist():
            seen, _ = plain.step(actions)
        assert (seen != start).any()

    single, vector, slow = timed(ours, repeat) / n, timed(at_once, repeat) / (8 * num_envs), timed(plainly, repeat) / n
    print(f"environment of 17 agents, one of them    {single * 1e6:10.1f} us{slow * 1e6:12.1f} us{slow / single:10.1f} x")
    print(f"environment of 17 agents, vector         {vector * 1e6:10.1f} us{slow * 1e6:12.1f} us{slow / vector:10.0f} x")
    return slow / single, slow / vector


def check_crowd(world: Any, naive: NaiveGrid, actions: np.ndarray) -> None:
    """Both ways of stepping agree on how often each agent ends where, within what chance allows."""
    rng, n = np.random.default_rng(4), 200
    state = plain = None
    for joint in actions:
        state = world.initial_state() if state is None else state
        plain = plain_state(naive, world, state)
        drawn = world.draw_successors(np.repeat([state], n, axis=0), np.repeat(joint[None], n, axis=0), rng.random(n))
        ours = world.agent_positions(drawn).mean(axis=0)
        stepped = [plain_step(naive, plain, joint.tolist(), rng)["agents"] for _ in range(n)]
        theirs = np.mean([[(agents[i]["x"], agents[i]["y"]) for i in naive.joint_order] for agents in stepped], axis=0)
        # A mean of 200 fair choices between neighboring cells strays by 0.25 in one of ten thousand cases or fewer.
        assert np.abs(ours - theirs).max() < 0.25, "the crowd moves differently in plain Python"
        state = tuple(drawn[0].tolist())


def measured(n: int, repeat: int) -> dict[str, float]:
    """All that is measured here; ratios are plain Python's time over ours."""
    print(f"{'':<41}{'compiled':>13}{'plain Python':>15}{'ratio':>12}")
    found = {"one transition": one_transition(n, repeat)}
    found["transitions per second"], found["growth"] = many_transitions(repeat)
    found["crowd, one state"], found["crowd, many states"] = crowd_steps(n, repeat)
    found["crowd, one environment"], found["crowd, vector"] = crowd_environments(n, repeat)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer states and repetitions")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions after the warm-up (default 5)")
    arguments = parser.parse_args()
    n, repeat = (30, 3) if arguments.quick else (200, arguments.repeat)
    found = measured(n, repeat)
    claims = {
        "one transition at least 10 times as fast": found["one transition"] >= 10,
        "at least 5 million joint transitions per second": found["transitions per second"] >= 5e6,
        "4,096 states at once cost at most 1.3 times as much per transition as few": found["growth"] <= 1.3,
        "a step of each of many crowds at least 50 times as fast": found["crowd, many states"] >= 50,
    }
    print()
    for claim, holds in claims.items():
        print(f"{'yes' if holds else 'NO ':<5}{claim}")


if __name__ == "__main__":
    main()
