"""Every rule of grid worlds, one sentence each."""

import json
from pathlib import Path

import numpy as np
import pytest
from grid_play import Play

from empo_gym.grid import WorldError, load_world

GOLDEN = Path(__file__).parent / "golden"


def beside(code, **keys):
    """A human at 1,0 that looks at a cell in the east; what else is needed lies in the row below."""
    return Play(f"We Ay {code} ..\nWe We We We\nAe La Bp ..", can_push_rocks="y", can_enter_magic_walls="y", **keys)


WAYS = {
    "..": (True, True, True),
    "Gr": (True, True, False),
    "Sw": (True, True, False),
    "Un": (True, True, False),
    "Or": (True, False, False),
    "La": (True, True, False),
    "Bu": (True, False, False),
    "Ma": (True, False, False),
    "dead": (False, False, False),
    "living": (False, False, False),
    **dict.fromkeys(["We", "Cr", "Lr", "Ki", "Pa", "dK", "dP", "dC", "CB", "Kr", "Bb", "Xe"], (False, False, False)),
}


def occupied(text, code):
    """Put an agent on the cell where the code should be, dead or alive."""
    play = Play(text.replace("??", {"dead": "Ay", "living": "Ay"}.get(code, code)), can_push_rocks="y",
                can_enter_magic_walls="y", magic_entry_probability=1.0)  # fmt: skip
    return play.change({1: {"alive": False}}) if code == "dead" else play


@pytest.mark.parametrize("code", WAYS)
def test_what_may_be_entered(code):
    play = occupied("Ay ?? ..\nAe La ..", code).step(a0="forward")
    assert (play.cell(0) == (1, 0)) == WAYS[code][0]
    assert play.agent(0)["alive"] == (code != "La")


@pytest.mark.parametrize("code", WAYS)
def test_what_may_be_pushed_onto(code):
    play = occupied("Ay Ro ?? ..\nAe La .. ..", code).step(a0="forward")
    assert ([(rock["x"], rock["y"]) for rock in play.objects("rock")] == [(2, 0)]) == WAYS[code][1]
    assert (play.cell(0) == (1, 0)) == WAYS[code][1]


@pytest.mark.parametrize("code", WAYS)
def test_what_may_be_dropped_onto(code):
    play = occupied("Ay ?? ..\nAe La Bp", code)
    carrier = {"carrying": {"type": "ball", "color": "purple"}}
    play.change({0: carrier}, [({"type": "ball", "color": "purple"}, {"carried_by": 0})]).step(a0="drop")
    assert (play.agent(0)["carrying"] is None) == WAYS[code][2]


def test_a_trampled_bush_is_an_empty_floor():
    trampled = [({"type": "bush"}, {"trampled": True})]
    push = Play("Ay Ro Bu ..\nAe .. .. ..", can_push_rocks="y").change(objects=trampled).step(a0="forward")
    assert push.objects("rock")[0]["x"] == 2
    drop = Play("Ay Bu ..\nAe .. Bp").change(
        {0: {"carrying": {"type": "ball", "color": "purple"}}}, [*trampled, ({"type": "ball"}, {"carried_by": 0})]
    )
    assert drop.step(a0="drop").objects("ball")[0]["x"] == 1


def test_nobody_leaves_the_map():
    assert Play("Ay Ae", orientations="n").step(a0="forward", a1="forward").cell(0) == (0, 0)


def test_turning_left_and_right_goes_round_the_compass():
    play = Play("Ay Ae")
    assert [play.step(a0="right").agent(0)["dir"] for _ in range(4)] == ["s", "w", "n", "e"]
    assert [play.step(a0="left").agent(0)["dir"] for _ in range(4)] == ["n", "w", "s", "e"]


def test_two_agents_that_want_the_same_cell_get_it_with_equal_chance():
    play = Play("Ay .. Ae", orientations=["e", "w"])
    assert play.chances(lambda p: (p.cell(0), p.cell(1)), a0="forward", a1="forward") == {
        ((1, 0), (2, 0)): 0.5,
        ((0, 0), (1, 0)): 0.5,
    }


def test_three_agents_that_want_the_same_cell_get_it_with_equal_chance():
    play = Play("Ay .. Ae\n.. Ay ..", orientations=["e", "w", "n"])
    chances = play.chances(lambda p: [p.cell(k) for k in range(3)].index((1, 0)), a0="forward", a1="forward", a2="forward")
    assert chances == pytest.approx({0: 1 / 3, 1: 1 / 3, 2: 1 / 3})


def test_there_are_no_trains():
    play = Play("Ay Ae ..").step(a0="forward", a1="forward")
    assert (play.cell(0), play.cell(1)) == ((0, 0), (2, 0))


def test_there_are_no_swaps():
    play = Play("Ay Ae", orientations=["e", "w"]).step(a0="forward", a1="forward")
    assert (play.cell(0), play.cell(1)) == ((0, 0), (1, 0))


def test_nothing_is_pushed_onto_a_cell_that_somebody_leaves_in_the_same_step():
    play = Play("Ae Ro Ay ..", orientations=["e", "e"]).step(a0="forward", a1="forward")
    assert play.objects("rock")[0]["x"] == 1 and play.cell(1) == (3, 0)


def test_nobody_enters_the_cell_of_a_dead_agent():
    play = Play("Ae Ay ..\nLa .. ..").change({1: {"alive": False}})
    assert play.step(a0="forward").cell(0) == (0, 0)
    assert play.step(a1="forward").cell(1) == (1, 0)


def test_whole_rows_of_blocks_and_rocks_are_pushed():
    play = Play("Ae Bl Ro Bl .. Ay").step(a0="forward")
    assert [rock["x"] for rock in play.objects("rock")] == [3]
    assert sorted(block["x"] for block in play.objects("block")) == [2, 4]


def test_a_row_with_a_rock_stays_if_the_pusher_cannot_push_rocks():
    assert Play("Ay Bl Ro .. Ae").step(a0="forward").cell(0) == (0, 0)
    assert Play("Ay Bl Bl .. Ae").step(a0="forward").cell(0) == (1, 0)


def test_a_row_against_a_wall_stays():
    assert Play("Ay Bl Bl We Ae").step(a0="forward").cell(0) == (0, 0)


def test_a_rock_on_lava_covers_it_until_it_is_pushed_on():
    play = Play("Ae Ro La .. .. Ay").step(a0="forward")
    assert play.objects("rock")[0]["x"] == 2 and play.agent(0)["alive"]
    play.step(a0="forward")
    assert play.objects("rock")[0]["x"] == 3 and not play.agent(0)["alive"]


def test_swapping_two_rocks_gives_the_same_state():
    play = Play("Ay Ro Ro Ae")
    here, now = play.state, play.now
    now["objects"].reverse()
    assert play.world.state(now) == here


def test_lava_kills_and_the_dead_stay_where_they_are():
    play = Play("Ay La .. Ae").step(a0="forward")
    assert play.cell(0) == (1, 0) and not play.agent(0)["alive"]
    assert play.step(a0="forward").cell(0) == (1, 0) and play.step(a0="left").agent(0)["dir"] == "e"


def test_a_rock_kills_only_where_rocks_can_kill():
    lethal = Play("Ae Ro Ay We", rocks_can_kill=True).step(a0="forward")
    assert not lethal.agent(1)["alive"] and lethal.objects("rock")[0]["x"] == 2
    assert Play("Ae Ro Ay We").step(a0="forward").objects("rock")[0]["x"] == 1


def test_a_robot_may_be_killed_by_a_rock_and_a_button_at_once():
    play = Play("Ay Ro Ae We\nAy Ki .. ..", can_push_rocks="y", rocks_can_kill=True)
    chances = play.chances(lambda p: (p.cell(0), p.agent(1)["alive"]), a0="forward", a2="toggle")
    assert chances == {((1, 0), False): 0.5, ((0, 0), False): 0.5}


def test_a_block_never_kills():
    assert Play("Ae Bl Ay Ro", rocks_can_kill=True).step(a0="forward").agent(1)["alive"]


def test_a_rock_pushed_at_somebody_who_walks_away_hits_only_if_it_comes_first():
    play = Play("Ae Ro Ay ..", rocks_can_kill=True)
    chances = play.chances(lambda p: (p.agent(1)["alive"], p.cell(1)), a0="forward", a1="forward")
    assert chances == {(False, (2, 0)): 0.5, (True, (3, 0)): 0.5}


def test_a_row_over_a_dead_agent_stays():
    play = Play("Ae Ro Ro Ay ..", rocks_can_kill=True).step(a0="forward")
    assert play.cell(0) == (1, 0) and not play.agent(1)["alive"]
    assert play.step(a0="forward").cell(0) == (1, 0)


def test_unsteady_ground_turns_half_of_the_steps_left_or_right():
    play = Play("We .. We\n.. Un ..\nWe .. We\nAy Ae ..").change({1: {"x": 1, "y": 1}})
    chances = play.chances(lambda p: (p.cell(1), p.agent(1)["dir"]), a1="forward")
    assert chances == {((2, 1), "e"): 0.5, ((1, 0), "n"): 0.25, ((1, 2), "s"): 0.25}


def test_a_stumbling_agent_stays_turned_even_if_it_is_blocked():
    play = Play("We We We\n.. Un ..\nWe We We\nAy Ae ..", stumble_probability=1.0).change({1: {"x": 1, "y": 1}})
    assert play.chances(lambda p: (p.cell(1), p.agent(1)["dir"]), a1="forward") == {((1, 1), "n"): 0.5, ((1, 1), "s"): 0.5}


@pytest.mark.parametrize(("enter", "solidify"), [(0.02, 0.07), (0.02, 0.47), (0.03, 0.3), (0.3, 0.07)])
def test_the_largest_number_of_a_share_draws_something_that_can_happen(enter, solidify):
    # Chances of stumbling, entering and solidifying are rounded: together they may be less than the largest number below 1.
    keys = {"stumble_probability": 1.0, "magic_entry_probability": enter, "solidify_probability": solidify}
    play = Play("Ma .. Ae\nUn .. Ay\nMa .. ..", can_enter_magic_walls="y", **keys).change({1: {"x": 0, "y": 1}})
    joint = [play.world.agents[0].actions.index("forward")] * 2
    outcomes = {tuple(state) for _, state in play.outcomes(a0="forward", a1="forward")}
    # Half of the numbers let the first agent begin; what is left of the largest of them is the largest number below 1.
    u = np.array([np.nextafter(0.5, 0.0), np.nextafter(1.0, 0.0)])
    drawn = play.world.draw_successors(np.array([play.state] * 2), np.array([joint] * 2), u)
    assert set(map(tuple, drawn.tolist())) <= outcomes


def test_turning_on_unsteady_ground_is_sure():
    play = Play("Un Ay Ae").change({1: {"x": 0, "y": 0}})
    assert len(play.outcomes(a1="left")) == 1


def test_a_compass_move_is_deflected_without_a_heading():
    play = Play("We .. We\n.. Un ..\nWe .. We\nAy Ae ..", actions="compass").change({1: {"x": 1, "y": 1}})
    chances = play.chances(lambda p: (p.cell(1), p.agent(1)["dir"]), a1="west")
    assert chances == {((0, 1), None): 0.5, ((1, 0), None): 0.25, ((1, 2), None): 0.25}


def test_compass_worlds_have_a_quarter_of_the_states_per_agent():
    text = "Ay .. Ae"
    assert Play(text, actions="compass").world.radices.tolist() == [3, 3]
    assert Play(text, actions="small").world.radices.tolist() == [3, 4, 3, 4]


@pytest.mark.parametrize(
    "side, heading, way", [("n", "s", (1, 0)), ("s", "n", (1, 2)), ("w", "e", (0, 1)), ("e", "w", (2, 1))]
)
def test_a_magic_wall_is_entered_from_its_side_only(side, heading, way):
    text = f".. .. ..\n.. M{side} ..\n.. .. ..\nAy Ae .."
    for start in ((1, 0), (1, 2), (0, 1), (2, 1)):
        facing = {(1, 0): "s", (1, 2): "n", (0, 1): "e", (2, 1): "w"}[start]
        play = Play(text, can_enter_magic_walls="y", magic_entry_probability=1.0)
        play.change({0: {"x": start[0], "y": start[1], "dir": facing}})
        assert (play.step(a0="forward").cell(0) == (1, 1)) == (start == way and facing == heading)


def test_an_all_sided_magic_wall_is_entered_from_everywhere():
    for start, facing in (((1, 0), "s"), ((1, 2), "n"), ((0, 1), "e"), ((2, 1), "w")):
        play = Play(".. .. ..\n.. Ma ..\n.. .. ..\nAy Ae ..", can_enter_magic_walls="y", magic_entry_probability=1.0)
        play.change({0: {"x": start[0], "y": start[1], "dir": facing}})
        assert play.step(a0="forward").cell(0) == (1, 1)


def test_a_magic_wall_lets_in_by_chance_and_may_solidify_on_failure():
    play = Play("Ay Mw ..\nAe .. ..", can_enter_magic_walls="y", magic_entry_probability=0.25, solidify_probability=0.5)
    chances = play.chances(lambda p: (p.cell(0), p.objects("magic_wall")[0]["active"]), a0="forward")
    assert chances == {((1, 0), True): 0.25, ((0, 0), False): 0.375, ((0, 0), True): 0.375}


def test_a_solid_magic_wall_is_a_wall_and_stays_one_in_a_description():
    play = Play("Ay Mw ..\nAe .. ..", can_enter_magic_walls="y").change(objects=[({"type": "magic_wall"}, {"active": False})])
    assert play.world.state(play.now) == play.state
    assert play.step(a0="forward").cell(0) == (0, 0)


def test_others_cannot_enter_magic_walls_and_do_not_solidify_them():
    assert Play("Ay Mw ..\nAe .. ..").step(a0="forward").cell(0) == (0, 0)


def test_robots_trample_bushes_for_good():
    play = Play("Ae Bu .. Ay", enter_bush_success_prob=0.0).step(a0="forward")
    assert play.cell(0) == (1, 0) and play.objects("bush")[0]["trampled"]


def test_humans_enter_bushes_by_chance_and_the_bush_stays():
    play = Play("Ay Bu .. Ae", enter_bush_success_prob=0.25)
    chances = play.chances(lambda p: (p.cell(0), p.objects("bush")[0]["trampled"]), a0="forward")
    assert chances == {((1, 0), False): 0.25, ((0, 0), False): 0.75}


def test_an_action_outside_the_set_is_an_error_that_names_the_agent_and_its_actions():
    play = Play("Ay .. Ae", actions="small")
    for actions in ([4, 0], [0, -1]):
        with pytest.raises(
            ValueError, match=r"(robot|human) 0 has no action (4|-1); it has 0 to 3 \(still, left, right, forward\)"
        ):
            play.world.transition_probabilities(play.state, actions)


def test_only_what_can_vary_is_in_the_state():
    assert len(Play("Ay .. Ae", actions="small").world.radices) == 4
    assert len(Play("Ay La Ae", actions="small").world.radices) == 6
    assert len(Play("Ay Ro Ae", actions="small", can_push_rocks="").world.radices) == 4
    assert len(Play("Ay Kr Ae", actions="small").world.radices) == 4
    assert len(Play("Ay Ki Ae").world.radices) == 5


def test_a_state_of_the_wrong_shape_or_range_is_an_error():
    world = Play("Ay .. Ae", actions="small").world
    for state in ((0, 0, 0), (0, 0, 0, 4), (-1, 0, 0, 0)):
        with pytest.raises(WorldError):
            world.transition_probabilities(state, [0, 0])


def test_many_outcomes_are_sorted_distinct_and_sum_to_one():
    play = Play("Ay Un Ae\nUn Un Un\nAy Un Ae").change({k: {"x": k % 3, "y": 1} for k in range(3)})
    outcomes = play.outcomes(a0="forward", a1="forward", a2="forward", a3="forward")
    states = [state for _, state in outcomes]
    assert len(outcomes) > 5 and states == sorted(set(states)) and abs(sum(p for p, _ in outcomes) - 1) < 1e-12


def test_seventeen_agents_far_apart_are_no_harder_than_one():
    rows = [" ".join("Ay" if (x + y) % 2 else "Ae" for x in range(0, 4)).replace(" ", " .. .. ") for y in range(4)]
    text = ("\n" + " ".join([".."] * 10) + "\n").join(rows) + "\n" + " ".join([".."] * 9) + " Ay"
    play = Play(text, actions="small")
    assert len(play.world.agents) == 17
    assert len(play.outcomes(**{f"a{k}": "forward" for k in range(17)})) == 1


def test_answers_do_not_depend_on_earlier_questions():
    play = Play("Ay Ro .. Ae\nUn Kr Cr CB", orientations="s")
    rng = np.random.default_rng(0)
    questions, states = [], [play.state]
    for _ in range(60):
        joint = rng.integers(7, size=2)
        questions.append((states[-1], joint, play.world.transition_probabilities(states[-1], joint)))
        states.append(questions[-1][2][0][1])
    fresh = load_world(play.world.mapping)
    for k in rng.permutation(len(questions)):
        state, joint, answer = questions[k]
        assert fresh.transition_probabilities(state, joint) == answer
    rows = play.world.successors(states[:5])
    first = play.world.joint_index(questions[3][1]) + 3 * play.world.n_joint
    entries = slice(rows.indptr[first], rows.indptr[first + 1])
    assert questions[3][2] == list(zip(rows.probs[entries].tolist(), map(tuple, rows.states[entries].tolist()), strict=True))


@pytest.mark.parametrize("name", ["rock_corridor", "two_gates", "lava", "two_humans_block", "buttons", "pause_corridor"])
def test_golden_worlds_have_their_number_of_reachable_states(name):
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    world = load_world(golden["world"])
    layer = np.array([world.initial_state()])
    total = 1
    for _ in range(world.horizon):
        layer = np.unique(world.successors(layer).states, axis=0)
        total += len(layer)
    assert total == golden["n_states_with_time"]


def test_agents_that_meet_only_if_others_make_way_are_permuted_too():
    play = Play("Ay .. Ay Bp\nAy Ro Kr ..\nAe .. .. ..", can_push_rocks="y", orientations=["s", "s", "e", "e"])
    play.change({0: {"carrying": {"type": "ball", "color": "purple"}}}, [({"type": "ball"}, {"carried_by": 0})])
    # The key lies behind the rock: only once it is taken can the third agent push, and only then is there room for the ball.
    chances = play.chances(lambda p: (p.cell(2)[0], p.agent(0)["carrying"] is None), a0="drop", a1="pickup", a2="forward")
    assert chances == pytest.approx({(1, True): 1 / 6, (1, False): 1 / 3, (0, False): 1 / 2})
