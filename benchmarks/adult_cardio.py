"""Quality, time, memory and certified epsilon on Adult and cardio: python benchmarks/adult_cardio.py [--seeds 3].

`--only` runs the models whose names contain one of some texts, and keeps the other rows of results/adult_cardio.md.
"""

from __future__ import annotations

import argparse
from typing import Any

from common import RESULTS, isolated, median_rows, plot_bars, write_table

CASES = [
    ("adult", "declared, epsilon 1", {"declare": True, "epsilon": 1.0}),
    ("adult", "nothing declared, epsilon 1", {"declare": False, "epsilon": 1.0}),
    ("adult", "nothing declared, no privacy", {"declare": False, "epsilon": None}),
    ("adult", "declared, no privacy", {"declare": True, "epsilon": None}),
    ("adult", "nothing declared, epsilon 0.3", {"declare": False, "epsilon": 0.3}),
    ("adult", "nothing declared, epsilon 10", {"declare": False, "epsilon": 10.0}),
    ("adult", "measured critic only, epsilon 1", {"declare": False, "epsilon": 1.0, "critic": "measured"}),
    ("adult", "both critics, epsilon 1", {"declare": False, "epsilon": 1.0, "critic": "both"}),
    (
        "adult",
        "DP-SGD GAN only, epsilon 1",
        {"declare": False, "epsilon": 1.0, "critic": "neural", "discriminator_steps": 1000},
    ),
    ("cardio", "nothing declared, epsilon 1", {"declare": False, "epsilon": 1.0}),
    ("cardio", "nothing declared, no privacy", {"declare": False, "epsilon": None}),
]


def kept_rows() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of the table that is there, by table and model."""
    lines = (RESULTS / "adult_cardio.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    names, *rows = cells
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return {
        (row["table"], row["model"]): {k: v if k in ("table", "model") else float(v) for k, v in row.items()}
        for row in found
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows = []
    kept = kept_rows() if options.only else {}
    for table, label, parameters in CASES:
        if options.only and not any(text in f"{table}: {label}" for text in options.only):
            rows.append(kept[table, label])
            continue
        runs = [
            isolated("measure_fit", table, threads=options.threads, random_state=seed, **parameters)
            for seed in range(options.seeds)
        ]
        rows.append({"table": table, "model": label, **median_rows(runs)})
        print(rows[-1], flush=True)
    notes = [
        f"Medians of {options.seeds} seeds, {options.threads} threads; 80/20 split, seed 0; delta 1e-5; "
        "target and condition: income (Adult), cardio.",
        "TSTR: gradient boosting on synthetic rows, ROC AUC on the real holdout; TRTR: the same on real rows.",
        "TVD1, TVD2: mean total variation of all 1-way and 2-way marginals, 20 quantile bins. quality: SDMetrics.",
        "second accountant: dp-accounting's PLD on the certificate's events, plus the row count's epsilon.",
        "peak MB: of the whole process after fit; import MB: before it.",
    ]
    write_table("adult_cardio", "Adult and cardio at equal total epsilon", rows, notes)
    adult = [row for row in rows if row["table"] == "adult"]
    plot_bars(
        "adult_cardio",
        "Adult: train on synthetic, test on real",
        [row["model"] for row in adult],
        [row["TSTR"] for row in adult],
        reference=adult[0]["TRTR"],
        axis="ROC AUC on real rows",
    )


if __name__ == "__main__":
    main()
