"""The pool of components: latents and their classes, from released class shares and never from rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from privsynth.transforms.cells import FloatArray

_LEAST = 16


@dataclass(frozen=True, eq=False)
class Pool:
    """A fixed pool of latents, ordered by class.

    Parameters
    ----------
    latents : Tensor of shape (n_components, embedding_dim)
    classes : Tensor of int of shape (n_components,)
        Ascending.
    shares : ndarray of shape (n_classes,)
        Released share of each class, summing to 1.
    """

    latents: Tensor
    classes: Tensor
    shares: FloatArray

    @property
    def counts(self) -> list[int]:
        """Components of each class."""
        return torch.bincount(self.classes.cpu(), minlength=len(self.shares)).tolist()

    @property
    def weights(self) -> FloatArray:
        """Weight of each component, shape (n_components,): its class's share, spread evenly."""
        each = self.shares / np.maximum(self.counts, 1)
        weights = each[self.classes.cpu().numpy()]
        return weights / weights.sum()

    @classmethod
    def draw(cls, shares: FloatArray, *, n_components: int, embedding_dim: int, generator: torch.Generator) -> Pool:
        """Draw a pool; classes get components by the square root of their share, so that rare ones have enough."""
        root = np.sqrt(shares)
        counts = np.maximum(np.rint(n_components * root / root.sum()).astype(int), _LEAST)
        classes = torch.repeat_interleave(torch.arange(len(shares)), torch.as_tensor(counts))
        return cls(torch.randn(len(classes), embedding_dim, generator=generator), classes, shares)

    def to(self, device: torch.device) -> Pool:
        """Return the pool on another device."""
        return Pool(self.latents.to(device), self.classes.to(device), self.shares)
