"""The generator's own tables of pairs beside released ones: of all columns at once, or a product for each pair.

Where a class is counted in groups of cells, the probabilities of a group are added up first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from privsynth.training.grouping import summed
from privsynth.training.measure import PairTable
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.layout import Layout

_MOST_CELLS = 1 << 18  # compared in a step on average, of each class
Block = tuple[slice, Tensor, Tensor, Tensor]  # groups of a first column, of partners, released counts, their weights


class _Groups:
    """The groups of cells that one class is counted in; every cell alone where there are none."""

    def __init__(self, number: IntArray | None, layout: Layout, device: torch.device) -> None:
        self.number = np.arange(layout.width) if number is None else number
        self._index = None if number is None else torch.as_tensor(number, device=device)
        self.width = int(self.number.max()) + 1
        self._layout = layout

    def span(self, j: int) -> slice:
        """Return the groups of a column."""
        cells = self.number[self._layout.spans[j].slice]
        return slice(int(cells[0]), int(cells.max()) + 1)

    def counts(self, values: FloatArray, i: int, j: int) -> FloatArray:
        """Return the counts of a pair's groups, from a table over all cells."""
        rows, cols = (self._layout.spans[k].slice for k in (i, j))
        first, second = self.number[rows], self.number[cols]
        return summed(values[rows, cols], first - first[0], second - second[0])

    def sums(self, part: Tensor) -> Tensor:
        """Return probabilities of groups, shape (n_components, self.width), from those of cells."""
        if self._index is None:
            return part
        return torch.zeros(len(part), self.width, dtype=part.dtype, device=part.device).index_add(1, self._index, part)


def _groups_of(table: PairTable, layout: Layout, device: torch.device) -> list[_Groups]:
    numbers = [None] * len(table.values) if table.groups is None else list(table.groups)
    return [_Groups(number, layout, device) for number in numbers]


class DensePairs:
    """Released pairs, compared in one product of all columns for each class.

    Parameters
    ----------
    table : PairTable
        Released counts.
    scale : float
        Standard deviation of their noise, of pairs whose relative noise is 1.
    layout : Layout
        Spans of the columns.
    device : torch.device
        Where targets are kept.
    """

    def __init__(self, table: PairTable, scale: float, layout: Layout, device: torch.device) -> None:
        self.scale = scale
        self._groups = _groups_of(table, layout, device)
        self._targets, self._weights = [], []  # one over the relative noise; 0 for what was not measured
        for groups, values in zip(self._groups, table.values, strict=True):
            wanted, weight = np.zeros((2, groups.width, groups.width), dtype=np.float32)
            for (i, j), relative in table.noise.items():
                wanted[groups.span(i), groups.span(j)] = groups.counts(values, i, j)
                weight[groups.span(i), groups.span(j)] = 1 / relative
            self._targets.append(torch.as_tensor(wanted, device=device))
            self._weights.append(torch.as_tensor(weight, device=device))
        self.n_cells = np.array([int((weight > 0).sum()) for weight in self._weights])

    def squares(self, parts: list[Tensor], sizes: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the sums of squared errors in units of noise; parameters as for `SparsePairs.squares`."""
        if len(self._targets) < len(parts):  # not split by class
            gram = torch.stack([part.T @ part * (n / len(part)) for part, n in zip(parts, sizes, strict=True)]).sum(0)
            return ((gram - self._targets[0]) * self._weights[0]).square().sum()[None] / self.scale**2
        totals = []
        for part, n, groups, wanted, weight in zip(
            parts, sizes, self._groups, self._targets, self._weights, strict=True
        ):
            totals.append(_Gram.apply(groups.sums(part), wanted, weight, n / len(part)))
        return torch.stack(totals) / self.scale**2


class _Gram(torch.autograd.Function):
    """Squared errors of all pairs of a class, with the gradient in one product: left to autograd, it takes two."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, wanted: Tensor, weight: Tensor, each: Tensor) -> Tensor:
        error = (each * (part.T @ part) - wanted) * weight
        slope = error * weight
        ctx.save_for_backward(part, (2 * each) * (slope + slope.T))
        return error.square().sum()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Any:
        part, slope = ctx.saved_tensors
        return part @ slope * outputs[0], None, None, None


class SparsePairs:
    """Released pairs of a wide table, by their first column; a random part of them is compared in each step.

    Parameters
    ----------
    table : PairTable
        Released counts.
    scale : float
        Standard deviation of their noise, of pairs whose relative noise is 1.
    layout : Layout
        Spans of the columns.
    device : torch.device
        Where targets are kept.
    """

    def __init__(self, table: PairTable, scale: float, layout: Layout, device: torch.device) -> None:
        self.scale = scale
        self._groups = _groups_of(table, layout, device)
        self._blocks: list[list[Block]] = []  # by first column and class
        noise = table.noise
        for first in sorted({i for i, _ in table.pairs}):
            partners = [j for i, j in table.pairs if i == first]
            blocks: list[Block] = []
            for groups, values in zip(self._groups, table.values, strict=True):
                spans = [groups.span(j) for j in partners]
                cells = np.concatenate([np.arange(span.start, span.stop) for span in spans])
                wanted = np.hstack([groups.counts(values, first, j) for j in partners])
                targets = torch.as_tensor(wanted, dtype=torch.float32, device=device)
                each = np.repeat([1 / noise[first, j] for j in partners], [span.stop - span.start for span in spans])
                weights = torch.as_tensor(each, dtype=torch.float32, device=device)
                blocks.append((groups.span(first), torch.as_tensor(cells, device=device), targets, weights))
            self._blocks.append(blocks)
        self._sizes = np.array([[wanted.numel() for _, _, wanted, _ in blocks] for blocks in self._blocks])
        self.n_cells = self._sizes.sum(axis=0)

    def squares(self, parts: list[Tensor], sizes: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the sums of squared errors in units of noise, of all pairs, or unbiased estimates of them.

        Parameters
        ----------
        parts : list of Tensor of shape (n_components, width)
            Cell probabilities by class.
        sizes : Tensor of shape (n_classes,)
            Rows of each class.
        rng : numpy.random.Generator
            For the pairs compared, where they are too many to compare all.

        Returns
        -------
        Tensor of shape (n_classes,), or (1,) where the pairs are not split by class
        """
        chosen = self._chosen(rng)
        each = [float(size) / len(part) for size, part in zip(sizes, parts, strict=True)]
        groups = self._groups if len(self._groups) == len(parts) else self._groups * len(parts)
        sums = [of_class.sums(part) for of_class, part in zip(groups, parts, strict=True)]
        totals: Tensor = _Squares.apply([self._blocks[number] for number in chosen], each, *sums)
        return totals * (len(self._blocks) / len(chosen) / self.scale**2)

    def _chosen(self, rng: np.random.Generator) -> IntArray:
        """Return the first columns of this step: all, or so many at random that `_MOST_CELLS` are compared."""
        n = len(self._blocks)
        few = int(n * _MOST_CELLS * len(self._groups) / max(1, self._sizes.sum()))
        return np.arange(n) if few >= n else rng.choice(n, size=max(1, few), replace=False)


class _Squares(torch.autograd.Function):
    """Squared errors of blocks of pairs, with the gradient taken on the way: many small products, each once.

    Left to autograd, every block of columns that is read becomes a gradient as large as the whole table.
    """

    @staticmethod
    def forward(ctx: Any, chosen: list[list[Block]], each: list[float], *parts: Tensor) -> Tensor:
        rows = [part.detach().T.contiguous() for part in parts]
        grads = [torch.zeros_like(row) for row in rows]
        totals = torch.zeros(len(chosen[0]), dtype=torch.float64)
        for blocks in chosen:
            whole = len(blocks) < len(parts)  # not split by class
            of_parts = blocks * len(parts) if whole else blocks
            where = [(first, cells) for first, cells, _, _ in of_parts]
            ends = [(row[first], row.index_select(0, cells)) for row, (first, cells) in zip(rows, where, strict=True)]
            found = [n * (a @ b.T) for n, (a, b) in zip(each, ends, strict=True)]
            if whole:
                _, _, wanted, weights = blocks[0]
                error = (torch.stack(found).sum(dim=0) - wanted) * weights
                totals[0] += float(error.square().sum())
                slopes = [error * weights] * len(parts)
            else:
                errors = [(f - wanted) * w for f, (_, _, wanted, w) in zip(found, blocks, strict=True)]
                totals += torch.tensor([float(e.square().sum()) for e in errors], dtype=torch.float64)
                slopes = [e * block[3] for e, block in zip(errors, blocks, strict=True)]
            for grad, n, slope, (a, b), (first, cells) in zip(grads, each, slopes, ends, where, strict=True):
                grad[first] += (2 * n) * (slope @ b)
                grad.index_add_(0, cells, (2 * n) * (slope.T @ a))
        ctx.save_for_backward(*grads)
        return totals.to(dtype=parts[0].dtype, device=parts[0].device)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Any:
        grads = ctx.saved_tensors
        slopes = outputs[0] if len(outputs[0]) == len(grads) else outputs[0].expand(len(grads))
        return None, None, *(grad.T * slope for grad, slope in zip(grads, slopes, strict=True))
