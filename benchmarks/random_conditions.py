"""Random conditions and their judge: used by conditions.py and by the tests.

A *possible* condition is built around a witness, a row that the model drew without conditions, so that it is possible
without asking the model. An *impossible* one asks for something that no row can have. A *free* one joins demands of
several witnesses: nobody knows whether the model holds such rows. The judge reads pandas columns and nothing of the
package.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

Mask = Callable[[pd.DataFrame], Any]
REMEDY = re.compile(r"\b(Widen|Use|Name|Ask|Write|Take|Leave|Keep|Conditions can be set on)\b")
SECOND = pd.Timedelta(1, "s")
COUNTS = (0, 1, 2, 17, 300, 2_000)


@dataclass(frozen=True)
class Demand:
    """What is asked of one column: for `sample`, as text for ``--where`` if it has such, and as a pandas mask."""

    column: str
    kind: str
    wanted: Any
    holds: Mask
    where: str | None = None


@dataclass(frozen=True)
class Case:
    """A request, what it should lead to, and how that is judged."""

    kind: str
    form: str
    conditions: Any
    n_rows: int | None
    holds: Mask
    possible: bool | None = True
    named: tuple[str, ...] = field(default=())

    @property
    def expected_rows(self) -> int:
        """How many rows have to come."""
        return len(self.conditions) if self.n_rows is None else self.n_rows


# --- demands that a witness meets -----------------------------------------------------------------------------


def demand(column: str, kind: str, row: pd.Series, pool: pd.DataFrame, rng: np.random.Generator) -> Demand:
    """Make a demand of a kind that `row` meets."""
    value, series = row[column], pool[column]
    if pd.isna(value):
        return Demand(column, "missing", None, lambda s: s[column].isna(), f"{column} is missing")
    value = value.item() if isinstance(value, np.generic) else value
    others = series.dropna().sample(int(rng.integers(1, 4)), random_state=rng, replace=True).tolist()
    if kind == "value":
        return Demand(column, kind, value, lambda s: s[column] == value, f"{column} = {_text(value)}")
    if kind == "list":
        values = [value, *others]
        text = f"{column} in {', '.join(map(_text, values))}"
        if series.isna().any() and rng.random() < 0.5:
            return Demand(
                column, "list or missing", [*values, None], lambda s: s[column].isin(values) | s[column].isna()
            )
        wanted = {0: values, 1: set(values), 2: np.array(values, dtype=object)}[int(rng.integers(3))]
        return Demand(column, kind, wanted, lambda s: s[column].isin(values), text)
    if kind == "not missing":
        return Demand(column, kind, (None, None), lambda s: s[column].notna(), f"{column} is not missing")
    if kind == "all but":
        other = next((level for level in others if level != value), None)
        if other is None:
            return demand(column, "value", row, pool, rng)
        levels = [level for level in series.dropna().unique().tolist() if level != other]
        return Demand(column, kind, levels, lambda s: s[column].isin(levels), None)
    return _range(column, kind, value, series, rng)


def _range(column: str, kind: str, value: Any, series: pd.Series, rng: np.random.Generator) -> Demand:
    """Make a range around `value`."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        levels = series.cat.categories.tolist()
        at = levels.index(value)
        low, high = levels[int(rng.integers(at + 1))], levels[int(rng.integers(at, len(levels)))]
        return Demand(
            column,
            "ranks",
            (low, high),
            lambda s: (s[column] >= low) & (s[column] <= high),
            _between(column, low, high),
        )
    step = SECOND if isinstance(value, pd.Timestamp) else 0.01 if isinstance(value, float) else 1
    spread = series.max() - series.min()
    below, above = (spread * float(share) for share in rng.exponential(10.0 ** rng.uniform(-5, 0), 2))
    if kind == "narrow range":
        below, above = (step * int(k) for k in rng.integers(0, 3, 2))
    low, high = value - below, value + above
    if isinstance(value, pd.Timestamp):
        low, high = low.floor("s"), high.ceil("s")
    if kind == "from":
        text = f"{column} >= {_text(low)}"
        return Demand(column, "open range", (low, None), lambda s: s[column] >= low, text)
    if kind == "up to":
        text = f"{column} <= {_text(high)}"
        return Demand(column, "open range", (None, high), lambda s: s[column] <= high, text)
    if kind == "interval":
        closed = str(rng.choice(["left", "right", "both", "neither"]))
        low, high = low - step, high + step
        interval = pd.Interval(low, high, closed=closed)
        text = f"{column} {'>=' if closed in ('left', 'both') else '>'} {_text(low)}"
        text += f" and {column} {'<=' if closed in ('right', 'both') else '<'} {_text(high)}"
        return Demand(column, kind, interval, lambda s: s[column].between(low, high, inclusive=closed), text)
    wanted = (low, high)
    if isinstance(value, pd.Timestamp):
        kind = "window" if kind == "range" else "narrow window"
        wanted = {0: (low, high), 1: (str(low), str(high)), 2: (low.to_datetime64(), high.isoformat())}[
            int(rng.integers(3))
        ]
    return Demand(column, kind, wanted, lambda s: (s[column] >= low) & (s[column] <= high), _between(column, low, high))


def _between(column: str, low: Any, high: Any) -> str:
    return f"{column} between {_text(low)} and {_text(high)}"


def _text(value: Any) -> str:
    """Write a value as on a command line."""
    return f"'{value}'" if isinstance(value, str) else f"{value}"


def _is_number(series: pd.Series) -> bool:
    return pd.api.types.is_datetime64_any_dtype(series) or (
        pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)
    )


def kinds_of(series: pd.Series) -> list[str]:
    """List the kinds of demand that make sense for a column."""
    if _is_number(series):
        return ["value", "list", "range", "narrow range", "from", "up to", "interval", "not missing"]
    ranks = ["range"] if isinstance(series.dtype, pd.CategoricalDtype) and series.cat.ordered else []
    levels = ["all but"] if series.nunique() > 2 else []
    return ["value", "list", *ranks, *levels, "not missing"]


# --- possible, free and impossible requests ---------------------------------------------------------------------


def possible(pool: pd.DataFrame, rng: np.random.Generator, *, skip: tuple[str, ...] = ()) -> Case:
    """Draw a request that a drawn row meets."""
    columns = [name for name in pool.columns if name not in skip]
    if rng.random() < 0.15:
        return _frame_case(pool, columns, rng)
    row = pool.iloc[int(rng.integers(len(pool)))]
    several = 1 if rng.random() < 0.5 else int(rng.integers(2, 5))
    names = rng.choice(columns, size=min(several, len(columns)), replace=False)
    demands = [demand(str(name), str(rng.choice(kinds_of(pool[name]))), row, pool, rng) for name in names]
    kind = demands[0].kind if len(demands) == 1 else "several columns"
    return _as_case(demands, kind, rng)


def free(pool: pd.DataFrame, rng: np.random.Generator, *, skip: tuple[str, ...] = ()) -> Case:
    """Join demands that different rows meet."""
    columns = [name for name in pool.columns if name not in skip]
    names = rng.choice(columns, size=int(rng.integers(2, 6)), replace=False)
    rows = [pool.iloc[int(rng.integers(len(pool)))] for _ in names]
    demands = [
        demand(str(name), str(rng.choice(kinds_of(pool[name]))), row, pool, rng)
        for name, row in zip(names, rows, strict=True)
    ]
    case = _as_case(demands, "of different rows", rng)
    return Case(case.kind, case.form, case.conditions, case.n_rows, case.holds, None)


def _as_case(demands: list[Demand], kind: str, rng: np.random.Generator) -> Case:
    def holds(sample: pd.DataFrame) -> Any:
        return np.logical_and.reduce([np.asarray(d.holds(sample), dtype=bool) for d in demands])

    texts = [d.where for d in demands if d.where is not None]
    n_rows = int(rng.choice(COUNTS))
    if len(texts) == len(demands) and rng.random() < 0.4:
        clauses = [" and ".join(texts)] if rng.random() < 0.5 else texts
        return Case(kind, "where", clauses, n_rows, holds)
    return Case(kind, "dict", {d.column: d.wanted for d in demands}, n_rows, holds)


def _frame_case(pool: pd.DataFrame, columns: list[str], rng: np.random.Generator) -> Case:
    """Ask for a row for each of several drawn rows, some of its columns given, one by an interval perhaps."""
    rows = pool.iloc[rng.integers(0, len(pool), int(rng.choice([1, 5, 60])))].reset_index(drop=True)
    names = [str(name) for name in rng.choice(columns, size=int(rng.integers(1, 5)), replace=False)]
    wanted, within = rows[names].copy(), ()
    numbers = [name for name in names if _is_number(pool[name]) and rows[name].notna().all()]
    if numbers and rng.random() < 0.5:
        name, within = numbers[0], (numbers[0],)
        width = (pool[name].max() - pool[name].min()) * 0.01 + (SECOND if pool[name].dtype.kind == "M" else 1)
        left, right = rows[name] - width, rows[name] + width
        wanted[name] = pd.arrays.IntervalArray.from_arrays(left, right, closed="both")

    def holds(sample: pd.DataFrame) -> Any:
        good = np.ones(len(sample), dtype=bool)
        for name in names:
            given, drawn = rows[name], sample[name]
            if name in within:
                good &= ((drawn >= left) & (drawn <= right)).to_numpy()
            else:
                good &= ((drawn == given) | (drawn.isna() & given.isna())).to_numpy(dtype=bool)
        return good

    return Case("a frame of rows", "frame", wanted, None, holds)


def impossible(pool: pd.DataFrame, rng: np.random.Generator, *, skip: tuple[str, ...] = ()) -> Case:
    """Draw a request that no row can meet, for one column, perhaps beside a demand that can be met."""
    column = str(rng.choice([name for name in pool.columns if name not in skip]))
    found = _impossible_of(pool[column])
    kind, wanted, values = found[int(rng.integers(len(found)))]
    conditions = {column: wanted}
    row = pool.iloc[int(rng.integers(len(pool)))]
    if rng.random() < 0.4:
        beside = str(rng.choice([name for name in pool.columns if name not in (column, *skip)]))
        conditions[beside] = demand(beside, "value", row, pool, rng).wanted
    if kind == "unknown column":
        column, conditions = "colour", {"colour": conditions.pop(column), **conditions}
    named = (repr(column), *values)
    n_rows = int(rng.choice(COUNTS))
    simple = not isinstance(wanted, (tuple, list, dict, pd.Interval))
    if simple and rng.random() < 0.3:
        frame = pd.DataFrame({name: pd.Series([value] * 3, dtype=object) for name, value in conditions.items()})
        return Case(kind, "frame", frame, None, lambda s: np.zeros(len(s), dtype=bool), False, named)
    return Case(kind, "dict", conditions, n_rows, lambda s: np.zeros(len(s), dtype=bool), False, named)


def _impossible_of(series: pd.Series) -> list[tuple[str, Any, list[str]]]:
    """List what cannot be asked of a column: the kind, the demand, and words that an error must have."""
    found: list[tuple[str, Any, list[str]]] = [
        ("unknown column", 1, []),
        ("no values", [], ["no value"]),
        ("tuple of three", (1, 2, 3), ["3"]),
        ("a dict", {"low": 1}, ["low"]),
    ]
    if not series.isna().any():
        found.append(("missing where none is", None, ["missing"]))
    if pd.api.types.is_datetime64_any_dtype(series):
        middle = series.median().floor("s")
        found += [
            ("beyond the bounds", ("2071-03-01", None), ["2071-03-01"]),
            ("beyond the bounds", (None, pd.Timestamp("1931-05-06")), ["1931-05-06"]),
            ("between grid points", middle + pd.Timedelta(0.5, "s"), [str(middle)]),
            ("reversed range", (middle, middle - SECOND), [str(middle)]),
            ("not a time", "next week", ["next week"]),
            ("range with a missing end", (pd.NaT, middle), ["NaT"]),
        ]
    elif _is_number(series):
        middle, whole = series.median(), series.dropna().mod(1).eq(0).all()
        gap = (math.floor(middle) + 0.25, math.floor(middle) + 0.75) if whole else None
        found += [
            ("beyond the bounds", (9.1e12, None), ["9100000000000"]),
            ("beyond the bounds", -7.5e9, ["-7500000000"]),
            ("beyond the bounds", [math.inf], ["inf"]),
            ("between grid points", math.floor(middle) + 0.12345, [".12345"]),
            ("reversed range", (middle + 3.0, middle - 3.0), [str(middle + 3.0), str(middle - 3.0)]),
            ("not a number", "plenty", ["plenty"]),
            ("range with a missing end", (np.nan, 5), ["nan"]),
        ]
        found += [("between grid points", pd.Interval(*gap), [str(gap[0]), str(gap[1])])] if gap else []
    else:
        found += [("unknown level", "pigeon", ["pigeon"]), ("unknown level", [*series.dropna()[:1], "newt"], ["newt"])]
        if isinstance(series.dtype, pd.CategoricalDtype):
            levels = series.cat.categories.tolist()
            found.append(("reversed range", (levels[-1], levels[0]), [str(levels[-1]), str(levels[0])]))
            found.append(("unknown level", (levels[0], "banana"), ["banana"]))
        else:
            found.append(("range of levels without order", tuple(series.dropna().iloc[:2].tolist()), ["no order"]))
    return found


# --- the judge --------------------------------------------------------------------------------------------------


def verdict(case: Case, outcome: Any, error_kind: type[Exception], met_by_chance: Callable[[Mask], int]) -> str:
    """Say what is wrong with an answer, a sample or the exception that came instead; "" for nothing.

    Parameters
    ----------
    case : Case
    outcome : DataFrame or Exception
    error_kind : type
        The one kind of error that may be raised.
    met_by_chance : callable
        How many rows of a large sample without conditions meet a mask; asked where it is not known whether a
        condition is possible, and an error came.
    """
    if isinstance(outcome, pd.DataFrame):
        if case.possible is False:
            return "answered, and it is impossible"
        if len(outcome) != case.expected_rows:
            return f"{len(outcome)} rows for {case.expected_rows}"
        return "" if bool(np.all(case.holds(outcome))) else f"{int((~case.holds(outcome)).sum())} rows break it"
    if case.possible:
        return f"refused, and it is possible: {outcome}"
    return _unclear(case, outcome, error_kind) or _refused_wrongly(case, met_by_chance)


def _unclear(case: Case, error: Exception, error_kind: type[Exception]) -> str:
    text = str(error)
    if type(error) is not error_kind:
        return f"{type(error).__name__} instead of {error_kind.__name__}: {text}"
    lacking = [word for word in case.named if word not in text]
    if lacking:
        return f"the error does not name {lacking}: {text}"
    if not REMEDY.search(text) or "\n" in text or len(text) > 700:
        return f"the error is long or without remedy: {text}"
    return ""


def _refused_wrongly(case: Case, met_by_chance: Callable[[Mask], int]) -> str:
    if case.possible is False:
        return ""
    count = met_by_chance(case.holds)
    return f"refused, and {count} drawn rows meet it" if count else ""
