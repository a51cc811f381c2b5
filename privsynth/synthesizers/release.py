"""One party's noisy tables on disk: what a coordinator needs to fit a generator, without any rows.

The file is a bundle like a model's (JSON and safetensors, digests, no pickle). It holds noisy counts, the cells and
queries that they are of, the schema, the scales of the noise and the certificate; all of it left the party's rows
through mechanisms or was public before.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from privsynth import bundle
from privsynth.errors import BundleError, PrivacyError
from privsynth.privacy.certificate import Certificate
from privsynth.schema import Schema
from privsynth.synthesizers.base import BROKEN
from privsynth.synthesizers.stored import check_claim, check_columns, to_json_value
from privsynth.training.partitions import MOST_BOXES, N_PARTITIONS, PARTITIONS, Partition, PartitionTable
from privsynth.training.releases import Releases
from privsynth.training.roles import Roles
from privsynth.training.tables import Tables
from privsynth.transforms.encoder import TableEncoder
from privsynth.transforms.layout import Layout
from privsynth.transforms.units import Persons

KIND = "TableRelease"
_MOST_COUNTS = 1 << 26  # in a file: 256 MB
_MOST_CELLS = 1 << 28  # of all pairs of cells in all classes: the table they are spread over takes a gigabyte
_MOST_ROWS = 1 << 53


@dataclass(frozen=True, eq=False)
class TableRelease:
    """The noisy tables of one party: `CTGAN.release` makes them, `CTGAN.fit_releases` learns from them.

    Parameters
    ----------
    tables : Tables
        Noisy counts, and the cells and queries that they are of.
    certificate : Certificate
        What they cost the party's rows.
    roles : Roles
        The target and the condition columns.
    columns : dict of str to str
        Data types, which are public.
    arrow, numbers : dict
        Types of pyarrow, and names of columns that were numbers.
    """

    tables: Tables
    certificate: Certificate
    roles: Roles
    columns: dict[str, str]
    arrow: dict[str, str]
    numbers: dict[str, int]

    def __str__(self) -> str:
        """Say what was counted."""
        names = ", ".join(column.name for column in self.tables.encoder.columns)
        lines = [f"Noisy tables of about {self.tables.n_rows:,} rows: {', '.join(self.tables.labels)}", f"of {names}."]
        return bundle.in_one_line(" ".join(lines))

    def save(self, path: str | Path) -> None:
        """Write the release to one file, whole or not at all.

        Raises
        ------
        BundleError
            When the place cannot be written.
        """
        tables = self.tables
        layout = tables.encoder.layout
        releases = Releases.of(tables.measurements, layout, room=_MOST_COUNTS)
        if any(len(t.pairs) < t.n_measured for t in releases.tables.values()) or _spread(tables, layout) > _MOST_CELLS:
            raise BundleError(f"{path} would hold more than {_MOST_COUNTS:,} counts. Release fewer columns.")
        facts, tensors = releases.to_parts()
        trees, boxes = _partitions_to_parts(tables.partitions)
        model = {
            "class": KIND,
            "target": to_json_value(self.roles.target),
            "condition_columns": to_json_value(self.roles.condition_columns),
            "schema": tables.schema.to_json(),
            "columns": self.columns,
            "arrow": self.arrow,
            "numbers": self.numbers,
            "n_rows": tables.n_rows,
            "encoder": tables.encoder.to_dict(),
            "persons": None if tables.persons is None else tables.persons.to_dict(),
            "split": tables.measurements.split,
            "conditions": list(tables.conditions),
            "releases": facts,
            "partitions": trees,
            "certificate": self.certificate.to_dict(),
        }
        bundle.write_bundle(path, model, {**tensors, **boxes})

    @classmethod
    def load(cls, path: str | Path) -> TableRelease:
        """Read a release that `save` wrote, or somebody else.

        Raises
        ------
        BundleError
            When the file is missing, truncated, changed, or no release; and where its parts contradict each other.
        """
        data, tensors = bundle.read_bundle(path)
        kind = data.get("class") if isinstance(data, dict) else None
        if kind != KIND:
            shown = bundle.in_one_line(repr(kind))
            raise BundleError(f"{path} holds {shown}, no release of noisy tables. Make one with privsynth release.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a file: it is refused, or nothing is said
                return cls._read(data, tensors)
        except BROKEN as error:
            detail = bundle.in_one_line(f"{type(error).__name__}: {error}")
            raise BundleError(f"{path} is no release of noisy tables ({detail}). Get a fresh copy.") from error

    @classmethod
    def _read(cls, data: dict[str, Any], tensors: bundle.Arrays) -> TableRelease:
        columns = {str(k): str(v) for k, v in data["columns"].items()}
        arrow = {str(k): str(v) for k, v in data["arrow"].items()}
        numbers = {str(k): int(v) for k, v in data["numbers"].items()}
        schema, encoder = Schema.from_json(data["schema"]), TableEncoder.from_dict(data["encoder"])
        certificate, persons = Certificate.from_dict(data["certificate"]), Persons.from_dict(data["persons"])
        check_columns(columns, arrow, numbers, schema, encoder)
        check_claim(certificate, schema, encoder, persons)
        if certificate.parties:
            raise ValueError("a release of several parties")
        layout, split = encoder.layout, data["split"]
        conditions, n_rows = [int(j) for j in data["conditions"]], data["n_rows"]
        places = range(len(layout.spans))
        if not {*conditions, *([] if split is None else [split])} <= set(places) or type(n_rows) is not int:
            raise ValueError("a target, or condition columns, that are none")
        if not 1 <= n_rows <= _MOST_ROWS:
            raise ValueError("an impossible number of rows")
        roles = Roles(data["target"], data["condition_columns"])
        roles.check(schema)
        releases = Releases.from_parts(data["releases"], tensors, layout, split, certificate, most=_MOST_COUNTS)
        n_classes = 1 if split is None else layout.spans[split].size
        if releases is None or n_classes * layout.width**2 > _MOST_CELLS:
            raise ValueError("no tables, or more cells than there can be")
        measurements = releases.to_measurements(encoder.one_way, layout)
        partitions = _partitions_from_parts(data["partitions"], tensors, layout, split, certificate)
        tables = Tables(n_rows, schema, encoder, tuple(conditions), measurements, persons, partitions)
        return cls(tables, certificate, roles, columns, arrow, numbers)


def is_release(path: str | Path) -> bool:
    """Whether a file says that it is a release; raises `BundleError` where it says nothing."""
    data, _ = bundle.read_bundle(path)
    return isinstance(data, dict) and data.get("class") == KIND


def as_release(given: TableRelease | str | Path) -> TableRelease:
    """Return a release, read from its file where a path is given."""
    return given if isinstance(given, TableRelease) else TableRelease.load(given)


def _spread(tables: Tables, layout: Layout) -> int:
    split = tables.measurements.split
    return int((1 if split is None else layout.spans[split].size) * layout.width**2)


def _partitions_to_parts(table: PartitionTable | None) -> tuple[dict[str, Any] | None, bundle.Arrays]:
    """Return trees as JSON, and the counts of their boxes as tensors."""
    if table is None:
        return None, {}
    trees = [
        {"column": t.column.tolist(), "cut": t.cut.tolist(), "children": t.children.tolist(), "box": t.box.tolist()}
        for t in table.partitions
    ]
    counts = {f"{KIND}.boxes.{number}": np.float32(values) for number, values in enumerate(table.values)}
    return {"scale": table.scale, "trees": trees}, {name: np.asarray(v) for name, v in counts.items()}


def _partitions_from_parts(
    facts: dict[str, Any] | None, tensors: bundle.Arrays, layout: Layout, split: int | None, certificate: Certificate
) -> PartitionTable | None:
    """Read `_partitions_to_parts` back; raises for what no fit writes."""
    if facts is None:
        return None
    scale = float(facts["scale"])
    if not certificate.lists(scale, PARTITIONS, once=True):
        raise PrivacyError(
            f"The release holds {PARTITIONS} with noise {scale:.4g}, which its certificate does not list."
        )
    n_classes = 1 if split is None else layout.spans[split].size
    partitions, values = [], []
    if not 1 <= len(facts["trees"]) <= N_PARTITIONS:
        raise ValueError("more partitions than a fit has")
    for number, tree in enumerate(facts["trees"]):
        partition = _tree(tree, layout, split)
        counts = np.asarray(tensors[f"{KIND}.boxes.{number}"], dtype=np.float64)
        if counts.shape != (n_classes, partition.n_boxes):
            raise ValueError("boxes and their counts do not fit each other")
        partitions.append(partition)
        values.append(counts)
    return PartitionTable(partitions, values, scale)


def _tree(data: dict[str, Any], layout: Layout, split: int | None) -> Partition:
    """Read a partition: each node is reached once, so that every row ends in exactly one box."""
    column, cut, box = (np.asarray(data[name], dtype=np.int64) for name in ("column", "cut", "box"))
    children = np.asarray(data["children"], dtype=np.int64)
    n = len(column)
    if not 1 <= n < 2 * MOST_BOXES or cut.shape != (n,) or box.shape != (n,) or children.shape != (n, 2):
        raise ValueError("a partition of other than its nodes")
    inner = np.flatnonzero(column >= 0)
    below = children[inner]
    if not np.array_equal(np.sort(below.ravel()), np.arange(1, n)) or (below <= inner[:, None]).any():
        raise ValueError("a partition that is no tree")
    leaves = np.flatnonzero(column < 0)
    if not np.array_equal(np.sort(box[leaves]), np.arange(len(leaves))):
        raise ValueError("a partition whose boxes are not numbered")
    for j, at in zip(column[inner].tolist(), cut[inner].tolist(), strict=True):
        if j >= len(layout.spans) or j == split or not 0 <= at < layout.spans[j].size:
            raise ValueError("a partition that cuts where there are no cells")
    return Partition(column, cut, children, box)
