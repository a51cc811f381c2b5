"""The command ``privsynth fit``: a model of a private table, or of the releases of several parties."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from privsynth._dates import parse_declared
from privsynth._files import check_output
from privsynth._options import (
    Condition,
    Delta,
    Device,
    Epsilon,
    LedgerDelta,
    LedgerEpsilon,
    LedgerFile,
    MaxRows,
    PrivacyUnit,
    Quiet,
    SchemaFile,
    Seed,
    Steps,
    Target,
)
from privsynth._shell import check_budget, check_left, declared_schema, ledger_text, open_ledger, told_of_ledger
from privsynth.errors import ParameterError
from privsynth.synthesizers import CTGAN, load
from privsynth.tables import read_table

_ROWS_ONLY = (
    *("epsilon", "no_privacy", "delta", "condition", "target", "schema", "privacy_unit", "max_rows_per_unit"),
    *("ledger", "ledger_epsilon", "ledger_delta", "critic", "start"),
)


def fit_command(
    context: typer.Context,
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="The private table, .csv or .parquet; or releases.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL", help="The model file to write.")],
    releases: Annotated[
        bool, typer.Option("--releases", help="DATA are files of `privsynth release`, one of each party.")
    ] = False,
    epsilon: Epsilon = 1.0,
    no_privacy: Annotated[
        bool, typer.Option("--no-privacy", help="Learn without noise and without guarantee.")
    ] = False,
    delta: Delta = None,
    condition: Condition = None,
    target: Target = None,
    schema: SchemaFile = None,
    privacy_unit: PrivacyUnit = None,
    max_rows_per_unit: MaxRows = None,
    ledger: LedgerFile = None,
    ledger_epsilon: LedgerEpsilon = None,
    ledger_delta: LedgerDelta = None,
    steps: Steps = None,
    critic: Annotated[
        str, typer.Option(help="auto, both, measured or neural; auto: measured, which won our comparisons.")
    ] = "auto",
    start: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="A model of another table with the same columns, to start from."),
    ] = None,
    device: Device = "auto",
    random_state: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Learn a private table and save the model.

    \b
    Example:  privsynth fit patients.csv --target diabetes --output model.privsynth
    Several fits on one table under one budget:
              privsynth fit patients.csv --output a.privsynth --epsilon 0.5
                  --ledger patients.ledger.json --ledger-epsilon 2 --ledger-delta 1e-5
    On new rows, from a model of others:
              privsynth fit march.csv --start february.privsynth --output march.privsynth
    From the noisy tables of several parties, without any rows:
              privsynth fit --releases a.release b.release --output model.privsynth

    Epsilon covers everything: bounds, categories, missing values, training. Smaller is more private; 1 is
    usual. Names, data types and everything declared in the schema count as public.

    Text columns of a CSV that hold dates are learned as categories unless the schema declares them, such as
    {"columns": {"admitted": {"kind": "datetime"}}}. Keys and free text are best declared as "identifier".
    """
    check_output(output, *data, schema, ledger, start)
    begun = time.monotonic()
    if releases:
        given = [name for name in _ROWS_ONLY if _is_given(context, name)]
        if given:
            options = ", ".join("--" + name.replace("_", "-") for name in given)
            raise ParameterError(f"{options}: settled by the parties in their releases. Leave it out with --releases.")
        model = CTGAN(steps=steps, device=device, verbose=not quiet, random_state=random_state).fit_releases(data)
        model.save(output)
        book = None
    else:
        if len(data) > 1:
            raise ParameterError(f"fit learns one table. Got {len(data)}. For releases of parties, add --releases.")
        check_budget(epsilon, delta)
        declared = declared_schema(schema, privacy_unit, max_rows_per_unit)
        book = open_ledger(ledger, ledger_epsilon, ledger_delta)
        check_left(book, None if no_privacy else epsilon, delta)
        before = None if start is None else load(start)
        frame = parse_declared(read_table(data[0]), declared if before is None else before.schema_)
        model = CTGAN(
            None if no_privacy else epsilon, delta=delta, condition_columns=condition or None, target=target,
            schema=declared, critic=critic, steps=steps, device=device, verbose=not quiet, random_state=random_state,
        )  # fmt: skip
        if before is not None:
            taken = ("embedding_dim", "generator_dim") + ("target", "condition_columns") * (not (target or condition))
            model.set_params(**{name: getattr(before, name) for name in taken})
        with told_of_ledger(book):
            model.fit(frame, ledger=book, start=before)
            model.save(output)
    if not quiet:
        typer.echo(model.certificate_.statement())
        typer.echo(f"Learned {len(model.columns_)} columns in {time.monotonic() - begun:.0f} s. The model is {output}.")
        if book is not None:
            typer.echo(f"{ledger}: {ledger_text(book)}.")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
