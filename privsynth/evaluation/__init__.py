"""Fidelity and utility of a synthetic table: one plain dict that `privsynth.report` renders."""

from privsynth.evaluation.evaluate import evaluate
from privsynth.evaluation.fidelity import MarginalTVD, marginal_tvd
from privsynth.evaluation.quality import Quality, sdmetrics_quality
from privsynth.evaluation.result import Evaluation
from privsynth.evaluation.score import Block, Score
from privsynth.evaluation.utility import Utility, train_synthetic_test_real

__all__ = [
    "Block",
    "Evaluation",
    "MarginalTVD",
    "Quality",
    "Score",
    "Utility",
    "evaluate",
    "marginal_tvd",
    "sdmetrics_quality",
    "train_synthetic_test_real",
]
