"""Who owns which columns of the encoded tensor: the only place with offsets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Span:
    """The half-open range of tensor columns that one table column's cells take."""

    name: str
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        """The range as a slice."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Layout:
    """The spans of all modelled columns, side by side.

    >>> layout = Layout.of({"sex": 2, "age": 5})
    >>> layout["age"]
    Span(name='age', start=2, stop=7)
    >>> layout.width
    7
    """

    spans: tuple[Span, ...]

    @classmethod
    def of(cls, sizes: dict[str, int]) -> Layout:
        """Lay out columns of the given numbers of cells, in order."""
        stops = list(accumulate(sizes.values()))
        return cls(tuple(Span(n, stop - k, stop) for (n, k), stop in zip(sizes.items(), stops, strict=True)))

    @property
    def width(self) -> int:
        """Total number of cells."""
        return self.spans[-1].stop if self.spans else 0

    @property
    def names(self) -> list[str]:
        """The columns, in order."""
        return [span.name for span in self.spans]

    def __getitem__(self, name: str) -> Span:
        return self.spans[self.index(name)]

    def index(self, name: str) -> int:
        """Return the position of a column."""
        return self.names.index(name)

    def owner(self) -> npt.NDArray[np.int64]:
        """Return the column position of each cell, shape (width,)."""
        return np.repeat(np.arange(len(self.spans)), [span.size for span in self.spans])
