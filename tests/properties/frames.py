"""Frames as they lie in warehouses: every data type, missing values, spikes, tails, constants, keys and rules."""

import decimal
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

from privsynth.rules import FixedCombinations, Formula, Inequality, OneOf, Range
from privsynth.schema import Schema

ZONE = "Europe/Vienna"


def _integers(rng, n):
    kind = rng.integers(5)
    if kind == 0:
        return rng.integers(0, 4, n)
    if kind == 1:
        return rng.integers(-100, 100, n)
    if kind == 2:
        return np.full(n, rng.integers(-100, 100))
    if kind == 3:
        return np.where(rng.random(n) < 0.6, 0, rng.integers(1, 120, n))
    return rng.integers(0, 2, n) * 100


def _floats(rng, n):
    kind = rng.integers(7)
    if kind == 0:
        return rng.normal(size=n)
    if kind == 1:
        return np.round(rng.lognormal(3, 1, n), 2)
    if kind == 2:
        return np.where(rng.random(n) < 0.5, 0.0, rng.lognormal(0, 3, n))  # six orders of magnitude
    if kind == 3:
        return np.minimum(np.round(rng.exponential(50, n)), 99.0)  # a cap
    if kind == 4:
        return np.full(n, 7.25)
    if kind == 5:
        return np.where(rng.random(n) < 0.1, rng.choice([np.inf, -np.inf], n), rng.normal(size=n))
    return -rng.gamma(1, 1000, n)


def _texts(rng, n):
    kind = rng.integers(6)
    if kind == 0:
        return rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]).astype(object)
    if kind == 1:
        return np.char.add("m", rng.integers(0, 5000, n).astype(str)).astype(object)
    if kind == 2:
        return np.full(n, "only", dtype=object)
    if kind == 3:
        return np.array([f"{i}@mail.example" for i in rng.integers(0, 10**9, n)], dtype=object)
    if kind == 4:
        return np.array([str(uuid.UUID(int=int(i))) for i in rng.integers(0, 2**62, n)], dtype=object)
    return rng.choice(["", " ", "nan", "None", "ü", "<b>", "a,b", '"', "__other__"], n).astype(object)


def _days(rng, n):
    return np.datetime64("2020-01-01", "s") + rng.integers(0, 1500, n).astype("timedelta64[D]")


def _seconds(rng, n):
    return np.datetime64("2020-01-01", "s") + rng.integers(0, 10**8, n).astype("timedelta64[s]")


def _holes(rng, values):
    """Make some values missing."""
    series = pd.Series(values)
    return series.mask(rng.random(len(series)) < rng.choice([0.0, 0.05, 0.5]))


def _object(values):
    return pd.Series(values, dtype=object)


def _with_none(rng, values):
    out = np.empty(len(values), dtype=object)
    out[:] = list(values)
    out[rng.random(len(values)) < rng.choice([0.0, 0.1])] = None
    return pd.Series(out, dtype=object)


MAKERS = {
    **{
        f"{kind}{bits}": lambda rng, n, d=f"{kind}{bits}": pd.Series(np.abs(_integers(rng, n))).astype(d)
        for kind in ("int", "uint")
        for bits in (8, 16, 32, 64)
    },
    **{f"float{bits}": lambda rng, n, d=f"float{bits}": _holes(rng, _floats(rng, n)).astype(d) for bits in (32, 64)},
    "float16": lambda rng, n: pd.Series(rng.normal(size=n)).astype("float16"),
    "Int64": lambda rng, n: _holes(rng, _integers(rng, n)).astype("Float64").astype("Int64"),
    "UInt8": lambda rng, n: _holes(rng, np.abs(_integers(rng, n))).astype("Float64").astype("UInt8"),
    "Float32": lambda rng, n: _holes(rng, rng.normal(size=n)).astype("Float32"),
    "bool": lambda rng, n: pd.Series(rng.random(n) < 0.3),
    "boolean": lambda rng, n: _holes(rng, _object(rng.random(n) < 0.3)).astype("boolean"),
    "object": lambda rng, n: _with_none(rng, _texts(rng, n)),
    "string": lambda rng, n: _with_none(rng, _texts(rng, n)).astype("string"),
    "string[pyarrow]": lambda rng, n: _with_none(rng, _texts(rng, n)).astype("string[pyarrow]"),
    "category": lambda rng, n: _with_none(rng, rng.choice(["x", "y"], n)).astype(pd.CategoricalDtype(["y", "x", "z"])),
    "ordered": lambda rng, n: pd.Series(
        pd.Categorical(rng.choice([1, 2, 3], n), categories=[1, 2, 3, 4], ordered=True)
    ),
    "mixed": lambda rng, n: _with_none(rng, rng.choice(np.array([1, "1", 1.5, True, "x"], dtype=object), n)),
    "booleans as objects": lambda rng, n: _with_none(rng, rng.random(n) < 0.5),
    "datetime64[ns]": lambda rng, n: _holes(rng, _seconds(rng, n)).astype("datetime64[ns]"),
    "datetime64[s]": lambda rng, n: _holes(rng, _days(rng, n)).astype("datetime64[s]"),
    "zone": lambda rng, n: _holes(rng, _seconds(rng, n)).dt.tz_localize("UTC").dt.tz_convert(ZONE),
    "timedelta64[ns]": lambda rng, n: _holes(rng, rng.integers(0, 10**6, n).astype("timedelta64[s]")).astype(
        "timedelta64[ns]"
    ),
    "decimal": lambda rng, n: _with_none(rng, [decimal.Decimal(int(v)) / 100 for v in rng.integers(0, 9999, n)]),
    "numbers as text": lambda rng, n: _with_none(rng, np.round(rng.normal(50, 9, n), 1).astype(str)),
    "dates as text": lambda rng, n: _with_none(rng, pd.Series(_days(rng, n)).dt.strftime("%d.%m.%Y")),
    "dates": lambda rng, n: _with_none(rng, pd.Series(_days(rng, n)).dt.date),
    "arrow int": lambda rng, n: _holes(rng, _integers(rng, n)).astype("Float64").astype(pd.ArrowDtype(pa.int32())),
    "arrow float": lambda rng, n: pd.Series(rng.normal(size=n)).astype(pd.ArrowDtype(pa.float64())),
    "arrow bool": lambda rng, n: pd.Series(rng.random(n) < 0.5).astype(pd.ArrowDtype(pa.bool_())),
    "arrow text": lambda rng, n: _with_none(rng, rng.choice(["p", "q"], n)).astype(pd.ArrowDtype(pa.string())),
    "arrow time": lambda rng, n: pd.Series(_seconds(rng, n)).astype(pd.ArrowDtype(pa.timestamp("ns"))),
    "all missing": lambda rng, n: pd.Series(np.full(n, np.nan)),
    "all None": lambda rng, n: pd.Series([None] * n, dtype=object),
    "keys": lambda rng, n: pd.Series(rng.permutation(n) + 10**6),
}
NAMES = [
    "id", "customer_id", "email", "city-mpg", "amount", "a b", "ü", "1", "select", "__other__", "x" * 60, "class",
    "Name", "paid", "iban", "start", "note", "{}", "<td>", "index", "target", "n_rows", "dtype", "%s",
]  # fmt: skip


@st.composite
def frames(draw, max_columns=5):
    """Draw a frame of 25 to 250 rows and any columns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(25, 250))
    kinds = draw(st.lists(st.sampled_from(sorted(MAKERS)), min_size=1, max_size=max_columns))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=len(kinds), max_size=len(kinds), unique=True))
    index = draw(st.sampled_from(["range", "shuffled", "text", "dates"]))
    frame = pd.DataFrame({name: MAKERS[kind](rng, n) for name, kind in zip(names, kinds, strict=True)})
    if index == "shuffled":
        frame.index = rng.permutation(n)
    elif index == "text":
        frame.index = [f"r{i % 7}" for i in range(n)]  # not unique
    elif index == "dates":
        frame.index = pd.date_range("2024-01-01", periods=n)
    return frame


@st.composite
def ruled(draw):
    """Draw a frame that satisfies rules, and the schema that declares them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(100, 300))
    start = rng.integers(0, 50, n)
    place = rng.integers(0, 4, n)
    price, quantity = np.round(rng.lognormal(2, 0.5, n), 2), rng.integers(1, 6, n)
    chosen = rng.integers(0, 3, n)
    frame = pd.DataFrame(
        {
            "start": start,
            "end": start + rng.integers(0, 30, n),
            "city": np.array(["Wien", "Graz", "Rom", "Oslo"])[place],
            "country": np.array(["AT", "AT", "IT", "NO"])[place],
            "price": price,
            "quantity": quantity,
            "total": np.round(price * quantity, 2),
            "share": rng.random(n),
            **{f"by_{way}": chosen == i for i, way in enumerate(("card", "cash", "wire"))},
        }
    )
    rules = {
        "end": Inequality("start", "end"),
        "country": FixedCombinations(("city", "country")),
        "total": Formula("total", "price * quantity"),
        "share": Range("share", low=0, high=1),
        "by_card": OneOf(("by_card", "by_cash", "by_wire")),
    }
    used = draw(st.lists(st.sampled_from(sorted(rules)), min_size=1, max_size=3, unique=True))
    needed = [c for c in frame.columns if any(c in rules[u].columns for u in used) or c == "quantity"]
    return frame[needed], Schema(rules=[rules[u] for u in used])
