from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from privsynth.errors import ParameterError, PrivacyError
from privsynth.evaluation import evaluate
from privsynth.report import render_html, write_html
from privsynth.report.heat import MOST_COLUMNS

NASTY = "<script>alert(1)</script>"
VOID = {"meta", "col", "br", "hr", "img", "link"}


class Balanced(HTMLParser):
    """Collects tags and attributes; every tag must be closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {(name, value) for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def summary():
    real = pd.DataFrame(
        {
            NASTY: [NASTY, '"><img src=x onerror=alert(1)>', "c"] * 30,
            "{{ 7 * 7 }}": [float(i) for i in range(90)],
            "y": [0, 1, 1] * 30,
        }
    )
    return evaluate(real, real.iloc[:60], target="y").summary


def test_strangers_strings_are_escaped_and_tags_balance(summary):
    page = render_html(summary, title=NASTY, date=NASTY)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert not {"script", "img", "link", "iframe"} & parser.tags
    assert not [name for name, _ in parser.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in page
    assert "{{ 7 * 7 }}" in page


def test_nothing_is_fetched(summary):
    page = render_html(summary)
    parser = Balanced()
    parser.feed(page)
    assert not {"src", "srcset", "data", "action"} & {name for name, _ in parser.attributes}
    assert not re.search(r"url\(|@import|https?://", page)
    links = {value for name, value in parser.attributes if name == "href"}
    assert {link[0] for link in links} == {"#"}  # within the page, to what is there
    assert {link[1:] for link in links} <= {value for name, value in parser.attributes if name == "id"}


def test_banner_scores_and_charts_are_there(summary):
    page = render_html(summary, date="2025-01-01")
    assert "For the data holder only" in page
    assert "not covered by the differential-privacy guarantee" in page
    blocks = [block for section in summary["sections"].values() for block in section]
    assert page.count("<svg") == len(summary["columns"]) + 1 + sum(block["chart"] is not None for block in blocks)
    assert all(block["title"].replace("'", "&#39;") in page for block in blocks)
    assert all(score["name"] in page for score in summary["scores"])
    assert "2025-01-01" in page
    assert page == render_html(summary, date="2025-01-01")


def test_one_column_without_utility():
    one = pd.DataFrame({"x": [None, None]})
    page = render_html(evaluate(one, one).summary)
    assert "TVD of all pairs" not in page


def test_written_whole_or_not_at_all(summary, tmp_path):
    path = write_html(summary, tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == render_html(summary)
    with pytest.raises(ParameterError, match=r"Pass evaluation\.summary"):
        write_html({"format": "other"}, path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8") == render_html(summary)


def test_a_failing_replace_leaves_no_temporary_file(summary, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_html(summary, tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_a_wide_table_stays_below_three_megabytes():
    """400 columns of 40 cells, and as many pairs as a heat map takes."""
    rng = np.random.default_rng(0)
    labels = [f"a rather long label of number {i}" for i in range(20)]
    shares = rng.dirichlet(np.ones(20)).tolist()
    marginal = {"labels": labels, "real": shares, "synthetic": shares[::-1], "style": "bars"}
    column = {"kind": "categorical", "tvd": 0.1, "tvd_reference": 0.1, "shape": 0.9, "missing_real": 0.1}
    column |= {"missing_synthetic": 0.1, "marginal": marginal}
    run = {"rows_real": 1, "rows_synthetic": 1, "rows_holdout": None, "n_columns": 4000, "random_state": 0}
    names = [f"a column with a long name {i}" for i in range(MOST_COLUMNS)]
    summary = {
        "format": "privsynth.evaluation/2",
        "scores": [],
        "sections": {},
        "columns": [
            {**column, "name": f"column {i}", "missing_synthetic": 0.1, "marginal": marginal} for i in range(4000)
        ],
        "pairs": {"names": names, "tvd": rng.random((len(names), len(names))).tolist(), "worst": []},
        "run": {**run, "versions": {}},
        "notes": [],
    }
    page = render_html(summary)
    assert len(page.encode()) < 3_000_000
    assert "The 100 worst of 4000" in page


def test_levels_come_with_their_rule_and_a_word(summary):
    page = render_html(summary)
    for score in summary["scores"]:
        if score["level"]:
            assert score["rule"] in page
    shown = re.findall(r'class="light (\w+)">. (\w+)</span>', page)
    assert shown
    assert all(level == word for level, word in shown)  # a sign and a word, not a colour alone


def test_a_certificate_that_does_not_hold_makes_no_page(summary):
    from tests.report.test_certificate import certificate

    learning = {"measured_loss": [9.0, 1.0], "fake_accuracy": [], "stages": [], "alarms": ["Oh"]}
    model = {"certificate": certificate().to_dict(), "learning": learning}
    page = render_html({**summary, "model": model})
    for wanted in ("differential privacy", "<polyline", "Oh"):
        assert wanted in page
    model["certificate"]["epsilon"] = 0.01
    with pytest.raises(PrivacyError, match="Do not trust"):
        render_html({**summary, "model": model})
