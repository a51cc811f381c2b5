"""Any frame at all: fit and sample keep columns, data types, domains and rules; cells keep what they can."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privsynth import CTGAN, load
from privsynth.errors import DataError
from privsynth.schema import Identifier
from privsynth.tables import to_native
from privsynth.transforms.columns import OTHER, DiscreteColumn
from tests.properties.frames import MAKERS, frames, ruled

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # pandas, printing float16


def fitted(frame, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CTGAN(**{"steps": 2, "embedding_dim": 4, "generator_dim": (8,), "verbose": False, **how}).fit(frame)


def check_sample(frame, model, n=40):
    """Same columns, order and data types; no value that the column cannot have."""
    sample = model.sample(n, random_state=0)
    assert list(sample.columns) == list(frame.columns)
    assert [str(d) for d in sample.dtypes] == [str(d) for d in frame.dtypes]
    assert sample.index.equals(pd.RangeIndex(n))
    for name in frame.columns:
        real, drawn = frame[name], sample[name]
        declared = model.schema_.get(name)
        if isinstance(real.dtype, pd.CategoricalDtype):
            assert set(real.cat.categories) <= set(drawn.cat.categories)
            assert real.cat.ordered == drawn.cat.ordered
        if isinstance(declared, Identifier):
            assert not declared.unique or drawn.is_unique
            continue
        if pd.api.types.is_object_dtype(real.dtype) or isinstance(real.dtype, pd.StringDtype):
            kinds = _kinds(real) | {"str"}
            assert _kinds(drawn) <= kinds | ({"int"} if "float" in kinds else set())
        if not real.isna().any() and declared is not None and not getattr(declared, "nullable", True):
            assert not drawn.isna().any()
    return sample


def _kinds(series):
    return {type(v).__name__.replace("bool_", "bool") for v in series.dropna()}


def check_cells(frame, model):
    """Encode, decode, encode: categories, spikes and missing values exactly, all else within its cell."""
    modelled = to_native(frame)[0]
    rng = np.random.default_rng(0)
    for column in model.encoder_.columns:
        cells = column.encode(modelled[column.name])
        values = column.decode(cells, rng)
        again = column.encode(values)
        if isinstance(column, DiscreteColumn):
            assert (again == cells).all(), column.name
        else:
            missing = column.extra.get("null")
            kept = (again == cells) | _is_spike(column, again) | _is_rounded(column, values, cells)
            assert kept.all(), column.name
            assert missing is None or ((again == missing) == (cells == missing)).all(), column.name


def _is_rounded(column, values, cells):
    """Whether a narrow float was drawn in its cell, and rounding to the data type led out of it."""
    if column.dtype.lower() not in ("float16", "float32"):
        return np.zeros(len(cells), dtype=bool)
    narrow = values.to_numpy(dtype=column.dtype.lower(), na_value=np.nan)
    drawn, step = narrow.astype(np.float64), np.spacing(np.abs(narrow)).astype(np.float64)
    exact = np.where(np.isnan(drawn), 0.0, drawn)
    near = [column.cells.encode(exact + part * np.nan_to_num(step)) == cells for part in np.linspace(-1, 1, 33)]
    return np.logical_or.reduce(near) & ~np.isnan(drawn)


def _is_spike(column, cells):
    """Whether a cell holds a spike: an interval around it may draw that very value."""
    spiked = np.zeros(column.n_cells, dtype=bool)
    spiked[column.cells.cell[column.cells.low == column.cells.high]] = True
    return spiked[cells]


def check_any(frame, epsilon):
    before = frame.copy(deep=True)
    try:
        model = fitted(frame, epsilon=epsilon)
    except DataError as error:  # keys and nothing else
        assert "All columns are identifiers" in str(error)  # noqa: PT017
        return None
    pd.testing.assert_frame_equal(frame, before)
    check_sample(frame, model)
    check_cells(frame, model)
    return model


def check_ruled(case, epsilon):
    frame, schema = case
    try:
        model = fitted(frame, epsilon=epsilon, schema=schema)
    except DataError as error:  # noise hides the combinations
        assert epsilon is not None
        assert "No combination of 'city', 'country' is frequent enough" in str(error)  # noqa: PT017
        return
    sample = check_sample(frame, model, 60)
    for rule in schema.rules:
        assert rule.holds(sample).all(), str(rule)


epsilons = st.sampled_from([None, 0.5, 5.0])
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=1_800, deadline=None, suppress_health_check=list(HealthCheck))
SOME = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(frames(), epsilons)
def test_frames(frame, epsilon):
    check_any(frame, epsilon)


@pytest.mark.parametrize("epsilon", [None, 1.0])
def test_every_data_type_at_once(epsilon, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"{kind} column": make(rng, 120) for kind, make in MAKERS.items()})
    model = check_any(frame, epsilon)
    model.save(tmp_path / "model")
    check_sample(frame, load(tmp_path / "model"))


@settings(QUICK, max_examples=8)
@given(ruled(), epsilons)
def test_ruled_frames(case, epsilon):
    check_ruled(case, epsilon)


@settings(QUICK, max_examples=8)
@given(frames())
def test_saved_and_loaded_they_sample_the_same(tmp_path_factory, frame):
    frame["flag"] = np.arange(len(frame)) % 2 == 0  # there is something to learn
    model = fitted(frame, epsilon=None)
    path = tmp_path_factory.mktemp("models") / "model"
    model.save(path)
    pd.testing.assert_frame_equal(load(path).sample(20, random_state=1), model.sample(20, random_state=1))


@pytest.mark.slow
@MANY
@given(frames(max_columns=6), epsilons)
def test_many_frames(frame, epsilon):
    check_any(frame, epsilon)


@pytest.mark.slow
@SOME
@given(ruled(), epsilons)
def test_many_ruled_frames(case, epsilon):
    check_ruled(case, epsilon)


def test_the_checks_bite():
    """Planted faults: a column lost, a data type changed, a value that cannot be."""
    frame = pd.DataFrame({"a": [1, 2] * 30, "k": pd.Categorical(["x", "y"] * 30)})

    class Fake:
        schema_, encoder_ = {}, None

        def __init__(self, change):
            self.change = change

        def sample(self, n, random_state=None):
            return self.change(frame.sample(n, replace=True, random_state=0, ignore_index=True))

    check_sample(frame, Fake(lambda s: s))
    for change in (
        lambda s: s[["k", "a"]],
        lambda s: s.assign(a=s["a"].astype(float)),
        lambda s: s.assign(k=s["k"].astype(object)),
        lambda s: s.assign(k=s["k"].cat.remove_categories(["y"])),
        lambda s: s[:-1],
    ):
        with pytest.raises(AssertionError):
            check_sample(frame, Fake(change))
    assert OTHER
