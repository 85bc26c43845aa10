"""Models: what layers make together. Keras' names, arguments and meanings."""

from pyconv import names
from pyconv.models.loading import load_model, model_from_json
from pyconv.models.model import Model
from pyconv.models.sequential import Sequential

__all__ = ["Model", "Sequential", "load_model", "model_from_json"]


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
