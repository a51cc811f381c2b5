r"""How a total comes about, part by part: what it takes to follow a certificate's sum with a pencil.

The total is ``epsilon = sum of pure epsilons + epsilon_rest(delta - sum of failures)``, where the rest is one
Gaussian of ``mu = sqrt(sum mu_i^2)``, composed with the DP-SGD steps if there are any (docs/privacy.md, composition).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from privsynth.privacy.accountant import exponential_mu, gdp_delta, total_delta, total_mu
from privsynth.privacy.events import BoundedRange, Event, Failure, Gaussian, PureDP, SubsampledGaussian
from privsynth.privacy.mechanisms import Charge

UNUSED = " (unused)"
_READ = {
    "rows per person": "how many persons have 1, 2, 3–4, 5–8, … rows",
    "size": "the number of rows",
    "forms of values": "forms of text, decimals, steps of times, distinct values of text columns",
    "bounds": "which powers of two the values of numeric columns reach",
    "levels and atoms": "frequent levels of categories, frequent values of numbers",
    "levels and atoms (delta)": "nothing: the probability that a value of one unit alone is released after all",
    "levels": "frequent levels of categories",
    "levels (delta)": "nothing: the probability that a level of one unit alone is released after all",
    "rarer levels": "levels of categories without a name so far, each row shared out among those it has",
    "rarer levels (delta)": "nothing: the probability that a level of one unit alone is released after all",
    "1-way counts": "rows in each cell of each column",
    "columns by class": "rows in each cell of each column, by class of the target",
    "condition pairs": "rows in pairs of cells that include a condition column",
    "selection of pairs": "which pairs of columns are furthest from independence",
    "pairs by class": "rows in pairs of cells, by class of the target, each pair with its multiple of the noise",
    "partitions by class": "rows in the boxes of partitions of all columns, by class of the target",
    "DP-SGD": "clipped gradients of the discriminator on sampled rows",
    "final choice": "which of the trained generators is nearest to the rows",
    "rounding of noise": "nothing: how far discrete noise is from continuous noise",
}


def what_was_read(label: str) -> str:
    """Return in words what a charge with this label read; empty for labels of no known mechanism.

    >>> what_was_read("leaves, round 2")
    'rows in intervals of numeric columns'
    """
    label = label.removesuffix(UNUSED)
    return "rows in intervals of numeric columns" if label.startswith("leaves, round ") else _READ.get(label, "")


def mechanism_in_words(charge: Charge, *, private: bool = True) -> str:
    """Return what was done to the exact values of a charge.

    >>> mechanism_in_words(Charge("size", PureDP(0.1), 1.0, 10.0, 1))
    'discrete Laplace noise'
    """
    event = charge.event
    if charge.label.endswith(UNUSED):
        return "set aside, not used, counted in full"
    if isinstance(event, Failure):
        return "probability outside the guarantee, taken off delta"
    if not private:
        return "NONE: exact values"
    if isinstance(event, PureDP):
        return "discrete Laplace noise"
    if isinstance(event, Gaussian):
        return "discrete Gaussian noise"
    if isinstance(event, BoundedRange):
        return "exponential mechanism (Gumbel noise on scores)" + (f", {event.count} picks" if event.count != 1 else "")
    return "DP-SGD: Gaussian noise on sums of clipped gradients" if isinstance(event, SubsampledGaussian) else "NONE"


def cost_of(event: Event) -> dict[str, float]:
    """Return what an event adds to the total, in the measure that it is added up in.

    ``{"epsilon": …}``, ``{"mu": …}`` or ``{"delta": …}``; empty for DP-SGD, whose cost has no number of its own.
    """
    if isinstance(event, PureDP):
        return {"epsilon": event.epsilon}
    if isinstance(event, Failure):
        return {"delta": event.delta}
    if isinstance(event, Gaussian):
        return {"mu": event.mu}
    if isinstance(event, BoundedRange):
        return {"mu": math.sqrt(event.count) * exponential_mu(event.eta)}
    return {}


def share_of(event: Event, mu: float) -> float | None:
    """Return an event's share of the square of the total `mu`; None where it is added up otherwise."""
    cost = cost_of(event)
    return (cost["mu"] / mu) ** 2 if "mu" in cost and mu > 0 else None


def compose(charges: Sequence[Charge], *, epsilon: float, delta: float) -> dict[str, Any]:
    """Return the parts of a stated total as a JSON-able dict; what is infinite is None.

    Parameters
    ----------
    charges : sequence of Charge
        Everything that was charged.
    epsilon, delta : float
        The total that they were found to cost.
    """
    events = [charge.event for charge in charges]
    pure: list[dict[str, Any]] = [
        {"label": c.label, "epsilon": c.event.epsilon} for c in charges if isinstance(c.event, PureDP)
    ]
    failures = [{"label": c.label, "delta": c.event.delta} for c in charges if isinstance(c.event, Failure)]
    steps = [event for event in events if isinstance(event, SubsampledGaussian)]
    rest_epsilon = epsilon - sum(part["epsilon"] for part in pure)
    mu = total_mu(events)
    closed = not steps and mu > 0 and math.isfinite(rest_epsilon)
    return {
        "epsilon_added": pure,
        "delta_taken_off": failures,
        "delta_rest": delta - total_delta(events),
        "mu_rest": mu,
        "epsilon_rest": rest_epsilon if math.isfinite(rest_epsilon) else None,
        "delta_of_epsilon_rest": gdp_delta(max(0.0, rest_epsilon), mu) if closed else None,
        "dp_sgd": [
            {"noise_multiplier": s.noise_multiplier, "sampling_rate": s.sampling_rate, "steps": s.steps} for s in steps
        ],
    }
