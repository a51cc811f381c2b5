"""Fidelity where it is asked for: marginals of one to three columns, and each column within each condition's values.

A condition is a column by whose values rows will be drawn or results split. A table can be right on the whole and wrong
for a rare class: nearly all of its rows are of the frequent one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.evaluation.binning import as_numbers, as_values, column_kind, date_text, is_class_like
from privsynth.evaluation.fidelity import Coded, MarginalTVD, coded_tvd
from privsynth.evaluation.intervals import GROUPS, jackknife_interval, wilson_interval
from privsynth.evaluation.score import Block, Score, table_of

_MAX_TRIPLES = 60
_MAX_VALUES = 12
_FEWEST = 20
Groups = tuple[list[str], list[npt.NDArray[np.int64]]]  # names, and for each table the place of each row's name (or -1)


@dataclasses.dataclass(frozen=True)
class Marginals:
    """Distances of all 1-way and 2-way and some 3-way marginals, and what real rows reach.

    Parameters
    ----------
    found, reference : tuples of MarginalTVD
        In the order of the number of columns.
    n_triples : int
        Of how many triples those of the third are a random sample.
    """

    found: tuple[MarginalTVD, ...]
    reference: tuple[MarginalTVD, ...]
    n_triples: int

    @classmethod
    def of(cls, found: Coded, reference: Coded, rng: np.random.Generator) -> Marginals:
        """Compare the tables of `found`, and those of `reference`."""
        triples = found.marginals(3)
        chosen = [triples[i] for i in sorted(rng.permutation(len(triples))[:_MAX_TRIPLES])]
        sets = [found.marginals(1), found.marginals(2), chosen]
        return cls(
            tuple(coded_tvd(found, marginals, groups=GROUPS) for marginals in sets),
            tuple(coded_tvd(reference, marginals) for marginals in sets),
            len(triples),
        )

    def scores(self, note: str) -> list[Score]:
        """Return the mean distances."""
        meanings = (
            "Share of rows to move to another cell until a column agrees, mean over columns: 0 is best.",
            "The same for pairs of columns: it sees whether columns still belong together. 0 is best.",
            "The same for sets of three columns: it sees what pairs do not show. 0 is best.",
        )
        worries = (
            "Worry when it is several times the reference and above 0.05: counts of single columns are off.",
            "Worry when it is far above the reference: cross tables of the synthetic rows are off.",
            "Worry when it is far above the reference while the 2-way TVD is near its own: higher orders are lost.",
        )
        scores = []
        for place, (found, reference) in enumerate(zip(self.found, self.reference, strict=True)):
            low, high = jackknife_interval(found.mean, found.error, high=1.0)
            own = note
            if place == 2 and self.n_triples > len(found.values):
                own = f"{note} Mean of {len(found.values)} triples of columns, drawn at random from {self.n_triples}."
            scores.append(
                Score(
                    f"{place + 1}-way TVD",
                    found.mean,
                    reference.mean,
                    "lower",
                    own,
                    meanings[place],
                    low=low,
                    high=high,
                    worry=worries[place],
                    section="fidelity",
                ).judged(watch=0.02, bad=0.10)
            )
        return scores

    def block(self, note: str) -> Block:
        """Return the distances, the worst pairs and triples listed."""
        rows = [
            [" x ".join(map(str, names)), value, reference.values[names]]
            for found, reference in zip(self.found[1:], self.reference[1:], strict=True)
            for names, value in found.worst(5)
        ]
        return Block(
            "Marginals",
            "How many rows would have to change until counts agree, of single columns, pairs and triples.",
            "Worry where the distance is far above what other real rows reach.",
            tuple(self.scores(note)),
            table_of(["columns", "TVD", "reference"], rows),
        )


def groups_of(real: pd.Series, tables: Sequence[pd.Series]) -> Groups:
    """Split rows by a column: its classes, the most frequent first (the rest pooled), or quarters of a number."""
    kind = column_kind(real)
    if not is_class_like(real):
        numbers = [as_numbers(table, kind) for table in tables]
        own = as_numbers(real, kind)
        present = own[np.isfinite(own)]
        cuts = np.unique(np.quantile(present, [0.25, 0.5, 0.75])) if len(present) else np.empty(0)
        names = [_between(cuts, i, kind) for i in range(len(cuts) + 1)] + ["missing"]
        return names, [np.where(np.isnan(x), len(cuts) + 1, np.searchsorted(cuts, x)) for x in numbers]
    plain = [_classes(table, kind) for table in tables]
    counts = pd.Series(_classes(real, kind), dtype=object).value_counts()
    shown = list(counts.index[:_MAX_VALUES])
    index = pd.Index(shown, dtype=object)
    names = [f"{value:g}" if isinstance(value, float) else str(value) for value in shown] + ["other", "missing"]
    places = []
    for values in plain:
        own, distinct = pd.factorize(values)
        found = index.get_indexer(pd.Index(distinct, dtype=object))
        places.append(np.append(np.where(found < 0, len(shown), found), len(shown) + 1)[own])
    return names, places


def _classes(column: pd.Series, kind: str) -> npt.NDArray[np.object_]:
    if kind != "numeric":
        return as_values(column)
    return np.array([None if np.isnan(x) else x for x in as_numbers(column, "numeric")], dtype=object)


def _between(cuts: npt.NDArray[np.float64], i: int, kind: str) -> str:
    def shown(x: float) -> str:
        return date_text(x) if kind == "datetime" else f"{x:.4g}"

    if i == 0:
        return f"up to {shown(cuts[0])}" if len(cuts) else "all"
    return f"above {shown(cuts[i - 1])}" + (f", up to {shown(cuts[i])}" if i < len(cuts) else "")


def conditional_block(
    name: Hashable, found: Coded, reference: Coded, groups: Groups, reference_groups: Groups, note: str
) -> Block:
    """Compare all other columns within each value of a condition."""
    own = found.names.index(name)
    columns = [(place,) for place in range(len(found.names)) if place != own]
    totals = [len(table[0]) for table in found.tables[:2]]
    rows, values, references = [], [], []
    for place, label in enumerate(groups[0]):
        chosen = [np.flatnonzero(part == place) for part in groups[1]]
        if not len(chosen[0]):
            continue
        shares = [len(part) / total for part, total in zip(chosen, totals, strict=True)]
        low, high = wilson_interval(len(chosen[1]), totals[1])
        tvd = worst = ceiling = None
        if len(chosen[0]) >= _FEWEST and columns:
            # No synthetic row of the value at all is as wrong as can be.
            distances = coded_tvd(found.rows(*chosen), columns, groups=GROUPS) if len(chosen[1]) else None
            tvd = 1.0 if distances is None else distances.mean
            worst = None if distances is None else distances.worst(1)[0][0][0]
            others = [np.flatnonzero(part == place) for part in reference_groups[1]]
            ceiling = coded_tvd(reference.rows(*others), columns).mean if min(map(len, others)) else None
            values.append((tvd, None if distances is None else distances.error))
            references.append(ceiling)
        rows.append([label, len(chosen[0]), len(chosen[1]), shares[0], shares[1], low, high, tvd, ceiling, worst])
    return Block(
        f"Within each value of {name}",
        f"The distance of all other columns among the rows of one value of {name} only.",
        "Worry about values whose distance is far above the reference: rows drawn for them mislead.",
        tuple(_conditional_scores(name, values, references, note)),
        table_of(
            [
                "value",
                "real rows",
                "synthetic rows",
                "real share",
                "synthetic share",
                "share from",
                "share to",
                "TVD",
                "reference",
                "worst column",
            ],
            rows,
        ),
        notes=(f"Values with less than {_FEWEST} real rows have no distance.",),
    )


def _conditional_scores(
    name: Hashable, values: list[tuple[float | None, float | None]], references: list[float | None], note: str
) -> list[Score]:
    known = [value for value, _ in values if value is not None]
    if not known:
        return []
    errors = [error for _, error in values if error is not None]
    # The rows of different values are different rows, so their errors add up in squares.
    error = float(np.sqrt(np.sum(np.square(errors)))) / len(known)
    low, high = jackknife_interval(float(np.mean(known)), error, high=1.0)
    others = [value for value in references if value is not None and np.isfinite(value)]
    worry = "Worry when it is far above the reference, and look in the list which value it is."
    worst = max((pair for pair in values if pair[0] is not None), key=lambda pair: pair[0] or 0.0)
    worst_low, worst_high = jackknife_interval(*worst, high=1.0)
    return [
        Score(
            f"TVD within {name}: mean",
            float(np.mean(known)),
            float(np.mean(others)) if others else None,
            "lower",
            note,
            f"Mean distance of the other columns within a value of {name}, each value counted the same.",
            low=low,
            high=high,
            worry=worry,
            section="fidelity",
        ).judged(watch=0.03, bad=0.12),
        Score(
            f"TVD within {name}: worst value",
            worst[0],
            max(others) if others else None,
            "lower",
            note,
            "The same for the value that is furthest off.",
            low=worst_low,
            high=worst_high,
            worry=worry,
            section="fidelity",
        ).judged(watch=0.05, bad=0.2),
    ]
