"""Is the model smooth between two rows? python benchmarks/interpolation.py [--models FOLDER].

Follows paths between drawn rows, and between an everyday payment and a fraud, in ever more steps: if the model is
smooth, the largest change between neighbouring steps falls as their number grows. Also writes the plot of one path.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, write_table
from conditions import fitted

from privsynth.datasets import make_transactions

STEPS = (6, 11, 21, 41, 81)
N_PAIRS = 10
HONEST = {"is_fraud": False, "channel": "contactless", "amount": (5, 30)}
FRAUD = {"is_fraud": True, "channel": "online", "amount": (200, 1000)}
SHOWN = ["amount", "merchant_category", "distance_from_home_km", "is_fraud"]


def largest_changes(model: Any, pairs: list[tuple[Any, Any]], *, name: str, **how: Any) -> dict[str, Any]:
    """Return the largest total variation distance between neighbouring steps, the median over pairs."""
    row: dict[str, Any] = {"from and to": name, "paths": len(pairs), **dict.fromkeys(f"{n} steps" for n in STEPS)}
    for steps in STEPS:
        start = time.process_time()
        found = [
            float(model.interpolate(*pair, steps, random_state=0, **how).changes.to_numpy().max()) for pair in pairs
        ]
        row[f"{steps} steps"] = float(np.median(found))
        row["cpu s a path"] = (time.process_time() - start) / len(pairs)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--models", type=Path, help="a folder in which the model is kept between runs")
    options = parser.parse_args()
    place = options.models and options.models / "plain.privsynth"
    model = fitted(place, make_transactions(options.rows, random_state=0), epsilon=3.0)
    drawn = model.sample(2 * N_PAIRS, random_state=1)
    pairs = [(drawn.iloc[i], drawn.iloc[N_PAIRS + i]) for i in range(N_PAIRS)]
    old = {"customer_age_band": ["65-74", "75+"]}
    rows = [
        largest_changes(model, [(HONEST, FRAUD)], name="an everyday payment, a fraud online"),
        largest_changes(model, [(HONEST, FRAUD)], name="the same, all customers 65 and older", conditions=old),
        largest_changes(model, pairs, name="drawn rows, all columns known"),
    ]
    path = model.interpolate(HONEST, FRAUD, 41, random_state=0)
    (RESULTS / "interpolation.svg").write_text(
        path.to_svg(SHOWN, title="From an everyday payment to a fraud online"), encoding="utf-8"
    )
    notes = [
        f"{options.rows:,} simulated transactions, epsilon 3, default settings. The largest total variation distance "
        "of any column between neighbouring steps, the median over paths; cpu s: of the most steps.",
        "Were there a jump, the figure would not fall below its height. Even changes would fall like 1 / (steps - 1).",
    ]
    write_table("interpolation", "Between two rows", rows, notes)


if __name__ == "__main__":
    main()
