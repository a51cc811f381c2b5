"""Which values of open domains are frequent: one look at all columns, and a second where many rows stayed unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from privsynth.privacy.mechanisms import Mechanisms
from privsynth.schema import Categorical, Continuous
from privsynth.transforms.cells import FloatArray
from privsynth.transforms.discover import discover_values
from privsynth.transforms.values import level_key, to_levels

VALUES, RARER = "levels and atoms", "rarer levels"
MAX_LEVEL_CELLS = 96
_MISSING = ("missing",)  # a key of the histogram that no level can have
_UNSEEN = 0.01  # of the rows: fewer that no found level has are worth no second look
_LONGEST = 0.5  # of the most unseen rows of any column: columns with fewer would only raise the noise


@dataclass(frozen=True, eq=False)
class Found:
    """The frequent values of a column, most frequent first, their noisy counts, and the noise in each."""

    values: list[Any]
    counts: FloatArray
    scales: FloatArray


def has_open_shares(column: Categorical) -> bool:
    """Whether it must be discovered which levels are frequent: none are declared, or too many for a cell each."""
    return column.categories is None or len(column.categories) > MAX_LEVEL_CELLS


def frequent_values(
    frame: pd.DataFrame,
    schema: Mapping[str, Any],
    numbers: Mapping[str, FloatArray],
    mechanisms: Mechanisms,
    *,
    n_rows: int,
) -> tuple[dict[str, Found], float]:
    """Release the frequent levels of undeclared and of large categoricals, and the frequent numbers.

    A second look, where it is allotted, goes to the undeclared categoricals of which the first left most rows
    unseen, by its own counts: noise that few columns share is small, so it shows rarer levels.

    Parameters
    ----------
    frame : DataFrame
        Private rows; read through `mechanisms` only.
    schema : mapping of str to column declaration
    numbers : mapping of str to ndarray
        Values of the numeric columns that take part, NaN being missing.
    mechanisms : Mechanisms
        Charged for `VALUES`, and for `RARER` where a second look is taken.
    n_rows : int
        The released row count.

    Returns
    -------
    found : dict of str to Found
    noise : float
        Standard deviation of the noise of the first look.
    """
    asked: dict[str, tuple[Any, Any]] = {}
    for name, column in schema.items():
        if isinstance(column, Categorical) and has_open_shares(column):
            asked[name] = _levels(frame[name], column)
        elif isinstance(column, Continuous) and name in numbers:
            known = numbers[name][~np.isnan(numbers[name])]
            asked[name] = np.unique(known + 0.0, return_counts=True)
    if not asked:
        return {}, 0.0
    seen, noise = discover_values(asked, mechanisms, VALUES)
    found = {n: Found(values, counts, np.full(len(counts), noise)) for n, (values, counts) in seen.items()}
    rest = {n: n_rows - found[n].counts.sum() for n in asked if _is_undeclared(schema[n])}
    least = max([_UNSEEN * n_rows, *(_LONGEST * unseen for unseen in rest.values())])
    chosen = [n for n, unseen in rest.items() if unseen >= max(least, 3 * noise * np.sqrt(1 + len(found[n].values)))]
    if chosen and mechanisms.allows(RARER):
        more, scale = discover_values({n: _without(asked[n], found[n].values) for n in chosen}, mechanisms, RARER)
        for name, (values, counts) in more.items():
            first = found[name]
            scales = np.append(first.scales, np.full(len(counts), scale))
            found[name] = Found([*first.values, *values], np.append(first.counts, counts), scales)
    return {name: _known(one) for name, one in found.items()}, noise


def _is_undeclared(column: Any) -> bool:
    return isinstance(column, Categorical) and column.categories is None


def _levels(series: pd.Series, column: Categorical) -> tuple[list[Any], Any]:
    """Return the levels of a column and the rows of each; missing rows are of a level too where none are declared."""
    codes, levels = to_levels(series)
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    if column.categories is not None:
        declared = set(column.categories)
        inside = [i for i, level in enumerate(levels) if level in declared]
        return [levels[i] for i in inside], counts[inside]
    missing = int((codes < 0).sum())
    return ([*levels, _MISSING], np.append(counts, missing)) if missing else (levels, counts)


def _without(asked: tuple[list[Any], Any], known: list[Any]) -> tuple[list[Any], Any]:
    """Return the levels that are not known yet, and their counts."""
    keys = {_key(level) for level in known}
    left = [i for i, level in enumerate(asked[0]) if _key(level) not in keys]
    return [asked[0][i] for i in left], np.asarray(asked[1])[left]


def _key(level: Any) -> Any:
    return level if level is _MISSING else level_key(level)


def _known(found: Found) -> Found:
    """Leave out the missing rows: they have a cell of their own."""
    kept = [i for i, value in enumerate(found.values) if value is not _MISSING]
    return Found([found.values[i] for i in kept], found.counts[kept], found.scales[kept])
