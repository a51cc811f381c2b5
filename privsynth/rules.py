"""Rules between columns, declared in a `Schema`: synthetic rows satisfy all of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """Base of all rules."""
