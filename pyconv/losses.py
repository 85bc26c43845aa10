"""Training losses, by Keras' names. The kernel fuses them with the softmax before them."""

from pyconv import names
from pyconv.arguments import flag, number, shown
from pyconv.serialization import Configurable, find

__all__ = ["CategoricalCrossentropy", "Loss", "SparseCategoricalCrossentropy", "get"]


class Loss(Configurable):
    """A loss: `sparse`, `from_logits` and `label_smoothing` say what the one kernel there is computes."""

    settable = ()
    from_logits = False
    label_smoothing = 0.0


class CategoricalCrossentropy(Loss):
    """Cross-entropy in nats, averaged over the batch; targets (N, K): one-hot rows or probabilities.

    `from_logits=False` (Keras' default) asks for a model that ends in a softmax, which the loss then
    absorbs; with True the model's output is the logits. `label_smoothing` s in [0, 1): targets become
    (1 - s) * target + s / K.
    """

    sparse = False

    def __init__(self, from_logits=False, label_smoothing=0.0):
        op = type(self).__name__
        self.from_logits = flag(from_logits, "from_logits", op)
        self.label_smoothing = number(label_smoothing, "label_smoothing", op, least=0, below=1)


class SparseCategoricalCrossentropy(Loss):
    """`CategoricalCrossentropy` for integer labels, (N,) or (N, 1)."""

    sparse = True
    label_smoothing = 0.0

    def __init__(self, from_logits=False):
        self.from_logits = flag(from_logits, "from_logits", type(self).__name__)


_CLASSES = {
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get(identifier):
    """Return the loss that `identifier` (an instance, a Keras name or a config) means."""
    if identifier is None:
        raise ValueError(f"[loss] loss is None, expected one of {', '.join(_CLASSES)}")
    loss = find(identifier, _CLASSES, Loss, "[loss] unknown loss", "losses")
    if not isinstance(loss, (CategoricalCrossentropy, SparseCategoricalCrossentropy)):
        raise TypeError(
            f"[loss] loss is {shown(loss)}, expected one of {', '.join(_CLASSES)}: pyconv has no other yet"
        )
    return loss


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
