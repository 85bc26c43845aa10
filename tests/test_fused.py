"""The fused kernels against float64, composed from the references of the plain ops that they replace."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import references
from checks import assert_close, assert_product, normal, tensor
from hypothesis import given
from hypothesis import strategies as st
from shape_cases import Conv2dCase

from pyconv import _core

CASES = {
    "winograd_f4x4": Conv2dCase((3, 16, 16, 32), (3, 3, 32, 48), padding="same"),
    "winograd_overhang": Conv2dCase((4, 14, 10, 16), (3, 3, 16, 32), padding="same"),
    "winograd_f2x2": Conv2dCase((16, 6, 6, 17), (3, 3, 17, 33), padding="same"),
    "winograd_valid": Conv2dCase((6, 13, 12, 19), (3, 3, 19, 16)),
    "winograd_padding_2": Conv2dCase((5, 10, 9, 16), (3, 3, 16, 17), padding=2),
    "winograd_square": Conv2dCase((12, 8, 8, 36), (3, 3, 36, 68), padding="same"),
    "first_layer": Conv2dCase((2, 12, 12, 3), (3, 3, 3, 32), padding="same"),
    "first_layer_tails": Conv2dCase((1, 10, 18, 2), (3, 3, 2, 68), padding="same"),
    "stride_2": Conv2dCase((2, 9, 8, 8), (3, 3, 8, 17), stride=2, padding="same"),
    "pointwise": Conv2dCase((2, 6, 8, 33), (1, 1, 33, 16)),
    "kernel_5x5": Conv2dCase((1, 8, 8, 5), (5, 5, 5, 9), padding=2),
}
NORMALIZING = [name for name in CASES if name.startswith("winograd")]  # their input, on the way
POOLING = ["winograd_f4x4", "winograd_overhang", "winograd_f2x2", "winograd_square"]
EVEN = [
    *POOLING,
    "first_layer",
    "first_layer_tails",
    "pointwise",
    "kernel_5x5",
]  # outputs that 2x2 windows cover
EPSILON = 1e-3


def empty(shape, dtype="float32"):
    """Return a new Tensor where `tensor` puts them."""
    return _core.empty(shape, dtype, _core.default_device())


@functools.cache
def named(name):
    return arrays_of(CASES[name])


def arrays_of(case):
    rng = np.random.default_rng(0)
    KH, KW, _, C_out = case.weight
    a = SimpleNamespace(case=case, x=normal(rng, *case.x), weight=normal(rng, *case.weight))
    a.bias, a.options = normal(rng, C_out), {**case.attributes}
    a.x_scale, a.x_shift = normal(rng, case.x[3]), normal(rng, case.x[3])
    # Zero, tiny, negative and ordinary factors.
    a.gamma = np.resize(np.float32([1, -1, 0, 1e-30, -1e-6, 2, -0.5]), C_out)
    a.beta, a.running = normal(rng, C_out), (normal(rng, C_out), normal(rng, C_out) ** 2)
    a.rng, a.length = rng, KH * KW * case.x[3]
    return a


def fusions(a):
    """Return what the selected backend fuses with the case's convolution."""
    return _core.conv2d_fusions(a.case.x, a.case.weight, **a.case.attributes, device=_core.default_device())


def needs(a, fusion):
    """Skip a test of what CUDA does not fuse with this case; the CPU has to."""
    if not fusions(a) & fusion:
        assert _core.default_device() == "cuda"
        pytest.skip("not fused here")


def normalized(a, relu):
    n = a.x_scale.astype(np.float64) * a.x + a.x_shift
    return np.maximum(n, 0) if relu else n


def signed_pool(y, gamma):
    """Return the pooled values and argmax that csrc/kernels.h tells of."""
    key = y * np.sign(gamma)
    _, argmax = references.max_pool2d(key, 2)
    N, H, W, C = y.shape
    windows = (
        y.reshape(N, H // 2, 2, W // 2, 2, C).transpose(0, 1, 3, 2, 4, 5).reshape(N, H // 2, W // 2, 4, C)
    )
    return np.take_along_axis(windows, argmax[:, :, :, None].astype(int), 3)[:, :, :, 0], argmax


def input_of(a, relu):
    return None if relu is None else {"scale": tensor(a.x_scale), "shift": tensor(a.x_shift), "relu": relu}


def run_training(a, *, relu, x_relu=None, pool=False):
    y_shape = references.conv2d(a.x, a.weight, **a.options).shape
    out = {name: empty((y_shape[-1],)) for name in ("mean", "rstd", "scale", "shift")}
    out |= {"running_mean": tensor(a.running[0].copy()), "running_variance": tensor(a.running[1].copy())}
    out["y"] = empty(y_shape)
    if pool:
        shape = (y_shape[0], y_shape[1] // 2, y_shape[2] // 2, y_shape[3])
        out |= {"pooled": empty(shape), "argmax": empty(shape, "uint8")}
    given = {"epsilon": EPSILON, "momentum": 0.99, "gamma": tensor(a.gamma), "beta": tensor(a.beta)}
    written = ("running_mean", "running_variance", "mean", "rstd", "scale", "shift")
    epilogue = {"relu": relu, "statistics": given | {name: out[name] for name in written}}
    epilogue |= {name: out[name] for name in ("pooled", "argmax") if pool}
    options = {**a.options, "input": input_of(a, x_relu), "epilogue": epilogue, "y": out["y"]}
    _core.conv2d_fused(tensor(a.x), tensor(a.weight), tensor(a.bias), **options)
    return SimpleNamespace(**{name: value.numpy() for name, value in out.items()})


def check_training(a, r, x, relu):
    y = references.conv2d(x, a.weight, a.bias, **a.options)
    y = np.maximum(y, 0) if relu else y
    scale = max(1, np.abs(x).max())
    assert_product(r.y, y, length=a.length, scale=scale * np.sqrt(a.length))
    # Statistics of what was written, so that the convolution's own rounding does not count.
    _, mean, variance = references.batch_norm(r.y)
    assert_close(r.mean, mean, length=4, scale=np.abs(r.y).max())
    rstd = 1 / np.sqrt(variance + EPSILON)
    np.testing.assert_allclose(r.rstd, rstd, rtol=1e-5)
    np.testing.assert_allclose(r.scale, a.gamma * rstd, rtol=1e-5, atol=0)
    np.testing.assert_allclose(r.shift, a.beta - mean * a.gamma * rstd, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(r.running_mean, 0.99 * a.running[0] + 0.01 * mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(r.running_variance, 0.99 * a.running[1] + 0.01 * variance, rtol=1e-4)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_statistics_in_the_epilogue(kernels, name, relu):
    a = named(name)
    check_training(a, run_training(a, relu=relu), a.x, relu)


@pytest.mark.parametrize("x_relu", [False, True])
@pytest.mark.parametrize("name", NORMALIZING)
def test_the_input_is_normalised_on_the_way(kernels, name, x_relu):
    a = named(name)
    needs(a, _core.FUSE_INPUT)
    check_training(a, run_training(a, relu=True, x_relu=x_relu), normalized(a, x_relu), True)


@pytest.mark.parametrize("name", POOLING)
def test_pooling_follows_the_sign_of_gamma(kernels, name):
    a = named(name)
    needs(a, _core.FUSE_POOL)
    r = run_training(a, relu=False, pool=True)
    pooled, argmax = signed_pool(r.y, a.gamma)
    np.testing.assert_array_equal(r.pooled, pooled)
    np.testing.assert_array_equal(r.argmax, argmax)
    # What comes of it is the pooling of the normalised values.
    expected, _ = references.max_pool2d(references.batch_norm(r.y, a.gamma, a.beta)[0], 2)
    assert_close(r.scale * r.pooled + r.shift, expected, length=16)


def test_pooling_alone(kernels, rng):
    x = normal(rng, 3, 6, 8, 21)
    gamma = np.resize(np.float32([1, -1, 0]), 21)
    y, argmax = (out.numpy() for out in _core.max_pool2d_signed(tensor(x), tensor(gamma)))
    expected, expected_argmax = signed_pool(x, gamma)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, expected_argmax)
    y, argmax = _core.max_pool2d_signed(tensor(x))
    np.testing.assert_array_equal(y.numpy(), references.max_pool2d(x, 2)[0])


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("name", "pool"),
    [(name, pool) for name in CASES for pool in (False, True) if name in POOLING or not pool],
)
def test_prediction(kernels, name, relu, pool):
    a = named(name)
    if pool:
        needs(a, _core.FUSE_POOL)
    y = references.conv2d(a.x, a.weight, a.bias, **a.options)
    y = np.maximum(y, 0) if relu else y
    y = a.beta.astype(np.float64) * y + a.bias
    y = np.maximum(y, 0) if relu else y
    expected = references.max_pool2d(y, 2)[0] if pool else y
    out = empty(expected.shape)
    prepared = _core.conv2d_prepare(tensor(a.weight), a.case.x, **a.options)
    is_read = prepared.size == 0
    epilogue = {"relu": relu, "output": {"scale": tensor(a.beta), "shift": tensor(a.bias), "relu": relu}}
    epilogue |= {"pooled": out} if pool else {}
    options = {"epilogue": epilogue, "y": None if pool else out}
    weight = a.weight if is_read else np.full_like(a.weight, np.nan)  # else the prepared ones are
    _core.conv2d_fused(tensor(a.x), tensor(weight), tensor(a.bias), **a.options, prepared=prepared, **options)
    assert_product(out.numpy(), expected, length=max(a.length, 36))


def check_reduction(r, dy, x, M, relu, gradients):
    """`gradients`: the reference's (dx, dgamma, dbeta); dx = c0 d + c1 x + c2."""
    c = r.coefficients.astype(np.float64)
    d = np.where(r.scale * x.astype(np.float64) + r.shift <= 0, 0, dy) if relu else dy
    dx, dgamma, dbeta = gradients
    assert_close((c[0] * d + c[1] * x + c[2]).astype(np.float32), dx, length=64)
    assert_close(r.dgamma, dgamma, length=M)
    assert_close(r.dbeta, dbeta, length=M)


def reduction_arrays(x, gamma, beta, relu):
    _, mean, variance = references.batch_norm(x, gamma, beta)
    rstd = 1 / np.sqrt(variance + EPSILON)
    r = SimpleNamespace(scale=np.float32(gamma * rstd), mean=np.float32(mean), rstd=np.float32(rstd))
    r.shift = np.float32(beta - mean * r.scale)
    out = {"dgamma": empty(gamma.shape), "dbeta": empty(gamma.shape)}
    out["coefficients"] = empty((3, *gamma.shape))
    read = {name: tensor(getattr(r, name)) for name in ("mean", "rstd", "scale", "shift")}
    read["normalization"] = {"scale": read.pop("scale"), "shift": read.pop("shift"), "relu": relu}
    reduction = {"M": x.size // x.shape[-1], "x": tensor(x), "gamma": tensor(gamma), **read, **out}
    return r, out, {"reduction": reduction}


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_sums_for_the_normalisation_before(kernels, name, relu):
    a = named(name)
    y = references.conv2d(a.x, a.weight, **a.options)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    gamma, beta = np.resize(a.gamma, a.case.x[3]), a.x_shift
    r, out, arguments = reduction_arrays(a.x, gamma, beta, relu)
    dx = _core.conv2d_backward_input_fused(
        tensor(dy), tensor(a.weight), a.case.x, **a.options, **arguments
    ).numpy()
    expected = references.conv2d_backward_input(dy, a.weight, a.case.x, **a.options)
    assert_product(dx, expected, length=max(np.prod(a.case.weight[:2]) * a.case.weight[3], 36))
    r.__dict__.update({name: value.numpy() for name, value in out.items()})
    d = np.where(r.scale * a.x.astype(np.float64) + r.shift <= 0, 0, dx) if relu else dx
    expected = references.batch_norm_backward(d, a.x, gamma)
    check_reduction(r, dx, a.x, a.x.size // gamma.size, relu, expected)


@pytest.mark.parametrize("relu", [False, True])
def test_sums_alone(kernels, rng, relu):
    x, dy, gamma, beta = normal(rng, 7, 5, 4, 21), normal(rng, 7, 5, 4, 21), normal(rng, 21), normal(rng, 21)
    r, out, arguments = reduction_arrays(x, gamma, beta, relu)
    _core.batch_norm_reduce(tensor(dy), **arguments)
    r.__dict__.update({name: value.numpy() for name, value in out.items()})
    d = np.where(r.scale * x.astype(np.float64) + r.shift <= 0, 0, dy) if relu else dy
    check_reduction(r, dy, x, 140, relu, references.batch_norm_backward(d, x, gamma))


GRADIENTS = [
    (relu, norm, norm_relu, pool)
    for relu in (False, True)
    for norm in (False, True)
    for norm_relu in (False, True)
    for pool in (False, True)
    if norm or not norm_relu
]


def gradient_case(a, relu, norm, norm_relu, pool, x_relu=None):
    """Return (arguments of the fused call, dy in float64, the x that was convolved)."""
    rng = np.random.default_rng(2)
    x = a.x if x_relu is None else normalized(a, x_relu)
    y = references.conv2d(x, a.weight, a.bias, **a.options).astype(np.float32)
    y = np.maximum(y, 0) if relu else y
    arguments = {"y": tensor(y), "relu": relu}
    shape = (y.shape[0], y.shape[1] // 2, y.shape[2] // 2, y.shape[3]) if pool else y.shape
    d = normal(rng, *shape)
    arguments["d"] = tensor(d)
    if pool:
        argmax = rng.integers(0, 4, shape).astype(np.uint8)
        arguments["argmax"] = tensor(argmax)
        d = references.max_pool2d_backward(d, argmax, y.shape, 2)
    if norm_relu:
        scale, shift = normal(rng, y.shape[-1]), normal(rng, y.shape[-1])
        arguments["normalization"] = {"scale": tensor(scale), "shift": tensor(shift), "relu": True}
        d = np.where(np.float32(scale * y + shift) <= 0, 0, d)
    if norm:
        coefficients = normal(rng, 3, y.shape[-1])
        arguments["coefficients"] = tensor(coefficients)
        c = coefficients.astype(np.float64)
        d = c[0] * d + c[1] * y + c[2]
    return arguments, np.where(y <= 0, 0, d) if relu else d, x


def check_gradient_call(a, kind, x_relu=None):
    relu, norm, norm_relu, pool = kind
    arguments, dy, x = gradient_case(a, relu, norm, norm_relu, pool, x_relu)
    made = empty(dy.shape)
    dweight, dbias = _core.conv2d_backward_weight_fused(
        tensor(a.x),
        a.case.weight,
        **a.options,
        gradient={**arguments, "dy": made},
        input=input_of(a, x_relu),
    )
    y = arguments["y"].numpy()
    # scale * y + shift may fall on either side of 0 where it is next to it
    near = np.zeros(dy.shape, bool)
    if norm_relu:
        value = (
            arguments["normalization"]["scale"].numpy().astype(np.float64) * y
            + arguments["normalization"]["shift"].numpy()
        )
        near = np.abs(value) < 1e-5 * np.abs(y).max()
    assert_close(np.where(near, 0, made.numpy()).astype(np.float32), np.where(near, 0, dy), length=4)
    expected = references.conv2d_backward_weight(made.numpy(), x, a.case.weight, **a.options)
    pixels = dy[..., 0].size
    scale = np.abs(dy).max() * max(1, np.abs(x).max())
    assert_product(dweight.numpy(), expected[0], length=max(pixels, 36), scale=scale)
    assert_product(dbias.numpy(), expected[1], length=pixels, scale=scale)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in CASES for kind in GRADIENTS if name in EVEN or not kind[3]],
    ids=lambda value: value if isinstance(value, str) else "".join("01"[flag] for flag in value),
)
def test_dy_is_made_on_the_way(kernels, name, kind):
    check_gradient_call(named(name), kind)


@pytest.mark.parametrize("x_relu", [False, True])
@pytest.mark.parametrize("name", NORMALIZING)
def test_the_weight_gradient_normalises_its_input(kernels, name, x_relu):
    needs(named(name), _core.FUSE_INPUT)
    check_gradient_call(named(name), (True, True, False, False), x_relu)


@st.composite
def cases(draw):
    channels = st.sampled_from([16, 17, 31, 32, 33, 48])
    c_in = draw(channels)
    sides = [draw(st.integers(3, 14)) for _ in range(2)]
    return Conv2dCase((draw(st.integers(1, 6)), *sides, c_in), (3, 3, c_in, draw(channels)), padding="same")


@given(case=cases(), x_relu=st.booleans(), kind=st.sampled_from(GRADIENTS))
def test_any_winograd_shape(kernels, case, x_relu, kind):
    a = arrays_of(case)
    x_relu = x_relu if fusions(a) & _core.FUSE_INPUT else None
    x = a.x if x_relu is None else normalized(a, x_relu)
    check_training(a, run_training(a, relu=True, x_relu=x_relu), x, True)
    if kind[3] and (case.x[1] % 2 or case.x[2] % 2):
        kind = (*kind[:3], False)
    check_gradient_call(a, kind, x_relu)


@pytest.mark.parametrize("relu", [False, True])
def test_normalize(kernels, rng, relu):
    x, scale, shift = normal(rng, 5, 6, 21), normal(rng, 21), normal(rng, 21)
    expected = scale.astype(np.float64) * x + shift
    y = _core.normalize(tensor(x), {"scale": tensor(scale), "shift": tensor(shift), "relu": relu})
    assert_close(y.numpy(), np.maximum(expected, 0) if relu else expected)


def test_fold(kernels, rng):
    gamma, beta, mean, variance = normal(rng, 9), normal(rng, 9), normal(rng, 9), normal(rng, 9) ** 2
    scale, shift = _core.batch_norm_fold(*map(tensor, (gamma, beta, mean, variance)))
    x = normal(rng, 4, 9)
    expected = references.batch_norm_inference(x, gamma, beta, mean, variance)
    assert_close(scale.numpy() * x + shift.numpy(), expected, length=4)


def test_nan_passes(kernels, rng):
    a = named("winograd_f4x4")
    needs(a, _core.FUSE_POOL)
    b = SimpleNamespace(**{**a.__dict__, "x": a.x.copy()})
    b.x[0, 3, 3, 5] = np.nan
    r = run_training(b, relu=True, pool=True)
    assert np.isnan(r.y).any()
    assert np.isnan(r.pooled).any()
    assert np.isnan(r.mean).all()
    np.testing.assert_array_equal(r.running_mean, b.running[0])  # a NaN of one batch does not stay


@pytest.mark.parametrize("name", ["winograd_f4x4", "first_layer", "stride_2"])
def test_an_empty_batch(kernels, name):
    a = named(name)
    case = a.case._replace(x=(0, *a.case.x[1:]))
    r = run_training(SimpleNamespace(**{**a.__dict__, "case": case, "x": a.x[:0]}), relu=True)
    assert r.y.size == 0
    np.testing.assert_array_equal(r.mean, 0)
    np.testing.assert_array_equal(r.running_mean, a.running[0])


def test_a_large_mean_costs_no_digits(kernels, rng):
    a = named("winograd_f4x4")
    b = SimpleNamespace(**{**a.__dict__, "bias": a.bias + 1000})
    r = run_training(b, relu=False)
    variance = references.batch_norm(r.y)[2]
    np.testing.assert_allclose(r.rstd, 1 / np.sqrt(variance + EPSILON), rtol=1e-5)


def test_errors():
    a = named("winograd_f4x4")
    x, weight = tensor(a.x), tensor(a.weight)
    with pytest.raises(ValueError, match=r"^\[conv2d_fused\] neither y nor pooled is given"):
        _core.conv2d_fused(x, weight, padding=1)
    y = empty((3, 16, 16, 48))
    v = tensor(a.gamma)
    with pytest.raises(ValueError, match=r"^\[conv2d_fused\] scale has shape \(48,\), expected \(32,\)"):
        _core.conv2d_fused(x, weight, padding=1, input={"scale": v, "shift": v}, y=y)
    with pytest.raises(ValueError, match=r"^\[conv2d_backward_weight_fused\] y is missing"):
        _core.conv2d_backward_weight_fused(x, a.case.weight, padding=1, gradient={"d": y, "relu": True})


def test_prepared_weights_of_another_size_are_refused():
    x, weight, y = (_core.zeros(shape) for shape in ((1, 8, 8, 32), (3, 3, 32, 32), (1, 6, 6, 32)))
    with pytest.raises(ValueError, match=r"^\[conv2d_fused\] prepared has shape \(4,\), expected \(\d+,\)"):
        _core.conv2d_fused(x, weight, prepared=_core.zeros((4,)), y=y)
