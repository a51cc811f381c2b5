r"""From a table under rules to one whose columns can be learned freely, and back.

Three kinds of rules are kept by construction: a computed column is left out and computed after sampling; columns
whose combinations are fixed become *one* column of levels, the combinations as JSON text; a range narrows the
bounds of its column. All of it is row-local and public, the same for every row, and spends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from privsynth._reading import as_part, combination_codes, read_numbers, whole_seconds
from privsynth._rule_check import formula_order, narrowed
from privsynth.errors import DataError
from privsynth.kinds import Boolean, Categorical, Continuous, Datetime
from privsynth.rules import FixedCombinations, Formula, Range
from privsynth.schema import Schema
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.columns import ColumnTransform, DiscreteColumn
from privsynth.transforms.predicates import Predicate
from privsynth.transforms.values import limits, number_dtype, to_number, written


@dataclass(frozen=True, eq=False)
class Reshape:
    """How a table is learned under the rules of its schema.

    Parameters
    ----------
    original : Schema
        All columns of the table, and the rules.
    """

    original: Schema

    @cached_property
    def joints(self) -> dict[str, FixedCombinations]:
        """The rule behind each column of combinations, by that column's name."""
        joints: dict[str, FixedCombinations] = {}
        for rule in self.original.rules:
            if isinstance(rule, FixedCombinations):
                name = " + ".join(rule.columns)
                while name in self.original or name in joints:
                    name += "+"
                joints[name] = rule
        return joints

    @cached_property
    def formulas(self) -> dict[str, Formula]:
        """The formula of each computed column, in the order of computation."""
        return {rule.column: rule for rule in formula_order(self.original.rules)}

    @cached_property
    def schema(self) -> Schema:
        """The columns that are learned, in order."""
        columns: dict[str, Any] = {}
        for name, column in self.original.items():
            place = self.place(name)
            if place == name:
                columns[name] = self.domain(name) if isinstance(column, (Continuous, Datetime)) else column
            elif place is not None and place not in columns:
                columns[place] = self._joint_column(self.joints[place])
        return Schema(columns)

    def domain(self, name: str) -> Any:
        """Return a numeric or time column with the bounds that ranges leave it."""
        ranges = [r for r in self.original.rules if isinstance(r, Range) and r.column == name]
        return narrowed(self.original[name], ranges)

    def numbers(self, frame: pd.DataFrame, name: str) -> FloatArray:
        """Return a column of original rows as numbers."""
        return read_numbers(frame[name], self.original[name])

    def place(self, name: str) -> str | None:
        """Return the learned column that holds column `name`; None for a computed one."""
        if name in self.formulas:
            return None
        return next((joint for joint, rule in self.joints.items() if name in rule.columns), name)

    def forward(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the private rows as they are learned."""
        if not self.joints and not self.formulas:
            return frame
        columns = {
            name: self._combined(frame, self.joints[name]) if name in self.joints else frame[name]
            for name in self.schema
        }
        return pd.DataFrame(columns, index=frame.index)

    def check(self, columns: tuple[ColumnTransform, ...]) -> None:
        """Raise `DataError` where no combination was released."""
        for column in columns:
            if column.name in self.joints and isinstance(column, DiscreteColumn) and not column.levels:
                raise DataError(
                    f"No combination of {', '.join(map(repr, self.joints[column.name].columns))} is frequent enough to "
                    "be released. Declare the allowed combinations in the rule, raise epsilon, or drop the rule."
                )

    def _joint_column(self, rule: FixedCombinations) -> Categorical:
        nullable = all(self.original[name].nullable for name in rule.columns)  # type: ignore[union-attr]
        if rule.allowed is None:
            return Categorical(nullable=nullable)
        some = [c for c in rule.allowed if set(c) != {None}]
        return Categorical(tuple(dict.fromkeys(self._text(rule, c) for c in some)), nullable=nullable)

    def _text(self, rule: FixedCombinations, values: Any) -> str:
        """Return a combination as the level that stands for it."""
        parts = [self._cut(name, value) for name, value in zip(rule.columns, values, strict=True)]
        return json.dumps(parts, ensure_ascii=False)

    def _cut(self, name: str, value: Any) -> Any:
        """Return a part as it is learned: numbers within the declared bounds, booleans as such."""
        column = self.original[name]
        if isinstance(column, Boolean) and value is not None:
            return bool(value)
        if isinstance(column, Continuous) and isinstance(value, (int, float)):
            bounds = self.domain(name)
            value = value if bounds.decimals is None else round(value, bounds.decimals)
            value = value if bounds.low is None else max(value, bounds.low)
            value = value if bounds.high is None else min(value, bounds.high)
            return as_part(value)
        return value

    def _combined(self, frame: pd.DataFrame, rule: FixedCombinations) -> pd.Series:
        """Return each row's combination as text; missing where all of it is, or where it has no level of its own."""
        parts = [combination_codes(frame[name]) for name in rule.columns]
        place = np.zeros(len(frame), dtype=np.int64)
        combinations: list[tuple[Any, ...]] = [()]
        for codes, levels in parts:  # a column at a time, so that the numbers stay small
            together, first = pd.factorize(place * len(levels) + codes)
            combinations = [(*combinations[k // len(levels)], levels[k % len(levels)]) for k in first]
            place = together.astype(np.int64)
        joint = self._joint_column(rule)
        texts = np.empty(len(combinations) + 1, dtype=object)
        for i, values in enumerate(combinations):
            text = self._text(rule, values)
            lacks_own = joint.categories is not None and text not in joint.categories
            missing = set(values) == {None} or (lacks_own and joint.nullable and None in values)
            texts[i] = None if missing else text
        return pd.Series(texts[place], index=frame.index, dtype=object)


@dataclass(frozen=True, eq=False)
class JointColumn:
    """A fitted column of combinations, seen as its parts.

    Parameters
    ----------
    parts : tuple of DiscreteColumn
        The columns that it stands for.
    index : ndarray of int of shape (n_cells, n_parts)
        The cell of each part in each combination; of combinations that were not released, -1.
    """

    parts: tuple[DiscreteColumn, ...]
    index: IntArray

    @classmethod
    def of(
        cls, column: DiscreteColumn, rule: FixedCombinations, schema: Schema, dtypes: Mapping[str, str]
    ) -> JointColumn:
        """Split the levels of a fitted column; raises ValueError where they are no combinations of `rule`."""
        rows = [json.loads(level) for level in column.levels]
        if any(not isinstance(row, list) or len(row) != len(rule.columns) for row in rows):
            raise ValueError("levels of a column of combinations are no combinations")
        index = np.full((column.n_cells, len(rule.columns)), -1, dtype=np.int64)
        parts = []
        for j, name in enumerate(rule.columns):
            values = [row[j] for row in rows]
            part = _part(name, schema[name], dtypes[name], values, null=column.null or None in values)
            known = {level: cell for cell, level in enumerate(part.levels)}
            missing = part.extra.get("null", -1)
            index[: len(rows), j] = [missing if value is None else known[value] for value in values]
            if "null" in column.extra:
                index[column.extra["null"], j] = missing
            parts.append(part)
        return cls(tuple(parts), index)

    @property
    def released(self) -> FloatArray:
        """1 for the cells that are combinations, 0 for that of unreleased ones, shape (n_cells,)."""
        return np.asarray((self.index >= 0).all(axis=1), dtype=np.float64)

    def cover(self, name: str, predicate: Predicate) -> FloatArray:
        """Return 1 for the combinations whose part `name` satisfies `predicate`, else 0."""
        j = [part.name for part in self.parts].index(name)
        return np.asarray(self.parts[j].cover(predicate)[self.index[:, j]] * self.released)

    def decode(self, cells: IntArray, rng: np.random.Generator) -> dict[str, pd.Series]:
        """Return the columns that `cells` stand for."""
        return {part.name: part.decode(self.index[cells, j], rng) for j, part in enumerate(self.parts)}


def _part(name: str, column: Any, dtype: str, values: list[Any], *, null: bool) -> DiscreteColumn:
    """Return a part as a column of its own: declared levels where there are any, else those released."""
    if isinstance(column, Boolean):
        return DiscreteColumn(name, dtype, (False, True), other=False, null=null)
    declared = column.categories if isinstance(column, Categorical) else None
    levels = declared or tuple(dict.fromkeys(v for v in values if v is not None))
    ordered = isinstance(column, Categorical) and column.ordered
    return DiscreteColumn(name, dtype, levels, other=False, null=null, ordered=ordered)


def compute(rule: Formula, frame: pd.DataFrame, reshape: Reshape, dtype: str) -> tuple[pd.Series, Any]:
    """Return a computed column in its data type, and in which rows the result is one that the column can hold.

    Rows in which it is not hold anything.
    """
    column = reshape.domain(rule.column)
    values = rounded(rule.compute(frame, reshape.original), column)
    low, high = ends(column, dtype)
    missing = np.isnan(values)
    good = np.where(missing, column.nullable, (values >= low) & (values <= high))
    inside = np.where(good, values, np.nan if column.nullable else np.clip(0.0, low, high))
    return written(inside, dtype, column), good.astype(bool)


def ends(column: Any, dtype: str) -> tuple[float, float]:
    """Return the least and greatest number that a column can hold, by its bounds and data type."""
    lowest, highest = limits(dtype)
    kind = number_dtype(column, dtype)
    low = lowest if column.low is None else max(lowest, to_number(column.kind, column.low, kind))
    high = highest if column.high is None else min(highest, to_number(column.kind, column.high, kind))
    return low, high


def rounded(values: FloatArray, column: Any) -> FloatArray:
    """Round numbers to what a column holds: its decimals, or whole seconds, minutes or days."""
    if isinstance(column, Datetime):
        step = whole_seconds(column)
        return np.rint(values) if step == 1 else np.floor(np.rint(values) / step) * step
    return values if column.decimals is None else np.round(values, column.decimals) + 0.0
