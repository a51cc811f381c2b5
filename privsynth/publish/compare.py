r"""A synthetic table against the noisy tables that its model was learned from: nothing here reads a private row.

Of a cell with released count x (noise s, about n rows) and a share p of m synthetic rows, the difference p - x/n has
the standard deviation

    sd = sqrt((s / n)^2 + q (1 - q) / m),    q = x / n cut to [0, 1]

at most, if the model is as near to the private table as can be told; rows that are not drawn one by one, but spread
evenly over the model, have less of the second part, so that a little less can be seen than there is.
*Distance* is the root mean square of differences in
units of sd: 1 is what noise and sampling make by themselves.  *TVD* is half the sum of absolute differences, and
half the sum of sd * sqrt(2/pi) is what noise and sampling alone make of it: what is above that can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth._version import __version__
from privsynth.errors import BundleError, DataError, PrivacyError
from privsynth.publish.foreign import foreign_columns
from privsynth.synthesizers.ctgan import CTGAN
from privsynth.tables import as_frame, to_native, to_text_names
from privsynth.training.grouping import summed
from privsynth.training.measure import Pair
from privsynth.training.releases import Counts
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.columns import ColumnTransform
from privsynth.transforms.labels import cell_labels, display_order
from privsynth.transforms.layout import Layout, Span
from privsynth.transforms.reshape import Reshape

_GOOD, _BAD = 0.02, 0.08  # of rows, beyond noise
_RULE = (
    f"Good: at most {_GOOD:.0%} of the rows further away than noise explains; bad: more than {_BAD:.0%}; between: "
    "watch. The limits are by convention."
)
_WORST = 20
_MOST = 1 << 53  # rows


def compare(model: CTGAN, table: pd.DataFrame) -> dict[str, Any]:
    """Compare rows sampled from `model` with what its fit released.

    Parameters
    ----------
    model : CTGAN
        Fitted under privacy, or loaded.
    table : DataFrame
        Rows sampled from it.

    Returns
    -------
    dict
        JSON-able, of the format ``privsynth.publishable/1``: ``scores`` (as in an evaluation), ``columns`` and
        ``pairs`` with their distances, the worst first, ``certificate``, ``learning``, ``run`` and ``notes``.

    Raises
    ------
    PrivacyError
        For a model without privacy: exact tables are no releases.
    DataError
        For a table that cannot have been sampled from it.
    """
    certificate = model.certificate_
    certificate.verify()
    if not certificate.private:
        raise PrivacyError(
            "This model is not private: what it was learned from must not be published. Fit with epsilon."
        )
    codes = encoded(model, table)
    n_rows = _rows_released(model)
    columns = _columns(model, codes, n_rows)
    kept = [] if model.releases_ is None else list(model.releases_.tables)
    pairs = [pair for name in kept for pair in _pairs(model, codes, n_rows, name)]
    pairs.sort(key=lambda pair: -pair["beyond"])
    return {
        "format": "privsynth.publishable/1",
        "scores": [_score("Columns", columns), *([_score("Pairs of columns", pairs)] if pairs else [])],
        "columns": columns,
        "pairs": {"names": model.encoder_.layout.names, "n_compared": len(pairs),
                  "all": pairs, "worst": pairs[:_WORST]},
        "certificate": certificate.to_dict(),
        "learning": model.history_.to_dict(),
        "run": {"rows_synthetic": len(table), "rows_released": n_rows, "n_columns": len(model.columns_),
                "model": type(model).__name__, "versions": {"privsynth": __version__}},
        "notes": _notes(model),
        "reads_real": False,
    }  # fmt: skip


def encoded(model: CTGAN, table: pd.DataFrame) -> IntArray:
    """Return the cells of sampled rows; refuses columns and values that the model cannot have made."""
    frame = to_native(to_text_names(as_frame(table))[0])[0]
    if list(frame.columns) != list(model.columns_):
        missing, odd = set(model.columns_) - set(frame), set(frame) - set(model.columns_)
        detail = f"{sorted(missing)} are missing, {sorted(odd)} too many" if missing or odd else "the order differs"
        raise DataError(f"The table's columns are not the model's: {detail}. Take a table sampled from this model.")
    shaped = Reshape(model.schema_).forward(frame)
    if foreign := foreign_columns(model, shaped):
        raise DataError(
            f"Columns {foreign[:10]} hold values that this model never makes: the table was not sampled from it. "
            "Take one that was, and never a real one."
        )
    return model.encoder_.transform(shaped)


def _rows_released(model: CTGAN) -> int:
    """Return the released row count; refuses numbers in a model file that no fit releases."""
    n_rows, tables = model.plan_.n_rows, [] if model.releases_ is None else model.releases_.tables.values()
    counts = [model.encoder_.one_way.values, *(table.values for table in tables)]
    known = type(n_rows) is int and 1 <= n_rows <= _MOST
    if not known or any(np.abs(values).max(initial=0) > _MOST for values in counts):
        raise BundleError("The model holds counts that no fit releases. Do not trust its file; get a fresh copy.")
    return n_rows


def _columns(model: CTGAN, codes: IntArray, n_rows: int) -> list[dict[str, Any]]:
    """Compare every column with its released counts, the worst first."""
    found = []
    released = model.encoder_.one_way
    for j, column in enumerate(model.encoder_.columns):
        span = model.encoder_.layout.spans[j]
        counts = released.values[span.slice]
        shares = np.bincount(codes[:, j], minlength=span.size) / len(codes)
        order = display_order(column, counts)
        labels = cell_labels(column)
        found.append({
            "name": column.name,
            **_distances(counts / n_rows, shares, released.scale / n_rows, len(codes)),
            "marginal": {
                "labels": [labels[cell] for cell in order],
                "released": (counts[order] / n_rows).tolist(),
                "synthetic": shares[order].tolist(),
                "band": 2 * released.scale / n_rows,
                "style": "steps" if hasattr(column, "cells") else "bars",
            },
        })  # fmt: skip
    return sorted(found, key=lambda entry: -entry["beyond"])


def _pairs(model: CTGAN, codes: IntArray, n_rows: int, name: str) -> Iterator[dict[str, Any]]:
    """Compare every kept pair, by class where it was released so."""
    assert model.releases_ is not None
    counts: Counts | None = model.releases_.tables.get(name)
    if counts is None:
        return
    layout, columns = model.encoder_.layout, model.encoder_.columns
    split = model.releases_.split if counts.n_classes > 1 else None
    blocks = counts.blocks(layout) if counts.pairs else _with_class(counts, layout, split)
    split = split if counts.pairs else None
    classes = np.zeros(len(codes), dtype=np.int64) if split is None else codes[:, split]
    for number, ((i, j), block) in enumerate(blocks):
        size = block.shape
        flat = (classes * size[1] + codes[:, i]) * size[2] + codes[:, j]
        found = np.bincount(flat, minlength=block.size).reshape(size) / len(codes)
        groups = [_members(counts, c, (layout.spans[i], layout.spans[j])) for c in range(size[0])]
        released = np.concatenate([summed(b, *g).ravel() for b, g in zip(block, groups, strict=True)]) / n_rows
        shares = np.concatenate([summed(b, *g).ravel() for b, g in zip(found, groups, strict=True)])
        worst = int(np.argmax(np.abs(shares - released)))
        yield {
            "a": columns[i].name, "b": columns[j].name, "by": None if split is None else columns[split].name,
            **_distances(released, shares, counts.scale_of(number) / n_rows, len(codes)),
            "worst": {"cell": _where(worst, groups, columns[i], columns[j], None if split is None else columns[split]),
                      "released": float(released[worst]), "synthetic": float(shares[worst])},
        }  # fmt: skip


def _members(counts: Counts, c: int, spans: tuple[Span, Span]) -> tuple[IntArray, IntArray]:
    """Return the group of each cell of two columns in a class, counted from 0."""
    numbers = [np.arange(span.size) if counts.groups is None else counts.groups[c][span.slice] for span in spans]
    return numbers[0] - numbers[0][0], numbers[1] - numbers[1][0]


def _where(
    place: int,
    groups: list[tuple[IntArray, IntArray]],
    one: ColumnTransform,
    two: ColumnTransform,
    by: ColumnTransform | None,
) -> str:
    """Name the count at a place in the counts of all classes, one after the other."""
    for c, (first, second) in enumerate(groups):
        shape = (int(first.max()) + 1, int(second.max()) + 1)
        if place >= shape[0] * shape[1]:
            place -= shape[0] * shape[1]
            continue
        a, b = divmod(place, shape[1])
        named = [f"{one.name} = {_label(one, first == a)}", f"{two.name} = {_label(two, second == b)}"]
        return ", ".join([*named, *([] if by is None else [f"{by.name} = {cell_labels(by)[c]}"])])
    raise IndexError("a place beyond all counts")


def _label(column: ColumnTransform, members: npt.NDArray[np.bool_]) -> str:
    """Name a group of cells: its only one, its ends where they are in order, or the first and how many more."""
    labels = cell_labels(column)
    chosen = np.flatnonzero(members)
    if len(chosen) == 1:
        return labels[chosen[0]]
    if column.in_order:
        return f"{labels[chosen[0]]} to {labels[chosen[-1]]}"
    return f"{labels[chosen[0]]} and {len(chosen) - 1} more"


def _with_class(counts: Counts, layout: Layout, split: int | None) -> Iterator[tuple[Pair, FloatArray]]:
    """Yield columns by class as pairs with the column of the classes."""
    if split is not None:
        table = counts.values.reshape(counts.n_classes, layout.width)
        for j, span in enumerate(layout.spans):
            if j != split:
                yield (split, j), table[None, :, span.slice]


def _distances(released: FloatArray, synthetic: FloatArray, noise: float, n_synthetic: int) -> dict[str, float]:
    """Return distance, TVD, what noise makes of it, and what is beyond; all arrays are shares of rows, flat."""
    share = np.clip(released, 0.0, 1.0)
    sd = np.sqrt(noise**2 + share * (1 - share) / n_synthetic + 1e-24)
    tvd = float(np.abs(synthetic - released).sum() / 2)
    by_noise = float(sd.sum() * math.sqrt(2 / math.pi) / 2)
    distance = float(np.sqrt(np.mean(((synthetic - released) / sd) ** 2)))
    return {"distance": distance, "tvd": tvd, "by_noise": by_noise, "beyond": max(0.0, tvd - by_noise)}


def _score(what: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a headline score, in the form of an evaluation's."""
    value = float(np.mean([entry["beyond"] for entry in entries]))
    return {
        "name": f"{what}: TVD beyond noise",
        "value": value, "low": None, "high": None, "reference": 0.0, "better": "lower", "range": [0.0, 1.0],
        "section": "fidelity", "note": "", "level": "good" if value <= _GOOD else "watch" if value <= _BAD else "bad",
        "rule": _RULE,
        "meaning": "Share of rows that would have to move until synthetic and released shares differ by no more than "
        f"noise and sampling make them differ; mean of {len(entries)}.",
        "worry": "Worry when it is not near 0. Differences smaller than the noise cannot be seen: a small value beside "
        "much noise proves little.",
    }  # fmt: skip


def _notes(model: CTGAN) -> list[str]:
    """Say what was not compared."""
    if model.releases_ is None:
        return ["The model file was written before pairs were kept: single columns only are compared."]
    return [
        f"{len(table.pairs)} of {table.n_measured} released {name.replace('_', ' ')} are compared, the smallest."
        for name, table in model.releases_.tables.items()
        if table.n_measured > len(table.pairs)
    ]
