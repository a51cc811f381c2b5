"""The audit of the installed package, and its command."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from privsynth import CTGAN
from privsynth.audit import audit, audit_fits, worst_case
from privsynth.cli import app
from privsynth.datasets import make_transactions
from privsynth.errors import ParameterError
from privsynth.privacy.accountant import total_mu
from privsynth.privacy.events import SubsampledGaussian
from privsynth.privacy.noise import SecureNoise

SMALL = ["--runs", 20, "--canaries", 500, "--steps", 2, "--random-state", 0]


def run(*arguments):
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with DP-SGD, and one without privacy."""
    folder = tmp_path_factory.mktemp("audit")
    table = make_transactions(3000, fraud_rate=0.2, random_state=0)[["amount", "channel", "is_fraud"]]
    settings = {"target": "is_fraud", "steps": 2, "generator_dim": (8,), "verbose": False}
    with pytest.warns(UserWarning, match="NOT private"):
        CTGAN(None, **settings).fit(table).save(folder / "open")
    fitted = CTGAN(4.0, critic="both", discriminator_steps=5, **settings).fit(table)
    fitted.save(folder / "model")
    return folder, fitted.certificate_


def test_the_audited_tables_differ_by_one_row_with_cells_of_its_own():
    without, with_row = worst_case(False), worst_case(True)
    pd.testing.assert_frame_equal(with_row[:-1], without)
    assert all(set(without[name]).isdisjoint({with_row[name].iloc[-1]}) for name in without)


def find(**settings):
    return audit_fits(4.0, 1e-5, runs=80, rng=np.random.default_rng(0), **settings)


def test_right_fits_are_not_refuted():
    """At confidence 0.9999 the chance of a false alarm, computed exactly, is below 1e-6."""
    found = find(confidence=0.9999)
    assert not found.is_exceeded
    assert max(bound.evidence["chance of false alarm"] for bound in found.bounds) < 1e-6
    assert found.facts["fits each way"] == 80


def test_fits_without_noise_are_caught(monkeypatch):
    """The planted fault, at the same confidence."""

    def without_noise(self, values, *, scale):
        return values.astype(float)

    monkeypatch.setattr(SecureNoise, "discrete_gaussian", without_noise)
    assert find(confidence=0.9999).is_exceeded


def test_the_report_is_a_page_that_says_what_a_lower_bound_is():
    report = audit(runs=20, canaries=500, steps=2, random_state=0, confidence=0.999999)
    text = str(report)
    assert len(text.splitlines()) < 40
    assert "It is not the epsilon of the mechanism or of any model" in text
    assert "No lower bound exceeds its claim (4 bounds; " in text
    assert " could not have, raise --runs and --canaries)." in text
    assert "^ a perfect attack would have proved" in text
    assert json.loads(json.dumps(report.to_dict()))["exceeded"] is False


def test_command_writes_json_and_exits_with_0(tmp_path):
    result = run(*SMALL, "--confidence", 0.999999, "-o", tmp_path / "audit.json")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert [bound["claim"] for bound in found["audits"][0]["bounds"]] == pytest.approx([4.0, 0.923], abs=5e-3)
    assert found["verdict"] in result.stdout


def test_command_exits_with_1_where_a_bound_exceeds_its_claim(monkeypatch):
    def without_noise(self, values, *, scale):
        return np.array(values)

    monkeypatch.setattr(SecureNoise, "add_gaussian", without_noise)
    result = run(*SMALL[:2], "--canaries", 4000, *SMALL[4:])
    assert result.exit_code == 1, result.output
    assert "THE LOWER BOUND EXCEEDS THE CLAIM" in result.stdout
    assert "A LOWER BOUND EXCEEDS ITS CLAIM: the implementation leaks more than it states, or chance" in result.stdout


def test_a_model_is_audited_at_what_its_certificate_states(model, tmp_path):
    folder, certificate = model
    result = run(
        folder / "model", "--runs", 20, "--canaries", 500, "--confidence", 0.999999, "-o", tmp_path / "audit.json"
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert certificate.statement() in result.stdout
    trained, fitted = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))["audits"]
    events = [charge.event for charge in certificate.charges]
    (steps,) = (event for event in events if isinstance(event, SubsampledGaussian))
    assert trained["facts"]["noise multiplier"] == steps.noise_multiplier
    assert trained["facts"]["rate"] == steps.sampling_rate
    assert trained["facts"]["steps"] == steps.steps
    assert fitted["bounds"][1]["claim"] == pytest.approx(total_mu(events), rel=1e-6)
    moved = fitted["facts"]["deviations that the row moves the statistic by"]
    assert moved == pytest.approx(total_mu(events), rel=1e-6)


def test_a_model_without_privacy_claims_nothing(model):
    result = run(model[0] / "open")
    assert result.exit_code == 2
    assert "is not private: it claims nothing that an audit could refute" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--epsilon", 0], "--epsilon must be above 0"),
        (["--confidence", 1], "confidence"),
        (["--sampling-rate", 2], "sampling_rate"),
        (["-o", "audit.txt"], "must end in .json"),
        (["nowhere", "--epsilon", 1], "With a MODEL, its certificate states what --epsilon would set"),
        (["nowhere"], "nowhere"),
    ],
)
def test_refusals(arguments, told):
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_settings_of_the_function_are_checked():
    with pytest.raises(ParameterError, match="epsilon"):
        audit(math.inf)
