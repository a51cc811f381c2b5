"""Messy tables made by hand, as they lie about."""

import numpy as np
import pandas as pd


def messy(n_rows=1_500, seed=0):
    """Return every kind of column, with dependences, gaps, spikes and a key."""
    rng = np.random.default_rng(seed)
    vip = rng.random(n_rows) < 0.3
    amount = np.where(rng.random(n_rows) < 0.3, 0.0, rng.gamma(2, 50, n_rows).round(2) + 200 * vip)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 180 * 86400, n_rows), unit="s")
    return pd.DataFrame(
        {
            "key": [f"c-{i}" for i in range(n_rows)],
            "vip": vip,
            "age": pd.Series(rng.integers(18, 95, n_rows)).astype("int16"),
            "amount": pd.Series(amount).where(rng.random(n_rows) < 0.8),
            "ratio": rng.normal(size=n_rows).astype("float32"),
            "visits": pd.Series(rng.poisson(3, n_rows)).astype("Int64").where(rng.random(n_rows) < 0.9),
            "opt_in": pd.Series(rng.choice([True, False, None], n_rows)).astype("boolean"),
            "band": pd.Categorical(rng.choice(["lo", "mid", "hi"], n_rows), ["lo", "mid", "hi"], ordered=True),
            "grade": pd.Categorical(rng.choice([3, 1, 2], n_rows)),
            "city": pd.Series(np.where(vip, rng.choice(["Rom", "Oslo"], n_rows), rng.choice(["Rom", None], n_rows))),
            "note": pd.Series(rng.choice(["x", "y"], n_rows)).astype("string"),
            "when": when,
            "local": pd.Series(when.astype("datetime64[s]")).dt.tz_localize("UTC").dt.tz_convert("America/New_York"),
        }
    )
