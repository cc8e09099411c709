"""Adam on local time (Ellis et al. 2024): Adam's step count starts anew whenever the objective does.

A new rollout or target network makes Adam's second moment stale: gradients may jump while v remembers small ones, so the
first steps are far too long. With the count back at zero, the bias corrections make a step after a jump about as long as
any other, and the moments are kept.
"""

import inspect
from numbers import Real

import torch

# Bare of the wrapper in which torch calls the hooks: ours calls them already, and they must not be called twice.
_adam_step = inspect.unwrap(torch.optim.Adam.step)


class AdamRel(torch.optim.Adam):
    """
    Adam whose step count can be reset.

    :param period: reset by itself after this many steps (PPO: epochs times minibatches per rollout; DQN: updates per target
        copy); 0 leaves it to calls of :meth:`reset_time`
    """

    def __init__(self, params, lr=1e-3, *, period: int = 0, **adam) -> None:
        if not isinstance(period, Real) or period < 0:
            raise ValueError(f"period must be a number of steps, not {period!r}; 0 means that reset_time() is called.")
        super().__init__(params, lr=lr, **adam)
        for group in self.param_groups:
            group.setdefault("period", period)
        self.defaults["period"] = period

    def reset_time(self) -> None:
        """Start the step count anew: to be called where a new rollout or a new target begins."""
        for state in self.state.values():
            state["step"].zero_()

    @torch.no_grad()
    def step(self, closure=None):
        """One step of Adam, after a reset where the period is over."""
        for group in self.param_groups:
            due = [self.state[p]["step"] for p in group["params"] if self.state.get(p)] if group["period"] else []
            # Local time (Ellis et al. 2024): t = 0 where the objective is new; the moments stay
            for count in due:
                if count >= group["period"]:
                    count.zero_()
        return _adam_step(self, closure)
