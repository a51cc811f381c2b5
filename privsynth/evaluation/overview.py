"""Fidelity: what all columns and pairs are described by, and the blocks of the section in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from privsynth.evaluation.association import association_block
from privsynth.evaluation.binning import column_kind
from privsynth.evaluation.conditional import Marginals, conditional_block, groups_of
from privsynth.evaluation.coverage import coverage_block, rare_block, tail_block
from privsynth.evaluation.detection import detection_block, frechet_block
from privsynth.evaluation.fidelity import Coded
from privsynth.evaluation.marginals import column_marginal
from privsynth.evaluation.pairing import Pairing
from privsynth.evaluation.quality import Quality, sdmetrics_quality
from privsynth.evaluation.score import Block, Score
from privsynth.evaluation.validity import missing_block, rule_block, rules_of

_N_WORST = 10


@dataclasses.dataclass(frozen=True)
class Overview:
    """What all columns and pairs are described by."""

    note: str
    coded: Coded
    reference_coded: Coded
    marginals: Marginals
    quality: Quality
    best_quality: Quality

    @classmethod
    def of(cls, pairing: Pairing, rng: np.random.Generator) -> Overview:
        """Code all columns once, and compare."""
        real, reference = pairing.real, (pairing.left, pairing.right)
        tables = [real, pairing.synthetic, *(frame for frame in reference if frame is not real)]
        coded = Coded.of(real, tables)
        reference_coded = coded.rows(None, None, tables=(0, 2) if pairing.left is real else (2, 3))
        return cls(
            pairing.note,
            coded,
            reference_coded,
            Marginals.of(coded, reference_coded, rng),
            sdmetrics_quality(real, pairing.synthetic, random_state=rng),
            sdmetrics_quality(*reference, random_state=rng),
        )

    def headline(self) -> list[Score]:
        """Return SDMetrics' scores and the distances."""
        found, best = self.quality, self.best_quality
        meanings = {
            "Quality": "SDMetrics: mean of the next two. 1 is best.",
            "Column Shapes": "Does each column alone have the right distribution? 1 is the same.",
            "Column Pair Trends": "Do pairs of columns hang together as in the real table? 1 is the same.",
        }
        worries = (
            "Worry when it is more than a few hundredths below what real rows get.",
            "Worry when it is below the reference: look which columns are listed first.",
            "Worry when it falls while Column Shapes is high: columns were learned, but not together.",
        )
        values = (found.overall, found.column_shapes, found.pair_trends)
        best_values = (best.overall, best.column_shapes, best.pair_trends)
        parts = (None, found.columns, found.pairs)
        scores = []
        for (name, meaning), worry, value, reference, part in zip(
            meanings.items(), worries, values, best_values, parts, strict=True
        ):
            low, high = _spread_over(value, (part,) if part is not None else (found.columns, found.pairs))
            note = f"{self.note} The interval is over columns and pairs. {found.note if part is None else ''}".strip()
            scores.append(
                Score(
                    name,
                    value,
                    reference,
                    note=note,
                    meaning=meaning,
                    worry=worry,
                    section="fidelity",
                    low=low,
                    high=high,
                )
            )
        return [*(score.judged(watch=0.02, bad=0.10) for score in scores), *self.marginals.scores(self.note)]

    def columns(self, pairing: Pairing) -> list[dict[str, Any]]:
        """Describe each column, the one that is furthest off first."""
        real, synthetic = pairing.real, pairing.synthetic
        found, reference = self.marginals.found[0], self.marginals.reference[0]
        return [
            {
                "name": str(name),
                "kind": column_kind(real[name]),
                "tvd": tvd,
                "tvd_reference": reference.values[(name,)],
                "shape": self.quality.columns[name],
                "missing_real": float(real[name].isna().mean()),
                "missing_synthetic": float(synthetic[name].isna().mean()),
                "marginal": column_marginal(real[name], synthetic[name]).to_dict(),
            }
            for (name,), tvd in found.worst(len(found.values))
        ]

    def pairs(self) -> dict[str, Any]:
        """Return the distances of all pairs of columns, and the worst."""
        names = self.coded.names
        place = {name: i for i, name in enumerate(names)}
        found = self.marginals.found[1]
        matrix = [[0.0] * len(names) for _ in names]
        for (a, b), tvd in found.values.items():
            matrix[place[a]][place[b]] = matrix[place[b]][place[a]] = tvd
        worst = [
            {"a": str(a), "b": str(b), "tvd": tvd, "trend": self.quality.pairs.get((a, b))}
            for (a, b), tvd in found.worst(_N_WORST)
        ]
        return {"names": [str(name) for name in names], "tvd": matrix, "worst": worst}


def _spread_over(
    value: float | None, parts: tuple[Mapping[Any, float | None], ...]
) -> tuple[float | None, float | None]:
    """Return the interval of a mean of means over columns or pairs, which are taken for samples of such."""
    known = [np.array([x for x in part.values() if x is not None]) for part in parts]
    if value is None or min(map(len, known)) < 2:
        return None, None
    error = float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in known))) / len(known)
    return max(0.0, value - 1.96 * error), min(1.0, value + 1.96 * error)


def fidelity_blocks(
    pairing: Pairing, overview: Overview, split_by: list[Any], model: Any, rng: np.random.Generator
) -> list[Block]:
    """Return all blocks of fidelity, in order of display."""
    scores = overview.headline()
    blocks: list[Block | None] = [
        Block(
            "SDMetrics quality",
            "The score that people quote, and its two parts.",
            "Worry when it is below what other real rows get. It is blind to much of what follows.",
            tuple(scores[:3]),
            notes=(overview.quality.note,) if overview.quality.note else (),
        ),
        overview.marginals.block(pairing.note),
    ]
    for name in split_by:
        groups = groups_of(pairing.real[name], [pairing.real[name], pairing.synthetic[name]])
        others = groups_of(pairing.real[name], [pairing.left[name], pairing.right[name]])
        blocks.append(conditional_block(name, overview.coded, overview.reference_coded, groups, others, pairing.note))
    rules, schema = rules_of(model)
    blocks += [
        association_block(pairing, rng),
        missing_block(pairing, rng),
        rule_block(pairing, rules, schema),
        rare_block(pairing),
        tail_block(pairing, rng),
        coverage_block(pairing, overview.coded, overview.reference_coded, rng),
        detection_block(pairing, rng),
        frechet_block(pairing, rng),
    ]
    return [block for block in blocks if block is not None]
