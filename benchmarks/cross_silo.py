"""A model of several parties' releases against one of all rows: python benchmarks/cross_silo.py [--seeds 3].

The first party goes first, the others follow it. Every party's rows are a part of one training table; synthetic
rows are compared with all of it, and models trained on them are tested on rows that nobody learned from.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import isolated, median_rows, write_table

VARIANTS = {
    "one table": "one",
    "a party alone": "alone",
    "2 parties": "2",
    "2 parties, earlier and later rows": "2 by time",
    "the same, their period declared": "2 declared, by time",
}
TARGET = "is_fraud"
KEPT = ("TSTR", "TSTR spread", "TRTR", "TVD1", "TVD2", "TVD2 spread", "release s", "release kB", "fit s")


def tables(n_rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return training and test rows."""
    from privsynth.datasets import make_transactions

    frame = make_transactions(n_rows + n_rows // 4, fraud_rate=0.02, random_state=0)
    order = np.random.default_rng(0).permutation(len(frame))
    return frame.iloc[order[:n_rows]].reset_index(drop=True), frame.iloc[order[n_rows:]].reset_index(drop=True)


def parts(train: pd.DataFrame, way: str) -> list[pd.DataFrame]:
    """Return the parties' rows."""
    number = {"one": 1, "alone": 2}.get(way) or int(way.split()[0])
    if way.endswith("by time"):
        train = train.sort_values("timestamp")
    else:
        train = train.iloc[np.random.default_rng(1).permutation(len(train))]
    ends = np.linspace(0, len(train), number + 1).astype(int)
    made = [train.iloc[a:b].reset_index(drop=True) for a, b in itertools.pairwise(ends)]
    return made[:1] if way == "alone" else made


def measure_silos(*, way: str, n_rows: int, epsilon: float, random_state: int) -> dict[str, Any]:
    """Release, fit, sample and score once; all figures of one row."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real
    from privsynth.schema import Datetime

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    train, test = tables(n_rows)
    silos = parts(train, way)
    schema = {"timestamp": Datetime("2024-01-01", "2024-04-01")} if "declared" in way else None
    model = CTGAN(
        epsilon, target=TARGET, condition_columns=[TARGET], schema=schema, verbose=False, random_state=random_state
    )
    start = time.perf_counter()
    longest, size = 0.0, 0
    if len(silos) == 1:
        model.fit(silos[0])
    else:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{number}.release" for number in range(len(silos))]
            for number, (rows, path) in enumerate(zip(silos, paths, strict=True)):
                begun = time.perf_counter()
                like = {"first": True} if number == 0 else {"like": paths[0]}
                model.release(rows, **like).save(path)
                longest = max(longest, time.perf_counter() - begun)
                size = max(size, path.stat().st_size)
            start = time.perf_counter()
            model.fit_releases(paths)
    seconds = time.perf_counter() - start
    synthetic = model.sample(len(train), random_state=1)
    auc = train_synthetic_test_real(train, synthetic, target=TARGET, holdout=test).scores[0]
    return {
        "TSTR": auc.value,
        "TRTR": auc.reference,
        "TVD1": marginal_tvd(train, synthetic).mean,
        "TVD2": marginal_tvd(train, synthetic, order=2).mean,
        "release s": longest,
        "release kB": size / 1000,
        "fit s": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--epsilon", type=float, default=1.0)
    options = parser.parse_args()
    rows = []
    for label, way in VARIANTS.items():
        runs = [
            isolated(
                "measure_silos", module="cross_silo", way=way, n_rows=options.rows, epsilon=options.epsilon,
                random_state=seed,
            )
            for seed in range(options.seeds)
        ]  # fmt: skip
        rows.append({"learned from": label, **{key: median_rows(runs)[key] for key in KEPT}})
        print(rows[-1], flush=True)
    report(rows, options.rows, options.epsilon, options.seeds)


def report(rows: list[dict[str, Any]], n_rows: int, epsilon: float, seeds: int) -> None:
    """Write the table."""
    notes = [
        f"Epsilon {epsilon:g} and delta 1e-5 for each party; nothing else declared; medians of {seeds} seeds, one "
        "thread. Spread is the largest less the smallest.",
        f"{n_rows:,} simulated card transactions, 2% fraud, and {n_rows // 4:,} to test on. Parties have half of the "
        "training rows each, at random or by time.",
        "The first party finds cells and partitions in its own rows (first=True), the other counts in these (like=).",
        "TSTR: ROC AUC of gradient boosting trained on synthetic rows, on the test rows; TRTR: on all real ones. "
        "TVD1, TVD2: mean total variation of columns and pairs against all training rows.",
        "release s: the slowest party's time, which for the first one holds the fit that its partitions are grown on; "
        "release kB: the largest file; fit s: the coordinator's time, or the whole fit of one table.",
    ]
    write_table("cross_silo", "Several parties, one model", rows, notes)


if __name__ == "__main__":
    main()
