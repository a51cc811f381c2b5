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
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from privsynth._checks import check_choice, check_int
from privsynth.errors import DataError
from privsynth.evaluation.binning import codes_of
from privsynth.evaluation.intervals import jackknife_error

# Up to so many cells a pair is counted densely (8 bytes a cell); above, only the occupied cells are.
_DENSE_CELLS = 1 << 22


@dataclasses.dataclass(frozen=True)
class MarginalTVD:
    """Total variation distances of all marginals of one order.

    Parameters
    ----------
    order : {1, 2, 3}
    values : mapping from tuples of `order` column names to floats in [0, 1]
    error : float or None
        Standard error of the mean, where it was asked for.

    Examples
    --------
    >>> distances = MarginalTVD(1, {("age",): 0.1, ("sex",): 0.3})
    >>> distances.mean, distances.worst(1)
    (0.2, [(('sex',), 0.3)])
    """

    order: int
    values: Mapping[tuple[Hashable, ...], float]
    error: float | None = None

    @property
    def mean(self) -> float | None:
        """Mean over the marginals; None if there are none (2-way of one column)."""
        return float(np.mean(list(self.values.values()))) if self.values else None

    def worst(self, n: int = 10) -> list[tuple[tuple[Hashable, ...], float]]:
        """Return the `n` marginals that are furthest apart, the worst first."""
        return sorted(self.values.items(), key=lambda item: -item[1])[:n]


def marginal_tvd(real: pd.DataFrame, synthetic: pd.DataFrame, *, order: int = 1, bins: int = 20) -> MarginalTVD:
    """Compare all 1-way, all 2-way or all 3-way marginals of two tables.

    Parameters
    ----------
    real : DataFrame of shape (n_real, n_columns)
        The cells come from this table: see `privsynth.evaluation.binning`.
    synthetic : DataFrame of shape (n_synthetic, n_columns)
        At least the columns of `real`, in any order.
    order : {1, 2, 3}
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
    check_choice("marginal_tvd", "order", order, (1, 2, 3))
    check_int("marginal_tvd", "bins", bins, low=1)
    if not len(real) or not len(synthetic):
        raise DataError(f"Shares need rows. Got {len(real)} real and {len(synthetic)} synthetic rows.")
    coded = Coded.of(real, [real, synthetic], bins=bins)
    return coded_tvd(coded, coded.marginals(order))


@dataclasses.dataclass(frozen=True)
class Coded:
    """Columns of several tables as codes of the same cells.

    Parameters
    ----------
    names : tuple of column names
    tables : list of lists of int32 ndarrays
        ``tables[t][c]`` has the codes of column c in table t, in [0, n_levels[c]).
    n_levels : list of int
    """

    names: tuple[Hashable, ...]
    tables: list[list[np.ndarray]]
    n_levels: list[int]

    @classmethod
    def of(cls, real: pd.DataFrame, tables: Sequence[pd.DataFrame], *, bins: int = 20) -> Coded:
        """Code all columns by the cells of `real`."""
        coded: list[list[np.ndarray]] = [[] for _ in tables]
        n_levels = []
        for name in real.columns:
            column = real[name]
            given = [column if table is real else table[name] for table in tables]
            codes, n = codes_of(column, given, bins=bins)
            n_levels.append(n)
            for place, own in enumerate(codes):
                coded[place].append(own.astype(np.int32))
        return cls(tuple(real.columns), coded, n_levels)

    def rows(self, *chosen: np.ndarray | None, tables: Sequence[int] | None = None) -> Coded:
        """Return some tables (the first ones), each with some of its rows (None: all)."""
        picked = [self.tables[t] for t in (range(len(chosen)) if tables is None else tables)]
        kept = [
            codes if rows is None else [column[rows] for column in codes]
            for codes, rows in zip(picked, chosen, strict=True)
        ]
        return Coded(self.names, kept, self.n_levels)

    def marginals(self, order: int) -> list[tuple[int, ...]]:
        """Return all sets of `order` columns, as places."""
        return list(itertools.combinations(range(len(self.names)), order))

    def joint(self, table: int, columns: Sequence[int]) -> tuple[np.ndarray, int]:
        """Return one code a row for several columns together, and how many there can be."""
        codes, size = self.tables[table][columns[0]].astype(np.int64), self.n_levels[columns[0]]
        for column in columns[1:]:
            codes *= self.n_levels[column]
            codes += self.tables[table][column]
            size *= self.n_levels[column]
        return codes, size


def coded_tvd(coded: Coded, marginals: Sequence[tuple[int, ...]], *, groups: int = 0, seed: int = 0) -> MarginalTVD:
    """Compare the first two tables; with `groups` also the standard error of the mean, by the jackknife.

    The rows of both tables fall into so many random groups. Leaving out one group after the other says how far the
    mean would move with other rows: the delete-a-group jackknife.
    """
    rng = np.random.default_rng(seed)
    group = [rng.integers(groups, size=len(table[0])) if groups else None for table in coded.tables[:2]]
    values, left_out = {}, []
    for columns in marginals:
        counts = _counts(coded, columns, group, max(groups, 1))
        totals = [count.sum(axis=0) for count in counts]
        values[tuple(coded.names[c] for c in columns)] = _distance(*totals)
        if groups:
            left_out.append([_distance(totals[0] - counts[0][g], totals[1] - counts[1][g]) for g in range(groups)])
    error = jackknife_error(np.mean(left_out, axis=0)) if left_out else None
    return MarginalTVD(len(marginals[0]) if marginals else 0, values, error)


def _counts(coded: Coded, columns: tuple[int, ...], group: list[np.ndarray | None], n_groups: int) -> list[np.ndarray]:
    """Count cells of both tables, group by group: shapes (n_groups, n_cells)."""
    joint = [coded.joint(table, columns) for table in (0, 1)]
    codes, size = [codes for codes, _ in joint], joint[0][1]
    if size * n_groups > _DENSE_CELLS:
        occupied, place = np.unique(np.concatenate(codes), return_inverse=True)
        codes, size = np.split(place, [len(codes[0])]), len(occupied)
    found = []
    for own, number in zip(codes, group, strict=True):
        labels = own if number is None else number * size + own
        found.append(np.bincount(labels, minlength=n_groups * size).reshape(n_groups, size))
    return found


def _distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    n_real, n_synthetic = real.sum(), synthetic.sum()
    if not n_real or not n_synthetic:
        return float("nan")
    return min(1.0, float(0.5 * np.abs(real / n_real - synthetic / n_synthetic).sum()))
