r"""Which values of open columns are frequent: numbers in one look, levels in two.

In a look at m columns a row is in one key of each, so noise grows with sqrt(m). What is rare after a first look at
levels is rare in one column or two of a row: its other values have names by then. So in the second a row shares itself
out evenly among the k of its values that have none, with the weight 1/sqrt(k) each, an L2 norm of 1 whatever k is.
Counts that are released anew in rounds, of what is left, follow Swanberg, Desfontaines and Haney (DP-SIPS, PoPETs
2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from privsynth.privacy.mechanisms import Mechanisms
from privsynth.schema import Categorical, Continuous
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.discover import discover_values
from privsynth.transforms.values import level_key, to_levels

VALUES, LEVELS, RARER = "levels and atoms", "levels", "rarer levels"
MAX_LEVEL_CELLS = 96
PARTS = 64  # of a row: what weights of the second look are whole numbers of
_MISSING = ("missing",)  # a key that no level can have: rows without a value are not rows without a name
Found = tuple[list[Any], FloatArray]


def has_open_shares(column: Categorical) -> bool:
    """Whether it must be discovered which levels are frequent: none are declared, or too many for a cell each."""
    return column.categories is None or len(column.categories) > MAX_LEVEL_CELLS


def has_rarer_levels(column: Any) -> bool:
    """Whether a column takes part in the second look: its levels are text or codes that nobody declared."""
    return isinstance(column, Categorical) and column.categories is None


def frequent_values(
    frame: pd.DataFrame,
    schema: Mapping[str, Any],
    numbers: Mapping[str, FloatArray],
    mechanisms: Mechanisms,
    *,
    n_rows: int,
) -> tuple[dict[str, Found], float]:
    """Release the frequent levels of undeclared and of large categoricals, and the frequent numbers.

    Parameters
    ----------
    frame : DataFrame
        Private rows; read through `mechanisms` only.
    schema : mapping of str to column declaration
        The columns that are modelled.
    numbers : mapping of str to ndarray of shape (n_rows,)
        Values of the numeric columns that take part; NaN is missing.
    mechanisms : Mechanisms
        Charged for `VALUES`, and where `RARER` is allotted for `LEVELS` and that, if there are undeclared levels.
    n_rows : int
        The released row count.

    Returns
    -------
    found : dict of str to (list of values, ndarray of counts)
        Most frequent first, with their estimated numbers of rows.
    noise : float
        Standard deviation of the noise in the counts of frequent numbers.
    """
    asked: dict[str, tuple[Any, Any]] = {}
    codes: dict[str, IntArray] = {}
    for name, column in schema.items():
        if isinstance(column, Categorical) and has_open_shares(column):
            codes[name], levels = to_levels(frame[name])
            asked[name] = _keys(codes[name], levels, column)
        elif isinstance(column, Continuous) and name in numbers:
            known = numbers[name][~np.isnan(numbers[name])]
            asked[name] = np.unique(known + 0.0, return_counts=True)
    open_ = {name: codes[name] for name in codes if mechanisms.allows(RARER) and has_rarer_levels(schema[name])}
    once = {name: one for name, one in asked.items() if name not in open_}
    found, noise = discover_values(once, mechanisms, VALUES) if once else ({}, 0.0)
    if open_:
        first, _ = discover_values({name: asked[name] for name in open_}, mechanisms, LEVELS)
        shared = _share_out(open_, {name: asked[name][0] for name in open_}, first)
        more, _ = discover_values(shared, mechanisms, RARER, parts=PARTS)
        weights = _mean_weights({name: 1 - first[name][1].sum() / n_rows for name in open_})
        found = {**found, **{name: _merge(first[name], more[name], weights[name]) for name in open_}}
    return {name: _without_missing(one) for name, one in found.items()}, noise


def _keys(codes: IntArray, levels: list[Any], column: Categorical) -> tuple[list[Any], IntArray]:
    """Return what the rows of a column are counted by and the count of each: levels, and missing as the last.

    Where levels are declared, only these.
    """
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    if column.categories is not None:
        declared = set(column.categories)
        inside = [i for i, level in enumerate(levels) if level in declared]
        return [levels[i] for i in inside], counts[inside]
    missing = int((codes < 0).sum())
    return ([*levels, _MISSING], np.append(counts, missing)) if missing else (levels, counts)


def _share_out(
    codes: Mapping[str, IntArray], levels: Mapping[str, list[Any]], found: Mapping[str, Found]
) -> dict[str, tuple[list[Any], IntArray]]:
    """Return the levels without a name yet and their weight, in `PARTS` of rows.

    A row with k such values adds floor(PARTS / sqrt(k)) to each: k of these have an L2 norm of PARTS at most. What
    a row adds depends on that row and on what was released, on no other row.
    """
    nameless: dict[str, np.ndarray[Any, np.dtype[np.bool_]]] = {}
    for name in codes:
        named = {_key(value) for value in found[name][0]}
        of_level = np.array([*(_key(level) not in named for level in levels[name]), False])  # the last: code -1
        nameless[name] = of_level[codes[name]]
    weights = _weight(np.maximum(np.sum(list(nameless.values()), axis=0), 1))
    shared = {}
    for name, rows in nameless.items():
        sums = np.bincount(codes[name][rows], weights=weights[rows])
        left = np.flatnonzero(sums)
        shared[name] = ([levels[name][i] for i in left], sums[left].astype(np.int64))
    return shared


def _weight(k: IntArray) -> FloatArray:
    """Return what a row with k values without a name adds to each, in `PARTS`."""
    return np.floor(PARTS / np.sqrt(k))


def _key(level: Any) -> Any:
    return level if level is _MISSING else level_key(level)


def _mean_weights(nameless: Mapping[str, float]) -> dict[str, float]:
    """Return the mean weight of a row whose value in one column has no name, by column.

    `nameless` are the released shares of such rows. The other columns are taken to be independent of that one.
    """
    shares = {name: float(np.clip(share, 0.0, 1.0)) for name, share in nameless.items()}
    means = {}
    for name in shares:
        law = np.ones(1)
        for other, share in shares.items():
            if other != name:
                law = np.convolve(law, [1 - share, share])
        means[name] = float(law @ _weight(1 + np.arange(len(law)))) / PARTS
    return means


def _merge(first: Found, second: Found, weight: float) -> Found:
    """Return the values of both looks, most frequent first; counts of the second are of rows of mean `weight`."""
    values, counts = [*first[0], *second[0]], np.append(first[1], second[1] / weight)
    order = np.argsort(-counts, kind="stable")
    return [values[i] for i in order], counts[order]


def _without_missing(found: Found) -> Found:
    """Leave out the rows without a value: they have a cell of their own."""
    kept = [i for i, value in enumerate(found[0]) if value is not _MISSING]
    return [found[0][i] for i in kept], found[1][kept]
