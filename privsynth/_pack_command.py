"""The command ``privsynth pack``: a synthetic table with all that its receiver needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from privsynth.publish import check, pack, read_sample
from privsynth.publish.folder import check_folder, sha256
from privsynth.synthesizers import load


def pack_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model that `privsynth fit` wrote.")],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Rows that were sampled from it, .csv or .parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="The folder to make.")],
    title: Annotated[str, typer.Option(metavar="TEXT", help="Heading of its pages.")] = "Synthetic table",
) -> None:
    """Make a folder to share: table, page, certificate, data dictionary, datasheet.

    \b
    Example:  privsynth pack model.privsynth synthetic.csv --output release
              privsynth inspect release

    Everything in it is made from the model and the sampled rows: it reads no private row and spends no budget. The
    page compares the table with the noisy tables that the model was learned from. A table that the model cannot have
    made is refused. The folder is written whole or not at all.
    """
    check_folder(output)
    loaded = load(model)
    rows = read_sample(table, loaded)
    parquet = table.suffix.lower() != ".csv" and ".csv" not in table.suffixes
    pack(loaded, rows, output, title=title, source=sha256(model), parquet=parquet)
    typer.echo(f"{check(output)}\n\nThe folder is {output}. Its receiver checks it by: privsynth inspect {output.name}")
