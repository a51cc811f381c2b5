"""Shares of the budget for levels and for 1-way counts: python benchmarks/ablation_shares.py [--seeds 3].

Nothing is declared. Every share but the one named is at its default.
"""

from __future__ import annotations

import argparse
from typing import Any

from common import isolated, measure_fit, median_rows, write_table

from privsynth.training import plan

LABELS = {"levels": plan.VALUES, "one_way": plan.ONE_WAY, "bounds": plan.BOUNDS, "class_columns": plan.CLASS_COLUMNS}
VARIANTS: list[tuple[str, dict[str, float]]] = [
    ("levels 15, 1-way 5 (default)", {}),
    ("levels 5, 1-way 10", {"levels": 5.0, "one_way": 10.0}),
    ("levels 10, 1-way 10", {"levels": 10.0, "one_way": 10.0}),
    ("levels 15, 1-way 10", {"levels": 15.0, "one_way": 10.0}),
    ("levels 25, 1-way 5", {"levels": 25.0, "one_way": 5.0}),
]
CASES = [("adult", 0.3), ("adult", 1.0), ("adult", 10.0), ("cardio", 1.0)]


def measure_variant(table: str, *, shares: dict[str, float], **parameters: Any) -> dict[str, Any]:
    """Fit with other shares; called in a process of its own, so the patch ends with it."""
    usual = plan._shares

    def others(request: plan.Request, training: float, *, signal: float) -> dict[str, float]:
        wanted = {LABELS[name]: share for name, share in shares.items()}
        found = usual(request, training, signal=signal)
        if plan.RARER in found and plan.VALUES in wanted:  # each column has the same share, in one look or two
            twice, once = request.discoveries[plan.RARER], request.discoveries[plan.VALUES]
            of_levels = wanted[plan.VALUES] * twice / (twice + once)
            wanted[plan.RARER] = plan._SECOND_LOOK * of_levels
            wanted[plan.LEVELS] = of_levels - wanted[plan.RARER]
            wanted[plan.VALUES] -= of_levels
        return {label: wanted.get(label, share) for label, share in found.items()}

    plan._shares = others
    return measure_fit(table, declare=False, threads=1, **parameters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for table, epsilon in CASES:
        for label, shares in VARIANTS:
            runs = [
                isolated(
                    "measure_variant",
                    table,
                    module="ablation_shares",
                    shares=shares,
                    epsilon=epsilon,
                    random_state=seed,
                )
                for seed in range(options.seeds)
            ]
            row = median_rows(runs)
            kept = ("TSTR", "TSTR spread", "TVD1", "TVD2", "TVD2 spread", "quality")
            rows.append({"table": table, "epsilon": epsilon, "shares": label, **{key: row[key] for key in kept}})
            print(rows[-1], flush=True)
    notes = [
        "Nothing declared, delta 1e-5, 80/20 split seed 0; target and condition: income (Adult), cardio; "
        f"medians of {options.seeds} seeds.",
        "Shares are of mu^2; beside them: columns by class 20, pairs by class 50, selection 6, leaves 3.5, forms 2.",
    ]
    write_table("ablation_shares", "What of the budget goes to levels and to 1-way counts", rows, notes)


if __name__ == "__main__":
    main()
