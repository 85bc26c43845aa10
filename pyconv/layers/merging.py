"""Layers that read several values: where the branches of a graph come together."""

import functools
import operator

import numpy as np

from pyconv.arguments import integer
from pyconv.engine.expression import Expression
from pyconv.layers.base import Layer
from pyconv.layers.steps import Step

__all__ = ["Add", "Concatenate", "Multiply"]


class _Merging(Layer):
    """What reads several values, whose shapes agree but along `axis` (None: everywhere)."""

    reads_several = True
    axis = None

    def output_shape(self, input_shape):
        if len(input_shape) < 2:
            raise ValueError(f"[{self.label}] x has {len(input_shape)} values, expected at least 2")
        shapes = [tuple(shape) for shape in input_shape]
        if len({self._fixed(shape) for shape in shapes}) > 1:
            but = "" if self.axis is None else f" but along axis {self.axis}"
            raise ValueError(f"[{self.label}] x has shapes {_and(shapes)}, expected one shape{but}")
        return self._joined(shapes)

    def _fixed(self, shape):
        return shape

    def _joined(self, shapes):
        return shapes[0]


class Add(_Merging):
    """The sum of values of one shape: `Add()([a, b, ...])`."""

    def explain(self, inputs, index):
        values = np.array([x[index] for x in inputs])
        return [Step("sum", {"values": values}, float(values.sum()), ("values",))]

    def trace(self, trace, *x):
        return functools.reduce(operator.add, (Expression(trace, one) for one in x)).buffer


class Multiply(_Merging):
    """The product, element by element, of values of one shape: `Multiply()([a, b, ...])`."""

    def explain(self, inputs, index):
        values = np.array([x[index] for x in inputs])
        return [Step("product", {"values": values}, float(values.prod()))]

    def trace(self, trace, *x):
        return functools.reduce(operator.mul, (Expression(trace, one) for one in x)).buffer


class Concatenate(_Merging):
    """Values side by side along an axis: `Concatenate()([a, b, ...])`.

    `axis` counts the batch as axis 0, as in Keras; -1, the default, is the last: channels. Shapes agree along
    the others.
    """

    def __init__(self, axis=-1, name=None):
        super().__init__(name)
        self.axis = integer(axis, "axis", type(self).__name__)
        self._expect("axis", self.axis != 0, "another than 0, the batch's")

    def _place(self, shape):
        """Return where the axis is in a shape without the batch."""
        place = self.axis - 1 if self.axis > 0 else self.axis + len(shape)
        if not 0 <= place < len(shape):
            raise ValueError(f"[{self.label}] x has shape {shape}, expected one with axis {self.axis}")
        return place

    def _fixed(self, shape):
        place = self._place(shape)
        return shape[:place], shape[place + 1 :]

    def _joined(self, shapes):
        place, joined = self._place(shapes[0]), list(shapes[0])
        joined[place] = sum(shape[place] for shape in shapes)
        return tuple(joined)

    def explain(self, inputs, index):
        axis, number = self._place(inputs[0].shape), 0
        place = list(index)
        while place[axis] >= inputs[number].shape[axis]:
            place[axis] -= inputs[number].shape[axis]
            number += 1
        place = tuple(place)
        return [Step("taken", {"input": number, "place": place}, float(inputs[number][place]))]

    def trace(self, trace, *x):
        return functools.reduce(functools.partial(self._join, trace), x)

    def _join(self, trace, a, b):
        joined = self._joined([a.shape[1:], b.shape[1:]])
        y = trace.call("concatenate", a=a, b=b, axis=self.axis, y=trace.buffer((a.shape[0], *joined)))

        def rule(dy):
            da, db = trace.buffer(a.shape), trace.buffer(b.shape)
            size = a.shape[self.axis]
            trace.call("concatenate_backward", dy=dy, size=size, axis=self.axis, da=da, db=db)
            return da, db

        trace.record([a, b], y, rule)
        return y


def _and(shapes):
    return " and ".join(map(str, shapes))
