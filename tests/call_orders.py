"""What the tests of call orders share: worlds, their packed models as oracle, and arguments that are wrong."""

from functools import cache

import numpy as np
import pytest
from hypothesis import strategies as st

from empo_gym import ChainWorld, TabularModel, load_world
from empo_gym.envs.simulator import all_inactive

DEADLY = {"map": "We We We We\nWe Ay La We\nWe Ae La We\nWe We We We", "max_steps": 5, "actions": "compass"}
WORLDS = {
    "deadly": DEADLY,
    "two_humans": "two_humans",
    "unsteady_bridge": "unsteady_bridge",
    "convoy": "convoy",
    "chain": ChainWorld(length=4, horizon=4, starts=(0, 3), gates=(1, 2), gates_open=False, slip=0.3),
}
NAMES = st.sampled_from(sorted(WORLDS))
ANY_NUMBER = st.integers(-3, 1 << 70) | st.floats(allow_nan=True) | st.booleans() | st.none() | st.text(max_size=2)
JUNK = st.recursive(ANY_NUMBER, lambda parts: st.lists(parts, max_size=4), max_leaves=6)
DTYPES = [np.float32, np.float64, np.bool_, np.int8, np.uint64, object, np.complex64, "U3"]
STEP = ("human_actions", "attained", "is_success")
SEEDS = st.none() | st.integers(0, 3)
PICKS = st.integers(0, 1 << 30)


@cache
def world_of(name):
    return load_world(WORLDS[name]) if name != "chain" else WORLDS[name]


@cache
def model_of(name):
    return TabularModel.pack(world_of(name))


class Oracle:
    """What the packed model says of a step."""

    def __init__(self, name):
        self.world, self.model = world_of(name), model_of(name)
        self.shape, self.horizon = self.model.action_shape, self.model.horizon
        self.n_robots = self.model.n_robots
        self.robots, self.humans = self.shape[: self.n_robots], self.shape[self.n_robots :]
        self.initial = self.world.initial_state()

    def require_possible(self, before, joint, after):
        """The successor must have a positive probability."""
        row = self.model.index(before) * self.model.n_joint + int(np.ravel_multi_index(joint, self.shape))
        entries = slice(self.model.indptr[row], self.model.indptr[row + 1])
        assert self.model.probs[entries][self.model.indices[entries] == self.model.index(after)].sum() > 0.0

    def attained(self, state, goals):
        s = self.model.index(state)
        return tuple(bool(self.model.achieved[h][s, goal]) for h, goal in enumerate(goals))

    def is_over(self, state):
        return bool(all_inactive(self.world, [state])[0])

    def reachable(self, pick):
        """A state and a time at which somebody acts in it."""
        pairs = np.argwhere(self.model.reachable_pairs()[:-1])
        t, s = pairs[pick % len(pairs)].tolist()
        return self.model.state(s), t

    def require_goals(self, goals, before, attained, resampled):
        """Goals are among the world's, and are kept unless they were attained or drawn anew."""
        for h, goal in enumerate(goals):
            assert 0 <= goal < len(self.world.goal_sets[h])
            assert resampled or attained[h] or goal == before[h]

    def require_seen(self, seen, state, t):
        expected = self.world.observe([state], t=t, kind="features")[0]
        assert seen[: len(expected)].tolist() == expected.tolist()

    def joint_of(self, action):
        return (
            tuple(np.unravel_index(int(action), self.robots)) if np.ndim(action) == 0 else tuple(np.asarray(action).tolist())
        )


def wrong_actions(data, space, shape):
    """Draw something that is no action of a space."""
    dtype, value = data.draw(st.sampled_from(DTYPES)), data.draw(ANY_NUMBER.filter(lambda v: not isinstance(v, str)))
    arrays = [np.zeros(shape, dtype=dtype), np.full((*shape, 2), 0), np.full(shape, 99), np.full(shape, -1), np.zeros((0,))]
    given = data.draw(JUNK | st.sampled_from(arrays) | st.just(value))
    try:
        numbers = np.asarray(given)
    except (TypeError, ValueError):
        return given
    is_one = (
        numbers.dtype.kind in "iu"
        and numbers.size == int(np.prod(shape))
        and space.contains(numbers.reshape(shape).astype(np.int64))
    )
    return None if is_one else given


def refused(step):
    """Check that a call is refused in one sentence."""
    with pytest.raises(ValueError) as caught:
        step()
    assert "\n" not in str(caught.value) and len(str(caught.value)) > 20
