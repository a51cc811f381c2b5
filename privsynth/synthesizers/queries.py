"""What a fitted model answers: rows, probabilities, scores. All of it is post-processing, and spends no budget."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from privsynth._checks import check_int, parameter_error
from privsynth._progress import ProgressBar
from privsynth._random import as_generator
from privsynth.errors import ConditionError, DataError, NotFittedError, PrivsynthWarning
from privsynth.nets.generator import Generator
from privsynth.schema import Identifier, Schema
from privsynth.synthesizers.balance import apportion, wanted_shares
from privsynth.synthesizers.imputing import fill_gaps
from privsynth.synthesizers.interpolating import Interpolation, Latents, interpolate, read_row
from privsynth.synthesizers.sampling import Sampler
from privsynth.synthesizers.scoring import log_density, read_rows
from privsynth.synthesizers.strangeness import strange_rows, strangeness
from privsynth.tables import from_native, to_text_names
from privsynth.training.conditions import Pool
from privsynth.training.mixture import Mixture
from privsynth.transforms.columns import ColumnTransform
from privsynth.transforms.encoder import TableEncoder
from privsynth.transforms.fakes import make_fakes
from privsynth.transforms.predicates import Predicate, as_predicate
from privsynth.transforms.reshape import Reshape
from privsynth.transforms.units import Persons

_PATIENCE = 2.0  # seconds before a bar shows


class Queries:
    """The questions to a fitted synthesizer: they read what `fit` released, never private rows."""

    schema_: Schema
    encoder_: TableEncoder
    generator_: Generator
    pool_: Pool
    _split: int | None
    persons_: Persons | None
    columns_: dict[str, str]
    arrow_: dict[str, str]
    numbers_: dict[str, int]
    verbose: bool
    _cached_sampler: Sampler

    def sample(self, n_rows: Any = None, *, conditions: Any = None, random_state: Any = None) -> pd.DataFrame:
        """Draw synthetic rows, which satisfy all rules of the schema; spends no budget.

        Parameters
        ----------
        n_rows : int or list of int
            How many; for each of a list of conditions. May be left out where `conditions` is a DataFrame.
        conditions : dict, list of dicts or DataFrame, optional
            What every row must satisfy, exactly. A dict maps columns to a value, a list of values, a closed
            range ``(low, high)`` or a pandas Interval; None means missing. A list asks for as many rows of each of
            its dicts as `n_rows` says, in order; a DataFrame for one row for each of its rows, in order.
        random_state : None, int or numpy Generator
            Reproduces the sample.

        Returns
        -------
        DataFrame of n_rows rows
            Columns, order and data types of the table that was learned.

        Raises
        ------
        ConditionError
            When a condition names an unknown column or value, the model says that no row can satisfy it, or the
            rules of the schema and the conditions were satisfied by no row in bounded work.

        Warns
        -----
        PrivsynthWarning
            When conditions are far outside what the model has seen: fewer than 8 effective components lie behind
            the rows, or less than one learned row in the cells that the conditions touch. Of a DataFrame, up to
            2,048 distinct rows are looked at; such a one is also a hundred times less likely than the least likely
            of 1,000 rows of the model's own.

        Examples
        --------
        ``model.sample(500, conditions={"is_fraud": True, "amount": (1000, 5000)})``
        """
        self._check_fitted()
        rng = as_generator(random_state)
        if isinstance(conditions, pd.DataFrame):
            conditions = to_text_names(conditions)[0] if self.numbers_ else conditions
            rows = self._with_keys(self._sampler.each(conditions, n_rows, rng), rng)
            if strange := strange_rows(self._sampler, conditions):
                warnings.warn(strange, PrivsynthWarning, stacklevel=2)
            return rows
        if isinstance(conditions, list) and all(isinstance(each, Mapping) for each in conditions):
            return self._counted(n_rows, conditions, rng)
        n_rows = check_int("sample", "n_rows", n_rows, low=0, remedy="Ask for as many rows as you want.")
        if conditions is not None and not isinstance(conditions, Mapping):
            raise ConditionError(
                f"conditions must be a dict, a list of dicts or a DataFrame. Got {conditions!r:.200}. Write "
                '{"column": value}.'
            )
        predicates = self._predicates(conditions or {})
        rows = self._with_keys(self._sampler.rows(n_rows, predicates, rng), rng)
        if predicates and (strange := strangeness(self._sampler, predicates)):
            warnings.warn(strange, PrivsynthWarning, stacklevel=2)
        return rows

    def rebalance(
        self,
        n_rows: int,
        *,
        by: str,
        shares: Mapping[Any, float] | None = None,
        conditions: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ) -> pd.DataFrame:
        """Draw rows with a wanted distribution of one column, in random order; spends no budget.

        Parameters
        ----------
        n_rows : int
            How many.
        by : str
            The column: a class label, or the group that a person belongs to.
        shares : mapping, optional
            The share of each value, or of a range as in `conditions`; they sum to 1. Equal shares of all levels that
            were learned by default, unreleased levels and missing values left out. Counts are exact: they are the
            shares rounded by largest remainder.
        conditions : dict, optional
            What every row must satisfy besides, as in `sample`.
        random_state : None, int or numpy Generator
            Reproduces the sample.

        Raises
        ------
        ParameterError
            When shares do not sum to 1, or are left out for a column of numbers.
        ConditionError
            As `sample`.

        Warns
        -----
        PrivsynthWarning
            As `sample`, of a group that the model has hardly seen.

        Examples
        --------
        ``model.rebalance(10_000, by="is_fraud", shares={True: 0.3, False: 0.7})``
        """
        self._check_fitted()
        rng = as_generator(random_state, "rebalance")
        n_rows = check_int("rebalance", "n_rows", n_rows, low=0)
        by = {number: name for name, number in self.numbers_.items()}.get(by, by)  # type: ignore[call-overload]
        known = {column.name: column for column in self.learned_columns}
        if by not in known:
            raise parameter_error("rebalance", "by", f"among the columns {list(known)}", by)
        common = self._predicates(conditions or {})
        if by in common:
            raise parameter_error("rebalance", "conditions", f"about other columns than {by!r}", conditions)
        wanted = wanted_shares(known[by], shares)
        counts = apportion(n_rows, np.array(list(wanted.values())))
        parts = []
        for value, count in zip(wanted, counts.tolist(), strict=True):
            group = {**common, by: as_predicate(by, value)}
            if count or not n_rows:
                parts.append(self._sampler.rows(count, group, rng))
            if count and (strange := strangeness(self._sampler, group)):
                warnings.warn(f"rebalance, {by} = {value!r}: {strange}", PrivsynthWarning, stacklevel=2)
        rows = pd.concat(parts, ignore_index=True).iloc[rng.permutation(n_rows)].reset_index(drop=True)
        return self._with_keys(rows, rng)

    def condition_probability(self, conditions: Mapping[str, Any]) -> float:
        """Return the probability that the model gives to rows satisfying `conditions` (as in `sample`).

        Rules that `sample` keeps by rejection (`Inequality`, `OneOf`) are not taken into account.

        Raises
        ------
        ConditionError
            As `sample`; and for a column that a formula computes.
        """
        self._check_fitted()
        predicates = self._predicates(conditions)
        return self._sampler.probability(predicates)

    def score_samples(self, X: Any) -> pd.Series:
        """Return the log density of given rows under the model: the lower, the stranger. Spends no budget.

        A level counts with its probability, a number with its density, to the resolution that was learned: all
        values of a leaf of the released histogram are alike. On a grid (whole numbers, fixed decimals, times) the
        density is a probability too. Levels too rare to be released count together as ``__other__``. A number
        beyond the learned bounds has density 0, so the row scores -inf; so does, with a warning, any other value that
        the model does not know: a new level where it has no ``__other__``, a gap where it has none.

        Columns that X lacks are summed out. Identifiers, and columns that a formula computes, are ignored. Rules
        that `sample` keeps by rejection are not taken into account.

        Scores are post-processing of the model, so the model's guarantee is not touched. They do depend on the
        rows that are scored: scores of private rows are private.

        Parameters
        ----------
        X : DataFrame, or ndarray where one was learned, of shape (n_rows, n_columns)
            Rows in the form of the table that was learned.

        Returns
        -------
        Series of shape (n_rows,)
            With the index of X.

        Raises
        ------
        DataError
            When X has a column that the model does not know, or a value that cannot be read.
        """
        self._check_fitted()
        rows, _ = read_rows(X, list(self.columns_), owner="score_samples")
        with ProgressBar(self.verbose, after=_PATIENCE) as progress:
            return pd.Series(log_density(self._sampler, rows, progress), index=rows.index, name="log_density")

    def impute(self, X: Any, *, columns: Sequence[str] | None = None, random_state: Any = None) -> pd.DataFrame:
        """Fill missing values of given rows by draws from the model, given what each row holds. Spends no budget.

        Several gaps of a row are drawn jointly. Known values stay exactly as they are; a known number beyond the
        learned bounds counts as the outermost one. A gap is never filled with a missing value, even where the table
        has such; but where a rule wants exactly one of several columns set (`OneOf`), the others stay missing.
        Identifiers stay as they are. Rules that a filled value touches are kept; a computed column is computed. The
        model's guarantee is not touched, but rows that are private stay private.

        Parameters
        ----------
        X : DataFrame, or ndarray where one was learned, of shape (n_rows, n_columns)
            Rows in the form of the table that was learned; columns may be left out.
        columns : sequence of str, optional
            Which columns to fill; all by default. In others a missing value is a fact like any other, or says
            nothing where the model knows none.
        random_state : None, int or numpy Generator
            Reproduces the draws.

        Returns
        -------
        DataFrame of shape (n_rows, n_columns)
            With the index, columns and data types of X.

        Raises
        ------
        DataError
            When X has a column or a value that the model does not know.
        ConditionError
            When no row of the model holds the known values together.
        """
        self._check_fitted()
        rng = as_generator(random_state, "impute")
        rows, arrow = read_rows(X, list(self.columns_), owner="impute")
        settable = {column.name for column in self.learned_columns}
        wanted = [name for name in rows if name in settable]
        if columns is not None:
            asked = [str(name) for name in columns]
            if unknown := [name for name in asked if name not in wanted]:
                raise DataError(f"impute: columns {unknown} cannot be filled. X and the model have {wanted}.")
            wanted = asked
        with ProgressBar(self.verbose, after=_PATIENCE) as progress:
            filled = from_native(fill_gaps(self._sampler, rows, wanted, rng, progress), arrow)
        return filled.set_axis(X.columns, axis=1) if isinstance(X, pd.DataFrame) else filled

    def interpolate(
        self,
        row_a: Any,
        row_b: Any,
        steps: int = 11,
        *,
        conditions: Mapping[str, Any] | tuple[Mapping[str, Any], Mapping[str, Any]] | None = None,
        random_state: Any = None,
    ) -> Interpolation:
        """Go from one row to another through the latent space: does the model vary smoothly? Spends no budget.

        The latent point of a row is the posterior of the mixture's components given what the row says, each
        component being a latent and a class. Both posteriors are coupled, latents are joined on great circles, and
        the generator is asked along them (`privsynth.synthesizers.interpolating` has the formula). So the first
        step is what the model expects of rows like `row_a`, the last what it expects of rows like `row_b`.

        Parameters
        ----------
        row_a, row_b : dict, Series or DataFrame of one row
            The ends, as in `conditions` of `sample`: values, lists, ranges; None and NaN mean missing. Columns that
            are left out are not known. Identifiers and computed columns are ignored.
        steps : int
            How many, both ends included, at least 2.
        conditions : dict or tuple of two dicts, optional
            What all steps satisfy, exactly, whatever the rows say. With two, the first step satisfies the first and
            the last the second, and between them one goes over into the other; ``(row_a, row_b)`` makes the ends
            the rows themselves.
        random_state : None, int or numpy Generator
            Which components are paired, where the rows share none.

        Returns
        -------
        Interpolation
            ``rows`` (what is expected or most likely at each step), ``probabilities`` of all cells, ``changes``
            between neighbouring steps, and ``to_svg()``.

        Raises
        ------
        ParameterError
            When `steps` is below 2.
        ConditionError
            As `sample`; and for conditions on a column that a formula computes.

        Examples
        --------
        ``model.interpolate(rows.iloc[0], rows.iloc[1], steps=21, conditions={"is_fraud": False}).to_svg()``
        """
        self._check_fitted()
        rng = as_generator(random_state, "interpolate")
        steps = check_int("interpolate", "steps", steps, low=2)
        if isinstance(conditions, tuple):
            if len(conditions) != 2:
                raise ConditionError(f"interpolate: conditions are a tuple of {len(conditions)}. Give a dict, or two.")
            held = self._said("conditions[0]", conditions[0]), self._said("conditions[1]", conditions[1])
        else:
            fixed = self._predicates(conditions or {})
            if computed := [name for name in fixed if name in self._sampler.reshape.formulas]:
                raise ConditionError(f"interpolate: {computed} are computed. Set conditions on what the formulas read.")
            held = fixed, fixed
        rows = self._said("row_a", row_a), self._said("row_b", row_b)
        path = interpolate(self._sampler, Latents(self.generator_, self.pool_, self._split), rows, held, steps, rng)
        frame = from_native(path.rows, {name: self.arrow_[name] for name in path.rows if name in self.arrow_})
        return replace(path, rows=frame.rename(columns=self.numbers_))

    def _counted(self, n_rows: Any, conditions: list[Mapping[Any, Any]], rng: np.random.Generator) -> pd.DataFrame:
        """Draw as many rows of each condition as were asked for."""
        if not isinstance(n_rows, (list, tuple, np.ndarray)) or len(n_rows) != len(conditions) or not len(n_rows):
            wanted = f"a list of {len(conditions)} counts, one for each of the conditions"
            raise parameter_error("sample", "n_rows", wanted, n_rows, "Or give one dict of conditions.")
        counts = [check_int("sample", "n_rows", count, low=0) for count in n_rows]
        parts = []
        for place, count in enumerate(counts):
            predicates = self._predicates(conditions[place])
            parts.append(self._sampler.rows(count, predicates, rng))
            if predicates and (strange := strangeness(self._sampler, predicates)):
                warnings.warn(f"conditions[{place}]: {strange}", PrivsynthWarning, stacklevel=3)
        return self._with_keys(pd.concat(parts, ignore_index=True), rng)

    def _said(self, name: str, row: Any) -> dict[str, Predicate]:
        """Read what a row says of the columns that are learned."""
        settable = {column.name for column in self.learned_columns} - set(self._sampler.reshape.formulas)
        ignored = set(self.columns_) - settable
        return {column: p for column, p in self._predicates(read_row(name, row)).items() if column not in ignored}

    @property
    def learned_columns(self) -> tuple[ColumnTransform, ...]:
        """The columns that conditions can be set on, with what was learned of each; identifiers are not among them."""
        self._check_fitted()
        return self._sampler.columns

    @property
    def _sampler(self) -> Sampler:
        """What draws rows, put together once."""
        if not hasattr(self, "_cached_sampler"):
            self._cached_sampler = Sampler(self._mixture_of(), self.encoder_, Reshape(self.schema_), self.columns_)
        return self._cached_sampler

    def _predicates(self, conditions: Mapping[Any, Any]) -> dict[str, Predicate]:
        """Read conditions; columns that are numbered in the table may be named by their numbers."""
        names = {number: name for name, number in self.numbers_.items()}
        return {names.get(name, name): as_predicate(name, wanted) for name, wanted in conditions.items()}

    def _with_keys(self, sample: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """Add made-up identifiers and put the columns in the order of the table."""
        for name, declared in self.schema_.items():
            if isinstance(declared, Identifier):
                sample[name] = self._keys(name, declared, len(sample), rng)
        sample = from_native(sample[list(self.columns_)], self.arrow_)
        return sample.rename(columns=self.numbers_) if self.numbers_ else sample

    def _keys(self, name: str, declared: Identifier, n_rows: int, rng: np.random.Generator) -> pd.Series:
        """Make up keys; those of persons repeat as often as persons have rows."""
        if self.persons_ is None or name != self.persons_.column:
            return make_fakes(declared, n_rows, self.columns_[name], rng)
        owners = self.persons_.draw(n_rows, rng)
        distinct = replace(declared, unique=True)
        keys = make_fakes(distinct, int(owners.max(initial=-1)) + 1, self.columns_[name], rng)
        return keys.iloc[owners].reset_index(drop=True)

    def _check_fitted(self) -> None:
        if not hasattr(self, "encoder_"):
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet. Call fit(df) first.")

    @abstractmethod
    def _mixture_of(self) -> Mixture: ...
