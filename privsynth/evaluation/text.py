"""The summary of an evaluation as aligned plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NOT_PRIVATE = "Made from the real table: for the data holder, not covered by the differential-privacy guarantee."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(score: dict[str, Any]) -> str:
    low, high = score["low"], score["high"]
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _bad(summary: dict[str, Any]) -> list[str]:
    """Name what is judged bad, in all sections, each once."""
    found = {
        score["name"]: f"{section}: {score['name']} ({block['title']})"
        for section, blocks in summary["sections"].items()
        for block in blocks
        for score in block["scores"]
        if score["level"] == "bad"
    }
    return ["Judged bad:\n" + "\n".join(f"  {text}" for text in found.values())] if found else []


def render_text(summary: dict[str, Any]) -> str:
    """Return scores, columns (the worst first), what is judged bad, and notes as text."""
    run = summary["run"]
    scores = [
        (s["name"], _number(s["value"]), _interval(s), _number(s["reference"]), s["better"], s["level"] or "-")
        for s in summary["scores"]
    ]
    columns = [
        (
            c["name"],
            _number(c["tvd"]),
            _number(c["shape"]),
            f"{c['missing_real']:.1%}",
            f"{c['missing_synthetic']:.1%}",
        )
        for c in summary["columns"]
    ]
    parts = [
        f"{run['rows_synthetic']} synthetic rows against {run['rows_real']} real rows, {run['n_columns']} columns",
        _table(("score", "value", "95 % interval", "reference", "better", "level"), scores),
        _table(("column (worst first)", "TVD", "shape", "missing real", "synthetic"), columns),
        *_bad(summary),
        *summary["notes"],
        NOT_PRIVATE,
    ]
    return "\n\n".join(parts)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Align the first column left, the others right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = []
    for row in [head, tuple("-" * width for width in widths), *rows]:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
