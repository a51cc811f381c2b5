"""Two looks at levels: the second goes where the first left most rows unseen, and what both counted is kept."""

import math

import numpy as np
import pandas as pd
import pytest

from privsynth.privacy.events import Failure, Gaussian
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.schema import Categorical, resolve_schema
from privsynth.transforms.encoder import ONE_WAY, fit_encoder
from privsynth.transforms.levels import RARER, VALUES, frequent_values

N = 20_000
MU = 0.05  # of either look
DELTA = 1e-6


def mechanisms(*, private=True, noise=NoNoise, second=True, mu=MU):
    found = Mechanisms(noise(), private=private)
    for label in (VALUES, RARER) if second else (VALUES,):
        found.allot(label, Gaussian(mu))
        found.allot(label + " (delta)", Failure(DELTA))
    found.allot(ONE_WAY, Gaussian(mu))
    return found


def threshold(n_columns):
    """The rows that a level needs, without noise on the counts: 1.5 and so many deviations of what would be there."""
    from scipy.stats import norm

    return 1.5 + math.sqrt(n_columns) / MU * norm.isf(DELTA / n_columns)


def long_tailed(each, n_rare=30):
    """A column of which `n_rare` levels have `each` rows and one has the others."""
    rare = np.repeat([f"rare {k}" for k in range(n_rare)], each)
    return np.concatenate([rare, np.full(N - len(rare), "main")])


def table(each=150, **more):
    coins = {f"coin {k}": np.where(np.arange(N) % (k + 2) == 0, "heads", "tails") for k in range(7)}
    return pd.DataFrame({"town": long_tailed(each), **coins, **more})


def found_in(frame, used, declared=None):
    schema = resolve_schema(declared, frame)
    return frequent_values(frame, schema, {}, used, n_rows=len(frame))[0]


def test_the_second_look_shows_levels_that_the_first_cannot():
    assert threshold(1) < 150 < threshold(8)  # what is asked of the numbers of this file
    used = mechanisms()
    town = found_in(table(), used)["town"]
    assert town.values[0] == "main"
    assert set(town.values[1:]) == {f"rare {k}" for k in range(30)}
    assert town.counts.tolist() == [N - 30 * 150, *[150.0] * 30]
    assert town.scales.tolist() == pytest.approx([math.sqrt(8) / MU, *[1 / MU] * 30])
    charge = next(c for c in used.charges if c.label == RARER)
    assert (charge.sensitivity, charge.n_values) == (1.0, 30)
    assert found_in(table(), mechanisms(second=False))["town"].values == ["main"]


def test_columns_with_half_as_many_unseen_rows_take_part_and_others_do_not():
    frame = table(each=150, village=long_tailed(100), farm=long_tailed(60))
    used = mechanisms()
    found = found_in(frame, used)
    charge = next(c for c in used.charges if c.label == RARER)
    assert charge.sensitivity == pytest.approx(math.sqrt(2))
    assert len(found["town"].values) == 31
    assert len(found["village"].values) == 1 == len(found["farm"].values)
    assert threshold(2) > 100


def test_missing_rows_are_not_unseen():
    missing = pd.Series(np.where(np.arange(N) < 0.7 * N, None, "card"), dtype=object)
    used = mechanisms()
    found = found_in(table(device=missing), used)
    assert found["device"].values == ["card"]
    assert next(c for c in used.charges if c.label == RARER).sensitivity == 1.0  # town alone


@pytest.mark.parametrize("frame", [table().drop(columns="town"), table(each=5)], ids=["all seen", "few unseen"])
def test_where_little_is_unseen_there_is_no_second_look(frame):
    used = mechanisms()
    found_in(frame, used)
    assert used.allows(RARER)
    used.forfeit()
    assert {c.label for c in used.charges} >= {f"{RARER} (unused)", f"{RARER} (delta) (unused)"}


def test_declared_columns_are_not_looked_at_again():
    """Of a long list of declared levels the shares are open, but no name is to be found out."""
    names = ("main", *(f"rare {k}" for k in range(120)))
    used = mechanisms()
    found_in(table(each=100), used, {"town": Categorical(names)})
    assert used.allows(RARER)


def test_a_level_of_one_row_stays_hidden_in_both_looks():
    """False alarm: two looks and a hundred tries at delta 1e-6 each, 2e-4 together."""
    frame = table(each=150)
    frame.loc[0, "town"] = "one person"
    for _ in range(100):
        assert "one person" not in found_in(frame, mechanisms(noise=SecureNoise))["town"].values


def test_without_privacy_everything_is_seen_at_once():
    used = mechanisms(private=False)
    assert len(found_in(table(each=3), used)["town"].values) == 31
    assert used.allows(RARER)


def test_looks_are_kept_for_the_cells_of_their_levels():
    frame = table()[["town", "coin 0"]]
    frame["town"] = frame["town"].mask(frame["town"] == "rare 3")  # missing
    used = mechanisms(mu=0.5)
    encoder = fit_encoder(frame, resolve_schema(None, frame), used, n_rows=N)
    values, scales = encoder.looks
    for column, span in zip(encoder.columns, encoder.layout.spans, strict=True):
        exact = frame[column.name].value_counts()
        cells = span.start + np.arange(len(column.levels))
        assert values[cells].tolist() == exact[list(column.levels)].tolist()
        assert np.isfinite(scales[cells]).all()
        assert np.isinf(scales[cells[-1] + 1 : span.slice.stop]).all()  # other, missing
    assert "looks" not in encoder.to_dict()
