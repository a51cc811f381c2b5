"""A frame of conditions, one for each row that is to be drawn: read, and met in the values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from privsynth.errors import ConditionError
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.columns import ColumnTransform, DiscreteColumn, NumericColumn
from privsynth.transforms.predicates import OneOf, Predicate, as_predicate
from privsynth.transforms.values import to_number


@dataclass(frozen=True, eq=False)
class Demands:
    """What the rows demand of one column.

    Parameters
    ----------
    predicates : list of Predicate
        The distinct demands.
    which : ndarray of int of shape (n_rows,)
        The one that each row has.
    """

    predicates: list[Predicate]
    which: IntArray

    def points(self, column: ColumnTransform) -> FloatArray | None:
        """Return the numbers that are demanded, in steps, NaN being missing; None where any demand is another."""
        if not isinstance(column, NumericColumn):
            return None
        values = [p.values[0] if isinstance(p, OneOf) and len(p.values) == 1 else ... for p in self.predicates]
        if ... in values:
            return None
        dtype = column.number_dtype
        numbers = [np.nan if value is None else to_number(column.name, value, dtype) for value in values]
        return np.array(numbers, dtype=np.float64) / column.step


def read_demands(conditions: pd.DataFrame, n_rows: int | None) -> dict[str, Demands]:
    """Read a frame of conditions.

    Raises
    ------
    ConditionError
        When `n_rows` is another number, or columns have one name, or cells hold several values.
    """
    if n_rows is not None and n_rows != len(conditions):
        raise ConditionError(f"conditions has {len(conditions)} rows and n_rows is {n_rows}. Leave n_rows out.")
    twice = sorted({str(name) for name in conditions.columns[conditions.columns.duplicated()]})
    if twice:
        raise ConditionError(f"conditions names columns more than once: {twice}. Keep one of each.")
    demands = {}
    for name, column in conditions.reset_index(drop=True).items():
        try:
            which = column.groupby(column, dropna=False, sort=False, observed=True).ngroup().to_numpy()
        except TypeError as error:
            raise ConditionError(
                f"A DataFrame of conditions holds one value a column and row ({error}). Use a dict for lists or ranges."
            ) from error
        _, first = np.unique(which, return_index=True)
        demands[str(name)] = Demands([as_predicate(str(name), value) for value in column.iloc[first]], which)
    return demands


def decode_each(
    column: ColumnTransform,
    cells: IntArray,
    demands: Demands | None,
    points: FloatArray | None,
    rng: np.random.Generator,
) -> pd.Series:
    """Return a value for each of `cells`, as each row demands; `points` are what `demands` has as such."""
    if demands is None or (isinstance(column, DiscreteColumn) and not column.cell):  # a cell is a level
        return column.decode(cells, rng)
    if isinstance(column, NumericColumn) and points is not None:
        return column.write(points[demands.which])
    order = np.argsort(demands.which, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(demands.which))[:-1])
    parts = [column.decode(cells[rows], rng, p) for rows, p in zip(groups, demands.predicates, strict=True)]
    return pd.concat(parts, ignore_index=True).iloc[np.argsort(order)].reset_index(drop=True)
