"""The training loop: first the measured critic, then, where the plan says so, the neural one."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from privsynth.nets.discriminator import Discriminator
from privsynth.nets.generator import Generator
from privsynth.privacy.events import SubsampledGaussian
from privsynth.privacy.noise import NoiseSource
from privsynth.training.batches import poisson_batches
from privsynth.training.conditions import Pool
from privsynth.training.history import History, OnCheckpoint, Progress, unwatched
from privsynth.training.measured import MeasuredCritic
from privsynth.training.mixture import Mixture
from privsynth.training.private import private_adam, private_step
from privsynth.transforms.cells import IntArray
from privsynth.transforms.layout import Layout

LEARNING_RATE = 3e-3
_WARMUP = 20
_GENERATOR_EVERY = 1
_CHECKPOINTS = 4
_TOLERANCE = 1.1
_NEAR = 1.15  # of the noise floor: from there on the rate falls
_FALLING = 150  # steps
_STEPS, _EXACT_STEPS = 3000, 1500  # at most; of noisy and of exact releases (benchmarks/ablation_steps.py)


@dataclass(frozen=True)
class Settings:
    """How a generator is fitted.

    Parameters
    ----------
    steps : int or None
        Most steps of the measured critic; None for 3000, or 1500 of exact releases.
    learning_rate : float
        Peak rate of Adam for the generator.
    adversarial_rate : float
        Rate of Adam for the generator against the neural critic.
    batch_size : int
        Expected size of a Poisson batch.
    max_grad_norm : float
        L2 bound on a row's gradient.
    discriminator_dim : tuple of int
        Hidden widths of the discriminator.
    """

    steps: int | None
    batch_size: int
    max_grad_norm: float
    discriminator_dim: tuple[int, ...]
    learning_rate: float = LEARNING_RATE
    adversarial_rate: float = 2e-4


class Trainer:
    """Fits one generator; holds releases, weights and the pool, never rows."""

    def __init__(
        self,
        generator: Generator,
        pool: Pool,
        layout: Layout,
        *,
        critic: MeasuredCritic,
        settings: Settings,
        seed: int,
        progress: Progress,
        on_checkpoint: OnCheckpoint = unwatched,
    ) -> None:
        self.generator = generator
        self.pool = pool
        self.layout = layout
        self.critic = critic
        self.settings = settings
        self.progress = progress
        self.on_checkpoint = on_checkpoint
        self.history = History()
        self._split = critic.split
        self._seed = seed
        self._torch = torch.Generator(device=pool.latents.device).manual_seed(seed)

    def probabilities(self) -> Tensor:
        """Return the cell probabilities of every component, shape (n_components, width)."""
        return fix_class(
            self.generator(self.pool.latents, self.pool.classes), self.pool.classes, self.layout, self._split
        )

    @torch.no_grad()
    def mixture(self) -> Mixture:
        """Return the generator as it is now, as a finite mixture to draw from."""
        return Mixture(self.pool.weights, self.probabilities().cpu().numpy().astype(np.float64), self.layout)

    def compare(self) -> tuple[Tensor, float]:
        """Return the measured critic's objective for the whole pool, and its loss, of which 1 is the noise floor."""
        return self.critic.compare(list(torch.split(self.probabilities(), self.pool.counts)))

    def fit_measured(self, *, again: bool = False) -> None:
        """Minimise the measured loss: the pool is fixed, so every step sees the whole model.

        The rate stays at its peak until the loss is near the noise floor, or the steps run out; then it falls to
        nothing. Further down would be fitting noise, of which a strong release has little: it gets all steps.
        With `again`, go on from a first fit for a third of the steps, at half the rate: the critic has learned of
        more tables.
        """
        part, stage = (3, "partitions") if again else (1, "measured critic")
        usual = _STEPS if self.critic.floor > 0 else _EXACT_STEPS
        most = math.ceil((self.settings.steps or usual) / part)
        peak = self.settings.learning_rate * (0.5 if again else 1.0)
        falling = min(_FALLING, most)
        optimizer = torch.optim.Adam(self.generator.parameters(), lr=peak, betas=(0.95, 0.95), fused=True)
        last, loss = most, math.inf
        for step in range(most):
            if last == most and loss <= self.critic.floor * _NEAR:
                last = min(most, step + falling)
            left = min(1.0, (last - step) / falling)
            rate = peak * min(1.0, (step + 1) / _WARMUP) * 0.5 * (1 - math.cos(math.pi * left)) + 1e-5
            for group in optimizer.param_groups:
                group["lr"] = rate
            objective, loss = self.compare()
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()
            self.history.measured_loss.append(loss)
            if self.progress(stage, step + 1, last, {"loss": loss}) or step + 1 == last:
                break
        self.history.stages.append((stage, step + 1))
        self.on_checkpoint(stage, step + 1)

    def fit_neural(
        self, codes: IntArray, event: SubsampledGaussian, noise: NoiseSource, *, private: bool, measured: bool
    ) -> list[dict[str, Tensor]]:
        """Train against the neural critic by DP-SGD.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_columns)
            Private cells; read in Poisson batches whose clipped, noisy gradients alone have an effect.
        event : SubsampledGaussian
            What was charged for it: noise multiplier, rate and number of steps.
        noise : NoiseSource
            Draws the batches and the noise.
        private : bool
            False: no clipping, no noise.
        measured : bool
            Whether the measured loss must be kept within 1.1 times its value (or 1).

        Returns
        -------
        list of dict
            Checkpoints of the generator's weights, the last one included.
        """
        settings, device = self.settings, self.pool.latents.device
        discriminator = Discriminator(
            self.layout.width, generator=torch.Generator().manual_seed(self._seed), hidden=settings.discriminator_dim
        ).to(device)
        optimizer = private_adam(
            discriminator,
            noise=noise,
            noise_multiplier=event.noise_multiplier,
            max_grad_norm=settings.max_grad_norm if private else math.inf,
            batch_size=settings.batch_size,
        )
        player = torch.optim.Adam(self.generator.parameters(), lr=settings.adversarial_rate, betas=(0.5, 0.9))
        limit = _TOLERANCE * max(1.0, self.history.measured_loss[-1]) if measured else math.inf
        weight, checkpoints = 1.0, []
        batches = poisson_batches(noise, n_rows=len(codes), rate=event.sampling_rate, steps=event.steps)
        for step, rows in enumerate(batches):
            with torch.no_grad():
                fake = self._fakes(settings.batch_size)
            real = one_hot(codes[rows], self.layout).to(device)
            logits = private_step(discriminator, optimizer, real=real, fake=fake)
            self.history.fake_accuracy.append(float((logits < 0).float().mean()))
            weight = self._play(discriminator, player, weight, limit, measured)
            figures = {"fakes told": self.history.fake_accuracy[-1]}
            stop = self.progress("neural critic", step + 1, event.steps, figures)
            if stop or (step + 1) % max(1, event.steps // _CHECKPOINTS) == 0 or step + 1 == event.steps:
                checkpoints.append(copy.deepcopy(self.generator.state_dict()))
                stop = self.on_checkpoint("neural critic", step + 1) or stop
            if stop:
                break
        self.history.stages.append(("neural critic", len(self.history.fake_accuracy)))
        return checkpoints

    def _play(
        self, discriminator: Discriminator, player: torch.optim.Optimizer, weight: float, limit: float, measured: bool
    ) -> float:
        """One generator step: adversarial gradient off its conflict with the measured one; return the weight."""
        for _ in range(_GENERATOR_EVERY):
            player.zero_grad()
            parameters = list(self.generator.parameters())
            adversarial = functional.softplus(-discriminator(self._fakes(self.settings.batch_size))).mean()
            against = torch.autograd.grad(weight * adversarial, parameters)
            if not measured:
                for parameter, gradient in zip(parameters, against, strict=True):
                    parameter.grad = gradient
                player.step()
                continue
            objective, loss = self.compare()
            keep = torch.autograd.grad(objective, parameters)
            inner = sum((a * k).sum() for a, k in zip(against, keep, strict=True))
            square = sum((k * k).sum() for k in keep)
            conflict = torch.clamp(torch.as_tensor(inner / (square + 1e-12)), max=0.0)
            for parameter, a, k in zip(parameters, against, keep, strict=True):
                parameter.grad = a - conflict * k + k
            player.step()
            if loss > limit:
                weight *= 0.5
        return weight

    def _fakes(self, n_rows: int) -> Tensor:
        """Draw rows of one-hot cells, straight through: hard forward, soft backward (Jang et al. 2017)."""
        device = self.pool.latents.device
        weights = torch.as_tensor(self.pool.weights, device=device, dtype=torch.float32)
        picked = torch.multinomial(weights, n_rows, replacement=True, generator=self._torch)
        classes = self.pool.classes[picked]
        soft = fix_class(self.generator(self.pool.latents[picked], classes), classes, self.layout, self._split)
        uniform = torch.rand(soft.shape, device=device, generator=self._torch).clamp_(1e-10, 1 - 1e-7)
        scores = torch.log(soft + 1e-20) - torch.log(-torch.log(uniform))
        parts = []
        for span in self.layout.spans:
            winner = scores[:, span.slice].argmax(dim=1)
            parts.append(functional.one_hot(winner, span.size).to(soft.dtype))
        return torch.cat(parts, dim=1) - soft.detach() + soft


def fix_class(probabilities: Tensor, classes: Tensor, layout: Layout, split: int | None) -> Tensor:
    """Set the splitting column to the class that the generator was given."""
    if split is None:
        return probabilities
    span = layout.spans[split]
    given = functional.one_hot(classes, span.size).to(probabilities.dtype)
    return torch.cat([probabilities[:, : span.start], given, probabilities[:, span.stop :]], dim=1)


def one_hot(codes: IntArray, layout: Layout) -> Tensor:
    """Turn cells (n_rows, n_columns) into one-hot rows (n_rows, width)."""
    rows = np.zeros((len(codes), layout.width), dtype=np.float32)
    starts = np.array([span.start for span in layout.spans])
    rows[np.arange(len(codes))[:, None], codes + starts] = 1.0
    return torch.from_numpy(rows)
