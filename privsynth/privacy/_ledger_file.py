"""The file of a ledger: locked while it changes, replaced whole, and on the disk before anybody goes on.

What a crash at any moment leaves is the old file or the new one, never a part. The lock is the kernel's and
goes with its process. A file that was seen and is gone is refused: a new one would start from zero.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from privsynth.errors import PrivacyError

PATIENCE = 60.0
"""Seconds to wait for the lock, which is held for milliseconds."""


class LedgerFile:
    """One JSON document at one place.

    Parameters
    ----------
    path : str or Path
        Resolved at once: later changes of the working directory do not matter, and a symbolic link is followed,
        so that all names of one ledger share its lock.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(os.path.realpath(path))
        self.seen = False

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes, threads and objects off the file.

        Raises
        ------
        PrivacyError
            When the lock is not to be had.
        """
        lock = FileLock(f"{self.path}.lock", timeout=PATIENCE)
        try:
            lock.acquire()
        except Timeout as error:
            raise PrivacyError(
                f"Another process has held {self.path}.lock for {PATIENCE:g} seconds. Wait for it to end. If there is "
                "none, the file system has no locks of its own: delete that file, or keep the ledger on a local disk."
            ) from error
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            yield
        finally:
            lock.release()

    def read(self) -> dict[str, Any] | None:
        """Return the document, or None where there never was one.

        Raises
        ------
        PrivacyError
            When the file is gone, has several names, or holds no JSON. NaN and infinity are no JSON.
        """
        try:
            names = self.path.stat().st_nlink
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            if not self.seen:
                return None
            raise PrivacyError(
                f"{self.path} is gone. Restore it from a copy: starting a new one would forget what was spent."
            ) from error
        except ValueError as error:
            raise no_ledger(self.path, error) from error
        self.seen = True
        if names > 1:  # replacing it would leave the other names with an account of their own
            raise PrivacyError(
                f"{self.path} has {names} names (hard links), and each would keep an account of its own. Keep one "
                "name, or use symbolic links."
            )
        try:
            document = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise no_ledger(self.path, error) from error
        if not isinstance(document, dict):
            raise no_ledger(self.path, f"it holds a {type(document).__name__}")
        return document

    def write(self, document: dict[str, Any]) -> None:
        """Replace the document; call it under `locked`.

        The new text is on the disk before it gets the name, and the name is on the disk before this returns: a
        power cut forgets no reservation that a fit has relied on.

        Raises
        ------
        PrivacyError
            When it could not be done; the file is then the old or the new one.
        """
        text = json.dumps(document, indent=1, allow_nan=False)
        try:
            _replace(self.path, text)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.seen = True


def no_ledger(path: Path, why: object) -> PrivacyError:
    """Build the error for a file that cannot be trusted, for the caller to raise."""
    return PrivacyError(
        f"{path} is no privsynth ledger ({why}). Restore it from a copy: "
        "starting a new one would forget what was spent."
    )


def _unwritable(path: Path, error: OSError) -> PrivacyError:
    return PrivacyError(
        f"The ledger {path} cannot be written ({error.strerror or error}). A fit reads nothing without it: check the "
        "path, its permissions and the room on the disk."
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}")


def _replace(path: Path, text: str) -> None:
    """Write beside, then rename. One name for what is beside, as the lock is held: a crash leaves one at most."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
    if not mode & 0o222:  # a rename would not mind
        raise PermissionError(errno.EACCES, "the file is read-only", str(path))
    beside = path.with_name(path.name + ".tmp")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, mode)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Put a rename on the disk, where the system can (POSIX)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems sync folders by themselves and say so like this
            raise
    finally:
        os.close(handle)
