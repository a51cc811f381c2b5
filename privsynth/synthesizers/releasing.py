"""From rows to noisy tables, and from the noisy tables of several parties to a model.

`CTGAN.fit` measures a table and fits a generator to what was measured. Here are both halves for parties that do not
show each other their rows: `release` measures and stops, `fit_releases` adds up what others measured and goes on.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from privsynth._checks import parameter_error
from privsynth._random import as_generator
from privsynth.callbacks import Callback
from privsynth.errors import DataError, PrivsynthWarning, SchemaError
from privsynth.kinds import Identifier
from privsynth.privacy.budget import Budget
from privsynth.privacy.certificate import Certificate
from privsynth.privacy.ledger import Ledger
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.schema import Schema, as_schema
from privsynth.synthesizers.base import PrivateTable, Synthesizer
from privsynth.synthesizers.release import TableRelease, as_release
from privsynth.synthesizers.watching import check_callbacks
from privsynth.training.loop import Trainer
from privsynth.training.measure import CLASS_COLUMNS, CONDITION_PAIRS, PAIRS, measure
from privsynth.training.monitor import Monitor
from privsynth.training.partitions import PARTITIONS
from privsynth.training.plan import ROUNDING, SIZE_SHARE, Plan, compare_delta, make_plan, weakness
from privsynth.training.questions import Questions, questions_of
from privsynth.training.refine import release_partitions
from privsynth.training.roles import Roles
from privsynth.training.shares import Request
from privsynth.training.tables import Tables, add_up, crowded_columns
from privsynth.transforms.agreed import public_columns
from privsynth.transforms.cells import IntArray
from privsynth.transforms.encoder import ONE_WAY, TableEncoder, count_cells, fit_encoder, needs
from privsynth.transforms.inspection import Question, inspect, questions
from privsynth.transforms.layout import Layout
from privsynth.transforms.reshape import Reshape
from privsynth.transforms.units import limit_rows

Self = TypeVar("Self", bound="Releasing")
_CROWDED = (
    "Far more of these rows than of the first party's are in the outermost cells, or under other levels, of {}: what "
    "is beyond is cut off, and what shares a cell is one. Declare wider bounds and all levels for the first party."
)
Learn = Callable[[pd.DataFrame, Schema, set[str], Budget, Mechanisms], Tables]


@dataclass(frozen=True, eq=False)
class Rows:
    """Encoded private rows and the only way to read them."""

    codes: IntArray
    mechanisms: Mechanisms


class Releasing(Synthesizer):
    """A synthesizer that is fitted to releases, its own or those of several parties."""

    target: Any
    condition_columns: Any
    critic: str
    batch_size: int
    discriminator_steps: int
    discriminator_dim: tuple[int, ...]
    random_state: Any

    def release(
        self,
        X: Any,
        y: Any = None,
        *,
        like: TableRelease | str | Path | None = None,
        first: bool = False,
        ledger: Ledger | None = None,
    ) -> TableRelease:
        """Measure a private table and return its noisy tables, for a coordinator to learn from.

        All parties have to count the same cells. Either the schema says everything about them: bounds, decimals,
        categories, no more than 32 numbers in a column. Or one party goes first, finds cells and questions in its own
        rows, and gives its release to the others.

        Parameters
        ----------
        X, y
            The private rows, as for `fit`.
        like : TableRelease or path, optional
            The release of the party that went first: the same cells, pairs and partitions are counted. Whatever is
            in it, the guarantee for these rows holds.
        first : bool, default False
            Go first: what the schema does not say is found out from these rows, privately.
        ledger : Ledger, optional
            As for `fit`; a release is charged as a fit is.

        Returns
        -------
        TableRelease
            Noisy counts and what they are of; `save` writes them.

        Raises
        ------
        SchemaError
            When cells would have to be found out, and neither `like` nor `first` is given; with the columns.
        BudgetExceeded, ParameterError, DataError
            As for `fit`.
        """
        self._check_parameters()
        if self.epsilon is None:
            raise parameter_error("CTGAN", "epsilon", "a number to release tables", None, "Exact counts stay at home.")
        if self.critic not in ("auto", "measured"):
            raise parameter_error("CTGAN", "critic", "'auto' or 'measured' to release tables", self.critic)
        if like is not None and first:
            raise parameter_error("release", "first", "False where like= is given", first)
        pattern = None if like is None else as_release(like)
        label = "release of tables"
        budget, ledger = self._account(ledger, label)
        if pattern is not None:
            self._check_like(pattern)
        table = self._private_table(X, y, as_schema(self.schema) if pattern is None else pattern.tables.schema)
        if pattern is not None:
            table = replace(table, frame=_columns_of(pattern.columns, table.frame, what="release"))
            learn: Learn = questions_of(pattern.tables).answer
        elif first:
            learn = self._explore
        else:
            frame = _in_order(table.frame, as_schema(self.schema))
            table = replace(table, frame=frame, schema=table.schema.with_columns({n: table.schema[n] for n in frame}))
            learn = self._public_questions(table.schema, table.frame.dtypes).answer
        reserved = self._reserve(table, budget, ledger, label)
        tables, certificate = self._spend(table, budget, ledger, reserved, learn)
        if pattern is not None:
            if unlike := crowded_columns(pattern.tables, tables):
                warnings.warn(_CROWDED.format(unlike), PrivsynthWarning, stacklevel=2)
            return replace(pattern, tables=tables, certificate=certificate)
        columns = {str(name): str(dtype) for name, dtype in table.frame.dtypes.items()}
        return TableRelease(tables, certificate, self._roles, columns, table.arrow, table.numbers)

    def fit_releases(
        self: Self, releases: Sequence[TableRelease | str | Path], *, callbacks: Sequence[Callback] = ()
    ) -> Self:
        """Learn from the releases of several parties; reads no rows and spends nothing.

        `epsilon`, `delta` and `schema` have no effect: every release brings its own. The guarantee holds for each
        party's rows by its own certificate.

        Parameters
        ----------
        releases : sequence of TableRelease or path
            One of each party.
        callbacks : sequence of Callback, optional
            As for `fit`.

        Returns
        -------
        self

        Raises
        ------
        DataError
            When cells or questions differ.
        BundleError
            When a file is no release.
        """
        self._check_parameters()
        check_callbacks(callbacks)
        if isinstance(releases, (str, Path, TableRelease)) or not len(releases):
            raise parameter_error("fit_releases", "releases", "a list of releases, or of their files", releases)
        read = [as_release(one) for one in releases]
        _refuse_copies(read)
        tables = add_up([one.tables for one in read]).without_empty_cells()
        asked, given = self._roles.named, read[0].roles.named
        if asked and asked != given:
            remedy = "Leave target and condition_columns out: what was measured was settled by the parties."
            raise parameter_error("CTGAN", "target", f"what was released for: {sorted(given)}", sorted(asked), remedy)
        certificates = [one.certificate for one in read]
        certificate = certificates[0] if len(read) == 1 else Certificate.together(certificates)
        self._forget()
        self._callbacks = tuple(callbacks)
        try:
            plan = Plan(
                tables.n_rows, measured=True, neural=False, noise_ratio=math.nan,
                sampling_rate=min(1.0, self.batch_size / tables.n_rows), count_noise=tables.encoder.one_way.scale,
                relations=len(tables.labels) > 1,
            )  # fmt: skip
            rng = as_generator(self.random_state, "CTGAN")
            learned = self._train(tables, plan, read[0].columns, rng, None)
            self.__dict__.update(learned, certificate_=certificate, columns_=dict(read[0].columns))
            self.__dict__.update(arrow_=dict(read[0].arrow), numbers_=dict(read[0].numbers))
            self._set_features(len(self.columns_))
        except BaseException:
            self._forget()
            raise
        finally:
            del self._callbacks
        return self

    @property
    def _roles(self) -> Roles:
        return Roles(self.target, self.condition_columns)

    def _modelled_anyway(self) -> set[str]:
        return self._roles.named

    def _check_like(self, pattern: TableRelease) -> None:
        """Refuse to answer the questions of another party's release where other ones were asked for."""
        named = self._roles.named
        if named and named != pattern.roles.named:
            wanted = f"that of the release it is to be like: {sorted(pattern.roles.named)}"
            raise parameter_error("CTGAN", "target", wanted, sorted(named), "Leave target and condition_columns out.")
        self._check_unit(pattern.tables.schema, "release")

    def _check_unit(self, schema: Schema, what: str) -> None:
        """Refuse a schema that protects somebody else than the one that is taken over."""
        unit, theirs = as_schema(self.schema).privacy_unit, schema.privacy_unit
        if self.schema is not None and unit != theirs:
            raise SchemaError(
                f"Your schema protects {unit!r} and that of the {what} protects {theirs!r} (None: single rows). Agree "
                "on one privacy_unit."
            )

    def _table_like(self, start: Any, X: Any, y: Any) -> PrivateTable:
        if not isinstance(start, Releasing) or not hasattr(start, "encoder_"):
            raise parameter_error("fit", "start", "a fitted CTGAN", start, "Fit it first, or privsynth.load it.")
        for name in ("target", "condition_columns", "embedding_dim", "generator_dim"):
            own, other = getattr(self, name), getattr(start, name)
            if (list(own) if isinstance(own, tuple) else own) != (list(other) if isinstance(other, tuple) else other):
                raise parameter_error("CTGAN", name, f"that of the model to start from, {other!r}", own)
        self._check_unit(start.schema_, "model to start from")
        table = self._private_table(X, y, start.schema_)
        return replace(
            table, frame=_columns_of(start.columns_, table.frame, what="model to start from"), schema=start.schema_,
            undeclared=set(), arrow=dict(start.arrow_), numbers=dict(start.numbers_),
        )  # fmt: skip

    def _measure(
        self,
        frame: pd.DataFrame,
        schema: Schema,
        undeclared: set[str],
        budget: Budget,
        mechanisms: Mechanisms,
        *,
        keep: bool = False,
        settled: TableEncoder | None = None,
    ) -> tuple[Tables, Plan, IntArray]:
        """Release everything that a generator is fitted to first: rows per person, row count, encoder, tables.

        With `keep`, cells of missing and of other values are kept though this table may have none. With `settled`
        cells, nothing is found out about columns.
        """
        frame, persons = limit_rows(frame, schema, budget, mechanisms)
        n_rows = mechanisms.size(len(frame), epsilon=(budget.epsilon or 1.0) * SIZE_SHARE)
        compare_delta(budget, n_rows, persons)
        asked = questions(schema, frame.dtypes, undeclared) if settled is None else {}
        request = self._request(Reshape(schema), asked, mechanisms)
        if settled is not None:
            request = replace(request, discoveries=dict.fromkeys(request.discoveries, 0))
        plan = make_plan(request, budget, n_rows, mechanisms)
        if weak := weakness(plan, request, budget, unit=mechanisms.unit.rows):
            warnings.warn(weak, PrivsynthWarning, stacklevel=5)
        schema = inspect(frame, schema, asked, mechanisms, kept=self._modelled_anyway())
        reshape = Reshape(schema)
        frame = reshape.forward(frame)
        if settled is None:
            encoder = fit_encoder(
                frame, reshape.schema, mechanisms, n_rows=n_rows, octaves=plan.octaves, n_cells=plan.n_cells,
                keep=keep, told=self._modelled_anyway(),
            )  # fmt: skip
            reshape.check(encoder.columns)
        else:
            encoder = count_cells(frame, settled.columns, mechanisms)
        codes = encoder.transform(frame)
        split, conditions = self._roles.places(reshape, encoder.layout)
        measurements = measure(
            codes, encoder.layout, one_way=encoder.one_way, split=split, conditions=conditions, mechanisms=mechanisms,
            columns=encoder.columns,
        )  # fmt: skip
        return Tables(n_rows, schema, encoder, tuple(conditions), measurements, persons), plan, codes

    def _explore(
        self, frame: pd.DataFrame, schema: Schema, undeclared: set[str], budget: Budget, mechanisms: Mechanisms
    ) -> Tables:
        """Release as `fit` does, and fit a generator only where partitions are to be grown on it."""
        rng = as_generator(self.random_state, "CTGAN")
        dtypes = {str(name): str(dtype) for name, dtype in frame.dtypes.items()}
        tables, plan, codes = self._measure(frame, schema, undeclared, budget, mechanisms, keep=True)
        if mechanisms.allows(PARTITIONS):
            with self._training(tables, plan, dtypes, rng) as (trainer, _):
                trainer.fit_measured()
                tables = replace(tables, partitions=release_partitions(trainer, codes, plan, mechanisms, rng))
        mechanisms.settle_rounding(ROUNDING, epsilon=budget.epsilon or math.inf)
        return tables

    def _public_questions(self, schema: Schema, dtypes: Mapping[str, Any]) -> Questions:
        """Return what is asked where the schema says everything: all pairs, over cells that nobody's rows decide."""
        reshape = Reshape(schema)
        columns = public_columns(reshape.schema, dtypes)
        layout = Layout.of({column.name: column.n_cells for column in columns})
        split, conditions = self._roles.places(reshape, layout)
        n_others = len(columns) - (split is not None)
        labels = [ONE_WAY]
        labels += [CLASS_COLUMNS] if split is not None and n_others else []
        labels += [CONDITION_PAIRS] if set(conditions) - {split} and n_others > 1 else []
        labels += [PAIRS] if n_others > 1 else []
        return Questions(schema, columns, split, tuple(conditions), tuple(labels))

    def _request(self, reshape: Reshape, asked: Mapping[str, Question], mechanisms: Mechanisms) -> Request:
        modelled = [name for name, column in reshape.schema.items() if not isinstance(column, Identifier)]
        first, conditions = self._roles.learned(reshape)
        return Request(
            discoveries=needs(reshape.schema, asked),
            n_columns=len(modelled),
            n_conditions=len(set(conditions) - {first}),
            split=first is not None,
            critic="measured" if mechanisms.unit.rows > 1 else self.critic,
            batch_size=self.batch_size,
            discriminator_steps=self.discriminator_steps,
            discriminator_dim=tuple(self.discriminator_dim),
        )

    @abstractmethod
    def _training(
        self, tables: Tables, plan: Plan, dtypes: Mapping[str, str], rng: np.random.Generator
    ) -> AbstractContextManager[tuple[Trainer, Monitor]]:
        """Set up what fits a generator to releases."""

    @abstractmethod
    def _train(
        self, tables: Tables, plan: Plan, dtypes: Mapping[str, str], rng: np.random.Generator, rows: Rows | None
    ) -> dict[str, Any]:
        """Fit a generator to releases, and to `rows` under what is left of the budget; return what is kept."""


def _columns_of(columns: Mapping[str, str], frame: pd.DataFrame, *, what: str) -> pd.DataFrame:
    """Return the columns of a release or model, in its order; the table must have these and no others."""
    if extra := [name for name in frame if name not in columns]:
        raise SchemaError(f"The table has columns that the {what} lacks: {extra}. Drop them.")
    return frame[list(columns)]


def _in_order(frame: pd.DataFrame, declared: Schema) -> pd.DataFrame:
    """Return the columns in the order of their declaration, which is the same for all parties; others come last."""
    return frame[[*declared, *(name for name in frame if name not in declared)]]


def _refuse_copies(releases: Sequence[TableRelease]) -> None:
    """Raise `DataError` for one release given twice: its noise would be taken for the rows of two parties."""
    for number, release in enumerate(releases):
        counts = release.tables.encoder.one_way.values
        for other in range(number):
            if np.array_equal(counts, releases[other].tables.encoder.one_way.values):
                raise DataError(f"Releases {other + 1} and {number + 1} are the same one. Give each party's once.")
