"""The neural critic: linear layers and LeakyReLU only, one logit a row.

Nothing in it mixes rows (no batch normalisation, pac=1), so a row has a gradient of its own, and a stack
of linear layers has that gradient's norm in closed form (`training/private.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from privsynth._checks import check_int
from privsynth.nets.blocks import seeded_linear

_SLOPE = 0.2


@dataclass(frozen=True)
class LayerPass:
    """What one linear layer saw and gave in a forward pass.

    Attributes
    ----------
    layer : nn.Linear
    inputs : Tensor of shape (batch, in_features), detached
    outputs : Tensor of shape (batch, out_features), before the activation, in the graph
    """

    layer: nn.Linear
    inputs: Tensor
    outputs: Tensor


class Discriminator(nn.Module):
    """Logit of "this row is real".

    Parameters
    ----------
    n_features : int
        Width of a row: cells, positions inside them, condition.
    generator : torch.Generator
        Draws the first weights.
    hidden : sequence of int
        Widths of the hidden layers. Small, because DP noise grows with the number of weights.
    """

    def __init__(self, n_features: int, *, generator: torch.Generator, hidden: Sequence[int] = (64, 32)) -> None:
        super().__init__()
        widths = [check_int("Discriminator", "n_features", n_features, low=1)]
        widths += [check_int("Discriminator", "hidden", width, low=1) for width in hidden]
        pairs = zip(widths, [*widths[1:], 1], strict=True)
        self.layers = nn.ModuleList(seeded_linear(wide, narrow, generator) for wide, narrow in pairs)

    def linear_layers(self) -> Iterator[nn.Linear]:
        """Yield the linear layers, from the rows to the logit; together they hold every parameter."""
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            yield layer

    def forward(self, x: Tensor) -> Tensor:
        """Rows of shape (batch, n_features) to logits of shape (batch,)."""
        for depth, layer in enumerate(self.linear_layers()):
            x = layer(x if depth == 0 else functional.leaky_relu(x, _SLOPE))
        return x.squeeze(1)

    def traced_forward(self, x: Tensor) -> tuple[Tensor, list[LayerPass]]:
        """As `forward`, with each layer's pass kept; gradients reach the layer outputs, not the weights.

        Detached weights make the backward pass skip the weight gradients, which the private optimizer
        forms itself from clipped rows.
        """
        passes: list[LayerPass] = []
        for depth, layer in enumerate(self.linear_layers()):
            x = x.detach() if depth == 0 else functional.leaky_relu(x, _SLOPE)
            outputs = functional.linear(x, layer.weight.detach(), layer.bias.detach())
            if depth == 0:
                outputs.requires_grad_()
            passes.append(LayerPass(layer, x.detach(), outputs))
            x = outputs
        return x.squeeze(1), passes
