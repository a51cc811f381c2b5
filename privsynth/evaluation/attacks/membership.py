r"""Membership inference: was this very row learned from?

The adversary holds rows of the population (a reference set) beside the synthetic table, and calls a row learned where
the synthetic density is high *compared with* the population's (van Breugel et al. 2023, "Membership inference attacks
against synthetic data through overfitting detection"). Densities are told by the nearest neighbour: with a row's
distances to the nearest reference row and to the nearest synthetic row,

.. math:: s(x) = \log(d_{reference}(x) + \eta) - \log(d_{synthetic}(x) + \eta).

A copied row has distance 0 and stands out. Half of the targets were learned; the upper half by s is called learned.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.evaluation.attacks.attack import Attack
from privsynth.evaluation.intervals import Rate, auc, bootstrap_interval, wilson_interval
from privsynth.evaluation.score import Score
from privsynth.evaluation.space import Space, at_most, distances, stacked

_ETA = 1e-3  # far below the distance of rows that are not copies
_FALSE_ALARMS = 0.01


def membership_inference(
    members: pd.DataFrame,
    outsiders: pd.DataFrame,
    synthetic: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    rng: np.random.Generator,
) -> Attack:
    """Tell rows that were learned from rows that were not.

    Parameters
    ----------
    members, outsiders : DataFrames
        Rows of the real table and rows of the holdout: as many of each are used.
    synthetic : DataFrame
    reference : DataFrame
        Rows of the holdout that are not among `outsiders`.

    Returns
    -------
    Attack
        The rates are those of being called learned.
    """
    n = min(len(members), len(outsiders))
    members, outsiders = at_most(members, n, rng), at_most(outsiders, n, rng)
    space = Space.fit(stacked([synthetic, reference], like=members), like=members)
    targets = np.vstack([space.points(members), space.points(outsiders)])
    near = [distances(targets, space.points(frame), 1)[:, 0] for frame in (reference, synthetic)]
    scores = np.log(near[0] + _ETA) - np.log(near[1] + _ETA)
    # Ties are broken at random: many rows are as near to both.
    order = np.lexsort((rng.random(2 * n), scores))
    is_called = np.zeros(2 * n, dtype=bool)
    is_called[order[n:]] = True
    return Attack(
        "Membership inference",
        Rate.of(is_called[:n]),
        Rate.of(is_called[n:]),
        Rate.of(rng.random(n) < 0.5),
        "How often an adversary with rows of the population calls a learned row learned; half of all rows are called "
        "so, and a coin gets 0.5.",
        "Worry when the attack lies above the control: the synthetic rows crowd around those that were learned.",
        more=(_auc_score(scores[:n], scores[n:], rng), _tail_score(scores[:n], scores[n:])),
        notes=(f"{n} learned and {n} other rows; {len(synthetic)} synthetic and {len(reference)} reference rows.",),
        control_is_guessing=True,
    )


def _auc_score(members: npt.NDArray[np.float64], outsiders: npt.NDArray[np.float64], rng: np.random.Generator) -> Score:
    low, high = bootstrap_interval(
        lambda rows: auc(members[rows], outsiders[rows]), len(members), rng, low=0.0, high=1.0
    )
    return Score(
        "Membership inference: ROC AUC",
        auc(members, outsiders),
        0.5,
        "lower",
        meaning="Chance that the adversary ranks a learned row above another one: 0.5 is guessing.",
        low=low,
        high=high,
        worry="Worry when its interval lies above 0.5.",
        section="privacy",
    )


def _tail_score(members: npt.NDArray[np.float64], outsiders: npt.NDArray[np.float64]) -> Score:
    """Return how many learned rows are found by an adversary who seldom errs (Carlini et al. 2022)."""
    threshold = np.sort(outsiders)[-1 - int(_FALSE_ALARMS * len(outsiders))]
    found = int((members > threshold).sum())
    low, high = wilson_interval(found, len(members))
    return Score(
        f"Membership inference: found at {_FALSE_ALARMS:.0%} false alarms",
        found / len(members),
        _FALSE_ALARMS,
        "lower",
        note="The interval counts the learned rows only; the threshold is set on the holdout and is uncertain too.",
        meaning="Share of learned rows that are found by an adversary who calls one other row in a hundred learned.",
        low=low,
        high=high,
        worry="Worry when its lower end is several times the reference: a few rows give themselves away.",
        section="privacy",
    )
