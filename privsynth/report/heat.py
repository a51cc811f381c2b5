"""The heat map of pairs as inline SVG; a cell leads to its pair where the page has more to say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from privsynth.report.charts import shorten

MOST_COLUMNS = 60
_SVG = Markup('<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="group" aria-label="{label}">{body}</svg>')
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" class="{}"{}>{}</text>')
_LEFT, _TOP = 130.0, 110.0


def heat_map(
    names: Sequence[str],
    matrix: Sequence[Sequence[float | None]],
    *,
    links: Mapping[tuple[int, int], str] | None = None,
    label: str = "2-way distance of each pair of columns",
) -> Markup:
    """Draw a symmetric matrix of distances in [0, 1]; the darkest cell is the largest distance.

    Parameters
    ----------
    names : sequence of str, length n
    matrix : n sequences of n floats in [0, 1], None where nothing is known
    links : mapping of (i, j) to str, optional
        Anchors on the page of pairs that it says more of.
    """
    n = len(names)
    side = max(9.0, min(34.0, 640 / max(n, 1)))
    known = [value for row in matrix for value in row if value is not None]
    largest = max([*known, 1e-12])
    parts = []
    for i, name in enumerate(names):
        middle = _TOP + (i + 0.65) * side
        parts.append(_TEXT.format(_LEFT - 6, middle, "tick", Markup(' text-anchor="end"'), shorten(name, 20)))
        x = _LEFT + (i + 0.65) * side
        turn = Markup(' transform="rotate(-50 {:.1f} {:.1f})"').format(x, _TOP - 6)
        parts.append(_TEXT.format(x, _TOP - 6, "tick", turn, shorten(name, 20)))
        for j in range(n):
            if j != i:
                cell = _cell(f"{name} × {names[j]}", matrix[i][j], largest, (_LEFT + j * side, _TOP + i * side, side))
                anchor = (links or {}).get((i, j)) or (links or {}).get((j, i))
                parts.append(_linked(cell, anchor, f"{name} × {names[j]}") if anchor else cell)
    size = (round(_LEFT + n * side + 90), round(_TOP + n * side + 4))
    return _SVG.format(w=size[0], h=size[1], label=label, body=Markup("").join(parts))


def _linked(cell: Markup, anchor: str, pair: str) -> Markup:
    """Make a cell lead to its pair; by keyboard the list of pairs is the way there."""
    return Markup('<a href="#{}" tabindex="-1" aria-label="{}">{}</a>').format(anchor, pair, cell)


def _cell(pair: str, value: float | None, largest: float, place: tuple[float, float, float]) -> Markup:
    x, y, side = place
    box = Markup('x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"').format(x, y, side - 1, side - 1)
    if value is None:
        return Markup('<g><title>{}: not known</title><rect {} class="none"/></g>').format(pair, box)
    strength = (value / largest) ** 0.7  # one broken pair must not make all others look the same
    number = Markup("")
    if side >= 26:
        dark = "on-dark" if strength > 0.6 else "on-light"
        middle = Markup(' text-anchor="middle"')
        number = _TEXT.format(x + side / 2, y + side / 2 + 3.5, f"cell {dark}", middle, f"{value:.2f}".lstrip("0"))
    return Markup('<g><title>{}: {:.3f}</title><rect {} class="heat" fill-opacity="{:.3f}"/>{}</g>').format(
        pair, value, box, 0.04 + 0.96 * strength, number
    )
