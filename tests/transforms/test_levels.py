"""Two looks at levels: what the second adds, what a row may weigh in it, and what is never shown."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from privsynth.privacy.events import Failure, Gaussian
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.privacy.unit import Unit
from privsynth.schema import Categorical, Continuous, Schema, resolve_schema
from privsynth.transforms import levels
from privsynth.transforms.encoder import needs
from privsynth.transforms.levels import (
    LEVELS,
    MAX_LEVEL_CELLS,
    PARTS,
    RARER,
    VALUES,
    _mean_weights,
    _share_out,
    frequent_values,
)

N = 20_000
MU = 0.05  # of either look
DELTA = 1e-6


def mechanisms(*, private=True, noise=NoNoise, second=True, rows=1):
    found = Mechanisms(noise(), private=private, unit=Unit(None if rows == 1 else "id", rows))
    for label in (VALUES, LEVELS, RARER) if second else (VALUES,):
        found.allot(label, Gaussian(MU))
        found.allot(label + " (delta)", Failure(DELTA))
    return found


def threshold(n_columns, *, second):
    """The rows that a level needs by the noise that there would be."""
    deviation = (1 if second else math.sqrt(n_columns)) / MU
    return 1 + 0.5 / (PARTS if second else 1) + deviation * norm.isf(DELTA / n_columns)


def long_tailed(each, n_rare=30):
    """A column of which `n_rare` levels have `each` rows and one has the others."""
    rare = np.repeat([f"rare {k}" for k in range(n_rare)], each)
    return np.concatenate([rare, np.full(N - len(rare), "main")])


def coins(number=7):
    return {f"coin {k}": np.where(np.arange(N) % (k + 2) == 0, "heads", "tails") for k in range(number)}


def looked(frame, used, declared=None):
    return frequent_values(frame, resolve_schema(declared, frame), {}, used, n_rows=len(frame))[0]


def charge_of(used):
    return next(c for c in used.charges if c.label == RARER)


def test_the_second_look_shows_levels_that_the_first_cannot():
    assert threshold(8, second=True) < 150 < threshold(8, second=False)  # what is asked of the numbers here
    frame = pd.DataFrame({"town": long_tailed(150), **coins()})
    used = mechanisms()
    names, counts = looked(frame, used)["town"]
    assert names[0] == "main"
    assert sorted(names[1:]) == sorted({f"rare {k}" for k in range(30)})
    assert counts.tolist() == [N - 30 * 150, *[150.0] * 30]
    charge = charge_of(used)
    assert (charge.sensitivity, charge.scale, charge.n_values) == (1.0, pytest.approx(1 / MU), 30)
    assert looked(frame, mechanisms(second=False))["town"][0] == ["main"]


def test_numbers_have_one_look_of_their_own():
    frame = pd.DataFrame({"town": long_tailed(150), **coins(), "x": np.arange(N) % 100 / 7, "y": np.arange(N) % 3})
    numbers = {name: frame[name].to_numpy(dtype=float) for name in ("x", "y")}
    schema = resolve_schema(None, frame)
    used = mechanisms()
    found, noise = frequent_values(frame, schema, numbers, used, n_rows=N)
    charges = {charge.label: charge.sensitivity for charge in used.charges if "delta" not in charge.label}
    assert charges == {VALUES: math.sqrt(2), LEVELS: math.sqrt(8), RARER: 1.0}
    assert noise == math.sqrt(2) / MU
    assert (len(found["x"][0]), len(found["y"][0]), len(found["town"][0])) == (100, 3, 31)
    used = mechanisms(second=False)
    assert frequent_values(frame, schema, numbers, used, n_rows=N)[1] == math.sqrt(10) / MU


def test_what_has_half_a_row_needs_more_of_them():
    """Rows without a name in two columns weigh .70 in each: 145 of them are as 102, below the threshold of 104."""
    weight = math.floor(PARTS / math.sqrt(2)) / PARTS
    assert 145 * weight < threshold(8, second=True) < 160 * weight < 160 < threshold(8, second=False)
    for each, shown in ((145, 0), (160, 30)):
        frame = pd.DataFrame({"town": long_tailed(each), "street": long_tailed(each), **coins(6)})
        found = looked(frame, mechanisms())
        assert [len(found[name][0]) - 1 for name in ("town", "street")] == [shown, shown]


def test_estimated_rows_make_up_for_weights():
    """Three long tails, independent of each other: what a row weighs follows from the released shares."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.permutation(long_tailed(150, 60)) for name in ("town", "street", "trade")})
    for names, counts in looked(frame, mechanisms()).values():
        assert names[0] == "main"
        assert len(names) == 61
        assert counts[1:] == pytest.approx(np.full(60, 150), rel=0.08)  # weights differ from level to level
        assert counts[1:].mean() == pytest.approx(150, rel=0.01)
    first = looked(frame, mechanisms(second=False))
    assert all(len(names) == 1 for names, _ in first.values())


@st.composite
def tables(draw):
    n_columns, n_rows = draw(st.integers(1, 5)), draw(st.integers(1, 30))
    codes, keys, found = {}, {}, {}
    for j in range(n_columns):
        n_levels = draw(st.integers(1, 6))
        codes[f"c{j}"] = np.array(draw(st.lists(st.integers(-1, n_levels - 1), min_size=n_rows, max_size=n_rows)))
        keys[f"c{j}"] = [f"v{v}" for v in range(n_levels)] + ([("missing",)] if draw(st.booleans()) else [])
        known = draw(st.sets(st.sampled_from(keys[f"c{j}"][:n_levels])))
        found[f"c{j}"] = (sorted(known), np.ones(len(known)))
    return codes, keys, found


def shared_by_rows(codes, keys, found):
    """The slow, obvious way: row by row. Also the largest norm of what one row adds."""
    weights = {name: {} for name in codes}
    largest = 0.0
    for i in range(len(next(iter(codes.values())))):
        mine = [
            (name, keys[name][code[i]])
            for name, code in codes.items()
            if code[i] >= 0 and keys[name][code[i]] not in found[name][0]
        ]
        for name, level in mine:
            weights[name][level] = weights[name].get(level, 0) + math.floor(PARTS / math.sqrt(len(mine)))
        largest = max(largest, math.sqrt(len(mine)) * math.floor(PARTS / math.sqrt(max(1, len(mine)))))
    return weights, largest


@given(tables())
@settings(max_examples=200, deadline=None)
def test_a_row_is_shared_out_among_its_values_without_a_name(table):
    slow, largest = shared_by_rows(*table)
    fast = _share_out(*table)
    assert {name: dict(zip(*one, strict=True)) for name, one in fast.items()} == slow
    assert largest <= PARTS


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_mean_weights_equal_the_sum_over_all_cases(shares):
    names = [f"c{j}" for j in range(len(shares))]
    fast = _mean_weights(dict(zip(names, shares, strict=True)))
    for j, name in enumerate(names):
        others = [share for i, share in enumerate(shares) if i != j]
        slow = 0.0
        for case in itertools.product((0, 1), repeat=len(others)):
            chance = math.prod(s if hit else 1 - s for s, hit in zip(others, case, strict=True))
            slow += chance * math.floor(PARTS / math.sqrt(1 + sum(case))) / PARTS
        assert fast[name] == pytest.approx(slow)


@pytest.mark.parametrize(("shares", "expected"), [((-0.3, 1.7), (45 / 64, 1.0)), ((0.0, 0.0), (1.0, 1.0))])
def test_shares_that_noise_put_outside_are_cut(shares, expected):
    assert tuple(_mean_weights(dict(zip("ab", shares, strict=True))).values()) == pytest.approx(expected)


def test_rows_without_a_value_are_not_rows_without_a_name():
    missing = pd.Series(np.where(np.arange(N) < 0.7 * N, None, "card"), dtype=object)
    frame = pd.DataFrame({"device": missing, "town": long_tailed(150), **coins()})
    found = looked(frame, mechanisms())
    assert found["device"][0] == ["card"]
    assert found["town"][1][1:].tolist() == [150.0] * 30  # at full weight, though most of them lack a device


def test_only_levels_that_nobody_declared_are_looked_at_again():
    """Of a long list of declared levels the shares are open, but no name is to be found out; so of numbers."""
    names = ("main", *(f"rare {k}" for k in range(MAX_LEVEL_CELLS + 30)))
    frame = pd.DataFrame({"town": long_tailed(150), "village": long_tailed(150), **coins(6)})
    used = mechanisms()
    found = looked(frame, used, {"town": Categorical(names)})
    assert len(found["village"][0]) == 31
    charges = {charge.label: charge.sensitivity for charge in used.charges if "delta" not in charge.label}
    assert charges == {VALUES: 1.0, LEVELS: math.sqrt(7), RARER: 1.0}


def test_where_all_is_declared_nothing_is_spent():
    names = ("main", *(f"rare {k}" for k in range(MAX_LEVEL_CELLS + 30)))
    used = mechanisms()
    looked(pd.DataFrame({"town": long_tailed(150)}), used, {"town": Categorical(names)})
    assert used.allows(RARER)


def test_levels_that_nobody_declared_are_looked_for_twice():
    texts = {f"c{k}": Categorical() for k in range(2)}
    numbers = {"x": Continuous(), "y": Continuous(0, 1)}
    for schema, once, twice in (
        (texts, 0, 2),
        (numbers, 2, 0),
        (texts | numbers, 2, 2),
        ({**numbers, "a": Categorical(("yes", "no"))}, 2, 0),
        ({**numbers, "a": Categorical(tuple(map(str, range(MAX_LEVEL_CELLS + 1))))}, 3, 0),
    ):
        asked = needs(Schema(schema), {})
        assert (asked[VALUES], asked[RARER]) == (once, twice)


def test_a_level_of_one_row_stays_hidden_in_both_looks():
    """False alarm: two looks and fifty tries at delta 1e-6 each, 1e-4 together."""
    frame = pd.DataFrame({"town": long_tailed(300), **coins()})
    frame.loc[0, "town"] = "one person"
    for _ in range(50):
        names = looked(frame, mechanisms(noise=SecureNoise))["town"][0]
        assert "one person" not in names
        assert len(names) == 31  # 300 rows are nine deviations above the threshold


def test_the_rows_of_a_person_raise_the_threshold():
    frame = pd.DataFrame({"town": long_tailed(150), **coins()})
    assert len(looked(frame, mechanisms(rows=2))["town"][0]) == 1
    used = mechanisms(rows=2)
    looked(frame, used)
    assert (charge_of(used).sensitivity, charge_of(used).scale) == (2.0, pytest.approx(2 / MU))


def test_what_is_found_follows_from_releases_alone(monkeypatch):
    """The releases of one table, played back on another with fewer rows and other values: the same is found."""
    made = {}

    def played(columns, used, label, *, original=levels.discover_values, **options):
        output = original(columns, used, label, **options)
        return made.setdefault(label, output)

    monkeypatch.setattr(levels, "discover_values", played)
    frame = pd.DataFrame({"town": long_tailed(150), "street": long_tailed(200), **coins(6)})
    first = looked(frame, mechanisms())
    other = frame.iloc[: N // 3].assign(town="elsewhere")
    again = frequent_values(other, resolve_schema(None, frame), {}, mechanisms(), n_rows=N)[0]
    assert made.keys() == {LEVELS, RARER}
    assert {n: (v, c.tolist()) for n, (v, c) in again.items()} == {n: (v, c.tolist()) for n, (v, c) in first.items()}
    weighed = dict(zip(*first["street"], strict=True))["rare 0"]
    assert weighed != dict(zip(*made[RARER][0]["street"], strict=True))["rare 0"]  # the mean weight was at work


def test_without_privacy_everything_is_seen_at_once():
    used = mechanisms(private=False)
    names, counts = looked(pd.DataFrame({"town": long_tailed(3), **coins()}), used)["town"]
    assert len(names) == 31
    assert counts.tolist() == [N - 90, *[3.0] * 30]
