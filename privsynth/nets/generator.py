r"""The conditional generator: latent and class to a product of cell distributions.

Given a latent z and a class c, columns are independent with cell probabilities ``G(z, c)``, so the model is
the mixture ``p(x) = sum_k w_k prod_j G_j(x_j | z_k, c_k)`` over a *fixed pool* of latents.  A fixed pool
makes the fit deterministic (no sampling noise in the loss) and every conditional exact (Bayes over
components); docs/method.md has the ablation against fresh latents in each step.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from privsynth.nets.blocks import seeded_linear

_MAX_LOGIT = 40.0


class Generator(nn.Module):
    """Residual layers from (latent, one-hot class) to one softmax a column.

    Parameters
    ----------
    span_sizes : sequence of int
        Cells of each column; their sum is `width`.
    n_classes : int
        Number of classes c.
    embedding_dim : int
        Length of a latent z.
    hidden : sequence of int
        Widths of the hidden layers; equal neighbours get a residual connection.
    generator : torch.Generator
        Draws the first weights.
    """

    members: Tensor

    def __init__(
        self,
        span_sizes: Sequence[int],
        *,
        n_classes: int,
        embedding_dim: int,
        hidden: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.n_classes = n_classes
        widths = [embedding_dim + n_classes, *hidden]
        self.layers = nn.ModuleList(seeded_linear(a, b, generator) for a, b in itertools.pairwise(widths))
        self.head = seeded_linear(widths[-1], sum(span_sizes), generator)
        owner = torch.repeat_interleave(torch.arange(len(span_sizes)), torch.tensor(list(span_sizes)))
        members = functional.one_hot(owner, len(span_sizes)).to(torch.float32)
        self.register_buffer("members", members, persistent=False)

    @torch.no_grad()
    def start_from(self, marginals: Tensor) -> None:
        """Set the output bias so that the untrained generator has these marginals, shape (width,)."""
        self.head.weight.mul_(0.5)
        self.head.bias.copy_(torch.log(marginals.clamp_min(1e-6)))

    def logits(self, z: Tensor, classes: Tensor) -> Tensor:
        """Latents (batch, embedding_dim) and class numbers (batch,) to logits (batch, width)."""
        x = torch.cat([z, functional.one_hot(classes, self.n_classes).to(z.dtype)], dim=1)
        for layer in self.layers:
            y = torch.relu(layer(x))
            x = x + y if x.shape == y.shape else y
        out: Tensor = self.head(x)
        return _MAX_LOGIT * torch.tanh(out / _MAX_LOGIT)  # bounded, so that exp needs no maximum per span

    def forward(self, z: Tensor, classes: Tensor) -> Tensor:
        """Return cell probabilities, shape (batch, width); they sum to 1 in each column's span."""
        weights = torch.exp(self.logits(z, classes))
        return weights * ((weights @ self.members).reciprocal() @ self.members.T)  # a gather is slow to go back through
