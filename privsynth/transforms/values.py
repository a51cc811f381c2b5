"""Between pandas values and the two things a model works with: numbers and levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import ConditionError, DataError
from privsynth.transforms.cells import FloatArray, IntArray


def to_numbers(series: pd.Series) -> FloatArray:
    """Return a number or time column as float64; missing and infinite become NaN, times seconds since 1970."""
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        naive = series.dt.tz_convert("UTC").dt.tz_localize(None) if series.dt.tz is not None else series
        seconds = naive.to_numpy().astype("datetime64[s]")
        return np.where(np.isnat(seconds), np.nan, seconds.astype(np.int64).astype(np.float64))
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def from_numbers(values: FloatArray, dtype: str) -> pd.Series:
    """Turn `to_numbers` back into data type `dtype`; NaN becomes that type's missing value."""
    if dtype.startswith("datetime64"):
        missing = np.isnan(values)
        seconds = np.clip(np.where(missing, 0, values), *limits(dtype)).astype(np.int64).astype("datetime64[s]")
        seconds[missing] = np.datetime64("NaT")
        series = pd.Series(seconds)
        if "," in dtype:
            series = series.dt.tz_localize("UTC")
        return series.astype(dtype)
    if dtype.lower().startswith(("int", "uint")):
        whole = np.rint(values)
        lowest, highest = limits(dtype)
        whole = np.clip(whole, lowest, highest)
        if dtype[0] in "iu" and "[" not in dtype:
            return pd.Series(whole).astype(dtype)
        return pd.Series(whole).astype("Float64").astype(dtype)
    return pd.Series(values).astype(dtype)


def limits(dtype: str) -> tuple[float, float]:
    """Return the least and greatest number that a data type of whole numbers or times can hold, else infinities."""
    if dtype.startswith("datetime64[ns"):
        return -9_223_372_036.0, 9_223_372_036.0  # seconds: the years 1677 to 2262
    if dtype.startswith("datetime64"):
        return -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999, which pandas can print
    name = dtype.lower().split("[")[0]
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
            return float((stamp - pd.Timestamp(0)).total_seconds())
        number = float(value)
    except (ValueError, TypeError) as error:
        wanted = "a date or time" if dtype.startswith("datetime64") else "a number"
        raise ConditionError(f"The condition on {column!r} must be {wanted}. Got {value!r}.") from error
    if np.isnan(number):
        raise ConditionError(f"The condition on {column!r} must be a number. Got {value!r}.")
    return number


def to_levels(series: pd.Series) -> tuple[IntArray, list[Any]]:
    """Return codes (shape (n_rows,)) and the levels they point to; missing is code -1, the last."""
    if not isinstance(series.dtype, pd.CategoricalDtype) and pd.api.types.is_object_dtype(series.dtype):
        missing = series.isna()
        try:
            codes, uniques = pd.factorize(series.where(~missing, None))
        except TypeError as error:
            raise DataError(
                f"Column {series.name!r} holds values that are no levels (lists, dicts, ...). Turn them into strings, "
                "or drop the column."
            ) from error
    else:
        codes, uniques = pd.factorize(series)
    levels = [v.item() if isinstance(v, np.generic) else v for v in uniques]
    return codes.astype(np.int64), [v if isinstance(v, (str, bool, int, float)) else str(v) for v in levels]


def from_levels(codes: IntArray, levels: list[Any], dtype: str, *, ordered: bool) -> pd.Series:
    """Turn codes into a column of `dtype`; codes beyond the levels become missing."""
    if dtype == "category":
        capped = np.where(codes < len(levels), codes, -1)
        return pd.Series(pd.Categorical.from_codes(capped, categories=levels, ordered=ordered))
    table = np.empty(len(levels) + 1, dtype=object)
    table[: len(levels)] = levels
    table[len(levels)] = None
    return pd.Series(table[np.minimum(codes, len(levels))], dtype=object).astype(dtype)
