"""More rows of the rare classes, made by a model: for classifiers that see too few of them.

`SyntheticOverSampler` has the interface of a sampler of imbalanced-learn, ``fit_resample``, and so stands in its
``Pipeline``; that package is not needed. What it returns holds the rows that it was given: it is as private as
these are. Only a generator fitted elsewhere is covered by its own certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from privsynth._checks import check_real, parameter_error
from privsynth._random import as_generator
from privsynth.errors import DataError
from privsynth.synthesizers import CTGAN, Synthesizer

_STRATEGIES = ("modest", "auto", "minority", "not majority", "not minority", "all")
MODEST = 200
"""Rows that the default adds to each class but the largest, at most (benchmarks/augment.py). They weigh as much as so
many labelled cases: a lot beside fifty real ones, little beside thousands, which need them less."""

Strategy = str | float | Mapping[Any, int] | Callable[[Any], Mapping[Any, int]]


class SyntheticOverSampler(BaseEstimator):
    """Adds synthetic rows of the classes that are too rare.

    Parameters
    ----------
    synthesizer : Synthesizer, optional
        A fitted one is used as it is, and never refitted or copied: it may have learned another team's rows, which
        nobody here sees. An unfitted one is cloned and learns the rows that are resampled, with its `target` set to
        the label where it has none. By default ``CTGAN(epsilon=None)``, which is not private and warns.
    sampling_strategy : str, float, dict or callable, default "modest"
        "modest" adds 200 rows to each class but the largest, and makes none larger than that one; it was best or
        near it where benchmarks/augment.py tried, and evening out the classes was not. All others are as in
        imbalanced-learn. "minority", "not minority", "not majority" ("auto" is that) and "all" bring these
        classes to the size of the largest one. A number is the wanted ratio of the minority to the majority, for two
        classes. A dict has the wanted number of rows of each class, those there are included. A callable is given
        y and returns such a dict.
    target : str, optional
        What the label is called in a fitted synthesizer; by default the name of y, or else the synthesizer's target.
    random_state : None, int or numpy Generator
        Reproduces the sample.

    Attributes
    ----------
    sampling_strategy_ : dict
        How many rows of each class were made.
    synthesizer_ : Synthesizer
        What made them.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Of X, the names where it is a DataFrame; a pipeline that begins with the sampler asks for them.

    Examples
    --------
    ``SyntheticOverSampler(model).fit_resample(X, y)``
    """

    _estimator_type = "sampler"
    _sampling_type = "over-sampling"

    def __init__(
        self,
        synthesizer: Synthesizer | None = None,
        *,
        sampling_strategy: Strategy = "modest",
        target: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.synthesizer = synthesizer
        self.sampling_strategy = sampling_strategy
        self.target = target
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> SyntheticOverSampler:
        """Work out how many rows of each class are to be made, and fit the synthesizer unless it is fitted.

        Raises
        ------
        ParameterError
            When the strategy does not suit the classes.
        """
        frame, label = _as_table(X, y)
        self.sampling_strategy_ = wanted_rows(self.sampling_strategy, label)
        self.target_, self.synthesizer_ = self._fitted(frame, label)
        self.n_features_in_ = frame.shape[1]
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Return the rows and labels that were given, followed by the synthetic ones.

        Parameters
        ----------
        X : DataFrame, or ndarray of shape (n_rows, n_columns)
            Features as the synthesizer knows them.
        y : Series or array of shape (n_rows,)
            The label of each row.

        Returns
        -------
        X_resampled, y_resampled
            In the forms and data types of X and y.

        Raises
        ------
        ParameterError, DataError
            When the strategy does not suit the classes, or the synthesizer has other columns.
        ConditionError
            When the synthesizer does not know a class.
        """
        rng = as_generator(self.random_state, "SyntheticOverSampler")
        self.fit(X, y)
        frame, label = _as_table(X, y)
        parts = [
            self.synthesizer_.sample(count, conditions={self.target_: value}, random_state=rng)
            for value, count in self.sampling_strategy_.items()
            if count
        ]
        made = np.repeat(np.array(list(self.sampling_strategy_), dtype=object), list(self.sampling_strategy_.values()))
        if parts:
            rows = pd.concat(parts, ignore_index=True)
            if lacking := [name for name in frame if name not in rows]:
                raise DataError(
                    f"The synthesizer has not learned columns {lacking} of X. It has {list(rows.columns)}. Fit it on "
                    "them, or leave them out of X."
                )
            added = rows[list(frame.columns)]
            frame = pd.concat([frame, _typed(added, frame)], ignore_index=True)
            label = pd.concat([label, pd.Series(made, dtype=object).astype(label.dtype)], ignore_index=True)
            label.name = getattr(y, "name", None)
        if not isinstance(X, pd.DataFrame):
            return frame.to_numpy(), label.to_numpy()
        return frame, label if isinstance(y, pd.Series) else label.to_numpy()

    def _fitted(self, frame: pd.DataFrame, label: pd.Series) -> tuple[str, Synthesizer]:
        """Return the name of the label and a fitted synthesizer."""
        model = CTGAN(epsilon=None) if self.synthesizer is None else self.synthesizer
        if not isinstance(model, Synthesizer):
            raise parameter_error("SyntheticOverSampler", "synthesizer", "a synthesizer such as CTGAN()", model)
        fitted = hasattr(model, "encoder_")
        own = getattr(model, "target", None)
        name = self.target or (str(label.name) if label.name is not None else own) or "target"
        if fitted:
            if name not in model.columns_:
                remedy = "Name the label with target=..., or name y like it."
                raise parameter_error(
                    "SyntheticOverSampler", "target", f"among the columns {list(model.columns_)}", name, remedy
                )
            return name, model
        fresh = clone(model)
        if "target" in fresh.get_params() and own is None:
            fresh.set_params(target=name)
        return name, fresh.fit(frame, label.rename(name))

    def __sklearn_clone__(self) -> SyntheticOverSampler:
        """Keep a fitted synthesizer, which `clone` would forget: what it learned from may be elsewhere."""
        kept = self.synthesizer if hasattr(self.synthesizer, "encoder_") else clone(self.synthesizer, safe=False)
        return type(self)(
            kept, sampling_strategy=self.sampling_strategy, target=self.target, random_state=self.random_state
        )


def augment(
    X: Any,
    y: Any,
    synthesizer: Synthesizer | None = None,
    *,
    sampling_strategy: Strategy = "modest",
    target: str | None = None,
    random_state: Any = None,
) -> tuple[Any, Any]:
    """Return rows and labels with synthetic ones of the rare classes added: `SyntheticOverSampler` in one call.

    >>> from privsynth.datasets import make_transactions
    >>> table = make_transactions(3000, fraud_rate=0.2, random_state=0)[["amount", "channel", "is_fraud"]]
    >>> model = CTGAN(epsilon=5.0, target="is_fraud", steps=20, random_state=0).fit(table)
    >>> X, y = augment(table[["amount", "channel"]], table["is_fraud"], model, random_state=0)
    >>> int(y.sum() - table["is_fraud"].sum()), len(X) - len(table)
    (200, 200)
    """
    sampler = SyntheticOverSampler(
        synthesizer, sampling_strategy=sampling_strategy, target=target, random_state=random_state
    )
    return sampler.fit_resample(X, y)


def wanted_rows(strategy: Strategy, y: pd.Series) -> dict[Any, int]:
    """Return how many rows of each class are to be made.

    >>> wanted_rows("auto", pd.Series([0, 0, 0, 1])), wanted_rows({1: 5}, pd.Series([0, 0, 0, 1]))
    ({1: 2}, {1: 4})
    """
    if y.isna().any() or y.nunique() < 2:
        raise DataError("y must have two classes or more and no missing values. Leave rows without a label out.")
    counts = _class_sizes(y)
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    given = strategy(y) if callable(strategy) else strategy
    if isinstance(given, Mapping):
        return _from_totals(given, counts)
    if isinstance(given, str):
        chosen = {
            "minority": [least],
            "not minority": [value for value in counts if value != least],
            "all": list(counts),
        }.get(given, [value for value in counts if value != most])
        bound = MODEST if given == "modest" else counts[most]
        if given in _STRATEGIES:
            return {value: min(bound, counts[most] - counts[value]) for value in chosen}
        raise _no_strategy(strategy)
    if isinstance(given, bool) or not isinstance(given, (int, float, np.number)):
        raise _no_strategy(strategy)
    remedy = "Use a dict of class sizes for more classes."
    ratio = check_real("SyntheticOverSampler", "sampling_strategy", float(given), low=0, low_open=True, high=1)
    if len(counts) != 2:
        raise parameter_error(
            "SyntheticOverSampler", "sampling_strategy", f"no number for {len(counts)} classes", given, remedy
        )
    rarer = next(value for value in counts if value != most)
    more = int(ratio * counts[most] - counts[rarer])
    if more <= 0:
        wanted = f"more than {counts[rarer] / counts[most]:.4g}, the ratio that y has, by a row or more"
        remedy = "No rows are taken away. Use 'auto' where nothing may be left to do."
        raise parameter_error("SyntheticOverSampler", "sampling_strategy", wanted, given, remedy)
    return {rarer: more}


def _class_sizes(y: pd.Series) -> dict[Any, int]:
    """Return the rows of each class, in the order of the classes: of equally large ones the first is the largest."""
    counts = {value: int(n) for value, n in y.value_counts(sort=False).items()}
    try:
        return dict(sorted(counts.items()))
    except TypeError:  # classes of several types have no order; that of the rows is as good
        return counts


def _from_totals(totals: Mapping[Any, int], counts: Mapping[Any, int]) -> dict[Any, int]:
    for value, total in totals.items():
        if value not in counts:
            raise parameter_error(
                "SyntheticOverSampler", "sampling_strategy", f"about the classes {list(counts)}", value
            )
        if total < counts[value]:
            wanted = f"at least {counts[value]} rows of class {value!r}, which y has"
            raise parameter_error("SyntheticOverSampler", "sampling_strategy", wanted, total, "No rows are taken away.")
    return {value: int(totals[value]) - n_rows for value, n_rows in counts.items() if value in totals}


def _no_strategy(strategy: Any) -> Exception:
    wanted = "one of " + ", ".join(map(repr, _STRATEGIES)) + ", a number, a dict of class sizes or a callable"
    return parameter_error("SyntheticOverSampler", "sampling_strategy", wanted, strategy)


def _as_table(X: Any, y: Any) -> tuple[pd.DataFrame, pd.Series]:
    """Return features and labels in pandas' forms, numbered from 0; never changes the caller's."""
    if isinstance(X, np.ndarray) and X.ndim == 2:
        X = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    if not isinstance(X, pd.DataFrame):
        raise DataError(f"X must be a DataFrame or an array of two dimensions. Got {type(X).__name__}.")
    if not isinstance(y, pd.Series) and np.ndim(y) != 1:
        raise DataError(f"y must be one column of labels. Got {np.ndim(y)} dimensions. Use a Series or np.ravel(y).")
    label = y if isinstance(y, pd.Series) else pd.Series(np.asarray(y))
    if len(label) != len(X):
        raise DataError(f"y has {len(label)} rows and X has {len(X)}: they must be of one length.")
    return X.reset_index(drop=True), label.reset_index(drop=True)


def _typed(added: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Return synthetic rows in the data types of the real ones; levels that a category lacks are missing there."""
    for name in frame:
        dtype = frame[name].dtype
        if added[name].dtype == dtype:
            continue
        try:
            added = added.assign(**{str(name): added[name].astype(dtype)})
        except (ValueError, TypeError) as error:
            raise DataError(
                f"Column {name!r} is {dtype} in X and {added[name].dtype} in the synthesizer ({error}). Convert X."
            ) from error
    return added
