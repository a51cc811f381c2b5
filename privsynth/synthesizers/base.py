"""The template that all synthesizers share: fit under a ledger, sample under conditions, save and load."""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from privsynth import bundle
from privsynth.callbacks import Callback
from privsynth.errors import (
    BundleError,
    ConditionError,
    DataError,
    ParameterError,
    PrivacyError,
    PrivsynthError,
    PrivsynthWarning,
)
from privsynth.privacy.budget import Budget
from privsynth.privacy.certificate import Certificate
from privsynth.privacy.events import PureDP
from privsynth.privacy.ledger import Ledger
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoiseSource, SecureNoise
from privsynth.privacy.unit import Unit
from privsynth.schema import Identifier, Schema, as_schema, resolve_schema
from privsynth.synthesizers.queries import Queries
from privsynth.synthesizers.stored import check_claim, check_columns, to_json_value
from privsynth.synthesizers.watching import check_callbacks
from privsynth.tables import as_frame, nested_columns, to_native, to_text_names
from privsynth.transforms.encoder import TableEncoder
from privsynth.transforms.inspection import name_identifiers
from privsynth.transforms.units import Persons, with_unit

DEFAULT_DELTA = 1e-5
BROKEN = (
    PrivsynthError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
)
"""What reading a forged model may raise; `_load` turns it into `BundleError`."""
Self = TypeVar("Self", bound="Synthesizer")
Learned = TypeVar("Learned")
Reserved = tuple[int, Mechanisms]


@dataclass(frozen=True, eq=False)
class PrivateTable:
    """Private rows, with what names and data types and the declared schema say about them.

    ``undeclared`` are columns that may turn out to be of another kind; ``arrow`` and ``numbers`` are types of pyarrow
    and names that were numbers, which sampled rows get back.
    """

    frame: pd.DataFrame
    schema: Schema
    undeclared: set[str]
    arrow: dict[str, str]
    numbers: dict[str, int]


class Synthesizer(Queries, BaseEstimator):
    """A model of a private table.

    Subclasses fill three holes: `_check_parameters`, `_learn` and `_mixture_of`, and say in
    `_model_to_dict` / `_model_from_dict` what they save.
    """

    epsilon: float | None
    delta: float | None
    schema: Any
    _callbacks: tuple[Callback, ...] = ()
    _start: Synthesizer | None = None
    _noise_source: type[NoiseSource] = SecureNoise
    """Tests replace this by `NoNoise`, which makes every certificate say epsilon = infinity."""

    def fit(
        self: Self,
        X: Any,
        y: Any = None,
        *,
        ledger: Ledger | None = None,
        callbacks: Sequence[Callback] = (),
        start: Synthesizer | None = None,
    ) -> Self:
        """Learn a private table.

        Parameters
        ----------
        X : DataFrame, dict of columns or ndarray of shape (n_rows, n_columns)
            The private rows, as they are: missing values, categories and times included.
        y : Series or array of shape (n_rows,), optional
            One more column, for scikit-learn pipelines.
        ledger : Ledger, optional
            The budget of the table, shared by several fits; without one the fit has a ledger of its own.
        callbacks : sequence of Callback, optional
            Are told of every step and checkpoint, and may end the training (`privsynth.callbacks`).
        start : CTGAN, optional
            A fitted model of another table with the same columns: its cells are taken over, and its weights to start
            from. Its own certificate goes on holding for the rows of that table; without privacy, they are taken as
            public. The target and the layers must be the same.

        Returns
        -------
        self

        Raises
        ------
        BudgetExceeded
            When the ledger has less left than ``epsilon`` and ``delta``; nothing has been read then.
        ParameterError, DataError, SchemaError
            When a parameter or the table is unusable; the message says what to change.
        """
        self._check_parameters()
        check_callbacks(callbacks)
        label = f"fit of {type(self).__name__}"
        budget, ledger = self._account(ledger, label)
        table = self._private_table(X, y, as_schema(self.schema)) if start is None else self._table_like(start, X, y)
        columns = {str(name): str(dtype) for name, dtype in table.frame.dtypes.items()}
        reserved = self._reserve(table, budget, ledger, label)
        start = copy.copy(start) if start is self else start  # it is forgotten next
        self._callbacks, self._start = tuple(callbacks), start
        self._forget()
        try:
            learned, certificate = self._spend(table, budget, ledger, reserved, self._learn)
            if start is not None:
                certificate = replace(certificate, start=start.certificate_)
            self.__dict__.update(learned, ledger_=ledger, certificate_=certificate)
            self.__dict__.update(arrow_=table.arrow, numbers_=table.numbers)
            self.columns_ = columns if start is None else dict(start.columns_)
            self._set_features(len(self.columns_) - (y is not None))
        except BaseException:
            self._forget()  # half a model would be one that no certificate or ledger speaks of
            raise
        finally:
            del self._callbacks, self._start
        return self

    def _account(self, ledger: Ledger | None, label: str) -> tuple[Budget, Ledger]:
        """Return what is asked for and the ledger to spend it from, which has room for it as of now."""
        budget = self._own_budget(ledger)
        ledger = Ledger(budget) if ledger is None else ledger
        asked = math.inf if budget.epsilon is None else budget.epsilon
        ledger.check(label, epsilon=asked, delta=budget.delta)
        return budget, ledger

    def _private_table(self, X: Any, y: Any, declared: Schema) -> PrivateTable:
        """Return the rows and what is public about them; refuses by names and data types."""
        frame, numbers = to_text_names(as_frame(X, y))
        frame, arrow = to_native(frame)
        schema = resolve_schema(declared, frame)
        ruled = {name for rule in schema.rules for name in rule.columns}
        undeclared = set(schema) - set(declared) - ruled - {schema.privacy_unit}
        schema = with_unit(name_identifiers(schema, frame.dtypes, undeclared - self._modelled_anyway()), frame)
        self._check_columns(schema)
        _refuse_nested(frame, schema)
        return PrivateTable(frame, schema, undeclared, arrow, numbers)

    def _reserve(self, table: PrivateTable, budget: Budget, ledger: Ledger, label: str) -> Reserved:
        """Set the budget aside before anything is read; return the ledger's entry, and what may spend it."""
        asked = math.inf if budget.epsilon is None else budget.epsilon
        if not budget.is_private:
            warnings.warn(
                "epsilon=None: this model is NOT private. Exact statistics of the rows will be in it.",
                PrivsynthWarning,
                stacklevel=3,
            )
        unit = Unit(table.schema.privacy_unit).name
        mechanisms = Mechanisms(self._noise_source(), private=budget.is_private)
        entry = ledger.reserve(label, epsilon=asked, delta=budget.delta, unit=unit)
        return entry, mechanisms

    def _spend(
        self, table: PrivateTable, budget: Budget, ledger: Ledger, reserved: Reserved, learn: Callable[..., Learned]
    ) -> tuple[Learned, Certificate]:
        """Let `learn` read the rows, settle what that cost, and certify it."""
        entry, mechanisms = reserved
        asked = math.inf if budget.epsilon is None else budget.epsilon
        cost = (asked, budget.delta)  # whatever it fails on may depend on rows: all is spent
        try:
            learned = learn(table.frame, table.schema, table.undeclared, budget, mechanisms)
            return learned, self._certify(mechanisms, budget)
        except ParameterError:  # the plan found the budget hopeless, from the row count (and rows per person)
            if all(isinstance(charge.event, PureDP) for charge in mechanisms.charges):
                counted = sum(c.event.epsilon for c in mechanisms.charges if isinstance(c.event, PureDP))
                cost = (min(asked, counted), 0.0)
            raise
        finally:
            ledger.settle(entry, epsilon=cost[0], delta=cost[1])

    def save(self, path: str | Path) -> None:
        """Write the model to one file of JSON and safetensors; it holds no rows and no pickle."""
        self._check_fitted()
        model, tensors = self._model_to_dict()
        parameters = self.get_params(deep=False)
        schema = parameters.pop("schema")
        if not isinstance(parameters.get("random_state"), (int, type(None))):
            parameters["random_state"] = None
        if isinstance(schema, (str, Path)):  # the file may be gone when the model is loaded
            schema = self.schema_
        bundle.write_bundle(
            path,
            {
                "class": type(self).__name__,
                "parameters": {k: to_json_value(v) for k, v in parameters.items()},
                "declared_schema": None if schema is None else Schema(schema).to_json(),
                "schema": self.schema_.to_json(),
                "columns": self.columns_,
                "arrow": self.arrow_,
                "numbers": self.numbers_,
                "n_features": self.n_features_in_,
                "encoder": self.encoder_.to_dict(),
                "persons": None if self.persons_ is None else self.persons_.to_dict(),
                "certificate": self.certificate_.to_dict(),
                "model": model,
            },
            tensors,
        )

    @classmethod
    def _load(cls: type[Self], path: str | Path, data: dict[str, Any], tensors: bundle.Arrays) -> Self:
        """Rebuild a model from what `save` wrote, or somebody else."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a file: it is refused, or nothing is said
                parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in data["parameters"].items()}
                declared = data["declared_schema"]
                parameters["schema"] = None if declared is None else Schema.from_json(declared)
                self = cls(**parameters)
                self.columns_ = {str(k): str(v) for k, v in data["columns"].items()}
                self.arrow_ = {str(k): str(v) for k, v in data.get("arrow", {}).items()}
                self.numbers_ = {str(k): int(v) for k, v in data.get("numbers", {}).items()}
                self.schema_ = Schema.from_json(data["schema"])
                self.encoder_ = TableEncoder.from_dict(data["encoder"])
                self.certificate_ = Certificate.from_dict(data["certificate"])
                self.persons_ = Persons.from_dict(data.get("persons"))
                check_columns(self.columns_, self.arrow_, self.numbers_, self.schema_, self.encoder_)
                check_claim(self.certificate_, self.schema_, self.encoder_, self.persons_)
                self._set_features(int(data.get("n_features", len(self.columns_))))
                self._model_from_dict(data["model"], tensors)
                with contextlib.suppress(*[ConditionError] * bool(self.schema_.rules)):  # rules may be false of a table
                    self.sample(2, random_state=0)  # what it would trip over later
        except BROKEN as error:
            detail = bundle.in_one_line(f"{type(error).__name__}: {error}")
            raise BundleError(f"{path} is no {cls.__name__} model ({detail}). Get a fresh copy.") from error
        return self

    def _certify(self, mechanisms: Mechanisms, budget: Budget) -> Certificate:
        """Write the certificate of a fit, which is for what was asked for, and check it against that."""
        mechanisms.forfeit()
        certificate = Certificate.of(mechanisms, delta=budget.delta)
        asked = math.inf if budget.epsilon is None else budget.epsilon
        if certificate.private and certificate.epsilon > asked * (1 + 1e-6):
            raise PrivacyError(
                f"The fit cost epsilon={certificate.epsilon:.6g}, more than the {asked:.6g} asked for. "
                "This is a defect of privsynth: please report it."
            )
        return certificate

    def _forget(self) -> None:
        """Drop what an earlier fit, or one that did not end, has learned: a model is of one fit or of none."""
        for name in [name for name in vars(self) if name.endswith("_") or name in ("_cached_sampler", "_split")]:
            delattr(self, name)

    def _set_features(self, n_features: int) -> None:
        """Say what was learned as scikit-learn does: of X, without a `y`."""
        self.feature_names_in_ = np.array(list(self.columns_)[:n_features], dtype=object)
        self.n_features_in_ = n_features

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that tables with missing values, text and categories are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.target_tags.required = False
        return tags

    def _own_budget(self, ledger: Ledger | None) -> Budget:
        """Return this fit's total: delta defaults to 1e-5, or to the ledger's in proportion to epsilon."""
        if self.delta is not None or ledger is None or self.epsilon is None:
            return Budget(self.epsilon, DEFAULT_DELTA if self.delta is None else self.delta)
        budget = Budget(self.epsilon, DEFAULT_DELTA)
        if not ledger.budget.is_private:
            return budget
        left = ledger.remaining
        share = min(1.0, (budget.epsilon or 0.0) / (left.epsilon or 1.0))
        return Budget(self.epsilon, left.delta * share)

    @abstractmethod
    def _check_parameters(self) -> None: ...

    @abstractmethod
    def _check_columns(self, schema: Schema) -> None: ...

    @abstractmethod
    def _table_like(self, start: Any, X: Any, y: Any) -> PrivateTable:
        """Return the rows as those of a fitted model's table; refuse a model that one cannot go on from."""

    @abstractmethod
    def _modelled_anyway(self) -> set[str]:
        """Return the columns that are modelled whatever they look like: no identifiers."""

    @abstractmethod
    def _learn(
        self, frame: pd.DataFrame, schema: Schema, undeclared: set[str], budget: Budget, mechanisms: Mechanisms
    ) -> dict[str, Any]:
        """Spend the budget; return what is kept as attributes, the schema with what was found out included.

        Nothing is to be set on `self`: a fit that fails, or costs more than was asked, must leave no model.
        """

    @abstractmethod
    def _model_to_dict(self) -> tuple[dict[str, Any], bundle.Arrays]: ...

    @abstractmethod
    def _model_from_dict(self, data: dict[str, Any], tensors: bundle.Arrays) -> None: ...


def _refuse_nested(frame: pd.DataFrame, schema: Schema) -> None:
    """Raise `DataError` for columns that hold no values, all of them at once."""
    learned = [n for n, c in schema.items() if not isinstance(c, Identifier) or n == schema.privacy_unit]
    if found := nested_columns(frame[learned]):
        listed = "; ".join(f"column {name!r} holds {kinds}" for name, kinds in found.items())
        raise DataError(
            f"These cannot be learned: {listed}. Turn them into strings or numbers in columns of their own, drop "
            "them, or declare them Identifier() to have keys made up instead."
        )
