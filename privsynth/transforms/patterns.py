"""Which form each cell of a text or object column has, and what a released histogram of forms says of the column.

`forms_of` is row-local: a cell's code is a function of that cell alone, the same for every row, and each cell has
exactly one code.  So one row changes one count by one, and the counts may leave through any mechanism of
sensitivity 1; the codes themselves, and exact counts of them, may not.  `read_forms` sees released counts only.
No mechanism is called here.
"""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from privsynth.kinds import Column, Continuous, Datetime, Identifier
from privsynth.transforms.cells import FloatArray, IntArray
from privsynth.transforms.grids import coarsest

_CLOCKS = ("", " %H:%M", " %H:%M:%S")
_ISO_CLOCKS = (*_CLOCKS, " %H:%M:%S.%f", *(f"T%H:%M{s}" for s in ("", ":%S", ":%S.%f", ":%SZ", ":%S.%fZ")))
_FIXED_DATES = (
    *(f"%Y-%m-%d{clock}" for clock in _ISO_CLOCKS),
    *(f"%Y/%m/%d{clock}" for clock in _CLOCKS),
    *(f"%d.%m.%Y{clock}" for clock in _CLOCKS),
)
_DAY_OR_MONTH = tuple(
    (f"%d{sep}%m{sep}%Y{clock}", f"%m{sep}%d{sep}%Y{clock}") for sep in "/-" for clock in _CLOCKS
)  # day first, month first
_NUMBER_TEXTS = (*(f"number_text, {decimals} decimals" for decimals in range(5)), "number_text")
_PERSONAL = ("email", "phone", "card", "iban", "uuid", "url", "ip", "ssn")

FORMS: tuple[str, ...] = (
    *("missing", "blank", "text", "bool", "integer", "float", "decimal", "date_object", "datetime_object"),
    *(*_NUMBER_TEXTS, "digits"),
    *_FIXED_DATES,
    *(form for day, month in _DAY_OR_MONTH for form in (day, month, f"{day} or {month}")),
    "offset_time",
    *_PERSONAL,
    "other_object",
)
"""The forms, by code. Texts that are dates go by their format, those that are numbers by their decimals. "digits" are
whole numbers that would not survive being read as numbers ("00123", or longer than 15 digits); "offset_time" is an ISO
time with an offset from UTC."""
_CODE = {form: code for code, form in enumerate(FORMS)}

_LONGEST = 500
_NUMBER = re.compile(
    r" *-?(?:(?:0|[1-9]\d{0,14})(?:\.\d{0,25})?|\.\d{1,25})(?:[eE][+-]?\d{1,3})? *",
    re.ASCII,
)
_DIGITS = re.compile(r"\d+", re.ASCII)
_TIME = r"(?:([ T])(\d{1,2}:\d\d)(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?"
_YEAR_FIRST = re.compile(r"(\d{4})([-/])(\d\d)\2(\d\d)" + _TIME, re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + _TIME, re.ASCII)
_EMAIL = re.compile(r"[\w.%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_URL = re.compile(r"(?:(?:https?|ftp)://\S{3,}|www\.\S{4,})", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}", re.ASCII)
_CARD = re.compile(r"[2-6](?:[ -]?\d){12,18}", re.ASCII)
_SSN = re.compile(r"\d{3}-\d{2}-\d{4}", re.ASCII)
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?:{_BYTE}\.){{3}}{_BYTE}", re.ASCII)
_EXTENSION = r"(?: ?(?:x|ext\.?) ?\d{1,6})?"
_PHONES = (
    re.compile(r"\+(?:[ ().-]{0,2}\d){7,15}" + _EXTENSION, re.ASCII),  # international
    re.compile(r"(?:(?:\+|00)?1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}" + _EXTENSION, re.ASCII),
    re.compile(r"0\d{1,5}[ /-]\d{3,9}(?:[ -]\d{2,6}){0,2}" + _EXTENSION, re.ASCII),  # with a trunk prefix
)


def forms_of(series: pd.Series) -> IntArray:
    """Return the form of every cell as a place in `FORMS`, shape (n_rows,). Takes any objects and never raises.

    >>> [FORMS[code] for code in forms_of(pd.Series(["2024-01-31", "12.50", "00123", None, ["a"]]))]
    ['%Y-%m-%d', 'number_text, 2 decimals', 'digits', 'missing', 'other_object']
    """
    cells = series.to_numpy(dtype=object)
    codes = np.full(len(cells), _CODE["other_object"], dtype=np.int64)
    type_ids = np.fromiter((id(type(cell)) for cell in cells), dtype=np.int64, count=len(cells))
    _, firsts, groups = np.unique(type_ids, return_index=True, return_inverse=True)
    for group, first in enumerate(firsts):
        rows = np.flatnonzero(groups == group)
        codes[rows] = _codes_of_type(type(cells[first]), cells[rows])
    return codes


def read_forms(counts: FloatArray, *, n_rows: float, noise: float) -> Column | None:
    """Return what an undeclared text or object column is, from released counts of its forms.

    Parameters
    ----------
    counts : ndarray of shape (len(FORMS),)
        Released counts by form.
    n_rows : float
        Released number of rows.
    noise : float
        Standard deviation of the noise of each count.

    Returns
    -------
    Column or None
        A kind other than Categorical where one form may well have nine tenths of the cells that are there, two
        standard deviations added, has seven tenths as counted, and stands five above nothing. None: it stays
        Categorical, or the noise hides what it is. Cells of any other form are for the caller to treat as missing.

    Examples
    --------
    >>> counts = np.zeros(len(FORMS))
    >>> counts[[FORMS.index("%Y-%m-%d"), FORMS.index("missing")]] = 900, 100
    >>> read_forms(counts, n_rows=1000, noise=5)
    Datetime(low=None, high=None, nullable=True, format='%Y-%m-%d', resolution=None)
    >>> read_forms(counts, n_rows=1000, noise=200) is None
    True
    """
    count = dict(zip(FORMS, np.asarray(counts, dtype=np.float64).tolist(), strict=True))
    present = max(n_rows - count["missing"] - count["blank"], 1.0)

    def prevails(*forms: str) -> bool:
        total, spread = sum(count[form] for form in forms), noise * len(forms) ** 0.5
        return total >= max(0.9 * present - 2 * spread, 0.7 * present, 5 * spread)

    if prevails(*_NUMBER_TEXTS):
        codes = count["digits"] > 3 * noise + 0.02 * present  # zip codes, no numbers
        parts = np.array([count[form] for form in (*_NUMBER_TEXTS, "missing")])
        decimals = coarsest(parts, n_rows=float(parts.sum()), noise=noise)
        return None if codes else Continuous(form="text", decimals=decimals)
    for form, column in _columns():
        if prevails(form):
            return column
    for day, month in _DAY_OR_MONTH:
        if prevails(day, month, f"{day} or {month}"):
            most, least = sorted((day, month), key=count.__getitem__, reverse=True)
            clear = count[most] - count[least] > 5 * noise and count[least] <= 3 * noise + 0.1 * count[most]
            return Datetime(format=most) if clear else None
    return None


def _columns() -> Iterator[tuple[str, Column]]:
    """Yield the forms that tell a column's kind on their own."""
    yield "date_object", Datetime(format="date")
    yield "decimal", Continuous(form="decimal")
    for form in (*_FIXED_DATES, *(form for pair in _DAY_OR_MONTH for form in pair)):
        yield form, Datetime(format=form)
    for form in _PERSONAL:
        yield form, Identifier(fake=form)


def _codes_of_type(kind: type, cells: np.ndarray) -> IntArray | int:
    """Return the codes of cells that are all of one type."""
    if kind in (type(None), type(pd.NA), type(pd.NaT)):
        return _CODE["missing"]
    if issubclass(kind, str):
        texts = [str.__str__(cell) for cell in cells]
        codes = {text: _CODE[_form_of_text(text)] for text in dict.fromkeys(texts)}  # pandas holds "\0" for equal to ""
        return np.array([codes[text] for text in texts], dtype=np.int64)
    if issubclass(kind, (bool, np.bool_)):
        return _CODE["bool"]
    if issubclass(kind, (int, np.integer)) and not issubclass(kind, np.timedelta64):
        return _CODE["integer"]
    if issubclass(kind, (float, np.floating)):
        return np.where(np.isnan(cells.astype(np.float64)), _CODE["missing"], _CODE["float"])
    if issubclass(kind, decimal.Decimal):
        missing = [decimal.Decimal.is_nan(cell) for cell in cells]
        return np.where(missing, _CODE["missing"], _CODE["decimal"])
    if issubclass(kind, np.datetime64):
        return np.where([np.isnat(cell) for cell in cells], _CODE["missing"], _CODE["datetime_object"])
    if issubclass(kind, datetime.datetime):
        return _CODE["datetime_object"]
    return _CODE["date_object" if issubclass(kind, datetime.date) else "other_object"]


def _form_of_text(text: str) -> str:
    """Return the first form that a text has."""
    if not text or text.isspace():
        return "blank"
    if len(text) > _LONGEST:
        return "text"
    if _CARD.fullmatch(text) and _luhn(text):
        return "card"
    if _NUMBER.fullmatch(text):
        decimals = len(text.strip().partition(".")[2])
        return _NUMBER_TEXTS[decimals] if decimals < 5 and "e" not in text.lower() else "number_text"
    if _DIGITS.fullmatch(text):
        return "digits"
    return _date_form(text) or _personal_form(text)


def _date_form(text: str) -> str | None:
    """Return the format of a text that is a date which exists; None for anything else."""
    if match := _YEAR_FIRST.fullmatch(text):
        year, separator, month, day = match[1], match[2], match[3], match[4]
        formats = [f"%Y{separator}%m{separator}%d"] if _exists(year, month, day) else []
    elif match := _YEAR_LAST.fullmatch(text):
        one, separator, two, year = match[1], match[2], match[3], match[4]
        formats = [f"%d{separator}%m{separator}%Y"] if _exists(year, two, one) else []
        if separator != "." and _exists(year, one, two):
            formats.append(f"%m{separator}%d{separator}%Y")
    else:
        return None
    between, clock, seconds, fraction, zone = match.groups()[4:]
    if clock and (int(clock[:-3]) > 23 or int(clock[-2:]) > 59 or int((seconds or ":0")[1:3]) > 59):
        return None
    if formats and zone and zone != "Z":
        return "offset_time"
    after = "" if clock is None else f"{between}%H:%M{':%S' if seconds else ''}{'.%f' if fraction else ''}{zone or ''}"
    form = " or ".join(f"{date}{after}" for date in formats)
    return form if form in _CODE else None


def _exists(year: str, month: str, day: str) -> bool:
    try:
        datetime.date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _personal_form(text: str) -> str:
    """Return which personal data a text is, else "text"."""
    if "@" in text:
        return "email" if _EMAIL.fullmatch(text) else "text"
    if _UUID.fullmatch(text):
        return "uuid"
    if _IBAN.fullmatch(text) and _mod97(text):
        return "iban"
    if _SSN.fullmatch(text):
        return "ssn"
    if _IPV4.fullmatch(text) or (":" in text and _is_ipv6(text)):
        return "ip"
    if any(phone.fullmatch(text) for phone in _PHONES):
        return "phone"
    return "url" if _URL.fullmatch(text) else "text"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _luhn(text: str) -> bool:
    """Whether the digits pass Luhn's check, as all card numbers do."""
    digits = [int(sign) for sign in reversed(text) if sign.isdigit()]
    return (sum(digits[::2]) + sum(2 * digit - 9 * (digit > 4) for digit in digits[1::2])) % 10 == 0


def _mod97(text: str) -> bool:
    """Whether the check digits of an IBAN hold (ISO 7064)."""
    plain = text.replace(" ", "")
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1
