"""How many steps a strong release is fitted with at most, and at what rate: python benchmarks/ablation_steps.py.

The fits of a seed draw the same noise, so these are measurements and nothing that could be published. Weak releases are
near the noise long before and end there, whatever the limit. Rows that are in results/ablation_steps.jsonl are not run
again; `--choices` runs some. Epsilon inf is a fit without privacy.
"""

from __future__ import annotations

import math
from typing import Any

from common import RESULTS, records, run_once, wanted_fits, write_table
from paired import paired_lines

CASES = [
    ("adult", 10.0), ("cardio", 10.0), ("stroke", 10.0), ("transactions 10k", 10.0), ("transactions 100k", 10.0),
    ("transactions 1M", 1.0), ("adult", math.inf), ("stroke", math.inf), ("transactions 10k", math.inf),
    ("transactions 100k", math.inf),
]  # fmt: skip
FIRST = "1500 steps"
CHOICES: dict[str, dict[str, Any]] = {
    FIRST: {"steps": 1500},
    "3000 steps": {"steps": 3000},
    "1500 steps, twice the rate": {"steps": 1500, "patch": "rate", "value": 2.0},
    "1500 steps, three times the rate": {"steps": 1500, "patch": "rate", "value": 3.0},
    "3000 steps, twice the rate": {"steps": 3000, "patch": "rate", "value": 2.0},
    "3000 steps, three times the rate": {"steps": 3000, "patch": "rate", "value": 3.0},
    "6000 steps": {"steps": 6000},
}
MEASURES = ("TSTR", "AP", "TVD1", "TVD2", "cpu s")
STORE = RESULTS / "ablation_steps.jsonl"


def main() -> None:
    for seed, name, epsilon, label in wanted_fits(__doc__, CASES, CHOICES, seeds=2):
        key = {"table": name, "epsilon": epsilon, "choice": label, "seed": seed}
        settings = {"epsilon": None if math.isinf(epsilon) else epsilon, "seed": seed, **CHOICES[label]}
        run_once(STORE, key, "measure_default", name, module="ablation_defaults", **settings)
    report()


def report() -> None:
    """Write means of 1500 steps, and differences from those of the others at the same seed."""
    rows = records(STORE)
    lines = paired_lines(rows, CASES, CHOICES, first=FIRST, measures=MEASURES, whole=("cpu s",))
    write_table(
        "ablation_steps", "Most steps, and the rate", lines,
        ["Nothing declared, 80/20 splits as elsewhere: means of fits of 1500 steps at most, and of the others mean "
         "differences from these at the same seed and noise, with standard errors; cpu s of a fit on one thread.",
         "By default 3000 steps with privacy and 1500 without. Partitions take a third as many more.",
         "TSTR is ROC AUC of gradient boosting on real rows, AP its average precision, of stroke and the 10k "
         "transactions by five times the rows; TVD of as many rows as there were."],
    )  # fmt: skip


if __name__ == "__main__":
    main()
