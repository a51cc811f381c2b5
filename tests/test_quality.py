"""What a fit is for, end to end, with the default steps: a guard against changes that run and learn nothing."""

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN
from privsynth.datasets import make_transactions
from privsynth.evaluation import marginal_tvd

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::privsynth.errors.PrivsynthWarning")]
COLUMNS = ["amount", "merchant_category", "channel", "customer_age_band", "previous_day_count", "is_fraud"]


@pytest.fixture(scope="module")
def real():
    return make_transactions(20_000, fraud_rate=0.02, random_state=0)[COLUMNS]


def fitted_tvd(real, **parameters):
    """2-way TVD of a synthetic table against the real one, in multiples of a fresh real table's."""
    model = CTGAN(target="is_fraud", verbose=False, random_state=0, **parameters).fit(real)
    fresh = make_transactions(20_000, fraud_rate=0.02, random_state=1)[COLUMNS]
    noise = marginal_tvd(real, fresh, order=2).mean
    return marginal_tvd(real, model.sample(len(real), random_state=0), order=2).mean / noise


def independent_tvd(real):
    rng = np.random.default_rng(0)
    shuffled = pd.DataFrame({name: rng.permutation(real[name].to_numpy()) for name in real}).astype(real.dtypes)
    fresh = make_transactions(20_000, fraud_rate=0.02, random_state=1)[COLUMNS]
    return marginal_tvd(real, shuffled, order=2).mean / marginal_tvd(real, fresh, order=2).mean


def test_private_rows_are_nearer_than_independent_columns_and_exact_ones_nearer_still(real):
    exact, private, floor = fitted_tvd(real, epsilon=None), fitted_tvd(real, epsilon=1.0), independent_tvd(real)
    assert exact < private < floor / 2
    assert exact < 2.5


def test_the_guard_fails_on_a_generator_that_was_not_trained(real):
    untrained = fitted_tvd(real, epsilon=None, steps=1)
    assert untrained > 2.5
    assert untrained > independent_tvd(real) / 2
