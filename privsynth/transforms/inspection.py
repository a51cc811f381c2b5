"""What the values of a column are like, where neither a declaration nor its data type says: from released counts.

One mechanism for all columns in question, a histogram each (a row is in one bin of each):

* text and object columns: which form each cell has (`privsynth.transforms.patterns`): text, a number or date
  written as text, an e-mail address, a card number, ...; and one more count, of the distinct cells, to which
  another row adds one at most;
* times: what each is whole in (days, hours, minutes, seconds);
* floats: how many decimals each has, or whether it is infinite.

So the L2 sensitivity is the root of the number of histograms and counts of distinct cells. What is concluded is
post-processing: columns become dates, numbers or identifiers, and those are modelled, or made up, as such.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from privsynth._reading import distinct_cells, read_numbers
from privsynth.errors import PrivsynthWarning
from privsynth.kinds import Categorical, Continuous, Datetime, Identifier
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.rules import Formula
from privsynth.schema import Schema
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.grids import (
    DECIMAL_CODES,
    RESOLUTION_CODES,
    decimals_of,
    read_decimals,
    read_resolution,
    resolution_of,
)
from privsynth.transforms.naming import identifier_from_name
from privsynth.transforms.patterns import FORMS, forms_of, read_forms

INSPECTION = "forms of values"
_PRESENT = np.array([form not in ("missing", "blank") for form in FORMS])
_ALL_DISTINCT = 0.9  # of the texts that are there: keys, or free text
_LEAST_NOISES = 8  # fewer distinct texts than that many standard deviations are not told from noise
_INFINITE = 6  # standard deviations: noise alone tells of infinite values in one of 10^9 columns


@dataclass(frozen=True)
class Question:
    """What is asked of a column: its "form", "resolution" or "decimals"; of forms also how many are distinct."""

    about: str

    @property
    def squared_sensitivity(self) -> int:
        """The most that one row changes the squared L2 norm of the answer."""
        return 2 if self.about == "form" else 1


def questions(schema: Schema, dtypes: Mapping[str, Any], undeclared: set[str]) -> dict[str, Question]:
    """Return what has to be asked of which columns: from public things alone.

    Parameters
    ----------
    schema : Schema
        All columns (`resolve_schema`).
    dtypes : mapping of str to dtype
        Their data types.
    undeclared : set of str
        Names of columns that were not declared and may become another kind.
    """
    asked = {}
    computed = {rule.column for rule in schema.rules if isinstance(rule, Formula)}
    for name, column in schema.items():
        if name in computed:
            continue
        if isinstance(column, Datetime) and column.resolution is None and column.format is None:
            asked[name] = Question("resolution")
        elif isinstance(column, Continuous) and column.decimals is None and column.form == "number":
            asked[name] = Question("decimals")
        elif name in undeclared and isinstance(column, Categorical) and _is_text(dtypes[name]):
            asked[name] = Question("form")
    return asked


def _is_text(dtype: Any) -> bool:
    return pd.api.types.is_object_dtype(dtype) or (
        pd.api.types.is_string_dtype(dtype) and not isinstance(dtype, pd.CategoricalDtype)
    )


def name_identifiers(schema: Schema, dtypes: Mapping[str, Any], undeclared: set[str]) -> Schema:
    """Return `schema` with the undeclared columns that are identifiers by name and data type, which are public."""
    named = {name: identifier_from_name(name, dtypes[name]) for name in undeclared}
    return schema.with_columns({name: named.get(name) or column for name, column in schema.items()})


def inspect(
    frame: pd.DataFrame, schema: Schema, asked: Mapping[str, Question], mechanisms: Mechanisms, *, kept: set[str]
) -> Schema:
    """Answer `asked` by one release and return the schema that follows from it.

    Parameters
    ----------
    frame : DataFrame
        Private rows; read through `mechanisms` only.
    schema : Schema
        All columns.
    asked : mapping of str to Question
        From `questions`.
    mechanisms : Mechanisms
        With `INSPECTION` allotted if anything is asked.
    kept : set of str
        Columns that stay modelled whatever they look like: targets, conditions.
    """
    if not asked:
        return schema
    exact = [_count(frame[name], question) for name, question in asked.items()]
    sensitivity = float(np.sqrt(sum(question.squared_sensitivity for question in asked.values())))
    release = mechanisms.counts(INSPECTION, np.concatenate(exact), sensitivity=sensitivity)
    answers = np.split(release.values, np.cumsum([len(e) for e in exact])[:-1])
    columns, infinite = dict(schema), []
    for (name, question), noisy in zip(asked.items(), answers, strict=True):
        found = _conclude(name, columns[name], question, noisy, release.scale, name in kept)
        if question.about == "decimals" and found.decimals is None and frame.dtypes[name].kind == "m":
            found = replace(found, decimals=6)  # microseconds: what durations are written in
        columns[name] = found
        if question.about == "decimals" and noisy[-1] > _INFINITE * release.scale:
            infinite.append(name)
    if infinite:
        warnings.warn(f"Infinite values in {infinite} are taken as missing.", PrivsynthWarning, stacklevel=5)
    return schema.with_columns(columns)


def _count(series: pd.Series, question: Question) -> IntArray:
    """Return the exact answer: a histogram; of forms, then also the number of distinct cells."""
    if question.about == "resolution":
        return np.bincount(resolution_of(read_numbers(series)), minlength=len(RESOLUTION_CODES)).astype(np.int64)
    if question.about == "decimals":
        dtype = str(series.dtype).lower()
        codes = decimals_of(read_numbers(series), dtype if dtype in ("float16", "float32") else "float64")
        if pd.api.types.is_numeric_dtype(series.dtype):
            codes[np.isinf(series.to_numpy(dtype=np.float64, na_value=np.nan))] = len(DECIMAL_CODES)
        return np.bincount(codes, minlength=len(DECIMAL_CODES) + 1).astype(np.int64)
    forms = np.bincount(forms_of(series), minlength=len(FORMS))
    return np.append(forms, _n_distinct(series)).astype(np.int64)


def _n_distinct(series: pd.Series) -> int:
    """Count distinct cells as they are written: another row adds one at most."""
    return len(distinct_cells(series, str)[1])


def _conclude(name: str, column: Any, question: Question, noisy: FloatArray, noise: float, kept: bool) -> Any:
    """Return what a column is taken for, from its released answer."""
    n_rows = float(noisy[: len(FORMS)].sum()) if question.about == "form" else float(noisy.sum())
    if question.about == "resolution":
        return replace(column, resolution=read_resolution(noisy, n_rows=n_rows, noise=noise) or "second")
    if question.about == "decimals":
        finite = noisy[:-1].copy()
        finite[-1] += noisy[-1]  # infinite values are missing
        return replace(column, decimals=read_decimals(finite, n_rows=n_rows, noise=noise))
    forms, n_distinct = noisy[:-1], float(noisy[-1])
    found = read_forms(forms, n_rows=n_rows, noise=noise)
    if found is not None and not (kept and isinstance(found, Identifier)):
        return (
            replace(found, unique=_all_distinct(forms, n_distinct, noise)) if isinstance(found, Identifier) else found
        )
    if not kept and _all_distinct(forms, n_distinct, noise):
        return Identifier(prefix=name)
    return column


def _all_distinct(forms: FloatArray, n_distinct: float, noise: float) -> bool:
    """Whether nearly all cells that are there are distinct, as far as the noise can tell."""
    present = float(forms[_PRESENT].sum())
    return n_distinct >= max(_ALL_DISTINCT * present - 2 * noise, 0.8 * present, _LEAST_NOISES * noise)
