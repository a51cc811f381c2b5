"""The data dictionary of a synthetic table: what the columns are, from the fitted model alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from privsynth.rules import Formula
from privsynth.schema import Identifier
from privsynth.synthesizers.base import Synthesizer
from privsynth.transforms.columns import ColumnTransform, NumericColumn
from privsynth.transforms.labels import shown_ends

_MOST_LEVELS = 200


def data_dictionary(model: Synthesizer) -> list[dict[str, Any]]:
    """Return an entry a column, in table order: name, kind, data type, what it can hold, and where that is from."""
    learned = {column.name: column for column in model.learned_columns}
    formulas = {rule.column: rule for rule in model.schema_.rules if isinstance(rule, Formula)}
    entries = []
    for name, declared in model.schema_.items():
        entry: dict[str, Any] = {"name": name, "kind": declared.kind, "dtype": model.columns_[name]}
        if name in learned:
            entry |= _domain(learned[name])
        if name in formulas:
            entry["computed"] = str(formulas[name])
        elif isinstance(declared, Identifier):
            entry["made_up"] = "anew for every sample; it belongs to nobody"
        entry["rules"] = [
            str(rule) for rule in model.schema_.rules if name in rule.columns and rule is not formulas.get(name)
        ]
        entries.append(entry)
    return entries


def _domain(column: ColumnTransform) -> dict[str, Any]:
    """Return what a column can hold."""
    if isinstance(column, NumericColumn):
        low, high = shown_ends(column, np.ones(len(column.cells.low), dtype=bool))
        return {"low": low, "high": high, "missing": column.null}
    levels = [str(level) for level in column.levels]
    more = {"more_levels": len(levels) - _MOST_LEVELS} if len(levels) > _MOST_LEVELS else {}
    return {"levels": levels[:_MOST_LEVELS], **more, "other": column.other, "missing": column.null}
