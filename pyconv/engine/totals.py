"""What a training and an evaluation count while they run."""

import numpy as np

from pyconv import _core


class Totals:
    """Running sums over the examples of an epoch: the loss, each metric, and the L2 penalty.

    Kernels add to them where the model lies; `read` fetches them into `sums`.
    """

    MOST_REMEMBERED = 16

    def __init__(self, metric_names=(), device="cpu"):
        self._metrics = tuple(metric_names)
        self._count = len(self._metrics) + 2
        self._memory = _core.zeros((self._count,), "float64", device)
        self._losses = _core.zeros((self.MOST_REMEMBERED,), "float64", device)
        self.restore()

    @property
    def loss(self):
        """Where the losses are added up, float64 (1,)."""
        return self._at(0)

    @property
    def penalty(self):
        """Where the L2 penalties are added up, float64 (1,)."""
        return self._at(self._count - 1)

    def metric(self, name):
        """Return where a metric is added up, float64 (1,)."""
        return self._at(1 + self._metrics.index(name))

    def _at(self, i):
        return self._memory.view(8 * i, (1,), "float64")

    def read(self):
        """Fetch the sums; on a device, once it has done all work."""
        self.sums = self._memory.numpy().tolist()

    def remember(self, i):
        """Keep the sum of the losses as it is now, as number `i`, where the model lies."""
        self._losses.view(8 * i, (1,), "float64").copy_from(self.loss)

    def first_not_finite(self, count):
        """Return which of `count` remembered sums is the first that is not finite."""
        losses = self._losses.numpy()[:count]
        return int(np.argmax(~np.isfinite(losses))) if count > 1 else 0

    def restore(self, sums=None, count=0):
        """Go on from sums over `count` examples; from nothing by default."""
        self.count = count
        self.sums = [0.0] * self._count if sums is None else list(sums)
        self._memory.assign(self.sums)

    def means(self, penalised):
        """Return the logs: "loss" with its penalty, the data's part as "data_loss", and the metrics."""
        loss, *metrics, penalty = (value / max(self.count, 1) for value in self.sums)
        logs = {"loss": loss + penalty}
        if penalised:
            logs["data_loss"] = loss
        return {**logs, **dict(zip(self._metrics, metrics, strict=True))}
