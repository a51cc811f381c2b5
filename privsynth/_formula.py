r"""A small language of arithmetic over columns: read by a parser of its own, never by Python's.

::

    sum     = product {("+" | "-") product}
    product = signed {("*" | "/" | "//" | "%") signed}
    signed  = ("-" | "+") signed | power
    power   = atom ["**" signed]
    atom    = number | name | `any name` | function "(" sum {"," sum} ")" | "(" sum ")"

A formula is compiled to postfix steps and evaluated on a stack of float64 arrays, so that nothing recurses over
it. NaN stands for a missing value and spreads; what has no finite result (division by zero) is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from privsynth._checks import parameter_error
from privsynth.errors import ParameterError

FloatArray = npt.NDArray[np.float64]
MAX_LENGTH, MAX_DEPTH = 1000, 30
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)|`(?P<quoted>(?:[^`]|``)+)`"
    r"|(?P<sign>\*\*|//|[-+*/%(),]))"
)
_BINARY: dict[str, Any] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "//": np.floor_divide,
    "%": np.mod,
    "**": np.power,
}
_UNARY: dict[str, Any] = {"negative": np.negative, "abs": np.abs, "floor": np.floor, "ceil": np.ceil}
_FUNCTIONS = ("abs", "round", "min", "max", "floor", "ceil")


@dataclass(frozen=True)
class Token:
    """A piece of a formula: its kind ("number", "name", "quoted", "sign" or "end"), text and place."""

    kind: str
    text: str
    place: int


@dataclass(frozen=True)
class Step:
    """A postfix step: push a constant or a column, or apply an operation to the top `count` arrays."""

    action: str
    value: Any = None
    count: int = 0


@dataclass(frozen=True)
class Expression:
    """A parsed formula.

    Examples
    --------
    >>> parse("price * `number of items`").names
    ('price', 'number of items')
    >>> parse("max(a, 2) ** 2").evaluate({"a": np.array([1.0, 3.0])}).tolist()
    [4.0, 9.0]
    """

    steps: tuple[Step, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns it reads, each once, in order of appearance."""
        return tuple(dict.fromkeys(step.value for step in self.steps if step.action == "column"))

    def evaluate(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return the result for every row, NaN where an input is missing or the result is not finite."""
        stack: list[Any] = []
        with np.errstate(all="ignore"):
            for step in self.steps:
                if step.action == "column":
                    stack.append(columns[step.value])
                elif step.action == "constant":
                    stack.append(np.float64(step.value))
                else:
                    taken = stack[-step.count :]
                    del stack[-step.count :]
                    stack.append(_apply(step, taken))
        shape = np.broadcast_shapes(*(values.shape for values in columns.values()))
        result = np.broadcast_to(np.asarray(stack[0], dtype=np.float64), shape)
        missing = ~np.isfinite(result)
        for name in self.names:  # min(1, x) and x ** 0 must not hide that x is missing
            missing = missing | np.isnan(columns[name])
        return np.where(missing, np.nan, result)


@lru_cache(maxsize=256)
def parse(text: str) -> Expression:
    """Read a formula.

    Raises
    ------
    ParameterError
        When it is none; the message points at the place.
    """
    return _Parser(text).parse()


def _apply(step: Step, taken: list[Any]) -> Any:
    if step.action == "round":
        return np.round(taken[0], step.value)
    if step.action in ("min", "max"):
        least = np.minimum if step.action == "min" else np.maximum
        result = taken[0]
        for other in taken[1:]:
            result = least(result, other)
        return result
    return _UNARY[step.action](taken[0]) if step.count == 1 else _BINARY[step.action](*taken)


class _Parser:
    """Recursive descent, bounded in depth; emits postfix steps."""

    def __init__(self, text: str) -> None:
        self.text = text
        if not isinstance(text, str) or not text.strip():
            raise parameter_error("Formula", "formula", "arithmetic over columns such as 'price * quantity'", text)
        if len(text) > MAX_LENGTH:
            raise parameter_error(
                "Formula", "formula", f"at most {MAX_LENGTH} characters long", text[:40] + "...", "Split it in two."
            )
        self.tokens = self._tokens()
        self.next = 0
        self.depth = 0
        self.steps: list[Step] = []

    def parse(self) -> Expression:
        self._sum()
        if self._peek().kind != "end":
            raise self._wrong(self._peek(), "an operator or the end")
        if not any(step.action == "column" for step in self.steps):
            raise self._wrong(self.tokens[0], "at least one column in the formula")
        return Expression(tuple(self.steps))

    def _tokens(self) -> list[Token]:
        tokens, place = [], 0
        while self.text[place:].strip():
            match = _TOKEN.match(self.text, place)
            if match is None:
                start = place + len(self.text[place:]) - len(self.text[place:].lstrip())
                raise self._wrong(Token("sign", self.text[start], start), "a name, a number, an operator or `a name`")
            kind = str(match.lastgroup)
            tokens.append(Token(kind, match[kind].replace("``", "`"), match.start(kind) - (kind == "quoted")))
            place = match.end()
        return [*tokens, Token("end", "the end", len(self.text))]

    def _wrong(self, token: Token, wanted: str) -> ParameterError:
        return parameter_error(
            "Formula",
            "formula",
            "arithmetic over columns (+ - * / // % ** abs round min max floor ceil, `odd names` in backticks)",
            self.text,
            f"At position {token.place + 1} it has {token.text!r} where {wanted} was expected.",
        )

    def _peek(self) -> Token:
        return self.tokens[self.next]

    def _take(self, *signs: str) -> str | None:
        """Return the next sign and go on, if it is one of `signs`."""
        token = self._peek()
        if token.kind != "sign" or token.text not in signs:
            return None
        self.next += 1
        return token.text

    def _need(self, sign: str) -> None:
        if self._take(sign) is None:
            raise self._wrong(self._peek(), f"{sign!r}")

    def _sum(self) -> None:
        self._product()
        while sign := self._take("+", "-"):
            self._product()
            self.steps.append(Step(sign, count=2))

    def _product(self) -> None:
        self._signed()
        while sign := self._take("*", "/", "//", "%"):
            self._signed()
            self.steps.append(Step(sign, count=2))

    def _signed(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._wrong(self._peek(), f"no more than {MAX_DEPTH} levels of nesting")
        if sign := self._take("-", "+"):
            self._signed()
            if sign == "-":
                self.steps.append(Step("negative", count=1))
        else:
            self._power()
        self.depth -= 1

    def _power(self) -> None:
        self._atom()
        if self._take("**"):
            self._signed()
            self.steps.append(Step("**", count=2))

    def _atom(self) -> None:
        token = self._peek()
        self.next += 1
        if token.kind == "number":
            if not np.isfinite(float(token.text)):
                raise self._wrong(token, "a finite number")
            self.steps.append(Step("constant", float(token.text)))
        elif token.kind == "name" and self._take("("):
            self._call(token)
        elif token.kind in ("name", "quoted"):
            self.steps.append(Step("column", token.text))
        elif token.kind == "sign" and token.text == "(":
            self._sum()
            self._need(")")
        else:
            raise self._wrong(token, "a name, a number or an opening bracket")

    def _call(self, token: Token) -> None:
        if token.text not in _FUNCTIONS:
            raise self._wrong(token, f"one of the functions {', '.join(_FUNCTIONS)}")
        starts = [len(self.steps)]
        self._sum()
        while self._take(","):
            starts.append(len(self.steps))
            self._sum()
        self._need(")")
        if token.text == "round":
            self._round(token, starts)
        elif token.text in ("min", "max") and len(starts) > 1:
            self.steps.append(Step(token.text, count=len(starts)))
        elif token.text not in ("min", "max") and len(starts) == 1:
            self.steps.append(Step(token.text, count=1))
        else:
            raise self._wrong(token, "two arguments or more for min and max, one for abs, floor and ceil,")

    def _round(self, token: Token, starts: list[int]) -> None:
        digits = 0.0
        if len(starts) == 2:
            given = self.steps[starts[1] :]
            del self.steps[starts[1] :]
            digits = given[0].value if len(given) == 1 and given[0].action == "constant" else -1.0
        if len(starts) > 2 or digits not in range(16):
            raise self._wrong(token, "round(x) or round(x, digits from 0 to 15)")
        self.steps.append(Step("round", int(digits), count=1))
