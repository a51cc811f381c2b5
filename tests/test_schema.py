"""Schemas: declared, taken from data types, inferred, written and read; and what they refuse."""

import json
import warnings
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsynth.errors import ParameterError, PrivsynthWarning, SchemaError
from privsynth.rules import FixedCombinations, Inequality, OneOf, Range
from privsynth.schema import Boolean, Categorical, Continuous, Datetime, Identifier, Schema, resolve_schema

levels = st.one_of(
    st.lists(st.text(max_size=8), min_size=1, max_size=5, unique=True),
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=5, unique=True),
)
numbers = st.integers(-(10**12), 10**12) | st.floats(-1e300, 1e300)
times = st.datetimes(min_value=pd.Timestamp("1700-01-01"), max_value=pd.Timestamp("2200-01-01"))
kinds = st.one_of(
    st.builds(
        lambda ends, **k: Continuous(min(ends), max(ends), **k),
        st.lists(numbers, min_size=2, max_size=2, unique=True),
        decimals=st.none() | st.integers(0, 6),
        nullable=st.booleans(),
    ),
    st.builds(Continuous, low=st.none() | numbers),
    st.builds(lambda ends: Datetime(min(ends), max(ends)), st.lists(times, min_size=2, max_size=2, unique=True)),
    st.builds(Datetime, low=st.none() | times, nullable=st.booleans()),
    st.builds(Categorical, categories=st.none() | levels.map(tuple), ordered=st.booleans(), nullable=st.booleans()),
    st.builds(Boolean, nullable=st.booleans()),
    st.builds(Identifier, prefix=st.text(max_size=5)),
)


@given(st.dictionaries(st.text(max_size=10), kinds, max_size=6))
def test_json_round_trip(columns):
    schema = Schema(columns)
    again = Schema.from_json(schema.to_json())
    assert again == schema
    assert list(again) == list(schema)


def test_a_schema_is_a_mapping_that_declare_does_not_change():
    schema = Schema({"age": Continuous(0, 120)})
    more = schema.declare(sex=Categorical(("F", "M")), age=Continuous(18, 99))
    assert dict(schema) == {"age": Continuous(0, 120)}
    assert dict(more) == {"age": Continuous(18, 99), "sex": Categorical(("F", "M"))}
    assert "age" in repr(schema)
    assert len(more) == 2


DTYPES = [
    *((t, Continuous(decimals=0, nullable=False)) for t in ("int8", "int16", "int32", "int64", "uint8", "uint64")),
    *((t, Continuous(decimals=0, nullable=True)) for t in ("Int8", "Int64", "UInt16")),
    *((t, Continuous()) for t in ("float16", "float32", "float64", "Float32", "Float64")),
    ("bool", Boolean(nullable=False)),
    ("boolean", Boolean(nullable=True)),
    *((t, Categorical()) for t in ("object", "string")),
    *((t, Datetime()) for t in ("datetime64[s]", "datetime64[ms]", "datetime64[ns]", "datetime64[ns, Asia/Tokyo]")),
    (pd.CategoricalDtype(["b", "a"], ordered=True), Categorical(("b", "a"), ordered=True)),
    (pd.CategoricalDtype([2, 1]), Categorical((2, 1))),
    ("timedelta64[ns]", Continuous()),
    (pd.CategoricalDtype(pd.IntervalIndex.from_breaks([0, 1, 2])), Categorical(("(0, 1]", "(1, 2]"))),
]


@pytest.mark.parametrize(("dtype", "column"), DTYPES, ids=lambda v: str(v)[:40])
def test_data_types_alone(dtype, column):
    frame = pd.DataFrame({"c": pd.Series([], dtype=dtype)})  # no value to look at
    assert dict(Schema.from_dtypes(frame)) == {"c": column}
    assert dict(resolve_schema(None, frame)) == {"c": column}


@pytest.mark.parametrize("dtype", ["complex128", "Sparse[float]", "period[M]", "interval[int64]"])
def test_data_types_without_a_kind_are_refused_by_name(dtype):
    frame = pd.DataFrame({"odd one": pd.Series([], dtype=dtype)})
    with pytest.raises(SchemaError, match=r"'odd one' has dtype .*Convert"):
        Schema.from_dtypes(frame)
    with pytest.raises(SchemaError, match=r"'odd one'.*Convert"):
        resolve_schema({"odd one": Identifier()}, frame)


def infer(frame):
    with pytest.warns(PrivsynthWarning, match="outside any privacy budget"):
        return Schema.infer(frame)


def test_infer_warns_and_reads_what_is_there():
    frame = pd.DataFrame(
        {
            "age": [30, 40, 50, 60],
            "price": [1.25, 3.5, None, 2.0],
            "third": [1 / 3, 2 / 3, 4 / 3, 5 / 3],
            "flat": [7.0] * 4,
            "city": ["b", "a", None, "a"],
            "ok": [True, False, True, True],
            "day": pd.to_datetime(["2024-01-05", None, "2024-01-01", "2024-02-01"]),
            "empty": pd.Series([None] * 4, dtype=float),
        }
    )
    assert dict(infer(frame)) == {
        "age": Continuous(30.0, 60.0, decimals=0, nullable=False),
        "price": Continuous(1.25, 3.5, decimals=2),
        "third": Continuous(1 / 3, 5 / 3, nullable=False),
        "flat": Continuous(7.0, 8.0, decimals=0, nullable=False),
        "city": Categorical(("a", "b")),
        "ok": Boolean(),
        "day": Datetime("2024-01-01", "2024-02-01"),
        "empty": Continuous(),
    }


def test_infer_takes_distinct_strings_for_keys_and_keeps_zones():
    days = pd.date_range("2024-03-01 00:30", periods=60, tz="Europe/Berlin")
    schema = infer(pd.DataFrame({"key": [f"k{i}" for i in range(60)], "day": days}))
    assert schema["key"] == Identifier()
    assert pd.Timestamp(schema["day"].low) == days[0]
    assert pd.Timestamp(schema["day"].high) == days[-1]
    assert Schema.from_json(schema.to_json()) == schema


def test_declaring_never_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve_schema({"a": Continuous(0, 1)}, pd.DataFrame({"a": [0.5]}))


# Written for people, written for machines.

FULL = Schema(
    {"age": Continuous(17, 90, decimals=0), "sex": Categorical(("F", "M")), "paid on": Datetime(), "id": Identifier()},
    rules=[Range("age", 18), FixedCombinations(("sex", "city"), (("F", "Rome"), ("M", None)))],
    privacy_unit="id",
    max_rows_per_unit=5,
)


def test_the_text_for_people_is_aligned():
    assert repr(FULL).splitlines() == [
        "Schema of 4 columns",
        "  'age'      Continuous   low=17, high=90, decimals=0",
        "  'sex'      Categorical  categories=('F', 'M')",
        "  'paid on'  Datetime",
        "  'id'       Identifier",
        "rules",
        "  age >= 18",
        "  fixed combinations of sex, city (2 declared)",
        "privacy unit: 'id', at most 5 rows each",
    ]
    assert repr(Schema({"a": Boolean()})).splitlines() == ["Schema of 1 column", "  'a'  Boolean"]
    assert repr(Schema()) == "Schema of 0 columns"
    many = repr(Schema({"a": Categorical(tuple(range(10_000)))}))
    assert len(many) < 200
    assert "10000 in all" in many
    assert len(repr(Schema({"a": Categorical(("x" * 10_000, "y"))}))) < 300


HOSTILE = "<script>alert(1)</script>&\"'\n"


def test_the_table_for_notebooks_is_escaped():
    rules = [FixedCombinations((HOSTILE, "b")), Range(HOSTILE + "c", 0)]
    html = Schema({HOSTILE: Categorical((HOSTILE, "x"))}, rules=rules).with_unit(HOSTILE)._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 5
    assert html.count("<tr>") == 2
    root = ElementTree.fromstring(f"<div>{html}</div>")
    assert [cell.text for cell in root.iter("td")][1] == "Categorical"
    assert len(list(root.iter("li"))) == 2
    plain = Schema({"a": Boolean()})._repr_html_()
    assert "Rules" not in plain
    assert "privacy unit" not in plain


def test_json_has_a_line_a_column_and_a_line_a_rule():
    text = FULL.to_json()
    assert Schema.from_json(text) == FULL
    assert text.splitlines()[0] == '{"columns": {'
    assert text.splitlines()[6:10] == [
        '"rules": [',
        '  {"rule": "range", "column": "age", "low": 18},',
        '  {"rule": "fixed combinations", "columns": ["sex", "city"], "allowed": [["F", "Rome"], ["M", null]]}',
        "],",
    ]
    assert text.splitlines()[10:] == ['"privacy_unit": "id",', '"max_rows_per_unit": 5}']
    assert set(json.loads(Schema({"a": Boolean()}).to_json())) == {"columns"}
    more = FULL.declare(age=Continuous(0, 99)).to_json().splitlines()
    assert sum(a != b for a, b in zip(text.splitlines(), more, strict=True)) == 1
    assert Schema.from_json('{"columns": {"a": {"kind": "boolean"}}}') == Schema({"a": Boolean()})


def test_equality_and_hash():
    columns = {"a": Boolean(), "b": Continuous()}
    plain, ruled = Schema(columns), Schema(columns, rules=[Range("b", 0)])
    assert plain == columns
    assert plain == Schema(dict(reversed(columns.items())))
    assert ruled == Schema(columns).with_rules(Range("b", 0))
    assert len({plain, Schema(columns), ruled, ruled.with_rules(), ruled.with_rules(Range("b", 0))}) == 2
    assert ruled != plain
    assert ruled != columns
    assert plain != plain.with_unit("a")
    assert plain.with_unit("a") != plain.with_unit("a", 3)
    assert plain.with_unit("a").with_unit(None) == plain
    assert plain != 3


def test_rules_and_unit_are_kept_on_the_way():
    schema = Schema(rules=[Range("b", 0)]).with_unit("who", 3).declare(b=Continuous()).with_rules(Range("a", 1))
    assert schema.rules == (Range("b", 0), Range("a", 1))
    assert (schema.privacy_unit, schema.max_rows_per_unit) == ("who", 3)
    frame = pd.DataFrame({"who": ["x", "y"], "a": [1, 2], "b": [0.5, 1.5]})
    resolved = resolve_schema(schema, frame)
    assert resolved._terms == schema._terms
    assert schema.check(frame) == []


@pytest.mark.parametrize(
    ("unit", "most", "words"),
    [
        (3, None, "privacy_unit must be the name of a column. Got 3"),
        ("", None, "privacy_unit must be the name of a column"),
        (None, 3, "max_rows_per_unit needs a privacy_unit"),
        ("a", 0, "max_rows_per_unit must be an integer >= 1. Got 0"),
        ("a", True, "max_rows_per_unit must be an integer >= 1"),
        ("a", 2.5, "max_rows_per_unit must be an integer >= 1"),
    ],
)
def test_units_that_are_none(unit, most, words):
    with pytest.raises(SchemaError) as caught:
        Schema(privacy_unit=unit, max_rows_per_unit=most)
    assert words in str(caught.value)
    with pytest.raises(SchemaError) as caught:
        Schema.from_json(json.dumps({"columns": {}, "privacy_unit": unit, "max_rows_per_unit": most}))
    assert words in str(caught.value)


def test_everything_wrong_with_a_frame_is_said():
    frame = pd.DataFrame({"a": ["x"], "b": [1], "odd": pd.Series([1j])})
    problems = Schema({"a": Continuous(), "b": Datetime(), "c": Boolean()}).with_unit("d").check(frame)
    assert len(problems) == 5
    for words, problem in zip(["['c']", "'a' is decl", "'b' is decl", "'odd' has dtype", "'d'"], problems, strict=True):
        assert words in problem
        assert problem.endswith(".")


def sdv(*constraints):
    columns = {name: {"sdtype": "numerical"} for name in "abc"} | {"x": {"sdtype": "categorical"}}
    made = [{"constraint_class": kind, "constraint_parameters": given} for kind, given in constraints]
    return json.dumps({"columns": columns, "constraints": made})


@pytest.mark.parametrize(
    ("kind", "given", "rules"),
    [
        ("Inequality", {"low_column_name": "a", "high_column_name": "b"}, [Inequality("a", "b")]),
        (
            "Inequality",
            {"low_column_name": "a", "high_column_name": "b", "strict_boundaries": True},
            [Inequality("a", "b", True)],
        ),
        (
            "Range",
            {"low_column_name": "a", "middle_column_name": "b", "high_column_name": "c", "strict_boundaries": False},
            [Inequality("a", "b"), Inequality("b", "c")],
        ),
        (
            "ScalarRange",
            {"column_name": "a", "low_value": 0, "high_value": 9, "strict_boundaries": False},
            [Range("a", 0, 9)],
        ),
        ("ScalarInequality", {"column_name": "a", "relation": ">=", "value": 3}, [Range("a", 3)]),
        (
            "ScalarInequality",
            {"column_name": "d", "relation": "<", "value": "2024-01-02"},
            [Range("d", high="2024-01-01T23:59:59")],
        ),
        ("Positive", {"column_name": "a", "strict_boundaries": True}, [Range("a", 5e-324)]),
        ("Negative", {"column_name": "a"}, [Range("a", high=0)]),
        ("FixedCombinations", {"column_names": ["x", "a"]}, [FixedCombinations(("x", "a"))]),
        ("OneHotEncoding", {"column_names": ["a", "b"]}, [OneOf(("a", "b"))]),
    ],
)
def test_sdv_constraints_that_are_rules(kind, given, rules):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Schema.from_json(sdv((kind, given))).rules == tuple(rules)


def test_a_strict_end_excludes_whole_numbers_too():
    given = {"column_name": "a", "low_value": 0, "high_value": 9}
    rule = Schema.from_json(sdv(("ScalarRange", given))).rules[0]
    assert rule.holds(pd.DataFrame({"a": [0, 1, 8, 9]})).tolist() == [False, True, True, False]
    assert rule.holds(pd.DataFrame({"a": [0.0, 1e-300, 8.99, 9]})).tolist() == [False, True, True, False]


def test_sdv_constraints_without_a_counterpart_are_named():
    text = sdv(("Unique", {"column_names": ["a"]}), ("Positive", {"column_name": "a"}), ("Mine", {}))
    with pytest.warns(PrivsynthWarning, match=r"are ignored: Unique, Mine\."):
        assert Schema.from_json(text).rules == (Range("a", 0),)


SDV_COLUMNS = {
    "id": {"sdtype": "id", "regex_format": "[a-z]{3}"},
    "age": {"sdtype": "numerical", "computer_representation": "Int64"},
    "pay": {"sdtype": "numerical"},
    "sex": {"sdtype": "categorical"},
    "ok": {"sdtype": "boolean"},
    "day": {"sdtype": "datetime", "datetime_format": "%Y-%m-%d"},
    "mail": {"sdtype": "email", "pii": True},
    "number": {"sdtype": "numerical"},
}
SDV_MEANING = {
    "id": Identifier(),
    "age": Continuous(decimals=0),
    "pay": Continuous(),
    "sex": Categorical(),
    "ok": Boolean(nullable=True),
    "day": Datetime(),
    "mail": Identifier(),
    "number": Identifier(),  # the primary key
}


@pytest.mark.parametrize("nested", [False, True])
def test_sdv_metadata(nested, tmp_path):
    table = {"METADATA_SPEC_VERSION": "SINGLE_TABLE_V1", "primary_key": "number", "columns": SDV_COLUMNS}
    data = {"METADATA_SPEC_VERSION": "V1", "tables": {"t": table}, "relationships": []} if nested else table
    (tmp_path / "metadata.json").write_text(json.dumps(data))
    assert dict(Schema.read(tmp_path / "metadata.json")) == SDV_MEANING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "{}",
        '{"columns": []}',
        '{"columns": {"a": null}}',
        '{"columns": {"a": "continuous"}}',
        '{"columns": {"a": {"kind": "ratio"}}}',
        '{"columns": {"a": {"kind": "continuous", "lowest": 3}}}',
        '{"columns": {"a": {"kind": "continuous", "low": "three"}}}',
        '{"columns": {"a": {"kind": "continuous", "low": 3, "high": 2}}}',
        '{"columns": {"a": {"kind": "categorical", "categories": "abc"}}}',
        '{"columns": {"a": {"kind": "categorical", "categories": [null]}}}',
        '{"columns": {"a": {"kind": "datetime", "low": "soon"}}}',
        '{"columns": {}, "rules": {}}',
        '{"columns": {}, "rules": [3]}',
        '{"columns": {}, "rules": [{"rule": "magic"}]}',
        '{"columns": {}, "rules": [{"rule": ["one of"]}]}',
        '{"columns": {}, "rules": [{"rule": "inequality", "low": "a"}]}',
        '{"columns": {}, "rules": [{"rule": "inequality", "low": "a", "high": ["b"]}]}',
        '{"columns": {}, "rules": [{"rule": "range", "column": "a", "low": 1e999}]}',
        '{"columns": {}, "rules": [{"rule": "formula", "column": "a", "formula": "__import__(1)"}]}',
        '{"columns": {}, "rules": [{"rule": "one of", "columns": ["a", {}]}]}',
        '{"columns": {}, "rules": [{"rule": "fixed combinations", "columns": ["a", "b"], "allowed": [[{}, 1]]}]}',
        '{"columns": {}, "rules": [{"rule": "fixed combinations", "columns": ["a", "b"], "allowed": {"a": 1}}]}',
        '{"columns": {}, "constraints": [{"constraint_class": "Inequality", "constraint_parameters": {}}]}',
        '{"columns": {}, "constraints": ["Inequality"]}',
        '{"tables": {}}',
        '{"tables": {"a": {"columns": {}}, "b": {"columns": {}}}}',
        '{"tables": [{"columns": {}}]}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:60],
)
def test_texts_that_are_no_schema(text):
    with pytest.raises(SchemaError, match="neither a privsynth schema nor SDV metadata"):
        Schema.from_json(text)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SchemaError, match=r"nowhere\.json cannot be read: No such file"):
        Schema.read(tmp_path / "nowhere.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SchemaError, match="cannot be read: it is no text"):
        Schema.read(tmp_path / "binary.json")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Continuous(low=float("nan")), ["low", "Continuous", "nan"]),
        (lambda: Continuous(high=float("inf")), ["high", "finite", "inf"]),
        (lambda: Continuous(low="1"), ["low", "number", "'1'"]),
        (lambda: Continuous(5, 5), ["high", "above low=5", "5"]),
        (lambda: Continuous(decimals=-1), ["decimals", "-1"]),
        (lambda: Continuous(decimals=1.5), ["decimals", "integer", "1.5"]),
        (lambda: Datetime("x"), ["low", "2024-01-31", "'x'"]),
        (lambda: Datetime(high=pd.NaT), ["high", "2024-01-31", "NaT"]),
        (lambda: Datetime("2024-02-01", "2024-01-01"), ["high", "after low=2024-02-01"]),
        (lambda: Datetime("2024-02-01", "2024-01-01T00:00+01:00"), ["high", "after low"]),
        (lambda: Categorical(()), ["categories", "at least one"]),
        (lambda: Categorical(("a", "a")), ["categories", "distinct"]),
        (lambda: Categorical("abc"), ["categories", "tuple", "'abc'"]),
        (lambda: Categorical(5), ["categories", "tuple", "5"]),
        (lambda: Categorical(("a", None)), ["categories", "nullable=True"]),
        (lambda: Categorical((1.0, float("nan"))), ["categories", "nullable=True"]),
    ],
)
def test_columns_refuse_what_they_cannot_be(make, words):
    with pytest.raises(ParameterError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_numpy_scalars_become_plain():
    schema = Schema({"a": Continuous(np.int64(1), np.float32(2)), "b": Categorical((np.int64(1), np.str_("x")))})
    assert json.loads(schema.to_json())["columns"]["b"]["categories"] == [1, "x"]
    assert Schema.from_json(schema.to_json()) == schema


def test_a_schema_of_something_else_is_refused():
    with pytest.raises(SchemaError, match="'age' must be declared as one of Continuous"):
        Schema({"age": "continuous"})
    with pytest.raises(SchemaError, match="Got 5"):
        resolve_schema(5, pd.DataFrame({"a": [1]}))


FRAME = pd.DataFrame(
    {
        "i": [1, 2],
        "f": [0.5, 1.5],
        "b": [True, False],
        "s": pd.Series(["x", "y"], dtype="string"),
        "o": ["x", "y"],
        "t": pd.to_datetime(["2024-01-01", "2024-01-02"]),
        "k": pd.Categorical(["x", "y"]),
    }
)


@pytest.mark.parametrize(
    ("name", "column", "remedy"),
    [
        ("o", Continuous(), "Convert it to numbers"),
        ("s", Continuous(), "Convert it to numbers"),
        ("b", Continuous(), "Convert it to numbers"),
        ("t", Continuous(), "Convert it to numbers"),
        ("o", Datetime(), "pd.to_datetime"),
        ("i", Datetime(), "pd.to_datetime"),
        ("s", Boolean(), "Convert it to booleans"),
        ("o", Boolean(), "convert it to booleans"),
        ("t", Boolean(), "Convert it to booleans"),
        ("b", Identifier(), "declare it Boolean"),
        ("t", Identifier(), "drop the column"),
        ("i", Categorical(("1", "2")), "without quotes"),
        ("s", Categorical((1, 2)), "with quotes"),
        ("k", Categorical(("a", "b")), "is a category of it"),
    ],
)
def test_kinds_that_do_not_fit_the_data_type(name, column, remedy):
    with pytest.raises(SchemaError) as caught:
        resolve_schema({name: column}, FRAME)
    message = str(caught.value)
    assert repr(name) in message
    assert type(column).__name__ in message
    assert str(FRAME[name].dtype) in message
    assert remedy in message


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("i", Boolean()),
        ("i", Categorical((1, 2))),
        ("i", Categorical()),
        ("f", Categorical((0.5, 1.5))),
        ("t", Categorical()),
        ("o", Categorical((1, "x"))),
        ("k", Categorical(("x", "z"))),
        ("i", Identifier()),
        ("k", Identifier()),
    ],
)
def test_kinds_that_do_fit(name, column):
    assert resolve_schema({name: column}, FRAME)[name] == column


def test_resolve_completes_in_the_order_of_the_table():
    schema = resolve_schema({"f": Continuous(0, 2)}, FRAME)
    assert list(schema) == list(FRAME.columns)
    assert schema["f"] == Continuous(0, 2)
    assert schema["i"] == Continuous(decimals=0, nullable=False)
    with pytest.raises(SchemaError, match=r"columns that the table lacks: \['zz'\].*'i'"):
        resolve_schema({"zz": Boolean()}, FRAME)


def test_integer_columns_are_whole_whatever_is_declared():
    assert resolve_schema({"i": Continuous(0, 9, decimals=2)}, FRAME)["i"] == Continuous(0, 9, 0, nullable=False)
