r"""What was not declared, released privately: bounds, levels and atoms of columns.

Two mechanisms, each one call for all columns that need it (a row is in one bin of each column, so the L2
sensitivity of k columns together is sqrt(k)):

* *bounds*: a histogram over sign x floor(log2 |x|), or over years; the bins that rise above the noise;
* *levels and atoms*: a stability histogram over exact values (Korolova et al. 2009; Gaussian variant), which
  releases frequent levels of categorical columns and spikes of numeric ones.

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

MIN_EXPONENT, MAX_EXPONENT = -32, 63
FINE, COARSE = 1, 4  # octaves a bin: a small table shows its columns in few wide bins or not at all
_FIRST_SPLIT = 64
_OCTAVE_SPLIT = {FINE: 8, COARSE: 2}
_YEAR = 31_556_952.0  # seconds, on average
_FIRST_TIME, _LAST_TIME = -62_135_596_800.0, 253_402_300_800.0  # the years 1 to 9999
_FALSE_BINS = 0.002
_FURTHEST = 12  # bins beyond the last one that was seen by itself
_TOGETHER = 2.0  # standard deviations that their sum has to rise above the noise


@dataclass(frozen=True)
class Range:
    """Where the numbers of a column are: starting edges of its leaves, and the part of them where some were seen.

    Below `low` and above `high` there may be nobody: the leaves will show it. Declared ends have nothing beyond.
    """

    edges: FloatArray
    low: float = -math.inf
    high: float = math.inf


def discover_bounds(
    columns: Mapping[str, FloatArray],
    mechanisms: Mechanisms,
    label: str,
    *,
    octaves: int = FINE,
    times: Mapping[str, int] | None = None,
    decimals: Mapping[str, int | None] | None = None,
    told: Set[str] = frozenset(),
) -> dict[str, Range]:
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
    dict of str to Range
        Of each column: the occupied bins, each in parts, and one leaf for each gap between them. Numbers may go on to
        zero, in one leaf, and outwards in bins that are seen together only, a leaf each. Columns of which nothing
        rises above the noise are left out.
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
    ranges = {}
    for name, noisy in zip(columns, np.split(release.values, np.cumsum([len(e) for e in exact])[:-1]), strict=True):
        step, digits = steps[name], (decimals or {}).get(name)
        two = name in told and step is None and digits == 0
        found = _occupied(noisy, release.scale, far=far, two=two)
        if len(found) and step is not None:
            ends = np.unique(np.concatenate([_year_edges(bin_, octaves, step) for bin_ in found.tolist()]))
            ranges[name] = Range(ends, ends[0], ends[-1])
        elif len(found):
            unit = None if digits is None else 10.0**-digits
            bins = asked[name].tolist()
            ends = _with_last(np.unique(np.concatenate([_octave_edges(bins[i], octaves) for i in found])), unit)
            more = [] if two else _beyond(ends, bins, found, noisy, release.scale, octaves)
            ranges[name] = Range(_with_last(np.unique([*ends, *more]), unit), ends[0], ends[-1])
    return ranges


def _beyond(
    ends: FloatArray, bins: list[int], found: IntArray, noisy: FloatArray, scale: float, octaves: int
) -> list[float]:
    """Return edges further out: zero, and bins whose rows show together, as those of long tails do."""
    first, last = int(found[0]), int(found[-1])
    more: list[float] = [0.0] if ends[0] > 0 or ends[-1] < 0 else []
    out = bins[last + 1 :][: _reach(noisy[last + 1 :], scale)] if ends[-1] > 0 else []
    out += bins[:first][::-1][: _reach(noisy[:first][::-1], scale)] if ends[0] < 0 else []
    for bin_ in out:
        more += _octave_edges(bin_, octaves)[[0, -1]].tolist()
    return more


def _reach(noisy: FloatArray, scale: float) -> int:
    """Return how many bins, from the nearest on, rise furthest above the noise together; 0 if none do."""
    sums = np.cumsum(noisy[:_FURTHEST])
    above = sums - _TOGETHER * scale * np.sqrt(np.arange(1, len(sums) + 1))
    return int(np.argmax(above)) + 1 if len(above) and above.max() > 0 else 0


def _with_last(edges: FloatArray, unit: float | None) -> FloatArray:
    """Return edges that hold the greatest number of a grid of `unit`, if there is one: leaves lack their upper ends.

    A bin of numbers below zero holds the upper one of its ends, and the bin of zero only zero.
    """
    if unit is None or edges[-1] > 2.0**MIN_EXPONENT:
        return edges
    if edges[-1] <= 0:
        return np.append(edges, edges[-1] + unit)
    return np.append(edges[:-1], max(unit, edges[-1]))


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


def out_of_range(found: Range) -> bool:
    """Whether all that was found is the largest or the smallest octave, into which anything beyond is cut."""
    near, far = sorted([abs(found.low), abs(found.high)])
    return bool(found.low * found.high > 0 and (near >= 2.0**MAX_EXPONENT or far <= 2.0 ** (MIN_EXPONENT + 1)))


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
    columns: Mapping[str, tuple[Any, Any]], mechanisms: Mechanisms, label: str, *, parts: int | None = None
) -> tuple[dict[str, tuple[list[Any], FloatArray]], float]:
    """Release the frequent values of each column and their noisy counts.

    Parameters
    ----------
    columns : mapping of str to (values, counts)
        Each column's distinct values and how many rows have them, private both.
    parts : int, optional
        Counts are in parts of a row, which is shared out among the columns (`Mechanisms.discover`).

    Returns
    -------
    found : dict of str to (list of values, ndarray of counts)
        Most frequent first.
    scale : float
        Standard deviation of the noise.
    """
    kept, noisy, scale = mechanisms.discover(label, [np.asarray(counts) for _, counts in columns.values()], parts=parts)
    found = {}
    for (name, (values, _)), index, counts in zip(columns.items(), kept, noisy, strict=True):
        # ties by value: the order of `values` may be that of first appearance, which is the rows' own
        ranks = [(-count, type(values[i]).__name__, str(values[i])) for i, count in zip(index, counts, strict=True)]
        order = sorted(range(len(ranks)), key=ranks.__getitem__)
        found[name] = ([values[index[k]] for k in order], counts[order])
    return found, scale
