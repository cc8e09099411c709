"""The ``empo`` command as a user types it: what it prints, what it writes, its exit status and its one-sentence errors."""

import re
import shutil
import subprocess
import sys
import warnings

import pytest

from empo_cli import main as cli

SMALL = "rock_corridor"
JUDGED = ("V_r at the start, relative", "V_h^e, root mean square", "pi_r, mean total variation")


def run(capsys, *words):
    """Run a command in this process: exit status, output, errors."""
    try:
        status = cli.main(words)
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("command", [command.name for command in cli.COMMANDS])
def test_every_command_explains_itself_with_an_example(capsys, command):
    status, out, _ = run(capsys, command, "--help")
    assert status == cli.DONE
    assert f"empo {command}" in out.split("examples:")[1]


def test_every_target_can_be_loaded():
    assert all(callable(cli.load_target(command.target)) for command in cli.COMMANDS)


def test_asking_for_help_loads_neither_torch_nor_compiled_code():
    code = "import sys; from empo_cli.main import build_parser; build_parser(); print({'torch', 'numba'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "COMMAND"),
        (["sovle", SMALL], "sovle"),
        (["solve"], "WORLD"),
        (["solve", SMALL, "--gamma-h", "much"], "--gamma-h"),
        (["train", SMALL, "--algo", "magic"], "--algo"),
        (["train", SMALL, "-n", "0"], "not an integer >= 1"),
        (["solve", SMALL, "--gamma-r", "1.5"], "gamma_r"),
    ],
)
def test_bad_usage_is_exit_status_2_and_names_what_is_wrong(capsys, words, named):
    status, _, err = run(capsys, *words)
    assert status == cli.BAD_USAGE and named in err


def test_a_warning_about_a_world_is_one_sentence_without_the_line_of_code_that_gave_it(capsys, tmp_path):
    file = tmp_path / "red.yaml"
    file.write_text("map: |\n  We We We We\n  We Ar Ay We\n  We We We We\nmax_steps: 2\n")
    usual = warnings.showwarning
    said = "warning: Agent 0 (red) is a robot, as every agent that is not yellow; name others in 'humans' or 'robots'.\n"
    status, _, err = run(capsys, "show", str(file))
    assert (status, err) == (cli.DONE, f"empo show: {said}") and warnings.showwarning is usual
    twin = tmp_path / "twin.yaml"
    twin.write_text(file.read_text())
    assert run(capsys, "check", str(file), str(twin))[2] == f"empo check: {file}: {said}empo check: {twin}: {said}"


@pytest.mark.parametrize("words", [["solve", "no_such_world"], ["show", "no_such_world"], ["check", "no_such_world.yaml"]])
def test_a_world_that_is_not_there_is_one_sentence_and_exit_status_1(capsys, words):
    status, _, err = run(capsys, *words)
    assert status == cli.FAILED
    assert "no_such_world" in err and err.count("\n") == 1


def test_a_cut_off_world_file_is_one_sentence(capsys, tmp_path):
    path = tmp_path / "half.yaml"
    path.write_text("map: |\n  We We\nmetadata: {name: ", encoding="utf-8")
    status, _, err = run(capsys, "check", str(path))
    assert status == cli.FAILED and "half.yaml" in err and err.count("\n") == 1


def test_worlds_lists_every_world_with_its_environment_id_and_how_large_it_is(capsys):
    from empo_gym import list_worlds
    from empo_gym.registration import env_id

    status, out, _ = run(capsys, "worlds")
    assert status == cli.DONE
    rows = {line.split()[1]: re.split(r"  +", line) for line in out.splitlines()[2:]}
    assert {name: row[2] for name, row in rows.items()} == {name: env_id(name) for name in list_worlds()}
    assert rows["chain"][:9] == ["basics", "chain", "EMPO-Chain-v0", "9 x 3", "1", "1", "6", "336", "8"]
    assert rows["warehouse"][7].startswith("> ")


def test_worlds_with_very_many_joint_actions_are_not_counted():
    from empo_cli.report import states_counted
    from empo_gym import load_world

    crowd = {
        "map": "We " * 14 + "We\nWe Ae" + " Ay" * 12 + " We\n" + "We " * 15,
        "possible_goals": ["1,1"],
        "actions": "compass",
    }
    assert states_counted(load_world(crowd)) == "not counted"
    assert states_counted(load_world("default"), at_most=100) == "> 100"


def test_a_reader_that_stops_early_is_no_error():
    shown = subprocess.run(
        f"{sys.executable} -m empo_cli.main worlds | head -1; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert shown.returncode == cli.DONE and not shown.stderr


def test_show_prints_the_map_and_writes_the_picture(capsys, tmp_path):
    from PIL import Image

    status, out, _ = run(capsys, "show", SMALL, "-o", str(tmp_path / "world.png"))
    assert status == cli.DONE and "human" in out and "goals" in out
    assert min(Image.open(tmp_path / "world.png").size) > 32


def test_show_refuses_other_kinds_of_pictures(capsys, tmp_path):
    status, _, err = run(capsys, "show", SMALL, "-o", str(tmp_path / "world.jpg"))
    assert status == cli.FAILED and ".png" in err and not list(tmp_path.iterdir())


def test_a_world_without_horizon_is_solved_and_drawn_too(capsys, tmp_path):
    path = tmp_path / "endless.yaml"
    path.write_text("map: |\n  We We We We We\n  We Ay Ae .. We\n  We We We We We\n", encoding="utf-8")
    status, out, _ = run(capsys, "solve", str(path), "-o", str(tmp_path / "solution"))
    assert status == cli.DONE
    assert "no horizon" in out and re.search(r"Fixed point: residual \d\.\de-\d+ after \d+ sweeps, from a far horizon", out)
    assert "3 beginnings led to 1 solution." in out
    assert (tmp_path / "solution" / "value_curve.png").stat().st_size > 0
    drawn = (tmp_path / "solution" / "sensitivity.png").exists()
    assert drawn != ("sensitivity.png is not drawn" in out)


def test_less_can_be_kept_and_what_cannot_be_drawn_of_it_is_said(capsys, tmp_path):
    from empo_gym import EmpoSolution

    words = ["--keep", "policy", "--dtype", "float32", "--threads", "2", "-o", str(tmp_path)]
    status, out, _ = run(capsys, "solve", SMALL, *words)
    assert status == cli.DONE and "power_map.png and value_curve.png are not drawn" in out
    assert (tmp_path / "policy_arrows.png").exists() and not (tmp_path / "power_map.png").exists()
    read = EmpoSolution.load(tmp_path / "solution.npz")
    assert len(read.v_r) == 1 < len(read.pi_r) and read.v_h_e[0].dtype == "float32"


def test_long_solves_tell_where_they_stand_and_short_ones_do_not(capsys, monkeypatch):
    from empo_cli import sweep as cli_planner

    now = iter([0.0, 1.0, 3.0, 4.0, 20.0])
    monkeypatch.setattr(cli_planner.time, "perf_counter", lambda: next(now))
    with cli_planner.progress_shown("robot") as report:
        report(1, 1e-1)
        report(7, 1e-3)
        report(8, 1e-4)
        report(5, 0.0)
    assert capsys.readouterr().err == "robot: sweep 7, residual 1.0e-03\nrobot: t = 5\n"


def test_other_fixed_points_are_told():
    from tables import random_world

    from empo_cli.sweep import fixed_point_lines
    from empo_gym import TabularModel, Theory, solve_humans, solve_robot

    model = TabularModel.pack(random_world(57, (2,), (2, 2), n_states=5), horizon=None)
    theory = Theory(gamma_h=0.9, gamma_r=0.9, beta_r=200.0, zeta=3.0, xi=2.0, eta=2.0)
    solution = solve_robot(model, solve_humans(model, theory), theory)
    first, second = fixed_point_lines(solution).splitlines()
    other = solution.convergence.others[0]
    assert "led to 2 solutions" in first and f"V_r = {other.value:.4g}" in second and other.start in second


def test_the_actions_of_the_most_likely_trajectory_have_a_column_however_many_there_are():
    from empo_cli.report import first_decisions, most_likely_trajectory
    from empo_gym import RobotEnv, solve_robot

    env = RobotEnv("in_series")
    exact = solve_robot(env.model, env.prior, env.theory)
    header = first_decisions(exact).splitlines()[0]
    robots = [agent.actions for agent in env.world.agents if agent.role == "robot"]
    for _, actions in most_likely_trajectory(exact, 6):
        assert "+".join(names[a] for names, a in zip(robots, actions, strict=False)) in header


def test_solve_prints_decisions_and_power_and_writes_what_can_be_loaded(capsys, tmp_path):
    from empo_gym import EmpoSolution, load_world

    status, out, _ = run(capsys, "solve", SMALL, "--beta-r", "5", "-o", str(tmp_path))
    assert status == cli.DONE
    solution = EmpoSolution.load(tmp_path / "solution.npz")
    assert solution.theory.beta_r == 5.0
    assert all(action in out for action in load_world(SMALL).agents[0].actions)
    assert f"{solution.x_h[0, 0, 0]:.4g}" in out and f"{solution.v_r[0, 0]:.4g}" in out
    for picture in ("world.png", "power_map.png", "policy_arrows.png"):
        assert (tmp_path / picture).stat().st_size > 1000


def test_check_accepts_a_shipped_world(capsys):
    status, out, _ = run(capsys, "check", SMALL)
    assert status == cli.DONE and SMALL in out


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert (
        cli.main(["train", SMALL, "-n", "300", "--seed", "3", "--beta-r", "5", "--no-progress", "-o", str(folder)]) == cli.DONE
    )
    return folder


def test_train_writes_the_model_and_how_it_came_about(trained):
    import yaml

    arguments = yaml.safe_load((trained / "args.yml").read_text(encoding="utf-8"))
    config = yaml.safe_load((trained / "config.yml").read_text(encoding="utf-8"))
    assert arguments["world"] == SMALL and arguments["seed"] == 3 and arguments["steps"] == 300
    assert config["theory"]["beta_r"] == 5.0 and "training" in config
    assert (trained / "model.zip").is_file()


def test_compare_prints_one_table_with_exact_learned_and_uniform(capsys, trained):
    status, out, _ = run(capsys, "compare", str(trained), SMALL)
    assert status == cli.DONE
    assert all(word in out for word in ("quantity", "exact", "learned", "uniform"))
    assert all(
        any(line.startswith(symbol) for line in out.splitlines()) for symbol in ("V_h^e", "X_h", "U_r", "V_r", "Q_r", "pi_r")
    )


@pytest.mark.parametrize("algo", ["empo_table", "human_dqn", "ppo", "ppo_gru", "ppo_lstm"])
def test_train_takes_every_registered_algorithm_and_says_what_can_be_done_with_its_run(algo, capsys, tmp_path):
    import yaml

    from empo_cli.trained_robots import trained_robots
    from empo_gym.envs.robot_env import RobotEnv

    words = ["train", SMALL, "--algo", algo, "-n", "64", "--seed", "1", "--zeta", "3", "--no-progress", "-o", str(tmp_path)]
    status, out, err = run(capsys, *words)
    assert status == cli.DONE, err
    arguments, config = (yaml.safe_load((tmp_path / name).read_text()) for name in ("args.yml", "config.yml"))
    assert arguments["algo"] == algo and arguments["steps_done"] >= 64 and config["theory"]["zeta"] == 3.0
    status, out, err = run(capsys, "compare", str(tmp_path))
    if algo == "empo_table":
        assert status == cli.DONE and "pi_r" in out
        return
    assert status == cli.FAILED and err.count("\n") == 1 and f"is a run of {algo}" in err
    env = RobotEnv(world=SMALL)
    if algo == "human_dqn":
        with pytest.raises(ValueError, match="nobody to watch"):
            trained_robots(tmp_path, env, None)
        return
    act, solution = trained_robots(tmp_path, env, None)
    observation, _ = env.reset(seed=0)
    over = False
    while not over:
        action = act(env, observation)
        assert env.action_space.contains(action) and isinstance(action, int)
        observation, _, *ended, _ = env.step(action)
        over = any(ended)
    assert solution is None


def test_train_says_that_there_is_no_such_policy(capsys, tmp_path):
    for algo, policy in (("ppo_gru", "MlpGruPolcy"), ("ppo", "Nothing"), ("empo", "Nothing"), ("empo_table", "Nothing")):
        status, _, err = run(capsys, "train", SMALL, "--algo", algo, "--policy", policy, "-o", str(tmp_path))
        assert status == cli.FAILED and policy in err and err.count("\n") == 1, err


def test_compare_knows_the_runs_own_world_and_theory(capsys, trained):
    with_world, without = run(capsys, "compare", str(trained), SMALL), run(capsys, "compare", str(trained))
    assert without[:2] == with_world[:2]


def test_compare_refuses_another_world(capsys, trained):
    status, _, err = run(capsys, "compare", str(trained), "default")
    assert status == cli.FAILED and SMALL in err


def test_compare_says_that_a_model_is_cut_off(capsys, trained, tmp_path):
    whole = (trained / "model.zip").read_bytes()
    (tmp_path / "model.zip").write_bytes(whole[: len(whole) // 2])
    for name in ("args.yml", "config.yml"):
        shutil.copy(trained / name, tmp_path)
    status, _, err = run(capsys, "compare", str(tmp_path), SMALL)
    assert status == cli.FAILED and "model.zip" in err and err.count("\n") == 1


def test_compare_says_that_a_run_is_missing(capsys, tmp_path):
    status, _, err = run(capsys, "compare", str(tmp_path / "nothing"), SMALL)
    assert status == cli.FAILED and "nothing" in err and err.count("\n") == 1


def test_compare_says_that_a_configuration_is_cut_off(capsys, trained, tmp_path):
    shutil.copy(trained / "args.yml", tmp_path)
    (tmp_path / "config.yml").write_text("theo", encoding="utf-8")
    status, _, err = run(capsys, "compare", str(tmp_path), SMALL)
    assert status == cli.FAILED and "config.yml" in err and err.count("\n") == 1


def test_a_training_stopped_by_ctrl_c_keeps_what_it_has(capsys, tmp_path, monkeypatch):
    import yaml

    from empo_sb3 import EMPO

    learn = EMPO.learn

    def learn_until_ctrl_c(self, total_timesteps, **keywords):
        learn(self, 100, **keywords)
        raise KeyboardInterrupt

    monkeypatch.setattr(EMPO, "learn", learn_until_ctrl_c)
    status, _, err = run(capsys, "train", SMALL, "-n", "5000", "--no-progress", "-o", str(tmp_path))
    assert status == cli.INTERRUPTED and "stopped" in err
    assert yaml.safe_load((tmp_path / "args.yml").read_text(encoding="utf-8"))["steps_done"] == 100
    assert run(capsys, "compare", str(tmp_path))[0] == cli.DONE


@pytest.mark.slow
def test_demo_learns_what_was_solved_and_draws_it(capsys, tmp_path):
    status, out, _ = run(capsys, "demo", "--no-progress", "-o", str(tmp_path))
    assert status == cli.DONE
    learned, uniform = zip(
        *(map(float, line.split()[-2:]) for line in out.splitlines() if line.startswith(JUDGED)), strict=True
    )
    assert len(learned) == 3 and all(a <= b / 10 for a, b in zip(learned, uniform, strict=True))
    assert {path.name for path in tmp_path.iterdir()} >= {"world.png", "power_map.png", "policy_arrows.png", "episode.gif"}


def test_check_says_how_many_of_very_many_joint_actions_it_looked_at(capsys):
    assert cli.main(["check", "warren"]) == cli.DONE
    assert "200 of the 762,939,453,125 joint actions of a state were drawn" in capsys.readouterr().out
