"""Singling out: a condition, read off the synthetic table, that exactly one row of the real table meets.

Two ways to guess conditions (after Giomi et al. 2023):

- *univariate*: one value that a single synthetic row has, or being beyond the least or the greatest synthetic number;
- *multivariate*: a synthetic row's values in a few columns, numbers as "at least" or "at most", such that no other
  synthetic row meets all of them.

A condition that some share w of the population meets isolates one row of n by luck with chance n w (1-w)^(n-1), up to
37 %. So real table, holdout and synthetic table are cut to the same number of rows, and the holdout tells the luck.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.evaluation.attacks.attack import Attack
from privsynth.evaluation.binning import as_numbers, as_values, column_kind
from privsynth.evaluation.intervals import Rate
from privsynth.evaluation.space import at_most

_MAX_ROWS = 20_000
_MOST_COLUMNS = 8  # the more, the fewer rows of the population meet a condition by luck
_WORRY = "Worry when the attack lies above the control: the conditions point at rows that were learned, not at luck."

# Each column of each table as numbers: values, or codes of categories; NaN where missing.
_Numbers = list[npt.NDArray[np.float64]]
# Terms of a condition: column, relation ("==", ">=", "<=") and value.
_Term = tuple[int, str, float]


def singling_out(
    real: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    rng: np.random.Generator,
    guesses: int = 500,
) -> tuple[Attack, Attack]:
    """Guess conditions that isolate a row: by one column, and by several.

    Parameters
    ----------
    real, holdout, synthetic : DataFrames
        They are cut to the same number of rows, at most 20,000.
    guesses : int
        How many conditions of each kind, at most.

    Returns
    -------
    univariate, multivariate : Attack
    """
    n = min(len(real), len(holdout), len(synthetic), _MAX_ROWS)
    tables = [at_most(frame[real.columns], n, rng) for frame in (real, holdout, synthetic)]
    ordered, (left, held, released) = _as_numbers(tables)
    shuffled = [column[rng.permutation(n)] for column in released]  # what is guessed from single columns alone
    found = []
    for name, guess in (("univariate", _univariate), ("multivariate", _multivariate)):
        conditions = guess(released, ordered, rng, guesses)
        blind = [_random_condition(len(terms), shuffled, ordered, rng) for terms in conditions]
        found.append(
            Attack(
                f"Singling out, {name}",
                Rate.of(_isolates(conditions, left)),
                Rate.of(_isolates(conditions, held)),
                Rate.of(_isolates(blind, left)),
                f"How often a condition on {_WORDS[name]}, found in the synthetic table, is met by one real row only.",
                _WORRY,
                notes=(f"{len(conditions)} conditions on {n} rows of each table.",),
            )
        )
    return found[0], found[1]


_WORDS = {"univariate": "one column", "multivariate": "several columns"}


def _as_numbers(tables: list[pd.DataFrame]) -> tuple[list[bool], list[_Numbers]]:
    """Return which columns are ordered, and the columns of each table as numbers that mean the same in all."""
    ordered, columns = [], []
    for name in tables[0].columns:
        kind = column_kind(tables[0][name])
        ordered.append(kind in ("numeric", "datetime"))
        if ordered[-1]:
            columns.append([as_numbers(frame[name], kind) for frame in tables])
            continue
        codes, _ = pd.factorize(np.concatenate([as_values(frame[name]) for frame in tables]))
        plain = np.where(codes < 0, np.nan, codes.astype(float))
        columns.append(np.split(plain, np.cumsum([len(frame) for frame in tables])[:-1]))
    return ordered, [[column[i] for column in columns] for i in range(len(tables))]


def _meets(terms: list[_Term], columns: _Numbers) -> npt.NDArray[np.bool_]:
    met = np.ones(len(columns[0]), dtype=bool)
    compare: dict[str, Callable[[Any, Any], Any]] = {
        "==": np.equal,
        ">=": np.greater_equal,
        "<=": np.less_equal,
    }
    for place, relation, value in terms:
        met &= compare[relation](columns[place], value)
    return met


def _isolates(conditions: list[list[_Term]], columns: _Numbers) -> npt.NDArray[np.bool_]:
    return np.array([int(_meets(terms, columns).sum()) == 1 for terms in conditions], dtype=bool)


def _univariate(released: _Numbers, ordered: list[bool], rng: np.random.Generator, guesses: int) -> list[list[_Term]]:
    conditions: list[list[_Term]] = []
    for place, column in enumerate(released):
        present = column[~np.isnan(column)]
        values, counts = np.unique(present, return_counts=True)
        conditions += [[(place, "==", float(value))] for value in values[counts == 1]]
        if ordered[place] and len(values):
            conditions += [[(place, "<=", float(values[0]))], [(place, ">=", float(values[-1]))]]
    chosen = rng.permutation(len(conditions))[:guesses]
    return [conditions[i] for i in chosen]


def _multivariate(released: _Numbers, ordered: list[bool], rng: np.random.Generator, guesses: int) -> list[list[_Term]]:
    middles = [np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else np.nan for c in released]
    conditions: list[list[_Term]] = []
    for _ in range(10 * guesses):
        if len(conditions) == guesses or len(released) < 2:
            break
        row = int(rng.integers(len(released[0])))
        size = int(rng.integers(2, min(_MOST_COLUMNS, len(released)) + 1))
        places = rng.choice(len(released), size=size, replace=False)
        terms = [_term(int(p), float(released[p][row]), middles[p], ordered[p]) for p in places]
        terms = [term for term in terms if not np.isnan(term[2])]
        if terms and int(_meets(terms, released).sum()) == 1:
            conditions.append(terms)
    return conditions


def _term(place: int, value: float, middle: float, is_ordered: bool) -> _Term:
    relation = "==" if not is_ordered else ">=" if value > middle else "<="
    return place, relation, value


def _random_condition(size: int, shuffled: _Numbers, ordered: list[bool], rng: np.random.Generator) -> list[_Term]:
    """Return a condition of values that need not occur together, at random relations."""
    places = rng.choice(len(shuffled), size=min(size, len(shuffled)), replace=False)
    terms = []
    for place in map(int, places):
        value = float(shuffled[place][rng.integers(len(shuffled[place]))])
        relation = "==" if not ordered[place] else (">=", "<=")[int(rng.integers(2))]
        terms.append((place, relation, value))
    return terms
