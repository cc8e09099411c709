"""EMPO in one file: learn what a robot should do that softly maximizes a human's long-term power.

Read it from top to bottom. (1)-(9) are the equations of Heitzig & Potham (arXiv:2508.00159v2, Table 1); docs/glossary.md says
what each symbol is in the words of reinforcement learning. A robot r acts beside a human h, who has one of several possible
goals g; a goal is a set of states, and nobody tells the robot which one it is. Three quantities are learned, in two phases:

    phase 1   Q_h^m(s,g,a_h)   how the human acts for each goal if it expects the worst of the robot            (1)-(3)
    phase 2   V_h^e(s,g)       how surely the human then reaches each goal beside this robot                    (6)
              Q_r(s,a_r)       what the robot's actions are worth: how much power they leave to the human       (4)

pi_h, pi_r, X_h, U_r and V_r follow from these by one equation each. In the end all is compared with the exact solution. There
is one robot and one human, so expectations over other humans and the mean over humans in (8) fall away; `empo_sb3.EMPO` has
no such limits. Beside the worlds of empo_gym, nothing but numpy and torch is needed:

    python examples/empo_single_file.py                          # tables, which reach the exact solution
    python examples/empo_single_file.py --approximator network   # neural networks, which come near it
"""

import argparse
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn

from empo_gym import RobotEnv, solve_humans, solve_robot


@dataclass
class Args:
    """What changes how well and how fast this learns. What changes the answer (beta_r, zeta, ...) is the world's `Theory`."""

    world: str = "default"  # a world of one robot and one human: see `empo worlds`
    approximator: str = "table"  # or "network", for worlds with more states than anybody can list
    seed: int = 0
    total_steps: int = 20_000  # training steps (one batch each) of both phases together
    batch_size: int = 256
    target_interval: int = 50  # training steps between two target copies
    epsilon_r: float = 0.2  # probability of a random robot action while playing
    learning_rate: float = 2e-3  # networks: of Adam, falling linearly to 1 % in the last half of each phase
    hidden: int = 128  # networks: units in each of two hidden layers


# Phase 2, in shares of its steps: V_h^e learns alone, then Q_r joins, then beta_r rises from 0, then it keeps its value
Q_R_JOINS, RAMP_BEGINS, RAMP_ENDS = 0.1, 0.2, 0.4


class Arrays:
    """The world as arrays: states s, robot actions a_r, human actions a_h, goals g, and pairs (t, s) of time and state."""

    def __init__(self, env: RobotEnv) -> None:
        model, self.theory = env.model, env.theory
        is_other = np.isinf(self.theory.beta_h + self.theory.beta_r) or env.world.belief != "worst_case"
        if (model.n_robots, model.n_humans) != (1, 1) or model.horizon is None or is_other:
            raise ValueError(
                "This file needs a world with one robot, one human, max_steps, finite beta_h and beta_r and worst-case "
                "belief, such as default or key_door; EMPO of empo_sb3 takes others."
            )
        self.model, self.horizon = model, model.horizon
        self.n_a_r, self.n_a_h = model.action_shape
        self.w_g = model.goal_sets[0].weights
        self.achieved = model.achieved[0]  # (n_states, n_goals): s in g
        self.n_goals = self.achieved.shape[1]
        self.resting = np.array(model.agents[1].resting_policy)  # what a human does whose goal already holds

        # All (t, s) that can be reached and in which somebody acts, and the number of each
        self.t, self.s = np.nonzero(model.reachable_pairs()[: self.horizon])
        self.n_pairs = len(self.t)
        self.pair = {(int(t), int(s)): i for i, (t, s) in enumerate(zip(self.t, self.s, strict=True))}
        self.is_last_step = self.t == self.horizon - 1

        # P(s'|s,a_r,a_h) as a list of successors: few, so shorter rows are filled up with probability 0
        n_successors = np.diff(model.indptr)
        k = np.arange(n_successors.max())
        entry = np.minimum(model.indptr[:-1, None] + k, len(model.probs) - 1)
        p_next = np.where(k < n_successors[:, None], model.probs[entry], 0.0)
        shape = (model.n_states, self.n_a_r, self.n_a_h, len(k))
        self.p_next, self.s_next = p_next.reshape(shape)[self.s], model.indices[entry].reshape(shape)[self.s]
        self.p_attain = np.einsum("irhk,irhkg->irhg", self.p_next, self.achieved[self.s_next])

        # What a network sees of each pair: the features of the world, and t once more, as one of `horizon` bits
        seen = np.stack([model.world.observe(model.states, t=t, kind="features") for t in range(self.horizon)])
        clock = np.eye(self.horizon, dtype=np.float32)[self.t]
        self.observations = torch.as_tensor(np.concatenate([seen[self.t, self.s], clock], axis=1))

    def expected_next(self, values: np.ndarray, at_horizon: float) -> np.ndarray:
        """E_{s'} of values (n_pairs, n) at the next step: (n_pairs, n_a_r, n_a_h, n)."""
        everywhere = np.full((self.horizon + 1, self.model.n_states, values.shape[1]), at_horizon)
        everywhere[self.t, self.s] = values
        return np.einsum("irhk,irhkn->irhn", self.p_next, everywhere[self.t[:, None, None, None] + 1, self.s_next])

    def attained(self, v_h: np.ndarray) -> np.ndarray:
        """E_{s'} [1 if s' in g else gamma_h V_h(s',g)] of (1) and (6): (n_pairs, n_a_r, n_a_h, n_goals)."""
        goes_on = self.theory.gamma_h * np.where(self.achieved[self.s], 0.0, v_h)
        return self.p_attain + self.expected_next(goes_on, at_horizon=0.0)


# ---------------------------------------------------------------- the equations, in all pairs at once


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    weight = np.exp(x - x.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def human_policy(world: Arrays, q_h_m: np.ndarray) -> np.ndarray:
    """pi_h from Q_h^m, both (n_pairs, n_goals, n_a_h)."""
    nu_h, beta_h = world.theory.nu_h, world.theory.beta_h
    # (2) pi_h(.|s,g) = nu_h pi_h^0 + (1 - nu_h) softmax(beta_h Q_h^m(s,g,.)), where the habit pi_h^0 is uniform
    pi_h = nu_h / world.n_a_h + (1.0 - nu_h) * softmax(beta_h * q_h_m)
    # A human whose goal already holds keeps still
    return np.where(world.achieved[world.s][:, :, None], world.resting, pi_h)


def human_targets(world: Arrays, q_h_m: np.ndarray) -> np.ndarray:
    """What Q_h^m should be, by what it is now."""
    # (3) V_h^m(s,g) = E_{a_h ~ pi_h} Q_h^m(s,g,a_h); (1) does not read it where g holds
    v_h_m = (human_policy(world, q_h_m) * q_h_m).sum(axis=-1)
    # (1) Q_h^m(s,g,a_h) = min_{a_r} E_{s'} [1 if s' in g else gamma_h V_h^m(s',g)]
    return world.attained(v_h_m).min(axis=1).transpose(0, 2, 1)


def robot_policy(q_r: np.ndarray, beta_r: float) -> np.ndarray:
    """pi_r from Q_r, both (n_pairs, n_a_r)."""
    # (5) pi_r(a_r|s) is proportional to (-Q_r(s,a_r))^-beta_r, which is a softmax of -beta_r log(-Q_r)
    return softmax(-beta_r * np.log(-q_r))


def robot_targets(
    world: Arrays, pi_h: np.ndarray, v_h_e: np.ndarray, q_r: np.ndarray, beta_r: float
) -> tuple[np.ndarray, np.ndarray]:
    """What V_h^e (n_pairs, n_goals) and Q_r (n_pairs, n_a_r) should be, by what they are now."""
    theory, pi_r = world.theory, robot_policy(q_r, beta_r)
    # (6) V_h^e(s,g) = E_{a_h ~ pi_h} E_{a_r ~ pi_r} E_{s'} [1 if s' in g else gamma_h V_h^e(s',g)]
    v_h_e_target = np.einsum("irhg,ir,igh->ig", world.attained(v_h_e), pi_r, pi_h)
    # (7) X_h(s) = sum_g w_g V_h^e(s,g)^zeta: the human's power
    x_h = np.maximum((world.w_g * v_h_e**theory.zeta).sum(axis=-1), theory.x_h_min)
    # (8) U_r(s) = -(X_h(s)^-xi)^eta: the robot's reward
    u_r = -((x_h**-theory.xi) ** theory.eta)
    # (9) V_r(s) = U_r(s) + E_{a_r ~ pi_r} Q_r(s,a_r)
    v_r = u_r + (pi_r * q_r).sum(axis=-1)
    # (4) Q_r(s,a_r) = gamma_r E_g E_{a_h ~ pi_h(s,g)} E_{s'} V_r(s'): the robot does not know g
    pibar_h = np.einsum("g,igh->ih", world.w_g / world.w_g.sum(), pi_h)
    v_r_next = world.expected_next(v_r[:, None], at_horizon=theory.terminal_v_r)[..., 0]
    q_r_target = theory.gamma_r * np.einsum("irh,ih->ir", v_r_next, pibar_h)
    return v_h_e_target, q_r_target


# ---------------------------------------------------------------- what learns


class Table:
    """A quantity with one row per pair, which a training step puts on its target."""

    def __init__(self, args: Args, world: Arrays, n_columns: int, initial: float) -> None:
        self.values = np.full((world.n_pairs, n_columns), initial)

    def copy(self) -> np.ndarray:
        """The values in all pairs, (n_pairs, n_columns)."""
        return self.values.copy()

    def step(self, pairs: np.ndarray, targets: np.ndarray, rate: float) -> float:
        """Move a batch of pairs to their targets (n_pairs, n_columns); return the loss before."""
        loss = ((self.values[pairs] - targets[pairs]) ** 2).mean()
        self.values[pairs] = targets[pairs]
        return float(loss)


class Network:
    """A quantity as a function of what is seen: in (0, 1) if it begins above 0, else below 0."""

    def __init__(self, args: Args, world: Arrays, n_columns: int, initial: float) -> None:
        n_inputs, n = world.observations.shape[1], args.hidden
        layers = [nn.Linear(n_inputs, n), nn.LayerNorm(n), nn.ReLU(), nn.Linear(n, n), nn.LayerNorm(n), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Linear(n, n_columns))
        self.optimizer = torch.optim.Adam(self.net.parameters())
        self.observations, self.beta_r, self.is_share = world.observations, world.theory.beta_r, initial > 0.0

    def copy(self) -> np.ndarray:
        """The values in all pairs, (n_pairs, n_columns)."""
        with torch.no_grad():
            raw = self.net(self.observations).double()
        return (torch.sigmoid(raw) if self.is_share else -torch.exp(raw)).numpy()

    def step(self, pairs: np.ndarray, targets: np.ndarray, rate: float) -> float:
        """Move a batch of pairs towards their targets (n_pairs, n_columns); return the loss before."""
        raw, target = self.net(self.observations[pairs]), torch.as_tensor(targets[pairs], dtype=torch.float32)
        if self.is_share:
            loss = ((torch.sigmoid(raw) - target) ** 2).mean()
        else:
            # Q_r spans orders of magnitude, so log(-Q_r) is learned; the divergence counts errors where they change (5)
            log_cost = torch.log(-target)
            now, wanted = (torch.log_softmax(-self.beta_r * x, dim=-1) for x in (raw, log_cost))
            loss = ((raw - log_cost) ** 2).mean() + (wanted.exp() * (wanted - now)).sum(dim=-1).mean()
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


APPROXIMATORS: dict[str, type[Table] | type[Network]] = {"table": Table, "network": Network}


class Replay:
    """Plays in the world and remembers the pairs that it has been in."""

    def __init__(self, args: Args, world: Arrays) -> None:
        self.args, self.world, self.rng = args, world, np.random.default_rng(args.seed)
        self.pi_h = np.full((world.n_pairs, world.n_goals, world.n_a_h), 1.0 / world.n_a_h)
        self.pi_r = np.full((world.n_pairs, world.n_a_r), 1.0 / world.n_a_r)
        # The environment draws goals, lets the human act for them, and asks us how
        self.env = RobotEnv(args.world, human_policy=lambda state, t, h, g, rng: self.pi_h[self.number(t, state), g])
        self.env.reset(seed=args.seed)
        self.pairs: list[int] = []

    def number(self, t: int, state: tuple[int, ...]) -> int:
        """The number of a pair."""
        return self.world.pair[t, self.world.model.index(state)]

    def batch(self) -> np.ndarray:
        """One step of the environment, then a batch: half from replay, half from all pairs, for the sake of the rare ones."""
        pair, n_a_r = self.number(self.env.t, self.env.state), self.world.n_a_r
        self.pairs.append(pair)
        explores = self.rng.random() < self.args.epsilon_r
        a_r = self.rng.integers(n_a_r) if explores else self.rng.choice(n_a_r, p=self.pi_r[pair])
        _, _, terminated, truncated, _ = self.env.step(int(a_r))
        if terminated or truncated:
            self.env.reset()
        half = self.args.batch_size // 2
        met = np.array(self.pairs)[self.rng.integers(len(self.pairs), size=half)]
        return np.concatenate([met, self.rng.integers(self.world.n_pairs, size=self.args.batch_size - half)])


# ---------------------------------------------------------------- the two phases


def learn_human(args: Args, world: Arrays, replay: Replay, n_steps: int) -> None:
    """Phase 1: learn Q_h^m and leave pi_h in replay."""
    shape = (world.n_pairs, world.n_goals, world.n_a_h)
    q_h_m = APPROXIMATORS[args.approximator](args, world, world.n_goals * world.n_a_h, initial=0.5)
    for step in range(n_steps):
        if step % args.target_interval == 0:
            # Target copies: Q_h^m keeps still while it learns what follows from it
            copy = q_h_m.copy().reshape(shape)
            replay.pi_h, targets = human_policy(world, copy), human_targets(world, copy).reshape(world.n_pairs, -1)
        loss = q_h_m.step(replay.batch(), targets, cooled(args.learning_rate, step / n_steps))
        if step % 1000 == 0:
            print(f"phase 1  step {step:6}   loss of Q_h^m {loss:.1e}")
    replay.pi_h = human_policy(world, q_h_m.copy().reshape(shape))


def learn_robot(args: Args, world: Arrays, replay: Replay, n_steps: int) -> np.ndarray:
    """Phase 2: learn V_h^e and Q_r, leave pi_r in replay and return V_h^e."""
    make, theory = APPROXIMATORS[args.approximator], world.theory
    v_h_e, q_r = make(args, world, world.n_goals, initial=0.5), make(args, world, world.n_a_r, initial=-1.0)
    known = theory.gamma_r * theory.terminal_v_r  # Q_r of all actions one step before the horizon
    for step in range(n_steps):
        share = step / n_steps
        if step % args.target_interval == 0:
            beta_r = beta_r_at(share, theory.beta_r)
            q_r_copy = np.where(world.is_last_step[:, None], known, q_r.copy())
            replay.pi_r = robot_policy(q_r_copy, beta_r)
            v_h_e_target, q_r_target = robot_targets(world, replay.pi_h, v_h_e.copy(), q_r_copy, beta_r)
        pairs, rate = replay.batch(), cooled(args.learning_rate, share)
        losses = [v_h_e.step(pairs, v_h_e_target, rate)]
        if share >= Q_R_JOINS:
            losses.append(q_r.step(pairs[~world.is_last_step[pairs]], q_r_target, rate))
        if step % 1000 == 0:
            print(f"phase 2  step {step:6}   beta_r {beta_r:5.2f}   loss of V_h^e, Q_r", *(f"{loss:.1e}" for loss in losses))
    replay.pi_r = robot_policy(np.where(world.is_last_step[:, None], known, q_r.copy()), theory.beta_r)
    return v_h_e.copy()


def beta_r_at(share: float, beta_r: float) -> float:
    """0 during the warm-up, then a sigmoid up to beta_r: at 0 pi_r is uniform, so nothing depends on it."""
    u = np.clip((share - RAMP_BEGINS) / (RAMP_ENDS - RAMP_BEGINS), 0.0, 1.0)
    return float(beta_r * (0.5 + 0.5 * np.tanh(3.0 * (u - 0.5)) / np.tanh(1.5)))


def cooled(rate: float, share: float) -> float:
    """The learning rate when a share of a phase is done."""
    return rate * min(1.0, 2.0 * (1.0 - share) + 0.01)


def main(args: Args) -> dict[str, float]:
    """Learn, then print and return the distance to the exact solution."""
    torch.manual_seed(args.seed)
    world = Arrays(RobotEnv(args.world))
    replay = Replay(args, world)
    learn_human(args, world, replay, args.total_steps // 4)
    v_h_e = learn_robot(args, world, replay, args.total_steps - args.total_steps // 4)

    exact = solve_robot(world.model, solve_humans(world.model, world.theory), world.theory)
    exact_pi_h, exact_v_h_e = exact.prior.pi_h[0][world.t, world.s], exact.v_h_e[0][world.t, world.s]
    exact_pi_r = exact.pi_r[world.t, world.s]
    gap = {
        "total variation of pi_h": 0.5 * np.abs(replay.pi_h - exact_pi_h).sum(axis=-1).mean(),
        "root mean square error of V_h^e": np.sqrt(((v_h_e - exact_v_h_e) ** 2).mean()),
        "total variation of pi_r": 0.5 * np.abs(replay.pi_r - exact_pi_r).sum(axis=-1).mean(),
        "the same for a random robot": 0.5 * np.abs(1.0 / world.n_a_r - exact_pi_r).sum(axis=-1).mean(),
    }
    print("\ndistance to the exact solution, over all reachable (t, s):")
    for name, number in gap.items():
        print(f"  {name:32} {number:.6f}")
    print("pi_r at the start, exact and learned:", exact_pi_r[0].round(3), replay.pi_r[0].round(3))
    return {name: float(number) for name, number in gap.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="EMPO in one file.")
    for arg in fields(Args):
        choices = sorted(APPROXIMATORS) if arg.name == "approximator" else None
        parser.add_argument(f"--{arg.name.replace('_', '-')}", type=type(arg.default), default=arg.default, choices=choices)
    main(Args(**vars(parser.parse_args())))
