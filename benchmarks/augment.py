"""Does it help a fraud model to add synthetic frauds? python benchmarks/augment.py [--seeds 3]."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
from common import isolated, median_rows, write_table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits


def features(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers for trees: codes for levels, hour and weekday for the time."""
    columns: dict[str, Any] = {}
    for name in table.columns.drop("is_fraud"):
        values = table[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            columns[f"{name} hour"] = values.dt.hour
            columns[f"{name} weekday"] = values.dt.weekday
        elif pd.api.types.is_numeric_dtype(values):
            columns[name] = values
        else:
            columns[name] = values.astype(str).map(lambda text: hash_of(text))
    return pd.DataFrame(columns)


def hash_of(text: str) -> int:
    """A number for a level that does not depend on the table."""
    return sum(ord(letter) * (place + 1) for place, letter in enumerate(text)) % 9973


def precision(train: pd.DataFrame, test: pd.DataFrame, **parameters: Any) -> float:
    """Average precision on `test` of boosted trees fitted to `train`."""
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(random_state=0, **parameters)
        model.fit(features(train), train["is_fraud"])
        return float(average_precision_score(test["is_fraud"], model.predict_proba(features(test))[:, 1]))


def measure_augmentation(*, seed: int, n_rows: int, epsilon: float) -> dict[str, Any]:
    """Average precision of four ways to train on the same real rows."""
    from privsynth import CTGAN
    from privsynth.datasets import make_transactions

    warnings.simplefilter("ignore")
    table = make_transactions(2 * n_rows, fraud_rate=0.01, random_state=seed)
    mixed = table.sample(frac=1.0, random_state=seed).reset_index(drop=True)
    train, test = mixed[:n_rows], mixed[n_rows:]
    model = CTGAN(epsilon, target="is_fraud", verbose=False, random_state=seed).fit(train)
    n_frauds = int(train["is_fraud"].sum())
    frauds = model.sample(n_frauds, conditions={"is_fraud": True}, random_state=seed)
    synthetic = model.sample(n_rows, random_state=seed)
    return {
        "TSTR": precision(synthetic, test),
        "TVD2": np.nan,
        "real rows": precision(train, test),
        "real, class weights": precision(train, test, class_weight="balanced"),
        "real + as many synthetic frauds": precision(pd.concat([train, frauds]), test),
        "synthetic rows alone": precision(synthetic, test),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for n_rows, epsilon in ((20_000, 1.0), (20_000, 10.0), (100_000, 1.0)):
        runs = [
            isolated("measure_augmentation", module="augment", seed=seed, n_rows=n_rows, epsilon=epsilon)
            for seed in range(options.seeds)
        ]
        row = median_rows(runs)
        kept = [key for key in runs[0] if key not in ("TSTR", "TVD2")]
        rows.append({"rows": n_rows, "epsilon": epsilon, **{key: row[key] for key in kept}})
        print(rows[-1], flush=True)
    notes = [
        "Simulated card transactions, 1% fraud; average precision on as many fresh rows; "
        f"medians of {options.seeds} seeds.",
        "Gradient boosting with its default settings; nothing declared to privsynth.",
    ]
    write_table("augment", "Adding synthetic frauds to a fraud model", rows, notes)


if __name__ == "__main__":
    main()
