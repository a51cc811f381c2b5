"""Seconds of `score_samples` and `impute` on 100,000 rows: python benchmarks/scoring.py [--models FOLDER]."""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import write_table
from conditions import fitted

from privsynth.datasets import make_transactions

N_ROWS = 100_000


def timed(name: str, action: Callable[[], Any]) -> dict[str, Any]:
    start, cpu = time.perf_counter(), time.process_time()
    action()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"what": name, "rows": N_ROWS, "wall s": wall, "cpu s": cpu, "rows per cpu s": round(N_ROWS / cpu)}


def peak(action: Callable[[], Any]) -> float:
    """Return the most memory that an action held beyond what was there, in MB."""
    tracemalloc.start()
    action()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="transactions to learn from")
    parser.add_argument("--models", type=Path, help="a folder in which the model is kept between runs")
    options = parser.parse_args()
    place = options.models and options.models / "plain.privsynth"
    model = fitted(place, make_transactions(options.rows, random_state=0), epsilon=3.0)
    rows = model.sample(N_ROWS, random_state=1)
    rng = np.random.default_rng(0)
    gaps = rows.astype({"is_fraud": object, "account_age_days": float, "previous_day_count": float})
    for name in gaps:
        gaps[name] = gaps[name].mask(rng.random(N_ROWS) < 0.1)
    actions = {
        "score_samples, all 12 columns": lambda: model.score_samples(rows),
        "impute, a tenth of every column": lambda: model.impute(gaps, random_state=0),
        "impute, one column, every row": lambda: model.impute(rows.assign(merchant_category=None), random_state=0),
    }
    table = [{**timed(name, action), "peak MB": round(peak(action))} for name, action in actions.items()]
    notes = [
        f"{options.rows:,} simulated transactions, epsilon 3, default settings; one thread. Peak: beyond the rows.",
    ]
    write_table("scoring", "Scores and gaps", table, notes)


if __name__ == "__main__":
    main()
