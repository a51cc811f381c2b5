"""Train on synthetic, test on real (TSTR), against train on real, test on real (TRTR).

The same gradient boosting model (scikit-learn's HistGradientBoosting) learns the target once from
synthetic and once from real rows; both are scored on real rows that neither has seen. TSTR near TRTR
means that a model developed on the synthetic table works on real data (Esteban, Hyland and Rätsch 2017,
arXiv:1706.02633).

If no holdout is given, the real table is split 80/20. The generator has then learned from the test rows
too, so TSTR looks better than it is: the result says so.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from privsynth._checks import parameter_error
from privsynth._random import as_generator
from privsynth.errors import DataError
from privsynth.evaluation.binning import as_numbers, as_values, column_kind, is_class_like
from privsynth.evaluation.score import Score

OPTIMISTIC = (
    "No holdout was given: tested on a random 20 % of the real table, which the generator has learned "
    "from, so the synthetic side is optimistic. Pass holdout=."
)
MEANING = {
    "ROC AUC": "Chance that a row of the class is ranked above one outside it: 0.5 is guessing, 1 perfect.",
    "Average precision": "Mean precision over all recalls: guessing gets the share of the class, 1 perfect.",
    "R2": "Share of the variance of the target explained: 0 is guessing the mean, 1 is perfect.",
}


@dataclasses.dataclass(frozen=True)
class Utility:
    """What a model learned from synthetic rows is worth on real ones.

    Parameters
    ----------
    target : column name
    task : {"binary", "multiclass", "regression"}
    positive : object
        The class that counts as positive: the rarer one in the real table. None unless binary.
    scores : tuple of Score
        ROC AUC and average precision (macro over one-vs-rest when multiclass), or R2. `value` is TSTR,
        `reference` is TRTR.
    rows : dict
        Rows used: ``synthetic`` and ``real`` to learn from, ``test`` to score on.
    note : str
        What limits the comparison.
    """

    target: Any
    task: str
    positive: Any
    scores: tuple[Score, ...]
    rows: dict[str, int]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a plain, JSON-able dict."""
        return {
            "target": str(self.target),
            "task": self.task,
            "positive": None if self.positive is None else str(self.positive),
            "scores": [score.to_dict() for score in self.scores],
            "rows": dict(self.rows),
            "note": self.note,
        }


def train_synthetic_test_real(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    target: Any,
    holdout: pd.DataFrame | None = None,
    max_rows: int = 100_000,
    random_state: Any = 0,
) -> Utility:
    """Score models learned from synthetic and from real rows on real rows.

    Classes are what is not a number, and whole numbers of at most 20 distinct values; all other targets
    are regressed. Categories become ordinal codes by falling frequency in the training rows (-1 for
    unknown ones), dates become seconds, missing features stay missing; rows with a missing target are
    left out, and synthetic rows with a class that no real row has.

    Parameters
    ----------
    real, synthetic : DataFrames of shapes (n_real, n_columns) and (n_synthetic, n_columns)
    target : column name
    holdout : DataFrame of shape (n_holdout, n_columns), optional
        Real rows that the synthesizer has not seen.
    max_rows : int
        Larger training tables are subsampled to so many rows.
    random_state : int, Generator or None
        Seed of split, subsample and models.

    Returns
    -------
    Utility

    Raises
    ------
    ParameterError
        If there is no such column.
    DataError
        If the real rows do not hold two classes, or no target at all.
    """
    if target not in real.columns:
        wanted = "a column of the real table: " + ", ".join(map(str, real.columns))
        raise parameter_error("train_synthetic_test_real", "target", wanted, target)
    rng = as_generator(random_state, "train_synthetic_test_real")
    seed = int(rng.integers(2**31))
    classes = _classes(real[target]) if is_class_like(real[target]) else None
    y_real, y_synthetic = (
        _target(real[target], real[target], classes),
        _target(synthetic[target], real[target], classes),
    )
    learn, test, y_learn, y_test = _split(real, y_real, holdout, target, classes, seed)
    x_test = (test.drop(columns=target), y_test)
    train_sets = [
        _capped(*_with_target(frame.drop(columns=target), y), max_rows, rng)
        for frame, y in ((synthetic, y_synthetic), (learn, y_learn))
    ]
    notes = [OPTIMISTIC] if holdout is None else []
    notes += _row_notes(len(synthetic) - int(np.isfinite(y_synthetic).sum()), classes, train_sets[0][1])
    # One thread: the OpenMP threads of gradient boosting wait by spinning, and on a busy machine that makes
    # a fit of one second last minutes (measured: 0.9 s against 197 s with two threads on two busy cores).
    with threadpool_limits(limits=1, user_api="openmp"):
        tstr, trtr = (_fit_and_score(x, y, *x_test, classes, seed) for x, y in train_sets)
    rows = {"synthetic": len(train_sets[0][1]), "real": len(train_sets[1][1]), "test": len(y_test)}
    ranges: dict[str, tuple[float | None, float | None]] = {"R2": (None, 1.0)}
    scores = tuple(
        Score(name, tstr[name], trtr[name], meaning=MEANING[name], range=ranges.get(name, (0.0, 1.0))) for name in tstr
    )
    return Utility(target, _task(classes), _positive(classes), scores, rows, " ".join(notes))


def _classes(column: pd.Series) -> list[Any]:
    """List the classes of the real target, the most frequent first (so the last one is the rarest)."""
    values = _class_values(column, column)
    counts = pd.Series(values, dtype=object).value_counts()
    if len(counts) < 2:
        raise DataError(
            f"The target {column.name!r} must have at least two classes in the real table. "
            f"Got {list(counts.index)}. Choose another target, or target=None to skip this comparison."
        )
    return list(counts.index)


def _class_values(column: pd.Series, like: pd.Series) -> np.ndarray:
    """Return classes as objects that compare equal between tables (1 and 1.0, category and str)."""
    if column_kind(like) != "numeric":
        return as_values(column)
    numbers = as_numbers(column, "numeric")
    return np.array([None if np.isnan(x) else x for x in numbers], dtype=object)


def _target(column: pd.Series, real: pd.Series, classes: list[Any] | None) -> np.ndarray:
    """Return the target as floats: positions in `classes` or plain numbers; NaN where it cannot be used."""
    if classes is None:
        kind = column_kind(real)
        numbers = as_numbers(column, kind)
        if not np.isfinite(numbers).any() and column is real:
            raise DataError(f"The target {real.name!r} is missing in every real row. Choose another target.")
        return np.where(np.isfinite(numbers), numbers, np.nan)
    codes = pd.Index(classes, dtype=object).get_indexer(pd.Index(_class_values(column, real), dtype=object))
    return np.where(codes < 0, np.nan, codes.astype(float))


def _with_target(x: pd.DataFrame, y: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    usable = np.isfinite(y)
    return x[usable], y[usable]


def _split(
    real: pd.DataFrame,
    y: np.ndarray,
    holdout: pd.DataFrame | None,
    target: Any,
    classes: list[Any] | None,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]:
    """Return real rows to learn from and real rows to score on, each with its target."""
    if holdout is None:
        x, y = _with_target(real, y)
        stratify = y if classes is not None and np.bincount(y.astype(int)).min() >= 2 else None
        if len(x) < 10:
            raise DataError(f"A split of the real table needs 10 rows with a target. Got {len(x)}. Pass holdout=.")
        # A stratified 20 % needs one row per class; with many classes and few rows split plainly.
        if stratify is not None and classes is not None and len(x) // 5 < len(classes):
            stratify = None
        learn, test, y_learn, y_test = train_test_split(x, y, test_size=0.2, random_state=seed, stratify=stratify)
    else:
        learn, y_learn = _with_target(real, y)
        test, y_test = _with_target(holdout, _target(holdout[target], real[target], classes))
    if (classes is not None and len(np.unique(y_test)) < 2) or len(y_test) < 2:
        raise DataError(
            f"The real rows to test on must hold two classes of the target {target!r}. "
            f"Got {len(y_test)} rows of {len(np.unique(y_test))} value(s). Pass a larger holdout."
        )
    return learn, test, y_learn, y_test


def _capped(x: pd.DataFrame, y: np.ndarray, max_rows: int, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    if len(y) <= max_rows:
        return x, y
    rows = np.sort(rng.choice(len(y), size=max_rows, replace=False))
    return x.iloc[rows], y[rows]


def _row_notes(n_dropped: int, classes: list[Any] | None, y_synthetic: np.ndarray) -> list[str]:
    notes = []
    if n_dropped:
        notes.append(f"{n_dropped} synthetic rows without a usable target were left out.")
    if len(np.unique(y_synthetic)) < 2:
        what = "values" if classes is None else "classes"
        notes.append(f"The synthetic table has fewer than two {what} of the target, so its score is that of guessing.")
    return notes


def _fit_and_score(
    x: pd.DataFrame,
    y: np.ndarray,
    x_test: pd.DataFrame,
    y_test: np.ndarray,
    classes: list[Any] | None,
    seed: int,
) -> dict[str, float]:
    features, test_features = _encode(x, x_test)
    if classes is None:
        if len(np.unique(y)) < 2:
            return {"R2": 0.0}
        model = HistGradientBoostingRegressor(random_state=seed).fit(features, y)
        return {"R2": float(r2_score(y_test, model.predict(test_features)))}
    chances = np.zeros((len(y_test), len(classes)))
    if len(np.unique(y)) >= 2:
        model = boosting(features, y, seed)
        chances[:, model.classes_.astype(int)] = model.predict_proba(test_features)
    return _class_scores(y_test, chances)


def boosting(features: np.ndarray, y: np.ndarray, seed: int) -> HistGradientBoostingClassifier:
    """Fit gradient boosting to two classes or more.

    Above 10,000 rows it ends by itself, on a tenth of the rows that scikit-learn draws by class. It refuses a class of
    one row there: then all steps are taken.
    """
    early: Any = "auto" if np.unique(y, return_counts=True)[1].min() >= 2 else False
    return HistGradientBoostingClassifier(early_stopping=early, random_state=seed).fit(features, y)


def _class_scores(y_test: np.ndarray, chances: np.ndarray) -> dict[str, float]:
    """Score one-vs-rest, macro over the classes in the test rows; with two classes only the rarer one counts.

    Equal chances for all rows (a model that cannot tell them apart) give an AUC of exactly 0.5.
    """
    n_classes = chances.shape[1]
    scored = [n_classes - 1] if n_classes == 2 else [c for c in range(n_classes) if np.any(y_test == c)]
    return {
        "ROC AUC": float(np.mean([roc_auc_score(y_test == c, chances[:, c]) for c in scored])),
        "Average precision": float(np.mean([average_precision_score(y_test == c, chances[:, c]) for c in scored])),
    }


def _encode(train: pd.DataFrame, test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Turn features to floats of shapes (n_train, n_features), (n_test, n_features), coded by `train`.

    The kind of a column is that of the real rows to test on, so both models see the same encoding.
    """
    pairs = [_encode_column(train[name], test[name]) for name in test.columns]
    if not pairs:
        return np.zeros((len(train), 1)), np.zeros((len(test), 1))
    features, test_features = (np.column_stack([pair[side] for pair in pairs]) for side in (0, 1))
    empty = np.isnan(features).all(axis=0)  # gradient boosting refuses these: nothing can be learned from them
    features[:, empty], test_features[:, empty] = 0.0, 0.0
    return features, test_features


def _encode_column(train: pd.Series, test: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    kind = column_kind(test)
    if kind in ("numeric", "datetime"):
        return as_numbers(train, kind), as_numbers(test, kind)
    levels = pd.Series(as_values(train), dtype=object).value_counts().index
    known = pd.Index(levels, dtype=object)
    codes = [known.get_indexer(pd.Index(as_values(column), dtype=object)).astype(float) for column in (train, test)]
    return np.where(train.isna(), np.nan, codes[0]), np.where(test.isna(), np.nan, codes[1])


def _task(classes: list[Any] | None) -> str:
    if classes is None:
        return "regression"
    return "binary" if len(classes) == 2 else "multiclass"


def _positive(classes: list[Any] | None) -> Any:
    if classes is None or len(classes) != 2:
        return None
    rare = classes[1]
    return int(rare) if isinstance(rare, float) else rare
