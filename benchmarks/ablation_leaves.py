"""What leaves get of the budget of a small table: python benchmarks/ablation_leaves.py [--seeds 4] [--tables ...].

Whole fits, nothing declared. Leaves get 3.5 of some 90 to 110 parts of the budget, or more where their noise would be
more than a part of the rows, up to a share of the whole: both numbers by other choices. The fits of a seed draw the
same noise, in units of its scale, so these fits are measurements and nothing that could be published. Rows in
results/ablation_leaves.jsonl are kept.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from ablation_weights import seed_noise
from common import RESULTS, records, run_once, write_table
from paired import paired_lines
from tables import cases

CASES = [("stroke", 0.3), ("stroke", 1.0), ("transactions 10k", 0.3), ("transactions 10k", 1.0), ("adult", 0.3)]
CHOICES: dict[str, dict[str, float]] = {
    "3.5 parts everywhere": {"most": 0.0},
    "noise of 1/200, a twentieth at most": {"most": 0.05},
    "noise of 1/200, a tenth at most (default)": {"most": 0.1},
    "noise of 1/200, a fifth at most": {"most": 0.2},
    "noise of 1/100, a tenth at most": {"most": 0.1, "clear": 0.01},
}
BEFORE = "3.5 parts everywhere"
DEFAULT = "noise of 1/200, a tenth at most (default)"
FRESH = 10  # the first seed that the rule was not chosen on
STORE = RESULTS / "ablation_leaves.jsonl"
MEASURES = ("TVD1", "TVD2", "TSTR")


def measure_leaves(name: str, *, epsilon: float, seed: int, most: float, clear: float = 1 / 200) -> dict[str, float]:
    """Fit and score once, with noise of a public seed; in a process of its own, so the patches end with it."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real
    from privsynth.training import shares

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seed_noise(seed)
    shares._MOST_LEAVES, shares._CLEAR_LEAF = most, clear
    train, test, target = cases(name)
    model = CTGAN(epsilon, target=target, verbose=False, random_state=seed).fit(train)
    synthetic = model.sample(len(train), random_state=1)
    return {
        "TVD1": marginal_tvd(train, synthetic).mean,
        "TVD2": marginal_tvd(train, synthetic, order=2).mean,
        "TSTR": train_synthetic_test_real(train, synthetic, target=target, holdout=test).scores[0].value,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--tables", nargs="+", choices=dict(CASES), default=list(dict(CASES)))
    parser.add_argument(
        "--fresh", type=int, default=6, help="seeds for the default and 3.5 parts alone, after the choice"
    )
    parser.add_argument("--write", action="store_true", help="write the table from the rows that are there")
    options = parser.parse_args()
    seeds = [*range(options.seeds), *range(FRESH, FRESH + options.fresh)]
    for seed in () if options.write else seeds:
        for name, epsilon in CASES:
            for label in (BEFORE, DEFAULT) if seed >= FRESH else CHOICES:
                if name not in options.tables:
                    continue
                key = {"table": name, "epsilon": epsilon, "choice": label, "seed": seed}
                settings = {"epsilon": epsilon, "seed": seed, **CHOICES[label]}
                run_once(STORE, key, "measure_leaves", name, module="ablation_leaves", **settings)
    report()


def report() -> None:
    """Write means and differences from 3.5 parts, of the seeds that the rule was chosen on and of others."""
    rows = records(STORE)
    chosen = _lines([row for row in rows if row["seed"] < FRESH], list(CHOICES))
    fresh = _lines([row for row in rows if row["seed"] >= FRESH], [BEFORE, DEFAULT])
    write_table(
        "ablation_leaves", "What leaves get of the budget of a small table", chosen,
        ["Whole fits, nothing declared: means, and differences from fits of the same seed whose leaves get 3.5 parts "
         "of the budget, with their standard errors. All choices have the same privacy.",
         "The rule was chosen on these seeds, so its gains here are flattered; the table below is of others."],
        more={"Seeds that it was not chosen on": fresh},
    )  # fmt: skip


def _lines(rows: list[dict[str, Any]], labels: list[str]) -> list[dict[str, Any]]:
    return paired_lines(rows, CASES, labels, first=BEFORE, measures=MEASURES, less="less 3.5 parts")


if __name__ == "__main__":
    main()
