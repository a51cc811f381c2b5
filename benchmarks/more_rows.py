"""What a learner gains from more synthetic rows than there were real ones: python benchmarks/more_rows.py.

Small tables with a rare class, privsynth and the peers that learn it there (peers.py, whose fits, environments and
limits these are). Of each fit as many rows are drawn as it had, 5 and 25 times as many, and gradient boosting learns
from them. Rows that are in results/more_rows.jsonl are not run again.
"""

from __future__ import annotations

import argparse
import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, keep_once, records, write_table
from peers import DELTA, GIGABYTES, TARGETS, add_places, fit, table

STORE = RESULTS / "more_rows.jsonl"
TABLES = ["transactions 10k", "stroke"]
SYNTHESIZERS = ["privsynth", "dpmm MST", "dpmm AIM", "dpmm PrivBayes", "SmartNoise MST"]
FACTORS = [5, 25]
EPSILONS = ["0.3", "1", "3", "10"]


def score(train: pd.DataFrame, test: pd.DataFrame, path: Path, target: str) -> dict[str, float]:
    """Return what gradient boosting learns from the rows at `path`."""
    from privsynth.evaluation import train_synthetic_test_real

    synthetic = pd.read_parquet(path)[list(train)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = train_synthetic_test_real(train, synthetic, target=target, holdout=test).scores
    return {"TSTR": scores[0].value, "AP": scores[1].value}


def measure_draws(name: str, where: str, epsilon: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Fit once, draw three times; return the scores by how many times the rows, or how the fit ended."""
    path, train, test = table(where, options.work)
    out = options.work / f"more.{name}.{where}.{epsilon.replace('.', '_')}.{seed}.parquet".replace(" ", "_")
    job = {
        "name": name, "train": str(path), "out": str(out), "target": TARGETS[where], "delta": DELTA, "seed": seed,
        "limit": options.limit, "epsilon": float(epsilon), "gigabytes": GIGABYTES, "factors": FACTORS,
        "python": str(options.peers / "dpmm" / "bin" / "python"),
    }  # fmt: skip
    found = fit(name, job, options)
    if "error" in found:
        return {"error": found["error"]}
    drawn = {1: out, **{factor: out.with_suffix(f".{factor}.parquet") for factor in FACTORS}}
    result: dict[str, Any] = {"cpu s": round(found["cpu s"])}
    for factor, rows in drawn.items():
        for measure, value in score(train, test, rows, TARGETS[where]).items():
            result[f"{measure} {factor}"] = value
        rows.unlink()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--epsilons", nargs="+", choices=EPSILONS, default=EPSILONS)
    parser.add_argument("--only", nargs="+", choices=SYNTHESIZERS, default=SYNTHESIZERS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add_places(parser, "privsynth-more-rows")
    parser.add_argument("--write", action="store_true", help="run nothing, write the table")
    options = parser.parse_args()
    options.work.mkdir(exist_ok=True)
    wanted = [
        {"table": where, "epsilon": epsilon, "synthesizer": name, "seed": seed}
        for seed in options.seeds
        for where in options.tables
        for epsilon in options.epsilons
        for name in options.only
        if not options.write
    ]
    for key in wanted:
        asked = key["synthesizer"], key["table"], key["epsilon"], key["seed"]
        keep_once(STORE, key, functools.partial(measure_draws, *asked, options))
    report()


def report() -> None:
    """Write a table for each table of rows: medians over seeds, and in brackets the largest less the smallest."""
    rows, tables = records(STORE), {}
    for where in TABLES:
        lines = []
        for epsilon in EPSILONS:
            for name in SYNTHESIZERS:
                asked = {"table": where, "epsilon": epsilon, "synthesizer": name}
                runs = [row for row in rows if all(row[k] == v for k, v in asked.items())]
                there = [run for run in runs if "error" not in run]
                if not runs:
                    continue
                line: dict[str, Any] = {"epsilon": epsilon, "synthesizer": name}
                line["runs"] = str(len(there)) if there else f"0: {runs[0]['error'].split(':')[0]}"
                for measure in ("TSTR", "AP"):
                    for factor in (1, *FACTORS):
                        line[f"{measure}, {factor} x" if factor > 1 else measure] = _median(
                            [run[f"{measure} {factor}"] for run in there]
                        )
                lines.append(line)
        if lines:
            tables[where] = lines
    first, *others = tables
    notes = [
        f"Of {first}; others below. Medians over seeds; in brackets the largest less the smallest.",
        "TSTR: ROC AUC on real held-out rows of gradient boosting learned from as many synthetic rows as there were "
        "real ones, and of 5 and 25 times as many, drawn from the same fit. AP: its average precision.",
    ]
    more = {f"{where[0].upper()}{where[1:]}": tables[where] for where in others}
    write_table("more_rows", "More synthetic rows than real ones", tables[first], notes, more=more)


def _median(values: list[float]) -> str | None:
    if not values:
        return None
    return f"{np.median(values):.3f}" + (f" ({max(values) - min(values):.3f})" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
