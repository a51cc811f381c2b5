"""Every mechanism: charged once, calibrated as charged, and never a touch of rows off the ledger.

Statistical checks have a false-alarm rate of 1e-6 and a faulty twin that fails them.
"""

import math

import numpy as np
import pytest
from scipy import stats

from privsynth.errors import ParameterError, PrivacyError
from privsynth.privacy.events import (
    BoundedRange,
    Failure,
    Gaussian,
    NonPrivate,
    PureDP,
    SubsampledGaussian,
)
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoiseSource, NoNoise, SecureNoise
from privsynth.privacy.unit import Unit
from tests.privacy.test_noise import has_gaussian_noise

FALSE_ALARM = 1e-6


class Untouchable(NoiseSource):
    """Fails the test when a mechanism asks it for anything."""

    secure = True
    description = "none"

    def _fail(self, *args, **kwargs):
        raise AssertionError("the noise source was touched")

    discrete_gaussian = discrete_laplace = add_gaussian = gumbel = poisson_rows = _fail


def allotted(events, noise=None, private=True):
    mechanisms = Mechanisms(noise or SecureNoise(), private=private)
    for label, event in events.items():
        mechanisms.allot(label, event)
    return mechanisms


CALLS = {
    "counts": (lambda m: m.counts("a", np.array([3, 4]), sensitivity=1.0), {"a": Gaussian(0.5)}),
    "discover": (
        lambda m: m.discover("a", [np.array([3, 4]), np.array([7])]),
        {"a": Gaussian(0.5), "a (delta)": Failure(1e-6)},
    ),
    "choose": (lambda m: m.choose("a", np.array([1.0, 2.0, 3.0]), sensitivity=1.0), {"a": BoundedRange(0.5, 2)}),
    "train": (lambda m: m.train("a", clip_norm=1.0), {"a": SubsampledGaussian(1.0, 0.1, 5)}),
    "settle_rounding": (lambda m: m.settle_rounding("a", epsilon=1.0), {"a": Failure(1e-9)}),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_label_is_charged_exactly_once(name):
    call, events = CALLS[name]
    mechanisms = allotted(events)
    assert mechanisms.allotted == list(events.values())
    call(mechanisms)
    assert {c.label: c.event for c in mechanisms.charges} == events
    assert mechanisms.events == list(events.values())
    assert not mechanisms.allotted
    assert not mechanisms.allows("a")
    mechanisms.noise = Untouchable()
    with pytest.raises(PrivacyError, match="'a'"):
        call(mechanisms)
    assert len(mechanisms.charges) == len(events)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("private", [True, False])
def test_nothing_allotted_means_nothing_read(name, private):
    call, events = CALLS[name]
    wrong_kind = dict.fromkeys(events, PureDP(0.1))
    for given in ({}, {"b": next(iter(events.values()))}, wrong_kind):
        mechanisms = allotted(given, Untouchable(), private)
        with pytest.raises(PrivacyError, match="allotted"):
            call(mechanisms)
        assert mechanisms.charges == ()


def test_discover_without_its_delta_reads_nothing():
    with pytest.raises(PrivacyError, match="delta"):
        CALLS["discover"][0](allotted({"a": Gaussian(0.5)}, Untouchable()))


def test_a_label_is_allotted_once():
    mechanisms = allotted({"a": Gaussian(0.5)})
    with pytest.raises(PrivacyError, match="allotted already"):
        mechanisms.allot("a", Gaussian(0.1))


def test_charges_hold_the_calibration():
    mechanisms = allotted({"a": Gaussian(0.5), "b": BoundedRange(0.4, 1)})
    mechanisms.size(100, epsilon=0.25)
    mechanisms.counts("a", np.zeros((3, 4), dtype=np.int64), sensitivity=3.0)
    mechanisms.choose("b", np.zeros(7), sensitivity=2.0)
    found = [(c.label, c.sensitivity, c.scale, c.n_values) for c in mechanisms.charges]
    assert found == [("size", 1.0, 4.0, 1), ("a", 3.0, 6.0, 12), ("b", 2.0, 10.0, 7)]


def test_without_privacy_all_is_exact_and_says_so():
    events = {"a": Gaussian(0.5), "b": Gaussian(0.5), "b (delta)": Failure(1e-6), "c": BoundedRange(0.1, 1)}
    mechanisms = allotted(events, private=False)
    assert mechanisms.events == []
    assert mechanisms.size(7, epsilon=0.1) == 7
    release = mechanisms.counts("a", np.array([5, 0]), sensitivity=1.0)
    assert (release.values.tolist(), release.scale) == ([5.0, 0.0], 0.0)
    kept, noisy, _ = mechanisms.discover("b", [np.array([1, 9])])
    assert (kept[0].tolist(), noisy[0].tolist()) == ([0, 1], [1.0, 9.0])
    assert mechanisms.choose("c", np.array([1.0, 1.1]), sensitivity=1.0).tolist() == [1]
    assert mechanisms.events[0] == NonPrivate()


def test_an_insecure_source_is_not_private_and_keeps_a_tape():
    insecure, secure = allotted({"a": Gaussian(0.5)}, NoNoise()), allotted({"a": Gaussian(0.5)})
    for mechanisms in (insecure, secure):
        mechanisms.counts("a", np.array([5, 0]), sensitivity=1.0)
    assert insecure.events[0] == NonPrivate()
    assert [(label, exact.tolist()) for label, exact in insecure.tape] == [("a", [5.0, 0.0])]
    assert secure.tape == []
    assert secure.events == [Gaussian(0.5)]


@pytest.mark.parametrize(("mu", "sensitivity"), [(0.1, 1.0), (0.25, math.sqrt(7))])
def test_counts_noise_is_sensitivity_over_mu(mu, sensitivity):
    exact = np.arange(20_000)
    release = allotted({"a": Gaussian(mu)}).counts("a", exact, sensitivity=sensitivity)
    # a uniform dither undoes the rounding to integers, and adds 1/6 to the variance with it
    errors = release.values - exact + np.random.default_rng(0).uniform(-0.5, 0.5, exact.size)
    assert release.scale == sensitivity / mu
    assert has_gaussian_noise(errors, math.hypot(sensitivity / mu, math.sqrt(1 / 6)))
    assert not has_gaussian_noise(errors / 2, math.hypot(sensitivity / mu, math.sqrt(1 / 6)))


def test_size_is_at_least_one_and_noisy():
    sizes = [Mechanisms(SecureNoise(), private=True).size(3, epsilon=0.1) for _ in range(200)]
    assert min(sizes) == 1
    assert len(set(sizes)) > 10


def released_singletons(mu, delta, n_histograms, n_trials, threshold=None):
    """How many of `n_trials` keys held by one row each are released, per histogram."""
    mechanisms = allotted({"a": Gaussian(mu), "a (delta)": Failure(delta)})
    counts = [np.ones(n_trials, dtype=np.int64) for _ in range(n_histograms)]
    kept, _, scale = mechanisms.discover("a", counts)
    if threshold is not None:
        noisy = SecureNoise().discrete_gaussian(np.concatenate(counts), scale=scale)
        return int((noisy > threshold).sum())
    return sum(len(part) for part in kept)


def at_most(successes, trials, probability):
    """The Clopper-Pearson lower bound at 1e-6 does not exceed `probability`."""
    low = stats.beta.ppf(FALSE_ALARM, successes, trials - successes + 1) if successes else 0.0
    return low <= probability


@pytest.mark.parametrize(
    ("mu", "delta", "n_histograms"),
    [(0.5, 0.1, 1), (2.0, 0.02, 1), (3.3, 0.01, 1), (0.7, 0.1, 4), (1.9, 0.05, 2), (2.9, 0.05, 3)],
)
def test_singletons_are_released_with_probability_delta_0(mu, delta, n_histograms):
    trials = 20_000 // n_histograms
    found = released_singletons(mu, delta, n_histograms, trials)
    assert at_most(found, trials * n_histograms, delta / n_histograms)
    faulty = released_singletons(mu, delta, n_histograms, trials, threshold=0.0)
    assert not at_most(faulty, trials * n_histograms, delta / n_histograms)


@pytest.mark.parametrize(
    ("mu", "delta", "n_histograms"), [(0.5, 0.1, 1), (2.0, 0.02, 1), (0.7, 0.1, 4), (1.9, 0.05, 3)]
)
def test_rows_that_are_shared_out_are_charged_once_and_hidden_likewise(mu, delta, n_histograms):
    """Keys of a whole row each, which is more than a row of several keys adds; noise and charges are in rows."""
    parts, trials = 64, 20_000 // n_histograms
    mechanisms = allotted({"a": Gaussian(mu), "a (delta)": Failure(delta)})
    counts = [np.full(trials, parts) for _ in range(n_histograms)]
    kept, noisy, scale = mechanisms.discover("a", counts, parts=parts)
    found = sum(len(part) for part in kept)
    assert at_most(found, trials * n_histograms, delta / n_histograms)
    assert found > 0.7 * trials * delta  # nothing is wasted, but .5 parts for rounding: five deviations
    charge = mechanisms.charges[0]
    assert (charge.sensitivity, charge.scale, scale) == (1.0, 1 / mu, 1 / mu)
    assert all(((part * parts) % 1 == 0).all() for part in noisy)


def test_shared_rows_have_the_noise_that_is_charged():
    mu, parts = 0.2, 64
    counts = np.arange(1, 20_001) * parts + 10**7 * parts  # all far above the threshold
    mechanisms = allotted({"a": Gaussian(mu), "a (delta)": Failure(1e-6)})
    (kept,), (noisy,), scale = mechanisms.discover("a", [counts], parts=parts)
    assert kept.size == counts.size
    errors = noisy - counts / parts
    assert has_gaussian_noise(errors, math.hypot(scale, math.sqrt(1 / 12) / parts))
    assert not has_gaussian_noise(errors / 2, math.hypot(scale, math.sqrt(1 / 12) / parts))


def test_parts_of_persons_are_charged_for_all_their_rows():
    mechanisms = Mechanisms(SecureNoise(), private=True, unit=Unit("id", 3))
    for label, event in {"a": Gaussian(0.5), "a (delta)": Failure(1e-6)}.items():
        mechanisms.allot(label, event)
    mechanisms.discover("a", [np.array([64]), np.array([640_000])], parts=64)
    assert (mechanisms.charges[0].sensitivity, mechanisms.charges[0].scale) == (3.0, 6.0)


def test_a_threshold_that_forgets_rounding_would_be_seen():
    mu, delta, trials = 1.0, float(stats.norm.sf(0.9)), 20_000
    threshold = 1 + stats.norm.isf(delta) / mu  # 1.9: every noise above .5 is rounded up to 2
    assert not at_most(released_singletons(mu, delta, 1, trials, threshold=threshold), trials, delta)
    assert at_most(released_singletons(mu, delta, 1, trials), trials, delta)


def released_share_is_noisy(released, count, *, mu, delta):
    """Whether keys of `count` rows are released as often as noise lifts them above the threshold."""
    threshold = 1.5 + stats.norm.isf(delta) / mu  # one histogram: the scale is 1/mu; counts are rounded
    law = stats.norm.sf(np.floor(threshold) + 0.5 - count, scale=1 / mu)
    return stats.binomtest(int(released.sum()), released.size, law).pvalue >= FALSE_ALARM


@pytest.mark.parametrize("count", [2, 8, 10, 12, 30])
def test_whether_a_key_is_released_depends_on_its_noisy_count_alone(count):
    """A filter on exact counts, whatever its limit, releases all keys of a count or none."""
    mu, delta, trials = 0.5, 1e-5, 4000
    mechanisms = allotted({"a": Gaussian(mu), "a (delta)": Failure(delta)})
    (kept,), (noisy,), _ = mechanisms.discover("a", [np.full(trials, count)])
    released = np.isin(np.arange(trials), kept)
    assert released_share_is_noisy(released, count, mu=mu, delta=delta)
    assert np.unique(noisy).size > 1 or count < 8
    if 8 <= count <= 12:  # the threshold is 10: a filter that does not look at the noise is seen on either side
        for limit in (2, 9.9, 10.1):
            assert not released_share_is_noisy(np.full(trials, count > limit), count, mu=mu, delta=delta)


def test_heavy_keys_are_released_by_histogram():
    mechanisms = allotted({"a": Gaussian(1.0), "a (delta)": Failure(1e-6)})
    kept, noisy, scale = mechanisms.discover("a", [np.array([1, 900, 1, 800]), np.array([1]), np.array([700])])
    assert [part.tolist() for part in kept] == [[1, 3], [], [0]]
    assert all(abs(n - c) < 8 * scale for n, c in zip(np.concatenate(noisy), [900, 800, 700], strict=True))
    assert scale == math.sqrt(3)


def test_the_number_of_observed_keys_is_not_in_the_charge():
    """It is an exact count of the rows (for a float column: of nearly all), and the certificate shows charges."""
    charges = []
    for n_keys in (10, 11, 500):
        mechanisms = allotted({"a": Gaussian(0.1), "a (delta)": Failure(1e-9)})
        mechanisms.discover("a", [np.array([5000] + [1] * n_keys)])
        charges.append(mechanisms.charges)
    assert charges[0] == charges[1] == charges[2]
    assert charges[0][0].n_values == 1


def picks(eta, sensitivity, scores, n_trials, count=1, noise=None):
    chosen = []
    for _ in range(n_trials):
        mechanisms = allotted({"a": BoundedRange(eta, count)}, noise)
        chosen.append(mechanisms.choose("a", scores, sensitivity=sensitivity))
    return np.array(chosen)


def fits(wins, law):
    return stats.chisquare(wins, law * wins.sum()).pvalue >= FALSE_ALARM


@pytest.mark.parametrize(("eta", "sensitivity"), [(0.5, 1.0), (2.0, 3.0)])
def test_choice_is_the_exponential_mechanism(eta, sensitivity):
    scores = sensitivity * np.array([0.0, 1.0, 2.5, -1.0])
    law = np.exp(eta * scores / (2 * sensitivity))
    law /= law.sum()
    source = SecureNoise()
    wins = np.bincount(picks(eta, sensitivity, scores, 6000, noise=source)[:, 0], minlength=4)
    assert fits(wins, law)
    twice = np.exp(eta * scores / sensitivity)
    assert not fits(wins, twice / twice.sum())  # the twin: twice the score a charge allows
    silent = np.bincount(picks(eta, sensitivity, scores, 100, noise=NoNoise())[:, 0], minlength=4)
    assert not fits(silent, law)


def test_choosing_several_is_choosing_one_after_the_other():
    eta, scores = 2.0, np.array([0.0, 1.0, 2.0])
    weights = np.exp(eta * scores / 2)
    chosen = picks(eta, 1.0, scores, 6000, count=2, noise=SecureNoise())
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    law = [weights[i] / weights.sum() * weights[j] / (weights.sum() - weights[i]) for i, j in pairs]
    wins = np.array([np.all(chosen == pair, axis=1).sum() for pair in pairs])
    assert wins.sum() == len(chosen)
    assert fits(wins, np.array(law))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0, 30.0])
def test_rounding_of_a_large_fit_costs_less_than_its_share(epsilon):
    mechanisms = allotted({"a": Gaussian(0.5), "r": Failure(1e-9)})
    mechanisms.counts("a", np.zeros(20_000, dtype=np.int64), sensitivity=1.0)
    mechanisms.settle_rounding("r", epsilon=epsilon)
    assert mechanisms.charges[-1].event == Failure(1e-9)


def test_rounding_that_costs_more_than_its_share_is_refused():
    mechanisms = allotted({"a": Gaussian(0.5), "r": Failure(1e-30)})
    mechanisms.counts("a", np.zeros(5, dtype=np.int64), sensitivity=1.0)
    with pytest.raises(PrivacyError, match="rounding"):
        mechanisms.settle_rounding("r", epsilon=1.0)


@pytest.mark.parametrize(("s", "reach"), [(2.0, 5.0), (4.0, 6.0), (9.0, 8.0)])
def test_rounded_and_discrete_noise_differ_by_the_stated_factor(s, reach):
    k = np.arange(-int(reach * s), int(reach * s) + 1)
    discrete = np.exp(-(k**2) / (2 * s**2)) / np.exp(-(np.arange(-400, 401) ** 2) / (2 * s**2)).sum()
    upper = np.abs(k) + 0.5  # by symmetry, from the tail that does not cancel
    rounded = stats.norm.sf(upper - 1, scale=s) - stats.norm.sf(upper, scale=s)
    assert np.abs(np.log(discrete / rounded)).max() <= (reach**2 + 1) / (24 * s**2)


UNIT = Unit("id", 8)


def under(unit, events):
    mechanisms = Mechanisms(SecureNoise(), private=True, unit=unit)
    for label, event in events.items():
        mechanisms.allot(label, event)
    return mechanisms


def test_every_sensitivity_is_multiplied_by_the_rows_of_a_person():
    events = {"a": Gaussian(0.5), "b": BoundedRange(0.4, 1), "c": Gaussian(0.25), "c (delta)": Failure(1e-6)}
    mechanisms = under(UNIT, events)
    mechanisms.size(100, epsilon=0.25)
    release = mechanisms.counts("a", np.zeros((3, 4), dtype=np.int64), sensitivity=3.0)
    mechanisms.choose("b", np.zeros(7), sensitivity=2.0)
    _, _, scale = mechanisms.discover("c", [np.array([3]), np.array([5]), np.array([5]), np.array([9])])
    found = [(c.label, c.sensitivity, c.scale) for c in mechanisms.charges]
    expected = [("size", 8.0, 32.0), ("a", 24.0, 48.0), ("b", 16.0, 80.0), ("c", 16.0, 64.0), ("c (delta)", 0.0, 0.0)]
    assert found == expected
    assert (release.scale, scale) == (48.0, 64.0)


def test_a_persons_rows_count_as_one_in_the_histogram_of_persons():
    exact = np.arange(0, 8000, 1000)
    trials = [Mechanisms(SecureNoise(), private=True, unit=UNIT).persons(exact, epsilon=0.5) for _ in range(500)]
    errors = np.concatenate([noisy - exact for noisy, _ in trials])
    assert {scale for _, scale in trials} == {2.0}
    p = 1 - math.exp(-0.5)  # discrete Laplace: P(k) = (1 - q) / (1 + q) q^|k| with q = exp(-epsilon)
    law = np.array([p / (2 - p) * (1 - p) ** abs(k) for k in range(-6, 7)])
    seen = np.array([(errors == k).sum() for k in range(-6, 7)])
    rest = [errors.size - seen.sum()], [1 - law.sum()]
    wins, shares = np.concatenate([seen, rest[0]]), np.concatenate([law, rest[1]])
    assert stats.chisquare(wins, shares * errors.size).pvalue >= FALSE_ALARM
    wider = np.array([1 / 33 for _ in range(13)] + [20 / 33])
    assert stats.chisquare(wins, wider * errors.size).pvalue < FALSE_ALARM


def is_discrete_laplace(errors, epsilon, *, reach=6):
    """Whether whole numbers have the law (1 - q) / (1 + q) q^|k| with q = exp(-epsilon)."""
    q = math.exp(-epsilon)
    law = np.array([(1 - q) / (1 + q) * q ** abs(k) for k in range(-reach, reach + 1)])
    seen = np.array([(errors == k).sum() for k in range(-reach, reach + 1)])
    wins, shares = np.append(seen, errors.size - seen.sum()), np.append(law, 1 - law.sum())
    return stats.chisquare(wins, shares * errors.size).pvalue >= FALSE_ALARM


@pytest.mark.parametrize("rows", [1, 8])
def test_noise_of_the_row_count_is_sensitivity_over_epsilon(rows):
    """For persons m rows come and go at once: a scale of m / epsilon, epsilon / m a row."""
    unit = Unit("id", rows)
    sizes = [Mechanisms(SecureNoise(), private=True, unit=unit).size(5000, epsilon=0.25 * rows) for _ in range(4000)]
    errors = np.array(sizes) - 5000
    assert is_discrete_laplace(errors, 0.25)
    for fault in (0.5, 0.25 / 8, 2.0):  # half the noise, that of a smaller epsilon, that of another unit
        assert not is_discrete_laplace(errors, fault)


def test_the_unit_is_set_before_anything_but_persons_is_read():
    mechanisms = under(Unit(), {"a": Gaussian(0.5)})
    mechanisms.persons(np.array([3, 4]), epsilon=0.1)
    mechanisms.protect(UNIT)
    assert mechanisms.unit == UNIT
    mechanisms.size(100, epsilon=0.1)
    with pytest.raises(PrivacyError, match="unit"):
        mechanisms.protect(Unit("id", 4))
    assert mechanisms.unit == UNIT


def test_dp_sgd_is_refused_for_persons_with_several_rows():
    events = {"a": SubsampledGaussian(1.0, 0.1, 5)}
    mechanisms = under(UNIT, events)
    with pytest.raises(PrivacyError, match="rows one by one"):
        mechanisms.train("a", clip_norm=1.0)
    assert mechanisms.charges == ()
    assert under(Unit("id", 1), events).train("a", clip_norm=1.0) == events["a"]


@pytest.mark.parametrize("unit", [{"rows": 2}, {"column": "id", "rows": 0}, {"column": "id", "rows": 1.5}])
def test_units_that_make_no_sense_are_refused(unit):
    with pytest.raises(ParameterError, match="rows"):
        Unit(**unit)


def persons_released(mu, delta, keys, n_histograms, n_persons, threshold=None):
    """How many persons have a key of theirs released that nobody else holds; `keys` are its counts in each."""
    mechanisms = under(UNIT, {"a": Gaussian(mu), "a (delta)": Failure(delta)})
    counts = [np.tile(np.array(keys, dtype=np.int64), n_persons) for _ in range(n_histograms)]
    kept, _, scale = mechanisms.discover("a", counts)
    if threshold is not None:
        noisy = [SecureNoise().discrete_gaussian(part, scale=scale) for part in counts]
        kept = [np.flatnonzero(part > threshold(scale)) for part in noisy]
    return len({int(index) // len(keys) for part in kept for index in part})


@pytest.mark.parametrize("keys", [[1] * 8, [8], [4, 4], [5, 1, 1, 1]], ids=str)
@pytest.mark.parametrize(
    ("mu", "delta", "n_histograms"), [(8.0, 0.1, 1), (0.5, 0.1, 1), (3.0, 0.05, 3), (20.0, 0.05, 2)]
)
def test_a_person_is_released_with_probability_delta(keys, mu, delta, n_histograms):
    n_persons = 16_000 // (len(keys) * n_histograms)
    assert at_most(persons_released(mu, delta, keys, n_histograms, n_persons), n_persons, delta)


TWINS = {  # a threshold that forgets something, and the person for whom that shows
    "the count of a person's key": (20.0, [8], lambda s: 1.5 + s * stats.norm.isf(0.05 / 8)),
    "the number of a person's keys": (0.1, [1] * 8, lambda s: 8.5 + s * stats.norm.isf(0.05)),
    "the rows of a person altogether": (3.0, [8], lambda s: 1.5 + s * stats.norm.isf(0.05)),
}


@pytest.mark.parametrize("twin", TWINS)
def test_a_threshold_that_forgets_a_persons_rows_would_be_seen(twin):
    mu, keys, threshold = TWINS[twin]
    n_persons = 16_000 // len(keys)
    assert not at_most(persons_released(mu, 0.05, keys, 1, n_persons, threshold), n_persons, 0.05)
    assert at_most(persons_released(mu, 0.05, keys, 1, n_persons), n_persons, 0.05)


@pytest.mark.parametrize(("mu", "passes"), [(16.0, True), (24.0, False)])
def test_neighbouring_counts_are_as_far_apart_as_a_person_has_rows(mu, passes):
    """With mu = 24 the two counts of a value are 24 deviations apart: within 27 of both is within 3 of one."""
    mechanisms = under(UNIT, {"a": Gaussian(mu), "r": Failure(1e-9)})
    mechanisms.counts("a", np.array([5]), sensitivity=1.0)
    assert mechanisms.charges[0].scale == 8 / mu
    if passes:
        mechanisms.settle_rounding("r", epsilon=1.0)
    else:  # with counts one apart, as for rows, these would be 24 deviations
        assert 2 * (1 + math.e) * stats.norm.sf(27 - mu / 8) < 1e-9
        with pytest.raises(PrivacyError, match="rounding"):
            mechanisms.settle_rounding("r", epsilon=1.0)
