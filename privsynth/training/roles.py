"""Which columns the tables are about: the target, whose classes split them, and further conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from privsynth._checks import parameter_error
from privsynth.rules import Formula
from privsynth.schema import Identifier, Schema
from privsynth.transforms.layout import Layout
from privsynth.transforms.reshape import Reshape

MAX_CLASSES = 12


@dataclass(frozen=True)
class Roles:
    """The target and the condition columns, as they were given.

    Parameters
    ----------
    target : str or None
    condition_columns : list of str or None
    """

    target: Any
    condition_columns: Any

    def check(self, schema: Schema) -> None:
        """Refuse targets and condition columns that are not there, or are not learned."""
        if not isinstance(self.condition_columns, (list, tuple, type(None))):
            raise parameter_error("CTGAN", "condition_columns", "a list of column names", self.condition_columns)
        named = [("condition_columns", name) for name in _listed(self.condition_columns)]
        for parameter, name in [*named, *(("target", name) for name in _listed([self.target]) if name is not None)]:
            if not isinstance(name, str) or name not in schema:
                raise parameter_error("CTGAN", parameter, f"among the columns {list(schema)}", name)
            if isinstance(schema[name], Identifier):
                raise parameter_error("CTGAN", parameter, "a column that is modelled, not an identifier", name)
            if any(isinstance(rule, Formula) and rule.column == name for rule in schema.rules):
                remedy = "Name a column that the formula reads, or take the formula out of the schema."
                raise parameter_error("CTGAN", parameter, "a column that is learned, not computed", name, remedy)

    @property
    def named(self) -> set[str]:
        """All columns that are named."""
        names = [*_listed(self.condition_columns), *_listed([self.target])]
        return {name for name in names if isinstance(name, str)}

    def learned(self, reshape: Reshape) -> tuple[str | None, list[str]]:
        """Return the learned columns behind the target, or first condition column, and behind all condition columns."""
        conditions = [reshape.place(name) or name for name in _listed(self.condition_columns)]
        target = None if self.target is None else reshape.place(_listed([self.target])[0])
        return target or (conditions[0] if conditions else None), conditions

    def places(self, reshape: Reshape, layout: Layout) -> tuple[int | None, list[int]]:
        """Return the position of the splitting column, if it has few enough cells, and of further conditions."""
        first, named = self.learned(reshape)
        split = layout.names.index(first) if first is not None else None
        conditions = [layout.names.index(name) for name in named if name != first]
        if split is not None and layout.spans[split].size > MAX_CLASSES:
            return None, sorted({*conditions, split})
        return split, conditions


def _listed(names: Any) -> list[Any]:
    """Return column names, numbers as text; nothing where `names` is no list: `Roles.check` refuses that."""
    return [str(name) if type(name) is int else name for name in names] if isinstance(names, (list, tuple)) else []
