"""What an audit found: lower bounds beside the claims, and beside what the audit could have found at all.

An audit attacks the implementation and counts how well it does. It can refute a claim. It cannot confirm one: a
lower bound below the claim is what correct code gives, and also what a fault gives that the attack does not touch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Progress = Callable[[str, int, int, dict[str, float]], None]


def no_progress(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Bound:
    """A lower bound on a privacy parameter, beside what is claimed of it.

    Parameters
    ----------
    quantity : str
        Such as "epsilon at delta=1e-05".
    claim : float
        The upper bound that the accountant states.
    lower : float
        What the audit refutes: the parameter is not smaller, but for one audit in 1 / (1 - confidence).
    expected : float
        The median that this audit finds of an implementation that is exactly as claimed: its power. A fault that
        leaves the parameter below the claim goes unseen, as does one that lifts it by less than claim / expected.
    reach : float
        What a perfect attack proves at this number of guesses or runs.
    evidence : dict of str to number
        The counts that the bound was computed from, and settings fixed before.
    """

    quantity: str
    claim: float
    lower: float
    expected: float
    reach: float
    evidence: dict[str, float]

    @property
    def is_exceeded(self) -> bool:
        """Whether the claim is refuted."""
        return self.lower > self.claim

    @property
    def is_vacuous(self) -> bool:
        """Whether even a perfect attack could not have refuted the claim."""
        return self.reach <= self.claim

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "quantity": self.quantity,
            "claim": self.claim,
            "lower_bound": self.lower,
            "expected_lower_bound": self.expected,
            "greatest_lower_bound": self.reach,
            "exceeded": self.is_exceeded,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True)
class Audit:
    """One attack and its bounds.

    Parameters
    ----------
    name : str
        What was attacked, and how.
    bounds : tuple of Bound
    facts : dict of str to number
        Settings and counts.
    seconds : float
        What it took.
    """

    name: str
    bounds: tuple[Bound, ...]
    facts: dict[str, float]
    seconds: float

    @property
    def is_exceeded(self) -> bool:
        """Whether some claim is refuted."""
        return any(bound.is_exceeded for bound in self.bounds)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        bounds = [bound.to_dict() for bound in self.bounds]
        return {"name": self.name, "bounds": bounds, "facts": dict(self.facts), "seconds": self.seconds}

    def __str__(self) -> str:
        """Return the audit as plain text."""
        lines = [f"{self.name} ({self.seconds:.1f} s)", f"  {_figures(self.facts)}"]
        lines.append(f"  {'':<26}{'claim':>9}{'lower bound':>13}{'right code gives':>18}   evidence")
        for bound in self.bounds:
            figures = f"{bound.claim:>9.4g}{bound.lower:>13.4g}{bound.expected:>18.4g}"
            lines.append(f"  {bound.quantity:<26}{figures}   {_figures(bound.evidence)}")
            if bound.is_exceeded:
                lines.append("  ^ THE LOWER BOUND EXCEEDS THE CLAIM")
            elif bound.is_vacuous:
                lines.append(f"  ^ a perfect attack would have proved {bound.reach:.3g} at these sizes: take more")
        return "\n".join(lines)


def _figures(named: dict[str, float]) -> str:
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.3g}" for name, value in named.items()
    )


_MEANS = """A lower bound is what the attack proved: the parameter is not smaller than that, at the confidence stated.
It is not the epsilon of the mechanism or of any model, which may lie anywhere above it; only the proof in
docs/privacy.md bounds it from above. "Right code gives" is what this audit finds, in the median, where the code does
exactly what is claimed: a fault that costs less than the gap from there to the claim cannot be seen. An audit looks
at the mechanisms it attacks, with the inputs it gives them, on this machine; it says nothing about other leaks."""


@dataclass(frozen=True)
class AuditReport:
    """All audits of one command, as text or JSON.

    Parameters
    ----------
    audits : tuple of Audit
    confidence : float
        Of each bound by itself.
    statement : str
        The certificate's statement, where a model was given.
    notes : tuple of str
        What the audits stand for, and what was left out.
    """

    audits: tuple[Audit, ...]
    confidence: float
    statement: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def is_exceeded(self) -> bool:
        """Whether some claim is refuted."""
        return any(audit.is_exceeded for audit in self.audits)

    @property
    def verdict(self) -> str:
        """What came of it, in a sentence."""
        bounds = [bound for audit in self.audits for bound in audit.bounds]
        n_bounds, n_vacuous = len(bounds), sum(bound.is_vacuous for bound in bounds)
        if not self.is_exceeded:
            idle = f"; {n_vacuous} could not have, raise --runs and --canaries" if n_vacuous else ""
            return f"No lower bound exceeds its claim ({n_bounds} bounds{idle})."
        return (
            "A LOWER BOUND EXCEEDS ITS CLAIM: the implementation leaks more than it states, or chance did this (at "
            f"most one audit in {1 / (1 - self.confidence):.0f} for each of {n_bounds} bounds). Run it again with "
            "another --random-state and more runs and canaries. If it stays, do not release models: report it."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "confidence": self.confidence,
            "exceeded": self.is_exceeded,
            "verdict": self.verdict,
            "certificate": self.statement or None,
            "audits": [audit.to_dict() for audit in self.audits],
            "notes": list(self.notes),
            "meaning": " ".join(_MEANS.split()),
        }

    def __str__(self) -> str:
        """Return the report as plain text, a page long."""
        parts = [f"Audit: lower bounds at {self.confidence:.6g} confidence each, beside the claims."]
        if self.statement:
            parts.append(f"The model's certificate: {self.statement}")
        if self.notes:
            parts.append("\n".join(self.notes))
        parts += [*map(str, self.audits), _MEANS, self.verdict]
        return "\n\n".join(parts)
