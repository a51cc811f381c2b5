"""Does it help a classifier of rare cases to add synthetic ones? Ways to train on the same few labelled rows.

    python benchmarks/augment.py [--seeds 5] [--tables transactions cardio stroke] [--peers FOLDER]

Two regimes. *lent*: a generator fitted to another team's larger table, used on the few rows of this team, which
never sees a row of the other. *own*: a generator fitted to the same rows that it adds to. Every trained classifier
is a line of results/augment.jsonl; what is there is not run again. `--peers` is the folder with ctgan's environment.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from augment_arms import (
    CLASSIFIERS,
    Model,
    Training,
    augmented,
    both_classes,
    from_ctgan,
    plain,
    scores,
    simple_arms,
    with_odds,
)
from augment_tables import DRAWS, LABELS, SIZES, Teams, teams
from common import RESULTS, records
from sklearn.metrics import average_precision_score, roc_curve
from threadpoolctl import threadpool_limits

import privsynth
from privsynth import CTGAN

STORE = RESULTS / "augment.jsonl"
EPSILONS = ("1", "3", "10", "none")
ONCE = ("alone", "CTGAN", "odds", "all rows")  # parts of the names of ways that are not run for further draws
DETAILED = 3.0  # the epsilon of which other uses of the generator than the sampler's default are tried
OWN_SIZES = {"transactions": (500,), "cardio": (150, 500), "stroke": (50,)}
COSTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # of a missed case, in false alarms
Arms = dict[str, Callable[[], Training | str]]


def measures(y: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Return average precision, recall at 1 % false positives, and the least cost a row for each ratio of costs.

    The threshold is the best one on the test rows for each ratio, for every way to train alike.
    """
    false, true, _ = roc_curve(y, found, drop_intermediate=False)
    rate = float(np.mean(y))
    costs = [float(np.min(c * rate * (1 - true) + (1 - rate) * false)) for c in COSTS]
    return {
        "ap": round(float(average_precision_score(y, found)), 5),
        "recall": round(float(np.interp(0.01, false, true)), 5),
        "costs": [float(f"{c:.4g}") for c in costs],
    }


def generator(key: str, rows: Any, label: str, epsilon: float | None, seed: int, work: Path) -> Model:
    """Return the generator of these rows, from the work folder where it was fitted before."""
    path = work / f"{key}-{epsilon}-{seed}.privsynth"
    if not path.exists():
        CTGAN(epsilon, target=label, verbose=False, random_state=seed).fit(rows).save(path)
    return privsynth.load(path)


def arms(known: Teams, regime: str, positives: int, seed: int, options: argparse.Namespace) -> Arms:
    """Return every way to train of a regime, not run yet; ways without a generator belong to both."""
    lent = regime == "lent"
    rows = known.other if lent else known.own
    key = f"{known.table}-{regime}" + ("" if lent else f"-{positives}")
    found: Arms = dict(simple_arms(known, seed)) if lent else {}
    found["CTGAN"] = lambda: from_ctgan(known, rows, f"{key}-{seed}", options)
    for epsilon in options.epsilons:
        name = f"privsynth, ε {epsilon:g}" if epsilon else "privsynth, no privacy"

        def model(epsilon: float | None = epsilon) -> Model:
            return generator(key, rows, known.label, epsilon, seed, options.work)

        found[name] = lambda m=model: augmented(known, m(), None, seed)  # type: ignore[misc]
        if epsilon == DETAILED:
            found |= {
                f"{name}, classes even": lambda m=model: augmented(known, m(), "auto", seed),
                f"{name}, rows of both classes": lambda m=model: both_classes(known, m(), seed),
                f"{name}, its odds as a feature": lambda m=model: with_odds(known, m()),
            }
            if lent:
                alone = f"{name}, its rows alone"
                found[alone] = lambda m=model: plain(known, m().sample(len(rows), random_state=seed))
    if lent:
        found["all rows of both teams"] = lambda: plain(known, pd.concat([known.own, known.other], ignore_index=True))
    return found


def run(table: str, regime: str, positives: int, seed: int, draw: int, options: argparse.Namespace) -> None:
    """Train and measure what is not in the store yet, and write each as a line."""
    here = {"table": table, "regime": regime, "positives": positives, "seed": seed, "draw": draw}
    done = {(r["arm"], r["classifier"]) for r in records(STORE) if all(r.get(k, 0) == v for k, v in here.items())}
    known = teams(table, positives, seed, draw)
    test, y = known.features.mixed(known.test), known.test[known.label].to_numpy(dtype=int)
    for arm, build in arms(known, regime, positives, seed, options).items():
        wanted = [name for name in options.classifiers if (arm, name) not in done]
        asked = not options.arms or any(part in arm for part in options.arms)
        if not wanted or not asked or any(part in arm for part in (*options.without, *(ONCE if draw else ()))):
            continue
        start = time.process_time()
        training = build()
        made = time.process_time() - start
        for name in wanted:
            line: dict[str, Any] = {**here, "share": known.share, "arm": arm, "classifier": name}
            if isinstance(training, str):
                line["failed"] = training
            else:
                line |= {"rows": len(training.y), "cases": int(training.y.sum()), "made s": round(made, 1)}
                line |= measures(y, scores(name, training, test))
            with STORE.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            print(table, regime, positives, seed, arm, name, line.get("ap"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--tables", nargs="+", default=list(LABELS))
    parser.add_argument("--regimes", nargs="+", default=["lent", "own"])
    parser.add_argument("--arms", nargs="+", default=[], help="parts of the names of those to run; all by default")
    parser.add_argument("--classifiers", nargs="+", default=CLASSIFIERS, choices=CLASSIFIERS)
    parser.add_argument("--draws", action="store_true", help="several draws of the first team's rows, where few")
    parser.add_argument("--without", nargs="+", default=[], help="parts of the names of those to leave out")
    parser.add_argument("--epsilons", nargs="+", default=EPSILONS)
    parser.add_argument("--peers", type=Path, default=Path("peers"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "augment")
    options = parser.parse_args()
    options.epsilons = [None if text == "none" else float(text) for text in options.epsilons]
    options.work.mkdir(exist_ok=True, parents=True)
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        for seed in options.seeds:
            for table in options.tables:
                for regime in options.regimes:
                    for positives in SIZES[table] if regime == "lent" else OWN_SIZES[table]:
                        draws = DRAWS.get((table, positives), 1) if regime == "lent" and options.draws else 1
                        for draw in range(draws):
                            run(table, regime, positives, seed, draw, options)


if __name__ == "__main__":
    main()
