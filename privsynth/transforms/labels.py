"""What the cells of a column are called."""

from __future__ import annotations

import numpy as np

from privsynth.transforms.columns import OTHER, ColumnTransform, DiscreteColumn, NumericColumn


def cell_labels(column: ColumnTransform) -> list[str]:
    """Return a name for each cell of a column: levels, ranges, "missing".

    >>> cell_labels(DiscreteColumn("sex", "object", ("female", "male"), other=False, null=True))
    ['female', 'male', 'missing']
    """
    labels = _levels(column) if isinstance(column, DiscreteColumn) else _ranges(column)
    extra = {"other": OTHER, "null": "missing"}
    return labels + [extra[kind] for kind in sorted(column.extra, key=column.extra.__getitem__)]


def display_order(column: ColumnTransform, shares: np.ndarray) -> list[int]:
    """Return cells as they are shown: numbers ascending, levels by falling share; other and missing come last."""
    n_plain = column.n_cells - len(column.extra)
    if isinstance(column, NumericColumn):
        keys = [float(column.cells.low[column.cells.cell == cell].min()) for cell in range(n_plain)]
    elif column.ordered:
        keys = [float(cell) for cell in range(n_plain)]
    else:
        keys = [-float(share) for share in shares[:n_plain]]
    return [*map(int, np.argsort(keys, kind="stable")), *range(n_plain, column.n_cells)]


def _levels(column: DiscreteColumn) -> list[str]:
    cells = column.cell or tuple(range(len(column.levels)))
    members: dict[int, list[str]] = {}
    for level, cell in zip(column.levels, cells, strict=True):
        members.setdefault(cell, []).append(str(level))
    return [held[0] if len(held) == 1 else f"{len(held)} rarer levels" for _, held in sorted(members.items())]


def _ranges(column: NumericColumn) -> list[str]:
    cells = column.cells
    return [" to ".join(dict.fromkeys(shown_ends(column, cells.cell == cell))) for cell in range(cells.n_cells)]


def shown_ends(column: NumericColumn, leaves: np.ndarray) -> tuple[str, str]:
    """Return the least and the greatest value of some leaves, shape (n_leaves,) of bool, as text."""
    cells = column.cells
    low, high = cells.low[leaves], cells.high[leaves]
    first, last = float(low.min()), float(high.max())
    if cells.decimals is not None and (high > low)[high == last].all() and last > first:
        last -= 1  # a leaf on a grid ends before the next begins
    return shown_number(column, first), shown_number(column, last)


def shown_number(column: NumericColumn, units: float) -> str:
    """Return a number or time, given in grid units or steps, as text."""
    value = float(column.cells.from_grid(np.array([units]))[0])
    if column.number_dtype.startswith("datetime64"):
        return str(np.datetime64(int(value * column.step), "s")).replace("T", " ")  # of any year
    return f"{value:.6g}"
