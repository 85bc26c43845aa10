"""TensorBoard's files, by tensorboardX (extra `tensorboard`)."""

import os
import time

from pyconv import arguments
from pyconv.attributes import Checked
from pyconv.callbacks.base import Callback
from pyconv.layers import Conv2D

_MOST_KERNELS = 64  # shown of a layer


class TensorBoard(Callback):
    """Writes what TensorBoard shows: scalars, weights as histograms, kernels as images.

    As Keras' callback: scalars of training and validation lie in folders of their own, under one name
    ("epoch_loss"). A resumed training goes on in new files, which TensorBoard joins.

    Args:
        log_dir: the folder to write.
        histogram_freq: write weights as histograms after each so many epochs; 0: never.
        write_images: write the convolutions' kernels as images, too, as often as histograms (after each epoch
            where these are off).
        update_freq: "epoch", or after how many batches scalars are written besides ("batch": each).
    """

    log_dir = Checked(arguments.path)
    histogram_freq = Checked(arguments.integer, least=0)
    write_images = Checked(arguments.flag)

    def __init__(self, log_dir="logs", histogram_freq=0, write_images=False, update_freq="epoch"):
        self.log_dir, self.histogram_freq, self.write_images = log_dir, histogram_freq, write_images
        if not isinstance(update_freq, str) or update_freq not in ("epoch", "batch"):
            update_freq = arguments.integer(update_freq, "update_freq", type(self).__name__, least=1)
        self.update_freq = update_freq
        self._writers = {}
        _writer_class()  # tells at once if it is missing

    def _reads_batch(self):
        return self.update_freq != "epoch"

    def on_train_begin(self, logs=None):
        self._batches = self.model.optimizer.iterations

    def on_train_batch_end(self, batch, logs=None):
        self._batches += 1
        every = {"epoch": 0, "batch": 1}.get(self.update_freq, self.update_freq)
        if every and self._batches % every == 0:
            for name, value in (logs or {}).items():
                self._writer("train").add_scalar(f"batch_{name}", value, self._batches)

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            if value is not None:
                where = "validation" if name.startswith("val_") else "train"
                self._writer(where).add_scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        due = self.histogram_freq and epoch % self.histogram_freq == 0
        if due:
            for name, parameter in self.model.network.named_parameters().items():
                self._writer("train").add_histogram(name, parameter.numpy(), epoch)
        if self.write_images and (due or not self.histogram_freq):
            for path, layer in self.model.network.walk():
                if isinstance(layer, Conv2D):
                    images = kernel_images(layer.kernel.numpy())
                    self._writer("train").add_images(
                        f"{path}/kernel_images", images, epoch, dataformats="NHWC"
                    )
        for writer in self._writers.values():
            writer.flush()

    def _writer(self, name):
        if name not in self._writers:
            suffix = f".{time.time_ns()}"  # two writers of one second would have one file
            self._writers[name] = _writer_class()(os.path.join(self.log_dir, name), filename_suffix=suffix)
        return self._writers[name]

    def _close(self):
        while self._writers:
            self._writers.popitem()[1].close()


def kernel_images(kernel):
    """Return kernels (KH, KW, C_in, C_out) as images from 0 to 1, (n, KH, KW, 1 or 3): the first 64 at most.

    Of three input channels they are colours, of others the mean over these.
    """
    images = kernel.transpose(3, 0, 1, 2)[:_MOST_KERNELS]
    if images.shape[3] != 3:
        images = images.mean(3, keepdims=True)
    low, high = images.min(), images.max()
    return (images - low) / (high - low or 1)


def _writer_class():
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ModuleNotFoundError(
            "[TensorBoard] tensorboardX is not installed: pip install 'pyconv[tensorboard]' brings it"
        ) from None
    return SummaryWriter
