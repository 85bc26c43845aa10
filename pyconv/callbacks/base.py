"""The interface of callbacks, and those that act at every epoch."""

import contextlib
import csv
import inspect
import os
import sys

from pyconv import arguments
from pyconv.attributes import Checked, Guarded


class Callback(Guarded):
    """Base class. `fit`, `evaluate` and `predict` set `model` and `params` and call the hooks, with `logs`.

    A callback with a state names its attributes in `state_names` and initialises them in `_reset`, which
    `on_train_begin` calls unless `set_state` came first, or `fit(resume=True)` goes on with it.
    """

    model = None
    params = None
    state_names = ()
    _resumed = False

    def set_model(self, model):
        """Remember the model in training."""
        self.model = model

    def set_params(self, params):
        """Remember what is ahead: `epochs`, `initial_epoch`, and `steps` and `images` an epoch."""
        self.params = params

    def _check(self, names, others, sometimes):
        """Refuse, before training, what cannot work. Raises ValueError.

        Args:
            names: of the logs that an epoch ends with.
            others: whether callbacks of the caller's own may add to them.
            sometimes: those of the names that not every epoch has, since it does not validate.
        """

    def _reset(self):
        """Start anew."""

    def _continue_training(self, same):
        """Keep the state for the training ahead where it is the `same` one, gone on with."""
        self._resumed = self._resumed or same

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
            self._reset()
        self._resumed = False

    def on_train_end(self, logs=None):
        """Run after the last epoch."""

    def _close(self):
        """Run when `fit`, `evaluate` or `predict` ends, by an error too."""

    def on_epoch_begin(self, epoch, logs=None):
        """Run before epoch `epoch`, counted from 0."""

    def on_epoch_end(self, epoch, logs=None):
        """Run after epoch `epoch`; `logs` maps the metrics' names to numbers, and additions are kept."""

    def on_train_batch_begin(self, batch, logs=None):
        """Run before step `batch` of the epoch; by default `on_batch_begin`."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        """Run after step `batch`; `logs` holds the epoch's running means, or nothing (see `_reads_batch`).

        By default `on_batch_end`.
        """
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch, logs=None):
        """Keras' short name of `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """Keras' short name of `on_train_batch_end`."""

    def on_test_begin(self, logs=None):
        """Run before an evaluation, a validation included."""

    def on_test_end(self, logs=None):
        """Run after an evaluation; `logs` holds what it found."""

    def on_test_batch_begin(self, batch, logs=None):
        """Run before batch `batch` of an evaluation."""

    def on_test_batch_end(self, batch, logs=None):
        """Run after batch `batch` of an evaluation; `logs` has its running means."""

    def on_predict_begin(self, logs=None):
        """Run before a prediction."""

    def on_predict_end(self, logs=None):
        """Run after a prediction."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Run before batch `batch` of a prediction."""

    def on_predict_batch_end(self, batch, logs=None):
        """Run after batch `batch` of a prediction; `logs["outputs"]` are its outputs."""

    def _watches(self, hook):
        """Return whether this callback has a hook of its own under that name."""
        own = getattr(self, hook)
        return getattr(own, "__func__", own) is not getattr(Callback, hook)

    def _reads_batch(self):
        """Return whether the step just taken matters to this callback.

        Only then are its logs fetched from a GPU, which has to finish all work for that. By default a
        callback with a hook for batches reads each.
        """
        hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
        return any(self._watches(hook) for hook in hooks)

    def _reads_test_batch(self):
        """Return whether the evaluation's batch just done matters to this callback, as `_reads_batch`."""
        return self._watches("on_test_batch_end")


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class CallbackList:
    """Calls the hooks of several callbacks, in order."""

    def __init__(self, callbacks, model=None, params=None):
        if not isinstance(callbacks, (list, tuple)) or not all(isinstance(c, Callback) for c in callbacks):
            raise TypeError(
                f"[CallbackList] callbacks is {arguments.shown(callbacks)}, expected a list of callbacks"
            )
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    def __iter__(self):
        return iter(self.callbacks)

    def __getattr__(self, name):
        if name not in HOOKS:
            raise AttributeError(f"CallbackList has no {name}")

        def call(*given, **logs):
            for callback in self.callbacks:
                getattr(callback, name)(*given, **logs)

        return call

    def check(self, names, sometimes=()):
        """Let each callback refuse what cannot work with logs of these names."""
        others = any(
            not type(c).__module__.startswith("pyconv.") or isinstance(c, LambdaCallback)
            for c in self.callbacks
            if c._watches("on_epoch_end")
        )
        for callback in self.callbacks:
            callback._check(names, others, sometimes)

    def _close(self):
        """Close all of them; the first error is raised at the end."""
        with contextlib.ExitStack() as stack:
            for callback in reversed(self.callbacks):
                callback._resumed = False  # also where it never began
                stack.callback(callback._close)

    @contextlib.contextmanager
    def _closed(self):
        """Close all of them at the end of a block; an error in it comes before those of closing."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                self._close()
            raise
        self._close()

    def _reads_batch(self):
        """Return whether one of them reads the step just taken."""
        return any(callback._reads_batch() for callback in self.callbacks)

    def _reads_test_batch(self):
        """Return whether one of them reads the evaluation's batch just done."""
        return any(callback._reads_test_batch() for callback in self.callbacks)

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
    """Keeps every epoch's logs: `history` maps names to lists, `epoch` lists the epochs' numbers.

    It is light and can be pickled: it does not keep the model.
    """

    state_names = ("epoch", "history")

    def __init__(self):
        self._reset()

    def set_model(self, model):
        pass

    def _reset(self):
        self.epoch = []
        self.history = {}

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


def _one_character(value, name, op):
    if len(arguments.text(value, name, op)) != 1 or value in '\r\n"':
        raise ValueError(f"[{op}] {name} is {arguments.shown(value)}, expected one character")
    return value


def _function(value, name, op):
    if not callable(value):
        raise TypeError(f"[{op}] {name} is {arguments.shown(value)}, expected a function")
    return value


class CSVLogger(Callback):
    """Writes a line of `filename` after each epoch; `append` continues a file, under the header it has.

    Folders are made. A value that an epoch has not (a validation that was not due) is NA.
    """

    filename = Checked(arguments.path)
    separator = Checked(_one_character)
    append = Checked(arguments.flag)
    _names = ()

    def __init__(self, filename, separator=",", append=False):
        self.filename, self.separator, self.append = filename, separator, append

    def _check(self, names, others, sometimes):
        self._names = tuple(names)

    def on_train_begin(self, logs=None):
        os.makedirs(os.path.dirname(self.filename) or ".", exist_ok=True)
        if not self.append:
            open(self.filename, "w").close()
        self._fields = self._header() if self.append else None

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, **(logs or {})}
        with open(self.filename, "a", newline="") as file:
            new = self._fields is None
            self._fields = self._fields or list(dict.fromkeys(["epoch", *self._names, *row]))
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

    schedule = Checked(_function)
    verbose = Checked(arguments.verbosity)

    def __init__(self, schedule, verbose=0):
        self.schedule, self.verbose = schedule, verbose

    @property
    def _takes_rate(self):
        try:
            parameters = inspect.signature(self.schedule).parameters.values()
        except ValueError:  # of a builtin
            return False
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        return len(positional) > 1 or any(p.kind == p.VAR_POSITIONAL for p in parameters)

    def _check(self, names, others, sometimes):
        self.model.optimizer.expect_settable_rate("LearningRateScheduler")

    def on_epoch_begin(self, epoch, logs=None):
        optimizer = self.model.optimizer
        given = (epoch, optimizer.learning_rate) if self._takes_rate else (epoch,)
        rate = self.schedule(*given)
        optimizer.learning_rate = arguments.number(
            rate, "the schedule's rate", "LearningRateScheduler", least=0
        )
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate set to {optimizer.learning_rate:g}", file=sys.stderr)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


class LambdaCallback(Callback):
    """A callback made of functions, given by the hooks' names; each takes the hook's arguments."""

    def __init__(self, **hooks):
        for name, function in hooks.items():
            if name not in HOOKS:
                raise TypeError(
                    f"[LambdaCallback] there is no hook {name!r}, expected one of {', '.join(HOOKS)}"
                )
            if function is not None and not callable(function):
                raise TypeError(
                    f"[LambdaCallback] {name} is {arguments.shown(function)}, expected a function"
                )
            if function is not None:
                setattr(self, name, function)
