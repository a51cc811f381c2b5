"""From a table and its schema to cells: every column fitted on releases, in one fixed order of spends."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import DataError, PrivsynthWarning
from privsynth.privacy.mechanisms import Mechanisms, Release
from privsynth.schema import Boolean, Categorical, Continuous, Datetime, Identifier, Schema
from privsynth.transforms.cells import Cells, FloatArray, IntArray
from privsynth.transforms.columns import (
    NAMES_OTHER,
    OTHER,
    ColumnTransform,
    DiscreteColumn,
    NumericColumn,
)
from privsynth.transforms.continuous import BOUNDS, MAX_CELLS, ROUNDS, leaf_columns, starting_edges, unit_columns
from privsynth.transforms.discover import FINE
from privsynth.transforms.ends import occupied_values
from privsynth.transforms.inspection import INSPECTION, Question
from privsynth.transforms.layout import Layout
from privsynth.transforms.levels import (
    LEVELS,
    MAX_LEVEL_CELLS,
    RARER,
    VALUES,
    frequent_values,
    has_open_shares,
    has_rarer_levels,
)
from privsynth.transforms.stored import column_from_dict
from privsynth.transforms.values import to_steps

ONE_WAY = "1-way counts"
__all__ = [
    "BOUNDS",
    "LEVELS",
    "MAX_CELLS",
    "ONE_WAY",
    "RARER",
    "ROUNDS",
    "VALUES",
    "TableEncoder",
    "count_cells",
    "fit_encoder",
    "needs",
]


def needs(schema: Schema, asked: Mapping[str, Question]) -> dict[str, int]:
    """Return how many columns take part in each discovery: what a budget plan has to provide for.

    Text columns that may turn out to be numbers or dates need a plan for these, whatever they turn out to be: nothing
    after the row count may be planned by what was released.

    >>> needs(Schema({"age": Continuous(0, 120, decimals=0), "city": Categorical()}), {})
    {'bounds': 0, 'levels and atoms': 1, 'rarer levels': 1, 'leaves': 1, '1-way counts': 2, 'forms of values': 0}
    """
    texts = int(any(question.about == "form" for question in asked.values()))
    modelled = [c for c in schema.values() if not isinstance(c, Identifier)]
    numeric = [c for c in modelled if isinstance(c, (Continuous, Datetime))]
    open_levels = [c for c in modelled if isinstance(c, Categorical) and has_open_shares(c)]
    n_open = len(open_levels) + sum(isinstance(c, Continuous) for c in numeric)
    twice = sum(map(has_rarer_levels, modelled))
    return {
        BOUNDS: max(texts, sum(c.low is None or c.high is None for c in numeric)),
        VALUES: max(texts, n_open - twice),
        RARER: twice,
        "leaves": max(texts, len(numeric)),
        ONE_WAY: len(modelled),
        INSPECTION: sum(question.squared_sensitivity for question in asked.values()),
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
        codes = np.empty((len(frame), len(self.columns)), dtype=np.int64, order="F")  # it is read column by column
        for j, column in enumerate(self.columns):
            codes[:, j] = column.encode(frame[column.name])
        return codes

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
        if len({column.name for column in columns}) < len(columns) or not 0 <= release.scale < np.inf:
            raise ValueError("columns of one name, or counts with impossible noise")
        if not columns or release.values.shape != (encoder.layout.width,):
            raise ValueError("counts and columns do not fit each other")
        return encoder


def fit_encoder(
    frame: pd.DataFrame,
    schema: Schema,
    mechanisms: Mechanisms,
    *,
    n_rows: int,
    octaves: int = FINE,
    n_cells: int = MAX_CELLS,
    keep: bool = False,
    told: Set[str] = frozenset(),
) -> TableEncoder:
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
    octaves : {FINE, COARSE}
        How finely undeclared bounds are looked for.
    n_cells : int
        Cells a number at most, where it has more values than `MAX_CELLS`.
    keep : bool
        Keep the cells of missing and of other values, though this table may have none: another may.
    told : set of str
        Target and condition columns, which are taken to have two values (`discover_bounds`).

    Raises
    ------
    DataError
        When there is no column to learn.
    """
    modelled = {n: c for n, c in schema.items() if not isinstance(c, Identifier)}
    if not modelled:
        raise DataError("All columns are identifiers: there is nothing to learn. Declare another kind for one.")
    numbers = {n: to_steps(frame[n], c) for n, c in modelled.items() if isinstance(c, (Continuous, Datetime))}
    ranges, unseen = starting_edges(
        modelled, numbers, {n: str(frame.dtypes[n]) for n in numbers}, mechanisms, octaves=octaves, told=told
    )
    units = unit_columns(frame, modelled, ranges)
    large = {n: v for n, v in numbers.items() if n not in units}
    found, noise = frequent_values(frame, modelled, large, mechanisms, n_rows=n_rows)
    columns: dict[str, ColumnTransform] = {}
    for name, column in modelled.items():
        if isinstance(column, (Categorical, Boolean)):
            columns[name] = _discrete(name, column, str(frame.dtypes[name]), found.get(name), n_rows)
    columns.update(units)
    columns.update(leaf_columns(frame, modelled, large, ranges, found, noise, mechanisms, n_rows, most=n_cells))
    fixed = {n for n, column in modelled.items() if _is_declared(column)}
    return _count_cells(frame, [columns[name] for name in modelled], mechanisms, fixed, unseen, told=told, keep=keep)


def _is_declared(column: Any) -> bool:
    """Whether all values of a column are public: both bounds, or the levels."""
    if isinstance(column, (Continuous, Datetime)):
        return column.low is not None and column.high is not None
    return isinstance(column, Boolean) or column.categories is not None


def _discrete(
    name: str, column: Any, dtype: str, found: tuple[list[Any], FloatArray] | None, n_rows: int
) -> DiscreteColumn:
    """Fit a column of levels, declared or found; beyond `MAX_LEVEL_CELLS` the rarer ones share a cell."""
    if isinstance(column, Boolean):
        return DiscreteColumn(name, dtype, (False, True), other=False, null=column.nullable)
    ordered, null = column.ordered, column.nullable
    declared = column.categories
    levels, counts = (list(found[0]), found[1]) if found else ([], np.zeros(0))
    if OTHER in levels:  # rows that hold the token itself are told from no others
        counts = np.delete(counts, levels.index(OTHER))
        levels.remove(OTHER)
    if declared is not None and not has_open_shares(column):
        return DiscreteColumn(name, dtype, declared, other=False, null=null, ordered=ordered)
    if declared is None:
        names_other = dtype in NAMES_OTHER or not levels  # a number has no "__other__": the most frequent stands in
        if not levels and dtype.lower().startswith(("int", "uint")) and not null:
            levels, names_other = [0], False
        cell, mass = _shared_cells(np.arange(len(levels)), counts)
        return DiscreteColumn(
            name, dtype, tuple(levels), names_other, null, ordered, 0, cell, mass, column.other == "fake"
        )
    rank = {level: place for place, level in enumerate(levels)}
    order = np.array([rank.get(level, len(levels)) for level in declared])
    left = max(0.0, n_rows - counts.sum()) / max(1, len(declared) - len(levels))
    cell, mass = _shared_cells(order, np.append(counts, left)[order])
    rest = max(cell)
    return DiscreteColumn(name, dtype, declared, False, null, ordered, fallback=rest, cell=cell, mass=mass)


def _shared_cells(order: IntArray, counts: FloatArray) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return cells and masses of levels by rank: the most frequent have a cell each, the rest share one."""
    if len(order) <= MAX_LEVEL_CELLS:
        return (), ()
    cell = np.minimum(order, MAX_LEVEL_CELLS - 1)
    cell = np.unique(cell, return_inverse=True)[1]
    mass = np.clip(counts, 0, None) / max(1.0, float(np.clip(counts, 0, None).sum()))
    return tuple(cell.tolist()), tuple(mass.tolist())


def _count_cells(
    frame: pd.DataFrame,
    columns: list[ColumnTransform],
    mechanisms: Mechanisms,
    fixed: set[str],
    unseen: set[str],
    *,
    told: Set[str],
    keep: bool,
) -> TableEncoder:
    """Release the 1-way counts; drop missing, other and (unless `fixed`) outermost cells that noise could fill."""
    exact = [np.bincount(c.encode(frame[c.name]), minlength=c.n_cells).astype(np.int64) for c in columns]
    release = _one_way(exact, columns, mechanisms)
    parts = np.split(release.values, np.cumsum([c.n_cells for c in columns])[:-1])
    kept, counts = [], []
    for column, noisy in zip(columns, parts, strict=True):
        if column.name in unseen or _only_missing(column, noisy, release.scale):
            column, noisy = _nothing_known(column, noisy)
        else:
            for extra in () if keep else ("null", "other"):
                cell = column.extra.get(extra)
                if cell is not None and column.n_cells > 1 and noisy[cell] <= 3 * release.scale + 0.5:  # .5: rounding
                    noisy = np.delete(noisy, cell)
                    column = column.without(extra, fallback=int(np.argmax(noisy)))
            if column.name not in fixed:
                column, noisy = _trim(column, noisy, release.scale, two=column.name in told)
        kept.append(column)
        counts.append(noisy)
    if mechanisms.private and (note := _seen_little(kept, counts, fixed)):
        warnings.warn(note, PrivsynthWarning, stacklevel=6)
    return TableEncoder(tuple(kept), Release(np.concatenate(counts), release.scale))


def count_cells(frame: pd.DataFrame, columns: Sequence[ColumnTransform], mechanisms: Mechanisms) -> TableEncoder:
    """Release the 1-way counts of columns whose cells are settled."""
    exact = [np.bincount(c.encode(frame[c.name]), minlength=c.n_cells).astype(np.int64) for c in columns]
    return TableEncoder(tuple(columns), _one_way(exact, columns, mechanisms))


def _one_way(exact: list[IntArray], columns: Sequence[ColumnTransform], mechanisms: Mechanisms) -> Release:
    """Release the rows in each cell of each column."""
    return mechanisms.counts(ONE_WAY, np.concatenate(exact), sensitivity=float(np.sqrt(len(columns))))


def _nothing_known(column: ColumnTransform, noisy: FloatArray) -> tuple[ColumnTransform, FloatArray]:
    """Make a column missing throughout where it can be, for the releases show nothing else of it."""
    null = column.extra.get("null")
    if null is not None:
        return column, np.where(np.arange(len(noisy)) == null, max(1.0, noisy.sum()), 0.0)
    if isinstance(column, NumericColumn):
        zero = np.zeros(1)
        cells = Cells(zero, zero, np.ones(1), np.zeros(1, dtype=np.int64), 0)
        return replace(column, cells=cells, fallback=0), np.array([max(1.0, noisy.sum())])
    return column, noisy


def _trim(column: ColumnTransform, noisy: FloatArray, noise: float, *, two: bool) -> tuple[ColumnTransform, FloatArray]:
    """Drop outermost cells of one grid point each that noise could fill; with `two`, leave two at least."""
    if not isinstance(column, NumericColumn) or column.cells.n_cells != len(column.cells.low):
        return column, noisy
    cells, k = column.cells, column.cells.n_cells
    if (cells.low == cells.high).any():
        return column, noisy
    ends = occupied_values(cells.low, noisy[:k], noise, whole=cells.decimals == 0, two=two)
    if ends is None:
        return column, noisy
    first, last = ends
    keep = np.arange(first, last + 1)
    trimmed = Cells(cells.low[keep], cells.high[keep], cells.mass[keep], np.arange(len(keep)), cells.decimals)
    null = noisy[k:]
    fallback = int(np.clip(column.fallback - keep[0], 0, len(keep) - 1))
    return replace(column, cells=trimmed, fallback=fallback), np.concatenate([noisy[keep], null])


def _seen_little(columns: list[ColumnTransform], counts: list[FloatArray], fixed: set[str]) -> str:
    """Name the undeclared columns of which the releases show one thing at most, and what to do."""
    gone, hidden, single = [], [], []
    for column, noisy in zip(columns, counts, strict=True):
        if column.name in fixed or (noisy > 0).sum() > 1:
            continue
        cell = int(np.argmax(noisy))
        if cell == column.extra.get("null"):
            gone.append(column.name)
        elif cell == column.extra.get("other"):
            hidden.append(column.name)
        elif column.n_cells == 1 and _is_single(column):
            single.append(column.name)
    shown = [
        f"nothing but missing values in {gone}" if gone else "",
        f"no level in {hidden}, which becomes {OTHER!r} throughout" if hidden else "",
        f"a single value in {single}" if single else "",
    ]
    if not any(shown):
        return ""
    return (
        f"At this epsilon the releases show {'; '.join(filter(None, shown))}. If there is more to it, declare what is "
        "public of such a column in a Schema (levels, bounds; Identifier() for keys and free text), or raise epsilon."
    )


def _is_single(column: ColumnTransform) -> bool:
    """Whether a column of one cell is one value."""
    if isinstance(column, DiscreteColumn):
        return len(column.levels) == 1
    cells = column.cells
    held = cells.mass > 0
    width = cells.high - cells.low <= (0 if cells.decimals is None else 1)
    return bool(held.sum() == 1 and width[held].all())


def _only_missing(column: ColumnTransform, counts: FloatArray, scale: float) -> bool:
    """Whether all but the cell of missing values could be noise."""
    null = column.extra.get("null")
    return null is not None and np.delete(counts, null).sum() <= 0.5 + 3 * scale * np.sqrt(column.n_cells)
