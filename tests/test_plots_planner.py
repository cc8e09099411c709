"""Do the planner's pictures show the numbers they name?"""

from dataclasses import asdict, replace

import numpy as np
import pytest

from empo_gym import TabularModel, Theory, load_world, solve_humans, solve_robot

pytest.importorskip("matplotlib")

from empo_gym.plots.maps import save_figure, visits
from empo_gym.plots.planner import first_decisions, goal_ability_map, sensitivity
from empo_gym.solution.convergence import NotConverged

WORLD = {
    "map": "We We We We We\nWe Ay .. Ae We\nWe .. .. .. We\nWe We We We We",
    "max_steps": 3,
    "possible_goals": ["1,1", "3,2", "2,1"],
}


@pytest.fixture(scope="module")
def model():
    return TabularModel.pack(load_world(WORLD))


@pytest.fixture(scope="module")
def solution(model):
    return solve_robot(model, solve_humans(model, Theory()), Theory())


def test_a_panel_shows_for_each_cell_the_mean_ability_to_attain_its_goal(solution, model):
    figure = goal_ability_map(solution, goals=[1])
    shown = next(image for image in figure.axes[0].images if image.get_array().ndim == 2).get_array()
    cells, weights = model.world.positions(model.states, 0), visits(solution)[:2]
    for x, y in np.unique(cells, axis=0):
        here = weights * ((cells == (x, y)).all(axis=1))
        if here.sum() > 0.0:
            assert shown[y, x] == pytest.approx((here * solution.v_h_e[0][:2, :, 1]).sum() / here.sum())
        else:
            assert shown.mask[y, x] if np.ma.is_masked(shown) else np.isnan(shown[y, x])
    assert figure.axes[0].get_title() == f"goal {model.goal_sets[0].names[1]}"


def test_by_default_all_goals_are_drawn_and_the_picture_can_be_saved(tmp_path, solution):
    figure = goal_ability_map(solution)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"goal {name}" for name in solution.model.goal_sets[0].names]
    assert save_figure(figure, tmp_path / "ability.png").stat().st_size > 1000


def test_the_picture_says_which_goals_it_shows_and_over_which_times_it_averages(solution, model, monkeypatch):
    what, mean = goal_ability_map(solution).get_suptitle().splitlines()
    assert what == "how surely human 0 attains its 3 goals, by where it stands"
    assert mean == "(mean over t = 0 to 1 and the states that may have come about)"
    monkeypatch.setattr("empo_gym.plots.planner._MAX_PANELS", 2)
    few = goal_ability_map(solution)
    assert "attains 2 of its 3 goals" in few.get_suptitle() and sum(bool(axes.get_title()) for axes in few.axes) == 2
    start = solve_robot(model, solve_humans(model, Theory()), Theory(), keep="policy")
    assert "(mean over t = 0 and the states" in goal_ability_map(start).get_suptitle()


def test_a_goal_that_is_none_is_refused(solution):
    with pytest.raises(ValueError, match="no goal 3; this human's goals are numbered 0 to 2"):
        goal_ability_map(solution, goals=[3])


def test_the_first_decision_is_solved_anew_for_each_value_of_a_parameter(model):
    for name in ("zeta", "beta_h"):
        values, policy = first_decisions(model, Theory(), name, (1.0, 3.0, float("inf")))
        assert values.tolist() == sorted({1.0, 3.0, getattr(Theory(), name)})
        for value, found in zip(values, policy, strict=True):
            theory = replace(Theory(), **{name: value})
            expected = solve_robot(model, solve_humans(model, theory), theory).pi_r[0, 0]
            np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_curve_stands_for_all_actions_of_its_probabilities(tmp_path, model):
    figure = sensitivity(model, Theory(), ranges={"beta_r": (0.0, 5.0), "zeta": (1.0, 3.0)})
    panel = figure.axes[0]
    labels = [line.get_label() for line in panel.lines if not line.get_label().startswith("_")]
    policy = first_decisions(model, Theory(), "beta_r", (0.0, 5.0))[1]
    names = model.agents[0].actions
    for line, label in zip(panel.lines, labels, strict=False):
        for name in label.removesuffix(" ...").split(", "):
            np.testing.assert_allclose(line.get_ydata(), policy[:, names.index(name)], atol=2e-3)
    assert save_figure(figure, tmp_path / "sensitivity.png").stat().st_size > 1000


def test_every_parameter_of_the_theory_has_a_panel_and_its_value_a_line(model):
    figure = sensitivity(model, Theory())
    assert figure.get_suptitle() and figure.legends[0].get_texts()[-1].get_text() == "value in force"
    panels = {axes.get_xlabel(): axes for axes in figure.axes if axes.get_xlabel()}
    own = asdict(Theory())
    assert set(panels) == {name if name != "terminal_v_r" else "-terminal_v_r" for name in own}
    for name, axes in panels.items():
        assert axes.lines[-1].get_xdata()[0] == abs(own[name.lstrip("-")])


def test_without_a_horizon_the_end_does_not_matter_and_a_failed_search_leaves_a_gap(monkeypatch):
    model = TabularModel.pack(load_world(WORLD), horizon=None)
    theory = Theory(gamma_h=0.8, gamma_r=0.8)

    def fails_for_sharp_robots(model, prior, theory, **settings):
        if theory.beta_r == 50.0:
            raise NotConverged("none", np.ones(1))
        return solve_robot(model, prior, theory, **settings)

    monkeypatch.setattr("empo_gym.plots.planner.solve_robot", fails_for_sharp_robots)
    figure = sensitivity(model, theory, ranges={"beta_r": (0.0, 50.0)})
    assert np.isnan(figure.axes[0].lines[0].get_ydata()).tolist() == [False, False, True]
    assert "gaps: no fixed point was found" in figure.get_suptitle()
    few = sensitivity(model, theory, ranges={"zeta": (1.0, 3.0)})
    assert "gaps" not in few.get_suptitle()
