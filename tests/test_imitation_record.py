"""Demonstrations: who may give them, what is kept of them, and their files."""

import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from imitation_worlds import Reused, Side, expert, learner
from recurrent_envs import Cue
from stable_baselines3.common.vec_env import DummyVecEnv

import empo_gym  # noqa: F401
from empo_gym import PlannerPolicy, solve_robot
from empo_sb3.imitation import Demonstrations, from_minari, record, to_minari


def demonstrated(seen="vector", done="discrete", n=3, **keywords):
    env = Side(seen, done)
    return record(expert(env), env, n, seed=5, **keywords)


def test_a_function_is_recorded_step_by_step():
    found = demonstrated()
    assert len(found) == 18 and found.n_episodes == 3
    assert found.starts.tolist() == ([True] + [False] * 5) * 3
    assert not found.terminated.any() and found.last.shape == (3, 3)
    assert np.array_equal(found.actions, (found.observations[:, 0] > 0).astype(int))
    assert found.returns.tolist() == [6.0] * 3


def test_the_exact_planner_can_be_recorded():
    env = gym.make("EMPO-Chain-v0")
    env.reset(seed=0)
    own = env.unwrapped
    solution = solve_robot(own.model, own.prior, own.theory)
    found = record(PlannerPolicy(solution, env), env, 2, seed=0)
    own.reset(seed=0)
    assert found.actions[0] == solution.policy(own.state, 0).argmax()
    assert len(found) <= 2 * own.world.horizon


def test_a_model_with_memory_is_recorded_with_its_memory():
    env = Cue(delay=2)
    model = learner("RecurrentPPO", env)
    found = record(model, env, 2, seed=3)
    state, wanted = None, []
    for observation, start in zip(found.observations, found.starts, strict=True):
        action, state = model.predict(observation, state=state, episode_start=np.array([start]), deterministic=True)
        wanted.append(int(action))
    assert found.actions.tolist() == wanted


def test_the_same_seed_gives_the_same_episodes_and_disturbances_leave_labels_clean():
    calm, again = demonstrated("vector", "box"), demonstrated("vector", "box")
    assert np.array_equal(calm.observations, again.observations)
    shaken = demonstrated("vector", "box", disturb=lambda action, rng: action + rng.normal(0, 0.5, action.shape))
    assert np.allclose(shaken.actions[:, 0], 2 * shaken.observations[:, 0]) and shaken.rewards.max() < 1.0
    assert calm.rewards.min() == 1.0


def test_only_good_episodes_are_kept_and_their_lack_is_said():
    with pytest.raises(ValueError, match="only 0 of 200 episodes brought min_return=7"):
        demonstrated(n=2, min_return=7.0)


@pytest.mark.parametrize("seen", ["vector", "dict"])
def test_an_environment_that_writes_all_observations_into_one_array_is_recorded_step_by_step(seen):
    fresh, reused = Side(seen), Reused(seen)
    wanted, found = record(expert(fresh), fresh, 2, seed=5), record(expert(reused), reused, 2, seed=5)
    for part in ("observations", "last"):
        pairs = [(vars(wanted)[part], vars(found)[part])]
        pairs = [(a[key], b[key]) for a, b in pairs for key in a] if seen == "dict" else pairs
        assert all(np.array_equal(a, b) and len(np.unique(a)) > 1 for a, b in pairs)


def test_a_policy_that_writes_all_actions_into_one_array_is_recorded_step_by_step():
    env, action = Side("vector", "box"), np.zeros(1, np.float32)

    def act(observation):
        action[:] = 2.0 * observation[0]
        return action

    found = record(act, env, 2, seed=5)
    assert np.allclose(found.actions, 2.0 * found.observations[:, :1]) and len(np.unique(found.actions)) == 12


def test_a_disturbance_in_place_leaves_the_recorded_action_clean():
    def shake(action, rng):
        action += 1.0
        return action

    found = demonstrated("vector", "box", disturb=shake)
    assert np.allclose(found.actions[:, 0], 2.0 * found.observations[:, 0])


@pytest.mark.parametrize(("done", "action"), [("discrete", 2), ("discrete", 1.0), ("multi", np.array([1, 3]))])
def test_an_action_that_is_not_in_the_space_is_not_recorded(done, action):
    with pytest.raises(ValueError, match=r"^record: the action .* of step 0 is not in"):
        record(lambda observation: action, Side("vector", done), 1)


def test_whoever_does_not_act_is_no_policy():
    with pytest.raises(ValueError, match="has a method predict or is a function"):
        record(3, Side(), 1)
    for n in (0, 2.5):
        with pytest.raises(ValueError, match="n_episodes"):
            demonstrated(n=n)
    with pytest.raises(ValueError, match="env must be one environment"):
        record(lambda observation: 0, DummyVecEnv([Side]), 1)


def test_a_recording_that_is_interrupted_keeps_whole_episodes(capsys):
    env, calls = Side(), []

    def impatient(observation):
        calls.append(0)
        if len(calls) > 14:
            raise KeyboardInterrupt
        return 0

    assert record(impatient, env, 5).n_episodes == 2
    assert "2 of 5 episodes are kept" in capsys.readouterr().out


@pytest.mark.parametrize("seen", ["vector", "dict"])
def test_a_file_holds_what_was_recorded(tmp_path, seen):
    found = demonstrated(seen)
    found.save(tmp_path / "new" / "demos.npz")
    loaded = Demonstrations.load(tmp_path / "new" / "demos.npz")
    for name in ("actions", "rewards", "starts", "terminated"):
        assert np.array_equal(vars(found)[name], vars(loaded)[name]) and vars(found)[name].dtype == vars(loaded)[name].dtype
    if seen == "dict":
        assert all(np.array_equal(found.last[key], loaded.last[key]) for key in ("image", "proprio"))
    else:
        assert np.array_equal(found.observations, loaded.observations)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["demos.npz"]


def test_a_file_that_is_something_else_says_so(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "text.npz").write_text("no")
    for name in ("other.npz", "text.npz", "missing.npz"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read: .+"):
            Demonstrations.load(tmp_path / name)


def test_episodes_can_be_chosen():
    found = demonstrated()
    chosen = found.episodes([2, 0])
    assert np.array_equal(chosen.observations[:6], found.observations[12:]) and np.array_equal(chosen.last[1], found.last[0])


def test_arrays_that_do_not_fit_together_are_refused():
    found = vars(demonstrated())
    for change, match in (
        ({"rewards": np.zeros(2)}, "one row in each"),
        ({"starts": np.zeros(18, bool)}, "must start an episode"),
        ({"last": np.zeros((1, 3))}, "3 episodes need as many"),
        ({"last": np.zeros((3, 2))}, r"last must be like observations \(18, 3\), not of shape \(3, 2\)"),
        ({"last": {"image": np.zeros((3, 3))}}, "there is no array 'last'"),
        ({"starts": np.ones(18)}, "starts must be True or False, not float64"),
        ({"rewards": np.zeros((18, 2))}, "rewards must have one number per step"),
        ({"actions": np.full(18, "up")}, "actions must be numbers, not <U2"),
    ):
        with pytest.raises(ValueError, match=match):
            Demonstrations(**{**found, **change})


def test_without_minari_its_format_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ImportError, match=r"empo\[minari\]"):
        to_minari(demonstrated(), "empo/side-v0", Side())
    with pytest.raises(ImportError, match=r"empo\[minari\]"):
        from_minari("empo/side-v0")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seen", ["vector", "dict"])
def test_a_minari_dataset_holds_what_was_recorded(tmp_path, monkeypatch, seen):
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env, found = Side(seen), demonstrated(seen)
    if seen == "dict":  # without its picture, which Minari would keep as a JPEG
        env.observation_space = spaces.Dict({"proprio": env.observation_space["proprio"]})
        kept = {name: {"proprio": vars(found)[name]["proprio"]} for name in ("observations", "last")}
        found = replace(found, **kept)
    to_minari(found, "empo/side/expert-v0", env)
    again = from_minari("empo/side/expert-v0")
    assert np.array_equal(found.actions, again.actions) and np.array_equal(found.starts, again.starts)
    assert np.array_equal(found.rewards, again.rewards) and np.array_equal(found.terminated, again.terminated)
    for a, b in ((found.observations, again.observations), (found.last, again.last)):
        pairs = zip(a.values(), b.values(), strict=True) if seen == "dict" else [(a, b)]
        assert all(np.array_equal(left, right) for left, right in pairs)


def test_episodes_are_those_of_one_seed_after_the_other():
    env = Side()
    one_by_one = [record(expert(env), env, 1, seed=seed).observations for seed in (5, 6, 7)]
    found = demonstrated().observations
    assert np.array_equal(found, np.concatenate(one_by_one)) and np.array_equal(found[0], env.reset(seed=5)[0])
