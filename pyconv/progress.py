"""How a training shows: a bar on a terminal or in a notebook, plain lines elsewhere; always on stderr."""

import os
import sys
import time
import warnings

from pyconv.callbacks import Callback

_BAR_SECONDS = 0.1  # between two updates of a bar
_LINE_SECONDS = 30.0  # between two plain lines within an epoch
_UNSHOWN = ("data_loss", "val_data_loss", "learning_rate")


class Progress(Callback):
    """Shows epoch, loss, metrics, speed and the time left. `verbose` 2: lines even where a bar could be.

    Reads `params`: `epochs`; `steps` and `images` an epoch, None where that is not known; `initial_epoch`.
    """

    def __init__(self, verbose="auto"):
        self._display_type = _Bar if verbose != 2 and can_draw_bars() else _Lines

    def on_train_begin(self, logs=None):
        self._start = time.perf_counter()
        self._steps_taken = 0
        self._display = None

    def on_epoch_begin(self, epoch, logs=None):
        self._begin(epoch, 0)

    def on_train_batch_begin(self, batch, logs=None):
        if self._display is None:  # resumed within an epoch
            self._begin(self.params.get("initial_epoch", 0), batch)

    def reads_batch(self):
        return time.perf_counter() - self._shown >= self._display.seconds

    def on_train_batch_end(self, batch, logs=None):
        self._step, self._step_end = batch + 1, time.perf_counter()
        self._steps_taken += 1
        if logs and self._step_end - self._shown >= self._display.seconds:
            self._shown = self._step_end
            self._display.update(self._step, self._text(logs))

    def on_epoch_end(self, epoch, logs=None):
        if self._display is None:  # resumed after the epoch's last step
            self._begin(epoch, self.params["steps"] or 0)
        self._display.end(self._step, self._text(logs))
        self._display = None

    def close(self):
        """Leave the display as it is, where training ends within an epoch."""
        if self._display:
            self._display.close()

    def _begin(self, epoch, step):
        self._epoch, self._first_step, self._step = epoch, step, step
        self._epoch_start = self._step_end = self._shown = time.perf_counter()
        self._display = self._display_type(f"Epoch {epoch + 1}/{self.params['epochs']}", self.params["steps"])

    def _text(self, logs):
        parts = [f"{name} {value:.4f}" for name, value in (logs or {}).items() if name not in _UNSHOWN]
        epochs, steps, images = (self.params.get(name) for name in ("epochs", "steps", "images"))
        speed = (self._step - self._first_step) / max(self._step_end - self._epoch_start, 1e-9)
        parts.append(f"{speed * images / steps:.0f} images/s" if images and steps else f"{speed:.1f} steps/s")
        passed = time.perf_counter() - self._start
        if steps:
            left = (epochs - self._epoch) * steps - self._step
            time_left = clock(passed / max(self._steps_taken, 1) * left)
            parts.append(f"{time_left} left" if left else f"{clock(passed)} in all")
        return ", ".join(parts)


class _Bar:
    """One bar of tqdm, which stays when its epoch ends."""

    seconds = _BAR_SECONDS

    def __init__(self, title, steps):
        with warnings.catch_warnings():  # a notebook without ipywidgets gets a text bar
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm

            layout = " {percentage:3.0f}%|{bar:16}| {desc}" if steps else " step {n} {desc}"
            self._bar = tqdm(total=steps, bar_format=title + layout, dynamic_ncols=True, file=sys.stderr)

    def update(self, step, text):
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(step - self._bar.n)

    def end(self, step, text):
        self._bar.set_description_str(text, refresh=False)
        self._bar.n = step
        self._bar.refresh()
        self.close()

    def close(self):
        self._bar.close()


class _Lines:
    """A line at the end of the epoch, and now and then in between."""

    seconds = _LINE_SECONDS

    def __init__(self, title, steps):
        self._title = title
        self._steps = steps

    def update(self, step, text):
        where = f"{100 * step // self._steps}%" if self._steps else f"step {step}"
        self._print(f"{self._title}, {where}: {text}")

    def end(self, step, text):
        self._print(f"{self._title}: {text}")

    def close(self):
        pass

    def _print(self, line):
        print(line, file=sys.stderr, flush=True)


def can_draw_bars():
    """Whether stderr is a terminal that can redraw a line, or this is a notebook; never under CI."""
    if os.environ.get("CI"):
        return False
    return in_notebook() or (sys.stderr.isatty() and os.environ.get("TERM") != "dumb")


def in_notebook():
    """Whether this code runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def clock(seconds):
    """Return a duration as 0:07, 12:34 or 1:02:03."""
    minutes, seconds = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
