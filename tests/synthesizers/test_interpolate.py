"""Paths between rows: their ends, what holds all the way, and that they are smooth."""

import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from privsynth import Schema
from privsynth.errors import ConditionError, ParameterError
from privsynth.rules import FixedCombinations, Formula
from privsynth.schema import Identifier
from privsynth.synthesizers.interpolating import Latents, couple, turned
from tests.synthesizers.frames import messy
from tests.synthesizers.test_ctgan import CONDITIONS
from tests.synthesizers.test_scoring import fit_exactly


@pytest.fixture(scope="module")
def model():
    return fit_exactly(messy(), schema={"key": Identifier("c")}, target="vip", steps=60)


@pytest.fixture(scope="module")
def ends(model):
    """Two drawn rows that differ in the class and in much else."""
    rows = model.sample(200, random_state=3)
    return rows[~rows["vip"]].iloc[[0]], rows[rows["vip"]].iloc[[0]]


def test_the_ends_are_the_rows_where_they_are_held(model, ends):
    path = model.interpolate(*ends, steps=7, conditions=ends, random_state=0)
    both = pd.concat(ends).drop(columns="key").reset_index(drop=True)
    pd.testing.assert_frame_equal(path.rows.iloc[[0, -1]].reset_index(drop=True), both)
    assert path.rows.dtypes.equals(messy().drop(columns="key").dtypes)
    assert len(path.rows) == 7
    assert path.probabilities.index.tolist() == np.linspace(0, 1, 7).tolist()
    assert np.allclose(path.probabilities.T.groupby(level=0).sum(), 1)


def test_the_ends_are_the_models_distributions_given_the_rows(model):
    rows = {"vip": False, "amount": (10, 90)}, {"vip": True, "city": ["Rom", "Oslo"], "age": (60, None)}
    path = model.interpolate(*rows, steps=3, random_state=0)
    for row, probabilities in zip(rows, path.probabilities.iloc[[0, -1]].to_numpy(), strict=True):
        given_row, _ = model._sampler.conditioned(model._predicates(row))
        whole = model._sampler.mixture.probabilities
        assert np.allclose(given_row.weights @ whole, probabilities, atol=1e-5)
    path = model.interpolate(*rows, steps=3, conditions=rows, random_state=0)
    for row, probabilities in zip(rows, path.probabilities.iloc[[0, -1]].to_numpy(), strict=True):
        given_row, _ = model._sampler.conditioned(model._predicates(row))
        assert np.allclose(given_row.weights @ given_row.probabilities, probabilities, atol=1e-5)


def test_a_row_to_itself_stays_where_it_is(model, ends):
    path = model.interpolate(ends[0], ends[0], steps=5)
    assert path.changes.max(axis=None) < 1e-6
    assert path.distances.max(axis=None) < 1e-6


@pytest.mark.parametrize("name", CONDITIONS)
def test_fixed_conditions_hold_at_every_step(name, model, ends):
    conditions, holds = CONDITIONS[name]
    path = model.interpolate(*ends, steps=9, conditions=conditions, random_state=0)
    assert holds(path.rows).all(), path.rows[list(conditions)]


def test_changing_conditions_hold_at_the_ends_and_go_over(model):
    conditions = {"age": (20, 25), "band": "lo"}, {"age": 85, "band": "hi"}
    path = model.interpolate({}, {}, steps=21, conditions=conditions)
    assert 20 <= path.rows["age"].iloc[0] <= 25
    assert path.rows["age"].iloc[-1] == 85
    assert path.rows["age"].is_monotonic_increasing
    assert path.rows["band"].tolist() == sorted(path.rows["band"].astype(str), key=["lo", "hi"].index)


# --- smoothness -----------------------------------------------------------------------------------------------


def largest_change(model, ends, steps, conditions=None):
    return model.interpolate(*ends, steps=steps, conditions=conditions, random_state=0).changes.max(axis=None)


def shrinks(model, ends):
    """Whether ten times as many steps make the largest change between neighbours five times smaller at least."""
    return largest_change(model, ends, 101) < largest_change(model, ends, 11) / 5


def test_changes_shrink_with_the_steps(model, ends):
    assert shrinks(model, ends)
    assert shrinks(model, ({"vip": False}, {"vip": True}))
    assert largest_change(model, ends, 101, conditions=ends) == pytest.approx(0.01)


def test_a_path_that_jumps_is_seen(model, ends, monkeypatch):
    between = Latents.between
    monkeypatch.setattr(
        Latents, "between", lambda self, first, second, t, classes: between(self, first, second, round(t), classes)
    )
    assert not shrinks(model, ends)
    assert not shrinks(model, ({"vip": False}, {"vip": True}))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8), st.integers(0, 99))
def test_coupled_mass_adds_up_to_both(counts, seed):
    first, second = np.array(counts, dtype=float).T.copy()
    first[0] += first.sum() == 0
    second[-1] += second.sum() == 0
    first, second = first / first.sum(), second / second.sum()
    k, l, mass = couple(first, second, np.random.default_rng(seed))
    assert (mass >= 0).all()
    assert np.allclose(np.bincount(k, mass, len(first)), first)
    assert np.allclose(np.bincount(l, mass, len(first)), second)
    assert mass[k == l].sum() == pytest.approx(np.minimum(first, second).sum())


def test_latents_turn_on_a_circle():
    start = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    end = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 4.0]], dtype=torch.float64)
    assert torch.allclose(turned(start, end, 0.0), start)
    assert torch.allclose(turned(start, end, 1.0), end)
    half = 0.5**0.5
    middle = torch.tensor([[half, half], [2 * half, 2 * half], [0.0, 3.0]], dtype=torch.float64)
    assert torch.allclose(turned(start, end, 0.5), middle)


# --- rows, rules and errors -----------------------------------------------------------------------------------


def test_random_state_reproduces_a_path(model):
    rows = {"vip": False}, {"vip": True}
    one, same, other = (model.interpolate(*rows, random_state=seed).probabilities for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)


def test_combinations_are_those_that_were_released_and_formulas_are_computed():
    rng = np.random.default_rng(0)
    pair = rng.integers(0, 3, 1_200)
    frame = pd.DataFrame(
        {"city": np.array(["Ulm", "Bonn", "Oslo"])[pair], "country": np.array(["DE", "DE", "NO"])[pair]}
    )
    frame["qty"] = rng.integers(1, 9, 1_200) + pair
    frame["double"] = 2 * frame["qty"]
    schema = Schema(rules=[FixedCombinations(("city", "country")), Formula("double", "2 * qty")])
    model = fit_exactly(frame, schema=schema)
    ends = frame.iloc[0], {"country": "NO", "qty": 9}
    path = model.interpolate(*ends, steps=9, conditions=ends)
    assert ((path.rows["city"] == "Oslo") == (path.rows["country"] == "NO")).all()
    assert (path.rows["double"] == 2 * path.rows["qty"]).all()
    assert list(path.rows.columns) == list(frame.columns)
    with pytest.raises(ConditionError, match=r"\['double'\] are computed. Set"):
        model.interpolate({}, {}, conditions={"double": 4})


def test_columns_that_are_numbered_or_backed_by_pyarrow():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({0: rng.integers(0, 5, 1_200), 1: rng.choice(["x", "y"], 1_200)})
    table[0] = table[0].astype("int64[pyarrow]")
    model = fit_exactly(table)
    path = model.interpolate(table.iloc[0], {}, steps=4, conditions=({}, {0: 3, 1: "y"}))
    assert list(path.rows.columns) == [0, 1]
    assert path.rows.dtypes.equals(table.dtypes)
    assert path.rows.iloc[-1].tolist() == [3, "y"]


@pytest.mark.parametrize(
    ("rows", "how", "error", "told"),
    [
        (({}, {}), {"steps": 1}, ParameterError, "steps parameter of interpolate must be an integer >= 2"),
        (({"colour": 1}, {}), {}, ConditionError, "Column 'colour' is unknown"),
        (({"city": "Paris"}, {}), {}, ConditionError, "'Paris', which the model does not know"),
        (({}, {"age": (300, 400)}), {}, ConditionError, "No value of column 'age' is at least 300"),
        (({}, [1, 2]), {}, ConditionError, r"row_b is \[1, 2\]. Give a dict"),
        ((messy(3), {}), {}, ConditionError, "row_a has 3 rows. Give one"),
        (({}, {}), {"conditions": {"key": "c-1"}}, ConditionError, "Column 'key' is an identifier"),
        (({}, {}), {"conditions": ({}, {}, {})}, ConditionError, "a tuple of 3. Give a dict, or two"),
        (({"vip": True}, {}), {"conditions": ({}, 5)}, ConditionError, r"conditions\[1\] is 5. Give a dict"),
        (({}, {}), {"random_state": "x"}, ParameterError, "random_state"),
    ],
)
def test_what_cannot_be_asked(rows, how, error, told, model):
    with pytest.raises(error, match=told):
        model.interpolate(*rows, **how)


def test_the_chart_is_a_file_of_its_own(model, ends):
    path = model.interpolate(*ends, steps=5)
    root = ET.fromstring(path.to_svg(["age", "city"], title="a < b"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root[0].text == "a < b"
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    assert [len(line.attrib["points"].split()) for line in lines] == [5, 5]
    assert len(ET.fromstring(path.to_svg()).findall("{http://www.w3.org/2000/svg}polyline")) == 4
    for columns in ([], ["colour"], list("abcde")):
        with pytest.raises(ParameterError, match="columns parameter of to_svg must be 1 to 4 of"):
            path.to_svg(columns)
