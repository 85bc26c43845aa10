"""`fit`, `evaluate` and `predict` of a model: from a caller's arguments to the loops, and back."""

from pyconv import arguments
from pyconv.callbacks import CallbackList, History
from pyconv.engine import evaluation, fitting, sanity
from pyconv.engine.data import as_inputs, is_array
from pyconv.engine.fit_arguments import (
    BATCH,
    log_names,
    make_feed,
    settle_validation,
    start_position,
    validation_feed,
    watchers,
)
from pyconv.engine.network import one_or_all
from pyconv.preprocessing.augmentation import Augmentation


def fit(
    model,
    x,
    y,
    batch_size,
    epochs,
    verbose,
    callbacks,
    validation_split,
    validation_data,
    shuffle,
    initial_epoch,
    steps_per_epoch,
    validation_steps,
    validation_batch_size,
    validation_freq,
    augment,
    seed,
    resume,
    return_on_interrupt,
):
    """Do what `Model.fit` says."""
    if hasattr(type(model), "train_step"):
        raise TypeError("[fit] train_step is never called: a step is a plan; fit takes callbacks")
    trainer = model.trainer
    epochs = arguments.integer(epochs, "epochs", "fit", least=1)
    initial_epoch = arguments.integer(initial_epoch, "initial_epoch", "fit", least=0)
    shuffle = arguments.flag(shuffle, "shuffle", "fit")
    resume = arguments.flag(resume, "resume", "fit")
    return_on_interrupt = arguments.flag(return_on_interrupt, "return_on_interrupt", "fit")
    if augment is not None and not isinstance(augment, Augmentation):
        raise TypeError(f"[fit] augment is {arguments.shown(augment)}, expected an Augmentation or None")
    x, y, validation_data, schedule = settle_validation(
        x,
        y,
        validation_split,
        validation_data,
        network=trainer.network,
        steps=validation_steps,
        batch_size=validation_batch_size,
        frequency=validation_freq,
    )
    with trainer.training("fit"):
        pinned = seed is not None
        seed = arguments.seed(seed, "fit") if pinned else trainer.seed
        options = {"shuffle": shuffle, "augment": augment, "seed": seed}
        feed = make_feed(trainer, x, y, batch_size, steps_per_epoch, "steps_per_epoch", **options)
        sanity.warn_of_nonsense(trainer, feed, "fit")
        trainer.warned = True
        validation = None
        if validation_data is not None:
            validation = validation_feed(
                trainer, validation_data, validation_steps, validation_batch_size, batch_size
            )
        trainer.prepare()
        start = start_position(trainer, feed, epochs, initial_epoch, resume, pinned)
        if validation is not None and not any(map(schedule.holds, range(start.epoch, epochs))):
            raise ValueError(
                f"[fit] validation_freq is {validation_freq}, expected one that comes due in epochs "
                f"{start.epoch + 1} to {epochs}"
            )
        watching = _watching(model, feed, epochs, start, callbacks, verbose, validation, schedule)
        validate = validation and (
            lambda: evaluation.evaluate(trainer, validation, watching, lambda: trainer.interrupted)
        )
        try:
            cut = fitting.fit(
                trainer,
                feed,
                epochs=epochs,
                start=start,
                callbacks=watching,
                validate=validate,
                schedule=schedule,
                seed=seed,
            )
        finally:
            for used in (feed, validation):
                if used is not None:
                    trainer.plans.forget_arrays(used.sources)
        pressed, trainer.interrupted = trainer.interrupted, cut
    if pressed and not return_on_interrupt:
        where = trainer.position
        raise KeyboardInterrupt(
            f"[fit] interrupted in epoch {where.epoch + 1} after step {where.step}; "
            "fit(..., resume=True) goes on from there"
            if cut
            else "[fit] interrupted; the training had just ended"
        )
    return model.history


def _watching(model, feed, epochs, start, callbacks, verbose, validation, schedule):
    """Return the callbacks of a training, ready to begin."""
    model.history = History()
    watching = watchers(callbacks, verbose, "fit", model.history)
    served = [callback for callback in watching if callback.model is model]  # in a training before
    params = {
        "epochs": epochs,
        "steps": feed.steps,
        "images": feed.images,
        "initial_epoch": start.epoch,
        "verbose": verbose,
    }
    watching = CallbackList(watching, model, params)
    every_epoch = log_names(model.trainer, False)
    all_names = log_names(model.trainer, validation is not None)
    watching.check(
        all_names, [] if schedule.every else [name for name in all_names if name not in every_epoch]
    )
    for callback in served:
        callback._continue_training(start is model.trainer.position)
    return watching


def train_on_batch(model, x, y, return_dict):
    """Do what `Model.train_on_batch` says."""
    trainer = model.trainer
    xs = as_inputs(x, trainer.network.inputs, "train_on_batch")
    return_dict = arguments.flag(return_dict, "return_dict", "train_on_batch")
    with trainer.training("train_on_batch"):
        shapes = [x.shape[1:] for x in xs]
        feed = make_feed(trainer, [(one_or_all(xs), y)], op="train_on_batch", shapes=shapes)
        if not trainer.warned:
            trainer.warned = True
            sanity.warn_of_nonsense(trainer, feed, "train_on_batch")
        trainer.prepare()
        with trainer.turns:
            trainer.totals.restore()
            batch, target_shapes, fill, _ = next(iter(feed.batches(0)))
            draw = 2**32 - 1, trainer.single_steps  # no fit gets that far
            trainer.single_steps += 1
            where = f"step {trainer.optimizer.iterations + 1}"
            step = fitting.Step(
                trainer, batch, target_shapes, fill, where=where, draw=draw, seed=trainer.seed
            )
            fitting.read_losses(trainer, [step])
            logs = trainer.totals.means(trainer.network.penalised)
    return logs if return_dict else _values(trainer, logs)


def evaluate(model, x, y, batch_size, verbose, steps, callbacks, return_dict):
    """Do what `Model.evaluate` says."""
    trainer = model.trainer
    trainer.expect_compiled("evaluate")
    return_dict = arguments.flag(return_dict, "return_dict", "evaluate")
    feed = make_feed(trainer, x, y, batch_size, steps, "steps", op="evaluate")
    params = {"epochs": 1, "steps": feed.steps, "images": feed.images, "verbose": verbose}
    watching = CallbackList(watchers(callbacks, verbose, "evaluate"), model, params)
    try:
        with watching._closed():
            logs = evaluation.evaluate(trainer, feed, watching)
    finally:
        with trainer.turns:
            trainer.plans.forget_arrays(feed.sources)
    return logs if return_dict else _values(trainer, logs)


def _values(trainer, logs):
    values = [logs[name] for name in ("loss", *trainer.metric_names)]
    return values if len(values) > 1 else values[0]


def predict(model, x, batch_size, verbose, steps, callbacks):
    """Do what `Model.predict` says."""
    inputs = model.trainer.network.inputs
    whole = is_array(x) or isinstance(x, (list, tuple))
    if whole and steps is not None:
        raise ValueError(f"[predict] steps is {steps}, expected None: x is an array; give a part of it")
    if not whole and batch_size is not None:
        raise ValueError(f"[predict] batch_size is {batch_size}, expected None: x brings its own batches")
    if steps is not None:
        steps = arguments.integer(steps, "steps", "predict", least=1)
    if batch_size is not None:
        batch_size = arguments.integer(batch_size, "batch_size", "predict", least=1)
    batch_size, images = batch_size or BATCH, None
    if whole:
        x = as_inputs(x, inputs, "predict")
        images = len(x[0])
        steps = -(-images // batch_size)
    params = {"epochs": 1, "steps": steps, "images": images, "verbose": verbose}
    watching = CallbackList(watchers(callbacks, verbose, "predict"), model, params)
    with watching._closed():
        return one_or_all(evaluation.predict(model.trainer, x, batch_size, steps, watching))


def predict_on_batch(model, x):
    """Do what `Model.predict_on_batch` says."""
    xs = as_inputs(x, model.trainer.network.inputs, "predict_on_batch")
    with model.trainer.turns:
        return one_or_all([y.copy() for y in evaluation.outputs(model.trainer, xs)])
