"""Other choices in place of the defaults, one at a time: python benchmarks/ablation_defaults.py [--seeds 2].

How columns are cut into cells, what is asked about pairs, the generator and its fit; each on several tables, with
nothing declared. The fits of a seed draw the same noise, so these are measurements and nothing that could be
published. `--only` runs some parts; rows that are in results/ablation_defaults.jsonl are not run again.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import ablation_patches as patches
import numpy as np
from common import RESULTS, isolated, records, run_once, write_table
from tables import cases

CASES = ["adult", "cardio", "stroke", "transactions 100k"]
EPSILONS = {"two critics": 10.0}  # 1 elsewhere
SMALL = 10_000  # rows: what as many teach is mostly which were drawn, so five times as many are
STORE = RESULTS / "ablation_defaults.jsonl"
PARTS: dict[str, dict[str, dict[str, Any]]] = {
    "cells": {
        "modes of a Gaussian mixture": {"patch": "mixture_modes"},
        "equal widths": {"patch": "equal_widths"},
        "no atoms": {"patch": "no_atoms"},
        "one round of leaves": {"patch": "one_round"},
        "values even in a cell": {"patch": "even_in_cells"},
        "16 cells at most": {"patch": "fewer_cells"},
    },
    "questions": {
        "pairs not by class": {"patch": "whole_pairs"},
        "as many pairs as columns, chosen": {"patch": "few_pairs"},
        "no columns by class": {"patch": "no_class_columns"},
    },
    "generator": {
        "width 128": {"generator_dim": [128, 128]},
        "width 512": {"generator_dim": [512, 512]},
        "one layer": {"generator_dim": [256]},
        "three layers": {"generator_dim": [256, 256, 256]},
        "512 components": {"patch": "components", "value": 512},
        "2048 components": {"patch": "components", "value": 2048},
        "latents of 16": {"latents": 16},
        "latents of 256": {"latents": 256},
    },
    "fit": {
        "a third of the rate": {"patch": "rate", "value": 1 / 3},
        "three times the rate": {"patch": "rate", "value": 3.0},
        "to the floor": {"patch": "near", "value": 1.0},
        "to 1.5 of the floor": {"patch": "near", "value": 1.5},
        "average of weights (EMA .95)": {"patch": "averaged", "value": 0.95},
        "columns count ten times": {"patch": "column_weight", "value": 10.0},
        "columns count a tenth": {"patch": "column_weight", "value": 0.1},
    },
    "two critics": {
        "both": {"critic": "both"},
        "both, without a final choice": {"critic": "both", "patch": "no_choice"},
        "both, five steps of the critic a step": {"critic": "both", "patch": "critic_steps", "value": 5},
        "both, steps while the critic tells fakes": {"critic": "both", "patch": "critic_ahead", "value": 0.7},
    },
}


def measure_default(name: str, *, epsilon: float, seed: int, **changes: Any) -> dict[str, float]:
    """Fit and score once; in a process of its own, so the patch ends with it."""
    import time

    import torch
    from ablation_weights import seed_noise

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seed_noise(seed)
    if patch := changes.pop("patch", None):
        value = changes.pop("value", None)
        getattr(patches, patch)(*([] if value is None else [value]))
    train, test, target = cases(name)
    changes = {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}
    if latents := changes.pop("latents", None):
        changes["embedding_dim"] = latents
    start = time.process_time()
    model = CTGAN(epsilon, target=target, verbose=False, random_state=seed, **changes).fit(train)
    seconds = time.process_time() - start
    synthetic = model.sample(len(train), random_state=1)
    taught = synthetic if len(train) > SMALL else model.sample(5 * len(train), random_state=1)
    scores = train_synthetic_test_real(train, taught, target=target, holdout=test).scores
    return {
        "TSTR": scores[0].value,
        "AP": scores[1].value,
        "TVD1": marginal_tvd(train, synthetic).mean,
        "TVD2": marginal_tvd(train, synthetic, order=2).mean,
        "cpu s": seconds,
    }


def rows_of(changes: dict[str, Any]) -> dict[str, float]:
    """Fit 3,000 transactions with noise of a public seed; return sums that another fit hardly has."""
    from ablation_weights import seed_noise

    from privsynth import CTGAN
    from privsynth.datasets import make_transactions

    warnings.simplefilter("ignore")
    seed_noise(0)
    _seed_steps()
    if patch := changes.pop("patch", None):
        value = changes.pop("value", None)
        getattr(patches, patch)(*([] if value is None else [value]))
    changes = {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}
    if latents := changes.pop("latents", None):
        changes["embedding_dim"] = latents
    model = CTGAN(3.0, target="is_fraud", verbose=False, random_state=0, **changes)
    rows = model.fit(make_transactions(3000, random_state=0)).sample(1000, random_state=0)
    return {name: float(values.sum()) for name, values in rows.select_dtypes("number").items()}


def _seed_steps() -> None:
    """Draw the batches and noise of DP-SGD from a public seed too, and let the final choice take the last generator.

    Else two critics would never make the same rows twice, or do so whatever they did, where the first one is kept.
    """
    from privsynth.privacy.noise import SecureNoise

    rng = np.random.default_rng(0)

    def add_gaussian(self: Any, values: np.ndarray, *, scale: float) -> np.ndarray:
        return np.asarray(values + rng.normal(size=values.shape) * scale, dtype=values.dtype)

    def poisson_rows(self: Any, n_rows: int, *, rate: float) -> np.ndarray:
        return np.flatnonzero(rng.random(n_rows) < rate)

    def gumbel(self: Any, size: int) -> np.ndarray:
        return np.where(np.arange(size) == size - 1, 1e9, 0.0)

    SecureNoise.add_gaussian, SecureNoise.poisson_rows, SecureNoise.gumbel = add_gaussian, poisson_rows, gumbel


def check(parts: list[str]) -> list[str]:
    """Return the choices that change nothing: a switch that has come loose measures the default again."""
    idle = []
    for part in parts:
        before = isolated("rows_of", {"critic": "both"} if part == "two critics" else {}, module="ablation_defaults")
        for label, changes in PARTS[part].items():
            if changes != {"critic": "both"}:
                same = isolated("rows_of", changes, module="ablation_defaults") == before
                print(f"{label}: {'NOTHING CHANGES' if same else 'acts'}", flush=True)
                idle += [label] * same
    return idle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tables", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--choices", nargs="+", default=[], help="names of those to run beside the default; or all")
    parser.add_argument("--write", action="store_true", help="write the table from the rows that are there")
    parser.add_argument("--check", action="store_true", help="see, on a small table, that every choice changes a fit")
    options = parser.parse_args()
    if options.check:
        raise SystemExit(f"Choices that change nothing: {idle}" if (idle := check(options.only)) else 0)
    for seed in () if options.write else range(options.seeds):
        for name in options.tables:
            for part in options.only:
                epsilon = EPSILONS.get(part, 1.0)
                for label, changes in {"default": {}, **PARTS[part]}.items():
                    if options.choices and label not in ("default", *options.choices):
                        continue
                    key = {"table": name, "epsilon": epsilon, "choice": label, "seed": seed}
                    run_once(
                        STORE, key, "measure_default", name, module="ablation_defaults", epsilon=epsilon, seed=seed,
                        **changes,
                    )  # fmt: skip
    report()


def report() -> None:
    """Write one table a part: means of the default, and of each choice the change from it at the same seed."""
    rows = records(STORE)
    parts = {}
    for part, choices in PARTS.items():
        lines = []
        for label in ("default", *choices):
            line: dict[str, Any] = {"choice": label}
            for name in CASES:
                usual, runs = (_runs(rows, name, part, choice) for choice in ("default", label))
                both = sorted(usual.keys() & runs.keys())
                for key in ("TSTR", "AP", "TVD2") if name.startswith("trans") else ("TSTR", "TVD2"):
                    gaps = [runs[seed][key] - (0 if label == "default" else usual[seed][key]) for seed in both]
                    line[f"{name}: {key}"] = _mean(gaps, signed=label != "default")
                line[f"{name}: cpu s"] = f"{np.mean([runs[seed]['cpu s'] for seed in both]):.0f}" if both else None
            lines.append(line)
        parts[part] = lines
    first, *others = parts
    notes = [
        "Total epsilon 1 (two critics: 10), nothing declared, delta 1e-5, one thread; the 80/20 splits and targets of "
        "peers.py, transactions scored on 300,000 fresh rows.",
        "The default's means; of each other choice the change from it, with the same noise in units of its scale. "
        "After ±: half the largest less the smallest, where there are several seeds.",
        "TSTR on stroke is of five times as many rows as there were real ones.",
        "cpu s: of computing, beside other programs.",
    ]
    more = {f"{part[0].upper()}{part[1:]}": parts[part] for part in others}
    write_table("ablation_defaults", "Other choices in place of the defaults", parts[first], notes, more=more)


def _runs(rows: list[dict[str, Any]], name: str, part: str, choice: str) -> dict[int, dict[str, Any]]:
    """Return the runs of a choice by their seeds."""
    key = {"table": name, "choice": choice, "epsilon": EPSILONS.get(part, 1.0)}
    return {row["seed"]: row for row in rows if all(row[k] == v for k, v in key.items())}


def _mean(values: list[float], *, signed: bool) -> str | None:
    """Return a mean and half the spread."""
    if not values:
        return None
    spread = f" ± {(max(values) - min(values)) / 2:.4f}" if len(values) > 1 else ""
    return (f"{np.mean(values):+.4f}" if signed else f"{np.mean(values):.4f}") + spread


if __name__ == "__main__":
    main()
