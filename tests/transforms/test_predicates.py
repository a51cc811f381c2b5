"""What conditions are read as."""

import numpy as np
import pandas as pd
import pytest

from privsynth.errors import ConditionError
from privsynth.transforms.predicates import Between, OneOf, as_predicate

DAY = pd.Timestamp("2024-01-31")


@pytest.mark.parametrize(
    ("wanted", "predicate"),
    [
        ("F", OneOf(("F",))),
        (3, OneOf((3,))),
        (np.int64(3), OneOf((3,))),
        (True, OneOf((True,))),
        (np.bool_(False), OneOf((False,))),
        (DAY, OneOf((DAY,))),
        (np.datetime64("2024-01-31"), OneOf((DAY,))),
        (np.datetime64("2024-01-31", "ns"), OneOf((DAY,))),
        *((missing, OneOf((None,))) for missing in (None, np.nan, pd.NA, pd.NaT, np.float32("nan"))),
        (np.datetime64("NaT"), OneOf((None,))),
        (["a", None], OneOf(("a", None))),
        (["a", np.nan], OneOf(("a", None))),
        ({"a"}, OneOf(("a",))),
        (range(3), OneOf((0, 1, 2))),
        (np.array([1, 2]), OneOf((1, 2))),
        (pd.Series(["a", "b"]), OneOf(("a", "b"))),
        (pd.Index([1.5]), OneOf((1.5,))),
        ((1, 2), Between(1, 2)),
        ((1, None), Between(1, None)),
        (pd.Interval(1, 2), Between(1, 2, low_open=True)),
        (pd.Interval(1, 2, closed="left"), Between(1, 2, high_open=True)),
        (pd.Interval(1, 2, closed="neither"), Between(1, 2, low_open=True, high_open=True)),
        (Between(high=3), Between(None, 3)),
        (OneOf(("x",)), OneOf(("x",))),
    ],
    ids=repr,
)
def test_readings(wanted, predicate):
    assert as_predicate("c", wanted) == predicate


@pytest.mark.parametrize(
    "wanted", [(1,), (1, 2, 3), (), [], np.array([]), set(), pd.Series([], dtype=object)], ids=repr
)
def test_no_readings(wanted):
    with pytest.raises(ConditionError, match=r"condition on 'c' .*(Use \(low, high\)|Name at least one)"):
        as_predicate("c", wanted)
