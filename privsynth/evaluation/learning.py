"""Models of the target learned from several tables, all scored on the same real rows.

Two kinds of model: gradient boosting, and a linear one (logistic or ridge regression on ranks and one-hot categories).
Tables to learn from: synthetic, real, both together, and real and synthetic at an equal number of rows.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from privsynth.evaluation.binning import is_class_like
from privsynth.evaluation.space import Space, stacked
from privsynth.evaluation.utility import (
    OPTIMISTIC,
    _capped,
    _classes,
    _encode,
    _row_notes,
    _split,
    _target,
    _task,
    _with_target,
    boosting,
)

FloatArray = npt.NDArray[np.float64]
BOOSTING, LINEAR = "gradient boosting", "linear"
HALVES = ("first half of real", "second half of real")  # they tell how far two models of real rows agree
_MAX_TEST_ROWS = 20_000
_MAX_LINEAR_ROWS = 20_000
_ALIKE = 0.02  # tables whose sizes differ by less count as equally large


@dataclasses.dataclass(frozen=True)
class Learned:
    """A fitted model: predictions for encoded test rows, and those rows.

    Parameters
    ----------
    predict : callable
        Takes features; returns chances of shape (n, n_classes), or numbers of shape (n,).
    features : ndarray of shape (n_test, n_features)
    predictions : ndarray
    """

    predict: Callable[[FloatArray], FloatArray]
    features: FloatArray
    predictions: FloatArray


@dataclasses.dataclass(frozen=True)
class Learning:
    """All models of one target.

    Parameters
    ----------
    target : column name
    classes : list or None
        The most frequent first, so that the last of two is the rarer; None for regression.
    test : DataFrame
        The real rows that are scored, without the target.
    y_test : ndarray
        Places in `classes`, or numbers.
    models : mapping from (kind of model, table) to Learned
    rows : dict
        How many rows of each table were learned from.
    notes : tuple of str
    """

    target: Hashable
    classes: list[Any] | None
    test: pd.DataFrame
    y_test: FloatArray
    models: dict[tuple[str, str], Learned]
    rows: dict[str, int]
    notes: tuple[str, ...]

    @property
    def task(self) -> str:
        """The kind: binary, multiclass or regression."""
        return _task(self.classes)


def learn_all(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    target: Hashable,
    holdout: pd.DataFrame | None,
    rng: np.random.Generator,
    max_rows: int = 50_000,
) -> Learning:
    """Learn the target from all tables with all models.

    Parameters
    ----------
    real, synthetic, holdout : DataFrames
        Without a holdout a random 20 % of the real table is tested on.
    target : column name
    max_rows : int
        Tables to learn from are cut to so many rows, and linear models learn from at most 20,000.
    """
    seed = int(rng.integers(2**31))
    classes = _classes(real[target]) if is_class_like(real[target]) else None
    y_real, y_synthetic = (_target(frame[target], real[target], classes) for frame in (real, synthetic))
    learn, test, y_learn, y_test = _split(real, y_real, holdout, target, classes, seed)
    test, y_test = _capped(test.drop(columns=[target]), y_test, _MAX_TEST_ROWS, rng)
    sets = {
        name: _capped(*_with_target(frame.drop(columns=[target]), y), max_rows, rng)
        for name, frame, y in (("synthetic", synthetic, y_synthetic), ("real", learn, y_learn))
    }
    sets |= _combined(sets, rng)
    notes = [OPTIMISTIC] if holdout is None else []
    notes += _row_notes(len(synthetic) - int(np.isfinite(y_synthetic).sum()), classes, sets["synthetic"][1])
    if max(len(synthetic), len(learn)) > max_rows:
        notes.append(f"Boosting learns from at most {max_rows:,} rows of a table, drawn at random.")
    if max(len(y) for _, y in sets.values()) > _MAX_LINEAR_ROWS:
        notes.append(f"Linear models learn from at most {_MAX_LINEAR_ROWS:,} rows.")
    models: dict[tuple[str, str], Learned] = {}
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # the caller chose the target
        for name, (x, y) in sets.items():
            models[BOOSTING, name] = _boosting(x, y, test, classes, seed)
            if name in ("synthetic", "real"):
                models[LINEAR, name] = _linear(*_capped(x, y, _MAX_LINEAR_ROWS, rng), test, classes)
    rows = {name: len(y) for name, (_, y) in sets.items()} | {"test": len(y_test)}
    return Learning(target, classes, test, y_test, models, rows, tuple(notes))


_Set = tuple[pd.DataFrame, FloatArray]


def _combined(sets: dict[str, _Set], rng: np.random.Generator) -> dict[str, _Set]:
    """Return real and synthetic rows together, the larger of the two cut to the size of the smaller, and halves."""
    (left, y_left), (right, y_right) = sets["real"], sets["synthetic"]
    found = {"real + synthetic": (stacked([left, right], like=left), np.concatenate([y_left, y_right]))}
    smaller = min(len(y_left), len(y_right))
    for name, (x, y) in sets.items():
        if len(y) > smaller * (1 + _ALIKE):
            found[f"{name}, equal n"] = _capped(x, y, smaller, rng)
    order = rng.permutation(len(y_left))
    for name, rows in zip(HALVES, np.array_split(order, 2), strict=True):
        found[name] = left.iloc[rows], y_left[rows]
    return found


def _boosting(x: pd.DataFrame, y: FloatArray, test: pd.DataFrame, classes: list[Any] | None, seed: int) -> Learned:
    features, tested = _encode(x, test)
    if len(np.unique(y)) < 2:
        return _guessing(tested, y, classes)
    if classes is None:
        model = HistGradientBoostingRegressor(random_state=seed).fit(features, y)
        return _learned(model.predict, tested)
    return _learned(_chances(boosting(features, y, seed), len(classes)), tested)


def _linear(x: pd.DataFrame, y: FloatArray, test: pd.DataFrame, classes: list[Any] | None) -> Learned:
    # Categories and ranks of the rows learned from; with no column left all rows look alike.
    like = test if len(test.columns) else x
    space = Space.fit(x, like=like)
    features, tested = space.points(x), space.points(test)
    if len(np.unique(y)) < 2:
        return _guessing(tested, y, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last step is near enough for a comparison
        if classes is None:
            return _learned(Ridge().fit(features, y).predict, tested)
        classifier = LogisticRegression(max_iter=100).fit(features, y)
    return _learned(_chances(classifier, len(classes)), tested)


def _learned(predict: Callable[[FloatArray], FloatArray], features: FloatArray) -> Learned:
    return Learned(predict, features, predict(features))


def _chances(classifier: Any, n_classes: int) -> Callable[[FloatArray], FloatArray]:
    def predict(features: FloatArray) -> FloatArray:
        chances = np.zeros((len(features), n_classes))
        chances[:, classifier.classes_.astype(int)] = classifier.predict_proba(features)
        return chances

    return predict


def _guessing(features: FloatArray, y: FloatArray, classes: list[Any] | None) -> Learned:
    """Return what can be learned from rows of one value: always that value."""
    value = float(y[0]) if len(y) else 0.0

    def predict(rows: FloatArray) -> FloatArray:
        if classes is None:
            return np.full(len(rows), value)
        return np.tile(np.arange(len(classes)) == int(value), (len(rows), 1)).astype(float)

    return _learned(predict, features)
