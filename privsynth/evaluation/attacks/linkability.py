"""Linkability: two halves of a person's columns, held apart, are brought together through the synthetic table.

The adversary looks up the k synthetic rows that are nearest to a target by one half of the columns, and the k nearest
by the other half. If a synthetic row is among both, the halves are called linked (Giomi et al. 2023). Halves are drawn
at random, several times.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.evaluation.attacks.attack import Attack
from privsynth.evaluation.intervals import Rate
from privsynth.evaluation.space import FloatArray, Space, at_most, neighbours

_NEIGHBOURS = 5


def linkability(
    members: pd.DataFrame,
    outsiders: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    rng: np.random.Generator,
    splits: int = 4,
) -> Attack | None:
    """Link halves of rows that were learned, and of rows that were not.

    Parameters
    ----------
    members, outsiders : DataFrames
        Rows of the real table and rows of the holdout: as many of each are used, each with one of the splits.
    synthetic : DataFrame
    splits : int
        How many ways to halve the columns are tried.

    Returns
    -------
    Attack or None
        None for a table of a single column.
    """
    if len(members.columns) < 2:
        return None
    n = min(len(members), len(outsiders))
    space = Space.fit(synthetic, like=members)
    released = space.points(synthetic)
    targets = [space.points(at_most(frame, n, rng)) for frame in (members, outsiders)]
    # Equal rows would come in the order of the table, by both halves: a draw of their own order must not link them.
    spans = list(space.spans().values())
    success: list[list[npt.NDArray[np.bool_]]] = [[], [], []]
    for part in np.array_split(rng.permutation(n), min(splits, n)):
        order = rng.permutation(len(spans))
        halves = [_coordinates(spans, order[: len(order) // 2]), _coordinates(spans, order[len(order) // 2 :])]
        for side in (0, 1):
            success[side].append(_links(targets[side][part], released, halves, rng))
        success[2].append(_guessed_links(len(part), len(released), rng))
    rates = [Rate.of(np.concatenate(found)) for found in success]
    return Attack(
        "Linkability",
        rates[0],
        rates[1],
        rates[2],
        f"How often the {_NEIGHBOURS} synthetic rows nearest to a learned row by half of its columns, and the "
        f"{_NEIGHBOURS} nearest by the other half, share a row.",
        "Worry when the attack lies above the control: two data sets about the same people could be joined through it.",
        notes=(f"{n} learned and {n} other rows, {min(splits, n)} ways to halve the columns.",),
    )


def _coordinates(spans: list[slice], chosen: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    return np.concatenate([np.arange(spans[i].start, spans[i].stop) for i in chosen])


def _links(
    targets: FloatArray, released: FloatArray, halves: list[npt.NDArray[np.intp]], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    places = []
    for half in halves:
        order = rng.permutation(len(released))
        _, found = neighbours(targets[:, half], released[order][:, half], _NEIGHBOURS)
        places.append(order[found])
    return np.array([bool(np.intersect1d(a, b).size) for a, b in zip(*places, strict=True)], dtype=bool)


def _guessed_links(n: int, n_released: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return whether two random sets of synthetic rows share one."""
    k = min(_NEIGHBOURS, n_released)
    chance = rng.hypergeometric(k, n_released - k, k, size=n)
    return chance > 0
