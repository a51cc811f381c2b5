"""Parties that release noisy tables, and a coordinator who fits a model to them without any rows."""

import json
import sys
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from privsynth import CTGAN, Budget, Ledger, Schema, TableRelease, load
from privsynth.datasets import make_transactions
from privsynth.errors import (
    BudgetExceeded,
    BundleError,
    DataError,
    ParameterError,
    PrivacyError,
    PrivsynthWarning,
    SchemaError,
)
from privsynth.evaluation import marginal_tvd
from privsynth.kinds import Categorical, Continuous, Datetime, Identifier
from privsynth.rules import FixedCombinations, Formula, Range
from privsynth.training import shares, tables
from privsynth.transforms import encoder

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from mutations import Bundle
from mutations_model import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore:At this epsilon", "ignore:About .* carry little signal")

PUBLIC = Schema(
    {
        "age": Continuous(20, 40, decimals=0),
        "city": Categorical(("Bonn", "Kiel", "Ulm")),
        "day": Datetime("2024-01-01", "2024-01-20", resolution="day"),
        "kind": Categorical(("no", "yes"), nullable=False),
    }
)


def make_frame(seed, n=3000):
    rng = np.random.default_rng(seed)
    kind = rng.random(n) < 0.3
    return pd.DataFrame(
        {
            "age": np.clip(rng.normal(28 + 4 * kind, 4, n), 20, 40).round(),
            "city": rng.choice(["Bonn", "Kiel", "Ulm"], n, p=[0.6, 0.3, 0.1]),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 20, n), unit="D"),
            "kind": np.where(kind, "yes", "no"),
        }
    )


def wide_frame(seed, n=3000):
    """A column that no schema of a few words cuts into cells."""
    rng = np.random.default_rng(seed)
    return make_frame(seed, n).assign(amount=rng.lognormal(3, 1, n).round(2))


def party(epsilon=2.0, **parameters):
    defaults = {"target": "kind", "steps": 60, "generator_dim": (32,), "verbose": False, "random_state": 0}
    return CTGAN(epsilon, **{**defaults, **parameters})


@pytest.fixture(scope="module")
def pair():
    """Two parties that agreed on a schema."""
    return [party(schema=PUBLIC).release(make_frame(seed)) for seed in (0, 1)]


@pytest.fixture(scope="module")
def chain():
    """One party goes first, and another follows; with partitions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shares, "_FEW_BOXES", 2)
        first = party(8.0, delta=1e-4).release(wide_frame(0), first=True)
    assert first.tables.partitions is not None
    return [first, party(8.0, delta=1e-4, target=None).release(wide_frame(1), like=first)]


def model_of(releases):
    return party(target=None).fit_releases(releases)


@pytest.mark.parametrize("releases", ["pair", "chain"])
def test_a_coordinator_fits_a_model_to_files(releases, request, tmp_path):
    made = request.getfixturevalue(releases)
    paths = [tmp_path / f"{number}.release" for number in range(2)]
    for release, path in zip(made, paths, strict=True):
        release.save(path)
    model = party(target=None, steps=400).fit_releases(paths)
    model.save(tmp_path / "model.psz")
    again = load(tmp_path / "model.psz")
    sampled = again.sample(2000, random_state=0)
    pd.testing.assert_frame_equal(sampled, model.sample(2000, random_state=0))
    real = pd.concat([make_frame(0), make_frame(1)])
    assert list(sampled) == list(made[0].columns)
    assert sampled.dtypes.astype(str).to_dict() == made[0].columns
    assert abs((sampled["kind"] == "yes").mean() - (real["kind"] == "yes").mean()) < 0.05
    assert abs(sampled["age"].mean() - real["age"].mean()) < 1
    older = sampled.groupby("kind")["age"].mean()
    assert older["yes"] > older["no"] + 1  # what goes with what is learned too
    assert again.plan_.n_rows == sum(release.tables.n_rows for release in made)
    assert len(again.sample(10, conditions={"kind": "yes"})) == 10


def test_the_stages_are_those_of_a_fit(pair, chain):
    assert [name for name, _ in model_of(pair).history_.stages] == ["measured critic"]
    assert [name for name, _ in model_of(chain).history_.stages] == ["measured critic", "partitions"]


def test_the_same_releases_make_the_same_model(chain, tmp_path):
    for number in range(2):
        model_of(chain).save(tmp_path / f"{number}.psz")
    assert (tmp_path / "0.psz").read_bytes() == (tmp_path / "1.psz").read_bytes()


def test_a_file_says_what_the_release_said(chain, tmp_path):
    for release in chain:
        release.save(tmp_path / "a.release")
        again = TableRelease.load(tmp_path / "a.release")
        again.save(tmp_path / "b.release")
        assert (tmp_path / "a.release").read_bytes() == (tmp_path / "b.release").read_bytes()
        assert again.certificate == release.certificate
        assert tables._difference(again.tables, TableRelease.load(tmp_path / "b.release").tables) == ""
        found, kept = release.tables.measurements, again.tables.measurements
        np.testing.assert_array_equal(found.pairs.values, kept.pairs.values)
        np.testing.assert_array_equal(found.class_columns.values, kept.class_columns.values)
        for values, other in zip(release.tables.partitions.values, again.tables.partitions.values, strict=True):
            np.testing.assert_array_equal(values, other)


def test_releasing_leaves_the_estimator_as_it_was():
    model = party(schema=PUBLIC)
    model.release(make_frame(0))
    assert not [name for name in vars(model) if name.endswith("_")]


def exact_one_way(release, frame):
    return np.concatenate(
        [np.bincount(c.encode(frame[c.name]), minlength=c.n_cells) for c in release.tables.encoder.columns]
    )


def surprise(errors, scale):
    """Two-sided p-value of the sum of squares of errors that are said to be Gaussian of `scale`."""
    statistic = float(np.sum((errors / scale) ** 2))
    return 2 * min(chi2.cdf(statistic, len(errors)), chi2.sf(statistic, len(errors)))


def noise_of_sums(rounds=12):
    """Errors of the summed 1-way counts of two parties of different epsilon, and the scale that is stated."""
    errors = []
    for number in range(rounds):
        frames = [make_frame(2 * number), make_frame(2 * number + 1)]
        made = [party(epsilon, schema=PUBLIC).release(frame) for epsilon, frame in zip((0.7, 2.0), frames, strict=True)]
        total = tables.add_up([release.tables for release in made])
        exact = sum(exact_one_way(release, frame) for release, frame in zip(made, frames, strict=True))
        errors.append(total.encoder.one_way.values - exact)
    return np.concatenate(errors), total.encoder.one_way.scale


def test_the_noise_of_a_sum_is_what_it_says():
    """False alarm in one run of a million."""
    errors, scale = noise_of_sums()
    assert surprise(errors, scale) > 1e-6


def test_a_sum_that_forgets_one_partys_noise_would_be_seen(monkeypatch):
    monkeypatch.setattr(tables, "root_sum", min)
    errors, scale = noise_of_sums()
    assert surprise(errors, scale) < 1e-6


def test_counts_of_the_same_cells_add_up(chain):
    total = tables.add_up([release.tables for release in chain])
    found = [release.tables.measurements for release in chain]
    np.testing.assert_allclose(total.measurements.pairs.values, found[0].pairs.values + found[1].pairs.values)
    assert total.measurements.pairs.scale == pytest.approx(np.hypot(found[0].pairs.scale, found[1].pairs.scale))
    assert total.n_rows == sum(release.tables.n_rows for release in chain)


def test_a_follower_gives_pairs_the_noise_that_the_first_gave_them(chain):
    first, second = (release.tables for release in chain)
    noise = first.measurements.pairs.noise
    assert len(set(noise.values())) > 1
    assert second.measurements.pairs.noise == tables.add_up([first, second]).measurements.pairs.noise == noise
    other = replace(second.measurements.pairs, relative=second.measurements.pairs.relative[::-1])
    with pytest.raises(DataError, match="other tables were measured"):
        tables.add_up([first, replace(second, measurements=replace(second.measurements, pairs=other))])


def test_cells_that_are_empty_everywhere_are_dropped(chain):
    """The cells of missing values are kept by each party, for others may have some."""
    assert all(column.null for column in chain[0].tables.encoder.columns if column.name in ("age", "city"))
    kept = tables.add_up([release.tables for release in chain]).without_empty_cells()
    assert not any(column.null for column in kept.encoder.columns)
    layout = kept.encoder.layout
    assert kept.measurements.pairs.values.shape == (2, layout.width, layout.width)
    assert kept.measurements.class_columns.values.shape == (2, layout.width)
    assert kept.measurements.pairs.noise == chain[0].tables.measurements.pairs.noise
    for partition, values in zip(kept.partitions.partitions, kept.partitions.values, strict=True):
        assert values.shape == (2, partition.n_boxes)
        inside = partition.intervals(layout)
        assert all(((boxes == 0) | (boxes == 1)).all() for boxes in inside.values())
    assert model_of(chain).sample(500, random_state=0).notna().all().all()


def test_what_one_party_lacks_and_another_has_is_kept():
    frames = [make_frame(0), make_frame(1)]
    frames[1].loc[:600, "city"] = None
    model = model_of([party(schema=PUBLIC).release(frame) for frame in frames])
    assert model.sample(4000, random_state=0)["city"].isna().mean() == pytest.approx(0.1, abs=0.03)


# the guarantee


def test_the_certificate_is_of_each_party(pair):
    certificate = model_of([pair[0], party(1.0, schema=PUBLIC).release(make_frame(1))]).certificate_
    assert [one.epsilon for one in certificate.parties] == [pytest.approx(2.0, rel=1e-4), pytest.approx(1.0, rel=1e-4)]
    assert certificate.epsilon == max(one.epsilon for one in certificate.parties) == certificate.recompute()
    certificate.verify()
    text = str(certificate)
    assert "at one of 2 parties" in text
    assert "add up, to 3 and 2e-05" in text
    again = type(certificate).from_json(json.dumps(certificate.to_dict()))
    assert again == certificate


@pytest.mark.parametrize(
    "change",
    [
        {"epsilon": 1.9},
        {"delta": 1e-9},
        {"parties": ()},
    ],
)
def test_a_claim_below_that_of_a_party_is_refused(pair, change):
    certificate = model_of(pair).certificate_
    forged = replace(certificate, **change)
    if change == {"parties": ()}:
        assert not forged.lists(model_of(pair).encoder_.one_way.scale, encoder.ONE_WAY, once=True)
        return
    with pytest.raises(PrivacyError):
        forged.verify()


def test_one_release_is_its_own_certificate(pair):
    assert model_of(pair[:1]).certificate_ == pair[0].certificate


def test_a_release_is_charged_as_a_fit_is(tmp_path):
    ledger = Ledger(Budget(3.0, 1e-4), path=tmp_path / "ledger.json")
    made = party(1.0, schema=PUBLIC, delta=1e-5).release(make_frame(0), ledger=ledger)
    party(1.0, delta=1e-5).release(make_frame(0), like=made, ledger=ledger)
    assert ledger.spent == (2.0, 2e-5)
    assert [spend.label for spend in ledger.spends] == ["release of tables"] * 2
    with pytest.raises(BudgetExceeded, match="release of tables asks for"):
        party(1.5, schema=PUBLIC, delta=1e-5).release(make_frame(0), ledger=ledger)
    with pytest.raises(SchemaError):
        party(0.5, delta=1e-5).release(wide_frame(0), ledger=ledger)
    assert ledger.spent == (2.0, 2e-5)


def test_a_hopeless_budget_is_refused_for_the_price_of_the_row_count(chain):
    ledger = Ledger(Budget(1.0))
    with pytest.raises(ParameterError, match="Only the row count was read"):
        party(0.01, target=None).release(wide_frame(0, 50), like=chain[0], ledger=ledger)
    assert ledger.spent == (pytest.approx(0.0002), 0.0)


def test_persons_are_protected_by_each_party():
    schema = Schema({**PUBLIC, "who": Identifier()}, privacy_unit="who")
    frames = [make_frame(seed).assign(who=np.repeat([f"p{i}" for i in range(1000)], 3)) for seed in (0, 1)]
    made = [party(4.0, schema=schema).release(frame) for frame in frames]
    model = model_of(made)
    assert model.certificate_.unit.column == "who"
    assert model.certificate_.unit.rows == max(one.certificate.unit.rows for one in made)
    assert model.persons_.number == pytest.approx(2000, abs=300)
    assert model.sample(10)["who"].notna().all()
    with pytest.raises(SchemaError, match="Agree on one privacy_unit"):
        party(schema=PUBLIC).release(frames[0], like=made[0])


# agreeing


def test_what_would_be_found_in_rows_is_refused_before_anything_is_spent():
    with pytest.raises(SchemaError) as caught:
        party().release(wide_frame(0))
    told = str(caught.value)
    assert "'age' (no bounds, no decimals), 'city' (no categories), 'day' (no bounds, no resolution)" in told
    assert "first=True" in told
    assert "like=" in told
    wide = Schema({**PUBLIC, "amount": Continuous(0, 1000, decimals=2)})
    with pytest.raises(SchemaError, match=r"'amount' \(more than 32 numbers between its bounds\)"):
        party(schema=wide).release(wide_frame(0))


def test_cells_of_a_full_schema_do_not_depend_on_rows(pair):
    other = party(schema=PUBLIC).release(make_frame(5, 50).iloc[::-1][["kind", "day", "city", "age"]])
    assert tables._difference(pair[0].tables, other.tables) == ""


def test_rules_are_kept_by_all_parties():
    schema = Schema(
        # nullable=False: the noisy count of missing values would now and then be above 0, and a few rows missing
        {**PUBLIC, "city": Categorical(("Bonn", "Kiel", "Ulm"), nullable=False),
         "region": Categorical(("n", "s"), nullable=False), "double": Continuous(decimals=0)},
        rules=[FixedCombinations(("city", "region"), (("Bonn", "n"), ("Kiel", "n"), ("Ulm", "s"))),
               Formula("double", "2 * age")],
    )  # fmt: skip
    frames = [f.assign(region=f["city"].map({"Bonn": "n", "Kiel": "n", "Ulm": "s"}), double=2 * f["age"])
              for f in map(make_frame, (0, 1))]  # fmt: skip
    sampled = model_of([party(schema=schema).release(frame) for frame in frames]).sample(300, random_state=0)
    assert (sampled["double"] == 2 * sampled["age"]).all()
    assert set(zip(sampled["city"], sampled["region"], strict=True)) <= {("Bonn", "n"), ("Kiel", "n"), ("Ulm", "s")}


def test_parties_that_went_first_each_are_refused():
    made = [party(8.0).release(wide_frame(seed), first=True) for seed in (0, 1)]
    with pytest.raises(DataError, match="do not answer the same questions"):
        model_of(made)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": PUBLIC.declare(city=Categorical(("Bonn", "Kiel", "Rome", "Ulm")))}, r"\['city'\] are not declared"),
        ({"target": "city"}, "another target"),
        ({"condition_columns": ["city"]}, "other condition columns"),
        ({"schema": Schema(PUBLIC, rules=[Range("age", 21, 30)])}, "other rules"),
    ],
)
def test_questions_that_differ_are_named(pair, change, told):
    with pytest.raises((DataError, ParameterError), match=told):
        model_of([pair[0], party(**{"schema": PUBLIC, **change}).release(make_frame(1))])


def test_rows_beyond_the_first_partys_cells_are_told_of(chain):
    """From released counts; a table alike says nothing."""
    later = wide_frame(1)
    later["amount"] *= 100
    with pytest.warns(PrivsynthWarning, match=r"outermost cells, or under other levels, of \['amount'\]"):
        party(8.0, delta=1e-4, target=None).release(later, like=chain[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        party(8.0, delta=1e-4, target=None).release(wide_frame(2), like=chain[0])


def test_other_columns_are_named(chain):
    with pytest.raises(SchemaError, match=r"lacks: .*amount"):
        party(target=None).release(make_frame(0), like=chain[0])
    with pytest.raises(SchemaError, match=r"columns that the release lacks: \['iban'\]"):
        party(target=None).release(wide_frame(0).assign(iban="x"), like=chain[0])
    with pytest.raises(SchemaError, match="'amount' is declared Continuous"):
        party(target=None).release(wide_frame(0).assign(amount="x"), like=chain[0])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda p: party(None).release(make_frame(0), first=True), "a number to release tables"),
        (lambda p: party(critic="both").release(make_frame(0), first=True), "'auto' or 'measured'"),
        (lambda p: party().release(make_frame(0), like=p[0], first=True), "False where like= is given"),
        (lambda p: party(target="city").release(make_frame(0), like=p[0]), "that of the release"),
        (lambda p: party().fit_releases([]), "a list of releases"),
        (lambda p: party().fit_releases("a.release"), "a list of releases"),
        (lambda p: party(target="city").fit_releases(p), "what was released for"),
        (lambda p: party().fit_releases([*p, p[0]]), "Releases 1 and 3 are the same one"),
        (lambda p: party().fit_releases([*p, "nowhere.release"]), "There is no model file"),
    ],
)
def test_bad_input(pair, call, told):
    with pytest.raises((ParameterError, DataError, BundleError), match=told):
        call(pair)


# files


def test_a_release_is_no_model_and_a_model_no_release(pair, tmp_path):
    pair[0].save(tmp_path / "a.release")
    with pytest.raises(BundleError, match="noisy tables, no model"):
        load(tmp_path / "a.release")
    model_of(pair).save(tmp_path / "model.psz")
    with pytest.raises(BundleError, match="no release of noisy tables"):
        TableRelease.load(tmp_path / "model.psz")


CANARY, NUMBER = "zebrafinch", 731_946_285.25


def test_no_value_of_a_row_is_in_a_file(tmp_path):
    frame = wide_frame(0)
    frame.loc[7, ["city", "amount"]] = [CANARY, NUMBER]
    first = party(8.0).release(frame, first=True)
    for release in (
        first,
        party(8.0).release(frame, like=first),
        party(schema=PUBLIC).release(frame.drop(columns="amount")),
    ):
        release.save(tmp_path / "a.release")
        bundle = Bundle((tmp_path / "a.release").read_bytes())
        held = b"".join(bundle.parts.values())
        assert CANARY.encode() not in held
        assert str(NUMBER).encode() not in held
        assert np.array([NUMBER]).tobytes() not in held


def test_what_a_file_holds(chain, tmp_path):
    """The list is short enough to be read; whoever adds to it has to say so here."""
    chain[0].save(tmp_path / "a.release")
    bundle = Bundle((tmp_path / "a.release").read_bytes())
    assert sorted(bundle.model()) == [
        "arrow", "certificate", "class", "columns", "condition_columns", "conditions", "encoder", "n_rows", "numbers",
        "partitions", "persons", "releases", "schema", "split", "target",
    ]  # fmt: skip
    from safetensors.numpy import load as read

    names = sorted(read(bundle.parts["weights.safetensors"]))
    assert names == [*(f"TableRelease.boxes.{n}" for n in range(8)), "releases.class_columns", "releases.pairs"]


FORGERIES = {
    "another class": lambda t: t.update({"class": "CTGAN"}),
    "no class": lambda t: t.pop("class"),
    "no encoder": lambda t: t.pop("encoder"),
    "rows below one": lambda t: t.update(n_rows=0),
    "rows of a float": lambda t: t.update(n_rows=1e9),
    "a split that is none": lambda t: t.update(split=99),
    "conditions that are none": lambda t: t.update(conditions=[99]),
    "a target that is none": lambda t: t.update(target="nobody"),
    "less noise than listed": lambda t: t["releases"]["pairs"].update(scale=0.1),
    "less noise in a pair": lambda t: t["releases"]["pairs"]["relative"].__setitem__(0, 0.1),
    "less noise in boxes": lambda t: t["partitions"].update(scale=0.1),
    "a pair twice": lambda t: t["releases"]["pairs"]["pairs"].__setitem__(0, t["releases"]["pairs"]["pairs"][1]),
    "a loop in a tree": lambda t: t["partitions"]["trees"][0]["children"].__setitem__(0, [0, 0]),
    "a box twice": lambda t: t["partitions"]["trees"][0].update(box=[0] * len(t["partitions"]["trees"][0]["box"])),
    "a cut nowhere": lambda t: t["partitions"]["trees"][0]["cut"].__setitem__(0, 10**6),
    "a column nowhere": lambda t: t["partitions"]["trees"][0]["column"].__setitem__(0, 10**6),
    "no trees": lambda t: t["partitions"].update(trees=[]),
    "a smaller claim": lambda t: t["certificate"].update(epsilon=0.1),
    "columns of another type": lambda t: t["columns"].update(city="int64"),
    "no tables": lambda t: t.update(releases=None),
    "a schema of other columns": lambda t: t.update(schema={"columns": {"x": {"kind": "boolean"}}}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_files_are_refused_in_one_line(chain, tmp_path, name):
    path = tmp_path / "a.release"
    chain[0].save(path)
    bundle = Bundle(path.read_bytes())
    tree = bundle.model()
    FORGERIES[name](tree)
    path.write_bytes(bundle.with_model(tree))
    with pytest.raises(BundleError) as caught:
        TableRelease.load(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(pair, tmp_path):
    pair[0].save(tmp_path / "a.release")
    data = (tmp_path / "a.release").read_bytes()
    for stop in (0, 10, len(data) // 2, len(data) - 1):
        (tmp_path / "b.release").write_bytes(data[:stop])
        with pytest.raises(BundleError):
            TableRelease.load(tmp_path / "b.release")


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("interpreted texts", "sizes")])
def test_mutated_files_are_refused_or_harmless(chain, tmp_path, family):
    """As in `tests.test_hostile_bundles`; the two families left out change what a release does not have."""
    path = tmp_path / "a.release"
    chain[0].save(path)
    bundle, told = Bundle(path.read_bytes()), []
    for number in range(10):
        rng = np.random.default_rng([zlib.crc32(family.encode()), number])
        path.write_bytes(FAMILIES[family][0](bundle, rng))
        try:
            read = TableRelease.load(path)
        except BundleError as error:
            told.append(str(error))
        else:
            assert np.isfinite(read.tables.measurements.pairs.values).all()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PrivsynthWarning)
                assert len(party(target=None, steps=1).fit_releases([read]).sample(5)) == 5
    assert told
    assert not [text for text in told if "\n" in text]


# quality


def cross_silo(epsilon=1.0, n_rows=100_000):
    """TVD2 to all rows of a model of one release, and of the releases of two parties with half the rows each."""
    frame = make_transactions(n_rows, fraud_rate=0.02, random_state=0)
    mixed = frame.sample(frac=1.0, random_state=0)  # they come by time
    halves = mixed[: n_rows // 2], mixed[n_rows // 2 :]
    maker = CTGAN(epsilon, delta=1e-6, target="is_fraud", verbose=False, random_state=0)
    whole = maker.fit_releases([maker.release(frame, first=True)]).sample(n_rows, random_state=0)
    first = maker.release(halves[0], first=True)
    both = maker.fit_releases([first, maker.release(halves[1], like=first)]).sample(n_rows, random_state=0)
    apart = [first, maker.release(halves[1], first=True)]
    return [marginal_tvd(frame, rows, order=2).mean for rows in (whole, both)], apart


@pytest.mark.slow
def test_two_halves_are_learned_as_the_whole_is(monkeypatch):
    (whole, both), apart = cross_silo()
    assert both < 1.25 * whole + 0.01
    # the twin: counts of cells that each party found for itself, added up all the same
    monkeypatch.setattr(tables, "_difference", lambda *args: "")
    frame = make_transactions(100_000, fraud_rate=0.02, random_state=0)
    try:
        rows = CTGAN(verbose=False, random_state=0).fit_releases(apart).sample(100_000, random_state=0)
    except (ValueError, IndexError):
        return  # not even of one shape
    assert marginal_tvd(frame, rows, order=2).mean > 2 * both
