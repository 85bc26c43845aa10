"""Callbacks that watch one of the logs, and act when it improves or no longer does."""

import os
import sys
import warnings

from pyconv import arguments
from pyconv.attributes import Checked
from pyconv.callbacks.base import Callback
from pyconv.saving import checked


def _mode(value, name, op):
    return arguments.choice(value, ("auto", "min", "max"), name, op)


def _distance(value, name, op):
    return abs(arguments.number(value, name, op))


def _optional_number(value, name, op):
    return None if value is None else arguments.number(value, name, op)


def _frequency(value, name, op):
    if isinstance(value, str) and value == "epoch":
        return value
    return arguments.integer(value, name, op, least=1)


class _Monitor(Callback):
    """A callback that watches one of the logs. mode "auto": up for accuracies, down for losses."""

    monitor = Checked(arguments.text)
    mode = Checked(_mode)
    min_delta = Checked(_distance)
    verbose = Checked(arguments.verbosity)

    def __init__(self, monitor, mode, min_delta, verbose):
        self.monitor, self.mode, self.min_delta, self.verbose = monitor, mode, min_delta, verbose
        self._names = ()

    @property
    def _sign(self):
        """1 where larger is better, else -1."""
        return 1 if self.mode == "max" or (self.mode == "auto" and "acc" in self.monitor) else -1

    def _check(self, names, others, sometimes):
        """Refuse a monitor that is none of the logs, unless callbacks of the caller's own may add it."""
        self._names = names
        if self.monitor in names:
            return
        if not others:
            validates = any(name.startswith("val_") for name in names)
            hint = "; it needs validation_data" if self.monitor.startswith("val_") and not validates else ""
            raise ValueError(
                f"[{type(self).__name__}] monitor is {self.monitor!r}, expected one of "
                f"{', '.join(names)}{hint}"
            )
        if self.mode == "auto" and "acc" not in self.monitor and "loss" not in self.monitor:
            raise ValueError(
                f"[{type(self).__name__}] mode is 'auto', expected min or max: nobody knows whether a larger "
                f"{self.monitor} is better"
            )

    def _current(self, logs):
        if self.monitor in (logs or {}):
            try:
                return float(logs[self.monitor])
            except (TypeError, ValueError):
                value = arguments.shown(logs[self.monitor])
                raise TypeError(
                    f"[{type(self).__name__}] {self.monitor} is {value}, expected a number to monitor"
                ) from None
        if self.monitor in self._names:  # no validation was due
            return None
        warnings.warn(
            f"[{type(self).__name__}] monitor is {self.monitor!r}, expected one of {', '.join(logs or {})}",
            stacklevel=3,
        )
        return None

    def _improves(self, current, best):
        """Whether `current` is better; NaN never is."""
        if best is None:
            return current == current
        return self._sign * (current - best) > self.min_delta

    def _say(self, epoch, text):
        if self.verbose:
            print(f"Epoch {epoch + 1}: {text}", file=sys.stderr)


class EarlyStopping(_Monitor):
    """Stops training after `patience` epochs without improvement, as Keras.

    An improvement is a change of more than `min_delta`; with `baseline` only values better than it count.
    `restore_best_weights` puts back the best epoch's weights when training ends.
    """

    state_names = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")
    patience = Checked(arguments.integer, least=0)
    baseline = Checked(_optional_number)
    restore_best_weights = Checked(arguments.flag)
    start_from_epoch = Checked(arguments.integer, least=0)

    def __init__(
        self,
        monitor="val_loss",
        min_delta=0,
        patience=0,
        verbose=0,
        mode="auto",
        baseline=None,
        restore_best_weights=False,
        start_from_epoch=0,
    ):
        super().__init__(monitor, mode, min_delta, verbose)
        self.patience = patience
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self):
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_epoch = 0
        self.best_weights = None

    def on_epoch_end(self, epoch, logs=None):
        current = self._current(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._improves(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._improves(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.stopped_epoch:
            self._say(self.stopped_epoch, "stopped early")
        if self.best_weights is not None:
            self._say(self.best_epoch, "restored the weights of this epoch, the best")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate by `factor` after `patience` epochs without improvement, as Keras.

    After a reduction, `cooldown` epochs do not count. The rate never falls below `min_lr`.
    """

    state_names = ("wait", "best", "cooldown_counter")
    factor = Checked(arguments.number, above=0, below=1)
    patience = Checked(arguments.integer, least=0)
    cooldown = Checked(arguments.integer, least=0)
    min_lr = Checked(arguments.number, least=0)

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
    ):
        super().__init__(monitor, mode, min_delta, verbose)
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._reset()

    def _check(self, names, others, sometimes):
        super()._check(names, others, sometimes)
        self.model.optimizer.expect_settable_rate("ReduceLROnPlateau")

    def _reset(self):
        self.wait = 0
        self.best = None
        self.cooldown_counter = 0

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        if logs is not None:
            logs["learning_rate"] = optimizer.learning_rate
        current = self._current(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._improves(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
                optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
                self.cooldown_counter = self.cooldown
                self.wait = 0
                self._say(epoch, f"learning rate reduced to {optimizer.learning_rate:g}")


class ModelCheckpoint(_Monitor):
    """Saves the model, or its weights, after each epoch or each `save_freq` steps, as Keras.

    `filepath` may hold fields such as `{epoch:02d}` (counted from 1) and `{val_loss:.3f}`. With
    `save_best_only` it saves only where `monitor` beats every epoch before and `initial_value_threshold`.
    """

    state_names = ("best", "steps", "epoch")
    filepath = Checked(arguments.path)
    save_best_only = Checked(arguments.flag)
    save_weights_only = Checked(arguments.flag)
    save_freq = Checked(_frequency)
    initial_value_threshold = Checked(_optional_number)

    def __init__(
        self,
        filepath,
        monitor="val_loss",
        verbose=0,
        save_best_only=False,
        save_weights_only=False,
        mode="auto",
        save_freq="epoch",
        initial_value_threshold=None,
    ):
        super().__init__(monitor, mode, 0, verbose)
        self.filepath = filepath
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.initial_value_threshold = initial_value_threshold
        if initial_value_threshold is not None and not save_best_only:
            raise ValueError("[ModelCheckpoint] initial_value_threshold needs save_best_only=True")
        self._reset()

    def _check(self, names, others, sometimes):
        """Refuse a file name that cannot be made of the logs, or that is no model's."""
        if self.save_best_only:
            super()._check(names, others, sometimes)
        if not others:
            there = names  # when it saves
            if self.save_freq != "epoch":
                there = [name for name in names if not name.startswith("val_") and name != "learning_rate"]
            elif not (self.save_best_only and self.monitor in sometimes):
                there = [name for name in names if name not in sometimes]
            checked(self._path(0, dict.fromkeys(there, 0.0)))

    def _reset(self):
        self.best = self.initial_value_threshold
        self.steps = self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def _reads_batch(self):
        return self.save_freq != "epoch" and (self.steps + 1) % self.save_freq == 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.save_freq != "epoch" and self.steps % self.save_freq == 0:
            self._save(self.epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(epoch, logs)

    def _save(self, epoch, logs):
        if self.save_best_only:
            current = self._current(logs)
            if current is None or not self._improves(current, self.best):
                return
            self._say(epoch, f"{self.monitor} improved to {current:.5g}")
            self.best = current
        path = self._path(epoch, logs or {})
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)

    def _path(self, epoch, logs):
        """Return the file's name in this epoch."""
        try:
            return self.filepath.format(epoch=epoch + 1, **logs)
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            wrong = f"names {error}" if isinstance(error, KeyError) else f"cannot be formatted: {error}"
            raise ValueError(
                f"[ModelCheckpoint] filepath is {self.filepath!r}, expected fields among epoch, "
                f"{', '.join(logs)}; it {wrong}"
            ) from None
