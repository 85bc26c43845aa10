"""Formulas on the tape: arithmetic that adds its kernel calls to a trace, and records their gradients."""

import functools
import math
from numbers import Number

import numpy as np

from pyconv.engine.trace import Buffer


class Expression:
    """Values of a batch, float32 (N, ...), to calculate with: `+ - * /` and `**`, and the methods here.

    The other operand is a number, an array that broadcasts to the shape, or an Expression of the same shape.
    `exp`, `log`, `abs` and `relu` take each value by itself; `sum` and `mean` all values of each example, to
    shape (N,).
    """

    __array_ufunc__ = None  # an array on the left leaves the operation to us

    def __init__(self, trace, buffer):
        self._trace, self.buffer = trace, buffer

    @property
    def shape(self):
        return self.buffer.shape

    def __repr__(self):
        return f"<expression of shape {self.shape}>"

    # ---- of two

    def __add__(self, other):
        if isinstance(other, Number):
            return self._rescaled(1, other)
        return self._with("add", other, lambda dy, a, b, y: dy, lambda dy, a, b, y: dy)

    __radd__ = __add__

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __neg__(self):
        return self._rescaled(-1, 0)

    def __mul__(self, other):
        if isinstance(other, Number):
            return self._rescaled(other, 0)
        multiply = functools.partial(self._new, "multiply")
        return self._with(
            "multiply",
            other,
            lambda dy, a, b, y: multiply(a=dy, b=b),
            lambda dy, a, b, y: multiply(a=dy, b=a),
        )

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self * (1 / other) if isinstance(other, Number) else self._divided(self._operand(other))

    def __rtruediv__(self, other):
        return Expression(self._trace, self._operand(other))._divided(self.buffer)

    def __pow__(self, exponent):
        """To the power of a number; one that is no positive integer asks for values above 0."""
        if not isinstance(exponent, Number):
            raise TypeError(f"[**] the exponent is a {type(exponent).__name__}, expected a number")
        if exponent != int(exponent) or exponent < 1:
            return (self.log() * exponent).exp()
        if exponent == 1:
            return self
        root = self ** (exponent // 2)
        return root * root * self if exponent % 2 else root * root

    # ---- of one

    def exp(self):
        return self._of("exp", lambda dy, x, y: self._new("multiply", a=dy, b=y))

    def log(self):
        return self._of("log", lambda dy, x, y: self._new("divide", a=dy, b=x))

    def relu(self):
        return self._of("relu", lambda dy, x, y: self._new("relu_backward", gradient="dx", dy=dy, y=y))

    def abs(self):
        return self.relu() + (-self).relu()

    __abs__ = abs

    def mean(self):
        """The mean of each example's values, (N,)."""
        n, size = self.shape[0], math.prod(self.shape[1:])
        row, window = (n, 1, size, 1), {"window": (1, size)}
        x = self.buffer.reshape(row)
        y = self._trace.call("avg_pool2d", x=x, **window, y=self._trace.buffer((n, 1, 1, 1))).reshape((n,))

        def rule(dy):
            dx = self._trace.buffer(row)
            self._trace.call("avg_pool2d_backward", dy=dy.reshape((n, 1, 1, 1)), x_shape=row, **window, dx=dx)
            return dx.reshape(self.shape)

        self._trace.record([self.buffer], y, rule)
        return Expression(self._trace, y)

    def sum(self):
        """The sum of each example's values, (N,)."""
        return self.mean() * math.prod(self.shape[1:])

    # ---- calls

    def _new(self, op, gradient="y", **arguments):
        """Add the call of an elementwise op; return what it writes."""
        return self._trace.call(op, **arguments, **{gradient: self._trace.buffer(self.shape)})

    def _of(self, op, rule, **arguments):
        x = self.buffer
        y = self._new(op, x=x, **arguments)
        self._trace.record([x], y, lambda dy: rule(dy, x, y))
        return Expression(self._trace, y)

    def _rescaled(self, scale, offset):
        return self._of(
            "rescale", lambda dy, x, y: self._new("rescale", x=dy, scale=scale), scale=scale, offset=offset
        )

    def _divided(self, b):
        def of_b(dy, a, b, y):
            return self._new(
                "rescale", x=self._new("divide", a=self._new("multiply", a=dy, b=y), b=b), scale=-1
            )

        return self._with("divide", b, lambda dy, a, b, y: self._new("divide", a=dy, b=b), of_b)

    def _with(self, op, other, *gradients):
        """Of this and another; `gradients` make one's gradient each, of (dy, a, b, y)."""
        a, b = self.buffer, self._operand(other)
        y = self._new(op, a=a, b=b)
        rules = [(x, rule) for x, rule in zip((a, b), gradients, strict=True) if isinstance(x, Buffer)]

        def made(dy):
            return tuple(rule(dy, a, b, y) if x.needs_gradient else None for x, rule in rules)

        self._trace.record([x for x, _ in rules], y, made)
        return Expression(self._trace, y)

    def _operand(self, other):
        """Return the other operand, of this one's shape: a Buffer, or a Tensor where it is known."""
        if isinstance(other, (Buffer, Expression)):
            other = other.buffer if isinstance(other, Expression) else other
            if tuple(other.shape) != tuple(self.shape):
                raise ValueError(
                    f"[expression] an operand has shape {tuple(other.shape)}, expected {tuple(self.shape)}, "
                    "the other's"
                )
            return other
        try:
            values = np.broadcast_to(np.asarray(other, np.float32), self.shape)
        except (TypeError, ValueError):
            raise TypeError(
                f"[expression] an operand is {type(other).__name__}, expected a number, an array that "
                f"broadcasts to {self.shape}, or an expression"
            ) from None
        return self._trace.constant(np.ascontiguousarray(values))
