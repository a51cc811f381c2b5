"""Bars on terminals: none elsewhere, and none for what is done soon."""

import pytest

from privsynth._progress import ProgressBar


def shown(capsys, **how):
    with ProgressBar(True, **how) as progress:
        for done in (1, 2):
            progress("score", done, 2, {})
    return capsys.readouterr().err


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard error for a terminal


@pytest.mark.usefixtures("terminal")
def test_a_bar_shows_what_is_done_and_left(capsys):
    text = shown(capsys)
    assert all(word in text for word in ("score", "2/2", "left"))


@pytest.mark.usefixtures("terminal")
def test_what_is_done_soon_shows_nothing(capsys):
    assert shown(capsys, after=1e6) == ""


@pytest.mark.usefixtures("terminal")
def test_a_bar_that_waited_shows(capsys, monkeypatch):
    clock = iter(float(tick) for tick in range(0, 1000, 2))
    monkeypatch.setattr("privsynth._progress.time.monotonic", lambda: next(clock))
    assert "2/2" in shown(capsys, after=3.0)


def test_no_terminal_no_bar(capsys, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert shown(capsys) == ""
