"""Columns as rules see them: as numbers, whatever the data type and the form that they are held in."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
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
    if is_text_or_objects(series.dtype):
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


def distinct_cells(series: pd.Series, key: Callable[[Any], Any]) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """Return the code of each cell, shape (n_rows,), and the keys they stand for; missing is -1.

    A cell's key is a function of that cell alone. `pd.factorize` would take texts for equal that differ after a NUL
    character, and 1 for True, and keep whichever comes first: one row could then rename, or unread, many others.
    """
    place: dict[Any, int] = {}
    cells = series.to_numpy(dtype=object)
    code = _distinct_texts(cells)
    if code is None:
        codes = [-1 if is_missing(cell) else place.setdefault(key(cell), len(place)) for cell in cells]
        return np.array(codes, dtype=np.int64), list(place)
    for cell in code:  # the key of each text once: of columns with few texts, a quarter of the time
        code[cell] = -1 if is_missing(cell) else place.setdefault(key(cell), len(place))
    return np.fromiter(map(code.__getitem__, cells), dtype=np.int64, count=len(cells)), list(place)


def _distinct_texts(cells: npt.NDArray[Any]) -> dict[Any, int] | None:
    """Return the distinct cells, first ones first, where all are texts or missing; None where any is something else.

    Python's texts are equal only if they are the same. Numbers are not: 0.0 == -0.0 == False.
    """
    kinds = set(map(type, cells))
    if not kinds <= {str, float, type(None), type(pd.NA), type(pd.NaT)}:
        return None
    distinct = dict.fromkeys(cells, -1)
    return None if float in kinds and any(type(c) is float and c == c for c in distinct) else distinct


def is_missing(cell: Any) -> bool:
    """Whether an object is no value; unlike `pd.isna` it takes signalling NaNs of Decimal for what they are."""
    if isinstance(cell, str):
        return False
    if isinstance(cell, (float, np.floating)):
        return bool(cell != cell)
    if isinstance(cell, Decimal):
        return cell.is_nan()
    if isinstance(cell, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(cell))
    return cell is None or cell is pd.NA or cell is pd.NaT


def is_text_or_objects(dtype: Any) -> bool:
    """Whether cells of a data type are Python objects to pandas: text, and anything mixed."""
    return pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype)


def combination_codes(series: pd.Series) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """Return the code of each value, shape (n_rows,), and the values; missing is the last, None."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    if is_text_or_objects(series.dtype):
        try:
            codes, keys = distinct_cells(series, _part_key)
        except TypeError as error:
            raise DataError(
                f"Column {series.name!r} holds values that are no levels (lists, dicts, ...). Turn them into strings, "
                "or drop the column."
            ) from error
        values = [value for _, value in keys]
    else:
        codes, levels = pd.factorize(series)
        values = [_part_key(v)[1] for v in levels]
    return np.where(codes < 0, len(values), codes).astype(np.int64), [*values, None]


def _part_key(value: Any) -> tuple[bool, Any]:
    """Return what tells parts of combinations apart: True is not 1, and 1.0 is."""
    part = as_part(value)
    if isinstance(part, (list, dict, set)):
        raise TypeError("no level")
    return isinstance(part, bool), part if isinstance(part, SCALARS) else str(part)


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
    """Read text and objects, each cell on its own (equal texts once); what cannot be read is missing."""
    codes, cells = distinct_cells(series, lambda cell: cell if type(cell) is str else _Only(cell))
    distinct = [cell.cell if isinstance(cell, _Only) else cell for cell in cells]
    if isinstance(column, Datetime):
        values = _dates(distinct, column.format)
    else:
        values = np.array([_float(cell) for cell in distinct], dtype=np.float64)
        if column is None and len(distinct) and not np.isfinite(values).any():
            values = _dates(distinct, None)
    return pd.Series(np.append(values, np.nan)[codes])


class _Only:
    """A cell that is equal to no other, whatever it thinks itself."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell


def _float(value: Any) -> float:
    """Return a number, or a text of ASCII digits that is one, as a float; NaN for anything else."""
    if isinstance(value, (date, datetime)) or (isinstance(value, str) and ("_" in value or not value.isascii())):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        return np.nan


def _dates(values: list[Any], written: str | None) -> FloatArray:
    iso = written is None or written == "date"
    cells = pd.Series(values, dtype=object)
    read = pd.to_datetime(cells, format="ISO8601" if iso else written, errors="coerce", utc=True)
    return _seconds(read.dt.tz_localize(None).to_numpy())
