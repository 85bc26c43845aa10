"""What a layer gives when it is called on no data yet: a value of a graph that is being put together."""


class Symbol:
    """What `layer` gives, called on the symbols `reads`; an Input, on none. `shape` is one example's."""

    def __init__(self, layer, reads, shape):
        self.layer, self.reads, self.shape = layer, tuple(reads), tuple(shape)

    @staticmethod
    def of(value):
        """Return what `value` stands for in a graph, a Symbol or an Input; None for anything else."""
        return value if isinstance(value, Symbol) else getattr(type(value), "symbol", None) and value.symbol

    @classmethod
    def of_call(cls, layer, x):
        """Return the Symbol of `layer(x)` where `x` is of a graph, or a list of such; else None."""
        several = isinstance(x, (list, tuple))
        reads = [cls.of(one) for one in (x if several else [x])]
        if not any(reads):
            return None
        if None in reads:
            raise TypeError(f"[{layer.label}] x mixes arrays and layers' results, expected one of them")
        if several != layer.reads_several:
            expected = "a list of layers' results" if layer.reads_several else "one layer's result"
            raise TypeError(f"[{layer.label}] x is {'a list' if several else 'no list'}, expected {expected}")
        shapes = [read.shape for read in reads]
        return cls(layer, reads, layer.output_shape(shapes if several else shapes[0]))

    def __repr__(self):
        return f"<result of {self.layer.label}, shape {self.shape}>"
