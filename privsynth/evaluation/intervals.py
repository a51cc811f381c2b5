r"""Intervals of rates and of means: all at 95 %.

A rate of k hits in n trials gets the interval of Wilson (1927): the rates p with
:math:`|k/n - p| \le z \sqrt{p (1 - p) / n}`. Unlike the textbook interval it is right for rates near 0 and 1, where
the rates of attacks lie. Other statistics of rows get the percentile bootstrap (Efron 1979), or the
delete-a-group jackknife where drawing rows again would take long.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import hypergeom, rankdata

GROUPS = 10  # of the jackknife
_T = 2.2621571628  # the 97.5 % quantile of Student's t with 9 degrees of freedom
_Z = 1.959963984540054  # the 97.5 % quantile of N(0, 1)


def wilson_interval(hits: float, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate; (0, 1) without trials.

    >>> low, high = wilson_interval(0, 100)
    >>> low, round(high, 3)
    (0.0, 0.037)
    """
    if trials == 0:
        return 0.0, 1.0
    share, shrink = hits / trials, 1 + _Z**2 / trials
    middle = (share + _Z**2 / (2 * trials)) / shrink
    half = _Z / shrink * math.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    # At 0 and 1 the ends are exact; rounding would leave them a hair beside.
    return (0.0 if hits == 0 else max(0.0, middle - half)), (1.0 if hits == trials else min(1.0, middle + half))


@dataclasses.dataclass(frozen=True)
class Rate:
    """How many of so many trials succeeded.

    Examples
    --------
    >>> Rate(30, 100).value, tuple(round(end, 3) for end in Rate(30, 100).interval)
    (0.3, (0.219, 0.396))
    """

    hits: int
    trials: int

    @property
    def value(self) -> float | None:
        """The share of hits; None without trials."""
        return self.hits / self.trials if self.trials else None

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson interval."""
        return wilson_interval(self.hits, self.trials)

    @classmethod
    def of(cls, success: npt.NDArray[np.bool_]) -> Rate:
        """Count an array of successes."""
        return cls(int(success.sum()), len(success))


def chance_of_excess(attack: Rate, control: Rate) -> float:
    """Return how often rates as far apart as these come about where both are the same: Fisher's exact test, one-sided.

    It is exact for exchangeable trials, so a verdict at 0.001 is wrong at most once in a thousand.

    >>> round(chance_of_excess(Rate(60, 100), Rate(50, 100)), 3)
    0.1
    """
    if not attack.trials or not control.trials:
        return 1.0
    total, hits = attack.trials + control.trials, attack.hits + control.hits
    return float(hypergeom.sf(attack.hits - 1, total, hits, attack.trials))


def bootstrap_interval(
    statistic: Callable[[npt.NDArray[np.intp]], float],
    n_rows: int,
    rng: np.random.Generator,
    *,
    draws: int = 200,
    low: float | None = None,
    high: float | None = None,
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a statistic of row numbers that are drawn again and again.

    The percentiles are moved by the bias: the mean of the draws less the statistic of all rows, which is not small for
    gaps and errors, that noise can only widen. Draws for which the statistic is NaN are left out; no interval is given
    if there are no others.

    Parameters
    ----------
    statistic : callable
        Takes an array of row numbers.
    n_rows : int
    rng : numpy Generator
    draws : int
    low, high : float, optional
        The range of the statistic.
    """
    found = np.array([statistic(rng.integers(n_rows, size=n_rows)) for _ in range(draws)])
    found = found[np.isfinite(found)]
    value = statistic(np.arange(n_rows))
    if not len(found) or not math.isfinite(value):
        return None, None
    ends = np.quantile(found, [0.025, 0.975]) - (found.mean() - value)
    # A statistic that is nearly always at its bound has a mean outside its percentiles.
    least, most = min(float(ends[0]), value), max(float(ends[1]), value)
    return (least if low is None else max(low, least)), (most if high is None else min(high, most))


def jackknife_error(left_out: npt.NDArray[np.float64]) -> float:
    """Return the standard error of a statistic from its values without each of the groups."""
    n = len(left_out)
    return math.sqrt((n - 1) / n * float(((left_out - left_out.mean()) ** 2).sum()))


def jackknife_interval(
    value: float | None, error: float | None, *, low: float = 0.0, high: float = math.inf
) -> tuple[float | None, float | None]:
    """Return the interval of a statistic with that standard error from ten groups, inside its range."""
    if value is None or error is None or not math.isfinite(error):
        return None, None
    return max(low, value - _T * error), min(high, value + _T * error)


def grouped_error(
    statistic: Callable[[npt.NDArray[np.intp], npt.NDArray[np.intp]], float],
    n_left: int,
    n_right: int,
    rng: np.random.Generator,
) -> float:
    """Return the jackknife error of a statistic of the rows of two tables; NaN for less than 20 rows of either."""
    if min(n_left, n_right) < 2 * GROUPS:
        return math.nan
    groups = [rng.integers(GROUPS, size=n) for n in (n_left, n_right)]
    return jackknife_error(
        np.array([statistic(*(np.flatnonzero(group != g) for group in groups)) for g in range(GROUPS)])
    )


def auc(above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]) -> float:
    """Return the chance that a value of `above` exceeds one of `below`; ties count half."""
    ranks = rankdata(np.concatenate([above, below]))
    n = len(above)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(below)))
