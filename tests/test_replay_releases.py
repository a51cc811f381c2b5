"""Sensitivity replay of what parties release, and that the files hold nothing else of the rows.

As in `tests.test_replay`: a party's release of one table is played back on another one, a neighbour or a table that has
nothing in common with it. Exact inputs of neighbours differ by no more than their sensitivity, and the files are equal
byte by byte: rows act through the mechanisms and through nothing else.
"""

import pandas as pd
import pytest

from privsynth.kinds import Categorical, Continuous, Datetime
from privsynth.schema import Schema
from privsynth.training import measure, questions, shares
from privsynth.transforms import levels
from tests.test_replay import (
    NEIGHBOURS,
    Recorded,
    RecordedMechanisms,
    Recording,
    excesses,
    make_frame,
    neighbour,
    recorded_discovery,
    twice,
)
from tests.test_replay_any_table import another, dated

pytestmark = pytest.mark.filterwarnings("ignore::privsynth.errors.PrivsynthWarning")

PUBLIC = Schema(
    {
        "age": Continuous(17, 40, decimals=0),
        "city": Categorical(("Bonn", "Kiel", "Ulm")),
        "plan": Categorical(("a", "b", "gold")),
        "when": Datetime("2024-01-01", "2024-01-30", resolution="day"),
        "kind": Categorical(("no", "yes", "rare")),
    }
)


class Party(Recorded):
    """Releases under recorded mechanisms without noise."""

    def _spend(self, table, budget, ledger, reserved, learn):
        recorded = RecordedMechanisms(reserved[1], self._recording, self.max_grad_norm)
        return super()._spend(table, budget, ledger, (reserved[0], recorded), learn)


@pytest.fixture(autouse=True, scope="module")
def _settings():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "discover_values", recorded_discovery)
        patch.setattr(shares, "_FEW_BOXES", 0)
        yield


def party(recording, **parameters):
    model = Party(
        **{
            "epsilon": 8.0, "delta": 1e-4, "target": "kind", "condition_columns": ["kind", "city"], "steps": 3,
            "generator_dim": (16,), "verbose": False, "random_state": 0, **parameters,
        }
    )  # fmt: skip
    model._recording = recording
    return model


@pytest.fixture(scope="module")
def pattern():
    """The release of a party that went first, which the others are like."""
    made = party(Recording()).release(dated(make_frame()), first=True)
    assert made.tables.partitions is not None
    return made


WAYS = {
    "goes first": {"first": True},
    "follows": {"like": "pattern"},
    "full schema": {"schema": PUBLIC},
}


def released(frame, way, recording, pattern, folder, cls=None):
    """The bytes of a release under recorded mechanisms."""
    ways = dict(WAYS[way])
    model = party(recording, schema=ways.pop("schema", None))
    model.__class__ = cls or Party
    like = pattern if ways.pop("like", None) else None
    frame = frame[list(PUBLIC)] if way == "full schema" else frame
    path = folder / f"{len(list(folder.iterdir()))}.release"
    model.release(frame, like=like, **ways).save(path)
    return path.read_bytes()


@pytest.fixture(scope="module", params=WAYS)
def first(request, pattern, tmp_path_factory):
    recording = Recording()
    frame = dated(make_frame())
    return (
        recording,
        released(frame, request.param, recording, pattern, tmp_path_factory.mktemp("first")),
        request.param,
    )


@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_one_row_moves_no_release_by_more_than_its_sensitivity(first, pattern, tmp_path, kind):
    before, saved, way = first
    after = Recording(model=before)
    frame = dated(make_frame())
    row = neighbour(make_frame(), kind).iloc[-1:].assign(same="x", day="2024-02-01", code=3)
    both = pd.concat([frame, row.astype(frame.dtypes.to_dict())], ignore_index=True)
    again = released(both, way, after, pattern, tmp_path)
    assert excesses(before, after) == set()
    assert again == saved


def test_any_table_makes_the_same_file_under_the_same_releases(first, pattern, tmp_path):
    before, saved, way = first
    after = Recording(model=before)
    assert released(another(dated(make_frame())), way, after, pattern, tmp_path) == saved


def test_nothing_but_tables_is_asked_where_it_is_settled_what_to_count(pattern, tmp_path):
    counts = {"size", "1-way counts", "columns by class", "condition pairs", "pairs by class"}
    for way, more in (("follows", {"partitions by class"}), ("full schema", set())):
        recording = Recording()
        released(dated(make_frame()), way, recording, pattern, tmp_path)
        assert {call.label for call in recording.calls} == counts | more


def test_a_cell_counted_twice_is_caught(pattern, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "_cross", twice(measure._cross))
    before, frame = Recording(), dated(make_frame())
    released(frame, "follows", before, pattern, tmp_path)
    after = Recording(model=before)
    released(frame.iloc[1:], "follows", after, pattern, tmp_path)
    assert excesses(before, after) == {"columns by class", "condition pairs", "pairs by class"}


def test_a_count_beside_the_mechanisms_is_caught(pattern, tmp_path, monkeypatch):
    def leaking(tables, *args, original=questions.Tables):
        return original(frames[-1], *args)

    frames = []
    original = questions.limit_rows

    def seen(frame, *args):
        frames.append(len(frame))
        return original(frame, *args)

    monkeypatch.setattr(questions, "limit_rows", seen)
    monkeypatch.setattr(questions, "Tables", leaking)
    before, frame = Recording(), dated(make_frame())
    saved = released(frame, "follows", before, pattern, tmp_path)
    assert released(frame.iloc[1:], "follows", Recording(model=before), pattern, tmp_path) != saved
