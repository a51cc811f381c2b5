"""What the audits find in the right build and in broken ones: python benchmarks/audit.py [--fits N] [--repeats N].

A broken build is this process with one function of the package replaced. Its certificates claim what they always do.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from common import write_table

from privsynth.audit import audit_fits
from privsynth.evaluation.audit import Audit
from privsynth.evaluation.canaries import DPSGD, audit_dp_sgd
from privsynth.privacy.accountant import calibrate_noise_multiplier
from privsynth.privacy.noise import SecureNoise
from privsynth.training import private

DELTA, CONFIDENCE = 1e-5, 0.95
add_gaussian, discrete_gaussian, poisson_rows = (
    SecureNoise.add_gaussian,
    SecureNoise.discrete_gaussian,
    SecureNoise.poisson_rows,
)

BUILDS: dict[str, tuple[Any, str, Callable[..., Any]] | None] = {
    "right": None,
    "gradients: no noise": (SecureNoise, "add_gaussian", lambda self, values, *, scale: np.array(values)),
    "gradients: half the noise": (
        SecureNoise,
        "add_gaussian",
        lambda self, values, *, scale: add_gaussian(self, values, scale=scale / 2),
    ),
    "gradients: no clipping": (private, "clip_rows_", lambda parts, *, max_grad_norm: parts),
    "batches: twice the rate": (
        SecureNoise,
        "poisson_rows",
        lambda self, n_rows, *, rate: poisson_rows(self, n_rows, rate=min(1.0, 2 * rate)),
    ),
    "counts: no noise": (
        SecureNoise,
        "discrete_gaussian",
        lambda self, values, *, scale: discrete_gaussian(self, values, scale=0.0),
    ),
    "counts: half the noise": (
        SecureNoise,
        "discrete_gaussian",
        lambda self, values, *, scale: discrete_gaussian(self, values, scale=scale / 2),
    ),
}


@contextlib.contextmanager
def built(name: str) -> Iterator[None]:
    """Replace one function of the package."""
    fault = BUILDS[name]
    if fault is None:
        yield
        return
    owner, attribute, twin = fault
    original = getattr(owner, attribute)
    setattr(owner, attribute, twin)
    try:
        yield
    finally:
        setattr(owner, attribute, original)


def audits(n_fits: int, canaries: int) -> dict[str, Callable[[int], Audit]]:
    """Return the audits by name; each takes a seed."""

    def dp_sgd(seed: int, *, rate: float, steps: int) -> Audit:
        sigma = calibrate_noise_multiplier([], sampling_rate=rate, steps=steps, epsilon=2.0, delta=DELTA)
        rng = np.random.default_rng(seed)
        return audit_dp_sgd(DPSGD(sigma, rate, steps), delta=DELTA, canaries=canaries, confidence=CONFIDENCE, rng=rng)

    def fits(seed: int) -> Audit:
        return audit_fits(4.0, DELTA, runs=n_fits, confidence=CONFIDENCE, rng=np.random.default_rng(seed))

    return {
        "DP-SGD, all rows, 10 steps": partial(dp_sgd, rate=1.0, steps=10),
        "DP-SGD, 2% of the rows, 100 steps": partial(dp_sgd, rate=0.02, steps=100),
        f"{n_fits} fits with, {n_fits} without a row": fits,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=300, help="fits with and without the row")
    parser.add_argument("--canaries", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=8, help="audits of the right build, with other seeds")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start, rows, alarms, n_bounds = time.perf_counter(), [], 0, 0
    for build in BUILDS:
        with built(build):
            for name, run in audits(asked.fits, asked.canaries).items():
                found = run(0)
                print(f"{build}\n{found}\n", flush=True)
                rows += [
                    {
                        "build": build,
                        "audit": name,
                        "of": bound.quantity.split()[0],
                        "claim": bound.claim,
                        "lower bound": bound.lower,
                        "right code gives": bound.expected,
                        "verdict": "EXCEEDED" if bound.is_exceeded else "not refuted",
                        "seconds": found.seconds,
                    }
                    for bound in found.bounds
                ]
    for seed in range(1, asked.repeats + 1):
        for run in audits(asked.fits, asked.canaries).values():
            found = run(seed)
            alarms, n_bounds = alarms + sum(b.is_exceeded for b in found.bounds), n_bounds + len(found.bounds)
    caught = {row["build"] for row in rows if row["verdict"] == "EXCEEDED"}
    missed = [name for name in BUILDS if name != "right" and name not in caught]
    notes = [
        f"Lower bounds at {CONFIDENCE:.0%} confidence each, delta={DELTA:g}; {asked.canaries:,} canaries. A lower "
        "bound is not the epsilon of anything. Right code gives: the median of the same audit of right code.",
        "A broken build is the package with one function replaced, its certificates claiming what they always do.",
        f"Broken builds that no audit caught: {', '.join(missed) or 'none'}.",
        f"Right build, {asked.repeats} more seeds: {alarms} of {n_bounds} lower bounds exceeded their claim.",
        f"{time.perf_counter() - start:.0f} s in all, one thread.",
    ]
    write_table("audit", "Audit: lower bounds beside claims", rows, notes)


if __name__ == "__main__":
    main()
