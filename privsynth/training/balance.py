r"""Cells exchanged between rows of a component, until pairs of columns come as often as the mixture says.

Within a component columns are independent, so which of its rows has which cell of a column is free.  Matched at random,
the counts of pairs of columns in a sample are off what the mixture expects by their own sampling noise.  Here two rows
of a component exchange their cells of one column where that lowers ``sum (count - expected)^2 / expected`` over all
pairs of columns within each class, of cells that are expected to have some rows.  Every component and every column in
it stays as it was drawn.
"""

from __future__ import annotations

import numpy as np

from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.layout import Layout

_SWEEPS = 1
_SMALL, _BATCH = 30_000, (256, 2048)  # couples of rows that exchange at once, up to so many rows and above
_MOST_ROWS = 200_000  # above, sampling noise is little beside what a model is off by, and the time is not
_MOST_WORK = 40_000_000  # rows times squared columns: half a second or so
_MOST_COUNTS = 1 << 22  # of pairs of cells in each class
_MOST_KINDS = 16
_CERTAIN = 1 - 1e-9
_LEAST = 5.0  # rows: counts that are expected to have less are left to chance, else rare pairs would become rarer


def balance(
    cells: IntArray,
    component: IntArray,
    weights: FloatArray,
    probabilities: FloatArray,
    layout: Layout,
    rng: np.random.Generator,
) -> IntArray:
    """Return the cells of rows, some of them exchanged within their components.

    Parameters
    ----------
    cells : ndarray of int of shape (n_rows, n_columns)
        Drawn cells.
    component : ndarray of int of shape (n_rows,)
        The components that the rows were drawn from.
    weights, probabilities, layout
        Of the mixture.
    rng : numpy.random.Generator
        Chooses who is offered an exchange with whom.
    """
    kinds, free = _kinds(weights, probabilities, layout)
    n_counts = (int(kinds.max()) + 1) * layout.width**2
    if len(free) < 2 or not 1 < len(cells) <= _MOST_ROWS or n_counts > _MOST_COUNTS:
        return cells
    if len(cells) * len(free) ** 2 > _MOST_WORK:
        return cells
    starts = np.array([span.start for span in layout.spans])
    pairs = Pairs(cells + starts, component, kinds, weights, probabilities)
    batch = _BATCH[len(cells) > _SMALL]
    for _ in range(_SWEEPS):
        for j in rng.permutation(free):
            others = free[free != j]
            first, second = _couples(component, rng)
            apart = np.flatnonzero(pairs.where[first, j] != pairs.where[second, j])
            apart = rng.permutation(apart)
            for start in range(0, len(apart), batch):
                some = apart[start : start + batch]
                pairs.exchange(first[some], second[some], int(j), others)
    balanced: IntArray = pairs.where - starts
    return balanced


class Pairs:
    """How far counts of pairs of cells are off what a mixture expects, in each kind of component.

    Parameters
    ----------
    where : ndarray of int of shape (n_rows, n_columns)
        Cells of the rows, counted through all columns.
    component : ndarray of int of shape (n_rows,)
        Components of the rows.
    kinds : ndarray of int of shape (n_components,)
        Pairs are counted apart for each.
    weights, probabilities
        Of the mixture.
    """

    def __init__(
        self,
        where: IntArray,
        component: IntArray,
        kinds: IntArray,
        weights: FloatArray,
        probabilities: FloatArray,
    ) -> None:
        self.where = where.copy()
        width = probabilities.shape[1]
        self._width, self._base = width, kinds[component] * width**2
        self.off = np.zeros((int(kinds.max()) + 1, width, width))
        self.worth = np.empty_like(self.off)
        for j in range(where.shape[1] - 1):
            places = (self._base + where[:, j] * width)[:, None] + where[:, j + 1 :]
            np.add.at(self.off.reshape(-1), places.reshape(-1), 1.0)
        for kind, (off, worth) in enumerate(zip(self.off, self.worth, strict=True)):
            mine = kinds == kind
            expected = len(where) * (probabilities[mine].T * weights[mine]) @ probabilities[mine] / weights.sum()
            off -= expected
            worth[:] = np.divide(1, expected, out=np.zeros_like(expected), where=expected >= _LEAST)

    def exchange(self, first: IntArray, second: IntArray, j: int, others: IntArray) -> None:
        """Let rows exchange their cells of column j, each couple where that alone would lower the sum of squares.

        Couples are disjoint; they are judged by the same counts, and those that gain all exchange.
        """
        off, worth = self.off.reshape(-1), self.worth.reshape(-1)
        mine, theirs = self.where[first, j][:, None], self.where[second, j][:, None]
        ours, yours = self.where[first][:, others], self.where[second][:, others]
        places = [self._place(first, a, b) for a, b in ((ours, mine), (yours, theirs), (ours, theirs), (yours, mine))]
        change = sum(worth[at] * (1 + 2 * step * off[at]) for at, step in zip(places, (-1, -1, 1, 1), strict=True))
        gain = np.where(ours != yours, change, 0.0).sum(axis=1) < 0
        moved = (ours != yours)[gain]
        for at, step in zip(places, (-1.0, -1.0, 1.0, 1.0), strict=True):
            np.add.at(off, at[gain][moved], step)
        self.where[first[gain], j], self.where[second[gain], j] = theirs[gain, 0], mine[gain, 0]

    def _place(self, rows: IntArray, one: IntArray, other: IntArray) -> IntArray:
        """Return where the count of a pair of cells is: above the diagonal."""
        place: IntArray = self._base[rows][:, None] + np.minimum(one, other) * self._width + np.maximum(one, other)
        return place


def _kinds(weights: FloatArray, probabilities: FloatArray, layout: Layout) -> tuple[IntArray, IntArray]:
    """Return the kind of each component by the columns that are certain in all, as the target is, and the others."""
    alive = probabilities[weights > 0]
    certain = [bool((alive[:, span.slice].max(axis=1) > _CERTAIN).all()) for span in layout.spans]
    kinds = np.zeros(len(weights), dtype=np.int64)
    if any(certain):
        held = [probabilities[:, layout.spans[j].slice].argmax(axis=1) for j in np.flatnonzero(certain)]
        kinds = np.unique(np.stack(held), axis=1, return_inverse=True)[1].reshape(-1).astype(np.int64)
    if kinds.max() >= _MOST_KINDS:
        kinds = np.zeros_like(kinds)
    return kinds, np.flatnonzero(~np.array(certain))


def _couples(component: IntArray, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Return disjoint couples of rows of the same component, at random."""
    order = rng.permutation(len(component))
    short = component.astype(np.uint16) if component.max() < 1 << 16 else component  # NumPy sorts these by digits
    order = order[np.argsort(short[order], kind="stable")]
    sorted_ = component[order]
    begins = np.flatnonzero(np.r_[True, sorted_[1:] != sorted_[:-1]])
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
    place = np.flatnonzero((rank[:-1] % 2 == 0) & (sorted_[:-1] == sorted_[1:]))
    return order[place], order[place + 1]
