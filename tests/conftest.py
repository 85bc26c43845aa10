import hypothesis
import numpy as np
import pytest
from cuda_backends import CUDA

from pyconv import _core

PRECISIONS = ("float32", "tf32", "bfloat16")

# The `backend` fixture holds for all examples of a test, which is what is meant.
hypothesis.settings.register_profile(
    "pyconv",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("pyconv")


@pytest.fixture(params=_core.available_backends())
def isa(request):
    """The test runs once on every instruction set of this machine."""
    previous = _core.backend()
    _core.select_backend(request.param)
    yield request.param
    _core.select_backend(previous)


@pytest.fixture(params=[*_core.available_backends(), *CUDA])
def backend(request):
    """The test runs once on every instruction set and on CUDA (cuda_backends.py), in float32."""
    previous, precision = _core.backend(), _core.precision()
    _core.select_backend(request.param)
    _core.set_precision("float32")
    yield request.param
    _core.select_backend(previous)
    _core.set_precision(precision)


@pytest.fixture(params=[*_core.available_backends(), *(f"{c}-{p}" for c in CUDA for p in PRECISIONS)])
def kernels(request):
    """As `backend`, and on CUDA in each precision, whose kernels are others."""
    previous, precision = _core.backend(), _core.precision()
    name = request.param.rsplit("-", 1)
    if name[-1] in PRECISIONS:
        _core.set_precision(name[-1])
    _core.select_backend(name[0] if name[-1] in PRECISIONS else request.param)
    yield request.param
    _core.select_backend(previous)
    _core.set_precision(precision)


@pytest.fixture
def threads():
    """Set the number of threads; the one before comes back after the test."""
    previous = _core.num_threads()
    yield _core.set_num_threads
    _core.set_num_threads(previous)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
