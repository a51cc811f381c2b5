"""Made-up keys and personal data: valid in form, belonging to nobody. The only door to Faker.

Identifiers are never modelled: nothing here sees a row, only how many values are wanted, of which kind and
data type.  Every kind is a *recipe*: a number of different values, and a function that writes the one with a
given code, another for each code.  Distinct values are then distinct codes, however many are wanted.  Names,
streets and words come from Faker in pools of some hundreds, seeded by the generator; numpy puts the parts together.

What could be somebody's comes from ranges set aside for fiction, tests and documentation, or never given out:

========  ==================================================================================================
email     example.com, .org and .net (RFC 2606)
url       the same
phone     North American, exchange 555: line numbers 0100 to 0199 while they last, then the rest of 555,
          which is not assigned to subscribers; never 555-1212, directory assistance
card      4000 00, where payment processors keep their test cards; Luhn-valid
iban      German, of a bank code that starts with 9, which no bank has; mod-97 valid
ssn       area 900 to 999 with group 01 to 49: neither a social security nor a taxpayer number
ip        192.0.2.0, 198.51.100.0 and 203.0.113.0 (RFC 5737); 10.0.0.0 (RFC 1918) where more are wanted
========  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from faker import Faker

from privsynth.errors import ParameterError
from privsynth.kinds import Identifier
from privsynth.transforms.cells import IntArray

_POOL = 1500
_RESERVED = ("example.com", "example.org", "example.net")
_INITIALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LARGEST_NUMBER = {"phone": 999_555_9999, "card": 4000_0099_9999_9999, "ssn": 999_49_9999}
"""The kinds that number columns can hold, with their largest number; all others become plain keys there."""


@dataclass(frozen=True)
class _Recipe:
    """How values of one kind are written: `write` turns distinct codes from 0 to `size` - 1 into distinct texts."""

    size: int
    write: Callable[[IntArray], list[str]]


class _Parts:
    """Pools of distinct parts, drawn from a Faker of its own."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._faker = Faker("en_US", use_weighting=False)
        self._faker.seed_instance(int(rng.integers(2**63)))

    def words(self, part: str) -> list[str]:
        """Return distinct parts of ASCII letters alone: what is put together of them can be taken apart again."""
        return [text for text in self.texts(part) if text.isascii() and text.isalpha()]

    def lowered(self, part: str) -> list[str]:
        """Return distinct words in lower case."""
        return list(dict.fromkeys(word.lower() for word in self.words(part)))

    def texts(self, part: str) -> list[str]:
        """Return distinct parts without commas, in the order drawn."""
        draw = getattr(self._faker, part)
        return [text for text in dict.fromkeys(draw() for _ in range(_POOL)) if "," not in text]

    def phrases(self, n_words: int) -> list[str]:
        """Return distinct phrases of `n_words` words, in lower case and without a full stop."""
        words = np.array(self.lowered("word"))
        drawn = words[self.rng.integers(len(words), size=(_POOL, n_words))]
        return list(dict.fromkeys(" ".join(row) for row in drawn))


def make_fakes(identifier: Identifier, n_rows: int, dtype: Any, rng: np.random.Generator) -> pd.Series:
    """Make up a column.

    Parameters
    ----------
    identifier : Identifier
        Which kind, and whether all values are distinct. Where they need not be, some may come twice.
    n_rows : int
        How many values.
    dtype : str or dtype
        The data type of the column. One of numbers gets phone, card and social security numbers as numbers
        where it can hold all their digits, and plain keys for every other kind.
    rng : Generator
        Reproduces the values, on any machine with the same versions of numpy and Faker.

    Raises
    ------
    ParameterError
        When there are fewer different values than rows, and they must be distinct.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> make_fakes(Identifier(fake="card"), 2, "int64", rng).astype(str).str.len().tolist()
    [16, 16]
    """
    target = pd.api.types.pandas_dtype(dtype)
    most = _largest_whole(target)
    if identifier.fake == "key" or (most is not None and _LARGEST_NUMBER.get(identifier.fake, np.inf) > most):
        return _keys(identifier, n_rows, target, most, rng)
    recipe = _RECIPES[identifier.fake](n_rows, _Parts(rng))
    texts = recipe.write(_codes(identifier, n_rows, recipe.size, rng))
    if most is None:
        return pd.Series(texts, dtype=object).astype(target)
    numbers = [int(text.replace("-", "")) for text in texts]
    return pd.Series(np.array(numbers, dtype=np.int64)).astype(target)


def fake_labels(n: int, taken: Iterable[Any], rng: np.random.Generator) -> list[str]:
    """Return `n` distinct labels, none of which is in `taken`: for what a released list of levels left out.

    >>> labels = fake_labels(3, ["level-00001"], np.random.default_rng(0))
    >>> len(set(labels)), all(label.startswith("level-") for label in labels)
    (3, True)
    """
    known = {str(label) for label in taken}
    digits = max(5, len(str(10 * (n + len(known)))))
    codes = _distinct(n + len(known), 10**digits, rng)  # at most len(known) of them are taken
    fresh = (f"level-{code:0{digits}d}" for code in codes.tolist())
    return [label for label in fresh if label not in known][:n]


def _largest_whole(target: Any) -> int | None:
    """Return up to where a data type holds every whole number exactly; None for no numbers."""
    if not pd.api.types.is_numeric_dtype(target):
        return None
    numpy_type = np.dtype(getattr(target, "numpy_dtype", target))
    return int(np.iinfo(numpy_type).max) if numpy_type.kind in "iu" else 2 ** (np.finfo(numpy_type).nmant + 1)


def _keys(identifier: Identifier, n_rows: int, target: Any, most: int | None, rng: np.random.Generator) -> pd.Series:
    """Make up keys: numbers for number columns, else the prefix and a number."""
    start = int(rng.integers(10**8, 9 * 10**8))
    numbers = start + np.cumsum(rng.integers(1, 10, size=n_rows))
    if most is not None and n_rows and numbers[-1] > most:  # a narrow data type: count up, as far as it goes
        if identifier.unique and n_rows > most:
            raise ParameterError(f"There are only {most} keys of data type {target}. Ask for fewer rows.")
        numbers = np.arange(1, min(n_rows, most) + 1)
    if not identifier.unique and n_rows:
        numbers = numbers[rng.integers(len(numbers), size=n_rows)]
    if most is not None:
        return pd.Series(numbers).astype(target)
    return pd.Series([f"{identifier.prefix}-{number}" for number in numbers.tolist()], dtype=object).astype(target)


def _codes(identifier: Identifier, n_rows: int, size: int, rng: np.random.Generator) -> IntArray:
    if not identifier.unique:
        return rng.integers(size, size=n_rows)
    if n_rows > size:
        raise ParameterError(
            f"There are only {size} different made-up values of kind {identifier.fake!r}. Ask for fewer rows, or "
            "declare the column with unique=False."
        )
    return _distinct(n_rows, size, rng)


def _distinct(n: int, size: int, rng: np.random.Generator) -> IntArray:
    """Return `n` distinct numbers below `size` in random order: one from each of `n` strips of equal width."""
    width = size // max(n, 1)
    return rng.permutation(np.arange(n) * width + rng.integers(width, size=n))


def _split(codes: IntArray, *sizes: int) -> list[list[int]]:
    """Return each code's digits in a system of mixed bases."""
    return [digits.tolist() for digits in np.unravel_index(codes, sizes)]


def _name(n_rows: int, parts: _Parts) -> _Recipe:
    """First and last name; a middle initial where there are too few of them otherwise."""
    first, last = parts.words("first_name"), parts.words("last_name")
    middles = [""] if 2 * n_rows <= len(first) * len(last) else [f" {letter}." for letter in _INITIALS]
    sizes = len(middles), len(first), len(last)

    def write(codes: IntArray) -> list[str]:
        return [f"{first[i]}{middles[m]} {last[j]}" for m, i, j in zip(*_split(codes, *sizes), strict=True)]

    return _Recipe(int(np.prod(sizes)), write)


def _hyphenated(part: str) -> Callable[[int, _Parts], _Recipe]:
    """One name, or as many with hyphens as it takes: Mary, Mary-Ann."""

    def recipe(n_rows: int, parts: _Parts) -> _Recipe:
        words = parts.words(part)
        width = next(k for k in range(1, 7) if len(words) ** k >= n_rows or k == 6)
        sizes = (len(words),) * width

        def write(codes: IntArray) -> list[str]:
            return ["-".join([words[i] for i in row]) for row in zip(*_split(codes, *sizes), strict=True)]

        return _Recipe(len(words) ** width, write)

    return recipe


def _email(n_rows: int, parts: _Parts) -> _Recipe:
    first, last = parts.lowered("first_name"), parts.lowered("last_name")
    sizes = len(first), len(last), len(_RESERVED), 999

    def write(codes: IntArray) -> list[str]:
        columns = zip(*_split(codes, *sizes), strict=True)
        return [f"{first[i]}.{last[j]}{number + 1}@{_RESERVED[d]}" for i, j, d, number in columns]

    return _Recipe(int(np.prod(sizes)), write)


def _phone(n_rows: int, parts: _Parts) -> _Recipe:
    areas = [code for code in range(200, 990) if code % 100 != 11 and code // 10 % 10 != 9]
    if n_rows <= 100 * len(areas):
        lines = [f"01{number:02d}" for number in range(100)]
    else:
        lines = [f"{number:04d}" for number in range(10_000) if number != 1212]

    def write(codes: IntArray) -> list[str]:
        return [f"{areas[i]}-555-{lines[j]}" for i, j in zip(*_split(codes, len(areas), len(lines)), strict=True)]

    return _Recipe(len(areas) * len(lines), write)


def _card(n_rows: int, parts: _Parts) -> _Recipe:
    def write(codes: IntArray) -> list[str]:
        total = np.full(len(codes), 8)  # the leading 4, doubled
        rest = codes
        for place in range(9):  # from the right, next to the check digit: every other digit is doubled
            rest, digit = np.divmod(rest, 10)
            total += np.where(place % 2 == 0, 2 * digit - 9 * (digit > 4), digit)
        checks = -total % 10
        return [f"400000{code:09d}{check}" for code, check in zip(codes.tolist(), checks.tolist(), strict=True)]

    return _Recipe(10**9, write)


def _iban(n_rows: int, parts: _Parts) -> _Recipe:
    def write(codes: IntArray) -> list[str]:
        account = codes + 9 * 10**17
        checks = 98 - (account % 97 * 10**6 + 131400) % 97  # 1314 stands for DE
        return [f"DE{check:02d}{number}" for check, number in zip(checks.tolist(), account.tolist(), strict=True)]

    return _Recipe(10**17, write)


def _uuid(n_rows: int, parts: _Parts) -> _Recipe:
    """Version 4: the code is the last 62 random bits, so that distinct codes make distinct values for certain."""

    def write(codes: IntArray) -> list[str]:
        highs = parts.rng.integers(2**60, size=len(codes))
        lows = codes.astype(np.uint64) | np.uint64(1 << 63)
        columns = highs >> 28, (highs >> 12) & 0xFFFF, highs & 0xFFF, lows >> np.uint64(48), lows & (2**48 - 1)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [f"{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}" for a, b, c, d, e in rows]

    return _Recipe(2**62, write)


def _ssn(n_rows: int, parts: _Parts) -> _Recipe:
    def write(codes: IntArray) -> list[str]:
        columns = zip(*_split(codes, 100, 49, 9999), strict=True)
        return [f"{900 + area}-{group + 1:02d}-{serial + 1:04d}" for area, group, serial in columns]

    return _Recipe(100 * 49 * 9999, write)


def _address(n_rows: int, parts: _Parts) -> _Recipe:
    streets, cities = parts.texts("street_name"), parts.texts("city")
    states, zips = parts.texts("state_abbr"), parts.texts("postcode")
    places = [
        f"{city}, {states[i]} {zips[j]}"
        for city, i, j in zip(
            cities,
            parts.rng.integers(len(states), size=len(cities)).tolist(),
            parts.rng.integers(len(zips), size=len(cities)).tolist(),
            strict=True,
        )
    ]
    sizes = 9999, len(streets), len(places)

    def write(codes: IntArray) -> list[str]:
        columns = zip(*_split(codes, *sizes), strict=True)
        return [f"{number + 1} {streets[i]}, {places[j]}" for number, i, j in columns]

    return _Recipe(int(np.prod(sizes)), write)


def _url(n_rows: int, parts: _Parts) -> _Recipe:
    words = parts.lowered("word")
    sizes = len(_RESERVED), len(words), len(words), 9999

    def write(codes: IntArray) -> list[str]:
        columns = zip(*_split(codes, *sizes), strict=True)
        return [f"https://www.{_RESERVED[d]}/{words[i]}/{words[j]}-{k + 1}" for d, i, j, k in columns]

    return _Recipe(int(np.prod(sizes)), write)


def _ip(n_rows: int, parts: _Parts) -> _Recipe:
    nets = ["192.0.2", "198.51.100", "203.0.113"]
    if n_rows > 254 * len(nets):
        nets = [f"10.{i}.{j}" for i in range(256) for j in range(256)]

    def write(codes: IntArray) -> list[str]:
        return [f"{nets[i]}.{host + 1}" for i, host in zip(*_split(codes, len(nets), 254), strict=True)]

    return _Recipe(254 * len(nets), write)


def _text(n_rows: int, parts: _Parts) -> _Recipe:
    starts, middles, ends = parts.phrases(3), parts.lowered("word"), parts.phrases(2)
    sizes = len(starts), len(middles), len(ends)

    def write(codes: IntArray) -> list[str]:
        columns = zip(*_split(codes, *sizes), strict=True)
        return [f"{starts[i].capitalize()} {middles[j]} {ends[k]}." for i, j, k in columns]

    return _Recipe(int(np.prod(sizes)), write)


_RECIPES: dict[str, Callable[[int, _Parts], _Recipe]] = {
    "name": _name,
    "first_name": _hyphenated("first_name"),
    "last_name": _hyphenated("last_name"),
    "email": _email,
    "phone": _phone,
    "card": _card,
    "iban": _iban,
    "uuid": _uuid,
    "ssn": _ssn,
    "address": _address,
    "url": _url,
    "ip": _ip,
    "text": _text,
}
