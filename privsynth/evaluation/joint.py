"""The worst pairs of columns in detail: shares of rows by cells of both, few enough to be read."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from privsynth.evaluation.binning import as_numbers, as_values, column_kind, is_class_like, quantile_cuts

_CELLS = 6
Coding = tuple[list[str], np.ndarray, np.ndarray]


def with_joint_shares(pairs: dict[str, Any], real: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, Any]:
    """Add to each of the worst pairs a ``joint``: ``rows``, ``columns``, and shares ``real`` and ``synthetic``.

    Parameters
    ----------
    pairs : dict
        ``names`` and ``worst``, a list of dicts with the names ``a`` and ``b``.
    real, synthetic : DataFrame
    """
    by_text = {str(name): name for name in real.columns}
    wanted = {by_text[pair[side]] for pair in pairs["worst"] for side in ("a", "b")}
    coded = {name: few_cells(real[name], synthetic[name]) for name in wanted}
    worst = [{**pair, "joint": _joint(coded, by_text[pair["a"]], by_text[pair["b"]])} for pair in pairs["worst"]]
    return {**pairs, "worst": worst}


def few_cells(real: pd.Series, synthetic: pd.Series) -> Coding:
    """Cut a column into about six cells of the real one; return their names and the codes in both tables.

    >>> few_cells(pd.Series(["a", "b", "a"]), pd.Series(["z", None]))[0]
    ['a', 'b', 'other', 'missing']
    """
    labels, own, other = _levels(real, synthetic) if is_class_like(real) else _numbers(real, synthetic)
    return [*labels, "missing"], own, other


def _levels(real: pd.Series, synthetic: pd.Series) -> Coding:
    left, right = (pd.Series(as_values(column), dtype=object) for column in (real, synthetic))
    shown = left.value_counts().index[:_CELLS]
    place = pd.Index(shown, dtype=object)

    def codes(column: pd.Series) -> np.ndarray:
        found = place.get_indexer(pd.Index(column, dtype=object))
        return np.where(column.isna(), len(shown) + 1, np.where(found < 0, len(shown), found))

    return [*map(str, shown), "other"], codes(left), codes(right)


def _numbers(real: pd.Series, synthetic: pd.Series) -> Coding:
    kind = column_kind(real)
    left, right = as_numbers(real, kind), as_numbers(synthetic, kind)
    cuts = quantile_cuts(left, _CELLS)
    n_cells = max(1, len(cuts))

    def codes(values: np.ndarray) -> np.ndarray:
        found = np.minimum(np.searchsorted(cuts, values, side="left"), n_cells - 1)
        return np.where(np.isnan(values), n_cells, found)

    labels = [_name(place, cuts, kind) for place in range(len(cuts))] or ["any"]
    return labels, codes(left), codes(right)


def _name(place: int, cuts: np.ndarray, kind: str) -> str:
    """Return what a cell is called: it ends with its cut, and a spike is a cell of its own."""
    end = _shown(cuts[place], kind)
    if place == 0:
        return f"up to {end}"
    if cuts[place - 1] == np.nextafter(cuts[place], -np.inf):
        return end
    return f"over {_shown(cuts[place - 1], kind)}" if place == len(cuts) - 1 else f"to {end}"


def _shown(value: float, kind: str) -> str:
    if kind == "datetime":
        return str(np.datetime64(int(value), "s").astype("datetime64[D]"))  # of any year
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"


def _joint(
    coded: Mapping[Hashable, tuple[list[str], np.ndarray, np.ndarray]], a: Hashable, b: Hashable
) -> dict[str, Any]:
    (rows, *first), (columns, *second) = coded[a], coded[b]
    shares = [
        np.bincount(i * len(columns) + j, minlength=len(rows) * len(columns)).reshape(len(rows), -1) / max(1, len(i))
        for i, j in zip(first, second, strict=True)
    ]
    held = [sum(table.sum(axis=1) for table in shares) > 0, sum(table.sum(axis=0) for table in shares) > 0]
    keep = [np.flatnonzero(kept) for kept in held]
    real, synthetic = (table[np.ix_(*keep)].tolist() for table in shares)
    return {"rows": [rows[i] for i in keep[0]], "columns": [columns[j] for j in keep[1]], "real": real,
            "synthetic": synthetic}  # fmt: skip
