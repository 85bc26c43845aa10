"""Threads take turns: prediction and evaluation go between the steps of a training."""

import threading

import numpy as np
import pytest

from pyconv import Sequential, layers
from pyconv.callbacks import Callback
from pyconv.engine.turns import Turns

PATIENCE = 60  # seconds until a deadlock is one


@pytest.fixture
def data(rng):
    return rng.standard_normal((64, 8, 8, 3)).astype(np.float32), rng.integers(0, 4, 64)


def network(seed=0):
    model = Sequential(
        [
            layers.Conv2D(8, 3, activation="relu", input_shape=(8, 8, 3)),
            layers.Flatten(),
            layers.Dense(4, "softmax"),
        ],
        seed=seed,
    )
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def test_a_lock_is_taken_in_the_order_of_asking():
    turns, order, threads = Turns(), [], []

    def take(name):
        with turns:
            order.append(name)

    with turns, turns:  # reentrant
        for name in range(5):
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            while len(turns._waiting) < name + 1:
                pass
    for thread in threads:
        thread.join(PATIENCE)
    assert order == list(range(5))


def test_a_thread_that_gives_up_waiting_is_no_obstacle(monkeypatch):
    turns = Turns()
    real = threading.Lock

    class Interrupted:
        """A lock whose second `acquire` is cut short by Ctrl-C."""

        def __init__(self):
            self.lock, self.calls = real(), 0

        def acquire(self):
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return self.lock.acquire()

        def release(self):
            self.lock.release()

    def wait():
        monkeypatch.setattr(threading, "Lock", Interrupted)
        with pytest.raises(KeyboardInterrupt), turns:
            pass

    with turns:
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(PATIENCE)
        assert not turns._waiting
    with turns:
        pass


class Interplay(Callback):
    """Holds the training after its third step until the other thread has had its answer."""

    def __init__(self, work):
        self.work, self.results = work, []

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            thread = threading.Thread(target=lambda: self.results.append(self.work(self.model)))
            thread.start()
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the other thread waits for the whole training"


@pytest.mark.parametrize(
    "work",
    [
        lambda m, x, y: m.predict(x),
        lambda m, x, y: m(x),
        lambda m, x, y: m.evaluate(x, y),
        lambda m, x, y: m.get_weights()[0],
        lambda m, x, y: m.save_weights("w.safetensors"),
    ],
    ids=["predict", "call", "evaluate", "weights", "save"],
)
def test_other_threads_go_between_the_steps_and_change_no_bit(data, work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = data
    interplay = Interplay(lambda model: work(model, x, y))
    options = {"batch_size": 8, "epochs": 2, "verbose": 0, "validation_data": data}
    model, alone = network(), network()
    history = model.fit(x, y, callbacks=[interplay], **options).history
    assert history == alone.fit(x, y, **options).history
    assert len(interplay.results) == 2
    for a, b in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_at_will(data):
    """Predictions, evaluations and a second training beside a training, all at once."""
    x, y = data
    model, done, errors = network(), threading.Event(), []

    def run(work):
        try:
            while not done.is_set():
                work()
        except Exception as error:
            errors.append(error)

    jobs = [lambda: model.predict(x[:5]), lambda: model.evaluate(x, y), lambda: model.train_on_batch(x, y)]
    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    history = model.fit(x, y, batch_size=4, epochs=5, verbose=0, validation_data=data)
    done.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not errors
    assert len(history.epoch) == 5
    assert np.isfinite(history.history["val_loss"]).all()


def test_the_first_predictions_of_several_threads(data):
    for _ in range(20):
        model = Sequential([layers.Flatten(), layers.Dense(5)])
        threads = [threading.Thread(target=lambda m=model: m.predict(data[0][:3])) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(model.weights) == 2


def test_an_evaluation_goes_beside_another(data):
    x, y = data
    model, inside = network(), []

    class Probe(Callback):
        def on_test_batch_end(self, batch, logs=None):
            if not inside:
                inside.append(None)
                thread = threading.Thread(target=lambda: inside.append(model.evaluate(x, y)))
                thread.start()
                thread.join(PATIENCE)

    whole = model.evaluate(x, y, batch_size=8, callbacks=[Probe()])
    assert inside[1] == pytest.approx(whole, rel=1e-5)
