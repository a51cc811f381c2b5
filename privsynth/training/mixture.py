r"""Exact sampling from the generator as a finite mixture of products, under any conditions.

With component weights w_k and cell probabilities p_kj, the rows that satisfy independent demands on columns,
each allowing a share a_j of every cell, are the mixture with weights ``w_k prod_j sum_v a_j(v) p_kj(v)`` and
cells ``proportional to a_j(v) p_kj(v)``: Bayes' rule, no rejection, always as many rows as asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from privsynth.errors import ConditionError
from privsynth.training.balance import balance
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.layout import Layout

_BELOW_ONE = 1 - 2.0**-20
_AT_ONCE = 1024  # demands whose weights are held at the same time, of 1024 components each: 8 MB


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of products over cells.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
        Sum to 1.
    probabilities : ndarray of shape (n_components, layout.width)
        Sum to 1 in each span.
    layout : Layout
        Spans of the columns.
    """

    weights: FloatArray
    probabilities: FloatArray
    layout: Layout

    def condition(self, allowed: Mapping[str, FloatArray]) -> tuple[Mixture, float]:
        """Return the mixture of rows that satisfy demands, and the probability of these.

        Parameters
        ----------
        allowed : mapping of str to ndarray of shape (n_cells,)
            Share of each cell that is allowed, by column.

        Raises
        ------
        ConditionError
            When no row can satisfy them.
        """
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights)
        probabilities = self.probabilities.copy() if allowed else self.probabilities
        for name, share in allowed.items():
            span = self.layout[name].slice
            part = probabilities[:, span] * share
            total = part.sum(axis=1)
            with np.errstate(divide="ignore"):
                log_weights = log_weights + np.log(total)
            probabilities[:, span] = np.divide(part, total[:, None], out=np.zeros_like(part), where=total[:, None] > 0)
        top = log_weights.max()
        if not np.isfinite(top):
            raise _impossible(allowed)
        weights = np.exp(log_weights - top)
        return Mixture(weights / weights.sum(), probabilities, self.layout), float(weights.sum() * np.exp(top))

    @cached_property
    def _ladders(self) -> list[FloatArray]:
        """The probabilities of each column, a step a component."""
        return [_ladder(self.probabilities[:, span.slice]) for span in self.layout.spans]

    def draw(self, n_rows: int, rng: np.random.Generator) -> IntArray:
        """Draw rows of cells, shape (n_rows, n_columns), counted within each column.

        Systematic sampling (Madow 1949): each row alone has the mixture's distribution, but components, and the
        cells of each column within a component, come as often as they should to within one row.  Pairs of columns do
        as nearly as rows of the same component allow (`training.balance`), at the cost of a hundredth or so of the
        chances of the rarest pairs.
        """
        shares = np.cumsum(self.weights)
        place = (np.arange(n_rows) + rng.random(1)) * (shares[-1] / max(1, n_rows))
        component = np.searchsorted(shares, place, side="right")
        component = np.minimum(component, np.flatnonzero(self.weights)[-1])  # ascending
        counts = np.bincount(component, minlength=len(self.weights))
        rank = np.arange(n_rows) - (np.cumsum(counts) - counts)[component]
        cells = np.empty((n_rows, len(self.layout.spans)), dtype=np.int64)
        for j, ladder in enumerate(self._ladders):
            shift = rng.random(len(counts))[component]
            matched = np.argsort(component + _BELOW_ONE * rng.random(n_rows))  # at random within each component
            cells[matched, j] = _climb(ladder, component, (rank + shift) / counts[component])
        cells = balance(cells, component, self.weights, self.probabilities, self.layout, rng)
        return cells[rng.permutation(n_rows)]

    def draw_each(self, demands: Mapping[str, tuple[FloatArray, IntArray]], rng: np.random.Generator) -> IntArray:
        """Draw a row of cells for each of many rows of demands, as `condition` and `draw` would one at a time.

        Parameters
        ----------
        demands : mapping of str to (ndarray of shape (n_values, n_cells), ndarray of int of shape (n_rows,))
            By column, what can be demanded, as shares of each cell, and which of these each row demands.

        Raises
        ------
        ConditionError
            When there are demands that no row can satisfy.
        """
        wanted = np.stack([which for _, which in demands.values()], axis=1)
        distinct, combination = np.unique(wanted, axis=0, return_inverse=True)
        component = np.empty(len(wanted), dtype=np.int64)
        order = np.argsort(combination, kind="stable")
        ends = np.searchsorted(combination[order], np.arange(0, len(distinct) + _AT_ONCE, _AT_ONCE))
        for number, (first, last) in enumerate(itertools.pairwise(ends)):
            start, rows = number * _AT_ONCE, order[first:last]
            weights = self._weights_under(demands, distinct[start : start + _AT_ONCE])
            component[rows] = _climb(_ladder(weights), combination[rows] - start, rng.random(len(rows)))
        cells = self._draw_cells(component, rng)
        for name, (shares, which) in demands.items():
            span, j = self.layout[name], self.layout.index(name)
            for start in range(0, len(cells), _AT_ONCE):
                rows = np.arange(start, min(start + _AT_ONCE, len(cells)))
                allowed = shares[which[rows]] * self.probabilities[component[rows], span.slice]
                cells[rows, j] = _climb(_ladder(allowed), rows - start, rng.random(len(rows)))
        return cells

    def _weights_under(self, demands: Mapping[str, tuple[FloatArray, IntArray]], distinct: IntArray) -> FloatArray:
        """Return the weights of components under each distinct row of demands, up to a factor a row."""
        weights = np.tile(self.weights, (len(distinct), 1))
        for (name, (shares, _)), which in zip(demands.items(), distinct.T, strict=True):
            values, place = np.unique(which, return_inverse=True)
            weights *= (shares[values] @ self.probabilities[:, self.layout[name].slice].T)[place]
            top = weights.max(axis=1, keepdims=True)
            if not top.all():
                raise _impossible(demands)
            weights /= top
        return weights

    def support_each(self, shares: Mapping[str, FloatArray], distinct: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return how well rows of demands are known, as `Sampler.support` does for one.

        Parameters
        ----------
        shares : mapping of str to ndarray of shape (n_values, n_cells)
            What can be demanded of each column.
        distinct : ndarray of int of shape (n_rows, n_columns)
            Which of these each row demands.

        Returns
        -------
        effective, touched : ndarray of shape (n_rows,)
        """
        effective, touched = np.empty(len(distinct)), np.empty(len(distinct))
        demands = {name: (table, distinct) for name, table in shares.items()}
        for start in range(0, len(distinct), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            weights = self._weights_under(demands, distinct[rows])
            effective[rows] = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
            reached = np.tile(self.weights, (len(weights), 1))
            for (name, table), states in zip(shares.items(), distinct[rows].T, strict=True):
                values, place = np.unique(states, return_inverse=True)
                cells = self.probabilities[:, self.layout[name].slice]
                reached *= ((table[values] > 0).astype(np.float64) @ cells.T)[place]
            touched[rows] = reached.sum(axis=1)
        return effective, touched

    def _draw_cells(self, component: IntArray, rng: np.random.Generator) -> IntArray:
        """Draw the cells of rows whose components are known."""
        cells = np.empty((len(component), len(self.layout.spans)), dtype=np.int64)
        for j, ladder in enumerate(self._ladders):
            cells[:, j] = _climb(ladder, component, rng.random(len(component)))
        return cells

    def log_prob(self, cells: IntArray) -> FloatArray:
        """Return the log probability of rows of cells, shape (n_rows,)."""
        logs = np.log(np.clip(self.probabilities, 1e-300, None))
        total = np.log(np.clip(self.weights, 1e-300, None))[None, :].repeat(len(cells), axis=0)
        for j, span in enumerate(self.layout.spans):
            total += logs[:, span.start + cells[:, j]].T
        top = total.max(axis=1, keepdims=True)
        return (top + np.log(np.exp(total - top).sum(axis=1, keepdims=True)))[:, 0]


def _ladder(weights: FloatArray) -> FloatArray:
    """Return the cumulative shares of each row, row k's shifted by k: sorted as a whole."""
    cumulative = np.cumsum(weights, axis=1)
    last = cumulative[:, -1:]
    shares = np.divide(cumulative, last, out=np.ones_like(cumulative), where=last > 0)
    return np.asarray(shares + np.arange(len(weights))[:, None], dtype=np.float64)


def _climb(ladder: FloatArray, step: IntArray, uniform: FloatArray) -> IntArray:
    """Return the column of `ladder` that `uniform`, in [0, 1], points at in each `step`, a row of it."""
    size = ladder.shape[1]
    target = np.minimum(step + uniform, np.nextafter(step + 1.0, 0.0))  # stays on its step
    place = np.searchsorted(ladder.ravel(), target, side="right")
    return np.clip(place - step * size, 0, size - 1)


def _impossible(names: Iterable[str]) -> ConditionError:
    return ConditionError(
        f"No row can satisfy the conditions on {', '.join(map(repr, names))} together: the model gives them "
        "probability zero. Widen one of them."
    )
