"""The rules of doors, keys, boxes and buttons, each a sentence."""

import numpy as np
import pytest
from grid_play import Play

from empo_gym import load_world


def test_a_key_opens_a_locked_door_of_its_color_only():
    text = "Ay Lr ..\nKr Kb Ae"
    for color, opens in (("red", True), ("blue", False)):
        key = {"type": "key", "color": color}
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


@pytest.mark.parametrize("first", [0, 1])
def test_a_robot_that_takes_its_own_place_back_within_a_step_is_recorded(first):
    play = Play("Ae CB Ae\nAy .. ..", orientations=["e", "w", "e"]).step(**{f"a{first}": "toggle"})
    assert play.objects("control_button")[0]["waits_for"] == first

    def seen(after):
        button = after.objects("control_button")[0]
        return button["agent"], button["action"], button["waits_for"]

    chances = play.chances(seen, a0="toggle", a1="toggle")
    assert chances == pytest.approx({(first, "toggle", None): 0.5, (None, None, 1 - first): 0.5})


def test_in_a_crowd_too_a_button_records_what_its_robot_did_before_the_pause():
    play = Play("Ay Pa CB Ae\nAe Ae Ae Ae", orientations=["e", "w", "n", "n", "n", "n"]).step(a1="toggle")
    everybody = {f"a{i}": "left" for i in range(1, 6)}
    chances = play.chances(lambda after: after.objects("control_button")[0]["action"], a0="toggle", **everybody)
    assert chances == pytest.approx({"left": 0.5, None: 0.5})


def test_draws_record_and_force_actions_with_the_chances_of_the_transitions():
    play = Play("Ay CB Ae ..\nAy Bu .. ..", orientations=["e", "w", "e"]).step(a1="toggle")
    for names in ({"a0": "left", "a1": "left"}, {"a0": "toggle", "a1": "still"}, {"a0": "right", "a1": "forward"}):
        names["a2"] = "forward"
        joint = [play.world.agents[0].actions.index(names[f"a{k}"]) for k in play.world.agent_order]
        n = 300
        drawn = play.world.draw_successors(np.array([play.state] * n), np.array([joint] * n), (np.arange(n) + 0.5) / n)
        shares = {state: float((drawn == state).all(axis=1).mean()) for state in {tuple(row) for row in drawn.tolist()}}
        assert shares == pytest.approx({state: p for p, state in play.outcomes(**names)}, abs=0.03)
        play.step(a0=names["a0"], a1=names["a1"]).change({0: {"dir": "e"}})


def test_two_boxes_of_equal_content_opened_at_once_release_one_object_each():
    boxes = load_world({"map": "We We We We\nWe Ae XrKb We\nWe Ay XrKb We\nWe We We We", "max_steps": 2})
    toggle = boxes.agents[0].actions.index("toggle")
    [(probability, state)] = boxes.transition_probabilities(boxes.initial_state(), (toggle, toggle))
    lying = sorted((o["x"], o["y"]) for o in boxes.describe(state)["objects"] if o["type"] == "key" and "x" in o)
    assert probability == 1.0 and lying == [(2, 1), (2, 2)]
