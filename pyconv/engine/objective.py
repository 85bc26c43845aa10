"""What a training minimises: a loss for each of the network's outputs, and what is measured beside them."""

from typing import NamedTuple

from pyconv import losses, metrics
from pyconv.arguments import number
from pyconv.engine.data import of_each, targets_of
from pyconv.engine.expression import Expression
from pyconv.engine.network import one_or_all


class Part(NamedTuple):
    """What concerns one output; its metrics by their names in the logs."""

    output: str
    loss: losses.Loss
    weight: float
    metrics: dict


class Objective:
    """The sum of the outputs' losses, each times its weight, averaged over the batch.

    Of several outputs each loss is logged too, "dense_loss", and metrics as "dense_accuracy".
    """

    def __init__(self, parts):
        self.parts = parts
        self._several = len(parts) > 1

    @property
    def loss(self):
        """The loss, or the list of those of several outputs."""
        return one_or_all([part.loss for part in self.parts])

    @property
    def metric_names(self):
        """What is logged besides the loss: the outputs' losses, where they are several, then metrics."""
        own = [self._log(part, "loss") for part in self.parts] if self._several else []
        return (*own, *(self._log(part, name) for part in self.parts for name in part.metrics))

    def _log(self, part, name):
        return f"{part.output}_{name}" if self._several else name

    def targets(self, y, shapes, rows, op, name="y"):
        """Return what users hand in as targets as a tuple of arrays, one for each output."""
        given = targets_of(y, [part.output for part in self.parts], op, name)
        names = [f"{name}[{i}]" if self._several else name for i in range(len(given))]
        parts = zip(self.parts, given, shapes, names, strict=True)
        return tuple(part.loss.targets(one, shape, rows, op, called) for part, one, shape, called in parts)

    def target_shapes(self, size, shapes):
        """Return the shapes that targets of `size` examples usually have: labels where a loss takes them."""
        return tuple(
            (size,) if part.loss.takes_labels else (size, *shape)
            for part, shape in zip(self.parts, shapes, strict=True)
        )

    def trace(self, trace, outputs, target_shapes, totals):
        """Add losses and metrics of the outputs, and their sums; return the losses of the batch, (N,)."""
        whole = None
        for i, (part, y, shape) in enumerate(zip(self.parts, outputs, target_shapes, strict=True)):
            target = trace.input(f"target{i}", shape, "int32" if len(shape) == 1 else "float32")
            for name, metric in part.metrics.items():
                total = totals.metric(self._log(part, name))
                trace.call("sum", x=metric.trace(trace, y, target), total=total)
            one = part.loss.trace(trace, y, target)
            if tuple(one.shape) != y.shape[:1]:
                raise ValueError(
                    f"[{type(part.loss).__name__}] the loss has shape {tuple(one.shape)}, "
                    f"expected {y.shape[:1]}: a number for each example"
                )
            if self._several:
                trace.call("sum", x=one, total=totals.metric(self._log(part, "loss")))
            weighted = Expression(trace, one) * part.weight if part.weight != 1 else Expression(trace, one)
            whole = weighted if whole is None else whole + weighted
        trace.call("sum", x=whole.buffer, total=totals.loss)
        return whole.buffer


def objective_of(outputs, loss, weights, measured):
    """Return the Objective that the arguments of `compile` mean for a network whose outputs have these names.

    For several outputs each argument is a list, or a dict by the outputs' names; a single loss is for all.
    """
    if len(outputs) == 1 and weights is None:
        return Objective([Part(outputs[0], losses.get(loss), 1.0, metrics.named(measured))])
    chosen = [losses.get(one) for one in of_each(loss, outputs, "loss")]
    weights = [1 if one is None else one for one in of_each(weights, outputs, "loss_weights")]
    weights = [number(one, "loss_weights", "compile", least=0) for one in weights]
    found = [metrics.named(one) for one in of_each(measured, outputs, "metrics")]
    return Objective([Part(*part) for part in zip(outputs, chosen, weights, found, strict=True)])
