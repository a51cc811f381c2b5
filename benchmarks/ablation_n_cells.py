"""How many cells a number may have: python benchmarks/ablation_n_cells.py [--seeds 2] [--tables ...] [--choices ...].

Whole fits, nothing declared. The fits of a seed draw the same noise, in units of its scale, so these fits are
measurements and nothing that could be published. Rows in results/ablation_n_cells.jsonl are kept.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from ablation_weights import seed_noise
from common import RESULTS, records, run_once, wanted_fits, write_table
from measures import class_tvd, triple_tvd
from paired import paired_lines
from tables import cases

STORE = RESULTS / "ablation_n_cells.jsonl"
MOST = 32
CHOICES: dict[str, int | None] = {"32": MOST, "24": 24, "16": 16, "12": 12, "8": 8, "by noise (default)": None}
CASES = [
    ("adult", 0.3), ("adult", 1.0), ("adult", 3.0), ("adult", 10.0), ("cardio", 0.3), ("cardio", 1.0),
    ("cardio", 10.0), ("stroke", 0.3), ("stroke", 1.0), ("stroke", 3.0), ("stroke", 10.0), ("transactions 10k", 0.3),
    ("transactions 10k", 1.0), ("transactions 10k", 3.0), ("transactions 100k", 0.3), ("transactions 100k", 1.0),
    ("transactions 100k", 10.0),
]  # fmt: skip
MEASURES = ("TSTR", "AP", "TVD2", "TVD3", "TVD2 by class", "cpu s")
FRESH = 100_000  # transactions to score on


def measure_cells(name: str, *, epsilon: float, seed: int, n_cells: int | None) -> dict[str, float]:
    """Fit once with noise of a public seed, score two samples; in a process of its own, so the patch ends with it."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real
    from privsynth.training import plan

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seed_noise(seed)
    if n_cells is not None:
        plan.n_cells_of = lambda *_: n_cells
    train, test, target = cases(name)
    start = time.process_time()
    model = CTGAN(epsilon, target=target, verbose=False, random_state=seed).fit(train)
    seconds = time.process_time() - start
    found = []
    for draw in range(2):
        synthetic = model.sample(len(train), random_state=draw)
        scores = train_synthetic_test_real(train, synthetic, target=target, holdout=test.iloc[:FRESH]).scores
        by_class, _ = class_tvd(train, synthetic, target=target)
        pairs = marginal_tvd(train, synthetic, order=2).mean
        found.append([scores[0].value, scores[1].value, pairs, triple_tvd(train, synthetic), by_class or np.nan])
    return dict(zip(MEASURES, [*np.mean(found, axis=0).tolist(), seconds], strict=True))


def main() -> None:
    for seed, name, epsilon, label in wanted_fits(__doc__, CASES, CHOICES, seeds=2):
        key = {"table": name, "epsilon": epsilon, "cells": label, "seed": seed}
        settings = {"epsilon": epsilon, "seed": seed, "n_cells": CHOICES[label]}
        run_once(STORE, key, "measure_cells", name, module="ablation_n_cells", **settings)
    report()


def report() -> None:
    """Write means of 32 cells, and differences from those of the others at the same seed."""
    lines = paired_lines(
        records(STORE), CASES, CHOICES, first=str(MOST), measures=MEASURES, by="cells", whole=("cpu s",)
    )
    write_table(
        "ablation_n_cells", "Cells a number may have", lines,
        ["Whole fits, nothing declared: means of fits with 32 cells, and of the others mean differences from these at "
         "the same seed, with standard errors. All have the same total epsilon. Numbers of at most 32 values have a "
         "cell for each.",
         "TSTR is ROC AUC of gradient boosting on real rows, AP its average precision; means of two samples a fit."],
    )  # fmt: skip


if __name__ == "__main__":
    main()
