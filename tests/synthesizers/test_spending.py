"""A fit and its ledger: nothing is read before it is paid for, and no model is left that no ledger speaks of."""

import ctypes
import faulthandler
import mmap
import multiprocessing
import os
import pickle
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from privsynth import CTGAN, Budget, Ledger
from privsynth.errors import BudgetExceeded, NotFittedError, PrivacyError
from privsynth.schema import Continuous

N_ROWS = 4096
SCHEMA = {"amount": Continuous(0, 100, nullable=False), "late": Continuous(0, 1, decimals=0, nullable=False)}
pytestmark = pytest.mark.filterwarnings("ignore::privsynth.errors.PrivsynthWarning")


def small(**parameters):
    defaults = {"schema": SCHEMA, "delta": 1e-6, "steps": 2, "critic": "measured", "verbose": False}
    return CTGAN(**{**defaults, **parameters})


def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame({"amount": rng.uniform(0, 100, N_ROWS), "late": rng.integers(0, 2, N_ROWS).astype(float)})


def unreadable(frame):
    """Return the frame on memory that the process may not read: the first look at a value kills it."""
    size = frame.size * 8
    pages = mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
    values = np.frombuffer(pages, dtype=np.float64, count=frame.size).reshape(frame.shape)
    values[:] = frame.to_numpy()
    hidden = pd.DataFrame(values, columns=frame.columns, copy=False)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(values.ctypes.data), ctypes.c_size_t(len(pages)), 0) == 0
    return hidden


def _fit_unreadable(ledger, epsilon, results):
    faulthandler.disable()  # what it would print is meant to happen
    torch.set_num_threads(1)
    try:
        small(epsilon=epsilon).fit(unreadable(table()), ledger=ledger)
    except BudgetExceeded as error:
        results.put(str(error))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="protects memory as Linux does")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("epsilon", [0.6, 1.5])
def test_an_overdraft_does_not_touch_the_rows(tmp_path, epsilon):
    """The twin within the budget dies of its first touch."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    ledger = Ledger(Budget(1.0, 1e-5), path=tmp_path / "ledger.json")
    child = context.Process(target=_fit_unreadable, args=(ledger, epsilon, results))
    child.start()
    child.join(60)
    assert child.exitcode == (-signal.SIGSEGV if epsilon < 1 else 0)
    assert epsilon < 1 or "asks for epsilon=1.5" in results.get()
    assert not ledger.path.exists()


class Looked(BaseException):
    """A value was looked at."""


class Watched:
    """A value that can be copied, and asked for its type, and nothing else."""

    def _noticed(self, *_):
        raise Looked

    __eq__ = __lt__ = __gt__ = __le__ = __ge__ = __hash__ = __str__ = __repr__ = __bool__ = __float__ = _noticed
    __int__ = __index__ = __len__ = __iter__ = __add__ = __format__ = _noticed


def _without_room(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("room", [False, True])
def test_without_a_reservation_no_value_is_looked_at(tmp_path, monkeypatch, room):
    """The disk is full when the ledger is to be written; the twin with room for it has reserved when it looks."""
    ledger = Ledger(Budget(1.0, 1e-5), path=tmp_path / "ledger.json")
    frame = pd.DataFrame({"price": [Watched() for _ in range(100)]}, dtype=object)
    schema = {"price": Continuous(0, 1, form="decimal")}
    if not room:
        monkeypatch.setattr(os, "fsync", _without_room)
    with pytest.raises(Looked if room else PrivacyError):
        small(epsilon=0.6, schema=schema).fit(frame, ledger=ledger)
    monkeypatch.undo()
    assert len(ledger.spends) == (1 if room else 0)


class Interrupted(CTGAN):
    """Ends in the middle of things, as by Ctrl-C."""

    moment = "certificate"

    def _learn(self, *args):
        schema = super()._learn(*args)
        if self.moment == "learned":
            raise KeyboardInterrupt
        return schema

    def _certify(self, *args):
        if self.moment == "certificate":
            raise KeyboardInterrupt
        return super()._certify(*args)

    def _set_features(self, n_features):
        if self.moment == "settled":
            raise KeyboardInterrupt
        super()._set_features(n_features)


@pytest.mark.parametrize("moment", ["learned", "certificate", "settled"])
def test_a_fit_that_ends_early_leaves_no_model_and_its_cost(moment, tmp_path):
    """Nor the model of an earlier fit: its certificate would stand beside what the later one had learned."""
    ledger = Ledger(Budget(3.0, 1e-5))
    model = Interrupted(0.5, **{k: v for k, v in small().get_params().items() if k != "epsilon"})
    model.moment = None
    model.fit(table(), ledger=ledger)
    model.sample(1)
    model.moment = moment
    with pytest.raises(KeyboardInterrupt):
        model.set_params(epsilon=2.0).fit(table(), ledger=ledger)
    assert ledger.spent == pytest.approx((2.5, 2e-6))
    assert not [name for name in vars(model) if name.endswith("_")]
    for use in (lambda: model.sample(1), lambda: model.save(tmp_path / "model")):
        with pytest.raises(NotFittedError):
            use()
    assert not (tmp_path / "model").exists()


class Meddled(CTGAN):
    """Somebody deletes the ledger while the fit runs."""

    def _learn(self, *args):
        self.file.unlink()
        return super()._learn(*args)


def test_a_ledger_deleted_under_a_fit_yields_no_model(tmp_path):
    ledger = Ledger(Budget(1.0, 1e-5), path=tmp_path / "ledger.json")
    model = Meddled(**small(epsilon=0.5).get_params())
    model.file = ledger.path
    with pytest.raises(PrivacyError, match="is gone"):
        model.fit(table(), ledger=ledger)
    assert not [name for name in vars(model) if name.endswith("_")]
    assert not ledger.path.exists()


def test_refused_parameters_and_overdrafts_leave_the_earlier_model():
    ledger = Ledger(Budget(1.0, 1e-5))
    model = small(epsilon=0.6).fit(table(), ledger=ledger)
    with pytest.raises(BudgetExceeded):
        model.fit(table(), ledger=ledger)
    assert len(model.sample(3)) == 3


def test_every_fit_of_a_search_is_charged():
    ledger = Ledger(Budget(1.0, 1e-5))
    models = []
    for steps in (1, 2, 3):
        models.append(clone(small()).set_params(epsilon=0.3, steps=steps).fit(table(), ledger=ledger))
    assert all(model.ledger_ is ledger for model in models)
    assert ledger.spent == pytest.approx((0.9, 3e-6))
    with pytest.raises(BudgetExceeded):
        small(epsilon=0.3).fit(table(), ledger=ledger)


def test_grid_search_of_scikit_learn_charges_every_fold_and_the_refit():
    from sklearn.model_selection import GridSearchCV

    ledger, wanted = Ledger(Budget(1.0, 1e-5)), {"steps": [1, 2]}

    def score(model, rows, y=None):  # of released things only
        return -len(model.sample(2, random_state=0))

    search = GridSearchCV(small(epsilon=0.2), wanted, scoring=score, cv=2, error_score="raise")
    search.fit(table(), ledger=ledger)
    assert len(ledger.spends) == 2 * 2 + 1
    assert ledger.spent[0] == pytest.approx(1.0)
    with pytest.raises(BudgetExceeded):
        search.fit(table(), ledger=ledger)


def test_fits_in_threads_share_a_ledger():
    ledger, data = Ledger(Budget(1.0, 1e-5)), table()

    def fit(_):
        try:
            return small(epsilon=0.4, steps=1).fit(data, ledger=ledger)
        except BudgetExceeded:
            return None

    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(fit, range(4)))
    assert sum(model is not None for model in models) == 2
    assert ledger.spent == pytest.approx((0.8, 2e-6))
    assert all(spend.settled for spend in ledger.spends)


def test_a_fitted_model_pickles_and_its_own_ledger_stays_spent():
    model = pickle.loads(pickle.dumps(small(epsilon=0.5).fit(table())))
    assert model.ledger_.spent == (0.5, 1e-6)
    with pytest.raises(PrivacyError):
        small(epsilon=0.1).fit(table(), ledger=model.ledger_)
