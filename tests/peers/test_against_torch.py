"""`ops` against PyTorch on PyTorch's own sample inputs, with its float64 autograd as the oracle.

What pyconv does not offer is left out of the samples: unbatched inputs, other ranks, class weights.
"""

import functools
import warnings

import hypothesis
import numpy as np
import pytest
from checks import assert_close
from shape_cases import AWKWARD_CONV2D, POOL2D_CASES

from pyconv import ops

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="torch's sample inputs need expecttest")
F = torch.nn.functional


@functools.cache
def sample_inputs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    hypothesis.settings.load_profile("pyconv")  # that import loads a profile of its own
    return {info.name: info for info in reversed(op_db)}  # the plain variant of an op comes first


@functools.cache
def samples(name):
    """Return (input, args, kwargs) of each sample; floats in float64 with float32's digits."""

    def rounded(value):
        if not torch.is_tensor(value):
            return value
        return value.detach().float().double() if value.is_floating_point() else value

    torch.manual_seed(0)
    drawn = sample_inputs()[name].sample_inputs("cpu", torch.float64, requires_grad=True)
    return [(rounded(s.input), [rounded(a) for a in s.args], s.kwargs) for s in drawn]


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).double()


def gradients(function, *inputs):
    """Return function's result, a random dy, and the gradient of each input (None for None)."""
    inputs = [i if i is None else i.detach().clone().requires_grad_() for i in inputs]
    y = function(*inputs)
    dy = normal(*y.shape)
    needed = torch.autograd.grad(y, [i for i in inputs if i is not None], dy)
    found = iter(needed)
    return y.detach(), dy, *(None if i is None else next(found) for i in inputs)


def to_ours(value):
    """Float32 and channels last: a torch tensor of our layout, taken through DLPack without a copy."""
    return (
        None
        if value is None
        else value.movedim(1, -1).float().contiguous()
        if value.ndim > 2
        else value.float()
    )


def check(actual, expected, length=1):
    """Compare a Tensor of ours (or None) with a torch tensor in torch's layout."""
    expected = expected.movedim(1, -1) if expected.ndim > 2 else expected
    assert_close(actual.numpy(), expected.numpy(), length=length, scale=1e-6)


def hwio(weight):
    return weight.permute(2, 3, 1, 0).float().contiguous()


def pair_or_none(value):
    """torch's sizes: a number, a tuple of one or two, or nothing."""
    if value is None or value == ():
        return None
    return (value, value) if isinstance(value, int) else tuple(value) * (2 // len(value))


def check_conv2d(x, weight, bias, geometry):
    y, dy, dx, dweight, dbias = gradients(lambda x, w, b: F.conv2d(x, w, b, **geometry), x, weight, bias)
    our_x, our_weight, our_dy = to_ours(x), hwio(weight), to_ours(dy)
    check(ops.conv2d(our_x, our_weight, to_ours(bias), **geometry), y, weight[0].numel())
    our_dx = ops.conv2d_backward_input(our_dy, our_weight, tuple(our_x.shape), **geometry)
    check(our_dx, dx, weight[:, 0].numel())
    our_dweight, our_dbias = ops.conv2d_backward_weight(our_dy, our_x, tuple(our_weight.shape), **geometry)
    assert_close(our_dweight.numpy(), hwio(dweight).double().numpy(), length=dy[:, 0].numel())
    if bias is not None:
        check(our_dbias, dbias, dy[:, 0].numel())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
def test_conv2d(backend):
    batched = [(x, *a, geometry) for x, a, geometry in samples("nn.functional.conv2d") if x.ndim == 4]
    assert len(batched) >= 15
    for x, weight, bias, geometry in batched:
        check_conv2d(x, weight, bias, geometry)


@pytest.mark.parametrize("name", AWKWARD_CONV2D)
def test_conv2d_on_our_cases(backend, name):
    case = AWKWARD_CONV2D[name]
    if not offered(case.padding, case.stride):
        pytest.skip(f"torch has no padding {case.padding} with stride {case.stride}")
    (N, H, W, C), (KH, KW, c_in, C_out) = case.x, case.weight
    check_conv2d(normal(N, C, H, W), normal(C_out, c_in, KH, KW), normal(C_out), case.attributes)


def offered(padding, stride=None):
    """Whether torch has it: symmetric padding, and "same" in convolutions of stride 1."""
    if isinstance(padding, str):
        return stride == 1
    return isinstance(padding, int) or isinstance(padding[0], int)


def check_max_pool2d(x, geometry):
    """`geometry` in torch's words."""
    y, indices = F.max_pool2d(x, **geometry, return_indices=True)
    _, dy, dx = gradients(lambda x: F.max_pool2d(x, **geometry), x)
    ours = dict(geometry)
    window, stride, padding, dilation = (
        pair_or_none(ours.pop(k)) for k in ("kernel_size", "stride", "padding", "dilation")
    )
    ours |= {"stride": stride, "padding": padding, "dilation": dilation}
    our_y, argmax = ops.max_pool2d(to_ours(x), window, **ours)
    np.testing.assert_array_equal(our_y.numpy(), to_ours(y).numpy())
    # Offsets in the window as torch's offsets in the plane.
    oh, ow = np.ogrid[: y.shape[2], : y.shape[3]]
    kh, kw = np.divmod(argmax.numpy().astype(int), window[1])
    step = window if stride is None else stride
    h = oh[:, :, None] * step[0] - padding[0] + kh * dilation[0]
    w = ow[:, :, None] * step[1] - padding[1] + kw * dilation[1]
    np.testing.assert_array_equal(h * x.shape[3] + w, indices.movedim(1, -1).numpy())
    our_dx = ops.max_pool2d_backward(to_ours(dy), argmax, tuple(to_ours(x).shape), window, **ours)
    check(our_dx, dx, window[0] * window[1])


def test_max_pool2d(backend):
    batched = [(x, geometry) for x, _, geometry in samples("nn.functional.max_pool2d") if x.ndim == 4]
    assert len(batched) >= 700
    for x, geometry in batched:
        check_max_pool2d(x, {k: v for k, v in geometry.items() if k != "return_indices"})


def check_avg_pool2d(x, window, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Each argument as torch takes it."""

    def theirs(x):
        return F.avg_pool2d(x, window, stride, padding, ceil_mode, count_include_pad)

    y, dy, dx = gradients(theirs, x)
    ours = {"stride": pair_or_none(stride), "padding": pair_or_none(padding), "ceil_mode": ceil_mode}
    ours["count_include_pad"] = count_include_pad
    length = np.prod(pair_or_none(window))
    check(ops.avg_pool2d(to_ours(x), pair_or_none(window), **ours), y, length)
    our_dx = ops.avg_pool2d_backward(to_ours(dy), tuple(to_ours(x).shape), pair_or_none(window), **ours)
    check(our_dx, dx, length)


def test_avg_pool2d(backend):
    checked = 0
    for x, arguments, _ in samples("nn.functional.avg_pool2d"):
        if len(arguments) < 6 or arguments[5] is None:  # no divisor_override
            check_avg_pool2d(x, *arguments[:5])
            checked += 1
    assert checked >= 2


@pytest.mark.parametrize("name", POOL2D_CASES)
def test_pooling_on_our_cases(backend, name):
    """Those of our own cases that torch offers: few of its samples have no divisor_override."""
    case = POOL2D_CASES[name]
    window, padding = pair_or_none(case.window), case.padding
    if not offered(padding):
        pytest.skip(f"torch has no padding {padding} in pooling")
    N, H, W, C = case.x
    x = normal(N, C, H, W)
    for count_include_pad in (True, False):
        check_avg_pool2d(x, window, case.stride, padding, case.ceil_mode, count_include_pad)
    geometry = {"kernel_size": window, "stride": case.stride, "padding": padding, "dilation": case.dilation}
    check_max_pool2d(x, {**geometry, "ceil_mode": case.ceil_mode})


def test_relu(backend):
    for x, _, _ in samples("nn.functional.relu"):
        y, dy, dx = gradients(F.relu, x)
        our_y = ops.relu(x.float())
        np.testing.assert_array_equal(our_y.numpy(), y.float().numpy())
        np.testing.assert_array_equal(ops.relu_backward(dy.float(), our_y).numpy(), dx.float().numpy())


def test_linear(backend):
    checked = 0
    for x, (weight, *bias), _ in samples("nn.functional.linear"):
        if x.ndim != 2:
            continue
        bias = bias[0] if bias else None
        y, dy, dx, dweight, dbias = gradients(F.linear, x, weight, bias)
        our_weight = weight.T.float().contiguous()
        check(ops.linear(x.float(), our_weight, to_ours(bias)), y, weight.shape[1])
        check(ops.linear_backward_input(dy.float(), our_weight), dx, weight.shape[0])
        our_dweight, our_dbias = ops.linear_backward_weight(dy.float(), x.float())
        check(our_dweight, dweight.T, len(x))
        if bias is not None:
            check(our_dbias, dbias, len(x))
        checked += 1
    assert checked >= 8


def test_batch_norm(backend):
    trained = inferred = 0
    for x, (mean, variance, weight, bias), settings in samples("nn.functional.batch_norm"):
        momentum, eps = settings.get("momentum", 0.1), settings.get("eps", 1e-5)
        if x.ndim < 2 or not 0 <= momentum <= 1:
            continue
        M, our_x = x.numel() // x.shape[1], to_ours(x)
        ours = {"gamma": to_ours(weight), "beta": to_ours(bias)}
        if not settings.get("training"):
            y = F.batch_norm(x, mean, variance, weight, bias, eps=eps)
            check(
                ops.batch_norm_inference(
                    our_x, **ours, mean=mean.float(), variance=variance.float(), epsilon=eps
                ),
                y,
            )
            inferred += 1
            continue
        running = {"running_mean": to_ours(mean), "running_variance": to_ours(variance)}
        results = ops.batch_norm(our_x, **ours, **running, epsilon=eps, momentum=1 - momentum)
        running = [None if r is None else r.clone() for r in (mean, variance)]
        y, dy, dx, dweight, dbias = gradients(
            lambda x, w, b: F.batch_norm(x, *running, w, b, training=True, momentum=momentum, eps=eps),  # noqa: B023
            x,
            weight,
            bias,
        )
        check(results[0], y, M)
        if mean is not None:
            check(results[3], running[0], M)
            biased = (1 - momentum) * variance + (running[1] - (1 - momentum) * variance) * (M - 1) / M
            check(results[4], biased, M)
        our_dx, our_dweight, our_dbias = ops.batch_norm_backward(
            to_ours(dy), our_x, ours["gamma"], *results[1:3]
        )
        check(our_dx, dx, M)
        if weight is not None:
            check(our_dweight, dweight, M)
            check(our_dbias, dbias, M)
        trained += 1
    assert trained >= 3
    assert inferred >= 3


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_cross_entropy(backend, label_smoothing):
    labels = probabilities = 0
    for logits, (target, *_), settings in samples("nn.functional.cross_entropy"):
        if logits.ndim != 2 or settings.keys() - {"reduction"}:
            continue
        if target.is_floating_point():  # torch does not ask for a distribution, pyconv does
            target = target.abs() + 0.1
            target = (target / target.sum(1, keepdim=True)).float().double()
            probabilities += 1
        else:
            labels += 1
        options = {"label_smoothing": label_smoothing}
        ours = target.float() if target.is_floating_point() else target
        loss, dlogits = ops.softmax_cross_entropy(logits.float(), ours, **options)
        check(loss, F.cross_entropy(logits, target, reduction="none", **options), logits.shape[1])
        logits = logits.clone().requires_grad_()
        check(dlogits, torch.autograd.grad(F.cross_entropy(logits, target, **options), logits)[0])
    assert labels >= 3
    assert probabilities >= 3


def test_softmax(backend):
    checked = 0
    for x, (dim,), _ in samples("softmax"):
        if x.ndim == 2 and dim in (1, -1):
            y, dy, dx = gradients(lambda x: torch.softmax(x, 1), x)
            our_y = ops.softmax(x.float())
            check(our_y, y, x.shape[1])
            check(ops.softmax_backward(dy.float(), our_y), dx, x.shape[1])
            checked += 1
    assert checked >= 2
