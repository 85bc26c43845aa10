import contextlib

import hypothesis
import numpy as np
import pytest
from checks import BUDGETS
from cuda_backends import CUDA

from pyconv import _core

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


@contextlib.contextmanager
def _selected(name, precision):
    """Select a backend and a precision; those before come back at the end."""
    previous = _core.backend(), _core.precision()
    _core.select_backend(name)
    _core.set_precision(precision)
    yield
    _core.select_backend(previous[0])
    _core.set_precision(previous[1])


@pytest.fixture(params=_core.available_backends())
def isa(request):
    """The test runs once on every instruction set of this machine."""
    with _selected(request.param, _core.precision()):
        yield request.param


@pytest.fixture(params=[*_core.available_backends(), *CUDA])
def backend(request):
    """The test runs once on every instruction set and on CUDA (cuda_backends.py), in float32."""
    with _selected(request.param, "float32"):
        yield request.param


_ON_CUDA = [pytest.param((name, p), id=f"{name}-{p}") for name in CUDA for p in BUDGETS]


@pytest.fixture(
    params=[*(pytest.param((name, "float32"), id=name) for name in _core.available_backends()), *_ON_CUDA]
)
def kernels(request):
    """As `backend`, and on CUDA in each precision, whose kernels are others."""
    with _selected(*request.param):
        yield request.param


@pytest.fixture
def threads():
    """Set the number of threads; the one before comes back after the test."""
    previous = _core.num_threads()
    yield _core.set_num_threads
    _core.set_num_threads(previous)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
