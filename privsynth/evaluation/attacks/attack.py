"""What an attack found: its rate on rows that were learned, beside guessing and beside rows that were not.

Three rates, after Giomi et al. (2023, "A unified framework for quantifying privacy risk in synthetic data"):

- *attack*: how often it succeeds against rows of the real table;
- *control*: how often the same attack succeeds against rows of the holdout. What it gets there it has learned about
  the population, as from any good statistic; only what the attack gets beyond is about the rows that were learned;
- *baseline*: how often guessing without the synthetic table succeeds. An attack that is no better is too weak to tell.

The verdict compares attack with control by Fisher's exact test: "bad" is wrong at most once in a thousand times where
real table and holdout are draws from the same population.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from privsynth.evaluation.intervals import Rate, chance_of_excess
from privsynth.evaluation.score import Block, Level, Score

_BAD, _WATCH, _WEAK = 0.001, 0.01, 0.05
_RULE = (
    f"Bad: the attack beats the control so clearly that chance does it less than once in {1 / _BAD:.0f} times; "
    f"watch: less than once in {1 / _WATCH:.0f}; good otherwise (Fisher's exact test)."
)
_TOO_WEAK = "The attack does not beat guessing: a good result says little."


@dataclasses.dataclass(frozen=True)
class Attack:
    """Rates of one attack.

    Parameters
    ----------
    name : str
    attack, control, baseline : Rate
    meaning, worry : str
    more : tuple of Score
        Further figures.
    notes : tuple of str
    control_is_guessing : bool
        Whether an attack that leaks nothing is no better than guessing, as for membership: then it is not too weak.
    is_judged : bool
        Whether there is a verdict: not where the holdout is of another population.
    """

    name: str
    attack: Rate
    control: Rate
    baseline: Rate
    meaning: str
    worry: str
    more: tuple[Score, ...] = ()
    notes: tuple[str, ...] = ()
    control_is_guessing: bool = False
    is_judged: bool = True

    @property
    def p_value(self) -> float:
        """How often chance makes the attack exceed the control by so much."""
        return chance_of_excess(self.attack, self.control)

    @property
    def level(self) -> Level | None:
        """The verdict; None without trials, or without a control to go by."""
        if not self.attack.trials or not self.control.trials or not self.is_judged:
            return None
        return "bad" if self.p_value < _BAD else "watch" if self.p_value < _WATCH else "good"

    @property
    def risk(self) -> float | None:
        """What the attack gets of what the control leaves to get: (attack - control) / (1 - control), at least 0."""
        attack, control = self.attack.value, self.control.value
        if attack is None or control is None:
            return None
        return max(0.0, (attack - control) / (1 - control)) if control < 1 else 0.0

    def score(self) -> Score:
        """Return the attack's rate, with the control as its reference."""
        low, high = self.attack.interval
        return Score(
            self.name,
            self.attack.value,
            self.control.value,
            "lower",
            note=f"Reference: the same attack on the holdout. {self.attack.trials} trials.",
            meaning=self.meaning,
            low=low,
            high=high,
            worry=self.worry,
            section="privacy",
            level=self.level,
            rule=_RULE if self.level else "",
        )

    def block(self) -> Block:
        """Return the three rates, drawn with their intervals."""
        rates = {"attack": self.attack, "control": self.control, "baseline": self.baseline}
        bars: list[dict[str, Any]] = [
            {"name": name, "value": rate.value, "low": rate.interval[0], "high": rate.interval[1]}
            for name, rate in rates.items()
        ]
        return Block(
            self.name,
            self.meaning,
            self.worry,
            (self.score(), self._side("control", self.control), self._side("baseline", self.baseline), *self._rest()),
            chart={"kind": "interval", "bars": bars, "range": [0.0, 1.0]},
            notes=(*self.notes, *([_TOO_WEAK] if self._is_weak() else [])),
        )

    def _rest(self) -> tuple[Score, ...]:
        return self._risk_score(), *self.more

    def _is_weak(self) -> bool:
        if self.control_is_guessing or not self.attack.trials:
            return False
        return chance_of_excess(self.attack, self.baseline) > _WEAK

    def _side(self, name: str, rate: Rate) -> Score:
        what = {
            "control": "The same attack on rows of the holdout, which were not learned.",
            "baseline": "Guessing without looking at the synthetic table.",
        }
        worry = {
            "control": "Worry when the attack's interval lies above it.",
            "baseline": "Worry about the attack, not the table, when it is no better than this.",
        }
        low, high = rate.interval
        return Score(
            f"{self.name}: {name}",
            rate.value,
            better="lower",
            meaning=what[name],
            low=low,
            high=high,
            worry=worry[name],
            section="privacy",
        )

    def _risk_score(self) -> Score:
        # Both intervals at their far ends: wider than 95 %, and simple.
        low, high = (
            max(0.0, (attack - control) / (1 - control)) if control < 1 else 0.0
            for attack, control in zip(self.attack.interval, self.control.interval[::-1], strict=True)
        )
        return Score(
            f"{self.name}: excess risk",
            self.risk,
            0.0,
            "lower",
            meaning="(attack - control) / (1 - control): the share of what the control misses that the attack gets.",
            low=low if self.risk is not None else None,
            high=high if self.risk is not None else None,
            worry="Worry when it is clearly above 0 and the attack is judged bad.",
            section="privacy",
        )
