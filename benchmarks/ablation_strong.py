"""How strong releases are weighed where a class is rare: python benchmarks/ablation_strong.py.

The loss counts errors in units of the noise. Where the noise is far below what a generator can follow, the misfit of
the large class decides alone, so what is minimised takes no noisy count for better known than to a share of the rows,
in a class times the root of its share. The fits of a seed draw the same noise, so these are measurements and nothing
that could be published. Rows that are in results/ablation_strong.jsonl are not run again; `--choices` runs some. Where
the noise is larger than that, on Adult for one, fits are the same; the 100k transactions reach it at epsilon 3.
"""

from __future__ import annotations

from typing import Any

from common import RESULTS, records, run_once, wanted_fits, write_table
from paired import paired_lines

CASES = [("transactions 1M", 1.0), ("transactions 1M", 10.0), ("transactions 100k", 10.0), ("cardio", 10.0)]
FIRST = "by the noise alone"
CHOICES: dict[str, dict[str, Any]] = {
    FIRST: {"patch": "strong", "value": 0.0},
    "to .0002 (default)": {"patch": "strong", "value": 2e-4},
}
MEASURES = ("TSTR", "AP", "TVD1", "TVD2", "cpu s")
STORE = RESULTS / "ablation_strong.jsonl"


def main() -> None:
    for seed, name, epsilon, label in wanted_fits(__doc__, CASES, CHOICES, seeds=3):
        key = {"table": name, "epsilon": epsilon, "choice": label, "seed": seed}
        settings = {"epsilon": epsilon, "seed": seed, **CHOICES[label]}
        run_once(STORE, key, "measure_default", name, module="ablation_defaults", **settings)
    report()


def report() -> None:
    """Write means of fits by the noise alone, and differences from those of the others at the same seed."""
    rows = records(STORE)
    lines = paired_lines(rows, CASES, CHOICES, first=FIRST, measures=MEASURES, whole=("cpu s",))
    write_table(
        "ablation_strong", "How strong releases are weighed", lines,
        ["Nothing declared, 80/20 splits as elsewhere: means of fits that count errors in units of the noise alone, "
         "and of the others mean differences from these at the same seed and noise, with standard errors; cpu s of a "
         "fit on one thread.",
         "TSTR is ROC AUC of gradient boosting on real rows, AP its average precision; TVD of as many rows as there "
         "were."],
    )  # fmt: skip


if __name__ == "__main__":
    main()
