"""The language of formulas as the help shows it, with examples."""

from __future__ import annotations

from gelu_tui.core.functions.registry import REGISTRY

GRAMMAR = (
    ("x", "The input. A formula is named f1, f2, … by itself; NAME=FORMULA names it."),
    ("1.7  2e-3  pi  e", "Numbers."),
    ("+ - * / ** ( )", "As in Python: -x**2 is −(x²), and 2**3**2 is 2**9."),
    ("exp(x) log(x)", "To the base e."),
    ("sqrt(x) abs(x)", "The square root; the value without its sign."),
    ("tanh(x) erf(x)", "From −1 to 1."),
    ("sigmoid(x)", "1/(1+exp(-x)), from 0 to 1."),
    ("softplus(x)", "log(1+exp(x))."),
    ("min(a, b)", "The smaller of two; max(a, b) is the larger."),
    ("where(c, a, b)", "a where c > 0, else b."),
    ("gelu(x) …", f"Each function of the list: {', '.join(REGISTRY)}."),
)

EXAMPLES = (
    ("x*sigmoid(1.7*x)", "A sigmoid form of GELU."),
    ("where(x, x, 0.01*x)", "Leaky ReLU."),
    ("min(max(0, x), 6)", "ReLU6."),
    ("x/(1+abs(x))", "Softsign."),
    ("sharp=x*tanh(exp(x))", "One with a name."),
    ("again=gelu(x)", "Exact GELU once more: a control."),
    ("relu@0-5,12", "ReLU in these layers, elsewhere the reference."),
    ("silu@gate", "SiLU at one kind of places: mlp, gate, experts, recurrent."),
)
