"""Seeds for models and sampling. Privacy noise never comes from here (see `privacy.noise`).

A ``random_state`` makes weights, latent draws and sampled rows reproducible. It must not touch
DP noise, Poisson masks or private choices: whoever knows the seed could subtract the noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from privsynth._checks import parameter_error


def as_generator(random_state: Any, owner: str = "sample") -> np.random.Generator:
    """Turn None, an int, a RandomState or a Generator into a numpy Generator.

    Examples
    --------
    >>> bool(as_generator(0).integers(10) == as_generator(0).integers(10))
    True
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**32, size=4, dtype=np.uint32))
    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool) and random_state >= 0:
        return np.random.default_rng(int(random_state))
    raise parameter_error(owner, "random_state", "None, an integer >= 0 or a numpy generator", random_state)


def torch_seed(rng: np.random.Generator) -> int:
    """Draw a seed for a torch.Generator of its own (the global torch generator is never seeded)."""
    return int(rng.integers(0, 2**63 - 1))
