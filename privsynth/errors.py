"""The exceptions that privsynth raises, in one tree.

::

    PrivsynthError
    ├── ParameterError (ValueError)      a parameter of a class or function is off
    ├── DataError (ValueError)           the table cannot be learned from or compared
    │   └── SchemaError                  the table and its schema do not agree
    ├── ConditionError (ValueError)      rows were asked for that cannot exist
    ├── PrivacyError
    │   └── BudgetExceeded               a ledger has less left than was asked for
    ├── BundleError (ValueError)         a model file is truncated, tampered with or foreign
    ├── NotFittedError (ValueError)      ``sample`` or ``save`` before ``fit``
    └── MissingExtraError (ImportError)  an optional package is not installed

and one warning, :class:`PrivsynthWarning`.

Every message names what was wrong, what was wanted, what was got, and how to mend it.
"""

from __future__ import annotations

from sklearn.exceptions import NotFittedError as _SklearnNotFittedError


class PrivsynthError(Exception):
    """Base of everything that privsynth raises on purpose."""


class ParameterError(PrivsynthError, ValueError):
    """A parameter is outside what its class or function takes."""


class DataError(PrivsynthError, ValueError):
    """A table cannot be learned from, or cannot be compared."""


class SchemaError(DataError):
    """A table and its schema do not agree, or a schema is malformed."""


class ConditionError(PrivsynthError, ValueError):
    """Rows were asked for that the model says cannot exist."""


class PrivacyError(PrivsynthError):
    """A privacy rule would be broken by going on."""


class BudgetExceeded(PrivacyError):
    """A ledger has less budget left than a fit asked for."""


class BundleError(PrivsynthError, ValueError):
    """A model file is truncated, tampered with, or not a privsynth model."""


class NotFittedError(PrivsynthError, _SklearnNotFittedError):
    """A method that needs a fitted model was called before ``fit``."""


class MissingExtraError(PrivsynthError, ImportError):
    """A feature needs an optional package that is not installed."""


class PrivsynthWarning(UserWarning):
    """Something works, but not as the user may expect."""
