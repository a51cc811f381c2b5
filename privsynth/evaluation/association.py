"""How columns hang together: one matrix a table, a measure a pair of kinds.

- two ordered columns (numbers, dates): Pearson's and Spearman's correlation, in [-1, 1];
- two columns of classes: Cramer's V, in [0, 1], with missing as a class;
- a class and an ordered column: the correlation ratio eta, in [0, 1].
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable

import numpy as np
import pandas as pd

from privsynth.evaluation.binning import as_numbers, as_values, column_kind
from privsynth.evaluation.intervals import GROUPS, jackknife_error, jackknife_interval
from privsynth.evaluation.pairing import Pairing, notes_of
from privsynth.evaluation.score import Block, Score, table_of

_MAX_ROWS = 20_000
_MAX_LEVELS = 100
_N_WORST = 10
Associations = dict[tuple[str, Hashable, Hashable], float]  # (measure, column, column)
_MEASURES = {
    "Pearson correlation": "Pearson's correlation of two numbers (or dates): do they rise together on a straight line?",
    "Spearman correlation": "Spearman's correlation: do their ranks rise together? Outliers do not move it.",
    "Cramer's V": "Cramer's V of two columns of classes: 0 is independent, 1 is one tells the other.",
    "Correlation ratio": "Share (its root) of a number's variance that lies between classes: 0 is none, 1 is all.",
}


def associations(frame: pd.DataFrame, like: pd.DataFrame) -> Associations:
    """Measure all pairs of columns; NaN where a column is constant.

    >>> frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "c": ["a", "a", "b", "b"]})
    >>> {key[0]: round(value, 3) for key, value in associations(frame, frame).items()}
    {'Correlation ratio': 0.894}
    """
    kinds = {name: column_kind(like[name]) for name in like.columns}
    ordered = [name for name in kinds if kinds[name] in ("numeric", "datetime")]
    numbers = pd.DataFrame({i: as_numbers(frame[name], kinds[name]) for i, name in enumerate(ordered)})
    numbers = numbers.where(np.isfinite(numbers))
    found: Associations = {}
    with np.errstate(all="ignore"):
        for measure, matrix in (
            ("Pearson correlation", numbers.corr().to_numpy()),
            ("Spearman correlation", numbers.rank().corr().to_numpy()),
        ):
            for i, j in itertools.combinations(range(len(ordered)), 2):
                found[measure, ordered[i], ordered[j]] = float(matrix[i, j])
    codes = {name: _class_codes(frame[name]) for name in kinds if name not in ordered}
    for a, b in itertools.combinations(codes, 2):
        found["Cramer's V", a, b] = _cramers_v(codes[a], codes[b])
    for a in codes:
        for i, b in enumerate(ordered):
            found["Correlation ratio", a, b] = _correlation_ratio(codes[a], numbers[i].to_numpy())
    return found


def _class_codes(column: pd.Series) -> np.ndarray:
    """Code classes by falling frequency; the rare ones beyond the first 100 share a code, and missing is one."""
    codes, _ = pd.factorize(as_values(column), use_na_sentinel=False)
    rank = np.empty(codes.max() + 1, dtype=np.int64)
    rank[np.argsort(-np.bincount(codes), kind="stable")] = np.arange(len(rank))
    return np.minimum(rank[codes], _MAX_LEVELS)


def _cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    rows, columns = a.max() + 1, b.max() + 1
    table = np.bincount(a * columns + b, minlength=rows * columns).reshape(rows, columns).astype(float)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    smaller = min(np.count_nonzero(table.sum(axis=1)), np.count_nonzero(table.sum(axis=0))) - 1
    if smaller < 1:
        return float("nan")
    chi2 = np.divide((table - expected) ** 2, expected, out=np.zeros_like(table), where=expected > 0).sum()
    return float(np.sqrt(min(1.0, chi2 / (table.sum() * smaller))))


def _correlation_ratio(codes: np.ndarray, numbers: np.ndarray) -> float:
    present = np.isfinite(numbers)
    codes, numbers = codes[present], numbers[present]
    if len(numbers) < 2 or np.ptp(numbers) == 0:
        return float("nan")
    numbers = (numbers - numbers.mean()) / numbers.std()
    counts, sums = np.bincount(codes), np.bincount(codes, weights=numbers)
    between = np.divide(sums**2, counts, out=np.zeros_like(sums), where=counts > 0).sum()
    return float(np.sqrt(min(1.0, between / len(numbers))))


def _differences(real: Associations, other: Associations) -> Associations:
    """Return |difference| of all pairs known in the real table; an association that is undefined there counts as 0."""
    return {key: abs(value - np.nan_to_num(other[key])) for key, value in real.items() if np.isfinite(value)}


def _summaries(differences: Associations) -> dict[tuple[str, str], float]:
    """Return the mean and the largest difference of each measure."""
    found = {}
    for measure in _MEASURES:
        own = [value for key, value in differences.items() if key[0] == measure]
        if own:
            found[measure, "mean"], found[measure, "largest"] = float(np.mean(own)), max(own)
    return found


def association_block(pairing: Pairing, rng: np.random.Generator) -> Block:
    """Compare associations of all pairs of columns."""
    cut = pairing.at_most(_MAX_ROWS, rng)
    like = cut.real
    real, synthetic = associations(cut.real, like), associations(cut.synthetic, like)
    differences = _differences(real, synthetic)
    values = _summaries(differences)
    reference = _summaries(_differences(associations(cut.left, like), associations(cut.right, like)))
    errors = _errors(cut, like, values, rng)
    scores = []
    for key, value in values.items():
        measure, which = key
        low, high = jackknife_interval(value, errors.get(key), high=2.0)
        scores.append(
            Score(
                f"{measure}: {which} difference",
                value,
                reference.get(key),
                "lower",
                note=pairing.note,
                meaning=f"{_MEASURES[measure]} Here: the {which} absolute difference to the real table over all pairs.",
                low=low,
                high=high,
                range=(0.0, 2.0 if "correlation" in measure and "ratio" not in measure else 1.0),
                worry="Worry when it is several times the reference: conclusions about what goes with what change.",
                section="fidelity",
            ).judged(watch=0.05, bad=0.15)
        )
    worst = sorted(differences.items(), key=lambda item: -item[1])[:_N_WORST]
    rows = [[key[1], key[2], key[0], real[key], synthetic[key], value] for key, value in worst]
    return Block(
        "Correlations and associations",
        "Whether columns that hang together in the real table do so in the synthetic one, and no others.",
        "Worry about pairs at the top of the list if an analysis rests on them.",
        tuple(scores),
        table_of(["column", "column ", "measure", "real", "synthetic", "difference"], rows),
        notes=notes_of(pairing.sampled_note(_MAX_ROWS)),
    )


def _errors(
    cut: Pairing, like: pd.DataFrame, values: dict[tuple[str, str], float], rng: np.random.Generator
) -> dict[tuple[str, str], float]:
    if min(len(cut.real), len(cut.synthetic)) < 2 * GROUPS:
        return {}
    groups = [rng.integers(GROUPS, size=len(frame)) for frame in (cut.real, cut.synthetic)]
    left_out = []
    for g in range(GROUPS):
        parts = [frame[group != g] for frame, group in zip((cut.real, cut.synthetic), groups, strict=True)]
        left_out.append(_summaries(_differences(*(associations(part, like) for part in parts))))
    return {
        key: jackknife_error(np.array([found[key] for found in left_out]))
        for key in values
        if all(key in found for found in left_out)
    }
