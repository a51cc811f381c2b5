"""Queries that are settled before a table is read: which cells, pairs and boxes are counted.

They come from a schema that says everything, or from another party's release. Neither depends on the rows that are
counted here, so all that is left to do is count: every label of the budget is a table, and nothing is found out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from privsynth.privacy.budget import Budget
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.schema import Schema
from privsynth.training.measure import Pair, measure
from privsynth.training.partitions import Partition, measure_partitions
from privsynth.training.plan import ROUNDING, SIZE_SHARE, compare_delta, plan_answers
from privsynth.training.tables import Tables
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.columns import ColumnTransform
from privsynth.transforms.encoder import count_cells
from privsynth.transforms.reshape import Reshape
from privsynth.transforms.units import limit_rows


@dataclass(frozen=True, eq=False)
class Questions:
    """What is counted.

    Parameters
    ----------
    schema : Schema
        All columns.
    columns : tuple of ColumnTransform
        The learned ones, and their cells.
    split : int or None
        Position of the column whose cells are the classes.
    conditions : tuple of int
        Positions of further condition columns.
    labels : tuple of str
        Which tables are measured.
    pairs : list of (int, int), optional
        The pairs that are counted by class; all where they are not given.
    partitions : tuple of Partition
        Boxes that are counted.
    groups : ndarray of int of shape (n_classes, width), optional
        The groups of cells that pairs are counted in; single cells where they are not given.
    relative : ndarray of float of shape (n_pairs,), optional
        Noise of each of `pairs` relative to the others; alike where it is not given.
    """

    schema: Schema
    columns: tuple[ColumnTransform, ...]
    split: int | None
    conditions: tuple[int, ...]
    labels: tuple[str, ...]
    pairs: list[Pair] | None = None
    partitions: tuple[Partition, ...] = ()
    groups: IntArray | None = None
    relative: FloatArray | None = None

    def answer(
        self, frame: pd.DataFrame, schema: Schema, undeclared: set[str], budget: Budget, mechanisms: Mechanisms
    ) -> Tables:
        """Count, and release the counts; `schema` and `undeclared` of the table say nothing more."""
        frame, persons = limit_rows(frame, self.schema, budget, mechanisms)
        n_rows = mechanisms.size(len(frame), epsilon=(budget.epsilon or 1.0) * SIZE_SHARE)
        compare_delta(budget, n_rows, persons)
        plan_answers(self.labels, len(self.columns), budget, n_rows, mechanisms)
        frame = Reshape(self.schema).forward(frame)
        encoder = count_cells(frame, self.columns, mechanisms)
        codes = encoder.transform(frame)
        measurements = measure(
            codes, encoder.layout, one_way=encoder.one_way, split=self.split, conditions=self.conditions,
            mechanisms=mechanisms, chosen=self.pairs, groups=self.groups, relative=self.relative,
        )  # fmt: skip
        boxes = None
        if self.partitions:
            n_classes = 1 if self.split is None else encoder.layout.spans[self.split].size
            boxes = measure_partitions(
                codes, list(self.partitions), split=self.split, n_classes=n_classes, mechanisms=mechanisms
            )
        mechanisms.settle_rounding(ROUNDING, epsilon=budget.epsilon or math.inf)
        return Tables(n_rows, self.schema, encoder, self.conditions, measurements, persons, boxes)


def questions_of(tables: Tables) -> Questions:
    """Return what another table's releases are counts of."""
    found = tables.measurements
    return Questions(
        tables.schema, tables.encoder.columns, found.split, tables.conditions, tuple(tables.labels),
        None if found.pairs is None else list(found.pairs.pairs),
        () if tables.partitions is None else tuple(tables.partitions.partitions),
        None if found.pairs is None else found.pairs.groups,
        None if found.pairs is None else found.pairs.relative,
    )  # fmt: skip
