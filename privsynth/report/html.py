"""The summary of an evaluation as one self-contained page: no script, no font, nothing fetched.

The page shows shares of the *real* table, so it says on top that it is for the data holder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from privsynth._checks import parameter_error
from privsynth.report.charts import overlay
from privsynth.report.environment import environment
from privsynth.report.heat import heat_map

_FORMAT = "privsynth.evaluation/2"
_MAX_HEAT_MAP = 60


def render_html(summary: dict[str, Any], *, title: str = "Synthetic data evaluation", date: str = "") -> str:
    """Return the page as text.

    Parameters
    ----------
    summary : dict
        ``Evaluation.summary`` (or what its JSON loads to).
    title : str
        Heading of the page.
    date : str
        Printed with the run details; nothing is printed when empty, so equal runs give equal pages.

    Returns
    -------
    str
        A complete HTML document.

    Raises
    ------
    ParameterError
        If `summary` is not such a dict.
    """
    if not isinstance(summary, dict) or summary.get("format") != _FORMAT:
        got = summary.get("format") if isinstance(summary, dict) else type(summary).__name__
        wanted = f"a dict of the format {_FORMAT!r}"
        raise parameter_error("render_html", "summary", wanted, got, "Pass evaluation.summary.")
    names, matrix = summary["pairs"]["names"], summary["pairs"]["tvd"]
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            summary=summary,
            title=title,
            date=date,
            charts=[overlay(column["name"], column["marginal"]) for column in summary["columns"]],
            heat_map=heat_map(names, matrix) if 2 <= len(names) <= _MAX_HEAT_MAP else None,
            widest=max([column["tvd"] for column in summary["columns"]] + [1e-12]),
        )
    )


def write_html(
    summary: dict[str, Any],
    path: str | os.PathLike[str],
    *,
    title: str = "Synthetic data evaluation",
    date: str = "",
) -> Path:
    """Write the page to `path`: whole, or not at all.

    Parameters
    ----------
    summary : dict
        ``Evaluation.summary``.
    path : path of the file to write
        An existing file is replaced. The folder must exist. Only the owner can read the file.
    title, date : str
        See `render_html`.

    Returns
    -------
    Path
    """
    page = render_html(summary, title=title, date=date)
    goal = Path(path)
    handle, temporary = tempfile.mkstemp(dir=goal.parent, prefix=f".{goal.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        os.replace(temporary, goal)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return goal
