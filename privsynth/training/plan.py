"""How a fit's budget is allotted, before anything but the noisy row count is known.

Nothing here, nor in `training.shares`, may depend on a release other than the row count: that is what lets the
accountant add up fixed events (docs/privacy.md, adaptivity).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import norm

from privsynth._checks import parameter_error
from privsynth.errors import PrivsynthWarning
from privsynth.privacy.accountant import calibrate_noise_multiplier, exponential_eta, gdp_mu
from privsynth.privacy.budget import Budget
from privsynth.privacy.events import BoundedRange, Failure, Gaussian, PureDP, SubsampledGaussian
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.training.measure import CLASS_COLUMNS, CONDITION_PAIRS, PAIRS, SELECTION
from privsynth.training.partitions import PARTITIONS
from privsynth.training.shares import (
    ANSWERS,
    CHOICE,
    TRAINING,
    Request,
    gate,
    n_boxes_of,
    n_cells_of,
    pairs_of,
    shares_of,
)
from privsynth.transforms.discover import COARSE, FINE
from privsynth.transforms.encoder import LEVELS, MAX_CELLS, ONE_WAY, RARER, ROUNDS, VALUES
from privsynth.transforms.units import Persons

ROUNDING = "rounding of noise"
SIZE_SHARE = 0.02
ROUNDING_SHARE = 1e-4
VALUES_DELTA_SHARE = 0.1
DELTA = " (delta)"
MARGIN = 1e-5  # left unspent, so that another accountant's rounding stays below epsilon too
_WEAK = 0.05  # above this share of the rows, the noise of a 1-way count is worth a warning
_FEW_ROWS = 100.0  # what a table is taken to have at least: a smaller one is learned badly rather than refused
_HOPELESS = 2.0  # noise of a 1-way count, in tables: nothing is learned
_RELATIONS = {CLASS_COLUMNS, CONDITION_PAIRS, PAIRS}


@dataclass(frozen=True)
class Plan:
    """What was decided: which critics run, and how noisy the neural one is.

    ``noise_ratio`` is r = sqrt(P T) / (n mu_gan), the noise in a DP-SGD run relative to its signal.
    ``count_noise`` is the standard deviation of the noise in a 1-way count, ``level_threshold`` about how many
    rows an undeclared level needs to be seen, ``relations`` whether anything beyond 1-ways is measured,
    ``octaves`` how finely undeclared bounds are looked for, ``n_boxes`` how many boxes a partition has (0: none
    is measured), and ``n_cells`` how many cells a number has at most.
    """

    n_rows: int
    measured: bool
    neural: bool
    noise_ratio: float
    sampling_rate: float
    count_noise: float = 0.0
    level_threshold: float = 0.0
    relations: bool = True
    octaves: int = FINE
    n_boxes: int = 0
    n_cells: int = MAX_CELLS


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
    looks = [VALUES] * bool(request.discoveries[VALUES]) + [LEVELS, RARER] * bool(request.discoveries[RARER])
    failures.update({look + DELTA: budget.delta * VALUES_DELTA_SHARE / len(looks) for look in looks})
    mu = gdp_mu(epsilon, budget.delta - sum(failures.values()))
    rate = min(1.0, request.batch_size / n_rows)
    training_share, ratio = gate(request, mu / unit, n_rows)
    signal = mu / unit * n_rows if mechanisms.private else math.inf
    shares = shares_of(request, training_share, signal=signal)
    total = sum(shares.values())
    n_pairs, most = pairs_of(request, signal * math.sqrt(shares[PAIRS] / total) if PAIRS in shares else 0.0)
    if most >= n_pairs:
        total -= shares.pop(SELECTION, 0.0)
    mus = {label: mu * math.sqrt(share / total) for label, share in shares.items()}
    n_boxes = 0
    if PARTITIONS in mus:
        n_boxes = n_boxes_of(mus[PARTITIONS] / unit * n_rows if mechanisms.private else math.inf, n_rows)
    count_noise = unit * math.sqrt(request.n_columns) / mus[ONE_WAY]
    _refuse_hopeless(count_noise, n_rows, request.n_columns, budget, mechanisms)
    threshold = 0.0
    if looks:
        last = RARER if RARER in mus else VALUES
        n_open = request.discoveries[last]
        spread = unit * (1.0 if last == RARER else math.sqrt(n_open)) / mus[last]
        threshold = 0.5 + unit + spread * float(norm.isf(failures[last + DELTA] / (unit * n_open)))
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
    return Plan(
        n_rows,
        measured=request.critic != "neural",
        neural=spent_on_training is not None,
        noise_ratio=ratio,
        sampling_rate=rate,
        count_noise=count_noise if mechanisms.private else 0.0,
        level_threshold=threshold if mechanisms.private else 0.0,
        relations=spent_on_training is not None or request.n_columns <= 1 or bool(_RELATIONS & shares.keys()),
        octaves=FINE if ROUNDS[-1] in shares or not request.discoveries["leaves"] else COARSE,
        n_boxes=n_boxes,
        n_cells=n_cells_of(mus[PAIRS] / unit * n_rows, most) if PAIRS in mus and mechanisms.private else MAX_CELLS,
    )


def plan_answers(labels: Sequence[str], n_columns: int, budget: Budget, n_rows: int, mechanisms: Mechanisms) -> None:
    """Allot a fit's events where all queries are settled: the tables `labels`, and nothing to find out.

    Raises
    ------
    ParameterError
        When the budget is so small that even 1-way counts would drown in noise.
    """
    first = sum(c.event.epsilon for c in mechanisms.charges if isinstance(c.event, PureDP))
    rounding = budget.delta * ROUNDING_SHARE
    mu = gdp_mu((budget.epsilon or 1.0) * (1 - MARGIN) - first, budget.delta - rounding)
    shares = {label: ANSWERS[label] for label in labels}
    mus = {label: mu * math.sqrt(share / sum(shares.values())) for label, share in shares.items()}
    count_noise = mechanisms.unit.rows * math.sqrt(n_columns) / mus[ONE_WAY]
    _refuse_hopeless(count_noise, n_rows, n_columns, budget, mechanisms)
    mechanisms.allot(ROUNDING, Failure(rounding))
    for label, share in mus.items():
        mechanisms.allot(label, Gaussian(share))


def _refuse_hopeless(count_noise: float, n_rows: int, n_columns: int, budget: Budget, mechanisms: Mechanisms) -> None:
    blur = max((charge.scale for charge in mechanisms.charges), default=0.0)
    surely = n_rows - 4 * blur  # the count's own noise exceeds this in 1 of 100 fits
    if mechanisms.private and count_noise > max(surely, _FEW_ROWS * mechanisms.unit.rows) * _HOPELESS:
        raise parameter_error(
            "CTGAN",
            "epsilon",
            f"large enough for about {n_rows} rows and {n_columns} columns (the noise of a count would be "
            f"{count_noise:.0f} rows)",
            budget.epsilon,
            "Raise epsilon, learn fewer columns, or gather more rows. Only the row count was read and paid for.",
        )


def compare_delta(budget: Budget, n_rows: int, persons: Persons | None) -> None:
    """Warn where delta allows to publish somebody in full, by the released number of rows or persons."""
    n_units, unit = (n_rows, "row") if persons is None else (persons.number, "person")
    if budget.is_private and budget.delta > 1 / n_units:
        warnings.warn(
            f"delta={budget.delta:.2g} is above 1/{unit}s (about {1 / n_units:.2g}): it would allow to publish "
            f"a {unit}. Use a smaller delta.",
            PrivsynthWarning,
            stacklevel=6,
        )


def weakness(plan: Plan, request: Request, budget: Budget, *, unit: int = 1) -> str:
    """Say with numbers why a fit can learn little and what to do, or nothing where it can learn.

    It depends on public facts and the released row count, and is said before anything else is read.
    """
    share = plan.count_noise / plan.n_rows
    if budget.epsilon is None or (share <= _WEAK and plan.relations):
        return ""
    facts = [f"every count gets noise of about {plan.count_noise:.0f} rows ({share:.0%} of the table)"]
    if request.discoveries[VALUES] + request.discoveries[RARER]:
        facts.append(f"undeclared levels show only above about {plan.level_threshold:.0f} rows")
    if not plan.relations:
        facts.append("relations between columns are not learned at all")
    mu = gdp_mu(budget.epsilon, budget.delta) / unit
    needed = mu * plan.n_rows
    while not _is_enough(request, needed):
        needed *= 1.05
    epsilon = budget.epsilon
    while gdp_mu(epsilon, budget.delta) / unit < 1.1 * needed / plan.n_rows:
        epsilon *= 1.05
    return (
        f"About {plan.n_rows} rows and {request.n_columns} columns carry little signal at epsilon={budget.epsilon:g}: "
        f"{'; '.join(facts)}. Raise epsilon to about {epsilon:.2g}, gather about {1.1 * needed / mu:.0f} rows, learn "
        "fewer columns, or declare what is public (levels, bounds) in a Schema."
    )


def _is_enough(request: Request, signal: float) -> bool:
    """Whether a table of that `signal` (mu times rows) would be learned without a warning."""
    shares = shares_of(request, 0.0, signal=signal)
    noise = math.sqrt(request.n_columns * sum(shares.values()) / shares[ONE_WAY]) / signal
    relations = request.n_columns <= 1 or request.critic == "neural" or bool(_RELATIONS & shares.keys())
    return noise <= _WEAK and relations
