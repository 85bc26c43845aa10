"""What runs between the steps of `fit`: Keras' callbacks, each with a state that makes resuming exact."""

from pyconv import names
from pyconv.callbacks.base import (
    Callback,
    CallbackList,
    CSVLogger,
    History,
    LambdaCallback,
    LearningRateScheduler,
)
from pyconv.callbacks.monitors import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from pyconv.callbacks.tensorboard import TensorBoard

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
]


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
