"""Evaluation and prediction: batches in turn, with the hooks of callbacks around them."""

import numpy as np

from pyconv import _core
from pyconv.engine import changes
from pyconv.engine.batch import Batch
from pyconv.engine.data import is_array
from pyconv.engine.feeds import image_batches
from pyconv.engine.network import one_or_all


def evaluate(trainer, feed, callbacks, stop=None):
    """Return the logs over the feed's batches; None once `stop()`, asked after each, says so."""
    with trainer.borrowed_totals() as totals:
        callbacks.on_test_begin({})
        for step, (batch, target_shape, fill, _) in enumerate(feed.batches(0)):
            callbacks.on_test_batch_begin(step, {})
            with trainer.turns:
                plan = trainer.evaluation_plan(batch, target_shape, totals)
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


def outputs(trainer, x):
    """Return the outputs for a batch, views that the next one overwrites. The caller has its turn."""

    def find():
        trainer.build_for(x.shape[1:], "predict")
        return trainer.prediction_plan(Batch(len(x), x.shape[1:], x.dtype.name, trainer.device))

    plan = trainer.plans.again((x.shape, x.dtype, changes.structure.value), find)
    plan["x"].assign(x)
    plan.run()
    return [plan[f"y{i}"].numpy() for i in range(len(trainer.network.outputs))]


def predict(trainer, x, batch_size, steps, callbacks):
    """Return the outputs for `x`, a list of arrays: see `image_batches`."""
    parts, whole = [], None
    if is_array(x):
        trainer.build_for(x.shape[1:], "predict")
        shapes = [trainer.network.shapes[i] for i in trainer.network.outputs]
        whole = [np.empty((len(x), *shape), np.float32) for shape in shapes]
    callbacks.on_predict_begin({})
    done = 0
    for step, rows in enumerate(image_batches(x, batch_size, steps, "predict")):
        callbacks.on_predict_batch_begin(step, {})
        with trainer.turns:
            made = outputs(trainer, rows)
            if whole is None:
                parts.append([y.copy() for y in made])
            else:
                for y, part in zip(whole, made, strict=True):
                    y[done : done + len(rows)] = part
        done += len(rows)
        batch = parts[-1] if whole is None else [y[done - len(rows) : done] for y in whole]
        callbacks.on_predict_batch_end(step, {"outputs": one_or_all(batch)})
    callbacks.on_predict_end({})
    return [np.concatenate(one) for one in zip(*parts, strict=True)] if whole is None else whole
