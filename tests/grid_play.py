"""A little language for tests of the grid's rules: a map, whose turn it is, and where everybody is afterwards."""

from empo_gym.grid import load_world


class Play:
    """A world in a state, with what people want to know about it."""

    def __init__(self, text, state=None, **keys):
        keys.setdefault("actions", "object")
        goal = next([x, y] for y, line in enumerate(text.splitlines()) for x, code in enumerate(line.split()) if code == "Ay")
        self.world = load_world({"map": text, "possible_goals": [goal], **keys})
        self.state = self.world.initial_state() if state is None else state

    @property
    def now(self):
        return self.world.describe(self.state)

    def agent(self, k):
        return self.now["agents"][k]

    def cell(self, k):
        return self.agent(k)["x"], self.agent(k)["y"]

    def objects(self, kind):
        return [thing for thing in self.now["objects"] if thing["type"] == kind]

    def change(self, agents=None, objects=()):
        """Set values of agents by number, and of objects by their place in the description's list."""
        now = self.now
        for k, values in (agents or {}).items():
            now["agents"][k] |= values
        for match, values in objects:
            thing = next(thing for thing in now["objects"] if match.items() <= thing.items())
            if "carried_by" in values:
                del thing["x"], thing["y"]
            thing |= values
        self.state = self.world.state(now)
        return self

    def outcomes(self, **names):
        """Return the (probability, state) pairs when agents a0, a1, ... choose the named actions and all others stay still."""
        actions = self.world.agents[0].actions
        joint = [actions.index(names.get(f"a{k}", "still")) for k in self.world.agent_order]
        return self.world.transition_probabilities(self.state, joint)

    def step(self, likely=False, **names):
        """Take the only outcome, or the most likely one."""
        outcomes = self.outcomes(**names)
        assert likely or len(outcomes) == 1
        self.state = max(outcomes)[1]
        return self

    def chances(self, view, **names):
        """Return the distribution of a view of the next state."""
        here, result = self.state, {}
        for p, state in self.outcomes(**names):
            self.state = state
            result[view(self)] = result.get(view(self), 0.0) + p
        self.state = here
        return result
