"""Does the neural critic earn its budget? python benchmarks/ablation_critic.py [--seeds 2] [--million].

The measured critic alone against both critics under one budget, on simulated transactions, whose fraud has structure of
higher order than any table the measured critic asks for; without privacy too, where the neural critic costs nothing.
Rows in results/ablation_critic.jsonl are kept.
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
import warnings
from typing import Any

import numpy as np
import torch
from common import RESULTS, records, run_once, write_table
from measures import triple_tvd
from sklearn.model_selection import train_test_split

from privsynth import CTGAN
from privsynth.datasets import make_transactions
from privsynth.evaluation import marginal_tvd, train_synthetic_test_real

VARIANTS: dict[str, dict[str, Any]] = {
    "measured": {"critic": "measured"},
    "both": {"critic": "both"},
    "both, 400 steps": {"critic": "both", "discriminator_steps": 400},
    "both, 256-256": {"critic": "both", "discriminator_dim": (256, 256)},
}
CASES: list[tuple[int, float | None, tuple[str, ...]]] = [
    (100_000, 3.0, ("measured", "both")),
    (100_000, 10.0, tuple(VARIANTS)),
    (100_000, None, tuple(VARIANTS)),
]
MILLION: list[tuple[int, float | None, tuple[str, ...]]] = [
    (1_000_000, 3.0, ("measured", "both")),
    (1_000_000, 10.0, ("measured", "both")),
]
STORE = RESULTS / "ablation_critic.jsonl"
MEASURES = ("TSTR", "AP", "TVD2", "TVD3", "r", "fit s")


def measure_critic(n_rows: int, *, seed: int, **parameters: Any) -> dict[str, Any]:
    """Fit and measure once; called in a process of its own."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = make_transactions(n_rows, random_state=0)
    train, test = (f.reset_index(drop=True) for f in train_test_split(rows, test_size=0.2, random_state=0))
    start = time.process_time()
    model = CTGAN(
        target="is_fraud", condition_columns=["is_fraud"], verbose=False, random_state=seed, device="cpu", **parameters
    ).fit(train)
    seconds = time.process_time() - start
    synthetic = model.sample(len(train), random_state=seed)
    gc.collect()
    boosted = train_synthetic_test_real(train, synthetic, target="is_fraud", holdout=test)
    scores = {score.name: score.value for score in boosted.scores}
    return {
        "TSTR": scores["ROC AUC"],
        "AP": scores["Average precision"],
        "TVD2": marginal_tvd(train, synthetic, order=2).mean,
        "TVD3": triple_tvd(train, synthetic),
        **({"r": model.plan_.noise_ratio} if parameters["epsilon"] and parameters["critic"] != "measured" else {}),
        "fit s": seconds,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--million", action="store_true", help="a million rows too, one seed")
    parser.add_argument("--write", action="store_true", help="write the table from the rows that are there")
    options = parser.parse_args()
    if options.write:
        return report()
    for n_rows, epsilon, names in (MILLION if options.million else []) + CASES:
        for seed in range(1 if n_rows > 100_000 else options.seeds):
            for name in names:
                key = {"rows": n_rows, "epsilon": "none" if epsilon is None else epsilon, "critics": name, "seed": seed}
                settings = {"seed": seed, "epsilon": epsilon, **VARIANTS[name]}
                run_once(STORE, key, "measure_critic", n_rows, module="ablation_critic", **settings)
    report()


def report() -> None:
    """Write medians and spreads of the runs that are there."""
    rows, found = [], records(STORE)
    for n_rows, epsilon, names in CASES + MILLION:
        for name in names:
            key = {"rows": n_rows, "epsilon": "none" if epsilon is None else epsilon, "critics": name}
            runs = [run for run in found if all(run[k] == v for k, v in key.items())]
            row: dict[str, Any] = {**key, "seeds": len(runs)}
            for measure in MEASURES if runs else ():
                values = [run[measure] for run in runs if measure in run]
                row[measure] = float(np.median(values)) if values else None
                if measure in ("TSTR", "AP", "TVD3"):
                    row[f"{measure} spread"] = float(max(values) - min(values))
            rows.extend([row] if runs else [])
    notes = [
        "Simulated transactions, 80/20 split, nothing declared, delta 1e-5, target and condition is_fraud; medians "
        "over seeds, spread: largest less smallest. fit s: computing, one thread.",
        "r: noise of DP-SGD relative to its signal (docs/method.md). both: 100 steps, a critic of 64-32, and the share "
        "of the budget that DP-SGD gets at that r.",
        "The final choice may keep the generator as it was before the neural critic.",
    ]
    write_table("ablation_critic", "The neural critic beside the measured one", rows, notes)


if __name__ == "__main__":
    main()
