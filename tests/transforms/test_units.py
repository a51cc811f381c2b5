"""Rows per person: who owns a row, which rows are kept, how many of each, and persons of sampled rows.

Statistical checks have a false-alarm rate of 1e-6 and a faulty twin that fails them.
"""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from privsynth import CTGAN, Schema
from privsynth.errors import DataError, SchemaError
from privsynth.kinds import Categorical, Continuous, Identifier
from privsynth.privacy.budget import Budget
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.privacy.unit import Unit
from privsynth.transforms.units import (
    CAPS,
    Persons,
    best_cap,
    count_sizes,
    keep_rows,
    limit_rows,
    person_of,
    typical_noise,
    with_unit,
)

FALSE_ALARM = 1e-6
owner_lists = st.lists(st.integers(0, 6), min_size=1, max_size=60)


class Draws(NoNoise):
    """Gives the draws it was made with, one a row."""

    def __init__(self, draws):
        super().__init__()
        self.draws = draws

    def gumbel(self, size):
        return np.asarray(self.draws[:size], dtype=np.float64)


def kept_slowly(owners, most, draws):
    kept = []
    for person in set(owners):
        rows = [row for row, owner in enumerate(owners) if owner == person]
        kept += sorted(rows, key=lambda row: draws[row])[:most]
    return sorted(kept)


@given(owners=owner_lists, most=st.integers(1, 5), data=st.data())
def test_kept_rows_are_those_with_the_least_draws_of_each_person(owners, most, data):
    draws = data.draw(st.lists(st.integers(0, 5), min_size=len(owners), max_size=len(owners)))
    assert keep_rows(np.array(owners), most, Draws(draws)).tolist() == kept_slowly(owners, most, draws)


@given(owners=owner_lists, most=st.integers(1, 5), data=st.data())
def test_a_person_more_changes_no_row_of_the_others(owners, most, data):
    """What the proof rests on: cap(D with p) is cap(D) and at most `most` rows of p."""
    draws = data.draw(st.lists(st.floats(0, 1), min_size=len(owners), max_size=len(owners)))
    owners, draws = np.array(owners), np.array(draws)
    person = data.draw(st.sampled_from(owners.tolist()))
    others = np.flatnonzero(owners != person)
    with_person = keep_rows(owners, most, Draws(draws))
    without = others[keep_rows(owners[others], most, Draws(draws[others]))] if len(others) else others
    assert [row for row in with_person.tolist() if owners[row] != person] == without.tolist()
    assert (owners[with_person] == person).sum() <= most


def test_every_row_of_a_person_is_kept_equally_often():
    owners = np.repeat(np.arange(2000), 6)
    kept = keep_rows(owners, 2, SecureNoise())
    assert len(kept) == 4000
    assert stats.chisquare(np.bincount(kept % 6, minlength=6)).pvalue >= FALSE_ALARM
    first = keep_rows(owners, 2, NoNoise())  # the twin: always the first two
    assert stats.chisquare(np.bincount(first % 6, minlength=6)).pvalue < FALSE_ALARM


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(["a", "b", None, "a", None]),
        pd.Series([7.0, -1.0, np.nan, 7.0, np.nan]),
        pd.Series([7, -1, None, 7, None], dtype="Int64"),
        pd.Series(["a", "b", None, "a", None], dtype="string"),
        pd.Series(pd.Categorical(["a", "b", None, "a", None], categories=["x", "b", "a"])),
    ],
    ids=lambda series: str(series.dtype),
)
def test_a_row_that_names_nobody_is_a_person_of_its_own(series):
    owners = person_of(series)
    assert owners[0] == owners[3]
    assert len(set(owners.tolist())) == 4


def test_cells_that_name_nobody_are_refused():
    frame = pd.DataFrame({"who": [["a"], ["b"]] * 50, "n": range(100)})
    with pytest.raises(DataError, match="'who' holds list"):
        CTGAN(schema=Schema(privacy_unit="who"), verbose=False).fit(frame)


@given(owners=st.lists(st.integers(0, 3), max_size=300))
def test_persons_are_counted_by_octave(owners):
    ends = [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 10**9)]
    sizes = [owners.count(person) for person in set(owners)]
    expected = [sum(low <= size <= high for size in sizes) for low, high in ends]
    assert count_sizes(np.array(owners, dtype=np.int64)).tolist() == expected


histograms = st.lists(st.integers(0, 10_000), min_size=8, max_size=8).filter(any).map(np.array)


@settings(max_examples=300)
@given(persons=histograms, noises=st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)))
def test_more_noise_never_means_more_rows_of_a_person(persons, noises):
    assert best_cap(persons, noise=min(noises)) >= best_cap(persons, noise=max(noises))


@settings(max_examples=300)
@given(persons=histograms)
def test_without_noise_all_is_kept_and_with_a_lot_no_more_than_everybody_has(persons):
    most = [1, 2, 4, 8, 16, 32, 64, 64][int(np.flatnonzero(persons)[-1])]
    assert best_cap(persons, noise=0.0) == most
    fewest = [1, 2, 3.5, 6.5, 12.5, 24.5, 48.5, 96.5][int(np.flatnonzero(persons)[0])]
    assert best_cap(persons, noise=1e10) == max(cap for cap in CAPS if cap <= fewest)


@settings(max_examples=300)
@given(persons=histograms, times=st.integers(2, 100), noise=st.floats(0.1, 1e3))
def test_a_larger_table_of_the_same_shape_never_means_fewer_rows_of_a_person(persons, times, noise):
    small, large = best_cap(persons, noise=noise), best_cap(persons * times, noise=noise)
    assert small in CAPS
    assert large >= small


def drawn_sizes(persons, n_rows, seed=0):
    owners = persons.draw(n_rows, np.random.default_rng(seed))
    return owners, np.unique(owners, return_counts=True)[1]


def has_shares(sizes, shares):
    found = count_sizes(np.repeat(np.arange(len(sizes)), sizes))
    expected = np.asarray(shares) * found.sum()
    return stats.chisquare(found[expected > 0], expected[expected > 0]).pvalue >= FALSE_ALARM


def test_drawn_persons_have_as_many_rows_as_was_released():
    shares = (0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02)
    owners, sizes = drawn_sizes(Persons("id", 1000, shares), 200_000)
    assert len(owners) == 200_000
    assert has_shares(sizes, shares)
    assert not has_shares(sizes, (0.2, 0.3, *shares[2:]))


@given(n_rows=st.integers(0, 200), seed=st.integers(0, 99), bin_=st.integers(0, 7))
def test_drawn_persons_are_numbered_without_gaps(n_rows, seed, bin_):
    shares = tuple(float(i == bin_) for i in range(8))
    owners, sizes = drawn_sizes(Persons("id", 5, shares), n_rows, seed)
    assert owners.shape == (n_rows,)
    assert list(dict.fromkeys(owners.tolist())) == list(range(len(sizes)))
    low, high = ([1, 2, 3, 5, 9, 17, 33, 65][bin_], 2**bin_)
    assert sum(not low <= size <= high for size in sizes) <= 1  # the last person may come short


def test_persons_go_through_json_and_forged_ones_do_not():
    persons = Persons("id", 12, (0.25, 0.75, 0, 0, 0, 0, 0, 0))
    data = json.loads(json.dumps(persons.to_dict()))
    assert Persons.from_dict(data) == persons
    assert Persons.from_dict(None) is None
    for change in ({"shares": [1.0]}, {"shares": [2.0, -1.0] + [0.0] * 6}, {"number": 0}, {"shares": [0.5] * 8}):
        with pytest.raises(ValueError, match="shares"):
            Persons.from_dict({**data, **change})


def make_frame(n=400):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"id": rng.integers(0, n // 5, n), "x": rng.normal(size=n)}, index=np.arange(n) * 3)


@pytest.mark.parametrize(
    ("declared", "prefix"), [({}, "id"), ({"id": Identifier("c")}, "c"), ({"id": Continuous()}, "id")]
)
def test_the_unit_is_an_identifier_that_repeats(declared, prefix):
    frame = make_frame()
    schema = Schema({"id": Categorical(), "x": Continuous(), **declared}, privacy_unit="id", max_rows_per_unit=3)
    resolved = with_unit(schema, frame)
    assert resolved["id"] == Identifier(prefix, unique=False)
    assert (resolved.privacy_unit, resolved.max_rows_per_unit) == ("id", 3)
    assert with_unit(Schema(declared), frame)._columns == declared


def test_a_unit_that_is_no_column_or_names_nobody_is_refused():
    frame = make_frame().assign(ok=True, when=pd.Timestamp(0))
    columns = dict.fromkeys(frame.columns, Continuous())
    for name, said in (("nobody", "no column"), ("ok", "bool"), ("when", "datetime64")):
        with pytest.raises(SchemaError, match=said):
            with_unit(Schema(columns, privacy_unit=name), frame)


@pytest.mark.parametrize("declared", [None, 2])
def test_rows_are_limited_and_said_to_be(declared):
    frame = make_frame()
    before = frame.copy()
    schema = with_unit(
        Schema({"id": Identifier(), "x": Continuous()}, privacy_unit="id", max_rows_per_unit=declared), frame
    )
    mechanisms = Mechanisms(SecureNoise(), private=True)
    kept, persons = limit_rows(frame, schema, Budget(5.0), mechanisms)
    most = mechanisms.unit.rows
    assert mechanisms.unit == Unit("id", most, chosen=declared is None)
    assert most == declared if declared else most in CAPS
    assert kept.groupby("id").size().max() <= most
    assert len(kept) == np.minimum(frame.groupby("id").size(), most).sum()
    assert kept.index.equals(pd.RangeIndex(len(kept)))
    assert list(kept.dtypes) == list(frame.dtypes)
    pd.testing.assert_frame_equal(frame, before)
    [charge] = mechanisms.charges
    assert (charge.label, charge.event.epsilon, charge.sensitivity, charge.scale) == ("rows per person", 0.1, 1.0, 10.0)
    assert persons.column == "id"
    assert abs(persons.number - frame["id"].nunique()) < 8 * 10 * 14  # eight draws, each below 14 scales but for 1e-6


def test_without_a_unit_nothing_is_read():
    frame, mechanisms = make_frame(), Mechanisms(SecureNoise(), private=True)
    kept, persons = limit_rows(frame, Schema({"id": Identifier()}), Budget(1.0), mechanisms)
    assert kept is frame
    assert persons is None
    assert mechanisms.charges == ()


def test_where_noise_hides_all_persons_one_row_of_each_is_learned_from():
    frame = make_frame(40)
    schema = Schema({"id": Identifier(), "x": Continuous()}, privacy_unit="id")
    mechanisms = Mechanisms(SecureNoise(), private=True)
    _, persons = limit_rows(frame, schema, Budget(1e-9), mechanisms)
    assert mechanisms.unit.rows <= CAPS[-1]
    assert sum(persons.shares) == pytest.approx(1.0)


class Lifts(NoNoise):
    """Adds the numbers it was made with to the bins, one after the other."""

    def __init__(self, added):
        super().__init__()
        self.added = iter(added)

    def discrete_laplace(self, value, *, scale):
        return value + next(self.added)


@pytest.mark.parametrize(
    ("lifted", "scales", "counts"),
    [
        ((3,), 4.9, False),  # beside the full bin
        ((3,), 5.1, True),
        ((1,), 5.1, True),
        ((6,), 7.9, False),  # far from it
        ((6,), 8.1, True),
        ((0,), 7.9, False),
        ((5, 6), 5.1, True),  # far, but not alone
    ],
)
def test_a_bin_far_from_all_others_needs_more_to_count(lifted, scales, counts):
    owners = np.repeat(np.arange(200), 4)
    frame = pd.DataFrame({"id": owners, "x": 0.0})
    schema = Schema({"id": Identifier(), "x": Continuous()}, privacy_unit="id", max_rows_per_unit=1)
    added = [round(scales * 10) * (bin_ in lifted) for bin_ in range(8)]  # the scale is 1 / (5 * 0.02)
    _, persons = limit_rows(frame, schema, Budget(5.0), Mechanisms(Lifts(added), private=True))
    assert set(np.flatnonzero(persons.shares)) == {2, *(lifted if counts else ())}


def test_the_fullest_bin_counts_from_five_scales_on_wherever_it_is():
    frame = pd.DataFrame({"id": np.repeat(np.arange(60), 40), "x": 0.0})
    schema = Schema({"id": Identifier(), "x": Continuous()}, privacy_unit="id", max_rows_per_unit=1)
    _, persons = limit_rows(frame, schema, Budget(5.0), Mechanisms(Lifts([0] * 8), private=True))
    assert persons.shares[6] == 1.0


def test_typical_noise_is_about_that_of_a_count():
    assert typical_noise(10, Budget(None)) == 0.0
    assert typical_noise(10, Budget(0.5)) > typical_noise(10, Budget(1.0)) > typical_noise(5, Budget(1.0)) > 5
