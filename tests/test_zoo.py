"""rl-zoo3 with our algorithms: our wrapper, and the plain command from a checkout."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import rl_zoo3
import yaml

from empo_sb3 import zoo
from empo_sb3.zoo import search as zoo_search
from empo_sb3.zoo.file_check import check_file

ROOT = Path(__file__).resolve().parent.parent
ENV = "EMPO-RockCorridor-v0"
MEMORY = "EMPO-MemorySwitch-v0"


def test_training_takes_our_hyper_parameters_unless_told_otherwise():
    ours = zoo.with_defaults("train", ["--algo", "empo", "--env", ENV])
    assert Path(ours[ours.index("--conf-file") + 1]).is_file()
    for given in (
        ["--algo", "empo", "-conf", "mine.yml"],
        ["--algo", "empo", "--conf-file=mine.yml"],
        ["--algo=empo", "--conf", "a.yml"],
    ):
        assert zoo.with_defaults("train", given) == given


def test_foreign_algorithms_keep_the_zoos_hyper_parameters():
    assert zoo.with_defaults("train", ["--algo=ppo"]) == ["--algo=ppo"]


def test_enjoying_looks_where_training_wrote_unless_told_otherwise():
    assert zoo.with_defaults("enjoy", []) == ["-f", zoo.LOGS]
    assert zoo.with_defaults("enjoy", ["-f", "elsewhere"]) == ["-f", "elsewhere"]


def test_an_unknown_script_is_bad_usage_and_lists_the_known_ones(capsys):
    assert zoo.main(["trian"]) == 2
    error = capsys.readouterr().err
    assert "trian" in error and all(script in error for script in zoo.SCRIPTS)


def test_every_script_exists():
    from importlib.util import find_spec

    assert all(find_spec(module) for module in zoo.SCRIPTS.values())


def test_registering_makes_our_algorithms_known():
    zoo.register()
    assert all(rl_zoo3.ALGOS[name] is algorithm for name, algorithm in zoo.algorithms().items())


def test_the_zoos_algorithms_take_our_hyper_parameters_in_our_environments_only():
    ours = zoo.with_defaults("train", ["--algo", "dqn", "--env", ENV])
    assert ours[-1].endswith("dqn.yml")
    assert zoo.with_defaults("train", ["--algo", "dqn", "--env", "CartPole-v1"]) == ["--algo", "dqn", "--env", "CartPole-v1"]


FILES = sorted((ROOT / "zoo_configs").glob("*.yml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_hyper_parameter_file_has_known_keys_a_default_and_eight_worlds(path):
    zoo.register()
    check_file(path, rl_zoo3.ALGOS[path.stem], zoo.environments())
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert "default" in entries and sum(name.startswith("EMPO-") for name in entries) >= 8
    for entry in entries.values():
        assert isinstance(entry["n_timesteps"], int) and isinstance(entry["policy"], str)


def test_there_is_a_hyper_parameter_file_for_every_algorithm_of_ours_and_two_others():
    assert {path.stem for path in FILES} == set(zoo.algorithms()) | {"ppo", "dqn"}


WRONG = {
    "default: {n_timestep: 5, policy: MlpPolicy}": "default: unknown key 'n_timestep'; did you mean 'n_timesteps'?",
    "default: {beta_rr: 5.0}": "default: unknown key 'beta_rr'; did you mean 'beta_r'?",
    "default: {lr_q_r: 1e-3}": "YAML reads lr_q_r: 1e-3 as text; write 0.001",
    "default: {policy_kwargs: {lr: [1, 1e-3]}}": "YAML reads policy_kwargs: lr: 1e-3 as text; write 0.001",
    "default: {callback: [{a.B: {base: 1e-3}}]}": "YAML reads callback: a.B: base: 1e-3 as text; write 0.001",
    "default: {callback: [{empo_sb3.callbacks.LearningRateSchedule: {schedul: linear}}]}": "did you mean 'schedule'?",
    "default: {callback: {empo_sb3.callbacks.KLMonitor: {treshold: 0.1}}}": "no keyword 'treshold'; did you mean 'threshold'?",
    "default: {callback: {empo_sb3.callbacks.KLMonitor: {threshold: -1}}}": "threshold must be a number in (0, inf), not -1",
    "default: {callback: empo_sb3.callbacks.KLMonitr}": "has no 'KLMonitr'; did you mean 'KLMonitor'?",
    "default: {env_wrapper: [gymnasium.wrapers.ClipReward]}": "There is no 'gymnasium.wrapers.ClipReward'",
    "default: {env_wrapper: {gymnasium.wrappers.ClipReward: {min_rewrd: 0}}}": "did you mean 'min_reward'?",
    "default: {callback: [{a.B: {}, b: 1}]}": "look at the indents",
    "EMPO-Gird-v0: {n_timesteps: 5}": "there is no environment 'EMPO-Gird-v0'; did you mean 'EMPO-Grid-v0'?",
    "EMPO-Grid-v0: 5": "EMPO-Grid-v0: an entry maps names to values, not 5",
    "- 5": "maps environment ids to hyper-parameters",
    "a: [": "is the file cut off?",
    "default: {n_envs: 1, n_envs: 2}": "the key 'n_envs' occurs twice",
    "default: {n_timesteps: abc}": "n_timesteps must be a number, not 'abc'",
    "default: {n_envs: 1.5}": "n_envs must be an integer, not 1.5",
    "default: {n_envs: 0}": "n_envs must be an integer >= 1, not 0",
    "default: {n_timesteps: 0}": "n_timesteps must be a number in [1, inf), not 0",
    "default: {n_timesteps: -5}": "n_timesteps must be a number in [1, inf), not -5",
    "EMPO-Grid-v0: {env_kwargs: {world: defualt}}": "There is no world 'defualt'; did you mean 'default'",
    "EMPO-Grid-v0: {env_kwargs: {observation: zzz}}": "observation must be",
    "default: {batch_size: many}": "batch_size must be an integer, not 'many'",
    "default: {policy: 5}": "policy must be text, not 5",
    "default: {policy: MplPolicy}": "no policy 'MplPolicy' of EMPO; did you mean 'MlpPolicy'?",
    "default: {gamma_h: 7}": "gamma_h",
    "default: {gamma_h: high}": "gamma_h must be a number, not 'high'",
    "default: {lr_q_r: -1}": "lr_q_r",
    "default: {learning_rate: warm}": "a number, or text such as lin_1.0e-3 with a positive one, not 'warm'",
    "default: {learning_rate: lin_-1}": "with a positive one, not 'lin_-1'",
    "default: {learning_rate: lin_nan}": "with a positive one, not 'lin_nan'",
    "EMPO-Grid-v0: {env_kwargs: {world: 5}}": "env_kwargs: ",
    "default: {policy: MlpPolicy, policy_kwargs: {net_arhc: [8]}}": "MlpPolicy has no 'net_arhc'; did you mean 'net_arch'?",
    "default: {policy: MlpPolicy, policy_kwargs: {share_encoder: 3}}": "share_encoder must be true or false, not 3",
    'default: {policy: MlpPolicy, policy_kwargs: "dict(net_arhc=[8])"}': "did you mean 'net_arch'?",
    "EMPO-Grid-v0: {env_kwargs: {wrold: x}}": "EMPO-Grid-v0 has no keyword 'wrold'; did you mean 'world'?",
    "default: {callback: [{empo_sb3.callbacks.Checkpoints: 5}]}": "takes keywords by name",
    "default: {callback: [{empo_sb3.callbacks.KLMonitor: {5: 1}}]}": "takes keywords by name",
    "default: {callback: [[empo_sb3.callbacks.KLMonitor]]}": "a class is named by its path",
    "default: {callback: torch.nn.ReLU}": "'torch.nn.ReLU' is not a callback",
    "default: {env_wrapper: empo_sb3.callbacks.KLMonitor}": "is not a wrapper",
    "default: {callback: mymodule.Mine}": "--allow-imports=mymodule",
    "default: {batch_size: '5'}": "YAML reads batch_size: 5 as text; write 5",
    "default: {lr_q_r: 1.5e3}": "YAML reads lr_q_r: 1.5e3 as text; write 1500",
    "default: " + "[" * 3000 + "]" * 3000: "nested more than",
    "default: &a {n_envs: *a}": "contains itself",
    "a: &a [1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]": "more than",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:60])
def test_what_is_wrong_with_a_hyper_parameter_file_is_said(tmp_path, capsys, text):
    (tmp_path / "mine.yml").write_text(text)
    assert zoo.main(["train", "--algo", "empo", "--env", "EMPO-Grid-v0", "--conf-file", str(tmp_path / "mine.yml")]) == 1
    error = capsys.readouterr().err
    assert WRONG[text] in error and "mine.yml" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("algorithm", "key", "value", "right"),
    [
        ("ppo", "batch_size", 0, 64),
        ("ppo", "gamma", 1.5, 0.9),
        ("ppo", "learning_rate", -1.0, "lin_0.1"),
        ("dqn", "buffer_size", -3, 100),
        ("dqn", "gradient_steps", -2, -1),
        ("dqn", "exploration_fraction", 2, 0.5),
        ("dqn", "device", "nope", "cpu"),
        ("sac", "tau", 2, 0.005),
        ("sac", "ent_coef", -1, "auto_0.1"),
        ("sac", "train_freq", [-1, "foo"], [1, "episode"]),
        ("sac", "noise_type", "foo", "ornstein-uhlenbeck"),
    ],
)
def test_numbers_of_foreign_algorithms_have_ranges(tmp_path, algorithm, key, value, right):
    file = tmp_path / "mine.yml"
    file.write_text(yaml.safe_dump({"default": {key: value}}))
    with pytest.raises(ValueError, match=f"^{file}, default: {key} must be .*, not {re.escape(repr(value))}"):
        check_file(file, rl_zoo3.ALGOS[algorithm], {"CartPole-v1"})
    file.write_text(yaml.safe_dump({"default": {key: right}}))
    check_file(file, rl_zoo3.ALGOS[algorithm], {"CartPole-v1"})


def test_nobody_can_watch_humans_who_were_learned(capsys):
    assert zoo.main(["enjoy", "--algo", "human_dqn", "--env", ENV]) == 1
    assert zoo.main(["train", "--algo", "human_dqn", "--env", ENV, "-optimize"]) == 1
    assert "learns what humans do" in capsys.readouterr().err


def test_plotting_writes_a_picture_of_what_training_logged(tmp_path, monkeypatch):
    from matplotlib import image, pyplot

    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(pyplot, "show", pyplot.show)
    folder = tmp_path / "ppo_gru" / f"{ENV}_1"
    folder.mkdir(parents=True)
    rows = [f"{i % 7},24,{i}.0" for i in range(40)]
    (folder / "0.monitor.csv").write_text("\n".join(['#{"t_start": 0.0, "env_id": "None"}', "r,l,t", *rows]) + "\n")
    words = ["plot", "-a", "ppo_gru", "-e", ENV, "-f", str(tmp_path), "-w", "5"]
    assert zoo.main([*words, "-o", str(tmp_path / "curves" / "reward.png")]) == 0
    picture = image.imread(tmp_path / "curves" / "reward.png")
    assert picture.shape[2] == 4 and picture[..., :3].std() > 0.01
    assert zoo.main([*words, "-o"]) == 1
    pyplot.close("all")


# ---------------------------------------------------------------------------------------------------- in this process: fast
@pytest.fixture
def inside(tmp_path, monkeypatch):
    """Run our command here, with its logs in a folder; the folder."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))

    def run(*words: str) -> Path:
        assert zoo.main([*words, "-f", str(tmp_path)]) == 0
        return tmp_path

    return run


@pytest.mark.parametrize("algo", [pytest.param("empo", marks=pytest.mark.slow), "empo_table", "human_dqn", "ppo_lstm", "dqn"])
def test_every_file_trains(inside, algo):
    folder = inside("train", "--algo", algo, "--env", "EMPO-Chain-v0", "-n", "64", "--eval-freq", "-1", "--seed", "1")
    assert (folder / algo / "EMPO-Chain-v0_1" / "EMPO-Chain-v0.zip").is_file()


def test_the_schedule_of_the_file_is_the_rate_of_the_run(inside, tmp_path):
    """Rates are read off the log at the knots of warm-up, ramp and decay."""
    rollout, base = 8 * 8, 1.0e-3
    words = ["--algo", "ppo_gru", "--env", "EMPO-Chain-v0", "-n", str(41 * rollout), "--eval-freq", "-1", "--seed", "1"]
    change = ("n_steps:8", "n_epochs:1", "policy_kwargs:dict(rnn_hidden_size=4)")
    inside("train", *words, "-params", *change, "--log-interval", "1", "-tb", str(tmp_path / "tb"))
    rates = logged(tmp_path / "tb", "train/learning_rate")
    # What is logged after a rollout is the update before it; the whole run has 41 rollouts.
    found = {step // rollout - 1: rate for step, rate in rates.items()}
    assert sorted(found) == list(range(1, 41))
    for update, rate in found.items():
        share = update / 41
        warm, ramp, decay = 0.01 + 0.09 * share / 0.025, 0.1 + 0.9 * (share - 0.025) / 0.225, 1.0 - 0.9 * (share - 0.25) / 0.75
        wanted = warm if share < 0.025 else ramp if share < 0.25 else decay
        assert rate == pytest.approx(base * wanted, rel=1e-5), update


def logged(folder: Path, name: str) -> dict[int, float]:
    """Values of one curve of a TensorBoard log, by step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = folder.rglob("events*")
    events = EventAccumulator(str(file)).Reload()
    return {event.step: event.value for event in events.Scalars(name)}


@pytest.mark.parametrize("algo", [pytest.param("empo_table", marks=pytest.mark.slow), "ppo_gru"])
def test_two_trials_of_a_search_are_written_down(inside, algo):
    search = ("-optimize", "--n-trials", "2", "--n-evaluations", "1", "--eval-episodes", "1", "--no-optim-plots")
    folder = inside("train", "--algo", algo, "--env", "EMPO-Chain-v0", "-n", "600", *search, "--seed", "1")
    (report,) = (folder / algo).glob("report_*.csv")
    assert len(report.read_text().splitlines()) == 3


@pytest.mark.parametrize("algo", zoo_search.SAMPLERS)
def test_a_sampled_trial_makes_a_model_and_can_be_read_back(algo):
    import optuna

    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3)).ask()
    sampled = zoo_search.SAMPLERS[algo](trial, 5, 1, {})
    assert zoo_search.CONVERTERS[algo](trial.params) == sampled
    policy = {"ppo_gru": "MlpGruPolicy", "ppo_lstm": "MlpLstmPolicy", "empo_table": "TablePolicy"}.get(algo, "MlpPolicy")
    assert zoo.algorithms()[algo](policy, "EMPO-Chain-v0", **sampled).batch_size == sampled["batch_size"]


# --------------------------------------------------------------------------------------------- as commands, from a checkout
def zoo_run(folder: Path, *words: str) -> str:
    """Run a module as a user does, from the checkout, writing to a folder: its output."""
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy"}
    done = subprocess.run(
        [sys.executable, "-m", *words, "-f", str(folder)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


TRAIN = ("--algo", "empo", "--env", ENV, "-n", "500", "--eval-freq", "-1", "--seed", "1")
ENJOY = ("--algo", "empo", "--env", ENV, "-n", "60", "--no-render")


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    zoo_run(folder, "empo_sb3.zoo", "train", *TRAIN)
    return folder


def test_training_saves_the_agent_beside_its_configuration(logs):
    run = logs / "empo" / f"{ENV}_1"
    assert (run / f"{ENV}.zip").is_file()
    assert (run / ENV / "config.yml").is_file() and (run / ENV / "args.yml").is_file()


def test_what_was_trained_can_be_enjoyed(logs):
    assert "Mean episode length" in zoo_run(logs, "empo_sb3.zoo", "enjoy", *ENJOY)


@pytest.mark.slow
def test_a_trained_agent_can_be_watched(logs):
    zoo_run(logs, "empo_sb3.zoo", "enjoy", *ENJOY[:-1])


SEARCH = ("-optimize", "--n-trials", "2", "--n-evaluations", "1", "--eval-episodes", "1", "--no-optim-plots")


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["empo", "ppo_gru"])
@pytest.mark.parametrize("route", [("rl_zoo3.train",), ("empo_sb3.zoo", "train")], ids=["plain", "ours"])
def test_a_search_works_by_both_routes(tmp_path, algo, route):
    zoo_run(tmp_path, *route, "--algo", algo, "--env", ENV, "-n", "600", *SEARCH, "--conf-file", f"zoo_configs/{algo}.yml")
    assert len(next((tmp_path / algo).glob("report_*.csv")).read_text().splitlines()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("algo, env", [("empo", "EMPO-KeyChoice-v0"), ("ppo_gru", "EMPO-Empty-v0")])
def test_a_search_in_two_threads_finishes(tmp_path, algo, env):
    words = (
        "train",
        "--algo",
        algo,
        "--env",
        env,
        "-n",
        "600",
        *SEARCH,
        "--n-jobs",
        "2",
        "--conf-file",
        f"zoo_configs/{algo}.yml",
    )
    zoo_run(tmp_path, "empo_sb3.zoo", *words)
    assert len(next((tmp_path / algo).glob("report_*.csv")).read_text().splitlines()) >= 3


@pytest.mark.slow
def test_the_plain_command_refuses_a_misspelt_key(tmp_path):
    (tmp_path / "mine.yml").write_text("default: {n_timesteps: 500, policy: MlpPolicy, bta_r: 5.0}")
    words = ["rl_zoo3.train", *TRAIN, "--conf-file", str(tmp_path / "mine.yml")]
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and "unknown key 'bta_r'; did you mean 'beta_r'?" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo_gru", "ppo_lstm"])
def test_a_policy_with_memory_is_trained_watched_and_filmed(tmp_path, algo):
    pytest.importorskip("moviepy")
    zoo_run(tmp_path, "empo_sb3.zoo", "train", "--algo", algo, "--env", MEMORY, "-n", "2000", "--eval-freq", "-1")
    zoo_run(tmp_path, "empo_sb3.zoo", "enjoy", "--algo", algo, "--env", MEMORY, "-n", "60", "--no-render")
    zoo_run(
        tmp_path, "empo_sb3.zoo", "record_video", "--algo", algo, "--env", MEMORY, "-n", "40", "-o", str(tmp_path / "film")
    )
    assert list((tmp_path / "film").glob("*.mp4"))


@pytest.mark.slow
def test_the_plain_commands_of_the_zoo_work_from_a_checkout(tmp_path):
    zoo_run(tmp_path, "rl_zoo3.train", *TRAIN, "--conf-file", "zoo_configs/empo.yml")
    assert "Mean episode length" in zoo_run(tmp_path, "rl_zoo3.enjoy", *ENJOY)


@pytest.mark.slow
def test_the_command_of_the_readme_with_evaluation(tmp_path):
    zoo_run(tmp_path, "empo_sb3.zoo", "train", "--algo", "empo", "--env", ENV, "-n", "2000", "--eval-freq", "1000")
    assert (tmp_path / "empo" / f"{ENV}_1" / "best_model.zip").is_file()
