"""Worlds, models, planners and environments are asked by several threads at once: the answers are those of one thread."""

import copy
import hashlib
import os
import pickle
import subprocess
import sys
import threading

import gymnasium as gym
import numpy as np
import pytest

from empo_gym import EmpoSolution, RobotEnv, TabularModel, Theory, load_world, parallel_env, solve_humans, solve_robot
from empo_gym.envs.cache import shared_world
from empo_gym.envs.many_worlds import ManyWorlds
from empo_gym.envs.shortest_path_humans import PathHumans
from empo_gym.envs.vector_env import VectorRobotEnv
from empo_gym.model.growing import GrowingModel
from empo_gym.util.recent import Recent
from empo_gym.util.threads import Lock, Spares

N_THREADS = 8
MEETING = {
    "map": "We We We We We We\nWe Ae Ro .. Ay We\nWe .. Ky Ly .. We\nWe Ay .. Un Ae We\nWe We We We We We",
    "actions": "object",
    "can_push_rocks": [0, 1, 2, 3],
    "max_steps": 20,
    "possible_goals": ["1,1", "4,3"],
}
LONE = {
    "map": "We We We We We\nWe Ae .. Ay We\nWe .. Ky Ly We\nWe .. Un .. We\nWe We We We We",
    "actions": "object",
    "max_steps": 6,
    "possible_goals": ["1,1", "3,3"],
}


def mark(*values):
    """A short text that is equal for equal arrays, bit for bit, and equal other values."""
    digest = hashlib.blake2b(digest_size=8)
    for value in values:
        array = value if isinstance(value, np.ndarray) else np.frombuffer(repr(value).encode(), dtype=np.uint8)
        digest.update(str(array.dtype).encode() + str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def at_once(task, n_threads=N_THREADS):
    """Return what ``task(number of the thread)`` returns in each of some threads that begin together."""
    results, errors, barrier = [None] * n_threads, [], threading.Barrier(n_threads)

    def run(number):
        try:
            barrier.wait()
            results[number] = task(number)
        except Exception as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not errors, errors[0]
    return results


def states_of(world, n, seed=0):
    """States met on random walks."""
    rng = np.random.default_rng(seed)
    states = np.array([world.initial_state()] * n, dtype=np.int32)
    for _ in range(12):
        moving = rng.random(n) < 0.8
        actions = rng.integers(world.agents[0].n_actions, size=(n, len(world.agents)))
        states[moving] = world.draw_successors(states, actions, rng.random(n))[moving]
    return states


def episode(make, n_steps=12):
    """What happens in an episode, or in several that a vector plays."""
    env = make()
    rng, (seen, info) = np.random.default_rng(3), env.reset(seed=5)
    marks = [mark(seen, info["goals"])]
    for _ in range(n_steps):
        n = getattr(env, "num_envs", None)
        seen, reward, terminated, truncated, info = env.step(rng.integers(2, size=n))
        marks.append(mark(seen, reward, terminated, truncated, info["human_actions"]))
        if n is None and (terminated or truncated):
            env.reset()
    return marks


def game(world):
    """What everybody sees and is paid in PettingZoo's interface."""
    env = parallel_env(world)
    marks = [mark(*env.reset(seed=2)[0].values())]
    for k in range(4):
        seen, paid, *_ = env.step({name: k % 3 for name in env.agents})
        marks.append(mark(*seen.values(), paid))
    return marks


def planned(model, keep="all"):
    prior = solve_humans(model, Theory(), keep=keep)
    solution = solve_robot(model, prior, Theory())
    return mark(*map(np.asarray, prior.pi_h), np.asarray(solution.pi_r), solution.v_r)


def cheap_calls():
    """Calls of the verbs of shared worlds."""
    meeting, lone = shared_world(MEETING), shared_world(LONE)
    calls, rng = [], np.random.default_rng(1)
    for world in (meeting, lone):
        states = states_of(world, 60)
        actions = rng.integers(world.agents[0].n_actions, size=(60, len(world.agents)))
        u = rng.random(60)
        for k in range(60):
            state, joint = tuple(states[k].tolist()), tuple(actions[k].tolist())
            calls.append(lambda w=world, s=state, a=joint: w.transition_probabilities(s, a))
            calls.append(
                lambda w=world, s=states[k : k + 9], a=actions[k : k + 9], u=u[k : k + 9]: mark(w.draw_successors(s, a, u))
            )
            for kind in ("features",) if k % 10 else ("features", "planes"):
                calls.append(lambda w=world, s=states[k : k + 3], kind=kind: mark(w.observe(s, t=3, kind=kind)))
        calls += [lambda w=world, s=states[k : k + 2]: mark(*vars(w.successors(s)).values()) for k in range(0, 60, 20)]
        calls.append(lambda w=world, s=states[:2]: mark(w.observe(s, kind="rgb")))
    calls.append(lambda: mark(lone.observe(states_of(lone, 3), kind="partial")))
    return calls


def dear_calls():
    """Environments, packing, planning and what else is made of the verbs."""
    lone, many = shared_world(LONE), ManyWorlds([load_world(LONE)])
    model, paths = TabularModel.pack(lone), PathHumans(shared_world(MEETING), Theory())
    values = solve_humans(model, Theory(), keep="values")
    states, grown = states_of(lone, 40), GrowingModel(lone)
    many_states = np.concatenate([np.zeros((40, 1), dtype=np.int32), states], axis=1)

    def rows(k):
        found = grown.rows(grown.add(states[k : k + 4]))
        return mark(grown.states_of(found.numbers), found.indptr, found.probs, grown.achieved(found.numbers))

    calls = [lambda k=k: rows(k) for k in range(0, 36, 3)]
    calls += [lambda t=t: mark(values.pi_h[0][t], values.pi_h[0][t, 3]) for t in range(6)]
    calls += [lambda k=k: mark(many.observe(many_states[k : k + 3])) for k in range(0, 36, 4)]
    there = states_of(shared_world(MEETING), 30)
    calls += [
        lambda k=k, h=h: mark(paths.policies(there[k : k + 5], np.zeros(5), h)) for k in range(0, 30, 5) for h in range(2)
    ]
    calls += [
        lambda: mark(*(getattr(TabularModel.pack(load_world(LONE)), a) for a in ("indptr", "indices", "probs", "states")))
    ]
    calls += [lambda keep=keep: planned(model, keep) for keep in ("all", "values")]
    calls += [lambda: game(LONE), lambda: game(load_world(MEETING))]
    for keywords in ({}, {"observation": "partial", "observe_goals": True}, {"human_policy": "heuristic"}):
        calls.append(lambda k=keywords: episode(lambda: gym.make("EMPO-Grid-v0", world=LONE, **k)))
        calls.append(lambda k=keywords: episode(lambda: RobotEnv(load_world(LONE), **k)))
        calls.append(lambda k=keywords: episode(lambda: VectorRobotEnv(3, world=LONE, **k)))
    calls.append(lambda: episode(lambda: RobotEnv(MEETING, human_policy="heuristic", observation="planes")))
    calls.append(lambda: episode(lambda: gym.make("EMPO-Random-v0", width=6, height=5, new_world="reset")))
    return calls


def test_eight_threads_get_the_answers_of_one():
    cheap, dear = cheap_calls(), dear_calls()
    calls = [*cheap, *dear]
    expected = [call() for call in calls]

    def many_calls(number):
        """All cheap calls seven times, and a third of the others, in an order of the thread's own."""
        chosen = [*list(range(len(cheap))) * 7, *range(len(cheap) + number % 3, len(calls), 3)]
        order = np.random.default_rng(number).permutation(chosen)
        return [int(k) for k in order if calls[k]() != expected[k]]

    assert len(cheap) * 7 * N_THREADS >= 20_000
    assert at_once(many_calls) == [[]] * N_THREADS


def test_a_value_is_made_once_however_many_threads_ask():
    made, recent = [], Recent(1 << 20)

    def make(key):
        made.append(key)
        return [key]

    found = at_once(lambda _: [recent.get(key, lambda key=key: make(key)) for key in range(50)])
    assert sorted(made) == list(range(50))
    assert all(one is other for row in found for one, other in zip(row, found[0], strict=True))


def test_of_a_value_that_is_made_nothing_but_the_value_is_kept():
    recent = Recent(1 << 20)
    for key in range(50):
        recent.get(key, lambda: 0)
    assert len(recent) == 50 and not recent._makers


def test_who_waits_for_a_value_that_cannot_be_made_tries_itself():
    recent, tried = Recent(1 << 20), []

    def fail():
        tried.append(1)
        raise ValueError("no")

    def ask(_):
        with pytest.raises(ValueError, match="no"):
            recent.get("a", fail)

    at_once(ask)
    assert len(tried) == N_THREADS and recent.get("a", lambda: 5) == 5


def test_all_environments_of_eight_threads_share_one_world_and_one_model():
    envs = at_once(lambda _: RobotEnv("empty"))
    assert len({id(env.world) for env in envs}) == len({id(model) for model in at_once(lambda k: envs[k].model)}) == 1


def test_locks_and_work_arrays_can_be_copied_and_pickled():
    lock, spares = Lock(), Spares(list)
    with lock:
        for other in (copy.deepcopy(lock), pickle.loads(pickle.dumps(lock))):
            assert isinstance(other, Lock) and at_once(lambda _, other=other: other.acquire(blocking=False), 1) == [True]
    spares.give_back([1])
    assert pickle.loads(pickle.dumps(spares)).take() == []
    world = load_world(LONE)
    for other in (copy.deepcopy(world), pickle.loads(pickle.dumps(world))):
        assert episode(lambda other=other: RobotEnv(other)) == episode(lambda: RobotEnv(world))
    env = RobotEnv(LONE, human_policy="heuristic")
    env.reset(seed=0)
    assert copy.deepcopy(env).step(1)[0].tolist() == env.step(1)[0].tolist()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_does_not_wait_for_threads_that_it_has_not_got():
    script = """
import os, threading
from empo_gym.util.recent import Recent
recent, began, done = Recent(1000), threading.Event(), threading.Event()
def make():
    began.set()
    done.wait()
    return "parent's"
thread = threading.Thread(target=recent.get, args=("key", make))
thread.start()
began.wait()
child = os.fork()
if child == 0:
    os._exit(0 if recent.get("key", lambda: "child's") == "child's" else 1)
assert os.waitpid(child, 0)[1] == 0
done.set()
thread.join()
assert recent.get("key", list) == "parent's"
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=60)


def test_a_recomputed_policy_answers_several_threads(tmp_path):
    model = TabularModel.pack(load_world(LONE))
    solve_robot(model, solve_humans(model, Theory(), keep="policy"), Theory(), keep="values").save(tmp_path / "solution.npz")
    loaded = EmpoSolution.load(tmp_path / "solution.npz")
    expected = [mark(loaded.pi_r[t]) for t in range(6)]
    assert at_once(lambda _: [mark(loaded.pi_r[t]) for t in range(6)]) == [expected] * N_THREADS
