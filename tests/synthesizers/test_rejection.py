"""Rows under conditions against rejection sampling from the same model: one joint law of all other columns.

Rejection draws rows without conditions and keeps those that meet one, judged by pandas. For every three of the other
columns, each in at most three bins, the two tables of counts a and b, of m and k rows, are compared by

    X^2 = sum_i (sqrt(k / m) a_i - sqrt(m / k) b_i)^2 / (a_i + b_i),

cells with less than 30 rows in both together merged into one. If both are draws of one law, X^2 is chi-square with
(cells - 1) degrees of freedom. The bound is its quantile at FALSE_ALARM divided by the number of tables of all tests,
so that the whole file is red by chance once in a million times at most: rows drawn systematically, as here, scatter
less than independent ones. Each way of drawing has a planted fault that must exceed the bound.
"""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from privsynth import CTGAN
from privsynth.datasets import make_transactions
from privsynth.errors import PrivsynthWarning
from privsynth.training.mixture import Mixture

FALSE_ALARM = 1e-6
COLUMNS = ["timestamp", "amount", "channel", "country", "customer_age_band", "device_type", "distance_from_home_km"]
COLUMNS += ["is_fraud", "in_campaign"]
START, END = pd.Timestamp("2024-01-20"), pd.Timestamp("2024-02-10 12:00")
CONDITIONS = {
    "a level": ({"channel": "atm"}, lambda s: s.channel == "atm"),
    "levels": ({"country": ["ES", "FR", "US"]}, lambda s: s.country.isin(["ES", "FR", "US"])),
    "a range": ({"amount": (60, 250)}, lambda s: s.amount.between(60, 250)),
    "an open range": ({"distance_from_home_km": (300, None)}, lambda s: s.distance_from_home_km >= 300),
    "a window of time": ({"timestamp": (START, END)}, lambda s: s.timestamp.between(START, END)),
    "missing": ({"device_type": None}, lambda s: s.device_type.isna()),
    "two columns": ({"channel": "online", "amount": (80, None)}, lambda s: (s.channel == "online") & (s.amount >= 80)),
    "a rare class": ({"is_fraud": True}, lambda s: s.is_fraud),
}
BETWEEN = {"a level": {"channel": "chip"}, "two columns": {"channel": "chip", "amount": (5, 60)}}
BETWEEN["a window of time"] = {"timestamp": (END, None)}
N_DRAWN, N_TABLES = 300_000, len(CONDITIONS) * 84  # triples of nine columns at most
N_CONDITIONED = 12_000


@pytest.fixture(scope="module")
def model():
    table = make_transactions(4_000, fraud_rate=0.08, random_state=0)
    often = np.where(table["timestamp"].between(START, END), 0.97, 0.02)
    table["in_campaign"] = np.random.default_rng(0).random(4_000) < often  # what makes times tell of other columns
    table = table[COLUMNS]
    with pytest.warns(PrivsynthWarning, match="NOT private"):
        return CTGAN(None, target="is_fraud", steps=300, verbose=False, random_state=0).fit(table)


@pytest.fixture(scope="module")
def drawn(model):
    return model.sample(N_DRAWN, random_state=1)


def in_bins(both):
    """Return a column in three bins at most: the commonest levels, or thirds of the numbers that are no spike."""
    codes, levels = pd.factorize(both, use_na_sentinel=False)
    if len(levels) > 20:
        codes = pd.factorize(pd.qcut(both.rank(), 3, duplicates="drop"))[0]
    order = np.argsort(-np.bincount(codes + 1))
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    return np.minimum(rank[codes + 1], 2)


def excess(first, second, columns):
    """Return the largest X^2 of three columns, as a multiple of its bound."""
    both = pd.concat([first[columns], second[columns]], ignore_index=True)
    bins = {name: in_bins(both[name]) for name in columns}
    m, k = len(first), len(second)
    largest = 0.0
    for triple in itertools.combinations(columns, 3):
        cell = np.ravel_multi_index([bins[name] for name in triple], (3, 3, 3))
        a, b = np.bincount(cell[:m], minlength=27), np.bincount(cell[m:], minlength=27)
        rare = a + b < 30
        a, b = (np.append(counts[~rare], counts[rare].sum()) for counts in (a, b))
        a, b = a[a + b > 0], b[a + b > 0]
        distance = float(((np.sqrt(k / m) * a - np.sqrt(m / k) * b) ** 2 / (a + b)).sum())
        largest = max(largest, distance / stats.chi2.isf(FALSE_ALARM / (2 * N_TABLES), len(a) - 1))
    return largest


def compared(model, drawn, name, draw):
    """Draw under a condition and by rejection; return how far the two are apart."""
    conditions, holds = CONDITIONS[name]
    kept = drawn[holds(drawn)]
    assert len(kept) > 3_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrivsynthWarning)
        rows = draw(model, conditions)
    assert len(rows) == N_CONDITIONED
    assert holds(rows).all()
    return excess(kept, rows, [column for column in COLUMNS if column not in conditions])


def from_a_dict(model, conditions):
    return model.sample(N_CONDITIONED, conditions=conditions, random_state=2)


def from_a_frame(model, conditions):
    """Every other row asks for something else."""
    (other,) = (BETWEEN[name] for name in BETWEEN if CONDITIONS[name][0] == conditions)
    wanted = {name: pd.Series([value, other[name]] * N_CONDITIONED, dtype=object) for name, value in conditions.items()}
    return model.sample(conditions=pd.DataFrame(wanted), random_state=2)[::2]


@pytest.mark.parametrize("name", CONDITIONS)
def test_rows_under_conditions_are_those_of_rejection_sampling(name, model, drawn):
    assert compared(model, drawn, name, from_a_dict) < 1


@pytest.mark.parametrize("name", BETWEEN)
def test_rows_of_a_frame_are_those_of_rejection_sampling(name, model, drawn):
    assert compared(model, drawn, name, from_a_frame) < 1


def test_two_rejection_samples_do_not_differ(model, drawn):
    _, holds = CONDITIONS["two columns"]
    again = model.sample(N_DRAWN, random_state=3)
    assert excess(drawn[holds(drawn)], again[holds(again)], COLUMNS) < 1


# --- planted faults ---------------------------------------------------------------------------------------------

condition = Mixture.condition


def not_reweighted(self, allowed):
    """Keep the weights of components that can have such rows, as if the condition told nothing of the others."""
    made, probability = condition(self, allowed)
    kept = np.where(made.weights > 0, self.weights, 0.0)
    return Mixture(kept / kept.sum(), made.probabilities, self.layout), probability


def reweighted_twice(self, allowed):
    made, probability = condition(self, allowed)
    again = np.divide(made.weights**2, self.weights, out=np.zeros_like(self.weights), where=self.weights > 0)
    return Mixture(again / again.sum(), made.probabilities, self.layout), probability


@pytest.mark.parametrize("name", [name for name in CONDITIONS if name != "a rare class"])  # a class has its components
def test_components_that_are_not_reweighted_exceed_the_bound(name, model, drawn, monkeypatch):
    monkeypatch.setattr(Mixture, "condition", not_reweighted)
    assert compared(model, drawn, name, from_a_dict) > 2


@pytest.mark.parametrize("name", ["a level", "levels", "a range", "an open range", "two columns"])
def test_components_that_are_reweighted_twice_exceed_the_bound(name, model, drawn, monkeypatch):
    monkeypatch.setattr(Mixture, "condition", reweighted_twice)
    assert compared(model, drawn, name, from_a_dict) > 2


@pytest.mark.parametrize("name", BETWEEN)
def test_rows_of_a_frame_that_are_not_reweighted_exceed_the_bound(name, model, drawn, monkeypatch):
    monkeypatch.setattr(Mixture, "_weights_under", lambda self, _, distinct: np.tile(self.weights, (len(distinct), 1)))
    assert compared(model, drawn, name, from_a_frame) > 2


@pytest.mark.parametrize("name", CONDITIONS)
def test_values_that_are_overwritten_exceed_the_bound(name, model, drawn):
    def overwritten(model, conditions):
        values = from_a_dict(model, conditions)[list(conditions)]
        return model.sample(N_CONDITIONED, random_state=4).assign(**values)

    assert compared(model, drawn, name, overwritten) > 2
