"""Between pandas values and the two things a model works with: numbers and levels."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from privsynth._reading import distinct_cells, is_text_or_objects, read_numbers, whole_seconds
from privsynth.errors import ConditionError
from privsynth.kinds import Continuous, Datetime
from privsynth.transforms.cells import FloatArray, IntArray


def to_steps(series: pd.Series, column: Continuous | Datetime) -> FloatArray:
    """Return a column as float64 in steps: numbers as they are, times in whole steps since 1970; missing is NaN.

    Infinite values, and text that cannot be read in the declared form, are missing.
    """
    values = read_numbers(series, column)
    return np.floor(values / step_of(column, str(series.dtype))) if isinstance(column, Datetime) else values


def step_of(column: Continuous | Datetime, dtype: str) -> int:
    """Return how many seconds a step of a time column is; 1 for numbers.

    Days of a zone have no common length: times with a zone are kept to the hour at the coarsest.
    """
    if not isinstance(column, Datetime):
        return 1
    return min(whole_seconds(column), 3600) if "," in dtype else whole_seconds(column)


def number_dtype(column: Any, dtype: str) -> str:
    """Return the data type that bounds and conditions on a numeric or time column are read by."""
    if isinstance(column, Datetime):
        return dtype if dtype.startswith("datetime64") else "datetime64[s]"
    return dtype if column.form == "number" else "float64"


def written(values: FloatArray, dtype: str, column: Continuous | Datetime) -> pd.Series:
    """Return numbers (times in seconds) in a column's data type and form; NaN is missing."""
    if isinstance(column, Datetime) and column.format is not None:
        times = from_numbers(values, "datetime64[s]")
        texts = times.dt.date if column.format == "date" else times.dt.strftime(column.format)
        return texts.astype(object).where(times.notna(), None).astype(dtype)
    if isinstance(column, Continuous) and column.form != "number":
        return _as_text(values, column).astype(dtype)
    return from_numbers(values, dtype)


def _as_text(values: FloatArray, column: Continuous) -> pd.Series:
    texts = [repr(float(v)) if column.decimals is None else f"{v:.{column.decimals}f}" for v in values]
    made = [Decimal(text) if column.form == "decimal" else text for text in texts]
    return pd.Series(made, dtype=object).where(~np.isnan(values), None)


def from_numbers(values: FloatArray, dtype: str) -> pd.Series:
    """Turn numbers (times and durations in seconds) into data type `dtype`; NaN becomes its missing value."""
    if dtype.startswith("datetime64"):
        missing = np.isnan(values)
        seconds = np.clip(np.where(missing, 0, values), *limits(dtype)).astype(np.int64).astype("datetime64[s]")
        seconds[missing] = np.datetime64("NaT")
        series = pd.Series(seconds)
        if "," in dtype:
            series = series.dt.tz_localize("UTC")
        return series.astype(dtype)
    if dtype.startswith("timedelta64"):
        return pd.Series(pd.to_timedelta(np.clip(np.round(values, 6), *limits(dtype)), unit="s")).astype(dtype)
    if dtype.lower().startswith(("int", "uint")):
        whole = np.rint(values)
        lowest, highest = limits(dtype)
        whole = np.clip(whole, lowest, highest)
        if dtype[0] in "iu" and "[" not in dtype:
            return pd.Series(whole).astype(dtype)
        return pd.Series(whole).astype("Float64").astype(dtype)
    return pd.Series(np.clip(values, *limits(dtype))).astype(dtype)


def limits(dtype: str) -> tuple[float, float]:
    """Return the least and greatest number that a data type of whole numbers or times can hold, else infinities."""
    if dtype.startswith("datetime64[ns"):
        return -9_223_372_036.0, 9_223_372_036.0  # seconds: the years 1677 to 2262
    if dtype.startswith("datetime64"):
        return -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999, which pandas can print
    if dtype.startswith("timedelta64"):
        return -9_223_372_036.0, 9_223_372_036.0  # seconds: what nanoseconds can hold
    name = dtype.lower().split("[")[0]
    if name in ("float16", "float32"):
        return -float(np.finfo(name).max), float(np.finfo(name).max)
    if not name.startswith(("int", "uint")):
        return -np.inf, np.inf
    ends = np.iinfo(name)
    high = float(ends.max)  # of 64 bits: rounded up, and so one too many
    return float(ends.min), high if int(high) <= ends.max else float(np.nextafter(high, 0))


def to_number(column: str, value: Any, dtype: str) -> float:
    """Read one value of a condition as a number; times may be strings, and are local where they name no zone."""
    try:
        if dtype.startswith("datetime64"):
            stamp = pd.Timestamp(value)
            if stamp.tzinfo is None and "," in dtype:
                zone = dtype[dtype.index(",") + 1 : -1].strip()
                stamp = stamp.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
            if stamp.tzinfo is not None:
                stamp = stamp.tz_convert("UTC").tz_localize(None)
            # microseconds: in nanoseconds, far ends such as the year 9999 would be out of bounds
            return float((stamp.as_unit("us") - pd.Timestamp(0).as_unit("us")).total_seconds())
        if dtype.startswith("timedelta64") and not isinstance(value, (int, float)):
            return float(pd.Timedelta(value).total_seconds())
        number = float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf  # a whole number too long for a float
    except (ValueError, TypeError) as error:
        raise _no_number(column, value, dtype) from error
    if np.isnan(number):
        raise _no_number(column, value, dtype)
    return number


def _no_number(column: str, value: Any, dtype: str) -> ConditionError:
    """Say what a condition on a column of this data type has to be."""
    kinds = {
        "datetime64": ("a date or time", 'Write it like "2024-03-01" or "2024-03-01 12:30".'),
        "timedelta64": ("a duration", 'Write it like "2h", or as seconds.'),
    }
    number = ("a number", "Use a number, (low, high) for a range with None for an open end, or None for missing.")
    wanted, remedy = next((texts for kind, texts in kinds.items() if dtype.startswith(kind)), number)
    return ConditionError(f"The condition on {column!r} must be {wanted}. Got {value!r}. {remedy}")


def narrowed(low: float, high: float, low_open: bool, high_open: bool, dtype: str) -> tuple[float, float]:
    """Return the least and greatest float of `dtype` in a range: rounding to it then leads out at neither end."""
    kind = np.dtype(dtype).type
    with np.errstate(over="ignore"):
        first, last = kind(low), kind(high)
    if float(first) < low or (low_open and float(first) == low):
        first = np.nextafter(first, kind(np.inf))
    if float(last) > high or (high_open and float(last) == high):
        last = np.nextafter(last, kind(-np.inf))
    return float(first), float(last)


def to_levels(series: pd.Series) -> tuple[IntArray, list[Any]]:
    """Return codes (shape (n_rows,)) and the levels they point to; missing is code -1, the last.

    In a column of Python objects 1 and 1.0 are one level, the whole number, and True is another: whatever the
    order of the rows, the levels are the same.
    """
    if is_text_or_objects(series.dtype):
        codes, keys = distinct_cells(series, level_key)
        return codes, [level for _, level in keys]
    codes, uniques = pd.factorize(series)
    levels = [v.item() if isinstance(v, np.generic) else v for v in uniques]
    return codes.astype(np.int64), [v if isinstance(v, (str, bool, int, float)) else str(v) for v in levels]


def level_key(value: Any) -> tuple[bool, Any]:
    """Return what tells levels apart: True is not 1, and 1.0 is."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return True, value
    if isinstance(value, float) and value.is_integer():
        return False, int(value)
    return False, value if isinstance(value, (str, int, float)) else str(value)


def from_levels(codes: IntArray, levels: list[Any], dtype: str, *, ordered: bool) -> pd.Series:
    """Turn codes into a column of `dtype`; codes beyond the levels become missing."""
    if dtype == "category":
        capped = np.where(codes < len(levels), codes, -1)
        return pd.Series(pd.Categorical.from_codes(capped, categories=levels, ordered=ordered))
    table = np.empty(len(levels) + 1, dtype=object)
    table[: len(levels)] = levels
    table[len(levels)] = None
    return pd.Series(table[np.minimum(codes, len(levels))], dtype=object).astype(dtype)
