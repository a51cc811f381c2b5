"""What a fit reports while it runs; functions of releases only, so it may be kept and shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """Losses by step.

    Attributes
    ----------
    measured_loss : list of float
        Loss of the measured critic; 1 is the noise floor.
    fake_accuracy : list of float
        Share of *generated* rows that the neural critic tells as such; real rows are never scored.
    """

    measured_loss: list[float] = field(default_factory=list)
    fake_accuracy: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {"measured_loss": self.measured_loss, "fake_accuracy": self.fake_accuracy}


Progress = Callable[[str, int, int, dict[str, float]], None]
"""Called as progress(phase, done, total, figures) a few times a second."""


def silent(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
    """Report nothing."""
