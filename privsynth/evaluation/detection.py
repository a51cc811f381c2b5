"""Can a model tell synthetic from real rows? And how far apart are the two clouds of points?

The detector is gradient boosting, learned on half of the rows and scored on the other half: the classifier two-sample
test (Lopez-Paz and Oquab 2017). The columns that tell most are those whose shuffling costs the detector most.

The Frechet distance is that of two normal distributions with the mean and covariance of the rows as points (ranks of
numbers and one-hot categories, `privsynth.evaluation.space`):

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

It is the distance behind the Frechet inception distance of images (Heusel et al. 2017), without a learned encoder.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from privsynth.evaluation.binning import as_numbers, as_values, column_kind
from privsynth.evaluation.intervals import auc, bootstrap_interval, grouped_error, jackknife_interval
from privsynth.evaluation.pairing import Pairing, notes_of
from privsynth.evaluation.score import Block, Score, table_of
from privsynth.evaluation.space import FloatArray, Space

_MAX_ROWS = 10_000
_N_TELLING = 10
_FEWEST = 20


def detection_block(pairing: Pairing, rng: np.random.Generator) -> Block:
    """Learn to tell synthetic from real rows; the reference is the same for other real rows."""
    cut = pairing.at_most(_MAX_ROWS, rng)
    value, interval, telling = tell_apart(cut.real, cut.synthetic, rng)
    reference, _, _ = tell_apart(cut.left, cut.right, rng, explain=False)
    score = Score(
        "Detection ROC AUC",
        value,
        reference,
        "lower",
        note=f"{pairing.note} Gradient boosting, half of the rows to learn, half to score.",
        meaning="Chance that the detector ranks a synthetic row above a real one: 0.5 is guessing, 1 is told apart.",
        low=interval[0],
        high=interval[1],
        worry="Worry above about 0.8, and look at the columns that tell. A detector finds any flaw, also harmless ones "
        "such as a digit too many.",
        section="fidelity",
    ).judged(watch=0.1, bad=0.3)
    return Block(
        "Real or synthetic?",
        "Whether a model that has seen real and synthetic rows can tell new ones apart, and by which columns.",
        "Worry about the columns at the top: what the detector uses is what the synthesizer got wrong.",
        (score,),
        table_of(["column", "AUC lost when shuffled"], telling),
        {
            "kind": "bars",
            "bars": [{"name": name, "value": drop, "reference": None} for name, drop in telling],
        }
        if telling
        else None,
        notes_of(pairing.sampled_note(_MAX_ROWS)),
    )


def tell_apart(
    real: pd.DataFrame, other: pd.DataFrame, rng: np.random.Generator, *, explain: bool = True
) -> tuple[float | None, tuple[float | None, float | None], list[tuple[str, float]]]:
    """Return the detector's ROC AUC, its interval, and the columns that tell with what they add to it."""
    n = min(len(real), len(other))
    if n < _FEWEST:
        return None, (None, None), []
    features = plain_features([frame.iloc[rng.permutation(len(frame))[:n]] for frame in (real, other)], real)
    half = n // 2
    learn = np.vstack([part[:half] for part in features])
    test = np.vstack([part[half:] for part in features])
    is_other = np.repeat([False, True], half)
    with threadpool_limits(limits=1):
        model = HistGradientBoostingClassifier(max_iter=50, random_state=int(rng.integers(2**31)))
        model.fit(learn, is_other)
        chances = model.predict_proba(test)[:, 1]
        m = n - half
        value = auc(chances[m:], chances[:m])
        interval = bootstrap_interval(lambda rows: auc(chances[m:][rows], chances[:m][rows]), m, rng, low=0.0, high=1.0)
        if not explain:
            return value, interval, []
        drops = []
        for place, name in enumerate(real.columns):
            mixed = test.copy()
            mixed[:, place] = mixed[rng.permutation(2 * m), place]
            shuffled = model.predict_proba(mixed)[:, 1]
            drops.append((str(name), value - auc(shuffled[m:], shuffled[:m])))
    return value, interval, sorted(drops, key=lambda item: -item[1])[:_N_TELLING]


def plain_features(frames: list[pd.DataFrame], like: pd.DataFrame) -> list[npt.NDArray[np.float64]]:
    """Return a number a cell: numbers as they are, categories by falling frequency in all frames together."""
    columns: list[list[npt.NDArray[np.float64]]] = [[] for _ in frames]
    for name in like.columns:
        kind = column_kind(like[name])
        if kind in ("numeric", "datetime"):
            for found, frame in zip(columns, frames, strict=True):
                numbers = as_numbers(frame[name], kind)
                found.append(np.where(np.isfinite(numbers), numbers, np.nan))
            continue
        both = pd.Series(np.concatenate([as_values(frame[name]) for frame in frames]), dtype=object)
        index = pd.Index(both.value_counts().index, dtype=object)
        places = index.get_indexer(pd.Index(both, dtype=object)).astype(float)
        places[both.isna().to_numpy()] = np.nan
        ends = np.cumsum([len(frame) for frame in frames])[:-1]
        for found, own in zip(columns, np.split(places, ends), strict=True):
            found.append(own)
    stacked = [np.column_stack(found) for found in columns]
    empty = np.all([np.isnan(features).all(axis=0) for features in stacked], axis=0)
    for features in stacked:
        features[:, empty] = 0.0  # gradient boosting refuses columns without a value
    return stacked


def frechet_distance(first: FloatArray, second: FloatArray) -> float:
    """Return the distance of two clouds of points, of shapes (n, width) and (m, width).

    >>> points = np.random.default_rng(0).normal(size=(100, 3))
    >>> round(frechet_distance(points, points + [1, 0, 0]), 6)
    1.0
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
    means = first.mean(axis=0) - second.mean(axis=0)
    left, right = (np.atleast_2d(np.cov(points, rowvar=False)) for points in (first, second))
    # tr (C1 C2)^(1/2) = sum of the singular values of C1^(1/2) C2^(1/2).
    roots = [_root(matrix) for matrix in (left, right)]
    cross = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()
    return max(0.0, float(means @ means + np.trace(left) + np.trace(right) - 2 * cross))


def _root(matrix: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def frechet_block(pairing: Pairing, rng: np.random.Generator) -> Block:
    """Measure the Frechet distance in the space of ranks and one-hot categories."""
    cut = pairing.at_most(_MAX_ROWS, rng)
    space = Space.fit(cut.real, like=cut.real)
    with threadpool_limits(limits=1):
        points = [space.points(frame) for frame in (cut.real, cut.synthetic, cut.left, cut.right)]
        value = frechet_distance(points[0], points[1])
        error = grouped_error(
            lambda a, b: frechet_distance(points[0][a], points[1][b]), len(points[0]), len(points[1]), rng
        )
        reference = frechet_distance(points[2], points[3])
    low, high = jackknife_interval(value, error)
    score = Score(
        "Frechet distance",
        value,
        reference,
        "lower",
        note=f"{pairing.note} In the space of ranks (numbers) and one-hot vectors (categories).",
        meaning="Squared distance of two normal clouds with the means and covariances of the rows: 0 is the same.",
        low=low,
        high=high,
        range=(0.0, None),
        worry="Worry when it is many times the reference. It compares generators on one table, not tables.",
        section="fidelity",
    )
    return Block(
        "Frechet distance",
        "How far apart the rows lie as clouds of points: all means and all covariances at once.",
        "Worry when it is many times what real rows reach.",
        (score,),
        notes=notes_of(pairing.sampled_note(_MAX_ROWS)),
    )
