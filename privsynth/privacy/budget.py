"""What a table may spend in all: one (epsilon, delta), everything included."""

from __future__ import annotations

import math
from dataclasses import dataclass

from privsynth._checks import check_real


@dataclass(frozen=True)
class Budget:
    """A total privacy budget, for adding or removing one row, or one person where a privacy unit is declared.

    Parameters
    ----------
    epsilon : float or None
        Total epsilon > 0. None means no privacy at all (epsilon is infinite).
    delta : float, default 1e-5
        Total delta in (0, 1); keep it well below one over the number of rows.

    Examples
    --------
    >>> Budget(1.0).minus(0.25, 1e-6)
    Budget(epsilon=0.75, delta=9e-06)
    >>> Budget(None).is_private
    False
    """

    epsilon: float | None
    delta: float = 1e-5

    def __post_init__(self) -> None:
        remedy = "Use a value such as 1.0; epsilon=None switches privacy off."
        if self.epsilon is not None:
            check_real("Budget", "epsilon", self.epsilon, low=0, low_open=True, remedy=remedy)
            if math.isinf(self.epsilon):
                object.__setattr__(self, "epsilon", None)
        check_real(
            "Budget", "delta", self.delta, low=0, low_open=True, high=1, high_open=True,
            remedy="Use a value well below 1/rows, such as 1e-5.",
        )  # fmt: skip

    @property
    def is_private(self) -> bool:
        """Whether epsilon is finite."""
        return self.epsilon is not None

    def minus(self, epsilon: float, delta: float) -> Budget:
        """Return what is left after `epsilon` and `delta` are taken off, rounded to 15 digits."""
        assert self.epsilon is not None
        return Budget(float(f"{self.epsilon - epsilon:.15g}"), float(f"{self.delta - delta:.15g}"))
