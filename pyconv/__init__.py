"""pyconv: convolutional networks in a wheel of a few megabytes.

    from pyconv import Sequential, layers
    from pyconv import ops                      # the kernels, on NumPy arrays

`python -m pyconv.train` trains on CIFAR-10; `python -m pyconv.train --dataset shapes` needs no data.
"""

import importlib.util
import pkgutil
import sys

__version__ = "0.1.0"

# In a checkout, this folder shadows the installed package, which alone holds the built extension: look for
# submodules there too.
__path__ = pkgutil.extend_path(__path__, __name__)

try:
    from pyconv import _core
except ImportError as error:
    if "subinterpreter" in str(error):
        raise
    if importlib.util.find_spec("pyconv._core"):
        raise ImportError(
            f"pyconv's extension module cannot be loaded ({error}). "
            "In a checkout, build and install it again: pip install ."
        ) from error
    raise ImportError(
        f"pyconv's extension module is not built for Python {sys.version_info[0]}.{sys.version_info[1]} "
        f"({sys.executable}). In a checkout, build and install it first: pip install ."
    ) from None

if _core.__version__ != __version__:
    raise ImportError(
        f"pyconv is version {__version__}, its extension module {_core.__version__}: "
        "two installations are mixed. In a checkout, run pip install . again"
    )

try:
    _core.read_environment()  # an ImportError where PYCONV_ISA names no instruction set of this machine
except ImportError as error:
    if sys.argv[:1] == ["-m"] or sys.argv[0].endswith("/pyconv"):  # a command says it in one line
        sys.exit(f"error: {error}")
    raise

from pyconv import names

Tensor = _core.Tensor
empty_cache = _core.empty_cache
from_dlpack = _core.from_dlpack
memory_statistics = _core.memory_statistics
num_threads = _core.num_threads
precision = _core.precision
set_num_threads = _core.set_num_threads
set_precision = _core.set_precision

# Loaded at first use: importing pyconv stays as quick as importing NumPy.
_LAZY = {
    "Augmentation": "pyconv.preprocessing",
    "Model": "pyconv.models",
    "Sequential": "pyconv.models",
    "load_model": "pyconv.models",
    "model_from_json": "pyconv.models",
    "set_random_seed": "pyconv.utils",
}
_SUBMODULES = (
    "callbacks",
    "checkpoint",
    "cuda",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "recipes",
    "regularizers",
    "schedules",
    "utils",
)

__all__ = [
    "Tensor",
    "empty_cache",
    "from_dlpack",
    "memory_statistics",
    "num_threads",
    "precision",
    "set_num_threads",
    "set_precision",
    *_LAZY,
    *_SUBMODULES,
]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise names.missing(__name__, name, __all__)


def __dir__():
    return sorted({*globals(), *__all__})
