"""The ways to train a classifier that augment.py compares: each returns the rows to fit to, or None where it cannot.

An arm sees the team's own rows and a generator that it was given, if any; none sees a test row.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from augment_tables import Teams
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

HERE = Path(__file__).parent
Model = Any


@dataclass
class Training:
    """What a classifier is fitted to; `encoded` rows are numbers already, by the `encoder` that test rows need too."""

    X: Any
    y: np.ndarray
    encoder: Pipeline
    encoded: bool = False
    balanced: bool = False


def classifier(name: str, *, balanced: bool, encoded: bool) -> Any:
    """Return one of the three classifiers; none is stopped early, as rows held out for that may be synthetic."""
    weight = "balanced" if balanced else None
    if name == "logistic regression":
        return LogisticRegression(C=0.1, max_iter=500, class_weight=weight)
    small = {"max_leaf_nodes": 8, "learning_rate": 0.05} if name == "boosting, small trees" else {}
    levels = None if encoded else "from_dtype"
    return HistGradientBoostingClassifier(
        categorical_features=levels, early_stopping=False, class_weight=weight, random_state=0, **small
    )


CLASSIFIERS = ("boosting", "boosting, small trees", "logistic regression")


def scores(name: str, training: Training, test: pd.DataFrame) -> np.ndarray:
    """Return the classifier's scores of the test rows."""
    linear = name == "logistic regression"
    fitted = classifier(name, balanced=training.balanced, encoded=training.encoded)
    convert = (linear and not training.encoded, linear or training.encoded)
    X = training.encoder.transform(training.X) if convert[0] else training.X
    fitted.fit(X, training.y)
    return fitted.predict_proba(training.encoder.transform(test) if convert[1] else test)[:, 1]


def plain(known: Teams, rows: pd.DataFrame, *, balanced: bool = False) -> Training:
    """Train on these rows as they are."""
    X = known.features.mixed(rows)
    return Training(X, rows[known.label].to_numpy(dtype=int), known.features.encoder(X), balanced=balanced)


def resampled(known: Teams, kind: str, strategy: Any, seed: int) -> Training | None:
    """Train on rows resampled by a class of imbalanced-learn; None where that package is not installed."""
    try:
        from imblearn import over_sampling
    except ImportError:
        return None
    base = plain(known, known.own)
    if kind == "SMOTE":  # on numbers only, so the classifier sees the encoded rows
        X, y = over_sampling.SMOTE(sampling_strategy=strategy, random_state=seed).fit_resample(
            base.encoder.transform(base.X), base.y
        )
        return Training(X, y, base.encoder, encoded=True)
    other = {"categorical_features": "auto"} if kind == "SMOTENC" else {}
    sampler = getattr(over_sampling, kind)(sampling_strategy=strategy, random_state=seed, **other)
    X, y = sampler.fit_resample(base.X, base.y)
    return Training(X, y, base.encoder)


def augmented(known: Teams, model: Model, strategy: Any, seed: int) -> Training:
    """Train on own rows and rows of privsynth's sampler; no `strategy` is its default."""
    from privsynth.augment import augment

    given = {} if strategy is None else {"sampling_strategy": strategy}
    X, y = augment(known.own.drop(columns=known.label), known.own[known.label], model, random_state=seed, **given)
    return plain(known, X.assign(**{known.label: y}))


def from_ctgan(known: Teams, rows: pd.DataFrame, seed: int, work: Path, python: Path) -> Training | None:
    """Train on own rows and as many rare ones again, by the ctgan package fitted to the rare rows of `rows`."""
    if not python.exists():
        return None
    cases = rows[rows[known.label]].drop(columns=known.label).reset_index(drop=True)
    train, out = work / "ctgan.train.parquet", work / "ctgan.out.parquet"
    cases.to_parquet(train)
    job = {"name": "ctgan", "train": str(train), "out": str(out), "seed": seed, "gigabytes": 8, "limit": 1800}
    (work / "ctgan.job").write_text(json.dumps(job), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    with open(work / "ctgan.log", "w", encoding="utf-8") as log:
        command = [str(python), str(HERE / "peers_worker.py"), str(work / "ctgan.job")]
        subprocess.run(command, stdout=log, stderr=log, env=environment, check=True)
    made = pd.read_parquet(out)[: int(known.own[known.label].sum())].assign(**{known.label: True})
    for name in made.select_dtypes(["object", "string"]):
        made[name] = made[name].astype(object)
    return plain(known, pd.concat([known.own, made[known.own.columns]], ignore_index=True))


def simple_arms(known: Teams, seed: int) -> dict[str, Callable[[], Training | None]]:
    """Return the arms that need no generator."""
    own = known.own
    few = {1: 2 * int(own[known.label].sum())}
    return {
        "no resampling": lambda: plain(known, own),
        "class weights": lambda: plain(known, own, balanced=True),
        "random oversampling": lambda: resampled(known, "RandomOverSampler", "auto", seed),
        "SMOTE": lambda: resampled(known, "SMOTE", "auto", seed),
        "SMOTE, twice the cases": lambda: resampled(known, "SMOTE", few, seed),
        "SMOTENC": lambda: resampled(known, "SMOTENC", "auto", seed),
        "SMOTENC, twice the cases": lambda: resampled(known, "SMOTENC", few, seed),
    }
