"""The tables of an evaluation: synthetic against real, and real against real, which tells what to hope for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from privsynth.evaluation.space import at_most


@dataclasses.dataclass(frozen=True)
class Pairing:
    """Two comparisons that are made alike.

    Parameters
    ----------
    real, synthetic : DataFrame
    left, right : DataFrame
        What gives the reference: the real table and the holdout, or two random halves of the real table.
    has_holdout : bool
    """

    real: pd.DataFrame
    synthetic: pd.DataFrame
    left: pd.DataFrame
    right: pd.DataFrame
    has_holdout: bool

    @classmethod
    def of(
        cls, real: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame | None, rng: np.random.Generator
    ) -> Pairing:
        """Pair the tables; without a holdout the real table is halved."""
        synthetic = synthetic[real.columns]
        if holdout is not None:
            return cls(real, synthetic, real, holdout[real.columns], True)
        order, half = rng.permutation(len(real)), max(len(real) // 2, 1)
        return cls(real, synthetic, real.iloc[order[:half]], real.iloc[order[half:] if len(real) > 1 else order], False)

    @property
    def note(self) -> str:
        """What the reference is."""
        return f"Reference: {'the holdout' if self.has_holdout else 'one random half of the real table to the other'}."

    def at_most(self, n_rows: int, rng: np.random.Generator) -> Pairing:
        """Return it with tables of at most so many rows, drawn at random."""
        real = at_most(self.real, n_rows, rng)
        left = real if self.left is self.real else at_most(self.left, n_rows, rng)
        rest = (at_most(frame, n_rows, rng) for frame in (self.synthetic, self.right))
        synthetic, right = rest
        return dataclasses.replace(self, real=real, synthetic=synthetic, left=left, right=right)

    def sampled_note(self, n_rows: int) -> str:
        """Return a note if `at_most` leaves rows out, else nothing."""
        largest = max(len(self.real), len(self.synthetic), len(self.right))
        return f"On at most {n_rows:,} rows of each table, drawn at random." if largest > n_rows else ""


def notes_of(*notes: str) -> tuple[str, ...]:
    """Return those that say something."""
    return tuple(note for note in notes if note)
