"""How many rows each group gets when a sample has a wanted distribution of one column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from privsynth._checks import check_real, parameter_error
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.columns import ColumnTransform, DiscreteColumn


def wanted_shares(column: ColumnTransform, shares: Mapping[Any, float] | None) -> dict[Any, float]:
    """Return the share of each group: those given, or equal ones of all levels that were learned."""
    if shares is None:
        if not isinstance(column, DiscreteColumn):
            remedy = "Give shares by range, such as {(0, 100): 0.5, (100, None): 0.5}."
            raise parameter_error(
                "rebalance", "by", "a column of levels where shares are left out", column.name, remedy
            )
        return dict.fromkeys(column.levels, 1 / len(column.levels))
    remedy = "Give a share for each value, such as {True: 0.5, False: 0.5}."
    if not isinstance(shares, Mapping) or not shares:
        raise parameter_error("rebalance", "shares", "a dict of values and their shares, or None", shares, remedy)
    given = {value: check_real("rebalance", f"shares[{value!r}]", share, low=0) for value, share in shares.items()}
    if abs(sum(given.values()) - 1) > 1e-6:
        raise parameter_error("rebalance", "shares", "shares that sum to 1", dict(shares), remedy)
    return given


def apportion(n_rows: int, shares: FloatArray) -> IntArray:
    """Return whole numbers of rows in proportion to shares, summing to `n_rows` (Hamilton's largest remainder).

    >>> apportion(10, np.array([1 / 3, 1 / 3, 1 / 3])).tolist(), apportion(7, np.array([0.5, 0.25, 0.25])).tolist()
    ([4, 3, 3], [3, 2, 2])
    """
    exact = n_rows * np.asarray(shares, dtype=np.float64) / np.sum(shares)
    counts = np.floor(exact + 1e-9).astype(np.int64)
    largest = np.argsort(-(exact - counts), kind="stable")
    counts[largest[: n_rows - int(counts.sum())]] += 1
    return counts
