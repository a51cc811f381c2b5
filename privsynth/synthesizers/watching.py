"""Who watches a fit, and what it is warned of at its end."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from privsynth._checks import parameter_error
from privsynth.callbacks import Callback
from privsynth.errors import PrivsynthWarning
from privsynth.synthesizers.sampling import Sampler
from privsynth.training.alarms import alarms, drowned
from privsynth.training.history import Progress
from privsynth.training.loop import Trainer
from privsynth.training.mixture import Mixture
from privsynth.training.monitor import Monitor
from privsynth.training.tables import Tables
from privsynth.transforms.encoder import TableEncoder
from privsynth.transforms.labels import cell_labels
from privsynth.transforms.reshape import Reshape


def check_callbacks(callbacks: Any) -> None:
    """Refuse what is no sequence of callbacks, before anything is spent."""
    if not isinstance(callbacks, Sequence) or not all(isinstance(one, Callback) for one in callbacks):
        remedy = "Derive a class from privsynth.callbacks.Callback and pass a list of its objects."
        raise parameter_error("fit", "callbacks", "a list of Callback objects", callbacks, remedy)


def monitor_of(
    bar: Progress, callbacks: Sequence[Callback], encoder: TableEncoder, reshape: Reshape, dtypes: Mapping[str, str]
) -> Monitor:
    """Return what tells the bar and the callbacks; rows of a checkpoint are those that `sample` would draw then."""

    def rows(mixture: Mixture, n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
        frame = Sampler(mixture, encoder, reshape, dtypes).rows(n_rows, {}, rng)
        return frame[[name for name in dtypes if name in frame]]

    return Monitor(bar, callbacks, rows)


def warn_of(trainer: Trainer, tables: Tables) -> None:
    """Keep and show the alarms of a fit that has ended."""
    mixture, encoder = trainer.mixture(), tables.encoder
    found = alarms(trainer.history, mixture.weights @ mixture.probabilities, encoder.one_way, trainer.layout)
    split, within = tables.measurements.split, tables.measurements.class_columns
    if split is not None and within is not None:
        target, rows = encoder.columns[split], trainer.critic.class_shares * tables.n_rows
        found += drowned(target.name, cell_labels(target), rows, within.scale)
    trainer.history.alarms[:] = found
    for text in found:
        warnings.warn(text, PrivsynthWarning, stacklevel=5)
