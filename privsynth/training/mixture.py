r"""Exact sampling from the generator as a finite mixture of products, under any conditions.

With component weights w_k and cell probabilities p_kj, the rows that satisfy independent demands on columns,
each allowing a share a_j of every cell, are the mixture with weights ``w_k prod_j sum_v a_j(v) p_kj(v)`` and
cells ``proportional to a_j(v) p_kj(v)``: Bayes' rule, no rejection, always as many rows as asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from privsynth.errors import ConditionError
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.layout import Layout


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
            raise ConditionError(
                f"No row can satisfy the conditions on {', '.join(map(repr, allowed))} together: the model gives them "
                "probability zero. Widen one of them."
            )
        weights = np.exp(log_weights - top)
        return Mixture(weights / weights.sum(), probabilities, self.layout), float(weights.sum() * np.exp(top))

    @cached_property
    def _ladders(self) -> list[FloatArray]:
        """Cumulative probabilities of each column, component k's shifted by k: one sorted array a column."""
        steps = np.arange(len(self.weights))[:, None]
        ladders = []
        for span in self.layout.spans:
            cumulative = np.cumsum(self.probabilities[:, span.slice], axis=1)
            last = cumulative[:, -1:]
            shares = np.divide(cumulative, last, out=np.ones_like(cumulative), where=last > 0)
            ladders.append(np.asarray(shares + steps, dtype=np.float64).ravel())
        return ladders

    def draw(self, n_rows: int, rng: np.random.Generator) -> IntArray:
        """Draw rows of cells, shape (n_rows, n_columns), counted within each column."""
        component = rng.choice(len(self.weights), size=n_rows, p=self.weights)
        cells = np.empty((n_rows, len(self.layout.spans)), dtype=np.int64)
        for j, (span, ladder) in enumerate(zip(self.layout.spans, self._ladders, strict=True)):
            target = np.minimum(component + rng.random(n_rows), np.nextafter(component + 1.0, 0.0))  # stays on its step
            place = np.searchsorted(ladder, target, side="right")
            cells[:, j] = np.clip(place - component * span.size, 0, span.size - 1)
        return cells

    def log_prob(self, cells: IntArray) -> FloatArray:
        """Return the log probability of rows of cells, shape (n_rows,)."""
        logs = np.log(np.clip(self.probabilities, 1e-300, None))
        total = np.log(np.clip(self.weights, 1e-300, None))[None, :].repeat(len(cells), axis=0)
        for j, span in enumerate(self.layout.spans):
            total += logs[:, span.start + cells[:, j]].T
        top = total.max(axis=1, keepdims=True)
        return (top + np.log(np.exp(total - top).sum(axis=1, keepdims=True)))[:, 0]
