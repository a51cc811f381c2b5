"""A many-run membership audit of a whole fit: the same table with and without one row, again and again.

What is fitted is the caller's business: a callable fits once and says how much the result looks like the table
*with* the row, in noise standard deviations of what was released. The threshold is fixed before the first run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, norm

from privsynth._checks import check_int, check_real
from privsynth.evaluation.audit import Audit, Bound, Progress, no_progress
from privsynth.evaluation.bounds import many_run_epsilon, many_run_mu
from privsynth.privacy.accountant import total_delta, total_mu
from privsynth.privacy.certificate import Certificate
from privsynth.privacy.events import PureDP

FloatArray = npt.NDArray[np.float64]
_TRIALS = 2000
_THRESHOLDS = np.linspace(-1.0, 8.0, 181)


@dataclass(frozen=True)
class Fitted:
    """What one fit gave the attacker.

    Parameters
    ----------
    statistic : float
        By how many of its own standard deviations of noise a weighted sum of releases lies above its value on the
        table without the row.
    certificate : Certificate
        What the fit claims.
    """

    statistic: float
    certificate: Certificate


@dataclass(frozen=True)
class _Claim:
    """What all certificates of the fits claim, and what no event of theirs exceeds."""

    epsilon: float
    delta: float
    mu: float
    pure_epsilon: float
    failure: float

    @classmethod
    def of(cls, certificates: list[Certificate]) -> _Claim:
        events = [[charge.event for charge in certificate.charges] for certificate in certificates]
        return cls(
            epsilon=max(certificate.epsilon for certificate in certificates),
            delta=max(certificate.delta for certificate in certificates),
            mu=max(total_mu(listed) for listed in events),
            pure_epsilon=max(sum(e.epsilon for e in listed if isinstance(e, PureDP)) for listed in events),
            failure=max(total_delta(listed) for listed in events),
        )


@dataclass(frozen=True)
class _Question:
    """A claim, and tests of "with" against "without": thresholds, and the bound that rates give at a confidence.

    With k thresholds each test errs with probability (1 - confidence) / k at most, so the best bound holds too.
    """

    quantity: str
    claim: float
    thresholds: tuple[float, ...]
    rates_bound: Callable[[npt.ArrayLike, npt.ArrayLike, float], FloatArray]
    confidence: float

    def bound(self, hits: npt.ArrayLike, alarms: npt.ArrayLike) -> FloatArray:
        """Return the bound that one threshold gives."""
        return self.rates_bound(hits, alarms, 1 - (1 - self.confidence) / len(self.thresholds))

    def counts(self, statistics: FloatArray) -> list[int]:
        """Return how many runs each test calls "with"."""
        return [int((statistics > threshold).sum()) for threshold in self.thresholds]

    def expected(self, effect: float, runs: int, rng: np.random.Generator) -> float:
        """Return the median bound where the statistic is N(0, 1) without and N(effect, 1) with the row."""
        hits = [rng.binomial(runs, norm.sf(t - effect), size=_TRIALS) for t in self.thresholds]
        alarms = [rng.binomial(runs, norm.sf(t), size=_TRIALS) for t in self.thresholds]
        return float(np.median(np.max([self.bound(*pair) for pair in zip(hits, alarms, strict=True)], axis=0)))

    def false_alarm(self, effect: float, runs: int) -> float:
        """Return at most how often the bound exceeds the claim then."""
        counts = np.arange(runs + 1)
        exceeded = self.bound(counts[:, None], counts[None, :]) > self.claim
        return sum(
            float(binom.pmf(counts, runs, norm.sf(t - effect)) @ exceeded @ binom.pmf(counts, runs, norm.sf(t)))
            for t in self.thresholds
        )


def audit_membership(
    fit_once: Callable[[bool], Fitted],
    *,
    runs: int = 300,
    effect: float,
    confidence: float = 0.95,
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> Audit:
    """Audit a fit by telling tables with a row from tables without it.

    Parameters
    ----------
    fit_once : callable
        ``fit_once(member)`` fits a table with (True) or without (False) the row, by fresh noise.
    runs : int
        How many fits each way, at least 20.
    effect : float
        How far the row moves the statistic where noise is as stated: it sets the thresholds and what to expect, and is
        no part of the claim.
    confidence : float
        Of each bound. Either of the two rates behind it may be wrong with half of the rest.
    rng : numpy Generator
        For the simulated runs that tell what to expect, and for the order of the fits.

    Returns
    -------
    Audit
        A bound on epsilon at the certificate's delta, and one on the mu of all its Gaussian and exponential
        mechanisms together (`privsynth.evaluation.bounds.many_run_mu` says exactly which claim that is).
    """
    start = time.perf_counter()
    runs = check_int("audit_membership", "runs", runs, low=20)
    check_real("audit_membership", "confidence", confidence, low=0.5, high=1.0, high_open=True)
    check_real("audit_membership", "effect", effect, low=0.0, low_open=True, high=math.inf, high_open=True)
    members = rng.permutation(np.repeat([False, True], runs))
    fitted = []
    for done, member in enumerate(members, start=1):
        fitted.append(fit_once(bool(member)))
        progress("fits with and without the row", done, len(members), {})
    statistics = np.array([one.statistic for one in fitted])
    claim = _Claim.of([one.certificate for one in fitted])
    bounds = []
    for question in _questions(claim, effect, runs, confidence):
        hits, alarms = question.counts(statistics[members]), question.counts(statistics[~members])
        lower = max(float(question.bound(*pair)) for pair in zip(hits, alarms, strict=True))
        evidence: dict[str, float] = {}
        for threshold, hit, alarm in zip(question.thresholds, hits, alarms, strict=True):
            evidence |= {f"above {threshold:.2f} with": hit, f"above {threshold:.2f} without": alarm}
        evidence["chance of false alarm"] = question.false_alarm(effect, runs)
        expected, reach = question.expected(effect, runs, rng), float(question.bound(runs, 0))
        bounds.append(Bound(question.quantity, question.claim, lower, expected, reach, evidence))
    facts = {"fits each way": runs, "deviations that the row moves the statistic by": effect}
    return Audit("fit: many runs with and without one row", tuple(bounds), facts, time.perf_counter() - start)


def _questions(claim: _Claim, effect: float, runs: int, confidence: float) -> list[_Question]:
    """Fix the thresholds: the midpoint, where both rates are known well; for epsilon also what promises most."""

    def epsilon(hits: npt.ArrayLike, alarms: npt.ArrayLike, confidence: float) -> FloatArray:
        return many_run_epsilon(hits, alarms, runs, delta=claim.delta, confidence=confidence)

    def mu(hits: npt.ArrayLike, alarms: npt.ArrayLike, confidence: float) -> FloatArray:
        return many_run_mu(
            hits, alarms, runs, pure_epsilon=claim.pure_epsilon, failure=claim.failure, confidence=confidence
        )

    power, size = norm.sf(_THRESHOLDS - effect), norm.sf(_THRESHOLDS)
    promised = epsilon(np.floor(runs * power), np.ceil(runs * size), confidence)
    best = (float(_THRESHOLDS[promised.argmax()]),) if promised.max() > 0 else ()
    return [
        _Question(f"epsilon at delta={claim.delta:.2g}", claim.epsilon, (effect / 2, *best), epsilon, confidence),
        _Question("mu of Gaussian DP", claim.mu, (effect / 2,), mu, confidence),
    ]
