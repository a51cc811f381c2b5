"""Samples with and without exchanges within components: python benchmarks/ablation_balance.py [--seeds 2] [--write].

Each fit is sampled with several numbers of sweeps (`privsynth.training.balance`), as many rows as it had, three times
(once of the large table). Rows in results/ablation_balance.jsonl are kept.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from common import RESULTS, records, run_once, wanted_fits, write_table
from measures import class_tvd, triple_tvd
from tables import cases

NONE = "none"
CHOICES = {NONE: 0, "1 sweep (default)": 1, "3 sweeps": 3, "10 sweeps": 10}
CASES = [
    *(("stroke", epsilon) for epsilon in (1.0, 10.0)), *(("transactions 10k", epsilon) for epsilon in (1.0, 10.0)),
    *(("adult", epsilon) for epsilon in (1.0, 10.0)), ("cardio", 1.0), ("transactions 100k", 1.0),
]  # fmt: skip
STORE = RESULTS / "ablation_balance.jsonl"
MEASURES = ("TVD2", "TVD3", "TVD2 by class", "TSTR", "AP", "sample s")
LARGE, FRESH = 50_000, 100_000  # rows; transactions to score on


def measure_sweeps(name: str, *, epsilon: float, seed: int) -> dict[str, float]:
    """Return the measures of each choice, in a process of its own."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real
    from privsynth.training import balance

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    train, test, target = cases(name)
    model = CTGAN(epsilon, target=target, verbose=False, random_state=seed).fit(train)
    found: dict[str, float] = {}
    for choice, sweeps in CHOICES.items():
        balance._SWEEPS, each = sweeps, []
        for draw in range(1 if len(train) > LARGE else 3):
            start = time.process_time()
            rows = model.sample(len(train), random_state=draw)
            seconds = time.process_time() - start
            scores = train_synthetic_test_real(train, rows, target=target, holdout=test.iloc[:FRESH]).scores
            pairs, (by_class, _) = marginal_tvd(train, rows, order=2).mean, class_tvd(train, rows, target=target)
            triples = triple_tvd(train, rows)
            each.append([pairs, triples, by_class or np.nan, scores[0].value, scores[1].value, seconds])
        found |= zip([f"{choice}: {measure}" for measure in MEASURES], np.mean(each, axis=0).tolist(), strict=True)
    return found


def main() -> None:
    for seed, name, epsilon, _ in wanted_fits(__doc__, CASES, ["all"], seeds=2):
        key = {"table": name, "epsilon": epsilon, "seed": seed}
        run_once(STORE, key, "measure_sweeps", name, module="ablation_balance", epsilon=epsilon, seed=seed)
    report()


def report() -> None:
    """Write means without exchanges, and differences from them on the same fits."""
    lines: list[dict[str, Any]] = []
    for name, epsilon in CASES:
        runs = [row for row in records(STORE) if (row["table"], row["epsilon"]) == (name, epsilon)]
        for choice in CHOICES if runs else ():
            line: dict[str, Any] = {"table": name, "epsilon": epsilon, "sweeps": choice, "fits": len(runs)}
            for measure in MEASURES:
                values = np.array([run[f"{choice}: {measure}"] for run in runs])
                plain = choice == NONE or measure == "sample s"
                gaps = values if plain else values - [run[f"{NONE}: {measure}"] for run in runs]
                error = "" if plain or len(runs) < 2 else f" ± {gaps.std(ddof=1) / len(runs) ** 0.5:.4f}"
                line[measure] = f"{gaps.mean():.4f}" if plain else f"{gaps.mean():+.4f}{error}"
            lines.append(line)
    write_table(
        "ablation_balance", "Exchanges within components, or none", lines,
        ["Means of fits without exchanges, and differences from them with, on the same fits, with standard errors. As "
         "many rows as there were, three samples of each fit (transactions 100k: one).",
         "sample s: CPU seconds of a sample on one thread."],
    )  # fmt: skip


if __name__ == "__main__":
    main()
