"""scikit-learn's own checks of an estimator; there are no exceptions."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from privsynth import CTGAN

pytestmark = pytest.mark.filterwarnings("ignore")  # its tables have a few dozen rows: every fit warns of that


@parametrize_with_checks([CTGAN(steps=2, verbose=False)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)
