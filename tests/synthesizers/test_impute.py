"""Gaps filled in given rows: what is known stays, what is drawn is the model's conditional distribution."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from privsynth import Schema
from privsynth.errors import ConditionError, DataError
from privsynth.rules import FixedCombinations, Formula, Inequality, OneOf
from privsynth.schema import Continuous, Identifier
from tests.synthesizers.frames import messy
from tests.synthesizers.test_scoring import fit_exactly, tiny

FALSE_ALARM = 1e-6
N = 20_000


@pytest.fixture(scope="module")
def model():
    schema = {"key": Identifier(), "visits": Continuous(0, 8, decimals=0, nullable=False)}
    return fit_exactly(tiny(), schema=schema, target="vip")


def follows_the_model(model, filled, known):
    """Whether cities and visits come as the model says of these conditions (chi-square, 1e-6 false alarm)."""
    cells = list(itertools.product(["Rom", "Oslo"], range(9)))
    asked = [model.condition_probability({**known, "city": city, "visits": (v, v)}) for city, v in cells]
    expected = np.array(asked) / sum(asked)
    counts = np.array([((filled["city"] == city) & (filled["visits"] == v)).sum() for city, v in cells])
    rare = expected * len(filled) < 5
    table = np.array([[*counts[~rare], counts[rare].sum()], [*expected[~rare] * len(filled), 0]])
    table[1, -1] = len(filled) - table[1].sum()
    table = table[:, table[1] > 0]
    return counts.sum() == len(filled) and stats.chisquare(*table).pvalue >= FALSE_ALARM


def gaps(**known):
    return pd.DataFrame({**known, "city": pd.Series([None] * N, dtype=object), "visits": np.nan})


def test_filled_values_follow_the_models_conditional_distribution(model):
    filled = model.impute(gaps(vip=True, ratio=1.7), random_state=0)
    assert follows_the_model(model, filled, {"vip": True, "ratio": (1.6999, 1.7001)})
    assert (filled["ratio"] == 1.7).all()
    assert filled["vip"].all()


def test_the_check_has_power(model):
    known = {"vip": True, "ratio": (1.6999, 1.7001)}
    assert not follows_the_model(model, model.impute(gaps(vip=False, ratio=1.7), random_state=0), known)
    apart = model.impute(gaps(), random_state=0)  # what the known values say is left out
    assert not follows_the_model(model, apart, known)


def test_a_known_spike_is_a_fact_like_any_other(model):
    filled = model.impute(pd.DataFrame({"visits": [3] * N, "vip": pd.Series([None] * N, dtype=object)}), random_state=0)
    expected = model.condition_probability({"visits": (3, 3), "vip": True}) / model.condition_probability(
        {"visits": (3, 3)}
    )
    assert stats.binomtest(int(filled["vip"].sum()), N, expected).pvalue >= FALSE_ALARM


def test_each_row_is_filled_by_its_own_values(model):
    rows = pd.DataFrame({"vip": [True, False] * N, "city": pd.Series([None, "Rom"] * N, dtype=object)})
    filled = model.impute(rows, random_state=0)
    assert set(filled["city"][::2]) == {"Rom", "Oslo"}
    assert (filled["city"][1::2] == "Rom").all()


def test_known_values_data_types_index_and_the_callers_frame_stay():
    table = messy()
    model = fit_exactly(table, schema={"key": Identifier("c")}, target="vip")
    rng = np.random.default_rng(1)
    rows = table.iloc[:300].set_axis(rng.permutation(300) // 2)
    rows = rows.astype({"age": "float64"})
    for name in ("age", "amount", "ratio", "visits", "opt_in", "band", "grade", "city", "note", "when", "local"):
        rows[name] = rows[name].mask(rng.random(300) < 0.3)
    before = rows.copy(deep=True)
    filled = model.impute(rows, random_state=0)
    pd.testing.assert_frame_equal(rows, before)
    assert filled.dtypes.equals(rows.dtypes)
    assert filled.index.equals(rows.index)
    assert filled.notna().all(axis=None)
    for name in rows:
        known = rows[name].notna()
        pd.testing.assert_series_equal(filled.loc[known, name], rows.loc[known, name])
    pd.testing.assert_frame_equal(filled, model.impute(rows, random_state=0))
    only = model.impute(rows, columns=["age"], random_state=0)
    assert only["age"].notna().all()
    pd.testing.assert_frame_equal(only.drop(columns="age"), rows.drop(columns="age"))
    pd.testing.assert_frame_equal(model.impute(filled), filled)


def test_rules_hold_in_filled_rows():
    rng = np.random.default_rng(0)
    start = rng.integers(0, 50, 1_500).astype(float)
    pair = rng.integers(0, 3, 1_500)
    table = pd.DataFrame(
        {
            "start": start,
            "end": start + rng.integers(0, 50, 1_500),
            "city": np.array(["Ulm", "Bonn", "Oslo"])[pair],
            "country": np.array(["DE", "DE", "NO"])[pair],
        }
    )
    table["length"] = table["end"] - table["start"]
    rules = [
        Inequality("start", "end"),
        FixedCombinations(("city", "country")),
        Formula("length", "end - start"),
    ]
    model = fit_exactly(table, schema=Schema(rules=rules))
    rows = table.iloc[:200].copy()
    rows.loc[::2, ["start", "length"]] = np.nan
    rows.loc[::3, "city"] = None
    rows.loc[::5, "country"] = None
    filled = model.impute(rows, random_state=0)
    assert (filled["start"] <= filled["end"]).all()
    assert (filled["length"] == filled["end"] - filled["start"]).all()
    assert ((filled["city"] == "Oslo") == (filled["country"] == "NO")).all()
    rows["length"] = 1.0
    with pytest.raises(ConditionError, match=r"'length' is known in rows where \['start'\] are missing"):
        model.impute(rows)
    with pytest.raises(ConditionError, match="No row can satisfy"):
        model.impute(pd.DataFrame({"city": ["Ulm"], "country": ["NO"], "start": [np.nan]}))


def paid(n_rows=1_500, seed=0):
    """Payments by card or by account, never by both; a kind that tells which; how they are named is text or a level."""
    rng = np.random.default_rng(seed)
    card = rng.random(n_rows) < 0.3
    return pd.DataFrame(
        {
            "kind": np.where(card ^ (rng.random(n_rows) < 0.1), "shop", "bill"),
            "card": pd.Categorical(np.where(card, rng.choice(["visa", "mc"], n_rows), None)),
            "iban": pd.Series(np.where(card, None, rng.choice(["DE", "FR"], n_rows)), dtype=object),
            "x": rng.normal(size=n_rows) + card,
        }
    )


def test_of_columns_of_which_one_is_set_one_is_filled():
    table = paid()
    model = fit_exactly(table, schema=Schema(rules=[OneOf(("card", "iban"))]), steps=100)
    rows = table.iloc[:400].copy()
    rows.loc[::2, "x"] = np.nan
    filled = model.impute(rows, random_state=0)  # nothing is missing in card or iban
    pd.testing.assert_frame_equal(filled[["card", "iban"]], rows[["card", "iban"]])
    assert filled["x"].notna().all()
    both = rows.assign(card=rows["card"].where(rows.index % 4 > 0), iban=rows["iban"].where(rows.index % 4 > 0))
    filled = model.impute(both, random_state=0)
    assert (filled["card"].isna() ^ filled["iban"].isna()).all()
    known = rows.index % 4 > 0
    pd.testing.assert_frame_equal(filled.loc[known, ["card", "iban"]], rows.loc[known, ["card", "iban"]])
    only = model.impute(both, columns=["card", "x"], random_state=0)
    assert only.loc[~known, "card"].notna().all()
    assert only.loc[~known, "iban"].isna().all()


@pytest.mark.parametrize("kind", ["shop", "bill"])
def test_which_one_is_filled_follows_the_model(kind):
    model = fit_exactly(paid(), schema=Schema(rules=[OneOf(("card", "iban"))]), steps=100)
    rows = pd.DataFrame({"kind": [kind] * 5_000, "card": None, "iban": None}, dtype=object)
    filled = model.impute(rows, random_state=0)
    card, iban = (
        model.condition_probability({"kind": kind, "card": first, "iban": second})
        for first, second in ((["visa", "mc"], None), (None, ["DE", "FR"]))
    )
    assert stats.binomtest(int(filled["card"].notna().sum()), 5_000, card / (card + iban)).pvalue >= FALSE_ALARM
    assert (filled["card"].isna() ^ filled["iban"].isna()).all()


@pytest.mark.parametrize(
    ("frame", "columns", "told"),
    [
        (pd.DataFrame({"city": ["Paris", "Rom"], "vip": [None, True]}), None, "Column 'city' holds 'Paris'"),
        (pd.DataFrame({"colour": [None]}), None, r"no columns \['colour'\]"),
        (pd.DataFrame({"city": [None]}), ["key"], r"columns \['key'\] cannot be filled"),
    ],
)
def test_unknown_columns_and_values_are_named(model, frame, columns, told):
    with pytest.raises(DataError, match=told):
        model.impute(frame, columns=columns)


def test_a_known_number_beyond_the_bounds_counts_as_the_outermost(model):
    filled = model.impute(pd.DataFrame({"ratio": [1e9], "visits": [np.nan]}), random_state=0)
    assert filled["ratio"].tolist() == [1e9]
    assert filled["visits"].between(0, 8).all()


def test_columns_that_are_numbered_or_backed_by_pyarrow():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({0: rng.integers(0, 5, 1_200), 1: rng.choice(["x", "y"], 1_200)})
    table[0] = table[0].astype("int64[pyarrow]")
    model = fit_exactly(table)
    rows = table.iloc[:50].copy()
    rows.loc[::2, 0] = pd.NA
    rows.loc[1::2, 1] = None
    filled = model.impute(rows, random_state=0)
    assert list(filled.columns) == [0, 1]
    assert filled.dtypes.equals(table.dtypes)
    assert filled.notna().all(axis=None)
    assert (filled[0][1::2] == rows[0][1::2]).all()
    assert np.isfinite(model.score_samples(table)).all()
    assert model.rebalance(10, by=1, random_state=0)[1].value_counts().tolist() == [5, 5]
    assert model.impute(rows, columns=[1], random_state=0)[0].isna().sum() == 25
