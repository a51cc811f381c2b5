"""The comparison with releases: right where the answer is known, and nothing of it comes from private rows."""

import json

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN, load
from privsynth.errors import DataError, ParameterError, PrivacyError
from privsynth.publish import compare
from privsynth.report import render_publishable
from privsynth.training.releases import Releases
from tests.publish.conftest import private_table
from tests.report.test_html import NASTY, Balanced


def test_what_fits_is_near_and_what_does_not_is_named(model, synthetic):
    found = compare(model, synthetic)
    spoilt = compare(model, synthetic.assign(plan="free"))
    assert spoilt["columns"][0]["name"] == "plan"
    assert spoilt["columns"][0]["beyond"] > 0.5
    assert spoilt["columns"][0]["distance"] > 5 * found["columns"][0]["distance"]
    assert [score["level"] for score in spoilt["scores"]] != ["good", "good"]
    assert all(score["rule"].startswith("Good: ") for score in found["scores"])
    assert found["reads_real"] is False
    assert "plan" in (spoilt["pairs"]["worst"][0]["a"], spoilt["pairs"]["worst"][0]["b"])


def test_a_broken_relation_shows_in_pairs_only(model, synthetic):
    rng = np.random.default_rng(0)
    shuffled = synthetic.assign(kind=rng.permutation(synthetic["kind"]))
    found, broken = compare(model, synthetic), compare(model, shuffled)
    assert broken["scores"][0]["value"] == pytest.approx(found["scores"][0]["value"], abs=1e-9)
    by = [pair for pair in broken["pairs"]["all"] if "plan" in (pair["a"], pair["b"])]
    assert max(pair["beyond"] for pair in by) > 0.2
    assert "kind = " in by[0]["worst"]["cell"]
    [target] = [pair for pair in broken["pairs"]["all"] if {pair["a"], pair["b"]} == {"kind", "plan"}]
    assert target["by"] is None
    assert target["beyond"] > 0.2


def test_distance_is_one_where_noise_and_sampling_are_all(model):
    """Rows drawn from the released shares themselves, and noise added to these anew: nothing is left to see."""
    from privsynth.publish.compare import _distances

    rng = np.random.default_rng(0)
    share, noise, n = rng.dirichlet(np.ones(30)), 0.002, 20_000
    found = [
        _distances(share + noise * rng.normal(size=30), rng.multinomial(n, share) / n, noise, n) for _ in range(400)
    ]
    assert np.mean([d["distance"] for d in found]) == pytest.approx(1, abs=0.03)
    assert np.mean([d["tvd"] - d["by_noise"] for d in found]) == pytest.approx(0, abs=0.001)


def test_it_is_the_same_from_the_file_and_reads_no_table(model, synthetic, tmp_path):
    model.save(tmp_path / "model")
    again = compare(load(tmp_path / "model"), synthetic)
    assert json.dumps(again) == json.dumps(compare(model, synthetic))
    text = json.dumps(again)
    assert "person-" not in text
    assert "Town 01" not in text  # too rare to be released


def test_csv_and_back_compares_equal(model, synthetic, tmp_path):
    from privsynth.publish.reading import read_sample

    synthetic.to_csv(tmp_path / "t.csv", index=False)
    synthetic.to_parquet(tmp_path / "t.parquet")
    wanted = json.dumps(compare(model, synthetic))
    for name in ("t.csv", "t.parquet"):
        assert json.dumps(compare(model, read_sample(tmp_path / name, model))) == wanted


def test_a_real_table_is_noticed(model):
    """Its rare level was never released, so the model cannot have made it."""
    real = private_table()
    assert "Town 01" in set(real["city"])
    with pytest.raises(DataError, match=r"'city'\] hold values that this model never makes") as caught:
        compare(model, real)
    assert "Town" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.drop(columns="age"), r"\['age'\] are missing"),
        (lambda t: t.assign(more=1), r"\['more'\] too many"),
        (lambda t: t[t.columns[::-1]], "the order differs"),
        (lambda t: t.assign(age=200.0), r"\['age'\] hold values"),
        (lambda t: t.assign(kind=None), r"\['kind'\] hold values"),
        (lambda t: t.assign(when=pd.Timestamp("1970-01-01")), r"\['when'\] hold values"),
    ],
)
def test_tables_of_another_model_are_refused(model, synthetic, change, told):
    with pytest.raises(DataError, match=told):
        compare(model, change(synthetic))


@pytest.mark.filterwarnings("ignore:epsilon=None")
def test_without_privacy_there_is_nothing_to_publish(synthetic, tmp_path):
    frame = private_table(500)[["flag", "kind"]]
    model = CTGAN(None, steps=3, verbose=False).fit(frame)
    assert model.releases_ is None
    model.save(tmp_path / "m")
    assert load(tmp_path / "m").releases_ is None
    with pytest.raises(PrivacyError, match="not private"):
        compare(model, model.sample(10))


def test_files_of_before_releases_were_kept_are_read(model, synthetic, tmp_path):
    from privsynth.bundle import read_bundle, write_bundle

    model.save(tmp_path / "new")
    data, tensors = read_bundle(tmp_path / "new")
    del data["model"]["releases"], data["model"]["training"]
    write_bundle(tmp_path / "old", data, {k: v for k, v in tensors.items() if not k.startswith("releases.")})
    old = load(tmp_path / "old")
    found = compare(old, synthetic)
    assert found["pairs"]["all"] == []
    assert "before pairs were kept" in found["notes"][0]
    assert "All pairs" not in render_publishable(found)


def test_many_pairs_are_kept_as_far_as_there_is_room(model, monkeypatch):
    from privsynth.privacy.mechanisms import Release
    from privsynth.training import releases
    from privsynth.training.measure import Measurements, PairTable
    from privsynth.transforms.layout import Layout

    layout = Layout.of({"a": 2, "b": 3, "c": 10})
    values = np.arange(2 * 15 * 15, dtype=np.float32).reshape(2, 15, 15)
    table = PairTable([(0, 1), (0, 2), (1, 2)], values, 1.5)
    measurements = Measurements(None, Release(np.zeros(15), 1.0), pairs=table)
    monkeypatch.setattr(releases, "MOST_CELLS", 60)
    kept = Releases.of(measurements, layout).tables["pairs"]
    assert (kept.pairs, kept.n_measured, len(kept.values)) == ([(0, 1), (0, 2)], 3, 2 * 6 + 2 * 20)
    blocks = dict(kept.blocks(layout))
    np.testing.assert_array_equal(blocks[(0, 2)], values[:, 0:2, 5:15])


def test_the_page_is_complete_and_safe(model, synthetic):
    page = render_publishable(compare(model, synthetic), title=NASTY, date=NASTY)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert not {"script", "img", "link", "iframe"} & parser.tags
    assert not [name for name, _ in parser.attributes if name.startswith("on")]
    assert "<b>gold</b>" not in page
    assert "&lt;b&gt;gold&lt;/b&gt;" in page
    anchors = {value for name, value in parser.attributes if name == "href"}
    assert all(anchor.startswith("#") for anchor in anchors)
    assert {anchor[1:] for anchor in anchors} <= {value for name, value in parser.attributes if name == "id"}
    for phrase in (
        "may be published",
        "Certificate",
        "Pairs of columns",
        "measured loss",
        "What this page cannot show",
    ):
        assert phrase in page
    assert model.certificate_.statement() in page


def test_a_page_of_something_else_is_refused(model, synthetic):
    with pytest.raises(ParameterError, match=r"Pass compare\(model, table\)"):
        render_publishable({"format": "privsynth.evaluation/2"})
    found = compare(model, synthetic)
    found["certificate"]["epsilon"] = 0.1
    with pytest.raises(PrivacyError, match="Do not trust"):
        render_publishable(found)
