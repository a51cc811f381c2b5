from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from privsynth.errors import ParameterError
from privsynth.evaluation import evaluate
from privsynth.report import render_html, write_html

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
    assert not {"src", "href", "srcset", "data", "action"} & {name for name, _ in parser.attributes}
    assert not re.search(r"url\(|@import|https?://", page)


def test_banner_scores_and_charts_are_there(summary):
    page = render_html(summary, date="2025-01-01")
    assert "For the data holder only" in page
    assert "not covered by the differential-privacy guarantee" in page
    assert page.count("<svg") == len(summary["columns"]) + 1
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
