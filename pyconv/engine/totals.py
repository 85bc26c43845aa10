"""What a training and an evaluation count while they run."""

import numpy as np

from pyconv import _core


class Totals:
    """Running sums over the batches of an epoch: the loss, the correct answers and the L2 penalty.

    Kernels add to them where the model lies; `read` fetches them into `sums`.
    """

    _NAMES = ("loss", "correct", "penalty")
    MOST_REMEMBERED = 16

    def __init__(self, device="cpu"):
        self._memory = _core.zeros((len(self._NAMES),), "float64", device)
        self._losses = _core.zeros((self.MOST_REMEMBERED,), "float64", device)
        self.restore()

    def __getitem__(self, name):
        return self._memory.view(8 * self._NAMES.index(name), (1,), "float64")

    @property
    def loss(self):
        """The sum of the losses when last read; not finite once one was not."""
        return self.sums[0]

    @property
    def penalty(self):
        """The sum of the L2 penalties when last read."""
        return self.sums[2]

    def read(self):
        """Fetch the sums; on a device, once it has done all work."""
        self.sums = self._memory.numpy().tolist()

    def remember(self, i):
        """Keep the sum of the losses as it is now, as number `i`, where the model lies."""
        self._losses.view(8 * i, (1,), "float64").copy_from(self["loss"])

    def first_not_finite(self, count):
        """Return which of `count` remembered sums is the first that is not finite."""
        losses = self._losses.numpy()[:count]
        return int(np.argmax(~np.isfinite(losses))) if count > 1 else 0

    def restore(self, sums=(0.0, 0.0, 0.0), count=0):
        """Go on from sums over `count` examples; from nothing by default."""
        self.count = count
        self.sums = list(sums)
        self._memory.assign(self.sums)

    def means(self, accuracy_names, penalised):
        """Return the logs: "loss" with its penalty, the data's part as "data_loss", and the accuracies."""
        loss, correct, penalty = (value / max(self.count, 1) for value in self.sums)
        logs = {"loss": loss + penalty}
        if penalised:
            logs["data_loss"] = loss
        return {**logs, **dict.fromkeys(accuracy_names, correct)}
