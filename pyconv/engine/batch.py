"""Where a step's images come from."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Batch:
    """Where a step's images come from: rows of a resident array (`source`), or given anew each time.

    Equal batches can share a plan.
    """

    size: int
    shape: tuple
    dtype: str
    device: str = "cpu"
    source: object = None
    augment: object = None

    def trace(self, trace):
        """Add the calls that make the batch; return its buffer."""
        if self.source is None:
            return trace.input("x", (self.size, *self.shape), self.dtype)
        index = trace.input("index", (self.size,), "int32")
        x = trace.buffer((self.size, *self.shape))
        if not self.augment:
            return trace.call("gather", source=self.source, index=index, y=x)
        height, width, _ = self.shape
        matrix = trace.buffer((self.size, 6))
        trace.call(
            "random_affine",
            rng=trace.rng,
            index=index,
            height=height,
            width=width,
            **self.augment.ranges,
            matrix=matrix,
        )
        return trace.call(
            "affine", source=self.source, matrix=matrix, index=index, **self.augment.border, y=x
        )
