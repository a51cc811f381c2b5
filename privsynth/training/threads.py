"""How many threads a fit takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

_WIDE = 1000


@contextlib.contextmanager
def few_threads(width: int) -> Iterator[None]:
    """Fit models of ordinary width on one thread; torch's setting is put back afterwards.

    Their matrices are too small for threads to gain much, waiting for a busy core costs up to ten times the
    fit, and one thread makes a fit's sums the same on every machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if width <= _WIDE else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
