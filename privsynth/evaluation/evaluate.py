"""Compare a synthetic table with the real one: fidelity, utility, privacy and fairness, as one plain dict.

The result reads the real table, so it is for the data holder and *outside* the differential-privacy
guarantee: do not publish it beside the synthetic table. `privsynth.report` renders the dict as HTML.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from privsynth._checks import parameter_error
from privsynth._random import as_generator
from privsynth._version import __version__
from privsynth.errors import DataError
from privsynth.evaluation.attacks.copies import identifier_blocks
from privsynth.evaluation.attacks.section import FEWEST_HOLDOUT, NO_HOLDOUT, privacy_section
from privsynth.evaluation.attacks.shadow import FitSample
from privsynth.evaluation.binning import as_values, column_kind, is_class_like
from privsynth.evaluation.fairness import fairness_blocks
from privsynth.evaluation.joint import with_joint_shares
from privsynth.evaluation.learning import learn_all
from privsynth.evaluation.of_model import facts_of
from privsynth.evaluation.overview import Overview, fidelity_blocks
from privsynth.evaluation.pairing import Pairing
from privsynth.evaluation.quality import Quality
from privsynth.evaluation.result import Evaluation
from privsynth.evaluation.score import SECTIONS, Block
from privsynth.evaluation.usefulness import Usefulness

_HEADLINE = ("Detection ROC AUC", "Coverage", "Rule violations")  # of fidelity, beside what is always computed
_LIBRARIES = ("numpy", "pandas", "scikit-learn", "sdmetrics")


def evaluate(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    holdout: pd.DataFrame | None = None,
    target: Any = None,
    conditions: Sequence[Any] | None = None,
    model: Any = None,
    fit_sample: FitSample | None = None,
    sections: Sequence[str] = SECTIONS,
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
        get), make the utility test honest, and are the control of the attacks. Without: two random halves of
        `real` for the reference of the distances, a random 20 % of it for utility, which is then optimistic, and no
        attacks.
    target : column name, optional
        Adds utility: models that predict this column, learned from synthetic and from real rows. And it is a
        secret of attribute inference, and the outcome of fairness.
    conditions : sequence of column names, optional
        Columns by whose values results are split: fidelity within each value, and the groups of fairness. By
        default the target, if it has classes.
    model : fitted synthesizer or Schema, optional
        Its declared rules are checked; the report shows the certificate and the learning curve of a synthesizer.
    fit_sample : callable, optional
        ``fit_sample(frame)`` fits to a frame and returns synthetic rows. Adds an attack with shadow models on the rows
        most at risk, of 32 fits.
    sections : sequence of str
        Which of "fidelity", "utility", "privacy" and "fairness" to compute. The headline of fidelity always is.
    random_state : int, Generator or None
        Seed of splits, subsamples and models.

    Returns
    -------
    Evaluation
        Not private: all of it reads the real table.

    Raises
    ------
    DataError
        If the tables cannot be compared: other columns, other kinds of columns, no rows.
    ParameterError
        If `target` or a condition is no column.

    Examples
    --------
    >>> frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 25, "y": ["a", "b"] * 50})
    >>> evaluation = evaluate(frame, frame)
    >>> evaluation.scores["1-way TVD"], evaluation.scores["Quality"]
    (0.0, 1.0)
    """
    _check_tables(real, synthetic, holdout)
    split_by = _check_names(real, target, conditions, sections)
    rng = as_generator(random_state, "evaluate")
    identifiers = [name for name in real.columns if name not in (target, *split_by) and _is_identifier(real[name])]
    columns = [name for name in real.columns if name not in identifiers]
    if not columns:
        raise DataError("Every column of the real table is an identifier (all values distinct): nothing to compare.")
    held = None if holdout is None else holdout[columns]
    # A generator a part: what is computed must not depend on what else is asked for.
    streams = dict(zip(("pairs", *SECTIONS, "models"), rng.spawn(len(SECTIONS) + 2), strict=True))
    pairing = Pairing.of(real[columns], synthetic, held, streams["pairs"])
    overview = Overview.of(pairing, streams["pairs"])
    scores, blocks = overview.headline(), {section: list[Block]() for section in SECTIONS}
    notes = _notes(identifiers, overview.quality)
    if "fidelity" in sections:
        blocks["fidelity"] = fidelity_blocks(pairing, overview, split_by, model, streams["fidelity"])
        scores += [s for block in blocks["fidelity"] for s in block.scores if s.name in _HEADLINE]
    learning = utility = None
    if target is not None and not {"utility", "fairness"}.isdisjoint(sections):
        learning = learn_all(pairing.real, pairing.synthetic, target=target, holdout=held, rng=streams["models"])
        notes += learning.notes
    if learning is not None and "utility" in sections:
        usefulness = Usefulness(learning, streams["utility"])
        headline = usefulness.headline()
        utility, blocks["utility"] = usefulness.to_utility(headline), usefulness.blocks(headline)
        scores += headline
    if "privacy" in sections:
        if held is not None and len(held) >= FEWEST_HOLDOUT:
            headline, blocks["privacy"], warned = privacy_section(
                pairing.real, pairing.synthetic, held, target=target, fit_sample=fit_sample, rng=streams["privacy"]
            )
            scores += headline
            notes += warned
        else:
            notes.append(NO_HOLDOUT)
        blocks["privacy"] += identifier_blocks(real, synthetic, identifiers)
    if "fairness" in sections:
        blocks["fairness"] = fairness_blocks(pairing, split_by, learning, streams["fairness"])
    return Evaluation(
        {
            "format": "privsynth.evaluation/2",
            "reads_real": True,
            "scores": [score.to_dict() for score in scores],
            "sections": {section: [block.to_dict() for block in blocks[section]] for section in SECTIONS},
            "utility": None if utility is None else utility.to_dict(),
            "columns": overview.columns(pairing),
            "pairs": with_joint_shares(overview.pairs(), pairing.real, pairing.synthetic),
            "model": facts_of(model),
            "run": _run(real, synthetic, holdout, random_state),
            "notes": notes,
        }
    )


def _check_tables(real: Any, synthetic: Any, holdout: Any) -> None:
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


def _check_names(real: pd.DataFrame, target: Any, conditions: Any, sections: Any) -> list[Any]:
    """Check what is named, and return the conditions."""
    wanted = "a column of the real table: " + ", ".join(map(str, real.columns))
    if target is not None and target not in real.columns:
        raise parameter_error("evaluate", "target", f"None or {wanted}", target)
    if isinstance(conditions, str) or not isinstance(conditions, (Sequence, type(None))):
        raise parameter_error("evaluate", "conditions", "a list of columns", conditions)
    for name in conditions or ():
        if name not in real.columns:
            raise parameter_error("evaluate", "conditions", f"a list, each {wanted}", name)
    if isinstance(sections, str) or not set(sections) <= set(SECTIONS):
        raise parameter_error("evaluate", "sections", "a list of some of " + ", ".join(SECTIONS), sections)
    if conditions is None:
        return [target] if target is not None and is_class_like(real[target]) else []
    return list(dict.fromkeys(conditions))


def _is_identifier(column: pd.Series) -> bool:
    """Whether nearly every value is distinct, so that shares of values say nothing."""
    if column_kind(column) != "categorical" or len(column) < 50:
        return False
    present = pd.Series(as_values(column), dtype=object).dropna()
    return bool(present.nunique() >= 0.95 * max(len(present), 1) > 0)


def _run(real: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame | None, seed: Any) -> dict[str, Any]:
    return {
        "rows_real": len(real),
        "rows_synthetic": len(synthetic),
        "rows_holdout": None if holdout is None else len(holdout),
        "n_columns": len(real.columns),
        "random_state": int(seed) if isinstance(seed, (int, np.integer)) else None,
        "versions": {"privsynth": __version__} | {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def _notes(identifiers: list[Any], quality: Quality) -> list[str]:
    notes = []
    if identifiers:
        names = ", ".join(map(str, identifiers))
        notes.append(f"Left out as identifiers (nearly every value is distinct): {names}.")
    return notes + ([f"SDMetrics: {quality.note}"] if quality.note else [])
