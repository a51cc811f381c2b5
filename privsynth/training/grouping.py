"""Coarser cells for the pairs of small classes.

The noise of a count is the same in every class, so in a class of 1 % of the rows most cells of a pair hold far less
than the noise, and hundreds of them say together what a few sums of cells would say better.  Here neighbouring cells,
or the rarer levels, of a column become groups, fewer the smaller the class is, and pairs are counted in groups.  Which
cells go together follows from releases alone; a row is still in one count of each pair, so the sensitivity stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from privsynth.privacy.mechanisms import Release
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.columns import ColumnTransform
from privsynth.transforms.layout import Layout
from privsynth.transforms.simplex import project_to_simplex

_SMALL = 0.1  # of the rows: larger classes are counted cell by cell
_ROWS_A_COUNT = 0.3  # of a pair on average, in standard deviations of its noise
_MANY = 12  # groups a column: where there could be more, single cells say enough


def group_cells(
    columns: Sequence[ColumnTransform], layout: Layout, counts: Release, *, split: int | None, scale: float
) -> IntArray | None:
    """Return the number of each cell's group, by class.

    Parameters
    ----------
    columns : sequence of ColumnTransform
        Which of them are ordered, and which cells stand for missing and other values: these stay alone.
    layout : Layout
        Spans of the columns.
    counts : Release
        Released counts of the cells in each class, shape (n_classes, width).
    split : int or None
        Position of the column whose cells are the classes: it is not grouped.
    scale : float
        Standard deviation of the noise that the counts of pairs will have; 0 for none.

    Returns
    -------
    ndarray of int of shape (n_classes, width), or None
        Groups are numbered through, those of a column one after the other; None where every cell stays alone.
    """
    others = [j for j in range(len(layout.spans)) if j != split]
    if scale <= 0 or not others:
        return None
    groups = np.tile(np.arange(layout.width), (len(counts.values), 1))
    sizes = np.mean([counts.values[:, layout.spans[j].slice].sum(axis=1) for j in others], axis=0)
    for row, released, n_rows in zip(groups, counts.values, sizes, strict=True):
        most = max(2, int(math.sqrt(max(1.0, n_rows) / (_ROWS_A_COUNT * scale))))
        if n_rows > _SMALL * sizes.sum() or most > _MANY:
            continue
        start = 0
        for j, (span, column) in enumerate(zip(layout.spans, columns, strict=True)):
            size = span.size if j == split else most
            row[span.slice] = start + _grouped(released[span.slice], size, len(column.extra), ordered=column.in_order)
            start = int(row[span.slice].max()) + 1
    return None if (groups == np.arange(layout.width)).all() else groups


def _grouped(counts: FloatArray, most: int, n_extra: int, *, ordered: bool) -> IntArray:
    """Return the group of each cell of a column: so many of about equal mass, or the most frequent and a rest.

    >>> _grouped(np.array([90.0, 10, 10, 10, 5]), 3, 1, ordered=True).tolist()
    [0, 1, 1, 1, 2]
    """
    if len(counts) <= most:
        return np.arange(len(counts))
    plain = len(counts) - n_extra
    wanted = max(2, most - n_extra)
    shares = project_to_simplex(counts[:plain])
    if plain <= wanted:
        groups = np.arange(plain)
    elif ordered:
        middle = np.cumsum(shares) - shares / 2
        groups = np.unique(np.minimum((middle * wanted).astype(np.int64), wanted - 1), return_inverse=True)[1]
    else:
        groups = np.full(plain, wanted - 1)
        groups[np.argsort(-shares, kind="stable")[: wanted - 1]] = np.arange(wanted - 1)
        _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
        groups = np.argsort(np.argsort(first))[groups]  # numbered as they appear
    return np.concatenate([groups, groups.max() + 1 + np.arange(n_extra)])


def summed(values: npt.NDArray[np.floating], rows: IntArray, cols: IntArray) -> FloatArray:
    """Return the sums of a block of cells over the groups of its rows and columns, counted from 0.

    >>> summed(np.ones((2, 3)), np.array([0, 0]), np.array([0, 1, 1])).tolist()
    [[2.0, 4.0]]
    """
    table = np.zeros((int(rows.max()) + 1, int(cols.max()) + 1))
    np.add.at(table, (rows[:, None], cols[None, :]), values)
    return table


def spread(table: FloatArray, rows: IntArray, cols: IntArray) -> FloatArray:
    """Spread the counts of groups evenly over their cells: `summed` gives them back.

    >>> spread(np.array([[2.0, 4.0]]), np.array([0, 0]), np.array([0, 1, 1])).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    sizes = np.outer(np.bincount(rows), np.bincount(cols))
    spread_out: FloatArray = (table / sizes)[np.ix_(rows, cols)]
    return spread_out
