"""Whatever order an environment, a vector or a PettingZoo environment is called in, it plays the packed model's world."""

import copy
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from call_orders import NAMES, PICKS, SEEDS, STEP, Oracle, refused, wrong_actions
from fuzz import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from empo_gym import RobotEnv
from empo_gym.envs.vector_env import VectorRobotEnv


class SingleEnvironment(RuleBasedStateMachine):
    """RobotEnv."""

    @initialize(
        name=NAMES,
        multi=st.booleans(),
        p=st.sampled_from([0.0, 0.3]),
        see=st.booleans(),
        who=st.sampled_from([None, "uniform"]),
    )
    def make(self, name, multi, p, see, who):
        self.oracle, self.p = Oracle(name), p
        world = self.oracle.world
        kind = "multi" if multi else "joint"
        self.env = RobotEnv(world, who, action_space=kind, goal_resample_prob=p, observe_goals=see, render_mode="ansi")
        self.env.np_random = np.random.default_rng(0)
        self.env.action_space.seed(0)
        self.now, self.starts, self.told, self.succeeded = None, [], {}, ()
        self.saved = []

    def require_here(self, seen, info):
        state, t, goals = self.now.state, self.now.t, self.now.goals
        self.oracle.require_seen(seen, state, t)
        assert (info["t"], info["goals"], self.env.t, self.env.goals) == (t, goals, t, goals)
        assert info["state_id"] == self.env.state_id == self.oracle.model.index(state) and seen in self.env.observation_space
        if self.env.observe_goals:
            codes = [np.eye(len(s))[goal] for s, goal in zip(self.oracle.world.goal_sets, goals, strict=True)]
            assert seen[-sum(map(len, codes)) :].tolist() == np.concatenate(codes).tolist()

    @rule(seed=SEEDS, pick=PICKS, given=st.sets(st.sampled_from(["state", "goals"])))
    def reset(self, seed, pick, given):
        options = {}
        if "state" in given:
            options["state"], options["t"] = self.oracle.reachable(pick)
        if "goals" in given:
            options["goals"] = {0: pick % len(self.oracle.world.goal_sets[0])}
        seen, info = self.env.reset(seed=seed, options=options or None)
        begins = [(options["state"], options["t"])] if "state" in given else [(self.oracle.initial, 0)]
        begins += self.starts if not options else []
        assert (self.env.state, self.env.t) in begins
        assert "goals" not in given or self.env.goals[0] == options["goals"][0]
        self.now = SimpleNamespace(state=self.env.state, t=self.env.t, goals=self.env.goals)
        self.succeeded = (False,) * len(self.now.goals)
        self.require_here(seen, info)

    @rule(pick=PICKS)
    def step(self, pick):
        env, oracle = self.env, self.oracle
        env.action_space.seed(pick)
        action = env.action_space.sample()
        if self.now is None or self.now.t == oracle.horizon:
            with pytest.raises(gym.error.ResetNeeded):
                env.step(action)
            return
        before, told, self.told = self.now, self.told, {}
        seen, reward, terminated, truncated, info = env.step(action)
        humans = info["human_actions"]
        assert all(humans[h] == wanted for h, wanted in told.items())
        oracle.require_possible(before.state, (*oracle.joint_of(action), *humans), env.state)
        attained = oracle.attained(env.state, before.goals)
        self.succeeded = tuple(a or b for a, b in zip(self.succeeded, attained, strict=True))
        assert tuple(map(bool, info["attained"])) == attained and reward == sum(attained)
        assert info["is_success"] == all(self.succeeded) and env.t == before.t + 1
        assert (terminated, truncated) == (oracle.is_over(env.state), env.t == oracle.horizon)
        oracle.require_goals(env.goals, before.goals, attained, self.p > 0.0)
        if env.human_policy_name == "boltzmann":
            for h, a in enumerate(humans):
                assert h in told or env.prior.pi_h[h][before.t, info_number(oracle, before), before.goals[h], a] > 0.0
        self.now = SimpleNamespace(state=env.state, t=env.t, goals=env.goals)
        self.require_here(seen, info)

    @precondition(lambda self: self.now is not None and self.now.t != self.oracle.horizon)
    @rule(data=st.data())
    def step_with_what_is_no_action(self, data):
        joint = isinstance(self.env.action_space, gym.spaces.Discrete)
        wrong = wrong_actions(data, self.env.action_space, () if joint else self.env.action_space.shape)
        before = self.env.get_state()
        if wrong is not None:
            refused(lambda: self.env.step(wrong))
        assert self.env.get_state() == before

    @rule(data=st.data(), name=st.sampled_from(["state", "t", "goals", "other"]))
    def reset_with_what_is_no_option(self, data, name):
        wrong = data.draw(st.integers(50, 60) | st.floats(0.1, 0.9) | st.just("x") | st.just([[1], 2]))
        if not (name == "state" and not hasattr(self.oracle.world, "radices")):
            before = self.env.get_state()
            refused(lambda: self.env.reset(options={name: wrong}))
            assert self.env.get_state() == before

    @rule(human=st.integers(-1, 3), action=st.integers(-1, 6) | st.floats())
    def tell_humans(self, human, action):
        if 0 <= human < len(self.oracle.humans) and isinstance(action, int) and 0 <= action < self.oracle.humans[human]:
            self.env.tell_humans({human: action})
            self.told = {human: action}
        else:
            refused(lambda: self.env.tell_humans({human: action}))

    @rule(pick=PICKS, share=st.sampled_from([0.0, 0.5, 1.0]))
    def set_starts(self, pick, share):
        state, t = self.oracle.reachable(pick)
        self.env.set_starts(np.array([self.oracle.model.index(state)]), np.array([t]), share)
        self.starts = [(state, t)] if share else []

    @rule()
    def look(self):
        assert (self.env.render() is None) == (self.now is None)
        assert self.env.state == (None if self.now is None else self.now.state)
        masks = self.env.action_masks()
        assert masks.dtype == bool and masks.any()
        self.env.close()

    @rule()
    def save(self):
        self.saved = [(self.env.get_state(), copy.copy(self.now), self.succeeded)]

    @precondition(lambda self: self.saved)
    @rule()
    def go_back(self):
        saved, self.now, self.succeeded = self.saved[0]
        self.env.set_state(saved)

    @rule()
    def continue_with_a_copy(self):
        before, deep = self.env.get_state(), deep_copy(self.env, self.oracle.world, self.env._main)
        if self.now is not None and self.now.t != self.oracle.horizon:
            action = self.env.action_space.sample()
            steps = [deep_copy(self.env, self.oracle.world, self.env._main).step(action) for _ in range(2)]
            assert steps[0][0].tolist() == steps[1][0].tolist() and steps[0][1:] == steps[1][1:]
        assert deep.get_state() == self.env.get_state() == before
        self.env = deep


def deep_copy(env, world, main):
    """Copy all but what never changes, which is large."""
    fixed = [world] + ([] if main is None else [main.model, main.humans])
    return copy.deepcopy(env, {id(part): part for part in fixed})


def info_number(oracle, before):
    return oracle.model.index(before.state)


class Vector(RuleBasedStateMachine):
    """VectorRobotEnv."""

    n = 3

    @initialize(name=NAMES, multi=st.booleans(), p=st.sampled_from([0.0, 0.3]), limit=st.sampled_from([None, 2]))
    def make(self, name, multi, p, limit):
        self.oracle, self.p, self.limit = Oracle(name), p, limit
        kind = "multi" if multi else "joint"
        self.envs = VectorRobotEnv(
            self.n, limit, world=self.oracle.world, action_space=kind, goal_resample_prob=p, render_mode="ansi"
        )
        self.envs.np_random = np.random.default_rng(0)
        self.envs.action_space.seed(0)
        self.begun, self.starts, self.told = np.zeros(self.n, dtype=bool), [], {}
        self.steps, self.succeeded = [0] * self.n, [()] * self.n
        self.saved = None

    def here(self):
        return list(zip(*map(self.envs.get_attr, ("state", "t", "goals")), strict=True))

    def require_here(self, seen, info):
        ids = self.envs.get_attr("state_id")
        for i, (state, t, goals) in enumerate(self.here()):
            if self.begun[i]:
                self.oracle.require_seen(seen[i], state, t)
                assert ids[i] == info["state_id"][i] == self.oracle.model.index(state)
                assert (info["t"][i], tuple(info["goals"][i].tolist())) == (t, goals)
                assert self.limit is None or self.steps[i] < self.limit

    def require_begun(self, i, options):
        state, t, goals = self.here()[i]
        begins = [(options["state"], options["t"])] if "state" in options else [(self.oracle.initial, 0)]
        assert (state, t) in begins + ([] if options else self.starts)
        assert "goals" not in options or goals[0] == options["goals"][0]
        self.steps[i], self.succeeded[i], self.begun[i] = 0, (False,) * len(goals), True

    @rule(
        seed=SEEDS | st.just([1, 2, 3]) | st.just([None] * 3),
        pick=PICKS,
        given=st.sets(st.sampled_from(["state", "goals", "mask"])),
    )
    def reset(self, seed, pick, given):
        options, mask, before = {}, np.ones(self.n, dtype=bool), self.here()
        if "state" in given:
            options["state"], options["t"] = self.oracle.reachable(pick)
        if "goals" in given:
            options["goals"] = {0: pick % len(self.oracle.world.goal_sets[0])}
        if "mask" in given:
            mask = np.array([pick >> i & 1 for i in range(self.n)], dtype=bool)
        seen, info = self.envs.reset(seed=seed, options=options | ({"reset_mask": mask} if "mask" in given else {}))
        for i in range(self.n):
            if mask[i]:
                self.require_begun(i, options)
            else:
                assert self.here()[i] == before[i]
        self.require_here(seen, info)

    @rule(pick=PICKS)
    def step(self, pick):
        envs, oracle, before = self.envs, self.oracle, self.here()
        envs.action_space.seed(pick)
        actions = envs.action_space.sample()
        if not self.begun.all():
            with pytest.raises(gym.error.ResetNeeded):
                envs.step(actions)
            return
        told, self.told = self.told, {}
        seen, rewards, terminated, truncated, info = envs.step(actions)
        after = self.here()
        for i in range(self.n):
            over = bool(terminated[i] or truncated[i])
            last = info["final_info"] if over else info
            assert last["_attained"][i] and ("final_info" not in info or info["_final_info"][i] == over)
            now = oracle.model.state(int(last["state_id"][i])), int(last["t"][i]), tuple(last["goals"][i].tolist())
            self.require_step(i, before[i], actions[i], now, {key: last[key][i] for key in STEP}, told.get(i, {}))
            late = now[1] == oracle.horizon or self.steps[i] == self.limit
            assert (terminated[i], truncated[i]) == (oracle.is_over(now[0]), late)
            assert rewards[i] == last["attained"][i].sum()
            if over:
                oracle.require_seen(info["final_obs"][i], *now[:2])
                self.require_begun(i, {})
            else:
                assert after[i] == now
        self.require_here(seen, info)

    def require_step(self, i, before, action, now, info, told):
        humans = info["human_actions"].tolist()
        assert all(humans[h] == wanted for h, wanted in told.items())
        self.oracle.require_possible(before[0], (*self.oracle.joint_of(action), *humans), now[0])
        attained = self.oracle.attained(now[0], before[2])
        self.steps[i] += 1
        self.succeeded[i] = tuple(a or b for a, b in zip(self.succeeded[i], attained, strict=True))
        assert tuple(info["attained"].tolist()) == attained and info["is_success"] == all(self.succeeded[i])
        assert now[1] == before[1] + 1
        self.oracle.require_goals(now[2], before[2], attained, self.p > 0.0)

    @precondition(lambda self: self.begun.all())
    @rule(data=st.data())
    def step_with_what_are_no_actions(self, data):
        wrong, before = wrong_actions(data, self.envs.action_space, self.envs.action_space.shape), self.envs.call("get_state")
        if wrong is not None:
            refused(lambda: self.envs.step(wrong))
        assert self.envs.call("get_state") == before

    @rule(
        wrong=st.sampled_from(
            [{"t": 99}, {"goals": {0: 99}}, {"goals": "x"}, {"reset_mask": [1]}, {"what": 1}, {"state": "x"}]
        )
    )
    def reset_with_what_is_no_option(self, wrong):
        if "state" not in wrong or hasattr(self.oracle.world, "radices"):
            before = self.envs.call("get_state")
            refused(lambda: self.envs.reset(options=wrong))
            assert self.envs.call("get_state") == before

    @rule(i=st.integers(0, 2), action=st.integers(-1, 6))
    def tell_humans(self, i, action):
        if 0 <= action < self.oracle.humans[0]:
            self.envs.envs[i].tell_humans({0: action})
            self.told[i] = {0: action}
        else:
            refused(lambda: self.envs.envs[i].tell_humans({0: action}))

    @rule(pick=PICKS, share=st.sampled_from([0.0, 0.5, 1.0]))
    def set_starts(self, pick, share):
        state, t = self.oracle.reachable(pick)
        self.envs.call("set_starts", np.array([self.oracle.model.index(state)]), np.array([t]), share)
        self.starts = [(state, t)] if share else []

    @rule()
    def look(self):
        assert (self.envs.render() is None) != self.begun.all()
        assert [env.render() is None for env in self.envs.envs] == (~self.begun).tolist()
        assert self.envs.action_masks().any(axis=1).all() and len(self.envs.call("action_masks")) == self.n

    @rule()
    def save(self):
        self.saved = self.envs.call("get_state"), self.begun.copy(), list(self.steps), list(self.succeeded)

    @precondition(lambda self: self.saved is not None)
    @rule()
    def go_back(self):
        saved, begun, steps, succeeded = self.saved
        self.begun, self.steps, self.succeeded = begun.copy(), list(steps), list(succeeded)
        for env, state in zip(self.envs.envs, saved, strict=True):
            env.set_state(state)
        assert [row["state"] for row in self.envs.call("get_state")] == [row["state"] for row in saved]

    @rule()
    def continue_with_a_copy(self):
        before, deep = self.envs.call("get_state"), deep_copy(self.envs, self.oracle.world, self.envs.one._main)
        assert deep.call("get_state") == before and deep.envs[0]._vector is deep
        if self.begun.all():
            actions = self.envs.action_space.sample()
            first, second = deep_copy(deep, self.oracle.world, deep.one._main).step(actions), deep.step(actions)
            assert all(a.tolist() == b.tolist() for a, b in zip(first[:4], second[:4], strict=True))
        assert self.envs.call("get_state") == before
        self.envs = deep_copy(self.envs, self.oracle.world, self.envs.one._main)

    def teardown(self):
        if hasattr(self, "envs"):
            self.envs.close()
            self.envs.close()
            for call in (self.envs.reset, lambda: self.envs.step(0), self.envs.render):
                with pytest.raises(gym.error.ClosedEnvironmentError, match="make a new one"):
                    call()


class ParallelEnvironment(RuleBasedStateMachine):
    """PettingZoo's view."""

    @initialize(name=NAMES, p=st.sampled_from([0.0, 0.3]))
    def make(self, name, p):
        from empo_gym import parallel_env

        self.oracle, self.p, self.state = Oracle(name), p, None
        self.env = parallel_env(self.oracle.world, p, "ansi")
        self.env._rng = np.random.default_rng(0)

    @rule(seed=SEEDS, pick=PICKS, with_goals=st.booleans())
    def reset(self, seed, pick, with_goals):
        goal = pick % len(self.oracle.world.goal_sets[0])
        seen, infos = self.env.reset(seed, {"goals": {0: goal}} if with_goals else None)
        assert self.env.agents == self.env.possible_agents and self.env.t == 0
        assert not with_goals or self.env.goals[0] == goal
        self.state = self.oracle.initial
        self.require_here(seen, infos)

    def require_here(self, seen, infos):
        for name in self.env.possible_agents:
            self.oracle.require_seen(seen[name], self.state, self.env.t)
            assert seen[name] in self.env.observation_space(name)
        for h, goal in enumerate(self.env.goals):
            name = self.env.possible_agents[self.oracle.n_robots + h]
            assert infos[name]["goal"] == goal and seen[name][-len(self.oracle.world.goal_sets[h]) :].argmax() == goal

    @rule(pick=PICKS)
    def step(self, pick):
        env, oracle = self.env, self.oracle
        joint = [pick // (k + 1) % n for k, n in enumerate(oracle.shape)]
        actions = dict(zip(env.possible_agents, joint, strict=True))
        if not env.agents:
            assert env.step(actions) == ({}, {}, {}, {}, {})
            return
        before, goals, t = self.state, env.goals, env.t
        seen, rewards, terminated, truncated, infos = env.step(actions)
        self.state = env._simulator.state
        oracle.require_possible(before, joint, self.state)
        attained = oracle.attained(self.state, goals)
        assert list(rewards.values()) == [sum(attained)] * oracle.n_robots + list(attained) and env.t == t + 1
        assert set(terminated.values()) == {oracle.is_over(self.state)} and set(truncated.values()) == {
            env.t == oracle.horizon
        }
        assert (env.agents == []) == (env.t == oracle.horizon or oracle.is_over(self.state))
        oracle.require_goals(env.goals, goals, attained, self.p > 0.0)
        self.require_here(seen, infos)

    @precondition(lambda self: self.state is not None and self.env.agents)
    @rule(data=st.data(), who=PICKS)
    def step_with_what_is_no_action(self, data, who):
        env, name = self.env, self.env.possible_agents[who % len(self.oracle.shape)]
        wrong = wrong_actions(data, env.action_space(name), ())
        before = self.state, env.t, env.goals, env._rng.bit_generator.state
        if wrong is not None and np.ndim(as_object(wrong)) == 0:
            refused(lambda: env.step(dict.fromkeys(env.agents, 0) | {name: wrong}))
        refused(lambda: env.step(wrong if isinstance(wrong, list) else [0]))
        refused(lambda: env.step({}))
        assert (env._simulator.state, env.t, env.goals, env._rng.bit_generator.state) == before

    @rule(wrong=st.sampled_from([{0: 99}, {9: 0}, {0: -1}, {0: 0.5}, "x", [99]]))
    def reset_with_goals_that_do_not_exist(self, wrong):
        before = self.env.goals, self.env.t, self.env.agents
        refused(lambda: self.env.reset(options={"goals": wrong}))
        assert (self.env.goals, self.env.t, self.env.agents) == before

    @rule()
    def look(self):
        assert (self.env.render() is None) == (self.state is None)
        self.env.close()


def as_object(value):
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return np.zeros(1)


def run(machine, n):
    run_state_machine_as_test(machine, settings=settings(examples(n), stateful_step_count=30))


def test_an_environment_plays_the_packed_world_in_any_order_of_calls():
    run(SingleEnvironment, 25)


def test_a_vector_plays_the_packed_world_in_any_order_of_calls():
    run(Vector, 25)


def test_a_pettingzoo_environment_plays_the_packed_world_in_any_order_of_calls():
    pytest.importorskip("pettingzoo")
    run(ParallelEnvironment, 25)
