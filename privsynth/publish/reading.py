"""Sampled rows back from a file, in the types that they had: a CSV file has none, and the model knows them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from privsynth.errors import DataError
from privsynth.synthesizers.base import Synthesizer
from privsynth.tables import read_table
from privsynth.transforms.columns import NAMES_OTHER, DiscreteColumn


def read_sample(path: str | Path, model: Synthesizer) -> pd.DataFrame:
    """Read rows that were sampled from `model` and written to a CSV or Parquet file.

    Raises
    ------
    DataError
        When the file is none, or holds times that are none.
    """
    as_text = [name for name, dtype in model.columns_.items() if dtype in NAMES_OTHER]
    frame = read_table(path, as_text=as_text)
    changed = {
        name: _timed(frame[name], dtype) for name, dtype in model.columns_.items() if _needs_time(frame, name, dtype)
    }
    for column in model.learned_columns:
        if column.name in as_text and column.name in frame and isinstance(column, DiscreteColumn):
            levels = {str(level): level for level in column.levels if not isinstance(level, str)}
            if levels and len({*levels, *filter(_is_text, column.levels)}) == len(column.levels):
                changed[column.name] = frame[column.name].map(lambda value, known=levels: known.get(value, value))
    return frame.assign(**changed) if changed else frame


def _is_text(level: object) -> bool:
    return isinstance(level, str)


def _needs_time(frame: pd.DataFrame, name: str, dtype: str) -> bool:
    return dtype.startswith(("datetime64", "timedelta64")) and name in frame and frame[name].dtype.kind not in "mM"


def _timed(values: pd.Series, dtype: str) -> pd.Series:
    """Turn text into times or durations."""
    try:
        if dtype.startswith("timedelta64"):
            return pd.to_timedelta(values)
        if "," in dtype:  # with a time zone
            return pd.to_datetime(values, format="ISO8601", utc=True).dt.tz_convert(pd.api.types.pandas_dtype(dtype).tz)
        return pd.to_datetime(values, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise DataError(
            f"Column {str(values.name)!r} holds something that is no time, and the model's are. Take a table that was "
            "sampled from this model."
        ) from error
