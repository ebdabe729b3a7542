"""The formula language: what it computes, and everything that it refuses."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable

import pytest
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from gelu_tui.core.functions import expressions
from gelu_tui.core.functions.expressions import (
    FUNCTIONS,
    MAX_DEPTH,
    MAX_LENGTH,
    Call,
    FormulaError,
    Number,
    Variable,
    parse,
)
from gelu_tui.core.functions.numpy_operations import values
from gelu_tui.core.functions.registry import evaluate, names
from tests.support.python_floats import PYTHON_FLOATS


class _Floats(ast.NodeTransformer):
    """Python reads `2` as an integer; the language has floats only."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.copy_location(ast.Constant(float(node.value)), node)


def by_python(text: str, x: float) -> object:
    """What Python itself makes of a text that this file generated."""
    tree = ast.fix_missing_locations(_Floats().visit(ast.parse(text, mode="eval")))
    names = {**PYTHON_FLOATS, "x": x, "pi": math.pi, "e": math.e, "__builtins__": {}}
    return outcome(lambda: eval(compile(tree, "formula", "eval"), names))


def outcome(compute: Callable[[], object]) -> object:
    """The value, or the type of the exception."""
    try:
        value = compute()
    except (ArithmeticError, ValueError, TypeError) as error:
        return type(error)
    return "nan" if value != value else value


_spaces = st.sampled_from(["", "", " ", "  ", "\t"])
_leaves = st.sampled_from(
    ["x", "x", "pi", "e", "2", "0.5", ".25", "3.", "1e-3", "2.5E+2", "0", "1e10", "0044.715"]
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "**"])
    calls = [
        st.tuples(st.just(name), *[inner] * count).map(lambda t: f"{t[0]}({','.join(t[1:])})")
        for name, count in FUNCTIONS.items()
    ]
    return st.one_of(
        st.tuples(inner, _spaces, operators, _spaces, inner).map("".join),
        st.tuples(inner, operators, inner, operators, inner).map("".join),
        st.tuples(st.sampled_from(["-", "+", "- "]), inner).map("".join),
        inner.map(lambda text: f"( {text})"),
        *calls,
    )


formulas = st.recursive(_leaves, _grow, max_leaves=14)


@settings(max_examples=400, deadline=1000)
@given(formulas, st.sampled_from([0.0, 1.0, -1.0, 0.3, -2.7, 7.0, -40.0]))
@example("-x**2", 3.0)
@example("2**-1", 0.0)
@example("2**-x**2", 2.0)
@example("x/3*7", 5.0)
@example("x-3-7", 5.0)
@example("2**3**x", 2.0)
@example("--x", 1.0)
@example("-x**-x", 2.0)
def test_it_computes_what_python_computes(text: str, x: float) -> None:
    assume(len(text) <= MAX_LENGTH)
    ours = outcome(lambda: evaluate(parse(text), x, PYTHON_FLOATS))
    event("number" if isinstance(ours, float) else "failure")
    assert ours == by_python(text, x)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("-x**2", Call("negate", (Call("**", (Variable(), Number(2.0))),))),
        ("2**-1", Call("**", (Number(2.0), Call("negate", (Number(1.0),))))),
        ("2/x*3", Call("*", (Call("/", (Number(2.0), Variable())), Number(3.0)))),
        ("+x", Variable()),
        ("e*pi", Call("*", (Number(math.e), Number(math.pi)))),
        (" max ( x , 1.5e0 ) ", Call("max", (Variable(), Number(1.5)))),
        ("2*e", Call("*", (Number(2.0), Number(math.e)))),
        ("007", Number(7.0)),
        ("x\n+\u00a01.", Call("+", (Variable(), Number(1.0)))),
    ],
)
def test_trees(text: str, tree: expressions.Node) -> None:
    assert parse(text) == tree


def test_aliases_become_canonical_names_at_any_depth() -> None:
    tree = parse("-(swish(quick_gelu(x)) + x)*keras(x)", names())
    assert "swish" not in repr(tree)
    assert "quick_gelu" not in repr(tree)
    assert parse("-(silu(gelu_fast_approx(x)) + x)*keras_gelu_approx(x)", names()) == tree


# text, where it points (from 0), and a part of what it says
REFUSED = [
    ("", 0, "something is missing"),
    ("   ", 3, "something is missing"),
    ("x+", 2, "something is missing"),
    ("x**", 3, "something is missing"),
    ("*x", 0, "unexpected '*'"),
    ("()", 1, "unexpected ')'"),
    ("(x", 2, "expected ')', found the end"),
    ("x)", 1, "unexpected ')'"),
    ("exp", 3, "expected '(', found the end"),
    ("exp x", 4, "expected '(', found 'x'"),
    ("max(x x)", 6, "expected ')', found 'x'"),
    ("max(x)", 0, "max takes 2 arguments, not 1"),
    ("1+exp(x,x)", 2, "exp takes 1 argument, not 2"),
    ("where(x,1)", 0, "where takes 3 arguments, not 2"),
    ("y", 0, "unknown name 'y'"),
    ("X", 0, "unknown name 'X'"),
    ("gelu(x)", 0, "unknown name 'gelu'"),  # only with the registry
    ("e(x)", 1, "unexpected '('"),
    ("x(2)", 1, "unexpected '('"),
    ("2x", 1, "unexpected 'x'"),
    ("x x", 2, "unexpected 'x'"),
    ("1.2.3", 3, "unexpected '.3'"),
    ("0x10", 1, "unexpected 'x10'"),
    ("1_000", 1, "unexpected '_000'"),
    ("2e", 1, "unexpected 'e'"),
    ("1e999", 0, "too large"),
    ("x.real", 1, "unexpected '.'"),
    ("x.__class__", 1, "unexpected '.'"),
    ("x[0]", 1, "unexpected '['"),
    ("__import__('os')", 11, 'unexpected "\'"'),
    ("__import__(x)", 0, "unknown name '__import__'"),
    ("eval(x)", 0, "unknown name 'eval'"),
    ("lambda x: x", 8, "unexpected ':'"),
    ("x if x else 1", 2, "unexpected 'if'"),
    ("x and x", 2, "unexpected 'and'"),
    ("x==1", 1, "unexpected '='"),
    ("x<1", 1, "unexpected '<'"),
    ("x;x", 1, "unexpected ';'"),
    ("x//2", 2, "unexpected '/'"),
    ("x%2", 1, "unexpected '%'"),
    ("x^2", 1, "unexpected '^'"),
    ("x & 1", 2, "unexpected '&'"),
    ("~x", 0, "unexpected '~'"),
    ("x* *2", 3, "unexpected '*'"),
    ('f"{x}"', 1, "unexpected '\"'"),
    ("{x}", 0, "unexpected '{'"),
    ("x\\", 1, "unexpected '\\\\'"),
    ("x#", 1, "unexpected '#'"),
    ("x,x", 1, "unexpected ','"),
    ("(x,x)", 2, "expected ')', found ','"),
    ("max(x,)", 6, "unexpected ')'"),
    ("max(*(x,x))", 4, "unexpected '*'"),
    ("max(**x)", 4, "unexpected '**'"),
    ("max(x,a=x)", 7, "unexpected '='"),
    ("exp(x for x in x)", 6, "expected ')', found 'for'"),
    ("(x:=1)", 2, "unexpected ':'"),
    ("1j", 1, "unexpected 'j'"),
    ("1e5_0", 3, "unexpected '_0'"),
    ("0b1", 1, "unexpected 'b1'"),
    ("'x' 'x'", 0, 'unexpected "\'"'),
    ("not x", 0, "unknown name 'not'"),
    ("None", 0, "unknown name 'None'"),
    ("True", 0, "unknown name 'True'"),
    ("await x", 0, "unknown name 'await'"),
    ("...", 0, "unexpected '.'"),
    ("x\ny", 2, "unexpected 'y'"),
    ("x # y", 2, "unexpected '#'"),
    ("x\\\n+1", 1, "unexpected '\\\\'"),
    ("\x00", 0, r"unexpected '\x00'"),
    ("x\x1b[31m", 1, r"unexpected '\x1b'"),
    # characters that look like others, or are digits and letters to Python
    ("ｘ", 0, "unexpected 'ｘ'"),
    ("х", 0, "unexpected 'х'"),
    ("２*x", 0, "unexpected '２'"),
    ("٢*x", 0, "unexpected '٢'"),
    ("x×2", 1, "unexpected '×'"),
    ("x−1", 1, "unexpected '−'"),
    ("x²", 1, "unexpected '²'"),
    ("π*x", 0, "unexpected 'π'"),
    ("e\u0301", 1, "unexpected"),
    ("x\u202e+1", 1, r"unexpected '\u202e'"),
    ("(" * 100 + "x" + ")" * 100, MAX_DEPTH, "levels of nesting"),
    ("-" * 100 + "x", MAX_DEPTH, "levels of nesting"),
    ("2**" * 100 + "x", 3 * MAX_DEPTH, "levels of nesting"),
    ("9" * 1000, MAX_LENGTH, "longer than 500 characters"),
    ("x" * 10**6, MAX_LENGTH, "longer than 500 characters"),
]


@pytest.mark.parametrize(
    ("text", "position", "says"), REFUSED, ids=[repr(r[0][:20]) for r in REFUSED]
)
def test_refusals_point_at_the_place(text: str, position: int, says: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    error = caught.value
    assert error.position == position
    assert says in error.reason
    assert f"at character {position + 1}." in error.info.message
    assert error.info.kind == "formula"
    assert error.info.hint
    assert len(error.info.message) < 250


def test_nothing_of_python_is_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the formula reached Python")

    compile_ = compile

    def parsed_only(source: str, name: str, mode: str, flags: int = 0, **rest: int) -> object:
        assert flags & ast.PyCF_ONLY_AST, "a tree is no code"
        return compile_(source, name, mode, flags, **rest)

    with monkeypatch.context() as patch:
        for name in ("eval", "exec"):
            patch.setattr(f"builtins.{name}", refuse)
        patch.setattr("builtins.compile", parsed_only)
        assert parse("x*sigmoid(1.702*x)")
        with pytest.raises(FormulaError):
            parse("exec(x)")


_alphabet = st.sampled_from(
    [*"x()+-*/,.e19 ", "**", "exp(", "max(", "pi", "__", "²", "1e9", "where("]
)


@settings(max_examples=400, deadline=1000)
@given(st.one_of(st.text(max_size=600), st.lists(_alphabet, max_size=300).map("".join)))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        node = parse(text, names())
    except FormulaError as error:
        assert 0 <= error.position <= len(text)
        assert error.pointer().splitlines()[-1].endswith("^")
    else:
        assert values(node, [0.5]).shape == (1,)


def test_a_long_flat_formula_is_no_deep_one() -> None:
    text = "+".join(["x"] * 250)
    assert len(text) < MAX_LENGTH
    assert evaluate(parse(text, names()), 1.0, PYTHON_FLOATS) == 250


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH])
def test_the_depth_limit_is_where_it_says(depth: int) -> None:
    text = "(" * depth + "x" + ")" * depth
    if depth < MAX_DEPTH:
        assert parse(text) == Variable()
    else:
        with pytest.raises(FormulaError):
            parse(text)


def test_the_pointer_is_under_the_character() -> None:
    for text in ("x +* 2", "x*(1+" + "x+" * 60 + "?"):
        with pytest.raises(FormulaError) as caught:
            parse(text)
        line, caret = caught.value.pointer().split("\n")
        assert line[caret.index("^")] == text[caught.value.position]
        assert len(line) <= 60
