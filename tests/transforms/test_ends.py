"""Ends of columns: what is dropped because noise could fill it, what is kept, and how often it is wrong."""

import numpy as np
import pytest

from privsynth.transforms import ends
from privsynth.transforms.ends import is_clear, occupied_leaves, occupied_values

NOISE = 10.0


def slow(counts, noise, held, each):
    """The oracle: of all intervals around what is held the one with the most above `each`, the shortest of equals."""
    inner, outer = np.flatnonzero(held)[[0, -1]]
    found = []
    for first in range(inner + 1):
        for last in range(outer, len(counts)):
            if (first < inner and counts[inner] > 10 * noise[inner]) or (
                last > outer and counts[outer] > 10 * noise[outer]
            ):
                continue
            above = sum(counts[i] - each * noise[i] for i in range(first, last + 1))
            found.append((round(above, 6), first - last, first, last))
    return max(found)[2:]


@pytest.mark.parametrize("seed", range(50))
def test_ends_are_those_of_a_search(seed):
    rng = np.random.default_rng(seed)
    noise = rng.uniform(5, 15, 12)
    counts = np.rint(rng.normal(0, noise) + np.array([0, 0, 5, 15, 40, 90, 70, 130, 30, 10, 5, 0])[rng.permutation(12)])
    held = is_clear(counts, noise)
    held[rng.integers(12)] = True
    assert occupied_leaves(counts, noise, held, below=True, above=True) == slow(counts, noise, held, 0.5)
    assert occupied_leaves(counts, noise, held, below=False, above=False) == (0, 11)
    even = np.full(12, NOISE)
    if is_clear(counts, even).any():
        got = occupied_values(np.arange(12.0) + 5, counts, NOISE, whole=True, two=False)
        assert got == slow(counts, even, is_clear(counts, even), 1.5)


def false_codes(n=2_000):
    """Share of columns to which noise adds a value beyond 3 (8 rows of noise 1 there) where there are none."""
    rng = np.random.default_rng(0)
    drawn = np.array([0, 60.0, 70, 8, 0, 0, 0, 0, 0, 0]) * NOISE + np.rint(rng.normal(0, NOISE, (n, 10)))
    return np.mean([occupied_values(np.arange(10.0), c, NOISE, whole=True, two=False)[1] > 3 for c in drawn])


def test_noise_seldom_makes_a_value_of_its_own(monkeypatch):
    """One in 13 tails: above .115 of 2,000 with chance 1e-8. By the rule of intervals it is nearly half: the twin."""
    assert false_codes() < 0.115
    monkeypatch.setattr(ends, "_EACH_VALUE", 0.5)
    assert false_codes() > 0.2


def test_a_tail_is_kept_that_is_seen_together_only():
    """Seven intervals of 1.5 deviations each: none is clear, nearly all are kept; of seven empty ones 1.2 are."""
    rng = np.random.default_rng(0)
    noise = np.full(8, NOISE)
    held = np.arange(8) == 0

    def kept(rows):
        drawn = np.append([60.0], np.full(7, rows)) + rng.normal(0, NOISE, (1_000, 8))
        return np.mean([occupied_leaves(c, noise, held, below=True, above=True)[1] for c in drawn])

    assert kept(15.0) > 6  # of seven; the mean of 1,000 is off by .2 with chance 1e-5
    assert kept(0.0) < 1.6


def test_behind_a_cliff_there_is_nothing(monkeypatch):
    counts, noise = np.array([15.0, 500.0, 500.0, 15.0]), np.full(4, NOISE)
    assert occupied_leaves(counts, noise, is_clear(counts, noise), below=True, above=True) == (1, 2)
    monkeypatch.setattr(ends, "_CLIFF", 100.0)
    assert occupied_leaves(counts, noise, is_clear(counts, noise), below=True, above=True) == (0, 3)


@pytest.mark.parametrize(
    ("values", "counts", "told", "found"),
    [
        ([0, 1, 2, 3], [0, 5, 60, 900], {}, (1, 3)),  # on to 1, and not to 0
        ([0, 1, 2, 3], [0, 5, 5, 60], {}, (1, 3)),
        ([1, 2, 3, 4, 5], [5, 0, 0, 60, 900], {}, (3, 4)),  # 4 is far from 1
        ([0, 1, 2, 3], [0, 5, 600, 900], {}, (2, 3)),  # 2 and 3, as some write a class
        ([1, 2, 3, 4], [5, 60, 900, 900], {"whole": False}, (1, 3)),  # tenths
        ([2, 3, 4], [60, 900, 900], {}, (0, 2)),  # 1 is out of range
        ([0, 1, 2, 3], [0, 5, 60, 900], {"two": True}, (2, 3)),
        ([0, 1, 2, 3], [9, 20, 900, 10], {"two": True}, (1, 2)),
        ([0, 1, 2, 3], [9, 20, 10, 10], {}, None),
        ([4], [900], {"two": True}, (0, 0)),
    ],
)
def test_values(values, counts, told, found):
    told = {"whole": True, "two": False, **told}
    assert occupied_values(np.array(values, dtype=float), np.array(counts, dtype=float), NOISE, **told) == found


def test_without_noise_ends_are_exact():
    counts = np.array([0.0, 0, 1, 0, 5, 1, 0])
    assert occupied_leaves(counts, np.zeros(7), is_clear(counts, np.zeros(7)), below=True, above=True) == (2, 5)
    assert occupied_values(np.arange(7.0), counts, 0.0, whole=True, two=False) == (2, 5)
