"""Simulated sensitive tables with a known structure, for examples, tests and benchmarks.

Nobody's data is in them, so they can be shared, and their label is drawn from rules that are written down,
so that one can ask whether a synthetic copy kept those rules.

>>> from privsynth.datasets import make_patients, make_transactions
>>> make_transactions(1_000, random_state=0).shape, make_patients(1_000, random_state=0).shape
((1000, 12), (1000, 15))
"""

from privsynth.datasets._patients import make_patients
from privsynth.datasets._transactions import make_transactions

__all__ = ["make_patients", "make_transactions"]
