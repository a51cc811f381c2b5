"""Cells against slow loops over leaves, on drawn grids, floats and atoms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from privsynth.transforms.cells import Cells, group_leaves, spread

FALSE_ALARM = 1e-6


@st.composite
def some_cells(draw):
    """Draw intervals without gaps and atoms among them, on a grid or not, in a few cells."""
    decimals = draw(st.sampled_from([None, 0, 2]))
    if decimals is None:
        edge = st.floats(-100, 100).map(lambda x: round(x, 3))
    else:
        edge = st.integers(-500, 500).map(float)
    edges = sorted(draw(st.lists(edge, max_size=8, unique=True)))
    low, high = edges[:-1], edges[1:]
    least = 0 if low else 1
    atoms = sorted(draw(st.lists(edge, min_size=least, max_size=4, unique=True)))
    low, high = np.array([*low, *atoms]), np.array([*high, *atoms])
    mass = np.array(draw(st.lists(st.integers(1, 20), min_size=len(low), max_size=len(low))), dtype=float)
    max_cells = draw(st.integers(1, 6))
    cell = group_leaves(low, high, mass / mass.sum(), max_cells=max_cells, min_mass=0.02)
    return Cells(low, high, mass / mass.sum(), cell, decimals)


def values_for(cells, data, n=20):
    scale = 10.0 ** (cells.decimals or 0)
    near = [v / scale for v in (*cells.low, *cells.high)]
    value = st.sampled_from(near) | st.floats(-150, 150).map(lambda x: round(x, 4))
    return np.array(data.draw(st.lists(value, min_size=1, max_size=n)))


def slow_leaf(cells, value):
    """Return the leaf of one value: its atom, else the interval that holds it, else the nearest."""
    unit = value if cells.decimals is None else float(np.rint(value * 10.0**cells.decimals))
    pairs = list(zip(cells.low, cells.high, strict=True))
    for leaf, (low, high) in enumerate(pairs):
        if low == high == unit:
            return leaf
    intervals = [(leaf, low, high) for leaf, (low, high) in enumerate(pairs) if low < high]
    for leaf, low, high in intervals:
        if low <= unit < high:
            return leaf
    if intervals:
        return intervals[0][0] if unit < intervals[0][1] else intervals[-1][0]
    return min(range(len(pairs)), key=lambda leaf: abs(pairs[leaf][0] - unit))


@given(some_cells(), st.data())
def test_leaf_and_cell_of_values(cells, data):
    values = values_for(cells, data)
    expected = [slow_leaf(cells, v) for v in values]
    assert cells.leaf_of(values).tolist() == expected
    assert cells.encode(values).tolist() == [cells.cell[leaf] for leaf in expected]


@given(some_cells(), st.data())
def test_position_is_the_place_in_the_cell(cells, data):
    values = values_for(cells, data)
    for value, cell, alpha in zip(values, cells.encode(values), cells.position(values), strict=True):
        leaves = np.flatnonzero(cells.cell == cell)
        low, high = min(cells.low[leaves]), max(cells.high[leaves])
        unit = float(cells.to_grid(np.array([value]))[0])
        expected = 0.0 if low == high else max(-1.0, min(1.0, 2 * (unit - low) / (high - low) - 1))
        assert alpha == pytest.approx(expected)


def whole(cells):
    return {"start": cells.low, "stop": cells.high, "weights": cells.mass}


@given(some_cells(), st.integers(0, 2**32))
def test_a_drawn_value_lies_in_the_asked_cell(cells, seed):
    rng = np.random.default_rng(seed)
    asked = np.flatnonzero(np.bincount(cells.cell, cells.mass) > 0).repeat(20)
    values = cells.draw(asked, rng, **whole(cells))
    units = cells.to_grid(values)
    for cell, value, unit in zip(asked, values, units, strict=True):
        inside = [
            low == unit if low == high else low <= unit < high or (cells.decimals is None and unit == high)
            for low, high in zip(cells.low[cells.cell == cell], cells.high[cells.cell == cell], strict=True)
        ]
        assert any(inside), (cell, value)
    if cells.decimals is not None:
        assert (np.abs(values * 10**cells.decimals - np.rint(values * 10**cells.decimals)) < 1e-6).all()


def satisfies(values, low, high, low_open, high_open):
    return ((values > low) if low_open else (values >= low)) & ((values < high) if high_open else (values <= high))


ranges = st.tuples(st.floats(-120, 120), st.floats(-120, 120), st.booleans(), st.booleans())


@given(some_cells(), ranges, st.integers(0, 2**32), st.data())
def test_values_drawn_under_a_range_satisfy_it(cells, wanted, seed, data):
    low, high, low_open, high_open = wanted
    ends = values_for(cells, data, n=2)  # often exactly on an edge
    low, high = (ends[0], ends[-1]) if data.draw(st.booleans()) else (low, high)
    start, stop = cells.overlap(low, high, low_open=low_open, high_open=high_open)
    weights = cells.leaf_weights(start, stop)
    possible = np.flatnonzero(cells.cover(weights) > 0)
    values = cells.draw(possible.repeat(10), np.random.default_rng(seed), start=start, stop=stop, weights=weights)
    assert satisfies(values, low, high, low_open, high_open).all()


@given(some_cells(), ranges, st.data())
def test_cover_on_a_grid_is_the_share_of_its_points(cells, wanted, data):
    """Brute force: every leaf spreads its mass evenly over its points."""
    if cells.decimals is None:
        return
    low, high, low_open, high_open = wanted
    low, high = values_for(cells, data, n=1)[0] if data.draw(st.booleans()) else low, high
    part, total = np.zeros(cells.n_cells), np.zeros(cells.n_cells)
    for leaf, mass in enumerate(cells.mass):
        first, last = cells.low[leaf], cells.high[leaf]
        points = np.array([first]) if first == last else np.arange(first, last)
        kept = satisfies(cells.from_grid(points), low, high, low_open, high_open)
        part[cells.cell[leaf]] += mass * kept.mean()
        total[cells.cell[leaf]] += mass
    start, stop = cells.overlap(low, high, low_open=low_open, high_open=high_open)
    np.testing.assert_allclose(cells.cover(cells.leaf_weights(start, stop)), part / total, atol=1e-9)


@given(some_cells(), ranges)
def test_cover_of_a_continuum_is_the_share_of_length(cells, wanted):
    if cells.decimals is not None:
        return
    low, high, low_open, high_open = wanted
    part, total = np.zeros(cells.n_cells), np.zeros(cells.n_cells)
    for leaf, mass in enumerate(cells.mass):
        a, b = cells.low[leaf], cells.high[leaf]
        if a == b:
            share = float(satisfies(a, low, high, low_open, high_open))
        else:
            share = max(0.0, min(b, high) - max(a, low)) / (b - a)
        part[cells.cell[leaf]] += mass * share
        total[cells.cell[leaf]] += mass
    start, stop = cells.overlap(low, high, low_open=low_open, high_open=high_open)
    np.testing.assert_allclose(cells.cover(cells.leaf_weights(start, stop)), part / total, atol=1e-9)


CELLS = Cells(
    low=np.array([0.0, 3, 10, 4]),
    high=np.array([3.0, 10, 20, 4]),
    mass=np.array([0.3, 0.2, 0.1, 0.4]),
    cell=np.array([0, 0, 1, 0]),
    decimals=0,
)


def draws_by_mass(cells, draw):
    """Whether the points of cell 0 come as often as the leaves' masses say (chi-square)."""
    expected = dict.fromkeys((0, 1, 2), cells.mass[0] / 3) | dict.fromkeys(range(3, 10), cells.mass[1] / 7)
    expected[4] += cells.mass[3]
    n = 20_000
    values = draw(np.zeros(n, dtype=np.int64))
    counts = np.array([(values == point).sum() for point in expected])
    shares = np.array(list(expected.values()))
    return counts.sum() == n and stats.chisquare(counts, n * shares / shares.sum()).pvalue >= FALSE_ALARM


def test_leaves_are_drawn_by_mass():
    rng = np.random.default_rng(0)
    assert draws_by_mass(CELLS, lambda cells: CELLS.draw(cells, rng, **whole(CELLS)))


def test_leaves_are_drawn_by_mass_has_power():
    rng = np.random.default_rng(0)
    even = {**whole(CELLS), "weights": np.ones(4)}
    assert not draws_by_mass(CELLS, lambda cells: CELLS.draw(cells, rng, **even))


def spread_evenly(groups, places):
    """Whether each of a group's equal parts, as many as it has rows, holds one place."""
    return all(
        sorted(np.floor(places[groups == g] * (groups == g).sum())) == list(range((groups == g).sum()))
        for g in np.unique(groups)
    )


@given(groups=st.lists(st.integers(0, 5), max_size=60), seed=st.integers(0, 2**32))
def test_places_are_spread_evenly_in_each_group(groups, seed):
    groups = np.array(groups, dtype=np.int64)
    assert spread_evenly(groups, spread(groups, np.random.default_rng(seed)))


def test_places_are_spread_evenly_has_power():
    groups = np.repeat([0, 3], 20)
    assert not spread_evenly(groups, np.random.default_rng(0).random(40))
    assert not spread_evenly(groups, spread(np.zeros(40, dtype=np.int64), np.random.default_rng(0)))


def each_is_uniform(draw):
    """Whether the first row's place, alone and given that of another row of its group, is as uniform ones are."""
    rng = np.random.default_rng(0)
    places = np.array([draw(np.array([1, 0, 1, 1]), rng) for _ in range(4_000)])
    above = places[:, 0] > places[:, 2]  # which row of a group comes first is at random
    return (
        stats.kstest(places[:, 0], "uniform").pvalue >= FALSE_ALARM
        and stats.binomtest(int(above.sum()), len(above)).pvalue >= FALSE_ALARM
    )


def test_each_place_is_uniform():
    assert each_is_uniform(spread)


@pytest.mark.parametrize(
    "faulty",
    [
        lambda groups, rng: np.floor(spread(groups, rng) * 3) / 3,
        lambda groups, rng: np.sort(spread(groups, rng)),
    ],
    ids=["no shift", "in order"],
)
def test_each_place_is_uniform_has_power(faulty):
    assert not each_is_uniform(faulty)


def test_leaves_come_as_often_as_they_should():
    for n in (1, 7, 500):
        values = CELLS.draw(np.zeros(n, dtype=np.int64), np.random.default_rng(n), **whole(CELLS))
        assert abs((values < 3).sum() - n / 3) < 1 + 1e-9


def test_a_single_atom():
    cells = Cells(np.array([5.0]), np.array([5.0]), np.array([1.0]), np.array([0]), None)
    assert cells.encode(np.array([-1.0, 5.0, 9.0])).tolist() == [0, 0, 0]
    assert cells.draw(np.zeros(3, dtype=np.int64), np.random.default_rng(0), **whole(cells)).tolist() == [5.0] * 3


@given(some_cells())
def test_dict_round_trip(cells):
    again = Cells.from_dict(cells.to_dict())
    for name in ("low", "high", "cell"):
        assert (getattr(again, name) == getattr(cells, name)).all()
    np.testing.assert_allclose(again.mass, cells.mass, rtol=1e-5)
    assert again.decimals == cells.decimals


@pytest.mark.parametrize(
    "change",
    [
        {"low": [0.0]},
        {"cell": [0, 0, -1, 0]},
        {"cell": [0, 0, 9, 0]},
        {"mass": [0.3, 0.2, -0.1, 0.4]},
        {"high": [3.0, 10, float("inf"), 4]},
        {"low": [5.0, 3, 10, 4]},
        {"low": [], "high": [], "mass": [], "cell": []},
    ],
)
def test_dicts_that_do_not_fit(change):
    with pytest.raises(ValueError, match=r"cells of a number|ends of cells"):
        Cells.from_dict({**CELLS.to_dict(), **change})


@given(
    st.lists(st.tuples(st.floats(0.1, 5), st.integers(0, 20)), min_size=1, max_size=30),
    st.integers(1, 10),
    st.floats(0, 20),
)
def test_groups_are_neighbours_few_and_heavy(leaves, max_cells, min_mass):
    widths, mass = np.array([w for w, _ in leaves]), np.array([m for _, m in leaves], dtype=float)
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    cell = group_leaves(edges[:-1], edges[1:], mass, max_cells=max_cells, min_mass=min_mass)
    assert (np.diff(cell) >= 0).all()  # ascending without gaps: neighbours only
    assert set(cell) == set(range(cell.max() + 1))
    assert cell.max() + 1 <= max_cells
    assert cell.max() == 0 or (np.bincount(cell, mass) >= min_mass).all()


def test_heavy_atoms_stay_on_their_own():
    low, high = np.array([0.0, 10, 20, 5]), np.array([10.0, 20, 30, 5])
    cell = group_leaves(low, high, np.array([0.1, 0.1, 0.1, 0.7]), max_cells=2, min_mass=0.0)
    assert (cell == cell[3]).sum() <= 2
    cell = group_leaves(low, high, np.array([0.1, 0.1, 0.1, 0.7]), max_cells=4, min_mass=0.05)
    assert (cell == cell[3]).sum() == 1
