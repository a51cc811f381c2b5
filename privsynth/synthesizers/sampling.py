r"""Rows from a fitted mixture: any conditions, all rules, always as many as were asked for.

Conditions on learned columns are met exactly, by Bayes' rule in the mixture, and so are the rules that reshaping
keeps by construction. What is left (an inequality, one of several, a condition on a computed column) is met by
*rejection*: batches are drawn, decoded and computed, and rows that break anything are thrown away. The rows that
are kept are draws from the model given the rules. Where too few are kept after bounded work, the rest
is mended (`privsynth.synthesizers.repair`), which keeps every rule but not that distribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from privsynth.errors import ConditionError
from privsynth.rules import Inequality, OneOf, Range, Rule
from privsynth.synthesizers.demands import Demands, decode_each, read_demands
from privsynth.synthesizers.repair import repaired
from privsynth.synthesizers.wording import domain, listed, shown
from privsynth.training.mixture import Mixture
from privsynth.transforms.cells import Cells, FloatArray, IntArray
from privsynth.transforms.columns import ColumnTransform, NumericColumn
from privsynth.transforms.encoder import TableEncoder
from privsynth.transforms.predicates import OneOf as AmongValues
from privsynth.transforms.predicates import Predicate
from privsynth.transforms.reshape import JointColumn, Reshape, compute, ends, number_dtype
from privsynth.transforms.values import to_number

BATCH = 250_000
MAX_ROUNDS, MAX_ROWS, LEAST_ROWS = 200, 20_000_000, 1_000_000
_SURE = 20_000
_MOST_DISTINCT = 2_048
_REPAIR_ROUNDS = 10
BoolArray = npt.NDArray[np.bool_]
Predicates = Mapping[str, Predicate]


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws rows of the original columns, identifiers left out.

    Parameters
    ----------
    model : Mixture
        Over the cells of the learned columns.
    encoder : TableEncoder
    reshape : Reshape
    dtypes : mapping of str to str
        The data types of the original columns.
    """

    model: Mixture
    encoder: TableEncoder
    reshape: Reshape
    dtypes: Mapping[str, str]

    @cached_property
    def joints(self) -> dict[str, JointColumn]:
        """The columns of combinations, by name."""
        by_name = {column.name: column for column in self.encoder.columns}
        return {
            name: JointColumn.of(by_name[name], rule, self.reshape.original, self.dtypes)  # type: ignore[arg-type]
            for name, rule in self.reshape.joints.items()
        }

    @cached_property
    def mixture(self) -> Mixture:
        """The model without combinations that were not released."""
        if not self.joints:
            return self.model
        return self.model.condition({name: joint.released for name, joint in self.joints.items()})[0]

    @cached_property
    def columns(self) -> tuple[ColumnTransform, ...]:
        """What conditions can be set on: learned columns, parts of combinations and computed columns."""
        columns: list[ColumnTransform] = []
        for learned in self.encoder.columns:
            columns += self.joints[learned.name].parts if learned.name in self.joints else (learned,)
        for name in self.reshape.formulas:
            column, dtype = self.reshape.domain(name), self._number_dtype(name)
            low, high = np.clip(ends(column, dtype), -1e300, 1e300)
            whole = Cells(np.array([low]), np.array([high]), np.ones(1), np.zeros(1, dtype=np.int64))
            columns.append(NumericColumn(name, dtype, whole, bool(column.nullable)))
        return tuple(columns)

    @cached_property
    def rejecting(self) -> tuple[Rule, ...]:
        """The rules that decoded rows are checked for."""
        return tuple(r for r in self.reshape.original.rules if isinstance(r, (Inequality, OneOf, Range)))

    def rows(self, n_rows: int, predicates: Predicates, rng: np.random.Generator) -> pd.DataFrame:
        """Draw `n_rows` rows that satisfy `predicates` and all rules.

        Raises
        ------
        ConditionError
            When there are none such, or none was found in bounded work and rows could not be mended.
        """
        late = {name: p for name, p in predicates.items() if name in self.reshape.formulas}
        early = {name: p for name, p in predicates.items() if name not in late}
        self._check_late(late)
        mixture, _ = self.conditioned(early)
        draws = _Draws(self, mixture, early, late, rng)
        if not self.rejecting and not self.reshape.formulas:
            return draws.raw(n_rows)
        return _accept(draws, n_rows)

    def each(self, conditions: pd.DataFrame, n_rows: int | None, rng: np.random.Generator) -> pd.DataFrame:
        """Draw one row for each row of `conditions`."""
        demands = read_demands(conditions, n_rows)
        if conditions.empty:
            return self.rows(len(conditions), {}, rng)
        if self.rejecting or self.reshape.formulas or self.joints:
            return self._by_combination(demands, rng)
        points = {c.name: demands[c.name].points(c) for c in self.encoder.columns if c.name in demands}
        cells = self.mixture.draw_each(self._shares_each(demands), rng)
        decoded = {
            column.name: decode_each(column, cells[:, j], demands.get(column.name), points.get(column.name), rng)
            for j, column in enumerate(self.encoder.columns)
        }
        return pd.DataFrame(decoded, index=range(len(conditions)))

    def support_each(self, conditions: pd.DataFrame) -> tuple[FloatArray, FloatArray, IntArray, float]:
        """Return `support` of rows of conditions that are all different, 2,048 at most.

        Returns
        -------
        effective, touched : ndarray of shape (n_distinct,)
        rows : ndarray of int of shape (n_distinct,)
            Which rows these are.
        usual : float
            The least `touched` of 1,000 rows that the model draws itself, all their cells in these columns given.
        """
        demands = {n: d for n, d in read_demands(conditions, None).items() if n not in self.reshape.formulas}
        if not demands or conditions.empty:
            return np.empty(0), np.empty(0), np.empty(0, dtype=np.int64), 0.0
        shares = self._shares_each(demands)
        which = np.stack([states for _, states in shares.values()], axis=1)
        distinct, rows = np.unique(which, axis=0, return_index=True)
        some = np.unique(np.linspace(0, len(distinct) - 1, min(len(distinct), _MOST_DISTINCT)).astype(np.int64))
        effective, touched = self.mixture.support_each({n: table for n, (table, _) in shares.items()}, distinct[some])
        layout = self.mixture.layout
        own = self.mixture.draw(1_000, np.random.default_rng(0))[:, [layout.index(name) for name in shares]]
        _, usual = self.mixture.support_each({name: np.eye(layout[name].size) for name in shares}, own)
        return effective, touched, rows[some], float(usual.min())

    def _shares_each(self, demands: Mapping[str, Demands]) -> dict[str, tuple[FloatArray, IntArray]]:
        """Return by learned column the shares of cells that rows may demand, and which of these each row demands."""
        found: dict[str, tuple[FloatArray, IntArray]] = {}
        for name, demand in demands.items():
            table, which = self._shares(name, demand)
            place = self.reshape.place(name) or name
            if place in found:
                pairs, which = np.unique(np.stack([found[place][1], which], axis=1), axis=0, return_inverse=True)
                table, which = found[place][0][pairs[:, 0]] * table[pairs[:, 1]], which.reshape(-1)
            found[place] = table, which
        return found

    def _shares(self, name: str, demands: Demands) -> tuple[FloatArray, IntArray]:
        """Return the shares of cells that rows may demand of one column, and which of these each row demands."""
        column = next((column for column in self.encoder.columns if column.name == name), None)
        points = None if column is None else demands.points(column)
        if points is None or not isinstance(column, NumericColumn):
            place = self.reshape.place(name) or name
            return np.stack([self.allowed({name: p})[place] for p in demands.predicates]), demands.which
        table, state = column.cover_points(points)
        for impossible in np.flatnonzero(table.sum(axis=1)[state] == 0)[:1]:
            self.allowed({name: demands.predicates[impossible]})  # refuses it
        return table, state[demands.which]

    def decoded(
        self, cells: IntArray, rng: np.random.Generator, predicates: Predicates | None = None
    ) -> dict[str, pd.Series]:
        """Return the original columns of rows of cells, satisfying `predicates`; computed ones are not in them yet."""
        decoded: dict[str, pd.Series] = {}
        for j, column in enumerate(self.encoder.columns):
            if column.name in self.joints:
                decoded.update(self.joints[column.name].decode(cells[:, j], rng))
            else:
                decoded[column.name] = column.decode(cells[:, j], rng, (predicates or {}).get(column.name))
        return decoded

    def _by_combination(self, demands: Mapping[str, Demands], rng: np.random.Generator) -> pd.DataFrame:
        """Draw the rows of equal demands together: what is kept by rejection takes batches."""
        which = np.stack([d.which for d in demands.values()], axis=1)
        distinct, combination = np.unique(which, axis=0, return_inverse=True)
        order = np.argsort(combination, kind="stable")
        parts = [
            self.rows(
                int(size), {n: d.predicates[code] for (n, d), code in zip(demands.items(), codes, strict=True)}, rng
            )
            for codes, size in zip(distinct, np.bincount(combination), strict=True)
        ]
        return pd.concat(parts, ignore_index=True).iloc[np.argsort(order)].reset_index(drop=True)

    def probability(self, predicates: Predicates) -> float:
        """Return the model's probability of rows satisfying `predicates`, before any rejection."""
        late = [name for name in predicates if name in self.reshape.formulas]
        if late:
            raise ConditionError(
                f"The probability of a condition on {late} cannot be computed: a formula gives its values. "
                "Sample, and count."
            )
        return self.conditioned(predicates)[1]

    def conditioned(self, predicates: Predicates) -> tuple[Mixture, float]:
        """Return the mixture of rows that satisfy `predicates`, and the probability of these."""
        shares = self.allowed(predicates)
        try:
            return self.mixture.condition(shares)
        except ConditionError:
            raise ConditionError(
                f"No row can satisfy that {listed(predicates)}: the model gives them probability zero together. "
                "Widen one of them."
            ) from None

    def support(self, predicates: Predicates) -> tuple[float, float]:
        """Return how well the model knows rows that satisfy `predicates`, computed columns left out.

        Returns
        -------
        effective : float
            Effective number of components behind such rows, (sum w)^2 / sum w^2 (Kish 1965).
        touched : float
            Probability of the cells that the predicates allow a share of, however small: a single value of a dense
            number has probability 0, and is no stranger to the model than its cell.
        """
        exact, touched = self.mixture.weights, self.mixture.weights
        for name, share in self.allowed({n: p for n, p in predicates.items() if self.reshape.place(n)}).items():
            cells = self.mixture.probabilities[:, self.mixture.layout[name].slice]
            exact, touched = exact * (cells @ (share / share.max())), touched * (cells @ (share > 0))
        weights = exact / (exact.max() or 1.0)
        effective = weights.sum() ** 2 / max(float((weights**2).sum()), 1.0)
        return float(effective), float(touched.sum())

    def allowed(self, predicates: Predicates) -> dict[str, FloatArray]:
        """Return the share of each cell that each predicate allows, refusing what is impossible."""
        by_name = {column.name: column for column in self.columns}
        shares: dict[str, FloatArray] = {}
        for name, predicate in predicates.items():
            if name not in by_name:
                kind = "an identifier, made up anew" if name in self.dtypes else "unknown"
                raise ConditionError(f"Column {name!r} is {kind}. Conditions can be set on {list(by_name)}.")
            place = self.reshape.place(name) or name
            share = by_name[name].cover(predicate) if place == name else self.joints[place].cover(name, predicate)
            if not share.any():
                raise ConditionError(
                    f"No value of column {name!r} is {shown(predicate)}. It was learned "
                    f"{domain(by_name[name])}. Widen the condition."
                )
            shares[place] = shares[place] * share if place in shares else share
        return shares

    def _number_dtype(self, name: str) -> str:
        return number_dtype(self.reshape.original[name], self.dtypes[name])

    def _check_late(self, late: Predicates) -> None:
        """Refuse conditions on computed columns that cannot be read, or ask for missing values where there are none."""
        by_name = {column.name: column for column in self.columns}
        for name, predicate in late.items():
            by_name[name].cover(predicate)
            satisfied(np.zeros(1), name, predicate, self._number_dtype(name))


@dataclass(frozen=True, eq=False)
class _Draws:
    """Batches of rows under fixed conditions."""

    sampler: Sampler
    mixture: Mixture
    early: Predicates
    late: Predicates
    rng: np.random.Generator

    def raw(self, n_rows: int) -> pd.DataFrame:
        """Draw and decode rows; computed columns are not in them yet."""
        cells = self.mixture.draw(n_rows, self.rng)
        return pd.DataFrame(self.sampler.decoded(cells, self.rng, self.early), index=range(n_rows))

    def finish(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, BoolArray]]:
        """Add computed columns; say of each demand, in words, which rows meet it."""
        reshape, dtypes = self.sampler.reshape, self.sampler.dtypes
        met: dict[str, BoolArray] = {}
        frame = frame.copy(deep=False)
        for name, rule in reshape.formulas.items():
            frame[name], met[f"{rule}, within what {name!r} can hold"] = compute(rule, frame, reshape, dtypes[name])
        for other in self.sampler.rejecting:
            met[str(other)] = other.holds(frame, reshape.original)
        for name, predicate in self.late.items():
            values = reshape.numbers(frame, name)
            met[f"that {name!r} is {shown(predicate)}"] = satisfied(
                values, name, predicate, self.sampler._number_dtype(name)
            )
        return frame, met

    def repair(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Change rows that break a rule, leaving columns under conditions as they are."""
        parts = [name for rule in self.sampler.reshape.joints.values() for name in rule.columns]
        frozen = {*self.early, *self.sampler.reshape.formulas, *parts}
        return repaired(frame, self.sampler.reshape, self.sampler.dtypes, frozen, self.rng)


def _accept(draws: _Draws, n_rows: int) -> pd.DataFrame:
    """Draw batches and keep the rows that meet every demand, until there are `n_rows`."""
    kept: list[pd.DataFrame] = [draws.finish(draws.raw(0))[0]]
    have = tried = accepted = 0
    met_by: dict[str, int] = {}
    most = min(MAX_ROWS, max(LEAST_ROWS, 50 * n_rows))
    for _ in range(MAX_ROUNDS):
        if have >= n_rows or _hopeless(n_rows - have, accepted, tried, most):
            break
        size = _batch_size(n_rows - have, accepted, tried)
        frame, met = draws.finish(draws.raw(size))
        good = np.logical_and.reduce(list(met.values()))
        met_by = {words: met_by.get(words, 0) + int(mask.sum()) for words, mask in met.items()}
        tried, accepted = tried + size, accepted + int(good.sum())
        kept.append(frame[good].iloc[: n_rows - have])
        have += len(kept[-1])
    for _ in range(_REPAIR_ROUNDS):
        if have >= n_rows:
            break
        frame = draws.finish(draws.raw(min(BATCH, max(n_rows - have, 1000))))[0]
        for _ in range(2):  # a mended row may compute to something else
            frame, met = draws.finish(draws.repair(frame))
        good = np.logical_and.reduce(list(met.values()))
        kept.append(frame[good].iloc[: n_rows - have])
        have += len(kept[-1])
        if not good.any():
            break
    if have < n_rows:
        raise _impossible(met_by, accepted, tried)
    return pd.concat([part for part in kept if len(part)] or kept[:1], ignore_index=True)


def _batch_size(wanted: int, accepted: int, tried: int) -> int:
    """Return how many rows to draw, by the acceptance rate so far."""
    rate = max(accepted, 1) / tried if tried else 1.0
    return int(min(BATCH, np.ceil(1.05 * wanted / rate) + (8 if tried else 0)))


def _hopeless(wanted: int, accepted: int, tried: int, most: int) -> bool:
    """Whether `most` draws are used up, or will be: the rate is below (accepted + 3) / tried, 19 times in 20."""
    return tried >= most or (tried >= _SURE and wanted * tried / (accepted + 3) > most - tried)


def _impossible(met_by: Mapping[str, int], accepted: int, tried: int) -> ConditionError:
    worst = min(met_by, key=lambda words: met_by[words])
    return ConditionError(
        f"Of {tried:,} rows that the model drew, {met_by[worst]:,} satisfy {worst}, and {accepted:,} satisfy all rules "
        "and conditions; the others could not be mended. Widen the conditions, check that the rule is true of the "
        "table and that the bounds of its columns leave room, or take the rule out of the schema."
    )


def satisfied(values: FloatArray, name: str, predicate: Predicate, dtype: str) -> BoolArray:
    """Return which numbers satisfy a predicate, NaN being missing."""
    missing = np.isnan(values)
    if isinstance(predicate, AmongValues):
        met = missing & (None in predicate.values)
        for value in predicate.values:
            if value is not None:
                number = to_number(name, value, dtype)
                width = np.finfo(dtype.lower()).eps if dtype.lower() in ("float16", "float32") else 1e-12
                if np.isfinite(number):  # nothing is near infinity
                    met = met | (np.abs(values - number) <= 4 * width * abs(number))
        return met
    low = -np.inf if predicate.low is None else to_number(name, predicate.low, dtype)
    high = np.inf if predicate.high is None else to_number(name, predicate.high, dtype)
    above = values > low if predicate.low_open else values >= low
    return above & (values < high if predicate.high_open else values <= high)
