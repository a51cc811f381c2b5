"""The documents say what is so: their Python runs, their commands parse, their links lead somewhere.

A ```` ```python ```` block runs unless it is marked ```` ```python no-run ````; the blocks of one file share a
namespace, in order. Warnings are errors, but for privsynth's own.
"""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from privsynth.errors import PrivsynthWarning

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]\n]+\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+[ \t]+(?P<text>.+?)[ \t]*$", re.MULTILINE)
_UsageError = typer.BadParameter.__mro__[1]  # typer may bring a click of its own


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after it, its text, and the line its text starts on."""

    language: str
    marks: tuple[str, ...]
    text: str
    line: int


def blocks_of(text: str) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        language, *marks = found["info"].split() or [""]
        yield Block(language, tuple(marks), found["body"], text[: found.start("body")].count("\n") + 1)


def run_python(text: str, name: str) -> None:
    """Run the Python blocks of a document; a traceback names its lines."""
    namespace: dict[str, Any] = {"__name__": "__document__"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", PrivsynthWarning)
        for block in blocks_of(text):
            if block.language == "python" and "no-run" not in block.marks:
                exec(compile("\n" * (block.line - 1) + block.text, name, "exec"), namespace)


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of every ``$`` line of the console blocks; a backslash continues a line."""
    for block in blocks_of(text):
        if block.language == "console":
            for line in block.text.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    yield shlex.split(line[2:], comments=True)


def check_command(words: list[str]) -> None:
    """Raise unless the command line takes these words, or the Makefile has these targets."""
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        missing = [goal for goal in words[1:] if not re.search(rf"^{re.escape(goal)}:", makefile, re.MULTILINE)]
        assert not missing, f"the Makefile has no {missing}"
    if Path(words[0]).name == "privsynth":
        cli = pytest.importorskip("privsynth.cli")
        group: Any = typer.main.get_command(cli.app)
        if words[1].startswith("-"):
            assert words[1] in {option for p in group.params for option in p.opts} | {"--help"}
            return
        assert words[1] in group.commands, f"privsynth has no command {words[1]!r}"
        group.commands[words[1]].make_context(words[1], words[2:])


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def broken_links(text: str, path: Path) -> list[str]:
    """Return the links to files that are not there, and to headings that their file lacks."""
    broken = []
    for found in _LINK.finditer(_FENCE.sub("", text)):
        target = found["target"]
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        goal = path if not file else (path.parent / file)
        if file and not goal.exists():
            broken.append(target)
        elif anchor:
            headings = _HEADING.finditer(_FENCE.sub("", goal.read_text(encoding="utf-8") if file else text))
            if anchor not in {slug(heading["text"]) for heading in headings}:
                broken.append(target)
    return broken


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small models are fitted faster by one thread than by several that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run(path, tmp_path, monkeypatch, one_thread):
    monkeypatch.chdir(tmp_path)
    run_python(path.read_text(encoding="utf-8"), path.name)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_parse(path):
    for words in commands_of(path.read_text(encoding="utf-8")):
        check_command(words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    assert broken_links(path.read_text(encoding="utf-8"), path) == []


def test_every_document_is_on_the_map():
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = {found["target"].partition("#")[0] for found in _LINK.finditer(text)}
    assert {path.name for path in DOCUMENTS if path.parent.name == "docs"} - {"index.md"} <= linked


def test_the_readme_shows_the_whole_way():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    words = list(commands_of(text))
    assert ["make", "test"] in words
    assert ["make", "demo"] in words
    assert sum(block.language == "python" for block in blocks_of(text)) >= 3
    assert {command[1] for command in words if command[0] == "privsynth"} >= {"fit", "sample", "evaluate", "inspect"}


# The twins: each check must fail where there is something to find.


def test_a_broken_block_fails_with_its_line():
    text = "text\n\n```python\nx = 1\n```\n\n```python\ny = x + missing\n```\n"
    with pytest.raises(NameError, match="missing") as caught:
        run_python(text, "planted.md")
    assert caught.traceback[-1].lineno == 7  # counted from 0


def test_a_failed_assertion_and_a_stray_warning_fail():
    with pytest.raises(AssertionError):
        run_python("```python\nassert 1 + 1 == 3\n```\n", "planted.md")
    with pytest.raises(DeprecationWarning):
        run_python("```python\nimport warnings\nwarnings.warn('old', DeprecationWarning)\n```\n", "planted.md")


def test_privsynth_warnings_and_blocks_not_to_run_pass():
    warn = "import warnings\nfrom privsynth.errors import PrivsynthWarning\nwarnings.warn('mind', PrivsynthWarning)"
    run_python(f"```python\n{warn}\n```\n\n```python no-run\n1 / 0\n```\n\n```text\n1 / 0\n```\n", "planted.md")


def test_blocks_share_a_namespace_within_a_file_only():
    run_python("```python\nx = 1\n```\n```python\nassert x == 1\n```\n", "first.md")
    with pytest.raises(NameError):
        run_python("```python\nassert x == 1\n```\n", "second.md")


@pytest.mark.parametrize("target", ["nowhere.md", "#no-such-heading", "README.md#no-such-heading"])
def test_a_broken_link_is_found(target):
    assert broken_links(f"# Title\n\nSee [this]({target}).\n", ROOT / "planted.md") == [target]


def test_good_links_and_links_in_code_pass():
    text = (
        "# A title, here\n\n[a](#a-title-here) [b](README.md) [c](https://example.org)\n\n```text\n[d](nowhere)\n```\n"
    )
    assert broken_links(text, ROOT / "planted.md") == []


@pytest.mark.parametrize("words", ["privsynth train x.csv", "make coffee", "privsynth --verson"])
def test_an_unknown_command_is_refused(words):
    with pytest.raises(AssertionError):
        check_command(words.split())


@pytest.mark.parametrize("words", ["privsynth fit x.csv --output m --epsilom 1", "privsynth fit x.csv"])
def test_an_unknown_or_missing_option_is_refused(words):
    pytest.importorskip("privsynth.cli")
    with pytest.raises(_UsageError):
        check_command(words.split())


def test_continued_lines_and_outputs_are_told_apart():
    text = "```console\n$ privsynth sample m \\\n    --rows 5  # five\nWrote 5 rows\n```\n"
    assert list(commands_of(text)) == [["privsynth", "sample", "m", "--rows", "5"]]
