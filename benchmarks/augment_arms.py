"""The ways to train a classifier that augment.py compares: each returns the rows to fit to, or why it has none.

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
    """What a classifier is fitted to; `encoded` rows are numbers already, by the `encoder` that test rows need too.

    `test` holds the test rows where they have columns of their own.
    """

    X: Any
    y: np.ndarray
    encoder: Pipeline
    encoded: bool = False
    balanced: bool = False
    test: pd.DataFrame | None = None


def classifier(name: str, *, balanced: bool, encoded: bool) -> Any:
    """Return a classifier. Boosting is not stopped early, as the rows held out for that may be synthetic.

    Its trees are small and its steps short: on 50 to 500 cases that was better than scikit-learn's defaults.
    """
    weight = "balanced" if balanced else None
    if name == "logistic regression":
        return LogisticRegression(C=0.1, max_iter=500, class_weight=weight)
    return HistGradientBoostingClassifier(
        max_leaf_nodes=8,
        learning_rate=0.05,
        categorical_features=None if encoded else "from_dtype",
        early_stopping=False,
        class_weight=weight,
        random_state=0,
    )


CLASSIFIERS = ("boosting", "logistic regression")


def scores(name: str, training: Training, test: pd.DataFrame) -> np.ndarray:
    """Return the classifier's scores of the test rows."""
    linear = name == "logistic regression"
    fitted = classifier(name, balanced=training.balanced, encoded=training.encoded)
    convert = (linear and not training.encoded, linear or training.encoded)
    X = training.encoder.transform(training.X) if convert[0] else training.X
    fitted.fit(X, training.y)
    test = test if training.test is None else training.test
    return fitted.predict_proba(training.encoder.transform(test) if convert[1] else test)[:, 1]


def plain(known: Teams, rows: pd.DataFrame, *, balanced: bool = False) -> Training:
    """Train on these rows as they are."""
    X = known.features.mixed(rows)
    return Training(X, rows[known.label].to_numpy(dtype=int), known.features.encoder(X), balanced=balanced)


def resampled(known: Teams, kind: str, strategy: Any, seed: int) -> Training | str:
    """Train on rows resampled by a class of imbalanced-learn where that package is installed."""
    try:
        from imblearn import over_sampling
    except ImportError:
        return "imbalanced-learn is not installed"
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


def with_odds(known: Teams, model: Model) -> Training | str:
    """Train on own rows with one more column: how much likelier the model finds a row as a case than as none."""
    from privsynth.errors import DataError

    def odds(frame: pd.DataFrame) -> Any:
        rows = frame.drop(columns=known.label)
        likelier = model.score_samples(rows.assign(**{known.label: True}))
        return (likelier - model.score_samples(rows.assign(**{known.label: False}))).fillna(0).clip(-20, 20)

    try:
        own, test = (known.features.mixed(f).assign(odds=odds(f)) for f in (known.own, known.test))
    except DataError as error:  # a level that the other team has not seen
        return str(error)
    return Training(own, known.own[known.label].to_numpy(dtype=int), known.features.encoder(own), test=test)


def both_classes(known: Teams, model: Model, seed: int) -> Training:
    """Train on own rows and as many of the model again, of both classes as it has learned them."""
    made = model.sample(len(known.own), random_state=seed)
    return plain(known, pd.concat([known.own, made], ignore_index=True))


def from_ctgan(known: Teams, rows: pd.DataFrame, key: str, options: Any) -> Training | str:
    """Train on own rows and as many cases again, made by the ctgan package fitted to the cases among `rows`."""
    python = options.peers / "ctgan" / "bin" / "python"
    train, out = (options.work / f"{key}.ctgan.{part}.parquet" for part in ("train", "out"))
    if not python.exists():
        return "ctgan is not installed"
    if not out.with_suffix(".json").exists():
        rows[rows[known.label]].drop(columns=known.label).reset_index(drop=True).to_parquet(train)
        seed = int(key.rsplit("-", 1)[1])
        job = {"name": "ctgan", "train": str(train), "out": str(out), "seed": seed, "gigabytes": 8, "limit": 1800}
        path = out.with_suffix(".job")
        path.write_text(json.dumps(job), encoding="utf-8")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
        with open(out.with_suffix(".log"), "w", encoding="utf-8") as log:
            command = [str(python), str(HERE / "peers_worker.py"), str(path)]
            subprocess.run(command, stdout=log, stderr=log, env=environment, check=True)
    if error := json.loads(out.with_suffix(".json").read_text(encoding="utf-8")).get("error"):
        return error
    n_cases = int(known.own[known.label].sum())
    made = pd.read_parquet(out)[:n_cases].assign(**{known.label: True})
    return plain(known, pd.concat([known.own, made[known.own.columns]], ignore_index=True))


def simple_arms(known: Teams, seed: int) -> dict[str, Callable[[], Training | str]]:
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
