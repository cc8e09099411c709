"""The rules of grid worlds once more, in plain Python: every order and every chance is played out on dictionaries.

Nothing here is shared with the package, and nothing is clever: it is what the compiled dynamics are compared with.
"""

import itertools

STEPS = {"e": (1, 0), "s": (0, 1), "w": (-1, 0), "n": (0, -1)}
COMPASS = {"east": "e", "south": "s", "west": "w", "north": "n"}
COLOURS = {"r": "red", "g": "green", "b": "blue", "p": "purple", "y": "yellow", "e": "grey"}
CLOCKWISE = "eswn"
SETS = {
    "small": ["still", "left", "right", "forward"],
    "object": ["still", "left", "right", "forward", "pickup", "drop", "toggle"],
    "full": ["still", "left", "right", "forward", "pickup", "drop", "toggle", "done"],
    "minimal": ["forward", "left"],
    "compass": ["still", "north", "east", "south", "west"],
}
FIXTURES = ("door", "bush", "magic_wall", "kill_button", "pause_switch", "control_button")


def turned(direction, quarters):
    return CLOCKWISE[(CLOCKWISE.index(direction) + quarters) % 4]


def copied(world):
    """A world of its own: nothing that it holds is nested deeper than agents, objects and fixtures."""
    return {
        "agents": [dict(agent) for agent in world["agents"]],
        "objects": [dict(thing) for thing in world["objects"]],
        "fixtures": {cell: dict(fixture) for cell, fixture in world["fixtures"].items()},
    }


class NaiveGrid:
    """A world of a mapping whose agents are yellow humans and grey robots."""

    def __init__(self, mapping):
        self.mapping = mapping
        self.actions = SETS[mapping.get("actions", "object")]
        self.ground, self.start = {}, {"agents": [], "objects": [], "fixtures": {}}
        self.kills_by_rock = mapping.get("rocks_can_kill", False)
        self.chance = {
            "stumble": mapping.get("stumble_probability", 0.5),
            "magic": mapping.get("magic_entry_probability", 0.5),
            "solidify": mapping.get("solidify_probability", 0.1),
            "bush": mapping.get("enter_bush_success_prob", 1.0),
        }
        for y, line in enumerate(mapping["map"].splitlines()):
            for x, code in enumerate(line.split()):
                self.ground[x, y] = self.place(code, x, y)
        headings = mapping.get("orientations", "e")
        for i, agent in enumerate(self.start["agents"]):
            agent["dir"] = headings[i] if len(headings) > 1 else headings[0]
        roles = [agent["role"] for agent in self.start["agents"]]
        self.robots = [i for i, role in enumerate(roles) if role == "robot"]
        self.humans = [i for i, role in enumerate(roles) if role == "human"]
        self.joint_order = self.robots + self.humans
        colors = {"robot": "e", "human": "y"}
        self.pushers = [colors[role] in mapping.get("can_push_rocks", "e") for role in roles]
        self.magicians = [colors[role] in mapping.get("can_enter_magic_walls", "") for role in roles]

    def place(self, code, x, y):
        """Put what a code stands for where it belongs and return the ground beneath."""
        if code[0] == "A":
            role = "human" if code[1] == "y" else "robot"
            blank = {"alive": True, "paused": False, "hands": None, "forced": None}
            self.start["agents"].append({"x": x, "y": y, "role": role, **blank})
            return "floor"
        if code in ("Ro", "Bl") or (code[0] in "KXB" and code[1] in COLOURS):
            self.add_object(code, {"at": (x, y)})
            return "floor"
        if code[0] in "LCO" and code[1] in COLOURS:
            state = {"L": "locked", "C": "closed", "O": "open"}[code[0]]
            self.start["fixtures"][x, y] = {"type": "door", "state": state, "color": COLOURS[code[1]]}
            return "door"
        fixtures = {
            "Bu": {"type": "bush", "trampled": False},
            "Ki": {"type": "kill_button", "enabled": True},
            "Pa": {"type": "pause_switch", "on": False, "enabled": True},
            "CB": {"type": "control_button", "enabled": True, "recording": None, "waits_for": None},
        }
        if code[0] == "M":
            fixtures[code] = {"type": "magic_wall", "side": code[1], "active": True}
        if code in fixtures:
            self.start["fixtures"][x, y] = fixtures[code]
            return fixtures[code]["type"]
        plain = {"..": "floor", "La": "lava", "Un": "unsteady", "Sw": "tile", "dK": "dK", "dP": "dP", "dC": "dC"}
        return "tile" if code[0] == "G" else "wall" if code[0] == "W" else plain[code]

    def add_object(self, code, where):
        types = {"Ro": "rock", "Bl": "block"}
        kind = types.get(code[:2]) or {"K": "key", "B": "ball", "X": "box"}[code[0]]
        color = None if kind in ("rock", "block") else COLOURS[code[1]]
        thing = {"type": kind, "color": color, "content": None, "code": code, **where}
        self.start["objects"].append(thing)
        if len(code) > 2:
            thing["content"] = len(self.start["objects"])
            self.add_object(code[2:], {"inside": True})

    def transitions(self, state, actions):
        """Return {key of successor: (probability, successor)} for a joint action, robots first."""
        state = copied(state)
        chosen = {}
        for i, action in zip(self.joint_order, actions, strict=True):
            agent = state["agents"][i]
            chosen[i] = self.actions[action]
            if agent["forced"] is not None and not agent["paused"]:
                chosen[i] = agent["forced"]
                agent["forced"] = None
        outcomes = {}
        orders = list(itertools.permutations(range(len(state["agents"]))))
        for order in orders:
            for prob, end in self.play(copied(state), state, chosen, order, set()):
                key = self.key(end)
                outcomes[key] = (outcomes.get(key, (0.0,))[0] + prob / len(orders), end)
        return outcomes

    def play(self, now, start, chosen, order, acted):
        """Yield (probability, end of the step) for one order."""
        if not order:
            self.record(now, start, chosen, acted)
            yield 1.0, now
            return
        i, rest = order[0], order[1:]
        agent = now["agents"][i]
        if not agent["alive"] or agent["paused"]:
            yield from self.play(now, start, chosen, rest, acted)
            return
        for prob, after in self.turn(now, start, i, chosen[i]):
            if prob > 0:
                for further, end in self.play(after, start, chosen, rest, acted | {i}):
                    yield prob * further, end

    def record(self, now, start, chosen, acted):
        for cell, fixture in now["fixtures"].items():
            if fixture["type"] == "control_button":
                robot = start["fixtures"][cell]["waits_for"]
                if robot is not None and robot == fixture["waits_for"] and robot in acted and chosen[robot] != "still":
                    fixture["recording"] = (robot, chosen[robot])
                    fixture["waits_for"] = None

    def turn(self, now, start, i, action):
        """Return the (probability, world after) pairs of one agent's turn."""
        agent = now["agents"][i]
        if action in ("left", "right"):
            agent["dir"] = turned(agent["dir"], -1 if action == "left" else 1)
        elif action == "forward" or action in COMPASS:
            return self.walk(now, start, i, action)
        elif action in ("pickup", "drop", "toggle"):
            getattr(self, action)(now, i, self.ahead((agent["x"], agent["y"]), agent["dir"]))
        return [(1.0, now)]

    @staticmethod
    def ahead(cell, direction):
        return cell[0] + STEPS[direction][0], cell[1] + STEPS[direction][1]

    def walk(self, now, start, i, action):
        agent = now["agents"][i]
        here = agent["x"], agent["y"]
        heading = COMPASS.get(action, agent["dir"])
        p = self.chance["stumble"]
        ways = [(1 - p, 0), (p / 2, -1), (p / 2, 1)] if self.ground[here] == "unsteady" else [(1.0, 0)]
        outcomes = []
        for prob, quarters in ways:
            after = copied(now)
            side = turned(heading, quarters)
            if action == "forward":
                after["agents"][i]["dir"] = side
            outcomes += [(prob * further, end) for further, end in self.enter(after, start, i, here, side)]
        return outcomes

    def agent_on(self, world, cell):
        return next((i for i, a in enumerate(world["agents"]) if (a["x"], a["y"]) == cell), None)

    def object_on(self, world, cell):
        return next((k for k, thing in enumerate(world["objects"]) if thing.get("at") == cell), None)

    def held_at_start(self, start, i, cell):
        return any(j != i and a["alive"] and (a["x"], a["y"]) == cell for j, a in enumerate(start["agents"]))

    def enter(self, now, start, i, here, side):
        to = self.ahead(here, side)
        stay = [(1.0, now)]
        if self.held_at_start(start, i, to) or self.agent_on(now, to) is not None:
            return stay
        after = copied(now)
        if self.object_on(now, to) is not None and not self.push(after, start, i, to, side):
            return stay
        ground, fixture = self.ground.get(to, "wall"), after["fixtures"].get(to)
        human = i in self.humans
        if ground == "bush" and not fixture["trampled"]:
            if human:
                q = self.chance["bush"]
                self.arrive(after, i, to)
                return [(q, after), (1 - q, now)]
            fixture["trampled"] = True
        elif ground == "magic_wall":
            return self.enter_magic(now, after, i, to, side)
        elif ground == "door":
            if fixture["state"] != "open":
                return stay
        elif ground not in ("floor", "tile", "unsteady", "lava", "bush"):
            return stay
        self.arrive(after, i, to)
        return [(1.0, after)]

    def enter_magic(self, now, after, i, to, side):
        wall = now["fixtures"][to]
        sides = {"n": "s", "s": "n", "e": "w", "w": "e", "a": side}
        if not self.magicians[i] or not wall["active"] or sides[wall["side"]] != side:
            return [(1.0, now)]
        q, s = self.chance["magic"], self.chance["solidify"]
        solid = copied(now)
        solid["fixtures"][to]["active"] = False
        self.arrive(after, i, to)
        return [(q, after), ((1 - q) * s, solid), ((1 - q) * (1 - s), now)]

    def arrive(self, world, i, to):
        agent = world["agents"][i]
        agent["x"], agent["y"] = to
        if self.ground[to] == "lava":
            agent["alive"] = False

    def push(self, world, start, i, first, side):
        row, cell = [], first
        while (k := self.object_on(world, cell)) is not None:
            kind = world["objects"][k]["type"]
            if kind not in ("rock", "block") or (kind == "rock" and not self.pushers[i]):
                return False
            if self.agent_on(world, cell) is not None:
                return False
            row.append(k)
            cell = self.ahead(cell, side)
        ground = self.ground.get(cell, "wall")
        bare = ground == "bush" and world["fixtures"][cell]["trampled"]
        if ground not in ("floor", "tile", "unsteady", "lava") and not bare:
            return False
        victim = self.agent_on(world, cell)
        if victim is not None:
            lethal = self.kills_by_rock and world["objects"][row[-1]]["type"] == "rock"
            if not lethal or not world["agents"][victim]["alive"]:
                return False
            world["agents"][victim]["alive"] = False
        elif self.held_at_start(start, i, cell):
            return False
        for k in row:
            world["objects"][k]["at"] = self.ahead(world["objects"][k]["at"], side)
        return True

    def pickup(self, now, i, front):
        k = self.object_on(now, front)
        agent = now["agents"][i]
        if k is not None and agent["hands"] is None and now["objects"][k]["type"] in ("key", "ball", "box"):
            agent["hands"] = k
            del now["objects"][k]["at"]
            now["objects"][k]["carried_by"] = i

    def drop(self, now, i, front):
        agent, ground = now["agents"][i], self.ground.get(front, "wall")
        bare = ground == "floor" or (ground == "bush" and now["fixtures"][front]["trampled"])
        occupied = self.agent_on(now, front) is not None or self.object_on(now, front) is not None
        if agent["hands"] is not None and bare and not occupied:
            thing = now["objects"][agent["hands"]]
            del thing["carried_by"]
            thing["at"] = front
            agent["hands"] = None

    def toggle(self, now, i, front):
        k = self.object_on(now, front)
        fixture = now["fixtures"].get(front)
        if k is not None:
            self.toggle_box(now, k, front)
        elif fixture is not None:
            getattr(self, "toggle_" + fixture["type"], lambda *_: None)(now, i, fixture, front)
        elif self.ground.get(front) in ("dK", "dP", "dC") and i in self.robots:
            self.disable(now, self.ground[front])

    def toggle_box(self, now, k, front):
        box = now["objects"][k]
        if box["type"] == "box":
            del box["at"]
            box["gone"] = True
            if box["content"] is not None:
                content = now["objects"][box["content"]]
                del content["inside"]
                content["at"] = front

    def toggle_door(self, now, i, door, front):
        hands = now["agents"][i]["hands"]
        if door["state"] == "open":
            if self.agent_on(now, front) is None:
                door["state"] = "closed"
        elif door["state"] == "closed":
            door["state"] = "open"
        elif hands is not None and (now["objects"][hands]["type"], now["objects"][hands]["color"]) == ("key", door["color"]):
            door["state"] = "open"

    def toggle_kill_button(self, now, i, button, front):
        if i in self.humans and button["enabled"]:
            for robot in self.robots:
                now["agents"][robot]["alive"] = False

    def pause(self, now, on):
        for robot in self.robots:
            now["agents"][robot]["paused"] = on

    def toggle_pause_switch(self, now, i, switch, front):
        if i in self.humans and switch["enabled"]:
            switch["on"] = not switch["on"]
            self.pause(now, switch["on"])

    def toggle_control_button(self, now, i, button, front):
        if not button["enabled"]:
            return
        if i in self.robots:
            button["waits_for"] = i
        elif button["recording"] is not None:
            robot, action = button["recording"]
            now["agents"][robot]["forced"] = action

    def disable(self, now, code):
        kind = {"dK": "kill_button", "dP": "pause_switch", "dC": "control_button"}[code]
        for fixture in now["fixtures"].values():
            if fixture["type"] == kind:
                fixture["enabled"] = not fixture["enabled"]
                if kind == "pause_switch" and not fixture["enabled"] and fixture["on"]:
                    fixture["on"] = False
                    self.pause(now, False)

    def thing(self, world, k):
        thing = world["objects"][k]
        named = {"type": thing["type"]}
        if thing["color"]:
            named["color"] = thing["color"]
        if thing["code"][2:]:
            named["contains"] = self.thing(world, thing["content"])
        return named

    def describe(self, world):
        """Return the description of a state in the public form."""
        agents = [
            {
                "x": a["x"],
                "y": a["y"],
                "dir": None if "north" in self.actions else a["dir"],
                "alive": a["alive"],
                "paused": a["paused"],
                "carrying": None if a["hands"] is None else self.thing(world, a["hands"]),
                "forced": a["forced"],
            }
            for a in world["agents"]
        ]
        objects = []
        for k, thing in enumerate(world["objects"]):
            if "inside" not in thing:
                where = {"x": thing["at"][0], "y": thing["at"][1]} if "at" in thing else {}
                where |= {key: thing[key] for key in ("carried_by", "gone") if key in thing}
                objects.append(self.thing(world, k) | where)
        for (x, y), fixture in world["fixtures"].items():
            objects.append({"type": fixture["type"], "x": x, "y": y} | self.details(fixture))
        return {"agents": agents, "objects": objects}

    def details(self, fixture):
        if fixture["type"] == "door":
            return {"open": fixture["state"] == "open", "locked": fixture["state"] == "locked"}
        if fixture["type"] == "control_button":
            robot, action = fixture["recording"] or (None, None)
            waits = fixture["waits_for"]
            return {
                "enabled": fixture["enabled"],
                "agent": robot,
                "action": action,
                "waiting": waits is not None,
                "waits_for": waits,
            }
        return {key: fixture[key] for key in ("trampled", "active", "on", "enabled") if key in fixture}

    def key(self, world):
        return key_of(self.describe(world))


def key_of(description):
    """Return a description as text in which the order of the objects does not count."""
    things = sorted(str(sorted(thing.items(), key=str)) for thing in description["objects"])
    return str(([sorted(agent.items(), key=str) for agent in description["agents"]], things))
