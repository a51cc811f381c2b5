from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from privsynth.errors import DataError, ParameterError
from privsynth.evaluation import evaluate, train_synthetic_test_real
from privsynth.evaluation.utility import boosting
from tests.evaluation.frames import mixed_frame

REAL, HOLDOUT, OTHER = (mixed_frame(1500, seed=seed) for seed in (0, 1, 2))


def by_name(utility):
    return {score.name: score for score in utility.scores}


def test_as_good_as_real_when_drawn_from_the_same_population():
    utility = train_synthetic_test_real(REAL, OTHER, target="fraud", holdout=HOLDOUT)
    auc = by_name(utility)["ROC AUC"]
    assert (utility.task, utility.positive, utility.note) == ("binary", 1, "")
    assert auc.reference > 0.75
    assert auc.value == pytest.approx(auc.reference, abs=0.1)


def test_shuffled_labels_are_worth_guessing():
    # Planted fault: the AUC of a model learned from noise is 0.5 with a standard error of at most
    # 1 / sqrt(12 n_pos) ~ 0.02 here (Hanley and McNeil 1982); 0.12 is 5 of them and more.
    labels = np.random.default_rng(3).permutation(OTHER["fraud"].to_numpy())
    utility = train_synthetic_test_real(REAL, OTHER.assign(fraud=labels), target="fraud", holdout=HOLDOUT)
    assert by_name(utility)["ROC AUC"].value == pytest.approx(0.5, abs=0.12)


def test_a_single_synthetic_class_is_guessing_with_a_note():
    utility = train_synthetic_test_real(REAL, OTHER.assign(fraud=0), target="fraud", holdout=HOLDOUT)
    scores = by_name(utility)
    assert scores["ROC AUC"].value == 0.5
    assert scores["Average precision"].value == pytest.approx(HOLDOUT["fraud"].mean())
    assert "fewer than two classes" in utility.note


def test_without_a_holdout_the_note_says_optimistic_and_the_seed_decides():
    first, second = (train_synthetic_test_real(REAL, OTHER, target="fraud", random_state=4) for _ in range(2))
    assert "optimistic" in first.note
    assert first == second
    assert first.rows == {"synthetic": 1500, "real": 1200, "test": 300}


def test_multiclass_with_unknown_and_absent_classes():
    synthetic = OTHER.replace({"tier": {"high": "unheard of"}})
    utility = train_synthetic_test_real(REAL, synthetic, target="tier", holdout=HOLDOUT)
    assert utility.task == "multiclass"
    assert 0.4 < by_name(utility)["ROC AUC"].value < by_name(utility)["ROC AUC"].reference
    assert "synthetic rows without a usable target" in utility.note


def test_a_class_of_one_row_in_a_large_table_is_learned_like_others():
    # Above 10,000 rows scikit-learn's boosting draws rows by class to end by, and refuses classes of one row.
    rng = np.random.default_rng(0)
    large, holdout = (pd.DataFrame({"x": rng.normal(size=n)}) for n in (11_000, 500))
    synthetic = large.assign(fraud=[1] + [0] * (len(large) - 1))
    real, held = (frame.assign(fraud=(frame["x"] > 1).astype(int)) for frame in (large, holdout))
    utility = train_synthetic_test_real(real, synthetic, target="fraud", holdout=held)
    assert by_name(utility)["ROC AUC"].reference == 1.0
    assert utility.note == ""
    one, two = (boosting(large.to_numpy(), frame["fraud"].to_numpy(), 0) for frame in (synthetic, real))
    assert (one.do_early_stopping_, two.do_early_stopping_) == (False, True)
    tier = np.where(held["x"] > 1, "high", "low")
    tiers = large.assign(tier=["new"] + ["high" if x > 1 else "low" for x in large["x"][1:]])
    tested = holdout.assign(tier=["new", *tier[1:]])
    assert train_synthetic_test_real(tiers, tiers, target="tier", holdout=tested).task == "multiclass"
    summary = evaluate(tiers, tiers, target="tier", holdout=tested, sections=["utility"]).summary
    assert summary["sections"]["utility"]


def test_numbers_are_regressed():
    utility = train_synthetic_test_real(REAL, OTHER, target="amount", holdout=HOLDOUT)
    assert utility.task == "regression"
    assert by_name(utility)["R2"].value > 0.2


def test_whole_floats_from_missing_ints_match_int_classes():
    synthetic = OTHER.astype({"fraud": float})
    synthetic.loc[:9, "fraud"] = np.nan
    utility = train_synthetic_test_real(REAL, synthetic, target="fraud", holdout=HOLDOUT)
    assert utility.rows["synthetic"] == 1490


def test_errors():
    with pytest.raises(ParameterError, match=r"target parameter .* a column of the real table: tier"):
        train_synthetic_test_real(REAL, OTHER, target="nope")
    with pytest.raises(DataError, match="'fraud' must have at least two classes"):
        train_synthetic_test_real(REAL.assign(fraud=0), OTHER, target="fraud")
    with pytest.raises(DataError, match="must hold two classes of the target 'fraud'"):
        train_synthetic_test_real(REAL, OTHER, target="fraud", holdout=HOLDOUT.assign(fraud=0))


def test_a_table_of_the_target_alone_is_guessing():
    real = pd.DataFrame({"y": ["a", "b", "b"] * 20})
    assert by_name(train_synthetic_test_real(real, real, target="y"))["ROC AUC"].value == 0.5


def test_a_feature_that_is_missing_in_every_synthetic_row_teaches_nothing():
    column = next(name for name in OTHER if name != "fraud" and pd.api.types.is_float_dtype(OTHER[name]))
    utility = train_synthetic_test_real(REAL, OTHER.assign(**{column: np.nan}), target="fraud", holdout=HOLDOUT)
    assert 0.5 < by_name(utility)["ROC AUC"].value <= 1
