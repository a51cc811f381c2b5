"""Callbacks see what is released, may end a fit, and change nothing of what it costs or makes."""

import gc
import importlib.util
import math
import weakref

import numpy as np
import pandas as pd
import pytest
import torch

from privsynth import CTGAN, Budget, Ledger
from privsynth.callbacks import Callback, Checkpoint, Step, TensorBoard
from privsynth.errors import MissingExtraError, ParameterError
from tests.test_replay import Recorded, Recording, fit, make_frame

pytestmark = pytest.mark.filterwarnings("ignore:At this epsilon little is learned")  # of a few dozen rows of a class

N_ROWS = 3000
SMALL = {"steps": 12, "generator_dim": (8,), "embedding_dim": 4, "verbose": False, "random_state": 0, "device": "cpu"}


class Watcher(Callback):
    """Keeps everything it is shown."""

    def __init__(self, stop_at=None):
        self.steps, self.checkpoints, self.stop_at = [], [], stop_at

    def on_step(self, step):
        self.steps.append(step)
        return (step.stage, step.step) == self.stop_at

    def on_checkpoint(self, checkpoint):
        self.checkpoints.append((checkpoint, checkpoint.sample(20, random_state=0)))
        return (checkpoint.stage, "end") == self.stop_at


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, N_ROWS)
    columns = {"id": [f"k{i}" for i in range(N_ROWS)], "a": a, "b": (a + rng.integers(0, 2, N_ROWS)) % 4}
    return pd.DataFrame({**columns, "c": rng.normal(size=N_ROWS), "kind": rng.choice(["no", "yes"], N_ROWS)})


def learn(frame, watcher, **parameters):
    return CTGAN(8.0, **{**SMALL, **parameters}).fit(frame, callbacks=[watcher])


def test_every_step_and_checkpoint_is_told(frame):
    watcher = Watcher()
    model = learn(frame, watcher, critic="both", target="kind", discriminator_steps=8, batch_size=100)
    stages = [name for name, _ in model.history_.stages]
    assert stages == ["measured critic", "partitions", "neural critic"]
    for stage, steps in model.history_.stages:
        assert [step.step for step in watcher.steps if step.stage == stage] == list(range(1, steps + 1))
    measured = [step.measured_loss for step in watcher.steps if step.stage != "neural critic"]
    assert measured == model.history_.measured_loss
    assert [s.fakes_told for s in watcher.steps if s.stage == "neural critic"] == model.history_.fake_accuracy
    told = [checkpoint.stage for checkpoint, _ in watcher.checkpoints]
    assert told == ["measured critic", "partitions", *["neural critic"] * 4]
    for _, rows in watcher.checkpoints:
        assert list(rows) == ["a", "b", "c", "kind"]
        assert len(rows) == 20


def test_what_is_shown_is_figures_and_a_way_to_sample(frame):
    watcher = Watcher()
    learn(frame, watcher, critic="both", discriminator_steps=4, batch_size=100)
    for step in watcher.steps:
        assert type(step) is Step
        for value in vars(step).values():
            assert value is None or isinstance(value, (str, int, float))
    assert {type(checkpoint) for checkpoint, _ in watcher.checkpoints} == {Checkpoint}


def row_long(value, seen):
    """Yield what is as long as the table, of everything that can be reached, closures included."""
    if id(value) in seen or isinstance(value, (type, str, bytes, int, float)):
        return
    seen.add(id(value))
    if isinstance(value, (np.ndarray, torch.Tensor, pd.DataFrame, pd.Series)):
        if N_ROWS in value.shape:
            yield value
        return
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else []
    parts = [*parts, *getattr(value, "__dict__", {}).values()]
    parts += [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
    parts += [value.__self__] if hasattr(value, "__self__") else []
    for part in parts:
        yield from row_long(part, seen)


def test_checkpoints_that_are_kept_keep_no_rows(frame):
    copy, watcher = frame.copy(), Watcher()
    held = [weakref.ref(copy[name].array) for name in copy]
    learn(copy, watcher, critic="both", discriminator_steps=4, batch_size=100)
    del copy
    gc.collect()
    assert [ref() for ref in held] == [None] * len(held)
    checkpoint = watcher.checkpoints[0][0]
    assert len(checkpoint.sample(3)) == 3
    seen = set()
    assert list(row_long(checkpoint, seen)) == []
    assert len(seen) > 40
    assert len(list(row_long(lambda: frame, set()))) == 1  # the twin


@pytest.mark.parametrize("stop_at", [("measured critic", 3), ("measured critic", "end"), ("neural critic", 2)])
def test_a_callback_ends_the_training_and_the_cost_stays(frame, stop_at):
    watcher, ledger = Watcher(stop_at), Ledger(Budget(8.0, 1e-5))
    model = CTGAN(8.0, **SMALL, critic="both", target="kind", discriminator_steps=8, batch_size=100)
    model.fit(frame, ledger=ledger, callbacks=[watcher])
    stages = dict(model.history_.stages)
    if stop_at[0] == "measured critic":
        assert stages == {"measured critic": 3 if stop_at[1] == 3 else 12}
        assert any(charge.label == "partitions by class (unused)" for charge in model.certificate_.charges)
    else:
        assert stages["neural critic"] == 2
    assert math.isclose(model.certificate_.epsilon, 8.0, rel_tol=1e-4)
    model.certificate_.verify()
    assert ledger.spent[0] == pytest.approx(ledger.budget.epsilon)
    assert len(model.sample(5)) == 5


def test_watching_changes_nothing_and_leaves_nothing(tmp_path):
    """The same fit byte by byte, with rows sampled at every checkpoint; the model keeps no callback."""

    class Watched(Recorded):
        def fit(self, X, **more):
            return super().fit(X, callbacks=[Watcher()])

    Watched.__name__ = "CTGAN"
    saved = [fit(make_frame(), Recording(), tmp_path, cls=cls) for cls in (Recorded, Watched)]
    assert saved[0] == saved[1]


def test_what_a_callback_sees_is_played_back_with_the_releases(tmp_path):
    """A neighbour's fit with the releases of the first shows a callback the same figures and the same rows."""
    seen = []

    class Watched(Recorded):
        def fit(self, X, **more):
            seen.append(Watcher())
            return super().fit(X, callbacks=[seen[-1]])

    Watched.__name__ = "CTGAN"
    before = Recording()
    fit(make_frame(), before, tmp_path, cls=Watched)
    fit(make_frame().iloc[:-1], Recording(model=before), tmp_path, cls=Watched)
    assert seen[0].steps == seen[1].steps
    assert len(seen[0].checkpoints) == len(seen[1].checkpoints) > 4
    for (_, one), (_, other) in zip(seen[0].checkpoints, seen[1].checkpoints, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_an_error_of_a_callback_leaves_no_model_and_all_spent(frame):
    class Broken(Callback):
        def on_step(self, step):
            raise RuntimeError("mine")

    ledger, model = Ledger(Budget(2.0, 1e-5)), CTGAN(2.0, **SMALL)
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(frame, ledger=ledger, callbacks=[Broken()])
    assert not hasattr(model, "encoder_")
    assert model._callbacks == ()
    assert ledger.spent[0] == pytest.approx(ledger.budget.epsilon)


@pytest.mark.parametrize("wrong", [[print], Callback(), [Callback], None])
def test_what_is_no_callback_is_refused_before_anything_is_spent(frame, wrong):
    ledger = Ledger(Budget(2.0, 1e-5))
    with pytest.raises(ParameterError, match="list of Callback objects"):
        CTGAN(2.0, **SMALL).fit(frame, ledger=ledger, callbacks=wrong)
    assert ledger.remaining == Budget(2.0, 1e-5)


HAS_TENSORBOARD = importlib.util.find_spec("tensorboard") is not None


@pytest.mark.skipif(HAS_TENSORBOARD, reason="tensorboard is installed")
def test_tensorboard_is_named_where_it_is_missing(tmp_path):
    with pytest.raises(MissingExtraError, match=r"pip install 'privsynth\[tensorboard\]'"):
        TensorBoard(tmp_path)


@pytest.mark.skipif(not HAS_TENSORBOARD, reason="tensorboard is not installed")
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_writes_a_log(frame, tmp_path):
    learn(frame, TensorBoard(tmp_path / "log"))
    assert next(path.name for path in (tmp_path / "log").iterdir()).startswith("events.out.tfevents")


def test_tensorboard_writes_what_a_step_has(monkeypatch, frame):
    """With a writer in its place: which figures go where."""
    written = []
    writer = type("Writer", (), {"add_scalar": lambda self, *call: written.append(call), "flush": lambda self: None})
    board = TensorBoard.__new__(TensorBoard)
    board._writer = writer()
    model = learn(frame, board)
    assert [value for name, value, _ in written if name == "measured critic/measured loss"] == (
        model.history_.measured_loss[:12]
    )
