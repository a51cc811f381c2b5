"""Rules between columns, declared in a `Schema`: synthetic rows satisfy all of them, always.

A rule is declared, never learned: it is public, like a column's bounds. Rows of the private table that break a
rule are used as they are, or as near to it as can be written down; whether there are any is private, so that
nothing is raised or said about them.

>>> from privsynth import Schema
>>> schema = Schema().with_rules(Inequality("start", "end"), Formula("total", "price * quantity"))
>>> print(*schema.rules, sep=", ")
start <= end, total = price * quantity
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth._checks import parameter_error
from privsynth._formula import Expression, parse
from privsynth._reading import (
    SCALARS,
    as_part,
    combination_codes,
    is_set,
    read_bound,
    read_numbers,
    seen_as_utc,
    whole_seconds,
)
from privsynth.kinds import Column, Continuous, Datetime

__all__ = ["FixedCombinations", "Formula", "Inequality", "OneOf", "Range", "Rule", "rule_from_dict"]
BoolArray = npt.NDArray[np.bool_]
Columns = Any  # a mapping of str to Column: a Schema, which this module cannot name


@dataclass(frozen=True)
class Rule:
    """Base of all rules."""

    rule: ClassVar[str] = ""

    if TYPE_CHECKING:  # at run time a dataclass would take it for the default of a field

        @property
        def columns(self) -> tuple[str, ...]:
            """The columns it touches."""

    def holds(self, frame: pd.DataFrame, schema: Columns = None) -> BoolArray:
        """Return for each row of `frame` whether the rule holds.

        Parameters
        ----------
        frame : DataFrame
        schema : Schema or mapping of str to Column, optional
            How text is to be read as numbers or dates, and to how many decimals values are kept.

        Returns
        -------
        ndarray of bool of shape (n_rows,)
        """
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict; what is as by default is left out."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {"rule": self.rule, **{k: _listed(v) for k, v in kept.items()}}


@dataclass(frozen=True)
class Inequality(Rule):
    """One column is at most another: numbers, times or durations.

    It holds where either is missing.

    Parameters
    ----------
    low, high : str
        Names of columns: `low` <= `high`.
    strict : bool
        Whether they must differ: `low` < `high`.

    Examples
    --------
    >>> frame = pd.DataFrame({"start": [1, 5, None], "end": [2, 4, 0]})
    >>> Inequality("start", "end").holds(frame).tolist()
    [True, False, True]
    """

    rule: ClassVar[str] = "inequality"
    low: str
    high: str
    strict: bool = False

    def __post_init__(self) -> None:
        _check_names("Inequality", low=self.low, high=self.high)
        _check_bool("Inequality", "strict", self.strict)
        if self.low == self.high:
            raise parameter_error("Inequality", "high", "another column than low", self.high)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it touches."""
        return (self.low, self.high)

    def holds(self, frame: pd.DataFrame, schema: Columns = None) -> BoolArray:
        """Return where `low` <= `high`, or either is missing."""
        low, high = _numbers(frame, self.low, schema), _numbers(frame, self.high, schema)
        return np.isnan(low) | np.isnan(high) | ((low < high) if self.strict else (low <= high))

    def __str__(self) -> str:
        return f"{_shown(self.low)} {'<' if self.strict else '<='} {_shown(self.high)}"


@dataclass(frozen=True)
class FixedCombinations(Rule):
    """Columns whose values go together: city and country, product and its group.

    It holds where a row agrees, in all that is present, with an allowed combination. Rows are learned as
    combinations: a private row in which something is missing counts as one where all is missing, unless its
    combination, with None for what is missing, is allowed or released.

    Parameters
    ----------
    columns : tuple of str
        Two or more columns of levels or numbers.
    allowed : tuple of tuples, optional
        The combinations, public. Undeclared, they are found privately: combinations that are frequent enough are
        released and nothing else is ever sampled. `holds` cannot know them, and is then true everywhere.

    Examples
    --------
    >>> rule = FixedCombinations(("city", "country"), (("Rome", "IT"), ("Oslo", "NO")))
    >>> rule.holds(pd.DataFrame({"city": ["Rome", "Rome", None], "country": ["IT", "NO", "NO"]})).tolist()
    [True, False, True]
    """

    rule: ClassVar[str] = "fixed combinations"
    columns: tuple[str, ...]
    allowed: tuple[tuple[Any, ...], ...] | None = None

    def __post_init__(self) -> None:
        _check_columns(self)
        if self.allowed is not None:
            object.__setattr__(self, "allowed", self._checked(self.allowed))

    def _checked(self, allowed: Any) -> tuple[tuple[Any, ...], ...]:
        """Return the combinations as tuples of plain values."""
        wanted = f"distinct tuples of {len(self.columns)} values, one for each of {list(self.columns)}"
        if isinstance(allowed, str) or not isinstance(allowed, (list, tuple)) or not allowed:
            raise parameter_error("FixedCombinations", "allowed", wanted, allowed)
        combinations = []
        for given in allowed:
            if not isinstance(given, (list, tuple)) or len(given) != len(self.columns):
                raise parameter_error("FixedCombinations", "allowed", wanted, given)
            values = tuple(as_part(v) for v in given)
            if not all(isinstance(v, SCALARS) for v in values):
                raise parameter_error("FixedCombinations", "allowed", "of strings, numbers, booleans or None", given)
            combinations.append(values)
        if len(set(combinations)) < len(combinations) or all(set(c) == {None} for c in combinations):
            raise parameter_error("FixedCombinations", "allowed", wanted, allowed)
        return tuple(combinations)

    def holds(self, frame: pd.DataFrame, schema: Columns = None) -> BoolArray:
        """Return where what is present agrees with an allowed combination; true everywhere if none is declared."""
        if self.allowed is None:
            return np.ones(len(frame), dtype=bool)
        parts = [combination_codes(frame[name]) for name in self.columns]
        rows = np.stack([codes for codes, _ in parts], axis=1)
        distinct, place = np.unique(rows, axis=0, return_inverse=True)
        good = [self._agrees([levels[c] for c, (_, levels) in zip(row, parts, strict=True)]) for row in distinct]
        return np.asarray(good, dtype=bool)[place.reshape(-1)]

    def _agrees(self, values: list[Any]) -> bool:
        return any(all(v is None or v == a for v, a in zip(values, c, strict=True)) for c in self.allowed or ())

    def __str__(self) -> str:
        allowed = "" if self.allowed is None else f" ({len(self.allowed)} declared)"
        return f"fixed combinations of {', '.join(map(_shown, self.columns))}{allowed}"


@dataclass(frozen=True)
class Range(Rule):
    """The values of a column lie between two ends, both included; it holds where the value is missing.

    Parameters
    ----------
    column : str
        A column of numbers, times or durations.
    low, high : float or str, optional
        Numbers (seconds for durations), or dates such as "2024-01-31".
    """

    rule: ClassVar[str] = "range"
    column: str
    low: float | str | None = None
    high: float | str | None = None

    def __post_init__(self) -> None:
        _check_names("Range", column=self.column)
        for name in ("low", "high"):
            object.__setattr__(self, name, self._end(name, getattr(self, name)))
        if self.low is None and self.high is None:
            raise parameter_error("Range", "low", "given, or high", None)
        if self.low is not None and self.high is not None:
            if isinstance(self.low, str) != isinstance(self.high, str):
                raise parameter_error("Range", "high", "a number or a date, as low is", self.high)
            low, high = (
                seen_as_utc(v) if isinstance(v, str) else v for v in (self.low, self.high)
            )  # fmt: skip
            if low >= high:
                raise parameter_error("Range", "high", f"above low={self.low}", self.high)

    def _end(self, name: str, end: Any) -> Any:
        """Return an end as a plain number or ISO text."""
        if end is None:
            return None
        end = end.item() if isinstance(end, np.number) else end
        if isinstance(end, (int, float)) and not isinstance(end, bool) and np.isfinite(end):
            return end
        wanted = 'a finite number, a date such as "2024-01-31", or None'
        if isinstance(end, pd.Timedelta):
            return end.total_seconds()
        try:
            stamp = None if isinstance(end, (bool, float)) else pd.Timestamp(end)
        except (ValueError, TypeError) as error:
            raise parameter_error("Range", name, wanted, end) from error
        if stamp is None or stamp is pd.NaT:
            raise parameter_error("Range", name, wanted, end)
        return stamp.isoformat()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it touches."""
        return (self.column,)

    def holds(self, frame: pd.DataFrame, schema: Columns = None) -> BoolArray:
        """Return where the value is between the ends, or missing."""
        values = _numbers(frame, self.column, schema)
        inside = np.ones(len(values), dtype=bool)
        if self.low is not None:
            inside &= values >= read_bound(self.low, frame[self.column])
        if self.high is not None:
            inside &= values <= read_bound(self.high, frame[self.column])
        return inside | np.isnan(values)

    def __str__(self) -> str:
        low, high = ("" if v is None else f"{v}" for v in (self.low, self.high))
        if not low or not high:
            return f"{_shown(self.column)} {'>=' if low else '<='} {low or high}"
        return f"{low} <= {_shown(self.column)} <= {high}"


@dataclass(frozen=True)
class OneOf(Rule):
    """In each row exactly one of the columns is set: present, and neither False nor zero.

    Parameters
    ----------
    columns : tuple of str

    Examples
    --------
    >>> frame = pd.DataFrame({"card": ["1234", None, None], "iban": [None, None, "DE02"]})
    >>> OneOf(("card", "iban")).holds(frame).tolist()
    [True, False, True]
    """

    rule: ClassVar[str] = "one of"
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_columns(self)

    def holds(self, frame: pd.DataFrame, schema: Columns = None) -> BoolArray:
        """Return where exactly one column is set; a missing value is not set."""
        counts = sum(is_set(frame[name], (schema or {}).get(name)).astype(np.int64) for name in self.columns)
        return np.asarray(counts == 1, dtype=bool)

    def __str__(self) -> str:
        return f"exactly one of {', '.join(map(_shown, self.columns))} is set"


@dataclass(frozen=True)
class Formula(Rule):
    """A column is computed from others, after sampling: it is not learned.

    Times count as seconds since 1970 and durations as seconds. The result is missing where an input is or where
    it is not finite, and is rounded to the column's decimals and data type. The rule holds where the value or
    the result is missing.

    Parameters
    ----------
    column : str
        The column that is computed.
    formula : str
        Names of columns (odd ones in backticks), numbers, ``+ - * / // % **``, brackets, and the functions
        ``abs round min max floor ceil``. Nothing else is understood, and nothing is ever run as Python.

    Examples
    --------
    >>> rule = Formula("total", "price * `number of items`")
    >>> rule.holds(pd.DataFrame({"price": [2.0, 3.0], "number of items": [2, 2], "total": [4.0, 7.0]})).tolist()
    [True, False]
    """

    rule: ClassVar[str] = "formula"
    column: str
    formula: str

    def __post_init__(self) -> None:
        _check_names("Formula", column=self.column)
        parse(self.formula)

    @property
    def expression(self) -> Expression:
        """The parsed formula."""
        return parse(self.formula)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it touches, the computed one first."""
        return tuple(dict.fromkeys((self.column, *self.expression.names)))

    def compute(self, frame: pd.DataFrame, schema: Columns = None) -> npt.NDArray[np.float64]:
        """Return the result for each row as float64, before rounding."""
        return self.expression.evaluate({n: _numbers(frame, n, schema) for n in self.expression.names})

    def holds(self, frame: pd.DataFrame, schema: Columns = None) -> BoolArray:
        """Return where the value is the result, up to the rounding of the column, or either is missing."""
        values, results = _numbers(frame, self.column, schema), self.compute(frame, schema)
        allowed = 1e-9 * np.abs(results) + _rounding(frame[self.column], (schema or {}).get(self.column), results)
        return np.isnan(values) | np.isnan(results) | (np.abs(values - results) <= allowed)

    def __str__(self) -> str:
        return f"{_shown(self.column)} = {self.formula.strip()}"


RULES: dict[str, type[Rule]] = {kind.rule: kind for kind in (Inequality, FixedCombinations, Range, OneOf, Formula)}


def rule_from_dict(entry: dict[str, Any]) -> Rule:
    """Read a rule's `to_dict` back; raises ValueError, KeyError or TypeError for anything else."""
    entry = dict(entry)
    kind = RULES[entry.pop("rule")]
    return kind(**entry)


def _numbers(frame: pd.DataFrame, name: str, schema: Columns) -> npt.NDArray[np.float64]:
    return read_numbers(frame[name], (schema or {}).get(name))


def _rounding(series: pd.Series, column: Column | None, results: npt.NDArray[np.float64]) -> Any:
    """Return how far rounding to the column's decimals and data type can move a result."""
    dtype = str(series.dtype).lower()
    times = pd.api.types.is_datetime64_any_dtype(series.dtype) or pd.api.types.is_timedelta64_dtype(series.dtype)
    if isinstance(column, Datetime):
        step = 2.0 * whole_seconds(column)  # times are cut, not rounded
    elif pd.api.types.is_integer_dtype(series.dtype) or times:
        step = 1.0
    else:
        step = 10.0**-column.decimals if isinstance(column, Continuous) and column.decimals is not None else 0.0
    narrow = {"float16": 2e-3, "float32": 2e-7}.get(dtype, 0.0)
    return step / 2 * (1 + 1e-9) + narrow * np.abs(results)


def _shown(name: str) -> str:
    """Return a column's name as a formula writes it."""
    return name if name.isidentifier() else "`" + name.replace("`", "``").replace("\n", "\\n") + "`"


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def _check_names(owner: str, **names: Any) -> None:
    for parameter, name in names.items():
        if not isinstance(name, str) or not name:
            raise parameter_error(owner, parameter, "the name of a column", name)


def _check_bool(owner: str, parameter: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise parameter_error(owner, parameter, "True or False", value)


def _check_columns(rule: Any) -> None:
    """Check that `columns` are two names or more, all distinct, and make them a tuple."""
    owner, names = type(rule).__name__, rule.columns
    good = isinstance(names, (list, tuple)) and len(names) > 1 and all(isinstance(n, str) and n for n in names)
    if not good or len(set(names)) < len(names):
        raise parameter_error(owner, "columns", "a tuple of two or more distinct names of columns", names)
    object.__setattr__(rule, "columns", tuple(names))
