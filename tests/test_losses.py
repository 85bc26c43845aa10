import numpy as np
import pytest

from pyconv import Model, Sequential, layers, load_model, losses, metrics, optimizers
from pyconv.engine.expression import Expression
from pyconv.serialization import deserialize, serialize


def test_get_by_name():
    dense, sparse = (losses.get(prefix + "categorical_crossentropy") for prefix in ("", "sparse_"))
    assert (dense.sparse, dense.from_logits, dense.label_smoothing) == (False, False, 0.0)
    assert (sparse.sparse, sparse.from_logits, sparse.label_smoothing) == (True, False, 0.0)


def test_config_round_trip():
    loss = deserialize(serialize(losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)))
    assert (loss.from_logits, loss.label_smoothing) == (True, 0.1)


def test_refuses():
    with pytest.raises(ValueError, match=r"\[CategoricalCrossentropy\] label_smoothing is 1, expected"):
        losses.CategoricalCrossentropy(label_smoothing=1)
    with pytest.raises(ValueError, match=r"\[loss\] unknown loss 'mse', expected one of categorical_cross"):
        losses.get("mse")
    with pytest.raises(ValueError, match="expected one of categorical_crossentropy"):
        losses.get(None)


# ---- losses of one's own


class Huber(losses.Loss):
    """Squared up to delta, then linear."""

    def __init__(self, delta=1.0):
        self.delta = delta

    def call(self, y_true, y_pred):
        size = abs(y_true - y_pred)
        beyond = (size - self.delta).relu()
        return ((size - beyond) ** 2 * 0.5 + beyond * self.delta).mean()


def huber(y_true, y_pred, delta=1.0):
    size = np.abs(y_true - y_pred)
    return np.where(size < delta, size**2 / 2, delta * size - delta**2 / 2).mean()


def regression(rng, outputs=1):
    x = rng.standard_normal((64, 5)).astype(np.float32)
    return x, 3 * x @ rng.standard_normal((5, outputs)).astype(np.float32)


@pytest.mark.parametrize("fuse", [True, False])
def test_a_regression(backend, rng, tmp_path, fuse):
    x, y = regression(rng, 2)
    model = Sequential([layers.Dense(2, input_shape=(5,))], seed=1)
    model.compile(optimizers.Adam(0.1), Huber(0.5), fuse=fuse)
    assert model.evaluate(x, y, batch_size=20) == pytest.approx(huber(y, model.predict(x), 0.5), rel=1e-5)
    history = model.fit(x, y, epochs=40, batch_size=16, verbose=0, validation_data=(x, y)).history
    assert history["val_loss"][-1] < 0.05 * history["loss"][0]
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.loss.delta == 0.5
    assert loaded.evaluate(x, y) == model.evaluate(x, y)


def test_targets_of_one_value_and_of_images(rng):
    x, y = regression(rng)
    model = Sequential([layers.Dense(1, input_shape=(5,))], seed=1)
    model.compile("sgd", Huber())
    assert model.evaluate(x, y[:, 0]) == model.evaluate(x, y) == model.evaluate([(x, y), (x, y)])
    images = rng.integers(0, 256, (8, 6, 6, 3)).astype(np.uint8)
    model = Sequential([layers.Conv2D(3, 3, padding="same", input_shape=(6, 6, 3))], seed=1)
    model.compile("sgd", Huber())
    expected = huber(images.astype(np.float64), model.predict(images / np.float32(255)))
    assert model.evaluate(images / np.float32(255), images) == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_gives_several_values_an_example_is_averaged(rng):
    class Absolute(losses.Loss):
        def call(self, y_true, y_pred):
            return abs(y_true - y_pred)

    x, y = regression(rng, 3)
    model = Sequential([layers.Dense(3, input_shape=(5,))], seed=1)
    model.compile("sgd", Absolute())
    assert model.evaluate(x, y) == pytest.approx(np.abs(y - model.predict(x)).mean(), rel=1e-5)


def test_a_mean_of_softmaxes_is_trained(rng):
    """What is calculated from softmaxes sums to a constant, by which cross-entropy divides."""
    x, y = rng.standard_normal((60, 6)).astype(np.float32), rng.integers(0, 3, 60)
    start = layers.Input((6,))
    experts = [layers.Dense(3, activation="softmax")(start) for _ in range(3)]
    model = Model(start, layers.Add()(experts), seed=2)
    model.compile(optimizers.Adam(0.05), "sparse_categorical_crossentropy", ["accuracy"])
    p = model.predict(x) / 3
    assert model.evaluate(x, y)[0] == pytest.approx(-np.log(p[np.arange(60), y]).mean(), rel=1e-5)
    history = model.fit(x, y, epochs=30, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]


def test_a_metric_may_read_the_softmax_that_the_loss_takes_over(rng):
    class Confidence(metrics.Metric):
        def trace(self, trace, scores, target):
            return (Expression(trace, scores) ** 2).sum().buffer

    x, y = rng.standard_normal((30, 6)).astype(np.float32), rng.integers(0, 3, 30)
    model = Sequential([layers.Dense(3, activation="softmax", input_shape=(6,))], seed=1)
    model.compile("sgd", "sparse_categorical_crossentropy", [Confidence("confidence"), "accuracy"])
    p = model.predict(x)
    logs = model.evaluate(x, y, return_dict=True)
    assert logs["confidence"] == pytest.approx((p**2).sum(1).mean(), rel=1e-5)
    assert logs["accuracy"] == pytest.approx((p.argmax(1) == y).mean())
    assert model.fit(x, y, verbose=0).history["loss"][0] == pytest.approx(logs["loss"])


def test_errors_of_ones_own(rng):
    x, y = regression(rng, 4)
    model = Sequential([layers.Dense(4, input_shape=(5,))], seed=1)
    with pytest.raises(TypeError, match=r"^\[loss\] loss is Loss\(\), expected one that defines call\("):
        model.compile("sgd", losses.Loss())

    class Forgetful(losses.Loss):
        def call(self, y_true, y_pred):
            return None

    model.compile("sgd", Forgetful())
    with pytest.raises(TypeError, match=r"^\[Forgetful\] call returned None, expected an expression"):
        model.fit(x, y, verbose=0)
    model.compile("sgd", Huber())
    with pytest.raises(ValueError, match=r"^\[fit\] y has shape \(64,\), expected \(64, 4\).*to_categorical"):
        model.fit(x, np.zeros(64, int), verbose=0)
    with pytest.raises(ValueError, match=r"^\[evaluate\] y has shape \(64, 3\), expected \(64, 4\)"):
        model.evaluate(x, y[:, :3])
    with pytest.raises(TypeError, match=r"^\[fit\] y has dtype <U1, expected numbers"):
        model.fit(x, np.full((64, 4), "a"), verbose=0)
