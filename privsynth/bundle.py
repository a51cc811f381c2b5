"""A model on disk: one zip file of JSON and safetensors. No pickle, no code, no rows.

``model.json`` holds everything readable (parameters, columns, certificate), ``weights.safetensors`` the
tensors, ``manifest.json`` the format version and the SHA-256 of both, so that a damaged file is told from a
good one.  The digests do not prove who wrote a file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth.errors import BundleError

FORMAT = 1
_LIMITS = {"manifest.json": 1 << 16, "model.json": 1 << 28, "weights.safetensors": 1 << 31}
# A file may unpack to a floor and so many times its size: JSON shrinks three-fold, with many equal shares thirty-fold;
# weights hardly shrink at all; deflate can blow up a thousand-fold.
_FLOORS = {"manifest.json": 1 << 16, "model.json": 1 << 24, "weights.safetensors": 1 << 22}
_RATIOS = {"manifest.json": 1, "model.json": 50, "weights.safetensors": 4}
_MOST_NODES = 1 << 20  # lists and dicts in model.json: an empty one takes 3 bytes there and 72 in memory
_LONGEST = 300
_EPOCH = (1980, 1, 1, 0, 0, 0)
Arrays = dict[str, npt.NDArray[Any]]


def write_bundle(path: str | Path, model: dict[str, Any], tensors: Arrays) -> None:
    """Write a bundle: whole or not at all.

    Raises
    ------
    BundleError
        When the place cannot be written.
    """
    from safetensors.numpy import save

    path = Path(path)
    parts = {
        "model.json": json.dumps(model, allow_nan=False).encode(),
        "weights.safetensors": save({name: np.ascontiguousarray(array) for name, array in tensors.items()}),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    parts = {"manifest.json": json.dumps({"format": FORMAT, "sha256": digests}).encode(), **parts}
    if not path.parent.is_dir():
        raise BundleError(f"The folder {path.parent} does not exist. Make it first.")
    if path.is_dir():
        raise BundleError(f"{path} is a folder. Name a file.")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    except OSError as error:
        raise BundleError(f"{path} cannot be written: {error.strerror}. Choose another place.") from error
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, data in parts.items():
                archive.writestr(zipfile.ZipInfo(part, _EPOCH), data, zipfile.ZIP_DEFLATED)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_bundle(path: str | Path) -> tuple[dict[str, Any], Arrays]:
    """Read a bundle back, checking sizes, digests and types before anything is used.

    Raises
    ------
    BundleError
        When the file is missing, truncated, changed, of a later format, or no bundle at all.
    """
    path = Path(path)
    if not path.is_file():
        raise BundleError(f"There is no model file {path}. Check the path.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
            if names != sorted(_LIMITS):
                held = in_one_line(names[:5])
                raise BundleError(f"{path} is no privsynth model: it holds {held}. Fit and save one first.")
            size = path.stat().st_size
            manifest = _json(_member(archive, "manifest.json", size))
            if manifest["format"] != FORMAT:
                stated = in_one_line(repr(manifest["format"]))
                raise BundleError(f"{path} has format {stated}; this version of privsynth reads {FORMAT}. Update it.")
            parts = {name: _member(archive, name, size) for name in _LIMITS if name != "manifest.json"}
        for name, data in parts.items():
            if hashlib.sha256(data).hexdigest() != manifest["sha256"][name]:
                raise BundleError(f"{path} was changed or damaged: {name} does not match its digest. Get a fresh copy.")
        return _json(parts["model.json"]), _tensors(parts["weights.safetensors"])
    except BundleError:
        raise
    except PermissionError as error:
        raise BundleError(f"{path} cannot be read: permission denied. Mend its permissions.") from error
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, RecursionError) as error:
        detail = in_one_line(error)
        raise BundleError(f"{path} is truncated or no privsynth model ({detail}). Get a fresh copy.") from error
    except (NotImplementedError, RuntimeError, struct.error, zlib.error) as error:
        raise BundleError(f"{path} is no privsynth model ({in_one_line(error)}). Get a fresh copy.") from error


def in_one_line(text: object) -> str:
    """Return a text of a file that is not trusted, fit to be shown: one line, cut where it is long.

    >>> in_one_line("a\\n  b" + "c" * 1000)[:9], len(in_one_line("x" * 10**6))
    ('a bcccccc', 303)
    """
    shown = " ".join(str(text)[: 10 * _LONGEST].split())
    shown = "".join(sign if sign.isprintable() else "?" for sign in shown)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "..."


def _member(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """Read one member, no more than its limit; how large it unpacks is checked before it is unpacked."""
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        raise BundleError(f"{name} is compressed by an unknown method. Get a fresh copy.")
    if info.file_size > min(_LIMITS[name], _FLOORS[name] + _RATIOS[name] * size):
        raise BundleError(f"{name} is larger than any model's. Do not trust this file.")
    with archive.open(name) as file:
        return file.read(info.file_size + 1)


def _json(data: bytes) -> Any:
    """Read strict JSON of bounded memory: no NaN, no infinity, neither by name nor as 1e999."""
    if data.count(b"[") + data.count(b"{") > _MOST_NODES:
        raise ValueError("it has more lists than any model")
    return json.loads(data, parse_float=_finite, parse_constant=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def _tensors(data: bytes) -> Arrays:
    """Read finite float32 and int64 tensors."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise BundleError(f"The weights are damaged ({in_one_line(error)}). Get a fresh copy.") from error
    for name, array in tensors.items():
        if array.dtype not in (np.float32, np.float64, np.int64) or not np.isfinite(array).all():
            raise BundleError(f"Tensor {in_one_line(repr(name))} holds no finite numbers. Do not trust this file.")
    return tensors
