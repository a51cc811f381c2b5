"""The judge of benchmarks/mutated_bundles.py: loads and uses one file, and says what went wrong, if anything did.

Refused is a `PrivsynthError` from `load`, in one line. Harmless is a model that shows its certificate, verifies and
samples, or refuses that with a `PrivsynthError`. Anything else is a failure: another exception, a warning, anything
printed, a file opened that is none of Python's, a process started, more than `SECONDS` of processor time, or more
memory than `MEGABYTES` and `TIMES` the size of the file.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SECONDS, MEGABYTES, TIMES = 5.0, 400, 40
CONDITIONS: tuple[Any, ...] = (None, {"amount": (1, 50)}, {"city": "Ulm"}, {"nothing": 1})
_WATCHED = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind")
_CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.link",
    "os.symlink",
    "os.chmod",
    "shutil.rmtree",
    "tempfile.mkstemp",
)


class Watch:
    """What the interpreter does meanwhile, by its audit hooks: files opened and processes started."""

    def __init__(self) -> None:
        self.active = False
        self.seen: list[str] = []
        self.allowed: tuple[str, ...] = ()
        import privsynth

        homes = [sys.prefix, sys.base_prefix, "/usr/share/zoneinfo", str(Path(privsynth.__file__).parents[1])]
        homes += ["/proc/self", "/dev/null"]
        homes += [path for path in sys.path if path]
        self.known = tuple(os.path.realpath(home) for home in homes)
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event in _WATCHED or event in _CHANGES:
            self.seen.append(f"{event} {arguments[:1]!r}")
        elif event == "open" and isinstance(arguments[0], (str, bytes)):
            path, flags = os.path.realpath(os.fsdecode(arguments[0])), arguments[2] or 0
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            if path not in self.allowed and (writes or not path.startswith(self.known)):
                self.seen.append(f"{'writes' if writes else 'opens'} {path[:120]}")

    @contextlib.contextmanager
    def over(self, *allowed: Path) -> Iterator[list[str]]:
        self.seen, self.allowed, self.active = [], tuple(os.path.realpath(path) for path in allowed), True
        try:
            yield self.seen
        finally:
            self.active = False


def judge(path: Path, number: int, watch: Watch) -> dict[str, Any]:
    """Load and use the file; return the outcome, seconds and megabytes of it."""
    said = io.StringIO()
    _reset_peak()
    before, start = _memory("VmRSS"), time.process_time()
    outcome, detail = "harmless", ""
    with (
        warnings.catch_warnings(record=True) as warned,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        watch.over(path) as seen,
    ):
        warnings.simplefilter("always")
        try:
            outcome, detail = _use(path, number)
        except Exception as error:  # noqa: BLE001 - whatever else is raised is what is looked for
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            outcome, detail = "failure", f"{type(error).__name__} at {where}: {str(error)[:150]}"
    seconds, megabytes = time.process_time() - start, _memory("VmHWM") - before
    if outcome != "failure":
        outcome, detail = _watched(outcome, detail, path, seen, warned, said.getvalue(), seconds, megabytes)
    return {"outcome": outcome, "detail": detail, "seconds": seconds, "megabytes": megabytes}


def _use(path: Path, number: int) -> tuple[str, str]:
    from privsynth import load  # looked up anew each time: the judge's tests plant faults there
    from privsynth.errors import BundleError, PrivsynthError

    try:
        model = load(path)
    except BundleError as error:
        text = str(error)
        if "\n" in text.strip() or len(text) > 500:
            return "failure", f"an error of {len(text)} characters: {text[:150]!r}"
        return "refused", text
    try:
        text = str(model.certificate_)
        model.certificate_.verify()
        sample = model.sample(20, random_state=number, conditions=CONDITIONS[number % 12] if number % 12 < 4 else None)
    except PrivsynthError as error:
        return "harmless", f"refuses later: {error}"
    if sample.shape != (20, len(model.columns_)) or list(sample) != list(model.columns_) or not text:
        return "failure", f"a sample of shape {sample.shape}"
    return "harmless", ""


def _watched(
    outcome: str,
    detail: str,
    path: Path,
    seen: list[str],
    warned: list[Any],
    said: str,
    seconds: float,
    megabytes: float,
) -> tuple[str, str]:
    """Return a failure, where something else than the result was wrong."""
    most = MEGABYTES + TIMES * path.stat().st_size / 1e6
    faults = [*seen]
    faults += [f"warns: {w.message}"[:150] for w in warned]
    faults += [f"prints: {said[:100]!r}"] if said else []
    faults += [f"{seconds:.1f} s"] if seconds > SECONDS else []
    faults += [f"{megabytes:.0f} MB for a file of {path.stat().st_size:,} bytes"] if megabytes > most else []
    return ("failure", "; ".join(faults)) if faults else (outcome, detail)


def _memory(field: str) -> float:
    """Return a field of this process's status in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")
