"""What models learned from synthetic rows are worth: the blocks of the utility section."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from privsynth.evaluation.intervals import bootstrap_interval
from privsynth.evaluation.learning import BOOSTING, HALVES, LINEAR, Learning
from privsynth.evaluation.metrics import calibration_curve, importances, metrics_of, rank_agreement
from privsynth.evaluation.score import Block, Score, table_of
from privsynth.evaluation.utility import MEANING, Utility, _positive

_DRAWS = 100
_N_FEATURES = 15
_LOWER = ("Brier score", "Expected calibration error", "Mean absolute error")
_RANGES: dict[str, tuple[float | None, float | None]] = {"R2": (None, 1.0), "Mean absolute error": (0.0, None)}
_MEANINGS = MEANING | {
    "Mean absolute error": "Mean distance of prediction and truth, in units of the target.",
    "Brier score": "Mean squared error of the predicted chances: 0 is best.",
    "Expected calibration error": "Mean gap between what is predicted and how often it comes true: 0 is best.",
    "Recall at 50 % precision": "Share of the rarer class that is found when half of the alarms are true.",
    "Recall at 80 % precision": "Share of the rarer class that is found when four of five alarms are true.",
}
_WORRY = "Worry when it is clearly worse than the reference: a model learned from synthetic rows is worth less."
_CALIBRATION = ("Brier score", "Expected calibration error")


@dataclasses.dataclass(frozen=True)
class Usefulness:
    """The scores of a `Learning`, each computed once.

    Parameters
    ----------
    learning : Learning
    rng : numpy Generator
        Draws test rows again for intervals.
    """

    learning: Learning
    rng: np.random.Generator

    def value(self, metric: str, kind: str, table: str) -> float | None:
        """Return one score; None where there is no such model."""
        model = self.learning.models.get((kind, table))
        return None if model is None else metrics_of(self.learning)[metric](self.learning.y_test, model.predictions)

    def score(self, name: str, metric: str, kind: str, table: str, reference: str, note: str) -> Score:
        """Return the score of a table beside that of another one."""
        function, y = metrics_of(self.learning)[metric], self.learning.y_test
        predictions = self.learning.models[kind, table].predictions
        ends = _RANGES.get(metric, (0.0, 1.0))
        low, high = bootstrap_interval(
            lambda r: function(y[r], predictions[r]), len(y), self.rng, draws=_DRAWS, low=ends[0], high=ends[1]
        )
        value = self.value(metric, kind, table)
        score = Score(
            name,
            value,
            self.value(metric, kind, reference),
            "lower" if metric in _LOWER else "higher",
            note=note,
            meaning=_MEANINGS[metric],
            low=low,
            high=high,
            range=ends,
            worry=_WORRY,
            section="utility",
        )
        return score if metric == "Mean absolute error" else score.judged(watch=0.02, bad=0.10)

    def headline(self) -> list[Score]:
        """Return TSTR of gradient boosting, beside TRTR."""
        note = " ".join(["Reference: learned from real rows.", *self.learning.notes[:1]])
        named = [m for m in metrics_of(self.learning) if m in MEANING]
        return [self.score(f"TSTR {metric}", metric, BOOSTING, "synthetic", "real", note) for metric in named]

    def to_utility(self, headline: list[Score]) -> Utility:
        """Return the scores of gradient boosting in the form of `train_synthetic_test_real`."""
        learning = self.learning
        scores = tuple(dataclasses.replace(score, name=score.name.removeprefix("TSTR ")) for score in headline)
        rows = {name: learning.rows[name] for name in ("synthetic", "real", "test")}
        return Utility(
            learning.target, learning.task, _positive(learning.classes), scores, rows, " ".join(learning.notes)
        )

    def blocks(self, headline: list[Score]) -> list[Block]:
        """Return all blocks, in order."""
        found = [self._models(headline)]
        if self.learning.classes is not None:
            found.append(self._calibration())
        if self.learning.task == "binary":
            found.append(self._recall())
        return [*found, self._augmentation(), self._importance()]

    def _models(self, headline: list[Score]) -> Block:
        main = next(iter(metrics_of(self.learning)))
        note = "Reference: the same model learned from real rows."
        scores = [*headline, self.score(f"TSTR {main}, linear model", main, LINEAR, "synthetic", "real", note)]
        if any("equal n" in table for _, table in self.learning.models):
            synthetic, real = self._at_equal_n("synthetic"), self._at_equal_n("real")
            equal = "Reference: TRTR at equal n, the same model learned from as many real rows."
            scores.append(self.score(f"TSTR {main}, equal n", main, BOOSTING, synthetic, real, equal))
        rows = [
            [kind, table, self.learning.rows[table], *(self.value(metric, kind, table) for metric in self._named())]
            for kind, table in self.learning.models
            if table not in HALVES
        ]
        return Block(
            f"Models of {self.learning.target}",
            "Models learned from synthetic rows (TSTR) and from real rows (TRTR), scored on the same real rows.",
            "Worry when synthetic rows teach clearly less, with more than one kind of model.",
            tuple(scores),
            table_of(["model", "learned from", "rows", *self._named()], rows),
            notes=self.learning.notes,
        )

    def _named(self) -> list[str]:
        return list(metrics_of(self.learning))

    def _at_equal_n(self, name: str) -> str:
        return f"{name}, equal n" if (BOOSTING, f"{name}, equal n") in self.learning.models else name

    def _calibration(self) -> Block:
        note = "Reference: learned from real rows."
        scores = [self.score(f"TSTR {m}", m, BOOSTING, "synthetic", "real", note) for m in _CALIBRATION]
        chart = None
        if self.learning.task == "binary":
            lines = []
            for name, table in (("TSTR", "synthetic"), ("TRTR", "real")):
                x, y = calibration_curve(self.learning.y_test, self.learning.models[BOOSTING, table].predictions)
                lines.append({"name": name, "x": x, "y": y})
            chart = {"kind": "lines", "x": "predicted chance", "y": "how often true", "lines": lines}
        return Block(
            "Calibration",
            "Whether chances that a model learned from synthetic rows predicts come true that often.",
            "Worry when chances are used as such, for prices or triage; ranking does not need them.",
            tuple(scores),
            chart=chart,
        )

    def _recall(self) -> Block:
        note = "Reference: learned from real rows. 0 where no threshold reaches the precision."
        names = [name for name in self._named() if name.startswith("Recall")]
        scores = [self.score(f"TSTR {name}", name, BOOSTING, "synthetic", "real", note) for name in names]
        return Block(
            "Recall at fixed precision",
            "How many of the rarer class are found when so many of the alarms must be true.",
            "Worry when a model must find rare cases and finds fewer than one learned from real rows.",
            tuple(scores),
        )

    def _augmentation(self) -> Block:
        learning, y = self.learning, self.learning.y_test
        main, function = next(iter(metrics_of(learning).items()))
        both, real = (learning.models[BOOSTING, table].predictions for table in ("real + synthetic", "real"))

        def gain(rows: npt.NDArray[np.intp]) -> float:
            return function(y[rows], both[rows]) - function(y[rows], real[rows])

        ends = (None, None) if main == "R2" else (-1.0, 1.0)
        low, high = bootstrap_interval(gain, len(y), self.rng, draws=_DRAWS, low=ends[0], high=ends[1])
        score = Score(
            f"Augmentation gain, {main}",
            gain(np.arange(len(y))),
            0.0,
            note="Reference: no gain. The same test rows are drawn for both.",
            meaning=f"{main} learned from real and synthetic rows together, minus that from real rows alone.",
            low=low,
            high=high,
            range=ends,
            worry="Worry when its interval lies below 0: adding synthetic rows does harm.",
            section="utility",
        )
        return Block(
            "Augmentation",
            "Whether adding the synthetic rows to the real ones helps a model.",
            "Worry when it does harm. Synthetic rows hold nothing that the real ones do not, so little gain is usual.",
            (score.judged(watch=0.01, bad=0.05),),
        )

    def _importance(self) -> Block:
        learning = self.learning
        function = next(iter(metrics_of(learning).values()))
        with threadpool_limits(limits=1):
            first, second, *halves = (
                importances(learning.models[BOOSTING, table], learning.y_test, function, self.rng)
                for table in ("real", "synthetic", *HALVES)
            )
        names = [str(name) for name in learning.test.columns] or ["(none)"]
        value = rank_agreement(first, second)
        low, high = _fisher_interval(value, len(first))
        score = Score(
            "Importance agreement",
            value,
            rank_agreement(*halves),
            note="Reference: models learned from two halves of the real rows. "
            "The interval takes features for a sample.",
            meaning="Rank correlation of the features' permutation importances in models learned from synthetic and "
            "from real rows: 1 is the same order.",
            low=low,
            high=high,
            range=(-1.0, 1.0),
            worry="Worry below about 0.5 if models are read for what drives the target.",
            section="utility",
        ).judged(watch=0.2, bad=0.5)
        order = np.argsort(-np.maximum(first, second))[:_N_FEATURES]
        bars: list[dict[str, Any]] = [
            {"name": names[i], "value": float(second[i]), "reference": float(first[i])} for i in order
        ]
        return Block(
            "Feature importance",
            "Whether models learned from synthetic and from real rows rely on the same columns.",
            "Worry when a column that matters in the real table does not matter in the synthetic one, or the reverse.",
            (score,),
            table_of(
                ["feature", "learned from real", "learned from synthetic"],
                [[names[i], first[i], second[i]] for i in order],
            ),
            {"kind": "bars", "bars": bars},
        )


def _fisher_interval(value: float | None, n: int) -> tuple[float | None, float | None]:
    """Return Fisher's interval of a correlation of n pairs."""
    if value is None or n < 4 or abs(value) >= 1:
        return (None, None) if value is None or n < 4 else (value, value)
    half = 1.959963984540054 / math.sqrt(n - 3)
    return math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
