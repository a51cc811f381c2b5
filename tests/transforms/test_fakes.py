"""Made-up values: valid by slow checks of their own, distinct, reproducible, and in the data type asked for."""

import ipaddress
import random
import re
import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.errors import ParameterError
from privsynth.kinds import FAKES, Identifier
from privsynth.transforms import fakes
from privsynth.transforms.fakes import fake_labels, make_fakes

PERSONAL = [kind for kind in FAKES if kind != "key"]
TEXT_DTYPES = ["object", "string", "string[pyarrow]", "large_string[pyarrow]", "category"]
NUMBER_DTYPES = ["int64", "uint64", "Int64", "float64", "Float64", "int64[pyarrow]", "double[pyarrow]"]
NUMBER_DIGITS = {"phone": {10}, "card": {16}, "ssn": {9}}


def make(kind="key", n=200, dtype="object", seed=0, **options):
    return make_fakes(Identifier(fake=kind, **options), n, dtype, np.random.default_rng(seed))


def luhn(text):
    """Double every second digit from the right, add all digits up."""
    total = 0
    for place, digit in enumerate(reversed(text)):
        for part in str(int(digit) * (1 + place % 2)):
            total += int(part)
    return total % 10 == 0


def iban_holds(text):
    """Move the first four signs to the end, write letters as numbers, divide by 97."""
    moved = text[4:] + text[:4]
    return int("".join(str(int(sign, 36)) for sign in moved)) % 97 == 1


def phone_is_fictional(text):
    area, exchange, line = text.split("-")
    return 200 <= int(area) < 990 and area[1:] != "11" and area[1] != "9" and exchange == "555" and line != "1212"


def ssn_is_nobodys(text):
    area, group, serial = text.split("-")
    return 900 <= int(area) <= 999 and 1 <= int(group) <= 49 and int(serial) > 0


def address_is_reserved(text):
    nets = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8"]
    return any(ipaddress.ip_address(text) in ipaddress.ip_network(net) for net in nets)


def full(pattern):
    return lambda text: re.fullmatch(pattern, text) is not None


HOLDS = {
    "key": full(r"id-\d+"),
    "name": full(r"[A-Z][A-Za-z]+( [A-Z]\.)? [A-Z][A-Za-z]+"),
    "first_name": full(r"[A-Z][A-Za-z]+(-[A-Z][A-Za-z]+)*"),
    "last_name": full(r"[A-Z][A-Za-z]+(-[A-Z][A-Za-z]+)*"),
    "email": full(r"[a-z]+\.[a-z]+[1-9]\d{0,2}@example\.(com|org|net)"),
    "phone": phone_is_fictional,
    "card": lambda text: full(r"400000\d{10}")(text) and luhn(text),
    "iban": lambda text: full(r"DE\d{2}9\d{17}")(text) and iban_holds(text),
    "uuid": lambda text: uuid.UUID(text).version == 4 and uuid.UUID(text).variant == uuid.RFC_4122,
    "ssn": ssn_is_nobodys,
    "address": full(r"[1-9]\d{0,3} [A-Z][A-Za-z' ]+, [A-Z][A-Za-z' ]+, [A-Z]{2} \d{5}"),
    "url": full(r"https://www\.example\.(com|org|net)/[a-z]+/[a-z]+-[1-9]\d*"),
    "ip": address_is_reserved,
    "text": full(r"[A-Z][a-z]*( [a-z]+){5}\."),
}


def test_every_kind_has_a_check():
    assert set(HOLDS) == set(FAKES)


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("kind", FAKES)
def test_values_are_valid(kind, unique):
    for n in (1, 700, 3000):
        assert [text for text in make(kind, n, unique=unique) if not HOLDS[kind](text)] == []


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("card", "4000000000000000"),
        ("iban", "DE00900000000000000000"),
        ("phone", "212-556-0100"),
        ("ssn", "123-45-6789"),
        ("ip", "8.8.8.8"),
        ("email", "mary.smith1@gmail.com"),
    ],
)
def test_the_checks_bite(kind, wrong):
    assert not HOLDS[kind](wrong)


@pytest.mark.parametrize("kind", FAKES)
def test_many_are_distinct(kind):
    values = make(kind, 100_000)
    assert len(values) == 100_000
    assert values.is_unique
    assert all(map(HOLDS[kind], values.iloc[::97]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAKES)
def test_a_million_are_distinct(kind):
    assert make(kind, 1_000_000).is_unique


@pytest.mark.parametrize("kind", PERSONAL)
def test_different_codes_are_different_values(kind):
    """Neighbours and the ends of the range: where two codes would first fall together."""
    recipe = fakes._RECIPES[kind](2000, fakes._Parts(np.random.default_rng(0)))
    codes = np.unique(np.concatenate([np.arange(3000), recipe.size - 1 - np.arange(3000)]) % recipe.size)
    assert len(set(recipe.write(codes))) == len(codes)


@pytest.mark.parametrize("kind", FAKES)
def test_reproducible_and_different_by_seed(kind):
    first, again, other = make(kind, 50), make(kind, 50), make(kind, 50, seed=1)
    pd.testing.assert_series_equal(first, again)
    assert not first.equals(other)


def test_global_generators_are_left_alone():
    before, numpy_before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    make("address")
    assert random.getstate() == before
    assert np.random.get_state()[1].tolist() == numpy_before  # noqa: NPY002


@pytest.mark.parametrize("kind", FAKES)
def test_none_may_be_asked_for(kind):
    assert make(kind, 0).tolist() == []
    assert make(kind, 0, unique=False).tolist() == []
    assert make(kind, 0, "int64").dtype == "int64"


@pytest.mark.parametrize("dtype", TEXT_DTYPES)
@pytest.mark.parametrize("kind", FAKES)
def test_text_data_types(kind, dtype):
    values = make(kind, dtype=dtype)
    assert values.dtype == pd.api.types.pandas_dtype(dtype) or (dtype == "category" and values.dtype.name == dtype)
    assert all(map(HOLDS[kind], values.astype(object)))


@pytest.mark.parametrize("dtype", NUMBER_DTYPES)
@pytest.mark.parametrize("kind", FAKES)
def test_number_data_types(kind, dtype):
    values = make(kind, dtype=dtype)
    assert str(values.dtype) == dtype
    assert values.is_unique
    whole = values.astype("int64")
    assert (whole.astype("float64") == values.astype("float64")).all()
    assert {len(str(number)) for number in whole} == NUMBER_DIGITS.get(kind, {9})
    if kind == "card":
        assert all(HOLDS["card"](str(number)) for number in whole)


def test_a_data_type_may_be_given_as_an_object():
    dtype = pd.CategoricalDtype()
    assert isinstance(make(dtype=dtype).dtype, pd.CategoricalDtype)
    assert make(dtype=np.dtype("int32")).dtype == "int32"


MOST = {"int8": 127, "UInt8": 255, "int16": 32767, "int8[pyarrow]": 127, "float16": 2048}


@pytest.mark.parametrize("dtype", MOST)
@pytest.mark.parametrize("kind", ["key", "card", "email"])
def test_narrow_data_types_count_up(kind, dtype):
    values = make(kind, MOST[dtype], dtype)
    assert values.astype("int64").tolist() == list(range(1, MOST[dtype] + 1))
    with pytest.raises(ParameterError, match=f"only {MOST[dtype]} keys of data type"):
        make(kind, MOST[dtype] + 1, dtype)
    assert make(kind, MOST[dtype] + 1, dtype, unique=False).astype("int64").between(1, MOST[dtype]).all()


@pytest.mark.parametrize(("dtype", "digits"), [("int32", 9), ("float32", 3)])
def test_numbers_that_do_not_fit_become_plain_keys(dtype, digits):
    phones = make("phone", dtype=dtype).astype("int64")
    assert {len(str(number)) for number in phones.iloc[100:]} == {digits}


@given(n=st.integers(0, 300), size=st.integers(1, 10**18), seed=st.integers(0, 5))
@settings(deadline=None)
def test_distinct_numbers_below_a_size(n, size, seed):
    n = min(n, size)
    codes = fakes._distinct(n, size, np.random.default_rng(seed))
    assert len(set(codes.tolist())) == n
    assert all(0 <= code < size for code in codes)


def test_more_than_there_are_is_refused(monkeypatch):
    monkeypatch.setitem(fakes._RECIPES, "ip", lambda n_rows, parts: fakes._Recipe(10, lambda codes: ["x"] * len(codes)))
    with pytest.raises(ParameterError, match="only 10 different made-up values of kind 'ip'"):
        make("ip", 11)
    assert len(make("ip", 11, unique=False)) == 11


def test_repeated_values_come_only_where_they_may():
    assert not make("key", 1000, unique=False).is_unique
    assert not make("ip", 762, unique=False).is_unique
    assert make("ip", 762).is_unique


def test_the_prefix_of_keys():
    assert make(prefix="order").str.startswith("order-").all()


@given(n=st.integers(0, 60), n_taken=st.integers(0, 60), seed=st.integers(0, 20))
@settings(deadline=None)
def test_fresh_labels(n, n_taken, seed):
    everything = fake_labels(n + n_taken, [], np.random.default_rng(seed))
    taken = [*everything[:n_taken], 7, None]
    labels = fake_labels(n, taken, np.random.default_rng(seed))
    assert len(set(labels)) == len(labels) == n
    assert not set(labels) & set(map(str, taken))
    assert all(re.fullmatch(r"level-\d{5,}", label) for label in labels)


def test_fresh_labels_among_very_many_taken():
    taken = [f"level-{i:05d}" for i in range(100_000)]
    labels = fake_labels(5000, taken, np.random.default_rng(0))
    assert len(set(labels) - set(taken)) == 5000
