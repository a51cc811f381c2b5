"""What the releases of a fit can tell about a rare class, whatever the model: python benchmarks/rare_class_limits.py.

Simulated transactions, 100,000 rows, 1 % fraud, total epsilon 1. Classifiers are made from the statistics alone, exact
and with noise, and scored on fresh rows. Statistics are counted in the cells of a private encoder. None of this is
private (ridge penalties, and where it says so trees, look at the truth): these are bounds.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from common import write_table
from peers_own import seen
from scipy.optimize import minimize
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score
from sklearn.tree import DecisionTreeClassifier

GROUPS = 6
RIDGES = (0.02, 0.1, 0.5, 2.0)  # of noise variance


class Case:
    """Cells of training and test rows, and which are fraud."""

    def __init__(self, seed: int) -> None:
        from privsynth import CTGAN
        from privsynth.datasets import make_transactions

        self.rng = np.random.default_rng(seed)
        found: dict[str, Any] = {}
        frame = make_transactions(100_000, random_state=seed)
        with seen(found):
            model = CTGAN(1.0, target="is_fraud", verbose=False, random_state=seed).fit(frame)
        fresh = make_transactions(300_000, random_state=1000 + seed)
        known = next(c for c in model.encoder_.columns if c.name == "country").levels
        fresh = fresh[fresh["country"].isin(known)]
        layout = model.encoder_.layout
        split = layout.index("is_fraud")
        others = [j for j in range(len(layout.spans)) if j != split]
        self.sizes = [layout.spans[j].size for j in others]
        train, test = found["codes"], model.encoder_.transform(fresh)
        self.rare = int(np.argmin(np.bincount(train[:, split])))
        self.train, self.test = train[:, others], test[:, others]
        self.fraud, self.wanted = train[:, split] == self.rare, test[:, split] == self.rare
        rows = model.sample(100_000, random_state=0)
        drawn = model.encoder_.transform(rows)
        self.drawn, self.drawn_fraud = drawn[:, others], drawn[:, split] == self.rare
        self.scales = {charge.label: charge.scale for charge in model.certificate_.charges}

    def score(self, values: np.ndarray) -> float:
        return float(average_precision_score(self.wanted, values))

    def one_hot(self, rows: np.ndarray, sizes: list[int]) -> scipy.sparse.csr_matrix:
        starts = np.cumsum([0, *sizes[:-1]])
        at = (rows + starts).ravel()
        shape = (len(rows), sum(sizes))
        return scipy.sparse.csr_matrix((np.ones(at.size), (np.repeat(np.arange(len(rows)), rows.shape[1]), at)), shape)

    def naive_bayes(self, scale: float) -> float:
        """Columns by class, each on its own."""
        found = np.zeros(len(self.test))
        for j, size in enumerate(self.sizes):
            ratio = []
            for rows in (self.train[self.fraud, j], self.train[~self.fraud, j]):
                counts = np.bincount(rows, minlength=size) + self.rng.normal(0, scale, size)
                counts = np.maximum(counts, 0) + 0.5 + scale / 2
                ratio.append(np.log(counts / counts.sum()))
            found += (ratio[0] - ratio[1])[self.test[:, j]]
        return self.score(found)

    def grouped(self, rows: np.ndarray) -> np.ndarray:
        """Cells in groups of about equal mass among frauds."""
        columns = []
        for j, size in enumerate(self.sizes):
            share = np.bincount(self.train[self.fraud, j], minlength=size) / self.fraud.sum()
            group = np.minimum(((np.cumsum(share) - share / 2) * GROUPS).astype(int), GROUPS - 1)
            columns.append(group[rows[:, j]])
        return np.stack(columns, axis=1)

    def pairs(self, column_scale: float, pair_scale: float) -> float:
        """Logistic regression of pairs of groups, from sums over frauds; the other rows are exact. The best ridge."""
        train, test = self._pair_features(self.train), self._pair_features(self.test)
        sums = np.asarray(train[self.fraud].sum(axis=0)).ravel()
        n_columns = sum(self.sizes)
        sums[:n_columns] += self.rng.normal(0, column_scale, n_columns)
        sums[n_columns:] += self.rng.normal(0, pair_scale, len(sums) - n_columns)
        ridges = [ridge * max(pair_scale, 1.0) ** 2 for ridge in RIDGES]
        return max(self.score(test @ _logistic(train, sums, int(self.fraud.sum()), ridge)) for ridge in ridges)

    def _pair_features(self, rows: np.ndarray) -> scipy.sparse.csr_matrix:
        groups = self.grouped(rows)
        pairs = [groups[:, i] * GROUPS + groups[:, j] for i in range(groups.shape[1]) for j in range(i)]
        sizes = [GROUPS * GROUPS] * len(pairs)
        return scipy.sparse.hstack([self.one_hot(rows, self.sizes), self.one_hot(np.stack(pairs, 1), sizes)]).tocsr()

    def boxes(self, *, scale: float, own: bool, n_trees: int = 8, n_boxes: int = 64) -> float:
        """Frauds and others in the boxes of trees that tell them apart, grown on real rows or on the model's."""
        rows, fraud = (self.train, self.fraud) if own else (self.drawn, self.drawn_fraud)
        found = np.zeros(len(self.test))
        for number in range(n_trees):
            tree = DecisionTreeClassifier(
                max_leaf_nodes=n_boxes, min_samples_leaf=max(5, len(rows) // (50 * n_boxes)), max_features=0.5,
                class_weight="balanced", random_state=number,
            ).fit(rows, fraud)  # fmt: skip
            box, n = tree.apply(self.train), tree.tree_.node_count
            counts = [
                np.bincount(box[of], minlength=n) + self.rng.normal(0, scale, n) for of in (self.fraud, ~self.fraud)
            ]
            few, many = np.maximum(counts[0], 0) + 0.3 + scale / 4, np.maximum(counts[1], 0) + 1 + scale / 4
            found += np.log(few / many)[tree.apply(self.test)]
        return self.score(found)

    def boosting(self, rows: np.ndarray, fraud: np.ndarray) -> float:
        """A learner with its default settings."""
        learner = HistGradientBoostingClassifier(random_state=0).fit(rows, fraud)
        return self.score(learner.predict_proba(self.test)[:, 1])

    def ways(self) -> dict[str, Callable[[], float]]:
        """Return what is compared."""
        columns, pairs = self.scales["columns by class"], self.scales["pairs by class"]
        boxes = self.scales["partitions by class"]
        return {
            "boosting on all real rows, in cells": lambda: self.boosting(self.train, self.fraud),
            "columns by class (naive Bayes), exact": lambda: self.naive_bayes(0.0),
            "columns by class, with the noise of a fit": lambda: self.naive_bayes(columns),
            "pairs of six groups by class, exact": lambda: self.pairs(0.0, 0.0),
            "pairs of six groups by class, with the noise of a fit": lambda: self.pairs(columns, pairs),
            "pairs of six groups by class, with half that noise": lambda: self.pairs(columns / 2, pairs / 2),
            "8 trees of 64 boxes that know real frauds, exact": lambda: self.boxes(scale=0.0, own=True),
            "the same, counted with the noise of a fit": lambda: self.boxes(scale=boxes, own=True),
            "8 trees of 64 boxes grown on the model's frauds, exact": lambda: self.boxes(scale=0.0, own=False),
            "boosting on rows of the fit": lambda: self.boosting(self.drawn, self.drawn_fraud),
        }


def _logistic(rows: Any, sums: np.ndarray, n_cases: int, ridge: float) -> np.ndarray:
    """Maximise the penalised likelihood that has `sums` of the cases' features, and any rows' features."""

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        inner, level = weights[:-1], weights[-1]
        logits = rows @ inner + level
        chance = 1 / (1 + np.exp(-logits))
        value = np.logaddexp(0, logits).sum() - inner @ sums - level * n_cases + ridge / 2 * inner @ inner
        slope = np.append(rows.T @ chance - sums + ridge * inner, chance.sum() - n_cases)
        return value / 1000, slope / 1000

    start = np.append(np.zeros(rows.shape[1]), math.log(n_cases / rows.shape[0]))
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150}).x[:-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        case = Case(seed)
        for name, way in case.ways().items():
            found.setdefault(name, []).append(way())
            print(seed, name, round(found[name][-1], 4), flush=True)
    rows = [
        {"from": name, "average precision": float(np.mean(v)), "spread": max(v) - min(v)} for name, v in found.items()
    ]
    notes = [
        "Transactions, 100,000 rows, 1 % fraud, total epsilon 1, nothing declared; 300,000 fresh rows; means of "
        f"{options.seeds} seeds.",
        "Bounds, not methods: ridge penalties are the best of four on the test rows, other rows than frauds are exact "
        "for pairs, and trees that know real frauds are not private.",
    ]
    write_table("rare_class_limits", "What releases can tell about a rare class", rows, notes)


if __name__ == "__main__":
    main()
