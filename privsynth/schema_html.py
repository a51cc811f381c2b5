"""Schemas as people read them: aligned text, and a small table for notebooks."""

from __future__ import annotations

from html import escape
from typing import Any

from privsynth.kinds import Column
from privsynth.schema_json import Parts, compact

_CELL = 'style="text-align:left;padding:2px 12px 2px 0"'
_LONG = 80


def as_text(parts: Parts) -> str:
    """Return a column a line, aligned, then the rules and the privacy unit.

    >>> from privsynth.kinds import Boolean, Continuous
    >>> print(as_text(Parts({"age": Continuous(0, 120, decimals=0), "is_fraud": Boolean()})))
    Schema of 2 columns
      'age'       Continuous  low=0, high=120, decimals=0
      'is_fraud'  Boolean
    """
    rows = [(repr(name), type(c).__name__, _details(c)) for name, c in parts.columns.items()]
    widths = [max((len(row[i]) for row in rows), default=0) for i in (0, 1)]
    lines = [f"Schema of {len(rows)} column{'' if len(rows) == 1 else 's'}"]
    lines += [f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {details}".rstrip() for name, kind, details in rows]
    if parts.rules:
        lines += ["rules", *(f"  {rule}" for rule in parts.rules)]
    return "\n".join([*lines, *_unit(parts)])


def as_html(parts: Parts) -> str:
    """Return a table; names and values are escaped."""
    rows = [_row([name, type(c).__name__, _details(c)]) for name, c in parts.columns.items()]
    head = "".join(f"<th {_CELL}>{title}</th>" for title in ("column", "kind", "declared"))
    html = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    if parts.rules:
        html += f"<p>Rules</p><ul>{''.join(f'<li>{escape(str(rule))}</li>' for rule in parts.rules)}</ul>"
    return html + "".join(f"<p>{escape(line)}</p>" for line in _unit(parts))


def _row(cells: list[str]) -> str:
    return "<tr>" + "".join(f"<td {_CELL}>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _details(column: Column) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in compact(column).items())


def _short(value: Any) -> str:
    """Return a value as Python writes it, long lists of levels cut."""
    if isinstance(value, tuple) and len(text := repr(value)) > _LONG:
        shown = 0
        while shown < len(value) and len(", ".join(map(repr, value[: shown + 1]))) < _LONG - 20:
            shown += 1
        first = "".join(f"{v!r}, " for v in value[: max(1, shown)])
        return f"({first[:_LONG]}... {len(value)} in all)" if len(value) > 1 else text[:_LONG] + "...)"
    return repr(value)


def _unit(parts: Parts) -> list[str]:
    if parts.privacy_unit is None:
        return []
    most = "" if parts.max_rows_per_unit is None else f", at most {parts.max_rows_per_unit} rows each"
    return [f"privacy unit: {parts.privacy_unit!r}{most}"]
