r"""What was not declared, released privately: bounds, levels, atoms and the leaves of numeric columns.

Three mechanisms, each one call for all columns that need it (a row is in one bin of each column, so the L2
sensitivity of k columns together is sqrt(k)):

* *bounds*: a histogram over sign x floor(log2 |x|), or over years; the bins that rise above the noise;
* *levels and atoms*: a stability histogram over exact values (Korolova et al. 2009; Gaussian variant), which
  releases frequent levels of categorical columns and spikes of numeric ones;
* *leaves*: rounds of Gaussian counts on a tree of intervals whose heavy leaves are split eight-fold, as in
  PrivTree (Zhang, Xiao, Xie 2016) but with Gaussian noise and a fixed number of rounds.

Everything after a release is post-processing and spends nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from privsynth.privacy.mechanisms import Mechanisms
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.simplex import project_to_simplex

MIN_EXPONENT, MAX_EXPONENT = -32, 63
FINE, COARSE = 1, 4  # octaves a bin: a small table shows its columns in few wide bins or not at all
_FIRST_SPLIT = 64
_OCTAVE_SPLIT = {FINE: 8, COARSE: 2}
_YEAR = 31_556_952.0  # seconds, on average
_FIRST_TIME, _LAST_TIME = -62_135_596_800.0, 253_402_300_800.0  # the years 1 to 9999
_BRANCHES = 8
_MAX_LEAVES = 512
_FALSE_BINS = 0.002


@dataclass(frozen=True)
class Leaves:
    """Adjacent intervals [edges[i], edges[i+1]) of one column and their released counts."""

    edges: FloatArray
    counts: FloatArray


def discover_bounds(
    columns: Mapping[str, FloatArray],
    mechanisms: Mechanisms,
    label: str,
    *,
    octaves: int = FINE,
    times: Mapping[str, int] | None = None,
    decimals: Mapping[str, int | None] | None = None,
    told: Set[str] = frozenset(),
) -> dict[str, FloatArray]:
    """Release the range of each column: in powers of two, and that of times in years.

    Parameters
    ----------
    columns : mapping of str to ndarray of shape (n_rows,)
        Private values; NaN is missing.
    mechanisms : Mechanisms
        Charged once, under `label`.
    octaves : {FINE, COARSE}
        Octaves, or years, a bin.
    times : mapping of str to int, optional
        Seconds in a step, of the columns that are times.
    decimals : mapping of str to int or None, optional
        Public decimals: between zero and their unit there is nothing to look for, so that 0 and 1 are neighbours
        among whole numbers.
    told : set of str
        Columns that others are to be told apart by, and so have two values: where one bin of whole numbers is all
        that shows, the neighbour with the higher count is taken to be occupied too.

    Returns
    -------
    dict of str to ndarray
        Public starting edges of each column's leaves: the occupied bins, each in parts, and one leaf for
        each gap between them. Columns of which nothing rises above the noise are left out.
    """
    steps = {name: (times or {}).get(name) for name in columns}
    exact, asked = [], {}
    for name, values in columns.items():
        known, step = values[~np.isnan(values)], steps[name]
        if step is None:
            asked[name] = _possible((decimals or {}).get(name), octaves)
            places = np.searchsorted(asked[name], _octave(known, octaves, asked[name]))
        else:
            asked[name] = np.arange(len(_year_ends(octaves, step)) - 1)
            places = _years(known, octaves, step)
        exact.append(np.bincount(places, minlength=len(asked[name])))
    release = mechanisms.counts(label, np.concatenate(exact), sensitivity=math.sqrt(len(columns)))
    far = float(norm.isf(_FALSE_BINS / len(release.values)))
    edges = {}
    for name, noisy in zip(columns, np.split(release.values, np.cumsum([len(e) for e in exact])[:-1]), strict=True):
        step, digits = steps[name], (decimals or {}).get(name)
        two = name in told and step is None and digits == 0
        parts = [
            _octave_edges(int(bin_), octaves) if step is None else _year_edges(int(bin_), octaves, step)
            for bin_ in asked[name][_occupied(noisy, release.scale, far=far, two=two)]
        ]
        if parts:
            ends = np.unique(np.concatenate(parts))
            edges[name] = ends if step is not None or digits is None else _with_last(ends, 10.0**-digits)
    return edges


def _with_last(edges: FloatArray, unit: float) -> FloatArray:
    """Return edges that hold the greatest number of a grid of `unit`, as leaves lack their upper ends.

    A bin of numbers below zero holds the upper one of its ends, and the bin of zero only zero.
    """
    if edges[-1] <= 0:
        return np.append(edges, edges[-1] + unit)
    return np.append(edges[:-1], max(unit, edges[-1])) if edges[-1] == 2.0**MIN_EXPONENT else edges


def _year_ends(octaves: int, step: int) -> FloatArray:
    """Return the ends of the bins of times, in steps since 1970: before 1900, years, after 2100."""
    years = np.arange(-70, 131, octaves, dtype=np.float64) * _YEAR
    return np.round(np.concatenate([[_FIRST_TIME], years, [_LAST_TIME]]) / step)


def _years(values: FloatArray, octaves: int, step: int) -> IntArray:
    """Return the bin of each time."""
    ends = _year_ends(octaves, step)
    return np.clip(np.searchsorted(ends, values, side="right") - 1, 0, len(ends) - 2).astype(np.int64)


def _year_edges(bin_: int, octaves: int, step: int) -> FloatArray:
    """Return the ends and inner edges of one bin of times."""
    low, high = _year_ends(octaves, step)[bin_ : bin_ + 2]
    return np.unique(np.round(np.linspace(low, high, _OCTAVE_SPLIT[octaves] * octaves + 1)))


def out_of_range(edges: FloatArray) -> bool:
    """Whether all that was found is the largest or the smallest octave, into which anything beyond is cut."""
    near, far = np.sort(np.abs(edges[[0, -1]]))
    return bool(edges[0] * edges[-1] > 0 and (near >= 2.0**MAX_EXPONENT or far <= 2.0 ** (MIN_EXPONENT + 1)))


def _occupied(noisy: FloatArray, scale: float, *, far: float, two: bool = False) -> IntArray:
    """Return the bins that rise above the noise: by `far` deviations anywhere, by 2.5 next to such a bin.

    Among a thousand empty bins the highest is three to four deviations up, so a lone bin needs more than one
    beside the bulk, of which there are two a column. With `two`, a bin does not stay alone.
    """
    found = set(np.flatnonzero(noisy > far * scale).tolist())
    near = set(np.flatnonzero(noisy > 2.5 * scale).tolist())
    while fresh := {b for b in near - found if b - 1 in found or b + 1 in found}:
        found |= fresh
    if two and len(found) == 1:
        (alone,) = found
        middle = len(noisy) // 2  # the bin of zero, which is called a class beside 1 more often than beside -1
        rank = noisy + np.where((np.arange(len(noisy)) > middle) & (alone == middle), 2 * scale, 0.0)
        found.add(max((b for b in (alone - 1, alone + 1) if 0 <= b < len(noisy)), key=rank.__getitem__))
    return np.array(sorted(found), dtype=np.int64)


def _side(octaves: int) -> int:
    """Return how many bins there are of either sign."""
    return (MAX_EXPONENT - MIN_EXPONENT + 1) // octaves


def _possible(decimals: int | None, octaves: int) -> IntArray:
    """Return the bins that numbers of so many decimals can be in, ascending: all where that is not known."""
    zero = _side(octaves)
    bins = np.arange(2 * zero + 1)
    if decimals is None:
        return bins
    unit = np.clip(math.floor(-decimals * math.log2(10)), MIN_EXPONENT, MAX_EXPONENT)
    return bins[(bins == zero) | (np.abs(bins - zero) > (unit - MIN_EXPONENT) // octaves)]


def _octave(values: FloatArray, octaves: int, possible: IntArray) -> IntArray:
    """Return the bin of each value: negative octaves (large first), zero, positive octaves.

    A value in no possible bin, one of more decimals than there should be, is in the nearest one on its side.
    """
    exponent = np.frexp(np.abs(values))[1] - 1
    place = (np.clip(exponent, MIN_EXPONENT, MAX_EXPONENT) - MIN_EXPONENT) // octaves
    zero = _side(octaves)
    place = np.maximum(place, possible[possible > zero][0] - zero - 1)
    return np.where(values == 0, zero, np.where(values > 0, zero + 1 + place, zero - 1 - place))


def _octave_edges(bin_: int, octaves: int) -> FloatArray:
    """Return the ends and inner edges of one bin; the bin of zero is [0, smallest octave]."""
    zero = _side(octaves)
    if bin_ == zero:
        return np.array([0.0, 2.0**MIN_EXPONENT])
    place = bin_ - zero - 1 if bin_ > zero else zero - 1 - bin_
    first = MIN_EXPONENT + octaves * place
    parts = [np.linspace(2.0**e, 2.0 ** (e + 1), _OCTAVE_SPLIT[octaves] + 1) for e in range(first, first + octaves)]
    edges = np.unique(np.concatenate(parts))
    return edges if bin_ > zero else -edges[::-1]


def unit_edges(edges: FloatArray, decimals: int | None, *, high_inside: bool, most: int) -> FloatArray | None:
    """Return one leaf a grid point where the range holds at most `most` of them, in grid units; else None."""
    if decimals is None:
        return None
    low, high = np.rint(edges[[0, -1]] * 10.0**decimals)
    last = high + high_inside
    return np.arange(low, last + 1) if 1 <= last - low <= most else None


def declared_edges(low: float, high: float, *, grid: bool) -> FloatArray:
    """Return the public starting edges between declared bounds; on a grid `high` itself is inside."""
    if not grid:
        return np.linspace(low, high, _FIRST_SPLIT + 1)
    return np.unique(np.rint(np.linspace(low, high + 1, min(_FIRST_SPLIT, int(high - low) + 1) + 1)))


def discover_values(
    columns: Mapping[str, tuple[Any, Any]], mechanisms: Mechanisms, label: str
) -> tuple[dict[str, tuple[list[Any], FloatArray]], float]:
    """Release the frequent values of each column and their noisy counts.

    Parameters
    ----------
    columns : mapping of str to (values, counts)
        Each column's distinct values and how many rows have them, private both.

    Returns
    -------
    found : dict of str to (list of values, ndarray of counts)
        Most frequent first.
    scale : float
        Standard deviation of the noise.
    """
    kept, noisy, scale = mechanisms.discover(label, [np.asarray(counts) for _, counts in columns.values()])
    found = {}
    for (name, (values, _)), index, counts in zip(columns.items(), kept, noisy, strict=True):
        # ties by value: the order of `values` may be that of first appearance, which is the rows' own
        ranks = [(-count, type(values[i]).__name__, str(values[i])) for i, count in zip(index, counts, strict=True)]
        order = sorted(range(len(ranks)), key=ranks.__getitem__)
        found[name] = ([values[index[k]] for k in order], counts[order])
    return found, scale


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
        One allotted Gaussian event a round.

    Returns
    -------
    leaves : dict of str to Leaves
    scale : float
        Standard deviation of the noise in each count.
    """
    sensitivity = math.sqrt(len(columns))
    leaves: dict[str, Leaves] = {}
    asked = {name: edges[name] for name in columns}
    splits: dict[str, list[int]] = {}
    scale = 0.0
    for label in labels:
        bins = {name: _split_bins(asked[name], splits.get(name)) for name in columns}
        exact = [_count(values, asked[name], bins[name]) for name, values in columns.items()]
        release = mechanisms.counts(label, np.concatenate(exact), sensitivity=sensitivity)
        scale = release.scale
        noisy = np.split(release.values, np.cumsum([len(e) for e in exact])[:-1])
        for name, counts in zip(columns, noisy, strict=True):
            if name in leaves:
                leaves[name] = _merge_round(leaves[name], asked[name], bins[name], counts)
            else:
                heavy = counts[counts > 2.5 * scale].sum()
                known = totals[name]
                total = float(max(counts.sum(), heavy)) if known is None else known
                leaves[name] = Leaves(asked[name], _consistent(counts, total))
            asked[name], splits[name] = _split(leaves[name], on_grid[name], max(16 * scale, 16.0))
    return leaves, scale


def _split_bins(edges: FloatArray, fresh: list[int] | None) -> FloatArray:
    """Return which intervals of `edges` are asked for: all in the first round, else the fresh ones."""
    mask = np.zeros(len(edges) - 1, dtype=bool)
    mask[slice(None) if fresh is None else fresh] = True
    return mask


def _count(values: FloatArray, edges: FloatArray, asked: Any) -> Any:
    """Count the values in the asked intervals; values beyond the ends are cut to the outermost."""
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(place, minlength=len(edges) - 1)[asked].astype(np.int64)


def _merge_round(before: Leaves, edges: FloatArray, asked: Any, counts: FloatArray) -> Leaves:
    """Put a round's counts in place; children are made to agree with their parent's count."""
    parent = np.clip(np.searchsorted(before.edges, edges[:-1], side="right") - 1, 0, len(before.counts) - 1)
    merged = before.counts[parent].astype(np.float64)
    for p in np.unique(parent[asked]):
        children = np.flatnonzero(asked & (parent == p))
        fresh, k = counts[np.isin(np.flatnonzero(asked), children)], len(children)
        best = (before.counts[p] * k + fresh.sum()) / (k + 1)  # inverse-variance mean of 1 and k noises
        merged[children] = _consistent(fresh, best)
    return Leaves(edges, merged)


def _consistent(counts: FloatArray, total: float) -> FloatArray:
    """Return counts >= 0 that add up to `total` (0 at least), nearest to the noisy ones."""
    total = max(0.0, float(total))
    return project_to_simplex(counts, total) * total


def _split(leaves: Leaves, grid: bool, threshold: float) -> tuple[FloatArray, list[int]]:
    """Return the next edges and the indices of their fresh intervals: heavy leaves split eight-fold."""
    edges: list[float] = []
    fresh: list[int] = []
    heavy = leaves.counts > threshold
    if heavy.sum() * _BRANCHES + len(heavy) > _MAX_LEAVES:
        keep = np.argsort(-leaves.counts)[: max(0, (_MAX_LEAVES - len(heavy)) // _BRANCHES)]
        heavy &= np.isin(np.arange(len(heavy)), keep)
    for i, (low, high) in enumerate(zip(leaves.edges[:-1], leaves.edges[1:], strict=True)):
        inner = np.linspace(low, high, _BRANCHES + 1)
        inner = np.unique(np.rint(inner)) if grid else np.unique(inner)
        if heavy[i] and len(inner) > 2:
            fresh += range(len(edges), len(edges) + len(inner) - 1)
            edges += inner[:-1].tolist()
        else:
            edges.append(float(low))
    return np.array([*edges, leaves.edges[-1]]), fresh
