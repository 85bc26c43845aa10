"""Graphs: layers called on each other's results, and the network that they are part of."""

from pyconv import arguments
from pyconv.engine.network import Network, Node
from pyconv.engine.symbol import Symbol
from pyconv.layers.base import Layer, snake_case
from pyconv.layers.input import Input


def network_between(inputs, outputs):
    """Return the `Network` of all that leads from an Input to a layer's result."""
    starts, ends = _symbols(inputs, "inputs"), _symbols(outputs, "outputs")
    if not all(isinstance(start.layer, Input) for start in starts):
        raise ValueError("[Model] inputs is a layer's result, expected an Input")
    if len(set(starts)) < len(starts):
        raise ValueError("[Model] inputs has one Input twice, expected each once")
    numbers, nodes = {}, []

    on_the_way = ends[::-1]
    while on_the_way:
        symbol = on_the_way[-1]
        if missing := next((read for read in symbol.reads if read not in numbers), None):
            on_the_way.append(missing)
            continue
        on_the_way.pop()
        if symbol in numbers:
            continue
        reads = tuple(numbers[read] for read in symbol.reads)
        if isinstance(symbol.layer, Input):
            if symbol not in starts:
                raise ValueError(
                    f"[Model] outputs depends on an Input of shape {symbol.shape} that is not in inputs"
                )
            reads = (starts.index(symbol),)
        numbers[symbol] = len(starts) + len(nodes)
        nodes.append(Node(symbol.layer, reads))
    if not all(start in numbers for start in starts):
        raise ValueError("[Model] outputs does not depend on inputs")
    network = Network(nodes, [numbers[end] for end in ends], len(starts))
    for i, layer in enumerate(network.layers):
        name_layer(layer, network.layers[:i], "Model")
    return network


def input_shapes(network):
    """Return the shapes that the Inputs of a network say."""
    starts = [node for node in network.nodes if isinstance(node.layer, Input)]
    said = {node.reads[0]: node.layer.declared_shape for node in starts}
    return [said[i] for i in range(network.inputs)]


def network_from(layers, nodes, output, inputs):
    """Return the `Network` that a model's config describes: nodes are [a layer's number, what it reads]."""

    def holds(node, i):
        if not (isinstance(node, list) and len(node) == 2 and isinstance(node[1], list) and node[1]):
            return False
        number, reads = node
        if not all(type(n) is int and n >= 0 for n in (number, *reads)) or max(reads) >= inputs + i:
            return False
        return number < len(layers) and (len(reads) == 1 or layers[number].reads_several)

    if not (isinstance(layers, list) and layers and all(isinstance(layer, Layer) for layer in layers)):
        raise ValueError(f"[Model] layers is {arguments.shown(layers)}, expected a list of layers")
    if type(inputs) is not int or not 1 <= inputs <= len(layers):
        raise ValueError(f"[Model] inputs is {arguments.shown(inputs)}, expected from 1 to {len(layers)}")
    if not isinstance(nodes, list) or not all(holds(node, i) for i, node in enumerate(nodes)):
        raise ValueError(
            f"[Model] nodes is {arguments.shown(nodes)}, expected [layer, what it reads], with numbers of "
            "layers and of values before"
        )
    outputs = output if isinstance(output, list) else [output]
    last = inputs + len(nodes) - 1
    if not outputs or not all(type(one) is int and inputs <= one <= last for one in outputs):
        raise ValueError(
            f"[Model] output is {arguments.shown(output)}, expected a number from {inputs} to {last}, "
            "or a list of such"
        )
    if not set(range(inputs)) <= {read for _, reads in nodes for read in reads}:
        raise ValueError(f"[Model] inputs is {inputs}, expected as many as the nodes read")
    return Network([Node(layers[i], tuple(reads)) for i, reads in nodes], outputs, inputs)


def name_layer(layer, others, op):
    """Name a layer that has no name as Keras does: dense, dense_1, ...; refuse one that another has."""
    taken = {other.name for other in others}
    if layer.name is None:
        base, number = snake_case(type(layer).__name__), sum(type(o) is type(layer) for o in others)
        while (name := f"{base}_{number}" if number else base) in taken:
            number += 1
        layer.name = name
    elif layer.name in taken:
        raise ValueError(f"[{op}] two layers are named {layer.name!r}, expected names that differ")


def _symbols(value, name):
    """Return the Symbols that an argument of Model means."""
    values = value if isinstance(value, (list, tuple)) else [value]
    symbols = [Symbol.of(one) for one in values]
    if not symbols or any(symbol is None for symbol in symbols):
        raise TypeError(
            f"[Model] {name} is {arguments.kind_of(value)}, expected an Input, or what layers called on one "
            "gave"
        )
    return symbols
