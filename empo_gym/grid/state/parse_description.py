"""From the description of a state back to the state; what does not fit the world is an error that names the part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from empo_gym.grid.dynamics import layout as L
from empo_gym.grid.dynamics.distributions import sort_equals
from empo_gym.grid.map.tiles import DIRECTIONS, MOVABLE, Tile, WorldError
from empo_gym.grid.state.describe import FIXTURES, thing_of
from empo_gym.grid.statics import Grid
from empo_gym.util.arguments import is_integer
from empo_gym.util.wording import shown


def state_of(world: Grid, description: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the state of a description.

    :param world: the world
    :param description: as :meth:`Grid.describe` returns it; fixtures that are left out are as at the start
    :raises WorldError: naming the part that does not fit the world
    """
    if not isinstance(description, Mapping):
        raise WorldError(
            f"The description of a state is a mapping with 'agents' and 'objects', not {type(description).__name__}."
        )
    for key in description:
        if key not in ("agents", "objects"):
            raise WorldError(f"The description of a state has 'agents' and 'objects', but not {shown(key)}.")
    return _Reader(world).read(description.get("agents"), description.get("objects", []))


class _Reader:
    """Fills registers from a description."""

    def __init__(self, world: Grid) -> None:
        self.world = world
        self.layout = world.layout
        self.d = [int(v) for v in world.layout.tables.dims]
        self.reg = world.layout.codec.start.copy()
        self.named: dict[int, str] = {}
        self.fixtures: set[int] = set()
        self.free: list[int] = list(range(len(self.layout.objects)))

    def read(self, agents: Any, objects: Any) -> tuple[int, ...]:
        """Return the state."""
        n = self.d[L.N_AGENTS]
        if not isinstance(agents, Sequence) or len(agents) != n or not all(isinstance(a, Mapping) for a in agents):
            raise WorldError(f"The description must list {n} agents in map reading order, each a mapping.")
        if not isinstance(objects, Sequence) or not all(isinstance(o, Mapping) for o in objects):
            raise WorldError("The description's 'objects' must be a list of mappings.")
        for k, agent in enumerate(agents):
            self._agent(k, agent)
        for j, thing in enumerate(objects):
            self._object(f"object {j} ({thing.get('type')})", thing)
        self._contents()
        self._check_hands(agents)
        self._check_pause(agents)
        self._check_places()
        return self._state()

    def _set(self, register: int, value: int, name: str) -> None:
        self.reg[register] = value
        self.named[register] = name

    def _agent(self, k: int, agent: Mapping[str, Any]) -> None:
        n, i = self.d[L.N_AGENTS], self.layout.order.index(k)
        name = f"agent {k}"
        known = ("x", "y", "dir", "alive", "paused", "carrying", "forced")
        for key in agent:
            if key not in known:
                raise WorldError(f"{name} has no {key!r}; it has {', '.join(known)}.")
        self._set(i, self._place(agent, name), f"{name}: the cell")
        compass = "left" not in self.world.spec.actions
        direction = agent.get("dir")
        if compass and direction is not None:
            raise WorldError(f"{name}: 'dir' must be null, since agents of this world have no direction.")
        if not compass:
            if direction not in tuple(DIRECTIONS):
                raise WorldError(f"{name}: 'dir' must be one of e, s, w, n, not {shown(direction)}.")
            self._set(n + i, DIRECTIONS.index(direction), f"{name}: 'dir'")
        self._set(2 * n + i, self._truth(agent, "alive", name, True), f"{name}: 'alive'")
        if agent.get("forced") is not None:
            self._set(4 * n + i, 1 + self._action(agent["forced"], name), f"{name}: 'forced'")

    def _object(self, name: str, thing: Mapping[str, Any]) -> None:
        if thing.get("type") in FIXTURES.values():
            self._fixture(name, thing)
            return
        place = {key: value for key, value in thing.items() if key in ("x", "y", "carried_by", "gone")}
        kind = {key: value for key, value in thing.items() if key not in place}
        if any(thing_of(tile) == kind and (x, y) == (thing.get("x"), thing.get("y")) for tile, x, y in self.layout.fixed):
            return
        matches = [k for k in self.free if thing_of(self.layout.objects[k]) == kind]
        if not matches:
            raise WorldError(f"{name}: this world has no further object {kind}; it has {self._inventory()}.")
        self.free.remove(matches[0])
        self._set(
            self.d[L.LOC] + matches[0], self._location(name, thing, self.layout.objects[matches[0]]), f"{name}: where it is"
        )

    def _location(self, name: str, thing: Mapping[str, Any], tile: Tile) -> int:
        given = [key for key in ("x", "carried_by", "gone") if key in thing]
        if len(given) != 1:
            raise WorldError(f"{name} must have exactly one of 'x' and 'y', 'carried_by', or 'gone'.")
        if given == ["x"]:
            return self._place(thing, name)
        if given == ["gone"]:
            if tile.type != "box" or thing["gone"] is not True:
                raise WorldError(f"{name}: only an opened box is 'gone', which then is true.")
            return self.d[L.N_CELLS] + self.d[L.N_AGENTS]
        carrier = thing["carried_by"]
        if tile.type in MOVABLE[:2] or isinstance(carrier, bool) or carrier not in range(self.d[L.N_AGENTS]):
            raise WorldError(
                f"{name}: 'carried_by' must be an agent's number below {self.d[L.N_AGENTS]}, and rocks and blocks stay down."
            )
        return self.d[L.N_CELLS] + self.layout.order.index(carrier)

    def _contents(self) -> None:
        """Put what was not listed into the boxes that are not open."""
        gone = self.d[L.N_CELLS] + self.d[L.N_AGENTS]
        while self.free:
            closed = [
                tile.contains for k, tile in enumerate(self.layout.objects) if k not in self.free and self._at(k) != gone
            ]
            inside = [
                self.layout.objects[k]
                for k in range(len(self.layout.objects))
                if self._at(k) == gone + 1 and k not in self.free
            ]
            k = next((k for k in self.free if closed.count(self.layout.objects[k]) > inside.count(self.layout.objects[k])), -1)
            if k < 0:
                missing = thing_of(self.layout.objects[self.free[0]])
                raise WorldError(f"The description lacks an object {missing}; this world has {self._inventory()}.")
            self.free.remove(k)
            self._set(self.d[L.LOC] + k, gone + 1, "the content of a box")
        for tile in {tile.contains for tile in self.layout.objects if tile.contains}:
            boxes = sum(t.contains == tile and self._at(k) != gone for k, t in enumerate(self.layout.objects))
            inside_now = sum(t == tile and self._at(k) == gone + 1 for k, t in enumerate(self.layout.objects))
            if boxes != inside_now:
                raise WorldError(f"{thing_of(tile)} is listed beside the box that still contains it; list one of them.")

    def _at(self, k: int) -> int:
        return int(self.reg[self.d[L.LOC] + k])

    def _fixture(self, name: str, thing: Mapping[str, Any]) -> None:
        p = self._place_at(thing)
        if p < 0 or FIXTURES.get(int(self.layout.tables.place[p, L.TERRAIN])) != thing["type"]:
            raise WorldError(f"{name}: there is no {thing['type']} at {thing.get('x')},{thing.get('y')} in this world.")
        if p in self.fixtures:
            raise WorldError(f"{name}: the {thing['type']} at {thing['x']},{thing['y']} is described twice; keep one.")
        self.fixtures.add(p)
        state, flag = self.d[L.STATE] + p, self.d[L.FLAG]
        match thing["type"]:
            case "door":
                is_open, locked = self._truth(thing, "open", name), self._truth(thing, "locked", name)
                if is_open and locked:
                    raise WorldError(f"{name}: a door is not open and locked at once.")
                self._set(state, L.OPEN if is_open else L.LOCKED if locked else L.CLOSED, f"{name}: 'open' or 'locked'")
            case "bush":
                self._set(state, 1 - self._truth(thing, "trampled", name), f"{name}: 'trampled'")
            case "magic_wall":
                self._set(state, self._truth(thing, "active", name), f"{name}: 'active'")
            case "kill_button":
                self._set_flag(flag + L.KILL_ENABLED, thing, name)
            case "pause_switch":
                self._set(state, self._truth(thing, "on", name), f"{name}: 'on'")
                self._set_flag(flag + L.PAUSE_ENABLED, thing, name)
            case "control_button":
                self._set_flag(flag + L.CONTROL_ENABLED, thing, name)
                self._control(name, thing, p)

    def _set_flag(self, register: int, thing: Mapping[str, Any], name: str) -> None:
        enabled = self._truth(thing, "enabled", name, True)
        if register in self.named and self.reg[register] != enabled:
            raise WorldError(
                f"{name}: 'enabled' differs from another {thing['type']}, but a disabling switch acts on all of them."
            )
        self._set(register, enabled, f"{name}: 'enabled'")

    def _control(self, name: str, thing: Mapping[str, Any], p: int) -> None:
        robot, action, waits_for = thing.get("agent"), thing.get("action"), thing.get("waits_for")
        if waits_for is None and thing.get("waiting") and self.world.n_robots == 1:
            waits_for = self.layout.order[0]
        for agent in (robot, waits_for):
            if agent is not None and agent not in self.layout.order[: self.world.n_robots]:
                raise WorldError(f"{name}: 'agent' and 'waits_for' must be robots' numbers or null, not {shown(agent)}.")
        if (robot is None) != (action is None):
            raise WorldError(f"{name}: 'agent' and 'action' are given together, or both are null.")
        if robot is not None:
            code = 1 + self.layout.order.index(robot) * self.d[L.N_ACTIONS] + self._action(action, name)
            self._set(self.d[L.STATE] + p, code, f"{name}: 'action'")
        if bool(thing.get("waiting", waits_for is not None)) != (waits_for is not None):
            raise WorldError(f"{name}: 'waits_for' must name the robot exactly if 'waiting' is true.")
        if waits_for is not None:
            self._set(self.d[L.WAIT] + p, 1 + self.layout.order.index(waits_for), f"{name}: 'waits_for'")

    def _place(self, thing: Mapping[str, Any], name: str) -> int:
        p = self._place_at(thing)
        if not 0 <= p < self.d[L.N_CELLS]:
            raise WorldError(
                f"{name} is at {thing.get('x')},{thing.get('y')}, which is no cell of this world that can be entered."
            )
        return p

    def _place_at(self, thing: Mapping[str, Any]) -> int:
        """Return the place that a description names, -1 if it is none."""
        x, y = (c if is_integer(c) else -1 for c in (thing.get("x"), thing.get("y")))
        return self.layout.place_of.get((int(x), int(y)), -1)

    def _truth(self, thing: Mapping[str, Any], key: str, name: str, default: bool | None = None) -> int:
        value = thing.get(key, default)
        if not isinstance(value, (bool, np.bool_)):
            raise WorldError(f"{name}: {key!r} must be true or false, not {shown(value)}.")
        return int(value)

    def _action(self, action: Any, name: str) -> int:
        if action not in self.world.spec.actions:
            raise WorldError(f"{name}: there is no action {shown(action)}; there are {', '.join(self.world.spec.actions)}.")
        return self.world.spec.actions.index(action)

    def _inventory(self) -> str:
        return ", ".join(str(thing_of(tile)) for tile in self.layout.objects) or "no objects that move"

    def _check_hands(self, agents: Sequence[Mapping[str, Any]]) -> None:
        carried = [self._at(k) - self.d[L.N_CELLS] for k in range(len(self.layout.objects))]
        for k, agent in enumerate(agents):
            i = self.layout.order.index(k)
            hands = [thing_of(self.layout.objects[j]) for j, carrier in enumerate(carried) if carrier == i]
            if len(hands) > 1 or ("carrying" in agent and agent["carrying"] != (hands[0] if hands else None)):
                raise WorldError(
                    f"agent {k} is 'carrying' {agent.get('carrying')!r}, but 'carried_by' gives it {hands or 'nothing'}."
                )

    def _check_pause(self, agents: Sequence[Mapping[str, Any]]) -> None:
        robots = self.layout.order[: self.world.n_robots]
        truths = {k: self._truth(agent, "paused", f"agent {k}", False) for k, agent in enumerate(agents)}
        paused = {truths[k] for k in robots}
        register = self.d[L.FLAG] + L.PAUSED
        if len(paused) > 1 or any(truth for k, truth in truths.items() if k not in robots):
            raise WorldError("'paused' must be the same for all robots, and humans are never paused.")
        if self.d[L.ONLY_PAUSE] >= 0:
            if paused and paused != {int(self.reg[self.d[L.STATE] + self.d[L.ONLY_PAUSE]])}:
                raise WorldError("The robots must be 'paused' exactly if the pause switch is 'on'.")
        elif paused:
            self._set(register, paused.pop(), "'paused' of the robots")

    def _check_places(self) -> None:
        n = self.d[L.N_AGENTS]
        agents, things = self.reg[:n].tolist(), [self._at(k) for k in range(len(self.layout.objects))]
        lying = [p for p in things if p < self.d[L.N_CELLS]]
        living = [p for i, p in enumerate(agents) if self.reg[2 * n + i]]
        for places, what in (
            (agents, "Two agents"),
            (lying, "Two objects"),
            ([*set(lying), *living], "A living agent and an object"),
        ):
            twice = next((p for p in places if places.count(p) > 1), None)
            if twice is not None:
                x, y = self.layout.cells[twice]
                raise WorldError(f"{what} are both at {x},{y}; move one of them.")

    def _state(self) -> tuple[int, ...]:
        codec = self.layout.codec
        for register, name in self.named.items():
            if register not in codec.slot and self.reg[register] != codec.start[register]:
                raise WorldError(f"{name} can never differ from the start in this world.")
        row = self.reg[codec.slot].astype(np.int32)
        for value, radix, register in zip(row, self.layout.radices, codec.slot, strict=True):
            if value >= radix:
                raise WorldError(f"{self.named.get(int(register), 'a component')} is not possible in this world.")
        sort_equals(codec.groups, row)
        return tuple(row.tolist())
