"""Rows as points, so that rows of mixed columns have a distance.

A number becomes its rank in the table that the space is fitted to, in [0, 1], so that a heavy tail is no louder than
any other column; a missing number is half a rank with a mark of its own. A category becomes a one-hot vector of its 40
most frequent levels and one for all others. Scaled so, the squared distance of two rows is the number of categories
that differ plus the squared rank differences: Gower's similarity coefficient (1971), squared for the numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from privsynth.evaluation.binning import as_numbers, as_values, column_kind

FloatArray = npt.NDArray[np.float64]
_MAX_LEVELS = 40
_KNOTS = 1001
_CHUNK = 2000


def at_most(frame: pd.DataFrame, n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the frame, or so many of its rows, drawn without replacement, in their order."""
    if len(frame) <= n_rows:
        return frame
    return frame.iloc[np.sort(rng.choice(len(frame), size=n_rows, replace=False))]


def stacked(frames: Sequence[pd.DataFrame], *, like: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of several frames as one, in plain data types of the kinds of `like`.

    pandas would choose a data type by the frames, and by whether a column is empty.
    """
    columns: dict[Hashable, Any] = {}
    for name in like.columns:
        kind = column_kind(like[name])
        if kind in ("numeric", "datetime"):
            numbers = np.concatenate([as_numbers(frame[name], kind) for frame in frames])
            columns[name] = _dates(numbers) if kind == "datetime" else numbers
        else:
            columns[name] = np.concatenate([as_values(frame[name]) for frame in frames])
    return pd.DataFrame(columns, columns=like.columns, index=range(sum(map(len, frames))))


def _dates(seconds: FloatArray) -> npt.NDArray[np.datetime64]:
    """Turn seconds since 1970 back to dates, those that nanoseconds do not reach too."""
    found = np.full(len(seconds), np.datetime64("NaT"), dtype="datetime64[us]")
    present = np.isfinite(seconds)
    found[present] = np.round(seconds[present] * 1e6).astype(np.int64).astype("datetime64[us]")
    return found


@dataclasses.dataclass(frozen=True)
class _Axis:
    """One column: knots of its ranks (or its quartiles, for open tails) if it is a number, else its levels."""

    name: Hashable
    kind: Any
    knots: FloatArray | None
    levels: pd.Index | None
    open_tails: bool = False

    @property
    def width(self) -> int:
        return 2 if self.levels is None else len(self.levels) + 2  # with: other, missing

    def points(self, column: pd.Series) -> FloatArray:
        """Return shape (n_rows, width)."""
        found = np.zeros((len(column), self.width))
        if self.levels is not None:
            place = self.levels.get_indexer(pd.Index(as_values(column), dtype=object))
            place = np.where(place < 0, len(self.levels), place)
            place[column.isna().to_numpy()] = len(self.levels) + 1
            found[np.arange(len(column)), place] = math.sqrt(0.5)
            return found
        numbers = as_numbers(column, self.kind)
        missing = np.isnan(numbers)
        found[:, 0] = np.where(missing, 0.5, self._ranks(numbers))
        found[:, 1] = missing
        return found

    def _ranks(self, numbers: FloatArray) -> FloatArray:
        if self.knots is None or not len(self.knots):
            return np.full(len(numbers), 0.5)
        if self.open_tails:
            low, middle, high = np.quantile(self.knots, [0.25, 0.5, 0.75])
            spread = high - low or self.knots[-1] - self.knots[0] or 1.0
            return np.arcsinh(np.nan_to_num((numbers - middle) / spread))
        # Of a value that fills many knots the middle rank, so that ties are as far from both sides.
        values, first, counts = np.unique(self.knots, return_index=True, return_counts=True)
        middle = (first + (counts - 1) / 2) / max(len(self.knots) - 1, 1)
        return np.interp(np.nan_to_num(numbers, nan=0.0), values, middle)


@dataclasses.dataclass(frozen=True)
class Space:
    """Points of rows.

    Parameters
    ----------
    axes : tuple
        One a column, in order.

    Examples
    --------
    >>> frame = pd.DataFrame({"x": [0.0, 1.0, 2.0], "c": ["a", "b", "a"]})
    >>> space = Space.fit(frame, like=frame)
    >>> distances(space.points(frame), space.points(frame.iloc[:1]), 1).round(2).ravel().tolist()
    [0.0, 1.12, 1.0]
    """

    axes: tuple[_Axis, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, *, like: pd.DataFrame, open_tails: bool = False) -> Space:
        """Learn ranks and levels from `frame`; kinds of columns are those of `like`.

        With `open_tails` numbers far outside are far away, in place of having the last rank.
        """
        axes = []
        for name in like.columns:
            kind = column_kind(like[name])
            if kind in ("numeric", "datetime"):
                numbers = as_numbers(frame[name], kind)
                present = numbers[np.isfinite(numbers)]
                knots = np.quantile(present, np.linspace(0, 1, _KNOTS)) if len(present) else np.empty(0)
                axes.append(_Axis(name, kind, knots, None, open_tails))
            else:
                counts = pd.Series(as_values(frame[name]), dtype=object).value_counts()
                axes.append(_Axis(name, kind, None, pd.Index(counts.index[:_MAX_LEVELS], dtype=object)))
        return cls(tuple(axes))

    def points(self, frame: pd.DataFrame, columns: Sequence[Hashable] | None = None) -> FloatArray:
        """Return the rows as points of shape (n_rows, width), of some columns only if they are named."""
        axes = [axis for axis in self.axes if columns is None or axis.name in columns]
        return np.hstack([axis.points(frame[axis.name]) for axis in axes] or [np.zeros((len(frame), 1))])

    def spans(self) -> dict[Hashable, slice]:
        """Return which of the coordinates of all columns belong to which."""
        ends = np.cumsum([axis.width for axis in self.axes])
        return {axis.name: slice(int(end) - axis.width, int(end)) for axis, end in zip(self.axes, ends, strict=True)}


def neighbours(queries: FloatArray, points: FloatArray, k: int) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Return distances and places of the k nearest points, each of shape (n_queries, min(k, n_points))."""
    k = min(k, len(points))
    with threadpool_limits(limits=1):
        found = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points)
        parts = [found.kneighbors(queries[i : i + _CHUNK]) for i in range(0, len(queries), _CHUNK)]
    distance, place = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    # Differences of large squares leave 1e-8 where equal points should have 0.
    return np.where(distance < 1e-7, 0.0, distance), place


def distances(queries: FloatArray, points: FloatArray, k: int) -> FloatArray:
    """Return the distances to the k nearest points, the nearest first."""
    return neighbours(queries, points, k)[0]
