"""Tables in and out: frames as they are given, CSV and Parquet files. The only door to pyarrow."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import DataError


def as_frame(X: Any, y: Any = None) -> pd.DataFrame:
    """Turn what `fit` was given into a frame with string column names; never changes the caller's.

    Parameters
    ----------
    X : DataFrame, dict of columns, or ndarray of shape (n_rows, n_columns)
        The private rows.
    y : Series or array of shape (n_rows,), optional
        A further column, named by the series or else "target".

    Raises
    ------
    DataError
        For anything that is no table of two rows and one column or more, with distinct names.
    """
    if isinstance(X, pd.DataFrame):
        frame = X.copy(deep=False)
    elif isinstance(X, dict):
        try:
            frame = pd.DataFrame(X)
        except (ValueError, TypeError) as error:
            raise DataError(f"The dict is no table: {error}. Give columns of one length.") from error
    elif isinstance(X, np.ndarray) and X.ndim == 2:
        frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    else:
        raise DataError(f"fit needs a pandas DataFrame. Got {type(X).__name__}. Use pd.DataFrame(...) or pd.read_csv.")
    if y is not None:
        if not isinstance(y, pd.Series):
            y = np.asarray(y)
            if y.ndim != 1:
                raise DataError(f"y must be one column. Got shape {y.shape}. Use y.ravel(), or put y into X.")
        name = str(getattr(y, "name", None) or "target")
        if len(y) != len(frame):
            raise DataError(f"y has {len(y)} rows and X has {len(frame)}: they must be of one length.")
        if name in frame.columns:
            raise DataError(f"y is named {name!r}, and X has such a column already. Rename one of them.")
        frame = frame.assign(**{name: pd.Series(y.array if isinstance(y, pd.Series) else y, index=frame.index)})
    if frame.shape[1] == 0:
        raise DataError("The table has no columns. Give at least one column to learn.")
    if len(frame) < 2:
        raise DataError(
            f"The table has {'no rows' if len(frame) == 0 else 'one row'}. Learning needs two at the very least, "
            "and some thousands to be of use under privacy."
        )
    twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if twice:
        raise DataError(f"Column names must be distinct. These occur more than once: {twice}. Rename them.")
    unnamed = [name for name in frame.columns if not isinstance(name, str) or not name]
    if unnamed:
        raise DataError(f"Column names must be non-empty strings. Got {unnamed}. Use df.columns.astype(str).")
    return frame.reset_index(drop=True)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV (``.csv``, ``.csv.gz``, ...) or Parquet (``.parquet``, ``.pq``) file.

    Raises
    ------
    DataError
        When the file is missing, unreadable, or not what its extension says.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file {path}. Check the path.")
    try:
        if _is_parquet(path):
            return pd.read_parquet(path, engine="pyarrow")
        if ".csv" not in path.suffixes:
            raise DataError(f"{path.name} is neither .csv nor .parquet. Rename or convert it.")
        if path.suffix.lower() == ".csv" and _has_nul(path):
            raise DataError(f"{path} cannot be read as CSV: it holds binary data. Check that it is a CSV table.")
        frame = pd.read_csv(path, low_memory=False)
        header = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0].dropna()
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: permission denied. Mend its permissions.") from error
    except (ValueError, OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        if isinstance(error, DataError):
            raise
        kind = "Parquet" if _is_parquet(path) else "CSV"
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path} cannot be read as {kind}: {detail}. Check that it is a {kind} table.") from error
    twice = sorted(set(header[header.duplicated()]))
    if twice:  # pandas would number them in silence
        raise DataError(f"{path}: column names must be distinct. These occur more than once: {twice}. Rename them.")
    return frame


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a CSV or Parquet file by extension: whole or not at all.

    Raises
    ------
    DataError
        When the extension is neither, the folder cannot be written, or the format cannot hold a column.
    """
    path = Path(path)
    check_writable(path)
    parquet = _is_parquet(path)
    if not parquet and ".csv" not in path.suffixes:
        raise DataError(f"{path.name} must end in .csv or .parquet. Rename the output.")
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=path.name)
    os.close(handle)
    try:
        if parquet:
            frame.to_parquet(name, engine="pyarrow", index=False)
        else:
            frame.to_csv(name, index=False)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except (OSError, ValueError, TypeError) as error:
        kind, remedy = ("Parquet", "Write CSV, or mend the column") if parquet else ("CSV", "Choose another place")
        detail = str(error).strip().splitlines()[0]
        raise DataError(f"{path} cannot be written as {kind}: {detail}. {remedy}.") from error
    finally:
        Path(name).unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise `DataError` unless a file can be made or replaced at `path`."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder. Name a file.")
    if not path.parent.is_dir():
        raise DataError(f"The folder {path.parent} does not exist. Make it first.")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise DataError(f"{path} cannot be written: permission denied. Choose another place.")


def _has_nul(path: Path) -> bool:
    """Whether a file starts like no text does; pandas would skip the NUL bytes in silence."""
    with path.open("rb") as file:
        return b"\x00" in file.read(1 << 16)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in {".parquet", ".pq"}
