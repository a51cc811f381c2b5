"""What is public about a table: kinds, domains and bounds of its columns.

A schema is *declared*: its contents cost no privacy budget, so nothing in it may be read off the private
rows. Without one, `fit` takes only names and data types as public and discovers the rest privately.
`Schema.infer` reads values and says so: it is for exploration and for public tables.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth._rule_check import rule_problems
from privsynth.errors import ParameterError, PrivsynthWarning, SchemaError
from privsynth.kinds import (
    KINDS,
    Boolean,
    Categorical,
    Column,
    Continuous,
    Datetime,
    Identifier,
    column_of,
    misfit,
)
from privsynth.rules import RULES, Rule
from privsynth.schema_html import as_html, as_text
from privsynth.schema_json import Parts, read_schema, write_schema

__all__ = [
    "Boolean",
    "Categorical",
    "Column",
    "Continuous",
    "Datetime",
    "Identifier",
    "Schema",
    "as_schema",
    "resolve_schema",
]


class Schema(Mapping[str, Column]):
    """The declared columns of a table, by name; those left out are taken from their data types.

    Parameters
    ----------
    columns : mapping of str to Column
        What is public about each column.
    rules : sequence of Rule
        What holds in every row (`privsynth.rules`); synthetic rows satisfy all of it.
    privacy_unit : str, optional
        The column that names the person (customer, patient) whom a row belongs to. The guarantee is then for
        adding or removing a person with all rows.
    max_rows_per_unit : int, optional
        How many rows of a person are learned from, at most. Undeclared, it is chosen privately.

    Examples
    --------
    >>> schema = Schema({"age": Continuous(low=17, high=90, decimals=0), "sex": Categorical(("F", "M"))})
    >>> Schema.from_json(schema.to_json()) == schema
    True
    """

    def __init__(
        self,
        columns: Mapping[str, Column] | None = None,
        *,
        rules: Sequence[Rule] = (),
        privacy_unit: str | None = None,
        max_rows_per_unit: int | None = None,
    ) -> None:
        self._columns = dict(columns or {})
        self.rules = tuple(rules)
        self.privacy_unit = privacy_unit
        self.max_rows_per_unit = max_rows_per_unit
        self._check()

    def _check(self) -> None:
        """Raise `SchemaError` with everything that is wrong, as far as it can be told without a table."""
        kinds = ", ".join(k.__name__ for k in KINDS.values())
        problems = [
            f"Column {name!r} must be declared as one of {kinds}. Got {column!r}"
            for name, column in self._columns.items()
            if not isinstance(column, tuple(KINDS.values()))
        ]
        problems += [
            f"A rule must be one of those in privsynth.rules. Got {rule!r}"
            for rule in self.rules
            if type(rule) not in RULES.values()
        ]
        unit, most = self.privacy_unit, self.max_rows_per_unit
        if unit is not None and (not isinstance(unit, str) or not unit):
            problems.append(f"privacy_unit must be the name of a column. Got {unit!r}")
        if most is not None:
            if isinstance(most, bool) or not isinstance(most, Integral) or most < 1:
                problems.append(f"max_rows_per_unit must be an integer >= 1. Got {most!r}")
            else:
                self.max_rows_per_unit = int(most)
            if unit is None:
                problems.append("max_rows_per_unit needs a privacy_unit: name the column of the person")
        if not problems:
            problems = rule_problems(self.rules, self._columns)
        _raise_together(problems)

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Schema):
            return dict(self) == dict(other) and self._terms == other._terms
        return isinstance(other, Mapping) and dict(self) == dict(other) and self._terms == Schema()._terms

    def __hash__(self) -> int:
        return hash((frozenset(self._columns.items()), self._terms))

    def __repr__(self) -> str:
        return as_text(self._parts)

    def _repr_html_(self) -> str:
        return as_html(self._parts)

    @property
    def _terms(self) -> tuple[Any, ...]:
        """All but the columns."""
        return self.rules, self.privacy_unit, self.max_rows_per_unit

    @property
    def _parts(self) -> Parts:
        return Parts(self._columns, *self._terms)

    def declare(self, **columns: Column) -> Schema:
        """Return a schema with `columns` added or replaced.

        >>> Schema().declare(fraud=Boolean())["fraud"]
        Boolean(nullable=False)
        """
        return self.with_columns({**self._columns, **columns})

    def with_columns(self, columns: Mapping[str, Column]) -> Schema:
        """Return a schema of other columns under the same rules and privacy unit."""
        return Schema(
            columns, rules=self.rules, privacy_unit=self.privacy_unit, max_rows_per_unit=self.max_rows_per_unit
        )

    def with_rules(self, *rules: Rule) -> Schema:
        """Return a schema with `rules` (`privsynth.rules`) added to its own."""
        return Schema(
            self._columns,
            rules=tuple(dict.fromkeys((*self.rules, *rules))),
            privacy_unit=self.privacy_unit,
            max_rows_per_unit=self.max_rows_per_unit,
        )

    def with_unit(self, column: str | None, max_rows: int | None = None) -> Schema:
        """Return a schema whose guarantee is for the persons named by `column`, with all of their rows."""
        return Schema(self._columns, rules=self.rules, privacy_unit=column, max_rows_per_unit=max_rows)

    def check(self, frame: pd.DataFrame) -> list[str]:
        """Return everything that keeps `frame` from being learned under this schema; names and data types only.

        >>> Schema({"age": Continuous(), "sex": Boolean()}).check(pd.DataFrame({"age": ["x"]}))  # doctest: +ELLIPSIS
        ["The schema declares columns that the table lacks: ['sex']...", "Column 'age' is declared Continuous, ..."]
        """
        return _sentences(_resolve(self, frame)[1])

    @classmethod
    def from_dtypes(cls, frame: pd.DataFrame) -> Schema:
        """Return what names and data types alone say; values are not looked at."""
        columns, problems = {}, []
        for name, dtype in frame.dtypes.items():
            column = column_of(dtype)
            if column is None:
                problems.append(f"{name!r} has dtype {dtype}")
            else:
                columns[str(name)] = column
        if problems:
            raise SchemaError(_unlearnable(problems))
        return cls(columns)

    @classmethod
    def infer(cls, frame: pd.DataFrame) -> Schema:
        """Read kinds, levels and bounds off the values: NOT private, for public tables and exploration.

        The exact minimum of a column is some person's value: publish a model fitted with such a schema
        only if the table's domains are public anyway.
        """
        warnings.warn(
            "Schema.infer reads exact bounds and levels off the rows, outside any privacy budget. Check that "
            "all it found is public before you fit with it.",
            PrivsynthWarning,
            stacklevel=2,
        )
        columns: dict[str, Column] = {}
        for name, column in cls.from_dtypes(frame).items():
            values = frame[name].dropna()
            nullable = bool(frame[name].isna().any())
            if isinstance(column, Continuous) and len(values):
                exact = values.astype("float64")
                decimals = next((d for d in range(7) if np.allclose(exact, exact.round(d), rtol=0)), None)
                low, high = float(exact.min()), float(exact.max())
                bounds: dict[str, Any] = {"low": low, "high": high} if low < high else {"low": low, "high": low + 1}
                column = replace(column, **bounds, decimals=decimals, nullable=nullable)
            elif isinstance(column, Categorical) and column.categories is None and len(values):
                unique = bool(values.is_unique) and len(values) > 50
                column = Identifier() if unique else Categorical(tuple(sorted(set(values), key=str)), nullable=nullable)
            elif isinstance(column, Datetime) and len(values) and values.min() < values.max():
                column = Datetime(values.min().isoformat(), values.max().isoformat(), nullable)
            columns[name] = column
        return cls(columns)

    def to_json(self) -> str:
        """Return JSON, a column a line and a rule a line."""
        return write_schema(self._parts)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Read `to_json` back, or SDV's metadata JSON (V1 and single-table METADATA_SPEC V1).

        Of SDV's constraints those that are rules here are kept; a warning names the others.
        """
        parts = read_schema(text)
        try:
            return cls(
                parts.columns,
                rules=parts.rules,
                privacy_unit=parts.privacy_unit,
                max_rows_per_unit=parts.max_rows_per_unit,
            )
        except ParameterError as error:
            raise SchemaError(f"The schema cannot be used: {error}") from error

    @classmethod
    def read(cls, path: str | Path) -> Schema:
        """Read a JSON file: a privsynth schema or SDV metadata."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            detail = getattr(error, "strerror", None) or "it is no text"
            raise SchemaError(f"The schema file {path} cannot be read: {detail}. Check the path.") from error
        return cls.from_json(text)


def as_schema(declared: Schema | Mapping[str, Column] | str | Path | None) -> Schema:
    """Return what was declared as a schema; None declares nothing.

    Raises
    ------
    SchemaError
        For anything that is none, and for a file that cannot be read.
    """
    if isinstance(declared, (str, Path)):
        declared = Schema.read(declared)
    if declared is not None and not isinstance(declared, Mapping):
        raise SchemaError(f"A schema is a Schema, a mapping of names to columns, or a path. Got {declared!r}.")
    return declared if isinstance(declared, Schema) else Schema(declared)


def resolve_schema(declared: Schema | Mapping[str, Column] | str | Path | None, frame: pd.DataFrame) -> Schema:
    """Complete a declaration with what the data types of `frame` say.

    Raises
    ------
    SchemaError
        When a declared column is missing from the frame, does not fit its data type, or a rule cannot be kept: with
        all problems at once.
    """
    declared = as_schema(declared)
    columns, problems = _resolve(declared, frame)
    _raise_together(problems)
    return declared.with_columns(columns)


def _resolve(declared: Schema, frame: pd.DataFrame) -> tuple[dict[str, Column], list[str]]:
    """Return the columns of `frame` as declared or as their data types say, and all problems on the way."""
    columns, problems = _resolve_columns(declared, frame)
    problems += rule_problems(declared.rules, {**declared, **columns}, table=list(frame.columns))
    unit = declared.privacy_unit
    if unit is not None and unit not in frame.columns:
        problems.append(f"The privacy_unit {unit!r} is no column of the table. It has {list(frame.columns)}")
    return columns, problems


def _resolve_columns(declared: Schema, frame: pd.DataFrame) -> tuple[dict[str, Column], list[str]]:
    """Return the columns that fit, and what is wrong with the others."""
    problems: list[str] = []
    missing = [name for name in declared if name not in frame.columns]
    if missing:
        problems.append(
            f"The schema declares columns that the table lacks: {missing}. The table has {list(frame.columns)}"
        )
    columns: dict[str, Column] = {}
    for name in frame.columns:
        dtype = frame.dtypes[name]
        column = declared[name] if name in declared else column_of(dtype)
        if column is None:
            note = " (Complex data not supported)" if pd.api.types.is_complex_dtype(dtype) else ""
            problems.append(_unlearnable([f"{name!r} has dtype {dtype}{note}"]))
            continue
        remedy = misfit(column, dtype)
        if (
            isinstance(column, Boolean)
            and pd.api.types.is_object_dtype(dtype)
            and pd.api.types.infer_dtype(frame[name]) == "string"
        ):
            remedy = "It holds strings: convert it to booleans first, or declare it Categorical."
        if remedy:
            problems.append(f"Column {name!r} is declared {type(column).__name__}, but has dtype {dtype}. {remedy}")
        if isinstance(column, Continuous) and pd.api.types.is_integer_dtype(dtype):
            column = replace(column, decimals=0, nullable=bool(pd.api.types.is_extension_array_dtype(dtype)))
        columns[name] = column
    return columns, problems


def _unlearnable(found: list[str]) -> str:
    return (
        f"These columns cannot be learned from: {'; '.join(found)}. Convert them to numbers, strings, "
        "booleans, categories or datetimes, or drop them."
    )


def _raise_together(problems: list[str]) -> None:
    """Raise all problems as one error, if there are any."""
    said = _sentences(problems)
    if len(said) == 1:
        raise SchemaError(said[0])
    if said:
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(said, start=1))
        raise SchemaError(f"There are {len(said)} problems:\n{listed}")


def _sentences(problems: list[str]) -> list[str]:
    named = [problem.split(" ", 1)[0].isalpha() for problem in problems]  # a parameter's name keeps its case
    return [(p[0].upper() if n else p[0]) + p[1:].rstrip(".") + "." for p, n in zip(problems, named, strict=True)]
