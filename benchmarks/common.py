"""Shared by the benchmarks: public tables, one measured run in a process of its own, tables and plots."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("PRIVSYNTH_DATA", Path(__file__).parents[2] / "shared" / "data"))
TARGETS = {"adult": "income", "cardio": "cardio"}
OPENML = {"adult": ("adult", 2), "cardio": ("Cardiovascular-Disease-dataset", 1)}


def load(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the 80/20 split of a public table, seed 0, from PRIVSYNTH_DATA or else from OpenML."""
    path = DATA / f"{name}.csv"
    if path.exists():
        frame = pd.read_csv(path)
    else:
        from sklearn.datasets import fetch_openml

        print(f"{path} is not there; asking OpenML. Set PRIVSYNTH_DATA to a folder with {name}.csv.")
        frame = fetch_openml(OPENML[name][0], version=OPENML[name][1], as_frame=True).frame
    train, test = train_test_split(frame, test_size=0.2, random_state=0)
    return train.reset_index(drop=True), test.reset_index(drop=True)


def declared(frame: pd.DataFrame) -> Any:
    """Declare all levels and bounds of a public table, as a user with a codebook would."""
    from privsynth.errors import PrivsynthWarning
    from privsynth.schema import Schema

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrivsynthWarning)
        return Schema.infer(frame)


def measure_fit(table: str, *, declare: bool, threads: int, **parameters: Any) -> dict[str, Any]:
    """Fit, sample and score once; every figure of one row of a table."""
    import resource

    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, sdmetrics_quality, train_synthetic_test_real

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    train, test = load(table)
    target = TARGETS[table]
    schema = declared(pd.concat([train, test])) if declare else None
    baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    model = CTGAN(
        **{"condition_columns": [target], "target": target, "schema": schema, "verbose": False, **parameters}
    ).fit(train)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    synthetic = model.sample(len(train), random_state=1)
    utility = train_synthetic_test_real(train, synthetic, target=target, holdout=test)
    auc = utility.scores[0]
    return {
        "TSTR": auc.value,
        "TRTR": auc.reference,
        "TVD1": marginal_tvd(train, synthetic).mean,
        "TVD2": marginal_tvd(train, synthetic, order=2).mean,
        "quality": sdmetrics_quality(train, synthetic).overall,
        "fit s": seconds,
        "peak MB": peak,
        "import MB": baseline,
        "epsilon": model.certificate_.epsilon,
        "second accountant": second_accountant(model.certificate_),
    }


def second_accountant(certificate: Any) -> float:
    """Recompute epsilon from the certificate's listed events with dp-accounting's PLD accountant."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant

    from privsynth.privacy.accountant import exponential_mu, total_delta
    from privsynth.privacy.events import BoundedRange, Gaussian, PureDP, SubsampledGaussian

    if not certificate.private:
        return float("inf")
    accountant, first = PLDAccountant(), 0.0
    events = [charge.event for charge in certificate.charges]
    for event in events:
        if isinstance(event, PureDP):
            first += event.epsilon
        elif isinstance(event, Gaussian):
            accountant.compose(GaussianDpEvent(1 / event.mu))
        elif isinstance(event, BoundedRange):
            accountant.compose(GaussianDpEvent(1 / exponential_mu(event.eta)), event.count)
        elif isinstance(event, SubsampledGaussian):
            step = PoissonSampledDpEvent(event.sampling_rate, GaussianDpEvent(event.noise_multiplier))
            accountant.compose(step, event.steps)
    return first + accountant.get_epsilon(certificate.delta - total_delta(events))


def isolated(function: str, *arguments: Any, module: str = "common", **parameters: Any) -> dict[str, Any]:
    """Run a function of this or another benchmark in a fresh process, so that its peak memory is its own."""
    call = json.dumps({"function": function, "arguments": arguments, "parameters": parameters})
    code = (
        f"import json,sys,{module} as common; c=json.loads(sys.argv[1]); p=c['parameters']; "
        "p={k: tuple(v) if k.endswith('_dim') else v for k,v in p.items()}; "
        "print(json.dumps(getattr(common,c['function'])(*c['arguments'],**p)))"
    )
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-c", code, call], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def records(store: Path) -> list[dict[str, Any]]:
    """Return the runs that a benchmark kept, a line each; none if there is no such file yet."""
    return [json.loads(line) for line in store.read_text(encoding="utf-8").splitlines()] if store.exists() else []


def keep_once(store: Path, key: dict[str, Any], run: Callable[[], dict[str, Any]]) -> None:
    """Run what has no line in `store` yet under this key, and keep and print its line."""
    if any(all(row[k] == v for k, v in key.items()) for row in records(store)):
        return
    line = json.dumps({**key, **{k: round(v, 5) if isinstance(v, float) else v for k, v in run().items()}})
    with store.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line, flush=True)


def run_once(store: Path, key: dict[str, Any], function: str, table: str, *, module: str, **parameters: Any) -> None:
    """Run a function of a benchmark isolated, and keep its line, unless there is one under this key."""
    keep_once(store, key, lambda: isolated(function, table, module=module, **parameters))


def wanted_fits(
    description: str | None, cases: list[tuple[str, float]], choices: Iterable[str], *, seeds: int
) -> Iterator[tuple[int, str, float, str]]:
    """Read the command line of an ablation of whole fits; yield the fits it asks for: seed, table, epsilon, choice."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=seeds)
    tables, epsilons = sorted({name for name, _ in cases}), sorted({epsilon for _, epsilon in cases})
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument("--epsilons", nargs="+", type=float, default=epsilons)
    parser.add_argument("--choices", nargs="+", choices=list(choices), default=list(choices))
    parser.add_argument("--write", action="store_true", help="write the table from the rows that are there")
    options = parser.parse_args()
    for seed in range(0 if options.write else options.seeds):
        for name, epsilon in cases:
            if name in options.tables and epsilon in options.epsilons:
                yield from ((seed, name, epsilon, label) for label in options.choices)


def median_rows(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of several runs' figures, and the spread (max - min) of TSTR and TVD2."""
    row = {key: float(np.median([run[key] for run in runs])) for key in runs[0]}
    for key in ("TSTR", "TVD2"):
        row[f"{key} spread"] = max(r[key] for r in runs) - min(r[key] for r in runs)
    return row


def write_table(
    name: str,
    title: str,
    rows: list[dict[str, Any]],
    notes: list[str],
    *,
    more: dict[str, list[dict[str, Any]]] | None = None,
) -> None:
    """Write and print benchmarks/results/NAME.md; `more` tables follow under headings of their own."""
    lines = [f"# {title}", "", *_table(rows), "", *(f"- {note}" for note in notes), ""]
    for heading, others in (more or {}).items():
        lines += [f"## {heading}", "", *_table(others), ""]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["Nothing was run."]
    keys = list(rows[0])
    shown = [[_text(row.get(key)) for key in keys] for row in rows]
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    return lines + ["| " + " | ".join(row) + " |" for row in shown]


def plot_bars(name: str, title: str, labels: list[str], values: list[float], *, reference: float, axis: str) -> None:
    """Write benchmarks/results/NAME.svg: a bar a row and a line for the reference."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "privsynth"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 0.4 * len(labels) + 1.2))
    axes.barh(labels[::-1], values[::-1], color="#4477aa")
    axes.axvline(reference, color="#cc3311", linestyle="--", label=f"real rows {reference:.3f}")
    axes.set_xlim(left=max(0.0, min(values) - 0.1))
    axes.set_xlabel(axis)
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8, loc="lower left")
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "inf" if value == float("inf") else f"{value:.5g}"
    return "" if value is None else str(value)


def measure_sampling(table: str, *, n_rows: int, threads: int) -> dict[str, Any]:
    """Time `sample` and check its conditions."""
    import resource

    import torch

    from privsynth import CTGAN

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    train, _ = load(table)
    model = CTGAN(1.0, target=TARGETS[table], verbose=False, random_state=0).fit(train)
    start = time.perf_counter()
    rows = len(model.sample(n_rows, random_state=0))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    some = model.sample(500, conditions={"income": ">50K", "age": (60, 75)}, random_state=0)
    good = int(((some["income"] == ">50K") & some["age"].between(60, 75)).sum())
    return {
        "rows": rows,
        "seconds": seconds,
        "rows/s": rows / seconds,
        "peak MB": peak,
        "500 asked": len(some),
        "satisfying": good,
    }
