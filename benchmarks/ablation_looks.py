"""One look at levels or two: python benchmarks/ablation_looks.py [--seeds 4] [--tables ...] [--write].

Whole fits, nothing declared. A part of the share of levels goes to a second look at what the first left without a
name. By default levels have what a look at all columns would, beside what numbers have of it; else no more than with
one look. The fits of a seed draw the same noise, in units of its scale, so
these fits are measurements and nothing that could be published. Rows in results/ablation_looks.jsonl are kept.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from ablation_weights import seed_noise
from common import RESULTS, records, run_once, write_table
from paired import Runs, gap, mean, runs_of
from tables import cases

ONE = "one look"
TWO = "two thirds for the second"
DEFAULT = "two thirds, and levels the whole share beside numbers (default)"
CHOICES: dict[str, tuple[float, bool]] = {
    ONE: (0.0, False),
    "half for the second": (1 / 2, False),
    TWO: (2 / 3, False),
    "four fifths for the second": (4 / 5, False),
    DEFAULT: (2 / 3, True),
}
CASES: dict[tuple[str, float], list[str]] = {
    ("stroke", 0.3): list(CHOICES),
    ("stroke", 1.0): list(CHOICES),
    ("stroke", 3.0): [ONE, TWO, DEFAULT],
    ("transactions 10k", 0.3): list(CHOICES),
    ("transactions 10k", 1.0): list(CHOICES),
    ("adult", 0.3): list(CHOICES),
    ("adult", 1.0): list(CHOICES),
    ("adult", 10.0): [ONE, TWO, DEFAULT],
}
STORE = RESULTS / "ablation_looks.jsonl"
MEASURES = ("TVD1", "TVD2", "TSTR")


def measure_looks(name: str, *, epsilon: float, seed: int, second: float, beside: bool) -> dict[str, float]:
    """Fit and score once, with noise of a public seed; in a process of its own, so the patches end with it."""
    import torch

    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd, train_synthetic_test_real
    from privsynth.training import shares
    from privsynth.transforms import encoder

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seed_noise(seed)
    shares._SECOND_LOOK = second
    if not beside:
        shares._looks = looks_inside
    if not second:
        encoder.has_rarer_levels = lambda column: False  # type: ignore[assignment]
    train, test, target = cases(name)
    model = CTGAN(epsilon, target=target, verbose=False, random_state=seed).fit(train)
    synthetic = model.sample(len(train), random_state=1)
    texts = [name for name in train if (synthetic[name].astype(str) == "__other__").any()]
    return {
        "TVD1": marginal_tvd(train, synthetic).mean,
        "TVD2": marginal_tvd(train, synthetic, order=2).mean,
        "TSTR": train_synthetic_test_real(train, synthetic, target=target, holdout=test).scores[0].value,
        "without a name": float(sum((synthetic[name].astype(str) == "__other__").mean() for name in texts)),
    }


def looks_inside(share: float, n_values: int, n_levels: int) -> dict[str, float]:
    """Share out a discovery's budget over the looks by columns: in all it is no more than with one look."""
    from privsynth.training.shares import _SECOND_LOOK, LEVELS, RARER, VALUES

    of_levels = share * n_levels / (n_values + n_levels)
    second = _SECOND_LOOK * of_levels
    found = {LEVELS: of_levels - second, RARER: second, VALUES: share - of_levels}
    return found if n_values else {label: found[label] for label in (LEVELS, RARER)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    tables = sorted({name for name, _ in CASES})
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument("--write", action="store_true", help="write the table from the rows that are there")
    options = parser.parse_args()
    for seed in range(0 if options.write else options.seeds):
        for (name, epsilon), labels in CASES.items():
            for label in labels if name in options.tables else ():
                key = {"table": name, "epsilon": epsilon, "choice": label, "seed": seed}
                settings = {"epsilon": epsilon, "seed": seed, "second": CHOICES[label][0], "beside": CHOICES[label][1]}
                run_once(STORE, key, "measure_looks", name, module="ablation_looks", **settings)
    report()


def report() -> None:
    """Write means, and differences from one look at the same seed."""
    rows = records(STORE)
    lines = []
    for (name, epsilon), labels in CASES.items():
        before = runs_of(rows, table=name, epsilon=epsilon, choice=ONE)
        for label in labels:
            runs = runs_of(rows, table=name, epsilon=epsilon, choice=label)
            if runs:
                lines.append({"table": name, "epsilon": epsilon, "choice": label, **_line(runs, before, label)})
    write_table(
        "ablation_looks", "One look at levels or two", lines,
        ["Whole fits, nothing declared: means, and differences from fits of the same seed with one look, with their "
         "standard errors. All choices have the same total epsilon; all but the default have the same share of it for "
         "levels and atoms.",
         "without a name: shares of rows whose level is `__other__`, summed over columns. The real tables have none.",
         "How much the second look gets was chosen on other seeds of Adult; the whole share for levels, on these."],
    )  # fmt: skip


def _line(runs: Runs, before: Runs, label: str) -> dict[str, Any]:
    line: dict[str, Any] = {"fits": len(runs)}
    line["without a name"] = mean(runs, "without a name", places=3)
    for measure in MEASURES:
        line[measure] = mean(runs, measure)
        line[f"{measure} less one look"] = None if label == ONE else gap(runs, before, measure)
    return line


if __name__ == "__main__":
    main()
