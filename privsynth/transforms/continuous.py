"""Numeric and datetime columns: from bounds, atoms and leaves, all released, to cells."""

from __future__ import annotations

import math
import warnings
from collections.abc import Set
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import PrivsynthWarning
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.schema import Datetime
from privsynth.transforms.cells import Cells, FloatArray, group_leaves
from privsynth.transforms.columns import ColumnTransform, NumericColumn
from privsynth.transforms.discover import Range, declared_edges, discover_bounds, out_of_range, unit_edges
from privsynth.transforms.leaves import Leaves, grow_leaves
from privsynth.transforms.values import limits, number_dtype, step_of, to_number

BOUNDS = "bounds"
ROUNDS = ("leaves, round 1", "leaves, round 2", "leaves, round 3", "leaves, round 4")
MAX_CELLS = 32
_NO_RANGE = Range(np.array([0.0, 1.0]))
MAX_ATOMS = 64
LEAST_NOISES = 4


def starting_edges(
    schema: dict[str, Any],
    numbers: dict[str, FloatArray],
    dtypes: dict[str, str],
    mechanisms: Mechanisms,
    *,
    octaves: int,
    told: Set[str] = frozenset(),
) -> tuple[dict[str, Range], set[str]]:
    """Return each numeric column's first edges, declared or discovered, in values, and which columns have none."""

    def declared(name: str, end: str) -> list[float]:
        bound = getattr(schema[name], end)
        return [] if bound is None else [to_number(name, bound, kinds[name]) / steps[name]]

    kinds = {name: number_dtype(schema[name], dtypes[name]) for name in numbers}
    steps = {name: step_of(schema[name], dtypes[name]) for name in numbers}

    ranges, unknown = {}, {}
    for name, values in numbers.items():
        ends = [*declared(name, "low"), *declared(name, "high")]
        if len(ends) < 2:
            unknown[name] = values
        else:
            ranges[name] = Range(np.array(ends))
    times = {name: steps[name] for name in unknown if isinstance(schema[name], Datetime)}
    digits = {name: digits_of(schema[name]) for name in unknown}
    found = {}
    if unknown:
        found = discover_bounds(unknown, mechanisms, BOUNDS, octaves=octaves, times=times, decimals=digits, told=told)
    if beyond := [name for name, seen in found.items() if name not in times and out_of_range(seen)]:
        warnings.warn(
            f"Columns {beyond} are beyond 1e-10 to 1e19 and are cut to that. Rescale them or declare bounds "
            "(keys: Identifier()).",
            PrivsynthWarning,
            stacklevel=6,
        )
    for name in unknown:
        seen = found.get(name, _NO_RANGE)
        low, high = declared(name, "low"), declared(name, "high")
        lowest, highest = limits(kinds[name])
        grid = np.clip(seen.edges, lowest / steps[name], highest / steps[name] + 1).tolist()
        inner = [x for x in grid if (not low or x > low[0]) and (not high or x < high[0])]
        edges = np.unique([*low, *inner, *high])
        if len(edges) < 2:
            edges = edges[0] + (np.array([-1.0, 0.0]) if high else np.array([0.0, 1.0]))
        ranges[name] = Range(edges, -math.inf if low else seen.low, math.inf if high else seen.high)
    return ranges, {n for n in unknown if n not in found and not declared(n, "low") and not declared(n, "high")}


def digits_of(column: Any) -> int | None:
    """Return the public decimals of a numeric column; times are whole steps."""
    return 0 if isinstance(column, Datetime) else column.decimals


def unit_columns(frame: pd.DataFrame, schema: dict[str, Any], ranges: dict[str, Range]) -> dict[str, ColumnTransform]:
    """Fit the columns whose range, or what was seen of it, has so few grid points that each is a cell."""
    made: dict[str, ColumnTransform] = {}
    for name, found in ranges.items():
        seen = np.clip([found.low, found.high], found.edges[0], found.edges[-1])
        for ends in (found.edges, np.array([found.edges[0], seen[1]]), seen):
            if name not in made and (column := unit_column(name, str(frame.dtypes[name]), ends, schema[name])):
                made[name] = column
    return made


def unit_column(name: str, dtype: str, ends: FloatArray, column: Any) -> NumericColumn | None:
    """Return a column of a cell for each grid point between `ends`; None where there are too many, or no grid."""
    digits = digits_of(column)
    points = unit_edges(ends, digits, high_inside=column.high is not None, most=MAX_CELLS)
    if points is None:
        return None
    cells = Cells(points[:-1], points[1:], np.ones(len(points) - 1), np.arange(len(points) - 1), digits)
    return NumericColumn.of(name, dtype, cells, column)


def leaf_columns(
    frame: pd.DataFrame,
    schema: dict[str, Any],
    numbers: dict[str, FloatArray],
    ranges: dict[str, Range],
    found: dict[str, tuple[list[Any], FloatArray]],
    noise: float,
    mechanisms: Mechanisms,
    n_rows: int,
    *,
    most: int = MAX_CELLS,
) -> dict[str, ColumnTransform]:
    """Fit all numeric columns: atoms from `found`, leaves grown for the rest, merged into `most` cells at most."""
    if not numbers:
        return {}
    values, starts, seen, grids, decimals = {}, {}, {}, {}, {}
    atoms: dict[str, dict[float, float]] = {}
    for name, column_values in numbers.items():
        spikes, counts = found.get(name, ([], np.zeros(0)))
        spikes, counts = spikes[:MAX_ATOMS], counts[:MAX_ATOMS]
        digits = digits_of(schema[name])
        decimals[name] = _decimals_of(spikes, counts.sum(), n_rows) if digits is None else digits
        digits = decimals[name]
        grid, scale = digits is not None, 10.0 ** (digits or 0)
        edges = ranges[name].edges
        low, high = edges[0], edges[-1]
        inside = [(round(s * scale) if grid else s, c) for s, c in zip(spikes, counts, strict=True) if low <= s <= high]
        atoms[name] = dict(sorted(inside))
        units = column_values[~np.isnan(column_values)]
        units = np.rint(units * scale) if grid else units
        values[name] = units[~np.isin(units, np.array(list(atoms[name]), dtype=np.float64))]
        starts[name], grids[name] = _grid_edges(edges, scale, grid, schema[name].high is not None), grid
        ends = np.array([ranges[name].low, ranges[name].high])
        seen[name] = tuple((np.rint(ends * scale) if grid else ends).tolist())
    rounds = [label for label in ROUNDS if mechanisms.allows(label)]
    totals = {n: None if schema[n].nullable else n_rows - sum(atoms[n].values()) for n in numbers}
    spikes_of = {name: list(found_there) for name, found_there in atoms.items()}
    leaves, leaf_noise = grow_leaves(values, starts, seen, grids, totals, mechanisms, rounds, spikes_of)
    least = LEAST_NOISES * max(noise, leaf_noise, 0.25)
    for name in numbers:
        at_atoms = sum(atoms[name].values())
        beside = totals[name]
        if beside is None:
            constant = at_atoms >= n_rows / 3 and _may_be_noise(leaves[name], leaf_noise)
        else:
            constant = bool(atoms[name]) and beside <= 5 * max(noise, 1.0)
        if constant:
            leaves[name] = Leaves(leaves[name].edges, np.zeros(len(leaves[name].counts)))
        if decimals[name] is None:
            leaves[name], atoms[name], decimals[name] = _with_grid(leaves[name], atoms[name])
    return {
        name: NumericColumn.of(
            name,
            str(frame.dtypes[name]),
            _cells(leaves[name], atoms[name], decimals[name], least, most),
            schema[name],
        )
        for name in numbers
    }


def _may_be_noise(leaves: Leaves, noise: float) -> bool:
    """Whether the leaves show nothing that noise could not, neither in sum nor anywhere: a constant stays one."""
    counts = leaves.counts
    noise += 0.5 if noise > 0 else 0.0  # of the rounding
    return bool(counts.sum() <= noise * np.sqrt(len(counts)) and counts.max() <= 3 * noise)


def _grid_edges(edges: FloatArray, scale: float, grid: bool, high_inside: bool) -> FloatArray:
    """Return starting edges in grid units; a declared upper bound is inside, a power of two is not."""
    if len(edges) == 2:
        low, high = edges
        if grid:  # declared bounds between grid points: the points inside
            low, high = np.ceil(low * scale - 1e-6), np.floor(high * scale + 1e-6)
            high = max(low, high)
        return declared_edges(low, high, grid=grid)
    if not grid:
        return edges
    whole = np.unique(np.rint(edges * scale))
    return np.append(whole, whole[-1] + 1) if high_inside or len(whole) < 2 else whole


def _decimals_of(spikes: list[float], mass: float, n_rows: float) -> int | None:
    """Return the decimals that all released spikes share if these hold most of the rows; else None.

    A guess from releases, so it costs nothing. Round amounts among others with cents say nothing of those.
    """
    return _common_decimals(spikes) if mass > n_rows / 2 else None


def _common_decimals(values: list[float]) -> int | None:
    """Return the fewest decimals, 6 at most, with which all `values` can be written; None for none.

    >>> _common_decimals([0.5, 2.25]), _common_decimals([1 / 3])
    (2, None)
    """
    return next((d for d in range(7) if all(abs(v - round(v, d)) < 1e-9 for v in values)), None)


def _with_grid(leaves: Leaves, atoms: dict[float, float]) -> tuple[Leaves, dict[float, float], int | None]:
    """Put a column of unknown decimals on a grid of a tenth of its narrow leaves, or finer if atoms are.

    Drawn values are then as long as people write them (12.37, not 12.370164899). Leaves and atoms come back in
    grid units; columns whose atoms fit no grid stay as they are.
    """
    order = np.argsort(np.diff(leaves.edges))
    mass = np.cumsum(leaves.counts[order])
    narrow = np.diff(leaves.edges)[order][np.searchsorted(mass, mass[-1] / 10)]
    wanted = max(0, int(np.ceil(-np.log10(narrow / 10))))
    shared = _common_decimals(list(atoms))
    if shared is None or wanted > 9:
        return leaves, atoms, None
    decimals = max(shared, wanted)
    edges = np.rint(leaves.edges * 10.0**decimals)
    edges, first = np.unique(edges, return_index=True)
    if len(edges) < 2 or np.abs(edges).max() > 2**52:
        return leaves, atoms, None
    counts = np.add.reduceat(leaves.counts, first[:-1])  # leaves narrower than the grid join the next one
    return Leaves(edges, counts), {float(round(v * 10.0**decimals)): n for v, n in atoms.items()}, decimals


def _cells(leaves: Leaves, atoms: dict[float, float], decimals: int | None, least: float, most: int) -> Cells:
    """Group leaves and atoms into `most` cells at most, of `least` rows at least; atoms last."""
    low, high, mass = leaves.edges[:-1], leaves.edges[1:], leaves.counts
    spikes = np.array(list(atoms), dtype=np.float64)
    low = np.concatenate([low, spikes])
    high = np.concatenate([high, spikes])
    mass = np.concatenate([np.clip(mass, 0, None), np.clip(np.array(list(atoms.values())), 0, None)])
    mass = mass / mass.sum() if mass.sum() > 0 else np.full(len(mass), 1 / len(mass))
    total = leaves.counts.sum() + sum(atoms.values())
    cell = group_leaves(low, high, mass, max_cells=most, min_mass=least / max(total, 1.0))
    short = np.array([float(f"{m:.6g}") for m in mass])  # as it is saved: a loaded model draws the same
    return Cells(low, high, short, cell, decimals)
