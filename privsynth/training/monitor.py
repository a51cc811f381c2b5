"""Between the training loop and who watches it: the progress bar, and callbacks, which may end the training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from privsynth._random import as_generator
from privsynth.callbacks import Callback, Checkpoint, Step
from privsynth.training.history import Progress
from privsynth.training.mixture import Mixture

Rows = Callable[[Mixture, int, np.random.Generator], pd.DataFrame]


class Monitor:
    """Tells the bar and the callbacks; remembers whether one of them has ended the training.

    Parameters
    ----------
    bar : Progress
    callbacks : sequence of Callback
    rows : callable
        Draws rows of the table's columns from a mixture.
    """

    def __init__(self, bar: Progress, callbacks: Sequence[Callback], rows: Rows) -> None:
        self.stopped = False
        self._bar, self._callbacks, self._rows = bar, tuple(callbacks), rows

    def on_step(self, stage: str, done: int, total: int, figures: dict[str, float]) -> bool:
        """Take a step (a `Progress`)."""
        self._bar(stage, done, total, figures)
        if self._callbacks:
            step = Step(stage, done, total, figures.get("loss"), figures.get("fakes told"))
            self._heed([callback.on_step(step) for callback in self._callbacks])
        return self.stopped

    def on_checkpoint(self, stage: str, done: int, mixture: Callable[[], Mixture]) -> bool:
        """Take a checkpoint; the generator is read only where somebody looks."""
        if self._callbacks:
            now, rows = mixture(), self._rows

            def sample(n_rows: int, random_state: object = None) -> pd.DataFrame:
                return rows(now, n_rows, as_generator(random_state))

            checkpoint = Checkpoint(stage, done, sample)
            self._heed([callback.on_checkpoint(checkpoint) for callback in self._callbacks])
        return self.stopped

    def _heed(self, answers: Sequence[bool | None]) -> None:
        self.stopped = self.stopped or any(answer is True for answer in answers)
