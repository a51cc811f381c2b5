"""One form of parameter error: which parameter, what was wanted, what was got, the remedy."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

from privsynth.errors import ParameterError


def parameter_error(owner: str, name: str, wanted: str, got: Any, remedy: str = "") -> ParameterError:
    """Build the one form of parameter error, for the caller to raise.

    >>> str(parameter_error("CTGAN", "epsilon", "a number > 0", -1, "Use epsilon=1.0."))
    'The epsilon parameter of CTGAN must be a number > 0. Got -1. Use epsilon=1.0.'
    """
    text = f"The {name} parameter of {owner} must be {wanted}. Got {got!r}."
    return ParameterError(f"{text} {remedy}".rstrip())


def check_real(
    owner: str,
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
    remedy: str = "",
) -> float:
    """Return `value` as a float inside the interval from `low` to `high`, or raise ParameterError."""
    ok = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = float(value) if ok else math.nan
    inside = (number > low if low_open else number >= low) and (number < high if high_open else number <= high)
    if not inside:
        left = "(" if low_open or low == -math.inf else "["
        right = ")" if high_open or high == math.inf else "]"
        wanted = f"a number in {left}{low:g}, {high:g}{right}"
        raise parameter_error(owner, name, wanted, value, remedy)
    return number


def check_int(owner: str, name: str, value: Any, *, low: int, high: int | None = None, remedy: str = "") -> int:
    """Return `value` as an int of at least `low` (at most `high`), or raise ParameterError."""
    ok = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not ok or value < low or (high is not None and value > high):
        wanted = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
        raise parameter_error(owner, name, wanted, value, remedy)
    return int(value)


def check_choice(owner: str, name: str, value: Any, choices: Iterable[Any], remedy: str = "") -> Any:
    """Return `value` if it is one of `choices`, or raise ParameterError."""
    options = list(choices)
    if value not in options:
        raise parameter_error(owner, name, "one of " + ", ".join(map(repr, options)), value, remedy)
    return value
