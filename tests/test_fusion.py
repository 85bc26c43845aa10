"""The fusion pass: which calls it takes together, and that training and prediction stay the same."""

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from pyconv import _core, layers
from pyconv.models import Sequential
from pyconv.regularizers import l2

N, SHAPE, CLASSES = 12, (16, 16, 3), 5


def convolution(filters=16, **options):
    return layers.Conv2D(filters, 3, **{"padding": "same", "kernel_regularizer": l2(1e-4), **options})


def conv_relu_norm():
    return [
        convolution(activation="relu"),
        layers.BatchNormalization(),
        convolution(activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        convolution(32),
        layers.ReLU(),
        layers.BatchNormalization(),
    ]


def conv_norm_relu():
    return [
        convolution(use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        convolution(17, use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.MaxPooling2D(),
        convolution(32),
        layers.BatchNormalization(scale=False),
        layers.ReLU(),
    ]


def conv_relu_pool():
    return [
        convolution(activation="relu"),
        layers.MaxPooling2D(),
        convolution(24, activation="relu"),
        layers.MaxPooling2D(),
    ]


def residual():
    return [
        convolution(activation="relu"),
        layers.BatchNormalization(),
        layers.Residual([convolution(), layers.BatchNormalization(), layers.ReLU(), convolution()]),
        layers.ReLU(),
        layers.BatchNormalization(center=False),
        layers.Dropout(0.2),
        layers.AveragePooling2D(),
    ]


def other_kinds():
    return [
        convolution(16, strides=2, activation="relu"),
        layers.BatchNormalization(),
        layers.Conv2D(16, 3, padding="same", groups=16),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2D(20, 1),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(3, strides=2),
        convolution(18, padding="valid", activation="relu"),
    ]


NETWORKS = {f.__name__: f for f in (conv_relu_norm, conv_norm_relu, conv_relu_pool, residual, other_kinds)}


def model_of(chain, fuse, optimizer="adam"):
    model = Sequential([*chain, layers.Flatten(), layers.Dense(CLASSES, activation="softmax")], seed=3)
    model.build(SHAPE)
    model.to(_core.default_device())
    rng = np.random.default_rng(4)
    for parameter in model.parameters:
        if parameter.name in ("gamma", "beta"):  # negative factors too, and one that is 0
            value = rng.standard_normal(parameter.shape)
            value[:1] = 0
            parameter.assign(value)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"], fuse=fuse)
    return model


def data(seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, *SHAPE)).astype(np.float32), rng.integers(0, CLASSES, N)


def calls(model, purpose="train"):
    """Return {op: how often} of the model's plan."""
    ops = [call.op for call in model.trainer.plans.latest(purpose).calls]
    return {op: ops.count(op) for op in ops}


def gradients(model, x, y):
    model.train_on_batch(x, y)
    made = model.trainer.flat.gradients()
    return [made[p].numpy().copy() for p in model.trainable_parameters]


def tolerance():
    """Where less than float32 is multiplied, a ReLU may close that was next to 0."""
    return (
        1
        if _core.default_device() == "cpu"
        else {"float32": 1, "tf32": 50, "bfloat16": 100}[_core.precision()]
    )


def assert_same_gradients(fused, plain):
    for ours, theirs in zip(fused, plain, strict=True):
        scale = max(np.linalg.norm(theirs), 1e-2 * np.sqrt(theirs.size))  # what cancels has its noise
        assert np.linalg.norm(ours - theirs) <= 2e-4 * tolerance() * scale


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_the_plain_calls(kernels, name):
    x, y = data()
    fused, plain = (gradients(model_of(NETWORKS[name](), fuse, "sgd"), x, y) for fuse in (True, False))
    assert_same_gradients(fused, plain)


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_over_ten_steps(backend, name):
    models = [model_of(NETWORKS[name](), fuse, "sgd") for fuse in (True, False)]
    x, y = data()
    for _ in range(10):
        fused, plain = (model.train_on_batch(x, y)[0] for model in models)
        assert fused == pytest.approx(plain, abs=1e-3, rel=1e-3)
    for ours, theirs in zip(
        *(model.get_weights() for model in models), strict=True
    ):  # running statistics too
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-3 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("name", NETWORKS)
def test_prediction_and_evaluation(kernels, name):
    x, y = data()
    fused, plain = (model_of(NETWORKS[name](), fuse) for fuse in (True, False))
    np.testing.assert_allclose(fused.predict(x), plain.predict(x), atol=1e-5 * tolerance())
    assert fused.evaluate(x, y) == pytest.approx(plain.evaluate(x, y), rel=1e-4 * tolerance())


def test_what_is_fused():
    x, y = data()
    model = model_of(conv_relu_norm(), True)
    model.train_on_batch(x, y)
    found = calls(model)
    assert found["conv2d_fused"] == found["conv2d_backward_weight_fused"] == 3
    assert found["conv2d_backward_input_fused"] == 2
    assert found["normalize"] == found["batch_norm_reduce"] == 1  # before the dense layer
    plain = {"conv2d", "relu", "batch_norm", "max_pool2d", "relu_backward", "max_pool2d_backward"}
    assert not plain & found.keys()
    model.predict(x)
    assert not (plain | {"batch_norm_inference"}) & calls(model, "predict").keys()
    unfused = model_of(conv_relu_norm(), False)
    unfused.train_on_batch(x, y)
    assert not any("fused" in op for op in calls(unfused))


def test_the_summary_says_what_is_fused():
    model = model_of(conv_relu_norm(), True)
    texts = []
    model.summary(print_fn=texts.append, plan=True, batch_size=8)
    lines = texts[1].splitlines()
    assert lines[0].startswith("Training step, batch 8: ")
    assert ["conv2d_fused", "conv2d_1", "+", "relu,", "batch_norm,", "max_pool2d"] in [
        s.split() for s in lines
    ]
    untrained = Sequential([*conv_relu_norm()])
    untrained.build(SHAPE)
    texts.clear()
    untrained.summary(print_fn=texts.append, plan=True)
    assert "Prediction, batch 32" in texts[1]
    assert "+ relu, batch_norm_inference, max_pool2d" in texts[1]


def test_a_first_layer_pools_in_a_call_of_its_own():
    model = model_of([convolution(), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D()], True)
    model.train_on_batch(*data())
    assert calls(model)["max_pool2d_signed"] == 1


def test_prediction_follows_the_weights(backend):
    """What prediction prepares from the weights is made anew after each way of changing them."""
    x, y = data()
    models = [model_of(conv_relu_norm(), fuse, "sgd") for fuse in (True, False)]

    def assert_same():
        ours, theirs = (model.predict(x) for model in models)
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
        return ours

    seen = [assert_same()]
    for model in models:
        model.train_on_batch(x, y)
    seen.append(assert_same())
    for model in models:
        model.set_weights([w * 1.1 for w in model.get_weights()])
    seen.append(assert_same())
    for model in models:
        model.layers[1].beta.assign(np.ones(16, np.float32))
    seen.append(assert_same())
    for model in models:
        model.fit(x, y, epochs=2, batch_size=5, verbose=0)
    seen.append(assert_same())
    assert all((a != b).any() for a, b in itertools.pairwise(seen))


@pytest.mark.parametrize("frozen", [(0,), (1,), (2, 3), (0, 1, 2, 3)])
def test_frozen_layers(kernels, frozen):
    x, y = data()
    results = []
    for fuse in (True, False):
        model = model_of(conv_relu_norm(), fuse, "sgd")
        for i in frozen:
            model.layers[i].trainable = False
        results.append(gradients(model, x, y))
    assert_same_gradients(*results)


def test_a_nan_is_blamed_on_its_layer():
    model = model_of(conv_relu_norm(), True)
    x, y = data()
    gamma = model.layers[3].gamma.numpy().copy()
    gamma[2] = np.inf
    model.layers[3].gamma.assign(gamma)
    before = [p.numpy().copy() for p in model.trainable_parameters]
    with pytest.raises(FloatingPointError, match="layer batch_normalization_1 gave the first value"):
        model.train_on_batch(x, y)
    for parameter, value in zip(model.trainable_parameters, before, strict=True):
        np.testing.assert_array_equal(parameter.numpy(), value)


def test_the_same_bits_at_any_number_of_threads(isa, threads):
    x, y = data()
    results = []
    for n in (1, 2, 3):
        threads(n)
        model = model_of(conv_norm_relu(), True)
        losses = [model.train_on_batch(x, y)[0] for _ in range(3)]
        results.append((losses, [w.tobytes() for w in model.get_weights()], model.predict(x).tobytes()))
    assert results[0] == results[1] == results[2]


KINDS = {
    "convolution": lambda filters: convolution(filters),
    "convolution_relu": lambda filters: convolution(filters, activation="relu"),
    "pointwise": lambda filters: layers.Conv2D(filters, 1),
    "relu": lambda _: layers.ReLU(),
    "norm": lambda _: layers.BatchNormalization(),
    "pool": lambda _: layers.MaxPooling2D(padding="same"),
    "pool_overlapping": lambda _: layers.MaxPooling2D(2, strides=1, padding="same"),
    "residual": lambda _: layers.Residual(
        [convolution(16), layers.BatchNormalization(), layers.ReLU()], [convolution(16)]
    ),
    "dropout": lambda _: layers.Dropout(0.5),
}


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    chain=st.lists(
        st.tuples(st.sampled_from(list(KINDS)), st.sampled_from([3, 16, 17])), min_size=1, max_size=8
    )
)
def test_any_chain(chain):
    pairs = list(itertools.pairwise(chain))
    # The gradient through two normalisations in a row is 0 but for rounding.
    hypothesis.assume(not any(a[0] == b[0] == "norm" for a, b in pairs))
    x, y = data()
    fused, plain = (
        gradients(model_of([KINDS[kind](filters) for kind, filters in chain], fuse, "sgd"), x, y)
        for fuse in (True, False)
    )
    assert_same_gradients(fused, plain)
