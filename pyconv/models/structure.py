"""A model's layers and parameters: what there is before anything is trained."""

import json

from pyconv import arguments, saving
from pyconv.arguments import items
from pyconv.engine.network import one_or_all
from pyconv.layers.arguments import shape as example_shape
from pyconv.models.graph import network_from
from pyconv.serialization import Configurable, deserialize, serialize
from pyconv.summary import line, summary_html


def kept_by_trainer(name, text, settable=False):
    """Return a property that the trainer keeps."""

    def get(self):
        return getattr(self.trainer, name)

    def put(self, value):
        setattr(self.trainer, name, value)

    return property(get, put if settable else None, doc=text)


class Structure(Configurable):
    """What `Model` says of its network, which its `trainer` keeps."""

    @property
    def network(self):
        """The layers, and what each of them reads."""
        return self.trainer.network

    @property
    def layers(self):
        """The layers, in order."""
        return self.network.layers

    @property
    def input_shape(self):
        """The shape of one example, or None; a list where the model has several inputs."""
        return self.network.input_shape

    @property
    def output_shape(self):
        """The shape of one example's output; a list where the model has several."""
        self._expect_built("output_shape")
        return self.network.output_shape

    @property
    def built(self):
        """Whether all layers have their parameters."""
        return self.network.built

    def build(self, input_shape):
        """Make the parameters for examples of `input_shape`: (H, W, C), or Keras' (None, H, W, C).

        A model of several inputs takes a list of shapes.
        """
        shapes = (
            [input_shape]
            if self.network.inputs == 1
            else items(input_shape, "input_shape", "build", "a list of shapes")
        )
        self.trainer.build([_without_batch(shape) for shape in shapes])

    @property
    def parameters(self):
        """All parameters, in order."""
        return self.network.parameters

    @property
    def weights(self):
        """All parameters, in order."""
        return self.parameters

    @property
    def trainable_parameters(self):
        """The parameters that training changes."""
        return list(self.network.trainable_parameters)

    @property
    def penalised(self):
        """Whether a regularizer adds to the loss."""
        return self.network.penalised

    def get_layer(self, name=None, index=None):
        """Return a layer by its name or its place."""
        if index is not None:
            last = len(self.layers) - 1
            return self.layers[arguments.integer(index, "index", "get_layer", least=-1 - last, most=last)]
        for layer in self.layers:
            if isinstance(name, str) and layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ValueError(f"[get_layer] no layer is named {arguments.shown(name)}, expected one of {names}")

    @property
    def trainable(self):
        """Whether training changes any layer; setting it sets all of them."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value):
        for layer in self.layers:
            layer.trainable = value

    def count_params(self):
        """Return the number of values in all parameters."""
        self._expect_built("count_params")
        return sum(p.size for p in self.parameters)

    def get_weights(self):
        """Return copies of all parameters, in order."""
        with self.trainer.turns:
            return [p.numpy().copy() for p in self.parameters]

    def set_weights(self, weights):
        """Write all parameters, in the order of `get_weights`; one that does not fit, and none is written."""
        with self.trainer.turns:
            saving.set_weights(self, weights)

    # ---- as JSON

    def get_config(self):
        """Return name, seed, layers and what each of them reads, as a JSON-ready dict."""
        number = {layer: i for i, layer in enumerate(self.layers)}
        nodes = [[number[node.layer], list(node.reads)] for node in self.network.nodes]
        output = one_or_all(list(self.network.outputs))
        graph = {"layers": serialize(self.layers), "nodes": nodes, "output": output}
        if self.network.inputs > 1:
            graph["inputs"] = self.network.inputs
        return {**graph, **self._own_config()}

    def _own_config(self):
        return {"name": self.name, "seed": None if self._own_seed else self.seed}  # clones are no twins

    @classmethod
    def from_config(cls, config):
        """Build a model from what `get_config` returned; a subclass with another constructor too."""
        model = cls.__new__(cls)
        model._restore(**{name: deserialize(value) for name, value in config.items()})
        model._made = True
        return model

    def _restore(self, layers=(), nodes=(), output=None, inputs=1, name=None, seed=None):
        self._begin(network_from(layers, nodes, output, inputs), name, seed)

    def to_json(self, **options):
        """Return the architecture as JSON; `model_from_json` builds it back. Options go to `json.dumps`."""
        return json.dumps(saving.description(self), **options)

    def __repr__(self):
        return line(self)

    def _repr_html_(self):
        return summary_html(self)

    def _expect_built(self, op):
        if not self.built:
            raise ValueError(
                f"[{op}] the model is not built: give its first layer an input_shape or call build((H, W, C))"
            )


def _without_batch(shape):
    """Return the shape of an example that (H, W, C) or Keras' (None, H, W, C) means."""
    if isinstance(shape, (list, tuple)) and shape and shape[0] is None:
        shape = shape[1:]
    return example_shape(shape, "input_shape", "build")
