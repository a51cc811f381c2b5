"""The white-box audit: canaries do what they are said to, right code passes, planted faults are caught.

Who is in, and so the number of guesses, is seeded; noise and batches never are. Right code would have to be right
five standard deviations more often than it is to be refuted, which is asserted; half the noise is six beyond that.
"""

import numpy as np
import pytest
import torch

from privsynth.errors import ParameterError
from privsynth.evaluation.canaries import DPSGD, CanaryNet, attack, audit_dp_sgd, canary_rows, right_guesses
from privsynth.privacy.accountant import calibrate_noise_multiplier
from privsynth.privacy.noise import SecureNoise
from privsynth.training import private
from privsynth.training.private import clip_rows_, logistic_loss, row_gradients

SETTINGS = {"all rows": (4.0, 1.0, 10), "a twentieth of the rows": (2.0, 0.05, 40)}


def claim_of(setting):
    epsilon, rate, steps = SETTINGS[setting]
    sigma = calibrate_noise_multiplier([], sampling_rate=rate, steps=steps, epsilon=epsilon, delta=1e-5)
    return DPSGD(sigma, rate, steps)


def find(setting, seed=0):
    rng = np.random.default_rng(seed)
    return audit_dp_sgd(claim_of(setting), delta=1e-5, canaries=20_000, rng=rng)


def test_a_canary_has_the_clipping_norm_on_its_own_weight():
    side, norm = 5, 0.7
    net = CanaryNet(side)
    indices = np.array([0, 7, 24])
    _, parts = row_gradients(
        net,
        canary_rows(indices, side=side, length=1e4),
        loss=lambda logits: logistic_loss(logits, n_real=len(indices)),
    )
    (part,) = clip_rows_(parts, max_grad_norm=norm)
    for row, index in enumerate(indices):
        gradient = torch.outer(part.output_grads[row], part.inputs[row]).flatten()
        assert int(gradient.abs().argmax()) == index
        assert float(gradient[index]) == pytest.approx(-norm, rel=1e-5)
        assert float(gradient.norm()) == pytest.approx(norm, rel=1e-5)


def test_what_the_optimizer_is_given_is_as_claimed():
    """Means within 5.5 standard errors, variance within 5.5 of its own: false alarm below 2e-7."""
    claim = DPSGD(noise_multiplier=0.5, sampling_rate=1.0, steps=1)
    present = np.arange(10_000) % 2 == 0
    seen = attack(claim, present, max_grad_norm=3.0) * claim.noise_multiplier**2 + 0.5
    for chosen, mean in ((seen[present], 1.0), (seen[~present], 0.0)):
        assert abs(chosen.mean() - mean) < 5.5 * 0.5 / np.sqrt(len(chosen))
        assert abs(chosen.var() / 0.25 - 1) < 5.5 * np.sqrt(2 / len(chosen))


def test_guesses_are_counted():
    scores, present = np.array([0.3, -2.0, 5.0, 1.0]), np.array([False, False, True, False])
    assert right_guesses(scores, present, n_in=1, n_out=1) == 2
    assert right_guesses(scores, present, n_in=2, n_out=2) == 3
    assert right_guesses(scores, present, n_in=2, n_out=0) == 1


@pytest.mark.parametrize("setting", SETTINGS)
def test_right_code_is_not_refuted(setting):
    found = find(setting)
    assert not found.is_exceeded
    assert max(bound.evidence["chance of false alarm"] for bound in found.bounds) < 1e-6
    assert all(0 <= bound.expected < bound.claim for bound in found.bounds)


def without_noise(self, values, *, scale):
    return np.array(values)


def half_the_noise(self, values, *, scale, original=SecureNoise.add_gaussian):
    return original(self, values, scale=scale / 2)


def unclipped(parts, *, max_grad_norm):
    return parts


TWINS = {
    "no noise": (SecureNoise, "add_gaussian", without_noise),
    "half the noise": (SecureNoise, "add_gaussian", half_the_noise),
    "no clipping": (private, "clip_rows_", unclipped),
}


@pytest.mark.parametrize(
    ("twin", "setting"), [*((twin, "all rows") for twin in TWINS), ("half the noise", "a twentieth of the rows")]
)
def test_planted_faults_are_caught(monkeypatch, twin, setting):
    monkeypatch.setattr(*TWINS[twin])
    assert find(setting).is_exceeded


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"canaries": 10}, "canaries"), ({"confidence": 1.0}, "confidence")],
)
def test_settings_are_checked(wrong, told):
    with pytest.raises(ParameterError, match=told):
        audit_dp_sgd(claim_of("all rows"), **{"delta": 1e-5, "rng": np.random.default_rng(0), **wrong})


def test_a_claim_without_noise_is_refused():
    with pytest.raises(ParameterError, match="noise_multiplier"):
        audit_dp_sgd(DPSGD(0.0, 1.0, 1), delta=1e-5, rng=np.random.default_rng(0))
