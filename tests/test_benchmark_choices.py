"""Every other choice of benchmarks/ablation_defaults.py still fits, and still acts."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import ablation_defaults


@pytest.mark.slow
@pytest.mark.parametrize("part", ablation_defaults.PARTS)
def test_every_choice_changes_a_fit(part):
    assert ablation_defaults.check([part]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "nothing"), [("fit", {}), ("two critics", {"critic": "both", "discriminator_steps": 100})]
)
def test_a_choice_that_does_nothing_is_seen(monkeypatch, part, nothing):
    monkeypatch.setitem(ablation_defaults.PARTS, part, {"nothing": nothing})
    assert ablation_defaults.check([part]) == ["nothing"]
