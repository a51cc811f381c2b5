"""The kinds of columns, and which of them a data type goes with: public facts, no values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from privsynth._checks import check_choice, check_int, parameter_error

NUMBER_FORMS = ("number", "text", "decimal")
RESOLUTIONS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
FAKES = (
    *("key", "name", "first_name", "last_name", "email", "phone", "card", "iban", "uuid"),
    *("ssn", "address", "url", "ip", "text"),
)

LONGEST_FORMAT, LONGEST_PREFIX = 100, 200
_KNOWN_DTYPES = re.compile(
    r"object|str|string(\[(python|pyarrow)\])?|category|bool(ean)?|u?int(8|16|32|64)|U?Int(8|16|32|64)|Float(32|64)"
    r"|float(16|32|64|96|128)|timedelta64\[(s|ms|us|ns)\]"
    r"|datetime64\[(s|ms|us|ns)(, (?!dateutil)[\w+:-]{1,40}(/[\w+-]{1,40}){0,3})?\]",
    re.ASCII,
)


@dataclass(frozen=True)
class Continuous:
    """A numeric column.

    Parameters
    ----------
    low, high : float, optional
        Public bounds; values beyond are cut to them. Undeclared bounds cost budget.
    decimals : int, optional
        Public number of decimals; 0 for whole numbers.
    nullable : bool
        Whether values can be missing.
    form : {"number", "text", "decimal"}
        How the table holds them: in a data type of numbers or durations, written as text ("12.50"), or as
        `decimal.Decimal` objects.
    """

    kind: ClassVar[str] = "continuous"
    low: float | None = None
    high: float | None = None
    decimals: int | None = None
    nullable: bool = True
    form: str = "number"

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bound = getattr(self, name)
            if bound is None:
                continue
            if isinstance(bound, bool) or not (isinstance(bound, (int, float, np.number)) and np.isfinite(bound)):
                raise parameter_error("Continuous", name, "a finite number or None", bound)
            object.__setattr__(self, name, _scalar(bound))
        check_choice("Continuous", "form", self.form, NUMBER_FORMS)
        if self.decimals is not None:
            object.__setattr__(self, "decimals", check_int("Continuous", "decimals", self.decimals, low=0, high=15))
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise parameter_error("Continuous", "high", f"above low={self.low:g}", self.high)


@dataclass(frozen=True)
class Datetime:
    """A column of dates or times, kept to the second.

    Parameters
    ----------
    low, high : str or Timestamp, optional
        Public bounds, such as "2024-01-01"; values beyond are cut to them. Without a zone they are in the
        column's own.
    nullable : bool
        Whether values can be missing.
    format : str, optional
        How text is read and written, as in `strftime` ("%d.%m.%Y"); "date" for `datetime.date` objects.
        None for a datetime data type.
    resolution : {"second", "minute", "hour", "day"}, optional
        What values are whole in. None: found out privately.
    """

    kind: ClassVar[str] = "datetime"
    low: str | None = None
    high: str | None = None
    nullable: bool = True
    format: str | None = None
    resolution: str | None = None

    def __post_init__(self) -> None:
        check_choice("Datetime", "resolution", self.resolution, (None, *RESOLUTIONS))
        if self.format is not None and (not isinstance(self.format, str) or len(self.format) > LONGEST_FORMAT):
            wanted = f"a text of up to {LONGEST_FORMAT} characters such as '%d.%m.%Y', or None"
            raise parameter_error("Datetime", "format", wanted, self.format)
        for name in ("low", "high"):
            bound = getattr(self, name)
            if bound is not None:
                try:
                    text = pd.Timestamp(bound).isoformat()
                except (ValueError, TypeError) as error:
                    raise parameter_error("Datetime", name, 'a date such as "2024-01-31"', bound) from error
                if text == "NaT":
                    raise parameter_error("Datetime", name, 'a date such as "2024-01-31"', bound)
                object.__setattr__(self, name, text)
        if self.low and self.high and _utc(self.low) >= _utc(self.high):
            raise parameter_error("Datetime", "high", f"after low={self.low}", self.high)


@dataclass(frozen=True)
class Categorical:
    """A column of levels.

    Parameters
    ----------
    categories : tuple, optional
        All public levels: strings, numbers or booleans (all else is turned into strings). Others are not
        learned. Undeclared levels are discovered privately, and rare ones become ``__other__``.
    ordered : bool
        Whether a pandas category column comes back ordered.
    nullable : bool
        Whether values can be missing.
    other : {"token", "fake"}
        How levels too rare to be released come back in a column of text: as ``__other__``, or as made-up labels, a
        fresh one each row.
    """

    kind: ClassVar[str] = "categorical"
    categories: tuple[Any, ...] | None = None
    ordered: bool = False
    nullable: bool = True
    other: str = "token"

    def __post_init__(self) -> None:
        check_choice("Categorical", "other", self.other, ("token", "fake"))
        if self.categories is not None:
            if isinstance(self.categories, str) or not isinstance(self.categories, Iterable):
                raise parameter_error("Categorical", "categories", "a tuple of levels", self.categories)
            given = [_scalar(v) for v in self.categories]
            levels = tuple(_level(v) for v in given)
            if any(v is None or v is pd.NaT or v is pd.NA or v != v for v in given):
                raise parameter_error(
                    "Categorical", "categories", "levels", given, "Missing values are no level: use nullable=True."
                )
            if not levels or len(set(levels)) < len(levels):
                raise parameter_error("Categorical", "categories", "distinct levels, at least one", levels)
            object.__setattr__(self, "categories", levels)


@dataclass(frozen=True)
class Boolean:
    """A column of True and False."""

    kind: ClassVar[str] = "boolean"
    nullable: bool = False


@dataclass(frozen=True)
class Identifier:
    """A column of keys or personal data: never modelled, made up anew for each sample.

    Parameters
    ----------
    prefix : str
        What made-up text keys start with.
    fake : {"key", "name", "first_name", "last_name", "email", "phone", "card", "iban", "uuid", "ssn", "address", \
"url", "ip", "text"}
        What is made up: plain keys, or valid-looking personal data that belongs to nobody.
    unique : bool
        Whether all made-up values are distinct.
    """

    kind: ClassVar[str] = "identifier"
    prefix: str = "id"
    fake: str = "key"
    unique: bool = True

    def __post_init__(self) -> None:
        check_choice("Identifier", "fake", self.fake, FAKES)
        if not isinstance(self.prefix, str) or len(self.prefix) > LONGEST_PREFIX:
            raise parameter_error("Identifier", "prefix", f"a text of up to {LONGEST_PREFIX} characters", self.prefix)


Column = Continuous | Datetime | Categorical | Boolean | Identifier
KINDS: dict[str, Any] = {k.kind: k for k in (Continuous, Datetime, Categorical, Boolean, Identifier)}


def column_of(dtype: Any) -> Column | None:
    """Map a data type to a column; None where there is no way."""
    extension = pd.api.types.is_extension_array_dtype(dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        levels = tuple(dtype.categories)
        return Categorical(levels or None, bool(dtype.ordered))
    if isinstance(dtype, (pd.ArrowDtype, pd.SparseDtype)) or pd.api.types.is_complex_dtype(dtype):
        return None  # `tables.to_native` turns what can be learned of pyarrow into pandas' own types
    if pd.api.types.is_bool_dtype(dtype):
        return Boolean(nullable=extension)
    if pd.api.types.is_integer_dtype(dtype):
        return Continuous(decimals=0, nullable=extension)
    if pd.api.types.is_float_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return Continuous()
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return Datetime()
    if pd.api.types.is_string_dtype(dtype) or pd.api.types.is_object_dtype(dtype):
        return Categorical()
    return None


def is_known_dtype(text: str) -> bool:
    """Whether a data type read from a file is one that tables have, before pandas is asked to make it.

    Others can ask for gigabytes (``S1000000000``) or, as time zones of dateutil, for files.

    >>> [is_known_dtype(text) for text in ("Int64", "datetime64[s, Europe/Oslo]", "S9", "datetime64[s, dateutil//x]")]
    [True, True, False, False]
    """
    return _KNOWN_DTYPES.fullmatch(text) is not None


def misfit(column: Column, dtype: Any) -> str:
    """Return what to do where a column's kind and its data type do not go together, else nothing."""
    types = pd.api.types
    is_bool, numeric = types.is_bool_dtype(dtype), types.is_numeric_dtype(dtype)
    text = types.is_string_dtype(dtype) and not types.is_object_dtype(dtype) and not _is_category(dtype)
    if column_of(dtype) is None:
        return "Convert it to numbers, strings, booleans, categories or datetimes, or drop it."
    free = types.is_object_dtype(dtype) or text
    if isinstance(column, Continuous) and column.form != "number" and not free:
        return f"form={column.form!r} is for columns of text or objects: leave it out."
    durations = types.is_timedelta64_dtype(dtype)
    if isinstance(column, Continuous) and column.form == "number" and (is_bool or not (numeric or durations)):
        return "Convert it to numbers first, or declare its form (text or decimal)."
    if isinstance(column, Datetime) and column.format is not None and not free:
        return "format=... is for columns of text or objects: leave it out."
    if isinstance(column, Datetime) and column.format is None and not types.is_datetime64_any_dtype(dtype):
        return 'Use pd.to_datetime on it first, or declare its format, such as format="%Y-%m-%d".'
    if isinstance(column, Boolean) and not (is_bool or numeric or types.is_object_dtype(dtype)):
        return "Convert it to booleans first, or declare it Categorical."
    if isinstance(column, Identifier) and not (numeric or text or types.is_object_dtype(dtype) or _is_category(dtype)):
        return "Identifiers are numbers or strings: drop the column, or convert it."
    if isinstance(column, Identifier) and is_bool:
        return "Identifiers are numbers or strings: drop the column, or declare it Boolean."
    if isinstance(column, Categorical) and column.categories is not None:
        if _is_category(dtype) and not set(column.categories) & {_level(v) for v in dtype.categories}:
            return f"None of the declared levels {list(column.categories[:5])} is a category of it."
        if numeric and any(isinstance(v, str) for v in column.categories):
            return "Declare its levels as numbers, without quotes."
        if text and not all(isinstance(v, str) for v in column.categories):
            return "Declare its levels as strings, with quotes."
    return ""


def _is_category(dtype: Any) -> bool:
    return isinstance(dtype, pd.CategoricalDtype)


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) and value.dtype.kind not in "mM" else value


def _level(value: Any) -> Any:
    """Return a category as a level: everything but strings, numbers and booleans as a string."""
    value = _scalar(value)
    return value if isinstance(value, (str, bool, int, float)) else str(value)


def _utc(text: str) -> pd.Timestamp:
    stamp = pd.Timestamp(text)
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp
