"""Schemas as JSON that diffs well (a line a column, a line a rule), and SDV's metadata read as schemas."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from privsynth.errors import PrivsynthWarning, SchemaError
from privsynth.kinds import KINDS, Boolean, Categorical, Column, Continuous, Datetime, Identifier
from privsynth.rules import FixedCombinations, Inequality, OneOf, Range, Rule, rule_from_dict


@dataclass(frozen=True)
class Parts:
    """All that a schema holds."""

    columns: dict[str, Column]
    rules: tuple[Rule, ...] = ()
    privacy_unit: str | None = None
    max_rows_per_unit: int | None = None


def write_schema(parts: Parts) -> str:
    """Return JSON: a column a line, a rule a line, in the order they were declared; absent parts are left out."""
    columns = [f"  {json.dumps(name)}: {json.dumps(column_to_dict(c))}" for name, c in parts.columns.items()]
    sections = ['"columns": {\n' + ",\n".join(columns) + "\n}"]
    if parts.rules:
        rules = [f"  {json.dumps(rule.to_dict())}" for rule in parts.rules]
        sections.append('"rules": [\n' + ",\n".join(rules) + "\n]")
    for key in ("privacy_unit", "max_rows_per_unit"):
        value = getattr(parts, key)
        if value is not None:
            sections.append(f'"{key}": {json.dumps(value)}')
    return "{" + ",\n".join(sections) + "}\n"


def read_schema(text: str) -> Parts:
    """Read `write_schema` back, or SDV's metadata JSON (V1 and single-table METADATA_SPEC V1).

    Raises
    ------
    SchemaError
        When the text is neither.
    """
    try:
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("not an object")
        if "tables" in data:
            if len(data["tables"]) != 1:
                raise ValueError("metadata of several tables")
            data = next(iter(data["tables"].values()))
        columns, key = data["columns"], data.get("primary_key")
        return Parts(
            {
                str(name): _column_from_sdv(entry, name == key) if "sdtype" in entry else column_from_dict(entry)
                for name, entry in columns.items()
            },
            tuple(rule_from_dict(entry) for entry in _list(data.get("rules"))) + _sdv_rules(data),
            data.get("privacy_unit"),
            data.get("max_rows_per_unit"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise SchemaError(
            f"This is neither a privsynth schema nor SDV metadata ({type(error).__name__}: {error}). "
            'A schema looks like {"columns": {"age": {"kind": "continuous", "low": 0, "high": 120}}}.'
        ) from error


def compact(column: Column) -> dict[str, Any]:
    """Return the fields of a column that differ from their defaults."""
    defaults = {f.name: f.default for f in fields(column)}
    return {k: v for k, v in asdict(column).items() if v != defaults[k]}


def column_to_dict(column: Column) -> dict[str, Any]:
    """Return a JSON-able dict of what is declared."""
    return {"kind": column.kind, **compact(column)}


def column_from_dict(entry: dict[str, Any]) -> Column:
    """Read `column_to_dict` back; raises ValueError, KeyError or TypeError for anything else."""
    entry = dict(entry)
    kind = KINDS[entry.pop("kind")]
    if isinstance(entry.get("categories"), list):
        entry["categories"] = tuple(entry["categories"])
    return kind(**entry)


def _list(value: Any) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ValueError("a list was expected")
    return value or []


def _column_from_sdv(entry: dict[str, Any], is_key: bool) -> Column:
    """Map SDV's sdtype; personal data (names, e-mails, ...) becomes an identifier."""
    sdtype = entry["sdtype"]
    if sdtype == "numerical" and not is_key:
        whole = str(entry.get("computer_representation", "")).lower().startswith(("int", "uint"))
        return Continuous(decimals=0 if whole else None)
    simple: dict[str, Column] = {
        "categorical": Categorical(),
        "boolean": Boolean(nullable=True),
        "datetime": Datetime(),
    }
    return Identifier() if is_key else simple.get(sdtype, Identifier())


def _sdv_rules(data: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Read SDV's constraints where they are rules here; the others are named in a warning."""
    rules: list[Rule] = []
    ignored: list[str] = []
    for entry in _list(data.get("constraints")):
        name = str(entry.get("constraint_class", entry.get("constraint_name", "unnamed")))
        given = entry.get("constraint_parameters", {k: v for k, v in entry.items() if not k.startswith("constraint_")})
        read = _SDV_RULES.get(name)
        found = read(given) if read else None
        if found is None:
            ignored.append(name)
        rules += found or ()
    if ignored:
        warnings.warn(
            f"These SDV constraints have no counterpart and are ignored: {', '.join(ignored)}. "
            "Declare what you need of them with privsynth.rules.",
            PrivsynthWarning,
            stacklevel=5,
        )
    return tuple(rules)


def _sdv_inequality(given: Mapping[str, Any]) -> Sequence[Rule]:
    low, high = given["low_column_name"], given["high_column_name"]
    return [Inequality(low, high, bool(given.get("strict_boundaries", False)))]


def _sdv_range(given: Mapping[str, Any]) -> Sequence[Rule]:
    low, middle, high = (given[f"{end}_column_name"] for end in ("low", "middle", "high"))
    strict = bool(given.get("strict_boundaries", True))
    return [Inequality(low, middle, strict), Inequality(middle, high, strict)]


def _sdv_scalar_range(given: Mapping[str, Any]) -> Sequence[Rule]:
    strict = bool(given.get("strict_boundaries", True))
    low, high = _inside(given["low_value"], strict, up=True), _inside(given["high_value"], strict, up=False)
    return [Range(given["column_name"], low, high)]


def _sdv_scalar_inequality(given: Mapping[str, Any]) -> Sequence[Rule]:
    relation, value = given["relation"], given["value"]
    if relation not in (">", ">=", "<", "<="):
        raise ValueError(f"{relation!r} is no relation")
    strict = len(relation) == 1
    if relation[0] == ">":
        return [Range(given["column_name"], low=_inside(value, strict, up=True))]
    return [Range(given["column_name"], high=_inside(value, strict, up=False))]


def _sdv_positive(given: Mapping[str, Any]) -> Sequence[Rule]:
    return [Range(given["column_name"], low=_inside(0, bool(given.get("strict_boundaries", False)), up=True))]


def _sdv_negative(given: Mapping[str, Any]) -> Sequence[Rule]:
    return [Range(given["column_name"], high=_inside(0, bool(given.get("strict_boundaries", False)), up=False))]


def _inside(value: Any, strict: bool, *, up: bool) -> Any:
    """Return the next number or second beyond `value`, where the end itself is excluded."""
    if not strict:
        return value
    if isinstance(value, str):
        return (pd.Timestamp(value) + pd.Timedelta(seconds=1 if up else -1)).isoformat()
    return float(np.nextafter(float(value), np.inf if up else -np.inf))


_SDV_RULES: dict[str, Callable[[Mapping[str, Any]], Sequence[Rule]]] = {
    "Inequality": _sdv_inequality,
    "Range": _sdv_range,
    "ScalarRange": _sdv_scalar_range,
    "ScalarInequality": _sdv_scalar_inequality,
    "Positive": _sdv_positive,
    "Negative": _sdv_negative,
    "FixedCombinations": lambda given: [FixedCombinations(tuple(given["column_names"]))],
    "OneHotEncoding": lambda given: [OneOf(tuple(given["column_names"]))],
}
