"""Is a release folder what its maker wrote?  Digests, the certificate, and that they agree; in one line what is wrong.

The folder is a stranger's: names, sizes and JSON are checked before they act on anything; nothing is unpacked or run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privsynth.bundle import in_one_line
from privsynth.errors import DataError, PrivacyError
from privsynth.privacy.certificate import Certificate
from privsynth.publish.folder import DATASHEET, FILES, FORMAT, sha256

_LARGEST = 1 << 24  # of the datasheet and the certificate
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class CheckedFolder:
    """A folder whose files are those of its datasheet, and whose certificate holds.

    Parameters
    ----------
    datasheet : dict
    certificate : Certificate
    digest : str
        SHA-256 of the datasheet, hence of the whole folder.
    """

    datasheet: dict[str, Any]
    certificate: Certificate
    digest: str

    def __str__(self) -> str:
        sheet = self.datasheet
        title, date, version = (in_one_line(sheet[key]) for key in ("title", "date", "version"))
        facts = [
            f"{title}: synthetic, {sheet['rows']:,} rows, {sheet['columns']} columns",
            self.certificate.statement(),
            f"Packed on {date} with privsynth {version}.",
            f"Files as listed: {', '.join(sorted(sheet['files']))}.",
            f"SHA-256 of {DATASHEET}, to be compared with the sender's: {self.digest}",
        ]
        return "\n".join(facts)


def check(folder: str | Path) -> CheckedFolder:
    """Verify a release folder.

    Raises
    ------
    DataError
        When a file is missing, changed, or not listed; or the datasheet is none.
    PrivacyError
        When the certificate does not hold, or is not the one that the datasheet speaks of.
    """
    folder = Path(folder)
    sheet = _datasheet(folder)
    _check_files(folder, sheet["files"])
    certificate = Certificate.from_json(_text(folder / "certificate.json"))
    certificate.verify()
    stated = (sheet["privacy"]["epsilon"], sheet["privacy"]["delta"], sheet["statement"])
    if stated != (certificate.epsilon, certificate.delta, certificate.statement()):
        raise PrivacyError(f"{folder}: {DATASHEET} states another guarantee than the certificate. Do not trust it.")
    if not certificate.private:
        raise PrivacyError(f"{folder}: its certificate is of a model that is not private. Do not pass it on.")
    return CheckedFolder(sheet, certificate, sha256(folder / DATASHEET))


def _datasheet(folder: Path) -> dict[str, Any]:
    """Read the list of files; refuses what `pack` does not write."""
    if not (folder / DATASHEET).is_file():
        raise DataError(f"{folder} is no release folder: it has no {DATASHEET}. Name one that privsynth pack wrote.")
    try:
        sheet = json.loads(_text(folder / DATASHEET))
        if sheet["format"] != FORMAT:
            stated = in_one_line(repr(sheet["format"]))
            raise DataError(f"{folder} has format {stated}; this version of privsynth reads {FORMAT!r}. Update it.")
        files = sheet["files"]
        odd = [name for name in files if name not in FILES]
        well = all(_DIGEST.fullmatch(entry["sha256"]) and type(entry["bytes"]) is int for entry in files.values())
        numbers = [
            sheet["rows"],
            sheet["columns"],
            *map(float, (sheet["privacy"]["epsilon"], sheet["privacy"]["delta"])),
        ]
        if odd or not well or not all(isinstance(n, (int, float)) for n in numbers) or sheet["synthetic"] is not True:
            raise ValueError(f"entries {odd[:3]}" if odd else "facts that pack does not write")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{folder}: {DATASHEET} is damaged ({in_one_line(error)}). Get a fresh copy.") from error
    return sheet


def _check_files(folder: Path, files: dict[str, Any]) -> None:
    """Refuse a folder with files that are missing, too many, or changed."""
    held = {path.name for path in folder.iterdir()} - {DATASHEET}
    if missing := sorted({*files, "certificate.json"} - held):
        raise DataError(f"{folder}: {missing[0]} is missing. Get a fresh copy.")
    if more := sorted(held - set(files)):
        raise DataError(
            f"{folder}: {in_one_line(more[0])} is not listed in {DATASHEET}. Take it out, or do not trust it."
        )
    for name, entry in sorted(files.items()):
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise DataError(f"{folder}: {name} is no plain file. Do not trust the folder.")
        if path.stat().st_size != entry["bytes"] or sha256(path) != entry["sha256"]:
            raise DataError(f"{folder}: {name} was changed or damaged: it does not match its digest. Get a fresh copy.")


def _text(path: Path) -> str:
    if path.is_symlink() or path.stat().st_size > _LARGEST:
        raise DataError(f"{path} is no plain file, or larger than any that privsynth writes. Do not trust it.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text. Get a fresh copy.") from error
