"""A small messy table as it lies: ids, missing bmi, nothing declared, epsilon 3: python benchmarks/stroke.py."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
from common import DATA, load, write_table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from privsynth import CTGAN


def scores(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """ROC AUC on real rows of gradient boosting and of a logistic regression."""
    both = pd.concat([train, test]).drop(columns=["id", "stroke"])
    dummies = pd.get_dummies(both).astype(float)
    dummies = dummies.fillna(dummies[: len(train)].median())
    for name in both.select_dtypes("object"):
        both[name] = both[name].astype("category")
    y, wanted = train["stroke"].astype(int), test["stroke"].astype(int)
    boosting = HistGradientBoostingClassifier(
        categorical_features="from_dtype", max_iter=60, learning_rate=0.05, max_leaf_nodes=8, random_state=0
    )
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    found = {}
    with threadpool_limits(1):
        for name, model, table in (("boosting", boosting, both), ("linear", linear, dummies)):
            model.fit(table[: len(train)], y)
            found[name] = float(roc_auc_score(wanted, model.predict_proba(table[len(train) :])[:, 1]))
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    train, test = load("stroke")
    real = pd.concat([train, test])
    first = {"rows": "real", **scores(train, test), "missing bmi": train["bmi"].isna().mean()}
    rows: list[dict[str, Any]] = [{**first, "ids": "distinct", "ids of real rows": len(train)}]
    for seed in range(3):
        model = CTGAN(3.0, target="stroke", random_state=seed, verbose=False).fit(train)
        sample = model.sample(len(train), random_state=seed)
        rows.append(
            {
                "rows": f"synthetic, seed {seed}",
                **scores(sample, test),
                "missing bmi": sample["bmi"].isna().mean(),
                "ids": "distinct" if sample["id"].is_unique else "repeated",
                "ids of real rows": len(set(sample["id"]) & set(real["id"])),
            }
        )
    notes = [f"{DATA.name}/stroke.csv, 80/20 split; nothing declared, epsilon 3, target stroke; ROC AUC on real rows."]
    write_table("stroke", "Stroke", rows, notes)


if __name__ == "__main__":
    main()
