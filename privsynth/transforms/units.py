r"""Persons with several rows: how many rows each has, how many are learned from, and which.

A person's rows act in two ways only. They make the person one entry of a released histogram of rows per
person, and at most m of them, drawn at random, are learned from (`keep_rows`). Which ones depends on that person's
rows alone and on draws of their own: with or without some other person, the same rows of everybody else are
kept. That is what the proof for persons rests on (docs/privacy.md). The draws themselves are not secret.

Undeclared, m is chosen from the released histogram. Noise grows with m, and the more rows are left out the
less does the rest look like the table. With K(m) rows kept of N, a person's share of all rows changes from r/N to
min(r, m)/K(m), so any table of shares changes in total variation by

    B(m) = 1/2 sum_persons |min(r, m)/K(m) - r/N|

at most. Of c equal cells, the sample of K(m) rows misses the shares by about S(m) = sqrt(c/(2 pi K(m))), and noise of
standard deviation m s in each count moves them by about c m s/(sqrt(2 pi) K(m)). `best_cap` minimises the noise and
a quarter of the others: B arrives in full only where persons with many rows share no value with persons of few,
and rows of one person are alike. So one row of each is learned from in a small table, most rows in a large one.

>>> best_cap(np.array([0, 0, 10_000, 10_000, 100, 0, 0, 0]), noise=0.0)
16
>>> best_cap(np.array([0, 0, 10_000, 10_000, 100, 0, 0, 0]), noise=20.0)
8
>>> best_cap(np.array([900, 400, 200, 100, 10, 0, 0, 0]), noise=20.0)
1
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.errors import SchemaError
from privsynth.kinds import Identifier, misfit
from privsynth.privacy.accountant import gdp_mu
from privsynth.privacy.budget import Budget
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoiseSource
from privsynth.privacy.unit import Unit
from privsynth.schema import Schema
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.values import to_levels

PERSONS_SHARE = 0.02
"""Share of epsilon for the histogram of rows per person."""
CAPS = (1, 2, 4, 8, 16, 32, 64)
_LOW = np.array([1, 2, 3, 5, 9, 17, 33, 65])  # rows per person from which a bin starts
_HIGH = np.array([1, 2, 4, 8, 16, 32, 64, 128])  # the last bin is open
_MIDDLE = (_LOW + _HIGH) / 2
_ARRIVES = 0.25  # of what leaving rows out can do: see above
_CELLS = 30  # of an average column, after small ones are merged
_ONE_WAY_SHARE = 0.05  # of mu^2, which 1-way counts have about (training/shares.py)
_CLEAR = 5.0  # a bin counts from this many noise scales on: 1 empty bin in 300 does
_CLEAR_ALONE = 8.0  # one with none beside it that counts: 1 in 6,000


@dataclass(frozen=True)
class Persons:
    """What was released of the persons of a table.

    Parameters
    ----------
    column : str
        Names the person of each row.
    number : int
        How many persons there are, with noise.
    shares : tuple of float
        Share of the persons by number of rows: 1, 2, 3-4, 5-8, 9-16, 17-32, 33-64, 65 and more.
    """

    column: str
    number: int
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        shares = np.asarray(self.shares, dtype=np.float64)
        if shares.shape != _LOW.shape or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6 or self.number < 1:
            raise ValueError("shares of persons by number of rows do not add up")

    def draw(self, n_rows: int, rng: np.random.Generator) -> IntArray:
        """Draw the person of each of `n_rows` sampled rows, numbered 0, 1, ... by first appearance.

        Persons have as many rows as `shares` says, the last drawn one excepted.
        """
        sizes: list[IntArray] = []
        left = n_rows
        while left > 0:
            bins = rng.choice(len(_LOW), size=left // 8 + 8, p=np.asarray(self.shares) / sum(self.shares))
            sizes.append(rng.integers(_LOW[bins], _HIGH[bins], endpoint=True))
            left -= int(sizes[-1].sum())
        each = np.concatenate([np.zeros(0, dtype=np.int64), *sizes])
        drawn = rng.permutation(np.repeat(np.arange(len(each)), each)[:n_rows])
        _, first, number = np.unique(drawn, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[number].astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {"column": self.column, "number": self.number, "shares": list(self.shares)}

    @classmethod
    def from_dict(cls, data: dict[str, Any] | None) -> Persons | None:
        """Read `to_dict` back; None where rows were protected."""
        return (
            None if data is None else cls(str(data["column"]), int(data["number"]), tuple(map(float, data["shares"])))
        )


def with_unit(schema: Schema, frame: pd.DataFrame) -> Schema:
    """Return a resolved schema whose privacy unit is an identifier that repeats: persons are never modelled.

    Raises
    ------
    SchemaError
        When the privacy unit is no column, or of a data type that names nobody.
    """
    name = schema.privacy_unit
    if name is None:
        return schema
    if name not in schema:
        raise SchemaError(f"The privacy_unit {name!r} is no column of the table. It has {list(schema)}.")
    declared = schema[name]
    column = declared if isinstance(declared, Identifier) else Identifier()
    if remedy := misfit(column, frame.dtypes[name]):
        raise SchemaError(f"The privacy_unit {name!r} has dtype {frame.dtypes[name]}, which names no person. {remedy}")
    return schema.with_columns({**schema, name: replace(column, unique=False)})


def limit_rows(
    frame: pd.DataFrame, schema: Schema, budget: Budget, mechanisms: Mechanisms
) -> tuple[pd.DataFrame, Persons | None]:
    """Keep a few rows of each person and put `mechanisms` under the unit that makes; all rows without one.

    Parameters
    ----------
    frame : DataFrame
        Private rows.
    schema : Schema
        As `with_unit` returns it.
    budget : Budget
        The fit's total, of which `PERSONS_SHARE` is spent.
    mechanisms : Mechanisms
        Charged for the histogram of rows per person.

    Returns
    -------
    frame : DataFrame
        The rows to learn from, in their order, numbered anew.
    persons : Persons or None
        What was released on the way.
    """
    name = schema.privacy_unit
    if name is None:
        return frame, None
    owners = person_of(frame[name])
    noisy, scale = mechanisms.persons(count_sizes(owners), epsilon=(budget.epsilon or 1.0) * PERSONS_SHARE)
    seen = _seen(noisy, scale)
    declared = schema.max_rows_per_unit
    n_columns = sum(not isinstance(column, Identifier) for column in schema.values())
    most = best_cap(seen, noise=typical_noise(n_columns, budget)) if declared is None else declared
    mechanisms.protect(Unit(name, most, chosen=declared is None))
    kept = frame.iloc[keep_rows(owners, most, mechanisms.noise)].reset_index(drop=True)
    number = max(1, int(noisy.sum()))
    return kept, Persons(name, number, tuple((seen / seen.sum()).tolist()))


def person_of(series: pd.Series) -> IntArray:
    """Return the number of each row's person, shape (n_rows,); a row that names none is a person of its own."""
    owners, _ = to_levels(series)
    nobody = owners < 0
    owners[nobody] = owners.max(initial=-1) + 1 + np.arange(nobody.sum())
    return owners


def count_sizes(owners: IntArray) -> IntArray:
    """Count the persons with 1, 2, 3-4, 5-8, ..., 33-64, 65 or more rows, shape (8,)."""
    sizes = np.unique(owners, return_counts=True)[1]
    return np.bincount(np.searchsorted(_LOW, sizes, side="right") - 1, minlength=len(_LOW)).astype(np.int64)


def keep_rows(owners: IntArray, most: int, noise: NoiseSource) -> IntArray:
    """Return the rows that are kept, ascending: at most `most` of each person, drawn at random.

    Every row draws a number of its own, and a person keeps the rows with the least: no other person's rows
    have a say. Without noise all draws are equal, and a person's first rows are kept.
    """
    order = np.lexsort((noise.gumbel(len(owners)), owners))  # stable: equal draws are kept in order
    arranged = owners[order]
    place = np.arange(len(owners))
    starts = np.r_[True, arranged[1:] != arranged[:-1]]
    rank = place - np.maximum.accumulate(np.where(starts, place, 0))
    return np.sort(order[rank < most])


def best_cap(persons: npt.NDArray[Any], *, noise: float) -> int:
    """Choose how many rows of each person to learn from: the least expected error of a table of shares.

    Parameters
    ----------
    persons : ndarray of shape (8,), not negative
        Released number of persons by number of rows, as `count_sizes`.
    noise : float
        Standard deviation of a count's noise if one row of each were learned from.

    Returns
    -------
    int
        One of `CAPS`; of equally good ones the smallest.
    """
    weights = np.asarray(persons, dtype=np.float64)
    everything = weights @ _MIDDLE
    errors = []
    for most in CAPS:
        kept = np.minimum(_MIDDLE, most)
        n_kept = weights @ kept
        moved = 0.5 * float(weights @ np.abs(kept / n_kept - _MIDDLE / everything))
        missed = math.sqrt(_CELLS / (2 * math.pi * n_kept))
        errors.append(_ARRIVES * (moved + missed) + _CELLS / math.sqrt(2 * math.pi) * noise * most / n_kept)
    return CAPS[int(np.argmin(np.round(errors, 12)))]


def typical_noise(n_columns: int, budget: Budget) -> float:
    """Return about the standard deviation of a 1-way count at one row a person; from public things only."""
    if budget.epsilon is None:
        return 0.0
    return math.sqrt(max(1, n_columns) / _ONE_WAY_SHARE) / gdp_mu(budget.epsilon, budget.delta)


def _seen(noisy: IntArray, scale: float) -> FloatArray:
    """Return released numbers of persons without the bins that noise alone could fill; never none at all.

    An empty bin of persons with a hundred rows, were it taken for full, would double the mean of persons with five.
    Real persons leave few gaps, so a bin far from all others needs more to count, unless it is the fullest.
    """
    clear = noisy > _CLEAR * scale
    beside = np.r_[False, clear[:-1]] | np.r_[clear[1:], False]
    counts = clear & (beside | (noisy > _CLEAR_ALONE * scale) | (noisy == noisy.max()))
    seen = np.where(counts, noisy, 0).astype(np.float64)
    if not seen.any():
        seen[0 if scale else int(np.argmax(noisy))] = 1.0
    return seen
