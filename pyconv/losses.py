"""Training losses, by Keras' names, and what one's own is made of."""

from pyconv import names
from pyconv.arguments import flag, number, shown
from pyconv.engine.data import as_targets, as_values
from pyconv.engine.expression import Expression
from pyconv.layers.activation import Softmax
from pyconv.serialization import Configurable, find

__all__ = ["CategoricalCrossentropy", "Loss", "SparseCategoricalCrossentropy", "get"]


class Loss(Configurable):
    """What training minimises: a number for each example, averaged over the batch.

    A loss of one's own says its formula, as in Keras:

        class MeanSquaredError(losses.Loss):
            def call(self, y_true, y_pred):
                return ((y_true - y_pred) ** 2).mean()

    It is saved with a model by its class, which must be defined before the model is loaded.
    """

    settable = ()
    from_logits = False
    label_smoothing = 0.0
    takes_labels = False  # (N,) besides the shape of the output

    def call(self, y_true, y_pred):
        """Return the loss of each example, an expression (N,); of one (N, ...) the means are taken.

        Both arguments are expressions of the shape of the model's output, (N, ...), to calculate with: with
        each other, with numbers and arrays by `+ - * /` and `**`; by their methods `exp`, `log`, `abs` and
        `relu`; and over all values of an example by `sum` and `mean`, which give (N,).
        """
        raise NotImplementedError(f"[{type(self).__name__}] a loss defines call(self, y_true, y_pred)")

    def trace(self, trace, y, target):
        """Add the loss' calls, and `record` their gradients; return a buffer (N,).

        `y` (N, ...) is the model's output, `target` what `targets` made of the user's.
        """
        losses = self.call(Expression(trace, target), Expression(trace, y))
        if not isinstance(losses, Expression):
            raise TypeError(
                f"[{type(self).__name__}] call returned {shown(losses)}, "
                "expected an expression of y_true and y_pred"
            )
        return (losses.mean() if len(losses.shape) > 1 else losses).buffer

    def targets(self, y, output_shape, rows, op, name="y"):
        """Return the targets `y` that users hand in as an array (rows, ...); raise what is wrong."""
        return as_values(y, output_shape, rows, op, name)


class CategoricalCrossentropy(Loss):
    """Cross-entropy in nats, averaged over the batch; targets (N, K): one-hot rows or probabilities.

    `from_logits=False` (Keras' default) asks for a model that ends in a softmax; with True the model's output
    is the logits. Both are computed from the logits. `label_smoothing` s in [0, 1): targets become
    (1 - s) * target + s / K.
    """

    sparse = False
    takes_labels = True

    def __init__(self, from_logits=False, label_smoothing=0.0):
        op = type(self).__name__
        self.from_logits = flag(from_logits, "from_logits", op)
        self.label_smoothing = number(label_smoothing, "label_smoothing", op, least=0, below=1)

    def trace(self, trace, y, target):
        """Add softmax, if need be, and cross-entropy, which fusion makes one call on the logits."""
        if self.from_logits:
            y = Softmax().trace(trace, y)
        elif not _sums_to_one(trace, y):
            raise ValueError(
                f"[{type(self).__name__}] from_logits is False, expected a model that ends in a softmax; "
                "end it in one, or give the loss from_logits=True"
            )
        same = {"x": y, "target": target, "label_smoothing": self.label_smoothing}
        losses = trace.call("cross_entropy", **same, loss=trace.buffer(y.shape[:1]))

        def rule(dloss):
            return trace.call("cross_entropy_backward", dloss=dloss, **same, dx=trace.buffer(y.shape))

        trace.record([y], losses, rule)
        return losses

    def targets(self, y, output_shape, rows, op, name="y"):
        """Return labels (N,) as int32, or rows (N, K) as float32."""
        if len(output_shape) != 1:
            raise ValueError(
                f"[{op}] the model's output has shape {tuple(output_shape)}, expected (K,): one score a class"
            )
        return as_targets(y, output_shape[0], rows, op, name)


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """`CategoricalCrossentropy` for integer labels, (N,) or (N, 1)."""

    sparse = True

    def __init__(self, from_logits=False):
        super().__init__(from_logits)


def _sums_to_one(trace, x):
    """Whether `x` is a softmax, or calculated from some: the loss divides by the sum."""
    call = trace.writer(x)
    if call is None or call.op not in ("softmax", "add", "multiply", "divide", "rescale", "exp"):
        return False
    return call.op in ("softmax", "exp") or all(
        _sums_to_one(trace, one) for one in call.buffers(written=False)
    )


_CLASSES = {
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get(identifier):
    """Return the loss that `identifier` (an instance, a Keras name or a config) means."""
    if identifier is None:
        raise ValueError(f"[loss] loss is None, expected one of {', '.join(_CLASSES)}, or a Loss of your own")
    loss = find(identifier, _CLASSES, Loss, "[loss] unknown loss", "losses")
    if type(loss).call is Loss.call and type(loss).trace is Loss.trace:
        raise TypeError(f"[loss] loss is {shown(loss)}, expected one that defines call(self, y_true, y_pred)")
    return loss


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
