"""Groups of cells in small classes, on and off: python benchmarks/ablation_groups.py [--seeds 10] [--large 0].

A group is as large as makes a count of a pair hold so many standard deviations of noise in rows; none: cell by cell.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
from common import isolated, load, write_table
from sklearn.model_selection import train_test_split

VARIANTS = {"none": None, "0.1": 0.1, "0.3": 0.3, "1": 1.0}
CASES = [("stroke", 1.0), ("stroke", 3.0), ("transactions 100k", 1.0), ("transactions 100k", 3.0)]


def tables(name: str) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return the training rows, rows to score on, and the target."""
    from privsynth.datasets import make_transactions

    if name == "stroke":
        train, test = (part.drop(columns="id") for part in load("stroke"))
        return train, test, "stroke"
    train, _ = train_test_split(make_transactions(125_000, random_state=0), test_size=0.2, random_state=0)
    return train.reset_index(drop=True), make_transactions(300_000, random_state=77), "is_fraud"


def measure_groups(name: str, *, epsilon: float, rows_a_count: float | None, seed: int) -> dict[str, float]:
    """Fit and score once, by two samples; in a process of its own, so the patch ends with it."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real
    from privsynth.training import grouping

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if rows_a_count is None:
        grouping._SMALL = 0.0
    else:
        grouping._ROWS_A_COUNT, grouping._MANY = rows_a_count, 32
    train, test, target = tables(name)
    model = CTGAN(epsilon, target=target, verbose=False, random_state=seed).fit(train)
    samples = [model.sample(len(train), random_state=number) for number in (1, 2)]
    scores = [train_synthetic_test_real(train, sample, target=target, holdout=test).scores for sample in samples]
    return {
        "TSTR": float(np.mean([found[0].value for found in scores])),
        "average precision": float(np.mean([found[1].value for found in scores])),
        "TVD2": marginal_tvd(train, samples[0], order=2).mean,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="fits of each kind of stroke")
    parser.add_argument("--large", type=int, default=0, help="fits of each kind of transactions, a minute each")
    options = parser.parse_args()
    rows = []
    for name, epsilon in CASES:
        fits = options.seeds if name == "stroke" else options.large
        for label, rows_a_count in VARIANTS.items() if fits else ():
            runs = [
                isolated(
                    "measure_groups", name, module="ablation_groups", epsilon=epsilon, rows_a_count=rows_a_count,
                    seed=seed,
                )
                for seed in range(fits)
            ]  # fmt: skip
            row: dict[str, Any] = {"table": name, "epsilon": epsilon, "groups": label, "fits": len(runs)}
            for key in runs[0]:
                values = np.array([run[key] for run in runs])
                row[key] = float(values.mean())
                row[f"{key} ±"] = float(values.std(ddof=1) / np.sqrt(len(values)))
            rows.append(row)
            print(row, flush=True)
    notes = [
        "Means of fits and their standard errors; two samples as large as the table from each fit; nothing declared.",
        "groups: standard deviations of noise in rows that a count of a pair holds on average; none: cell by cell.",
        "stroke: 4,088 rows, 200 of the class, split 80/20. Transactions, where fitted: 100,000 rows, 1 % fraud, "
        "and 300,000 fresh rows.",
    ]
    write_table("ablation_groups", "Pairs of small classes in groups of cells", rows, notes)


if __name__ == "__main__":
    main()
