"""Differentially private synthetic tables.

>>> import privsynth
>>> privsynth.CTGAN(epsilon=1.0).get_params()["epsilon"]
1.0
"""

from privsynth._version import __version__
from privsynth.evaluation import evaluate
from privsynth.privacy.budget import Budget
from privsynth.privacy.ledger import Ledger
from privsynth.schema import Schema
from privsynth.synthesizers import CTGAN, TableRelease, load

__all__ = ["CTGAN", "Budget", "Ledger", "Schema", "TableRelease", "__version__", "evaluate", "load"]
