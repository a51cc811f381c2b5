"""Membership of the rows most at risk, by shadow models: the table is fitted again and again, with and without them.

The rows that are farthest from their neighbours are the ones that synthetic tables give away first (Meeus et al. 2023,
"Achilles' heels: vulnerable record identification in synthetic data publishing"). For each fit a coin is tossed for
every target, and the target is learned or left out. From the first half of the fits the adversary learns, for each
target, what a fit releases near it with it and without it (a threshold a target, as Carlini et al. 2022 have for
models). About the second half the adversary guesses. For the control the coins are tossed for rows of the holdout,
which are never learned: any guess about them is luck. The coins of the second half are fair and independent of all
else, so where nothing leaks the guesses are exactly so many independent tosses, however alike the targets are.

This is the attack that comes nearest to what differential privacy promises, and the dearest: so many fits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth._checks import check_int, parameter_error
from privsynth.errors import DataError
from privsynth.evaluation.attacks.attack import Attack
from privsynth.evaluation.intervals import Rate
from privsynth.evaluation.space import FloatArray, Space, at_most, distances, stacked

FitSample = Callable[[pd.DataFrame], pd.DataFrame]
_ETA = 1e-3
_NEIGHBOURS = 5
_MAX_NEIGHBOURHOOD = 20_000


def shadow_membership(
    real: pd.DataFrame,
    holdout: pd.DataFrame,
    *,
    fit_sample: FitSample,
    rng: np.random.Generator,
    fits: int = 32,
    targets: int = 10,
) -> Attack:
    """Fit with and without the most vulnerable rows, and tell from the samples which were learned.

    Parameters
    ----------
    real, holdout : DataFrames
        The most vulnerable rows of the real table are the targets, those of the holdout the control.
    fit_sample : callable
        ``fit_sample(frame)`` fits a synthesizer to the frame, by fresh randomness, and returns a synthetic frame.
    fits : int
        How many fits, at least 4. Half of them are guessed about.
    targets : int
        How many rows are attacked.

    Returns
    -------
    Attack
        The rates are those of right guesses whether a target was learned.
    """
    fits = check_int("shadow_membership", "fits", fits, low=4)
    targets = check_int("shadow_membership", "targets", targets, low=1)
    if not callable(fit_sample):
        raise parameter_error("shadow_membership", "fit_sample", "a callable that takes a frame", fit_sample)
    n_targets = min(targets, len(real) - 1, len(holdout))
    places = most_vulnerable(real, n_targets, rng)
    learned = [real.iloc[places], holdout.iloc[most_vulnerable(holdout, n_targets, rng)]]
    known = fits // 2
    coins = np.vstack([_balanced_coins(known, 2 * n_targets, rng), rng.random((fits - known, 2 * n_targets)) < 0.5])
    evidence = np.empty((fits, 2 * n_targets))
    for fit in range(fits):
        kept = np.ones(len(real), dtype=bool)
        kept[places[~coins[fit, :n_targets]]] = False
        sampled = fit_sample(real[kept].reset_index(drop=True))
        if not isinstance(sampled, pd.DataFrame) or list(sampled.columns) != list(real.columns) or not len(sampled):
            raise DataError("fit_sample must return a DataFrame of rows with the columns of the frame it was given.")
        evidence[fit] = _evidence(stacked(learned, like=real), sampled)
    # Some fits come nearer to everything than others; rows that are never learned tell.
    evidence -= np.median(evidence[:, n_targets:], axis=1, keepdims=True)
    right = _guesses(evidence[:known], coins[:known], evidence[known:]) == coins[known:]
    return Attack(
        "Membership of vulnerable rows",
        Rate.of(right[:, :n_targets].ravel()),
        Rate.of(right[:, n_targets:].ravel()),
        Rate.of(rng.random(right.size // 2) < 0.5),
        "How often an adversary who has seen fits with and without one of the rows most at risk tells whether the row "
        "was learned this time; a coin gets 0.5.",
        "Worry when the attack lies above the control: the rows that need protection most do not have it.",
        notes=(f"{fits} fits, half of them to learn from, half to guess about; {n_targets} targets.",),
        control_is_guessing=True,
    )


def most_vulnerable(frame: pd.DataFrame, n_rows: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return the places of the rows whose five nearest neighbours are farthest, on average."""
    space = Space.fit(frame, like=frame, open_tails=True)
    candidates = np.arange(len(frame))
    if len(frame) > _MAX_NEIGHBOURHOOD:
        candidates = rng.choice(len(frame), size=_MAX_NEIGHBOURHOOD, replace=False)
    points = space.points(frame.iloc[candidates])
    near = distances(points, points, _NEIGHBOURS + 1).mean(axis=1)  # the row itself, at 0, is among all of them
    return candidates[np.argsort(-near, kind="stable")[:n_rows]]


def _balanced_coins(fits: int, n: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Toss so that each target is in half of the fits: then both sides are known to all."""
    half = np.arange(fits) < fits // 2
    return np.column_stack([rng.permutation(half) for _ in range(n)])


def _evidence(targets: pd.DataFrame, sampled: pd.DataFrame) -> FloatArray:
    """Return for each target how near the sampled rows come: the higher, the nearer."""
    sampled = at_most(sampled, _MAX_NEIGHBOURHOOD * 10, np.random.default_rng(0))
    space = Space.fit(stacked([sampled, targets], like=targets), like=targets)
    near = distances(space.points(targets), space.points(sampled), _NEIGHBOURS)
    return -np.log(near + _ETA).mean(axis=1) - np.log(near[:, 0] + _ETA)


def _guesses(known: FloatArray, coins: npt.NDArray[np.bool_], evidence: FloatArray) -> npt.NDArray[np.bool_]:
    """Guess "learned" for each fit and target where the evidence is nearer to the mean of the fits with the target."""
    out, in_ = (
        np.where(coins == side, known, 0.0).sum(axis=0) / np.maximum((coins == side).sum(axis=0), 1)
        for side in (False, True)
    )
    return np.abs(evidence - in_) < np.abs(evidence - out)
