"""How a table is learned under rules: row by row, alike for all rows, and back again."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsynth.errors import ConditionError, DataError
from privsynth.rules import FixedCombinations, Formula, Inequality, Range
from privsynth.schema import Boolean, Categorical, Continuous, Datetime, Identifier, Schema
from privsynth.transforms.columns import DiscreteColumn
from privsynth.transforms.predicates import Between, OneOf
from privsynth.transforms.reshape import JointColumn, Reshape, compute, ends, rounded

COLUMNS = {
    "key": Identifier(),
    "city": Categorical(),
    "n": Continuous(0, 9, decimals=0),
    "total": Continuous(decimals=1),
    "flag": Boolean(nullable=True),
    "t": Datetime("2024-01-01", "2024-12-31"),
}
parts = st.tuples(
    st.sampled_from(["x", 'y"]', "é\n", None]), st.sampled_from([0, 3, 12, None]), st.sampled_from([True, False, None])
)


def frame_of(rows):
    cities, ns, flags = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "key": [f"k{i}" for i in range(len(rows))],
            "city": pd.Series(cities, dtype=object),
            "n": pd.Series(ns, dtype="float64"),
            "total": 1.0,
            "flag": pd.Series(flags, dtype="boolean"),
            "t": pd.Timestamp("2024-02-01"),
        }
    )


def test_what_is_learned_and_in_which_order():
    rules = [FixedCombinations(("flag", "city")), Formula("total", "n * 2"), Range("n", 2.5), Range("t", "2024-03-01")]
    reshape = Reshape(Schema(COLUMNS, rules=[*rules, Inequality("n", "total")]))
    assert list(reshape.schema) == ["key", "flag + city", "n", "t"]
    assert reshape.schema["n"] == Continuous(3, 9, decimals=0)
    assert reshape.schema["t"] == Datetime("2024-03-01", "2024-12-31")
    assert [reshape.place(name) for name in COLUMNS] == ["key", "flag + city", "n", None, "flag + city", "t"]
    assert reshape.schema.rules == ()
    assert list(reshape.forward(frame_of([("x", 3, True)] * 3))) == list(reshape.schema)


def test_without_rules_the_frame_goes_through_as_it_is():
    frame = frame_of([("x", 3, True)])
    reshape = Reshape(Schema(COLUMNS, rules=[Inequality("n", "total")]))
    assert reshape.forward(frame) is frame
    assert reshape.schema == Schema(COLUMNS)


@given(st.lists(parts, min_size=1, max_size=10), st.data())
def test_row_by_row_and_alike_for_all_rows(rows, data):
    """A row's combination depends on that row alone: the oracle writes one row at a time."""
    declared = data.draw(st.none() | st.lists(parts, min_size=1, max_size=4, unique=True))
    allowed = None if declared is None else tuple(c for c in declared if set(c) != {None}) or (("x", 3, True),)
    allowed = (allowed and tuple(c for c in allowed if c[1] != 12)) or (None if allowed is None else (("x", 3, True),))
    reshape = Reshape(Schema(COLUMNS, rules=[FixedCombinations(("city", "n", "flag"), allowed)]))
    found = reshape.forward(frame_of(rows))["city + n + flag"].tolist()
    for row, text in zip(rows, found, strict=True):
        cut = (row[0], 9 if row[1] == 12 else row[1], row[2])  # numbers are cut to the declared bounds
        unlisted = None in cut and allowed is not None and cut not in allowed
        assert (text is None) == (set(row) == {None} or unlisted)
        assert text is None or tuple(json.loads(text)) == cut
    if allowed is not None:
        levels = reshape.schema["city + n + flag"].categories
        assert {tuple(json.loads(level)) for level in levels} == set(allowed)
    single = [reshape.forward(frame_of([row]))["city + n + flag"][0] for row in rows]
    assert single == found


def test_a_taken_name_is_not_taken_again():
    rule = FixedCombinations(("a", "b"))
    schema = Schema({"a": Categorical(), "b": Categorical(), "a + b": Categorical()}, rules=[rule])
    assert list(Reshape(schema).schema) == ["a + b+", "a + b"]


def test_nested_values_are_refused_by_name():
    frame = frame_of([("x", 3, True)]).assign(city=[["x"]])
    with pytest.raises(DataError, match="'city' holds values that are no levels"):
        Reshape(Schema(COLUMNS, rules=[FixedCombinations(("city", "n"))])).forward(frame)


DTYPES = {"city": "object", "n": "float64", "flag": "boolean"}
RULE = FixedCombinations(("city", "n"))


def joint(levels, *, other=True, null=True):
    column = DiscreteColumn("city + n", "object", tuple(map(json.dumps, levels)), other=other, null=null)
    return JointColumn.of(column, RULE, Schema(COLUMNS), DTYPES)


def test_a_column_of_combinations_as_its_parts():
    made = joint([["x", 1], ["y", 1], ["x", None]])
    assert made.released.tolist() == [1, 1, 1, 0, 1]  # unreleased combinations are never drawn, missing ones are
    assert made.cover("city", OneOf(("x",))).tolist() == [1, 0, 1, 0, 0]
    assert made.cover("n", OneOf((None,))).tolist() == [0, 0, 1, 0, 1]
    assert made.cover("n", Between(0, 2)).tolist() == [1, 1, 0, 0, 0]
    decoded = made.decode(np.array([1, 2, 4]), np.random.default_rng(0))
    assert decoded["city"].tolist() == ["y", "x", None]
    assert decoded["n"].tolist() == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    assert str(decoded["n"].dtype) == "float64"
    with pytest.raises(ConditionError, match=r"'city' asks for 'z'"):
        made.cover("city", OneOf(("z",)))


@pytest.mark.parametrize("level", ['"x"', '["x"]', "{}", '["x", 1, 2]', "no json", '[["x"], 1]'])
def test_forged_levels_are_refused(level):
    column = DiscreteColumn("city + n", "object", (level,), other=False, null=False)
    with pytest.raises((ValueError, TypeError)):
        JointColumn.of(column, RULE, Schema(COLUMNS), DTYPES)


def test_no_released_combination_is_refused():
    column = DiscreteColumn("city + n", "object", (), other=True, null=True)
    with pytest.raises(DataError, match=r"No combination of 'city', 'n' is frequent enough.*Declare"):
        Reshape(Schema(COLUMNS, rules=[RULE])).check((column,))


@pytest.mark.parametrize(
    ("column", "dtype", "expected", "good"),
    [
        (Continuous(nullable=False, decimals=0), "int8", [127, 0, 0, 4], [True, False, False, True]),
        (Continuous(decimals=0), "Int8", [127, None, None, 4], [True, False, True, True]),
        (Continuous(0, 100), "float64", [None, None, None, 3.75], [False, False, True, True]),
        (Continuous(decimals=1), "float32", [127.0, 200.0, None, 3.8], [True, True, True, True]),
    ],
)
def test_what_a_computed_column_can_hold(column, dtype, expected, good):
    schema = Schema({"x": Continuous(), "y": column}, rules=[Formula("y", "x + 0")])
    frame = pd.DataFrame({"x": [127, 200, np.nan, 3.75]})
    made, can = compute(schema.rules[0], frame, Reshape(schema), dtype)
    assert str(made.dtype) == dtype
    assert can.tolist() == good
    assert [v is None or v == pytest.approx(w) for v, w in zip(expected, made, strict=True)] == [True] * 4
    assert made.isna().tolist() == [v is None for v in expected]


def test_times_are_cut_to_their_resolution_and_ends_are_in_their_zone():
    assert rounded(np.array([86399.6, 3e5]), Datetime()).tolist() == [86400, 3e5]
    assert rounded(np.array([86399.2, 3e5]), Datetime(resolution="day")).tolist() == [0, 259200]
    assert rounded(np.array([86399.2, 3e5]), Datetime(format="%d.%m.%Y")).tolist() == [0, 259200]
    assert rounded(np.array([86399.2]), Datetime(format="%d.%m.%Y %H:%M:%S")).tolist() == [86399]
    assert ends(Datetime("1970-01-02", "1970-01-03"), "datetime64[ns, Etc/GMT-1]") == (82800, 169200)
    assert ends(Datetime("1970-01-02", format="date"), "object")[0] == 86400
