"""Follow a fit, and end it early: what a callback is shown is released, so it may be kept, plotted and shown.

A callback gets figures of the generator against releases, and rows *sampled* from the generator as it is; never a
private row, nor anything that was computed from one beside the mechanisms.  To end a fit on what it is shown costs
nothing: all that was planned has been charged before.  A callback that brings a real table along and compares
uses real rows, which no ledger sees.

>>> class Printer(Callback):
...     def on_step(self, step):
...         if step.step == step.most:
...             print(step.stage, step.step)
>>> from privsynth import CTGAN
>>> from privsynth.datasets import make_patients
>>> table = make_patients(4000, random_state=0)[["sex", "readmitted"]]
>>> model = CTGAN(epsilon=2.0, steps=5, random_state=0).fit(table, callbacks=[Printer()])
measured critic 5
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from privsynth.errors import MissingExtraError


@dataclass(frozen=True)
class Step:
    """One step of training.

    Parameters
    ----------
    stage : str
        "measured critic", "partitions" or "neural critic".
    step, most : int
        Steps of this stage done, and how many it takes as things stand.
    measured_loss : float or None
        Squared distance of the generator's own tables from the released ones in units of their noise: 1 is the noise
        floor. None in the neural critic's stage.
    fakes_told : float or None
        Share of generated rows that the neural critic tells as such; None in the other stages.
    """

    stage: str
    step: int
    most: int
    measured_loss: float | None = None
    fakes_told: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """The generator as it is: at the end of a stage, and at every quarter of the neural critic's.

    Parameters
    ----------
    stage : str
    step : int
        Steps of this stage done.
    sample : callable
        ``sample(n_rows, random_state=None)`` draws a DataFrame of synthetic rows, identifiers left out; spends nothing.
    """

    stage: str
    step: int
    sample: Callable[..., pd.DataFrame] = field(repr=False)


class Callback:
    """Is told of a fit while it runs. Override what you need; either method may end the training by returning True.

    The generator is then kept as it is, later stages are left out, and the certificate states the same total: what
    was planned was charged. An error that a callback raises ends the fit without a model, all of its budget spent.
    """

    def on_step(self, step: Step) -> bool | None:
        """Take the figures of a step."""

    def on_checkpoint(self, checkpoint: Checkpoint) -> bool | None:
        """Take a generator to sample from."""


class TensorBoard(Callback):
    """Writes the figures of every step for TensorBoard.

    The log holds released figures only, but TensorBoard stamps them with the time of day; how long a fit takes is
    not covered by epsilon.

    Parameters
    ----------
    folder : path
        Where the log goes; made if need be.

    Raises
    ------
    MissingExtraError
        Unless tensorboard is installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(
                "The TensorBoard callback needs the package tensorboard. Install it with: "
                "pip install 'privsynth[tensorboard]'."
            ) from error
        self._writer: Any = SummaryWriter(log_dir=str(folder))

    def on_step(self, step: Step) -> None:
        """Write the figures that the step has."""
        for name, value in (("measured loss", step.measured_loss), ("fakes told", step.fakes_told)):
            if value is not None:
                self._writer.add_scalar(f"{step.stage}/{name}", value, step.step)

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Put what was written so far on the disk."""
        self._writer.flush()
