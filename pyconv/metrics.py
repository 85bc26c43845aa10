"""Metrics by Keras' names: the fraction of examples whose largest score is the label's."""

_ACCURACY = ("accuracy", "acc", "categorical_accuracy", "sparse_categorical_accuracy")


def resolve(metrics):
    """Return the names under which accuracy is logged, as the user wrote them: a tuple, empty for none.

    `metrics` is None, a name or a list of names. All of Keras' names for accuracy mean the same kernel, which
    takes labels and one-hot rows alike. Raises ValueError for any other metric.
    """
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics or ())
    for name in names:
        if name not in _ACCURACY:
            raise ValueError(f"[metrics] unknown metric {name!r}, expected one of {', '.join(_ACCURACY)}")
    return tuple(dict.fromkeys(names))
