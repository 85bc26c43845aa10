"""`Sequential`: layers one after another."""

from pyconv import arguments
from pyconv.engine.network import Network
from pyconv.layers.base import Layer
from pyconv.models.graph import name_layer
from pyconv.models.model import Model
from pyconv.serialization import serialize


class Sequential(Model):
    """A stack of layers.

    Args:
        layers: layers, in order; more can be added with `add`.
        name: what the summary calls it.
        seed: integer in [0, 2**64): keys initial weights, shuffles, augmentation and dropout. None: one of
            its own, drawn from `pyconv.utils.set_random_seed`'s.
    """

    def __init__(self, layers=(), name=None, seed=None):
        if not isinstance(layers, (list, tuple)):
            raise TypeError(f"[Sequential] layers is {arguments.kind_of(layers)}, expected a list of layers")
        self._begin(Network.chain([]), "sequential" if name is None else name, seed)
        for layer in layers:
            self.add(layer)

    def add(self, layer):
        """Append a layer. The model is built once its input shape is known."""
        self.trainer.expect_idle("add")
        if not isinstance(layer, Layer):
            raise TypeError(f"[Sequential] expected a layer, got {arguments.kind_of(layer)}")
        if any(layer is other for other in self.layers):
            raise ValueError(f"[Sequential] {layer.name} is in the model already")
        name_layer(layer, self.layers, "Sequential")
        self.trainer.change_network(Network.chain([*self.layers, layer]))
        first = self.layers[0]
        if shape := first.declared_shape or first.input_shape:
            self.build(shape)

    def pop(self):
        """Remove the last layer, and return it."""
        self.trainer.expect_idle("pop")
        if not self.layers:
            raise ValueError("[pop] the model has no layers")
        *rest, last = self.layers
        self.trainer.change_network(Network.chain(rest))
        return last

    def get_config(self):
        """Return name, seed and layers as a JSON-ready dict."""
        return {"layers": serialize(self.layers), **self._own_config()}

    def _restore(self, layers, name, seed):
        Sequential.__init__(self, layers, name, seed)
