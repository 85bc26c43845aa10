"""A model's calls in prediction's form, with what lies between its layers, and gradients of any of it."""

import numpy as np

from pyconv import arguments
from pyconv.engine.batch import Batch
from pyconv.engine.data import as_images
from pyconv.engine.fusion import fuse
from pyconv.engine.plan import Plan
from pyconv.engine.trace import Trace
from pyconv.models import Model


class Probe:
    """A plan from a batch of images to values of layers and, where asked, to a gradient.

    `probe_of` keeps those made last, as a model's other plans are kept: whoever uses one of them has the
    model's turn (`Trainer.turns`) until it has read what it wants.

    Args:
        model: a built model of one input.
        shape: of the batch, (N, ...): of any size that the layers up to the wanted ones take.
        layers: those whose outputs are wanted, by name or path (`layer_at`).
        gradient_of: None; a layer's name, or SCORES, what the model gives, below a softmax at its end: of its
            values, times `weights` of `run`, the gradient is taken.
        with_respect_to: layers of whose outputs the gradient is wanted; INPUT: the images.
        of_squares: take it of half the squares of these values.
        below_activation: take it of what a layer gives before its own activation.
        with_inputs: what the layers read is wanted, too.
    """

    INPUT, SCORES = "input", "scores"

    def __init__(
        self,
        model,
        shape,
        layers=(),
        gradient_of=None,
        with_respect_to=(INPUT,),
        of_squares=False,
        below_activation=False,
        with_inputs=False,
    ):
        self._model, self.shape = model, shape
        network, found = model.network, {name: layer_at(model, name) for name in layers}
        targets = {name: layer_at(model, name) for name in with_respect_to if name != self.INPUT}
        end = None if gradient_of in (None, self.SCORES) else layer_at(model, gradient_of)
        if gradient_of != self.SCORES:
            top = [*found.values(), *targets.values(), *([end] if end else [])]
            network = network.up_to({_top_of(model, layer) for layer in top})
        trace = Trace(training=False, device=model.device)
        x = trace.input("x", shape)
        x.needs_gradient = gradient_of is not None
        outputs = network.trace(trace, [x])
        wanted = {f"value {name}": _first(trace, layer, name) for name, layer in found.items()}
        for name, layer in found.items() if with_inputs else ():
            wanted |= {f"input {i} {name}": buffer for i, buffer in enumerate(_use(trace, layer, name)[0])}
        if gradient_of is not None:
            of = _first(trace, end, gradient_of) if end else below_softmax(trace, outputs[0])
            if below_activation and getattr(end, "activation", None) in trace.uses:
                (of,), _ = trace.uses[end.activation][0]
            start = trace.input("weights", of.shape)
            if of_squares:
                start = trace.call("multiply", a=of, b=start, y=trace.buffer(of.shape))
            gradients = trace.backward(of, start)
            for name in with_respect_to:
                buffer = x if name == self.INPUT else _first(trace, targets[name], name)
                if gradients.get(buffer) is None:
                    raise ValueError(f"[inspect] {gradient_of} does not depend on {name}")
                wanted[f"gradient {name}"] = gradients[buffer]
            wanted["of"] = of
        for buffer in wanted.values():
            buffer.storage.pinned = True
        if gradient_of is None:
            fuse(trace)
        self._plan, self._names = Plan(trace, wanted), set(wanted)
        self.weights_shape = wanted["of"].shape if gradient_of is not None else None

    def values(self, x):
        """Compute the values for images `x`, of the probe's shape."""
        self._plan["x"].assign(x)
        with self._model.trainer.turns:
            self._plan.run()

    def gradients(self, x, weights):
        """Compute values and gradients: of the sum of `weights` times what the gradient is of."""
        self._plan["weights"].assign(weights)
        self.values(x)

    def value(self, name):
        """Return a layer's output, a view that the next computation overwrites."""
        return self._plan[f"value {name}"].numpy()

    def inputs(self, name):
        """Return what a layer read, views."""
        found, i = [], 0
        while f"input {i} {name}" in self._names:
            found.append(self._plan[f"input {i} {name}"].numpy())
            i += 1
        return found

    def gradient(self, name=INPUT):
        """Return the gradient with respect to a layer's output, or the images; a view."""
        return self._plan[f"gradient {name}"].numpy()

    def scores(self):
        """Return what the gradient is of, a view."""
        return self._plan["of"].numpy()


def probe_of(model, shape, layers=(), **options):
    """Return the `Probe` of these arguments, made anew only where the model does not keep it. In its turn."""
    batch = Batch(shape[0], ((tuple(shape[1:]), "float32"),), model.device)
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    key = ("probe", batch, tuple(layers), *sorted(options.items()), model.network.key)
    return model.trainer.plans.get(key, lambda: Probe(model, shape, layers, **options))


def _first(trace, layer, name):
    """Return what the first use of a layer gave."""
    return _use(trace, layer, name)[1]


def _use(trace, layer, name):
    """Return (inputs, output) of the first use of a layer."""
    if layer not in trace.uses:
        raise ValueError(f"[inspect] {name} works inside another layer, expected that one's name")
    return trace.uses[layer][0]


def below_softmax(trace, y):
    """Return the scores that a softmax at the end was made of; where there is none, `y`."""
    call = trace.writer(y)
    return call.arguments["x"] if call is not None and call.op == "softmax" else y


def layer_at(model, name):
    """Return the layer of a name, "conv2d_1", or inside another by its path, "residual/0"."""
    layers = dict(model.network.walk())
    if not isinstance(name, str) or name not in layers:
        raise ValueError(
            f"[inspect] no layer is named {arguments.shown(name)}, expected one of {', '.join(layers)}"
        )
    return layers[name]


def _top_of(model, layer):
    """Return the layer of the network that is `layer` or has it inside."""
    paths = {inner: path for path, inner in model.network.walk()}
    return next(top for top in model.layers if top.name == paths[layer].partition("/")[0])


def shape_of(model, name):
    """Return the shape of an example of a layer's output."""
    layer = layer_at(model, name)
    return tuple(layer.output_shape(layer.input_shape))


def images_of(model, x, op):
    """Return images as float32 (N, ...), for a built model of one input."""
    expect_images(model, op)
    return as_images(x, op).astype(np.float32, copy=False)


def expect_images(model, op):
    """Raise TypeError or ValueError unless this is a model, built, of one input."""
    if not isinstance(model, Model):
        raise TypeError(f"[{op}] model is {arguments.shown(model)}, expected a Model")
    if not model.built:
        raise ValueError(f"[{op}] the model is not built: give its first layer an input_shape, or call build")
    if model.network.inputs > 1:
        raise ValueError(f"[{op}] the model has {model.network.inputs} inputs, expected one")
