"""Kill -9 fits at random and at chosen moments, and fit at once: python benchmarks/ledger_crashes.py [--kills 50].

What a ledger ought to show is known from elsewhere: a fit writes a byte to a log right before it first touches a row.
After each kill: does the file parse, does it show what was spent, is the lock free, is a fit that would go over refused
with its rows untouched, does a fit within the rest go on?
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from common import write_table

from privsynth import CTGAN, Budget, Ledger, cli
from privsynth.datasets import make_patients
from privsynth.errors import BudgetExceeded, PrivsynthError
from privsynth.privacy._ledger_file import LedgerFile

TOTAL, ASKED, REST = Budget(1.0, 1e-5), 0.6, 0.3
STEPS = 150
SHARED, AT_ONCE = 0.3, 6  # three of six fit into the total
REFUSED = 3
PHASES = ("before anything was reserved", "reserved, nothing read", "reading and learning", "settled", "after its end")
MOMENTS = (
    "half the text is written",
    "text on the disk, old name",
    "renamed, folder not on the disk",
    "lock still held",
)


@dataclass(frozen=True)
class Place:
    """The files of one trial."""

    folder: Path

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.json"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def messages(self) -> Path:
        return self.folder / "messages"

    def read(self) -> bool:
        return self.log.exists() and b"r" in self.log.read_bytes()


class Logged(CTGAN):
    """Says on a file of its own that it is about to touch rows."""

    log: Path | None = None

    def _learn(self, *args: Any) -> Any:
        if self.log is not None:
            with self.log.open("ab", buffering=0) as log:
                log.write(b"r")
        return super()._learn(*args)


def fit(data: pd.DataFrame, ledger: Ledger, epsilon: float, log: Path | None = None, steps: int = STEPS) -> CTGAN:
    warnings.simplefilter("ignore")
    model = Logged(epsilon, steps=steps, delta=epsilon * TOTAL.delta, verbose=False)
    model.log = log
    return model.fit(data, ledger=ledger)


def forked(function: Callable[..., Any], *args: Any, messages: Path | None = None) -> int:
    """Start a process that runs `function`; its exit code tells a refusal from other errors."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if messages is not None:
            handle = os.open(messages, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1), os.dup2(handle, 2)
        function(*args)
        code = 0
    except BudgetExceeded:
        code = REFUSED
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        if code == 1:
            traceback.print_exc()
        os._exit(code)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def untouchable(data: pd.DataFrame) -> pd.DataFrame:
    """Return numbers of the same shape on memory that may not be read: a process that does dies of it."""
    size = data.size * 8
    pages = mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
    values = np.frombuffer(pages, dtype=np.float64, count=data.size).reshape(data.shape)
    frame = pd.DataFrame(values, columns=data.columns, copy=False)
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(values.ctypes.data), ctypes.c_size_t(len(pages)), 0) == 0
    return frame


class Late(Ledger):
    """The planted fault: what is reserved is in memory only."""

    def _keep(self, spends: Any) -> None:
        self._spends = spends


# The lives that are ended


def live(data: pd.DataFrame, place: Place, moment: int | None = None, *, stay: bool = True) -> None:
    """Open the ledger, fit, save, and wait to be killed."""
    if moment is not None:
        die_in_write(moment)
    model = fit(data, Ledger(TOTAL, path=place.ledger), ASKED, place.log)
    model.save(place.folder / "model")
    if stay:
        signal.pause()


def command(place: Place, csv: Path, epsilon: float) -> list[str]:
    words = ["fit", csv, "-o", place.folder / "model", "--epsilon", epsilon, "--delta", epsilon * TOTAL.delta]
    words += ["--ledger", place.ledger, "--steps", STEPS, "--quiet"]
    if not place.ledger.exists():
        words += ["--ledger-epsilon", TOTAL.epsilon, "--ledger-delta", TOTAL.delta]
    return [str(word) for word in words]


def live_with_fault(data: pd.DataFrame, place: Place) -> None:
    """Fit under the planted fault and die when all is learned."""
    cli.CTGAN._certify = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    fit(data, Late(TOTAL, path=place.ledger), ASKED, place.log, steps=1)


def start_command(place: Place, csv: Path) -> int:
    """Start the command line in a fresh interpreter: its imports are part of its life."""
    words = [sys.executable, __file__, "--logged", str(place.log), *command(place, csv, ASKED)]
    with place.messages.open("wb") as messages:
        return subprocess.Popen(words, stdout=messages, stderr=messages).pid


def run_command(words: list[str], log: Path | None = None) -> None:
    torch.set_num_threads(1)
    Logged.log = log
    cli.CTGAN = Logged
    sys.argv = ["privsynth", *words]
    cli.main()


def die_in_write(moment: int) -> None:
    """Arrange for death in the first write of the ledger (moments 0 to 3) or the second (4 to 7)."""
    write, point = divmod(moment, len(MOMENTS))
    syncs, renames = iter(range(100)), iter(range(100))
    fsync, replace = os.fsync, os.replace

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def sync(handle: int) -> None:  # of the text, then of the folder
        number = next(syncs)
        if number == 2 * write and point == 0:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            die()
        fsync(handle)
        if number == 2 * write + 1 and point == 3:
            die()

    def rename(old: Any, new: Any) -> None:
        now = next(renames) == write
        if now and point == 1:
            die()
        replace(old, new)
        if now and point == 2:
            die()

    os.fsync, os.replace = sync, rename


# What is left of them


def examine(place: Place, data: pd.DataFrame, csv: Path | None, finished: bool) -> dict[str, Any]:
    """Answer the questions of this file's first lines for one ended life."""
    start = time.perf_counter()
    with LedgerFile(place.ledger).locked():
        waited = time.perf_counter() - start
    readable = True
    spends: tuple[Any, ...] = ()
    if place.ledger.exists():
        try:
            spends = Ledger.open(place.ledger).spends
        except PrivsynthError as error:
            print(error)
            readable = False
    shown = sum(spend.epsilon for spend in spends)
    phase = 4 if finished else 3 if spends and spends[0].settled else 2 if place.read() else 1 if spends else 0
    due = ASKED if place.read() else 0.0
    over = TOTAL.epsilon - shown + 0.1
    within = min(REST, TOTAL.epsilon - shown)
    if csv is None:
        refused = ended(forked(refuse_unread, data, place, over, messages=place.messages)) == REFUSED
        went_on = ended(forked(go_on, data, place, within, messages=place.messages)) == 0
    else:
        broken = place.folder / "broken.csv"
        broken.write_bytes(b"\0" * 100)  # whoever reads it says so
        code = ended(forked(run_command, command(place, broken, over), messages=place.messages))
        refused = code == 2 and "asks for epsilon" in place.messages.read_text()
        went_on = ended(forked(run_command, command(place, csv, within), messages=place.messages)) == 0
    if not went_on:
        print(place.messages.read_text())
    total = sum(spend.epsilon for spend in Ledger.open(place.ledger).spends)
    return {
        "phase": phase,
        "file reads": readable,
        "shows too little": shown < due * (1 - 1e-9),
        "overdraft refused, rows untouched": refused,
        "fit within the rest went on": went_on and abs(total - shown - within) < 1e-9,
        "total above the budget": total > TOTAL.epsilon * (1 + 1e-9),
        "lock s": waited,
    }


def refuse_unread(data: pd.DataFrame, place: Place, epsilon: float) -> None:
    faulthandler.disable()
    hidden = untouchable(data.select_dtypes("number"))
    fit(hidden, Ledger(TOTAL, path=place.ledger), epsilon)


def go_on(data: pd.DataFrame, place: Place, epsilon: float) -> None:
    fit(data, Ledger(TOTAL, path=place.ledger), epsilon, steps=2)


def summary(phase: str, trials: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"killed": phase, "kills": len(trials)}
    for key in trials[0]:
        if key not in ("phase", "lock s"):
            row[key] = sum(trial[key] for trial in trials)
    return row | {"longest wait for the lock s": max(trial["lock s"] for trial in trials)}


def kill_at(pid: int, start: float, seconds: float) -> bool:
    """Kill a process `seconds` after its start; return whether it had ended by itself."""
    time.sleep(max(0.0, start + seconds - time.perf_counter()))
    os.kill(pid, signal.SIGKILL)
    return ended(pid) != -signal.SIGKILL


def random_kills(n_kills: int, data: pd.DataFrame, csv: Path, folder: Path) -> tuple[list[dict[str, Any]], list[float]]:
    """Kill four fits of five in Python and one from the command line, at moments uniform over their lives."""
    rng, trials, lives = np.random.default_rng(0), [], []
    for number, from_python in enumerate((True, False)):
        begin = new_life(folder / f"whole{number}", data, csv, from_python, stay=False)
        assert ended(begin[1]) == 0, begin[0].messages.read_text()
        lives.append(time.perf_counter() - begin[2])
    for number in range(n_kills):
        from_python = number % 5 > 0
        place, pid, start = new_life(folder / f"kill{number}", data, csv, from_python)
        finished = kill_at(pid, start, rng.uniform(0, 1.1 * lives[0 if from_python else 1]))
        trials.append(examine(place, data, None if from_python else csv, finished))
        print(number, "Python" if from_python else "command", PHASES[trials[-1]["phase"]], flush=True)
    return trials, lives


def new_life(
    folder: Path, data: pd.DataFrame, csv: Path, from_python: bool, *, stay: bool = True
) -> tuple[Place, int, float]:
    folder.mkdir()
    place = Place(folder)
    start = time.perf_counter()
    begin = partial(live, stay=stay)
    pid = forked(begin, data, place, messages=place.messages) if from_python else start_command(place, csv)
    return place, pid, start


def chosen_kills(data: pd.DataFrame, folder: Path) -> list[dict[str, Any]]:
    rows = []
    for moment in range(2 * len(MOMENTS)):
        place = Place(folder / f"moment{moment}")
        place.folder.mkdir()
        code = ended(forked(live, data, place, moment, messages=place.messages))
        assert code == -signal.SIGKILL, place.messages.read_text()
        write, point = divmod(moment, len(MOMENTS))
        name = f"writing the {('reservation', 'settlement')[write]}: {MOMENTS[point]}"
        rows.append(summary(name, [examine(place, data, None, finished=False)]))
    place = Place(folder / "planted")
    place.folder.mkdir()
    assert ended(forked(live_with_fault, data, place, messages=place.messages)) == -signal.SIGKILL
    rows.append(summary("PLANTED FAULT, after learning", [examine(place, data, None, finished=False)]))
    assert rows[-1]["shows too little"] == 1
    return rows


# Fits at once


def try_fit(data: pd.DataFrame, ledger: Ledger) -> bool:
    with contextlib.suppress(BudgetExceeded):
        fit(data, ledger, SHARED, steps=5)
        return True
    return False


def at_once(how: str, data: pd.DataFrame, path: Path) -> dict[str, Any]:
    """Start six fits together on a budget for three."""
    shared = Ledger(TOTAL, path=None if how.endswith("memory") else path)
    if how.startswith("processes"):
        pids = [forked(fit, data, Ledger(TOTAL, path=path), SHARED, None, 5) for _ in range(AT_ONCE)]
        codes = [ended(pid) for pid in pids]
        assert set(codes) <= {0, REFUSED}, codes
        fitted = codes.count(0)
    else:
        ledgers = [Ledger(TOTAL, path=path) if "own" in how else shared for _ in range(AT_ONCE)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            fitted = sum(pool.map(lambda ledger: try_fit(data, ledger), ledgers))
    epsilon, delta = shared.spent
    return {
        "six fits at once, of which three fit in": how,
        "fitted": fitted,
        "entries": len(shared.spends),
        "settled": sum(spend.settled for spend in shared.spends),
        "epsilon spent": epsilon,
        "delta spent": delta,
        "budget": TOTAL.epsilon,
    }


def main() -> None:
    if sys.argv[1:2] == ["--logged"]:
        run_command(sys.argv[3:], Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="how many random kills")
    n_kills = parser.parse_args().kills
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_patients(3_000, random_state=0)
        data.to_csv(csv := folder / "patients.csv", index=False)
        trials, lives = random_kills(n_kills, data, csv, folder)
        rows = [
            summary(f"at random: {PHASES[p]}", t) for p in range(5) if (t := [x for x in trials if x["phase"] == p])
        ]
        rows += chosen_kills(data, folder)
        hows = ("processes, one file", "threads, one object and file", "threads, own objects, one file")
        together = [
            at_once(how, data, folder / f"together{i}.json")
            for i, how in enumerate((*hows, "threads, one object in memory"))
        ]
    notes = [
        f"Random kills: {n_kills}, uniform over a life and a tenth more: {lives[0]:.1f} s in Python (from opening the "
        f"ledger to the saved model), or for one in five {lives[1]:.1f} s from the command line (imports included).",
        f"A ledger of epsilon {TOTAL.epsilon:g}, fits of {ASKED:g} on 3,000 simulated patients. A fit logs by itself "
        "that it is about to touch rows: from then on the ledger has to show its epsilon.",
        "Rows untouched: the refused fit in Python gets a table on memory that kills who reads it; from the command "
        "line, a file whose reading would be told of.",
        "Settled: the file says so. After its end: a command that had ended by itself before the kill.",
        "The planted fault, a ledger that keeps its reservation in memory only, shows that these questions can be "
        "answered otherwise.",
    ]
    write_table("ledger_crashes", "Kill -9 at any moment", rows, notes, more={"Fits at once": together})


if __name__ == "__main__":
    main()
