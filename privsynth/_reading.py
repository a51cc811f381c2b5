"""Columns as rules see them: as numbers, whatever the data type and the form that they are held in."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.errors import DataError
from privsynth.kinds import RESOLUTIONS, Column, Continuous, Datetime

FloatArray = npt.NDArray[np.float64]
SCALARS = (str, bool, int, float, type(None))


def read_numbers(series: pd.Series, column: Column | None = None) -> FloatArray:
    """Return a column as float64: times as seconds since 1970, durations as seconds, True as 1; missing as NaN.

    Parameters
    ----------
    series : Series
        Numbers, booleans, times or durations; or text and objects that hold them.
    column : Column, optional
        How text is to be read. Without it text is read as numbers, or else as ISO dates.
    """
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    if pd.api.types.is_object_dtype(series.dtype) or isinstance(series.dtype, pd.StringDtype):
        series = _parsed(series, column)
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        naive = series.dt.tz_convert("UTC").dt.tz_localize(None) if series.dt.tz is not None else series
        return _seconds(naive.to_numpy())
    if pd.api.types.is_timedelta64_dtype(series.dtype):
        return _seconds(series.to_numpy())
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def read_bound(bound: float | str, series: pd.Series) -> float:
    """Return a bound as `read_numbers` returns values: dates without a zone are in the column's own.

    For narrow floats it is rounded as the values were: 0.1 held as float32 is within a bound of 0.1.
    """
    if not isinstance(bound, str):
        narrow = str(series.dtype).lower() in ("float16", "float32")
        return float(np.dtype(str(series.dtype).lower()).type(bound)) if narrow else float(bound)
    stamp = pd.Timestamp(bound)
    if stamp.tzinfo is None and isinstance(series.dtype, pd.DatetimeTZDtype):
        stamp = stamp.tz_localize(series.dt.tz, ambiguous=True, nonexistent="shift_forward")
    if stamp.tzinfo is not None:
        stamp = stamp.tz_convert("UTC").tz_localize(None)
    return float((stamp - pd.Timestamp(0)).total_seconds())


def is_set(series: pd.Series, column: Column | None = None) -> npt.NDArray[np.bool_]:
    """Return where a value is present, and neither False nor zero."""
    present = series.notna().to_numpy(dtype=bool)
    if pd.api.types.is_bool_dtype(series.dtype) or pd.api.types.is_numeric_dtype(series.dtype):
        return present & (series.to_numpy(dtype=np.float64, na_value=np.nan) != 0)
    if pd.api.types.is_timedelta64_dtype(series.dtype) or (isinstance(column, Continuous) and column.form != "number"):
        return present & (read_numbers(series, column) != 0)
    if pd.api.types.is_object_dtype(series.dtype) or isinstance(series.dtype, pd.CategoricalDtype):
        codes, levels = pd.factorize(series.astype(object))
        zero = [isinstance(v, (bool, int, float, np.number, np.bool_)) and not v for v in levels]
        return present & ~np.array([*zero, False], dtype=bool)[codes]
    return present


def as_part(value: Any) -> Any:
    """Return a part of a combination as JSON holds it: whole numbers as int, missing and infinite ones as None."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def combination_codes(series: pd.Series) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """Return the code of each value, shape (n_rows,), and the values; missing is the last, None."""
    try:
        codes, levels = pd.factorize(series.astype(object) if isinstance(series.dtype, pd.CategoricalDtype) else series)
    except TypeError as error:
        raise DataError(
            f"Column {series.name!r} holds values that are no levels (lists, dicts, ...). Turn them into strings, "
            "or drop the column."
        ) from error
    values = [as_part(v) for v in levels]
    values = [v if isinstance(v, SCALARS) else str(v) for v in values]
    return np.where(codes < 0, len(values), codes).astype(np.int64), [*values, None]


def seen_as_utc(text: str) -> pd.Timestamp:
    """Return a date to compare with others: without a zone it is taken as UTC."""
    stamp = pd.Timestamp(text)
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp


def whole_seconds(column: Datetime) -> int:
    """Return what the times of a column are multiples of, in seconds: its declared resolution, or a day for dates."""
    if column.resolution is not None:
        return RESOLUTIONS[column.resolution]
    if column.format is None:
        return 1
    timed = any(f"%{letter}" in column.format for letter in "HIMSfXcTRrsp")
    return 1 if timed else RESOLUTIONS["day"]


def _seconds(times: Any) -> FloatArray:
    """Return numpy times or durations in seconds, with their fractions."""
    unit = np.datetime_data(times.dtype)[0]
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    whole = times.astype(np.int64)
    seconds = whole // per_second + (whole % per_second) / per_second
    return np.where(np.isnat(times), np.nan, seconds.astype(np.float64))


def _parsed(series: pd.Series, column: Column | None) -> pd.Series:
    """Read text and objects, each distinct value once; what cannot be read is missing."""
    codes, levels = pd.factorize(series)
    distinct = pd.Series(levels, dtype=object)
    if isinstance(column, Datetime):
        numbers = _dates(distinct, column.format)
    else:
        numbers = pd.to_numeric(distinct.map(_plain), errors="coerce").astype("float64")
        if column is None and len(distinct) and numbers.isna().all():
            numbers = _dates(distinct, None)
    padded = np.append(read_numbers(numbers), np.nan)
    return pd.Series(padded[codes])


def _plain(value: Any) -> Any:
    """Return Decimals and booleans as floats, and numbers and text as they are."""
    return value if isinstance(value, (str, int, float)) and not isinstance(value, bool) else _float(value)


def _float(value: Any) -> float:
    if isinstance(value, (date, datetime)):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _dates(values: pd.Series, written: str | None) -> pd.Series:
    iso = written is None or written == "date"
    read = pd.to_datetime(values, format="ISO8601" if iso else written, errors="coerce", utc=True)
    return read.dt.tz_localize(None)
