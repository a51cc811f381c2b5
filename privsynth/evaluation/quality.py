"""The SDMetrics Quality score (https://docs.sdv.dev/sdmetrics): the number that people quote.

Quality = mean of *Column Shapes* (per column, 1 - Kolmogorov-Smirnov distance or 1 - TVD) and *Column
Pair Trends* (per pair, 1 - half the difference of correlations, or 1 - TVD of the contingency table).
This is the only file that knows sdmetrics.

Its limits, which is why `fidelity` stands beside it: missing values are dropped from the shapes, and for
mixed pairs each table's numbers are cut at *its own* range. Newer versions (0.32 for one) average, by
default, only those pairs that are clearly associated in the real table (|correlation| > 0.5, Cramer's
V > 0.3): then an association that the generator *invents* costs nothing. Here all pairs count unless
asked otherwise, as in the versions that most published scores come from.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from privsynth._random import as_generator
from privsynth.errors import DataError
from privsynth.evaluation.binning import as_numbers, as_values, column_kind
from privsynth.evaluation.score import finite_or_none

# SDMetrics counts pairs of categories into a dense table and sums in a loop over levels: keep both small.
_MAX_LEVELS = 500
_FEW_INTEGERS = 10


@dataclasses.dataclass(frozen=True)
class Quality:
    """The Quality score and its parts, each in [0, 1], 1 is best; None where SDMetrics gives none.

    Parameters
    ----------
    overall, column_shapes, pair_trends : float or None
    columns : mapping from column name to shape score
    pairs : mapping from (column, column) to trend score
    note : str
        What was left out or pooled.
    """

    overall: float | None
    column_shapes: float | None
    pair_trends: float | None
    columns: Mapping[Hashable, float | None]
    pairs: Mapping[tuple[Hashable, Hashable], float | None]
    note: str = ""


def sdmetrics_quality(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    all_pairs: bool = True,
    max_rows: int = 50_000,
    random_state: Any = 0,
) -> Quality:
    """Compute the SDMetrics Quality report of two tables.

    Parameters
    ----------
    real, synthetic : DataFrames of shapes (n_real, n_columns) and (n_synthetic, n_columns)
        The same columns. Kinds come from the real dtypes; integers of at most 10 values are categories.
    all_pairs : bool
        Let all pairs of columns count. False: the thresholds of the installed SDMetrics.
    max_rows : int
        Larger tables are subsampled to so many rows.
    random_state : int, Generator or None
        Seed of the subsample.

    Returns
    -------
    Quality

    Examples
    --------
    >>> frame = pd.DataFrame({"x": range(100), "y": ["a", "b"] * 50})
    >>> sdmetrics_quality(frame, frame).column_shapes
    1.0
    """
    if not len(real) or not len(synthetic):
        raise DataError(f"Quality needs rows. Got {len(real)} real and {len(synthetic)} synthetic rows.")
    rng = as_generator(random_state, "sdmetrics_quality")
    left, right = (_subsample(frame, max_rows, rng) for frame in (real, synthetic))
    plain = [_plain_pair(left[name], right[name]) for name in real.columns]
    # Short names of our own: SDMetrics joins and sorts names, which breaks on ints.
    names = {f"c{i}": name for i, name in enumerate(real.columns)}
    metadata: dict[str, Any] = {
        "columns": {key: {"sdtype": column[2]} for key, column in zip(names, plain, strict=True)}
    }
    frames = [pd.DataFrame({key: column[side] for key, column in zip(names, plain, strict=True)}) for side in (0, 1)]
    report = _generate(frames[0], frames[1], metadata, all_pairs)
    pooled = [str(name) for name, column in zip(real.columns, plain, strict=True) if column[3]]
    return _read(report, names, _note(pooled, max(len(real), len(synthetic)) > max_rows, max_rows))


def _subsample(frame: pd.DataFrame, max_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    if len(frame) <= max_rows:
        return frame
    return frame.iloc[np.sort(rng.choice(len(frame), size=max_rows, replace=False))]


def _plain_pair(real: pd.Series, synthetic: pd.Series) -> tuple[Any, Any, str, bool]:
    """Return both columns in a dtype that SDMetrics handles, the sdtype, and if levels were pooled."""
    kind = column_kind(real)
    if kind in ("numeric", "datetime"):
        numbers, other = (as_numbers(column, kind) for column in (real, synthetic))
        numbers[np.isinf(numbers)], other[np.isinf(other)] = np.nan, np.nan
        if kind == "datetime":
            # Seconds: the KS distance and the correlation do not change under a change of unit.
            return numbers, other, "numerical", False
        few = _is_integer(real) and len(np.unique(numbers[~np.isnan(numbers)])) <= _FEW_INTEGERS
        return numbers, other, "categorical" if few else "numerical", False
    values, other_values = (
        pd.Series(as_values(real), dtype=object),
        pd.Series(as_values(synthetic), dtype=object),
    )
    counts = values.value_counts()
    names = {value: f"v{i}" if i < _MAX_LEVELS else "pooled" for i, value in enumerate(counts.index)}
    coded, other_coded = values.map(names), other_values.map(names)
    unseen = other_coded.isna() & ~other_values.isna()
    sdtype = "boolean" if kind == "boolean" else "categorical"
    return coded, other_coded.mask(unseen, "unseen"), sdtype, len(counts) > _MAX_LEVELS


def _is_integer(column: pd.Series) -> bool:
    return pd.api.types.is_integer_dtype(column.dtype)


def _generate(real: pd.DataFrame, synthetic: pd.DataFrame, metadata: dict[str, Any], all_pairs: bool) -> Any:
    # SDMetrics warns about its own deprecations, constant columns and empty slices: all of them end as a
    # missing score here, which the page shows as such.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from sdmetrics.reports.single_table.quality_report import QualityReport

        report = QualityReport()
        if all_pairs:
            report.real_correlation_threshold = report.real_association_threshold = 0
        report.generate(real, synthetic, metadata, verbose=False)
    return report


def _read(report: Any, names: Mapping[str, Hashable], note: str) -> Quality:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = dict(report.get_properties().itertuples(index=False))
        shapes, trends = report.get_details("Column Shapes"), report.get_details("Column Pair Trends")
    pairs = zip(trends.get("Column 1", []), trends.get("Column 2", []), trends.get("Score", []), strict=True)
    pair_trends = finite_or_none(parts["Column Pair Trends"])
    if pair_trends is None:
        note = " ".join(filter(None, [note, "SDMetrics gives no Column Pair Trends for any pair of columns."]))
    return Quality(
        overall=finite_or_none(report.get_score()),
        column_shapes=finite_or_none(parts["Column Shapes"]),
        pair_trends=pair_trends,
        columns={names[c]: finite_or_none(s) for c, s in zip(shapes["Column"], shapes["Score"], strict=True)},
        pairs={(names[a], names[b]): finite_or_none(score) for a, b, score in pairs},
        note=note,
    )


def _note(pooled: list[str], sampled: bool, max_rows: int) -> str:
    notes = []
    if sampled:
        notes.append(f"On at most {max_rows} rows of each table, drawn at random.")
    if pooled:
        notes.append(f"Rare categories beyond the first {_MAX_LEVELS} pooled in: {', '.join(pooled)}.")
    return " ".join(notes)
