"""Nothing that a zoo file, a run folder or an argument says is run by rl-zoo3. Each payload would create a file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from empo_sb3 import zoo
from empo_sb3.zoo.door import RunLoader, ZooRefused, _manager, guarded, read_value

ROOT = Path(__file__).resolve().parent.parent
ENV = "EMPO-Chain-v0"
TOUCH = "__import__('pathlib').Path({0!r}).touch()"


@pytest.fixture
def hit(tmp_path, monkeypatch):
    """The file that a payload would create; two modules that create it when they are imported lie on the path."""
    file = tmp_path / "hit"
    for name in ("evil", "evil_wrappers"):
        (tmp_path / f"{name}.py").write_text(f"open({str(file)!r}, 'w')\nhyperparams = {{}}\nMine = 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    yield file
    for name in ("evil", "evil_wrappers"):
        sys.modules.pop(name, None)


def refused(capsys, *words):
    """Run our command, which must say one sentence; the sentence."""
    assert zoo.main(list(words)) == 1
    error = capsys.readouterr().err
    said = [line for line in error.splitlines() if line.startswith("python -m empo_sb3.zoo")]
    assert len(said) == 1 and "Traceback" not in error, error
    return said[0]


FILES = {
    "callback": "[{subprocess.Popen: {args: touch HIT, shell: true}}]",
    "callback of a module that an allowed one imports": "[{empo_sb3.zoo.os.system: {command: touch HIT}}]",
    "callback that is a function": "[{torch.hub.load: {repo_or_dir: HIT}}]",
    "callback of a module of one's own": "evil.Mine",
    "env_wrapper": "{subprocess.Popen: {args: touch HIT, shell: true}}",
    "env_wrapper of a module of one's own": "evil_wrappers.Mine",
    "vec_env_wrapper": "{subprocess.Popen: {args: touch HIT, shell: true}}",
    "policy": "evil.Mine",
    "policy_kwargs": '"TOUCH"',
    "policy_kwargs by a class": '"dict(optimizer_class=subprocess.Popen, optimizer_kwargs=dict(args=1))"',
    "policy_kwargs by a comprehension": '"[TOUCH for _ in (1,)]"',
    "normalize": '"dict(a=TOUCH)"',
    "replay_buffer_class": '"TOUCH"',
    "replay_buffer_kwargs": '"dict(a=TOUCH)"',
    "monitor_kwargs": '"TOUCH"',
}


@pytest.mark.parametrize("what", FILES)
def test_a_zoo_file_runs_nothing(what, hit, tmp_path, capsys):
    value = FILES[what].replace("HIT", str(hit)).replace("TOUCH", TOUCH.format(str(hit)))
    (tmp_path / "mine.yml").write_text(f"default: {{n_timesteps: 64, policy: MlpPolicy, {what.split()[0]}: {value}}}\n")
    if what == "policy":
        (tmp_path / "mine.yml").write_text(f"default: {{n_timesteps: 64, policy: {value}}}\n")
    said = refused(capsys, "train", "--algo", "dqn", "--env", ENV, "--conf-file", str(tmp_path / "mine.yml"))
    assert "mine.yml" in said and not hit.exists()


ARGUMENTS = [
    ("-params", "gamma:TOUCH"),
    ("--hyperparams", "gamma:0.9", "batch_size:TOUCH"),
    ("--hyperparam", "gamma:TOUCH"),
    ("-params", "policy_kwargs:dict(net_arch=TOUCH)"),
    ("-params", 'policy_kwargs:"TOUCH"'),
    ("-params", 'normalize:"TOUCH"'),
    ("-params", "callback:'evil.Mine'"),
    ("-params", "env_wrapper:'evil_wrappers.Mine'"),
    ("-params", "policy:'evil.Mine'"),
    ("--env-kwargs", "world:TOUCH"),
    ("--eval-env-kwargs", "world:TOUCH"),
    ("--conf-file", "evil"),
    ("--conf", "evil"),
    ("--conf-file", "FOLDER/evil.py"),
]


@pytest.mark.parametrize("words", ARGUMENTS, ids=" ".join)
def test_an_argument_runs_nothing(words, hit, tmp_path, capsys):
    words = [word.replace("TOUCH", TOUCH.format(str(hit))).replace("FOLDER", str(tmp_path)) for word in words]
    refused(capsys, "train", "--algo", "ppo", "--env", ENV, "-n", "64", "-f", str(tmp_path / "logs"), *words)
    assert not hit.exists()


CONFIGS = {
    "config.yml": "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.PosixPath [HIT]]",
    "args.yml": "!!python/object/apply:os.system ['touch HIT']",
    "config.yml, normalize": 'normalize: "TOUCH"',
    "config.yml, env_wrapper": "env_wrapper: {subprocess.Popen: {args: touch HIT, shell: true}}",
    "config.yml, a class": "policy_kwargs: {optimizer_class: !!python/name:evil.Mine ''}",
}


@pytest.mark.parametrize("script", ["enjoy", "record_video"])
@pytest.mark.parametrize("what", CONFIGS)
def test_a_run_folder_runs_nothing(what, script, hit, tmp_path, capsys):
    pytest.importorskip("moviepy") if script == "record_video" else None
    run = tmp_path / "logs" / "ppo" / f"{ENV}_1"
    (run / ENV).mkdir(parents=True)
    (run / f"{ENV}.zip").touch()
    text = CONFIGS[what].replace("HIT", str(hit)).replace("TOUCH", TOUCH.format(str(hit)))
    (run / ENV / "config.yml").write_text("gamma: 0.9\n")
    (run / ENV / what.partition(",")[0]).write_text(text)
    refused(capsys, script, "--algo", "ppo", "--env", ENV, "-f", str(tmp_path / "logs"))
    assert not hit.exists()


def test_what_rl_zoo3_writes_of_a_run_is_read_as_it_was():
    from collections import OrderedDict

    from torch import nn

    written = OrderedDict(gamma=0.9, train_freq=(1, "episode"), policy_kwargs={"activation_fn": nn.ReLU}, env_kwargs=None)
    assert yaml.load(yaml.dump(written), Loader=RunLoader) == written


def test_expressions_of_rl_zoo3s_own_files_are_read_as_it_evaluates_them():
    import rl_zoo3

    exp_manager = _manager()
    files = (Path(rl_zoo3.__file__).parent / "hyperparams").glob("*.yml")
    entries = [entry for file in files for entry in yaml.safe_load(file.read_text()).values()]
    keys = ("normalize", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs", "monitor_kwargs")
    texts = {entry[key] for entry in entries for key in keys if isinstance(entry.get(key), str)}
    assert len(texts) > 20
    for text in texts:
        assert read_value(text, "here") == eval(text, vars(exp_manager)), text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.01", 0.01),
        ("-1", -1),
        ("'episode'", "episode"),
        ("(1, 'episode')", (1, "episode")),
        ("dict(pi=[64], vf=[])", {"pi": [64], "vf": []}),
        ("{'a': {1: None}}", {"a": {1: None}}),
        ("[True, {1, 2}]", [True, {1, 2}]),
    ],
)
def test_literals_are_read(text, value):
    assert read_value(text, "here") == value


OTHER = [
    *("", "a b", "f(1)", "dict(**{})", "{**{}}", "1 + 1", "2 ** 99", "x", "os.system", "nn", "nn.functional.relu", "nn.init"),
    *("lambda: 0", "dict([(1, 2)])", "torch.nn.Module.__init__", "__builtins__", "(" * 500 + ")" * 500, "[" * 9000),
    *("1" * 30_000, "\0"),
]


@pytest.mark.parametrize("text", OTHER, ids=lambda text: text[:20])
def test_anything_else_is_one_sentence(text):
    with pytest.raises(ZooRefused, match=r"^here: ") as caught:
        read_value(text, "here")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_module_that_the_reader_names_may_be_used(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_callbacks.py").write_text(
        "from stable_baselines3.common.callbacks import BaseCallback\n"
        "class Mine(BaseCallback):\n    def _on_step(self):\n        return True\n"
    )
    (tmp_path / "my_settings.py").write_text("hyperparams = {'default': {'n_timesteps': 64, 'policy': 'MlpPolicy'}}\n")
    (tmp_path / "mine.yml").write_text("default: {n_timesteps: 64, policy: MlpPolicy, callback: my_callbacks.Mine}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    words = ["train", "--algo", "dqn", "--env", ENV, "--eval-freq", "-1", "-f", str(tmp_path / "logs")]
    assert "--allow-imports=my_callbacks" in refused(capsys, *words, "--conf-file", str(tmp_path / "mine.yml"))
    assert zoo.main([*words, "--conf-file", str(tmp_path / "mine.yml"), "--allow-imports", "a,my_callbacks"]) == 0
    for settings in (str(tmp_path / "my_settings.py"), "my_settings"):
        assert "is Python code" in refused(capsys, *words, "--conf-file", settings)
        assert zoo.main([*words, "--conf-file", settings, "--allow-imports=my_settings"]) == 0


def test_rl_zoo3_is_as_it_was_after_our_command(tmp_path, capsys):
    import rl_zoo3.utils

    before = dict(vars(rl_zoo3.utils)), yaml.UnsafeLoader, rl_zoo3.utils.StoreDict.__call__
    refused(capsys, "train", "--algo", "ppo", "--env", ENV, "-params", "gamma:f()", "-f", str(tmp_path))
    assert (dict(vars(rl_zoo3.utils)), yaml.UnsafeLoader, rl_zoo3.utils.StoreDict.__call__) == before


def test_scripts_that_a_script_starts_are_run_by_our_command(monkeypatch):
    calls = []
    monkeypatch.setattr(subprocess, "call", lambda words, **options: calls.append((words, options)) or 0)
    with guarded(("mine",)):
        subprocess.call(["python", "-m", "rl_zoo3.record_video", "--algo", "ppo"])
        subprocess.call(["python", "enjoy.py", "--algo", "ppo"])
        subprocess.call(["ls"])
    assert [words for words, _ in calls] == [
        [sys.executable, "-m", "empo_sb3.zoo", "record_video", "--algo", "ppo"],
        [sys.executable, "-m", "empo_sb3.zoo", "enjoy", "--algo", "ppo"],
        ["ls"],
    ]
    assert calls[0][1]["env"]["EMPO_ALLOW_IMPORTS"] == "mine"


def test_without_rl_zoo3_the_command_says_what_to_install():
    code = "import sys; sys.modules['rl_zoo3'] = None; from empo_sb3.zoo import main; sys.exit(main(['train']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.strip() == "python -m empo_sb3.zoo needs rl-zoo3: pip install rl-zoo3"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("-params", "gamma:TOUCH"), ("--env-kwargs", "world:TOUCH"), ("-params", 'normalize:"TOUCH"')]
)
def test_rl_zoo3s_own_command_runs_nothing_from_a_checkout(words, tmp_path):
    hit = tmp_path / "hit"
    words = [word.replace("TOUCH", TOUCH.format(str(hit))) for word in words]
    command = ["-m", "rl_zoo3.train", "--algo", "ppo", "--env", ENV, "-n", "64", "-f", str(tmp_path / "logs"), *words]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 1 and "is not evaluated" in done.stderr and not hit.exists()
