"""Starting from a model of another table: python benchmarks/warm_start.py [--seeds 3].

Adult, of which 5000 training rows are another table: drawn at random (alike), or women only while the private rows are
men (unlike). It is public, or the model of it is private itself. Scores are against the private rows, and on test rows
of their kind.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
from common import isolated, load, median_rows, write_table

TARGET, N_OTHER = "income", 5000
CASES = {"alike, public": [0.3, 1.0], "unlike, public": [0.3, 1.0], "alike, private": [0.3]}
RATES = {"start=, a third of the rate": 1 / 3, "start=, a tenth of the rate (default)": 0.1}


def tables(case: str) -> list[pd.DataFrame]:
    """Return the other table, the private rows and test rows."""
    train, test = load("adult")
    order = np.random.default_rng(5).permutation(len(train))
    if case.startswith("alike"):
        other, private = train.iloc[order[:N_OTHER]], train.iloc[order[N_OTHER:]]
    else:
        women = (train["sex"] == "Female").to_numpy()
        other, private = train.iloc[order[women[order]][:N_OTHER]], train.iloc[order[~women[order]]]
        test = test[test["sex"] != "Female"]
    return [frame.reset_index(drop=True) for frame in (other, private, test)]


def measure_starts(case: str, *, epsilons: list[float], random_state: int) -> dict[str, Any]:
    """Return the scores of all ways, by epsilon and name: one model of the other table serves all."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real
    from privsynth.synthesizers import ctgan

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    other, private, test = tables(case)
    settings: dict[str, Any] = {"target": TARGET, "verbose": False, "random_state": random_state}

    def scores(model: CTGAN) -> dict[str, float]:
        synthetic = model.sample(len(private), random_state=1)
        auc = train_synthetic_test_real(private, synthetic, target=TARGET, holdout=test).scores[0]
        return {
            "TSTR": auc.value,
            "TRTR": auc.reference,
            "TVD1": marginal_tvd(private, synthetic).mean,
            "TVD2": marginal_tvd(private, synthetic, order=2).mean,
        }

    start = CTGAN(None if case.endswith("public") else 1.0, **settings).fit(other)
    alone = scores(start)
    found = {}
    for epsilon in epsilons:
        found[str(epsilon)] = {
            "the other model alone, no private rows": alone,
            "private rows alone": scores(CTGAN(epsilon, **settings).fit(private)),
        }
        for label, ctgan._GENTLE in RATES.items():
            found[str(epsilon)][label] = scores(CTGAN(epsilon, **settings).fit(private, start=start))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for case, epsilons in CASES.items():
        runs = [
            isolated("measure_starts", case, module="warm_start", epsilons=epsilons, random_state=seed)
            for seed in range(options.seeds)
        ]
        for epsilon in map(str, epsilons):
            for way in runs[0][epsilon]:
                row = median_rows([run[epsilon][way] for run in runs])
                kept = ("TSTR", "TSTR spread", "TRTR", "TVD1", "TVD2", "TVD2 spread")
                rows.append({"other table": case, "epsilon": epsilon, "fit": way, **{key: row[key] for key in kept}})
                print(rows[-1], flush=True)
    report(rows, options.seeds)


def report(rows: list[dict[str, Any]], seeds: int) -> None:
    """Write the table."""
    notes = [
        f"Adult, nothing declared, delta 1e-5; medians of {seeds} seeds, one thread. Spread is the largest "
        "less the smallest.",
        f"alike: {N_OTHER:,} training rows at random are the other table, the rest is private. unlike: {N_OTHER:,} "
        "women are, all men are private, and tests are on men.",
        "public: the other table is learned without privacy. private: its model has epsilon 1, for its rows.",
        "Scores are against the private rows; TSTR on test rows of their kind.",
    ]
    write_table("warm_start", "Starting from a model of another table", rows, notes)


if __name__ == "__main__":
    main()
