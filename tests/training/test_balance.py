"""Exchanges within components: gains as a recount finds them, what stays, nearer pairs, and no pair made rarer."""

import numpy as np
import pytest

import privsynth.training.balance as module
from privsynth.training.balance import Pairs, balance
from privsynth.training.mixture import Mixture
from privsynth.transforms.layout import Layout

LAYOUT = Layout.of({"class": 2, "a": 4, "b": 5, "c": 3})
STARTS = np.array([0, 2, 6, 11])


def make_mixture(seed=0, k=12):
    """A third of the components are of the second class; columns are related through the components."""
    rng = np.random.default_rng(seed)
    of_class = np.eye(2)[(np.arange(k) % 3 == 0).astype(int)]
    others = [rng.dirichlet(np.full(span.size, 0.5), size=k) for span in LAYOUT.spans[1:]]
    return Mixture(rng.dirichlet(np.full(k, 3.0)), np.hstack([of_class, *others]), LAYOUT)


def drawn(mixture, n_rows, rng):
    """Rows of independent draws in ascending components, and their components."""
    component = np.sort(rng.choice(len(mixture.weights), size=n_rows, p=mixture.weights))
    return mixture._draw_cells(component, rng), component


def balanced(mixture, cells, component, seed=1):
    return balance(cells, component, mixture.weights, mixture.probabilities, LAYOUT, np.random.default_rng(seed))


def slow_distance(mixture, cells, least=5.0):
    """Sum of (count - expected)^2 / expected over pairs of columns and classes, a pair of cells at a time."""
    total = 0.0
    for c in range(2):
        mine = mixture.probabilities[:, c] == 1
        rows = cells[cells[:, 0] == c]
        for i in range(1, 4):
            for j in range(i + 1, 4):
                for u in range(LAYOUT.spans[i].size):
                    for v in range(LAYOUT.spans[j].size):
                        chances = mixture.probabilities[:, STARTS[i] + u] * mixture.probabilities[:, STARTS[j] + v]
                        expected = len(cells) * (mixture.weights * chances)[mine].sum()
                        count = ((rows[:, i] == u) & (rows[:, j] == v)).sum()
                        total += (count - expected) ** 2 / expected if expected >= least else 0.0
    return total


def test_two_rows_exchange_where_a_recount_says_that_it_gains():
    """Every couple of a component by itself: cells of a column are exchanged if and only if the distance falls."""
    mixture, rng = make_mixture(), np.random.default_rng(0)
    cells, component = drawn(mixture, 150, rng)
    kinds, free = module._kinds(mixture.weights, mixture.probabilities, LAYOUT)
    assert free.tolist() == [1, 2, 3]
    assert [len(set(mixture.probabilities[kinds == kind, 0])) for kind in (0, 1)] == [1, 1]
    done = []
    for r, s in zip(*module._couples(component, rng), strict=True):
        for j in (1, 2, 3):
            pairs = Pairs(cells + STARTS, component, kinds, mixture.weights, mixture.probabilities)
            pairs.exchange(np.array([r]), np.array([s]), j, free[free != j])
            other = cells.copy()
            other[[r, s], j] = other[[s, r], j]
            gains = slow_distance(mixture, other) < slow_distance(mixture, cells) - 1e-9
            assert ((pairs.where - STARTS) == (other if gains else cells)).all()
            done.append(gains)
    assert 20 < sum(done) < len(done) - 20


def test_counts_are_kept_up_to_date():
    mixture, rng = make_mixture(), np.random.default_rng(0)
    cells, component = drawn(mixture, 2000, rng)
    kinds, free = module._kinds(mixture.weights, mixture.probabilities, LAYOUT)
    pairs = Pairs(cells + STARTS, component, kinds, mixture.weights, mixture.probabilities)
    for j in (1, 2, 3, 1):
        pairs.exchange(*module._couples(component, rng), j, free[free != j])
    again = Pairs(pairs.where, component, kinds, mixture.weights, mixture.probabilities)
    above = np.triu(np.ones((LAYOUT.width, LAYOUT.width), dtype=bool), 1)
    assert (pairs.where != cells + STARTS).any()
    assert pairs.off[:, above] == pytest.approx(again.off[:, above], abs=1e-6)


def test_components_and_their_columns_stay_and_pairs_come_nearer():
    mixture, rng = make_mixture(), np.random.default_rng(0)
    cells, component = drawn(mixture, 3000, rng)
    found = balanced(mixture, cells, component)
    for k in range(len(mixture.weights)):
        for j in range(4):
            assert sorted(found[component == k, j]) == sorted(cells[component == k, j])
    assert (found[:, 0] == cells[:, 0]).all()
    assert slow_distance(mixture, found) < 0.5 * slow_distance(mixture, cells)


def test_large_draws_and_large_tables_are_left_alone(monkeypatch):
    mixture, rng = make_mixture(), np.random.default_rng(0)
    cells, component = drawn(mixture, 500, rng)
    assert (balanced(mixture, cells, component) != cells).any()
    limits = {"_MOST_ROWS": 500, "_MOST_COUNTS": 2 * LAYOUT.width**2, "_MOST_WORK": 500 * 3**2}
    for limit, value in limits.items():
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, value)
            assert (balanced(mixture, cells, component) != cells).any()
            patch.setattr(module, limit, value - 1)
            assert balanced(mixture, cells, component) is cells
    certain = mixture.condition({"a": np.eye(4)[0], "b": np.eye(5)[0]})[0]
    cells, component = drawn(certain, 500, rng)
    assert balanced(certain, cells, component) is cells  # one column is free: there are no pairs


def test_many_certain_cells_are_one_kind(monkeypatch):
    mixture = make_mixture()
    monkeypatch.setattr(module, "_MOST_KINDS", 1)
    kinds, free = module._kinds(mixture.weights, mixture.probabilities, LAYOUT)
    assert set(kinds) == {0}
    assert free.tolist() == [1, 2, 3]


def z_of_rare_pairs(monkeypatch, least, n_draws=100, n_rows=2000):
    """How far pairs of cells that are expected in less than .3 rows of a draw are off that in many, in deviations."""
    monkeypatch.setattr(module, "_LEAST", least)
    rng = np.random.default_rng(3)
    layout = Layout.of({"a": 20, "b": 20, "c": 20})
    skewed = [rng.dirichlet(0.6 ** np.arange(20) * 3 + 0.03, size=60) for _ in range(3)]
    mixture = Mixture(np.full(60, 1 / 60), np.hstack(skewed), layout)
    expected = n_rows * (mixture.probabilities.T * mixture.weights) @ mixture.probabilities
    rare = np.kron(np.triu(np.ones((3, 3)), 1), np.ones((20, 20))).astype(bool) & (expected < 0.3)
    counts = []
    for _ in range(n_draws):
        hot = np.eye(layout.width)[mixture.draw(n_rows, rng) + np.array([0, 20, 40])].sum(axis=1)
        counts.append((hot.T @ hot)[rare].sum())
    return (np.mean(counts) - expected[rare].sum()) / (np.std(counts) / n_draws**0.5)


def test_rare_pairs_come_as_often_as_the_mixture_says(monkeypatch):
    """False alarm: 6e-5, a normal mean beyond 4 deviations."""
    assert abs(z_of_rare_pairs(monkeypatch, module._LEAST)) < 4


def test_rare_pairs_would_become_rarer_if_they_were_looked_at(monkeypatch):
    """The planted twin: exchanges that look at them find a better place for nearly all of them."""
    assert z_of_rare_pairs(monkeypatch, 1e-3) < -4
