"""Own formulas: a small arithmetic language in `x`, parsed by hand so that nothing is executed.

    expression = term   { ("+" | "-") term }
    term       = factor { ("*" | "/") factor }
    factor     = ("+" | "-") factor | power
    power      = atom [ "**" factor ]
    atom       = NUMBER | "x" | "pi" | "e" | NAME "(" expression { "," expression } ")"
               | "(" expression ")"

As in Python, `**` binds tighter than a sign before it and groups to the right. There is no
attribute, no index, no other name, and no evaluation of the text itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from gelu_tui.core.errors import UsageError

MAX_LENGTH = 500
MAX_DEPTH = 40

CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}

# name -> number of arguments
FUNCTIONS: Mapping[str, int] = {
    "exp": 1,
    "log": 1,
    "tanh": 1,
    "sigmoid": 1,
    "erf": 1,
    "sqrt": 1,
    "abs": 1,
    "softplus": 1,
    "min": 2,
    "max": 2,
    "where": 3,
}

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<operator>\*\*|[-+*/(),]))"
)


@dataclass(frozen=True)
class Number:
    """A literal or a named constant."""

    value: float


@dataclass(frozen=True)
class Variable:
    """The input, `x`."""


@dataclass(frozen=True)
class Negate:
    """−operand."""

    operand: Node


@dataclass(frozen=True)
class Binary:
    """`left operator right`, operator one of + - * / **."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Call:
    """A function of the language or of the registry."""

    function: str
    arguments: tuple[Node, ...]


Node = Number | Variable | Negate | Binary | Call


class FormulaError(UsageError):
    """A formula that is refused; `position` counts characters from 0."""

    def __init__(self, source: str, position: int, reason: str, hint: str = "") -> None:
        self.source = source
        self.position = position
        self.reason = reason
        shown = source if len(source) <= 60 else source[:57] + "…"
        super().__init__(
            f"The formula '{shown}' is not usable: {reason} at character {position + 1}.",
            hint,
            kind="formula",
        )

    def pointer(self) -> str:
        """The formula with a caret under the place, at most 60 characters around it."""
        start = max(0, self.position - 40)
        line = self.source[start : start + 60]
        return f"{line}\n{' ' * (self.position - start)}^"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


_HINT = (
    "Allowed are numbers, x, pi, e, + - * / **, parentheses, "
    f"{', '.join(FUNCTIONS)} and the names of `gelu-tui activations`."
)


def _tokenize(source: str) -> list[_Token]:
    tokens = []
    position = 0
    while source[position:].strip():
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            bad = position + len(source[position:]) - len(source[position:].lstrip())
            raise FormulaError(source, bad, f"unexpected {source[bad]!r}", _HINT)
        kind = match.lastgroup
        tokens.append(_Token(kind, match.group(kind), match.start(kind)))
        position = match.end()
    tokens.append(_Token("end", "", len(source)))
    return tokens


class _Parser:
    def __init__(self, source: str, functions: Mapping[str, int]) -> None:
        self.source = source
        self.functions = functions
        self.tokens = _tokenize(source)
        self.index = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.index]

    def fail(self, reason: str, token: _Token | None = None, hint: str = _HINT) -> FormulaError:
        return FormulaError(self.source, (token or self.token).position, reason, hint)

    def accept(self, *operators: str) -> _Token | None:
        token = self.token
        if token.kind == "operator" and token.text in operators:
            self.index += 1
            return token
        return None

    def expect(self, operator: str) -> None:
        if not self.accept(operator):
            found = "the end" if self.token.kind == "end" else repr(self.token.text)
            raise self.fail(f"expected {operator!r}, found {found}")

    def expression(self) -> Node:
        node = self.term()
        while token := self.accept("+", "-"):
            node = Binary(token.text, node, self.term())
        return node

    def term(self) -> Node:
        node = self.factor()
        while token := self.accept("*", "/"):
            node = Binary(token.text, node, self.factor())
        return node

    def factor(self) -> Node:
        # Parentheses, signs and powers all recurse through here, so this bounds the depth.
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"more than {MAX_DEPTH} levels of nesting", hint="Simplify it.")
        if token := self.accept("+", "-"):
            operand = self.factor()
            node: Node = Negate(operand) if token.text == "-" else operand
        else:
            node = self.atom()
            if self.accept("**"):
                node = Binary("**", node, self.factor())
        self.depth -= 1
        return node

    def atom(self) -> Node:
        token = self.token
        if self.accept("("):
            node = self.expression()
            self.expect(")")
            return node
        if token.kind == "number":
            self.index += 1
            value = float(token.text)
            if math.isinf(value):
                raise self.fail("a number too large for a float", token)
            return Number(value)
        if token.kind == "name":
            self.index += 1
            return self.name(token)
        if token.kind == "end":
            raise self.fail("something is missing")
        raise self.fail(f"unexpected {token.text!r}")

    def name(self, token: _Token) -> Node:
        if token.text in self.functions:
            return self.call(token)
        if token.text == "x":
            return Variable()
        if token.text in CONSTANTS:
            return Number(CONSTANTS[token.text])
        raise self.fail(f"unknown name '{token.text}'", token)

    def call(self, token: _Token) -> Node:
        self.expect("(")
        arguments = [self.expression()]
        while self.accept(","):
            arguments.append(self.expression())
        self.expect(")")
        wanted = self.functions[token.text]
        if len(arguments) != wanted:
            raise self.fail(
                f"{token.text} takes {wanted} argument{'s' * (wanted > 1)}, not {len(arguments)},",
                token,
            )
        return Call(token.text, tuple(arguments))


def parse(source: str, registry: Mapping[str, str] | None = None) -> Node:
    """Parse a formula; `registry` maps the registry's names and aliases to canonical names.

    Raises `FormulaError`, which points at the character.
    """
    registry = registry or {}
    if len(source) > MAX_LENGTH:
        raise FormulaError(
            source, MAX_LENGTH, f"longer than {MAX_LENGTH} characters", "Shorten it."
        )
    parser = _Parser(source, {**FUNCTIONS, **dict.fromkeys(registry, 1)})
    node = parser.expression()
    if parser.token.kind != "end":
        raise parser.fail(f"unexpected {parser.token.text!r}")
    return _canonical(node, registry)


def _canonical(node: Node, registry: Mapping[str, str]) -> Node:
    """Replace aliases by canonical names, so that nothing downstream knows aliases."""
    match node:
        case Negate(operand):
            return Negate(_canonical(operand, registry))
        case Binary(operator, left, right):
            return Binary(operator, _canonical(left, registry), _canonical(right, registry))
        case Call(function, arguments):
            canonical = tuple(_canonical(argument, registry) for argument in arguments)
            return Call(registry.get(function, function), canonical)
        case _:
            return node


_A = TypeVar("_A")


class Operations(Protocol[_A]):
    """What a backend provides: the operators and functions of the language over its arrays."""

    @property
    def functions(self) -> Mapping[str, Callable[..., _A]]:
        """Name -> function of one to three arrays."""
        ...

    def number(self, value: float) -> _A:
        """A constant."""
        ...

    def power(self, base: _A, exponent: _A) -> _A:
        """`base ** exponent`."""
        ...


def evaluate(node: Node, x: Any, operations: Operations[Any]) -> Any:
    """Evaluate a parsed formula over whatever arrays `operations` knows."""
    match node:
        case Number(value):
            return operations.number(value)
        case Variable():
            return x
        case Negate(operand):
            return -evaluate(operand, x, operations)
        case Call(function, arguments):
            values = [evaluate(argument, x, operations) for argument in arguments]
            return operations.functions[function](*values)
        case Binary(operator, left, right):
            a, b = evaluate(left, x, operations), evaluate(right, x, operations)
            match operator:
                case "+":
                    return a + b
                case "-":
                    return a - b
                case "*":
                    return a * b
                case "/":
                    return a / b
                case _:
                    return operations.power(a, b)
