"""What a fit costs is what was asked for, however much of it turned out to be needed."""

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN, Budget, Ledger
from privsynth.errors import DataError, NotFittedError, PrivacyError
from privsynth.privacy.events import Gaussian


@pytest.fixture
def digits():
    rng = np.random.default_rng(0)
    return pd.DataFrame({name: rng.integers(0, 4, 3000) for name in "abc"})


def test_what_was_not_needed_is_charged_all_the_same(digits):
    model = CTGAN(1.0, steps=2, verbose=False).fit(digits)  # small ranges: no atoms, no leaves
    unused = [charge.label for charge in model.certificate_.charges if charge.label.endswith("(unused)")]
    assert "levels and atoms (unused)" in unused
    assert "leaves, round 1 (unused)" in unused
    assert model.certificate_.epsilon == pytest.approx(1.0, rel=1e-4)


class Broken(CTGAN):
    """Fails when everything has been measured."""

    def _settings(self, plan, n_rows):
        raise DataError("no disk")


def test_a_fit_that_fails_after_its_releases_has_spent_all_it_reserved(digits):
    ledger = Ledger(Budget(2.0, 1e-5))
    with pytest.raises(DataError, match="no disk"):
        Broken(1.0, delta=1e-6, steps=2, verbose=False).fit(digits, ledger=ledger)
    assert ledger.spent == (1.0, 1e-6)


class Interrupted(CTGAN):
    """Is stopped when nothing but the row count has been released."""

    def _request(self, reshape, asked, mechanisms):
        assert [charge.label for charge in mechanisms.charges] == ["size"]
        raise KeyboardInterrupt


def test_a_fit_that_is_stopped_has_spent_all_it_reserved(digits):
    """Only the refusal of a hopeless budget is known to depend on the row count alone."""
    ledger = Ledger(Budget(2.0, 1e-5))
    with pytest.raises(KeyboardInterrupt):
        Interrupted(1.0, delta=1e-6, steps=2, verbose=False).fit(digits, ledger=ledger)
    assert ledger.spent == (1.0, 1e-6)
    assert ledger.spends[0].settled


class Overspending(CTGAN):
    """Releases something beside its plan."""

    def _learn(self, frame, schema, undeclared, budget, mechanisms):
        learned = super()._learn(frame, schema, undeclared, budget, mechanisms)
        mechanisms.allot("more", Gaussian(0.5))
        mechanisms.counts("more", np.array([len(frame)]), sensitivity=1.0)
        return learned


@pytest.mark.parametrize("cls", [Broken, Overspending])
def test_a_fit_that_fails_leaves_no_model(digits, cls):
    model = cls(1.0, steps=2, verbose=False)
    with pytest.raises((DataError, PrivacyError), match=r"no disk|more than the 1 asked for"):
        model.fit(digits)
    assert not [name for name in vars(model) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        model.sample(1)
