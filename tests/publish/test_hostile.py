"""Models from strangers: what loads can be compared, packed and shown, or is refused in one line."""

import json
import sys
import warnings
from pathlib import Path

import pytest

from privsynth import load
from privsynth.errors import PrivsynthError
from privsynth.publish import compare
from privsynth.report import render_publishable
from tests.report.test_html import Balanced

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from mutated_bundles import make_case, make_models
from mutations import Bundle

NAMES = ("plain", "rules", "persons")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    make_models(folder, NAMES)
    return {name: Bundle((folder / f"{name}.psz").read_bytes()) for name in NAMES}


def outcome(path):
    """Load, sample, compare, show; the error of privsynth that ended it, or what was found."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            model = load(path)
            found = compare(model, model.sample(30, random_state=0))
            page = render_publishable(found)
        except PrivsynthError as error:
            return "refused" if "\n" not in str(error) else "told in several lines"
    json.dumps(found, allow_nan=False)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    return "harmless"


@pytest.mark.parametrize(
    "family", ["JSON values", "JSON structure", "JSON, large values", "tensors", "interpreted texts"]
)
def test_mutated_models_are_compared_or_refused(bundles, tmp_path, family):
    path = tmp_path / "model.psz"
    outcomes = []
    for number in range(60):
        path.write_bytes(make_case(list(bundles.values()), family, 20_000 + number))
        outcomes.append(outcome(path))
    assert set(outcomes) == {"refused", "harmless"}


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree["model"]["plan"].update(n_rows="many"),
        lambda tree: tree["model"]["plan"].update(n_rows=-5),
        lambda tree: tree["model"]["plan"].update(n_rows=1e300),
        lambda tree: tree["encoder"]["one_way"].update(values=[1e300] * len(tree["encoder"]["one_way"]["values"])),
        lambda tree: tree["model"]["history"].update(measured_loss=[1e308, -1e308, 0]),
    ],
)
def test_absurd_numbers_are_refused_or_shown(bundles, tmp_path, change):
    tree = bundles["plain"].model()
    change(tree)
    (tmp_path / "model.psz").write_bytes(bundles["plain"].with_model(tree))
    outcome(tmp_path / "model.psz")
