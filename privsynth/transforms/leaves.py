r"""The leaves of numeric columns: private counts on trees of intervals.

Each of a fixed number of rounds counts the rows in all leaves there are, of all columns in one release. Leaves do not
overlap, so a row is in one of each column, and counting all of them costs what counting the new ones would. Then those
leaves are split that hold enough rows for their parts to stand out from the noise, as in PrivTree (Zhang, Xiao, Xie
2016) but with Gaussian noise. What the rounds say of an interval and of its parts is weighted by variance, and
made to agree from the top down (Hay, Rastogi, Miklau, Suciu 2010).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from privsynth.privacy.mechanisms import Mechanisms
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.ends import CLEAR, is_clear, occupied_leaves
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

    def add(self, count: float) -> None:
        """Take in what another round counted."""
        self.total += count
        self.times += 1

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
    seen: Mapping[str, tuple[float, float]],
    on_grid: Mapping[str, bool],
    totals: Mapping[str, float | None],
    mechanisms: Mechanisms,
    labels: list[str],
    atoms: Mapping[str, Sequence[float]] | None = None,
) -> tuple[dict[str, Leaves], float]:
    """Count the rows in every leaf and split the heavy ones, one round a label.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Private values in grid units, without missing ones and without those at released atoms.
    edges : mapping of str to ndarray
        Public or released starting edges.
    seen : mapping of str to tuple of float
        Between which of them there are values; infinite where an end was declared. Intervals beyond are dropped in
        the end, on either side, unless the counts in them together rise above their noise. So are the outermost
        leaves between them that noise could fill (`occupied_leaves`).
    on_grid : mapping of str to bool
        Whether leaves end at whole numbers and stop splitting at width one.
    totals : mapping of str to float or None
        Released number of rows in all leaves of a column, where it is known.
    labels : list of str
        One allotted Gaussian event a round, all of the same budget.
    atoms : mapping of str to sequence of float, optional
        Released values, in grid units. The leaves between them stay, whatever they hold.

    Returns
    -------
    leaves : dict of str to Leaves
    scale : float
        Standard deviation of the noise in a leaf that was there in all rounds.
    """
    sensitivity = math.sqrt(len(columns))
    roots = {name: _intervals(edges[name]) for name in columns}
    rows: dict[str, FloatArray] = {}
    scale = 0.0
    for label in labels:
        for name, counts in rows.items():
            _split(_leaves_of(roots[name]), counts, on_grid[name], scale)
        leaves = {name: _leaves_of(roots[name]) for name in columns}
        exact = [_count(values, _edges_of(leaves[name])) for name, values in columns.items()]
        release = mechanisms.counts(label, np.concatenate(exact), sensitivity=sensitivity)
        scale = release.scale
        noisy = np.split(release.values, np.cumsum([len(e) for e in exact])[:-1])
        for name, counts in zip(columns, noisy, strict=True):
            for leaf, count in zip(leaves[name], counts.tolist(), strict=True):
                leaf.add(count)
            rows[name] = _rows_of(roots[name], totals[name], scale)
    grown = {}
    for name, (low, high) in seen.items():
        kept = _without_empty_ends(roots[name], low, high, scale)
        kept = _between_ends(kept, low, high, scale, (atoms or {}).get(name, ()))
        grown[name] = Leaves(_edges_of(_leaves_of(kept)), _rows_of(kept, totals[name], scale))
    return grown, scale / math.sqrt(max(1, len(labels)))


def _intervals(edges: FloatArray) -> list[_Interval]:
    return [_Interval(low, high) for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]


def _leaves_of(intervals: list[_Interval]) -> list[_Interval]:
    """Return the intervals below that were not split, in order."""
    return [leaf for interval in intervals for leaf in (_leaves_of(interval.parts) if interval.parts else [interval])]


def _edges_of(leaves: list[_Interval]) -> FloatArray:
    return np.array([*(leaf.low for leaf in leaves), leaves[-1].high])


def _count(values: FloatArray, edges: FloatArray) -> IntArray:
    """Count the values in each interval; values beyond the ends are cut to the outermost."""
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(place, minlength=len(edges) - 1).astype(np.int64)


def _rows_of(intervals: list[_Interval], total: float | None, scale: float) -> FloatArray:
    """Return the rows of each leaf; in all `total`, or no fewer than in the intervals that rise above the noise."""
    if total is None:
        estimates = [interval.estimate() for interval in intervals]
        heavy = [value for value, variance in estimates if value > 2.5 * scale * math.sqrt(variance)]
        total = max(sum(value for value, _ in estimates), sum(heavy))
    return _settle(intervals, total)


def _without_empty_ends(intervals: list[_Interval], low: float, high: float, scale: float) -> list[_Interval]:
    """Drop the intervals up to `low`, and those from `high` on, if noise could fill them."""
    kept = [interval for interval in intervals if interval.high > low and interval.low < high]
    below = [interval for interval in intervals if interval.high <= low]
    above = [interval for interval in intervals if interval.low >= high]

    def is_empty(part: list[_Interval]) -> bool:
        values, variances = np.transpose([interval.estimate() for interval in part])
        return bool(values.sum() <= CLEAR * scale * math.sqrt(variances.sum()) + 0.5)  # .5: rounding

    if below and (not kept or not is_empty(below)):
        kept = below + kept
    return kept + above if above and (not kept or not is_empty(above)) else kept


def _between_ends(
    intervals: list[_Interval], low: float, high: float, scale: float, atoms: Sequence[float]
) -> list[_Interval]:
    """Drop the outermost leaves that noise could fill, but none between atoms and none up to a declared end."""
    leaves = _leaves_of(intervals)
    counts, variances = np.transpose([leaf.estimate() for leaf in leaves])
    noise = scale * np.sqrt(variances)
    held = is_clear(counts, noise)
    for atom in atoms:
        held |= [leaf.low <= atom < leaf.high for leaf in leaves]
    if not held.any():
        return intervals
    first, last = occupied_leaves(counts, noise, held, below=math.isfinite(low), above=math.isfinite(high))
    return _cut(intervals, leaves[first].low, leaves[last].high)


def _cut(intervals: list[_Interval], low: float, high: float) -> list[_Interval]:
    """Return the intervals without the leaves beyond `low` and `high`; their rows are then cut to the outermost."""
    inside = [interval for interval in intervals if interval.high > low and interval.low < high]
    return [replace(interval, parts=_cut(interval.parts, low, high)) for interval in inside]


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


def _split(leaves: list[_Interval], counts: FloatArray, grid: bool, scale: float) -> None:
    """Split leaves, the heaviest first, in two, four or eight."""
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
