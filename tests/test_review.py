"""docs/review.md lists every function that is handed private rows, with its line; this keeps the list true.

Fits are traced: whatever function of the package is called with something as long as the table (a frame, a column,
an array, or a collection of these) must be listed. `python -m tests.test_review` puts line numbers right.
"""

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import privsynth
from privsynth import CTGAN, Schema
from privsynth.kinds import Boolean, Categorical
from privsynth.rules import FixedCombinations, Formula, Inequality, Range

pytestmark = pytest.mark.filterwarnings("ignore:At this epsilon", "ignore:About .* carry little signal")

PACKAGE = Path(privsynth.__file__).parent
PAGE = PACKAGE.parent / "docs" / "review.md"
ENTRY = re.compile(r"`([\w/]+\.py):(\d+)` `([\w.]+)`")
N_ROWS = 4003
SHORTEST = 1100  # more than the model's 1024 components; columns without their missing values and spikes are longer


def is_rows(value, depth=0):
    """Whether a value is as long as the table, or holds something that is."""
    if isinstance(value, (pd.DataFrame, pd.Series, pd.Index, np.ndarray, torch.Tensor)):
        return value.ndim > 0 and SHORTEST < len(value) <= N_ROWS
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)) and depth < 3:
        return SHORTEST < len(value) <= N_ROWS or any(is_rows(item, depth + 1) for item in value[:50])
    return False


def traced(action):
    """Return the functions of the package that were handed rows while `action` ran, as (file, name)."""
    found, seen = set(), set()

    def look(frame, event, _):
        code = frame.f_code
        if event != "call" or code in seen or not code.co_filename.startswith(str(PACKAGE)):
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if not code.co_name.startswith("<") and any(is_rows(frame.f_locals.get(name)) for name in names):
            seen.add(code)
            found.add((Path(code.co_filename).relative_to(PACKAGE).as_posix(), code.co_name))

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        action()
    finally:
        sys.setprofile(before)
    return found


def table():
    rng = np.random.default_rng(0)
    n = N_ROWS
    days = pd.to_timedelta(rng.integers(0, 3000, n), unit="D")
    start = rng.integers(1, 9, n).astype(float)
    frame = pd.DataFrame(
        {
            "who": rng.integers(0, 3000, n).astype(str),
            "amount": np.where(rng.random(n) < 0.3, 9.99, rng.lognormal(3, 1, n)),
            "qty": rng.integers(1, 5, n),
            "price": np.round(rng.lognormal(1, 1, n), 2),
            "city": pd.Series(rng.choice(["Ulm", "Bonn", "Kiel"], n), dtype="string"),
            "country": "DE",
            "born": pd.Series(pd.Timestamp("1990-01-01") + days).dt.strftime("%d.%m.%Y"),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, n), unit="s"),
            "email": [f"u{i}@example.org" for i in range(n)],
            "flag": rng.random(n) < 0.2,
            "few": pd.array(rng.integers(0, 5, n), dtype="int64[pyarrow]"),
            "kind": rng.choice(["no", "yes"], n, p=[0.8, 0.2]),
            "start": start,
            "end": start + rng.random(n),
        }
    )
    return frame.assign(total=frame["qty"] * frame["price"])


RULES = (Inequality("start", "end"), FixedCombinations(("city", "country")), Formula("total", "qty * price"))
FITS = {
    "both critics": {"critic": "both", "target": "kind", "condition_columns": ["city"]},
    "rules": {"critic": "measured", "target": "kind", "schema": Schema(rules=[*RULES, Range("qty", 1, 6)])},
    "persons": {"critic": "measured", "schema": Schema(privacy_unit="who")},
}


def model_of(name, cls=CTGAN):
    small = {"steps": 2, "discriminator_steps": 2, "batch_size": 100, "generator_dim": (8,), "discriminator_dim": (8,)}
    return cls(3.0, verbose=False, device="cpu", **small, **FITS[name])


def listed(text):
    return {(file, name.split(".")[-1]): (int(line), name) for file, line, name in ENTRY.findall(text)}


def lines_of(file):
    """Return the line of every function of a module by dotted name."""
    found = {}

    def visit(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                found[prefix + child.name] = child.lineno
                visit(child, f"{prefix}{child.name}.")

    visit(ast.parse((PACKAGE / file).read_text(encoding="utf-8")), "")
    return found


def test_lines_are_right():
    wrong = [
        (file, name, line, lines_of(file).get(name))
        for (file, _), (line, name) in listed(PAGE.read_text(encoding="utf-8")).items()
        if lines_of(file).get(name) != line
    ]
    assert wrong == [], "run python -m tests.test_review"


@pytest.mark.parametrize("name", FITS)
def test_every_function_that_is_handed_rows_is_listed(name):
    frame = table()
    found = traced(lambda: model_of(name).fit(frame))
    assert len(found) > 40
    assert sorted(found - listed(PAGE.read_text(encoding="utf-8")).keys()) == []


def test_every_function_that_releases_rows_is_listed():
    """A party that goes first finds its cells, one that follows counts in them, a full schema needs neither."""
    frame, model = table(), model_of("persons")
    first, earlier = model.release(frame, first=True), model_of("persons").fit(frame)
    public = Schema({"flag": Boolean(), "kind": Categorical(("no", "yes"))})
    few = frame[["kind", "flag"]]
    for release in (
        lambda: model.release(frame, first=True),
        lambda: model.release(frame, like=first),
        lambda: CTGAN(schema=public, verbose=False).release(few),
        lambda: model_of("persons").fit(frame, start=earlier),
    ):
        found = traced(release)
        assert len(found) > 10
        assert sorted(found - listed(PAGE.read_text(encoding="utf-8")).keys()) == []


class Peeking(CTGAN):
    """Hands rows to something that has no business with them."""

    def _settings(self, plan, n_rows):
        from privsynth.transforms.simplex import project_to_simplex

        project_to_simplex(self.peeked)
        return super()._settings(plan, n_rows)


def test_a_function_that_is_not_listed_is_found():
    frame, model = table(), model_of("persons", Peeking)
    model.peeked = frame["amount"].to_numpy()
    found = traced(lambda: model.fit(frame))
    assert found - listed(PAGE.read_text(encoding="utf-8")).keys() == {("transforms/simplex.py", "project_to_simplex")}


def renumber():
    """Put the right line numbers into the page."""

    def right(match):
        return f"`{match[1]}:{lines_of(match[1])[match[3]]}` `{match[3]}`"

    PAGE.write_text(ENTRY.sub(right, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    renumber()
