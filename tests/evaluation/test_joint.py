"""The shares of a pair, by few cells of both: right where the answer is known, and there for any table."""

import json

import numpy as np
import pandas as pd
import pytest

from privsynth import evaluate
from privsynth.evaluation.joint import few_cells, with_joint_shares
from privsynth.report import render_html
from tests.evaluation.test_evaluate import odd_tables
from tests.report.test_html import Balanced


def test_shares_of_a_pair():
    real = pd.DataFrame({"a": ["x", "x", "y", None], "b": [1.5, 1.5, 2.5, 2.5]})
    synthetic = pd.DataFrame({"a": ["x", "z"], "b": [1.5, np.nan]})
    [pair] = with_joint_shares({"worst": [{"a": "a", "b": "b", "tvd": 0.5}]}, real, synthetic)["worst"]
    assert pair["joint"] == {
        "rows": ["x", "y", "other", "missing"],
        "columns": ["up to 1.5", "2.5", "missing"],
        "real": [[0.5, 0, 0], [0, 0.25, 0], [0, 0, 0], [0, 0.25, 0]],
        "synthetic": [[0.5, 0, 0], [0, 0, 0], [0, 0, 0.5], [0, 0, 0]],
    }


def test_cells_of_numbers_hold_about_as_many_rows_each():
    values = pd.Series(np.random.default_rng(0).lognormal(size=6000))
    labels, codes, same = few_cells(values, values)
    assert len(labels) == 7
    assert (labels[0][:6], labels[1][:3], labels[5][:5]) == ("up to ", "to ", "over ")
    assert np.bincount(codes).tolist() == [1000] * 6
    assert (codes == same).all()


@pytest.mark.parametrize(("name", "frame"), list(odd_tables()))
def test_pages_of_odd_tables(name, frame):
    real, synthetic = (frame.iloc[part].reset_index(drop=True) for part in np.array_split(np.arange(len(frame)), 2))
    summary = evaluate(real, synthetic, sections=["fidelity"]).summary
    for pair in summary["pairs"]["worst"]:
        for table in ("real", "synthetic"):
            assert np.sum(pair["joint"][table]) == pytest.approx(1)
    parser = Balanced()
    parser.feed(render_html(json.loads(json.dumps(summary, allow_nan=False))))
    assert parser.open == []
