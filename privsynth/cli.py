"""The command ``privsynth``: demo, fit, release, sample, evaluate, pack, inspect, audit.

Whatever is wrong with the input is told in one line on standard error, with exit code 2; outputs are checked
before anything is read or spent, and written whole or not at all.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from privsynth._audit_command import audit_command
from privsynth._dates import align_dates
from privsynth._files import check_output, write_report, write_text
from privsynth._fit_command import fit_command
from privsynth._options import Seed, Target
from privsynth._pack_command import pack_command
from privsynth._release_command import release_command
from privsynth._shell import Commands, check_budget, columns_text, read_certificate
from privsynth._version import __version__
from privsynth._where import parse_where
from privsynth.datasets import make_transactions
from privsynth.errors import DataError
from privsynth.evaluation import evaluate
from privsynth.evaluation.score import SECTIONS
from privsynth.publish import check
from privsynth.report import render_certificate
from privsynth.schema import Continuous, Datetime, Schema
from privsynth.synthesizers import CTGAN, TableRelease, is_release, load
from privsynth.tables import check_writable, read_table, write_table

# What anybody knows of card payments without seeing one: the card limit, the currency's decimals, the period.
_DEMO_SCHEMA = Schema(
    {
        "timestamp": Datetime("2024-01-01", "2024-04-01", nullable=False),
        "amount": Continuous(low=0, high=2_500, decimals=2, nullable=False),
        "previous_day_amount": Continuous(decimals=2, nullable=False),
        "distance_from_home_km": Continuous(decimals=1, nullable=False),
    }
)


app = typer.Typer(
    cls=Commands,
    help="Differentially private synthetic tables.\n\nStart with: privsynth demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main() -> None:
    """Run the command line and exit with its code."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"privsynth {__version__}")
        raise typer.Exit


@app.callback()
def _privsynth(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model that `privsynth fit` wrote.")]


@app.command()
def demo(
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the files; made if need be.")] = Path(
        "demo_output"
    ),
    rows: Annotated[int, typer.Option(metavar="N", min=1000, help="Simulated rows; a fifth is held out.")] = 60_000,
    epsilon: Annotated[float, typer.Option(metavar="E", help="Total privacy budget, above 0.")] = 1.0,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Most training steps.")] = 1500,
    random_state: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the simulation and the model.")] = 0,
) -> None:
    """See it work on simulated card transactions.

    \b
    Example:  privsynth demo --output demo_output

    Learns the transactions privately, samples as many synthetic ones and compares them with a holdout, all in
    about a minute on two cores. Writes transactions.csv (simulated, nobody's data), schema.json
    (what is public of it), model.privsynth, synthetic.csv, report.html, and the certificate as .json and .html.
    """
    check_budget(epsilon, None)
    if output.exists() and not output.is_dir():
        raise DataError(f"{output} is a file. Name a folder.")
    output.mkdir(parents=True, exist_ok=True)
    names = ["transactions.csv", "schema.json", "model.privsynth", "synthetic.csv", "report.html"]
    names += ["certificate.json", "certificate.html"]
    paths = [output / name for name in names]
    table_path, schema_path, model_path, sample_path, report_path, certificate_path, page_path = paths
    for path in paths:
        check_writable(path)
    start = time.monotonic()
    table = make_transactions(rows, fraud_rate=0.02, random_state=random_state)
    held = np.random.default_rng(random_state).permutation(rows) < rows // 5
    real, holdout = table[~held].reset_index(drop=True), table[held].reset_index(drop=True)
    typer.echo(f"1/4  simulated {rows:,} card transactions, {table['is_fraud'].mean():.1%} of them fraud")
    model = CTGAN(epsilon, target="is_fraud", schema=_DEMO_SCHEMA, steps=steps, random_state=random_state).fit(real)
    typer.echo(f"2/4  learned {len(real):,} of them under epsilon={epsilon:g}")
    synthetic = model.sample(len(real), random_state=random_state)
    typer.echo(f"3/4  sampled {len(synthetic):,} synthetic rows; now comparing")
    evaluation = evaluate(real, synthetic, holdout=holdout, target="is_fraud", model=model, random_state=random_state)
    write_table(table, table_path)
    write_text(schema_path, _DEMO_SCHEMA.to_json())
    model.save(model_path)
    write_table(synthetic, sample_path)
    certificate = model.certificate_.to_dict()
    write_text(certificate_path, json.dumps(certificate, indent=2))
    write_text(page_path, render_certificate(certificate, source=model_path.name))
    write_report(evaluation, report_path, title="privsynth demo: simulated card transactions")
    typer.echo(f"4/4  done in {time.monotonic() - start:.0f} s\n\n{evaluation}\n\n{model.certificate_.statement()}")
    typer.echo(
        f"""
In {output}: {", ".join(names)}

Next:
  open {report_path}
  privsynth inspect {model_path}
  privsynth sample {model_path} --rows 500 --where "is_fraud=True" --where "amount>1000" --output frauds.csv
  privsynth pack {model_path} {sample_path} --output {output / "release"}
  privsynth fit YOUR_TABLE.csv --target YOUR_LABEL --output model.privsynth"""
    )


app.command("fit")(fit_command)
app.command("release")(release_command)


@app.command()
def sample(
    model: Model,
    rows: Annotated[int, typer.Option("--rows", "-n", metavar="N", min=1, help="How many rows.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The table to write: .csv, .parquet.")],
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="What every row must satisfy, exactly; all of them if repeated."),
    ] = None,
    random_state: Seed = None,
) -> None:
    """Draw synthetic rows; spends no budget.

    \b
    Example:  privsynth sample model.privsynth --rows 500 --output frauds.csv
                  --where "is_fraud=True and amount>1000"
    Conditions (in quotes, because of the shell):
      amount>1000   amount<=99.5   age between 60 and 75   time>=2024-03-01
      country=GB    country!=GB    country in GB,FR        country not in GB,FR
      bmi is missing               bmi is not missing
    Join several by "and", or repeat --where. Put a value that holds an "and" in quotes.

    Ranges include their ends with <=, >= and between. A date without a time means its midnight.
    """
    check_output(output, model, endings=(".csv", ".parquet", ".pq"))
    loaded = load(model)
    conditions = parse_where(where or [], loaded.learned_columns)
    write_table(loaded.sample(rows, conditions=conditions, random_state=random_state), output)
    typer.echo(f"Wrote {rows:,} synthetic rows to {output}.")


@app.command("evaluate")
def evaluate_command(
    real: Annotated[Path, typer.Argument(metavar="REAL", help="The table that was learned, .csv or .parquet.")],
    synthetic: Annotated[Path, typer.Argument(metavar="SYNTHETIC", help="Sampled rows, .csv or .parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The report: .html or .json.")],
    holdout: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Real rows that were not learned: they make the comparison honest."),
    ] = None,
    target: Target = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Split results by the values of this column; may be repeated."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="The model: its rules are checked, its certificate is shown."),
    ] = None,
    section: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="fidelity, utility, privacy or fairness; may be repeated. Default: all."),
    ] = None,
    random_state: Annotated[int, typer.Option(metavar="N", min=0, help="Seed, an integer >= 0.")] = 0,
) -> None:
    """Compare synthetic rows with real ones.

    \b
    Example:  privsynth evaluate train.csv synthetic.csv --output report.html
                  --holdout test.csv --target diabetes --model model.privsynth

    Prints the scores and writes a report: fidelity; with --target, models that predict it, learned from synthetic
    and from real rows and tested on the holdout; with --holdout, attacks; groups. The report reads the real table
    and is outside the privacy guarantee: keep it to yourself. What may be published is made by privsynth pack.
    """
    check_output(output, real, synthetic, holdout, model, endings=(".html", ".json"))
    loaded = None if model is None else load(model)
    tables = [read_table(path) for path in (real, synthetic, holdout) if path is not None]
    align_dates(tables)
    evaluation = evaluate(
        *tables[:2], holdout=tables[2] if holdout is not None else None, target=target, conditions=condition or None,
        model=loaded, sections=tuple(section or SECTIONS), random_state=random_state,
    )  # fmt: skip
    write_report(evaluation, output, title=f"{synthetic.name} against {real.name}")
    typer.echo(f"{evaluation}\n\nThe report is {output}.")


@app.command()
def inspect(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A model, a party's release, a folder to share, or a certificate (.json)."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificate as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the certificate as a page to print, .html.")
    ] = None,
) -> None:
    """Show a model's columns and certificate, or verify what else privsynth wrote.

    \b
    Example:  privsynth inspect model.privsynth --html certificate.html
              privsynth inspect a.release
              privsynth inspect folder
              privsynth inspect certificate.json

    The certificate lists every touch of the private rows; its epsilon is recomputed from that list, and a
    model whose claim does not hold is refused with exit code 2. So is a folder that `privsynth pack` wrote and
    somebody changed.
    """
    if html is not None:
        check_output(html, model, endings=(".html",))
    if model.is_dir():
        checked = check(model)
        certificate, told = checked.certificate, str(checked)
    elif model.suffix.lower() == ".json":
        certificate = read_certificate(model)
        told = str(certificate)
    elif is_release(model):
        released = TableRelease.load(model)
        certificate = released.certificate
        told = f"{released}\n\n{certificate}"
    else:
        loaded = load(model)
        certificate = loaded.certificate_
        told = f"{columns_text(loaded)}\n\n{certificate}"
    certificate.verify()
    if html is not None:
        write_text(html, render_certificate(certificate.to_dict(), source=model.name))
    if as_json:
        typer.echo(json.dumps(certificate.to_dict(), indent=2))
        return
    typer.echo(f"{told}\n")
    if math.isfinite(certificate.epsilon):
        again = f"epsilon={certificate.recompute():.4g} at delta={certificate.delta:.2g}"
        typer.echo(f"Verified: the listed events, composed anew, cost {again}.")
    if html is not None:
        typer.echo(f"The page is {html}.")


app.command("pack")(pack_command)
app.command("audit")(audit_command)
