"""The compiled dynamics against the plain-Python rules of ``naive_grid``: equal distributions, whatever stands on the map."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_grid import NaiveGrid, key_of

from empo_gym.grid import load_world

CROWDED = {
    "doors": "We We We We We We\nWe Ay Kr .. Ae We\nWe Lr We Cb Kr We\nWe .. Ob Ay .. We\nWe We We We We We",
    "boxes": "We We We We We We\nWe Ay XrKb Xg Ae We\nWe .. Ae XrKb Bg We\nWe We We We We We",
    "rocks": "We We We We We We We\nWe Ay Ro Ro Ae .. We\nWe .. Bl Ro Un La We\nWe Ay .. Bl .. Sw We\nWe We We We We We We",
    "magic": "We We We We We We\nWe Ay Mw Ma Ae We\nWe Un Bu Mn Un We\nWe .. Ay .. Ms We\nWe We We We We We",
    "buttons": "We We We We We We\nWe Ay Pa Ae .. We\n"
    "We Ki CB dP .. We\nWe Ay CB Ae dK We\nWe We Pa dC .. We\nWe We We We We We",
    "traffic": "We We We We We\nWe Ay .. Ae We\nWe .. Ro .. We\nWe Ae .. Ay We\nWe We We We We",
}
CODES = (
    "..", "..", "..", "..", "..", "..", "..", "Ro", "Ro", "Bl", "La", "Un", "Un", "Kr", "Kb", "Bg", "Xr", "XrKb",
    "Lr", "Cr", "Or", "Ma", "Mn", "Me", "Bu", "Bu", "Ki", "Pa", "dK", "dP", "dC", "CB", "CB", "Sw", "Gr",
)  # fmt: skip


# Walking and toggling is what brings agents into each other's way.
EAGERNESS = {"still": 1, "left": 2, "right": 2, "forward": 9, "pickup": 3, "drop": 3, "toggle": 6, "done": 1}


TIGHT = {
    "push": "Ay Ro ..\nRo .. Ae",
    "hand": "Ay Kr .. Ae\nXrKr .. Lr ..",
    "press": "Ay Ki Ae\nPa dK dP",
    "programme": "Ae CB Ae\ndC Ay ..",
    "lethal": "Ay Ro Ay\n.. Ae La",
    "enchanted": "Ay Ma Ae\nUn Bu Un",
}


def mapping_of(text, **keys):
    return {"map": text, "possible_goals": [goal_of(text)], "can_enter_magic_walls": "ye", **keys}


def goal_of(text):
    cells = {(x, y): code for y, line in enumerate(text.splitlines()) for x, code in enumerate(line.split())}
    return next([x, y] for (x, y), code in cells.items() if code == "Ay")


def test_two_boxes_with_equal_contents_may_be_opened_at_once():
    mapping = mapping_of("Ay XrKb .. Ae XrKb ..", actions="object")
    world, naive = load_world(mapping), NaiveGrid(mapping)
    toggle = naive.actions.index("toggle")
    expected = {key: p for key, (p, _) in naive.transitions(naive.start, [toggle, toggle]).items()}
    outcomes = world.transition_probabilities(world.initial_state(), [toggle, toggle])
    assert {key_of(world.describe(state)): p for p, state in outcomes} == pytest.approx(expected)
    assert [thing["x"] for thing in world.describe(outcomes[0][1])["objects"] if thing["type"] == "key"] == [1, 4]


def turn_at_walls(naive, plain, i, action, rng):
    """Turn instead of running into a wall or acting on thin air, so that walks lead somewhere."""
    agent = plain["agents"][i]
    front = naive.ahead((agent["x"], agent["y"]), agent["dir"])
    boring = naive.ground.get(front, "wall") == "wall" or (
        naive.actions[action] == "toggle" and naive.ground[front] == "floor"
    )
    if boring and "left" in naive.actions and rng.random() < 0.8:
        return naive.actions.index("left" if rng.random() < 0.5 else "right") if "right" in naive.actions else 1
    return action


def compare_walk(mapping, steps, seed):
    """Walk at random; at every step the two implementations must agree on the distribution of the next state."""
    rng = np.random.default_rng(seed)
    world, naive = load_world(mapping), NaiveGrid(mapping)
    state, plain = world.initial_state(), naive.start
    eagerness = np.array([EAGERNESS.get(action, 3) for action in naive.actions], dtype=float)
    assert key_of(world.describe(state)) == naive.key(plain)
    for _ in range(steps):
        actions = rng.choice(len(naive.actions), size=len(world.agents), p=eagerness / eagerness.sum()).tolist()
        actions = [turn_at_walls(naive, plain, i, a, rng) for i, a in zip(naive.joint_order, actions, strict=True)]
        compiled = {key_of(world.describe(s)): (p, s) for p, s in world.transition_probabilities(state, actions)}
        expected = naive.transitions(plain, actions)
        assert {key: p for key, (p, _) in compiled.items()} == pytest.approx({key: p for key, (p, _) in expected.items()})
        keys = sorted(expected)
        weights = np.array([expected[key][0] for key in keys])
        key = keys[rng.choice(len(keys), p=weights / weights.sum())]
        state, plain = compiled[key][1], expected[key][1]
        assert world.state(world.describe(state)) == state


@pytest.mark.parametrize("name", CROWDED)
@pytest.mark.parametrize("lethal", [False, True], ids=["harmless", "lethal"])
def test_crowded_worlds_follow_the_plain_rules(name, lethal):
    compare_walk(mapping_of(CROWDED[name], actions="full", rocks_can_kill=lethal, can_push_rocks="ye"), 150, seed=len(name))


@pytest.mark.parametrize("name", ["rocks", "magic", "traffic"])
@pytest.mark.parametrize("actions", ["compass", "minimal", "small"])
def test_every_action_set_follows_the_plain_rules(name, actions):
    compare_walk(mapping_of(CROWDED[name], actions=actions, enter_bush_success_prob=0.3), 150, seed=1)


@pytest.mark.parametrize("name", TIGHT)
def test_all_joint_actions_of_many_states_follow_the_plain_rules(name):
    mapping = mapping_of(TIGHT[name], actions="object", rocks_can_kill=name == "lethal", can_push_rocks="ye", orientations="s")
    rng = np.random.default_rng(0)
    world, naive = load_world(mapping), NaiveGrid(mapping)
    plain, visited = naive.start, {}
    for _ in range(2000):
        visited[naive.key(plain)] = plain
        successors = naive.transitions(plain, rng.integers(7, size=len(world.agents)))
        # Start again now and then, since death is for good.
        plain = naive.start if rng.random() < 0.02 else successors[rng.choice(sorted(successors))][1]
    chosen = [visited[key] for key in rng.choice(sorted(visited), 12, replace=False)]
    rows = world.successors([world.state(naive.describe(plain)) for plain in chosen])
    for row in range(len(rows.indptr) - 1):
        s, joint = divmod(row, world.n_joint)
        entries = range(rows.indptr[row], rows.indptr[row + 1])
        compiled = {key_of(world.describe(rows.states[e])): rows.probs[e] for e in entries}
        expected = naive.transitions(chosen[s], world.joint_actions(joint))
        assert compiled == pytest.approx({key: p for key, (p, _) in expected.items()})


@st.composite
def mappings(draw):
    width, height = draw(st.integers(2, 4)), draw(st.integers(2, 3))
    codes = draw(st.lists(st.sampled_from(CODES), min_size=width * height, max_size=width * height))
    agents = [*draw(st.lists(st.sampled_from(["Ay", "Ae"]), max_size=2)), "Ay", "Ae"]
    places = draw(st.permutations(range(width * height)))
    for place, agent in zip(places, agents, strict=False):
        codes[place] = agent
    rows = [" ".join(codes[y * width : (y + 1) * width]) for y in range(height)]
    share = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    return mapping_of(
        "\n".join(rows),
        actions=draw(st.sampled_from(["object", "object", "full", "small", "compass"])),
        orientations=draw(st.lists(st.sampled_from("eswn"), min_size=len(agents), max_size=len(agents))),
        rocks_can_kill=draw(st.booleans()),
        can_push_rocks=draw(st.sampled_from(["e", "y", "ye"])),
        can_enter_magic_walls=draw(st.sampled_from(["e", "y", "ye"])),
        stumble_probability=draw(share),
        magic_entry_probability=draw(share),
        solidify_probability=draw(share),
        enter_bush_success_prob=draw(share),
    )


@settings(max_examples=300, deadline=None)
@given(mapping=mappings(), seed=st.integers(0, 1000))
def test_random_worlds_follow_the_plain_rules(mapping, seed):
    compare_walk(mapping, 20, seed)


def crowd(n_agents, n_cells):
    """Agents close together between rocks, keys and a pause switch."""
    codes = (
        ["Ay", "Ae", "Ae", "Ay", "Ae", "Ay"][:n_agents] + ["Ro", "Pa", "Kr", "Un", "CB"] + [".."] * (n_cells - n_agents - 5)
    )
    codes = [codes[k] for k in np.random.default_rng(3).permutation(n_cells)]
    return "\n".join(" ".join(codes[row : row + 4]) for row in range(0, n_cells, 4))


@pytest.mark.parametrize("n_agents, steps", [(5, 60), (6, 12)])
def test_many_agents_in_each_others_way_follow_the_plain_rules(n_agents, steps):
    compare_walk(mapping_of(crowd(n_agents, 12), can_push_rocks="ye", actions="object"), steps, seed=7)


def test_a_pause_switch_and_many_robots_need_no_time_for_every_order():
    text = "Ay Pa We We We We We We We We We\nAe Ae Ae Ae Ae Ae Ae Ae Ae Ae Ae"
    world = load_world(mapping_of(text, actions="object"))
    left, toggle = (world.agents[0].actions.index(name) for name in ("left", "toggle"))
    outcomes = world.transition_probabilities(world.initial_state(), [left] * 11 + [toggle])
    # Any of the 2^11 sets of robots may turn before the pause; a set of k has the chance k! (11 - k)! / 12!.
    assert len(outcomes) == 2**11
    assert min(p for p, _ in outcomes) == pytest.approx(math.factorial(5) * math.factorial(6) / math.factorial(12))


@pytest.mark.parametrize("name", CROWDED)
def test_draws_have_the_distribution_of_the_transitions(name):
    world = load_world(mapping_of(CROWDED[name], actions="object", rocks_can_kill=True, can_push_rocks="ye"))
    # Evenly spaced numbers fall into every outcome's share as often as its probability says, up to one or two at its ends.
    u = (np.arange(2_000) + 0.5) / 2_000
    rng, state = np.random.default_rng(5), world.initial_state()
    for _ in range(40):
        actions = rng.integers(1, 7, size=len(world.agents)).astype(np.int32)
        start = np.repeat(np.array([state], dtype=np.int32), len(u), axis=0)
        ends, shares = np.unique(world.draw_successors(start, np.tile(actions, (len(u), 1)), u), axis=0, return_counts=True)
        outcomes = world.transition_probabilities(state, actions.tolist())
        expected = {end: p for p, end in outcomes if p > 1 / len(u)}
        found = dict(zip(map(tuple, ends.tolist()), (shares / len(u)).tolist(), strict=True))
        assert {end: found.get(end, 0.0) for end in expected} == pytest.approx(expected, abs=5e-3)
        assert found.keys() <= {end for _, end in outcomes}
        state = outcomes[rng.integers(len(outcomes))][1] if rng.random() < 0.95 else world.initial_state()


def test_a_crowd_on_unsteady_ground_is_drawn_without_all_its_outcomes():
    cells = np.full((5, 16), "Un")
    cells[::2, ::2] = "Ae"
    cells[0, 0] = "Ay"
    ground = load_world({"map": "\n".join(map(" ".join, cells)), "possible_goals": ["0,0"]})
    forward = np.full((1, 24), ground.agents[0].actions.index("forward"), dtype=np.int32)
    # First everybody walks onto the unsteady ground; from there, 3^24 outcomes are possible.
    ahead = ground.draw_successors([ground.initial_state()], forward, np.array([0.5]))
    drawn = ground.draw_successors(np.repeat(ahead, 300, axis=0), np.repeat(forward, 300, axis=0), np.arange(300) / 300)
    turned = (drawn[:, 1::2] != ahead[:, 1::2]).mean()
    assert turned == pytest.approx(0.5, abs=0.05) and len(np.unique(drawn, axis=0)) > 250
