"""Sequential: structure, training, gradients of whole networks, evaluation and prediction."""

import numpy as np
import pytest

from pyconv import layers, losses, optimizers
from pyconv.callbacks import LambdaCallback
from pyconv.models import Sequential, model_from_json
from pyconv.preprocessing import Augmentation
from pyconv.regularizers import l2
from pyconv.utils import to_categorical


def network(seed=0):
    return Sequential(
        [
            layers.Conv2D(6, 3, padding="same", kernel_regularizer=l2(0.01), input_shape=(8, 8, 3)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Residual([layers.Conv2D(6, 3, padding="same", activation="relu")]),
            layers.GlobalAveragePooling2D(),
            layers.Dense(7, activation="relu"),
            layers.Dense(4, activation="softmax"),
        ],
        seed=seed,
    )


def compiled(optimizer="adam", loss="sparse_categorical_crossentropy", **options):
    model = network(**options)
    model.compile(optimizer, loss, ["accuracy"])
    return model


@pytest.fixture
def data(rng):
    x = rng.standard_normal((20, 8, 8, 3)).astype(np.float32)
    return x, rng.integers(0, 4, 20)


def test_names_are_keras():
    model = Sequential(
        [layers.Conv2D(2, 3), layers.MaxPooling2D(), layers.Conv2D(2, 3), layers.Dense(3, name="d")]
    )
    assert [layer.name for layer in model.layers] == ["conv2d", "max_pooling2d", "conv2d_1", "d"]
    assert model.get_layer("conv2d_1") is model.layers[2]
    with pytest.raises(ValueError, match="two layers are named 'd'"):
        model.add(layers.Dense(3, name="d"))
    with pytest.raises(ValueError, match="no layer is named 'x'"):
        model.get_layer("x")
    model.layers[0].name = "d"
    with pytest.raises(ValueError, match=r"\[build\] two layers are named 'd'"):
        model.build((9, 9, 3))


def test_whole_network_gradient_is_the_derivative_of_the_loss(backend, data):
    """Central differences along random directions, through every layer, L2 included."""
    x, y = data
    model = compiled(optimizers.SGD(0.0))
    model.train_on_batch(x, y)
    rng = np.random.default_rng(1)
    start = model.get_weights()
    trainable = {id(p) for p in model.trainable_parameters}
    made = model.trainer.flat.gradients()
    gradients = {id(p): made[p].numpy() + 2 * p.l2 * p.numpy() for p in model.trainable_parameters}
    for _ in range(4):
        step = [
            rng.standard_normal(p.shape) * 1e-3 if id(p) in trainable else np.zeros(p.shape)
            for p in model.parameters
        ]
        ends = []
        for sign in (1, -1):
            model.set_weights([w + sign * s for w, s in zip(start, step, strict=True)])
            ends.append(model.train_on_batch(x, y)[0])
        slope = (ends[0] - ends[1]) / 2
        expected = sum(
            np.vdot(gradients[id(p)], s)
            for p, s in zip(model.parameters, step, strict=True)
            if id(p) in trainable
        )
        assert slope == pytest.approx(expected, rel=0.05, abs=2e-6)


def test_losses_fall_and_history_has_keras_names(data):
    x, y = data
    model = compiled(optimizers.Adam(1e-2))
    history = model.fit(x, y, batch_size=8, epochs=15, verbose=0, validation_data=(x, y)).history
    assert set(history) == {
        *("loss", "data_loss", "accuracy"),
        *("val_loss", "val_data_loss", "val_accuracy", "learning_rate"),
    }
    assert all(len(values) == 15 for values in history.values())
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    penalty = sum(p.l2 * np.square(p.numpy().astype(np.float64)).sum() for p in model.trainable_parameters)
    logs = model.evaluate(x, y, return_dict=True)
    assert logs["loss"] - logs["data_loss"] == pytest.approx(penalty, rel=1e-5)
    probabilities = model.predict(x).astype(np.float64)
    assert logs["data_loss"] == pytest.approx(-np.log(probabilities[np.arange(20), y]).mean(), rel=1e-4)
    assert logs["accuracy"] == (probabilities.argmax(1) == y).mean()
    assert model.evaluate(x, y) == [logs["loss"], logs["accuracy"]]
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.evaluate(x, y) == logs["loss"]


def test_one_hot_labels_equal_integer_labels(data):
    x, y = data
    one, other = compiled(), compiled(loss="categorical_crossentropy")
    for labels in (y, y[:, None], y.astype(np.uint8)):
        assert one.evaluate(x, labels) == one.evaluate(x, y)
    a = one.fit(x, y, epochs=2, verbose=0).history
    b = other.fit(x, to_categorical(y, 4), epochs=2, verbose=0).history
    assert a == b


def test_same_seed_same_bits_at_any_thread_count(data, threads):
    x, y = data
    results = []
    for n in (1, 2, 3):
        threads(n)
        model = compiled()
        augment = Augmentation(10, 0.1, 0.1, True)
        model.fit(x, y, batch_size=6, epochs=2, verbose=0, augment=augment)
        results.append(model.get_weights())
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    different = compiled(seed=1)
    assert not np.array_equal(different.get_weights()[0], compiled().get_weights()[0])


def test_from_logits_equals_a_final_softmax(data):
    x, y = data
    one = compiled(optimizers.SGD(0.1))
    two = Sequential(
        [
            *model_from_json(network().to_json()).layers[:-1],
            layers.Dense(4, name="dense_1"),
        ]
    )
    two.build((8, 8, 3))
    two.set_weights(one.get_weights())
    two.compile(optimizers.SGD(0.1), losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    for _ in range(3):
        assert one.train_on_batch(x, y) == two.train_on_batch(x, y)
    two.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="from_logits is False, expected a model that ends in a softmax"):
        two.train_on_batch(x, y)


def test_fit_takes_iterables_and_they_equal_arrays(data):
    x, y = data
    arrays, batches = compiled(), compiled()
    a = arrays.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False).history
    pieces = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 20, 8)]
    b = batches.fit(pieces, epochs=2, verbose=0).history
    assert a == b
    stream = iter(pieces * 3)
    compiled().fit(stream, epochs=2, steps_per_epoch=3, verbose=0, validation_data=pieces)


def test_validation_split_takes_the_last_rows(data):
    x, y = data
    seen = []
    model = compiled()
    spy = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(model.trainer.totals.count))
    split = model.fit(x, y, batch_size=4, epochs=1, verbose=0, validation_split=0.4, callbacks=[spy])
    assert seen == [4, 8, 12]
    apart = compiled().fit(
        x[:12], y[:12], batch_size=4, epochs=1, verbose=0, validation_data=(x[12:], y[12:])
    )
    assert split.history == apart.history


def test_frozen_layers_stay(data):
    x, y = data
    model = compiled()
    model.layers[0].trainable = False
    model.layers[1].trainable = False
    before = model.get_weights()
    model.fit(x, y, epochs=1, verbose=0)
    after = model.get_weights()
    for i, (a, b) in enumerate(zip(before, after, strict=True)):
        assert np.array_equal(a, b) == (i < 6)


def test_uint8_images_equal_float_images(rng):
    x = rng.integers(0, 256, (10, 8, 8, 3)).astype(np.uint8)
    model = Sequential([layers.Normalization(mean=128.0, variance=4000.0)])
    model.add(layers.Flatten())
    model.add(layers.Dense(4, activation="softmax"))
    np.testing.assert_array_equal(model.predict(x), model.predict(x.astype(np.float64)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    y = np.arange(10) % 4
    start = model.get_weights()
    a = model.fit(x, y, epochs=2, verbose=0, seed=1).history
    model.set_weights(start)
    b = model.fit(x.astype(np.float32), y, epochs=2, verbose=0, seed=1).history
    assert a == b


def test_empty_batches(data):
    x, _ = data
    assert compiled().predict(x[:0]).shape == (0, 4)


def test_predict_in_pieces_equals_predict_at_once(data):
    x, _ = data
    model = compiled()
    np.testing.assert_array_equal(model.predict(x, batch_size=7), model.predict_on_batch(x))
    np.testing.assert_array_equal(model(x), model.predict_on_batch(x))


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda m, x, y: m.fit(x, y[:5]), ValueError, r"\[fit\] y has 5 rows, x has 20"),
        (lambda m, x, y: m.fit(x, y + 1), ValueError, r"y has labels from \d to 4, expected \[0, 4\)"),
        (lambda m, x, y: m.fit(x, y + 0.5), ValueError, "y holds fractions"),
        (lambda m, x, y: m.fit(x[:, :4], y), ValueError, r"examples of shape \(4, 8, 3\), the model takes"),
        (lambda m, x, y: m.fit(x, y, batch_size=0), ValueError, "batch_size is 0"),
        (lambda m, x, y: m.fit(x.astype(str), y), TypeError, r"\[fit\] x has dtype <U"),
        (lambda m, x, y: m.fit([(x,)], epochs=1), ValueError, r"expected batches \(x, y\)"),
        (lambda m, x, y: m.fit([], epochs=1), ValueError, "x gives no batch"),
        (lambda m, x, y: m.fit(x, y, validation_split=1.5), ValueError, "validation_split is 1.5"),
        (lambda m, x, y: m.predict(x[0, 0, 0]), ValueError, "expected a batch"),
        (lambda m, x, y: m.compile("adam", "mse"), ValueError, "unknown loss 'mse'"),
        (lambda m, x, y: m.compile("lion"), ValueError, "unknown optimizer 'lion'"),
        (lambda m, x, y: m.compile("sgd", metrics=["auc"]), ValueError, "unknown metric 'auc'"),
        (lambda m, x, y: m.add("relu"), TypeError, "expected a layer, got a str"),
        (lambda m, x, y: network().fit(x, y), ValueError, "the model is not compiled"),
        (lambda m, x, y: Sequential([layers.Dense(3)]).summary(), ValueError, "the model is not built"),
        (lambda m, x, y: Sequential([]).predict(x), ValueError, "the model has no layers"),
    ],
)
def test_errors(act, error, message, data):
    with pytest.raises(error, match=message):
        act(compiled(), *data)


def test_summary_counts(capsys):
    model = network()
    model.summary()
    text = capsys.readouterr().out
    assert f"{model.count_params():,}" in text
    assert "conv2d (Conv2D)" in text
    assert "(8, 8, 6)" in text
    convolution = 8 * 8 * 27 * 6 + 4 * 4 * 54 * 6
    dense = 6 * 7 + 7 * 4
    normalisation = 8 * 8 * 6
    assert f"{convolution + dense + normalisation:,} multiply-adds" in text


def test_places_differ_however_the_model_is_built():
    def stack():
        branch = [layers.Conv2D(3, 3, padding="same"), layers.Dropout(0.5)]
        return layers.Residual(branch)

    def places(layer):
        return [layer.place, *(place for child in layer.children for place in places(child))]

    grown = Sequential([layers.Conv2D(3, 3, padding="same", input_shape=(6, 6, 3)), stack(), stack()], seed=0)
    at_once = Sequential([layers.Conv2D(3, 3, padding="same"), stack(), stack()], seed=0)
    at_once.build((6, 6, 3))
    for a, b in zip(grown.get_weights(), at_once.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    keyed = [layer.place for layer in grown.layers] + [c.place for r in grown.layers[1:] for c in r.children]
    assert len(set(keyed)) == len(keyed)
    assert not np.array_equal(grown.layers[1].layers[0].kernel, grown.layers[2].layers[0].kernel)
    assert places(grown.layers[1]) == places(at_once.layers[1])


def test_layers_of_two_models_stay_in_step(data):
    x, y = data
    whole = compiled(optimizers.Adam(1e-2))
    part = Sequential(whole.layers[:-1])
    before = part.predict(x)
    whole.fit(x, y, epochs=2, verbose=0)
    assert not np.array_equal(part.predict(x), before)

    part.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.warns(UserWarning, match="the model's logits end in a ReLU"):
        part.fit(x, y, epochs=1, verbose=0)
    kernel = whole.layers[0].kernel.numpy().copy()
    whole.fit(x, y, epochs=1, verbose=0)
    assert not np.array_equal(whole.layers[0].kernel.numpy(), kernel)


def test_an_iterable_that_ends_early_is_an_error(data):
    x, y = data
    with pytest.raises(ValueError, match=r"\[fit\] x ended after 0 of 1 batches in epoch 2"):
        compiled().fit(iter([(x, y)]), epochs=2, verbose=0)
    with pytest.raises(ValueError, match=r"\[fit\] x ended after 1 of 3 batches in epoch 1"):
        compiled().fit([(x, y)], steps_per_epoch=3, verbose=0)
    with pytest.raises(ValueError, match=r"\[predict\] batch_size is -1"):
        compiled().predict(x, batch_size=-1)
