"""Mutated model files, by family: damaged bytes, forged zips, JSON, certificates, tensors and texts.

Each family is a function of a whole bundle and a generator that returns a file's bytes. All but the first three pack
with digests that fit: digests find damage, and a forger computes them too.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import struct
import warnings
import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Rng = np.random.Generator
RAW = "@raw@"
MODEL, WEIGHTS, MANIFEST = "model.json", "weights.safetensors", "manifest.json"
TEXTS = ("schema", "declared_schema")


@dataclass(frozen=True)
class Bundle:
    """A whole file, and what is in it."""

    whole: bytes

    @cached_property
    def parts(self) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(self.whole)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def model(self) -> dict[str, Any]:
        """Return the JSON as a tree of its own; the schemas, which are text in it, are parsed."""
        data = json.loads(self.parts[MODEL])
        return {k: json.loads(v) if k in TEXTS and v is not None else v for k, v in data.items()}

    def with_model(self, data: Any, raw: str = "null") -> bytes:
        """Pack a tree; `RAW` anywhere in it becomes `raw`, whether that is JSON or not."""
        if isinstance(data, dict):
            data = {k: _dumped(v, raw) if k in TEXTS and v is not None else v for k, v in data.items()}
        return pack({**self.parts, MODEL: _dumped(data, raw).encode("utf-8", "surrogatepass")})

    @cached_property
    def header(self) -> dict[str, Any]:
        """What safetensors says of the tensors."""
        (size,) = struct.unpack("<Q", self.parts[WEIGHTS][:8])
        header: dict[str, Any] = json.loads(self.parts[WEIGHTS][8 : 8 + size])
        return header

    @property
    def buffer(self) -> bytes:
        """The tensors themselves."""
        (size,) = struct.unpack("<Q", self.parts[WEIGHTS][:8])
        return self.parts[WEIGHTS][8 + size :]

    def with_weights(self, header: Any, buffer: bytes, *, size: int | None = None) -> bytes:
        """Pack a safetensors file; `size` is what it says of its header's length."""
        text = json.dumps(header).encode()
        stated = struct.pack("<Q", len(text) if size is None else size)
        return pack({**self.parts, WEIGHTS: stated + text + buffer})


def _dumped(data: Any, raw: str) -> str:
    text = json.dumps(data)
    return text.replace(f'"{RAW}"', raw).replace(f'\\"{RAW}\\"', json.dumps(raw)[1:-1])


def pack(parts: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Zip members under a manifest that fits."""
    members = {name: data for name, data in parts.items() if name != MANIFEST}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    return zipped({MANIFEST: json.dumps({"format": 1, "sha256": digests}).encode(), **members}, compression)


def zipped(members: dict[str, bytes] | list[tuple[Any, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Zip members as they are, doubled names too."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", compression) as archive:
        warnings.simplefilter("ignore")
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return out.getvalue()


def pick(rng: Rng, options: Any) -> Any:
    """Return one of `options`, as it is."""
    options = list(options)
    return options[int(rng.integers(len(options)))]


# --- bytes ---------------------------------------------------------------------------------------------------


def flipped(bundle: Bundle, rng: Rng) -> bytes:
    """Flip one to four bits, or overwrite, drop or repeat a run of bytes."""
    data = bytearray(bundle.whole)
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 200))
    action = int(rng.integers(5))
    if action < 2:
        for spot in rng.integers(len(data), size=rng.integers(1, 5)):
            data[spot] ^= 1 << int(rng.integers(8))
    elif action == 2:
        data[place : place + length] = rng.bytes(length)
    elif action == 3:
        del data[place : place + length]
    else:
        data[place:place] = data[place : place + length]
    return bytes(data)


def truncated(bundle: Bundle, rng: Rng) -> bytes:
    """Cut the end off, or the start."""
    place = int(rng.integers(len(bundle.whole)))
    return bundle.whole[:place] if rng.random() < 0.8 else bundle.whole[place:]


# --- zip -----------------------------------------------------------------------------------------------------

_NUMBERS = [0, 1, 8, 12, 14, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
_FIELDS = {  # offset and width of the numbers in a local header, a directory entry and the end record
    b"PK\x03\x04": [(4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)],
    b"PK\x01\x02": [(6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4), (42, 4)],
    b"PK\x05\x06": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
}
_NAMES = [
    *("../../privsynth-evil.txt", "/tmp/privsynth-evil.txt", "..\\..\\evil.txt", "C:\\evil.txt", "a/../../evil.txt"),
    *("model.json/", "./model.json", "MODEL.JSON", "model.json\x00.txt", "x" * 60_000, "", "code.py", "\u202egpj.json"),
]


def directory(bundle: Bundle, rng: Rng) -> bytes:
    """Change numbers in the headers: sizes, offsets, flags (encrypted), methods, counts."""
    data = bytearray(bundle.whole)
    for _ in range(int(rng.integers(1, 4))):
        mark = pick(rng, _FIELDS)
        places = [i for i in range(len(data)) if data.startswith(mark, i)]
        offset, width = pick(rng, _FIELDS[mark])
        place = pick(rng, places) + offset
        value = pick(rng, [*_NUMBERS, int(rng.integers(1 << 32))]) % (1 << 8 * width)
        data[place : place + width] = value.to_bytes(width, "little")
    return bytes(data)


def archives(bundle: Bundle, rng: Rng) -> bytes:
    """Zip other members: names that lead elsewhere, doubled ones, links, archives in archives, other methods."""
    parts = bundle.parts
    name = pick(rng, parts)
    strange = zipfile.ZipInfo("x")
    strange.filename = pick(rng, _NAMES)
    link = zipfile.ZipInfo(name)
    link.external_attr = 0o120777 << 16
    wide = zipfile.ZipInfo(name)
    wide.extra = rng.bytes(int(rng.integers(1, 40)))
    wide.comment = rng.bytes(int(rng.integers(0, 60_000)))
    rest = {k: v for k, v in parts.items() if k != name}
    bomb = b" " * int(rng.integers(1, 40)) * 10**6 if rng.random() < 0.3 else b" " * 10**6
    method = pick(rng, [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED])
    return pick(
        rng,
        [
            lambda: zipped([*parts.items(), (strange, b"evil")]),
            lambda: zipped([*rest.items(), (strange, parts[name])]),
            lambda: zipped([*parts.items(), (name, pick(rng, [parts[name], b"", b"{}"]))]),
            lambda: zipped([*rest.items(), (link, b"/etc/passwd")]),
            lambda: zipped([*rest.items(), (link, parts[name])]),
            lambda: zipped([*rest.items(), (wide, parts[name])]),
            lambda: zipped({**parts, name: bundle.whole}),
            lambda: zipped({f"{i}.json": b"{}" for i in range(3000)}),
            lambda: zipped(parts, method),
            lambda: zipped(rest),
            lambda: zipped({**parts, name: bomb}),
            lambda: pack({**parts, MODEL: bomb}),
            lambda: pack({**parts, WEIGHTS: bomb}),
            lambda: rng.bytes(int(rng.integers(0, 3000))) + bundle.whole,
            lambda: bundle.whole + rng.bytes(int(rng.integers(0, 3000))),
            lambda: zipped({**parts, MANIFEST: _manifest(rng)}),
        ],
    )()


def _manifest(rng: Rng) -> bytes:
    digest = pick(rng, [[], {}, None, "x", {"model.json": None}, {"model.json": "0" * 64}])
    number = pick(rng, [0, 1, 2, "1", None, 1.0, True, [1], 10**30])
    good = json.dumps({"format": number, "sha256": digest}).encode()
    return bytes(pick(rng, [good, b"", b"[]", b"NaN", b"[" * 60_000, b"9" * 60_000, b'{"format": 1e999}', b"\xff\xfe"]))


# --- JSON ----------------------------------------------------------------------------------------------------

_SMALL = [
    None,
    -1,
    0,
    1,
    2,
    -0.5,
    0.5,
    1e308,
    -1e308,
    5e-324,
    2**31,
    2**63,
    -(2**63),
    2**70,
    10**9,
    True,
    False,
    "",
    "x",
]
_SMALL += [
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    "\ud800",
    "\x00",
    "NaN",
    "inf",
    "-1",
    "__other__",
    "int64",
    "category",
    "1e400",
]
_RAWS = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400, "9" * 10_000, "0.1e-400", "tru", "'a'", ""]


def _big(rng: Rng) -> str:
    """Return a value whose text is large: long, deep or wide."""
    n = 10 ** int(rng.integers(3, 7))
    return str(
        pick(
            rng,
            [
                lambda: json.dumps("x" * n),
                lambda: "[" * min(n, 100_000) + "]" * min(n, 100_000),
                lambda: '{"a":' * min(n, 100_000) + "1" + "}" * min(n, 100_000),
                lambda: "[" + "0," * n + "0]",
                lambda: "[" + "[]," * n + "[]]",
                lambda: "[" + '"a",' * n + '"a"]',
                lambda: "{" + ",".join(f'"k{i}":0' for i in range(min(n, 300_000))) + "}",
                lambda: '"' + "\\u0000" * min(n, 100_000) + '"',
            ],
        )()
    )


def _spot(tree: Any, rng: Rng) -> tuple[Any, Any]:
    """Walk down at random; return a holder and a key or place in it."""
    holder, key = tree, pick(rng, tree)
    while isinstance(holder[key], (dict, list)) and len(holder[key]) and rng.random() < 0.88:
        holder = holder[key]
        key = pick(rng, holder) if isinstance(holder, dict) else int(rng.integers(len(holder)))
    return holder, key


def json_values(bundle: Bundle, rng: Rng) -> bytes:
    """Replace one to three values anywhere, schema included, by small nonsense."""
    tree = bundle.model()
    for _ in range(int(rng.integers(1, 4))):
        holder, key = _spot(tree, rng)
        holder[key] = pick(rng, _SMALL) if rng.random() < 0.8 else RAW
    return bundle.with_model(tree, pick(rng, _RAWS))


def json_large(bundle: Bundle, rng: Rng) -> bytes:
    """Replace a value by one whose text is large; or all of it."""
    tree: Any = bundle.model()
    holder, key = _spot(tree, rng)
    holder[key] = RAW
    return bundle.with_model(tree if rng.random() < 0.95 else RAW, _big(rng))


def json_structure(bundle: Bundle, rng: Rng) -> bytes:
    """Delete, double, swap or repeat parts of the tree; or multiply a number."""
    tree = bundle.model()
    for _ in range(int(rng.integers(1, 3))):
        holder, key = _spot(tree, rng)
        other, place = _spot(tree, rng)
        action = int(rng.integers(6))
        if action == 0:
            del holder[key]
        elif action == 1:
            holder[key], other[place] = copy.deepcopy(other[place]), copy.deepcopy(holder[key])
        elif action == 2 and isinstance(holder[key], list):
            holder[key] = holder[key] * int(pick(rng, [2, 3, 100, 3000]))
        elif action == 3 and isinstance(holder, dict):
            holder[f"{key}\x00double"] = pick(rng, _SMALL)
        elif action == 4 and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            holder[key] = holder[key] * pick(rng, [-1, 0, 2, 0.5, 10, 1e3, 1e9, 1e18, 1e-9])
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(other[place]))
        else:
            holder[key] = copy.deepcopy(other[place])
        if not tree:
            break
    text = bundle.with_model(tree)
    return _doubled(bundle, tree, rng) if rng.random() < 0.15 and tree else text


def _doubled(bundle: Bundle, tree: dict[str, Any], rng: Rng) -> bytes:
    """Pack JSON in which a key occurs twice."""
    key = pick(rng, tree)
    text = json.dumps({k: json.dumps(v) if k in TEXTS and v is not None else v for k, v in tree.items()})
    return pack({**bundle.parts, MODEL: f"{text[:-1]}, {json.dumps(key)}: {json.dumps(pick(rng, _SMALL))}}}".encode()})
