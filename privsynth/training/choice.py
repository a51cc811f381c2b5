"""The final choice among generators: one exponential mechanism on held-out marginals.

``score = -mean_m || n p_m - x_m ||_1`` over random 3-way marginals that were never released; a row changes one
cell of each by one, so the sensitivity is 1.  The two-critic model can thus not lose materially to the
measured-only one.
"""

from __future__ import annotations

import math

import numpy as np

from privsynth.privacy.mechanisms import Mechanisms
from privsynth.transforms.cells import IntArray
from privsynth.transforms.layout import Layout

_MARGINALS = 64
_ORDER = 3
_MANY = 2**20  # cells of a marginal that are not all counted: columns of many levels would take gigabytes


def choose_model(
    codes: IntArray,
    candidates: list[IntArray],
    layout: Layout,
    *,
    n_rows: int,
    mechanisms: Mechanisms,
    label: str,
    rng: np.random.Generator,
) -> int:
    """Return the number of the candidate whose sample is nearest to the private rows.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_columns)
        Private cells, read through `mechanisms` only.
    candidates : list of ndarray of shape (n_sample, n_columns)
        A sample of each candidate.
    n_rows : int
        The released row count.
    label : str
        What was allotted for the choice.
    rng : numpy.random.Generator
        Picks the marginals: public, independent of the rows.
    """
    order = min(_ORDER, len(layout.spans))
    marginals = [np.sort(rng.choice(len(layout.spans), order, replace=False)) for _ in range(_MARGINALS)]
    scores = np.zeros(len(candidates))
    for columns in marginals:
        sizes = [layout.spans[j].size for j in columns]
        keys = [np.ravel_multi_index([rows[:, j] for j in columns], sizes) for rows in (codes, *candidates)]
        n_cells = math.prod(sizes)
        if n_cells > _MANY:  # occupied cells only
            _, dense = np.unique(np.concatenate(keys), return_inverse=True)
            keys, n_cells = np.split(dense, np.cumsum([len(key) for key in keys])[:-1]), int(dense.max()) + 1
        exact, *samples = (_marginal(key, n_cells) for key in keys)
        for number, sample in enumerate(samples):
            expected = sample * (n_rows / len(candidates[number]))
            scores[number] -= np.abs(expected - exact).sum() / len(marginals)
    return int(mechanisms.choose(label, scores, sensitivity=1.0)[0])


def _marginal(keys: IntArray, n_cells: int) -> IntArray:
    """Count the cells of a marginal, numbered 0 .. n_cells-1."""
    return np.bincount(keys, minlength=n_cells).astype(np.int64)
