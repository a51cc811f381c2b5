"""Quality at equal total epsilon, against other packages: python benchmarks/peers.py [--only NAME ...] [--tables ...].

A run is one synthesizer, table, epsilon and seed, in a process of its own: one thread, --limit seconds of computing,
8 GB. Each ends as a line of results/peers.jsonl, from which results/peers.md and peers.svg are written (`--write` does
only that).
Runs that are there already are skipped unless --again; synthetic tables stay in --work, so that --measure can score
them anew without fitting.

privsynth, the floor and the ceiling run in this interpreter (peers_own.py), the peers (peers_worker.py) in environments
of their own in the folder --peers (or PRIVSYNTH_PEERS), made from requirements/:

    python -m venv FOLDER/dpmm && FOLDER/dpmm/bin/pip install -r benchmarks/requirements/dpmm.txt
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from common import RESULTS, load
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
STORE = RESULTS / "peers.jsonl"
DELTA, GIGABYTES = 1e-5, 8
FRESH = 50_000  # simulated transactions to score on
WAIT = 3  # times the limit that a run may last by the clock: the machine may be busy
TARGETS = {
    "adult": "income",
    "cardio": "cardio",
    "stroke": "stroke",
    "transactions 10k": "is_fraud",
    "transactions 100k": "is_fraud",
    "transactions 1M": "is_fraud",
}
N_TRANSACTIONS = {"10k": 10_000, "100k": 100_000, "1M": 1_000_000}
PRIVATE = {  # environment of each; None: this interpreter
    "privsynth": None,
    "AIM on our cells": None,
    "dpmm AIM": "dpmm",
    "dpmm MST": "dpmm",
    "dpmm PrivBayes": "dpmm",
    "SmartNoise AIM": "smartnoise-synth",
    "SmartNoise MST": "smartnoise-synth",
    "SmartNoise PATECTGAN": "smartnoise-synth",
    "SmartNoise DPCTGAN": "smartnoise-synth",
}
OPEN = {  # without privacy
    "privsynth": None,
    "ctgan": "ctgan",
    "SDV CTGAN": "sdv",
    "SDV TVAE": "sdv",
    "SDV GaussianCopula": "sdv",
    "independent": None,
    "rarest class even": None,
    "real": None,
}
EPSILONS = ("0.3", "1", "3", "10", "none")
Record = dict[str, Any]


def table(name: str, work: Path) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    """Return where the training rows of a table lie for the workers, these rows, and those to score on.

    These are of an 80/20 split, seed 0. Of 10,000 transactions a fifth would have 18 frauds: they are fresh ones.
    """
    path = work / f"{name}.train.parquet".replace(" ", "_")
    if name.startswith("transactions"):
        from privsynth.datasets import make_transactions

        rows = make_transactions(N_TRANSACTIONS[name.split()[-1]], random_state=0)
        train, test = (f.reset_index(drop=True) for f in train_test_split(rows, test_size=0.2, random_state=0))
        if name.endswith("10k"):
            test = make_transactions(FRESH, random_state=77)
    else:
        train, test = (frame.drop(columns="id", errors="ignore") for frame in load(name))
    if not path.exists():
        train.to_parquet(path)
    return path, train, test


def fit(name: str, job: Record, options: argparse.Namespace) -> Record:
    """Run a worker on a job under the time limit; return what it wrote, or how it ended."""
    environment = (PRIVATE | OPEN)[name]
    python = Path(sys.executable) if environment is None else options.peers / environment / "bin" / "python"
    worker = "peers_own.py" if environment is None else "peers_worker.py"
    out = Path(job["out"])
    path, written = out.with_suffix(".job"), out.with_suffix(".json")
    for stale in (out, written):
        stale.unlink(missing_ok=True)
    path.write_text(json.dumps(job), encoding="utf-8")
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    home = options.work / "home"  # for packages that write there
    home.mkdir(exist_ok=True)
    paths = [str(HERE), *([str(HERE.parent)] if environment is None else [])]
    env = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths), "HOME": str(home)}
    start = time.perf_counter()
    with open(out.with_suffix(".log"), "w", encoding="utf-8") as log:
        command = [str(python), str(HERE / worker), str(path)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)
        try:
            process.wait(timeout=WAIT * options.limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return {
                "error": f"out of time: more than {WAIT * options.limit:g} s by the clock",
                "seconds": _since(start),
            }
    if process.returncode == -signal.SIGXCPU:
        return {"error": f"out of time: more than {options.limit:g} s of computing", "seconds": _since(start)}
    if not written.exists():
        return {"error": f"the process ended with code {process.returncode}", "seconds": _since(start)}
    return json.loads(written.read_text(encoding="utf-8"))


def _since(start: float) -> float:
    return time.perf_counter() - start


def one(name: str, where: str, epsilon: str, seed: int, options: argparse.Namespace) -> Record:
    """Fit, sample and measure once; return the line to keep."""
    from measures import measure, measure_real

    path, train, test = table(where, options.work)
    out = options.work / f"{name}.{where}.{epsilon.replace('.', '_')}.{seed}.parquet".replace(" ", "_")
    written = out.with_suffix(".json")
    job = {
        "name": name, "train": str(path), "out": str(out), "target": TARGETS[where], "delta": DELTA, "seed": seed,
        "limit": options.limit,
        "epsilon": None if epsilon == "none" else float(epsilon), "gigabytes": GIGABYTES,
        "python": str(options.peers / "dpmm" / "bin" / "python"),
    }  # fmt: skip
    kept = written.exists() and not options.again
    found = json.loads(written.read_text(encoding="utf-8")) if kept else fit(name, job, options)
    record = {"table": where, "epsilon": epsilon, "synthesizer": name, "seed": seed, "date": f"{datetime.date.today()}"}
    if "error" not in found:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if name == "real":
                scores = measure_real(train, test, target=TARGETS[where])
            else:
                scores = measure(train, test, pd.read_parquet(out), target=TARGETS[where])
        notes = " ".join(filter(None, [found.get("notes", ""), scores.pop("notes")]))
        found = {**found, **scores, "notes": notes}
    return record | {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in found.items()}


def key(record: Record) -> tuple[Any, ...]:
    return record["table"], record["epsilon"], record["synthesizer"], record["seed"]


def read() -> dict[tuple[Any, ...], Record]:
    """Return the kept runs by what was run."""
    if not STORE.exists():
        return {}
    return {key(record): record for record in map(json.loads, STORE.read_text(encoding="utf-8").splitlines())}


def keep(record: Record) -> None:
    """Add or replace one line of the store, which another process may have written since."""
    records = {**read(), key(record): record}
    names = [*PRIVATE, *(name for name in OPEN if name not in PRIVATE)]
    order = sorted(
        records.values(),
        key=lambda r: (
            list(TARGETS).index(r["table"]), EPSILONS.index(r["epsilon"]), names.index(r["synthesizer"]), r["seed"]
        ),
    )  # fmt: skip
    STORE.write_text("".join(json.dumps(record) + "\n" for record in order), encoding="utf-8")


def add_places(parser: argparse.ArgumentParser, work: str) -> None:
    """Add the options of programs that fit peers: where these are, where fits are kept, and how long they may take."""
    parser.add_argument("--peers", type=Path, default=os.environ.get("PRIVSYNTH_PEERS", "peers"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / work)
    parser.add_argument("--limit", type=float, default=1800, help="seconds of computing that a run may take")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[*PRIVATE | OPEN], default=[*PRIVATE | OPEN])
    parser.add_argument("--tables", nargs="*", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--epsilons", nargs="*", choices=EPSILONS, default=["1", "none"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    add_places(parser, "privsynth-peers")
    parser.add_argument("--again", action="store_true", help="fit also what was fitted before")
    parser.add_argument("--measure", action="store_true", help="score anew what was scored before, and only that")
    parser.add_argument("--write", action="store_true", help="run nothing, write the table and the plot")
    options = parser.parse_args()
    options.work.mkdir(exist_ok=True)
    from peers_report import write

    wanted = [
        (where, epsilon, name, seed)
        for where in options.tables
        for epsilon in options.epsilons
        for name in options.only
        for seed in options.seeds
        if name in (OPEN if epsilon == "none" else PRIVATE) and not options.write
    ]
    for where, epsilon, name, seed in wanted:
        known = (where, epsilon, name, seed) in read()
        if (known and not (options.again or options.measure)) or (options.measure and not known):
            continue
        record = one(name, where, epsilon, seed, options)
        keep(record)
        print({k: record[k] for k in record if k not in ("versions", "settings")}, flush=True)
    write(list(read().values()))


if __name__ == "__main__":
    main()
