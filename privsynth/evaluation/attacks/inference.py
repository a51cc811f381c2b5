"""Attribute inference: what a person keeps secret is read off the synthetic row that is nearest in all else.

A secret counts as found if the category is the same, or the number lies in the same one of the targets' 20
quantile cells. The baseline guesses the value that is most frequent in the synthetic table.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from privsynth.evaluation.attacks.attack import Attack
from privsynth.evaluation.binning import level_codes
from privsynth.evaluation.intervals import Rate
from privsynth.evaluation.score import Score
from privsynth.evaluation.space import Space, at_most, neighbours, stacked


def attribute_inference(
    members: pd.DataFrame,
    outsiders: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    secrets: Sequence[Hashable],
    rng: np.random.Generator,
) -> Attack | None:
    """Infer secrets of rows that were learned, and of rows that were not.

    Parameters
    ----------
    members, outsiders : DataFrames
        Rows of the real table and rows of the holdout: as many of each are used, shared out among the secrets.
    synthetic : DataFrame
    secrets : sequence of column names
        The columns to infer, each from all others.

    Returns
    -------
    Attack or None
        None for a table of a single column. `more` has the excess of each secret.
    """
    if len(members.columns) < 2 or not secrets:
        return None
    n = min(len(members), len(outsiders))
    tables = [at_most(frame, n, rng) for frame in (members, outsiders)]
    parts = np.array_split(rng.permutation(n), len(secrets))
    found = [
        _infer([table.iloc[part] for table in tables], synthetic, secret, rng)
        for secret, part in zip(secrets, parts, strict=True)
        if len(part)
    ]
    sums = [Rate(sum(r[i].hits for r in found), sum(r[i].trials for r in found)) for i in range(3)]
    return Attack(
        "Attribute inference",
        sums[0],
        sums[1],
        sums[2],
        "How often the secret of a learned row is that of the synthetic row nearest to it in all other columns.",
        "Worry when the attack lies above the control: what is inferred is about the person, not about people like it.",
        more=tuple(_secret_score(secret, rates) for secret, rates in zip(secrets, found, strict=False)),
        notes=(f"{n} learned and {n} other rows, shared out among the secrets.",),
    )


def _infer(
    targets: list[pd.DataFrame], synthetic: pd.DataFrame, secret: Hashable, rng: np.random.Generator
) -> list[Rate]:
    """Return the rates on learned rows, on others, and of guessing on learned rows."""
    known = [name for name in targets[0].columns if name != secret]
    space = Space.fit(synthetic, like=targets[0][known])
    order = rng.permutation(len(synthetic))  # of equally near rows any
    released = synthetic.iloc[order]
    points = space.points(released)
    both = stacked(targets, like=targets[0])[secret]
    truth, guesses, _ = level_codes(both, released[secret])
    nearest = neighbours(np.vstack([space.points(target) for target in targets]), points, 1)[1][:, 0]
    success = guesses[nearest] == truth
    n = len(targets[0])
    blind = np.bincount(guesses).argmax() == truth[:n]
    return [Rate.of(success[:n]), Rate.of(success[n:]), Rate.of(blind)]


def _secret_score(secret: Hashable, rates: list[Rate]) -> Score:
    low, high = rates[0].interval
    return Score(
        f"Attribute inference: {secret}",
        rates[0].value,
        rates[1].value,
        "lower",
        note=f"Guessing the most frequent value gets {rates[2].value:.3f}. {rates[0].trials} trials.",
        meaning="How often this column is inferred for learned rows; the reference is for other rows.",
        low=low,
        high=high,
        worry="Worry when the lower end lies above the reference.",
        section="privacy",
    )
