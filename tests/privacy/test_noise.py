"""Noise, masks and private choices.

Each statistical check has a false-alarm rate of 1e-6 and a faulty twin that fails it.
"""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
from scipy import stats

from privsynth.errors import ParameterError
from privsynth.privacy.noise import (
    MAX_COUNT,
    NoNoise,
    SecureNoise,
    discretization_tv,
    gradient_grid,
    grid_bits,
)

FALSE_ALARM = 1e-6


def has_gaussian_noise(sample, scale):
    """Mean (z), variance (chi-square) and shape (KS) of `sample` fit N(0, scale**2)."""
    n = sample.size
    p_mean = 2 * stats.norm.sf(abs(sample.mean()) * np.sqrt(n) / scale)
    tail = stats.chi2.cdf((sample**2).sum() / scale**2, df=n)
    p_variance = 2 * min(tail, 1 - tail)
    p_shape = stats.kstest(sample, stats.norm(scale=scale).cdf).pvalue
    return min(p_mean, p_variance, p_shape) >= FALSE_ALARM / 3


def is_poisson_sampling(batches, n_rows, rate):
    """Each row is in a batch with probability `rate`, independently of the others and of other batches.

    Per row and in all: exact binomial tests. Independence inside a batch: the variance of the batch sizes,
    whose normal approximation is taken at 6 standard deviations (2e-9) to cover its skew.
    """
    steps = len(batches)
    per_row = np.bincount(np.concatenate(batches), minlength=n_rows)
    alarm = FALSE_ALARM / 3
    low, high = stats.binom(steps, rate).interval(1 - alarm / n_rows)
    rows_ok = np.all((per_row >= low) & (per_row <= high))
    low, high = stats.binom(steps * n_rows, rate).interval(1 - alarm)
    total_ok = low <= per_row.sum() <= high
    sizes = np.array([batch.size for batch in batches])
    unit = n_rows * rate * (1 - rate)
    dispersion = ((sizes - n_rows * rate) ** 2 / unit).mean()
    spread = np.sqrt((2 + (1 - 6 * rate * (1 - rate)) / unit) / steps)
    return bool(rows_ok and total_ok and abs(dispersion - 1) < 6 * spread)


def test_gradient_noise_is_gaussian():
    noise = SecureNoise().gaussian((301, 333), scale=2.5)
    assert noise.shape == (301, 333)
    assert has_gaussian_noise(noise.ravel(), 2.5)


def is_uncorrelated(noise, lag):
    products = noise[lag:] * noise[:-lag]
    return abs(products.mean()) * np.sqrt(products.size) < stats.norm.isf(FALSE_ALARM / 8)


def test_gradient_noise_has_no_correlation_between_draws():
    noise = SecureNoise().gaussian(200_001, scale=1.0)
    lags = (1, 2, 12288, 24576)  # the two values of a pair lie 12288 apart
    for lag in lags:
        assert is_uncorrelated(noise, lag)
    for lag in lags:
        assert not is_uncorrelated(noise[lag:] + noise[:-lag] / 10, lag)


def test_gradient_noise_has_independent_sizes_too():
    squares = SecureNoise().gaussian(200_001, scale=1.0) ** 2 - 1
    for lag in (1, 12288, 24576):
        products = squares[lag:] * squares[:-lag]  # variance 4; 1/100 of the rate covers their skew
        assert abs(products.mean()) * np.sqrt(products.size) / 2 < stats.norm.isf(FALSE_ALARM / 100)


@pytest.mark.parametrize("fault", [lambda z: z / 2, lambda z: 0 * z, lambda z: z / np.sqrt(2), lambda z: z + 0.1])
def test_gaussian_check_has_power(fault):
    assert not has_gaussian_noise(fault(SecureNoise().gaussian(100_000, scale=1.0)), 1.0)


def test_noisy_gradients_lie_on_the_grid_whatever_the_gradient():
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    noisy = SecureNoise().add_gaussian(values, scale=0.7)
    grid = gradient_grid(0.7)
    assert np.log2(grid) == round(np.log2(grid))
    assert np.array_equal(noisy / grid, np.rint(noisy / grid))
    assert not np.array_equal(values / grid, np.rint(values / grid))
    assert has_gaussian_noise(noisy - values, 0.7)
    assert noisy.dtype == np.float32
    double = SecureNoise().add_gaussian(values.astype(np.float64), scale=0.7)
    assert double.dtype == np.float64
    assert np.array_equal(double / grid, np.rint(double / grid))


def test_counts_get_discrete_gaussian_noise():
    counts = np.arange(20_000).reshape(100, 200)
    noisy = SecureNoise().discrete_gaussian(counts, scale=20.0)
    assert noisy.shape == counts.shape
    assert noisy.dtype == np.float64
    assert np.array_equal(noisy, np.rint(noisy))
    # a uniform dither undoes the rounding: it changes the law by (1/20)**2/24, far below what KS sees
    errors = (noisy - counts).ravel() + np.random.default_rng(0).uniform(-0.5, 0.5, counts.size)
    assert has_gaussian_noise(errors, np.sqrt(20.0**2 + 1 / 6))
    assert not has_gaussian_noise(errors / 2, np.sqrt(20.0**2 + 1 / 6))


def test_small_noise_on_counts_rounds_a_continuous_gaussian():
    """At std .4 the rounded Gaussian and the discrete one on integers differ visibly: ours is the former."""
    noisy = SecureNoise().discrete_gaussian(np.zeros(40_000, dtype=np.int64), scale=0.4)
    zeros = int((noisy == 0).sum())

    def fits(probability):
        return stats.binomtest(zeros, noisy.size, probability).pvalue >= FALSE_ALARM

    assert fits(stats.norm.cdf(0.5 / 0.4) - stats.norm.cdf(-0.5 / 0.4))
    weights = np.exp(-(np.arange(-9, 10) ** 2) / (2 * 0.4**2))
    assert not fits(weights.max() / weights.sum())


@pytest.mark.parametrize("scale", [0.01, 1.0, 1e6, 2.0**28, 2.0**40, 1e15])
def test_grid_stays_inside_int64(scale):
    counts = np.array([MAX_COUNT, -MAX_COUNT, 0] * 20)
    noisy = SecureNoise().discrete_gaussian(counts, scale=scale)
    assert 16 * scale * 2.0 ** grid_bits(scale) < 2**63
    assert np.abs(noisy - counts).max() < 10 * scale + 1  # nothing wrapped around


def test_discretization_bound():
    assert discretization_tv(0.0, 10) == 0.0
    assert discretization_tv(1.0, 10) == pytest.approx(10 / 2.0**60)
    assert discretization_tv(1.0, 10) == 10 * discretization_tv(1.0, 1) > discretization_tv(2.0, 10)


def test_discretization_bound_covers_the_true_distance():
    s = 3.0  # s on a unit grid: exact sums against the stated 1/s**2
    k = np.arange(-200, 201)
    discrete = np.exp(-(k**2) / (2 * s**2))
    discrete /= discrete.sum()
    rounded = stats.norm.cdf(k + 0.5, scale=s) - stats.norm.cdf(k - 0.5, scale=s)
    assert 0.5 * np.abs(discrete - rounded).sum() <= 1 / s**2


def test_discrete_laplace():
    source = SecureNoise()
    draws = np.array([source.discrete_laplace(100, scale=3.0) for _ in range(5000)]) - 100

    def fits(scale):
        decay = np.exp(-1 / scale)
        edges = np.arange(-12, 13)
        law = (1 - decay) / (1 + decay) * decay ** np.abs(edges)
        tail = (1 - law.sum()) / 2
        counts = np.bincount(np.clip(draws, -13, 13) + 13, minlength=27)
        return stats.chisquare(counts, draws.size * np.array([tail, *law, tail])).pvalue >= FALSE_ALARM

    assert fits(3.0)
    assert not fits(6.0)
    assert source.discrete_laplace(7, scale=0.0) == 7


def test_gumbel_choice_is_the_exponential_mechanism():
    scores = np.array([0.0, 1.0, 2.0])
    source = SecureNoise()
    draws = source.gumbel(30_000).reshape(-1, 3)
    wins = np.bincount((scores + draws).argmax(axis=1), minlength=3)
    expected = np.exp(scores) / np.exp(scores).sum() * wins.sum()
    assert stats.chisquare(wins, expected).pvalue >= FALSE_ALARM
    wins = np.bincount((scores + draws / 2).argmax(axis=1), minlength=3)
    assert stats.chisquare(wins, expected).pvalue < FALSE_ALARM


@pytest.mark.parametrize("make_source", [SecureNoise, NoNoise])
@pytest.mark.parametrize(("n_rows", "rate"), [(200, 0.05), (40, 0.6)])
def test_rows_are_poisson_sampled(make_source, n_rows, rate):
    source = make_source()
    batches = [source.poisson_rows(n_rows, rate=rate) for _ in range(3000)]
    assert all(np.array_equal(batch, np.unique(batch)) for batch in batches)
    assert is_poisson_sampling(batches, n_rows, rate)


def test_poisson_check_has_power():
    rng = np.random.default_rng(0)
    source = SecureNoise()
    n_rows, rate, steps = 200, 0.05, 3000
    good = [source.poisson_rows(n_rows, rate=rate) for _ in range(steps)]
    fixed_size = [rng.choice(n_rows, size=10, replace=False) for _ in range(steps)]
    rare_row_favoured = [np.union1d(b, [17]) if i % 5 == 0 else b for i, b in enumerate(good)]
    epochs = [part for _ in range(steps // 20) for part in np.split(rng.permutation(n_rows), 20)]
    assert is_poisson_sampling(good, n_rows, rate)
    for faulty in (fixed_size, rare_row_favoured, epochs):
        assert not is_poisson_sampling(faulty, n_rows, rate)


@pytest.mark.parametrize(
    ("n_rows", "rate", "sizes"),
    [(0, 0.3, {0}), (5, 0.0, {0}), (5, 1.0, {5}), (5, 1e-300, {0}), (5, 1 - 1e-16, {5})],
)
def test_poisson_edges(n_rows, rate, sizes):
    rows = SecureNoise().poisson_rows(n_rows, rate=rate)
    assert rows.dtype == np.int64
    assert rows.size in sizes


def test_two_sources_and_copies_differ():
    one = SecureNoise()
    others = [SecureNoise(), copy.deepcopy(one), pickle.loads(pickle.dumps(one)), one]
    draws = [one.gaussian(50, scale=1.0)] + [other.gaussian(50, scale=1.0) for other in others]
    for i, first in enumerate(draws):
        assert all(np.abs(first - second).max() > 1e-3 for second in draws[:i])


def _draw(source, queue):
    queue.put(source.gaussian(50, scale=1.0))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_its_own_key():
    source, context = SecureNoise(), multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_draw, args=(source, queue))
    child.start()
    theirs = queue.get(timeout=30)
    child.join()
    assert np.abs(theirs - source.gaussian(50, scale=1.0)).max() > 1e-3


def test_no_noise_is_marked_and_silent():
    source = NoNoise()
    counts = np.array([3, 0, 9])
    assert not source.secure
    assert SecureNoise.secure
    assert np.array_equal(source.discrete_gaussian(counts, scale=5.0), counts)
    assert np.array_equal(source.add_gaussian(counts / 7, scale=5.0), counts / 7)
    assert source.discrete_laplace(4, scale=5.0) == 4
    assert not source.gaussian((2, 3), scale=5.0).any()
    assert not source.gumbel(4).any()


def test_no_noise_masks_replay_with_one_row_more():
    shorter, longer = NoNoise(seed=3), NoNoise(seed=3)
    for _ in range(20):
        rows = longer.poisson_rows(101, rate=0.3)
        assert np.array_equal(shorter.poisson_rows(100, rate=0.3), rows[rows < 100])


def test_zero_scale_changes_nothing():
    values = np.array([0.1, -3.0])
    assert np.array_equal(SecureNoise().add_gaussian(values, scale=0.0), values)
    assert SecureNoise().add_gaussian(values, scale=0.0) is not values


@pytest.mark.parametrize("make_source", [SecureNoise, NoNoise])
def test_bad_parameters_are_named(make_source):
    source = make_source()
    with pytest.raises(ParameterError, match="scale"):
        source.discrete_gaussian(np.array([1]), scale=-1.0)
    with pytest.raises(ParameterError, match="scale"):
        source.add_gaussian(np.array([1.0]), scale=np.inf)
    with pytest.raises(ParameterError, match="values"):
        source.discrete_gaussian(np.array([1.5]), scale=1.0)
    with pytest.raises(ParameterError, match="values"):
        source.discrete_gaussian(np.array([MAX_COUNT + 1]), scale=1.0)
    with pytest.raises(ParameterError, match="rate"):
        source.poisson_rows(3, rate=1.5)
