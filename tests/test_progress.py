import fcntl
import io
import os
import pty
import struct
import sys
import termios
import threading
import tty
import types

import pytest

from pyconv import progress
from pyconv.callbacks import CallbackList
from pyconv.progress import Progress, clock

LOGS = {"loss": 1.25, "data_loss": 1.0, "accuracy": 0.5}


class Clock:
    """Time that passes as told."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.now)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def time(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def terminal(monkeypatch):
    for name in ("CI", "TERM"):
        monkeypatch.delenv(name, raising=False)

    def use():  # in the test itself: pytest puts its own stderr back after the fixtures
        monkeypatch.setattr(sys, "stderr", Terminal())
        return sys.stderr

    return use


def train(hooks, time, epochs=2, steps=4, seconds=1.0, first=(0, 0)):
    epoch, step = first
    hooks.on_train_begin()
    for epoch in range(first[0], epochs):
        if step == 0:
            hooks.on_epoch_begin(epoch)
        for batch in range(step, steps):
            hooks.on_train_batch_begin(batch)
            time.now += seconds
            hooks.on_train_batch_end(batch, LOGS)
        step = 0
        time.now += 2  # validation
        hooks.on_epoch_end(epoch, {**LOGS, "val_loss": 2.0, "val_data_loss": 1.5, "learning_rate": 0.001})
    hooks._close()


def hooks(verbose="auto", **params):
    return CallbackList([Progress(verbose)], None, {"epochs": 2, "steps": 4, "images": 1000, **params})


def test_a_line_for_each_epoch(time, capsys):
    train(hooks(), time)
    assert capsys.readouterr() == (
        "",
        "Epoch 1/2: loss 1.2500, accuracy 0.5000, val_loss 2.0000, 250 images/s, 0:06 left\n"
        "Epoch 2/2: loss 1.2500, accuracy 0.5000, val_loss 2.0000, 250 images/s, 0:12 in all\n",
    )


def test_a_line_every_thirty_seconds_within_an_epoch(time, capsys):
    train(hooks(), time, epochs=1, seconds=20.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Epoch 1/2, 50%: loss 1.2500, accuracy 0.5000, 12 images/s, 2:00 left"
    assert [line.split(":")[0] for line in lines] == ["Epoch 1/2, 50%", "Epoch 1/2, 100%", "Epoch 1/2"]


def test_resumed_within_an_epoch(time, capsys):
    train(hooks(initial_epoch=1), time, first=(1, 2))
    assert "Epoch 2/2: loss 1.2500, accuracy 0.5000, val_loss 2.0000, 250 images/s" in capsys.readouterr().err


def test_resumed_after_the_last_step_of_an_epoch(time, capsys):
    train(hooks(initial_epoch=1), time, first=(1, 4))
    assert capsys.readouterr().err.startswith("Epoch 2/2: loss 1.2500")


def test_unknown_numbers_of_steps_and_images(time, capsys):
    train(hooks(steps=None, images=None), time, epochs=1, seconds=40.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "Epoch 1/2, step 2: loss 1.2500, accuracy 0.5000, 0.0 steps/s"
    assert lines[-1] == "Epoch 1/2: loss 1.2500, accuracy 0.5000, val_loss 2.0000, 0.0 steps/s"


def test_a_bar_on_a_terminal(time, terminal, capsys):
    stderr = terminal()
    train(hooks(), time)
    assert capsys.readouterr().out == ""
    lines = stderr.getvalue().strip().split("\n")
    assert len(lines) == 2
    assert lines[0].split("\r")[-1].startswith("Epoch 1/2 100%|")
    assert lines[1].endswith("| loss 1.2500, accuracy 0.5000, val_loss 2.0000, 250 images/s, 0:12 in all")
    assert "\x1b[3" not in stderr.getvalue()  # no colours


def test_a_training_that_stops_within_an_epoch_ends_its_bar(terminal, time):
    stderr, shown = terminal(), hooks()
    shown.on_train_begin()
    shown.on_epoch_begin(0)
    shown.on_train_batch_begin(0)
    shown.on_train_batch_end(0, LOGS)
    shown._close()
    assert stderr.getvalue().endswith("\n")


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_lines_on_a_terminal_that_cannot_redraw(time, terminal, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    stderr = terminal()
    train(hooks(), time)
    assert "\r" not in stderr.getvalue()


def test_verbose_2_asks_for_lines(time, terminal):
    stderr = terminal()
    train(hooks(verbose=2), time)
    assert "\r" not in stderr.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0:00"), (7.4, "0:07"), (754, "12:34"), (3723, "1:02:03")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.fixture
def pseudo_terminal(monkeypatch):
    """A terminal of a number of columns as stderr, and what was written to it."""
    for name in ("CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    file = os.fdopen(theirs, "w", encoding="utf-8")

    def use(columns):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        monkeypatch.setattr(sys, "stderr", file)

    def written():
        text = b""
        while not text.endswith(b"\n"):  # the system hands it over in pieces
            text += os.read(ours, 1 << 16)
        return text.decode()

    yield use, written
    file.close()
    os.close(ours)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_an_epoch_fits_the_terminal(pseudo_terminal, time, columns):
    use, written = pseudo_terminal
    use(columns)
    shown = hooks(epochs=64, steps=782, images=50000)
    shown.on_train_begin()
    logs = {"loss": 1.23456, "data_loss": 1.0, "accuracy": 0.5}
    shown.on_epoch_begin(11)
    shown.on_train_batch_begin(0)
    time.now += 1.0
    shown.on_train_batch_end(390, logs)
    shown.on_epoch_end(11, {**logs, "val_loss": 2.34567, "val_data_loss": 2, "val_accuracy": 0.25})
    lines = written().split("\r")
    assert all(len(line.rstrip("\n")) < columns for line in lines)
    assert all("12/64" in line and "data_loss" not in line for line in lines[1:])
    within, last = lines[-2], lines[-1]
    assert all(text in within for text in ("loss 1.23", "accuracy 0.5", " left"))
    assert ("50%" in within) == (columns > 60)
    wanted = ["loss 1.23", "accuracy 0.50", ":"]
    wanted += ["val 2.3"] if columns == 60 else ["val_loss 2.34", "val_accuracy 0.250"]
    assert all(text in last for text in wanted), last
    assert last.endswith("\n")


def test_a_shorter_line_erases_the_longer_one(terminal):
    stderr = terminal()
    display = progress._Terminal()
    display.update(progress._State("Epoch 1/2", 1, 4, [("loss", 12345.0)]))
    display.end(progress._State("Epoch 1/2", 2, 4, [("loss", 1.0)]))
    first, second = stderr.getvalue().strip("\r\n").split("\r")
    assert second.rstrip() == "Epoch 1/2  50%|████████        | loss 1.0000"
    assert len(second) == len(first)


def test_a_terminal_without_block_characters(terminal, monkeypatch):
    stderr = terminal()
    monkeypatch.setattr(type(stderr), "encoding", "ascii", raising=False)
    progress._Terminal().update(progress._State("Epoch 1/2", 1, 2))
    stderr.getvalue().encode("ascii")


def test_what_is_closed_before_it_began_says_nothing(terminal):
    stderr = terminal()
    hooks()._close()  # an earlier callback's on_train_begin failed
    assert stderr.getvalue() == ""


def test_no_thread_stays_behind(time, terminal):
    terminal()
    before = threading.active_count()
    train(hooks(), time)
    assert threading.active_count() == before


class Notebook:
    """What IPython's `display` leaves of each output: the last text."""

    def __init__(self, monkeypatch):
        self.outputs, self.updates = [], 0
        shell = types.SimpleNamespace(kernel=object())
        ipython = types.SimpleNamespace(get_ipython=lambda: shell)
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=self.display))

    def display(self, output, *, raw, display_id):
        assert (raw, display_id, list(output)) == (True, True, ["text/plain"])
        self.outputs.append(output["text/plain"])
        place = len(self.outputs) - 1

        def update(output, *, raw):
            self.updates += 1
            self.outputs[place] = output["text/plain"]

        return types.SimpleNamespace(update=update)


def test_one_output_an_epoch_in_a_notebook(time, monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    notebook = Notebook(monkeypatch)
    train(hooks(), time)
    assert capsys.readouterr() == ("", "")
    assert len(notebook.outputs) == 2
    assert notebook.updates > 2
    assert all(len(line) <= 100 and line.count("val_loss") == 1 for line in notebook.outputs)
