"""One number of an evaluation, with what it is measured against and how to read it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from privsynth._checks import check_choice


def finite_or_none(value: float | None) -> float | None:
    """Return `value` as a plain float, or None where it is missing, NaN or infinite.

    >>> finite_or_none(float("nan")) is None
    True
    """
    return None if value is None or not math.isfinite(value) else float(value)


@dataclasses.dataclass(frozen=True)
class Score:
    """A named score beside its reference.

    Parameters
    ----------
    name : str
        The name that people quote, for instance ``"ROC AUC"``.
    value : float or None
        The score of the synthetic table; None where it cannot be computed (then `note` says why).
    reference : float or None
        What a table of real rows gets in the same place: the value to hope for.
    better : {"higher", "lower"}
        The good direction.
    note : str
        What limits this number.
    meaning : str
        How to read it, in plain words.

    Examples
    --------
    >>> Score("ROC AUC", 0.81, reference=0.90).shortfall
    0.09
    >>> Score("TVD", 0.25, reference=0.05, better="lower").shortfall
    0.2
    """

    name: str
    value: float | None
    reference: float | None = None
    better: Literal["higher", "lower"] = "higher"
    note: str = ""
    meaning: str = ""

    def __post_init__(self) -> None:
        check_choice("Score", "better", self.better, ("higher", "lower"))

    @property
    def shortfall(self) -> float | None:
        """How much worse than the reference (negative: better than it), or None without one."""
        if self.value is None or self.reference is None:
            return None
        sign = 1.0 if self.better == "higher" else -1.0
        return round(sign * (self.reference - self.value), 12)

    def to_dict(self) -> dict[str, Any]:
        """Return a plain, JSON-able dict; a value that is not finite becomes None."""
        plain = dataclasses.asdict(self)
        return {**plain, "value": finite_or_none(self.value), "reference": finite_or_none(self.reference)}
