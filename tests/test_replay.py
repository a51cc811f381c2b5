"""Sensitivity replay: fit on D, then on D and one row more with every release of D played back.

Two things are then checked. Each mechanism's *exact* input differs by no more than the sensitivity it was
charged with (a sensitivity is that of a fixed query, and the queries are fixed because all they depend on is
played back). And the saved models are equal byte by byte: the rows act through the mechanisms and through
nothing else, be it weights, domains, history or certificate.
"""

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoNoise
from privsynth.schema import Categorical, Continuous, Identifier
from privsynth.synthesizers import ctgan
from privsynth.training import choice, measure, partitions, plan, private, refine, shares
from privsynth.transforms import levels

pytestmark = pytest.mark.filterwarnings("ignore:At this epsilon", "ignore:About .* carry little signal")

N_ROWS = 1201
LABELS = {
    "size", "forms of values", "bounds", "levels and atoms", "levels", "rarer levels", "leaves, round 1",
    "leaves, round 2", "leaves, round 3", "leaves, round 4", "1-way counts", "columns by class", "condition pairs",
    "selection of pairs",
    "pairs by class", "partitions by class", "final choice", "DP-SGD",
}  # fmt: skip


def make_frame():
    rng = np.random.default_rng(7)
    n = N_ROWS
    return pd.DataFrame(
        {
            "id": [f"person-{i}" for i in range(n)],
            "amount": np.where(rng.random(n) < 0.3, 9.99, rng.lognormal(3, 1, n)),
            "score": rng.normal(size=n),
            "age": rng.integers(18, 90, n),
            "city": rng.choice(["Ulm", "Bonn", "Kiel"], n, p=[0.5, 0.3, 0.2]),
            "plan": pd.Categorical(rng.choice(["a", "b"], n), categories=["a", "b", "gold"]),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, n), unit="s"),
            "branch": pd.Series(rng.choice(["north", "south"], n), dtype="string"),
            "fee": rng.choice(["12.50", "3.00", "4.75"], n),
            "kind": rng.choice(["no", "yes"], n, p=[0.8, 0.2]),
        }
    )


ORDINARY = {
    "id": "person-new", "amount": 20.0, "score": 0.1, "age": 40, "city": "Ulm", "plan": "a",
    "when": pd.Timestamp("2024-02-01"), "branch": "north", "fee": "3.00", "kind": "no",
}  # fmt: skip
NEIGHBOURS = {
    "ordinary": {},
    "extreme values": {"amount": 1e300, "score": -1e18, "age": 120, "when": pd.Timestamp("1800-01-01")},
    "infinite and tiny": {"amount": np.inf, "score": -1e-300, "when": pd.Timestamp("2262-01-01")},
    "new category": {"city": "Atlantis", "amount": 9.99},
    "only member of a class": {"kind": "rare", "plan": "gold"},
    "only missing values": {
        "amount": np.nan,
        "score": np.nan,
        "city": None,
        "plan": None,
        "when": pd.NaT,
        "branch": None,
        "fee": None,
        "kind": None,
    },
    "undeclared level": {"kind": "maybe", "age": -5},
    "first timestamp": {"when": pd.Timestamp("2023-12-31 23:59:59")},
    "several new categories": {"city": "Atlantis", "branch": "beyond", "amount": 12345.5},
    "text after a NUL": {"city": "Ulm\0secret", "branch": "north\0secret", "fee": "12.50\0"},
}


def neighbour(frame, kind, *, first=False):
    row = pd.DataFrame([{**ORDINARY, **NEIGHBOURS[kind]}])
    row["plan"] = pd.Categorical(row["plan"], categories=frame["plan"].cat.categories)
    row = row.astype({name: dtype for name, dtype in frame.dtypes.items() if dtype != row[name].dtype})
    return pd.concat([row, frame] if first else [frame, row], ignore_index=True)


@dataclass
class Call:
    """The exact input of one mechanism call, what it was charged for, and what it gave."""

    label: str
    exact: Any
    sensitivity: float
    output: Any


@dataclass
class Recording:
    """All calls of one fit; with `model`, the outputs of that earlier recording are played back."""

    model: "Recording | None" = None
    calls: list[Call] = field(default_factory=list)

    def take(self, label, exact, sensitivity, output):
        number = len(self.calls)
        if self.model is not None:
            assert self.model.calls[number].label == label
            output = self.model.calls[number].output
        self.calls.append(Call(label, exact, sensitivity, output))
        return output


class RecordedNoise(NoNoise):
    """Masks of a public seed; gradients recorded, and played back if there is a model."""

    def __init__(self, recording, clip_norm):
        super().__init__()
        self.recording, self.clip_norm = recording, clip_norm

    def add_gaussian(self, values, *, scale):
        noisy = super().add_gaussian(values, scale=scale)
        return self.recording.take("DP-SGD", np.array(values, dtype=np.float64), self.clip_norm, noisy)


class RecordedMechanisms(Mechanisms):
    """The mechanisms of a fit, recorded; `discover` is recorded by `recorded_discovery`, which knows its keys."""

    def __init__(self, mechanisms, recording, clip_norm):
        vars(self).update(vars(mechanisms))
        self.recording = recording
        self.noise = RecordedNoise(recording, clip_norm)

    def _record(self, exact, output):
        charge = self.charges[-1]
        return self.recording.take(charge.label, np.array(exact, dtype=np.float64), charge.sensitivity, output)

    def persons(self, histogram, *, epsilon):
        return self._record(histogram, super().persons(histogram, epsilon=epsilon))

    def size(self, n_rows, *, epsilon):
        return self._record([n_rows], super().size(n_rows, epsilon=epsilon))

    def counts(self, label, values, *, sensitivity, relative=None):
        exact = values if relative is None else values / relative
        return self._record(exact, super().counts(label, values, sensitivity=sensitivity, relative=relative))

    def choose(self, label, scores, *, sensitivity):
        return self._record(scores, super().choose(label, scores, sensitivity=sensitivity))


def recorded_discovery(columns, mechanisms, label, *, parts=None, original=levels.discover_values):
    histograms = {
        name: dict(zip(values, (int(count) / (parts or 1) for count in counts), strict=True))
        for name, (values, counts) in columns.items()
    }
    output = original(columns, mechanisms, label, parts=parts)
    charge = next(c for c in mechanisms.charges if c.label == label)
    found, scale = mechanisms.recording.take(label, histograms, charge.sensitivity, output)
    mechanisms._charges[:] = [_with_n_values(c, label, found) for c in mechanisms._charges]
    return found, scale


def _with_n_values(charge, label, found):
    """The number of released keys is a release, so it is played back too."""
    if charge.label != label:
        return charge
    return type(charge)(**{**vars(charge), "n_values": sum(len(levels) for levels, _ in found.values())})


class Recorded(CTGAN):
    """A CTGAN without noise whose calls are recorded."""

    _noise_source = NoNoise

    def _learn(self, frame, schema, undeclared, budget, mechanisms):
        recorded = RecordedMechanisms(mechanisms, self._recording, self.max_grad_norm)
        return super()._learn(frame, schema, undeclared, budget, recorded)


Recorded.__name__ = "CTGAN"  # the bundle names the class


def fit(frame, recording, folder, cls=Recorded, **parameters):
    model = cls(
        **{
            "epsilon": 2.0,
            "target": "kind",
            "condition_columns": ["kind", "city"],
            "schema": {
                "id": Identifier(),
                "age": Continuous(0, 120),
                "fee": Continuous(form="text", decimals=2),
                "kind": Categorical(("no", "yes", "rare")),
            },
            "critic": "both",
            "steps": 3,
            "discriminator_steps": 4,
            "batch_size": 200,
            "generator_dim": (16,),
            "discriminator_dim": (8,),
            "max_grad_norm": 0.5,
            "device": "cpu",
            "verbose": False,
            "random_state": 0,
            **parameters,
        }
    )
    model._recording = recording
    model.fit(frame)
    path = folder / f"{len(list(folder.iterdir()))}.psz"
    model.save(path)
    return path.read_bytes()


def distance(call, other):
    """How far two exact inputs lie apart, in the norm of their mechanism."""
    if isinstance(call.exact, dict):
        assert call.exact.keys() == other.exact.keys()
        changes = [
            other.exact[name].get(key, 0) - counts.get(key, 0)
            for name, counts in call.exact.items()
            for key in {*counts, *other.exact[name]}
        ]
        return float(np.linalg.norm(changes))
    assert call.exact.shape == other.exact.shape
    change = call.exact - other.exact
    return float(
        np.abs(change).max() if call.label in {"selection of pairs", "final choice"} else np.linalg.norm(change)
    )


def excesses(before, after):
    """Labels of the calls that one row moved by more than they were charged for."""
    assert [c.label for c in before.calls] == [c.label for c in after.calls]
    pairs = list(zip(before.calls, after.calls, strict=True))
    assert all(a.sensitivity == b.sensitivity for a, b in pairs)
    return {a.label for a, b in pairs if distance(a, b) > a.sensitivity * (1 + 1e-6)}


@pytest.fixture(autouse=True, scope="module")
def _recorded_discoveries():
    """Record discoveries with their keys; calibrate once, for all fits here have the same events."""
    calibrated = {}

    def calibrate(events, **target):
        key = repr((events, sorted(target.items())))
        if key not in calibrated:
            calibrated[key] = original(events, **target)
        return calibrated[key]

    original = plan.calibrate_noise_multiplier
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "discover_values", recorded_discovery)
        patch.setattr(plan, "calibrate_noise_multiplier", calibrate)
        patch.setattr(shares, "_FEW_BOXES", 0)  # small tables have partitions too, beside a selection of pairs
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    recording = Recording()
    return recording, fit(make_frame(), recording, tmp_path_factory.mktemp("first"))


def test_every_mechanism_is_replayed(first):
    assert {call.label for call in first[0].calls} == LABELS
    assert sum(call.label == "DP-SGD" for call in first[0].calls) == 4


@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_one_row_moves_no_call_by_more_than_its_sensitivity(first, tmp_path, kind):
    before, saved = first
    after = Recording(model=before)
    again = fit(neighbour(make_frame(), kind), after, tmp_path)
    assert excesses(before, after) == set()
    assert again == saved
    moved = {a.label for a, b in zip(before.calls, after.calls, strict=True) if distance(a, b) > 0}
    # the row was read at all
    assert moved >= {"size", "1-way counts", "columns by class", "pairs by class", "partitions by class"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    recording = Recording()
    return recording, fit(make_frame(), recording, tmp_path_factory.mktemp("measured"), critic="measured")


@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_nor_does_a_row_put_before_all_others(measured, tmp_path, kind):
    before, saved = measured
    after = Recording(model=before)
    again = fit(neighbour(make_frame(), kind, first=True), after, tmp_path, critic="measured")
    assert excesses(before, after) == set()
    assert again == saved


def test_new_keys_are_singletons_at_most_one_a_histogram(first, tmp_path):
    """What delta_0 a histogram pays for."""
    after = Recording(model=first[0])
    fit(neighbour(make_frame(), "new category"), after, tmp_path)
    for label in ("levels", "rarer levels"):
        before, now = (next(c.exact for c in r.calls if c.label == label) for r in (first[0], after))
        fresh = {name: {k: n for k, n in now[name].items() if k not in before[name]} for name in now}
        assert fresh["city"] == {"Atlantis": 1}
        assert all(len(keys) <= 1 and set(keys.values()) <= {1} for keys in fresh.values())


def test_a_row_of_several_new_keys_is_shared_out_among_them(first, tmp_path):
    """What the second look's sensitivity of one row is for; a weight of one each is the planted fault below."""
    after = Recording(model=first[0])
    fit(neighbour(make_frame(), "several new categories"), after, tmp_path)
    before, now = (next(c for c in r.calls if c.label == "rarer levels") for r in (first[0], after))
    assert (now.exact["city"]["Atlantis"], now.exact["branch"]["beyond"]) == (45 / 64, 45 / 64)
    assert 0.99 < distance(before, now) <= before.sensitivity == 1


def twice(function):
    @functools.wraps(function)
    def doubled(*args, **kwargs):
        return 2 * function(*args, **kwargs)

    return doubled


FAULTS = {
    "a cell counted twice": (
        measure,
        "_cross",
        twice,
        "measured",
        {"columns by class", "condition pairs", "pairs by class"},
    ),
    "a marginal counted twice": (choice, "_marginal", twice, "both", {"final choice"}),
    "no clipping": (private, "clip_rows_", lambda clip: lambda parts, *, max_grad_norm: parts, "both", {"DP-SGD"}),
    "a row weighs one in each column": (
        levels,
        "_weight",
        lambda weight: lambda k: np.full(len(k), float(levels.PARTS)),
        "measured",
        {"rarer levels"},
    ),
    "one column forgotten": (
        measure,
        "math",
        lambda math: type("Understated", (), {"sqrt": staticmethod(lambda k: math.sqrt(k - 1))}),
        "measured",
        {"columns by class", "condition pairs", "pairs by class"},
    ),
    "one partition forgotten": (
        partitions,
        "math",
        lambda math: type("Fewer", (), {"sqrt": staticmethod(lambda k: math.sqrt(k - 1)), "ceil": math.ceil}),
        "measured",
        {"partitions by class"},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(tmp_path, monkeypatch, fault):
    module, name, twin, critic, caught = FAULTS[fault]
    monkeypatch.setattr(module, name, twin(getattr(module, name)))
    kind = "several new categories" if caught == {"rarer levels"} else "only member of a class"
    before = Recording()
    fit(make_frame(), before, tmp_path, critic=critic, max_grad_norm=0.1)
    after = Recording(model=before)
    fit(neighbour(make_frame(), kind), after, tmp_path, critic=critic, max_grad_norm=0.1)
    assert excesses(before, after) >= caught


class Leaking(Recorded):
    """Keeps a count of the rows off the ledger, where nobody would look."""

    def _learn(self, frame, schema, undeclared, budget, mechanisms):
        learned = super()._learn(frame, schema, undeclared, budget, mechanisms)
        learned["history_"].fake_accuracy.append(float(len(frame)))
        return learned


Leaking.__name__ = "CTGAN"


def test_a_planted_leak_beside_the_mechanisms_is_caught(tmp_path):
    before = Recording()
    saved = fit(make_frame(), before, tmp_path, cls=Leaking, critic="measured")
    after = Recording(model=before)
    again = fit(neighbour(make_frame(), "ordinary"), after, tmp_path, cls=Leaking, critic="measured")
    assert excesses(before, after) == set()
    assert again != saved


def test_the_order_of_rows_does_not_matter(tmp_path):
    """A table is a set of rows; a row put first must not act through its place. Ties are what tells."""
    n = 200
    frame = pd.DataFrame({"city": ["Ulm", "Bonn"] * n, "x": np.arange(2 * n) % 5, "kind": ["no"] * n + ["yes"] * n})
    saved = [
        fit(rows, Recording(), tmp_path, critic="measured", condition_columns=None, schema=None)
        for rows in (frame, frame.iloc[::-1])
    ]
    assert saved[0] == saved[1]


class Forgetful(Recorded):
    """Overwrites the frame and the encoded rows once `last` of its functions has returned."""

    last = (refine, "measure_partitions")

    def _learn(self, frame, schema, undeclared, budget, mechanisms):
        def forget(*args, **kwargs):
            result = original(*args, **kwargs)
            args[0][:] = 0  # the codes
            for name in frame.columns:
                frame[name] = frame[name].take(np.zeros(len(frame), dtype=int)).to_numpy()
                frame[name] = frame[name].astype(dtypes[name])
            return result

        original, dtypes = getattr(*self.last), frame.dtypes
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*self.last, forget)
            return super()._learn(frame, schema, undeclared, budget, mechanisms)


class ForgetfulAtLast(Forgetful):
    last = (ctgan, "choose_model")


Forgetful.__name__ = ForgetfulAtLast.__name__ = "CTGAN"


@pytest.mark.parametrize(("critic", "cls"), [("measured", Forgetful), ("both", ForgetfulAtLast)])
def test_after_the_last_release_the_rows_are_not_read(tmp_path, critic, cls):
    saved = [fit(make_frame(), Recording(), tmp_path, cls=c, critic=critic) for c in (Recorded, cls)]
    assert saved[0] == saved[1]


def test_the_neural_critic_does_read_them(tmp_path):
    """The twin: with DP-SGD the same overwriting shows."""
    saved = [fit(make_frame(), Recording(), tmp_path, cls=cls) for cls in (Recorded, Forgetful)]
    assert saved[0] != saved[1]
