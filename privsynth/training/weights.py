"""How much noise each pair of columns gets beside the others, where all are paid for together.

Counts of k pairs with noise of scale r_1, ..., r_k cost a row what sqrt(1/r_1^2 + ... + 1/r_k^2) says, so that one
pair's noise can be lowered at the expense of another's.  A pair of two narrow columns is known well anyway; one of many
cells that hold more rows than the noise gains most from less of it; one whose cells hold nearly nothing gains nothing,
whatever it gets.  Which is which follows from the released counts of the columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privsynth.privacy.mechanisms import Release
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.layout import Layout

_DEVIATION = 0.3  # of a cell: by so much of itself it may differ from independence (benchmarks/ablation_weights.py)
_STEPS = 4  # an octave: few different scales, so that noise is drawn at once for many pairs
_REACH = 2.0  # octaves at most between a pair's noise and the middle


def relative_noise(
    pairs: Sequence[tuple[int, int]], layout: Layout, counts: Release, *, groups: IntArray | None, scale: float
) -> FloatArray:
    """Return the noise of each pair relative to that of pairs that are all treated alike.

    The columns by class are known, so what is asked of a cell is how far it is from what they say: by d rows, say, a
    share `_DEVIATION` of what independent columns would put there.  From a count with noise s this can be told to
    s sqrt(w), with w = d^2 / (d^2 + s^2).  Of the sum over all cells, a pair's part falls with what the pair costs,
    1/s^2, by s^3 times the sum of w^(3/2) over its cells; at the least sum this is equal for all pairs.  One step
    from equal noise goes there: 1/s^2 in proportion to the sum of w^(3/2), to the power of 2/3.

    Parameters
    ----------
    pairs : sequence of (int, int)
        Positions of the columns.
    layout : Layout
        Spans of the columns.
    counts : Release
        Released counts of the cells in each class, shape (n_classes, width).
    groups : ndarray of int of shape (n_classes, width), optional
        The groups of cells that pairs are counted in (`training.grouping`).
    scale : float
        Standard deviation of the noise of pairs that are treated alike.

    Returns
    -------
    ndarray of float of shape (n_pairs,)
        Their inverse squares add up to the number of pairs: together they cost what equal noise costs.
    """
    worth = np.zeros(len(pairs))
    for c, row in enumerate(np.clip(counts.values, 0.0, None)):
        number = np.arange(layout.width) if groups is None else groups[c]
        sums = [_sums(row[span.slice], number[span.slice]) for span in layout.spans]
        for k, (i, j) in enumerate(pairs):
            n_rows = (sums[i].sum() + sums[j].sum()) / 2
            squares = (np.outer(_shares(sums[i]), _shares(sums[j])) * n_rows * _DEVIATION) ** 2
            worth[k] += ((squares / (squares + scale**2)) ** 1.5).sum()
    octaves = -np.log2(np.maximum(worth, 1e-12)) / 3  # of the standard deviation
    octaves = np.clip(octaves - np.median(octaves), -_REACH, _REACH)
    relative = 2.0 ** (np.round(octaves * _STEPS) / _STEPS)
    equalised: FloatArray = relative * np.sqrt((relative**-2.0).mean())
    return equalised


def _sums(counts: FloatArray, numbers: IntArray) -> FloatArray:
    sums: FloatArray = np.zeros(int(numbers.max() - numbers[0]) + 1)
    np.add.at(sums, numbers - numbers[0], counts)
    return sums


def _shares(counts: FloatArray) -> FloatArray:
    return counts / max(1.0, counts.sum())
