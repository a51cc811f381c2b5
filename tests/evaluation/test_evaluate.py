from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from privsynth.errors import DataError, ParameterError
from privsynth.evaluation import Score, evaluate
from tests.evaluation.frames import mixed_frame, shuffled_columns

REAL, HOLDOUT = mixed_frame(500, seed=0), mixed_frame(400, seed=1)


def test_summary_is_json_and_the_same_for_the_same_seed():
    before = REAL.copy(deep=True)
    synthetic = shuffled_columns(REAL)[REAL.columns[::-1]]
    first, second = (evaluate(REAL, synthetic, holdout=HOLDOUT, target="fraud", random_state=3) for _ in range(2))
    assert json.loads(first.to_json()) == first.to_dict() == first.summary == second.summary
    assert first.scores["1-way TVD"] == 0
    assert first.scores["2-way TVD"] > 0.1
    assert first.summary["run"]["random_state"] == 3
    assert first.summary["pairs"]["worst"][0]["tvd"] == max(map(max, first.summary["pairs"]["tvd"]))
    pd.testing.assert_frame_equal(REAL, before)


def test_columns_are_described_worst_first_with_shares_that_sum_to_one():
    synthetic = HOLDOUT.assign(amount=HOLDOUT["amount"] + 500, country=None)
    columns = evaluate(REAL, synthetic).summary["columns"]
    assert columns[0]["name"] == "country"
    assert columns[0]["missing_synthetic"] == 1.0
    assert [c["tvd"] for c in columns] == sorted((c["tvd"] for c in columns), reverse=True)
    for column in columns:
        assert sum(column["marginal"]["real"]) == pytest.approx(1)
        assert sum(column["marginal"]["synthetic"]) == pytest.approx(1)
        assert len(column["marginal"]["labels"]) <= 21


def test_text_is_aligned_and_warns():
    text = str(evaluate(REAL, HOLDOUT))
    assert "for the data holder" in text
    head = next(line for line in text.splitlines() if line.startswith("column"))
    row = next(line for line in text.splitlines() if line.startswith("amount"))
    assert head.index("TVD") + 3 == row.index("0.") + 5


def test_text_and_notebook_name_what_is_bad_and_escape_what_is_odd():
    odd = {"tier": "<b>tier</b>"}
    evaluation = evaluate(REAL.rename(columns=odd), shuffled_columns(REAL).rename(columns=odd), target="<b>tier</b>")
    shown = evaluation._repr_html_()
    assert shown.count("<tr") == 1 + len(evaluation.scores)
    assert "<b>tier" not in shown
    assert "for the data holder" in shown
    bad = {score["name"] for score in evaluation.summary["scores"] if score["level"] == "bad"}
    assert bad
    assert all(name in str(evaluation).split("Judged bad:")[1] for name in bad)


def test_identifiers_are_left_out_with_a_note():
    ids = [f"id{i}" for i in range(500)]
    summary = evaluate(REAL.assign(key=ids), REAL.assign(key="x")).summary
    assert "key" not in summary["pairs"]["names"]
    assert any("key" in note for note in summary["notes"])
    (told,) = summary["sections"]["privacy"][-1]["scores"]
    assert (told["name"], told["value"]) == ("Identifiers repeated: key", 0.0)
    leaked = evaluate(REAL.assign(key=ids), REAL.assign(key=ids[:250] * 2), sections=["privacy"]).summary
    assert leaked["sections"]["privacy"][-1]["scores"][0]["value"] == 0.5
    with pytest.raises(DataError, match="Every column of the real table is an identifier"):
        evaluate(pd.DataFrame({"key": ids}), pd.DataFrame({"key": ids}))


def test_one_column_and_one_row_are_enough():
    one = pd.DataFrame({"x": [1.0]})
    assert evaluate(one, one).scores["1-way TVD"] == 0
    assert evaluate(one, one).scores["2-way TVD"] is None


def test_errors_name_all_that_is_wrong():
    with pytest.raises(DataError, match=r"synthetic table .* Missing: \['tier', 'always'\]. Extra: \['more'\]"):
        evaluate(REAL, REAL.drop(columns=["tier", "always"]).assign(more=1))
    with pytest.raises(DataError, match=r"holdout table .* Missing: \['tier'\]"):
        evaluate(REAL, REAL, holdout=REAL.drop(columns="tier"))
    with pytest.raises(DataError, match="The synthetic table is empty: 0 rows"):
        evaluate(REAL, REAL.iloc[:0])
    with pytest.raises(DataError, match=r"several columns of one name: \['tier'\]"):
        evaluate(REAL, pd.concat([REAL, REAL[["tier"]]], axis=1))
    with pytest.raises(ParameterError, match=r"synthetic parameter of evaluate must be a pandas DataFrame. Got 'list'"):
        evaluate(REAL, [1, 2])
    with pytest.raises(ParameterError, match="target parameter of evaluate"):
        evaluate(REAL, REAL, target="nope")


def test_score_knows_its_direction():
    assert Score("a", float("nan")).to_dict()["value"] is None
    assert Score("a", 0.4).shortfall is None
    with pytest.raises(ParameterError, match="better parameter of Score"):
        Score("a", 0.4, better="up")


@pytest.mark.parametrize(("value", "level"), [(0.9, "good"), (0.88, "good"), (0.85, "watch"), (0.5, "bad")])
def test_levels_follow_the_shortfall_and_come_with_their_rule(value, level):
    judged = Score("a", value, 0.9).judged(watch=0.02, bad=0.1)
    assert judged.level == Score("a", -value, -0.9, "lower").judged(watch=0.02, bad=0.1).level == level
    assert "0.02" in judged.rule
    assert "0.1" in judged.rule
    assert Score("a", value).judged(watch=0.02, bad=0.1).level is None
    with pytest.raises(ParameterError, match="rule parameter of Score"):
        Score("a", value, level="good")


def test_frame_has_a_row_a_score_and_the_page_is_rendered(tmp_path):
    evaluation = evaluate(REAL, HOLDOUT, target="fraud")
    frame = evaluation.to_frame()
    assert list(frame["name"][frame["block"] == "Headline"]) == list(evaluation.scores)
    assert (frame["meaning"] != "").all()
    assert (frame["worry"] != "").all()
    assert frame["section"].isin(["fidelity", "utility", "privacy", "fairness"]).all()
    page = evaluation.to_html(tmp_path / "page.html", title="A title")
    assert "A title" in page
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page


def odd_tables():
    """Frames of 90 rows that hold what tables should not, and sometimes do."""
    rng = np.random.default_rng(0)
    n = 90
    number, level = rng.normal(size=n), pd.Series(rng.choice(["a", "b"], n))
    yield "constant and empty", pd.DataFrame({"one": 1, "none": np.full(n, np.nan), "word": "x", "level": level})
    yield "infinite", pd.DataFrame({"x": np.where(rng.random(n) < 0.2, np.inf, number), "level": level})
    yield "numbered columns", pd.DataFrame({0: number, 1: rng.integers(5, size=n), 2: level})
    yield "mixed objects", pd.DataFrame({"x": np.array([1, "a", None, 2.5, True] * 18, dtype=object), "level": level})
    yield "durations", pd.DataFrame({"t": pd.to_timedelta(rng.integers(1e6, size=n), unit="s"), "level": level})
    yield "zones", pd.DataFrame({"t": pd.date_range("2024-01-01", periods=n, tz="Asia/Tokyo"), "level": level})
    far = np.where(rng.random(n) < 0.3, np.datetime64("9999-12-31"), np.datetime64("2024-01-01", "us"))
    yield "far dates", pd.DataFrame({"t": far.astype("datetime64[us]"), "level": level})
    yield "many levels", pd.DataFrame({"x": [f"v{k % 80}" for k in range(n)], "y": [f"w{k % 70}" for k in range(n)]})
    yield (
        "booleans with gaps",
        pd.DataFrame(
            {
                "x": pd.array([True, False, None] * 30, dtype="boolean"),
                "y": pd.array(range(n), dtype="Int64"),
                "l": level,
            }
        ),
    )


@pytest.mark.parametrize(("name", "frame"), list(odd_tables()))
def test_odd_tables_are_evaluated(name, frame):
    order = np.random.default_rng(1).permutation(len(frame))
    real, synthetic, holdout = (frame.iloc[part].reset_index(drop=True) for part in np.array_split(order, 3))
    last = frame.columns[-1]
    evaluation = evaluate(real, synthetic, holdout=holdout, target=last, conditions=list(frame.columns[:2]))
    assert json.loads(evaluation.to_json()) == evaluation.summary
    assert all(evaluation.summary["sections"].values())
    empty = synthetic.assign(**{str(c): None for c in frame.columns[:1] if isinstance(c, str)})
    assert evaluate(real, empty, holdout=holdout).summary["sections"]["fidelity"]
