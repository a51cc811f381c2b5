"""The generator's own tables of pairs in wide tables: a product for each measured pair, not all columns at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from privsynth.training.measure import PairTable
from privsynth.transforms.cells import IntArray
from privsynth.transforms.layout import Layout

_MOST_CELLS = 1 << 18  # compared in a step on average, of each class
Group = tuple[slice, Tensor, Tensor]  # cells of a first column, those of its partners, released counts by class


class SparsePairs:
    """Released pairs of a wide table, by their first column; a random part of them is compared in each step.

    Parameters
    ----------
    table : PairTable
        Released counts.
    scale : float
        Standard deviation of their noise.
    layout : Layout
        Spans of the columns.
    device : torch.device
        Where targets are kept.
    """

    def __init__(self, table: PairTable, scale: float, layout: Layout, device: torch.device) -> None:
        self.scale, self.n_classes = scale, len(table.values)
        self._groups: list[Group] = []
        for first in sorted({i for i, _ in table.pairs}):
            partners = [layout.spans[j] for i, j in table.pairs if i == first]
            cells = np.concatenate([np.arange(span.start, span.stop) for span in partners])
            rows = layout.spans[first].slice
            wanted = torch.as_tensor(table.values[:, rows][:, :, cells], dtype=torch.float32, device=device)
            self._groups.append((rows, torch.as_tensor(cells, device=device), wanted))
        self._sizes = np.array([wanted[0].numel() for _, _, wanted in self._groups])

    @property
    def n_cells(self) -> int:
        """How many cells were released."""
        return int(self._sizes.sum()) * self.n_classes

    def squares(self, parts: list[Tensor], sizes: Tensor, relative: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the sum of squared errors in units of noise, of all pairs, or an unbiased estimate of it.

        Parameters
        ----------
        parts : list of Tensor of shape (n_components, width)
            Cell probabilities by class.
        sizes, relative : Tensor of shape (n_classes,)
            Rows of each class, and its tolerance relative to `scale`.
        """
        chosen = self._chosen(rng)
        groups = [self._groups[number] for number in chosen]
        each = [float(size) / len(part) for size, part in zip(sizes, parts, strict=True)]
        total: Tensor = _Squares.apply(groups, each, relative.tolist(), *parts)
        return total * (len(self._groups) / len(chosen) / self.scale**2)

    def _chosen(self, rng: np.random.Generator) -> IntArray:
        """Return the groups of this step: all, or so many at random that `_MOST_CELLS` are compared on average."""
        n = len(self._groups)
        few = int(n * _MOST_CELLS / max(1, self._sizes.sum()))
        return np.arange(n) if few >= n else rng.choice(n, size=max(1, few), replace=False)


class _Squares(torch.autograd.Function):
    """Squared errors of groups of pairs, with the gradient taken on the way: many small products, each once.

    Left to autograd, every block of columns that is read becomes a gradient as large as the whole table.
    """

    @staticmethod
    def forward(ctx: Any, groups: list[Group], each: list[float], relative: list[float], *parts: Tensor) -> Tensor:
        rows = [part.detach().T.contiguous() for part in parts]
        grads = [torch.zeros_like(row) for row in rows]
        total = torch.zeros((), dtype=torch.float64)
        for first, cells, wanted in groups:
            one, two = [row[first] for row in rows], [row.index_select(0, cells) for row in rows]
            blocks = torch.stack([n * (a @ b.T) for n, a, b in zip(each, one, two, strict=True)])
            if len(wanted) < len(parts):  # not split by class
                error = blocks.sum(dim=0) - wanted[0]
                total += float(error.square().sum())
                slopes = [error] * len(parts)
            else:
                tolerance = blocks.new_tensor(relative)[:, None, None]
                errors = (blocks - wanted) / tolerance
                total += float(errors.square().sum())
                slopes = list(errors / tolerance)
            for grad, n, slope, a, b in zip(grads, each, slopes, one, two, strict=True):
                grad[first] += (2 * n) * (slope @ b)
                grad.index_add_(0, cells, (2 * n) * (slope.T @ a))
        ctx.save_for_backward(*grads)
        return total.to(dtype=parts[0].dtype, device=parts[0].device)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Any:
        return None, None, None, *(grad.T * outputs[0] for grad in ctx.saved_tensors)
