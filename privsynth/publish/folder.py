"""A release folder: a synthetic table with all that its receiver needs to use it, and to check it.

Every file is made from the fitted model and the sampled rows.  ``datasheet.json`` lists the others with their SHA-256,
so that `privsynth.publish.check` tells a damaged folder from a good one; who made it, only a signature tells.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from privsynth._version import __version__
from privsynth.errors import DataError
from privsynth.publish.compare import compare
from privsynth.publish.dictionary import data_dictionary
from privsynth.publish.readme import readme
from privsynth.report import render_certificate, render_publishable
from privsynth.synthesizers.ctgan import CTGAN
from privsynth.tables import write_table

FORMAT = "privsynth.release/1"
DATASHEET = "datasheet.json"
FILES = (
    "synthetic.csv",
    "synthetic.parquet",
    "publishable.html",
    "certificate.json",
    "certificate.html",
    "dictionary.json",
    "README.md",
)


def pack(
    model: CTGAN,
    table: pd.DataFrame,
    folder: str | Path,
    *,
    title: str = "Synthetic table",
    source: str = "",
    parquet: bool = False,
    date: str | None = None,
) -> Path:
    """Write a release folder: whole, or not at all.

    Parameters
    ----------
    model : CTGAN
        Fitted under privacy, or loaded.
    table : DataFrame
        Rows sampled from it.
    folder : path
        Must not exist, or be empty.
    title : str
        Heading of the pages.
    source : str, optional
        SHA-256 of the model's file, where there is one.
    parquet : bool, default False
        Write the table as Parquet, not CSV.
    date : str, optional
        Today by default.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    PrivacyError
        For a model without privacy.
    DataError
        For a table that cannot have been sampled from it, or a folder that holds something.
    """
    folder = Path(folder)
    check_folder(folder)
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat() if date is None else date
    summary = compare(model, table)
    certificate = model.certificate_.to_dict()
    columns = data_dictionary(model)
    texts = {
        "publishable.html": render_publishable(summary, title=title, date=date),
        "certificate.json": json.dumps(certificate, indent=2),
        "certificate.html": render_certificate(certificate, source=title),
        "dictionary.json": json.dumps({"format": "privsynth.dictionary/1", "columns": columns}, indent=2),
    }
    name = "synthetic.parquet" if parquet else "synthetic.csv"
    facts = _facts(model, table, title=title, date=date, source=source, scores=summary["scores"])
    half = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
    try:
        write_table(table, half / name)
        for file, text in texts.items():
            (half / file).write_text(text, encoding="utf-8")
        (half / "README.md").write_text(readme(facts, columns, name), encoding="utf-8")
        files = {path.name: {"sha256": sha256(path), "bytes": path.stat().st_size} for path in sorted(half.iterdir())}
        (half / DATASHEET).write_text(json.dumps({**facts, "files": files}, indent=2), encoding="utf-8")
        for path in half.iterdir():
            path.chmod(0o644)
        half.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        os.replace(half, folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    return folder


def check_folder(folder: Path) -> None:
    """Refuse a place for a folder before anything is computed."""
    if not folder.parent.is_dir():
        raise DataError(f"The folder {folder.parent} does not exist. Make it first.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists and is no empty folder. Name another one.")
    if not os.access(folder.parent, os.W_OK):
        raise DataError(f"{folder} cannot be written: permission denied. Choose another place.")


def sha256(path: Path) -> str:
    """Return the digest of a file, read in parts."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _facts(
    model: CTGAN, table: pd.DataFrame, *, title: str, date: str, source: str, scores: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what the datasheet says beside its list of files."""
    certificate = model.certificate_
    return {
        "format": FORMAT,
        "title": title,
        "synthetic": True,
        "statement": certificate.statement(),
        "date": date,
        "rows": len(table),
        "columns": len(table.columns),
        "model": {"class": type(model).__name__, "sha256": source or None,
                  "learned_from_about": int(model.plan_.n_rows)},
        "privacy": {
            "epsilon": certificate.epsilon, "delta": certificate.delta, "unit": certificate.unit.text,
            "not_covered": list(certificate.not_covered),
        },
        "version": __version__,
        "fitted_with": dict(certificate.versions),
        "fidelity": {score["name"]: score["value"] for score in scores},
    }  # fmt: skip
