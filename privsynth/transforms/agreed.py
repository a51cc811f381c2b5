"""Cells that tables of several owners have in common: those that follow from a schema alone, without any rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from privsynth.errors import SchemaError
from privsynth.kinds import Boolean, Categorical, Datetime, Identifier
from privsynth.schema import Schema
from privsynth.transforms.columns import ColumnTransform, DiscreteColumn
from privsynth.transforms.continuous import MAX_CELLS, unit_column
from privsynth.transforms.encoder import MAX_LEVEL_CELLS
from privsynth.transforms.values import number_dtype, step_of, to_number


def public_columns(schema: Schema, dtypes: Mapping[str, Any]) -> tuple[ColumnTransform, ...]:
    """Return the learned columns of a schema that says everything about them: a cell a level, or a cell a number.

    Raises
    ------
    SchemaError
        Where cells would have to be found in rows: with all columns, and what each lacks.
    """
    columns: list[ColumnTransform] = []
    lacking: list[str] = []
    for name, column in schema.items():
        if isinstance(column, Identifier):
            continue
        lack = _lack(column)
        made = None if lack else _cells_of(name, column, str(dtypes.get(name, "object")))
        if made is None:
            lacking.append(f"{name!r} ({lack or f'more than {MAX_CELLS} numbers between its bounds'})")
        else:
            columns.append(made)
    if lacking:
        raise SchemaError(
            "The cells of these columns do not follow from the schema, and every party would find others in its own "
            f"rows: {', '.join(lacking)}. Declare what is missing; or let one party go first (first=True, --first) "
            "and give its release to the others (like=, --like)."
        )
    return tuple(columns)


def _lack(column: Any) -> str:
    """Return what a declaration leaves to be found out, or nothing."""
    if isinstance(column, Boolean):
        return ""
    if isinstance(column, Categorical):
        if column.categories is None:
            return "no categories"
        return f"more than {MAX_LEVEL_CELLS} categories" if len(column.categories) > MAX_LEVEL_CELLS else ""
    lacks = [] if column.low is not None and column.high is not None else ["no bounds"]
    if isinstance(column, Datetime):
        lacks += ["no resolution"] if column.resolution is None and column.format is None else []
    elif column.decimals is None:
        lacks.append("no decimals")
    return ", ".join(lacks)


def _cells_of(name: str, column: Any, dtype: str) -> ColumnTransform | None:
    """Return a column of public cells; None for numbers of which there are too many for a cell each."""
    if isinstance(column, Boolean):
        return DiscreteColumn(name, dtype, (False, True), other=False, null=column.nullable)
    if isinstance(column, Categorical):
        levels = column.categories or ()
        return DiscreteColumn(name, dtype, levels, other=False, null=column.nullable, ordered=column.ordered)
    kind, step = number_dtype(column, dtype), step_of(column, dtype)
    ends = np.array([to_number(name, end, kind) / step for end in (column.low, column.high)])
    return unit_column(name, dtype, ends, column)
