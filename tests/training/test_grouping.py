"""Groups of cells for small classes: against loops, and what a row moves in them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms import Mechanisms, Release
from privsynth.privacy.noise import SecureNoise
from privsynth.training import measured as measured_module
from privsynth.training.grouping import _grouped, group_cells, spread, summed
from privsynth.training.measure import CLASS_COLUMNS, PAIRS, Measurements, PairTable, measure
from privsynth.training.measured import MeasuredCritic
from privsynth.transforms.cells import Cells
from privsynth.transforms.columns import DiscreteColumn, NumericColumn
from privsynth.transforms.layout import Layout

CELLS = Cells(np.arange(20.0), np.arange(1.0, 21), np.full(20, 0.05), np.arange(20), 0)
COLUMNS = (
    NumericColumn("amount", "float64", CELLS, null=True),
    DiscreteColumn("shop", "object", tuple("abcdefghijkl"), other=True, null=False),
    DiscreteColumn("fraud", "object", ("no", "yes"), other=False, null=False),
    DiscreteColumn("band", "object", tuple("uvwxyz"), other=False, null=False, ordered=True),
)
LAYOUT = Layout.of({column.name: column.n_cells for column in COLUMNS})
SPLIT = 2


def make_counts(n_rows=(20_000, 300), seed=0, noise=5.0):
    rng = np.random.default_rng(seed)
    rows = [
        np.concatenate([rng.multinomial(n, rng.dirichlet(np.ones(span.size))) for span in LAYOUT.spans]) for n in n_rows
    ]
    return Release(np.array(rows) + rng.normal(0, noise, (len(n_rows), LAYOUT.width)), noise)


def groups_of(n_rows=(20_000, 300), scale=20.0, seed=0):
    return group_cells(COLUMNS, LAYOUT, make_counts(n_rows, seed), split=SPLIT, scale=scale)


@given(
    st.lists(st.floats(-50, 500), min_size=1, max_size=40),
    st.integers(2, 12),
    st.integers(0, 2),
    st.booleans(),
)
def test_groups_of_a_column(counts, most, n_extra, ordered):
    n_extra = min(n_extra, len(counts) - 1)
    groups = _grouped(np.array(counts), most, n_extra, ordered=ordered)
    assert len(groups) == len(counts)
    firsts = [int(np.flatnonzero(groups == g)[0]) for g in range(groups.max() + 1)]
    assert firsts == sorted(firsts)  # numbered as they appear: the first cell is in group 0
    assert set(groups) == set(range(groups.max() + 1))
    for extra in range(len(counts) - n_extra, len(counts)):
        assert (groups == groups[extra]).sum() == 1
    if len(counts) <= most:
        assert groups.tolist() == list(range(len(counts)))
    else:
        assert groups.max() + 1 <= max(2, most - n_extra) + n_extra
    if ordered:
        assert (np.diff(groups) >= 0).all()


def test_groups_have_about_equal_mass_or_keep_the_frequent_levels():
    assert _grouped(np.array([5.0, 5, 5, 5, 20, 1, 1]), 3, 0, ordered=True).tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert _grouped(np.array([1.0, 50, 2, 30, 3]), 3, 0, ordered=False).tolist() == [0, 1, 0, 2, 0]


@given(st.integers(0, 2**20), st.integers(1, 6), st.integers(1, 6))
def test_summing_undoes_spreading(seed, n_rows, n_cols):
    rng = np.random.default_rng(seed)
    rows, cols = (np.sort(rng.integers(0, 3, n)) for n in (n_rows, n_cols))
    rows, cols = (np.unique(groups, return_inverse=True)[1] for groups in (rows, cols))
    table = rng.normal(size=(rows.max() + 1, cols.max() + 1))
    values = spread(table, rows, cols)
    np.testing.assert_allclose(summed(values, rows, cols), table)
    slow = np.zeros_like(table)
    for u in range(n_rows):
        for v in range(n_cols):
            slow[rows[u], cols[v]] += values[u, v]
    np.testing.assert_allclose(slow, table)


def test_small_classes_have_fewer_groups():
    large, small = groups_of()
    assert large.max() + 1 == LAYOUT.width  # no small class: every cell alone
    sizes = [len(set(small[span.slice])) for span in LAYOUT.spans]
    most = int(math.sqrt(300 / (0.3 * 20)))
    assert all(1 < size <= most for size in sizes)
    assert sizes[SPLIT] == 2
    assert (small[LAYOUT.spans[0].stop - 1] == small).sum() == 1  # missing amounts
    assert (small[LAYOUT.spans[1].stop - 1] == small).sum() == 1  # other shops


@pytest.mark.parametrize(
    ("n_rows", "scale"),
    [
        ((20_000, 20_000), 20.0),
        ((20_000, 20_000), 1000.0),
        ((20_000, 2_500), 200.0),
        ((20_000, 1_500), 20.0),
        ((20_000, 300), 0.0),
    ],
)
def test_nothing_is_grouped_in_large_classes_or_without_much_noise(n_rows, scale):
    assert groups_of(n_rows, scale) is None


def make_codes(n_rows, seed):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, span.size, n_rows) for span in LAYOUT.spans], axis=1)


def release(codes, groups, mu=0.5, private=False, columns=None):
    mechanisms = Mechanisms(SecureNoise(), private=private)
    for label in (CLASS_COLUMNS, PAIRS):
        mechanisms.allot(label, Gaussian(mu))
    counts = [np.bincount(codes[:, j], minlength=span.size) for j, span in enumerate(LAYOUT.spans)]
    one_way = Release(np.concatenate(counts).astype(float), 1.0)
    found = measure(
        codes, LAYOUT, one_way=one_way, split=SPLIT, conditions=[], mechanisms=mechanisms, groups=groups,
        columns=columns,
    )  # fmt: skip
    return found.pairs, mechanisms


def test_counts_of_groups_are_those_of_a_loop():
    codes, groups = make_codes(400, 1), groups_of()
    table, _ = release(codes, groups)
    for i, j in table.pairs:
        one, two = LAYOUT.spans[i], LAYOUT.spans[j]
        for c in range(2):
            slow = np.zeros((int(groups[c].max()) + 1,) * 2)
            for row in codes[codes[:, SPLIT] == c]:
                slow[groups[c][one.start + row[i]], groups[c][two.start + row[j]]] += 1
            rows, cols = groups[c][one.slice], groups[c][two.slice]
            found = summed(table.values[c][one.slice, two.slice], rows - rows[0], cols - cols[0])
            np.testing.assert_allclose(found, slow[rows[0] : rows.max() + 1, cols[0] : cols.max() + 1], atol=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_one_more_row_moves_groups_by_the_sensitivity_of_pairs(seed):
    """What the mechanism is handed, and not what it returns: one count of each pair moves by one."""
    codes, groups = make_codes(40, seed), groups_of(seed=seed)
    seen = []
    for rows in (codes, codes[:-1]):
        mechanisms = Mechanisms(SecureNoise(), private=False)
        handed = []
        counts = mechanisms.counts
        mechanisms.counts = lambda label, values, counts=counts, handed=handed, **k: (
            handed.append((label, values)) or counts(label, values, **k)
        )
        for label in (CLASS_COLUMNS, PAIRS):
            mechanisms.allot(label, Gaussian(0.5))
        one_way = Release(np.zeros(LAYOUT.width), 1.0)
        measure(rows, LAYOUT, one_way=one_way, split=SPLIT, conditions=[], mechanisms=mechanisms, groups=groups)
        seen.append(dict(handed)[PAIRS])
    moved = seen[0] - seen[1]
    assert sorted(moved[moved != 0].tolist()) == [1] * math.comb(3, 2)
    assert np.linalg.norm(moved) == math.sqrt(math.comb(3, 2))


def test_groups_follow_from_the_released_columns_by_class_and_the_noise():
    """The scale is known before anything is counted, and what is counted is what `group_cells` says."""
    codes = make_codes(3000, 2)
    codes[200:, SPLIT] = 0
    table, mechanisms = release(codes, None, mu=0.3, private=True, columns=COLUMNS)
    charge = {c.label: c for c in mechanisms.charges}[PAIRS]
    assert charge.scale == table.scale == pytest.approx(math.sqrt(3) / 0.3)
    n_counts = 0
    for c in range(2):
        widths = [len(set(table.groups[c][span.slice])) for j, span in enumerate(LAYOUT.spans) if j != SPLIT]
        n_counts += widths[0] * widths[1] + widths[0] * widths[2] + widths[1] * widths[2]
    assert charge.n_values == n_counts
    assert table.groups[1].max() < table.groups[0].max()


@pytest.mark.parametrize("width", [6, 10**6])
def test_the_critic_compares_groups(monkeypatch, width):
    """The loss is the mean over counts of a loop, for all pairs at once and for a product of each."""
    monkeypatch.setattr(measured_module, "_MAX_WIDTH", width)
    rng, groups, sizes = np.random.default_rng(3), groups_of(), np.array([500.0, 500.0])
    parts = []
    for c in range(2):
        rows = [rng.dirichlet(np.ones(span.size), 7 + c) for span in LAYOUT.spans]
        rows[SPLIT] = np.eye(2)[np.full(7 + c, c)]
        parts.append(torch.tensor(np.concatenate(rows, axis=1), dtype=torch.float32, requires_grad=True))
    pairs, scale = [(0, 1), (0, 3), (1, 3)], 4.0
    one_way = Release(np.zeros(LAYOUT.width), 1e4)  # so that pairs decide
    one_way.values[LAYOUT.spans[SPLIT].slice] = sizes
    values, errors = np.zeros((2, LAYOUT.width, LAYOUT.width), dtype=np.float32), []
    for span in (LAYOUT.spans[j] for j in (0, 1, 3)):
        means = sum(
            part.detach().double().numpy()[:, span.slice].mean(axis=0) * n for part, n in zip(parts, sizes, strict=True)
        )
        errors += list(means / 1e4)
    for c, (part, n) in enumerate(zip(parts, sizes, strict=True)):
        gram = sum(np.outer(row, row) for row in part.detach().double().numpy()) * n / len(part)
        for i, j in pairs:
            rows, cols = (groups[c][LAYOUT.spans[k].slice] for k in (i, j))
            rows, cols = rows - rows[0], cols - cols[0]
            counts = rng.normal(0, 2, (rows.max() + 1, cols.max() + 1))
            values[c][LAYOUT.spans[i].slice, LAYOUT.spans[j].slice] = spread(counts, rows, cols)
            expected = summed(gram[LAYOUT.spans[i].slice, LAYOUT.spans[j].slice], rows, cols)
            errors += list(((expected - counts) / scale).ravel())
    table = PairTable(pairs, values, scale, groups)
    critic = MeasuredCritic(
        Measurements(SPLIT, one_way, None, None, table), LAYOUT, n_rows=1000, device=torch.device("cpu")
    )
    loss, _ = critic.compare(parts)
    assert float(loss.detach()) == pytest.approx(float(np.mean(np.square(errors))), rel=1e-3)
    slopes = torch.autograd.grad(loss, parts)
    monkeypatch.setattr(measured_module, "_MAX_WIDTH", 10**6 + 6 - width)
    other = MeasuredCritic(
        Measurements(SPLIT, one_way, None, None, table), LAYOUT, n_rows=1000, device=torch.device("cpu")
    )
    for ours, theirs in zip(slopes, torch.autograd.grad(other.compare(parts)[0], parts), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
