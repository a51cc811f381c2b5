"""The judge of benchmarks/messy_cases.py: real rows pass, and each planted fault is found."""

import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from messy_checks import check, is_card, is_iban
from messy_frames import CASES

BY_NAME = {case.name: case for case in CASES}
COPYING = ("10 large merchants, 10,000 seen once", "account, e-mail, card number, IBAN", "ten rows a person")


def found(name, change=lambda frame: frame):
    case = BY_NAME[name]
    frame, kinds = case.build()
    return {finding.partition(":")[0] for finding in check(case, frame, kinds, change(frame.copy()))}


@pytest.mark.parametrize("case", CASES[:-1], ids=lambda case: case.name)
def test_real_rows_have_no_fault_but_being_copies(case):
    assert found(case.name) == ({"copied"} if case.name in COPYING else set())


def test_a_data_type_that_can_hold_na_is_the_same():
    assert found("nothing messy", lambda frame: frame.convert_dtypes().astype({"segment": object})) == set()


def test_rows_that_satisfy_the_condition_pass():
    case = BY_NAME["500 rows of a 1 % class, amount > 1000"]
    frame, kinds = case.build()
    wanted = frame[(frame["fraud"] == 1) & (frame["amount"] > 1000)].sample(500, replace=True, random_state=0)
    assert check(case, frame, kinds, wanted.reset_index(drop=True)) == []
    assert check(case, frame, kinds, frame.head(500)) != []


FAULTS = [
    ("nothing messy", "rows", lambda f: f.head(10)),
    ("nothing messy", "rows", lambda f: f.drop(columns="balance")),
    ("nothing messy", "dtype", lambda f: f.astype({"age": "float64"})),
    ("nothing messy", "domain", lambda f: f.assign(balance=f["balance"] + 0.001)),
    ("nothing messy", "domain", lambda f: f.assign(age=f["age"] * 3)),
    ("nothing messy", "domain", lambda f: f.assign(segment="d")),
    ("nothing messy", "shape", lambda f: f.assign(balance=0.0)),
    ("nothing messy", "shape", lambda f: f.assign(segment="c")),
    ("NaN in 30 % of a float column", "missing", lambda f: f.fillna({"income": 1.0})),
    ("ordered category with an unused level", "dtype", lambda f: f.assign(risk=f["risk"].astype(object))),
    ("ordered category with an unused level", "dtype", lambda f: f.assign(risk=f["risk"].cat.as_unordered())),
    (
        "ordered category with an unused level",
        "dtype",
        lambda f: f.assign(risk=f["risk"].cat.remove_categories("extreme")),
    ),
    ("Decimal objects", "dtype", lambda f: f.assign(fee=f["fee"].map(float).astype(object))),
    ("Decimal objects", "domain", lambda f: f.assign(fee=[Decimal("0.123")] * len(f))),
    ("times with a zone, 20 % NaT", "dtype", lambda f: f.assign(when=f["when"].dt.tz_convert("UTC"))),
    ("durations (timedelta)", "dtype", lambda f: f.assign(stay=f["stay"] / pd.Timedelta("1h"))),
    ("dates and numbers as text", "domain", lambda f: f.assign(day=f["day"].str.replace(".", "-"))),
    ("dates and numbers as text", "domain", lambda f: f.assign(price=f["price"] + "0")),
    ("60 % zeros with cents, and a cap", "shape", lambda f: f.assign(paid=f["paid"].replace(0.0, 0.01))),
    ("infinite values", "shape", lambda f: f.assign(ratio=f["ratio"].clip(upper=2.0))),
    ("10 large merchants, 10,000 seen once", "shape", lambda f: f.assign(merchant="chain 1")),
    ("account, e-mail, card number, IBAN", "domain", lambda f: f.assign(card="1234")),
    ("account, e-mail, card number, IBAN", "domain", lambda f: f.assign(account=np.arange(len(f)) // 2)),
    ("start <= end", "rule", lambda f: f.assign(start=f["end"], end=f["start"])),
    ("city gives country", "rule", lambda f: f.assign(country="IT")),
    ("total = price * quantity", "rule", lambda f: f.assign(total=f["total"] + 0.01)),
    ("ten rows a person", "rule", lambda f: f.assign(customer=[f"x{n}" for n in range(len(f))])),
    ("missing only for one kind of row", "rule", lambda f: f.assign(kind=f["kind"].iloc[::-1].to_numpy())),
]


@pytest.mark.parametrize(("name", "kind", "change"), FAULTS)
def test_a_planted_fault_is_found(name, kind, change):
    assert kind in found(name, change)


def test_checksums():
    assert is_card("4539578763621486")
    assert not is_card("4539578763621487")
    assert is_iban("DE89 3704 0044 0532 0130 00")
    assert not is_iban("DE88 3704 0044 0532 0130 00")
