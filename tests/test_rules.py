"""Rules one by one, against slow oracles; what they refuse; how they are written and read."""

import datetime
import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsynth.errors import DataError, ParameterError, SchemaError
from privsynth.rules import FixedCombinations, Formula, Inequality, OneOf, Range, Rule, rule_from_dict
from privsynth.schema import Boolean, Categorical, Continuous, Datetime, Identifier, Schema, resolve_schema

values = st.none() | st.integers(-3, 3)
tables = st.lists(st.tuples(values, values, values), min_size=1, max_size=12)
dtypes = st.sampled_from(["Int64", "float64", "Float32", "object"])


def frame_of(rows, dtype="Int64"):
    return pd.DataFrame({name: pd.array([r[i] for r in rows], dtype="Int64") for i, name in enumerate("abc")}).astype(
        dtype
    )


@given(tables, dtypes, st.booleans())
def test_inequality(rows, dtype, strict):
    expected = [a is None or b is None or (a < b if strict else a <= b) for a, b, _ in rows]
    assert Inequality("a", "b", strict).holds(frame_of(rows, dtype)).tolist() == expected


@given(tables, dtypes, st.integers(-3, 0), st.integers(1, 3))
def test_range(rows, dtype, low, high):
    expected = [a is None or low <= a <= high for a, _, _ in rows]
    assert Range("a", low, high).holds(frame_of(rows, dtype)).tolist() == expected


@given(tables, dtypes)
def test_one_of(rows, dtype):
    expected = [sum(v is not None and v != 0 for v in row) == 1 for row in rows]
    assert OneOf(("a", "b", "c")).holds(frame_of(rows, dtype)).tolist() == expected


@given(tables, st.lists(st.tuples(values, values), min_size=1, max_size=5, unique=True))
def test_fixed_combinations(rows, allowed):
    allowed = [pair for pair in allowed if pair != (None, None)] or [(1, 1)]
    rule = FixedCombinations(("a", "b"), tuple(allowed))
    expected = [any(a in (None, x) and b in (None, y) for x, y in allowed) for a, b, _ in rows]
    assert rule.holds(frame_of(rows)).tolist() == expected
    assert FixedCombinations(("a", "b")).holds(frame_of(rows)).all()


@given(tables, dtypes)
def test_formula(rows, dtype):
    expected = [None in row or a == b * 2 + c for row in rows for a, b, c in [row]]
    assert Formula("a", "b * 2 + c").holds(frame_of(rows, dtype)).tolist() == expected


def test_a_formula_allows_for_rounding_to_the_column():
    frame = pd.DataFrame({"a": [0.33, 0.34], "b": [1.0, 1.0]})
    assert not Formula("a", "b / 3").holds(frame).any()
    assert Formula("a", "b / 3").holds(frame, {"a": Continuous(decimals=2)}).tolist() == [True, False]
    assert Formula("a", "b / 3").holds(frame.astype({"a": "int64"})).tolist() == [True, True]


MOMENTS = ["2024-01-01", None, "2024-01-03"]


@pytest.mark.parametrize(
    ("series", "column"),
    [
        (pd.Series(pd.to_datetime(MOMENTS)), None),
        (pd.Series(pd.to_datetime(MOMENTS)).astype("datetime64[s]"), None),
        (pd.Series(pd.to_datetime(MOMENTS, utc=True)), None),
        (pd.Series(MOMENTS), None),
        (pd.Series(MOMENTS, dtype="string"), Datetime(format="%Y-%m-%d")),
        (pd.Series(["01.01.2024", None, "03.01.2024"]), Datetime(format="%d.%m.%Y")),
        (pd.Series([datetime.date(2024, 1, 1), None, datetime.date(2024, 1, 3)]), Datetime(format="date")),
    ],
    ids=str,
)
def test_times_in_all_forms(series, column):
    frame, schema = pd.DataFrame({"t": series, "u": series}), {"t": column, "u": column} if column else None
    assert Range("t", "2024-01-02", "2024-01-03").holds(frame, schema).tolist() == [False, True, True]
    assert Inequality("t", "u").holds(frame, schema).all()
    assert Inequality("t", "u", strict=True).holds(frame, schema).tolist() == [False, True, False]
    days = Formula("n", "(t - 19723 * 86400) / 86400")
    assert days.compute(frame, schema).tolist() == pytest.approx([0, math.nan, 2], nan_ok=True)


@pytest.mark.parametrize(
    ("series", "column"),
    [
        (pd.Series(["1.5", None, "x", "3"]), None),
        (pd.Series(["1.5", None, "x", "3"]), Continuous(form="text")),
        (pd.Series([Decimal("1.5"), None, Decimal("NaN"), Decimal(3)]), Continuous(form="decimal")),
        (pd.Series(pd.to_timedelta([1.5, None, None, 3], unit="s")), None),
        (pd.Series(pd.Categorical([1.5, None, None, 3])), None),
        (pd.Series([1.5, np.inf, np.nan, 3]), None),
    ],
    ids=str,
)
def test_numbers_in_all_forms(series, column):
    frame, schema = pd.DataFrame({"t": series}), {"t": column} if column else None
    assert Range("t", 0, 2).holds(frame, schema).tolist() == [True, True, True, False]
    assert Formula("n", "t * 2").compute(frame, schema).tolist() == pytest.approx(
        [3, math.nan, math.nan, 6], nan_ok=True
    )


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([True, False, None]),
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series([2, 0, None], dtype="Int8"),
        pd.Series([0.5, 0.0, None]),
        pd.Series([2, 0, None], dtype="object"),
        pd.Series(pd.Categorical([2, 0, None])),
        pd.Series(pd.to_timedelta([2, 0, None], unit="s")),
    ],
    ids=lambda s: str(s.dtype),
)
def test_what_is_set(series):
    frame = pd.DataFrame({"a": series, "b": [None, None, "x"]})
    assert OneOf(("a", "b")).holds(frame).tolist() == [True, False, True]


def test_a_bound_is_rounded_as_narrow_floats_are():
    frame = pd.DataFrame({"a": np.array([0.1, 0.2], dtype="float32")})
    assert Range("a", high=0.1).holds(frame).tolist() == [True, False]


def test_dates_of_a_range_without_a_zone_are_in_the_columns_own():
    times = pd.Series(pd.to_datetime(["2023-12-31 23:30", "2023-12-31 22:30"], utc=True)).dt.tz_convert("Europe/Rome")
    assert Range("t", "2024-01-01").holds(pd.DataFrame({"t": times})).tolist() == [True, False]


def test_nested_values_are_refused_by_name():
    with pytest.raises(DataError, match="'a' holds values that are no levels"):
        FixedCombinations(("a", "b"), ((1, 2),)).holds(pd.DataFrame({"a": [[1], [2]], "b": [1, 2]}))


RULES = [
    (Inequality("a", "b"), "a <= b"),
    (Inequality("a", "b c", strict=True), "a < `b c`"),
    (FixedCombinations(("a", "b")), "fixed combinations of a, b"),
    (FixedCombinations(["a", "b"], [["x", 1], [None, 2.0]]), "fixed combinations of a, b (2 declared)"),
    (Range("a", 0), "a >= 0"),
    (Range("a", high=2.5), "a <= 2.5"),
    (Range("a", "2024-01-01", pd.Timestamp("2024-02-01")), "2024-01-01T00:00:00 <= a <= 2024-02-01T00:00:00"),
    (Range("a", np.int64(1), np.float32(2)), "1 <= a <= 2.0"),
    (OneOf(["a", "b"]), "exactly one of a, b is set"),
    (Formula("a", " b * `c d` "), "a = b * `c d`"),
]


@pytest.mark.parametrize(("rule", "words"), RULES, ids=lambda v: str(v))
def test_words_json_and_hash(rule, words):
    assert str(rule) == words
    again = rule_from_dict(json.loads(json.dumps(rule.to_dict())))
    assert again == rule
    assert hash(again) == hash(rule)
    assert isinstance(rule.columns, tuple)


def test_columns_of_rules():
    assert Formula("a", "b + c * b - a1").columns == ("a", "b", "c", "a1")
    assert Range("a", 0).columns == ("a",)
    assert Inequality("a", "b").columns == ("a", "b")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Inequality("a", "a"), ["high", "another column"]),
        (lambda: Inequality("", "a"), ["low", "name of a column"]),
        (lambda: Inequality("a", 3), ["high", "name of a column", "3"]),
        (lambda: Inequality("a", "b", strict="yes"), ["strict", "True or False"]),
        (lambda: Range("a"), ["low", "given, or high"]),
        (lambda: Range("a", 2, 2), ["high", "above low=2"]),
        (lambda: Range("a", 2, 1), ["high", "above low=2"]),
        (lambda: Range("a", "2024-01-02", "2024-01-01"), ["high", "above low=2024-01-02"]),
        (lambda: Range("a", 1, "2024-01-01"), ["high", "a number or a date"]),
        (lambda: Range("a", float("nan")), ["low", "finite"]),
        (lambda: Range("a", True), ["low", "finite"]),
        (lambda: Range("a", "soon"), ["low", "2024-01-31", "soon"]),
        (lambda: OneOf("ab"), ["columns", "two or more"]),
        (lambda: OneOf(("a",)), ["columns", "two or more"]),
        (lambda: OneOf(("a", "a")), ["columns", "distinct"]),
        (lambda: FixedCombinations(("a", 1)), ["columns", "names"]),
        (lambda: FixedCombinations(("a", "b"), ()), ["allowed", "distinct tuples of 2"]),
        (lambda: FixedCombinations(("a", "b"), "xy"), ["allowed", "distinct tuples of 2"]),
        (lambda: FixedCombinations(("a", "b"), (("x",),)), ["allowed", "tuples of 2"]),
        (lambda: FixedCombinations(("a", "b"), (("x", 1), ("x", 1.0))), ["allowed", "distinct"]),
        (lambda: FixedCombinations(("a", "b"), (("x", []),)), ["allowed", "strings, numbers"]),
        (lambda: FixedCombinations(("a", "b"), ((None, None),)), ["allowed", "tuples of 2"]),
    ],
)
def test_rules_refuse_what_they_cannot_be(make, words):
    with pytest.raises(ParameterError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)


# Rules together, and with the columns of a schema.

COLUMNS = {
    "n": Continuous(0, 10),
    "m": Continuous(20, 30),
    "w": Continuous(decimals=0, nullable=False),
    "t": Datetime("2024-01-01", "2024-02-01"),
    "s": Categorical(("x", "y")),
    "full": Categorical(("x", "y"), nullable=False),
    "days": Datetime(nullable=False),
    "b": Boolean(),
    "key": Identifier(),
    "price": Continuous(form="text"),
}


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([Inequality("s", "n")], ["s <= n", "'s' is Categorical"]),
        ([Inequality("t", "n")], ["compares a time with a number"]),
        ([Inequality("b", "n")], ["'b' is Boolean"]),
        ([Inequality("m", "n")], ["cannot hold", "at least 20", "at most 10"]),
        ([Inequality("key", "n")], ["names identifiers", "'key'"]),
        ([OneOf(("key", "s"))], ["names identifiers"]),
        ([Inequality("n", "w"), Inequality("w", "n")], ["circle", "n <= w; w <= n"]),
        ([Range("s", 0, 1)], ["'s' is Categorical"]),
        ([Range("t", 0, 1)], ["needs dates"]),
        ([Range("n", "2024-01-01")], ["needs numbers"]),
        ([Range("n", 20, 30)], ["less than two values", "declared bounds 0 to 10"]),
        ([Range("w", 0.5, 1.5)], ["less than two values"]),
        ([Range("t", "2025-01-01")], ["less than two values"]),
        ([Range("z", 0, 1), Range("z", 2, 3)], ["0 <= z <= 1; 2 <= z <= 3", "less than two values"]),
        ([Range("w", 0, 5), Range("n", 6), Inequality("n", "w")], ["n <= w cannot hold"]),
        ([Formula("n", "m + s")], ["'s' is Categorical"]),
        ([Formula("s", "m + n")], ["'s' is Categorical"]),
        ([Formula("n", "m"), Formula("n", "w")], ["two formulas", "n = m", "n = w"]),
        ([Formula("n", "m + 1"), Formula("m", "n - 1")], ["circle", "n = m + 1; m = n - 1"]),
        ([Formula("n", "n + 1")], ["circle"]),
        ([FixedCombinations(("t", "s"))], ["'t' is Datetime", "Categorical"]),
        ([FixedCombinations(("price", "s"))], ["'price' is Continuous", "Categorical"]),
        ([FixedCombinations(("n", "s")), Formula("n", "m")], ["a formula computes"]),
        ([FixedCombinations(("n", "s")), FixedCombinations(("b", "s"))], ["two rules of fixed combinations"]),
        ([FixedCombinations(("s", "b"), (("z", True),))], ["'s' cannot take", "'z'"]),
        ([FixedCombinations(("w", "s"), ((None, "x"),))], ["missing values in 'w'"]),
        ([FixedCombinations(("w", "s"), ((1.5, "x"),))], ["'w' cannot take", "1.5"]),
        ([FixedCombinations(("n", "b"), ((11, 5),))], ["'n' cannot take", "'b' cannot take"]),
        ([OneOf(("full", "days", "s"))], ["cannot hold", "never missing"]),
        (["a < b"], ["must be one of those in privsynth.rules", "'a < b'"]),
        ([Rule()], ["must be one of those in privsynth.rules"]),
    ],
    ids=lambda v: "; ".join(map(str, v))[:60],
)
def test_rules_that_cannot_be_kept(rules, words):
    with pytest.raises(SchemaError) as caught:
        Schema(COLUMNS, rules=rules)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_all_problems_are_said_at_once():
    with pytest.raises(SchemaError) as caught:
        Schema(COLUMNS, rules=[Inequality("m", "n"), Formula("n", "s"), OneOf(("key", "s"))])
    assert str(caught.value).startswith("There are 3 problems:\n  1. ")
    frame = pd.DataFrame({"n": [0.5, 1.0], "text": ["x", "y"]})
    schema = Schema({"gone": Boolean(), "text": Continuous()}, rules=[Range("nn", 0), Inequality("n", "text")])
    problems = schema.with_unit("person").check(frame)
    assert len(problems) == 4
    with pytest.raises(SchemaError) as caught:
        resolve_schema(schema.with_unit("person"), frame)
    for words in ("['gone']", "'text' is declared Continuous", "['nn']", "privacy_unit 'person'"):
        assert sum(words in problem for problem in problems) == 1
        assert words in str(caught.value)


def test_what_the_data_types_say_counts():
    frame = pd.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    schema = Schema(rules=[Inequality("a", "b")])  # nothing is declared: nothing is known
    assert schema.check(frame) == [
        "The rule a <= b needs numbers, durations or times: 'a' is Categorical. Declare or convert them."
    ]
    assert Schema(rules=[Inequality("b", "c")]).check(frame.assign(c=[1.5, 2.5])) == []


def test_rules_that_can_be_kept():
    rules = [
        Inequality("n", "m", strict=True),
        Inequality("n", "w"),
        Range("n", 2),
        Range("t", high="2024-01-15"),
        Formula("w", "n + b"),
        FixedCombinations(("s", "b"), (("x", True), (None, False))),
        OneOf(("full", "s")),
    ]
    assert Schema(COLUMNS, rules=rules).rules == tuple(rules)
