"""Own formulas: arithmetic in `x`, read by the standard library's parser and never executed.

A formula is an expression of Python made of numbers, `x`, `pi`, `e`, `+ - * / **`, parentheses and
calls of known functions. Which token may follow which is checked here, so that the sentence and
the place of a refusal are the same under every Python; `ast` then builds the tree, as Python
groups it: `**` binds tighter than a sign before it, and to the right.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gelu_tui.core.errors import UsageError

MAX_LENGTH = 500
MAX_DEPTH = 40

CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}

# name -> number of arguments
FUNCTIONS: Mapping[str, int] = {
    **dict.fromkeys(("exp", "log", "tanh", "sigmoid", "erf", "sqrt", "abs", "softplus"), 1),
    "min": 2,
    "max": 2,
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


_HINT = (
    "Allowed are numbers, x, pi, e, + - * / **, parentheses, "
    f"{', '.join(FUNCTIONS)} and the names of `gelu-tui activations`."
)


def parse(source: str, registry: Mapping[str, str] | None = None) -> Node:
    """Parse a formula; `registry` maps the registry's names and aliases to canonical names.

    Raises:
        FormulaError: it points at the first character that cannot follow those before it.
    """
    registry = registry or {}
    if len(source) > MAX_LENGTH:
        reason = f"longer than {MAX_LENGTH} characters"
        raise FormulaError(source, MAX_LENGTH, reason, "Shorten it.")
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
    """An open parenthesis: the depth outside of it, and the call whose arguments it holds."""

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
            elif token.kind in ("number", "name"):
                if reason := _unusable(token):
                    raise refusal(token, reason)
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


def _unusable(token: _Token) -> str:
    """Why a number or a name is no operand; empty if it is one."""
    if token.kind == "number":
        return "a number too large for a float" if math.isinf(float(token.text)) else ""
    return "" if token.text in ("x", *CONSTANTS) else f"unknown name '{token.text}'"


def _tree(node: ast.expr, registry: Mapping[str, str]) -> Node:
    """Python's tree of a checked formula as ours, with canonical names."""
    match node:
        case ast.Constant(value=float(value)):
            return Number(value)
        case ast.Name("x"):
            return Variable()
        case ast.Name(name):
            return Number(CONSTANTS[name])
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
