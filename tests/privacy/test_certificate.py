"""The certificate can be recomputed from its own charges, and a forged one cannot."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.errors import PrivacyError
from privsynth.privacy.accountant import epsilon_of
from privsynth.privacy.certificate import Certificate
from privsynth.privacy.events import BoundedRange, Failure, Gaussian, PureDP, SubsampledGaussian
from privsynth.privacy.mechanisms import Charge, Mechanisms
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.privacy.unit import Unit

DELTA = 1e-5


def spent(noise=None, private=True, train=True, unit=None):
    mechanisms = Mechanisms(noise or SecureNoise(), private=private)
    if unit is not None:
        mechanisms.persons(np.array([50, 60]), epsilon=0.05)
        mechanisms.protect(unit)
    mechanisms.size(1000, epsilon=0.05)
    events = {
        "levels": Gaussian(0.2),
        "levels (delta)": Failure(1e-6),
        "1-way counts": Gaussian(0.3),
        "selection": BoundedRange(0.2, 3),
        "DP-SGD": SubsampledGaussian(2.0, 0.02, 100),
    }
    for label, event in events.items():
        mechanisms.allot(label, event)
    mechanisms.discover("levels", [np.array([500, 1])])
    mechanisms.counts("1-way counts", np.array([5, 6]), sensitivity=1.0)
    mechanisms.choose("selection", np.zeros(4), sensitivity=1.0)
    if train:
        mechanisms.train("DP-SGD", clip_norm=1.0)
    return mechanisms


@pytest.fixture(scope="module")
def certificate():
    return Certificate.of(spent(), delta=DELTA)


def test_round_trip_through_json(certificate):
    again = Certificate.from_dict(json.loads(json.dumps(certificate.to_dict(), allow_nan=False)))
    assert again == certificate
    again.verify()
    assert again.recompute() == certificate.epsilon
    assert str(again) == str(certificate)


def test_it_states_epsilon_delta_and_every_charge(certificate):
    text = str(certificate)
    assert f"{certificate.epsilon:.4g}" in certificate.statement()
    assert "1e-05" in certificate.statement()
    assert all(charge.label in text for charge in certificate.charges)
    assert "AES-256" in text
    assert certificate.to_dict()["failure_delta"] == pytest.approx(1e-6)


def cheaper(event):
    if isinstance(event, PureDP):
        return PureDP(event.epsilon / 2)
    if isinstance(event, Gaussian):
        return Gaussian(event.mu / 2)
    if isinstance(event, BoundedRange):
        return BoundedRange(event.eta, event.count - 1)
    if isinstance(event, SubsampledGaussian):
        return SubsampledGaussian(event.noise_multiplier * 2, event.sampling_rate, event.steps)
    return Failure(event.delta / 2)


def altered(charge):
    """Return a charge that costs less, with the noise that fits: an event alone is found by its noise."""
    event = cheaper(charge.event)
    noisier = 1.0 if isinstance(event, (BoundedRange, Failure)) else 2.0
    return replace(charge, event=event, scale=charge.scale * noisier)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("way", ["removed", "altered"])
def test_an_epsilon_that_leaves_out_a_charge_is_refused(certificate, number, way):
    """Whoever understates epsilon must also hide charges: with all of them listed it does not add up."""
    charges = list(certificate.charges)
    if way == "removed":
        del charges[number]
    else:
        charges[number] = altered(charges[number])
    understated = epsilon_of([c.event for c in charges], delta=DELTA)
    assert understated < certificate.epsilon / 1.001
    replace(certificate, charges=tuple(charges), epsilon=understated).verify()
    with pytest.raises(PrivacyError, match="Do not trust"):
        replace(certificate, epsilon=understated).verify()


def test_an_event_that_its_own_noise_contradicts_is_refused(certificate):
    """Each direction: a cheaper event with the noise of the dear one, and less noise with the same event."""
    seen = []
    for number, charge in enumerate(certificate.charges):
        event = cheaper(charge.event)
        for changed in (replace(charge, event=event), replace(charge, scale=charge.scale / 2)):
            charges = list(certificate.charges)
            charges[number] = changed
            told = refusal(replace(certificate, charges=tuple(charges)))
            if told:
                seen.append((type(event), "does not cost" in told))
    assert seen.count((Gaussian, True)) >= 4
    assert {(kind, True) for kind in (PureDP, Gaussian, BoundedRange, SubsampledGaussian)} == set(seen)


def refusal(certificate):
    try:
        certificate.verify()
    except PrivacyError as error:
        return str(error)
    return ""


@settings(max_examples=25)
@given(share=st.floats(0.0, 0.998))
def test_no_smaller_epsilon_verifies(share):
    certificate = Certificate.of(spent(train=False), delta=DELTA)
    certificate.verify()
    with pytest.raises(PrivacyError, match="its listed events cost"):
        replace(certificate, epsilon=share * certificate.epsilon).verify()


def test_a_smaller_delta_does_not_verify(certificate):
    with pytest.raises(PrivacyError, match="Do not trust"):
        replace(certificate, delta=1e-8).verify()


@pytest.mark.parametrize("mechanisms", [spent(private=False, train=False), spent(NoNoise(), train=False)])
def test_without_noise_it_claims_nothing(mechanisms):
    certificate = Certificate.of(mechanisms, delta=DELTA)
    assert certificate.epsilon == math.inf
    assert not certificate.private
    assert certificate.statement().startswith("NOT private")
    data = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    assert data["epsilon"] is None
    again = Certificate.from_dict(data)
    assert again == certificate
    again.verify()
    with pytest.raises(PrivacyError, match="Do not trust"):
        replace(certificate, epsilon=1.0).verify()


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "Free"},
        {"kind": "PureDP", "epsilon": -5.0},
        {"kind": "Gaussian", "mu": "0.1"},
        {"kind": "Failure", "delta": -1e-5},
        {"kind": "BoundedRange", "eta": 1.0, "count": -9},
    ],
)
def test_unknown_and_negative_events_are_refused(certificate, event):
    data = certificate.to_dict()
    data["charges"][2]["event"] = event
    with pytest.raises(PrivacyError):
        Certificate.from_dict(data)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *[("epsilon", bad) for bad in (math.nan, -1.0, "1", math.inf)],
        *[("delta", bad) for bad in (math.nan, 0.0, 5.0)],
        *[("sensitivity", math.nan), ("scale", math.nan), ("scale", -1.0)],
        *[("label", "size\nVerified: all is well"), ("label", "\x1b[2J"), ("noise", "\u202e")],
        *[("charges", 7), ("charges", [[]]), ("versions", None), ("privacy_unit", {"column": "x"})],
    ],
)
def test_numbers_without_order_and_text_for_terminals_are_refused(certificate, name, bad):
    data = certificate.to_dict()
    (data["charges"][0] if name in ("sensitivity", "scale", "label") else data)[name] = bad
    with pytest.raises(PrivacyError, match="no privsynth certificate"):
        Certificate.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "{}", "null", "[1]", "[" * 100_000, '{"epsilon": 1e999}', "\x00"])
def test_what_is_no_certificate_is_told(text):
    with pytest.raises(PrivacyError, match="no privsynth certificate"):
        Certificate.from_json(text)


@pytest.mark.parametrize(
    "event",
    [
        Gaussian(1e300),
        BoundedRange(1e300),
        BoundedRange(1.0, 10**300),
        PureDP(1e308),
        SubsampledGaussian(1e-300, 1, 1),
        SubsampledGaussian(0.01, 0.5, 10),
        SubsampledGaussian(1.0, 0.5, 10**9),
    ],
)
def test_absurd_costs_are_refused_without_a_crash(certificate, event):
    charges = (*certificate.charges, Charge("more", event, 0.0, 0.0, 0))
    with pytest.raises(PrivacyError, match="Do not trust"):
        replace(certificate, charges=charges).verify()


def test_words_and_sums_of_a_file_are_not_believed(certificate):
    data = certificate.to_dict()
    data["statement"] = "perfect privacy"
    data["composition"]["epsilon_rest"] = 0.0
    data["charges"][0]["mechanism"] = "magic"
    data["not_covered"] = []
    assert Certificate.from_json(json.dumps(data)).to_dict() == certificate.to_dict()


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("unit", [None, Unit("customer", 1)])
def test_its_parts_add_up(train, unit):
    certificate = Certificate.of(spent(train=train, unit=unit), delta=DELTA)
    parts = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    sums = parts["composition"]
    first = sum(part["epsilon"] for part in sums["epsilon_added"])
    assert [part["label"] for part in sums["epsilon_added"]] == (["rows per person"] if unit else []) + ["size"]
    assert first + sums["epsilon_rest"] == pytest.approx(certificate.epsilon)
    assert sums["delta_rest"] + sum(part["delta"] for part in sums["delta_taken_off"]) == pytest.approx(DELTA)
    mus = [charge["cost"]["mu"] for charge in parts["charges"] if "mu" in charge["cost"]]
    assert sums["mu_rest"] == pytest.approx(math.hypot(*mus))
    assert sum(charge["share_of_mu_squared"] or 0 for charge in parts["charges"]) == pytest.approx(1)
    if train:
        assert sums["dp_sgd"] == [{"noise_multiplier": 2.0, "sampling_rate": 0.02, "steps": 100}]
        assert sums["delta_of_epsilon_rest"] is None
        assert "PRV" in parts["accountant"]
    else:
        assert sums["dp_sgd"] == []
        assert sums["delta_of_epsilon_rest"] == pytest.approx(sums["delta_rest"], rel=1e-6)
        assert "closed form" in parts["accountant"]


@pytest.mark.parametrize("train", [False, True])
def test_an_accountant_of_somebody_else_agrees(train):
    """dp-accounting on the listed events: exact within 1e-4 without DP-SGD, never above our bound by more with it."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant

    data = Certificate.of(spent(train=train), delta=DELTA).to_dict()
    accountant = PLDAccountant()
    for charge in data["charges"]:
        event = charge["event"]
        if "mu" in charge["cost"]:
            accountant.compose(GaussianDpEvent(1 / charge["cost"]["mu"]))
        elif event["kind"] == "SubsampledGaussian":
            step = PoissonSampledDpEvent(event["sampling_rate"], GaussianDpEvent(event["noise_multiplier"]))
            accountant.compose(step, event["steps"])
    other = sum(c["cost"].get("epsilon", 0.0) for c in data["charges"])
    other += accountant.get_epsilon(data["composition"]["delta_rest"])
    assert data["epsilon"] == pytest.approx(other, abs=0.02 if train else 1e-3)
    assert other <= data["epsilon"] * 1.001


def test_it_holds_parameters_only():
    charge = Charge("1-way counts", Gaussian(0.3), 1.0, 1 / 0.3, 2)
    a, b = (Mechanisms(SecureNoise(), private=True) for _ in range(2))
    for mechanisms, counts in ((a, [5, 6]), (b, [5000, 0])):
        mechanisms.allot("1-way counts", Gaussian(0.3))
        mechanisms.counts("1-way counts", np.array(counts), sensitivity=1.0)
    assert Certificate.of(a, delta=DELTA).to_dict() == Certificate.of(b, delta=DELTA).to_dict()
    assert a.charges == (charge,)


@pytest.mark.parametrize("unit", [Unit("customer", 8, chosen=True), Unit("customer", 3), Unit("customer", 1)])
def test_it_says_who_is_protected_and_how_the_cap_came_about(unit):
    certificate = Certificate.of(spent(train=False, unit=unit), delta=DELTA)
    data = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    assert data["privacy_unit"] == {"column": "customer", "max_rows": unit.rows, "chosen_privately": unit.chosen}
    again = Certificate.from_dict(data)
    assert again == certificate
    again.verify()
    for text in (certificate.statement(), data["unit"], str(certificate)):
        assert f"one person added or removed (all rows with the same 'customer', of which at most {unit.rows} " in text
    assert ("chosen from the released rows per person" in str(certificate)) == unit.chosen
    assert not any("row by row" in line for line in data["not_covered"])
    assert [(c["label"], c["sensitivity"]) for c in data["charges"][:2]] == [
        ("rows per person", 1),
        ("size", unit.rows),
    ]


def test_rows_are_said_to_be_rows_and_old_certificates_are_about_rows(certificate):
    assert "one row added or removed" in certificate.statement()
    assert any("row by row" in line for line in certificate.not_covered)
    data = certificate.to_dict()
    del data["privacy_unit"]
    assert Certificate.from_dict(data) == certificate


@pytest.mark.parametrize("name", ["size", "levels", "1-way counts", "selection"])
def test_a_charge_for_fewer_rows_than_a_person_has_is_refused(name):
    """Rows relabelled as persons: epsilon adds up, the sensitivities do not."""
    certificate = Certificate.of(spent(train=False, unit=Unit("customer", 8)), delta=DELTA)
    certificate.verify()
    charges = [replace(c, sensitivity=c.sensitivity / 8) if c.label == name else c for c in certificate.charges]
    with pytest.raises(PrivacyError, match=f"{name}.* fewer"):
        replace(certificate, charges=tuple(charges)).verify()


def test_a_certificate_for_rows_is_none_for_persons(certificate):
    for unit in (Unit("customer", 2), Unit("customer", 8)):
        with pytest.raises(PrivacyError, match="Do not trust"):
            replace(certificate, unit=unit).verify()
    trained = Certificate.of(spent(unit=Unit("customer", 1)), delta=DELTA)
    trained.verify()
    only = tuple(c for c in trained.charges if c.label == "DP-SGD")
    with pytest.raises(PrivacyError, match="DP-SGD"):
        replace(trained, charges=only, unit=Unit("customer", 2)).verify()
