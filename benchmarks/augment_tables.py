"""Tables of two teams for augment.py: few labelled cases here, many rows there, and rows to test on that come later.

Three tables. *transactions*: simulated, 1 % fraud, with drift: both teams hold rows of the first two months, and
the test rows are of the third. *cardio* and *stroke*: public; the rows of each seed's split are the two teams' and
the test rows. Of cardio's positives, half of the table as it comes, so many are left out that 10 % remain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from common import load
from sklearn.compose import make_column_transformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler

from privsynth.datasets import make_transactions

LABELS = {"transactions": "is_fraud", "cardio": "cardio", "stroke": "stroke"}
DRIFT, FRAUD_RATE, CARDIO_RATE = 0.5, 0.01, 0.1
ROWS, OTHER_ROWS, TEST_ROWS = 330_000, 150_000, 50_000  # two thirds of the first are of the first two months
DRAWS = {("transactions", 50): 4, ("cardio", 50): 4}  # of the first team's rows, by table and cases; 1 elsewhere
SIZES = {"transactions": (50, 150, 500), "cardio": (50, 150, 500), "stroke": (50,)}
FEW = 20  # whole numbers of at most so many values are levels, in the public tables


@dataclass(frozen=True)
class Teams:
    """The rows of the team that trains a classifier, of the team that lends a generator, and the test rows."""

    table: str
    own: pd.DataFrame
    other: pd.DataFrame
    test: pd.DataFrame

    @property
    def label(self) -> str:
        return LABELS[self.table]

    @cached_property
    def features(self) -> Features:
        return Features(self)

    @property
    def share(self) -> float:
        """Test rows per row that was trained on, of one split; 0 where all rows of a seed are drawn anew."""
        return 0.0 if self.table == "transactions" else len(self.test) / (len(self.own) + len(self.other))


def teams(table: str, positives: int, seed: int, draw: int = 0) -> Teams:
    """Return the rows of both teams and the test rows; the first has about `positives` rows of the rare class.

    Only the rows of the first depend on the `draw`: other rows that are in nobody's hands.
    """
    if table == "transactions":
        made = make_transactions(ROWS, fraud_rate=FRAUD_RATE, drift=DRIFT, random_state=seed)
        late = made["timestamp"] >= "2024-03-01"
        early, test = _shuffled(made[~late], seed), _shuffled(made[late], seed)[:TEST_ROWS]
        own_rows = round(positives / FRAUD_RATE)
        own = early[OTHER_ROWS + draw * own_rows :][:own_rows].reset_index(drop=True)
        return Teams(table, own, early[:OTHER_ROWS], test)
    frame = pd.concat(load(table), ignore_index=True).drop(columns="id", errors="ignore")
    frame[LABELS[table]] = frame[LABELS[table]].astype(bool)
    cases, rest = (_shuffled(frame[frame[LABELS[table]] == value], seed) for value in (True, False))
    if table == "cardio":
        cases = cases[: round(len(rest) * CARDIO_RATE / (1 - CARDIO_RATE))]
    n_test, per_case = round(0.25 * len(cases)), len(rest) / len(cases)
    first = n_test + draw * positives
    held = n_test + max(SIZES[table])  # the other team's rows do not depend on how many this one has
    cuts = [(0, n_test), (first, first + positives), (held, len(cases))]
    test, own, other = (
        _shuffled(pd.concat([cases[a:b], rest[round(a * per_case) : round(b * per_case)]]), seed) for a, b in cuts
    )
    return Teams(table, own, other, test)


def _shuffled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    return frame.sample(frac=1.0, random_state=seed).reset_index(drop=True)


class Features:
    """What classifiers see: levels as categories, hour and weekday of a time, no missing numbers.

    Levels are those of the whole table, as a codebook would list them. Missing numbers become the median of the
    team's own rows, and a column says where; the encoding for linear models is fitted to the team's own rows.
    """

    def __init__(self, known: Teams) -> None:
        self._label = known.label
        every = pd.concat([known.own, known.other, known.test])
        rows = self._clock(every)
        self._levels = {
            name: [*sorted(rows[name].dropna().astype(str).unique()), "missing"]
            for name in rows
            if not pd.api.types.is_numeric_dtype(rows[name]) or rows[name].nunique() <= FEW
        }
        own = self._clock(known.own)
        self._medians = {
            name: float(own[name].median()) for name in rows if name not in self._levels and rows[name].isna().any()
        }

    def mixed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return numbers and categories, without the label."""
        rows = self._clock(frame)
        columns: dict[str, Any] = {}
        for name in rows:
            if name in self._levels:
                text = rows[name].astype(object).where(rows[name].notna(), "missing").astype(str)
                columns[name] = pd.Categorical(text, categories=self._levels[name])
            else:
                columns[name] = rows[name].astype(float).fillna(self._medians.get(name, 0.0))
            if name in self._medians:
                columns[f"{name} missing"] = rows[name].isna().astype(float)
        return pd.DataFrame(columns, index=frame.index)

    def encoder(self, mixed: pd.DataFrame) -> Pipeline:
        """Return what turns mixed rows into scaled numbers, fitted to them: ranks to a normal scale, and dummies."""
        levels = [name for name in mixed if name in self._levels]
        numbers = [name for name in mixed if name not in self._levels]
        ranks = QuantileTransformer(
            n_quantiles=min(100, len(mixed)), output_distribution="normal", subsample=None, random_state=0
        )
        dummies = OneHotEncoder(
            categories=[self._levels[name] for name in levels], handle_unknown="ignore", sparse_output=False
        )
        return make_pipeline(make_column_transformer((ranks, numbers), (dummies, levels)), StandardScaler()).fit(mixed)

    def _clock(self, frame: pd.DataFrame) -> pd.DataFrame:
        rows = frame.drop(columns=self._label)
        for name in rows.select_dtypes("datetime"):
            clock = rows.pop(name).dt
            rows[f"{name} hour"], rows[f"{name} weekday"] = clock.hour, clock.weekday
        return rows
