"""Bundles: a round trip changes nothing, and no damaged, foreign or hostile file does more than BundleError."""

import hashlib
import json
import pickle
import struct
import time
import zipfile
import zlib

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN, load
from privsynth.bundle import read_bundle, write_bundle
from privsynth.errors import BundleError

MEMBERS = ("manifest.json", "model.json", "weights.safetensors")


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    n = 1500
    frame = pd.DataFrame(
        {
            "amount": np.where(rng.random(n) < 0.1, np.nan, np.round(rng.lognormal(3, 1, n), 2)),
            "city": rng.choice(["Ulm", "Bonn", "Kiel"], n),
            "kind": rng.random(n) < 0.3,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, n), unit="s"),
        }
    )
    return CTGAN(4.0, target="kind", steps=10, generator_dim=(16,), embedding_dim=8, verbose=False).fit(frame)


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "model.psz"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def parts(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path, parts, *, sign=True, compression=zipfile.ZIP_DEFLATED):
    """Write members as an attacker can: with digests that fit."""
    if sign:
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
        parts = {**parts, "manifest.json": json.dumps({"format": 1, "sha256": digests}).encode()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def is_refused_or_works(path, columns):
    """Load it: BundleError, or a model that samples. Anything else fails the test."""
    try:
        loaded = load(path)
    except BundleError:
        return "refused"
    assert loaded.sample(20, random_state=0).shape == (20, columns)
    return "works"


def test_samples_are_bit_equal_after_a_round_trip(model, path, tmp_path):
    again = load(path)
    for conditions in (None, {"kind": True}, {"amount": (5, 50), "city": ["Ulm", "Kiel"]}):
        ours, theirs = (m.sample(500, conditions=conditions, random_state=3) for m in (model, again))
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert again.certificate_ == model.certificate_
    assert again.get_params() == model.get_params()
    again.save(tmp_path / "again.psz")
    assert (tmp_path / "again.psz").read_bytes() == path.read_bytes()


def test_loading_is_quick(path):
    load(path)
    start = time.process_time()
    load(path)
    assert time.process_time() - start < 1.0


def test_members_are_json_and_safetensors_and_no_pickle(parts):
    assert sorted(parts) == sorted(MEMBERS)
    json.loads(parts["model.json"])
    (size,) = struct.unpack("<Q", parts["weights.safetensors"][:8])
    json.loads(parts["weights.safetensors"][8 : 8 + size])


def test_300_damaged_files_are_refused(path, tmp_path):
    """Bits flipped, ends cut off, stretches overwritten, at random places."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    target = tmp_path / "damaged.psz"
    outcomes = []
    for number in range(300):
        data = bytearray(whole)
        place = int(rng.integers(len(data)))
        if number % 3 == 0:
            data[place] ^= 1 << int(rng.integers(8))
        elif number % 3 == 1:
            data = data[:place]
        else:
            data[place : place + 50] = rng.bytes(50)
        target.write_bytes(data)
        outcomes.append(is_refused_or_works(target, 4))
    # a flip may hit a byte that says nothing (a date, a flag of the zip); what is read is under a digest
    assert outcomes.count("refused") >= 280
    assert list(tmp_path.iterdir()) == [target]


def test_every_byte_of_the_zip_directory(path, tmp_path):
    """The headers are where the methods, sizes and names are: every byte of them, flipped three ways."""
    whole = path.read_bytes()
    start = whole.index(b"PK\x01\x02")
    target = tmp_path / "damaged.psz"
    for place in [*range(120), *range(start, len(whole))]:
        data = bytearray(whole)
        data[place] ^= (1, 4, 0x16)[place % 3]
        target.write_bytes(data)
        is_refused_or_works(target, 4)


def test_300_forgeries_with_fitting_digests(parts, tmp_path):
    """One value of the JSON replaced by nonsense, digest recomputed: refused, or still a model."""
    rng = np.random.default_rng(1)
    nonsense = [None, -1, 0, 2, 10**9, 1e308, -0.5, "x", "", [], {}, [[]], True, {"kind": "Free"}, 2**70, "\ud800"]
    target = tmp_path / "forged.psz"
    outcomes = []
    for _ in range(300):
        data = json.loads(parts["model.json"])
        holder, key = data, str(rng.choice(list(data)))
        while isinstance(holder[key], (dict, list)) and len(holder[key]) and rng.random() < 0.85:
            holder = holder[key]
            key = (
                list(holder)[rng.integers(len(holder))] if isinstance(holder, dict) else int(rng.integers(len(holder)))
            )
        holder[key] = nonsense[rng.integers(len(nonsense))]
        pack(target, {**parts, "model.json": json.dumps(data).encode()})
        outcomes.append(is_refused_or_works(target, 4))
    assert outcomes.count("refused") > 100


def changed_json(parts, change):
    data = json.loads(parts["model.json"])
    change(data)
    return {**parts, "model.json": json.dumps(data).encode()}


def halved(data):
    data["certificate"]["epsilon"] /= 2


def smaller_delta(data):
    data["certificate"]["delta"] /= 2


@pytest.mark.parametrize("change", [halved, smaller_delta])
def test_a_model_whose_certificate_does_not_add_up_is_refused(parts, tmp_path, change):
    """Epsilon halved, digests fitting; or another delta than the one that the charges were made for."""
    with pytest.raises(BundleError, match="Do not trust this model's claim"):
        load(pack(tmp_path / "claims.psz", changed_json(parts, change)))


def tensors_with(parts, name, value):
    from safetensors.numpy import load as read
    from safetensors.numpy import save

    return {**parts, "weights.safetensors": save({**read(parts["weights.safetensors"]), name: value})}


def without(parts, name):
    return {k: v for k, v in parts.items() if k != name}


class Evil:
    def __reduce__(self):
        return print, ("run",)


HOSTILE = {
    "not a zip": lambda p: b"hello",
    "empty": lambda p: b"",
    "a pickle": lambda p: pickle.dumps(Evil()),
    "a pickle for weights": lambda p: {**p, "weights.safetensors": pickle.dumps(Evil())},
    "a pickle for the model": lambda p: {**p, "model.json": pickle.dumps(Evil())},
    "extra member": lambda p: {**p, "code.py": b"print(1)"},
    "path traversal": lambda p: {**p, "../../evil.txt": b"evil"},
    "absolute path": lambda p: {**p, "/tmp/privsynth-evil.txt": b"evil"},
    "traversal instead of a member": lambda p: {**without(p, "model.json"), "../model.json": p["model.json"]},
    "deep JSON": lambda p: {**p, "model.json": b'{"class":' * 200_000},
    "deep list": lambda p: {**p, "model.json": b"[" * 10**6 + b"]" * 10**6},
    "JSON list": lambda p: {**p, "model.json": b"[]"},
    "JSON null": lambda p: {**p, "model.json": b"null"},
    "JSON NaN": lambda p: {**p, "model.json": p["model.json"].replace(b'"delta": ', b'"delta": NaN, "d": ', 1)},
    "JSON 1e999": lambda p: {**p, "model.json": p["model.json"].replace(b'"scale": ', b'"scale": 1e999, "d": ', 1)},
    "huge integer": lambda p: {**p, "model.json": b'{"class": ' + b"9" * 10_000 + b"}"},
    "bad UTF-8": lambda p: {**p, "model.json": b'{"class": "\xff"}'},
    "NaN weights": lambda p: tensors_with(p, "latents", np.full((1056, 8), np.nan, np.float32)),
    "infinite weights": lambda p: tensors_with(p, "generator.head.bias", np.full(3, np.inf, np.float32)),
    "wrong shape": lambda p: tensors_with(p, "latents", np.zeros((3, 3), np.float32)),
    "half precision": lambda p: tensors_with(p, "latents", np.zeros((3, 3), np.float16)),
    "negative classes": lambda p: tensors_with(p, "classes", np.full(1056, -1)),
    "no components": lambda p: tensors_with(
        tensors_with(p, "classes", np.zeros(0, np.int64)), "latents", np.zeros((0, 8), np.float32)
    ),
    "unknown class": lambda p: changed_json(p, lambda d: d.update({"class": "os.system"})),
    "unknown parameter": lambda p: changed_json(p, lambda d: d["parameters"].update(code="x")),
    "giant generator": lambda p: changed_json(p, lambda d: d["parameters"].update(generator_dim=[10**6, 10**6])),
    "large generator": lambda p: changed_json(p, lambda d: d["parameters"].update(generator_dim=[30_000, 30_000])),
    "many layers": lambda p: changed_json(p, lambda d: d["parameters"].update(generator_dim=[16] * 10_000)),
    "giant embedding": lambda p: changed_json(p, lambda d: d["parameters"].update(embedding_dim=10**12)),
    "unknown event": lambda p: changed_json(p, lambda d: d["certificate"]["charges"][0]["event"].update(kind="Free")),
    "negative event": lambda p: changed_json(p, lambda d: d["certificate"]["charges"][0]["event"].update(epsilon=-1)),
    "negative shares": lambda p: changed_json(p, lambda d: d["model"].update(shares=[-1.0, 2.0])),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_quickly(parts, tmp_path, kind, capsys):
    made = HOSTILE[kind](parts)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    target = folder / "model.psz"
    if isinstance(made, bytes):
        target.write_bytes(made)
    else:
        pack(target, made)
    start = time.process_time()
    with pytest.raises(BundleError):
        load(target)
    assert time.process_time() - start < 2.0
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [target]
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", MEMBERS)
def test_missing_and_doubled_members_are_refused(parts, tmp_path, name):
    pack(tmp_path / "missing.psz", without(parts, name), sign=False)
    with pytest.raises(BundleError, match="no privsynth model"):
        load(tmp_path / "missing.psz")
    pack(tmp_path / "doubled.psz", parts, sign=False)
    with zipfile.ZipFile(tmp_path / "doubled.psz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(name, parts[name])
    with pytest.raises(BundleError, match="no privsynth model"):
        load(tmp_path / "doubled.psz")


@pytest.mark.parametrize("number", [0, 2, "1", None, 1.5, [1]])
def test_other_formats_are_refused_by_name(parts, tmp_path, number):
    manifest = {**json.loads(parts["manifest.json"]), "format": number}
    target = pack(tmp_path / "later.psz", {**parts, "manifest.json": json.dumps(manifest).encode()}, sign=False)
    with pytest.raises(BundleError, match="format"):
        load(target)


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[]", b'{"format": 1}', b'{"format": 1, "sha256": []}'])
def test_broken_manifests_are_refused(parts, tmp_path, manifest):
    with pytest.raises(BundleError):
        load(pack(tmp_path / "model.psz", {**parts, "manifest.json": manifest}, sign=False))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(parts, tmp_path, compression):
    with pytest.raises(BundleError, match="unknown method"):
        load(pack(tmp_path / "model.psz", parts, compression=compression))


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_bomb_is_not_unpacked(parts, tmp_path, name):
    """400 MB of spaces in 400 kB: refused by its stated size, before a byte is unpacked."""
    target = tmp_path / "bomb.psz"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in MEMBERS:
            if member != name:
                archive.writestr(member, parts[member])
        with archive.open(name, "w") as file:
            for _ in range(400):
                file.write(b" " * 10**6)
    assert target.stat().st_size < 1_500_000
    start = time.process_time()
    with pytest.raises(BundleError, match="larger than any"):
        load(target)
    assert time.process_time() - start < 1.0


def test_a_bomb_that_lies_about_its_size(parts, tmp_path):
    """The stated size is small, the deflated stream is not: no more than stated is unpacked."""
    target = pack(tmp_path / "bomb.psz", {**parts, "model.json": b" " * 60_000_000})
    data = bytearray(target.read_bytes())
    true = struct.pack("<L", 60_000_000)
    assert data.count(true) == 2
    target.write_bytes(bytes(data.replace(true, struct.pack("<L", 1000))))
    with pytest.raises(BundleError):
        load(target)


def test_write_is_whole_or_not_at_all(tmp_path):
    target = tmp_path / "model.psz"
    write_bundle(target, {"a": 1}, {"x": np.arange(3)})
    before = target.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_bundle(target, {"a": float("nan")}, {})
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]
    for place in (tmp_path / "nowhere" / "model.psz", tmp_path):
        with pytest.raises(BundleError, match="folder"):
            write_bundle(place, {}, {})


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.array([2**60, -1]), "c": np.zeros((0, 4))}
    write_bundle(tmp_path / "x.psz", {"text": "äöü €", "n": 0.1}, arrays)
    model, tensors = read_bundle(tmp_path / "x.psz")
    assert model == {"text": "äöü €", "n": 0.1}
    for name, array in arrays.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(BundleError, match=r"nothing\.psz"):
        load(tmp_path / "nothing.psz")
    with pytest.raises(BundleError, match="no model file"):
        load(tmp_path)


def test_digest_is_of_what_is_read(path, tmp_path):
    """A member whose checksum fits but whose digest does not is told as damaged."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    changed = parts["model.json"].replace(b"Ulm", b"Rom")
    assert zlib.crc32(changed) != zlib.crc32(parts["model.json"])
    with pytest.raises(BundleError, match="digest"):
        load(pack(tmp_path / "model.psz", {**parts, "model.json": changed}, sign=False))
