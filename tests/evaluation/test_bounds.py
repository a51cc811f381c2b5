"""Lower bounds against slow oracles, and against mechanisms whose privacy is known."""

import math

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import binom, binomtest, norm

from privsynth.evaluation.bounds import (
    curve_inverse_power,
    gaussian_inverse_power,
    lower_rate,
    many_run_epsilon,
    many_run_mu,
    one_run_epsilon,
    one_run_mu,
    one_run_p_value,
    one_run_refuted,
    upper_rate,
)


def exact_tail(v, r, p):
    return sum(math.comb(r, k) * p**k * (1 - p) ** (r - k) for k in range(max(v, 0), r + 1))


def slow_p_value(v, r, m, epsilon, delta):
    """The theorem as it stands, term by term."""
    p = 1 / (1 + math.exp(-epsilon))
    window = [(exact_tail(v - i, r, p) - exact_tail(v, r, p)) / i for i in range(1, v + 1)]
    return min(1.0, exact_tail(v, r, p) + 2 * m * delta * max(window, default=0.0))


@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-3])
@pytest.mark.parametrize(("v", "r", "m"), [(0, 10, 10), (8, 10, 10), (10, 10, 100), (75, 100, 1000), (31, 60, 90)])
def test_p_value_is_the_theorem(v, r, m, delta):
    for epsilon in (0.0, 0.3, 1.0, 4.0):
        fast = one_run_p_value(v, r, m, epsilon=epsilon, delta=delta)
        assert fast == pytest.approx(slow_p_value(v, r, m, epsilon, delta), rel=1e-9, abs=1e-15)


def test_the_papers_own_number():
    """1000 canaries, 100 guesses, 75 right, delta = 1e-4: 0.673 (2305.08846, appendix D)."""
    assert one_run_epsilon(75, 100, 1000, delta=1e-4, confidence=0.95) == pytest.approx(0.673, abs=5e-4)


def test_more_right_guesses_and_smaller_deltas_prove_more():
    found = [one_run_epsilon(v, 200, 1000, delta=1e-5, confidence=0.95) for v in range(100, 201)]
    assert found == sorted(found)
    assert found[0] == 0.0 < found[-1]
    by_delta = [one_run_epsilon(180, 200, 1000, delta=d, confidence=0.95) for d in (1e-3, 1e-4, 1e-6, 0.0)]
    assert by_delta == sorted(by_delta)


@pytest.mark.parametrize(
    ("epsilon", "delta", "m"), [(0.5, 0.0, 100), (1.0, 0.0, 400), (2.0, 1e-3, 200), (1.0, 1e-3, 100)]
)
def test_randomised_response_is_exceeded_by_at_most_one_run_in_twenty(epsilon, delta, m):
    """Every coin is answered truly with probability delta, else by randomised response: exactly (epsilon, delta)-DP."""
    accuracy = delta + (1 - delta) / (1 + math.exp(-epsilon))
    v = np.arange(m + 1)
    exceeded = np.array([one_run_epsilon(int(k), m, m, delta=delta, confidence=0.95) > epsilon for k in v])
    assert 0 < binom.pmf(v, m, accuracy) @ exceeded <= 0.05


def test_the_bound_is_close_for_many_canaries():
    m, epsilon = 20_000, 1.5
    typical = int(binom.median(m, 1 / (1 + math.exp(-epsilon))))
    assert epsilon - 0.05 < one_run_epsilon(typical, m, m, delta=0.0, confidence=0.95) < epsilon


def test_the_error_counts_a_bound_of_twice_the_accuracy_out():
    """The planted fault: a mechanism of epsilon 2 that claims 1 is found out nearly always."""
    m, v = 400, np.arange(401)
    exceeded = np.array([one_run_epsilon(int(k), m, m, delta=0.0, confidence=0.95) > 1.0 for k in v])
    assert binom.pmf(v, m, 1 / (1 + math.exp(-2.0))) @ exceeded > 0.999


def most_probable(v, r, m, lines):
    """The linear programme behind `one_run_refuted`: the largest Pr[W >= v] under all constraints, one a line."""
    w = np.arange(r + 1)
    rows, limits = [], []
    for k in range(1, r + 1):
        right, wrong = w * (w >= k), (r - w) * (w >= k - 1)
        for epsilon, delta in lines:
            rows += [right - math.exp(epsilon) * wrong, right - math.exp(-epsilon) * wrong]
            limits += [m * delta, m * (1 - math.exp(-epsilon) * (1 - delta))]
    found = linprog(-(w >= v).astype(float), A_ub=rows, b_ub=limits, A_eq=[np.ones(r + 1)], b_eq=[1.0], bounds=(0, 1))
    assert found.success
    return -found.fun


@pytest.mark.parametrize("lines", [[(0.7, 0.0)], [(1.0, 0.01)], [(0.2, 0.2), (0.8, 0.03), (2.0, 1e-4)]])
@pytest.mark.parametrize(("r", "m"), [(12, 12), (12, 40), (25, 30)])
def test_refuted_is_the_linear_programme(lines, r, m):
    inverse = curve_inverse_power(*zip(*lines, strict=True))
    for v in range(1, r + 1):
        most = most_probable(v, r, m, lines)
        for confidence in (0.5, 0.8, 0.95, 0.999):
            if abs(most - (1 - confidence)) > 1e-7:
                refuted = one_run_refuted(v, r, m, inverse_power=inverse, confidence=confidence)
                assert refuted == (most < 1 - confidence), (v, most, confidence)


@pytest.mark.parametrize(("mu", "m"), [(0.3, 200), (1.0, 100), (2.0, 60)])
def test_gaussian_canaries_are_exceeded_by_at_most_one_run_in_twenty(mu, m):
    """One value N(+-mu/2, 1) a canary, guessed by its sign: exactly mu-GDP, and W is binomial."""
    v = np.arange(m + 1)
    exceeded = np.array([one_run_mu(int(k), m, m, confidence=0.95) > mu for k in v])
    assert binom.pmf(v, m, norm.cdf(mu / 2)) @ exceeded <= 0.05


def test_sorted_guesses_of_gaussian_canaries_do_not_refute_their_mu():
    """200 runs, each refuting the truth with probability 0.05 at most: more than 29 have a chance below 1e-6."""
    assert binom.sf(29, 200, 0.05) < 1e-6
    rng = np.random.default_rng(0)
    mu, m, k = 0.5, 4000, 40
    truth, twin = 0, 0
    for _ in range(200):
        present = rng.random(m) < 0.5
        for effect in (mu, 2 * mu):
            order = np.argsort(rng.normal(size=m) + effect * present)
            right = int((~present[order[:k]]).sum() + present[order[-k:]].sum())
            refuted = one_run_refuted(right, 2 * k, m, inverse_power=gaussian_inverse_power(mu), confidence=0.95)
            truth, twin = truth + (refuted and effect == mu), twin + (refuted and effect > mu)
    assert truth <= 29
    assert twin > 150


def test_rates_are_clopper_and_pearsons():
    for hits, runs in ((0, 20), (7, 20), (20, 20), (150, 1000)):
        low, high = binomtest(hits, runs).proportion_ci(confidence_level=0.95, method="exact")
        assert float(lower_rate(hits, runs, error=0.025)) == pytest.approx(low, abs=1e-12)
        assert float(upper_rate(hits, runs, error=0.025)) == pytest.approx(high, abs=1e-12)


def exceeding(bound, runs, tpr, fpr, claim):
    """How often a bound of two counts exceeds a claim, exactly."""
    counts = np.arange(runs + 1)
    exceeded = bound(counts[:, None], counts[None, :]) > claim
    return binom.pmf(counts, runs, tpr) @ exceeded @ binom.pmf(counts, runs, fpr)


def test_many_run_epsilon_of_randomised_response():
    runs, epsilon = 300, 1.0
    p = 1 / (1 + math.exp(-epsilon))

    def bound(hits, alarms):
        return many_run_epsilon(hits, alarms, runs, delta=0.0, confidence=0.95)

    assert exceeding(bound, runs, p, 1 - p, epsilon) <= 0.05
    assert exceeding(bound, runs, p, (1 - p) / 4, epsilon) > 0.95
    assert float(bound(300, 0)) == pytest.approx(math.log(0.025 ** (1 / 300) / (1 - 0.025 ** (1 / 300))))
    assert float(bound(0, 300)) == 0.0


@pytest.mark.parametrize(("mu", "runs"), [(0.3, 1000), (1.0, 200), (2.5, 200)])
def test_many_run_mu_of_a_gaussian(mu, runs):

    def bound(hits, alarms):
        return many_run_mu(hits, alarms, runs, pure_epsilon=0.0, failure=0.0, confidence=0.95)

    assert exceeding(bound, runs, norm.cdf(mu / 2), norm.sf(mu / 2), mu) <= 0.05
    assert exceeding(bound, runs, norm.cdf(mu), norm.sf(mu), mu) > 0.5


def test_what_comes_before_is_paid_for():
    """Randomised response of 0.5, then a Gaussian of mu = 1: the best test of both refutes mu, unless that is paid."""
    runs, mu, pure = 2000, 1.0, 0.5
    p = 1 / (1 + math.exp(-pure))
    shifts = (mu / 2 - pure / mu, mu / 2 + pure / mu)  # thresholds given the answer "with" and "without"
    tpr = p * norm.sf(shifts[0] - mu) + (1 - p) * norm.sf(shifts[1] - mu)
    fpr = (1 - p) * norm.sf(shifts[0]) + p * norm.sf(shifts[1])

    def bound(pure_epsilon):
        return lambda hits, alarms: many_run_mu(
            hits, alarms, runs, pure_epsilon=pure_epsilon, failure=0.0, confidence=0.95
        )

    assert exceeding(bound(pure), runs, tpr, fpr, mu) <= 0.05
    assert exceeding(bound(0.0), runs, tpr, fpr, mu) > 0.5
