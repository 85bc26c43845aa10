"""What may be set on an object once it is made: what nothing reads is refused."""

import abc
import copy
import dataclasses
import inspect
import pickle

import numpy as np
import pytest

from pyconv import Augmentation, Sequential, initializers, layers, losses, optimizers, regularizers, schedules
from pyconv.attributes import Guarded
from pyconv.layers import Layer


def built(layer, shape=(4,)):
    layer.ensure_built(shape)
    return layer


REFUSED = [
    (
        lambda: optimizers.Adam(),
        "lr",
        0.1,
        r"\[Adam\] there is no attribute lr to set: did you mean learning_rate\?",
    ),
    (lambda: optimizers.Adam(), "learning_rat", 0.1, r"did you mean learning_rate\?"),
    (lambda: optimizers.Adam(), "beta1", 0.1, r"did you mean beta_1\?"),
    (
        lambda: optimizers.Adam(),
        "decay",
        0.1,
        "there is no attribute decay to set; there are beta_1, beta_2, eps",
    ),
    (
        lambda: optimizers.Adam(),
        "slots",
        (),
        r"\[Adam\] slots is read when the object is made: make a new Adam",
    ),
    (lambda: optimizers.SGD(0.1), "nesterov", True, r"\[SGD\] nesterov is read when the object is made"),
    (lambda: layers.Dense(3), "trainabel", False, r"\[Dense\] there is no attribute trainabel.*trainable\?"),
    (
        lambda: layers.Dense(3),
        "units",
        4,
        r"\[Dense\] units is read when the object is made: make a new Dense",
    ),
    (lambda: built(layers.Dense(3)), "kernel_regularizer", regularizers.L2(), "kernel_regularizer is read"),
    (lambda: built(layers.Dense(3)), "kernel", np.ones((4, 3)), r"write to it with kernel.assign"),
    (lambda: built(layers.Dense(3)), "input_shape", (5,), r"\[Dense\] input_shape is read"),
    (lambda: built(layers.Dense(3)), "weights", [], r"\[Dense\] weights can only be read"),
    (lambda: built(layers.Dense(3, name="a")), "name", "b", r"\[a\] name cannot change: the layer is built"),
    (lambda: layers.Dropout(0.5), "rate", 0.3, r"\[Dropout\] rate is read when the object is made"),
    (lambda: built(layers.BatchNormalization()), "momentum", 0.9, r"\[BatchNormalization\] momentum is read"),
    (lambda: layers.Normalization(1, 2), "mean", 3, r"\[Normalization\] mean is read"),
    (lambda: layers.Flatten(), "kernel_regularizer", None, "there is no attribute kernel_regularizer"),
    (lambda: built(layers.Dense(3)).kernel, "trainable", False, r"\[Parameter\] trainable is read when"),
    (lambda: built(layers.Dense(3)).kernel, "value", 0, r"\[Parameter\] there is no attribute value"),
    (lambda: losses.CategoricalCrossentropy(), "label_smothing", 0.1, r"did you mean label_smoothing\?"),
    (lambda: losses.CategoricalCrossentropy(), "label_smoothing", 0.1, "label_smoothing is read when"),
    (lambda: losses.SparseCategoricalCrossentropy(), "label_smoothing", 0.1, "label_smoothing is read when"),
    (lambda: schedules.CosineDecay(0.1, 9), "decay_step", 7, r"did you mean decay_steps\?"),
    (lambda: schedules.CosineDecay(0.1, 9), "decay_steps", 7, "decay_steps is read"),
    (lambda: initializers.Constant(1), "value", 2, "value is read"),
    (lambda: regularizers.L2(1), "l2", 2, "l2 is read"),
    (lambda: Augmentation(), "rotation_range", 2, "rotation_range is read"),
    (lambda: Augmentation(), "zoom_range", 2, "there is no attribute zoom_range"),
    (lambda: Sequential([layers.Dense(3)]), "stop_trainin", True, r"did you mean stop_training\?"),
]


@pytest.mark.parametrize(
    ("make", "name", "value", "message"),
    REFUSED,
    ids=[f"{name}-{i}" for i, (_, name, *_) in enumerate(REFUSED)],
)
def test_what_nothing_reads_is_refused(make, name, value, message):
    thing = make()
    with pytest.raises(AttributeError, match=message):
        setattr(thing, name, value)
    for twin in (copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))) if name != "stop_trainin" else ():
        with pytest.raises(AttributeError, match=message):
            setattr(twin, name, value)


@pytest.mark.parametrize(
    ("thing", "name", "value", "kind", "message"),
    [
        (
            optimizers.Adam(),
            "learning_rate",
            "0.1",
            TypeError,
            r"\[Adam\] learning_rate is '0.1', expected a num",
        ),
        (optimizers.Adam(), "learning_rate", lambda step: 0.1, TypeError, "or a LearningRateSchedule"),
        (optimizers.Adam(), "learning_rate", float("nan"), ValueError, "learning_rate is nan"),
        (optimizers.Adam(), "beta_1", 1, ValueError, r"\[Adam\] beta_1 is 1, expected a number in \[0, 1\)"),
        (optimizers.Adam(), "iterations", 2.5, TypeError, r"\[Adam\] iterations is 2.5, expected an integer"),
        (optimizers.SGD(0.1), "momentum", 0.9, ValueError, r"\[SGD\] momentum is 0.0 and cannot become 0.9"),
        (
            layers.Dense(3),
            "trainable",
            "no",
            TypeError,
            r"\[Dense\] trainable is 'no', expected True or False",
        ),
        (
            layers.Dense(3),
            "trainable",
            None,
            TypeError,
            r"\[Dense\] trainable is None, expected True or False",
        ),
        (
            layers.Dense(3),
            "name",
            "a/b",
            ValueError,
            r"\[Dense\] name is 'a/b', expected text without a slash",
        ),
    ],
)
def test_what_can_be_set_is_checked(thing, name, value, kind, message):
    before = getattr(thing, name)
    with pytest.raises(kind, match=message):
        setattr(thing, name, value)
    assert getattr(thing, name) == before


def test_what_is_read_later_can_be_set():
    adam, sgd, layer = optimizers.Adam(), optimizers.SGD(0.1, momentum=0.9), layers.Dense(3)
    adam.learning_rate, adam.beta_1, adam.epsilon, adam.iterations = 0.5, 0.5, 1e-3, 3
    np.testing.assert_allclose(adam.hyper()[1:], np.array([0.5, 0.999, 1e-3], np.float32))
    sgd.momentum = 0.5
    assert sgd.hyper()[1] == 0.5
    layer.name = "mine"
    layer.trainable = np.False_
    layer._note = "private"
    assert (layer.name, layer.trainable, layer.trainable_parameters) == ("mine", False, [])


def test_classes_of_others():
    class Scale(Layer):
        def __init__(self, factor, name=None):
            self.early = 1
            super().__init__(name)
            self.factor = factor

        def build(self, input_shape):
            self.gain = self.add_weight("gain", input_shape, "ones")

        def trace(self, trace, x):
            gain = trace.constant(np.full(x.shape[-1:], self.factor, np.float32))
            zeros, ones = (trace.constant(np.full(x.shape[-1:], v, np.float32)) for v in (0, 1))
            y = trace.buffer(x.shape)
            statistics = {"mean": zeros, "variance": ones, "epsilon": 0.0}
            trace.call("batch_norm_inference", x=x, gamma=gain, beta=None, **statistics, y=y)
            return y

    layer, x = Scale(2.0), np.ones((1, 3), np.float32)
    assert layer(x)[0, 0] == 2
    layer.factor, layer.early, layer.quite_new, layer.names, layer._cache = 3.0, 2, 1, [], {}
    assert layer(x)[0, 0] == 3  # not what a plan remembers
    with pytest.raises(AttributeError, match=r"\[Scale\] there is no attribute trainabel.*trainable\?"):
        layer.trainabel = False
    with pytest.raises(AttributeError, match=r"write to it with gain.assign"):
        layer.gain = np.ones(3)
    with pytest.raises(TypeError, match=r"\[Scale\] missing a required argument: 'factor'"):
        Scale()

    class Mine(layers.Dropout):
        pass

    with pytest.raises(AttributeError, match=r"\[Mine\] rate is read when the object is made"):
        Mine(0.5).rate = 0.2

    class Decay(schedules.LearningRateSchedule, abc.ABC):
        def __call__(self, step):
            self.seen = step
            return 0.5

    adam = optimizers.Adam(Decay())
    assert adam.learning_rate == 0.5

    @dataclasses.dataclass
    class Half(schedules.LearningRateSchedule):
        start: float = 1.0

        def __call__(self, step):
            return self.start / 2 if step < 2 else -1

    half = Half()
    half.start = 3.0
    adam = optimizers.Adam(half)
    assert adam.learning_rate == 1.5
    adam.iterations = 2
    with pytest.raises(
        ValueError, match=r"\[Half\] the rate at step 2 is -1, expected a number of at least 0"
    ):
        _ = adam.learning_rate

    class Signs(optimizers.Optimizer):
        def __init__(self, learning_rate=0.1, factor=1):
            super().__init__(learning_rate)
            self.factor = factor

        def hyper(self):
            self.asked = True
            return np.zeros(4, np.float32)

    signs = Signs()
    signs.hyper()
    signs.factor = 2
    with pytest.raises(
        AttributeError, match=r"\[Signs\] there is no attribute lr to set: did you mean learning"
    ):
        signs.lr = 2


def test_constructors_name_wrong_arguments():
    with pytest.raises(
        TypeError, match=r"\[Conv2D\] got an unexpected keyword argument 'stride' .*strides\?"
    ):
        layers.Conv2D(4, 3, stride=2)
    with pytest.raises(
        TypeError, match=r"\[ReLU\] got an unexpected keyword argument 'max_value'; it takes name"
    ):
        layers.ReLU(max_value=6)
    with pytest.raises(TypeError, match=r"\[Zeros\] too many positional arguments; it takes nothing"):
        initializers.Zeros(1)
    with pytest.raises(
        TypeError, match=r"\[Adam\] got an unexpected keyword argument 'lr' .*learning_rate\?"
    ):
        optimizers.Adam(lr=0.1)
    assert list(inspect.signature(layers.Dropout).parameters) == ["rate", "name"]


def test_guarded_alone():
    class Thing(Guarded):
        model = None

        def __init__(self):
            self.level = 1

    thing = Thing()
    thing.level, thing.model = 2, 3
    with pytest.raises(
        AttributeError, match=r"\[Thing\] there is no attribute levle to set: did you mean level\?"
    ):
        thing.levle = 3
    thing.__init__()
    assert thing.level == 1


@pytest.mark.parametrize(
    "thing",
    [
        built(layers.Conv2D(4, 3, activation="relu"), (5, 5, 2)),
        built(layers.Residual([layers.Conv2D(2, 3, padding="same")]), (5, 5, 2)),
        layers.BatchNormalization(),
    ],
)
def test_layers_copy_and_pickle(thing, rng):
    x = rng.standard_normal((2, 5, 5, 2)).astype(np.float32)
    y = thing(x)
    for twin in (copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        np.testing.assert_array_equal(twin(x), y)
        before = thing.get_weights()
        twin.set_weights([w + 1 for w in before])
        assert all(np.array_equal(a, b) for a, b in zip(before, thing.get_weights(), strict=True))


@pytest.mark.parametrize(
    "thing",
    [optimizers.SGD(schedules.OneCycle(0.1, 9), 0.9), losses.CategoricalCrossentropy(label_smoothing=0.1)],
)
def test_the_rest_copies_and_pickles(thing):
    for twin in (copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        assert repr(twin) == repr(thing)
