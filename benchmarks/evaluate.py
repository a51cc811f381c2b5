"""Time and memory of `evaluate`, and what it says of tables whose quality is known: python benchmarks/evaluate.py.

[--rows 1000000] [--only adult transactions]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import isolated, load, write_table

TARGETS = {"adult": "income", "transactions": "is_fraud"}
CONDITIONS = {"adult": ["income", "sex"], "transactions": ["is_fraud", "channel"]}
SHOWN = {
    "Quality": "quality",
    "2-way TVD": "TVD2",
    "Detection ROC AUC": "detection",
    "TSTR ROC AUC": "TSTR",
    "Membership inference": "membership",
    "Exact copies": "exact copies",
}
TABLES = ("fresh", "shuffled", "copied")


def shuffled(frame: pd.DataFrame, target: str, rng: np.random.Generator) -> pd.DataFrame:
    """Shuffle every column by itself among the rows of one class: all pairs with the target kept, all others lost."""
    found = frame.copy()
    for rows in frame.groupby(target, observed=True).indices.values():
        for name in frame.columns.drop(target):
            found.iloc[rows, frame.columns.get_loc(name)] = frame[name].to_numpy()[rng.permutation(rows)]
    return found


def make_tables(table: str, n_rows: int, folder: str) -> dict[str, int]:
    """Write the real table, a holdout and three stand-ins for synthetic ones as Parquet files."""
    rng = np.random.default_rng(0)
    if table == "adult":
        real, holdout = load("adult")
        half = len(holdout) // 2
        fresh, holdout = holdout[:half].reset_index(drop=True), holdout[half:].reset_index(drop=True)
    else:
        from cost import transactions

        real, fresh, holdout = (transactions(n, 15, seed) for n, seed in ((n_rows, 0), (n_rows, 1), (n_rows // 5, 2)))
    tables = {"real": real, "holdout": holdout, "fresh": fresh}
    if table == "adult":
        tables["shuffled"] = shuffled(real, TARGETS[table], rng)
        tables["copied"] = real.iloc[rng.permutation(len(real))].reset_index(drop=True)
    for name, frame in tables.items():
        frame.to_parquet(Path(folder) / f"{name}.parquet")
    return {"rows": len(real)}


def measure(table: str, folder: str, which: str) -> dict[str, Any]:
    """Evaluate once; wall and CPU seconds, peak memory, and some scores."""
    from privsynth import evaluate

    warnings.simplefilter("ignore")
    real, holdout, synthetic = (pd.read_parquet(Path(folder) / f"{n}.parquet") for n in ("real", "holdout", which))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, cpu = time.perf_counter(), time.process_time()
    evaluation = evaluate(real, synthetic, holdout=holdout, target=TARGETS[table], conditions=CONDITIONS[table])
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    frame = evaluation.to_frame()
    privacy = frame[(frame["section"] == "privacy") & (frame["block"] == "Headline")]
    return {
        "table": table,
        "as synthetic": which,
        "rows": len(real),
        "synthetic rows": len(synthetic),
        "holdout rows": len(holdout),
        "columns": real.shape[1],
        "wall s": seconds,
        "cpu s": cpu,
        "before MB": before,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "scores": len(frame),
        **{short: evaluation.scores[name] for name, short in SHOWN.items()},
        "attacks judged bad": f"{int((privacy['level'] == 'bad').sum())} of {len(privacy)}",
    }


def attack_rates(seeds: int, share: float) -> dict[str, Any]:
    """Return how often each attack is judged bad where a share of the synthetic rows are copies of learned rows."""
    from privsynth.datasets import make_patients
    from privsynth.evaluation.attacks.section import privacy_section

    columns = ["age", "sex", "department", "length_of_stay_days", "bmi", "systolic_bp", "readmitted"]
    found: dict[str, int] = {}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        tables = [make_patients(1000, random_state=3 * seed + k)[columns] for k in range(3)]
        real, holdout, synthetic = tables
        n = int(share * len(real))
        synthetic = pd.concat([real.iloc[rng.permutation(len(real))[:n]], synthetic.iloc[n:]], ignore_index=True)
        headline, _, _ = privacy_section(real, synthetic, holdout, target="readmitted", fit_sample=None, rng=rng)
        for score in headline:
            found[score.name] = found.get(score.name, 0) + (score.level == "bad")
    return {"share of copies": share, "tables": seeds, **{name: f"{hits / seeds:.0%}" for name, hits in found.items()}}


def main() -> None:
    """Measure, and write benchmarks/results/evaluate.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    given = parser.parse_args()
    rows = []
    for table in given.only:
        with tempfile.TemporaryDirectory() as folder:
            isolated("make_tables", table, given.rows, folder, module="evaluate")
            for which in TABLES if table == "adult" else TABLES[:1]:
                rows.append(isolated("measure", table, folder, which, module="evaluate"))
                print(rows[-1], flush=True)
    if given.dry:
        return
    rates = [
        isolated("attack_rates", seeds, share, module="evaluate")
        for share, seeds in ((0.0, 40), (0.02, 10), (0.1, 10), (0.3, 10), (1.0, 10))
    ]
    write_table(
        "evaluate",
        "What `evaluate` costs, and what it says of tables that are known",
        rows,
        [
            "No model is fitted. As synthetic table: fresh: real rows that are neither in the real table nor in the "
            "holdout (transactions: another draw); shuffled: every column by itself within a class of the target; "
            "copied: the real table in another order.",
            "All four sections, a target, two conditions, one thread. Larger tables are subsampled where the report "
            "says so; marginals of all columns and pairs, and copies, use all rows.",
            "wall s: the machine was shared while this ran, so wall seconds are upper limits. before MB: resident "
            "memory with the libraries and the tables; peak MB: after.",
            "attacks judged bad: of seven; membership is a rate of which 0.5 is guessing; exact copies is a share of "
            "the real rows.",
        ],
        more={"How often an attack is judged bad: 1,000 rows of make_patients, 7 columns, 1,000 holdout rows": rates},
    )


if __name__ == "__main__":
    main()
