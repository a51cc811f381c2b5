"""The mixture against enumeration of every cell of tiny layouts."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from privsynth.errors import ConditionError
from privsynth.training.mixture import Mixture
from privsynth.transforms.layout import Layout

FALSE_ALARM = 1e-6
N = 40_000


@st.composite
def mixtures(draw):
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    layout = Layout.of({f"c{j}": size for j, size in enumerate(sizes)})
    k = draw(st.integers(1, 4))
    share = st.integers(0, 5)

    def simplex(n):
        values = np.array(draw(st.lists(share, min_size=n, max_size=n)), dtype=float)
        values[0] += values.sum() == 0
        return values / values.sum()

    rows = [np.concatenate([simplex(size) for size in sizes]) for _ in range(k)]
    return Mixture(simplex(k), np.stack(rows), layout)


def table_of(mixture):
    """Return the probability of every row of cells, by plain sums."""
    spans = mixture.layout.spans
    table = {}
    for cells in itertools.product(*(range(span.size) for span in spans)):
        table[cells] = sum(
            weight * np.prod([row[span.start + cell] for span, cell in zip(spans, cells, strict=True)])
            for weight, row in zip(mixture.weights, mixture.probabilities, strict=True)
        )
    return table


@given(mixtures(), st.data())
def test_condition_is_bayes_rule(mixture, data):
    shares = st.sampled_from([0.0, 0.25, 1.0])
    allowed = {
        span.name: np.array(data.draw(st.lists(shares, min_size=span.size, max_size=span.size)))
        for span in data.draw(st.lists(st.sampled_from(mixture.layout.spans), unique=True))
    }
    table = table_of(mixture)
    names = mixture.layout.names
    kept = {
        cells: p * np.prod([allowed[n][c] for n, c in zip(names, cells, strict=True) if n in allowed])
        for cells, p in table.items()
    }
    total = sum(kept.values())
    if total == 0:
        with pytest.raises(ConditionError, match="probability zero"):
            mixture.condition(allowed)
        return
    conditioned, probability = mixture.condition(allowed)
    assert probability == pytest.approx(total)
    for cells, p in table_of(conditioned).items():
        assert p == pytest.approx(kept[cells] / total, abs=1e-12)
    assert conditioned.weights.sum() == pytest.approx(1)


@given(mixtures())
def test_log_prob(mixture):
    table = {cells: p for cells, p in table_of(mixture).items() if p > 0}
    logs = mixture.log_prob(np.array(list(table)))
    np.testing.assert_allclose(np.exp(logs), list(table.values()), rtol=1e-9)


def a_mixture():
    layout = Layout.of({"a": 2, "b": 3})
    probabilities = np.array([[0.9, 0.1, 0.2, 0.3, 0.5], [0.2, 0.8, 0.0, 1.0, 0.0], [0.5, 0.5, 0.6, 0.0, 0.4]])
    return Mixture(np.array([0.5, 0.4, 0.1]), probabilities, layout)


def draws_from(mixture, rows):
    """Whether rows of cells come as often as enumeration says (chi-square), and never where it says zero."""
    table = table_of(mixture)
    counts = dict.fromkeys(table, 0)
    for cells, count in zip(*np.unique(rows, axis=0, return_counts=True), strict=True):
        counts[tuple(cells.tolist())] += count
    possible = [cells for cells, p in table.items() if p > 0]
    if sum(counts[cells] for cells in possible) != len(rows):
        return False
    expected = np.array([table[cells] for cells in possible]) * len(rows)
    return stats.chisquare([counts[cells] for cells in possible], expected).pvalue >= FALSE_ALARM


CONDITION = {"a": np.array([1.0, 0.5]), "b": np.array([1.0, 1.0, 0.0])}


def test_rows_are_drawn_by_their_probability():
    mixture = a_mixture()
    assert draws_from(mixture, mixture.draw(N, np.random.default_rng(0)))
    conditioned, _ = mixture.condition(CONDITION)
    assert draws_from(conditioned, conditioned.draw(N, np.random.default_rng(1)))


DEMANDS = {"a": np.array([[1.0, 0.5], [0.0, 1.0]]), "b": np.array([[1.0, 1.0, 0.0], [0.2, 0.0, 1.0], [0.3, 1.0, 0.1]])}


@pytest.mark.parametrize("at_once", [2, 1024])
def test_each_row_is_drawn_under_its_own_demands(monkeypatch, at_once):
    monkeypatch.setattr("privsynth.training.mixture._AT_ONCE", at_once)
    mixture, rng, n = a_mixture(), np.random.default_rng(0), N if at_once > 2 else 6000
    which = {name: rng.integers(0, len(shares), n) for name, shares in DEMANDS.items()}
    rows = mixture.draw_each({name: (shares, which[name]) for name, shares in DEMANDS.items()}, rng)
    for a, b in itertools.product(range(2), range(3)):
        here = rows[(which["a"] == a) & (which["b"] == b)]
        assert draws_from(mixture.condition({"a": DEMANDS["a"][a], "b": DEMANDS["b"][b]})[0], here)
        if at_once > 2:
            assert not draws_from(mixture.condition({"a": DEMANDS["a"][a], "b": DEMANDS["b"][b - 1]})[0], here)


def test_demands_that_no_row_can_meet():
    mixture = Mixture(np.ones(1), np.array([[0.5, 0.5, 1.0, 0.0]]), Layout.of({"a": 2, "b": 2}))
    first, none = np.array([[1.0, 0.0]]), np.zeros(3, dtype=np.int64)
    assert (
        mixture.draw_each({"a": (first, none), "b": (first, none)}, np.random.default_rng(0)).tolist() == [[0, 0]] * 3
    )
    with pytest.raises(ConditionError, match="'a', 'b' together"):
        mixture.draw_each({"a": (first, none), "b": (first[:, ::-1], none)}, np.random.default_rng(0))


def unweighted_components(mixture):
    return Mixture(np.full(3, 1 / 3), mixture.probabilities, mixture.layout)


def independent_columns(mixture):
    mean = mixture.weights @ mixture.probabilities
    return Mixture(np.ones(1), mean[None], mixture.layout)


def shifted_cells(mixture):
    return Mixture(mixture.weights, np.roll(mixture.probabilities, 1, axis=0), mixture.layout)


def prior_weights(mixture):
    return Mixture(a_mixture().weights, mixture.probabilities, mixture.layout)


@pytest.mark.parametrize("fault", [unweighted_components, independent_columns, shifted_cells, prior_weights])
def test_the_check_has_power(fault):
    conditioned, _ = a_mixture().condition(CONDITION)
    assert not draws_from(conditioned, fault(conditioned).draw(N, np.random.default_rng(0)))


class Extreme:
    """Uniforms at the very ends of [0, 1), which no test of ordinary length meets."""

    def __init__(self, value):
        self.value = value

    def permutation(self, n):
        return np.arange(n)

    def random(self, n):
        return np.full(n, self.value)


@pytest.mark.parametrize("uniform", [0.0, np.nextafter(1.0, 0.0)])
def test_cells_of_probability_zero_are_never_drawn_not_even_at_the_ends(uniform):
    k = 4096
    probabilities = np.tile([0.0, 1.0, 0.0, 0.0, 0.3, 0.7, 0.0], (k, 1))
    mixture = Mixture(np.full(k, 1 / k), probabilities, Layout.of({"a": 3, "b": 4}))
    cells = mixture.draw(k, Extreme(uniform))
    assert set(cells[:, 0]) == {1}
    assert set(cells[:, 1]) <= {1, 2}


def test_components_and_their_cells_come_as_often_as_they_should():
    """Systematic sampling: within a row of the expectation, where independent draws would be off by its root."""
    mixture, n = a_mixture(), 10_000
    rows = mixture.draw(n, np.random.default_rng(0))
    apart = Mixture(mixture.weights, np.eye(3), Layout.of({"a": 3}))
    off = np.bincount(apart.draw(n, np.random.default_rng(0))[:, 0], minlength=3) - n * mixture.weights
    assert np.abs(off).max() <= 1
    expected = n * (mixture.weights @ mixture.probabilities)
    counts = np.concatenate([np.bincount(rows[:, 0], minlength=2), np.bincount(rows[:, 1], minlength=3)])
    assert np.abs(counts - expected).max() <= 2 * len(mixture.weights)


def test_every_place_in_a_draw_has_the_same_distribution():
    """Few rows at a time, first and last apart: false alarm 4e-6 in all."""
    mixture, rng = a_mixture(), np.random.default_rng(0)
    drawn = np.stack([mixture.draw(3, rng) for _ in range(N // 4)])
    for place in range(3):
        assert draws_from(mixture, drawn[:, place])
    assert draws_from(mixture, np.stack([mixture.draw(1, rng)[0] for _ in range(N // 4)]))


def test_no_rows():
    assert a_mixture().draw(0, np.random.default_rng(0)).shape == (0, 2)


def test_conditioning_leaves_the_mixture_alone():
    mixture = a_mixture()
    before = mixture.probabilities.copy()
    mixture.condition(CONDITION)
    assert (mixture.probabilities == before).all()


def test_a_class_without_weight_cannot_be_asked_for():
    mixture = Mixture(np.array([1.0, 0.0]), np.array([[1.0, 0.0], [0.0, 1.0]]), Layout.of({"class": 2}))
    with pytest.raises(ConditionError, match=r"conditions on 'class' together.*Widen"):
        mixture.condition({"class": np.array([0.0, 1.0])})
