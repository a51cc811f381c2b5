"""The many-run audit on mechanisms that are what they claim, and on some that are not."""

import numpy as np
import pytest

from privsynth.errors import ParameterError
from privsynth.evaluation.membership import Fitted, audit_membership
from privsynth.privacy.accountant import epsilon_of
from privsynth.privacy.certificate import Certificate
from privsynth.privacy.events import Failure, Gaussian, PureDP
from privsynth.privacy.mechanisms import Charge

MU, DELTA = 1.0, 1e-5


def certificate(mu=MU):
    events = [PureDP(0.05), Gaussian(mu), Failure(1e-9)]
    charges = tuple(Charge(type(e).__name__, e, 0.0, 0.0, 0) for e in events)
    return Certificate(epsilon_of(events, delta=DELTA), DELTA, charges, "test", {})


def find(effect, *, runs=300, noise=1.0, confidence=0.95, seed=0):
    """Audit a Gaussian whose row moves it by `effect`, with `noise` in place of 1."""
    rng = np.random.default_rng([seed, 1])
    stated = certificate()

    def fit_once(member):
        return Fitted(effect * member + rng.normal(scale=noise), stated)

    return audit_membership(fit_once, runs=runs, effect=MU, confidence=confidence, rng=np.random.default_rng(seed))


def test_right_mechanisms_are_not_refuted_and_found_as_expected():
    found = [find(MU, seed=seed) for seed in range(20)]
    assert not any(audit.is_exceeded for audit in found)  # noise is seeded: no chance is involved
    for which in range(2):
        bounds = [audit.bounds[which] for audit in found]
        middle = np.median([bound.lower for bound in bounds])
        assert abs(middle - bounds[0].expected) < 0.1
        assert max(bound.evidence["chance of false alarm"] for bound in bounds) < 0.001
    assert [bound.quantity for bound in found[0].bounds] == ["epsilon at delta=1e-05", "mu of Gaussian DP"]
    assert found[0].bounds[1].claim == MU


@pytest.mark.parametrize(("effect", "noise"), [(2 * MU, 1.0), (MU, 0.5), (MU, 0.0)])
def test_planted_faults_are_caught(effect, noise):
    assert all(find(effect, noise=noise, seed=seed).is_exceeded for seed in range(10))


def test_confidence_is_paid_for():
    loose, strict = (find(MU, confidence=c) for c in (0.8, 0.999))
    assert all(a.lower >= b.lower for a, b in zip(loose.bounds, strict.bounds, strict=True))
    assert loose.bounds[1].lower > strict.bounds[1].lower


def test_more_runs_promise_more():
    few, many = (find(MU, runs=runs).bounds for runs in (50, 1000))
    assert all(a.expected < b.expected < b.claim for a, b in zip(few, many, strict=True))


def test_what_no_attack_could_refute_is_said():
    for runs, vacuous in ((20, True), (2000, False)):
        bound = find(MU, runs=runs).bounds[0]
        assert bound.is_vacuous == vacuous
        assert bound.lower <= bound.reach == find(MU, runs=runs, noise=0.0).bounds[0].lower


@pytest.mark.parametrize("wrong", [{"runs": 3}, {"confidence": 1.0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        find(MU, **wrong)
