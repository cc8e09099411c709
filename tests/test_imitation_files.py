"""Files of demonstrations that were damaged, or made to do harm: one sentence with the file's name, or the same numbers."""

import time
import zipfile
from contextlib import nullcontext

import numpy as np
import pytest
from fuzz import bounded_memory
from imitation_worlds import Side, expert

from empo_sb3.imitation import Demonstrations, files, from_minari, record


@pytest.fixture(scope="module", params=["vector", "dict"])
def saved(request, tmp_path_factory):
    """Demonstrations and the bytes of their file."""
    env = Side(request.param)
    found = record(expert(env), env, 2, seed=0)
    path = tmp_path_factory.mktemp("files") / "demos.npz"
    found.save(path)
    return found, path.read_bytes()


def arrays_of(demonstrations):
    flat = {}
    for name, value in vars(demonstrations).items():
        flat |= {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def load(path, wanted):
    """Whether a file was read; if so, it holds what was saved."""
    try:
        with bounded_memory():
            found = arrays_of(Demonstrations.load(path))
    except ValueError as error:
        assert path.name in str(error) and "\n" not in str(error)
        return False
    assert found.keys() == wanted.keys() and all(np.array_equal(found[name], wanted[name]) for name in wanted)
    return True


def test_a_flipped_bit_is_one_sentence_or_does_no_harm(saved, tmp_path):
    demonstrations, content = saved
    wanted, rng, path = arrays_of(demonstrations), np.random.default_rng(0), tmp_path / "flipped.npz"
    begin, read = time.monotonic(), []
    for _ in range(250):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        read.append(load(path, wanted))
    assert 0 < sum(read) < 250 and time.monotonic() - begin < 20


def test_a_file_that_was_cut_off_is_one_sentence(saved, tmp_path):
    demonstrations, content = saved
    path = tmp_path / "cut.npz"
    for length in np.random.default_rng(1).integers(len(content), size=50):
        path.write_bytes(content[:length])
        assert not load(path, arrays_of(demonstrations))


def test_bytes_in_any_order_are_one_sentence(saved, tmp_path):
    demonstrations, content = saved
    path, rng = tmp_path / "shuffled.npz", np.random.default_rng(2)
    for _ in range(50):
        damaged = bytearray(content)
        begin = int(rng.integers(len(content) - 40))
        damaged[begin : begin + 40] = rng.bytes(40)
        path.write_bytes(damaged)
        load(path, arrays_of(demonstrations))


def written(tmp_path, **changes):
    """A file with some arrays changed."""
    n = 4
    arrays = {
        "observations": np.zeros((n, 2)),
        "actions": np.zeros(n, int),
        "rewards": np.zeros(n),
        "starts": np.arange(n) == 0,
        "terminated": np.zeros(n, bool),
        "last": np.zeros((1, 2)),
    }
    np.savez_compressed(tmp_path / "made.npz", **{k: v for k, v in (arrays | changes).items() if v is not None})
    return tmp_path / "made.npz"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"actions": np.array([None] * 4)}, "is of Python objects"),
        ({"actions": None}, "there is no array 'actions'"),
        ({"last": None}, "there is no array 'last'"),
        ({"more": np.zeros(4)}, "other arrays than those of demonstrations"),
        ({"observations.x": np.zeros(4), "last.x": np.zeros(1)}, "other arrays than those of demonstrations"),
        ({"starts": np.zeros(4)}, "starts must be True or False"),
        ({"starts": np.zeros(4, bool)}, "the first step must start an episode"),
        ({"starts": np.ones(4, bool)}, "4 episodes need as many last observations"),
        ({"rewards": np.zeros(5)}, "every step needs one row in each array"),
        ({"rewards": np.zeros((4, 1))}, "rewards must have one number per step"),
        ({"actions": np.array(3)}, "every step needs one row"),
        ({"observations": np.array(["a"] * 4)}, "observations must be numbers"),
        ({"last": np.zeros((1, 3))}, "last must be like observations"),
        ({"last": np.array(1.0)}, "last must be like observations"),
        ({name: np.zeros(0, bool) for name in ("observations", "actions", "rewards", "starts", "terminated")}, "rewards must"),
    ],
)
def test_what_a_file_holds_is_checked_by_name_type_and_shape(tmp_path, changes, told):
    with pytest.raises(ValueError, match=rf"made.npz cannot be read: .*{told}"):
        Demonstrations.load(written(tmp_path, **changes))


def test_a_file_of_zeros_is_refused_before_it_is_inflated(tmp_path, monkeypatch):
    path = written(tmp_path, rewards=np.zeros(10**7))
    monkeypatch.setattr(files, "_array", lambda *_: pytest.fail("an array was inflated"))
    with pytest.raises(ValueError, match="every step needs one row in each array"):
        Demonstrations.load(path)
    monkeypatch.setattr(files, "LARGEST", 10**6)
    with pytest.raises(ValueError, match=r"its arrays would take 80,\d+,\d+ bytes, more than 1,000,000"):
        Demonstrations.load(path)


def test_an_array_that_is_longer_than_its_header_says_is_refused(tmp_path):
    path = written(tmp_path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, one in content.items():
            archive.writestr(name, one + b"more" if name == "actions.npy" else one)
    with pytest.raises(ValueError, match=r"'actions.npy' is shorter or longer than its shape \(4,\)"):
        Demonstrations.load(path)


@pytest.mark.parametrize("how", ["twice", "bzip2", "many"])
def test_archives_that_numpy_would_not_write_are_refused(tmp_path, how):
    path = written(tmp_path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2 if how == "bzip2" else zipfile.ZIP_STORED) as archive:
        names = {"twice": ["actions.npy"], "bzip2": ["a.npy"], "many": [f"{i}.npy" for i in range(1001)]}[how]
        with pytest.warns(UserWarning, match="Duplicate") if how == "twice" else nullcontext():
            for name in names:
                archive.writestr(name, b"")
    with pytest.raises(ValueError, match=r"more than 1000 or two of one name|in a way that numpy does not use"):
        Demonstrations.load(path)


class Broken:
    """A dataset of Minari whose file cannot be read."""

    def __init__(self, error=None):
        self.error = error

    def iterate_episodes(self):
        if self.error is not None:
            raise self.error
        return iter(())


@pytest.mark.parametrize("error", [OSError("Unable to open file\n(file signature not found)"), KeyError("actions"), None])
def test_a_damaged_or_empty_dataset_of_minari_is_one_sentence(error):
    with pytest.raises(ValueError, match=r"^from_minari: the dataset .* (cannot be read: .+|has no episodes)$"):
        from_minari(Broken(error))


@pytest.mark.parametrize("kind", ["vector", "dict"])
def test_a_single_episode_is_kept(kind, tmp_path):
    env = Side(kind)
    found = record(expert(env), env, 1, seed=0)
    found.save(tmp_path / "one.npz")
    assert found.n_episodes == 1 and load(tmp_path / "one.npz", arrays_of(found))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_arrays_of_the_first_two_versions_of_the_format_are_read(version, tmp_path):
    path = written(tmp_path)
    with np.load(path) as file:
        arrays = dict(file)
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, array, version=version)
    if version == (3, 0):
        with pytest.raises(ValueError, match=r"has version \(3, 0\) of numpy's format"):
            Demonstrations.load(path)
    else:
        assert np.array_equal(Demonstrations.load(path).rewards, arrays["rewards"])
