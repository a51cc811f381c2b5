"""A release folder: complete, free of private rows, and whatever is changed in it is found."""

import json
import os
import re

import pandas as pd
import pytest
from typer.testing import CliRunner

from privsynth.cli import app
from privsynth.errors import DataError, PrivacyError, PrivsynthError
from privsynth.publish import check, pack
from privsynth.publish.folder import DATASHEET, FILES, sha256

NAMES = [DATASHEET, *(name for name in FILES if name != "synthetic.parquet")]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def packed(model, synthetic, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    model.save(folder / "model.privsynth")
    synthetic.to_csv(folder / "rows.csv", index=False)
    result = run(
        "pack", folder / "model.privsynth", folder / "rows.csv", "-o", folder / "out", "--title", "Visits | <i>"
    )
    assert result.exit_code == 0, result.output
    return folder


def test_it_holds_all_and_is_verified(packed, model, synthetic):
    out = packed / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(NAMES)
    sheet = json.loads((out / DATASHEET).read_text())
    assert sheet["synthetic"] is True
    assert sheet["model"]["sha256"] == sha256(packed / "model.privsynth")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", sheet["date"])
    assert sheet["files"]["synthetic.csv"]["sha256"] == sha256(out / "synthetic.csv")
    assert set(sheet["files"]) == set(NAMES) - {DATASHEET}
    assert sheet["privacy"]["epsilon"] == model.certificate_.epsilon
    result = run("inspect", out)
    assert result.exit_code == 0, result.output
    for phrase in (
        "synthetic, 3,000 rows, 11 columns",
        model.certificate_.statement(),
        sha256(out / DATASHEET),
        "Verified",
    ):
        assert phrase in result.stdout
    assert json.loads(run("inspect", out, "--json").stdout)["epsilon"] == model.certificate_.epsilon
    back = pd.read_csv(out / "synthetic.csv", dtype={"code": str, "fee": str}, parse_dates=["when"])
    assert back["fee"].tolist() == synthetic["fee"].tolist()
    assert back["code"].tolist() == synthetic["code"].tolist()
    assert back["when"].tolist() == synthetic["when"].tolist()


def test_dictionary_and_readme_say_what_a_receiver_needs(packed):
    columns = json.loads((packed / "out" / "dictionary.json").read_text())["columns"]
    by_name = {column["name"]: column for column in columns}
    assert list(by_name) == ["id", "age", "low", "high", "city", "when", "fee", "code", "flag", "plan", "kind"]
    assert by_name["age"] | {"low": "18", "high": "90", "missing": True} == by_name["age"]
    assert sorted(by_name["plan"]["levels"]) == ["<b>gold</b>", "basic", "free"]
    assert "made_up" in by_name["id"]
    assert by_name["low"]["rules"] == ["low <= high"]
    text = (packed / "out" / "README.md").read_text()
    assert text.startswith("# Visits \\| \\<i\\>\n")
    assert "\\<b\\>gold\\</b\\>" in text
    for phrase in ("**Synthetic data.**", "differential privacy", "Do not use it for", "privsynth inspect FOLDER"):
        assert phrase in text


def test_nothing_of_a_private_row_is_in_it(packed):
    for path in (packed / "out").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "person-" not in text
        assert "Town 01" not in text


def test_packing_reads_the_model_and_the_sample_only(packed, monkeypatch):
    """Every file that is opened: the model, the sample, and what is written."""
    opened = []
    original = os.open

    def watch(event, arguments):
        if event == "open" and active and isinstance(arguments[0], (str, os.PathLike)):
            opened.append(str(arguments[0]))

    import sys

    active = []
    sys.addaudithook(watch)
    active.append(True)
    assert run("pack", packed / "model.privsynth", packed / "rows.csv", "-o", packed / "again").exit_code == 0
    active.clear()
    assert original is os.open
    data = {os.path.relpath(path, packed) for path in opened if path.startswith(str(packed))}
    assert {path for path in data if "again" not in path} == {"model.privsynth", "rows.csv"}


def rewrite(out, name, change):
    """Change a file and its entry in the datasheet: a forger can do that."""
    path, sheet = out / name, json.loads((out / DATASHEET).read_text())
    path.write_text(change(path.read_text()))
    if name != DATASHEET:
        sheet["files"][name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
        (out / DATASHEET).write_text(json.dumps(sheet))


def set_in_sheet(**changes):
    return lambda out: rewrite(out, DATASHEET, lambda text: json.dumps({**json.loads(text), **changes}))


def in_sheet(change):
    def act(out):
        sheet = json.loads((out / DATASHEET).read_text())
        change(sheet)
        (out / DATASHEET).write_text(json.dumps(sheet))

    return act


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new, 1))


def cheaper(text):
    return json.dumps({**json.loads(text), "epsilon": 0.5})


def linked(out):
    (out / "synthetic.csv").rename(out.parent / "elsewhere.csv")
    (out / "synthetic.csv").symlink_to(out.parent / "elsewhere.csv")


CHANGES = {
    "one sign of the table": (lambda out: edit(out / "synthetic.csv", "Ulm", "Uln"), "csv was changed or damaged"),
    "a row more": (lambda out: edit(out / "synthetic.csv", "\n", "\nx\n"), "synthetic.csv was changed or damaged"),
    "the page": (lambda out: (out / "publishable.html").write_text(""), "publishable.html was changed or damaged"),
    "a file gone": (lambda out: (out / "README.md").unlink(), "README.md is missing"),
    "a file more": (lambda out: (out / "real.csv").write_text("x"), "real.csv is not listed"),
    "a folder more": (lambda out: (out / "more").mkdir(), "more is not listed"),
    "no datasheet": (lambda out: (out / DATASHEET).unlink(), "is no release folder"),
    "a link": (linked, "synthetic.csv is no plain file"),
    "a lower epsilon": (lambda out: rewrite(out, "certificate.json", cheaper), "listed events cost"),
    "a lower epsilon in the datasheet": (in_sheet(lambda s: s["privacy"].update(epsilon=0.1)), "another guarantee"),
    "a better statement": (set_in_sheet(statement="(0.1, 1e-05)-differential privacy"), "another guarantee"),
    "not synthetic": (set_in_sheet(synthetic=False), "is damaged"),
    "another format": (set_in_sheet(format="privsynth.release/2"), "reads 'privsynth.release/1'"),
    "no JSON": (lambda out: (out / DATASHEET).write_text("{"), "is damaged"),
    "no text": (lambda out: (out / DATASHEET).write_bytes(b"\xff\xfe\x00"), "is no text"),
    "a list": (lambda out: (out / DATASHEET).write_text("[]"), "is damaged"),
    "deep": (lambda out: (out / DATASHEET).write_text("[" * 100_000), "is damaged"),
    "a path": (in_sheet(lambda s: s["files"].update({"../model.privsynth": s["files"]["README.md"]})), "is damaged"),
    "a digest that is none": (in_sheet(lambda s: s["files"]["README.md"].update(sha256=3)), "is damaged"),
    "rows that are text": (set_in_sheet(rows="many"), "is damaged"),
    "no certificate": (lambda out: (in_sheet(lambda s: s["files"].pop("certificate.json"))(out),
                                    (out / "certificate.json").unlink()), "certificate.json is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_is_changed_is_told_in_one_line(packed, model, synthetic, tmp_path, name):
    change, told = CHANGES[name]
    out = pack(model, synthetic[:50], tmp_path / "out", date="2026-01-01")
    assert check(out).datasheet["date"] == "2026-01-01"
    change(out)
    result = run("inspect", out)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    with pytest.raises(PrivsynthError):
        check(out)


def test_escapes_of_a_forger_are_not_printed(model, synthetic, tmp_path):
    out = pack(model, synthetic[:50], tmp_path / "out")
    set_in_sheet(title="a\x1b[2J\nVerified", date="\x1b")(out)
    result = run("inspect", out)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "\nVerified\n" not in result.stdout


def test_parquet_in_parquet_out(packed, synthetic):
    synthetic.to_parquet(packed / "rows.parquet")
    result = run("pack", packed / "model.privsynth", packed / "rows.parquet", "-o", packed / "as_parquet")
    assert result.exit_code == 0, result.output
    pd.testing.assert_frame_equal(pd.read_parquet(packed / "as_parquet" / "synthetic.parquet"), synthetic)
    assert run("inspect", packed / "as_parquet").exit_code == 0


def test_refusals_leave_nothing(packed, model, synthetic, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    for goal, told in (("full", "no empty folder"), ("no/such", "does not exist")):
        result = run("pack", packed / "model.privsynth", packed / "rows.csv", "-o", tmp_path / goal)
        assert result.exit_code == 2
        assert told in result.stderr
    with pytest.raises(DataError, match="never makes"):
        pack(model, synthetic.assign(city="Rom"), tmp_path / "out")

    def interrupted(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack(model, synthetic, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_an_empty_folder_is_filled(model, synthetic, tmp_path):
    (tmp_path / "out").mkdir()
    assert check(pack(model, synthetic, tmp_path / "out")).certificate == model.certificate_


@pytest.mark.filterwarnings("ignore:epsilon=None")
def test_a_model_without_privacy_is_not_packed(tmp_path):
    from privsynth import CTGAN

    frame = pd.DataFrame({"a": [True, False] * 300, "b": ["x", "y", "x"] * 200})
    model = CTGAN(None, steps=2, verbose=False).fit(frame)
    with pytest.raises(PrivacyError, match="not private"):
        pack(model, model.sample(10), tmp_path / "out")
    assert not (tmp_path / "out").exists()
