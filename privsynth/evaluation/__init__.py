"""Fidelity and utility of a synthetic table: one plain dict that `privsynth.report` renders."""

from privsynth.evaluation.evaluate import Evaluation, evaluate
from privsynth.evaluation.fidelity import MarginalTVD, marginal_tvd
from privsynth.evaluation.quality import Quality, sdmetrics_quality
from privsynth.evaluation.score import Score
from privsynth.evaluation.utility import Utility, train_synthetic_test_real

__all__ = [
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
