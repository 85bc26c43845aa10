"""Metrics by Keras' names: the fraction of examples whose largest score is the label's."""

from pyconv import names
from pyconv.arguments import shown

__all__ = ["resolve"]

_ACCURACY = ("accuracy", "acc", "categorical_accuracy", "sparse_categorical_accuracy")


def resolve(metrics):
    """Return the names under which accuracy is logged, as the user wrote them: a tuple, empty for none.

    `metrics` is None, a name or a list of names. All of Keras' names for accuracy mean the same kernel, which
    takes labels and one-hot rows alike. Raises ValueError for any other metric.
    """
    given = (metrics,) if isinstance(metrics, str) else () if metrics is None else metrics
    if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"[metrics] metrics is {shown(metrics)}, expected a list of {', '.join(_ACCURACY)}")
    for name in given:
        if name not in _ACCURACY:
            raise names.unknown("[metrics] unknown metric", name, _ACCURACY, "metrics")
    return tuple(dict.fromkeys(given))


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
