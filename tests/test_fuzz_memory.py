"""Small files that would expand to more than 1 GB: each is refused in one sentence, in less memory than that."""

import io
import re
import zipfile

import numpy as np
import pytest
from fuzz import MOST_MEMORY, bounded_memory
from sb3_worlds import gate_env

from empo_gym import load_world
from empo_sb3 import EMPO, RecurrentPPO
from empo_sb3.imitation import Demonstrations, transfer_features
from empo_sb3.zoo.file_check import check_file

SENTENCE = r"^[^\n]{1,600}$"
N_BYTES = MOST_MEMORY + (100 << 20)


def refused(read, path):
    """Read a file, which must be refused in one sentence."""
    with bounded_memory(), pytest.raises(ValueError) as caught:
        read(path)
    assert re.match(SENTENCE, str(caught.value)), str(caught.value)


def bomb(path, name, parts):
    """Write a zip with some parts, of which one is an array of far more bytes than the file has."""
    header = io.BytesIO()
    np.lib.format.write_array_header_2_0(header, {"descr": "|u1", "fortran_order": False, "shape": (N_BYTES,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for other, content in parts.items():
            if other != name:
                archive.writestr(other, content)
        with archive.open(name, "w", force_zip64=True) as stream:
            stream.write(header.getvalue())
            for _ in range(N_BYTES >> 20):
                stream.write(bytes(1 << 20))


def parts_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_bound_sees_more_than_it_allows():
    with pytest.raises(AssertionError, match="GB of memory were taken"), bounded_memory(1 << 25):
        np.ones(1 << 28, np.uint8)  # far more: an operating system may take other pages away meanwhile


@pytest.mark.parametrize("read", [load_world, lambda path: check_file(path, EMPO, [])], ids=["world", "zoo"])
def test_aliases_of_a_yaml_file_are_not_written_out(read, tmp_path):
    ten = ", ".join(["*{0}"] * 100)
    lines = [f"a: &a {'x' * 1200}", f"b: &b [{ten.format('a')}]", f"c: &c [{ten.format('b')}]", f"tags: [{ten.format('c')}]"]
    (tmp_path / "file.yaml").write_text("map: Ay Ae\nmetadata:\n" + "\n".join(f"  {line}" for line in lines))
    refused(read, tmp_path / "file.yaml")


@pytest.mark.slow
def test_a_checkpoint_is_not_inflated(tmp_path):
    EMPO("TablePolicy", gate_env(), seed=0).save_checkpoint(tmp_path)
    bomb(tmp_path / "checkpoint.zip", "0.npy", parts_of(tmp_path / "checkpoint.zip"))
    refused(lambda path: EMPO.resume(path.parent, gate_env()), tmp_path / "checkpoint.zip")


@pytest.mark.slow
def test_a_saved_model_is_not_inflated(tmp_path):
    model = RecurrentPPO("MlpGruPolicy", "CartPole-v1", n_steps=8, batch_size=8)
    model.save(tmp_path / "model.zip")
    bomb(tmp_path / "model.zip", "policy.pth", parts_of(tmp_path / "model.zip"))
    refused(RecurrentPPO.load, tmp_path / "model.zip")
    refused(lambda path: transfer_features(path, model), tmp_path / "model.zip")


@pytest.mark.slow
def test_demonstrations_are_not_inflated(tmp_path):
    n = 4
    observations, last = np.zeros((n, 2)), np.zeros((1, 2))
    starts, terminated = np.arange(n) == 0, np.zeros(n, bool)
    path = tmp_path / "made.npz"
    arrays = {"actions": np.zeros(n, int), "rewards": np.zeros(n), "starts": starts, "terminated": terminated}
    np.savez(path, observations=observations, last=last, **arrays)
    bomb(path, "rewards.npy", parts_of(path))
    refused(Demonstrations.load, path)
