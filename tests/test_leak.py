"""Nothing of a row is in what leaves `fit`: no value, no row count, no frame."""

import gc
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from privsynth import CTGAN, Budget, Ledger, load
from privsynth.schema import Categorical, Continuous, Datetime, Identifier

N_ROWS = 1511  # a prime: no dimension is this long by chance
CANARY, NUMBER = "zebrafinch", 731_946_285_133.25
KEYS = [f"walrus{i:05d}" for i in range(20_000)]


def make_frame(n_rows=N_ROWS, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "key": KEYS[:n_rows],
            "amount": np.round(rng.lognormal(3, 1, n_rows), 2),
            "city": rng.choice(["Ulm", "Bonn"], n_rows),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, n_rows), unit="s"),
            "kind": rng.choice(["no", "yes"], n_rows),
        }
    )
    frame.loc[n_rows // 2, ["amount", "city", "when"]] = [NUMBER, CANARY, pd.Timestamp("1911-11-11 11:11:11")]
    return frame


def fitted(frame, **parameters):
    defaults = {"epsilon": 2.0, "target": "kind", "steps": 10, "generator_dim": (16,), "verbose": False}
    schema = {"key": Identifier(), "kind": Categorical(("no", "yes"), nullable=False)}
    ledger = parameters.pop("ledger", None)
    return CTGAN(**{**defaults, "schema": schema, **parameters}).fit(frame, ledger=ledger)


def canaries():
    """Long enough not to turn up among a million random digits or bytes: less than 1e-6 in all."""
    stamp = pd.Timestamp("1911-11-11 11:11:11")
    texts = [CANARY, "walrus", str(NUMBER), "731946285133", "1911-11-11", str(stamp.timestamp())]
    numbers = [np.array([v]) for v in (NUMBER, NUMBER * 100, stamp.timestamp())]
    return [text.encode() for text in texts] + [number.tobytes() for number in numbers]


def leaks(blobs):
    return [(name, canary) for name, blob in blobs.items() for canary in canaries() if canary in blob]


def written(folder):
    """Every file under `folder`, archives also by member, decompressed."""
    blobs = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                blobs.update({f"{path.name}/{name}": archive.read(name) for name in archive.namelist()})
    return blobs


def shown(model):
    """Everything a user may print or publish."""
    texts = {
        "certificate": json.dumps(model.certificate_.to_dict()) + str(model.certificate_) + repr(model.certificate_),
        "history": repr(model.history_) + str(model.history_),
        "model": repr(model) + str(model.plan_) + repr(model.schema_) + repr(model.encoder_),
        "ledger": repr(model.ledger_.spends),
    }
    return {name: text.encode() for name, text in texts.items()}


@pytest.fixture(scope="module", params=["measured", "both"])
def saved(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    ledger = Ledger(Budget(2.0, 1e-5), path=folder / "ledger.json")
    model = fitted(make_frame(), critic=request.param, discriminator_steps=3, ledger=ledger)
    model.save(folder / "model.psz")
    return model, folder


def test_no_canary_in_any_file(saved):
    blobs = written(saved[1])
    assert {"ledger.json", "model.psz/model.json", "model.psz/weights.safetensors"} <= blobs.keys()
    assert leaks(blobs) == []


def test_no_canary_in_anything_shown(saved):
    assert leaks(shown(saved[0])) == []


def test_no_canary_in_samples(saved):
    model, folder = saved
    for drawn in (model.sample(5000, random_state=0), load(folder / "model.psz").sample(5000, random_state=1)):
        text = drawn.to_csv(index=False).encode()
        assert [c for c in canaries()[:3] if c in text] == []


@pytest.mark.filterwarnings("ignore:epsilon=None")
def test_without_privacy_the_canaries_are_found(tmp_path):
    """The twin: the search finds what there is."""
    frame = make_frame()
    frame.loc[frame["city"] == "Ulm", "amount"] = NUMBER
    model = fitted(frame, epsilon=None)
    model.save(tmp_path / "model.psz")
    found = {canary for _, canary in leaks(written(tmp_path))}
    assert {CANARY.encode(), b"731946285133"} <= found
    assert b"walrus" not in found  # identifiers are not read even then


def walk(value, path="model", seen=None):
    """Yield (path, object) for everything reachable through attributes, items and elements."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, (type, str, bytes, int, float, complex, type(None))):
        return
    seen.add(id(value))
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, f"{path}[{key!r}]", seen)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for number, item in enumerate(value):
            yield from walk(item, f"{path}[{number}]", seen)
    for name, item in getattr(value, "__dict__", {}).items():
        yield from walk(item, f"{path}.{name}", seen)


def row_shaped(model):
    """The path of the first that is a pandas object, or has as many entries as the table has rows."""
    found = []
    for path, value in walk(model):
        sizes = tuple(value.shape) if isinstance(value, (np.ndarray, torch.Tensor)) else ()
        if hasattr(value, "__len__") and not sizes and not isinstance(value, torch.Tensor):
            sizes = (len(value),)
        numbers = {N_ROWS, 2 * N_ROWS} & set(sizes)
        if isinstance(value, (pd.DataFrame, pd.Series, pd.Index)) or numbers:
            found.append(path)
    return found[:1]


def test_the_fitted_object_holds_no_rows(saved):
    model = saved[0]
    model.sample(10)
    assert sum(1 for _ in walk(model)) > 100
    assert row_shaped(model) == []


@pytest.mark.parametrize("kept", [np.zeros((3, N_ROWS)), torch.zeros(N_ROWS), pd.Series([1]), [0] * N_ROWS])
def test_rows_kept_anywhere_would_be_seen(saved, kept):
    model = saved[0]
    model.history_.extra = {"deep": [(kept,)]}
    try:
        assert row_shaped(model) == ["model.history_.extra['deep'][0][0]"]
    finally:
        del model.history_.extra


def test_the_frame_is_released(saved):
    """No closure or cache keeps it alive either."""
    import weakref

    frame = make_frame()
    codes = weakref.ref(frame["amount"].array)
    model = fitted(frame)
    alive = weakref.ref(frame)
    del frame
    gc.collect()
    assert alive() is None
    assert codes() is None
    assert model.sample(3).shape == (3, 5)


def test_size_of_the_bundle_tells_nothing_of_the_rows(tmp_path):
    schema = {
        "key": Identifier(),
        "amount": Continuous(0, 31, decimals=0),
        "city": Categorical(("Ulm", "Bonn")),
        "when": Datetime("2024-01-01", "2024-05-01"),
        "kind": Categorical(("no", "yes"), nullable=False),
    }
    sizes = []
    for n_rows in (1000, 10_000):
        path = tmp_path / f"{n_rows}.psz"
        fitted(make_frame(n_rows), schema=schema, critic="measured", generator_dim=(64,)).save(path)
        sizes.append(path.stat().st_size)
    assert abs(sizes[1] / sizes[0] - 1) < 0.05
