"""Playing: what keys mean, that the person moves one human and nobody else, what is shown, and where keys come from."""

import io

import numpy as np
import pytest

from empo_cli.main import main
from empo_cli.play import NEW, QUIT, Game, Terminal, Window, keys_in, load_solution, play, solved_robots, start
from empo_gym import RobotEnv


class Script:
    """A screen that presses given keys and remembers what it showed."""

    def __init__(self, *keys):
        self.pressed, self.shown = keys, []

    def show(self, game):
        self.shown.append(game.lines())

    def keys(self):
        return iter(self.pressed)


@pytest.mark.parametrize(
    "world, meanings",
    [
        ("default", {"up": "north", "left": "west", "right": "east", "down": "south", "space": "still", "t": None}),
        ("key_door", {"up": "forward", "left": "left", "down": "still", "space": "toggle", "p": "pickup", "o": "drop"}),
    ],
)
def test_keys_mean_the_actions_that_the_person_has(world, meanings):
    game = start(world, seed=0)
    assert {key: game.action_of(key) for key in meanings} == meanings
    assert (game.action_of("q"), game.action_of("n"), game.action_of("f12")) == (QUIT, NEW, None)


def test_the_person_moves_its_human_and_the_robot_follows_the_solution():
    game = start("empty", seed=3)
    before, policy = game.env.state, game.solution.policy(game.env.state, 0)
    chosen = game.robots(game.env, np.empty(0))
    assert policy[chosen] > 0
    game.robots = lambda env, seen: chosen
    game.press("down")
    expected = game.env.transition_probabilities(before, (chosen, game.actions.index("south")))
    assert game.env.t == 1 and game.env.state in [state for _, state in expected] and game.env.state != before


def test_only_the_persons_human_does_what_the_person_says():
    game = start("two_humans", human=1, seed=0)
    seen = set()
    for _ in range(60):
        game.begin()
        told = game.actions.index("south")
        info = game.env.step_with(0, {1: told})[4]
        seen.add(info["human_actions"])
    assert {actions[1] for actions in seen} == {told} and len({actions[0] for actions in seen}) > 1


def test_the_humans_power_is_that_of_the_solution_in_the_current_state():
    game = start("two_humans", seed=0)
    for key in ("up", "right"):
        game.press(key)
        expected = game.solution.x_h[game.env.t, game.env.state_id].tolist()
        assert game.power() == expected
    told = [line for line in game.lines() if line.startswith("you ")]
    assert len(told) == 1 and f"power X_h {expected[0]:.3f} [" in told[0]


def test_the_lines_say_what_the_robots_follow_what_everybody_did_and_how_the_power_changed():
    game = start("two_humans", seed=0, follows="my_model.zip")
    assert "The robots follow my_model.zip" in game.lines()[0] and "last:" not in game.lines()[1]
    before = game.power()
    game.press("up")
    assert "you: north" in game.lines()[1] and "robot 0: " in game.lines()[1] and "human 1: " in game.lines()[1]
    assert game.lines()[2].endswith(f"{game.power()[0] - before[0]:+.3f}")
    keys = " ".join(game.lines()[4:-1])
    assert all(f"= {action}" in keys for action in (*game.actions, "new", "quit"))
    assert max(map(len, game.lines())) <= 100


def test_an_episode_ends_at_the_horizon_and_n_begins_another_one():
    script = Script(*["up"] * 9, "n", "q", "up")
    game = start("empty", seed=0)
    play(game, script)
    over = [lines[-1] for lines in script.shown if "episode is over" in lines[-1]]
    assert over and game.env.t == 0 and not game.is_over and len(script.shown) == 11
    assert Game(game.env, game.robots).power() is None


def test_without_a_solution_nothing_is_said_of_power():
    game = start("empty", robots=lambda env, rng: (lambda env, seen: 0, None), seed=0)
    assert game.power() is None and "power" not in " ".join(game.lines())


def test_robots_may_follow_a_solution_from_a_file(tmp_path):
    env = RobotEnv("empty")
    _, solution = solved_robots(env, np.random.default_rng(0))
    solution.save(tmp_path / "solution.npz")
    for path in (tmp_path, tmp_path / "solution.npz"):
        robots, loaded = load_solution(path, env, np.random.default_rng(0))
        env.reset(seed=0)
        assert loaded.policy(env.state)[robots(env, np.empty(0))] > 0
    with pytest.raises(ValueError, match="another world"):
        load_solution(tmp_path, RobotEnv("default"), np.random.default_rng(0))


def test_the_command_plays_in_the_terminal_from_words_on_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("up right\nq\nup\n"))
    assert main(["play", "empty", "--terminal", "--seed", "0"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("step ") == 3 and "step 2 of 6" in shown and "you" in shown and "H*" in shown


def test_the_robots_may_follow_a_trained_model(monkeypatch, capsys, tmp_path):
    empo_sb3 = pytest.importorskip("empo_sb3")
    model = empo_sb3.EMPO("TablePolicy", RobotEnv("empty"), seed=0)
    model.learn(20)
    model.save(tmp_path / "model.zip")
    for path in (tmp_path, tmp_path / "model.zip"):
        monkeypatch.setattr("sys.stdin", io.StringIO("up q"))
        assert main(["play", "empty", "--terminal", "--robots", str(path)]) == 0
        assert capsys.readouterr().out.count("power") == 2


def test_in_a_world_too_large_to_solve_one_plays_beside_robots_that_act_at_random(monkeypatch, capsys):
    monkeypatch.setattr("empo_gym.envs.robot_env.MAX_STATES", 20)
    monkeypatch.setattr("sys.stdin", io.StringIO("up right q"))
    assert main(["play", "default", "--terminal", "--seed", "0"]) == 0
    shown = capsys.readouterr()
    assert "The robots follow chance" in shown.out and "--robots" in shown.out and "step 2" in shown.out
    assert "X_h" not in shown.out and "Looking at the states" in shown.err


@pytest.mark.parametrize("option", ["--seed", "--human"])
def test_a_negative_number_is_refused_by_the_name_of_its_option(option, capsys):
    with pytest.raises(SystemExit) as left:
        main(["play", "empty", option, "-1"])
    assert left.value.code == 2 and f"{option}: '-1' is not an integer >= 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "typed, keys, rest",
    [
        ("\x1b[C\x1b[C\x1b[A", ["right", "right", "up"], ""),
        ("\x1bOCq\x1bOD", ["right", "q", "left"], ""),
        ("w \x1b[", ["w", "space"], "\x1b["),
        ("\x1b[1;5C\x1b[3~t", ["right", "", "t"], ""),
        ("\x1b\x1b[B", ["escape", "down"], ""),
        ("a\x1b", ["a"], "\x1b"),
    ],
)
def test_keys_that_a_terminal_sends_at_once_are_told_apart(typed, keys, rest):
    assert keys_in(typed) == (keys, rest)


def test_a_terminal_gives_repeated_keys_one_by_one_and_escape_leaves(monkeypatch):
    os, pty = pytest.importorskip("os"), pytest.importorskip("pty")
    import tty

    master, slave = pty.openpty()
    raw = tty.setcbreak

    def typing(descriptor):
        raw(descriptor)  # which forgets what was typed before
        os.write(master, b"\x1b[C\x1b[C\x1bOA\x1b")

    monkeypatch.setattr(tty, "setcbreak", typing)
    with open(slave, closefd=False) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        game = start("empty", seed=0)
        play(game, Terminal())
    os.close(master)
    os.close(slave)
    assert game.env.t == 3


def test_a_window_shows_the_game_and_gives_the_names_of_keys():
    pygame = pytest.importorskip("pygame")
    window = Window()
    try:
        game = start("empty", seed=0)
        window.show(game)
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_UP))
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q))
        play(game, window)
        assert game.env.t == 1 and pygame.display.get_surface().get_width() >= 720
    finally:
        window.close()


def test_there_must_be_such_a_human():
    with pytest.raises(ValueError, match="no human 2"):
        start("empty", human=2)
    env = RobotEnv("empty")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="must be an integer from 0 to 4, not 17"):
        env.step_with(0, {0: 17})


def test_a_terminal_shows_worlds_without_a_map_too(capsys):
    from empo_gym import ChainWorld

    game = start(ChainWorld(length=4, horizon=3), seed=0)
    Terminal().show(game)
    assert "state" in capsys.readouterr().out
