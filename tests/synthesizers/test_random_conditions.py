"""Random conditions over all kinds of columns, a small version of benchmarks/conditions.py; and the judge, judged."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN
from privsynth.datasets import make_transactions
from privsynth.errors import ConditionError

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import conditions
import random_conditions
from random_conditions import Case, verdict

pytestmark = pytest.mark.filterwarnings("ignore:At this epsilon little is learned")  # of a few dozen rows of a class

N_CASES = 60
QUICK = {"target": "is_fraud", "steps": 15, "verbose": False, "random_state": 0}


@pytest.fixture(scope="module")
def model():
    return CTGAN(10.0, **QUICK).fit(make_transactions(2_000, random_state=0))


@pytest.fixture(scope="module")
def ruled():
    table, schema = conditions.ruled_transactions(2_000, 0)
    return CTGAN(10.0, schema=schema, **QUICK).fit(table)


@pytest.mark.parametrize("name", ["model", "ruled"])
def test_possible_conditions_are_exact_and_impossible_ones_refused(name, request, monkeypatch):
    monkeypatch.setattr(random_conditions, "COUNTS", (0, 1, 17, 100))
    if name == "ruled":  # what a formula computes is met by rejection alone, and may be too rare for it
        monkeypatch.setattr(conditions, "SKIPPED", ("fee",))
    rows, wrong = conditions.judge(request.getfixturevalue(name), N_CASES, seed=1, n_chance=50_000)
    assert wrong == []
    assert sum(row["exact"] for row in rows) >= 0.6 * N_CASES
    assert sum(row["refused"] for row in rows) >= 0.2 * N_CASES


def test_kinds_are_many(model):
    rng, pool = np.random.default_rng(0), model.sample(500, random_state=0)
    cases = [conditions.draw_case(pool, rng, number) for number in range(2_000)]
    assert {case.form for case in cases} == {"dict", "where", "frame"}
    kinds = {case.kind for case in cases}
    assert kinds >= {"value", "list", "ranks", "range", "narrow range", "open range", "interval", "window", "missing"}
    assert kinds >= {"not missing", "all but", "several columns", "a frame of rows", "of different rows"}
    assert kinds >= {"unknown column", "unknown level", "beyond the bounds", "between grid points", "reversed range"}


CASE = Case("value", "dict", {"a": 1}, 3, lambda s: (s["a"] == 1).to_numpy(), True)
REFUSED = Case("value", "dict", {"a": 9}, 3, lambda s: (s["a"] == 9).to_numpy(), False, ("'a'", "9"))
GOOD = pd.DataFrame({"a": [1, 1, 1]})


@pytest.mark.parametrize(
    ("case", "outcome", "found"),
    [
        (CASE, GOOD, ""),
        (CASE, GOOD[:2], "2 rows for 3"),
        (CASE, GOOD.assign(a=[1, 1, 2]), "1 rows break it"),
        (CASE, ConditionError("No value. Widen it."), "refused, and it is possible"),
        (REFUSED, ConditionError("No value of 'a' is 9. Widen it."), ""),
        (REFUSED, GOOD, "answered, and it is impossible"),
        (REFUSED, ConditionError("No value of 'a' fits. Widen it."), "does not name ['9']"),
        (REFUSED, ConditionError("No value of 'a' is 9."), "without remedy"),
        (REFUSED, KeyError("'a' 9 Widen"), "KeyError instead of ConditionError"),
    ],
)
def test_the_judge_sees_faults(case, outcome, found):
    said = verdict(case, outcome, ConditionError, lambda _: 0)
    assert said == "" if not found else found in said


def test_the_judge_sees_refusals_of_what_is_drawn():
    free = Case("of different rows", "dict", {"a": 1}, 3, CASE.holds, None)
    error = ConditionError("No row can satisfy it. Widen it.")
    assert verdict(free, error, ConditionError, lambda mask: int(mask(GOOD).sum())).startswith("refused, and 3 drawn")
    assert verdict(free, error, ConditionError, lambda mask: 0) == ""
