"""The summary of an evaluation as one self-contained page: no script, no font, nothing fetched.

The page shows shares of the *real* table, so it says on top that it is for the data holder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from privsynth._checks import parameter_error
from privsynth.report.certificate import read_anew
from privsynth.report.charts import overlay
from privsynth.report.curves import learning_curve
from privsynth.report.environment import environment
from privsynth.report.heat import MOST_COLUMNS, heat_map

_FORMAT = "privsynth.evaluation/2"
_MOST_CHARTS, _MOST_ROWS = 100, 500  # a page is to stay below 3 MB
_SECTIONS = {
    "fidelity": ("Fidelity", "Does the synthetic table look like the real one, in columns, in pairs and beyond?"),
    "utility": ("Utility", "Does work done on synthetic rows carry over to real ones?"),
    "privacy": (
        "Attacks",
        "How much better than guessing does an attacker do with the synthetic table, and how much better than on rows "
        "that were not in it? Attacks give lower bounds: that none succeeds proves nothing. The certificate does.",
    ),
    "fairness": ("Groups", "Are groups represented, and served, as in the real table?"),
}


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
    PrivacyError
        If it holds a certificate whose claim does not hold.
    """
    if not isinstance(summary, dict) or summary.get("format") != _FORMAT:
        got = summary.get("format") if isinstance(summary, dict) else type(summary).__name__
        wanted = f"a dict of the format {_FORMAT!r}"
        raise parameter_error("render_html", "summary", wanted, got, "Pass evaluation.summary.")
    pairs, model = summary["pairs"], summary.get("model")
    listed = summary["columns"][:_MOST_ROWS]
    sections = [(key, *words) for key, words in _SECTIONS.items() if summary["sections"].get(key)]
    curve = learning_curve(model["learning"]) if model else None
    contents = [("scores", "At a glance"), *((key, words) for key, words, _ in sections)]
    contents += [("columns", "Columns"), ("shapes", "Shapes"), *[("pairs", "Pairs")] * bool(pairs["worst"])]
    contents += [*[("learning", "Learning")] * bool(curve), *[("certificate", "Certificate")] * bool(model)]
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            summary=summary,
            model=model,
            title=title,
            date=date,
            contents=[*contents, ("run", "Run")],
            sections=sections,
            glances=[("", "Overall"), *((key, words) for key, (words, _) in _SECTIONS.items())],
            listed=listed,
            charts=[overlay(column["name"], column["marginal"]) for column in listed[:_MOST_CHARTS]],
            heat_map=_heat_map(pairs) if 2 <= len(pairs["names"]) <= MOST_COLUMNS else None,
            widest=max([column["tvd"] for column in summary["columns"]] + [1e-12]),
            curve=curve,
            held=read_anew(model["certificate"]) if model else None,
        )
    )


def _heat_map(pairs: dict[str, Any]) -> str:
    """Draw all pairs; the worst lead to their shares."""
    place = {name: number for number, name in enumerate(pairs["names"])}
    links = {(place[pair["a"]], place[pair["b"]]): f"pair-{rank}" for rank, pair in enumerate(pairs["worst"])}
    return heat_map(pairs["names"], pairs["tvd"], links=links)


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
