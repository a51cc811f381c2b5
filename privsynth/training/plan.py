"""How a fit's budget is shared out, before anything but the noisy row count is known.

Shares are of mu^2, the budget of Gaussian DP that adds up.  Nothing here may depend on a release other than
the row count: that is what lets the accountant add up fixed events (docs/privacy.md, adaptivity).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from privsynth._checks import parameter_error
from privsynth.privacy.accountant import calibrate_noise_multiplier, exponential_eta, gdp_mu
from privsynth.privacy.budget import Budget
from privsynth.privacy.events import BoundedRange, Failure, Gaussian, PureDP, SubsampledGaussian
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.training.measure import CLASS_COLUMNS, CONDITION_PAIRS, PAIRS, SELECTION
from privsynth.transforms.encoder import BOUNDS, MAX_CELLS, ONE_WAY, ROUNDS, VALUES

TRAINING, CHOICE, ROUNDING = "DP-SGD", "final choice", "rounding of noise"
SIZE_SHARE = 0.02
ROUNDING_SHARE = 1e-4
VALUES_DELTA_SHARE = 0.1
MARGIN = 1e-5  # left unspent, so that another accountant's rounding stays below epsilon too
_GATES = ((0.02, 50.0), (0.05, 25.0))


@dataclass(frozen=True)
class Request:
    """What a fit wants to do, from public things only.

    Parameters
    ----------
    discoveries : dict
        Columns a discovery (`privsynth.transforms.encoder.needs`).
    n_columns : int
        Modelled columns.
    n_conditions : int
        Condition columns beside the one that splits.
    split : bool
        Whether a column is set to split the pairs.
    critic : str
        "auto", "measured", "neural" or "both".
    batch_size, discriminator_steps : int
        Expected Poisson batch and number of DP-SGD steps.
    discriminator_dim : tuple of int
        Hidden widths of the discriminator.
    """

    discoveries: dict[str, int]
    n_columns: int
    n_conditions: int
    split: bool
    critic: str
    batch_size: int
    discriminator_steps: int
    discriminator_dim: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What was decided: which critics run, and how noisy the neural one is.

    ``noise_ratio`` is r = sqrt(P T) / (n mu_gan), the noise in a DP-SGD run relative to its signal.
    """

    n_rows: int
    measured: bool
    neural: bool
    noise_ratio: float
    sampling_rate: float


def make_plan(request: Request, budget: Budget, n_rows: int, mechanisms: Mechanisms) -> Plan:
    """Allot an event to every mechanism that will run.

    Parameters
    ----------
    request : Request
        Public facts of the fit.
    budget : Budget
        The fit's own total, the row count included.
    n_rows : int
        The released row count.
    mechanisms : Mechanisms
        Where events are allotted; its charges for the row count and the rows per person are counted in. Where a
        person has up to m rows, all noise is m times as large beside the rows.

    Raises
    ------
    ParameterError
        When the budget is so small that even 1-way counts would drown in noise.
    """
    unit = mechanisms.unit.rows
    first = sum(c.event.epsilon for c in mechanisms.charges if isinstance(c.event, PureDP))
    epsilon = (budget.epsilon or 1.0) * (1 - MARGIN) - first
    failures = {ROUNDING: budget.delta * ROUNDING_SHARE}
    if request.discoveries[VALUES]:
        failures[VALUES + " (delta)"] = budget.delta * VALUES_DELTA_SHARE
    mu = gdp_mu(epsilon, budget.delta - sum(failures.values()))
    rate = min(1.0, request.batch_size / n_rows)
    training_share, ratio = _gate(request, mu / unit, n_rows)
    shares = _shares(request, training_share)
    total = sum(shares.values())
    n_pairs, most = _pairs(request, mu / unit * math.sqrt(shares.get(PAIRS, 0.0) / total), n_rows)
    if most >= n_pairs:
        total -= shares.pop(SELECTION, 0.0)
    mus = {label: mu * math.sqrt(share / total) for label, share in shares.items()}
    blur = max((charge.scale for charge in mechanisms.charges), default=0.0)
    surely = n_rows - 4 * blur  # the count's own noise exceeds this in 1 of 100 fits
    noise = unit * math.sqrt(request.n_columns) / mus[ONE_WAY]
    if mechanisms.private and noise > surely / 4:
        raise parameter_error(
            "CTGAN",
            "epsilon",
            f"large enough for about {n_rows} rows and {request.n_columns} columns (the noise of a count would be "
            f"{noise:.0f} rows)",
            budget.epsilon,
            "Raise epsilon, learn fewer columns, or gather more rows. Only the row count was read and paid for.",
        )
    for label, delta in failures.items():
        mechanisms.allot(label, Failure(delta))
    spent_on_training = mus.pop(TRAINING, None)
    for label, share in mus.items():
        if label == SELECTION:
            mechanisms.allot(label, BoundedRange(exponential_eta(share / math.sqrt(most)), most))
        elif label == CHOICE:
            mechanisms.allot(label, BoundedRange(exponential_eta(share), 1))
        else:
            mechanisms.allot(label, Gaussian(share))
    if spent_on_training is not None:
        events = [*(c.event for c in mechanisms.charges), *mechanisms.allotted]
        sigma = 0.0
        if mechanisms.private:
            sigma = calibrate_noise_multiplier(
                events,
                sampling_rate=rate,
                steps=request.discriminator_steps,
                epsilon=budget.epsilon or math.inf,
                delta=budget.delta,
            )
        mechanisms.allot(TRAINING, SubsampledGaussian(sigma, rate, request.discriminator_steps))
    return Plan(n_rows, request.critic != "neural", spent_on_training is not None, ratio, rate)


def _gate(request: Request, mu: float, n_rows: int) -> tuple[float, float]:
    """Return the share of DP-SGD and the noise ratio r that decided it (docs/method.md)."""
    widths = (request.n_columns * MAX_CELLS, *request.discriminator_dim, 1)
    parameters = sum((a + 1) * b for a, b in itertools.pairwise(widths))
    signal = n_rows * mu * math.sqrt(0.25)
    ratio = math.sqrt(parameters * request.discriminator_steps) / signal
    if request.critic == "measured":
        return 0.0, ratio
    if request.critic == "neural":
        return 300.0, ratio
    for limit, share in _GATES:
        if ratio < limit:
            return share, ratio
    return (10.0 if request.critic == "both" else 0.0), ratio


def _shares(request: Request, training: float) -> dict[str, float]:
    """Return shares of mu^2 by label; they need not sum to anything."""
    asked = request.discoveries
    shares = {ONE_WAY: 10.0}
    if asked[BOUNDS]:
        shares[BOUNDS] = 3.0
    if asked[VALUES]:
        shares[VALUES] = 5.0
    if asked["leaves"]:
        shares.update({label: 3.5 / len(ROUNDS) for label in ROUNDS})
    if request.critic != "neural":
        if request.n_columns > 1 and request.split:
            shares[CLASS_COLUMNS] = 20.0
        if request.n_conditions and request.n_columns > 2:
            shares[CONDITION_PAIRS] = 10.0
        if request.n_columns > 1 + request.split:
            shares[PAIRS] = 50.0
            shares[SELECTION] = 6.0
    if training:
        shares[TRAINING] = training
        shares[CHOICE] = 1.0
    if request.critic == "neural":
        shares.pop(CHOICE)
    return shares


def _pairs(request: Request, mu: float, n_rows: int) -> tuple[int, int]:
    """Return how many pairs there are and how many the budget carries: noise <= 1% of the rows a cell."""
    columns = request.n_columns - request.split
    n_pairs = columns * (columns - 1) // 2
    carried = int((mu * n_rows / 100) ** 2)
    return n_pairs, min(n_pairs, max(columns, carried))
