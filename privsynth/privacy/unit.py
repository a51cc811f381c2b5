"""Who is protected as a whole: one row, or one person with all rows.

The sensitivities that the rest of the package states are those of *one row*. Where a person has up to m rows
in what is learned from, adding or removing the person is m steps of one row each, so by the triangle
inequality every exact value moves by m times as much at most. `Mechanisms` multiplies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from privsynth._checks import check_int

ROW, PERSON = "row", "person"


@dataclass(frozen=True)
class Unit:
    """Whose adding or removing the guarantee is about.

    Parameters
    ----------
    column : str or None
        All rows with the same value here belong to one person; None: every row is on its own.
    rows : int, default 1
        How many rows of a person are learned from, at most.
    chosen : bool, default False
        Whether `rows` was chosen from a private release; else it was declared.

    Examples
    --------
    >>> Unit().text
    'one row added or removed'
    >>> Unit("customer_id", 8).text
    "one person added or removed (all rows with the same 'customer_id', of which at most 8 were learned from)"
    """

    column: str | None = None
    rows: int = 1
    chosen: bool = False

    def __post_init__(self) -> None:
        most = 1 if self.column is None else None
        check_int("Unit", "rows", self.rows, low=1, high=most)

    @property
    def name(self) -> str:
        """What a ledger notes: fits add up for one name only."""
        return ROW if self.column is None else f"{PERSON} ({self.column})"

    @property
    def text(self) -> str:
        """The unit in words, for the certificate."""
        if self.column is None:
            return "one row added or removed"
        return (
            f"one person added or removed (all rows with the same {self.column!r}, of which at most {self.rows} "
            "were learned from)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {"column": self.column, "max_rows": self.rows, "chosen_privately": self.chosen}

    @classmethod
    def from_dict(cls, data: dict[str, Any] | None) -> Unit:
        """Read `to_dict` back; None, as in files of before there were units, is one row."""
        if data is None:
            return cls()
        column = None if data["column"] is None else str(data["column"])
        return cls(column, data["max_rows"], bool(data["chosen_privately"]))


ONE_ROW = Unit()
