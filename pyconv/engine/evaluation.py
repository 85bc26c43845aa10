"""Evaluation and prediction: batches in turn, with the hooks of callbacks around them."""

import numpy as np

from pyconv import _core
from pyconv.engine import changes
from pyconv.engine.batch import Batch
from pyconv.engine.data import kinds_of
from pyconv.engine.feeds import fill_inputs, input_batches
from pyconv.engine.network import one_or_all


def evaluate(trainer, feed, callbacks, stop=None):
    """Return the logs over the feed's batches; None once `stop()`, asked after each, says so."""
    with trainer.borrowed_totals() as totals:
        callbacks.on_test_begin({})
        for step, (batch, target_shapes, fill, _) in enumerate(feed.batches(0)):
            callbacks.on_test_batch_begin(step, {})
            with trainer.turns:
                plan = trainer.evaluation_plan(batch, target_shapes, totals)
                fill(plan)
                plan.run()
            totals.count += batch.size
            logs = {}
            if callbacks._reads_test_batch():
                totals.read()
                logs = totals.means(False)
            callbacks.on_test_batch_end(step, logs)
            if stop and stop():
                return None
        with trainer.turns:
            for parameter in trainer.network.trainable_parameters:
                if parameter.l2:
                    scale = parameter.l2 * totals.count
                    _core.sum_of_squares(parameter.tensor, scale=scale, total=totals.penalty)
            totals.read()
        logs = totals.means(trainer.network.penalised)
        callbacks.on_test_end(logs)
        return logs


def outputs(trainer, xs):
    """Return the outputs for a batch, views that the next one overwrites. The caller has its turn."""
    kinds = [(x.shape, x.dtype) for x in xs]

    def find():
        trainer.build_for([x.shape[1:] for x in xs], "predict")
        return trainer.prediction_plan(Batch(len(xs[0]), kinds_of(xs), trainer.device))

    plan = trainer.plans.again((*kinds, changes.structure.value), find)
    fill_inputs(plan, "x", xs)
    plan.run()
    return [plan[f"y{i}"].numpy() for i in range(len(trainer.network.outputs))]


def predict(trainer, x, batch_size, steps, callbacks):
    """Return the outputs for `x`, a list of arrays: see `input_batches`."""
    parts, whole = [], None
    if isinstance(x, tuple):
        trainer.build_for([one.shape[1:] for one in x], "predict")
        whole = [np.empty((len(x[0]), *shape), np.float32) for shape in trainer.network.output_shapes]
    callbacks.on_predict_begin({})
    done = 0
    for step, xs in enumerate(input_batches(x, trainer.network.inputs, batch_size, steps, "predict")):
        callbacks.on_predict_batch_begin(step, {})
        rows = len(xs[0])
        with trainer.turns:
            made = outputs(trainer, xs)
            if whole is None:
                parts.append([y.copy() for y in made])
            else:
                for y, part in zip(whole, made, strict=True):
                    y[done : done + rows] = part
        done += rows
        batch = parts[-1] if whole is None else [y[done - rows : done] for y in whole]
        callbacks.on_predict_batch_end(step, {"outputs": one_or_all(batch)})
    callbacks.on_predict_end({})
    return [np.concatenate(one) for one in zip(*parts, strict=True)] if whole is None else whole
