"""Nothing of a row is in what a run says and leaves: output, logs, warnings, errors, ledger, locks, temporary files."""

import datetime
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import traceback
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from privsynth import CTGAN, Budget, Ledger, Schema
from privsynth.cli import app
from privsynth.errors import DataError, PrivsynthError
from privsynth.rules import FixedCombinations, Formula, Inequality, OneOf, Range
from privsynth.schema import Boolean, Categorical, Continuous, Datetime

CANARY, NUMBER, DAY = "zebrafinch", 731_946_285_133.25, "1911-11-11"
TEXTS = [CANARY, "731946285133", DAY]
N_ROWS = 601
FAST = {"steps": 3, "generator_dim": (8,), "embedding_dim": 4, "verbose": False}


def found(text):
    return [canary for canary in TEXTS if canary in text]


def make_table():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "amount": np.round(rng.lognormal(3, 1, N_ROWS), 2),
            "city": rng.choice(["Ulm", "Bonn"], N_ROWS),
            "day": pd.Series(pd.date_range("2024-01-01", periods=N_ROWS).strftime("%Y-%m-%d"), dtype=object),
            "kind": rng.random(N_ROWS) < 0.4,
        }
    )
    table.loc[N_ROWS // 2, ["amount", "city", "day"]] = [NUMBER, CANARY, DAY]
    return table


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output + result.stderr


# --- the command line ------------------------------------------------------------------------------------------------

FIT = ["--steps", 3, "--epsilon", 2, "--ledger", "ledger.json", "--ledger-epsilon", 3, "--ledger-delta", "1e-4"]
COMMANDS = [
    (0, ["fit", "private/data.csv", "-o", "model", *FIT]),
    (2, ["fit", "private/data.csv", "-o", "model", *FIT]),  # the budget is spent
    (2, ["fit", "private/data.csv", "-o", "x", "--target", "nothing"]),
    (2, ["fit", "private/data.csv", "-o", "x", "--critic", "neural", "--privacy-unit", "city"]),
    (2, ["fit", "private/latin.csv", "-o", "x"]),
    (2, ["fit", "private/ragged.csv", "-o", "x"]),
    (2, ["fit", "private/one.csv", "-o", "x"]),
    (2, ["fit", "private/data.csv", "-o", "x", "--schema", "private/days.json"]),
    (0, ["sample", "model", "-n", 300, "-o", "sample.csv", "--random-state", 1]),
    (0, ["sample", "model", "-n", 300, "-o", "sample.parquet", "--random-state", 1]),
    (2, ["sample", "model", "-n", 10, "-o", "none.csv", "--where", "city=Rom"]),
    (2, ["sample", "model", "-n", 10, "-o", "none.csv", "--where", "kind is missing"]),
    (0, ["inspect", "model"]),
    (0, ["inspect", "model", "--json"]),
    (0, ["pack", "model", "sample.csv", "-o", "release"]),
    (0, ["inspect", "release"]),
    (2, ["pack", "model", "private/data.csv", "-o", "x"]),  # by mistake
]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Every command, in a folder: what was said and logged, and the folder."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "private").mkdir()
    table = make_table()
    table.to_csv(folder / "private/data.csv", index=False)
    table[N_ROWS // 2 : N_ROWS // 2 + 1].to_csv(folder / "private/one.csv", index=False)
    (folder / "private/latin.csv").write_bytes(f"city,day\n{CANARY}\xe9,{DAY}\nUlm,x\n".encode("latin1"))
    (folder / "private/ragged.csv").write_text(f"city,day\nUlm,x\n{CANARY},{DAY},{NUMBER}\n")
    days = {"city": {"kind": "datetime"}}  # no value of which is a date
    (folder / "private/days.json").write_text(json.dumps({"columns": days}))
    records, said = [], []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: records.append(record.getMessage())
    root, level, before = logging.getLogger(), logging.getLogger().level, os.getcwd()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    os.chdir(folder)
    try:
        for code, command in COMMANDS:
            got, text = run(*command)
            assert got == code, text
            said.append(text)
    finally:
        os.chdir(before)
        root.removeHandler(handler)
        root.setLevel(level)
    return folder, said, records


def leaking_files(folder):
    """The files of a folder, subfolders left out, that hold a canary; archives by what is in them."""
    import zipfile

    leaks = {}
    for path in folder.iterdir():
        if path.is_file():
            blobs = [path.read_bytes()]
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    blobs += [archive.read(name) for name in archive.namelist()]
            leaks[path.name] = found("".join(blob.decode("latin1") for blob in blobs))
    return {name: canaries for name, canaries in leaks.items() if canaries}


def test_no_command_says_or_logs_a_value(session):
    _, said, records = session
    assert [found(text) for text in said] == [[]] * len(COMMANDS)
    assert found(" ".join(records)) == []


def test_no_file_of_a_session_holds_a_value(session):
    folder, _, _ = session
    names = {path.name for path in folder.iterdir()} - {"ledger.json.lock"}  # the lock is taken away on some systems
    assert names == {"private", "model", "ledger.json", "sample.csv", "sample.parquet", "release"}
    assert leaking_files(folder) == leaking_files(folder / "release") == {}
    assert len(list((folder / "release").iterdir())) == 7
    assert leaking_files(folder / "private")["data.csv"] == TEXTS  # the twin: the search finds what there is


def test_the_bar_on_a_terminal_says_no_value(session, tmp_path):
    """A run under a pseudo-terminal: there the progress bar is drawn."""
    folder, _, _ = session
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", "from privsynth.cli import main; main()", "fit", folder / "private/data.csv"]
    command += ["-o", tmp_path / "model", "--steps", "30"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL) as process:
        os.close(theirs)
        blob = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # the other end was closed
                break
            blob += part
        assert process.wait() == 0, blob.decode()
    os.close(ours)
    assert "30/30" in blob.decode()
    assert found(blob.decode()) == []


# --- errors and warnings of the library ------------------------------------------------------------------------------


class Odd:
    """An object that shows the canary wherever it is formatted."""

    def __repr__(self):
        return CANARY


def column(*odd, usual="ok"):
    """A column of objects with a few odd values."""
    values = np.full(N_ROWS, usual, dtype=object)
    for place, value in enumerate(odd):
        values[7 + place] = value
    return values


def as_rule(rule):
    return Schema({"b": Continuous(form="text")}, rules=(rule,))


ODD = {
    "text among booleans": (column(CANARY, usual=True), {"b": Boolean()}),
    "texts for booleans": (column(CANARY), {"b": Boolean()}),
    "object among booleans": (column(Odd(), usual=True), {"b": Boolean(nullable=True)}),
    "text among numbers": (column(CANARY, NUMBER, usual="1.5"), {"b": Continuous(form="text")}),
    "text among decimals": (column(CANARY, Decimal("sNaN"), usual=Decimal("1.5")), {"b": Continuous(form="decimal")}),
    "signaling NaN": (column(Decimal("sNaN"), usual=Decimal("1.5")), {}),
    "signaling NaN of a person": (column(Decimal("sNaN")), Schema(privacy_unit="b")),
    "text among dates": (column(CANARY, DAY, usual="2024-01-31"), {"b": Datetime(format="%Y-%m-%d")}),
    "text among date objects": (column(CANARY, usual=datetime.date(2024, 1, 1)), {"b": Datetime(format="date")}),
    "everything": (column(NUMBER, True, datetime.date(1911, 11, 11), Odd(), None, 10**400, CANARY.encode()), {}),
    "lists": (column([CANARY]), {}),
    "dicts": (column({CANARY: NUMBER}), {}),
    "tuples": (column((CANARY, NUMBER)), {}),
    "undeclared level": (column(CANARY), {"b": Categorical(("ok",))}),
    "level of no use": (column(CANARY), {"b": Continuous()}),
    "broken text": (column("\ud800" + CANARY), {}),
    "infinite": (np.where(np.arange(N_ROWS) == 7, np.inf, 1.0), {}),
    "complex": (np.full(N_ROWS, NUMBER + 1j), {}),
    "intervals": (pd.arrays.IntervalArray.from_breaks(np.arange(N_ROWS + 1) + NUMBER), {}),
    "formula of text": (column(CANARY, usual="1"), as_rule(Formula("x", "b * 2"))),
    "inequality of text": (column(CANARY, usual="1"), as_rule(Inequality("b", "x"))),
    "range of text": (column(CANARY, usual="1"), as_rule(Range("b", 0, 2))),
    "combination": (column(CANARY, Odd()), Schema(rules=(FixedCombinations(("b", "x"), (("ok", 1), ("ok", 2))),))),
    "one of": (column(CANARY, None), Schema(rules=(OneOf(("b", "x")),))),
    "person of lists": (column([CANARY]), Schema(privacy_unit="b")),
    "mixed lengths": ({"b": [CANARY] * 3, "x": [NUMBER] * 4}, {}),
}  # fmt: skip
REFUSED = {
    *("texts for booleans", "everything", "lists", "dicts", "level of no use", "complex", "intervals"),
    *("person of lists", "mixed lengths"),
}


def outcome_of(work):
    """Run it; return the error, if there is one, and all that was said: warnings, and the error with its causes."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            work()
            error = None
        except PrivsynthError as raised:
            error = raised
    said = [str(warning.message) for warning in warned]
    return error, "\n".join([*said, *(traceback.format_exception(error) if error else [])])


@pytest.mark.parametrize("name", ODD)
def test_odd_values_are_learned_around_or_refused_without_being_quoted(name):
    values, schema = ODD[name]
    table = values if isinstance(values, dict) else pd.DataFrame({"x": np.arange(N_ROWS) % 7, "b": values})
    ledger = Ledger(Budget(2.0, 1e-5))
    error, said = outcome_of(lambda: CTGAN(2.0, schema=schema, **FAST).fit(table, ledger=ledger))
    assert found(said) == []
    assert (error is not None) == (name in REFUSED), said
    assert found(repr(ledger.spends)) == []


def test_dates_that_cannot_be_read_are_not_quoted(tmp_path):
    from privsynth._dates import parse_declared

    for odd, usual in (("31/01/2024 10:00 ZEBRA", "31/01/2024 10:00"), (CANARY, "2024-01-31"), (DAY, CANARY)):
        table = pd.DataFrame({"b": column(odd, usual=usual)})
        error, said = outcome_of(lambda table=table: parse_declared(table, Schema({"b": Datetime()})))
        assert isinstance(error, DataError)
        assert found(said.replace("ZEBRA", CANARY)) == []


def quoting(value):
    raise DataError(f"Column 'b' holds {value!r}.")


def chained(value):
    try:
        float(value)
    except ValueError as error:
        raise DataError("Column 'b' holds text.") from error


def warning(value):
    warnings.warn(f"odd value {value}", UserWarning, stacklevel=1)


@pytest.mark.parametrize("plant", [quoting, chained, warning])
def test_planted_leaks_in_messages_are_caught(plant):
    assert found(outcome_of(lambda: plant(CANARY))[1]) == [CANARY]


def test_representations_hold_no_value():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CTGAN(2.0, **FAST).fit(make_table())
    shown = [
        model,
        model.schema_,
        model.certificate_,
        model.ledger_.spends,
        model.history_,
        model.plan_,
        model.encoder_,
    ]
    assert found(" ".join(repr(part) + str(part) for part in shown) + model.schema_._repr_html_()) == []


# --- files that are being written ------------------------------------------------------------------------------------

WRITES = {
    "sample": ["sample", "model", "-n", 50, "-o", "out.csv"],
    "fit": ["fit", "private/data.csv", "-o", "out", "--steps", 2, "--quiet"],
    "ledger": ["fit", "private/data.csv", "-o", "out", "--steps", 2, *FIT[4:5], "new.json", *FIT[6:]],
    "report": ["evaluate", "private/data.csv", "sample.csv", "-o", "out.html"],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", WRITES)
def test_ctrl_c_before_the_last_step_leaves_nothing(session, kind, monkeypatch):
    """The moment between writing a temporary file and renaming it; nobody else may read a report even then."""
    folder, _, _ = session
    before = {path.name for path in folder.iterdir()}
    modes = []

    def interrupted(source, target):
        modes.append(stat.S_IMODE(os.stat(source).st_mode))
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.chdir(folder)
    monkeypatch.setattr(os, "replace", interrupted)
    code, text = run(*WRITES[kind])
    assert code == 130, text
    assert {path.name for path in folder.iterdir()} - before <= {"new.json.lock"}
    assert modes == [0o600 if kind in ("report", "ledger") else 0o644]


def test_sigterm_does_what_ctrl_c_does(session, tmp_path):
    """In a process of its own, which the signal would end on the spot if nothing took it."""
    folder, _, _ = session
    program = (
        "import os, signal\nfrom privsynth.cli import main\n"
        "os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGTERM)\nmain()"
    )
    command = [sys.executable, "-c", program, "sample", folder / "model", "-n", "9", "-o", tmp_path / "out.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_shared_ledger_stays_shared(tmp_path):
    path = tmp_path / "ledger.json"
    ledger = Ledger(Budget(2.0, 1e-5), path=path)
    ledger.reserve("first", epsilon=0.5, delta=1e-6)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o660)
    ledger.reserve("second", epsilon=0.5, delta=1e-6)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
