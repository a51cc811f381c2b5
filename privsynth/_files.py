"""What the command line writes: checked before anything is spent, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from privsynth.errors import DataError
from privsynth.evaluation import Evaluation
from privsynth.report import render_html
from privsynth.tables import check_writable


def check_output(path: Path, *inputs: Path | None, endings: tuple[str, ...] = ()) -> None:
    """Refuse an output that cannot be written, or that is one of the inputs."""
    if endings and not any(ending in endings for ending in path.suffixes):
        raise DataError(f"{path.name} must end in {' or '.join(endings[:2])}. Rename the output.")
    check_writable(path)
    if any(other is not None and other.exists() and path.exists() and path.samefile(other) for other in inputs):
        raise DataError(f"{path} is one of the inputs and would be overwritten. Name another output.")


def write_report(evaluation: Evaluation, path: Path, *, title: str) -> None:
    """Write HTML or JSON by extension, for the owner alone to read: it shows the real table."""
    page = path.suffix.lower() == ".html"
    write_text(path, render_html(evaluation.summary, title=title) if page else evaluation.to_json(), mode=0o600)


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a text file: whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
