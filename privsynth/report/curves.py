"""Lines over a common axis as inline SVG, and the learning curve; the page's CSS has the colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from privsynth.report.charts import shorten

_SVG = Markup(
    '<svg class="chart" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">{body}</svg>'
)
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}"{}>{}</text>')
_END, _MIDDLE = Markup(' text-anchor="end"'), Markup(' text-anchor="middle"')
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 620, 220, 56, 34
_MOST_LINES, _MOST_POINTS = 4, 300
_KEY = 140  # pixels of a line's name
_STYLE = (
    "svg{background:#fff}text{font:12px system-ui,sans-serif;fill:#555}path,polyline{fill:none;stroke-width:1.8}"
    ".axis,.dash{stroke:#999;stroke-width:1}.dash{stroke-dasharray:4 3}"
    ".line-0{stroke:#47a}.line-1{stroke:#c31}.line-2{stroke:#283}.line-3{stroke:#a37}"
)
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class _Axes:
    """Where values lie on the drawing; heights are logarithms where `log` says so."""

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool

    @classmethod
    def around(cls, held: Sequence[Points], level: float | None, *, log: bool) -> _Axes:
        xs = [x for line in held for x, _ in line] or [0.0, 1.0]
        ys = [y for line in held for _, y in line] or [0.0, 1.0]
        ys += [] if level is None else [level]
        low, high = min(ys), max(ys)
        ends = (low, high) if high > low else (low - 0.5, high + 0.5)
        return cls((min(xs), max(max(xs), min(xs) + 1e-9)), ends, log)

    def across(self, x: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 12) * (x - self.x[0]) / (self.x[1] - self.x[0])

    def up(self, y: float) -> float:
        return 12 + (_HEIGHT - _BOTTOM - 12) * (1 - (y - self.y[0]) / (self.y[1] - self.y[0]))

    def shown(self, y: float) -> str:
        return f"{10**y if self.log else y:.3g}"

    def drawn(self, title: str, *, under: float, title_under: float) -> list[Markup]:
        """Draw both axes with their ends, and the name of the horizontal one."""
        parts = [Markup('<path d="M{0} 12V{1}H{2}" class="axis"/>').format(_LEFT, _HEIGHT - _BOTTOM, _WIDTH - 12)]
        for y in (self.y[0], sum(self.y) / 2, self.y[1]):
            parts.append(_TEXT.format(_LEFT - 6, self.up(y) + 4, _END, self.shown(y)))
        for x, anchor in zip(self.x, ("", _END), strict=True):
            parts.append(_TEXT.format(self.across(x), under, anchor, f"{x:.3g}" if abs(x) < 1000 else f"{x:,.0f}"))
        return [*parts, _TEXT.format(_WIDTH / 2, title_under, _MIDDLE, title)]


def lines(chart: dict[str, Any], title: str) -> Markup:
    """Draw lines over a common axis.

    Parameters
    ----------
    chart : dict
        ``lines``, each with ``name``, ``x`` and ``y``; the names ``x`` and ``y`` of the axes; where wanted ``log``,
        ``level`` (a horizontal line) and ``marks`` (pairs of a name and an x, vertical lines).
    title : str
        For whoever hears the page.
    """
    log, several = bool(chart.get("log")), len(chart["lines"]) > 1
    named = [(str(line["name"]), _thinned(line, log)) for line in chart["lines"][:_MOST_LINES]]
    level = chart.get("level")
    level = math.log10(level) if log and level is not None else level
    axes = _Axes.around([points for _, points in named], level, log=log)
    under = _HEIGHT - (18 if several else 16)
    body = axes.drawn(chart.get("x", ""), under=under, title_under=under if several else _HEIGHT - 4)
    if level is not None:
        body.append(Markup('<path d="M{} {:.1f}H{}" class="dash"/>').format(_LEFT, axes.up(level), _WIDTH - 12))
    for name, x in chart.get("marks", []):
        body.append(Markup('<path d="M{0:.1f} 12V{1}" class="dash"/>').format(axes.across(x), _HEIGHT - _BOTTOM))
        body.append(_TEXT.format(axes.across(x) - 4, 22, _END, name))
    for number, (name, points) in enumerate(named):
        body.append(_line(name, points, number, axes))
        body += _key(name, number) if several else []
    told = [f"{n} from {axes.shown(p[0][1])} to {axes.shown(p[-1][1])}" for n, p in named if p]
    label = f"{title}: {chart.get('y', '')}: {'; '.join(told)}"
    return _SVG.format(w=_WIDTH, h=_HEIGHT + 4, label=label, body=Markup("").join(body))


def standalone(chart: dict[str, Any], title: str) -> str:
    """Return `lines` as a file of its own, which no page lends its colours."""
    head, rest = str(lines(chart, title)).split(">", 1)
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{head}><title>{escape(title)}</title><style>{_STYLE}</style>{rest}\n"


def _line(name: str, points: Points, number: int, axes: _Axes) -> Markup:
    places = " ".join(f"{axes.across(x):.1f},{axes.up(y):.1f}" for x, y in points)
    return Markup('<polyline points="{}" class="line-{}"><title>{}</title></polyline>').format(places, number, name)


def _key(name: str, number: int) -> list[Markup]:
    left = _LEFT + 8 + _KEY * number
    mark = Markup('<path d="M{0} {1}h18" class="line-{2}"/>').format(left, _HEIGHT - 4, number)
    return [mark, _TEXT.format(left + 22, _HEIGHT, "", shorten(name, 16))]


def learning_curve(history: dict[str, Any]) -> Markup | None:
    """Draw the measured loss, or without one the share of fakes told, of ``model.history_.to_dict()``."""
    losses = [loss for loss in history["measured_loss"] if known(loss)]
    if len(losses) < 2:
        told = history["fake_accuracy"]
        if len(told) < 2:
            return None
        line = {"name": "fakes told", "x": list(range(1, len(told) + 1)), "y": told}
        return lines({"x": "step", "y": "fakes told", "lines": [line]}, "Learning curve")
    marks, done = [], 0
    for name, steps in history.get("stages", []):
        if name != "neural critic" and 0 < (done := done + steps) < len(losses):
            marks.append((name, done))
    line = {"name": "measured loss", "x": list(range(1, len(losses) + 1)), "y": losses}
    chart = {"x": "step", "y": "measured loss, 1 is the noise floor", "lines": [line], "log": True, "level": 1.0}
    return lines({**chart, "marks": marks}, "Learning curve")


def known(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def _thinned(line: dict[str, Any], log: bool) -> Points:
    """Return a line's points, few enough to draw, the last one among them."""
    points = [
        (float(x), math.log10(max(y, 1e-12)) if log else float(y))
        for x, y in zip(line["x"], line["y"], strict=False)
        if known(x) and known(y)
    ]
    every = max(1, math.ceil(len(points) / _MOST_POINTS))
    return points[::every] + (points[-1:] if points and (len(points) - 1) % every else [])
