r"""The log density of given rows under a fitted mixture: what conditions are computed from, for whole rows.

A row has probability ``sum_k w_k prod_j sum_c p_kj(c) l_j(v_j | c)``, where l_j is 1 for a level, the level's
released share of a cell that several share, and for a number its leaf's released share of the cell, divided by
the width of the leaf: within a leaf all values are equally likely.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import DataError
from privsynth.synthesizers.sampling import Sampler
from privsynth.tables import to_native, to_text_names
from privsynth.training.history import Progress
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.evidence import Evidence, observe, observe_parts

_AT_ONCE = 2048  # rows whose likelihoods under 1024 components are held at the same time: 16 MB


def read_rows(X: Any, columns: list[str], *, owner: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Turn what a method was given into a frame of columns that the model has; never changes the caller's.

    Returns
    -------
    frame : DataFrame
        In pandas' own data types.
    arrow : dict of str to str
        The columns that pyarrow backs, for `from_native`.

    Raises
    ------
    DataError
        For anything that is no table, and for columns that the model does not know.
    """
    if isinstance(X, np.ndarray) and X.ndim == 2:
        X = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    if not isinstance(X, pd.DataFrame):
        raise DataError(f"{owner} needs a pandas DataFrame. Got {type(X).__name__}. Use pd.DataFrame(...).")
    frame, _ = to_text_names(X)
    if frame.columns.has_duplicates:
        twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
        raise DataError(f"{owner}: column names must be distinct. These occur more than once: {twice}. Rename them.")
    if unknown := [name for name in frame.columns if name not in columns]:
        raise DataError(f"{owner}: the model has no columns {unknown}. It has {columns}. Drop or rename them.")
    return to_native(frame)


def evidence_of(sampler: Sampler, frame: pd.DataFrame, gaps: dict[str, IntArray] | None = None) -> dict[str, Evidence]:
    """Return the evidence of rows on each learned column that they say anything of."""
    found: dict[str, Evidence] = {}
    for column in sampler.encoder.columns:
        if column.name in sampler.joints:
            joint = sampler.joints[column.name]
            if any(part.name in frame for part in joint.parts):
                found[column.name] = observe_parts(joint, frame, gaps)
        elif column.name in frame:
            here = None if gaps is None else gaps[column.name]
            found[column.name] = observe(column, frame[column.name], gaps=here)
    return found


def log_density(sampler: Sampler, frame: pd.DataFrame, progress: Progress) -> FloatArray:
    """Return the log density of each row over the learned columns it has, shape (n_rows,); -inf for impossible ones."""
    found = evidence_of(sampler, frame)
    if not found:
        raise DataError(
            f"score_samples: no column was learned among {list(frame.columns)}. Learned were "
            f"{sampler.encoder.layout.names}."
        )
    mixture, scores = sampler.mixture, np.empty(len(frame))
    with np.errstate(divide="ignore"):
        prior = np.log(mixture.weights)
        for start in range(0, len(frame), _AT_ONCE):
            total = np.tile(prior, (len(scores[start : start + _AT_ONCE]), 1))
            for name, evidence in found.items():
                states, place = np.unique(evidence.state[start : start + _AT_ONCE], return_inverse=True)
                cells = mixture.probabilities[:, mixture.layout[name].slice]
                total += np.log(evidence.likelihood[states] @ cells.T)[place]
            top = total.max(axis=1, keepdims=True)
            shift = np.where(np.isfinite(top), top, 0.0)
            progress("score", min(start + _AT_ONCE, len(frame)), len(frame), {})
            scores[start : start + _AT_ONCE] = np.log(np.exp(total - shift).sum(axis=1)) + shift[:, 0]
    return scores
