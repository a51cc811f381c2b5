"""The synthesizers of peers.py that run in privsynth's own interpreter: privsynth, the floor, and AIM on our cells.

    python benchmarks/peers_own.py JOB.json

The protocol is that of peers_worker.py.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from peers_worker import Adapter, Fitted, Job, run

from privsynth import CTGAN, __version__
from privsynth.privacy.accountant import total_mu
from privsynth.synthesizers import releasing
from privsynth.synthesizers.sampling import Sampler
from privsynth.transforms.reshape import Reshape

SELECTION_IN_GDP = 0.9 + 0.1 * math.pi / 2
"""AIM gives a tenth of rho to its exponential mechanisms. One of bounded range eta costs eta^2/8 of rho, so that
mu^2 = 2 rho would be eta^2/4; as Gaussian DP, which our fit adds up, it costs up to pi/2 times as much."""
_FEW_LEVELS = 20  # numbers with more are drawn from their range


def privsynth(frame: pd.DataFrame, job: Job) -> Fitted:
    target = job["target"]
    model = CTGAN(
        job["epsilon"], delta=job["delta"], condition_columns=[target], target=target,
        random_state=job["seed"], verbose=False,
    ).fit(frame)  # fmt: skip
    settings = f"nothing declared, target and condition {target}; epsilon {model.certificate_.epsilon:.5g}"
    return lambda n: model.sample(n, random_state=job["seed"] + 1), settings


def independent(frame: pd.DataFrame, job: Job) -> Fitted:
    rng = np.random.default_rng(job["seed"])

    def sample(n: int) -> pd.DataFrame:
        drawn = {name: frame[name].to_numpy()[rng.integers(len(frame), size=n)] for name in frame}
        return pd.DataFrame(drawn).astype(frame.dtypes.to_dict())

    return sample, "every column drawn from the real one on its own; no privacy"


def real(frame: pd.DataFrame, job: Job) -> Fitted:
    return lambda n: frame.copy(), "the training rows themselves; distances are those of the holdout"


def rarest_even(frame: pd.DataFrame, job: Job) -> Fitted:
    target = frame[job["target"]]
    rare = target == target.value_counts().idxmin()
    rng = np.random.default_rng(job["seed"])

    def sample(n: int) -> pd.DataFrame:
        drawn = {name: _evenly(values, int(rare.sum()), rng) for name, values in frame.items()}
        unseen = pd.DataFrame(drawn).astype(frame.dtypes.to_dict())
        unseen[job["target"]] = target[rare].to_numpy()
        return pd.concat([frame[~rare], unseen], ignore_index=True)

    return (
        sample,
        "rows of the rarest class drawn evenly from ranges and levels, unseen; the others are real; no privacy",
    )


def _evenly(values: pd.Series, n: int, rng: np.random.Generator) -> np.ndarray:
    levels = values.dropna().unique()
    if len(levels) <= _FEW_LEVELS or values.dtype.kind not in "if":
        return rng.choice(levels, size=n)
    drawn = rng.uniform(levels.min(), levels.max(), size=n)
    return np.rint(drawn) if values.dtype.kind == "i" else drawn


class Codes:
    """In place of a mixture: rows of cells that another model drew."""

    def __init__(self, cells: np.ndarray) -> None:
        self.cells = cells

    def condition(self, allowed: Any) -> tuple[Codes, float]:
        return self, 1.0

    def draw(self, n_rows: int, rng: np.random.Generator) -> np.ndarray:
        return self.cells[:n_rows]


@contextmanager
def seen(found: dict[str, Any]) -> Iterator[None]:
    """Keep the codes that a fit's tables are counted from, and how much of mu is left for them then."""
    original = releasing.measure

    def measure(codes: Any, layout: Any, **more: Any) -> Any:
        found.update(codes=codes, layout=layout, mu=total_mu(more["mechanisms"].allotted))
        return original(codes, layout, **more)

    with mock.patch.object(releasing, "measure", measure):
        yield


def aim_on_our_cells(frame: pd.DataFrame, job: Job) -> Fitted:
    """Fit our encoder under its share of the budget, let AIM model the codes with the rest, decode its rows."""
    found: dict[str, Any] = {}
    target = job["target"]
    with seen(found):
        model = CTGAN(
            job["epsilon"], delta=job["delta"], condition_columns=[target], target=target, critic="measured",
            steps=1, random_state=job["seed"], verbose=False,
        ).fit(frame)  # fmt: skip
    rho = found["mu"] ** 2 / 2 / SELECTION_IN_GDP
    sizes = {f"c{i}": span.size for i, span in enumerate(found["layout"].spans)}
    varied = {name: size for name, size in sizes.items() if size > 1}
    codes = pd.DataFrame(found["codes"], columns=list(sizes))[list(varied)]
    drawn, theirs = elsewhere(codes, {**job, "rho": rho, "domain": varied, "name": "AIM on our cells"})
    cells = np.zeros((len(drawn), len(sizes)), dtype=np.int64)
    for i, name in enumerate(sizes):
        if name in varied:
            cells[:, i] = drawn[name].to_numpy(dtype=np.int64)
    sampler = Sampler(Codes(cells), model.encoder_, Reshape(model.schema_), model.columns_)
    total = total_mu(charge.event for charge in model.certificate_.charges)
    settings = (
        f"{theirs['settings']}: {found['mu'] ** 2 / total**2:.0%} of mu^2, the rest went to the cells; "
        f"AIM's own {theirs['fit s']:.0f} s, {theirs['cpu s']:.0f} s of them computing, {theirs['peak MB']:.0f} MB"
    )
    return lambda n: sampler.rows(n, {}, np.random.default_rng(job["seed"] + 1))[list(frame)], settings


def elsewhere(codes: pd.DataFrame, job: Job) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Run AIM on codes in the interpreter that has it."""
    stem = Path(job["out"]).with_suffix("")
    train, out, path = (Path(f"{stem}.codes{end}") for end in (".train.parquet", ".parquet", ".job"))
    codes.to_parquet(train)
    path.write_text(json.dumps({**job, "train": str(train), "out": str(out)}), encoding="utf-8")
    worker = Path(__file__).with_name("peers_worker.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run([job["python"], str(worker), str(path)], check=False, env=environment)
    if ended.returncode == -signal.SIGXCPU:
        signal.raise_signal(signal.SIGXCPU)  # its time is ours: peers.py tells by this
    ended.check_returncode()
    found = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    if "error" in found:
        raise RuntimeError(found["error"])
    return pd.read_parquet(out), found


ADAPTERS: dict[str, tuple[tuple[str, ...], Adapter]] = {
    "privsynth": (("privsynth",), privsynth),
    "AIM on our cells": (("privsynth",), aim_on_our_cells),
    "independent": ((), independent),
    "rarest class even": ((), rarest_even),
    "real": ((), real),
}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    packages, adapter = ADAPTERS[job["name"]]
    found = run(job, adapter, packages)
    found["versions"] = dict.fromkeys(packages, __version__)
    Path(job["out"]).with_suffix(".json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
