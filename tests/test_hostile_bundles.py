"""Files from strangers: a sample of benchmarks/mutated_bundles.py, what it found once, and a judge that sees faults."""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privsynth import load
from privsynth.errors import BundleError, PrivacyError

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import mutated_judge
from mutated_bundles import make_case, make_models
from mutated_judge import SECONDS, Watch, judge
from mutations import Bundle, pack
from mutations_model import FAMILIES, sizes

NAMES = ("plain", "rules", "persons")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    make_models(folder, NAMES)
    return {name: Bundle((folder / f"{name}.psz").read_bytes()) for name in NAMES}


@pytest.fixture(scope="module")
def watch():
    return Watch()


@pytest.mark.parametrize("family", FAMILIES)
def test_mutated_files_are_refused_or_harmless(bundles, watch, tmp_path, family):
    """300 cases in all; those of a full run are in benchmarks/results/mutated_bundles.md."""
    path = tmp_path / "model.psz"
    outcomes = []
    for number in range(max(10, FAMILIES[family][1] * 300 // 10_000)):
        path.write_bytes(make_case(list(bundles.values()), family, 10_000 + number))
        outcomes.append({"number": number, **judge(path, number, watch)})
    assert [outcome for outcome in outcomes if outcome["outcome"] == "failure"] == []
    assert "refused" in {outcome["outcome"] for outcome in outcomes}
    assert list(tmp_path.iterdir()) == [path]


def forged(bundles, name, change):
    """Return a file whose JSON was changed, with digests that fit."""
    tree = bundles[name].model()
    change(tree)
    return bundles[name].with_model(tree)


def column(tree, kind, name=None):
    return next(c for c in tree["encoder"]["columns"] if c["type"] == kind and name in (None, c["name"]))


def retyped(dtype):
    """Give a column another data type, everywhere."""

    def change(tree):
        column(tree, "numeric", "when")["dtype"] = tree["columns"]["when"] = dtype

    return change


def charge(tree, label):
    return next(c for c in tree["certificate"]["charges"] if c["label"] == label)


def doubled_person(tree):
    tree["certificate"]["privacy_unit"].update(column=None, max_rows=1)


FOUND = {
    "opens /etc/passwd": retyped("datetime64[ns, dateutil//etc/passwd]"),
    "looks beside the time zones": retyped("datetime64[ns, dateutil/../../../etc/passwd]"),
    "asks numpy for gigabytes": retyped("S1000000000"),
    "numbers of a billion decimals": lambda t: column(t, "numeric")["cells"].update(decimals=10**9),
    "times in a format of 100 kB": lambda t: column(t, "numeric", "day").update(format="%Y" * 50_000),
    "keys with a prefix of a megabyte": lambda t: t["schema"]["columns"]["id"].update(prefix="x" * 10**6),
    "masses that add up to infinity": lambda t: column(t, "discrete", "shop").update(mass=[1e308] * 150),
    "many shared cells": lambda t: column(t, "discrete", "shop").update(cell=[i // 2 for i in range(150)]),
    "a class of a megabyte": lambda t: t.update({"class": "x" * 10**6}),
    "a parameter of many lines": lambda t: t["certificate"]["charges"][0]["event"].update(epsilon="a\nb\n" * 999),
    "an arrow type that is not the column's": lambda t: t["arrow"].update(code="decimal128(38, 38)"),
    "more training runs than can be accounted for": lambda t: t["certificate"]["charges"].extend(
        [{"label": "x", "sensitivity": 1.0, "scale": 1.0, "n_values": 0,
          "event": {"kind": "SubsampledGaussian", "noise_multiplier": 1.0, "sampling_rate": 0.1, "steps": 9}}] * 99
    ),
    "a training run of 0.01 noise": lambda t: t["certificate"]["charges"].append(
        {"label": "x", "sensitivity": 1.0, "scale": 0.01, "n_values": 0,
         "event": {"kind": "SubsampledGaussian", "noise_multiplier": 0.01, "sampling_rate": 0.2, "steps": 10}}
    ),
    "a delta of a billion": lambda t: t["certificate"].update(delta=1e9),
    "fewer events than released": lambda t: t["certificate"]["charges"].remove(charge(t, "1-way counts")),
    "an event cheaper than its noise": lambda t: charge(t, "1-way counts")["event"].update(mu=1e-3),
    "noise that the counts do not have": lambda t: charge(t, "1-way counts").update(scale=1e6, sensitivity=1e6),
    "counts of less noise": lambda t: t["encoder"]["one_way"].update(scale=0.0),
    "pairs of less noise": lambda t: t["model"]["releases"]["pairs"].update(scale=1e-3),
    "pairs of columns that are none": lambda t: t["model"]["releases"]["pairs"]["pairs"][0].__setitem__(1, 99),
    "a pair twice": lambda t: t["model"]["releases"]["pairs"]["pairs"].__setitem__(
        1, t["model"]["releases"]["pairs"]["pairs"][0]
    ),
    "releases of an unknown kind": lambda t: t["model"]["releases"].update(rows=t["model"]["releases"]["pairs"]),
    "pairs of a million classes": lambda t: t["model"]["releases"]["pairs"].update(classes=10**6),
    "more pairs kept than released": lambda t: t["model"]["releases"]["pairs"].update(of=0),
    "an alarm of a megabyte": lambda t: t["model"]["training"].update(alarms=["x" * 10**6]),
    "a stage of a billion steps": lambda t: t["model"]["training"].update(stages=[["x", 10**9]]),
    "persons that the schema does not name": doubled_person,
    "a column twice": lambda t: t["encoder"]["columns"].append(t["encoder"]["columns"][0]),
    "levels of a number": lambda t: t["schema"]["columns"].update(when={"kind": "categorical"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_is_refused(bundles, watch, tmp_path, name):
    path = tmp_path / "model.psz"
    path.write_bytes(forged(bundles, "persons" if name.startswith("persons") else "plain", FOUND[name]))
    result = judge(path, 11, watch)
    assert result["outcome"] == "refused", result
    assert len(result["detail"]) < 500
    assert "\n" not in result["detail"]


class Fixed:
    """A generator whose first choice is given: the action of `sizes`."""

    def __init__(self, action, power):
        self.rng, self.given = np.random.default_rng(0), [action, power]

    def integers(self, *bounds, **more):
        return self.given.pop(0) if self.given else self.rng.integers(*bounds, **more)

    def random(self, *shape):
        return self.rng.random(*shape)


@pytest.mark.parametrize(("action", "power"), [(1, 5), (2, 4), (3, 5), (4, 5), (7, 5)])
def test_small_files_that_ask_for_much(bundles, watch, tmp_path, action, power):
    """100,000 levels, 10,000 columns, a million components, 100,000 layers, 20,000 cells: quick, and in bounds."""
    path = tmp_path / "model.psz"
    path.write_bytes(sizes(bundles["plain"], Fixed(action, power)))
    result = judge(path, 11, watch)
    assert result["outcome"] != "failure", result
    assert result["seconds"] < SECONDS


def test_a_list_of_lists_is_not_parsed(bundles, watch, tmp_path):
    """Three bytes a list in the file, 72 in memory."""
    path = tmp_path / "model.psz"
    parts = bundles["plain"].parts
    path.write_bytes(pack({**parts, "model.json": b"[" + b"[]," * 1_100_000 + b"[]]"}))
    with pytest.raises(BundleError, match="more lists"):
        load(path)
    assert judge(path, 11, watch)["megabytes"] < 100


def test_warnings_of_a_file_are_not_shown(bundles, tmp_path):
    """SDV constraints in the schema of a bundle would be warned about."""
    path = tmp_path / "model.psz"
    odd = {"constraint_class": "Unknown", "constraint_parameters": {}}
    path.write_bytes(forged(bundles, "plain", lambda t: t["schema"].update(constraints=[odd])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(path)


def test_a_certificate_with_made_up_numbers_is_not_seen(bundles, tmp_path):
    """What no check can see, and the docs say: numbers that fit each other. Who signed the file is what counts."""

    def change(tree):
        for entry in tree["certificate"]["charges"]:
            for key in set(entry["event"]) - {"kind"}:
                entry["event"][key] /= 10
            entry["scale"] *= 10
        for kept in (tree["encoder"]["one_way"], *tree["model"]["releases"].values()):
            kept["scale"] *= 10
        tree["certificate"]["epsilon"] /= 9

    path = tmp_path / "model.psz"
    path.write_bytes(forged(bundles, "plain", change))
    load(path).certificate_.verify()


def test_an_epsilon_below_its_events_is_refused(bundles, tmp_path):
    path = tmp_path / "model.psz"
    path.write_bytes(forged(bundles, "plain", lambda t: t["certificate"].update(epsilon=1.0)))
    with pytest.raises(BundleError, match="listed events cost") as caught:
        load(path)
    assert isinstance(caught.value.__cause__, PrivacyError)


def fake_load(act):
    def loading(path):
        act(path)
        raise BundleError("refused")

    return loading


def hoard(path):
    kept = np.ones(60 << 20)  # 500 MB
    assert kept[0] == 1


def slow(path):
    import time

    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass


PLANTED = {
    "another exception": lambda path: {}["x"],
    "warns": lambda path: warnings.warn("odd", UserWarning, stacklevel=1),
    "prints": lambda path: print("odd"),
    "writes": lambda path: (path.parent / "evil").write_text("x"),
    "opens": lambda path: Path("/etc/hostname").exists() and open("/etc/hostname").close(),
    "starts": lambda path: os.system("true"),
    "hoards": hoard,
    "is slow": slow,
    "many lines": lambda path: (_ for _ in ()).throw(BundleError("a\nb")),
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_judge_sees_planted_faults(watch, tmp_path, monkeypatch, name):
    import privsynth

    path = tmp_path / "model.psz"
    path.write_bytes(b"x")
    monkeypatch.setattr(privsynth, "load", fake_load(PLANTED[name]))
    monkeypatch.setattr(mutated_judge, "SECONDS", 0.2 if name == "is slow" else SECONDS)
    assert judge(path, 0, watch)["outcome"] == "failure"
    monkeypatch.setattr(privsynth, "load", fake_load(lambda path: None))
    assert judge(path, 0, watch)["outcome"] == "refused"


def test_decimals_beyond_their_type_are_cut():
    """Released bounds may lie beyond what three digits hold: a sample must be written all the same."""
    from privsynth.tables import from_native

    frame = pd.DataFrame({"a": [1.25, 99.0, -1234.5, np.nan]})
    back = from_native(frame, {"a": "decimal128(3, 2)"})
    assert json.dumps([None if v is None else str(v) for v in back["a"].astype(object).where(back["a"].notna(), None)])
    assert [str(v) for v in back["a"].dropna()] == ["1.25", "9.99", "-9.99"]
