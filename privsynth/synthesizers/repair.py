"""The last resort for rules that the model hardly ever satisfies: rows are changed until they do.

Mended rows are no longer draws from the model given the rules. What is changed is as little as can be: two values
are exchanged, or one is moved to the other; of several columns that are set, one stays. Columns under conditions
are left alone. Nothing here is certain to succeed, and the caller checks every row again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth._reading import is_set, whole_seconds
from privsynth.kinds import Boolean, Continuous, Datetime
from privsynth.rules import Inequality, OneOf
from privsynth.transforms.cells import FloatArray
from privsynth.transforms.reshape import Reshape, ends, written

BoolArray = npt.NDArray[np.bool_]


def repaired(
    frame: pd.DataFrame, reshape: Reshape, dtypes: Mapping[str, str], frozen: set[str], rng: np.random.Generator
) -> pd.DataFrame:
    """Return `frame` with the rows that break an inequality or a one-of-several changed, as far as possible.

    Parameters
    ----------
    frame : DataFrame
        Sampled rows.
    reshape : Reshape
        The rules and columns.
    dtypes : mapping of str to str
        The data types of the columns.
    frozen : set of str
        Columns that must stay as they are.
    """
    rules = reshape.original.rules
    for rule in rules:
        if isinstance(rule, OneOf):
            frame = _keep_one(frame, rule, reshape, dtypes, frozen, rng)
    inequalities = [rule for rule in rules if isinstance(rule, Inequality)]
    for _ in range(len(inequalities) + 1):  # as in bubble sort: chains are in order after as many passes
        for inequality in inequalities:
            frame = _in_order(frame, inequality, reshape, dtypes, frozen)
    return frame


def _in_order(
    frame: pd.DataFrame, rule: Inequality, reshape: Reshape, dtypes: Mapping[str, str], frozen: set[str]
) -> pd.DataFrame:
    """Exchange the two values, or move the one that is free, where they are in the wrong order."""
    rows = np.flatnonzero(~rule.holds(frame, reshape.original))
    if len(rows) == 0 or {rule.low, rule.high} <= frozen:
        return frame
    below, above = _Grid(reshape, rule.low, dtypes), _Grid(reshape, rule.high, dtypes)
    low, high = reshape.numbers(frame, rule.low)[rows], reshape.numbers(frame, rule.high)[rows]
    if rule.low in frozen:
        new_low, new_high = low, above.at_least(low, strict=rule.strict)
    elif rule.high in frozen:
        new_low, new_high = below.at_most(high, strict=rule.strict), high
    else:
        new_low, new_high = below.at_most(np.minimum(low, high)), above.at_least(np.maximum(low, high))
        if rule.strict:
            raised = above.at_least(new_low, strict=True)
            new_high = np.maximum(new_high, raised)
            new_low = np.where(new_low < new_high, new_low, below.at_most(new_high, strict=True))
    changed = frame.copy(deep=False)
    for grid, values in ((below, new_low), (above, new_high)):
        if grid.name not in frozen:
            changed[grid.name] = _put(changed[grid.name], rows, grid.written(values))
    return changed


class _Grid:
    """The numbers that a column can hold."""

    def __init__(self, reshape: Reshape, name: str, dtypes: Mapping[str, str]) -> None:
        self.name, self.dtype, self.column = name, dtypes[name], reshape.domain(name)
        self.low, self.high = ends(self.column, self.dtype)

    @property
    def step(self) -> float | None:
        """The distance of two values, or None where they are dense."""
        if isinstance(self.column, Datetime):
            return float(whole_seconds(self.column))
        return None if self.column.decimals is None else 10.0**-self.column.decimals

    def at_least(self, values: FloatArray, *, strict: bool = False) -> FloatArray:
        """Return the least value of the column that is >= (or >) each of `values`, cut to its bounds."""
        return np.clip(self._beside(values, strict, np.inf), self.low, self.high)

    def at_most(self, values: FloatArray, *, strict: bool = False) -> FloatArray:
        """Return the greatest value of the column that is <= (or <) each of `values`, cut to its bounds."""
        return np.clip(self._beside(values, strict, -np.inf), self.low, self.high)

    def written(self, values: FloatArray) -> pd.Series:
        """Return values in the data type and form of the column."""
        return written(values, self.dtype, self.column)

    def _beside(self, values: FloatArray, strict: bool, toward: float) -> FloatArray:
        sign = 1.0 if toward > 0 else -1.0
        if self.step is None:
            narrow = self.dtype.lower() in ("float16", "float32")
            near = values.astype(self.dtype.lower() if narrow else "float64")
            off = near.astype(np.float64) * sign < values * sign
            return np.where(off | strict, np.nextafter(near, near.dtype.type(toward)), near).astype(np.float64)
        digits = 0 if isinstance(self.column, Datetime) else self.column.decimals
        units = np.rint(values / self.step)
        units += sign * (np.round(units * self.step, digits) * sign < values * sign)
        units += sign * (strict & (np.round(units * self.step, digits) == values))
        return np.round(units * self.step, digits)


def _keep_one(
    frame: pd.DataFrame,
    rule: OneOf,
    reshape: Reshape,
    dtypes: Mapping[str, str],
    frozen: set[str],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Leave one of the columns set, and set one where none is, with values of other sampled rows."""
    rows = np.flatnonzero(~rule.holds(frame, reshape.original))
    if len(rows) == 0:
        return frame
    names = rule.columns
    marks = np.stack([is_set(frame[name], reshape.original[name]) for name in names], axis=1)
    here, fixed = marks[rows], np.array([name in frozen for name in names])
    shares = marks.mean(axis=0) + 1e-9
    # what a condition has set stays; then one of those set, by how often each is; then any that is free
    weights = np.where(here.any(axis=1, keepdims=True), here, ~fixed[None, :]) * shares
    weights = np.where((here & fixed).any(axis=1, keepdims=True), here & fixed, weights)
    weights = np.where(weights.sum(axis=1, keepdims=True) > 0, weights, 1.0)
    steps = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    chosen = np.minimum((rng.random(len(rows))[:, None] > steps).sum(axis=1), len(names) - 1)
    changed = frame.copy(deep=False)
    for j, name in enumerate(names):
        if fixed[j]:
            continue
        to_set, to_clear = rows[(chosen == j) & ~here[:, j]], rows[(chosen != j) & here[:, j]]
        donors = np.flatnonzero(marks[:, j])
        if len(to_set) and len(donors):
            changed[name] = _put(changed[name], to_set, frame[name].iloc[rng.choice(donors, len(to_set))])
        donors = np.flatnonzero(~marks[:, j])
        if len(to_clear) and len(donors):
            changed[name] = _put(changed[name], to_clear, frame[name].iloc[rng.choice(donors, len(to_clear))])
        elif len(to_clear):
            empty = _unset(reshape, name, dtypes[name])
            if empty is not None:
                changed[name] = _put(changed[name], to_clear, pd.concat([empty] * len(to_clear)))
    return changed


def _unset(reshape: Reshape, name: str, dtype: str) -> pd.Series | None:
    """Return one value that is not set: missing, False or zero; None where the column can hold none of them."""
    column = reshape.original[name]
    if isinstance(column, Boolean):
        return pd.Series([False], dtype=object).astype(dtype)
    if getattr(column, "nullable", False):
        if isinstance(column, (Continuous, Datetime)):
            return written(np.array([np.nan]), dtype, column)
        return pd.Series([None], dtype=object).astype(dtype)
    if not isinstance(column, Continuous):
        return None
    low, high = ends(reshape.domain(name), dtype)
    return written(np.zeros(1), dtype, column) if low <= 0 <= high else None


def _put(series: pd.Series, rows: Any, values: pd.Series) -> pd.Series:
    """Return a series with some rows replaced, in its own data type."""
    out = series.array.copy()
    out[rows] = values.astype(series.dtype).array
    return pd.Series(out, index=series.index, name=series.name)
