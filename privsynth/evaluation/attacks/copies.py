"""Copies: do rows that were learned occur among the synthetic ones more often than rows that were not?

A row that many people share will be among good synthetic rows too. So the share of learned rows that recur is held
against that of holdout rows. Rows are compared by 64-bit hashes: two different rows collide with chance 5e-20.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.evaluation.attacks.attack import Attack
from privsynth.evaluation.binning import Kind, as_numbers, as_values, column_kind, quantile_cuts
from privsynth.evaluation.intervals import Rate, bootstrap_interval
from privsynth.evaluation.score import Block, Score
from privsynth.evaluation.space import Space, distances

_CELLS = 20

Hashes = npt.NDArray[np.uint64]


def column_hashes(columns: Sequence[pd.Series], *, kind: Kind, cuts: npt.NDArray[np.float64] | None) -> list[Hashes]:
    """Hash the values of one column in several tables; numbers and dates by their cells if `cuts` are given."""
    if kind not in ("numeric", "datetime"):
        return [_spread(_level_hashes(as_values(column))) for column in columns]
    found = []
    for column in columns:
        numbers = as_numbers(column, kind)
        if cuts is not None:
            numbers = np.where(np.isnan(numbers), np.nan, np.searchsorted(cuts, numbers).astype(float))
        plain = np.where(np.isnan(numbers), np.nan, numbers + 0.0)  # one NaN of all, and -0.0 is 0.0
        found.append(_spread(plain.view(np.uint64)))
    return found


def _level_hashes(values: npt.NDArray[np.object_]) -> Hashes:
    codes, levels = pd.factorize(values)
    hashed = pd.util.hash_array(np.array([repr(level) for level in levels] + ["missing"], dtype=object))
    return hashed[codes]  # code -1 is the last: missing


def _spread(values: Hashes) -> Hashes:
    """Mix bits (the finaliser of SplitMix64), so that sums of hashes do not cancel."""
    mixed = values.astype(np.uint64, copy=True)
    mixed += np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def row_hashes(parts: Sequence[Hashes]) -> Hashes:
    """Return one hash a row from the hashes of its columns; the place of a column counts."""
    total = np.zeros(len(parts[0]), dtype=np.uint64)
    for place, part in enumerate(parts):
        total += _spread(part + np.uint64(place))
    return total


def copies(
    real: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, *, rng: np.random.Generator
) -> tuple[Attack, Attack]:
    """Count exact copies, and near copies: rows that agree in the cells of all columns but one.

    Returns
    -------
    exact, near : Attack
        The rates are shares of rows that recur. The baseline draws each column by itself from the synthetic table.
    """
    tables = [real, holdout, synthetic]
    fine, rough = [], []
    for name in real.columns:
        columns, kind = [table[name] for table in tables], column_kind(real[name])
        fine.append(column_hashes(columns, kind=kind, cuts=None))
        # Cells of the synthetic column: those of the real one would fit its own rows better than the holdout's.
        ordered = kind in ("numeric", "datetime")
        cuts = quantile_cuts(as_numbers(columns[2], kind), _CELLS) if ordered else None
        rough.append(column_hashes(columns, kind=kind, cuts=cuts) if ordered else fine[-1])
    exact = [_exactly_in([part[i] for part in fine], [part[2] for part in fine]) for i in (0, 1)]
    near = [_nearly_in([part[i] for part in rough], [part[2] for part in rough]) for i in (0, 1)]
    blind = [rng.permutation(len(synthetic)) for _ in fine]
    mixed = [[part[2][order] for part, order in zip(parts, blind, strict=True)] for parts in (fine, rough)]
    guessed = [
        _exactly_in([part[0] for part in fine], mixed[0]),
        _nearly_in([part[0] for part in rough], mixed[1]),
    ]
    words = ("equal to", "in all columns but one in the same cell as")
    return tuple(  # type: ignore[return-value]
        Attack(
            name,
            Rate.of(found[0]),
            Rate.of(found[1]),
            Rate.of(blind_found),
            f"Share of learned rows that are {word} some synthetic row.",
            "Worry when it lies above the share of holdout rows: then rows were copied, not met by chance.",
            notes=(f"{len(real)} real, {len(holdout)} holdout and {len(synthetic)} synthetic rows, all of them.",),
        )
        for name, found, blind_found, word in zip(
            ("Exact copies", "Near copies"), (exact, near), guessed, words, strict=True
        )
    )


def _exactly_in(rows: list[Hashes], released: list[Hashes]) -> npt.NDArray[np.bool_]:
    return np.isin(row_hashes(rows), row_hashes(released))


def _nearly_in(rows: list[Hashes], released: list[Hashes]) -> npt.NDArray[np.bool_]:
    """Return which rows agree with some released row in all columns but at most one."""
    totals = [row_hashes(rows), row_hashes(released)]
    found = np.zeros(len(totals[0]), dtype=bool)
    for place in range(len(rows)):
        without = [
            total - _spread(parts[place] + np.uint64(place))
            for total, parts in zip(totals, (rows, released), strict=True)
        ]
        open_ = np.flatnonzero(~found)
        found[open_] = np.isin(without[0][open_], without[1])
    return found


def identifier_blocks(real: pd.DataFrame, synthetic: pd.DataFrame, names: Sequence[Hashable]) -> list[Block]:
    """Count identifiers of the real table among those of the synthetic one: a block, or none without identifiers."""
    scores = []
    for name in names:
        known = pd.Series(as_values(real[name]), dtype=object).dropna()
        found = known.isin(pd.Series(as_values(synthetic[name]), dtype=object).dropna())
        rate = Rate.of(found.to_numpy(dtype=bool))
        low, high = rate.interval
        scores.append(
            Score(
                f"Identifiers repeated: {name}",
                rate.value,
                0.0,
                "lower",
                meaning="Share of the real identifiers that some synthetic row has.",
                low=low,
                high=high,
                worry="Worry about any, unless both tables use running numbers: then numbers meet and mean nothing.",
                section="privacy",
            )
        )
    if not scores:
        return []
    block = Block(
        "Identifiers",
        "Whether identifiers of the real table, such as account numbers, turn up in the synthetic one.",
        "Worry about any that are not running numbers: they lead straight to a person.",
        tuple(scores),
        notes=("Identifiers are left out of all other comparisons. No level: chance cannot be told from harm here.",),
    )
    return [block]


def distance_scores(
    members: pd.DataFrame, outsiders: pd.DataFrame, synthetic: pd.DataFrame, *, rng: np.random.Generator
) -> tuple[tuple[Score, ...], tuple[str, ...]]:
    """Return distances to the closest record: aids to find a fault, no measure of privacy.

    They miss leaks of a few rows, and a table can look safe by them while rows are given away (Ganev and De Cristofaro
    2023, "On the inadequacy of similarity-based privacy metrics").
    """
    space = Space.fit(synthetic, like=members)
    points = space.points(synthetic)
    near = [distances(space.points(frame), points, 2) for frame in (members, outsiders)]
    closest = [found[:, 0] for found in near]
    ratios = [found[:, 0] / np.maximum(found[:, -1], 1e-12) for found in near]
    rows = (
        ("DCR (debugging aid)", closest, None, "Median distance of a learned row to the closest synthetic record."),
        (
            "NNDR (debugging aid)",
            ratios,
            1.0,
            "Median ratio of a learned row's distances to the closest and the second closest synthetic record.",
        ),
    )
    scores = []
    for name, (own, others), most, meaning in rows:
        low, high = bootstrap_interval(_median_of(own), len(own), rng, low=0.0, high=most)
        scores.append(
            Score(
                name,
                float(np.median(own)),
                float(np.median(others)),
                note="A debugging aid, not a measure of privacy. Reference: the same for holdout rows.",
                meaning=meaning,
                low=low,
                high=high,
                range=(0.0, most),
                worry="Look closer when it is far below the reference; a value near it proves nothing.",
                section="privacy",
            )
        )
    note = f"{len(members)} learned and {len(outsiders)} other rows, {len(synthetic)} synthetic rows."
    return tuple(scores), (note,)


def _median_of(values: npt.NDArray[np.float64]) -> Callable[[npt.NDArray[np.intp]], float]:
    return lambda rows: float(np.median(values[rows]))
