"""Graphs of layers: `Model(inputs, outputs)`."""

import json

import numpy as np
import pytest

from pyconv import Augmentation, Model, Sequential, layers, load_model, losses, model_from_json, optimizers
from pyconv.layers import Add, BatchNormalization, Conv2D, Dense, Flatten, GlobalAveragePooling2D, Input

SHAPE = (8, 8, 3)


def branched(seed=3):
    x = Input(SHAPE)
    start = Conv2D(6, 3, padding="same", activation="relu")(x)
    shared = Conv2D(6, 3, padding="same")
    once = shared(start)
    joined = Add()([start, once, shared(once)])
    y = Dense(4, activation="softmax")(GlobalAveragePooling2D()(joined))
    return Model(x, y, seed=seed)


@pytest.fixture
def data(rng):
    return rng.standard_normal((20, *SHAPE)).astype(np.float32), rng.integers(0, 4, 20)


def compiled(model, **options):
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"], **options)
    return model


def test_a_chain_is_the_sequential(data):
    def chain():
        return [Conv2D(4, 3), BatchNormalization(), layers.Dropout(0.3), Flatten(), Dense(4, "softmax")]

    y = x = Input(SHAPE)
    for layer in chain():
        y = layer(y)
    graph = compiled(Model(x, y, seed=1))
    sequential = compiled(Sequential([Input(SHAPE), *chain()], seed=1))
    assert [layer.name for layer in graph.layers] == [layer.name for layer in sequential.layers]
    histories = [model.fit(*data, epochs=2, verbose=0).history for model in (graph, sequential)]
    assert histories[0] == histories[1]
    for ours, theirs in zip(graph.get_weights(), sequential.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_outputs_are_those_of_the_layers_one_by_one(data):
    model, (x, _) = branched(), data
    _, start, shared, add, pool, dense = model.layers
    a = start(x)
    b = shared(a)
    expected = dense(pool(add([a, b, shared(b)])))
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fuse", [True, False])
def test_gradients_of_a_layer_used_twice(data, fuse):
    model = compiled(branched(), fuse=fuse)
    kernel = model.get_layer("conv2d_1").kernel
    before = model.get_weights()
    model.train_on_batch(*data)
    gradient = model.trainer.flat.gradients()[kernel].numpy().copy()
    model.set_weights(before)
    for place in ((0, 0, 0, 0), (1, 2, 3, 4), (2, 1, 5, 0)):
        ends = []
        for step in (1e-2, -1e-2):
            moved = kernel.numpy().copy()
            moved[place] += step
            kernel.assign(moved)
            ends.append(model.evaluate(*data)[0])
            model.set_weights(before)
        assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(gradient[place], abs=2e-4)


def test_saving(data, tmp_path):
    model = compiled(branched())
    model.fit(*data, epochs=1, verbose=0)
    model.save(tmp_path / "graph.safetensors")
    loaded = load_model(tmp_path / "graph.safetensors")
    np.testing.assert_array_equal(loaded.predict(data[0]), model.predict(data[0]))
    for one in (model, loaded):
        one.fit(*data, epochs=2, verbose=0, seed=5)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    again = model_from_json(model.to_json())
    assert again.to_json() == model.to_json()
    assert [parameter.shape for parameter in again.parameters] == [p.shape for p in model.parameters]


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["nodes"][2].__setitem__(1, [9]),
        lambda config: config["nodes"][2].__setitem__(0, 70),
        lambda config: config.__setitem__("output", -1),
        lambda config: config.__setitem__("output", [1, 99]),
        lambda config: config.__setitem__("output", []),
        lambda config: config.__setitem__("nodes", "abc"),
        lambda config: config["layers"].__setitem__(1, 3),
        lambda config: config.__delitem__("nodes"),
    ],
)
def test_a_description_that_does_not_hold(change):
    parts = json.loads(branched().to_json())
    change(parts["config"])
    with pytest.raises((ValueError, TypeError), match=r"^\["):
        model_from_json(json.dumps(parts))


def test_summary_shows_what_each_layer_reads(capsys):
    branched().summary()
    lines = capsys.readouterr().out.splitlines()
    assert "Reads" in lines[2]
    assert any(line.startswith("add (Add)") and "conv2d, conv2d_1, conv2d_1" in line for line in lines)
    Sequential([Input(SHAPE), Flatten()]).summary()
    assert "Reads" not in capsys.readouterr().out


def test_a_layer_of_a_residual_twice(data):
    """What it shares adds its gradients up; files have it once."""
    shared = Conv2D(3, 3, padding="same")
    model = compiled(
        Sequential(
            [
                layers.Residual([shared, layers.ReLU()], [shared], input_shape=SHAPE),
                Flatten(),
                Dense(4, "softmax"),
            ]
        )
    )
    assert len(model.parameters) == 4
    assert model.fit(*data, epochs=3, verbose=0).history["loss"][-1] < 3


@pytest.mark.parametrize("fuse", [True, False])
def test_several_outputs(backend, data, tmp_path, fuse):
    """Values on the way are outputs too: what fusion would pass over is written."""
    x = Input(SHAPE)
    convolution = Conv2D(16, 3, padding="same")(x)
    active = layers.ReLU()(BatchNormalization()(convolution))
    pooled = layers.MaxPooling2D()(active)
    y = Dense(4, activation="softmax")(Flatten()(pooled))
    trained = compiled(Model(x, y, seed=1), fuse=fuse)
    trained.fit(*data, epochs=1, verbose=0)
    model = Model(x, [convolution, y, active, y])
    assert model.output_shape == [(8, 8, 16), (4,), (8, 8, 16), (4,)]
    assert "(8, 8, 3) -> (8, 8, 16), (4,), (8, 8, 16), (4,)" in repr(model)
    images = data[0]
    parts = model.predict(images, batch_size=7)
    _, conv, norm, *_ = trained.layers
    for i, layer_output in (
        (0, conv(images)),
        (2, np.maximum(norm(conv(images)), 0)),
        (1, trained.predict(images)),
    ):
        np.testing.assert_allclose(parts[i], layer_output, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(parts[1], parts[3])
    for others in (model.predict(iter([images[:7], images[7:14]])), model.predict_on_batch(images[:14])):
        for one, other in zip(parts, others, strict=True):
            np.testing.assert_allclose(one[:14], other, rtol=1e-4, atol=1e-4)
    again = model_from_json(model.to_json())
    assert again.output_shape == model.output_shape
    model.save(tmp_path / "model.safetensors")
    for one, other in zip(load_model(tmp_path / "model.safetensors").predict(images[:5]), parts, strict=True):
        np.testing.assert_allclose(one, other[:5], rtol=1e-4, atol=1e-4)


def two_inputs(seed=1):
    """Images and a row of numbers beside each."""
    image, numbers = Input(SHAPE, name="image"), Input((5,), name="numbers")
    seen = GlobalAveragePooling2D()(Conv2D(6, 3, activation="relu")(image))
    both = layers.Concatenate()([Dense(4, activation="relu")(numbers), seen])
    return Model([image, numbers], Dense(4, activation="softmax")(both), seed=seed)


def test_several_inputs(backend, data, rng, tmp_path):
    images, y = data
    numbers = rng.standard_normal((20, 5)).astype(np.float32)
    model, x = compiled(two_inputs()), [images, numbers]
    assert model.input_shape == [(8, 8, 3), (5,)]
    assert "(8, 8, 3), (5,) -> (4,)" in repr(model)
    by = {layer.name: layer for layer in model.layers}
    seen = by["global_average_pooling2d"](by["conv2d"](images))
    expected = by["dense_1"](by["concatenate"]([by["dense"](numbers), seen]))
    p = model.predict(x, batch_size=7)
    np.testing.assert_allclose(p, expected, rtol=1e-4, atol=1e-5)
    pieces = [([images[i : i + 8], numbers[i : i + 8]], y[i : i + 8]) for i in range(0, 20, 8)]
    np.testing.assert_allclose(model.predict(iter(pieces)), p, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(x), p, rtol=1e-4, atol=1e-5)
    assert model.evaluate(x, y, batch_size=8) == model.evaluate(pieces)
    other = compiled(two_inputs())
    a = model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False, validation_data=(x, y)).history
    b = other.fit(pieces, epochs=2, verbose=0, validation_data=pieces).history
    assert a == b
    assert model.train_on_batch(x, y) == other.train_on_batch(x, y)
    model.fit(x, y, epochs=1, verbose=0, validation_split=0.25)
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.fit(x, y, seed=3, verbose=0).history == model.fit(x, y, seed=3, verbose=0).history


def test_several_inputs_are_checked(data, capsys):
    images, y = data
    model, numbers = compiled(two_inputs()), np.zeros((20, 5), np.float32)
    model.summary()
    assert "input (8, 8, 3), (5,)" in capsys.readouterr().out
    for call, message in (
        (lambda: model.predict(images), r"\[predict\] x is a ndarray, expected a list of 2 arrays, one for"),
        (lambda: model.predict([images]), r"\[predict\] x is 1 arrays, expected a list of 2 arrays"),
        (
            lambda: model.predict([images, numbers[:3]]),
            r"\[predict\] x has 20 and 3 rows, expected one number",
        ),
        (
            lambda: model.predict([numbers, images]),
            r"x has examples of shape \(5,\) and \(8, 8, 3\), the model",
        ),
        (lambda: model.fit([images, numbers], y[:4]), r"\[fit\] y has 4 rows, x has 20"),
        (
            lambda: model.fit([images, numbers], y, augment=Augmentation(10)),
            r"\[fit\] augment is given and the model has 2 inputs, expected one",
        ),
        (lambda: model.build((8, 8, 3)), r"\[build\] input_shape"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()


class Squares(losses.Loss):
    def call(self, y_true, y_pred):
        return ((y_true - y_pred) ** 2).mean()


def two_outputs(fuse=True):
    """A class and three numbers for each image, of one trunk."""
    x = Input(SHAPE)
    trunk = Flatten()(Conv2D(6, 3, activation="relu")(x))
    kind, size = Dense(4, activation="softmax", name="kind")(trunk), Dense(3, name="size")(trunk)
    model = Model(x, [kind, size], seed=1)
    loss = {"kind": "sparse_categorical_crossentropy", "size": Squares()}
    model.compile(optimizers.Adam(0.01), loss, {"kind": ["accuracy"]}, loss_weights={"size": 0.25}, fuse=fuse)
    return model


@pytest.mark.parametrize("fuse", [True, False])
def test_training_several_outputs(backend, data, rng, tmp_path, fuse):
    images, kinds = data
    sizes = rng.standard_normal((20, 3)).astype(np.float32)
    model, y = two_outputs(fuse), [kinds, sizes]
    assert model.metric_names == ("kind_loss", "size_loss", "kind_accuracy")
    p, q = model.predict(images)
    logs = model.evaluate(images, y, batch_size=7, return_dict=True)
    assert logs["kind_loss"] == pytest.approx(-np.log(p[np.arange(20), kinds]).mean(), rel=1e-4)
    assert logs["size_loss"] == pytest.approx(((sizes - q) ** 2).mean(), rel=1e-4)
    assert logs["loss"] == pytest.approx(logs["kind_loss"] + 0.25 * logs["size_loss"], rel=1e-5)
    assert logs["kind_accuracy"] == pytest.approx((p.argmax(1) == kinds).mean())

    before = model.get_weights()
    model.train_on_batch(images, y)
    gradients = [model.trainer.flat.gradients()[w].numpy().copy() for w in model.parameters]
    length = np.sqrt(sum((g**2).sum() for g in gradients))
    ends = []
    for sign in (1, -1):
        model.set_weights([w + sign * 1e-3 * g / length for w, g in zip(before, gradients, strict=True)])
        ends.append(model.evaluate(images, y)[0])
    assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(length, rel=1e-2)

    one, other = two_outputs(fuse), two_outputs(fuse)
    pieces = [
        (images[i : i + 8], {"size": sizes[i : i + 8], "kind": kinds[i : i + 8]}) for i in range(0, 20, 8)
    ]
    a = one.fit(
        images, y, batch_size=8, epochs=8, shuffle=False, verbose=0, validation_data=(images, y)
    ).history
    b = other.fit(pieces, epochs=8, verbose=0, validation_data=pieces).history
    assert a == b
    assert a["val_loss"][-1] < 0.7 * a["val_loss"][0]
    assert {"val_kind_loss", "val_size_loss", "val_kind_accuracy"} <= a.keys()
    one.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    for each in (one, loaded):
        each.fit(images, y, epochs=2, seed=4, verbose=0, validation_split=0.2)
    assert loaded.history.history == one.history.history
    for ours, theirs in zip(loaded.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_compile_takes_for_several_outputs(data, capsys):
    images, kinds = data
    x = Input(SHAPE)
    y = Dense(4, activation="softmax")(Flatten()(x))
    model = Model(x, [y, y])
    model.compile("sgd", "sparse_categorical_crossentropy", "accuracy", loss_weights=[1, 0])
    assert model.metric_names == ("dense_loss", "dense_1_loss", "dense_accuracy", "dense_1_accuracy")
    logs = model.evaluate(images, [kinds, kinds], return_dict=True)
    assert logs["loss"] == logs["dense_loss"] == logs["dense_1_loss"]
    model.summary(plan=True)
    assert "Training step" in capsys.readouterr().out
    loss = "sparse_categorical_crossentropy"
    for call, message in (
        (
            lambda: model.compile("sgd", [loss]),
            r"\[compile\] loss has 1 entries, expected 2, one for each output",
        ),
        (
            lambda: model.compile("sgd", {"a": loss}),
            r"\[compile\] loss names 'a', expected 2, .*: dense, dense_1",
        ),
        (lambda: model.compile("sgd", {"dense": loss}), r"\[loss\] loss is None"),
        (lambda: model.compile("sgd", loss, ["accuracy"]), r"\[compile\] metrics has 1 entries, expected 2"),
        (lambda: model.compile("sgd", loss, loss_weights=[1, -1]), r"\[compile\] loss_weights is -1"),
        (
            lambda: model.fit(images, kinds),
            r"\[fit\] y is .*, expected 2, one for each output: dense, dense_1",
        ),
        (lambda: model.fit(images, [kinds, kinds[:3]]), r"\[fit\] y\[1\] has 3 rows, x has 20"),
        (lambda: model.fit(images, {"dense": kinds}), r"\[fit\] y has 1 entries, expected 2"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()


def test_a_loss_weight_of_one_output(data):
    model = compiled(branched())
    whole = model.evaluate(*data)[0]
    model.compile("sgd", "sparse_categorical_crossentropy", loss_weights=[0.5])
    assert model.evaluate(*data) == pytest.approx(whole / 2)


def test_a_long_chain(rng):
    """Nothing recurses along a graph."""
    y = x = Input((6,))
    for i in range(3000):
        y = layers.ReLU()(y) if i % 3 else Add()([y, y])
    model = compiled(Model(x, Dense(4, activation="softmax")(y), seed=1))
    model.fit(np.zeros((4, 6), np.float32), np.zeros(4), verbose=0)
    assert model_from_json(model.to_json()).predict(np.zeros((4, 6), np.float32)).shape == (4, 4)


class Merged:
    """Two branches, put together in all ways."""

    @staticmethod
    def model(seed=3):
        x = Input(SHAPE)
        a = Conv2D(5, 3, padding="same", activation="relu")(x)
        b = Conv2D(5, 3, padding="same")(x)
        wide = layers.Concatenate()([a, b, x, layers.Multiply()([a, b])])
        tall = layers.Concatenate(axis=1)([wide, Conv2D(18, 1)(wide)])
        return Model(x, Dense(4, activation="softmax")(Flatten()(tall)), seed=seed)


def test_concatenate_and_multiply(backend, data, tmp_path):
    model, (x, _) = Merged.model(), data
    assert [layer.name for layer in model.layers if "conc" in layer.name] == ["concatenate", "concatenate_1"]
    _, first, second, *_ = model.layers
    a, b = first(x), second(x)
    wide = np.concatenate([a, b, x, a * b], -1)
    last, dense = model.get_layer("conv2d_2"), model.layers[-1]
    expected = dense(np.concatenate([wide, last(wide)], 1).reshape(len(x), -1))
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4, atol=1e-5)
    compiled(model).fit(*data, epochs=2, verbose=0)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load_model(tmp_path / "model.safetensors").predict(x), model.predict(x))


@pytest.mark.parametrize("fuse", [True, False])
def test_gradients_through_concatenate_and_multiply(backend, data, fuse):
    """Along a step in all parameters, against the loss' difference."""
    model = compiled(Merged.model(), fuse=fuse)
    before = model.get_weights()
    model.train_on_batch(*data)
    gradients = [model.trainer.flat.gradients()[p].numpy().copy() for p in model.parameters]
    length = np.sqrt(sum((g**2).sum() for g in gradients))
    ends = []
    for sign in (1, -1):
        model.set_weights([w + sign * 1e-2 * g / length for w, g in zip(before, gradients, strict=True)])
        ends.append(model.evaluate(*data)[0])
    assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(length, rel=5e-3)


def test_errors():
    x, other = Input(SHAPE), Input(SHAPE)
    y = Flatten()(x)
    for make, message in (
        (lambda: Model(x, x.symbol.shape), r"\[Model\] outputs is a tuple, expected an Input"),
        (lambda: Model(y, y), r"\[Model\] inputs is a layer's result, expected an Input"),
        (lambda: Model(other, y), r"\[Model\] outputs depends on an Input of shape \(8, 8, 3\) that is not"),
        (lambda: Model([x, other], y), r"\[Model\] outputs does not depend on inputs"),
        (lambda: Model([x, x], y), r"\[Model\] inputs has one Input twice"),
        (lambda: Model([], y), r"\[Model\] inputs is a list, expected an Input"),
        (lambda: Add()([x]), r"\[Add\] x has 1 values, expected at least 2"),
        (lambda: Add()([x, y]), r"\[Add\] x has shapes \(8, 8, 3\) and \(192,\), expected one shape"),
        (lambda: layers.Concatenate(axis=0), r"\[Concatenate\] axis is 0, expected another than 0"),
        (
            lambda: layers.Concatenate(axis=4)([x, x]),
            r"\[Concatenate\] x has shape \(8, 8, 3\), expected .* axis 4",
        ),
        (lambda: layers.Concatenate(1)([x, Conv2D(2, 1)(x)]), r"expected one shape but along axis 1"),
        (lambda: layers.Multiply()([x, y]), r"\[Multiply\] x has shapes"),
        (lambda: Add()(x), r"\[Add\] x is no list, expected a list of layers' results"),
        (lambda: Flatten()([x, x]), r"\[Flatten\] x is a list, expected one layer's result"),
        (lambda: Add()(np.ones((1, 3))), r"\[Add\] x is a ndarray, expected a list of arrays"),
        (lambda: Dense(3)(x), r"\[Dense\] input has shape \(8, 8, 3\), expected \(C_in,\)"),
        (lambda: Model(x, Dense(2, name="a")(Dense(3, name="a")(y))), r"\[Model\] two layers are named 'a'"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            make()
