"""The encoder: what it discovers at a high budget, what it declares, and that it survives JSON."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth._reading import read_numbers as to_numbers
from privsynth.errors import ConditionError, DataError, PrivsynthWarning
from privsynth.privacy.events import Failure, Gaussian
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.schema import Boolean, Categorical, Continuous, Datetime, Identifier, resolve_schema
from privsynth.transforms.columns import OTHER
from privsynth.transforms.discover import discover_bounds
from privsynth.transforms.encoder import (
    BOUNDS,
    MAX_LEVEL_CELLS,
    ONE_WAY,
    ROUNDS,
    VALUES,
    TableEncoder,
    fit_encoder,
)
from privsynth.transforms.layout import Layout
from privsynth.transforms.leaves import grow_leaves
from privsynth.transforms.predicates import OneOf
from privsynth.transforms.stored import column_from_dict

N = 4_000


def generous(private=True, mu=50.0, noise=SecureNoise):
    """Mechanisms with a high budget on everything that an encoder may ask for."""
    mechanisms = Mechanisms(noise(), private=private)
    for label in (BOUNDS, VALUES, ONE_WAY, *ROUNDS):
        mechanisms.allot(label, Gaussian(mu))
    mechanisms.allot(VALUES + " (delta)", Failure(1e-6))
    return mechanisms


def encoder_of(frame, declared=None, **how):
    return fit_encoder(frame, resolve_schema(declared, frame), generous(**how), n_rows=len(frame))


def column_of(values, declared=None, **how):
    """Fit one column beside a fair coin and return its transform."""
    frame = pd.DataFrame({"c": values, "coin": np.arange(len(values)) % 2 == 0})
    return encoder_of(frame, None if declared is None else {"c": declared}, **how).columns[0]


def draws(seed=0):
    return np.random.default_rng(seed)


def spikes(column):
    atoms = column.cells.low == column.cells.high
    return set(column.cells.from_grid(column.cells.low[atoms]))


def ends(column):
    scale = 10.0 ** (column.cells.decimals or 0)
    return column.cells.low.min() / scale, column.cells.high.max() / scale


SHAPES = {
    "offset": lambda rng: rng.normal(10_000, 3, N),
    "negative": lambda rng: -rng.gamma(2, 50, N),
    "both signs": lambda rng: rng.normal(0, 100, N),
    "heavy tail": lambda rng: rng.pareto(1.2, N) * 10,
    "small": lambda rng: rng.random(N) * 0.01,
    "two far lumps": lambda rng: np.where(rng.random(N) < 0.5, rng.normal(1, 0.1, N), rng.normal(1e6, 1e3, N)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_discovered_bounds_hold_the_bulk(shape):
    values = SHAPES[shape](draws())
    edges = discover_bounds({"c": values}, generous(), BOUNDS)["c"].edges
    assert ((values >= edges[0] - 2.0**-16) & (values <= edges[-1])).mean() > 0.999
    inner = np.quantile(values, [0.002, 0.998])
    reach = np.abs(inner).max()
    assert np.abs(edges[[0, -1]]).max() <= 16 * reach  # not magnitudes too wide
    assert (np.diff(edges) > 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_survive_the_cells(shape):
    """What cells keep of a column: every decile, up to the resolution of a leaf that holds 1% of the rows."""
    values = SHAPES[shape](draws())
    column = column_of(values)
    again = column.decode(column.encode(pd.Series(values)), draws(1)).to_numpy()
    for q in np.arange(0.1, 0.95, 0.1):
        assert abs((values <= np.quantile(again, q)).mean() - q) < 0.03, q


@pytest.mark.parametrize("scale", [2.0**66, -1e300, 1e-12, -1e-12])
def test_magnitudes_out_of_reach_are_cut_with_a_warning_and_can_be_declared(scale):
    values = draws().uniform(1, 2, N) * scale
    with pytest.warns(PrivsynthWarning, match=r"\['c'\] are beyond 1e-10 to 1e19 and are cut to that. Rescale them or"):
        column = column_of(values, private=False)
    assert np.isfinite(column.decode(column.encode(pd.Series(values)), draws())).all()
    column = column_of(values, Continuous(*sorted([scale, 2 * scale])))
    again = column.decode(column.encode(pd.Series(values)), draws())
    assert again.mean() == pytest.approx(1.5 * scale, rel=0.05)


@pytest.mark.parametrize("decimals", [0, 2, 6, None])
@pytest.mark.parametrize("octaves", [1, 4])
def test_a_rare_one_is_seen_beside_zero_where_decimals_are_public(decimals, octaves):
    """A count of 3.5 noises: a neighbour of the bulk is seen from 2.5 on, a lone bin among fifty or more is not.

    With noise: missed with chance .16, a deviation of one; so none is drawn here.
    """
    unit = 10.0 ** -(decimals or 0)
    values = np.repeat([0.0, unit], [5000, 35])
    mechanisms = Mechanisms(NoNoise(), private=True)
    mechanisms.allot(BOUNDS, Gaussian(0.1))  # a noise of 10, not drawn
    asked = None if decimals is None else {"c": decimals}
    edges = discover_bounds({"c": values}, mechanisms, BOUNDS, octaves=octaves, decimals=asked)["c"].edges
    assert (edges[-1] > unit) == (decimals is not None)
    values[-1] = unit / 1000  # more decimals than there should be: counted all the same
    mechanisms.allot("again", Gaussian(0.1))
    again = discover_bounds({"c": values}, mechanisms, "again", octaves=octaves, decimals=asked)["c"].edges
    assert (again[-1] > unit) == (decimals is not None)


def test_a_rare_one_stays_in_a_column_of_whole_numbers():
    """The data type alone says that there is nothing between 0 and 1: a rare target of 0 and 1 has two cells."""
    frame = pd.DataFrame({"c": np.repeat([0, 1], [5000, 35])})
    mechanisms = Mechanisms(NoNoise(), private=True)
    for label in (BOUNDS, VALUES, ONE_WAY, *ROUNDS):
        mechanisms.allot(label, Gaussian(0.1 if label == BOUNDS else 50.0))  # for bounds a noise of 10, not drawn
    mechanisms.allot(VALUES + " (delta)", Failure(1e-6))
    column = fit_encoder(frame, resolve_schema(None, frame), mechanisms, n_rows=len(frame)).columns[0]
    assert column.n_cells == 2
    assert set(column.decode(np.array([0, 1]), draws()).tolist()) == {0, 1}


def lost(told, *, fits=400, ones=150):
    """How many of so many fits with noise of 70 rows, in bounds and cells alike, leave a target of 0 and 1 constant."""
    frame = pd.DataFrame({"c": np.repeat([0, 1], [4000, ones]), "d": np.arange(4000 + ones) % 2 == 0})
    schema = resolve_schema({"d": Boolean(), "c": Continuous(decimals=0, nullable=False)}, frame)
    n_lost = 0
    for _ in range(fits):
        mechanisms = Mechanisms(SecureNoise(), private=True)
        mechanisms.allot(BOUNDS, Gaussian(1 / 70))
        for label in (VALUES, ONE_WAY, *ROUNDS):
            mechanisms.allot(label, Gaussian(math.sqrt(2) / 70))
        mechanisms.allot(VALUES + " (delta)", Failure(1e-6))
        encoder = fit_encoder(frame, schema, mechanisms, n_rows=len(frame), told=told)
        column = encoder.columns[encoder.layout.index("c")]
        n_lost += 1 not in set(column.decode(np.arange(column.n_cells), draws()))
    return n_lost


@pytest.mark.filterwarnings("ignore")
def test_a_target_that_is_told_keeps_its_rare_class():
    """150 ones under a noise of 70: -1 outdoes them, with 140 rows in their favour, with chance Pr[N > 290/99] = .0017.

    Of 400 fits at most .7 are expected; above 10 with chance 1e-9. Where it is not told it is lost in most: the twin.
    """
    assert lost({"c"}) <= 10 < 60 < lost(set())


def test_a_column_of_which_nothing_is_seen_has_no_range():
    assert discover_bounds({"c": np.full(N, np.nan)}, generous(), BOUNDS) == {}


def test_leaves_agree_with_exact_counts():
    values = draws().exponential(20, N)
    leaves, scale = grow_leaves(
        {"c": values},
        {"c": np.linspace(0, 256, 9)},
        {"c": (0, 256)},
        {"c": False},
        {"c": None},
        generous(private=False),
        list(ROUNDS),
    )
    assert scale == 0
    assert len(leaves["c"].counts) > 30  # the heavy ones were split
    exact = np.histogram(values, leaves["c"].edges)[0]
    exact[-1] += (values > leaves["c"].edges[-1]).sum()
    np.testing.assert_allclose(leaves["c"].counts, exact, atol=0.01 * N)
    assert leaves["c"].counts.sum() == pytest.approx(N, rel=0.01)


def test_spikes_are_atoms_of_their_own():
    rng = draws()
    values = np.where(rng.random(N) < 0.4, 0.0, np.where(rng.random(N) < 0.3, 99.99, rng.normal(500, 90, N).round(2)))
    column = column_of(values)
    for spike in (0.0, 99.99):
        cell = column.encode(pd.Series([spike]))
        again = column.decode(cell.repeat(200), draws())
        assert (again == spike).mean() > 0.95


@pytest.mark.parametrize("private", [True, False])
def test_what_is_saved_of_a_number_is_all_there_is(private):
    """To the last bit, or a loaded model would draw another row now and then."""
    column = column_of(draws().exponential(20, N), private=private)
    again = column_from_dict(json.loads(json.dumps(column.to_dict())))
    for part in ("low", "high", "mass", "cell"):
        np.testing.assert_array_equal(getattr(again.cells, part), getattr(column.cells, part))
    assert len(json.dumps(column.cells.mass.tolist())) < 13 * len(column.cells.mass)  # six digits are enough


@pytest.mark.parametrize("n_cells", [4, 16])
def test_a_number_has_no_more_cells_than_it_may_and_as_many_leaves(n_cells):
    """Whatever the cells, quantiles are those of the leaves; a small range is left alone."""
    values, few = draws().lognormal(size=N), draws(1).integers(0, 20, N)
    frame = pd.DataFrame({"c": values, "few": few})
    schema = resolve_schema({"few": Continuous(low=0, high=19, decimals=0)}, frame)
    wide, narrow = (
        fit_encoder(frame, schema, generous(private=False), n_rows=N, n_cells=most).columns for most in (32, n_cells)
    )
    assert narrow[0].n_cells == n_cells < wide[0].n_cells == 32
    assert narrow[1].n_cells == wide[1].n_cells == 20
    assert narrow[0].cells.low.tolist() == wide[0].cells.low.tolist()
    assert narrow[0].cells.mass.tolist() == wide[0].cells.mass.tolist()


def test_small_ranges_are_exact():
    values = draws().integers(3, 12, N)
    column = column_of(values)
    assert column.n_cells == 9
    again = column.decode(column.encode(pd.Series(values)), draws())
    assert (again == values).all()


@pytest.mark.parametrize("private", [True, False])
def test_what_lies_beyond_what_was_seen_does_not_make_columns_wider(private):
    """Between zero and the first power of two there is nobody: not in cells, not where the grid is finer than 1."""
    column = column_of(draws().integers(33, 64, N), private=private)
    assert (column.n_cells, spikes(column)) == (31, set())
    low, high = ends(column_of(draws().uniform(64, 128, N).round(2), Continuous(decimals=2), private=private))
    assert 64 <= low < high <= 128
    low, _ = ends(column_of(draws().uniform(64, 128, N), Continuous(low=-50), private=private))
    assert low == -50  # declared: public, and so not dropped


def test_codes_that_thin_out_go_on_to_one_and_no_further():
    """School years 1 to 16, of 1 and 2 less than shows by itself, in a range of 0 to 31: 1 is there, and no 0 or 17.

    In one of 16 columns 3 does not show either, and noise adds a code to one of 13. That more than 14 of 60 lose, or
    more than 17 gain, has a chance of 1e-5 and less. A range that begins where counts show would lose in all.
    """
    shares = np.array([1, 3, 8, *[90] * 11, 30, 25])
    values = np.repeat(np.arange(1, 17), shares * 20)
    found = [column_of(values, mu=0.04).cells for _ in range(60)]
    assert sum(cells.low[0] > 1 for cells in found) <= 14
    assert sum(cells.low[0] < 1 or cells.low[-1] > 16 for cells in found) <= 17


def test_declared_bounds_are_kept_though_nobody_is_there():
    values = draws().integers(0, 4, N)
    column = column_of(values, Continuous(0, 15))
    assert column.n_cells == 16
    assert column.encode(pd.Series([-5, 99])).tolist() == [0, 15]
    low, high = ends(column_of(values.astype(float), Continuous(-7.5, 12)))
    assert (low, high) == (-7, 13)  # found to be whole numbers: those inside the bounds


@pytest.mark.parametrize(("low", "high"), [(-7, -1), (-3, 0), (-1, 0), (-1, -1), (-8, -4), (-300, -1), (-300, 0)])
@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.filterwarnings("ignore:At this epsilon")  # a single value
def test_the_greatest_of_numbers_below_zero_is_kept(low, high, decimals):
    """Leaves lack their upper ends: the bin of -1 has none above, and that of zero nothing else."""
    unit = 10.0**-decimals
    values = np.round(draws().integers(low, high + 1, N) * unit, decimals)
    declared = Continuous(decimals=decimals)
    columns = [column_of(values.astype(np.int64 if decimals == 0 else float), declared, private=p) for p in (0, 1)]
    for column in columns:
        again = column.decode(column.encode(pd.Series(values)), draws()).to_numpy().astype(float)
        assert abs((again == values.max()).mean() - (values == values.max()).mean()) < 0.02
        assert again.max() == pytest.approx(values.max(), abs=1e-12)


@pytest.mark.parametrize(("low", "high"), [(None, 3.0), (3.0, None), (-2.5, None), (100.0, None), (None, -100.0)])
@pytest.mark.filterwarnings("ignore:At this epsilon")
def test_one_declared_bound_is_never_left(low, high):
    column = column_of(draws().normal(0, 10, N).round(1), Continuous(low, high))
    assert low is None or ends(column)[0] >= low
    assert high is None or ends(column)[1] <= high + 1e-9
    again = column.decode(column.encode(pd.Series(draws().normal(0, 10, 500))), draws())
    assert low is None or (again.dropna() >= low).all()
    assert high is None or (again.dropna() <= high).all()


def test_bounds_of_times_are_local_to_the_column():
    days = pd.Series(pd.date_range("2024-01-01", periods=N, freq="h", tz="America/New_York"))
    column = column_of(days, Datetime("2024-01-01", "2024-07-01"))
    low, high = ends(column)
    assert low == pd.Timestamp("2024-01-01", tz="America/New_York").timestamp()
    assert high - 1 == pd.Timestamp("2024-07-01", tz="America/New_York").timestamp()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "datetime64[ns]"])
def test_discovery_stays_inside_the_data_type(dtype):
    """Values up to the end of the data type: the octave that holds them goes beyond it."""
    if dtype == "datetime64[ns]":
        values = pd.Series(pd.to_datetime(["1680-01-01", "2260-01-01"] * (N // 2)))
    else:
        limits = np.iinfo(dtype)
        values = pd.Series(draws().integers(limits.min, limits.max + 1, N)).astype(dtype)
    column = column_of(values)
    again = column.decode(draws().integers(0, column.n_cells - column.null, 5_000), draws())
    assert again.dtype == dtype
    assert column.encode(again).tolist() == column.encode(again.copy()).tolist()
    if dtype != "datetime64[ns]":
        assert ends(column) == (limits.min, limits.max + 1)


def test_levels_are_discovered_and_the_rest_is_other():
    values = np.where(np.arange(N) < N - 40, np.arange(N) % 3, 1000 + np.arange(N)).astype(str)
    column = column_of(values, mu=5.0, noise=NoNoise)
    assert set(column.levels) == {"0", "1", "2"}
    assert column.encode(pd.Series(["0", "5000"])).tolist()[1] == column.extra.get("other", column.fallback)


def test_rare_levels_of_a_number_column_count_as_the_most_frequent():
    values = np.where(np.arange(N) % 20 == 0, 10_000 + np.arange(N), np.arange(N) % 3)
    column = column_of(values, Categorical(), mu=5.0, noise=NoNoise)
    assert set(column.levels) == {0, 1, 2}
    assert not column.other
    assert column.decode(column.encode(pd.Series(values)), draws()).dtype == "int64"


def test_missing_values_have_a_cell_only_where_there_are_some():
    values = pd.Series(draws().normal(size=N))
    assert not column_of(values).null
    values[::3] = None
    assert column_of(values).null


NOTHING = {
    "nan": (np.full(N, np.nan), r"nothing but missing values in \['c'\]"),
    "number": (np.full(N, 7), r"a single value in \['c'\]"),
    "float": (np.full(N, -12.5), r"a single value in \['c'\]"),
    "text": (np.full(N, "x"), r"a single value in \['c'\]"),
    "keys": (np.arange(N).astype(str), r"no level in \['c'\], which becomes '__other__'"),
    "no category": (pd.Series([None] * N, dtype="category"), "nothing but missing"),
    "NaT": (pd.Series([pd.NaT] * N), "nothing but missing"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_columns_of_which_one_thing_is_seen_come_back_as_that_with_a_warning(name):
    values, words = NOTHING[name]
    with pytest.warns(PrivsynthWarning, match=rf"releases show {words}.*Identifier\(\)"):
        column = column_of(values, mu=5.0)
    again = column.decode(np.full(50, int(np.argmax(one_thing(column)))), draws())
    assert str(again.dtype) == str(pd.Series(values).dtype)
    if name == "keys":
        assert (again == OTHER).all()
    elif name == "no category":
        assert again.isna().all()
    else:
        pd.testing.assert_series_equal(again, pd.Series(values)[:50], check_names=False)


def one_thing(column):
    """Return a mass a cell: all on the missing one, if there is one."""
    mass = np.zeros(column.n_cells)
    mass[column.extra.get("null", 0)] = 1
    return mass


@pytest.mark.parametrize("values", [np.full(N, 7), np.full(N, np.nan), np.full(N, "x"), np.full(N, True)])
def test_without_privacy_and_where_it_is_declared_nothing_is_warned_of(values):
    column_of(values, private=False)
    if values.dtype.kind == "U":
        column_of(values, Categorical(("x",)), mu=5.0)
    if values.dtype == bool:
        column_of(values, mu=5.0)


def test_integers_of_which_nothing_is_seen_are_zero():
    """There is no missing value to give back."""
    with pytest.warns(PrivsynthWarning, match="a single value"):
        column = column_of(np.arange(N) ** 4, mu=0.001)
    assert column.decode(np.zeros(3, dtype=np.int64), draws()).tolist() == [0, 0, 0]


def test_rare_levels_are_not_told_from_a_constant():
    values = np.where(np.arange(N) < 5, "rare", "x")
    with pytest.warns(PrivsynthWarning, match="a single value"):
        assert column_of(values, mu=0.5, noise=NoNoise).levels == ("x",)


def many(n_levels, rng):
    """Zipf-distributed levels: two thirds of the rows in the first few dozen."""
    share = 1 / np.arange(1, n_levels + 1)
    return np.char.add("m", rng.choice(n_levels, N, p=share / share.sum()).astype(str))


@pytest.mark.parametrize(
    "declared", [None, Categorical(tuple(f"m{i}" for i in range(2_000)))], ids=["open", "declared"]
)
def test_many_levels_share_a_cell_and_keep_their_shares(declared):
    values = many(2_000, draws())
    column = column_of(values, declared, private=False)
    assert column.n_cells == MAX_LEVEL_CELLS
    again = column.decode(column.encode(pd.Series(values)), draws(1))
    exact, drawn = (pd.Series(v).value_counts(normalize=True) for v in (values, again))
    assert exact.sub(drawn, fill_value=0).abs().max() * N < 1  # of independent draws a tenth of the rows would differ
    top = exact.index[: MAX_LEVEL_CELLS // 2]
    np.testing.assert_allclose(drawn[top], exact[top])  # a cell each: exact
    loaded = column_from_dict(json.loads(json.dumps(column.to_dict())))
    assert (loaded.decode(column.encode(pd.Series(values)), draws(1)) == again).all()


def test_the_tail_can_come_back_as_fresh_labels():
    values = pd.Series(np.where(np.arange(N) % 2 == 0, "big", np.char.add("m", np.arange(N).astype(str))), dtype=object)
    values[::7] = None
    for other in ("token", "fake"):
        column = column_of(values, Categorical(other=other), mu=5.0)
        column = column_from_dict(json.loads(json.dumps(column.to_dict())))
        again = column.decode(column.encode(values), draws())
        assert (again.isna() == values.isna()).all()
        assert (again[values == "big"] == "big").all()
        tail = again[(values != "big") & values.notna()]
        assert (tail.is_unique, set(tail) == {OTHER}) == ((True, False) if other == "fake" else (False, True))
        assert not set(tail) & set(values)


def test_a_condition_on_levels_that_share_a_cell():
    values = many(2_000, draws())
    column = column_of(values, private=False)
    exact = pd.Series(values).value_counts()
    rare = [exact.index[MAX_LEVEL_CELLS + 5], exact.index[MAX_LEVEL_CELLS + 50]]
    shared = exact.index[MAX_LEVEL_CELLS - 1 :]
    cover = column.cover(OneOf(tuple(rare)))
    assert np.count_nonzero(cover) == 1
    assert cover.sum() == pytest.approx(exact[rare].sum() / exact[shared].sum())
    again = column.decode(np.full(4_000, int(np.argmax(cover))), draws(), OneOf(tuple(rare)))
    assert set(again) == set(rare)
    assert (again == rare[0]).mean() == pytest.approx(exact[rare[0]] / exact[rare].sum(), abs=0.05)
    with pytest.raises(ConditionError, match="'m9999', which the model does not know"):
        column.cover(OneOf(("m9999", rare[0])))


@pytest.mark.parametrize("change", [{"cell": [0]}, {"cell": [5] * 200}, {"cell": [-1] * 200}, {"mass": [1.0]}])
def test_cells_of_levels_that_do_not_fit(change):
    data = column_of(many(2_000, draws()), private=False).to_dict()
    with pytest.raises(ValueError, match="cell"):
        column_from_dict({**data, **change})


def test_only_identifiers():
    with pytest.raises(DataError, match="All columns are identifiers"):
        encoder_of(pd.DataFrame({"k": range(9)}), {"k": Identifier()})


@st.composite
def frames(draw):
    """Draw small frames of every kind of column."""
    n, rng = 300, np.random.default_rng(draw(st.integers(0, 2**32)))
    makers = {
        "i": lambda: rng.integers(-50, 500, n),
        "f": lambda: rng.normal(size=n),
        "z": lambda: np.where(rng.random(n) < 0.3, np.nan, rng.gamma(1, 10, n).round(2)),
        "b": lambda: rng.random(n) < 0.4,
        "s": lambda: rng.choice(["u", "v", "w"], n),
        "k": lambda: pd.Categorical(rng.choice(["lo", "hi"], n), categories=["lo", "hi"], ordered=True),
        "t": lambda: pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10**7, n), unit="s"),
    }
    names = draw(st.lists(st.sampled_from(sorted(makers)), min_size=1, max_size=4, unique=True))
    return pd.DataFrame({name: makers[name]() for name in names})


@given(frames())
@settings(max_examples=25, deadline=None)
def test_encoders_survive_json_and_cells_survive_decoding(frame):
    encoder = encoder_of(frame, private=False)
    again = TableEncoder.from_dict(json.loads(json.dumps(encoder.to_dict(), allow_nan=False)))
    codes = encoder.transform(frame)
    assert codes.shape == frame.shape
    assert (again.transform(frame) == codes).all()
    assert again.layout == encoder.layout
    counted = np.concatenate([np.bincount(codes[:, j], minlength=s.size) for j, s in enumerate(encoder.layout.spans)])
    assert (counted == encoder.one_way.values).all()
    for j, column in enumerate(encoder.columns):
        values = column.decode(codes[:, j], draws())
        assert values.dtype == frame[column.name].dtype
        strays = column.encode(values) != codes[:, j]  # an interval may hold an atom of another cell
        if strays.any():
            assert set(to_numbers(values[strays])) <= spikes(column)


def test_counts_that_do_not_fit():
    data = encoder_of(pd.DataFrame({"s": ["a", "b"] * 50}), private=False).to_dict()
    with pytest.raises(ValueError, match="do not fit"):
        TableEncoder.from_dict({**data, "one_way": {"values": [1.0], "scale": 0.0}})
    with pytest.raises(ValueError, match="do not fit"):
        TableEncoder.from_dict({**data, "columns": []})


def test_every_row_is_read_through_the_mechanisms_at_their_sensitivity():
    """Every charge of k columns has sensitivity sqrt(k): a row is in one bin of each."""
    frame = pd.DataFrame({"a": draws().normal(size=N), "b": draws().normal(size=N), "s": ["x", "y"] * (N // 2)})
    mechanisms = generous()
    fit_encoder(frame, resolve_schema(None, frame), mechanisms, n_rows=N)
    charged = {charge.label: charge.sensitivity for charge in mechanisms.charges}
    expected = {BOUNDS: 2, VALUES: 3, **dict.fromkeys(ROUNDS, 2), ONE_WAY: 3}
    assert {k: charged[k] for k in expected} == {k: math.sqrt(v) for k, v in expected.items()}


def test_layout():
    layout = Layout.of({"a": 2, "b": 3})
    assert [(s.name, s.start, s.stop, s.size) for s in layout.spans] == [("a", 0, 2, 2), ("b", 2, 5, 3)]
    assert layout.owner().tolist() == [0, 0, 1, 1, 1]
    assert Layout.of({}).width == 0
    assert OTHER == "__other__"
    assert resolve_schema(None, pd.DataFrame({"b": [True]}))["b"] == Boolean()
