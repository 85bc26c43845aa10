"""The plan: buffers that share memory never disturb each other, and a warm run allocates nothing."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import pyconv
from pyconv import _core, layers
from pyconv.engine.batch import Batch
from pyconv.engine.plan import Plan
from pyconv.engine.trace import Trace
from pyconv.models import Sequential


def small_network():
    return [
        layers.Normalization(mean=0.1, variance=2.0),
        layers.Conv2D(6, 3, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.Residual([layers.Conv2D(6, 3, padding="same"), layers.ReLU(), layers.Dropout(0.3)]),
        layers.MaxPooling2D(),
        layers.AveragePooling2D(2, strides=1),
        layers.Flatten(),
        layers.Dense(5),
        layers.Softmax(),
    ]


def traced_training(chain, batch=3, shape=(8, 8, 2)):
    model = Sequential(chain)
    model.build(shape)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model.trainer.training_plan(Batch(batch, ((shape, "float32"),)), ((batch,),))


def assert_reads_see_their_writes(plan):
    """Follow who wrote each byte of the arena last; every read must find its own buffer there."""
    owner = np.zeros(plan.arena_bytes, np.int64)
    numbers = {}

    def span(buffer):
        root = buffer.storage.root()
        return slice(root.offset, root.offset + buffer.storage.size)

    def number(storage):
        return numbers.setdefault(id(storage), len(numbers) + 1)

    for buffer in plan.inputs.values():
        owner[span(buffer)] = number(buffer.storage)
    for call in plan.calls:
        for value in call.buffers(written=False):
            assert (owner[span(value)] == number(value.storage)).all(), call.op
        for value in call.buffers(written=True):
            owner[span(value)] = number(value.storage)


def test_training_buffers_never_disturb_each_other():
    assert_reads_see_their_writes(traced_training(small_network()))


@hypothesis.given(data=st.data())
def test_any_stack_of_layers(data):
    kinds = [
        lambda: layers.ReLU(),
        lambda: layers.Conv2D(data.draw(st.integers(1, 5)), 3, padding="same"),
        lambda: layers.BatchNormalization(),
        lambda: layers.Dropout(0.5),
        lambda: layers.Residual([layers.ReLU(), layers.BatchNormalization()]),
        lambda: layers.MaxPooling2D(2, strides=1, padding="same"),
    ]
    chosen = data.draw(st.lists(st.sampled_from(kinds), min_size=0, max_size=7))
    chain = [make() for make in chosen] + [layers.Flatten(), layers.Dense(3, activation="softmax")]
    plan = traced_training(chain, shape=(5, 4, 2))
    assert_reads_see_their_writes(plan)


def test_memory_is_shared():
    plan = traced_training(small_network())
    storages = {id(b.storage): b.storage for c in plan.calls for b in c.buffers(True) + c.buffers(False)}
    assert plan.arena_bytes < 0.8 * sum(storage.size for storage in storages.values())


def test_prediction_equals_the_layers_one_by_one(rng):
    model = Sequential(small_network())
    x = rng.standard_normal((3, 8, 8, 2)).astype(np.float32)
    expected = x
    model.build((8, 8, 2))
    for layer in model.layers:
        expected = layer(expected)
    np.testing.assert_array_equal(model.predict(x), expected)


def test_a_warm_step_allocates_nothing(rng, threads):
    threads(1)  # a worker's first scratch comes with its first chunk, which may be in any step
    model = Sequential(small_network())
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = rng.standard_normal((4, 8, 8, 2)).astype(np.float32), np.arange(4) % 5
    model.train_on_batch(x, y)
    model.train_on_batch(x, y)
    before = pyconv.memory_statistics()
    model.train_on_batch(x, y)
    assert pyconv.memory_statistics() == before


def test_outputs_survive_and_results_do_not_alias(rng):
    layer = layers.ReLU()
    first = layer(rng.standard_normal((2, 3)).astype(np.float32) + 5)
    kept = first.copy()
    layer(np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(first, kept)


def test_times_name_each_call():
    trace = Trace(training=False)
    layer = layers.ReLU(name="clip")
    x = trace.input("x", (2, 3))
    y = trace.apply(layer, x)
    plan = Plan(trace, {"y": y})
    plan["x"].numpy()[...] = -1
    ((op, name, seconds),) = plan.time()
    assert (op, name) == ("relu", "clip")
    assert seconds >= 0
    assert (plan["y"].numpy() == 0).all()


def test_first_not_finite_names_the_call(rng):
    model = Sequential(small_network())
    model.build((8, 8, 2))
    model.layers[7].kernel.assign(np.full(model.layers[7].kernel.shape, np.inf))
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = rng.standard_normal((2, 8, 8, 2)).astype(np.float32)
    with pytest.raises(
        FloatingPointError, match=r"layer dense gave the first value that is not finite \(in linear\)"
    ):
        model.train_on_batch(x, [0, 1])


def test_uint8_input_is_cast_where_no_layer_takes_it():
    model = Sequential([layers.ReLU()])
    x = np.arange(24, dtype=np.uint8).reshape(1, 4, 2, 3)
    np.testing.assert_array_equal(model.predict(x), x.astype(np.float32))


def test_plans_follow_the_backend(isa, rng):
    model = Sequential([layers.Conv2D(4, 3)])
    x = rng.standard_normal((2, 5, 5, 3)).astype(np.float32)
    y = model.predict(x)
    layer = model.layers[0]
    expected = pyconv.ops.conv2d(x, layer.kernel.numpy(), layer.bias.numpy())
    np.testing.assert_array_equal(y, expected)
    assert _core.backend() == isa
