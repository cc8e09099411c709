"""Compiled functions are compiled anew when any file that they may come from changes."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core.dispatcher import Dispatcher

from empo_gym.util import compiled

ROOT = Path(compiled.__file__).parents[2]
WITH_JIT = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")


@WITH_JIT
@pytest.mark.parametrize("room", ["grid", "bellman"])
def test_kernels_carry_the_stamp_of_all_files_of_their_room(room):
    folder, stamps = ROOT / "empo_gym" / room, {}
    for path in folder.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name, one in vars(importlib.import_module(module)).items():
            if isinstance(one, Dispatcher) and one.__module__ == module and hasattr(one._cache, "_cache_file"):
                stamps[path.stem, name] = one._cache._cache_file._source_stamp
    some = {"grid": {"turn", "interaction", "movement", "walking", "symbolic"}, "bellman": {"kernels", "policy_chain"}}
    assert some[room] <= {name for name, _ in stamps}
    assert set(stamps.values()) == {compiled.stamp_of_sources(folder)}


@WITH_JIT
def test_a_cached_kernel_sees_an_edit_of_a_function_that_it_calls(tmp_path):
    inner, outer = tmp_path / "inner.py", tmp_path / "outer.py"
    inner.write_text("from numba import njit\n\n\n@njit\ndef f(x):\n    return x + 1\n")
    outer.write_text(
        "from pathlib import Path\n\nimport inner\nfrom empo_gym.util.compiled import cached\n\n\n"
        "@cached(Path(__file__).parent)\ndef g(x):\n    return inner.f(x)\n\n\nprint(g(0), sum(g.stats.cache_hits.values()))\n"
    )

    def run():
        answer = subprocess.run([sys.executable, str(outer)], cwd=ROOT, capture_output=True, text=True, check=True)
        return answer.stdout.split()

    assert [run(), run()] == [["1", "0"], ["1", "1"]]
    inner.write_text(inner.read_text().replace("x + 1", "x + 2"))
    assert run() == ["2", "0"]


def test_the_stamp_of_compiled_code_changes_with_every_source_file(tmp_path):
    folder = Path(shutil.copytree(ROOT / "empo_gym" / "grid", tmp_path / "grid"))
    stamps = [compiled.stamp_of_sources(folder)]
    for path in folder.rglob("*.py"):
        path.write_text(path.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
        stamps.append(compiled.stamp_of_sources(folder))
    assert len(set(stamps)) == len(stamps) > 40


def test_private_numba_interfaces_stand_in_one_file_with_a_version_bound():
    private = re.compile(r"_nrt\b|_cache_file|_source_stamp|numba\.core")
    found = {path.name for path in ROOT.glob("empo_*/**/*.py") if private.search(path.read_text(encoding="utf-8"))}
    assert found == {"compiled.py"}
    least, most = re.search(r'"numba>=([\d.]+),<([\d.]+)"', (ROOT / "setup.py").read_text(encoding="utf-8")).groups()
    version = [tuple(map(int, text.split(".")[:2])) for text in (least, numba.__version__, most)]
    assert version[0] <= version[1] < version[2]
