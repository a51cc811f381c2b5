"""Rows of any data type come back from a file as what they were: the comparison is the same."""

import json

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN
from privsynth.errors import DataError
from privsynth.publish import compare, read_sample

pytestmark = pytest.mark.filterwarnings("ignore:At this epsilon", "ignore:About .* carry little signal")


@pytest.fixture(scope="module")
def odd():
    rng, n = np.random.default_rng(0), 3000
    frame = pd.DataFrame(
        {
            0: rng.integers(0, 5, n),
            1: pd.array(rng.integers(0, 3, n), dtype="Int64"),
            2: pd.Categorical(rng.choice(list("abc"), n)),
            3: pd.array(np.where(rng.random(n) < 0.2, None, rng.random(n) > 0.5), dtype="boolean"),
            4: pd.to_timedelta(rng.integers(0, 10**6, n), unit="s"),
            5: pd.Series(pd.date_range("2020", periods=n, freq="h", tz="Europe/Berlin")),
            6: pd.Series(rng.choice(["x", "y"], n), dtype="string[pyarrow]"),
            7: rng.normal(size=n).astype("float32"),
            8: pd.Series(rng.integers(0, 9, n)).astype("int32[pyarrow]"),
            9: rng.choice(["01", "2"], n),
            10: rng.choice(np.array([1, "a", 2.5], dtype=object), n),
            11: pd.Series(pd.date_range("2020", periods=n, freq="D")).dt.strftime("%d.%m.%Y"),
        }
    )
    return CTGAN(5.0, steps=5, generator_dim=(8,), verbose=False, random_state=0).fit(frame)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_compares_as_the_frame_does(odd, tmp_path, ending):
    sample = odd.sample(500, random_state=0)
    path = tmp_path / f"rows.{ending}"
    if ending == "csv":
        sample.to_csv(path, index=False)
    else:  # the mixed objects are no Parquet
        sample.assign(**{"10": sample[10].astype(str)}).drop(columns=10).rename(columns=str).to_parquet(path)
        with pytest.raises(DataError, match="the order differs"):
            compare(odd, read_sample(path, odd))
        return
    assert json.dumps(compare(odd, read_sample(path, odd))) == json.dumps(compare(odd, sample))


def test_what_is_no_time_is_not_quoted(odd, tmp_path):
    sample = odd.sample(20, random_state=0)
    sample[5] = "zebrafinch"
    sample.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match="holds something that is no time") as caught:
        read_sample(tmp_path / "rows.csv", odd)
    assert "zebra" not in str(caught.value)
