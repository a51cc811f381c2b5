"""Which columns are identifiers or personal data, from their names and data types: public facts, no values.

A name is split into words, and the words must say *all* of it: an optional owner ("customer", "billing") and then
the thing ("email", "card number").  Any other word means the column is about the thing, not the thing: "n_emails",
"card_type", "is_id_verified".
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from privsynth.kinds import Identifier

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_FOREIGN = re.compile(r"[^\x00-\x7f]")  # stays inside its word
_APART = {"e mail": "email", "i pv": "ip", "ipv": "ip", "u id": "uid", "g uid": "guid"}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PEOPLE = _set(
    """
    account applicant author beneficiary borrower buyer cardholder child citizen client contact customer cust
    debtor doctor driver employee emp father guardian guest holder host insured investor manager member mother
    nurse owner parent participant passenger patient payee payer person physician player policyholder
    recipient respondent seller sender staff student subject subscriber supervisor teacher tenant user victim
    voter worker
    """
)
_PLACES = _set(
    """
    alt alternate alternative billing business company contact daytime dest destination dst emergency evening
    home invoice mailing main office permanent personal postal preferred primary private registered remote
    residential secondary second shipping source src delivery client server host local public user work
    """
)
_OWNERS = _PEOPLE | _PLACES
_GROUPS = _set(
    """
    agency airline airport area bank branch brand cabin campaign campus carrier category channel city class
    cluster code color colour company country county course currency department dept device disposition
    district division facility family flag genre grade group hospital item job kind language level line
    location loc manufacturer market model office operator organisation organization outlet plan platform
    position product program project provider province queue rate ratecode reason region resource role room
    route school season section sector segment service shop site size source specialty state station status
    store supplier team territory tier type unit vendor version ward warehouse zone merchant payment test
    period hotel restaurant movie film book song artist album game
    """
)
"""What many rows share: such an id is a level to be learned, not a key."""
_ABOUT = _set(
    """
    is has had was are n nb num no number count counts total max min avg mean std with without same different
    valid invalid missing unique distinct changed new old requires photo fake music
    """
)
_KEYED = _set(
    """
    account acct admission application booking case certificate claim client contract customer cust document
    driver encounter employee id identification invoice licence license loan member membership order parcel
    passport patient policy receipt record reference registration reservation row serial shipment student
    ticket tracking transaction trans user voucher vehicle
    """
)
"""What has a number of its own: order number, passport no."""
_NUMBER = ("number", "no", "nr", "nbr", "num")
_GLUED = {
    **{f"{owner}{thing}": (owner, thing) for owner in _PEOPLE for thing in ("id", "name", "email", "phone")},
    **{f"{owner}id": (owner, "id") for owner in ("row", "record", "order", "transaction", "session", "encounter")},
    **{f"{part}name": (part, "name") for part in ("first", "last", "full", "middle", "given", "family", "maiden")},
    **{f"{thing}number": (thing, "number") for thing in ("card", "phone", "account", "passport", "order", "invoice")},
    **{f"{thing}address": (thing, "address") for thing in ("email", "ip", "street", "home", "web")},
    **{"fname": ("first", "name"), "lname": ("last", "name"), "creditcard": ("credit", "card")},
    **{"forename": ("first", "name"), "firstnames": ("first", "name"), "surname": ("last", "name")},
    **{"ccnum": ("card", "number"), "ccnumber": ("card", "number"), "hostname": ("hostname",)},
}
_THINGS: dict[str, tuple[str, ...]] = {
    "first_name": ("first name", "given name", "middle name"),
    "last_name": ("last name", "family name", "maiden name", "birth name"),
    "email": ("email", "email address", "email addr"),
    "iban": ("iban", "account iban", "iban number"),
    "ssn": ("ssn", "social security number", "social security no", "social security nr", "ssn number"),
    "address": ("address", "street address", "address line", "postal address", "home address", "full address"),
    "url": ("url", "uri", "website", "web address", "website url", "homepage", "homepage url"),
    "ip": ("ip", "ip address", "ip addr"),
    "uuid": ("uuid", "guid"),
    "card": (
        *("pan", "card pan"),
        *(f"{card} {n}" for card in ("card", "credit card", "debit card", "payment card", "cc") for n in _NUMBER),
    ),
    "phone": (
        *("phone", "mobile", "mobile phone", "cell phone", "tel", "home phone", "work phone", "msisdn", "fax"),
        *(f"{phone} {n}" for phone in ("phone", "mobile", "mobile phone", "cell", "cell phone") for n in _NUMBER),
        *(f"{phone} {n}" for phone in ("telephone", "tel", "fax", "contact") for n in _NUMBER),
    ),
    "name": ("name on card",),
    "key": ("passport", "mrn", "medical record number", "mac address", "wallet address", "uid", "identifier"),
}
_KIND_OF = {tuple(thing.split()): kind for kind, things in _THINGS.items() for thing in things}
_LEAST_BITS = {"key": 0, "uuid": 0, "phone": 32, "ssn": 32, "card": 64}
"""The kinds that whole numbers can hold, and how wide these must be: a narrower "phone" is a flag or a count."""


def identifier_from_name(name: str, dtype: object) -> Identifier | None:
    """Return how a column is to be made up, when its name and data type say that it identifies.

    Parameters
    ----------
    name : str
        The column's name.
    dtype : str or dtype
        Its data type. Text and whole numbers identify; floats only where the name ends in "id", "key" or
        "uuid", as whole numbers with missing values are held by pandas. Nothing else does.

    Returns
    -------
    Identifier or None
        With ``unique=True``: whether the ids of persons ("customer_id") are distinct cannot be said of a name.

    Examples
    --------
    >>> identifier_from_name("customerEmail", "object")
    Identifier(prefix='id', fake='email', unique=True)
    >>> identifier_from_name("n_emails", "int64") is None
    True
    """
    words = _words(name)
    kind = _kind(words)
    if kind is None or not _can_hold(kind, words, pd.api.types.pandas_dtype(dtype)):
        return None
    return Identifier(fake=kind)


def _words(name: str) -> tuple[str, ...]:
    """Split a name at everything but letters and at capitals: ("customer", "id") for "customerID_2"."""
    found: list[str] = []
    for word in _WORD.findall(_FOREIGN.sub("x", name)):
        found += _GLUED.get(word.lower(), (word.lower(),))
    text = " ".join(found)
    for apart, whole in _APART.items():
        text = re.sub(rf"\b{apart}\b", whole, text)
    return tuple(text.split())


def _kind(words: tuple[str, ...]) -> str | None:
    """Return what kind of identifier the words name."""
    for skip in (0, 1, 2):
        if skip and not (len(words) > skip and words[skip - 1] in _OWNERS):
            break
        if words[skip:] in _KIND_OF:
            return _KIND_OF[words[skip:]]
    if words[-1:] == ("name",) and set(words[:-1]) <= _PEOPLE | {"full", "legal"}:
        return "name"
    if words[-1:] in (("url",), ("uri",), ("uuid",), ("guid",)) and not _ABOUT & set(words):
        return _KIND_OF[words[-1:]]
    return "key" if _is_key(words) else None


def _is_key(words: tuple[str, ...]) -> bool:
    """Whether the words name a key: "id", "row_key", "order number", but not "product_id" or "has_id"."""
    if words[-1:] and words[-1] in ("id", "key", "pk", "identifier"):
        return not (_ABOUT & set(words[:-1]) or _GROUPS & set(words[-2:-1]))
    return len(words) == 2 and words[0] in _KEYED and words[1] in _NUMBER


def _can_hold(kind: str, words: tuple[str, ...], dtype: object) -> bool:
    """Whether a column of `dtype` can hold identifiers of a kind."""
    types = pd.api.types
    if types.is_bool_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
        return False
    if types.is_integer_dtype(dtype):
        bits = 8 * np.dtype(getattr(dtype, "numpy_dtype", dtype)).itemsize  # type: ignore[call-overload]
        return kind in _LEAST_BITS and bits >= _LEAST_BITS[kind]
    if types.is_float_dtype(dtype):
        return kind in ("key", "uuid") and words[-1] in ("id", "key", "pk", "uuid")
    return types.is_object_dtype(dtype) or types.is_string_dtype(dtype)
