"""Runs every op and some training steps on CUDA; prints a digest of the results' bits (tests/gpu/run.sh)."""

import argparse
import hashlib

import numpy as np
from checks import normal
from op_calls import OpCall, op_calls, run

from pyconv import _core, layers
from pyconv.models import Sequential


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="fewer channels: the sanitizer is slow")
    options = parser.parse_args()
    everything = hashlib.sha256()
    calls = op_calls(np.random.default_rng(0), C=20 if options.small else 64)  # computed on the CPU
    for shape, filters in (
        ((2, 9, 19, 36), 68),
        ((2, 8, 8, 48), 72),
    ):  # the 3x3 kernels' two tiles, with tails
        calls |= convolutions(shape, filters)
    _core.select_backend("cuda-emulated" if "emulated" in _core.cuda_name() else "cuda")
    for precision in ("float32", "tf32", "bfloat16"):
        _core.set_precision(precision)
        for name, call in calls.items():
            results = run(name.partition(",")[0], call)
            digest = hashlib.sha256(b"".join(array.tobytes() for array in results)).hexdigest()[:16]
            print(f"{precision:<9} {name:<28} {digest}")
            everything.update(digest.encode())
        everything.update(trained(precision).encode())
    print("digest of all", everything.hexdigest()[:16])


def convolutions(shape, filters):
    """Return {name: OpCall} of a 3x3 convolution and its gradients."""
    rng, same = np.random.default_rng(0), {"padding": "same"}
    x, weight = normal(rng, *shape), normal(rng, 3, 3, shape[-1], filters)
    dy, label = normal(rng, *shape[:3], filters), f", {shape[-1]} to {filters} channels"
    return {
        "conv2d" + label: OpCall({"x": x, "weight": weight}, same),
        "conv2d_backward_input" + label: OpCall({"dy": dy, "weight": weight}, {"x_shape": shape, **same}),
        "conv2d_backward_weight" + label: OpCall({"dy": dy, "x": x}, {"weight_shape": weight.shape, **same}),
    }


def trained(precision):
    """Return a digest of a small network's weights after a few steps."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (8, 16, 16, 3)).astype(np.uint8), rng.integers(0, 4, 8)
    model = Sequential(
        [
            layers.Normalization(127.5, 5000.0, input_shape=(16, 16, 3)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(36, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    ).to("cuda")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    return hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()


if __name__ == "__main__":
    main()
