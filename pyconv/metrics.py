"""What is measured beside the loss, as means over examples, by Keras' names."""

from pyconv import names
from pyconv.arguments import shown, text
from pyconv.serialization import Configurable

__all__ = ["Accuracy", "Metric", "named", "resolve"]

_ACCURACY = ("accuracy", "acc", "categorical_accuracy", "sparse_categorical_accuracy")


class Metric(Configurable):
    """A mean over examples, logged under its name. A subclass says its calls: `trace`."""

    settable = ()

    def __init__(self, name):
        self.name = text(name, "name", type(self).__name__)

    def trace(self, trace, scores, target):
        """Add the metric's calls; return a buffer (N,), one number for each example.

        `scores` (N, ...) is the model's output; `target` is what the loss takes: labels, int32 (N,), or
        float32 of the output's shape.
        """
        raise NotImplementedError(f"[{self.name}] a metric defines trace(self, trace, scores, target)")


class Accuracy(Metric):
    """The fraction of examples whose first largest score is the label's, or the target's first largest."""

    def __init__(self, name="accuracy"):
        super().__init__(name)

    def trace(self, trace, scores, target):
        return trace.call("accuracy", scores=scores, target=target, correct=trace.buffer(scores.shape[:1]))


def named(metrics):
    """Return {name in the logs: Metric} of what the user gave: None, names, Metrics, or a list of them.

    All of Keras' names for accuracy mean the same, which takes labels and one-hot rows alike. Raises
    ValueError for any other name.
    """
    given = (metrics,) if isinstance(metrics, (str, Metric)) else () if metrics is None else metrics
    if not isinstance(given, (list, tuple)) or not all(isinstance(one, (str, Metric)) for one in given):
        raise TypeError(f"[metrics] metrics is {shown(metrics)}, expected a list of {', '.join(_ACCURACY)}")
    found = {}
    for one in given:
        if isinstance(one, str) and one not in _ACCURACY:
            raise names.unknown("[metrics] unknown metric", one, _ACCURACY, "metrics")
        metric = Accuracy(one) if isinstance(one, str) else one
        if metric.name in ("loss", "data_loss", "learning_rate") or metric.name.startswith("val_"):
            raise ValueError(
                f"[metrics] a metric is named {metric.name!r}, expected a name that no other log has"
            )
        if found.setdefault(metric.name, metric) is not metric and not isinstance(one, str):
            raise ValueError(f"[metrics] two metrics are named {metric.name!r}, expected names that differ")
    return found


def resolve(metrics):
    """Return the names under which metrics are logged: a tuple, empty for none."""
    return tuple(named(metrics))


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
