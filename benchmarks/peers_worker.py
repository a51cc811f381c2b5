"""Fits one synthesizer once and samples from it, in whatever environment it is installed in.

    /path/to/its/python benchmarks/peers_worker.py JOB.json

peers.py writes the job: which synthesizer, where the real rows lie, epsilon, delta, seed. The worker writes the
synthetic rows to the job's "out" (Parquet), and seconds, memory, versions and settings to the same path with .json.
Nothing of privsynth is imported here. An adapter fits the rows and returns a function that samples, and a few words
on what was set; everything else is the package's own default.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import random
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FEW = 20  # whole numbers of at most so many values are classes, for packages that must be told
OUR_CELLS_MB = 20  # AIM's bound on its model; with its default, 80, few runs on cells as many as ours end in time
Job = dict[str, Any]
Fitted = tuple[Callable[[int], pd.DataFrame], str]
Adapter = Callable[[pd.DataFrame, Job], Fitted]


def plain(frame: pd.DataFrame, *, dates: bool = False) -> pd.DataFrame:
    """Return the rows in data types that every package takes: dates as seconds, unless `dates`, categories as text."""
    frame = frame.copy()
    for name in frame:
        if pd.api.types.is_datetime64_any_dtype(frame[name]) and not dates:
            frame[name] = frame[name].astype("datetime64[ns]").astype("int64") / 1e9
        elif isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(object)
    return frame


def like(synthetic: pd.DataFrame, real: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return synthetic rows in the data types of the real ones, and how many values could not be read."""
    columns, lost = {}, {}
    for name in real:
        column, wanted = synthetic[name].reset_index(drop=True), real[name]
        gone = column.isna()
        if pd.api.types.is_datetime64_any_dtype(wanted):
            dated = pd.api.types.is_datetime64_any_dtype(column)
            seconds = column if dated else pd.to_numeric(column, errors="coerce")
            column = column if dated else pd.to_datetime(seconds, unit="s", errors="coerce")
        elif pd.api.types.is_bool_dtype(wanted):
            column = column.astype(object).map({True: True, False: False, "True": True, "False": False})
            column = column if column.isna().any() else column.astype(bool)
        elif pd.api.types.is_numeric_dtype(wanted):
            column = pd.to_numeric(column, errors="coerce").astype(float)
            whole = pd.api.types.is_integer_dtype(wanted) and not column.isna().any()
            column = column.round().astype("int64") if whole else column
        else:
            column = column.astype(object).where(~gone, None).map(lambda v: v if v is None else str(v))
        if count := int((column.isna() & ~gone).sum()):
            lost[str(name)] = count
        columns[name] = column
    return pd.DataFrame(columns), "" if not lost else f"values that could not be read: {lost}"


def smartnoise(kind: str, **parameters: Any) -> Adapter:
    def fit(frame: pd.DataFrame, job: Job) -> Fitted:
        from snsynth import Synthesizer

        share = 0.2 * job["epsilon"]
        model = Synthesizer.create(kind, epsilon=job["epsilon"], delta=job["delta"], **parameters)
        model.fit(plain(frame), preprocessor_eps=share, nullable=bool(frame.isna().any().any()))
        settings = f"preprocessor_eps {share:g}, taken off epsilon by the package; delta {job['delta']:g}"
        return model.sample, ", ".join([settings, *(f"{k} {v}" for k, v in parameters.items())])

    return fit


def dpmm(kind: str, **parameters: Any) -> Adapter:
    def fit(frame: pd.DataFrame, job: Job) -> Fitted:
        from dpmm import pipelines

        binning = job["epsilon"] / 11  # the ratio of the defaults, 1 and .1, which the package adds up
        model = getattr(pipelines, kind)(
            epsilon=job["epsilon"] - binning, proc_epsilon=binning, delta=job["delta"], n_jobs=1, **parameters
        )
        model.fit(plain(frame, dates=True), random_state=job["seed"])
        settings = f"epsilon {job['epsilon'] - binning:.4g} + proc_epsilon {binning:.4g}, delta {job['delta']:g}"
        return lambda n: model.generate(n_records=n), ", ".join(
            [settings, *(f"{k} {v}" for k, v in parameters.items())]
        )

    return fit


def aim_on_codes(frame: pd.DataFrame, job: Job) -> Fitted:
    """dpmm's AIM on whole numbers with public domains, at a given rho of zCDP; no binning."""
    from dpmm.models.aim import AIMGM

    sizes = {name: int(size) for name, size in job["domain"].items()}
    model = AIMGM(epsilon=1.0, delta=1e-5, n_jobs=1, max_model_size=OUR_CELLS_MB)
    model.generator.rho = job["rho"]
    model.set_random_state(np.random.RandomState(job["seed"]))
    model.set_domain(sizes)
    model.fit(frame)
    settings = f"dpmm's AIM, rho {job['rho']:.4g} of zCDP, max_model_size {OUR_CELLS_MB}"
    return lambda n: model.generate(n_records=n), settings


def ctgan(frame: pd.DataFrame, job: Job) -> Fitted:
    from ctgan import CTGAN

    frame = plain(frame)
    discrete = [name for name in frame if not _is_numeric(frame[name]) or frame[name].nunique() <= FEW]
    model = CTGAN(enable_gpu=False, verbose=True)  # the log says how far it is
    model.fit(frame, discrete)
    return model.sample, f"300 epochs (its default); {len(discrete)} of {frame.shape[1]} columns named as discrete"


def sdv(kind: str) -> Adapter:
    def fit(frame: pd.DataFrame, job: Job) -> Fitted:
        from sdv import single_table
        from sdv.metadata import Metadata

        categories = frame.select_dtypes("category").columns  # which its networks refuse, and ask to be objects
        tables = {"table": frame.astype(dict.fromkeys(categories, object))}
        parameters = {} if kind == "GaussianCopulaSynthesizer" else {"enable_gpu": False}
        model = getattr(single_table, kind)(Metadata.detect_from_dataframes(tables), **parameters)
        model.fit(tables)
        return lambda n: model.sample(n)["table"], "defaults, detected metadata"

    return fit


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


ADAPTERS: dict[str, tuple[tuple[str, ...], Adapter]] = {
    "SmartNoise MST": (("smartnoise-synth", "mbi"), smartnoise("mst")),
    "SmartNoise AIM": (("smartnoise-synth", "mbi"), smartnoise("aim")),
    "SmartNoise DPCTGAN": (("smartnoise-synth", "opacus", "torch"), smartnoise("dpctgan")),
    "SmartNoise PATECTGAN": (("smartnoise-synth", "torch"), smartnoise("patectgan")),
    "dpmm AIM": (("dpmm",), dpmm("AIMPipeline", max_model_size=80)),
    "dpmm MST": (("dpmm",), dpmm("MSTPipeline")),
    "dpmm PrivBayes": (("dpmm",), dpmm("PrivBayesPipeline")),
    "AIM on our cells": (("dpmm",), aim_on_codes),
    "ctgan": (("ctgan", "torch"), ctgan),
    "SDV CTGAN": (("sdv", "ctgan", "torch"), sdv("CTGANSynthesizer")),
    "SDV TVAE": (("sdv", "ctgan", "torch"), sdv("TVAESynthesizer")),
    "SDV GaussianCopula": (("sdv", "copulas"), sdv("GaussianCopulaSynthesizer")),
}


def seed_everything(seed: int) -> None:
    """Seed what packages draw from without being told; noise from system entropy stays as it is."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the packages use the legacy generator
    if importlib.util.find_spec("torch"):
        import torch

        torch.manual_seed(seed)
        torch.set_num_threads(1)


def peak_megabytes() -> float:
    """Return the most memory this process held; ru_maxrss would count in what its parent held before."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        return float(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def computing() -> float:
    """Return the processor seconds of this process and of the ones it waited for."""
    return sum(os.times()[:4])


def run(job: Job, adapter: Adapter, packages: tuple[str, ...]) -> dict[str, Any]:
    """Fit and sample once; whatever the package raises becomes the result."""
    warnings.simplefilter("ignore")
    limit = int(job["gigabytes"]) << 30
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (int(job["limit"]), int(job["limit"]) + 10))  # ends by SIGXCPU
    frame = pd.read_parquet(job["train"])
    seed_everything(job["seed"])
    found: dict[str, Any] = {"versions": {p: importlib.metadata.version(p) for p in packages if p != "privsynth"}}
    start, ready = time.perf_counter(), computing()
    try:
        sample, found["settings"] = adapter(frame, job)
        found["fit s"], found["cpu s"] = time.perf_counter() - start, computing() - ready
        start = time.perf_counter()
        synthetic = sample(len(frame))
        found["sample s"] = time.perf_counter() - start
        found["peak MB"] = peak_megabytes()
        synthetic, note = like(synthetic, frame)
        found["notes"] = note
        synthetic.to_parquet(job["out"])
        for factor in job.get("factors", ()):  # more rows of the same fit
            more, _ = like(sample(factor * len(frame)), frame)
            more.to_parquet(Path(job["out"]).with_suffix(f".{factor}.parquet"))
    except BaseException as error:  # whatever a package raises is a row of the table
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        found["error"] = f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
        found["seconds"] = time.perf_counter() - start
        found["peak MB"] = peak_megabytes()
        if job.get("verbose"):
            raise
    return found


def main() -> None:
    path = Path(sys.argv[1])
    job = json.loads(path.read_text(encoding="utf-8"))
    packages, adapter = ADAPTERS[job["name"]]
    found = run(job, adapter, packages)
    Path(job["out"]).with_suffix(".json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
