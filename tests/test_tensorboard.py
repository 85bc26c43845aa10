"""What TensorBoard would read."""

import struct
import sys

import numpy as np
import pytest

from pyconv import Sequential, callbacks, cli, layers, train
from pyconv.callbacks.tensorboard import kernel_images

pytest.importorskip("tensorboardX", reason="the extra tensorboard is not installed")


def events(folder):
    """Return {tag: [(step, kind of value, value)]} of a folder's files, records of length, CRC, data, CRC."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for file in sorted(folder.iterdir()):
        data, place = file.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            place += 16 + length
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                found.setdefault(value.tag, []).append((event.step, kind, getattr(value, kind)))
    return found


@pytest.fixture
def trained(rng, tmp_path):
    model = Sequential(
        [layers.Conv2D(4, 3, input_shape=(6, 6, 3)), layers.Flatten(), layers.Dense(3, "softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    x, y = rng.standard_normal((20, 6, 6, 3)).astype(np.float32), rng.integers(0, 3, 20)

    def fit(**options):
        board = callbacks.TensorBoard(tmp_path / "logs", **options)
        history = model.fit(
            x, y, batch_size=5, epochs=3, verbose=0, validation_data=(x, y), callbacks=[board]
        )
        return history.history

    return model, fit, tmp_path / "logs"


def test_scalars(trained):
    _, fit, folder = trained
    history = fit()
    for where, prefix in (("train", ""), ("validation", "val_")):
        found = events(folder / where)
        for name in ("loss", "accuracy"):
            steps, kinds, values = zip(*found[f"epoch_{name}"], strict=True)
            assert steps == (0, 1, 2)
            assert set(kinds) == {"simple_value"}
            np.testing.assert_allclose(values, history[prefix + name], rtol=1e-6)
    assert [value for _, _, value in events(folder / "train")["epoch_learning_rate"]] == pytest.approx(
        [0.01] * 3
    )


@pytest.mark.parametrize(("update_freq", "steps"), [("batch", range(1, 13)), (5, (5, 10))])
def test_scalars_of_batches(trained, update_freq, steps):
    _, fit, folder = trained
    fit(update_freq=update_freq)
    assert [step for step, *_ in events(folder / "train")["batch_loss"]] == list(steps)


def test_histograms_and_kernels(trained):
    model, fit, folder = trained
    fit(histogram_freq=2, write_images=True)
    found = events(folder / "train")
    for name, parameter in model.network.named_parameters().items():
        (first, kind, _), (second, _, last) = found[name]
        assert (first, second, kind) == (0, 2, "histo")
        assert last.num == parameter.size
        assert last.max == pytest.approx(parameter.numpy().max())
    assert [(step, kind) for step, kind, _ in found["conv2d/kernel_images"]] == [(0, "image"), (2, "image")]


def test_kernels_as_images(rng):
    colours, grey = (
        kernel_images(rng.standard_normal((3, 3, 3, 5))),
        kernel_images(rng.standard_normal((3, 3, 8, 99))),
    )
    assert (colours.shape, grey.shape) == ((5, 3, 3, 3), (64, 3, 3, 1))
    assert (colours.min(), colours.max()) == (0, 1)
    assert (kernel_images(np.zeros((3, 3, 1, 2))) == 0).all()


def test_the_command_lines_option(tmp_path, monkeypatch, capsys):
    from pyconv.datasets import shapes

    whole = shapes.load_data(train=64, test=32)
    monkeypatch.setattr(shapes, "load_data", lambda: whole)
    run = tmp_path / "run"
    argv = ["--dataset", "shapes", "--epochs", "1", "--run-dir", str(run), "--tensorboard"]
    assert cli.run(train.main, argv) == 0
    assert "epoch_accuracy" in events(run / "tensorboard" / "validation")
    assert cli.run(train.main, ["--resume", str(run), "--epochs", "2", "--tensorboard"]) == 0
    assert [step for step, *_ in events(run / "tensorboard" / "train")["epoch_loss"]] == [0, 1]


def test_errors(monkeypatch):
    with pytest.raises(ValueError, match=r"^\[TensorBoard\] update_freq is 0"):
        callbacks.TensorBoard(update_freq=0)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'pyconv\[tensorboard\]'"):
        callbacks.TensorBoard()
