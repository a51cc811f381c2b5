"""Decimals and resolutions against slow readers of digits and clocks; what noisy counts of them say."""

import datetime
import decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsynth.transforms.grids import (
    DECIMAL_CODES,
    RESOLUTION_CODES,
    decimals_of,
    read_decimals,
    read_resolution,
    resolution_of,
)


def slow_decimals(text):
    """Count the digits after the point, without zeros at the end."""
    return max(0, -decimal.Decimal(text).normalize().as_tuple().exponent)


@given(st.integers(-(10**9), 10**9), st.integers(0, 6))
def test_decimals_of_written_numbers(units, decimals):
    value = decimal.Decimal(units).scaleb(-decimals)
    assert decimals_of(np.array([float(value)])).tolist() == [slow_decimals(str(value)) if units else 0]


@given(st.integers(-9999, 9999), st.integers(0, 3))
def test_decimals_of_float32(units, decimals):
    value = decimal.Decimal(units).scaleb(-decimals)
    held = np.array([value], dtype=np.float32)
    expected = slow_decimals(str(value)) if units else 0
    assert decimals_of(held.astype(np.float64), "float32").tolist() == [expected]


@given(st.lists(st.integers(-99_999, 99_999), min_size=2, max_size=5))
def test_decimals_of_sums(cents):
    """A short sum of whole cents has two decimals at most, whatever floats make of it."""
    total = sum(c / 100 for c in cents)
    if sum(cents):  # else what is left is a rounding error, of any size
        assert decimals_of(np.array([total]))[0] <= 2


def test_decimals_of_a_continuum():
    """Within 1e-10 of six decimals lie 2 in 10,000; P(more than 1 in 1,000 of 100,000) < 1e-30."""
    values = np.random.default_rng(0).uniform(0.1, 1000, 100_000)
    assert (decimals_of(values) == 7).mean() > 0.999


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_decimals_of_extremes(dtype):
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 2.0**60])
    assert decimals_of(values, dtype).tolist() == [8, 8, 8, 0, 0, 0, 0, 0]
    assert decimals_of(np.array([]), dtype).tolist() == []


def test_small_numbers_are_not_rounded_away():
    assert decimals_of(np.array([1e-7, 1e-6, 5e-300, 0.0000015])).tolist() == [7, 6, 7, 7]


def test_large_numbers_keep_their_decimals():
    assert decimals_of(np.array([123456789012.25, 1e12 + 0.5, 98765432.1])).tolist() == [2, 1, 1]


def slow_resolution(stamp):
    if stamp.microsecond:
        return "finer"
    for name, parts in {"second": stamp.second, "minute": stamp.minute, "hour": stamp.hour}.items():
        if parts:
            return name
    return "day"


@given(
    st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)),
    st.sampled_from(["day", "hour", "minute", "second", "finer"]),
)
def test_resolution_against_the_clock(stamp, cut):
    zeros = {"microsecond": 500_000 if cut == "finer" else 0}
    for part, names in {"second": ("day", "hour", "minute"), "minute": ("day", "hour"), "hour": ("day",)}.items():
        zeros |= {part: 0} if cut in names else {}
    stamp = stamp.replace(**zeros)
    seconds = (stamp - datetime.datetime(1970, 1, 1)).total_seconds()
    assert RESOLUTION_CODES[resolution_of(np.array([seconds]))[0]] == slow_resolution(stamp)


def test_missing_times():
    codes = resolution_of(np.array([np.nan, np.inf, 0.0, -86400.0, 0.25]))
    assert [RESOLUTION_CODES[c] for c in codes] == ["missing", "missing", "day", "day", "finer"]
    assert resolution_of(np.array([])).tolist() == []


def noisy(codes, n_codes, noise, rng):
    counts = np.bincount(codes, minlength=n_codes) + rng.normal(0, noise, n_codes)
    return {"counts": counts, "n_rows": len(codes) + rng.normal(0, noise), "noise": noise}


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(("n", "noise"), [(5000, 0.0), (5000, 10.0), (50_000, 100.0)])
@pytest.mark.parametrize("decimals", [0, 1, 2, 4, 6, None])
def test_decimals_are_read(decimals, n, noise, missing):
    """Noise of z > 4 would be needed to be wrong, in each of 7 sums: 36 cases of fixed seeds."""
    rng = np.random.default_rng(n)
    values = rng.normal(0, 50, n)
    values = values if decimals is None else values.round(decimals)
    values[rng.random(n) < missing] = np.nan
    assert read_decimals(**noisy(decimals_of(values), len(DECIMAL_CODES), noise, rng)) == decimals


@pytest.mark.parametrize(("n", "noise"), [(5000, 0.0), (5000, 10.0), (50_000, 100.0)])
@pytest.mark.parametrize("unit", [86400, 3600, 60, 1, None])
def test_resolutions_are_read(unit, n, noise):
    rng = np.random.default_rng(n)
    seconds = rng.uniform(-1e9, 2e9, n)
    seconds = seconds if unit is None else np.floor(seconds / unit) * unit
    expected = {86400: "day", 3600: "hour", 60: "minute", 1: "second", None: None}[unit]
    assert read_resolution(**noisy(resolution_of(seconds), len(RESOLUTION_CODES), noise, rng)) == expected


def test_stray_entries_up_to_two_in_a_hundred():
    counts = np.zeros(9)
    counts[[0, 2]] = 980, 20
    assert read_decimals(counts, n_rows=1000, noise=0) == 0
    counts[[0, 2]] = 979, 21
    assert read_decimals(counts, n_rows=1000, noise=0) == 2


def test_noise_hides_the_answer():
    counts = np.array([1000.0, 0, 0, 0, 0, 0, 0, 0, 0])
    assert read_decimals(counts, n_rows=1000, noise=80) == 0
    assert read_decimals(counts, n_rows=1000, noise=90) is None
    assert read_decimals(np.zeros(9), n_rows=0, noise=0) is None
    assert read_decimals(np.zeros(9), n_rows=-3, noise=2) is None
    assert read_resolution(np.array([0, 0, 0, 0, 0, 100.0]), n_rows=100, noise=1) is None
