"""One example call of every op in pyconv.ops, for what must hold of them all."""

from typing import NamedTuple

import numpy as np
from checks import normal

from pyconv import ops


class OpCall(NamedTuple):
    """Arrays are what an op reads; the other arguments are shapes and numbers.

    `any_rank` names the arrays that may have any number of dimensions, the others fixed.
    """

    arrays: dict
    arguments: dict
    any_rank: tuple = ()


def op_calls(rng, N=4, size=7, C=5, K=10):
    """Return {name of the op: OpCall} with N images of size x size x C, or N rows of K classes."""
    x, rows = normal(rng, N, size, size, C), normal(rng, N, K)
    shape, same = x.shape, {"padding": "same"}
    weight, bias = normal(rng, 3, 3, C, C + 2), normal(rng, C + 2)
    dy = normal(rng, N, size, size, C + 2)
    pool = {"window": 3, "stride": 2, "padding": 1}
    pooled, argmax = ops.max_pool2d(x, **pool)
    gamma, beta = normal(rng, C), normal(rng, C)
    running = {"running_mean": normal(rng, C), "running_variance": normal(rng, C) ** 2}
    _, mean, rstd, _, _ = ops.batch_norm(x, gamma, beta, **running)
    matrix = normal(rng, K, C)
    labels, probabilities = rng.integers(0, K, N), ops.softmax(rows)
    pixels, index = rng.integers(0, 256, (6, size, size, C), np.uint8), rng.integers(0, 6, N).astype(np.int32)
    warp = np.tile(np.float32([0.9, 0.2, 0.5, -0.1, 1.1, -0.7]), (N, 1))
    step = {"dweight": weight + 1, "weight": weight}
    scale = {"scale": normal(rng, C), "shift": normal(rng, C)}
    return {
        "conv2d": OpCall({"x": x, "weight": weight, "bias": bias}, same),
        "conv2d_backward_input": OpCall({"dy": dy, "weight": weight}, {"x_shape": shape, **same}),
        "conv2d_backward_weight": OpCall({"dy": dy, "x": x}, {"weight_shape": weight.shape, **same}),
        "max_pool2d": OpCall({"x": x}, pool),
        "max_pool2d_backward": OpCall({"dy": pooled + 1, "argmax": argmax}, {"x_shape": shape, **pool}),
        "avg_pool2d": OpCall({"x": x}, pool),
        "avg_pool2d_backward": OpCall({"dy": pooled}, {"x_shape": shape, **pool}),
        "global_avg_pool2d": OpCall({"x": x}, {}),
        "global_avg_pool2d_backward": OpCall({"dy": normal(rng, N, C)}, {"x_shape": shape}),
        "relu": OpCall({"x": x}, {}, ("x",)),
        "relu_backward": OpCall({"dy": x + 1, "y": x}, {}),
        "gelu": OpCall({"x": x}, {}, ("x",)),
        "gelu_backward": OpCall({"dy": x + 1, "x": x}, {"approximate": True}),
        "add": OpCall({"a": x, "b": x[::-1].copy()}, {}),
        "multiply": OpCall({"a": x, "b": x[::-1].copy()}, {}),
        "divide": OpCall({"a": x, "b": 2 + x[::-1] ** 2}, {}),
        "rescale": OpCall({"x": x}, {"scale": 2.5, "offset": 0.0}, ("x",)),
        "exp": OpCall({"x": x}, {}, ("x",)),
        "log": OpCall({"x": x**2}, {}, ("x",)),
        "concatenate": OpCall({"a": x, "b": dy}, {}),
        "concatenate_backward": OpCall({"dy": dy}, {"size": C}, ("dy",)),
        "dropout": OpCall({"x": x}, {"rate": 0.3, "seed": 5}, ("x",)),
        "batch_norm": OpCall({"x": x, "gamma": gamma, "beta": beta, **running}, {}, ("x",)),
        "batch_norm_inference": OpCall(
            {"x": x, "gamma": gamma, "beta": beta, "mean": mean, "variance": running["running_variance"]},
            {},
            ("x",),
        ),
        "batch_norm_backward": OpCall({"dy": x + 1, "x": x, "gamma": gamma, "mean": mean, "rstd": rstd}, {}),
        "linear": OpCall({"x": rows, "weight": matrix, "bias": gamma}, {}),
        "linear_backward_input": OpCall({"dy": normal(rng, N, C), "weight": matrix}, {}),
        "linear_backward_weight": OpCall({"dy": normal(rng, N, C), "x": rows}, {}),
        "softmax": OpCall({"x": rows}, {}),
        "softmax_backward": OpCall({"dy": rows, "y": probabilities}, {}),
        "softmax_cross_entropy": OpCall({"logits": rows, "target": labels}, {"label_smoothing": 0.1}),
        "cross_entropy": OpCall({"x": probabilities, "target": labels}, {"label_smoothing": 0.1}),
        "cross_entropy_backward": OpCall(
            {"dloss": normal(rng, N), "x": probabilities, "target": labels}, {"label_smoothing": 0.1}
        ),
        "accuracy": OpCall({"scores": rows, "target": labels}, {}),
        "sum": OpCall({"x": x}, {}, ("x",)),
        "sum_of_squares": OpCall({"x": x}, {}, ("x",)),
        "adam": OpCall(
            {**step, "m": weight, "v": weight**2},
            {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "step": 3, "l2": 0.1},
        ),
        "sgd": OpCall(
            {**step, "velocity": -weight},
            {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "l2": 0.1},
        ),
        "gather": OpCall({"source": pixels, "index": index, **scale}, {}),
        "affine": OpCall({"source": pixels, "matrix": warp, "index": index, **scale}, {}),
        "random_affine": OpCall(
            {"index": index}, {"height": 32, "width": 24, "rotation_range": 45.0, "seed": 5}
        ),
    }


def outputs(result):
    """Return an op's result as a tuple without the Nones."""
    return tuple(r for r in (result if isinstance(result, tuple) else (result,)) if r is not None)


def run(name, call, convert=lambda array: array):
    """Call op `name` with each array converted; return its outputs as a tuple of NumPy arrays."""
    arrays = {key: convert(array) for key, array in call.arrays.items()}
    return tuple(np.asarray(r) for r in outputs(getattr(ops, name)(**arrays, **call.arguments)))
