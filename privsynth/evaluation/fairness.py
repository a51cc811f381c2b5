"""Groups: how many rows each has, how often each has the outcome, and how a model treats each; real beside synthetic.

The outcome of a target with two classes is the rarer one; with more, the most frequent one; of a number, to lie above
the real median. A model's "yes" goes to as many test rows as have the outcome, those with the highest chances. The gap
of a rate is that of the groups with the highest and the lowest rate (Hardt, Price and Srebro 2016, for the rates of
true outcomes found: equal opportunity).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.evaluation.conditional import groups_of
from privsynth.evaluation.intervals import bootstrap_interval, wilson_interval
from privsynth.evaluation.learning import BOOSTING, Learning
from privsynth.evaluation.pairing import Pairing
from privsynth.evaluation.score import Block, Score, table_of
from privsynth.evaluation.utility import _target

_FEWEST = 20
_DRAWS = 100
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What counts as the outcome of a target."""

    learning: Learning
    median: float
    name: str

    @classmethod
    def of(cls, learning: Learning, real: pd.DataFrame) -> Outcome:
        """Choose the outcome by the real table."""
        target = learning.target
        if learning.classes is None:
            median = float(np.nanmedian(_target(real[target], real[target], None)))
            return cls(learning, median, f"{target} above {median:.4g}")
        chosen = learning.classes[1 if len(learning.classes) == 2 else 0]
        return cls(learning, 0.0, f"{target} = {chosen:g}" if isinstance(chosen, float) else f"{target} = {chosen}")

    @property
    def _place(self) -> int:
        return 1 if len(self.learning.classes or ()) == 2 else 0

    def holds(self, y: npt.NDArray[np.float64]) -> BoolArray:
        """Return for targets as floats whether the outcome holds."""
        return y > self.median if self.learning.classes is None else y == self._place

    def predicted(self, table: str) -> BoolArray:
        """Return to which test rows the model learned from a table says yes."""
        predictions = self.learning.models[BOOSTING, table].predictions
        chances = predictions if self.learning.classes is None else predictions[:, self._place]
        n_yes = int(self.holds(self.learning.y_test).sum())
        found = np.zeros(len(chances), dtype=bool)
        found[np.argsort(-chances, kind="stable")[:n_yes]] = True
        return found


def fairness_blocks(
    pairing: Pairing, names: list[Hashable], learning: Learning | None, rng: np.random.Generator
) -> list[Block]:
    """Compare groups of each of some columns; outcomes and models need a target."""
    blocks = []
    for name in names:
        blocks.append(_representation(pairing, name))
        if learning is not None and name != learning.target:
            outcome = Outcome.of(learning, pairing.real)
            blocks.append(_outcomes(pairing, name, outcome, rng))
            blocks.append(_parity(pairing, name, outcome, rng))
    return blocks


def _representation(pairing: Pairing, name: Hashable) -> Block:
    tables = [frame[name] for frame in (pairing.real, pairing.synthetic, pairing.left, pairing.right)]
    labels, places = groups_of(tables[0], tables)
    counts = [np.bincount(part, minlength=len(labels)) for part in places]
    shares = [count / count.sum() for count in counts]
    half_widths, rows = 0.0, []
    for place, label in enumerate(labels):
        if counts[0][place] or counts[1][place]:
            low, high = wilson_interval(int(counts[1][place]), len(tables[1]))
            rows.append([label, shares[0][place], shares[1][place], low, high])
            half_widths += ((high - low) / 2) ** 2
    value, reference = (float(0.5 * np.abs(shares[i] - shares[i + 1]).sum()) for i in (0, 2))
    margin = 0.5 * float(np.sqrt(half_widths))
    score = Score(
        f"Representation of {name}",
        value,
        reference,
        "lower",
        note=f"{pairing.note} The interval combines those of the synthetic shares.",
        meaning="Share of rows that would have to change group until groups are as large as in the real table.",
        low=max(0.0, value - margin),
        high=min(1.0, value + margin),
        worry="Worry above a few hundredths, or when a small group is all but gone.",
        section="fairness",
    ).judged(watch=0.02, bad=0.1)
    return Block(
        f"Groups of {name}",
        "How large each group is in both tables.",
        "Worry when a group shrinks or vanishes: whatever is learned from the table will not know it.",
        (score,),
        table_of(["group", "real share", "synthetic share", "from", "to"], rows),
    )


def _outcomes(pairing: Pairing, name: Hashable, outcome: Outcome, rng: np.random.Generator) -> Block:
    frames = (pairing.real, pairing.synthetic, pairing.left, pairing.right)
    labels, places = groups_of(pairing.real[name], [frame[name] for frame in frames])
    target = outcome.learning.target
    truths, groups = [], []
    for frame, place in zip(frames, places, strict=True):
        y = _target(frame[target], pairing.real[target], outcome.learning.classes)
        usable = np.isfinite(y)
        truths.append(outcome.holds(y[usable]))
        groups.append(place[usable].astype(np.int64))
    rows = []
    for number, label in enumerate(labels):
        own = [truth[group == number] for truth, group in zip(truths[:2], groups[:2], strict=True)]
        if any(map(len, own)):
            ends = wilson_interval(int(own[1].sum()), len(own[1]))
            rows.append([label, *(float(x.mean()) if len(x) else None for x in own), *ends, len(own[1])])
    gaps = [rate_gap(truth, group) for truth, group in zip(truths, groups, strict=True)]
    value, low, high = None, None, None
    if gaps[0] is not None and gaps[1] is not None:
        real_gap, value = gaps[0], abs(gaps[1] - gaps[0])
        low, high = _gap_interval(truths[1], groups[1], rng, lambda gap: abs(gap - real_gap))
    score = Score(
        f"Outcome gap difference by {name}",
        value,
        None if gaps[2] is None or gaps[3] is None else abs(gaps[3] - gaps[2]),
        "lower",
        note=f"{pairing.note} Groups of at least {_FEWEST} rows.",
        meaning=f"The gap is that between the groups with the largest and the smallest share with {outcome.name}; "
        "this is how far the synthetic gap is from the real one.",
        low=low,
        high=high,
        worry="Worry above a few hundredths: the table shows another inequality between groups, larger or smaller.",
        section="fairness",
    ).judged(watch=0.03, bad=0.1)
    shown = ["none" if gap is None else f"{gap:.3f}" for gap in gaps[:2]]
    return Block(
        f"Outcome by {name}",
        f"How often {outcome.name} in each group, in both tables.",
        "Worry when groups change places, or the gap grows or vanishes.",
        (score,),
        table_of(["group", "real rate", "synthetic rate", "from", "to", "synthetic rows"], rows),
        notes=(f"Gap in the real table: {shown[0]}, in the synthetic one: {shown[1]}.",),
    )


def _parity(pairing: Pairing, name: Hashable, outcome: Outcome, rng: np.random.Generator) -> Block:
    learning = outcome.learning
    labels, (places,) = groups_of(pairing.real[name], [learning.test[name]])
    groups, truth = places.astype(np.int64), outcome.holds(learning.y_test)
    said = {table: outcome.predicted(table) for table in ("synthetic", "real")}
    scores = []
    for title, rows, meaning in (
        (
            "Demographic parity gap",
            np.ones(len(truth), dtype=bool),
            "Difference of the share of yes between the groups that get most and least",
        ),
        (
            "Equal opportunity gap",
            truth,
            "Difference of the share of true outcomes found between the groups served best and worst",
        ),
    ):
        low, high = _gap_interval(said["synthetic"][rows], groups[rows], rng)
        scores.append(
            Score(
                f"{title} by {name}",
                rate_gap(said["synthetic"][rows], groups[rows]),
                rate_gap(said["real"][rows], groups[rows]),
                "lower",
                note=f"Reference: the model learned from real rows. Groups of at least {_FEWEST} test rows.",
                meaning=f"{meaning}, by the model learned from synthetic rows (TSTR).",
                low=low,
                high=high,
                worry="Worry when it is clearly above the reference: the synthetic table makes models less fair.",
                section="fairness",
            ).judged(watch=0.03, bad=0.1)
        )
    rows_ = [
        [label, int((groups == place).sum()), *(float(said[t][groups == place].mean()) for t in ("real", "synthetic"))]
        for place, label in enumerate(labels)
        if (groups == place).any()
    ]
    return Block(
        f"Models by {name}",
        f"How a model of {outcome.name} treats the groups, learned from real and from synthetic rows.",
        "Worry when the gap is clearly wider for the model learned from synthetic rows.",
        tuple(scores),
        table_of(["group", "test rows", "yes, learned from real", "yes, learned from synthetic"], rows_),
    )


def rate_gap(success: BoolArray, groups: IntArray) -> float | None:
    """Return the difference of the highest and the lowest rate; None for less than two groups of 20 rows.

    >>> rate_gap(np.repeat([True, False], 20), np.repeat([0, 1], 20))
    1.0
    """
    counts = np.bincount(groups)
    rates = np.bincount(groups, weights=success)[counts >= _FEWEST] / counts[counts >= _FEWEST]
    return float(np.ptp(rates)) if len(rates) > 1 else None


def _gap_interval(
    success: BoolArray,
    groups: IntArray,
    rng: np.random.Generator,
    of_gap: Callable[[float], float] = float,
) -> tuple[float | None, float | None]:
    def gap(rows: npt.NDArray[np.intp]) -> float:
        found = rate_gap(success[rows], groups[rows])
        return float("nan") if found is None else of_gap(found)

    return bootstrap_interval(gap, len(groups), rng, draws=_DRAWS, low=0.0, high=1.0)
