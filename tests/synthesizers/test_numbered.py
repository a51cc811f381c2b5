"""Tables whose columns are numbered, as of a CSV file without a header."""

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN, Schema, load
from privsynth.errors import ConditionError
from privsynth.kinds import Categorical, Continuous


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {0: rng.normal(size=900), 1: rng.choice(["a", "b"], 900), "late": rng.random(900) < 0.2, 7: rng.random(900)}
    )


@pytest.fixture(scope="module")
def model(table):
    # of a thousand fits, noise makes one a class of missing values where that is not ruled out
    schema = Schema({"0": Continuous(-5, 5), "1": Categorical(nullable=False)})
    model = CTGAN(5.0, target=1, condition_columns=[0], schema=schema, steps=5, verbose=False, critic="measured")
    return model.fit(table)


@pytest.mark.parametrize("again", [False, True])
def test_numbered_columns_come_back_as_they_were(model, table, tmp_path, again):
    if again:
        model.save(tmp_path / "m")
        model = load(tmp_path / "m")
    sample = model.sample(50, conditions={1: "a", 0: (0, 5), "late": True}, random_state=0)
    assert list(sample.columns) == [0, 1, "late", 7]
    assert sample.dtypes.equals(table.dtypes)
    assert (sample[1] == "a").all()
    assert sample[0].between(0, 5).all()
    assert sample["late"].all()
    each = model.sample(conditions=pd.DataFrame({1: ["b", "a"]}), random_state=0)
    assert list(each[1]) == ["b", "a"]
    assert 0 < model.condition_probability({1: "b"}) < 1


def test_a_number_that_is_no_column_is_named(model):
    with pytest.raises(ConditionError, match="5"):
        model.sample(3, conditions={5: "a"})
