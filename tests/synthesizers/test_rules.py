"""Sampled rows satisfy the rules of the schema: all of them, always, and as many rows as were asked for."""

import contextlib
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from privsynth import CTGAN, Schema, load
from privsynth.errors import ConditionError, DataError, ParameterError, PrivsynthWarning
from privsynth.rules import FixedCombinations, Formula, Inequality, OneOf, Range
from privsynth.schema import Boolean, Categorical, Continuous, Datetime, Identifier
from privsynth.synthesizers import sampling

CITIES = {"Rome": "IT", "Milan": "IT", "Oslo": "NO", "Paris": "FR", "Nice": "FR"}
WIDE_INTS = ("int16", "int32", "int64", "Int32")
NUMBERS = ("int16", "int64", "Int64", "float32", "float64", "Float64")


def fit(frame, schema, epsilon=None, **parameters):
    parameters = {"steps": 5, "verbose": False, "random_state": 0, **parameters}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrivsynthWarning)
        return CTGAN(epsilon, schema=schema, **parameters).fit(frame)


def broken(model, sample):
    """Return the rules that a sample breaks, in words; a rule's own `holds` is tested against slow oracles."""
    return [str(r) for r in model.schema_.rules if not r.holds(sample, model.schema_).all()]


def pairs(frame, names):
    """Return the set of combinations; missing is None."""
    rows = frame[list(names)].astype(object).itertuples(index=False)
    return {tuple(None if pd.isna(v) else v for v in row) for row in rows}


def shop(n_rows=800, seed=0):
    rng = np.random.default_rng(seed)
    city = rng.choice(list(CITIES), n_rows, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    start = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300 * 86400, n_rows), unit="s")
    frame = pd.DataFrame(
        {
            "key": [f"k{i}" for i in range(n_rows)],
            "total": 0.0,
            "city": city,
            "price": rng.gamma(2, 10, n_rows).round(2) + 0.01,
            "quantity": rng.integers(1, 6, n_rows).astype("int16"),
            "start": start,
            "country": [CITIES[c] for c in city],
            "end": start + pd.to_timedelta(rng.integers(0, 60 * 86400, n_rows), unit="s"),
            "card": rng.random(n_rows) < 0.5,
            "age": pd.Series(rng.integers(18, 90, n_rows)).astype("Int64"),
        }
    )
    frame["total"] = (frame["price"] * frame["quantity"]).round(2)
    frame["iban"] = np.where(frame["card"], None, rng.choice(["x", "y"], n_rows))
    frame.loc[rng.random(n_rows) < 0.15, "city"] = None
    frame.loc[rng.random(n_rows) < 0.1, "end"] = pd.NaT
    frame.loc[rng.random(n_rows) < 0.1, "age"] = pd.NA
    return frame


SHOP_RULES = (
    Inequality("start", "end"),
    FixedCombinations(("city", "country")),
    Formula("total", "price * quantity"),
    Range("age", 21, 70),
    OneOf(("card", "iban")),
)
SHOP_SCHEMA = Schema(
    {"key": Identifier(), "total": Continuous(decimals=2), "price": Continuous(0, 200, decimals=2)}, rules=SHOP_RULES
)


@pytest.fixture(scope="module")
def exact():
    return fit(shop(), SHOP_SCHEMA, target="card")


@pytest.fixture(scope="module")
def private():
    return fit(shop(3_000), SHOP_SCHEMA, epsilon=10.0, target="card")


CONDITIONS = [
    None,
    {"total": (10, 50)},
    {"total": (None, 30), "quantity": 2},
    {"city": "Rome"},
    {"city": None},
    {"city": None, "country": "IT"},
    {"country": ["IT", "NO"], "end": (None, "2024-06-01")},
    {"card": True, "start": ("2024-09-01", None)},
    {"iban": ["x"], "age": None},
    {"age": (65, 90)},
]


@pytest.mark.parametrize("name", ["exact", "private"])
@pytest.mark.parametrize("conditions", CONDITIONS, ids=str)
def test_all_rules_hold_in_every_row(name, conditions, request):
    model, table = request.getfixturevalue(name), shop(3_000 if name == "private" else 800)
    sample = model.sample(700, conditions=conditions, random_state=0)
    assert len(sample) == 700
    assert sample.dtypes.equals(table.dtypes)
    assert list(sample.columns) == list(table.columns)
    assert list(sample.index) == list(range(700))
    assert broken(model, sample) == []
    assert pairs(sample, ["city", "country"]) <= pairs(table, ["city", "country"])
    expected = (sample["price"] * sample["quantity"]).round(2)
    assert np.allclose(sample["total"], expected, rtol=0, atol=1e-9)
    for column, wanted in (conditions or {}).items():
        assert satisfies(sample[column], wanted).all(), column


def satisfies(series, wanted):
    """The oracle for conditions, a value at a time."""
    if wanted is None:
        return series.isna()
    if isinstance(wanted, tuple):
        low, high = (pd.Timestamp(v) if isinstance(v, str) else v for v in wanted)
        return series.notna() & series.map(
            lambda v: (low is None or v >= low) and (high is None or v <= high), na_action="ignore"
        ).astype("boolean").fillna(False)
    return series.isin(wanted if isinstance(wanted, list) else [wanted])


def test_rows_asked_for_one_by_one(exact):
    wanted = pd.DataFrame({"city": ["Rome", None, "Oslo", "Rome"], "card": [True, False, False, True]})
    sample = exact.sample(conditions=wanted, random_state=0)
    assert pairs(sample, ["city", "card"]) == pairs(wanted, ["city", "card"])
    assert sample["city"].isna().tolist() == [False, True, False, False]
    assert broken(exact, sample) == []


@pytest.mark.parametrize("n_rows", [0, 1])
def test_few_rows(exact, n_rows):
    sample = exact.sample(n_rows, random_state=0)
    assert len(sample) == n_rows
    assert sample.dtypes.equals(shop().dtypes)


def test_a_saved_model_keeps_its_rules(exact, tmp_path):
    exact.save(tmp_path / "model.privsynth")
    again = load(tmp_path / "model.privsynth")
    assert again.schema_ == exact.schema_
    pd.testing.assert_frame_equal(again.sample(300, random_state=4), exact.sample(300, random_state=4))


def test_without_rules_rows_break_them():
    """The twin: what the tests above look at is not true by itself."""
    table = shop()
    model = fit(table, Schema({"key": Identifier()}))
    sample = model.sample(700, random_state=0)
    assert not any(rule.holds(sample).all() for rule in SHOP_RULES if not isinstance(rule, FixedCombinations))
    assert not pairs(sample, ["city", "country"]) <= pairs(table, ["city", "country"])


numbers = st.sampled_from(NUMBERS)


@st.composite
def cases(draw):
    """A small frame and rules on it, true of its rows or not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(500, 700))
    gap = draw(st.sampled_from([0.0, 5.0, 40.0, -8.0]))  # how far apart, and which way round
    frame = pd.DataFrame(index=range(n))
    for i, name in enumerate("abc"):
        values = pd.Series(rng.normal(50 + i * gap, 10, n).round(draw(st.sampled_from([0, 1]))))
        dtype = draw(numbers)
        frame[name] = (values if "loat" in dtype else values.round()).astype(dtype)
    if draw(st.booleans()):
        frame["b"] = frame["a"]  # equal columns
    zone = draw(st.sampled_from([None, "Europe/Rome"]))
    first = pd.Series(pd.Timestamp("2023-10-01") + pd.to_timedelta(rng.integers(0, 10**7, n), unit="s"))
    frame["t"] = first.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else first
    frame["u"] = frame["t"] + pd.to_timedelta(rng.integers(-(10**6), 10**6, n), unit="s")
    frame["city"] = rng.choice(list(CITIES), n)
    frame["country"] = frame["city"].map(CITIES).astype(draw(st.sampled_from(["object", "string", "category"])))
    frame["p"] = rng.random(n) < 0.5
    frame["q"] = pd.Series(rng.random(n) < 0.6).astype("boolean")
    frame["r"] = rng.choice(["x", None], n)
    frame["sum"] = 0.0
    frame["twice"] = pd.Series(0, index=frame.index).astype(draw(st.sampled_from(WIDE_INTS)))
    for name in ("city", "country", "u", "q", *(v for v in "abc" if str(frame[v].dtype)[0] in "fFI")):
        if draw(st.booleans()):
            frame[name] = frame[name].mask(rng.random(n) < 0.2)
    declared = tuple(CITIES.items()) + ((None, "IT"),) * draw(st.booleans())
    whole = not any(frame[v].isna().any() for v in "ab")
    pool = [
        Inequality("a", "b", draw(st.booleans())),
        Inequality("b", "c", draw(st.booleans())),
        Inequality("t", "u", draw(st.booleans())),
        FixedCombinations(("city", "country"), draw(st.sampled_from([None, declared]))),
        Range("a", draw(st.sampled_from([None, 30.5])), 60),
        OneOf(("p", "q", "r")),
        Formula("sum", "a + 2 * `b`"),
        *([Formula("twice", "round(2 * (a + b) - c ** 0)"), Inequality("a", "twice")] if whole else []),
        Range("sum", high=200),
    ]
    rules = tuple(rule for rule in pool if draw(st.booleans()))
    if not any(isinstance(rule, Formula) and rule.column == "twice" for rule in rules):
        rules = tuple(rule for rule in rules if "twice" not in rule.columns)
    computed = {rule.column for rule in rules if isinstance(rule, Formula)}
    frame = frame.drop(columns=[name for name in ("sum", "twice") if name not in computed])
    rules = tuple(rule for rule in rules if set(rule.columns) <= set(frame.columns))
    return frame, rules


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(), st.sampled_from([None, 10.0]), st.data())
def test_any_rules_on_any_frame(case, epsilon, data):
    frame, rules = case
    schema = Schema(rules=rules)
    model = None
    with contextlib.suppress(DataError):  # columns that noise hides, named with what to do
        model = fit(frame, schema, epsilon)
    if model is None:
        return
    sample = model.sample(200, random_state=0)
    check(model, sample, frame)
    names = data.draw(st.sets(st.sampled_from(sorted(set(sample.columns) - {"a", "t"})), min_size=1, max_size=2))
    conditions = {}
    for name in sorted(names):  # what a sampled row has, so that it can be
        value = sample[name].iloc[0]
        dense = sample[name].dtype.kind in "fM" and not pd.isna(value)
        width = 20 if sample[name].dtype.kind == "f" else pd.Timedelta(days=5)
        conditions[name] = (value - width, value + width) if dense else value
    given_ = model.sample(150, conditions=conditions, random_state=1)
    assert len(given_) == 150
    check(model, given_, frame)
    for name, wanted in conditions.items():
        wanted = None if not isinstance(wanted, tuple) and pd.isna(wanted) else wanted
        assert satisfies(given_[name], wanted).all(), (name, wanted)


def check(model, sample, frame):
    assert sample.dtypes.equals(frame.dtypes)
    assert broken(model, sample) == []
    for rule in model.schema_.rules:
        if isinstance(rule, FixedCombinations):
            allowed = pairs(frame, rule.columns) if rule.allowed is None else set(rule.allowed) | {(None, None)}
            assert pairs(sample, rule.columns) <= allowed
        if isinstance(rule, Formula):  # missing where an input is, and only there: nothing here overflows
            inputs = sample[list(rule.expression.names)].isna().any(axis=1)
            assert (sample[rule.column].isna() == inputs).all()
