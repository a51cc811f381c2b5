"""The charts of blocks as inline SVG: bars, intervals and lines. No script, no font; the page's CSS has the colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from privsynth.report.charts import shorten

_SVG = Markup(
    '<svg class="chart" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">{body}</svg>'
)
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}"{}>{}</text>')
_BAR = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="14" class="bar-{}"/>')
_WHISKER = Markup('<path d="M{0:.1f} {2:.1f}v10m0 -5H{1:.1f}m0 -5v10" class="whisker"/>')
_END = Markup(' text-anchor="end"')
_MIDDLE = Markup(' text-anchor="middle"')
_W, _LEFT, _RIGHT, _ROW = 620, 190, 60, 24
_MOST_BARS, _MOST_LINES, _MOST_POINTS = 40, 4, 300


def draw(chart: dict[str, Any], title: str) -> Markup:
    """Draw the chart of a block; an unknown kind is left out.

    Parameters
    ----------
    chart : dict
        As `privsynth.evaluation.score.Block` describes it.
    title : str
        For whoever hears the page.
    """
    kind = chart.get("kind")
    if kind == "lines":
        return lines(chart, title)
    return bars(chart, title) if kind in ("interval", "bars") else Markup("")


def legend(chart: dict[str, Any]) -> str:
    """Say in words what a chart's marks are."""
    if chart.get("kind") == "lines":
        return f"{chart.get('y', '')} by {chart.get('x', '')}".strip()
    parts = [f"from {chart['range'][0]:g} to {chart['range'][1]:g}"] if chart.get("range") else []
    parts += ["thin lines: 95 % intervals"] if any(_known(bar.get("low")) for bar in chart["bars"]) else []
    parts += ["dashed: the reference"] if any(_known(bar.get("reference")) for bar in chart["bars"]) else []
    return "; ".join(parts)


def bars(chart: dict[str, Any], title: str) -> Markup:
    """Draw a horizontal bar for each value, with its interval, and the reference as a dashed mark."""
    shown = [bar for bar in chart["bars"] if _known(bar.get("value"))][:_MOST_BARS]
    numbers = [bar[key] for bar in shown for key in ("value", "low", "high", "reference") if _known(bar.get(key))]
    low, high = chart.get("range") or (None, None)
    low = min([0.0, *numbers]) if low is None else low
    high = max([*numbers, 1e-12]) if high is None else high
    span = max(high - low, 1e-12)

    def place(value: float) -> float:
        return _LEFT + (_W - _LEFT - _RIGHT) * (min(max(value, low), high) - low) / span

    kinds = [min(number, 2) if chart["kind"] == "interval" else 0 for number in range(len(shown))]
    body = [
        _bar(bar, kind, 6 + row * _ROW, place, low) for row, (bar, kind) in enumerate(zip(shown, kinds, strict=True))
    ]
    y = 8 + len(shown) * _ROW
    body.append(Markup('<path d="M{} {}H{}" class="axis"/>').format(_LEFT, y, _W - _RIGHT))
    body += [
        _TEXT.format(place(end), y + 15, _MIDDLE, f"{end:g}" if float(end).is_integer() else f"{end:.2g}")
        for end in (low, high)
    ]
    label = f"{title}: " + "; ".join(f"{bar['name']} {_interval_text(bar)}" for bar in shown)
    return _SVG.format(w=_W, h=y + 20, label=label, body=Markup("").join(body))


def _bar(bar: dict[str, Any], kind: int, y: float, place: Callable[[float], float], low: float) -> Markup:
    """Draw one bar with its name, value, interval and reference."""
    start, stop = sorted((place(max(low, 0.0)), place(bar["value"])))
    body = [_TEXT.format(_LEFT - 8, y + 13, _END, shorten(str(bar["name"]), 26))]
    body.append(Markup("<g><title>{}: {}</title>").format(bar["name"], _interval_text(bar)))
    body.append(_BAR.format(start, y + 2, max(stop - start, 1.0), kind))
    if _known(bar.get("low")) and _known(bar.get("high")):
        body.append(_WHISKER.format(place(bar["low"]), place(bar["high"]), y + 4))
    if _known(bar.get("reference")):
        body.append(Markup('<path d="M{:.1f} {:.1f}v20" class="mark"/>').format(place(bar["reference"]), y - 1))
    body += [Markup("</g>"), _TEXT.format(_W - _RIGHT + 8, y + 13, "", f"{bar['value']:.3f}")]
    return Markup("").join(body)


def _interval_text(bar: dict[str, Any]) -> str:
    """Return a value with its interval and reference in words."""
    text = f"{bar['value']:.3f}"
    if _known(bar.get("low")) and _known(bar.get("high")):
        text += f" ({bar['low']:.3f} to {bar['high']:.3f})"
    return text + (f", reference {bar['reference']:.3f}" if _known(bar.get("reference")) else "")


def lines(chart: dict[str, Any], title: str) -> Markup:
    """Draw lines over a common axis; ``marks`` are vertical lines with a name, ``log`` a logarithmic height."""
    width, height, left, bottom = _W, 220, 56, 34
    log = bool(chart.get("log"))
    held = [_thinned(line, log) for line in chart["lines"][:_MOST_LINES]]
    xs = [x for line in held for x, _ in line] or [0.0, 1.0]
    ys = [y for line in held for _, y in line] or [0.0, 1.0]
    least, most = min(ys), max(ys)
    least, most = (least, most) if most > least else (least - 0.5, most + 0.5)
    first, last = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (width - left - 12) * (x - first) / (last - first),
            12 + (height - bottom - 12) * (1 - (y - least) / (most - least)),
        )

    def shown(y: float) -> str:
        return f"{10**y if log else y:.3g}"

    body = [Markup('<path d="M{0} 12V{1}H{2}" class="axis"/>').format(left, height - bottom, width - 12)]
    for y in (least, (least + most) / 2, most):
        body.append(_TEXT.format(left - 6, place(first, y)[1] + 4, _END, shown(y)))
    if (level := chart.get("level")) is not None and least <= (at := math.log10(level) if log else level) <= most:
        body.append(Markup('<path d="M{} {:.1f}H{}" class="dash"/>').format(left, place(first, at)[1], width - 12))
    for name, x in chart.get("marks", []):
        where = place(x, least)[0]
        body.append(Markup('<path d="M{0:.1f} 12V{1}" class="dash"/>').format(where, height - bottom))
        body.append(_TEXT.format(where - 4, 22, _END, name))
    for number, line in enumerate(held):
        points = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line)
        name = chart["lines"][number]["name"]
        body.append(
            Markup('<polyline points="{}" class="line-{}"><title>{}</title></polyline>').format(points, number, name)
        )
        if len(held) > 1:
            key = Markup('<path d="M{0} {1}h18" class="line-{2}"/>').format(left + 8 + 140 * number, height - 4, number)
            body += [key, _TEXT.format(left + 30 + 140 * number, height, "", shorten(str(name), 18))]
    under = height - (16 if len(held) < 2 else 18)
    body += [_TEXT.format(place(x, least)[0], under, anchor, _short(x)) for x, anchor in ((first, ""), (last, _END))]
    body.append(_TEXT.format(width / 2, height - 4 if len(held) < 2 else under, _MIDDLE, chart.get("x", "")))
    told = "; ".join(
        f"{line['name']} from {shown(points[0][1])} to {shown(points[-1][1])}"
        for line, points in zip(chart["lines"], held, strict=False)
        if points
    )
    return _SVG.format(
        w=width, h=height + 4, label=f"{title}: {chart.get('y', '')}: {told}", body=Markup("").join(body)
    )


def learning_curve(history: dict[str, Any]) -> Markup | None:
    """Draw the measured loss, or without one the share of fakes told, of ``model.history_.to_dict()``."""
    losses = [loss for loss in history["measured_loss"] if _known(loss)]
    if len(losses) < 2:
        told = history["fake_accuracy"]
        if len(told) < 2:
            return None
        steps = list(range(1, len(told) + 1))
        line = {"name": "fakes told", "x": steps, "y": told}
        return lines({"kind": "lines", "x": "step", "y": "fakes told", "lines": [line]}, "Learning curve")
    marks, done = [], 0
    for name, steps in history.get("stages", []):
        if name != "neural critic" and 0 < (done := done + steps) < len(losses):
            marks.append((name, done))
    line = {"name": "measured loss", "x": list(range(1, len(losses) + 1)), "y": losses}
    chart = {"kind": "lines", "x": "step", "y": "measured loss, 1 is the noise floor", "lines": [line], "log": True}
    return lines({**chart, "level": 1.0, "marks": marks}, "Learning curve")


def _short(x: float) -> str:
    return f"{x:.3g}" if abs(x) < 1000 else f"{x:,.0f}"


def _known(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _thinned(line: dict[str, Sequence[float]], log: bool) -> list[tuple[float, float]]:
    """Return a line's points, few enough to draw, the last one among them."""
    points = [
        (float(x), math.log10(max(y, 1e-12)) if log else float(y))
        for x, y in zip(line["x"], line["y"], strict=False)
        if _known(x) and _known(y)
    ]
    every = max(1, math.ceil(len(points) / _MOST_POINTS))
    return points[::every] + (points[-1:] if points and (len(points) - 1) % every else [])
