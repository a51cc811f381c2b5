"""What is public about a table: kinds, domains and bounds of its columns.

A schema is *declared*: its contents cost no privacy budget, so nothing in it may be read off the private
rows. Without one, `fit` takes only names and data types as public and discovers the rest privately.
`Schema.infer` reads values and says so: it is for exploration and for public tables.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import PrivsynthWarning, SchemaError
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
from privsynth.rules import Rule

__all__ = ["Boolean", "Categorical", "Column", "Continuous", "Datetime", "Identifier", "Schema", "resolve_schema"]


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
        for name, column in self._columns.items():
            if not isinstance(column, tuple(KINDS.values())):
                raise SchemaError(
                    f"Column {name!r} must be declared as one of {', '.join(k.__name__ for k in KINDS.values())}. "
                    f"Got {column!r}."
                )

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        lines = [f"    {name!r}: {column!r}," for name, column in self._columns.items()]
        return "\n".join(["Schema({", *lines, "})"])

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
            raise SchemaError(
                f"These columns cannot be learned from: {'; '.join(problems)}. Convert them to numbers, strings, "
                "booleans, categories or datetimes, or drop them."
            )
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
        """Return JSON, a column a line."""
        lines = [
            f"  {json.dumps(name)}: {json.dumps({'kind': c.kind, **_compact(c)})}" for name, c in self._columns.items()
        ]
        return '{"columns": {\n' + ",\n".join(lines) + "\n}}\n"

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Read `to_json` back, or SDV's metadata JSON (V1 and single-table METADATA_SPEC V1)."""
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise ValueError("not an object")
            if "tables" in data:
                if len(data["tables"]) != 1:
                    raise ValueError("metadata of several tables")
                data = next(iter(data["tables"].values()))
            columns = data["columns"]
            key = data.get("primary_key")
            return cls(
                {
                    str(name): _column_from_sdv(entry, name == key) if "sdtype" in entry else _column_from_dict(entry)
                    for name, entry in columns.items()
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SchemaError(
                f"This is neither a privsynth schema nor SDV metadata ({type(error).__name__}: {error}). "
                'A schema looks like {"columns": {"age": {"kind": "continuous", "low": 0, "high": 120}}}.'
            ) from error

    @classmethod
    def read(cls, path: str | Path) -> Schema:
        """Read a JSON file: a privsynth schema or SDV metadata."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            detail = getattr(error, "strerror", None) or "it is no text"
            raise SchemaError(f"The schema file {path} cannot be read: {detail}. Check the path.") from error
        return cls.from_json(text)


def resolve_schema(declared: Schema | Mapping[str, Column] | str | Path | None, frame: pd.DataFrame) -> Schema:
    """Complete a declaration with what the data types of `frame` say.

    Raises
    ------
    SchemaError
        When a declared column is missing from the frame or does not fit its data type.
    """
    if isinstance(declared, (str, Path)):
        declared = Schema.read(declared)
    if declared is not None and not isinstance(declared, Mapping):
        raise SchemaError(f"A schema is a Schema, a mapping of names to columns, or a path. Got {declared!r}.")
    declared = declared if isinstance(declared, Schema) else Schema(declared)
    missing = [name for name in declared if name not in frame.columns]
    if missing:
        raise SchemaError(
            f"The schema declares columns that the table lacks: {missing}. The table has {list(frame.columns)}."
        )
    rest = [name for name in frame.columns if name not in declared]
    found = Schema.from_dtypes(frame[rest])
    columns: dict[str, Column] = {name: declared[name] if name in declared else found[name] for name in frame.columns}
    for name, column in columns.items():
        dtype = frame.dtypes[name]
        remedy = misfit(column, dtype)
        if (
            isinstance(column, Boolean)
            and pd.api.types.is_object_dtype(dtype)
            and pd.api.types.infer_dtype(frame[name]) == "string"
        ):
            remedy = "It holds strings: convert it to booleans first, or declare it Categorical."
        if remedy:
            kind = type(column).__name__
            raise SchemaError(f"Column {name!r} is declared {kind}, but has dtype {dtype}. {remedy}")
        if isinstance(column, Continuous) and pd.api.types.is_integer_dtype(dtype):
            nullable = bool(pd.api.types.is_extension_array_dtype(dtype))
            columns[name] = replace(column, decimals=0, nullable=nullable)
    return declared.with_columns(columns)


def _compact(column: Column) -> dict[str, Any]:
    """Return the fields that differ from their defaults."""
    defaults = {f.name: f.default for f in fields(column)}
    return {k: v for k, v in asdict(column).items() if v != defaults[k]}


def _column_from_dict(entry: dict[str, Any]) -> Column:
    entry = dict(entry)
    kind = KINDS[entry.pop("kind")]
    if isinstance(entry.get("categories"), list):
        entry["categories"] = tuple(entry["categories"])
    return kind(**entry)


def _column_from_sdv(entry: dict[str, Any], is_key: bool) -> Column:
    """Map SDV's sdtype; personal data (names, e-mails, ...) becomes an identifier."""
    sdtype = entry["sdtype"]
    if sdtype == "numerical" and not is_key:
        whole = str(entry.get("computer_representation", "")).lower().startswith(("int", "uint"))
        return Continuous(decimals=0 if whole else None)
    simple: dict[str, Column] = {
        "categorical": Categorical(),
        "boolean": Boolean(nullable=True),
        "datetime": Datetime(),
    }
    return Identifier() if is_key else simple.get(sdtype, Identifier())
