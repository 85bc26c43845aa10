"""What `fit`, `evaluate` and `predict` are given, checked and made into feeds, callbacks and a position."""

import contextlib

from pyconv import arguments
from pyconv.callbacks import Callback, CallbackList
from pyconv.engine import fitting
from pyconv.engine.data import as_inputs, is_array, split
from pyconv.engine.feeds import ArrayFeed, IterableFeed
from pyconv.engine.position import Position

BATCH = 32  # images at a time, unless said


def start_position(trainer, feed, epochs, initial_epoch, resume, pinned):
    """Return the Position to train from."""
    if resume:
        if initial_epoch:
            raise ValueError(
                f"[fit] initial_epoch is {initial_epoch} and resume is True, expected one of them"
            )
        if trainer.position.epoch >= epochs:
            raise ValueError(
                f"[fit] epochs is {epochs}, expected more than {trainer.position.epoch}: the training to "
                "resume has had these"
            )
        if trainer.position.epoch or trainer.position.step:
            return trainer.position
    if initial_epoch >= epochs:
        raise ValueError(f"[fit] initial_epoch is {initial_epoch}, expected less than epochs, {epochs}")
    first_pass = 0 if pinned else trainer.passes - feed.passes_before(initial_epoch)
    return Position(initial_epoch, first_pass=first_pass)


def watchers(callbacks, verbose, op, *more):
    """Return the callbacks of a call, checked, then `more`, which see what those add to the logs."""
    arguments.choice(int(verbose) if isinstance(verbose, bool) else verbose, ("auto", 0, 1, 2), "verbose", op)
    if isinstance(callbacks, (Callback, CallbackList)):
        callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
    if callbacks is not None and not isinstance(callbacks, (list, tuple)):
        raise TypeError(
            f"[{op}] callbacks is {arguments.kind_of(callbacks)}, expected a list of callbacks or None"
        )
    for callback in callbacks or ():
        if not isinstance(callback, Callback):
            raise TypeError(
                f"[{op}] callbacks holds {arguments.shown(callback)}, expected objects made of a Callback"
            )
    everything = [*(callbacks or ()), *more]
    if verbose:
        from pyconv.progress import Progress

        everything.append(Progress(verbose))
    return everything


def log_names(trainer, validates):
    """Return the names of what an epoch's logs will hold."""
    names = ["loss", *(["data_loss"] if trainer.network.penalised else []), *trainer.metric_names]
    return [*names, *(f"val_{name}" for name in names if validates), "learning_rate"]


def make_feed(
    trainer,
    x,
    y=None,
    batch_size=None,
    steps=None,
    steps_name="steps",
    *,
    op="fit",
    name="x",
    shapes=None,
    **options,
):
    """Return the batches that x and y mean; builds the model where their shape says how."""
    trainer.expect_compiled(op)
    if steps is not None:
        steps = arguments.integer(steps, steps_name, op, least=1)
    if y is not None:
        if not is_array(x) and not isinstance(x, (list, tuple)):
            raise ValueError(
                f"[{op}] {name} is {arguments.kind_of(x)} and y is given, expected an array, or an iterable "
                "of batches (x, y) without y"
            )
        xs = as_inputs(x, trainer.network.inputs, op)
        shapes = [one.shape[1:] for one in xs]
    elif is_array(x):
        raise ValueError(f"[{op}] y is missing: {name} is an array, expected its labels too")
    if shapes is not None:
        trainer.build_for(shapes, op)
    if options.get("augment") is not None and trainer.network.inputs > 1:
        raise ValueError(
            f"[{op}] augment is given and the model has {trainer.network.inputs} inputs, expected one: images"
        )
    if y is not None:
        return ArrayFeed(
            xs,
            y,
            trainer.as_targets,
            BATCH if batch_size is None else batch_size,
            steps=steps,
            steps_name=steps_name,
            op=op,
            device=trainer.device,
            **options,
        )
    for option, value in (("augment", options.pop("augment", None)), ("batch_size", batch_size)):
        if value is not None:
            raise ValueError(f"[{op}] {option} works on arrays, {name} is an iterable of batches")
    inputs = trainer.network.inputs
    feed = IterableFeed(x, steps, inputs=inputs, op=op, name=name, device=trainer.device, **options)
    trainer.build_for([shape for shape, _ in feed.kinds], op)
    feed.as_targets = trainer.as_targets
    return feed


def settle_validation(x, y, fraction, data, *, network, steps, batch_size, frequency):
    """Return (x, y, validation data or None, `Schedule`); raise where the arguments do not go together."""
    schedule = fitting.Schedule(frequency)
    fraction = arguments.number(fraction, "validation_split", "fit", least=0, below=1)
    if fraction and data is not None:
        raise ValueError("[fit] validation_split and validation_data are both given, expected one of them")
    if fraction:
        if y is None:
            raise ValueError("[fit] validation_split works on arrays, x is an iterable of batches")
        (x, y), data = split(x, y, fraction, network.inputs, network.output_names)
    given = {
        "validation_steps": steps,
        "validation_batch_size": batch_size,
        "validation_freq": None if frequency == 1 else frequency,
    }
    for name, value in given.items():
        if value is not None and data is None:
            raise ValueError(f"[fit] {name} is {value}, and there is no validation_data to validate on")
    return x, y, data, schedule


def validation_feed(trainer, data, steps, batch_size, training_batch_size):
    """Return the batches of `validation_data`; of arrays, `training_batch_size` images unless said."""
    pair = isinstance(data, (tuple, list)) and len(data) == 2
    if (
        pair
        and trainer.network.inputs == len(trainer.network.outputs) == 1
        and any(isinstance(part, (tuple, list)) and len(part) == 2 and is_array(part[0]) for part in data)
    ):
        raise ValueError(
            "[fit] validation_data is a pair of pairs, which may be (x, y) or two batches, expected (x, y), "
            "or iter(...) of batches with validation_steps"
        )
    if isinstance(data, tuple) and not pair:
        raise ValueError(
            f"[fit] validation_data is a tuple of {len(data)}, expected (x, y), or an iterable of batches"
        )
    if hasattr(data, "__next__") and not hasattr(data, "__len__") and steps is None:
        raise ValueError(
            "[fit] validation_steps is missing: validation_data is a stream, expected how many of its "
            "batches make a validation"
        )
    x, y = data if pair else (data, None)
    with _named("validation_data"):
        if batch_size is not None:
            arguments.integer(batch_size, "validation_batch_size", "fit", least=1)
        if y is not None and batch_size is None:
            batch_size = training_batch_size
        return make_feed(trainer, x, y, batch_size, steps, "validation_steps")


@contextlib.contextmanager
def _named(argument):
    """Say which argument of `fit` an error is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError) or not str(error).startswith("[fit] "):
            raise  # the caller's own
        raise type(error)(str(error).replace("[fit] ", f"[fit] {argument}: ", 1)) from None
