"""Which rows a training step sees."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from privsynth._checks import check_int
from privsynth.privacy.noise import NoiseSource


def poisson_batches(noise: NoiseSource, *, n_rows: int, rate: float, steps: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the row indices of `steps` Poisson samples: each row in each step with probability `rate`.

    Exactly `steps` batches come, empty ones too: each is a step that the accountant charged. Rows are
    drawn uniformly, never given their condition: training-by-sampling as in CTGAN (1907.00503) would draw
    the only row of a class far above the accounted rate.

    Examples
    --------
    >>> from privsynth.privacy.noise import SecureNoise
    >>> [batch.size for batch in poisson_batches(SecureNoise(), n_rows=4, rate=1.0, steps=2)]
    [4, 4]
    """
    for _ in range(check_int("poisson_batches", "steps", steps, low=0)):
        yield noise.poisson_rows(n_rows, rate=rate)
