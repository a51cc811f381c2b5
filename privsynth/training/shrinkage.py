r"""Released pairs, drawn towards independence as far as their noise leaves in doubt that they are off it.

The noise of a count is known, so how far the true counts of a pair are off independence can be told from how far
the released ones are: adaptive shrinkage, an empirical Bayes estimate (Stephens, "False discovery rates: a new deal",
2017).  For a pair in a class of n rows, with shares u and v of its columns' cells there, ``released - n u v'`` is
taken for a deviation plus ``N(0, s^2)``, and the deviation for a draw from a mixture of normals about 0.  Their
standard deviations are 0 and s times powers of 4, each in three kinds: the same in all cells, or growing with the root
of the expected count, or with the count itself.  The weights of the mixture are fitted to each pair by EM, and the
counts are drawn half the way to ``n u v'`` plus the posterior mean of the deviation: noise of single cells averages out
in a generator that is fitted to all of them, what is drawn in everywhere does not.  Where noise is so large that
little else is in the counts, they are drawn the whole way.  Every input is a release: this is post-processing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from privsynth.privacy.mechanisms import Release
from privsynth.training.measure import PairTable
from privsynth.transforms.cells import FloatArray
from privsynth.transforms.layout import Layout
from privsynth.transforms.simplex import project_to_simplex

_LARGE = 0.1  # of the rows: what is rare in smaller classes would be drawn away (docs/method.md)
_HALF, _WHOLE = 1 / 200, 1 / 100  # of the rows: noise up to which counts go half the way, and from which the whole
_SCALES = 4.0 ** np.arange(-1, 6)
_ROUNDS = 30
_FITTED = 2048  # cells of a pair that weights are fitted to, at most
_AT_ONCE = 1 << 15
_LEAST = 1e-9  # weight of a kind of deviation, so that none is lost for good


def shrink(table: PairTable, columns: Release, layout: Layout, sizes: FloatArray) -> tuple[PairTable, FloatArray]:
    """Return the table shrunk, and how many cells' worth of noise it has lost.

    Parameters
    ----------
    table : PairTable
        Released pairs.
    columns : Release
        Released counts of the columns' cells in each class, shape (n_classes, width).
    layout : Layout
        Spans of the columns.
    sizes : ndarray of shape (n_classes,)
        Rows of each class.

    Returns
    -------
    table : PairTable
        Classes of a tenth of the rows or more are shrunk, where they are counted cell by cell.
    lost : ndarray of shape (n_classes,)
        Sum over the shrunk cells of one less their expected squared error, in units of the noise's: that of the others
        is 1 a cell, that of these so much less in all.
    """
    if table.scale <= 0 or columns.scale <= 0 or len(columns.values) < len(sizes):
        return table, np.zeros(len(sizes))
    values, lost, part = table.values.copy(), np.zeros(len(sizes)), _part(table.scale / sizes.sum())
    for c, n_rows in enumerate(sizes):
        alone = table.groups is None or (table.groups[c] == np.arange(layout.width)).all()
        if n_rows < _LARGE * sizes.sum() or not alone:
            continue
        shares = _shares(table, c, columns, layout)
        for (i, j), relative in table.noise.items():
            rows, cols = layout.spans[i].slice, layout.spans[j].slice
            expected = n_rows * np.outer(shares[rows], shares[cols])
            seen, scale = table.values[c, rows, cols] - expected, relative * table.scale
            mean, left = deviations(seen, expected, scale)
            values[c, rows, cols] = expected + part * mean + (1 - part) * seen
            lost[c] += expected.size - left - float(np.square((1 - part) / scale * (seen - mean)).sum())
    return replace(table, values=values), lost


def _part(noise: float) -> float:
    """Return how much of the way counts go that have noise of such a standard deviation, as a share of the rows."""
    return float(np.interp(noise, [_HALF, _WHOLE], [0.5, 1.0]))


def _shares(table: PairTable, c: int, columns: Release, layout: Layout) -> FloatArray:
    """Return the shares of each column's cells in a class, by all tables that have them, by inverse variance."""
    weights = np.full(layout.width, columns.scale**-2.0)
    sums = columns.values[c] * weights
    for (i, j), relative in table.noise.items():
        rows, cols = layout.spans[i], layout.spans[j]
        counts = table.values[c, rows.slice, cols.slice].astype(np.float64)
        for axis, (span, other) in enumerate(((rows, cols), (cols, rows))):
            weight = 1 / (other.size * (relative * table.scale) ** 2)
            sums[span.slice] += weight * counts.sum(axis=1 - axis)
            weights[span.slice] += weight
    return np.concatenate([project_to_simplex((sums / weights)[span.slice]) for span in layout.spans])


def deviations(observed: FloatArray, expected: FloatArray, scale: float) -> tuple[FloatArray, float]:
    """Return the posterior means of deviations, and the sum of their posterior variances in units of ``scale**2``.

    Parameters
    ----------
    observed : ndarray
        Deviations with noise.
    expected : ndarray of the same shape
        The counts that they are off from.
    scale : float
        Standard deviation of the noise.

    Examples
    --------
    Where hardly anything is off, what is far off stays, and what is near is drawn in:

    >>> one = np.zeros((4, 25))
    >>> one[0, 0], one[1, 1] = 9.0, 1.0
    >>> deviations(one, np.ones_like(one), 1.0)[0][[0, 1], [0, 1]].round(1).tolist()
    [9.0, 0.0]
    """
    seen, sizes = observed.ravel() / scale, expected.ravel() + 0.1 * expected.mean() + 1e-9
    growth = np.stack([np.ones(seen.size), sizes / sizes.mean(), (sizes / sizes.mean()) ** 2])
    some = np.arange(seen.size)
    if seen.size > _FITTED:
        some = np.random.default_rng(0).choice(some, _FITTED, replace=False)
    likelihoods = _likelihoods(seen[some], _variances(growth[:, some]))
    weights = np.full(likelihoods.shape[1], 1 / likelihoods.shape[1])
    for _ in range(_ROUNDS):
        weights = weights * (likelihoods.T @ (1 / (likelihoods @ weights))) / len(likelihoods) + _LEAST
        weights /= weights.sum()
    means, left = np.empty(seen.size), 0.0
    for start in range(0, seen.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        variances = _variances(growth[:, part])
        chances = _likelihoods(seen[part], variances) * weights
        chances /= chances.sum(axis=1, keepdims=True)
        kept = variances / (1 + variances)
        each = kept * seen[part, None]
        means[part] = (chances * each).sum(axis=1)
        left += float((chances * (kept + each**2)).sum() - (means[part] ** 2).sum())
    return (means * scale).reshape(observed.shape), left


def _variances(growth: FloatArray) -> FloatArray:
    """Return the variance of each cell's deviation under each part of the mixture, in units of the noise's."""
    spread_out = growth.T[:, :, None] * _SCALES**2
    return np.hstack([np.zeros((growth.shape[1], 1)), spread_out.reshape(growth.shape[1], -1)])


def _likelihoods(seen: FloatArray, variances: FloatArray) -> FloatArray:
    """Return how likely each deviation is under each part, up to a factor for each cell."""
    logs = -0.5 * (seen[:, None] ** 2 / (1 + variances) + np.log1p(variances))
    likelihoods: FloatArray = np.exp(logs - logs.max(axis=1, keepdims=True))
    return likelihoods
