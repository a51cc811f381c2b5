"""Scores of predictions: ranking, calibration, the recall that a fixed precision leaves, and importances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from privsynth.evaluation.intervals import auc
from privsynth.evaluation.learning import Learned, Learning

FloatArray = npt.NDArray[np.float64]
Metric = Callable[[FloatArray, FloatArray], float]  # of true values and predictions; NaN where undefined
_BINS = 10
_MAX_IMPORTANCE_ROWS = 3_000
_SHUFFLES = 60  # of all features together, at most three of each


def metrics_of(learning: Learning) -> dict[str, Metric]:
    """Return the scores that suit the task, by name."""
    if learning.classes is None:
        return {"R2": r2, "Mean absolute error": mean_absolute_error}
    found: dict[str, Metric] = {
        "ROC AUC": macro_auc,
        "Average precision": macro_average_precision,
        "Brier score": brier,
        "Expected calibration error": calibration_error,
    }
    if len(learning.classes) == 2:
        found["Recall at 50 % precision"] = lambda y, p: recall_at(y, p, 0.5)
        found["Recall at 80 % precision"] = lambda y, p: recall_at(y, p, 0.8)
    return found


def _scored(y: FloatArray, chances: FloatArray) -> list[int]:
    """Return the classes that count: the rarer of two, else all that some but not all rows have."""
    n_classes = chances.shape[1]
    listed = [1] if n_classes == 2 else range(n_classes)
    return [c for c in listed if 0 < np.count_nonzero(y == c) < len(y)]


def macro_auc(y: FloatArray, chances: FloatArray) -> float:
    """Return the mean ROC AUC of the classes, each against the rest."""
    found = [auc(chances[y == c, c], chances[y != c, c]) for c in _scored(y, chances)]
    return float(np.mean(found)) if found else float("nan")


def macro_average_precision(y: FloatArray, chances: FloatArray) -> float:
    """Return the mean average precision of the classes."""
    found = [average_precision_score(y == c, chances[:, c]) for c in _scored(y, chances)]
    return float(np.mean(found)) if found else float("nan")


def brier(y: FloatArray, chances: FloatArray) -> float:
    """Return the mean squared error of chances; with two classes of the rarer one's, else half the sum over classes.

    >>> brier(np.array([0.0, 1.0]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    0.0
    """
    truth = y[:, None] == np.arange(chances.shape[1])
    return float(((chances - truth) ** 2).sum(axis=1).mean() / 2)


def calibration_error(y: FloatArray, chances: FloatArray) -> float:
    """Return the mean gap of stated and true chance over ten bins of equal size.

    With two classes it is the rarer one's chance, else the chance of the class that is predicted (Guo et al. 2017).
    """
    if chances.shape[1] == 2:
        stated, true = chances[:, 1], y == 1
    else:
        stated, true = chances.max(axis=1), chances.argmax(axis=1) == y
    order = np.argsort(stated, kind="stable")
    parts = [part for part in np.array_split(order, _BINS) if len(part)]
    return float(sum(abs(stated[part].mean() - true[part].mean()) * len(part) for part in parts) / len(y))


def calibration_curve(y: FloatArray, chances: FloatArray) -> tuple[list[float], list[float]]:
    """Return stated and true chances of ten bins of equal size, for the rarer of two classes."""
    order = np.argsort(chances[:, 1], kind="stable")
    parts = [part for part in np.array_split(order, _BINS) if len(part)]
    return [float(chances[p, 1].mean()) for p in parts], [float((y[p] == 1).mean()) for p in parts]


def recall_at(y: FloatArray, chances: FloatArray, precision: float) -> float:
    """Return the most recall of the rarer class with at least this precision; 0 if no threshold has it.

    >>> chances = np.array([0.9, 0.8, 0.7, 0.1])
    >>> recall_at(np.array([1, 1, 0, 1]), np.column_stack([1 - chances, chances]), 0.9)
    0.6666666666666666
    """
    hits = y == 1
    if not hits.any():
        return float("nan")
    order = np.argsort(-chances[:, 1], kind="stable")
    found = np.cumsum(hits[order])
    ordered = chances[order, 1]
    is_end = np.append(ordered[1:] != ordered[:-1], True)  # a threshold takes equal chances all or none
    good = is_end & (found / np.arange(1, len(y) + 1) >= precision)
    return float(found[good].max() / hits.sum()) if good.any() else 0.0


def r2(y: FloatArray, predictions: FloatArray) -> float:
    """Return the share of variance explained."""
    spread = ((y - y.mean()) ** 2).sum()
    return float(1 - ((y - predictions) ** 2).sum() / spread) if spread > 0 else float("nan")


def mean_absolute_error(y: FloatArray, predictions: FloatArray) -> float:
    """Return the mean absolute error, in units of the target."""
    return float(np.abs(y - predictions).mean())


def importances(learned: Learned, y: FloatArray, metric: Metric, rng: np.random.Generator) -> FloatArray:
    """Return how much the score falls when a feature is shuffled (Breiman 2001), mean of up to three shuffles."""
    rows = rng.permutation(len(y))[:_MAX_IMPORTANCE_ROWS]
    features, truth = learned.features[rows], y[rows]
    full = metric(truth, learned.predictions[rows])
    found = np.zeros(features.shape[1])
    repeats = max(1, min(3, _SHUFFLES // features.shape[1]))
    for place in range(features.shape[1]):
        for _ in range(repeats):
            mixed = features.copy()
            mixed[:, place] = mixed[rng.permutation(len(rows)), place]
            found[place] += (full - metric(truth, learned.predict(mixed))) / repeats
    return found


def rank_agreement(first: FloatArray, second: FloatArray) -> float | None:
    """Return Spearman's rank correlation; None for less than three values or a constant."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)
