"""Damaged and foreign files of learners: loaded, or refused in one sentence. Reading a checkpoint runs no code."""

import io
import json
import os
import pickle
import random
import re
import zipfile
from dataclasses import dataclass
from enum import Enum

import cloudpickle
import numpy as np
import pytest
import torch as th
from fuzz import bounded_memory
from gymnasium import spaces
from imitation_worlds import Features, Side, learner
from sb3_worlds import SHORT, crowd_env, gate_env
from stable_baselines3 import PPO
from test_diffusion_dppo import model_of

from empo_gym.envs.robot_env import RobotEnv
from empo_gym.worlds.chain import ChainWorld
from empo_sb3 import EMPO, HumanDQN, RecurrentPPO
from empo_sb3.common.saved_models import Damaged, existing, require_complete
from empo_sb3.empo.checkpoint import env_state, random_state
from empo_sb3.empo.plain import NotPlain, Reader, Writer, classes_in
from empo_sb3.imitation import transfer_features

SENTENCE = r"^[^\n]{1,600}$"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with ``model.zip`` and ``checkpoint.zip`` of one short run."""
    folder = tmp_path_factory.mktemp("saved")
    model = EMPO("TablePolicy", gate_env(), seed=0, **SHORT).learn(60)
    model.save(folder / "model.zip")
    model.save_checkpoint(folder)
    return folder


class Payload:
    """An object whose unpickling creates a file."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


# ------------------------------------------------------------------------------------------------------------- damaged files
@pytest.mark.parametrize("make", [lambda: RecurrentPPO("MlpGruPolicy", "CartPole-v1", n_steps=8, batch_size=8), model_of])
def test_damaged_models_of_policy_gradients_are_loaded_or_one_sentence(make, tmp_path):
    model, rng, refused = make(), random.Random(0), 0
    model.save(tmp_path / "model.zip")
    content = (tmp_path / "model.zip").read_bytes()
    for _ in range(12):
        (tmp_path / "damaged.zip").write_bytes(damaged(content, rng))
        try:
            with bounded_memory():
                type(model).load(tmp_path / "damaged.zip")
        except ValueError as error:
            refused += 1
            assert re.match(SENTENCE, str(error)) and "damaged.zip" in str(error)
    assert refused > 6 and type(model).load(tmp_path / "model.zip").policy is not None


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The content with some bits flipped, or cut off, or with a stretch of zeros."""
    kind, at = rng.randrange(3), rng.randrange(len(content))
    if kind == 0:
        return content[:at]
    changed = bytearray(content)
    if kind == 1:
        for _ in range(rng.choice((1, 1, 8))):
            changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    else:
        changed[at : at + 200] = bytes(len(changed[at : at + 200]))
    return bytes(changed)


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_a_damaged_file_is_loaded_or_refused_in_one_sentence(kind, saved, tmp_path):
    content, rng, env = (saved / f"{kind}.zip").read_bytes(), random.Random(7), gate_env()
    headers, refused = content[-2000:], 0
    for k in range(40):
        # Headers are where a checksum does not help
        new = content[:-2000] + damaged(headers, rng) if k % 2 else damaged(content, rng)
        (tmp_path / f"{kind}.zip").write_bytes(new)
        try:
            with bounded_memory():
                EMPO.load(tmp_path / "model.zip") if kind == "model" else EMPO.resume(tmp_path, env)
        except ValueError as error:
            assert f"{kind}.zip" in str(error) and "\n" not in str(error), str(error)
            refused += 1
    assert refused > 20


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path, parts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_members_that_are_changed_and_sealed_again_are_one_sentence(saved, tmp_path):
    parts, rng, env = members(saved / "checkpoint.zip"), random.Random(3), gate_env()
    for _ in range(25):
        name = rng.choice(sorted(parts))
        written(tmp_path / "checkpoint.zip", {**parts, name: damaged(parts[name], rng)})
        try:
            EMPO.resume(tmp_path, env)
        except ValueError as error:
            assert "\n" not in str(error), str(error)


FOREIGN = {
    "a zip without keys": lambda file: written(file, {"data": "{}"}),
    "an empty zip": lambda file: written(file, {}),
    "text": lambda file: file.write_text("hello"),
    "nothing": lambda file: file.touch(),
    "a folder": lambda file: file.mkdir(),
    "JSON of something else": lambda file: written(file, {"checkpoint.json": "[1, 2]"}),
    "JSON with unknown kinds": lambda file: written(file, {"checkpoint.json": '{"model": {"$": "spell"}}'}),
    "a model of PPO": lambda file: PPO("MlpPolicy", "CartPole-v1", device="cpu").save(file),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_something_else_is_one_sentence(what, tmp_path):
    for name, read in {
        "checkpoint.zip": lambda: EMPO.resume(tmp_path, gate_env()),
        "model.zip": lambda: EMPO.load(tmp_path / "model.zip", env=gate_env()),
    }.items():
        FOREIGN[what](tmp_path / name)
        with pytest.raises(ValueError, match=SENTENCE):
            read()


def test_another_algorithms_checkpoint_is_one_sentence(tmp_path):
    HumanDQN("TablePolicy", gate_env()).save_checkpoint(tmp_path)
    with pytest.raises(ValueError, match=SENTENCE):
        EMPO.resume(tmp_path, gate_env())


# ------------------------------------------------------------------------------------------------------------- no unpickling
@pytest.fixture
def no_pickle(monkeypatch):
    """Unpickling anything but tensors is an error."""

    def refuse(*_, **__):
        raise AssertionError("unpickled")

    for module in (pickle, cloudpickle):
        monkeypatch.setattr(module, "loads", refuse)
        monkeypatch.setattr(module, "load", refuse)


def test_what_would_inflate_to_far_more_than_its_size_is_one_sentence(saved, tmp_path):
    parts = members(saved / "checkpoint.zip")
    with zipfile.ZipFile(tmp_path / "checkpoint.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**parts, "0.npy": bytes(60 << 20)}.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="would inflate"):
        EMPO.resume(tmp_path, gate_env())
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)})
    written(tmp_path / "checkpoint.zip", {**parts, "0.npy": header.getvalue()})
    with pytest.raises(ValueError, match="not as long as its shape"):
        EMPO.resume(tmp_path, gate_env())


@pytest.mark.parametrize("algorithm", [EMPO, HumanDQN])
@pytest.mark.parametrize("policy", ["TablePolicy", "MlpPolicy"])
def test_a_checkpoint_is_resumed_without_unpickling(algorithm, policy, tmp_path, no_pickle):
    keywords = {"policy_kwargs": {"net_arch": [8], "activation_fn": th.nn.Tanh}} if policy == "MlpPolicy" else {}
    model = algorithm(policy, gate_env(), seed=0, **keywords).learn(40)
    model.save_checkpoint(tmp_path)
    names = members(tmp_path / "checkpoint.zip")
    assert all(name == "checkpoint.json" or name.endswith(".npy") for name in names)
    resumed = algorithm.resume(tmp_path, gate_env())
    assert (resumed.num_timesteps, resumed.config, resumed.policy_kwargs) == (40, model.config, model.policy_kwargs)
    assert all(th.equal(a, b) for a, b in zip(model.policy.parameters(), resumed.policy.parameters(), strict=True))


def test_a_checkpoint_that_asks_for_code_runs_none(saved, tmp_path):
    hit, parts = tmp_path / "hit", members(saved / "checkpoint.zip")
    content = json.loads(parts["checkpoint.json"])
    popen = {"$": "record", "class": "subprocess:Popen", "of": {"args": f"touch {hit}", "shell": True}}
    for changed in (
        {**content, "model": {**content["model"], "theory": popen}},
        {**content, "model": {**content["model"], "policy_class": {"$": "class", "class": "subprocess:Popen"}}},
        {**content, "model": {**content["model"], "policy_class": {"$": "class", "class": "empo_sb3.zoo:os.system"}}},
        {
            **content,
            "model": {**content["model"], "learning_rate": {"$": "named", "class": "os:terminal_size", "of": [[1, 2]]}},
        },
    ):
        written(tmp_path / "checkpoint.zip", {**parts, "checkpoint.json": json.dumps(changed)})
        with pytest.raises(ValueError, match="not a complete checkpoint"):
            EMPO.resume(tmp_path, gate_env())
    for name in ("pickled.pkl", "0.npy"):
        written(tmp_path / "checkpoint.zip", {**parts, name: pickle.dumps(Payload(hit))})
        with pytest.raises(ValueError, match=r"holds a pickle|not a complete checkpoint"):
            EMPO.resume(tmp_path, gate_env())
    assert not hit.exists()


def test_what_json_cannot_say_needs_trust(tmp_path):
    model = EMPO("TablePolicy", gate_env(), seed=0, learning_rate=lambda remaining: 0.5 + remaining / 2).learn(40)
    model.save_checkpoint(tmp_path)
    with pytest.raises(ValueError, match=r"holds a pickle, which can run code.*allow_pickle=True"):
        EMPO.resume(tmp_path, gate_env())
    assert EMPO.resume(tmp_path, gate_env(), allow_pickle=True).learning_rate(0.0) == 0.5


def test_a_checkpoint_of_an_older_version_is_resumed_if_it_is_trusted(tmp_path):
    def begun():
        return EMPO("TablePolicy", gate_env(), seed=0, **SHORT).learn(60)

    model, learned = begun(), io.BytesIO()
    model.save(learned)
    run = {name: getattr(model, name) for name in model.run_parts}
    run |= {"env": env_state(model.env), "random": random_state()}
    written(tmp_path / "checkpoint.zip", {"model.zip": learned.getvalue(), "run.pkl": pickle.dumps(run)})
    straight = model.learn(40, reset_num_timesteps=False)
    with pytest.raises(ValueError, match="written by an older version"):
        EMPO.resume(tmp_path, gate_env())
    resumed = EMPO.resume(tmp_path, gate_env(), allow_pickle=True).learn(40, reset_num_timesteps=False)
    assert np.array_equal(straight.replay_buffer.pairs, resumed.replay_buffer.pairs)
    assert np.array_equal(straight.visits.counts, resumed.visits.counts)


def test_features_are_transferred_from_a_file_of_which_only_the_tensors_are_read(tmp_path):
    hit = tmp_path / "hit"
    source, target = (learner("PPO", Side(), Features) for _ in range(2))
    source.evil = Payload(hit)
    source.save(tmp_path / "model.zip")
    transfer_features(tmp_path / "model", target, verbose=0)
    pairs = zip(source.policy.features_extractor.parameters(), target.policy.features_extractor.parameters(), strict=True)
    assert all(th.equal(a, b) for a, b in pairs) and not hit.exists()
    parts = members(tmp_path / "model.zip")
    written(tmp_path / "evil.zip", {**parts, "policy.pth": _torch_pickle(Payload(hit))})
    written(tmp_path / "none.zip", {"data": "{}"})
    (tmp_path / "text.zip").write_text("hello")
    for name in ("evil", "none", "text"):
        with pytest.raises(ValueError, match=rf"{name}\.zip is not a complete saved model[^\n]*$"):
            transfer_features(tmp_path / f"{name}.zip", target)
    with pytest.raises(FileNotFoundError):
        transfer_features(tmp_path / "nowhere.zip", target)
    assert not hit.exists()


def _torch_pickle(value):
    content = io.BytesIO()
    th.save(value, content)
    return content.getvalue()


# -------------------------------------------------------------------------------------------------------------------- worlds
def gate_that_slips(slip):
    """An environment whose world has the same sizes whatever the probability that moves fail."""
    return RobotEnv(ChainWorld(length=4, horizon=4, starts=(1,), gates=(2,), gates_open=False, slip=slip))


def test_a_model_refuses_a_world_of_the_same_sizes_and_other_dynamics(tmp_path):
    first, second = (gate_that_slips(slip) for slip in (0.25, 0.5))
    assert first.model.n_states == second.model.n_states
    for algorithm in (EMPO, HumanDQN):
        model = algorithm("TablePolicy", first, seed=0)
        model.save(tmp_path / "model.zip")
        model.save_checkpoint(tmp_path)
        for read in (
            lambda algorithm=algorithm: algorithm.load(tmp_path / "model.zip", env=second),
            lambda algorithm=algorithm: algorithm.resume(tmp_path, second),
            lambda model=model: model.set_env(second),
        ):
            with pytest.raises(ValueError, match=r"of the same sizes but with other dynamics or goals[^\n]*$"):
                read()
        again = gate_that_slips(0.25)
        assert algorithm.load(tmp_path / "model.zip", env=again).world_fingerprint == model.world_fingerprint
        algorithm.resume(tmp_path, again)


def test_a_model_that_was_saved_without_a_fingerprint_takes_a_world_of_its_sizes(tmp_path):
    model = EMPO("TablePolicy", gate_that_slips(0.25), seed=0)
    model.save(tmp_path / "model.zip", exclude=["world_fingerprint"])
    assert EMPO.load(tmp_path / "model.zip", env=gate_that_slips(0.5)).world_fingerprint is not None
    with pytest.raises(ValueError, match="made for another world"):
        EMPO.load(tmp_path / "model.zip", env=crowd_env())


# --------------------------------------------------------------------------------------------------------------------- codec
class Color(Enum):
    RED = 1


@dataclass(frozen=True)
class State:
    place: tuple[int, int]
    color: Color
    inner: "State | None" = None


def test_values_come_back_as_they_were():
    rng = np.random.default_rng(3)
    rng.random(5)
    value = {
        "plain": [None, True, 10**40, 0.1, float("inf"), "text"],
        "keys": {1: "a", (1, 2): "b", "$": "c"},
        "sets": ({1, 2}, frozenset({3})),
        "arrays": (np.arange(6).reshape(2, 3), np.float32(0.5), np.zeros((0, 2), np.uint8)),
        "tensor": th.arange(3.0),
        "state": State((1, 2), Color.RED, State((3, 4), Color.RED)),
        "spaces": [
            spaces.Box(-1, 1, (2,), np.float32),
            spaces.Discrete(3, start=1),
            spaces.Dict(a=spaces.MultiDiscrete([2, 3])),
        ],
        "class": th.nn.ReLU,
    }
    write = Writer()
    tree = json.loads(json.dumps(write({**value, "rng": rng})))
    read = Reader(write.arrays.__getitem__, classes_in(value["state"]))(tree)
    assert read.pop("rng").random() == rng.random()
    arrays, tensor = read.pop("arrays"), read.pop("tensor")
    for a, b in zip(arrays, value.pop("arrays"), strict=True):
        assert type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    assert th.equal(tensor, value.pop("tensor")) and read == value
    with pytest.raises(ValueError, match="no class that a checkpoint may name"):
        Reader(write.arrays.__getitem__)(tree)


class Ring(spaces.Box):
    """A space that only its author knows."""


class Box(spaces.Box):
    """One with the name of another."""


@pytest.mark.parametrize(
    "value", [lambda: 0, object(), np.array([object()]), os, open, Payload, Payload("x"), Ring(0, 1), Box(0, 1)]
)
def test_what_has_no_plain_form_is_an_error(value):
    with pytest.raises(NotPlain):
        Writer()(value)


@pytest.mark.parametrize("path", ["empo_sb3.empo.plain:Reader", "empo_sb3.empo.plain:np", "empo_sb3.empo:EMPO"])
def test_a_class_is_named_where_it_is_written_and_fits_what_it_is_for(path):
    read = Reader({}.__getitem__)
    with pytest.raises(ValueError, match="no class that a checkpoint holds"):
        read.class_of(path, lambda found: path != "empo_sb3.empo.plain:Reader")


def test_a_large_file_is_read_if_it_is_large_already(tmp_path):
    require_complete(written(tmp_path / "large.zip", {"data": bytes((1 << 24) + 1)}), ["data"])
    with zipfile.ZipFile(tmp_path / "small.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", bytes(20 << 20))
    with pytest.raises(Damaged, match="would inflate"):
        require_complete(tmp_path / "small.zip", ["data"])


def test_a_name_that_exists_is_taken_as_it_is(tmp_path):
    assert existing(tmp_path / "model") == tmp_path / "model"
    (tmp_path / "model.zip").touch()
    assert existing(tmp_path / "model") == tmp_path / "model.zip"
    (tmp_path / "model").touch()
    assert existing(tmp_path / "model") == tmp_path / "model"
