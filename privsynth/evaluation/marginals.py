"""The shape of one column in both tables, small enough to draw: at most 20 cells or 15 categories.

These are for the eye, so numbers are cut at *equal widths* (quantile cells would make every real
column a flat line). The lowest and the highest 0.5 % go into the outermost cells: one huge amount
must not squeeze all others into one bar.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import numpy as np
import pandas as pd

from privsynth.evaluation.binning import as_numbers, as_values, column_kind, date_text, is_class_like


@dataclasses.dataclass(frozen=True)
class Marginal:
    """Shares of rows per cell; each of the two sums to 1.

    Parameters
    ----------
    labels : tuple of str, length n_cells
    real, synthetic : tuples of floats in [0, 1], length n_cells
    style : {"bars", "steps"}
        Separate categories, or neighbouring cells of a number line.
    """

    labels: tuple[str, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]
    style: Literal["bars", "steps"]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists."""
        return {
            "labels": list(self.labels),
            "real": list(self.real),
            "synthetic": list(self.synthetic),
            "style": self.style,
        }


def column_marginal(real: pd.Series, synthetic: pd.Series, *, bins: int = 20, top: int = 15) -> Marginal:
    """Count one column of both tables for a drawing.

    Parameters
    ----------
    real, synthetic : Series of shapes (n_real,) and (n_synthetic,)
    bins : int
        Most cells for numbers and dates.
    top : int
        Most categories (all, if they are whole numbers: at most 20); the rest of the real ones is pooled as "other", values unknown to the real column
        as "not in real".

    Examples
    --------
    >>> column_marginal(pd.Series(["a", "a", "b", None]), pd.Series(["a", "z", "z", "b"]))
    Marginal(labels=('a', 'b', 'not in real', 'missing'), real=(0.5, 0.25, 0.0, 0.25), synthetic=(0.25, 0.25, 0.5, 0.0), style='bars')
    """  # noqa: E501
    if is_class_like(real):
        return _categories(real, synthetic, top)
    return _histogram(real, synthetic, bins)


def _categories(real: pd.Series, synthetic: pd.Series, top: int) -> Marginal:
    numeric = column_kind(real) == "numeric"
    left, right = (_plain_values(column, numeric) for column in (real, synthetic))
    counts = left.value_counts()  # most frequent first; missing dropped
    shown = counts.index.sort_values() if numeric else counts.index[:top]
    known = right.isin(counts.index)
    rows = [(_label(value), (left == value).sum(), (right == value).sum()) for value in shown]
    pooled = ~left.isna() & ~left.isin(shown)
    rows.append(("other", pooled.sum(), (known & ~right.isin(shown)).sum()))
    rows.append(("not in real", 0, (~known & ~right.isna()).sum()))
    rows.append(("missing", left.isna().sum(), right.isna().sum()))
    return _shares(rows, len(real), len(synthetic), keep=len(shown), style="bars")


def _plain_values(column: pd.Series, numeric: bool) -> pd.Series:
    return pd.Series(as_numbers(column, "numeric")) if numeric else pd.Series(as_values(column), dtype=object)


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _histogram(real: pd.Series, synthetic: pd.Series, bins: int) -> Marginal:
    kind = column_kind(real)
    left, right = as_numbers(real, kind), as_numbers(synthetic, kind)
    edges = _even_edges(left, bins, whole=kind == "numeric")
    n_cells = max(len(edges) - 1, 0)
    label = _date_label if kind == "datetime" else _number_label
    counts = [_clipped_counts(column, edges) for column in (left, right)]
    rows = [(label(edges[i], edges[i + 1]), counts[0][i], counts[1][i]) for i in range(n_cells)]
    rows.append(("missing", np.isnan(left).sum(), np.isnan(right).sum()))
    return _shares(rows, len(real), len(synthetic), keep=n_cells, style="steps")


def _even_edges(values: np.ndarray, bins: int, *, whole: bool) -> np.ndarray:
    """Return up to ``bins + 1`` equally wide edges; whole numbers get whole widths (no comb pattern)."""
    present = values[np.isfinite(values)]
    if present.size == 0:
        return np.empty(0)
    low, high = np.quantile(present, [0.005, 0.995], method="inverted_cdf")
    if whole and np.all(present == np.round(present)):
        width = math.ceil((high - low + 1) / bins)
        return low + width * np.arange(math.ceil((high - low + 1) / width) + 1)
    return np.linspace(low, high if high > low else low + 1.0, bins + 1)


def _clipped_counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    if len(edges) == 0:
        return np.zeros(0, dtype=int)
    present = values[~np.isnan(values)]
    cells = np.clip(np.searchsorted(edges, present, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(cells, minlength=len(edges) - 1)


def _number_label(low: float, high: float) -> str:
    return f"{_short(low)} to {_short(high)}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if 1e3 <= abs(number) < 1e9 else f"{number:.4g}"


def _date_label(low: float, high: float) -> str:
    unit: Literal["D", "m"] = "D" if high - low >= 86_400 else "m"
    return " to ".join(date_text(second, unit) for second in (low, high))


def _shares(
    rows: list[tuple[str, Any, Any]],
    n_real: int,
    n_synthetic: int,
    *,
    keep: int,
    style: Literal["bars", "steps"],
) -> Marginal:
    """Turn counts to shares; of the pooled cells after the first `keep`, only those that hold rows."""
    kept = [row for i, row in enumerate(rows) if i < keep or row[1] or row[2]]
    return Marginal(
        labels=tuple(row[0] for row in kept),
        real=tuple(float(row[1]) / n_real for row in kept),
        synthetic=tuple(float(row[2]) / n_synthetic for row in kept),
        style=style,
    )
