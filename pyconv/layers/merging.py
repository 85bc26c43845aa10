"""Layers that read several values: where the branches of a graph come together."""

from pyconv.layers.base import Layer


class Add(Layer):
    """The sum of values of one shape: `Add()([a, b, ...])`."""

    reads_several = True

    def output_shape(self, input_shape):
        if len(input_shape) < 2:
            raise ValueError(f"[{self.label}] x has {len(input_shape)} values, expected at least 2")
        if len(set(map(tuple, input_shape))) > 1:
            shapes = " and ".join(str(tuple(shape)) for shape in input_shape)
            raise ValueError(f"[{self.label}] x has shapes {shapes}, expected one shape")
        return tuple(input_shape[0])

    def trace(self, trace, *x):
        total = x[0]
        for one in x[1:]:
            y = trace.call("add", a=total, b=one, y=trace.buffer(total.shape))
            trace.record([total, one], y, lambda dy: (dy, dy))
            total = y
        return total
