"""What the measured critic compares with: low-order tables of the private rows, released once.

``G_c = Z_c' Z_c``, the co-occurrence of cells in the rows of class c, holds every pair of columns at once.
A row adds one to one cell of each pair of its class alone, so k pairs have L2 sensitivity sqrt(k), split by
class or not.  Where pairs get different noise, r_1, ..., r_k times a common scale, each count is divided by its r
before it gets noise of that scale, and k pairs have sensitivity sqrt(1/r_1^2 + ... + 1/r_k^2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from privsynth.privacy.mechanisms import Mechanisms, Release
from privsynth.training.grouping import group_cells, spread
from privsynth.training.weights import relative_noise
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.columns import ColumnTransform
from privsynth.transforms.layout import Layout
from privsynth.transforms.simplex import project_to_simplex

CLASS_COLUMNS, CONDITION_PAIRS, SELECTION, PAIRS = (
    "columns by class",
    "condition pairs",
    "selection of pairs",
    "pairs by class",
)
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class PairTable:
    """Released counts of some pairs of columns.

    Parameters
    ----------
    pairs : list of (int, int)
        Positions of the columns, first < second.
    values : ndarray of shape (n_classes, width, width)
        Counts at [c, cell of the first, cell of the second]; 0 elsewhere. One class if not split.
    scale : float
        Standard deviation of the noise, of pairs whose relative noise is 1.
    groups : ndarray of int of shape (n_classes, width), optional
        What was counted where these are not single cells: groups of them (`training.grouping`). `values` then has
        the counts spread evenly over the cells of a group.
    relative : ndarray of float of shape (n_pairs,), optional
        Noise of each pair relative to `scale` (`training.weights`); 1 where it is not given.
    """

    pairs: list[Pair]
    values: npt.NDArray[np.float32]
    scale: float
    groups: IntArray | None = None
    relative: FloatArray | None = None

    @property
    def noise(self) -> dict[Pair, float]:
        """Noise of each pair relative to `scale`."""
        relative = np.ones(len(self.pairs)) if self.relative is None else self.relative
        return dict(zip(self.pairs, relative.tolist(), strict=True))

    def sizes(self, layout: Layout) -> FloatArray:
        """Return what each pair says of the rows of each class, shape (n_pairs, n_classes)."""
        spans = [(layout.spans[i].slice, layout.spans[j].slice) for i, j in self.pairs]
        return np.array([self.values[:, a, b].sum(axis=(1, 2), dtype=np.float64) for a, b in spans])

    def size_variances(self, layout: Layout) -> FloatArray:
        """Return the variances of `sizes`: that of a count times how many are added up."""
        number = np.tile(np.arange(layout.width), (len(self.values), 1)) if self.groups is None else self.groups
        ends = [(span.start, span.stop - 1) for span in layout.spans]
        n_groups = [number[:, last] - number[:, first] + 1 for first, last in ends]
        return np.array([n_groups[i] * n_groups[j] * (r * self.scale) ** 2 for (i, j), r in self.noise.items()])


@dataclass(frozen=True, eq=False)
class Measurements:
    """Everything released for the measured critic.

    Parameters
    ----------
    split : int or None
        Position of the column whose cells are the classes; None for a single class.
    one_way : Release
        Shape (width,).
    class_columns : Release or None
        Shape (n_classes, width): every column in each class.
    condition_pairs, pairs : PairTable or None
        Pairs with a condition column (not split), and pairs split by class.
    """

    split: int | None
    one_way: Release
    class_columns: Release | None = None
    condition_pairs: PairTable | None = None
    pairs: PairTable | None = None


def measure(
    codes: IntArray,
    layout: Layout,
    *,
    one_way: Release,
    split: int | None,
    conditions: Sequence[int],
    mechanisms: Mechanisms,
    chosen: list[Pair] | None = None,
    groups: IntArray | None = None,
    relative: FloatArray | None = None,
    columns: Sequence[ColumnTransform] | None = None,
) -> Measurements:
    """Release every table that the plan allotted something to.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_columns)
        Private cells, read through `mechanisms` only.
    layout : Layout
        Spans of the columns.
    one_way : Release
        The encoder's 1-way counts, used to score pairs.
    split : int or None
        Position of the column whose cells are the classes.
    conditions : sequence of int
        Positions of further condition columns.
    chosen : list of (int, int), optional
        The pairs that are measured, where that is settled: none are then selected.
    groups : ndarray of int of shape (n_classes, width), optional
        The groups of cells that pairs are counted in, where that is settled.
    relative : ndarray of float of shape (n_pairs,), optional
        Noise of each chosen pair relative to the others, where that is settled.
    columns : sequence of ColumnTransform, optional
        The columns, by which groups and relative noise are found otherwise.
    """
    classes = np.zeros(len(codes), dtype=np.int64) if split is None else codes[:, split]
    n_classes = 1 if split is None else layout.spans[split].size
    others = [j for j in range(len(layout.spans)) if j != split]
    class_columns = condition_pairs = pairs = None
    if split is not None and others and mechanisms.allows(CLASS_COLUMNS):
        exact = np.zeros((n_classes, layout.width), dtype=np.int64)
        for j in others:
            exact[:, layout.spans[j].slice] = _cross(classes, codes[:, j], n_classes, layout.spans[j].size)
        asked = np.isin(layout.owner(), others)
        part = mechanisms.counts(CLASS_COLUMNS, exact[:, asked], sensitivity=math.sqrt(len(others)))
        values = np.zeros(exact.shape)
        values[:, asked] = part.values
        class_columns = Release(values, part.scale)
    wanted = [p for p in combinations(others, 2) if set(p) & set(conditions)]
    # A target with too many cells to split by is a condition, on what was set aside for its classes.
    label = CLASS_COLUMNS if split is None and mechanisms.allows(CLASS_COLUMNS) else CONDITION_PAIRS
    if wanted and mechanisms.allows(label):
        condition_pairs = _pair_table(codes, layout, wanted, None, 1, mechanisms, label)
    every = list(combinations(others, 2))
    if every and mechanisms.allows(PAIRS):
        if chosen is None and mechanisms.allows(SELECTION):
            chosen = _select(codes, layout, every, one_way, mechanisms)
        chosen = every if chosen is None else chosen
        if groups is None and columns is not None:
            counts = Release(one_way.values[None], one_way.scale) if class_columns is None else class_columns
            scale = mechanisms.scale_of(PAIRS, sensitivity=math.sqrt(len(chosen)))
            if len(counts.values) == n_classes:
                groups = group_cells(columns, layout, counts, split=split, scale=scale)
                if scale > 0:
                    relative = relative_noise(chosen, layout, counts, groups=groups, scale=scale)
        pairs = _pair_table(codes, layout, chosen, classes, n_classes, mechanisms, PAIRS, groups, relative)
    return Measurements(split, one_way, class_columns, condition_pairs, pairs)


def _cross(first: IntArray, second: IntArray, n_first: int, n_second: int) -> IntArray:
    """Count two columns of cells against each other, shape (n_first, n_second)."""
    flat = np.bincount(first * n_second + second, minlength=n_first * n_second)
    return flat.reshape(n_first, n_second).astype(np.int64)


def _pair_table(
    codes: IntArray,
    layout: Layout,
    pairs: list[Pair],
    classes: IntArray | None,
    n_classes: int,
    mechanisms: Mechanisms,
    label: str,
    groups: IntArray | None = None,
    relative: FloatArray | None = None,
) -> PairTable:
    """Count and release `pairs`, split by `classes`, in groups of cells and with relative noise where given."""
    number = np.tile(np.arange(layout.width), (n_classes, 1)) if groups is None else groups
    starts = np.array([span.start for span in layout.spans])
    noise = np.ones(len(pairs)) if relative is None else relative
    exact, blocks = [], []
    for c in range(n_classes):
        rows = codes if classes is None or n_classes == 1 else codes[classes == c]
        grouped = number[c][rows + starts]
        for i, j in pairs:
            first, second = (number[c][layout.spans[k].slice] for k in (i, j))
            first, second = first - first[0], second - second[0]
            shape = (int(first.max()) + 1, int(second.max()) + 1)
            lowest = [number[c][starts[k]] for k in (i, j)]
            exact.append(_cross(grouped[:, i] - lowest[0], grouped[:, j] - lowest[1], *shape).ravel())
            blocks.append((c, i, j, first, second, shape))
    each = np.repeat(np.tile(noise, n_classes), [len(e) for e in exact])
    sensitivity = math.sqrt((noise**-2.0).sum())
    release = mechanisms.counts(label, np.concatenate(exact), sensitivity=sensitivity, relative=each)
    values = np.zeros((n_classes, layout.width, layout.width), dtype=np.float32)
    parts = np.split(release.values, np.cumsum([len(e) for e in exact])[:-1])
    for (c, i, j, first, second, shape), part in zip(blocks, parts, strict=True):
        values[c, layout.spans[i].slice, layout.spans[j].slice] = spread(part.reshape(shape), first, second)
    return PairTable(pairs, values, release.scale, groups, relative)


def _select(codes: IntArray, layout: Layout, pairs: list[Pair], one_way: Release, mechanisms: Mechanisms) -> list[Pair]:
    """Choose the pairs that are furthest from independence, privately.

    The score of a pair is the L1 distance of its counts from the product of the released 1-way counts; one
    row changes one cell by one, so its sensitivity is 1.
    """
    shares = [project_to_simplex(one_way.values[span.slice]) for span in layout.spans]
    total = max(1.0, float(np.mean([np.clip(one_way.values[s.slice], 0, None).sum() for s in layout.spans])))
    scores = np.empty(len(pairs))
    for number, (i, j) in enumerate(pairs):
        exact = _cross(codes[:, i], codes[:, j], layout.spans[i].size, layout.spans[j].size)
        scores[number] = np.abs(exact - total * np.outer(shares[i], shares[j])).sum()
    picked = mechanisms.choose(SELECTION, scores, sensitivity=1.0)
    return sorted(pairs[k] for k in picked)
