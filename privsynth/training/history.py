"""What a fit reports while it runs; functions of releases only, so it may be kept and shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_MOST = 1 << 20  # steps of a fit in a file
_LONGEST = 400


@dataclass
class History:
    """Losses by step.

    Attributes
    ----------
    measured_loss : list of float
        Loss of the measured critic; 1 is the noise floor.
    fake_accuracy : list of float
        Share of *generated* rows that the neural critic tells as such; real rows are never scored.
    stages : list of (str, int)
        The stages in order, and how many steps each took; losses of the measured stages follow each other.
    alarms : list of str
        What the fit warned of at its end (`privsynth.training.alarms`).
    """

    measured_loss: list[float] = field(default_factory=list)
    fake_accuracy: list[float] = field(default_factory=list)
    stages: list[tuple[str, int]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict; a loss that is no number is None."""
        return {
            "measured_loss": [loss if math.isfinite(loss) else None for loss in self.measured_loss],
            "fake_accuracy": self.fake_accuracy,
            "stages": [list(stage) for stage in self.stages],
            "alarms": self.alarms,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> History:
        """Read `to_dict` back; raises ValueError for what no fit writes."""
        losses = [math.nan if loss is None else loss for loss in data["measured_loss"]]
        accuracy, stages, alarms = data["fake_accuracy"], data.get("stages", []), data.get("alarms", [])
        if max(len(losses), len(accuracy), len(stages), len(alarms)) > _MOST:
            raise ValueError("more steps than a fit takes")
        if not all(isinstance(value, (int, float)) for value in (*losses, *accuracy)):
            raise ValueError("losses that are no numbers")
        named = [(name, steps) for name, steps in stages]
        if not all(isinstance(name, str) and type(steps) is int and 0 <= steps <= _MOST for name, steps in named):
            raise ValueError("stages that are none")
        if not all(isinstance(text, str) and len(text) <= _LONGEST and text.isprintable() for text in alarms):
            raise ValueError("alarms that are no lines of text")
        return cls(losses, list(accuracy), named, list(alarms))


Progress = Callable[[str, int, int, dict[str, float]], "bool | None"]
"""Called as progress(stage, done, total, figures) after each step; True ends the training."""

OnCheckpoint = Callable[[str, int], "bool | None"]
"""Called as on_checkpoint(stage, done) where a generator could be kept; True ends the training."""


def silent(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
    """Report nothing."""


def unwatched(stage: str, done: int) -> None:
    """Take no notice of a checkpoint."""
