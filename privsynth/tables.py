"""Tables in and out: frames as they are given, CSV and Parquet files. The only door to pyarrow."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Mapping
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from privsynth.errors import DataError


def as_frame(X: Any, y: Any = None) -> pd.DataFrame:
    """Turn what `fit` was given into a frame with distinct column names; never changes the caller's.

    The frame may share the caller's memory, as a copy would double it: nothing is to be written into it.

    Parameters
    ----------
    X : DataFrame, dict of columns, or ndarray of shape (n_rows, n_columns)
        The private rows.
    y : Series or array of shape (n_rows,), optional
        A further column, named by the series or else "target".

    Raises
    ------
    DataError
        For anything that is no table of two rows and one column or more, with distinct names: strings, or whole
        numbers.
    """
    if hasattr(X, "toarray"):
        raise DataError(f"Sparse input is not supported: got {type(X).__name__}, sparse input. Use X.toarray().")
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
    if frame.shape[1] == 0:
        raise DataError(
            f"The table has no columns: 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required. Give at "
            "least one column to learn."
        )
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
    if len(frame) < 2:
        raise DataError(
            f"The table has {'no rows' if len(frame) == 0 else 'one row (1 sample)'}. Learning needs two at the very "
            "least, and some thousands to be of use under privacy."
        )
    problems = []
    if twice := sorted({str(name) for name in frame.columns[frame.columns.duplicated()]}):
        problems.append(f"Column names must be distinct. These occur more than once: {twice}. Rename them.")
    if unnamed := [name for name in frame.columns if not (_is_number(name) or (isinstance(name, str) and name))]:
        problems.append(
            f"Column names must be non-empty strings, or whole numbers. Got {unnamed}. Use df.columns.astype(str)."
        )
    elif frame.columns.map(str).has_duplicates and not problems:
        problems.append(f"Column names must be distinct as text too. Got {list(frame.columns)}. Rename some.")
    if problems:
        raise DataError(" ".join(problems))
    frame.index = pd.RangeIndex(len(frame))  # reset_index would copy the rows
    return frame


def to_text_names(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Turn columns numbered as pandas does into columns "0", "1", ...; return also the numbers, by name."""
    numbers = {str(name): int(name) for name in frame.columns if _is_number(name)}
    return frame.set_axis(frame.columns.map(str), axis=1) if numbers else frame, numbers


def _is_number(name: Any) -> bool:
    return isinstance(name, (int, np.integer)) and not isinstance(name, bool)


_NATIVE = {
    "int8": "Int8", "int16": "Int16", "int32": "Int32", "int64": "Int64", "uint8": "UInt8", "uint16": "UInt16",
    "uint32": "UInt32", "uint64": "UInt64", "float": "Float32", "halffloat": "Float32", "double": "Float64",
    "bool": "boolean", "string": "object", "large_string": "object", "date32[day]": "datetime64[s]",
    "date64[ms]": "datetime64[s]",
}  # fmt: skip


def to_native(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Turn columns that pyarrow backs into pandas' own data types, by their data types alone.

    Returns
    -------
    frame : DataFrame
        Columns without a counterpart stay as they are.
    arrow : dict of str to str
        The type of pyarrow of each column that was turned, for `from_native`.
    """
    changed, arrow = {}, {}
    for name, dtype in frame.dtypes.items():
        native = _native_dtype(dtype.pyarrow_dtype) if isinstance(dtype, pd.ArrowDtype) else None
        if native is not None:
            changed[name] = frame[name].astype(native)
            arrow[str(name)] = str(dtype.pyarrow_dtype)
    return frame.assign(**changed) if changed else frame, arrow


def from_native(frame: pd.DataFrame, arrow: Mapping[str, str]) -> pd.DataFrame:
    """Turn columns back into the types of pyarrow that `to_native` found."""
    back = {}
    for name, text in arrow.items():
        kind = _arrow_type(text)
        values = frame[name]
        if pa.types.is_decimal(kind):  # the released bounds can reach beyond what the type holds
            most = Decimal(10**kind.precision - 1).scaleb(-kind.scale, Context(prec=kind.precision))
            exact = [None if pd.isna(v) else Decimal(f"{v:.{max(kind.scale, 0)}f}") for v in values]
            values = [None if v is None else max(-most, min(v, most)) for v in exact]
        elif pa.types.is_date(kind):
            values = [None if pd.isna(v) else v.date() for v in values]
        back[name] = pd.Series(pd.array(values, dtype=pd.ArrowDtype(kind)), index=frame.index)
    return frame.assign(**back) if back else frame


def check_arrow(arrow: Mapping[str, str], dtypes: Mapping[str, str]) -> None:
    """Raise `ValueError` unless types of pyarrow, by column, are such as `to_native` turns into these data types."""
    for name, text in arrow.items():
        kind = _arrow_type(text)
        if pa.types.is_decimal(kind) and not 0 <= kind.scale <= kind.precision:
            raise ValueError(f"a decimal of {kind.precision} digits with {kind.scale} decimals")
        if name not in dtypes or str(_native_dtype(kind)) != dtypes[name]:
            raise ValueError(f"column {name!r} of {text!r} is no {dtypes.get(name)!r}")


def _native_dtype(kind: pa.DataType) -> str | None:
    """Return pandas' own data type for one of pyarrow's; None where there is none to learn from."""
    if pa.types.is_timestamp(kind):
        return f"datetime64[{kind.unit}]" if kind.tz is None else f"datetime64[{kind.unit}, {kind.tz}]"
    if pa.types.is_duration(kind):
        return f"timedelta64[{kind.unit}]"
    return "Float64" if pa.types.is_decimal(kind) else _NATIVE.get(str(kind))


def _arrow_type(text: str) -> pa.DataType:
    """Read the name of a type of pyarrow back; raises ValueError for what `to_native` does not write."""
    if match := re.fullmatch(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]", text):
        return pa.timestamp(match[1], tz=match[2])
    if match := re.fullmatch(r"decimal(128|256)\((\d{1,2}), (-?\d{1,2})\)", text):
        return getattr(pa, f"decimal{match[1]}")(int(match[2]), int(match[3]))
    return pa.type_for_alias(text)


_NESTED = (list, dict, set, frozenset, bytes, bytearray, memoryview, np.ndarray, pd.Series, pd.DataFrame, pd.Index)


def nested_columns(frame: pd.DataFrame) -> dict[str, str]:
    """Return the columns of objects that hold lists, bytes or tables, and what they hold.

    It looks at the types of values, and is the one check that does: see docs/privacy.md on refusals.
    """
    found = {}
    for name in frame.columns[[pd.api.types.is_object_dtype(dtype) for dtype in frame.dtypes]]:
        kinds = {kind.__name__ for kind in set(map(type, frame[name])) if issubclass(kind, _NESTED)}
        if kinds:
            found[str(name)] = " and ".join(sorted(kinds))
    return found


def read_table(path: str | Path, *, as_text: Collection[str] = ()) -> pd.DataFrame:
    """Read a CSV (``.csv``, ``.csv.gz``, ...) or Parquet (``.parquet``, ``.pq``) file.

    Parameters
    ----------
    path : path
    as_text : collection of str
        Columns of a CSV file in which "01" stays text.

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
        frame = pd.read_csv(path, low_memory=False, dtype=dict.fromkeys(as_text, str))
        header = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0].dropna()
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: permission denied. Mend its permissions.") from error
    except (ValueError, OSError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        if isinstance(error, DataError):
            raise
        kind = "Parquet" if _is_parquet(path) else "CSV"
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, UnicodeDecodeError):  # it quotes the byte, and holds the file
            raise DataError(f"{path} cannot be read as {kind}: it is not UTF-8. Convert it.") from None
        raise DataError(f"{path} cannot be read as {kind}: {detail}. Check that it is a {kind} table.") from error
    twice = sorted(set(header[header.duplicated()]))
    if twice:  # pandas would number them in silence
        raise DataError(f"{path}: column names must be distinct. These occur more than once: {twice}. Rename them.")
    if _looks_like_data(header.astype(str).tolist()):
        raise DataError(
            f"{path}: most names in its first line are numbers or dates, as if it were a row. Column names are public: "
            "a row in their place would be published. Add a line of names."
        )
    return frame


def _looks_like_data(names: list[str]) -> bool:
    """Whether the first line of a CSV file is a row: most of it numbers or dates, but no count such as 0, 1, 2.

    >>> _looks_like_data(["39", "State-gov", "77516", "2024-01-31"]), _looks_like_data(["2019", "2020", "2021"])
    (True, False)
    """
    odd = [name for name in names if re.fullmatch(r"\s*[-+]?[\d.,:/TZ-]*\d[\d.,:/TZ %-]*\s*", name)]
    whole = [int(name) for name in odd if name.isdecimal()]
    counted = len(whole) == len(odd) and whole == list(range(whole[0], whole[0] + len(whole))) if whole else False
    return 2 * len(odd) > len(names) and not counted


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
