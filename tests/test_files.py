"""Files are written whole or not at all."""

import os
import threading

import numpy as np
import pytest

from empo_gym.util.files import write_whole


def test_a_file_has_the_permissions_that_the_umask_leaves(tmp_path):
    old = os.umask(0o027)
    try:
        write_whole(tmp_path / "file.txt", lambda unfinished: unfinished.write_text("whole"))
    finally:
        os.umask(old)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640


def test_what_two_writers_of_one_process_write_does_not_mix(tmp_path):
    path, both_write = tmp_path / "new" / "file.txt", threading.Barrier(2)

    def write(word):
        def slowly(unfinished):
            unfinished.write_text(word)
            both_write.wait(timeout=10)
            assert unfinished.read_text() == word

        write_whole(path, slowly)
        done.append(word)

    done = []
    threads = [threading.Thread(target=write, args=(word,)) for word in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["first", "second"] and path.read_text() in done
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_writer_that_fails_leaves_the_former_file_and_nothing_else(tmp_path):
    path = write_whole(tmp_path / "file.txt", lambda unfinished: unfinished.write_text("former"))

    def stopped(unfinished):
        unfinished.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, stopped)
    assert os.listdir(tmp_path) == ["file.txt"] and path.read_text() == "former"


def _solution(folder):
    from sb3_worlds import gate_env

    from empo_gym import solve_robot

    env = gate_env()
    solve_robot(env.model, env.prior, env.theory).save(folder / "solution.npz")


def _model(folder):
    from sb3_worlds import gate_env

    from empo_sb3 import EMPO

    model = EMPO("TablePolicy", gate_env())
    model.save(folder / "model")
    model.save_checkpoint(folder)


def _demonstrations(folder):
    from empo_sb3.imitation import Demonstrations

    starts = np.array([True, False])
    numbers = np.zeros(2, np.float32)
    Demonstrations(np.zeros((2, 1)), np.zeros(2), numbers, starts, ~starts, last=np.zeros((1, 1))).save(folder / "demos.npz")


def _run(folder):
    from empo_cli.learn import write_yaml

    write_yaml(folder / "args.yml", {"world": "gate"})


@pytest.mark.parametrize("save", [_solution, _model, _demonstrations, _run], ids=lambda save: save.__name__.strip("_"))
def test_every_kind_of_file_respects_the_umask(save, tmp_path):
    old = os.umask(0o022)
    try:
        save(tmp_path)
    finally:
        os.umask(old)
    files = list(tmp_path.iterdir())
    assert files and all(file.stat().st_mode & 0o777 == 0o644 for file in files)
