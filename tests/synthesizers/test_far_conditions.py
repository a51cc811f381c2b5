"""Conditions far outside what the model has seen: possible, answered, and warned of with figures."""

import numpy as np
import pandas as pd
import pytest

from privsynth.errors import PrivsynthWarning
from privsynth.synthesizers.strangeness import LEAST_COMPONENTS
from privsynth.transforms.predicates import Between, OneOf
from tests.synthesizers.test_scoring import fit_exactly


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    a = rng.random(2_000) < 0.5
    table = pd.DataFrame({"a": a, "b": a, "c": a, "d": a, "x": rng.normal(size=2_000) + 5 * a})
    return fit_exactly(table, target="a", steps=150)


def test_a_combination_that_was_never_seen_warns_with_figures(model):
    strange = {"a": True, "b": False, "c": False, "d": False}
    with pytest.warns(PrivsynthWarning, match=r"'a', 'b', 'c', 'd' are far outside .* learned rows .* components"):
        sample = model.sample(50, conditions=strange, random_state=0)
    assert sample["a"].all()
    assert not sample[["b", "c", "d"]].any(axis=None)


def test_a_group_that_was_never_seen_warns_by_name(model):
    with pytest.warns(PrivsynthWarning, match="rebalance, d = False: The conditions on .* are far outside"):
        sample = model.rebalance(40, by="d", conditions={"a": True, "b": True, "c": True}, random_state=0)
    assert sample["d"].sum() == 20


def test_rows_of_a_frame_that_were_never_seen_warn_with_the_furthest(model):
    seen = pd.DataFrame({"a": [True, False] * 40, "b": [True, False] * 40})
    model.sample(conditions=seen, random_state=0)
    mixed = seen["b"].where(seen.index != 17, True)
    strange = seen.assign(b=mixed, c=mixed, d=mixed)
    told = r"Of 3 distinct rows .* looked at 1 are far outside .* Row 17 is the furthest: .* learned rows .* components"
    with pytest.warns(PrivsynthWarning, match=told):
        sample = model.sample(conditions=strange, random_state=0)
    assert (sample["b"] == strange["b"]).all()


@pytest.mark.parametrize("names", [["a"], ["x"], ["a", "x"], ["a", "b", "c"], ["a", "b", "c", "d", "x"]])
def test_rows_of_the_models_own_do_not_warn(model, names):
    model.sample(conditions=model.sample(3_000, random_state=1)[names], random_state=0)


def test_the_figures_of_a_frame_are_those_of_its_rows(model):
    frame = pd.DataFrame({"a": [True, False], "x": [pd.Interval(4.0, 4.5), pd.Interval(-1.0, 0.25)]})
    effective, touched, rows, usual = model._sampler.support_each(frame)
    assert 0 < usual < 0.5
    for place, row in enumerate(rows):
        predicates = model._predicates(frame.iloc[row].to_dict())
        assert (effective[place], touched[place]) == pytest.approx(model._sampler.support(predicates))


@pytest.mark.parametrize(
    "conditions",
    [{}, {"a": True}, {"a": True, "b": True, "c": True, "d": True}, {"x": 4.321}, {"x": (4.3, 4.31), "a": True}],
)
def test_what_was_seen_does_not_warn(model, conditions):
    model.sample(50, conditions=conditions, random_state=0)


def test_the_figures_are_those_of_the_components(model):
    predicates = {"a": OneOf((True,)), "x": Between(4.0, 4.5)}
    sampler = model._sampler
    conditioned, probability = sampler.mixture.condition(sampler.allowed(predicates))
    effective, touched = sampler.support(predicates)
    assert effective == pytest.approx(1 / (conditioned.weights**2).sum())
    assert effective > LEAST_COMPONENTS
    assert probability < touched < model.condition_probability({"a": True}) + 1e-12
    whole = model.condition_probability({"a": True})
    assert sampler.support({"a": OneOf((True,))})[1] == pytest.approx(whole)
    assert sampler.support({})[0] == pytest.approx(1 / (sampler.mixture.weights**2).sum())
