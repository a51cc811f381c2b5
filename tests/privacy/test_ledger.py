"""The ledger never overspends: not by floats, crashes, broken files, two objects or eight processes."""

import json
import math
import multiprocessing
import os
import signal
import threading

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from privsynth.errors import BudgetExceeded, ParameterError, PrivacyError, PrivsynthWarning
from privsynth.privacy.budget import Budget
from privsynth.privacy.ledger import Ledger


def needs_fork(test):
    """Children that import nothing anew: torch alone takes seconds."""
    test = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")(test)
    no_fork = "fork" not in multiprocessing.get_all_start_methods()
    return pytest.mark.skipif(no_fork, reason="no fork here")(test)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.json"


def test_reserve_and_settle(path):
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    assert not path.exists()
    number = ledger.reserve("fit", epsilon=0.7, delta=6e-6)
    assert ledger.spent == (0.7, 6e-6)
    ledger.settle(number, epsilon=0.5, delta=5e-6)
    assert ledger.spent == (0.5, 5e-6)
    assert ledger.remaining == Budget(0.5, 5e-6)
    assert Ledger(Budget(1.0, 1e-5), path=path).spends == ledger.spends == Ledger.open(path).spends
    assert [p.name for p in path.parent.iterdir() if p.suffix == ".tmp"] == []


@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize(("epsilon", "delta"), [(0.5, 1e-6), (0.1, 9e-6)])
def test_over_the_budget_raises_with_numbers_and_writes_nothing(where, path, epsilon, delta):
    ledger = Ledger(Budget(1.0, 1e-5), path=path if where == "file" else None)
    ledger.reserve("first", epsilon=0.6, delta=2e-6)
    before = path.read_bytes() if where == "file" else ledger.spends
    with pytest.raises(BudgetExceeded) as info:
        ledger.reserve("second", epsilon=epsilon, delta=delta)
    for number in (f"epsilon={epsilon}", f"delta={delta:g}", "epsilon=1", "delta=1e-05", "epsilon=0.4", "delta=8e-06"):
        assert number in str(info.value)
    assert (path.read_bytes() if where == "file" else ledger.spends) == before


def test_ten_tenths_are_one():
    ledger = Ledger(Budget(1.0, 1e-5))
    for i in range(10):
        ledger.reserve(str(i), epsilon=0.1, delta=1e-6)
    with pytest.raises(BudgetExceeded):
        ledger.reserve("eleventh", epsilon=1e-9, delta=0)
    with pytest.raises(BudgetExceeded, match="10 fits"):
        _ = ledger.remaining


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.floats(0, 0.6), st.floats(0, 6e-6), st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1))),
        max_size=12,
    )
)
def test_never_over_the_total(requests):
    ledger, epsilon_kept, delta_kept = Ledger(Budget(1.0, 1e-5)), 0.0, 0.0
    for epsilon, delta, shares in requests:
        try:
            number = ledger.reserve("fit", epsilon=epsilon, delta=delta)
        except BudgetExceeded:
            assert epsilon_kept + epsilon > 1.0 or delta_kept + delta > 1e-5
            continue
        if shares is not None:
            epsilon, delta = epsilon * shares[0], delta * shares[1]
            ledger.settle(number, epsilon=epsilon, delta=delta)
        epsilon_kept, delta_kept = epsilon_kept + epsilon, delta_kept + delta
        assert ledger.spent == pytest.approx((epsilon_kept, delta_kept))
        assert epsilon_kept <= 1.0 + 1e-9
        assert delta_kept <= 1e-5 + 1e-14


@pytest.mark.parametrize("bad", [-0.5, math.nan])
@pytest.mark.parametrize("name", ["epsilon", "delta"])
def test_amounts_that_would_give_budget_back_are_refused(name, bad):
    ledger = Ledger(Budget(1.0, 1e-5))
    with pytest.raises(ParameterError, match=name):
        ledger.reserve("fit", **{"epsilon": 0.1, "delta": 1e-6, name: bad})
    number = ledger.reserve("fit", epsilon=0.1, delta=1e-6)
    with pytest.raises(ParameterError, match=name):
        ledger.settle(number, **{"epsilon": 0.1, "delta": 1e-6, name: bad})
    assert ledger.spent == (0.1, 1e-6)


def test_settling_twice_or_above_the_reservation_is_refused():
    ledger = Ledger(Budget(1.0, 1e-5))
    number = ledger.reserve("fit", epsilon=0.3, delta=1e-6)
    for epsilon, delta in ((0.31, 1e-6), (0.3, 2e-6)):
        with pytest.raises(PrivacyError, match=r"reserved epsilon=0\.3"):
            ledger.settle(number, epsilon=epsilon, delta=delta)
    ledger.settle(number, epsilon=0.3, delta=1e-6)
    with pytest.raises(PrivacyError, match="cannot be settled"):
        ledger.settle(number, epsilon=0.1, delta=1e-6)


def test_infinite_spends_are_kept_and_refused_by_private_budgets(path):
    open_ledger = Ledger(Budget(None, 1e-5), path=path)
    number = open_ledger.reserve("not private", epsilon=math.inf, delta=1e-5)
    open_ledger.settle(number, epsilon=math.inf, delta=1e-5)
    assert Ledger.open(path).spent == (math.inf, 1e-5)
    assert "Infinity" not in path.read_text()
    open_ledger.reserve("again", epsilon=math.inf, delta=1e-5)
    private = Ledger(Budget(1.0, 1e-5))
    with pytest.raises(BudgetExceeded, match="infinity"):
        private.reserve("not private", epsilon=math.inf, delta=1e-6)
    private.reserve("private", epsilon=1.0, delta=1e-5)


def test_a_write_never_touches_the_file_that_is_there(path):
    """Whoever reads meanwhile reads all of the old file; a crash half-way leaves it."""
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    number = ledger.reserve("first", epsilon=0.1, delta=1e-6)
    before = path.read_text()
    for write in (
        lambda: ledger.reserve("second", epsilon=0.2, delta=1e-6),
        lambda: ledger.settle(number, epsilon=0.1, delta=1e-6),
    ):
        with path.open() as reader:
            before = path.read_text()
            write()
            assert reader.read() == before
        assert path.read_text() != before
    assert Ledger.open(path).spent == pytest.approx((0.3, 2e-6))


def _reserve_and_die(path):
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    number = ledger.reserve("fit", epsilon=0.6, delta=6e-6)
    os.kill(os.getpid(), signal.SIGKILL)
    ledger.settle(number, epsilon=0.1, delta=1e-6)


@needs_fork
def test_a_crash_leaves_the_full_reservation_spent(path):
    child = multiprocessing.get_context("fork").Process(target=_reserve_and_die, args=(path,))
    child.start()
    child.join(timeout=60)
    assert child.exitcode == -signal.SIGKILL
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    assert ledger.spent == (0.6, 6e-6)
    assert not ledger.spends[0].settled
    with pytest.raises(BudgetExceeded):
        ledger.reserve("next", epsilon=0.6, delta=1e-6)


def test_two_objects_on_one_file_see_each_other(path):
    one, two = (Ledger(Budget(1.0, 1e-5), path=path) for _ in range(2))
    first = one.reserve("one", epsilon=0.5, delta=5e-6)
    second = two.reserve("two", epsilon=0.4, delta=4e-6)
    with pytest.raises(BudgetExceeded):
        one.reserve("three", epsilon=0.4, delta=1e-6)
    one.settle(first, epsilon=0.2, delta=1e-6)
    two.settle(second, epsilon=0.3, delta=1e-6)
    assert one.spent == two.spent == (0.5, 2e-6)
    assert [s.label for s in one.spends] == ["one", "two"]


def _try(path, start, results):
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    start.wait()
    try:
        ledger.reserve("fit", epsilon=0.3, delta=1e-6)
        results.put(True)
    except BudgetExceeded:
        results.put(False)


@needs_fork
def test_eight_processes_share_one_budget(path):
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    children = [context.Process(target=_try, args=(path, start, results)) for _ in range(8)]
    for child in children:
        child.start()
    start.set()
    outcomes = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert sorted(outcomes) == [False] * 5 + [True] * 3
    assert Ledger.open(path).spent[0] == pytest.approx(0.9)


def test_a_reservation_waits_for_whoever_holds_the_file(path):
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    waiting = threading.Thread(target=ledger.reserve, args=("fit",), kwargs={"epsilon": 0.1, "delta": 1e-6})
    with FileLock(str(path) + ".lock"):
        waiting.start()
        waiting.join(timeout=0.3)
        assert waiting.is_alive()
        assert not path.exists()
    waiting.join(timeout=60)
    assert Ledger.open(path).spent == (0.1, 1e-6)


def good_file():
    return {
        "format": 1,
        "budget": {"epsilon": 1.0, "delta": 1e-5},
        "spends": [{"label": "fit", "epsilon": 0.5, "delta": 1e-6, "settled": True}],
    }


def broken(change):
    data = good_file()
    change(data)
    return json.dumps(data)


BROKEN = {
    "empty": "",
    "no json": "spent: none",
    "truncated": json.dumps(good_file())[:-30],
    "binary": "\x00\x01",
    "a list": "[]",
    "null": "null",
    "no spends": broken(lambda d: d.pop("spends")),
    "no budget": broken(lambda d: d.pop("budget")),
    "no format": broken(lambda d: d.pop("format")),
    "later format": broken(lambda d: d.update(format=2)),
    "negative spend": broken(lambda d: d["spends"][0].update(epsilon=-0.5)),
    "negative delta": broken(lambda d: d["spends"][0].update(delta=-1e-6)),
    "nan spend": broken(lambda d: d["spends"][0].update(epsilon=math.nan)),
    "spend of text": broken(lambda d: d["spends"][0].update(epsilon="little")),
    "no label": broken(lambda d: d["spends"][0].pop("label")),
    "not settled or not": broken(lambda d: d["spends"][0].pop("settled")),
    "budget of zero": broken(lambda d: d["budget"].update(epsilon=0)),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_refused_and_left_alone(path, kind):
    path.write_text(BROKEN[kind])
    for read in (lambda: Ledger(Budget(1.0, 1e-5), path=path), lambda: Ledger.open(path)):
        with pytest.raises(PrivacyError, match="ledger"):
            read()
    assert path.read_text() == BROKEN[kind]


def test_a_file_broken_meanwhile_is_not_overwritten(path):
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    ledger.reserve("fit", epsilon=0.1, delta=1e-6)
    path.write_text("{")
    with pytest.raises(PrivacyError):
        ledger.reserve("fit", epsilon=0.1, delta=1e-6)
    assert path.read_text() == "{"


@pytest.mark.parametrize("other", [Budget(2.0, 1e-5), Budget(1.0, 1e-6), Budget(None, 1e-5)])
def test_another_budget_than_the_files_is_refused(path, other):
    path.write_text(json.dumps(good_file()))
    assert Ledger(Budget(1.0, 1e-5), path=path).spent == (0.5, 1e-6)
    with pytest.raises(PrivacyError, match="its own budget"):
        Ledger(other, path=path)


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0.0, 1e-5), (-1.0, 1e-5), (math.nan, 1e-5), (1.0, 0.0), (1.0, 1.0), (1.0, math.nan)]
)
def test_budgets_are_checked(epsilon, delta):
    with pytest.raises(ParameterError, match="Budget"):
        Budget(epsilon, delta)


def test_infinite_epsilon_is_no_privacy():
    assert Budget(math.inf) == Budget(None)
    assert not Budget(None).is_private


def test_fits_of_different_units_are_not_added_up_in_silence(path, recwarn):
    ledger = Ledger(Budget(2.0, 1e-5), path=path)
    for _ in range(2):
        ledger.reserve("fit", epsilon=0.1, delta=1e-6, unit="person (id)")
    assert not recwarn.list
    assert [spend.unit for spend in Ledger.open(path).spends] == ["person (id)"] * 2
    for unit in ("row", "person (family)"):
        with pytest.warns(PrivsynthWarning, match=r"no guarantee for either"):
            Ledger.open(path).reserve("fit", epsilon=0.1, delta=1e-6, unit=unit)
    assert Ledger.open(path).spent == pytest.approx((0.4, 4e-6))  # counted all the same


def test_entries_of_before_there_were_units_are_about_rows(path, recwarn):
    path.write_text(json.dumps(good_file()))
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    assert {spend.unit for spend in ledger.spends} == {"row"}
    ledger.reserve("fit", epsilon=0.1, delta=1e-6)
    assert not recwarn.list
