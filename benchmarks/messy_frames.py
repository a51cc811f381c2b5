"""The frames of messy_cases.py: generated, of fixed seeds, in need of numpy and pandas only.

Each holds one trouble beside two harmless columns, `age` and `segment`. `kinds` says what a column is, for the
checks: a number, a time, a duration, a level, a key (an identifier), or other (case checks alone look at it).
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

ROWS = 2000
Kinds = dict[str, str]
Made = tuple[dict[str, Any], Kinds]


@dataclass(frozen=True)
class Case:
    """A named frame, what its columns are, and what is asked of a synthesizer."""

    name: str
    make: Callable[[np.random.Generator, int], Made]
    rows: int = ROWS
    ask: int | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> tuple[pd.DataFrame, Kinds]:
        """Return the frame and the kinds of its columns."""
        rng = np.random.default_rng(20260101)
        columns, kinds = self.make(rng, self.rows)
        plain = {"age": rng.integers(18, 91, self.rows), "segment": rng.choice(["a", "b", "c"], self.rows, p=SEGMENTS)}
        return pd.DataFrame({**plain, **columns}), {"age": "number", "segment": "level", **kinds}


SEGMENTS = [0.5, 0.3, 0.2]


def cents(rng: np.random.Generator, n: int, scale: float = 100.0) -> np.ndarray:
    return np.round(rng.gamma(2.0, scale / 2, n), 2)


def days(rng: np.random.Generator, n: int, since: str = "2023-01-01", span: int = 700) -> pd.Series:
    start = pd.Timestamp(since)
    return pd.Series(start + pd.to_timedelta(rng.integers(0, span, n), unit="D")).astype("datetime64[ns]")


def plain(rng: np.random.Generator, n: int) -> Made:
    return {"balance": np.round(rng.normal(500, 800, n), 2)}, {"balance": "number"}


def gaps(rng: np.random.Generator, n: int) -> Made:
    return {"income": np.where(rng.random(n) < 0.3, np.nan, cents(rng, n, 3000))}, {"income": "number"}


def nullable(rng: np.random.Generator, n: int) -> Made:
    visits = pd.Series(rng.poisson(4, n), dtype="Int64").mask(rng.random(n) < 0.25)
    smoker = pd.Series(rng.random(n) < 0.3, dtype="boolean").mask(rng.random(n) < 0.2)
    return {"visits": visits, "smoker": smoker}, {"visits": "number", "smoker": "level"}


def ordered(rng: np.random.Generator, n: int) -> Made:
    levels = ["none", "low", "medium", "high", "extreme"]
    risk = pd.Categorical(rng.choice(levels[:4], n, p=[0.4, 0.3, 0.2, 0.1]), categories=levels, ordered=True)
    return {"risk": risk}, {"risk": "level"}


def zoned(rng: np.random.Generator, n: int) -> Made:
    seconds = pd.Series(pd.to_timedelta(rng.integers(0, 86400, n), unit="s"))
    when = (days(rng, n) + seconds).dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    return {"when": when.mask(rng.random(n) < 0.2)}, {"when": "time"}


def durations(rng: np.random.Generator, n: int) -> Made:
    return {"stay": pd.Series(pd.to_timedelta(rng.integers(1, 500, n), unit="h"))}, {"stay": "duration"}


def decimals(rng: np.random.Generator, n: int) -> Made:
    fee = pd.Series([Decimal(f"{value:.2f}") for value in cents(rng, n)], dtype=object)
    return {"fee": fee}, {"fee": "number"}


def as_text(rng: np.random.Generator, n: int) -> Made:
    day = days(rng, n).dt.strftime("%d.%m.%Y")
    price = pd.Series([f"{value:.2f}" for value in cents(rng, n)])
    return {"day": day, "price": price}, {"day": "time %d.%m.%Y", "price": "number"}


def mixed(rng: np.random.Generator, n: int) -> Made:
    values = np.array([1, 2, 3, "none", "unknown", None], dtype=object)
    return {"children": pd.Series(rng.choice(values, n), dtype=object)}, {"children": "level"}


def spikes(rng: np.random.Generator, n: int) -> Made:
    paid = np.where(rng.random(n) < 0.6, 0.0, cents(rng, n))
    limit = np.minimum(np.round(rng.gamma(2.0, 3000, n), 2), 10_000.0)
    return {"paid": paid, "limit": limit}, {"paid": "number", "limit": "number"}


def heavy(rng: np.random.Generator, n: int) -> Made:
    return {"transfer": np.round(rng.lognormal(5, 2.3, n), 2)}, {"transfer": "number"}


def infinite(rng: np.random.Generator, n: int) -> Made:
    return {"ratio": np.where(rng.random(n) < 0.2, np.inf, rng.normal(0, 1, n))}, {"ratio": "number"}


def constant(rng: np.random.Generator, n: int) -> Made:
    columns = {"country": ["DE"] * n, "version": [1] * n, "fax": np.full(n, np.nan)}
    return columns, {"country": "level", "version": "number", "fax": "number"}


def merchants(rng: np.random.Generator, n: int) -> Made:
    names = np.array([f"shop {number:06d}" for number in rng.permutation(900_000)[:n]], dtype=object)
    large = rng.random(n) < 0.5
    names[large] = rng.choice([f"chain {number}" for number in range(10)], large.sum())
    return {"merchant": names}, {"merchant": "other"}


def personal(rng: np.random.Generator, n: int) -> Made:
    account = rng.choice(900_000_000, n, replace=False) + 100_000_000
    email = ["".join(rng.choice(list(string.ascii_lowercase), 9)) + "@example.org" for _ in range(n)]
    columns = {"account": account, "email": email, "card": [_card(rng) for _ in range(n)]}
    return {**columns, "iban": [_iban(rng) for _ in range(n)]}, dict.fromkeys(["account", *columns, "iban"], "key")


def _card(rng: np.random.Generator) -> str:
    digits = [4, *rng.integers(0, 10, 14)]
    total = sum(d if place % 2 else sum(divmod(2 * d, 10)) for place, d in enumerate(digits))
    return "".join(map(str, digits)) + str(-total % 10)


def _iban(rng: np.random.Generator) -> str:
    body = "".join(map(str, rng.integers(0, 10, 18)))
    return f"DE{98 - int(body + '131400') % 97:02d}{body}"


def mpg(rng: np.random.Generator, n: int) -> Made:
    return {"city-mpg": rng.integers(10, 50, n), "zip": rng.integers(1, 9, n)}, {"city-mpg": "number", "zip": "number"}


def periods(rng: np.random.Generator, n: int) -> Made:
    start = days(rng, n)
    end = start + pd.to_timedelta(rng.geometric(0.1, n) - 1, unit="D")
    return {"start": start, "end": end}, {"start": "time", "end": "time"}


CITIES = {"Rome": "IT", "Milan": "IT", "Oslo": "NO", "Bergen": "NO", "Lyon": "FR", "Paris": "FR", "Porto": "PT"}


def places(rng: np.random.Generator, n: int) -> Made:
    city = rng.choice(list(CITIES), n)
    return {"city": city, "country": [CITIES[name] for name in city]}, {"city": "level", "country": "level"}


def totals(rng: np.random.Generator, n: int) -> Made:
    price, quantity = cents(rng, n, 20), rng.integers(1, 6, n)
    columns = {"price": price, "quantity": quantity, "total": np.round(price * quantity, 2)}
    return columns, dict.fromkeys(columns, "number")


def persons(rng: np.random.Generator, n: int) -> Made:
    customers = np.array([f"C{number:07d}" for number in rng.permutation(9_000_000)[: n // 10]], dtype=object)
    return {"customer": rng.permutation(np.repeat(customers, 10)), "spent": cents(rng, n)}, {
        "customer": "other",
        "spent": "number",
    }


def wide(rng: np.random.Generator, n: int, width: int = 198) -> Made:
    hidden = rng.normal(size=(n, 4))
    values = hidden @ rng.normal(size=(4, width)) + rng.normal(size=(n, width))
    columns: dict[str, Any] = {}
    for number in range(width):
        column = values[:, number].round(3)
        columns[f"v{number}"] = np.where(column > 0, "high", "low") if number % 3 == 0 else column
    return columns, {name: "number" if number % 3 else "level" for number, name in enumerate(columns)}


def small(rng: np.random.Generator, n: int) -> Made:
    return wide(rng, n, 18)


def dependent(rng: np.random.Generator, n: int) -> Made:
    inpatient = rng.random(n) < 0.4
    days_in = np.where(inpatient, rng.poisson(6, n) + 1.0, np.nan)
    columns = {"kind": np.where(inpatient, "inpatient", "outpatient"), "days": days_in}
    return columns, {"kind": "level", "days": "number"}


def arrow(rng: np.random.Generator, n: int) -> Made:
    import pyarrow as pa

    paid = pd.Series(cents(rng, n), dtype=pd.ArrowDtype(pa.float64())).mask(rng.random(n) < 0.2)
    count = pd.Series(rng.poisson(3, n), dtype=pd.ArrowDtype(pa.int64()))
    channel = pd.Series(rng.choice(["web", "shop"], n), dtype=pd.ArrowDtype(pa.string()))
    day = days(rng, n).astype(pd.ArrowDtype(pa.timestamp("ns")))
    columns = {"paid": paid, "count": count, "channel": channel, "day": day}
    return columns, {"paid": "number", "count": "number", "channel": "level", "day": "time"}


def rare(rng: np.random.Generator, n: int) -> Made:
    fraud = (rng.random(n) < 0.01).astype(int)
    amount = np.round(rng.lognormal(4 + 2 * fraud, 1.2), 2)
    return {"fraud": fraud, "amount": amount}, {"fraud": "level", "amount": "number"}


CASES = [
    Case("nothing messy", plain),
    Case("NaN in 30 % of a float column", gaps),
    Case("Int64 and boolean with <NA>", nullable),
    Case("ordered category with an unused level", ordered),
    Case("times with a zone, 20 % NaT", zoned),
    Case("durations (timedelta)", durations),
    Case("Decimal objects", decimals),
    Case("dates and numbers as text", as_text),
    Case("numbers, text and None in one column", mixed),
    Case("60 % zeros with cents, and a cap", spikes),
    Case("six orders of magnitude", heavy),
    Case("infinite values", infinite),
    Case("constant columns, and an empty one", constant),
    Case("10 large merchants, 10,000 seen once", merchants, rows=20_000),
    Case("account, e-mail, card number, IBAN", personal),
    Case("numbers named city-mpg and zip", mpg),
    Case("start <= end", periods),
    Case("city gives country", places),
    Case("total = price * quantity", totals),
    Case("ten rows a person", persons),
    Case("200 rows, 20 columns", small, rows=200),
    Case("2,000 rows, 200 columns", wide),
    Case("missing only for one kind of row", dependent),
    Case("arrow-backed frame", arrow),
    Case("500 rows of a 1 % class, amount > 1000", rare, rows=5000, ask=500, conditions={"fraud": 1, "amount": 1000.0}),
]
