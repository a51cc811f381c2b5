"""The measured critic against a loop over cells, and its unit: 1 is the noise floor."""

import numpy as np
import pytest
import torch

from privsynth.privacy.mechanisms import Release
from privsynth.training import measured as module
from privsynth.training.grouping import spread, summed
from privsynth.training.measure import Measurements, PairTable
from privsynth.training.measured import MeasuredCritic
from privsynth.training.pairs import DensePairs, SparsePairs
from privsynth.transforms.layout import Layout

LAYOUT = Layout.of({"a": 3, "b": 2, "c": 4, "d": 3})
CPU = torch.device("cpu")


def make_parts(split, seed=0, n=40):
    """Random cell probabilities by class, the class column fixed."""
    rng = np.random.default_rng(seed)
    n_classes = 1 if split is None else LAYOUT.spans[split].size
    parts = []
    for c in range(n_classes):
        rows = [rng.dirichlet(np.ones(span.size), n + c) for span in LAYOUT.spans]
        if split is not None:
            rows[split] = np.eye(n_classes)[np.full(n + c, c)]
        parts.append(torch.tensor(np.concatenate(rows, axis=1), dtype=torch.float32))
    return parts


def expected_tables(parts, sizes):
    """Class tables (n_classes, width, width) and columns (n_classes, width) by a loop over components."""
    grams, means = [], []
    for part, size in zip(parts, sizes, strict=True):
        rows = part.double().numpy()
        grams.append(sum(np.outer(row, row) for row in rows) * size / len(rows))
        means.append(rows.mean(axis=0) * size)
    return np.array(grams), np.array(means)


def blocks(values, pairs):
    kept = np.zeros_like(values)
    for i, j in pairs:
        one, two = LAYOUT.spans[i].slice, LAYOUT.spans[j].slice
        kept[:, one, two] = values[:, one, two]
    return kept


def make_measurements(split, *, truth, scale, rng, pairs, condition_pairs=None, relative=None):
    """Releases: the tables of `truth` with noise of `scale`, kept as the mechanism would."""
    grams, means = truth

    def noisy(values):
        return values + rng.normal(size=values.shape) * scale

    return Measurements(
        split,
        Release(noisy(means.sum(axis=0)), scale),
        None if split is None else Release(noisy(means), scale),
        None
        if condition_pairs is None
        else PairTable(condition_pairs, blocks(noisy(grams.sum(axis=0)[None]), condition_pairs), scale),
        PairTable(pairs, blocks(noisy(grams), pairs), scale, relative=relative),
    )


def slow_cells(parts, measurements, sizes):
    """Each released cell: its error in units of its noise, and the inverse square of what it may be off beside that."""
    grams, means = expected_tables(parts, sizes)
    split, cells = measurements.split, []
    slack = module._STRONG * sum(sizes)

    def add(expected, released, noise, share):
        off = max(1.0, slack**2 * share / measurements.pairs.scale**2)
        cells.append(((expected - released) / noise, 1 / off))

    for j, span in enumerate(LAYOUT.spans):
        if j == split:
            continue
        for cell in range(span.start, span.stop):
            total = sum(mean[cell] for mean in means)
            add(total, measurements.one_way.values[cell], measurements.one_way.scale, 1.0)
            for c, mean in enumerate(means if split is not None else []):
                released = measurements.class_columns
                add(mean[cell], released.values[c, cell], released.scale, sizes[c] / sum(sizes))
    for table in (measurements.condition_pairs, measurements.pairs):
        for i, j in table.pairs if table is not None else []:
            for u in range(LAYOUT.spans[i].start, LAYOUT.spans[i].stop):
                for v in range(LAYOUT.spans[j].start, LAYOUT.spans[j].stop):
                    for c in range(len(table.values)):
                        whole = len(table.values) < len(grams)
                        gram, share = (grams.sum(axis=0), 1.0) if whole else (grams[c], sizes[c] / sum(sizes))
                        add(gram[u, v], table.values[c, u, v], table.scale * table.noise[i, j], share)
    return np.array(cells).T


def slow_losses(parts, measurements, sizes):
    """Weighted and plain mean over released cells of ((expected - released) / scale)**2, one cell after the other."""
    errors, weights = slow_cells(parts, measurements, sizes)
    return float(np.average(np.square(errors), weights=weights)), float(np.mean(np.square(errors)))


def losses(critic, parts):
    objective, loss = critic.compare(parts)
    return float(objective.detach()), loss


def make_critic(split, *, scale=5.0, n_rows=2000, seed=0, pairs=None, uneven=False, shrinkage=False):
    """A critic and what it compares with; as released, for shrinkage is tested by itself (test_shrinkage)."""
    rng = np.random.default_rng(seed)
    others = [j for j in range(4) if j != split]
    pairs = [(i, j) for i in others for j in others if i < j] if pairs is None else pairs
    conditions = None if split is None else pairs[:1]
    n_classes = 1 if split is None else LAYOUT.spans[split].size
    shares = rng.dirichlet(np.full(n_classes, 20.0))
    truth = expected_tables(make_parts(split, seed), shares * n_rows)
    relative = 2.0 ** rng.uniform(-2, 2, len(pairs)) if uneven else None
    releases = make_measurements(
        split, truth=truth, scale=scale, rng=rng, pairs=pairs, condition_pairs=conditions, relative=relative
    )
    return MeasuredCritic(releases, LAYOUT, n_rows=n_rows, device=CPU, shrinkage=shrinkage), releases


@pytest.mark.parametrize("split", [None, 0, 1])
@pytest.mark.parametrize("pairs", [None, "some"])
@pytest.mark.parametrize("uneven", [False, True])
def test_loss_equals_the_loop(strong, split, pairs, uneven):
    some = {None: [(0, 3), (1, 2)], 0: [(1, 3)], 1: [(0, 2), (2, 3)]}[split]
    critic, releases = make_critic(split, pairs=some if pairs else None, uneven=uneven)
    parts = make_parts(split, seed=9, n=13)
    slow = slow_losses(parts, releases, critic.class_shares * critic.n_rows)
    assert losses(critic, parts) == pytest.approx(slow, rel=1e-4)


@pytest.mark.parametrize("split", [None, 1])
def test_loss_is_one_at_the_truth(strong, split):
    """Means of chi-squares of one degree each, over 20 releases; bounds at 1e-6 (Satterthwaite)."""
    from scipy import stats

    found, degrees = [], np.zeros(2)
    for seed in range(20):
        critic, releases = make_critic(split, scale=3.0, seed=seed)
        truth = make_parts(split, seed)
        if split is not None:  # the truth's own class shares, not the released ones
            critic._sizes = torch.tensor(
                np.random.default_rng(seed).dirichlet(np.full(LAYOUT.spans[split].size, 20.0)) * critic.n_rows,
                dtype=torch.float32,
            )
        found.append(losses(critic, truth))
        _, weights = slow_cells(truth, releases, critic.class_shares * critic.n_rows)
        degrees += weights.sum() ** 2 / np.square(weights).sum(), len(weights)
    for mean, degree in zip(np.mean(found, axis=0), degrees, strict=True):
        low, high = stats.chi2(degree).ppf([5e-7, 1 - 5e-7]) / degree
        assert low < mean < high
        assert not low < mean * 0.25 < high  # the twin: noise half as large as stated
    assert min(losses(critic, make_parts(split, seed=99))) > 5  # and another model is told from the truth


def test_where_noise_is_small_a_rare_class_counts_for_more():
    """As much off in either class: where the noise is nothing, the rows of a class are what its counts weigh by."""
    parts = make_parts(1, seed=5)
    shares = np.array([0.99, 0.01])
    truth = expected_tables(parts, shares * 10_000)
    others = [(0, 2), (0, 3), (2, 3)]
    ratios = []
    for scale in (1e-2, 1e3):
        rng = np.random.default_rng(0)
        releases = make_measurements(1, truth=truth, scale=scale, rng=rng, pairs=others)
        errors = []
        for c in range(2):
            one_off = releases.pairs.values.copy()
            one_off[c, LAYOUT.spans[0].start, LAYOUT.spans[2].slice] += [1e5, -1e5, 0, 0]  # as many rows in all
            table = PairTable(others, one_off, scale)
            critic = MeasuredCritic(
                Measurements(1, releases.one_way, releases.class_columns, None, table),
                LAYOUT, n_rows=10_000, device=CPU, shrinkage=False,
            )  # fmt: skip
            errors.append(losses(critic, parts)[0])
        ratios.append(errors[1] / errors[0])
    assert ratios[0] == pytest.approx(shares[0] / shares[1], rel=0.01)
    assert ratios[1] == pytest.approx(1, rel=0.01)


def test_exact_releases_count_as_noisy_by_a_thousandth():
    rng = np.random.default_rng(0)
    parts = make_parts(None)
    truth = expected_tables(parts, [1000.0])
    releases = make_measurements(None, truth=truth, scale=0.0, rng=rng, pairs=[(0, 1)])
    critic = MeasuredCritic(releases, LAYOUT, n_rows=1000, device=CPU)
    assert max(losses(critic, parts)) < 1e-4
    releases.one_way.values[:] += 2.0  # two rows: two units of noise in 12 of 12 + 6 cells
    critic = MeasuredCritic(releases, LAYOUT, n_rows=1000, device=CPU)
    assert losses(critic, parts) == pytest.approx((4 * 12 / 18,) * 2, rel=1e-3)


def test_a_target_alone_leaves_nothing_to_compare():
    critic = MeasuredCritic(
        Measurements(0, Release(np.array([5.0, 7.0]), 2.0)), Layout.of({"target": 2}), n_rows=12, device=CPU
    )
    assert losses(critic, [torch.eye(2)[:1], torch.eye(2)[1:]]) == (0.0, 0.0)


@pytest.mark.parametrize("split", [None, 1])
def test_gradients_are_finite_and_lead_downhill(split):
    critic, _ = make_critic(split)
    parts = [part.requires_grad_() for part in make_parts(split, seed=5)]
    loss, _ = critic.compare(parts)
    gradients = torch.autograd.grad(loss, parts)
    square = sum(float(g.square().sum()) for g in gradients)
    step = 0.01 * float(loss.detach()) / square
    with torch.no_grad():
        after, _ = critic.compare([part - step * g for part, g in zip(parts, gradients, strict=True)])
    assert np.isfinite(square)
    assert float(after) < float(loss.detach())


@pytest.mark.parametrize("split", [None, 0, 1])
@pytest.mark.parametrize("pairs", [None, "some"])
@pytest.mark.parametrize("uneven", [False, True])
def test_wide_tables_take_a_product_for_each_pair(strong, monkeypatch, split, pairs, uneven):
    monkeypatch.setattr(module, "_MAX_WIDTH", 6)
    some = {None: [(0, 3), (1, 2)], 0: [(1, 3)], 1: [(0, 2), (2, 3)]}[split]
    critic, releases = make_critic(split, pairs=some if pairs else None, uneven=uneven)
    parts = make_parts(split, seed=9, n=13)
    for part in parts:
        part.requires_grad_()
    objective, loss = critic.compare(parts)
    slow = slow_losses([part.detach() for part in parts], releases, critic.class_shares * critic.n_rows)
    assert (objective.item(), loss) == pytest.approx(slow, rel=1e-4)
    monkeypatch.setattr(module, "_MAX_WIDTH", 10**6)
    dense, _ = MeasuredCritic(releases, LAYOUT, n_rows=2000, device=CPU, shrinkage=False).compare(parts)
    slopes, wanted = torch.autograd.grad(3 * objective, parts), torch.autograd.grad(3 * dense, parts)
    for ours, theirs in zip(slopes, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [DensePairs, SparsePairs])
@pytest.mark.parametrize("split", [None, 1])
def test_gradients_of_pairs_are_those_of_the_definition(kind, split):
    """Both forms take the gradient themselves; the definition, pair by pair, leaves it to autograd."""
    _, releases = make_critic(split, uneven=True)
    parts = [part.requires_grad_() for part in make_parts(split, seed=9, n=13)]
    sizes = torch.tensor([700.0, 50.0])[: len(parts)]
    found = kind(releases.pairs, 3.0, LAYOUT, CPU).squares(parts, sizes, np.random.default_rng(0))
    wanted = []
    for part, size, values in zip(parts, sizes, releases.pairs.values, strict=True):
        total = torch.zeros(())
        for (i, j), relative in releases.pairs.noise.items():
            one, two = LAYOUT.spans[i].slice, LAYOUT.spans[j].slice
            expected = size * torch.einsum("bi,bj->bij", part[:, one], part[:, two]).mean(dim=0)
            total = total + ((expected - torch.from_numpy(values[one, two]).float()) / (3.0 * relative)).square().sum()
        wanted.append(total)
    torch.testing.assert_close(found, torch.stack(wanted), rtol=1e-4, atol=0)
    weights = torch.tensor([2.0, 0.3])[: len(parts)]
    slopes, others = (torch.autograd.grad(squares @ weights, parts) for squares in (found, torch.stack(wanted)))
    for ours, theirs in zip(slopes, others, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))


def test_very_wide_tables_compare_some_pairs_each_time(monkeypatch):
    """The part that is compared stands for all: the mean over many steps, and a gross error in the bound."""
    monkeypatch.setattr(module, "_MAX_WIDTH", 6)
    monkeypatch.setattr("privsynth.training.pairs._MOST_CELLS", 25)
    critic, releases = make_critic(None)
    parts = make_parts(None, seed=3)
    levels = np.array([critic.compare(parts)[1] for _ in range(400)])
    assert len(set(levels.round(9))) > 1
    _, slow = slow_losses(parts, releases, critic.class_shares * critic.n_rows)
    bound = 6 * levels.std() / np.sqrt(len(levels))  # false alarm about 2e-9
    assert bound < 0.2 * slow
    assert abs(levels.mean() - slow) < bound


def noisy_groups(grams, groups, pairs, *, scale, relative, rng):
    """Pairs counted in groups with noise, spread over their cells as a release is."""
    values = np.zeros_like(grams, dtype=np.float32)
    for c, number in enumerate(groups):
        for (i, j), r in zip(pairs, relative, strict=True):
            one, two = LAYOUT.spans[i].slice, LAYOUT.spans[j].slice
            rows, cols = number[one] - number[one][0], number[two] - number[two][0]
            table = summed(grams[c, one, two], rows, cols)
            values[c, one, two] = spread(table + rng.normal(size=table.shape) * scale * r, rows, cols)
    return PairTable(pairs, values, scale, groups, np.array(relative))


GROUPS = np.array([np.arange(12), [0, 1, 1, 2, 3, 4, 4, 4, 5, 6, 6, 7]])  # of the second class: a 2, c 2, d 2


def test_each_table_by_class_tells_the_shares_of_classes():
    """Against the weighted mean: the squared error over 300 releases is that of all counts together.

    Chi-square bounds at 1e-6; without pairs, and without columns too, the twins, it is far outside.
    """
    from scipy import stats

    scale, n_rows, rng = 10.0, 1000, np.random.default_rng(0)
    sizes, pairs, relative = np.array([900.0, 100.0]), [(0, 2), (0, 3), (2, 3)], [0.5, 1.0, 0.7]
    weight = 1 + sum(1 / LAYOUT.spans[j].size for j in (0, 2, 3))
    cells = np.array([[12, 9, 12], [4, 4, 4]])
    variances = scale**2 / (weight + (1 / (cells * np.square(relative))).sum(axis=1))
    grams, means = expected_tables(make_parts(1), sizes)
    errors = {"all": [], "columns": [], "alone": []}
    for _ in range(300):
        by_class = Release(means + rng.normal(size=means.shape) * scale, scale)
        one_way = Release(means.sum(axis=0) + rng.normal(size=LAYOUT.width) * scale, scale)
        one_way.values[LAYOUT.spans[1].slice] = sizes + rng.normal(size=2) * scale
        table = noisy_groups(grams, GROUPS, pairs, scale=scale, relative=relative, rng=rng)
        for name, more in (("all", (by_class, None, table)), ("columns", (by_class,)), ("alone", ())):
            shares = MeasuredCritic(Measurements(1, one_way, *more), LAYOUT, n_rows=n_rows, device=CPU).class_shares
            errors[name].append(shares[1] / shares[0] - 1 / 9)
    # of a ratio of counts a/b: (a/b)^2 (var a/a^2 + var b/b^2), to first order
    expected = (1 / 9) ** 2 * (variances / sizes**2).sum()
    low, high = stats.chi2(300).ppf([1e-6, 1 - 1e-6]) / 300
    assert low < np.mean(np.square(errors["all"])) / expected < high
    for twin in ("columns", "alone"):
        assert not low < np.mean(np.square(errors[twin])) / expected < high


def test_what_a_pair_says_of_the_rows_of_a_class():
    """Without noise its rows, whatever was grouped; the variance against a loop over groups, one for each."""
    grams, _ = expected_tables(make_parts(1), np.array([900.0, 100.0]))
    pairs, relative, rng = [(0, 3), (2, 3)], [0.5, 2.0], np.random.default_rng(1)
    exact = noisy_groups(grams, GROUPS, pairs, scale=0.0, relative=relative, rng=rng)
    assert exact.sizes(LAYOUT) == pytest.approx(np.array([[900.0, 100.0]] * 2), rel=1e-5)
    table = noisy_groups(grams, GROUPS, pairs, scale=3.0, relative=relative, rng=rng)
    for k, (i, j) in enumerate(pairs):
        one, two = LAYOUT.spans[i].slice, LAYOUT.spans[j].slice
        for c in range(2):
            n_counts = len(set(GROUPS[c][one])) * len(set(GROUPS[c][two]))
            assert table.size_variances(LAYOUT)[k, c] == pytest.approx(n_counts * (3.0 * relative[k]) ** 2)
    whole = PairTable(pairs, table.values, 3.0)
    assert whole.size_variances(LAYOUT).tolist() == [[81.0, 81.0], [108.0, 108.0]]


def test_class_shares_are_a_distribution_whatever_was_released():
    for counts in ([-5.0, 20.0, 3.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -3.0]):
        values = np.concatenate([counts, np.ones(LAYOUT.width - 3)])
        critic = MeasuredCritic(Measurements(0, Release(values, 5.0)), LAYOUT, n_rows=30, device=CPU)
        assert critic.class_shares.sum() == pytest.approx(1)
        assert (critic.class_shares > 0).all()
