"""What messy_cases.py finds wrong with synthetic rows: the same functions for every synthesizer.

A finding is "kind: what". Kinds: rows, dtype, missing, domain, copied, shape, rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from messy_frames import CITIES, Case

SHARE = 0.1  # shares may differ by this
BEYOND = 0.05  # share of values that may lie beyond the real range by more than a tenth of it
FAR = 0.5  # Kolmogorov-Smirnov or total variation distance above which a column is no longer the same
Check = Callable[[pd.DataFrame, pd.DataFrame], list[str]]


def check(case: Case, real: pd.DataFrame, kinds: dict[str, str], synthetic: pd.DataFrame) -> list[str]:
    """Return all findings for one case."""
    asked = case.ask or len(real)
    found = [] if len(synthetic) == asked else [f"rows: {len(synthetic)} rows came for {asked}"]
    lost = [name for name in real if name not in synthetic]
    added = [str(name) for name in synthetic if name not in real]
    found += [f"rows: columns lost: {lost}"] if lost else []
    found += [f"rows: columns added: {added}"] if added else []
    if lost or synthetic.empty:
        return found
    for name, kind in kinds.items():
        found += column_findings(name, kind, real[name], synthetic[name], learned=not case.conditions)
    for extra in EXTRA.get(case.name, []):
        found += extra(real, synthetic)
    return found


def column_findings(name: str, kind: str, real: pd.Series, synthetic: pd.Series, *, learned: bool) -> list[str]:
    """Return what is wrong with one column; `learned`: whether shares should be those of the real rows."""
    found = dtype_findings(name, real, synthetic)
    gone, was = synthetic.isna().mean(), real.isna().mean()
    if abs(gone - was) > SHARE:
        found.append(f"missing: {name}: {gone:.0%}, was {was:.0%}")
    here = synthetic.dropna()
    if kind == "level" and len(here):
        found += level_findings(name, real.dropna(), here, learned=learned)
    elif kind == "key":
        found += key_findings(name, real, here)
    elif kind != "other" and len(here) and real.notna().any():
        found += number_findings(name, numbers(real.dropna(), kind), numbers(here, kind), learned=learned)
    return found


def dtype_findings(name: str, real: pd.Series, synthetic: pd.Series) -> list[str]:
    """Return whether the data type, or the Python type of objects, has changed.

    A data type that can hold <NA> is taken for the same as its plain one: Int64 and int64.
    """
    if _plain(real.dtype) != _plain(synthetic.dtype):
        return [f"dtype: {name}: {synthetic.dtype}, was {real.dtype}"]
    kept, now = ({type(value).__name__ for value in values.dropna()} for values in (real, synthetic))
    return [f"dtype: {name}: objects of {sorted(now - kept)}"] if real.dtype == object and now - kept else []


def _plain(dtype: Any) -> Any:
    if isinstance(dtype, pd.CategoricalDtype):
        return dtype  # with its levels and their order
    name = str(dtype)
    return {"boolean": "bool", "str": "string"}.get(name, name.lower())


def level_findings(name: str, real: pd.Series, synthetic: pd.Series, *, learned: bool) -> list[str]:
    """Return whether there are new levels, and whether shares are far off."""
    was, now = (pd.Series([str(v) for v in s]).value_counts(normalize=True) for s in (real, synthetic))
    public = [str(v) for v in real.dtype.categories] if isinstance(real.dtype, pd.CategoricalDtype) else []
    new = now[~now.index.isin([*was.index, *public])]
    if len(new):
        return [f"domain: {name}: {new.sum():.0%} of values are new, such as {new.index[0]!r}"]
    distance = was.subtract(now, fill_value=0).abs().sum() / 2
    return [f"shape: {name}: shares are off by {distance:.2f}"] if learned and distance > FAR else []


def key_findings(name: str, real: pd.Series, synthetic: pd.Series) -> list[str]:
    """Return whether keys come from the real rows, or repeat."""
    if synthetic.empty:
        return []
    copied, repeated = synthetic.isin(set(real)).mean(), synthetic.duplicated().mean()
    found = [f"copied: {name}: {copied:.0%} of values are a real person's"] if copied > 0.01 else []
    return [*found, f"domain: {name}: {repeated:.0%} of values repeat"] if repeated > 0.01 else found


def number_findings(name: str, real: pd.Series, synthetic: pd.Series, *, learned: bool) -> list[str]:
    """Return whether values are numbers (times, durations) of the same precision, range and distribution."""
    broken = synthetic.isna().mean()
    if broken:
        return [f"domain: {name}: {broken:.0%} of values cannot be read"]
    real, synthetic = (values[np.isfinite(values)] for values in (real, synthetic))
    if synthetic.empty:
        return [f"domain: {name}: no finite value"]
    found = []
    for places, label in ((0, "whole"), (2, "whole cents")):
        if is_rounded(real, places).all():
            odd = 1 - is_rounded(synthetic, places).mean()
            found += [f"domain: {name}: {odd:.0%} of values are not {label}"] if odd else []
            break
    slack = 0.1 * (real.max() - real.min())
    beyond = ((synthetic < real.min() - slack) | (synthetic > real.max() + slack)).mean()
    found += [f"domain: {name}: {beyond:.0%} of values far beyond the range"] if beyond > BEYOND else []
    distance = ks_distance(real.to_numpy(), synthetic.to_numpy()) if learned else 0.0
    return [*found, f"shape: {name}: distribution off by {distance:.2f}"] if distance > FAR else found


def numbers(values: pd.Series, kind: str) -> pd.Series:
    """Read values as floats (times and durations in seconds); NaN where that fails."""
    if kind.startswith("time"):
        template = kind.partition(" ")[2] or None
        if str(values.dtype).endswith("[pyarrow]"):
            values = values.astype(object)
        read = pd.to_datetime(values, utc=True, errors="coerce", format=template if values.dtype == object else None)
        return (read - pd.Timestamp("2000-01-01", tz="UTC")) / pd.Timedelta("1s")
    if kind == "duration":
        if pd.api.types.is_numeric_dtype(values.dtype):
            return pd.Series(np.nan, values.index)  # a bare number is no duration
        return pd.to_timedelta(values, errors="coerce") / pd.Timedelta("1s")
    if values.dtype == object:
        values = values.map(str)
    return pd.to_numeric(values, errors="coerce").astype("float64")


def is_rounded(values: pd.Series, places: int) -> pd.Series:
    scaled = values * 10.0**places
    return (scaled - scaled.round()).abs() < 1e-4 + 1e-9 * scaled.abs()


def ks_distance(left: np.ndarray, right: np.ndarray) -> float:
    at = np.concatenate([left, right])
    shares = [np.searchsorted(np.sort(side), at, side="right") / len(side) for side in (left, right)]
    return float(np.abs(shares[0] - shares[1]).max())


def spike(name: str, value: float) -> Check:
    def spike_findings(real: pd.DataFrame, synthetic: pd.DataFrame) -> list[str]:
        was, now = ((numbers(frame[name].dropna(), "number") == value).mean() for frame in (real, synthetic))
        return [f"shape: {name}: {now:.0%} are {value:g}, were {was:.0%}"] if abs(now - was) > SHARE else []

    return spike_findings


def breaks(label: str, broken: Callable[[pd.DataFrame], Any]) -> Check:
    def rule_findings(real: pd.DataFrame, synthetic: pd.DataFrame) -> list[str]:
        share = float(np.mean(broken(synthetic)))
        return [f"rule: {share:.1%} of rows break {label}"] if share > 0 else []

    return rule_findings


def looks(name: str, valid: Callable[[str], bool], label: str) -> Check:
    def form_findings(real: pd.DataFrame, synthetic: pd.DataFrame) -> list[str]:
        texts = [str(value) for value in synthetic[name].dropna()]
        odd = np.mean([not valid(text) for text in texts]) if texts else 0.0
        return [f"domain: {name}: {odd:.0%} of values are no {label}"] if odd > 0 else []

    return form_findings


def is_card(text: str) -> bool:
    if not re.fullmatch(r"\d{12,19}", text):
        return False
    digits = [int(d) for d in reversed(text)]
    return sum(sum(divmod(2 * d, 10)) if place % 2 else d for place, d in enumerate(digits)) % 10 == 0


def is_iban(text: str) -> bool:
    text = text.replace(" ", "")
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", text):
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def rare_merchants(real: pd.DataFrame, synthetic: pd.DataFrame) -> list[str]:
    counts = real["merchant"].value_counts()
    singles, large = set(counts.index[counts == 1]), set(counts.index[counts > 100])
    copied, kept = synthetic["merchant"].isin(singles).mean(), synthetic["merchant"].isin(large).mean()
    found = [f"copied: merchant: {copied:.0%} of rows name one that a single real row has"] if copied > 0.01 else []
    was = real["merchant"].isin(large).mean()
    return [*found, f"shape: merchant: large ones {kept:.0%}, were {was:.0%}"] if abs(kept - was) > SHARE else found


def person_rows(real: pd.DataFrame, synthetic: pd.DataFrame) -> list[str]:
    copied = synthetic["customer"].isin(set(real["customer"])).mean()
    found = [f"copied: customer: {copied:.0%} of rows name a real person"] if copied > 0.01 else []
    each = len(synthetic) / max(1, synthetic["customer"].nunique())
    return [*found, f"rule: {each:.1f} rows a person, were 10"] if not 5 <= each <= 20 else found


def missing_by_kind(real: pd.DataFrame, synthetic: pd.DataFrame) -> list[str]:
    empty = synthetic["days"].isna()
    found = []
    for level, wanted in (("inpatient", False), ("outpatient", True)):
        rows = synthetic["kind"] == level
        wrong = float((empty[rows] != wanted).mean()) if rows.any() else 0.0
        found += [f"rule: {wrong:.0%} of {level} rows {'have' if wanted else 'lack'} days"] if wrong > SHARE else []
    return found


def _starts_late(frame: pd.DataFrame) -> Any:
    return numbers(frame["start"], "time") > numbers(frame["end"], "time")


def _total_is_off(frame: pd.DataFrame) -> Any:
    price, quantity, total = (numbers(frame[name], "number") for name in ("price", "quantity", "total"))
    return (total - price * quantity).abs() > 0.0051


def _misses_condition(frame: pd.DataFrame) -> Any:
    return ~((numbers(frame["fraud"], "number") == 1) & (numbers(frame["amount"], "number") > 1000))


EXTRA: dict[str, list[Check]] = {
    "dates and numbers as text": [
        looks("day", lambda text: bool(re.fullmatch(r"\d\d\.\d\d\.\d{4}", text)), "date as before"),
        looks("price", lambda text: bool(re.fullmatch(r"\d+\.\d\d", text)), "price as before"),
    ],
    "60 % zeros with cents, and a cap": [spike("paid", 0.0), spike("limit", 10_000.0)],
    "infinite values": [spike("ratio", np.inf)],
    "10 large merchants, 10,000 seen once": [rare_merchants],
    "account, e-mail, card number, IBAN": [
        looks("email", lambda text: bool(re.fullmatch(r"[^@\s]+@[^@\s]+\.[a-z]+", text)), "e-mail address"),
        looks("card", is_card, "valid card number"),
        looks("iban", is_iban, "valid IBAN"),
    ],
    "start <= end": [breaks("start <= end", _starts_late)],
    "city gives country": [breaks("it", lambda frame: frame["city"].map(CITIES) != frame["country"])],
    "total = price * quantity": [breaks("it", _total_is_off)],
    "ten rows a person": [person_rows],
    "missing only for one kind of row": [missing_by_kind],
    "500 rows of a 1 % class, amount > 1000": [breaks("the condition", _misses_condition)],
}
