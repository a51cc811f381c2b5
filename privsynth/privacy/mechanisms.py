r"""The only ways to read private rows: each adds its noise and charges its cost in the same call.

A fit first learns the noisy row count, then *allots* every later event, all from public things and that
count.  Afterwards a mechanism can only spend what was allotted to its label, once: noise levels cannot
react to what was seen (docs/privacy.md, adaptivity).  With ``private=False`` the same calls return exact
values and record `NonPrivate`: there is one path for both.

Callers state sensitivities for *one row*.  Where persons are protected, each with up to m rows
(`Mechanisms.protect`), all of them are multiplied by m here and nowhere else (docs/privacy.md, persons).
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
from privsynth.privacy.unit import ONE_ROW, Unit

SomeEvent = TypeVar("SomeEvent", bound=Event)
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
PERSONS = "rows per person"
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

    ``sensitivity`` is the most that adding or removing one row, or one person with all rows where persons
    are protected, changes the exact values, in the norm of the mechanism; ``scale`` is the standard deviation
    (Gaussian) or scale (Laplace) of the noise; ``n_values`` is how many values left the mechanism, never how
    many it read.
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
    unit : Unit, optional
        Who is protected as a whole; `protect` may set it later, after `persons`.
    """

    def __init__(self, noise: NoiseSource, *, private: bool, unit: Unit = ONE_ROW) -> None:
        self.noise = noise
        self.private = private
        self.unit = unit
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

    def persons(self, histogram: IntArray, *, epsilon: float) -> tuple[IntArray, float]:
        """Release how many persons have how many rows, by discrete Laplace noise in each bin.

        A person is in one bin, whatever the number of rows: adding or removing a person changes one entry by
        one, so the L1 sensitivity is 1, for persons and before any cap.

        Parameters
        ----------
        histogram : ndarray of int
            Number of persons by bin of their number of rows.

        Returns
        -------
        noisy : ndarray of int
            The released numbers, possibly negative.
        scale : float
            Scale of the noise in each.
        """
        self.allot(PERSONS, PureDP(epsilon))
        scale = 1 / epsilon if self.private else 0.0
        self._charge(PERSONS, PureDP, sensitivity=1.0, scale=scale, exact=histogram)
        noisy = [self.noise.discrete_laplace(int(count), scale=scale) for count in histogram]
        return np.array(noisy, dtype=np.int64), scale

    def protect(self, unit: Unit) -> None:
        """Protect `unit` from here on; refused once anything but `persons` has read rows under another one."""
        if any(charge.label != PERSONS for charge in self._charges):
            raise PrivacyError("Rows were read under another privacy unit: it is set before anything else.")
        self.unit = unit

    def size(self, n_rows: int, *, epsilon: float) -> int:
        """Release the number of rows by the discrete Laplace mechanism (sensitivity 1 a row).

        Returns
        -------
        int
            The noisy row count, at least 1.
        """
        self.allot("size", PureDP(epsilon))
        sensitivity = float(self.unit.rows)
        scale = sensitivity / epsilon if self.private else 0.0
        self._charge("size", PureDP, sensitivity=sensitivity, scale=scale, exact=np.array([n_rows]))
        return max(1, self.noise.discrete_laplace(n_rows, scale=scale))

    def scale_of(self, label: str, *, sensitivity: float) -> float:
        """Return the standard deviation of the noise that `counts` will add: known before anything is read."""
        return sensitivity * self.unit.rows / self._event(label, Gaussian).mu if self.private else 0.0

    def counts(
        self, label: str, values: IntArray, *, sensitivity: float, relative: FloatArray | None = None
    ) -> Release:
        """Release integer counts by the Gaussian mechanism.

        With `relative`, count k gets noise of `Release.scale` times ``relative[k]``. That is the mechanism on
        ``values / relative``, each result times ``relative[k]`` again, which reads nothing.

        Parameters
        ----------
        label : str
            What was allotted for this release.
        values : ndarray of int
            The exact counts, any shape.
        sensitivity : float
            The most that one row changes ``values / relative`` in L2 norm.
        relative : ndarray of float, shape of `values`, optional
            Noise of each count relative to the others, > 0: of public facts and earlier releases. 1 by default.
        """
        relative = np.ones(values.shape) if relative is None else relative
        if relative.shape != values.shape or not (np.isfinite(relative) & (relative > 0)).all():
            raise PrivacyError("Every count needs relative noise of its own: a finite number > 0.")
        scale = self.scale_of(label, sensitivity=sensitivity)
        self._charge(label, Gaussian, sensitivity=sensitivity * self.unit.rows, scale=scale, exact=values / relative)
        noisy = np.empty(values.shape)
        for level in np.unique(relative):
            alike = relative == level
            self._round(scale * level, int(alike.sum()))
            noisy[alike] = self.noise.discrete_gaussian(values[alike], scale=scale * level)
        return Release(noisy, scale)

    def discover(
        self, label: str, counts: list[IntArray], *, parts: int | None = None
    ) -> tuple[list[IntArray], list[FloatArray], float]:
        """Release which keys of open domains occur often: the Gaussian stability histogram.

        Every observed key's count gets noise; keys above ``m + .5 + scale * Phi^-1(1 - delta_0)`` are released,
        where m is how many rows a person has at most (1 where rows are protected) and .5 makes up for the
        rounding of noisy counts to whole numbers, which may lift them by as much.

        A row is in one key of each histogram. So a person changes each histogram by m in L1 norm, hence L2
        norm, at most, and all k of them by m sqrt(k) together: the sensitivity. The keys that nobody else holds
        are m in each histogram at most, m k in all; each has a count of m at most, so it is released with
        probability delta_0 at most. By the union bound none of them is but with probability
        m k delta_0 = the delta allotted to ``label + " (delta)"``.

        With `parts`, a row is shared out: counts are whole numbers of parts of a row, and what one row adds to all
        histograms together has an L2 norm of one row at most, hence the sensitivity m. A row still is in one key of
        each histogram and adds one row at most to it, so the rest holds, with .5 parts for the rounding.

        Parameters
        ----------
        label : str
            What was allotted for this release.
        counts : list of ndarray of int
            One histogram an open domain: how often each observed key occurs, all >= 1.
        parts : int, optional
            How many parts a row has, where `counts` are of parts.

        Returns
        -------
        kept : list of ndarray of int
            Indices of the released keys, by histogram.
        noisy : list of ndarray of float
            Their noisy counts, in rows.
        scale : float
            Standard deviation of the noise, in rows.
        """
        event = self._event(label, Gaussian)
        failure = self._event(label + " (delta)", Failure)
        rows = self.unit.rows
        sensitivity, grid = (rows * math.sqrt(len(counts)), 1) if parts is None else (float(rows), parts)
        flat = np.concatenate(counts).astype(np.int64)
        scale = sensitivity / event.mu if self.private else 0.0
        number = len(self._charges)
        self._charge(label, Gaussian, sensitivity=sensitivity, scale=scale, exact=flat / grid)
        self._charge(label + " (delta)", Failure, sensitivity=0.0, scale=0.0, exact=np.zeros(0))
        self._round(scale * grid, flat.size, grid=grid)
        noisy: FloatArray = self.noise.discrete_gaussian(flat, scale=scale * grid) / grid
        threshold = rows + 0.5 / grid + scale * norm.isf(failure.delta / (rows * len(counts))) if self.private else 0.0
        split = np.split(noisy, np.cumsum([len(c) for c in counts])[:-1])
        kept = [np.flatnonzero(part > threshold) for part in split]
        # the certificate shows n_values: the number of *observed* keys is an exact count of the rows
        self._charges[number] = replace(self._charges[number], n_values=sum(map(len, kept)))
        return kept, [part[index] for part, index in zip(split, kept, strict=True)], scale

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
        sensitivity = sensitivity * self.unit.rows
        self._charge(label, BoundedRange, sensitivity=sensitivity, scale=2 * sensitivity / event.eta, exact=scores)
        noisy = scores * (event.eta / (2 * sensitivity))
        if self.private:
            noisy = noisy + self.noise.gumbel(len(scores))
        return np.argsort(-noisy, kind="stable")[: event.count].astype(np.int64)

    def train(self, label: str, *, clip_norm: float) -> SubsampledGaussian:
        """Charge all steps of a DP-SGD run before its first and return what was allotted to it.

        Raises
        ------
        PrivacyError
            Where a person has several rows. A Poisson sample of rows may hold any number of them, and the
            subsampling that the accountant counts on is one of rows: no factor on the clipping bound mends that.
        """
        event = self._event(label, SubsampledGaussian)
        if self.unit.rows > 1:
            raise PrivacyError("DP-SGD samples rows one by one: it protects no person with several of them.")
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

    def _round(self, scale: float, n_values: int, *, grid: int = 1) -> None:
        """Add up how far discrete noise is from Gaussian; `settle_rounding` compares it to its delta.

        `scale` is in steps of the grid, of which a row has `grid`.
        """
        if scale > 0:
            self._rounding += discretization_tv(scale, n_values)
            self._tails += 2 * n_values * float(norm.sf(_REACH - self.unit.rows * grid / scale))

    def settle_rounding(self, label: str, *, epsilon: float) -> None:
        """Charge the delta allotted for discrete noise and check that it covers what was drawn.

        On a grid of s = scale/spacing the discrete law and the rounded Gaussian differ, up to m standard
        deviations from the count, by a factor within exp(+-(m**2 + 1) / (24 s**2)): their ratio at k is the
        mean of exp(-(2ku + u**2) / (2 s**2)) over u in [-1/2, 1/2], which lies between exp(-1/(24 s**2))
        (Jensen) and exp(k**2 / (24 s**4)). Let a be the sum of these exponents over all values drawn. Where
        no value of either table is further out, and exp(epsilon) P'(S) <= 1 (else there is nothing to show),
        P(S) <= exp(2a) exp(epsilon) P'(S) + exp(a) delta <= exp(epsilon) P'(S) + delta + 2.1 a. The rest has
        the probability of the tails, counted ``1 + exp(epsilon)`` times: neighbouring counts are m apart at
        most, with m the rows of a person, so a value within ``_REACH * scale - m`` of one is within
        ``_REACH * scale`` of both. The first part does not depend on m: it compares two laws around one count.
        """
        event = self._event(label, Failure)
        exponents = (_REACH**2 + 1) / 24 * self._rounding
        need = 2.1 * exponents + (1 + math.exp(min(epsilon, 700.0))) * self._tails
        if self.private and need > event.delta:
            raise PrivacyError(f"The rounding of noise costs delta={need:.2g}, more than {event.delta:.2g}.")
        self._charge(label, Failure, sensitivity=0.0, scale=0.0, exact=np.zeros(0))
