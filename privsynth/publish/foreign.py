"""Is this a table that the model can have made?  The last chance to notice that somebody packs the real one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from privsynth.synthesizers.base import Synthesizer
from privsynth.transforms.columns import NAMES_OTHER, OTHER, ColumnTransform, DiscreteColumn, NumericColumn
from privsynth.transforms.values import level_key, to_levels, to_steps

_WIDTH = 1e-6  # of single precision, or of text


def foreign_columns(model: Synthesizer, frame: pd.DataFrame) -> list[str]:
    """Return the columns that hold what the model never generates: unknown levels, missing values, or beyond its ends.

    A real table mostly has such: levels too rare to be released, values beyond released bounds.  One that has none
    may be real all the same.

    Parameters
    ----------
    frame : DataFrame
        As the encoder takes it (`Reshape.forward`).
    """
    return [column.name for column in model.encoder_.columns if _is_foreign(column, frame[column.name])]


def _is_foreign(column: ColumnTransform, series: pd.Series) -> bool:
    if isinstance(column, NumericColumn):
        return _beyond(column, series)
    codes, levels = to_levels(series)
    shows_missing = column.null or (column.other and column.dtype not in NAMES_OTHER)
    if (codes < 0).any() and not shows_missing:
        return True
    return not column.fresh and bool(set(map(level_key, levels)) - _known(column))


def _known(column: DiscreteColumn) -> set[object]:
    return {level_key(level) for level in (*column.levels, *([OTHER] if column.other else []))}


def _beyond(column: NumericColumn, series: pd.Series) -> bool:
    values = to_steps(series, column.column)
    missing = np.isnan(values)
    if missing.all():
        return not column.null
    low, high = column.cells.from_grid(np.array([column.cells.low.min(), column.cells.high.max()]))
    room = _WIDTH * max(abs(low), abs(high), 1e-300)
    outside = values[~missing].min() < low - room or values[~missing].max() > high + room
    return bool(outside or (missing.any() and not column.null))
