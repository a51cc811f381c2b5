"""The page that may go with a synthetic table: its certificate, and how near it is to its model's own releases."""

from __future__ import annotations

from typing import Any

from privsynth._checks import parameter_error
from privsynth.report.certificate import read_anew
from privsynth.report.charts import overlay
from privsynth.report.curves import learning_curve
from privsynth.report.environment import environment
from privsynth.report.heat import MOST_COLUMNS, heat_map

FORMAT = "privsynth.publishable/1"
_MOST_CHARTS, _MOST_ROWS = 60, 500


def render_publishable(summary: dict[str, Any], *, title: str = "Synthetic table", date: str = "") -> str:
    """Return the page as text.

    Parameters
    ----------
    summary : dict
        What `privsynth.publish.compare` returns, or what its JSON loads to. It holds no private row, and neither
        does the page.
    title : str
        Heading of the page.
    date : str
        Printed where it is not empty.

    Raises
    ------
    ParameterError
        If `summary` is not such a dict.
    PrivacyError
        If the claim of its certificate does not hold.
    """
    if not isinstance(summary, dict) or summary.get("format") != FORMAT:
        got = summary.get("format") if isinstance(summary, dict) else type(summary).__name__
        wanted = f"a dict of the format {FORMAT!r}"
        raise parameter_error("render_publishable", "summary", wanted, got, "Pass compare(model, table).")
    listed = summary["columns"][:_MOST_ROWS]
    names, curve = summary["pairs"]["names"], learning_curve(summary["learning"])
    contents = [("scores", "How near"), ("certificate", "Certificate"), ("columns", "Columns"), ("shapes", "Shapes")]
    contents += [("pairs", "Pairs")] * bool(summary["pairs"]["all"]) + [("learning", "Learning")] * bool(curve)
    return (
        environment()
        .get_template("publishable.html.j2")
        .render(
            summary=summary,
            title=title,
            date=date,
            contents=[*contents, ("check", "Check it")],
            listed=listed,
            charts=[overlay(c["name"], c["marginal"], first="released") for c in listed[:_MOST_CHARTS]],
            heat_map=_heat_map(summary["pairs"]) if 3 <= len(names) <= MOST_COLUMNS else None,
            by_class=any(pair["by"] for pair in summary["pairs"]["all"]),
            curve=curve,
            **read_anew(summary["certificate"]),
        )
    )


def _heat_map(pairs: dict[str, Any]) -> str:
    """Draw the distance of each pair, the larger one where a pair was released twice; the worst lead to their words."""
    place = {name: number for number, name in enumerate(pairs["names"])}
    matrix: list[list[float | None]] = [[None] * len(place) for _ in place]
    links: dict[tuple[int, int], str] = {}
    for rank, pair in enumerate(pairs["all"]):
        i, j = place[pair["a"]], place[pair["b"]]
        known = matrix[i][j]
        matrix[i][j] = matrix[j][i] = pair["beyond"] if known is None else max(known, pair["beyond"])
        if rank < len(pairs["worst"]):
            links.setdefault((i, j), f"pair-{rank}")
    return heat_map(pairs["names"], matrix, links=links, label="Distance beyond noise of each released pair")
