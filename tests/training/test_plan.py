"""The plan: whatever is asked for, what is allotted meets the budget and depends on public things alone."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from privsynth.errors import ParameterError
from privsynth.privacy.accountant import epsilon_of, exponential_mu, gdp_mu, total_mu
from privsynth.privacy.budget import Budget
from privsynth.privacy.events import BoundedRange, Failure, Gaussian, SubsampledGaussian
from privsynth.privacy.mechanisms import Mechanisms
from privsynth.privacy.noise import NoNoise, SecureNoise
from privsynth.privacy.unit import Unit
from privsynth.training.measure import CLASS_COLUMNS, CONDITION_PAIRS, PAIRS, SELECTION
from privsynth.training.partitions import PARTITIONS
from privsynth.training.plan import (
    MARGIN,
    ROUNDING,
    SIZE_SHARE,
    VALUES_DELTA_SHARE,
    make_plan,
    plan_answers,
    weakness,
)
from privsynth.training.shares import CHOICE, TRAINING, Request, gate
from privsynth.transforms.encoder import BOUNDS, LEVELS, MAX_CELLS, ONE_WAY, RARER, ROUNDS, VALUES
from privsynth.transforms.inspection import INSPECTION


def allot(request, budget, n_rows, *, private=True):
    mechanisms = Mechanisms(SecureNoise(), private=private)
    mechanisms.size(n_rows, epsilon=(budget.epsilon or 1.0) * SIZE_SHARE)
    return make_plan(request, budget, n_rows, mechanisms), mechanisms


def labelled(mechanisms):
    return dict(mechanisms._allotted)


def make_request(**changes):
    asked = {BOUNDS: 2, VALUES: 4, RARER: 2, "leaves": 3, ONE_WAY: 8, INSPECTION: 3}
    standard = Request(
        discoveries=asked,
        n_columns=8,
        n_conditions=1,
        split=True,
        critic="measured",
        batch_size=500,
        discriminator_steps=50,
        discriminator_dim=(64, 32),
    )
    return replace(standard, **changes)


@st.composite
def requests(draw, critics=("measured",)):
    n_columns = draw(st.integers(1, 40))
    numbers = draw(st.integers(0, n_columns))
    asked = {
        BOUNDS: draw(st.integers(0, numbers)),
        VALUES: (values := draw(st.integers(0, n_columns))),
        RARER: draw(st.integers(0, n_columns - values)),
        "leaves": numbers,
        ONE_WAY: n_columns,
        INSPECTION: draw(st.integers(0, n_columns)),
    }
    return Request(
        discoveries=asked,
        n_columns=n_columns,
        n_conditions=draw(st.integers(0, n_columns - 1)),
        split=draw(st.booleans()),
        critic=draw(st.sampled_from(critics)),
        batch_size=draw(st.integers(1, 2000)),
        discriminator_steps=draw(st.integers(1, 100)),
        discriminator_dim=tuple(draw(st.lists(st.integers(1, 64), min_size=1, max_size=2))),
    )


budgets = st.builds(Budget, st.floats(0.2, 20), st.floats(1e-9, 1e-3))
sizes = st.integers(2_000, 2_000_000)


def check(request, budget, n_rows):
    try:
        plan, mechanisms = allot(request, budget, n_rows)
    except ParameterError as error:
        assert "epsilon parameter" in str(error)  # noqa: PT017
        return None, None
    events = [*mechanisms.events, *mechanisms.allotted]
    spent = epsilon_of(events, delta=budget.delta)
    assert spent <= budget.epsilon * (1 + 1e-7)
    assert spent >= 0.9 * budget.epsilon  # and little is wasted
    return plan, mechanisms


@settings(max_examples=150, deadline=None)
@given(request=requests(), budget=budgets, n_rows=sizes)
def test_what_is_allotted_meets_the_budget(request, budget, n_rows):
    plan, mechanisms = check(request, budget, n_rows)
    assume(plan is not None)
    assert plan.measured
    assert not plan.neural
    assert not {TRAINING, CHOICE} & labelled(mechanisms).keys()


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    request=requests(critics=("both", "neural", "auto")),
    budget=st.builds(Budget, st.floats(0.5, 3), st.floats(1e-7, 1e-5)),
    n_rows=st.integers(20_000, 2_000_000),
)
def test_with_training_it_meets_the_budget_too(request, budget, n_rows):
    plan, mechanisms = check(request, budget, n_rows)
    assume(plan is not None)
    labels = labelled(mechanisms)
    assert plan.neural == (TRAINING in labels)
    assert (CHOICE in labels) == (plan.neural and request.critic != "neural")
    if plan.neural:
        event = labels[TRAINING]
        assert isinstance(event, SubsampledGaussian)
        assert event.steps == request.discriminator_steps
        assert event.sampling_rate == min(1.0, request.batch_size / n_rows) == plan.sampling_rate


@settings(max_examples=100, deadline=None)
@given(request=requests(), budget=budgets, n_rows=sizes)
def test_shares_of_mu_sum_to_the_whole(request, budget, n_rows):
    plan, mechanisms = check(request, budget, n_rows)
    assume(plan is not None)
    labels = labelled(mechanisms)
    failures = sum(e.delta for e in labels.values() if isinstance(e, Failure))
    whole = gdp_mu(budget.epsilon * (1 - SIZE_SHARE - MARGIN), budget.delta - failures)
    assert total_mu(labels.values()) == pytest.approx(whole, rel=1e-6)
    squares = sum(e.mu**2 for e in labels.values() if isinstance(e, Gaussian))
    squares += sum(e.count * exponential_mu(e.eta) ** 2 for e in labels.values() if isinstance(e, BoundedRange))
    assert squares == pytest.approx(whole**2, rel=1e-6)


def test_labels_are_those_that_something_is_asked_of():
    _, mechanisms = allot(make_request(), Budget(1.0), 20_000)
    assert labelled(mechanisms).keys() == {
        INSPECTION, BOUNDS, VALUES, VALUES + " (delta)", LEVELS, LEVELS + " (delta)", RARER, RARER + " (delta)",
        *ROUNDS, ONE_WAY, CLASS_COLUMNS, CONDITION_PAIRS, PAIRS, PARTITIONS, ROUNDING,
    }  # fmt: skip
    declared = {BOUNDS: 0, VALUES: 0, RARER: 0, "leaves": 0, ONE_WAY: 1, INSPECTION: 0}
    _, mechanisms = allot(
        make_request(discoveries=declared, n_columns=1, split=False, n_conditions=0), Budget(1.0), 20_000
    )
    assert labelled(mechanisms).keys() == {ONE_WAY, ROUNDING}


def one_look(request):
    asked = request.discoveries
    return replace(request, discoveries={**asked, VALUES: asked[VALUES] + asked[RARER], RARER: 0})


def test_delta_of_discovery_is_a_tenth():
    """All looks share it; where there is one, it has all."""
    levels_only = replace(make_request(), discoveries={**make_request().discoveries, VALUES: 0})
    for request, looks in (
        (make_request(), [VALUES, LEVELS, RARER]),
        (levels_only, [LEVELS, RARER]),
        (one_look(make_request()), [VALUES]),
    ):
        _, mechanisms = allot(request, Budget(1.0, 1e-6), 20_000)
        for label in (VALUES, LEVELS, RARER):
            expected = Failure(1e-6 * VALUES_DELTA_SHARE / len(looks)) if label in looks else None
            assert labelled(mechanisms).get(label + " (delta)") == expected
            assert (label in labelled(mechanisms)) == (label in looks)


@pytest.mark.parametrize("n_rows", [300, 3000, 100_000])
def test_levels_have_what_one_look_would_beside_numbers(n_rows):
    """Relative to other tables: numbers keep their noise, and the looks at levels have a third and two of the whole."""
    two, one = (labelled(allot(r, Budget(1.0), n_rows)[1]) for r in (small_request(), one_look(small_request())))
    looks = {label: (two[label].mu / two[ONE_WAY].mu) ** 2 for label in (VALUES, LEVELS, RARER)}
    whole = (one[VALUES].mu / one[ONE_WAY].mu) ** 2
    assert looks == pytest.approx({VALUES: whole / 2, LEVELS: whole / 3, RARER: 2 * whole / 3})
    assert two[ONE_WAY].mu < one[ONE_WAY].mu  # all add up to the same


@pytest.mark.parametrize("n_rows", [200, 10_000, 10**6])
def test_columns_by_class_have_a_fifth_of_what_pairs_have(n_rows):
    """Whether all is planned or only the answers."""
    _, planned = allot(make_request(), Budget(10.0), n_rows)
    answers = Mechanisms(SecureNoise(), private=True)
    answers.size(n_rows, epsilon=0.02)
    plan_answers([ONE_WAY, CLASS_COLUMNS, PAIRS], 8, Budget(10.0), n_rows, answers)
    for events in (labelled(planned), labelled(answers)):
        assert (events[CLASS_COLUMNS].mu / events[PAIRS].mu) ** 2 == pytest.approx(10 / 50)


def test_pairs_are_selected_where_the_budget_carries_few():
    counts = []
    for n_rows in (1500, 40_000, 4_000_000):
        _, mechanisms = allot(make_request(n_columns=20), Budget(1.0), n_rows)
        event = labelled(mechanisms).get(SELECTION)
        counts.append(math.comb(19, 2) if event is None else event.count)
    assert counts == sorted(counts)
    assert counts[0] == 19
    assert counts[-1] == math.comb(19, 2)


def test_a_choice_of_nearly_all_pairs_is_not_paid_for():
    """Of 171 pairs a choice leaves out a quarter at least; 128 are three quarters."""
    chosen = []
    for n_rows in range(3000, 20_000, 250):
        _, mechanisms = allot(make_request(n_columns=20), Budget(1.0), n_rows)
        event = labelled(mechanisms).get(SELECTION)
        chosen.append(171 if event is None else event.count)
    assert chosen == sorted(chosen)
    assert 110 < max(n for n in chosen if n < 171) <= 128
    assert chosen[-1] == 171


@pytest.mark.parametrize("n_rows", [50, 300, 3000])
def test_without_privacy_all_pairs_are_measured(n_rows):
    _, mechanisms = allot(make_request(n_columns=20), Budget(None), n_rows, private=False)
    assert PAIRS in labelled(mechanisms)
    assert SELECTION not in labelled(mechanisms)


def test_leaves_get_more_of_a_small_table_until_their_noise_is_small():
    """In all rounds together: noise of 1/200 of the rows, for no more than a tenth of the other shares' sum."""
    shares, noises = {}, {}
    for n_rows in (2000, 3000, 5000, 6000, 20_000, 400_000):
        _, mechanisms = allot(make_request(), Budget(1.0), n_rows)
        squares = {label: e.mu**2 for label, e in labelled(mechanisms).items() if isinstance(e, Gaussian)}
        of_leaves = sum(squares[label] for label in ROUNDS)
        shares[n_rows] = of_leaves / sum(squares.values())
        noises[n_rows] = math.sqrt(3 / of_leaves) / n_rows  # of a leaf of three columns that is counted in every round
        usual = 3.5 / 5 * squares[ONE_WAY]
    assert of_leaves == pytest.approx(usual)
    assert shares[20_000] == pytest.approx(shares[400_000])
    assert noises[20_000] < 1 / 400
    for n_rows in (2000, 3000):  # as much as may be
        assert shares[n_rows] == pytest.approx(0.1, rel=0.05)
        assert noises[n_rows] > 1 / 150
    for n_rows in (5000, 6000):
        assert shares[20_000] < shares[n_rows] < shares[3000]
        assert noises[n_rows] == pytest.approx(1 / 200, rel=0.05)


@pytest.mark.parametrize(("epsilon", "n_rows", "n_columns"), [(0.001, 1000, 8), (0.05, 50, 8), (0.01, 5, 30)])
def test_too_small_a_budget_is_named(epsilon, n_rows, n_columns):
    asked = {BOUNDS: 2, VALUES: 4, RARER: 2, "leaves": 3, ONE_WAY: n_columns, INSPECTION: 3}
    request = make_request(n_columns=n_columns, discoveries=asked)
    with pytest.raises(ParameterError, match="epsilon parameter of CTGAN") as info:
        allot(request, Budget(epsilon), n_rows)
    for told in (f"{n_rows} rows", f"{n_columns} columns", "Raise epsilon", "Only the row count was read"):
        assert told in str(info.value)


def small_request(n_columns=20):
    asked = {BOUNDS: 10, VALUES: 6, RARER: 6, "leaves": 10, ONE_WAY: n_columns, INSPECTION: 12}
    return make_request(n_columns=n_columns, discoveries=asked)


def test_small_tables_are_planned_for_what_they_can_show():
    """Discoveries get more of the budget, and tables of two columns are left out: noise would drown them."""
    small, large = (labelled(allot(small_request(), Budget(1.0), n)[1]) for n in (200, 20_000))
    assert not small.keys() & {CLASS_COLUMNS, CONDITION_PAIRS, PAIRS, SELECTION, PARTITIONS}
    assert {CLASS_COLUMNS, CONDITION_PAIRS, PAIRS} <= large.keys()
    for label, more in ((BOUNDS, 1.5), (VALUES, 1.2), (LEVELS, 1.2), (RARER, 1.2)):
        assert small[label].mu > more * large[label].mu


def test_a_weak_signal_is_told_with_numbers_and_a_remedy():
    told = []
    for n_rows, epsilon in [(200, 1.0), (200, 10.0), (1_000, 1.0), (20_000, 1.0)]:
        plan, mechanisms = allot(small_request(), Budget(epsilon), n_rows)
        told.append(weakness(plan, small_request(), Budget(epsilon)))
        assert plan.count_noise == pytest.approx(math.sqrt(20) / labelled(mechanisms)[ONE_WAY].mu)
        assert plan.relations == (PAIRS in labelled(mechanisms))
    assert [bool(text) for text in told] == [True, False, True, False]
    for word in ("200 rows", "20 columns", "epsilon=1", "relations between columns are not learned", "Raise epsilon"):
        assert word in told[0]
    assert "levels show only above about" in told[2]


def test_the_remedy_helps():
    """Who follows the advice on epsilon or on rows is not told the same again."""
    plan, _ = allot(small_request(), Budget(1.0), 200)
    text = weakness(plan, small_request(), Budget(1.0))
    epsilon = float(re.search(r"Raise epsilon to about ([\d.]+)", text).group(1))
    n_rows = int(re.search(r"gather about (\d+) rows", text).group(1))
    for budget, n in ((Budget(epsilon), 200), (Budget(1.0), n_rows)):
        assert weakness(allot(small_request(), budget, n)[0], small_request(), budget) == ""


def test_level_thresholds_are_those_of_the_mechanism():
    """What is told is what the discovery does: levels of that many rows show in half of all fits."""
    for request, label, n_columns, parts in (
        (one_look(small_request()), VALUES, 12, None),
        (small_request(), RARER, 6, 64),
    ):
        plan, mechanisms = allot(request, Budget(1.0), 20_000)
        count = round(plan.level_threshold * (parts or 1))
        counts = [np.array([count] * 200)] + [np.array([1])] * (n_columns - 1)
        kept, _, _ = mechanisms.discover(label, counts, parts=parts)
        assert 50 < len(kept[0]) < 150  # binomial(200, .5): outside with probability 1e-12


def test_a_refused_plan_allots_nothing():
    mechanisms = Mechanisms(SecureNoise(), private=True)
    mechanisms.size(50, epsilon=0.001)
    with pytest.raises(ParameterError):
        make_plan(make_request(), Budget(0.05), 50, mechanisms)
    assert mechanisms.allotted == []


def test_only_public_things_and_the_row_count_decide():
    """The same released row count gives the same events, whatever came before in the noise."""
    results = []
    for _ in range(3):
        mechanisms = Mechanisms(SecureNoise(), private=True)
        mechanisms.size(int(np.random.default_rng().integers(10**6)), epsilon=0.02)
        plan = make_plan(make_request(), Budget(1.0), 30_000, mechanisms)
        results.append((plan, labelled(mechanisms)))
    assert results[0] == results[1] == results[2]
    other, mechanisms = allot(make_request(n_columns=20), Budget(1.0), 5000)
    assert other != results[0][0]


def test_without_privacy_nothing_is_refused_or_calibrated():
    plan, mechanisms = allot(make_request(critic="both"), Budget(None), 10, private=False)
    assert plan.neural
    assert labelled(mechanisms)[TRAINING].noise_multiplier == 0.0


def test_the_neural_critic_runs_where_it_is_asked_for_only():
    for n_rows in (5000, 10_000_000):
        assert not allot(make_request(critic="auto"), Budget(10.0), n_rows)[0].neural
        assert allot(make_request(critic="both"), Budget(10.0), n_rows)[0].neural


def test_less_noise_gets_dp_sgd_more_of_the_budget():
    asked = [gate(make_request(critic="both"), 0.27, n) for n in (10**4, 10**5, 3 * 10**5, 10**6)]
    shares, ratios = zip(*asked, strict=True)
    assert list(ratios) == sorted(ratios, reverse=True)
    assert list(shares) == sorted(shares)
    assert set(shares) == {10.0, 25.0, 50.0}


def rounded(events):
    """Parameters of events to nine digits."""
    return {
        label: (type(event), *(float(f"{value:.9g}") for value in vars(event).values()))
        for label, event in events.items()
    }


def outcome(request, budget, n_rows, unit):
    """What is allotted, to nine digits, and planned, or the refusal; row counts are exact."""
    mechanisms = Mechanisms(NoNoise(), private=True, unit=unit)
    n_hat = mechanisms.size(n_rows, epsilon=(budget.epsilon or 1.0) * SIZE_SHARE)
    try:
        plan = make_plan(request, budget, n_hat, mechanisms)
    except ParameterError:
        return "refused"
    return rounded(labelled(mechanisms)), plan.measured, plan.neural


@settings(max_examples=60)
@given(request=requests(), budget=budgets, n_rows=st.integers(100, 200_000), rows=st.integers(2, 64))
def test_m_rows_a_person_are_planned_like_one_of_a_table_with_that_many_less(request, budget, n_rows, rows):
    """Noise is m times as large, so m times the rows carry the same signal."""
    persons, alone = outcome(request, budget, rows * n_rows, Unit("id", rows)), outcome(request, budget, n_rows, Unit())
    assert persons == alone


def test_as_many_rows_carry_less_where_a_person_has_several():
    request, budget = make_request(n_columns=20), Budget(1.0, 1e-5)
    assert outcome(request, budget, 30_000, Unit("id", 1)) == outcome(request, budget, 30_000, Unit())
    assert outcome(request, budget, 30_000, Unit("id", 16)) != outcome(request, budget, 30_000, Unit())


@settings(deadline=None)
@given(requests(), st.floats(0.1, 20), st.integers(500, 10**6), st.sampled_from([1, 4]))
def test_cells_of_numbers_follow_the_noise_of_pairs(request_, epsilon, n_rows, rows_a_person):
    """A table of two numbers has seven deviations of noise a cell on average, unless that is beyond 12 to 32 cells."""
    mechanisms = Mechanisms(SecureNoise(), private=True, unit=Unit("person", rows_a_person))
    n_rows = mechanisms.size(n_rows, epsilon=epsilon * SIZE_SHARE)
    try:
        plan = make_plan(request_, Budget(epsilon, 1e-6), n_rows, mechanisms)
    except ParameterError:
        assume(False)
    allotted = labelled(mechanisms)
    if PAIRS not in allotted:
        assert plan.n_cells == MAX_CELLS
        return
    others = request_.n_columns - request_.split
    n_pairs = allotted[SELECTION].count if SELECTION in allotted else others * (others - 1) // 2
    noise = rows_a_person * math.sqrt(n_pairs) / allotted[PAIRS].mu
    assert 12 <= plan.n_cells <= MAX_CELLS
    if plan.n_cells < MAX_CELLS:
        assert n_rows / (plan.n_cells + 1) ** 2 <= 7 * noise * (1 + 1e-9)
    if plan.n_cells > 12:
        assert n_rows / plan.n_cells**2 >= 7 * noise * (1 - 1e-9)


def test_without_noise_numbers_have_all_cells():
    assert allot(make_request(), Budget(None, 1e-5), 1000, private=False)[0].n_cells == MAX_CELLS
