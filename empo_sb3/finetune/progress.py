"""The folder of a run: what it was asked for, how far it is, and the model at its last evaluation.

``progress.json`` is written last, whole or not at all, and names the model that belongs to it: whenever a run is killed, the
folder holds the state at some evaluation.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from empo_gym.util.files import write_whole
from empo_sb3.finetune.settings import Settings

Row = dict[str, Any]
FILE = "progress.json"


@dataclass
class Progress:
    """
    How far a run is.

    :param settings: as JSON
    :param rows: one per evaluation, the first before any fine-tuning
    :param model: file of the model at the last of them
    :param tests: by what was tested: ``plain``, ``before``, ``after``
    :param seconds: of the processor, all sittings together
    """

    settings: str
    rows: list[Row] = field(default_factory=list)
    model: str = ""
    tests: dict[str, Row] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def is_finished(self) -> bool:
        """Whether the last test is done."""
        return "after" in self.tests

    @property
    def kept_steps(self) -> int:
        """How old the policy is that the last model file holds: the guard may have restored an older one."""
        return next(row["steps"] for row in reversed(self.rows) if not row["restored"])

    @classmethod
    def of(cls, settings: Settings, folder: Path) -> Progress:
        """
        What the folder holds, or the beginning.

        :raises ValueError: if it is the folder of another run, or one that is damaged
        """
        path = folder / FILE
        if not path.exists():
            return cls(settings.as_json())
        try:
            kept = cls(**json.loads(path.read_text(encoding="utf-8")))
            is_same = settings.is_of(kept.settings)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} cannot be read ({error}); remove {folder} to begin again") from error
        if not is_same:
            raise ValueError(f"{folder} holds a run with other settings; choose another folder, or remove it")
        if kept.model and not (folder / kept.model).exists():
            raise ValueError(f"{folder} lacks {kept.model}, the model it goes on from; remove {folder} to begin again")
        return kept

    def save(self, folder: Path, model: BaseAlgorithm | None = None) -> None:
        """Write the state; with a model, the model before it. What it replaces goes after it."""
        if model is not None:
            self.model = f"model_{len(self.rows):03d}.zip"
            write_whole(folder / self.model, model.save)
        text = json.dumps(asdict(self), indent=1)
        write_whole(folder / FILE, lambda beside: beside.write_text(text, encoding="utf-8"))
        for other in folder.glob("model_*.zip"):
            if other.name != self.model:
                other.unlink(missing_ok=True)
