"""Columns: values to cells and back, data types restored, predicates against a row-by-row reading."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from privsynth._reading import read_numbers as to_numbers
from privsynth.errors import ConditionError
from privsynth.transforms.cells import Cells
from privsynth.transforms.columns import OTHER, DiscreteColumn, NumericColumn
from privsynth.transforms.predicates import Between, OneOf
from privsynth.transforms.stored import column_from_dict
from privsynth.transforms.values import from_numbers, to_levels, to_number
from tests.transforms.test_cells import some_cells, values_for

FALSE_ALARM = 1e-6


def rng(seed=0):
    return np.random.default_rng(seed)


def atoms(values, decimals=None):
    values = np.unique(np.asarray(values, dtype=float))
    return Cells(values, values, np.full(len(values), 1 / len(values)), np.arange(len(values)), decimals)


NUMERIC = ["int8", "int16", "int32", "int64", "uint8", "uint64", "float16", "float32", "float64"]
NULLABLE = ["Int8", "Int64", "UInt32", "Float32", "Float64", "float32", "float64"]


@pytest.mark.parametrize("dtype", [*NUMERIC, *NULLABLE])
def test_atoms_come_back_exactly(dtype):
    series = pd.Series([0, 1, 5, 100, 1, 0]).astype(dtype)
    if dtype in NULLABLE:
        series[2] = None
    column = NumericColumn("c", dtype, atoms([0, 1, 5, 100], 0), null=dtype in NULLABLE)
    again = column.decode(column.encode(series), rng())
    pd.testing.assert_series_equal(again, series)
    assert column.decode(np.zeros(0, dtype=np.int64), rng()).dtype == series.dtype


@pytest.mark.parametrize(
    "dtype", ["datetime64[s]", "datetime64[ms]", "datetime64[us]", "datetime64[ns]", "datetime64[ns, America/New_York]"]
)
def test_times_come_back_exactly(dtype):
    times = pd.Series(pd.to_datetime(["2024-03-10T12:00:00", "1969-12-31T23:59:59", None, "2024-11-03T05:30:00"]))
    series = (times.dt.tz_localize("UTC") if "," in dtype else times).astype(dtype)
    seconds = to_numbers(series)
    column = NumericColumn("c", dtype, atoms(seconds[~np.isnan(seconds)], 0), null=True)
    again = column.decode(column.encode(series), rng())
    pd.testing.assert_series_equal(again, series)


@pytest.mark.parametrize(
    ("levels", "series"),
    [
        ((False, True), pd.Series([True, False, True])),
        ((False, True), pd.Series([True, None, False], dtype="boolean")),
        ((False, True), pd.Series([True, None, False], dtype=object)),
        (("a", "b"), pd.Series(["b", None, "a"], dtype="string")),
        (("a", "b"), pd.Series(["b", None, "a"], dtype=object)),
        ((1, "a"), pd.Series(["a", None, 1], dtype=object)),
        ((1, 2), pd.Series([2, 1, 2], dtype="int16")),
        ((1.5, 2.0), pd.Series([2.0, 1.5, None], dtype="float64")),
        ((1, 2), pd.Series([2, None, 1], dtype="Int64")),
        (("lo", "hi"), pd.Series(pd.Categorical(["hi", None, "lo"], categories=["lo", "hi"], ordered=True))),
        ((3, 1), pd.Series(pd.Categorical([1, 3, None], categories=[3, 1]))),
    ],
    ids=lambda v: str(getattr(v, "dtype", v)),
)
def test_levels_come_back_exactly(levels, series):
    ordered = bool(getattr(series.dtype, "ordered", False))
    column = DiscreteColumn(
        "c", str(series.dtype), levels, other=False, null=bool(series.isna().any()), ordered=ordered
    )
    again = column.decode(column.encode(series), rng())
    pd.testing.assert_series_equal(again, series)
    assert column.decode(np.zeros(0, dtype=np.int64), rng()).dtype == series.dtype


def test_unreleased_levels_become_other_and_have_a_fallback():
    series = pd.Series(["a", "rare", None, "b"])
    column = DiscreteColumn("c", "object", ("a", "b"), other=True, null=True)
    assert column.encode(series).tolist() == [0, 2, 3, 1]
    assert column.decode(np.array([2, 3]), rng()).tolist() == [OTHER, None]
    column = column.without("other", fallback=1).without("null", fallback=0)
    assert column.encode(series).tolist() == [0, 0, 0, 1]
    assert column.n_cells == 2


@pytest.mark.parametrize("dtype", ["float64", "Int64", "datetime64[ns]", "boolean"])
def test_other_is_missing_where_the_data_type_has_no_word_for_it(dtype):
    column = DiscreteColumn("c", dtype, (), other=True, null=True)
    values = column.decode(np.array([0, 1]), rng())
    assert values.isna().all()
    assert values.dtype == dtype


def test_levels_do_not_depend_on_the_order_of_rows():
    """1 and 1.0 are one level, True and "1" are others, whichever comes first."""
    values = [1, 1.0, True, "1", 2.5, np.int64(1), None, "x", np.True_]
    seen = []
    for order in ([*range(9)], [*range(8, -1, -1)], [2, 1, 0, 8, 7, 6, 5, 4, 3]):
        codes, levels = to_levels(pd.Series([values[i] for i in order], dtype=object))
        seen.append({(type(v).__name__, v): int((codes == c).sum()) for c, v in enumerate(levels)})
    assert seen[0] == seen[1] == seen[2]
    assert seen[0] == {("int", 1): 3, ("bool", True): 2, ("str", "1"): 1, ("float", 2.5): 1, ("str", "x"): 1}


def test_levels_that_python_holds_for_equal_have_cells_of_their_own():
    column = DiscreteColumn("c", "object", (1, True, "1"), other=False, null=True)
    codes = column.encode(pd.Series([True, 1.0, "1", 1, None], dtype=object))
    assert codes.tolist() == [1, 0, 2, 0, 3]
    again = column.decode(codes, np.random.default_rng(0))
    assert [(type(v), v) for v in again[:4]] == [(bool, True), (int, 1), (str, "1"), (int, 1)]


def test_infinite_is_missing():
    assert np.isnan(to_numbers(pd.Series([np.inf, -np.inf, np.nan]))).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "Int16", "datetime64[ns]", "datetime64[s]"])
def test_numbers_beyond_a_data_type_are_cut_to_it(dtype):
    series = from_numbers(np.array([-1e30, 1e30]), dtype)
    assert series.dtype == dtype
    assert series[0] < series[1]
    if "date" not in dtype:
        limits = np.iinfo(dtype.lower())
        assert series[0] == limits.min
        assert limits.max - 2048 <= series[1] <= limits.max


# A column on a grid with several leaves a cell, an atom and missing values.
GRID = Cells(
    low=np.array([0.0, 50, 100, 25, 60]),
    high=np.array([50.0, 100, 200, 25, 60]),
    mass=np.array([0.2, 0.2, 0.3, 0.1, 0.2]),
    cell=np.array([0, 1, 2, 0, 1]),
    decimals=1,
)
COLUMN = NumericColumn("c", "float64", GRID, null=True)
POINTS = GRID.from_grid(np.arange(0.0, 200.0))


def point_masses():
    """Return (value, cell, mass) of all grid points, leaf by leaf."""
    for leaf, mass in enumerate(GRID.mass):
        low, high = GRID.low[leaf], GRID.high[leaf]
        points = [low] if low == high else np.arange(low, high)
        for point in points:
            yield float(GRID.from_grid(np.array([point]))[0]), GRID.cell[leaf], mass / len(points)


def holds(value, predicate):
    if isinstance(predicate, OneOf):
        return value in predicate.values
    above = predicate.low is None or (value > predicate.low if predicate.low_open else value >= predicate.low)
    below = predicate.high is None or (value < predicate.high if predicate.high_open else value <= predicate.high)
    return above and below


number = st.sampled_from(POINTS.tolist()) | st.floats(-3, 25).map(lambda x: round(x, 3))
predicates = st.one_of(
    st.lists(st.none() | number, min_size=1, max_size=5).map(lambda v: OneOf(tuple(v))),
    st.builds(Between, st.none() | number, st.none() | number, st.booleans(), st.booleans()),
)


@example(OneOf((2.5,)))
@example(OneOf((6.0, 2.5, None)))
@given(predicates)
def test_cover_is_brute_force_over_grid_points(predicate):
    part, total = np.zeros(4), np.zeros(4)
    for value, cell, mass in point_masses():
        part[cell] += mass * holds(value, predicate)  # a spike's number is a point of the interval around it, too
        total[cell] += mass
    total[3] = 1.0
    part[3] = isinstance(predicate, OneOf) and None in predicate.values
    np.testing.assert_allclose(COLUMN.cover(predicate), part / total, atol=1e-9)


@example(OneOf((2.5,)))
@given(predicates)
def test_means_are_brute_force_over_grid_points(predicate):
    sums, total = np.zeros(3), np.zeros(3)
    for value, cell, mass in point_masses():
        sums[cell] += value * mass * holds(value, predicate)
        total[cell] += mass * holds(value, predicate)
    expected = np.divide(sums, total, out=np.full(3, np.nan), where=total > 0)
    np.testing.assert_allclose(COLUMN.means(predicate), expected, rtol=1e-6)
    if predicate == Between():
        np.testing.assert_allclose(COLUMN.means(), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@given(cells=some_cells(), data=st.data())
def test_many_single_numbers_are_covered_as_each_is_alone(dtype, cells, data):
    column = NumericColumn("c", dtype, cells, null=True)
    values = [*values_for(cells, data).tolist(), 0.1 + 0.2, np.inf, np.nan]
    table, state = column.cover_points(np.array(values))
    for value, share in zip(values, table[state], strict=True):
        alone = column.cover(OneOf((None if np.isnan(value) else value,)))
        np.testing.assert_allclose(share, alone, rtol=1e-12, atol=0)
    assert len(table) <= 2 * len(cells.low) + 2


@given(predicates, st.integers(0, 2**32))
def test_decoded_values_satisfy_the_predicate_in_the_asked_cell(predicate, seed):
    possible = np.flatnonzero(COLUMN.cover(predicate) > 0).repeat(10)
    values = COLUMN.decode(possible, rng(seed), predicate)
    for cell, value in zip(possible, values, strict=True):
        if np.isnan(value):
            assert cell == 3
            assert None in predicate.values
        else:
            assert holds(value, predicate)
    assert COLUMN.encode(values).tolist() == possible.tolist()


def draws_all_listed(wanted, decode):
    """Whether listed numbers of one leaf come in equal shares (chi-square)."""
    values = decode(np.full(3_000, 2), rng(), OneOf(tuple(wanted)))
    counts = np.array([(values == v).sum() for v in wanted])
    return counts.sum() == 3_000 and stats.chisquare(counts).pvalue >= FALSE_ALARM


def test_every_listed_number_is_drawn():
    assert draws_all_listed([11.0, 12.5, 19.9], COLUMN.decode)


def test_every_listed_number_is_drawn_has_power():
    assert not draws_all_listed([11.0, 12.5, 19.9], lambda c, r, p: COLUMN.decode(c, r, OneOf(p.values[-1:])))


@pytest.mark.parametrize("dtype", ["float16", "float32", "Float32"])
@given(low=st.floats(0, 90), width=st.floats(0.5, 5), low_open=st.booleans(), high_open=st.booleans())
def test_narrow_floats_satisfy_ranges_after_rounding(dtype, low, width, low_open, high_open):
    cells = Cells(np.array([0.0]), np.array([100.0]), np.array([1.0]), np.array([0]), None)
    column = NumericColumn("c", dtype, cells, null=False)
    predicate = Between(low, low + width, low_open, high_open)
    values = column.decode(np.zeros(50, dtype=np.int64), rng(), predicate)
    assert all(holds(float(v), predicate) for v in values)


@pytest.mark.parametrize("predicate", [Between(0, 1, low_open=True), Between(99.999, 100)])
def test_narrow_floats_at_the_ends_of_a_tiny_range(predicate):
    """Half of all draws would round to the open end if they were taken in double precision."""
    tiny = np.nextafter(np.float32(1), np.float32(2))
    cells = Cells(np.array([0.0]), np.array([100.0]), np.array([1.0]), np.array([0]), None)
    column = NumericColumn("c", "float32", cells, null=False)
    values = column.decode(np.zeros(200, dtype=np.int64), rng(), Between(1.0, float(tiny), low_open=True))
    assert (values > np.float32(1)).all()
    assert all(holds(float(v), predicate) for v in column.decode(np.zeros(9, dtype=np.int64), rng(), predicate))


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ("2024-07-01", "datetime64[ns]", "2024-07-01T00:00Z"),
        (pd.Timestamp("2024-07-01", tz="Asia/Tokyo"), "datetime64[ns]", "2024-06-30T15:00Z"),
        ("2024-07-01", "datetime64[ns, America/New_York]", "2024-07-01T04:00Z"),
        ("2024-07-01T00:00Z", "datetime64[ns, America/New_York]", "2024-07-01T00:00Z"),
        ("2024-03-10 02:30", "datetime64[ns, America/New_York]", "2024-03-10T07:00Z"),  # skipped by the clock
    ],
)
def test_times_of_conditions_are_local_to_the_column(value, dtype, expected):
    assert to_number("c", value, dtype) == pd.Timestamp(expected).timestamp()


LEVELS = DiscreteColumn("c", "object", ("a", "b", 3), other=True, null=True)
RANKS = DiscreteColumn("c", "category", ("lo", "mid", "hi"), other=False, null=False, ordered=True)
CODES = DiscreteColumn("c", "int64", (10, 20, 30), other=False, null=False)
TRUTH = DiscreteColumn("c", "bool", (False, True), other=False, null=False)


@pytest.mark.parametrize(
    ("column", "predicate", "cells"),
    [
        (LEVELS, OneOf(("a",)), [0]),
        (LEVELS, OneOf(("b", None)), [1, 4]),
        (LEVELS, OneOf((OTHER,)), [3]),
        (LEVELS, OneOf(("3",)), [2]),
        (LEVELS, OneOf((3.0,)), [2]),
        (RANKS, Between("lo", "mid"), [0, 1]),
        (RANKS, Between("lo", None, low_open=True), [1, 2]),
        (CODES, Between(15, 30), [1, 2]),
        (CODES, Between(10, 30, high_open=True), [0, 1]),
        (CODES, OneOf((20.0, 10)), [0, 1]),
        (TRUTH, OneOf((1,)), [1]),
        (TRUTH, OneOf((False,)), [0]),
        (TRUTH, OneOf(("True",)), [1]),
    ],
)
def test_cover_of_levels(column, predicate, cells):
    assert np.flatnonzero(column.cover(predicate)).tolist() == cells


@pytest.mark.parametrize(
    ("column", "predicate", "message"),
    [
        (LEVELS, OneOf(("zz", "a")), "asks for 'zz', which the model does not know. It knows 'a', 'b', 3"),
        (TRUTH, OneOf((None,)), "asks for missing values, and the model has none"),
        (LEVELS, Between("a", "b"), "is a range, and its levels have no order.*Use a list"),
        (TRUTH, Between(0, 1), "is a range, and its levels have no order"),
        (RANKS, Between("lo", "top"), "'top' is no level of it. Use 'lo' to"),
        (COLUMN, OneOf(("old",)), "must be a number. Got 'old'"),
        (COLUMN, Between(float("nan"), 1), "must be a number. Got nan"),
        (
            NumericColumn("c", "datetime64[ns]", GRID, null=False),
            OneOf(("soon",)),
            "must be a date or time. Got 'soon'",
        ),
        (NumericColumn("c", "int64", GRID, null=False), OneOf((None,)), "asks for missing values"),
    ],
)
def test_conditions_without_meaning(column, predicate, message):
    with pytest.raises(ConditionError, match=rf"condition on 'c' .*{message}"):
        column.cover(predicate)


@pytest.mark.parametrize("column", [COLUMN, LEVELS, RANKS, CODES, TRUTH])
def test_dict_round_trip_through_json(column):
    again = column_from_dict(json.loads(json.dumps(column.to_dict())))
    assert again.to_dict() == column.to_dict()
    assert type(again) is type(column)


def test_unknown_type_of_column():
    with pytest.raises(ValueError, match="unknown type"):
        column_from_dict({"type": "ratio"})


@pytest.mark.parametrize(
    ("value", "dtype", "known"),
    [
        (0.1 + 0.2, "float64", True),
        (float(np.float32(12.37)), "float32", True),
        (float(np.float32(12.37)), "float64", False),
        (12.3, "float64", True),
        (12.35, "float64", False),
    ],
)
def test_a_number_means_the_grid_point_that_its_data_type_cannot_tell_from_it(value, dtype, known):
    decimals = 2 if "32" in dtype else 1
    cells = Cells(np.array([0.0]), np.array([2000.0]), np.array([1.0]), np.array([0]), decimals)
    assert bool(NumericColumn("c", dtype, cells, null=False).cover(OneOf((value,)))[0]) is known
