r"""What the observed values of a column say about its cells: the likelihood of each value given each cell.

With it, rows that are given can be asked about as exactly as rows are drawn: the probability of a row is
``sum_k w_k prod_j sum_c p_kj(c) l_j(v_j | c)``, and a gap in it is filled from the same posterior of components.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.errors import DataError, PrivsynthWarning
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.columns import NAMES_OTHER, ColumnTransform, DiscreteColumn, NumericColumn
from privsynth.transforms.reshape import JointColumn
from privsynth.transforms.values import level_key, to_levels, to_steps

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Observed values of one learned column.

    Parameters
    ----------
    likelihood : ndarray of shape (n_states, n_cells)
        Of each distinct observation given each cell: a probability, or a density where numbers have no grid.
    state : ndarray of int of shape (n_rows,)
        The observation of each row.
    """

    likelihood: FloatArray
    state: IntArray


def observe(column: ColumnTransform, series: pd.Series, *, gaps: IntArray | None = None) -> Evidence:
    """Read values as evidence.

    Parameters
    ----------
    column : ColumnTransform
    series : Series of shape (n_rows,)
    gaps : ndarray of int of shape (n_rows,), optional
        0 where the value is known, 1 where it is not known, but not missing either, 2 where it may be missing, too.
        With it, numbers beyond the learned bounds count as the outermost ones, as in `fit`, and values that the model
        does not know are an error. Without, both have likelihood 0, and a warning names the latter.

    Raises
    ------
    DataError
        For a value that cannot be read, or with `gaps` one that the model does not know.
    """
    table = column.likelihood()
    present = np.ones((1, column.n_cells))
    present[:, [cell for kind, cell in column.extra.items() if kind == "null" or column.dtype not in NAMES_OTHER]] = 0.0
    table = np.concatenate([table, np.zeros((1, column.n_cells)), present, np.ones((1, column.n_cells))])
    open_ = None if gaps is None else gaps > 0
    state = _leaves(column, series, open_) if isinstance(column, NumericColumn) else _levels(column, series, open_)
    state = np.where(state < 0, len(table) - 3, state)
    return Evidence(table, state if gaps is None else np.where(gaps > 0, len(table) - 3 + gaps, state))


def observe_parts(joint: JointColumn, frame: pd.DataFrame, gaps: dict[str, IntArray] | None = None) -> Evidence:
    """Read the columns of a combination, those that `frame` has, as evidence on their joint column."""
    parts = [
        (j, observe(part, frame[part.name], gaps=None if gaps is None else gaps[part.name]))
        for j, part in enumerate(joint.parts)
        if part.name in frame
    ]
    states = np.stack([found.state for _, found in parts], axis=1)
    distinct, state = np.unique(states, axis=0, return_inverse=True)
    table = np.tile(joint.released, (len(distinct), 1))
    for place, (j, found) in enumerate(parts):
        table *= found.likelihood[distinct[:, place]][:, joint.index[:, j]]
    return Evidence(table, state.reshape(-1))


def _leaves(column: NumericColumn, series: pd.Series, gaps: BoolArray | None) -> IntArray:
    """Return the leaf of each number, -1 beyond the bounds; a missing one comes after the leaves."""
    values = to_steps(series, column.column)
    missing = np.isnan(values)
    unread = missing & ~series.isna().to_numpy()
    if unread.any():
        raise DataError(_unknown(column, series[unread], "cannot be read as its kind"))
    if not column.null and (missing if gaps is None else missing & ~gaps).any():
        _refuse_or_warn(_unknown(column, series[missing], "the model has none"), gaps)
    values = np.where(missing, 0.0, values)
    leaf = column.cells.leaf_of(values)
    if gaps is None:
        leaf = np.where(column.cells.holds(values), leaf, -1)
    return np.where(missing, len(column.cells.low), leaf)  # where there are none, that is the state of likelihood 0


def _levels(column: DiscreteColumn, series: pd.Series, gaps: BoolArray | None) -> IntArray:
    """Return the place of each level; unreleased levels and missing values come after them."""
    codes, levels = to_levels(series)
    place = {level_key(level): i for i, level in enumerate(column.levels)}
    n = len(column.levels)
    found = [place.get(level_key(level), n if column.other else -1) for level in levels]
    table = np.array([*found, n + column.other if column.null else -1], dtype=np.int64)
    state = table[codes]
    unknown = state < 0 if gaps is None else (state < 0) & ~gaps
    if unknown.any():
        known = ", ".join(map(repr, column.levels[:20]))
        _refuse_or_warn(_unknown(column, series[unknown], f"the model knows {known}"), gaps)
    return state


def _unknown(column: ColumnTransform, values: pd.Series, why: str) -> str:
    listed = ", ".join(map(repr, pd.unique(values.astype(object))[:5].tolist()))
    return (
        f"Column {column.name!r} holds {listed} in {len(values):,} rows: {why}. Map them to what was learned, or leave "
        "these rows out."
    )


def _refuse_or_warn(told: str, gaps: BoolArray | None) -> None:
    """Rows with a value that the model does not know have no fill, but they have a score."""
    if gaps is not None:
        raise DataError(told)
    warnings.warn(f"{told} They score -inf.", PrivsynthWarning, stacklevel=7)
