"""What cannot be: the class of the error, what it names, what it got and how to mend it; and that it cost nothing."""

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN, Budget, Ledger
from privsynth.errors import BundleError, ConditionError, DataError, ParameterError, PrivsynthWarning, SchemaError
from privsynth.privacy.noise import NoNoise
from privsynth.schema import Continuous, Datetime, Identifier
from tests.synthesizers.frames import messy

FRAME = messy(300)
TWICE = pd.DataFrame([[1, 2, 3]] * 9, columns=["a", "b", "a"])


class Noiseless(CTGAN):
    """Decides as with noise, from the exact row count."""

    _noise_source = NoNoise


def raises(kind, words, call):
    """Check one error: its class, its words, one line, and no frame of privsynth's own making lost."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    return message


UNREAD = {
    "empty": ({}, pd.DataFrame(columns=["a", "b"]), DataError, ["no rows", "needs two"]),
    "one row": ({}, FRAME[:1], DataError, ["one row", "needs two"]),
    "no columns": ({}, FRAME[[]], DataError, ["no columns", "at least one"]),
    "twice": ({}, TWICE, DataError, ["['a']", "more than once", "Rename"]),
    "named by fractions": (
        {},
        pd.DataFrame(np.eye(3), columns=[0.5, 1, 2]),
        DataError,
        ["[0.5, 1.0, 2.0]", "astype(str)"],
    ),
    "no table": ({}, [[1, 2]], DataError, ["list", "pd.DataFrame"]),
    "complex": ({}, pd.DataFrame({"z": [1j, 2j]}), SchemaError, ["'z'", "complex128", "Complex", "Convert"]),
    "lists": (
        {},
        pd.DataFrame({"bag": [[1], [2]], "image": [b"a", b"b"], "n": [1, 2]}),
        DataError,
        ["'bag' holds list", "'image' holds bytes", "strings or numbers", "drop", "Identifier()"],
    ),
    "epsilon 0": ({"epsilon": 0}, FRAME, ParameterError, ["epsilon", "CTGAN", "Got 0", "epsilon=None"]),
    "epsilon < 0": ({"epsilon": -1.0}, FRAME, ParameterError, ["epsilon", "Got -1.0", "0.1 to 10"]),
    "epsilon nan": ({"epsilon": float("nan")}, FRAME, ParameterError, ["epsilon", "Got nan"]),
    "epsilon inf": ({"epsilon": float("inf")}, FRAME, ParameterError, ["epsilon", "Got inf", "epsilon=None"]),
    "epsilon text": ({"epsilon": "1"}, FRAME, ParameterError, ["epsilon", "Got '1'"]),
    "epsilon True": ({"epsilon": True}, FRAME, ParameterError, ["epsilon", "Got True"]),
    "delta 0": ({"delta": 0.0}, FRAME, ParameterError, ["delta", "Got 0.0", "1e-5"]),
    "delta 1": ({"delta": 1}, FRAME, ParameterError, ["delta", "Got 1", "1/rows"]),
    "delta 2": ({"delta": 2.0}, FRAME, ParameterError, ["delta", "Got 2.0"]),
    "critic": ({"critic": "wgan"}, FRAME, ParameterError, ["critic", "'measured'", "'wgan'"]),
    "steps": ({"steps": 0}, FRAME, ParameterError, ["steps", ">= 1", "Got 0"]),
    "steps 1.5": ({"steps": 1.5}, FRAME, ParameterError, ["steps", "integer", "Got 1.5"]),
    "batch_size": ({"batch_size": -5}, FRAME, ParameterError, ["batch_size", "Got -5"]),
    "discriminator_steps": ({"discriminator_steps": 0}, FRAME, ParameterError, ["discriminator_steps", "Got 0"]),
    "embedding_dim": ({"embedding_dim": 0}, FRAME, ParameterError, ["embedding_dim", "Got 0"]),
    "generator_dim": ({"generator_dim": ()}, FRAME, ParameterError, ["generator_dim", "(256, 256)", "Got ()"]),
    "generator_dim 5": ({"generator_dim": 5}, FRAME, ParameterError, ["generator_dim", "Got 5"]),
    "discriminator_dim": ({"discriminator_dim": (8, 0)}, FRAME, ParameterError, ["discriminator_dim", "Got 0"]),
    "max_grad_norm": ({"max_grad_norm": 0.0}, FRAME, ParameterError, ["max_grad_norm", "Got 0.0"]),
    "device": ({"device": "gpu"}, FRAME, ParameterError, ["device", "'cpu'", "'gpu'"]),
    "device None": ({"device": None}, FRAME, ParameterError, ["device", "None"]),
    "random_state": ({"random_state": "x"}, FRAME, ParameterError, ["random_state", "CTGAN", "'x'"]),
    "random_state < 0": ({"random_state": -1}, FRAME, ParameterError, ["random_state", "-1"]),
    "target": ({"target": "fraud"}, FRAME, ParameterError, ["target", "'fraud'", "'vip'"]),
    "target list": ({"target": ["vip"]}, FRAME, ParameterError, ["target", "['vip']"]),
    "condition": ({"condition_columns": ["zz"]}, FRAME, ParameterError, ["condition_columns", "'zz'", "'age'"]),
    "condition text": ({"condition_columns": "age"}, FRAME, ParameterError, ["condition_columns", "list", "'age'"]),
    "condition number": ({"condition_columns": 5}, FRAME, ParameterError, ["condition_columns", "list", "5"]),
    "condition key": (
        {"target": "key", "schema": {"key": Identifier()}},
        FRAME,
        ParameterError,
        ["target", "identifier", "'key'"],
    ),
    "schema name": ({"schema": {"zz": Identifier()}}, FRAME, SchemaError, ["'zz'", "lacks", "'age'"]),
    "schema kind": ({"schema": {"city": Continuous()}}, FRAME, SchemaError, ["'city'", "object", "Convert"]),
    "schema dates": ({"schema": {"note": Datetime()}}, FRAME, SchemaError, ["'note'", "string", "pd.to_datetime"]),
    "schema text": ({"schema": {"age": "number"}}, FRAME, SchemaError, ["'age'", "Continuous", "'number'"]),
    "schema file": ({"schema": "no/schema.json"}, FRAME, SchemaError, ["no/schema.json", "No such file", "path"]),
    "schema 5": ({"schema": 5}, FRAME, SchemaError, ["mapping", "Got 5"]),
}


@pytest.mark.parametrize("name", UNREAD)
def test_nothing_is_read_and_nothing_spent(name):
    parameters, table, kind, words = UNREAD[name]
    ledger = Ledger(Budget(10.0))
    raises(kind, words, lambda: CTGAN(**{"verbose": False, **parameters}).fit(table, ledger=ledger))
    assert ledger.spends == ()


def test_a_budget_too_small_for_the_table():
    words = ["epsilon", "Got 0.001", "noise of a count", "Raise epsilon, learn fewer columns"]
    raises(ParameterError, words, lambda: Noiseless(0.001, verbose=False).fit(FRAME))


def test_a_delta_above_one_over_the_rows_warns():
    table = messy(1_500)[["vip", "opt_in"]]
    with pytest.warns(PrivsynthWarning, match=r"delta=0\.05 is above 1/rows.*smaller"):
        CTGAN(5.0, delta=0.05, steps=1, verbose=False).fit(table)


@pytest.fixture(scope="module")
def model():
    with pytest.warns(PrivsynthWarning, match="NOT private"):
        return CTGAN(None, verbose=False, steps=2, schema={"key": Identifier()}).fit(FRAME)


SAMPLES = {
    "n_rows < 0": ((-1,), {}, ParameterError, ["n_rows", "sample", ">= 0", "Got -1"]),
    "n_rows None": ((), {}, ParameterError, ["n_rows", "Got None"]),
    "n_rows 1.5": ((1.5,), {}, ParameterError, ["n_rows", "integer", "Got 1.5"]),
    "n_rows True": ((True,), {}, ParameterError, ["n_rows", "Got True"]),
    "random_state": ((1,), {"random_state": "x"}, ParameterError, ["random_state", "sample", "'x'"]),
    "list": ((1,), {"conditions": ["vip"]}, ConditionError, ["conditions", "dict", "list"]),
    "column": ((1,), {"conditions": {"zz": 1}}, ConditionError, ["'zz'", "unknown", "'age'"]),
    "key": ((1,), {"conditions": {"key": "id-1"}}, ConditionError, ["'key'", "identifier", "'age'"]),
    "level": ((1,), {"conditions": {"city": "Paris"}}, ConditionError, ["'city'", "'Paris'", "It knows", "'Oslo'"]),
    "boolean": ((1,), {"conditions": {"vip": "yes"}}, ConditionError, ["'vip'", "'yes'", "False, True"]),
    "above": ((1,), {"conditions": {"age": (300, 400)}}, ConditionError, ["'age'", "least 300", "most 400"]),
    "reversed": ((1,), {"conditions": {"age": (75, 60)}}, ConditionError, ["'age'", "at least 75", "at most 60"]),
    "number": ((1,), {"conditions": {"age": 30.5}}, ConditionError, ["'age'", "30.5", "Widen"]),
    "text": ((1,), {"conditions": {"age": "old"}}, ConditionError, ["'age'", "a number", "'old'"]),
    "nan": ((1,), {"conditions": {"age": (float("nan"), 5)}}, ConditionError, ["'age'", "end", "nan", "Use None"]),
    "missing": ((1,), {"conditions": {"age": None}}, ConditionError, ["'age'", "missing", "has none", "Take None out"]),
    "date": ((1,), {"conditions": {"when": ("soon", None)}}, ConditionError, ["'when'", "date", "'soon'"]),
    "no date": ((1,), {"conditions": {"when": (pd.NaT, None)}}, ConditionError, ["'when'", "NaT", "Use None"]),
    "far date": ((1,), {"conditions": {"when": "9999-12-31"}}, ConditionError, ["'when'", "9999", "2024-07", "Widen"]),
    "long": ((1,), {"conditions": {"age": (10**400, None)}}, ConditionError, ["'age'", "at least 1000", "Widen"]),
    "dict": ((1,), {"conditions": {"age": {"low": 3}}}, ConditionError, ["'age'", "is a dict", "{'low': 3}", "range"]),
    "dates": ((1,), {"conditions": {"when": ("2050", "2051")}}, ConditionError, ["'when'", "2050", "2024-07", "Widen"]),
    "levels": ((1,), {"conditions": {"city": ("A", "B")}}, ConditionError, ["'city'", "no order", "list"]),
    "triple": ((1,), {"conditions": {"age": (1, 2, 3)}}, ConditionError, ["'age'", "tuple of 3", "(low, high)"]),
    "nothing": ((1,), {"conditions": {"age": []}}, ConditionError, ["'age'", "no value", "at least one"]),
    "rows": ((5,), {"conditions": pd.DataFrame({"age": [30]})}, ConditionError, ["1 rows", "n_rows is 5", "Leave"]),
    "frame": ((), {"conditions": pd.DataFrame({"zz": [30]})}, ConditionError, ["'zz'", "unknown"]),
    "frame lists": (
        (),
        {"conditions": pd.DataFrame({"city": [["Rom"], ["Oslo"]]})},
        ConditionError,
        ["list", "one value"],
    ),
    "frame twice": (
        (),
        {"conditions": pd.DataFrame([[1, 2]], columns=["age", "age"])},
        ConditionError,
        ["'age'", "more than once"],
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_that_cannot_be(name, model):
    args, kwargs, kind, words = SAMPLES[name]
    raises(kind, words, lambda: model.sample(*args, **kwargs))


@pytest.mark.parametrize(("path", "words"), [("no/model", ["no", "does not exist"]), ("", ["is a folder"])])
def test_places_to_save(path, words, model, tmp_path):
    raises(BundleError, [str(tmp_path), *words], lambda: model.save(tmp_path / path))
    assert list(tmp_path.iterdir()) == []
