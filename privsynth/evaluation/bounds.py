r"""Lower bounds on privacy parameters from guesses of who was in: pure statistics.

**One run** (Steinke, Nasr and Jagielski 2023, "Privacy auditing with one (1) training run", theorem 5.2). Each of m
canaries is in the table by a coin of its own; an auditor who sees what left the mechanism guesses r of the coins. If
the mechanism is (epsilon, delta)-DP, then with W ~ Binomial(r, 1 / (1 + exp(-epsilon)))::

    Pr[v or more right] <= Pr[W >= v] + 2 m delta max_{1 <= i <= v} Pr[v > W >= v - i] / i

The epsilons whose right side is at most 1 - confidence are refuted at that delta.

**One run, against a trade-off function** (the idea is that of Mahloujifar, Melis and Chaudhuri 2024, "Auditing
f-differential privacy in one run"; the proof is short). Let every test of "canary i is out" against "in", or the
other way round, with false-alarm probability x have power F(x) at most, F concave and increasing. Let W be the number
of right guesses, W_i the same without canary i. Whether i is guessed b while W_i >= k - 1 is an event of the outcome
and the *other* coins, so its probability given coin b is at most F of that given coin -b. With the concavity of F
over b and then over i::

    E[W; W >= k] = sum_i Pr[i right, W_i >= k - 1] <= m F(E[r - W; W >= k - 1] / m)

for every k (docs/howto-audit.md has each step). `one_run_refuted` asks whether any law of W obeys this and has
Pr[W >= v] >= 1 - confidence: going down from v, each level needs a least probability, and taking the least at each
level needs the least in total. For F(x) = exp(epsilon) x this comes close to the binomial tail of the theorem.

**Many runs**: Clopper-Pearson bounds on the rates of one test, fixed in advance.

>>> round(one_run_epsilon(75, 100, 1000, delta=1e-4, confidence=0.95), 3)
0.673
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri
from scipy.stats import beta, binom

_LARGEST = 64.0
_STEPS = 50  # of a bisection


def one_run_p_value(correct: int, guesses: int, canaries: int, *, epsilon: float, delta: float) -> float:
    """Return the most probable that `correct` or more right guesses can be under (epsilon, delta)-DP."""
    accuracy = 1 / (1 + math.exp(-epsilon))
    tail = float(binom.sf(correct - 1, guesses, accuracy))
    if delta == 0 or correct == 0:
        return min(1.0, tail)
    below = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, accuracy))  # Pr[v > W >= v - i], i = 1 .. v
    steepest = float((below / np.arange(1, correct + 1)).max())
    return min(1.0, tail + 2 * canaries * delta * steepest)


def one_run_epsilon(correct: int, guesses: int, canaries: int, *, delta: float, confidence: float) -> float:
    """Return an epsilon that one run refutes at `delta`, and with it every smaller one; 0 if it refutes none.

    Parameters
    ----------
    correct, guesses, canaries : int
        How many of how many guesses were right, of how many canaries.
    delta : float
        Where epsilon is bounded.
    confidence : float
        Such as 0.95. Another run exceeds the true epsilon with probability 1 - confidence at most.
    """

    def is_refuted(epsilon: float) -> bool:
        return one_run_p_value(correct, guesses, canaries, epsilon=epsilon, delta=delta) <= 1 - confidence

    return largest_refuted(is_refuted)


def one_run_mu(correct: int, guesses: int, canaries: int, *, confidence: float) -> float:
    """Return a mu whose Gaussian DP one run refutes, and with it that of every smaller one; 0 if it refutes none."""

    def is_refuted(mu: float) -> bool:
        return one_run_refuted(
            correct, guesses, canaries, inverse_power=gaussian_inverse_power(mu), confidence=confidence
        )

    return largest_refuted(is_refuted)


InversePower = Callable[[float], float]


def gaussian_inverse_power(mu: float) -> InversePower:
    """Return F^-1 of mu-GDP, for `one_run_refuted`."""
    return lambda power: float(ndtr(ndtri(power) - mu))


def curve_inverse_power(epsilons: Sequence[float], deltas: Sequence[float]) -> InversePower:
    """Return F^-1 of what is (epsilon, delta)-DP at several points: the most that one of them asks for.

    (epsilon, delta)-DP bounds the power at x by exp(epsilon) x + delta, and by 1 - exp(-epsilon) (1 - delta - x).
    """
    lines = [(math.exp(epsilon), delta) for epsilon, delta in zip(epsilons, deltas, strict=True)]

    def inverse(power: float) -> float:
        return max(max((power - d) / e, 1 - d - e * (1 - power), 0.0) for e, d in lines)

    return inverse


def one_run_refuted(
    correct: int, guesses: int, canaries: int, *, inverse_power: InversePower, confidence: float
) -> bool:
    """Return whether `correct` right guesses refute a trade-off function, by the second bound of this file.

    Parameters
    ----------
    inverse_power : callable
        F^-1: the least false-alarm probability of a test with the given power, in both directions.
    """
    total = 1 - confidence  # Pr[W >= v], all of it at v, where it asks for least below
    right, wrong = correct * total, (guesses - correct) * total  # E[W; W >= k], E[r - W; W >= k]
    for k in range(correct, 0, -1):
        if right > canaries:
            return True
        mass = (canaries * inverse_power(right / canaries) - wrong) / (guesses - k + 1)
        if mass <= 0:
            return False  # nothing more is asked for at this level, nor then at any other
        total, right, wrong = total + mass, right + (k - 1) * mass, wrong + (guesses - k + 1) * mass
        if total > 1:
            return True
    return False


def largest_refuted(is_refuted: Callable[[float], bool]) -> float:
    """Bisect for the largest parameter that is refuted, of those up to 64."""
    if not is_refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while is_refuted(high):
        if high >= _LARGEST:
            return high
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_refuted(middle) else (low, middle)
    return low


def lower_rate(hits: Any, runs: int, *, error: float) -> npt.NDArray[np.float64]:
    """Return the lower Clopper-Pearson bound of a probability; it is exceeded with probability 1 - `error` at least.

    >>> round(float(lower_rate(100, 100, error=0.025)), 3)
    0.964
    """
    hits = np.asarray(hits)
    return np.where(hits > 0, beta.ppf(error, np.maximum(hits, 1), runs - hits + 1), 0.0)


def upper_rate(hits: Any, runs: int, *, error: float) -> npt.NDArray[np.float64]:
    """Return the upper Clopper-Pearson bound of a probability."""
    return 1.0 - lower_rate(runs - np.asarray(hits), runs, error=error)


def many_run_epsilon(
    hits: Any, false_alarms: Any, runs: int, *, delta: float, confidence: float
) -> npt.NDArray[np.float64]:
    """Return an epsilon that the rates of one test refute at `delta`; 0 if they refute none.

    (epsilon, delta)-DP has TPR <= exp(epsilon) FPR + delta, and TNR <= exp(epsilon) FNR + delta. The two rates
    have a one-sided bound each, of error (1 - confidence) / 2, so both hold together.

    Parameters
    ----------
    hits, false_alarms : int or ndarray of int
        How many of `runs` runs with, and of `runs` runs without the row the test calls "with".
    """
    error = (1 - confidence) / 2
    tpr, fpr = lower_rate(hits, runs, error=error), upper_rate(false_alarms, runs, error=error)
    ratio = np.maximum((tpr - delta) / fpr, (1 - fpr - delta) / (1 - tpr))
    return np.log(np.maximum(ratio, 1.0))


def many_run_mu(
    hits: Any, false_alarms: Any, runs: int, *, pure_epsilon: float, failure: float, confidence: float
) -> npt.NDArray[np.float64]:
    """Return a mu that the rates of one test refute (Nasr et al. 2023, "Tight auditing"); 0 if they refute none.

    The claim: an outcome n of a `pure_epsilon`-DP mechanism comes first, and for *each* n the rest is mu-GDP, but for
    a probability `failure`. Let x_n be the test's false-alarm rate given n and p_n, p'_n the probabilities of n
    without and with the row. Then, as G(x) = Phi(Phi^-1(x) + mu) is concave and increasing and
    p'_n <= exp(pure_epsilon) p_n::

        TPR <= sum_n p'_n G(x_n) + failure <= G(exp(pure_epsilon) FPR) + failure

    so nothing has to be assumed of n, nor conditioned on, whatever the rest makes of it.
    """
    error = (1 - confidence) / 2
    tpr = np.maximum(lower_rate(hits, runs, error=error) - failure, 0.0)
    fpr = np.minimum(upper_rate(false_alarms, runs, error=error) * math.exp(pure_epsilon), 1.0)
    with np.errstate(invalid="ignore"):
        mu = ndtri(tpr) - ndtri(fpr)
    return np.where((tpr > 0) & (fpr < 1), np.maximum(np.nan_to_num(mu), 0.0), 0.0)
