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


def shorten(text: str, letters: int = _LABEL_LETTERS) -> str:
    """Cut a long label.

    >>> shorten("Married-civilian-spouse", 12)
    'Married-civ…'
    """
    return text if len(text) <= letters else text[: letters - 1] + "…"


def overlay(name: str, marginal: dict[str, Any]) -> Markup:
    """Draw one column's shares in both tables: real as filled bars, synthetic as an outline over them.

    Parameters
    ----------
    name : str
    marginal : dict
        ``labels``, ``real``, ``synthetic`` of equal length, and ``style`` ("steps": neighbouring cells).
    """
    labels, real, synthetic = marginal["labels"], marginal["real"], marginal["synthetic"]
    top = max([*real, *synthetic, 1e-12])
    slot = _WIDTH / max(len(labels), 1)
    gap = 0.0 if marginal["style"] == "steps" else min(3.0, slot * 0.2)
    marks = []
    for i, label in enumerate(labels):
        cell = Markup("<title>{}: {:.1%} real, {:.1%} synthetic</title>").format(label, real[i], synthetic[i])
        x, width = i * slot + gap / 2, slot - gap
        marks.append(
            Markup("<g>{}{}{}</g>").format(cell, _bar(x, width, real[i] / top), _cap(x, width, synthetic[i] / top))
        )
    axis = Markup('<line x1="0" x2="{w}" y1="{y}" y2="{y}" class="axis"/>').format(w=_WIDTH, y=_HEIGHT)
    body = Markup("").join([*marks, axis, *_ends(labels, slot)])
    label = f"Shares of {name} in the real and the synthetic table"
    return _SVG.format(w=_WIDTH, h=_HEIGHT + 16, label=label, body=body)


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


def heat_map(names: Sequence[str], matrix: Sequence[Sequence[float]]) -> Markup:
    """Draw a symmetric matrix of distances in [0, 1]; the darkest cell is the largest distance.

    Parameters
    ----------
    names : sequence of str, length n
    matrix : n sequences of n floats in [0, 1]
    """
    n = len(names)
    side = max(9.0, min(34.0, 640 / max(n, 1)))
    left, top = 130.0, 110.0
    largest = max([max(row) for row in matrix] + [1e-12])
    parts = []
    for i, name in enumerate(names):
        middle = top + (i + 0.65) * side
        anchor = Markup(' text-anchor="end"')
        parts.append(_TEXT.format(x=left - 6, y=middle, cls="tick", extra=anchor, text=shorten(name, 20)))
        x = left + (i + 0.65) * side
        turn = Markup(' transform="rotate(-50 {:.1f} {:.1f})"').format(x, top - 6)
        parts.append(_TEXT.format(x=x, y=top - 6, cls="tick", extra=turn, text=shorten(name, 20)))
        parts += [_heat_cell(names, matrix, i, j, largest, (left, top, side)) for j in range(n) if j != i]
    size = (round(left + n * side + 90), round(top + n * side + 4))
    return _SVG.format(
        w=size[0], h=size[1], label="2-way distance of each pair of columns", body=Markup("").join(parts)
    )


def _heat_cell(
    names: Sequence[str],
    matrix: Sequence[Sequence[float]],
    i: int,
    j: int,
    largest: float,
    frame: tuple[float, float, float],
) -> Markup:
    left, top, side = frame
    value = matrix[i][j]
    strength = (value / largest) ** 0.7  # one broken pair must not make all others look the same
    number = Markup("")
    if side >= 26:
        dark = "on-dark" if strength > 0.6 else "on-light"
        middle = Markup(' text-anchor="middle"')
        x, y = left + (j + 0.5) * side, top + (i + 0.5) * side + 3.5
        number = _TEXT.format(x=x, y=y, cls=f"cell {dark}", extra=middle, text=f"{value:.2f}".lstrip("0"))
    return Markup(
        '<g><title>{} × {}: {:.3f}</title><rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" '
        'class="heat" fill-opacity="{:.3f}"/>{}</g>'
    ).format(
        names[i],
        names[j],
        value,
        left + j * side,
        top + i * side,
        side - 1,
        side - 1,
        0.04 + 0.96 * strength,
        number,
    )
