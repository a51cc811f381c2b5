"""Replay on another table: with every release of one table played back, any table makes the same model.

Neighbours, as in `tests.test_replay`, differ by a row, and a decision on exact counts may not turn on one row. Here the
other table has fewer rows, other values and other missing ones. Whatever still reads rows beside the mechanisms, the
number of rows included, makes another model, another call or another warning.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

from privsynth.training import shares
from privsynth.transforms import levels
from tests.test_replay import LABELS, Recorded, Recording, fit, make_frame, recorded_discovery


def dated(frame):
    """`make_frame` with a column of one value, infinite numbers, missing values and dates written as text."""
    rng = np.random.default_rng(1)
    frame = frame.assign(same="x", day=frame["when"].dt.strftime("%Y-%m-%d"), code=rng.integers(0, 5, len(frame)))
    frame.loc[rng.random(len(frame)) < 0.5, "score"] = np.inf
    frame.loc[rng.random(len(frame)) < 0.2, ["amount", "city"]] = [np.nan, None]
    return frame


def another(frame):
    """A table of the same columns and data types that has little else in common."""
    n_rows = 407
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "id": [f"someone-{i}" for i in range(n_rows)],
            "amount": rng.normal(-5e6, 1e6, n_rows),
            "score": rng.integers(10**6, 10**7, n_rows).astype(float),
            "age": np.full(n_rows, 33),
            "city": rng.choice(["Rome", "Oslo"], n_rows),
            "plan": pd.Categorical(["b"] * n_rows, categories=frame["plan"].cat.categories),
            "when": pd.Timestamp("1969-12-31") + pd.to_timedelta(rng.integers(0, 300, n_rows), unit="D"),
            "branch": rng.choice(["north", "north\0of one person"], n_rows),
            "fee": rng.choice(["12.50\0", "no number", "1e300"], n_rows),
            "kind": rng.choice(["rare", "yes", "unheard of"], n_rows),
            "same": rng.choice(["x", "y", "z"], n_rows),
            "day": rng.choice(["no", "date", None], n_rows),
            "code": rng.integers(10**5, 10**6, n_rows),
        }
    ).astype({name: dtype for name, dtype in frame.dtypes.items() if name != "plan"})


@pytest.fixture(autouse=True, scope="module")
def _recorded_discoveries():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "discover_values", recorded_discovery)
        patch.setattr(shares, "_FEW_BOXES", 4)  # partitions in small tables too
        yield


def fitted(frame, recording, folder, cls=Recorded, **parameters):
    """The saved model, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        saved = fit(frame, recording, folder, cls=cls, delta=1e-3, steps=4, **parameters)
    return saved, [str(warning.message) for warning in caught]


MODELS = {
    "measured": {"critic": "measured", "epsilon": 8.0},
    "both": {"critic": "both", "epsilon": 8.0},
    "few pairs": {"critic": "measured", "epsilon": 1.5},
}


@pytest.fixture(scope="module", params=MODELS)
def first(request, tmp_path_factory):
    recording = Recording()
    made = fitted(dated(make_frame()), recording, tmp_path_factory.mktemp("any"), **MODELS[request.param])
    return recording, made, request.param


def test_any_table_makes_the_same_model_under_the_same_releases(first, tmp_path):
    before, (saved, told), name = first
    after = Recording(model=before)
    again, told_again = fitted(another(dated(make_frame())), after, tmp_path, **MODELS[name])
    assert [call.label for call in after.calls] == [call.label for call in before.calls]
    assert told_again == told
    assert again == saved


def test_what_is_compared_is_all_there_is(first):
    """Every mechanism ran, every round of leaves among them, and the warnings are those that could tell."""
    labels = {call.label for call in first[0].calls}
    if first[2] == "few pairs":
        assert labels >= {"selection of pairs", "pairs by class", "leaves, round 1"}
    else:
        assert labels >= LABELS - {"selection of pairs", "DP-SGD", "final choice"}
        assert ("DP-SGD" in labels) == ("final choice" in labels) == (first[2] == "both")
    told = " ".join(first[1][1])
    assert "is above 1/row" in told
    assert "a single value in" in told
    assert "Infinite values" in told


class Peeking(Recorded):
    """Takes one public-looking number from the rows: the batch size is q times their exact number."""

    def _settings(self, plan, n_rows):
        return super()._settings(plan, self._n_exact)

    def fit(self, frame, *args, **kwargs):
        self._n_exact = len(frame)
        return super().fit(frame, *args, **kwargs)


Peeking.__name__ = "CTGAN"


def test_a_planted_look_at_the_row_count_is_caught(tmp_path):
    before, frame = Recording(), dated(make_frame())
    saved, _ = fitted(frame, before, tmp_path, cls=Peeking, **MODELS["both"])
    again, _ = fitted(another(frame), Recording(model=before), tmp_path, cls=Peeking, **MODELS["both"])
    assert again != saved
