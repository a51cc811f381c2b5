"""Where quality is lost between real rows and synthetic ones: python benchmarks/decomposition.py [--seeds 3].

Five ways to come by rows, each with one loss more: real ones; real ones whose values were drawn anew in their cells,
cells found without noise; the same with cells found at epsilon; a generator fitted to exact counts in these cells; a
generator fitted to the counts at epsilon. A generator without any privacy is beside them.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, isolated, records, write_table
from tables import cases

CASES = ["adult", "cardio", "stroke", "transactions 10k", "transactions 100k"]
EPSILONS = [1.0, 10.0]
STORE = RESULTS / "decomposition.jsonl"
WAYS = ("real rows", "exact cells", "no privacy", "cells at epsilon", "exact counts in them", "at epsilon")


def in_cells(model: Any, frame: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Return real rows whose values were drawn anew in the cells of a model."""
    from peers_own import Codes

    from privsynth.synthesizers.sampling import Sampler
    from privsynth.transforms.reshape import Reshape

    reshape = Reshape(model.schema_)
    codes = model.encoder_.transform(reshape.forward(frame))
    sampler = Sampler(Codes(codes), model.encoder_, Reshape(model.schema_), columns)
    return sampler.rows(len(frame), {}, np.random.default_rng(1))[list(frame)]


def measure_losses(name: str, *, epsilon: float, seed: int) -> dict[str, Any]:
    """Return TSTR, average precision and TVD2 of each way; in a process of its own."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real
    from privsynth.privacy.budget import Budget
    from privsynth.privacy.mechanisms import Mechanisms
    from privsynth.privacy.noise import SecureNoise
    from privsynth.training.questions import questions_of

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    train, test, target = cases(name)

    def score(rows: pd.DataFrame) -> dict[str, float]:
        found = train_synthetic_test_real(train, rows, target=target, holdout=test).scores
        tvd = marginal_tvd(train, rows, order=2).mean
        return {"TSTR": round(found[0].value, 5), "AP": round(found[1].value, 5), "TVD2": round(tvd, 5)}

    settings: dict[str, Any] = {"target": target, "verbose": False, "random_state": seed}
    free = CTGAN(None, **settings).fit(train)
    release = CTGAN(epsilon, **settings).release(train, first=True)
    mechanisms = Mechanisms(SecureNoise(), private=False)
    exact = questions_of(release.tables).answer(train, release.tables.schema, set(), Budget(None), mechanisms)
    clear = CTGAN(verbose=False, random_state=seed).fit_releases([replace(release, tables=exact)])
    noisy = CTGAN(epsilon, **settings).fit(train)
    n = len(train)
    rows = [
        train, in_cells(free, train, free.columns_), free.sample(n, random_state=1),
        in_cells(clear, train, clear.columns_), clear.sample(n, random_state=1), noisy.sample(n, random_state=1),
    ]  # fmt: skip
    return {way: score(frame) for way, frame in zip(WAYS, rows, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tables", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--write", action="store_true", help="write the table from the rows that are there")
    options = parser.parse_args()
    for seed in () if options.write else range(options.seeds):
        for name in options.tables:
            for epsilon in EPSILONS:
                key = {"table": name, "epsilon": epsilon, "seed": seed}
                if any(all(row[k] == v for k, v in key.items()) for row in records(STORE)):
                    continue
                found = isolated("measure_losses", name, module="decomposition", epsilon=epsilon, seed=seed)
                with STORE.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**key, **found}) + "\n")
                print(key, found, flush=True)
    report()


def report() -> None:
    """Write medians over seeds, a table for each measure."""
    rows = records(STORE)
    tables: dict[str, list[dict[str, Any]]] = {"TSTR": [], "AP": [], "TVD2": []}
    for name in CASES:
        for epsilon in EPSILONS:
            runs = [row for row in rows if row["table"] == name and row["epsilon"] == epsilon]
            for measure, lines in tables.items() if runs else ():
                line: dict[str, Any] = {"table": name, "epsilon": epsilon, "seeds": len(runs)}
                for way in WAYS:
                    line[way] = f"{np.median([run[way][measure] for run in runs]):.3f}"
                lines.append(line)
    notes = [
        "Medians of seeds. TSTR: ROC AUC of gradient boosting on real rows; AP: its average precision; TVD2: mean "
        "total variation of pairs to the training rows (0 for these themselves).",
        "exact cells, cells at epsilon: real rows whose values were drawn anew in their cells. exact counts in them: a "
        "generator fitted to exact counts of the cells, pairs and boxes that a release at epsilon has.",
        "no privacy: a generator fitted to exact counts in exact cells. at epsilon: both at epsilon, as a fit does it.",
        "Nothing declared, delta 1e-5; transactions are scored on 300,000 fresh rows.",
    ]
    more = {"Average precision of the rarer class": tables["AP"], "Distance of pairs (TVD2)": tables["TVD2"]}
    write_table("decomposition", "Where quality is lost: TSTR", tables["TSTR"], notes, more=more)


if __name__ == "__main__":
    main()
