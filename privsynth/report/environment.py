"""Where the pages' templates are, and how they show numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jinja2

from privsynth.report.plots import draw, legend


def environment() -> jinja2.Environment:
    """Return where the pages' templates are, with everything escaped that they are given."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("privsynth", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, percent=lambda share: "–" if share is None else f"{share:.1%}", span=span, cell=cell,
        digits=digits, draw=draw, legend=legend,
    )  # fmt: skip
    return environment


def number(value: float | None) -> str:
    """Return a score to three decimals, large ones to four digits.

    >>> number(0.12345), number(12345.6), number(None)
    ('0.123', '12,346', '–')
    """
    if value is None:
        return "–"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def span(ends: Sequence[float | None]) -> str:
    """Return the range of a score in words.

    >>> span([0, 1]), span([0, None])
    ('from 0 to 1', 'from 0')
    """
    low, high = ends
    return " ".join([*([f"from {low:g}"] if low is not None else []), *([f"to {high:g}"] if high is not None else [])])


def cell(value: Any) -> str:
    """Return a cell of a table: whole numbers whole, others to three decimals, text as it is.

    >>> cell(12000), cell(0.5), cell("Ulm"), cell(None)
    ('12,000', '0.500', 'Ulm', '–')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else number(value)


def digits(value: float) -> str:
    """Return a number to five digits, small ones as powers of ten.

    >>> digits(0.0677559), digits(1e-06), digits(20)
    ('0.067756', '1 × 10⁻⁶', '20')
    """
    text = f"{value:.5g}"
    mantissa, power, exponent = text.partition("e")
    if not power:
        return text
    return f"{mantissa} × 10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
