"""Where a step's examples come from."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Batch:
    """Where a step's examples come from: rows of resident arrays (`sources`), or given anew each time.

    `kinds` has (shape of an example, dtype) of each of the network's inputs. Equal batches can share a plan.
    """

    size: int
    kinds: tuple
    device: str = "cpu"
    sources: tuple = ()
    augment: object = None  # of a single input

    def trace(self, trace):
        """Add the calls that make the batch; return a buffer for each input, "x0", "x1", ... of the plan."""
        if not self.sources:
            shapes = [((self.size, *shape), dtype) for shape, dtype in self.kinds]
            return [trace.input(f"x{i}", *kind) for i, kind in enumerate(shapes)]
        index = trace.input("index", (self.size,), "int32")
        return [
            self._taken(trace, source, shape, index)
            for source, (shape, _) in zip(self.sources, self.kinds, strict=True)
        ]

    def _taken(self, trace, source, shape, index):
        """Return the rows `index` of a resident array, warped where the batch is augmented."""
        x = trace.buffer((self.size, *shape))
        if not self.augment:
            return trace.call("gather", source=source, index=index, y=x)
        height, width, _ = shape
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
        return trace.call("affine", source=source, matrix=matrix, index=index, **self.augment.border, y=x)
