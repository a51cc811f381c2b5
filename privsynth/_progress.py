"""Progress bars with the time left, on terminals and in notebooks. The only door to rich in the library."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_FIGURES = {"loss": "loss {:.3f} of noise", "fakes told": "fakes told {:.0%}"}


class ProgressBar:
    """Shows ``(phase, done, total, figures)`` reports as one bar a phase.

    Parameters
    ----------
    enabled : bool
        False shows nothing; True shows bars where standard error is a terminal or a notebook.
    after : float
        Seconds to wait for the end: what is done by then shows nothing.
    left : str
        What stands before the time left.
    """

    def __init__(self, enabled: bool, *, after: float = 0.0, left: str = "left") -> None:
        self._bars: Progress | None = None
        self._shows_from = time.monotonic() + after
        self._tasks: dict[str, object] = {}
        self._last = 0.0
        console = Console(file=sys.stderr)
        if enabled and (console.is_terminal or console.is_jupyter):
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TimeElapsedColumn(),
                TextColumn(left),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
                console=console,
                transient=False,
            )

    def __enter__(self) -> ProgressBar:
        if self._bars is not None and time.monotonic() >= self._shows_from:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None and self._bars.live.is_started:
            self._bars.stop()

    def __call__(self, phase: str, done: int, total: int, figures: dict[str, float]) -> None:
        """Take a report; redraws ten times a second at most."""
        now = time.monotonic()
        if self._bars is None or now < self._shows_from or (now - self._last < 0.1 and done < total):
            return
        if not self._bars.live.is_started:
            self._bars.start()
        self._last = now
        text = "  ".join(_FIGURES.get(name, f"{name} {{:.3f}}").format(value) for name, value in figures.items())
        if phase not in self._tasks:
            self._tasks[phase] = self._bars.add_task(phase, total=total, figures="")
        self._bars.update(self._tasks[phase], completed=done, total=total, figures=text)  # type: ignore[arg-type]
