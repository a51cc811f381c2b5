"""10,000 mutated model files, loaded and used: python benchmarks/mutated_bundles.py [--share 0.1] [--only FAMILY ...].

Four small models are saved; each case is one of them, mutated by a generator seeded with the case's family and number
(mutations.py, mutations_model.py), and judged by mutated_judge.py in a worker process: a case that takes longer than
WATCHDOG seconds is killed there and counts as a failure, and so does one that ends the process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import write_table
from mutations import Bundle
from mutations_model import FAMILIES

WATCHDOG = 60
GIGABYTES = 6
N_ROWS = 2500
NAMES = ("plain", "rules", "persons", "dpsgd")


def make_frame() -> pd.DataFrame:
    """Return a table of every form of column."""
    rng = np.random.default_rng(0)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, N_ROWS), unit="s")
    amount = np.round(rng.lognormal(3, 1, N_ROWS), 2)
    return pd.DataFrame(
        {
            "id": np.arange(N_ROWS) // 3 + 10**6,
            "amount": np.where(rng.random(N_ROWS) < 0.1, np.nan, amount),
            "city": rng.choice(["Ulm", "Bonn", "Kiel"], N_ROWS),
            "kind": rng.random(N_ROWS) < 0.3,
            "when": day,
            "shop": pd.Series(rng.choice([f"s{i}" for i in range(150)], N_ROWS), dtype=object),
            "day": pd.Series(day.strftime("%d.%m.%Y"), dtype=object),
            "price": pd.Series([f"{a:.2f}" for a in amount], dtype=object),
            "count": pd.array(rng.integers(0, 9, N_ROWS), dtype="Int64"),
            "length": pd.to_timedelta(rng.integers(0, 5000, N_ROWS), unit="s"),
            "code": pd.array(rng.integers(0, 5, N_ROWS), dtype="int32[pyarrow]"),
            "total": amount * 2,
        }
    )


def make_models(folder: Path, names: tuple[str, ...] = NAMES) -> None:
    """Save the models that are mutated: plain, under rules, of persons, and with a DP-SGD critic."""
    from privsynth import CTGAN, Schema
    from privsynth.rules import FixedCombinations, Formula, Inequality, OneOf, Range
    from privsynth.schema import Categorical, Continuous, Datetime, Identifier

    frame = make_frame()
    columns = {
        "shop": Categorical(tuple(f"s{i}" for i in range(150)), other="fake"),
        "day": Datetime(format="%d.%m.%Y"),
        "price": Continuous(0, 500, decimals=2, form="text"),
        "id": Identifier(fake="card"),
    }
    rules = (
        Formula("total", "amount * 2 + 0 * `count`"),
        Inequality("count", "amount"),
        Range("amount", 0, 400),
        FixedCombinations(("city", "kind")),
        OneOf(("code", "kind")),
    )
    small: dict[str, Any] = {"steps": 5, "generator_dim": (16,), "embedding_dim": 8, "verbose": False}
    makers = {
        "plain": CTGAN(5.0, schema=Schema(columns), target="kind", **small),
        "rules": CTGAN(5.0, schema=Schema({"id": Identifier()}, rules=rules), **small),
        "persons": CTGAN(5.0, schema=Schema(privacy_unit="id"), **small),
        "dpsgd": CTGAN(5.0, critic="both", discriminator_steps=3, target="kind", **small),
    }
    for name in names:
        model = makers[name]
        few = ["amount", "city", "kind"] if name == "dpsgd" else list(frame)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(frame[few]).save(folder / f"{name}.psz")


def make_case(models: list[Bundle], family: str, number: int) -> bytes:
    """Return the file of a case: the same for the same models, family and number."""
    rng = np.random.default_rng([zlib.crc32(family.encode()), number])
    weights = [0.5, 0.3, 0.19, 0.01] if family != "certificates" else [0.3, 0.1, 0.3, 0.3]
    bundle = models[int(rng.choice(len(models), p=weights[: len(models)] / np.sum(weights[: len(models)])))]
    return FAMILIES[family][0](bundle, rng)


def read_models(folder: Path) -> list[Bundle]:
    return [Bundle((folder / f"{name}.psz").read_bytes()) for name in NAMES]


def work(folder: Path, family: str, first: int, stop: int) -> None:
    """Judge the cases of a family; a line on standard output before and after each."""
    import torch
    from mutated_judge import Watch, judge

    import privsynth  # noqa: F401 - what loading imports is imported before anything is measured

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (GIGABYTES << 30, GIGABYTES << 30))
    out = os.fdopen(os.dup(1), "w")
    models = read_models(folder)
    box = Path(tempfile.mkdtemp(dir=folder))
    path = box / "a" / "b" / "model.psz"
    path.parent.mkdir(parents=True)
    os.chdir(path.parent)
    watch = Watch()
    for warm in NAMES:
        judge(folder / f"{warm}.psz", 11, watch)
    for number in range(first, stop):
        path.write_bytes(make_case(models, family, number))
        print(json.dumps({"start": number}), file=out, flush=True)
        result = judge(path, number, watch)
        if [p for p in box.rglob("*") if p.is_file()] != [path]:
            result.update(outcome="failure", detail="left a file")
        print(json.dumps({"number": number, "size": path.stat().st_size, **result}), file=out, flush=True)


def judged(folder: Path, family: str, number: int) -> Iterator[dict[str, Any]]:
    """Yield the results of a family; start another worker where a case hangs or ends one."""
    first = 0
    while first < number:
        command = [sys.executable, __file__, "--worker", str(folder), family, str(first), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            started = -1
            while True:
                ready = select.select([worker.stdout], [], [], WATCHDOG + 60 * (started < first))[0]
                line = worker.stdout.readline() if ready else ""
                if not line:
                    break
                result = json.loads(line)
                started = result.get("start", started)
                if "number" in result:
                    first = result["number"] + 1
                    yield {"family": family, **result}
            worker.kill()
        if started < 0:
            raise SystemExit(f"The worker did not start (code {worker.returncode}).")
        if first <= started:
            what = f"more than {WATCHDOG} s" if not ready else f"the process ended with code {worker.returncode}"
            yield {"family": family, "number": started, "outcome": "failure", "detail": what, "size": 0, "seconds": 0.0}
            first = started + 1


def summary(family: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    outcomes = [result["outcome"] for result in results]
    return {
        "family": family,
        "cases": len(results),
        "refused": outcomes.count("refused"),
        "harmless": outcomes.count("harmless"),
        "failures": outcomes.count("failure"),
        "slowest s": max(result["seconds"] for result in results),
        "most MB": max(result.get("megabytes", 0.0) for result in results),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the cases")
    parser.add_argument("--only", nargs="*", default=list(FAMILIES), metavar="FAMILY")
    parser.add_argument("--models", type=Path, help="a folder with the models of an earlier run")
    parser.add_argument("--log", type=Path, help="a file for every result, a line of JSON each")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(Path(options.worker[0]), options.worker[1], int(options.worker[2]), int(options.worker[3]))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = options.models or Path(name)
        folder.mkdir(exist_ok=True)
        if not (folder / "dpsgd.psz").exists():
            make_models(folder)
        for family in options.only:
            results = list(judged(folder, family, max(1, round(FAMILIES[family][1] * options.share))))
            rows.append(summary(family, results))
            print(rows[-1], flush=True)
            for result in results:
                if result["outcome"] == "failure":
                    print("  ", result["number"], result["detail"], flush=True)
                if options.log:
                    with options.log.open("a") as log:
                        log.write(json.dumps(result) + "\n")
    if options.only == list(FAMILIES) and options.share == 1:
        write_results(rows)
    sys.exit(any(row["failures"] for row in rows))


def write_results(rows: list[dict[str, Any]]) -> None:
    total: dict[str, Any] = {"family": "all"}
    for key in ("cases", "refused", "harmless", "failures"):
        total[key] = sum(row[key] for row in rows)
    for key in ("slowest s", "most MB"):
        total[key] = max(row[key] for row in rows)
    from mutated_judge import MEGABYTES, SECONDS, TIMES

    notes = [
        "Every case loads a mutated file and, where that works, shows and verifies its certificate and draws 20 rows.",
        f"A failure is any other exception than privsynth's own, a warning, output, a file opened elsewhere, "
        f"more than {SECONDS:g} s of processor time, or more memory than {MEGABYTES} MB and {TIMES} times the file.",
        "All but the first four families carry digests that fit, as a forger's would. *most MB* is the peak above "
        "what the process held before, the worst of the family.",
    ]
    write_table("mutated_bundles", "Mutated model files", [*rows, total], notes)


if __name__ == "__main__":
    main()
