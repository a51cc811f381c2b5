"""Small charts as inline SVG: no script, no font, no colour of their own (the page's CSS decides).

Every text goes through `Markup.format`, which escapes it: column names and categories are strangers' strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

_WIDTH, _HEIGHT = 300, 96
_SVG = Markup('<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">{body}</svg>')
_TEXT = Markup('<text x="{x:.1f}" y="{y:.1f}" class="{cls}"{extra}>{text}</text>')
_LABEL_LETTERS = 16
MOST_BARS = 40


def shorten(text: str, letters: int = _LABEL_LETTERS) -> str:
    """Cut a long label.

    >>> shorten("Married-civilian-spouse", 12)
    'Married-civ…'
    """
    return text if len(text) <= letters else text[: letters - 1] + "…"


def overlay(name: str, marginal: dict[str, Any], *, first: str = "real") -> Markup:
    """Draw one column's shares in both tables: `first` as filled bars, synthetic as an outline over them.

    Parameters
    ----------
    name : str
    marginal : dict
        ``labels``, `first` and ``synthetic`` of equal length, and ``style`` ("steps": neighbouring cells). A ``band``
        is drawn above and below each bar.
    first : str
        What the synthetic shares are compared with: "real" or "released".
    """
    labels, others, synthetic = (marginal[key][:MOST_BARS] for key in ("labels", first, "synthetic"))
    band = float(marginal.get("band", 0.0))
    top = max([*(share + band for share in others), *synthetic, 1e-12])
    slot = _WIDTH / max(len(labels), 1)
    gap = 0.0 if marginal["style"] == "steps" else min(3.0, slot * 0.2)
    marks = []
    for i, label in enumerate(labels):
        cell = Markup("<title>{}: {:.1%} {}, {:.1%} synthetic</title>").format(label, others[i], first, synthetic[i])
        x, width = i * slot + gap / 2, slot - gap
        bar = _bar(x, width, max(0.0, others[i]) / top)
        if band:
            bar += _whisker(x + width / 2, max(0.0, others[i] - band) / top, max(0.0, others[i] + band) / top)
        marks.append(Markup("<g>{}{}{}</g>").format(cell, bar, _cap(x, width, synthetic[i] / top)))
    axis = Markup('<line x1="0" x2="{w}" y1="{y}" y2="{y}" class="axis"/>').format(w=_WIDTH, y=_HEIGHT)
    body = Markup("").join([*marks, axis, *_ends(labels, slot)])
    label = f"Shares of {name}, {first} and synthetic{_furthest(labels, others, synthetic, first)}"
    return _SVG.format(w=_WIDTH, h=_HEIGHT + 16, label=label, body=body)


def _furthest(labels: Sequence[str], others: Sequence[float], synthetic: Sequence[float], first: str) -> str:
    """Say in words where the two are furthest apart: whoever hears the page gets the point of the chart."""
    if not labels:
        return ""
    i = max(range(len(labels)), key=lambda k: abs(others[k] - synthetic[k]))
    return f". Furthest apart at {shorten(labels[i], 40)}: {others[i]:.1%} {first}, {synthetic[i]:.1%} synthetic"


def _whisker(x: float, low: float, high: float) -> Markup:
    ends = (_HEIGHT - share * (_HEIGHT - 4) for share in (low, high))
    return Markup('<path d="M{:.1f} {:.1f}V{:.1f}" class="band"/>').format(x, *ends)


def _bar(x: float, width: float, share: float) -> Markup:
    height = share * (_HEIGHT - 4)
    return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="real"/>').format(
        x, _HEIGHT - height, width, height
    )


def _cap(x: float, width: float, share: float) -> Markup:
    """An open bar: sides and top, so that both tables stay visible where they cover each other."""
    y = _HEIGHT - share * (_HEIGHT - 4)
    return Markup('<path d="M{:.1f} {:.1f}V{:.1f}H{:.1f}V{:.1f}" class="synthetic"/>').format(
        x + 0.7, _HEIGHT, y, x + width - 0.7, _HEIGHT
    )


def _ends(labels: Sequence[str], slot: float) -> list[Markup]:
    """Name the first and the last cell; every cell has its name as a tooltip."""
    if not labels:
        return []
    y = _HEIGHT + 12.0
    first = _TEXT.format(x=0, y=y, cls="tick", extra="", text=shorten(labels[0], 24))
    if len(labels) == 1:
        return [first]
    anchor = Markup(' text-anchor="end"')
    return [first, _TEXT.format(x=_WIDTH, y=y, cls="tick", extra=anchor, text=shorten(labels[-1], 24))]
