"""The tables that are learned from in benchmarks over all of them: training rows, rows to score on, and the target."""

from __future__ import annotations

import pandas as pd
from common import load
from sklearn.model_selection import train_test_split

TARGETS = {"adult": "income", "cardio": "cardio", "stroke": "stroke"}


def cases(name: str) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return a public table's 80/20 split, or simulated transactions (1 % fraud) and 300,000 fresh ones to score on.

    "transactions 10k" has 10,000 rows before the split, as in peers.py, "transactions 1M" a million.
    """
    if not name.startswith("transactions"):
        train, test = (part.drop(columns="id", errors="ignore") for part in load(name))
        return train, test, TARGETS[name]
    from privsynth.datasets import make_transactions

    rows = make_transactions({"10k": 10_000, "1M": 1_000_000}.get(name.split()[-1], 100_000), random_state=0)
    train, _ = train_test_split(rows, test_size=0.2, random_state=0)
    return train.reset_index(drop=True), make_transactions(300_000, random_state=77), "is_fraud"
