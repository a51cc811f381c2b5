"""Dates in text columns: CSV files have no types, so dates come from them as text."""

from __future__ import annotations

import warnings

import pandas as pd

from privsynth.errors import DataError
from privsynth.schema import Datetime, Schema

_ISO_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?"
_ANY_DATE = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ,]+\d{1,2}:\d{2}.*)?"


def parse_declared(frame: pd.DataFrame, schema: Schema | None) -> pd.DataFrame:
    """Parse the text columns that the schema declares as dates; those with a format of their own stay text."""
    for name, column in (schema or {}).items():
        if isinstance(column, Datetime) and column.format is None and name in frame and _is_text(frame[name]):
            parsed = _parse(frame[name])
            if parsed is None:
                raise DataError(
                    f"Column {name!r} is declared as datetime in the schema, but holds something that is no date "
                    "(2024-01-31 or 2024-01-31 23:59:00). Mend the values, or declare it as categorical."
                )
            frame = frame.assign(**{name: parsed})
    return frame


def align_dates(tables: list[pd.DataFrame]) -> None:
    """Parse a column as dates in all tables, where it holds nothing but dates in each: CSV files have no types."""
    for name in tables[0].columns:
        if not all(name in table and not table.columns.has_duplicates for table in tables):
            continue
        columns = [table[name] for table in tables]
        if not columns[0].notna().any():
            continue
        if any(_is_text(c) and not c.dropna().astype(str).str.fullmatch(_ANY_DATE).all() for c in columns):
            continue
        parsed = [_parse(c) if _is_text(c) else c for c in columns]
        if all(c is not None and pd.api.types.is_datetime64_any_dtype(c.dtype) for c in parsed):
            for table, column in zip(tables, parsed, strict=True):
                table[name] = column


def _is_text(column: pd.Series) -> bool:
    return pd.api.types.is_object_dtype(column.dtype) or isinstance(column.dtype, pd.StringDtype)


def _parse(column: pd.Series) -> pd.Series | None:
    """Turn text into times; None where some of it is no date, or where formats are mixed."""
    iso = column.dropna().astype(str).str.fullmatch(_ISO_DATE).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pandas warns where it would guess row by row, or mix time zones
        warnings.filterwarnings("ignore", message="Parsing dates in")  # pandas takes the order that fits
        try:
            return pd.to_datetime(column, format="ISO8601" if iso else None)
        except (ValueError, TypeError, OverflowError, UserWarning, FutureWarning, RuntimeWarning):
            return None
