import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN, Schema
from privsynth.rules import Inequality
from privsynth.schema import Categorical, Continuous, Datetime, Identifier

N_ROWS = 4000


def private_table(n_rows=N_ROWS, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 60, n_rows).astype(float)
    plan = rng.choice(["basic", "<b>gold</b>", "free"], n_rows, p=[0.5, 0.2, 0.3])
    return pd.DataFrame(
        {
            "id": [f"person-{i}" for i in range(n_rows)],
            "age": rng.integers(18, 90, n_rows).astype(float),
            "low": low,
            "high": low + rng.integers(0, 10, n_rows),
            "city": rng.choice(["Ulm", "Bonn", "Kiel"], n_rows, p=[0.5, 0.3, 0.2]),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, n_rows), unit="s"),
            "fee": rng.choice(["12.50", "3.00", "4.75"], n_rows),
            "code": rng.choice(["007", "010"], n_rows),
            "flag": rng.random(n_rows) < 0.2,
            "plan": plan,
            "kind": np.where((plan == "free") ^ (rng.random(n_rows) < 0.1), "no", "yes"),
        }
    ).assign(
        city=lambda t: t["city"].where(t.index > 0, "Town 01"), age=lambda t: t["age"].where(rng.random(n_rows) > 0.1)
    )


SCHEMA = Schema(
    {
        "id": Identifier(),
        "age": Continuous(18, 90, decimals=0),
        "fee": Continuous(form="text", decimals=2),
        "when": Datetime("2024-01-01", "2024-05-01"),
        "code": Categorical(("007", "010"), nullable=False),
        "kind": Categorical(nullable=False),  # of a thousand fits, noise would make one a class of missing values
    },
    rules=[Inequality("low", "high")],
)


@pytest.fixture(scope="session")
def model():
    return CTGAN(4.0, target="kind", condition_columns=["city"], schema=SCHEMA, steps=150, verbose=False,
                 generator_dim=(32,), random_state=0, device="cpu").fit(private_table())  # fmt: skip


@pytest.fixture(scope="session")
def synthetic(model):
    return model.sample(3000, random_state=0)
