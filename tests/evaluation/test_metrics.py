"""Scores of predictions against scikit-learn and slow counts, and models on tables where the answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, r2_score, roc_auc_score

from privsynth.evaluation.intervals import auc, bootstrap_interval, jackknife_interval
from privsynth.evaluation.learning import BOOSTING, HALVES, LINEAR, learn_all
from privsynth.evaluation.metrics import brier, calibration_error, macro_auc, r2, rank_agreement, recall_at
from privsynth.evaluation.usefulness import Usefulness
from tests.evaluation.frames import shuffled_columns
from tests.evaluation.populations import draw


def chances_of(values):
    values = np.asarray(values, dtype=float)
    return np.column_stack([1 - values, values])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0])), min_size=4, max_size=30))
def test_scores_agree_with_their_definitions(rows):
    y = np.array([row[0] for row in rows], dtype=float)
    p = np.array([row[1] for row in rows])
    chances = chances_of(p)
    assert brier(y, chances) == pytest.approx(brier_score_loss(y, p, pos_label=1))
    assert r2(y, p) == pytest.approx(r2_score(y, p)) or np.ptp(y) == 0
    if 0 < y.sum() < len(y):
        assert macro_auc(y, chances) == pytest.approx(roc_auc_score(y, p))
        assert auc(p[y == 1], p[y == 0]) == pytest.approx(roc_auc_score(y, p))
        for precision in (0.5, 0.8):
            calls = [p >= threshold for threshold in set(p)]
            slow = [y[call].sum() / y.sum() for call in calls if y[call].mean() >= precision]
            assert recall_at(y, chances, precision) == pytest.approx(max(slow, default=0.0))
    else:
        assert np.isnan(macro_auc(y, chances))


def test_true_chances_are_calibrated_and_inflated_ones_are_not():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    y = (rng.random(20_000) < p).astype(float)
    assert calibration_error(y, chances_of(p)) < 0.02
    assert calibration_error(y, chances_of(np.sqrt(p))) == pytest.approx(np.mean(np.sqrt(p) - p), abs=0.02)


def test_several_classes_are_scored_one_against_the_rest():
    y = np.array([0.0, 1, 2, 0, 1, 2])
    perfect = np.eye(3)[y.astype(int)]
    assert macro_auc(y, perfect) == 1
    assert brier(y, perfect) == calibration_error(y, perfect) == 0
    assert brier(y, 1 - perfect) == pytest.approx(1.5)


def test_bootstrap_intervals_hold_the_mean_as_often_as_they_say():
    """Of 95 % intervals of 100 normal rows; a share below 0.86 of 200 has chance 1e-6 if the level were 0.94."""
    rng = np.random.default_rng(0)
    hit = 0
    for _ in range(200):
        values = rng.normal(size=100)
        low, high = bootstrap_interval(lambda rows, v=values: v[rows].mean(), 100, rng, draws=100)
        hit += low <= 0 <= high
    assert hit / 200 > 0.86


def test_intervals_stay_in_range_and_know_when_there_are_none():
    rng = np.random.default_rng(0)
    assert bootstrap_interval(lambda rows: float("nan"), 5, rng, draws=5) == (None, None)
    low, high = bootstrap_interval(lambda rows: 1.0, 5, rng, draws=5, low=0.0, high=1.0)
    assert (low, high) == (1.0, 1.0)
    assert jackknife_interval(0.01, 0.5, high=1.0)[0] == 0.0
    assert jackknife_interval(0.01, float("nan")) == (None, None)


def test_rank_agreement_needs_ranks():
    assert rank_agreement(np.array([1.0, 2, 3]), np.array([2.0, 3, 9])) == 1
    assert rank_agreement(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == -1
    assert rank_agreement(np.array([1.0, 2]), np.array([3.0, 2])) is None
    assert rank_agreement(np.array([1.0, 1, 1]), np.array([3.0, 2, 1])) is None


def learned(synthetic, target="smoker", n_real=600):
    real, holdout = draw(n_real, 0), draw(600, 1)
    return learn_all(real, synthetic, target=target, holdout=holdout, rng=np.random.default_rng(0))


def test_tables_of_equal_size_are_compared():
    assert set(learned(draw(600, 2)).models) == {
        *((BOOSTING, table) for table in ("synthetic", "real", "real + synthetic", *HALVES)),
        (LINEAR, "synthetic"),
        (LINEAR, "real"),
    }
    few = learned(draw(200, 2))
    assert few.rows["real, equal n"] == few.rows["synthetic"] == 200
    assert few.rows["real + synthetic"] == 800
    assert learned(draw(900, 2)).rows["synthetic, equal n"] == 600


@pytest.mark.parametrize(("target", "task"), [("smoker", "binary"), ("region", "multiclass"), ("income", "regression")])
def test_what_synthetic_rows_teach(target, task):
    good, none = (learned(frame, target) for frame in (draw(600, 2), shuffled_columns(draw(600, 2))))
    assert good.task == task
    found = [
        {score.name: score for block in Usefulness(x, np.random.default_rng(0)).blocks([]) for score in block.scores}
        for x in (good, none)
    ]
    main = "R2" if task == "regression" else "ROC AUC"
    for name in (f"TSTR {main}, linear model",):
        assert found[0][name].value > found[1][name].high
    gain = found[0][f"Augmentation gain, {main}"]
    assert gain.low <= gain.value <= gain.high
    assert found[0]["Importance agreement"].value is not None


def test_one_class_only_is_worth_a_guess():
    found = learned(draw(300, 2).assign(smoker=False))
    assert macro_auc(found.y_test, found.models[BOOSTING, "synthetic"].predictions) == 0.5
    assert any("fewer than two classes" in note for note in found.notes)


def test_a_target_alone_can_only_be_guessed():
    frames = [pd.DataFrame({"smoker": draw(100, seed)["smoker"]}) for seed in range(3)]
    found = learn_all(frames[0], frames[1], target="smoker", holdout=frames[2], rng=np.random.default_rng(0))
    assert macro_auc(found.y_test, found.models[LINEAR, "real"].predictions) == 0.5
    assert Usefulness(found, np.random.default_rng(0)).blocks([])
