"""What each layer makes of images: feature maps."""

import numpy as np

from pyconv import arguments
from pyconv.engine.fit_arguments import BATCH
from pyconv.inspect.probe import images_of, layer_at, probe_of


def features(model, x, layers=None, batch_size=BATCH):
    """Return what layers give for images, in prediction's form: {name: float32 (N, ...)}.

    Args:
        model: a built model of one input.
        x: images (N, H, W, C), of any size that the layers up to the wanted ones take.
        layers: names, or one name; a layer inside another by its path, "residual/0". None: all layers of the
            model. Of a layer that is used several times it is the first use.
        batch_size: images at a time.

    Raises ValueError for a name that no layer has.
    """
    x = images_of(model, x, "features")
    names = [layer.name for layer in model.layers] if layers is None else _names(layers)
    for name in names:
        layer_at(model, name)
    size = arguments.integer(batch_size, "batch_size", "features", least=1)
    found, done = {}, 0
    for values in batches(model, x, names, size):
        for name, value in values.items():
            if name not in found:
                found[name] = np.empty((len(x), *value.shape[1:]), np.float32)
            found[name][done : done + len(value)] = value
        done += size
    return found


def batches(model, x, names, size):
    """Yield what layers give for `size` images at a time: {name: float32 (n, ...)}, views for that turn."""
    for start in range(0, max(len(x), 1), size):
        batch = x[start : start + size]
        with model.trainer.turns:
            probe = probe_of(model, batch.shape, names)
            probe.values(batch)
            yield {name: probe.value(name) for name in names}


def _names(layers):
    return [layers] if isinstance(layers, str) else arguments.items(layers, "layers", "features", "names")
