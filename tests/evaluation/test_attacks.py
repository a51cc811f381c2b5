"""Attacks on tables whose leak is known: copies must be caught, fresh draws of the same population must not."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from privsynth.evaluation.attacks import (
    Attack,
    attribute_inference,
    copies,
    linkability,
    membership_inference,
    singling_out,
)
from privsynth.evaluation.attacks.copies import distance_scores
from privsynth.evaluation.attacks.section import privacy_section
from privsynth.evaluation.intervals import Rate, chance_of_excess, wilson_interval
from tests.evaluation.populations import blurred, copied, draw

N = 400
NAMES = [
    "Membership inference",
    "Singling out, univariate",
    "Singling out, multivariate",
    "Linkability",
    "Attribute inference",
    "Exact copies",
    "Near copies",
]


def attack_all(real, holdout, synthetic, seed=0):
    """Run all attacks; half of the holdout is the reference of membership inference."""
    rng = np.random.default_rng(seed)
    half = len(holdout) // 2
    found = [
        membership_inference(real, holdout[:half], synthetic, holdout[half:], rng=rng),
        *singling_out(real, holdout, synthetic, rng=rng, guesses=200),
        linkability(real, holdout, synthetic, rng=rng),
        attribute_inference(real, holdout, synthetic, secrets=["region", "income", "smoker"], rng=rng),
        *copies(real, holdout, synthetic, rng=rng),
    ]
    return {attack.name: attack for attack in found}


@functools.cache
def tables(seed=0):
    return draw(N, 10 * seed), draw(N, 10 * seed + 1)


@functools.cache
def of_copies():
    real, holdout = tables()
    return attack_all(real, holdout, copied(real, seed=2))


@functools.cache
def of_fresh_draws():
    """All attacks on 20 tables of fresh draws."""
    return [attack_all(*tables(seed), draw(N, 10 * seed + 2), seed) for seed in range(20)]


@pytest.mark.parametrize("name", NAMES)
def test_a_copier_is_caught(name):
    found = of_copies()[name]
    assert found.level == "bad"
    assert found.attack.interval[0] > found.control.interval[1]
    assert found.attack.interval[0] > found.baseline.interval[1]
    assert found.risk > 0.2


@pytest.mark.parametrize("name", NAMES)
def test_fresh_draws_are_not_called_leaks(name):
    """A verdict "bad" is false once in 1000 times, "watch" once in 100; the test itself errs once in a million."""
    found = [attacks[name] for attacks in of_fresh_draws()]
    for level, rate in (("bad", 0.001), ("watch", 0.01)):
        alarms = sum(attack.p_value < rate for attack in found)
        assert alarms <= binom.isf(1e-6, len(found), rate), level


def test_what_is_too_near_is_caught_though_no_row_is_equal():
    real, holdout = tables()
    found = attack_all(real, holdout, blurred(real, seed=3))
    assert found["Exact copies"].attack.hits < 0.2 * N  # where income and height are both missing or unmoved
    for name in ("Membership inference", "Linkability", "Near copies", "Singling out, multivariate"):
        assert found[name].level == "bad", name


def test_a_copier_is_caught_with_a_holdout_of_a_quarter():
    real, holdout = draw(4 * N, 50), draw(N, 51)
    found = attack_all(real, holdout, copied(real, seed=52))
    assert {name: attack.level for name, attack in found.items()} == dict.fromkeys(NAMES, "bad")
    assert found["Singling out, multivariate"].attack.value < 0.5  # three in four of the rows are not looked at


def test_copies_among_many_fresh_rows_are_counted():
    real, holdout = tables()
    found = attack_all(real, holdout, copied(real, seed=4, share=0.1))
    assert found["Exact copies"].attack.hits == N // 10
    assert found["Exact copies"].level == "bad"
    tail = next(s for s in found["Membership inference"].more if "false alarms" in s.name)
    assert tail.low > tail.reference
    assert found["Membership inference"].attack.value < of_copies()["Membership inference"].attack.value


def test_a_holdout_of_another_population_is_no_control():
    """As when the last months are held out: drift would look like learning."""
    real, holdout = tables()
    late = holdout.assign(visits=holdout["visits"] + 50)
    for held, judged in ((holdout, True), (late, False)):
        headline, blocks, notes = privacy_section(
            real, draw(N, 2), held, target=None, fit_sample=None, rng=np.random.default_rng(0)
        )
        assert len(headline) == len(NAMES)  # the rates are shown, judged or not
        assert all((score.level is None) != judged for score in headline)
        assert all((block.scores[0].level is None) != judged for block in blocks[:-1])
        assert not notes if judged else "mostly by 'visits'" in notes[0]
        assert all(any("not judged" in note for note in block.notes) != judged for block in blocks[:-1])


def test_shadow_models_are_judged_whatever_the_holdout():
    """Coins decide what is learned, of either table: a copier is caught though the holdout differs."""
    real, holdout = draw(60, 0), draw(60, 1)
    late = holdout.assign(visits=holdout["visits"] + 50)
    headline, _, notes = privacy_section(
        real, draw(60, 2), late, target=None, fit_sample=lambda frame: frame, rng=np.random.default_rng(0)
    )
    levels = {score.name: score.level for score in headline}
    assert levels.pop("Membership of vulnerable rows") == "bad"
    assert notes
    assert set(levels.values()) == {None}


def test_rates_agree_with_a_slow_count():
    real, holdout = tables()
    synthetic = copied(real, seed=5, share=0.3)
    exact, near = copies(real, holdout, synthetic, rng=np.random.default_rng(0))
    released = {repr(row) for row in synthetic.itertuples(index=False, name=None)}
    for rate, frame in ((exact.attack, real), (exact.control, holdout)):
        assert rate.hits == sum(repr(row) in released for row in frame.itertuples(index=False, name=None))
    assert near.attack.hits >= exact.attack.hits


def test_a_row_that_differs_in_one_column_is_a_near_copy_and_in_two_is_not():
    real = draw(50, 7)
    holdout = draw(50, 8)
    one, two = real.assign(region="nowhere"), real.assign(region="nowhere", visits=-5)
    for synthetic, share in ((one, 1.0), (two, 0.0)):
        exact, near = copies(real, holdout, synthetic, rng=np.random.default_rng(0))
        assert (exact.attack.value, near.attack.value) == (0.0, share)


def test_columns_do_not_stand_in_for_each_other():
    real, turned = pd.DataFrame({"a": [1.0], "b": [2.0]}), pd.DataFrame({"a": [2.0], "b": [1.0]})
    exact, _ = copies(real, real, turned, rng=np.random.default_rng(0))
    assert exact.attack.hits == 0


def test_distances_are_labelled_as_debugging_aids():
    real, holdout = tables()
    (dcr, nndr), _ = distance_scores(real, holdout, copied(real, seed=2), rng=np.random.default_rng(0))
    assert dcr.value == nndr.value == 0.0
    assert min(dcr.reference, nndr.reference) > 0.1
    assert "debugging aid" in dcr.name
    assert dcr.level is nndr.level is None
    (fresh, _), _ = distance_scores(real, holdout, draw(N, 3), rng=np.random.default_rng(0))
    assert abs(fresh.shortfall) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_scores_stay_in_range_and_the_block_draws_three_rates(name):
    block = of_copies()[name].block()
    assert [bar["name"] for bar in block.chart["bars"]] == ["attack", "control", "baseline"]
    assert all(0 <= bar["low"] <= bar["value"] <= bar["high"] <= 1 for bar in block.chart["bars"])
    for score in block.scores:
        assert score.better == "lower"
        assert 0 <= score.low <= score.value <= score.high <= 1 if score.low is not None else True
        assert score.meaning
        assert score.worry
        assert score.section == "privacy"


def test_narrow_tables_have_fewer_attacks():
    one = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    rng = np.random.default_rng(0)
    assert linkability(one, one, one, rng=rng) is None
    assert attribute_inference(one, one, one, secrets=["x"], rng=rng) is None
    assert singling_out(one, one, one, rng=rng)[1].level is None
    assert all(attack.level in ("good", "watch", "bad") for attack in copies(one, one, one, rng=rng))


def test_levels_and_risk_follow_the_rates():
    def found(attack, control):
        return Attack("a", Rate(attack, 1000), Rate(control, 1000), Rate(100, 1000), "m", "w")

    assert [found(k, 500).level for k in (400, 500, 530, 555, 600)] == ["good", "good", "good", "watch", "bad"]
    assert found(600, 500).risk == pytest.approx(0.2)
    assert found(400, 500).risk == 0.0
    assert "does not beat guessing" in " ".join(found(100, 50).block().notes)


def test_intervals_cover_as_often_as_they_say():
    for rate in (0.01, 0.3, 0.5):
        hits = np.arange(201)
        covered = [low <= rate <= high for low, high in (wilson_interval(k, 200) for k in hits)]
        assert 0.93 < binom.pmf(hits, 200, rate) @ covered < 0.99
    assert wilson_interval(200, 200)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_the_test_of_excess_is_exact_for_small_tables():
    assert chance_of_excess(Rate(3, 3), Rate(0, 3)) == pytest.approx(1 / 20)
    assert chance_of_excess(Rate(0, 3), Rate(3, 3)) == pytest.approx(1.0)
    assert chance_of_excess(Rate(0, 0), Rate(1, 3)) == 1.0
