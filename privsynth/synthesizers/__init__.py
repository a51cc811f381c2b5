"""Models of private tables, all behind one interface."""

from __future__ import annotations

from pathlib import Path

from privsynth.bundle import in_one_line, read_bundle
from privsynth.errors import BundleError
from privsynth.synthesizers.base import Synthesizer
from privsynth.synthesizers.ctgan import CTGAN
from privsynth.synthesizers.release import KIND, TableRelease, is_release

__all__ = ["CTGAN", "Synthesizer", "TableRelease", "is_release", "load"]
_KNOWN = {"CTGAN": CTGAN}


def load(path: str | Path) -> CTGAN:
    """Read a model that ``save`` wrote, on any device.

    Raises
    ------
    BundleError
        When the file is missing, truncated, changed, or no model.
    """
    data, tensors = read_bundle(path)
    kind = data.get("class") if isinstance(data, dict) else None
    if kind == KIND:
        raise BundleError(
            f"{path} holds one party's noisy tables, no model. Fit one: privsynth fit --releases {path} ..."
        )
    if not isinstance(kind, str) or kind not in _KNOWN:
        shown = in_one_line(repr(kind))
        raise BundleError(f"{path} holds a model of class {shown}; known are {', '.join(_KNOWN)}. Update privsynth.")
    return _KNOWN[kind]._load(path, data, tensors)
