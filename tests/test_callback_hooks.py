"""Callbacks in real trainings: every hook as Keras calls it, names checked before the first step."""

import csv
import functools

import numpy as np
import pytest

from pyconv import Sequential, callbacks, layers, optimizers, schedules
from pyconv.callbacks.base import HOOKS
from pyconv.regularizers import l2


@pytest.fixture
def data(rng):
    return rng.standard_normal((12, 8, 8, 3)).astype(np.float32), rng.integers(0, 4, 12)


def network(optimizer="sgd", **options):
    model = Sequential(
        [layers.Flatten(input_shape=(8, 8, 3)), layers.Dense(4, activation="softmax", **options)], seed=0
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


class Recorder(callbacks.Callback):
    """Writes down each call of a hook and what it was given."""

    def __init__(self):
        self.calls = []
        for name in HOOKS:
            if name not in ("on_batch_begin", "on_batch_end"):
                setattr(self, name, self._record(name))

    def _record(self, name):
        def hook(*given):
            assert isinstance(given[-1], dict)  # logs, always
            self.calls.append((name.removeprefix("on_"), *given[:-1], sorted(given[-1])))

        return hook


def test_all_hooks_with_logs(data):
    recorder = Recorder()
    model = network()
    model.fit(*data, batch_size=8, verbose=0, validation_data=data, callbacks=[recorder])
    logs = ["accuracy", "loss"]
    assert recorder.calls == [
        ("train_begin", []),
        ("epoch_begin", 0, []),
        ("train_batch_begin", 0, []),
        ("train_batch_end", 0, logs),
        ("train_batch_begin", 1, []),
        ("train_batch_end", 1, logs),
        ("test_begin", []),
        ("test_batch_begin", 0, []),
        ("test_batch_end", 0, logs),
        ("test_batch_begin", 1, []),
        ("test_batch_end", 1, logs),
        ("test_end", logs),
        ("epoch_end", 0, ["accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"]),
        ("train_end", ["accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"]),
    ]
    recorder.calls.clear()
    model.evaluate(*data, batch_size=8, callbacks=[recorder])
    assert [name for name, *_ in recorder.calls] == [
        "test_begin",
        *["test_batch_begin", "test_batch_end"] * 2,
        "test_end",
    ]
    recorder.calls.clear()
    model.predict(data[0], batch_size=8, callbacks=recorder)
    assert recorder.calls == [
        ("predict_begin", []),
        ("predict_batch_begin", 0, []),
        ("predict_batch_end", 0, ["outputs"]),
        ("predict_batch_begin", 1, []),
        ("predict_batch_end", 1, ["outputs"]),
        ("predict_end", []),
    ]


def test_the_short_names_of_batch_hooks(data):
    seen = []

    class Old(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append((batch, sorted(logs)))

    network().fit(*data, batch_size=8, verbose=0, callbacks=[Old()])
    assert seen == [(0, ["accuracy", "loss"]), (1, ["accuracy", "loss"])]


def test_evaluate_and_predict_in_a_hook(data):
    results = []

    class Probe(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            results.append(
                (self.model.evaluate(*data)[0], logs["val_loss"], self.model.predict(data[0]).shape)
            )

    history = network().fit(*data, verbose=0, epochs=2, validation_data=data, callbacks=[Probe()]).history
    assert [(val, val, (12, 4)) for val in history["val_loss"]] == results


def test_logs_that_a_callback_adds(data):
    """They reach the history and the monitors after it; a file name may hold them."""
    adds = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(score=float(epoch)))
    stop = callbacks.EarlyStopping("score", patience=0, mode="min")
    history = network().fit(*data, epochs=9, verbose=0, callbacks=[adds, stop]).history
    assert history["score"] == [0.0, 1.0]


def test_files_and_folders(data, tmp_path):
    folder = tmp_path / "new" / "folder"
    given = [
        callbacks.ModelCheckpoint(folder / "{epoch}" / "w-{val_accuracy:.2f}.safetensors"),
        callbacks.CSVLogger(folder / "logs" / "h.csv"),
    ]
    network().fit(*data, epochs=2, verbose=0, validation_data=data, callbacks=given)
    assert len(list(folder.glob("[12]/w-0.*.safetensors"))) == 2
    assert (folder / "logs" / "h.csv").is_file()


def test_a_csv_file_has_a_column_for_a_validation_that_comes_later(data, tmp_path):
    logger = callbacks.CSVLogger(tmp_path / "h.csv")
    model = network(kernel_regularizer=l2(0.1))
    model.fit(*data, epochs=2, verbose=0, validation_data=data, validation_freq=2, callbacks=[logger])
    with open(tmp_path / "h.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == [
        *("epoch", "loss", "data_loss", "accuracy"),
        *("val_loss", "val_data_loss", "val_accuracy", "learning_rate"),
    ]
    assert first["val_loss"] == "NA"
    assert float(second["val_loss"]) > 0


def test_a_monitor_waits_for_validations_that_are_not_due(data):
    stop = callbacks.EarlyStopping("val_loss", patience=1, min_delta=100)
    history = network().fit(
        *data, epochs=9, verbose=0, validation_data=data, validation_freq=2, callbacks=[stop]
    )
    assert len(history.epoch) == 4  # the second epoch is the first to validate, the fourth no better


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: callbacks.EarlyStopping(),
            r"monitor is 'val_loss', expected one of loss, .* needs validation_data",
        ),
        (
            lambda: callbacks.EarlyStopping("acc"),
            "monitor is 'acc', expected one of loss, accuracy, learning_rate",
        ),
        (lambda: callbacks.ReduceLROnPlateau("los"), r"\[ReduceLROnPlateau\] monitor is 'los'"),
        (lambda: callbacks.ModelCheckpoint("w.safetensors", save_best_only=True), "monitor is 'val_loss'"),
        (lambda: callbacks.ModelCheckpoint("w-{val_acc}.safetensors"), r"filepath is .* it names 'val_acc'"),
        (lambda: callbacks.ModelCheckpoint("w-{}.safetensors"), "cannot be formatted"),
        (lambda: callbacks.ModelCheckpoint("w-{epoch:q}.safetensors"), "cannot be formatted"),
        (lambda: callbacks.ModelCheckpoint("w-{loss.x}.safetensors"), "cannot be formatted"),
        (lambda: callbacks.ModelCheckpoint("w-{val_loss}.safetensors", save_freq=1), "it names 'val_loss'"),
        (lambda: callbacks.ModelCheckpoint("w.h5"), r"w.h5 ends in '.h5', expected .safetensors"),
        (lambda: callbacks.ModelCheckpoint("w"), "expected .safetensors"),
    ],
)
def test_names_are_checked_before_training(data, build, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        model.fit(*data, verbose=0, callbacks=[build()])
    assert model.optimizer.iterations == 0


@pytest.mark.parametrize(
    "build",
    [lambda: callbacks.LearningRateScheduler(lambda e: 0.1), lambda: callbacks.ReduceLROnPlateau("loss")],
)
def test_a_schedule_and_a_callback_that_sets_the_rate(data, build):
    model = network(optimizers.SGD(schedules.CosineDecay(0.1, 10)))
    with pytest.raises(TypeError, match=r"\] learning_rate follows CosineDecay"):
        model.fit(*data, verbose=0, callbacks=[build()])
    assert model.optimizer.iterations == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: callbacks.LambdaCallback(on_epoch_finish=print), "there is no hook 'on_epoch_finish'"),
        (lambda: callbacks.LambdaCallback(on_epoch_end=3), "on_epoch_end is 3, expected a function"),
        (lambda: callbacks.EarlyStopping(patience=1.5), r"\[EarlyStopping\] patience is 1.5"),
        (lambda: callbacks.EarlyStopping(patience=-1), r"\[EarlyStopping\] patience is -1"),
        (lambda: callbacks.EarlyStopping(monitor=3), r"\[EarlyStopping\] monitor is 3"),
        (lambda: callbacks.EarlyStopping(min_delta="a"), r"\[EarlyStopping\] min_delta is 'a'"),
        (lambda: callbacks.EarlyStopping(verbose=5), r"\[EarlyStopping\] verbose is 5"),
        (lambda: callbacks.EarlyStopping(restore_best_weights="yes"), "restore_best_weights is 'yes'"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1), "factor is 1, expected a number in"),
        (lambda: callbacks.ReduceLROnPlateau(min_lr=-1), "min_lr is -1"),
        (lambda: callbacks.ReduceLROnPlateau(cooldown=0.5), "cooldown is 0.5"),
        (lambda: callbacks.ModelCheckpoint(None), r"\[ModelCheckpoint\] filepath is None, expected a path"),
        (lambda: callbacks.ModelCheckpoint("a", save_freq=True), "save_freq is True"),
        (lambda: callbacks.ModelCheckpoint("a", initial_value_threshold=1), "needs save_best_only=True"),
        (lambda: callbacks.CSVLogger(""), r"\[CSVLogger\] filename is '', expected a path"),
        (lambda: callbacks.CSVLogger("a", separator="; "), r"\[CSVLogger\] separator is '; '"),
        (lambda: callbacks.LearningRateScheduler(0.1), r"schedule is 0.1, expected a function"),
    ],
)
def test_arguments_are_checked(build, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build()


def test_a_scheduler_that_gives_no_rate(data):
    for rate in ("a", None, float("nan"), -1):
        scheduler = callbacks.LearningRateScheduler(functools.partial(lambda rate, epoch: rate, rate))
        with pytest.raises(
            (TypeError, ValueError), match=r"\[LearningRateScheduler\] the schedule's rate is"
        ):
            network().fit(*data, verbose=0, callbacks=[scheduler])


def test_attributes_are_checked_and_honoured():
    stop = callbacks.EarlyStopping("loss")
    stop.mode = "max"
    assert stop._sign == 1
    stop.mode, stop.monitor = "auto", "val_accuracy"
    assert stop._sign == 1
    for callback, name, value in (
        (stop, "patience", "x"),
        (stop, "patince", 3),
        (callbacks.ReduceLROnPlateau(), "factor", 5),
        (callbacks.ModelCheckpoint("a.safetensors"), "save_freq", 0),
        (callbacks.CSVLogger("a.csv"), "separator", "||"),
        (callbacks.LearningRateScheduler(lambda epoch: 0.1), "schedule", 3),
    ):
        with pytest.raises((AttributeError, TypeError, ValueError), match=rf"^\[{type(callback).__name__}\]"):
            setattr(callback, name, value)


def test_a_schedule_that_is_replaced_takes_the_rate(data):
    scheduler = callbacks.LearningRateScheduler(lambda epoch: 0.1)
    scheduler.schedule = lambda epoch, rate: rate / 2
    model = network()
    model.fit(*data, epochs=2, verbose=0, callbacks=[scheduler])
    assert model.optimizer.learning_rate == pytest.approx(0.01 / 4)


def test_a_direction_that_nobody_knows_is_asked_for(data):
    adds = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(f1=0.1 * epoch))
    with pytest.raises(ValueError, match=r"\[EarlyStopping\] mode is 'auto', expected min or max"):
        network().fit(*data, verbose=0, callbacks=[adds, callbacks.EarlyStopping("f1")])
    stop = callbacks.EarlyStopping("f1", mode="max")
    assert len(network().fit(*data, epochs=4, verbose=0, callbacks=[adds, stop]).epoch) == 4


def test_a_callback_may_have_methods_of_any_name(data):
    class Mine(callbacks.Callback):
        check = reset = close = watches = continue_training = 3

        def on_epoch_end(self, epoch, logs=None):
            self.seen = self.params["verbose"], self.check

    mine = Mine()
    network().fit(*data, verbose=0, callbacks=[mine])
    assert mine.seen == (0, 3)


def test_a_refused_resume_leaves_no_state_behind(data):
    stop = callbacks.EarlyStopping("loss", patience=2)
    model = network(optimizers.SGD(0.0))
    assert len(model.fit(*data, epochs=9, verbose=0, callbacks=[stop]).epoch) == 3
    bad = callbacks.ModelCheckpoint("w-{foo}.safetensors")
    with pytest.raises(ValueError, match="names 'foo'"):
        model.fit(*data, epochs=9, verbose=0, callbacks=[stop, bad], resume=True)
    assert len(model.fit(*data, epochs=9, verbose=0, callbacks=[stop]).epoch) == 3
    assert len(model.fit(*data, epochs=9, verbose=0, callbacks=[stop], resume=True).epoch) == 3


def test_validation_that_never_comes_due(data):
    with pytest.raises(ValueError, match="validation_freq is 10, expected one that comes due in epochs"):
        network().fit(*data, epochs=5, verbose=0, validation_data=data, validation_freq=10)


def test_a_file_name_of_a_validation_that_is_not_always_there(data, tmp_path):
    path = tmp_path / "w-{val_loss:.2f}.safetensors"
    with pytest.raises(ValueError, match="it names 'val_loss'"):
        network().fit(
            *data,
            epochs=2,
            verbose=0,
            validation_data=data,
            validation_freq=2,
            callbacks=[callbacks.ModelCheckpoint(path)],
        )
    best = callbacks.ModelCheckpoint(path, save_best_only=True)
    network().fit(*data, epochs=2, verbose=0, validation_data=data, validation_freq=2, callbacks=[best])
    assert len(list(tmp_path.iterdir())) == 1


def test_logs_that_are_no_numbers(data):
    adds = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(matrix=np.eye(3)))
    network().fit(*data, verbose=2, callbacks=[adds])
    with pytest.raises(TypeError, match=r"\[EarlyStopping\] matrix is an array"):
        network().fit(*data, verbose=0, callbacks=[adds, callbacks.EarlyStopping("matrix", mode="min")])
