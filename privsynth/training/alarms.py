"""What went wrong in a fit, told from releases and the generator itself: divergence, lost cells, drowned classes.

*Divergence*: the measured loss ends far above the least it had in the same stage, or is no number.  *Mode collapse*:
cells whose released count is far above its noise, and which the generator hardly ever makes.  *Drowned classes*: all
rows of a class are few beside the noise of each count within it.  These are functions of releases, so a warning tells
nothing of the rows that the model does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privsynth.privacy.mechanisms import Release
from privsynth.training.history import History
from privsynth.transforms.cells import FloatArray
from privsynth.transforms.layout import Layout

_FEWEST = 50  # steps of a stage that is judged
_ABOVE = 3.0  # times the least loss of the stage
_SURE = 8.0  # standard deviations: noise alone gets there in none of a million cells
_LOST = 0.1  # of its released count
_MUCH = 0.1  # of a column's rows
_SHOWN = 5
_DROWNED = 5.0  # standard deviations: by TSTR nothing is learned of classes of two, and something of those of six


def alarms(history: History, marginals: FloatArray, released: Release, layout: Layout) -> list[str]:
    """Return a sentence for each thing that looks wrong, none if all is well.

    Parameters
    ----------
    history : History
    marginals : ndarray of shape (layout.width,)
        The generator's own share of each cell.
    released : Release
        Noisy counts of the same cells.
    """
    found = [*divergence(history)]
    lost = lost_shares(marginals, released, layout)
    if worst := [name for name, share in sorted(lost.items(), key=lambda item: -item[1]) if share > _MUCH]:
        named = ", ".join(f"{name[:40]!r} ({lost[name]:.0%} of the rows)" for name in worst[:_SHOWN])
        found.append(
            f"Mode collapse: values that the releases show are hardly ever generated: "
            f"{named}. Use critic='measured' or more steps."
        )
    return [text if text.isprintable() else ascii(text) for text in found]


def drowned(column: str, names: Sequence[str], rows: FloatArray, noise: float) -> list[str]:
    """Return a sentence on the classes that are too small for what was measured within them, none if there are none.

    Parameters
    ----------
    column : str
        The target.
    names, rows : sequence of str and ndarray of shape (n_classes,)
        Its classes and their numbers of rows, by releases.
    noise : float
        Standard deviation of the noise of one count within a class, in rows.
    """
    small = np.flatnonzero(rows < _DROWNED * noise)
    if not len(small):
        return []
    shown = ", ".join(f"{names[i][:40]!r} (about {max(0.0, rows[i]):.0f} rows)" for i in small[:_SHOWN])
    more = f" and {len(small) - _SHOWN} more" if len(small) > _SHOWN else ""
    text = (
        f"At this epsilon little is learned of what sets apart, of {column[:40]!r}, {shown}{more}: each count within a "
        f"class has noise of about {noise:.0f} rows. Do not train or test a detector of such a class on these rows. "
        "Raise epsilon, learn fewer columns, or gather more rows of it."
    )
    return [text if text.isprintable() else ascii(text)]


def divergence(history: History) -> list[str]:
    """Return what the losses show."""
    finite = np.isfinite(history.measured_loss)
    if len(finite) and finite[0] and not finite.all():  # no number from the start: there was nothing to compare
        return ["The fit diverged: the measured loss is no number. Fit again, with smaller generator_dim."]
    start = 0
    for stage, steps in history.stages:
        losses = history.measured_loss[start : start + steps]
        if stage == "neural critic" or len(losses) < _FEWEST:
            start += steps if stage != "neural critic" else 0
            continue
        start += steps
        smooth = np.convolve(losses, np.full(10, 0.1), mode="valid")
        if smooth[-1] > _ABOVE * max(1.0, smooth.min()):
            return [
                f"The fit diverged: the measured loss ended at {smooth[-1]:.3g} noise variances in the stage "
                f"{stage!r}, after {smooth.min():.3g}. Fit again with another random_state or more steps."
            ]
    return []


def lost_shares(marginals: FloatArray, released: Release, layout: Layout) -> dict[str, float]:
    """Return by column which share of its rows is in cells that were surely there, and are hardly ever generated."""
    shares = {}
    for span in layout.spans:
        counts = np.clip(released.values[span.slice], 0.0, None)
        total = max(1.0, float(counts.sum()))
        clear = counts > _SURE * max(released.scale, 1.0)
        lost = clear & (marginals[span.slice] * total < _LOST * counts)
        shares[span.name] = float(counts[lost].sum()) / total
    return shares
