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
from augment_arms import CLASSIFIERS, Model, Training, augmented, from_ctgan, plain, scores, simple_arms
from augment_tables import LABELS, SIZES, Teams, teams
from common import RESULTS
from sklearn.metrics import average_precision_score, roc_curve
from threadpoolctl import threadpool_limits

import privsynth
from privsynth import CTGAN

STORE = RESULTS / "augment.jsonl"
EPSILONS = (1.0, 3.0, 10.0, None)
COSTS = tuple(float(c) for c in np.round(np.geomspace(1, 1000, 19), 2))  # of a missed case, in false alarms
Arms = dict[str, Callable[[], Training | None]]


def measures(y: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Return average precision, recall at 1 % false positives, and the least cost a row for each ratio of costs.

    The threshold is the best one on the test rows for each ratio, for every way to train alike.
    """
    false, true, _ = roc_curve(y, found, drop_intermediate=False)
    rate = float(np.mean(y))
    costs = [float(np.min(c * rate * (1 - true) + (1 - rate) * false)) for c in COSTS]
    return {
        "ap": float(average_precision_score(y, found)),
        "recall": float(np.interp(0.01, false, true)),
        "costs": [round(c, 6) for c in costs],
        "rate": rate,
    }


def generator(key: str, rows: Any, label: str, epsilon: float | None, seed: int, work: Path) -> Model:
    """Return the generator of these rows, from the work folder where it was fitted before."""
    path = work / f"{key}-{epsilon}-{seed}.privsynth"
    if not path.exists():
        CTGAN(epsilon, target=label, verbose=False, random_state=seed).fit(rows).save(path)
    return privsynth.load(path)


def arms(known: Teams, regime: str, positives: int, seed: int, options: argparse.Namespace) -> Arms:
    """Return every way to train of a regime, not run yet."""
    work, rows = options.work, known.other if regime == "lent" else known.own
    key = f"{known.table}-{regime}" + ("" if regime == "lent" else f"-{positives}")
    found: Arms = dict(simple_arms(known, seed))
    python = options.peers / "ctgan" / "bin" / "python"
    found["CTGAN"] = lambda: from_ctgan(known, rows, seed, work, python)
    for epsilon in EPSILONS:
        name = f"privsynth, ε {epsilon:g}" if epsilon else "privsynth, no privacy"

        def model(epsilon: float | None = epsilon) -> Model:
            return generator(key, rows, known.label, epsilon, seed, work)

        for text, strategy in options.strategies:
            found[f"{name}{text}"] = lambda m=model, s=strategy: augmented(known, m(), s, seed)  # type: ignore[misc]
        if regime == "lent":
            found[f"{name}, its rows alone"] = lambda m=model: plain(known, m().sample(len(rows), random_state=seed))
    if regime == "lent":
        found["the other team's rows too"] = lambda: plain(known, _both(known))
    return found


def _both(known: Teams) -> Any:
    import pandas as pd

    return pd.concat([known.own, known.other], ignore_index=True)


def run(table: str, regime: str, positives: int, seed: int, options: argparse.Namespace) -> None:
    """Train and measure what is not in the store yet, and write each as a line."""
    here = {"table": table, "regime": regime, "positives": positives, "seed": seed}
    done = {(r["arm"], r["classifier"]) for r in records() if all(r[k] == v for k, v in here.items())}
    known = teams(table, positives, seed)
    test, y = known.features.mixed(known.test), known.test[known.label].to_numpy(dtype=int)
    for arm, build in arms(known, regime, positives, seed, options).items():
        wanted = [name for name in CLASSIFIERS if (arm, name) not in done]
        if not wanted or (options.arms and not any(part in arm for part in options.arms)):
            continue
        start = time.process_time()
        training = build()
        made = time.process_time() - start
        for name in wanted:
            line: dict[str, Any] = {**here, "share": known.share, "arm": arm, "classifier": name}
            line["missing"] = training is None
            if training is not None:
                line |= {"rows": len(training.y), "cases": int(training.y.sum()), "made s": round(made, 1)}
                line |= measures(y, scores(name, training, test))
            with STORE.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            print(table, regime, positives, seed, arm, name, line.get("ap"), flush=True)


def records() -> list[dict[str, Any]]:
    if not STORE.exists():
        return []
    return [json.loads(line) for line in STORE.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--tables", nargs="+", default=list(LABELS))
    parser.add_argument("--regimes", nargs="+", default=["lent", "own"])
    parser.add_argument("--arms", nargs="+", default=[], help="parts of the names of those to run; all by default")
    parser.add_argument("--peers", type=Path, default=Path("peers"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "augment")
    options = parser.parse_args()
    options.strategies = [("", None), (", one case per other row", "auto")]
    options.work.mkdir(exist_ok=True, parents=True)
    warnings.simplefilter("ignore")
    with threadpool_limits(1):
        for seed in options.seeds:
            for table in options.tables:
                for regime in options.regimes:
                    for positives in SIZES[table]:
                        run(table, regime, positives, seed, options)


if __name__ == "__main__":
    main()
