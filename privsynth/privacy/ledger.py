"""One object spends: the budget of a table, shared by all fits on it, kept on disk when asked.

A fit reserves its (epsilon, delta) *before* it reads anything and settles afterwards.  What was
reserved and never settled (a crash, a power cut) stays spent in full.  Fits add up by basic
composition of their certificates: that is valid even when the parameters of a later fit were chosen
after looking at an earlier one (Rogers, Roth, Ullman, Vadhan 2016), which tighter rules are not
without a privacy filter.  *Within* a fit the accountant composes all mechanisms tightly.

An account is shared, never doubled.  Threads share the object; `copy` and `deepcopy` return it.  Processes share
the file.  A ledger without a file that reaches another process, by fork or by pickle, is a record there:
it shows what was spent and refuses to spend.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import secrets
import threading
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from privsynth._checks import check_real
from privsynth.errors import BudgetExceeded, PrivacyError, PrivsynthWarning
from privsynth.privacy._ledger_file import LedgerFile, no_ledger
from privsynth.privacy.budget import Budget
from privsynth.privacy.unit import ROW

_FORMAT = 1
_NOWHERE = -1


@dataclass(frozen=True)
class Spend:
    """One fit's entry: what it may cost, and whether it has ended.

    ``epsilon`` is infinite for a non-private fit. ``unit`` is whose adding or removing it is about: only fits
    of one unit add up. ``id`` tells entries apart that are otherwise equal; those of earlier versions have none.
    """

    label: str
    epsilon: float
    delta: float
    settled: bool = False
    unit: str = ROW
    id: str = ""

    def becomes(self, later: Spend) -> bool:
        """Whether `later` can be this entry at a later time: the same, or settled at no more."""
        if self.settled or not later.settled:
            return later == self
        same = replace(later, epsilon=self.epsilon, delta=self.delta, settled=False) == self
        return same and later.epsilon <= self.epsilon and later.delta <= self.delta


class Ledger:
    """The privacy budget of one table and everything spent from it.

    Parameters
    ----------
    budget : Budget
        The total for the table, over all fits that share this ledger.
    path : str or Path, optional
        A JSON file to keep it in. It is created at the first reservation, replaced atomically and
        locked while it is written; an existing file is continued, if its budget is the same. Fits in several
        processes share a budget through this file only.

    Examples
    --------
    >>> ledger = Ledger(Budget(1.0, 1e-5))
    >>> number = ledger.reserve("first fit", epsilon=0.6, delta=6e-6)
    >>> ledger.settle(number, epsilon=0.6, delta=6e-6)
    >>> ledger.remaining
    Budget(epsilon=0.4, delta=4e-06)
    >>> ledger.reserve("second fit", epsilon=0.5, delta=1e-6)
    Traceback (most recent call last):
    ...
    privsynth.errors.BudgetExceeded: second fit asks for epsilon=0.5, delta=1e-06, but of the ledger's epsilon=1, delta=1e-05 only epsilon=0.4, delta=4e-06 is left. Lower the epsilon of the fit, or raise the budget of the ledger.
    """  # noqa: E501

    def __init__(self, budget: Budget, *, path: str | Path | None = None) -> None:
        self.budget = budget
        self._file = None if path is None else LedgerFile(path)
        self._spends: tuple[Spend, ...] = ()
        self._home = os.getpid()
        self._lock, self._lock_process = threading.RLock(), os.getpid()
        self._latest()

    @property
    def path(self) -> Path | None:
        """Where the ledger is kept, with links resolved; None without a file."""
        return None if self._file is None else self._file.path

    @property
    def spends(self) -> tuple[Spend, ...]:
        """Everything reserved or settled so far, oldest first."""
        return self._latest()

    @property
    def spent(self) -> tuple[float, float]:
        """The (epsilon, delta) reserved or settled so far."""
        return _total(self._latest())

    @property
    def remaining(self) -> Budget:
        """What later fits may still spend; raises `BudgetExceeded` when nothing is left."""
        spends = self._latest()
        epsilon, delta = _total(spends)
        if not self.budget.is_private:
            return self.budget
        left = self.budget.epsilon or 0.0
        if epsilon >= left or delta >= self.budget.delta:
            raise BudgetExceeded(
                f"Nothing is left of the ledger's {_text(left, self.budget.delta)}: "
                f"{len(spends)} fits spent {_text(epsilon, delta)}. Raise the budget of the ledger."
            )
        return self.budget.minus(epsilon, delta)

    def check(self, label: str, *, epsilon: float, delta: float) -> None:
        """Raise `BudgetExceeded` where `reserve` would; set nothing aside.

        For refusing early. Only what `reserve` grants may be spent.
        """
        self._afford(self._latest(), label, *_checked("check", epsilon, delta))

    def reserve(self, label: str, *, epsilon: float, delta: float, unit: str = ROW) -> int:
        """Set (epsilon, delta) aside before anything is read; return the entry's number.

        Warns where earlier entries are about another `unit`: their sum is no guarantee for either.

        Raises
        ------
        BudgetExceeded
            When less is left; nothing is then written.
        PrivacyError
            When it cannot be noted: the file cannot be written, is gone, or forgot what it held before.
        """
        epsilon, delta = _checked("reserve", epsilon, delta)
        with self._exclusive():
            spends = self._latest()
            self._afford(spends, label, epsilon, delta)
            self._keep((*spends, Spend(label, epsilon, delta, unit=unit, id=secrets.token_hex(8))))
        others = sorted({spend.unit for spend in spends} - {unit})
        if others:
            warnings.warn(
                f"{label} protects one {unit}, and this ledger holds fits that protect one {', one '.join(others)}. "
                "Their epsilons add up to no guarantee for either: name one privacy_unit in all fits on a table.",
                PrivsynthWarning,
                stacklevel=3,
            )
        return len(spends)

    def settle(self, number: int, *, epsilon: float, delta: float) -> None:
        """Close entry `number` at what it cost, never more than was reserved."""
        epsilon, delta = _checked("settle", epsilon, delta)
        with self._exclusive():
            spends = self._latest()
            spend = spends[number]
            if spend.settled or epsilon > spend.epsilon * (1 + 1e-9) or delta > spend.delta * (1 + 1e-9):
                raise PrivacyError(
                    f"Entry {number} ({spend.label}) reserved {_text(spend.epsilon, spend.delta)} and cannot "
                    f"be settled at {_text(epsilon, delta)}."
                )
            settled = replace(spend, epsilon=min(epsilon, spend.epsilon), delta=min(delta, spend.delta), settled=True)
            self._keep((*spends[:number], settled, *spends[number + 1 :]))

    def _afford(self, spends: tuple[Spend, ...], label: str, epsilon: float, delta: float) -> None:
        """Raise unless the budget has this much left beside `spends`."""
        if not self.budget.is_private:
            return
        total, slack = self.budget.epsilon or 0.0, 1 + 1e-12
        spent_epsilon, spent_delta = _total(spends)
        if spent_epsilon + epsilon > total * slack or spent_delta + delta > self.budget.delta * slack:
            left = (max(0.0, total - spent_epsilon), max(0.0, self.budget.delta - spent_delta))
            raise BudgetExceeded(
                f"{label} asks for {_text(epsilon, delta)}, but of the ledger's "
                f"{_text(total, self.budget.delta)} only {_text(*left)} is left. "
                "Lower the epsilon of the fit, or raise the budget of the ledger."
            )

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let one thread of one process at a time read, decide and write."""
        with self._threads():
            if self._file is not None:
                with self._file.locked():
                    yield
            elif self._home == os.getpid():
                yield
            else:
                raise PrivacyError(
                    "This ledger is kept in the memory of another process, and its copy here may not spend: both would "
                    "spend the same budget. Give the ledger a path, which processes share."
                )

    def _threads(self) -> threading.RLock:
        """Return the lock of this process: one that was held at a fork would stay held for ever."""
        if self._lock_process != os.getpid():
            self._lock, self._lock_process = threading.RLock(), os.getpid()
        return self._lock

    def _latest(self) -> tuple[Spend, ...]:
        """Return all entries as they are now; those of a file must continue the ones that were seen in it."""
        if self._file is None:
            return self._spends
        with self._threads():
            document = self._file.read()
            if document is not None:
                spends = self._parse(self._file.path, document)
                seen = self._spends
                if len(spends) < len(seen) or not all(map(Spend.becomes, seen, spends)):
                    raise PrivacyError(
                        f"{self._file.path} lacks entries that were in it before: {len(seen)} fits had spent "
                        f"{_text(*_total(seen))}. It was replaced, perhaps by an older copy. Restore the latest one."
                    )
                self._spends = spends
            return self._spends

    def _keep(self, spends: tuple[Spend, ...]) -> None:
        """Note `spends`, in the file first: what could not be written is not spent."""
        if self._file is not None:
            entries = [{**asdict(s), "epsilon": None if math.isinf(s.epsilon) else s.epsilon} for s in spends]
            self._file.write({"format": _FORMAT, "budget": asdict(self.budget), "spends": entries})
        self._spends = spends

    def _parse(self, path: Path, document: Any) -> tuple[Spend, ...]:
        budget, spends = _parsed(path, document)
        if budget != self.budget:
            raise PrivacyError(
                f"{path} keeps a budget of {_text(budget.epsilon, budget.delta)}, not "
                f"{_text(self.budget.epsilon, self.budget.delta)}. Open it with its own budget."
            )
        return spends

    @classmethod
    def open(cls, path: str | Path) -> Ledger:
        """Open an existing ledger file with the budget it states."""
        file = LedgerFile(path)
        document = file.read()
        if document is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return cls(_parsed(file.path, document)[0], path=path)

    def __copy__(self) -> Ledger:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Ledger:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_lock_process", "_home")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= {**state, "_home": _NOWHERE, "_lock": threading.RLock(), "_lock_process": os.getpid()}


def _checked(method: str, epsilon: float, delta: float) -> tuple[float, float]:
    """Refuse amounts below 0 and NaN, which would give budget back or compare as within any budget."""
    owner = f"Ledger.{method}"
    return check_real(owner, "epsilon", epsilon, low=0), check_real(owner, "delta", delta, low=0, high=1)


def _total(spends: tuple[Spend, ...]) -> tuple[float, float]:
    return sum(s.epsilon for s in spends), sum(s.delta for s in spends)


def _parsed(path: Path, document: Any) -> tuple[Budget, tuple[Spend, ...]]:
    """Read what `Ledger._keep` wrote; anything else is refused, never guessed at."""
    try:
        if document["format"] != _FORMAT:
            raise ValueError(f"its format is {document['format']!r}, and this version reads {_FORMAT}")
        stated = document["budget"]
        epsilon = None if stated["epsilon"] is None else _number(stated["epsilon"])
        return Budget(epsilon, _number(stated["delta"])), tuple(_spend(entry) for entry in document["spends"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise no_ledger(path, error) from error


def _spend(entry: dict[str, Any]) -> Spend:
    if not isinstance(entry["settled"], bool):
        raise ValueError(f"settled is {entry['settled']!r}")
    epsilon = math.inf if entry["epsilon"] is None else _number(entry["epsilon"])
    unit, name = str(entry.get("unit", ROW)), str(entry.get("id", ""))
    return Spend(str(entry["label"]), epsilon, _number(entry["delta"]), entry["settled"], unit, name)


def _number(value: Any) -> float:
    """Return a finite number >= 0: JSON can also hold 1e999, which would read as infinite, and True."""
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"{value!r} is no number from 0 up")
    return number


def _text(epsilon: float | None, delta: float) -> str:
    shown = "infinity" if epsilon is None or math.isinf(epsilon) else f"{epsilon:.4g}"
    return f"epsilon={shown}, delta={delta:.4g}"
