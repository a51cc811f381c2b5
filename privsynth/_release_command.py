"""The command ``privsynth release``: one party's noisy tables, for a coordinator who sees no rows."""

from __future__ import annotations

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
from privsynth.synthesizers import CTGAN, TableRelease
from privsynth.tables import read_table


def release_command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The private table, .csv or .parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="RELEASE", help="The release file to write.")],
    like: Annotated[
        Path | None,
        typer.Option(metavar="RELEASE", help="The release of the party that went first: answer the same questions."),
    ] = None,
    first: Annotated[
        bool, typer.Option("--first", help="Go first: find out privately what the schema does not say.")
    ] = False,
    epsilon: Epsilon = 1.0,
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
    device: Device = "auto",
    random_state: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Release the noisy tables of a private table, for a model of several parties.

    \b
    Example:  privsynth release a.csv --first --target is_fraud --output a.release
              privsynth release b.csv --like a.release --output b.release
              privsynth fit --releases a.release b.release --output model.privsynth
    Under a schema that says everything, nobody goes first:
              privsynth release a.csv --schema schema.json --output a.release

    The file holds noisy counts, what they are counts of, and the certificate; no rows. Epsilon covers all of it and
    is spent from this party's budget, as by privsynth fit. A person with rows at several parties adds theirs up.
    """
    check_output(output, data, schema, ledger, like)
    check_budget(epsilon, delta)
    declared = declared_schema(schema, privacy_unit, max_rows_per_unit)
    pattern = None if like is None else TableRelease.load(like)
    book = open_ledger(ledger, ledger_epsilon, ledger_delta)
    check_left(book, epsilon, delta)
    frame = parse_declared(read_table(data), declared if pattern is None else pattern.tables.schema)
    party = CTGAN(
        epsilon, delta=delta, condition_columns=condition or None, target=target, schema=declared, steps=steps,
        device=device, verbose=not quiet, random_state=random_state,
    )  # fmt: skip
    with told_of_ledger(book):
        released = party.release(frame, like=pattern, first=first, ledger=book)
        released.save(output)
    if not quiet:
        typer.echo(released.certificate.statement())
        typer.echo(f"The release is {output}. The guarantee covers it and every model that is fitted to it.")
        if first:
            typer.echo(f"Give it to the other parties: privsynth release THEIRS --like {output.name}")
        if book is not None:
            typer.echo(f"{ledger}: {ledger_text(book)}.")
