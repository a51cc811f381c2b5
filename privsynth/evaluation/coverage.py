"""What is missing, too rare, or there too often: levels, tails, cells, and rows that repeat.

*Coverage* is that of Naeem et al. (2020, "Reliable fidelity and diversity metrics for generative models"): the share of
real rows that have a synthetic row nearer than their fifth real neighbour. The *mode-collapse index* is one minus the
share of real cells of column pairs that the synthetic rows reach, relative to what real rows reach; as many rows each.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from privsynth.evaluation.attacks.copies import column_hashes, row_hashes
from privsynth.evaluation.binning import as_numbers, as_values, column_kind, date_text
from privsynth.evaluation.fidelity import Coded
from privsynth.evaluation.intervals import grouped_error, jackknife_interval, wilson_interval
from privsynth.evaluation.pairing import Pairing, notes_of
from privsynth.evaluation.score import Block, Score, table_of
from privsynth.evaluation.space import Space, distances

_MAX_ROWS = 5_000
_MAX_CELL_ROWS = 50_000
_RARE = 0.01
_FEWEST = 5
_MAX_CELLS = 1 << 22
_NEIGHBOURS = 5
_QUANTILES = (0.001, 0.01, 0.05, 0.95, 0.99, 0.999)


def rare_block(pairing: Pairing) -> Block:
    """Look for rare levels of categories and for the tails of numbers."""
    found, expected, rows = 0, 0, []
    held = 0
    for name in pairing.real.columns:
        if column_kind(pairing.real[name]) != "categorical":
            continue
        real, synthetic, right = (
            pd.Series(as_values(frame[name]), dtype=object).value_counts()
            for frame in (pairing.real, pairing.synthetic, pairing.right)
        )
        rare = real[(real < _RARE * len(pairing.real)) & (real >= _FEWEST)]
        known = rare.index.isin(synthetic.index)
        found, expected = found + int(known.sum()), expected + len(rare)
        held += int(rare.index.isin(right.index).sum())
        if len(rare):
            share = float(synthetic.reindex(rare.index).fillna(0).sum() / len(pairing.synthetic))
            rows.append([name, len(rare), int(known.sum()), float(rare.sum() / len(pairing.real)), share])
    low, high = wilson_interval(found, expected)
    recall = Score(
        "Rare categories found",
        found / expected if expected else None,
        held / expected if expected else None,
        note=f"{pairing.note} {expected} levels of less than {_RARE:.0%} and at least {_FEWEST} real rows.",
        meaning="Share of the rare levels of the real table that some synthetic row has.",
        low=low if expected else None,
        high=high if expected else None,
        worry="Worry if they matter to you. What few rows have a private synthesizer cannot keep, and should not.",
        section="fidelity",
    ).judged(watch=0.1, bad=0.5)
    return Block(
        "Rare categories",
        "Whether levels that few rows have are still there, and how many rows have them.",
        "Worry when a level that you need is gone: declare the categories, or spend more epsilon.",
        (recall,),
        table_of(["column", "rare levels", "found", "real share of rows", "synthetic share"], rows) if rows else None,
    )


def tail_block(pairing: Pairing, rng: np.random.Generator) -> Block | None:
    """Compare how many rows lie in the tails of the real numbers; None without numbers."""
    kinds = {name: column_kind(pairing.real[name]) for name in pairing.real.columns}
    ordered = [name for name, kind in kinds.items() if kind in ("numeric", "datetime")]
    if not ordered:
        return None
    cut = pairing.at_most(_MAX_CELL_ROWS, rng)
    tables = [
        {name: as_numbers(frame[name], kinds[name]) for name in ordered}
        for frame in (cut.real, cut.synthetic, cut.left, cut.right)
    ]
    rows = []
    for name in ordered:
        for quantile in _QUANTILES:
            pair = [_quantile(table[name], quantile) for table in tables[:2]]
            rows.append([name, f"{quantile:.1%}", *(_shown(value, kinds[name]) for value in pair)])
    error = grouped_error(
        lambda a, b: _tail_error(
            {name: values[a] for name, values in tables[0].items()},
            {name: values[b] for name, values in tables[1].items()},
        ),
        len(cut.real),
        len(cut.synthetic),
        rng,
    )
    value = _tail_error(tables[0], tables[1])
    low, high = jackknife_interval(value, error, high=1.0)
    score = Score(
        "Tail mass error",
        value,
        _tail_error(tables[2], tables[3]),
        "lower",
        note=cut.note,
        meaning="Mean difference of the share of rows beyond the 1 % and 99 % points of the real numbers, relative to "
        "the larger of the two shares: 0 is the same, 1 is an empty or invented tail.",
        low=low,
        high=high,
        worry="Worry when extreme values matter: limits and totals come out wrong.",
        section="fidelity",
    ).judged(watch=0.2, bad=0.5)
    return Block(
        "Tails",
        "How many rows lie beyond the 1 % and 99 % points of the real table, and where the outer quantiles are.",
        "Worry about columns whose outer quantiles differ in a way that matters to you.",
        (score,),
        table_of(["column", "quantile", "real", "synthetic"], rows),
        notes=notes_of(pairing.sampled_note(_MAX_CELL_ROWS)),
    )


def _quantile(values: np.ndarray, quantile: float) -> float:
    present = values[np.isfinite(values)]
    return float(np.quantile(present, quantile, method="inverted_cdf")) if len(present) else float("nan")


def _shown(value: float, kind: str) -> object:
    return date_text(value, "s") if kind == "datetime" and np.isfinite(value) else value


def _tail_error(real: dict[object, np.ndarray], other: dict[object, np.ndarray]) -> float:
    errors = []
    for name, values in real.items():
        present, others = values[np.isfinite(values)], other[name][np.isfinite(other[name])]
        if not len(present):
            continue
        low, high = np.quantile(present, [0.01, 0.99], method="inverted_cdf")
        for beyond in (lambda x, low=low: x < low, lambda x, high=high: x > high):
            shares = [float(beyond(x).mean()) if len(x) else 0.0 for x in (present, others)]
            if max(shares) > 0:
                errors.append(abs(shares[0] - shares[1]) / max(shares))
    return float(np.mean(errors)) if errors else 0.0


def coverage_block(pairing: Pairing, found: Coded, reference: Coded, rng: np.random.Generator) -> Block:
    """Look for real cells that no synthetic row reaches, invented ones, and rows that repeat."""
    scores = [
        *_cell_scores(_Cells.of(found, rng), _Cells.of(reference, rng), pairing.note),
        _coverage_score(pairing, rng),
        _repeat_score(pairing, rng),
    ]
    return Block(
        "Coverage and mode collapse",
        "Whether the synthetic rows reach what is there, do not invent what is not, and do not repeat themselves.",
        "Worry when the mode-collapse index is high, or rows repeat more often than in the real table.",
        tuple(scores),
        notes=notes_of(
            pairing.sampled_note(_MAX_ROWS), f"Cells: on as many rows of each table, at most {_MAX_CELL_ROWS:,}."
        ),
    )


@dataclasses.dataclass(frozen=True)
class _Cells:
    """Means over pairs of columns with their standard errors: real cells reached, rows in cells that are not real."""

    recall: float | None
    recall_error: float | None
    invented: float | None
    invented_error: float | None

    @classmethod
    def of(cls, coded: Coded, rng: np.random.Generator) -> _Cells:
        """Count on as many rows of each table; only real cells of at least five rows are looked for."""
        sizes = [len(table[0]) for table in coded.tables[:2]]
        n = min(*sizes, _MAX_CELL_ROWS)
        cut = coded.rows(*(rng.permutation(size)[:n] for size in sizes))
        recalls, invented = [], []
        for pair in cut.marginals(2) or cut.marginals(1):
            (real, size), (other, _) = (cut.joint(table, pair) for table in (0, 1))
            if size > _MAX_CELLS:
                continue
            counts, others = np.bincount(real, minlength=size), np.bincount(other, minlength=size)
            wanted = counts >= _FEWEST
            if wanted.any():
                recalls.append(float((others[wanted] > 0).mean()))
            invented.append(float(others[counts == 0].sum() / n))
        return cls(*_mean_and_error(recalls), *_mean_and_error(invented))


def _mean_and_error(values: list[float]) -> tuple[float | None, float | None]:
    return (float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))) if values else (None, None)


def _cell_scores(found: _Cells, best: _Cells, note: str) -> list[Score]:
    low, high = jackknife_interval(found.recall, found.recall_error, high=1.0)
    index = index_low = index_high = None
    if found.recall is not None and best.recall and low is not None and high is not None:
        index, index_low, index_high = (min(1.0, max(0.0, 1 - x / best.recall)) for x in (found.recall, high, low))
    invented_low, invented_high = jackknife_interval(found.invented, found.invented_error, high=1.0)
    over_pairs = f"{note} The interval is over pairs of columns."
    return [
        Score(
            "Real cells reached",
            found.recall,
            best.recall,
            note=over_pairs,
            meaning=f"Share of the cells of column pairs with at least {_FEWEST} real rows that a synthetic row is in.",
            low=low,
            high=high,
            worry="Worry when it is clearly below the reference: whole kinds of rows are never made.",
            section="fidelity",
        ).judged(watch=0.05, bad=0.2),
        Score(
            "Mode-collapse index",
            index,
            0.0 if index is not None else None,
            "lower",
            note=over_pairs,
            meaning="1 - cells reached / cells that real rows reach: 0 is no collapse, 1 is a single kind of row.",
            low=index_low,
            high=index_high,
            worry="Worry above 0.2: the synthesizer makes the same few kinds of rows again and again.",
            section="fidelity",
        ).judged(watch=0.05, bad=0.2),
        Score(
            "Rows in invented cells",
            found.invented,
            best.invented,
            "lower",
            note=over_pairs,
            meaning="Share of synthetic rows in a cell of a column pair that holds no real row, mean over pairs.",
            low=invented_low,
            high=invented_high,
            worry="Worry when it is far above the reference: combinations come up that do not exist.",
            section="fidelity",
        ).judged(watch=0.02, bad=0.1),
    ]


def _coverage_score(pairing: Pairing, rng: np.random.Generator) -> Score:
    cut = pairing.at_most(_MAX_ROWS, rng)
    n = min(len(cut.synthetic), len(cut.right))
    space = Space.fit(cut.real, like=cut.real)
    real, synthetic, left, right = (
        space.points(frame) for frame in (cut.real, cut.synthetic[:n], cut.left, cut.right[:n])
    )
    covered = _covered(real, synthetic)
    value, (low, high) = float(covered.mean()), wilson_interval(int(covered.sum()), len(covered))
    return Score(
        "Coverage",
        value,
        float(_covered(left, right).mean()),
        note=f"{pairing.note} {len(real)} real and {n} synthetic rows.",
        meaning=f"Share of real rows with a synthetic row nearer than their {_NEIGHBOURS}th real neighbour.",
        low=low,
        high=high,
        worry="Worry when it is clearly below the reference: there are regions without synthetic rows.",
        section="fidelity",
    ).judged(watch=0.1, bad=0.3)


def _covered(real: np.ndarray, other: np.ndarray) -> np.ndarray:
    radius = distances(real, real, _NEIGHBOURS + 1)[:, -1]
    return distances(real, other, 1)[:, 0] <= radius


def _repeat_score(pairing: Pairing, rng: np.random.Generator) -> Score:
    n = min(len(pairing.real), len(pairing.synthetic), len(pairing.right), _MAX_CELL_ROWS)
    cut = [frame.iloc[rng.permutation(len(frame))[:n]] for frame in (pairing.synthetic, pairing.real)]
    shares = [_repeated(frame, pairing.real) for frame in cut]
    low, high = wilson_interval(round(shares[0] * n), n)
    return Score(
        "Rows that repeat",
        shares[0],
        shares[1],
        "lower",
        note=f"Reference: the real table. {n} rows of each.",
        meaning="Share of synthetic rows that equal another synthetic row in all columns.",
        low=low,
        high=high,
        worry="Worry when it is far above the reference: the synthesizer knows few rows.",
        section="fidelity",
    ).judged(watch=0.02, bad=0.2)


def _repeated(frame: pd.DataFrame, like: pd.DataFrame) -> float:
    hashed = row_hashes(
        [column_hashes([frame[name]], kind=column_kind(like[name]), cuts=None)[0] for name in frame.columns]
    )
    _, place, counts = np.unique(hashed, return_inverse=True, return_counts=True)
    return float((counts[place] > 1).mean())
