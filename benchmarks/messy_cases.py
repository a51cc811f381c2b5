"""What synthesizers do with messy tables: python benchmarks/messy_cases.py [--only NAME ...] [--cases NAME ...].

Runs every synthesizer of messy_worker.py on every frame of messy_frames.py, judged by messy_checks.py alone. Results
are merged into results/messy_cases.json; results/messy_cases.md and the table of docs/messy-tables.md are written
from it (`--write` does only that).

privsynth runs in this interpreter, from the tree in --tree. The peers want environments of their own, one a package,
named after it, in the folder --peers (or PRIVSYNTH_PEERS): FOLDER/sdv/bin/python and so on.

    python -m venv FOLDER/sdv && FOLDER/sdv/bin/pip install sdv==2.0.0 pyarrow
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from messy_frames import CASES
from messy_worker import SYNTHESIZERS

HERE = Path(__file__).parent
STORE = HERE / "results" / "messy_cases.json"
TABLE = STORE.with_suffix(".md")
PAGE = HERE.parent / "docs" / "messy-tables.md"
BEGIN, END = "<!-- begin: written by benchmarks/messy_cases.py -->", "<!-- end -->"
NOT_RUN = {
    "synthcity": '0.2.12 wants torch<2.3, which was not to be had here (pip: "synthcity 0.2.12 depends on torch<2.3 '
    'and >=2.1"); 0.2.4, which pip took instead, does not import beside torch 2.13 '
    '("RuntimeError: operator torchvision::nms does not exist")',
}
LONG = 160  # of an error, characters shown
WORDS = {
    "rows": "rows or columns",
    "dtype": "data type",
    "missing": "missing share",
    "domain": "new or odd values",
    "copied": "copies",
    "shape": "shares",
    "rule": "rule broken",
}


def interpreter(name: str, peers: Path) -> Path:
    return Path(sys.executable) if name == "privsynth" else peers / SYNTHESIZERS[name].package / "bin" / "python"


def run(name: str, cases: list[str], options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a synthesizer in its environment; return what it is, and a result by case."""
    with tempfile.TemporaryDirectory() as folder:  # also its home, for packages that write there
        out = Path(folder) / "results.jsonl"
        paths = [str(HERE), *([str(Path(options.tree).resolve())] if name == "privsynth" else [])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HOME": folder, "OMP_NUM_THREADS": "1"}
        command = [str(interpreter(name, options.peers)), str(HERE / "messy_worker.py"), name, "--out", str(out)]
        command += ["--limit", str(options.limit), "--cases", *cases]
        subprocess.run(command, check=True, env=environment)
        first, *lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    about = {**first, "settings": SYNTHESIZERS[name].settings, "date": f"{datetime.date.today()}"}
    return about, {line.pop("case"): line for line in lines}


def verdict(result: dict[str, Any] | None) -> str:
    """Return a result in a few words: right, error, timeout, or what kinds of findings there are."""
    if result is None:
        return "not run"
    if result["outcome"] != "runs":
        return str(result["outcome"]).partition(":")[0]
    kinds = Counter(finding.partition(":")[0] for finding in result["findings"])
    return ", ".join(WORDS[kind] for kind in WORDS if kind in kinds) or "right"


def grouped(results: dict[str, Any], names: list[str]) -> str:
    """Return the verdicts of several synthesizers, those of one verdict together, the right ones first."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(verdict(results.get(name)), []).append(name)
    order = sorted(
        groups,
        key=lambda words: (
            ("right", "", "error", "timeout", "not run").index(words)
            if words in ("right", "error", "timeout", "not run")
            else 1
        ),
    )
    return "; ".join(f"**{words}**: {', '.join(groups[words])}" for words in order)


def summary(store: dict[str, Any]) -> list[str]:
    """Return the table of the documentation: a row a case."""
    names = [name for name in store["synthesizers"] if name != "privsynth"]
    lines = ["| case | peers | privsynth |", "|---|---|---|"]
    for case in CASES:
        results = store["runs"].get(case.name, {})
        lines.append(f"| {case.name} | {grouped(results, names)} | {cell(results.get('privsynth'), most=4)} |")
    counts = {
        name: Counter(verdict(store["runs"].get(case.name, {}).get(name)) for case in CASES)
        for name in store["synthesizers"]
    }
    lines += ["", "| synthesizer | right | runs, with findings | error | timeout | settings | version | date |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for name, about in store["synthesizers"].items():
        count = counts[name]
        rest = len(CASES) - sum(count[word] for word in ("right", "error", "timeout", "not run"))
        versions = about["versions"]
        shown = f"{SYNTHESIZERS[name].package} {versions[SYNTHESIZERS[name].package]}, pandas {versions['pandas']}"
        lines.append(
            f"| {name} | {count['right']} | {rest} | {count['error']} | {count['timeout']} "
            f"| {about['settings']} | {shown} | {about['date']} |"
        )
    return [*lines, "", *(f"Not run: {name}: {why}." for name, why in NOT_RUN.items())]


def cell(result: dict[str, Any] | None, *, most: int = 1000) -> str:
    """Return one result: the error, or its findings up to `most`."""
    if result is None:
        return "not run"
    if result["outcome"] != "runs":
        text = str(result["outcome"])
        return clean(text if len(text) <= LONG else text[:LONG] + " ...")
    findings = result["findings"]
    more = [f"and {len(findings) - most} more"] if len(findings) > most else []
    return "; ".join([*map(clean, findings[:most]), *more]) or "right"


def clean(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<").replace("_", "\\_")


def details(store: dict[str, Any]) -> list[str]:
    """Return the result file: for each case what was found for each synthesizer."""
    lines = [
        "# Messy tables: every finding",
        "",
        "Written by `python benchmarks/messy_cases.py` from messy_cases.json.",
    ]
    for case in CASES:
        lines += ["", f"## {case.name}", "", "| synthesizer | result | seconds |", "|---|---|---|"]
        for name in store["synthesizers"]:
            result = store["runs"].get(case.name, {}).get(name)
            seconds = (result or {}).get("seconds", "")
            lines.append(f"| {name} | {cell(result)} | {seconds} |")
    return [*lines, ""]


def write(store: dict[str, Any]) -> None:
    """Write both files that are made from the results."""
    TABLE.write_text("\n".join(details(store)), encoding="utf-8")
    if PAGE.exists():
        head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        tail = rest.partition(END)[2]
        PAGE.write_text("\n".join([f"{head}{BEGIN}", "", *summary(store), "", f"{END}{tail}"]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=SYNTHESIZERS, default=list(SYNTHESIZERS))
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--tree", default=str(HERE.parent), help="the privsynth to measure")
    parser.add_argument("--peers", type=Path, default=os.environ.get("PRIVSYNTH_PEERS", "peers"))
    parser.add_argument("--limit", type=float, default=120, help="seconds a case may take")
    parser.add_argument("--write", action="store_true", help="run nothing, write the tables")
    options = parser.parse_args()
    store = json.loads(STORE.read_text("utf-8")) if STORE.exists() else {"synthesizers": {}, "runs": {}}
    if options.write:
        write(store)
        return
    for name in options.only:
        if not interpreter(name, options.peers).exists():
            print(f"{name}: no environment in {options.peers}; what was measured before stays")
            continue
        about, results = run(name, options.cases, options)
        store["synthesizers"][name] = about
        store["synthesizers"] = {n: store["synthesizers"][n] for n in SYNTHESIZERS if n in store["synthesizers"]}
        for case, result in results.items():
            store["runs"].setdefault(case, {})[name] = result
        store["runs"] = {case.name: store["runs"][case.name] for case in CASES if case.name in store["runs"]}
        STORE.write_text(json.dumps(store, indent=1) + "\n", encoding="utf-8")
        write(store)


if __name__ == "__main__":
    main()
