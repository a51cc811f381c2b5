"""Shadow models of a synthesizer that copies, of one that blurs, and of one that looks at no row."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from privsynth.errors import DataError, ParameterError
from privsynth.evaluation.attacks import shadow_membership
from privsynth.evaluation.attacks.shadow import most_vulnerable
from tests.evaluation.populations import blurred, draw

REAL, HOLDOUT = draw(150, 0), draw(150, 1)


def blind(first_seed):
    """A synthesizer that draws from the population, whatever it is given."""
    seeds = itertools.count(first_seed)
    return lambda frame: draw(len(frame), next(seeds))


def blurring():
    seeds = itertools.count()
    return lambda frame: blurred(frame.sample(frac=1.0, replace=True, random_state=next(seeds)), next(seeds))


def attack(fit_sample, seed=0, **settings):
    rng = np.random.default_rng(seed)
    return shadow_membership(REAL, HOLDOUT, fit_sample=fit_sample, rng=rng, **settings)


@pytest.mark.parametrize("fit_sample", [lambda frame: frame, blurring()], ids=["copies", "blurs"])
def test_what_gives_outliers_away_is_caught(fit_sample):
    found = attack(fit_sample)
    assert found.level == "bad"
    assert found.attack.value > 0.75
    least, most = (binom.isf(chance, found.control.trials, 0.5) for chance in (1 - 1e-6, 1e-6))
    assert least <= found.control.hits <= most


def test_what_looks_at_no_row_is_not_called_a_leak():
    """A verdict is false once in 1000 times; the test itself errs once in a million."""
    found = [attack(blind(1000 * seed), seed) for seed in range(12)]
    assert sum(one.p_value < 0.05 for one in found) <= binom.isf(1e-6, len(found), 0.05)
    rights = sum(one.attack.hits for one in found)
    trials = sum(one.attack.trials for one in found)
    assert rights <= binom.isf(1e-6, trials, 0.5)


def test_every_fit_lacks_some_targets_and_holds_all_other_rows():
    sizes = []

    def fit_sample(frame):
        sizes.append(len(frame))
        assert not frame.isin(["never"]).any(axis=None)
        return draw(50, len(sizes))

    attack(fit_sample, fits=8, targets=10)
    assert len(sizes) == 8
    assert sum(sizes[:4]) == 4 * len(REAL) - 4 * 10 // 2  # in the fits that are learned from: half of the targets
    assert len(REAL) - 10 <= min(sizes) <= max(sizes) <= len(REAL)


def test_the_most_vulnerable_row_is_the_odd_one():
    odd = REAL.copy()
    odd.loc[7, ["region", "income", "visits"]] = ["moon", 1e9, 500]
    assert most_vulnerable(odd, 1, np.random.default_rng(0)).tolist() == [7]


def test_what_is_wrong_is_named():
    with pytest.raises(ParameterError, match="fits parameter of shadow_membership"):
        attack(blind(0), fits=2)
    with pytest.raises(ParameterError, match="fit_sample parameter"):
        attack("CTGAN")
    with pytest.raises(DataError, match="fit_sample must return a DataFrame"):
        attack(lambda frame: frame.drop(columns="age"))
