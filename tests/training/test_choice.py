"""The final choice: scores as a slow loop has them, moved by one row by one at most, paid for once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.errors import PrivacyError
from privsynth.privacy.events import BoundedRange, NonPrivate
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.training import choice as module
from privsynth.training.choice import choose_model
from privsynth.transforms.layout import Layout

LABEL = "final choice"
SIZES = {"a": 3, "b": 2, "c": 4, "d": 2}
LAYOUT = Layout.of(SIZES)


def make_codes(n_rows, seed):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, size, n_rows) for size in SIZES.values()], axis=1)
    codes[:, 1] = codes[:, 0] > 0
    return codes


def independent(codes, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(column) for column in codes.T], axis=1)


def choose(codes, candidates, *, layout=LAYOUT, n_rows=None, eta=1.0, seed=0, noise=None, private=True):
    """The chosen candidate and the exact scores."""
    mechanisms = Mechanisms(noise or NoNoise(), private=private)
    mechanisms.allot(LABEL, BoundedRange(eta, 1))
    best = choose_model(
        codes,
        candidates,
        layout,
        n_rows=n_rows or len(codes),
        mechanisms=mechanisms,
        label=LABEL,
        rng=np.random.default_rng(seed),
    )
    return best, dict(mechanisms.tape).get(LABEL), mechanisms


def slow_scores(codes, candidates, n_rows, seed):
    """The same marginals, counted row by row."""
    rng = np.random.default_rng(seed)
    marginals = [np.sort(rng.choice(4, 3, replace=False)) for _ in range(64)]
    scores = []
    for sample in candidates:
        errors = []
        for columns in marginals:
            counts = {}
            for row in codes[:, columns]:
                counts[tuple(row)] = counts.get(tuple(row), 0.0) - 1
            for row in sample[:, columns]:
                counts[tuple(row)] = counts.get(tuple(row), 0.0) + n_rows / len(sample)
            errors.append(sum(map(abs, counts.values())))
        scores.append(-np.mean(errors))
    return scores


@pytest.mark.parametrize("many", [0, 2**20])
def test_scores_equal_the_loop(monkeypatch, many):
    monkeypatch.setattr(module, "_MANY", many)  # all cells counted, or occupied ones only
    codes = make_codes(70, 0)
    candidates = [make_codes(100, 1), independent(codes), make_codes(31, 2)]
    best, scores, _ = choose(codes, candidates, n_rows=77, seed=3)
    np.testing.assert_allclose(scores, slow_scores(codes, candidates, 77, 3), rtol=1e-9)
    assert best == int(np.argmax(scores))


def test_the_truth_is_chosen():
    codes = make_codes(2000, 0)
    candidates = [independent(codes), codes.copy(), make_codes(2000, 1)[:, [0, 1, 2, 3]] * 0]
    for seed in range(5):
        assert choose(codes, candidates, seed=seed)[0] == 1
        assert choose(codes, candidates, seed=seed, noise=SecureNoise())[0] == 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), n_rows=st.integers(1, 40), where=st.integers(0, 39))
def test_one_row_moves_every_score_by_at_most_one(seed, n_rows, where):
    codes = make_codes(n_rows + 1, seed)
    candidates = [make_codes(50, seed + 1), independent(codes), codes[:1]]
    fewer = np.delete(codes, where % len(codes), axis=0)
    many, few = (choose(rows, candidates, n_rows=30, seed=seed)[1] for rows in (codes, fewer))
    assert np.abs(many - few).max() <= 1 + 1e-9
    assert np.abs(many - few).max() > 0.1


def test_it_is_charged_once_with_sensitivity_one():
    codes = make_codes(50, 0)
    _, _, mechanisms = choose(codes, [codes, codes], noise=SecureNoise(), eta=0.3)
    (charge,) = mechanisms.charges
    assert (charge.event, charge.sensitivity, charge.n_values) == (BoundedRange(0.3, 1), 1.0, 2)
    with pytest.raises(PrivacyError, match=LABEL):
        choose_model(
            codes, [codes], LAYOUT, n_rows=50, mechanisms=mechanisms, label=LABEL, rng=np.random.default_rng(0)
        )
    assert len(mechanisms.charges) == 1


def test_the_choice_is_the_noisy_one():
    """Where noise hides the scores each of two candidates is chosen at times; always the best, 1 in 2**40 by chance."""
    codes = make_codes(50, 0)
    chosen = {choose(codes, [independent(codes), codes], noise=SecureNoise(), eta=1e-9)[0] for _ in range(40)}
    assert chosen == {0, 1}
    silent = {choose(codes, [independent(codes), codes], noise=NoNoise(), eta=1e-9)[0] for _ in range(3)}
    assert silent == {1}


def test_without_privacy_the_best_wins_and_it_says_so():
    codes = make_codes(50, 0)
    best, _, mechanisms = choose(codes, [independent(codes), codes], noise=SecureNoise(), eta=1e-9, private=False)
    assert best == 1
    assert NonPrivate() in mechanisms.events


@pytest.mark.parametrize("n_columns", [1, 2])
def test_narrow_tables_have_marginals_too(n_columns):
    codes = make_codes(500, 0)[:, :n_columns]
    layout = Layout.of(dict(list(SIZES.items())[:n_columns]))
    assert choose(codes, [codes * 0, codes], layout=layout)[0] == 1
