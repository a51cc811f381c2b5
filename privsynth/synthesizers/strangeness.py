"""Conditions that are possible and far outside what the model has seen: told, with figures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from privsynth.synthesizers.sampling import Predicates, Sampler

LEAST_COMPONENTS = 8
"""Effective components behind rows under conditions, below which `sample` warns."""


LESS_LIKELY = 100
"""How much less likely than the least likely of 1,000 own rows a row of conditions has to be for `sample` to warn."""


def strangeness(sampler: Sampler, predicates: Predicates) -> str | None:
    """Return a warning where rows that satisfy `predicates` are made up more than learned."""
    effective, touched = sampler.support(predicates)
    if effective >= LEAST_COMPONENTS and touched * _n_learned(sampler) >= 1:
        return None
    return (
        f"The conditions on {', '.join(map(repr, predicates))} are far outside what the model has seen: "
        f"{_figures(sampler, effective, touched)}. They satisfy the conditions, and the rest of them is guessed. "
        "Widen the conditions."
    )


def strange_rows(sampler: Sampler, conditions: pd.DataFrame) -> str | None:
    """Return a warning where rows of conditions are made up more than learned, with the strangest of them.

    Every row of many known columns is unlikely, and few components carry it: that alone is not strange. So rows are
    compared with rows of the model's own, in the same columns.
    """
    effective, touched, rows, usual = sampler.support_each(conditions)
    strange = touched < min(usual / LESS_LIKELY, 1 / _n_learned(sampler))
    if not strange.any():
        return None
    worst = int(np.argmin(touched))
    return (
        f"Of {len(rows):,} distinct rows of conditions that were looked at {strange.sum():,} are far outside what the "
        f"model has seen. Row {rows[worst]} is the furthest: {_figures(sampler, effective[worst], touched[worst])}. "
        "All rows satisfy the conditions, and the rest of these is guessed. Leave conditions out of them."
    )


def _figures(sampler: Sampler, effective: float, touched: float) -> str:
    n_rows = _n_learned(sampler)
    return (
        f"of about {n_rows:,.0f} learned rows it expects {touched * n_rows:.2g} in the cells that they touch, and "
        f"{effective:.1f} of its {len(sampler.mixture.weights):,} components carry such rows"
    )


def _n_learned(sampler: Sampler) -> float:
    """How many rows were learned from, by the released counts of the first column."""
    encoder = sampler.encoder
    return max(1.0, float(encoder.one_way.values[encoder.layout.spans[0].slice].sum()))
