"""What a row may be asked to satisfy in one column: one of some values, a range, or being missing."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import ConditionError


@dataclass(frozen=True)
class OneOf:
    """The value is one of `values`; None stands for a missing value."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Between:
    """The value lies between `low` and `high`; either end may be open or infinite (None)."""

    low: Any = None
    high: Any = None
    low_open: bool = False
    high_open: bool = False


Predicate = OneOf | Between


def as_predicate(column: str, wanted: Any) -> Predicate:
    """Read one entry of ``conditions``.

    A tuple of two is a closed range, a list or set is one of several values, a pandas Interval is a
    range with its own open ends, anything else is the value itself; None and NaN mean missing.

    >>> as_predicate("age", (60, 75))
    Between(low=60, high=75, low_open=False, high_open=False)
    >>> as_predicate("sex", "F")
    OneOf(values=('F',))
    """
    if isinstance(wanted, (OneOf, Between)):
        return wanted
    if isinstance(wanted, (str, int, float, pd.Timestamp)):  # the commonest, and so first: there may be a million
        return OneOf((plain(wanted),))
    if isinstance(wanted, pd.Interval):
        return Between(plain(wanted.left), plain(wanted.right), not wanted.closed_left, not wanted.closed_right)
    if isinstance(wanted, tuple):
        if len(wanted) != 2:
            raise ConditionError(
                f"The condition on {column!r} is a tuple of {len(wanted)}. Use (low, high) for a range, or a list of "
                "values."
            )
        if any(end is not None and plain(end) is None for end in wanted):
            raise ConditionError(
                f"The condition on {column!r} is a range with a missing end, {wanted!r}. Use None for an open end."
            )
        return Between(*map(plain, wanted))
    if isinstance(wanted, Mapping):
        raise ConditionError(
            f"The condition on {column!r} is a dict, {wanted!r}. Use a value, a list, or (low, high) for a range."
        )
    if isinstance(wanted, Collection) and not isinstance(wanted, (str, bytes)):
        if len(wanted) == 0:
            raise ConditionError(f"The condition on {column!r} lists no value. Name at least one.")
        return OneOf(tuple(plain(v) for v in wanted))
    return OneOf((plain(wanted),))


def plain(value: Any) -> Any:
    """Return a Python scalar where there is one; every kind of missing value becomes None."""
    value = value.item() if isinstance(value, np.generic) and value.dtype.kind != "M" else value
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    return None if value is pd.NaT else value


def none_missing(column: str) -> ConditionError:
    """Say that missing values were asked for, and that there are none."""
    return ConditionError(
        f"The condition on {column!r} asks for missing values, and the model has none. Take None out."
    )


def means_level(value: Any, level: Any) -> bool:
    """Whether a condition's value means a level: as it is (1 is 1.0 is True), or as it is written ("1")."""
    return bool(value == level) or str(value) == str(level)


def lies_inside(level: Any, range_: Between, *, name: str, levels: Sequence[Any], ordered: bool) -> bool:
    """Whether a level lies in a range: by rank for ordered levels, by value for numbers."""

    def rank(value: Any) -> float:
        if ordered and value in levels:
            return float(levels.index(value))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        why = f"{value!r} is no level of it" if ordered else f"its levels have no order ({value!r})"
        remedy = f"Use {levels[0]!r} to {levels[-1]!r}" if ordered else "Use a list of levels"
        raise ConditionError(f"The condition on {name!r} is a range, and {why}. {remedy}.")

    place = rank(level)
    low = -np.inf if range_.low is None else rank(range_.low)
    high = np.inf if range_.high is None else rank(range_.high)
    return (place > low if range_.low_open else place >= low) and (place < high if range_.high_open else place <= high)
