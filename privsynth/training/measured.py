r"""The measured critic: how far the generator's own tables are from the released ones, in units of noise.

With soft outputs P (rows: components of the mixture), the expected tables are matrix products, without
sampling noise: 1-ways ``n_c mean(P_c)`` and all pairs at once ``n_c P_c' P_c / B_c``; boxes of partitions are
means of products of interval masses.  The loss is the mean over released cells of
``(expected - released)^2 / scale^2``: 1 is the noise floor, for then the model is as far from the release as the
truth is.  Where pairs are shrunk (`training.shrinkage`), the truth is nearer, and the sum is divided by fewer cells.
What is minimised, the objective, is a weighted mean: where noise is next to nothing, no count is taken for better known
than to a small share of the rows, those of a class times the root of its share; else what the generator misses of
a large class would count for all, and a rare one for nothing.  Exact releases (``epsilon=None``) count as noisy by 0.1%
of the rows, those of a class by as much times the root of its share.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from privsynth.privacy.mechanisms import Release
from privsynth.training.measure import Measurements
from privsynth.training.pairs import DensePairs, SparsePairs
from privsynth.training.partitions import Boxes, PartitionTable
from privsynth.training.shrinkage import shrink
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.layout import Layout
from privsynth.transforms.simplex import project_to_simplex

_EXACT = 1e-3
_STRONG = 2e-4  # of the rows: no noisy count is better known, in a class times the root of its share
_MAX_WIDTH = 1200
_EVERY = 4  # one partition in so many is compared in a step


class MeasuredCritic:
    """The loss of a generator against `measurements`.

    Parameters
    ----------
    measurements : Measurements
        Releases only.
    layout : Layout
        Spans of the columns.
    n_rows : int
        The released row count.
    device : torch.device
        Where the targets are kept.
    seed : int
        For the pairs compared in a step, where the table is too wide to compare all.
    shrinkage : bool
        Whether pairs are drawn towards independence as far as their noise leaves in doubt that they are off it.
    """

    def __init__(
        self,
        measurements: Measurements,
        layout: Layout,
        *,
        n_rows: int,
        device: torch.device,
        seed: int = 0,
        shrinkage: bool = True,
    ) -> None:
        self.layout = layout
        self.n_rows = float(n_rows)
        self.split = measurements.split
        self.device = device
        self._rng = np.random.default_rng(seed)
        span = None if self.split is None else layout.spans[self.split]
        self.class_shares = _class_shares(measurements, layout)
        self._sizes = torch.tensor(self.class_shares * n_rows, dtype=torch.float32, device=device)
        free = torch.ones(layout.width, device=device)
        if span is not None:
            free[span.slice] = 0.0
        self._free = free
        noisy = measurements.one_way.scale > 0
        self.floor = 1.0 if noisy else 0.0  # exact releases have none
        weights, counted = _weights(measurements, self.class_shares, n_rows), np.ones(len(self._sizes) + 1)
        self._weights, self._counted = self._tensor(weights), weights if noisy else counted
        self._plain = self._tensor(counted if noisy else weights)
        self._one_way = self._tensor(measurements.one_way.values)
        self._one_scale = self._scale(measurements.one_way.scale)
        self._cells = np.zeros_like(counted)  # compared in every step beside boxes: of each class, and of all rows
        self._cells[-1] = float(free.sum())
        self._by_class, self._by_class_scale = None, 1.0
        if measurements.class_columns is not None:
            self._by_class = self._tensor(measurements.class_columns.values)
            self._by_class_scale = self._scale(measurements.class_columns.scale)
            self._cells[:-1] += float(free.sum())
        pairs = measurements.pairs
        if pairs is not None and shrinkage:
            columns = measurements.class_columns
            if columns is None:
                columns = Release(measurements.one_way.values[None], measurements.one_way.scale)
            pairs, lost = shrink(pairs, columns, layout, self.class_shares * n_rows)
            self._cells[:-1] -= lost
        tables = [table for table in (measurements.condition_pairs, pairs) if table is not None]
        kind = SparsePairs if layout.width > _MAX_WIDTH else DensePairs
        self._pairs = [kind(table, self._scale(table.scale), layout, device) for table in tables]
        for table in self._pairs:
            self._cells[self._classes(table.n_cells)] += table.n_cells
        self._boxes: list[tuple[Boxes, Tensor]] = []
        self._boxes_scale, self._turn = 1.0, 0

    def add(self, table: PartitionTable) -> None:
        """Compare with partitions too from here on: they are released when a first fit is there to grow them on."""
        self._boxes = [
            (Boxes(partition, self.layout, self.device), self._tensor(values))
            for partition, values in zip(table.partitions, table.values, strict=True)
        ]
        self._boxes_scale = self._scale(table.scale)

    def _tensor(self, values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self.device)

    def _scale(self, scale: float) -> float:
        return scale if scale > 0 else _EXACT * self.n_rows

    def compare(self, parts: list[Tensor]) -> tuple[Tensor, float]:
        """Compare cell probabilities by class, each of shape (B_c, width), with what was released.

        Returns
        -------
        objective : Tensor
            A scalar to minimise: the weighted mean of squared errors in units of noise.
        loss : float
            Their plain mean: 1 is the noise floor. Of exact releases, which have none, the weighted one.
        """
        squares, cells = self._marginal_squares(parts), self._cells.copy()
        for boxes, counts in self._some_partitions():
            masses = torch.stack([boxes(part).mean(dim=0) for part in parts]) * self._sizes[:, None]
            squares[:-1] += _EVERY * (masses - counts).square().sum(dim=1) / self._boxes_scale**2
            cells[:-1] += _EVERY * counts.shape[1]
        for pairs in self._pairs:
            squares[self._classes(pairs.n_cells)] += pairs.squares(parts, self._sizes, self._rng)
        # no cells where the target is the only column
        objective = squares @ self._weights / max(float(cells @ self._counted), 1.0)
        return objective, float(squares.detach() @ self._plain) / max(float(cells.sum()), 1.0)

    def _classes(self, cells: IntArray) -> slice:
        """Return where squares and cells of a table are: with those of each class, or of all rows."""
        return slice(len(self._sizes)) if len(cells) == len(self._sizes) else slice(-1, None)

    def _some_partitions(self) -> list[tuple[Boxes, Tensor]]:
        """Return the partitions compared in this step: every fourth counts for four, to save time."""
        self._turn = (self._turn + 1) % _EVERY
        return self._boxes[self._turn :: _EVERY]

    def _marginal_squares(self, parts: list[Tensor]) -> Tensor:
        """Return squared errors of the columns by class, and of the 1-ways, in units of noise."""
        means = torch.stack([part.mean(dim=0) for part in parts]) * self._sizes[:, None]
        of_all = ((means.sum(dim=0) - self._one_way) * self._free).square().sum() / self._one_scale**2
        of_classes = torch.zeros_like(self._sizes)
        if self._by_class is not None:
            errors = (means - self._by_class) * self._free
            of_classes = errors.square().sum(dim=1) / self._by_class_scale**2
        return torch.cat([of_classes, of_all[None]])


def _weights(measurements: Measurements, class_shares: FloatArray, n_rows: int) -> FloatArray:
    """Return the weights of squared errors in units of noise: of each class, and of all rows."""
    shares = np.append(class_shares, 1.0)
    if measurements.one_way.scale <= 0:
        return 1 / shares
    if measurements.pairs is None:
        return np.ones_like(shares)
    tolerances = np.maximum(1.0, (_STRONG * n_rows / measurements.pairs.scale) ** 2 * shares)
    return tolerances.min() / tolerances


def _class_shares(measurements: Measurements, layout: Layout) -> FloatArray:
    """Return the share of each class, from every table that is split by it.

    A column's cells in a class add up to its rows, and so do those of a pair: each table counts the classes once more,
    the narrow ones well.  All are weighted by their inverse variances.
    """
    if measurements.split is None:
        return np.ones(1)
    counts = measurements.one_way.values[layout.spans[measurements.split].slice]
    by_class, pairs = measurements.class_columns, measurements.pairs
    if by_class is not None and by_class.scale > 0:
        others = [span for j, span in enumerate(layout.spans) if j != measurements.split]
        sums = [counts, *(by_class.values[:, span.slice].sum(axis=1) for span in others)]
        variances = [measurements.one_way.scale**2, *(by_class.scale**2 * span.size for span in others)]
        found, weights = np.array(sums), np.repeat(1 / np.array(variances)[:, None], len(counts), axis=1)
        if pairs is not None:
            found = np.concatenate([found, pairs.sizes(layout)])
            weights = np.concatenate([weights, 1 / pairs.size_variances(layout)])
        counts = np.average(found, axis=0, weights=weights)
    shares = project_to_simplex(counts)
    return np.clip(shares, 1e-6, None) / np.clip(shares, 1e-6, None).sum()
