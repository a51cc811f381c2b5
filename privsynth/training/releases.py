"""The noisy tables of a fit, kept with the model: what a synthetic table can be compared with at no cost.

All of it was released through a mechanism, so it may be kept, shown and compared with (post-processing).  1-way
counts are the encoder's; here are the columns by class and the pairs, the smallest first where all would be too many.
Without privacy nothing is kept: exact tables are no releases.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privsynth.errors import PrivacyError
from privsynth.privacy.certificate import Certificate
from privsynth.privacy.mechanisms import Release
from privsynth.training.measure import CLASS_COLUMNS, CONDITION_PAIRS, PAIRS, Measurements, Pair, PairTable
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.layout import Layout

MOST_CELLS = 1 << 18  # a megabyte
PREFIX = "releases."
_LABELS = {"condition_pairs": (CONDITION_PAIRS, CLASS_COLUMNS), "pairs": (PAIRS,), "class_columns": (CLASS_COLUMNS,)}


@dataclass(frozen=True, eq=False)
class Counts:
    """Released counts of some pairs, or of every column, by class.

    Parameters
    ----------
    pairs : list of (int, int)
        Positions of columns; empty for counts of single columns.
    values : ndarray
        Blocks (n_classes, size of the first, size of the second), one after the other and flat; for single columns
        (n_classes, width), flat.
    scale : float
        Standard deviation of the noise in each, of pairs whose relative noise is 1.
    n_classes : int
    n_measured : int
        How many pairs were released; more than are kept where they would take too much room.
    groups : ndarray of int of shape (n_classes, width), optional
        The groups of cells that were counted (`PairTable.groups`); their counts are spread over the cells.
    relative : ndarray of float of shape (n_pairs,), optional
        Noise of each pair relative to `scale` (`PairTable.relative`).
    """

    pairs: list[Pair]
    values: FloatArray
    scale: float
    n_classes: int
    n_measured: int = 0
    groups: IntArray | None = None
    relative: FloatArray | None = None

    def scale_of(self, number: int) -> float:
        """Return the standard deviation of the noise in the counts of one of `pairs`."""
        return self.scale if self.relative is None else self.scale * float(self.relative[number])

    def blocks(self, layout: Layout) -> Iterator[tuple[Pair, FloatArray]]:
        """Yield each pair and its counts, shape (n_classes, size of the first, size of the second)."""
        start = 0
        for i, j in self.pairs:
            shape = (self.n_classes, layout.spans[i].size, layout.spans[j].size)
            stop = start + int(np.prod(shape))
            yield (i, j), self.values[start:stop].reshape(shape)
            start = stop


@dataclass(frozen=True, eq=False)
class Releases:
    """What a fit has released beside its 1-way counts.

    Parameters
    ----------
    split : int or None
        Position of the column whose cells are the classes.
    tables : dict of str to Counts
        "class_columns", "condition_pairs" and "pairs", where they were measured.
    """

    split: int | None
    tables: dict[str, Counts] = field(default_factory=dict)

    @classmethod
    def of(cls, measurements: Measurements, layout: Layout, *, room: int | None = None) -> Releases:
        """Keep the tables of `measurements`, which are releases, `room` cells of them at most."""
        tables, room = {}, MOST_CELLS if room is None else room
        if (columns := measurements.class_columns) is not None and columns.values.size <= room:
            tables["class_columns"] = Counts([], columns.values.ravel(), columns.scale, len(columns.values))
            room -= columns.values.size
        for name in ("condition_pairs", "pairs"):
            table = getattr(measurements, name)
            if table is not None:
                tables[name] = _kept(table, layout, room)
                room -= tables[name].values.size
        return cls(measurements.split, tables)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a JSON-able dict, and the counts as tensors by name."""
        facts = {
            name: {"pairs": [list(p) for p in t.pairs], "scale": t.scale, "classes": t.n_classes, "of": t.n_measured}
            | ({} if t.groups is None else {"groups": t.groups.tolist()})
            | ({} if t.relative is None else {"relative": t.relative.tolist()})
            for name, t in self.tables.items()
        }
        return facts, {PREFIX + name: table.values.astype(np.float32) for name, table in self.tables.items()}

    @classmethod
    def from_parts(
        cls,
        facts: dict[str, Any] | None,
        tensors: dict[str, Any],
        layout: Layout,
        split: int | None,
        certificate: Certificate,
        *,
        most: int = MOST_CELLS,
    ) -> Releases | None:
        """Read `to_parts` back; None where nothing was kept.

        Raises
        ------
        ValueError, KeyError, TypeError
            For what no fit writes.
        PrivacyError
            For noise that the certificate does not list.
        """
        if facts is None:  # no privacy, or a file of before releases were kept
            return None
        tables = {}
        for name, fact in facts.items():
            values = np.asarray(tensors[PREFIX + name], dtype=np.float64)
            scale, n_classes = float(fact["scale"]), int(fact["classes"])
            pairs = [(int(i), int(j)) for i, j in fact["pairs"]]
            by_class = 1 if split is None else layout.spans[split].size
            if n_classes not in (1, by_class) or values.ndim != 1 or int(fact["of"]) < len(pairs):
                raise ValueError("releases of other classes than the model's")
            known = len(layout.spans)
            if len(set(pairs)) < len(pairs) or not all(0 <= i < j < known for i, j in pairs):
                raise ValueError("releases of pairs that are none")
            single = name == "class_columns"
            size = layout.width if single else sum(_size(pair, layout) for pair in pairs)
            if bool(pairs) == single or len(values) != n_classes * size or len(values) > most:
                raise ValueError("releases and columns do not fit each other")
            if not certificate.lists(scale, *_LABELS[name]):
                raise PrivacyError(
                    f"The model holds {name} with noise {scale:.4g}, which its certificate does not list."
                )
            groups = _groups_of(fact.get("groups"), n_classes, layout)
            relative = _relative_of(fact.get("relative"), len(pairs), int(fact["of"]))
            tables[name] = Counts(pairs, values, scale, n_classes, int(fact["of"]), groups, relative)
        return cls(split, tables)

    def to_measurements(self, one_way: Release, layout: Layout) -> Measurements:
        """Return what `of` was made from; complete where there was room for everything."""
        columns = self.tables.get("class_columns")
        by_class = None
        if columns is not None:
            by_class = Release(columns.values.reshape(columns.n_classes, layout.width), columns.scale)
        pairs = {name: _spread(self.tables.get(name), layout) for name in ("condition_pairs", "pairs")}
        return Measurements(self.split, one_way, by_class, pairs["condition_pairs"], pairs["pairs"])


def _spread(counts: Counts | None, layout: Layout) -> PairTable | None:
    """Return counts of pairs as a table over all cells."""
    if counts is None:
        return None
    values = np.zeros((counts.n_classes, layout.width, layout.width), dtype=np.float32)
    for (i, j), block in counts.blocks(layout):
        values[:, layout.spans[i].slice, layout.spans[j].slice] = block
    return PairTable(counts.pairs, values, counts.scale, counts.groups, counts.relative)


def _groups_of(numbers: Any, n_classes: int, layout: Layout) -> IntArray | None:
    """Read the groups of cells; raises for what no fit writes: they are numbered through, column by column."""
    if numbers is None:
        return None
    groups = np.asarray(numbers, dtype=np.int64)
    if groups.shape != (n_classes, layout.width):
        raise ValueError("groups of other cells")
    for row in groups:
        ends = [sorted(set(row[span.slice].tolist())) for span in layout.spans]
        if list(itertools.chain.from_iterable(ends)) != list(range(int(row.max()) + 1)):
            raise ValueError("groups that are not numbered through")
        if any(int(row[span.start]) != numbered[0] for span, numbered in zip(layout.spans, ends, strict=True)):
            raise ValueError("groups that do not begin with the first cell")
    return groups


def _relative_of(given: Any, n_kept: int, n_measured: int) -> FloatArray | None:
    """Read relative noise; raises for what no fit writes: the pairs of a fit cost together what equal noise costs."""
    if given is None:
        return None
    relative = np.asarray(given, dtype=np.float64)
    if relative.shape != (n_kept,) or not (np.isfinite(relative) & (relative > 0)).all():
        raise ValueError("relative noise that is none")
    cost = float((relative**-2.0).sum())
    if cost > n_measured * (1 + 1e-6) or (n_kept == n_measured and cost < n_measured * (1 - 1e-6)):
        raise ValueError("relative noise that costs other than its certificate says")
    return relative


def _size(pair: Pair, layout: Layout) -> int:
    return layout.spans[pair[0]].size * layout.spans[pair[1]].size


def _kept(table: PairTable, layout: Layout, room: int) -> Counts:
    """Return the counts of as many pairs as there is room for."""
    n_classes = len(table.values)
    order = sorted(table.pairs, key=lambda pair: _size(pair, layout))
    sizes = np.cumsum([n_classes * _size(pair, layout) for pair in order])
    kept: Sequence[Pair] = sorted(order[: int(np.searchsorted(sizes, room, side="right"))])
    blocks = [table.values[:, layout.spans[i].slice, layout.spans[j].slice].ravel() for i, j in kept]
    values = np.concatenate(blocks) if blocks else np.zeros(0)
    noise = table.noise
    relative = None if table.relative is None else np.array([noise[pair] for pair in kept])
    return Counts(
        list(kept), values.astype(np.float64), table.scale, n_classes, len(table.pairs), table.groups, relative
    )
