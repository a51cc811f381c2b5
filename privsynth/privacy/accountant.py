r"""What privacy events cost together: one (epsilon, delta) from a list of events.

Each mechanism is written in Gaussian differential privacy (GDP; Dong, Roth, Su 2022), whose adaptive
composition is ``mu = sqrt(sum mu_i^2)``:

* a Gaussian mechanism of L2 sensitivity D and noise std s is D/s-GDP;
* an eta-bounded-range mechanism (the exponential mechanism ``exp(eta * score / (2 * sensitivity))``)
  is ``2 Phi^-1(1 / (1 + exp(-eta/2)))``-GDP, proof in docs/privacy.md;
* T Poisson-subsampled Gaussian steps compose numerically (PRV; Gopi, Lee, Wutschitz 2021) with all
  of the above, which enter as one Gaussian step of rate 1.

`PureDP` events are added by basic composition and `Failure` deltas are taken off delta first.

>>> round(epsilon_of([Gaussian(0.2), Gaussian(0.1)], delta=1e-5), 3)
0.82
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterable

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr  # what scipy.stats.norm calls, without its checks: fits ask a thousand times
from scipy.stats import norm

from privsynth.errors import PrivacyError
from privsynth.privacy.events import (
    BoundedRange,
    Event,
    Failure,
    Gaussian,
    NonPrivate,
    PureDP,
    SubsampledGaussian,
)

_MOST_PRV_STEPS = 10**7  # beyond, no grid is fine enough for an error per step that adds up to little
_HOPELESS = 200.0
"""A Renyi bound so far beyond any budget (30 at most) that the PRV accountant need not take minutes to sharpen it."""


def gdp_delta(epsilon: float, mu: float) -> float:
    """Return the delta of a mu-GDP mechanism at `epsilon` (Balle & Wang 2018, theorem 8)."""
    if mu == 0:
        return 0.0
    tail = math.exp(epsilon + log_ndtr(-epsilon / mu - mu / 2))
    return max(0.0, float(ndtr(-epsilon / mu + mu / 2)) - tail)


def gdp_epsilon(mu: float, delta: float) -> float:
    """Return the epsilon of a mu-GDP mechanism at `delta`, rounded up by 1e-9."""
    if gdp_delta(0.0, mu) <= delta:
        return 0.0
    high = 1.0
    while gdp_delta(high, mu) > delta:
        high *= 2
    return float(brentq(lambda e: gdp_delta(e, mu) - delta, 0.0, high, xtol=1e-12)) + 1e-9


def gdp_mu(epsilon: float, delta: float) -> float:
    """Return the largest mu whose GDP guarantee is (epsilon, delta), rounded down by 1e-9."""
    high = 1.0
    while gdp_delta(epsilon, high) < delta:
        high *= 2
    mu = float(brentq(lambda m: gdp_delta(epsilon, m) - delta, 1e-12, high, xtol=1e-14))
    return mu * (1 - 1e-9)


def exponential_mu(eta: float) -> float:
    """Return the GDP parameter of an eta-bounded-range mechanism (docs/privacy.md)."""
    return float(-2 * norm.ppf(1 / (1 + math.exp(eta / 2))))


def exponential_eta(mu: float) -> float:
    """Return the eta whose bounded-range mechanism is mu-GDP: the inverse of `exponential_mu`."""
    tail = float(norm.cdf(-mu / 2))
    return 2 * math.log((1 - tail) / tail)


def total_mu(events: Iterable[Event]) -> float:
    """Compose every event that is exactly GDP: the root of the sum of squares."""
    total = 0.0
    for event in events:
        if isinstance(event, Gaussian):
            total += event.mu**2
        elif isinstance(event, BoundedRange):
            total += event.count * exponential_mu(event.eta) ** 2
    return math.sqrt(total)


def total_delta(events: Iterable[Event]) -> float:
    """Add up the failure probabilities, which come off delta before anything else."""
    return sum(event.delta for event in events if isinstance(event, Failure))


def epsilon_of(events: Iterable[Event], *, delta: float) -> float:
    """Return the total epsilon of `events` at total `delta`.

    Parameters
    ----------
    events : iterable of Event
        Everything that one fit did to private rows. The parameters of all but the `PureDP` events
        must be fixed given the outcome of those (see docs/privacy.md on adaptivity).
    delta : float
        Total delta in (0, 1), failure probabilities included.

    Returns
    -------
    float
        An upper bound; infinite with a `NonPrivate` event, or when delta does not cover the failures.

    Raises
    ------
    PrivacyError
        For an event of no known kind: it is refused, never skipped.
    """
    events = list(events)
    unknown = [event for event in events if not isinstance(event, Event)]
    if unknown:
        raise PrivacyError(f"Unknown privacy event {unknown[0]!r}: refusing to account for it.")
    if any(isinstance(event, NonPrivate) for event in events):
        return math.inf
    rest = delta - total_delta(events)
    if rest <= 0:
        return math.inf
    first = sum(event.epsilon for event in events if isinstance(event, PureDP))
    steps = [event for event in events if isinstance(event, SubsampledGaussian)]
    mu = total_mu(events)
    if not steps:
        return first + gdp_epsilon(mu, rest)
    history = [(s.noise_multiplier, s.sampling_rate, s.steps) for s in steps]
    if mu > 0:
        history.insert(0, (1 / mu, 1.0, 1))
    return first + _prv_epsilon(history, rest)


def _rdp_epsilon(history: list[tuple[float, float, int]], delta: float) -> float:
    """Return the Renyi accountant's upper bound (Mironov 2017): looser, quick and always defined."""
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = list(history)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "optimal order is the largest alpha": still a valid bound
        return float(accountant.get_epsilon(delta))


def _prv_epsilon(history: list[tuple[float, float, int]], delta: float) -> float:
    """Return Opacus's PRV upper bound, or the Renyi bound where that is smaller or PRV fails."""
    from opacus.accountants import PRVAccountant

    rdp = _rdp_epsilon(history, delta)
    if rdp > _HOPELESS or sum(steps for _, _, steps in history) > _MOST_PRV_STEPS:
        return rdp
    accountant = PRVAccountant()
    accountant.history = list(history)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prv = float(accountant.get_epsilon(delta, eps_error=_prv_error(history, rdp)))
    except (RuntimeError, ValueError, MemoryError, OverflowError):
        return rdp
    return min(rdp, prv) if math.isfinite(prv) else rdp


def _prv_error(history: list[tuple[float, float, int]], rdp: float) -> float:
    """Return the slack of a PRV bound: 0.01, less below epsilon 1, more where a finer grid would take gigabytes.

    The grid has about epsilon * sqrt(steps) / slack points. The slack is part of the bound, which stays valid.
    """
    steps = sum(number for _, _, number in history)
    return max(min(0.01, rdp / 100), rdp * math.sqrt(steps) / 200_000)


def calibrate_noise_multiplier(
    events: Iterable[Event], *, sampling_rate: float, steps: int, epsilon: float, delta: float
) -> float:
    """Return the least noise multiplier with which DP-SGD steps fit beside `events`.

    Parameters
    ----------
    events : iterable of Event
        Everything else that the same fit does.
    sampling_rate : float
        Poisson rate q in (0, 1].
    steps : int
        Number of DP-SGD steps.
    epsilon, delta : float
        The total that all must meet together.

    Returns
    -------
    float
        sigma, rounded to the safe side: `epsilon_of` all events with it is <= `epsilon`.

    Raises
    ------
    PrivacyError
        When `events` alone already use up the budget.
    """
    events = list(events)
    refusal = PrivacyError(
        f"No noise makes {steps} DP-SGD steps fit into epsilon={epsilon:.4g}, delta={delta:.2g}: "
        "the other releases use it up. Lower their shares."
    )
    if epsilon_of(events, delta=delta) >= epsilon:
        raise refusal

    @functools.cache
    def excess(log_sigma: float) -> float:
        step = SubsampledGaussian(math.exp(log_sigma), sampling_rate, steps)
        return epsilon_of([*events, step], delta=delta) - epsilon

    low, high = -math.log(2), 0.0
    while excess(high) > 0:
        low, high = high, high + math.log(2)
        if high > math.log(1e6):
            raise refusal
    while excess(low) <= 0:
        if low < math.log(0.05):
            return math.exp(low)
        low, high = low - math.log(2), low
    log_sigma = float(brentq(excess, low, high, xtol=5e-4))
    while excess(log_sigma) > 0:
        log_sigma += 5e-4
    return math.exp(log_sigma)
