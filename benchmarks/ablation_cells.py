"""How the leaves of numeric columns are found, against other ways: python benchmarks/ablation_cells.py [--fits 12].

Nothing is fitted but the columns, at the share of the budget that they get in a fit: real rows are put into the cells
found at epsilon, and their values drawn anew in these. How far that moves columns (TVD1) and pairs (TVD2) is what cells
lose, whatever the generator does. A fit of columns takes a fraction of a second, so the means are of many.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from ablation_patches import one_round
from common import isolated, write_table
from decomposition import in_cells
from tables import cases

CASES = ["adult", "cardio", "stroke", "transactions 10k", "years"]


class Found(Exception):
    """Ends a fit once its columns are found."""


def years() -> pd.DataFrame:
    """Return 4,000 rows of columns far from zero, such as years, and of prices, degrees and kilometres."""
    rng = np.random.default_rng(5)
    year = np.rint(2005 + 6 * rng.standard_normal(4000)).clip(1985, 2024).astype(int)
    price = np.round(np.exp(3 + 1.2 * rng.standard_normal(4000)) + 5 * (year - 1985), 2)
    sold = rng.random(4000) < 1 / (1 + np.exp(-(price - 80) / 40))
    return pd.DataFrame(
        {
            "year": year,
            "price": price,
            "km": np.rint(rng.gamma(2, 40_000, 4000)),
            "degrees": np.round(36.6 + 0.7 * rng.standard_normal(4000) + 0.5 * sold, 1),
            "number": np.rint(1_000_000 + rng.gamma(2, 800, 4000)),
            "sold": sold,
        }
    )


def counted_once() -> None:
    """Only leaves that are new are counted in a round."""
    from privsynth.transforms.leaves import _Interval

    usual = _Interval.add

    def first(self: Any, count: float) -> None:
        if self.times == 0:
            usual(self, count)

    _Interval.add = first  # type: ignore[method-assign]


def in_eight() -> None:
    """Leaves of 16 deviations of noise or more are split in eight, others not at all."""
    from privsynth.transforms import leaves

    usual = leaves._split

    def split(found: Any, counts: Any, grid: bool, scale: float) -> None:
        usual(found, np.where(counts > 16 * max(scale, 1.0), counts, 0.0), grid, scale)

    leaves._split = split


def set_part(noises: float) -> Callable[[], None]:
    """Return a patch: so many deviations of noise a part, at least."""

    def patch() -> None:
        from privsynth.transforms import leaves

        leaves._NOISES_A_PART = noises

    return patch


def set_cell(noises: float) -> Callable[[], None]:
    """Return a patch: so many deviations of noise a cell, at least."""

    def patch() -> None:
        from privsynth.transforms import continuous

        continuous.LEAST_NOISES = noises

    return patch


def as_seen() -> None:
    """Columns end where single bins were seen."""
    from privsynth.transforms import discover

    discover._beyond = lambda *_: []


CHOICES: dict[str, tuple[Callable[[], None], ...]] = {
    "default": (),
    "leaves counted once, split in eight, ranges as seen, cells of two noises": (
        counted_once, in_eight, as_seen, set_cell(2)
    ),
    "leaves counted once": (counted_once,),
    "one round": (one_round,),
    "split in eight or not at all": (in_eight,),
    "parts of one noise": (set_part(1),),
    "parts of four noises": (set_part(4),),
    "ranges as seen": (as_seen,),
    "cells of two noises": (set_cell(2),),
    "cells of eight noises": (set_cell(8),),
}  # fmt: skip


def measure_cells(name: str, *, choice: str, epsilon: float, fits: int) -> dict[str, Any]:
    """Return means, and standard errors, of TVD1, TVD2 and the cells a numeric column; in a process of its own."""
    from privsynth import CTGAN
    from privsynth.evaluation import marginal_tvd
    from privsynth.synthesizers import releasing

    warnings.simplefilter("ignore")
    for patch in CHOICES[choice]:
        patch()
    train, target = (years(), "sold") if name == "years" else cases(name)[::2]
    found = SimpleNamespace()
    inspect, fit_encoder = releasing.inspect, releasing.fit_encoder

    def inspected(*arguments: Any, **more: Any) -> Any:
        found.schema_ = inspect(*arguments, **more)
        return found.schema_

    def fitted(*arguments: Any, **more: Any) -> Any:
        found.encoder_ = fit_encoder(*arguments, **more)
        raise Found

    dtypes = {str(column): str(dtype) for column, dtype in train.dtypes.items()}
    scores = []
    with (
        mock.patch.object(releasing, "inspect", inspected),
        mock.patch.object(releasing, "fit_encoder", fitted),
    ):
        for seed in range(fits):
            try:
                CTGAN(epsilon, target=target, verbose=False, random_state=seed).release(train, first=True)
            except Found:
                rows = in_cells(found, train, dtypes)
            cells = [column.n_cells for column in found.encoder_.columns if hasattr(column, "cells")]
            tvd = [marginal_tvd(train, rows, order=order).mean for order in (1, 2)]
            scores.append([*tvd, float(np.mean(cells))])
    mean, error = np.mean(scores, axis=0), np.std(scores, axis=0) / math.sqrt(max(1, fits - 1))
    return {
        "TVD1": f"{mean[0]:.4f} ± {error[0]:.4f}",
        "TVD2": f"{mean[1]:.4f} ± {error[1]:.4f}",
        "cells a column": f"{mean[2]:.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=12)
    parser.add_argument("--tables", nargs="+", choices=CASES, default=CASES)
    options = parser.parse_args()
    rows = []
    for name in options.tables:
        for epsilon in (1.0, 10.0):
            for choice in CHOICES:
                found = isolated(
                    "measure_cells", name, module="ablation_cells", choice=choice, epsilon=epsilon, fits=options.fits
                )
                rows.append({"table": name, "epsilon": epsilon, "choice": choice, **found})
                print(rows[-1], flush=True)
    notes = [
        f"Real rows whose values were drawn anew in their cells; means of {options.fits} fits of the columns alone, "
        "with standard errors. TVD1, TVD2: mean total variation of columns and pairs to the real rows.",
        "years: 4,000 made-up rows of columns far from zero. Nothing declared, delta 1e-5.",
    ]
    write_table("ablation_cells", "How the leaves of numeric columns are found", rows, notes)


if __name__ == "__main__":
    main()
