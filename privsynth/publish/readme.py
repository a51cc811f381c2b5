"""The words that go with a released table: what it is, what it is good for, and how to check it."""

from __future__ import annotations

from typing import Any

from privsynth.bundle import in_one_line

_MOST_VALUES = 8


def readme(facts: dict[str, Any], columns: list[dict[str, Any]], table: str) -> str:
    """Return the text of ``README.md``."""
    privacy, model = facts["privacy"], facts["model"]
    fidelity = "\n".join(f"- {name}: {value:.3f}" for name, value in facts["fidelity"].items())
    return f"""# {_plain(facts["title"])}

**Synthetic data.** No row belongs to a person or a case. The rows were sampled from a {model["class"]} that was
learned from about {model["learned_from_about"]:,} real rows under differential privacy.

- rows: {facts["rows"]:,}; columns: {facts["columns"]}; table: `{table}`
- guarantee: {facts["statement"]}
- protected as a whole: {_plain(privacy["unit"])}
- packed on {facts["date"]} with privsynth {facts["version"]}
- SHA-256 of the model's file: {model["sha256"] or "not given"}

## How near it is to what it was learned from

{fidelity}

These are distances from the model's own noisy releases, beyond what noise explains; 0 is best. `publishable.html` has
them by column and pair.

## Use it for

Developing, testing and teaching; exploring shares of columns and relations of pairs; drafts of models that are then
tested on real rows by whoever holds them.

## Do not use it for

Statements on single persons or rare cases; counts of small groups; conclusions that nobody checks on the real
table. What the noise hid is not in here.

## Check it

```console
$ privsynth inspect FOLDER
```

compares every file with its digest in `datasheet.json` and adds the certificate up anew. That finds damage. It does
not show who made the folder: ask the sender for the digest of `datasheet.json` by another way, or for a signature.

## Columns

| column | kind | can hold |
|---|---|---|
{chr(10).join(_row(column) for column in columns)}

## Not covered by the guarantee

{chr(10).join("- " + _plain(line) for line in privacy["not_covered"])}
"""


def _row(column: dict[str, Any]) -> str:
    if "levels" in column:
        shown = ", ".join(column["levels"][:_MOST_VALUES])
        more = len(column["levels"]) - _MOST_VALUES + column.get("more_levels", 0)
        holds = shown + (f" and {more} more" if more > 0 else "")
    elif "low" in column:
        holds = f"{column['low']} to {column['high']}"
    else:
        holds = "made up anew"
    holds = column.get("computed", holds) + (", or missing" if column.get("missing") else "")
    return "| " + " | ".join(_plain(part) for part in (column["name"], column["kind"], holds)) + " |"


def _plain(text: str) -> str:
    """Return a stranger's string as text that Markdown shows as it is, in one line."""
    line = in_one_line(text)
    return "".join("\\" + sign if sign in "\\`*_{}[]<>#|~" else sign for sign in line)
