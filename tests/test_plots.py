"""Pictures of solutions: they show the solution's numbers, and writing them never leaves half a file."""

import dataclasses
import sys

import numpy as np
import pytest

from empo_gym import ChainWorld, RobotEnv, TabularModel, Theory, load_world, solve_humans, solve_robot
from empo_gym.plots.maps import STATIONARY_STEPS, policy_arrows, power_map, save_figure, value_curve, visits


def solve(world, **theory):
    model, numbers = TabularModel.pack(world), Theory.from_mapping(theory)
    return solve_robot(model, solve_humans(model, numbers), numbers)


@pytest.fixture(scope="module")
def solution():
    return solve(load_world("two_humans"), beta_r=20.0)


def texts(axes):
    return {(round(text.get_position()[0]), round(text.get_position()[1])): text.get_text() for text in axes.texts}


def test_visits_are_probabilities_and_live_where_the_model_can_be(solution):
    reached = visits(solution)
    assert reached.shape == (solution.model.horizon + 1, solution.model.n_states)
    assert np.allclose(reached.sum(axis=1), 1.0, atol=1e-12) and (reached >= 0).all()
    assert not (reached > 0)[~solution.model.reachable_pairs()].any()


def test_visits_are_how_often_episodes_of_marginal_humans_come_by():
    solution = solve(load_world("chain"), beta_r=5.0)
    world, index, pibar = solution.model.world, solution.model.index, solution.prior.pibar[0]
    env = RobotEnv(world, human_policy=lambda state, t, human, goal, rng: pibar[t, index(state)])
    env.reset(seed=1)
    rng, n = np.random.default_rng(1), 1000
    columns = world.agent_positions(solution.model.states)[:, :, 0]
    expected, counts = np.zeros((9, 9)), np.zeros((9, 9))
    np.add.at(expected, tuple(columns.T), visits(solution)[4])
    for _ in range(n):
        env.reset()
        for t in range(4):
            env.step(solution.sample(env.state, t, rng))
        counts[tuple(columns[env.state_id])] += 1 / n
    assert (expected > 0.05).sum() > 4
    assert np.abs(counts - expected).max() < 4 * np.sqrt(0.25 / n)


def test_the_power_map_shows_each_humans_power_where_it_stands(solution):
    figure = power_map(solution, times=[0, 2])
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["t = 0", "t = 2"] * 2
    for human, panel in enumerate((panels[0], panels[2])):
        x, y = solution.model.world.positions([solution.model.state(0)], human)[0]
        assert texts(panel) == {(x, y): f"{solution.x_h[0, 0, human]:.2f}"[1:]}
    assert len(texts(panels[1])) > 1


def test_policy_arrows_name_the_most_likely_action_where_the_robot_stands(solution):
    panel = policy_arrows(solution, until=1).axes[0]
    best = int(solution.pi_r[0, 0].argmax())
    label = f"{solution.model.world.agents[0].actions[best]} {100 * solution.pi_r[0, 0, best]:.0f}%"
    assert [text.get_text() for text in panel.texts if text.get_text()] == [label]


def test_a_move_forward_is_drawn_to_where_the_robot_faces():
    world = load_world(
        {"map": "We We We We\nWe .. Ae We\nWe Ay .. We\nWe We We We", "orientations": ["w", "e"], "max_steps": 2}
    )
    panel = policy_arrows(solve(world, beta_r=0.0), until=1).axes[0]
    (arrow,) = [text for text in panel.texts if not text.get_text()]
    assert arrow.xy[0] < 2 and arrow.xy[1] == 1


def test_several_robots_have_a_panel_each():
    assert len(policy_arrows(solve(load_world("convoy"))).axes) == 2


def test_the_value_curve_begins_with_the_values_of_the_start(solution):
    uniform = solve_robot(solution.model, solution.prior, dataclasses.replace(solution.theory, beta_r=0.0))
    left, right = value_curve({"exact": solution, "uniform": uniform}).axes
    assert [line.get_ydata()[0] for line in left.lines] == pytest.approx([solution.v_r[0, 0], uniform.v_r[0, 0]])
    assert [line.get_ydata()[0] for line in right.lines] == pytest.approx([*solution.x_h[0, 0], *uniform.x_h[0, 0]])
    assert right.get_legend().get_texts()[0].get_text() == "exact, human 0"


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_a_figure_is_written_whole(solution, tmp_path, suffix):
    path = save_figure(value_curve(solution), tmp_path / "new" / f"curve.{suffix}")
    assert path.stat().st_size > 1000 and [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_figure_that_cannot_be_written_leaves_the_old_file_alone(solution, tmp_path):
    path = tmp_path / "curve.bmp-not"
    path.write_text("old")
    with pytest.raises(ValueError, match="bmp-not"):
        save_figure(value_curve(solution), path)
    assert path.read_text() == "old"


def test_a_solution_read_from_a_file_needs_its_world_to_be_drawn(solution, tmp_path):
    solution.save(tmp_path / "s.npz")
    loaded = type(solution).load(tmp_path / "s.npz")
    with pytest.raises(ValueError, match="world="):
        power_map(loaded)
    assert power_map(loaded, load_world("two_humans"), times=[0]).axes


def test_a_world_without_a_map_can_have_curves_but_no_map():
    solution = solve(ChainWorld())
    assert value_curve(solution).axes
    with pytest.raises(ValueError, match="no map"):
        policy_arrows(solution)


def test_without_matplotlib_one_is_told_what_to_install(solution, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"empo\[plots\]"):
        value_curve(solution)


def test_a_world_without_horizon_is_drawn_over_its_first_steps():
    world = load_world({"map": "We We We We We\nWe Ay .. Ae We\nWe .. .. .. We\nWe We We We We"})
    model = TabularModel.pack(world)
    theory = Theory(gamma_h=0.9, gamma_r=0.9, beta_r=2.0)
    solution = solve_robot(model, solve_humans(model, theory), theory)
    reached = visits(solution)
    assert reached.shape == (STATIONARY_STEPS + 1, model.n_states)
    np.testing.assert_allclose(reached.sum(axis=1), 1.0)
    for figure in (power_map(solution), policy_arrows(solution), value_curve(solution)):
        assert figure.axes
    shown = value_curve(solution).axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(shown[0], solution.v_r[0, 0])


def test_pictures_over_time_of_what_was_not_kept_are_refused_in_a_sentence():
    model = TabularModel.pack(load_world("two_humans"))
    start = solve_robot(model, solve_humans(model, Theory()), Theory(), keep="policy")
    assert power_map(start, times=[0]).get_suptitle().startswith("power by where")
    for draw in (power_map, value_curve):
        with pytest.raises(ValueError, match=r'needs the values at t = 1, .* keep="values"'):
            draw(start)
    assert "mean over t = 0 to" in policy_arrows(start).get_supxlabel()
