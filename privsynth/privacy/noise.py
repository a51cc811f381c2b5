"""The randomness that privacy rests on: noise, Poisson masks and private choices, from one object.

None of it comes from a ``random_state``: whoever knows that seed could subtract the noise. torch's CPU
generator keeps 32 bits of its seed and is never used here either.

* **Counts** get OpenDP's exact discrete Gaussian on a grid `GRID_BITS` bits finer than the integers, and
  are then rounded to integers. Why the grid: the discrete Gaussian on the integers themselves is not
  exactly mu-GDP. On a grid with s = scale / spacing its law is within total variation 1/s**2 per value of
  the continuous Gaussian rounded to that grid, and this one post-processes the Gaussian mechanism, so it
  *is* mu-GDP, with the same mu. (Midpoint rule: the sum over k of |phi_s(k) - int_{k-1/2}^{k+1/2} phi_s|
  is at most 1/24 int |phi_s''| = .041/s**2; normalising the discrete law adds about exp(-2 pi**2 s**2).)
  `Mechanisms.settle_rounding` charges delta for what is left.
* **Gradients** get float64 noise, four draws (one in double, three in single precision) of half its standard
  deviation, summed (`_keystream.py`), and the sum of gradient *and* noise is rounded to a power-of-two grid;
  a float32 gradient's is then rounded to float32. Mitigated, not proven: Holohan & Braghin, "Secure random
  sampling in differential privacy" (2107.10138); Mironov (CCS 2012) has the attack.

>>> source = SecureNoise()
>>> source.discrete_gaussian(np.array([3, 5]), scale=0.0)
array([3., 5.])
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth._checks import check_int, check_real, parameter_error
from privsynth.privacy._keystream import Keystream

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

GRID_BITS = 30
MAX_COUNT = 2**32  # public bound on a count: MAX_COUNT * 2**GRID_BITS stays inside int64
_MAX_GRID_SCALE_BITS = 58  # the noise saturates int64 only beyond 16 standard deviations
_GRADIENT_GRID_BITS = 26


class NoiseSource(ABC):
    """Where a mechanism's noise, a Poisson mask or a private choice comes from.

    Attributes
    ----------
    secure : bool
        False marks every result as epsilon = infinity.
    description : str
        One sentence for the certificate.
    """

    secure: bool
    description: str

    @abstractmethod
    def discrete_gaussian(self, values: npt.NDArray[Any], *, scale: float) -> FloatArray:
        """Counts (integers, any shape) + Gaussian noise of standard deviation `scale`, as whole numbers.

        ``scale=0`` returns the counts themselves: the non-private mode. Raises ParameterError for values
        that are not integers or exceed `MAX_COUNT`, which is a public bound.
        """

    @abstractmethod
    def discrete_laplace(self, value: int, *, scale: float) -> int:
        """An integer + discrete Laplace noise: (sensitivity/scale)-DP. ``scale=0`` adds nothing."""

    @abstractmethod
    def add_gaussian(self, values: npt.NDArray[Any], *, scale: float) -> npt.NDArray[Any]:
        """Gradients (floats, any shape) + Gaussian noise of std `scale`, rounded to `gradient_grid`.

        The sum is rounded, not the noise alone: with noise on a grid and a gradient off it, the low-order
        bits of the result would be those of the gradient. It is made in float64. For float32 gradients, the
        rounded sum is then rounded to float32; others come back as float64. Always a new array.
        """

    @abstractmethod
    def gumbel(self, size: int) -> FloatArray:
        """Standard Gumbel draws, shape (size,): argmax(scores + gumbel) is the exponential mechanism."""

    @abstractmethod
    def poisson_rows(self, n_rows: int, *, rate: float) -> IntArray:
        """Ascending indices of a Poisson sample: each row is in with probability `rate`, independently."""

    def gaussian(self, shape: int | tuple[int, ...], *, scale: float) -> FloatArray:
        """Gaussian noise alone, of std `scale`, on its grid. For a gradient use `add_gaussian`."""
        return self.add_gaussian(np.zeros(shape), scale=scale)


class SecureNoise(NoiseSource):
    """Noise from the operating system's entropy: OpenDP for counts, an AES-256 keystream for the rest.

    Copies and forked or unpickled children draw a fresh key, so no two share their noise.
    """

    secure = True
    description = (
        "counts: OpenDP exact discrete Gaussian and Laplace; gradients, Poisson masks and choices: an "
        "AES-256-CTR keystream keyed by the operating system; gradients: sums of four draws, one of double precision, "
        "rounded to a grid (mitigated, not proven)"
    )

    def __init__(self) -> None:
        self._keystream = Keystream()

    def __reduce__(self) -> tuple[type[SecureNoise], tuple[()]]:
        """Copy and pickle as a new source: a key that is copied makes noise that cancels."""
        return type(self), ()

    def discrete_gaussian(self, values: npt.NDArray[Any], *, scale: float) -> FloatArray:
        """See `NoiseSource.discrete_gaussian`; about 15 microseconds a value."""
        counts = _check_counts(values)
        if _check_scale("discrete_gaussian", scale) == 0:
            return counts.astype(np.float64)
        unit = 2 ** grid_bits(scale)
        dp = _opendp()
        space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
        measurement = dp.m.make_gaussian(*space, scale=scale * unit)
        noisy = np.array(measurement((counts * unit).ravel().tolist()), dtype=np.float64)
        return np.rint(noisy / unit).reshape(counts.shape)

    def discrete_laplace(self, value: int, *, scale: float) -> int:
        """See `NoiseSource.discrete_laplace`."""
        count = check_int("discrete_laplace", "value", value, low=-MAX_COUNT, high=MAX_COUNT)
        if _check_scale("discrete_laplace", scale) == 0:
            return count
        dp = _opendp()
        space = dp.atom_domain(T="i64"), dp.absolute_distance(T="i64")
        return int(dp.m.make_laplace(*space, scale=float(scale))(count))

    def add_gaussian(self, values: npt.NDArray[Any], *, scale: float) -> npt.NDArray[Any]:
        """See `NoiseSource.add_gaussian`; about 11 nanoseconds a value."""
        if _check_scale("add_gaussian", scale) == 0:
            return np.array(values, dtype=_float_type(values))
        flat = np.asarray(values).ravel()
        out, grid, start = np.empty(flat.size, dtype=_float_type(values)), gradient_grid(scale), 0
        for block in self._keystream.normals(flat.size, scale=scale / grid):
            part = slice(start, start := start + block.size)
            units = np.multiply(flat[part], 1 / grid, out=out[part], dtype=np.float64)  # exact: a power of two
            units += block
            np.rint(units, out=units)
            units *= grid
        return out.reshape(values.shape)

    def gumbel(self, size: int) -> FloatArray:
        """See `NoiseSource.gumbel`."""
        return -np.log(-np.log(self._keystream.uniforms(size)))

    def poisson_rows(self, n_rows: int, *, rate: float) -> IntArray:
        """See `NoiseSource.poisson_rows`."""
        return _poisson_rows(n_rows, rate, self._keystream.uniforms)


class NoNoise(NoiseSource):
    """The explicit unsafe switch: no noise, and Poisson masks from a public seed.

    For tests and for the sensitivity replay. It marks every result as epsilon = infinity. The t-th mask
    depends on the seed, t, the rate and nothing else, so a table and the same table with one more row at
    its end draw the same rows up to that one.
    """

    secure = False
    description = "none (the unsafe switch for tests): epsilon = infinity"

    def __init__(self, seed: int = 0) -> None:
        self.seed = check_int("NoNoise", "seed", seed, low=0)
        self._n_masks = 0

    def discrete_gaussian(self, values: npt.NDArray[Any], *, scale: float) -> FloatArray:
        """Return the counts unchanged."""
        _check_scale("discrete_gaussian", scale)
        return _check_counts(values).astype(np.float64)

    def discrete_laplace(self, value: int, *, scale: float) -> int:
        """Return the value unchanged."""
        _check_scale("discrete_laplace", scale)
        return check_int("discrete_laplace", "value", value, low=-MAX_COUNT, high=MAX_COUNT)

    def add_gaussian(self, values: npt.NDArray[Any], *, scale: float) -> npt.NDArray[Any]:
        """Return the gradients unchanged, in a new array."""
        _check_scale("add_gaussian", scale)
        return np.array(values, dtype=_float_type(values))

    def gumbel(self, size: int) -> FloatArray:
        """Return zeros: the best score always wins."""
        return np.zeros(size)

    def poisson_rows(self, n_rows: int, *, rate: float) -> IntArray:
        """Draw the next mask of the public seed."""
        rng = np.random.default_rng([self.seed, self._n_masks])
        self._n_masks += 1
        return _poisson_rows(n_rows, rate, lambda size: 1.0 - rng.random(size))


def grid_bits(scale: float) -> int:
    """How many bits finer than the integers the grid for counts is: `GRID_BITS`, fewer above 2**28.

    It depends on the public `scale` alone, never on the counts.

    >>> grid_bits(10.0), grid_bits(2.0**40)
    (30, 18)
    """
    return min(GRID_BITS, _MAX_GRID_SCALE_BITS - math.ceil(math.log2(scale)))


def discretization_tv(scale: float, n_values: int) -> float:
    """Total variation between the discrete Gaussian released and a rounded continuous one: n/s**2.

    Parameters
    ----------
    scale : float
        Standard deviation of the noise, in counts. 0 (no noise) returns 0.
    n_values : int
        How many counts are released with it.

    Returns
    -------
    float
        A bound (see the top of this file for the proof); `Mechanisms.settle_rounding` turns it into delta.

    >>> discretization_tv(10.0, 300_000) < 1e-14
    True
    """
    scale = _check_scale("discretization_tv", scale)
    n_values = check_int("discretization_tv", "n_values", n_values, low=0)
    return n_values / (scale * 2.0 ** grid_bits(scale)) ** 2 if scale > 0 else 0.0


def gradient_grid(scale: float) -> float:
    """Spacing of the grid that noisy gradients are rounded to: a power of two near 2**-26 * scale.

    >>> gradient_grid(1.0) == 2.0**-26
    True
    """
    return math.ldexp(1.0, math.floor(math.log2(scale)) - _GRADIENT_GRID_BITS)


def _poisson_rows(n_rows: int, rate: float, uniforms: Callable[[int], FloatArray]) -> IntArray:
    """Poisson-sample rows by the geometric gaps between them: time and memory follow the sample."""
    n_rows = check_int("poisson_rows", "n_rows", n_rows, low=0)
    rate = check_real("poisson_rows", "rate", rate, low=0.0, high=1.0)
    if rate in (0.0, 1.0):
        return np.arange(n_rows if rate else 0, dtype=np.int64)
    chunk = int(n_rows * rate + 6 * math.sqrt(n_rows * rate)) + 16
    found, last = [], -1
    while last < n_rows:
        skipped = np.log(uniforms(chunk)) / math.log1p(-rate)  # P(skipped >= g) = (1 - rate)**g
        rows = last + np.cumsum(np.minimum(skipped, n_rows).astype(np.int64) + 1)
        found.append(rows)
        last = int(rows[-1])
    rows = np.concatenate(found)
    return rows[rows < n_rows]


def _check_scale(owner: str, scale: float) -> float:
    return check_real(owner, "scale", scale, low=0.0, high=math.inf, high_open=True)


def _float_type(values: npt.NDArray[Any]) -> type[np.floating[Any]]:
    return np.float32 if values.dtype == np.float32 else np.float64


def _check_counts(values: npt.NDArray[Any]) -> IntArray:
    counts = np.asarray(values)
    if not np.issubdtype(counts.dtype, np.integer):
        raise parameter_error("discrete_gaussian", "values", "an array of integers", counts.dtype.name)
    if counts.size and (counts.max() > MAX_COUNT or counts.min() < -MAX_COUNT):
        raise parameter_error("discrete_gaussian", "values", f"within +-{MAX_COUNT}", "a larger count")
    return counts.astype(np.int64)


@functools.cache
def _opendp() -> Any:
    """OpenDP with its vetted constructors on: imported and switched at first use, not at import."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    return dp
