"""The training loop: epochs and steps, callbacks, interruption, and the search for a NaN's source."""

import contextlib
import math
import signal
import threading

from pyconv import arguments
from pyconv.engine.position import Position
from pyconv.philox import state_of


class Schedule:
    """The epochs that validate: each `frequency`-th, or those it lists (counted from 1)."""

    def __init__(self, frequency):
        if isinstance(frequency, (list, tuple, set, frozenset, range)):
            self._epochs = {arguments.integer(e, "validation_freq", "fit", least=1) for e in frequency}
        else:
            self._epochs, self._every = None, arguments.integer(frequency, "validation_freq", "fit", least=1)

    @property
    def every(self):
        """Whether each epoch validates."""
        return self._epochs is None and self._every == 1

    def holds(self, epoch):
        """Whether epoch `epoch`, counted from 0, validates."""
        return (epoch + 1) % self._every == 0 if self._epochs is None else epoch + 1 in self._epochs


def fit(trainer, feed, *, epochs, start, callbacks, validate, schedule, seed):
    """Train from `start` (a Position) to the end of epoch `epochs`; return whether Ctrl-C came before that.

    `validate` is None or a function that returns the validation's logs, without their "val_", or None where
    Ctrl-C cut it short. It runs after the epochs of `schedule`.
    """
    trainer.stop_training = False
    position = trainer.position = start
    done, logs = False, {}
    try:
        with first_interrupt_stops(trainer):
            callbacks.on_train_begin({})
            while position.epoch < epochs and not trainer.stop_training:
                if position.step == 0:
                    callbacks.on_epoch_begin(position.epoch, {})
                position = _run_epoch(trainer, feed, position, callbacks, seed)
                if trainer.interrupted:
                    break
                logs = trainer.totals.means(trainer.network.penalised)
                if validate and schedule.holds(position.epoch):
                    validation = validate()
                    if validation is None:  # a resumed training starts with it
                        break
                    logs.update({f"val_{name}": value for name, value in validation.items()})
                logs["learning_rate"] = trainer.optimizer.learning_rate
                epoch = position.epoch
                position = trainer.position = Position(epoch + 1, first_pass=position.first_pass)
                callbacks.on_epoch_end(epoch, logs)
                feed.end_epoch()
                if trainer.interrupted:
                    break
            done = not trainer.interrupted or trainer.stop_training or position.epoch >= epochs
            if done:
                callbacks.on_train_end(logs)
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to be told
            callbacks._close()
        raise
    else:
        callbacks._close()
    finally:
        if done or not trainer.interrupted:  # a later fit is a training of its own, as in Keras
            trainer.position = Position()
    return not done


def _run_epoch(trainer, feed, position, callbacks, seed):
    """Run the epoch's steps from `position.step` on; return the position after the last one."""
    totals, step = trainer.totals, position.step
    totals.restore(position.sums, position.count)
    taken, most = [], 1 if trainer.device == "cpu" else totals.MOST_REMEMBERED
    begin, end = callbacks.on_train_batch_begin, callbacks.on_train_batch_end
    try:
        for batch, target_shapes, fill, draw in feed.batches(position.epoch, step, position.first_pass):
            begin(step, {})
            with trainer.turns:
                where = f"epoch {position.epoch + 1}, step {step + 1}"
                taken.append(Step(trainer, batch, target_shapes, fill, where=where, draw=draw, seed=seed))
                trainer.passes = max(trainer.passes, draw[0] + 1)
                step += 1
                if most > 1:
                    totals.remember(len(taken) - 1)
            logs = {}
            read = callbacks._reads_batch()
            if read or len(taken) == most:
                _settle(trainer, taken, position, step)
            if read:
                logs = totals.means(trainer.network.penalised)
            end(step - 1, logs)
            if trainer.interrupted or trainer.stop_training:
                break
    finally:  # what was trained counts, whatever comes
        _settle(trainer, taken, position, step)
    return trainer.position


def _settle(trainer, taken, position, step):
    """Read the sums of the steps `taken`, and empty the list."""
    if taken:
        steps = taken.copy()
        taken.clear()
        with trainer.turns:
            read_losses(trainer, steps)
        totals = trainer.totals
        trainer.position = Position(position.epoch, step, totals.sums, totals.count, position.first_pass)


class Step:
    """One training step, taken when this is made: `trainer.totals` grow by the batch.

    On a GPU it may still be under way; `read_losses` waits for it.
    """

    def __init__(self, trainer, batch, target_shapes, fill, *, where, draw, seed):
        self._batch, self._target_shapes, self._fill = batch, target_shapes, fill
        self._rng = state_of(seed, *draw)
        self.where, self.iterations = where, trainer.optimizer.iterations
        plan = self._plan(trainer)
        trainer.flat.assign_hyper()
        plan.run()
        trainer.totals.count += batch.size
        trainer.optimizer.count_step()

    def first_not_finite(self, trainer):
        """Compute the batch again; return the call that gave the first NaN or infinity, or None."""
        return self._plan(trainer, fused=False).first_not_finite()

    def _plan(self, trainer, **options):
        """Return the step's plan with its inputs filled in."""
        plan = trainer.training_plan(self._batch, self._target_shapes, **options)
        self._fill(plan)
        trainer.rng.assign(self._rng)
        return plan


def read_losses(trainer, steps):
    """Fetch the sums after `steps`, all since they were last read; raise FloatingPointError for a NaN."""
    trainer.totals.read()
    loss, penalty = trainer.totals.sums[0], trainer.totals.sums[-1]
    if math.isfinite(loss):
        if not math.isfinite(penalty):
            raise FloatingPointError(
                f"[fit] the L2 penalty is {penalty} at {steps[-1].where}: its coefficient is huge"
            )
        return
    # From the first loss that was not finite on, no step has changed a weight: its batch shows it again.
    step = steps[trainer.totals.first_not_finite(len(steps))]
    trainer.optimizer.iterations = step.iterations
    raise FloatingPointError(_blame(step.first_not_finite(trainer), loss, step.where))


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
def first_interrupt_stops(trainer):
    """Let the first Ctrl-C end training after the step, setting `trainer.interrupted`; the second aborts.

    Only Python's own handler is replaced: a process that ignores SIGINT (nohup, a shell's background job) or
    has a handler of its own keeps it.
    """
    trainer.interrupted = False
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def interrupt(number, frame):
        trainer.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
