"""How a training shows: a bar on a terminal or in a notebook, plain lines elsewhere; always on stderr."""

import dataclasses
import numbers as numbers_
import os
import sys
import time

from pyconv.callbacks import Callback

_BAR_SECONDS = 0.1  # between two updates of a bar
_BAR_CELLS = 16
_NOTEBOOK_COLUMNS = 100
_LINE_SECONDS = 30.0  # between two plain lines within an epoch
_UNSHOWN = ("data_loss", "val_data_loss", "learning_rate")


class Progress(Callback):
    """Shows epoch, loss, metrics, speed and the time left. `verbose` 2: lines even where a bar could be.

    An evaluation or a prediction of its own shows likewise; a training's validation does not.

    The loss shown is the one that training minimises, with the regularizers' penalty; the logs' "data_loss",
    the loss without it, goes to the history alone.

    Reads `params`: `epochs`; `steps` and `images` an epoch, None where that is not known; `initial_epoch`.
    """

    _display = None  # of the epoch under way
    _training = False

    def __init__(self, verbose="auto"):
        bars = verbose != 2 and can_draw_bars()
        self._display_type = (_Notebook if in_notebook() else _Terminal) if bars else _Lines

    def on_train_begin(self, logs=None):
        self._training = True
        self._start_clock()

    def on_epoch_begin(self, epoch, logs=None):
        self._begin(epoch, 0)

    def on_train_batch_begin(self, batch, logs=None):
        if self._display is None:  # resumed within an epoch
            self._begin(self.params.get("initial_epoch", 0), batch)

    def _reads_batch(self):
        return time.perf_counter() - self._shown >= self._display.seconds

    def on_train_batch_end(self, batch, logs=None):
        self._advance(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        if self._display is None:  # resumed after the epoch's last step
            self._begin(epoch, self.params["steps"] or 0)
        self._display.end(self._state(logs))
        self._display = None

    def _close(self):
        """Leave the display as it is, where training ends within an epoch."""
        self._training = False
        if self._display:
            self._display.close()
            self._display = None

    def _reads_test_batch(self):
        return not self._training and self._reads_batch()

    def on_test_begin(self, logs=None):
        self._begin_alone("Evaluation")

    def on_test_batch_end(self, batch, logs=None):
        if not self._training:
            self._advance(batch, logs)

    def on_test_end(self, logs=None):
        self._end_alone(logs)

    def on_predict_begin(self, logs=None):
        self._begin_alone("Prediction")

    def on_predict_batch_end(self, batch, logs=None):
        if not self._training:
            self._advance(batch, {})

    def on_predict_end(self, logs=None):
        self._end_alone(logs)

    def _begin_alone(self, title):
        if not self._training:
            self._start_clock()
            self._begin(0, 0, title)

    def _end_alone(self, logs):
        if not self._training:
            self._display.end(self._state(logs))
            self._display = None

    def _start_clock(self):
        self._start = time.perf_counter()
        self._steps_taken = 0
        self._display = None

    def _advance(self, batch, logs):
        self._step, self._step_end = batch + 1, time.perf_counter()
        self._steps_taken += 1
        if self._step_end - self._shown >= self._display.seconds:
            self._shown = self._step_end
            self._display.update(self._state(logs))

    def _begin(self, epoch, step, title=None):
        self._epoch, self._first_step, self._step = epoch, step, step
        self._epoch_start = self._step_end = self._shown = time.perf_counter()
        self._display = self._display_type()
        self._title = title or f"Epoch {epoch + 1}/{self.params['epochs']}"
        self._display.begin(_State(self._title, step, self.params["steps"]))

    def _state(self, logs):
        """Return the `_State` to show."""
        numbers = [
            (name, value)
            for name, value in (logs or {}).items()
            if name not in _UNSHOWN and isinstance(value, numbers_.Real)
        ]
        epochs, steps, images = (self.params.get(name) for name in ("epochs", "steps", "images"))
        speed = (self._step - self._first_step) / max(self._step_end - self._epoch_start, 1e-9)
        speed = f"{speed * images / steps:.0f} images/s" if images and steps else f"{speed:.1f} steps/s"
        left = None
        if steps:
            passed = time.perf_counter() - self._start
            steps_left = (epochs - self._epoch) * steps - self._step
            seconds = passed / max(self._steps_taken, 1) * steps_left
            left = (clock(seconds), "left") if steps_left else (clock(passed), "in all")
        return _State(self._title, self._step, steps, numbers, speed, left)


@dataclasses.dataclass
class _State:
    """What there is to show.

    "Epoch 3/64"; steps taken, and in all; [(name, value)]; "9 images/s"; ("1:23", "left").
    """

    title: str
    step: int
    steps: int | None
    numbers: list = dataclasses.field(default_factory=list)
    speed: str = ""
    left: tuple | None = None

    def text(self):
        """Return all of it but for how far the epoch is."""
        return self._join(", ", self.speed, self._time)

    def line(self, width=None, cell="#"):
        """Return one line of at most `width` characters; the numbers are the last to go. None: any width."""
        for line in self._lines(cell):
            if width is None or len(line) <= width:
                return line
        return line[: max(width - 1, 0)] + "…"

    def _lines(self, cell):
        """Yield the line, shorter and shorter."""
        where, bar = f" step {self.step}", ""
        if self.steps:
            done = min(self.step / self.steps, 1.0)
            where, bar = f" {100 * done:3.0f}%", f"|{cell * round(done * _BAR_CELLS):{_BAR_CELLS}}| "
        title, time_left = self.title, self._time
        short = title.removeprefix("Epoch ")
        yield f"{title}{where}{bar or ': '}{self.text()}"
        yield f"{title}{where}: {self.text()}"
        yield f"{title}{where}: {self._join(', ', time_left)}"
        yield f"{title}: {self._join(', ', time_left)}"
        yield f"{title} {self._join(' ', time_left)}"
        yield f"{title} {self._join(' ', time_left, decimals=3)}"
        yield f"{short} {self._join(' ', time_left, decimals=3)}"
        clock_alone = self.left[0] if self.left else ""
        yield f"{short} {self._join(' ', clock_alone, decimals=3)}"
        yield f"{short} {self._join(' ', time_left, decimals=3, together=True)}"
        yield f"{short} {self._join(' ', clock_alone, decimals=2, together=True)}"

    @property
    def _time(self):
        return " ".join(self.left) if self.left else ""

    def _join(self, separator, *more, decimals=4, together=False):
        """Return numbers and what follows them; `together`: those of the validation under one "val"."""
        plain = [item for item in self.numbers if not (together and item[0].startswith("val_"))]
        parts = [f"{name} {value:.{decimals}f}" for name, value in plain]
        rest = self.numbers[len(plain) :]
        if rest:
            parts.append(" ".join(["val", *(f"{value:.{decimals}f}" for _, value in rest)]))
        return separator.join([*parts, *filter(None, more)])


class _Terminal:
    """One line that is drawn again and again, and stays when its epoch ends."""

    seconds = _BAR_SECONDS

    def __init__(self):
        self._file, self._drawn = sys.stderr, 0
        try:
            "█".encode(getattr(self._file, "encoding", None) or "utf-8")
            self._cell = "█"
        except UnicodeEncodeError:
            self._cell = "#"

    def begin(self, state):
        self.update(state)

    def update(self, state):
        line = state.line(_columns(self._file), self._cell)
        self._file.write("\r" + line + " " * (self._drawn - len(line)))
        self._file.flush()
        self._drawn = len(line)

    def end(self, state):
        self.update(state)
        self.close()

    def close(self):
        self._file.write("\n")
        self._file.flush()


class _Notebook:
    """One output of the cell an epoch, which is replaced: in a saved notebook the last one is left."""

    seconds = 2 * _BAR_SECONDS

    def __init__(self):
        self._handle = None

    def update(self, state):
        from IPython.display import display

        output = {"text/plain": state.line(_NOTEBOOK_COLUMNS, "█")}
        if self._handle is None:
            self._handle = display(output, raw=True, display_id=True)
        else:
            self._handle.update(output, raw=True)

    begin = end = update

    def close(self):
        pass


class _Lines:
    """A line at the end of the epoch, and now and then in between."""

    seconds = _LINE_SECONDS

    def begin(self, state):
        pass

    def update(self, state):
        where = f"{100 * state.step // state.steps}%" if state.steps else f"step {state.step}"
        self._print(f"{state.title}, {where}: {state.text()}")

    def end(self, state):
        self._print(f"{state.title}: {state.text()}")

    def close(self):
        pass

    def _print(self, line):
        if sys.stderr is not None:  # a daemon may have none
            print(line, file=sys.stderr, flush=True)


def _columns(file):
    """Return how many characters a line of the terminal holds; None where that cannot be told."""
    try:
        columns = os.get_terminal_size(file.fileno()).columns or 80
    except (AttributeError, OSError, ValueError):
        return None
    return columns - 1  # a full line would wrap on some terminals


def can_draw_bars():
    """Whether stderr is a terminal that can redraw a line, or this is a notebook; never under CI."""
    if os.environ.get("CI"):
        return False
    return in_notebook() or (
        sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    )


def in_notebook():
    """Whether this code runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def clock(seconds):
    """Return a duration as 0:07, 12:34 or 1:02:03."""
    minutes, seconds = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
