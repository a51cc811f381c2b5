"""1,000 random conditions, each judged, and how fast they are met: python benchmarks/conditions.py [--cases N].

One model of simulated transactions with the default settings, and a small one under rules. How conditions are made and
judged: random_conditions.py.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import random_conditions
from common import write_table
from random_conditions import Case, Mask, verdict

from privsynth import CTGAN, Schema, load
from privsynth._where import parse_where
from privsynth.datasets import make_transactions
from privsynth.errors import ConditionError, PrivsynthWarning
from privsynth.rules import FixedCombinations, Formula, Inequality, OneOf
from privsynth.schema import Continuous

POOL, CHANCE = 20_000, 1_000_000
SPEED_ROWS = 20_000
LEAST = 20_000  # rows a second, for events of probability 1e-3 and more
FREE, IMPOSSIBLE = 0.1, 0.25
SKIPPED: tuple[str, ...] = ()
"""Columns that no possible or free request is about."""
CURRENCIES = {"GB": "GBP", "US": "USD", "TR": "TRY", "AE": "AED"}


def ruled_transactions(n_rows: int, random_state: int) -> tuple[pd.DataFrame, Schema]:
    """Return transactions with a settlement time, a currency, a computed fee, and either a voucher or a reference."""
    frame = make_transactions(n_rows, random_state=random_state)
    rng = np.random.default_rng(random_state)
    frame["settled"] = frame["timestamp"] + pd.to_timedelta(rng.integers(60, 3 * 86_400, n_rows), unit="s")
    frame["currency"] = frame["country"].map(CURRENCIES).fillna("EUR")
    frame["fee"] = (0.02 * frame["amount"] + 0.1).round(2)  # learned rows hold it; made ones compute it
    has_voucher = rng.random(n_rows) < 0.2
    frame["voucher"] = np.where(has_voucher, rng.integers(1, 50, n_rows), np.nan)
    frame["reference"] = pd.Series(np.where(has_voucher, None, rng.choice(["web", "shop"], n_rows)))
    rules = [
        Inequality("timestamp", "settled"),
        FixedCombinations(("country", "currency")),
        Formula("fee", "0.02 * amount + 0.1"),
        OneOf(("voucher", "reference")),
    ]
    keep = ["timestamp", "amount", "country", "is_fraud", "settled", "currency", "fee", "voucher", "reference"]
    return frame[keep], Schema({"fee": Continuous(decimals=2)}, rules=rules)


def ask(model: Any, case: Case, random_state: int) -> Any:
    """Return the sample, or whatever was raised instead."""
    try:
        conditions = case.conditions
        if case.form == "where":  # as `privsynth sample --where` does
            conditions = parse_where(conditions, model.learned_columns)
        return model.sample(case.n_rows, conditions=conditions, random_state=random_state)
    except Exception as error:  # noqa: BLE001 - the judge says whether it is the right one
        return error


def draw_case(pool: pd.DataFrame, rng: np.random.Generator, number: int) -> Case:
    """Draw a request; every fourth is impossible, every tenth of unknown possibility."""
    place = number % 20 / 20
    if place < IMPOSSIBLE:
        return random_conditions.impossible(pool, rng)
    if place < IMPOSSIBLE + FREE:
        return random_conditions.free(pool, rng, skip=SKIPPED)
    return random_conditions.possible(pool, rng, skip=SKIPPED)


class Chance:
    """A large sample without conditions, drawn when it is first asked for."""

    def __init__(self, model: Any, n_rows: int) -> None:
        self.model, self.n_rows, self.rows = model, n_rows, pd.DataFrame()

    def __call__(self, mask: Mask) -> int:
        if self.rows.empty:
            self.rows = self.model.sample(self.n_rows, random_state=7)
        return int(np.sum(mask(self.rows)))


def judge(model: Any, n_cases: int, *, seed: int, n_chance: int = CHANCE) -> tuple[list[dict[str, Any]], list[str]]:
    """Ask for everything and judge it; return a row a kind of request, and what was wrong."""
    rng = np.random.default_rng(seed)
    pool, chance = model.sample(POOL, random_state=seed), Chance(model, n_chance)
    counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    wrong: list[str] = []
    for number in range(n_cases):
        case = draw_case(pool, rng, number)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            outcome = ask(model, case, number)
        found = verdict(case, outcome, ConditionError, chance)
        possible = {True: "possible", False: "impossible", None: "free"}[case.possible]
        count = counts[possible, case.kind, case.form]
        count["cases"] += 1
        count["rows"] += len(outcome) if isinstance(outcome, pd.DataFrame) else 0
        count["exact" if isinstance(outcome, pd.DataFrame) else "refused"] += not found
        count["wrong"] += bool(found)
        count["warned"] += any(issubclass(warning.category, PrivsynthWarning) for warning in told)
        if found:
            wrong.append(f"case {number} ({case.kind}, {case.form}, {str(case.conditions)[:200]}): {found}")
    return _by_kind(counts), wrong


def _by_kind(counts: dict[tuple[str, str, str], Counter[str]]) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for (possible, kind, form), count in sorted(counts.items()):
        row = rows.setdefault(
            (possible, kind),
            {"possible": possible, "kind": kind, **dict.fromkeys(("dict", "where", "frame"), 0)}
            | dict.fromkeys(("rows", "exact", "refused", "wrong", "warned"), 0),
        )
        row[form] += count["cases"]
        for name in ("rows", "exact", "refused", "wrong", "warned"):
            row[name] += count[name]
    return [rows[key] for key in sorted(rows, key=lambda key: (("possible", "free", "impossible").index(key[0]), key))]


EVENTS = {"0.1 to 1": 0.1, "0.01 to 0.1": 1e-2, "0.001 to 0.01": 1e-3, "0.0001 to 0.001": 1e-4, "below 0.0001": 0.0}


def speed(model: Any, n_cases: int, *, seed: int) -> list[dict[str, Any]]:
    """Time possible requests of 20,000 rows, by the probability of the event."""
    rng = np.random.default_rng(seed)
    pool = model.sample(POOL, random_state=seed)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in EVENTS}
    for _ in range(n_cases):
        case = random_conditions.possible(pool, rng)
        if case.form != "dict":
            continue
        probability = model.condition_probability(case.conditions)
        name = next(name for name, least in EVENTS.items() if probability >= least)
        found[name].append(_timed(model, SPEED_ROWS, case.conditions))
    return [_speed_row(f"event of probability {name}", SPEED_ROWS, times) for name, times in found.items() if times]


def speed_of_frames(model: Any, *, seed: int) -> list[dict[str, Any]]:
    """Time a frame of conditions whose rows are all different."""
    pool = model.sample(SPEED_ROWS, random_state=seed)
    names = [["is_fraud"], ["channel", "country"], ["is_fraud", "amount"], ["timestamp", "amount", "country"]]
    return [
        _speed_row(
            f"a frame of {', '.join(some)}: {len(pool[some].drop_duplicates()):,} distinct rows",
            SPEED_ROWS,
            [_timed(model, None, pool[some]) for _ in range(3)],
        )
        for some in names
    ]


def _timed(model: Any, n_rows: int | None, conditions: Any) -> tuple[float, float]:
    """Return wall and processor seconds of a sample."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrivsynthWarning)
        start, cpu = time.perf_counter(), time.process_time()
        model.sample(n_rows, conditions=conditions, random_state=0)
        return time.perf_counter() - start, time.process_time() - cpu


def _speed_row(name: str, n_rows: int, times: list[tuple[float, float]]) -> dict[str, Any]:
    wall, cpu = n_rows / np.array(times).T
    return {
        "asked": name,
        "cases": len(times),
        "rows/s, median": round(float(np.median(wall))),
        "slowest": round(float(wall.min())),
        "rows per cpu s, median": round(float(np.median(cpu))),
        "slowest of these": round(float(cpu.min())),
    }


def fitted(path: Path | None, table: pd.DataFrame, **parameters: Any) -> Any:
    """Fit a model, or load it where it was kept before."""
    if path is not None and path.exists():
        return load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrivsynthWarning)
        model = CTGAN(target="is_fraud", verbose=False, random_state=0, **parameters).fit(table)
    if path is not None:
        model.save(path)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=50_000, help="transactions to learn from")
    parser.add_argument("--epsilon", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, help="a folder in which the models are kept between runs")
    options = parser.parse_args()
    places = {name: options.models and options.models / f"{name}.privsynth" for name in ("plain", "ruled")}
    plain = fitted(places["plain"], make_transactions(options.rows, random_state=0), epsilon=options.epsilon)
    table, schema = ruled_transactions(options.rows, 0)
    ruled = fitted(places["ruled"], table, epsilon=options.epsilon, schema=schema)
    rows, wrong = judge(plain, options.cases, seed=options.seed)
    ruled_rows, ruled_wrong = judge(ruled, options.cases // 5, seed=options.seed)
    rows = [{"table": "transactions", **row} for row in rows] + [{"table": "under rules", **row} for row in ruled_rows]
    fast = speed(plain, options.cases // 2, seed=options.seed + 1) + speed_of_frames(plain, seed=options.seed + 1)
    print("\n".join([*wrong, *ruled_wrong]))
    notes = [
        f"{options.rows:,} simulated transactions, epsilon {options.epsilon:g}, default settings; seed {options.seed}.",
        "dict, where, frame: cases by how they were asked. Possible: a drawn row meets the condition. Free: demands "
        "that several rows meet, joined. Impossible: refused is a ConditionError that names column, value and remedy.",
        f"exact: count and all values right, by pandas. wrong: {len(wrong)} and {len(ruled_wrong)} of "
        f"{options.cases:,} and {options.cases // 5:,}. warned: told that the condition is far outside what was seen.",
        *(f"wrong, {text}" for text in [*wrong, *ruled_wrong][:20]),
    ]
    write_table("conditions", "Conditions at scale", rows, notes, more={"Speed": fast})


if __name__ == "__main__":
    main()
