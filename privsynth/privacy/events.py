r"""What was done to private rows: plain records, kept apart from what they cost.

Every record is a mechanism with its privacy parameters and nothing of the data.  Costs are the
accountant's business (`privsynth.privacy.accountant`).
"""

from __future__ import annotations

import math
import numbers
from dataclasses import asdict, dataclass
from typing import Any

from privsynth.errors import PrivacyError


class _Checked:
    """Refuses parameters that would make a cost negative or undefined: records may come from a file."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < math.inf:
                raise PrivacyError(f"The {name} of {type(self).__name__} must be a finite number >= 0. Got {value!r}.")
            if name in ("count", "steps") and float(value) % 1:
                raise PrivacyError(f"The {name} of {type(self).__name__} must be a whole number. Got {value!r}.")
            if name == "sampling_rate" and float(value) > 1:
                raise PrivacyError(f"The {name} of {type(self).__name__} must be at most 1. Got {value!r}.")


@dataclass(frozen=True)
class PureDP(_Checked):
    """An `epsilon`-DP mechanism whose epsilon is added to everything else (basic composition).

    Used for the noisy row count: later noise depends on it, so its cost is taken off the top.
    """

    epsilon: float


@dataclass(frozen=True)
class Gaussian(_Checked):
    """A Gaussian mechanism with ``mu = L2 sensitivity / noise std`` (Dong, Roth, Su 2022)."""

    mu: float


@dataclass(frozen=True)
class BoundedRange(_Checked):
    """`count` exponential-mechanism draws, each eta-bounded-range (Dong, Durfee, Rogers 2020)."""

    eta: float
    count: int = 1


@dataclass(frozen=True)
class SubsampledGaussian(_Checked):
    """`steps` Gaussian mechanisms on Poisson samples of rate `sampling_rate` (DP-SGD)."""

    noise_multiplier: float
    sampling_rate: float
    steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling_rate > 1:
            raise PrivacyError(
                f"The sampling_rate of SubsampledGaussian must be at most 1. Got {self.sampling_rate!r}."
            )


@dataclass(frozen=True)
class Failure(_Checked):
    """A probability `delta` outside every other guarantee (stability histograms, rounding)."""

    delta: float


@dataclass(frozen=True)
class NonPrivate(_Checked):
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
