from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from privsynth.evaluation import sdmetrics_quality
from tests.evaluation.frames import mixed_frame, shuffled_columns


def test_identical_frames_are_at_one_with_missing_values_nullable_and_constant_columns():
    real = mixed_frame()
    before = real.copy(deep=True)
    quality = sdmetrics_quality(real, real)
    assert quality.overall == pytest.approx(1.0)
    assert quality.column_shapes == pytest.approx(1.0)
    assert quality.pair_trends == pytest.approx(1.0)
    assert set(quality.columns) == set(real.columns)
    pd.testing.assert_frame_equal(real, before)


def test_shuffled_columns_lower_the_pair_trends_alone():
    real = mixed_frame()
    quality = sdmetrics_quality(real, shuffled_columns(real))
    assert quality.column_shapes == pytest.approx(1.0)
    assert quality.pairs["tier", "amount"] < 0.9
    assert quality.pair_trends < 0.97


def test_an_empty_column_and_odd_names_give_no_score_but_no_crash():
    real = pd.DataFrame({0: range(40), "<b>": [None] * 40, ("a", 1): ["u", "v"] * 20})
    quality = sdmetrics_quality(real, real)
    assert quality.columns["<b>"] is None
    assert quality.columns[0] == 1.0


def test_rare_levels_are_pooled_and_large_tables_sampled_without_the_global_generator():
    rng = np.random.default_rng(0)
    real = pd.DataFrame({"shop": [f"s{i}" for i in rng.integers(0, 2000, 3000)], "x": rng.normal(size=3000)})
    np.random.seed(7)  # noqa: NPY002 - the global generator must come out as it went in
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (sdmetrics_quality(real, real[::-1], max_rows=2000) for _ in range(2))
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert first == second
    assert "pooled in: shop" in first.note
    assert "at most 2000 rows" in first.note
