"""Where columns end of which no bounds are declared: python benchmarks/ablation_ends.py [--seeds 12].

Encoders only, nothing declared: bounds, leaves and 1-way counts of a fit, from which the numeric columns are drawn each
by itself. Fits of a seed draw the same noise, in units of its scale, so these are measurements and nothing that could
be published. Seeds start at `FIRST`: the rule was chosen on others.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
from ablation_weights import seed_noise
from common import isolated, write_table
from tables import cases

CASES = [("adult", 0.3), ("adult", 1.0), ("adult", 10.0), ("cardio", 1.0), ("stroke", 0.3), ("stroke", 1.0)]
CHOICES: dict[str, dict[str, Any]] = {
    "default: leaves of .5, values of 1.5": {},
    "all leaves that were seen, clear values": {"_EACH_LEAF": -1e9, "_EACH_VALUE": 1e9, "_CLIFF": 1e9, "_NEAR_ONE": ()},
    "clear leaves, clear values": {"_EACH_LEAF": 1e9, "_EACH_VALUE": 1e9, "_NEAR_ONE": ()},
    "leaves of .25": {"_EACH_LEAF": 0.25},
    "leaves of 1": {"_EACH_LEAF": 1.0},
    "values of 1": {"_EACH_VALUE": 1.0},
    "values of 2": {"_EACH_VALUE": 2.0},
    "behind a cliff too": {"_CLIFF": 1e9},
    "on to 1 only where 1 shows": {"_NEAR_ONE": ()},
}
FIRST = 100


class Encoded(Exception):
    """Ends a fit once its encoder is there."""


def drawn(column: Any, counts: np.ndarray, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a numeric column by itself: a cell by its released count, and a value in it."""
    from privsynth.transforms.simplex import project_to_simplex

    cells = column.cells
    share = project_to_simplex(counts[: cells.n_cells])
    cell = rng.choice(cells.n_cells, n_rows, p=share / share.sum())
    return cells.draw(cell, rng, start=cells.low, stop=cells.high, weights=cells.mass + 1e-12)


def figures(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
    """Compare two columns of numbers."""

    def own_bins(values: np.ndarray) -> np.ndarray:
        return np.bincount(np.digitize(values, np.histogram_bin_edges(values)), minlength=12) / len(values)

    quantiles = np.unique(np.quantile(real, np.linspace(0, 1, 21)))
    shares = [np.bincount(np.searchsorted(quantiles, v, "right"), minlength=22) / len(v) for v in (real, synthetic)]
    return {
        "made beyond, %": 100 * float(((synthetic < real.min()) | (synthetic > real.max())).mean()),
        "cut off, %": 100 * float(((real < synthetic.min()) | (real > synthetic.max())).mean()),
        "same bins": 1 - float(np.abs(own_bins(real) - own_bins(synthetic)).sum()) / 2,
        "TVD1": float(np.abs(shares[0] - shares[1]).sum()) / 2,
    }


def measure_ends(name: str, *, epsilon: float, seeds: int) -> list[dict[str, Any]]:
    """Return the means over seeds and numeric columns of each choice; in a process of its own, for its patches."""
    from privsynth import CTGAN
    from privsynth.synthesizers import releasing
    from privsynth.transforms import ends
    from privsynth.transforms.columns import NumericColumn

    warnings.simplefilter("ignore")
    fit_encoder, encoders, rows = releasing.fit_encoder, [], []

    def caught(*arguments: Any, **parameters: Any) -> Any:
        encoders.append(fit_encoder(*arguments, **parameters))
        raise Encoded

    releasing.fit_encoder = caught
    train, _, target = cases(name)
    defaults = {key: getattr(ends, key) for choice in CHOICES.values() for key in choice}
    for seed in range(FIRST, FIRST + seeds):
        for label, choice in CHOICES.items():
            for key, value in {**defaults, **choice}.items():
                setattr(ends, key, value)
            seed_noise(seed)
            try:
                CTGAN(epsilon, target=target, verbose=False, random_state=seed).fit(train)
            except Encoded:
                encoder = encoders.pop()
            rng = np.random.default_rng(seed)
            for column, span in zip(encoder.columns, encoder.layout.spans, strict=True):
                if isinstance(column, NumericColumn) and train[column.name].nunique() > 2:
                    real = train[column.name].dropna().to_numpy(dtype=float)
                    synthetic = drawn(column, encoder.one_way.values[span.slice], len(real), rng)
                    rows.append({"ends": label, **figures(real, synthetic)})
    means = pd.DataFrame(rows).groupby("ends", sort=False).mean()
    return [{"table": name, "epsilon": epsilon, "ends": label, **row} for label, row in means.T.to_dict().items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=12)
    options = parser.parse_args()
    rows = []
    for name, epsilon in CASES:
        rows += isolated("measure_ends", name, module="ablation_ends", epsilon=epsilon, seeds=options.seeds)
        print(pd.DataFrame(rows[-len(CHOICES) :]).to_string(), flush=True)
    notes = [
        f"Means over {options.seeds} seeds, which the rule was not chosen on, and all numeric columns of more than two "
        "values; nothing declared.",
        "made beyond: drawn values beyond the real least and greatest. cut off: real ones beyond the drawn. same bins: "
        "1 less the TVD of ten even bins of each table's own range, which is how SDMetrics' pairs of a number and a "
        "category see a number. TVD1: 20 bins of real quantiles.",
        "leaves, values: standard deviations of noise that leaves, and single values, further out than what shows by "
        "itself have to hold on average.",
    ]
    write_table("ablation_ends", "Where undeclared columns end", rows, notes)


if __name__ == "__main__":
    main()
