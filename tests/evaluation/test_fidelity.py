from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.errors import DataError, ParameterError
from privsynth.evaluation import fidelity, marginal_tvd
from tests.evaluation.frames import mixed_frame, shuffled_columns


def slow_labels(real: pd.Series, other: pd.Series, bins: int) -> tuple[list[str], ...]:
    """Name the cell of each value, in loops: the definition, with nothing vectorised."""
    present = [value for value in real if not pd.isna(value)]
    if not (pd.api.types.is_numeric_dtype(real) or pd.api.types.is_datetime64_any_dtype(real)) or (
        pd.api.types.is_bool_dtype(real)
    ):
        known = set(present)
        return tuple(
            ["missing" if pd.isna(v) else f"value {v}" if v in known else "unseen" for v in column]
            for column in (real, other)
        )
    ordered = sorted(present)
    n = len(ordered)
    points = [ordered[max(math.ceil(k * n / bins) - 1, 0)] for k in range(bins + 1)] if n else []
    spikes = {p for p in points if points.count(p) > 1}

    def label(value) -> str:
        if pd.isna(value):
            return "missing"
        if not ordered or value < ordered[0] or value > ordered[-1]:
            return "unseen"
        if value in spikes:
            return f"spike {value}"
        # All quantile points below the value: the first cell is closed on the left.
        return f"cell {max([i for i, p in enumerate(sorted(set(points))) if p < value], default=0)}"

    return [label(v) for v in real], [label(v) for v in other]


def slow_tvd(real: pd.DataFrame, other: pd.DataFrame, names: tuple[str, ...], bins: int) -> float:
    labelled = [slow_labels(real[name], other[name], bins) for name in names]
    table = ["real"] * len(real) + ["other"] * len(other)
    cells = [" & ".join(parts) for side in (0, 1) for parts in zip(*(labels[side] for labels in labelled), strict=True)]
    shares = pd.crosstab(pd.Series(cells), pd.Series(table), normalize="columns")
    return 0.5 * float((shares["real"] - shares["other"]).abs().sum())


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("bins", [3, 20])
def test_agrees_with_the_slow_oracle(order, bins):
    real, other = mixed_frame(300, seed=0), mixed_frame(230, seed=5)
    other["amount"] = other["amount"] * 1.7 - 3
    other["tier"] = other["tier"].replace("mid", "unheard of")
    fast = marginal_tvd(real, other, order=order, bins=bins)
    assert list(fast.values) == list(itertools.combinations(real.columns, order))
    for names, value in fast.values.items():
        assert value == pytest.approx(slow_tvd(real, other, names, bins), abs=1e-12), names


def test_many_cells_are_counted_sparsely_with_the_same_result(monkeypatch):
    real, other = mixed_frame(200, seed=0), mixed_frame(200, seed=1)
    dense = marginal_tvd(real, other, order=2)
    monkeypatch.setattr(fidelity, "_DENSE_CELLS", 0)
    assert dict(marginal_tvd(real, other, order=2).values) == pytest.approx(dict(dense.values))


numbers = st.one_of(st.none(), st.floats(width=32), st.sampled_from([0.0, 1.0]))
words = st.one_of(st.none(), st.text(max_size=2), st.booleans(), st.integers(-2, 2))


@st.composite
def frames(draw):
    n_rows = draw(st.integers(1, 25))
    column = lambda values: draw(st.lists(values, min_size=n_rows, max_size=n_rows))  # noqa: E731
    return pd.DataFrame({"x": np.array(column(numbers), dtype=float), "w": pd.Series(column(words), dtype=object)})


@settings(max_examples=60, deadline=None)
@given(real=frames(), other=frames(), order=st.sampled_from([1, 2]), bins=st.integers(1, 20))
def test_is_a_share_and_zero_for_identical_frames(real, other, order, bins):
    before = real.copy(deep=True), other.copy(deep=True)
    distances = marginal_tvd(real, other, order=order, bins=bins)
    assert all(0 <= value <= 1 for value in distances.values.values())
    assert marginal_tvd(real, real, order=order, bins=bins).mean == 0
    pd.testing.assert_frame_equal(real, before[0])
    pd.testing.assert_frame_equal(other, before[1])


def test_shuffled_columns_change_pairs_only():
    real = mixed_frame()
    shuffled = shuffled_columns(real)
    assert marginal_tvd(real, shuffled).mean == 0
    assert marginal_tvd(real, shuffled, order=2).values["tier", "amount"] > 0.2


def test_a_smeared_spike_is_seen():
    real = pd.DataFrame({"amount": [0.0] * 60 + [float(i) for i in range(-20, 0)] + [5.0] * 20})
    smeared = real.replace({"amount": {0.0: -0.01}})
    assert marginal_tvd(real, smeared).mean == pytest.approx(0.6)


def test_time_zones_are_compared_as_instants():
    utc = pd.DataFrame({"t": pd.date_range("2024-01-01", periods=50, tz="UTC")})
    tokyo = pd.DataFrame({"t": utc["t"].dt.tz_convert("Asia/Tokyo")})
    assert marginal_tvd(utc, tokyo).mean == 0


def test_errors_name_the_remedy():
    real = pd.DataFrame({"x": [1.0, 2.0], "d": pd.to_datetime(["2024-01-01", "2024-01-02"])})
    with pytest.raises(DataError, match=r"'x' is numeric .* pd.to_numeric"):
        marginal_tvd(real, real.assign(x=["a", "b"]))
    with pytest.raises(DataError, match=r"'d' is datetime .* pd.to_datetime"):
        marginal_tvd(real, real.assign(d=["2024-01-01", "2024-01-02"]))
    with pytest.raises(DataError, match="0 synthetic rows"):
        marginal_tvd(real, real.iloc[:0])
    with pytest.raises(ParameterError, match=r"order parameter of marginal_tvd must be one of 1, 2, 3. Got 4"):
        marginal_tvd(real, real, order=4)


def test_the_standard_error_is_that_of_repeated_draws():
    """The jackknife of one pair of tables against the spread over many pairs; within a factor of 2 (seeded)."""
    n = 300

    def distances(seed, groups=0):
        rng = np.random.default_rng(seed)
        frames = [pd.DataFrame({"a": rng.choice(list("xyz"), n, p=p)}) for p in ([0.5, 0.3, 0.2], [0.3, 0.3, 0.4])]
        coded = fidelity.Coded.of(frames[0], frames)
        return fidelity.coded_tvd(coded, [(0,)], groups=groups)

    spread = np.std([distances(seed).mean for seed in range(200)])
    errors = [distances(seed, groups=10).error for seed in range(20)]
    assert 0.5 * spread < np.mean(errors) < 2 * spread
