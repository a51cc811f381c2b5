"""What a synthetic table is worth, by the same measures whoever made it: pure functions of tables.

- TVD1, TVD2: mean total variation distance of all columns, of all pairs, with 20 quantile bins (`marginal_tvd`).
- TVD3: the same of `TRIPLES` fixed random triples, coarser: 8 quantile bins, the 8 most frequent categories and a
  cell for all others.
- TVD2 by class: TVD2 of the other columns among the rows of one class of the target, mean over the classes.
- quality: the SDMetrics Quality score, all pairs counted (`sdmetrics_quality`).
- TSTR, AP: gradient boosting learned from the synthetic rows, ROC AUC and average precision of the rarer class on
  real held-out rows (`train_synthetic_test_real`). Linear: the same with a logistic regression.
- recall at precision p: the largest share of the rarer class that gradient boosting learned from the synthetic rows
  finds on real held-out rows at a threshold where at least p of what it reports is right; 0 where there is none.
- detection: ROC AUC of gradient boosting that tells synthetic rows from real ones, predicted out of fold
  (`FOLDS` folds) on equal numbers of both, `MOST` each at most; the real ones are drawn from training rows and
  holdout together. Equal rows are in one fold: a copied row is no hint that its twin is not real. 0.5: cannot be
  told apart; 1: every row can.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from privsynth.evaluation import marginal_tvd, sdmetrics_quality, train_synthetic_test_real
from privsynth.evaluation.binning import as_numbers, as_values, column_kind, level_codes
from privsynth.evaluation.utility import _class_values, _classes, _encode, _target, boosting

TRIPLES, COARSE = 60, 8
FOLDS, MOST = 3, 20_000
LEVELS = 50
Measures = dict[str, float | None]


def measure(train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, *, target: str) -> dict[str, Any]:
    """Return every measure of a synthetic table, and "notes" on what could not be measured as meant."""
    synthetic = synthetic[list(train.columns)]
    by_class, lacking = class_tvd(train, synthetic, target=target)
    boosted = train_synthetic_test_real(train, synthetic, target=target, holdout=holdout)
    scores = {score.name: score for score in boosted.scores}
    notes = [boosted.note, f"no synthetic rows of the classes {lacking}" if lacking else ""]
    return {
        "TVD1": marginal_tvd(train, synthetic).mean,
        "TVD2": marginal_tvd(train, synthetic, order=2).mean,
        "TVD3": triple_tvd(train, synthetic),
        "TVD2 by class": by_class,
        "quality": sdmetrics_quality(train, synthetic).overall,
        "TSTR": scores["ROC AUC"].value,
        "AP": scores["Average precision"].value,
        "TRTR": scores["ROC AUC"].reference,
        **linear(train, holdout, synthetic, target=target),
        **rare_recall(train, holdout, synthetic, target=target),
        "detection": detection(pd.concat([train, holdout], ignore_index=True), synthetic),
        "notes": " ".join(filter(None, notes)),
    }


def measure_real(train: pd.DataFrame, holdout: pd.DataFrame, *, target: str) -> dict[str, Any]:
    """Return what real rows get: the training rows as what is learned from, the holdout as another sample."""
    return {
        **measure(train, holdout, train, target=target),
        "TVD1": marginal_tvd(train, holdout).mean,
        "TVD2": marginal_tvd(train, holdout, order=2).mean,
        "TVD3": triple_tvd(train, holdout),
        "TVD2 by class": class_tvd(train, holdout, target=target)[0],
        "quality": sdmetrics_quality(train, holdout).overall,
        "detection": detection(train, holdout),
    }


def triple_tvd(real: pd.DataFrame, synthetic: pd.DataFrame) -> float | None:
    """Return the mean total variation distance of fixed random triples; None below three columns."""
    triples = list(itertools.combinations(real.columns, 3))
    if not triples:
        return None
    if len(triples) > TRIPLES:
        picked = np.random.default_rng(0).choice(len(triples), TRIPLES, replace=False)
        triples = [triples[i] for i in np.sort(picked)]
    codes = {name: _coarse_codes(real[name], synthetic[name]) for name in real}
    return float(np.mean([_joint_tvd([codes[name] for name in triple]) for triple in triples]))


def _coarse_codes(real: pd.Series, synthetic: pd.Series) -> tuple[np.ndarray, np.ndarray, int]:
    """Code a column by few cells; unseen categories go with the rare ones, missing values have a cell."""
    first, second, size = level_codes(real, synthetic, bins=COARSE)
    if column_kind(real) in ("numeric", "datetime"):
        return first, second, size
    counts = np.bincount(first, minlength=size)[: size - 2]
    cells = np.full(size, COARSE)
    kept = np.argsort(-counts, kind="stable")[:COARSE]
    cells[kept], cells[size - 1] = np.arange(len(kept)), COARSE + 1
    return cells[first], cells[second], COARSE + 2


def _joint_tvd(codes: list[tuple[np.ndarray, np.ndarray, int]]) -> float:
    sizes = [size for _, _, size in codes]
    tables = []
    for side in (0, 1):
        flat = np.ravel_multi_index([code[side] for code in codes], sizes)
        tables.append(np.bincount(flat, minlength=int(np.prod(sizes))) / len(flat))
    return float(0.5 * np.abs(tables[0] - tables[1]).sum())


def class_tvd(real: pd.DataFrame, synthetic: pd.DataFrame, *, target: str) -> tuple[float, list[Any]]:
    """Return the mean TVD2 within classes of the target, and the classes without synthetic rows (their TVD is 1)."""
    classes = _classes(real[target])
    place, other = _target(real[target], real[target], classes), _target(synthetic[target], real[target], classes)
    found, lacking = [], []
    for number, label in enumerate(classes):
        rows, others = real[place == number], synthetic[other == number]
        if len(others):
            distances = marginal_tvd(rows.drop(columns=target), others.drop(columns=target), order=2)
            found.append(distances.mean)
        else:
            found.append(1.0)
            lacking.append(label)
    return float(np.mean(found)), lacking


def linear(train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, *, target: str) -> Measures:
    """Return ROC AUC and average precision of a logistic regression learned from synthetic rows; .5 if it cannot be."""
    y, rows, y_test = _labels(train, holdout, synthetic, target)
    if len(np.unique(y)) < 2:
        return {"linear": 0.5, "linear AP": float(y_test.mean())}
    columns = [name for name in train if name != target]
    numbers = [name for name in columns if column_kind(train[name]) in ("numeric", "datetime")]
    texts = [name for name in columns if name not in numbers]
    model = make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numbers),
            (OneHotEncoder(max_categories=LEVELS, handle_unknown="infrequent_if_exist"), texts),
        ),
        LogisticRegression(max_iter=1000),
    )
    with threadpool_limits(1):
        model.fit(_readable(rows[columns], train, numbers), y)
        chances = model.predict_proba(_readable(holdout[columns], train, numbers))[:, 1]
    return {
        "linear": float(roc_auc_score(y_test, chances)),
        "linear AP": float(average_precision_score(y_test, chances)),
    }


def rare_recall(train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, *, target: str) -> Measures:
    """Return the recall of the rarer class at precisions .5 and .9."""
    y, rows, y_test = _labels(train, holdout, synthetic, target)
    if len(np.unique(y)) < 2:
        return {"recall at .5": 0.0, "recall at .9": 0.0}
    features, test = _encode(rows.drop(columns=target), holdout.drop(columns=target))
    with threadpool_limits(1):
        model = boosting(features, y, 0)
        precision, recall, _ = precision_recall_curve(y_test, model.predict_proba(test)[:, 1])
    return {f"recall at .{p}": float(recall[precision >= p / 10].max(initial=0.0)) for p in (5, 9)}


def detection(real: pd.DataFrame, synthetic: pd.DataFrame) -> float:
    """Return how well gradient boosting tells synthetic rows from real ones: ROC AUC out of fold."""
    rng = np.random.default_rng(0)
    n = min(len(real), len(synthetic), MOST)
    sides = [frame.iloc[rng.choice(len(frame), n, replace=False)] for frame in (real, synthetic)]
    features = np.column_stack([_codes(real[name], [side[name] for side in sides]) for name in real])
    features = np.where(np.isnan(features).all(axis=0), 0.0, features)  # sklearn wants a value in every column
    labels = np.repeat([0, 1], n)
    folds = PredefinedSplit(pd.util.hash_pandas_object(pd.DataFrame(features), index=False) % FOLDS)
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(random_state=0)
        chances = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, chances))


def _codes(real: pd.Series, sides: list[pd.Series]) -> np.ndarray:
    """Return a column of both tables as numbers: dates as seconds, levels by falling frequency in both, NaN missing."""
    kind = column_kind(real)
    if kind in ("numeric", "datetime"):
        return np.concatenate([as_numbers(side, kind) for side in sides])
    values = np.concatenate([as_values(side) for side in sides])
    levels = pd.Index(pd.Series(values, dtype=object).value_counts().index, dtype=object)
    return np.where(pd.isna(values), np.nan, levels.get_indexer(pd.Index(values, dtype=object)).astype(float))


def _labels(
    train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, target: str
) -> tuple[np.ndarray, pd.DataFrame, np.ndarray]:
    """Return which synthetic rows are of the rarest class, these rows (of known class), and which holdout rows are."""
    classes = _classes(train[target])
    y = _target(synthetic[target], train[target], classes)
    usable = np.isfinite(y)
    y_test = _class_values(holdout[target], train[target]) == classes[-1]
    return y[usable] == len(classes) - 1, synthetic[usable], y_test.astype(bool)


def _readable(frame: pd.DataFrame, like: pd.DataFrame, numbers: list[str]) -> pd.DataFrame:
    """Return numbers as floats (dates as seconds) and everything else as text."""
    columns: dict[str, Any] = {}
    for name in frame:
        kind = column_kind(like[name])
        if name in numbers:
            values = as_numbers(frame[name], kind)
            columns[name] = np.where(np.isinf(values), np.nan, values)
        else:
            columns[name] = np.array([str(value) for value in as_values(frame[name])], dtype=object)
    return pd.DataFrame(columns)
