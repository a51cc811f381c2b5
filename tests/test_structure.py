"""The architecture, read off the source: floors, no cycles, one door a foreign library, house habits.

Every check is a function of sources by module name, so that a planted violation can show that it bites.
"""

import ast
from pathlib import Path

import pytest

import privsynth

ROOT = Path(privsynth.__file__).parent
FLOORS = [  # on each floor the flats: parts that may see each other (without circles) but no other flat
    ["errors _checks _random _progress _version bundle callbacks"],
    ["schema schema_json schema_html kinds rules _formula _reading _rule_check tables datasets", "privacy"],
    ["transforms"],
    ["training nets"],
    ["report"],  # it renders plain dicts and knows neither of the two above
    ["synthesizers", "evaluation"],
    [
        "cli _shell _options _fit_command _release_command _audit_command _pack_command _files _dates _where testing "
        "augment audit publish __main__"
    ],
]
PLACE = {
    part: (number, flat) for number, flats in enumerate(FLOORS) for flat in flats for part in flat.split()
}  # part -> floor and flat
FORBIDDEN = {
    "privacy": ("privsynth.schema", "privsynth.kinds", "privsynth.tables", "torch", "pandas"),
    "evaluation": ("privsynth.synthesizers",),
    "synthesizers": ("privsynth.evaluation",),
}
DOORS = {
    "opacus": ("training.private", "privacy.accountant"),
    "safetensors": ("bundle",),
    "pyarrow": ("tables",),
    "sdmetrics": ("evaluation.quality",),
    "opendp": ("privacy.noise",),
    "cryptography": ("privacy._keystream",),
    "rich": ("_progress", "cli"),
    "jinja2": ("report",),
    "typer": ("cli", "_shell", "_options", "_fit_command", "_release_command", "_audit_command", "_pack_command"),
    "torch.utils.tensorboard": ("callbacks",),
    "faker": ("transforms.fakes",),
    "filelock": ("privacy._ledger_file",),
}
BANNED_IMPORTS = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve")
BANNED_CALLS = ("np.random.seed", "numpy.random.seed", "torch.manual_seed", "torch.cuda.manual_seed", "random.seed")
MAX_LINES = 400


def read_package():
    """Return every module's source by its dotted name below privsynth; a package goes by its folder."""
    sources = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            sources[name] = path.read_text(encoding="utf-8")
    return sources


def imports_of(source):
    """Return the absolute names a module imports, those inside functions too; relative imports are refused."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name, prefix):
    return name == prefix or name.startswith(prefix + ".")


def edges_of(sources):
    """Return which modules each module imports, among those of `sources`."""
    edges = {}
    for name, source in sources.items():
        edges[name] = set()
        for imported in imports_of(source):
            below = imported.removeprefix("privsynth.")
            if below != imported:
                candidates = [m for m in sources if within(below, m)]
                edges[name] |= {max(candidates, key=len)} if candidates else set()
    return edges


def floor_violations(sources):
    """Return imports of what is neither on a lower floor nor in the same flat."""
    found = []
    for name, targets in edges_of(sources).items():
        part = name.split(".")[0]
        if part not in PLACE:
            found.append(f"{name} stands on no floor")
            continue
        for target in targets:
            other = PLACE.get(target.split(".")[0], (99, ""))
            if other[0] >= PLACE[part][0] and other != PLACE[part]:
                found.append(f"{name} imports {target}")
    for name, source in sources.items():
        for imported in imports_of(source):
            if any(within(imported, bad) for bad in FORBIDDEN.get(name.split(".")[0], ())):
                found.append(f"{name} imports {imported}")
    return found


def cycles(sources):
    """Return the modules left when modules without imports among the rest are taken away again and again."""
    edges = edges_of(sources)
    while free := [name for name, targets in edges.items() if not (targets - {name}) & set(edges)]:
        for name in free:
            del edges[name]
    return sorted(edges)


def door_violations(sources):
    return [
        f"{name} imports {imported}"
        for name, source in sources.items()
        for imported in imports_of(source)
        for library, doors in DOORS.items()
        if within(imported, library) and not any(within(name, door) for door in doors)
    ]


def habit_violations(sources):
    """Return pickles, seeds of global generators and handlers that swallow everything."""
    found = []
    for name, source in sources.items():
        found += [f"{name} imports {i}" for i in imports_of(source) if any(within(i, bad) for bad in BANNED_IMPORTS)]
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in BANNED_CALLS:
                found.append(f"{name} calls {ast.unparse(node.func)}")
            if isinstance(node, ast.ExceptHandler):
                caught = [] if node.type is None else getattr(node.type, "elts", [node.type])
                reraises = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
                names = {ast.unparse(kind) for kind in caught}
                if node.type is None or "Exception" in names or ("BaseException" in names and not reraises):
                    found.append(f"{name} line {node.lineno} catches everything")
    return found


@pytest.fixture(scope="module")
def sources():
    return read_package()


def test_the_package_was_read(sources):
    assert {"schema", "privacy.ledger", "synthesizers", "synthesizers.base", "transforms.encoder"} <= set(sources)
    assert "transforms.cells" in edges_of(sources)["transforms.columns"]


@pytest.mark.parametrize("check", [floor_violations, cycles, door_violations, habit_violations])
def test_structure(check, sources):
    assert check(sources) == []


def test_no_file_is_long(sources):
    assert [name for name, source in sources.items() if len(source.splitlines()) > MAX_LINES] == []


def test_public_names_are_exactly_these():
    assert sorted(privsynth.__all__) == [
        "Budget",
        "CTGAN",
        "Ledger",
        "Schema",
        "TableRelease",
        "__version__",
        "evaluate",
        "load",
    ]
    assert all(hasattr(privsynth, name) for name in privsynth.__all__)


FLOOR_TWINS = [
    {"transforms.cells": "from privsynth.training.loop import Trainer", "training.loop": ""},
    {"transforms.cells": "def f():\n    import privsynth.synthesizers.base", "synthesizers.base": ""},
    {"privacy.budget": "from privsynth import schema", "schema": ""},
    {"privacy.ledger": "import torch"},
    {"evaluation.evaluate": "from privsynth.synthesizers import load"},
    {"synthesizers.base": "from privsynth.evaluation.score import Score"},
    {"helpers": ""},
    {"schema": "import privsynth.privacy.budget", "privacy.budget": ""},
]
CYCLE_TWINS = [
    {"nets.a": "import privsynth.nets.b", "nets.b": "from privsynth.nets import a"},
    {"schema": "import privsynth.kinds", "kinds": "from privsynth.schema import Schema"},
]
DOOR_TWINS = [{"training.loop": f"def f():\n    from {library}.deep import name"} for library in DOORS]
HABIT_TWINS = [
    {"bundle": "import pickle"},
    {"nets.a": "torch.manual_seed(0)"},
    {"datasets": "def f():\n    np.random.seed(1)"},
    {"tables": "try:\n    f()\nexcept:\n    pass"},
    {"tables": "try:\n    f()\nexcept Exception as error:\n    raise ValueError from error"},
    {"tables": "try:\n    f()\nexcept (ValueError, Exception):\n    pass"},
    {"tables": "try:\n    f()\nexcept BaseException:\n    pass"},
]


@pytest.mark.parametrize(
    ("check", "twin"),
    [
        (check, twin)
        for check, twins in [
            (floor_violations, FLOOR_TWINS),
            (cycles, CYCLE_TWINS),
            (door_violations, DOOR_TWINS),
            (habit_violations, HABIT_TWINS),
        ]
        for twin in twins
    ],
)
def test_planted_violations_are_caught(check, twin):
    assert check(twin) != []
