r"""The measured critic: how far the generator's own tables are from the released ones, in units of noise.

With soft outputs P (rows: components of the mixture), the expected tables are matrix products, without
sampling noise: 1-ways ``n_c mean(P_c)`` and all pairs at once ``n_c P_c' P_c / B_c``; boxes of partitions are
means of products of interval masses.  The loss is the mean over released cells of
``(expected - released)^2 / scale^2``: 1 is the noise floor, for then the model is as far from the release as the
truth is.  Where pairs are shrunk (`training.shrinkage`), the truth is nearer, and the sum is divided by fewer cells.
Exact releases (``epsilon=None``) count as noisy by 0.1% of the rows, those of a class by
as much times the root of its share: a rare class would not be seen otherwise.
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
from privsynth.transforms.cells import FloatArray
from privsynth.transforms.layout import Layout
from privsynth.transforms.simplex import project_to_simplex

_EXACT = 1e-3
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
        self._one_way = self._tensor(measurements.one_way.values)
        self._one_scale = self._scale(measurements.one_way.scale)
        self._by_class, self._by_class_scale = None, 1.0
        if measurements.class_columns is not None:
            self._by_class = self._tensor(measurements.class_columns.values)
            self._by_class_scale = self._scale(measurements.class_columns.scale)
        pairs, self._lost = measurements.pairs, 0.0
        if pairs is not None and shrinkage:
            columns = measurements.class_columns
            if columns is None:
                columns = Release(measurements.one_way.values[None], measurements.one_way.scale)
            pairs, self._lost = shrink(pairs, columns, layout, self.class_shares * n_rows)
        tables = [table for table in (measurements.condition_pairs, pairs) if table is not None]
        kind = SparsePairs if layout.width > _MAX_WIDTH else DensePairs
        self._pairs = [kind(table, self._scale(table.scale), layout, device) for table in tables]
        noisy = measurements.one_way.scale > 0
        self.floor = 1.0 if noisy else 0.0  # exact releases have none
        relative = np.ones_like(self.class_shares) if noisy else np.sqrt(self.class_shares)
        self._relative = torch.tensor(relative, dtype=torch.float32, device=device)
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

    def loss(self, parts: list[Tensor]) -> Tensor:
        """Return the loss of cell probabilities by class, each of shape (B_c, width): a scalar, 1 is noise."""
        squares, cells = self._marginal_squares(parts)
        for boxes, counts in self._some_partitions():
            masses = torch.stack([boxes(part).mean(dim=0) for part in parts]) * self._sizes[:, None]
            errors = (masses - counts) / self._relative[:, None]
            squares = squares + _EVERY * errors.square().sum() / self._boxes_scale**2
            cells = cells + _EVERY * counts.numel()
        for pairs in self._pairs:
            squares = squares + pairs.squares(parts, self._sizes, self._relative, self._rng)
            cells = cells + pairs.n_cells
        return squares / (cells - self._lost).clamp(min=1.0)  # no cells where the target is the only column

    def _some_partitions(self) -> list[tuple[Boxes, Tensor]]:
        """Return the partitions compared in this step: every fourth counts for four, to save time."""
        self._turn = (self._turn + 1) % _EVERY
        return self._boxes[self._turn :: _EVERY]

    def _marginal_squares(self, parts: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return squared errors of the 1-ways and columns by class, and how many cells they are."""
        means = torch.stack([part.mean(dim=0) for part in parts]) * self._sizes[:, None]
        squares = ((means.sum(dim=0) - self._one_way) * self._free).square().sum() / self._one_scale**2
        cells = self._free.sum()
        if self._by_class is not None:
            errors = (means - self._by_class) * self._free / self._relative[:, None]
            squares = squares + errors.square().sum() / self._by_class_scale**2
            cells = cells * (1 + len(parts))
        return squares, cells


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
