"""Whether the parts of a model file fit each other: a forger can write any of them, with digests that fit.

What is found here keeps a model from claiming what its own parts contradict. It cannot tell who wrote the file: a
certificate with an event left out, or numbers that are all made up, is as consistent as an honest one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from privsynth.bundle import Arrays
from privsynth.errors import PrivacyError
from privsynth.kinds import Boolean, Categorical, Identifier, is_known_dtype
from privsynth.nets.generator import Generator
from privsynth.privacy.certificate import Certificate
from privsynth.schema import Schema
from privsynth.tables import check_arrow
from privsynth.training.conditions import Pool
from privsynth.training.releases import PREFIX
from privsynth.transforms.cells import FloatArray
from privsynth.transforms.columns import DiscreteColumn
from privsynth.transforms.encoder import ONE_WAY, TableEncoder
from privsynth.transforms.layout import Layout
from privsynth.transforms.reshape import Reshape
from privsynth.transforms.units import Persons

_MOST_PROBABILITIES = 1 << 22
MOST_COLUMNS = 4000
"""Of a table in a file: each takes about a millisecond to load and a tenth of a megabyte."""


def check_columns(
    dtypes: Mapping[str, str],
    arrow: Mapping[str, str],
    numbers: Mapping[str, int],
    schema: Schema,
    encoder: TableEncoder,
) -> None:
    """Raise `ValueError` unless schema, data types and encoder are about the same columns."""
    if len(dtypes) > MOST_COLUMNS or len(schema.rules) > MOST_COLUMNS:
        raise ValueError(f"more than {MOST_COLUMNS} columns or rules")
    if unknown := [text for text in dtypes.values() if not is_known_dtype(text)]:
        raise ValueError(f"unknown data type {unknown[0]!r}")
    check_arrow(arrow, dtypes)
    if strange := [name for name, number in numbers.items() if name not in dtypes or name != str(number)]:
        raise ValueError(f"columns {strange[:5]} are numbered otherwise than they are named")
    reshape = Reshape(schema)
    learned = {name: column for name, column in reshape.schema.items() if not isinstance(column, Identifier)}
    if list(dtypes) != list(schema) or list(learned) != encoder.layout.names:
        raise ValueError("columns and schema do not fit each other")
    for column in encoder.columns:
        levels = isinstance(learned[column.name], (Boolean, Categorical))
        own = column.name in reshape.joints or column.dtype == dtypes[column.name]
        if levels != isinstance(column, DiscreteColumn) or not own:
            raise ValueError(f"column {column.name!r} is declared as one kind and stored as another")


def check_claim(certificate: Certificate, schema: Schema, encoder: TableEncoder, persons: Persons | None) -> None:
    """Raise unless the certificate costs what it states and is about the counts and persons in the same file."""
    certificate.verify()
    unit = certificate.unit  # for rows, it claims less than the schema asks for: so do files of before there were units
    if unit.column not in (None, schema.privacy_unit) or unit.column != (persons.column if persons else None):
        raise ValueError("persons and certificate do not fit each other")
    if not unit.chosen and schema.max_rows_per_unit not in (None, unit.rows):
        raise ValueError("the certificate is for another number of rows of a person than the schema declares")
    if not certificate.lists(encoder.one_way.scale, ONE_WAY, once=True):
        raise PrivacyError(
            f"The model holds {ONE_WAY} with noise {encoder.one_way.scale:.4g}, of which its certificate does not list "
            "one release. Do not trust this model's claim."
        )


def read_generator(
    tensors: Arrays, layout: Layout, shares: FloatArray, *, embedding_dim: int, hidden: tuple[int, ...]
) -> tuple[Generator, Pool]:
    """Read a generator and its pool; raises `ValueError` or `KeyError` where they do not fit the layout."""
    prefix = "generator."
    weights = {k[len(prefix) :]: torch.from_numpy(v) for k, v in tensors.items() if k.startswith(prefix)}
    widths = [embedding_dim + len(shares), *hidden, layout.width]
    if sum((a + 1) * b for a, b in itertools.pairwise(widths)) != sum(w.numel() for w in weights.values()):
        raise ValueError("weights do not fit the layers")  # before memory for the layers is asked for
    generator = Generator(
        [span.size for span in layout.spans],
        n_classes=len(shares),
        embedding_dim=embedding_dim,
        hidden=hidden,
        generator=torch.Generator().manual_seed(0),
    )
    generator.load_state_dict(weights)
    n_weights = sum(t.size for name, t in tensors.items() if not name.startswith(PREFIX))
    classes, latents = torch.from_numpy(tensors["classes"]), torch.from_numpy(tensors["latents"])
    strange = (classes < 0).any() | (classes >= len(shares)).any()
    if latents.shape != (len(classes), embedding_dim) or bool(strange):
        raise ValueError("latents and classes do not fit each other")
    if not 0 < len(classes) * layout.width <= _MOST_PROBABILITIES + 64 * n_weights:
        raise ValueError("more components and cells than such weights are for")  # eight bytes each, several times
    return generator, Pool(latents, classes, shares)


def to_json_value(value: Any) -> Any:
    """Return a parameter as JSON can hold it: lists for tuples, Python numbers for numpy's."""
    if isinstance(value, (list, tuple)):
        return [to_json_value(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
