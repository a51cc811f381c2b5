"""The charts of blocks as inline SVG: bars and intervals; lines are in `privsynth.report.curves`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from privsynth.report.charts import shorten
from privsynth.report.curves import known, lines

_SVG = Markup(
    '<svg class="chart" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">{body}</svg>'
)
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}"{}>{}</text>')
_BAR = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="14" class="bar-{}"/>')
_WHISKER = Markup('<path d="M{0:.1f} {2:.1f}v10m0 -5H{1:.1f}m0 -5v10" class="whisker"/>')
_END = Markup(' text-anchor="end"')
_MIDDLE = Markup(' text-anchor="middle"')
_W, _LEFT, _RIGHT, _ROW = 620, 190, 60, 24
_MOST_BARS = 40


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
    parts += ["thin lines: 95 % intervals"] if any(known(bar.get("low")) for bar in chart["bars"]) else []
    parts += ["dashed: the reference"] if any(known(bar.get("reference")) for bar in chart["bars"]) else []
    return "; ".join(parts)


def bars(chart: dict[str, Any], title: str) -> Markup:
    """Draw a horizontal bar for each value, with its interval, and the reference as a dashed mark."""
    shown = [bar for bar in chart["bars"] if known(bar.get("value"))][:_MOST_BARS]
    numbers = [bar[key] for bar in shown for key in ("value", "low", "high", "reference") if known(bar.get(key))]
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
    if known(bar.get("low")) and known(bar.get("high")):
        body.append(_WHISKER.format(place(bar["low"]), place(bar["high"]), y + 4))
    if known(bar.get("reference")):
        body.append(Markup('<path d="M{:.1f} {:.1f}v20" class="mark"/>').format(place(bar["reference"]), y - 1))
    body += [Markup("</g>"), _TEXT.format(_W - _RIGHT + 8, y + 13, "", f"{bar['value']:.3f}")]
    return Markup("").join(body)


def _interval_text(bar: dict[str, Any]) -> str:
    """Return a value with its interval and reference in words."""
    text = f"{bar['value']:.3f}"
    if known(bar.get("low")) and known(bar.get("high")):
        text += f" ({bar['low']:.3f} to {bar['high']:.3f})"
    return text + (f", reference {bar['reference']:.3f}" if known(bar.get("reference")) else "")
