"""What each release of a fit gets of the budget: shares of mu^2, the budget of Gaussian DP that adds up.

They follow from public facts and the noisy row count alone (`training.plan` says why, and allots them).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from privsynth.training.measure import CLASS_COLUMNS, CONDITION_PAIRS, PAIRS, SELECTION
from privsynth.training.partitions import MOST_BOXES, N_PARTITIONS, PARTITIONS
from privsynth.transforms.encoder import BOUNDS, LEVELS, MAX_CELLS, ONE_WAY, RARER, ROUNDS, VALUES
from privsynth.transforms.inspection import INSPECTION

TRAINING, CHOICE = "DP-SGD", "final choice"
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
ANSWERS = {ONE_WAY: 5.0, CLASS_COLUMNS: 10.0, CONDITION_PAIRS: 10.0, PAIRS: 50.0, PARTITIONS: 15.0}
"""Shares of tables that can be measured once it is settled which (benchmarks/ablation_shares.py)."""
_MOST_PAIRS = 0.75  # of all: a choice that would leave out fewer is not worth its price


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


def gate(request: Request, mu: float, n_rows: int) -> tuple[float, float]:
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


def shares_of(request: Request, training: float, *, signal: float) -> dict[str, float]:
    """Return shares of mu^2 by label; they need not sum to anything.

    `signal` is mu times the rows over the most of a person. Where it is small, discoveries get what they need to see
    anything, and tables that noise would drown are left out.
    """
    asked = request.discoveries
    small = request.n_columns / (_CLEAR * signal) ** 2 > _SMALL
    shares = {ONE_WAY: 10.0 if small else ANSWERS[ONE_WAY]}
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
            shares[CLASS_COLUMNS] = ANSWERS[CLASS_COLUMNS]
        if request.n_conditions and request.n_columns > 2 and not drowned:
            shares[CONDITION_PAIRS] = ANSWERS[CONDITION_PAIRS]
        if request.n_columns > 1 + request.split and not drowned:
            shares[PAIRS] = ANSWERS[PAIRS]
            shares[SELECTION] = 6.0
        if (
            PAIRS in shares
            and request.n_columns > 2 + request.split
            and n_boxes_of(signal * math.sqrt(0.1), 10**6) >= _FEW_BOXES
        ):
            shares[PARTITIONS] = ANSWERS[PARTITIONS]
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


def n_boxes_of(signal: float, n_rows: int) -> int:
    """Return how many boxes a partition may have, where `signal` is the partitions' mu times the rows."""
    carried = min(signal / math.sqrt(N_PARTITIONS) / _ROWS_A_BOX, n_rows / _ROWS_A_BOX)
    return int(max(2, min(MOST_BOXES, carried)))


def n_cells_of(signal: float, n_pairs: int) -> int:
    """Return how many cells a number may have, where `signal` is the mu of `n_pairs` pairs times the rows."""
    carried = math.sqrt(signal / math.sqrt(n_pairs) / _ROWS_A_CELL)
    return int(max(_LEAST_CELLS, min(MAX_CELLS, carried)))


def pairs_of(request: Request, signal: float) -> tuple[int, int]:
    """Return how many pairs there are and how many are measured, where `signal` is their mu times the rows.

    As many as the budget carries with noise of 1% of the rows a cell at most, or all, where a choice would leave out
    few: it has a price too.
    """
    columns = request.n_columns - request.split
    n_pairs = columns * (columns - 1) // 2
    carried = max(columns, (signal / 100) ** 2)
    return n_pairs, n_pairs if carried >= _MOST_PAIRS * n_pairs else int(carried)
