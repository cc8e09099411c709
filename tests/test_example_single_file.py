"""The algorithm in one file reaches the exact solution, and would not if one of its equations were wrong."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "empo_single_file.py"
ERRORS = ("total variation of pi_h", "root mean square error of V_h^e", "total variation of pi_r")
BROKEN = {
    "1": (".min(axis=1)", ".max(axis=1)"),
    "2": ("softmax(beta_h * q_h_m)", "softmax(-beta_h * q_h_m)"),
    "3": ("(human_policy(world, q_h_m) * q_h_m).sum(", "q_h_m.mean("),
    "4": ("theory.gamma_r * np.einsum", "0.8 * np.einsum"),
    "5": ("softmax(-beta_r * np.log(-q_r))", "softmax(beta_r * np.log(-q_r))"),
    "6": ('"irhg,ir,igh->ig", world.attained(v_h_e), pi_r,', '"irhg,ir,igh->ig", world.attained(v_h_e), 0.2 + 0.0 * pi_r,'),
    "7": ("v_h_e**theory.zeta", "v_h_e"),
    "8": ("** theory.eta)", ")"),
    "9": ("u_r + (pi_r", "u_r - (pi_r"),
}


def learn(path: Path = EXAMPLE, **numbers) -> dict[str, float]:
    example = runpy.run_path(str(path))
    return example["main"](example["Args"](**numbers))


def test_a_short_run_reaches_the_exact_solution():
    gap = learn(total_steps=2500)
    assert all(gap[name] < 0.001 for name in ERRORS)
    assert gap["the same for a random robot"] > 0.1


@pytest.mark.parametrize("approximator", ["table", "network"])
def test_the_file_runs_as_a_program(approximator, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--approximator", approximator, "--total-steps", "40"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert "distance to the exact solution" in capsys.readouterr().out


def test_a_world_of_several_humans_is_refused():
    with pytest.raises(ValueError, match="one robot, one human, max_steps"):
        learn(world="two_humans", total_steps=40)


def test_nothing_but_numpy_and_torch_is_needed_beside_the_worlds():
    imported = [
        line.split()[1] for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.startswith(("import ", "from "))
    ]
    assert set(imported) == {"argparse", "dataclasses", "numpy", "torch", "empo_gym"}


@pytest.mark.slow
@pytest.mark.parametrize("equation", BROKEN)
def test_a_wrong_equation_leads_elsewhere(equation, tmp_path):
    right, wrong = BROKEN[equation]
    code = EXAMPLE.read_text(encoding="utf-8")
    assert code.count(right) == 1
    path = tmp_path / "broken.py"
    path.write_text(code.replace(right, wrong), encoding="utf-8")
    try:
        gap = learn(path, total_steps=2500)
    except (ValueError, FloatingPointError):
        return
    assert not all(gap[name] < 0.001 for name in ERRORS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_full_run_reaches_the_exact_solution_up_to_rounding(seed):
    gap = learn(seed=seed)
    assert all(gap[name] < 1e-9 for name in ERRORS)


@pytest.mark.slow
def test_a_full_run_with_networks_comes_near_the_exact_solution():
    gap = learn(approximator="network")
    assert gap["total variation of pi_h"] < 0.03
    assert gap["root mean square error of V_h^e"] < 0.04
    assert gap["total variation of pi_r"] < 0.06
