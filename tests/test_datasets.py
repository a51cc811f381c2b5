"""The simulated tables: what is in them, that a seed fixes them, that labels keep the written rules.

Statistical checks raise a false alarm once in a million (`ALARM`) and have a twin with a planted fault that
they must refuse.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from privsynth import datasets
from privsynth.datasets import make_patients, make_transactions
from privsynth.datasets._transactions import draw_events, draw_levels
from privsynth.errors import ParameterError

ALARM = 1e-6
MAKERS = {"make_transactions": make_transactions, "make_patients": make_patients}
RATES = {"make_transactions": "fraud_rate", "make_patients": "readmission_rate"}
LABELS = {"make_transactions": "is_fraud", "make_patients": "readmitted"}
BOTH = pytest.mark.parametrize("name", MAKERS)


@functools.cache
def transactions() -> pd.DataFrame:
    return make_transactions(20_000, random_state=1)


@functools.cache
def patients() -> pd.DataFrame:
    return make_patients(20_000, random_state=1)


def share_agrees(events: np.ndarray, rate: float) -> bool:
    """Whether a number of events lies in the two-sided binomial interval that misses `rate` once in 1/ALARM.

    The events are independent with unequal probabilities of mean `rate`; their tails are no wider than the
    binomial's (Hoeffding 1956), so the false-alarm rate is at most ALARM.
    """
    n, k = len(events), int(np.sum(events))
    low, high = stats.binom.ppf([ALARM / 2, 1 - ALARM / 2], n, rate)
    return bool(low <= k <= high)


def out_of_sample_auc(table: pd.DataFrame, label: str, *, shuffle_labels: bool = False) -> float:
    """Fit boosted trees on a random half of the rows; return the ROC AUC on the other half."""
    rng = np.random.default_rng(0)
    features = table.drop(columns=[label, "patient_id"], errors="ignore")
    for name in features:
        if pd.api.types.is_datetime64_any_dtype(features[name]):
            clock = features.pop(name).dt
            features = features.assign(hour=clock.hour, weekday=clock.dayofweek, month=clock.month)
        elif pd.api.types.is_string_dtype(features[name].dropna()):
            features[name] = features[name].astype("category")
    y = table[label].to_numpy()
    if shuffle_labels:
        y = rng.permutation(y)
    train, test = np.array_split(rng.permutation(len(y)), 2)
    model = HistGradientBoostingClassifier(
        max_iter=60,
        max_leaf_nodes=12,
        learning_rate=0.08,
        l2_regularization=1.0,
        categorical_features="from_dtype",
        random_state=0,
    )
    with threadpool_limits(1):  # threads of a busy machine wait for one another for half a minute
        model.fit(features.iloc[train], y[train])
        return float(roc_auc_score(y[test], model.predict_proba(features.iloc[test])[:, 1]))


def chance_auc(y: np.ndarray) -> float:
    """The AUC that a ranking blind to `y` exceeds once in 1/ALARM (normal limit of Mann-Whitney's U)."""
    n_pos, n_neg = int(y.sum()), int((~y).sum())
    return 0.5 + stats.norm.isf(ALARM) * np.sqrt((n_pos + n_neg + 1) / (12 * n_pos * n_neg))


# --- both tables


def test_public_names():
    assert datasets.__all__ == ["make_patients", "make_transactions"]


@BOTH
def test_a_seed_fixes_the_frame_and_the_global_generator_is_left_alone(name):
    make = MAKERS[name]
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = make(500, random_state=3)
    unseeded = make(500)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    pd.testing.assert_frame_equal(first, make(500, random_state=3))
    pd.testing.assert_frame_equal(first, make(500, random_state=np.random.default_rng(3)))
    assert not first.equals(make(500, random_state=4))
    assert not unseeded.equals(make(500))


@BOTH
@pytest.mark.parametrize("n_rows", [1, 2, 37])
def test_any_number_of_rows(name, n_rows):
    table = MAKERS[name](n_rows, random_state=0)
    assert len(table) == n_rows
    other = MAKERS[name](50, random_state=1)
    assert {c: table[c].dtype.kind for c in table} == {c: other[c].dtype.kind for c in other}


@BOTH
@pytest.mark.parametrize("rate", [0.005, 0.05, 0.5, 0.97])
def test_the_share_of_events_agrees_with_the_rate_and_not_with_twice_or_half_of_it(name, rate):
    # Power: at 0.005, 300 events are 8 standard deviations away from the 600 of twice the rate.
    events = MAKERS[name](60_000, random_state=5, **{RATES[name]: rate})[LABELS[name]].to_numpy()
    assert share_agrees(events, rate)
    assert not share_agrees(events, rate / 2)
    assert not share_agrees(events, min(2 * rate, 0.99))


@BOTH
def test_the_share_check_refuses_a_frame_made_with_double_the_rate(name):
    planted = MAKERS[name](60_000, random_state=5, **{RATES[name]: 0.02})[LABELS[name]].to_numpy()
    assert not share_agrees(planted, 0.01)


@BOTH
@pytest.mark.parametrize(
    ("parameter", "bad"),
    [
        *(("n_rows", bad) for bad in (0, -1, 10.0, True)),
        *(("rate", bad) for bad in (0, 1, 1.5, float("nan"), "1%")),
        *(("random_state", bad) for bad in (-1, "seed")),
    ],
)
def test_bad_parameters_are_named(name, parameter, bad):
    parameter = RATES[name] if parameter == "rate" else parameter
    with pytest.raises(ParameterError, match=f"The {parameter} parameter of {name} must be"):
        MAKERS[name](**{"n_rows": 10, parameter: bad})


# --- the two draws


def test_levels_follow_the_weights_of_their_group():
    weights = np.array([[1.0, 2, 0, 7], [0, 0, 1, 0], [5, 5, 5, 5]])
    group = np.random.default_rng(0).integers(0, 3, 30_000)
    codes = draw_levels(np.random.default_rng(1), weights, group)
    for g, row in enumerate(weights / weights.sum(axis=1, keepdims=True)):
        for level, share in enumerate(row):
            assert share_agrees(codes[group == g] == level, share)
    assert not share_agrees(codes[group == 0] == 3, weights[2, 3] / 20)  # the weights of another group


def test_events_are_likelier_where_the_score_is_higher():
    score = np.repeat([0.0, np.log(9.0)], 50_000)
    # Odds o and 9 o of mean probability 0.3: o / (1 + o) + 9 o / (1 + 9 o) = 0.6, a quadratic equation.
    odds = np.roots([9 * (2 - 0.6), 10 * (1 - 0.6), -0.6]).max()
    events = draw_events(np.random.default_rng(0), score, 0.3)
    assert share_agrees(events[:50_000], odds / (1 + odds))
    assert share_agrees(events[50_000:], 9 * odds / (1 + 9 * odds))
    assert not share_agrees(events[50_000:], 0.3)


# --- transactions


def test_transaction_columns():
    table = transactions()
    kinds = {name: table[name].dtype.kind for name in table if name != "customer_age_band"}
    numbers = {"amount": "f", "previous_day_amount": "f", "distance_from_home_km": "f"}
    numbers |= {"account_age_days": "i", "previous_day_count": "i", "timestamp": "M", "is_fraud": "b"}
    strings = dict.fromkeys(("merchant_category", "channel", "country", "device_type"), "O")
    assert kinds == numbers | strings
    assert table["customer_age_band"].cat.ordered
    assert list(table["customer_age_band"].cat.categories[[0, -1]]) == ["18-24", "75+"]
    assert list(table.columns[table.isna().any()]) == ["device_type"]
    assert table["timestamp"].is_monotonic_increasing
    assert table["timestamp"].between("2024-01-01", "2024-03-31", inclusive="left").all()
    assert (table["timestamp"] == table["timestamp"].dt.floor("s")).all()


def test_transaction_rules_that_hold_in_every_row():
    table = transactions()
    assert ((table["previous_day_count"] == 0) == (table["previous_day_amount"] == 0)).all()
    assert (table["amount"] > 0).all()
    assert (table["amount"] == table["amount"].round(2)).all()
    assert (table.loc[table["channel"] == "contactless", "amount"] <= 100).all()
    assert table.loc[table["channel"] != "online", "device_type"].isna().all()
    assert ((table["channel"] == "atm") == (table["merchant_category"] == "cash_withdrawal")).all()
    assert (table.loc[table["channel"] == "atm", "amount"] % 10 == 0).all()
    assert (table[["account_age_days", "previous_day_count", "distance_from_home_km"]] >= 0).all(axis=None)


def test_transaction_shapes():
    table = transactions()
    shares = table["merchant_category"].value_counts(normalize=True)
    assert len(shares) == 18
    assert shares.iloc[0] > 5 * shares.iloc[-1]
    assert (table["country"] == "GB").mean() > 0.85
    assert table["country"].nunique() == 10
    assert 0.02 < table.loc[table["channel"] == "online", "device_type"].isna().mean() < 0.25
    assert 0.3 < (table["previous_day_count"] == 0).mean() < 0.6
    assert table["amount"].quantile(0.999) > 20 * table["amount"].median()  # heavy tail
    assert (table["amount"] % 10 == 0).mean() > 0.1  # spikes: without rounding it is 0.1 %
    assert table["amount"].mode()[0] in {10, 20, 30, 40, 50}


def test_transactions_have_a_daily_and_a_weekly_rhythm():
    clock = transactions()["timestamp"].dt
    night, friday, monday = clock.hour < 6, clock.dayofweek == 4, clock.dayofweek == 0
    # 6 of 24 hours, and as many Mondays as Fridays (13 and 13): refuse "no rhythm" at ALARM
    assert stats.binomtest(int(night.sum()), len(night), 6 / 24, alternative="less").pvalue < ALARM
    either = int((friday | monday).sum())
    assert stats.binomtest(int(friday.sum()), either, 0.5, alternative="greater").pvalue < ALARM


def interact(event: pd.Series, part: pd.Series, other: pd.Series) -> bool:
    """Whether the event is likelier under both conditions than under either alone, added up.

    Clopper-Pearson bounds of ALARM / 3 each: without interaction, true once in 1/ALARM at most.
    """
    groups = [event[part & other], event[part & ~other], event[other & ~part]]
    results = [stats.binomtest(int(g.sum()), len(g)).proportion_ci(1 - 2 * ALARM / 3) for g in groups]
    return bool(results[0].low > results[1].high + results[2].high)


def test_fraud_patterns_are_interactions():
    table = make_transactions(100_000, random_state=2)
    atm, abroad = table["channel"] == "atm", table["country"] != "GB"
    by_phone, old = table["channel"] == "phone_order", table["customer_age_band"] == "75+"
    new = table["account_age_days"] < 90
    costly = (table["amount"] > 250) & table["merchant_category"].isin(["electronics", "jewellery"])
    shuffled = table["is_fraud"].sample(frac=1, random_state=0, ignore_index=True)
    for part, other in [(atm, abroad), (by_phone, old), (new, costly)]:
        assert interact(table["is_fraud"], part, other)
        assert not interact(shuffled, part, other)  # the twin: fraud that no column drives


def frauds_moved(table: pd.DataFrame) -> bool:
    """Whether the share of frauds by phone differs between the first and the last month (false once in 1/ALARM)."""
    frauds = table[table["is_fraud"] & (table["timestamp"].dt.month != 2)]
    counts = pd.crosstab(frauds["timestamp"].dt.month, frauds["channel"] == "phone_order")
    return bool(stats.fisher_exact(counts.to_numpy())[1] < ALARM)


def test_drift_moves_fraud_between_patterns_and_nothing_else():
    still = make_transactions(100_000, fraud_rate=0.02, random_state=2)
    drifting = make_transactions(100_000, fraud_rate=0.02, drift=1.0, random_state=2)
    pd.testing.assert_frame_equal(still.drop(columns="is_fraud"), drifting.drop(columns="is_fraud"))
    assert share_agrees(drifting["is_fraud"].to_numpy(), 0.02)
    assert frauds_moved(drifting)
    assert not frauds_moved(still)  # the twin
    with pytest.raises(ParameterError, match="The drift parameter of make_transactions must be"):
        make_transactions(10, drift=1.5)


# --- patients


def test_patient_columns():
    table = patients()
    numbers = dict.fromkeys(("bmi", "crp_mg_l"), "f") | dict.fromkeys(("smoker", "readmitted"), "b")
    numbers |= dict.fromkeys(("age", "previous_admissions", "systolic_bp", "diastolic_bp", "length_of_stay_days"), "i")
    strings = dict.fromkeys(("patient_id", "sex", "insurance", "department", "diagnosis_group"), "O")
    assert {name: table[name].dtype.kind for name in table} == numbers | strings | {"admission_date": "M"}
    assert table.columns[0] == "patient_id"
    assert table["patient_id"].is_unique
    assert table["patient_id"].str.fullmatch(r"P\d{7}").all()
    assert not table["patient_id"].is_monotonic_increasing  # it does not tell the date
    assert list(table.columns[table.isna().any()]) == ["bmi", "crp_mg_l"]
    assert (table["admission_date"] == table["admission_date"].dt.normalize()).all()


def test_patient_rules_that_hold_in_every_row():
    table = patients()
    assert table["age"].between(18, 102).all()
    assert (table["systolic_bp"] - table["diastolic_bp"] >= 15).all()
    maternity = table[table["department"] == "maternity"]
    assert (maternity["sex"] == "female").all()
    assert (maternity["age"] < 50).all()
    assert set(maternity["diagnosis_group"]) == {"delivery"}
    assert (table["length_of_stay_days"] >= 0).all()


def test_patient_shapes():
    table = patients()
    missing = table["bmi"].isna().groupby(table["department"]).mean()
    assert missing["emergency"] > 0.4 > 0.1 > missing["maternity"]
    assert table["crp_mg_l"].mean() > 2 * table["crp_mg_l"].median()
    assert table["length_of_stay_days"].mean() > table["length_of_stay_days"].median()
    assert 0.5 < table["systolic_bp"].corr(table["diastolic_bp"]) < 0.9
    weekend = table["admission_date"].dt.dayofweek >= 5
    assert stats.binomtest(int(weekend.sum()), len(table), 2 / 7, alternative="less").pvalue < ALARM


def test_a_low_blood_pressure_is_bad_for_failing_hearts_only():
    table = patients()
    low, heart = table["systolic_bp"] < 115, table["diagnosis_group"] == "heart_failure"
    risk = table.groupby([heart, low])["readmitted"].agg(["sum", "size"])
    hearts = [risk.loc[(True, True)], risk.loc[(True, False)]]
    counts = [[int(cell["sum"]), int(cell["size"] - cell["sum"])] for cell in hearts]
    assert stats.fisher_exact(counts, alternative="greater")[1] < ALARM
    others = [risk.loc[(False, flag), "sum"] / risk.loc[(False, flag), "size"] for flag in (True, False)]
    assert others[0] < 1.2 * others[1]


# --- what a model can learn


@pytest.mark.parametrize(("table", "label"), [(transactions, "is_fraud"), (patients, "readmitted")])
def test_boosted_trees_learn_the_label_but_not_perfectly(table, label):
    frame = table()
    y = frame[label].to_numpy()
    learned = out_of_sample_auc(frame, label)
    assert (0.80 if label == "is_fraud" else 0.72) < learned < 0.99
    # the twin: labels shuffled, nothing to learn; half the rows are tested
    bound = chance_auc(y[: len(y) // 2])
    assert out_of_sample_auc(frame, label, shuffle_labels=True) < bound < learned
