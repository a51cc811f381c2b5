"""How the command line refuses, warns and stops: one line on standard error, and an exit code."""

from __future__ import annotations

import _thread
import contextlib
import math
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from typer.core import TyperGroup

from privsynth.bundle import in_one_line
from privsynth.errors import DataError, ParameterError, PrivacyError, PrivsynthError, PrivsynthWarning, SchemaError
from privsynth.privacy.budget import Budget
from privsynth.privacy.certificate import Certificate
from privsynth.privacy.ledger import Ledger
from privsynth.rules import Formula
from privsynth.schema import Schema
from privsynth.synthesizers.base import Synthesizer
from privsynth.tables import check_writable
from privsynth.transforms.columns import ColumnTransform, NumericColumn

# typer brings its own click, or uses the one that is installed
_UsageError: Any = typer.BadParameter.__mro__[1]
_LATER = 0.05  # seconds


class Stopped(Exception):
    """Ctrl-C, with what is to be said about it."""


class Commands(TyperGroup):
    """Turns every refusal into one line and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line and exit with its code: 0, 2 for a refusal, 130 for Ctrl-C."""
        try:
            with _warnings_in_one_line(), _stopped_by_sigterm(), _ctrl_c_is_not_lost():
                code = super().main(*args, **{**kwargs, "prog_name": "privsynth", "standalone_mode": False})
        except _UsageError as error:
            context = getattr(error, "ctx", None)
            if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
                typer.echo(context.get_help())
                sys.exit(2)
            path = "privsynth" if context is None else context.command_path
            code = _refuse(f"{error.format_message()} See {path} --help.")
        except PrivsynthError as error:
            code = _refuse(str(error))
        except MemoryError:
            code = _refuse("There is not enough memory. Ask for fewer rows, or use a smaller table.")
        except OSError as error:
            code = _refuse(
                f"{error.filename or 'A file'}: {error.strerror or error}. Check the path and its permissions."
            )
        except Stopped as stop:
            typer.echo(f"privsynth: stopped; {stop}", err=True)
            code = 130
        sys.exit(code or 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; typer would swallow Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped("nothing was written") from None


def _refuse(message: str) -> int:
    typer.echo(f"privsynth: error: {' '.join(message.split())}", err=True)
    return 2


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show privsynth's warnings as lines on standard error, and others as they are."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: Any, *place: Any, **more: Any) -> None:
            if issubclass(category, PrivsynthWarning):
                typer.echo(f"privsynth: warning: {' '.join(str(message).split())}", err=True)
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        warnings.simplefilter("always", PrivsynthWarning)
        yield


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, so that temporary files are cleared away; only SIGKILL leaves them."""
    if threading.current_thread() is not threading.main_thread():  # no other may set it
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


@contextlib.contextmanager
def _ctrl_c_is_not_lost() -> Iterator[None]:
    """Stop a little later where Ctrl-C came while an object was cleared away: from there no exception gets out.

    Drawing noise makes and clears away many objects of a foreign library, so that this happens.
    """
    before = sys.unraisablehook

    def told(lost: Any) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            before(lost)
            return
        again = threading.Timer(_LATER, _thread.interrupt_main)  # at once, it would be raised in here, and lost again
        again.daemon = True
        again.start()

    sys.unraisablehook = told
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def told_of_ledger(ledger: Ledger | None) -> Iterator[None]:
    """Say with an error, or with Ctrl-C, what the ledger was charged all the same."""
    before = None if ledger is None else ledger.spent
    try:
        yield
    except (KeyboardInterrupt, PrivsynthError, OSError) as error:
        charged = ""
        if ledger is not None and ledger.spent != before:
            charged = f" What was read by then stays charged to the ledger: {ledger_text(ledger)}."
        if isinstance(error, KeyboardInterrupt):
            raise Stopped(f"no model was written.{charged}") from None
        if not charged:
            raise
        raise PrivsynthError(f"{error}{charged}") from error


def ledger_text(ledger: Ledger) -> str:
    epsilon, delta = ledger.spent
    total = math.inf if ledger.budget.epsilon is None else ledger.budget.epsilon
    return f"epsilon={epsilon:.4g} of {total:g} and delta={delta:.3g} of {ledger.budget.delta:g} are spent"


def declared_schema(path: Path | None, unit: str | None, max_rows: int | None) -> Schema | None:
    """Read the schema file, if there is one, and put the privacy unit of the command line into it."""
    schema = None if path is None else _read_schema(path)
    if unit is None and max_rows is None:
        return schema
    declared = Schema() if schema is None else schema
    unit = declared.privacy_unit if unit is None else unit
    if unit is None:
        raise ParameterError("--max-rows-per-unit needs --privacy-unit COLUMN: whose rows are they?")
    kept = declared.max_rows_per_unit if max_rows is None else max_rows
    return Schema(declared, rules=declared.rules, privacy_unit=unit, max_rows_per_unit=kept)


def _read_schema(path: Path) -> Schema:
    try:
        return Schema.read(path)
    except (SchemaError, ParameterError) as error:
        raise error if str(path) in str(error) else SchemaError(f"{path}: {error}") from error


def check_budget(epsilon: float, delta: float | None) -> None:
    """Refuse a budget before a large table is read for nothing."""
    if not 0 < epsilon <= 30:
        raise ParameterError(f"--epsilon must be above 0 and at most 30. Got {epsilon:g}. Use 0.1 to 10, usually 1.")
    if delta is not None and not 0 < delta < 1:
        raise ParameterError(f"--delta must be above 0 and below 1. Got {delta:g}. Use one well below 1/rows: 1e-5.")


def open_ledger(path: Path | None, epsilon: float | None, delta: float | None) -> Ledger | None:
    """Open the ledger file, or start one with the total that was given."""
    if path is None:
        if epsilon is not None or delta is not None:
            raise ParameterError("--ledger-epsilon and --ledger-delta need --ledger FILE, where the budget is kept.")
        return None
    check_writable(path)
    if path.exists():
        ledger = Ledger.open(path)
        for option, asked, kept in (("epsilon", epsilon, ledger.budget.epsilon), ("delta", delta, ledger.budget.delta)):
            if asked is not None and asked != kept:
                raise ParameterError(
                    f"{path} exists and keeps a total {option} of {kept}, not {asked:g}. Leave out --ledger-{option}."
                )
        return ledger
    if epsilon is None or delta is None:
        raise ParameterError(
            f"There is no ledger {path} yet. Give its total with --ledger-epsilon and --ledger-delta (such as 2 and "
            "1e-5), or check the path."
        )
    return Ledger(Budget(epsilon, delta), path=path)


def check_left(ledger: Ledger | None, epsilon: float | None, delta: float | None) -> None:
    """Refuse what the ledger has no room for before the table is opened; the reservation decides all the same."""
    if ledger is None:
        return
    if delta is None:
        _ = ledger.remaining  # raises where nothing is left to take a share of
    ledger.check("This fit", epsilon=math.inf if epsilon is None else epsilon, delta=delta or 0.0)


def describe(column: ColumnTransform) -> str:
    """Say in a line what a column was learned to be."""
    missing = ", or missing" if column.null else ""
    if isinstance(column, NumericColumn):
        ends = (column.cells.from_grid(end) for end in (column.cells.low.min(), column.cells.high.max()))
        if column.number_dtype.startswith("datetime64"):
            low, high = (str(pd.Timestamp(float(end) * column.step, unit="s").floor("s")) for end in ends)
        else:
            low, high = (f"{float(end):.6g}" for end in ends)
        return f"{low} to {high}, {column.cells.n_cells} cells{missing}"
    levels = [str(level) for level in column.levels]
    shown = ", ".join(levels[:8]) + (f" and {len(levels) - 8} more" if len(levels) > 8 else "")
    return f"{shown}{', or another level' if column.other else ''}{missing}"


def columns_text(model: Synthesizer) -> str:
    """Return a line a column: its name, its kind and what was learned of it. A file's own line ends are not printed."""
    learned = {column.name: describe(column) for column in model.learned_columns}
    learned |= {rule.column: f"computed: {rule}" for rule in model.schema_.rules if isinstance(rule, Formula)}
    owner = model.certificate_.unit.column
    learned |= {} if owner is None else {owner: "names the person; made up anew"}
    told = [(name, c.kind, learned.get(name, "not learned; made up anew")) for name, c in model.schema_.items()]
    rows = [tuple(in_one_line(part) for part in row) for row in told]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return "\n".join(f"  {a.ljust(widths[0])}  {b.ljust(widths[1])}  {c}" for a, b, c in rows)


def read_certificate(path: Path) -> Certificate:
    """Read a certificate that came without its model."""
    try:
        return Certificate.from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text. Name a certificate as JSON, or a model.") from error
    except PrivacyError as error:
        raise PrivacyError(f"{path}: {error}") from error
