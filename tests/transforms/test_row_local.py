"""What is done to a cell before counting depends on that cell alone: sensitivities are stated for such cells.

Each function is applied to a column, and to the column with one more row at either end, whatever is in it: the
other rows must come out as before. `pd.factorize` is no such function (the twin): it takes texts for equal that
differ after a NUL character, and 1 for True, and keeps whichever comes first.
"""

import datetime
import decimal
import enum
import uuid
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from privsynth._reading import combination_codes, read_numbers
from privsynth.kinds import Categorical, Continuous, Datetime
from privsynth.rules import FixedCombinations
from privsynth.schema import Schema
from privsynth.transforms.patterns import FORMS, forms_of
from privsynth.transforms.reshape import Reshape
from privsynth.transforms.values import to_levels, to_steps


class Odd(enum.Enum):
    ONE = 1


class Unhashable:
    def __eq__(self, other):
        return True

    def __str__(self):
        return "unhashable"


ZONE = ZoneInfo("Europe/Berlin")
FOLD = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=ZONE)
STRANGE = [
    *("12\0x", "Ulm\0secret", "\0", "", " ", "Ulm ", "ulm", "12", "12.0", "1e400", "-0", "0x10", "1_2", "nan", "inf"),
    *("2024-01-31\0", "2024-01-31T10:00:00+02:00", "0001-01-01", "9999-12-31", "2024-01-31 10:00:00.123456789"),
    *("31.01.2024", "x" * 100_000, "\ud800", "\u0661\u0662", "True", "None", "__other__"),
    *(0, -0.0, 1, 1.0, True, False, np.bool_(True), np.int8(1), np.float32(0.1), 10**400, -(2**63), 2**64, 1e308),
    *(float("inf"), decimal.Decimal("12"), decimal.Decimal("sNaN"), decimal.Decimal("1E+400"), Fraction(24, 2), 1 + 2j),
    *(datetime.date(1, 1, 1), datetime.date(2024, 1, 31), datetime.datetime(2024, 1, 31), FOLD, FOLD.replace(fold=1)),
    *(pd.Timestamp("2024-01-31", tz="UTC"), pd.Timedelta(3, "s"), np.datetime64("2024-01-31"), np.timedelta64(3, "s")),
    *(pd.Period("2024-01"), pd.Interval(0, 1), uuid.UUID(int=1), Odd.ONE, Path("x"), len, ..., Unhashable(), range(3)),
    *((1, 2), None, np.nan, pd.NA, pd.NaT),
]
TEXTS = ["Ulm", "12", "12.5", "2024-01-31", "31.01.2024", "True", "", None, "x"]
OBJECTS = [*TEXTS, 1, 0, True, 2.5, decimal.Decimal("12"), datetime.date(2024, 1, 31), FOLD, Odd.ONE]


def levels_of(series):
    codes, levels = to_levels(series)
    return [None if code < 0 else (type(levels[code]), levels[code]) for code in codes]


def parts_of(series):
    codes, values = combination_codes(series)
    return [(type(values[code]), values[code]) for code in codes]


def as_numbers(column):
    return lambda series: [repr(v) for v in to_steps(series, column).tolist()]


FUNCTIONS = {
    "levels": levels_of,
    "parts of combinations": parts_of,
    "forms": lambda series: [FORMS[code] for code in forms_of(series)],
    "numbers": as_numbers(Continuous(form="text")),
    "decimals": as_numbers(Continuous(form="decimal")),
    "iso dates": as_numbers(Datetime(format="%Y-%m-%d")),
    "dates": as_numbers(Datetime(format="%d.%m.%Y")),
    "date objects": as_numbers(Datetime(format="date")),
}


def moved(function, cells, odd, dtype):
    """Whether another row, first or last, changes what other rows become."""
    alone = function(pd.Series(cells, dtype=dtype))
    last = function(pd.Series([*cells, odd], dtype=dtype))
    first = function(pd.Series([odd, *cells], dtype=dtype))
    return alone != last[:-1] or alone != first[1:]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_another_row_changes_no_cell(name):
    for odd in STRANGE:
        for cells in (OBJECTS, TEXTS):  # texts alone are coded in another way, which one more row may end
            assert not moved(FUNCTIONS[name], cells, odd, object), odd
        if odd is None or odd is pd.NA or (isinstance(odd, str) and odd != "\ud800"):
            assert not moved(FUNCTIONS[name], TEXTS, odd, "string"), odd


def factorized(series):
    codes, levels = pd.factorize(series)
    return [None if code < 0 else levels[code] for code in codes]


@pytest.mark.parametrize(("odd", "dtype"), [("Ulm\0secret", object), ("12\0x", "string"), (1.0, object)])
def test_factorizing_changes_cells(odd, dtype):
    cells = ["Ulm", "12"] if isinstance(odd, str) else ["Ulm", True]
    assert moved(lambda series: [(type(v), v) for v in factorized(series)], cells, odd, dtype)


NUMBERS = {
    "float64": [-0.0, 5e-324, 1e308, np.inf, -np.inf, np.nan, 0.1 + 0.2],
    "float32": [np.float32(3e38), np.nan, -0.0],
    "int64": [2**63 - 1, -(2**63), 2**53 + 1],
    "uint64": [2**64 - 1],
    "Int64": [pd.NA, 2**63 - 1],
    "datetime64[ns]": [pd.Timestamp.min, pd.Timestamp.max, pd.NaT],
    "datetime64[s]": [pd.Timestamp("0001-01-01").as_unit("s"), pd.NaT],
    "datetime64[ns, Europe/Berlin]": [pd.Timestamp(FOLD), pd.Timestamp(FOLD.replace(fold=1))],
    "timedelta64[ns]": [pd.Timedelta.max, pd.Timedelta.min, pd.NaT],
}


@pytest.mark.parametrize("dtype", NUMBERS)
def test_another_number_changes_no_number(dtype):
    cells = [NUMBERS[dtype][0]] + ([1, 2, 3] if "64[" not in dtype else [NUMBERS[dtype][0]] * 2)
    for odd in NUMBERS[dtype]:
        for function in (read_numbers, levels_of):
            assert not moved(lambda s, f=function: [repr(v) for v in f(s)], cells, odd, dtype), odd


def test_combinations_are_of_one_row():
    frame = pd.DataFrame({"city": ["Ulm", "Bonn", None] * 3, "code": [1, "b", None] * 3})
    rule = FixedCombinations(("city", "code"))
    schema = Schema({"city": Categorical(), "code": Categorical()}, rules=[rule])
    alone = Reshape(schema).forward(frame).iloc[:, 0].tolist()
    for city in ("Ulm\0", "Ulm", None, 1):
        for code in (True, 1.0, "1", "b\0", None, Unhashable.__name__):
            row = pd.DataFrame({"city": [city], "code": [code]}, dtype=object)
            rows = pd.concat([row, frame], ignore_index=True)
            assert Reshape(schema).forward(rows).iloc[1:, 0].tolist() == alone, (city, code)
