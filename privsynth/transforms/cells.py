r"""Mode-specific normalization of a number: value -> (cell, position in it), and back.

CTGAN (Xu et al. 2019) fits a Gaussian mixture to the raw values and calls its components modes.  Here a
mode is a *cell*: a group of neighbouring *leaves* of a private histogram, and an *atom* is a leaf of one
single value (a spike at 0, a round amount).  Edges, atoms and the masses inside a cell come from releases
only, so the object holds nothing of the rows.

Values on a grid (whole numbers, fixed decimals) are handled in grid units; the leaf [a, b) then holds the
integers a .. b-1, and a leaf of one integer is an atom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of one numeric column.

    Parameters
    ----------
    low, high : ndarray of shape (n_leaves,)
        Ends of the leaves, in grid units where there is a grid; intervals first, in ascending order and
        without gaps, then atoms (``low == high``) in ascending order.
    mass : ndarray of shape (n_leaves,)
        Released share of rows in each leaf, >= 0.
    cell : ndarray of int of shape (n_leaves,)
        Which cell each leaf belongs to, 0 .. n_cells-1.
    decimals : int or None
        Decimals of the grid; None for none.
    """

    low: FloatArray
    high: FloatArray
    mass: FloatArray
    cell: IntArray
    decimals: int | None = None

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.cell.max()) + 1

    @cached_property
    def _n_intervals(self) -> int:
        return int((self.low < self.high).sum())

    @cached_property
    def _floor(self) -> FloatArray:
        """A trace of mass in every interval by its width, so that no range within the bounds is impossible."""
        width = self.high - self.low
        return 1e-9 * width / max(float(width.sum()), 1e-300)

    def to_grid(self, values: FloatArray) -> FloatArray:
        """Turn values into grid units (rounded to the grid), or return them as they are."""
        return values if self.decimals is None else np.rint(values * 10.0**self.decimals)

    def from_grid(self, units: FloatArray) -> FloatArray:
        """Turn grid units into values."""
        return units if self.decimals is None else np.round(units / 10.0**self.decimals, self.decimals)

    def leaf_of(self, values: FloatArray) -> IntArray:
        """Return the leaf of each value; values beyond the ends are cut to the outermost leaf."""
        k = self._n_intervals
        units = self.to_grid(values)
        atoms = self.low[k:]
        if k == 0:
            return np.abs(units[:, None] - atoms[None, :]).argmin(axis=1).astype(np.int64)
        leaf = np.clip(np.searchsorted(self.low[:k], units, side="right") - 1, 0, k - 1)
        if len(atoms):
            at = np.clip(np.searchsorted(atoms, units), 0, len(atoms) - 1)
            leaf = np.where(atoms[at] == units, k + at, leaf)
        return leaf.astype(np.int64)

    def encode(self, values: FloatArray) -> IntArray:
        """Return the cell of each value, shape (n_rows,)."""
        return self.cell[self.leaf_of(values)]

    def position(self, values: FloatArray) -> FloatArray:
        """Return alpha in [-1, 1], each value's place between the ends of its cell; 0 in an atom."""
        cell = self.encode(values)
        low = np.full(self.n_cells, np.inf)
        high = np.full(self.n_cells, -np.inf)
        np.minimum.at(low, self.cell, self.low)
        np.maximum.at(high, self.cell, self.high)
        width = np.where(high > low, high - low, 1.0)
        alpha = 2 * (self.to_grid(values) - low[cell]) / width[cell] - 1
        return np.where(high[cell] > low[cell], np.clip(alpha, -1, 1), 0.0)

    def overlap(self, low: float, high: float, *, low_open: bool, high_open: bool) -> tuple[FloatArray, FloatArray]:
        """Cut every leaf to a range of values; returns the new ends (empty leaves have low > high)."""
        if self.decimals is not None:
            first = self._next_unit(low, up=True, other=low_open)
            last = self._next_unit(high, up=False, other=high_open)
            atom = self.low == self.high
            start = np.maximum(self.low, first)
            stop = np.where(atom, np.minimum(self.high, last), np.minimum(self.high, last + 1))
            empty = np.where(atom, start > stop, start >= stop)
        else:
            low = np.nextafter(low, np.inf) if low_open else low
            high = np.nextafter(high, -np.inf) if high_open else high
            start, stop = np.maximum(self.low, low), np.minimum(self.high, high)
            atom = self.low == self.high
            empty = np.where(atom, start > stop, (start > stop) | ((start == stop) & (stop == self.high)))
        return np.where(empty, np.inf, start), np.where(empty, -np.inf, stop)

    def _next_unit(self, value: float, *, up: bool, other: bool) -> float:
        """Return the first grid point at `value` or up (down) from it, another than `value` if `other`.

        Compared are the values that are drawn, not `value * 10**decimals`, which is rounded.
        """
        unit = value * 10.0 ** (self.decimals or 0)
        if abs(unit) > 2.0**50:
            return unit
        near = np.floor(unit) + np.arange(-1.0, 3.0)
        points = self.from_grid(near)
        beyond = points > value if up else points < value
        fits = near[beyond if other else beyond | (points == value)]
        return float(fits[0] if up else fits[-1])

    def leaf_weights(self, start: FloatArray, stop: FloatArray) -> FloatArray:
        """Return the released mass of each leaf that lies between `start` and `stop`."""
        width = np.where(self.high > self.low, self.high - self.low, 1.0)
        share = np.where(self.high > self.low, np.clip(stop - start, 0, None) / width, 1.0)
        share = np.where((stop == start) & (self.high > self.low), 1e-12, share)  # one point of a continuum
        return np.where(start <= stop, (self.mass + self._floor) * share, 0.0)

    def cover(self, weights: FloatArray) -> FloatArray:
        """Return the share of each cell's mass that leaf `weights` cover, shape (n_cells,)."""
        return self.share(self.cell, weights)

    def share(self, cell: IntArray, weights: FloatArray) -> FloatArray:
        """Return the share of each cell's mass that parts of it with these `weights` have, shape (n_cells,)."""
        whole = np.bincount(self.cell, self.mass + self._floor, self.n_cells)
        part = np.bincount(cell, weights, self.n_cells)
        return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)

    def points(self, values: FloatArray) -> tuple[FloatArray, IntArray]:
        """Return the share of each cell's mass that single values have, as `share` of `leaf_weights` would.

        Returns
        -------
        table : ndarray of shape (n_states, n_cells)
            A value lies in an interval, an atom, both or neither: the shares of each such pair that occurs.
        state : ndarray of int of shape (n_values,)
            Which row of `table` each value has.
        """
        k, units = self._n_intervals, self.to_grid(values)
        around = np.searchsorted(self.low[:k], units, side="right") - 1
        around = np.where((around >= 0) & (units < np.append(self.high[:k], -np.inf)[around]), around, -1)
        at = np.searchsorted(self.low[k:], units)
        at = np.where(np.append(self.low[k:], np.nan)[at] == units, k + at, -1)
        pairs, state = np.unique(np.stack([around, at], axis=1), axis=0, return_inverse=True)
        mass = self.mass + self._floor
        whole = np.bincount(self.cell, mass, self.n_cells)[self.cell]
        mass = np.divide(mass, whole, out=np.zeros_like(mass), where=whole > 0)
        part = 1e-12 if self.decimals is None else 1 / np.where(self.high > self.low, self.high - self.low, 1.0)
        mass = mass * np.where(self.high > self.low, part, 1.0)
        table = np.zeros((len(pairs), self.n_cells))
        for leaf in pairs.T:
            rows = np.flatnonzero(leaf >= 0)
            np.add.at(table, (rows, self.cell[leaf[rows]]), mass[leaf[rows]])
        return table, state.reshape(-1)

    def likelihood(self) -> FloatArray:
        """Return how likely a value of each leaf is given each cell, shape (n_leaves, n_cells).

        A probability on a grid and in atoms, else a density. On a grid, an interval around an atom holds its value too.
        """
        width = np.where(self.high > self.low, self.high - self.low, 1.0)
        mass = self.mass + self._floor
        whole = np.bincount(self.cell, mass, self.n_cells)[self.cell]
        each = np.divide(mass, whole * width, out=np.zeros_like(mass), where=whole > 0)
        table = np.zeros((len(each), self.n_cells))
        table[np.arange(len(each)), self.cell] = each
        k = self._n_intervals
        if self.decimals is not None and k:
            atoms = np.arange(k, len(each))
            around = np.clip(np.searchsorted(self.low[:k], self.low[k:], side="right") - 1, 0, k - 1)
            inside = (self.low[around] <= self.low[k:]) & (self.low[k:] < self.high[around])
            table[atoms[inside], self.cell[around[inside]]] += each[around[inside]]
        return table

    def holds(self, values: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which values lie in a leaf, and not beyond the ends."""
        units, leaf = self.to_grid(values), self.leaf_of(values)
        low, high = self.low[leaf], self.high[leaf]
        last = np.where(low < high, high - (self.decimals is not None), high)
        return np.asarray((units >= low) & (units <= last))

    def draw(
        self, cells: IntArray, rng: np.random.Generator, *, start: FloatArray, stop: FloatArray, weights: FloatArray
    ) -> FloatArray:
        """Draw a value in each of `cells`: a leaf by `weights`, then uniformly from `start` to `stop`.

        Leaves come as often within each cell as they should, to within one row (`spread`).
        """
        order = np.argsort(self.cell, kind="stable")
        cumulative = np.cumsum(weights[order])
        total = np.bincount(self.cell, weights, self.n_cells)
        last = np.cumsum(np.bincount(self.cell, minlength=self.n_cells))
        before = np.concatenate([[0.0], cumulative])[np.concatenate([[0], last[:-1]])]
        target = before[cells] + spread(cells, rng) * total[cells]
        pick = np.searchsorted(cumulative, target, side="right")
        pick = np.clip(pick, np.concatenate([[0], last[:-1]])[cells], last[cells] - 1)
        leaf = order[pick]
        leaf = np.where(weights[leaf] > 0, leaf, self._heaviest(weights)[cells])
        low, high = start[leaf], stop[leaf]
        value = low + rng.random(len(cells)) * (high - low)
        if self.decimals is not None:
            value = np.floor(value)
            value = np.where(high > low, np.minimum(value, high - 1), low)
        return self.from_grid(value)

    def _heaviest(self, weights: FloatArray) -> IntArray:
        """Return the heaviest leaf of each cell: where rounding of the cumulative sum went astray."""
        best = np.zeros(self.n_cells, dtype=np.int64)
        for leaf in np.argsort(weights, kind="stable"):
            best[self.cell[leaf]] = leaf
        return best

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "mass": self.mass.tolist(),
            "cell": self.cell.tolist(),
            "decimals": self.decimals,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Cells:
        """Read `to_dict` back; raises ValueError when the arrays do not fit each other."""
        low, high, mass = (np.asarray(data[k], dtype=np.float64) for k in ("low", "high", "mass"))
        cell = np.asarray(data["cell"], dtype=np.int64)
        shapes = {low.shape, high.shape, mass.shape, cell.shape}
        if len(shapes) != 1 or low.ndim != 1 or not len(low) or (cell < 0).any() or (cell > len(cell)).any():
            raise ValueError("cells of a number do not fit each other")
        if not (np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all() and (mass >= 0).all()):
            raise ValueError("ends of cells are not in order")
        decimals = data["decimals"]
        return cls(low, high, mass, cell, None if decimals is None else int(decimals))


def spread(groups: IntArray, rng: np.random.Generator) -> FloatArray:
    """Return a place in [0, 1) for each row, evenly spread within each group: systematic sampling (Madow 1949).

    Each place alone is uniform, and it is at random which row of a group has which.

    Examples
    --------
    >>> places = spread(np.array([0, 1, 0, 0, 1]), np.random.default_rng(0))
    >>> np.sort(np.floor(places[[0, 2, 3]] * 3)), np.sort(np.floor(places[[1, 4]] * 2))
    (array([0., 1., 2.]), array([0., 1.]))
    """
    counts = np.bincount(groups)
    order = rng.permutation(len(groups))
    order = order[np.argsort(groups[order].astype(np.min_scalar_type(len(counts))), kind="stable")]
    of = groups[order]
    rank = np.arange(len(groups)) - (np.cumsum(counts) - counts)[of]
    places = np.empty(len(groups))
    places[order] = (rank + rng.random(len(counts))[of]) / counts[of]
    return np.minimum(places, np.nextafter(1.0, 0.0))


def group_leaves(low: FloatArray, high: FloatArray, mass: FloatArray, *, max_cells: int, min_mass: float) -> IntArray:
    """Merge neighbouring leaves into at most `max_cells` cells of mass >= `min_mass`.

    The lightest group is merged into its lighter neighbour until both hold, so that heavy atoms stay
    cells of their own and tails end in one wide cell.

    Returns
    -------
    ndarray of int of shape (n_leaves,)
        The cell of each leaf, numbered in ascending order of value.
    """
    order = np.lexsort((high, (low + high) / 2))
    groups = [[int(leaf)] for leaf in order]
    masses = [float(mass[leaf]) for leaf in order]
    while len(groups) > 1:
        i = int(np.argmin(masses))
        if len(groups) <= max_cells and masses[i] >= min_mass:
            break
        left = i - 1 if i == len(groups) - 1 or (i > 0 and masses[i - 1] <= masses[i + 1]) else i
        groups[left] += groups.pop(left + 1)
        masses[left] += masses.pop(left + 1)
    cell = np.empty(len(low), dtype=np.int64)
    for number, leaves in enumerate(groups):
        cell[leaves] = number
    return cell
