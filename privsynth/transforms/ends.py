"""From where to where a column has rows, told from noisy counts of adjacent intervals or values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from privsynth.transforms.cells import FloatArray

CLEAR = 3.0  # standard deviations of its noise that a count has to rise above to show by itself
_EACH_LEAF = 0.5  # and those that intervals further out have to hold on average
_EACH_VALUE = 1.5  # the same of single values: one that nobody has is no code, and worse than a rare one that is lost
_CLIFF = 10.0  # behind a last count of so many there is no tail
_NEAR_ONE = (2, 3)


def is_clear(counts: FloatArray, noise: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which counts noise alone would hardly make.

    Parameters
    ----------
    counts, noise : ndarrays of shape (n,)
        Noisy counts and the standard deviation of each one's noise.
    """
    return np.asarray(counts > CLEAR * noise + 0.5)  # .5: rounding


def occupied_leaves(
    counts: FloatArray, noise: FloatArray, held: npt.NDArray[np.bool_], *, below: bool, above: bool
) -> tuple[int, int]:
    """Return the first and the last of adjacent intervals between which there are rows, as far as can be told.

    That is from the first to the last that is `held`, and outwards from there as far as the sum of the counts, less
    half a standard deviation for each, rises highest. Where nobody is, this sum is a random walk that
    drifts down. Where the outermost one that is held is far above its noise the column ends there: tails thin out.

    Parameters
    ----------
    counts, noise : ndarrays of shape (n,)
        Noisy counts in ascending order of value, and the standard deviation of each one's noise.
    held : ndarray of bool of shape (n,)
        Where rows are for certain; one is, at least.
    below, above : bool
        Whether that end is looked for; else all counts on that side are kept.

    Examples
    --------
    >>> counts, noise = np.array([-3.0, 4.0, 90.0, 12.0, 16.0, 3.0]), np.full(6, 10.0)
    >>> occupied_leaves(counts, noise, is_clear(counts, noise), below=True, above=True)
    (2, 4)
    """
    first, last = _outwards(counts, noise, held, _EACH_LEAF)
    return first if below else 0, last if above else len(counts) - 1


def occupied_values(
    values: FloatArray, counts: FloatArray, noise: float, *, whole: bool, two: bool
) -> tuple[int, int] | None:
    """Return the first and the last of adjacent values between which there are rows; None where nothing shows.

    As `occupied_leaves`, with one and a half standard deviations for each. Whole numbers that thin out down to 2 or 3
    are taken to go on to 1, for counts and codes begin there: a guess that holds of most columns, and needs no count.

    Parameters
    ----------
    values, counts : ndarrays of shape (n,)
        Grid points in ascending order, and the noisy count of each.
    noise : float
        Standard deviation of a count's noise.
    whole : bool
        Whether the grid is that of whole numbers.
    two : bool
        The column is a target: it has two values at least, and no others than those that are clear.

    Examples
    --------
    >>> occupied_values(np.arange(6.0), np.array([0.0, -5.0, 35.0, 400.0, 200.0, 15.0]), 10.0, whole=True, two=False)
    (1, 4)
    """
    spread = np.full(len(counts), noise)
    held = is_clear(counts, spread)
    if not held.any():
        return None
    if two:
        if held.sum() == 1:
            held[np.argsort(counts)[-2:]] = True
        first, last = np.flatnonzero(held)[[0, -1]].tolist()
        return first, last
    first, last = _outwards(counts, spread, held, _EACH_VALUE)
    ones = np.flatnonzero(values == 1)
    if whole and len(ones) and values[first] in _NEAR_ONE and counts[first] <= _CLIFF * noise:
        first = int(ones[0])
    return first, last


def _outwards(counts: FloatArray, noise: FloatArray, held: npt.NDArray[np.bool_], each: float) -> tuple[int, int]:
    """Return how far to both sides of what is held there are rows."""
    first, last = np.flatnonzero(held)[[0, -1]].tolist()
    left, cliff = counts - each * noise, counts > _CLIFF * noise
    return (
        first if cliff[first] else first - _reach(left[:first][::-1]),
        last if cliff[last] else last + _reach(left[last + 1 :]),
    )


def _reach(steps: FloatArray) -> int:
    """Return after how many steps their sum is highest; 0 if it never is above nought."""
    sums = np.cumsum(steps)
    return int(np.argmax(sums)) + 1 if len(sums) and sums.max() > 0 else 0
