import csv
import json

import numpy as np
import pytest

from pyconv import callbacks
from pyconv.optimizers import SGD


class FakeModel:
    """As much of a model as callbacks see."""

    def __init__(self, learning_rate=1.0):
        self.optimizer = SGD(learning_rate)
        self.stop_training = False
        self.weight = 0
        self.saved = []

    def get_weights(self):
        return [np.array([self.weight])]

    def set_weights(self, weights):
        self.weight = int(weights[0][0])

    def save(self, path):
        self.saved.append(path)

    def save_weights(self, path):
        self.saved.append("weights:" + path)


def fit(model, given, values, initial_epoch=0, steps=2):
    """A training whose epochs end with the losses `values`. Returns the epochs that ran."""
    hooks = callbacks.CallbackList(given, model, {"epochs": len(values), "steps": steps, "images": 8})
    hooks.on_train_begin()
    for epoch in range(initial_epoch, len(values)):
        hooks.on_epoch_begin(epoch)
        for batch in range(steps):
            hooks.on_train_batch_begin(batch)
            hooks.on_train_batch_end(batch, {"loss": values[epoch]})
        model.weight = epoch
        hooks.on_epoch_end(
            epoch, {"loss": values[epoch], "val_loss": values[epoch], "val_acc": -values[epoch]}
        )
        if model.stop_training:
            break
    hooks.on_train_end()
    return epoch + 1


def resumed(build, values, stop):
    """Train `stop` epochs, carry the states over as JSON, and go on with new callbacks."""
    model, first = FakeModel(), build()
    fit(model, first, values[:stop])
    states = json.dumps(callbacks.CallbackList(first).get_state())
    again = build()
    callbacks.CallbackList(again).set_state(json.loads(states))
    ran = fit(model, again, values, initial_epoch=stop)
    return model, again, ran


@pytest.mark.parametrize(
    ("options", "values", "epochs"),
    [
        ({}, [3, 2, 2, 1], 3),
        ({"patience": 2}, [3, 2, 2, 2.5, 1, 1], 4),
        ({"patience": 2}, [3, 2, 2, 1, 1, 1, 0], 6),
        ({"patience": 1, "min_delta": 0.5}, [3, 2, 1.6, 0], 3),
        ({"patience": 1, "min_delta": -0.5}, [3, 2, 1.6, 0], 3),
        ({"patience": 2, "baseline": 1.5}, [3, 2, 1.9, 1.8, 1.8], 5),
        ({"patience": 1, "baseline": 1.5}, [1, 1, 1], 2),
        ({"patience": 1, "start_from_epoch": 2}, [1, 1, 1, 1, 1], 4),
        ({"monitor": "val_acc"}, [3, 2, 1, 2, 0], 4),
        ({"monitor": "val_acc", "mode": "min"}, [3, 4, 3, 5], 3),
        ({"patience": 2}, [float("nan")] * 5, 2),
        ({"patience": 1}, [3, float("nan"), 2], 2),
    ],
)
def test_early_stopping(options, values, epochs):
    stopping = callbacks.EarlyStopping(**options)
    assert fit(FakeModel(), [stopping], values) == epochs


def test_early_stopping_restores_the_best_weights(capsys):
    model = FakeModel()
    fit(
        model, [callbacks.EarlyStopping(patience=2, restore_best_weights=True, verbose=1)], [3, 2, 1, 2, 3, 3]
    )
    assert model.weight == 2
    assert capsys.readouterr().err.splitlines() == [
        "Epoch 5: stopped early",
        "Epoch 3: restored the weights of this epoch, the best",
    ]


def test_a_callback_starts_anew_in_each_training():
    stopping = callbacks.EarlyStopping()
    assert fit(FakeModel(), [stopping], [1, 1, 1]) == 2
    assert fit(FakeModel(), [stopping], [5, 4, 3]) == 3


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_resumed_early_stopping(stop):
    values = [3, 2, 2.5, 2.5, 2.5, 2.5]
    _, _, ran = resumed(lambda: [callbacks.EarlyStopping(patience=3)], values, stop)
    assert ran == 5


def rates(options, values, learning_rate=1.0):
    model, seen = FakeModel(learning_rate), []
    watch = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.optimizer.learning_rate)
    )
    fit(model, [callbacks.ReduceLROnPlateau(**options), watch], values)
    return seen


def test_reduce_on_plateau():
    assert rates({"patience": 2, "factor": 0.5}, [3, 3, 3, 3, 3, 1, 1]) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert rates({"patience": 1, "factor": 0.5, "cooldown": 2}, [3] * 6) == [1, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert rates({"patience": 1, "factor": 0.5, "min_lr": 0.3}, [3] * 5) == [1, 0.5, 0.3, 0.3, 0.3]
    assert rates({"patience": 1, "factor": 0.5, "min_delta": 1}, [3, 2.5, 1, 0.5]) == [1, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resumed_reduce_on_plateau(stop):
    def build():
        return [callbacks.ReduceLROnPlateau(patience=2, factor=0.5, cooldown=1), callbacks.History()]

    values = [3.0] * 8
    model = FakeModel()
    history = build()[1]
    fit(model, [build()[0], history], values)
    again_model, (_, again), _ = resumed(build, values, stop)
    assert again_model.optimizer.learning_rate == model.optimizer.learning_rate == 0.125
    assert again.history == history.history
    assert again.epoch == list(range(8))


def test_model_checkpoint():
    def saved(filepath, values=(3, 2, 2.5, 1), **options):
        model = FakeModel()
        fit(model, [callbacks.ModelCheckpoint(filepath, **options)], values)
        return model.saved

    assert saved("m-{epoch:02d}-{val_loss:.1f}") == ["m-01-3.0", "m-02-2.0", "m-03-2.5", "m-04-1.0"]
    assert saved("{epoch}", save_best_only=True) == ["1", "2", "4"]
    assert saved("{epoch}", save_best_only=True, initial_value_threshold=2.2) == ["2", "4"]
    assert saved("{epoch}", save_best_only=True, mode="max") == ["1"]
    assert saved("{epoch}", save_weights_only=True, monitor="loss") == [f"weights:{i}" for i in (1, 2, 3, 4)]
    assert saved("{epoch}", save_freq=3) == ["2", "3"]


def test_resumed_model_checkpoint():
    def build():
        return [callbacks.ModelCheckpoint("{epoch}", save_best_only=True)]

    model, _, _ = resumed(build, [3, 2, 2.5, 1], 2)
    assert model.saved == ["1", "2", "4"]


def test_history():
    history = callbacks.History()
    fit(FakeModel(), [history], [3, 2])
    assert history.epoch == [0, 1]
    assert history.history == {"loss": [3, 2], "val_loss": [3, 2], "val_acc": [-3, -2]}


def test_csv_logger(tmp_path):
    path = tmp_path / "history.csv"
    fit(FakeModel(), [callbacks.CSVLogger(path)], [0.1, 2])
    fit(FakeModel(), [callbacks.CSVLogger(path)], [0.1 + 0.2, 2])
    fit(FakeModel(), [callbacks.CSVLogger(path, append=True)], [0, 0, 1], initial_epoch=2)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [float(row["val_loss"]) for row in rows] == [0.1 + 0.2, 2, 1]
    assert list(rows[0]) == ["epoch", "loss", "val_loss", "val_acc"]


def test_csv_logger_keeps_the_columns_of_the_header(tmp_path):
    path = tmp_path / "history.csv"
    logger = callbacks.CSVLogger(path, separator=";")
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 1, "accuracy": 0.5})
    logger.on_epoch_end(1, {"accuracy": 0.75, "extra": 3})
    assert path.read_text().splitlines() == ["epoch;loss;accuracy", "0;1;0.5", "1;NA;0.75"]


@pytest.mark.parametrize(
    "schedule",
    [
        lambda epoch: 0.5**epoch,
        lambda epoch, rate: rate * 0.5 if epoch else rate,
        lambda *given: 0.5 ** given[0],
    ],
)
def test_learning_rate_scheduler(schedule):
    history = callbacks.History()
    fit(FakeModel(), [callbacks.LearningRateScheduler(schedule), history], [1, 1, 1])
    assert history.history["learning_rate"] == [1, 0.5, 0.25]


def test_lambda_callback():
    calls = []

    def record(name):
        return lambda *arguments: calls.append((name, *arguments[:1]))

    names = [name for name in dir(callbacks.Callback) if name.startswith("on_")]
    fit(FakeModel(), [callbacks.LambdaCallback(**{name: record(name) for name in names})], [1], steps=1)
    assert [name for name, *_ in calls] == [
        "on_train_begin",
        "on_epoch_begin",
        "on_train_batch_begin",
        "on_train_batch_end",
        "on_epoch_end",
        "on_train_end",
    ]


def test_states_of_several_callbacks():
    given = [callbacks.EarlyStopping(), callbacks.ReduceLROnPlateau(), callbacks.EarlyStopping()]
    given[0].wait, given[2].wait = 1, 2
    states = callbacks.CallbackList(given).get_state()
    again = [
        callbacks.EarlyStopping(),
        callbacks.EarlyStopping(),
        callbacks.EarlyStopping(),
        callbacks.History(),
    ]
    callbacks.CallbackList(again).set_state(states)
    assert [callback.wait for callback in again[:3]] == [1, 2, 0]


def test_a_missing_monitor_is_named():
    with pytest.warns(
        UserWarning, match=r"\[EarlyStopping\] monitor is 'val_los', expected one of loss, val_loss"
    ):
        fit(FakeModel(), [callbacks.EarlyStopping(monitor="val_los")], [1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: callbacks.EarlyStopping(mode="least"),
            r"\[EarlyStopping\] mode is 'least', expected one of auto, min",
        ),
        (lambda: callbacks.ReduceLROnPlateau(factor=1.5), r"\[ReduceLROnPlateau\] factor is 1.5, expected"),
        (
            lambda: callbacks.ModelCheckpoint("x", save_freq=0),
            r"\[ModelCheckpoint\] save_freq is 0, expected",
        ),
    ],
)
def test_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()
