"""The accountant between PLD's bounds on a small grid of what fits do; benchmarks/accounting_grid.py has the large one.

PLD (`dp_accounting`) composes each event by its own worst pair of laws: for a pick of the exponential mechanism that
is randomised response with half of eta (docs/privacy.md), not the Gaussian that we bound it by. With its losses
rounded down it is a lower bound of the least valid epsilon, whichever direction is worse.
"""

import logging
import math

import pytest
from dp_accounting.pld import privacy_loss_distribution as pld

from privsynth.privacy import accountant
from privsynth.privacy.accountant import epsilon_of
from privsynth.privacy.events import BoundedRange, Failure, Gaussian, PureDP, SubsampledGaussian

# As in certificates of fits: pure epsilons, mu of all Gaussians, DP-SGD, picks, delta, failures
FITS = [
    ((0.006,), 0.0867, None, (), 1e-5, 1e-6),
    ((0.02, 0.02), 0.2566, None, (), 1e-5, 1e-6),
    ((0.2,), 1.96, None, (), 1e-5, 1e-6),
    ((0.006,), 0.08201, (10.74, 0.02545, 100), ((0.01353, 1),), 1e-5, 1e-6),
    ((0.02,), 0.2129, (6.045, 0.02109, 300), ((0.0186, 21), (0.03479, 1)), 1e-6, 1e-7),
    ((0.02,), 0.07048, (1.38, 0.02543, 100), (), 1e-5, 1e-6),
    ((0.2,), 1.854, (0.7686, 0.0256, 100), ((0.3061, 1),), 1e-5, 1e-6),
    ((), 0.0, (0.8, 0.002, 300), (), 1e-5, 0.0),
    ((), 0.0, (30.0, 0.34, 100), (), 1e-7, 0.0),
    ((), 0.3, (3.0, 1.0, 4), (), 1e-5, 0.0),
    ((), 0.25, None, ((0.4, 10),), 1e-5, 0.0),
    ((), 0.05, None, ((0.1, 3),), 1e-7, 0.0),
    ((), 1.0, None, ((1.5, 2),), 1e-6, 0.0),
    ((0.08,), 0.855, (1.2, 0.0256, 100), ((0.05, 10),), 1e-7, 1e-8),
]


@pytest.fixture(autouse=True)
def _quiet():
    """PLD says on each call that it rounds down without connect-the-dots."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def events_of(pure, mu, training, picks, failure):
    events = [*(PureDP(e) for e in pure), *(BoundedRange(eta, count) for eta, count in picks)]
    events += [Gaussian(mu)] if mu else []
    events += [SubsampledGaussian(*training)] if training else []
    return events + ([Failure(failure)] if failure else [])


def composed(mu, training, picks, *, safe, interval):
    options = {"pessimistic_estimate": safe, "value_discretization_interval": interval}
    parts = [pld.from_gaussian_mechanism(1 / mu, **options)] if mu else []
    if training:
        sigma, rate, steps = training
        parts.append(pld.from_gaussian_mechanism(sigma, sampling_prob=rate, **options).self_compose(steps))
    for eta, count in picks:
        likely, unlikely = -math.log1p(math.exp(-eta / 2)), -math.log1p(math.exp(eta / 2))
        pair = pld.from_two_probability_mass_functions({0: likely, 1: unlikely}, {0: unlikely, 1: likely}, **options)
        parts.append(pair.self_compose(count))
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.compose(part)
    return whole


def bounds(mu, training, picks, delta):
    """PLD's lower and upper bound of epsilon; either is off by up to an interval a composition."""
    low = composed(mu, training, picks, safe=False, interval=1e-4).get_epsilon_for_delta(delta)
    return low, composed(mu, training, picks, safe=True, interval=1e-3).get_epsilon_for_delta(delta)


def is_between(ours, low, high, picks):
    """Not below either bound, but for the 1e-3 that PLD rounds up; without picks at most 3 % above."""
    return low <= ours and 0.999 * high <= ours and (bool(picks) or ours <= 1.03 * high)


@pytest.mark.parametrize("fit", FITS)
def test_it_lies_between_the_bounds_of_pld(fit):
    pure, mu, training, picks, delta, failure = fit
    ours = epsilon_of(events_of(*fit[:4], failure), delta=delta) - sum(pure)
    low, high = bounds(mu, training, picks, delta - failure)
    assert is_between(ours, low, high, picks)
    if not picks:
        assert not is_between(0.96 * ours, low, high, picks)


def test_a_pick_at_less_than_its_bound_would_be_seen(monkeypatch):
    """The twin for picks: nine tenths of the mu that many picks add up to."""
    picks = ((1.5, 30),)
    low, high = bounds(0.0, None, picks, 1e-5)
    assert is_between(epsilon_of([BoundedRange(1.5, 30)], delta=1e-5), low, high, picks)
    monkeypatch.setattr(accountant, "exponential_mu", lambda eta: 0.9 * eta / math.sqrt(2 * math.pi))
    assert not is_between(epsilon_of([BoundedRange(1.5, 30)], delta=1e-5), low, high, picks)


@pytest.mark.parametrize("training", [(1.2, 0.0256, 100), (0.8, 0.002, 300), (5.0, 0.2, 100), (20.0, 0.5, 50)])
@pytest.mark.parametrize("delta", [1e-4, 1e-7])
def test_removing_a_row_is_the_worse_direction(training, delta):
    """PRV evaluates that one alone."""
    both = composed(0.2, training, (), safe=True, interval=1e-3)
    removing, adding = (part.get_epsilon_for_delta(delta) for part in (both._pmf_remove, both._pmf_add))
    assert adding <= removing == both.get_epsilon_for_delta(delta)
