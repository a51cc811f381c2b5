"""scikit-learn's own checks of an estimator, with the reason for each that cannot hold."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from privsynth import CTGAN

pytestmark = pytest.mark.filterwarnings("ignore")


@parametrize_with_checks([CTGAN(steps=2, verbose=False)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)
