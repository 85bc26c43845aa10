import numpy as np
import pytest
import references
from checks import EPSILON, assert_close, check_gradient, normal, tensor

from pyconv import _core, ops

SHAPES = [
    (1, 1),
    (7, 1),
    (2, 3),
    (33, 17),
    (300, 5),
    (5000, 33),
    (2, 9, 7, 3),
    (1, 5, 5, 64),
    (3, 130),
    (9, 1030),
]


def parameters(rng, C):
    return {"gamma": normal(rng, C), "beta": normal(rng, C)}


def running(C):
    return {"running_mean": np.full(C, 2, np.float32), "running_variance": np.full(C, 3, np.float32)}


@pytest.mark.parametrize("shape", SHAPES)
def test_training(backend, rng, shape):
    x, p, r = normal(rng, *shape) * 3 + 2, parameters(rng, shape[-1]), running(shape[-1])
    M = x.size // shape[-1]
    y, mean, rstd, running_mean, running_variance = ops.batch_norm(x, **p, **r, epsilon=1e-2, momentum=0.75)
    expected, expected_mean, variance = references.batch_norm(x, **p, epsilon=1e-2)
    assert_close(mean, expected_mean, length=M)
    assert_close(rstd, 1 / np.sqrt(variance + 1e-2), length=M)
    assert_close(y, expected, length=M)
    assert_close(running_mean, 0.75 * 2 + 0.25 * expected_mean, length=M)
    assert_close(running_variance, 0.75 * 3 + 0.25 * variance, length=M)
    np.testing.assert_array_equal(r["running_mean"], 2)  # what was given is not written


def test_defaults_are_keras(backend, rng):
    x = normal(rng, 50, 3) * 0.01
    _, mean, rstd, running_mean, _ = ops.batch_norm(x, None, None, **running(3))
    assert_close(rstd, 1 / np.sqrt(x.var(0, dtype=np.float64) + 1e-3), length=50)
    assert_close(running_mean, 0.99 * 2 + 0.01 * mean)


def test_without_gamma_and_beta(backend, rng):
    x, dy = normal(rng, 50, 19), normal(rng, 50, 19)
    y, mean, rstd = _core.batch_norm(tensor(x))
    assert_close(y.numpy(), references.batch_norm(x)[0], length=50)
    dx, _, _ = _core.batch_norm_backward(tensor(dy), tensor(x), None, mean, rstd)
    assert_close(dx, references.batch_norm_backward(dy, x)[0], length=50)
    y = _core.batch_norm_inference(tensor(x), None, None, mean, rstd)
    assert_close(y, references.batch_norm_inference(x, None, None, mean.numpy(), rstd.numpy()))


def test_variance_survives_a_large_mean(backend, rng):
    """Not computed as the mean square less the squared mean, which would lose all digits here."""
    x = normal(rng, 4000, 5) + 4096
    _, mean, rstd = (r.numpy() for r in _core.batch_norm(tensor(x)))
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64), rtol=EPSILON)
    np.testing.assert_allclose(rstd, 1 / np.sqrt(x.var(0, dtype=np.float64) + 1e-3), rtol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_inference(backend, rng, shape):
    x, p = normal(rng, *shape), parameters(rng, shape[-1])
    mean, variance = normal(rng, shape[-1]), normal(rng, shape[-1]) ** 2
    y = ops.batch_norm_inference(x, **p, mean=mean, variance=variance, epsilon=1e-2)
    assert_close(y, references.batch_norm_inference(x, **p, mean=mean, variance=variance, epsilon=1e-2))


@pytest.mark.parametrize("shape", SHAPES)
def test_backward(backend, rng, shape):
    x, dy, gamma = normal(rng, *shape) * 3 + 2, normal(rng, *shape), normal(rng, shape[-1])
    M = x.size // shape[-1]
    _, mean, rstd, _, _ = ops.batch_norm(x, gamma, gamma, **running(shape[-1]))
    dx, dgamma, dbeta = ops.batch_norm_backward(dy, x, gamma, mean, rstd)
    expected = references.batch_norm_backward(dy, x, gamma)
    assert_close(dx, expected[0], length=M, scale=np.abs(dy * gamma * rstd).max())
    assert_close(dgamma, expected[1], length=M)
    assert_close(dbeta, expected[2], length=M)


def test_reference_gradients(rng):
    x, dy, p = normal(rng, 6, 3), normal(rng, 6, 3), parameters(rng, 3)

    def loss(x=x, **changed):
        return (references.batch_norm(x, **{**p, **changed})[0] * dy).sum()

    dx, dgamma, dbeta = references.batch_norm_backward(dy, x, p["gamma"])
    check_gradient(lambda x: loss(x), x, dx)
    check_gradient(lambda gamma: loss(gamma=gamma), p["gamma"], dgamma)
    check_gradient(lambda beta: loss(beta=beta), p["beta"], dbeta)


def test_constant_channels(backend):
    """Variance 0: y is beta, and rstd 1 / sqrt(epsilon)."""
    x = np.tile(np.float32([0.1, 1e4, -3]), (100, 1))
    y, _, rstd, _, running_variance = ops.batch_norm(
        x, None, np.ones(3, np.float32), **running(3), momentum=0.0
    )
    np.testing.assert_allclose(y, 1, atol=0.05)
    np.testing.assert_allclose(rstd[[0, 2]], 1e-3**-0.5, rtol=1e-5)
    np.testing.assert_allclose(running_variance[[0, 2]], 0, atol=1e-10)


def test_nan_stays_in_its_channel(backend, rng):
    x, dy = normal(rng, 40, 19), normal(rng, 40, 19)
    x[7, 3] = np.nan
    y, mean, rstd, *_ = ops.batch_norm(x, None, None, **running(19))
    dx, dgamma, dbeta = ops.batch_norm_backward(dy, x, np.ones(19, np.float32), mean, rstd)
    for result in (y, mean, rstd, dx, dgamma):
        np.testing.assert_array_equal(np.isnan(result), np.broadcast_to(np.arange(19) == 3, result.shape))
    assert np.isfinite(dbeta).all()


def test_running_statistics_are_updated_in_place(backend, rng):
    x, r = normal(rng, 40, 5), {name: tensor(a) for name, a in running(5).items()}
    expected = ops.batch_norm(x, None, None, **running(5), momentum=0.9)
    _core.batch_norm(tensor(x), **r, momentum=0.9)
    np.testing.assert_array_equal(r["running_mean"].numpy(), expected[3])
    np.testing.assert_array_equal(r["running_variance"].numpy(), expected[4])


def test_an_empty_batch_leaves_running_statistics_alone(backend):
    r = running(3)
    y, _, _, running_mean, running_variance = ops.batch_norm(
        np.zeros((0, 4, 4, 3), np.float32), None, None, **r
    )
    assert y.shape == (0, 4, 4, 3)
    np.testing.assert_array_equal(running_mean, r["running_mean"])
    np.testing.assert_array_equal(running_variance, r["running_variance"])


def test_gradient_in_place(backend, rng):
    x, dy, gamma = normal(rng, 40, 19), normal(rng, 40, 19), normal(rng, 19)
    _, mean, rstd = _core.batch_norm(tensor(x))
    expected = [
        r.numpy() for r in _core.batch_norm_backward(tensor(dy), tensor(x), tensor(gamma), mean, rstd)
    ]
    dx = tensor(dy.copy())
    _core.batch_norm_backward(dx, tensor(x), tensor(gamma), mean, rstd, dx=dx)
    np.testing.assert_array_equal(dx.numpy(), expected[0])


def test_errors():
    x, c = np.zeros((4, 3), np.float32), np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"^\[batch_norm\] gamma has shape \(2,\), expected \(3,\)"):
        ops.batch_norm(x, c[:2], c, c, c)
    with pytest.raises(
        ValueError, match=r"^\[batch_norm\] running_variance has shape \(2,\), expected \(3,\)"
    ):
        ops.batch_norm(x, c, c, c, c[:2])
    with pytest.raises(ValueError, match=r"^\[batch_norm_inference\] mean has shape \(2,\), expected \(3,\)"):
        ops.batch_norm_inference(x, c, c, c[:2], c)
    with pytest.raises(
        ValueError, match=r"^\[batch_norm_backward\] dy has shape \(3, 3\), expected \(4, 3\)"
    ):
        ops.batch_norm_backward(x[:3], x, c, c, c)
