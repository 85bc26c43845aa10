"""Models as files: one `.safetensors` with the architecture, the weights and the training's state."""

import json
import os

from pyconv import checkpoint
from pyconv.fitting import Position
from pyconv.serialization import deserialize, serialize

_OPTIMIZER = "optimizer/"  # prefix of the optimizer's arrays


def save(model, path):
    """Write a built model to `path`, atomically."""
    arrays, state = training_state(model)
    checkpoint.save(_checked(path), arrays, {"model": description(model), "training": state})


def save_weights(model, path):
    """Write a built model's weights to `path`, atomically."""
    checkpoint.save(_checked(path), _weights(model), {})


def load_weights(model, path):
    """Read a built model's weights from `path`."""
    arrays, _ = checkpoint.load(path)
    _assign(model, arrays)


def load_model(path):
    """Read what `Sequential.save` wrote: architecture, weights and, if compiled, the training's state."""
    arrays, metadata = checkpoint.load(path)
    if "model" not in metadata:
        raise checkpoint.CheckpointError(
            f"[load_model] {path} holds weights alone; build the model and give them to load_weights"
        )
    model = _from_description(metadata["model"])
    set_training_state(model, arrays, metadata["training"])
    return model


def model_from_json(text):
    """Build the model that `Sequential.to_json` described, with new weights."""
    return _from_description(json.loads(text))


def description(model):
    """Return a model's architecture as a JSON-ready dict."""
    return {**serialize(model), "input_shape": model.input_shape}


def _from_description(parts):
    from pyconv.models import Sequential

    shape = parts.pop("input_shape", None)
    model = deserialize(parts)
    if not isinstance(model, Sequential):
        raise ValueError(f"[model_from_json] expected a Sequential, got a {type(model).__name__}")
    if shape is not None:
        model.build(shape)
    return model


def training_state(model):
    """Return (arrays, state): weights and optimizer slots; JSON-ready settings and counters, or None."""
    arrays = {name: array.copy() for name, array in _weights(model).items()}
    if model.optimizer is None:
        return arrays, None
    names = {id(parameter): name for name, parameter in _named_parameters(model).items()}
    for slot, parameter, values in model.slot_arrays():
        arrays[f"{_OPTIMIZER}{slot}/{names[id(parameter)]}"] = values.numpy().copy()
    return arrays, {
        "optimizer": serialize(model.optimizer),
        "optimizer_state": model.optimizer.get_state(),
        "loss": serialize(model.loss),
        "metrics": list(model.metric_names),
        "fuse": model.fuse,
        "position": model.position.get_state(),
    }


def set_training_state(model, arrays, state):
    """Restore what `training_state` returned."""
    _assign(model, arrays)
    if state is None:
        return
    optimizer, loss = deserialize(state["optimizer"]), deserialize(state["loss"])
    model.compile(optimizer, loss, state["metrics"], fuse=state.get("fuse", True))
    model.optimizer.set_state(state["optimizer_state"])
    model.position = Position.from_state(state["position"])
    model.prepare_training()
    names = {id(parameter): name for name, parameter in _named_parameters(model).items()}
    for slot, parameter, values in model.slot_arrays():
        saved = arrays.get(f"{_OPTIMIZER}{slot}/{names[id(parameter)]}")
        if saved is not None:  # saved before the first step: the slots start at 0
            values.assign(saved)


def _weights(model):
    return {name: parameter.numpy() for name, parameter in _named_parameters(model).items()}


def _assign(model, arrays):
    named = _named_parameters(model)
    found = {name for name in arrays if not name.startswith(_OPTIMIZER)}
    if missing := sorted(named.keys() - found):
        raise ValueError(f"[load_weights] the file has no {', '.join(missing[:5])}")
    if unknown := sorted(found - named.keys()):
        raise ValueError(f"[load_weights] the model has no {', '.join(unknown[:5])}")
    for name, parameter in named.items():
        parameter.assign(arrays[name])


def _named_parameters(model):
    named = {}

    def visit(layer, prefix):
        for parameter in layer.parameters:
            named[f"{prefix}/{parameter.name}"] = parameter
        for number, child in enumerate(layer.children):
            visit(child, f"{prefix}/{number}")

    for layer in model.layers:
        visit(layer, layer.name)
    return named


def _checked(path):
    suffix = os.path.splitext(os.fspath(path))[1]
    if suffix != ".safetensors":
        raise ValueError(
            f"[save] {os.fspath(path)} ends in {suffix!r}, expected .safetensors, what pyconv writes"
        )
    return path
