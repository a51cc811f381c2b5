"""Forms of cells against strptime and other slow readers; what released counts of forms say, with noise."""

import datetime
import decimal
import itertools
import time
import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.kinds import Continuous, Datetime, Identifier
from privsynth.transforms.fakes import make_fakes
from privsynth.transforms.patterns import FORMS, forms_of, read_forms

DATES = [form for form in FORMS if form.startswith("%") and " or " not in form]


def form(cell):
    return FORMS[forms_of(pd.Series([cell], dtype=object))[0]]


class Unhashable(str):
    """A text that pandas cannot hash."""

    __hash__ = None


class Awkward:
    """An object that refuses everything."""

    def __eq__(self, other):
        raise RuntimeError

    __hash__ = None

    def __bool__(self):
        raise RuntimeError

    def __str__(self):
        raise RuntimeError


CELLS = [
    *[(cell, "missing") for cell in (None, pd.NA, pd.NaT, float("nan"), np.float32("nan"), np.datetime64("NaT"))],
    *[(decimal.Decimal(text), "missing") for text in ("NaN", "sNaN")],
    *[(cell, "blank") for cell in ("", " ", "\t", "\u00a0")],
    *[(cell, "bool") for cell in (True, False, np.True_)],
    *[(cell, "integer") for cell in (0, -7, 10**40, np.int8(3), np.uint64(9))],
    *[(cell, "float") for cell in (0.0, -1.5, float("inf"), np.float16(2))],
    *[(decimal.Decimal(text), "decimal") for text in ("1.50", "0", "Infinity")],
    (datetime.date(2024, 1, 31), "date_object"),
    *[(cell, "datetime_object") for cell in (datetime.datetime(2024, 1, 31), pd.Timestamp(0), np.datetime64("2024"))],
    *[
        (cell, f"number_text, {decimals} decimals")
        for decimals, cells in enumerate(["0 -3 5. 20240131 999999999999999", ".5", "12.50", "1.234", "1.2345"])
        for cell in [*cells.split(), f" {cells.split()[0]} "]
    ],
    *[(cell, "number_text") for cell in ("1e5", "-0.1E-3", "0.12345")],
    *[(cell, "number_text") for cell in ("0.30000000000000004", "1.7976931348623157e+308")],
    *[(cell, "digits") for cell in ("00123", "02139", "1234567890123456", "0" * 400)],
    *[
        (cell, "text")
        for cell in ("+3", "1,234.50", "--1", "1e", "e5", ".", "-", "nan", "inf", "0x1f", "1_000", "١٢", "a" * 9999)
    ],
    *[(cell, "%Y-%m-%d") for cell in ("2024-01-31", "2024-02-29", "9999-12-31", "0001-01-01")],
    *[(cell, "text") for cell in ("2023-02-29", "2024-13-01", "2024-00-10", "0000-01-01", "2024-1-5", "2024-01/05")],
    ("2024/01/31", "%Y/%m/%d"),
    ("31.12.2024", "%d.%m.%Y"),
    ("12.31.2024", "text"),
    *[("31/12/2024", "%d/%m/%Y"), ("12/31/2024", "%m/%d/%Y"), ("1/2/2024", "%d/%m/%Y or %m/%d/%Y")],
    *[("31-12-2024", "%d-%m-%Y"), ("12-31-2024", "%m-%d-%Y"), ("05-05-2024", "%d-%m-%Y or %m-%d-%Y")],
    *[("13/13/2024", "text"), ("31/12-2024", "text"), ("30/02/2024", "text")],
    ("1/30/2024 9:05", "%m/%d/%Y %H:%M"),
    ("30/1/2024 09:05:59", "%d/%m/%Y %H:%M:%S"),
    *[("2024-01-31 24:00", "text"), ("2024-01-31 10:60", "text"), ("2024-01-31 10:10:60", "text")],
    ("2024-01-31T10:10:10Z", "%Y-%m-%dT%H:%M:%SZ"),
    ("2024-01-31T10:10:10.123Z", "%Y-%m-%dT%H:%M:%S.%fZ"),
    *[("2024-01-31T10:10:10+01:00", "offset_time"), ("2024-01-31 10:10-0500", "offset_time")],
    *[("2024-01-31 10:10Z", "text"), ("2024-01-31Z", "text"), ("31/12/2024T10:10", "text")],
    *[(cell, "email") for cell in ("mary@example.com", "m.s+tag@mail.example.co.uk", "jürgen@example.org")],
    *[(cell, "text") for cell in ("@home", "mary@", "mary@host", "a b@example.com", "mary@@example.com", "mary@.com")],
    *[
        (cell, "phone")
        for cell in ("+49 170 1234567", "+14155550123", "212-555-0123", "(212) 555-0123", "001-212-555-0123x12")
    ],
    *[
        (cell, "phone")
        for cell in ("1-212-555-0123", "212.555.0123", "+1 (212) 555-0123", "0170 1234567", "030/123 45 67")
    ],
    *[
        (cell, "text")
        for cell in ("2020-2021", "10-20", "1990-95", "12:34", "12:34:56", "+", "555-0123", "212 555", "3-2")
    ],
    *[(cell, "card") for cell in ("4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005")],
    *[("4111111111111112", "digits"), ("1111111111111117", "digits")],
    *[(cell, "iban") for cell in ("DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "NO9386011117947")],
    *[(cell, "text") for cell in ("DE88370400440532013000", "de89370400440532013000", "AB12")],
    *[(cell, "uuid") for cell in ("123e4567-e89b-42d3-a456-426614174000", "123E4567-E89B-42D3-A456-426614174000")],
    ("123e4567e89b42d3a456426614174000", "text"),
    *[(cell, "url") for cell in ("https://example.com/a?b=c", "HTTP://X.org", "www.example.com", "ftp://a.b/c")],
    *[(cell, "text") for cell in ("https://", "http://a b.com", "example.com", "www.")],
    *[(cell, "ip") for cell in ("192.0.2.1", "0.0.0.0", "255.255.255.255", "::1", "2001:db8::8a2e:370:7334")],
    *[(cell, "text") for cell in ("256.1.1.1", "1.2.3", "01.2.3.4", "aa:bb:cc:dd:ee:ff", ":::", "10:20:30:40")],
    *[("123-45-6789", "ssn"), ("123-456-789", "text")],
    *[(cell, "text") for cell in ("yes", "True", "Mary Smith", "N/A", "?", "\ud800", "\x00", "漢字")],
    *[
        (cell, "other_object")
        for cell in ([1], {"a": 1}, (1, 2), {1}, b"x", 1j, np.array([1, 2]), object(), str, Awkward())
    ],
    *[
        (cell, "other_object")
        for cell in (datetime.time(1), datetime.timedelta(1), np.timedelta64(1, "s"), uuid.uuid4())
    ],
    *[(Unhashable("abc"), "text"), (Unhashable("12"), "number_text, 0 decimals"), (np.str_("2024-01-31"), "%Y-%m-%d")],
]


@pytest.mark.parametrize(("cell", "expected"), CELLS, ids=range(len(CELLS)))
def test_the_form_of_a_cell(cell, expected):
    assert form(cell) == expected


def test_every_form_has_an_example():
    seen = {expected for _, expected in CELLS}
    assert [f for f in FORMS if f not in seen and not f.startswith("%")] == []
    assert len(set(FORMS)) == len(FORMS)


def test_forms_are_row_local():
    """All cells together, in any order, get the codes they get alone."""
    cells = np.empty(2 * len(CELLS), dtype=object)
    cells[:] = [cell for cell, _ in CELLS] * 2
    order = np.random.default_rng(0).permutation(len(cells))
    series = pd.Series(cells[order], index=order)
    expected = np.array([FORMS.index(f) for _, f in CELLS] * 2)[order]
    assert forms_of(series).tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", ["string", "string[pyarrow]", "large_string[pyarrow]", "category", "object"])
def test_forms_of_text_data_types(dtype):
    series = pd.Series(["a", None, "12", "2024-01-31", ""], dtype=dtype)
    assert [FORMS[c] for c in forms_of(series)] == ["text", "missing", "number_text, 0 decimals", "%Y-%m-%d", "blank"]


def test_no_rows():
    assert forms_of(pd.Series([], dtype=object)).tolist() == []


@given(st.datetimes(datetime.datetime(1000, 1, 1), datetime.datetime(9999, 12, 31)), st.sampled_from(DATES))
def test_written_dates_are_recognised(stamp, date_format):
    text = stamp.strftime(date_format)
    assert date_format in form(text).split(" or ")


@given(st.from_regex(r"[0-9]{1,2}([/.-])[0-9]{1,2}\1[0-9]{4}( [0-9][0-9]:[0-9][0-9](:[0-9][0-9])?)?", fullmatch=True))
def test_dates_against_strptime(text):
    """A text is of exactly the formats that strptime reads it in."""

    def reads(date_format):
        try:
            datetime.datetime.strptime(text, date_format)
        except ValueError:
            return False
        return True

    found = form(text)
    alike = [f for f in DATES if f[2] in text and f[:2] != "%Y" and f.count(":") == text.count(":")]
    assert {f for f in alike if reads(f)} == (set(found.split(" or ")) if found.startswith("%") else set())


@given(st.text() | st.from_regex(r"[-+0-9./: @A-Za-z()]{0,40}", fullmatch=True))
@settings(max_examples=300)
def test_number_texts_are_numbers(text):
    if form(text).startswith("number_text"):
        float(text)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=3,
)


@given(st.lists(ANYTHING, max_size=10))
@settings(max_examples=200)
def test_no_cell_is_refused(cells):
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    assert forms_of(pd.Series(column, dtype=object)).tolist() == [FORMS.index(form(cell)) for cell in cells]


@pytest.mark.parametrize(
    "kind", ["email", "phone", "card", "iban", "uuid", "url", "ip", "ssn", "name", "address", "text", "key"]
)
def test_made_up_values_are_recognised(kind):
    values = make_fakes(Identifier(fake=kind), 2000, "object", np.random.default_rng(0))
    expected = kind if kind in FORMS else "text"
    assert {FORMS[code] for code in forms_of(values)} == {expected}


@pytest.mark.parametrize(
    "piece", ["a", "1", "0", "1.", "1-", "a@", "a.", "1 ", "(", "+1", ":", "A1 ", "www.", "@a.", "-", "\u0661"]
)
@pytest.mark.parametrize("end", ["", "!", "@", "x"])
def test_no_pattern_takes_long(piece, end):
    """Backtracking over 500 signs would take ages; the allowance is a thousand times what it takes."""
    start = time.process_time()
    form((piece * 500)[:499] + end)
    assert time.process_time() - start < 1


def counted(n_rows=1000, **counts):
    """Return counts by form, the rest of `n_rows` being text."""
    named = {key.replace("__", " "): value for key, value in counts.items()}
    by_form = dict.fromkeys(FORMS, 0.0) | named
    by_form["text"] += n_rows - sum(by_form.values())
    return np.array([by_form[f] for f in FORMS])


def read(noise=5.0, n_rows=1000, **counts):
    return read_forms(counted(n_rows, **counts), n_rows=n_rows, noise=noise)


MEANINGS = [
    *[(f, Datetime(format=f)) for f in DATES],
    *[(f, Identifier(fake=f)) for f in ("email", "phone", "card", "iban", "uuid", "url", "ip", "ssn")],
    ("date_object", Datetime(format="date")),
    ("decimal", Continuous(form="decimal")),
    *[(f"number_text, {d} decimals", Continuous(form="text", decimals=d)) for d in range(5)],
    ("number_text", Continuous(form="text")),
]
REST = sorted(set(FORMS) - {f for f, _ in MEANINGS})


@pytest.mark.parametrize(("prevailing", "column"), MEANINGS)
def test_what_a_prevailing_form_means(prevailing, column):
    assert read(**{prevailing: 1000}) == column
    assert read(**{prevailing: 480, "missing": 420, "blank": 100}) == column
    assert read(**{prevailing: 930}) == column
    assert read(**{prevailing: 860}) is None  # 860 + 2 * 5, or the noise of six, is not nine tenths
    assert read(**{prevailing: 1000}, noise=0) == column
    assert read(**{prevailing: 500}) is None


@pytest.mark.parametrize("prevailing", REST)
def test_all_else_stays_categorical(prevailing):
    assert read(**{prevailing: 1000}) is None


def test_day_and_month_are_told_by_the_dates_that_only_one_can_be():
    either = "%d/%m/%Y or %m/%d/%Y"
    assert read(**{either: 400, "%d/%m/%Y": 600}) == Datetime(format="%d/%m/%Y")
    assert read(**{either: 400, "%m/%d/%Y": 590, "text": 10}) == Datetime(format="%m/%d/%Y")
    assert read(**{either: 1000}) is None
    assert read(**{either: 400, "%d/%m/%Y": 300, "%m/%d/%Y": 300}) is None
    assert read(**{either: 400, "%d/%m/%Y": 480, "%m/%d/%Y": 120}) is None
    assert read(**{either: 985, "%d/%m/%Y": 15}) is None  # 15 may be noise
    assert read(**{either: 985, "%d/%m/%Y": 15}, noise=0) == Datetime(format="%d/%m/%Y")
    assert read(**{either: 500, "%d-%m-%Y": 500}) is None


def test_zip_codes_are_no_numbers():
    whole = "number_text, 0 decimals"
    assert read(**{whole: 1000}) == Continuous(form="text", decimals=0)
    assert read(**{whole: 930}, digits=70) is None
    assert read(**{whole: 985}, digits=15) == Continuous(form="text", decimals=0)  # a few stray ones, or noise


def test_prices_as_text_have_two_decimals():
    mixed = {"number_text, 0 decimals": 100, "number_text, 1 decimals": 200, "number_text, 2 decimals": 700}
    assert read(**mixed) == Continuous(form="text", decimals=2)


def test_noise_hides_and_never_invents():
    empty = np.zeros(len(FORMS))
    assert read_forms(empty, n_rows=0, noise=0) is None
    assert read_forms(empty, n_rows=0, noise=10) is None
    assert read_forms(empty, n_rows=1000, noise=10) is None
    assert read(email=1000, noise=210) is None
    rng = np.random.default_rng(0)
    for n_rows, noise in itertools.product((0, 20, 200, 5000), (1.0, 20.0, 300.0)):
        for _ in range(300):  # wrong in one of all by P(z > 5) < 3e-7 a form, in tables as small as the noise
            counts = counted(n_rows) + rng.normal(0, noise, len(FORMS))
            assert read_forms(counts, n_rows=n_rows + rng.normal(0, noise), noise=noise) is None


def test_a_reader_told_of_no_noise_is_taken_in():
    """The twin of the test above: it is the allowance for noise that keeps the reader from seeing things."""
    rng = np.random.default_rng(0)
    found = [read_forms(rng.normal(0, 20, len(FORMS)), n_rows=20, noise=0) for _ in range(50)]
    assert sum(column is not None for column in found) > 25


def test_with_noise_what_is_clear_is_found():
    rng = np.random.default_rng(0)
    for _ in range(300):
        counts = counted(email=800, missing=200) + rng.normal(0, 8, len(FORMS))
        assert read_forms(counts, n_rows=1000 + rng.normal(0, 8), noise=8) == Identifier(fake="email")


def test_counts_must_fit_the_forms():
    with pytest.raises(ValueError, match="zip"):
        read_forms(np.zeros(3), n_rows=10, noise=1)


@pytest.mark.slow
def test_a_million_cells_are_quick():
    distinct = make_fakes(Identifier(fake="iban"), 1_000_000, "object", np.random.default_rng(0))
    start = time.process_time()
    forms_of(distinct)
    middle = time.process_time()
    forms_of(distinct.head(100_000).sample(1_000_000, replace=True, random_state=0))
    assert middle - start < 30
    assert time.process_time() - middle < 10
