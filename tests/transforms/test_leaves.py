"""Leaves: counted again in every round, split as far as noise allows, dropped where nobody is; and their ranges."""

import numpy as np
import pytest

from privsynth.privacy.events import Gaussian
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.transforms.discover import discover_bounds
from privsynth.transforms.leaves import _Interval, grow_leaves

FOUR = ["1", "2", "3", "4"]


def mechanisms_of(noise, scale, labels=FOUR):
    """Mechanisms whose counts of one column have noise of `scale`, drawn or only said."""
    mechanisms = Mechanisms(noise(), private=True)
    for label in labels:
        mechanisms.allot(label, Gaussian(1 / scale))
    return mechanisms


def grow(values, edges, *, scale, seen=(-np.inf, np.inf), noise=NoNoise, grid=True, total=None, labels=FOUR, atoms=()):
    mechanisms = mechanisms_of(noise, scale, labels)
    leaves, spread = grow_leaves(
        {"c": np.asarray(values, dtype=float)}, {"c": np.asarray(edges, dtype=float)}, {"c": seen}, {"c": grid},
        {"c": total}, mechanisms, labels, {"c": atoms},
    )  # fmt: skip
    return leaves["c"], spread


def spread_of_counts(labels, fits=100):
    """Standard deviation of leaves that cannot be split, in that of one count."""
    values = np.repeat(np.arange(8), 1000)
    drawn = [grow(values, np.arange(9), scale=40, noise=SecureNoise, labels=labels)[0].counts for _ in range(fits)]
    return np.std(np.concatenate(drawn) - 1000) / 40


def test_a_leaf_that_stays_is_counted_in_every_round():
    """800 counts: their standard deviation is off by 15 % with chance 1e-9. One round is the twin."""
    assert spread_of_counts(FOUR) == pytest.approx(0.5, rel=0.15)
    assert spread_of_counts(["1"]) == pytest.approx(1.0, rel=0.15)
    assert grow([1.0], np.arange(9), scale=40)[1] == pytest.approx(20)


def random_tree(rng, depth=0):
    """An interval that was counted one to three times, split at random, and counted on in its parts."""
    node = _Interval(0.0, 1.0, total=float(rng.normal(50, 20)), times=int(rng.integers(1, 4)))
    if depth < 3 and (depth == 0 or rng.random() < 0.5):
        node.parts = [random_tree(rng, depth + 1) for _ in range(rng.integers(2, 5))]
    return node


def leaves_below(node):
    return [leaf for part in node.parts for leaf in leaves_below(part)] if node.parts else [node]


def nodes_below(node):
    return [node, *(found for part in node.parts for found in nodes_below(part))]


@pytest.mark.parametrize("seed", range(20))
def test_estimates_are_those_of_least_squares(seed):
    """The oracle: every count is a sum of leaves plus noise; solve for the leaves, and add them up."""
    root = random_tree(np.random.default_rng(seed))
    leaves = leaves_below(root)
    design, counts = [], []
    for node in nodes_below(root):
        inside = {id(leaf) for leaf in leaves_below(node)}
        weight = np.sqrt(node.times)
        design.append([weight * (id(leaf) in inside) for leaf in leaves])
        counts.append(weight * node.total / node.times)
    covariance = np.linalg.inv(np.transpose(design) @ np.array(design))
    solved = covariance @ np.transpose(design) @ np.array(counts)
    value, variance = root.estimate()
    assert value == pytest.approx(solved.sum())
    assert variance == pytest.approx(covariance.sum())


@pytest.mark.parametrize(("rows", "parts"), [(39, 1), (41, 2), (79, 2), (81, 4), (159, 4), (161, 8), (5000, 8)])
def test_leaves_are_split_in_parts_that_stand_out(rows, parts):
    """Two deviations of noise, here 10, a part: two, four or eight parts."""
    leaves, _ = grow(np.repeat([8], rows), [0, 32, 64], scale=10, labels=["1", "2"])
    assert len(leaves.counts) == parts + 1
    assert leaves.counts.sum() == pytest.approx(rows)


def test_leaves_are_no_more_than_their_limit():
    leaves, _ = grow(np.random.default_rng(0).integers(0, 2**30, 50_000), np.linspace(0, 2**30, 65), scale=0.1)
    assert 400 < len(leaves.counts) <= 512
    assert (np.diff(leaves.edges) > 0).all()


@pytest.mark.parametrize("side", ["below", "above"])
@pytest.mark.parametrize(("rows", "kept"), [(25, False), (35, True)])
def test_ends_where_nobody_was_seen_are_kept_if_counts_say_otherwise(side, rows, kept):
    """Noise of 20 a count, so 10 after four rounds: three times that are 30."""
    sign = 1 if side == "below" else -1
    values = sign * np.concatenate([np.full(rows, 10.0), np.full(3000, 100.0)])
    edges = [0, 64, 96, 128] if side == "below" else [-128, -96, -64, 0]
    seen = (64, 128) if side == "below" else (-128, -64)
    leaves, _ = grow(values, edges, scale=20, seen=seen, grid=False, total=3000 + rows)
    assert (0 in leaves.edges) == kept
    assert leaves.counts.sum() == pytest.approx(3000 + rows)
    far = leaves.counts[np.abs(leaves.edges[:-1] + leaves.edges[1:]) < 128].sum()
    assert far == pytest.approx(rows if kept else 0, abs=3)


def test_empty_ends_come_back_with_the_chance_of_noise():
    """Above three deviations with chance .00135: of 300 fits more than 6 with chance 1e-6; without a test in half."""
    values = np.full(3000, 100.0)
    found = [
        0 in grow(values, [0, 64, 96, 128], scale=20, seen=(64, 128), noise=SecureNoise, total=3000)[0].edges
        for _ in range(300)
    ]
    assert sum(found) <= 6
    kept = [0 in grow(values, [0, 64, 96, 128], scale=20, noise=SecureNoise, total=3000)[0].edges for _ in range(20)]
    assert all(kept)  # the twin: nothing is beyond what was seen, so nothing is dropped


def ends_of(leaves):
    return leaves.edges[0], leaves.edges[-1]


def test_outermost_leaves_that_noise_could_fill_are_dropped():
    """Ages 16 to 64, and two of 100: a range up to 128 was seen, in octaves. What is beyond is counted at the end."""
    values = np.concatenate([np.tile(np.arange(16, 64), 40), [100, 100]])
    edges = [0, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128]
    leaves, _ = grow(values, edges, scale=20, seen=(16, 128), total=len(values))
    assert ends_of(leaves) == (16, 64)
    assert leaves.counts.sum() == pytest.approx(len(values))
    assert ends_of(grow(values, edges, scale=20, seen=(16, np.inf), total=len(values))[0]) == (16, 128)  # declared
    assert ends_of(grow(values, edges, scale=20, seen=(-np.inf, 128), total=len(values))[0]) == (0, 64)
    assert ends_of(grow(values, edges, scale=20, seen=(16, 128), atoms=[96.0])[0]) == (16, 112)  # up to an atom
    assert ends_of(grow(values, edges, scale=0.1, seen=(16, 128))[0])[1] > 100


def test_leaves_within_a_whole_are_dropped_and_the_others_agree_with_it():
    """A heavy interval whose outer parts hold nobody: the rows of the whole are those of the parts that stay."""
    leaves, _ = grow(np.repeat(np.arange(64, 72), 200), [0, 64, 128], scale=20, seen=(64, 128))
    assert ends_of(leaves) == (64, 72)
    assert leaves.counts.sum() == pytest.approx(1600, rel=0.02)
    assert (leaves.counts > 0).all()


def bounds_of(values, *, scale, decimals=0, **how):
    mechanisms = mechanisms_of(NoNoise, scale, ["bounds"])
    return discover_bounds(
        {"c": np.asarray(values, dtype=float)}, mechanisms, "bounds", decimals={"c": decimals}, **how
    )["c"]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_long_tail_is_seen_together(sign):
    """Six octaves of 15 rows, of which none shows under a noise of 10: 90 rows are 3.7 deviations of their sum's."""
    tail = np.repeat(2.0 ** np.arange(7, 13) * 1.5, 15)
    values = np.concatenate([np.full(3000, 100.0), tail])
    found = bounds_of(sign * values, scale=10)
    inner, outer = sorted([abs(found.low), abs(found.high)])
    assert outer == 128
    assert inner == pytest.approx(64, abs=1)
    assert np.abs(found.edges).max() == 2**13
    assert len(found.edges[np.abs(found.edges) > 128]) == 6  # an edge an octave
    few = bounds_of(sign * np.concatenate([np.full(3000, 100.0), tail[::3]]), scale=10)
    assert np.abs(few.edges).max() == 128  # 30 rows are not


def test_ranges_go_on_to_zero_and_never_beyond():
    above = bounds_of(np.full(3000, 100.0), scale=10)
    below = bounds_of(np.full(3000, -100.0), scale=10)
    assert (above.edges[0], above.low, above.high) == (0, 64, 128)
    assert (below.edges[-1], below.low, below.high) == (1, -128, -63)  # on a grid, so that 0 is inside
    both = bounds_of(np.repeat([-100.0, 100.0], 3000), scale=10)
    assert (both.edges[0], both.edges[-1]) == (-128, 128)


def test_a_target_of_two_values_has_nothing_beyond():
    found = bounds_of(np.repeat([1.0, 2.0], 3000), scale=10, told={"c"})
    assert (found.edges[0], found.edges[-1]) == (1, 4)
