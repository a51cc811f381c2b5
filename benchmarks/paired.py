"""Tables of ablations of whole fits: means, and mean differences from the fits of one choice at the same seed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

Runs = dict[int, dict[str, Any]]


def runs_of(rows: list[dict[str, Any]], **key: Any) -> Runs:
    """Return the rows that have these values, by their seed."""
    return {row["seed"]: row for row in rows if all(row[name] == value for name, value in key.items())}


def mean(runs: Runs, measure: str, *, places: int = 4) -> str:
    return f"{np.mean([run[measure] for run in runs.values()]):.{places}f}"


def gap(runs: Runs, others: Runs, measure: str) -> str | None:
    """Return the mean of runs less others of the same seed, with its standard error; none if no seed is in both."""
    gaps = [runs[seed][measure] - others[seed][measure] for seed in sorted(runs.keys() & others.keys())]
    if not gaps:
        return None
    error = f" ± {np.std(gaps, ddof=1) / len(gaps) ** 0.5:.4f}" if len(gaps) > 1 else ""
    return f"{np.mean(gaps):+.4f}{error}"


def paired_lines(
    rows: list[dict[str, Any]],
    cases: list[tuple[str, float]],
    labels: Iterable[str],
    *,
    first: str,
    measures: Iterable[str],
    by: str = "choice",
    less: str | None = None,
    whole: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Return a line a table, epsilon and choice that was run.

    Without `less`, other choices than `first` show differences in the place of means, and seeds that `first` has not
    are left out; with it, these are columns "measure less". Measures of `whole` are shown as means without decimals.
    """
    lines = []
    for name, epsilon in cases:
        start = runs_of(rows, table=name, epsilon=epsilon, **{by: first})
        for label in labels:
            runs = runs_of(rows, table=name, epsilon=epsilon, **{by: label})
            if less is None:
                runs = {seed: run for seed, run in runs.items() if seed in start}
            if not runs:
                continue
            shown = "none" if math.isinf(epsilon) else f"{epsilon:g}"
            line: dict[str, Any] = {"table": name, "epsilon": shown, by: label, "fits": len(runs)}
            for measure in measures:
                line[measure] = mean(runs, measure, places=0 if measure in whole else 4)
                if measure in whole:
                    continue
                found = None if label == first else gap(runs, start, measure)
                if less is not None:
                    line[f"{measure} {less}"] = found
                elif found is not None:
                    line[measure] = found
            lines.append(line)
    return lines
