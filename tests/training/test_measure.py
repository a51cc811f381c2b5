"""The released tables against pandas crosstabs, and how many rows' worth one row moves them."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.privacy.events import BoundedRange, Gaussian
from privsynth.privacy.mechanisms import Mechanisms, Release
from privsynth.privacy.noise import SecureNoise
from privsynth.training.measure import (
    CLASS_COLUMNS,
    CONDITION_PAIRS,
    PAIRS,
    SELECTION,
    measure,
    project_to_simplex,
)
from privsynth.transforms.layout import Layout

SIZES = {"a": 3, "b": 2, "c": 4, "d": 2}
LAYOUT = Layout.of(SIZES)


def make_codes(n_rows=300, seed=0, sizes=SIZES):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, size, n_rows) for size in sizes.values()], axis=1)
    codes[:, 2] = np.where(rng.random(n_rows) < 0.6, codes[:, 0], codes[:, 2])  # c follows a
    return codes


def one_way(codes, layout):
    spans = layout.spans
    counts = [np.bincount(codes[:, j], minlength=span.size) for j, span in enumerate(spans)]
    return Release(np.concatenate(counts).astype(float), 0.0)


def measured(
    codes, *, split, conditions=(), labels=(CLASS_COLUMNS, CONDITION_PAIRS, PAIRS), n_pairs=None, private=False
):
    mechanisms = Mechanisms(SecureNoise(), private=private)
    for label in labels:
        mechanisms.allot(label, Gaussian(0.5))
    if n_pairs is not None:
        mechanisms.allot(SELECTION, BoundedRange(1.0, n_pairs))
    tables = measure(
        codes,
        LAYOUT,
        one_way=one_way(codes, LAYOUT),
        split=split,
        conditions=list(conditions),
        mechanisms=mechanisms,
    )
    return tables, mechanisms


def crosstab(codes, i, j, rows):
    """The slow oracle: pandas counts of two columns among some rows."""
    spans = LAYOUT.spans
    first = pd.Categorical(codes[rows, i], categories=range(spans[i].size))
    second = pd.Categorical(codes[rows, j], categories=range(spans[j].size))
    return pd.crosstab(first, second, dropna=False).to_numpy()


def check_pairs(table, codes, classes, n_classes):
    expected = np.zeros((n_classes, LAYOUT.width, LAYOUT.width))
    for c in range(n_classes):
        for i, j in table.pairs:
            block = crosstab(codes, i, j, classes == c)
            expected[c, LAYOUT.spans[i].slice, LAYOUT.spans[j].slice] = block
    np.testing.assert_array_equal(table.values, expected)
    assert table.scale == 0.0


@pytest.mark.parametrize("split", [None, 0, 1, 3])
def test_exact_tables_equal_crosstabs(split):
    codes = make_codes()
    tables, _ = measured(codes, split=split)
    others = [j for j in range(4) if j != split]
    classes = np.zeros(len(codes), int) if split is None else codes[:, split]
    n_classes = 1 if split is None else LAYOUT.spans[split].size
    assert tables.pairs.pairs == list(combinations(others, 2))
    check_pairs(tables.pairs, codes, classes, n_classes)
    if split is None:
        assert tables.class_columns is None
        return
    for j in others:
        found = tables.class_columns.values[:, LAYOUT.spans[j].slice]
        np.testing.assert_array_equal(found, crosstab(codes, split, j, slice(None)))
    assert not tables.class_columns.values[:, LAYOUT.spans[split].slice].any()


def test_condition_pairs_are_those_with_a_condition():
    codes = make_codes()
    tables, _ = measured(codes, split=1, conditions=[2])
    assert tables.condition_pairs.pairs == [(0, 2), (2, 3)]
    check_pairs(tables.condition_pairs, codes, np.zeros(len(codes), int), 1)


def test_only_what_is_allotted_is_read():
    tables, mechanisms = measured(make_codes(), split=1, conditions=[2], labels=())
    assert (tables.class_columns, tables.condition_pairs, tables.pairs) == (None, None, None)
    assert mechanisms.charges == ()


def test_dependent_pairs_are_selected():
    codes = make_codes(3000)
    tables, mechanisms = measured(codes, split=3, labels=(PAIRS,), n_pairs=1)
    assert tables.pairs.pairs == [(0, 2)]
    assert [c.sensitivity for c in mechanisms.charges] == [1.0, 1.0]


@pytest.mark.parametrize("split", [None, 1])
def test_charges_name_the_sensitivity_of_one_row(split):
    """One cell of each pair, or of each column by class: the root of their number, split or not."""
    _, mechanisms = measured(make_codes(), split=split, conditions=[2], private=True)
    others = 4 if split is None else 3
    found = {charge.label: charge.sensitivity for charge in mechanisms.charges}
    assert found[PAIRS] == math.sqrt(math.comb(others, 2))
    if split is not None:
        assert found[CLASS_COLUMNS] == math.sqrt(others)
        assert found[CONDITION_PAIRS] == math.sqrt(2)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**20), n_rows=st.integers(1, 30), split=st.sampled_from([None, 0, 2]))
def test_one_more_row_moves_tables_by_their_sensitivity_at_most(seed, n_rows, split):
    codes = make_codes(n_rows + 1, seed)
    tables = [measured(rows, split=split, conditions=[3])[0] for rows in (codes, codes[:-1])]
    for many, few in (
        (tables[0].pairs, tables[1].pairs),
        (tables[0].condition_pairs, tables[1].condition_pairs),
    ):
        moved = np.linalg.norm(many.values.astype(float) - few.values)
        assert moved == pytest.approx(math.sqrt(len(many.pairs)))
    if split is not None:
        moved = np.linalg.norm(tables[0].class_columns.values - tables[1].class_columns.values)
        assert moved == pytest.approx(math.sqrt(3))


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=9).filter(lambda v: sum(v) > 1))
def test_projection_is_the_nearest_point_of_the_simplex(values):
    shares = np.array(values) / sum(values)
    found = project_to_simplex(np.array(values))
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    # nearest (Boyd & Vandenberghe, 4.21): no point of the simplex makes an acute angle with the residual
    slack = (shares - found) @ found - (shares - found)
    assert slack.min() >= -1e-7 * max(1.0, np.abs(shares).max() ** 2)


def test_a_total_that_rounding_made_of_none_leaves_cells_alike():
    """Seen once in a fit: counts of noise alone whose parts should have had no rows, and had 4e-16."""
    counts = np.array([10.0, 0.67, -12.0, 11.3])
    for total in (0.0, 4.44e-16, -3.0):
        assert project_to_simplex(counts, total).tolist() == [0.25] * 4
    for total in (1e-6, 1.0):  # few rows: all in the fullest cell
        assert project_to_simplex(counts, total) == pytest.approx([0, 0, 0, 1], abs=1e-6)
