"""Populations to draw from, and tables whose leak is known: copies, blurred copies, and none."""

from __future__ import annotations

import numpy as np
import pandas as pd


def draw(n_rows: int, seed: int) -> pd.DataFrame:
    """Draw rows of one population: numbers that hang together, categories, dates, gaps."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, n_rows)
    income = np.exp(rng.normal(8 + age / 60, 0.7))
    region = rng.choice(["north", "south", "east", "west"], n_rows, p=[0.4, 0.3, 0.2, 0.1])
    smoker = rng.random(n_rows) < np.where(region == "north", 0.4, 0.15)
    frame = pd.DataFrame(
        {
            "age": age,
            "income": income,
            "height": rng.normal(170, 10, n_rows) + 5 * (region == "north"),
            "region": region,
            "smoker": smoker,
            "visits": rng.poisson(age / 20),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1500, n_rows), unit="D"),
        }
    )
    frame.loc[rng.random(n_rows) < 0.1, "height"] = np.nan
    return frame


def copied(real: pd.DataFrame, seed: int, share: float = 1.0) -> pd.DataFrame:
    """A leak: a share of the rows are learned rows, the others fresh."""
    n_copied = int(share * len(real))
    rows = real.sample(n_copied, random_state=seed)
    return pd.concat([rows, draw(len(real) - n_copied, seed + 1)], ignore_index=True)


def blurred(real: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A leak that no exact comparison sees: numbers of learned rows, a little beside."""
    rng = np.random.default_rng(seed)
    return real.assign(
        income=real["income"] * np.exp(rng.normal(0, 0.01, len(real))),
        height=real["height"] + rng.normal(0, 0.1, len(real)),
    )
