"""One number of an evaluation, with what it is measured against and how to read it; and blocks of such numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from privsynth._checks import check_choice, parameter_error

Section = Literal["fidelity", "utility", "privacy", "fairness"]
Level = Literal["good", "watch", "bad"]
SECTIONS: tuple[Section, ...] = ("fidelity", "utility", "privacy", "fairness")


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
    low, high : float or None
        A 95 % interval of `value`; None where none is known.
    range : tuple of two floats or None
        The least and the greatest value that the score can take; None for an open end.
    worry : str
        When to worry, in plain words.
    section : {"fidelity", "utility", "privacy", "fairness", ""}
        Where it belongs.
    level : {"good", "watch", "bad"} or None
        The traffic light; None where no threshold is agreed on.
    rule : str
        The thresholds behind `level`, in words; empty without a level.

    Examples
    --------
    >>> Score("ROC AUC", 0.81, reference=0.90).shortfall
    0.09
    >>> Score("TVD", 0.25, reference=0.05, better="lower").shortfall
    0.2
    >>> Score("ROC AUC", 0.81, reference=0.90).judged(watch=0.02, bad=0.05).level
    'bad'
    """

    name: str
    value: float | None
    reference: float | None = None
    better: Literal["higher", "lower"] = "higher"
    note: str = ""
    meaning: str = ""
    low: float | None = None
    high: float | None = None
    range: tuple[float | None, float | None] = (0.0, 1.0)
    worry: str = ""
    section: Section | Literal[""] = ""
    level: Level | None = None
    rule: str = ""

    def __post_init__(self) -> None:
        check_choice("Score", "better", self.better, ("higher", "lower"))
        check_choice("Score", "section", self.section, ("", *SECTIONS))
        check_choice("Score", "level", self.level, (None, "good", "watch", "bad"))
        if (self.level is None) != (not self.rule):
            raise parameter_error("Score", "rule", "the thresholds of a level, and empty without one", self.rule)

    @property
    def shortfall(self) -> float | None:
        """How much worse than the reference (negative: better than it), or None without one."""
        if self.value is None or self.reference is None:
            return None
        sign = 1.0 if self.better == "higher" else -1.0
        return round(sign * (self.reference - self.value), 12)

    def judged(self, *, watch: float, bad: float) -> Score:
        """Return it with a level by how much worse than the reference it is; without a level if that is unknown."""
        shortfall = self.shortfall
        if shortfall is None or not math.isfinite(shortfall):
            return self
        level: Level = "good" if shortfall <= watch else "watch" if shortfall <= bad else "bad"
        rule = f"Good: at most {watch:g} worse than the reference; bad: more than {bad:g} worse; between: watch."
        return dataclasses.replace(self, level=level, rule=rule)

    def to_dict(self) -> dict[str, Any]:
        """Return a plain, JSON-able dict; a value that is not finite becomes None."""
        numbers = {name: finite_or_none(getattr(self, name)) for name in ("value", "reference", "low", "high")}
        return {**dataclasses.asdict(self), **numbers, "range": list(self.range)}


@dataclasses.dataclass(frozen=True)
class Block:
    """Scores that are read together, with what is drawn or listed beside them.

    Parameters
    ----------
    title : str
    meaning, worry : str
        What the block is about, and when to worry.
    scores : sequence of Score
    table : dict or None
        ``{"columns": [str], "rows": [[str, number or None]]}``.
    chart : dict or None
        ``{"kind": "interval", "bars": [{"name", "value", "low", "high"}], "range": [low, high]}``,
        ``{"kind": "bars", "bars": [{"name", "value", "reference"}]}``, or
        ``{"kind": "lines", "x": str, "y": str, "lines": [{"name", "x": [numbers], "y": [numbers]}]}``.
    notes : sequence of str
        What limits all of it, such as a subsample.
    """

    title: str
    meaning: str
    worry: str
    scores: tuple[Score, ...] = ()
    table: dict[str, Any] | None = None
    chart: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a plain, JSON-able dict."""
        plain = {name: getattr(self, name) for name in ("title", "meaning", "worry", "table", "chart")}
        return {**plain, "scores": [score.to_dict() for score in self.scores], "notes": list(self.notes)}


def table_of(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """Return the table of a block: numbers finite or None, all else text."""

    def plain(cell: Any) -> Any:
        if cell is None or (isinstance(cell, (int, np.integer)) and not isinstance(cell, bool)):
            return cell if cell is None else int(cell)
        return finite_or_none(float(cell)) if isinstance(cell, (float, np.floating)) else str(cell)

    return {"columns": list(columns), "rows": [[plain(cell) for cell in row] for row in rows]}
