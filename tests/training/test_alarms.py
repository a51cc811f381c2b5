"""Alarms ring for what is wrong, told from releases alone, and for nothing else."""

import math

import numpy as np
import pytest

from privsynth.privacy.mechanisms import Release
from privsynth.training.alarms import alarms, divergence, drowned, lost_shares
from privsynth.training.history import History
from privsynth.transforms.layout import Layout

LAYOUT = Layout.of({"a": 3, "b": 2})
RELEASED = Release(np.array([600.0, 390.0, 10.0, 800.0, 200.0]), 5.0)
SHARES = np.array([0.6, 0.39, 0.01, 0.8, 0.2])


def history(*losses, stage="measured critic"):
    return History(list(losses), [], [(stage, len(losses))])


def test_a_good_fit_rings_nothing():
    falling = [10 * math.exp(-step / 20) + 1 for step in range(200)]
    assert alarms(history(*falling), SHARES, RELEASED, LAYOUT) == []


def test_a_loss_that_rises_again_or_is_no_number_is_told():
    rising = [10 * math.exp(-step / 20) + 1 for step in range(100)] + [float(step) for step in range(100)]
    [text] = divergence(history(*rising))
    assert "diverged" in text
    assert "'measured critic'" in text
    assert "no number" in divergence(history(1.0, math.nan))[0]
    assert divergence(history(math.nan, math.nan)) == []  # a single column, the target: nothing is compared
    assert divergence(history(*rising[:40])) == []  # too short to judge


def test_stages_are_judged_on_their_own():
    """Partitions add terms to the loss: that it is higher than before is no divergence."""
    both = History([1.0] * 60 + [8.0] * 60, [0.5] * 60, [("measured critic", 60), ("partitions", 60)])
    both.stages.append(("neural critic", 60))
    assert divergence(both) == []


def test_lost_cells_are_told_and_rare_ones_are_not():
    lost = np.array([0.99, 0.0, 0.01, 0.8, 0.2])
    assert lost_shares(lost, RELEASED, LAYOUT) == {"a": pytest.approx(0.39), "b": 0.0}
    [text] = alarms(history(1.0), lost, RELEASED, LAYOUT)
    assert "'a' (39% of the rows)" in text
    rare = np.array([0.6, 0.4, 0.0, 0.8, 0.2])  # ten rows at a noise of five: nobody can tell
    assert alarms(history(1.0), rare, RELEASED, LAYOUT) == []


def test_classes_below_five_deviations_are_told():
    rows = np.array([9000.0, 49.0, 51.0, -3.0])
    [text] = drowned("kind", ["a", "b", "c", "d"], rows, 10.0)
    assert "of 'kind', 'b' (about 49 rows), 'd' (about 0 rows): each count within a class has noise of about 10" in text
    assert drowned("kind", ["a", "b"], rows[:2], 9.0) == []
    assert drowned("kind", ["a", "b"], rows[:2], 0.0) == []  # no noise
    [text] = drowned("a\x1b", [str(i) for i in range(9)], np.zeros(9), 1.0)
    assert "and 4 more" in text
    assert text.isprintable()


def test_names_of_strangers_are_one_line():
    layout = Layout.of({"a\x1b\nb": 2})
    [text] = alarms(history(1.0), np.array([1.0, 0.0]), Release(np.array([500.0, 500.0]), 1.0), layout)
    assert text.isprintable()


@pytest.mark.parametrize(
    "broken",
    [
        {"measured_loss": ["x"]},
        {"stages": [["a", -1]]},
        {"stages": [["a"]]},
        {"alarms": ["a\nb"]},
        {"alarms": [3]},
        {"fake_accuracy": [None]},
    ],
)
def test_a_history_that_no_fit_writes_is_refused(broken):
    with pytest.raises((ValueError, TypeError)):
        History.from_dict({**History([1.0], [0.5], [("measured critic", 1)]).to_dict(), **broken})


def test_a_history_survives_its_dict_and_old_files_are_read():
    made = History([2.0, 1.0], [0.5], [("measured critic", 2)], ["Something"])
    assert History.from_dict(made.to_dict()) == made
    assert History.from_dict({"measured_loss": [2.0], "fake_accuracy": []}) == History([2.0])
