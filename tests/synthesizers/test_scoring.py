"""Scores of given rows: against enumeration, against conditions, and against what is sampled."""

import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN, Schema
from privsynth.errors import DataError, NotFittedError, PrivsynthWarning
from privsynth.rules import FixedCombinations, Formula
from privsynth.schema import Continuous, Identifier
from privsynth.transforms.cells import Cells
from privsynth.transforms.columns import DiscreteColumn, NumericColumn
from privsynth.transforms.evidence import observe
from privsynth.transforms.predicates import Between, OneOf


def fit_exactly(frame, **parameters):
    with pytest.warns(PrivsynthWarning, match="NOT private"):
        return CTGAN(None, **{"steps": 30, "verbose": False, "random_state": 0, **parameters}).fit(frame)


def tiny(n_rows=1_200, seed=0):
    """Return few values a column, a spike among whole numbers, dense numbers, gaps and a key."""
    rng = np.random.default_rng(seed)
    vip = rng.random(n_rows) < 0.4
    return pd.DataFrame(
        {
            "key": np.arange(n_rows),
            "vip": vip,
            "city": pd.Series(np.where(vip, rng.choice(["Rom", "Oslo"], n_rows), rng.choice(["Rom", None], n_rows))),
            "visits": np.where(rng.random(n_rows) < 0.4, 3, rng.integers(0, 9, n_rows)),
            "ratio": rng.normal(size=n_rows) + vip,
        }
    )


@pytest.fixture(scope="module")
def model():
    schema = {"key": Identifier(), "visits": Continuous(0, 8, decimals=0, nullable=False)}
    return fit_exactly(tiny(), schema=schema, target="vip")


@pytest.fixture(scope="module")
def grid():
    """Every row over the columns that can be enumerated."""
    rows = itertools.product([False, True], ["Rom", "Oslo", None], range(9))
    return pd.DataFrame(list(rows), columns=["vip", "city", "visits"])


def test_probabilities_of_all_rows_sum_to_one(model, grid):
    assert np.exp(model.score_samples(grid)).sum() == pytest.approx(1, abs=1e-6)
    assert np.exp(model.score_samples(grid[["visits"]].drop_duplicates())).sum() == pytest.approx(1, abs=1e-6)


def test_scores_are_log_probabilities_of_conditions(model, grid):
    for row, score in zip(grid.itertuples(index=False), model.score_samples(grid), strict=True):
        conditions = {"vip": row.vip, "city": row.city, "visits": (row.visits, row.visits)}
        assert np.exp(score) == pytest.approx(model.condition_probability(conditions), rel=1e-6)
        single = model.condition_probability({**conditions, "visits": row.visits})
        assert np.exp(score) == pytest.approx(single, rel=1e-6)


def test_densities_are_probabilities_of_narrow_ranges(model):
    sample = model.sample(40, random_state=0)[["vip", "ratio"]]
    width = 1e-7
    near = [
        model.condition_probability({"vip": vip, "ratio": (ratio - width, ratio + width)}) / (2 * width)
        for vip, ratio in sample.itertuples(index=False)
    ]
    assert np.median(np.abs(np.exp(model.score_samples(sample)) / near - 1)) < 1e-6  # but for ends of leaves


def test_sampled_rows_score_higher_than_shuffled_ones(model):
    sample = model.sample(4_000, random_state=0)
    shuffled = sample.assign(ratio=sample["ratio"].to_numpy()[::-1], city=np.roll(sample["city"].to_numpy(), 7))
    assert model.score_samples(sample).mean() > model.score_samples(shuffled).mean()


def test_the_index_is_kept_and_identifiers_are_ignored(model):
    sample = model.sample(9, random_state=0).set_axis(list("abcdefghi"))
    scores = model.score_samples(sample)
    assert list(scores.index) == list("abcdefghi")
    pd.testing.assert_series_equal(scores, model.score_samples(sample.drop(columns="key")))
    assert len(model.score_samples(sample[:0])) == 0


def test_numbers_beyond_the_bounds_have_density_zero(model):
    beyond = pd.DataFrame({"ratio": [-1e9, 0.0, 1e9], "visits": [1, 9, 1]})
    assert model.score_samples(beyond).tolist() == [-np.inf] * 3


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pd.DataFrame({"vip": [True], "colour": ["red"]}), r"no columns \['colour'\]"),
        (pd.DataFrame({"ratio": [1, "much"]}), "Column 'ratio' holds 'much'"),
        (pd.DataFrame({"key": [1]}), "no column was learned among"),
        ([[1, 2]], "needs a pandas DataFrame. Got list"),
    ],
)
def test_unknown_columns_and_values_are_named(model, frame, told):
    with pytest.raises(DataError, match=told):
        model.score_samples(frame)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pd.DataFrame({"city": ["Rom", "Paris"]}), "Column 'city' holds 'Paris' in 1 rows: the model knows 'Rom', 'O"),
        (pd.DataFrame({"vip": [True, None]}), "Column 'vip' holds None"),
        (pd.DataFrame({"visits": [1, np.nan]}), "Column 'visits' holds nan in 1 rows: the model has none"),
        (pd.DataFrame({"visits": [1, 2], "city": ["Oslo", "Paris"]}), "'Paris' in 1 rows.*They score -inf"),
    ],
)
def test_rows_with_a_value_that_the_model_has_never_seen_score_lowest(model, frame, told):
    """A new country in the rows to rank is what one looks for, not a reason to rank none."""
    with pytest.warns(PrivsynthWarning, match=told):
        scores = model.score_samples(frame)
    assert np.isfinite(scores[0])
    assert scores[1] == -np.inf
    pd.testing.assert_series_equal(scores[:1], model.score_samples(frame[:1]))


def test_only_a_fitted_model_scores():
    with pytest.raises(NotFittedError):
        CTGAN().score_samples(tiny())


def test_combinations_score_as_combinations_and_formulas_not_at_all():
    rng = np.random.default_rng(0)
    pair = rng.integers(0, 3, 1_200)
    frame = pd.DataFrame(
        {
            "city": np.array(["Ulm", "Bonn", "Oslo"])[pair],
            "country": np.array(["DE", "DE", "NO"])[pair],
            "qty": rng.integers(1, 5, 1_200),
        }
    )
    frame["double"] = 2 * frame["qty"]
    schema = Schema(
        {"qty": Continuous(1, 4, decimals=0, nullable=False)},
        rules=[FixedCombinations(("city", "country")), Formula("double", "2 * qty")],
    )
    model = fit_exactly(frame, schema=schema)
    rows = pd.DataFrame(
        list(itertools.product(["Ulm", "Bonn", "Oslo"], ["DE", "NO"], [1, 2, 3, 4])), columns=["city", "country", "qty"]
    )
    scores = model.score_samples(rows)
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-6)
    assert (np.isfinite(scores) == ((rows["city"] == "Oslo") == (rows["country"] == "NO"))).all()
    for value in ("DE", "NO"):
        expected = model.condition_probability({"country": value})
        found = model.score_samples(pd.DataFrame({"country": [value]}))
        assert np.exp(found.iloc[0]) == pytest.approx(expected)
    pd.testing.assert_series_equal(scores, model.score_samples(rows.assign(double=99)))


def test_memory_does_not_grow_with_the_rows(model):
    rows = model.sample(100, random_state=0)

    def peak(n):
        many = pd.concat([rows] * n, ignore_index=True)
        tracemalloc.start()
        model.score_samples(many)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(600) < 1.2 * peak(200) + 40_000 * 300  # 300 bytes a row: codes, not likelihoods (8 kB)


def test_levels_of_a_shared_cell_count_by_their_share():
    column = DiscreteColumn("c", "object", ("a", "b", "d"), other=True, null=True, cell=(0, 1, 1), mass=(0.5, 0.1, 0.3))
    found = observe(column, pd.Series(["b", "d", "a", "new", None]))
    expected = [[0, 0.25, 0, 0], [0, 0.75, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert np.allclose(found.likelihood[found.state], expected)


@pytest.mark.parametrize("decimals", [None, 0])
def test_the_likelihood_of_a_number_is_how_often_it_is_drawn(decimals):
    cells = Cells(
        np.array([0.0, 4.0, 2.0]), np.array([4.0, 10.0, 2.0]), np.array([0.2, 0.3, 0.5]), np.array([0, 0, 1]), decimals
    )
    column = NumericColumn("x", "float64", cells, null=False)
    drawn = column.decode(np.repeat([0, 1], 100_000), np.random.default_rng(0)).to_numpy().reshape(2, -1)
    values = pd.Series(np.arange(10.0))
    found = observe(column, values)
    likelihood = found.likelihood[found.state]
    if decimals is None:
        likelihood[2] = observe(column, pd.Series([2.5])).likelihood[0]  # the bin around the atom, without it
        drawn = np.where(drawn == 2.0, -1.0, np.floor(drawn))
        counts = np.stack([(drawn == v).mean(axis=1) for v in values])
        assert np.allclose(counts[:, 0], likelihood[:, 0], atol=0.01)
        return
    counts = np.stack([(drawn == v).mean(axis=1) for v in values])
    assert np.allclose(counts, likelihood, atol=0.01)
    for value, expected in zip(values, likelihood, strict=True):  # and what conditions on it allow
        assert np.allclose(column.cover(OneOf((value,))), expected)
        assert np.allclose(column.cover(Between(value, value)), expected)
