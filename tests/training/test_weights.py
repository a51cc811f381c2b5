"""Noise of pairs beside each other: against loops, what a row moves, and the noise that is drawn."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from privsynth.errors import PrivacyError
from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms import Mechanisms, Release
from privsynth.privacy.noise import SecureNoise
from privsynth.training.measure import CLASS_COLUMNS, PAIRS, measure
from privsynth.training.releases import Releases
from privsynth.training.weights import _DEVIATION, _REACH, _STEPS, relative_noise
from privsynth.transforms.layout import Layout
from tests.privacy.test_noise import has_gaussian_noise

SIZES = {"sex": 2, "shop": 12, "amount": 30, "hour": 24, "fraud": 2}
LAYOUT, SPLIT = Layout.of(SIZES), 4
EVERY = [(i, j) for j in range(4) for i in range(j)]
EVERY.sort()


def make_counts(n_rows=(20_000, 2_000), seed=0, even=5.0):
    rng = np.random.default_rng(seed)
    rows = [
        np.concatenate([rng.multinomial(n, rng.dirichlet(np.full(span.size, even))) for span in LAYOUT.spans])
        for n in n_rows
    ]
    return Release(np.array(rows) + rng.normal(0, 5, (len(n_rows), LAYOUT.width)), 5.0)


def slow_worth(pair, counts, groups, scale):
    """The sum over classes and groups of (d^2 / (d^2 + s^2))^1.5, one count after the other."""
    total = 0.0
    for c, row in enumerate(counts.values):
        cells = []
        for j in pair:
            span, sums = LAYOUT.spans[j], {}
            for cell in range(span.start, span.stop):
                group = cell if groups is None else int(groups[c, cell])
                sums[group] = sums.get(group, 0.0) + max(0.0, row[cell])
            cells.append(list(sums.values()))
        n = (sum(cells[0]) + sum(cells[1])) / 2
        for a in cells[0]:
            for b in cells[1]:
                rows = a / max(1.0, sum(cells[0])) * b / max(1.0, sum(cells[1])) * n * _DEVIATION
                total += (rows**2 / (rows**2 + scale**2)) ** 1.5
    return total


def expected_error(relative, counts, scale):
    """What cells that differ by `_DEVIATION` from independence are off by, summed over pairs: no weights known."""
    total = 0.0
    for (i, j), r in zip(EVERY, relative, strict=True):
        for row in counts.values:
            one, two = (np.clip(row[LAYOUT.spans[k].slice], 0, None) for k in (i, j))
            rows = np.outer(one / one.sum(), two / two.sum()) * (one.sum() + two.sum()) / 2 * _DEVIATION
            total += (1 / np.sqrt(1 / (scale * r) ** 2 + 1 / (rows + 1e-9) ** 2)).sum()
    return total


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("scale", [2.0, 40.0, 300.0])
def test_noise_is_that_of_a_loop(grouped, scale):
    counts = make_counts(seed=3)
    groups = None
    if grouped:
        groups = np.tile(np.arange(LAYOUT.width), (2, 1))
        groups[1] = np.concatenate(
            [j * 3 + np.arange(span.size) * 3 // span.size for j, span in enumerate(LAYOUT.spans)]
        )
        groups[1] = np.unique(groups[1], return_inverse=True)[1]
    found = relative_noise(EVERY, LAYOUT, counts, groups=groups, scale=scale)
    octaves = [-math.log2(slow_worth(pair, counts, groups, scale)) / 3 for pair in EVERY]
    steps = [round(_STEPS * min(_REACH, max(-_REACH, o - np.median(octaves)))) / _STEPS for o in octaves]
    norm = math.sqrt(np.mean([4.0**-s for s in steps]))
    np.testing.assert_allclose(found, [2.0**s * norm for s in steps])


@given(st.lists(st.integers(0, 30_000), min_size=1, max_size=3), st.floats(0.5, 5000), st.integers(0, 99))
def test_pairs_cost_together_what_equal_noise_costs(n_rows, scale, seed):
    counts = make_counts(n_rows, seed, even=0.3)
    found = relative_noise(EVERY, LAYOUT, counts, groups=None, scale=scale)
    assert (found**-2.0).sum() == pytest.approx(len(EVERY))
    assert found.max() / found.min() <= 4**_REACH * (1 + 1e-9)
    assert len(np.unique(found)) <= 1 + 2 * _REACH * _STEPS


@given(st.integers(500, 200_000), st.floats(1, 500), st.floats(0.2, 20), st.integers(0, 99))
def test_the_expected_error_is_less_than_with_equal_noise(n_rows, scale, even, seed):
    assume(scale < n_rows / 50)
    counts = make_counts((n_rows,), seed, even)
    found = relative_noise(EVERY, LAYOUT, counts, groups=None, scale=scale)
    equal = expected_error(np.ones(len(EVERY)), counts, scale)
    assert expected_error(found, counts, scale) <= equal * (1 + 1e-3)
    if found.max() > 1.5:  # the other way round would be seen
        assert expected_error(1 / found * math.sqrt((found**2.0).mean()), counts, scale) > equal


def make_codes(n_rows, seed):
    rng = np.random.default_rng(seed)
    codes = np.stack([(rng.random(n_rows) ** 2 * span.size).astype(int) for span in LAYOUT.spans], axis=1)
    codes[:, SPLIT] = rng.random(n_rows) < 0.3
    return codes


def release(codes, mu=0.5, *, noise=None, relative=None, chosen=None):
    mechanisms = Mechanisms(noise or SecureNoise(), private=True)
    for label in (CLASS_COLUMNS, PAIRS):
        mechanisms.allot(label, Gaussian(mu))
    one_way = Release(np.zeros(LAYOUT.width), 1.0)
    found = measure(
        codes, LAYOUT, one_way=one_way, split=SPLIT, conditions=[], mechanisms=mechanisms, relative=relative,
        columns=[None] * 5 if relative is None else None, chosen=chosen,
    )  # fmt: skip
    return found, {charge.label: charge for charge in mechanisms.charges}[PAIRS], mechanisms


class Kept(SecureNoise):
    """Real noise whose exact values are kept: never private."""

    secure = False


@pytest.fixture(autouse=True)
def _no_groups(monkeypatch):
    monkeypatch.setattr("privsynth.training.measure.group_cells", lambda *args, **kwargs: None)


def test_noise_follows_from_the_released_columns_by_class(monkeypatch):
    codes, seen = make_codes(8000, 0), []
    monkeypatch.setattr(
        "privsynth.training.measure.relative_noise",
        lambda pairs, layout, counts, **options: (
            seen.append(counts) or relative_noise(pairs, layout, counts, **options)
        ),
    )
    found, charge, _ = release(codes, mu=1.0)
    table = found.pairs
    assert [counts is found.class_columns for counts in seen] == [True]
    wanted = relative_noise(table.pairs, LAYOUT, found.class_columns, groups=None, scale=table.scale)
    np.testing.assert_allclose(table.relative, wanted)
    assert table.relative.max() / table.relative.min() > 1.5
    assert charge.scale == table.scale == pytest.approx(math.sqrt(6) / 1.0)
    assert charge.sensitivity == pytest.approx(math.sqrt(6))
    assert table.noise == dict(zip(table.pairs, table.relative.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_one_more_row_moves_pairs_by_their_sensitivity(seed):
    """The counts as the mechanism gets them, divided by their relative noise; were that forgotten, it would show."""
    codes = make_codes(40, seed)
    relative = np.random.default_rng(seed).uniform(0.3, 3.0, len(EVERY))
    sensitivity = math.sqrt((relative**-2.0).sum())
    tapes = []
    for rows in (codes, codes[:-1]):
        _, charge, mechanisms = release(rows, noise=Kept(), relative=relative, chosen=EVERY)
        tapes.append(dict(mechanisms.tape)[PAIRS])
        assert charge.sensitivity == pytest.approx(sensitivity)
        assert charge.scale == pytest.approx(sensitivity / 0.5)
    moved = tapes[0] - tapes[1]
    assert np.linalg.norm(moved) == pytest.approx(sensitivity)
    np.testing.assert_allclose(np.sort(moved[moved > 0]), np.sort(1 / relative))


def test_each_pair_has_its_noise():
    """False alarm: 1e-6 a pair; the noise of all alike fails."""
    codes = np.zeros((3, 5), dtype=np.int64)
    relative = 2.0 ** np.array([-1.5, -1, -0.5, 0, 0.5, 1])
    errors = {pair: [] for pair in EVERY}
    for _ in range(40):
        found, charge, _ = release(codes, mu=0.02, relative=relative, chosen=EVERY)
        for i, j in EVERY:
            block = found.pairs.values[:, LAYOUT.spans[i].slice, LAYOUT.spans[j].slice].astype(float)
            block[0, 0, 0] -= 3
            errors[i, j].append(block.ravel())
    for pair, r in zip(EVERY, relative, strict=True):
        sample = np.concatenate(errors[pair])
        sample = sample + np.random.default_rng(0).uniform(-0.5, 0.5, sample.size)
        assert has_gaussian_noise(sample, math.hypot(charge.scale * r, math.sqrt(1 / 6)))
        assert r == 1 or not has_gaussian_noise(sample, charge.scale)


@pytest.mark.parametrize("bad", [[1.0, 0.0], [1.0, math.inf], [1.0, math.nan], [1.0, -1.0], [1.0]])
def test_relative_noise_that_is_none_is_refused_before_anything_is_read(bad):
    mechanisms = Mechanisms(SecureNoise(), private=True)
    mechanisms.allot("a", Gaussian(0.5))
    with pytest.raises(PrivacyError, match="relative noise"):
        mechanisms.counts("a", np.array([3, 4]), sensitivity=1.0, relative=np.array(bad))
    assert mechanisms.charges == ()


class Lists:
    """A certificate that lists any noise."""

    def lists(self, scale, *labels, once=False):
        return True


def parts_of(room=None):
    found, _, _ = release(make_codes(8000, 1), mu=0.1)
    return found, *Releases.of(found, LAYOUT, room=room).to_parts()


@pytest.mark.parametrize("room", [None, 1500])
def test_relative_noise_is_kept_with_the_counts(room):
    found, facts, tensors = parts_of(room)
    back = Releases.from_parts(facts, tensors, LAYOUT, SPLIT, Lists())
    table = back.to_measurements(found.one_way, LAYOUT).pairs
    assert (len(table.pairs) < len(EVERY)) == (room is not None)
    assert table.noise == {pair: found.pairs.noise[pair] for pair in table.pairs}
    kept = back.tables["pairs"]
    assert [kept.scale_of(k) for k in range(len(kept.pairs))] == [
        pytest.approx(found.pairs.scale * found.pairs.noise[pair]) for pair in kept.pairs
    ]


@pytest.mark.parametrize("room", [None, 1500])
@pytest.mark.parametrize("lie", ["less noise", "negative", "one too few", "text"])
def test_relative_noise_that_no_fit_writes_is_refused(room, lie):
    _, facts, tensors = parts_of(room)
    given = facts["pairs"]["relative"]
    facts["pairs"]["relative"] = {
        "less noise": [r / 3 for r in given], "negative": [-r for r in given], "one too few": given[1:], "text": "none",
    }[lie]  # fmt: skip
    with pytest.raises((ValueError, TypeError)):
        Releases.from_parts(facts, tensors, LAYOUT, SPLIT, Lists())


def test_more_noise_than_was_paid_for_is_refused_where_all_pairs_are_kept():
    _, facts, tensors = parts_of()
    facts["pairs"]["relative"] = [3 * r for r in facts["pairs"]["relative"]]
    with pytest.raises(ValueError, match="costs other"):
        Releases.from_parts(facts, tensors, LAYOUT, SPLIT, Lists())
