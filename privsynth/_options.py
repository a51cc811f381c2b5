"""Options that several commands share, and what they say of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Seed = Annotated[
    int | None,
    typer.Option("--random-state", min=0, metavar="N", help="Seed, an integer >= 0. Default: another one each time."),
]
Target = Annotated[str | None, typer.Option(metavar="COLUMN", help="The column to be predicted, such as a label.")]
Epsilon = Annotated[float, typer.Option(metavar="E", help="Total privacy budget, above 0 and up to 30.")]
Delta = Annotated[
    float | None,
    typer.Option(
        metavar="D",
        help="Total delta, well below 1/rows. Default: 1e-5, or with a ledger its rest in proportion to epsilon.",
        show_default=False,
    ),
]
Condition = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN", help="A column you will often condition on; may be repeated.")
]
SchemaFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="What is public of the columns: privsynth schema JSON or SDV metadata JSON."),
]
PrivacyUnit = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="The column that names a row's person, who is protected with all rows."),
]
MaxRows = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Rows of a person to learn from. Default: chosen privately.")
]
LedgerFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Budget shared by all fits on this table, kept in this JSON file.")
]
LedgerEpsilon = Annotated[
    float | None, typer.Option(metavar="E", help="Total epsilon of a ledger that does not exist yet.")
]
LedgerDelta = Annotated[
    float | None, typer.Option(metavar="D", help="Total delta of a ledger that does not exist yet.")
]
Steps = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Most training steps. A fit ends sooner at the noise. Default: 3000, 1500 without privacy.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary; errors only.")]
