r"""How far the marginals of two tables lie apart.

The total variation distance of two tables p, q of shares is

.. math:: TVD(p, q) = \tfrac{1}{2} \sum_c |p_c - q_c| \in [0, 1],

the largest difference in probability that any event of that marginal can show. 0 means equal shares;
0.1 means that one row in ten would have to move to another cell. It is the error that marginal-based
methods are compared by (McKenna, Miklau and Sheldon 2021, arXiv:2108.04978).

Two samples of the *same* population are not at 0: with n rows in k cells expect about
:math:`\sqrt{k / (\pi n)}`. That is why `evaluate` prints a reference beside each distance.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from privsynth._checks import check_choice, check_int
from privsynth.errors import DataError
from privsynth.evaluation.binning import level_codes

# Up to so many cells a pair is counted densely (8 bytes a cell); above, only the occupied cells are.
_DENSE_CELLS = 1 << 22

_Codes = tuple[np.ndarray, np.ndarray, int]


@dataclasses.dataclass(frozen=True)
class MarginalTVD:
    """Total variation distances of all marginals of one order.

    Parameters
    ----------
    order : {1, 2}
    values : mapping from tuples of `order` column names to floats in [0, 1]

    Examples
    --------
    >>> distances = MarginalTVD(1, {("age",): 0.1, ("sex",): 0.3})
    >>> distances.mean, distances.worst(1)
    (0.2, [(('sex',), 0.3)])
    """

    order: int
    values: Mapping[tuple[Hashable, ...], float]

    @property
    def mean(self) -> float | None:
        """Mean over the marginals; None if there are none (2-way of one column)."""
        return float(np.mean(list(self.values.values()))) if self.values else None

    def worst(self, n: int = 10) -> list[tuple[tuple[Hashable, ...], float]]:
        """Return the `n` marginals that are furthest apart, the worst first."""
        return sorted(self.values.items(), key=lambda item: -item[1])[:n]


def marginal_tvd(real: pd.DataFrame, synthetic: pd.DataFrame, *, order: int = 1, bins: int = 20) -> MarginalTVD:
    """Compare all 1-way or all 2-way marginals of two tables.

    Parameters
    ----------
    real : DataFrame of shape (n_real, n_columns)
        The cells come from this table: see `privsynth.evaluation.binning`.
    synthetic : DataFrame of shape (n_synthetic, n_columns)
        At least the columns of `real`, in any order.
    order : {1, 2}
        Columns per marginal.
    bins : int
        Quantile cells for numeric and datetime columns.

    Returns
    -------
    MarginalTVD
        Each value in [0, 1], 0 is best.

    Examples
    --------
    >>> real = pd.DataFrame({"sex": ["f", "f", "m", "m"], "sick": [True, True, False, False]})
    >>> shuffled = pd.DataFrame({"sex": ["f", "f", "m", "m"], "sick": [True, False, True, False]})
    >>> marginal_tvd(real, shuffled, order=1).mean, marginal_tvd(real, shuffled, order=2).mean
    (0.0, 0.5)
    """
    check_choice("marginal_tvd", "order", order, (1, 2))
    check_int("marginal_tvd", "bins", bins, low=1)
    if not len(real) or not len(synthetic):
        raise DataError(f"Shares need rows. Got {len(real)} real and {len(synthetic)} synthetic rows.")
    codes = {name: level_codes(real[name], synthetic[name], bins=bins) for name in real.columns}
    if order == 1:
        return MarginalTVD(1, {(name,): _tvd(*codes[name]) for name in codes})
    pairs = itertools.combinations(codes, 2)
    return MarginalTVD(2, {(a, b): _tvd(*_joint(codes[a], codes[b])) for a, b in pairs})


def _tvd(real: np.ndarray, synthetic: np.ndarray, n_levels: int) -> float:
    p = np.bincount(real, minlength=n_levels) / len(real)
    q = np.bincount(synthetic, minlength=n_levels) / len(synthetic)
    return min(1.0, float(0.5 * np.abs(p - q).sum()))


def _joint(a: _Codes, b: _Codes) -> _Codes:
    """Code the pairs of two coded columns."""
    real, synthetic = a[0] * b[2] + b[0], a[1] * b[2] + b[1]
    if a[2] * b[2] <= _DENSE_CELLS:
        return real, synthetic, a[2] * b[2]
    occupied, codes = np.unique(np.concatenate([real, synthetic]), return_inverse=True)
    return codes[: len(real)], codes[len(real) :], len(occupied)
