"""Do the sources know what is new, leave the training's random stream alone, and survive copying? Are tables exact means?"""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from empo_sb3.empo.targets.growing import VisitCounter
from empo_sb3.uncertainty import RND, CountedTable, Ensemble, MCDropout, VisitCounts, Weighing, require_plain_sgd
from empo_sb3.uncertainty.lr_rules import KLRule, lr, one_over_n, proportional, sample_weight


def states(n, center=0.0, seed=0, d=4):
    return np.random.default_rng(seed).normal(center, 1.0, (n, d)).astype(np.float32)


def dropout_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 2))


class Remembering(nn.Module):
    """A recurrent member: (n, length, 4) to (n, 1)."""

    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, sequences):
        return self.head(self.gru(sequences)[0][:, -1])


SOURCES = {
    "rnd": lambda: RND(lr=1e-2),
    "rnd_some": lambda: RND(lr=1e-2, proportion=0.5),
    "ensemble": lambda: Ensemble(3, lr=1e-2),
    "ensemble_batched": lambda: Ensemble(3, lr=1e-2, forward="batched"),
    "dropout": lambda: MCDropout(dropout_net()),
}
by_source = pytest.mark.parametrize("source", SOURCES)
learning = pytest.mark.parametrize("source", [name for name in SOURCES if name != "dropout"])


# ---------------------------------------------------------------- sources


@by_source
def test_uncertainty_is_one_number_per_state_and_not_negative(source):
    source = SOURCES[source]()
    for n in (1, 7, 200):
        source.update(states(n))
        uncertainty = source(states(n))
        assert uncertainty.shape == (n,) and uncertainty.dtype == np.float64 and (uncertainty >= 0).all()


@learning
def test_states_that_were_learned_are_less_uncertain_than_new_ones(source):
    source = SOURCES[source]()
    for i in range(300):
        source.update(states(64, seed=i))
    assert 3 * source(states(64, seed=999)).mean() < source(states(64, center=6.0, seed=999)).mean()


@by_source
def test_a_source_leaves_the_random_streams_of_the_training_alone(source):
    source = SOURCES[source]()
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for _ in range(3):
        source(states(20))
        source.update(states(20))
    assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()


@by_source
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda source: pickle.loads(pickle.dumps(source))], ids=["copy", "pickle"]
)
def test_a_copied_source_goes_on_exactly_as_the_original(source, duplicate):
    source = SOURCES[source]()
    source.update(states(20))
    other = duplicate(source)
    for one in (source, other):
        one.update(states(20, seed=1))
    assert (source(states(9, seed=2)) == other(states(9, seed=2))).all()


@by_source
def test_a_source_works_where_gradients_are_switched_off(source):
    source = SOURCES[source]()
    with torch.no_grad():
        source.update(states(20))
        assert source(states(5)).shape == (5,) and not torch.is_grad_enabled()


def test_a_mapping_of_observations_counts_with_all_its_entries():
    seen = {"b": states(8, seed=1), "a": torch.as_tensor(states(8, seed=2))}
    together = np.concatenate([seen["a"].numpy(), seen["b"]], axis=1)
    assert (RND()(seen) == RND()(together)).all()


def test_the_error_of_rnd_is_the_mean_square_over_the_features():
    rnd = RND(n_features=8)
    batch = states(5)
    errors = rnd(batch)
    with torch.no_grad():
        difference = rnd.predictor(torch.as_tensor(batch)) - rnd.target(torch.as_tensor(batch))
    assert errors == pytest.approx((difference**2).mean(dim=1).numpy(), rel=1e-6)


def test_the_target_of_rnd_never_changes_and_extreme_states_are_clipped():
    rnd = RND(lr=1e-1)
    rnd.update(states(100))
    before = copy.deepcopy(rnd.target.state_dict())
    rnd.update(states(100, seed=1))
    assert all(torch.equal(value, before[name]) for name, value in rnd.target.state_dict().items())
    assert rnd(np.full((1, 4), 1e3)) == rnd(np.full((1, 4), 1e9))


def test_running_moments_are_those_of_everything_seen():
    rnd, parts = RND(), [states(n, center=n, seed=n) for n in (3, 50, 8)]
    for part in parts:
        rnd.update(part)
    everything = np.concatenate(parts).astype(np.float64)
    assert rnd.moments.mean == pytest.approx(everything.mean(axis=0), rel=1e-6)
    assert rnd.moments.var == pytest.approx(everything.var(axis=0), rel=1e-6)


def test_a_batched_ensemble_learns_and_disagrees_as_the_plain_loop_does():
    loop, batched = SOURCES["ensemble"](), SOURCES["ensemble_batched"]()
    for i in range(5):
        for source in (loop, batched):
            source.update(states(32, seed=i))
    assert batched(states(32, seed=9)) == pytest.approx(loop(states(32, seed=9)), rel=1e-3)


def test_ensembles_of_recurrent_networks_run_in_a_loop_and_refuse_to_be_batched():
    sequences = np.random.default_rng(0).normal(size=(6, 5, 4))
    ensemble = Ensemble(3, make_network=Remembering)
    ensemble.update(sequences)
    assert ensemble(sequences).shape == (6,)
    with pytest.raises(ValueError, match="forward='loop'"):
        Ensemble(3, make_network=Remembering, forward="batched")(sequences)


def test_an_ensemble_can_learn_given_targets():
    ensemble = Ensemble(3, lr=1e-2)
    for i in range(300):
        batch = states(64, seed=i)
        ensemble.update(batch, batch.sum(axis=1))
    batch = states(64, seed=999)
    with torch.no_grad():
        answers = ensemble.members[0](ensemble.moments.whiten(torch.as_tensor(batch)))[:, 0]
    assert np.corrcoef(answers.numpy(), batch.sum(axis=1))[0, 1] > 0.98


def test_dropout_is_switched_alone_and_switched_back_even_after_an_error():
    net = dropout_net().eval()
    net[1].train()
    modes = [module.training for module in net.modules()]
    during = []

    def answer(batch):
        during.append([module.training for module in net.modules()])
        raise RuntimeError("broken network")

    mean = net[1].running_mean.clone()
    MCDropout(net)(states(10))
    with pytest.raises(RuntimeError, match="broken"):
        MCDropout(net, answer)(states(10))
    assert during == [[False, False, False, True, False]] and [module.training for module in net.modules()] == modes
    assert torch.equal(mean, net[1].running_mean)


def test_dropout_looks_at_a_part_of_the_batch_every_few_calls():
    seen = []
    net = dropout_net().eval()

    def answer(batch):
        seen.append(len(batch))
        return net(batch)

    source = MCDropout(net, answer, n_samples=3, max_states=16, every=4)
    looks = [source(states(100)) for _ in range(5)]
    assert seen == [16] * 6
    rest = np.setdiff1d(np.arange(100), np.flatnonzero(looks[0] != looks[1]))
    assert len(rest) == 84 and (looks[1] == looks[0][rest[0]]).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: RND(proportion=0.0),
        lambda: Ensemble(1),
        lambda: Ensemble(3, forward="both"),
        lambda: MCDropout(nn.Linear(2, 2)),
        lambda: MCDropout(nn.Dropout(0.0)),
        lambda: MCDropout(dropout_net(), n_samples=1),
        lambda: Weighing(RND(), proportional(), decay=1.0),
        lambda: proportional(min=2.0, max=1.0),
        lambda: one_over_n(-1.0),
        lambda: KLRule(factor=1.0),
    ],
)
def test_a_source_or_rule_that_makes_no_sense_is_refused(make):
    with pytest.raises(ValueError, match=r"^\w+"):
        make()


# ---------------------------------------------------------------- rules


def test_with_counts_the_one_over_n_rule_gives_running_means():
    counts, rule, rng = VisitCounts(3), one_over_n(), np.random.default_rng(0)
    estimate, met = np.zeros(3), [[], [], []]
    for _ in range(500):
        pair = int(rng.integers(3))
        target = rng.normal(3.0, 2.0)
        rate = rule(counts(np.array([pair])), 1.0)[0]
        counts.update(np.array([pair]))
        estimate[pair] += rate * (target - estimate[pair])
        met[pair].append(target)
    assert estimate == pytest.approx([np.mean(each) for each in met], rel=1e-12)
    assert rule(np.array([1e-9]), 1.0)[0] == 1e-6


def test_constant_uncertainty_is_a_factor_of_exactly_one():
    weighing = Weighing(lambda_source(lambda batch: np.full(len(batch), 0.37)), proportional())
    assert all((weighing(states(5)) == 1.0).all() for _ in range(50))


def test_factors_are_relative_to_the_running_mean_and_clipped_at_both_ends():
    levels = iter([1.0, 1.0, 100.0, 1e-5])
    weighing = Weighing(lambda_source(lambda batch: np.full(len(batch), next(levels))), proportional(), decay=0.5)
    assert [weighing(states(2))[0] for _ in range(4)] == [1.0, 1.0, 10.0, 0.1]
    assert (proportional(scale=2.0)(np.array([0.5, 1.0]), 1.0) == [1.0, 2.0]).all()


def test_the_running_mean_follows_what_was_seen():
    levels = iter([1.0, 3.0, 2.0, 2.0])
    weighing = Weighing(lambda_source(lambda batch: np.full(len(batch), next(levels))), proportional(), decay=0.5)
    assert [weighing(states(2))[0] for _ in range(4)] == [1.0, 3.0, 1.0, 1.0] and weighing.typical == 2.0


def test_nothing_uncertain_and_nothing_finite_are_neutral():
    assert (proportional()(np.zeros(3), 0.0) == 1.0).all()
    weighing = Weighing(lambda_source(lambda batch: np.array([1.0, np.nan])), proportional())
    assert (weighing(states(2)) == 1.0).all()


def test_the_modes_are_weights_of_mean_one_and_a_mean():
    factors = np.array([0.5, 1.0, 3.0])
    assert sample_weight(factors).mean() == pytest.approx(1.0, abs=1e-15)
    assert sample_weight(factors) == pytest.approx(factors / 1.5)
    assert lr(factors) == 1.5


def test_a_batch_is_measured_before_it_is_learned():
    order = []

    class Source:
        def update(self, batch):
            order.append("update")

        def __call__(self, batch):
            order.append("measure")
            return np.ones(len(batch))

    Weighing(Source(), proportional())(states(3))
    assert order == ["measure", "update"]


def lambda_source(measure):
    class Source:
        def update(self, batch):
            pass

        def __call__(self, batch):
            return measure(batch)

    return Source()


# ---------------------------------------------------------------- tables


def table(rows=4, columns=3, dtype=torch.float64, sparse=False):
    return CountedTable.from_pretrained(torch.full((rows, columns), 9.0, dtype=dtype), freeze=False, sparse=sparse)


def visit(tab, optimizer, keys, targets):
    """One training step on (row, column) keys."""
    optimizer.zero_grad()
    keys, targets = torch.as_tensor(keys), torch.as_tensor(targets, dtype=tab.weight.dtype)
    (0.5 * (tab(keys[:, 0])[torch.arange(len(keys)), keys[:, 1]] - targets).square().sum()).backward()
    tab.increment_update_counts(keys)
    tab.scale_gradients_by_update_count(min_lr=1e-6)
    optimizer.step()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_after_every_update_each_entry_is_the_mean_of_its_targets(sparse, dtype, tolerance):
    tab = table(dtype=dtype, sparse=sparse)
    optimizer = torch.optim.SGD(tab.parameters(), lr=1.0)
    rng, met = np.random.default_rng(1), {}
    for i in range(300):
        keys = rng.integers([0, 0], [4, 3], size=(8, 2))
        targets = rng.normal(3.0, 2.0, size=8)
        if i % 5 == 0:  # visits without an error: the target is what the table says
            targets = tab.weight.detach()[keys[:, 0], keys[:, 1]].double().numpy().copy()
        if i == 150:
            saved = tab.state_dict()
            tab = table(dtype=dtype, sparse=sparse)
            tab.load_state_dict(saved)
            optimizer = torch.optim.SGD(tab.parameters(), lr=1.0)
        visit(tab, optimizer, keys, targets)
        for (row, column), target in zip(keys.tolist(), targets, strict=True):
            met.setdefault((row, column), []).append(target)
        for (row, column), values in met.items():
            assert float(tab.weight.detach()[row, column]) == pytest.approx(np.mean(values), rel=tolerance)
            assert tab.get_update_count((row, column)) == len(values)


def test_whole_rows_are_counted_with_multiplicity_and_counts_can_restart():
    tab = table()
    tab.increment_update_counts([1, 1, 2])
    assert [tab.get_update_count(row) for row in range(4)] == [0, 2, 1, 0]
    tab.increment_update_counts([[1, 0]])
    assert tab.get_update_count((1, 0)) == 3 and tab.get_update_count(1) == 2
    tab.reset_update_counts()
    assert int(tab.update_counts.sum()) == 0
    with pytest.raises(ValueError, match="keys are"):
        tab.increment_update_counts([[1, 2, 3]])


def test_the_rate_never_falls_below_its_floor():
    tab = table()
    tab.increment_update_counts([0] * 100)
    tab.weight.grad = torch.ones_like(tab.weight)
    assert tab.scale_gradients_by_update_count(min_lr=0.25).tolist() == [0, 1, 2, 3]
    assert tab.weight.grad[0].tolist() == [0.25] * 3 and tab.weight.grad[1].tolist() == [1.0] * 3


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p),
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=1.0, weight_decay=1e-3),
        lambda p: torch.optim.SGD(p, lr=1.0, maximize=True),
    ],
)
def test_any_other_optimizer_is_refused_with_the_reason(make):
    with pytest.raises(ValueError, match=r"needs plain SGD .* miss the mean"):
        require_plain_sgd(make(table().parameters()))


def test_plain_sgd_is_accepted():
    require_plain_sgd(torch.optim.SGD(table().parameters(), lr=1.0))


@pytest.mark.parametrize("visits", [VisitCounts(10), VisitCounter()])
def test_pairs_that_were_met_stay_known_when_their_visits_are_forgotten(visits):
    visits.update(np.array([3, 7, 3]))
    visits.reset()
    assert visits.pairs.tolist() == [3, 7] and visits(np.array([3, 7, 5])).tolist() == [1.0, 1.0, 1.0]
    visits.update(np.array([7, 5]))
    assert sorted(visits.pairs.tolist()) == [3, 5, 7] and visits(np.array([3, 5, 7])).tolist() == [1.0, 0.5, 0.5]
