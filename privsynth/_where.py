"""Conditions as they are written on a command line, read into predicates on the columns of a model.

::

    amount > 1000          country = GB              age between 60 and 75
    amount <= 99.5         country in GB,FR          bmi is missing
    income=>50K            country != GB             bmi is not missing

The column comes first and may hold spaces, dashes and dots, because it is looked up among the names of the
model, the longest first; the operator is the first thing after it (so ``income=>50K`` asks for the level
``>50K``). Values may stand in quotes. Several clauses on one column must all hold.

Clauses may be joined by ``and``. An ``and`` joins where a clause is complete before it and a column with an operator
follows; elsewhere, and in quotes, it is part of a value: ``shop=Tom and Jerry's``, ``age between 60 and 75``.
Nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from privsynth.errors import ConditionError
from privsynth.transforms.columns import OTHER, ColumnTransform, DiscreteColumn, NumericColumn
from privsynth.transforms.predicates import Between, OneOf, Predicate
from privsynth.transforms.values import to_number

_SYMBOL = re.compile(r"\s*(==|!=|>=|<=|=|>|<)\s*(.*)", re.DOTALL)
_WORD = re.compile(r"\s+(is\s+not\s+missing|is\s+missing|not\s+in|in|between)(?:\s+(.*))?", re.DOTALL | re.IGNORECASE)
_VALUE = r"""\s*("[^"]*"|'[^']*'|{plain}?)\s*"""
_LISTED = re.compile(_VALUE.format(plain=r"[^,]+") + r"(?:,|$)", re.DOTALL)
_RANGE = re.compile(_VALUE.format(plain=".+") + r"\sand\s" + _VALUE.format(plain=".+"), re.DOTALL | re.IGNORECASE)
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_FORMS = "Write it like amount>1000, country=GB, country in GB,FR, age between 60 and 75 or bmi is missing."


def parse_where(clauses: Iterable[str], columns: Sequence[ColumnTransform]) -> dict[str, Predicate]:
    """Read clauses that must all hold.

    Parameters
    ----------
    clauses : iterable of str
        Each one clause, or several joined by ``and``.
    columns : sequence of ColumnTransform
        The columns of the model: their names, data types and levels.

    Returns
    -------
    dict of str to Predicate
        What ``sample(conditions=...)`` takes.

    Raises
    ------
    ConditionError
        When a clause cannot be read, names an unknown column or level, or excludes another one.

    Examples
    --------
    >>> column = DiscreteColumn("income", "object", ("<=50K", ">50K"), other=False, null=False)
    >>> parse_where(["income=>50K"], [column])
    {'income': OneOf(values=('>50K',))}
    """
    by_name = {column.name: column for column in columns}
    found: dict[str, Predicate] = {}
    for clause in (part for text in clauses for part in _joined(text, by_name)):
        name, operator, rest = _split(clause, by_name)
        column = by_name[name]
        predicate = _read(clause, column, operator, rest)
        if isinstance(column, DiscreteColumn):
            predicate = _as_levels(column, predicate, invert=operator in ("!=", "not in"))
        both = _both(found[name], predicate) if name in found else predicate
        if _is_empty(both):
            before = " together with the conditions before it" if name in found else ""
            raise ConditionError(f"No value of column {name!r} satisfies {clause!r}{before}. Widen the condition.")
        found[name] = both
    return found


def _joined(text: str, columns: Mapping[str, Any]) -> list[str]:
    """Split at each ``and`` that joins clauses."""
    parts, start, at = [], 0, 0
    while match := _AND.search(text, at):
        before, after = text[start : match.start()], text[match.end() :]
        at = match.end()
        if _starts_a_clause(after, columns) and _is_whole(before, columns):
            parts.append(before)
            start = at
    return [*parts, text[start:]]


def _starts_a_clause(text: str, columns: Mapping[str, Any]) -> bool:
    return any(
        text.startswith(written) and bool(_SYMBOL.match(text[len(written) :]) or _WORD.match(text[len(written) :]))
        for name in columns
        for written in _written(name)
    )


def _is_whole(text: str, columns: Mapping[str, Any]) -> bool:
    """Whether a clause could end here: not in quotes, and not between the ends of a range."""
    try:
        _, operator, rest = _split(text, columns)
    except ConditionError:
        return True  # it is no clause at all, and will be told so
    if operator == "between":
        return _RANGE.fullmatch(rest) is not None
    values = [match[1] for match in _LISTED.finditer(rest)] if operator in ("in", "not in") else [rest]
    return not any(text[:1] in ("'", '"') and (len(text) == 1 or text[-1] != text[0]) for text in values if text)


def _written(name: str) -> tuple[str, ...]:
    """Return the ways in which a column may be written."""
    return name, name.strip(), f'"{name}"', f"'{name}'", f"`{name}`"


def _split(clause: str, columns: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return column, operator (words in lower case, one space between) and the rest."""
    text = clause.strip()
    for name in sorted(columns, key=len, reverse=True):
        for written in _written(name):
            rest = text[len(written) :]
            if text.startswith(written) and (match := _SYMBOL.fullmatch(rest) or _WORD.fullmatch(rest)):
                return name, " ".join(match[1].lower().split()), (match[2] or "").strip()
        if text.startswith(name) and not text[len(name) :].strip():
            raise ConditionError(f"The condition {clause!r} names a column and asks nothing of it. {_FORMS}")
    raise ConditionError(
        f"The condition {clause!r} does not start with a column of the model and an operator. {_FORMS} "
        f"The columns are {', '.join(columns)}."
    )


def _read(clause: str, column: ColumnTransform, operator: str, rest: str) -> Predicate:
    """Read one clause whose column and operator are known."""
    if operator.startswith("is"):
        if rest:
            raise ConditionError(f"The condition {clause!r} goes on after 'missing'. {_FORMS}")
        if operator == "is missing":
            return OneOf((None,))
        return Between() if isinstance(column, NumericColumn) else OneOf(tuple(_shown(column)))
    if operator in ("!=", "not in") and isinstance(column, NumericColumn):
        raise ConditionError(
            f"The condition {clause!r} excludes single values of a column of numbers or times. Use a range: >, <, "
            ">=, <= or between."
        )
    if operator == "between":
        match = _RANGE.fullmatch(rest)
        if match is None:
            raise ConditionError(f"The condition {clause!r} is no range. Write it like age between 60 and 75.")
        return Between(*(_value(clause, column, text) for text in match.groups()))
    if operator in ("in", "not in"):
        return OneOf(tuple(_value(clause, column, text) for text in _items(clause, rest)))
    value = _value(clause, column, rest)
    if operator[0] == ">":
        return Between(low=value, low_open=operator == ">")
    if operator[0] == "<":
        return Between(high=value, high_open=operator == "<")
    return OneOf((value,))


def _items(clause: str, text: str) -> list[str]:
    """Split at the commas that are not in quotes."""
    items, place = [], 0
    while place < len(text):
        match = _LISTED.match(text, place)
        if match is None or not match[1]:
            raise ConditionError(f"The condition {clause!r} has a list that cannot be read. {_FORMS}")
        items.append(match[1])
        place = match.end()
    if not items or text.endswith(","):
        raise ConditionError(
            f"The condition {clause!r} lists no value{' after the last comma' * bool(items)}. {_FORMS}"
        )
    return items


def _value(clause: str, column: ColumnTransform, text: str) -> Any:
    """Turn text into a number, a time, or the level of the column that it stands for."""
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'"
    if not text:
        raise ConditionError(f"The condition {clause!r} names no value. {_FORMS}")
    if isinstance(column, NumericColumn):
        number = to_number(column.name, text[1:-1] if quoted else text, column.number_dtype)
        zone = "UTC" if "," in column.number_dtype else None  # what `to_number` counts from
        return pd.Timestamp(number, unit="s", tz=zone) if column.number_dtype.startswith("datetime64") else number
    levels = _shown(column)
    for wanted in (text, text[1:-1]) if quoted else (text,):  # a level may hold the quotes itself
        same = [level for level in levels if str(level) == wanted]
        same += [level for level in levels if isinstance(level, bool) and str(level).lower() == wanted.lower()]
        if same:
            return same[0]
    try:
        number = float(text)
    except ValueError:
        return text[1:-1] if quoted else text
    equal = [level for level in levels if isinstance(level, (int, float)) and not isinstance(level, bool)]
    equal = equal or [level for level in levels if isinstance(level, bool)]  # 1 is True where nothing else is a number
    return next((level for level in equal if level == number), number if equal else text)


def _shown(column: DiscreteColumn) -> list[Any]:
    """List what a row can hold in a column of levels, missing values left out."""
    return [*column.levels, *([OTHER] if column.other else [])]


def _as_levels(column: DiscreteColumn, predicate: Predicate, *, invert: bool) -> OneOf:
    """Name the levels that a predicate allows; the inverse leaves missing values out too, as SQL does."""
    shown: list[Any] = [*_shown(column), *([None] if column.null else [])]
    allowed = [value for value, share in zip(shown, column.cover(predicate), strict=True) if share > 0]
    return OneOf(tuple(v for v in shown if v not in allowed and v is not None) if invert else tuple(allowed))


def _both(first: Predicate, second: Predicate) -> Predicate:
    """Return what satisfies both predicates."""
    if isinstance(first, Between) and isinstance(second, Between):
        low, low_open = max(_lows(first), _lows(second), key=lambda end: (end[0] is not None, *end))
        high, high_open = min(_highs(first), _highs(second), key=lambda end: (end[0] is None, end[0], not end[1]))
        return Between(low, high, low_open, high_open)
    one, other = (first, second) if isinstance(first, OneOf) else (second, first)
    assert isinstance(one, OneOf)
    return OneOf(tuple(value for value in one.values if _holds(value, other)))


def _lows(range_: Between) -> tuple[Any, bool]:
    return range_.low, range_.low_open


def _highs(range_: Between) -> tuple[Any, bool]:
    return range_.high, range_.high_open


def _holds(value: Any, predicate: Predicate) -> bool:
    """Whether a value satisfies a predicate; a missing one is in no range."""
    if isinstance(predicate, OneOf):
        return value in predicate.values
    if value is None:
        return False
    low, high = predicate.low, predicate.high
    above = low is None or value > low or (value == low and not predicate.low_open)
    return above and (high is None or value < high or (value == high and not predicate.high_open))


def _is_empty(predicate: Predicate) -> bool:
    if isinstance(predicate, OneOf):
        return not predicate.values
    low, high = predicate.low, predicate.high
    if low is None or high is None:
        return False
    return bool(low > high or (low == high and (predicate.low_open or predicate.high_open)))
