"""DP-SGD for the neural critic, at the price of an ordinary step. The only door to opacus in training.

For a network of linear layers z_l = W_l a_l + c_l, row i's gradient is b_{l,i} a_{l,i}^T for the weights
and b_{l,i} for the bias, with b_l the gradient of the summed loss at z_l. So its norm needs no per-row
gradient (Goodfellow, 1510.01799)::

    ||g_i||^2 = sum_l (||a_{l,i}||^2 + 1) * ||b_{l,i}||^2

and the clipped sum is one product a layer, with w_i = min(1, C / ||g_i||)::

    sum_i w_i g_i = (w * b_l)^T a_l          for the bias: sum_i w_i b_{l,i}

One step on real and fake rows::

    g = [sum clip(real) + N(0, (sigma C)^2 I) + sum clip(fake)] / expected_batch_size

The noise is added once, to the sum. Fake rows are functions of released things and need none, but the same
clip, else "fakes equal reals" is no fixed point. Both go through one forward pass, so nothing can overwrite
the fakes' part. The divisor is public, never the realised batch size. With ``noise_multiplier=0`` and
``max_grad_norm=inf`` the same code is the ordinary step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn
from torch.nn import functional

from privsynth._checks import check_int, check_real, parameter_error
from privsynth.errors import PrivacyError
from privsynth.nets.discriminator import Discriminator
from privsynth.privacy.noise import NoiseSource

# Norms are float32 sums: rounding may make one too small by about 1e-6, and the row too large by that.
_ROUNDING_MARGIN = 1.0 - 2.0**-18


@dataclass(frozen=True)
class LayerGradients:
    """The per-row gradients of one linear layer, as the two factors of their outer products.

    Attributes
    ----------
    layer : nn.Linear
    inputs : Tensor of shape (batch, in_features)
    output_grads : Tensor of shape (batch, out_features), of the loss *summed* over rows
    """

    layer: nn.Linear
    inputs: Tensor
    output_grads: Tensor


class ClosedFormDPOptimizer(DPOptimizer):
    """Opacus's DPOptimizer with closed-form clipping and noise from a `NoiseSource`.

    Opacus's `pre_step`, `step`, step hooks (hence its accountants), `scale_grad` and skipped steps work as
    they do there. Before each `step`, hand over the rows' gradients with `record`.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Applies the noisy gradient; holds exactly the parameters of the recorded layers.
    noise : NoiseSource
    noise_multiplier : float
        Noise standard deviation in units of `max_grad_norm`. 0: no noise.
    max_grad_norm : float
        L2 bound on one row's gradient. ``math.inf``: no clipping, allowed without noise only.
    expected_batch_size : int
        The public divisor: real rows expected plus fake rows.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        noise: NoiseSource,
        noise_multiplier: float,
        max_grad_norm: float,
        expected_batch_size: int,
    ) -> None:
        owner = "ClosedFormDPOptimizer"
        check_real(owner, "noise_multiplier", noise_multiplier, low=0.0, high=math.inf, high_open=True)
        check_real(owner, "max_grad_norm", max_grad_norm, low=0.0, low_open=True)
        check_int(owner, "expected_batch_size", expected_batch_size, low=1)
        if noise_multiplier > 0 and math.isinf(max_grad_norm):
            raise parameter_error(owner, "max_grad_norm", "finite when there is noise", max_grad_norm)
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            expected_batch_size=expected_batch_size,
        )
        self.noise = noise
        self._recorded: Sequence[LayerGradients] | None = None
        self._flat_sum = torch.empty(0)  # the parameters' summed_grad are views of it
        self._flat_grad = torch.empty(0)

    def record(self, gradients: Sequence[LayerGradients]) -> None:
        """Take the gradients of this step's rows: one entry a layer, covering every parameter once."""
        if self._recorded is not None:
            raise PrivacyError("Rows were recorded twice. Call step() and zero_grad() between batches.")
        recorded = [id(p) for part in gradients for p in (part.layer.weight, part.layer.bias)]
        if sorted(recorded) != sorted(map(id, self.params)):
            raise PrivacyError(
                f"The recorded layers hold {len(recorded)} parameters that are not, each once, the "
                f"optimizer's {len(self.params)}: some would get no clipping or no noise. "
                "Build the optimizer on all parameters of the discriminator."
            )
        if not math.isinf(self.max_grad_norm) and torch.get_float32_matmul_precision() != "highest":
            raise PrivacyError(
                "Clipping needs exact float32 products, else a row may exceed max_grad_norm. Got "
                f"torch.get_float32_matmul_precision() == {torch.get_float32_matmul_precision()!r}. "
                "Call torch.set_float32_matmul_precision('highest')."
            )
        self._recorded = gradients

    @property
    def grad_samples(self) -> list[Tensor]:
        """The recorded output gradients: `pre_step` asks only whether there are any."""
        if self._recorded is None:
            raise PrivacyError("No rows were recorded since the last step. Call record() before step().")
        return [part.output_grads for part in self._recorded]

    @property
    def accumulated_iterations(self) -> int:
        """1: a batch split over skipped steps is still one Poisson sample, and one divisor."""
        return 1

    def clip_and_accumulate(self) -> None:
        """Add the clipped sum of the recorded rows to each parameter's ``summed_grad``."""
        if self._recorded is None:
            raise PrivacyError("No rows were recorded since the last step. Call record() before step().")
        parts, self._recorded = self._recorded, None
        if not math.isinf(self.max_grad_norm):
            parts = clip_rows_(parts, max_grad_norm=self.max_grad_norm)
        if any(p.summed_grad is None for p in self.params):  # else steps were skipped: the sum goes on
            self._flat_sum = _flat_views(self.params, "summed_grad")
        for part in parts:
            _sum_of(part.layer.weight).addmm_(part.output_grads.T, part.inputs)
            _sum_of(part.layer.bias).add_(part.output_grads.sum(dim=0))

    def add_noise(self) -> None:
        """Write clipped sum + noise to ``p.grad``, as views of one flat vector, and spend the sum."""
        summed = self._flat_sum
        # 0 * inf is nan, hence the branch: without noise there may be no clipping either
        scale = self.noise_multiplier * self.max_grad_norm if self.noise_multiplier > 0 else 0.0
        noisy = torch.from_numpy(self.noise.add_gaussian(summed.cpu().numpy(), scale=scale))
        self._flat_grad = noisy.to(device=summed.device, dtype=summed.dtype, copy=True)  # scaled in place
        sizes = [p.numel() for p in self.params]
        for p, grad in zip(self.params, self._flat_grad.split(sizes), strict=True):
            p.grad = grad.view_as(p)
            p.summed_grad = None

    def scale_grad(self) -> None:
        """Divide the gradient by the public `expected_batch_size`."""
        self._flat_grad /= self.expected_batch_size

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients and any rows recorded but not stepped on."""
        self._recorded = None
        super().zero_grad(set_to_none)


def private_adam(
    discriminator: Discriminator,
    *,
    noise: NoiseSource,
    noise_multiplier: float,
    max_grad_norm: float,
    batch_size: int,
    learning_rate: float = 1e-3,
    betas: tuple[float, float] = (0.5, 0.9),
) -> ClosedFormDPOptimizer:
    """Adam (1412.6980) on noisy clipped gradients, for steps of `batch_size` real and as many fake rows.

    `batch_size` is public: the real rows expected under Poisson sampling, q * n_hat. The fused Adam takes
    a tenth off the step of a small critic on the CPU (torch >= 2.4).
    """
    return ClosedFormDPOptimizer(
        torch.optim.Adam(discriminator.parameters(), lr=learning_rate, betas=betas, fused=True),
        noise=noise,
        noise_multiplier=noise_multiplier,
        max_grad_norm=max_grad_norm,
        expected_batch_size=2 * check_int("private_adam", "batch_size", batch_size, low=1),
    )


def private_step(
    discriminator: Discriminator, optimizer: ClosedFormDPOptimizer, *, real: Tensor, fake: Tensor
) -> Tensor:
    """One DP-SGD step on a Poisson batch of real rows and a public number of fake ones.

    Parameters
    ----------
    real : Tensor of shape (n_real, n_features)
        May be empty: the step is taken, with its noise, all the same.
    fake : Tensor of shape (expected_batch_size / 2, n_features)
        Their number is fixed: if it followed `n_real`, one real row would bring a fake one along and the
        sensitivity would be 2C.

    Returns
    -------
    Tensor of shape (n_fake,)
        Logits of the fake rows before the step: functions of released things. The real rows' logits and
        the loss are not private and stay inside.
    """
    if 2 * len(fake) != optimizer.expected_batch_size:
        raise PrivacyError(
            f"private_step wants {optimizer.expected_batch_size / 2:g} fake rows, half the public divisor, "
            f"whatever the size of the real batch. Got {len(fake)}."
        )
    n_real = len(real)
    optimizer.zero_grad()
    logits, gradients = row_gradients(
        discriminator,
        torch.cat([real, fake]),
        loss=lambda logits: logistic_loss(logits, n_real=n_real),
    )
    optimizer.record(gradients)
    optimizer.step()
    return logits[n_real:]


def logistic_loss(logits: Tensor, *, n_real: int) -> Tensor:
    """Summed logistic loss of the discriminator: the first `n_real` logits are real rows, the rest fake.

    softplus(-logit) for a real row, softplus(logit) for a fake one (1406.2661).
    """
    return functional.softplus(-logits[:n_real]).sum() + functional.softplus(logits[n_real:]).sum()


def row_gradients(
    discriminator: Discriminator, rows: Tensor, *, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, list[LayerGradients]]:
    """Per-row gradients in factored form, by one forward and one backward pass to the layer outputs.

    `loss` maps logits (batch,) to the *sum* of per-row losses. Returns the logits, detached, and one
    `LayerGradients` a layer.
    """
    with torch.enable_grad():
        logits, passes = discriminator.traced_forward(rows)
        grads = torch.autograd.grad(loss(logits), [layer_pass.outputs for layer_pass in passes])
    parts = [
        LayerGradients(layer_pass.layer, layer_pass.inputs, grad)
        for layer_pass, grad in zip(passes, grads, strict=True)
    ]
    return logits.detach(), parts


def row_norms(parts: Sequence[LayerGradients]) -> Tensor:
    """L2 norm of each row's whole gradient, shape (batch,): the closed form at the top of this file."""
    inputs = torch.stack([torch.linalg.vector_norm(part.inputs, dim=1) for part in parts])
    grads = torch.stack([torch.linalg.vector_norm(part.output_grads, dim=1) for part in parts])
    return ((inputs.square() + 1.0) * grads.square()).sum(dim=0).sqrt()


def clip_rows_(parts: Sequence[LayerGradients], *, max_grad_norm: float) -> Sequence[LayerGradients]:
    """Scale, in place, every row's whole gradient over all layers to a norm of at most `max_grad_norm`.

    A row whose norm is not finite is dropped: times a weight of 0 it would still be nan, and a nan in the
    sum would show that the row is there.
    """
    norms = row_norms(parts)
    weights = (max_grad_norm * _ROUNDING_MARGIN / norms).clamp(max=1.0).unsqueeze(1)
    for part in parts:
        part.output_grads.mul_(weights)
    if math.isfinite(float(norms.sum())):  # the quick check: a sum that overflows only costs the slow path
        return parts
    drop = ~torch.isfinite(norms).unsqueeze(1)
    return [
        LayerGradients(p.layer, p.inputs.masked_fill(drop, 0.0), p.output_grads.masked_fill(drop, 0.0)) for p in parts
    ]


def _sum_of(parameter: Tensor) -> Tensor:
    """Where Opacus keeps a parameter's clipped sum, over skipped steps too."""
    summed: Tensor = parameter.summed_grad  # type: ignore[attr-defined]
    return summed


def _flat_views(parameters: Sequence[nn.Parameter], attribute: str) -> Tensor:
    """A new vector of zeros, and views of it as each parameter's `attribute`."""
    sizes = [p.numel() for p in parameters]
    flat = torch.zeros(sum(sizes), dtype=parameters[0].dtype, device=parameters[0].device)
    for p, view in zip(parameters, flat.split(sizes), strict=True):
        setattr(p, attribute, view.view_as(p))
    return flat
