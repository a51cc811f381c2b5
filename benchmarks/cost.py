"""Cost of `fit` and `sample` in rows and columns: python benchmarks/cost.py [--seeds 3] [--only rows columns ...]."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, isolated, load, write_table

FIT = {
    "rows": [("transactions", n, 15, 1.0) for n in (10_000, 100_000, 1_000_000)],
    "epsilons": [("transactions", 1_000_000, 15, epsilon) for epsilon in (3.0, 10.0)],
    "columns": [("wide", 20_000, n_columns, 1.0) for n_columns in (10, 50, 200)],
    "adult": [("adult", None, None, 1.0)],
}
TARGETS = {"transactions": "is_fraud", "wide": "target", "adult": "income"}
STAGES = ("discovery", "encoding", "measuring", "measured critic", "neural critic", "choice", "rest")
CONDITIONS: dict[str, Any] = {
    "none": None,
    "is_fraud": {"is_fraud": True},
    "is_fraud, a range of amounts, two channels": {
        "is_fraud": True,
        "amount": (20.0, 500.0),
        "channel": ["online", "atm"],
    },
}
FRAMES = {f"a frame of {' and '.join(names)}": names for names in (["channel", "country"], ["is_fraud", "amount"])}


def transactions(n_rows: int, n_columns: int, random_state: int = 0) -> pd.DataFrame:
    """Simulate payments: the twelve columns of `make_transactions` and three that go with them."""
    from privsynth.datasets import make_transactions

    frame = make_transactions(n_rows, random_state=random_state)
    rng = np.random.default_rng(random_state + 1)
    category = pd.factorize(frame["merchant_category"], sort=True)[0]
    shop = rng.zipf(1.5, n_rows) % 200
    frame.insert(
        3, "merchant", np.array([f"shop {k:04d}" for k in range(18 * 200)], dtype=object)[category * 200 + shop]
    )
    frame.insert(9, "balance", (frame["amount"] * rng.lognormal(2.0, 1.0, n_rows)).round(2))
    frame.insert(11, "card_present", frame["channel"].isin(["chip", "contactless", "magstripe", "atm"]))
    assert frame.shape[1] == n_columns
    return frame


def wide(n_rows: int, n_columns: int) -> pd.DataFrame:
    """Make numbers, counts, levels, texts, times and a target that depend on six common factors."""
    rng = np.random.default_rng(2)
    factors = rng.standard_normal((n_rows, 6))
    columns: dict[str, Any] = {}
    for j in range(n_columns - 1):
        score = factors @ rng.dirichlet(np.full(6, 0.3)) + 0.5 * rng.standard_normal(n_rows)
        columns[f"c{j:03d}"] = _column(j % 6, score, rng)
    columns["target"] = factors[:, :3].sum(axis=1) + rng.standard_normal(n_rows) > 2
    return pd.DataFrame(columns)


def _column(kind: int, score: np.ndarray, rng: np.random.Generator) -> Any:
    """Turn scores into a normal amount, a heavy tail with zeros, a count, a few levels, many levels or a time."""
    if kind == 0:
        values = (50 + 10 * score).round(1)
        values[rng.random(len(score)) < 0.05] = np.nan
        return values
    if kind == 1:
        return np.where(score < 0, 0.0, np.exp(4 + score).round(2))
    if kind == 2:
        return rng.poisson(np.exp(1 + 0.5 * score))
    levels = np.array([f"level {k}" for k in range(5 if kind == 3 else 40)], dtype=object)
    if kind in (3, 4):
        return levels[np.clip(np.abs(score) * len(levels) / 3, 0, len(levels) - 1).astype(int)]
    return np.datetime64("2024-01-01", "s") + ((score + 5) * 3e6).astype("timedelta64[s]")


def make_table(table: str, n_rows: int | None, n_columns: int | None, path: str) -> dict[str, int]:
    """Write a table as Parquet, so that making it leaves no trace in the memory of a fit."""
    frame = (
        load("adult")[0] if table == "adult" else {"transactions": transactions, "wide": wide}[table](n_rows, n_columns)
    )
    frame.to_parquet(path)
    return {"rows": len(frame), "columns": frame.shape[1]}


def measure_fit(table: str, path: str, *, epsilon: float, random_state: int, save: str | None = None) -> dict[str, Any]:
    """Fit at defaults with nothing declared; CPU seconds by stage and the peak of resident memory."""
    from privsynth import CTGAN

    warnings.simplefilter("ignore")
    frame = pd.read_parquet(path)
    before = _peak()
    model = CTGAN(epsilon, target=TARGETS[table], verbose=False, random_state=random_state)
    with _stages() as spent:
        start, cpu = time.perf_counter(), time.process_time()
        model.fit(frame)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = _peak()
    spent["choice"] -= spent["neural critic"]
    spent["rest"] = cpu - sum(spent.values())
    if save is not None:
        model.save(save)
    return {
        "epsilon": epsilon,
        "r": model.plan_.noise_ratio,
        "neural critic on": float(model.plan_.neural),
        "cells": float(model.encoder_.layout.width),
        "fit s": seconds,
        "cpu s": cpu,
        **{f"{stage} s": spent[stage] for stage in STAGES},
        "before MB": before,
        "peak MB": peak,
    }


@contextmanager
def _stages() -> Iterator[dict[str, float]]:
    """Add up the CPU seconds in the functions that a fit's stages are, while the context lasts."""
    from privsynth.synthesizers import ctgan, releasing
    from privsynth.transforms.encoder import TableEncoder

    spent = dict.fromkeys(STAGES, 0.0)
    places = [
        (releasing, "inspect", "discovery"),
        (releasing, "fit_encoder", "discovery"),
        (TableEncoder, "transform", "encoding"),
        (releasing, "measure", "measuring"),
        (ctgan.Trainer, "fit_measured", "measured critic"),
        (ctgan.Trainer, "fit_neural", "neural critic"),
        (ctgan.CTGAN, "_train_neural", "choice"),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for (owner, name, stage), (_, _, function) in zip(places, kept, strict=True):
        setattr(owner, name, _timed(function, spent, stage))
    try:
        yield spent
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def _timed(function: Callable[..., Any], spent: dict[str, float], stage: str) -> Callable[..., Any]:
    def timed(*arguments: Any, **parameters: Any) -> Any:
        start = time.process_time()
        try:
            return function(*arguments, **parameters)
        finally:
            spent[stage] += time.process_time() - start

    return timed


def measure_sample(path: str, *, n_rows: int, conditions: str) -> dict[str, Any]:
    """Load a model and draw rows; a frame of conditions asks for one row for each of its rows."""
    from privsynth import load as load_model

    warnings.simplefilter("ignore")
    model = load_model(path)
    asked: Any = CONDITIONS.get(conditions)
    if conditions in FRAMES:
        asked = model.sample(n_rows, random_state=1)[FRAMES[conditions]]
    model.sample(10, random_state=0)
    before = _peak()
    start, cpu = time.perf_counter(), time.process_time()
    rows = len(model.sample(n_rows, conditions=asked, random_state=0))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "rows": rows,
        "conditions": conditions,
        "distinct": len(asked.drop_duplicates()) if conditions in FRAMES else None,
        "seconds": seconds,
        "cpu s": cpu,
        "rows/s": rows / seconds,
        "before MB": before,
        "peak MB": _peak(),
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fits(group: str, seeds: int, folder: Path) -> list[dict[str, Any]]:
    """Return the medians over seeds of every case of a group."""
    rows = []
    for table, n_rows, n_columns, epsilon in FIT[group]:
        path = str(folder / f"{table}_{n_rows}_{n_columns}.parquet")
        size = isolated("make_table", table, n_rows, n_columns, path, module="cost")
        save = str(folder / "model.zip") if (group, n_rows) == ("rows", 1_000_000) else None
        runs = [
            isolated("measure_fit", table, path, module="cost", epsilon=epsilon, random_state=seed, save=save)
            for seed in range(seeds)
        ]
        medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        medians["neural critic on"] = "yes" if medians["neural critic on"] else "no"
        rows.append({"table": table, **size, **medians})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def samples(folder: Path) -> list[dict[str, Any]]:
    """Return the cost of sampling from the model of a million transactions."""
    cases = [(n, name) for name in CONDITIONS for n in (100_000, 1_000_000)] + [(100_000, name) for name in FRAMES]
    path = str(folder / "model.zip")
    return [isolated("measure_sample", path, module="cost", n_rows=n, conditions=name) for n, name in cases]


def plot(results: dict[str, list[dict[str, Any]]]) -> None:
    """Write benchmarks/results/cost.svg: seconds and megabytes against rows and columns, log-log."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "privsynth"
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, 2, figsize=(8, 6), sharey="row", layout="constrained")
    for column, size in enumerate(("rows", "columns")):
        cases = results[size]
        x = [case[size] for case in cases]
        for number, name in enumerate(("cpu", *STAGES)):
            points = [(a, case[f"{name} s"]) for a, case in zip(x, cases, strict=True) if case[f"{name} s"] > 0.01]
            if points:
                style = {"color": f"C{number}", "lw": 1 + (name == "cpu"), "label": name.replace("cpu", "fit")}
                grid[0, column].loglog(*zip(*points, strict=True), marker=".", **style)
        grid[1, column].loglog(x, [case["peak MB"] for case in cases], marker=".", label="peak")
        grid[1, column].loglog(x, [case["before MB"] for case in cases], marker=".", label="before the fit")
        grid[1, column].set_xlabel("rows (15 columns)" if size == "rows" else "columns (20,000 rows)")
    grid[0, 0].set_ylabel("CPU seconds")
    grid[1, 0].set_ylabel("MB")
    grid[1, 0].legend(fontsize=8)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    figure.savefig(RESULTS / "cost.svg", metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=FIT, help="fit these alone and write nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {group: fits(group, options.seeds, folder) for group in options.only or FIT}
        if options.only:
            return
        sampled = samples(folder)
    notes = [
        f"Defaults, nothing declared, target is_fraud (transactions), target (wide), income (adult); medians of "
        f"{options.seeds} seed(s), each fit in a process of its own, which uses one thread.",
        "transactions: the 12 columns of make_transactions, a shop of 3,600, a balance, whether the card was present. "
        "wide: numbers, counts, levels, texts and times that depend on six common factors.",
        "r: noise of DP-SGD relative to its signal; the neural critic runs where it is asked for. cells: of all "
        "columns together.",
        "discovery: forms, bounds, levels, leaves and 1-way counts; rest: plan, accounting, certificate.",
        "before MB: resident memory with the libraries and the table; peak MB: after the fit, or the sample.",
        "fit s: wall; cpu s, and the stages: CPU seconds on one thread, which other programs change little. "
        "The machine was shared while this ran, so wall seconds are upper limits.",
    ]
    rows = [row for group in results.values() for row in group]
    write_table(
        "cost", "Cost in rows and columns", rows, notes, more={"Sampling from the model of 1,000,000 rows": sampled}
    )
    plot(results)


if __name__ == "__main__":
    main()
