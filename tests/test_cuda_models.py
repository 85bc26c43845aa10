"""Whole models on CUDA beside the CPU's: plans, graphs, resident data, saving."""

import threading

import numpy as np
import pytest
from cuda_backends import CUDA

from pyconv import _core, layers
from pyconv.engine.totals import Totals
from pyconv.models import Sequential, load_model
from pyconv.optimizers import SGD, Adam
from pyconv.preprocessing import Augmentation
from pyconv.regularizers import l2

pytestmark = pytest.mark.skipif(not CUDA, reason="no CUDA backend to test on")


@pytest.fixture(autouse=True)
def float32():
    previous = _core.precision()
    _core.set_precision("float32")
    yield
    _core.set_precision(previous)


@pytest.fixture
def data(rng):
    return rng.integers(0, 256, (22, 8, 8, 3)).astype(np.uint8), rng.integers(0, 4, 22)


def network(device="cpu", optimizer=None):
    """Every kind of layer that the blog's network has."""
    regularizer = l2(1e-3)
    chain = [
        layers.Normalization(mean=127.5, variance=5000.0, input_shape=(8, 8, 3)),
        layers.Conv2D(8, 3, padding="same", activation="relu", kernel_regularizer=regularizer),
        layers.BatchNormalization(),
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(2),
        layers.Dropout(0.3),
        layers.Flatten(),
        layers.Dense(8, activation="relu"),
        layers.Dense(4, activation="softmax"),
    ]
    model = Sequential(chain, seed=7).to(device)
    model.compile(
        optimizer or SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


class Losses:
    """The loss after each step of a training."""

    def __init__(self):
        self.values = []

    def callback(self):
        from pyconv.callbacks import LambdaCallback

        return LambdaCallback(on_train_batch_end=lambda step, logs: self.values.append(logs["loss"]))


def train(device, data, **options):
    model, losses = network(device), Losses()
    x, y = data
    options = {"batch_size": 4, "epochs": 4, "verbose": 0, "callbacks": [losses.callback()], **options}
    model.fit(x[:20], y[:20], **options)
    return model, losses.values


def test_twenty_steps_agree_with_the_cpu(data):
    """Resident data, shuffled; each batch size's plan runs once as calls, then as a graph."""
    (expected, on_cpu), (model, on_gpu) = train("cpu", data), train("cuda", data)
    assert len(on_gpu) == 20
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-3)
    for ours, reference in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, reference, rtol=0, atol=2e-3 * max(1, np.abs(reference).max()))


def test_augmentation_draws_the_same_warps(data):
    augment = Augmentation(
        rotation_range=20, width_shift_range=0.2, height_shift_range=0.1, horizontal_flip=True
    )
    _, on_cpu = train("cpu", data, epochs=2, augment=augment)
    _, on_gpu = train("cuda", data, epochs=2, augment=augment)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-3)


def test_the_same_seed_gives_the_same_bits(data):
    (one, a), (two, b) = train("cuda", data, epochs=2), train("cuda", data, epochs=2)
    assert a == b
    for left, right in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_short_last_batch(data):
    x, y = data
    history = [
        network(device).fit(x, y, batch_size=8, epochs=2, verbose=0).history for device in ("cpu", "cuda")
    ]
    np.testing.assert_allclose(history[1]["loss"], history[0]["loss"], rtol=1e-3)


def test_evaluate_and_predict(data):
    x, y = data
    on_cpu, on_gpu = network(), network("cuda")
    np.testing.assert_allclose(on_gpu.evaluate(x, y), on_cpu.evaluate(x, y), rtol=1e-4)
    for _ in range(3):  # calls, capture, replay
        np.testing.assert_allclose(on_gpu.predict(x, batch_size=8), on_cpu.predict(x), atol=1e-5)


def test_moving_in_mid_training_changes_nothing(data):
    """Adam's slots and the counters move along."""
    x, y = data
    models = [network(optimizer=Adam(0.01)) for _ in range(2)]
    for model in models:
        model.fit(x, y, batch_size=11, epochs=1, verbose=0)
    models[1].to("cuda").to("cpu")
    losses = [model.fit(x, y, batch_size=11, epochs=2, verbose=0).history["loss"] for model in models]
    assert losses[0] == losses[1]


def test_a_model_trained_there_is_saved_and_read_on_the_cpu(data, tmp_path):
    x, _ = data
    model, _ = train("cuda", data, epochs=1)
    model.save(tmp_path / "model.safetensors")
    read = load_model(tmp_path / "model.safetensors")
    assert read.device == "cpu"
    for ours, theirs in zip(read.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(read.predict(x), model.predict(x), atol=1e-5)


def test_a_nan_is_blamed_on_its_layer_and_destroys_nothing(data):
    model = network("cuda")
    gamma = model.layers[5].gamma.numpy().copy()
    gamma[1] = np.nan
    model.layers[5].gamma.assign(gamma)
    before = [p.numpy().copy() for p in model.trainable_parameters]
    with pytest.raises(FloatingPointError, match="layer batch_normalization_1 gave the first value"):
        model.fit(*data, batch_size=4, verbose=0)
    for parameter, kept in zip(model.trainable_parameters, before, strict=True):
        np.testing.assert_array_equal(parameter.numpy(), kept)


def test_a_nan_is_blamed_on_its_step_though_later_ones_were_taken(data):
    """`fit` reads the losses now and then; the step, the weights and the optimizer are those of the CPU."""
    x, y = data[0].astype(np.float32), data[1]
    x[7, 2, 3] = np.nan
    found = []
    for device in ("cpu", "cuda"):
        model = network(device)
        with pytest.raises(FloatingPointError) as error:
            model.fit(x[:20], y[:20], batch_size=2, epochs=3, verbose=0)
        found.append((str(error.value), model.optimizer.iterations, model.trainable_parameters))
    (expected, steps, reference), (message, iterations, parameters) = found
    assert message == expected
    assert iterations == steps > 0
    for ours, theirs in zip(parameters, reference, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=0, atol=2e-3)


def test_losses_are_read_where_somebody_looks(data, monkeypatch):
    reads, plain = [], Totals.read
    monkeypatch.setattr(Totals, "read", lambda self: (reads.append(1), plain(self)))
    for device, callbacks, expected in (("cpu", False, 20), ("cuda", False, 4), ("cuda", True, 20)):
        reads.clear()
        x, y = data
        losses = [Losses().callback()] if callbacks else []
        network(device).fit(x[:20], y[:20], batch_size=4, epochs=4, verbose=0, callbacks=losses)
        assert len(reads) == expected


def test_a_program_becomes_a_graph_that_reads_what_lies_there_now(rng):
    x, y = (_core.empty((5, 3), device="cuda") for _ in range(2))
    program = _core.Program()
    with program:
        _core.relu(x, y=y)
        total = _core.sum(y)
    for _ in range(4):  # calls, then a graph, replayed
        values = rng.standard_normal((5, 3)).astype(np.float32)
        x.assign(values)
        program.run()
        np.testing.assert_array_equal(y.numpy(), np.maximum(values, 0))
        np.testing.assert_allclose(total.numpy(), np.maximum(values, 0).sum(dtype=np.float64), rtol=1e-6)
    assert [op for op, seconds in zip(program.ops, program.time(), strict=True) if seconds > 0] == [
        "relu",
        "sum",
    ]
    with pytest.raises(RuntimeError, match="a program that has run takes no more calls"), program:
        _core.relu(x, y=y)


def test_a_program_stays_on_one_device():
    here, there = _core.empty((2,)), _core.empty((2,), device="cuda")
    program = _core.Program()
    with program:
        _core.relu(there)
        with pytest.raises(
            RuntimeError, match=r"\[relu\] is on another device than the program's other calls"
        ):
            _core.relu(here)


def test_other_threads_stay_out_of_a_graph(data):
    """A capture takes its own thread's work alone."""
    x, y = data
    expected = network("cuda").fit(x, y, batch_size=4, epochs=2, verbose=0).history["loss"]
    stop = threading.Event()

    def work():
        a = _core.from_numpy(np.ones((4, 4), np.float32)).to("cuda")
        while not stop.is_set():
            np.testing.assert_array_equal(_core.add(a, a).numpy(), 2)

    other = threading.Thread(target=work)
    other.start()
    losses = network("cuda").fit(x, y, batch_size=4, epochs=2, verbose=0).history["loss"]
    stop.set()
    other.join()
    assert losses == expected


def test_a_plan_is_made_anew_for_another_precision(rng):
    model = Sequential([layers.Conv2D(16, 3, padding="same", input_shape=(8, 8, 16))], seed=1).to("cuda")
    x = rng.standard_normal((2, 8, 8, 16), dtype=np.float32)
    exact = model.predict(x)
    for precision, error in (("bfloat16", 1e-4), ("tf32", 1e-5), ("float32", 0)):
        _core.set_precision(precision)
        found = np.linalg.norm(model.predict(x) - exact) / np.linalg.norm(exact)
        assert error <= found <= 100 * error


def test_a_layer_alone(rng):
    x = rng.standard_normal((2, 5, 5, 3)).astype(np.float32)
    layer = layers.ReLU()
    y = layer(_core.from_numpy(x).to("cuda"))
    assert y.device == "cuda"
    np.testing.assert_array_equal(y.numpy(), np.maximum(x, 0))


def test_what_is_fused():
    """On the tensor cores; in float32, where convolutions normalise no input, a call of its own does."""
    for precision, normalizes in (("tf32", 1), ("float32", 2)):
        _core.set_precision(precision)
        chain = [
            layers.Conv2D(32, 3, padding="same", activation="relu", input_shape=(16, 16, 3)),
            layers.BatchNormalization(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
        model = Sequential(chain, seed=7).to("cuda")
        model.compile("sgd", "sparse_categorical_crossentropy")
        rng = np.random.default_rng(0)
        model.train_on_batch(rng.standard_normal((2, 16, 16, 3)).astype(np.float32), [1, 2])
        plan = model.trainer.plans.latest("train")
        ops = [call.op for call in plan.calls]
        assert ops.count("conv2d_fused") == ops.count("conv2d_backward_weight_fused") == 2
        assert ops.count("normalize") == normalizes
        assert not {"relu", "batch_norm", "max_pool2d", "relu_backward", "max_pool2d_backward"} & {*ops}
