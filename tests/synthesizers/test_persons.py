"""A privacy unit, from the schema to the sample: what is learned, said, saved and made up."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN, Budget, Ledger, Schema, load
from privsynth.bundle import read_bundle, write_bundle
from privsynth.errors import BundleError, ParameterError, PrivsynthWarning
from privsynth.privacy.events import PureDP
from privsynth.privacy.unit import Unit
from privsynth.schema import Boolean, Categorical, Continuous, Identifier


def visits(n_persons=4000, seed=0):
    """Some five rows a person; persons with many rows spend more, and go online."""
    rng = np.random.default_rng(seed)
    rows = 1 + rng.negative_binomial(2, 1 / 3, n_persons)
    who = rng.permutation(np.repeat(np.arange(n_persons), rows))
    city = rng.choice(["Ulm", "Bonn", "Kiel"], n_persons, p=[0.5, 0.3, 0.2])[who]
    loyal = (rows > 5)[who]
    paid = rng.random(len(who)) < np.where(loyal, 0.6, 0.4)
    return pd.DataFrame(
        {
            "person": who + 1000,
            "city": city,
            "channel": np.where(rng.random(len(who)) < np.where(paid, 0.7, 0.2), "online", "shop"),
            "amount": np.clip(rng.gamma(2, 20, len(who)) * (1 + loyal), 0, 400).round(2),
            "paid": paid,
        }
    )


COLUMNS = {
    "city": Categorical(("Ulm", "Bonn", "Kiel")),
    "amount": Continuous(0, 400, decimals=2, nullable=False),
    "paid": Boolean(),
}


def fit(frame, most=None, unit="person", columns=COLUMNS, epsilon=2.0, ledger=None, **parameters):
    schema = Schema(columns, privacy_unit=unit, max_rows_per_unit=most)
    model = CTGAN(epsilon, target="paid", schema=schema, steps=200, verbose=False, random_state=0)
    return model.set_params(**parameters).fit(frame, ledger=ledger)


@pytest.fixture(scope="module")
def frame():
    return visits()


@pytest.fixture(scope="module")
def model(frame):
    return fit(frame)


def far(real, synthetic, column):
    """Total variation distance of one column; numbers in ten bins."""
    if column == "amount":
        edges = np.quantile(real[column], np.linspace(0, 1, 11)[1:-1])
        real, synthetic = (pd.DataFrame({column: np.searchsorted(edges, t[column])}) for t in (real, synthetic))
    shares = [t[column].value_counts(normalize=True) for t in (real, synthetic)]
    return float(shares[0].sub(shares[1], fill_value=0).abs().sum() / 2)


def test_the_table_comes_back_and_is_alike(model, frame):
    sample = model.sample(20_000, random_state=0)
    assert sample.dtypes.equals(frame.dtypes)
    assert list(sample) == list(frame)
    assert all(far(frame, sample, column) < 0.1 for column in COLUMNS)
    online = [t.groupby("paid")["channel"].apply(lambda c: (c == "online").mean()) for t in (frame, sample)]
    assert (online[0] - online[1]).abs().max() < 0.15
    assert far(frame, sample.assign(city="Ulm"), "city") > 0.1  # the twin


def test_the_certificate_is_about_persons(model):
    certificate = model.certificate_
    assert certificate.unit == Unit("person", certificate.unit.rows, chosen=True)
    assert certificate.unit.rows in (2, 4, 8)
    assert certificate.epsilon == pytest.approx(2.0, rel=1e-3)
    certificate.verify()
    by_label = {charge.label: charge for charge in certificate.charges}
    assert isinstance(by_label["rows per person"].event, PureDP)
    assert by_label["size"].sensitivity == certificate.unit.rows
    assert by_label["1-way counts"].sensitivity == certificate.unit.rows * 2.0
    assert "DP-SGD" not in by_label


def test_made_up_persons_have_as_many_rows_as_real_ones(model, frame):
    """As far as Laplace noise in the persons of each size lets it: beyond 16 of its scales with chance 1e-6.

    More than 16 rows count as 16: noise that takes an empty size for full, as it may once in thousands of fits, could
    else move the mean by any factor.
    """
    real = frame["person"].value_counts()
    made_up = model.sample(20_000, random_state=1)["person"].value_counts()
    scale = next(c.scale for c in model.certificate_.charges if c.label == "rows per person")
    persons = 16 * scale / len(real)
    means = [rows.clip(upper=16).mean() for rows in (real, made_up, made_up * 3)]
    bound = persons * 16 / means[0] + 0.05  # noise in the number of those with 16 rows moves the mean most
    assert abs(means[1] / means[0] - 1) < bound
    assert abs(means[2] / means[0] - 1) > bound  # the twin
    for rows in (1, 4, 8):
        assert abs((made_up <= rows).mean() - (real <= rows).mean()) < persons + 0.05
    assert abs((made_up <= 1).mean() - (real <= 8).mean()) > persons + 0.05  # the twin
    assert model.schema_["person"] == Identifier(unique=False)


def test_rows_of_one_person_are_apart_and_conditions_hold(model):
    wanted = pd.DataFrame({"city": ["Ulm", "Kiel"] * 50})
    sample = model.sample(conditions=wanted, random_state=0)
    assert sample["city"].tolist() == wanted["city"].tolist()
    assert 1 < sample["person"].value_counts().mean() < 20
    assert model.sample(0)["person"].dtype == "int64"


def test_one_seed_is_one_sample(model):
    pd.testing.assert_frame_equal(model.sample(300, random_state=3), model.sample(300, random_state=3))


def test_saved_and_loaded_it_says_and_samples_the_same(model, tmp_path):
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.certificate_ == model.certificate_
    assert again.persons_ == model.persons_
    pd.testing.assert_frame_equal(again.sample(200, random_state=0), model.sample(200, random_state=0))
    with zipfile.ZipFile(tmp_path / "model") as archive:
        assert set(json.loads(archive.read("model.json"))["persons"]) == {"column", "number", "shares"}


def test_forged_persons_are_refused_and_files_of_before_there_were_units_load(model, tmp_path):
    model.save(tmp_path / "model")
    data, tensors = read_bundle(tmp_path / "model")
    for persons in (None, {**data["persons"], "column": "city"}, {**data["persons"], "shares": [1, 1]}):
        write_bundle(tmp_path / "forged", {**data, "persons": persons}, tensors)
        with pytest.raises(BundleError, match="persons"):
            load(tmp_path / "forged")
    certificate = {k: v for k, v in data["certificate"].items() if k != "privacy_unit"}
    old = {k: v for k, v in {**data, "certificate": certificate}.items() if k != "persons"}
    write_bundle(tmp_path / "old", old, tensors)
    loaded = load(tmp_path / "old")
    assert loaded.certificate_.unit == Unit()
    assert loaded.persons_ is None
    assert len(loaded.sample(500)) == 500


@pytest.mark.parametrize(
    "make",
    [
        lambda who: who.astype("int32"),
        lambda who: who.astype("Int64").mask(who % 7 == 0),
        lambda who: who.astype("float64").mask(who % 7 == 0),
        lambda who: who.map("c-{}".format),
        lambda who: who.map("c-{}".format).astype("string"),
        lambda who: who.map("c-{}".format).astype("category"),
        lambda who: who.map("c-{}".format).where(who % 7 > 0, None),
    ],
)
def test_persons_can_be_named_in_any_way(make, tmp_path):
    frame = visits(600)
    frame["person"] = make(frame["person"])
    columns = {**COLUMNS, "channel": Categorical(("online", "shop"))}
    model = fit(frame, 2, columns=columns, epsilon=5.0, steps=5)
    sample = model.sample(600, random_state=0)
    assert sample["person"].dtype == frame["person"].dtype or frame["person"].dtype == "category"
    assert 5 < sample["person"].nunique() < 500  # noise can feign a few persons of many rows
    assert not set(sample["person"]) & set(frame["person"].dropna().iloc[:1])


def test_with_one_row_of_each_the_unit_is_the_row_and_the_critics_are_free():
    frame = visits(600)
    columns = {**COLUMNS, "channel": Categorical(("online", "shop"))}
    model = fit(
        frame, 1, columns=columns, epsilon=5.0, steps=5, critic="both", discriminator_steps=3, batch_size=100,
        discriminator_dim=(8,),
    )  # fmt: skip
    assert {"DP-SGD", "final choice"} <= {charge.label for charge in model.certificate_.charges}
    assert model.certificate_.unit == Unit("person", 1)
    model.certificate_.verify()


@pytest.mark.parametrize("critic", ["neural", "both"])
@pytest.mark.parametrize("most", [None, 4])
def test_dp_sgd_on_several_rows_of_a_person_is_refused_before_anything_is_spent(frame, critic, most):
    ledger = Ledger(Budget(5.0, 1e-5))
    with pytest.raises(ParameterError, match=r"critic.*max_rows_per_unit=1"):
        fit(frame, most, critic=critic, ledger=ledger)
    assert ledger.spends == ()


def test_delta_is_compared_with_the_number_of_persons(recwarn):
    frame = visits(600)  # some three thousand rows
    columns = {**COLUMNS, "channel": Categorical(("online", "shop"))}
    fit(frame, 2, columns=columns, epsilon=10.0, steps=2, delta=1 / 1500)
    assert not [warning for warning in recwarn.list if "delta" in str(warning.message)]
    with pytest.warns(PrivsynthWarning, match=r"1/persons .*publish a person"):
        fit(frame, 2, columns=columns, epsilon=10.0, steps=2, delta=1 / 300)
    with pytest.warns(PrivsynthWarning, match=r"1/rows .*publish a row"):
        fit(frame, unit=None, columns=columns, epsilon=10.0, steps=2, delta=1 / 1500)


def test_the_ledger_notes_whom_a_fit_protects(frame):
    ledger = Ledger(Budget(9.0, 1e-4))
    columns = {**COLUMNS, "channel": Categorical(("online", "shop"))}
    fit(frame, 2, columns=columns, steps=2, delta=1e-6, ledger=ledger)
    with pytest.warns(PrivsynthWarning, match="one row, and this ledger holds fits that protect one person"):
        fit(frame, unit=None, columns=columns, steps=2, delta=1e-6, ledger=ledger)
    assert [spend.unit for spend in ledger.spends] == ["person (person)", "row"]


def test_one_row_left_by_the_cap_is_no_error_of_its_own():
    """How many rows are left must not show by an error; refusals of small tables come from the noisy count."""
    frame = pd.DataFrame({"who": ["a"] * 5, "x": [True, False] * 2 + [True]})
    with pytest.warns(PrivsynthWarning, match="NOT private"):
        model = fit(frame, 1, unit="who", columns={"x": Boolean()}, target="x", epsilon=None, steps=2)
    assert len(model.sample(10)) == 10


def test_without_privacy_the_cap_keeps_all_that_it_can_and_nothing_is_claimed():
    frame = visits(600)
    with pytest.warns(PrivsynthWarning, match="NOT private"):
        model = fit(frame, epsilon=None, steps=2)
    assert model.certificate_.statement().startswith("NOT private")
    size = frame["person"].value_counts().max()
    assert model.certificate_.unit.rows >= size
    assert model.plan_.n_rows == len(frame)
    assert model.persons_.number == frame["person"].nunique()


def test_a_declared_cap_is_kept_without_privacy_too():
    frame = visits(600)
    with pytest.warns(PrivsynthWarning, match="NOT private"):
        model = fit(frame, 2, epsilon=None, steps=2)
    assert model.plan_.n_rows == np.minimum(frame["person"].value_counts(), 2).sum()


def test_the_frame_is_left_as_it_was():
    frame = visits(600)
    before = frame.copy()
    fit(frame, 2, steps=2, columns={**COLUMNS, "channel": Categorical(("online", "shop"))})
    pd.testing.assert_frame_equal(frame, before)
