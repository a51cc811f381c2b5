"""The second stage of a fit: partitions grown on the first stage's rows are released, and fitted too."""

from __future__ import annotations

import numpy as np

from privsynth.privacy.mechanisms import Mechanisms
from privsynth.training.loop import Trainer
from privsynth.training.partitions import PARTITIONS, PartitionTable, grow_partitions, measure_partitions
from privsynth.training.plan import Plan
from privsynth.transforms.cells import IntArray

_MODEL_ROWS = 50_000  # drawn to grow partitions on


def release_partitions(
    trainer: Trainer, codes: IntArray, plan: Plan, mechanisms: Mechanisms, rng: np.random.Generator
) -> PartitionTable | None:
    """Release partitions, if the plan allotted something to them.

    Parameters
    ----------
    trainer : Trainer
        Has fitted the measured tables.
    codes : ndarray of shape (n_rows, n_columns)
        Private cells, read through `mechanisms` only.
    """
    if not mechanisms.allows(PARTITIONS):
        return None
    layout, split = trainer.layout, trainer.critic.split
    if len(layout.spans) <= 2 + (split is not None):  # columns turned out to be identifiers: pairs tell all there is
        return None
    cells = trainer.mixture().draw(min(_MODEL_ROWS, 2 * plan.n_rows), rng)
    partitions = grow_partitions(cells, layout, split=split, n_boxes=plan.n_boxes, rng=rng)
    n_classes = len(trainer.critic.class_shares)
    return measure_partitions(codes, partitions, split=split, n_classes=n_classes, mechanisms=mechanisms)


def refine(trainer: Trainer, table: PartitionTable) -> None:
    """Go on fitting, against released partitions too."""
    trainer.critic.add(table)
    trainer.fit_measured(again=True)
