"""Every score of an evaluation: its range, its interval, its words, and that its good direction is the right one."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from privsynth import Schema
from privsynth.evaluation import evaluate
from privsynth.rules import Range
from tests.evaluation.frames import shuffled_columns
from tests.evaluation.populations import draw

N = 800


def labelled(n_rows, seed):
    """Rows of the population with a label that follows from the others, and a city with rare levels."""
    rng = np.random.default_rng(seed + 10_000)
    frame = draw(n_rows, seed)
    chance = 0.1 + 0.5 * frame["smoker"] + 0.3 * (frame["age"] > 60)
    frame["ill"] = np.where(rng.random(n_rows) < chance, "yes", "no")
    frame["weight"] = (frame["height"] - 100 + rng.normal(0, 8, n_rows)).where(rng.random(n_rows) < 0.95)
    frame["city"] = rng.choice([f"city {k}" for k in range(60)], n_rows, p=np.r_[0.5, 0.2, 0.1, np.full(57, 0.2 / 57)])
    return frame


REAL, HOLDOUT = labelled(N, 0), labelled(N, 1)


def collapsed(frame):
    """Five rows, again and again."""
    return frame.iloc[np.arange(len(frame)) % 5].reset_index(drop=True)


def shifted(frame):
    """Wrong marginals: everything larger, nothing missing, the groups and outcomes turned."""
    return frame.assign(
        age=frame["age"] + 100,
        income=frame["income"] * 20,
        height=frame["height"].fillna(0.0),
        weight=frame["weight"].fillna(0.0),
        region=frame["region"].replace({"north": "west", "west": "north"}),
        ill=np.where((frame["ill"] == "yes") ^ (frame["region"] == "north"), "no", "yes"),
        city="city 0",
    )


TABLES = {
    "fresh": labelled(N, 2),
    "shuffled": shuffled_columns(REAL),
    "collapsed": collapsed(REAL),
    "shifted": shifted(REAL),
    "copied": REAL.sample(frac=1, random_state=0),
}


@functools.cache
def scores_of(name, target="ill"):
    rules = Schema().with_rules(Range("age", high=95))
    settings = {"holdout": HOLDOUT, "target": target, "conditions": ["region", "ill"], "model": rules}
    frame = evaluate(REAL, TABLES[name], **settings).to_frame()
    return frame[frame["block"] != "Headline"].set_index("name")


@functools.cache
def ranges(target="ill"):
    found = evaluate(REAL, TABLES["shifted"], holdout=HOLDOUT, target=target, conditions=["region"])
    return {s["name"]: s["range"] for blocks in found.summary["sections"].values() for b in blocks for s in b["scores"]}


@functools.cache
def measured():
    """Name the scores that have a direction here, by whether attacks give them.

    The tests of attacks judge controls, baselines and secrets.
    """
    sections = scores_of("fresh")["section"]
    attacks = [
        name
        for name in sections.index[sections == "privacy"]
        if not name.endswith((": control", ": baseline")) and "Attribute inference: " not in name
    ]
    return list(sections.index[sections != "privacy"]), attacks


def test_names_are_unique_within_a_section():
    names = list(scores_of("fresh").index)
    assert len(names) == len(set(names)) > 60


RUNS = [*((table, "ill") for table in TABLES), *((t, y) for t in ("fresh", "collapsed") for y in ("income", "region"))]


@pytest.mark.parametrize(("table", "target"), RUNS)
def test_values_and_intervals_lie_in_range_and_every_figure_has_its_words(table, target):
    for name, row in scores_of(table, target).iterrows():
        low, high = ranges(target).get(name, (0.0, 1.0))
        known = [row[key] for key in ("low", "value", "high") if not pd.isna(row[key])]
        assert len(known) == 3 or table != "fresh", name
        assert known == sorted(known), name
        for value in [*known, *([] if pd.isna(row["reference"]) else [row["reference"]])]:
            assert low is None or value >= low - 1e-12, name
            assert high is None or value <= high + 1e-12, name
        assert row["meaning"].endswith(".") or "." in row["meaning"], name
        assert row["worry"].startswith(("Worry", "Look")), name


def test_a_broken_table_is_worse():
    """At least one of the broken tables must be clearly worse than fresh rows, in the direction that is stated."""
    for name in measured()[0]:
        good = scores_of("fresh").loc[name]
        sign = 1 if good["better"] == "higher" else -1
        worst = min(sign * scores_of(table).loc[name, "value"] for table in ("shuffled", "collapsed", "shifted"))
        assert worst < sign * good["value"] - 1e-9, name
        if not name.startswith("Augmentation"):
            assert worst <= min(sign * good["low"], sign * good["high"]), name


def test_fresh_rows_are_as_good_as_the_holdout():
    """Judged: never bad. The reference is itself a draw, so equality is not asked for."""
    assert [name for name in measured()[0] if scores_of("fresh").loc[name, "level"] == "bad"] == []


def test_copies_are_worse_than_fresh_rows():
    for name in measured()[1]:
        sign = 1 if scores_of("fresh").loc[name, "better"] == "higher" else -1
        copied, fresh = (sign * scores_of(table).loc[name, "value"] for table in ("copied", "fresh"))
        assert copied < fresh, name


def test_what_is_broken_is_named():
    shuffled, collapsed_, shifted_ = (scores_of(t) for t in ("shuffled", "collapsed", "shifted"))
    assert shuffled.loc["1-way TVD", "value"] == 0
    assert shuffled.loc["Correlation ratio: largest difference", "level"] != "good"
    assert collapsed_.loc["Mode-collapse index", "level"] == "bad"
    assert collapsed_.loc["Rows that repeat", "value"] == 1
    assert shifted_.loc["Rule violations", "level"] == "bad"
    assert scores_of("fresh").loc["Rule violations", "value"] == 0
    assert shifted_.loc["Rare categories found", "value"] == 0
    assert shifted_.loc["Detection ROC AUC", "value"] > 0.99
