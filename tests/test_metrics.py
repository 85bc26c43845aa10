import numpy as np
import pytest

from pyconv import Sequential, layers, load_model, losses, metrics


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ()),
        ([], ()),
        ("accuracy", ("accuracy",)),
        (["acc"], ("acc",)),
        (
            ("accuracy", "sparse_categorical_accuracy", "accuracy"),
            ("accuracy", "sparse_categorical_accuracy"),
        ),
    ],
)
def test_resolve(given, names):
    assert metrics.resolve(given) == names


def test_refuses():
    with pytest.raises(ValueError, match=r"\[metrics\] unknown metric 'AUC', expected one of accuracy, acc"):
        metrics.resolve(["accuracy", "AUC"])


class Largest(metrics.Metric):
    """The mean of each example's largest score, or of 0 where all are negative."""

    def __init__(self, name="largest"):
        super().__init__(name)

    def trace(self, trace, scores, target):
        positive = trace.call("relu", x=scores, y=trace.buffer(scores.shape))
        largest = trace.buffer((scores.shape[0], 1, 1, 1))
        trace.call(
            "max_pool2d",
            x=positive.reshape((scores.shape[0], 1, scores.shape[1], 1)),
            window=(1, scores.shape[1]),
            stride=(1, scores.shape[1]),
            return_argmax=False,
            y=largest,
            argmax=None,
        )
        return largest.reshape(scores.shape[:1])


def test_a_metric_of_ones_own(rng, tmp_path):
    x, y = rng.standard_normal((30, 6)).astype(np.float32), rng.integers(0, 4, 30)
    model = Sequential([layers.Dense(4, input_shape=(6,))], seed=1)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, ["accuracy", Largest()])
    scores = model.predict(x)
    logs = model.evaluate(x, y, batch_size=7, return_dict=True)
    assert logs["largest"] == pytest.approx(np.maximum(scores, 0).max(1).mean(), rel=1e-5)
    assert logs["accuracy"] == pytest.approx((scores.argmax(1) == y).mean())
    history = model.fit(x, y, epochs=2, verbose=0, validation_data=(x, y)).history
    assert {"largest", "val_largest", "accuracy", "val_accuracy"} <= history.keys()
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.metric_names == ("accuracy", "largest")
    assert loaded.evaluate(x, y) == model.evaluate(x, y)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([Largest("loss")], r"\[metrics\] a metric is named 'loss'"),
        ([Largest("val_x")], r"\[metrics\] a metric is named 'val_x'"),
        ([Largest(), Largest()], r"\[metrics\] two metrics are named 'largest'"),
    ],
)
def test_names_of_metrics(given, message):
    with pytest.raises(ValueError, match=message):
        metrics.named(given)


def test_a_metric_that_cannot_be_saved_is_refused_at_once():
    class Lost(Largest):
        def __init__(self, factor):
            super().__init__("lost")

    model = Sequential([layers.Dense(4, input_shape=(6,))])
    with pytest.raises(TypeError, match=r"\[Lost\] the argument factor is kept under no attribute"):
        model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), [Lost(2)])
