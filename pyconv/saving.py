"""Models as files: one `.safetensors` with the architecture, the weights and the training's state."""

import os

import numpy as np

from pyconv import arguments, checkpoint
from pyconv.engine.network import one_or_all
from pyconv.engine.position import Position
from pyconv.metrics import Accuracy
from pyconv.serialization import deserialize, serialize

# Begins the names of the optimizer's arrays. No parameter's name does: it begins with a layer's, which is not
# empty and holds no "/".
_SLOTS = "/optimizer/"
CONTENTS = "model", "training"  # of a file's metadata; of a compiled model both are there
_OLD_SLOTS = "optimizer/"  # in files of version 0.1.0's first days, where a layer could be called so


def save(model, path):
    """Write a built model to `path`, atomically."""
    checkpoint.save(checked(path), *contents(model))


def contents(model):
    """Return (arrays, metadata), what `save` writes of a built model."""
    arrays, state = training_state(model)
    return arrays, dict(zip(CONTENTS, (description(model), state), strict=True))


def save_weights(model, path):
    """Write a built model's weights to `path`, atomically."""
    checkpoint.save(checked(path), _weights(model), {})


def load_weights(model, path):
    """Read a built model's weights from `path`; where one does not fit, none is read."""
    arrays, metadata = checkpoint.load(arguments.path(path, "path", "load_weights"))
    slots = _slots_prefix(metadata.get("training"))
    arrays = {name: array for name, array in arrays.items() if not (slots and name.startswith(slots))}
    assign(model.network.named_parameters(), arrays, "load_weights", f" ({os.fspath(path)})")


def description(model):
    """Return a model's architecture as a JSON-ready dict."""
    parts = {**serialize(model), "input_shape": model.input_shape}
    frozen = [path for path, layer in model.network.walk() if not layer.trainable]
    return {**parts, "frozen": frozen} if frozen else parts


def restored(arrays, metadata, kind):
    """Return the model of a file's contents; `kind` is the class of all models."""
    model = from_description(metadata["model"], kind)
    set_training_state(model, arrays, metadata.get("training"))
    return model


def from_description(parts, kind):
    """Return the model that `description` described."""
    shape, frozen = (
        (parts.get(name) for name in ("input_shape", "frozen")) if isinstance(parts, dict) else (None,) * 2
    )
    model = parts
    if isinstance(parts, dict):
        model = deserialize(
            {name: value for name, value in parts.items() if name in ("class_name", "config")}
        )
    if not isinstance(model, kind):
        raise ValueError(f"[model_from_json] expected a model, got {arguments.kind_of(model)}")
    if shape is not None:
        model.build(shape)
    layers = dict(model.network.walk())
    if frozen is not None and not isinstance(frozen, list):
        raise ValueError(f"[model_from_json] frozen is {arguments.shown(frozen)}, expected a list of layers")
    for path in frozen or ():
        if not isinstance(path, str) or path not in layers:
            raise ValueError(f"[model_from_json] frozen names {arguments.shown(path)}, which is no layer")
        layers[path].trainable = False
    return model


def training_state(model):
    """Return (arrays, state): weights and optimizer slots; JSON-ready settings and counters, or None."""
    arrays = {name: array.copy() for name, array in _weights(model).items()}
    trainer = model.trainer
    if trainer.optimizer is None:
        return arrays, None
    names = model.network.names()
    for slot, parameter, values in trainer.slot_arrays():
        arrays[f"{_SLOTS}{slot}/{names[parameter]}"] = values.numpy().copy()
    return arrays, {
        "optimizer": serialize(trainer.optimizer),
        "optimizer_state": trainer.optimizer.get_state(),
        "slots": _SLOTS,
        **_described(trainer.objective),
        "fuse": trainer.fuse,
        "position": trainer.position.get_state(),
        "seed": trainer.seed,
        "passes": trainer.passes,
        "single_steps": trainer.single_steps,
    }


def set_training_state(model, arrays, state):
    """Restore what `training_state` returned."""
    slots = _slots_prefix(state)
    named = model.network.named_parameters()
    weights = {name: array for name, array in arrays.items() if not (slots and name.startswith(slots))}
    assign(named, weights, "load_weights")
    if state is None:
        return
    chosen = {name: deserialize(state[name]) for name in ("optimizer", "loss", "metrics")}
    model.compile(**chosen, fuse=state.get("fuse", True), loss_weights=state.get("loss_weights"))
    trainer = model.trainer
    trainer.optimizer.set_state(state["optimizer_state"])
    trainer.position = Position.from_state(state["position"])
    _fit_sums(trainer)
    model.set_seed(state.get("seed", trainer.seed))
    passes, single_steps = state.get("passes", trainer.position.epoch + 1), state.get("single_steps", 0)
    trainer.passes = arguments.integer(passes, "passes", "load_model", least=0)
    trainer.single_steps = arguments.integer(single_steps, "single_steps", "load_model", least=0)
    trainer.prepare()
    names = model.network.names()
    for slot, parameter, values in trainer.slot_arrays():
        saved = arrays.get(f"{slots}{slot}/{names[parameter]}")
        if saved is not None:  # saved before the first step: the slots start at 0
            values.assign(saved)


def _fit_sums(trainer):
    """See that the position has a sum for the loss, each metric and the penalty."""
    sums, expected = trainer.position.sums, len(trainer.metric_names) + 2
    if sums and expected == 2 and len(sums) == 3:  # files from before had one for accuracy always
        trainer.position.sums = sums = [sums[0], sums[2]]
    if sums and len(sums) != expected:
        raise ValueError(f"[load_model] position has {len(sums)} sums, expected {expected}")


def _described(objective):
    """Return losses and metrics as files have them; accuracy by its name in the logs."""
    metrics = [
        [name if type(metric) is Accuracy else serialize(metric) for name, metric in part.metrics.items()]
        for part in objective.parts
    ]
    weights = [part.weight for part in objective.parts]
    described = {"loss": serialize(objective.loss), "metrics": one_or_all(metrics)}
    return described if weights == [1] else {**described, "loss_weights": weights}


def set_weights(model, weights):
    """Write all parameters from a list of arrays, all or none."""
    named = model.network.named_parameters()
    if not isinstance(weights, (list, tuple)):
        raise TypeError(f"[set_weights] weights is {arguments.kind_of(weights)}, expected a list of arrays")
    if len(weights) != len(named):
        raise ValueError(f"[set_weights] the model has {len(named)} weights, got {len(weights)}")
    assign(named, dict(zip(named, weights, strict=True)), "set_weights")


def assign(named, values, op, source=""):
    """Write `values` (name -> array) into the parameters `named` (name -> Parameter), all or none.

    `source` ends the messages: the file that the values come from.
    """
    if missing := sorted(named.keys() - values.keys()):
        raise ValueError(f"[{op}] the file has no {_first_few(missing)}{source}")
    if unknown := sorted(values.keys() - named.keys()):
        raise ValueError(f"[{op}] the model has no {_first_few(unknown)}{source}")
    ready = []
    for name, parameter in named.items():
        try:
            value = np.asarray(values[name])
            if value.dtype.kind not in "fiub":  # complex numbers would lose a part
                raise TypeError
            value = value.astype(np.float32, copy=False)
        except (TypeError, ValueError):
            raise TypeError(
                f"[{op}] {name} is {arguments.shown(values[name])}, expected numbers of shape "
                f"{parameter.shape}{source}"
            ) from None
        if value.shape != parameter.shape:
            raise ValueError(
                f"[{op}] {name} has shape {value.shape}, the model's has {parameter.shape}{source}"
            )
        ready.append((parameter, value))
    for parameter, value in ready:
        parameter.assign(value)


def checked(path):
    """Return a path to write a model to. Raises ValueError unless it ends in .safetensors."""
    suffix = os.path.splitext(arguments.path(path, "path", "save"))[1]
    if suffix != ".safetensors":
        raise ValueError(
            f"[save] {os.fspath(path)} ends in {suffix!r}, expected .safetensors, what pyconv writes"
        )
    return path


def _slots_prefix(state):
    """Return what begins the names of the optimizer's arrays in a file; None where there are none."""
    return state.get("slots", _OLD_SLOTS) if isinstance(state, dict) else None


def _weights(model):
    return {name: parameter.numpy() for name, parameter in model.network.named_parameters().items()}


def _first_few(names):
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
