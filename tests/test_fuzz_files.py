"""Damaged solution files: each is refused in one sentence, or what it holds can be used.

A fault would end the process (compiled code trusts its indices), so every batch of files runs in a process of its own. How
many files there are follows Hypothesis' profile, see ``make fuzz``.
"""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzz import bounded_memory
from hypothesis import settings

from empo_gym import ChainWorld, EmpoSolution, TabularModel, Theory, load_world, solve, solve_humans, solve_robot

HOSTILE = (
    None,
    True,
    -1,
    0,
    1,
    1.5,
    1e9,
    2**31,
    2**63,
    -(2**63),
    10**30,
    "zzz",
    "",
    [],
    {},
    [[]],
    [1e400],
    float("nan"),
    {"a": 1},
)
NUMBERS = (-1, 0, 1, 7, 2**31 - 1, -(2**31), 0.5, -0.5, 1e308, np.nan, np.inf, -np.inf)


def solutions(folder):
    """Write one file of each kind."""
    model, theory = TabularModel.pack(ChainWorld(length=4, horizon=4, slip=0.1, gates=(2,), starts=(0,))), Theory(beta_r=3.0)
    solve_robot(model, solve_humans(model, theory), theory).save(folder / "all.npz")
    belief = np.full(model.n_robot_joint, 1 / model.n_robot_joint)
    values = solve_humans(model, theory, keep="values", belief=belief)
    solve_robot(model, values, theory, keep="values").save(folder / "values.npz")
    habit = [np.full(agent.n_actions, 1 / agent.n_actions) for agent in model.agents[model.n_robots :]]
    solve(model, theory, habit=habit).save(folder / "one.npz")
    grid = TabularModel.pack(load_world({"map": "Ay .. Ae\n.. .. ..", "actions": "compass", "possible_goals": ["2,1"]}))
    solve_robot(grid, solve_humans(grid, theory), theory).save(folder / "stationary.npz")
    return sorted(folder.glob("*.npz"))


def damaged(content, rng):
    """Flip bits, cut off, repeat or blank out bytes."""
    damaged = bytearray(content)
    kind, at = rng.integers(4), int(rng.integers(len(content)))
    if kind == 0:
        for place in rng.integers(len(content), size=rng.integers(1, 4)):
            damaged[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del damaged[at:]
    elif kind == 2:
        damaged[at : at + 20] = bytes(20)
    else:
        damaged[at:at] = content[at : at + int(rng.integers(1, 100))]
    return bytes(damaged)


def replaced(content, rng):
    """Write another value of the right kind, or of another, at some place of a well-formed archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(members.pop("about.json"))
    for _ in range(rng.integers(1, 3)):
        name = str(rng.choice([*members, "about.json", "about.json"]))
        if name == "about.json":
            about = of_json(about, rng)
        else:
            members[name] = of_array(np.load(io.BytesIO(members[name])), rng)
    if rng.random() < 0.1:
        members.pop(str(rng.choice(list(members))))
    if rng.random() < 0.1:
        members["more.npy"] = members[next(iter(members))]
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in (*members.items(), ("about.json", json.dumps(about))):
            archive.writestr(name, member)
    return written.getvalue()


def of_json(value, rng):
    """Replace, drop or repeat something, however deep within."""
    if isinstance(value, dict | list) and value and rng.random() < 0.8:
        key = list(value)[rng.integers(len(value))] if isinstance(value, dict) else int(rng.integers(len(value)))
        copy = value.copy()
        if rng.random() < 0.1:
            del copy[key]
        elif rng.random() < 0.1 and isinstance(value, list):
            copy.append(copy[key])
        else:
            copy[key] = of_json(value[key], rng)
        return copy
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.5:
        return value + int(rng.integers(-2, 3))
    return HOSTILE[rng.integers(len(HOSTILE))]


def of_array(array, rng):
    """Change entries, shape or type."""
    array, kind = array.copy(), rng.integers(5)
    if kind < 3 and array.size and array.dtype.kind in "ifb":
        with np.errstate(all="ignore"):
            array.flat[rng.integers(array.size)] = np.array(NUMBERS[rng.integers(len(NUMBERS))]).astype(array.dtype)
    elif kind == 3:
        array = array[: rng.integers(len(array) + 1)] if array.ndim else array[None]
    elif array.dtype.kind in "ifb":
        array = array.astype(rng.choice(["int8", "int64", "float32", "float64", "complex64"]))
    written = io.BytesIO()
    np.lib.format.write_array(written, array, version=(2, 0))
    return written.getvalue()


def use(path):
    """Do with a solution what one does, so that compiled code sees all of it."""
    solution = EmpoSolution.load(path)
    model = solution.model
    solution.policy(model.state(0), 0)
    for pi_h in solution.prior.pi_h:
        np.asarray(pi_h)
    solution.compare(solution)
    list(model.reachable_pairs() if model.horizon is not None and model.horizon < 100 else ())
    if model.horizon is not None and model.horizon < 100:
        solve(model, solution.theory)


def main(folder, seed, n):
    """Load n damaged files; print what is neither refused by one sentence nor usable."""
    folder, rng = Path(folder), np.random.default_rng(int(seed))
    originals = [path.read_bytes() for path in solutions(folder)]
    path, n_read = folder / "damaged.npz", 0
    for k in range(int(n)):
        make = (damaged, replaced)[k % 2]
        path.write_bytes(make(originals[rng.integers(len(originals))], rng))
        try:
            with bounded_memory():
                use(path)
            n_read += 1
        except ValueError as error:
            if "\n" in str(error):
                print(f"{k}: more than one line: {error}")
        except Exception as error:
            path.rename(folder / f"found_{seed}_{k}.npz")
            print(f"{k}: {type(error).__name__}: {error}")
    print(f"read {n_read} of {n}")


@pytest.mark.parametrize("seed", range(2))
def test_damaged_solution_files_are_refused_or_can_be_used(tmp_path, seed):
    n = str(2 * settings().max_examples)
    done = subprocess.run([sys.executable, __file__, str(tmp_path), str(seed), n], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"the process ended with {done.returncode}: {done.stderr[-2000:]}"
    *found, read = done.stdout.splitlines()
    assert not found and 0 < int(read.split()[1]) < int(n), found


if __name__ == "__main__":
    main(*sys.argv[1:])
