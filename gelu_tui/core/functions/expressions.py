"""The user's formulas: arithmetic in `x`, parsed by the standard library's `ast`, never executed.

The order of the tokens is checked here, so that sentence and place of a refusal are the same under
every Python; `ast` then builds the tree with Python's precedence: `-x**2` is −(x²), and `**`
associates to the right.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gelu_tui.core.errors import UsageError

MAX_LENGTH = 500
MAX_DEPTH = 40

CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}

# name -> number of arguments
FUNCTIONS: Mapping[str, int] = {
    **dict.fromkeys(("exp", "log", "tanh", "sigmoid", "erf", "sqrt", "abs", "softplus"), 1),
    **dict.fromkeys(("min", "max"), 2),
    "where": 3,
}

_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<operator>\*\*|[-+*/(),])"
    r"|(?P<blank>\s+)"
    r"|(?P<other>.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Number:
    """A literal or a named constant."""

    value: float


@dataclass(frozen=True)
class Variable:
    """The input, `x`."""


@dataclass(frozen=True)
class Call:
    """An operator (`+ - * / **`, `negate`), or a function of the language or of the registry."""

    function: str
    arguments: tuple[Node, ...]


Node = Number | Variable | Call


class FormulaError(UsageError):
    """A formula that is refused; `position` counts characters from 0."""

    def __init__(self, source: str, position: int, reason: str, hint: str = "") -> None:
        self.source, self.position, self.reason = source, position, reason
        shown = source if len(source) <= 60 else source[:57] + "…"
        message = f"The formula '{shown}' is not usable: {reason} at character {position + 1}."
        super().__init__(message, hint, kind="formula")

    def pointer(self) -> str:
        """Return at most 60 characters of the formula, with a caret under the place."""
        start = max(0, self.position - 40)
        line = self.source[start : start + 60]
        return f"{line}\n{' ' * (self.position - start)}^"


_HINT = (
    "Allowed are numbers, x, pi, e, + - * / **, parentheses, "
    f"{', '.join(FUNCTIONS)} and the names of `gelu-tui activations`."
)


def reads_as_formula(text: str) -> bool:
    """Return whether a text has what no name has: the input, an operator or a parenthesis.

    A hyphen alone is none: `gelu-approx` is a misspelt name.
    """
    marks = {"x", *"()+*/", "**"}
    return any(match.group() in marks for match in _TOKEN.finditer(text))


def parse(source: str, registry: Mapping[str, str] = MappingProxyType({})) -> Node:
    """Parse a formula; `registry` maps the registry's names and aliases to canonical names.

    Raises `FormulaError` with the position of the first token that cannot follow those before it.
    """
    if len(source) > MAX_LENGTH:
        longer = f"longer than {MAX_LENGTH} characters"
        raise FormulaError(source, MAX_LENGTH, longer, "Shorten it.")
    tokens = list(_tokens(source))
    _check(source, tokens, {**FUNCTIONS, **dict.fromkeys(registry, 1)})
    # Every number as a float: Python refuses an integer like 007.
    texts = (repr(float(t.text)) if t.kind == "number" else t.text for t in tokens)
    return _tree(ast.parse(" ".join(texts), mode="eval").body, registry)


@dataclass(frozen=True)
class _Token:
    kind: str | None
    text: str
    position: int

    def __str__(self) -> str:
        return repr(self.text) if self.text else "the end"


def _tokens(source: str) -> Iterator[_Token]:
    """The tokens without blanks, and an empty one for the end."""
    for match in _TOKEN.finditer(source):
        token = _Token(match.lastgroup, match.group(), match.start())
        if token.kind == "other":
            raise FormulaError(source, token.position, f"unexpected {token}", _HINT)
        if token.kind != "blank":
            yield token
    yield _Token("end", "", len(source))


@dataclass
class _Bracket:
    """An open parenthesis: the depth outside of it, and the function that it belongs to."""

    depth: int
    call: _Token | None = None
    arguments: int = 1


def _check(source: str, tokens: Iterable[_Token], arity: Mapping[str, int]) -> None:
    """Raise `FormulaError` for the first token that cannot follow those before it."""

    def refusal(token: _Token, reason: str, hint: str = _HINT) -> FormulaError:
        return FormulaError(source, token.position, reason, hint)

    brackets = [_Bracket(0)]  # the first one is the formula itself
    depth = 0  # of parentheses, signs and powers
    call: _Token | None = None  # the function whose parenthesis must follow
    is_operand_next = True
    for token in tokens:
        bracket, is_open = brackets[-1], len(brackets) > 1
        if call and token.text != "(":
            raise refusal(token, f"expected '(', found {token}")
        if is_operand_next:
            depth += call is None
            if depth > MAX_DEPTH:
                raise refusal(token, f"more than {MAX_DEPTH} levels of nesting", "Simplify it.")
            if token.text == "(":
                brackets.append(_Bracket(depth, call))
                call = None
            elif token.text in arity:
                call = token
            elif token.kind == "number" and math.isinf(float(token.text)):
                raise refusal(token, "a number too large for a float")
            elif token.kind == "name" and token.text not in ("x", *CONSTANTS):
                raise refusal(token, f"unknown name '{token.text}'")
            elif token.kind in ("number", "name"):
                is_operand_next = False
            elif token.text not in ("+", "-"):
                missing = "something is missing"
                raise refusal(token, f"unexpected {token}" if token.text else missing)
        elif token.text == ")" and is_open:
            depth = brackets.pop().depth
            if bracket.call and bracket.arguments != (wanted := arity[bracket.call.text]):
                takes = f"takes {wanted} argument{'s' * (wanted > 1)}, not {bracket.arguments},"
                raise refusal(bracket.call, f"{bracket.call.text} {takes}")
        elif token.text in _OPERATORS.values() or (token.text == "," and bracket.call):
            bracket.arguments += token.text == ","
            depth = depth if token.text == "**" else bracket.depth
            is_operand_next = True
        elif is_open:
            raise refusal(token, f"expected ')', found {token}")
        elif token.kind != "end":
            raise refusal(token, f"unexpected {token}")


def _tree(node: ast.expr, registry: Mapping[str, str]) -> Node:
    """Convert Python's tree of a checked formula to ours, with canonical names."""
    match node:
        case ast.Constant(value=float(value)):
            return Number(value)
        case ast.Name(name):
            return Variable() if name == "x" else Number(CONSTANTS[name])
        case ast.UnaryOp(ast.UAdd(), operand):
            return _tree(operand, registry)
        case ast.UnaryOp(ast.USub(), operand):
            return Call("negate", (_tree(operand, registry),))
        case ast.BinOp(left, operator, right):
            sides = (_tree(left, registry), _tree(right, registry))
            return Call(_OPERATORS[type(operator)], sides)
        case ast.Call(ast.Name(name), arguments, []):
            return Call(registry.get(name, name), tuple(_tree(a, registry) for a in arguments))
    raise TypeError(f"{ast.dump(node)} is no part of a formula")
