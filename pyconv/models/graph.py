"""Graphs: layers called on each other's results, and the network that they are part of."""

from pyconv import arguments
from pyconv.engine.network import Network, Node
from pyconv.engine.symbol import Symbol
from pyconv.layers.base import Layer, snake_case
from pyconv.layers.input import Input


def network_between(inputs, outputs):
    """Return the `Network` of all that leads from an Input to a layer's result."""
    starts, ends = _symbols(inputs, "inputs"), _symbols(outputs, "outputs")
    if len(starts) != 1:
        raise ValueError(f"[Model] inputs has {len(starts)} parts, expected one")
    start = starts[0]
    if not isinstance(start.layer, Input):
        raise ValueError("[Model] inputs is a layer's result, expected an Input")
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
        if isinstance(symbol.layer, Input) and symbol is not start:
            raise ValueError(
                f"[Model] outputs depends on an Input of shape {symbol.shape} that is not the one in inputs"
            )
        nodes.append(Node(symbol.layer, tuple(numbers[read] for read in symbol.reads) or (0,)))
        numbers[symbol] = len(nodes)
    if start not in numbers:
        raise ValueError("[Model] outputs does not depend on inputs")
    network = Network(nodes, [numbers[end] for end in ends])
    for i, layer in enumerate(network.layers):
        name_layer(layer, network.layers[:i], "Model")
    return network


def network_from(layers, nodes, output):
    """Return the `Network` that a model's config describes: nodes are [a layer's number, what it reads]."""

    def holds(node, i):
        if not (isinstance(node, list) and len(node) == 2 and isinstance(node[1], list) and node[1]):
            return False
        number, reads = node
        if not all(type(n) is int and n >= 0 for n in (number, *reads)) or max(reads) > i:
            return False
        return number < len(layers) and (len(reads) == 1 or layers[number].reads_several)

    if not (isinstance(layers, list) and layers and all(isinstance(layer, Layer) for layer in layers)):
        raise ValueError(f"[Model] layers is {arguments.shown(layers)}, expected a list of layers")
    if not isinstance(nodes, list) or not all(holds(node, i) for i, node in enumerate(nodes)):
        raise ValueError(
            f"[Model] nodes is {arguments.shown(nodes)}, expected [layer, what it reads], with numbers of "
            "layers and of values before"
        )
    outputs = output if isinstance(output, list) else [output]
    if not outputs or not all(type(one) is int and 1 <= one <= len(nodes) for one in outputs):
        raise ValueError(
            f"[Model] output is {arguments.shown(output)}, expected a number from 1 to {len(nodes)}, "
            "or a list of such"
        )
    return Network([Node(layers[i], tuple(reads)) for i, reads in nodes], outputs)


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
