"""What `evaluate` returns: a plain dict, and its renderings."""

from __future__ import annotations

import dataclasses
import html
import json
import os
from collections.abc import Iterator
from typing import Any

import pandas as pd

from privsynth.evaluation.text import NOT_PRIVATE, render_text
from privsynth.report import render_html, write_html

_COLUMNS = ["section", "block", "name", "value", "low", "high", "reference", "better", "level", "meaning", "worry"]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Parameters
    ----------
    summary : dict
        JSON-able, of the format ``privsynth.evaluation/2``:

        - ``scores``: the headline, a list of `Score` dicts.
        - ``sections``: for each of fidelity, utility, privacy and fairness a list of `Block` dicts, as displayed;
          empty where the section was not asked for or cannot be computed (``notes`` says why).
        - ``columns``: a dict a column, the worst first: ``name``, ``kind``, ``tvd``, ``tvd_reference``, ``shape``,
          ``missing_real``, ``missing_synthetic`` and ``marginal`` (``labels``, ``real``, ``synthetic``, ``style``).
        - ``pairs``: ``names``, the matrix ``tvd``, and ``worst``, each with its shares by cells of both (``joint``).
        - ``model``: ``certificate`` and ``learning`` of the synthesizer, if one was given; or None.
        - ``utility``: `Utility` dict or None.
        - ``run`` (rows, seed, versions), ``notes`` (list of str).
        - ``reads_real``: true. All of it was computed from real rows and is not covered by epsilon.
    """

    summary: dict[str, Any]

    @property
    def scores(self) -> dict[str, float | None]:
        """The headline scores by name."""
        return {score["name"]: score["value"] for score in self.summary["scores"]}

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of the summary that is safe to change."""
        return json.loads(self.to_json())

    def to_json(self) -> str:
        """Return the summary as JSON text."""
        return json.dumps(self.summary, indent=2, allow_nan=False)

    def to_frame(self) -> pd.DataFrame:
        """Return all scores as a table: a row a score, the headline first (block "Headline")."""
        return pd.DataFrame([{key: score.get(key) for key in _COLUMNS} for score in self._rows()], columns=_COLUMNS)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for score in self.summary["scores"]:
            yield {**score, "block": "Headline"}
        for section, blocks in self.summary["sections"].items():
            for block in blocks:
                for score in block["scores"]:
                    yield {**score, "section": section, "block": block["title"]}

    def to_html(self, path: str | os.PathLike[str] | None = None, *, title: str = "Synthetic data evaluation") -> str:
        """Return the page of `privsynth.report` as text, and write it to `path` if one is given."""
        if path is not None:
            write_html(self.summary, path, title=title)
        return render_html(self.summary, title=title)

    def __str__(self) -> str:
        return render_text(self.summary)

    def _repr_html_(self) -> str:
        # What a notebook shows: the headline as a table. The full page is `to_html`.
        rows = []
        for score in self.summary["scores"]:
            low, high = (_shown(score[key]) for key in ("low", "high"))
            cells = [
                score["section"],
                score["name"],
                _shown(score["value"]),
                f"{low} to {high}" if low and high else "",
                _shown(score["reference"]),
                score["level"] or "",
            ]
            words = html.escape(f"{score['meaning']} {score['worry']}", quote=True)
            rows.append(f'<tr title="{words}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
        head = "".join(f"<th>{name}</th>" for name in ("section", "score", "value", "95 %", "reference", "level"))
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in [*self.summary["notes"], NOT_PRIVATE])
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{notes}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
