"""The ledger never overspends: not by floats, crashes, broken files, two objects or eight processes."""

import contextlib
import copy
import json
import math
import multiprocessing
import os
import pickle
import signal
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from privsynth import CTGAN
from privsynth.errors import BudgetExceeded, ParameterError, PrivacyError, PrivsynthWarning
from privsynth.privacy._ledger_file import LedgerFile
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
    "nan budget": broken(lambda d: d["budget"].update(epsilon=math.nan)),
    "infinite budget": broken(lambda d: d["budget"].update(epsilon=math.inf)),
    "a budget that reads as infinite": broken(lambda d: d["budget"].update(epsilon=777)).replace("777", "1e999"),
    "a spend that reads as infinite": broken(lambda d: d["spends"][0].update(epsilon=777)).replace("777", "1e999"),
    "a spend of 400 digits": broken(lambda d: d["spends"][0].update(epsilon=10**400)),
    "a spend of 9999 digits": broken(lambda d: d["spends"][0].update(epsilon=777)).replace("777", "7" * 9999),
    "a spend of truth": broken(lambda d: d["spends"][0].update(epsilon=True)),
    "settled by word": broken(lambda d: d["spends"][0].update(settled="no")),
    "100,000 deep": "[" * 100_000,
    "spends are a number": broken(lambda d: d.update(spends=7)),
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


def test_a_ledger_is_kept_in_one_place_whatever_it_is_called(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    relative = Ledger(Budget(1.0, 1e-5), path="ledger.json")
    (tmp_path / "link.json").symlink_to("ledger.json")  # leads nowhere yet
    linked = Ledger(Budget(1.0, 1e-5), path="link.json")
    monkeypatch.chdir("elsewhere")
    relative.reserve("one", epsilon=0.6, delta=1e-6)
    with pytest.raises(BudgetExceeded):
        linked.reserve("two", epsilon=0.6, delta=1e-6)
    linked.reserve("two", epsilon=0.3, delta=1e-6)
    assert (tmp_path / "link.json").is_symlink()
    assert relative.path == linked.path == (tmp_path / "ledger.json").resolve()
    assert relative.spent == linked.spent == pytest.approx((0.9, 2e-6))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_two_hard_links_would_be_two_accounts(path):
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    ledger.reserve("fit", epsilon=0.1, delta=1e-6)
    os.link(path, path.with_name("other.json"))
    for use in (lambda: ledger.reserve("fit", epsilon=0.1, delta=1e-6), lambda: Ledger.open(path)):
        with pytest.raises(PrivacyError, match="2 names"):
            use()


@pytest.mark.parametrize("put_back", [None, "nothing spent", "older", "another of the same amounts"])
def test_an_open_ledger_notices_that_its_file_is_gone_or_older(path, put_back):
    ledger = Ledger(Budget(2.0, 1e-5), path=path)
    ledger.reserve("fit", epsilon=0.1, delta=1e-6)
    older = path.read_text()
    number = ledger.reserve("fit", epsilon=0.5, delta=1e-6)
    path.unlink()
    if put_back == "older":
        path.write_text(older)
    elif put_back == "nothing spent":
        path.write_text(json.dumps({**json.loads(older), "spends": []}))
    elif put_back is not None:
        for epsilon in (0.1, 0.5):
            Ledger(Budget(2.0, 1e-5), path=path).reserve("fit", epsilon=epsilon, delta=1e-6)
    before = path.read_text() if put_back else None
    for use in (
        lambda: ledger.spends,
        lambda: ledger.remaining,
        lambda: ledger.reserve("fit", epsilon=0.1, delta=1e-6),
        lambda: ledger.settle(number, epsilon=0.5, delta=1e-6),
    ):
        with pytest.raises(PrivacyError, match="lacks entries" if put_back else "is gone"):
            use()
    assert (path.read_text() if path.exists() else None) == before


def test_entries_that_grew_or_were_opened_again_are_noticed(path):
    ledger = Ledger(Budget(2.0, 1e-5), path=path)
    ledger.settle(ledger.reserve("fit", epsilon=0.5, delta=1e-6), epsilon=0.4, delta=1e-6)
    data = json.loads(path.read_text())
    for change in ({"settled": False}, {"epsilon": 0.3}, {"label": "other"}):
        path.write_text(json.dumps({**data, "spends": [{**data["spends"][0], **change}]}))
        with pytest.raises(PrivacyError, match="lacks entries"):
            _ = ledger.spends
    path.write_text(json.dumps(data))
    assert ledger.spent == (0.4, 1e-6)


FAULTS = {"write": "fdopen", "sync": "fsync", "rename": "replace"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("first", [True, False])
def test_what_cannot_be_written_is_not_granted(path, monkeypatch, fault, first):
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    if not first:
        ledger.reserve("fit", epsilon=0.3, delta=1e-6)
    before = path.read_bytes() if path.exists() else None

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, FAULTS[fault], fail)
        with pytest.raises(PrivacyError, match="No space left"):
            ledger.reserve("fit", epsilon=0.3, delta=1e-6)
    assert (path.read_bytes() if path.exists() else None) == before
    assert len(ledger.spends) == (0 if first else 1)
    ledger.reserve("fit", epsilon=0.3, delta=1e-6)
    assert len(Ledger.open(path).spends) == (1 if first else 2)
    assert not list(path.parent.glob("*.tmp"))


def _reserve_on_a_full_disk(path, results):
    import resource  # not on Windows, which has no fork either

    resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))
    try:
        Ledger(Budget(1.0, 1e-5), path=path).reserve("fit", epsilon=0.3, delta=1e-6)
    except PrivacyError as error:
        results.put(str(error))


@needs_fork
def test_a_full_disk_grants_nothing(path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_reserve_on_a_full_disk, args=(path, results))
    child.start()
    assert "cannot be written" in results.get(timeout=60)
    child.join()
    assert not path.exists()


def test_the_folder_is_synced_after_the_rename(path, monkeypatch):
    """Order as a power cut needs it: text on the disk, then the name, then the name on the disk."""
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        kind = (
            (lambda handle, *_: "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
            if name[0] == "f"
            else (lambda *_: "")
        )
        monkeypatch.setattr(
            os, name, lambda *a, real=real, kind=kind, name=name: (done.append(f"{name} {kind(*a)}".strip()), real(*a))
        )
    Ledger(Budget(1.0, 1e-5), path=path).reserve("fit", epsilon=0.3, delta=1e-6)
    assert done == ["fsync file", "replace", "fsync folder"]


def test_a_read_only_file_is_left_alone_and_permissions_stay(path):
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    ledger.reserve("fit", epsilon=0.1, delta=1e-6)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    ledger.reserve("fit", epsilon=0.1, delta=1e-6)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o440)
    with pytest.raises(PrivacyError, match="read-only"):
        ledger.reserve("fit", epsilon=0.1, delta=1e-6)
    assert len(Ledger.open(path).spends) == 2


def test_a_lock_that_is_not_to_be_had_is_an_error(path, monkeypatch):
    monkeypatch.setattr("privsynth.privacy._ledger_file.PATIENCE", 0.05)
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    with LedgerFile(path).locked(), pytest.raises(PrivacyError, match=r"ledger\.json\.lock"):
        ledger.reserve("fit", epsilon=0.1, delta=1e-6)
    ledger.reserve("fit", epsilon=0.1, delta=1e-6)


class Slow(Ledger):
    """Threads that have passed the check wait for a second one before they write."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gate = threading.Barrier(2)
        self.patience = 0.2

    def _keep(self, spends):
        with contextlib.suppress(threading.BrokenBarrierError):
            self.gate.wait(timeout=self.patience)
        super()._keep(spends)


class Unlocked(Slow):
    """The planted fault."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.patience = 60

    @contextlib.contextmanager
    def _exclusive(self):
        yield


def granted_in_threads(ledger, n_threads=2):
    def reserve(_):
        try:
            return ledger.reserve("fit", epsilon=0.6, delta=1e-6) is not None
        except BudgetExceeded:
            return False

    with ThreadPoolExecutor(n_threads) as pool:
        return sum(pool.map(reserve, range(n_threads)))


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_threads_that_share_an_object_share_its_budget(path, kept):
    where = path if kept == "file" else None
    assert granted_in_threads(Slow(Budget(1.0, 1e-5), path=where)) == 1


def test_without_the_lock_they_would_not():
    assert granted_in_threads(Unlocked(Budget(1.0, 1e-5))) == 2


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_many_threads_never_overspend(path, kept):
    ledger = Ledger(Budget(1.0, 1e-5), path=path if kept == "file" else None)

    def work(number):
        with contextlib.suppress(BudgetExceeded):
            entry = ledger.reserve(str(number), epsilon=0.05, delta=1e-7)
            assert ledger.spent[0] <= 1.0 + 1e-9
            ledger.settle(entry, epsilon=0.05, delta=1e-7)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert ledger.spent[0] == pytest.approx(1.0)
    assert len({spend.id for spend in ledger.spends}) == len(ledger.spends) == 20
    assert all(spend.settled for spend in ledger.spends)


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_a_copy_is_the_same_account(path, kept):
    ledger = Ledger(Budget(1.0, 1e-5), path=path if kept == "file" else None)
    model = CTGAN()
    model.ledger_ = ledger
    for same in (copy.copy(ledger), copy.deepcopy(ledger), clone(ledger, safe=False), copy.deepcopy(model).ledger_):
        assert same is ledger
    assert not hasattr(clone(model), "ledger_")


def test_a_pickled_ledger_spends_through_its_file_only(path):
    kept, memory = Ledger(Budget(1.0, 1e-5), path=path), Ledger(Budget(1.0, 1e-5))
    for ledger in (kept, memory):
        ledger.reserve("fit", epsilon=0.6, delta=1e-6)
    again, record = (pickle.loads(pickle.dumps(ledger)) for ledger in (kept, memory))
    with pytest.raises(BudgetExceeded):
        again.reserve("fit", epsilon=0.6, delta=1e-6)
    again.reserve("fit", epsilon=0.3, delta=1e-6)
    assert kept.spent == again.spent == pytest.approx((0.9, 2e-6))
    assert record.spent == memory.spent == (0.6, 1e-6)
    for spend in (lambda: record.reserve("fit", epsilon=0.1, delta=1e-6), lambda: record.settle(0, epsilon=0, delta=0)):
        with pytest.raises(PrivacyError, match="memory of another process"):
            spend()
    memory.reserve("fit", epsilon=0.1, delta=1e-6)


def _reserve_in_a_child(ledger, results):
    try:
        results.put(ledger.reserve("fit", epsilon=0.3, delta=1e-6))
    except PrivacyError as error:
        results.put(type(error).__name__ + str(error))


@needs_fork
def test_a_forked_process_shares_the_file_and_not_the_memory(path):
    """Forked while another thread holds the lock, which the child could never get."""
    context = multiprocessing.get_context("fork")
    for ledger in (Ledger(Budget(1.0, 1e-5), path=path), Ledger(Budget(1.0, 1e-5))):
        results = context.Queue()
        child = context.Process(target=_reserve_in_a_child, args=(ledger, results))
        held, done = threading.Event(), threading.Event()

        def hold(ledger=ledger, held=held, done=done):
            with ledger._threads():
                held.set()
                done.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(60)
        child.start()
        answer = results.get(timeout=60)
        done.set()
        thread.join()
        child.join()
        if ledger.path:
            assert answer == 0
            assert ledger.spent == (0.3, 1e-6)
        else:
            assert "memory of another process" in answer
            assert ledger.spent == (0, 0)


def test_checking_sets_nothing_aside(path):
    ledger = Ledger(Budget(1.0, 1e-5), path=path)
    ledger.check("fit", epsilon=1.0, delta=1e-5)
    with pytest.raises(BudgetExceeded, match=r"fit asks for epsilon=1\.1"):
        ledger.check("fit", epsilon=1.1, delta=1e-6)
    with pytest.raises(ParameterError):
        ledger.check("fit", epsilon=math.nan, delta=1e-6)
    assert not path.exists()
    assert ledger.spends == ()
