"""Noisy counts to consistent ones: free post-processing."""

from __future__ import annotations

import numpy as np

from privsynth.transforms.cells import FloatArray


def project_to_simplex(counts: FloatArray, total: float | None = None) -> FloatArray:
    """Return the nearest (Euclidean) point of the probability simplex to ``counts / total``.

    `total` is the sum of `counts` if it is not known better. Negative counts become 0 and all others lose the
    same amount, so that empty cells, half of which noise lifts above 0, do not add up to rows that are not there.

    >>> project_to_simplex(np.array([80.0, 30.0, -10.0])).round(2).tolist()
    [0.75, 0.25, 0.0]
    """
    total = float(counts.sum()) if total is None else total
    some = total > 1e-12 * np.abs(counts).max()  # else no rows, or what rounding made of none
    shares = counts / total if some else np.full(len(counts), 1 / len(counts))
    ordered = np.sort(shares)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(shares) + 1)
    last = np.flatnonzero(ordered > excess)[-1]
    projected = np.clip(shares - excess[last], 0, None)
    return projected / projected.sum()
