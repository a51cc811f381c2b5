r"""The only ways to read private rows: each adds its noise and charges its cost in the same call.

A fit first learns the noisy row count, then *allots* every later event, all from public things and that
count.  Afterwards a mechanism can only spend what was allotted to its label, once: noise levels cannot
react to what was seen (docs/privacy.md, adaptivity).  With ``private=False`` the same calls return exact
values and record `NonPrivate`: there is one path for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from privsynth.errors import PrivacyError
from privsynth.privacy.events import (
    BoundedRange,
    Event,
    Failure,
    Gaussian,
    NonPrivate,
    PureDP,
    SubsampledGaussian,
)
from privsynth.privacy.noise import NoiseSource, discretization_tv

SomeEvent = TypeVar("SomeEvent", bound=Event)
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_REACH = 27.0  # standard deviations within which discrete and rounded noise are compared


@dataclass(frozen=True)
class Release:
    """Noisy counts that carry their own noise.

    Parameters
    ----------
    values : ndarray
        The released counts, whole numbers, possibly negative.
    scale : float
        Standard deviation of the noise in each; 0 for exact counts.
    """

    values: FloatArray
    scale: float


@dataclass(frozen=True)
class Charge:
    """What one call of a mechanism did: the event, and how it was calibrated.

    ``sensitivity`` is the most that adding or removing one row changes the exact values, in the norm of
    the mechanism; ``scale`` is the standard deviation (Gaussian) or scale (Laplace) of the noise;
    ``n_values`` is how many values left the mechanism, never how many it read.
    """

    label: str
    event: Event
    sensitivity: float
    scale: float
    n_values: int


class Mechanisms:
    """The mechanisms of one fit, and the record of what they charged.

    Parameters
    ----------
    noise : NoiseSource
        Where noise comes from. An insecure source makes the whole record `NonPrivate`.
    private : bool
        False for ``epsilon=None``: exact values, recorded as `NonPrivate`.
    """

    def __init__(self, noise: NoiseSource, *, private: bool) -> None:
        self.noise = noise
        self.private = private
        self._allotted: dict[str, Event] = {}
        self._charges: list[Charge] = []
        self._rounding = self._tails = 0.0
        self.tape: list[tuple[str, FloatArray]] = []
        """Exact values per call, kept only by an insecure noise source (the sensitivity replay)."""

    @property
    def charges(self) -> tuple[Charge, ...]:
        """Everything charged so far."""
        return tuple(self._charges)

    @property
    def events(self) -> list[Event]:
        """The events charged so far; `NonPrivate` first if anything was read without noise."""
        events = [charge.event for charge in self._charges]
        if events and not (self.private and self.noise.secure):
            return [NonPrivate(), *events]
        return events

    def allot(self, label: str, event: Event) -> None:
        """Set `event` aside for one later call with `label`."""
        if label in self._allotted:
            raise PrivacyError(f"{label!r} has been allotted already: one event a label.")
        self._allotted[label] = event

    @property
    def allotted(self) -> list[Event]:
        """The events that are set aside and not yet charged."""
        return list(self._allotted.values())

    def allows(self, label: str) -> bool:
        """Whether something is allotted to `label` and not yet charged."""
        return label in self._allotted

    def size(self, n_rows: int, *, epsilon: float) -> int:
        """Release the number of rows by the discrete Laplace mechanism (sensitivity 1).

        Returns
        -------
        int
            The noisy row count, at least 1.
        """
        self.allot("size", PureDP(epsilon))
        scale = 1 / epsilon if self.private else 0.0
        self._charge("size", PureDP, sensitivity=1.0, scale=scale, exact=np.array([n_rows]))
        return max(1, self.noise.discrete_laplace(n_rows, scale=scale))

    def counts(self, label: str, values: IntArray, *, sensitivity: float) -> Release:
        """Release integer counts by the Gaussian mechanism.

        Parameters
        ----------
        label : str
            What was allotted for this release.
        values : ndarray of int
            The exact counts, any shape.
        sensitivity : float
            The most that one row changes `values` in L2 norm.
        """
        event = self._event(label, Gaussian)
        scale = sensitivity / event.mu if self.private else 0.0
        self._charge(label, Gaussian, sensitivity=sensitivity, scale=scale, exact=values)
        self._round(scale, values.size)
        return Release(self.noise.discrete_gaussian(values, scale=scale), scale)

    def discover(self, label: str, counts: list[IntArray]) -> tuple[list[IntArray], list[FloatArray], float]:
        """Release which keys of open domains occur often: the Gaussian stability histogram.

        Every observed key's count gets noise; keys above ``1.5 + scale * Phi^-1(1 - delta_0)`` are released,
        where .5 makes up for the rounding of noisy counts to whole numbers, which may lift them by as much.
        A key held by one row alone is released with probability delta_0 at most; a row is in one key of
        each histogram, so the L2 sensitivity is sqrt(len(counts)) and the failure probability
        len(counts) * delta_0 = the delta allotted to ``label + " (delta)"``.

        Parameters
        ----------
        label : str
            What was allotted for this release.
        counts : list of ndarray of int
            One histogram an open domain: how often each observed key occurs, all >= 1.

        Returns
        -------
        kept : list of ndarray of int
            Indices of the released keys, by histogram.
        noisy : list of ndarray of float
            Their noisy counts.
        scale : float
            Standard deviation of the noise.
        """
        event = self._event(label, Gaussian)
        failure = self._event(label + " (delta)", Failure)
        sensitivity = math.sqrt(len(counts))
        flat = np.concatenate(counts).astype(np.int64)
        scale = sensitivity / event.mu if self.private else 0.0
        number = len(self._charges)
        self._charge(label, Gaussian, sensitivity=sensitivity, scale=scale, exact=flat)
        self._charge(label + " (delta)", Failure, sensitivity=0.0, scale=0.0, exact=np.zeros(0))
        self._round(scale, flat.size)
        noisy = self.noise.discrete_gaussian(flat, scale=scale)
        threshold = 1.5 + scale * norm.isf(failure.delta / len(counts)) if self.private else 0.0
        parts = np.split(noisy, np.cumsum([len(c) for c in counts])[:-1])
        kept = [np.flatnonzero(part > threshold) for part in parts]
        # the certificate shows n_values: the number of *observed* keys is an exact count of the rows
        self._charges[number] = replace(self._charges[number], n_values=sum(map(len, kept)))
        return kept, [part[index] for part, index in zip(parts, kept, strict=True)], scale

    def choose(self, label: str, scores: FloatArray, *, sensitivity: float) -> IntArray:
        """Pick the best of several by the exponential mechanism (one-shot noisy top-k).

        Parameters
        ----------
        label : str
            What was allotted: a `BoundedRange` whose count is how many to pick.
        scores : ndarray of shape (n_candidates,)
            Higher is better.
        sensitivity : float
            The most that one row changes any score.

        Returns
        -------
        ndarray of int
            Indices of the picked candidates, best first.
        """
        event = self._event(label, BoundedRange)
        self._charge(label, BoundedRange, sensitivity=sensitivity, scale=2 * sensitivity / event.eta, exact=scores)
        noisy = scores * (event.eta / (2 * sensitivity))
        if self.private:
            noisy = noisy + self.noise.gumbel(len(scores))
        return np.argsort(-noisy, kind="stable")[: event.count].astype(np.int64)

    def train(self, label: str, *, clip_norm: float) -> SubsampledGaussian:
        """Charge all steps of a DP-SGD run before its first and return what was allotted to it."""
        event = self._event(label, SubsampledGaussian)
        scale = event.noise_multiplier * clip_norm if self.private else 0.0
        self._charge(label, SubsampledGaussian, sensitivity=clip_norm, scale=scale, exact=np.zeros(0))
        return event

    def forfeit(self) -> None:
        """Charge what was allotted and not used.

        Whether a mechanism ran can depend on releases. A total that shrank with it would be an odometer's,
        which basic composition between fits does not cover; the total that was asked for is a filter's.
        """
        for label, event in self._allotted.items():
            self._charges.append(Charge(f"{label} (unused)", event, 0.0, 0.0, 0))
        self._allotted = {}

    def _event(self, label: str, kind: type[SomeEvent]) -> SomeEvent:
        event = self._allotted.get(label)
        if not isinstance(event, kind):
            raise PrivacyError(
                f"Nothing of kind {kind.__name__} is allotted to {label!r}: rows would be read off the ledger."
            )
        return event

    def _charge(
        self,
        label: str,
        kind: type[Event],
        *,
        sensitivity: float,
        scale: float,
        exact: npt.NDArray[np.generic],
    ) -> None:
        event = self._event(label, kind)
        del self._allotted[label]
        self._charges.append(Charge(label, event, sensitivity, scale, int(exact.size)))
        if not self.noise.secure:
            self.tape.append((label, np.array(exact, dtype=np.float64)))

    def _round(self, scale: float, n_values: int) -> None:
        """Add up how far discrete noise is from Gaussian; `settle_rounding` compares it to its delta."""
        if scale > 0:
            self._rounding += discretization_tv(scale, n_values)
            self._tails += 2 * n_values * float(norm.sf(_REACH - 1 / scale))

    def settle_rounding(self, label: str, *, epsilon: float) -> None:
        """Charge the delta allotted for discrete noise and check that it covers what was drawn.

        On a grid of s = scale/spacing the discrete law and the rounded Gaussian differ, up to m standard
        deviations from the count, by a factor within exp(+-(m**2 + 1) / (24 s**2)): their ratio at k is the
        mean of exp(-(2ku + u**2) / (2 s**2)) over u in [-1/2, 1/2], which lies between exp(-1/(24 s**2))
        (Jensen) and exp(k**2 / (24 s**4)). Let a be the sum of these exponents over all values drawn. Where
        no value of either table is further out, and exp(epsilon) P'(S) <= 1 (else there is nothing to show),
        P(S) <= exp(2a) exp(epsilon) P'(S) + exp(a) delta <= exp(epsilon) P'(S) + delta + 2.1 a. The rest has
        the probability of the tails, counted ``1 + exp(epsilon)`` times; neighbouring counts are 1 apart.
        """
        event = self._event(label, Failure)
        exponents = (_REACH**2 + 1) / 24 * self._rounding
        need = 2.1 * exponents + (1 + math.exp(min(epsilon, 700.0))) * self._tails
        if self.private and need > event.delta:
            raise PrivacyError(f"The rounding of noise costs delta={need:.2g}, more than {event.delta:.2g}.")
        self._charge(label, Failure, sensitivity=0.0, scale=0.0, exact=np.zeros(0))
