"""Compare a synthetic table with the real one: fidelity and utility, as one plain dict.

The result reads the real table, so it is for the data holder and *outside* the differential-privacy
guarantee: do not publish it beside the synthetic table. `privsynth.report` renders the dict as HTML.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from typing import Any

import numpy as np
import pandas as pd

from privsynth._checks import parameter_error
from privsynth._random import as_generator
from privsynth._version import __version__
from privsynth.errors import DataError
from privsynth.evaluation.binning import as_values, column_kind
from privsynth.evaluation.fidelity import MarginalTVD, marginal_tvd
from privsynth.evaluation.marginals import column_marginal
from privsynth.evaluation.quality import Quality, sdmetrics_quality
from privsynth.evaluation.result import Evaluation
from privsynth.evaluation.score import SECTIONS, Block, Score
from privsynth.evaluation.utility import Utility, train_synthetic_test_real

_LIBRARIES = ("numpy", "pandas", "scikit-learn", "sdmetrics")
_N_WORST = 10
_NOTHING = MarginalTVD(1, {})


def evaluate(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    holdout: pd.DataFrame | None = None,
    target: Any = None,
    random_state: Any = 0,
) -> Evaluation:
    """Compare a synthetic table with the real table it was learned from.

    Parameters
    ----------
    real : DataFrame of shape (n_real, n_columns)
        The rows that the synthesizer was fitted on.
    synthetic : DataFrame of shape (n_synthetic, n_columns)
        The same columns in any order.
    holdout : DataFrame of shape (n_holdout, n_columns), optional
        Real rows that the synthesizer has *not* seen. They give every score its reference (what real rows
        get) and make the utility test honest. Without: two random halves of `real` for the reference of the
        distances, and a random 20 % of it for utility, which is then optimistic.
    target : column name, optional
        Adds utility: models that predict this column, learned from synthetic and from real rows.
    random_state : int, Generator or None
        Seed of splits, subsamples and models.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        If the tables cannot be compared: other columns, other kinds of columns, no rows.
    ParameterError
        If `target` is no column.

    Examples
    --------
    >>> frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 25, "y": ["a", "b"] * 50})
    >>> evaluation = evaluate(frame, frame)
    >>> evaluation.scores["1-way TVD"], evaluation.scores["Quality"]
    (0.0, 1.0)
    """
    _check_tables(real, synthetic, holdout, target)
    rng = as_generator(random_state, "evaluate")
    identifiers = [name for name in real.columns if name != target and _is_identifier(real[name])]
    columns = [name for name in real.columns if name not in identifiers]
    if not columns:
        raise DataError("Every column of the real table is an identifier (all values distinct): nothing to compare.")
    left, right = real[columns], synthetic[columns]
    held = None if holdout is None else holdout[columns]
    found, reference = _compare(left, right, rng), _reference(left, held, rng)
    utility = None
    if target is not None:
        utility = train_synthetic_test_real(left, right, target=target, holdout=held, random_state=rng)
    scores = _headline(found, reference, utility, held is not None)
    blocks = {
        section: [_overview(section, [score for score in scores if score.section == section])]
        for section in SECTIONS
        if any(score.section == section for score in scores)
    }
    return Evaluation(
        {
            "format": "privsynth.evaluation/2",
            "reads_real": True,
            "scores": [score.to_dict() for score in scores],
            "sections": {section: [block.to_dict() for block in blocks.get(section, [])] for section in SECTIONS},
            "utility": None if utility is None else utility.to_dict(),
            "columns": _columns(left, right, found, reference),
            "pairs": _pairs(columns, found),
            "run": _run(real, synthetic, holdout, random_state),
            "notes": _notes(identifiers, found.quality, utility),
        }
    )


def _check_tables(real: Any, synthetic: Any, holdout: Any, target: Any) -> None:
    tables = {"real": real, "synthetic": synthetic} | ({} if holdout is None else {"holdout": holdout})
    for name, table in tables.items():
        if not isinstance(table, pd.DataFrame):
            raise parameter_error("evaluate", name, "a pandas DataFrame", type(table).__name__)
        if table.columns.has_duplicates:
            twice = list(table.columns[table.columns.duplicated()].unique())
            raise DataError(f"The {name} table has several columns of one name: {twice}. Rename them.")
        if not len(table) or not len(table.columns):
            raise DataError(f"The {name} table is empty: {len(table)} rows, {len(table.columns)} columns. Pass rows.")
        missing = [column for column in real.columns if column not in table.columns]
        extra = [column for column in table.columns if column not in real.columns]
        if missing or extra:
            raise DataError(
                f"The {name} table must have the columns of the real table. "
                f"Missing: {missing}. Extra: {extra}. Rename or drop columns so that they agree."
            )
    if target is not None and target not in real.columns:
        wanted = "None or a column of the real table: " + ", ".join(map(str, real.columns))
        raise parameter_error("evaluate", "target", wanted, target)


def _is_identifier(column: pd.Series) -> bool:
    """Whether nearly every value is distinct, so that shares of values say nothing."""
    if column_kind(column) != "categorical" or len(column) < 50:
        return False
    present = pd.Series(as_values(column), dtype=object).dropna()
    return bool(present.nunique() >= 0.95 * max(len(present), 1) > 0)


@dataclasses.dataclass(frozen=True)
class _Fidelity:
    one: MarginalTVD
    two: MarginalTVD
    quality: Quality


def _compare(real: pd.DataFrame, other: pd.DataFrame, rng: np.random.Generator) -> _Fidelity:
    return _Fidelity(
        one=marginal_tvd(real, other, order=1),
        two=marginal_tvd(real, other, order=2),
        quality=sdmetrics_quality(real, other, random_state=rng),
    )


def _reference(real: pd.DataFrame, holdout: pd.DataFrame | None, rng: np.random.Generator) -> _Fidelity | None:
    """Compare two sets of real rows: what new rows from the real population would get."""
    if holdout is not None:
        return _compare(real, holdout, rng)
    if len(real) < 2:
        return None
    order = rng.permutation(len(real))
    half = len(real) // 2
    return _compare(real.iloc[order[:half]], real.iloc[order[half:]], rng)


def _headline(found: _Fidelity, reference: _Fidelity | None, utility: Utility | None, has_holdout: bool) -> list[Score]:
    halves = "Reference: one random half of the real table to the other."
    note = "Reference: the holdout." if has_holdout else halves
    best = reference or _Fidelity(_NOTHING, _NOTHING, Quality(None, None, None, {}, {}))
    scores = [
        Score(
            "Quality",
            found.quality.overall,
            best.quality.overall,
            note=f"{note} {found.quality.note}".strip(),
            meaning="SDMetrics: mean of the next two. 1 is best.",
            worry="Worry when it is more than a few hundredths below what real rows get.",
        ),
        Score(
            "Column Shapes",
            found.quality.column_shapes,
            best.quality.column_shapes,
            note=note,
            meaning="Does each column alone have the right distribution? 1 is the same.",
            worry="Worry when it is below the reference: look which columns are listed first.",
        ),
        Score(
            "Column Pair Trends",
            found.quality.pair_trends,
            best.quality.pair_trends,
            note=note,
            meaning="Do pairs of columns hang together as in the real table? 1 is the same.",
            worry="Worry when it falls while Column Shapes is high: columns were learned, but not together.",
        ),
        Score(
            "1-way TVD",
            found.one.mean,
            best.one.mean,
            "lower",
            note,
            "Share of rows to move to another cell until a column agrees, mean over columns: 0 is best.",
            worry="Worry when it is several times the reference and above 0.05: counts of single columns are off.",
        ),
        Score(
            "2-way TVD",
            found.two.mean,
            best.two.mean,
            "lower",
            note,
            "The same for pairs of columns: it sees whether columns still belong together. 0 is best.",
            worry="Worry when it is far above the reference: cross tables of the synthetic rows are off.",
        ),
    ]
    scores = [dataclasses.replace(score, section="fidelity") for score in scores]
    if utility is not None:
        scores += [_as_headline(score, utility.note) for score in utility.scores]
    return [score.judged(watch=0.02, bad=0.10) for score in scores]


def _overview(section: str, scores: list[Score]) -> Block:
    return Block(f"{section.capitalize()} at a glance", "", "", tuple(scores))


def _as_headline(score: Score, note: str) -> Score:
    return dataclasses.replace(
        score,
        name=f"TSTR {score.name}",
        note=f"Reference: learned from real rows. {note}".strip(),
        section="utility",
        worry="Worry when it is clearly below the reference: a model learned from synthetic rows is worth less.",
    )


def _columns(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    found: _Fidelity,
    reference: _Fidelity | None,
) -> list[dict[str, Any]]:
    """Describe each column, the one that is furthest off first."""
    return [
        {
            "name": str(name),
            "kind": column_kind(real[name]),
            "tvd": tvd,
            "tvd_reference": None if reference is None else reference.one.values[(name,)],
            "shape": found.quality.columns[name],
            "missing_real": float(real[name].isna().mean()),
            "missing_synthetic": float(synthetic[name].isna().mean()),
            "marginal": column_marginal(real[name], synthetic[name]).to_dict(),
        }
        for (name,), tvd in found.one.worst(len(found.one.values))
    ]


def _pairs(columns: list[Any], found: _Fidelity) -> dict[str, Any]:
    place = {name: i for i, name in enumerate(columns)}
    matrix = [[0.0] * len(columns) for _ in columns]
    for (a, b), tvd in found.two.values.items():
        matrix[place[a]][place[b]] = matrix[place[b]][place[a]] = tvd
    worst = [
        {"a": str(a), "b": str(b), "tvd": tvd, "trend": found.quality.pairs.get((a, b))}
        for (a, b), tvd in found.two.worst(_N_WORST)
    ]
    return {"names": [str(name) for name in columns], "tvd": matrix, "worst": worst}


def _run(real: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame | None, seed: Any) -> dict[str, Any]:
    return {
        "rows_real": len(real),
        "rows_synthetic": len(synthetic),
        "rows_holdout": None if holdout is None else len(holdout),
        "n_columns": len(real.columns),
        "random_state": int(seed) if isinstance(seed, (int, np.integer)) else None,
        "versions": {"privsynth": __version__} | {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def _notes(identifiers: list[Any], quality: Quality, utility: Utility | None) -> list[str]:
    notes = []
    if identifiers:
        names = ", ".join(map(str, identifiers))
        notes.append(f"Left out as identifiers (nearly every value is distinct): {names}.")
    notes += [f"SDMetrics: {quality.note}"] if quality.note else []
    return notes + ([utility.note] if utility is not None and utility.note else [])
