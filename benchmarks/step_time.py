"""What a step of the measured critic costs, and what would make it faster: python benchmarks/step_time.py.

The steps of a fit, taken from one that was stopped early; the ways to compute one take turns in one process, so that a
busy machine slows all of them. Nothing else should run beside it: two threads need two cores. Needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from common import isolated, write_table
from tables import cases

CASES = [("adult", 1.0), ("adult", 10.0), ("transactions 100k", 1.0), ("transactions 100k", 10.0)]
FIRST = 40  # steps of the fit before
AT_ONCE = 4  # steps: one partition in four is compared in each
Step = Callable[[], None]


def trainer_of(name: str, epsilon: float) -> Any:
    """Fit for a few steps, partitions included; return what was to go on."""
    from privsynth import CTGAN
    from privsynth.training.loop import Trainer

    held: list[Trainer] = []
    usual = Trainer.fit_measured

    def fit_measured(self: Trainer, *, again: bool = False) -> None:
        held.append(self)
        usual(self, again=again)

    Trainer.fit_measured = fit_measured  # type: ignore[method-assign]
    train, _, target = cases(name)
    CTGAN(epsilon, target=target, steps=FIRST, verbose=False, random_state=0).fit(train)
    return held[-1]


def ways(trainer: Any) -> dict[str, Step]:
    """Return the ways to compute a step; their rate is next to nothing, so that all stay where they are."""
    parameters = list(trainer.generator.parameters())
    fused = torch.optim.Adam(parameters, lr=1e-9, betas=(0.95, 0.95), fused=True)
    plain = torch.optim.Adam(parameters, lr=1e-9, betas=(0.95, 0.95), foreach=True)

    def step(compare: Any = trainer.compare, optimizer: torch.optim.Optimizer = fused) -> None:
        objective, _ = compare()
        optimizer.zero_grad()
        objective.backward()
        optimizer.step()

    def two() -> None:
        torch.set_num_threads(2)
        step()
        torch.set_num_threads(1)

    def halves() -> None:
        torch.set_float32_matmul_precision("medium")
        step()
        torch.set_float32_matmul_precision("highest")

    compiled = torch.compile(trainer.compare, dynamic=False)
    return {
        "as it is": step,
        "two threads": two,
        "compiled": lambda: step(compiled),
        "16-bit products": halves,
        "Adam not fused": lambda: step(optimizer=plain),
    }


def measure_steps(name: str, *, epsilon: float, rounds: int) -> dict[str, Any]:
    """Return milliseconds a step, medians; in a process of its own, for its patches and threads."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    trainer = trainer_of(name, epsilon)
    turns = ways(trainer)
    first = {}
    for label, step in turns.items():
        start = time.perf_counter()
        for _ in range(AT_ONCE):
            step()
        first[label] = time.perf_counter() - start
    times: dict[str, list[float]] = {label: [] for label in turns}
    for _ in range(rounds):
        for label, step in turns.items():
            start = time.perf_counter()
            for _ in range(AT_ONCE):
                step()
            times[label].append(1e3 * (time.perf_counter() - start) / AT_ONCE)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(5 * AT_ONCE):
            turns["as it is"]()
    spent = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    products = sum(value for key, value in spent.items() if key in ("aten::mm", "aten::addmm"))
    usual = times["as it is"]
    ratios = {
        label: statistics.median(ours / theirs for ours, theirs in zip(found, usual, strict=True))
        for label, found in times.items()
        if found is not usual
    }
    return {
        "cells": trainer.layout.width,
        "ms a step": statistics.median(usual),
        "products": products / sum(spent.values()),
        **ratios,
        "compiling, s": first["compiled"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    rows = []
    for name, epsilon in CASES:
        found = isolated("measure_steps", name, module="step_time", epsilon=epsilon, rounds=options.rounds)
        rows.append({"table": name, "epsilon": epsilon, **found})
        print(rows[-1], flush=True)
    write_table(
        "step_time", "A step of the measured critic", rows,
        ["One thread, medians; products: their part of the time. The others as multiples of a step as it is.",
         "compiling, s: four steps the first time, of which each compares other partitions."],
    )  # fmt: skip


if __name__ == "__main__":
    main()
