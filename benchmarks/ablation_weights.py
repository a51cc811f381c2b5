"""What the noise of pairs beside each other is worth: python benchmarks/ablation_weights.py [--seeds 4] [--tables ...].

Whole fits at epsilon = 1, nothing declared; each pair of columns gets noise by other rules, all at the same cost. So
that the differences show, the fits of a seed share their cells: noise of counts is drawn from a public seed here, which
makes these fits measurements and nothing that could be published. Rows in results/ablation_weights.jsonl are kept.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from common import RESULTS, records, run_once, write_table
from paired import gap, mean, runs_of
from tables import cases

CASES = ["adult", "cardio", "stroke", "transactions 10k", "transactions 100k"]
CHOICES: dict[str, dict[str, Any]] = {
    "all pairs alike": {"rule": "alike"},
    "by number of cells, to the power of 2/3": {"rule": "cells"},
    "cells that differ by .1 of themselves": {"deviation": 0.1},
    "by .3 (default)": {"deviation": 0.3},
    "by .5": {"deviation": 0.5},
    "by 1": {"deviation": 1.0},
}
ALIKE = "all pairs alike"
STORE = RESULTS / "ablation_weights.jsonl"


def measure_weights(name: str, *, seed: int, rule: str = "", deviation: float = 0.3) -> dict[str, float]:
    """Fit and score once, with noise of a public seed; in a process of its own, so the patches end with it."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real
    from privsynth.training import measure, weights

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seed_noise(seed)
    weights._DEVIATION = deviation
    if rule == "alike":
        measure.relative_noise = lambda pairs, *args, **options: np.ones(len(pairs))
    if rule == "cells":
        measure.relative_noise = _by_cells
    train, test, target = cases(name)
    model = CTGAN(1.0, target=target, verbose=False, random_state=seed).fit(train)
    synthetic = model.sample(len(train), random_state=1)
    scores = train_synthetic_test_real(train, synthetic, target=target, holdout=test).scores
    return {
        "TSTR": scores[0].value,
        "AP": scores[1].value,
        "TVD2": marginal_tvd(train, synthetic, order=2).mean,
    }


def _by_cells(pairs: list[tuple[int, int]], layout: Any, *args: Any, **options: Any) -> np.ndarray:
    sizes = np.array([layout.spans[i].size * layout.spans[j].size for i, j in pairs], dtype=float)
    relative = sizes ** (-1 / 3)
    return relative * np.sqrt((relative**-2).mean())


def seed_noise(seed: int) -> None:
    """Draw the k-th noise of every fit alike, in units of its scale."""
    from privsynth.privacy.noise import SecureNoise

    drawn = iter(range(10**6))

    def gaussian(self: Any, values: np.ndarray, *, scale: float) -> np.ndarray:
        rng = np.random.default_rng([seed, next(drawn)])
        return np.asarray(values, dtype=float) + np.rint(rng.normal(size=np.shape(values)) * scale)

    def laplace(self: Any, value: int, *, scale: float) -> int:
        rng = np.random.default_rng([seed, next(drawn)])
        return int(value + round(rng.laplace() * scale))

    SecureNoise.discrete_gaussian, SecureNoise.discrete_laplace = gaussian, laplace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--tables", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--write", action="store_true", help="write the table from the rows that are there")
    options = parser.parse_args()
    for seed in () if options.write else range(options.seeds):
        for name in options.tables:
            for label in options.choices:
                key = {"table": name, "choice": label, "seed": seed}
                run_once(STORE, key, "measure_weights", name, module="ablation_weights", seed=seed, **CHOICES[label])
    report()


def report() -> None:
    """Write the means of each choice, and its differences from pairs treated alike at the same seeds."""
    rows, lines = records(STORE), []
    for label in CHOICES:
        line: dict[str, Any] = {"choice": label}
        for name in CASES:
            runs, alike = (runs_of(rows, table=name, choice=choice) for choice in (label, ALIKE))
            line[f"{name}: TVD2"] = mean(runs, "TVD2") if runs else None
            for key in ("TVD2", "AP" if name.startswith("trans") else "TSTR"):
                line[f"{name}: {key} less alike"] = None if label == ALIKE else gap(runs, alike, key)
            line[f"{name}: fits"] = len(runs)
        lines.append(line)
    write_table(
        "ablation_weights", "Noise of pairs beside each other", lines,
        ["Whole fits at ε = 1, nothing declared: means, and differences from fits of the same seed (so of the same "
         "cells) whose pairs are treated alike, with their standard errors. All choices have the same privacy."],
    )  # fmt: skip


if __name__ == "__main__":
    main()
