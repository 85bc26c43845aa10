"""What a model is made of: layers, and what each of them reads."""

import itertools
from typing import NamedTuple

from pyconv.engine import changes


class Node(NamedTuple):
    """A use of a layer. `reads` are numbers of values: first the network's inputs, then nodes' outputs."""

    layer: object
    reads: tuple


class _Key:
    """A tuple whose hash is computed once: a look-up hashes it again and again."""

    __slots__ = ("_hash", "_parts")

    def __init__(self, parts):
        self._parts, self._hash = parts, hash(parts)

    def __hash__(self):
        return self._hash

    def __eq__(self, other):
        return self is other or (isinstance(other, _Key) and self._parts == other._parts)


class Network:
    """Nodes in an order in which each reads only what is there already. It never changes.

    `outputs` are the numbers of the values that the network gives, by default the last one; `inputs` is how
    many it is given.
    """

    def __init__(self, nodes, outputs=(), inputs=1):
        self.nodes, self.inputs = tuple(nodes), inputs
        self.outputs = tuple(outputs) or (len(self.nodes),)
        self.layers = tuple(dict.fromkeys(node.layer for node in self.nodes))
        self._shapes = None  # of one example, of each value
        self._derived = {}  # name -> (counter, value): see `_kept`

    @classmethod
    def chain(cls, layers):
        """Return the network of layers one after another."""
        return cls(Node(layer, (i,)) for i, layer in enumerate(layers))

    @property
    def is_chain(self):
        """Whether each layer reads the one before it, and is read once."""
        return all(node.reads == (i,) for i, node in enumerate(self.nodes)) and (
            len(self.layers) == len(self.nodes) and self.outputs == (len(self.nodes),) and self.inputs == 1
        )

    # ---- shapes

    @property
    def built(self):
        """Whether all layers have their parameters."""
        if self._shapes is None and self.layers and all(layer.built for layer in self.layers):
            first = {read: node.layer.input_shape for node in reversed(self.nodes) for read in node.reads}
            self._shapes = self._shapes_for([first[i] for i in range(self.inputs)])
        return self._shapes is not None

    @property
    def input_shape(self):
        """The shape of one example, a list where several are given; None before it is known."""
        if self.built:
            return one_or_all(self.input_shapes)
        return self.layers[0].input_shape if self.layers else None

    @property
    def input_shapes(self):
        """The shape of one example of each input, of a built network."""
        return self._shapes[: self.inputs]

    @property
    def output_shape(self):
        """The shape of one example's output, of a built network; a list where it gives several."""
        return one_or_all(self.output_shapes)

    @property
    def output_shapes(self):
        """The shape of one example of each output, of a built network."""
        return [self.shapes[i] for i in self.outputs]

    @property
    def output_names(self):
        """The names of the layers that give the outputs; "dense_1" for a second one of the layer dense."""
        names = []
        for i in self.outputs:
            name = self.nodes[i - self.inputs].layer.name if i >= self.inputs else "input"
            names.append(next(n for n in _numbered(name) if n not in names))
        return names

    @property
    def shapes(self):
        """The shapes of all values, of a built network: the inputs', then each node's output's."""
        return self._kept("shapes", lambda: self._shapes_for(self.input_shapes)) if self.built else None

    def build(self, shapes, seed):
        """Make the parameters of layers that have none, for examples of `shapes`, one for each input."""
        if not self.layers:
            raise ValueError("[build] the model has no layers")
        names = [layer.name for layer in self.layers]  # which may have changed since the layers came together
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"[build] two layers are named {twice!r}, expected names that differ")
        place = 0

        def make(layer, given):
            nonlocal place
            place = max(place, layer.ensure_built(given, seed=seed, place=place))

        self._shapes = self._shapes_for(shapes, make)

    def _shapes_for(self, shapes, visit=lambda layer, given: None):
        """Return the shapes of all values; `visit` is called with each layer and what it is given."""
        shapes = [tuple(shape) for shape in shapes]
        for layer, reads in self.nodes:
            given = _given(layer, [shapes[i] for i in reads])
            visit(layer, given)
            shapes.append(tuple(layer.output_shape(given)))
        return shapes

    def up_to(self, layers):
        """Return the network of what leads to the outputs of all uses of `layers`, which it gives."""
        wanted = [self.inputs + i for i, node in enumerate(self.nodes) if node.layer in layers]
        needed, pending = set(), list(wanted)
        while pending:
            value = pending.pop()
            if value not in needed and value >= self.inputs:
                needed.add(value)
                pending += self.nodes[value - self.inputs].reads
        number = {i: i for i in range(self.inputs)}
        nodes = []
        for value in sorted(needed):
            layer, reads = self.nodes[value - self.inputs]
            number[value] = self.inputs + len(nodes)
            nodes.append(Node(layer, tuple(number[read] for read in reads)))
        return Network(nodes, [number[value] for value in wanted], self.inputs)

    # ---- parameters

    @property
    def parameters(self):
        """All parameters, in order, each once."""
        return list(dict.fromkeys(p for layer in self.layers for p in layer.all_parameters))

    def walk(self):
        """Yield (path, layer) of each layer and those inside, as files name them: "dense", "residual/0"."""

        def visit(layer, path):
            yield path, layer
            for number, child in enumerate(layer.children):
                yield from visit(child, f"{path}/{number}")

        for layer in self.layers:
            yield from visit(layer, layer.name)

    def named_parameters(self):
        """Return all parameters by the names that files use, `layer/parameter`, in order."""
        named = {}
        for path, layer in self.walk():
            for parameter in layer.parameters:
                name = f"{path}/{parameter.name}"
                if name in named:
                    raise ValueError(
                        f"[{path}] two parameters are named {parameter.name!r}, expected names that differ"
                    )
                named[name] = parameter
        return named

    def names(self):
        """Return {parameter: its name in files}."""
        return {parameter: name for name, parameter in self.named_parameters().items()}

    @property
    def trainable_parameters(self):
        """The parameters that training changes."""
        return self._kept(
            "trainable", lambda: [p for layer in self.layers for p in layer.trainable_parameters]
        )

    @property
    def penalised(self):
        """Whether a regularizer adds to the loss."""
        return self._kept("penalised", lambda: any(p.l2 for p in self.trainable_parameters))

    @property
    def key(self):
        """What plans depend on besides shapes: where it differs they are made anew."""
        return self._kept("key", lambda: _Key(tuple(layer.plan_key for layer in self.layers)))

    def _kept(self, name, compute):
        """Return what `compute` returns, computed anew once a layer has changed."""
        now = changes.structure.value
        found = self._derived.get(name)
        if found is None or found[0] != now:
            found = self._derived[name] = now, compute()
        return found[1]

    # ---- calls

    def trace(self, trace, inputs):
        """Add all layers' calls on the batches `inputs`; return the outputs, a list."""
        values = list(inputs)
        for layer, reads in self.nodes:
            values.append(trace.apply(layer, *(values[i] for i in reads)))
        return [values[i] for i in self.outputs]


def _numbered(name):
    yield name
    yield from (f"{name}_{i}" for i in itertools.count(1))


def one_or_all(values):
    """Return the value of a network's one input or output, or the list of those of several."""
    return values[0] if len(values) == 1 else values


def _given(layer, shapes):
    """Return what a layer's shape rules take: one shape, or a list for a layer that reads several values."""
    return shapes if layer.reads_several else shapes[0]
