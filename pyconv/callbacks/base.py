"""The interface of callbacks, and those that act at every epoch."""

import csv
import inspect
import os
import sys


class Callback:
    """Base class. `fit` sets `model` and `params`, and calls the hooks.

    A callback with a state names its attributes in `state_names` and initialises them in `reset`, which
    `on_train_begin` calls unless `set_state` came first.
    """

    model = None
    params = None
    state_names = ()
    _resumed = False

    def set_model(self, model):
        """Remember the model in training."""
        self.model = model

    def set_params(self, params):
        """Remember what training is ahead: `epochs`, `initial_epoch`, and `steps` and `images` an epoch."""
        self.params = params

    def reset(self):
        """Start anew."""

    def get_state(self):
        """Return what a resumed training needs: JSON-ready values, and lists of arrays for weights."""
        return {name: getattr(self, name) for name in self.state_names}

    def set_state(self, state):
        """Continue from what `get_state` returned."""
        for name in self.state_names:
            setattr(self, name, state[name])
        self._resumed = True

    def on_train_begin(self, logs=None):
        """Run before the first epoch."""
        if not self._resumed:
            self.reset()
        self._resumed = False

    def on_train_end(self, logs=None):
        """Run after the last epoch."""

    def close(self):
        """Run when `fit` ends, by an error too."""

    def on_epoch_begin(self, epoch, logs=None):
        """Run before epoch `epoch`, counted from 0."""

    def on_epoch_end(self, epoch, logs=None):
        """Run after epoch `epoch`; `logs` maps the metrics' names to numbers, and additions are kept."""

    def on_train_batch_begin(self, batch, logs=None):
        """Run before step `batch` of the epoch."""

    def on_train_batch_end(self, batch, logs=None):
        """Run after step `batch`; `logs` holds the epoch's running means, or is None (see `reads_batch`)."""

    def reads_batch(self):
        """Return whether the step just taken matters to this callback.

        Only then are its logs fetched from a GPU, which has to finish all work for that. By default a
        callback with a hook for batches reads each.
        """
        hooks = ("on_train_batch_begin", "on_train_batch_end")
        own = (getattr(self, name) for name in hooks)
        plain = [getattr(Callback, name) for name in hooks]
        return any(getattr(hook, "__func__", hook) not in plain for hook in own)


class CallbackList:
    """Calls the hooks of several callbacks, in order."""

    def __init__(self, callbacks, model=None, params=None):
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    def __iter__(self):
        return iter(self.callbacks)

    def __getattr__(self, name):
        if not name.startswith("on_") and name != "close":
            raise AttributeError(name)

        def call(*arguments, **logs):
            for callback in self.callbacks:
                getattr(callback, name)(*arguments, **logs)

        return call

    def reads_batch(self):
        """Return whether one of them reads the step just taken."""
        return any(callback.reads_batch() for callback in self.callbacks)

    def get_state(self):
        """Return the callbacks' states by class name; several of one class in order."""
        states = {}
        for callback in self.callbacks:
            states.setdefault(type(callback).__name__, []).append(callback.get_state())
        return states

    def set_state(self, states):
        """Restore what `get_state` returned; a callback that was not there keeps its fresh state."""
        left = {name: list(of_class) for name, of_class in states.items()}
        for callback in self.callbacks:
            if left.get(type(callback).__name__):
                callback.set_state(left[type(callback).__name__].pop(0))


class History(Callback):
    """Keeps every epoch's logs: `history` maps names to lists, `epoch` lists the epochs' numbers."""

    state_names = ("epoch", "history")

    def __init__(self):
        self.reset()

    def reset(self):
        self.epoch = []
        self.history = {}

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class CSVLogger(Callback):
    """Writes a line of `filename` after each epoch; `append` continues a file, under the header it has."""

    def __init__(self, filename, separator=",", append=False):
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append

    def on_train_begin(self, logs=None):
        if not self.append:
            open(self.filename, "w").close()
        self._fields = self._header()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, **(logs or {})}
        with open(self.filename, "a", newline="") as file:
            new = self._fields is None
            self._fields = self._fields or list(row)
            writer = csv.DictWriter(
                file, self._fields, restval="NA", extrasaction="ignore", delimiter=self.separator
            )
            if new:
                writer.writeheader()
            writer.writerow(row)

    def _header(self):
        if not os.path.exists(self.filename):
            return None
        with open(self.filename, newline="") as file:
            return next(csv.reader(file, delimiter=self.separator), None)


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch to `schedule(epoch, learning_rate)` or `schedule(epoch)`."""

    def __init__(self, schedule, verbose=0):
        self.schedule = schedule
        self.verbose = verbose
        parameters = inspect.signature(schedule).parameters.values()
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._takes_rate = len(positional) > 1 or any(p.kind == p.VAR_POSITIONAL for p in parameters)

    def on_epoch_begin(self, epoch, logs=None):
        optimizer = self.model.optimizer
        arguments = (epoch, optimizer.learning_rate) if self._takes_rate else (epoch,)
        optimizer.learning_rate = float(self.schedule(*arguments))
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate set to {optimizer.learning_rate:g}", file=sys.stderr)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


class LambdaCallback(Callback):
    """A callback made of functions, given by the hooks' names; each takes the hook's arguments."""

    def __init__(
        self,
        on_epoch_begin=None,
        on_epoch_end=None,
        on_train_begin=None,
        on_train_end=None,
        on_train_batch_begin=None,
        on_train_batch_end=None,
    ):
        hooks = {name: function for name, function in locals().items() if name.startswith("on_")}
        for name, function in hooks.items():
            if function is not None:
                setattr(self, name, function)
