"""Small tables with every kind of column and a known structure."""

from __future__ import annotations

import numpy as np
import pandas as pd


def mixed_frame(n_rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """A table in which `amount` follows `tier`, and `fraud` follows both."""
    rng = np.random.default_rng(seed)
    tier = rng.choice(["low", "mid", "high"], size=n_rows, p=[0.5, 0.3, 0.2])
    amount = rng.gamma(2.0, np.select([tier == "low", tier == "mid"], [10.0, 40.0], 160.0))
    amount[rng.random(n_rows) < 0.2] = 0.0
    fraud = rng.random(n_rows) < np.where((tier == "high") & (amount > 150), 0.8, 0.05)
    frame = pd.DataFrame(
        {
            "tier": tier,
            "amount": amount,
            "fraud": fraud.astype(int),
            "visits": pd.array(rng.poisson(8, n_rows), dtype="Int64"),
            "member": pd.array(rng.random(n_rows) < 0.4, dtype="boolean"),
            "country": pd.Categorical(rng.choice(["DE", "FR"], size=n_rows), categories=["DE", "FR", "IT"]),
            "seen": pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 500, n_rows), unit="D"),
            "always": 1.5,
        }
    )
    for name in ("amount", "visits", "member", "country", "seen"):
        frame.loc[rng.random(n_rows) < 0.1, name] = None
    return frame


def shuffled_columns(frame: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """The same columns, each in an order of its own: marginals exact, every dependence gone."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({name: frame[name].array.take(rng.permutation(len(frame))) for name in frame})
