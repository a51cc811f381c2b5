"""All that a table let out for a generator to be fitted to: one table's noisy counts, or those of several added up.

A generator is fitted to `Tables` and to nothing else (DP-SGD and the final choice, where they run, read rows on top).
Tables of several owners add up cell by cell, if the cells and the queries are the same: counts are sums over rows, and
variances of independent noise add.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth.errors import DataError
from privsynth.privacy.mechanisms import Release
from privsynth.schema import Schema
from privsynth.training.measure import CLASS_COLUMNS, CONDITION_PAIRS, PAIRS, Measurements, PairTable
from privsynth.training.partitions import PARTITIONS, Partition, PartitionTable
from privsynth.transforms.columns import ColumnTransform, NumericColumn
from privsynth.transforms.encoder import ONE_WAY, TableEncoder
from privsynth.transforms.simplex import project_to_simplex
from privsynth.transforms.units import Persons

_CROWD = 0.1
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Tables:
    """Releases of a table, or of several.

    Parameters
    ----------
    n_rows : int
        The released row count.
    schema : Schema
        All columns, with what was found out about them.
    encoder : TableEncoder
        Cells of the learned columns, and their counts.
    conditions : tuple of int
        Positions of condition columns beside the one that splits.
    measurements : Measurements
        Tables of pairs and classes.
    persons : Persons, optional
        Where persons are protected.
    partitions : PartitionTable, optional
        Counts of boxes, where they are settled before the generator is fitted.
    """

    n_rows: int
    schema: Schema
    encoder: TableEncoder
    conditions: tuple[int, ...]
    measurements: Measurements
    persons: Persons | None = None
    partitions: PartitionTable | None = None

    @property
    def labels(self) -> list[str]:
        """What was measured, by the names in the certificate."""
        found = self.measurements
        asked: list[tuple[str, Any]] = [
            (CLASS_COLUMNS, found.class_columns), (CONDITION_PAIRS, found.condition_pairs), (PAIRS, found.pairs),
            (PARTITIONS, self.partitions),
        ]  # fmt: skip
        return [ONE_WAY, *(label for label, table in asked if table is not None)]

    def without_empty_cells(self) -> Tables:
        """Return the tables without the cells of missing and of other values that noise alone could fill.

        A single fit drops them before it measures pairs. Where several tables are added up, one may have what another
        has not, so that the sum decides.
        """
        counts, kept, columns = self.encoder.one_way, [], []
        for span, column in zip(self.encoder.layout.spans, self.encoder.columns, strict=True):
            keep, noisy = np.ones(span.size, dtype=bool), counts.values[span.slice]
            for extra in ("null", "other"):
                cell = column.extra.get(extra)
                if cell is not None and keep.sum() > 1 and noisy[cell] <= 3 * counts.scale + 0.5:  # .5: rounding
                    keep[cell] = False
                    column = column.without(extra, fallback=int(np.argmax(noisy[keep])))
            columns.append(column)
            kept.append(keep)
        return self if all(map(np.all, kept)) else self._restricted(columns, kept)

    def _restricted(self, columns: Sequence[ColumnTransform], kept: list[Mask]) -> Tables:
        """Return the tables of some of the cells."""
        cells, found = np.concatenate(kept), self.measurements
        classes = np.ones(1, dtype=bool) if found.split is None else kept[found.split]
        one_way = Release(found.one_way.values[cells], found.one_way.scale)
        by_class, partitions = found.class_columns, self.partitions
        if by_class is not None:
            by_class = Release(by_class.values[classes][:, cells], by_class.scale)
        if partitions is not None:
            trees = [_with_cuts(partition, kept) for partition in partitions.partitions]
            partitions = PartitionTable(trees, [v[classes] for v in partitions.values], partitions.scale)
        measurements = Measurements(
            found.split, one_way, by_class, _some_cells(found.condition_pairs, cells, np.ones(1, dtype=bool)),
            _some_cells(found.pairs, cells, classes),
        )  # fmt: skip
        encoder = TableEncoder(tuple(columns), one_way)
        return replace(self, encoder=encoder, measurements=measurements, partitions=partitions)


def _some_cells(table: PairTable | None, cells: Mask, classes: Mask) -> PairTable | None:
    if table is None:
        return None
    groups = table.groups
    if groups is not None:  # cells that can be dropped are groups of their own: no sum loses a part
        groups = np.stack([np.unique(row, return_inverse=True)[1] for row in groups[classes][:, cells]])
    values = table.values[classes][:, cells][:, :, cells]
    return PairTable(table.pairs, values, table.scale, groups, table.relative)


def _with_cuts(partition: Partition, kept: list[Mask]) -> Partition:
    """Return a partition whose cuts are numbers of kept cells."""
    cuts = [
        0 if j < 0 else max(0, int(kept[j][: cut + 1].sum()) - 1)
        for j, cut in zip(partition.column.tolist(), partition.cut.tolist(), strict=True)
    ]
    return replace(partition, cut=np.array(cuts, dtype=np.int64))


def add_up(parts: Sequence[Tables]) -> Tables:
    """Return the sums of several tables' counts, under their common cells and queries.

    Raises
    ------
    DataError
        When cells or queries differ; the message names the columns.
    """
    first = parts[0]
    for number, other in enumerate(parts[1:], start=2):
        if difference := _difference(first, other):
            raise DataError(
                f"Releases 1 and {number} do not answer the same questions: {difference}. Let one party release first, "
                "and the others with its release (like=, --like)."
            )
    found = [part.measurements for part in parts]
    one_way = _sum([table.one_way for table in found])
    measurements = Measurements(
        found[0].split, one_way,
        class_columns=_sum_of([table.class_columns for table in found]),
        condition_pairs=_sum_pairs([table.condition_pairs for table in found]),
        pairs=_sum_pairs([table.pairs for table in found]),
    )  # fmt: skip
    encoder = TableEncoder(first.encoder.columns, one_way)
    return Tables(
        sum(part.n_rows for part in parts), first.schema, encoder, first.conditions, measurements,
        _all_persons([part.persons for part in parts]), _sum_boxes([part.partitions for part in parts]),
    )  # fmt: skip


def crowded_columns(first: Tables, other: Tables) -> list[str]:
    """Return the columns whose ends do not hold what another table of the same cells has, by released counts.

    A tenth more of its rows are in the lowest, the highest or the cell of unreleased levels than of the first table's.
    """
    found, layout = [], first.encoder.layout
    for column, span in zip(first.encoder.columns, layout.spans, strict=True):
        ends = [column.extra["other"]] if "other" in column.extra else []
        if isinstance(column, NumericColumn) and column.cells.n_cells > 2:
            ends = [0, column.cells.n_cells - 1]
        shares = [project_to_simplex(tables.encoder.one_way.values[span.slice]) for tables in (first, other)]
        if any(shares[1][end] > shares[0][end] + _CROWD for end in ends):
            found.append(column.name)
    return found


def root_sum(scales: Sequence[float]) -> float:
    """Return the standard deviation of a sum of independent noise.

    >>> root_sum([3.0, 4.0])
    5.0
    """
    return math.hypot(*scales)


def _difference(one: Tables, other: Tables) -> str:
    """Say in which questions two releases differ; nothing where they do not."""
    names = [list(tables.schema) for tables in (one, other)]
    if names[0] != names[1]:
        return f"their columns are {names[0]} and {names[1]}"
    if declared := [name for name in one.schema if one.schema[name] != other.schema[name]]:
        return f"columns {declared} are not declared alike"
    if one.schema != other.schema:
        return "their schemas have other rules or another privacy unit"
    columns = zip(one.encoder.columns, other.encoder.columns, strict=True)
    if cut := [a.name for a, b in columns if a.to_dict() != b.to_dict()]:
        return f"columns {cut} are cut into other cells, or of another data type"
    if one.measurements.split != other.measurements.split or one.conditions != other.conditions:
        return "they have another target, or other condition columns"
    if one.labels != other.labels or _queries(one) != _queries(other):
        return "other tables were measured"
    return ""


def _queries(tables: Tables) -> list[Any]:
    """Return which pairs and boxes were counted."""
    found = tables.measurements
    pairs = [None if t is None else sorted(t.noise.items()) for t in (found.condition_pairs, found.pairs)]
    trees = [] if tables.partitions is None else tables.partitions.partitions
    groups = None if found.pairs is None or found.pairs.groups is None else found.pairs.groups.tolist()
    return [*pairs, groups, [[a.tolist() for a in (t.column, t.cut, t.children, t.box)] for t in trees]]


def _sum(releases: Sequence[Release]) -> Release:
    return Release(np.sum([r.values for r in releases], axis=0), root_sum([r.scale for r in releases]))


def _sum_of(releases: Sequence[Release | None]) -> Release | None:
    there = [release for release in releases if release is not None]
    return _sum(there) if there else None


def _sum_pairs(tables: Sequence[PairTable | None]) -> PairTable | None:
    there = [table for table in tables if table is not None]
    if not there:
        return None
    values: npt.NDArray[np.float32] = np.sum([t.values for t in there], axis=0, dtype=np.float32)
    return PairTable(there[0].pairs, values, root_sum([t.scale for t in there]), there[0].groups, there[0].relative)


def _sum_boxes(tables: Sequence[PartitionTable | None]) -> PartitionTable | None:
    there = [table for table in tables if table is not None]
    if not there:
        return None
    values = [np.sum(counts, axis=0) for counts in zip(*(t.values for t in there), strict=True)]
    return PartitionTable(there[0].partitions, values, root_sum([t.scale for t in there]))


def _all_persons(parts: Sequence[Persons | None]) -> Persons | None:
    """Return persons of all tables; one who is in several counts as several."""
    there = [persons for persons in parts if persons is not None]
    if not there:
        return None
    number = sum(persons.number for persons in there)
    shares = np.average([p.shares for p in there], axis=0, weights=[p.number for p in there])
    return Persons(there[0].column, number, tuple(shares.tolist()))
