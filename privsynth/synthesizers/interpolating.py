r"""The path between two rows in the latent space of the generator: does the model vary smoothly?

The latent point of a row x is uncertain: it is the posterior over the components k of the mixture, each a latent z_k
of class c_k, in proportion to ``w_k prod_j sum_v p_kj(v) a_j(v)``, where a_j is what x says of column j. Two rows are
joined by a coupling g of their posteriors: mass that both have at a component stays there, and the rest is paired at
random. At position t from 0 to 1 the model is

    p_t(x') = sum_(k,l) g_kl [(1 - t) G(x' | z_kl(t), c_k) + t G(x' | z_kl(t), c_l)],

with z_kl(t) on the great circle from z_k to z_l (Shoemake 1985; for latents White 2016), its length going over evenly.
What the rows say decides the components alone: the ends are what the model expects of rows like these. Conditions hold
besides: a column of each term is held to the conditions of the first end with probability 1 - t, to those of the second
with t. Where both are the same, they hold all the way. Everything between the ends is the generator at points that it
was not fitted at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from privsynth._checks import parameter_error
from privsynth.errors import ConditionError
from privsynth.nets.generator import Generator
from privsynth.report.curves import standalone
from privsynth.synthesizers.sampling import Predicates, Sampler
from privsynth.training.conditions import Pool
from privsynth.training.loop import fix_class
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.columns import DiscreteColumn, NumericColumn
from privsynth.transforms.labels import cell_labels
from privsynth.transforms.predicates import OneOf, Predicate
from privsynth.transforms.reshape import compute
from privsynth.transforms.values import to_number

_AT_ONCE = 1024  # paths that go through the generator together
_MOST_LINES = 4


def read_row(name: str, row: Any) -> Mapping[Any, Any]:
    """Return a row as a dict; raises ConditionError for what is none."""
    if isinstance(row, pd.DataFrame):
        if len(row) != 1:
            raise ConditionError(f"interpolate: {name} has {len(row)} rows. Give one, such as df.iloc[[0]].")
        return {column: row[column].iloc[0] for column in row}
    row = row.to_dict() if isinstance(row, pd.Series) else row
    if not isinstance(row, Mapping):
        raise ConditionError(f"interpolate: {name} is {row!r}. Give a dict, a Series or a DataFrame of one row.")
    return row


@dataclass(frozen=True, eq=False)
class Interpolation:
    """The model along a path between two rows.

    Parameters
    ----------
    rows : DataFrame of n_steps rows
        What is most likely at each step: the expected number, the most likely level; identifiers left out. A number
        is missing where that is likelier than not. These are summaries and no draws.
    probabilities : DataFrame of n_steps rows
        Probability of each cell at each step, columns by name and cell; the index is the position from 0 to 1.
    """

    rows: pd.DataFrame
    probabilities: pd.DataFrame

    @property
    def changes(self) -> pd.DataFrame:
        """Total variation distance of each column between neighbouring steps, n_steps - 1 rows."""
        steps = self.probabilities.diff().iloc[1:].abs()
        return steps.T.groupby(level=0, sort=False).sum().T / 2

    @property
    def distances(self) -> pd.DataFrame:
        """Total variation distance of each column from the first step, n_steps rows."""
        steps = (self.probabilities - self.probabilities.iloc[0]).abs()
        return steps.T.groupby(level=0, sort=False).sum().T / 2

    def to_svg(self, columns: list[str] | None = None, *, title: str = "Interpolation") -> str:
        """Draw how far columns have gone from the first row, as an SVG file; by default the four that go furthest."""
        distances = self.distances
        if columns is None:
            columns = distances.max().nlargest(_MOST_LINES).index.tolist()
        if not 0 < len(columns) <= _MOST_LINES or any(name not in distances for name in columns):
            raise parameter_error("to_svg", "columns", f"1 to {_MOST_LINES} of {list(distances)}", columns)
        position = distances.index.tolist()
        lines = [{"name": name, "x": position, "y": distances[name].tolist()} for name in columns]
        chart = {"x": "position", "y": "total variation distance from the first row", "lines": lines}
        return standalone(chart, title)


@dataclass(frozen=True, eq=False)
class Latents:
    """The generator and its latents, that components are made of."""

    generator: Generator
    pool: Pool
    split: int | None

    def between(self, first: IntArray, second: IntArray, position: float, classes: IntArray) -> torch.Tensor:
        """Return cell probabilities at points between components, of given classes, shape (n_paths, width)."""
        start, end = (self.pool.latents[torch.as_tensor(k)].double() for k in (first, second))
        given = torch.as_tensor(classes)
        with torch.no_grad():
            return self.generator(turned(start, end, position).float(), given)


def turned(start: torch.Tensor, end: torch.Tensor, position: float) -> torch.Tensor:
    """Go from `start` to `end` on a great circle, the length going over evenly; rows are points."""
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    one, other = start / lengths[0], end / lengths[1]
    angle = torch.arccos((one * other).sum(dim=1, keepdim=True).clamp(-1.0, 1.0))
    whole = torch.sin(angle)
    straight = whole < 1e-6  # the same point, where the circle is not defined: nothing to turn
    share = [torch.where(straight, torch.full_like(angle, flat), torch.sin(flat * angle) / whole.clamp_min(1e-12))
             for flat in (1 - position, position)]  # fmt: skip
    return (share[0] * one + share[1] * other) * ((1 - position) * lengths[0] + position * lengths[1])


def couple(first: FloatArray, second: FloatArray, rng: np.random.Generator) -> tuple[IntArray, IntArray, FloatArray]:
    """Pair the mass of two distributions over components: what both have stays, the rest is paired at random.

    Returns
    -------
    first, second : ndarray of int of shape (n_pairs,)
    mass : ndarray of shape (n_pairs,)
        Sums over pairs to the two distributions.
    """
    both = np.minimum(first, second)
    same = np.flatnonzero(both)
    rest = [rng.permutation(np.flatnonzero(part > 0)) for part in (first - both, second - both)]
    steps = [np.cumsum((part - both)[k]) for part, k in zip((first, second), rest, strict=True)]
    if any(len(k) == 0 for k in rest):
        return same, same, both[same] / both.sum()
    steps = [step / step[-1] for step in steps]
    ends = np.unique(np.concatenate(steps))
    mass = np.diff(ends, prepend=0.0) * (1 - both.sum())
    k, l = (
        part[np.minimum(np.searchsorted(step, ends, side="left"), len(part) - 1)]
        for part, step in zip(rest, steps, strict=True)
    )
    return np.concatenate([same, k]), np.concatenate([same, l]), np.concatenate([both[same], mass])


@dataclass(frozen=True, eq=False)
class _Path:
    """What is between two rows.

    Parameters
    ----------
    sampler : Sampler
    latents : Latents
    held : tuple of two predicates by column
        What is satisfied at the first end, and at the second.
    pairs : tuple of two ndarrays of int of shape (n_pairs,)
        The components that are joined.
    mass : ndarray of shape (n_pairs,)
        Sums to 1.
    """

    sampler: Sampler
    latents: Latents
    held: tuple[Predicates, Predicates]
    pairs: tuple[IntArray, IntArray]
    mass: FloatArray

    @cached_property
    def shares(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """The share of each cell that either end allows, by learned column; of combinations the released ones."""
        allowed = [self.sampler.allowed(end) for end in self.held]
        found = {}
        for span in self.sampler.mixture.layout.spans:
            joint = self.sampler.joints.get(span.name)
            free = np.ones(span.size) if joint is None else joint.released
            if joint is not None or any(span.name in shares for shares in allowed):
                found[span.name] = allowed[0].get(span.name, free) * free, allowed[1].get(span.name, free) * free
        return found

    def at(self, position: float) -> FloatArray:
        """Return the probability of each cell, that from the first end and that from the second, shape (2, width)."""
        layout, split = self.sampler.mixture.layout, self.latents.split
        classes = self.latents.pool.classes.numpy()
        summed, weight = np.zeros((2, layout.width)), 0.0
        for share, ends in zip((1 - position, position), self.pairs, strict=True):
            for start in range(0, len(self.mass) if share > 0 else 0, _AT_ONCE):
                first, second, of = (k[start : start + _AT_ONCE] for k in (*self.pairs, ends))
                raw = self.latents.between(first, second, position, classes[of])
                fixed = fix_class(raw, torch.as_tensor(classes[of]), layout, split).numpy().astype(np.float64)
                cells, possible = self._held(fixed, position)
                paths = share * self.mass[start : start + _AT_ONCE] * possible
                summed, weight = summed + paths @ cells, weight + paths.sum()
        if weight <= 0:
            raise ConditionError(
                f"Between the rows, at {position:g}, the model gives the conditions on "
                f"{', '.join(map(repr, self.shares))} no probability. Widen one of them."
            )
        return np.asarray(summed / weight)

    def _held(self, cells: FloatArray, position: float) -> tuple[FloatArray, FloatArray]:
        """Hold the cells of paths, shape (n_paths, width), to the conditions.

        Returns
        -------
        parts : ndarray of shape (2, n_paths, width)
            Sum to the probability of each cell, or to 0 where a path has none.
        possible : ndarray of shape (n_paths,)
            Whether it has.
        """
        parts = np.stack([(1 - position) * cells, position * cells])
        possible = np.ones(len(cells))
        for name, both in self.shares.items():
            span = self.sampler.mixture.layout[name].slice
            for part, share in zip(parts[:, :, span], both, strict=True):
                before = part.sum(axis=1, keepdims=True)
                part *= share
                after = part.sum(axis=1, keepdims=True)
                part *= np.divide(before, after, out=np.zeros_like(after), where=after > 0)
            total = parts[:, :, span].sum(axis=(0, 2))
            parts[:, :, span] /= np.where(total > 0, total, 1.0)[None, :, None]
            possible *= total > 0
        return parts, possible


def interpolate(
    sampler: Sampler,
    latents: Latents,
    rows: tuple[Predicates, Predicates],
    held: tuple[Predicates, Predicates],
    steps: int,
    rng: np.random.Generator,
) -> Interpolation:
    """Follow the path between two rows, holding to the conditions of its ends; see the top of this file."""
    before, after = (sampler.conditioned({**row, **end})[0].weights for row, end in zip(rows, held, strict=True))
    first, second, mass = couple(before, after, rng)
    path, positions = _Path(sampler, latents, held, (first, second), mass), np.linspace(0.0, 1.0, steps)
    parts = np.stack([path.at(position) for position in positions])
    names = [(column.name, label) for column in sampler.encoder.columns for label in cell_labels(column)]
    columns = pd.MultiIndex.from_tuples(names, names=["column", "cell"])
    index = pd.Index(positions, name="position")
    probabilities = pd.DataFrame(parts.sum(axis=1), index=index, columns=columns)
    return Interpolation(_summaries(path, parts, rng), probabilities)


# --- a row for each step ----------------------------------------------------------------------------------------


def _summaries(path: _Path, parts: FloatArray, rng: np.random.Generator) -> pd.DataFrame:
    """Return the most likely or expected values of each step, in the data types of the table."""
    sampler, made = path.sampler, {}
    for column in sampler.encoder.columns:
        cells = parts[:, :, sampler.mixture.layout[column.name].slice]
        asked = path.held[0].get(column.name), path.held[1].get(column.name)
        if column.name in sampler.joints:
            made.update(sampler.joints[column.name].decode(cells.sum(axis=1).argmax(axis=1), rng))
        elif isinstance(column, NumericColumn):
            made[column.name] = column.write(_expected(column, cells, asked))
        else:
            made[column.name] = _levels(column, cells, asked, rng)
    frame = pd.DataFrame(made, index=range(len(parts)))
    for name, rule in sampler.reshape.formulas.items():
        frame[name], _ = compute(rule, frame, sampler.reshape, sampler.dtypes[name])
    return frame[[name for name in sampler.dtypes if name in frame]]


def _expected(column: NumericColumn, cells: FloatArray, asked: tuple[Predicate | None, Predicate | None]) -> FloatArray:
    """Return the expected number of each step, in steps of the column; NaN where missing is likelier."""
    numbers = cells[:, :, : column.cells.n_cells]
    means = np.stack([np.nan_to_num(column.means(predicate)) for predicate in asked])
    present = numbers.sum(axis=(1, 2))
    total = (numbers * means).sum(axis=(1, 2))
    expected = np.divide(total, present, out=np.zeros_like(present), where=present > 0)
    for place, predicate in zip((0, -1), asked, strict=True):  # a mean of listed values is none of them
        listed = _listed(column, predicate)
        rows = slice(None) if asked[0] == asked[1] else [place]
        if len(listed):
            expected[rows] = listed[np.abs(expected[rows, None] - listed).argmin(axis=1)]
    decimals = column.cells.decimals
    expected = expected if decimals is None else np.round(expected, decimals)
    return np.where(present < 0.5, np.nan, expected)


def _listed(column: NumericColumn, predicate: Predicate | None) -> FloatArray:
    """Return the numbers that a list asks for, in steps."""
    values = [v for v in predicate.values if v is not None] if isinstance(predicate, OneOf) else []
    return np.array([to_number(column.name, value, column.number_dtype) for value in values]) / column.step


def _levels(
    column: DiscreteColumn,
    cells: FloatArray,
    asked: tuple[Predicate | None, Predicate | None],
    rng: np.random.Generator,
) -> pd.Series:
    """Return the level of the likeliest cell of each step; of levels that share it, one that the nearer end allows."""
    likeliest = cells.sum(axis=1).argmax(axis=1)
    first, second = cells[np.arange(len(cells)), :, likeliest].T
    groups = [(np.flatnonzero(first >= second), asked[0]), (np.flatnonzero(first < second), asked[1])]
    made = [column.decode(likeliest[rows], rng, predicate).set_axis(rows) for rows, predicate in groups if len(rows)]
    return pd.concat(made).sort_index()
