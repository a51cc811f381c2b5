"""Blocks of fidelity and fairness on tables made so that the answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from scipy.stats.contingency import association as scipy_association

from privsynth.evaluation import evaluate
from privsynth.evaluation.association import associations
from privsynth.evaluation.conditional import groups_of
from privsynth.evaluation.detection import frechet_distance
from privsynth.evaluation.fairness import rate_gap
from privsynth.evaluation.space import Space, distances
from tests.evaluation.frames import mixed_frame
from tests.evaluation.populations import draw

N = 600


def block(evaluation, section, title):
    return next(b for b in evaluation.summary["sections"][section] if b["title"] == title)


def rows_of(table):
    return {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}


def test_associations_agree_with_scipy():
    frame = mixed_frame(400).dropna()
    found = associations(frame, frame)
    assert found["Cramer's V", "tier", "country"] == pytest.approx(
        scipy_association(pd.crosstab(frame["tier"], frame["country"]).to_numpy(), method="cramer")
    )
    visits, amount = frame["visits"].astype(float), frame["amount"].astype(float)
    assert found["Spearman correlation", "amount", "visits"] == pytest.approx(spearmanr(amount, visits).statistic)
    assert found["Pearson correlation", "amount", "visits"] == pytest.approx(np.corrcoef(amount, visits)[0, 1])
    group = amount.groupby(frame["tier"])
    between = (group.size() * (group.mean() - amount.mean()) ** 2).sum() / ((amount - amount.mean()) ** 2).sum()
    assert found["Correlation ratio", "tier", "amount"] == pytest.approx(np.sqrt(between))
    assert np.isnan(found["Pearson correlation", "amount", "always"])


def test_a_rare_class_that_is_wrong_shows_within_its_value_only():
    real, synthetic, holdout = (draw(2 * N, seed) for seed in range(3))
    is_west = (synthetic["region"] == "west").to_numpy()
    synthetic.loc[is_west, "height"] += 50
    found = evaluate(real, synthetic, holdout=holdout, conditions=["region"], sections=["fidelity"])
    assert found.scores["1-way TVD"] < 0.1
    rows = rows_of(block(found, "fidelity", "Within each value of region")["table"])
    assert set(rows) == {"north", "south", "east", "west"}
    assert rows["west"]["TVD"] > rows["west"]["reference"] + 0.1
    assert rows["west"]["worst column"] == "height"
    assert abs(rows["north"]["TVD"] - rows["north"]["reference"]) < 0.05
    assert rows["north"]["share from"] < rows["north"]["synthetic share"] < rows["north"]["share to"]


def test_a_value_that_no_synthetic_row_has_is_as_wrong_as_can_be():
    real, holdout = draw(N, 0), draw(N, 1)
    gone = draw(N, 2).replace({"region": {"west": "north"}})
    found = evaluate(real, gone, holdout=holdout, conditions=["region"], sections=["fidelity", "fairness"])
    assert rows_of(block(found, "fidelity", "Within each value of region")["table"])["west"]["TVD"] == 1
    assert rows_of(block(found, "fairness", "Groups of region")["table"])["west"]["synthetic share"] == 0


def test_numbers_are_split_in_quarters_and_missing_is_a_group():
    column = pd.Series([*range(100), None], dtype=float)
    names, (places,) = groups_of(column, [column])
    assert names[-1] == "missing"
    assert np.bincount(places).tolist() == [25, 25, 25, 25, 1]
    dates = pd.Series(pd.date_range("2024-01-01", periods=100))
    assert groups_of(dates, [dates])[0][0] == "up to 2024-01-25"


def test_an_outcome_turned_round_shows_in_fairness():
    real, synthetic, holdout = (draw(4 * N, seed) for seed in range(3))
    north = synthetic["region"] == "north"
    rng = np.random.default_rng(0)
    synthetic["smoker"] = np.where(north, rng.random(len(north)) < 0.1, synthetic["smoker"])
    settings = {"holdout": holdout, "target": "smoker", "conditions": ["region"], "sections": ["fairness"]}
    fair, turned = evaluate(real, draw(4 * N, 3), **settings), evaluate(real, synthetic, **settings)
    name = "Outcome by region"
    rows = rows_of(block(turned, "fairness", name)["table"])
    assert rows["north"]["real rate"] > 0.3
    assert rows["north"]["to"] < 0.2
    assert block(turned, "fairness", name)["scores"][0]["level"] != "good"
    assert block(fair, "fairness", name)["scores"][0]["value"] < 0.08
    assert block(fair, "fairness", "Models by region")["scores"][0]["value"] is not None


def test_the_gap_is_that_of_large_groups():
    success = np.repeat([True, False, True], [30, 30, 5])
    assert rate_gap(success, np.repeat([0, 1, 2], [30, 30, 5])) == 1
    assert rate_gap(success[:35], np.repeat([0, 1], [30, 5])) is None


def test_the_detector_names_the_column_that_tells():
    real, holdout = draw(N, 0), draw(N, 1)
    found = evaluate(real, draw(N, 2).assign(height=lambda f: f["height"] + 15), holdout=holdout)
    telling = block(found, "fidelity", "Real or synthetic?")
    assert telling["table"]["rows"][0][0] == "height"
    assert telling["scores"][0]["low"] > 0.6


def test_frechet_distance_is_that_of_normal_distributions():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 4))
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-9)
    # Scaling by 2 about the mean adds the sum of the variances.
    centred = points - points.mean(axis=0)
    assert frechet_distance(centred, 2 * centred) == pytest.approx(np.trace(np.cov(points.T)))


def test_distances_are_those_of_a_slow_loop():
    frame = draw(40, 0)
    space = Space.fit(frame, like=frame)
    points = space.points(frame)
    near = distances(points, points, 3)
    slow = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1))
    assert np.allclose(near, np.sort(slow, axis=1)[:, :3], atol=1e-6)
    assert (near[:, 0] == 0).all()
    one = frame.iloc[:1].assign(region="elsewhere")
    assert distances(space.points(one), space.points(frame.iloc[:1]), 1)[0, 0] == pytest.approx(1.0)


def test_sections_do_not_depend_on_each_other():
    real, synthetic, holdout = (draw(200, seed) for seed in range(3))
    settings = {"holdout": holdout, "target": "smoker", "random_state": 4}
    full = evaluate(real, synthetic, **settings).summary["sections"]
    for section in full:
        alone = evaluate(real, synthetic, sections=[section], **settings).summary["sections"]
        assert alone[section] == full[section]
        assert not any(alone[other] for other in alone if other != section)


def test_without_a_holdout_there_are_no_attacks_and_that_is_said():
    found = evaluate(draw(200, 0), draw(200, 1))
    assert found.summary["sections"]["privacy"] == []
    assert any("Pass a holdout" in note for note in found.summary["notes"])


def test_shadow_models_run_on_request():
    calls = []

    def fit_sample(frame):
        calls.append(len(frame))
        return draw(50, len(calls))

    found = evaluate(draw(120, 0), draw(120, 1), holdout=draw(120, 2), fit_sample=fit_sample, sections=["privacy"])
    assert len(calls) == 32
    assert "Membership of vulnerable rows" in found.scores
