"""Plant privacy faults one at a time in a copy of the package and see which test catches each.

    python benchmarks/privacy_faults.py                   all, and the table
    python benchmarks/privacy_faults.py --only clipp      those whose names contain a text, no table
    python benchmarks/privacy_faults.py --check           whether every fault still fits the code; runs nothing

The faults are in faults/*.txt. A fault is a replacement of text that occurs exactly once; one that no longer does is
an error, so that the list cannot rot. So is one whose code does not run: a test that fails by a NameError has caught
nothing. The tests named with a fault run first, then all that are about privacy, until one fails.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import write_table

ROOT, LISTS = Path(__file__).parents[1], Path(__file__).parent / "faults"
AREAS = ("accounting", "budgets", "mechanisms", "noise", "dp_sgd", "releases", "models", "persons")
EVERYTHING = [
    "privacy", "training", "test_replay", "test_replay_any_table", "test_replay_persons", "test_leak", "transforms",
    "synthesizers", "test_bundle",
]  # fmt: skip
LIBRARIES = (
    "torch", "opacus.accountants", "opacus.optimizers", "opendp.prelude", "pandas", "pyarrow", "scipy.stats",
    "sklearn.base", "dp_accounting.pld", "safetensors.numpy", "cryptography.hazmat.primitives.ciphers",
)  # fmt: skip
_SERVER = multiprocessing.get_context("forkserver")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+(?: \S+)*?)(?: - (.*))?$", re.MULTILINE)
_DOES_NOT_RUN = ("NameError", "SyntaxError", "IndentationError", "ImportError", "UnboundLocalError", "AttributeError")


@dataclass(frozen=True)
class Fault:
    """One fault: what is replaced where, which tests run first, and whether it broke the claim of somebody else."""

    name: str
    tests: tuple[str, ...]
    elsewhere: bool
    edits: tuple[tuple[str, str, str], ...]  # (file under privsynth/, old, new)


@dataclass(frozen=True)
class Outcome:
    """What the tests said of one fault: the first that failed, and how, or None."""

    test: str | None
    message: str
    seconds: float


def read_faults(area: str) -> list[Fault]:
    """Read the faults of an area: blocks of lines, with replacements as in a diff."""
    text = (LISTS / f"{area}.txt").read_text(encoding="utf-8")
    return [_fault(block.splitlines()) for block in text.split("\n\n") if block.startswith("fault ")]


def _fault(lines: list[str]) -> Fault:
    words = {line.partition(" ")[0]: line.partition(" ")[2] for line in lines if line[0] not in "@-+"}
    edits: list[tuple[str, list[str], list[str]]] = []
    for line in lines:
        if line[0] == "@":
            edits.append((line[2:], [], []))
        elif line[0] in "-+":
            edits[-1]["@-+".index(line[0])].append(line[1:])
    joined = tuple((file, "\n".join(old), "\n".join(new)) for file, old, new in edits)
    return Fault(words["fault"], tuple(words["tests"].split()), "elsewhere" in words, joined)


def copy_to(folder: Path) -> Path:
    """Copy the package and its tests."""
    for name in ("privsynth", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def planted(fault: Fault) -> dict[str, str]:
    """Return the text of each file that a fault changes; an error unless what it replaces is there exactly once."""
    texts: dict[str, str] = {}
    for file, old, new in fault.edits:
        text = texts.get(file) or (ROOT / "privsynth" / file).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"{fault.name}: found {text.count(old)} times in {file}, not once:\n{old}")
        texts[file] = text.replace(old, new)
        compile(texts[file], file, "exec")
    return texts


def _path(root: Path, name: str) -> str:
    file, _, test = name.partition("::")
    path = f"tests/{file}" if (root / "tests" / file).is_dir() else f"tests/{file}.py"
    return f"{path}::{test}" if test else path


def run_tests(root: Path, names: list[str]) -> tuple[bool, str]:
    """Run tests in the copy, to the first failure; return whether all passed, and what was printed.

    In a process of their own, forked from one that has torch and the other libraries loaded, and not the package.
    """
    log = root / "log.txt"
    child = _SERVER.Process(target=_run_pytest, args=(str(root), [_path(root, name) for name in names], str(log)))
    child.start()
    child.join()
    printed = log.read_text(encoding="utf-8")
    if child.exitcode not in (0, 1, 2):
        raise SystemExit(f"pytest ended with {child.exitcode}:\n{printed[-2000:]}")
    return child.exitcode == 0, printed


def _run_pytest(root: str, paths: list[str], log: str) -> None:
    """Become a process that sees the copy in `root` first, and run pytest."""
    with open(log, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    os.environ.update(PYTHONPATH=root, COLUMNS="400")
    sys.path.insert(0, root)
    import pytest

    found = importlib.util.find_spec("privsynth")
    if found is None or not str(found.origin).startswith(root):
        sys.exit(f"the tests would see {found}, not the copy")
    options = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "--tb=no"]
    sys.exit(int(pytest.main([*options, *paths])))


def try_fault(fault: Fault) -> Outcome:
    """Plant one fault in a fresh copy and run the tests."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = copy_to(Path(folder))
        for file, text in planted(fault).items():
            (root / "privsynth" / file).write_text(text, encoding="utf-8")
        for names in (list(fault.tests), [name for name in EVERYTHING if name not in fault.tests]):
            passed, printed = run_tests(root, names)
            if not passed:
                return _read(fault, printed, time.perf_counter() - start)
    return Outcome(None, "", time.perf_counter() - start)


def _read(fault: Fault, printed: str, seconds: float) -> Outcome:
    found = _FAILED.search(printed)
    test, message = (found[1], found[2] or "") if found else ("", printed[-500:])
    if not test or message.startswith(_DOES_NOT_RUN) or "::" not in test:
        return Outcome(None, f"the faulty code does not run: {test} {message}", seconds)
    return Outcome(test.removeprefix("tests/"), message, seconds)


def check_clean() -> float:
    """Return how long the tests take in a clean copy; they have to pass."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        passed, printed = run_tests(copy_to(Path(folder)), EVERYTHING)
    if not passed:
        raise SystemExit(f"The tests fail without any fault:\n{printed[-2000:]}")
    return time.perf_counter() - start


def check_fit(faults: list[Fault]) -> None:
    """Make every fault in turn and run nothing."""
    if len({fault.name for fault in faults}) != len(faults):
        raise SystemExit("Two faults have one name.")
    for fault in faults:
        planted(fault)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="run the faults whose names contain this; write no table")
    parser.add_argument("--check", action="store_true", help="see whether all faults fit the code; run nothing")
    arguments = parser.parse_args()
    chosen = [(area, f) for area in AREAS for f in read_faults(area) if arguments.only in f.name]
    check_fit([fault for _, fault in chosen])
    if arguments.check:
        print(f"{len(chosen)} faults fit the code.")
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    _SERVER.set_forkserver_preload(list(LIBRARIES))
    clean = 0.0 if arguments.only else check_clean()
    rows, missed = [], []
    for area, fault in chosen:
        outcome = try_fault(fault)
        how = f"{outcome.test or 'MISSED'}  {outcome.message[:110]}"
        print(f"{outcome.seconds:6.1f} s  {fault.name}: {how}", flush=True)
        if outcome.test is None:
            missed.append(fault.name)
        rows.append(
            {
                "fault": fault.name,
                "of": area,
                "file": ", ".join(dict.fromkeys(file for file, _, _ in fault.edits)),
                "elsewhere": "yes" if fault.elsewhere else "",
                "caught by": f"`{outcome.test}`" if outcome.test else "**nothing**",
                "seconds": round(outcome.seconds, 1),
            }
        )
    if not arguments.only:
        _write(rows, missed, clean)
    if missed:
        raise SystemExit(f"{len(missed)} of {len(rows)} faults were not caught: {missed}")


def _write(rows: list[dict[str, object]], missed: list[str], clean: float) -> None:
    known = sum(row["elsewhere"] == "yes" for row in rows)
    total = sum(float(str(row["seconds"])) for row in rows)
    notes = [
        f"{len(rows) - len(missed)} of {len(rows)} faults are caught. {known} are marked: forms, or close kin, of "
        "faults that broke the claim of another package or paper.",
        f"The same tests pass in a clean copy, in {clean:.0f} s. All faults together took {total:.0f} s on one core.",
        "The test is the first that failed; others may fail too.",
    ]
    write_table("privacy_faults", "Planted privacy faults", rows, notes)


if __name__ == "__main__":
    main()
