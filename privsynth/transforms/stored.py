"""Columns as files hold them, read back with suspicion: a forger can write any of it, with digests that fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from privsynth.kinds import LONGEST_FORMAT, NUMBER_FORMS, is_known_dtype
from privsynth.transforms.cells import Cells
from privsynth.transforms.columns import ColumnTransform, DiscreteColumn, NumericColumn

_MOST_DECIMALS = 15  # as `Continuous` has at most: a text of a billion decimals is a gigabyte
_MOST_MASS = 1e18  # shares of rows, or counts: their sums stay finite
_MOST_STEP = 86_400


def column_from_dict(data: dict[str, Any]) -> ColumnTransform:
    """Read a column's `to_dict` back.

    Raises
    ------
    ValueError, KeyError, TypeError
        For anything that no fit writes.
    """
    data = dict(data)
    kind = data.pop("type")
    if kind not in ("numeric", "discrete"):
        raise ValueError(f"unknown type of column {kind!r}")
    if not all(isinstance(data[key], str) for key in ("name", "dtype")) or not is_known_dtype(data["dtype"]):
        raise ValueError(f"column {data['name']!r} of unknown data type {data['dtype']!r}")
    if not isinstance(data["null"], bool) or type(data["fallback"]) is not int:
        raise ValueError(f"column {data['name']!r} with strange flags")
    return _numeric(data) if kind == "numeric" else _discrete(data)


def _numeric(data: dict[str, Any]) -> NumericColumn:
    column = NumericColumn(**{**data, "cells": Cells.from_dict(data["cells"])})
    cells = column.cells
    if type(column.step) is not int or not 1 <= column.step <= _MOST_STEP:
        raise ValueError("times in impossible steps")
    if column.format is not None and (not isinstance(column.format, str) or len(column.format) > LONGEST_FORMAT):
        raise ValueError("times in an impossible format")
    if column.form not in NUMBER_FORMS:
        raise ValueError(f"numbers in an unknown form {column.form!r}")
    if cells.decimals is not None and not 0 <= cells.decimals <= _MOST_DECIMALS:
        raise ValueError(f"numbers of {cells.decimals} decimals")
    if (cells.mass > _MOST_MASS).any() or np.bincount(cells.cell).min() == 0:
        raise ValueError("cells without a place of theirs, or with impossible shares")
    return column


def _discrete(data: dict[str, Any]) -> DiscreteColumn:
    if not all(isinstance(data[key], list) for key in ("levels", "cell", "mass")):
        raise ValueError("levels that are no list")
    if not all(isinstance(data[key], bool) for key in ("other", "ordered")) or not isinstance(
        data.get("fresh", False), bool
    ):
        raise ValueError("levels with strange flags")
    if not all(isinstance(level, (str, bool, int, float)) for level in data["levels"]):
        raise ValueError("levels that are no plain values")
    column = DiscreteColumn(**{**data, **{key: tuple(data[key]) for key in ("levels", "cell", "mass")}})
    cell, mass = np.asarray(column.cell, dtype=np.int64), np.asarray(column.mass, dtype=np.float64)
    if len(mass) != len(cell) or len(cell) not in (0, len(column.levels)):
        raise ValueError("cells and levels do not fit each other")
    if len(cell):
        if cell.min() < 0 or cell.max() >= len(cell) or not ((mass >= 0) & (mass <= _MOST_MASS)).all():
            raise ValueError("levels without a cell of theirs, or with impossible shares")
        members = np.bincount(cell)
        if members.min() == 0 or (members > 1).sum() > 1:  # the rare levels share one; drawing from many is slow
            raise ValueError("levels that share cells as no fit makes them")
    return column
