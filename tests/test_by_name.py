"""Parameter groups: several optimizers in one model, and one that takes whole parameters."""

import numpy as np
import pytest

from pyconv import Sequential, _core, layers, load_model, optimizers, regularizers, schedules
from pyconv.callbacks import LearningRateScheduler


def network():
    return Sequential(
        [
            layers.Conv2D(
                4, 3, activation="relu", kernel_regularizer=regularizers.L2(1e-3), input_shape=(8, 8, 3)
            ),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ],
        seed=2,
    )


@pytest.fixture
def data(rng):
    return rng.standard_normal((20, 8, 8, 3)).astype(np.float32), rng.integers(0, 4, 20)


def trained(optimizer, data, epochs=2):
    model = network()
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(*data, batch_size=8, epochs=epochs, verbose=0, seed=3)
    return model


def same(one, other):
    return [np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True)]


def test_one_rule_for_all_is_the_optimizer_itself(data):
    assert all(same(trained(optimizers.ByName({"*": optimizers.Adam()}), data), trained("adam", data)))
    two = {"*/kernel": optimizers.Adam(), "*": optimizers.Adam()}
    assert all(same(trained(optimizers.ByName(two), data), trained("adam", data)))


def test_each_parameter_follows_its_own_rule(data):
    """A rate of 0 keeps what its pattern names where it was; the rest trains."""
    still = {"dense/*": optimizers.SGD(0.0), "*": optimizers.SGD(0.1, momentum=0.9)}
    model, start = trained(optimizers.ByName(still), data), network()
    kept = dict(zip(model.network.named_parameters(), same(model, start), strict=True))
    assert {name for name, is_same in kept.items() if is_same} == {"dense/kernel", "dense/bias"}
    assert {slot for slot, _, _ in model.slot_arrays()} == {"velocity"}


def test_schedules_and_saving(data, tmp_path):
    def rules():
        falling = optimizers.SGD(schedules.CosineDecay(0.1, 12), 0.9)
        return optimizers.ByName([["*/kernel", falling], ["*", optimizers.Adam(0.01)]])

    whole = trained(rules(), data, epochs=4)
    model = trained(rules(), data)
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert [part.iterations for _, part in loaded.optimizer.rules] == [6, 6]
    assert loaded.optimizer.learning_rate == pytest.approx(schedules.CosineDecay(0.1, 12)(6))
    loaded.fit(*data, batch_size=8, epochs=4, initial_epoch=2, verbose=0, seed=3)
    assert all(same(loaded, whole))


class Normalized(optimizers.Optimizer):
    """Moves each parameter by its own gradient's direction: it has to see where one ends."""

    takes_whole_parameters = True

    def __init__(self, learning_rate=0.1):
        super().__init__(learning_rate)
        self.seen = []

    def hyper(self):
        return np.zeros(4, np.float32)

    def update(self, dweight, weight, slots, hyper, *, l2=0.0, guard=None):
        self.seen.append(tuple(weight.shape))
        _core.sgd(dweight, weight, None, hyper, l2=l2, guard=guard)


def test_an_optimizer_can_ask_for_whole_parameters(data):
    optimizer = Normalized()
    model = trained(optimizers.ByName({"*/kernel": optimizer, "*": optimizers.SGD()}), data, epochs=1)
    shapes = [p.shape for name, p in model.network.named_parameters().items() if name.endswith("kernel")]
    assert set(optimizer.seen) == set(shapes)


def test_errors(data):
    model = network()
    model.compile(optimizers.ByName({"*/kernel": "sgd"}), "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"\[ByName\] conv2d/bias matches no pattern"):
        model.fit(*data, verbose=0)
    adam = optimizers.Adam()
    for rules, message in (
        ({}, r"rules is .*, expected patterns of names with an optimizer each"),
        ({"": "sgd"}, "a pattern of rules is ''"),
        ([["*"]], "expected patterns"),
        ({"*": "lion"}, "an optimizer of rules is 'lion'"),
        ({"a": adam, "b": adam}, "one optimizer has two patterns"),
        ({"*": optimizers.ByName({"*": "sgd"})}, "rules has a ByName"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            optimizers.ByName(rules)
    grouped = optimizers.ByName({"*": "sgd"})
    with pytest.raises(TypeError, match="learning rate of its own"):
        grouped.learning_rate = 0.1
    model = network()
    model.compile(grouped, "sparse_categorical_crossentropy")
    with pytest.raises(TypeError, match="learning rate of its own"):
        model.fit(*data, verbose=0, callbacks=[LearningRateScheduler(lambda epoch, rate: 0.1)])
