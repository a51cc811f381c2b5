"""A merchant column of 1,000 and of 100,000 levels, the same table otherwise: python benchmarks/high_cardinality.py."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from common import write_table

N_ROWS = 200_000


def make_table(n_levels: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, n_levels + 1) ** 0.8
    return pd.DataFrame(
        {
            "merchant": np.char.add("m", rng.choice(n_levels, N_ROWS, p=share / share.sum()).astype(str)).astype(
                object
            ),
            "amount": rng.lognormal(3, 1, N_ROWS).round(2),
            "country": rng.choice(list("abcdef"), N_ROWS),
            "age": rng.integers(18, 90, N_ROWS),
            "fraud": rng.random(N_ROWS) < 0.03,
        }
    )


def measure(n_levels: int) -> dict[str, Any]:
    from privsynth import CTGAN

    warnings.simplefilter("ignore")
    table = make_table(n_levels)
    start = time.perf_counter()
    model = CTGAN(1.0, target="fraud", random_state=0, verbose=False).fit(table)
    seconds = time.perf_counter() - start
    shares = model.sample(N_ROWS, random_state=0)["merchant"].value_counts(normalize=True)
    real = table["merchant"].value_counts(normalize=True).head(100)
    return {
        "levels": n_levels,
        "fit s": seconds,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "levels released": len(shares) - ("__other__" in shares),
        "other": float(shares.get("__other__", 0.0)),
        "TVD of the 100 largest": 0.5
        * float((real.head(100) - shares.reindex(real.index[:100]).fillna(0)).abs().sum()),
    }


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
        return
    rows = []
    for n_levels in (1_000, 100_000):
        done = subprocess.run([sys.executable, __file__, str(n_levels)], capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    ratio = rows[1]["fit s"] / rows[0]["fit s"], rows[1]["peak MB"] / rows[0]["peak MB"]
    notes = [
        f"{N_ROWS:,} rows, 5 columns, nothing declared, epsilon 1, each fit in a process of its own.",
        f"100,000 levels to 1,000: {ratio[0]:.2f} times the time, {ratio[1]:.2f} times the memory.",
    ]
    write_table("high_cardinality", "High cardinality", rows, notes)


if __name__ == "__main__":
    main()
