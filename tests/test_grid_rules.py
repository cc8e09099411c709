"""Every rule of grid worlds, one sentence each."""

import json
from pathlib import Path

import numpy as np
import pytest

from empo_gym.grid import WorldError, load_world

GOLDEN = Path(__file__).parent / "golden"


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
        """Take the only outcome, or the likeliest one."""
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


def test_a_key_opens_a_locked_door_of_its_colour_only():
    text = "Ay Lr ..\nKr Kb Ae"
    for colour, opens in (("red", True), ("blue", False)):
        key = {"type": "key", "color": colour}
        play = Play(text).change({0: {"carrying": key}}, [(key, {"carried_by": 0})]).step(a0="toggle")
        assert play.objects("door")[0]["open"] == opens


def test_a_door_that_was_unlocked_closes_and_opens_without_a_key():
    play = Play("Ay Lr ..\nKr .. Ae").change(objects=[({"type": "door"}, {"open": True, "locked": False})])
    assert not play.step(a0="toggle").objects("door")[0]["open"]
    assert not play.objects("door")[0]["locked"]
    assert play.step(a0="toggle").objects("door")[0]["open"]


def test_an_opened_door_lets_the_next_agent_through():
    play = Play("Ay Cr Ae\nWe .. We", orientations=["e", "w"])
    assert play.chances(lambda p: p.cell(1), a0="toggle", a1="forward") == {(1, 0): 0.5, (2, 0): 0.5}


def test_a_door_with_an_agent_in_it_cannot_close():
    play = Play("Ay Or Ae", orientations=["e", "w"]).step(a1="forward")
    assert play.cell(1) == (1, 0) and play.step(a0="toggle").objects("door")[0]["open"]


def test_only_empty_hands_pick_up():
    play = Play("Kr Ay Bb Ae", orientations="e").step(a0="pickup")
    assert play.agent(0)["carrying"] == {"type": "ball", "color": "blue"}
    play.step(a0="right").step(a0="right").step(a0="pickup")
    assert play.agent(0)["carrying"]["type"] == "ball" and play.objects("key")[0]["x"] == 0


def test_two_agents_cannot_pick_up_the_same_object():
    play = Play("Ay Kr Ae", orientations=["e", "w"])
    assert play.chances(lambda p: p.objects("key")[0]["carried_by"], a0="pickup", a1="pickup") == {0: 0.5, 1: 0.5}


def test_an_object_may_be_dropped_where_somebody_just_left():
    play = Play("Ay Ae ..\nKr .. ..").change(
        {0: {"carrying": {"type": "key", "color": "red"}}}, [({"type": "key"}, {"carried_by": 0})]
    )
    assert play.chances(lambda p: p.agent(0)["carrying"] is None, a0="drop", a1="forward") == {True: 0.5, False: 0.5}


def test_two_objects_dropped_onto_the_same_cell_leave_one_in_its_hands():
    play = Play("Ay .. Ay\nKr Ae Bb", orientations=["e", "w", "e"])
    things = [{"type": "key", "color": "red"}, {"type": "ball", "color": "blue"}]
    play.change(
        {0: {"carrying": things[0]}, 1: {"carrying": things[1]}},
        [(thing, {"carried_by": k}) for k, thing in enumerate(things)],
    )
    chances = play.chances(lambda p: tuple(p.agent(k)["carrying"] is None for k in (0, 1)), a0="drop", a1="drop")
    assert chances == {(True, False): 0.5, (False, True): 0.5}


def test_an_opened_box_leaves_its_content():
    play = Play("Ay XrKb .. Ae").step(a0="toggle")
    assert play.objects("box") == [{"type": "box", "color": "red", "contains": {"type": "key", "color": "blue"}, "gone": True}]
    assert play.objects("key") == [{"type": "key", "color": "blue", "x": 1, "y": 0}]


def test_an_empty_box_vanishes_when_it_is_opened():
    assert Play("Ay Xr .. Ae").step(a0="toggle").step(a0="forward").cell(0) == (1, 0)


def test_a_box_in_a_box_comes_out_closed():
    play = Play("Ay XrXgKb .. Ae").step(a0="toggle")
    assert [box.get("x") for box in play.objects("box")] == [None, 1] or [box.get("x") for box in play.objects("box")] == [
        1,
        None,
    ]
    assert play.objects("key") == [] and play.step(a0="toggle").objects("key")[0]["x"] == 1


def test_a_human_kills_all_robots_with_a_kill_button_and_a_robot_kills_nobody():
    text = "Ay Ki Ae\nWe Ae We"
    play = Play(text, orientations=["e", "w", "n"])
    assert all(agent["alive"] for agent in play.step(a1="toggle").now["agents"])
    assert [agent["alive"] for agent in play.step(a0="toggle").now["agents"]] == [True, False, False]


def test_a_robot_killed_earlier_in_the_step_does_not_act():
    play = Play("Ay Ki ..\nWe Ae ..", orientations=["e", "e"])
    assert play.chances(lambda p: p.cell(1), a0="toggle", a1="forward") == {(1, 1): 0.5, (2, 1): 0.5}
    assert play.chances(lambda p: p.agent(1)["dir"], a0="toggle", a1="left") == {"e": 0.5, "n": 0.5}


def test_a_pause_switch_pauses_and_unpauses_all_robots():
    play = Play("Ay Pa ..\nAe .. Ae").step(a0="toggle")
    assert [agent["paused"] for agent in play.now["agents"]] == [False, True, True]
    assert play.step(a1="forward", a2="left").cell(1) == (0, 1) and play.agent(2)["dir"] == "e"
    assert not play.step(a0="toggle").agent(1)["paused"]


def test_a_robot_unpaused_earlier_in_the_step_acts():
    play = Play("Ay Pa ..\nAe .. ..").step(a0="toggle")
    assert play.chances(lambda p: p.cell(1), a0="toggle", a1="forward") == {(0, 1): 0.5, (1, 1): 0.5}


def test_a_robot_does_not_work_a_pause_switch():
    assert not Play("Ay .. ..\nAe Pa ..").step(a1="toggle").agent(1)["paused"]


@pytest.mark.parametrize(
    "switch, kind, code", [("dK", "kill_button", "Ki"), ("dP", "pause_switch", "Pa"), ("dC", "control_button", "CB")]
)
def test_a_disabling_switch_disables_all_its_buttons_and_a_second_toggle_enables_them(switch, kind, code):
    play = Play(f"Ay {code} {code}\nAe {switch} ..")
    assert [button["enabled"] for button in play.step(a1="toggle").objects(kind)] == [False, False]
    before = play.now
    assert play.step(a0="toggle").now == before
    assert [button["enabled"] for button in play.step(a1="toggle").objects(kind)] == [True, True]


def test_a_human_does_not_work_a_disabling_switch():
    assert Play("Ay dK Ki\nAe .. ..").step(a0="toggle").objects("kill_button")[0]["enabled"]


def test_disabling_a_pause_switch_that_is_on_unpauses_and_enabling_does_not_pause_again():
    play = Play("Ay Pa ..\nAe dP ..")
    chances = play.chances(lambda p: (p.objects("pause_switch")[0]["on"], p.agent(1)["paused"]), a0="toggle", a1="toggle")
    # Paused first, the robot cannot disable; otherwise the switch is dead before the human's hand reaches it.
    assert chances == {(True, True): 0.5, (False, False): 0.5}


def test_disabling_pause_switches_switches_off_all_that_are_on():
    two = (
        Play("Pa Ay Pa\ndP Ae ..", orientations=["e", "w"])
        .step(a0="toggle")
        .step(a0="right")
        .step(a0="right")
        .step(a0="toggle")
    )
    assert two.agent(1)["paused"] and [switch["on"] for switch in two.objects("pause_switch")] == [True, True]
    two.step(a0="toggle")
    assert not two.agent(1)["paused"]
    two.step(a1="toggle")
    assert [(switch["on"], switch["enabled"]) for switch in two.objects("pause_switch")] == [(False, False)] * 2
    two.step(a1="toggle")
    assert not two.agent(1)["paused"] and not any(switch["on"] for switch in two.objects("pause_switch"))


def programmed():
    """A robot that has programmed the button to move it forward; a human is ready to press."""
    play = Play("Ay CB Ae .. ..", orientations=["e", "w"]).step(a1="toggle")
    assert play.objects("control_button")[0]["waiting"]
    return play


def test_a_control_button_records_the_robots_next_action_but_still():
    play = programmed().step(a1="still")
    assert play.objects("control_button")[0]["waiting"]
    button = play.step(a1="right").objects("control_button")[0]
    assert (button["agent"], button["action"], button["waiting"]) == (1, "right", False)


def test_a_second_toggle_is_recorded_as_a_toggle():
    button = programmed().step(a1="toggle").objects("control_button")[0]
    assert (button["action"], button["waiting"]) == ("toggle", False)


def test_a_human_forces_the_recording_on_the_robot_in_its_next_step():
    play = programmed().step(a1="right").step(a0="toggle")
    assert play.agent(1)["forced"] == "right" and play.agent(1)["dir"] == "n"
    play.step(a1="left")
    assert play.agent(1)["dir"] == "e" and play.agent(1)["forced"] is None


def test_without_a_recording_a_control_button_forces_nothing():
    assert Play("Ay CB Ae").step(a0="toggle").agent(1)["forced"] is None


def test_the_older_recording_is_valid_while_the_button_waits():
    play = programmed().step(a1="right").step(a1="left").step(a1="toggle")
    button = play.objects("control_button")[0]
    assert button["waiting"] and button["action"] == "right"
    assert play.step(a0="toggle").agent(1)["forced"] == "right"


def test_a_robot_that_toggles_a_waiting_button_takes_the_other_robots_place():
    play = Play("Ae CB Ae\nAy .. ..", orientations=["e", "w", "e"]).step(a0="toggle")
    assert play.objects("control_button")[0]["waits_for"] == 0
    button = play.step(a0="left", a1="toggle").objects("control_button")[0]
    assert (button["waits_for"], button["action"]) == (1, None)
    button = play.step(a0="left", a1="left").objects("control_button")[0]
    assert (button["agent"], button["action"], button["waiting"]) == (1, "left", False)


def test_a_forced_action_is_what_a_waiting_button_records():
    play = programmed().step(a1="right").step(a1="left").step(a1="toggle").step(a0="toggle").step(a1="forward")
    assert play.agent(1)["dir"] == "n" and play.objects("control_button")[0]["action"] == "right"


def test_a_forced_action_is_consumed_even_if_it_has_no_effect():
    play = Play("Ay CB Ae We", orientations=["e", "w"]).step(a1="toggle").step(a1="forward").step(a0="toggle")
    assert play.agent(1)["forced"] == "forward"
    assert play.step(a1="right").agent(1)["forced"] is None and play.agent(1)["dir"] == "w"


def test_a_forced_action_is_kept_while_its_robot_is_paused():
    play = Play("Pa Ay CB Ae", orientations=["e", "w"]).step(a1="toggle").step(a1="right").step(a0="toggle")
    paused = [({"type": "pause_switch"}, {"on": True})]
    play.change({1: {"paused": True}}, paused).step(a1="left")
    assert play.agent(1)["forced"] == "right" and play.agent(1)["dir"] == "n"
    play.change({1: {"paused": False}}, [({"type": "pause_switch"}, {"on": False})]).step(a1="left")
    assert play.agent(1)["forced"] is None and play.agent(1)["dir"] == "e"


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
