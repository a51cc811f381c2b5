"""Columns as small integer codes, so that every marginal is one ``np.bincount``.

The cuts come from the *real* column alone and the same code means the same cell in both tables:

- numbers and dates: the 20 quantile cells of the real column. A value that fills more than one
  quantile (an amount of 0, a count of 1) gets a cell of its own, so a generator that smears a spike
  over its neighbours is seen;
- everything else: one cell per real value;
- two more cells, always: *unseen* (a value that the real column does not hold, a number outside
  its range) and *missing*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from pandas.api import types

from privsynth.errors import DataError

Kind = Literal["boolean", "categorical", "numeric", "datetime"]

_MAX_CLASS_LEVELS = 20


def column_kind(column: pd.Series) -> Kind:
    """Tell from the dtype alone how a column is compared.

    Examples
    --------
    >>> column_kind(pd.Series([1, None], dtype="Int64"))
    'numeric'
    >>> column_kind(pd.Series(["a", None]))
    'categorical'
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "categorical"
    if types.is_bool_dtype(column.dtype):
        return "boolean"
    if types.is_datetime64_any_dtype(column.dtype):
        return "datetime"
    if types.is_numeric_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        return "numeric"
    return "categorical"


def as_numbers(column: pd.Series, kind: Kind) -> np.ndarray:
    """Return a numeric or datetime column as floats.

    Parameters
    ----------
    column : Series of shape (n_rows,)
    kind : {"numeric", "datetime"}
        The kind of the *real* column of that name.

    Returns
    -------
    ndarray of shape (n_rows,), dtype float64
        Numbers as they are; dates as seconds since 1970 (UTC) and durations as seconds; NaN where missing.

    Raises
    ------
    DataError
        If the values are of another kind.
    """
    plain = column.infer_objects() if column.dtype == object else column
    if plain.isna().all():
        return np.full(len(plain), np.nan)
    if kind == "datetime" and column_kind(plain) == "datetime":
        return _seconds(plain)
    if kind == "numeric" and types.is_timedelta64_dtype(plain.dtype):
        return plain.dt.total_seconds().to_numpy(dtype=float, na_value=np.nan)
    if kind == "numeric" and (types.is_numeric_dtype(plain.dtype) or types.is_object_dtype(plain.dtype)):
        try:
            return pd.to_numeric(plain).to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise _other_kind(column, kind) from error
    raise _other_kind(column, kind)


def _seconds(dates: pd.Series) -> np.ndarray:
    zone = getattr(dates.dt, "tz", None)
    naive = dates.dt.tz_convert("UTC").dt.tz_localize(None) if zone is not None else dates
    micros = naive.astype("datetime64[us]")
    return np.where(micros.isna(), np.nan, micros.astype("int64").to_numpy() / 1e6)


def date_text(seconds: float, unit: Literal["D", "m", "s"] = "D") -> str:
    """Write seconds since 1970 as a date, to the day, the minute or the second; years far off too.

    >>> date_text(253402214400.0), date_text(60.0, "m")
    ('9999-12-31', '1970-01-01 00:01')
    """
    return str(np.datetime_as_string(np.datetime64(int(np.floor(seconds)), "s"), unit=unit)).replace("T", " ")


def _other_kind(column: pd.Series, kind: Kind) -> DataError:
    remedy = "pd.to_datetime" if kind == "datetime" else "pd.to_numeric"
    return DataError(
        f"Column {column.name!r} is {kind} in the real table but {column.dtype} in the other one. "
        f"Convert it with {remedy} before evaluating."
    )


def as_values(column: pd.Series) -> np.ndarray:
    """Return a boolean or categorical column as an object array with None where missing."""
    values = column.astype(object).to_numpy(dtype=object, copy=True)
    values[column.isna().to_numpy()] = None
    return values


def quantile_cuts(values: np.ndarray, bins: int) -> np.ndarray:
    """Return the right ends of the quantile cells of `values`.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Numbers, NaN where missing.
    bins : int
        Number of quantile cells aimed at, at least 1.

    Returns
    -------
    ndarray of shape (n_cells,), increasing
        Cell i holds the numbers in (cuts[i-1], cuts[i]]; the first also its lower end. Empty if all are NaN.

    Examples
    --------
    >>> quantile_cuts(np.array([1.0, 2, 3, 4, 5, 6, 7, 8]), 4)
    array([2., 4., 6., 8.])
    >>> quantile_cuts(np.array([0.0, 0, 0, 0, 5, 6, 7, 8]), 4)    # the spike at 0 is a cell
    array([0., 6., 8.])
    """
    present = np.sort(values[~np.isnan(values)])
    if present.size == 0:
        return np.empty(0)
    # Ranks ceil(k n / bins) in integers pick values that occur: no interpolation, so ties and infinities
    # stay exact (np.quantile's k / bins in floats slips a rank now and then).
    ranks = -(-np.arange(bins + 1) * present.size // bins)
    points = present[np.maximum(ranks - 1, 0)]
    edges, times = np.unique(points, return_counts=True)
    inner_spikes = edges[1:][times[1:] > 1]
    first = edges[:1] if times[0] > 1 else edges[:0]
    return np.unique(np.concatenate([first, edges[1:], np.nextafter(inner_spikes, -np.inf)]))


def level_codes(real: pd.Series, other: pd.Series, *, bins: int = 20) -> tuple[np.ndarray, np.ndarray, int]:
    """Code two columns by the cells of the real one.

    Parameters
    ----------
    real, other : Series of shapes (n_real,) and (n_other,)
        The same column in the real and in another table.
    bins : int
        Quantile cells for numbers and dates.

    Returns
    -------
    real_codes, other_codes : int64 ndarrays
        In [0, n_levels); ``n_levels - 2`` is *unseen*, ``n_levels - 1`` is *missing*.
    n_levels : int

    Examples
    --------
    >>> level_codes(pd.Series(["a", "b", None]), pd.Series(["b", "z"]))
    (array([0, 1, 3]), array([1, 2]), 4)
    """
    (codes, other_codes), n_levels = codes_of(real, [real, other], bins=bins)
    return codes, other_codes, n_levels


def codes_of(real: pd.Series, columns: Sequence[pd.Series], *, bins: int = 20) -> tuple[list[np.ndarray], int]:
    """Code a column of several tables by the cells of `real`; see `level_codes`."""
    kind = column_kind(real)
    if kind in ("numeric", "datetime"):
        numbers = as_numbers(real, kind)
        cuts = quantile_cuts(numbers, bins)
        low = np.nanmin(numbers) if len(cuts) else np.nan
        given = [numbers if column is real else as_numbers(column, kind) for column in columns]
        return [_digitize(values, cuts, low) for values in given], len(cuts) + 2
    codes, levels = pd.factorize(as_values(real))
    unseen, missing = len(levels), len(levels) + 1
    index, found = pd.Index(levels, dtype=object), []
    for column in columns:
        if column is not real:
            # Every distinct value is looked up once.
            own, distinct = pd.factorize(as_values(column))
            place = index.get_indexer(pd.Index(distinct, dtype=object))
            place = np.append(np.where(place < 0, unseen, place), missing)
            found.append(place[own].astype(np.int64))
        else:
            found.append(np.where(codes < 0, missing, codes).astype(np.int64))
    return found, missing + 1


def _digitize(values: np.ndarray, cuts: np.ndarray, low: float) -> np.ndarray:
    codes = np.searchsorted(cuts, values, side="left").astype(np.int64)
    codes[values < low] = len(cuts)
    codes[np.isnan(values)] = len(cuts) + 1
    return codes


def is_class_like(column: pd.Series) -> bool:
    """Whether a column holds classes: no number, or whole numbers with at most 20 distinct values.

    Examples
    --------
    >>> is_class_like(pd.Series([0.0, 1.0, None])), is_class_like(pd.Series([0.5, 1.0]))
    (True, False)
    """
    kind = column_kind(column)
    if kind in ("boolean", "categorical"):
        return True
    if kind == "datetime":
        return False
    present = np.unique(as_numbers(column.dropna(), kind))
    return len(present) <= _MAX_CLASS_LEVELS and bool(np.all(present == np.round(present)))
