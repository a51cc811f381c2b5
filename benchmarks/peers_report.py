"""The table and the plot of the comparison with other packages, from the runs that peers.py kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS

Record = dict[str, Any]
PAGE = Path(__file__).parents[1] / "docs" / "comparison.md"
BEGIN, END = "<!-- begin: {}, written by benchmarks/peers.py -->", "<!-- end -->"
SHOWN = {  # measure: whether more is better, decimals
    "TSTR": (True, 3),
    "linear": (True, 3),
    "AP": (True, 3),
    "recall at .5": (True, 3),
    "recall at .9": (True, 3),
    "TVD1": (False, 3),
    "TVD2": (False, 3),
    "TVD3": (False, 3),
    "TVD2 by class": (False, 3),
    "quality": (True, 3),
    "detection": (False, 3),
    "fit s": (False, 0),
    "cpu s": (False, 0),
    "sample s": (False, 1),
    "peak MB": (False, 0),
}
COSTS = ("fit s", "cpu s", "sample s", "peak MB")
REFERENCES = ("independent", "rarest class even", "real")
OURS, BORROWED = "privsynth", "AIM on our cells"
RIVALRY = ("TSTR", "TVD2")  # what the overview compares
MEANING = [
    "80/20 split, seed 0; models of 10,000 transactions are scored on 50,000 fresh ones. TSTR, linear, AP: gradient "
    "boosting and a logistic regression learned from synthetic rows, ROC AUC (AP: average precision of the rarer "
    "class, boosting) on real held-out rows; recall at .5, .9: of the rarer class, at that precision.",
    "TVD1, TVD2, TVD3: mean total variation distance of all columns, all pairs, 60 triples (coarser bins), to the "
    "training rows. by class: TVD2 within the classes of the target. quality: SDMetrics.",
    "detection: ROC AUC of gradient boosting that tells synthetic from real rows; .5 is best.",
    "`real`: what real rows get; its distances are those of the held-out rows. `independent`: "
    "columns resampled each on its own. `rarest class even`: real rows, but those of the target's rarest class drawn "
    "evenly from ranges and levels, which says nothing of them. None is private.",
    "Medians over seeds; in brackets the largest less the smallest. Bold: the best private value (not of `AIM on our "
    "cells`, which borrows our encoder). One thread, on a machine with other work: compare cpu s, of computing.",
]
OVERVIEW = (
    "Medians over seeds; in brackets the least and the largest of several runs. The best peer: of the private ones as "
    "they come (without privacy: of the others); lead: how much better privsynth's value is, negative where the peer's "
    "is."
)
LENT = (
    "AIM of dpmm on the codes of our encoder, at the same total epsilon; where it did not end in time there is no row."
)


def write(records: list[Record]) -> None:
    """Write results/peers.md, results/peers.svg and the table in the documentation."""
    tables = list(dict.fromkeys(record["table"] for record in records))
    lines = ["# Quality at equal total epsilon", "", *(f"- {line}" for line in MEANING), ""]
    lines += ["## Overview", "", OVERVIEW, "", *overview(records), ""]
    lines += ["## Against AIM on our cells", "", LENT, "", *overview(records, borrowed=True), ""]
    for table in tables:
        mine = [record for record in records if record["table"] == table]
        for epsilon in dict.fromkeys(record["epsilon"] for record in mine):
            lines += [f"## {table}, " + ("no privacy" if epsilon == "none" else f"ε = {epsilon}"), ""]
            references = [r for r in mine if r["synthesizer"] in REFERENCES and r["epsilon"] != epsilon]
            here = [r for r in mine if r["epsilon"] == epsilon]
            lines += _table(here + references, private=epsilon != "none")
            lines += [*(f"- {line}" for line in beaten(here)), ""]
    lines += ["## Settings", "", *_settings(records), ""]
    (RESULTS / "peers.md").write_text("\n".join(lines), encoding="utf-8")
    _insert("at one", summary(records))
    _insert("no privacy", summary(records, "none"))
    _insert("overview", overview(records))
    _insert("same cells", overview(records, borrowed=True))
    plot(records, tables)


def summary(records: list[Record], epsilon: str = "1") -> list[str]:
    """Return TSTR and TVD2 at one epsilon on every table; with privacy, those of the references below."""
    tables = list(dict.fromkeys(record["table"] for record in records))
    ours = [r for r in records if r["epsilon"] == epsilon and r["synthesizer"] not in REFERENCES]
    references = [r for r in records if epsilon != "none" and r["synthesizer"] in REFERENCES]
    head = "no privacy" if epsilon == "none" else f"ε = {epsilon}"
    lines = [f"| {head} | " + " | ".join(tables) + " | cpu s, adult |", "|" + "---|" * (len(tables) + 2)]
    for name in dict.fromkeys(r["synthesizer"] for r in ours + references):
        mine = [r for r in ours + references if r["synthesizer"] == name]
        cells = [_brief([r for r in mine if r["table"] == table]) for table in tables]
        seconds = _values([r for r in mine if r["table"] == tables[0]], "cpu s")
        lines.append(f"| {name} | " + " | ".join([*cells, _cell(seconds, 0, None)]) + " |")
    return lines


def overview(records: list[Record], *, borrowed: bool = False) -> list[str]:
    """Return a table of privsynth, the best peer as it comes and the difference, for every table and epsilon.

    With `borrowed`, the peer is AIM on our cells, where it has ended in time.
    """
    rival = BORROWED if borrowed else "best peer"
    heads = [f"{measure}, {OURS} | {rival} | lead" for measure in RIVALRY]
    lines = ["| table | ε | " + " | ".join(heads) + " |", "|" + "---|" * (3 * len(RIVALRY) + 2)]
    for table, epsilon in dict.fromkeys((record["table"], record["epsilon"]) for record in records):
        here = [r for r in records if (r["table"], r["epsilon"]) == (table, epsilon)]
        if not borrowed or any(r["synthesizer"] == BORROWED and r.get(RIVALRY[0]) is not None for r in here):
            cells = [cell for measure in RIVALRY for cell in _rivalry(here, measure, borrowed=borrowed)]
            lines.append(f"| {table} | {epsilon} | " + " | ".join(cells) + " |")
    return lines


def _rivalry(records: list[Record], measure: str, *, borrowed: bool) -> tuple[str, str, str]:
    """Return privsynth's value, the best peer's and privsynth's lead, as text."""
    medians = _medians(records, measure)
    peers = {name: value for name, value in medians.items() if name != OURS and (name == BORROWED) == borrowed}
    ours = _ranged(records, OURS, measure) if OURS in medians else "–"
    if not peers:
        return ours, "–", "–"
    best = max(peers, key=lambda name: _lead(peers[name], 0.0, measure))
    lead = f"{_lead(medians[OURS], peers[best], measure):+.3f}" if OURS in medians else "–"
    return ours, ("" if borrowed else f"{best} ") + _ranged(records, best, measure), lead


def _ranged(records: list[Record], name: str, measure: str) -> str:
    """Return the median of a synthesizer's runs, and from where to where these are if there are several."""
    values = _values([r for r in records if r["synthesizer"] == name], measure)
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{np.median(values):.3f}{spread}"


def beaten(records: list[Record]) -> list[str]:
    """Return a line for each peer of better TSTR or TVD2 than privsynth, from runs on one table at one epsilon."""
    found: dict[str, list[str]] = {}
    for measure in RIVALRY:
        medians = _medians(records, measure)
        ours = medians.pop(OURS, None)
        for name, value in medians.items() if ours is not None else ():
            if (lead := _lead(value, ours, measure)) > 0:
                found.setdefault(name, []).append(f"{measure} {value:.3f} to {ours:.3f}, by {lead:.3f}")
    return [f"{name} beats {OURS}: {'; '.join(wins)}." for name, wins in found.items()]


def _medians(records: list[Record], measure: str) -> dict[str, float]:
    """Return the median over seeds of every synthesizer that has the measure, but not of the references."""
    names = dict.fromkeys(r["synthesizer"] for r in records if r["synthesizer"] not in REFERENCES)
    values = {name: _values([r for r in records if r["synthesizer"] == name], measure) for name in names}
    return {name: float(np.median(found)) for name, found in values.items() if found}


def _lead(value: float, other: float, measure: str) -> float:
    """Return how much better a value is than another."""
    return value - other if SHOWN[measure][0] else other - value


def _brief(records: list[Record]) -> str:
    """Return the median TSTR and TVD2 of some runs, or why there are none."""
    scores = [_values(records, measure) for measure in ("TSTR", "TVD2")]
    if not all(scores):
        return _clean(records[0]["error"].partition(":")[0]) if records else "not run"
    return ", ".join(f"{np.median(values):.3f}" for values in scores)


def _insert(name: str, lines: list[str]) -> None:
    """Put a table in its place in the documentation."""
    begin = BEGIN.format(name)
    head, found, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, closed, tail = rest.partition(END)
    if not (found and closed):
        raise SystemExit(f"{PAGE} has no place for this table: {begin} and {END} around it.")
    PAGE.write_text("\n".join([f"{head}{begin}", "", *lines, "", f"{END}{tail}"]), encoding="utf-8")


def _table(records: list[Record], *, private: bool) -> list[str]:
    names = list(dict.fromkeys(record["synthesizer"] for record in records))
    runs = {name: [r for r in records if r["synthesizer"] == name] for name in names}
    medians = {
        name: {m: np.median(v) for m in SHOWN if m not in COSTS and (v := _values(runs[name], m))}
        for name in names
        if private and name not in (*REFERENCES, BORROWED)
    }
    best = {m: _best([row[m] for row in medians.values() if m in row], SHOWN[m]) for m in SHOWN}
    lines = ["| synthesizer | runs | " + " | ".join(SHOWN) + " |", "|" + "---|" * (len(SHOWN) + 2)]
    failed = []
    for name in names:
        good = [record for record in runs[name] if "error" not in record]
        bad = [record for record in runs[name] if "error" in record]
        failed += [f"{name}, seed {r['seed']}: {_clean(r['error'])}" for r in bad]
        cells = [_cell(_values(good, m), SHOWN[m][1], best[m] if name in medians else None) for m in SHOWN]
        count = f"{len(good)}" if not bad else f"{len(good)} of {len(runs[name])}"
        if not good:
            cells[0] = _clean(bad[0]["error"].partition(":")[0])
        lines.append(f"| {name} | {count} | " + " | ".join(cells) + " |")
    notes = [f"{r['synthesizer']}, seed {r['seed']}: {_clean(r['notes'])}" for r in records if r.get("notes")]
    return [*lines, "", *(f"- {line}" for line in [*failed, *notes])]


def _values(records: list[Record], measure: str) -> list[float]:
    return [record[measure] for record in records if record.get(measure) is not None]


def _best(values: list[float], how: tuple[bool, int]) -> str | None:
    return None if not values else f"{(max if how[0] else min)(values):.{how[1]}f}"


def _cell(values: list[float], decimals: int, best: str | None) -> str:
    if not values:
        return "–"
    text = f"{np.median(values):.{decimals}f}"
    spread = f" ({max(values) - min(values):.{decimals}f})" if len(values) > 1 else ""
    return (f"**{text}**" if text == best else text) + spread


def _clean(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<").replace("_", "\\_")


def _settings(records: list[Record]) -> list[str]:
    lines = ["| synthesizer | versions | settings, for instance | dates |", "|---|---|---|---|"]
    for name in dict.fromkeys(record["synthesizer"] for record in records):
        runs = [record for record in records if record["synthesizer"] == name]
        settled = [r for r in runs if r.get("settings")] or runs
        versions = ", ".join(f"{k} {v}" for k, v in settled[0].get("versions", {}).items())
        dates = sorted({record["date"] for record in runs})
        span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        settings = f"{settled[0].get('settings', '')} ({settled[0]['table']}, ε {settled[0]['epsilon']})"
        lines.append(f"| {name} | {versions} | {_clean(settings)} | {span} |")
    return lines


def plot(records: list[Record], tables: list[str]) -> None:
    """Write results/peers.svg: TSTR and TVD2 against epsilon, a column of panels a table."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "privsynth"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(tables), figsize=(3.2 * len(tables), 6), squeeze=False, sharex=True)
    names = list(dict.fromkeys(r["synthesizer"] for r in records if r["epsilon"] != "none"))
    colours = dict(zip(names, pyplot.get_cmap("tab10").colors, strict=False))
    for column, table in enumerate(tables):
        for row, measure in enumerate(("TSTR", "TVD2")):
            panel = axes[row][column]
            mine = [r for r in records if r["table"] == table and r.get(measure) is not None]
            for name in names:
                points = _points([r for r in mine if r["synthesizer"] == name and r["epsilon"] != "none"], measure)
                if points:
                    panel.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name, color=colours[name])
            for name, style in (("real", "--"), ("independent", ":")):
                for record in (r for r in mine if r["synthesizer"] == name):
                    panel.axhline(record[measure], color="#777777", linestyle=style, linewidth=1)
            panel.set_xscale("log")
            panel.set_xticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
            panel.minorticks_off()
            panel.set_title(table if row == 0 else "")
            panel.set_ylabel(measure if column == 0 else "")
            panel.set_xlabel("total ε" if row == 1 else "")
    handles = {label: h for a in axes.flat for h, label in zip(*a.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=5, fontsize=8, frameon=False)
    figure.suptitle("Dashed: real rows. Dotted: columns resampled independently.", fontsize=9)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    figure.savefig(RESULTS / "peers.svg", metadata={"Date": None})
    pyplot.close(figure)


def _points(records: list[Record], measure: str) -> list[tuple[float, float]]:
    found: dict[float, list[float]] = {}
    for record in records:
        found.setdefault(float(record["epsilon"]), []).append(record[measure])
    return [(epsilon, float(np.median(values))) for epsilon, values in sorted(found.items())]
