"""The command ``privsynth audit``: exit code 1 where a lower bound exceeds its claim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from privsynth._files import check_output, write_text
from privsynth._shell import check_budget
from privsynth.audit import audit
from privsynth.errors import ParameterError
from privsynth.synthesizers import load


def audit_command(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="Audit at the parameters that this model's certificate states."),
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(metavar="E", help="Budget of each audited mechanism.", show_default="4")
    ] = None,
    delta: Annotated[float | None, typer.Option(metavar="D", help="Its delta.", show_default="1e-5")] = None,
    runs: Annotated[int, typer.Option(metavar="N", min=20, help="Fits with a row, and as many without it.")] = 300,
    canaries: Annotated[int, typer.Option(metavar="M", min=100, help="Canaries of the DP-SGD run.")] = 10_000,
    sampling_rate: Annotated[
        float | None, typer.Option(metavar="Q", help="Poisson rate of the DP-SGD run.", show_default="1")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Steps of the DP-SGD run.", show_default="10")
    ] = None,
    confidence: Annotated[float, typer.Option(metavar="P", help="Of each bound by itself.")] = 0.95,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the findings as .json too.")
    ] = None,
    random_state: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Seed of who is in, never of noise. Default: another one each time."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Attack the installed code; print lower bounds beside the claims.

    \b
    Example:  privsynth audit --runs 500 --output audit.json
              privsynth audit model.privsynth

    One DP-SGD run on canaries, and many fits of a small made-up table with and without one row. No real
    table is read. The exit code is 1 where a lower bound exceeds its claim, 0 where none does, which
    refutes nothing and proves nothing.
    """
    if output is not None:
        check_output(output, model, endings=(".json",))
    asked = {"epsilon": epsilon, "delta": delta, "sampling_rate": sampling_rate, "steps": steps}
    given = {name: value for name, value in asked.items() if value is not None}
    if model is not None and given:
        options = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ParameterError(
            f"With a MODEL, its certificate states what {options} would set. Leave them out, or the model."
        )
    check_budget(4.0 if epsilon is None else epsilon, delta)
    report = audit(
        **given,  # type: ignore[arg-type]
        certificate=None if model is None else load(model).certificate_, runs=runs, canaries=canaries,
        confidence=confidence, random_state=random_state, verbose=not quiet,
    )  # fmt: skip
    if output is not None:
        write_text(output, json.dumps(report.to_dict(), indent=2))
    typer.echo(str(report))
    if report.is_exceeded:
        raise typer.Exit(1)
