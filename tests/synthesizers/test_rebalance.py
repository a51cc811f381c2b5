"""Samples with a wanted distribution of one column: exact counts, shuffled, the rest as the model has it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from privsynth.errors import ConditionError, ParameterError
from privsynth.schema import Continuous, Identifier
from privsynth.synthesizers.balance import apportion
from tests.synthesizers.test_scoring import fit_exactly, tiny

FALSE_ALARM = 1e-6


@pytest.fixture(scope="module")
def model():
    schema = {"key": Identifier(), "visits": Continuous(0, 8, decimals=0, nullable=False)}
    return fit_exactly(tiny(), schema=schema, target="vip")


@given(st.integers(0, 10**6), st.lists(st.floats(0.01, 1), min_size=1, max_size=9))
def test_counts_are_shares_to_within_one_row(n_rows, weights):
    shares = np.array(weights) / sum(weights)
    counts = apportion(n_rows, shares)
    assert counts.sum() == n_rows
    assert (np.abs(counts - n_rows * shares) < 1 + 1e-6).all()


def test_groups_are_equal_by_default_and_shuffled(model):
    sample = model.rebalance(1_001, by="vip", random_state=0)
    assert sorted(sample["vip"].value_counts()) == [500, 501]
    assert sample["key"].is_unique
    assert list(sample.columns) == list(tiny(10).columns)
    runs = (sample["vip"].to_numpy()[1:] != sample["vip"].to_numpy()[:-1]).sum() + 1
    assert stats.norm.sf(abs(runs - 501.5) / np.sqrt(250)) > FALSE_ALARM
    pd.testing.assert_frame_equal(sample, model.rebalance(1_001, by="vip", random_state=0))
    assert len(model.rebalance(0, by="vip")) == 0
    assert set(model.rebalance(10, by="city")["city"]) == {"Rom", "Oslo"}


def test_given_shares_of_values_ranges_and_missing_values(model):
    cities = model.rebalance(200, by="city", shares={"Oslo": 0.25, None: 0.75}, random_state=0)["city"]
    assert (cities == "Oslo").sum() == 50
    assert cities.isna().sum() == 150
    sample = model.rebalance(100, by="visits", shares={(0, 2): 0.9, (3, None): 0.1}, conditions={"vip": True})
    assert (sample["visits"] <= 2).sum() == 90
    assert sample["vip"].all()


def test_within_a_group_rows_are_the_models(model):
    """Chi-square of cities among the others against the model's own probabilities."""
    n = 20_000
    group = model.rebalance(2 * n, by="vip", random_state=0).query("~vip")["city"].fillna("none")
    whole = model.condition_probability({"vip": False})
    asked = {"Rom": "Rom", "Oslo": "Oslo", "none": None}
    expected = [n * model.condition_probability({"vip": False, "city": v}) / whole for v in asked.values()]
    counts = [(group == name).sum() for name in asked]
    assert stats.chisquare(counts, expected).pvalue >= FALSE_ALARM
    pooled = [n * model.condition_probability({"city": v}) for v in asked.values()]
    assert stats.chisquare(counts, pooled).pvalue < FALSE_ALARM  # the check has power


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"by": "visits"}, ParameterError, "by parameter of rebalance must be a column of levels"),
        ({"by": "colour"}, ParameterError, "must be among the columns .* Got 'colour'"),
        ({"by": "vip", "shares": {True: 0.9}}, ParameterError, "shares that sum to 1"),
        ({"by": "vip", "shares": {True: 2, False: -1}}, ParameterError, "Got -1"),
        ({"by": "vip", "shares": 0.5}, ParameterError, "a dict of values and their shares"),
        ({"by": "city", "shares": {"Paris": 1}}, ConditionError, "'Paris', which the model does not know"),
        ({"by": "vip", "conditions": {"vip": True}}, ParameterError, "about other columns than 'vip'"),
    ],
)
def test_what_cannot_be_meant_is_refused(model, arguments, error, told):
    with pytest.raises(error, match=told):
        model.rebalance(10, **arguments)
