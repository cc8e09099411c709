"""Learning where the world is too large to pack: the targets of ``tabular.py`` on states as they are met.

A packed world lets target copies be arrays over all pairs. Here they are copies of the networks, asked for the successors of
a batch and nowhere else, and a target is kept until the next copy. Rows come from a
:class:`~empo_gym.model.growing.GrowingModel`, observations from the world's batched ``observe``, the humans from their batched
``policies``. The equations, and what is known at the horizon, are the same.

A pair is numbered by the model's ``pair_index``, with the number ``s`` of a state in the order of meeting.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch as th

from empo_gym import equations
from empo_gym.envs.human_policies import Humans
from empo_gym.model.growing import Column, GrowingModel
from empo_gym.model.tabular import TabularModel
from empo_gym.theory import Theory
from empo_sb3.empo.networks.base_policy import EmpoPolicy
from empo_sb3.empo.networks.quantity_network import QuantityNetwork
from empo_sb3.empo.quantities import READS
from empo_sb3.empo.targets.pairs import PairTargets, Values, joint_policy

Copies = dict[str, dict[str, th.Tensor]]
"""The weights of target copies by quantity."""


class ObservationLookup:
    """What is seen of pairs, looked up by their numbers: it stands where packed learners have an array.

    :param model: whose states they are
    :param kind: observation kind
    """

    def __init__(self, model: GrowingModel, kind: str) -> None:
        self._model, self._kind = model, kind

    def __getitem__(self, pairs: th.Tensor) -> th.Tensor:
        t, s = self._model.pair_index.split(pairs.cpu().numpy())
        seen = self._model.world.observe(self._model.states_of(s), t=t, kind=self._kind)
        return th.as_tensor(np.asarray(seen, dtype=np.float32), device=pairs.device)


class VisitCounter:
    """Visits of pairs, known as they are visited: what ``VisitCounts`` is where all pairs are known beforehand."""

    def __init__(self) -> None:
        self._place: dict[int, int] = {}
        self._pairs, self._counts = Column(np.int64), Column(np.int64)

    @property
    def pairs(self) -> np.ndarray:
        """(n,) numbers of the visited pairs, in the order of their first visits."""
        return self._pairs.rows

    @property
    def counts(self) -> np.ndarray:
        """(n,) their visits since the last :meth:`reset`."""
        return self._counts.rows

    def update(self, pairs: np.ndarray) -> None:
        """Count one visit for each occurrence."""
        new = [pair for pair in dict.fromkeys(pairs.tolist()) if pair not in self._place]
        self._place.update({pair: len(self._place) + k for k, pair in enumerate(new)})
        self._pairs.extend(np.array(new, dtype=np.int64))
        self._counts.extend(np.zeros(len(new), dtype=np.int64))
        np.add.at(self._counts.rows, self._places(pairs), 1)

    def __call__(self, pairs: np.ndarray) -> np.ndarray:
        """Uncertainty in (0, 1] of each pair; 1 for one never visited."""
        places = self._places(pairs)
        return 1.0 / (1.0 + np.where(places >= 0, np.append(self.counts, 0)[places], 0))

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """What was counted, as plain values."""
        return {"pairs": self.pairs, "counts": self.counts}

    @memory.setter
    def memory(self, memory: dict[str, np.ndarray]) -> None:
        self.__init__()  # type: ignore[misc]
        self.update(memory["pairs"])
        self._counts.rows[:] = memory["counts"]

    def reset(self) -> None:
        """Forget the numbers of visits, but not which pairs there are."""
        self._counts.rows[:] = 0

    def _places(self, pairs: np.ndarray) -> np.ndarray:
        return np.array([self._place.get(pair, -1) for pair in pairs.tolist()], dtype=np.int64)


class TargetCache:
    """Targets computed since something that they depend on changed, by pair: the networks' copies stand still in between."""

    def __init__(self) -> None:
        self.forget()

    def forget(self, reason: Any = None) -> None:
        """Hold nothing for known any more; ``reason`` is what the next ones depend on."""
        self._reason = reason
        self._place: dict[int, int] = {}
        self._pairs = Column(np.int64)
        self._columns: dict[str, Column] = {}

    @property
    def pairs(self) -> np.ndarray:
        """(n,) the pairs whose targets are known."""
        return self._pairs.rows

    @property
    def memory(self) -> dict[str, Any]:
        """What is known, as plain values."""
        return {
            "reason": self._reason,
            "pairs": self.pairs,
            "columns": {q: column.rows for q, column in self._columns.items()},
        }

    @memory.setter
    def memory(self, memory: dict[str, Any]) -> None:
        self.forget(memory["reason"])
        self._pairs.extend(memory["pairs"])
        self._place = {pair: k for k, pair in enumerate(memory["pairs"].tolist())}
        for q, rows in memory["columns"].items():
            self._columns[q] = Column(np.float64, rows.shape[1])
            self._columns[q].extend(rows)

    def __call__(self, pairs: np.ndarray, reason: Any, compute: Callable[[np.ndarray], Values]) -> Values:
        """The targets of a batch; ``compute`` is asked for those that are not known."""
        if reason != self._reason:
            self.forget(reason)
        new = np.array([pair for pair in dict.fromkeys(pairs.tolist()) if pair not in self._place], dtype=np.int64)
        if len(new):
            self._place.update({pair: len(self._place) + k for k, pair in enumerate(new.tolist())})
            self._pairs.extend(new)
            for q, found in compute(new).items():
                self._columns.setdefault(q, Column(np.float64, found.shape[1])).extend(found)
        rows = np.array([self._place[pair] for pair in pairs.tolist()])
        return {q: column.rows[rows] for q, column in self._columns.items()}


class GrowingPairs(PairTargets):
    """What targets of either phase share: successors of pairs, and target copies of networks.

    :param model: the states met so far
    :param humans: how the humans of the environments act, as ``RobotEnv.humans`` says
    :param theory: the numbers that define the answer
    """

    def __init__(self, model: GrowingModel, humans: Humans, theory: Theory) -> None:
        self.model, self.humans, self.theory = model, humans, theory
        self.kept, self.beta_r = TargetCache(), 0.0
        self._policy: EmpoPolicy | None = None
        self._copies: dict[str, QuantityNetwork] = {}

    @property
    def live(self) -> np.ndarray:
        """The pairs known from the start: the initial state, or several where the world says so (``initial_states``)."""
        world = self.model.world
        return self.model.add(world.initial_states()) if hasattr(world, "initial_states") else np.zeros(1, dtype=np.int64)

    def sample_successors(self, pairs: np.ndarray) -> np.ndarray:
        """One successor of each pair under a random joint action; the pair itself where the horizon comes first."""
        t, s = self.model.pair_index.split(pairs)
        rows = self.model.rows(s)
        row = np.arange(len(pairs)) * self.model.n_joint + np.random.randint(self.model.n_joint, size=len(pairs))
        first, last = rows.indptr[row], rows.indptr[row + 1]
        entries = first + (np.random.random(len(pairs)) * (last - first)).astype(np.int64)
        return np.where(t + 1 < self.horizon, self.model.pair_index.number(t + 1, rows.numbers[entries]), pairs)

    def resample_times(self, pairs: np.ndarray) -> np.ndarray:
        """
        The states of pairs at times up to theirs: the world goes on from there as it does later.

        Exact humans know a state only from when on it can be reached; where they do not, the pair stays what it was.
        """
        t, s = self.model.pair_index.split(pairs)
        before = np.random.randint(t + 1)
        states, known = self.model.states_of(s), np.ones(len(pairs), dtype=bool)
        for h in range(self.model.n_humans):
            known &= np.isclose(self.humans.policies(states, before, h).sum(axis=-1), 1.0).all(axis=-1)
        return self.model.pair_index.number(np.where(known, before, t), s)

    def achieved(self, pairs: np.ndarray) -> np.ndarray:
        """(n, sum of goals) whether the state of a pair belongs to each goal."""
        return self.model.achieved(self.model.pair_index.split(pairs)[1])

    def pairs_of(self, model: TabularModel, pairs: np.ndarray) -> np.ndarray:
        """Our numbers of a packed model's pairs."""
        t, s = model.pair_index.split(pairs)
        return self.model.pair_index.number(t, self.model.add(model.states_of(s)))

    # ---------------------------------------------------------------- target copies

    def renew(self, copies: Copies, policy: EmpoPolicy, quantities: list[str]) -> None:
        """Take over the present networks of some quantities, into ``copies`` and into those that targets read."""
        for q in quantities:
            copies[q] = {name: weight.detach().clone() for name, weight in policy.net(q).state_dict().items()}
        self.read(copies, policy, quantities)
        self.kept.forget()

    def read(self, copies: Copies, policy: EmpoPolicy, quantities: list[str] | None = None) -> None:
        """Let targets read these copies."""
        self._policy = policy
        for q in copies if quantities is None else quantities:
            if q not in self._copies:
                self._copies[q] = copy.deepcopy(policy.net(q)).requires_grad_(False).eval()
            self._copies[q].load_state_dict(copies[q])

    @th.no_grad()
    def _look(self, pairs: np.ndarray, quantities: tuple[str, ...]) -> Values:
        """Values of the target copies of some quantities, (n, n_outputs) float64."""
        assert self._policy is not None
        inputs = self._policy.inputs_of(pairs)
        return {q: self._copies[q].values(inputs).double().cpu().numpy() for q in quantities}


class GrowingTargets(GrowingPairs):
    """The targets of phase 2, with the verbs of :class:`empo_sb3.empo.targets.tabular.ModelTargets` that EMPO uses."""

    _networks: tuple[str, ...] = ()

    def initial_values(self) -> Copies:
        """No copies yet."""
        return {}

    def refresh(
        self, values: Copies, policy: EmpoPolicy, quantities: list[str], networks: tuple[str, ...], beta_r: float
    ) -> None:
        """
        Copy the networks of some quantities, which targets read until the next refresh.

        :param values: the copies' weights, changed in place
        :param networks: all quantities that have a network
        :param beta_r: the exponent of the power law (5) now
        """
        self._networks, self.beta_r = networks, beta_r
        self.renew(values, policy, quantities)

    def values_at(self, pairs: np.ndarray, wanted: Mapping[str, Any] | tuple[str, ...]) -> Values:
        """
        Target copies of quantities in pairs, completed by the equations.

        :param wanted: of ``v_h_e`` (n, sum of goals), ``x_h`` (n, humans), ``u_r`` (n,), ``q_r``, ``pi_r`` (n, n_a_r),
            ``v_r`` (n,)
        """
        theory, networks, t = self.theory, self._networks, self.model.pair_index.split(pairs)[0]
        needed = _needed(set(wanted), networks)
        values = self._look(pairs, tuple(q for q in networks if q in needed))
        if "v_h_e" in values:
            values["v_h_e"][t == self.horizon] = 0.0
        if "x_h" in needed:
            x_h = values["x_h"] if "x_h" in values else self.power_of(values["v_h_e"])
            values["x_h"] = np.maximum(x_h, theory.x_h_min)
        if "u_r" in needed:
            known = values["u_r"][:, 0] if "u_r" in values else None
            values["u_r"] = equations.intrinsic_reward(values["x_h"], theory.xi, theory.eta) if known is None else known
        if "q_r" in needed:
            values["q_r"][t >= self.horizon - 1] = theory.gamma_r * theory.terminal_v_r
            values["pi_r"] = equations.robot_policy(values["q_r"], self.beta_r)
        if "v_r" in needed:
            known = values["v_r"][:, 0] if "v_r" in values else None
            v_r = equations.robot_value(values["u_r"], values["pi_r"], values["q_r"]) if known is None else known
            values["v_r"] = np.where(t == self.horizon, theory.terminal_v_r, v_r)
        return values

    def of_batch(self, pairs: np.ndarray, networks: tuple[str, ...], values: Any = None, outlook: Any = None) -> Values:
        """
        The targets of a batch.

        :param pairs: (batch,) pair numbers with ``t < horizon``
        :param networks: the quantities whose targets are wanted
        :param values: not read, likewise ``outlook``: the copies are known
        :return: by quantity (batch, n_outputs)
        """
        reason = (networks, self.theory, self.beta_r)
        return self.kept(pairs, reason, lambda new: self._compute(new, networks))

    def _compute(self, pairs: np.ndarray, networks: tuple[str, ...]) -> Values:
        here = self.values_at(pairs, tuple({q for network in networks for q in READS[network]}))
        if "v_h_e" in networks or "q_r" in networks:
            return self._from_successors(pairs, networks, here) | self.from_same_pair(networks, here)
        return self.from_same_pair(networks, here)

    def compared(self, pairs: np.ndarray, networks: tuple[str, ...], values: Any = None, outlook: Any = None) -> Any:
        """As :meth:`empo_sb3.empo.targets.tabular.ModelTargets.compared`: full expectations are as they are."""
        return self.of_batch(pairs, networks), 1.0

    def _from_successors(self, pairs: np.ndarray, networks: tuple[str, ...], here: Values) -> Values:
        """(4) and (6), which look one step ahead."""
        after, rows = self.ahead(pairs)
        pi_h = self.pi_h(pairs)
        pibar = self._mean_policies(pi_h)
        values = self.values_at(after, tuple({"v_h_e": "v_h_e", "q_r": "v_r"}[q] for q in networks if q in ("v_h_e", "q_r")))
        targets: Values = {}
        if "v_h_e" in networks:
            expected = self.expected(pairs, rows, self._credit(after, values))
            targets["v_h_e"] = self.goal_ability(expected, pi_h, pibar, here["pi_r"])
        if "q_r" in networks:
            v_r = (rows @ values["v_r"]).reshape(len(pairs), self.model.n_robot_joint, -1)
            targets["q_r"] = equations.robot_q(v_r, joint_policy(pibar), self.theory.gamma_r)
        return targets

    def _credit(self, after: np.ndarray, values: Values | None = None) -> np.ndarray:
        """The bracket of (6) in successors, (n, sum of goals)."""
        v_h_e = (values or self.values_at(after, ("v_h_e",)))["v_h_e"]
        return equations.attainment(self.achieved(after), v_h_e, self.theory.gamma_h)

    def pi_h(self, pairs: np.ndarray) -> list[np.ndarray]:
        """What the humans do for each goal: per human (batch, goals, n_a_h)."""
        t, s = self.model.pair_index.split(pairs)
        states = self.model.states_of(s)
        return [self.humans.policies(states, t, h) for h in range(self.model.n_humans)]

    def _mean_policies(self, pi_h: list[np.ndarray]) -> list[np.ndarray]:
        """What the humans do, goals unseen: per human (batch, n_a_h)."""
        return [np.einsum("bga,g->ba", p, g.pibar_weights) for p, g in zip(pi_h, self.model.goal_sets, strict=True)]

    def pibar(self, pairs: np.ndarray) -> list[np.ndarray]:
        """What the humans do, goals unseen: per human (batch, n_a_h)."""
        return self._mean_policies(self.pi_h(pairs))


def _needed(wanted: set[str], networks: tuple[str, ...]) -> set[str]:
    """All quantities that some follow from: those with a network follow from nothing else."""
    needed: set[str] = set()
    while wanted:
        needed |= wanted
        wanted = {below for q in wanted if q not in networks for below in READS[q]} - needed
    return needed


MetPairs, Seen = VisitCounter, ObservationLookup
"""Names in checkpoints of version 0.1."""
