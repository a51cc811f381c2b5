"""Inspection: what is asked of which column, at what sensitivity, and what follows from the answers."""

import numpy as np
import pandas as pd
import pytest

from privsynth.errors import PrivsynthWarning
from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.rules import Formula
from privsynth.schema import Boolean, Categorical, Continuous, Datetime, Identifier, Schema, resolve_schema
from privsynth.transforms.inspection import INSPECTION, inspect, name_identifiers, questions
from privsynth.transforms.patterns import FORMS

N = 2_000


def table(rng=None):
    rng = rng or np.random.default_rng(0)
    day = np.datetime64("2024-01-01") + rng.integers(0, 300, N).astype("timedelta64[D]")
    return pd.DataFrame(
        {
            "city": rng.choice(["Ulm", "Bonn"], N),
            "price": np.round(rng.lognormal(3, 1, N), 2),
            "days": pd.Series(rng.integers(0, 90, N).astype(float)).mask(rng.random(N) < 0.5),
            "born": pd.Series(day).dt.strftime("%d.%m.%Y"),
            "fee": np.char.mod("%.2f", rng.random(N)).astype(object),
            "login": pd.Series(day).astype("datetime64[s]"),
            "stamp": pd.Series(day).astype("datetime64[s]") + pd.to_timedelta(rng.integers(0, 86400, N), unit="s"),
            "mail": [f"u{i}@example.org" for i in rng.permutation(N)],
            "code": [f"x{i}-{i % 7}" for i in rng.permutation(N)],
            "wait": pd.to_timedelta(rng.integers(0, 5000, N), unit="s"),
            "flag": rng.random(N) < 0.5,
        }
    )


def asked_of(frame, declared=None):
    declared = Schema(declared)
    schema = resolve_schema(declared, frame)
    return schema, questions(schema, frame.dtypes, set(schema) - set(declared))


def answered(frame, *, mu=50.0, noise=SecureNoise, kept=(), declared=None):
    schema, asked = asked_of(frame, declared)
    mechanisms = Mechanisms(noise(), private=True)
    mechanisms.allot(INSPECTION, Gaussian(mu))
    return inspect(frame, schema, asked, mechanisms, kept=set(kept)), mechanisms


def test_what_columns_are_taken_for():
    schema, _ = answered(table())
    assert dict(schema) == {
        "city": Categorical(),
        "price": Continuous(decimals=2),
        "days": Continuous(decimals=0),
        "born": Datetime(format="%d.%m.%Y"),
        "fee": Continuous(form="text", decimals=2),
        "login": Datetime(resolution="day"),
        "stamp": Datetime(resolution="second"),
        "mail": Identifier(fake="email"),
        "code": Identifier(prefix="code"),
        "wait": Continuous(decimals=0),
        "flag": Boolean(),
    }


def test_under_much_noise_columns_stay_what_their_data_types_say():
    schema, _ = answered(table(), mu=0.003)
    assert schema["city"] == schema["born"] == schema["mail"] == Categorical()
    assert schema["price"] == Continuous()
    assert schema["login"] == Datetime(resolution="second")


def test_targets_are_never_made_up():
    schema, _ = answered(table(), kept={"mail", "code"})
    assert schema["mail"] == schema["code"] == Categorical()


def test_what_is_declared_or_computed_is_not_asked_about():
    declared = {"city": Categorical(), "price": Continuous(decimals=1), "login": Datetime(resolution="hour")}
    _, asked = asked_of(table(), declared)
    assert not asked.keys() & declared.keys()
    frame = pd.DataFrame({"a": [1.5, 2.0], "b": [3.0, 4.0]})
    schema = Schema(dict(resolve_schema(None, frame)), rules=[Formula("b", "2 * a")])
    assert questions(schema, frame.dtypes, set(schema)).keys() == {"a"}


ODD = {
    "ordinary": {},
    "first of its form": {"city": "a@b.org", "born": "12", "code": "zz"},
    "missing": {"city": None, "price": np.nan, "login": pd.NaT, "mail": None},
    "finer": {"price": 1 / 3, "days": 0.5, "login": pd.Timestamp("2024-01-01 00:00:01"), "wait": pd.Timedelta("1us")},
}


@pytest.mark.parametrize("kind", ODD)
def test_one_row_moves_the_answer_by_its_sensitivity_at_most(kind):
    frame = table()
    more = frame.iloc[[*range(N), 3]].reset_index(drop=True)
    for name, value in ODD[kind].items():
        more.at[N, name] = value
    tapes = []
    for rows in (frame, more):
        _, mechanisms = answered(rows, noise=NoNoise)
        ((_, exact),) = mechanisms.tape
        (charge,) = mechanisms.charges
        tapes.append(exact)
    moved = np.linalg.norm(tapes[1] - tapes[0])
    assert 0 < moved <= charge.sensitivity
    assert charge.sensitivity == np.sqrt(5 + 5 + 5)  # five texts twice, five numbers and times once
    if kind == "first of its form":
        assert moved > np.sqrt(5 + 5 + 2)  # a sensitivity that forgot the distinct cells would be too small: the twin


def test_the_whole_frame_is_read_through_one_charge():
    _, mechanisms = answered(table())
    assert [charge.label for charge in mechanisms.charges] == [INSPECTION]
    assert mechanisms.charges[0].n_values == 5 * (len(FORMS) + 1) + 3 * 10 + 2 * 6


def test_infinite_values_are_told_of_from_the_release():
    frame = pd.DataFrame({"rate": np.where(np.arange(N) % 4 == 0, np.inf, 1.5), "other": np.full(N, 2.5)})
    with pytest.warns(PrivsynthWarning, match=r"Infinite values in \['rate'\] are taken as missing"):
        schema, _ = answered(frame)
    assert schema["rate"] == Continuous(decimals=1)
    answered(frame[["other"]])  # and no warning


class Shifted(NoNoise):
    """Adds so many standard deviations to every count."""

    def __init__(self, deviations):
        self.deviations = deviations

    def discrete_gaussian(self, values, *, scale):
        return super().discrete_gaussian(values, scale=scale) + self.deviations * scale


def test_noise_alone_tells_of_no_infinite_values():
    """Five deviations come up in one of 3.5 million columns, which is rare enough for a warning; seven are told of."""
    frame = pd.DataFrame({"other": np.full(N, 2.5)})
    answered(frame, noise=lambda: Shifted(5))
    with pytest.warns(PrivsynthWarning, match="Infinite values"):
        answered(frame, noise=lambda: Shifted(7))


def test_names_tell_identifiers():
    frame = pd.DataFrame({"customer_id": [1], "city-mpg": [2], "email": ["x"], "paid": [True]})
    schema = resolve_schema(None, frame)
    named = name_identifiers(schema, frame.dtypes, set(schema))
    assert named["customer_id"] == Identifier()
    assert named["email"] == Identifier(fake="email")
    assert (named["city-mpg"], named["paid"]) == (schema["city-mpg"], schema["paid"])
    assert name_identifiers(schema, frame.dtypes, {"paid"}) == schema
