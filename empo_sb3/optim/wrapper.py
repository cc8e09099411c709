"""One wrapper that lets a tuner scale the moves of any torch optimizer: ``x = x_ref + S Delta``.

At each step, with the gradient g at x_t and the base optimizer's move u::

    h = <Delta, g + lambda S |g| x / |x|>     Delta += u     S = the tuner's answer to h     x = x_ref + S Delta

where x in h is taken after the base step, as in the authors' torch package. Every published torch version re-derives Delta as
``(x - x_ref) / S``; with S near 1e-6 that rounds to zero in float32 and nothing is ever learned, so here Delta is stored.

What holds for a parameter, whatever happens to it between two steps:

- Without a gradient, or with a rate of zero (or below: SB3's progress overshoots its end), it is frozen: neither it nor its
  base optimizer's memory changes, and it takes no part in h. Its tuner may move on meanwhile; when it returns, x_ref is
  shifted so that it goes on from where it is.
- A step with a gradient or a move that is not finite changes no weight and no tuner; ``n_skipped`` counts it.
- A write from outside between two steps (``load_state_dict``, ``clamp_``, an assignment to ``.data``, another optimizer) is
  kept: the weights are compared with those that the last step wrote, and where they differ, x_ref is shifted accordingly.
  Delta and S stay, so a projection after every step does not stop the tuner; it goes on to scale its own moves, and only
  those. After weights were replaced altogether, :meth:`ScaledOptimizer.rebase` makes the moves so far final as well.
"""

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import torch

from empo_gym.util.wording import shown, suggestion
from empo_sb3.common.keywords import check_keywords
from empo_sb3.common.ranges import real
from empo_sb3.optim.bases import Base, find_base
from empo_sb3.optim.parts import Part, Tensors, actor_critic, dots, norms, totals
from empo_sb3.optim.tuners import MechanicTuner, State, TRACTuner, Tuner, scale

OURS = ("labels", "tuners", "base", "n_skipped")


class ScaledOptimizer(torch.optim.Optimizer):
    """
    A base optimizer whose moves are scaled by one tuner for all parameters, or by one per part of them.

    :param params: parameters, named parameters or groups, as for any torch optimizer
    :param lr: rate of the base optimizer, in units of ``lr_unit``; any order of magnitude will do
    :param tuner: the one-dimensional learner, see :mod:`empo_sb3.optim.tuners`
    :param base: name, import path or class of the base optimizer
    :param base_kwargs: its options, without the rate
    :param tuner_of: ``"all"`` for one tuner, ``"group"`` for one per parameter group, or a function from a parameter's name
        to the label of its tuner (needs named parameters; :meth:`split` does the same later)
    :param lr_unit: the rate that counts as a base rate of 1. SAC writes one rate into the networks' optimizers and into the
        plain Adam of its entropy coefficient: ``learning_rate=3e-4`` with ``lr_unit=3e-4`` is right for both
    """

    base: torch.optim.Optimizer | None = None

    def __init__(
        self,
        params: Iterable,
        lr: float = 1.0,
        *,
        tuner: Tuner,
        base: Base = "adam",
        base_kwargs: dict[str, Any] | None = None,
        tuner_of: str | Callable[[str], str] = "all",
        lr_unit: float = 1.0,
    ) -> None:
        real("[0, inf)").check("lr", lr if not isinstance(lr, torch.Tensor) else lr.item())
        if not real("(0, inf)").holds(lr_unit):
            raise ValueError(f"lr_unit must be positive and finite, but it is {shown(lr_unit)}.")
        if not isinstance(base_kwargs, Mapping | None) or not all(isinstance(name, str) for name in base_kwargs or ()):
            raise ValueError(f"base_kwargs must be a mapping of names of options to values, not {shown(base_kwargs)}.")
        if not callable(tuner_of) and tuner_of not in ("all", "group"):
            raise ValueError(f"tuner_of must be 'all', 'group' or a function of a parameter's name, not {tuner_of!r}.")
        super().__init__(params, {"lr": lr})
        self.tuner, self.tuner_of, self.lr_unit = tuner, tuner_of, lr_unit
        self.labels: list[str] = []
        self.tuners: list[State] = []
        self.n_skipped = 0
        self._written: dict[torch.Tensor, torch.Tensor] = {}
        make = find_base(base)
        misfit = f"base_kwargs do not fit {getattr(make, '__name__', make)}:"
        if "lr" in (base_kwargs or {}):
            raise ValueError(f"{misfit} lr is not among them; give it to {type(self).__name__} itself")
        check_keywords(f"{misfit} it", partial(make, [], lr=lr), base_kwargs or {})
        try:
            self.base = make(self.param_groups, lr=lr, **(base_kwargs or {}))
        except TypeError as error:
            raise ValueError(f"{misfit} {error}") from error
        # One list of groups for both: what SB3, a scheduler or a callback writes, the base optimizer sees.
        self.param_groups = self.base.param_groups
        for number in range(len(self.param_groups)):
            self._assign(number)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, which start from where they are; with ``tuner_of="group"`` they get a tuner of their own."""
        if self.base is None:
            return super().add_param_group(param_group)
        self.base.add_param_group(param_group)
        self._assign(len(self.param_groups) - 1)

    def _assign(self, number: int) -> None:
        """Give the parameters of a group their tuners."""
        group, by = self.param_groups[number], self.tuner_of
        if callable(by) and "param_names" not in group:
            raise ValueError(
                "tuner_of is a function of names, but the parameters have none: pass module.named_parameters(), "
                "or leave tuner_of and call optimizer.split(module.named_parameters())."
            )
        for i, parameter in enumerate(group["params"]):
            label = by(group["param_names"][i]) if callable(by) else "all" if by == "all" else f"group{number}"
            self._set_tuner(parameter, label, self.tuner.start())

    def _set_tuner(self, parameter: torch.Tensor, label: str, start: State) -> None:
        if label not in self.labels:
            self.labels.append(label)
            self.tuners.append(start)
        self.state[parameter]["tuner"] = self.labels.index(label)

    def split(self, named_parameters: Iterable[tuple[str, torch.Tensor]], by: Callable[[str], str] = actor_critic) -> None:
        """
        Give every part a tuner of its own, which goes on from the one that its parameters had.

        Loading a saved optimizer restores its parts, so this need not be called again.

        :param named_parameters: as from ``policy.named_parameters()``; those that are not ours are ignored
        :param by: from a parameter's name to the label of its part
        """
        names = {parameter: name for name, parameter in named_parameters}
        ours = [parameter for group in self.param_groups for parameter in group["params"]]
        if not all(parameter in names for parameter in ours):
            raise ValueError("split() got no name for some of the optimizer's parameters; pass those of the whole policy.")
        old, self.labels, self.tuners = self.tuners, [], []
        for parameter in ours:
            self._set_tuner(parameter, by(names[parameter]), copy.deepcopy(old[self.state[parameter]["tuner"]]))

    @property
    def scales(self) -> dict[str, float]:
        """The scale S of each tuner by its label."""
        return {label: scale(state) for label, state in zip(self.labels, self.tuners, strict=True)}

    @property
    def effective_lr(self) -> dict[str, float]:
        """What the base optimizer's moves are multiplied with in all, rate times scale, by label; the largest over groups."""
        rates = dict.fromkeys(self.labels, 0.0)
        for group in self.param_groups:
            for index in {self.state[parameter]["tuner"] for parameter in group["params"]}:
                label = self.labels[index]
                rates[label] = max(rates[label], group["lr"] / self.lr_unit * scale(self.tuners[index]))
        return rates

    def scale_of(self, parameter: torch.Tensor) -> float:
        """What the group's rate is multiplied with in all for this parameter."""
        return scale(self.tuners[self.state[parameter]["tuner"]]) / self.lr_unit

    def shrink(self, factor: float, label: str | None = None) -> None:
        """
        Make the moves to come smaller; the weights stay where they are.

        :param factor: in (0, 1]; ``min(1, sqrt(target / kl))`` brings a KL divergence that is too large back to its target
        :param label: of one tuner; None for all
        """
        if not 0.0 < factor <= 1.0:
            raise ValueError(f"A scale shrinks by a factor in (0, 1], but the factor is {factor}.")
        if label is not None and label not in self.labels:
            raise ValueError(f"There is no tuner {label!r}; there are {', '.join(self.labels)}.")
        for i, own in enumerate(self.labels):
            if label in (None, own):
                self.tuners[i] = self.tuner.shrink(self.tuners[i], factor)

    @torch.no_grad()
    def rebase(self) -> None:
        """
        Take the weights as they are for x_ref, and zero for Delta; scales are kept.

        For weights that have nothing to do with those before. Smaller changes need no call: they are noticed.
        """
        for parameter, state in self.state.items():
            if "x_ref" in state:
                state["x_ref"].copy_(parameter)
                state["delta"].zero_()
        self._written.clear()

    def restart(self) -> None:
        """Rebase, and forget the scales as well."""
        self.rebase()
        self.tuners = [self.tuner.start() for _ in self.tuners]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """
        One step.

        :param closure: computes the loss and its gradients; it is called once
        :return: what the closure returned
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parts = self._moving()
        # <Delta, g> and |g| at x, before anything moves
        slopes = {i: self._slope(part) for i, part in parts.items()}
        if not all(math.isfinite(number) for slope in slopes.values() for number in slope):
            self.n_skipped += 1
        elif parts:
            # u: the base optimizer's move
            self._base_step()
            # h = <Delta, g + lambda S |g| x / |x|>, then the tuners' S and the weights
            self._play(parts, {i: self._with_decay(i, part, *slopes[i]) for i, part in parts.items()})
        return loss

    def _moving(self) -> dict[int, Part]:
        """The parts of this step by the number of their tuner."""
        scales = [scale(state) for state in self.tuners]
        parts: dict[int, Part] = {}
        for group in self.param_groups:
            for parameter in group["params"] if group["lr"] > 0.0 else ():
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse:
                    raise ValueError(f"{type(self).__name__} needs dense gradients; build the embedding with sparse=False.")
                state = self.state[parameter]
                part = parts.setdefault(state["tuner"], Part())
                part.before.append(self._anchor(parameter, state, scales[state["tuner"]]))
                part.params.append(parameter)
                part.grads.append(parameter.grad)
                part.refs.append(state["x_ref"])
                part.deltas.append(state["delta"])
        return parts

    def _anchor(self, parameter: torch.Tensor, state: dict[str, Any], s: float) -> torch.Tensor:
        """
        Make ``x = x_ref + S Delta`` true for a parameter that is new, was written from outside, or was away while S changed.

        :return: a copy of the parameter; the next step compares the parameter with what this step leaves in it
        """
        if "x_ref" not in state:
            state["x_ref"], state["delta"] = parameter.detach().clone(), torch.zeros_like(parameter)
            state["scale"] = s
        written = self._written.get(parameter)
        if written is None:  # a new parameter, or a state that was loaded or copied
            written = torch.add(state["x_ref"], state["delta"], alpha=state["scale"])
            self._written[parameter] = written
        is_outside_write = not torch.equal(written, parameter)
        if is_outside_write or state["scale"] != s:
            torch.sub(parameter, state["delta"], alpha=s, out=state["x_ref"])
            state["scale"] = s
        if is_outside_write:
            written.copy_(parameter)
        return written

    def _slope(self, part: Part) -> list[float]:
        """``<Delta, g>`` and ``|g|``, the latter only if the decay term needs it."""
        columns = [dots(part.deltas, part.grads)]
        if self.tuner.s_decay:
            columns.append(norms(part.grads))
        inner, *square = totals(*columns)
        return [inner, *(math.sqrt(number) for number in square)]

    def _with_decay(self, index: int, part: Part, inner: float, grad_norm: float = 0.0) -> float:
        """The slope h, taken where the base step has led to; not finite if that is not."""
        along, square = totals(dots(part.deltas, part.params), norms(part.params))
        weight = self.tuner.s_decay * scale(self.tuners[index]) * grad_norm
        return inner + weight * along / (math.sqrt(square) + 1e-8)

    def _base_step(self) -> None:
        """Let the base optimizer move the groups that are not frozen, at their rates in our unit."""
        assert self.base is not None
        groups = [group for group in self.param_groups if group["lr"] > 0.0]
        rates = [group["lr"] for group in groups]
        self.base.param_groups = groups
        try:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate / self.lr_unit
            self.base.step()
        finally:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
            self.base.param_groups = self.param_groups

    def _play(self, parts: dict[int, Part], slopes: dict[int, float]) -> None:
        """Let the tuners answer and write the weights; put them back where a slope is not finite."""
        if not all(math.isfinite(h) for h in slopes.values()):
            self.n_skipped += 1
            for part in parts.values():
                torch._foreach_copy_(part.params, part.before)
            return
        for i, part in parts.items():
            # S: the tuner's answer to h
            self.tuners[i] = self.tuner.update(self.tuners[i], slopes[i])
            s = scale(self.tuners[i])
            # Delta += u and x = x_ref + S Delta
            _write(part.params, part, s)
            torch._foreach_copy_(part.before, part.params)
            for parameter in part.params:
                self.state[parameter]["scale"] = s

    def state_dict(self) -> dict[str, Any]:
        """torch's state dict, with x_ref, Delta and the tuner by parameter index, and beside it what ``OURS`` names."""
        tuners = [{name: torch.tensor(array) for name, array in state.items()} for state in self.tuners]
        assert self.base is not None
        ours = {"labels": list(self.labels), "tuners": tuners, "n_skipped": self.n_skipped}
        return {**super().state_dict(), **ours, "base": self.base.state_dict()["state"]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """
        Continue where a saved optimizer of the same kind stopped.

        :raises ValueError: if the state was saved from another kind of optimizer or of other parameters
        """
        if not isinstance(state_dict, Mapping):
            raise ValueError(f"A state is what state_dict() gave, not {shown(state_dict)}.")
        expected = self.tuner.start().keys()
        tuners = state_dict.get("tuners", [])
        if not all(key in state_dict for key in OURS) or any(state.keys() != expected for state in tuners):
            raise ValueError(f"This state was not saved from {type(self).__name__}; build the optimizer that saved it.")
        n, saved = len(self.tuner.start()["s"]), [len(state["s"]) for state in tuners]
        if any(number != n for number in saved):
            raise ValueError(f"This state was saved from {saved[0]} bettors, not of {n}; give the same beta.")
        self._require_fit(state_dict)
        state_dict = copy.deepcopy(state_dict)
        assert self.base is not None
        super().load_state_dict({key: state_dict[key] for key in ("state", "param_groups")})
        self.base.load_state_dict({"state": state_dict["base"], "param_groups": state_dict["param_groups"]})
        self.param_groups = self.base.param_groups
        self.labels, self.n_skipped = list(state_dict["labels"]), state_dict["n_skipped"]
        self.tuners = [{name: array.cpu().numpy() for name, array in state.items()} for state in state_dict["tuners"]]
        self._written.clear()

    def _require_fit(self, state_dict: Mapping[str, Any]) -> None:
        """Refuse the state of other parameters, or one whose parameters have tuners that it does not hold."""
        ours = [parameter for group in self.param_groups for parameter in group["params"]]
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        n = len(state_dict["tuners"])
        if len(state_dict["labels"]) != n or len(numbers) != len(ours):
            raise ValueError(f"This state has {len(numbers)} parameters and {n} tuners, of {len(ours)} parameters here.")
        for number, parameter in zip(numbers, ours, strict=True):
            state = state_dict["state"].get(number, {"tuner": -1})
            shapes = {state[name].shape for name in ("x_ref", "delta") if name in state}
            if not 0 <= state["tuner"] < n or shapes - {parameter.shape}:
                raise ValueError(f"Parameter {number} of this state does not fit: it has another shape, or a tuner of none.")

    def __getstate__(self) -> dict[str, Any]:
        names = ("base", "tuner", "tuner_of", "lr_unit", "labels", "tuners", "n_skipped")
        return {**super().__getstate__(), **{name: self.__dict__[name] for name in names}, "_written": {}}


def _write(params: Tensors, part: Part, s: float) -> None:
    """``Delta += u`` and ``x = x_ref + S Delta``; the parameters hold ``before + u`` when this is called."""
    torch._foreach_sub_(params, part.before)
    torch._foreach_add_(part.deltas, params)
    torch._foreach_copy_(params, part.refs)
    torch._foreach_add_(params, part.deltas, alpha=s)


class Mechanic(ScaledOptimizer):
    """
    Mechanic (Cutkosky, Defazio, Mehta 2023) around any torch optimizer.

    :param options: ``tuner_of``, ``lr_unit`` of :class:`ScaledOptimizer` and the fields of
        :class:`~empo_sb3.optim.tuners.MechanicTuner`
    """

    def __init__(self, params, lr=1.0, *, base: Base = "adam", base_kwargs: dict[str, Any] | None = None, **options) -> None:
        super().__init__(params, lr, base=base, base_kwargs=base_kwargs, **_options_for(MechanicTuner, options))


class TRAC(ScaledOptimizer):
    """
    TRAC (Muppidi, Zhang, Yang 2024) around any torch optimizer.

    :param options: ``tuner_of``, ``lr_unit`` of :class:`ScaledOptimizer` and the fields of
        :class:`~empo_sb3.optim.tuners.TRACTuner`
    """

    def __init__(self, params, lr=1.0, *, base: Base = "adam", base_kwargs: dict[str, Any] | None = None, **options) -> None:
        super().__init__(params, lr, base=base, base_kwargs=base_kwargs, **_options_for(TRACTuner, options))


def _options_for(tuner: type, options: dict[str, Any]) -> dict[str, Any]:
    """The wrapper's options as they are, the tuner's as a tuner."""
    own = [field.name for field in fields(tuner)]
    wrappers = ("tuner_of", "lr_unit")
    for name in options:
        if name not in (*own, *wrappers):
            near = suggestion(name, [*own, *wrappers])
            hint = near and f" ({near})"
            raise ValueError(f"There is no option {name!r}{hint}; those of the base optimizer go into base_kwargs.")
    chosen = {name: options[name] for name in options if name in own}
    return {**{name: options[name] for name in options if name in wrappers}, "tuner": tuner(**chosen)}
