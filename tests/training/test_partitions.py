"""Partitions against slow oracles: rows in boxes one by one, masses by adding up every cell of the table."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN
from privsynth.errors import PrivacyError
from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.training import partitions as module
from privsynth.training.measured import _EVERY
from privsynth.training.partitions import (
    MOST_BOXES,
    N_PARTITIONS,
    PARTITIONS,
    Boxes,
    PartitionTable,
    grow_partitions,
    measure_partitions,
)
from privsynth.training.shares import n_boxes_of
from tests.training.test_measured import CPU, LAYOUT, losses, make_critic, make_parts, slow_cells

pytestmark = pytest.mark.filterwarnings("ignore::privsynth.errors.PrivsynthWarning")
SIZES = [span.size for span in LAYOUT.spans]


def make_rows(n_rows=400, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.integers(0, size, n_rows) for size in SIZES], axis=1)
    rows[:, 2] = np.where(rng.random(n_rows) < 0.7, rows[:, 0], rows[:, 2])
    return rows


def grow(split=1, n_boxes=7, seed=0):
    return grow_partitions(make_rows(seed=seed), LAYOUT, split=split, n_boxes=n_boxes, rng=np.random.default_rng(seed))


def inside(partition, row):
    """The boxes that a row is in, by its intervals alone."""
    intervals = partition.intervals(LAYOUT)
    return [b for b in range(partition.n_boxes) if all(cells[row[j], b] for j, cells in intervals.items())]


@pytest.mark.parametrize("split", [None, 1])
def test_every_row_is_in_one_box_and_it_is_the_one_assigned(split):
    everything = np.array(list(itertools.product(*map(range, SIZES))))
    partitions = grow(split)
    assert len(partitions) == N_PARTITIONS
    for partition in partitions:
        assert 2 <= partition.n_boxes <= 7
        assert [inside(partition, row) for row in everything] == [[box] for box in partition.assign(everything)]
        assert split not in partition.column


def test_masses_are_those_of_all_cells_added_up():
    part = make_parts(None, n=3)[0]
    everything = np.array(list(itertools.product(*map(range, SIZES))))
    starts = [span.start for span in LAYOUT.spans]
    for partition in grow(None)[:3]:
        chances = part.double().numpy()[:, everything + starts].prod(axis=2)
        slow = np.stack([chances[:, partition.assign(everything) == b].sum(axis=1) for b in range(partition.n_boxes)])
        assert Boxes(partition, LAYOUT, CPU)(part).numpy() == pytest.approx(slow.T, rel=1e-4)


def measure(rows, partitions, *, split=1, noise=None, private=False):
    mechanisms = Mechanisms(noise or SecureNoise(), private=private)
    mechanisms.allot(PARTITIONS, Gaussian(0.5))
    n_classes = 1 if split is None else SIZES[split]
    return measure_partitions(rows, partitions, split=split, n_classes=n_classes, mechanisms=mechanisms), mechanisms


@pytest.mark.parametrize("split", [None, 1])
def test_counts_are_of_rows_by_class_and_box(split):
    rows, partitions = make_rows(), grow(split)
    table, mechanisms = measure(rows, partitions, split=split)
    for partition, values in zip(partitions, table.values, strict=True):
        slow = np.zeros_like(values)
        for row in rows:
            slow[0 if split is None else row[split], inside(partition, row)[0]] += 1
        assert (values == slow).all()
    assert [(c.label, c.sensitivity) for c in mechanisms.charges] == [(PARTITIONS, math.sqrt(N_PARTITIONS))]


def change(rows, row):
    """How far one row more moves the exact counts, and what that was charged as."""
    partitions, tapes = grow(), []
    for table in (rows, np.concatenate([rows, [row]])):
        _, mechanisms = measure(table, partitions, noise=NoNoise(), private=True)
        tapes.append(mechanisms.tape[-1][1])
    return float(np.linalg.norm(tapes[1] - tapes[0])), mechanisms.charges[-1].sensitivity


@pytest.mark.parametrize("row", [[0, 0, 0, 0], [2, 1, 3, 2], [1, 0, 3, 1]])
def test_one_row_more_moves_the_counts_by_their_sensitivity(row, monkeypatch):
    moved, charged = change(make_rows(), row)
    assert moved == pytest.approx(math.sqrt(N_PARTITIONS)) == charged
    twin = type("OnePartition", (), {"sqrt": staticmethod(lambda k: 1.0), "ceil": staticmethod(math.ceil)})
    monkeypatch.setattr(module, "math", twin)  # the twin: charged as if there were one partition
    moved, charged = change(make_rows(), row)
    assert moved > charged


def test_nothing_is_read_that_was_not_allotted():
    with pytest.raises(PrivacyError):
        measure_partitions(
            make_rows(), grow(), split=1, n_classes=2, mechanisms=Mechanisms(SecureNoise(), private=True)
        )


@pytest.mark.parametrize("split", [None, 1])
def test_the_critic_compares_every_partition_in_turn(strong, split):
    """Plain and weighted means, of the boxes as of all else."""
    critic, releases = make_critic(split)
    parts, partitions = make_parts(split, seed=3), grow(split)
    before = np.array(losses(critic, parts))
    _, each = slow_cells(parts, releases, critic.class_shares * critic.n_rows)
    cells = np.array([each.sum(), len(each)])
    off = np.maximum(1, (strong * critic.n_rows / releases.pairs.scale) ** 2 * critic.class_shares)
    rng = np.random.default_rng(0)
    values = [rng.integers(0, 500, (len(parts), p.n_boxes)).astype(float) for p in partitions]
    critic.add(PartitionTable(partitions, values, 20.0))
    found = sorted(losses(critic, parts) for _ in range(_EVERY))
    wanted = []
    for turn in range(_EVERY):
        squares, n_values = before * cells, cells.copy()
        for partition, counts in list(zip(partitions, values, strict=True))[turn::_EVERY]:
            for c, part in enumerate(parts):
                masses = Boxes(partition, LAYOUT, CPU)(part).mean(dim=0).numpy()
                errors = (masses * critic.class_shares[c] * critic.n_rows - counts[c]) / 20.0
                weights = np.array([1 / off[c], 1.0])
                squares += _EVERY * weights * np.square(errors).sum()
                n_values += _EVERY * weights * len(errors)
        wanted.append(squares / n_values)
    assert np.array(found) == pytest.approx(np.array(sorted(map(tuple, wanted))), rel=1e-3)


def test_growing_is_fixed_by_its_seed():
    one, two = grow(seed=4), grow(seed=4)
    assert all((a.cut == b.cut).all() and (a.column == b.column).all() for a, b in zip(one, two, strict=True))
    assert any((a.cut.shape != b.cut.shape) or (a.cut != b.cut).any() for a, b in zip(one, grow(seed=5), strict=True))


def test_tables_of_few_columns_have_partitions_too():
    rows = make_rows()[:, :3]
    layout = type(LAYOUT)(LAYOUT.spans[:3])
    for partition in grow_partitions(rows, layout, split=1, n_boxes=4, rng=np.random.default_rng(0)):
        assert partition.n_boxes <= 4
        assert np.bincount(partition.assign(rows)).sum() == len(rows)
        assert set(partition.column) <= {-1, 0, 2}


def test_boxes_follow_the_budget():
    sizes = [n_boxes_of(signal, 10**6) for signal in (1.0, 500.0, 2_500.0, 1e5, math.inf)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (2, MOST_BOXES)
    assert n_boxes_of(math.inf, 200) < 10  # no more boxes than a small table fills


def test_columns_that_turn_out_to_be_identifiers_leave_nothing_to_cut():
    """A plan counts the columns before it is known which are learned: no partition of one or none of them."""
    rng = np.random.default_rng(0)
    n = 3000
    frame = pd.DataFrame(
        {
            "mail": [f"{name}@example.org" for name in rng.permutation(10 * n)[:n]],
            "other": [f"{name}@example.com" for name in rng.permutation(10 * n)[:n]],
            "third": [f"{name}@example.net" for name in rng.permutation(10 * n)[:n]],
            "kind": rng.choice(["no", "yes"], n),
        }
    )
    model = CTGAN(20.0, target="kind", critic="measured", steps=3, random_state=0, verbose=False).fit(frame)
    assert model.plan_.n_boxes > 0
    assert model.encoder_.layout.names == ["kind"]
    assert f"{PARTITIONS} (unused)" in [charge.label for charge in model.certificate_.charges]
    assert len(model.sample(5)) == 5
