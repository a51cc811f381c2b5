"""What is wrong with a set of rules, told from public facts alone: all problems at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from privsynth._reading import seen_as_utc
from privsynth.kinds import Boolean, Categorical, Column, Continuous, Datetime, Identifier
from privsynth.rules import FixedCombinations, Formula, Inequality, OneOf, Range, Rule

Columns = Mapping[str, Column]


def rule_problems(rules: Sequence[Rule], columns: Columns, *, table: Collection[str] | None = None) -> list[str]:
    """Return what is wrong with `rules`, in words; empty where nothing is.

    Parameters
    ----------
    rules : sequence of Rule
    columns : mapping of str to Column
        The columns that are known.
    table : collection of str, optional
        The names of all columns of the table, where they are known.
    """
    return [
        *_unknown(rules, columns, table),
        *_wrong_kinds(rules, columns),
        *_formula_problems(rules),
        *_bound_problems(rules, columns),
        *_combination_problems(rules, columns),
        *_one_of_problems(rules, columns),
    ]


def formula_order(rules: Sequence[Rule]) -> list[Formula]:
    """Return the formulas so that each comes after those whose results it reads; those in a circle are left out."""
    waiting = [rule for rule in rules if isinstance(rule, Formula)]
    ordered: list[Formula] = []
    while True:
        open_ = {rule.column for rule in waiting}
        ready = [rule for rule in waiting if not open_ & set(rule.expression.names)]
        if not ready:
            return ordered
        ordered += ready
        waiting = [rule for rule in waiting if rule not in ready]


def narrowed(column: Any, rules: Sequence[Range]) -> Any:
    """Return a numeric or time column with its bounds narrowed by ranges, to values that the column can take.

    Returns None where the ranges leave less than two values.
    """
    lows = [column.low, *(rule.low for rule in rules)]
    highs = [column.high, *(rule.high for rule in rules)]
    low = max((v for v in lows if v is not None), key=_place, default=None)
    high = min((v for v in highs if v is not None), key=_place, default=None)
    if isinstance(column, Continuous) and column.decimals is not None:
        low, high = _on_grid(low, column.decimals, up=True), _on_grid(high, column.decimals, up=False)
    if low is not None and high is not None and _place(low) >= _place(high):
        return None
    return replace(column, low=low, high=high)


def _place(bound: Any) -> Any:
    return seen_as_utc(bound) if isinstance(bound, str) else bound


def _on_grid(bound: Any, decimals: int, *, up: bool) -> Any:
    """Return the nearest multiple of 10**-decimals inside a bound."""
    if bound is None:
        return None
    step = 10.0**decimals
    near = float(np.rint(bound * step))
    if not np.isfinite(near):
        return bound
    inside = near / step >= bound if up else near / step <= bound
    near = near if inside else near + (1 if up else -1)
    return int(near) if decimals == 0 else round(near / step, decimals)


def _unknown(rules: Sequence[Rule], columns: Columns, table: Collection[str] | None) -> Iterator[str]:
    for rule in rules:
        missing = [] if table is None else [name for name in rule.columns if name not in table]
        if missing:
            yield f"the rule {rule} names columns that the table lacks: {missing}. The table has {list(table or ())}"
        keys = [name for name in rule.columns if isinstance(columns.get(name), Identifier)]
        if keys:
            yield f"the rule {rule} names identifiers, which are made up anew: {keys}. Declare another kind for them"


def _wrong_kinds(rules: Sequence[Rule], columns: Columns) -> Iterator[str]:
    for rule in rules:
        known = {name: columns[name] for name in rule.columns if name in columns}
        known = {name: column for name, column in known.items() if not isinstance(column, Identifier)}
        if isinstance(rule, (Inequality, Range)):
            yield from _not_ordered(rule, known)
        elif isinstance(rule, Formula):
            bad = [n for n, c in known.items() if not (_is_number(c) if n != rule.column else _is_ordered(c))]
            if bad:
                yield _needs_numbers(rule, bad, known)
        elif isinstance(rule, FixedCombinations):
            bad = [name for name, column in known.items() if isinstance(column, Datetime) or _is_written(column)]
            if bad:
                yield f"the rule {rule} needs levels or plain numbers: {_kinds(bad, known)}. Declare them Categorical"


def _not_ordered(rule: Inequality | Range, known: Columns) -> Iterator[str]:
    bad = [name for name, column in known.items() if not _is_ordered(column)]
    if bad:
        yield _needs_numbers(rule, bad, known)
        return
    times = {isinstance(column, Datetime) for column in known.values()}
    if isinstance(rule, Inequality) and len(times) > 1:
        yield f"the rule {rule} compares a time with a number: {_kinds(list(known), known)}"
    end = next((v for v in (rule.low, rule.high) if v is not None), None) if isinstance(rule, Range) else None
    if end is not None and times and isinstance(end, str) not in times:
        wanted = "dates" if True in times else "numbers"
        yield f"the rule {rule} needs {wanted} for its ends: {_kinds(list(known), known)}"


def _formula_problems(rules: Sequence[Rule]) -> Iterator[str]:
    formulas = [rule for rule in rules if isinstance(rule, Formula)]
    seen: dict[str, Formula] = {}
    for rule in formulas:
        if rule.column in seen:
            yield f"column {rule.column!r} has two formulas: {seen[rule.column]}, and {rule}. Keep one"
        seen[rule.column] = rule
    ordered = formula_order(formulas)
    circle = [str(rule) for rule in formulas if rule not in ordered]
    if circle:
        yield f"these formulas wait for each other in a circle: {'; '.join(circle)}. Take one away"


def _bound_problems(rules: Sequence[Rule], columns: Columns) -> Iterator[str]:
    """Yield ranges that leave nothing, and inequalities that cannot hold or run in a circle."""
    ranges: dict[str, list[Range]] = {}
    for rule in rules:
        if isinstance(rule, Range):
            ranges.setdefault(rule.column, []).append(rule)
    bounded: dict[str, Any] = {n: c for n, c in columns.items() if _is_ordered(c)}
    for name, found in ranges.items():
        column = bounded.get(name, Datetime() if _dated(found) else Continuous())
        if len({isinstance(v, str) for v in (column.low, column.high, *_ends(found)) if v is not None}) > 1:
            continue  # numbers and dates: said already
        bounded[name] = narrowed(column, found)
        if bounded[name] is None:
            declared = f" within its declared bounds {column.low} to {column.high}" if name in columns else ""
            yield (
                f"the rules {'; '.join(map(str, found))} leave column {name!r} less than two values{declared}. "
                "Widen them, or drop the column"
            )
    inequalities = [rule for rule in rules if isinstance(rule, Inequality)]
    for rule in inequalities:
        low, high = getattr(bounded.get(rule.low), "low", None), getattr(bounded.get(rule.high), "high", None)
        if low is None or high is None or isinstance(low, str) != isinstance(high, str):
            continue
        if _place(low) > _place(high) or (rule.strict and _place(low) == _place(high)):
            yield (
                f"the rule {rule} cannot hold: {rule.low!r} is at least {low} and {rule.high!r} at most {high}. "
                "Change the bounds"
            )
    circle = _inequality_circle(inequalities)
    if circle:
        yield (
            f"these rules run in a circle: {'; '.join(map(str, circle))}. Take one away; columns that are always "
            "equal take a Formula"
        )


def _inequality_circle(rules: list[Inequality]) -> list[Inequality]:
    """Return the inequalities left when those whose lower column is no other's upper one go, again and again."""
    left = list(dict.fromkeys(rules))
    while True:
        uppers, lowers = {rule.high for rule in left}, {rule.low for rule in left}
        kept = [rule for rule in left if rule.low in uppers and rule.high in lowers]
        if len(kept) == len(left):
            return left
        left = kept


def _combination_problems(rules: Sequence[Rule], columns: Columns) -> Iterator[str]:
    computed = {rule.column for rule in rules if isinstance(rule, Formula)}
    seen: dict[str, FixedCombinations] = {}
    for rule in rules:
        if not isinstance(rule, FixedCombinations):
            continue
        both = [name for name in rule.columns if name in computed]
        if both:
            yield f"the rule {rule} names columns that a formula computes: {both}. Keep one of the rules"
        for name in rule.columns:
            if name in seen:
                yield f"column {name!r} is in two rules of fixed combinations. Write one rule for all of their columns"
                break
        seen.update(dict.fromkeys(rule.columns, rule))
        for place, name in enumerate(rule.columns):
            yield from _part_problems(rule, name, columns.get(name), {c[place] for c in rule.allowed or ()})


def _part_problems(rule: FixedCombinations, name: str, column: Column | None, values: set[Any]) -> Iterator[str]:
    """Yield declared values that a column cannot take."""
    if column is None or isinstance(column, (Identifier, Datetime)):
        return
    if None in values and not column.nullable:
        yield f"the rule {rule} allows missing values in {name!r}, which is declared without. Set nullable=True"
    present = values - {None}
    if isinstance(column, Continuous):
        low, high = (-np.inf if column.low is None else column.low), (np.inf if column.high is None else column.high)
        bad = [v for v in present if isinstance(v, (str, bool)) or not low <= v <= high]
        bad += [v for v in present if isinstance(v, float) and column.decimals == 0]
    elif isinstance(column, Boolean):
        bad = [v for v in present if v not in (True, False)]
    else:
        bad = [v for v in present if column.categories is not None and v not in column.categories]
    if bad:
        shown = sorted(map(repr, bad))[:5]
        yield f"the rule {rule} allows values that {name!r} cannot take: {', '.join(shown)}"


def _one_of_problems(rules: Sequence[Rule], columns: Columns) -> Iterator[str]:
    for rule in rules:
        if isinstance(rule, OneOf):
            known = {name: columns[name] for name in rule.columns if name in columns}
            always = [n for n, c in known.items() if isinstance(c, (Datetime, Categorical)) and not c.nullable]
            if len(always) > 1:
                yield f"the rule {rule} cannot hold: {always} are never missing. Set nullable=True"


def _is_ordered(column: Column) -> bool:
    return isinstance(column, (Continuous, Datetime))


def _is_number(column: Column) -> bool:
    """Whether a formula can read a column."""
    if isinstance(column, Categorical) and column.categories is not None:
        return not any(isinstance(level, str) for level in column.categories)
    return isinstance(column, (Continuous, Datetime, Boolean))


def _is_written(column: Column) -> bool:
    """Whether numbers are held as text or as Decimal objects."""
    return isinstance(column, Continuous) and column.form != "number"


def _dated(rules: list[Range]) -> bool:
    return any(isinstance(end, str) for end in _ends(rules))


def _ends(rules: list[Range]) -> list[Any]:
    return [end for rule in rules for end in (rule.low, rule.high) if end is not None]


def _needs_numbers(rule: Rule, bad: list[str], columns: Columns) -> str:
    return f"the rule {rule} needs numbers, durations or times: {_kinds(bad, columns)}. Declare or convert them"


def _kinds(names: list[str], columns: Columns) -> str:
    return ", ".join(f"{name!r} is {type(columns[name]).__name__}" for name in names)
