r"""Relations of higher order: partitions of the table, grown on rows of the model and measured on private ones.

A *partition* cuts the table into boxes of cells, each a product of intervals of a few columns, so that a row is in
exactly one box.  Trees grown on rows drawn from the generator find boxes where its columns hang together; how many
private rows of each class are in each box is released once.  Growing reads releases only and costs nothing; a row
adds one to one box of each partition in its class alone, so k partitions have L2 sensitivity sqrt(k), whatever
their order.  The generator's own expectation is exact: a sum over components of products of interval masses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor

from privsynth.privacy.mechanisms import Mechanisms
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.layout import Layout

PARTITIONS = "partitions by class"
N_PARTITIONS = 8
MOST_BOXES = 128
_LEAST_SHARE = 0.1  # a box holds at least this share of what it would on average
_COLUMNS_TRIED = 0.5  # at each cut: trees differ


@dataclass(frozen=True, eq=False)
class Partition:
    """Disjoint boxes that cover the table, as a tree of cuts.

    Parameters
    ----------
    column : ndarray of shape (n_nodes,)
        The column that a node cuts; -1 in a box.
    cut : ndarray of shape (n_nodes,)
        Cells up to this one go to the left child.
    children : ndarray of shape (n_nodes, 2)
        Nodes on the left and on the right.
    box : ndarray of shape (n_nodes,)
        Number of the box, -1 in a node that cuts.
    """

    column: IntArray
    cut: IntArray
    children: IntArray
    box: IntArray

    @property
    def n_boxes(self) -> int:
        """How many boxes there are."""
        return int(self.box.max()) + 1

    def assign(self, codes: IntArray) -> IntArray:
        """Return the number of each row's box, shape (n_rows,), for cells of shape (n_rows, n_columns)."""
        node = np.zeros(len(codes), dtype=np.int64)
        open_rows = np.flatnonzero(self.column[node] >= 0)
        while len(open_rows):
            at = node[open_rows]
            right = codes[open_rows, self.column[at]] > self.cut[at]
            node[open_rows] = self.children[at, right.astype(np.int64)]
            open_rows = open_rows[self.column[node[open_rows]] >= 0]
        return self.box[node]

    def intervals(self, layout: Layout) -> dict[int, FloatArray]:
        """Return by cut column which of its cells are in which box: 0 or 1, shape (n_cells, n_boxes)."""
        cut_columns = sorted({int(j) for j in self.column if j >= 0})
        inside = {j: np.zeros((layout.spans[j].size, self.n_boxes)) for j in cut_columns}
        bounds = {j: (0, layout.spans[j].size - 1) for j in cut_columns}
        stack = [(0, bounds)]
        while stack:
            node, limits = stack.pop()
            if self.column[node] < 0:
                for j, (low, high) in limits.items():
                    inside[j][low : high + 1, self.box[node]] = 1.0
                continue
            j, cut = int(self.column[node]), int(self.cut[node])
            left, right = self.children[node]
            stack.append((int(left), {**limits, j: (limits[j][0], min(limits[j][1], cut))}))
            stack.append((int(right), {**limits, j: (max(limits[j][0], cut + 1), limits[j][1])}))
        return inside


def grow_partitions(
    cells: IntArray, layout: Layout, *, split: int | None, n_boxes: int, rng: np.random.Generator
) -> list[Partition]:
    """Grow `N_PARTITIONS` trees on rows of the model; each explains another column (and the class) by the rest.

    Parameters
    ----------
    cells : ndarray of shape (n_rows, n_columns)
        Rows drawn from the generator, never private ones.
    split : int or None
        Position of the column whose cells are the classes: no tree cuts it.
    n_boxes : int
        How many boxes a partition may have.
    """
    others = np.array([j for j in range(len(layout.spans)) if j != split])
    explained = np.concatenate([rng.permutation(others) for _ in range(math.ceil(N_PARTITIONS / len(others)))])
    classes = np.zeros(len(cells), dtype=np.int64) if split is None else cells[:, split]
    partitions = []
    for j in explained[:N_PARTITIONS]:
        known = cells.astype(np.float32)
        known[:, [k for k in (j, split) if k is not None]] = 0.0
        tree = DecisionTreeClassifier(
            max_leaf_nodes=n_boxes,
            min_samples_leaf=max(1, round(_LEAST_SHARE * len(cells) / n_boxes)),
            max_features=_COLUMNS_TRIED,
            random_state=int(rng.integers(2**31)),
        ).fit(known, classes * layout.spans[j].size + cells[:, j])
        partitions.append(_partition(tree.tree_))
    return partitions


def _partition(tree: Any) -> Partition:
    """Turn scikit-learn's arrays into ours; thresholds lie halfway between cells."""
    leaf = tree.children_left < 0
    return Partition(
        column=np.where(leaf, -1, tree.feature).astype(np.int64),
        cut=np.where(leaf, 0, np.floor(tree.threshold)).astype(np.int64),
        children=np.stack([tree.children_left, tree.children_right], axis=1).astype(np.int64),
        box=np.where(leaf, np.cumsum(leaf) - 1, -1).astype(np.int64),
    )


@dataclass(frozen=True, eq=False)
class PartitionTable:
    """Released counts of the boxes of some partitions.

    Parameters
    ----------
    partitions : list of Partition
    values : list of ndarray of shape (n_classes, n_boxes)
        Counts by partition.
    scale : float
        Standard deviation of the noise.
    """

    partitions: list[Partition]
    values: list[FloatArray]
    scale: float


def measure_partitions(
    codes: IntArray, partitions: list[Partition], *, split: int | None, n_classes: int, mechanisms: Mechanisms
) -> PartitionTable:
    """Release how many private rows of each class are in each box.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_columns)
        Private cells, read through `mechanisms` only.
    split : int or None
        Position of the column whose cells are the classes.
    """
    classes = np.zeros(len(codes), dtype=np.int64) if split is None else codes[:, split]
    exact = []
    for partition in partitions:
        size = n_classes * partition.n_boxes
        exact.append(np.bincount(classes * partition.n_boxes + partition.assign(codes), minlength=size))
    flat = np.concatenate(exact).astype(np.int64)
    release = mechanisms.counts(PARTITIONS, flat, sensitivity=math.sqrt(len(partitions)))
    parts = np.split(release.values, np.cumsum([len(e) for e in exact])[:-1])
    return PartitionTable(partitions, [part.reshape(n_classes, -1) for part in parts], release.scale)


class Boxes:
    """The generator's own masses of the boxes of one partition."""

    def __init__(self, partition: Partition, layout: Layout, device: torch.device) -> None:
        self._masks = [
            (layout.spans[j].slice, torch.as_tensor(inside, dtype=torch.float32, device=device))
            for j, inside in partition.intervals(layout).items()
        ]
        self._n_boxes = partition.n_boxes

    def __call__(self, probabilities: Tensor) -> Tensor:
        """Return the masses of boxes in components: (n_components, width) to (n_components, n_boxes)."""
        mass = torch.ones(len(probabilities), self._n_boxes, device=probabilities.device)
        for span, inside in self._masks:
            mass = mass * (probabilities[:, span] @ inside)
        return mass
