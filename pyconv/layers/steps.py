"""One value of a layer's output as its arithmetic: what `Layer.explain` returns."""

from typing import NamedTuple

import numpy as np

from pyconv import _core


class Step(NamedTuple):
    """A step on the way to a value: what it is called, the numbers that go into it, what comes out.

    `terms` is what is added up to `value`, by its name in `parts`; empty where nothing is added.
    """

    name: str
    parts: dict
    value: float
    terms: tuple = ()


def window(x, index, kernel, stride, padding, dilation=(1, 1)):
    """Return (values, inside) of the window of the output at index = (row, column, ...), of x (H, W, C).

    values (KH, KW, C) are 0 where `inside` (KH, KW) is not set: in the padding.
    """
    sizes = x.shape[:2]
    pads = _core.window_padding(sizes, kernel, stride=stride, padding=padding, dilation=dilation)
    rows, columns = (
        i * s - before + d * np.arange(k)
        for i, s, (before, _), d, k in zip(index[:2], stride, pads, dilation, kernel, strict=True)
    )
    seen = [(places >= 0) & (places < size) for places, size in zip((rows, columns), sizes, strict=True)]
    inside = seen[0][:, None] & seen[1][None, :]
    clipped = [np.clip(places, 0, size - 1) for places, size in zip((rows, columns), sizes, strict=True)]
    return np.where(inside[..., None], x[np.ix_(*clipped)], 0), inside


def weighted_sum(name, values, kernel, bias):
    """Return the step that adds products, and a bias or None."""
    products = values * kernel
    parts = {"values": values, "kernel": kernel, "products": products, "bias": 0.0 if bias is None else bias}
    return Step(name, parts, float(products.sum() + parts["bias"]), ("products", "bias"))


def normalised(x, mean, variance, epsilon=0.0, gamma=1.0, beta=0.0):
    """Return the step of a normalisation: gamma * (x - mean) / sqrt(variance + epsilon) + beta."""
    numbers = {"x": x, "mean": mean, "variance": variance, "epsilon": epsilon, "gamma": gamma, "beta": beta}
    parts = {name: float(value) for name, value in numbers.items()}
    scale = parts["gamma"] / np.sqrt(parts["variance"] + parts["epsilon"])
    parts["scaled"] = scale * (parts["x"] - parts["mean"])
    return Step("normalisation", parts, parts["scaled"] + parts["beta"], ("scaled", "beta"))


def mean(name, values, count):
    """Return the step that adds values up and divides by a count."""
    shares = values / count
    return Step(name, {"values": values, "count": count, "shares": shares}, float(shares.sum()), ("shares",))
