"""Oversampling with synthetic rows: counts by strategy, the given rows untouched, and its place in pipelines."""

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import Pipeline
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_validate

from privsynth import CTGAN
from privsynth.augment import SyntheticOverSampler, augment, wanted_rows
from privsynth.datasets import make_transactions
from privsynth.errors import ConditionError, DataError, ParameterError, PrivsynthWarning

COLUMNS = ["amount", "channel", "device_type"]


@pytest.fixture(scope="module")
def table():
    return make_transactions(3_000, fraud_rate=0.1, random_state=0)[[*COLUMNS, "is_fraud"]]


@pytest.fixture(scope="module")
def model(table):
    """Fitted by somebody who has other rows."""
    other = make_transactions(3_000, fraud_rate=0.2, random_state=1)[[*COLUMNS, "is_fraud"]]
    return CTGAN(5.0, target="is_fraud", steps=30, verbose=False, random_state=0).fit(other)


Y = pd.Series(["a"] * 10 + ["b"] * 4 + ["c"] * 2)


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        ("modest", {"b": 6, "c": 8}),
        ("auto", {"b": 6, "c": 8}),
        ("not majority", {"b": 6, "c": 8}),
        ("minority", {"c": 8}),
        ("not minority", {"a": 0, "b": 6}),
        ("all", {"a": 0, "b": 6, "c": 8}),
        ({"a": 10, "c": 5}, {"a": 0, "c": 3}),
        (lambda y: {"b": 2 * int((y == "b").sum())}, {"b": 4}),
    ],
)
def test_strategies(strategy, wanted):
    assert wanted_rows(strategy, Y) == wanted


def test_the_default_adds_200_cases_to_a_class_and_makes_none_the_largest():
    y = pd.Series([0] * 1_000 + [1] * 50 + [2] * 900)
    assert wanted_rows(SyntheticOverSampler().sampling_strategy, y) == {1: 200, 2: 100}


def test_a_ratio_is_of_two_classes():
    assert wanted_rows(0.5, pd.Series([True] * 20 + [False] * 3)) == {False: 7}
    assert wanted_rows(1.0, pd.Series(["b"] * 5 + ["a"] * 4)) == {"a": 1}


TIED = pd.Series(["b"] * 5 + ["c"] * 3 + ["a"] * 5 + ["d"] * 3)
FEW = pd.Series([True] * 20 + [False] * 3)


@pytest.mark.parametrize("y", [Y, TIED, FEW, pd.Series([2, 1, 1, 2])], ids=["three", "tied", "two", "even"])
@pytest.mark.parametrize(
    "strategy",
    [
        *("auto", "minority", "not minority", "not majority", "all", "majority", "most"),
        *(0.1, 0.5, 0.58, 1, 1.0, 0.0, -0.5, 1.2),
        *({"a": 12}, {"a": 12, "b": 10}, {True: 20, False: 7}, {"a": 1}, {"z": 9}, {"a": -1}, {}),
        lambda y: {value: int((y == value).sum()) + 2 for value in np.unique(y)},
    ],
    ids=lambda strategy: "a function" if callable(strategy) else str(strategy),
)
def test_the_counts_are_those_of_imbalanced_learn(strategy, y):
    """Same classes, same numbers of rows, in the same order; and an error where it has one."""
    other = RandomOverSampler(sampling_strategy=strategy, random_state=0)
    try:
        other.fit_resample(np.zeros((len(y), 1)), y.to_numpy())
    except ValueError:
        with pytest.raises(ValueError, match="The sampling_strategy parameter of SyntheticOverSampler must be"):
            wanted_rows(strategy, y)
    else:
        assert list(wanted_rows(strategy, y).items()) == list(other.sampling_strategy_.items())


def test_classes_without_an_order_are_taken_in_that_of_the_rows():
    assert wanted_rows("auto", pd.Series(["a", "a", 1, "a"])) == {1: 2}


@pytest.mark.parametrize(
    ("strategy", "y", "told"),
    [
        ("most", Y, "must be one of 'modest', 'auto'.* Got 'most'"),
        (True, Y, "must be one of"),
        (0.5, Y, "no number for 3 classes"),
        (0.1, pd.Series([0] * 10 + [1] * 4), "more than 0.4"),
        (1.5, pd.Series([0] * 10 + [1] * 4), r"a number in \(0, 1\]"),
        ({"z": 9}, Y, r"about the classes \['a', 'b', 'c'\]. Got 'z'"),
        ({"a": 3}, Y, "at least 10 rows of class 'a'"),
    ],
)
def test_strategies_that_cannot_be_meant(strategy, y, told):
    with pytest.raises(ParameterError, match=told):
        wanted_rows(strategy, y)
    with pytest.raises(DataError, match="two classes or more"):
        wanted_rows("auto", pd.Series([1, 1]))


def test_the_given_rows_come_first_and_synthetic_ones_follow(table, model):
    X, y = table[COLUMNS], table["is_fraud"]
    sampler = SyntheticOverSampler(model, sampling_strategy=0.5, random_state=0)
    X_more, y_more = sampler.fit_resample(X, y)
    pd.testing.assert_frame_equal(X_more[: len(X)], X)
    pd.testing.assert_series_equal(y_more[: len(y)], y)
    assert y_more.sum() == int(0.5 * (~y).sum())
    assert y_more[len(y) :].all()
    assert X_more.dtypes.equals(X.dtypes)
    assert sampler.sampling_strategy_ == {True: len(X_more) - len(X)}
    assert sampler.synthesizer_ is model
    again = augment(X, y, model, sampling_strategy=0.5, random_state=0)
    pd.testing.assert_frame_equal(again[0], X_more)


def test_arrays_come_back_as_arrays():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1_500, 2)), np.r_[np.zeros(1_200), np.ones(300)].astype(int)
    with pytest.warns(PrivsynthWarning, match="NOT private"):
        X_more, y_more = augment(X, y, CTGAN(None, steps=2, verbose=False), sampling_strategy="auto")
    assert X_more.shape == (2_400, 2)
    assert np.bincount(y_more).tolist() == [1_200, 1_200]
    assert (X_more[:1_500] == X).all()


def test_an_unfitted_synthesizer_learns_the_rows_and_is_left_alone(table):
    template = CTGAN(5.0, steps=2, verbose=False, random_state=0)
    sampler = SyntheticOverSampler(template).fit(table[COLUMNS], table["is_fraud"])
    assert sampler.synthesizer_.target == "is_fraud"
    assert not hasattr(template, "encoder_")
    assert template.target is None


def test_parameters_and_clones(model):
    sampler = SyntheticOverSampler(model, sampling_strategy="minority")
    assert sampler.get_params(deep=False)["sampling_strategy"] == "minority"
    assert sampler.set_params(sampling_strategy=0.5).sampling_strategy == 0.5
    assert clone(sampler).synthesizer is model  # it may have learned what is not here
    unfitted = SyntheticOverSampler(CTGAN(2.0))
    assert clone(unfitted).synthesizer is not unfitted.synthesizer
    assert clone(unfitted).get_params()["synthesizer__epsilon"] == 2.0
    assert clone(SyntheticOverSampler()).synthesizer is None


def test_what_a_pipeline_of_imbalanced_learn_looks_for(model):
    sampler = SyntheticOverSampler(model)
    assert hasattr(sampler, "fit")
    assert hasattr(sampler, "fit_resample")
    assert not hasattr(sampler, "transform")


class Remembering(HistGradientBoostingClassifier):
    """Keeps the class sizes that it was fitted to."""

    def fit(self, X, y):
        self.sizes_ = np.bincount(y).tolist()
        return super().fit(X, y)


@pytest.fixture
def pipeline(model):
    steps = [
        ("more", SyntheticOverSampler(model, sampling_strategy="auto", random_state=0)),
        ("fit", Remembering(max_iter=5)),
    ]
    return Pipeline(steps)


def test_in_a_pipeline_of_imbalanced_learn_only_the_fit_sees_synthetic_rows(table, pipeline):
    X, y = table[["amount"]], table["is_fraud"]
    fitted = pipeline.fit(X, y)
    n_honest = int((~y).sum())
    assert fitted["fit"].sizes_ == [n_honest, n_honest]
    assert len(fitted.predict(X)) == len(table)
    assert fitted.set_params(more__sampling_strategy=0.5).fit(X, y)["fit"].sizes_ == [n_honest, n_honest // 2]
    X_more, y_more = Pipeline([fitted.steps[0]]).fit_resample(X, y)
    assert len(X_more) == len(y_more) == n_honest + n_honest // 2
    assert fitted.n_features_in_ == 1
    assert fitted.feature_names_in_.tolist() == ["amount"]


def test_cross_validation_of_that_pipeline_resamples_each_fold(table, pipeline):
    X, y = table[["amount"]], table["is_fraud"]
    found = cross_validate(pipeline, X, y, cv=3, return_estimator=True, return_indices=True, scoring="roc_auc")
    for fold, rows in zip(found["estimator"], found["indices"]["train"], strict=True):
        n_honest = int((~y.iloc[rows]).sum())
        assert fold["fit"].sizes_ == [n_honest, n_honest]


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"target": "label"}, ParameterError, "target parameter of SyntheticOverSampler must be among"),
        ({"synthesizer": "model"}, ParameterError, "must be a synthesizer"),
        ({"columns": ["amount", "other"]}, DataError, r"has not learned columns \['other'\]"),
        ({"y": "new"}, ConditionError, "which the model does not know"),
        ({"y": "frame"}, DataError, "y must be one column of labels. Got 2 dimensions"),
    ],
)
def test_what_does_not_fit_is_refused(table, model, change, error, told):
    X, y = table.assign(other=1)[change.get("columns", COLUMNS)], table["is_fraud"]
    if change.get("y") == "frame":
        y = y.to_frame()
    elif "y" in change:
        y = y.astype(object).where(np.arange(len(y)) > 5, change["y"])
    sampler = SyntheticOverSampler(change.get("synthesizer", model), target=change.get("target"))
    with pytest.raises(error, match=told):
        sampler.fit_resample(X, y)
