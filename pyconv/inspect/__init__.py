"""What goes on inside a trained network: plain functions of a model and arrays, arrays out."""

from pyconv import names
from pyconv.inspect.answers import confusion, mistakes, top_patches
from pyconv.inspect.explanation import explain
from pyconv.inspect.features import features
from pyconv.inspect.fields import effective_field, receptive_field
from pyconv.inspect.gradients import grad_cam, gradient, occlusion, saliency
from pyconv.inspect.maximisation import deep_dream, maximise

__all__ = [
    "confusion",
    "deep_dream",
    "effective_field",
    "explain",
    "features",
    "grad_cam",
    "gradient",
    "maximise",
    "mistakes",
    "occlusion",
    "receptive_field",
    "saliency",
    "top_patches",
]


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
