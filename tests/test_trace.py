"""The tape: gradients of what is read several times, of any buffer, in both forms."""

import numpy as np
import pytest

from pyconv import layers
from pyconv.engine.plan import Plan
from pyconv.engine.trace import Trace
from pyconv.layers.base import Layer

SHAPE = (2, 8, 8, 3)


def plan_of(layer, *, training, wanted=(), shape=SHAPE):
    """Return the plan from "x" and "dy" to "y", "dx" and the gradients of `wanted`, in dictionary order."""
    layer.ensure_built(shape[1:], seed=1)
    gradients = {p: p.tensor.copy() for p in wanted}
    trace = Trace(training=training, gradients=gradients)
    x = trace.input("x", shape)
    x.needs_gradient = True
    y = trace.apply(layer, x)
    dy = trace.input("dy", y.shape)
    found = trace.backward(y, dy)
    return Plan(trace, {"y": y, "dx": found[x]}), gradients


def run(plan, x, dy):
    plan["x"].assign(x)
    plan["dy"].assign(dy)
    plan.run()
    return plan["y"].numpy().astype(np.float64), plan["dx"].numpy().copy()


def every_kind():
    convolution = layers.Conv2D(4, 3, padding="same", activation="relu")
    return [
        layers.Conv2D(4, 3, strides=2, activation="relu"),
        layers.MaxPooling2D(),
        layers.AveragePooling2D(3, strides=1, padding="same"),
        layers.Residual([convolution, layers.BatchNormalization(), layers.Conv2D(3, 1)]),
        layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[2.0, 3.0, 4.0]),
        layers.BatchNormalization(),
        layers.GlobalAveragePooling2D(),
        layers.Flatten(),
        layers.Dropout(0.5),  # in prediction's form: the identity
        layers.Activation("relu"),
    ]


@pytest.mark.parametrize("layer", every_kind(), ids=lambda layer: type(layer).__name__)
def test_the_gradient_of_the_input_in_predictions_form(layer, rng):
    """Against finite differences: with running statistics and no draws, whatever is trainable."""
    layer.trainable = False
    plan, _ = plan_of(layer, training=False)
    for parameter in layer.all_parameters:
        if parameter.name in ("moving_mean", "moving_variance"):
            parameter.assign(rng.uniform(0.5, 1.5, parameter.shape))
    x = rng.standard_normal(SHAPE).astype(np.float32)
    y, _ = run(plan, x, np.zeros(plan["dy"].shape, np.float32))
    dy = rng.standard_normal(y.shape).astype(np.float32)
    _, dx = run(plan, x, dy)
    step = rng.standard_normal(SHAPE).astype(np.float32)
    step *= 1e-3 / np.linalg.norm(step)
    ends = [run(plan, x + sign * step, dy)[0] for sign in (1, -1)]
    change = ((ends[0] - ends[1]) * dy).sum() / 2
    assert change == pytest.approx((dx * step).sum(), abs=3e-5 * float(np.linalg.norm(dy)))


class Thrice(Layer):
    """A layer that uses one inside three times, and reads its input and a middle value twice."""

    def __init__(self, inner, name=None):
        super().__init__(name)
        self.inner = inner

    @property
    def children(self):
        return (self.inner,)

    def build(self, input_shape):
        self.inner.ensure_built(input_shape, seed=2)

    def trace(self, trace, x):
        once = trace.apply(self.inner, x)
        twice = trace.apply(self.inner, once)
        joined = trace.apply(layers.Add(), once, twice)
        return trace.apply(layers.Add(), trace.apply(self.inner, joined), x)


def test_a_layer_used_several_times_adds_its_gradients_up(rng):
    """inner(x) = x k, so that y = (xk + xkk) k + x: its derivatives are known."""
    k = 0.7
    inner = layers.Conv2D(1, 1)
    shape = (2, 3, 3, 1)
    layer = Thrice(inner)
    layer.ensure_built(shape[1:], seed=1)
    inner.kernel.assign(np.full((1, 1, 1, 1), k))
    plan, gradients = plan_of(layer, training=True, wanted=[inner.kernel, inner.bias], shape=shape)
    x = rng.standard_normal(shape).astype(np.float32)
    dy = rng.standard_normal(shape).astype(np.float32)
    y, dx = run(plan, x, dy)
    np.testing.assert_allclose(y, x * (k**2 + k**3 + 1), rtol=1e-5)
    np.testing.assert_allclose(dx, dy * (k**2 + k**3 + 1), rtol=1e-5)
    dk = (dy * x * (2 * k + 3 * k**2)).sum()
    db = (dy * (k + k**2 + k + 1)).sum()  # of the three uses: through both ways, through one, at the end
    np.testing.assert_allclose(gradients[inner.kernel].numpy().item(), dk, rtol=1e-4)
    np.testing.assert_allclose(gradients[inner.bias].numpy().item(), db, rtol=1e-4)
    again = run(plan, x, dy)
    np.testing.assert_array_equal(again[1], dx)  # what was added up starts anew
    np.testing.assert_allclose(gradients[inner.kernel].numpy().item(), dk, rtol=1e-4)


def test_only_what_is_wanted_is_computed():
    layer = layers.Conv2D(2, 3)
    layer.ensure_built(SHAPE[1:], seed=0)
    trace = Trace(training=True, gradients={layer.kernel: layer.kernel.tensor.copy()})
    y = trace.apply(layer, trace.input("x", SHAPE))
    trace.backward(y, trace.input("dy", y.shape))
    assert [call.op for call in trace.calls] == ["conv2d", "conv2d_backward_weight"]
    trace = Trace(training=True)
    y = trace.apply(layer, trace.input("x", SHAPE))
    trace.backward(y, trace.input("dy", y.shape))
    assert [call.op for call in trace.calls] == ["conv2d"]


def test_a_middle_value_has_a_gradient_too():
    trace = Trace(training=False)
    x = trace.input("x", SHAPE)
    x.needs_gradient = True
    middle = trace.apply(layers.ReLU(), x)
    y = trace.apply(layers.Flatten(), middle)
    found = trace.backward(y, trace.input("dy", y.shape))
    assert found[middle].shape == middle.shape
    assert found[x].shape == SHAPE
