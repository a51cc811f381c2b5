"""How well a fit knows how many rows a rare class has: python benchmarks/class_sizes.py [--releases 40].

From the columns by class and the target's own counts, and from the pairs by class too (training/measured.py). Tables
are released as a fit does it, with nothing declared; no generator is fitted. The noise is that of public seeds.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from common import write_table
from tables import cases

TABLES = ["transactions 10k", "stroke", "adult"]
EPSILONS = [0.3, 1.0, 3.0]


class Released(Exception):
    """Ends a fit where its tables are released."""


def measure_sizes(name: str, epsilon: float, n_releases: int) -> dict[str, Any]:
    """Return the root mean squared errors of the rarest class's size."""
    from ablation_weights import seed_noise

    from privsynth import CTGAN
    from privsynth.training.measured import _class_shares

    found: list[Any] = []

    class Releasing(CTGAN):
        def _train(self, tables: Any, *_: Any) -> dict[str, Any]:
            found.append(tables)
            raise Released

    train, _, target = cases(name)
    true = int(train[target].value_counts().min())
    with_pairs, without = [], []
    for seed in range(n_releases):
        seed_noise(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                Releasing(epsilon, target=target, verbose=False, random_state=seed).fit(train)
            except Released:
                tables = found.pop()
        for sizes, measurements in (
            (with_pairs, tables.measurements),
            (without, replace(tables.measurements, pairs=None)),
        ):
            sizes.append(_class_shares(measurements, tables.encoder.layout).min() * tables.n_rows)
    errors = [np.sqrt(np.mean(np.square(np.array(sizes) - true))) for sizes in (without, with_pairs)]
    return {
        "table": name, "epsilon": f"{epsilon:g}", "rows of the class": true, "releases": n_releases,
        "without pairs": f"{errors[0]:.1f}", "with pairs": f"{errors[1]:.1f}",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=40)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    options = parser.parse_args()
    rows = []
    for name in options.tables:
        for epsilon in EPSILONS:
            rows.append(measure_sizes(name, epsilon, options.releases if name != "adult" else options.releases // 4))
            print(rows[-1], flush=True)
    notes = [
        "Root mean squared error, in rows, of what a fit takes the rarest class to have: from the target's counts and "
        "the columns by class, and from the pairs by class too. Nothing declared, delta 1e-5.",
    ]
    write_table("class_sizes", "Rows of a rare class", rows, notes)


if __name__ == "__main__":
    main()
