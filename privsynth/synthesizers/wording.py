"""How conditions, and what columns can be, are told in error messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from privsynth.transforms.predicates import OneOf, Predicate


def listed(predicates: Mapping[str, Predicate]) -> str:
    """Describe several predicates, for an error message."""
    return " and ".join(f"{name!r} is {shown(predicate)}" for name, predicate in predicates.items())


def shown(predicate: Predicate) -> str:
    """Describe a predicate, for an error message."""
    if isinstance(predicate, OneOf):
        values = ["missing" if value is None else repr(value) for value in predicate.values]
        return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
    low = [] if predicate.low is None else [f"{'above' if predicate.low_open else 'at least'} {predicate.low}"]
    high = [] if predicate.high is None else [f"{'below' if predicate.high_open else 'at most'} {predicate.high}"]
    return " and ".join([*low, *high]) or "not missing"


def domain(column: Any) -> str:
    """Describe what a column can be, for an error message."""
    if hasattr(column, "cells"):
        low, high = column.cells.low.min() * column.step, column.cells.high.max() * column.step
        if column.number_dtype.startswith("datetime64"):
            return f"between {pd.Timestamp(low, unit='s')} and {pd.Timestamp(high, unit='s')}"
        decimals = column.cells.decimals
        grid = {None: "", 0: ", in whole numbers"}.get(decimals, f", to {decimals} decimals")
        return f"between {low / 10.0 ** (decimals or 0):g} and {high / 10.0 ** (decimals or 0):g}{grid}"
    return f"with the levels {list(column.levels)[:20]}"
