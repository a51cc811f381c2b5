"""One column between its table values and its cells: fitted on releases, holding no rows.

`DiscreteColumn` has a cell a level (and ``__other__`` for levels too rare to be released); `NumericColumn`
has the cells of `privsynth.transforms.cells`. Both may have a last cell for missing values. They share
``encode``, ``cover`` (how much of each cell a predicate allows) and ``decode``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.errors import ConditionError
from privsynth.kinds import RESOLUTIONS, Continuous, Datetime
from privsynth.transforms.cells import Cells, FloatArray, IntArray, spread
from privsynth.transforms.fakes import fake_labels
from privsynth.transforms.predicates import Between, OneOf, Predicate, lies_inside, means_level, none_missing
from privsynth.transforms.values import (
    from_levels,
    level_key,
    narrowed,
    number_dtype,
    step_of,
    to_levels,
    to_number,
    to_steps,
    written,
)

OTHER = "__other__"
NAMES_OTHER = ("object", "string", "str", "category")  # other data types show it as missing


@dataclass(frozen=True, eq=False)
class DiscreteColumn:
    """A column of levels.

    Parameters
    ----------
    name, dtype : str
        The table column and the pandas data type that it comes back as.
    levels : tuple
        Released or declared levels.
    other : bool
        Whether a cell for unreleased levels follows.
    null : bool
        Whether a last cell for missing values follows.
    ordered : bool
        For category dtypes.
    fallback : int
        The cell of what has no cell of its own.
    cell : tuple of int
        The cell of each level, where some share one; empty: a cell each.
    mass : tuple of float
        Released share of rows of each level, >= 0, by which a shared cell is drawn from; empty like `cell`.
    fresh : bool
        Whether unreleased levels of text come back as made-up labels, a new one each row.
    """

    name: str
    dtype: str
    levels: tuple[Any, ...]
    other: bool
    null: bool
    ordered: bool = False
    fallback: int = 0
    cell: tuple[int, ...] = ()
    mass: tuple[float, ...] = ()
    fresh: bool = False

    @cached_property
    def _cells(self) -> IntArray:
        """The cell of each level, shape (n_levels,)."""
        return np.asarray(self.cell or range(len(self.levels)), dtype=np.int64)

    @property
    def _n_level_cells(self) -> int:
        return int(self._cells.max(initial=-1)) + 1

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self._n_level_cells + self.other + self.null

    @property
    def extra(self) -> dict[str, int]:
        """Cells that stand for no level: "other" and "null", where there are any."""
        k = self._n_level_cells
        return {**({"other": k} if self.other else {}), **({"null": k + self.other} if self.null else {})}

    @property
    def in_order(self) -> bool:
        """Whether neighbouring cells are alike."""
        return self.ordered and not self.cell

    def without(self, extra: str, *, fallback: int) -> DiscreteColumn:
        """Return the column without its "other" or "null" cell; its rows count as cell `fallback`."""
        return replace(self, **{extra: False}, fallback=fallback)  # type: ignore[arg-type]

    def encode(self, series: pd.Series) -> IntArray:
        """Return the cell of each value, shape (n_rows,)."""
        codes, levels = to_levels(series)
        known = {level_key(v): cell for v, cell in zip(self.levels, self._cells.tolist(), strict=True)}
        rest = self.extra.get("other", self.fallback)
        table = [known.get(level_key(level), rest) for level in levels] + [self.extra.get("null", self.fallback)]
        return np.asarray(table, dtype=np.int64)[codes]

    def _allowed(self, predicate: Predicate) -> npt.NDArray[np.bool_]:
        """Return which levels, and last ``__other__``, `predicate` allows."""
        shown: list[Any] = [*self.levels, *([OTHER] if self.other else [])]
        if predicate == Between():
            return np.ones(len(shown), dtype=bool)
        if isinstance(predicate, Between):
            return np.array([level != OTHER and self._inside(level, predicate) for level in shown], dtype=bool)
        wanted = {v for v in predicate.values if v is not None}
        texts = {str(v) for v in wanted}
        allowed = np.array([level in wanted or str(level) in texts for level in shown], dtype=bool)
        met = [level for level, fits in zip(shown, allowed.tolist(), strict=True) if fits]
        asked = [value for value in predicate.values if value is not None]
        if unknown := [value for value in asked if not any(means_level(value, level) for level in met)]:
            raise ConditionError(
                f"The condition on {self.name!r} asks for {', '.join(map(repr, unknown))}, which the model "
                f"does not know. It knows {', '.join(map(repr, shown[:20]))}{' ...' if len(shown) > 20 else ''}. "
                "Ask for what it knows."
            )
        if None in predicate.values and not self.null:
            raise none_missing(self.name)
        return allowed

    def _inside(self, level: Any, predicate: Between) -> bool:
        return lies_inside(level, predicate, name=self.name, levels=self.levels, ordered=self.ordered)

    def cover(self, predicate: Predicate) -> FloatArray:
        """Return how much of each cell's mass `predicate` allows, in [0, 1]; raises ConditionError for none."""
        allowed = self._allowed(predicate)
        k = self._n_level_cells
        part = np.bincount(self._cells, self._masses * allowed[: len(self.levels)], k)
        share = part / np.bincount(self._cells, self._masses, k)
        missing = isinstance(predicate, OneOf) and None in predicate.values
        return np.concatenate([share, allowed[len(self.levels) :], [float(missing)] * self.null])

    @cached_property
    def _masses(self) -> FloatArray:
        """The mass of each level, never 0: no level is impossible."""
        mass = np.asarray(self.mass or np.ones(len(self.levels)), dtype=np.float64)
        return np.maximum(mass, 1e-12)

    def likelihood(self) -> FloatArray:
        """Return how likely each level, then each extra cell, is given each cell, shape (n_states, n_cells)."""
        n, k = len(self.levels), self._n_level_cells
        table = np.zeros((n + self.n_cells - k, self.n_cells))
        table[np.arange(n), self._cells] = self._masses / np.bincount(self._cells, self._masses, k)[self._cells]
        table[n:, k:] = np.eye(self.n_cells - k)
        return table

    def decode(self, cells: IntArray, rng: np.random.Generator, predicate: Predicate | None = None) -> pd.Series:
        """Return the values of `cells` in the data type of the column."""
        codes = cells
        if self.cell:
            allowed = None if predicate is None else self._allowed(predicate)[: len(self.levels)]
            codes = self._draw_levels(cells, rng, self._masses if allowed is None else self._masses * allowed)
        other = OTHER if self.dtype in NAMES_OTHER else None
        levels: list[Any] = [*self.levels, *([other] if self.other else [])]
        if self.fresh and self.other and other is not None and self.dtype != "category":
            rows = np.flatnonzero(codes == len(self.levels))
            labels = fake_labels(len(rows), self.levels, rng)
            codes = np.where(codes > len(self.levels), len(self.levels) + len(rows), codes)  # missing comes last
            codes[rows] = len(self.levels) + np.arange(len(rows))
            levels[len(self.levels) :] = labels
        return from_levels(codes, levels, self.dtype, ordered=self.ordered)

    def _draw_levels(self, cells: IntArray, rng: np.random.Generator, mass: FloatArray) -> IntArray:
        """Turn cells into codes of levels: one of those that share the cell, by `mass`."""
        extra = cells - self._n_level_cells  # of cells that stand for no level
        codes = np.where(extra >= 0, len(self.levels) + extra, 0)
        single = np.full(self._n_level_cells, -1)
        members = np.bincount(self._cells, minlength=self._n_level_cells)
        own = members[self._cells] == 1
        single[self._cells[own]] = np.flatnonzero(own)
        inside = extra < 0
        codes[inside] = single[cells[inside]]
        for shared in np.flatnonzero(members > 1):
            rows = np.flatnonzero(cells == shared)
            if not len(rows):
                continue
            here = np.flatnonzero((self._cells == shared) & (mass > 0))
            ends = np.cumsum(mass[here])
            place = np.searchsorted(ends, spread(np.zeros_like(rows), rng) * ends[-1], side="right")
            codes[rows] = here[np.minimum(place, len(here) - 1)]
        return codes

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            "type": "discrete",
            **own,
            "levels": list(self.levels),
            "cell": list(self.cell),
            "mass": list(self.mass),
        }


@dataclass(frozen=True, eq=False)
class NumericColumn:
    """A column of numbers or times.

    Parameters
    ----------
    name, dtype : str
        The table column and the pandas data type that it comes back as.
    cells : Cells
        Leaves and cells; times are in steps since 1970.
    null : bool
        Whether a last cell for missing values follows.
    fallback : int
        The cell of missing values where they have none of their own.
    form : str
        "number", or "text" and "decimal" for what is held as such.
    format : str or None
        How times are written as text, "date" for dates as objects.
    step : int
        Seconds in a step of a time column; 1 for numbers.
    """

    name: str
    dtype: str
    cells: Cells
    null: bool
    fallback: int = 0
    form: str = "number"
    format: str | None = None
    step: int = 1

    @classmethod
    def of(cls, name: str, dtype: str, cells: Cells, column: Continuous | Datetime) -> NumericColumn:
        """Return the transform of a declared column."""
        if isinstance(column, Datetime):
            step = step_of(column, dtype)
            return cls(name, dtype, cells, column.nullable, format=column.format, step=step)
        return cls(name, dtype, cells, column.nullable, form=column.form)

    in_order = True  # cells are numbered by value

    @property
    def column(self) -> Continuous | Datetime:
        """How values are read and written."""
        if self.format is not None or self.dtype.startswith("datetime64"):
            resolution = next((name for name, seconds in RESOLUTIONS.items() if seconds == self.step), None)
            return Datetime(format=self.format, resolution=resolution)
        return Continuous(form=self.form, decimals=self.cells.decimals)

    @property
    def number_dtype(self) -> str:
        """The data type that conditions are read by."""
        return number_dtype(self.column, self.dtype)

    def _number(self, value: Any) -> float:
        """Return a value of a condition in steps."""
        return to_number(self.name, value, self.number_dtype) / self.step

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.cells.n_cells + self.null

    @property
    def extra(self) -> dict[str, int]:
        """The cell of missing values, where there is one."""
        return {"null": self.cells.n_cells} if self.null else {}

    def without(self, extra: str, *, fallback: int) -> NumericColumn:
        """Return the column without its "null" cell; its rows count as cell `fallback`."""
        return replace(self, null=False, fallback=fallback)

    def encode(self, series: pd.Series) -> IntArray:
        """Return the cell of each value, shape (n_rows,)."""
        values = to_steps(series, self.column)
        missing = np.isnan(values)
        cell = self.cells.encode(np.where(missing, 0.0, values))
        return np.where(missing, self.extra.get("null", self.fallback), cell)

    def _cut(self, predicate: Between) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return start, stop and weight of every leaf under `predicate`."""
        low = -np.inf if predicate.low is None else self._number(predicate.low)
        high = np.inf if predicate.high is None else self._number(predicate.high)
        low_open, high_open = predicate.low_open, predicate.high_open
        if self.cells.decimals is None and self.dtype.lower() in ("float16", "float32"):
            low, high = narrowed(low, high, low_open, high_open, self.dtype.lower())
            low_open = high_open = False
        start, stop = self.cells.overlap(low, high, low_open=low_open, high_open=high_open)
        return start, stop, self.cells.leaf_weights(start, stop)

    def _points(self, predicate: OneOf) -> tuple[FloatArray, IntArray, FloatArray]:
        """Return the numbers of `predicate`, a cell that can hold each, and its released mass there.

        A spike on a grid comes twice: as an atom, and as one of the values of the interval around it.
        """
        numbers = np.unique([self._number(v) for v in predicate.values if v is not None])
        exact = self.cells.from_grid(self.cells.to_grid(numbers))
        found: list[tuple[float, int, float]] = []
        for i in np.flatnonzero(self._is_held(numbers)):
            start, stop = self.cells.overlap(exact[i], exact[i], low_open=False, high_open=False)
            weights = self.cells.leaf_weights(start, stop)
            found += [(numbers[i], self.cells.cell[leaf], weights[leaf]) for leaf in np.flatnonzero(weights)]
        points, cells, mass = zip(*found, strict=True) if found else ((), (), ())
        return np.array(points, dtype=np.float64), np.array(cells, dtype=np.int64), np.array(mass, dtype=np.float64)

    def cover(self, predicate: Predicate) -> FloatArray:
        """Return how much of each cell's mass `predicate` allows, in [0, 1]."""
        missing = isinstance(predicate, OneOf) and None in predicate.values
        if missing and not self.null:
            raise none_missing(self.name)
        if isinstance(predicate, OneOf):
            _, cell, mass = self._points(predicate)
            share = self.cells.share(cell, mass)
        else:
            share = self.cells.cover(self._cut(predicate)[2])
        return np.append(share, float(missing)) if self.null else share

    def cover_points(self, numbers: FloatArray) -> tuple[FloatArray, IntArray]:
        """Return `cover` of each single number, NaN being missing: the distinct rows, and which of these each has."""
        table, state = self.cells.points(np.where(self._is_held(numbers), numbers, np.nan))
        if not self.null:
            return table, state
        table = np.pad(table, ((0, 1), (0, 1)))
        table[-1, -1] = 1.0
        return table, np.where(np.isnan(numbers), len(table) - 1, state)

    def _is_held(self, numbers: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which numbers are values of the grid, up to rounding: 0.1 + 0.2 means 0.3."""
        width = np.finfo(self.dtype.lower() if self.dtype.lower() in ("float16", "float32") else "float64").eps
        with np.errstate(invalid="ignore", over="ignore"):  # infinities lie on no grid
            off = np.abs(self.cells.from_grid(self.cells.to_grid(numbers)) - numbers)
        return np.asarray(off <= 4 * width * np.abs(numbers))

    def means(self, predicate: Predicate | None = None) -> FloatArray:
        """Return the mean of the values of each cell that `predicate` allows, in steps; NaN where it allows none."""
        if isinstance(predicate, OneOf):
            middle, cell, weights = self._points(predicate)
        else:
            start, stop, weights = self._cut(Between() if predicate is None else predicate)
            inside, cell = weights > 0, self.cells.cell
            first, last = np.where(inside, start, 0.0), np.where(inside, stop, 0.0)
            last = last - ((last > first) & (self.cells.decimals is not None))  # leaves on a grid are half open
            middle = (first + last) / 2 / 10.0 ** (self.cells.decimals or 0)
        total, sums = (np.bincount(cell, w, self.cells.n_cells) for w in (weights, weights * middle))
        return np.divide(sums, total, out=np.full(len(total), np.nan), where=total > 0)

    def likelihood(self) -> FloatArray:
        """Return how likely a value of each leaf, then a missing one, is given each cell."""
        leaves = self.cells.likelihood()
        table = np.zeros((len(leaves) + self.null, self.n_cells))
        table[: len(leaves), : self.cells.n_cells] = leaves
        table[len(leaves) :, self.cells.n_cells :] = 1.0
        return table

    def decode(self, cells: IntArray, rng: np.random.Generator, predicate: Predicate | None = None) -> pd.Series:
        """Return a value for each of `cells`, satisfying `predicate`, in the data type of the column."""
        known = cells < self.cells.n_cells
        values = np.full(len(cells), np.nan)
        if isinstance(predicate, OneOf):
            values[known] = self._draw_points(cells[known], rng, predicate)
        else:
            whole = (self.cells.low, self.cells.high, self.cells.mass)
            start, stop, weights = whole if predicate is None else self._cut(predicate)
            values[known] = self.cells.draw(cells[known], rng, start=start, stop=stop, weights=weights)
        return self.write(values)

    def write(self, values: FloatArray) -> pd.Series:
        """Return values in steps, NaN being missing, in the data type of the column."""
        return written(values * self.step, self.dtype, self.column)

    def _draw_points(self, cells: IntArray, rng: np.random.Generator, predicate: OneOf) -> FloatArray:
        """Draw one of the numbers of `predicate` in each of `cells`, by their mass; NaN where there is none."""
        numbers, cell, mass = self._points(predicate)
        values = np.full(len(cells), np.nan)
        for c in np.unique(cell[mass > 0]):
            rows = np.flatnonzero(cells == c)
            here = np.flatnonzero((cell == c) & (mass > 0))
            values[rows] = rng.choice(numbers[here], size=len(rows), p=mass[here] / mass[here].sum())
        return values

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {"type": "numeric", **self.__dict__, "cells": self.cells.to_dict()}


ColumnTransform = DiscreteColumn | NumericColumn
