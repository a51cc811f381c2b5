"""``--where``: clauses into predicates, as a table of cases and as properties."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from privsynth._where import parse_where
from privsynth.errors import ConditionError
from privsynth.transforms.cells import Cells
from privsynth.transforms.columns import DiscreteColumn, NumericColumn
from privsynth.transforms.predicates import Between, OneOf


def numeric(name, dtype="float64", low=0.0, high=1e6):
    cells = Cells(np.array([low]), np.array([high]), np.ones(1), np.zeros(1, dtype=np.int64))
    return NumericColumn(name, dtype, cells, null=True)


def discrete(name, levels, *, dtype="object", ordered=False, other=False, null=False):
    return DiscreteColumn(name, dtype, tuple(levels), other=other, null=null, ordered=ordered)


COLUMNS = [
    numeric("amount"),
    numeric("amount in GBP"),
    numeric("city-mpg"),
    numeric("b.m.i"),
    numeric("time", "datetime64[ns]", 1.6e9, 1.8e9),
    discrete("country", ["GB", "FR", "ES"], other=True, null=True),
    discrete("income", ["<=50K", ">50K"]),
    discrete("fraud", [False, True], dtype="bool"),
    discrete("rooms", [1, 2, 3, 4], dtype="int64"),
    discrete("band", ["18-24", "25-34", "35+"], dtype="category", ordered=True),
    discrete("shop", ["Marks, Spencer", "Tom and Jerry's", " padded", "in"]),
    discrete(" workclass", ["Private", "?"]),
    discrete("country code", ["44"]),
    discrete("grade", [1.0, 2.5], dtype="float64"),
]


@pytest.mark.parametrize(
    ("clause", "name", "wanted"),
    [
        ("amount>1000", "amount", Between(low=1000.0, low_open=True)),
        ("amount >= 1000", "amount", Between(low=1000.0)),
        ("  amount<-1e3 ", "amount", Between(high=-1000.0, high_open=True)),
        ("amount<='99.5'", "amount", Between(high=99.5)),
        ("amount=0", "amount", OneOf((0.0,))),
        ("amount==0", "amount", OneOf((0.0,))),
        ("amount in 0, 10,20", "amount", OneOf((0.0, 10.0, 20.0))),
        ("amount between 1 and 2", "amount", Between(1.0, 2.0)),
        ("amount BETWEEN 1 AND 2", "amount", Between(1.0, 2.0)),
        ("amount is missing", "amount", OneOf((None,))),
        ("amount is not  missing", "amount", Between()),
        ("amount in GBP>5", "amount in GBP", Between(low=5.0, low_open=True)),
        ("amount in GBP in 5", "amount in GBP", OneOf((5.0,))),
        ("city-mpg<20", "city-mpg", Between(high=20.0, high_open=True)),
        ("b.m.i between 18.5 and 25", "b.m.i", Between(18.5, 25.0)),
        ("'amount in GBP' > 5", "amount in GBP", Between(low=5.0, low_open=True)),
        ("time>=2024-03-01", "time", Between(low=pd.Timestamp("2024-03-01"))),
        (
            "time between 2024-03-01 and '2024-03-02 12:30'",
            "time",
            Between(pd.Timestamp("2024-03-01"), pd.Timestamp("2024-03-02 12:30")),
        ),
        ("country=GB", "country", OneOf(("GB",))),
        ('country="GB"', "country", OneOf(("GB",))),
        ("country in GB,FR", "country", OneOf(("GB", "FR"))),
        ("country!=GB", "country", OneOf(("FR", "ES", "__other__"))),
        ("country not in GB, FR", "country", OneOf(("ES", "__other__"))),
        ("country is missing", "country", OneOf((None,))),
        ("country is not missing", "country", OneOf(("GB", "FR", "ES", "__other__"))),
        ("country=__other__", "country", OneOf(("__other__",))),
        ("country code=44", "country code", OneOf(("44",))),
        ("income=>50K", "income", OneOf((">50K",))),
        ("income = <=50K", "income", OneOf(("<=50K",))),
        ("income==>50K", "income", OneOf((">50K",))),
        ("income!=>50K", "income", OneOf(("<=50K",))),
        ("fraud=True", "fraud", OneOf((True,))),
        ("fraud=true", "fraud", OneOf((True,))),
        ("fraud=1", "fraud", OneOf((True,))),
        ("fraud!=1", "fraud", OneOf((False,))),
        ("rooms=2", "rooms", OneOf((2,))),
        ("rooms=2.0", "rooms", OneOf((2,))),
        ("rooms>2", "rooms", OneOf((3, 4))),
        ("rooms between 1.5 and 3", "rooms", OneOf((2, 3))),
        ("grade=1", "grade", OneOf((1.0,))),
        ("band>=25-34", "band", OneOf(("25-34", "35+"))),
        ("band between 18-24 and 25-34", "band", OneOf(("18-24", "25-34"))),
        ("shop in 'Marks, Spencer',in", "shop", OneOf(("Marks, Spencer", "in"))),
        ("shop=Marks, Spencer", "shop", OneOf(("Marks, Spencer",))),
        ('shop="Tom and Jerry\'s"', "shop", OneOf(("Tom and Jerry's",))),
        ("shop=' padded'", "shop", OneOf((" padded",))),
        ("workclass=?", " workclass", OneOf(("?",))),
        (" workclass=Private", " workclass", OneOf(("Private",))),
    ],
)
def test_clause(clause, name, wanted):
    assert parse_where([clause], COLUMNS) == {name: wanted}


@pytest.mark.parametrize(
    ("clauses", "wanted"),
    [
        (["amount>100", "amount<=200"], {"amount": Between(100.0, 200.0, True, False)}),
        (["amount>=100", "amount>100"], {"amount": Between(low=100.0, low_open=True)}),
        (["amount<5", "amount<=5", "amount<7"], {"amount": Between(high=5.0, high_open=True)}),
        (["amount>1", "amount in 1,2,3"], {"amount": OneOf((2.0, 3.0))}),
        (["amount is not missing", "amount<3"], {"amount": Between(high=3.0, high_open=True)}),
        (["country in GB,FR", "country!=GB"], {"country": OneOf(("FR",))}),
        (["rooms>1", "rooms<4", "rooms!=2"], {"rooms": OneOf((3,))}),
        (["amount>1", "country=GB"], {"amount": Between(low=1.0, low_open=True), "country": OneOf(("GB",))}),
    ],
)
def test_clauses_on_one_column_intersect(clauses, wanted):
    assert parse_where(clauses, COLUMNS) == wanted
    assert parse_where(clauses[::-1], COLUMNS) == wanted


@pytest.mark.parametrize(
    ("clause", "wanted"),
    [
        ("fraud=1 and amount>1000", {"fraud": OneOf((True,)), "amount": Between(low=1000.0, low_open=True)}),
        ("fraud=0 AND rooms>2", {"fraud": OneOf((False,)), "rooms": OneOf((3, 4))}),
        (
            "amount between 1 and 2 and fraud=true and country in GB,FR",
            {"amount": Between(1.0, 2.0), "fraud": OneOf((True,)), "country": OneOf(("GB", "FR"))},
        ),
        ("amount>1 and amount<=9", {"amount": Between(1.0, 9.0, True, False)}),
        ("amount is not missing and country is missing", {"amount": Between(), "country": OneOf((None,))}),
        ('shop="Tom and Jerry\'s" and rooms=1', {"shop": OneOf(("Tom and Jerry's",)), "rooms": OneOf((1,))}),
        ("shop=Tom and Jerry's and rooms=1", {"shop": OneOf(("Tom and Jerry's",)), "rooms": OneOf((1,))}),
        ("shop='salt and rooms=1'", {"shop": OneOf(("salt and rooms=1",))}),
        (
            "shop in 'Marks, Spencer','salt and rooms=1','x, y and rooms=1' and rooms=2",
            {"shop": OneOf(("Marks, Spencer", "salt and rooms=1", "x, y and rooms=1")), "rooms": OneOf((2,))},
        ),
    ],
)
def test_clauses_joined_by_and(clause, wanted):
    columns = [
        discrete("shop", [*c.levels, "salt and rooms=1", "x, y and rooms=1"]) if c.name == "shop" else c
        for c in COLUMNS
    ]
    assert parse_where([clause], columns) == wanted


def test_a_joined_expression_is_the_same_as_its_clauses():
    clauses = ["amount>1000", "country in GB,FR", "age_is_no_column=3"]
    assert parse_where([" and ".join(clauses[:2])], COLUMNS) == parse_where(clauses[:2], COLUMNS)
    with pytest.raises(ConditionError, match="age_is_no_column"):
        parse_where([" and ".join([clauses[2], clauses[0]])], COLUMNS)


@pytest.mark.parametrize(
    ("clauses", "told"),
    [
        (["amnt>3"], "does not start with a column"),
        (["amount"], "asks nothing of it"),
        (["amount 3"], "does not start with a column"),
        ([""], "does not start with a column"),
        (["amount>"], "names no value"),
        (["country="], "names no value"),
        (["amount>lots"], "must be a number. Got 'lots'"),
        (["amount=>100"], "Got '>100'"),
        (["amount>nan"], "must be a number"),
        (["time>soon"], "must be a date or time"),
        (["amount!=3"], "Use a range"),
        (["amount not in 3"], "Use a range"),
        (["amount between 3"], "is no range"),
        (["amount between 3 and"], "is no range"),
        (["amount between 7 and 3"], "No value of column 'amount'"),
        (["amount>5", "amount<5"], "together with the conditions before it"),
        (["amount>5", "amount is missing"], "together with"),
        (["amount>=5", "amount<5"], "together with"),
        (["country in GB,"], "after the last comma"),
        (["country in"], "lists no value"),
        (["country in GB,,FR"], "cannot be read"),
        (["fraud=2"], "asks for 2.0, which the model does not know"),
        (["country=XX"], "which the model does not know. It knows 'GB'"),
        (["country>FR"], "its levels have no order"),
        (["country in GB", "country=FR"], "together with"),
        (["rooms>9"], "No value of column 'rooms'"),
        (["income is missing"], "the model has none"),
        (["amount is missing today"], "does not start with|goes on after"),
    ],
)
def test_what_cannot_be_meant_is_refused(clauses, told):
    with pytest.raises(ConditionError, match=told):
        parse_where(clauses, COLUMNS)


NUMBERS = st.floats(-1e9, 1e9).map(lambda x: x + 0.0)


@given(value=NUMBERS, operator=st.sampled_from([">", ">=", "<", "<=", "=", "=="]), space=st.sampled_from(["", " "]))
def test_any_number_round_trips(value, operator, space):
    predicate = parse_where([f"amount{space}{operator}{space}{value!r}"], COLUMNS)["amount"]
    ends = predicate.values if isinstance(predicate, OneOf) else (predicate.low, predicate.high)
    assert [end for end in ends if end is not None] == [value]


@given(level=st.text(min_size=1).filter(lambda t: t == t.strip() and t[0] not in "\"'=" and "\x00" not in t))
def test_any_level_can_be_asked_for(level):
    columns = [discrete("a", [level, level + "x"])]
    assert parse_where([f"a={level}"], columns) == {"a": OneOf((level,))}


@given(name=st.text(min_size=1), other=st.text(min_size=1), value=st.integers(0, 99))
def test_any_column_name_can_be_asked_for(name, other, value):
    assume(name.strip() == name and other.strip() != name and not other.startswith(name))
    assert parse_where([f"{name}={value}"], [numeric(name), numeric(other)]) == {name: OneOf((float(value),))} or (
        name.startswith(other.strip())
    )


@given(bounds=st.lists(st.tuples(st.sampled_from([">", ">=", "<", "<="]), st.integers(-3, 3)), min_size=1, max_size=5))
def test_intersections_agree_with_checking_each_clause(bounds):
    holds = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
    grid = np.arange(-4, 4.5, 0.5)
    slow = np.all([holds[operator](grid, value) for operator, value in bounds], axis=0)
    try:
        found = parse_where([f"amount{operator}{value}" for operator, value in bounds], COLUMNS)["amount"]
    except ConditionError:
        assert not slow.any()
        return
    low = -math.inf if found.low is None else found.low
    high = math.inf if found.high is None else found.high
    above = grid > low if found.low_open else grid >= low
    assert np.array_equal(above & (grid < high if found.high_open else grid <= high), slow)
