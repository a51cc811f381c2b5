"""Why the latents are a fixed pool, and how large: python benchmarks/ablation_generator.py [--seeds 3].

Adult with declared domains at epsilon 1, all else at its default; the fresh variants draw new latents in every
step, as a GAN does.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from common import isolated, measure_fit, median_rows, write_table
from torch import Tensor

from privsynth.synthesizers import ctgan
from privsynth.training.conditions import Pool
from privsynth.training.loop import Trainer

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("fixed pool of 1024 (default)", {}),
    ("fixed pool of 512", {"components": 512}),
    ("fixed pool of 2048", {"components": 2048}),
    ("fresh latents, 1024 a step", {"fresh": True}),
    ("fresh latents, 4096 a step", {"fresh": True, "components": 4096}),
    ("600 steps", {"steps": 600}),
    ("2000 steps", {"steps": 2000}),
    ("width 128", {"generator_dim": (128, 128)}),
    ("width 512", {"generator_dim": (512, 512)}),
]


class FreshTrainer(Trainer):
    """Draws new latents before every step, and a last time for the fitted model."""

    def compare(self) -> tuple[Tensor, float]:
        """Return the losses of a pool that was never seen before."""
        latents = torch.randn(self.pool.latents.shape, generator=self._torch)
        self.pool = Pool(latents, self.pool.classes, self.pool.shares)
        return super().compare()


def measure_variant(*, components: int = 1024, fresh: bool = False, **parameters: Any) -> dict[str, Any]:
    """Fit one variant; called in a process of its own, so the patches end with it."""
    ctgan._N_COMPONENTS = components
    if fresh:
        ctgan.Trainer = FreshTrainer  # type: ignore[misc]
    return measure_fit("adult", declare=True, epsilon=1.0, threads=2, **parameters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for label, parameters in VARIANTS:
        runs = [
            isolated("measure_variant", module="ablation_generator", random_state=seed, **parameters)
            for seed in range(options.seeds)
        ]
        row = median_rows(runs)
        kept = ("TSTR", "TSTR spread", "TVD1", "TVD2", "TVD2 spread", "quality", "fit s", "peak MB")
        rows.append({"generator": label, **{key: row[key] for key in kept}})
        print(rows[-1], flush=True)
    notes = [
        "Adult, declared domains, epsilon 1, delta 1e-5, 80/20 split seed 0, 2 threads; "
        f"medians of {options.seeds} seeds.",
        "A fresh variant is sampled from latents that its training never saw.",
    ]
    write_table("ablation_generator", "The generator as a fixed or a fresh mixture", rows, notes)


if __name__ == "__main__":
    main()
