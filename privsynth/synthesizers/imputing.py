"""Gaps in given rows, filled by draws from the model given everything else that each row holds.

The components of the mixture are weighted by the likelihood of a row's known values, as for its score. So what is
filled in is an exact draw from the model's conditional distribution, for several gaps of a row jointly. Rules that
are kept by rejection are kept here in the same way, row by row. Of columns of which exactly one is to be set, those
beside a set one are no gaps, and where none is set all but one stay missing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from privsynth._reading import is_set
from privsynth.errors import ConditionError
from privsynth.rules import OneOf
from privsynth.synthesizers.sampling import Sampler
from privsynth.synthesizers.scoring import evidence_of
from privsynth.training.history import Progress
from privsynth.transforms.cells import IntArray
from privsynth.transforms.evidence import BoolArray, Evidence
from privsynth.transforms.reshape import compute

MAX_ROUNDS = 200
_AT_ONCE = 20_000


def fill_gaps(
    sampler: Sampler, frame: pd.DataFrame, columns: list[str], rng: np.random.Generator, progress: Progress
) -> pd.DataFrame:
    """Return `frame` with the missing values of `columns` drawn; known values stay as they are.

    Raises
    ------
    ConditionError
        When known values contradict each other, or rules leave no way to complete a row in bounded work.
    """
    none = np.zeros(len(frame), dtype=bool)
    gaps = {name: frame[name].isna().to_numpy() if name in columns else none for name in frame}
    gaps, either = _settled(sampler, frame, gaps)
    _check_formulas(sampler, gaps)
    silent = {column.name for column in sampler.columns if not column.null}  # here a missing value says nothing
    unknown = {
        name: (frame[name].isna().to_numpy() if name in silent else gap).astype(np.int64) + either[name]
        for name, gap in gaps.items()
    }
    rows = np.flatnonzero(np.logical_or.reduce([none, *gaps.values()]))
    filled = {name: frame[name] for name in columns if gaps[name].any()}
    for start in range(0, len(rows), _AT_ONCE):
        filled = _fill_rows(sampler, frame, rows[start : start + _AT_ONCE], filled, gaps, unknown, rng)
        progress("impute", min(start + _AT_ONCE, len(rows)), len(rows), {})
    return frame.assign(**filled)


def _fill_rows(
    sampler: Sampler,
    frame: pd.DataFrame,
    left: IntArray,
    filled: dict[str, pd.Series],
    gaps: Mapping[str, BoolArray],
    unknown: Mapping[str, IntArray],
    rng: np.random.Generator,
) -> dict[str, pd.Series]:
    """Return `filled`, the columns with gaps, with those of the rows `left` drawn."""
    filled = dict(filled)
    for _ in range(MAX_ROUNDS):
        if len(left) == 0:
            return filled
        part, here = frame.iloc[left].reset_index(drop=True), {name: gap[left] for name, gap in gaps.items()}
        found = evidence_of(sampler, part, {name: gap[left] for name, gap in unknown.items()})
        rows, good = _drawn(sampler, part, found, here, rng)
        for name in filled:
            done = good & here[name]
            filled[name] = _put(filled[name], left[done], rows[name][done])
        left = left[~good]
    raise ConditionError(
        f"impute: {len(left):,} rows could not be completed so that all rules hold, in {MAX_ROUNDS} draws each; the "
        f"first is row {left[0]} of X. Correct its known values, or take the rule out of the schema."
    )


def _drawn(
    sampler: Sampler,
    frame: pd.DataFrame,
    found: Mapping[str, Evidence],
    gaps: Mapping[str, BoolArray],
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, BoolArray]:
    """Draw all gaps of rows once; say which rows keep the rules that the gaps touch."""
    cells = sampler.mixture.draw_each({name: (e.likelihood, e.state) for name, e in found.items()}, rng)
    rows = frame.copy(deep=False)
    for name, values in sampler.decoded(cells, rng).items():
        if name in gaps and gaps[name].any():
            rows[name] = _put(frame[name], np.flatnonzero(gaps[name]), values[gaps[name]])
    good = np.ones(len(frame), dtype=bool)
    for name, formula in sampler.reshape.formulas.items():
        if name in gaps and gaps[name].any():
            values, fits = compute(formula, rows, sampler.reshape, sampler.dtypes[name])
            rows[name] = _put(frame[name], np.flatnonzero(gaps[name]), values[gaps[name]])
            good &= fits | ~gaps[name]
    for rule in sampler.rejecting:
        if all(name in rows for name in rule.columns):
            touched = np.logical_or.reduce([gaps[name] for name in rule.columns])
            good &= rule.holds(rows, sampler.reshape.original) | ~touched
    return rows, good


def _settled(
    sampler: Sampler, frame: pd.DataFrame, gaps: dict[str, BoolArray]
) -> tuple[dict[str, BoolArray], dict[str, BoolArray]]:
    """Leave out gaps that a rule "exactly one of these is set" settles: what is missing beside a set one is a fact.

    Returns
    -------
    gaps : dict of str to ndarray of bool of shape (n_rows,)
        Those that are left.
    either : dict of str to ndarray of bool of shape (n_rows,)
        Those of them that may stay missing: several in a row, of which the rule wants one.
    """
    gaps, either = dict(gaps), {name: np.zeros(len(frame), dtype=bool) for name in gaps}
    schema = sampler.reshape.original
    for rule in sampler.rejecting:
        if isinstance(rule, OneOf) and all(name in frame for name in rule.columns):
            settled = np.logical_or.reduce([is_set(frame[name], schema[name]) for name in rule.columns])
            several = np.sum([gaps[name] for name in rule.columns], axis=0) > 1
            for name in rule.columns:
                gaps[name] = gaps[name] & ~settled
                either[name] |= gaps[name] & several
    return gaps, either


def _check_formulas(sampler: Sampler, gaps: Mapping[str, BoolArray]) -> None:
    """Refuse rows that would have to be solved for, and results whose operands X lacks."""
    for name, rule in sampler.reshape.formulas.items():
        if name not in gaps:
            continue
        operands = [operand for operand in rule.columns if operand != name]
        lacking = [operand for operand in operands if operand not in gaps]
        if lacking and gaps[name].any():
            raise ConditionError(
                f"impute: column {name!r} is computed from {lacking}, which X lacks. Add these columns."
            )
        known = [operand for operand in operands if operand not in lacking and (gaps[operand] & ~gaps[name]).any()]
        if known:
            raise ConditionError(
                f"impute: column {name!r} is known in rows where {known} are missing, and {rule} computes it from "
                "them. Solve the formula for these first, or set the computed value missing."
            )


def _put(series: pd.Series, rows: IntArray, values: pd.Series) -> pd.Series:
    """Return a series with some rows replaced, in its own data type; levels new to a category are added to it."""
    if len(rows) == 0:
        return series
    if isinstance(series.dtype, pd.CategoricalDtype):
        new = [level for level in pd.unique(values.dropna().astype(object)) if level not in series.cat.categories]
        series = series.cat.add_categories(new) if new else series
    out = series.array.copy()
    out[rows] = values.astype(series.dtype).array
    return pd.Series(out, index=series.index, name=series.name)
