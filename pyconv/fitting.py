"""The training loop: epochs and steps, callbacks, interruption, and the search for a NaN's source."""

import contextlib
import signal
import threading

import numpy as np

from pyconv.philox import to_rng_state


class Position:
    """Where a training stands: the epoch, the steps done in it and their sums. What an exact resume needs."""

    def __init__(self, epoch=0, step=0, sums=(0.0, 0.0, 0.0), count=0):
        self.epoch = epoch
        self.step = step
        self.sums = sums
        self.count = count

    def get_state(self):
        """Return a JSON-ready dict; floats keep every bit."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "sums": [float(s).hex() for s in self.sums],
            "count": self.count,
        }

    @classmethod
    def from_state(cls, state):
        return cls(state["epoch"], state["step"], [float.fromhex(s) for s in state["sums"]], state["count"])


def fit(model, feed, *, epochs, start, callbacks, validate, seed):
    """Train from `start` (a Position) to the end of epoch `epochs`; return where it stopped.

    `validate` is None or a function that returns the validation's logs, without their "val_".
    """
    model.stop_training = False
    position = model.position = start
    try:
        callbacks.on_train_begin()
        with first_interrupt_stops(model):
            while position.epoch < epochs and not model.stop_training:
                if position.step == 0:
                    callbacks.on_epoch_begin(position.epoch)
                position = _run_epoch(model, feed, position, callbacks, seed)
                if model.interrupted:
                    break
                logs = model.totals.means(model.metric_names, model.penalised)
                if validate:
                    logs.update({f"val_{name}": value for name, value in validate().items()})
                logs["learning_rate"] = model.optimizer.learning_rate
                epoch = position.epoch
                position = model.position = Position(epoch + 1)
                callbacks.on_epoch_end(epoch, logs)
        if not model.interrupted:  # training ends later, then
            callbacks.on_train_end()
    finally:
        callbacks.close()
        if not model.interrupted:  # a later fit is a training of its own, as in Keras
            model.position = Position()
    return position


def _run_epoch(model, feed, position, callbacks, seed):
    """Run the epoch's steps from `position.step` on; return the position after the last one."""
    totals, epoch, step = model.totals, position.epoch, position.step
    totals.restore(position.sums, position.count)
    taken, most = [], 1 if model.device == "cpu" else totals.MOST_REMEMBERED
    try:
        for batch, target_shape, fill in feed.batches(epoch, step):
            callbacks.on_train_batch_begin(step)
            taken.append(Step(model, batch, target_shape, fill, epoch=epoch, step=step, seed=seed))
            step += 1
            if most > 1:
                totals.remember(len(taken) - 1)
            logs = None
            if len(taken) == most or callbacks.reads_batch():
                _settle(model, taken, epoch, step)
                logs = totals.means(model.metric_names, model.penalised)
            callbacks.on_train_batch_end(step - 1, logs)
            if model.interrupted or model.stop_training:
                break
    finally:  # what was trained counts, whatever comes
        _settle(model, taken, epoch, step)
    return model.position


def _settle(model, taken, epoch, step):
    """Read the sums of the steps `taken`, and empty the list."""
    if taken:
        steps = taken.copy()
        taken.clear()
        read_losses(model, steps)
        model.position = Position(epoch, step, model.totals.sums, model.totals.count)


class Step:
    """One training step, taken when this is made: `model.totals` grow by the batch.

    On a GPU it may still be under way; `read_losses` waits for it.
    """

    def __init__(self, model, batch, target_shape, fill, *, epoch, step, seed):
        self._batch, self._target_shape, self._fill = batch, target_shape, fill
        self._rng = to_rng_state(seed, epoch, step)
        self.where, self.iterations = f"epoch {epoch + 1}, step {step + 1}", model.optimizer.iterations
        plan = self._plan(model)
        model.hyper.assign(model.optimizer.hyper())
        plan.run()
        model.totals.count += batch.size
        model.optimizer.iterations += 1

    def first_not_finite(self, model):
        """Compute the batch again; return the call that gave the first NaN or infinity, or None."""
        return self._plan(model, fused=False).first_not_finite()

    def _plan(self, model, **options):
        """Return the step's plan with its inputs filled in."""
        plan = model.training_plan(self._batch, self._target_shape, **options)
        self._fill(plan)
        model.rng.assign(self._rng)
        return plan


def read_losses(model, steps):
    """Fetch the sums after `steps`, all since they were last read; raise FloatingPointError for a NaN."""
    model.totals.read()
    loss = model.totals.loss
    if np.isfinite(loss):
        return
    # From the first loss that was not finite on, no step has changed a weight: its batch shows it again.
    step = steps[model.totals.first_not_finite(len(steps))]
    model.optimizer.iterations = step.iterations
    raise FloatingPointError(_blame(step.first_not_finite(model), loss, step.where))


def _blame(call, loss, where):
    """Name the first layer whose output is not finite."""
    if call is None:
        return f"[fit] the loss is {loss} at {where}, in the sum over the epoch alone"
    if call.layer:
        culprit = f"layer {call.layer.name}"
    else:
        culprit = "the batch itself" if call.op in ("gather", "affine") else "the loss"
    return (
        f"[fit] the loss is {loss} at {where}: {culprit} gave the first value that is not finite "
        f"(in {call.op}); the weights are those before this step. A lower learning rate may help"
    )


@contextlib.contextmanager
def first_interrupt_stops(model):
    """Let the first Ctrl-C end training after the step, setting `model.interrupted`; the second aborts."""
    model.interrupted = False
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)

    def interrupt(number, frame):
        model.interrupted = True
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
