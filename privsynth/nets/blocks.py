"""Building blocks that the generator and the discriminator share."""

from __future__ import annotations

import math

import torch
from torch import nn

from privsynth._checks import check_int


def seeded_linear(in_features: int, out_features: int, generator: torch.Generator) -> nn.Linear:
    """Build a linear layer whose weights come from `generator`, never from torch's global one.

    Weights and biases are uniform on +-1/sqrt(in_features): what torch's own Kaiming-uniform default
    (a = sqrt(5)) comes to. He et al., "Delving deep into rectifiers" (1502.01852).

    Examples
    --------
    >>> layer = seeded_linear(3, 2, torch.Generator().manual_seed(0))
    >>> bool((layer.weight.abs() <= 3**-0.5).all())
    True
    """
    check_int("seeded_linear", "in_features", in_features, low=1)
    check_int("seeded_linear", "out_features", out_features, low=1)
    layer = nn.utils.skip_init(nn.Linear, in_features, out_features)
    bound = 1.0 / math.sqrt(in_features)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer
