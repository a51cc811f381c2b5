"""What the audits find in the right build and in broken ones: python benchmarks/audit.py [--fits N] [--seeds N].

A broken build is this process with one function of the package replaced. Its certificates claim what they always do.
Gradients are attacked by the audits of DP-SGD, counts by that of whole fits; neither passes through the other's noise.
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


def measure(build: str, name: str, run: Callable[[int], Audit], n_seeds: int) -> list[dict[str, Any]]:
    """Audit a build with several seeds; a row for each bound."""
    with built(build):
        found = [run(seed) for seed in range(n_seeds)]
    print(f"{build}\n{found[0]}\n", flush=True)
    rows = []
    for bounds in zip(*(audit.bounds for audit in found), strict=True):
        lower = [bound.lower for bound in bounds]
        exceeded = sum(bound.is_exceeded for bound in bounds)
        rows.append(
            {
                "build": build,
                "audit": name,
                "of": bounds[0].quantity,
                "claim": bounds[0].claim,
                "lower bound": float(np.median(lower)),
                "least": min(lower),
                "most": max(lower),
                "right code gives": float(np.median([bound.expected for bound in bounds])),
                "exceeds the claim": f"{exceeded} of {n_seeds}",
                "s an audit": float(np.median([audit.seconds for audit in found])),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=300, help="fits with and without the row")
    parser.add_argument("--canaries", type=int, default=20_000)
    parser.add_argument(
        "--seeds", type=int, default=5, help="audits of each broken build; the right one has twice as many"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start, rows = time.perf_counter(), []
    for build in BUILDS:
        for name, run in audits(asked.fits, asked.canaries).items():
            if build == "right":
                rows += measure(build, name, run, 2 * asked.seeds)
            elif build.startswith("counts") != name.startswith("DP-SGD"):
                rows += measure(build, name, run, asked.seeds)
    always = f"{asked.seeds} of {asked.seeds}"
    missed = (
        {row["build"] for row in rows}
        - {"right"}
        - {row["build"] for row in rows if row["exceeds the claim"] == always}
    )
    notes = [
        f"Lower bounds at {CONFIDENCE:.0%} confidence each, delta={DELTA:g}, {asked.canaries:,} canaries: medians over "
        'seeds, and the least and most. None of them is the epsilon of anything. "multiple of epsilon(delta)": of the '
        "curve that the accountant states. Right code gives: the median to be expected where code is as claimed.",
        "A broken build is the package with one function replaced, its certificates claiming what they always do.",
        f"Broken builds not caught by each run of one audit at least: {', '.join(sorted(missed)) or 'none'}.",
        f"{time.perf_counter() - start:.0f} s in all, one thread.",
    ]
    write_table("audit", "Audit: lower bounds beside claims", rows, notes)


if __name__ == "__main__":
    main()
