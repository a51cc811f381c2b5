"""Missing values, and rows that break a declared rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from privsynth.evaluation.intervals import grouped_error, jackknife_interval, wilson_interval
from privsynth.evaluation.pairing import Pairing
from privsynth.evaluation.score import Block, Score, table_of
from privsynth.rules import Rule

_MAX_ROWS = 50_000


def missing_block(pairing: Pairing, rng: np.random.Generator) -> Block:
    """Compare shares of missing values, of each column and of pairs of columns."""
    shares = [frame.isna().mean() for frame in (pairing.real, pairing.synthetic)]
    others = [frame.isna().mean() for frame in (pairing.left, pairing.right)]
    cut = pairing.at_most(_MAX_ROWS, rng)
    gaps = [frame.isna().to_numpy(dtype=float) for frame in (cut.real, cut.synthetic, cut.left, cut.right)]
    scores = []
    for name, statistic, exact, meaning in (
        ("Missing values", _mean_gap, (shares, others), "Mean difference of the shares of missing values of a column."),
        ("Missing together", _joint_gap, None, "Mean difference of the shares of rows that lack both of two columns."),
    ):
        value = statistic(gaps[0], gaps[1])
        reference = statistic(gaps[2], gaps[3])
        error = grouped_error(_of_rows(statistic, gaps), len(gaps[0]), len(gaps[1]), rng)
        if exact is not None:
            value, reference = (float((pair[0] - pair[1]).abs().mean()) for pair in exact)
        low, high = jackknife_interval(value, error, high=1.0)
        scores.append(
            Score(
                f"{name}: mean difference",
                value,
                reference,
                "lower",
                pairing.note,
                meaning,
                low=low,
                high=high,
                worry="Worry above a few hundredths: who is missing in an analysis changes.",
                section="fidelity",
            ).judged(watch=0.02, bad=0.1)
        )
    rows = []
    for column in pairing.real.columns:
        if shares[0][column] == shares[1][column] == 0:
            continue
        low, high = wilson_interval(round(shares[1][column] * len(pairing.synthetic)), len(pairing.synthetic))
        rows.append([column, shares[0][column], shares[1][column], low, high])
    return Block(
        "Missing values",
        "Whether values are missing as often as in the real table, and in the same rows.",
        "Worry about columns where the share differs by more than a few hundredths.",
        tuple(scores),
        table_of(["column", "real share", "synthetic share", "from", "to"], rows) if rows else None,
    )


def _of_rows(statistic: Callable[[Any, Any], float], gaps: Sequence[Any]) -> Callable[[Any, Any], float]:
    return lambda a, b: statistic(gaps[0][a], gaps[1][b])


def _mean_gap(real: Any, other: Any) -> float:
    return float(np.abs(real.mean(axis=0) - other.mean(axis=0)).mean())


def _joint_gap(real: Any, other: Any) -> float:
    if real.shape[1] < 2:
        return 0.0
    differences = np.abs(real.T @ real / len(real) - other.T @ other / len(other))
    return float(differences[np.triu_indices(real.shape[1], 1)].mean())


def rule_block(pairing: Pairing, rules: Sequence[Rule], schema: Any) -> Block | None:
    """Count rows that break declared rules; None without rules on the columns compared."""
    usable = [rule for rule in rules if set(rule.columns) <= set(pairing.real.columns)]
    if not usable:
        return None
    broken = [np.zeros(len(frame), dtype=bool) for frame in (pairing.real, pairing.synthetic)]
    rows = []
    for rule in usable:
        own = [~rule.holds(frame, schema) for frame in (pairing.real, pairing.synthetic)]
        for total, found in zip(broken, own, strict=True):
            total |= found
        low, high = wilson_interval(int(own[1].sum()), len(own[1]))
        rows.append([str(rule), float(own[0].mean()), float(own[1].mean()), low, high])
    low, high = wilson_interval(int(broken[1].sum()), len(broken[1]))
    score = Score(
        "Rule violations",
        float(broken[1].mean()),
        float(broken[0].mean()),
        "lower",
        note="Reference: the real table.",
        meaning="Share of synthetic rows that break at least one declared rule.",
        low=low,
        high=high,
        worry="Worry when it is above 0: rules that were declared in the schema are kept by every sampled row.",
        section="fidelity",
        level="good" if not broken[1].any() else "bad" if broken[1].mean() > max(0.01, broken[0].mean()) else "watch",
        rule="Good: no row breaks a rule; bad: more than 1 % of rows, and more than in the real table; between: watch.",
    )
    return Block(
        "Rules",
        "Whether declared rules between columns hold in every row.",
        "Worry about any violation: it is a row that cannot exist.",
        (score,),
        table_of(["rule", "real share broken", "synthetic share broken", "from", "to"], rows),
    )


def rules_of(model: Any) -> tuple[Sequence[Rule], Any]:
    """Return the rules of a fitted model, of a schema, or of None, and the schema."""
    schema = getattr(model, "schema_", model)
    return tuple(getattr(schema, "rules", ()) or ()), schema
