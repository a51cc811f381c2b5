r"""A white-box audit of DP-SGD in one run: Dirac canaries through the code that trains the neural critic.

Steinke, Nasr and Jagielski 2023 (2305.08846), with the canaries of Nasr et al. 2023: each has a weight of its own. A
row (K e_j, e_k) meets a square layer W and has the logit e_k' (K W e_j), so its gradient lies on W[k, j] alone but for
1/K of it on a bias: m canaries take rows of 2 sqrt(m) numbers. The gradient is far longer than the clipping norm C.
The critic's learning rate is 0, so it stays so, and each step the optimizer is given::

    p.grad[k, j] * divisor = -C * [canary sampled] + N(0, (sigma C)^2)        if the code is as claimed

Batches, clipping, noise and divisor are `poisson_batches`, `private_step` and `private_adam` as they are. What
the rows of a real table do to a real critic is no part of this.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import binom
from torch import Tensor, nn

from privsynth._checks import check_int, check_real
from privsynth.evaluation.audit import Audit, Bound, Progress, no_progress
from privsynth.evaluation.bounds import (
    InversePower,
    curve_inverse_power,
    gaussian_inverse_power,
    largest_refuted,
    one_run_epsilon,
    one_run_mu,
    one_run_p_value,
    one_run_refuted,
)
from privsynth.nets.discriminator import Discriminator, LayerPass
from privsynth.privacy.accountant import epsilon_of
from privsynth.privacy.events import SubsampledGaussian
from privsynth.privacy.noise import SecureNoise
from privsynth.training.batches import poisson_batches
from privsynth.training.private import private_adam, private_step

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
_Run = tuple[FloatArray, BoolArray]  # scores, and who was in
_LENGTH = 1e4  # K, in units of max(1, C)
_TRIALS = 30  # of the ideal run: two thirds choose how many guesses are made, the others tell what to expect
_FEWEST = 100  # guesses: of fewer, chance has too much to say
_REACH = 0.98  # of the guesses: if more had to be right to refute the claim, a fault could not show
_DELTAS = (1e-6, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.02, 0.04, 0.08)  # where the claim's curve is asked for
_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)  # of canaries guessed in, and perhaps as many out


class CanaryNet(Discriminator):
    """A critic of one square layer in which every canary has a weight of its own; all weights are 0."""

    def __init__(self, side: int) -> None:
        nn.Module.__init__(self)
        layer = nn.utils.skip_init(nn.Linear, side, side)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        self.side = side
        self.layers = nn.ModuleList([layer])

    def forward(self, x: Tensor) -> Tensor:
        """Rows of shape (batch, 2 * side) to logits of shape (batch,)."""
        return self.traced_forward(x)[0]

    def traced_forward(self, x: Tensor) -> tuple[Tensor, list[LayerPass]]:
        """As `forward`, with the layer's pass kept."""
        (layer,) = self.linear_layers()
        inputs, chosen = x[:, : self.side].detach(), x[:, self.side :].detach()
        outputs = nn.functional.linear(inputs, layer.weight.detach(), layer.bias.detach()).requires_grad_()
        return (outputs * chosen).sum(dim=1), [LayerPass(layer, inputs, outputs)]


def canary_rows(indices: npt.NDArray[np.int64], *, side: int, length: float) -> Tensor:
    """Return the rows of some canaries: shape (n, 2 * side), `length` at the input, 1 at the output."""
    rows = torch.zeros(len(indices), 2 * side)
    at, which = torch.arange(len(indices)), torch.from_numpy(indices)
    rows[at, which % side] = length
    rows[at, side + which // side] = 1.0
    return rows


@dataclass(frozen=True)
class DPSGD:
    """What DP-SGD is claimed to be: noise in units of the clipping norm, Poisson rate, number of steps."""

    noise_multiplier: float
    sampling_rate: float
    steps: int

    @property
    def event(self) -> SubsampledGaussian:
        """The event that the accountant is given."""
        return SubsampledGaussian(self.noise_multiplier, self.sampling_rate, self.steps)

    def score(self, seen: FloatArray) -> FloatArray:
        """Return the log likelihood ratio of "in" and "out" of one step's value of each canary, noise included."""
        q, variance = self.sampling_rate, self.noise_multiplier**2
        sampled = (seen - 0.5) / variance
        return sampled if q == 1 else np.logaddexp(math.log1p(-q), math.log(q) + sampled)

    def ideal_scores(self, present: BoolArray, rng: np.random.Generator) -> FloatArray:
        """Draw scores as they are where everything is exactly as claimed."""
        if self.sampling_rate == 1:  # the sum of the steps
            mean, spread = self.steps * present, self.noise_multiplier * math.sqrt(self.steps)
            return rng.normal(mean, spread)
        total = np.zeros(len(present))
        for _ in range(self.steps):
            sampled = present & (rng.random(len(present)) < self.sampling_rate)
            total += self.score(sampled + rng.normal(scale=self.noise_multiplier, size=len(present)))
        return total


def attack(claim: DPSGD, present: BoolArray, *, max_grad_norm: float, progress: Progress = no_progress) -> FloatArray:
    """Train the canary net on the canaries that are `present` and return a score for each: higher for "in".

    Parameters
    ----------
    claim : DPSGD
        The settings of the run, and what the attacker believes of it.
    present : ndarray of bool, shape (n_canaries,)
        Which canaries are rows of the table.
    """
    side = math.isqrt(len(present) - 1) + 1
    net = CanaryNet(side)
    rows = canary_rows(np.flatnonzero(present), side=side, length=_LENGTH * max(1.0, max_grad_norm))
    noise = SecureNoise()
    batch_size = max(1, round(claim.sampling_rate * len(present) / 2))  # public: expected, not counted
    optimizer = private_adam(
        net,
        noise=noise,
        noise_multiplier=claim.noise_multiplier,
        max_grad_norm=max_grad_norm,
        batch_size=batch_size,
        learning_rate=0.0,
    )
    fake = torch.zeros(batch_size, 2 * side)  # no gradient
    (layer,) = net.linear_layers()
    scores = np.zeros(len(present))
    batches = poisson_batches(noise, n_rows=len(rows), rate=claim.sampling_rate, steps=claim.steps)
    for step, batch in enumerate(batches):
        private_step(net, optimizer, real=rows[torch.from_numpy(batch)], fake=fake)
        given = layer.weight.grad
        assert given is not None  # the step has just been taken
        seen = -given.flatten()[: len(present)].double().numpy() * (optimizer.expected_batch_size / max_grad_norm)
        scores += claim.score(seen)
        progress("DP-SGD on canaries", step + 1, claim.steps, {})
    return scores


def right_guesses(scores: FloatArray, present: BoolArray, *, n_in: int, n_out: int) -> int:
    """Count right guesses: "in" for the `n_in` highest scores, "out" for the `n_out` lowest, none for the rest."""
    order = np.argsort(scores, kind="stable")
    return int((~present[order[:n_out]]).sum() + present[order[len(order) - n_in :]].sum())


@dataclass(frozen=True)
class _Question:
    """A claim that right guesses can refute.

    ``refutes(right, guesses)`` says whether they do; ``bound(right, guesses)`` is the largest claim of its kind
    that they refute.
    """

    quantity: str
    claim: float
    refutes: Callable[[int, int], bool]
    bound: Callable[[int, int], float]

    def needed(self, guesses: int) -> int:
        """Return how many of `guesses` have to be right; one more than there are if none suffice."""
        low, high = guesses // 2, guesses + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.refutes(middle, guesses) else (middle, high)
        return high

    def choose_guesses(self, ideal: list[_Run], *, both: bool, confidence: float) -> tuple[int, int]:
        """Fix how many are guessed in and out: what bounds most where the code is right, by the quick bound on mu.

        Few guesses, of the surest canaries, do best there. Numbers of which (nearly) all had to be right to refute
        the claim are left out, if there are others: a fault could not show. "Out" is guessed with `both` only: under
        sampling who was never drawn cannot be told from who is out, however broken the noise.
        """
        n_canaries = len(ideal[0][1])
        sizes = sorted({min(max(_FEWEST, round(share * n_canaries)), n_canaries // 2) for share in _SHARES})
        options = [(n_in, n_out) for n_in in sizes for n_out in ((0, n_in) if both else (0,))]
        useful = [option for option in options if self.refutes(int(_REACH * sum(option)), sum(option))]

        def promise(option: tuple[int, int]) -> float:
            return one_run_mu(_typical(ideal, option), sum(option), n_canaries, confidence=confidence)

        return max(useful or options, key=promise)


def _typical(runs: list[_Run], option: tuple[int, int]) -> int:
    return int(np.median([right_guesses(*run, n_in=option[0], n_out=option[1]) for run in runs]))


def _questions(claim: DPSGD, *, delta: float, canaries: int, confidence: float) -> list[_Question]:
    """Return what is asked of a run: epsilon at delta, and the trade-off function of the claim."""

    def refutes(inverse_power: InversePower) -> Callable[[int, int], bool]:
        def question(right: int, guesses: int) -> bool:
            return one_run_refuted(right, guesses, canaries, inverse_power=inverse_power, confidence=confidence)

        return question

    epsilon = epsilon_of([claim.event], delta=delta)
    plain = _Question(
        f"epsilon at delta={delta:.2g}",
        epsilon,
        lambda right, guesses: (
            one_run_p_value(right, guesses, canaries, epsilon=epsilon, delta=delta) <= 1 - confidence
        ),
        lambda right, guesses: one_run_epsilon(right, guesses, canaries, delta=delta, confidence=confidence),
    )
    if claim.sampling_rate == 1:
        mu = math.sqrt(claim.steps) / claim.noise_multiplier
        by_mu = _Question(
            "mu of Gaussian DP",
            mu,
            refutes(gaussian_inverse_power(mu)),
            lambda right, guesses: one_run_mu(right, guesses, canaries, confidence=confidence),
        )
        return [plain, by_mu]

    deltas = sorted({delta, *_DELTAS})
    curve = [epsilon_of([claim.event], delta=d) for d in deltas]

    def multiple(factor: float) -> InversePower:
        return curve_inverse_power([factor * e for e in curve], deltas)

    by_curve = _Question(
        "multiple of epsilon(delta)",
        1.0,
        refutes(multiple(1.0)),
        lambda right, guesses: largest_refuted(lambda factor: refutes(multiple(factor))(right, guesses)),
    )
    return [plain, by_curve]


def audit_dp_sgd(
    claim: DPSGD,
    *,
    delta: float,
    canaries: int = 10_000,
    confidence: float = 0.95,
    max_grad_norm: float = 1.0,
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> Audit:
    """Audit the DP-SGD code in one run of `claim.steps` steps.

    Parameters
    ----------
    claim : DPSGD
        What is run and what is claimed of it.
    delta : float
        Where epsilon is claimed and bounded.
    canaries : int
        How many, at least 100; half of them will be rows. More make the bound tighter.
    confidence : float
        Of each bound.
    rng : numpy Generator
        Draws who is in, and the ideal runs; never the noise or the batches of the run.

    Returns
    -------
    Audit
        A bound on epsilon at `delta`, and a sharper one that uses all that is claimed, the whole trade-off function:
        at rate 1, where that is Gaussian DP, on mu; else on the least multiple of the stated curve epsilon(delta), at
        ten deltas at once, that can be true. There the claim is 1.
    """
    start = time.perf_counter()
    canaries = check_int("audit_dp_sgd", "canaries", canaries, low=100)
    check_real("audit_dp_sgd", "confidence", confidence, low=0.5, high=1.0, high_open=True)
    check_real("audit_dp_sgd", "noise_multiplier", claim.noise_multiplier, low=0.0, low_open=True)
    check_real("audit_dp_sgd", "sampling_rate", claim.sampling_rate, low=0.0, low_open=True, high=1.0)
    ideal: list[_Run] = []
    for trial in range(_TRIALS):
        present = rng.random(canaries) < 0.5
        ideal.append((claim.ideal_scores(present, rng), present))
        progress("what to expect", trial + 1, _TRIALS, {})
    chosen_by = 2 * _TRIALS // 3
    questions = _questions(claim, delta=delta, canaries=canaries, confidence=confidence)
    both = claim.sampling_rate == 1
    options = [question.choose_guesses(ideal[:chosen_by], both=both, confidence=confidence) for question in questions]
    present = rng.random(canaries) < 0.5
    scores = attack(claim, present, max_grad_norm=max_grad_norm, progress=progress)
    bounds = []
    for question, option in zip(questions, options, strict=True):
        right, guesses = right_guesses(scores, present, n_in=option[0], n_out=option[1]), sum(option)
        typical, needed = _typical(ideal[chosen_by:], option), question.needed(guesses)
        evidence: dict[str, float] = {
            "right": right,
            "guesses": guesses,
            "refuted from": needed,
            # given the scores, coins are independent: the count's tail is no heavier than a binomial's (Hoeffding 1956)
            "chance of false alarm": float(binom.sf(needed - 1, guesses, typical / guesses)),
        }
        lower, expected, reach = (question.bound(n_right, guesses) for n_right in (right, typical, guesses))
        bounds.append(Bound(question.quantity, question.claim, lower, expected, reach, evidence))
        progress("bounds", len(bounds), len(questions), {})
    facts = {
        "noise multiplier": claim.noise_multiplier,
        "rate": claim.sampling_rate,
        "steps": claim.steps,
        "canaries": canaries,
    }
    return Audit("DP-SGD: one run with canaries, white box", tuple(bounds), facts, time.perf_counter() - start)
