"""Formulas on the tape: their values against NumPy, their gradients against finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv.engine.expression import Expression
from pyconv.engine.plan import Plan
from pyconv.engine.trace import Trace

ROW = np.linspace(0.5, 2, 5, dtype=np.float32)


class Formula:
    """What a formula of a and b gives, and its gradients."""

    def __init__(self, formula, shape):
        trace = Trace(training=False)
        a, b = (trace.input(name, shape) for name in "ab")
        a.needs_gradient = b.needs_gradient = True
        y = formula(Expression(trace, a), Expression(trace, b)).buffer
        dy = trace.input("dy", y.shape)
        found = trace.backward(y, dy)
        self.plan = Plan(
            trace, {"y": y, **{f"d{n}": found[x] for n, x in (("a", a), ("b", b)) if x in found}}
        )

    def run(self, a, b, dy):
        for name, value in (("a", a), ("b", b), ("dy", dy)):
            self.plan[name].assign(np.asarray(value, np.float32))
        self.plan.run()
        return [self.plan[name].numpy().astype(np.float64) for name in ("y", "da", "db")]


FORMULAS = {
    "sum": (lambda a, b: a + b, lambda a, b: a + b),
    "twice": (lambda a, b: a + a + b + b, lambda a, b: 2 * a + 2 * b),
    "square": (lambda a, b: a * a * b, lambda a, b: a * a * b),
    "difference": (lambda a, b: 3 - (a - b) - 1, lambda a, b: 2 - a + b),
    "quotient": (lambda a, b: a / b + 1 / a + b / 4, lambda a, b: a / b + 1 / a + b / 4),
    "powers": (lambda a, b: a**5 - b**2 + a**0.5, lambda a, b: a**5 - b**2 + a**0.5),
    "exp and log": (lambda a, b: (a * -0.5).exp() + b.log(), lambda a, b: np.exp(-0.5 * a) + np.log(b)),
    "relu and abs": (
        lambda a, b: (a - b).relu() * abs(a - 1),
        lambda a, b: np.maximum(a - b, 0) * abs(a - 1),
    ),
    "rows": (
        lambda a, b: (a * b).sum() / (b.mean() + 1),
        lambda a, b: (a * b).reshape(len(a), -1).sum(1) / (b.reshape(len(b), -1).mean(1) + 1),
    ),
    "arrays": (lambda a, b: ROW * a - b / ROW + ROW, lambda a, b: ROW * a - b / ROW + ROW),
}


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 3, 5)])
@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_gradients(backend, rng, name, shape):
    ours, numpys = FORMULAS[name]
    formula = Formula(ours, shape)
    a, b = (rng.uniform(0.5, 2, shape).astype(np.float32) for _ in range(2))
    expected = numpys(*(x.astype(np.float64) for x in (a, b)))
    dy = rng.standard_normal(expected.shape).astype(np.float32)
    y, da, db = formula.run(a, b, dy)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    for of, gradient in ((0, da), (1, db)):
        for place in ((0,) * len(shape), tuple(size - 1 for size in shape)):
            moved = [[x.astype(np.float64).copy() for x in (a, b)] for _ in range(2)]
            moved[0][of][place] += 1e-6
            moved[1][of][place] -= 1e-6
            change = (dy * (numpys(*moved[0]) - numpys(*moved[1]))).sum() / 2e-6
            assert gradient[place] == pytest.approx(change, rel=1e-4, abs=1e-4)


@given(exponent=st.integers(1, 9), x=st.floats(-2, 2, width=32))
@settings(max_examples=40, deadline=None)
def test_powers(exponent, x):
    trace = Trace(training=False)
    a = trace.input("a", (1, 1))
    plan = Plan(trace, {"y": (Expression(trace, a) ** exponent).buffer})
    plan["a"].assign(np.float32([[x]]))
    plan.run()
    assert plan["y"].numpy().item() == pytest.approx(np.float64(x) ** exponent, rel=1e-5)


def test_errors():
    trace = Trace(training=False)
    a, b = (Expression(trace, trace.input(name, shape)) for name, shape in (("a", (2, 3)), ("b", (3, 2))))
    assert repr(a) == "<expression of shape (2, 3)>"
    for calculate, message in (
        (lambda: a + b, r"\[expression\] an operand has shape \(3, 2\), expected \(2, 3\)"),
        (lambda: a * "b", r"\[expression\] an operand is str, expected a number, an array"),
        (lambda: a - np.ones(4), r"\[expression\] an operand is ndarray, .* broadcasts to \(2, 3\)"),
        (lambda: np.ones(4) / a, r"\[expression\] an operand is ndarray"),
        (lambda: a**b, r"\[\*\*\] the exponent is a Expression, expected a number"),
    ):
        with pytest.raises((TypeError, ValueError), match="^" + message):
            calculate()
