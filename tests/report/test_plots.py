"""Charts as numbers: bars, intervals and lines lie where their values say, and strangers' names are text."""

import math
import re

import pytest

from privsynth.report.curves import learning_curve, lines
from privsynth.report.plots import draw, legend
from tests.report.test_html import NASTY, Balanced

ATTACK = {
    "kind": "interval",
    "range": [0, 1],
    "bars": [
        {"name": "attack", "value": 0.5, "low": 0.4, "high": 0.6},
        {"name": NASTY, "value": 0.25, "low": 0.2, "high": 0.3},
        {"name": "baseline", "value": None, "low": None, "high": None},
    ],
}


def parsed(svg):
    parser = Balanced()
    parser.feed(str(svg))
    assert parser.open == []
    return parser


def test_bars_and_intervals_are_where_their_values_are():
    svg = str(draw(ATTACK, "Membership"))
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', svg)]
    assert len(widths) == 2  # what is not known has no bar
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)
    left, right = map(float, re.search(r'd="M([\d.]+) [\d.]+v10m0 -5H([\d.]+)', svg).groups())
    start = float(re.search(r'<rect x="([\d.]+)"', svg)[1])
    whole = 2 * widths[0]
    assert (left - start) / whole == pytest.approx(0.4, abs=0.01)
    assert (right - start) / whole == pytest.approx(0.6, abs=0.01)
    assert "attack 0.500 (0.400 to 0.600)" in svg
    assert "script" not in parsed(svg).tags
    assert legend(ATTACK) == "from 0 to 1; thin lines: 95 % intervals"


def test_a_reference_is_marked():
    chart = {"kind": "bars", "bars": [{"name": "a", "value": -1.0, "reference": 2.0}, {"name": "b", "value": 2.0}]}
    svg = str(draw(chart, "x"))
    assert svg.count('class="mark"') == 1
    assert legend(chart) == "dashed: the reference"
    assert parsed(svg)


def test_lines_reach_their_ends():
    chart = {"kind": "lines", "x": "step", "y": "loss", "lines": [{"name": "a", "x": range(1000), "y": range(1000)}]}
    svg = str(draw(chart, "Curve"))
    points = [tuple(map(float, p.split(","))) for p in re.search(r'points="([^"]+)"', svg)[1].split()]
    assert len(points) <= 302
    assert points[0] == (56.0, 186.0)
    assert points[-1] == (608.0, 12.0)
    assert legend(chart) == "loss by step"


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0], [math.nan, 1.0, math.inf, 2.0], [0.0, -1.0]])
def test_odd_lines_are_drawn(values):
    for log in (False, True):
        chart = {"x": "x", "y": "y", "log": log, "lines": [{"name": NASTY, "x": range(len(values)), "y": values}] * 2}
        assert "nan" not in str(lines(chart, NASTY)).lower().replace("nasty", "")
        assert parsed(lines(chart, NASTY))


def test_an_unknown_chart_is_left_out():
    assert draw({"kind": "pie"}, "x") == ""


def test_learning_curves():
    stages = [["measured critic", 3], ["partitions", 2], ["neural critic", 4]]
    history = {"measured_loss": [9.0, 3.0, 1.1, 2.0, None], "fake_accuracy": [0.5] * 4, "stages": stages}
    svg = str(learning_curve(history))
    assert svg.count('class="dash"') == 2  # the floor, and the end of the first stage
    assert "measured loss from 9 to 2" in svg
    alone = learning_curve({"measured_loss": [], "fake_accuracy": [0.5, 0.75], "stages": [["neural critic", 2]]})
    assert "fakes told from 0.5 to 0.75" in str(alone)
    assert learning_curve({"measured_loss": [1.0], "fake_accuracy": []}) is None
