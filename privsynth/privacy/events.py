r"""What was done to private rows: plain records, kept apart from what they cost.

Every record is a mechanism with its privacy parameters and nothing of the data.  Costs are the
accountant's business (`privsynth.privacy.accountant`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from privsynth.errors import PrivacyError


@dataclass(frozen=True)
class PureDP:
    """An `epsilon`-DP mechanism whose epsilon is added to everything else (basic composition).

    Used for the noisy row count: later noise depends on it, so its cost is taken off the top.
    """

    epsilon: float


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian mechanism with ``mu = L2 sensitivity / noise std`` (Dong, Roth, Su 2022)."""

    mu: float


@dataclass(frozen=True)
class BoundedRange:
    """`count` exponential-mechanism draws, each eta-bounded-range (Dong, Durfee, Rogers 2020)."""

    eta: float
    count: int = 1


@dataclass(frozen=True)
class SubsampledGaussian:
    """`steps` Gaussian mechanisms on Poisson samples of rate `sampling_rate` (DP-SGD)."""

    noise_multiplier: float
    sampling_rate: float
    steps: int


@dataclass(frozen=True)
class Failure:
    """A probability `delta` outside every other guarantee (stability histograms, rounding)."""

    delta: float


@dataclass(frozen=True)
class NonPrivate:
    """Rows were read without any protection: the total epsilon is infinite."""


Event = PureDP | Gaussian | BoundedRange | SubsampledGaussian | Failure | NonPrivate
_KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (PureDP, Gaussian, BoundedRange, SubsampledGaussian, Failure, NonPrivate)
}


def event_to_dict(event: Event) -> dict[str, Any]:
    """Return a JSON-able dict.

    >>> event_to_dict(Gaussian(0.5))
    {'kind': 'Gaussian', 'mu': 0.5}
    """
    return {"kind": type(event).__name__, **asdict(event)}


def event_from_dict(data: dict[str, Any]) -> Event:
    """Read `event_to_dict` back; an unknown kind is refused, never skipped."""
    fields = dict(data)
    kind = fields.pop("kind", None)
    if kind not in _KINDS:
        raise PrivacyError(f"Unknown privacy event {kind!r}: refusing to account for it.")
    return _KINDS[kind](**fields)
