"""Sensitivity replay for persons: neighbours are a table and the same table with all rows of one person more.

The machinery is that of `tests.test_replay`. What is checked besides: the cap keeps the same rows of everybody
else, and the multiplied sensitivities are not only never exceeded but reached.
"""

import numpy as np
import pandas as pd
import pytest

from privsynth import Schema
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.unit import ONE_ROW
from privsynth.schema import Categorical, Continuous, Identifier
from privsynth.training import shares
from privsynth.transforms import levels, units
from tests.test_replay import LABELS, ORDINARY, Recording, distance, excesses, fit, make_frame, recorded_discovery

pytestmark = pytest.mark.filterwarnings("ignore::privsynth.errors.PrivsynthWarning")  # the tables are small
MOST = 4
LEVELS = {"levels", "rarer levels"}
NAN = {"amount": np.nan, "score": np.nan, "city": None, "plan": None, "when": pd.NaT, "kind": None}
SCALED = LABELS - {"DP-SGD", "final choice"}  # what is multiplied by the rows of a person
PERSONS = {
    "one ordinary row": [{}],
    "fifty equal rows": [{}] * 50,
    "fifty rows of extreme values": [{"amount": 1e300, "score": -1e18, "when": pd.Timestamp("1800-01-01")}] * 50,
    "all of a class": [{"kind": "rare", "plan": "gold"}] * 3,
    "several keys that nobody else has": [{"city": f"Atlantis {i}", "amount": 1e6 + i} for i in range(30)],
    "one key that nobody else has": [{"city": "Atlantis", "amount": 77.77}] * 30,
    "rows of all kinds": [{"city": c, "kind": k, "age": a} for c in ("Ulm", "X") for k in ("no", "?") for a in (0, 9)],
    "missing values": [NAN] * 10,
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _recorded_discoveries():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "discover_values", recorded_discovery)
        patch.setattr(shares, "_FEW_BOXES", 0)
        yield


def persons_frame():
    """Some hundred persons with five to ninety rows; five rows name nobody."""
    frame = make_frame()
    rng = np.random.default_rng(3)
    who = np.repeat(np.arange(260), np.minimum(4 + rng.geometric(0.5, 260) ** 3, 90))[: len(frame)]
    assert len(who) == len(frame)
    names = np.array([f"person-{i}" for i in rng.permutation(who)], dtype=object)
    names[[5, 60, 300, 301, 900]] = None
    return frame.assign(id=names)


def neighbour(frame, kind, *, name="person-new", scattered=False):
    rows = pd.DataFrame([{**ORDINARY, "id": name, **row} for row in PERSONS[kind]])
    rows["plan"] = pd.Categorical(rows["plan"], categories=frame["plan"].cat.categories)
    rows = rows.astype({c: dtype for c, dtype in frame.dtypes.items() if dtype != rows[c].dtype})
    both = pd.concat([frame, rows], ignore_index=True)
    if not scattered:
        return both
    places = np.r_[np.arange(len(frame)), np.linspace(0, len(frame), len(rows))]
    return both.iloc[np.argsort(places, kind="stable")].reset_index(drop=True)


def fit_persons(frame, recording, folder, most=MOST):
    columns = {"id": Identifier(), "age": Continuous(0, 120), "kind": Categorical(("no", "yes", "rare"))}
    schema = Schema(columns, privacy_unit="id", max_rows_per_unit=most)
    return fit(frame, recording, folder, schema=schema, critic="measured", epsilon=30.0)


@pytest.fixture(scope="module", params=[MOST, None], ids=["declared", "chosen"])
def first(request, tmp_path_factory):
    recording = Recording()
    folder = tmp_path_factory.mktemp("persons")
    return recording, fit_persons(persons_frame(), recording, folder, request.param), request.param


def size_of(recording):
    return next(call for call in recording.calls if call.label == "size")


def test_every_mechanism_is_replayed_under_the_unit(first):
    recording, _, most = first
    labels = {call.label for call in recording.calls}
    assert labels >= SCALED | {"rows per person"}
    assert not labels & {"DP-SGD", "final choice"}
    assert recording.calls[0].label == "rows per person"
    rows = size_of(recording).sensitivity
    assert rows == MOST if most else rows > 1
    for call in recording.calls[1:]:  # the square of a sensitivity is m^2 k for k entries of one row
        assert (call.sensitivity / rows) ** 2 == pytest.approx(round((call.sensitivity / rows) ** 2))
        assert call.sensitivity >= rows


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("kind", PERSONS)
def test_one_person_moves_no_call_by_more_than_its_sensitivity(first, tmp_path, kind, scattered):
    before, saved, most = first
    after = Recording(model=before)
    again = fit_persons(neighbour(persons_frame(), kind, scattered=scattered), after, tmp_path, most)
    assert excesses(before, after) == set()
    assert again == saved
    assert np.abs(before.calls[0].exact - after.calls[0].exact).sum() == 1  # one person is in one bin
    moved = {a.label for a, b in zip(before.calls, after.calls, strict=True) if distance(a, b) > 0}
    assert moved >= {"size", "1-way counts", "columns by class", "pairs by class", "partitions by class"}


def test_a_row_that_names_nobody_is_a_person(first, tmp_path):
    before, saved, most = first
    after = Recording(model=before)
    again = fit_persons(neighbour(persons_frame(), "one ordinary row", name=None), after, tmp_path, most)
    assert excesses(before, after) == set()
    assert again == saved
    assert distance(size_of(before), size_of(after)) == 1


def test_the_sensitivities_are_reached(first, tmp_path):
    """A person with m equal rows is the worst case: m sqrt(k), and not a bit less."""
    before, _, most = first
    after = Recording(model=before)
    fit_persons(neighbour(persons_frame(), "fifty equal rows"), after, tmp_path, most)
    for a, b in zip(before.calls, after.calls, strict=True):
        if a.label in {"size", "1-way counts", "columns by class", "condition pairs", "pairs by class"}:
            assert distance(a, b) == pytest.approx(a.sensitivity)


@pytest.mark.parametrize("kind", ["several keys that nobody else has", "one key that nobody else has"])
def test_keys_of_one_person_are_as_many_as_the_threshold_is_for(first, tmp_path, kind):
    before, _, most = first
    after = Recording(model=before)
    fit_persons(neighbour(persons_frame(), kind), after, tmp_path, most)
    rows = size_of(before).sensitivity
    for label in ("levels", "rarer levels"):
        old, new = (next(c.exact for c in r.calls if c.label == label) for r in (before, after))
        fresh = {name: [n for key, n in new[name].items() if key not in old[name]] for name in new}
        assert all(sum(counts) <= rows for counts in fresh.values())
        assert sum(fresh["city"]) == rows
        assert len(fresh["city"]) == (rows if kind.startswith("several") else 1)


def forgets(name):
    """A mechanism that is calibrated for one row, whatever the unit."""
    original = getattr(Mechanisms, name)

    def forgetful(self, *args, **kwargs):
        unit, self.unit = self.unit, ONE_ROW
        try:
            return original(self, *args, **kwargs)
        finally:
            self.unit = unit

    return forgetful


def first_rows_of_all(owners, most, noise, *, original=units.keep_rows):
    """A cap on all rows together: a person's rows push out those of others."""
    kept = original(owners, most, noise)
    return kept[np.random.default_rng(len(owners)).permutation(len(kept))[:200]]


def fewer_where_there_are_many(owners, most, noise, *, original=units.keep_rows):
    """A cap that looks at all persons: everybody loses a row for each hundred in the table."""
    return original(owners, max(1, most - len(owners) // 1230), noise)


FAULTS = {
    "the row count forgets m": (Mechanisms, "size", forgets("size"), {"size"}),
    "counts forget m": (Mechanisms, "counts", forgets("counts"), {"bounds", "1-way counts", "pairs by class"}),
    "discovery forgets m": (Mechanisms, "discover", forgets("discover"), {"levels and atoms", *LEVELS}),
    "choices forget m": (Mechanisms, "choose", forgets("choose"), {"selection of pairs"}),
    "no cap": (units, "keep_rows", lambda owners, most, noise: np.arange(len(owners)), {"size", "1-way counts"}),
    "a cap on all rows": (units, "keep_rows", first_rows_of_all, {"1-way counts", "pairs by class"}),
    "a cap that looks at others": (units, "keep_rows", fewer_where_there_are_many, {"size", "1-way counts"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(tmp_path, monkeypatch, fault):
    owner, name, twin, caught = FAULTS[fault]
    monkeypatch.setattr(owner, name, twin)
    kind = "one key that nobody else has" if caught >= LEVELS else "fifty equal rows"
    before = Recording()
    fit_persons(persons_frame(), before, tmp_path)
    after = Recording(model=before)
    fit_persons(neighbour(persons_frame(), kind), after, tmp_path)
    assert excesses(before, after) >= caught
