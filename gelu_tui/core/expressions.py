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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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

_OPERATORS: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
}

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
    _Check(source, {**FUNCTIONS, **dict.fromkeys(registry, 1)}).check(tokens)
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


class _Check:
    """Raises `FormulaError` for the first token that cannot follow those before it."""

    def __init__(self, source: str, arity: Mapping[str, int]) -> None:
        self.source = source
        self.arity = arity
        self.brackets = [_Bracket(0)]  # the first one is the formula itself
        self.depth = 0  # of parentheses, signs and powers

    def fail(self, token: _Token, reason: str, hint: str = _HINT) -> FormulaError:
        return FormulaError(self.source, token.position, reason, hint)

    def check(self, tokens: list[_Token]) -> None:
        following = iter(tokens)
        is_operand_next = True
        for token in following:
            if not is_operand_next:
                is_operand_next = self.after_operand(token)
            elif token.text in self.arity:
                self.nest(token)
                opening = next(following)
                if opening.text != "(":
                    raise self.fail(opening, f"expected '(', found {opening}")
                self.brackets.append(_Bracket(self.depth, call=token))
            else:
                is_operand_next = self.operand(token)

    def nest(self, token: _Token) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(token, f"more than {MAX_DEPTH} levels of nesting", "Simplify it.")

    def operand(self, token: _Token) -> bool:
        """Check a sign, an opening parenthesis, a number or a name; whether one more follows."""
        self.nest(token)
        if token.text == "(":
            self.brackets.append(_Bracket(self.depth))
        elif token.kind == "number":
            if math.isinf(float(token.text)):
                raise self.fail(token, "a number too large for a float")
        elif token.kind == "name":
            if token.text != "x" and token.text not in CONSTANTS:
                raise self.fail(token, f"unknown name '{token.text}'")
        elif token.text not in ("+", "-"):
            raise self.fail(token, f"unexpected {token}" if token.text else "something is missing")
        return token.kind == "operator"

    def after_operand(self, token: _Token) -> bool:
        """Check an operator, a comma, a closing parenthesis; whether an operand must follow."""
        bracket, is_open = self.brackets[-1], len(self.brackets) > 1
        if token.text == ")" and is_open:
            self.close(self.brackets.pop())
            return False
        if token.text == "," and bracket.call:
            bracket.arguments += 1
        elif token.text not in _OPERATORS.values():
            if is_open:
                raise self.fail(token, f"expected ')', found {token}")
            if token.kind != "end":
                raise self.fail(token, f"unexpected {token}")
        if token.text != "**":
            self.depth = bracket.depth
        return True

    def close(self, bracket: _Bracket) -> None:
        self.depth = bracket.depth
        if bracket.call and bracket.arguments != (wanted := self.arity[bracket.call.text]):
            raise self.fail(
                bracket.call,
                f"{bracket.call.text} takes {wanted} argument{'s' * (wanted > 1)}, "
                f"not {bracket.arguments},",
            )


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
