"""From a table and its schema to cells: every column fitted on releases, in one fixed order of spends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import DataError
from privsynth.privacy.mechanisms import Mechanisms, Release
from privsynth.schema import Boolean, Categorical, Continuous, Datetime, Identifier, Schema
from privsynth.transforms.cells import Cells, FloatArray, IntArray
from privsynth.transforms.columns import NAMES_OTHER, ColumnTransform, DiscreteColumn, NumericColumn, column_from_dict
from privsynth.transforms.continuous import BOUNDS, MAX_CELLS, ROUNDS, leaf_columns, starting_edges, unit_columns
from privsynth.transforms.discover import discover_values
from privsynth.transforms.layout import Layout
from privsynth.transforms.values import to_levels, to_numbers

VALUES, ONE_WAY = "levels and atoms", "1-way counts"
_RARE = 0.02
__all__ = ["BOUNDS", "MAX_CELLS", "ONE_WAY", "ROUNDS", "VALUES", "TableEncoder", "fit_encoder", "needs"]


def needs(schema: Schema) -> dict[str, int]:
    """Return how many columns take part in each discovery: what a budget plan has to provide for.

    >>> needs(Schema({"age": Continuous(0, 120, decimals=0), "city": Categorical()}))
    {'bounds': 0, 'levels and atoms': 2, 'leaves': 1, '1-way counts': 2}
    """
    modelled = [c for c in schema.values() if not isinstance(c, Identifier)]
    numeric = [c for c in modelled if isinstance(c, (Continuous, Datetime))]
    open_levels = [c for c in modelled if isinstance(c, Categorical) and c.categories is None]
    return {
        BOUNDS: sum(c.low is None or c.high is None for c in numeric),
        VALUES: len(open_levels) + sum(isinstance(c, Continuous) for c in numeric),
        "leaves": len(numeric),
        ONE_WAY: len(modelled),
    }


@dataclass(frozen=True, eq=False)
class TableEncoder:
    """The fitted columns of a table and their released 1-way counts.

    Parameters
    ----------
    columns : tuple of ColumnTransform
        One for each modelled column, in table order.
    one_way : Release
        Noisy count of every cell, shape (layout.width,).
    """

    columns: tuple[ColumnTransform, ...]
    one_way: Release

    @property
    def layout(self) -> Layout:
        """Who owns which cells."""
        return Layout.of({column.name: column.n_cells for column in self.columns})

    def transform(self, frame: pd.DataFrame) -> IntArray:
        """Return the cell of every value, shape (n_rows, n_columns), counted within each column."""
        return np.stack([column.encode(frame[column.name]) for column in self.columns], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        counts = {"values": self.one_way.values.tolist(), "scale": self.one_way.scale}
        return {"columns": [column.to_dict() for column in self.columns], "one_way": counts}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TableEncoder:
        """Read `to_dict` back; raises ValueError when parts do not fit."""
        columns = tuple(column_from_dict(entry) for entry in data["columns"])
        release = Release(np.asarray(data["one_way"]["values"], dtype=np.float64), float(data["one_way"]["scale"]))
        encoder = cls(columns, release)
        if not columns or release.values.shape != (encoder.layout.width,):
            raise ValueError("counts and columns do not fit each other")
        return encoder


def fit_encoder(frame: pd.DataFrame, schema: Schema, mechanisms: Mechanisms, *, n_rows: int) -> TableEncoder:
    """Fit the columns of `frame` on private releases.

    Parameters
    ----------
    frame : DataFrame
        Private rows; read through `mechanisms` only.
    schema : Schema
        A declaration of every column (`resolve_schema`).
    mechanisms : Mechanisms
        With the labels of this module allotted where `needs` asks for them.
    n_rows : int
        The released row count.

    Raises
    ------
    DataError
        When the releases show no two values in a column that was not declared.
    """
    modelled = {n: c for n, c in schema.items() if not isinstance(c, Identifier)}
    if not modelled:
        raise DataError("All columns are identifiers: there is nothing to learn. Declare another kind for one.")
    numbers = {n: to_numbers(frame[n]) for n, c in modelled.items() if isinstance(c, (Continuous, Datetime))}
    edges = starting_edges(modelled, numbers, {n: str(frame.dtypes[n]) for n in numbers}, mechanisms)
    units = unit_columns(frame, modelled, edges)
    large = {n: v for n, v in numbers.items() if n not in units}
    found, noise = _frequent_values(frame, modelled, large, mechanisms)
    columns: dict[str, ColumnTransform] = {}
    for name, column in modelled.items():
        if isinstance(column, (Categorical, Boolean)):
            columns[name] = _discrete(name, column, str(frame.dtypes[name]), found.get(name))
    columns.update(units)
    columns.update(leaf_columns(frame, modelled, large, edges, found, noise, mechanisms, n_rows))
    fixed = {n for n, column in modelled.items() if _is_declared(column)}
    return _count_cells(frame, [columns[name] for name in modelled], mechanisms, fixed, n_rows)


def _is_declared(column: Any) -> bool:
    """Whether all values of a column are public: both bounds, or the levels."""
    if isinstance(column, (Continuous, Datetime)):
        return column.low is not None and column.high is not None
    return isinstance(column, Boolean) or column.categories is not None


def _frequent_values(
    frame: pd.DataFrame, schema: dict[str, Any], numbers: dict[str, FloatArray], mechanisms: Mechanisms
) -> tuple[dict[str, tuple[list[Any], FloatArray]], float]:
    """Release the frequent levels of undeclared categoricals and the frequent numbers."""
    asked: dict[str, tuple[Any, Any]] = {}
    for name, column in schema.items():
        if isinstance(column, Categorical) and column.categories is None:
            codes, levels = to_levels(frame[name])
            asked[name] = (levels, np.bincount(codes[codes >= 0], minlength=len(levels)))
        elif isinstance(column, Continuous) and name in numbers:
            known = numbers[name][~np.isnan(numbers[name])]
            asked[name] = np.unique(known + 0.0, return_counts=True)
    return discover_values(asked, mechanisms, VALUES) if asked else ({}, 0.0)


def _discrete(name: str, column: Any, dtype: str, found: tuple[list[Any], FloatArray] | None) -> DiscreteColumn:
    """Fit a column of levels, declared or found."""
    if isinstance(column, Boolean):
        return DiscreteColumn(name, dtype, (False, True), other=False, null=column.nullable)
    if column.categories is not None:
        return DiscreteColumn(name, dtype, column.categories, other=False, null=column.nullable, ordered=column.ordered)
    levels = tuple(found[0]) if found else ()
    names_other = dtype in NAMES_OTHER or not levels  # a number has no "__other__": the most frequent level stands in
    return DiscreteColumn(name, dtype, levels, other=names_other, null=column.nullable)


def _count_cells(
    frame: pd.DataFrame, columns: list[ColumnTransform], mechanisms: Mechanisms, fixed: set[str], n_rows: int
) -> TableEncoder:
    """Release the 1-way counts; drop missing, other and (unless `fixed`) outermost cells that noise could fill."""
    exact = [np.bincount(c.encode(frame[c.name]), minlength=c.n_cells).astype(np.int64) for c in columns]
    release = mechanisms.counts(ONE_WAY, np.concatenate(exact), sensitivity=float(np.sqrt(len(columns))))
    parts = np.split(release.values, np.cumsum([c.n_cells for c in columns])[:-1])
    kept, counts = [], []
    for column, noisy in zip(columns, parts, strict=True):
        for extra in ("null", "other"):
            cell = column.extra.get(extra)
            if cell is not None and column.n_cells > 1 and noisy[cell] <= 3 * release.scale:
                noisy = np.delete(noisy, cell)
                column = column.without(extra, fallback=int(np.argmax(noisy)))
        if column.name not in fixed:
            column, noisy = _trim(column, noisy, 3 * release.scale)
        kept.append(column)
        counts.append(noisy)
    if 3 * release.scale > _RARE * n_rows:  # noise could hide levels that matter: not told from a constant
        fixed = fixed | {column.name for column in kept if isinstance(column, DiscreteColumn) and not column.other}
    _refuse_empty(kept, counts, release.scale, mechanisms, fixed)
    return TableEncoder(tuple(kept), Release(np.concatenate(counts), release.scale))


def _trim(column: ColumnTransform, noisy: FloatArray, least: float) -> tuple[ColumnTransform, FloatArray]:
    """Drop outermost cells of one grid point each that noise alone could fill."""
    if not isinstance(column, NumericColumn) or column.cells.n_cells != len(column.cells.low):
        return column, noisy
    cells, k = column.cells, column.cells.n_cells
    heavy = np.flatnonzero(noisy[:k] > least)
    if len(heavy) == 0 or (cells.low == cells.high).any():
        return column, noisy
    keep = np.arange(heavy[0], heavy[-1] + 1)
    trimmed = Cells(cells.low[keep], cells.high[keep], cells.mass[keep], np.arange(len(keep)), cells.decimals)
    null = noisy[k:]
    fallback = int(np.clip(column.fallback - keep[0], 0, len(keep) - 1))
    return NumericColumn(column.name, column.dtype, trimmed, column.null, fallback), np.concatenate([noisy[keep], null])


def _refuse_empty(
    columns: list[ColumnTransform], counts: list[FloatArray], scale: float, mechanisms: Mechanisms, fixed: set[str]
) -> None:
    """Raise for columns in which the releases show a single thing; see docs/privacy.md on refusals."""
    flat = [c for c in columns if c.n_cells == 1]
    missing = [c.name for c, n in zip(columns, counts, strict=True) if _only_missing(c, n, scale)]
    flat = [c for c in flat if c.name not in missing]
    hidden = [c.name for c in flat if c.extra.get("other") == 0]
    constant = [c.name for c in flat if c.name not in hidden and _is_constant(c, fixed)]
    noise = " that rises above the noise at this epsilon" if mechanisms.private else ""
    problems = [
        f"column {missing} has no value but missing ones" if missing else "",
        f"column {hidden} has no level{noise} (free text or keys?)" if hidden else "",
        f"column {constant} has no second value{noise}" if constant else "",
    ]
    if any(problems):
        raise DataError(
            f"Nothing can be learned: {'; '.join(filter(None, problems))}. Drop such a column, declare what is "
            "public of it in the schema (Identifier() for keys and free text, its levels or bounds otherwise), or "
            "raise epsilon."
        )


def _only_missing(column: ColumnTransform, counts: FloatArray, scale: float) -> bool:
    """Whether all but the cell of missing values could be noise."""
    null = column.extra.get("null")
    return null is not None and np.delete(counts, null).sum() <= 3 * scale * np.sqrt(column.n_cells)


def _is_constant(column: ColumnTransform, fixed: set[str]) -> bool:
    """Whether a column of one cell shows one value; a range too small to be cut in two is none.

    In a small table one level may stand for a column whose others are rare: it is learned as that level.
    """
    if isinstance(column, DiscreteColumn):
        return column.name not in fixed
    cells = column.cells
    atom = (cells.low == cells.high) | ((cells.decimals is not None) & (cells.high - cells.low <= 1))
    return bool(cells.mass[atom].sum() > cells.mass.sum() / 2)
