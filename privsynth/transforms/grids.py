"""What numbers and times are whole in: decimals, seconds, days.

`decimals_of` and `resolution_of` are row-local: a value's code is a function of that value and the (public) data type
alone, and each row has exactly one code, missing included.  So one row changes one count by one; the codes
themselves, and exact counts of them, may not leave.  `read_decimals` and `read_resolution` see released counts only.

Both readers take the coarsest grid that leaves at most 2% of the values off it, or as many as two and a half
standard deviations of noise could feign, and no single finer grid with more than three.  Two in a hundred: a column
on a grid holds stray entries, of which the rounding costs little, while a finer true grid leaves nine tenths of its
values off the next coarser one (or 59 in 60 for times), so nothing real lies near the limit.  Where three standard
deviations pass a quarter of the values, the noise hides the answer and there is none.
"""

from __future__ import annotations

import numpy as np

from privsynth.kinds import RESOLUTIONS
from privsynth.transforms.cells import FloatArray, IntArray

MOST_DECIMALS = 6
DECIMAL_CODES: tuple[int | str, ...] = (*range(MOST_DECIMALS + 1), "more", "missing")
RESOLUTION_CODES: tuple[str, ...] = (*sorted(RESOLUTIONS, key=lambda name: -RESOLUTIONS[name]), "finer", "missing")
_STRAY = 0.02
_UNSURE = 0.25


def decimals_of(values: FloatArray, dtype: str = "float64") -> IntArray:
    """Return each value's number of decimals as a place in `DECIMAL_CODES`, the fewest that hold.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Numbers; NaN and infinities are missing.
    dtype : {"float64", "float32", "float16"}
        In which precision they were held before they became float64. A number has d decimals when it lies no
        more than a few steps of that precision from the number rounded to d decimals, as 0.1 + 0.2 does from 0.3.

    Examples
    --------
    >>> decimals_of(np.array([3.0, 0.1 + 0.2, 19.99, np.pi, np.nan])).tolist()
    [0, 1, 2, 7, 8]
    >>> decimals_of(np.float32([0.1]).astype(float)).tolist(), decimals_of(np.float32([0.1]), "float32").tolist()
    ([7], [1])
    """
    values = np.asarray(values, dtype=np.float64)
    codes = np.full(len(values), MOST_DECIMALS + 1, dtype=np.int64)
    codes[~np.isfinite(values)] = MOST_DECIMALS + 2
    left = np.flatnonzero(np.isfinite(values))
    size = np.abs(values)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond the range of a narrow type: no step, a whole number
        steps = np.spacing(size.astype(dtype)).astype(np.float64)
    # Sums and differences of a few amounts are off by more than their own last digit: float64 has digits to spare.
    slack = np.maximum(8 * steps, np.minimum(1e-12 * size, 1e-10)) if dtype == "float64" else 2 * steps
    for decimals in range(MOST_DECIMALS + 1):
        exact = values[left]
        holds = ~(np.abs(np.round(exact, decimals) - exact) > slack[left])
        codes[left[holds]] = decimals
        left = left[~holds]
    return codes


def resolution_of(seconds: FloatArray) -> IntArray:
    """Return what each time is whole in as a place in `RESOLUTION_CODES`, the coarsest that holds.

    Parameters
    ----------
    seconds : ndarray of shape (n_rows,)
        Seconds since 1970 in the column's own zone; NaN is missing.

    Examples
    --------
    >>> [RESOLUTION_CODES[code] for code in resolution_of(np.array([86400.0, -3600.0, 90.0, 0.5, np.nan]))]
    ['day', 'hour', 'second', 'finer', 'missing']
    """
    seconds = np.asarray(seconds, dtype=np.float64)
    known = np.isfinite(seconds)
    codes = np.where(known, RESOLUTION_CODES.index("finer"), RESOLUTION_CODES.index("missing"))
    for name, unit in sorted(RESOLUTIONS.items(), key=lambda item: item[1]):
        codes[known] = np.where(seconds[known] % unit == 0, RESOLUTION_CODES.index(name), codes[known])
    return codes.astype(np.int64)


def read_decimals(counts: FloatArray, *, n_rows: float, noise: float) -> int | None:
    """Return a column's number of decimals from released counts over `DECIMAL_CODES`.

    None where values have more than six decimals (there is no grid), or the noise hides it.

    >>> read_decimals(np.array([10, 90, 900, 0, 0, 0, 0, 0, 50]), n_rows=1050, noise=5)
    2
    """
    return coarsest(counts, n_rows=n_rows, noise=noise)


def read_resolution(counts: FloatArray, *, n_rows: float, noise: float) -> str | None:
    """Return what a column's times are whole in from released counts over `RESOLUTION_CODES`.

    None where values are finer than a second, or the noise hides it.

    >>> read_resolution(np.array([950, 3, 2, 0, 0, 50]), n_rows=1005, noise=5)
    'day'
    """
    place = coarsest(counts, n_rows=n_rows, noise=noise)
    return None if place is None else RESOLUTION_CODES[place]


def coarsest(counts: FloatArray, *, n_rows: float, noise: float) -> int | None:
    """Return the first place that leaves few enough in the places after it; the last two are off any grid, missing."""
    counts = np.asarray(counts, dtype=np.float64)
    present, n_off = n_rows - counts[-1], len(counts) - 2
    if present <= 0 or 3 * noise > _UNSURE * present:
        return None
    for place in range(n_off):
        beyond = counts[place + 1 : -1]
        least = _STRAY * present
        if beyond.sum() <= max(least, 2.5 * noise * len(beyond) ** 0.5) and beyond.max() <= max(least, 3 * noise):
            return place
    return None
