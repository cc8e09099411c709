"""What all callbacks that change a learning rate share: one slot each, taken when a run starts, given back when it ends."""

from __future__ import annotations

from typing import ClassVar

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from empo_sb3.learning_rates.pairs import check_own
from empo_sb3.learning_rates.slots import ScaledSchedule, free_slot, slots_of
from empo_sb3.learning_rates.step_hooks import StepHooks, hooks_of, optimizers_of


class RateCallback(BaseCallback):
    """
    Base of the callbacks that multiply an algorithm's learning rate; several of them multiply each other.

    Factors of schedules and of the KL divergence are part of the model's ``learning_rate`` and so of its zip: a loaded model
    goes on with them, with the callback or without. :meth:`remove` takes them back. All others act on optimizer steps only and
    end with the run, however it ends. The rate of every step is logged as ``train/learning_rate_effective``; with Mechanic and
    TRAC it is the base rate times the scale that they found. Which callbacks go together is in
    :mod:`empo_sb3.learning_rates.pairs`.

    :param slot: name of the factor; two callbacks of one kind need different ones
    """

    default_slot: ClassVar[str] = ""
    slots: ScaledSchedule
    hooks: StepHooks

    def __init__(self, slot: str | None = None, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.slot = slot or self.default_slot

    @property
    def name(self) -> str:
        """The callback's name in messages."""
        return type(self).__name__

    @property
    def learner(self) -> str:
        """The algorithm's name in messages."""
        return type(self.model).__name__

    def _on_training_start(self) -> None:
        if self.parent is not None:
            raise ValueError(f"{self.name} inside {type(self.parent).__name__} would miss rollouts; pass it to learn() itself")
        if not optimizers_of(self.model):
            raise ValueError(
                f"{self.name}: {self.learner} takes no optimizer steps whose rate could change; "
                "a schedule can be its learning_rate"
            )
        self.check()
        self.slots = slots_of(self.model)
        self.hooks = hooks_of(self.model)
        self.hooks.claim(self.slot, self)
        if self.slots.base is self.slots.own:
            check_own(self, self.slots.own, self.hooks.is_tuned)
        self.start()

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        if self.takes_part:
            self.stop()
            self.slots.release(self.slot)

    @property
    def takes_part(self) -> bool:
        """Whether the slot is still this callback's; not so after it was removed."""
        return self.hooks.owners.get(self.slot) is self

    @property
    def kind(self) -> str:
        """Which row of the table of pairs this callback is in; known when a run starts."""
        return "factor"

    def check(self) -> None:
        """Raise ``ValueError`` with one sentence if this algorithm cannot be served."""

    def start(self) -> None:
        """Take up the slot."""

    def stop(self) -> None:
        """The run is over."""

    def remove(self, model: BaseAlgorithm) -> None:
        """
        Take this callback's factor back; from a model that is training, it acts no more.

        :param model: the algorithm, or one that was loaded from its zip
        """
        free_slot(model, self.slot)
