"""The measures of benchmarks/peers.py, on tables whose scores are known."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from measures import class_tvd, detection, linear, measure, rare_recall, triple_tvd
from peers_worker import like, plain

pytestmark = pytest.mark.filterwarnings("ignore:At this epsilon little is learned")  # of a few dozen rows of a class

N = 1500


def table(seed, n=N):
    """A label that a number and a category tell almost surely, a missing half, a date and a flag."""
    rng = np.random.default_rng(seed)
    sick = rng.random(n) < 0.2
    frame = pd.DataFrame({"dose": rng.normal(size=n) + 3 * sick, "ward": rng.choice(["a", "b", "c"], size=n)})
    frame["grade"] = np.where(rng.random(n) < 0.9, np.where(sick, "high", "low"), "mid")
    frame["note"] = np.where(rng.random(n) < 0.5, None, frame["ward"])
    frame["seen"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, size=n), unit="s")
    frame["flag"] = rng.random(n) < 0.5
    return frame.assign(sick=np.where(sick, "yes", "no"))


@pytest.fixture(scope="module")
def tables():
    return table(0), table(1, 800)


@pytest.fixture
def shuffled(tables):
    rng = np.random.default_rng(2)
    return pd.DataFrame({name: rng.permutation(column.to_numpy()) for name, column in tables[0].items()})


def test_a_copy_is_at_no_distance_and_cannot_be_told(tables):
    train, holdout = tables
    scores = measure(train, holdout, train.copy(), target="sick")
    for name in ("TVD1", "TVD2", "TVD3", "TVD2 by class"):
        assert scores[name] == 0
    assert scores["quality"] == pytest.approx(1)
    assert scores["TSTR"] == scores["TRTR"] > 0.95
    assert scores["linear"] > 0.95
    assert scores["recall at .5"] >= scores["recall at .9"] > 0.5
    assert scores["notes"] == ""
    assert detection(train, train.copy()) == pytest.approx(0.5, abs=0.02)


def test_another_sample_cannot_be_told(tables):
    assert detection(tables[0], table(3)) == pytest.approx(0.5, abs=0.06)


def test_shuffled_columns_keep_tvd1_and_nothing_else(tables, shuffled):
    train, holdout = tables
    scores = measure(train, holdout, shuffled, target="sick")
    assert scores["TVD1"] == 0
    assert 0.05 < scores["TVD2"] < scores["TVD3"]
    assert scores["TVD2 by class"] > 0.1
    assert scores["TSTR"] == pytest.approx(0.5, abs=0.15)
    assert scores["linear"] == pytest.approx(0.5, abs=0.15)
    assert scores["detection"] > 0.7


def test_a_constant_shift_is_always_detected(tables):
    moved = tables[0].assign(dose=tables[0]["dose"] + 100)
    assert detection(tables[0], moved) == pytest.approx(1)


def test_a_lacking_class_scores_as_guessing_with_a_note(tables):
    train, holdout = tables
    healthy = train[train["sick"] == "no"].reset_index(drop=True)
    scores = measure(train, holdout, healthy, target="sick")
    assert scores["TSTR"] == scores["linear"] == 0.5
    assert scores["recall at .5"] == scores["recall at .9"] == 0
    assert "fewer than two classes" in scores["notes"]
    assert "'yes'" in scores["notes"]
    assert class_tvd(train, healthy, target="sick") == (0.5, ["yes"])


def test_missing_values_and_unknown_levels_are_no_reason_to_fail(tables):
    train, holdout = tables
    strange = train.assign(dose=np.nan, ward="never seen", note=None, sick=train["sick"].where(train.index > 9, None))
    scores = measure(train, holdout, strange, target="sick")
    assert "10 synthetic rows without a usable target" in scores["notes"]
    assert scores["TVD1"] > 0.2
    assert scores["TSTR"] > 0.9  # the grade tells the label still


def test_recall_counts_what_is_found_at_the_precision():
    train = pd.DataFrame({"x": [0.0, 1.0] * 200, "y": [0, 1] * 200})
    holdout = pd.DataFrame({"x": [1.0] * 4 + [0.0] * 96, "y": [1, 1, 1, 0] + [1] * 2 + [0] * 94})
    found = rare_recall(train, holdout, train, target="y")  # of 5 ones, 3 are among the 4 that are reported
    assert found == {"recall at .5": pytest.approx(0.6), "recall at .9": 0.0}


def test_triples_need_three_columns(tables):
    train = tables[0][["dose", "sick"]]
    assert triple_tvd(train, train) is None
    assert linear(train, tables[1][["dose", "sick"]], train, target="sick")["linear"] > 0.95


def test_what_a_peer_was_given_comes_back_in_the_types_of_the_table(tables):
    train, _ = tables
    back, note = like(plain(train).assign(flag=train["flag"].astype(str)), train)
    assert note == ""
    pd.testing.assert_frame_equal(back, train, check_dtype=False)
    assert dict(back.dtypes) == dict(train.dtypes)
    assert "dose" in like(plain(train).assign(dose="much"), train)[1]


def test_the_codes_that_aim_gets_are_those_of_our_encoder_and_come_back_as_rows():
    from peers_own import Codes, seen

    from privsynth import CTGAN
    from privsynth.datasets import make_transactions
    from privsynth.privacy.accountant import total_mu
    from privsynth.synthesizers.sampling import Sampler
    from privsynth.transforms.reshape import Reshape

    rows = make_transactions(3000, random_state=0)
    found = {}
    with seen(found):
        model = CTGAN(3.0, target="is_fraud", critic="measured", steps=1, random_state=0, verbose=False).fit(rows)
    assert 0 < found["mu"] < total_mu(charge.event for charge in model.certificate_.charges)
    sampler = Sampler(Codes(found["codes"]), model.encoder_, Reshape(model.schema_), model.columns_)
    back = sampler.rows(len(rows), {}, np.random.default_rng(0))
    assert (back["is_fraud"].to_numpy() == rows["is_fraud"].to_numpy()).all()
    # a value is drawn anew in its cell, of which there are 12: of 40 fits the correlations were .83 to .95
    assert np.corrcoef(back["account_age_days"], rows["account_age_days"])[0, 1] > 0.5
    assert abs(np.corrcoef(back["account_age_days"][::-1], rows["account_age_days"])[0, 1]) < 0.1


def test_the_overview_tells_who_is_ahead_and_leaves_out_the_references():
    from peers_report import beaten, overview

    def run(name, tstr, tvd, seed=0):
        return {"table": "t", "epsilon": "1", "synthesizer": name, "seed": seed, "TSTR": tstr, "TVD2": tvd}

    runs = [run("privsynth", 0.7, 0.1), run("privsynth", 0.8, 0.2, 1), run("privsynth", 0.9, 0.3, 2)]
    runs += [run("A", 0.6, 0.1), run("B", 0.5, 0.4), run("AIM on our cells", 0.85, 0.05), run("real", 0.99, 0.01)]
    runs += [{"table": "t", "epsilon": "1", "synthesizer": "C", "seed": 0, "error": "out of time"}]
    assert beaten(runs) == [
        "AIM on our cells beats privsynth: TSTR 0.850 to 0.800, by 0.050; TVD2 0.050 to 0.200, by 0.150.",
        "A beats privsynth: TVD2 0.100 to 0.200, by 0.100.",
    ]
    mine = ("0.800 (0.700 to 0.900)", "0.200 (0.100 to 0.300)")
    assert overview(runs)[-1] == f"| t | 1 | {mine[0]} | A 0.600 | +0.200 | {mine[1]} | A 0.100 | -0.100 |"
    borrowed = f"| t | 1 | {mine[0]} | 0.850 | -0.050 | {mine[1]} | 0.050 | -0.150 |"
    assert overview(runs, borrowed=True)[-1] == borrowed
    assert len(overview([r for r in runs if r["synthesizer"] != "AIM on our cells"], borrowed=True)) == 2
    assert beaten(runs[3:]) == []
    assert overview(runs[3:])[-1] == "| t | 1 | – | A 0.600 | – | – | A 0.100 | – |"


def test_the_tables_of_the_page_are_those_of_the_kept_runs():
    from peers import read
    from peers_report import PAGE, overview, summary

    runs, page = list(read().values()), PAGE.read_text(encoding="utf-8")
    for lines in (summary(runs), summary(runs, "none"), overview(runs), overview(runs, borrowed=True)):
        assert "\n".join(lines) in page, "run python benchmarks/peers.py --write"


def test_a_page_without_a_place_for_a_table_is_refused(monkeypatch, tmp_path):
    import peers_report

    monkeypatch.setattr(peers_report, "PAGE", tmp_path / "page.md")
    begin = peers_report.BEGIN.format("overview")
    peers_report.PAGE.write_text(f"before\n{begin}\n\nold\n\n<!-- end -->\nafter\n")
    peers_report._insert("overview", ["new"])
    assert peers_report.PAGE.read_text() == f"before\n{begin}\n\nnew\n\n<!-- end -->\nafter\n"
    with pytest.raises(SystemExit, match="no place"):
        peers_report._insert("same cells", ["new"])


def test_differences_are_of_fits_of_the_same_seed():
    from paired import paired_lines

    def run(choice, seed, tvd):
        return {"table": "t", "epsilon": 1.0, "choice": choice, "seed": seed, "TVD2": tvd, "cpu s": 10 * tvd}

    rows = [run("a", 0, 0.1), run("a", 1, 0.5), run("b", 0, 0.2), run("b", 1, 0.8), run("b", 2, 9.0), run("c", 5, 1.0)]
    rows += [{**rows[0], "table": "other"}]
    first, second = paired_lines(rows, [("t", 1.0)], "abc", first="a", measures=["TVD2", "cpu s"], whole=("cpu s",))
    assert first == {"table": "t", "epsilon": "1", "choice": "a", "fits": 2, "TVD2": "0.3000", "cpu s": "3"}
    # .1 and .3: a mean of .2, whose error is .1; seed 2 has no partner
    assert second == {"table": "t", "epsilon": "1", "choice": "b", "fits": 2, "TVD2": "+0.2000 ± 0.1000", "cpu s": "5"}
    _, beside, alone = paired_lines(rows, [("t", 1.0)], "abc", first="a", measures=["TVD2"], less="less")
    assert (beside["fits"], beside["TVD2"], beside["TVD2 less"]) == (3, "3.3333", "+0.2000 ± 0.1000")
    assert (alone["TVD2"], alone["TVD2 less"]) == ("1.0000", None)


def test_only_rows_of_the_rarer_class_are_changed():
    from rare_rows import CHANGES, change

    train = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0, 5.0], "bad": [0, 0, 0, 1, 1]})
    synthetic = pd.DataFrame({"x": np.arange(100.0), "y": np.arange(100.0), "bad": ["1", "0", "0", "0", "0"] * 20})
    mine = synthetic["bad"] == "1"
    whole, real, shuffled, unknowing = (change(synthetic, train, "bad", how, 0) for how in CHANGES)
    assert whole.equals(synthetic)
    assert list(real["x"][real["bad"] == "1"]) == [4.0, 5.0]
    assert list(real["x"][:80]) == list(synthetic["x"][~mine])
    for changed in (shuffled, unknowing):
        assert changed[~mine].equals(synthetic[~mine])
        assert (changed["x"] != changed["y"])[mine].sum() > 10  # relations are gone: 20 equal pairs before
    assert sorted(shuffled["x"][mine]) == sorted(synthetic["x"][mine])
    assert not set(unknowing["x"][mine]) <= set(synthetic["x"][mine])
    none = synthetic.assign(bad="0")  # a fit may have no row of the class
    assert list(change(none, train, "bad", "real", 0)["x"][100:]) == [4.0, 5.0]
    assert change(none, train, "bad", "shuffled", 0).equals(none)
