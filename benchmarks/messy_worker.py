"""Runs one synthesizer on cases of messy_frames.py, in whatever environment it is installed in.

    /path/to/its/python benchmarks/messy_worker.py "SDV CTGAN" --out results.jsonl [--cases NAME ...]

Each case runs in a process of its own under a time limit, and ends as one line of JSON. An adapter gets the frame
and the case, and returns synthetic rows; settings are the package's own but for epochs. messy_cases.py starts this.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from messy_checks import check
from messy_frames import CASES, Case

GIGABYTES = 10
EPSILON, DELTA = 1.0, 1e-5
Adapter = Callable[[pd.DataFrame, Case], pd.DataFrame]


@dataclass(frozen=True)
class Synthesizer:
    """How to run one synthesizer: its package, its adapter, and what was set."""

    package: str
    module: str
    run: Adapter
    settings: str
    fork: bool = True  # import once and fork; not where the import starts threads


def rows_asked(frame: pd.DataFrame, case: Case) -> int:
    return case.ask or len(frame)


def sdv(kind: str, **parameters: Any) -> Adapter:
    def run(frame: pd.DataFrame, case: Case) -> pd.DataFrame:
        from sdv import cag, single_table
        from sdv.metadata import Metadata
        from sdv.sampling import Condition

        rules = {
            "start <= end": lambda: cag.Inequality("start", "end"),
            "city gives country": lambda: cag.FixedCombinations(["city", "country"]),
        }
        tables = {"table": frame}
        model = getattr(single_table, kind)(Metadata.detect_from_dataframes(tables), **parameters)
        if case.name in rules:
            model.add_constraints([rules[case.name]()])
        model.fit(tables)
        if case.conditions:  # conditions are single values: the range cannot be asked for
            fixed = Condition({"fraud": case.conditions["fraud"]}, num_rows=rows_asked(frame, case))
            return model.sample_from_conditions([fixed])["table"]
        return model.sample(rows_asked(frame, case))["table"]

    return run


def ctgan(frame: pd.DataFrame, case: Case) -> pd.DataFrame:
    from ctgan import CTGAN

    discrete = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name].dtype)]
    discrete += [name for name in frame if pd.api.types.is_bool_dtype(frame[name].dtype) and name not in discrete]
    model = CTGAN(epochs=5)
    model.fit(frame, [*discrete, "fraud"] if case.conditions else discrete)
    wanted = ("fraud", case.conditions["fraud"]) if case.conditions else (None, None)
    return model.sample(rows_asked(frame, case), *wanted)


def smartnoise(kind: str, **parameters: Any) -> Adapter:
    def run(frame: pd.DataFrame, case: Case) -> pd.DataFrame:
        from snsynth import Synthesizer as Peer

        model = Peer.create(kind, epsilon=EPSILON, **parameters)
        model.fit(frame, preprocessor_eps=0.2, nullable=bool(frame.isna().any().any()))
        if case.conditions:
            fraud, amount = case.conditions["fraud"], case.conditions["amount"]
            return model.sample_conditional(rows_asked(frame, case), f"fraud = {fraud} AND amount > {amount:g}")
        return model.sample(rows_asked(frame, case))

    return run


def dpmm(frame: pd.DataFrame, case: Case) -> pd.DataFrame:
    from dpmm.pipelines import MSTPipeline

    model = MSTPipeline(epsilon=EPSILON, delta=DELTA, n_jobs=1)
    model.fit(frame)
    if case.conditions:  # conditions are rows of single values: the range cannot be asked for
        wanted = pd.DataFrame({"fraud": [case.conditions["fraud"]] * rows_asked(frame, case)})
        return model.generate(condition_records=wanted)
    return model.generate(n_records=rows_asked(frame, case))


def mostlyai(frame: pd.DataFrame, case: Case) -> pd.DataFrame:
    from mostlyai.sdk import MostlyAI

    client = MostlyAI(local=True, quiet=True)
    settings = {"max_epochs": 5, "enable_model_report": False}
    tables = [{"name": "table", "data": frame, "tabular_model_configuration": settings}]
    model = client.train(config={"tables": tables}, start=True, wait=True, progress_bar=False)
    if case.conditions:  # conditions are rows of single values: the range cannot be asked for
        wanted = pd.DataFrame({"fraud": [case.conditions["fraud"]] * rows_asked(frame, case)})
        return client.probe(model, seed=wanted)
    return client.probe(model, size=rows_asked(frame, case))


def privsynth(frame: pd.DataFrame, case: Case) -> pd.DataFrame:
    from privsynth import CTGAN

    target = "fraud" if case.conditions else None
    model = CTGAN(EPSILON, delta=DELTA, target=target, schema=declared(case), steps=200, verbose=False).fit(frame)
    wanted = dict(case.conditions)
    if wanted:
        wanted["amount"] = pd.Interval(wanted["amount"], float("inf"), closed="neither")
    return model.sample(rows_asked(frame, case), conditions=wanted or None)


def declared(case: Case) -> Any:
    """Return the schema of a case: what no synthesizer can find out, or nothing."""
    from privsynth import Schema
    from privsynth.schema import Categorical

    if case.conditions:
        return Schema({"fraud": Categorical((0, 1))})
    if case.name == "ten rows a person":
        return Schema(privacy_unit="customer")
    if case.name in RULES:
        from privsynth import rules

        name, *arguments = RULES[case.name]
        return Schema(rules=(getattr(rules, name)(*arguments),))
    return None


RULES: dict[str, tuple[Any, ...]] = {
    "start <= end": ("Inequality", "start", "end"),
    "city gives country": ("FixedCombinations", ("city", "country")),
    "total = price * quantity": ("Formula", "total", "price * quantity"),
}


SYNTHESIZERS = {
    "privsynth": Synthesizer("privsynth", "privsynth", privsynth, "epsilon 1, 200 steps"),
    "SDV copula": Synthesizer("sdv", "sdv.single_table", sdv("GaussianCopulaSynthesizer"), "no privacy"),
    "SDV CTGAN": Synthesizer(
        "sdv", "sdv.single_table", sdv("CTGANSynthesizer", epochs=5), "no privacy, 5 epochs (default 300)"
    ),
    "ctgan": Synthesizer("ctgan", "ctgan", ctgan, "no privacy, 5 epochs (default 300)"),
    "SmartNoise MST": Synthesizer(
        "smartnoise-synth", "snsynth", smartnoise("mst"), "epsilon 1, of it 0.2 for preprocessing", fork=False
    ),
    "SmartNoise AIM": Synthesizer(
        "smartnoise-synth", "snsynth", smartnoise("aim"), "epsilon 1, of it 0.2 for preprocessing", fork=False
    ),
    "SmartNoise DPCTGAN": Synthesizer(
        "smartnoise-synth",
        "snsynth",
        smartnoise("dpctgan", epochs=5),
        "epsilon 1, of it 0.2 for preprocessing, at most 5 epochs (default 300)",
        fork=False,
    ),
    "dpmm MST": Synthesizer("dpmm", "dpmm.pipelines", dpmm, "epsilon 1"),
    "MOSTLY AI": Synthesizer(
        "mostlyai", "mostlyai.sdk", mostlyai, "no privacy, 5 epochs (default 100), no report", fork=False
    ),
}


def run_case(name: str, case: Case, send: Any) -> None:
    """Run in a process of its own; what happened goes through `send`."""
    os.setsid()  # so that the case's own helpers end with it
    resource.setrlimit(resource.RLIMIT_DATA, (GIGABYTES << 30, GIGABYTES << 30))
    warnings.simplefilter("ignore")
    frame, kinds = case.build()
    importlib.import_module(SYNTHESIZERS[name].module)
    start = time.perf_counter()
    try:
        with open(os.devnull, "w") as silent, contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            synthetic = SYNTHESIZERS[name].run(frame.copy(), case)
    except BaseException as error:  # noqa: BLE001 - whatever a package raises is a row of the table
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        send.send({"outcome": f"error: {type(error).__name__}: {lines[0] if lines else ''}"[:220]})
        return
    seconds = round(time.perf_counter() - start, 1)
    findings = check(case, frame, kinds, synthetic.reset_index(drop=True))
    send.send({"outcome": "runs", "seconds": seconds, "findings": findings})


def limited(name: str, case: Case, limit: float) -> dict[str, Any]:
    """Run a case in a process of its own, for at most `limit` seconds."""
    context: Any = multiprocessing.get_context("fork" if SYNTHESIZERS[name].fork else "spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=run_case, args=(name, case, send))
    process.start()
    send.close()
    try:
        result = receive.recv() if receive.poll(limit) else {"outcome": f"timeout: more than {limit:g} s"}
    except EOFError:
        process.join()
        result = {"outcome": f"error: the process ended with code {process.exitcode}"}
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SYNTHESIZERS)
    parser.add_argument("--out", required=True)
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--limit", type=float, default=120)
    options = parser.parse_args()
    chosen = SYNTHESIZERS[options.name]
    if chosen.fork:
        importlib.import_module(chosen.module)
    packages = {package: _version(package) for package in (chosen.package, "pandas", "numpy", "torch")}
    with open(options.out, "a", encoding="utf-8") as out:
        out.write(json.dumps({"versions": packages, "python": sys.version.split()[0]}) + "\n")
        for case in CASES:
            if case.name in options.cases:
                result = limited(options.name, case, options.limit)
                out.write(json.dumps({"case": case.name, **result}) + "\n")
                out.flush()
                print(f"{options.name} | {case.name} | {result}", flush=True)


def _version(package: str) -> str | None:
    if package == "privsynth":
        return importlib.import_module(package).__version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
