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
from common import isolated, load, median_rows, write_table

VARIANTS = {
    "transactions": {
        "one table": "one",
        "a party alone": "alone",
        "2 parties": "2",
        "2 parties, earlier and later rows": "2 by time",
        "5 parties": "5",
    },
    "adult": {"one table": "one", "a party alone": "alone", "2 parties": "2"},
}
TARGETS = {"transactions": "is_fraud", "adult": "income"}


def tables(name: str, n_rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return training and test rows."""
    if name != "transactions":
        return load(name)
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


def measure_silos(table: str, *, way: str, n_rows: int, epsilon: float, random_state: int) -> dict[str, Any]:
    """Release, fit, sample and score once; all figures of one row."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    train, test = tables(table, n_rows)
    target = TARGETS[table]
    silos = parts(train, way)
    model = CTGAN(epsilon, target=target, condition_columns=[target], verbose=False, random_state=random_state)
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
    auc = train_synthetic_test_real(train, synthetic, target=target, holdout=test).scores[0]
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
    for table, variants in VARIANTS.items():
        for label, way in variants.items():
            runs = [
                isolated(
                    "measure_silos", table, module="cross_silo", way=way, n_rows=options.rows,
                    epsilon=options.epsilon, random_state=seed,
                )
                for seed in range(options.seeds)
            ]  # fmt: skip
            row = median_rows(runs)
            kept = ("TSTR", "TSTR spread", "TRTR", "TVD1", "TVD2", "TVD2 spread", "release s", "release kB", "fit s")
            rows.append({"table": table, "learned from": label, **{key: row[key] for key in kept}})
            print(rows[-1], flush=True)
    notes = [
        f"Epsilon {options.epsilon:g} and delta 1e-5 for each party; nothing declared; medians of {options.seeds} "
        "seeds, one thread. Spread is the largest less the smallest.",
        f"transactions: {options.rows:,} simulated rows, 2% fraud, and {options.rows // 4:,} to test on. adult: 26,048 "
        "and 6,513. Parties have equal parts of the training rows, at random or by time.",
        "The first party finds cells and partitions in its own rows (first=True), the others count in these (like=).",
        "TSTR: ROC AUC of gradient boosting trained on synthetic rows, on the test rows; TRTR: on all real ones. "
        "TVD1, TVD2: mean total variation of columns and pairs against all training rows.",
        "release s: the slowest party's time, which for the first one holds the fit that its partitions are grown on; "
        "release kB: the largest file; fit s: the coordinator's time, or the whole fit of one table.",
    ]
    write_table("cross_silo", "Several parties, one model", rows, notes)


if __name__ == "__main__":
    main()
