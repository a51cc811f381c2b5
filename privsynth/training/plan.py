"""How a fit's budget is shared out, before anything but the noisy row count is known.

Shares are of mu^2, the budget of Gaussian DP that adds up.  Nothing here may depend on a release other than
the row count: that is what lets the accountant add up fixed events (docs/privacy.md, adaptivity).
"""

from __future__ import annotations

import itertools
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
from privsynth.training.partitions import MOST_BOXES, N_PARTITIONS, PARTITIONS
from privsynth.transforms.discover import COARSE, FINE
from privsynth.transforms.encoder import BOUNDS, LEVELS, MAX_CELLS, ONE_WAY, RARER, ROUNDS, VALUES
from privsynth.transforms.inspection import INSPECTION
from privsynth.transforms.units import Persons

TRAINING, CHOICE, ROUNDING = "DP-SGD", "final choice", "rounding of noise"
SIZE_SHARE = 0.02
ROUNDING_SHARE = 1e-4
VALUES_DELTA_SHARE = 0.1
DELTA = " (delta)"
MARGIN = 1e-5  # left unspent, so that another accountant's rounding stays below epsilon too
_GATES = ((0.02, 50.0), (0.05, 25.0))  # DP-SGD's share below a noise ratio, where both critics are asked for
_LEAST_TRAINING = 10.0  # its share above
_CLEAR = 1 / 40  # what discoveries strive for: noise of a count as a share of the rows
_MOST_SHARE = 0.25  # of a discovery in a small table
_SECOND_LOOK = 2 / 3  # of what the two looks at levels get together (benchmarks/ablation_looks.py)
_CLEAR_LEAF = 1 / 200  # what leaves strive for likewise, and the most that all their rounds get for it
_MOST_LEAVES = 0.1  # (benchmarks/ablation_leaves.py)
_SMALL = 0.01  # of the budget: what one release of all columns would need to be as clear as that
_DROWNED = 1 / 20  # tables of two columns with more noise than this share of the rows a cell are left out
_ROWS_A_BOX = 22.0  # of a partition on average, in standard deviations of a count's noise
_FEW_BOXES = 20  # fewer say too little for their share (benchmarks/ablation_partitions.py)
_ROWS_A_CELL = 7.0  # of two numbers on average, in deviations of a pair's noise (benchmarks/ablation_n_cells.py)
_LEAST_CELLS = 12  # a number may have, whatever the noise
_WEAK = 0.05  # above this share of the rows, the noise of a 1-way count is worth a warning
_FEW_ROWS = 100.0  # what a table is taken to have at least: a smaller one is learned badly rather than refused
_ANSWERS = {ONE_WAY: 5.0, CLASS_COLUMNS: 20.0, CONDITION_PAIRS: 10.0, PAIRS: 50.0, PARTITIONS: 15.0}
"""Shares of tables that can be measured once it is settled which."""
_FEW_IN_CLASS = 10_000.0  # rows up to which columns by class have their whole share (benchmarks/ablation_shares.py)
_MOST_PAIRS = 0.75  # of all: a choice that would leave out fewer is not worth its price
_HOPELESS = 2.0  # noise of a 1-way count, in tables: nothing is learned


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
    training_share, ratio = _gate(request, mu / unit, n_rows)
    signal = mu / unit * n_rows if mechanisms.private else math.inf
    shares = _shares(request, training_share, signal=signal, n_rows=n_rows / unit)
    total = sum(shares.values())
    n_pairs, most = _pairs(request, signal * math.sqrt(shares[PAIRS] / total) if PAIRS in shares else 0.0)
    if most >= n_pairs:
        total -= shares.pop(SELECTION, 0.0)
    mus = {label: mu * math.sqrt(share / total) for label, share in shares.items()}
    n_boxes = 0
    if PARTITIONS in mus:
        n_boxes = _n_boxes(mus[PARTITIONS] / unit * n_rows if mechanisms.private else math.inf, n_rows)
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
        n_cells=_n_cells(mus[PAIRS] / unit * n_rows, most) if PAIRS in mus and mechanisms.private else MAX_CELLS,
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
    shares = {label: _ANSWERS[label] for label in labels}
    if CLASS_COLUMNS in shares:
        shares[CLASS_COLUMNS] = _class_columns(n_rows / mechanisms.unit.rows)
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


_RELATIONS = {CLASS_COLUMNS, CONDITION_PAIRS, PAIRS}


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
    shares = _shares(request, 0.0, signal=signal, n_rows=1)
    noise = math.sqrt(request.n_columns * sum(shares.values()) / shares[ONE_WAY]) / signal
    relations = request.n_columns <= 1 or request.critic == "neural" or bool(_RELATIONS & shares.keys())
    return noise <= _WEAK and relations


def _gate(request: Request, mu: float, n_rows: int) -> tuple[float, float]:
    """Return the share of DP-SGD and its noise ratio r.

    By default there is none: two critics nowhere beat the measured one (benchmarks/ablation_critic.py). Where both
    are asked for, r says how much DP-SGD gets (docs/method.md).
    """
    widths = (request.n_columns * MAX_CELLS, *request.discriminator_dim, 1)
    parameters = sum((a + 1) * b for a, b in itertools.pairwise(widths))
    signal = n_rows * mu * math.sqrt(0.25)
    ratio = math.sqrt(parameters * request.discriminator_steps) / signal
    if request.critic in ("auto", "measured"):
        return 0.0, ratio
    if request.critic == "neural":
        return 300.0, ratio
    for limit, share in _GATES:
        if ratio < limit:
            return share, ratio
    return _LEAST_TRAINING, ratio


def _class_columns(n_rows: float) -> float:
    """Return the share of columns by class: the whole where a class may have few rows, down to half of it."""
    return _ANSWERS[CLASS_COLUMNS] * min(1.0, max(0.5, _FEW_IN_CLASS / n_rows))


def _shares(request: Request, training: float, *, signal: float, n_rows: float) -> dict[str, float]:
    """Return shares of mu^2 by label; they need not sum to anything.

    `signal` is mu times the rows, `n_rows` the rows, both over the most of a person. Where `signal` is small,
    discoveries get what they need to see anything, and tables that noise would drown are left out.
    """
    asked = request.discoveries
    small = request.n_columns / (_CLEAR * signal) ** 2 > _SMALL
    shares = {ONE_WAY: 10.0 if small else _ANSWERS[ONE_WAY]}
    if asked[INSPECTION]:
        shares[INSPECTION] = 2.0
    if asked[BOUNDS]:
        shares[BOUNDS] = 3.0
    n_open = asked[VALUES] + asked[RARER]
    if n_open:
        shares[VALUES] = 5.0 if small else 15.0
    coarse = asked["leaves"] / (_CLEAR * signal) ** 2 > _MOST_SHARE
    if asked["leaves"] and coarse:
        shares[ROUNDS[0]] = 5.0
    elif asked["leaves"]:
        shares.update({label: 3.5 / len(ROUNDS) for label in ROUNDS})
    if request.critic != "neural":
        drowned = math.sqrt(request.n_columns) / _DROWNED > signal * math.sqrt(0.5)
        if request.n_columns > 1 and request.split and not drowned:
            shares[CLASS_COLUMNS] = _class_columns(n_rows)
        if request.n_conditions and request.n_columns > 2 and not drowned:
            shares[CONDITION_PAIRS] = _ANSWERS[CONDITION_PAIRS]
        if request.n_columns > 1 + request.split and not drowned:
            shares[PAIRS] = _ANSWERS[PAIRS]
            shares[SELECTION] = 6.0
        if (
            PAIRS in shares
            and request.n_columns > 2 + request.split
            and _n_boxes(signal * math.sqrt(0.1), 10**6) >= _FEW_BOXES
        ):
            shares[PARTITIONS] = _ANSWERS[PARTITIONS]
    total = sum(shares.values())
    for label, most, columns in (
        (INSPECTION, _MOST_SHARE / 2.5, asked[INSPECTION]),
        (BOUNDS, _MOST_SHARE, asked[BOUNDS]),
        (VALUES, _MOST_SHARE, n_open),
    ):
        needed = columns / (_CLEAR * signal) ** 2
        if label in shares:
            shares[label] = max(shares[label], total * min(needed, most))
    if asked[RARER]:
        shares.update(_looks(shares.pop(VALUES), asked[VALUES], asked[RARER]))
    if ROUNDS[-1] in shares:
        wanted = total * min(asked["leaves"] / (_CLEAR_LEAF * signal) ** 2, _MOST_LEAVES)
        shares.update({label: max(shares[label], wanted / len(ROUNDS)) for label in ROUNDS})
    if training:
        shares[TRAINING] = training
        shares[CHOICE] = 1.0
    if request.critic == "neural":
        shares.pop(CHOICE)
    return shares


def _looks(share: float, n_values: int, n_levels: int) -> dict[str, float]:
    """Return what each look gets where levels have two: these all that discoveries have, beside what numbers have."""
    shares = {LEVELS: (1 - _SECOND_LOOK) * share, RARER: _SECOND_LOOK * share}
    if n_values:
        shares[VALUES] = share * n_values / (n_values + n_levels)
    return shares


def _n_boxes(signal: float, n_rows: int) -> int:
    """Return how many boxes a partition may have, where `signal` is the partitions' mu times the rows."""
    carried = min(signal / math.sqrt(N_PARTITIONS) / _ROWS_A_BOX, n_rows / _ROWS_A_BOX)
    return int(max(2, min(MOST_BOXES, carried)))


def _n_cells(signal: float, n_pairs: int) -> int:
    """Return how many cells a number may have, where `signal` is the mu of `n_pairs` pairs times the rows."""
    carried = math.sqrt(signal / math.sqrt(n_pairs) / _ROWS_A_CELL)
    return int(max(_LEAST_CELLS, min(MAX_CELLS, carried)))


def _pairs(request: Request, signal: float) -> tuple[int, int]:
    """Return how many pairs there are and how many are measured, where `signal` is their mu times the rows.

    As many as the budget carries with noise of 1% of the rows a cell at most, or all, where a choice would leave out
    few: it has a price too.
    """
    columns = request.n_columns - request.split
    n_pairs = columns * (columns - 1) // 2
    carried = max(columns, (signal / 100) ** 2)
    return n_pairs, n_pairs if carried >= _MOST_PAIRS * n_pairs else int(carried)
