"""A fit that starts from a model of another table: its cells and weights, and who answers for which rows."""

import json

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN, Budget, Ledger, load
from privsynth.errors import ParameterError, PrivacyError, SchemaError
from privsynth.kinds import Identifier
from privsynth.privacy.certificate import Certificate
from privsynth.schema import Schema
from tests.synthesizers.test_releasing import wide_frame
from tests.test_replay import Recorded, RecordedMechanisms, Recording, excesses

pytestmark = pytest.mark.filterwarnings("ignore::privsynth.errors.PrivsynthWarning")
SETTINGS = {"target": "kind", "steps": 30, "generator_dim": (16,), "verbose": False, "random_state": 0}


def model_of(epsilon=2.0, **parameters):
    return CTGAN(epsilon, **{**SETTINGS, **parameters})


@pytest.fixture(scope="module")
def public():
    return model_of(None).fit(wide_frame(0))


@pytest.fixture(scope="module")
def private():
    return model_of(3.0).fit(wide_frame(0))


def test_cells_and_weights_are_taken_over(public):
    columns = public.encoder_.columns
    before = {name: value.clone() for name, value in public.generator_.state_dict().items()}
    model = model_of(steps=1).fit(wide_frame(1), start=public)
    assert [c.to_dict() for c in model.encoder_.columns] == [c.to_dict() for c in columns]
    moved = [float((model.generator_.state_dict()[name] - value).abs().max()) for name, value in before.items()]
    assert 0 < max(moved) < 0.05  # a step from them, not weights drawn anew
    assert all(bool((public.generator_.state_dict()[name] == value).all()) for name, value in before.items())
    assert bool((model.pool_.latents == public.pool_.latents).all())


def test_nothing_is_found_out_again(public):
    labels = [charge.label for charge in model_of().fit(wide_frame(1), start=public).certificate_.charges]
    assert labels[:3] == ["size", "1-way counts", "columns by class"]
    assert not [label for label in labels if label.startswith(("leaves", "bounds", "forms", "levels"))]


@pytest.mark.parametrize("name", ["public", "private"])
def test_the_certificate_says_who_answers_for_which_rows(name, request, tmp_path):
    start = request.getfixturevalue(name)
    model = model_of().fit(wide_frame(1), start=start)
    certificate = model.certificate_
    certificate.verify()
    assert certificate.private
    assert certificate.epsilon == pytest.approx(2.0, rel=1e-4)
    assert certificate.start == start.certificate_
    assert "It started from a model of other rows." in certificate.statement()
    told = "they are taken as public" if name == "public" else "its own certificate holds, (3, 1e-05)"
    assert told in str(certificate)
    model.save(tmp_path / "model.psz")
    again = load(tmp_path / "model.psz")
    assert again.certificate_ == certificate
    assert Certificate.from_json(json.dumps(certificate.to_dict())) == certificate
    pd.testing.assert_frame_equal(again.sample(50, random_state=0), model.sample(50, random_state=0))


def test_the_ledger_of_the_new_rows_is_charged_and_of_the_old_ones_is_not(private):
    before, ledger = private.ledger_.spent, Ledger(Budget(5.0, 1e-4))
    model_of(2.0, delta=1e-5).fit(wide_frame(1), start=private, ledger=ledger)
    assert ledger.spent == (2.0, 1e-5)
    assert private.ledger_.spent == before
    assert "start" not in str(ledger.spends[0].label)


def test_the_same_table_again_adds_up_in_its_ledger():
    ledger = Ledger(Budget(5.0, 1e-4))
    model = model_of(1.0, delta=1e-5).fit(wide_frame(0), ledger=ledger)
    model.fit(wide_frame(0), start=model, ledger=ledger)
    assert ledger.spent == (2.0, 2e-5)
    assert model.certificate_.n_starts == 1
    model.sample(5)


def test_a_chain_of_starts_is_bounded(private):
    data = private.certificate_.to_dict()
    for _ in range(9):
        data = {**private.certificate_.to_dict(), "start": data}
    with pytest.raises(PrivacyError, match="more than 8 models"):
        Certificate.from_dict(data)


class Warm(Recorded):
    def _spend(self, table, budget, ledger, reserved, learn):
        recorded = RecordedMechanisms(reserved[1], self._recording, self.max_grad_norm)
        return super()._spend(table, budget, ledger, (reserved[0], recorded), learn)

    def _learn(self, *args):
        return CTGAN._learn(self, *args)


Warm.__name__ = "CTGAN"


def test_rows_act_through_the_mechanisms_alone(public, tmp_path):
    """Replay: what was released of one table is played back on a neighbour and on a table that is no neighbour."""
    recordings, saved = [], []
    frame = wide_frame(1)
    for number, rows in enumerate((frame, frame.iloc[1:], wide_frame(7, 500))):
        recordings.append(Recording(model=recordings[0] if number else None))
        model = Warm(8.0, **SETTINGS)
        model._recording = recordings[-1]
        model.fit(rows, start=public).save(tmp_path / f"{number}.psz")
        saved.append((tmp_path / f"{number}.psz").read_bytes())
    assert excesses(*recordings[:2]) == set()
    assert saved[0] == saved[1] == saved[2]


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"target": "city"}, ParameterError, "that of the model to start from, 'kind'"),
        ({"generator_dim": (8,)}, ParameterError, "generator_dim"),
        ({"embedding_dim": 8}, ParameterError, "embedding_dim"),
        ({"schema": Schema({"who": Identifier()}, privacy_unit="who")}, SchemaError, "Agree on one privacy_unit"),
    ],
)
def test_a_model_that_one_cannot_go_on_from_is_refused(public, change, error, told):
    ledger = Ledger(Budget(5.0))
    with pytest.raises(error, match=told):
        model_of(**change).fit(wide_frame(1), start=public, ledger=ledger)
    assert ledger.spent == (0, 0)


@pytest.mark.parametrize("start", ["model.psz", CTGAN(), 3])
def test_a_start_that_is_no_fitted_model_is_refused(start):
    with pytest.raises(ParameterError, match="a fitted CTGAN"):
        model_of().fit(wide_frame(1), start=start)


def test_other_columns_are_named(public):
    with pytest.raises(SchemaError, match=r"the table lacks: .*amount"):
        model_of().fit(wide_frame(1).drop(columns="amount"), start=public)
    with pytest.raises(SchemaError, match=r"that the model to start from lacks: \['iban'\]"):
        model_of().fit(wide_frame(1).assign(iban=np.arange(3000)), start=public)
