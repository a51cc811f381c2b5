"""One object spends: the budget of a table, shared by all fits on it, kept on disk when asked.

A fit reserves its (epsilon, delta) *before* it reads anything and settles afterwards.  What was
reserved and never settled (a crash, a power cut) stays spent in full.  Fits add up by basic
composition of their certificates: that is valid even when the parameters of a later fit were chosen
after looking at an earlier one (Rogers, Roth, Ullman, Vadhan 2016), which tighter rules are not
without a privacy filter.  *Within* a fit the accountant composes all mechanisms tightly.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from privsynth._checks import check_real
from privsynth.errors import BudgetExceeded, PrivacyError, PrivsynthWarning
from privsynth.privacy.budget import Budget
from privsynth.privacy.unit import ROW

_FORMAT = 1


@dataclass(frozen=True)
class Spend:
    """One fit's entry: what it may cost, and whether it has ended.

    ``epsilon`` is infinite for a non-private fit. ``unit`` is whose adding or removing it is about: only fits
    of one unit add up.
    """

    label: str
    epsilon: float
    delta: float
    settled: bool = False
    unit: str = ROW


class Ledger:
    """The privacy budget of one table and everything spent from it.

    Parameters
    ----------
    budget : Budget
        The total for the table, over all fits that share this ledger.
    path : str or Path, optional
        A JSON file to keep it in. It is created at the first reservation, replaced atomically and
        locked while it is written; an existing file is continued, if its budget is the same.

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
        self.path = None if path is None else Path(path)
        self._spends: list[Spend] = []
        if self.path is not None and self.path.exists():
            self._spends = self._read()

    @property
    def spends(self) -> tuple[Spend, ...]:
        """Everything reserved or settled so far, oldest first."""
        if self.path is not None and self.path.exists():
            self._spends = self._read()
        return tuple(self._spends)

    @property
    def spent(self) -> tuple[float, float]:
        """The (epsilon, delta) reserved or settled so far."""
        spends = self.spends
        return sum(s.epsilon for s in spends), sum(s.delta for s in spends)

    @property
    def remaining(self) -> Budget:
        """What later fits may still spend; raises `BudgetExceeded` when nothing is left."""
        epsilon, delta = self.spent
        if not self.budget.is_private:
            return self.budget
        left = self.budget.epsilon or 0.0
        if epsilon >= left or delta >= self.budget.delta:
            raise BudgetExceeded(
                f"Nothing is left of the ledger's {_text(left, self.budget.delta)}: "
                f"{len(self._spends)} fits spent {_text(epsilon, delta)}. Raise the budget of the ledger."
            )
        return self.budget.minus(epsilon, delta)

    def reserve(self, label: str, *, epsilon: float, delta: float, unit: str = ROW) -> int:
        """Set (epsilon, delta) aside before anything is read; return the entry's number.

        Warns where earlier entries are about another `unit`: their sum is no guarantee for either.

        Raises
        ------
        BudgetExceeded
            When less is left; nothing is then written.
        """
        epsilon, delta = _checked("reserve", epsilon, delta)
        with self._locked():
            spent_epsilon, spent_delta = self.spent
            if self.budget.is_private:
                total = self.budget.epsilon or 0.0
                slack = 1 + 1e-12
                if spent_epsilon + epsilon > total * slack or spent_delta + delta > self.budget.delta * slack:
                    left = (max(0.0, total - spent_epsilon), max(0.0, self.budget.delta - spent_delta))
                    raise BudgetExceeded(
                        f"{label} asks for {_text(epsilon, delta)}, but of the ledger's "
                        f"{_text(total, self.budget.delta)} only {_text(*left)} is left. "
                        "Lower the epsilon of the fit, or raise the budget of the ledger."
                    )
            others = sorted({spend.unit for spend in self._spends} - {unit})
            self._spends.append(Spend(label, epsilon, delta, unit=unit))
            self._write()
            number = len(self._spends) - 1
        if others:
            warnings.warn(
                f"{label} protects one {unit}, and this ledger holds fits that protect one {', one '.join(others)}. "
                "Their epsilons add up to no guarantee for either: name one privacy_unit in all fits on a table.",
                PrivsynthWarning,
                stacklevel=3,
            )
        return number

    def settle(self, number: int, *, epsilon: float, delta: float) -> None:
        """Close entry `number` at what it cost, never more than was reserved."""
        epsilon, delta = _checked("settle", epsilon, delta)
        with self._locked():
            spend = self.spends[number]
            if spend.settled or epsilon > spend.epsilon * (1 + 1e-9) or delta > spend.delta * (1 + 1e-9):
                raise PrivacyError(
                    f"Entry {number} ({spend.label}) reserved {_text(spend.epsilon, spend.delta)} and cannot "
                    f"be settled at {_text(epsilon, delta)}."
                )
            self._spends[number] = replace(
                spend, epsilon=min(epsilon, spend.epsilon), delta=min(delta, spend.delta), settled=True
            )
            self._write()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self.path is None:
            yield
            return
        with FileLock(str(self.path) + ".lock"):
            yield

    def _read(self) -> list[Spend]:
        assert self.path is not None
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            if data["format"] != _FORMAT:
                raise ValueError(f"its format is {data['format']!r}, and this version reads {_FORMAT}")
            budget = Budget(data["budget"]["epsilon"], data["budget"]["delta"])
            spends = [_spend(entry) for entry in data["spends"]]
        except (ValueError, KeyError, TypeError) as error:
            raise PrivacyError(
                f"{self.path} is no privsynth ledger ({error}). Restore it from a copy: "
                "starting a new one would forget what was spent."
            ) from error
        if budget != self.budget:
            raise PrivacyError(
                f"{self.path} keeps a budget of {_text(budget.epsilon, budget.delta)}, not "
                f"{_text(self.budget.epsilon, self.budget.delta)}. Open it with its own budget."
            )
        return spends

    def _write(self) -> None:
        if self.path is None:
            return
        entries = [{**asdict(s), "epsilon": None if math.isinf(s.epsilon) else s.epsilon} for s in self._spends]
        data = {"format": _FORMAT, "budget": asdict(self.budget), "spends": entries}
        _write_atomically(self.path, json.dumps(data, indent=1))

    @classmethod
    def open(cls, path: str | Path) -> Ledger:
        """Open an existing ledger file with the budget it states."""
        try:
            stated = json.loads(Path(path).read_text(encoding="utf-8"))["budget"]
            budget = Budget(stated["epsilon"], stated["delta"])
        except (ValueError, KeyError, TypeError) as error:
            raise PrivacyError(f"{path} is no privsynth ledger ({error}). Restore it from a copy.") from error
        return cls(budget, path=path)


def _checked(method: str, epsilon: float, delta: float) -> tuple[float, float]:
    """Refuse amounts below 0 and NaN, which would give budget back or compare as within any budget."""
    owner = f"Ledger.{method}"
    return check_real(owner, "epsilon", epsilon, low=0), check_real(owner, "delta", delta, low=0, high=1)


def _spend(entry: dict[str, Any]) -> Spend:
    epsilon = math.inf if entry["epsilon"] is None else float(entry["epsilon"])
    delta = float(entry["delta"])
    if not (epsilon >= 0 and delta >= 0):
        raise ValueError("negative spend")
    return Spend(str(entry["label"]), epsilon, delta, bool(entry["settled"]), str(entry.get("unit", ROW)))


def _text(epsilon: float | None, delta: float) -> str:
    shown = "infinity" if epsilon is None or math.isinf(epsilon) else f"{epsilon:.4g}"
    return f"epsilon={shown}, delta={delta:.4g}"


def _write_atomically(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():  # what a group shares stays shared
            os.chmod(name, stat.S_IMODE(path.stat().st_mode))
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
