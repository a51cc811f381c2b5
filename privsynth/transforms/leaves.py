r"""The leaves of numeric columns: private counts on trees of intervals.

Each of a fixed number of rounds counts the rows in all leaves there are, of all columns in one release. Leaves do not
overlap, so a row is in one of each column, and counting all of them costs what counting the new ones would. Then those
leaves are split that hold enough rows for their parts to stand out from the noise, as in PrivTree (Zhang, Xiao, Xie
2016) but with Gaussian noise. What the rounds say of an interval and of its parts is weighted by variance, and
made to agree from the top down (Hay, Rastogi, Miklau, Suciu 2010).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from privsynth.privacy.mechanisms import Mechanisms
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.simplex import project_to_simplex

_MOST_PARTS = 8
_NOISES_A_PART = 2.0  # standard deviations of a count's noise that a part holds on average, at least
_LEAST_ROWS = 16.0  # a leaf of fewer is not split, whatever the noise
_MAX_LEAVES = 512


@dataclass(frozen=True)
class Leaves:
    """Adjacent intervals [edges[i], edges[i+1]) of one column and their released counts."""

    edges: FloatArray
    counts: FloatArray


@dataclass
class _Interval:
    """An interval [low, high): the sum of its noisy counts, how many there were, and its parts once it is split."""

    low: float
    high: float
    total: float = 0.0
    times: int = 0
    parts: list[_Interval] = field(default_factory=list)

    def estimate(self) -> tuple[float, float]:
        """Return the best linear unbiased estimate of its rows, and its variance as a multiple of one count's."""
        precision, weighted = float(self.times), self.total
        if self.parts:
            values, variances = zip(*(part.estimate() for part in self.parts), strict=True)
            precision += 1 / sum(variances)
            weighted += sum(values) / sum(variances)
        return weighted / precision, 1 / precision


def grow_leaves(
    columns: Mapping[str, FloatArray],
    edges: Mapping[str, FloatArray],
    on_grid: Mapping[str, bool],
    totals: Mapping[str, float | None],
    mechanisms: Mechanisms,
    labels: list[str],
) -> tuple[dict[str, Leaves], float]:
    """Count the rows in every leaf and split the heavy ones, one round a label.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Private values in grid units, without missing ones and without those at released atoms.
    edges : mapping of str to ndarray
        Public or released starting edges.
    on_grid : mapping of str to bool
        Whether leaves end at whole numbers and stop splitting at width one.
    totals : mapping of str to float or None
        Released number of rows in all leaves of a column, where it is known.
    labels : list of str
        One allotted Gaussian event a round, all of the same budget.

    Returns
    -------
    leaves : dict of str to Leaves
    scale : float
        Standard deviation of the noise in a leaf that was there in all rounds.
    """
    sensitivity = math.sqrt(len(columns))
    roots = {name: _intervals(edges[name]) for name in columns}
    leaves = dict(roots)
    held: dict[str, FloatArray] = {}
    scale = 0.0
    for label in labels:
        for name in held:
            leaves[name] = _split(leaves[name], held[name], on_grid[name], scale)
        exact = [_count(values, _edges_of(leaves[name])) for name, values in columns.items()]
        release = mechanisms.counts(label, np.concatenate(exact), sensitivity=sensitivity)
        scale = release.scale
        noisy = np.split(release.values, np.cumsum([len(e) for e in exact])[:-1])
        for name, counts in zip(columns, noisy, strict=True):
            for leaf, count in zip(leaves[name], counts, strict=True):
                leaf.total += float(count)
                leaf.times += 1
            known = totals[name]
            held[name] = _settle(roots[name], _rows_in(roots[name], scale) if known is None else known)
    grown = {name: Leaves(_edges_of(leaves[name]), held[name]) for name in columns}
    return grown, scale / math.sqrt(max(1, len(labels)))


def _intervals(edges: FloatArray) -> list[_Interval]:
    return [_Interval(low, high) for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]


def _edges_of(leaves: list[_Interval]) -> FloatArray:
    return np.array([*(leaf.low for leaf in leaves), leaves[-1].high])


def _count(values: FloatArray, edges: FloatArray) -> IntArray:
    """Count the values in each interval; values beyond the ends are cut to the outermost."""
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(place, minlength=len(edges) - 1).astype(np.int64)


def _rows_in(intervals: list[_Interval], scale: float) -> float:
    """Return how many rows there are in all: no fewer than in the intervals that rise above the noise."""
    estimates = [interval.estimate() for interval in intervals]
    heavy = [value for value, variance in estimates if value > 2.5 * scale * math.sqrt(variance)]
    return max(sum(value for value, _ in estimates), sum(heavy))


def _settle(intervals: list[_Interval], total: float) -> FloatArray:
    """Return the rows of each leaf below: from the top down, parts >= 0 that add up to the whole."""
    counts = _consistent(np.array([interval.estimate()[0] for interval in intervals]), total)
    settled = [
        _settle(interval.parts, count) if interval.parts else np.array([count])
        for interval, count in zip(intervals, counts.tolist(), strict=True)
    ]
    return np.concatenate(settled)


def _consistent(counts: FloatArray, total: float) -> FloatArray:
    """Return counts >= 0 that add up to `total` (0 at least), nearest to the noisy ones."""
    total = max(0.0, float(total))
    return project_to_simplex(counts, total) * total


def _split(leaves: list[_Interval], counts: FloatArray, grid: bool, scale: float) -> list[_Interval]:
    """Split leaves, the heaviest first, in two, four or eight, and return all leaves that there are then."""
    room = _MAX_LEAVES - len(leaves)
    for i in np.argsort(-counts, kind="stable"):
        carried = counts[i] / (_NOISES_A_PART * max(scale, 1.0))  # parts that would stand out from the noise
        if counts[i] <= _LEAST_ROWS or carried < 2:
            break
        parts = min(_MOST_PARTS, 2 ** int(math.log2(carried)))
        inner = np.linspace(leaves[i].low, leaves[i].high, parts + 1)
        inner = np.unique(np.rint(inner)) if grid else np.unique(inner)
        if 2 < len(inner) <= room + 2:
            leaves[i].parts = _intervals(inner)
            room -= len(inner) - 2
    return [part for leaf in leaves for part in leaf.parts or [leaf]]
