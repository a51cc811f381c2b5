"""Tables in and out: what `fit` takes, and files that are whole or not there."""

import os

import numpy as np
import pandas as pd
import pytest

from privsynth import CTGAN
from privsynth.errors import DataError
from privsynth.tables import as_frame, check_writable, read_table, write_table


def messy():
    return pd.DataFrame(
        {
            "i": [1, 2, 3],
            "f": [0.1, None, 1e9],
            "b": [True, False, True],
            "s": ["a,b", 'quote "', None],
            "é ü": ["x", "y", "z"],
        },
        index=[7, 3, 3],
    )


def test_a_frame_is_taken_with_a_fresh_index_and_left_alone():
    frame = messy()
    frame["k"] = pd.Categorical(list("aba"))
    before = frame.copy(deep=True)
    taken = as_frame(frame, y=pd.Series([1.0, 2.0, 3.0], name="y"))
    taken["i"] = 0
    taken.loc[0, "f"] = -1
    pd.testing.assert_frame_equal(frame, before)
    assert list(taken.index) == [0, 1, 2]
    assert list(taken.columns) == [*frame.columns, "y"]


def test_a_frame_is_not_copied():
    frame = messy()
    taken = as_frame(frame)
    assert np.shares_memory(taken["f"].to_numpy(), frame["f"].to_numpy())
    assert list(taken.index) == [0, 1, 2]
    assert list(frame.index) == [7, 3, 3]


def test_a_fit_writes_into_no_array_of_the_caller():
    array = np.random.default_rng(0).random((500, 2))
    array.flags.writeable = False  # writing would raise
    CTGAN(3.0, steps=1, verbose=False).fit(array)


def test_dicts_and_arrays():
    assert list(as_frame({"a": [1, 2], "b": ["x", "y"]}).columns) == ["a", "b"]
    array = np.arange(6).reshape(3, 2)
    taken = as_frame(array, y=[1, 0, 1])
    assert list(taken.columns) == ["x0", "x1", "target"]
    assert (taken[["x0", "x1"]].to_numpy() == array).all()


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([1, 2, None], dtype="Int64", index=[9, 8, 7]),
        pd.Series(list("aba"), dtype="category"),
        pd.to_datetime(pd.Series(["2024-01-01"] * 3)).dt.tz_localize("Asia/Tokyo"),
        pd.Series([True, False, True]),
    ],
)
def test_y_is_one_more_column_by_position_with_its_data_type(y):
    taken = as_frame(messy(), y.rename("label"))
    assert taken["label"].dtype == y.dtype
    pd.testing.assert_series_equal(taken["label"], y.reset_index(drop=True), check_names=False)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (pd.DataFrame({"a": []}), None, "no rows"),
        (pd.DataFrame({"a": [1]}), None, "one row"),
        (pd.DataFrame(index=range(5)), None, "no columns"),
        (pd.DataFrame([[1, 2, 3]] * 3, columns=["a", "b", "a"]), None, r"more than once: \['a'\]. Rename"),
        (pd.DataFrame({1.5: [1, 2]}), None, r"non-empty strings, or whole numbers. Got \[1.5\]. Use df.columns.ast"),
        (pd.DataFrame({1: [1, 2], "1": [3, 4]}), None, "distinct as text too"),
        (pd.DataFrame({True: [1, 2]}), None, "non-empty strings"),
        (pd.DataFrame({"": [1, 2]}), None, "non-empty strings"),
        (pd.DataFrame({("a", "b"): [1, 2]}), None, "non-empty strings"),
        ({"a": [1, 2], "b": [1]}, None, "dict is no table.*one length"),
        ([[1, 2], [3, 4]], None, "DataFrame. Got list"),
        (np.zeros(3), None, "DataFrame. Got ndarray"),
        ("table.csv", None, "DataFrame. Got str.*read_csv"),
        (None, None, "DataFrame. Got NoneType"),
        (messy(), [1, 2], "y has 2 rows and X has 3"),
        (messy(), pd.Series([1, 2, 3], name="i"), "'i'.*already. Rename"),
        (messy(), np.zeros((3, 1)), r"one column. Got shape \(3, 1\)"),
        (messy(), 5, r"one column. Got shape \(\)"),
    ],
)
def test_no_tables(X, y, message):
    with pytest.raises(DataError, match=message):
        as_frame(X, y)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.pq"])
def test_round_trip(name, tmp_path):
    frame = messy().reset_index(drop=True)
    write_table(frame, tmp_path / name)
    again = read_table(tmp_path / name)
    assert again.dtypes.equals(frame.dtypes)
    pd.testing.assert_frame_equal(again.convert_dtypes(), frame.convert_dtypes())  # None and NaN are one
    assert os.listdir(tmp_path) == [name]


def test_parquet_keeps_data_types(tmp_path):
    frame = pd.DataFrame(
        {
            "k": pd.Categorical(["b", "a"], categories=["b", "a"], ordered=True),
            "t": pd.to_datetime(["2024-01-01", None]).tz_localize("Europe/Berlin"),
            "n": pd.array([1, None], dtype="Int64"),
        }
    )
    write_table(frame, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), frame)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "cannot be read as CSV"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe", "cannot be read as CSV"),
        ("zeros.csv", b"\x00\x00,\x00\n1,2\n", "CSV"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3,4\n", "cannot be read as CSV.*Check that"),
        ("text.parquet", b"a,b\n1,2\n", "cannot be read as Parquet"),
        ("empty.parquet", b"", "cannot be read as Parquet"),
        ("cut.parquet", b"PAR1\x00\x00", "cannot be read as Parquet"),
        ("bad.csv.gz", b"not zipped", "cannot be read as CSV"),
        ("table.xlsx", b"PK", "neither .csv nor .parquet"),
    ],
)
def test_files_that_are_no_tables(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DataError, match="There is no file"):
            read_table(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("no/t.csv", "folder .* does not exist"), ("", "is a folder"), ("t.txt", "must end in .csv or .parquet")],
)
def test_places_that_cannot_be_written(name, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write_table(messy(), tmp_path / name)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="permission denied"):
        check_writable(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(name, tmp_path):
    class Unprintable:
        def __str__(self):
            raise OSError("no space left")

    write_table(pd.DataFrame({"a": [1]}), tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(DataError, match="cannot be written"):
        write_table(pd.DataFrame({"a": [Unprintable()]}), tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert os.listdir(tmp_path) == [name]


def test_mixed_objects_that_parquet_cannot_hold(tmp_path):
    with pytest.raises(DataError, match=r"t\.parquet cannot be written as Parquet.*CSV"):
        write_table(pd.DataFrame({"a": [1, "x", 2.5]}), tmp_path / "t.parquet")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("39,State-gov,77516,13", True),
        ("2024-01-31 10:00,12.5,GB", True),
        ("1.5", True),
        ("age,income,2024", False),
        ("0,1,2,3", False),
        ("city,2019,2020,2021", False),
        ("a,b,1,2", False),
    ],
)
def test_a_row_in_the_place_of_names_is_refused(tmp_path, line, refused):
    path = tmp_path / "table.csv"
    path.write_text(f"{line}\n" * 1 + ",".join("x" for _ in line.split(",")) + "\n")
    if refused:
        with pytest.raises(DataError, match=r"as if it were a row.*Add a line of names") as caught:
            read_table(path)
        assert line.split(",")[0] not in str(caught.value).replace(str(path), "")
    else:
        assert len(read_table(path)) == 1
