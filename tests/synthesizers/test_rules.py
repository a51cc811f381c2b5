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
from privsynth.schema import Categorical, Continuous, Datetime, Identifier
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
# Never missing is declared: in one private fit of a thousand, noise makes missing values of a column without any.
SHOP_SCHEMA = Schema(
    {
        "key": Identifier(),
        "total": Continuous(decimals=2),
        "price": Continuous(0, 200, decimals=2, nullable=False),
        "country": Categorical(nullable=False),
    },
    rules=SHOP_RULES,
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
    pool = [
        Inequality("a", "b", draw(st.booleans())),
        Inequality("b", "c", draw(st.booleans())),
        Inequality("t", "u", draw(st.booleans())),
        FixedCombinations(("city", "country"), draw(st.sampled_from([None, declared]))),
        Range("a", draw(st.sampled_from([None, 30.5])), 60),
        OneOf(("p", "q", "r")),
        Formula("sum", "a + 2 * `b`"),
        Formula("twice", "round(2 * (a + b) - c ** 0)"),
        Inequality("a", "twice"),
        Range("sum", high=200),
        Range("t", "2023-10-15 12:00"),
        Range("u", high="2024-01-10"),
    ]
    rules = tuple(rule for rule in pool if draw(st.booleans()))
    if not any(isinstance(rule, Formula) and rule.column == "twice" for rule in rules):
        rules = tuple(rule for rule in rules if "twice" not in rule.columns)
    computed = {rule.column for rule in rules if isinstance(rule, Formula)}
    frame = frame.drop(columns=[name for name in ("sum", "twice") if name not in computed])
    rules = tuple(rule for rule in rules if set(rule.columns) <= set(frame.columns))
    return frame, rules


anything = given(cases(), st.sampled_from([None, 10.0]), st.data())
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.filterwarnings("ignore:The conditions on .* are far outside")  # drawn cells of one row expect no more
@settings(max_examples=20, **QUIET)
@anything
def test_any_rules_on_any_frame(case, epsilon, data):
    samples_keep_the_rules(case, epsilon, data)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The conditions on .* are far outside")
@settings(max_examples=500, **QUIET)
@anything
def test_any_rules_on_many_frames(case, epsilon, data):
    samples_keep_the_rules(case, epsilon, data)


def samples_keep_the_rules(case, epsilon, data):
    frame, rules = case
    schema = Schema(rules=rules)
    model = None
    with contextlib.suppress(DataError):  # columns that noise hides, named with what to do
        model = fit(frame, schema, epsilon)
    if model is None:
        assert epsilon is not None
        return
    sample = model.sample(200, random_state=0)
    check(model, sample, frame)
    names = data.draw(st.sets(st.sampled_from(sorted(set(sample.columns) - {"a", "t"})), min_size=1, max_size=2))
    conditions = {}
    for name in sorted(names):  # what a sampled row has, so that it can be
        value = sample[name].iloc[0]
        dense = (sample[name].dtype.kind in "fM" or name == "twice") and not pd.isna(value)
        width = pd.Timedelta(days=5) if sample[name].dtype.kind == "M" else 20
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


def test_a_second_fit_samples_under_its_own_rules(exact):
    again = fit(shop(), SHOP_SCHEMA, target="card")
    assert broken(again, again.sample(50, random_state=0)) == []
    again.set_params(schema=Schema({"key": Identifier()}, rules=[Range("quantity", 2, 3)]))
    with pytest.warns(PrivsynthWarning, match="NOT private"):
        again.fit(shop())
    sample = again.sample(300, random_state=0)
    assert sample["quantity"].between(2, 3).all()
    assert not Formula("total", "price * quantity").holds(sample).all()


# Rejection, mending and refusing.

FALSE_ALARM = 1e-6
LOW_HIGH = Inequality("low", "high")


def two_columns(shift, n_rows=800, dtype="float64"):
    rng = np.random.default_rng(1)
    low = pd.Series(rng.normal(100, 10, n_rows).round(1)).astype(dtype)
    high = pd.Series((rng.normal(100 + shift, 10, n_rows)).round(1)).astype(dtype)
    return pd.DataFrame({"low": low, "high": high, "side": rng.choice(["x", "y"], n_rows)})


def test_kept_rows_are_draws_from_the_model_given_the_rule():
    """Against the oracle: a great many draws of the model without the rule, thrown away by hand."""
    table = two_columns(-10)
    plain, ruled = fit(table, Schema()), fit(table, Schema(rules=[LOW_HIGH]))
    oracle = plain.sample(60_000, random_state=0)
    oracle = oracle[oracle["low"] <= oracle["high"]]
    assert 0.1 < len(oracle) / 60_000 < 0.7  # there is something to reject
    sample = ruled.sample(20_000, random_state=1)
    for of in (lambda t: t["low"], lambda t: t["high"], lambda t: t["high"] - t["low"]):
        assert stats.ks_2samp(of(sample), of(oracle)).pvalue > FALSE_ALARM


def test_mended_rows_are_not(monkeypatch):
    """The twin: the same comparison tells mended rows from kept ones."""
    table = two_columns(-10)
    plain, ruled = fit(table, Schema()), fit(table, Schema(rules=[LOW_HIGH]))
    oracle = plain.sample(60_000, random_state=0)
    oracle = oracle[oracle["low"] <= oracle["high"]]
    monkeypatch.setattr(sampling, "MAX_ROUNDS", 0)
    sample = ruled.sample(20_000, random_state=1)
    assert (sample["low"] <= sample["high"]).all()
    gaps = [t["high"] - t["low"] for t in (sample, oracle)]
    assert stats.ks_2samp(*gaps).pvalue < FALSE_ALARM


@pytest.mark.parametrize("shift", [-25, -60, -500])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_columns_that_hardly_overlap_or_not_at_all(shift, strict, dtype):
    model = fit(two_columns(shift, dtype=dtype), Schema(rules=[Inequality("low", "high", strict)]))
    for conditions in (None, {"side": "x"}, {"low": (95, 105)}, {"high": (95 + shift, 105 + shift)}):
        sample = model.sample(60, conditions=conditions, random_state=0)
        assert len(sample) == 60
        assert ((sample["low"] < sample["high"]) if strict else (sample["low"] <= sample["high"])).all()
        for name, wanted in (conditions or {}).items():
            assert satisfies(sample[name], wanted).all()


@pytest.mark.parametrize("dtype", ["int8", "Int64", "uint16"])
def test_strict_chains_of_equal_whole_numbers(dtype):
    values = np.random.default_rng(0).integers(1, 4, 600)
    table = pd.DataFrame({name: pd.Series(values).astype(dtype) for name in "abcd"})
    rules = [Inequality("c", "d", True), Inequality("a", "b", True), Inequality("b", "c", True)]
    sample = fit(table, Schema(rules=rules)).sample(300, random_state=0)
    assert (sample["a"] < sample["b"]).all()
    assert (sample["b"] < sample["c"]).all()
    assert (sample["c"] < sample["d"]).all()
    assert sample.dtypes.equals(table.dtypes)


def test_mended_rows_stay_within_declared_bounds_and_on_the_grid():
    table = two_columns(-60)
    schema = Schema({"low": Continuous(20, 160, decimals=1), "high": Continuous(0, 90, decimals=0)}, rules=[LOW_HIGH])
    sample = fit(table.assign(high=table["high"].round()), schema).sample(200, random_state=0)
    assert (sample["low"] <= sample["high"]).all()
    assert sample["low"].between(20, 90).all()
    assert sample["high"].between(20, 90).all()
    assert (sample["high"] == sample["high"].round()).all()
    assert np.allclose(sample["low"], sample["low"].round(1), rtol=0, atol=1e-12)


def test_mended_times_keep_their_zone():
    days = pd.Series(pd.date_range("2024-03-01", periods=600, freq="h", tz="Europe/Rome"))
    table = pd.DataFrame({"start": days, "end": days - pd.Timedelta(days=90)})
    sample = fit(table, Schema(rules=[Inequality("start", "end", strict=True)])).sample(50, random_state=0)
    assert (sample["start"] < sample["end"]).all()
    assert sample.dtypes.equals(table.dtypes)


def test_conditions_that_leave_no_room_are_refused_in_words():
    schema = Schema({"low": Continuous(60, 150), "high": Continuous(60, 150)}, rules=[LOW_HIGH])
    model = fit(two_columns(0), schema)
    with pytest.raises(ConditionError, match=r"(?s)rows that the model drew, 0 satisfy low <= high.*Widen"):
        model.sample(5, conditions={"low": (110, 120), "high": (80, 90)}, random_state=0)
    assert len(model.sample(5, conditions={"low": (110, 112), "high": (111, 120)}, random_state=0)) == 5


def test_a_column_of_the_condition_is_never_mended():
    model = fit(two_columns(-60), Schema(rules=[LOW_HIGH]))
    sample = model.sample(40, conditions={"low": (100, 101)}, random_state=0)
    assert sample["low"].between(100, 101).all()
    assert (sample["high"] >= sample["low"]).all()
    sample = model.sample(40, conditions={"high": (40, 41)}, random_state=0)
    assert sample["high"].between(40, 41).all()
    assert (sample["low"] <= sample["high"]).all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_one_of_several_where_the_table_never_has_it(share):
    """All are set in every row, or hardly any in some: one is kept, or set with another row's value."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "flag": rng.random(700) < max(share, 0.02),
            "text": pd.Series(rng.choice(["x", "y"], 700)).where(rng.random(700) < max(share, 0.02)),
            "count": pd.Series(rng.integers(1, 4, 700) * (rng.random(700) < max(share, 0.02))),
        }
    )
    table.loc[0, "flag"], table.loc[1, "flag"] = True, False
    schema = Schema({"text": Categorical(("x", "y"))}, rules=[OneOf(("flag", "text", "count"))])
    schema = schema.declare(count=Continuous(0, 3))
    model = fit(table, schema)
    for conditions in (None, {"flag": False}, {"flag": True}):
        sample = model.sample(200, conditions=conditions, random_state=0)
        n_set = sample["flag"].astype(int) + sample["text"].notna() + (sample["count"] != 0)
        assert (n_set == 1).all()
        assert sample.dtypes.equals(table.dtypes)


# Rules that reshape the table.


def test_formulas_of_formulas_in_their_order():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"gross": 0.0, "net": 0.0, "unit price": rng.gamma(2, 10, 600).round(2), "n": 1})
    table["n"] = rng.integers(1, 9, 600)
    rules = [Formula("gross", "net * 1.2"), Formula("net", "`unit price` * n")]
    model = fit(table, Schema({"gross": Continuous(decimals=2)}, rules=rules))
    sample = model.sample(300, random_state=0)
    assert list(model.encoder_.layout.names) == ["unit price", "n"]
    assert np.array_equal(sample["net"], sample["unit price"] * sample["n"])
    assert np.array_equal(sample["gross"], (sample["net"] * 1.2).round(2))
    some = model.sample(100, conditions={"gross": (50, 60)}, random_state=0)
    assert some["gross"].between(50, 60).all()
    with pytest.raises(ConditionError, match=r"'gross'.*cannot be computed"):
        model.condition_probability({"gross": (50, 60)})
    with pytest.raises(ConditionError, match=r"'gross'.*must be a number"):
        model.sample(5, conditions={"gross": "much"})
    for much in (np.inf, [-np.inf, np.inf]):
        with pytest.raises(ConditionError, match=r"0 satisfy that 'gross' is .*inf"):
            model.sample(5, conditions={"gross": much})


def test_results_that_a_column_cannot_hold_are_not_sampled():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.integers(0, 20, 600), "b": rng.integers(0, 20, 600)})
    table["ratio"], table["product"] = table["a"], (table["a"] % 6).astype("int8")
    rules = [Formula("ratio", "a // b"), Formula("product", "a * b")]
    schema = Schema({"ratio": Continuous(0, 5)}, rules=rules)
    sample = fit(table, schema).sample(400, random_state=0)
    assert sample.dtypes.equals(table.dtypes)
    assert (sample["b"] > 0).all()  # whole numbers cannot be missing
    assert sample["ratio"].between(0, 5).all()
    assert (sample["product"] == sample["a"] * sample["b"]).all()  # no overflow


def test_times_are_computed_too():
    rng = np.random.default_rng(0)
    start = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, 600), unit="s"))
    table = pd.DataFrame({"start": start, "hours": rng.integers(1, 50, 600)})
    table["end"], table["seconds"] = start + pd.to_timedelta(table["hours"], unit="h"), table["hours"] * 3600.0
    rules = [Formula("seconds", "end - start"), Formula("end", "start + hours * 3600")]
    sample = fit(table, Schema(rules=rules)).sample(200, random_state=0)
    assert (sample["end"] == sample["start"] + pd.to_timedelta(sample["hours"], unit="h")).all()
    assert (sample["seconds"] == sample["hours"] * 3600).all()
    assert sample.dtypes.equals(table.dtypes)


def test_declared_combinations_with_missing_parts():
    table = shop()[["city", "country", "quantity"]]
    allowed = (*CITIES.items(), (None, "IT"))
    model = fit(table, Schema(rules=[FixedCombinations(("city", "country"), allowed)]))
    sample = model.sample(3_000, random_state=0)
    seen = pairs(sample, ["city", "country"])
    assert (None, "IT") in seen
    assert seen <= {*allowed, (None, None)}
    assert model.condition_probability({"city": None}) == pytest.approx(sample["city"].isna().mean(), abs=0.05)


@pytest.mark.parametrize("epsilon", [None, 1.0])
def test_rare_combinations_are_never_sampled_and_never_made_up(epsilon):
    table = shop(2_000)[["city", "country", "quantity"]].dropna()
    table = pd.concat([table, pd.DataFrame({"city": ["Utopia"], "country": ["XX"], "quantity": [1]})])
    table["quantity"] = table["quantity"].astype("int16")
    model = fit(table, Schema(rules=[FixedCombinations(("country", "city"))]), epsilon)
    seen = pairs(model.sample(5_000, random_state=0), ["city", "country"])
    assert seen <= pairs(table, ["city", "country"])
    assert ("Rome", "IT") in seen
    if epsilon is not None:
        assert ("Utopia", "XX") not in seen
        with pytest.raises(ConditionError, match="'Utopia', which the model does not know"):
            model.sample(5, conditions={"city": "Utopia"})


def test_no_combination_released_is_said():
    names = pd.Series([f"n{i}" for i in range(600)])
    table = pd.DataFrame({"a": names, "b": names, "c": np.arange(600) % 7})
    with pytest.raises(DataError, match=r"combination of 'a', 'b'|column .'a . b'. has no level"):
        fit(table, Schema(rules=[FixedCombinations(("a", "b"))]), 1.0)


def test_combinations_of_numbers_flags_and_categories_keep_their_data_types():
    rng = np.random.default_rng(0)
    code = rng.integers(1, 5, 700)
    table = pd.DataFrame(
        {
            "code": code,
            "rate": code / 8,
            "flag": code > 2,
            "maybe": pd.Series(code > 3).astype("boolean"),
            "band": pd.Categorical(np.array(["lo", "mid", "hi", "top", "never"])[code - 1], ordered=True),
            "small": pd.Series(code).astype("Int8"),
            "other": rng.integers(0, 50, 700),
        }
    )
    names = ["code", "rate", "flag", "maybe", "band", "small"]
    model = fit(table, Schema(rules=[FixedCombinations(tuple(names))]), target="code")
    sample = model.sample(400, random_state=0)
    assert sample.dtypes.equals(table.dtypes)
    assert pairs(sample, names) <= pairs(table, names)
    some = model.sample(50, conditions={"small": (2, 3), "flag": True}, random_state=0)
    assert (some["code"] == 3).all()
    with pytest.raises(ConditionError, match=r"No row can satisfy|No value"):
        model.sample(5, conditions={"code": 1, "flag": True})


def test_ranges_narrow_what_is_learned():
    table = two_columns(0)
    model = fit(table, Schema(rules=[Range("low", 95, 100.5), Range("high", low=120)]))
    sample = model.sample(500, random_state=0)
    assert sample["low"].between(95, 100.5).all()
    assert (sample["high"] >= 120).all()
    assert model.schema_["low"] == Continuous(decimals=1)  # found, bounds not


def test_a_computed_target_is_refused():
    for parameters in ({"target": "total"}, {"condition_columns": ["total"]}):
        with pytest.raises(ParameterError, match="learned, not computed"):
            fit(shop(), SHOP_SCHEMA, **parameters)


def test_the_frame_is_left_alone_and_rules_cost_nothing_but_a_column():
    table = shop()
    before = table.copy(deep=True)
    model = fit(table, SHOP_SCHEMA)
    pd.testing.assert_frame_equal(table, before)
    assert model.schema_["total"] == Continuous(decimals=2)
    assert model.feature_names_in_.tolist() == list(table.columns)
    assert "total" not in model.encoder_.layout.names
    assert "city + country" in model.encoder_.layout.names


def test_private_rows_that_break_a_rule_say_nothing():
    table = shop()
    table["end"] = table["start"] - pd.Timedelta(days=1)
    table["total"] = -5.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CTGAN(10.0, schema=SHOP_SCHEMA, steps=5, verbose=False, random_state=0, delta=1e-6).fit(table)


def test_memory_is_bounded_by_the_batch(monkeypatch):
    sizes = []
    draw = sampling._Draws.raw
    monkeypatch.setattr(sampling, "BATCH", 300)
    monkeypatch.setattr(sampling._Draws, "raw", lambda self, n: (sizes.append(n), draw(self, n))[1])
    model = fit(two_columns(0), Schema(rules=[LOW_HIGH]))
    assert len(model.sample(2_000, random_state=0)) == 2_000
    assert max(sizes) <= 300
    assert math.fsum(sizes) > 2_000


def test_text_forms_and_dates_as_text_are_computed_in_their_form():
    from privsynth.transforms.reshape import written

    numbers = np.array([1.5, np.nan, 20.0])
    assert written(numbers, "object", Continuous(decimals=2, form="text")).tolist() == ["1.50", None, "20.00"]
    assert [str(v) for v in written(numbers, "object", Continuous(decimals=1, form="decimal"))] == [
        "1.5",
        "None",
        "20.0",
    ]
    days = np.array([86400.0, np.nan, 0.0])
    assert written(days, "object", Datetime(format="%d.%m.%Y")).tolist() == ["02.01.1970", None, "01.01.1970"]
    assert [str(v) for v in written(days, "object", Datetime(format="date"))] == ["1970-01-02", "None", "1970-01-01"]
