"""``empo play``: a person is one of the humans, the robots follow a solution or a trained model, everybody's power is shown.

The game and its screen are replaceable: :class:`Game` steps the world, a terminal or a window shows it and says which key was
pressed. The other humans inside act as they do in :class:`~empo_gym.envs.robot_env.RobotEnv`.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from empo_gym.envs.observations import picture
from empo_gym.envs.robot_env import RobotEnv
from empo_gym.planning.finite_horizon import solve_robot
from empo_gym.solution.solution import EmpoSolution
from empo_gym.util.imports import Allow

QUIT, NEW = "quit", "new"
EXACT = "the exact solution"
CHANCE = "chance, as this world is too large to solve (--robots PATH lets them follow a solution or a trained model)"
# What a key does: the first of these that is one of the person's actions, or a command.
KEYS: dict[str, tuple[str, ...]] = {
    "up": ("forward", "north"),
    "left": ("left", "west"),
    "right": ("right", "east"),
    "down": ("south", "still"),
    "space": ("toggle", "still"),
    "w": ("forward", "north"),
    "a": ("left", "west"),
    "d": ("right", "east"),
    "s": ("south", "still"),
    ".": ("still",),
    "p": ("pickup",),
    "o": ("drop",),
    "t": ("toggle",),
    "e": ("done",),
    "n": (NEW,),
    "q": (QUIT,),
    "escape": (QUIT,),
}
ESCAPE_SECONDS = 0.05
Robots = Callable[[Any, np.ndarray], int]


class Screen(Protocol):
    """Shows the game and reads keys."""

    def show(self, game: Game) -> None:
        """Show the current state."""

    def keys(self) -> Iterable[str]:
        """Yield the names of keys, one for each that is pressed."""


class Game:
    """One episode after another, in which a person moves one of the humans.

    :param env: whose humans the person joins; its robots are moved by ``robots``
    :param robots: (env, observation) -> joint action
    :param human: number of the human whom the person moves
    :param solution: tells the humans' power, None for nothing to tell
    :param follows: what the robots follow, in words
    :raises ValueError: if there is no such human
    """

    def __init__(
        self, env: RobotEnv, robots: Robots, human: int = 0, solution: EmpoSolution | None = None, follows: str = EXACT
    ) -> None:
        n_humans = len(env.world.goal_sets)
        if not 0 <= human < n_humans:
            raise ValueError(f"There is no human {human} in this world; they are numbered 0 to {n_humans - 1}.")
        self.env, self.robots, self.human, self.solution = env, robots, human, solution
        self.actions = [agent for agent in env.world.agents if agent.role == "human"][human].actions
        self.follows, self.did, self.message, self.is_over = follows, "", "", False
        self._power_before: list[float] | None = None
        self._observation: np.ndarray = np.empty(0)
        self.begin()

    def begin(self, seed: int | None = None) -> None:
        """Begin an episode."""
        self._observation, _ = self.env.reset(seed=seed)
        self.did, self.message, self.is_over = "", "", False
        self._power_before = None

    def action_of(self, key: str) -> str | None:
        """Return which of the person's actions or commands a key means here; None for none."""
        return next((name for name in KEYS.get(key, ()) if name in (*self.actions, QUIT, NEW)), None)

    def press(self, key: str) -> bool:
        """Do what a key says; return False when the person leaves."""
        name = self.action_of(key)
        if name == QUIT:
            return False
        if name == NEW:
            self.begin()
        elif name is not None and not self.is_over:
            self.move(self.actions.index(name))
        return True

    def move(self, action: int) -> None:
        """Step the world with the person's action, the robots' and the other humans'."""
        robots = self.robots(self.env, self._observation)
        self._power_before = self.power()
        self._observation, _, terminated, truncated, info = self.env.step_with(robots, {self.human: action})
        agents = self.env.world.agents
        fleet = [agent for agent in agents if agent.role == "robot"]
        chosen = np.unravel_index(robots, [robot.n_actions for robot in fleet])
        done = [(self.name(h), agents[len(fleet) + h].actions[a]) for h, a in enumerate(info["human_actions"])]
        done += [(robot.name, robot.actions[a]) for robot, a in zip(fleet, chosen, strict=True)]
        self.did = "   ".join(f"{name}: {action}" for name, action in done)
        attained = [h for h, now in enumerate(info["attained"]) if now]
        self.message = " ".join(f"{self.name(h).capitalize()} attained the goal!" for h in attained)
        self.is_over = terminated or truncated
        if self.is_over:
            self.message += " The episode is over: n for a new one, q to leave."

    def name(self, human: int) -> str:
        """Return how messages call a human."""
        return "you" if human == self.human else f"human {human}"

    def power(self) -> list[float] | None:
        """Return each human's power ``X_h`` in the current state; None where nothing is known of it."""
        solution, t = self.solution, self.env.t
        if solution is None or t == self.env.world.horizon:
            return None
        number = int(solution.model.index_all([self.env.state])[0])
        power = solution.x_h[min(t, len(solution.x_h) - 1), number]
        return None if number < 0 or np.isnan(power).any() else power.tolist()

    def lines(self) -> list[str]:
        """Return what to say beside the picture: who follows what, time, goals, power and how it changed, keys."""
        env, power = self.env, self.power()
        end = "" if env.world.horizon is None else f" of {env.world.horizon}"
        title = f"You are human {self.human} in {getattr(env.world, 'name', 'this world')}. The robots follow {self.follows}."
        said = [title, f"step {env.t}{end}{'   (last: ' + self.did + ')' if self.did else ''}"]
        for h, (goals, number) in enumerate(zip(env.world.goal_sets, env.goals, strict=True)):
            wants = f"{self.name(h):<8} {'want' if h == self.human else 'wants'} {goals.goals[number].name}"
            said.append(f"{wants:<30}" + ("" if power is None else f"  power X_h {self._bar(h, power[h])}"))
        return [*said, *self._keys(), self.message]

    def _bar(self, human: int, power: float) -> str:
        """Return a human's power as a number, as a bar from 0 to 1, and its change in the last step."""
        filled = min(20, round(20 * power))
        before = self._power_before
        change = "" if before is None else f" {power - before[human]:+.3f}"
        return f"{power:.3f} [{'#' * filled}{'-' * (20 - filled)}]{change}"

    def _keys(self) -> list[str]:
        """Return which keys mean what, on lines of at most 76 characters."""
        meaning: dict[str, list[str]] = {}
        for key in KEYS:
            if (name := self.action_of(key)) is not None:
                meaning.setdefault(name, []).append(key)
        lines = ["keys:"]
        for name, keys in meaning.items():
            told = f"{'/'.join(keys)} = {name}"
            lines = [*lines[:-1], f"{lines[-1]}  {told}"] if len(lines[-1]) + len(told) < 75 else [*lines, f"       {told}"]
        return lines


def play(game: Game, screen: Screen) -> None:
    """Play until the person leaves or no more keys come."""
    screen.show(game)
    for key in screen.keys():
        if not game.press(key):
            return
        screen.show(game)


class Terminal:
    """Text on standard output, keys from standard input: single presses where it is a terminal, else letters and words."""

    def show(self, game: Game) -> None:
        """Print the map and what there is to say."""
        start = "\x1b[2J\x1b[H" if sys.stdout.isatty() else ""
        drawn = picture(game.env.world, game.env.state, game.env.goals, "ansi").splitlines()
        # Who wants what is among the game's own lines.
        shown = [line for line in drawn if not re.match(r"human \d+ wants ", line)]
        print(start + "\n".join([*shown, *game.lines()]), flush=True)

    def keys(self) -> Iterable[str]:
        """Yield the keys."""
        if sys.stdin.isatty():
            yield from _pressed()
        else:
            for line in sys.stdin:
                yield from line.split()


_ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}
_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|\x1b(?![\[O])|[^\x1b]", re.DOTALL)
_BEGINS = re.compile(r"\x1b(?:[\[O][0-9;]*)?$")


def keys_in(typed: str) -> tuple[list[str], str]:
    """Return the names of the keys that a terminal sent at once, and the beginning of one that is still to come.

    :param typed: letters, and sequences such as ``ESC [ C`` or, from some terminals, ``ESC O C``
    """
    unfinished = _BEGINS.search(typed)
    rest = "" if unfinished is None else unfinished.group()
    return [_name(key) for key in _KEY.findall(typed.removesuffix(rest))], rest


def _name(key: str) -> str:
    if key[0] != "\x1b":
        return "space" if key == " " else key
    return "escape" if len(key) == 1 else _ARROWS.get(key[-1], "")


def _pressed() -> Iterable[str]:
    """Yield single key presses of a Unix terminal, which is left as it was."""
    import os
    import select
    import termios
    import tty

    descriptor, rest = sys.stdin.fileno(), ""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        while typed := os.read(descriptor, 1024).decode(errors="ignore"):
            keys, rest = keys_in(rest + typed)
            yield from keys
            # The escape key sends what every arrow begins with, but nothing follows.
            if rest and not select.select([descriptor], [], [], ESCAPE_SECONDS)[0]:
                yield "escape"
                rest = ""
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class Window:
    """A window, by pygame, which is optional."""

    def __init__(self) -> None:
        import pygame

        self._pygame = pygame
        pygame.init()
        self._font = pygame.font.Font(None, 24)
        self._surface: Any = None

    def show(self, game: Game) -> None:
        """Draw the picture, and beneath it what there is to say."""
        pygame = self._pygame
        frame = picture(game.env.world, game.env.state, game.env.goals, "rgb_array")
        lines = game.lines()
        width, height = max(frame.shape[1], 720), frame.shape[0] + 26 * len(lines) + 8
        if self._surface is None or self._surface.get_size() != (width, height):
            self._surface = pygame.display.set_mode((width, height))
            pygame.display.set_caption(f"EMPO: {getattr(game.env.world, 'name', 'world')}")
        self._surface.fill((24, 24, 28))
        self._surface.blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        for k, line in enumerate(lines):
            self._surface.blit(self._font.render(line, True, (230, 230, 230)), (8, frame.shape[0] + 6 + 26 * k))
        pygame.display.flip()

    def keys(self) -> Iterable[str]:
        """Yield the keys until the window is closed."""
        pygame = self._pygame
        while True:
            event = pygame.event.wait()
            if event.type == pygame.QUIT:
                return
            if event.type == pygame.KEYDOWN:
                yield pygame.key.name(event.key)

    def close(self) -> None:
        """Close the window."""
        self._pygame.quit()


def _following(solution: EmpoSolution, rng: np.random.Generator) -> Robots:
    """Return robots that follow a solution."""
    return lambda env, observation: solution.sample(env.state, min(env.t, len(solution.pi_r) - 1), rng)


def solved_robots(env: RobotEnv, rng: np.random.Generator) -> tuple[Robots, EmpoSolution | None]:
    """Solve an environment's world; return robots that follow the solution, and it.

    In a world too large to pack for that (see :attr:`RobotEnv.is_packed`), they act at random and there is no solution.
    """
    _tell("Looking at the states of this world ...")
    if not env.is_packed:
        n_actions = math.prod(agent.n_actions for agent in env.world.agents if agent.role == "robot")
        return lambda env, observation: int(rng.integers(n_actions)), None
    _tell(f"Solving it: {env.model.n_states:,} states ...")
    solution = solve_robot(env.model, env.prior, env.theory)
    return _following(solution, rng), solution


def _tell(what: str) -> None:
    """Say on standard error why nothing is to be seen yet."""
    print(what, file=sys.stderr, flush=True)


def load_solution(path: Path, env: RobotEnv, rng: np.random.Generator) -> tuple[Robots, EmpoSolution]:
    """Return robots that follow a solution that was written to a file, and it.

    :param path: ``solution.npz``, or the folder that holds it
    :raises ValueError: if it is the solution of another world
    """
    solution = EmpoSolution.load(path / "solution.npz" if path.is_dir() else path)
    if int(solution.model.index_all([env.world.initial_state()])[0]) != 0:
        raise ValueError(f"{path} holds the solution of another world, not of this one.")
    return _following(solution, rng), solution


def start(
    world: Any,
    robots: Callable[[RobotEnv, np.random.Generator], tuple[Robots, EmpoSolution | None]] = solved_robots,
    human: int = 0,
    seed: int | None = None,
    follows: str = EXACT,
    allow_imports: Allow | None = None,
) -> Game:
    """Return a game at its beginning.

    :param world: name, path, mapping or world object
    :param robots: (env, random numbers) -> how the robots act, and a solution that tells the humans' power, if any
    :param human: number of the human whom the person moves
    :param seed: of everything random
    :param follows: what the robots follow, in words
    :param allow_imports: the modules from which the world may take classes of goals, see :func:`empo_gym.load_world`
    """
    env = RobotEnv(world=world, allow_imports=allow_imports)
    act, solution = robots(env, np.random.default_rng(seed))
    game = Game(env, act, human, solution, CHANCE if robots is solved_robots and solution is None else follows)
    game.begin(seed)
    return game


def command(arguments: argparse.Namespace, robots: Callable[[RobotEnv, np.random.Generator], Any] = solved_robots) -> None:
    """``empo play``: play in a window where there is pygame and a map, else in the terminal.

    :param arguments: ``world``, ``allow_imports``, ``human``, ``seed``, ``terminal``, ``robots`` (a path, None for the exact
        solution)
    :param robots: as in :func:`start`
    """
    follows = EXACT if arguments.robots is None else str(arguments.robots)
    game = start(arguments.world, robots, arguments.human, arguments.seed, follows, arguments.allow_imports)
    if arguments.terminal or not hasattr(game.env.world, "map") or find_spec("pygame") is None:
        play(game, Terminal())
        return
    window = Window()
    try:
        play(game, window)
    finally:
        window.close()
