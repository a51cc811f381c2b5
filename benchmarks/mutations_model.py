"""Mutated models whose zip and JSON are sound: certificates, tensors, texts that are interpreted, and sheer size."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from mutations import (
    MODEL,
    RAW,
    TEXTS,
    WEIGHTS,
    Bundle,
    Rng,
    archives,
    directory,
    flipped,
    json_large,
    json_structure,
    json_values,
    pack,
    pick,
    truncated,
)

# --- certificates ----------------------------------------------------------------------------------------------

_EVENTS: list[dict[str, Any]] = [
    {"kind": "SubsampledGaussian", "noise_multiplier": 1.0, "sampling_rate": 0.01, "steps": 100},
    {"kind": "BoundedRange", "eta": 0.5, "count": 2},
    {"kind": "Gaussian", "mu": 0.1},
    {"kind": "PureDP", "epsilon": 0.1},
    {"kind": "Failure", "delta": 1e-6},
    {"kind": "NonPrivate"},
]
_AMOUNTS = [0, 1, 0.5, 2, -1, 1e-9, 1e-300, 5e-324, 1e-3, 30, 1000, 1e6, 1e12, 1e100, 1e308, 10**18, 2**63, 10**400]
_AMOUNTS += [True, None, "1", [], "nan"]


def certificates(bundle: Bundle, rng: Rng) -> bytes:
    """Change amounts, drop, add or repeat charges, state less, or another unit."""
    tree = bundle.model()
    certificate = tree["certificate"]
    charges = certificate["charges"]
    for _ in range(int(rng.integers(1, 4))):
        action = int(rng.integers(7))
        charge = pick(rng, charges) if charges else {}
        if action == 0 and charge:
            key = pick(rng, [k for k in charge["event"] if k != "kind"] or ["mu"])
            charge["event"][key] = pick(rng, _AMOUNTS)
        elif action == 1 and charge:
            charge[pick(rng, ["sensitivity", "scale", "n_values", "label"])] = pick(rng, _AMOUNTS)
        elif action == 2:
            certificate[pick(rng, ["epsilon", "delta", "private", "noise", "versions"])] = pick(rng, _AMOUNTS)
        elif action == 3 and charge:
            charges.remove(charge)
        elif action == 4:
            event = dict(pick(rng, _EVENTS))
            for key in set(event) - {"kind"}:
                event[key] = pick(rng, _AMOUNTS) if rng.random() < 0.7 else event[key]
            scale, number = pick(rng, _AMOUNTS), pick(rng, _AMOUNTS)
            charges.append({"label": "more", "event": event, "sensitivity": 1.0, "scale": scale, "n_values": number})
        elif action == 5 and charges:
            certificate["charges"] = charges = charges * pick(rng, [2, 10, 1000])
        else:
            certificate["privacy_unit"] = {
                "column": pick(rng, [None, "c", "kind", 1]),
                "max_rows": pick(rng, [*_AMOUNTS, 1, 2, 8]),
                "chosen_privately": pick(rng, [True, False, "x"]),
            }
    return bundle.with_model(tree)


# --- tensors ---------------------------------------------------------------------------------------------------

_KINDS = ["F16", "BF16", "F32", "F64", "I8", "I64", "U8", "BOOL", "C64", "F8_E4M3", "X", "", None, 3]
_SIZES = [-1, 0, 1, 2, 8, 1056, 10**6, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, 1.5, None, "8", []]
_VALUES = [np.nan, np.inf, -np.inf, 1e38, -1e38, 3e38, 0.0, 1e-45, -1.0]


def tensors(bundle: Bundle, rng: Rng) -> bytes:
    """Forge safetensors: headers that lie, tensors that are missing, doubled, strange, huge or not finite."""
    header = {k: dict(v) for k, v in bundle.header.items()}
    buffer = bundle.buffer
    name = pick(rng, header)
    action = int(rng.integers(9))
    if action == 0:
        header[name]["dtype"] = pick(rng, _KINDS)
    elif action == 1:
        header[name]["shape"] = [pick(rng, _SIZES) for _ in range(int(rng.integers(0, 5)))]
    elif action == 2:
        header[name]["data_offsets"] = [pick(rng, _SIZES), pick(rng, _SIZES)]
    elif action == 3:
        header[name]["data_offsets"] = header[pick(rng, header)]["data_offsets"]
    elif action == 4:
        other = pick(rng, ["__metadata__", "extra", "generator.extra", "generator.layers.99.weight", "../x"])
        header[other] = pick(rng, [header[name], {}, None, {"a": 1}, {"a": "b"}, [], "x"])
    elif action == 5:
        del header[name]
    elif action == 6:
        stated = pick(rng, [0, 1, 7, 8, 10**6, 10**8, 2**31, 2**62, 2**63, 2**64 - 1])
        return bundle.with_weights(header, buffer, size=stated)
    elif action == 7:
        return pack({**bundle.parts, WEIGHTS: _stretched(bundle.parts[WEIGHTS], rng)})
    else:
        buffer = _strange_numbers(header, buffer, name, rng)
    return bundle.with_weights(header, buffer)


def _stretched(data: bytes, rng: Rng) -> bytes:
    place = int(rng.integers(len(data)))
    return bytes(
        pick(
            rng,
            [
                data[:place],
                data + rng.bytes(8),
                data[:8] + b"[" * 100_000 + data[8:],
                struct.pack("<Q", 10**6) + b"{" * 10**6,
                struct.pack("<Q", 2) + b"{}",
                b"",
                rng.bytes(100),
                data[:place] + rng.bytes(20) + data[place + 20 :],
            ],
        )
    )


def _strange_numbers(header: dict[str, Any], buffer: bytes, name: str, rng: Rng) -> bytes:
    start, stop = header[name]["data_offsets"]
    kind = np.int64 if header[name]["dtype"] == "I64" else np.float32
    values = np.frombuffer(buffer[start:stop], dtype=kind).copy()
    which = rng.random(len(values)) < pick(rng, [0.001, 0.1, 2.0])
    if kind is np.int64:
        values[which] = pick(rng, [-1, 0, 1, 2, 10**6, 2**62, -(2**63)])
    else:
        values[which] = pick(rng, _VALUES)
    return buffer[:start] + values.tobytes() + buffer[stop:]


# --- texts that are interpreted ----------------------------------------------------------------------------------

_FORMULAS = [
    *("__import__('os').system('touch /tmp/privsynth-evil')", "().__class__.__bases__", "(lambda: 1)()", "a.b", "a[0]"),
    *("amount ** amount ** amount ** amount", "9 ** 9 ** 9 ** 9 ** amount", "(" * 400 + "amount" + ")" * 400),
    *(
        "-" * 500 + "amount",
        "amount" + " + amount" * 110,
        "x" * 10**6,
        "amount / 0",
        "amount % 0",
        "round(amount, 1e9)",
    ),
    *(
        "`" + "`" * 900,
        "1e999 * amount",
        "abs(" * 29 + "amount" + ")" * 29,
        "amount // 1e-308",
        "\u0661 * amount",
        "f(x)",
    ),
    *("eval(amount)", "open('/etc/passwd')", "amount\x00", "amount if amount else 1", "amount; import os", "'a' * 10"),
]
_FORMATS = [
    *(
        "%Y" * 10**5,
        "%" * 999,
        "%100000000d",
        "%-d",
        "%Q",
        "%",
        "",
        "\x00",
        "%Y\x00%m",
        "\ud800",
        "{0.__class__}",
        "date",
    ),
    *(
        "%" + "9" * 30 + "Y",
        "%E",
        "%O",
        "%s",
        "%c%c",
        "x" * 10**6,
        "%f",
        "%Z%z",
        "%j-%U",
        "%%",
        "%s%n%n%n%n",
        "(a+)+$" * 9,
    ),
]
_DTYPES = [
    *(
        "S1000000000",
        "U500000000",
        "V1000000000",
        "U2000000000",
        "datetime64[ns, ../../../etc/passwd]",
        "datetime64[Y]",
    ),
    *("datetime64[ns, dateutil//etc/passwd]", "datetime64[ns, tzlocal()]", "datetime64[s, dateutil/../../../dev/zero]"),
    *(
        "datetime64[ns, " + "A" * 10**5 + "]",
        "timedelta64[ns]",
        "Sparse[int64]",
        "interval[int64]",
        "period[D]",
        "complex128",
    ),
    *(
        "i4,i4",
        "10000000i8",
        "(100000,100000)f8",
        "object",
        "O",
        "category",
        "bool",
        "boolean",
        "uint8",
        "Int8",
        "float16",
    ),
    *(
        "string[pyarrow]",
        "int64[pyarrow]",
        "timestamp[ns][pyarrow]",
        "list<item: int64>[pyarrow]",
        "datetime64[10000000s]",
    ),
    *(
        "float128",
        "string",
        "str",
        "",
        "np.int64",
        "os.system",
        ">i8",
        "datetime64[ns, UTC]",
        "M8[1000000000Y]",
        "m8[as]",
    ),
]
_ARROW = [
    *("timestamp[ns, tz=../../../etc/passwd]", "timestamp[s, tz=" + "A" * 10**5 + "]", "decimal256(76, -76)", "bool"),
    *(
        "decimal128(38, 38)",
        "decimal128(99, 99)",
        "dictionary",
        "binary",
        "null",
        "date32",
        "list<int8>",
        "x",
        "int8",
        "",
    ),
]


def texts(bundle: Bundle, rng: Rng) -> bytes:
    """Put hostile formulas, date formats, data types, zones and names where text is interpreted."""
    tree = bundle.model()
    action = int(rng.integers(6))
    columns = tree["encoder"]["columns"]
    declared = tree["schema"]["columns"]
    name = pick(rng, declared)
    if action == 0:
        rule = {"rule": "formula", "column": name, "formula": pick(rng, _FORMULAS)}
        rules = tree["schema"].setdefault("rules", [])
        if rules and rng.random() < 0.5:
            rules[int(rng.integers(len(rules)))] = rule
        else:
            rules.append(rule)
    elif action == 1:
        pick(rng, columns)["format"] = pick(rng, _FORMATS)
        declared[name].update({"kind": "datetime", "format": pick(rng, _FORMATS)})
    elif action == 2:
        text = pick(rng, _DTYPES)
        pick(rng, columns)["dtype"] = text
        if rng.random() < 0.7:
            tree["columns"][pick(rng, tree["columns"])] = text
    elif action == 3:
        tree["arrow"][pick(rng, [name, "nothing"])] = pick(rng, _ARROW)
    elif action == 4:
        fake = pick(rng, ["key", "name", "__class__", "seed_instance", "text", "card", "", None, 1])
        prefix = pick(rng, ["x" * 10**6, "\x00", 5, None, [], "{0}", "%s", "\ud800"])
        declared[name] = {"kind": "identifier", "fake": fake, "prefix": prefix, "unique": pick(rng, [True, False, 9])}
        if tree["certificate"]["privacy_unit"]["column"] is None:
            tree["encoder"]["columns"] = [c for c in columns if c["name"] != name]
    else:
        new = pick(rng, ["", "\x00", "x" * 10**6, "__other__", "a + b", "\ud800", "index", "../../x", "__class__", "0"])
        for text in TEXTS:
            if tree[text] is not None and name in tree[text]["columns"]:
                tree[text]["columns"] = {new if k == name else k: v for k, v in tree[text]["columns"].items()}
        tree["columns"] = {new if k == name else k: v for k, v in tree["columns"].items()}
        for column in columns:
            column["name"] = new if column["name"] == name else column["name"]
    return bundle.with_model(tree)


# --- size --------------------------------------------------------------------------------------------------------


def sizes(bundle: Bundle, rng: Rng) -> bytes:
    """Make a small file ask for much: columns, levels, cells, components, layers, decimals, rows of a person."""
    tree = bundle.model()
    action = int(rng.integers(8))
    n = 10 ** int(rng.integers(2, 6))
    discrete = next(c for c in tree["encoder"]["columns"] if c["type"] == "discrete")
    numeric = next(c for c in tree["encoder"]["columns"] if c["type"] == "numeric")
    if action == 0:
        numeric["cells"]["decimals"] = pick(rng, [10**2, 300, 10**6, 10**9, -5, 2**40])
        numeric["form"] = pick(rng, ["text", "number", "decimal"])
    elif action == 1:
        shared = [i // 2 for i in range(n)] if rng.random() < 0.5 else [0] * n
        discrete.update(levels=[f"l{i}" for i in range(n)], cell=shared, mass=[0.1] * n)
        return _wide(bundle, tree)
    elif action == 2:
        n = min(n, 10_000)
        for i in range(n):
            column = {
                **discrete,
                "name": f"c{i}",
                "levels": ["a"],
                "other": False,
                "null": False,
                "cell": [],
                "mass": [],
            }
            tree["encoder"]["columns"].append({**column, "dtype": "object"})
            tree["schema"]["columns"][f"c{i}"] = {"kind": "categorical"}
            tree["columns"][f"c{i}"] = "object"
        return _wide(bundle, tree)
    elif action == 3:
        return _many_components(bundle, tree, pick(rng, [1, 2000, 1 << 16, 1 << 20]))
    elif action == 4:
        tree["parameters"]["generator_dim"] = pick(rng, [[1] * n, [n], [n, n], [2**62], [0], [-1], [True], [1.5]])
    elif action == 5:
        tree["parameters"]["embedding_dim"] = pick(rng, [n, 2**31, 2**62, 0, -1])
    elif action == 6:
        name = numeric["name"]
        rule = pick(
            rng,
            [
                {"rule": "range", "column": name, "low": 1e300},
                {"rule": "range", "column": name, "low": RAW, "high": 2},
                {"rule": "one of", "columns": [discrete["name"], name]},
                {
                    "rule": "fixed combinations",
                    "columns": [discrete["name"], name],
                    "allowed": [[str(i), i] for i in range(n)],
                },
                {"rule": "inequality", "low": name, "high": name + "x", "strict": True},
            ],
        )
        tree["schema"]["rules"] = [rule] * pick(rng, [1, 1, 100])
        return bundle.with_model(tree, pick(rng, ["1.99999999", "-1e308", "1" + "0" * 300]))
    else:
        cells = numeric["cells"]
        n = min(n, 20_000)
        cells.update(low=list(range(n)), high=list(range(1, n + 1)), mass=[1.0] * n, cell=list(range(n)), decimals=None)
        return _wide(bundle, tree)
    return bundle.with_model(tree)


def _width(tree: dict[str, Any]) -> int:
    total = 0
    for column in tree["encoder"]["columns"]:
        if column["type"] == "numeric":
            total += max(column["cells"]["cell"]) + 1
        else:
            total += max(column["cell"], default=len(column["levels"]) - 1) + 1 + column["other"]
        total += column["null"]
    return int(total)


def _wide(bundle: Bundle, tree: dict[str, Any]) -> bytes:
    """Give a model as many counts and weights as its columns now have cells: nothing but size is wrong with it."""
    width = _width(tree)
    tree["encoder"]["one_way"]["values"] = [1.0] * width
    tree["parameters"].update(generator_dim=[1], embedding_dim=1)
    tree["model"].update(split=None, shares=[1.0])
    return _with_arrays(bundle, tree, _arrays(width, 16))


def _many_components(bundle: Bundle, tree: dict[str, Any], number: int) -> bytes:
    tree["parameters"].update(generator_dim=[1], embedding_dim=1)
    tree["model"].update(split=None, shares=[1.0])
    return _with_arrays(bundle, tree, _arrays(_width(tree), number))


def _arrays(width: int, components: int) -> dict[str, Any]:
    return {
        "generator.layers.0.weight": np.zeros((1, 2), np.float32),
        "generator.layers.0.bias": np.zeros(1, np.float32),
        "generator.head.weight": np.zeros((width, 1), np.float32),
        "generator.head.bias": np.zeros(width, np.float32),
        "latents": np.zeros((components, 1), np.float32),
        "classes": np.zeros(components, np.int64),
    }


def _with_arrays(bundle: Bundle, tree: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    from safetensors.numpy import save

    return Bundle(pack({**bundle.parts, WEIGHTS: save(arrays)})).with_model(tree)


FAMILIES: dict[str, tuple[Callable[[Bundle, Rng], bytes], int]] = {
    "bits and bytes": (flipped, 2000),
    "truncated": (truncated, 500),
    "zip headers": (directory, 1000),
    "zip members": (archives, 500),
    "JSON values": (json_values, 2500),
    "JSON structure": (json_structure, 1000),
    "JSON, large values": (json_large, 500),
    "certificates": (certificates, 700),
    "tensors": (tensors, 700),
    "interpreted texts": (texts, 500),
    "sizes": (sizes, 100),
}
"""What mutates, and how many cases of it in a full run."""
__all__ = ["FAMILIES", "MODEL", "Bundle"]
