"""Sequence models: the written-out gradient, the fused pass and the loop it replaces, attention's window."""

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from empo_sb3.recurrent.attention import Attention
from empo_sb3.recurrent.cells import GRU, LSTM, Layout, forget, run_layout, run_rows

CELLS = [
    lambda: LSTM(5, 8),
    lambda: LSTM(5, 8, num_layers=2),
    lambda: GRU(5, 8),
    lambda: GRU(5, 8, num_layers=2),
    lambda: Attention(5, 8, context=4, n_heads=2),
    lambda: Attention(5, 8, num_layers=2, context=3, n_heads=1),
]


@pytest.fixture(params=CELLS, ids=["lstm", "lstm2", "gru", "gru2", "attention", "attention2"])
def cell(request):
    th.manual_seed(0)
    return request.param()


def random_states(cell, n):
    """States that an episode can have reached: after a few random steps."""
    _, states = cell(th.randn(2, n, cell.input_size), cell.initial_states(n))
    return tuple(state.detach() for state in states)


def gradients(module, output):
    module.zero_grad()
    output.square().sum().backward()
    return [parameter.grad.clone() for parameter in module.parameters()]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("steps", "n"), [(1, 1), (7, 3), (40, 2)])
def test_the_gru_and_its_gradient_are_those_of_torch(layers, bias, steps, n):
    th.manual_seed(1)
    ours = GRU(4, 6, num_layers=layers, bias=bias).double()
    torchs = th.nn.GRU(4, 6, num_layers=layers, bias=bias).double()
    torchs.load_state_dict(ours.state_dict())
    x, h = th.randn(steps, n, 4).double().requires_grad_(), th.randn(layers, n, 6).double().requires_grad_()
    (output, (last,)), (expected, expected_last) = ours(x, (h,)), torchs(x, h)
    assert th.allclose(output, expected, atol=1e-12) and th.allclose(last, expected_last, atol=1e-12)
    inputs = [x, h]
    for got, want in zip(
        th.autograd.grad(output.sin().sum() + last.cos().sum(), [*inputs, *ours.parameters()]),
        th.autograd.grad(expected.sin().sum() + expected_last.cos().sum(), [*inputs, *torchs.parameters()]),
        strict=True,
    ):
        assert th.allclose(got, want, atol=1e-10)


def test_a_saturated_reset_gate_leaves_the_gradient_finite():
    cell = GRU(3, 4)
    with th.no_grad():
        cell.bias_ih_l0[:4] = -1000.0
    output, _ = cell(th.randn(5, 2, 3), cell.initial_states(2))
    assert all(th.isfinite(gradient).all() for gradient in gradients(cell, output))


def test_a_cell_computes_the_same_with_and_without_gradients(cell):
    x, states = th.randn(6, 3, 5), random_states(cell, 3)
    with th.no_grad():
        quiet, _ = cell(x, states)
    assert th.allclose(cell(x, states)[0], quiet, atol=1e-6)


def test_an_episode_in_one_pass_is_the_episode_step_by_step(cell):
    x, states = th.randn(9, 3, 5), cell.initial_states(3)
    together, last = cell(x, states)
    for t in range(9):
        one, states = cell(x[t : t + 1], states)
        assert th.allclose(one[0], together[t], atol=1e-5)
    for a, b in zip(states, last, strict=True):
        assert th.allclose(a, b, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_a_layout_puts_rows_side_by_side_and_back(flags):
    starts = np.array([True, *flags[1:]])
    layout = Layout.of(starts, "cpu")
    rows = th.arange(1.0, len(starts) + 1).unsqueeze(1)
    pieces = layout.pad(rows)
    assert th.equal(layout.flatten(pieces), rows)
    assert sorted(layout.firsts.tolist()) == np.flatnonzero(starts).tolist()
    # Every sequence lies in one lane, in order, whatever the segments.
    lanes: list[list[float]] = [[] for _ in layout.firsts]
    for piece in pieces:
        for lane in range(piece.shape[1]):
            lanes[lane] += [value for value in piece[:, lane, 0].tolist() if value]
    ends = [*np.flatnonzero(starts)[1:], len(starts)]
    sequences = {first: end for first, end in zip(np.flatnonzero(starts), ends, strict=True)}
    for first, lane in zip(layout.firsts.tolist(), lanes, strict=True):
        assert lane == list(range(first + 1, sequences[first] + 1))


def test_one_long_and_many_short_sequences_are_not_padded_to_the_longest():
    starts = np.zeros(300, dtype=bool)
    starts[[0, *range(200, 300, 5)]] = True
    layout = Layout.of(starts, "cpu")
    assert sum(steps * n for steps, n in layout.segments) < 2 * len(starts)
    assert sum(steps for steps, _ in layout.segments) == 200


@pytest.mark.parametrize("begin_share", [0.0, 0.5, 1.0])
def test_the_fused_pass_is_the_loop_over_steps_with_its_gradient(cell, begin_share):
    rng = np.random.default_rng(3)
    starts = rng.random(150) < 0.1
    starts[[0, 1, 60]] = True
    layout = Layout.of(starts, "cpu")
    begins = th.as_tensor(starts & (rng.random(150) < begin_share)).float()
    rows, states = th.randn(150, 5), random_states(cell, int(starts.sum()))

    fused = run_layout(cell, rows, states, begins, layout)
    fused_gradients = gradients(cell, fused)

    looped = []
    order = {first: lane for lane, first in enumerate(layout.firsts.tolist())}
    for row in range(150):
        if starts[row]:
            lane = order[row]
            now = forget(tuple(s[:, lane : lane + 1] for s in states), begins[row : row + 1])
        output, now = cell(rows[row].view(1, 1, 5), now)
        looped.append(output.view(1, -1))
    assert th.allclose(fused, th.cat(looped), atol=1e-5)
    for a, b in zip(fused_gradients, gradients(cell, th.cat(looped)), strict=True):
        assert th.allclose(a, b, atol=1e-3 * max(1.0, float(b.abs().max())))


def test_episodes_may_begin_anywhere_in_equally_long_rows(cell):
    rows, states = th.randn(3 * 4, 5), random_states(cell, 3)
    begins = th.zeros(3, 4)
    begins[0, 2] = begins[2, 0] = begins[1, 3] = 1.0
    outputs, last = run_rows(cell, rows, states, begins.flatten())
    for n in range(3):
        now = tuple(s[:, n : n + 1] for s in states)
        for t in range(4):
            output, now = cell(rows[4 * n + t].view(1, 1, 5), forget(now, begins[n, t : t + 1]))
            assert th.allclose(output.flatten(), outputs[4 * n + t], atol=1e-5)
        for a, b in zip(now, last, strict=True):
            assert th.allclose(a[:, 0], b[:, n], atol=1e-5)


def test_attention_sees_its_context_and_nothing_else():
    th.manual_seed(0)
    attention = Attention(3, 8, context=4, n_heads=2)
    x = th.randn(12, 1, 3, requires_grad=True)
    output, _ = attention(x, attention.initial_states(1))
    (seen,) = th.autograd.grad(output[9].sum(), x)
    assert [t for t in range(12) if seen[t].abs().sum() > 0] == [5, 6, 7, 8, 9]


def test_attention_forgets_what_was_before_an_episode():
    th.manual_seed(0)
    attention = Attention(3, 8, context=4, n_heads=2)
    x = th.randn(5, 1, 3)
    after_reset, _ = attention(x, forget(random_states(attention, 1), th.ones(1)))
    fresh, _ = attention(x, attention.initial_states(1))
    assert th.equal(after_reset, fresh)


@pytest.mark.parametrize("keywords", [{"n_heads": 3}, {"context": 0}])
def test_attention_refuses_impossible_sizes_and_says_which(keywords):
    with pytest.raises(ValueError, match=next(iter(keywords))):
        Attention(3, 8, **keywords)


def test_dropout_acts_between_layers_while_training_only():
    th.manual_seed(0)
    cell = GRU(3, 8, num_layers=2, dropout=0.5)
    x, states = th.randn(4, 2, 3), cell.initial_states(2)
    assert not th.equal(cell(x, states)[0], cell(x, states)[0])
    cell.eval()
    assert th.equal(cell(x, states)[0], cell(x, states)[0])
