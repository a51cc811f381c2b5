"""CTGAN as its users meet it: fit, sample, conditions, save, load, and the budget."""

import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone

from privsynth import CTGAN, Budget, Ledger, Schema, load
from privsynth.datasets import make_patients, make_transactions
from privsynth.errors import BudgetExceeded, ConditionError, DataError, NotFittedError, ParameterError, PrivsynthWarning
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.schema import Categorical, Continuous, Identifier
from privsynth.training import loop
from tests.synthesizers.frames import messy

pytestmark = pytest.mark.filterwarnings("ignore:At this epsilon little is learned")  # of a few dozen rows of a class

FALSE_ALARM = 1e-6


def quick(epsilon=1.0, **parameters):
    return CTGAN(epsilon, **{"steps": 15, "verbose": False, "random_state": 0, **parameters})


def fit_exactly(frame, **parameters):
    with pytest.warns(PrivsynthWarning, match="NOT private"):
        return quick(None, **parameters).fit(frame)


@pytest.fixture(scope="module")
def transactions():
    return quick(10.0, target="is_fraud").fit(make_transactions(2_000, random_state=0))


@pytest.fixture(scope="module")
def patients():
    table = make_patients(1_500, random_state=0)
    return quick(10.0, target="readmitted", schema={"patient_id": Identifier("p")}).fit(table)


@pytest.fixture(scope="module")
def exact():
    return fit_exactly(messy(), schema={"key": Identifier("c")}, target="vip", steps=60)


TABLES = {
    "transactions": make_transactions(2_000, random_state=0),
    "patients": make_patients(1_500, random_state=0),
    "exact": messy(),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("n_rows", [0, 1, 700])
def test_columns_order_and_data_types_are_kept(name, n_rows, request):
    model, table = request.getfixturevalue(name), TABLES[name]
    sample = model.sample(n_rows, random_state=0)
    assert len(sample) == n_rows
    assert list(sample.columns) == list(table.columns)
    assert sample.dtypes.equals(table.dtypes)
    assert list(sample.index) == list(range(n_rows))


@pytest.mark.parametrize("name", TABLES)
def test_random_state_reproduces_a_sample(name, request):
    model = request.getfixturevalue(name)
    one, same, other = (model.sample(200, random_state=seed) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)
    generator = np.random.default_rng(5)
    pd.testing.assert_frame_equal(model.sample(200, random_state=generator), one)
    assert not model.sample(200, random_state=generator).equals(one)  # it moves on
    assert not model.sample(200).equals(model.sample(200))


def test_random_state_never_fixes_the_noise():
    table = make_transactions(1_000, random_state=0)[["channel", "is_fraud"]]
    one, two = quick(steps=1).fit(table), quick(steps=1).fit(table)
    assert not np.array_equal(one.encoder_.one_way.values, two.encoder_.one_way.values)


class Listening(SecureNoise):
    """Keeps what was added to gradients and drawn for choices and samples.

    The row count is exact, so that two fits have one plan: else their draws could be the same ones, shifted.
    """

    heard: ClassVar[list[tuple[str, np.ndarray]]] = []

    def discrete_laplace(self, value, *, scale):
        return value

    def add_gaussian(self, values, *, scale):
        noisy = super().add_gaussian(values, scale=scale)
        self.heard.append(("gradient", np.array(noisy - values, dtype=np.float64) / scale))
        return noisy

    def gumbel(self, size):
        self.heard.append(("choice", super().gumbel(size)))
        return self.heard[-1][1]

    def poisson_rows(self, n_rows, *, rate):
        self.heard.append(("sample", super().poisson_rows(n_rows, rate=rate)))
        return self.heard[-1][1]


class Overheard(CTGAN):
    _noise_source = Listening


def test_random_state_never_fixes_gradient_noise_samples_or_choices():
    table = make_transactions(1_500, random_state=0)[["channel", "amount", "device_type", "is_fraud"]]
    rows = {"critic": "both", "steps": 1, "discriminator_steps": 3, "batch_size": 500, "schema": BOUNDED}
    fits = []
    for _ in range(2):
        Listening.heard = []
        Overheard(5.0, target="is_fraud", random_state=0, verbose=False, **rows).fit(table)
        fits.append(Listening.heard)
    assert [kind for kind, _ in fits[0]] == [kind for kind, _ in fits[1]]
    assert {kind for kind, _ in fits[0]} == {"gradient", "choice", "sample"}
    for (kind, one), (_, other) in zip(*fits, strict=True):
        assert not np.array_equal(one, other), kind  # 1,500 rows at a rate of 1/3: never the same by chance


def test_random_state_fixes_everything_else():
    frame = messy()[["vip", "age", "city"]]
    samples = [fit_exactly(frame, random_state=3, steps=5).sample(50, random_state=0) for _ in range(2)]
    pd.testing.assert_frame_equal(*samples)


def test_the_callers_table_is_left_alone():
    frame = messy(400)
    before = frame.copy(deep=True)
    fit_exactly(frame, steps=1)
    pd.testing.assert_frame_equal(frame, before)


# --- conditions -----------------------------------------------------------------------------------------------

CONDITIONS = {
    "level": ({"city": "Oslo"}, lambda s: s.city == "Oslo"),
    "levels": ({"band": ["lo", "hi"]}, lambda s: s.band.isin(["lo", "hi"])),
    "ranks": ({"band": ("mid", "hi")}, lambda s: s.band >= "mid"),
    "number level": ({"grade": 3.0}, lambda s: s.grade == 3),
    "boolean": ({"vip": True}, lambda s: s.vip),
    "nullable boolean": ({"opt_in": np.False_}, lambda s: s.opt_in.notna() & ~s.opt_in.astype(bool)),
    "missing": ({"amount": None, "city": None}, lambda s: s.amount.isna() & s.city.isna()),
    "missing or": ({"city": ["Rom", None]}, lambda s: s.city.isna() | (s.city == "Rom")),
    "missing boolean": ({"opt_in": pd.NA}, lambda s: s.opt_in.isna()),
    "spike": ({"amount": 0}, lambda s: s.amount == 0),
    "numbers": ({"age": [30, 31, 77]}, lambda s: s.age.isin([30, 31, 77])),
    "array": ({"age": np.arange(20, 30)}, lambda s: s.age.between(20, 29)),
    "closed": ({"age": (60, 75)}, lambda s: s.age.between(60, 75)),
    "half": ({"age": (80, None)}, lambda s: s.age >= 80),
    "level not missing": ({"city": (None, None), "opt_in": (None, None)}, lambda s: s.city.notna() & s.opt_in.notna()),
    "not missing": ({"visits": (None, None)}, lambda s: s.visits.notna()),
    "open": ({"amount": pd.Interval(100, 101, closed="neither")}, lambda s: (s.amount > 100) & (s.amount < 101)),
    "right": ({"amount": pd.Interval(0, 50)}, lambda s: (s.amount > 0) & (s.amount <= 50)),
    "narrow": ({"ratio": (0.1, 0.11)}, lambda s: (s.ratio >= 0.1) & (s.ratio <= 0.11)),
    "nullable": ({"visits": (2, 4)}, lambda s: s.visits.between(2, 4)),
    "dates": (
        {"when": ("2024-02-01", "2024-02-29 12:00")},
        lambda s: (s.when >= "2024-02-01") & (s.when <= "2024-02-29 12:00"),
    ),
    "far ends": ({"when": ("1600-01-01", "9999-12-31")}, lambda s: s.when.notna()),
    "stamps": ({"when": (pd.Timestamp("2024-05-01"), None)}, lambda s: s.when >= "2024-05-01"),
    "local dates": (
        {"local": ("2024-03-10", "2024-03-11")},
        lambda s: (s.local >= "2024-03-10") & (s.local <= "2024-03-11"),
    ),
    "several": (
        {"vip": True, "age": (60, 75), "amount": (300, 500), "city": "Oslo"},
        lambda s: s.vip & s.age.between(60, 75) & s.amount.between(300, 500) & (s.city == "Oslo"),
    ),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_are_exact_in_count_and_value(name, exact):
    conditions, holds = CONDITIONS[name]
    sample = exact.sample(500, conditions=conditions, random_state=1)
    assert len(sample) == 500
    assert holds(sample).all()
    assert sample.dtypes.equals(TABLES["exact"].dtypes)


@pytest.mark.parametrize("name", ["transactions", "patients"])
def test_conditions_on_private_models(name, request):
    model = request.getfixturevalue(name)
    target, number = {"transactions": ("is_fraud", "amount"), "patients": ("readmitted", "age")}[name]
    sample = model.sample(300, conditions={target: True, number: (50, None)})
    assert len(sample) == 300
    assert sample[target].all()
    assert (sample[number] >= 50).all()


def test_a_frame_of_conditions_is_answered_row_by_row(exact):
    wanted = pd.DataFrame({"city": ["Oslo", None, "Rom"] * 20, "age": [30, 40, 30] * 20, "grade": [1.0, 2.0, 3.0] * 20})
    sample = exact.sample(conditions=wanted, random_state=0)
    assert (sample.age == wanted.age).all()
    assert (sample.grade.astype(float) == wanted.grade).all()
    assert (sample.city.fillna("none") == wanted.city.fillna("none")).all()
    assert sample.key.is_unique
    assert sample.dtypes.equals(TABLES["exact"].dtypes)
    assert len(exact.sample(conditions=wanted[:0])) == 0
    assert len(exact.sample(60, conditions=wanted)) == 60


def test_a_list_of_conditions_has_a_count_for_each(exact):
    wanted = [{"vip": True, "age": (60, None)}, {"city": None}, {"city": "Oslo"}]
    sample = exact.sample([30, 0, 12], conditions=wanted, random_state=0)
    assert len(sample) == 42
    assert (sample.vip & (sample.age >= 60))[:30].all()
    assert (sample.city[30:] == "Oslo").all()
    assert sample.key.is_unique
    assert sample.dtypes.equals(TABLES["exact"].dtypes)
    for counts in (None, 42, [1, 2], []):
        with pytest.raises(ParameterError, match=r"n_rows .* a list of 3 counts, one for each"):
            exact.sample(counts, conditions=wanted)
    with pytest.raises(ParameterError, match="Got -1"):
        exact.sample([1, 2, -1], conditions=wanted)


def agrees_with_filtering(model, conditions, holds, columns, draw, n=60_000):
    """Whether `draw` gives each column as filtering a large sample does (chi-square on shared bins)."""
    everything = model.sample(n, random_state=11)
    filtered = everything[holds(everything)]
    drawn = draw(conditions)
    for column in columns:
        codes = pd.concat([filtered[column], drawn[column]])
        if codes.nunique() > 10:
            codes = pd.qcut(codes.rank(method="first"), 8, labels=False)
        codes = codes.astype(object).where(codes.notna(), "missing").astype(str).to_numpy()
        counts = pd.crosstab(codes, np.arange(len(codes)) < len(filtered))
        counts = counts[counts.min(axis=1) > 5]
        if len(counts) < 2 or stats.chi2_contingency(counts).pvalue < FALSE_ALARM / len(columns):
            return False
    return True


COMPARED = ["city", "band", "note", "amount", "age"]


def rich(s):
    return s.vip & (s.amount >= 250)


def test_conditioning_agrees_with_filtering(exact):
    draw = lambda c: exact.sample(10_000, conditions=c, random_state=12)  # noqa: E731
    assert agrees_with_filtering(exact, {"vip": True, "amount": (250, None)}, rich, COMPARED, draw)


def test_a_frame_of_conditions_agrees_with_filtering(exact):
    def draw(conditions):  # rows of another demand lie between those that are compared
        wanted = pd.DataFrame(
            {"vip": [True, False] * 10_000, "amount": [pd.Interval(250, 500), pd.Interval(0, 90)] * 10_000}
        )
        return exact.sample(conditions=wanted, random_state=12)[::2]

    def holds(s):
        return s.vip & (s.amount > 250) & (s.amount <= 500)

    assert agrees_with_filtering(exact, None, holds, COMPARED, draw)
    assert not agrees_with_filtering(
        exact, None, lambda s: ~s.vip & (s.amount > 250) & (s.amount <= 500), COMPARED, draw
    )


def test_a_frame_of_conditions_takes_ranges_and_missing_values(exact):
    ranges = pd.arrays.IntervalArray.from_breaks([0.0, 50.0, 200.0, 500.0])
    wanted = pd.DataFrame({"amount": ranges.take([2, 0, 1] * 50), "city": [None, "Rom", "Oslo"] * 50})
    sample = exact.sample(conditions=wanted, random_state=0)
    assert all(amount in asked for amount, asked in zip(sample.amount, wanted.amount, strict=True))
    assert (sample.city.isna() == wanted.city.isna()).all()
    assert sample.dtypes.equals(TABLES["exact"].dtypes)
    with pytest.raises(ConditionError, match="No value of column 'amount'"):
        exact.sample(conditions=pd.DataFrame({"amount": [1.0, -1e6]}))


def test_conditioning_agrees_with_filtering_has_power(exact):
    """Known-bad: rows of the wrong class whose values are then overwritten."""

    def overwritten(conditions):
        sample = exact.sample(10_000, conditions={"vip": False}, random_state=12)
        return sample.assign(vip=True, amount=sample.amount.clip(lower=250))

    assert not agrees_with_filtering(exact, {"vip": True, "amount": (250, None)}, rich, COMPARED, overwritten)


def test_condition_probability_is_the_share_of_a_sample(exact):
    sample = exact.sample(40_000, random_state=3)
    for conditions, holds in (CONDITIONS["closed"], CONDITIONS["missing"], CONDITIONS["right"]):
        p = exact.condition_probability(conditions)
        hits = int(holds(sample).sum())
        assert stats.binomtest(hits, len(sample), p).pvalue >= FALSE_ALARM / 3
        assert stats.binomtest(hits, len(sample), p / 2).pvalue < FALSE_ALARM  # the twin
    assert exact.condition_probability({}) == pytest.approx(1.0)


# --- identifiers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint16", "int64", "Int64", "float32", "object", "string"])
def test_identifiers_are_made_up_and_distinct(dtype):
    frame = pd.DataFrame({"key": pd.Series(range(100)).repeat(4).to_numpy(), "flag": [True, False] * 200})
    frame["key"] = frame["key"].astype(dtype)
    model = fit_exactly(frame, schema={"key": Identifier("k")}, steps=1)
    sample = model.sample(120)
    assert sample.key.dtype == frame.key.dtype
    assert sample.key.is_unique
    if dtype == "int8":
        with pytest.raises(ParameterError, match="only 127 keys of data type int8"):
            model.sample(128)


def test_identifiers_are_never_read():
    one = messy(300)
    two = one.assign(key=[f"other-{i}" for i in range(300)])
    samples = [fit_exactly(f, schema={"key": Identifier()}, steps=2).sample(50, random_state=0) for f in (one, two)]
    pd.testing.assert_frame_equal(*samples)
    assert samples[0].key.str.startswith("id-").all()


# --- parameters, saving ---------------------------------------------------------------------------------------


def test_parameters_follow_scikit_learn():
    model = quick(0.5, schema=Schema({"a": Continuous(0, 1)}), generator_dim=(8, 8))
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "encoder_")
    assert copy.set_params(epsilon=2.0).epsilon == 2.0
    assert "epsilon=0.5" in repr(model)
    with pytest.raises(ValueError, match="epsilonn"):
        model.set_params(epsilonn=1)


@pytest.mark.parametrize("use", [lambda m: m.sample(1), lambda m: m.save("x"), lambda m: m.condition_probability({})])
def test_before_fit(use):
    with pytest.raises(NotFittedError, match=r"not fitted yet. Call fit\(df\) first"):
        use(CTGAN())
    assert not Path("x").exists()


@pytest.mark.parametrize("name", TABLES)
def test_a_loaded_model_samples_the_same(name, request, tmp_path):
    model = request.getfixturevalue(name)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    pd.testing.assert_frame_equal(again.sample(300, random_state=4), model.sample(300, random_state=4))
    assert again.schema_ == model.schema_
    assert again.certificate_ == model.certificate_
    assert again.history_ == model.history_
    assert again.plan_.neural == model.plan_.neural
    expected = {k: v for k, v in model.get_params().items() if k != "schema"}
    assert {k: v for k, v in again.get_params().items() if k != "schema"} == expected
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


@pytest.mark.parametrize("kind", [str, Path])
def test_a_model_of_a_schema_file_outlives_the_file(kind, tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(Schema({"age": Continuous(0, 120)}).to_json())
    model = fit_exactly(messy()[["age", "vip"]], schema=kind(path), steps=np.int64(2), generator_dim=[np.int32(8)])
    model.save(tmp_path / "model")
    path.unlink()
    again = load(tmp_path / "model")
    assert again.schema["age"] == Continuous(0, 120, decimals=0, nullable=False)
    assert again.steps == 2


def test_by_default_exact_tables_get_half_the_steps_of_noisy_ones(monkeypatch):
    assert (loop._STEPS, loop._EXACT_STEPS) == (3000, 1500)
    monkeypatch.setattr(loop, "_STEPS", 4)  # the loss is far from the noise by then
    monkeypatch.setattr(loop, "_EXACT_STEPS", 2)
    frame = messy()[["age", "grade"]]
    for steps, noisy, exact in ((None, 4, 2), (3, 3, 3)):
        private = quick(5.0, steps=steps).fit(frame)
        assert private.history_.stages[0] == ("measured critic", noisy)
        assert fit_exactly(frame, steps=steps).history_.stages[0] == ("measured critic", exact)


def test_y_is_learned_too():
    frame = messy()[["age", "city"]]
    y = pd.Series(messy()["grade"]).set_axis(np.arange(1_500)[::-1])
    with pytest.warns(PrivsynthWarning, match="NOT private"):
        model = quick(None, target="grade").fit(frame, y)
    assert list(model.feature_names_in_) == ["age", "city"]  # of X, as scikit-learn says it
    sample = model.sample(50, conditions={"grade": 2})
    assert (sample.grade == 2).all()
    assert sample.grade.dtype == y.dtype


@pytest.mark.filterwarnings("ignore:The conditions on .* are far outside")  # a class of a few dozen rows
@pytest.mark.parametrize("critic", ["auto", "measured", "neural", "both"])
def test_critics(critic):
    table = make_transactions(1_500, random_state=0)[["channel", "amount", "device_type", "is_fraud"]]
    model = quick(critic=critic, target="is_fraud", discriminator_steps=3, batch_size=64, schema=BOUNDED).fit(table)
    assert model.plan_.measured == (critic != "neural")
    assert critic == "auto" or model.plan_.neural == (critic != "measured")
    assert model.certificate_.epsilon <= 1.0 + 1e-6
    model.certificate_.verify()
    assert len(model.sample(30, conditions={"is_fraud": True})) == 30


BOUNDED = {"amount": Continuous(0, 5_000)}


def test_a_fit_warns_of_a_class_that_drowns():
    """Some 15 frauds where a count within a class has noise of about as many rows; and 1,500 of 3,000, the twin."""
    columns = ["channel", "amount", "device_type", "is_fraud"]
    with pytest.warns(PrivsynthWarning, match=r"little is learned of what sets apart, of 'is_fraud', 'True'"):
        model = quick(target="is_fraud", schema=BOUNDED).fit(make_transactions(1_500, random_state=0)[columns])
    assert any("Do not train or test a detector" in text for text in model.history_.alarms)
    half = make_transactions(3_000, fraud_rate=0.5, random_state=0)[columns]
    assert quick(target="is_fraud", schema=BOUNDED).fit(half).history_.alarms == []


# --- the budget -----------------------------------------------------------------------------------------------


def small_table(n_rows=1_500):
    return make_transactions(n_rows, random_state=0)[["channel", "is_fraud"]]


def test_the_certificate_states_what_was_asked_for(transactions):
    certificate = transactions.certificate_
    assert certificate.private
    assert 9 < certificate.epsilon <= 10 * (1 + 1e-6)
    assert transactions.ledger_.spent[0] == pytest.approx(10)
    certificate.verify()


def test_no_privacy_says_so(exact):
    assert math.isinf(exact.certificate_.epsilon)
    assert not exact.certificate_.private
    assert "NOT private" in exact.certificate_.statement()
    assert math.isinf(exact.ledger_.spent[0])


def test_fits_share_a_ledger():
    ledger = Ledger(Budget(1.0))
    for _ in range(2):
        model = quick(0.5, steps=1).fit(small_table(), ledger=ledger)
        assert model.ledger_ is ledger
    with pytest.raises(BudgetExceeded, match="left"):
        quick(0.5, steps=1).fit(small_table(), ledger=ledger)
    epsilon, delta = ledger.spent
    assert epsilon == pytest.approx(1.0)
    assert delta <= 1e-5 * (1 + 1e-9)
    assert len(ledger.spends) == 2


def test_a_fit_without_privacy_does_not_fit_a_private_ledger():
    ledger = Ledger(Budget(1.0))
    with pytest.raises(BudgetExceeded, match="infinity"):
        quick(None).fit(small_table(), ledger=ledger)
    assert ledger.spends == ()


class Reader(CTGAN):
    """Notes that it came to read rows, and gives up."""

    def _learn(self, *args, **kwargs):
        self.has_read = True
        raise DataError("rows were read")


def test_nothing_is_read_on_a_budget_that_is_spent():
    ledger = Ledger(Budget(1.0))
    ledger.reserve("an earlier fit", epsilon=0.9, delta=1e-6)
    before, model = ledger.spends, Reader(0.2, delta=1e-6, verbose=False)
    with pytest.raises(BudgetExceeded, match=r"epsilon=0\.2"):
        model.fit(small_table(), ledger=ledger)
    assert not hasattr(model, "has_read")
    assert ledger.spends == before
    with pytest.raises(DataError, match="rows were read"):  # the twin: on a budget that is left, it gets there
        model.set_params(epsilon=0.05).fit(small_table(), ledger=ledger)
    assert model.has_read


class Noiseless(CTGAN):
    """Decides as with noise, from the exact row count."""

    _noise_source = NoNoise


def test_a_fit_that_read_the_row_count_alone_pays_for_that_alone():
    ledger = Ledger(Budget(1.0))
    with pytest.raises(ParameterError, match="Only the row count was read and paid for"):
        Noiseless(0.01, verbose=False).fit(make_transactions(30, random_state=0), ledger=ledger)
    epsilon, delta = ledger.spent
    assert 0 < epsilon <= 0.02 * 0.01 * (1 + 1e-9)
    assert delta == 0
    assert ledger.spends[0].settled


def test_a_failing_refit_leaves_the_model_as_it_was(transactions):
    before = transactions.sample(50, random_state=0)
    with pytest.raises(DataError, match="no rows"):
        transactions.fit(pd.DataFrame({"a": []}))
    pd.testing.assert_frame_equal(transactions.sample(50, random_state=0), before)


def test_declared_levels_need_no_discovery():
    schema = {"channel": Categorical(tuple(small_table()["channel"].unique()))}
    model = quick(schema=schema, steps=1).fit(small_table())
    assert not any("levels" in charge.label or "bounds" in charge.label for charge in model.certificate_.charges)
